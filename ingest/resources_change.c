#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "ingest/address_list.h"
#include "ingest/config.h"
#include "ingest/import_job.h"
#include "ingest/members.h"
#include "ingest/resources_db.h"
#include "ingest/shape_resources.h"
#include "ingest/tags.h"

#define WEEK_MS (7 * MS_PER_DAY)

/* One change on its way: what was asked for, and what store_run's callbacks need. */
struct changing {
	enum resource_kind kind;
	struct slice reference;
	json_t *item;                  /* as asked, without nulls */
	char hash[PASSWORD_HASH_ROOM]; /* of a password that comes with it; "": none */
	const json_t *list;            /* of addresses, tags or their keys */
	struct slice address;
};

static bool is_word(const json_t *object, const char *member, const char *word)
{
	return slice_equal(json_member_text(object, member), slice_str(word));
}

static enum rc not_found(const struct storing *st, const struct changing *c)
{
	return err_set(st->e, RC_NOTFOUND, "none of the %s has the id \"%.*s\"",
	               resource_kinds[c->kind].plural, (int)MIN_OF(c->reference.len, 100u),
	               c->reference.len ? (const char *)c->reference.at : "");
}

static enum rc find(const struct storing *st, const struct changing *c, char id[RESOURCE_ID_ROOM])
{
	enum rc rc = store_find(st, c->kind, c->reference, id);

	return rc == RC_NOTFOUND ? not_found(st, c) : rc;
}

/* ---- checks ---- */

/* The members of an address list may be left out here. */
static enum rc check_shape(const struct storing *st, enum resource_kind kind, const json_t *item)
{
	json_t *copy = json_copy((json_t *)(uintptr_t)item);
	enum rc rc;

	if (kind == RESOURCE_ADDRESS_LIST && !json_object_get(copy, "Addresses"))
		json_put(copy, "Addresses", json_array());
	rc = shape_check(resource_kinds[kind].shape, copy, NULL, SHAPE_OPEN, st->e);
	/* Now only a quota can be in the way. */
	if (rc == RC_OK && st->result->limits &&
	    shape_check(resource_kinds[kind].shape, copy, NULL, SHAPE_STRICT, st->e) != RC_OK)
		rc = st->e->code = RC_LIMIT;
	json_decref(copy);
	if (rc == RC_OK && kind == RESOURCE_INGRESS_POINT)
		rc = store_check_point(st, item, NULL);
	return rc;
}

static enum rc check_name(const struct storing *st, enum resource_kind kind, const json_t *item,
                          const char *id)
{
	struct slice name = store_name(item, kind);
	char other[RESOURCE_ID_ROOM];
	enum rc rc;

	if (!name.len)
		return err_set(st->e, RC_INVALID, "%s: must not be empty",
		               resource_kinds[kind].name);
	rc = store_find_name(st, kind, name, other);
	if (rc == RC_OK && strcmp(other, id) != 0)
		return err_set(st->e, RC_EXISTS, "%s: %s", resource_kinds[kind].name,
		               kind == RESOURCE_ADDON_INSTANCE
		                       ? "the subscription has an instance already"
		                       : "the name is taken");
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc count(const struct storing *st, enum resource_kind kind, const char *with,
                     const char *without, int64_t *n)
{
	struct stmt *s;
	enum rc rc =
	        db_prepare(st->control, &s,
	                   "SELECT count(*) FROM resource WHERE kind = ?1"
	                   " AND (?2 = '' OR instr(json, ?2)) AND (?3 = '' OR NOT instr(json, ?3))",
	                   st->e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, slice_str(resource_kinds[kind].plural));
	stmt_bind_text(s, 2, slice_str(with));
	stmt_bind_text(s, 3, slice_str(without));
	rc = stmt_step(s, st->e);
	if (rc == RC_OK)
		*n = stmt_int(s, 0);
	stmt_free(&s);
	return rc;
}

/* JSON is stored in its compact form. */
static size_t limit_of_points(const struct resource_limits *l, const json_t *item,
                              const char **with)
{
	if (is_word(item, "Type", "AUTH")) {
		*with = "\"Type\":\"AUTH\"";
		return l->auth_points;
	}
	if (is_word(item, "Type", "MTLS")) {
		*with = "\"Type\":\"MTLS\"";
		return l->mtls_points;
	}
	*with = "\"Type\":\"OPEN\"";
	return l->open_points;
}

static size_t limit_of(const struct storing *st, enum resource_kind kind, const json_t *item,
                       const char **with, const char **without)
{
	const struct resource_limits *l = st->result->limits;

	*with = *without = "";
	switch (kind) {
	case RESOURCE_ARCHIVE:
		*without = "\"ArchiveState\":";
		return l->archives;
	case RESOURCE_ADDRESS_LIST:
		return l->address_lists;
	case RESOURCE_RELAY:
		return l->relays;
	case RESOURCE_TRAFFIC_POLICY:
		return l->traffic_policies;
	case RESOURCE_RULE_SET:
		return l->rule_sets;
	case RESOURCE_INGRESS_POINT:
		return limit_of_points(l, item, with);
	case RESOURCE_ADDON_SUBSCRIPTION:
	case RESOURCE_ADDON_INSTANCE:
	case RESOURCE_KINDS:
		break;
	}
	return 0;
}

static size_t count_sending(const json_t *item)
{
	const json_t *rules = json_member_array(item, "Rules");
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(rules); i++) {
		const json_t *actions = json_member_array(json_array_get(rules, i), "Actions");

		for (size_t k = 0; k < json_array_size(actions); k++) {
			const json_t *a = json_array_get(actions, k);

			n += json_object_get(a, "Send") || json_object_get(a, "Relay");
		}
	}
	return n;
}

