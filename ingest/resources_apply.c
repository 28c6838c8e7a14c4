#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "ingest/config.h"
#include "ingest/resources_db.h"
#include "ingest/shape_resources.h"

/* One file on its way into the database. */
struct apply {
	struct db *control;
	const json_t *file;
	json_t *refs[RESOURCE_KINDS]; /* name or id -> id, of what is there or will be */
	struct apply_result *result;
	int64_t now_ms;
	struct err *e;
};

static const json_t *items_of(const struct apply *a, enum resource_kind kind)
{
	return json_member_array(a->file, resource_kinds[kind].plural);
}

static struct slice name_of(const json_t *item, enum resource_kind kind)
{
	return json_member_text(item, resource_kinds[kind].name);
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

		if (json_object_get(seen, json_string_value(text)))
			rc = shape_fault(a->e, &name, "\"%s\" is there twice",
			                 json_string_value(text));
		else
			json_put_bool(seen, json_string_value(text), true);
	}
	json_decref(seen);
	return rc;
}

static bool has(const json_t *object, const char *member)
{
	const json_t *value = json_object_get(object, member);

	return value && !json_is_null(value);
}

static enum rc check_point(const struct apply *a, size_t i)
{
	static const enum resource_kind needed[] = { RESOURCE_RULE_SET, RESOURCE_TRAFFIC_POLICY };
	const struct shape_path list = { .member = "IngressPoints" };
	const struct shape_path here = { .up = &list, .index = i };
	const json_t *point = json_array_get(items_of(a, RESOURCE_INGRESS_POINT), i);

	for (size_t k = 0; k < COUNT(needed); k++) {
		const struct resource_kind_info *info = &resource_kinds[needed[k]];

		if (has(point, info->name) == has(point, info->id))
			return shape_fault(a->e, &here, "must have exactly one of: %s, %s",
			                   info->name, info->id);
	}
	return RC_OK;
}

static enum rc check_file(const struct apply *a)
{
	enum rc rc = shape_check(&shape_apply_file, a->file, NULL, SHAPE_STRICT, a->e);

	for (int k = 0; k < RESOURCE_KINDS && rc == RC_OK; k++)
		rc = check_names(a, (enum resource_kind)k);
	for (size_t i = 0; i < json_array_size(items_of(a, RESOURCE_INGRESS_POINT)) && rc == RC_OK;
	     i++)
		rc = check_point(a, i);
	return rc;
}

/* ---- ids ---- */

static void new_id(char out[RESOURCE_ID_ROOM], const char *prefix)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	char random[25];

	for (size_t i = 0; i < 24; i++)
		random[i] = digits[randombytes_uniform(36)];
	random[24] = '\0';
	(void)snprintf(out, RESOURCE_ID_ROOM, "%s%s", prefix, random);
}

/* Names first, then ids, so that an id always means itself. */
static enum rc load_refs(struct apply *a, enum resource_kind kind, int column)
{
	struct stmt *s;
	enum rc rc =
	        db_prepare(a->control, &s, "SELECT id, name FROM resource WHERE kind = ?", a->e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, slice_str(resource_kinds[kind].plural));
	while ((rc = stmt_step(s, a->e)) == RC_OK) {
		char *key = slice_string(stmt_text(s, column));

		json_put_text(a->refs[kind], key, stmt_text(s, 0));
		free(key);
	}
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc find_ids(struct apply *a, enum resource_kind kind)
{
	enum rc rc = load_refs(a, kind, 1);

	for (size_t i = 0; i < json_array_size(items_of(a, kind)) && rc == RC_OK; i++) {
		const json_t *item = json_array_get(items_of(a, kind), i);
		const char *name =
		        json_string_value(json_object_get(item, resource_kinds[kind].name));
		char id[RESOURCE_ID_ROOM];

		if (json_object_get(a->refs[kind], name))
			continue;
		new_id(id, resource_kinds[kind].prefix);
		json_put_text(a->refs[kind], name, slice_str(id));
	}
	return rc;
}

/* The id that a name, id or ARN stands for. */
static enum rc resolve(const struct apply *a, enum resource_kind kind, const json_t *reference,
                       const struct shape_path *path, json_t **id)
{
	const char *text = json_string_value(reference);
	const char *slash = strrchr(text, '/');
	json_t *found = json_object_get(a->refs[kind], slash ? slash + 1 : text);

	if (!found)
		return shape_fault(a->e, path, "none of the %s is named or has the id \"%.100s\"",
		                   resource_kinds[kind].plural, text);
	*id = json_incref(found);
	return RC_OK;
}

/* ---- the stored form: no null, defaults written out, references as ids ---- */

static json_t *without_nulls(const json_t *value)
{
	json_t *made;

	if (json_is_object(value)) {
		const char *name;
		json_t *item;

		made = json_object();
		json_object_foreach((json_t *)(uintptr_t)value, name, item)
		{
			if (!json_is_null(item))
				json_put(made, name, without_nulls(item));
		}
		return made;
	}
	if (!json_is_array(value))
		return json_incref((json_t *)(uintptr_t)value);
	made = json_array();
	for (size_t i = 0; i < json_array_size(value); i++)
		json_push(made, without_nulls(json_array_get(value, i)));
	return made;
}

static enum rc resolve_tree(const struct apply *a, json_t *value, const struct shape_path *path);

static enum rc resolve_member(const struct apply *a, json_t *object, const char *name,
                              const struct shape_path *path)
{
	json_t *value = json_object_get(object, name);
	json_t *id;
	enum rc rc;

	if (strcmp(name, "TargetArchive") == 0) {
		rc = resolve(a, RESOURCE_ARCHIVE, value, path, &id);
		if (rc == RC_OK)
			json_put(object, name, id);
		return rc;
	}
	if (strcmp(name, "AddressLists") == 0) {
		struct shape_path first = { .up = path, .index = 0 };

		rc = resolve(a, RESOURCE_ADDRESS_LIST, json_array_get(value, 0), &first, &id);
		if (rc == RC_OK)
			MUST(json_array_set_new(value, 0, id) == 0);
		return rc;
	}
	return resolve_tree(a, value, path);
}

/* In policies and rule sets only these two members refer to something. */
static enum rc resolve_tree(const struct apply *a, json_t *value, const struct shape_path *path)
{
	enum rc rc = RC_OK;
	const char *name;
	json_t *item;
	void *next;

