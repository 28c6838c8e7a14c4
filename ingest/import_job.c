#include "ingest/import_job.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "ingest/address_list.h"
#include "ingest/import_parse.h"
#include "ingest/members.h"
#include "ingest/resources_db.h"
#include "ingest/tokens.h"

#define WINDOW 262144 /* bytes of a file in memory at once; more than the longest item */

static const char schema[] =
        "CREATE TABLE IF NOT EXISTS import_job ("
        " number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, list TEXT NOT NULL,"
        " name TEXT NOT NULL, format INTEGER NOT NULL, status TEXT NOT NULL,"
        " created_ms INTEGER NOT NULL, started_ms INTEGER NOT NULL, completed_ms INTEGER NOT NULL,"
        " bytes INTEGER NOT NULL, position INTEGER NOT NULL,"
        " imported INTEGER NOT NULL, failed INTEGER NOT NULL, error TEXT NOT NULL) STRICT;"
        "CREATE TABLE IF NOT EXISTS import_chunk ("
        " job INTEGER NOT NULL, at INTEGER NOT NULL, bytes BLOB NOT NULL,"
        " PRIMARY KEY (job, at)) STRICT;";

enum rc import_job_open(struct db *control, struct err *e)
{
	return db_exec(control, schema, e);
}

struct job {
	int64_t number;
	char id[RESOURCE_ID_ROOM];
	char list[RESOURCE_ID_ROOM];
	char status[16];
	enum import_format format;
	int64_t bytes;
	struct import_place place;
};

static void copy_text(char *out, size_t room, struct slice s)
{
	(void)snprintf(out, room, "%.*s", (int)s.len, s.len ? (const char *)s.at : "");
}

#define JOB_COLUMNS " number, id, list, status, format, bytes, position, imported, failed "

static void read_job(struct stmt *s, struct job *j)
{
	j->number = stmt_int(s, 0);
	copy_text(j->id, sizeof(j->id), stmt_text(s, 1));
	copy_text(j->list, sizeof(j->list), stmt_text(s, 2));
	copy_text(j->status, sizeof(j->status), stmt_text(s, 3));
	j->format = (enum import_format)stmt_int(s, 4);
	j->bytes = stmt_int(s, 5);
	j->place.position = stmt_int(s, 6);
	j->place.imported = stmt_int(s, 7);
	j->place.failed = stmt_int(s, 8);
}

static enum rc find_job(struct db *control, struct slice id, struct job *j, struct err *e)
{
	struct stmt *s;
	enum rc rc =
	        db_prepare(control, &s, "SELECT" JOB_COLUMNS "FROM import_job WHERE id = ?", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, id.len ? id : slice_str(""));
	rc = stmt_step(s, e);
	if (rc == RC_OK)
		read_job(s, j);
	else if (rc == RC_NOTFOUND)
		(void)err_set(e, RC_NOTFOUND, "JobId: there is no such job");
	stmt_free(&s);
	return rc;
}

static bool is_status(const struct job *j, const char *status)
{
	return strcmp(j->status, status) == 0;
}

/* ?1 the job's number (or another one), ?2 and ?3 numbers. */
static enum rc run(struct db *control, const char *sql, int64_t number, int64_t a, int64_t b,
                   struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s, sql, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, number);
	if (strstr(sql, "?2"))
		stmt_bind_int(s, 2, a);
	if (strstr(sql, "?3"))
		stmt_bind_int(s, 3, b);
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}

/* In a transaction of its own. */
static enum rc in_transaction(struct db *control, struct slice id,
                              enum rc (*work)(struct db *control, struct job *j, struct slice bytes,
                                              struct err *e),
                              struct slice bytes, struct err *e)
{
	struct job j;
	enum rc rc = db_begin(control, e);

	if (rc != RC_OK)
		return rc;
	rc = find_job(control, id, &j, e);
	if (rc == RC_OK)
		rc = work(control, &j, bytes, e);
	return db_end(control, rc, e);
}

/* ---- create ---- */

static enum rc insert(struct db *control, struct slice list, struct slice name,
                      enum import_format format, const char *id, struct err *e)
{
	struct stmt *s;
	enum rc rc =
	        db_prepare(control, &s,
	                   "INSERT INTO import_job (id, list, name, format, status, created_ms,"
	                   " started_ms, completed_ms, bytes, position, imported, failed, error)"
	                   " SELECT ?1, id, ?3, ?4, 'CREATED', ?5, 0, 0, 0, 0, 0, 0, ''"
	                   " FROM address_list WHERE id = ?2",
	                   e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, slice_str(id));
	stmt_bind_text(s, 2, list.len ? list : slice_str(""));
	stmt_bind_text(s, 3, name);
	stmt_bind_int(s, 4, format);
	stmt_bind_int(s, 5, clock_now_ms());
	rc = stmt_run(s, e);
	stmt_free(&s);
	if (rc == RC_OK && db_changes(control) == 0)
		rc = err_set(e, RC_NOTFOUND, "AddressListId: there is no such address list");
	return rc;
}

