/*
 * ingest/action/secret.h - user names and passwords that relays are given (Authentication.SecretArn)
 *
 * What     What Secrets Manager is to the service: a name, or a whole ARN, and {"username","password"} under it.
 *          Rows of control.db (table secret), which is encrypted; they leave it for the sender alone.
 * Names    A SecretArn finds the row of that very name; else the one whose name is what stands behind ":secret:"; else
 *          that without the "-" and six characters that the service puts at its end.
 * Inside   a transaction of the caller, who commits: set and delete.
 * Threads  As the struct db.
 * On disk  docs/formats.md, "Secrets"
 */
#ifndef MM_INGEST_ACTION_SECRET_H
#define MM_INGEST_ACTION_SECRET_H

#include "store/db.h"

#define SECRET_NAME 2048
#define SECRET_TEXT 512 /* of a user's name, of a password */

enum rc secrets_prepare(struct db *control, struct err *e) MUST_USE;
/* RC_INVALID: that is no name, or one of the two is empty, too long, or has control characters. */
enum rc secret_set(struct db *control, struct slice name, struct slice user, struct slice password,
		   struct err *e) MUST_USE;
enum rc secret_delete(struct db *control, struct slice name, struct err *e) MUST_USE; /* RC_NOTFOUND */
/* By name. */
enum rc secrets_each(struct db *control,
		     enum rc (*each)(void *arg, struct slice name, int64_t changed_ms, struct err *e), void *arg,
		     struct err *e) MUST_USE;
/* RC_NOTFOUND. Both are the caller's, who frees them by secret_free. */
enum rc secret_find(struct db *control, struct slice arn, char **user, char **password, struct err *e) MUST_USE;
/* Wipes and frees; NULL is fine. */
void secret_free(char **text);

#endif
