#include "api/principal.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/crypt.h"

struct principals {
	unsigned refs;
	int64_t generation;
	struct principal *at;
	size_t count;
};

enum rc principals_prepare(struct db *control, struct err *e)
{
	static const char schema[] =
	        "CREATE TABLE IF NOT EXISTS principal ("
	        " name TEXT PRIMARY KEY, role TEXT NOT NULL, all_archives INTEGER NOT NULL,"
	        " uid INTEGER, created_ms INTEGER NOT NULL, disabled_ms INTEGER NOT NULL,"
	        " deleted_ms INTEGER NOT NULL) STRICT;"
	        "CREATE UNIQUE INDEX IF NOT EXISTS principal_uid ON principal (uid)"
	        " WHERE deleted_ms = 0;"
	        "CREATE TABLE IF NOT EXISTS principal_archive ("
	        " principal TEXT NOT NULL, archive TEXT NOT NULL,"
	        " PRIMARY KEY (principal, archive)) STRICT;"
	        "CREATE TABLE IF NOT EXISTS principal_key ("
	        " number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
	        " principal TEXT NOT NULL, secret TEXT NOT NULL,"
	        " created_ms INTEGER NOT NULL) STRICT;"
	        "CREATE TABLE IF NOT EXISTS principal_generation ("
	        " one INTEGER PRIMARY KEY CHECK (one = 1), generation INTEGER NOT NULL) STRICT;"
	        "INSERT OR IGNORE INTO principal_generation VALUES (1, 0);";

	return db_exec(control, schema, e);
}

/* ---- the list ---- */

static void principal_clear(struct principal *p)
{
	for (size_t i = 0; i < p->access.archive_count; i++)
		free((char *)(uintptr_t)p->access.archives[i]);
	free((void *)(uintptr_t)p->access.archives);
	free((char *)(uintptr_t)p->name);
}

struct principals *principals_ref(struct principals *ps)
{
	(void)__atomic_add_fetch(&ps->refs, 1, __ATOMIC_RELAXED);
	return ps;
}

void principals_unref(struct principals **at)
{
	struct principals *ps = *at;

	*at = NULL;
	if (!ps || __atomic_sub_fetch(&ps->refs, 1, __ATOMIC_ACQ_REL))
		return;
	for (size_t i = 0; i < ps->count; i++)
		principal_clear(&ps->at[i]);
	free(ps->at);
	free(ps);
}

/* The rows of a statement with one parameter, given to `each` until it fails. */
static enum rc each_row(struct db *control, const char *sql, struct slice parameter,
                        enum rc (*each)(void *arg, struct stmt *row, struct err *e), void *arg,
                        struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s, sql, e);

	if (rc != RC_OK)
		return rc;
	if (parameter.at)
		stmt_bind_text(s, 1, parameter);
	while ((rc = stmt_step(s, e)) == RC_OK && (rc = each(arg, s, e)) == RC_OK)
		;
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc add_archive(void *arg, struct stmt *row, struct err *e)
{
	struct access *a = arg;
	const char **ids =
	        mem_resize((void *)(uintptr_t)a->archives, (a->archive_count + 1) * sizeof(*ids));

	(void)e;
	ids[a->archive_count++] = slice_string(stmt_text(row, 0));
	a->archives = ids;
	return RC_OK;
}

static enum rc add_key(void *arg, struct stmt *row, struct err *e)
{
	struct principal *p = arg;
	struct slice id = stmt_text(row, 0);

	if (p->key_count == PRINCIPAL_KEYS || id.len >= sizeof(p->keys[0].id))
		return err_set(e, RC_CORRUPT, "the keys of principal %s", p->name);
	memcpy(p->keys[p->key_count].id, id.at, id.len);
	p->keys[p->key_count++].created_ms = stmt_int(row, 1);
	return RC_OK;
}

static enum rc add_principal(void *arg, struct stmt *row, struct err *e)
{
	struct principals *ps = arg;
	struct principal *p;

	ps->at = mem_resize(ps->at, (ps->count + 1) * sizeof(*ps->at));
	p = &ps->at[ps->count++];
	*p = (struct principal) { .name = slice_string(stmt_text(row, 0)) };
	p->access.all_archives = stmt_int(row, 2) != 0;
	p->uid = stmt_is_null(row, 3) ? NO_UID : stmt_int(row, 3);
	p->created_ms = stmt_int(row, 4);
	p->disabled = stmt_int(row, 5) != 0;
	if (!access_role_parse(stmt_text(row, 1), &p->access.role))
		return err_set(e, RC_CORRUPT, "the role of principal %s", p->name);
	return RC_OK;
}

