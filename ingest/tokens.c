#include "ingest/tokens.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/crypt.h"

#define LIFE_MS (TOKEN_HOURS * INT64_C(3600000))
#define KEY     " operation = ?1 AND principal = ?2 AND token = ?3"

enum rc tokens_open(struct db *control, struct err *e)
{
	return db_exec(control,
	               "CREATE TABLE IF NOT EXISTS token ("
	               " operation TEXT NOT NULL, principal TEXT NOT NULL, token TEXT NOT NULL,"
	               " parameters BLOB NOT NULL, id TEXT NOT NULL, created_ms INTEGER NOT NULL,"
	               " PRIMARY KEY (operation, principal, token)) STRICT, WITHOUT ROWID;",
	               e);
}

static void hash_parameters(const json_t *parameters, uint8_t hash[32])
{
	char *text = json_dumps(parameters, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	struct sha256 *h = sha256_new();

	MUST(text);
	sha256_add(h, slice_str(text));
	sha256_end(&h, hash);
	free(text);
}

static enum rc prepare(struct db *control, const char *sql, const struct token *t, struct stmt **s,
                       struct err *e)
{
	enum rc rc = db_prepare(control, s, sql, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(*s, 1, t->operation);
	stmt_bind_text(*s, 2, t->principal);
	stmt_bind_text(*s, 3, t->text);
	return RC_OK;
}

static enum rc check(struct stmt *s, const struct token *t, char *id, struct err *e)
{
	uint8_t hash[32];
	struct slice made = stmt_text(s, 1);

	hash_parameters(t->parameters, hash);
	if (!slice_equal(stmt_blob(s, 0), slice_of(hash, sizeof(hash))))
		return err_set(e, RC_EXISTS,
		               "ClientToken: it was used with other parameters before");
	(void)snprintf(id, TOKEN_ID_ROOM, "%.*s", (int)made.len, (const char *)made.at);
	return RC_OK;
}

enum rc tokens_find(struct db *control, const struct token *t, int64_t now_ms, char *id,
                    struct err *e)
{
	struct stmt *s;
	enum rc rc;

	if (!t->text.len)
		return RC_NOTFOUND;
	rc = prepare(control,
	             "SELECT parameters, id FROM token WHERE" KEY " AND created_ms > ?4"
	             " AND created_ms <= ?5",
	             t, &s, e);
	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 4, now_ms - LIFE_MS);
	stmt_bind_int(s, 5, now_ms + LIFE_MS); /* the clock may have been set back a little */
	rc = stmt_step(s, e);
	if (rc == RC_OK)
		rc = check(s, t, id, e);
	stmt_free(&s);
	return rc;
}

static enum rc forget_old(struct db *control, int64_t now_ms, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s, "DELETE FROM token WHERE created_ms <= ?1", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, now_ms - LIFE_MS);
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}

enum rc tokens_keep(struct db *control, const struct token *t, int64_t now_ms, struct slice id,
                    struct err *e)
{
	uint8_t hash[32];
	struct stmt *s;
	enum rc rc;

	if (!t->text.len)
		return RC_OK;
	rc = forget_old(control, now_ms, e);
	if (rc == RC_OK)
		rc = prepare(control,
		             "INSERT OR REPLACE INTO token"
		             " (operation, principal, token, parameters, id, created_ms)"
		             " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
		             t, &s, e);
	if (rc != RC_OK)
		return rc;
	hash_parameters(t->parameters, hash);
	stmt_bind_blob(s, 4, slice_of(hash, sizeof(hash)));
	stmt_bind_text(s, 5, id);
	stmt_bind_int(s, 6, now_ms);
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}