/* Of one rule set, whether it is new or changed. */
static enum rc check_actions(const struct storing *st, const json_t *item)
{
	const struct resource_limits *l = st->result->limits;

	if (!l || count_sending(item) <= l->sending_actions)
		return RC_OK;
	return err_set(st->e, RC_LIMIT, "a rule set has at most %zu Send and Relay actions",
	               l->sending_actions);
}

static enum rc check_quota(const struct storing *st, enum resource_kind kind, const json_t *item)
{
	const char *with;
	const char *without;
	size_t most;
	int64_t n = 0;
	enum rc rc;

	if (!st->result->limits)
		return RC_OK;
	most = limit_of(st, kind, item, &with, &without);
	if (!most)
		return RC_OK;
	rc = count(st, kind, with, without, &n);
	if (rc == RC_OK && n >= (int64_t)most)
		rc = err_set(st->e, RC_LIMIT, "%s: at most %zu", resource_kinds[kind].plural, most);
	return rc;
}

static enum rc check_members(const struct storing *st, struct slice list)
{
	const struct resource_limits *l = st->result->limits;
	int64_t n = 0;
	enum rc rc = members_count(st->control, list, &n, st->e);

	if (rc == RC_OK && l && l->list_members && n > (int64_t)l->list_members)
		rc = err_set(st->e, RC_LIMIT, "an address list has at most %zu addresses",
		             l->list_members);
	return rc;
}

/* ---- create ---- */

/* A trust store stays: it is part of the point. */
static json_t *take_password(const struct changing *c)
{
	json_t *given = NULL;

	if (c->kind != RESOURCE_INGRESS_POINT)
		return NULL;
	given = json_object_get(c->item, "IngressPointConfiguration");
	if (json_object_size(given) == 1 && json_object_get(given, "TlsAuthConfiguration"))
		return NULL;
	if (given)
		(void)json_incref(given);
	(void)json_object_del(c->item, "IngressPointConfiguration");
	return given;
}

/* Outside of the transaction: it takes its time. `given` is the union, or NULL. */
static enum rc hash_given(const struct storing *st, struct changing *c, const json_t *given)
{
	struct slice password = json_member_text(given, "SmtpPassword");

	if (!given)
		return RC_OK;
	if (!password.at || json_object_size(given) != 1)
		return err_set(st->e, RC_INVALID,
		               "IngressPointConfiguration: must have exactly one of: SmtpPassword, "
		               "TlsAuthConfiguration");
	return password_hash(password, c->hash, st->e);
}

