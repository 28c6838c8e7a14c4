/*
 * ingest/members.h - the members of address lists, in control.db
 *
 * What     One row for each member, found by its folded text (ASCII letters in lower case), so that a
 *          list of 100,000 changes by what changed. The compiled list (address_list.h) is changed with
 *          it: callers give a set that is taken into use after the commit.
 * Twice    An address that differs only in case is the same member. "example.com" and "*@example.com"
 *          are two members that cover the same.
 * Inside   a transaction of the caller, but for reading.
 * Threads  As the struct db: one at a time.
 * On disk  docs/formats.md, "Resources"
 */
#ifndef MM_INGEST_MEMBERS_H
#define MM_INGEST_MEMBERS_H

#include "base/json.h"
#include "ingest/address_set.h"
#include "store/db.h"

/* Makes the tables, and moves into them what older databases have inside of the lists' JSON. */
enum rc members_open(struct db *control, struct err *e) MUST_USE;

/* What a change did. `set` (may be NULL) gets the same changes. */
struct members_change {
	struct address_set *set;
	int64_t added;
	int64_t removed;
};

/* A new list, empty. */
enum rc members_new_list(struct db *control, struct slice list, struct err *e) MUST_USE;
/* A list that goes, with its members. */
enum rc members_drop_list(struct db *control, struct slice list, struct err *e) MUST_USE;
/* `address` is valid (address_entry_fault). One that is there already: RC_OK, nothing added. */
enum rc members_add(struct db *control, struct slice list, struct slice address, int64_t now_ms,
		    struct members_change *m, struct err *e) MUST_USE;
/* One that isn't there: RC_NOTFOUND. */
enum rc members_remove(struct db *control, struct slice list, struct slice address,
		       struct members_change *m, struct err *e) MUST_USE;
/* From now on exactly these; those that stay keep their time. */
enum rc members_replace(struct db *control, struct slice list, const json_t *addresses,
			int64_t now_ms, struct members_change *m, struct err *e) MUST_USE;
enum rc members_count(struct db *control, struct slice list, int64_t *count,
		      struct err *e) MUST_USE;

/* All of them, as a JSON array in the order of their folded text. */
enum rc members_all(struct db *control, struct slice list, json_t **out, struct err *e) MUST_USE;
/* {"Address":"as given","CreatedMs":n}; RC_NOTFOUND. */
enum rc members_get(struct db *control, struct slice list, struct slice address, json_t **out,
		    struct err *e) MUST_USE;
/* Up to `limit` of these, whose text begins with `prefix`, behind the cursor `after` (empty: from the
 * start). `next` (an empty buffer) gets the cursor of the next page, or stays empty: there is none.
 * A cursor stays good whatever is added or removed meanwhile. RC_INVALID: it is no cursor. */
enum rc members_page(struct db *control, struct slice list, struct slice prefix, struct slice after,
		     size_t limit, json_t **out, struct buf *next, struct err *e) MUST_USE;

#endif