/* A file that nobody wants taken in isn't kept for ever. */
static enum rc forget_idle(struct db *control, int64_t now_ms, struct err *e)
{
	enum rc rc = run(control,
	                 "UPDATE import_job SET status = 'FAILED', completed_ms = ?2,"
	                 " error = 'it was not started within 7 days'"
	                 " WHERE status = 'CREATED' AND created_ms < ?1",
	                 now_ms - IMPORT_JOB_IDLE_DAYS * MS_PER_DAY, now_ms, 0, e);

	return rc == RC_OK ? db_exec(control,
	                             "DELETE FROM import_chunk WHERE job IN"
	                             " (SELECT number FROM import_job WHERE status = 'FAILED')",
	                             e)
	                   : rc;
}

#define OPEN_STATES "('CREATED', 'PROCESSING')"
#define ENDED_OF    "list = ?1 AND status NOT IN " OPEN_STATES

/* The list's oldest jobs that have ended make room for one more. Their files went at their end. */
static enum rc make_room(struct db *control, struct slice list, unsigned keep, struct err *e)
{
	int64_t open = 0;
	struct stmt *s;
	enum rc rc = db_prepare(
	        control, &s,
	        "SELECT count(*) FROM import_job WHERE list = ? AND status IN " OPEN_STATES, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, list.len ? list : slice_str(""));
	rc = stmt_step(s, e);
	if (rc == RC_OK)
		open = stmt_int(s, 0);
	stmt_free(&s);
	if (rc == RC_OK && open >= IMPORT_JOB_OPEN)
		rc = err_set(e, RC_LIMIT, "%d jobs of the address list have not ended",
		             IMPORT_JOB_OPEN);
	if (rc == RC_OK)
		rc = db_prepare(control, &s,
		                "DELETE FROM import_job WHERE " ENDED_OF " AND number <="
		                " (SELECT number FROM import_job WHERE " ENDED_OF
		                " ORDER BY number DESC LIMIT 1 OFFSET ?2)",
		                e);
	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, list.len ? list : slice_str(""));
	stmt_bind_int(s, 2, (int64_t)MAX_OF(keep, (unsigned)IMPORT_JOB_OPEN) - open - 1);
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}

static enum rc create(struct db *control, struct slice list, struct slice name,
                      enum import_format format, const struct token *token, unsigned keep, char *id,
                      struct err *e)
{
	char known[TOKEN_ID_ROOM];
	int64_t now_ms = clock_now_ms();
	enum rc rc = token ? tokens_find(control, token, now_ms, known, e) : RC_NOTFOUND;

	if (rc == RC_OK)
		copy_text(id, RESOURCE_ID_ROOM, slice_str(known));
	if (rc != RC_NOTFOUND)
		return rc;
	store_new_id(id, "job-");
	rc = forget_idle(control, now_ms, e);
	if (rc == RC_OK)
		rc = make_room(control, list, keep, e);
	if (rc == RC_OK)
		rc = insert(control, list, name, format, id, e);
	return rc == RC_OK && token ? tokens_keep(control, token, now_ms, slice_str(id), e) : rc;
}

enum rc import_job_create(struct db *control, struct slice list, struct slice name,
                          enum import_format format, const struct token *token, unsigned keep,
                          char *id, struct err *e)
{
	enum rc rc = db_begin(control, e);

	if (rc != RC_OK)
		return rc;
	return db_end(control, create(control, list, name, format, token, keep, id, e), e);
}

/* ---- the file ---- */

static enum rc check_created(const struct job *j, struct err *e)
{
	return is_status(j, "CREATED") ? RC_OK : err_set(e, RC_EXISTS, "the job is %s", j->status);
}

static enum rc drop_chunks(struct db *control, const struct job *j, struct err *e)
{
	return run(control, "DELETE FROM import_chunk WHERE job = ?1", j->number, 0, 0, e);
}

static enum rc clear(struct db *control, struct job *j, struct slice bytes, struct err *e)
{
	enum rc rc = check_created(j, e);

