/*
 * ingest/resources_db.h - the tables behind resources.h; for resources*.c alone
 *
 * resources.c reads, resources_store.c writes one resource inside a transaction, resources_apply.c
 * takes files, resources_change.c single changes.
 */
#ifndef MM_INGEST_RESOURCES_DB_H
#define MM_INGEST_RESOURCES_DB_H

#include "ingest/address_set.h"
#include "ingest/resources.h"
#include "ingest/shape.h"

struct resource_kind_info {
	const char *plural; /* member of the file, and the word in the tables */
	const char *id;     /* "RuleSetId" */
	const char *name;   /* "RuleSetName" */
	const char *prefix; /* of ids: "rs-" */
	const char *arn;    /* "mailmanager-rule-set" */
	const struct shape *shape;
};

extern const struct resource_kind_info resource_kinds[RESOURCE_KINDS];

/* The resource in the snapshot's form: as stored, with its id and Version, an archive with its
 * ArchiveNumber. */
enum rc resource_frame(struct db *control, enum resource_kind kind, struct slice id,
		       int64_t version, struct slice stored, json_t **out,
		       struct err *e) MUST_USE;

#define PASSWORD_HASH_ROOM 128
/* RC_INVALID: no password in shape. */
enum rc password_hash(struct slice password, char hash[PASSWORD_HASH_ROOM],
		      struct err *e) MUST_USE;
/* Inside a transaction. */
enum rc password_store(struct db *control, struct slice id, const char *hash, int64_t *version,
		       struct err *e) MUST_USE;

/* ---- one change, which may be of many resources (resources_store.c) ---- */

/* The new members of a list that is there already; in use after the commit. */
struct list_edit {
	struct list_edit *next;
	struct address_list *list;
	struct address_set *set;
};

struct storing {
	struct db *control;
	struct apply_result *result;
	struct list_edit *edits;
	json_t *found[RESOURCE_KINDS]; /* what references were found to stand for; NULL: none yet */
	int64_t now_ms;
	bool keep;     /* what `work` wrote is kept also when no resource changed */
	struct err *e; /* not NULL */
};

/* Begins; then `work` writes; when it changed something, what would be loaded is compiled, the hook
 * called, and all is committed. result->made and lists' new members are there afterwards. Any failure
 * takes all back. */
enum rc store_run(struct storing *st, enum rc (*work)(struct storing *st, void *arg),
		  void *arg) MUST_USE;
/* Room for so many changes more, of which store_* calls take one each. */
void store_room(struct storing *st, size_t changes);

void store_new_id(char out[RESOURCE_ID_ROOM], const char *prefix);
/* The id that a name, id or ARN (what follows the last '/') stands for; RC_NOTFOUND without text. */
enum rc store_find(const struct storing *st, enum resource_kind kind, struct slice reference,
		   char id[RESOURCE_ID_ROOM]) MUST_USE;
/* By its name alone. */
enum rc store_find_name(const struct storing *st, enum resource_kind kind, struct slice name,
			char id[RESOURCE_ID_ROOM]) MUST_USE;
/* An ingress point names its rule set and policy in one way each. */
enum rc store_check_point(const struct storing *st, const json_t *point,
			  const struct shape_path *path) MUST_USE;
/* What is stored; RC_NOTFOUND without text. */
enum rc store_load(const struct storing *st, enum resource_kind kind, struct slice id, json_t **json,
		   int64_t *version) MUST_USE;
/* A deep copy without members that are null. */
json_t *store_without_nulls(const json_t *value);
/* References as ids; in all members of `item`. */
enum rc store_resolve(struct storing *st, enum resource_kind kind, json_t *item,
		      const struct shape_path *path) MUST_USE;
/* Defaults; what may not change compared with `before` (NULL: new). */
enum rc store_settle(const struct storing *st, enum resource_kind kind, json_t *item,
		     const json_t *before, const struct shape_path *path) MUST_USE;
/* Writes the settled `item` as the next version unless it is as `before`, and notes the change. An
 * address list's Addresses, where given, become its members. `id` "": a new one, made here. */
enum rc store_item(struct storing *st, enum resource_kind kind, json_t *item, const json_t *before,
		   int64_t old, char id[RESOURCE_ID_ROOM]) MUST_USE;
/* The set to be changed beside the list's rows; NULL: the list isn't compiled yet. */
struct address_set *store_list_set(struct storing *st, struct slice list);
/* The name in the table: of an add-on's instance its subscription's id. */
struct slice store_name(const json_t *item, enum resource_kind kind);
/* Notes that members of a list were added or removed, and when. */
enum rc store_note_members(struct storing *st, struct slice id, int64_t added,
			   int64_t removed) MUST_USE;
/* Notes a change without writing anything. */
struct apply_change *store_note(struct storing *st, enum resource_kind kind, struct slice id,
				struct slice name, enum apply_what what, int64_t version);
/* RC_EXISTS when it is an archive that is being deleted. */
enum rc store_changeable(const struct storing *st, enum resource_kind kind, const json_t *stored,
			 const struct shape_path *path) MUST_USE;

#endif
