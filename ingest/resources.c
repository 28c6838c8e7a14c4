#include "ingest/resources.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "ingest/resources_db.h"
#include "ingest/shape_resources.h"

const struct resource_kind_info resource_kinds[RESOURCE_KINDS] = {
	{ "Archives", "ArchiveId", "ArchiveName", "a-" },
	{ "AddressLists", "AddressListId", "AddressListName", "al-" },
	{ "TrafficPolicies", "TrafficPolicyId", "TrafficPolicyName", "tp-" },
	{ "RuleSets", "RuleSetId", "RuleSetName", "rs-" },
	{ "IngressPoints", "IngressPointId", "IngressPointName", "inp-" },
};

const char *resource_kind_plural(enum resource_kind kind)
{
	return resource_kinds[kind].plural;
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

	return db_exec(control, schema, e);
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
	struct slice only; /* a name or id, or empty */
	bool times;
	json_t *list;
};

static void put_time(json_t *object, const char *member, int64_t ms)
{
	char text[25];

	time_format(text, ms);
	json_put_text(object, member, slice_str(text));
}

static enum rc walk_row(const struct walk *w, struct stmt *s, struct err *e)
{
	json_t *one;
	enum rc rc;

	if (w->only.len && !slice_equal(w->only, stmt_text(s, 0)) &&
	    !slice_equal(w->only, stmt_text(s, 1)))
		return RC_OK;
	rc = resource_frame(w->control, w->kind, stmt_text(s, 0), stmt_int(s, 2), stmt_text(s, 3),
	                    &one, e);
	if (rc != RC_OK)
		return rc;
	if (w->times) {
		put_time(one, "CreatedTimestamp", stmt_int(s, 4));
		put_time(one, "LastUpdatedTimestamp", stmt_int(s, 5));
	}
	json_push(w->list, one);
	return RC_OK;
}

static enum rc walk_kind(const struct walk *w, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(w->control, &s,
	                        "SELECT id, name, version, json, created_ms, updated_ms"
	                        " FROM resource WHERE kind = ? ORDER BY rowid",
	                        e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, slice_str(resource_kinds[w->kind].plural));
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
	return db_int(control,
	              "SELECT (SELECT coalesce(max(change), 0) FROM resource_version) +"
	              " (SELECT coalesce(max(change), 0) FROM password)",
	              0, out, e);
}

enum rc resources_snapshot(struct db *control, json_t **out, struct err *e)
{
	json_t *all = json_object();
	int64_t generation = 0;
	enum rc rc = read_generation(control, &generation, e);

	*out = NULL;
	json_put_int(all, "Generation", generation);
	for (int k = 0; k < RESOURCE_KINDS && rc == RC_OK; k++) {
		struct walk w = { .control = control,
			          .kind = (enum resource_kind)k,
			          .list = json_array() };

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

enum rc resources_version(struct db *control, enum resource_kind kind, struct slice id,
                          int64_t version, json_t **out, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(
	        control, &s,
	        "SELECT json FROM resource_version WHERE kind = ? AND id = ? AND version = ?", e);

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
		          .times = true,
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
		               "no kind \"%s\"; kinds are Archives, AddressLists, TrafficPolicies, "
		               "RuleSets, IngressPoints",
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

static enum rc check_password(struct slice password, struct err *e)
{
	const struct shape_path path = { .member = "SmtpPassword" };
	json_t *text = json_of_slice(password);
	enum rc rc = shape_check(&shape_SmtpPassword, text, &path, SHAPE_STRICT, e);

	json_decref(text);
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
static enum rc store_password(struct db *control, struct slice id, const char *hash,
                              int64_t *version, struct err *e)
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

static enum rc hash_and_store(struct db *control, struct slice id, struct slice password,
                              int64_t *version, struct err *e)
{
	char hash[crypto_pwhash_STRBYTES];
	enum rc rc;

	if (sodium_init() < 0 || crypto_pwhash_str(hash, (const char *)password.at, password.len,
	                                           crypto_pwhash_OPSLIMIT_INTERACTIVE,
	                                           crypto_pwhash_MEMLIMIT_INTERACTIVE) != 0)
		return err_set(e, RC_CRYPTO, "argon2id: not enough memory to hash a password");
	rc = db_begin(control, e);
	if (rc != RC_OK)
		return rc;
	return db_end(control, store_password(control, id, hash, version, e), e);
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
	int64_t made = 0;
	struct buf id;
	enum rc rc;

	buf_init(&id, RESOURCE_ID_ROOM);
	rc = check_password(password, e);
	if (rc == RC_OK)
		rc = find_auth_point(control, ingress_point, &id, e);
	if (rc == RC_OK)
		rc = hash_and_store(control, buf_slice(&id), password, &made, e);
	if (rc == RC_OK && version)
		*version = made;
	buf_free(&id);
	return rc;
}
