#include <stdlib.h>

#include "base/limits.h"
#include "ingest/config.h"
#include "ingest/resources_db.h"
#include "ingest/shape_resources.h"

/* One file on its way into the database. */
struct apply {
	const json_t *file;
	bool open; /* without the quotas of items */
	struct err *e;
};

static const json_t *items_of(const struct apply *a, enum resource_kind kind)
{
	return json_member_array(a->file, resource_kinds[kind].plural);
}

/* ---- checks that need no database ---- */

static enum rc check_names(const struct apply *a, enum resource_kind kind)
{
	const struct shape_path list = { .member = resource_kinds[kind].plural };
	json_t *seen = json_object();
	enum rc rc = RC_OK;

	for (size_t i = 0; i < json_array_size(items_of(a, kind)) && rc == RC_OK; i++) {
		struct shape_path item = { .up = &list, .index = i };
		struct shape_path name = { .up = &item, .member = resource_kinds[kind].name };
		const json_t *text =
		        json_object_get(json_array_get(items_of(a, kind), i), name.member);

		if (!text)
			continue; /* an add-on's instance that names its subscription */
		if (json_object_get(seen, json_string_value(text)))
			rc = shape_fault(a->e, &name, "\"%s\" is there twice",
			                 json_string_value(text));
		else
			json_put_bool(seen, json_string_value(text), true);
	}
	json_decref(seen);
	return rc;
}

static enum rc check_file(const struct apply *a)
{
	enum rc rc = shape_check(&shape_apply_file, a->file, NULL,
	                         a->open ? SHAPE_OPEN : SHAPE_STRICT, a->e);

	for (int k = 0; k < RESOURCE_KINDS && rc == RC_OK; k++)
		rc = check_names(a, (enum resource_kind)k);
	for (size_t i = 0; i < json_array_size(items_of(a, RESOURCE_INGRESS_POINT)) && rc == RC_OK;
	     i++) {
		const struct shape_path list = { .member = "IngressPoints" };
		const struct shape_path here = { .up = &list, .index = i };
		struct storing st = { .e = a->e };

		rc = store_check_point(&st, json_array_get(items_of(a, RESOURCE_INGRESS_POINT), i),
		                       &here);
	}
	return rc;
}

/* ---- items ---- */

/* By name; its id stays empty when there is none. */
static enum rc find_item(const struct storing *st, enum resource_kind kind, const json_t *item,
                         char id[RESOURCE_ID_ROOM], json_t **before, int64_t *old)
{
	enum rc rc = store_find_name(st, kind, store_name(item, kind), id);

	if (rc == RC_OK)
		return store_load(st, kind, slice_str(id), before, old);
	id[0] = '\0';
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc apply_item(struct storing *st, const struct apply *a, enum resource_kind kind,
                          size_t i)
{
	const struct shape_path list = { .member = resource_kinds[kind].plural };
	const struct shape_path path = { .up = &list, .index = i };
	json_t *item = store_without_nulls(json_array_get(items_of(a, kind), i));
	char id[RESOURCE_ID_ROOM] = "";
	json_t *before = NULL;
	int64_t old = 0;
	enum rc rc = store_resolve(st, kind, item, &path);

	if (rc == RC_OK)
		rc = find_item(st, kind, item, id, &before, &old);
	if (rc == RC_OK)
		rc = store_changeable(st, kind, before, &path);
	if (rc == RC_OK)
		rc = store_settle(st, kind, item, before, &path);
	if (rc == RC_OK)
		rc = store_item(st, kind, item, before, old, id);
	json_decref(before);
	json_decref(item);
	return rc;
}

static enum rc apply_items(struct storing *st, void *arg)
{
	const struct apply *a = arg;
	enum rc rc = RC_OK;
	size_t total = 0;

	for (int k = 0; k < RESOURCE_KINDS; k++)
		total += json_array_size(items_of(a, (enum resource_kind)k));
	store_room(st, total);
	for (int k = 0; k < RESOURCE_KINDS; k++)
		for (size_t i = 0;
		     i < json_array_size(items_of(a, (enum resource_kind)k)) && rc == RC_OK; i++)
			rc = apply_item(st, a, (enum resource_kind)k, i);
	return rc;
}

enum rc resources_apply(struct db *control, struct slice file_text, struct apply_result *result,
                        struct err *e)
{
	struct err mine = { 0 };
	struct storing st = { .control = control, .result = result, .e = e ? e : &mine };
	struct apply a = { .open = result->open, .e = st.e };
	json_t *file;
	enum rc rc;

	if (file_text.len > LIMIT_CONFIG_FILE)
		return err_set(e, RC_LIMIT, "a file of more than %d bytes", LIMIT_CONFIG_FILE);
	rc = json_read(&file, file_text, a.e);
	if (rc != RC_OK)
		return rc;
	a.file = file;
	rc = check_file(&a);
	if (rc == RC_OK)
		rc = store_run(&st, apply_items, &a);
	json_decref(file);
	return rc;
}

enum rc resources_rule_set(struct db *control, const json_t *json, json_t **out, struct err *e)
{
	struct err mine = { 0 };
	struct storing st = { .control = control, .e = e ? e : &mine };
	enum rc rc = shape_check(&shape_apply_rule_set, json, NULL, SHAPE_OPEN, st.e);

	*out = NULL;
	if (rc != RC_OK)
		return rc;
	*out = store_without_nulls(json);
	rc = store_resolve(&st, RESOURCE_RULE_SET, *out, NULL);
	for (int k = 0; k < RESOURCE_KINDS; k++)
		json_decref(st.found[k]);
	if (rc != RC_OK) {
		json_decref(*out);
		*out = NULL;
		return rc;
	}
	json_put_text(*out, "RuleSetId", slice_str("-"));
	json_put_int(*out, "Version", 0);
	return RC_OK;
}
