#include "ingest/resources.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "ingest/config.h"
#include "ingest/import_job.h"
#include "ingest/members.h"
#include "ingest/resources_db.h"
#include "ingest/shape_resources.h"
#include "ingest/tags.h"
#include "ingest/tokens.h"

const struct resource_kind_info resource_kinds[RESOURCE_KINDS] = {
	{ "Archives", "ArchiveId", "ArchiveName", "a-", "mailmanager-archive",
	  &shape_apply_archive },
	{ "AddressLists", "AddressListId", "AddressListName", "al-", "mailmanager-address-list",
	  &shape_apply_address_list },
	{ "Relays", "RelayId", "RelayName", "r-", "mailmanager-smtp-relay", &shape_apply_relay },
	{ "AddonSubscriptions", "AddonSubscriptionId", "AddonName", "as-", "addon-subscription",
	  &shape_apply_addon_subscription },
	{ "AddonInstances", "AddonInstanceId", "AddonSubscriptionId", "ai-", "addon-instance",
	  &shape_apply_addon_instance },
	{ "TrafficPolicies", "TrafficPolicyId", "TrafficPolicyName", "tp-",
	  "mailmanager-traffic-policy", &shape_apply_traffic_policy },
	{ "RuleSets", "RuleSetId", "RuleSetName", "rs-", "mailmanager-rule-set",
	  &shape_apply_rule_set },
	{ "IngressPoints", "IngressPointId", "IngressPointName", "inp-",
	  "mailmanager-ingress-point", &shape_apply_ingress_point },
};

const struct resource_limits resource_limits_aws = {
	.archives = 10,
	.address_lists = 100,
	.list_members = 100000,
	.relays = 40,
	.traffic_policies = 100,
	.rule_sets = 40,
	.sending_actions = 10,
	.open_points = 10,
	.auth_points = 50,
	.mtls_points = 50,
	.retention_weekly = true,
};

const char *resource_kind_plural(enum resource_kind kind)
{
	return resource_kinds[kind].plural;
}

const char *resource_kind_id(enum resource_kind kind)
{
	return resource_kinds[kind].id;
}

const char *resource_kind_name(enum resource_kind kind)
{
	return resource_kinds[kind].name;
}

const char *resource_kind_arn(enum resource_kind kind)
{
	return resource_kinds[kind].arn;
}

/* `word` without its '-' and '_', in lower case, cut to the room. */
static void fold_word(char *out, size_t room, const char *word)
{
	size_t n = 0;

	for (; *word && n + 1 < room; word++)
		if (*word != '-' && *word != '_')
			out[n++] = (char)(*word >= 'A' && *word <= 'Z' ? *word | 0x20 : *word);
	out[n] = '\0';
}

bool resource_kind_parse(const char *word, enum resource_kind *kind)
{
	char given[32];
	char plural[32];
	char single[32];

	fold_word(given, sizeof(given), word);
	for (int k = 0; k < RESOURCE_KINDS; k++) {
		struct slice id = slice_str(resource_kinds[k].id);
		char *without = slice_string(slice_part(id, 0, id.len - strlen("Id")));

		fold_word(plural, sizeof(plural), resource_kinds[k].plural);
		fold_word(single, sizeof(single), without);
		free(without);
		if (strcmp(given, plural) == 0 || strcmp(given, single) == 0) {
			*kind = (enum resource_kind)k;
			return true;
		}
	}
	return false;
}