static enum rc put_password(const struct storing *st, const struct changing *c, const json_t *point,
                            const char *id, bool *changed)
{
	int64_t version;

	if (!c->hash[0])
		return RC_OK;
	if (!is_word(point, "Type", "AUTH"))
		return err_set(st->e, RC_INVALID,
		               "IngressPointConfiguration: an ingress point of type %s has no "
		               "password",
		               json_string_value(json_object_get(point, "Type")));
	*changed = true;
	return password_store(st->control, slice_str(id), c->hash, &version, st->e);
}

static enum rc create(struct storing *st, void *arg)
{
	struct changing *c = arg;
	char id[RESOURCE_ID_ROOM] = "";
	bool changed = false;
	enum rc rc = store_resolve(st, c->kind, c->item, NULL);

	if (rc == RC_OK)
		rc = check_name(st, c->kind, c->item, id);
	if (rc == RC_OK)
		rc = check_quota(st, c->kind, c->item);
	if (rc == RC_OK)
		rc = check_actions(st, c->item);
	if (rc == RC_OK)
		rc = store_settle(st, c->kind, c->item, NULL, NULL);
	if (rc != RC_OK)
		return rc;
	store_room(st, 1);
	rc = store_item(st, c->kind, c->item, NULL, 0, id);
	if (rc == RC_OK && c->kind == RESOURCE_ADDRESS_LIST)
		rc = check_members(st, slice_str(id));
	return rc == RC_OK ? put_password(st, c, c->item, id, &changed) : rc;
}

enum rc resources_create(struct db *control, enum resource_kind kind, const json_t *json,
                         struct apply_result *r, struct err *e)
{
	struct err mine = { 0 };
	struct storing st = { .control = control, .result = r, .e = e ? e : &mine };
	struct changing c = { .kind = kind, .item = store_without_nulls(json) };
	json_t *given = take_password(&c);
	enum rc rc = check_shape(&st, kind, c.item);

	if (rc == RC_OK && kind == RESOURCE_ADDON_INSTANCE &&
	    !json_object_get(c.item, "AddonSubscriptionId") &&
	    !json_object_get(c.item, "AddonName"))
		rc = err_set(st.e, RC_INVALID, "AddonSubscriptionId: Member must not be null");
	if (rc == RC_OK)
		rc = hash_given(&st, &c, given);
	if (rc == RC_OK)
		rc = store_run(&st, create, &c);
	json_decref(given);
	json_decref(c.item);
	return rc;
}

/* ---- update ---- */

/* When the archive's retention was changed last; 0: it is that of its creation. */
static enum rc last_retention_change(const struct storing *st, const char *id, int64_t *when_ms)
{
	json_t *newer = NULL;
	int64_t newer_ms = 0;
	struct stmt *s;
	enum rc rc = db_prepare(st->control, &s,
	                        "SELECT json, created_ms FROM resource_version"
	                        " WHERE kind = 'Archives' AND id = ? ORDER BY version DESC",
	                        st->e);

	*when_ms = 0;
	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, slice_str(id));
	while (rc == RC_OK && !*when_ms && (rc = stmt_step(s, st->e)) == RC_OK) {
		json_t *older;

		rc = json_read(&older, stmt_text(s, 0), st->e);
		if (rc != RC_OK)
			break;
		if (newer && !json_equal(json_object_get(newer, "Retention"),
		                         json_object_get(older, "Retention")))
			*when_ms = newer_ms;
		json_decref(newer);
		newer = older;
		newer_ms = stmt_int(s, 1);
	}
	json_decref(newer);
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc check_retention(const struct storing *st, const char *id, const json_t *merged,
                               const json_t *before)
{
	int64_t last;
	enum rc rc;

	if (!st->result->limits || !st->result->limits->retention_weekly ||
	    json_equal(json_object_get(merged, "Retention"), json_object_get(before, "Retention")))
		return RC_OK;
	rc = last_retention_change(st, id, &last);
	if (rc == RC_OK && last && st->now_ms - last < WEEK_MS)
		rc = err_set(
		        st->e, RC_LIMIT,
		        "Retention: it was changed less than 7 days ago; once a week is the quota");
	return rc;
}