	for (size_t i = 0; i < json_array_size(value) && rc == RC_OK; i++) {
		struct shape_path here = { .up = path, .index = i };

		rc = resolve_tree(a, json_array_get(value, i), &here);
	}
	json_object_foreach_safe(value, next, name, item)
	{
		struct shape_path here = { .up = path, .member = name };

		if (rc == RC_OK)
			rc = resolve_member(a, value, name, &here);
	}
	return rc;
}

static void put_default(json_t *object, const char *member, json_t *value)
{
	if (json_object_get(object, member))
		json_decref(value);
	else
		json_put(object, member, value);
}

static enum rc resolve_point(const struct apply *a, json_t *point, enum resource_kind kind,
                             const struct shape_path *path)
{
	const struct resource_kind_info *info = &resource_kinds[kind];
	const char *given = has(point, info->name) ? info->name : info->id;
	struct shape_path here = { .up = path, .member = given };
	json_t *id;
	enum rc rc = resolve(a, kind, json_object_get(point, given), &here, &id);

	if (rc != RC_OK)
		return rc;
	(void)json_object_del(point, info->name);
	json_put(point, info->id, id);
	return RC_OK;
}

static enum rc settle_point(const struct apply *a, json_t *point, const json_t *before,
                            const struct shape_path *path)
{
	struct shape_path type = { .up = path, .member = "Type" };
	enum rc rc = resolve_point(a, point, RESOURCE_RULE_SET, path);

	if (rc == RC_OK)
		rc = resolve_point(a, point, RESOURCE_TRAFFIC_POLICY, path);
	if (rc != RC_OK)
		return rc;
	if (before && !json_equal(json_object_get(point, "Type"), json_object_get(before, "Type")))
		return shape_fault(a->e, &type, "can't be changed (it is %s)",
		                   json_string_value(json_object_get(before, "Type")));
	put_default(point, "TlsPolicy", json_string("REQUIRED"));
	put_default(point, "TlsWrapped", json_false());
	put_default(point, "BareNewlines", json_string("REJECT"));
	put_default(point, "AllowOddLocalParts", json_false());
	put_default(point, "Status", json_string("ACTIVE"));
	return RC_OK;
}

/* An archive that exists keeps its retention when the file doesn't say one: a forgotten line must
 * not shorten it. */
static void settle_archive(json_t *archive, const json_t *before)
{
	json_t *kept = json_object_get(before, "Retention");

	if (kept)
		put_default(archive, "Retention", json_incref(kept));
	else
		put_default(archive, "Retention",
		            json_pack("{s:s}", "RetentionPeriod", "SIX_MONTHS"));
}

static enum rc settle(const struct apply *a, enum resource_kind kind, json_t *item,
                      const json_t *before, const struct shape_path *path)
{
	switch (kind) {
	case RESOURCE_ARCHIVE:
		settle_archive(item, before);
		return RC_OK;
	case RESOURCE_TRAFFIC_POLICY:
	case RESOURCE_RULE_SET:
		return resolve_tree(a, item, path);
	case RESOURCE_INGRESS_POINT:
		return settle_point(a, item, before, path);
	case RESOURCE_ADDRESS_LIST:
	case RESOURCE_KINDS:
		break;
	}
	return RC_OK;
}

/* ---- writing ---- */

/* What is stored under the id; *json stays NULL and *version 0 when nothing is. */
static enum rc load(const struct apply *a, enum resource_kind kind, struct slice id, json_t **json,
                    int64_t *version)
{
	struct stmt *s;
	enum rc rc =
	        db_prepare(a->control, &s,
	                   "SELECT version, json FROM resource WHERE kind = ? AND id = ?", a->e);

	*json = NULL;
	*version = 0;
	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, slice_str(resource_kinds[kind].plural));
	stmt_bind_text(s, 2, id);
	rc = stmt_step(s, a->e);
	if (rc == RC_OK) {
		*version = stmt_int(s, 0);
		rc = json_read(json, stmt_text(s, 1), a->e);
	} else if (rc == RC_NOTFOUND) {
		rc = RC_OK;
	}
	stmt_free(&s);
	return rc;
}