/* resource_version keeps every version ever; AUTOINCREMENT keeps numbers from being used again. */
enum rc resources_open(struct db *control, struct err *e)
{
	static const char schema[] =
	        "CREATE TABLE IF NOT EXISTS resource ("
	        " kind TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL,"
	        " version INTEGER NOT NULL, json TEXT NOT NULL,"
	        " created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,"
	        " PRIMARY KEY (kind, id), UNIQUE (kind, name));"
	        "CREATE TABLE IF NOT EXISTS resource_version ("
	        " change INTEGER PRIMARY KEY AUTOINCREMENT,"
	        " kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL,"
	        " json TEXT NOT NULL, created_ms INTEGER NOT NULL,"
	        " UNIQUE (kind, id, version));"
	        "CREATE TABLE IF NOT EXISTS archive_number ("
	        " number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE);"
	        "CREATE TABLE IF NOT EXISTS password ("
	        " change INTEGER PRIMARY KEY AUTOINCREMENT,"
	        " ingress_id TEXT NOT NULL, version INTEGER NOT NULL, hash TEXT NOT NULL,"
	        " created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,"
	        " UNIQUE (ingress_id, version));";

	enum rc rc = db_exec(control, schema, e);

	if (rc == RC_OK)
		rc = members_open(control, e);
	if (rc == RC_OK)
		rc = tags_open(control, e);
	if (rc == RC_OK)
		rc = tokens_open(control, e);
	return rc == RC_OK ? import_job_open(control, e) : rc;
}

static enum rc archive_number(struct db *control, struct slice id, int64_t *number, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s, "SELECT number FROM archive_number WHERE id = ?", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, id);
	rc = stmt_step(s, e);
	if (rc == RC_OK)
		*number = stmt_int(s, 0);
	else if (rc == RC_NOTFOUND)
		rc = err_set(e, RC_CORRUPT, "archive %.*s has no number", (int)id.len,
		             (const char *)id.at);
	stmt_free(&s);
	return rc;
}

enum rc resources_keep_numbers(struct db *control, uint32_t highest, struct err *e)
{
	struct stmt *s;
	int64_t known;
	enum rc rc =
	        db_int(control, "SELECT seq FROM sqlite_sequence WHERE name = 'archive_number'", -1,
	               &known, e);

	if (rc != RC_OK || known >= (int64_t)highest)
		return rc;
	rc = db_prepare(
	        control, &s,
	        known < 0 ? "INSERT INTO sqlite_sequence (name, seq)"
	                    " VALUES ('archive_number', ?)"
	                  : "UPDATE sqlite_sequence SET seq = ? WHERE name = 'archive_number'",
	        e);
	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, highest);
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}

enum rc resource_frame(struct db *control, enum resource_kind kind, struct slice id,
                       int64_t version, struct slice stored, json_t **out, struct err *e)
{
	int64_t number = 0;
	enum rc rc = json_read(out, stored, e);

	if (rc != RC_OK)
		return rc;
	if (kind == RESOURCE_ARCHIVE) {
		rc = archive_number(control, id, &number, e);
		if (rc != RC_OK) {
			json_decref(*out);
			*out = NULL;
			return rc;
		}
		json_put_int(*out, "ArchiveNumber", number);
	}
	json_put_text(*out, resource_kinds[kind].id, id);
	json_put_int(*out, "Version", version);
	return RC_OK;
}

/* ---- reading ---- */

/* A walk over the resources of one kind, oldest first. */
struct walk {
	struct db *control;
	enum resource_kind kind;
	struct slice only;                    /* a name or id, or empty */
	const struct config *base;            /* what it has isn't read */
	bool show;                            /* with times and tags */
	bool members;                         /* with those of address lists */
	const struct resource_filter *filter; /* of a page */
	json_t *list;
};

static void put_time(json_t *object, const char *member, int64_t ms)
{
	char text[25];

	time_format(text, ms);
	json_put_text(object, member, slice_str(text));
}