static json_t *merge(const json_t *before, const json_t *item)
{
	json_t *merged =
	        json_copy((json_t *)(uintptr_t)before); /* only its own members are changed */

	MUST(merged && json_object_update(merged, (json_t *)(uintptr_t)item) == 0);
	return merged;
}

/* Names of what it refers to stand for ids. */
static void forget_replaced(json_t *merged, const json_t *item)
{
	static const enum resource_kind kinds[] = { RESOURCE_RULE_SET, RESOURCE_TRAFFIC_POLICY };

	for (size_t i = 0; i < COUNT(kinds); i++)
		if (json_object_get(item, resource_kinds[kinds[i]].name) &&
		    !json_object_get(item, resource_kinds[kinds[i]].id))
			(void)json_object_del(merged, resource_kinds[kinds[i]].id);
}

static enum rc check_merged(const struct storing *st, const struct changing *c,
                            const json_t *before)
{
	json_t *merged = merge(before, c->item);
	enum rc rc;

	if (c->kind == RESOURCE_INGRESS_POINT)
		forget_replaced(merged, c->item);
	rc = check_shape(st, c->kind, merged);
	json_decref(merged);
	return rc;
}

static enum rc write_update(struct storing *st, struct changing *c, const json_t *before,
                            int64_t old, char id[RESOURCE_ID_ROOM])
{
	json_t *merged = merge(before, c->item);
	bool changed = false;
	enum rc rc = check_name(st, c->kind, merged, id);

	if (rc == RC_OK && c->kind == RESOURCE_ARCHIVE)
		rc = check_retention(st, id, merged, before);
	if (rc == RC_OK)
		rc = check_actions(st, merged);
	if (rc == RC_OK)
		rc = store_settle(st, c->kind, merged, before, NULL);
	if (rc == RC_OK)
		rc = put_password(st, c, merged, id, &changed);
	if (rc == RC_OK) {
		store_room(st, 1);
		rc = store_item(st, c->kind, merged, before, old, id);
	}
	if (rc == RC_OK && c->kind == RESOURCE_ADDRESS_LIST)
		rc = check_members(st, slice_str(id));
	if (rc == RC_OK && changed && st->result->unchanged) {
		st->result->changes[0].what = APPLY_UPDATED;
		st->result->unchanged--;
		st->result->updated++;
	}
	json_decref(merged);
	return rc;
}

static enum rc update(struct storing *st, void *arg)
{
	struct changing *c = arg;
	char id[RESOURCE_ID_ROOM];
	json_t *before = NULL;
	int64_t old;
	enum rc rc = find(st, c, id);

	if (rc == RC_OK)
		rc = store_load(st, c->kind, slice_str(id), &before, &old);
	if (rc == RC_OK)
		rc = store_changeable(st, c->kind, before, NULL);
	if (rc == RC_OK)
		rc = check_merged(st, c, before);
	if (rc == RC_OK)
		rc = store_resolve(st, c->kind, c->item, NULL);
	if (rc == RC_OK)
		rc = write_update(st, c, before, old, id);
	json_decref(before);
	return rc;
}

enum rc resources_update(struct db *control, enum resource_kind kind, struct slice reference,
                         const json_t *json, struct apply_result *r, struct err *e)
{
	struct err mine = { 0 };
	struct storing st = { .control = control, .result = r, .e = e ? e : &mine };
	struct changing c = { .kind = kind,
		              .reference = reference,
		              .item = store_without_nulls(json) };
	json_t *given = take_password(&c);
	enum rc rc = hash_given(&st, &c, given);

	if (rc == RC_OK)
		rc = store_run(&st, update, &c);
	json_decref(given);
	json_decref(c.item);
	return rc;
}

/* ---- delete ---- */