struct row {
	enum resource_kind kind;
	struct slice id;
	struct slice name;
	struct slice json;
	int64_t version;
};

static enum rc write_row(const struct apply *a, const struct row *row, const char *sql)
{
	struct stmt *s;
	enum rc rc = db_prepare(a->control, &s, sql, a->e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, slice_str(resource_kinds[row->kind].plural));
	stmt_bind_text(s, 2, row->id);
	stmt_bind_int(s, 3, row->version);
	stmt_bind_text(s, 4, row->json);
	stmt_bind_int(s, 5, a->now_ms);
	if (strstr(sql, "?6"))
		stmt_bind_text(s, 6, row->name);
	rc = stmt_run(s, a->e);
	stmt_free(&s);
	return rc;
}

static enum rc add_archive_number(const struct apply *a, struct slice id)
{
	struct stmt *s;
	enum rc rc = db_prepare(a->control, &s, "INSERT INTO archive_number (id) VALUES (?)", a->e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, id);
	rc = stmt_run(s, a->e);
	stmt_free(&s);
	if (rc == RC_OK && db_last_rowid(a->control) > UINT32_MAX)
		return err_set(a->e, RC_LIMIT, "no archive number is left");
	return rc;
}

static enum rc write_all(const struct apply *a, const struct row *row)
{
	enum rc rc;

	if (row->version == 1)
		rc = write_row(a, row,
		               "INSERT INTO resource"
		               " (kind, id, version, json, created_ms, updated_ms, name)"
		               " VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)");
	else
		rc = write_row(a, row,
		               "UPDATE resource SET version = ?3, json = ?4, updated_ms = ?5"
		               " WHERE kind = ?1 AND id = ?2");
	if (rc == RC_OK)
		rc = write_row(a, row,
		               "INSERT INTO resource_version (kind, id, version, json, created_ms)"
		               " VALUES (?1, ?2, ?3, ?4, ?5)");
	if (rc == RC_OK && row->kind == RESOURCE_ARCHIVE && row->version == 1)
		rc = add_archive_number(a, row->id);
	return rc;
}

static enum rc store_item(const struct apply *a, enum resource_kind kind, const json_t *item,
                          struct slice id, int64_t version)
{
	struct row row = {
		.kind = kind, .id = id, .name = name_of(item, kind), .version = version
	};
	struct buf text;
	enum rc rc;

	buf_init(&text, LIMIT_CONFIG_FILE);
	rc = json_write(&text, item);
	if (rc != RC_OK)
		(void)err_set(a->e, rc, "a resource of more than %d bytes", LIMIT_CONFIG_FILE);
	row.json = buf_slice(&text);
	if (rc == RC_OK)
		rc = write_all(a, &row);
	buf_free(&text);
	return rc;
}

static void note_change(const struct apply *a, enum resource_kind kind, struct slice id,
                        struct slice name, int64_t before, int64_t after)
{
	struct apply_result *r = a->result;
	struct apply_change *c = &r->changes[r->count++];

	c->kind = kind;
	(void)snprintf(c->id, sizeof(c->id), "%.*s", (int)id.len, (const char *)id.at);
	c->name = slice_string(name);
	c->version = after;
	c->what = before == after ? APPLY_UNCHANGED : before ? APPLY_UPDATED : APPLY_CREATED;
	r->unchanged += before == after;
	r->updated += before != after && before;
	r->created += before != after && !before;
}

static enum rc apply_item(const struct apply *a, enum resource_kind kind, size_t i)
{
	const struct shape_path list = { .member = resource_kinds[kind].plural };
	const struct shape_path path = { .up = &list, .index = i };
	json_t *item = without_nulls(json_array_get(items_of(a, kind), i));
	struct slice name = name_of(item, kind);
	struct slice id = json_member_text(
	        a->refs[kind], json_string_value(json_object_get(item, resource_kinds[kind].name)));
	json_t *before;
	int64_t old;
	int64_t version;
	enum rc rc = load(a, kind, id, &before, &old);

