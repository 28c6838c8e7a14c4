#include "ingest/action/secret.h"

#include <stdlib.h>

#include "base/clock.h"
#include "store/crypt.h"

#define ARN_PART   ":secret:"
#define ARN_SUFFIX 7 /* "-AbCdEf" */

enum rc secrets_prepare(struct db *control, struct err *e)
{
	return db_exec(control,
	               "CREATE TABLE IF NOT EXISTS secret (name TEXT PRIMARY KEY,"
	               " username TEXT NOT NULL, password TEXT NOT NULL,"
	               " changed_ms INTEGER NOT NULL) STRICT;",
	               e);
}

/* What the service allows in a SecretArn. */
static bool is_name(struct slice name)
{
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.at[i];
		uint8_t low = c | 0x20;

		if (!(low >= 'a' && low <= 'z') && !(c >= '0' && c <= '9') &&
		    (c == 0 || !strchr("/_+=,.@:-", c)))
			return false;
	}
	return name.len > 0 && name.len <= SECRET_NAME;
}

static bool is_text(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] < ' ' || s.at[i] == 127)
			return false;
	return s.len > 0 && s.len <= SECRET_TEXT && slice_is_utf8(s);
}

static enum rc check(struct slice name, struct slice user, struct slice password, struct err *e)
{
	if (!is_name(name))
		return err_set(e, RC_INVALID,
		               "the name of a secret is an ARN, or what stands behind \":secret:\" "
		               "in one: 1 to %d of A-Z a-z 0-9 / _ + = , . @ : -",
		               SECRET_NAME);
	if (!is_text(user) || !is_text(password))
		return err_set(e, RC_INVALID,
		               "a secret has \"username\" and \"password\", each of 1 to %d bytes "
		               "without control characters",
		               SECRET_TEXT);
	return RC_OK;
}

enum rc secret_set(struct db *control, struct slice name, struct slice user, struct slice password,
                   struct err *e)
{
	struct stmt *s;
	enum rc rc = check(name, user, password, e);

	if (rc == RC_OK)
		rc = db_prepare(control, &s, "REPLACE INTO secret VALUES (?1, ?2, ?3, ?4)", e);
	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, name);
	stmt_bind_text(s, 2, user);
	stmt_bind_text(s, 3, password);
	stmt_bind_int(s, 4, clock_now_ms());
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}

static enum rc no_secret(struct slice name, struct err *e)
{
	bool shown = is_name(name);

	return err_set(e, RC_NOTFOUND, "there is no secret %.*s (mmctl secret set)",
	               shown ? (int)MIN_OF(name.len, (size_t)200) : 0,
	               shown ? (const char *)name.at : "");
}

enum rc secret_delete(struct db *control, struct slice name, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s, "DELETE FROM secret WHERE name = ?1", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, name);
	rc = stmt_run(s, e);
	stmt_free(&s);
	if (rc == RC_OK && db_changes(control) == 0)
		rc = no_secret(name, e);
	return rc;
}

enum rc secrets_each(struct db *control,
                     enum rc (*each)(void *arg, struct slice name, int64_t changed_ms,
                                     struct err *e),
                     void *arg, struct err *e)
{
	struct stmt *s;
	enum rc rc =
	        db_prepare(control, &s, "SELECT name, changed_ms FROM secret ORDER BY name", e);

	if (rc != RC_OK)
		return rc;
	while ((rc = stmt_step(s, e)) == RC_OK &&
	       (rc = each(arg, stmt_text(s, 0), stmt_int(s, 1), e)) == RC_OK)
		;
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc find_one(struct db *control, struct slice name, char **user, char **password,
                        struct err *e)
{
	struct stmt *s;
	enum rc rc;

	if (!name.len)
		return RC_NOTFOUND;
	rc = db_prepare(control, &s, "SELECT username, password FROM secret WHERE name = ?1", e);
	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, name);
	rc = stmt_step(s, e);
	if (rc == RC_OK) {
		*user = slice_string(stmt_text(s, 0));
		*password = slice_string(stmt_text(s, 1));
	}
	stmt_free(&s);
	return rc;
}

enum rc secret_find(struct db *control, struct slice arn, char **user, char **password,
                    struct err *e)
{
	size_t at = slice_find(arn, slice_str(ARN_PART));
	struct slice name = slice_of(arn.at, 0);
	enum rc rc = find_one(control, arn, user, password, e);

	if (at != SIZE_MAX)
		name = slice_from(arn, at + strlen(ARN_PART));
	if (rc == RC_NOTFOUND)
		rc = find_one(control, name, user, password, e);
	if (rc == RC_NOTFOUND && name.len > ARN_SUFFIX && name.at[name.len - ARN_SUFFIX] == '-')
		rc = find_one(control, slice_part(name, 0, name.len - ARN_SUFFIX), user, password,
		              e);
	if (rc != RC_OK)
		*user = *password = NULL;
	return rc == RC_NOTFOUND ? no_secret(arn, e) : rc;
}

void secret_free(char **text)
{
	if (*text)
		crypt_wipe(*text, strlen(*text));
	free(*text);
	*text = NULL;
}