/* Ids are long and random: where one stands in a JSON text, it is referred to. */
static enum rc check_use(const struct storing *st, enum resource_kind by, const char *id)
{
	struct stmt *s;
	enum rc rc = db_prepare(st->control, &s,
	                        "SELECT name, id FROM resource WHERE kind = ?1 AND instr(json, ?2)"
	                        " LIMIT 1",
	                        st->e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, slice_str(resource_kinds[by].plural));
	stmt_bind_text(s, 2, slice_str(id));
	rc = stmt_step(s, st->e);
	if (rc == RC_OK) {
		struct slice name = stmt_text(s, by == RESOURCE_ADDON_INSTANCE ? 1 : 0);

		rc = err_set(st->e, RC_EXISTS, "it is in use by \"%.*s\" of the %s", (int)name.len,
		             (const char *)name.at, resource_kinds[by].plural);
	}
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc check_uses(const struct storing *st, enum resource_kind kind, const char *id)
{
	enum rc rc;

	switch (kind) {
	case RESOURCE_RULE_SET:
	case RESOURCE_TRAFFIC_POLICY:
		return check_use(st, RESOURCE_INGRESS_POINT, id);
	case RESOURCE_ADDRESS_LIST:
	case RESOURCE_ADDON_INSTANCE:
		rc = check_use(st, RESOURCE_TRAFFIC_POLICY, id);
		return rc == RC_OK ? check_use(st, RESOURCE_RULE_SET, id) : rc;
	case RESOURCE_ADDON_SUBSCRIPTION:
		return check_use(st, RESOURCE_ADDON_INSTANCE, id);
	case RESOURCE_ARCHIVE:
	case RESOURCE_RELAY:
	case RESOURCE_INGRESS_POINT:
	case RESOURCE_KINDS:
		break;
	}
	return RC_OK;
}

static enum rc run(const struct storing *st, const char *sql, enum resource_kind kind,
                   const char *id, int64_t version)
{
	struct stmt *s;
	enum rc rc = db_prepare(st->control, &s, sql, st->e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, slice_str(resource_kinds[kind].plural));
	stmt_bind_text(s, 2, slice_str(id));
	if (strstr(sql, "?3"))
		stmt_bind_int(s, 3, version);
	if (strstr(sql, "?4"))
		stmt_bind_int(s, 4, st->now_ms);
	rc = stmt_run(s, st->e);
	stmt_free(&s);
	return rc;
}

/* The versions stay, and one says that it went. */
static enum rc take_out(struct storing *st, enum resource_kind kind, const char *id,
                        const json_t *before, int64_t old)
{
	enum rc rc = run(st, "DELETE FROM resource WHERE kind = ?1 AND id = ?2", kind, id, 0);

	if (rc == RC_OK)
		rc = run(st,
		         "INSERT INTO resource_version (kind, id, version, json, created_ms)"
		         " VALUES (?1, ?2, ?3, 'null', ?4)",
		         kind, id, old + 1);
	if (rc == RC_OK && kind == RESOURCE_INGRESS_POINT)
		rc = run(st, "DELETE FROM password WHERE ?1 = 'IngressPoints' AND ingress_id = ?2",
		         kind, id, 0);
	if (rc == RC_OK && kind == RESOURCE_ADDRESS_LIST)
		rc = members_drop_list(st->control, slice_str(id), st->e);
	if (rc == RC_OK && kind == RESOURCE_ADDRESS_LIST)
		rc = import_job_drop_list(st->control, slice_str(id), st->e);
	if (rc == RC_OK)
		rc = tags_drop(st->control, slice_str(id), st->e);
	store_room(st, 1);
	if (rc == RC_OK)
		(void)store_note(st, kind, slice_str(id), store_name(before, kind), APPLY_DELETED,
		                 old + 1);
	return rc;
}

/* Again: nothing changes. */
static enum rc begin_end(struct storing *st, char id[RESOURCE_ID_ROOM], const json_t *before,
                         int64_t old)
{
	json_t *pending = json_deep_copy(before);
	enum rc rc;

	if (!json_object_get(pending, "ArchiveState")) {
		json_put_text(pending, "ArchiveState", slice_str("PENDING_DELETION"));
		json_put_int(pending, "PendingSinceMs", st->now_ms);
	}
	store_room(st, 1);
	rc = store_item(st, RESOURCE_ARCHIVE, pending, before, old, id);
	json_decref(pending);
	return rc;
}

static enum rc begin_delete(struct storing *st, void *arg)
{
	struct changing *c = arg;
	char id[RESOURCE_ID_ROOM];
	json_t *before = NULL;
	int64_t old;
	enum rc rc = find(st, c, id);