/* A configuration knows instances, and which scanner stands for each. */
static enum rc put_addon_name(const struct walk *w, json_t *one, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(w->control, &s,
	                        "SELECT name FROM resource WHERE kind = ? AND id = ?", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, slice_str(resource_kinds[RESOURCE_ADDON_SUBSCRIPTION].plural));
	stmt_bind_text(s, 2, json_member_text(one, "AddonSubscriptionId"));
	rc = stmt_step(s, e);
	if (rc == RC_OK)
		json_put(one, "AddonName", json_of_slice(stmt_text(s, 0)));
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc put_members(const struct walk *w, json_t *one, struct slice id, struct err *e)
{
	json_t *members;
	enum rc rc;

	if (w->kind == RESOURCE_ADDON_INSTANCE && w->members)
		return put_addon_name(w, one, e);
	if (w->kind != RESOURCE_ADDRESS_LIST || !w->members ||
	    (w->base && config_has(w->base, resource_kinds[w->kind].plural, id, 0)))
		return RC_OK;
	rc = members_all(w->control, id, &members, e);
	if (rc == RC_OK)
		json_put(one, "Addresses", members);
	return rc;
}

static enum rc put_shown(const struct walk *w, json_t *one, struct stmt *s, struct err *e)
{
	json_t *tags;
	enum rc rc;

	put_time(one, "CreatedTimestamp", stmt_int(s, 4));
	put_time(one, "LastUpdatedTimestamp", stmt_int(s, 5));
	rc = tags_list(w->control, stmt_text(s, 0), &tags, e);
	if (rc == RC_OK && json_array_size(tags))
		json_put(one, "Tags", tags);
	else if (rc == RC_OK)
		json_decref(tags);
	return rc;
}

static json_t *same(const struct walk *w, struct stmt *s)
{
	json_t *one = json_object();

	json_put_text(one, resource_kinds[w->kind].id, stmt_text(s, 0));
	json_put_int(one, "Version", stmt_int(s, 2));
	json_put_bool(one, CONFIG_SAME, true);
	return one;
}

static enum rc walk_row(const struct walk *w, struct stmt *s, struct err *e)
{
	struct slice id = stmt_text(s, 0);
	json_t *one;
	enum rc rc;

	if (config_has(w->base, resource_kinds[w->kind].plural, id, stmt_int(s, 2))) {
		json_push(w->list, same(w, s));
		return RC_OK;
	}
	rc = resource_frame(w->control, w->kind, id, stmt_int(s, 2), stmt_text(s, 3), &one, e);
	if (rc != RC_OK)
		return rc;
	rc = put_members(w, one, id, e);
	if (rc == RC_OK && w->show)
		rc = put_shown(w, one, s, e);
	json_push(w->list, one);
	return rc;
}

static enum rc walk_kind(const struct walk *w, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(w->control, &s,
	                        "SELECT id, name, version, json, created_ms, updated_ms"
	                        " FROM resource WHERE kind = ?1"
	                        " AND (?2 IS NULL OR id = ?2 OR name = ?2) ORDER BY rowid",
	                        e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, slice_str(resource_kinds[w->kind].plural));
	stmt_bind_text(s, 2, w->only);
	for (;;) {
		rc = stmt_step(s, e);
		if (rc == RC_OK)
			rc = walk_row(w, s, e);
		if (rc != RC_OK)
			break;
	}
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* Passwords that work now, newest first. */
static enum rc list_passwords(struct db *control, json_t *list, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s,
	                        "SELECT ingress_id, version, hash, expires_ms FROM password"
	                        " WHERE expires_ms = 0 OR expires_ms > ? ORDER BY change DESC",
	                        e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, clock_now_ms());
	while ((rc = stmt_step(s, e)) == RC_OK) {
		json_t *one = json_object();

		json_put_text(one, "IngressPointId", stmt_text(s, 0));
		json_put_int(one, "Version", stmt_int(s, 1));
		json_put_text(one, "Hash", stmt_text(s, 2));
		json_put_int(one, "ExpiresMs", stmt_int(s, 3));
		json_push(list, one);
	}
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc read_generation(struct db *control, int64_t *out, struct err *e)
{
	/* The highest numbers ever given: rows of "password" may go. */
	return db_int(control,
	              "SELECT coalesce(sum(seq), 0) FROM sqlite_sequence"
	              " WHERE name IN ('resource_version', 'password')",
	              0, out, e);
}

enum rc resources_snapshot(struct db *control, json_t **out, struct err *e)
{
	return resources_snapshot_since(control, NULL, out, e);
}

static bool is_configured(enum resource_kind kind)
{
	return kind != RESOURCE_ADDON_SUBSCRIPTION;
}

enum rc resources_snapshot_since(struct db *control, const struct config *base, json_t **out,
                                 struct err *e)
{
	json_t *all = json_object();
	int64_t generation = 0;
	enum rc rc = read_generation(control, &generation, e);

	*out = NULL;
	json_put_int(all, "Generation", generation);
	for (int k = 0; k < RESOURCE_KINDS && rc == RC_OK; k++) {
		struct walk w = { .control = control,
			          .kind = (enum resource_kind)k,
			          .base = base,
			          .members = true };

		if (!is_configured(w.kind))
			continue;
		w.list = json_array();
		json_put(all, resource_kinds[k].plural, w.list);
		rc = walk_kind(&w, e);
	}
	if (rc == RC_OK) {
		json_t *passwords = json_array();

		json_put(all, "Passwords", passwords);
		rc = list_passwords(control, passwords, e);
	}
	if (rc != RC_OK) {
		json_decref(all);
		return rc;
	}
	*out = all;
	return RC_OK;
}

enum rc resources_compile(struct db *control, struct config *base, struct config **out,
                          struct err *e)
{
	struct config_source from = { .base = base };
	json_t *snapshot;
	enum rc rc = resources_snapshot_since(control, base, &snapshot, e);

	*out = NULL;
	if (rc != RC_OK)
		return rc;
	rc = config_next(out, snapshot, &from, e);
	json_decref(snapshot);
	return rc;
}

enum rc resources_version(struct db *control, enum resource_kind kind, struct slice id,
                          int64_t version, json_t **out, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(
	        control, &s,
	        "SELECT json FROM resource_version WHERE kind = ? AND id = ? AND version = ?"
	        " AND json <> 'null'",
	        e);

	*out = NULL;
	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, slice_str(resource_kinds[kind].plural));
	stmt_bind_text(s, 2, id);
	stmt_bind_int(s, 3, version);
	rc = stmt_step(s, e);
	if (rc == RC_OK)
		rc = resource_frame(control, kind, id, version, stmt_text(s, 0), out, e);
	else if (rc == RC_NOTFOUND)
		rc = err_set(e, RC_NOTFOUND, "%s: no version %lld of \"%.*s\"",
		             resource_kinds[kind].plural, (long long)version, (int)id.len,
		             (const char *)id.at);
	stmt_free(&s);
	return rc;
}

/* ---- show ---- */

static enum rc find_name(struct db *control, enum resource_kind kind, json_t *point, struct err *e)
{
	struct slice id = json_member_text(point, resource_kinds[kind].id);
	struct stmt *s;
	enum rc rc =
	        db_prepare(control, &s, "SELECT name FROM resource WHERE kind = ? AND id = ?", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, slice_str(resource_kinds[kind].plural));
	stmt_bind_text(s, 2, id);
	rc = stmt_step(s, e);
	if (rc == RC_OK)
		json_put_text(point, resource_kinds[kind].name, stmt_text(s, 0));
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static void put_version(json_t *object, const char *member, int64_t version)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%lld", (long long)version);
	json_put_text(object, member, slice_str(text));
}

/* In the shape of GetIngressPoint. */
static void show_passwords(json_t *point, const json_t *passwords)
{
	struct slice id = json_member_text(point, "IngressPointId");
	json_t *shown = json_object();

	for (size_t i = 0; i < json_array_size(passwords); i++) {
		const json_t *one = json_array_get(passwords, i);
		int64_t expires = json_member_int(one, "ExpiresMs", 0);
		int64_t version = json_member_int(one, "Version", 0);

		if (!slice_equal(id, json_member_text(one, "IngressPointId")))
			continue;
		if (expires == 0) {
			put_version(shown, "SmtpPasswordVersion", version);
			continue;
		}
		put_version(shown, "PreviousSmtpPasswordVersion", version);
		put_time(shown, "PreviousSmtpPasswordExpiryTimestamp", expires);
	}
	if (json_object_size(shown)) {
		json_t *configuration = json_object();

		json_put(configuration, "IngressPointPasswordConfiguration", shown);
		json_put(point, "IngressPointAuthConfiguration", configuration);
	} else {
		json_decref(shown);
	}
}

static enum rc show_points(struct db *control, json_t *list, struct err *e)
{
	json_t *passwords = json_array();
	enum rc rc = list_passwords(control, passwords, e);

	for (size_t i = 0; i < json_array_size(list) && rc == RC_OK; i++) {
		json_t *point = json_array_get(list, i);

		rc = find_name(control, RESOURCE_RULE_SET, point, e);
		if (rc == RC_OK)
			rc = find_name(control, RESOURCE_TRAFFIC_POLICY, point, e);
		show_passwords(point, passwords);
	}
	json_decref(passwords);
	return rc;
}

static enum rc show_kind(struct db *control, enum resource_kind kind, const char *name, json_t *all,
                         struct err *e)
{
	struct walk w = { .control = control,
		          .kind = kind,
		          .only = slice_str(name),
		          .show = true,
		          .members = true,
		          .list = json_array() };
	enum rc rc;

	json_put(all, resource_kinds[kind].plural, w.list);
	rc = walk_kind(&w, e);
	if (rc == RC_OK && kind == RESOURCE_INGRESS_POINT)
		rc = show_points(control, w.list, e);
	if (name && rc == RC_OK && json_array_size(w.list) == 0)
		json_object_del(all, resource_kinds[kind].plural);
	return rc;
}

enum rc resources_show(struct db *control, const char *kind, const char *name, json_t **out,
                       struct err *e)
{
	enum resource_kind only = RESOURCE_KINDS;
	json_t *all;
	enum rc rc = RC_OK;

	*out = NULL;
	if (kind && !resource_kind_parse(kind, &only))
		return err_set(e, RC_INVALID,
		               "no kind \"%s\"; kinds are Archives, AddressLists, Relays, "
		               "AddonSubscriptions, AddonInstances, TrafficPolicies, RuleSets, "
		               "IngressPoints",
		               kind);
	all = json_object();
	for (int k = 0; k < RESOURCE_KINDS && rc == RC_OK; k++)
		if (!kind || only == (enum resource_kind)k)
			rc = show_kind(control, (enum resource_kind)k, name, all, e);
	if (rc == RC_OK && name && json_object_size(all) == 0)
		rc = err_set(e, RC_NOTFOUND, "%s: none is named or has the id \"%s\"",
		             kind ? resource_kinds[only].plural : "resources", name);
	if (rc != RC_OK) {
		json_decref(all);
		return rc;
	}
	*out = all;
	return RC_OK;
}

/* ---- one, and pages of them ---- */

static enum rc finish_got(const struct walk *w, struct err *e)
{
	return w->kind == RESOURCE_INGRESS_POINT ? show_points(w->control, w->list, e) : RC_OK;
}

static struct slice last_part(struct slice reference)
{
	const uint8_t *slash = reference.len ? memrchr(reference.at, '/', reference.len) : NULL;

	return slash ? slice_from(reference, (size_t)(slash - reference.at) + 1) : reference;
}

enum rc resources_get(struct db *control, enum resource_kind kind, struct slice reference,
                      json_t **out, struct err *e)
{
	struct slice name = last_part(reference);
	struct walk w = { .control = control, .kind = kind, .only = name, .show = true };
	json_t *found;
	enum rc rc = RC_OK;

	*out = NULL;
	w.list = json_array();
	if (name.len)
		rc = walk_kind(&w, e);
	if (rc == RC_OK)
		rc = finish_got(&w, e);
	found = json_array_get(w.list, 0);
	/* An id means itself, also where another one has it as its name. */
	for (size_t i = 1; i < json_array_size(w.list); i++)
		if (slice_equal(name, json_member_text(json_array_get(w.list, i),
		                                       resource_kinds[kind].id)))
			found = json_array_get(w.list, i);
	if (rc == RC_OK && !found)
		rc = err_set(e, RC_NOTFOUND, "none of the %s has the id \"%.*s\"",
		             resource_kinds[kind].plural, (int)MIN_OF(name.len, 100u),
		             name.len ? (const char *)name.at : "");
	if (rc == RC_OK)
		*out = json_incref(found);
	json_decref(w.list);
	return rc;
}

/* The order is that of the first versions' numbers, which are never used again. */
static const char page_sql[] =
        "SELECT r.id, r.name, r.version, r.json, r.created_ms, r.updated_ms, v.change"
        " FROM resource r JOIN resource_version v"
        " ON v.kind = r.kind AND v.id = r.id AND v.version = 1"
        " WHERE r.kind = ?1 AND v.change > ?2 ORDER BY v.change LIMIT ?3";

static enum rc read_page(const struct walk *w, struct stmt *s, size_t limit, struct buf *next,
                         struct err *e)
{
	int64_t last = 0;
	enum rc rc = RC_OK;

	while (rc == RC_OK && (rc = stmt_step(s, e)) == RC_OK) {
		if (w->filter && !w->filter->shows(w->filter->arg, stmt_text(s, 0)))
			continue;
		if (json_array_size(w->list) == limit)
			return buf_addf(next, "%lld", (long long)last);
		last = stmt_int(s, 6);
		rc = walk_row(w, s, e);
	}
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc resources_list(struct db *control, enum resource_kind kind,
                       const struct resource_filter *filter, struct slice after, size_t limit,
                       json_t **out, struct buf *next, struct err *e)
{
	struct walk w = { .control = control, .kind = kind, .filter = filter, .show = true };
	uint64_t from = 0;
	struct stmt *s;
	enum rc rc;

	*out = NULL;
	if (after.len && (!slice_to_u64(after, &from) || from > INT64_MAX))
		return err_set(e, RC_INVALID, "NextToken: not one of this list");
	rc = db_prepare(control, &s, page_sql, e);
	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, slice_str(resource_kinds[kind].plural));
	stmt_bind_int(s, 2, (int64_t)from);
	stmt_bind_int(s, 3, filter ? -1 : (int64_t)limit + 1);
	w.list = json_array();
	rc = read_page(&w, s, limit, next, e);
	stmt_free(&s);
	if (rc == RC_OK)
		rc = finish_got(&w, e);
	if (rc == RC_OK)
		*out = w.list;
	else
		json_decref(w.list);
	return rc;
}

/* ---- passwords ---- */

static enum rc find_auth_point(struct db *control, struct slice wanted, struct buf *id,
                               struct err *e)
{
	struct walk w = { .control = control,
		          .kind = RESOURCE_INGRESS_POINT,
		          .only = wanted,
		          .list = json_array() };
	const json_t *found;
	enum rc rc = walk_kind(&w, e);

	found = json_array_get(w.list, 0);
	if (rc == RC_OK && (!found || wanted.len == 0))
		rc = err_set(e, RC_NOTFOUND, "no ingress point is named or has the id \"%.*s\"",
		             (int)wanted.len, (const char *)wanted.at);
	else if (rc == RC_OK && !slice_equal(json_member_text(found, "Type"), slice_str("AUTH")))
		rc = err_set(e, RC_INVALID, "ingress point \"%.*s\" is not of type AUTH",
		             (int)wanted.len, (const char *)wanted.at);
	if (rc == RC_OK)
		rc = buf_add(id, json_member_text(found, "IngressPointId"));
	json_decref(w.list);
	return rc;
}

static enum rc run_password(struct db *control, const char *sql, struct slice id, int64_t number,
                            struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s, sql, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, id);
	stmt_bind_int(s, 2, number);
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}

