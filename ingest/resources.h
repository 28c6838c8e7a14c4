/*
 * ingest/resources.h - archives, address lists, traffic policies, rule sets, ingress points
 *
 * What     Keeps resources in the API's JSON shapes in control.db, every version of them, and takes
 *          the declarative file of `mmctl apply` (docs/resources.md).
 * Why      A message is judged by the version of the rule set that was current when it was
 *          committed; so no version is ever overwritten.
 * References  to other resources are given by name, id or ARN and stored as ids.
 * Names    are unique in a kind. Ids ("a-", "al-", "tp-", "rs-", "inp-" and 24 lower-case letters and
 *          digits) and archive numbers are never used again.
 * Fails    RC_INVALID names the member and the rule: `RuleSets[0].Rules[2].Actions[0]: "Relay" is not
 *          built yet; it comes with the outbound queue`. RC_NOTFOUND for show, version, passwd.
 * Threads  As the struct db: one at a time.
 * On disk  docs/formats.md, "Resources"
 */
#ifndef MM_INGEST_RESOURCES_H
#define MM_INGEST_RESOURCES_H

#include "base/json.h"
#include "store/db.h"

/* In the order in which they can refer to each other. */
enum resource_kind {
	RESOURCE_ARCHIVE,
	RESOURCE_ADDRESS_LIST,
	RESOURCE_TRAFFIC_POLICY,
	RESOURCE_RULE_SET,
	RESOURCE_INGRESS_POINT,
	RESOURCE_KINDS
};

#define RESOURCE_ID_ROOM 32
#define PASSWORD_OVERLAP_DAYS 14

enum apply_what { APPLY_UNCHANGED, APPLY_CREATED, APPLY_UPDATED };

struct config;

struct apply_change {
	enum resource_kind kind;
	enum apply_what what;
	char id[RESOURCE_ID_ROOM];
	char *name;
	int64_t version; /* that is current now */
};

/* Zeroed by the caller, who may set the hook; freed by apply_result_free. */
struct apply_result {
	struct apply_change *changes; /* every resource of the file, in the order of kinds */
	size_t count;
	size_t created;
	size_t updated;
	size_t unchanged;
	/* Called after everything is validated and written, before COMMIT (for the audit entry, which
	 * goes first); `c` is what will be the configuration. Not called when nothing changed. Not RC_OK
	 * takes all back. May be NULL. */
	enum rc (*before_commit)(void *arg, const struct apply_result *r, struct config *c,
				 struct err *e);
	void *arg;
};

/* Makes the tables where they are absent. */
enum rc resources_open(struct db *control, struct err *e) MUST_USE;

/* Creates or updates by name, all or nothing, deletes nothing; the same file twice changes nothing. */
enum rc resources_apply(struct db *control, struct slice file_text, struct apply_result *result,
			struct err *e) MUST_USE;
void apply_result_free(struct apply_result *result);

/* Sets the password of an AUTH ingress point (by name or id); the one before it stays valid for
 * PASSWORD_OVERLAP_DAYS. `version` may be NULL. */
enum rc resources_set_password(struct db *control, struct slice ingress_point,
			       struct slice password, int64_t *version, struct err *e) MUST_USE;
/* Whether the above would do it: RC_INVALID for the password or the point, RC_NOTFOUND without one. */
enum rc resources_check_password(struct db *control, struct slice ingress_point,
				 struct slice password, struct err *e) MUST_USE;

/* Everything that config_new needs: {"Generation":n,"Archives":[...],...,"Passwords":[...]}. Each
 * resource has its id, "Version", an archive its "ArchiveNumber". Has password hashes: not to be
 * shown. Expired hashes are left out. */
enum rc resources_snapshot(struct db *control, json_t **out, struct err *e) MUST_USE;

/* For people: all kinds ({"Archives":[...],...}), one kind, or one resource of it (in the same
 * frame). Each as stored, with id, Version, CreatedTimestamp, LastUpdatedTimestamp (RFC 3339); an
 * ingress point also with the names of what it refers to, and versions of its passwords but no hash.
 * `kind` is a word that resource_kind_parse knows, or NULL; `name` a name or id, or NULL. */
enum rc resources_show(struct db *control, const char *kind, const char *name, json_t **out,
		       struct err *e) MUST_USE;
/* A version as it was stored, with its id and "Version". RC_NOTFOUND. */
enum rc resources_version(struct db *control, enum resource_kind kind, struct slice id,
			  int64_t version, json_t **out, struct err *e) MUST_USE;

/* "RuleSets": the member of the file. */
const char *resource_kind_plural(enum resource_kind kind);
/* "RuleSets", "rule-sets", "rule-set", "ruleset": case and '-' don't matter. False if unknown. */
bool resource_kind_parse(const char *word, enum resource_kind *kind);

#endif
