/*
 * api/principal.h - who may ask mm something: names, roles, archives, access keys, users of the system
 *
 * What     Tables in control.db, and an immutable, counted list of what is in them, made anew with each
 *          change. A principal is known by a user of the system (on a Unix socket, the kernel says which)
 *          or by an access key (whoever signs with its secret).
 * Names    1 to 64 of A-Z a-z 0-9 _ . -; that of a deleted principal is never given again, since
 *          entries of the audit log name principals. A uid belongs to one principal at a time.
 * Keys     At most two a principal, so that the new one can be handed out before the old one goes. A
 *          secret is kept as it is, as HMAC needs it; control.db is encrypted. It is shown once, by
 *          whoever makes it, and otherwise leaves only by principals_snapshot.
 * Changes  run in a transaction of the caller's, who commits, and make the generation grow.
 * Fails    RC_INVALID, RC_EXISTS (name or uid taken), RC_NOTFOUND (no such principal, or key of it),
 *          RC_LIMIT (a third key); the text says what to do. All else as the database.
 * Threads  A list: any. The database: one at a time.
 * On disk  docs/formats.md, "Principals"
 */
#ifndef MM_API_PRINCIPAL_H
#define MM_API_PRINCIPAL_H

#include "api/access.h"
#include "base/json.h"
#include "store/db.h"

#define PRINCIPAL_NAME 64
#define PRINCIPAL_KEYS 2
#define NO_UID         (-1)
/* "principal NAME (uid N)" and its NUL */
#define WHO_ROOM       128

struct access_key {
	char id[21];     /* "MM" and 18 of A-Z 2-7 */
	char secret[41]; /* 40 of A-Z a-z 0-9 + / ; 240 bits */
};

struct principal {
	const char *name;
	int64_t uid; /* NO_UID: none */
	bool disabled;
	int64_t created_ms;
	struct access access;
	struct {
		char id[21];
		int64_t created_ms;
	} keys[PRINCIPAL_KEYS]; /* oldest first */
	size_t key_count;
};

struct principals;

enum rc principals_prepare(struct db *control, struct err *e) MUST_USE; /* makes the tables */
enum rc principals_load(struct db *control, struct principals **out, struct err *e) MUST_USE;
struct principals *principals_ref(struct principals *ps);
void    principals_unref(struct principals **ps); /* NULL is fine */
int64_t principals_generation(const struct principals *ps);
/* By name. These live as long as the list; NULL: there is none. Disabled ones are found too. */
size_t  principals_count(const struct principals *ps);
const struct principal *principals_at(const struct principals *ps, size_t i);
const struct principal *principal_by_name(const struct principals *ps, struct slice name);
const struct principal *principal_by_uid(const struct principals *ps, uint32_t uid);
const struct principal *principal_by_key(const struct principals *ps, struct slice key_id);

/* For the front that checks signatures: {"Generation":n,"Keys":[{"AccessKeyId":…,"SecretAccessKey":…,
 * "Principal":NAME}]}, without disabled principals. A new reference; never to be shown or logged. */
enum rc principals_snapshot(struct db *control, json_t **out, struct err *e) MUST_USE;

struct principal_new {
	struct slice name;
	struct access access; /* archives are ids, of archives that there are */
	int64_t uid;          /* or NO_UID */
};

/* `key` is filled; NULL: none is made. */
enum rc principal_create(struct db *control, const struct principal_new *n, struct access_key *key,
			 struct err *e) MUST_USE;
enum rc principal_set_disabled(struct db *control, struct slice name, bool disabled,
			       struct err *e) MUST_USE;
/* What it may see from now on; role and name stay. */
enum rc principal_set_archives(struct db *control, struct slice name, const struct access *access,
			       struct err *e) MUST_USE;
/* Its keys go with it; the name stays taken. */
enum rc principal_delete(struct db *control, struct slice name, struct err *e) MUST_USE;
enum rc principal_add_key(struct db *control, struct slice name, struct access_key *key,
			  struct err *e) MUST_USE;
enum rc principal_remove_key(struct db *control, struct slice name, struct slice key_id,
			     struct err *e) MUST_USE;

#endif
