/*
 * ingest/resources.h - archives, address lists, traffic policies, rule sets, ingress points, relays,
 * add-ons
 *
 * What     Keeps resources in the API's JSON shapes in control.db, every version of them, and takes
 *          the declarative file of `mmctl apply` (docs/resources.md) or one change at a time.
 * Why      A message is judged by the version of the rule set that was current when it was
 *          committed; so no version is ever overwritten.
 * References  to other resources are given by name, id or ARN and stored as ids.
 * Names    are unique in a kind. Ids ("a-", "al-", "r-", "as-", "ai-", "tp-", "rs-", "inp-" and 24
 *          lower-case letters and digits) and archive numbers are never used again.
 * Fails    RC_INVALID names the member and the rule: `RuleSets[0].Rules[2].Actions[0]: "Relay" is not
 *          built yet; it comes with the outbound queue`. RC_NOTFOUND for show, version, passwd.
 * Members  of address lists are rows of their own (ingest/members.h), not part of a version.
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
	RESOURCE_RELAY,
	RESOURCE_ADDON_SUBSCRIPTION,
	RESOURCE_ADDON_INSTANCE,
	RESOURCE_TRAFFIC_POLICY,
	RESOURCE_RULE_SET,
	RESOURCE_INGRESS_POINT,
	RESOURCE_KINDS
};

#define RESOURCE_ID_ROOM 32
#define PASSWORD_OVERLAP_DAYS 14

enum apply_what { APPLY_UNCHANGED, APPLY_CREATED, APPLY_UPDATED, APPLY_DELETED };

struct config;
struct token; /* ingest/tokens.h */

struct apply_change {
	enum resource_kind kind;
	enum apply_what what;
	char id[RESOURCE_ID_ROOM];
	char *name;
	int64_t version;         /* that is current now */
	int64_t members_added;   /* address lists */
	int64_t members_removed;
};

/* 0: no quota. Those of statements, conditions, rules and actions are part of the shapes. */
struct resource_limits {
	size_t archives; /* that are not being deleted */
	size_t address_lists;
	size_t list_members;
	size_t relays;
	size_t traffic_policies;
	size_t rule_sets;
	size_t sending_actions; /* Send and Relay, of a rule set */
	size_t open_points;
	size_t auth_points;
	size_t mtls_points; /* the service's number isn't known: as many as of AUTH */
	bool retention_weekly; /* an archive's retention changes once in 7 days */
};
extern const struct resource_limits resource_limits_aws; /* the service's (spec section 8.2) */

/* One change or many. Zeroed by the caller, who may set what is above "changes"; freed by apply_result_free. */
struct apply_result {
	/* Called after everything is validated and written, before COMMIT (for the audit entry, which
	 * goes first); `c` is what will be the configuration, NULL when members of lists or tags alone
	 * change.
	 * Not called when nothing changed. Not RC_OK takes all back. May be NULL. */
	enum rc (*before_commit)(void *arg, const struct apply_result *r, struct config *c,
				 struct err *e);
	void *arg;
	/* The configuration before: what didn't change is not compiled anew. NULL: there is none. */
	struct config *base;
	const struct resource_limits *limits; /* NULL: no quotas */
	bool open; /* a file: without the quotas of items (ingest/shape.h) */
	/* Of a create: kept with what it makes; one that is known gives the id of then, unchanged. NULL:
	 * there is none. */
	const struct token *token;
	struct apply_change *changes; /* every resource of a file, in the order of kinds */
	size_t count;
	size_t created;
	size_t updated;
	size_t unchanged;
	size_t deleted;
	/* What is the configuration now; NULL when nothing of it changed. The caller may take it. */
	struct config *made;
};

/* Makes the tables where they are absent. */
enum rc resources_open(struct db *control, struct err *e) MUST_USE;

/* No new archive gets `highest` or a lower number: an older copy of the database may have forgotten them. */
enum rc resources_keep_numbers(struct db *control, uint32_t highest, struct err *e) MUST_USE;

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
/* The same for config_next: what `base` has at its version is named alone. */
enum rc resources_snapshot_since(struct db *control, const struct config *base, json_t **out,
				 struct err *e) MUST_USE;
/* What is stored now, compiled. */
enum rc resources_compile(struct db *control, struct config *base, struct config **out,
			  struct err *e) MUST_USE;

/* ---- one change ----
 * A reference is a name, an id or an ARN. RC_NOTFOUND: there is none. RC_EXISTS: a conflict: the name
 * is taken; it is in use, and by whom; the archive is being deleted. RC_LIMIT: a quota. RC_INVALID: the
 * member and the rule. */

/* `json` as in a file; beside it "Tags", and for an ingress point "IngressPointConfiguration" with an
 * SmtpPassword. r->changes[0] has the id. */