	(void)bytes;
	if (rc == RC_OK)
		rc = drop_chunks(control, j, e);
	return rc == RC_OK ? run(control, "UPDATE import_job SET bytes = 0 WHERE number = ?1",
	                         j->number, 0, 0, e)
	                   : rc;
}

enum rc import_job_clear(struct db *control, struct slice id, struct err *e)
{
	return in_transaction(control, id, clear, slice_of(NULL, 0), e);
}

static enum rc add_chunks(struct db *control, const struct job *j, struct slice bytes,
                          struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s,
	                        "INSERT INTO import_chunk (job, at, bytes) VALUES (?1, ?2, ?3)", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, j->number);
	for (size_t at = 0; at < bytes.len && rc == RC_OK; at += IMPORT_JOB_CHUNK) {
		stmt_bind_int(s, 2, j->bytes + (int64_t)at);
		stmt_bind_blob(s, 3, slice_part(bytes, at, IMPORT_JOB_CHUNK));
		rc = stmt_run(s, e);
	}
	stmt_free(&s);
	return rc;
}

static enum rc add(struct db *control, struct job *j, struct slice bytes, struct err *e)
{
	enum rc rc = check_created(j, e);

	if (rc == RC_OK && (int64_t)bytes.len > IMPORT_JOB_MOST - j->bytes)
		rc = err_set(e, RC_LIMIT, "a file of more than %d bytes", IMPORT_JOB_MOST);
	if (rc == RC_OK)
		rc = add_chunks(control, j, bytes, e);
	return rc == RC_OK ? run(control, "UPDATE import_job SET bytes = ?2 WHERE number = ?1",
	                         j->number, j->bytes + (int64_t)bytes.len, 0, e)
	                   : rc;
}

enum rc import_job_add(struct db *control, struct slice id, struct slice bytes, struct err *e)
{
	return in_transaction(control, id, add, bytes, e);
}

/* ---- start, stop, end ---- */

static enum rc check_alone(struct db *control, const struct job *j, struct err *e)
{
	struct stmt *s;
	enum rc rc =
	        db_prepare(control, &s,
	                   "SELECT 1 FROM import_job WHERE list = ? AND status = 'PROCESSING'", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, slice_str(j->list));
	rc = stmt_step(s, e);
	stmt_free(&s);
	if (rc == RC_OK)
		return err_set(e, RC_EXISTS, "another job of the address list is PROCESSING");
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc with_job(struct db *control, struct slice id,
                        enum rc (*work)(struct db *control, struct job *j, struct err *e),
                        struct err *e)
{
	struct job j;
	enum rc rc = find_job(control, id, &j, e);

	return rc == RC_OK ? work(control, &j, e) : rc;
}

static enum rc start(struct db *control, struct job *j, struct err *e)
{
	enum rc rc = check_created(j, e);

	if (rc == RC_OK && j->bytes == 0)
		rc = err_set(e, RC_EXISTS, "no file was put to the job's PreSignedUrl yet");
	if (rc == RC_OK)
		rc = check_alone(control, j, e);
	return rc == RC_OK ? run(control,
	                         "UPDATE import_job SET status = 'PROCESSING', started_ms = ?2"
	                         " WHERE number = ?1",
	                         j->number, clock_now_ms(), 0, e)
	                   : rc;
}

enum rc import_job_start(struct db *control, struct slice id, struct err *e)
{
	return with_job(control, id, start, e);
}

static enum rc end(struct db *control, const struct job *j, const char *status, const char *error,
                   struct err *e)
{
	struct stmt *s;
	enum rc rc = drop_chunks(control, j, e);

	if (rc == RC_OK)
		rc = db_prepare(control, &s,
		                "UPDATE import_job SET status = ?2, error = ?3, completed_ms = ?4"
		                " WHERE number = ?1",
		                e);
	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, j->number);
	stmt_bind_text(s, 2, slice_str(status));
	stmt_bind_text(s, 3, slice_str(error));
	stmt_bind_int(s, 4, clock_now_ms());
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}

static enum rc stop(struct db *control, struct job *j, struct err *e)
{
	if (is_status(j, "STOPPED"))
		return RC_OK;
	if (!is_status(j, "CREATED") && !is_status(j, "PROCESSING"))
		return err_set(e, RC_EXISTS, "the job is %s", j->status);
	return end(control, j, "STOPPED", "", e);
}

enum rc import_job_stop(struct db *control, struct slice id, struct err *e)
{
	return with_job(control, id, stop, e);
}

