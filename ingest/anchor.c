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

enum rc anchor_check(struct db *control, struct audit *audit, struct err *e)
{
	struct audit_head head;
	enum rc rc = anchor_get(control, &head, e);

	if (rc != RC_OK || head.entries == 0)
		return rc;
	rc = audit_has(audit, &head, e);
	if (rc != RC_CORRUPT)
		return rc;
	return err_set(e, rc,
	               "the audit log was cut or replaced: it had %llu entries at the last"
	               " checkpoint",
	               (unsigned long long)head.entries);
}

struct changes {
	uint64_t most;
	bool older; /* the entry before told that the database is an older copy, which counts anew
	             */
};

static enum rc take_changes(void *arg, const struct audit_entry *entry, struct err *e)
{
	struct changes *c = arg;
	uint64_t known = (uint64_t)json_member_int(entry->detail, "known", 0);

	(void)e;
	/* A start that found an older copy may have been killed before it noted that. */
	known = MAX_OF(entry->control, known);
	c->most = c->older ? known : MAX_OF(c->most, known);
	c->older = strcmp(entry->event, "control_older") == 0;
	return RC_OK;
}

/* The last entry knows it, but for a break in front of it: then it may be any of the log's own. */
enum rc anchor_changes(struct audit *audit, uint64_t *changes, struct err *e)
{
	struct changes c = { 0 };
	struct audit_head head;
	bool damaged = audit_is_damaged(audit);
	enum rc rc = RC_OK;

	audit_head(audit, &head);
	if (head.entries)
		rc = audit_each(audit, damaged ? 1 : head.entries, take_changes, &c, e);
	*changes = c.most;
	return rc == RC_CORRUPT && damaged ? RC_OK : rc;
}
