#include "ingest/tags.h"

enum rc tags_open(struct db *control, struct err *e)
{
	return db_exec(control,
	               "CREATE TABLE IF NOT EXISTS tag ("
	               " id TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,"
	               " PRIMARY KEY (id, key)) STRICT, WITHOUT ROWID;",
	               e);
}

enum rc tags_list(struct db *control, struct slice id, json_t **out, struct err *e)
{
	struct stmt *s;
	enum rc rc =
	        db_prepare(control, &s, "SELECT key, value FROM tag WHERE id = ? ORDER BY key", e);

	*out = NULL;
	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, id);
	*out = json_array();
	while ((rc = stmt_step(s, e)) == RC_OK) {
		json_t *one = json_object();

		json_put_text(one, "Key", stmt_text(s, 0));
		json_put_text(one, "Value", stmt_text(s, 1));
		json_push(*out, one);
	}
	stmt_free(&s);
	if (rc == RC_NOTFOUND)
		return RC_OK;
	json_decref(*out);
	*out = NULL;
	return rc;
}

static enum rc check_count(struct db *control, struct slice id, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s, "SELECT count(*) FROM tag WHERE id = ?", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, id);
	rc = stmt_step(s, e);
	if (rc == RC_OK && stmt_int(s, 0) > TAGS_MOST)
		rc = err_set(e, RC_LIMIT, "a resource has at most %d tags", TAGS_MOST);
	stmt_free(&s);
	return rc;
}

/* Runs it for each item; `value` is NULL where an item is a key alone. */
static enum rc run_each(struct db *control, const char *sql, struct slice id, const json_t *items,
                        const char *value, bool *changed, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s, sql, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, id);
	for (size_t i = 0; i < json_array_size(items) && rc == RC_OK; i++) {
		const json_t *one = json_array_get(items, i);

		stmt_bind_text(s, 2, value ? json_member_text(one, "Key") : json_text(one));
		if (value)
			stmt_bind_text(s, 3, json_member_text(one, value));
		rc = stmt_run(s, e);
		*changed |= rc == RC_OK && db_changes(control) > 0;
	}
	stmt_free(&s);
	return rc;
}

enum rc tags_add(struct db *control, struct slice id, const json_t *tags, bool *changed,
                 struct err *e)
{
	enum rc rc = run_each(control,
	                      "INSERT INTO tag (id, key, value) VALUES (?1, ?2, ?3)"
	                      " ON CONFLICT (id, key) DO UPDATE SET value = excluded.value"
	                      " WHERE value <> excluded.value",
	                      id, tags, "Value", changed, e);

	return rc == RC_OK ? check_count(control, id, e) : rc;
}

enum rc tags_remove(struct db *control, struct slice id, const json_t *keys, bool *changed,
                    struct err *e)
{
	return run_each(control, "DELETE FROM tag WHERE id = ?1 AND key = ?2", id, keys, NULL,
	                changed, e);
}

static bool has_key(const json_t *tags, struct slice key)
{
	for (size_t i = 0; i < json_array_size(tags); i++)
		if (slice_equal(key, json_member_text(json_array_get(tags, i), "Key")))
			return true;
	return false;
}

enum rc tags_replace(struct db *control, struct slice id, const json_t *tags, bool *changed,
                     struct err *e)
{
	json_t *gone = json_array();
	json_t *old;
	enum rc rc = tags_list(control, id, &old, e);

	for (size_t i = 0; rc == RC_OK && i < json_array_size(old); i++) {
		struct slice key = json_member_text(json_array_get(old, i), "Key");

		if (!has_key(tags, key))
			json_push(gone, json_of_slice(key));
	}
	if (rc == RC_OK)
		rc = tags_remove(control, id, gone, changed, e);
	if (rc == RC_OK)
		rc = tags_add(control, id, tags, changed, e);
	json_decref(old);
	json_decref(gone);
	return rc;
}

enum rc tags_drop(struct db *control, struct slice id, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s, "DELETE FROM tag WHERE id = ?", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, id);
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}