	if (rc == RC_OK)
		rc = store_load(st, c->kind, slice_str(id), &before, &old);
	if (rc == RC_OK)
		rc = check_uses(st, c->kind, id);
	if (rc == RC_OK && c->kind == RESOURCE_ARCHIVE)
		rc = begin_end(st, id, before, old);
	else if (rc == RC_OK)
		rc = take_out(st, c->kind, id, before, old);
	json_decref(before);
	return rc;
}

enum rc resources_delete(struct db *control, enum resource_kind kind, struct slice reference,
                         struct apply_result *r, struct err *e)
{
	struct err mine = { 0 };
	struct storing st = { .control = control, .result = r, .e = e ? e : &mine };
	struct changing c = { .kind = kind, .reference = reference };

	return store_run(&st, begin_delete, &c);
}

static enum rc end_archive(struct storing *st, void *arg)
{
	struct changing *c = arg;
	char id[RESOURCE_ID_ROOM];
	json_t *before = NULL;
	int64_t since;
	int64_t old;
	enum rc rc = find(st, c, id);

	if (rc == RC_OK)
		rc = store_load(st, RESOURCE_ARCHIVE, slice_str(id), &before, &old);
	since = json_member_int(before, "PendingSinceMs", 0);
	if (rc == RC_OK && (!since || st->now_ms - since < ARCHIVE_PENDING_DAYS * MS_PER_DAY))
		rc = err_set(st->e, RC_DENIED, "archive %s: it isn't to be destroyed yet", id);
	if (rc == RC_OK)
		rc = take_out(st, RESOURCE_ARCHIVE, id, before, old);
	json_decref(before);
	return rc;
}

enum rc resources_end_archive(struct db *control, struct slice id, struct apply_result *r,
                              struct err *e)
{
	struct err mine = { 0 };
	struct storing st = { .control = control, .result = r, .e = e ? e : &mine };
	struct changing c = { .kind = RESOURCE_ARCHIVE, .reference = id };

	return store_run(&st, end_archive, &c);
}

/* ---- tags ---- */

static enum rc change_tags(struct storing *st, struct changing *c,
                           enum rc (*work)(struct db *control, struct slice id, const json_t *list,
                                           bool *changed, struct err *e))
{
	char id[RESOURCE_ID_ROOM];
	json_t *stored = NULL;
	bool changed = false;
	int64_t version;
	enum rc rc = find(st, c, id);

	if (rc == RC_OK)
		rc = store_load(st, c->kind, slice_str(id), &stored, &version);
	if (rc == RC_OK)
		rc = store_changeable(st, c->kind, stored, NULL);
	if (rc == RC_OK)
		rc = work(st->control, slice_str(id), c->list, &changed, st->e);
	if (rc == RC_OK) {
		store_room(st, 1);
		(void)store_note(st, c->kind, slice_str(id), store_name(stored, c->kind),
		                 changed ? APPLY_UPDATED : APPLY_UNCHANGED, 0);
	}
	json_decref(stored);
	return rc;
}

static enum rc add_tags(struct storing *st, void *arg)
{
	return change_tags(st, arg, tags_add);
}

static enum rc remove_tags(struct storing *st, void *arg)
{
	return change_tags(st, arg, tags_remove);
}

static enum rc run_tags(struct storing *st, struct changing *c, const struct shape *shape,
                        const char *member, enum rc (*work)(struct storing *st, void *arg))
{
	const struct shape_path path = { .member = member };
	enum rc rc = shape_check(shape, c->list, &path, SHAPE_STRICT, st->e);

	return rc == RC_OK ? store_run(st, work, c) : rc;
}

enum rc resources_tag(struct db *control, enum resource_kind kind, struct slice reference,
                      const json_t *tags, struct apply_result *r, struct err *e)
{
	struct err mine = { 0 };
	struct storing st = { .control = control, .result = r, .e = e ? e : &mine };
	struct changing c = { .kind = kind, .reference = reference, .list = tags };

	return run_tags(&st, &c, &shape_TagList, "Tags", add_tags);
}

enum rc resources_untag(struct db *control, enum resource_kind kind, struct slice reference,
                        const json_t *keys, struct apply_result *r, struct err *e)
{
	struct err mine = { 0 };
	struct storing st = { .control = control, .result = r, .e = e ? e : &mine };
	struct changing c = { .kind = kind, .reference = reference, .list = keys };

	return run_tags(&st, &c, &shape_TagKeyList, "TagKeys", remove_tags);
}

/* ---- members of address lists ---- */

enum rc store_note_members(struct storing *st, struct slice id, int64_t added, int64_t removed)
{
	struct apply_change *note;
	json_t *list = NULL;
	int64_t version;
	enum rc rc = store_load(st, RESOURCE_ADDRESS_LIST, id, &list, &version);