enum rc import_job_drop_list(struct db *control, struct slice list, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s,
	                        "DELETE FROM import_chunk WHERE job IN"
	                        " (SELECT number FROM import_job WHERE list = ?)",
	                        e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, list);
	rc = stmt_run(s, e);
	stmt_free(&s);
	if (rc == RC_OK)
		rc = db_prepare(control, &s, "DELETE FROM import_job WHERE list = ?", e);
	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, list);
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}

/* ---- a step ---- */

struct step {
	struct job job;
	struct members_change members;
	int64_t room; /* for so many members more; INT64_MAX: no quota */
	struct storing *st;
};

static enum rc next_job(struct db *control, struct job *j, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s,
	                        "SELECT" JOB_COLUMNS "FROM import_job WHERE status = 'PROCESSING'"
	                        " ORDER BY number LIMIT 1",
	                        e);

	if (rc != RC_OK)
		return rc;
	rc = stmt_step(s, e);
	if (rc == RC_OK)
		read_job(s, j);
	stmt_free(&s);
	return rc;
}

/* What stands from the job's position on, up to WINDOW bytes. */
static enum rc read_window(struct db *control, const struct job *j, struct buf *out, struct err *e)
{
	int64_t position = j->place.position;
	struct stmt *s;
	enum rc rc = db_prepare(control, &s,
	                        "SELECT at, bytes FROM import_chunk WHERE job = ?1 AND at >="
	                        " (SELECT max(at) FROM import_chunk WHERE job = ?1 AND at <= ?2)"
	                        " ORDER BY at",
	                        e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, j->number);
	stmt_bind_int(s, 2, position);
	while (out->len < WINDOW && (rc = stmt_step(s, e)) == RC_OK) {
		struct slice bytes = stmt_blob(s, 1);
		int64_t at = stmt_int(s, 0);

		if (at < position)
			bytes = slice_from(bytes, (size_t)(position - at));
		MUST(buf_add(out, slice_part(bytes, 0, WINDOW - out->len)) == RC_OK);
	}
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* One of the file's addresses. RC_LIMIT: the list is full. */
static enum rc take_address(void *arg, struct slice address, struct err *e)
{
	struct step *p = arg;
	enum rc rc;

	if (!address.at || address_entry_fault(address)) {
		p->job.place.failed++;
		return RC_OK;
	}
	if (p->members.added >= p->room) {
		json_t *there;

		rc = members_get(p->st->control, slice_str(p->job.list), address, &there, e);
		if (rc == RC_NOTFOUND)
			return err_set(e, RC_LIMIT, "the address list is full");
		json_decref(there);
		p->job.place.imported += rc == RC_OK;
		return rc;
	}
	rc = members_add(p->st->control, slice_str(p->job.list), address, p->st->now_ms,
	                 &p->members, e);
	p->job.place.imported += rc == RC_OK;
	return rc;
}

static enum rc find_room(struct step *p)
{
	const struct resource_limits *l = p->st->result->limits;
	int64_t n = 0;
	enum rc rc = members_count(p->st->control, slice_str(p->job.list), &n, p->st->e);

	p->room =
	        l && l->list_members ? MAX_OF((int64_t)l->list_members - n, INT64_C(0)) : INT64_MAX;
	return rc;
}

static enum rc keep_place(const struct step *p)
{
	const struct import_place *at = &p->job.place;
	enum rc rc = run(p->st->control,
	                 "UPDATE import_job SET imported = ?2, failed = ?3 WHERE number = ?1",
	                 p->job.number, at->imported, at->failed, p->st->e);

	return rc == RC_OK ? run(p->st->control,
	                         "UPDATE import_job SET position = ?2 WHERE number = ?1",
	                         p->job.number, at->position, 0, p->st->e)
	                   : rc;
}

static enum rc parse_some(struct step *p)
{
	struct import_sink sink = { take_address, p, IMPORT_JOB_STEP };
	int64_t before = p->job.place.position;
	struct err why = { 0 };
	struct buf window;
	bool ended = false;
	enum rc rc;

	buf_init(&window, WINDOW);
	rc = read_window(p->st->control, &p->job, &window, p->st->e);
	if (rc != RC_OK) {
		buf_free(&window);
		return rc;
	}
	rc = import_parse(p->job.format, buf_slice(&window),
	                  p->job.place.position + (int64_t)window.len >= p->job.bytes,
	                  &p->job.place, &sink, &ended, &why);
	buf_free(&window);
	if (rc == RC_OK && !ended && p->job.place.position == before)
		rc = err_set(&why, RC_INVALID, "a blank or an item that is too long");
	if (rc == RC_INVALID || rc == RC_LIMIT)
		return end(p->st->control, &p->job, "FAILED", why.text, p->st->e);
	if (rc != RC_OK)
		return err_set(p->st->e, rc, "%s", why.text);
	return ended ? end(p->st->control, &p->job, "COMPLETED", "", p->st->e) : RC_OK;
}

static enum rc step(struct storing *st, void *arg)
{
	struct step *p = arg;
	enum rc rc = next_job(st->control, &p->job, st->e);