enum rc principals_load(struct db *control, struct principals **out, struct err *e)
{
	struct principals *ps = mem_new(sizeof(*ps));
	enum rc rc = db_int(control, "SELECT generation FROM principal_generation", 0,
	                    &ps->generation, e);

	ps->refs = 1;
	if (rc == RC_OK)
		rc = each_row(control,
		              "SELECT name, role, all_archives, uid, created_ms, disabled_ms"
		              " FROM principal WHERE deleted_ms = 0 ORDER BY name",
		              slice_of(NULL, 0), add_principal, ps, e);
	for (size_t i = 0; rc == RC_OK && i < ps->count; i++) {
		struct principal *p = &ps->at[i];

		rc = each_row(control,
		              "SELECT archive FROM principal_archive WHERE principal = ?"
		              " ORDER BY archive",
		              slice_str(p->name), add_archive, &p->access, e);
		if (rc == RC_OK)
			rc = each_row(control,
			              "SELECT id, created_ms FROM principal_key WHERE principal = ?"
			              " ORDER BY number",
			              slice_str(p->name), add_key, p, e);
	}
	if (rc != RC_OK)
		principals_unref(&ps);
	*out = ps;
	return rc;
}

int64_t principals_generation(const struct principals *ps)
{
	return ps->generation;
}

size_t principals_count(const struct principals *ps)
{
	return ps->count;
}

const struct principal *principals_at(const struct principals *ps, size_t i)
{
	return &ps->at[i];
}

const struct principal *principal_by_name(const struct principals *ps, struct slice name)
{
	for (size_t i = 0; i < ps->count; i++)
		if (slice_equal(name, slice_str(ps->at[i].name)))
			return &ps->at[i];
	return NULL;
}

const struct principal *principal_by_uid(const struct principals *ps, uint32_t uid)
{
	for (size_t i = 0; i < ps->count; i++)
		if (ps->at[i].uid == (int64_t)uid)
			return &ps->at[i];
	return NULL;
}

const struct principal *principal_by_key(const struct principals *ps, struct slice key_id)
{
	for (size_t i = 0; i < ps->count; i++)
		for (size_t k = 0; k < ps->at[i].key_count; k++)
			if (slice_equal(key_id, slice_str(ps->at[i].keys[k].id)))
				return &ps->at[i];
	return NULL;
}

static enum rc add_secret(void *arg, struct stmt *row, struct err *e)
{
	json_t *one = json_object();

	(void)e;
	json_put_text(one, "AccessKeyId", stmt_text(row, 0));
	json_put_text(one, "SecretAccessKey", stmt_text(row, 1));
	json_put_text(one, "Principal", stmt_text(row, 2));
	json_push(arg, one);
	return RC_OK;
}

enum rc principals_snapshot(struct db *control, json_t **out, struct err *e)
{
	json_t *keys = json_array();
	int64_t generation = 0;
	enum rc rc =
	        db_int(control, "SELECT generation FROM principal_generation", 0, &generation, e);

	if (rc == RC_OK)
		rc = each_row(control,
		              "SELECT k.id, k.secret, p.name FROM principal_key k"
		              " JOIN principal p ON p.name = k.principal"
		              " WHERE p.disabled_ms = 0 AND p.deleted_ms = 0 ORDER BY k.number",
		              slice_of(NULL, 0), add_secret, keys, e);
	*out = NULL;
	if (rc == RC_OK) {
		*out = json_object();
		json_put_int(*out, "Generation", generation);
		json_put(*out, "Keys", json_incref(keys));
	}
	json_decref(keys);
	return rc;
}

/* ---- changes ---- */

/* One statement about a principal; `text` is bound as ?2 where it has an address. */
static enum rc run(struct db *control, const char *sql, struct slice name, struct slice text,
                   struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s, sql, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, name);
	if (text.at)
		stmt_bind_text(s, 2, text);
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}

/* The same with a number as ?2. */
static enum rc run_number(struct db *control, const char *sql, struct slice name, int64_t number,
                          struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s, sql, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, name);
	stmt_bind_int(s, 2, number);
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}

static enum rc grow(struct db *control, struct err *e)
{
	return db_exec(control, "UPDATE principal_generation SET generation = generation + 1", e);
}

/* A number of a principal's, or `none`. */
static enum rc look(struct db *control, const char *sql, struct slice name, int64_t none,
                    int64_t *out, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s, sql, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, name);
	rc = stmt_step(s, e);
	*out = rc == RC_OK ? stmt_int(s, 0) : none;
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc must_be(struct db *control, struct slice name, struct err *e)
{
	int64_t deleted;
	enum rc rc = look(control, "SELECT deleted_ms FROM principal WHERE name = ?", name, -1,
	                  &deleted, e);

	if (rc == RC_OK && deleted != 0)
		rc = err_set(e, RC_NOTFOUND, "there is no principal \"%.*s\"%s",
		             (int)MIN_OF(name.len, (size_t)PRINCIPAL_NAME), (const char *)name.at,
		             deleted > 0 ? "; it was deleted" : "");
	return rc;
}