enum rc resources_create(struct db *control, enum resource_kind kind, const json_t *json,
			 struct apply_result *r, struct err *e) MUST_USE;
/* Members of `json` take the place of those stored, lists whole; the others stay. */
enum rc resources_update(struct db *control, enum resource_kind kind, struct slice reference,
			 const json_t *json, struct apply_result *r, struct err *e) MUST_USE;
/* An archive becomes PENDING_DELETION (again: nothing changes). Versions stay. */
enum rc resources_delete(struct db *control, enum resource_kind kind, struct slice reference,
			 struct apply_result *r, struct err *e) MUST_USE;
/* An archive whose messages are all destroyed goes, ARCHIVE_PENDING_DAYS after its deletion; before
 * that RC_DENIED. */
enum rc resources_end_archive(struct db *control, struct slice id, struct apply_result *r,
			      struct err *e) MUST_USE;

/* As resources_show has it, but for the members of an address list; with CreatedMs, UpdatedMs, and
 * "Name", the resource's. */
enum rc resources_get(struct db *control, enum resource_kind kind, struct slice reference,
		      json_t **out, struct err *e) MUST_USE;
/* Is the resource with this id one to show? */
struct resource_filter {
	bool (*shows)(void *arg, struct slice id);
	void *arg;
};

/* Up to `limit` of them, or of those that the filter shows (NULL: all), as resources_get, in the order of
 * their creation, behind the cursor `after` (empty: from the start). `next` (an empty buffer) gets the next
 * page's cursor or stays empty. A cursor stays good whatever is made or deleted meanwhile. RC_INVALID: it
 * is no cursor. */
enum rc resources_list(struct db *control, enum resource_kind kind,
		       const struct resource_filter *filter, struct slice after, size_t limit,
		       json_t **out, struct buf *next, struct err *e) MUST_USE;

/* Tags of any resource: of a list as in "Tags", or of keys. RC_LIMIT past TAGS_MOST. Nothing of it is a new
 * version. tags_list (ingest/tags.h) reads them. */
enum rc resources_tag(struct db *control, enum resource_kind kind, struct slice reference,
		      const json_t *tags, struct apply_result *r, struct err *e) MUST_USE;
enum rc resources_untag(struct db *control, enum resource_kind kind, struct slice reference,
			const json_t *keys, struct apply_result *r, struct err *e) MUST_USE;

/* Members of an address list, as many as in `addresses` (texts). r->changes[0] says how many were added
 * or removed; when none was, nothing changed, and that is no error: registering what is there, and
 * (with one address) RC_NOTFOUND for deregistering what isn't. */
enum rc resources_register(struct db *control, struct slice list, const json_t *addresses,
			   struct apply_result *r, struct err *e) MUST_USE;
enum rc resources_deregister(struct db *control, struct slice list, struct slice address,
			     struct apply_result *r, struct err *e) MUST_USE;

/* A rule set as a file has it, in the form that is stored, for config_compile_rule_set; nothing is stored. It has an id
 * that no rule set has, and Version 0. RC_INVALID names the member. */
enum rc resources_rule_set(struct db *control, const json_t *json, json_t **out,
			   struct err *e) MUST_USE;

/* For people: all kinds ({"Archives":[...],...}), one kind, or one resource of it (in the same
 * frame). Each as stored, with id, Version, CreatedTimestamp, LastUpdatedTimestamp (RFC 3339); an
 * ingress point also with the names of what it refers to, and versions of its passwords but no hash.
 * `kind` is a word that resource_kind_parse knows, or NULL; `name` a name or id, or NULL. */
enum rc resources_show(struct db *control, const char *kind, const char *name, json_t **out,
		       struct err *e) MUST_USE;
/* Everything as a file of mmctl apply has it: names for ids, nothing that mm adds; without passwords, and
 * without archives that are being deleted. Applied to an empty directory it makes the same again. */
enum rc resources_dump(struct db *control, json_t **out, struct err *e) MUST_USE;
/* A version as it was stored, with its id and "Version". RC_NOTFOUND. */
enum rc resources_version(struct db *control, enum resource_kind kind, struct slice id,
			  int64_t version, json_t **out, struct err *e) MUST_USE;

/* "RuleSets": the member of the file. */
const char *resource_kind_plural(enum resource_kind kind);
const char *resource_kind_id(enum resource_kind kind);   /* "RuleSetId" */
const char *resource_kind_name(enum resource_kind kind); /* "RuleSetName" */
const char *resource_kind_arn(enum resource_kind kind);  /* "mailmanager-rule-set" */
/* "RuleSets", "rule-sets", "rule-set", "ruleset": case and '-' don't matter. False if unknown. */
bool resource_kind_parse(const char *word, enum resource_kind *kind);

#endif