	if (rc != RC_OK)
		return rc;
	p->st = st;
	p->members.set = store_list_set(st, slice_str(p->job.list));
	rc = find_room(p);
	if (rc == RC_OK)
		rc = parse_some(p);
	if (rc == RC_OK)
		rc = keep_place(p);
	return rc == RC_OK ? store_note_members(st, slice_str(p->job.list), p->members.added, 0)
	                   : rc;
}

enum rc import_job_step(struct db *control, struct apply_result *r, struct err *e)
{
	struct err mine = { 0 };
	struct storing st = { .control = control, .result = r, .keep = true, .e = e ? e : &mine };
	struct step p = { .room = 0 };

	return store_run(&st, step, &p);
}

/* ---- reading ---- */

#define SHOWN                                                                                      \
	" id, name, status, format, list, imported, failed, created_ms, started_ms, completed_ms," \
	" error, number "

static json_t *job_json(struct stmt *s)
{
	json_t *format = json_object();
	json_t *o = json_object();

	json_put_text(o, "JobId", stmt_text(s, 0));
	json_put_text(o, "Name", stmt_text(s, 1));
	json_put_text(o, "Status", stmt_text(s, 2));
	json_put_text(format, "ImportDataType",
	              slice_str(stmt_int(s, 3) == IMPORT_CSV ? "CSV" : "JSON"));
	json_put(o, "ImportDataFormat", format);
	json_put_text(o, "AddressListId", stmt_text(s, 4));
	json_put_int(o, "CreatedMs", stmt_int(s, 7));
	if (stmt_int(s, 8)) {
		json_put_int(o, "StartMs", stmt_int(s, 8));
		json_put_int(o, "ImportedItemsCount", stmt_int(s, 5));
		json_put_int(o, "FailedItemsCount", stmt_int(s, 6));
	}
	if (stmt_int(s, 9))
		json_put_int(o, "CompletedMs", stmt_int(s, 9));
	if (stmt_text(s, 10).len)
		json_put_text(o, "Error", stmt_text(s, 10));
	return o;
}

enum rc import_job_get(struct db *control, struct slice id, json_t **out, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s, "SELECT" SHOWN "FROM import_job WHERE id = ?", e);

	*out = NULL;
	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, id.len ? id : slice_str(""));
	rc = stmt_step(s, e);
	if (rc == RC_OK)
		*out = job_json(s);
	else if (rc == RC_NOTFOUND)
		(void)err_set(e, RC_NOTFOUND, "JobId: there is no such job");
	stmt_free(&s);
	return rc;
}

static enum rc read_page(struct stmt *s, size_t limit, json_t *page, struct buf *next,
                         struct err *e)
{
	int64_t last = 0;
	enum rc rc = RC_OK;

	while (rc == RC_OK && (rc = stmt_step(s, e)) == RC_OK) {
		if (json_array_size(page) == limit)
			return buf_addf(next, "%lld", (long long)last);
		last = stmt_int(s, 11);
		json_push(page, job_json(s));
	}
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc import_job_list(struct db *control, struct slice list, struct slice after, size_t limit,
                        json_t **out, struct buf *next, struct err *e)
{
	uint64_t from = 0;
	json_t *page;
	struct stmt *s;
	enum rc rc;

	*out = NULL;
	if (after.len && (!slice_to_u64(after, &from) || from > INT64_MAX))
		return err_set(e, RC_INVALID, "NextToken: not one of this list");
	rc = db_prepare(control, &s,
	                "SELECT" SHOWN "FROM import_job WHERE list = ?1 AND number > ?2"
	                " ORDER BY number LIMIT ?3",
	                e);
	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, list.len ? list : slice_str(""));
	stmt_bind_int(s, 2, (int64_t)from);
	stmt_bind_int(s, 3, (int64_t)limit + 1);
	page = json_array();
	rc = read_page(s, limit, page, next, e);
	stmt_free(&s);
	if (rc == RC_OK)
		*out = page;
	else
		json_decref(page);
	return rc;
}
