#include "ingest/anchor.h"

#include "base/json.h"

enum rc anchor_prepare(struct db *control, struct err *e)
{
	return db_exec(control,
	               "CREATE TABLE IF NOT EXISTS audit_anchor ("
	               " one INTEGER PRIMARY KEY CHECK (one = 1), entries INTEGER NOT NULL,"
	               " when_ms INTEGER NOT NULL, hash BLOB NOT NULL) STRICT;",
	               e);
}

enum rc anchor_put(struct db *control, struct audit *audit, struct err *e)
{
	struct audit_head head;
	struct stmt *st;
	enum rc rc;

	audit_head(audit, &head);
	rc = db_prepare(control, &st, "INSERT OR REPLACE INTO audit_anchor VALUES(1, ?, ?, ?)", e);
	if (rc != RC_OK)
		return rc;
	stmt_bind_int(st, 1, (int64_t)head.entries);
	stmt_bind_int(st, 2, head.when_ms);
	stmt_bind_blob(st, 3, slice_of(head.hash, sizeof(head.hash)));
	rc = stmt_run(st, e);
	stmt_free(&st);
	return rc;
}

enum rc anchor_get(struct db *control, struct audit_head *out, struct err *e)
{
	struct stmt *st;
	struct slice hash;
	enum rc rc = db_prepare(control, &st, "SELECT entries, when_ms, hash FROM audit_anchor", e);

	*out = (struct audit_head) { 0 };
	if (rc != RC_OK)
		return rc;
	rc = stmt_step(st, e);
	if (rc == RC_OK) {
		out->entries = (uint64_t)stmt_int(st, 0);
		out->when_ms = stmt_int(st, 1);
		hash = stmt_blob(st, 2);
		if (hash.len == sizeof(out->hash))
			memcpy(out->hash, hash.at, sizeof(out->hash));
	}
	stmt_free(&st);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

struct look {
	struct audit_head head;
	bool seen;
};

static enum rc compare(void *arg, const struct audit_entry *entry, struct err *e)
{
	struct look *l = arg;

	if (entry->number == l->head.entries)
		l->seen = memcmp(entry->hash, l->head.hash, sizeof(l->head.hash)) == 0;
	return err_set(e, RC_NOTFOUND, "enough"); /* ends the walk */
}

enum rc anchor_check(struct db *control, struct audit *audit, struct err *e)
{
	struct look l = { .seen = false };
	enum rc rc = anchor_get(control, &l.head, e);

	if (rc != RC_OK || l.head.entries == 0)
		return rc;
	rc = audit_each(audit, l.head.entries, compare, &l, e);
	if (rc != RC_OK && rc != RC_NOTFOUND)
		return rc;
	return l.seen ? RC_OK
	              : err_set(e, RC_CORRUPT,
	                        "the audit log was cut or replaced: it had %llu entries at the last"
	                        " checkpoint",
	                        (unsigned long long)l.head.entries);
}

static enum rc take_changes(void *arg, const struct audit_entry *entry, struct err *e)
{
	uint64_t *changes = arg;

	(void)e;
	/* A start that found an older copy may have been killed before it noted that. */
	*changes = MAX_OF(entry->control, (uint64_t)json_member_int(entry->detail, "known", 0));
	return RC_OK;
}

enum rc anchor_changes(struct audit *audit, uint64_t *changes, struct err *e)
{
	struct audit_head head;

	*changes = 0;
	audit_head(audit, &head);
	return head.entries ? audit_each(audit, head.entries, take_changes, changes, e) : RC_OK;
}
