#include "ingest/disposition.h"

#include <stdio.h>

static const char *const names[DISPOSITION_KINDS] = { "unmatched", "dropped", "no-action",
	                                              "failed",    "lost",    "refused",
	                                              "delivered", "bounced", "dead-letter" };

const char *disposition_name(enum disposition_kind kind)
{
	return kind < DISPOSITION_KINDS ? names[kind] : "unknown";
}

bool disposition_parse(struct slice word, enum disposition_kind *kind)
{
	for (unsigned i = 0; i < DISPOSITION_KINDS; i++)
		if (slice_equal(word, slice_str(names[i]))) {
			*kind = (enum disposition_kind)i;
			return true;
		}
	return false;
}

/* A table of before it was kept which policy let a message in. */
static enum rc add_column(struct db *control, const char *name, const char *add, struct err *e)
{
	struct stmt *st;
	enum rc rc = db_prepare(control, &st,
	                        "SELECT 1 FROM pragma_table_info('disposition') WHERE name = ?", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(st, 1, slice_str(name));
	rc = stmt_step(st, e);
	stmt_free(&st);
	return rc == RC_NOTFOUND ? db_exec(control, add, e) : rc;
}

enum rc disposition_prepare(struct db *control, struct err *e)
{
	enum rc rc = db_begin(control, e);

	if (rc != RC_OK)
		return rc;
	rc = db_exec(control,
	             "CREATE TABLE IF NOT EXISTS disposition ("
	             " id BLOB PRIMARY KEY, received INTEGER NOT NULL, kind INTEGER NOT NULL,"
	             " rule_set TEXT, version INTEGER, rule INTEGER, rule_name TEXT, text TEXT)"
	             " STRICT, WITHOUT ROWID;",
	             e);
	if (rc == RC_OK)
		rc = add_column(
		        control, "policy",
		        "ALTER TABLE disposition ADD COLUMN policy TEXT NOT NULL DEFAULT ''", e);
	if (rc == RC_OK)
		rc = add_column(control, "policy_version",
		                "ALTER TABLE disposition ADD COLUMN"
		                " policy_version INTEGER NOT NULL DEFAULT 0",
		                e);
	return db_end(control, rc, e);
}

static enum rc put(struct db *control, const char *sql, const struct disposition *d, struct err *e)
{
	struct stmt *st;
	enum rc rc = db_prepare(control, &st, sql, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_blob(st, 1, slice_of(d->id.b, ID_BYTES));
	stmt_bind_int(st, 2, d->received_ms);
	stmt_bind_int(st, 3, d->kind);
	stmt_bind_text(st, 4, slice_str(d->rule_set));
	stmt_bind_int(st, 5, d->rule_set_version);
	stmt_bind_int(st, 6, d->rule);
	stmt_bind_text(st, 7, slice_str(d->rule_name));
	stmt_bind_text(st, 8, slice_str(d->text));
	stmt_bind_text(st, 9, slice_str(d->policy));
	stmt_bind_int(st, 10, d->policy_version);
	rc = stmt_run(st, e);
	stmt_free(&st);
	return rc;
}

enum rc disposition_put(struct db *control, const struct disposition *d, struct err *e)
{
	return put(control, "INSERT OR IGNORE INTO disposition VALUES(?,?,?,?,?,?,?,?,?,?)", d, e);
}

/* 6 to 8 are those of the queue, and 1 may be. */
enum rc disposition_ended(struct db *control, const struct disposition *d, struct err *e)
{
	return put(control,
	           "INSERT INTO disposition VALUES(?,?,?,?,?,?,?,?,?,?)"
	           " ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, text = excluded.text"
	           " WHERE kind BETWEEN 6 AND 8",
	           d, e);
}

static void copy_text(char *out, size_t room, struct slice s)
{
	(void)snprintf(out, room, "%.*s", (int)MIN_OF(s.len, room),
	               s.len ? (const char *)s.at : "");
}

static void read_row(struct stmt *st, struct disposition *d)
{
	struct slice id = stmt_blob(st, 0);
	int64_t kind = stmt_int(st, 2);

	*d = (struct disposition) { .received_ms = stmt_int(st, 1) };
	memcpy(d->id.b, id.at, MIN_OF(id.len, (size_t)ID_BYTES));
	d->kind = kind >= 0 && kind < DISPOSITION_KINDS ? (enum disposition_kind)kind
	                                                : DISPOSITION_FAILED;
	copy_text(d->rule_set, sizeof(d->rule_set), stmt_text(st, 3));
	d->rule_set_version = stmt_int(st, 4);
	d->rule = (int)stmt_int(st, 5);
	copy_text(d->rule_name, sizeof(d->rule_name), stmt_text(st, 6));
	copy_text(d->text, sizeof(d->text), stmt_text(st, 7));
	copy_text(d->policy, sizeof(d->policy), stmt_text(st, 8));
	d->policy_version = stmt_int(st, 9);
}

#define COLUMNS                                                                                    \
	"SELECT id, received, kind, rule_set, version, rule, rule_name, text, policy,"             \
	" policy_version FROM disposition "

enum rc disposition_get(struct db *control, const struct message_id *id, struct disposition *out,
                        struct err *e)
{
	struct stmt *st;
	enum rc rc = db_prepare(control, &st, COLUMNS "WHERE id = ?", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_blob(st, 1, slice_of(id->b, ID_BYTES));
	rc = stmt_step(st, e);
	if (rc == RC_OK)
		read_row(st, out);
	stmt_free(&st);
	return rc;
}

enum rc disposition_each(struct db *control, enum disposition_kind kind, uint64_t limit,
                         enum rc (*each)(void *arg, const struct disposition *d, struct err *e),
                         void *arg, struct err *e)
{
	struct stmt *st;
	enum rc rc = db_prepare(control, &st,
	                        COLUMNS "WHERE ?1 < 0 OR kind = ?1 ORDER BY id DESC LIMIT ?2", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(st, 1, kind == DISPOSITION_KINDS ? -1 : (int64_t)kind);
	stmt_bind_int(st, 2, limit ? (int64_t)limit : -1);
	while ((rc = stmt_step(st, e)) == RC_OK) {
		struct disposition d;

		read_row(st, &d);
		rc = each(arg, &d, e);
		if (rc != RC_OK)
			break;
	}
	stmt_free(&st);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc disposition_count(struct db *control, uint64_t counts[DISPOSITION_KINDS], struct err *e)
{
	struct stmt *st;
	enum rc rc =
	        db_prepare(control, &st, "SELECT kind, count(*) FROM disposition GROUP BY kind", e);

	memset(counts, 0, DISPOSITION_KINDS * sizeof(*counts));
	if (rc != RC_OK)
		return rc;
	while ((rc = stmt_step(st, e)) == RC_OK) {
		int64_t kind = stmt_int(st, 0);

		if (kind >= 0 && kind < DISPOSITION_KINDS)
			counts[kind] = (uint64_t)stmt_int(st, 1);
	}
	stmt_free(&st);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}