	store_room(st, 1);
	if (rc == RC_OK) {
		note = store_note(st, RESOURCE_ADDRESS_LIST, id,
		                  store_name(list, RESOURCE_ADDRESS_LIST),
		                  added || removed ? APPLY_UPDATED : APPLY_UNCHANGED, 0);
		note->members_added = added;
		note->members_removed = removed;
	}
	json_decref(list);
	if (rc != RC_OK || (!added && !removed))
		return rc;
	return run(st, "UPDATE resource SET updated_ms = ?4 WHERE kind = ?1 AND id = ?2",
	           RESOURCE_ADDRESS_LIST, st->result->changes[st->result->count - 1].id, 0);
}

static enum rc check_address(const struct storing *st, struct slice address, size_t i)
{
	const char *fault = address.at ? address_entry_fault(address) : "must be a string";

	return fault ? err_set(st->e, RC_INVALID, "Addresses[%zu]: %s", i, fault) : RC_OK;
}

static enum rc register_members(struct storing *st, void *arg)
{
	struct changing *c = arg;
	struct members_change m = { 0 };
	char id[RESOURCE_ID_ROOM];
	enum rc rc = find(st, c, id);

	if (rc == RC_OK)
		m.set = store_list_set(st, slice_str(id));
	for (size_t i = 0; i < json_array_size(c->list) && rc == RC_OK; i++) {
		struct slice address = json_text(json_array_get(c->list, i));

		rc = check_address(st, address, i);
		if (rc == RC_OK)
			rc = members_add(st->control, slice_str(id), address, st->now_ms, &m,
			                 st->e);
	}
	if (rc == RC_OK)
		rc = check_members(st, slice_str(id));
	return rc == RC_OK ? store_note_members(st, slice_str(id), m.added, m.removed) : rc;
}

enum rc resources_register(struct db *control, struct slice list, const json_t *addresses,
                           struct apply_result *r, struct err *e)
{
	struct err mine = { 0 };
	struct storing st = { .control = control, .result = r, .e = e ? e : &mine };
	struct changing c = { .kind = RESOURCE_ADDRESS_LIST, .reference = list, .list = addresses };

	return store_run(&st, register_members, &c);
}

static enum rc deregister_member(struct storing *st, void *arg)
{
	struct changing *c = arg;
	struct members_change m = { 0 };
	char id[RESOURCE_ID_ROOM];
	enum rc rc = find(st, c, id);

	if (rc == RC_OK) {
		m.set = store_list_set(st, slice_str(id));
		rc = members_remove(st->control, slice_str(id), c->address, &m, st->e);
	}
	return rc == RC_OK ? store_note_members(st, slice_str(id), m.added, m.removed) : rc;
}

enum rc resources_deregister(struct db *control, struct slice list, struct slice address,
                             struct apply_result *r, struct err *e)
{
	struct err mine = { 0 };
	struct storing st = { .control = control, .result = r, .e = e ? e : &mine };
	struct changing c = { .kind = RESOURCE_ADDRESS_LIST,
		              .reference = list,
		              .address = address };

	return store_run(&st, deregister_member, &c);
}
