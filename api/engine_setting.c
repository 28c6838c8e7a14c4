#include "api/engine_setting.h"

#include "base/limits.h"

enum rc setting_prepare(struct db *control, struct err *e)
{
	return db_exec(control,
	               "CREATE TABLE IF NOT EXISTS setting ("
	               " name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;",
	               e);
}

static enum rc find(struct db *control, const char *name, json_t **value, struct err *e)
{
	struct stmt *st;
	enum rc rc = db_prepare(control, &st, "SELECT value FROM setting WHERE name = ?", e);

	*value = NULL;
	if (rc != RC_OK)
		return rc;
	stmt_bind_text(st, 1, slice_str(name));
	rc = stmt_step(st, e);
	if (rc == RC_OK)
		rc = json_read(value, stmt_text(st, 0), e);
	stmt_free(&st);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc drop(struct db *control, const char *name, struct err *e)
{
	struct stmt *st;
	enum rc rc = db_prepare(control, &st, "DELETE FROM setting WHERE name = ?", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(st, 1, slice_str(name));
	rc = stmt_run(st, e);
	stmt_free(&st);
	return rc;
}

static enum rc put(struct db *control, const char *name, const json_t *value, struct err *e)
{
	struct stmt *st;
	struct buf text;
	enum rc rc;

	buf_init(&text, LIMIT_CONFIG_FILE);
	rc = json_write(&text, value);
	if (rc == RC_OK)
		rc = db_prepare(control, &st, "INSERT OR REPLACE INTO setting VALUES(?, ?)", e);
	if (rc == RC_OK) {
		stmt_bind_text(st, 1, slice_str(name));
		stmt_bind_text(st, 2, buf_slice(&text));
		rc = stmt_run(st, e);
		stmt_free(&st);
	}
	buf_free(&text);
	return rc;
}

enum rc setting_sync(struct db *control, const char *name, bool kept, json_t **value, struct err *e)
{
	json_t *there;
	enum rc rc = find(control, name, &there, e);

	if (rc != RC_OK)
		return rc;
	if (!kept) {
		*value = there;
		return RC_OK;
	}
	/* Only a change is written. */
	if (*value && !(there && json_equal(there, *value)))
		rc = put(control, name, *value, e);
	else if (!*value && there)
		rc = drop(control, name, e);
	json_decref(there);
	return rc;
}