static enum rc newest_password(struct db *control, struct slice id, int64_t *version, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(
	        control, &s, "SELECT coalesce(max(version), 0) FROM password WHERE ingress_id = ?",
	        e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, id);
	rc = stmt_step(s, e);
	if (rc == RC_OK)
		*version = stmt_int(s, 0);
	stmt_free(&s);
	return rc;
}

static enum rc insert_password(struct db *control, struct slice id, int64_t version,
                               const char *hash, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s,
	                        "INSERT INTO password"
	                        " (ingress_id, version, hash, created_ms, expires_ms)"
	                        " VALUES (?, ?, ?, ?, 0)",
	                        e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, id);
	stmt_bind_int(s, 2, version);
	stmt_bind_text(s, 3, slice_str(hash));
	stmt_bind_int(s, 4, clock_now_ms());
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}

/* The current one gets an end; what had one already goes. */
enum rc password_store(struct db *control, struct slice id, const char *hash, int64_t *version,
                       struct err *e)
{
	int64_t until = clock_now_ms() + PASSWORD_OVERLAP_DAYS * MS_PER_DAY;
	enum rc rc = newest_password(control, id, version, e);

	if (rc == RC_OK)
		rc = run_password(control,
		                  "DELETE FROM password WHERE ingress_id = ?1 AND expires_ms <> ?2",
		                  id, 0, e);
	if (rc == RC_OK)
		rc = run_password(control,
		                  "UPDATE password SET expires_ms = ?2 WHERE ingress_id = ?1", id,
		                  until, e);
	++*version;
	return rc == RC_OK ? insert_password(control, id, *version, hash, e) : rc;
}

