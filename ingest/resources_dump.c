#include "ingest/resources.h"

#include <stdlib.h>

#include "ingest/resources_db.h"
#include "ingest/shape_resources.h"

/* Of each kind: id -> name. */
struct names {
	json_t *of[RESOURCE_KINDS];
};

static void learn_names(struct names *n, const json_t *all)
{
	for (int k = 0; k < RESOURCE_KINDS; k++) {
		const json_t *list = json_member_array(all, resource_kinds[k].plural);

		n->of[k] = json_object();
		for (size_t i = 0; i < json_array_size(list); i++) {
			const json_t *one = json_array_get(list, i);
			char *id = slice_string(json_member_text(one, resource_kinds[k].id));

			json_put_text(n->of[k], id, json_member_text(one, resource_kinds[k].name));
			free(id);
		}
	}
}

/* The name that the id stands for; what has gone keeps its id. */
static json_t *name_of(const struct names *n, enum resource_kind kind, const json_t *id)
{
	json_t *name = json_object_get(n->of[kind], json_string_value(id));

	return json_incref(name ? name : (json_t *)(uintptr_t)id);
}

/* An instance's name is its subscription's id, whose name is the add-on's. */
static json_t *addon_of(const struct names *n, const json_t *id)
{
	json_t *subscription = name_of(n, RESOURCE_ADDON_INSTANCE, id);
	json_t *name = name_of(n, RESOURCE_ADDON_SUBSCRIPTION, subscription);
	json_t *addon = json_incref(name == subscription ? (json_t *)(uintptr_t)id : name);

	json_decref(name);
	json_decref(subscription);
	return addon;
}

/* In policies and rule sets only these four members refer to something (resources_store.c). */
static void name_references(const struct names *n, json_t *value)
{
	const char *member;
	json_t *item;
	void *next;

	for (size_t i = 0; i < json_array_size(value); i++)
		name_references(n, json_array_get(value, i));
	json_object_foreach_safe(value, next, member, item)
	{
		if (strcmp(member, "Relay") == 0 && json_is_string(item))
			json_put(value, member, name_of(n, RESOURCE_RELAY, item));
		else if (strcmp(member, "TargetArchive") == 0)
			json_put(value, member, name_of(n, RESOURCE_ARCHIVE, item));
		else if (strcmp(member, "Analyzer") == 0)
			json_put(value, member, addon_of(n, item));
		else if (strcmp(member, "AddressLists") == 0 && json_array_size(item) == 1)
			MUST(json_array_set_new(item, 0,
			                        name_of(n, RESOURCE_ADDRESS_LIST,
			                                json_array_get(item, 0))) == 0);
		else
			name_references(n, item);
	}
}

/* Members that a file may have. */
static void keep_shaped(json_t *one, const struct shape *shape)
{
	const char *member;
	json_t *item;
	void *next;

	json_object_foreach_safe(one, next, member, item)
	{
		const struct shape_member *m = shape_member(shape, member);

		if (!m || m->later)
			(void)json_object_del(one, member);
	}
}

static void by_name(const struct names *n, json_t *one, enum resource_kind kind)
{
	const struct resource_kind_info *info = &resource_kinds[kind];
	const json_t *id = json_object_get(one, info->id);

	if (!id)
		return;
	json_put(one, kind == RESOURCE_ADDON_SUBSCRIPTION ? "AddonName" : info->name,
	         name_of(n, kind, id));
	(void)json_object_del(one, info->id);
}

static void dump_one(const struct names *n, enum resource_kind kind, json_t *one)
{
	const struct shape_member *list =
	        shape_member(&shape_apply_file, resource_kinds[kind].plural);

	keep_shaped(one, list->shape->item);
	if (kind == RESOURCE_TRAFFIC_POLICY || kind == RESOURCE_RULE_SET)
		name_references(n, one);
	if (kind == RESOURCE_ADDON_INSTANCE)
		by_name(n, one, RESOURCE_ADDON_SUBSCRIPTION);
	if (kind == RESOURCE_INGRESS_POINT) {
		by_name(n, one, RESOURCE_RULE_SET);
		by_name(n, one, RESOURCE_TRAFFIC_POLICY);
	}
}

/* An archive that is being deleted isn't made again. */
static void drop_pending(json_t *archives)
{
	for (size_t i = json_array_size(archives); i-- > 0;)
		if (json_object_get(json_array_get(archives, i), "ArchiveState"))
			(void)json_array_remove(archives, i);
}

enum rc resources_dump(struct db *control, json_t **out, struct err *e)
{
	struct names n;
	enum rc rc = resources_show(control, NULL, NULL, out, e);

	if (rc != RC_OK)
		return rc;
	learn_names(&n, *out);
	drop_pending(json_member_array(*out, "Archives"));
	for (int k = 0; k < RESOURCE_KINDS; k++) {
		json_t *list = json_member_array(*out, resource_kinds[k].plural);

		for (size_t i = 0; i < json_array_size(list); i++)
			dump_one(&n, (enum resource_kind)k, json_array_get(list, i));
	}
	for (int k = 0; k < RESOURCE_KINDS; k++)
		json_decref(n.of[k]);
	return RC_OK;
}