	version = old;
	if (rc == RC_OK)
		rc = settle(a, kind, item, before, &path);
	if (rc == RC_OK && !json_equal(item, before))
		rc = store_item(a, kind, item, id, ++version);
	if (rc == RC_OK)
		note_change(a, kind, id, name, old, version);
	json_decref(before);
	json_decref(item);
	return rc;
}

/* ---- the state that would result ---- */

static enum rc check_listens(const struct apply *a, const struct config *c)
{
	for (size_t i = 0; i < config_ingress_count(c); i++) {
		const struct ingress_point *p = config_ingress_at(c, i);

		for (size_t k = 0; k < i; k++) {
			const struct ingress_point *q = config_ingress_at(c, k);

			if (!p->closed && !q->closed && p->port == q->port &&
			    ip_equal(&p->ip, &q->ip))
				return err_set(a->e, RC_INVALID,
				               "IngressPoints: \"%s\" and \"%s\" both have Listen "
				               "%s",
				               q->name, p->name, p->listen);
		}
	}
	return RC_OK;
}

/* A broken configuration never gets in: what will be loaded is compiled before it is committed. */
static enum rc check_state(const struct apply *a, struct config **c)
{
	json_t *snapshot;
	enum rc rc = resources_snapshot(a->control, &snapshot, a->e);

	*c = NULL;
	if (rc != RC_OK)
		return rc;
	rc = config_new(c, snapshot, a->e);
	if (rc == RC_OK)
		rc = check_listens(a, *c);
	else if (rc == RC_NOTFOUND)
		rc = err_set(a->e, RC_INVALID, "%s", a->e ? a->e->text : "");
	json_decref(snapshot);
	return rc;
}

static enum rc apply_items(struct apply *a)
{
	enum rc rc = RC_OK;
	size_t total = 1;

	for (int k = 0; k < RESOURCE_KINDS; k++)
		total += json_array_size(items_of(a, (enum resource_kind)k));
	a->result->changes = mem_array(total, sizeof(*a->result->changes));
	for (int k = 0; k < RESOURCE_KINDS && rc == RC_OK; k++)
		rc = find_ids(a, (enum resource_kind)k);
	for (int k = 0; k < RESOURCE_KINDS && rc == RC_OK; k++)
		rc = load_refs(a, (enum resource_kind)k, 0);
	for (int k = 0; k < RESOURCE_KINDS; k++)
		for (size_t i = 0;
		     i < json_array_size(items_of(a, (enum resource_kind)k)) && rc == RC_OK; i++)
			rc = apply_item(a, (enum resource_kind)k, i);
	return rc;
}

static enum rc apply_in_transaction(struct apply *a)
{
	struct apply_result *r = a->result;
	struct config *c;
	enum rc rc = apply_items(a);

	if (rc != RC_OK || r->created + r->updated == 0)
		return rc;
	rc = check_state(a, &c);
	if (rc == RC_OK && r->before_commit)
		rc = r->before_commit(r->arg, r, c, a->e);
	config_unref(&c);
	return rc;
}

static enum rc apply_checked(struct apply *a)
{
	enum rc rc = db_begin(a->control, a->e);
	bool changed;

	if (rc != RC_OK)
		return rc;
	rc = apply_in_transaction(a);
	changed = a->result->created + a->result->updated > 0;
	if (rc == RC_OK && changed)
		rc = db_commit(a->control, a->e);
	if (rc != RC_OK || !changed)
		db_rollback(a->control);
	return rc;
}

enum rc resources_apply(struct db *control, struct slice file_text, struct apply_result *result,
                        struct err *e)
{
	struct err mine = { 0 };
	struct apply a = {
		.control = control, .result = result, .now_ms = clock_now_ms(), .e = e ? e : &mine
	};
	json_t *file;
	enum rc rc;

	if (file_text.len > LIMIT_CONFIG_FILE)
		return err_set(e, RC_LIMIT, "a file of more than %d bytes", LIMIT_CONFIG_FILE);
	rc = json_read(&file, file_text, a.e);
	if (rc != RC_OK)
		return rc;
	a.file = file;
	for (int k = 0; k < RESOURCE_KINDS; k++)
		a.refs[k] = json_object();
	rc = check_file(&a);
	if (rc == RC_OK)
		rc = apply_checked(&a);
	for (int k = 0; k < RESOURCE_KINDS; k++)
		json_decref(a.refs[k]);
	json_decref(file);
	if (rc != RC_OK)
		apply_result_free(result);
	return rc;
}

/* Keeps the hook. */
void apply_result_free(struct apply_result *result)
{
	for (size_t i = 0; i < result->count; i++)
		free(result->changes[i].name);
	free(result->changes);
	*result = (struct apply_result) { .before_commit = result->before_commit,
		                          .arg = result->arg };
}