static bool is_name(struct slice s)
{
	static const char also[] = "_.-";

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.at[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (c && strchr(also, c))))
			return false;
	}
	return s.len >= 1 && s.len <= PRINCIPAL_NAME;
}

static enum rc check_new(struct db *control, const struct principal_new *n, struct err *e)
{
	int64_t deleted;
	enum rc rc;

	if (!is_name(n->name))
		return err_set(e, RC_INVALID,
		               "a principal's name is 1 to %d characters of A-Z a-z 0-9 _ . -",
		               PRINCIPAL_NAME);
	rc = look(control, "SELECT deleted_ms FROM principal WHERE name = ?", n->name, -1, &deleted,
	          e);
	if (rc == RC_OK && deleted == 0)
		return err_set(e, RC_EXISTS, "there is a principal \"%.*s\" already",
		               (int)n->name.len, (const char *)n->name.at);
	if (rc == RC_OK && deleted > 0)
		return err_set(e, RC_EXISTS,
		               "\"%.*s\" was a principal that is deleted; its name is not given "
		               "again, since the audit log names it",
		               (int)n->name.len, (const char *)n->name.at);
	return rc;
}

static enum rc check_uid(const struct principals *ps, int64_t uid, struct err *e)
{
	const struct principal *p;

	if (uid == NO_UID)
		return RC_OK;
	if (uid < 0 || uid >= UINT32_MAX)
		return err_set(e, RC_INVALID, "a uid is 0 to 4294967294");
	p = principal_by_uid(ps, (uint32_t)uid);
	return p ? err_set(e, RC_EXISTS, "uid %lld is principal \"%s\"", (long long)uid, p->name)
	         : RC_OK;
}

/* Archives are an auditor's; other roles have all or none by what they are. */
static enum rc check_archives(const struct access *a, struct err *e)
{
	if (a->role != ROLE_AUDITOR && (a->archive_count || a->all_archives))
		return err_set(e, RC_INVALID, "archives are given to an auditor, not to an %s",
		               access_role_name(a->role));
	if (a->all_archives && a->archive_count)
		return err_set(e, RC_INVALID, "all archives, or some of them: not both");
	return RC_OK;
}

static enum rc put_archives(struct db *control, struct slice name, const struct access *a,
                            struct err *e)
{
	enum rc rc = run_number(control, "UPDATE principal SET all_archives = ?2 WHERE name = ?1",
	                        name, a->all_archives, e);

	if (rc == RC_OK)
		rc = run(control, "DELETE FROM principal_archive WHERE principal = ?", name,
		         slice_of(NULL, 0), e);
	for (size_t i = 0; rc == RC_OK && i < a->archive_count; i++)
		rc = run(control, "INSERT OR IGNORE INTO principal_archive VALUES (?, ?)", name,
		         slice_str(a->archives[i]), e);
	return rc;
}

/* `bits` of each random byte choose a character; the alphabet has 1 << bits of them. */
static void draw(char *out, size_t n, const char *alphabet, unsigned bits)
{
	uint8_t random[64];

	MUST(n <= sizeof(random));
	crypt_random(random, n);
	for (size_t i = 0; i < n; i++)
		out[i] = alphabet[random[i] & ((1u << bits) - 1)];
	out[n] = '\0';
	crypt_wipe(random, sizeof(random));
}

static enum rc insert_key(struct db *control, struct slice name, struct access_key *key,
                          struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s,
	                        "INSERT INTO principal_key (id, principal, secret, created_ms)"
	                        " VALUES (?, ?, ?, ?)",
	                        e);

	if (rc != RC_OK)
		return rc;
	memcpy(key->id, "MM", 2);
	draw(key->id + 2, sizeof(key->id) - 3, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 5);
	draw(key->secret, sizeof(key->secret) - 1,
	     "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 6);
	stmt_bind_text(s, 1, slice_str(key->id));
	stmt_bind_text(s, 2, name);
	stmt_bind_text(s, 3, slice_str(key->secret));
	stmt_bind_int(s, 4, clock_now_ms());
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}

static enum rc insert_principal(struct db *control, const struct principal_new *n, struct err *e)
{
	struct stmt *s;
	enum rc rc =
	        db_prepare(control, &s, "INSERT INTO principal VALUES (?, ?, 0, ?, ?, 0, 0)", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, n->name);
	stmt_bind_text(s, 2, slice_str(access_role_name(n->access.role)));
	if (n->uid == NO_UID)
		stmt_bind_null(s, 3);
	else
		stmt_bind_int(s, 3, n->uid);
	stmt_bind_int(s, 4, clock_now_ms());
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}