static enum rc check_password(struct slice password, struct err *e)
{
	const struct shape_path path = { .member = "SmtpPassword" };
	json_t *text = json_of_slice(password);
	enum rc rc = shape_check(&shape_SmtpPassword, text, &path, SHAPE_STRICT, e);

	json_decref(text);
	return rc;
}

enum rc password_hash(struct slice password, char hash[PASSWORD_HASH_ROOM], struct err *e)
{
	enum rc rc = check_password(password, e);

	if (rc == RC_OK &&
	    (sodium_init() < 0 || crypto_pwhash_str(hash, (const char *)password.at, password.len,
	                                            crypto_pwhash_OPSLIMIT_INTERACTIVE,
	                                            crypto_pwhash_MEMLIMIT_INTERACTIVE) != 0))
		return err_set(e, RC_CRYPTO, "argon2id: not enough memory to hash a password");
	return rc;
}

static enum rc store_in_transaction(struct db *control, struct slice id, const char *hash,
                                    int64_t *version, struct err *e)
{
	enum rc rc = db_begin(control, e);

	if (rc != RC_OK)
		return rc;
	return db_end(control, password_store(control, id, hash, version, e), e);
}

enum rc resources_check_password(struct db *control, struct slice ingress_point,
                                 struct slice password, struct err *e)
{
	struct buf id;
	enum rc rc = check_password(password, e);

	buf_init(&id, RESOURCE_ID_ROOM);
	if (rc == RC_OK)
		rc = find_auth_point(control, ingress_point, &id, e);
	buf_free(&id);
	return rc;
}

enum rc resources_set_password(struct db *control, struct slice ingress_point,
                               struct slice password, int64_t *version, struct err *e)
{
	char hash[PASSWORD_HASH_ROOM];
	int64_t made = 0;
	struct buf id;
	enum rc rc;

	buf_init(&id, RESOURCE_ID_ROOM);
	rc = find_auth_point(control, ingress_point, &id, e);
	if (rc == RC_OK)
		rc = password_hash(password, hash, e);
	if (rc == RC_OK)
		rc = store_in_transaction(control, buf_slice(&id), hash, &made, e);
	if (rc == RC_OK && version)
		*version = made;
	buf_free(&id);
	return rc;
}