enum rc principal_create(struct db *control, const struct principal_new *n, struct access_key *key,
                         struct err *e)
{
	struct principals *ps = NULL;
	enum rc rc = check_new(control, n, e);

	if (rc == RC_OK)
		rc = check_archives(&n->access, e);
	if (rc == RC_OK)
		rc = principals_load(control, &ps, e);
	if (rc == RC_OK)
		rc = check_uid(ps, n->uid, e);
	principals_unref(&ps);
	if (rc == RC_OK)
		rc = insert_principal(control, n, e);
	if (rc == RC_OK)
		rc = put_archives(control, n->name, &n->access, e);
	if (rc == RC_OK && key)
		rc = insert_key(control, n->name, key, e);
	return rc == RC_OK ? grow(control, e) : rc;
}

enum rc principal_set_disabled(struct db *control, struct slice name, bool disabled, struct err *e)
{
	enum rc rc = must_be(control, name, e);

	if (rc == RC_OK)
		rc = run_number(control, "UPDATE principal SET disabled_ms = ?2 WHERE name = ?1",
		                name, disabled ? MAX_OF(clock_now_ms(), 1) : 0, e);
	return rc == RC_OK ? grow(control, e) : rc;
}

static enum rc role_of(struct db *control, struct slice name, enum access_role *role, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s, "SELECT role FROM principal WHERE name = ?", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, name);
	rc = stmt_step(s, e);
	if (rc == RC_OK && !access_role_parse(stmt_text(s, 0), role))
		rc = err_set(e, RC_CORRUPT, "the role of principal %.*s", (int)name.len,
		             (const char *)name.at);
	stmt_free(&s);
	return rc;
}

enum rc principal_set_archives(struct db *control, struct slice name, const struct access *access,
                               struct err *e)
{
	struct access a = *access;
	enum rc rc = must_be(control, name, e);

	if (rc == RC_OK)
		rc = role_of(control, name, &a.role, e);
	if (rc == RC_OK && a.role != ROLE_AUDITOR)
		rc = err_set(e, RC_INVALID, "archives are given to an auditor, not to an %s",
		             access_role_name(a.role));
	if (rc == RC_OK)
		rc = check_archives(&a, e);
	if (rc == RC_OK)
		rc = put_archives(control, name, &a, e);
	return rc == RC_OK ? grow(control, e) : rc;
}

enum rc principal_delete(struct db *control, struct slice name, struct err *e)
{
	enum rc rc = must_be(control, name, e);

	if (rc == RC_OK)
		rc = run_number(control, "UPDATE principal SET deleted_ms = ?2 WHERE name = ?1",
		                name, MAX_OF(clock_now_ms(), 1), e);
	if (rc == RC_OK)
		rc = run(control, "DELETE FROM principal_archive WHERE principal = ?", name,
		         slice_of(NULL, 0), e);
	if (rc == RC_OK)
		rc = run(control, "DELETE FROM principal_key WHERE principal = ?", name,
		         slice_of(NULL, 0), e);
	return rc == RC_OK ? grow(control, e) : rc;
}

enum rc principal_add_key(struct db *control, struct slice name, struct access_key *key,
                          struct err *e)
{
	int64_t keys = 0;
	enum rc rc = must_be(control, name, e);

	if (rc == RC_OK)
		rc = look(control, "SELECT count(*) FROM principal_key WHERE principal = ?", name,
		          0, &keys, e);
	if (rc == RC_OK && keys >= PRINCIPAL_KEYS)
		rc = err_set(e, RC_LIMIT,
		             "principal \"%.*s\" has %d keys already: remove one first",
		             (int)name.len, (const char *)name.at, PRINCIPAL_KEYS);
	if (rc == RC_OK)
		rc = insert_key(control, name, key, e);
	return rc == RC_OK ? grow(control, e) : rc;
}

enum rc principal_remove_key(struct db *control, struct slice name, struct slice key_id,
                             struct err *e)
{
	enum rc rc = must_be(control, name, e);

	if (rc == RC_OK)
		rc = run(control, "DELETE FROM principal_key WHERE principal = ? AND id = ?", name,
		         key_id, e);
	if (rc == RC_OK && db_changes(control) == 0)
		rc = err_set(e, RC_NOTFOUND, "principal \"%.*s\" has no key \"%.*s\"",
		             (int)name.len, (const char *)name.at, (int)MIN_OF(key_id.len, 40u),
		             (const char *)key_id.at);
	return rc == RC_OK ? grow(control, e) : rc;
}
