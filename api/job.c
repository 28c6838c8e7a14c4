#include "api/job.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "store/crypt.h"

enum rc job_prepare(struct db *control, struct err *e)
{
	static const char schema[] =
	        "CREATE TABLE IF NOT EXISTS job ("
	        " number INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL,"
	        " id TEXT NOT NULL UNIQUE, archive INTEGER NOT NULL, who TEXT NOT NULL,"
	        " principal TEXT, input TEXT NOT NULL, state INTEGER NOT NULL,"
	        " submitted_ms INTEGER NOT NULL, completed_ms INTEGER NOT NULL, error TEXT) STRICT;"
	        "CREATE INDEX IF NOT EXISTS job_archive ON job (kind, archive, number);"
	        "CREATE INDEX IF NOT EXISTS job_principal ON job (kind, principal, number);"
	        "CREATE TABLE IF NOT EXISTS job_hit ("
	        " job INTEGER NOT NULL, place INTEGER NOT NULL, id BLOB NOT NULL, sha256 BLOB,"
	        " bytes INTEGER, problem TEXT, PRIMARY KEY (job, place)) STRICT, WITHOUT ROWID;";

	return db_exec(control, schema, e);
}

const char *job_state_name(enum job_kind kind, enum job_state state)
{
	static const char *const names[JOB_STATES] = { "QUEUED",    "PREPROCESSING", "RUNNING",
		                                       "COMPLETED", "FAILED",        "CANCELLED" };

	return kind == JOB_EXPORT && state == JOB_RUNNING ? "PROCESSING" : names[state];
}

/* ---- rows ---- */

#define COLUMNS                                                                                    \
	"number, kind, id, archive, who, principal, input, state, submitted_ms, completed_ms,"     \
	" error"

static char *text_or_null(struct stmt *s, int column)
{
	return stmt_is_null(s, column) ? NULL : slice_string(stmt_text(s, column));
}

static enum rc read_job(struct stmt *s, struct job *j, struct err *e)
{
	struct slice id = stmt_text(s, 2);
	int64_t kind = stmt_int(s, 1);
	int64_t state = stmt_int(s, 7);

	*j = (struct job) { .number = stmt_int(s, 0) };
	if (kind < 0 || kind >= JOB_KINDS || state < 0 || state >= JOB_STATES || id.len != JOB_ID)
		return err_set(e, RC_CORRUPT, "job %lld", (long long)j->number);
	j->kind = (enum job_kind)kind;
	j->state = (enum job_state)state;
	memcpy(j->id, id.at, id.len);
	j->archive = (uint32_t)stmt_int(s, 3);
	j->who = slice_string(stmt_text(s, 4));
	j->principal = text_or_null(s, 5);
	j->submitted_ms = stmt_int(s, 8);
	j->completed_ms = stmt_int(s, 9);
	j->error = text_or_null(s, 10);
	return json_read(&j->input, stmt_text(s, 6), e);
}

void job_free(struct job *j)
{
	free(j->who);
	free(j->principal);
	free(j->error);
	json_decref(j->input);
	*j = (struct job) { .number = 0 };
}

static enum rc read_one(struct stmt **s, struct job *out, struct err *e)
{
	enum rc rc = stmt_step(*s, e);

	if (rc == RC_OK)
		rc = read_job(*s, out, e);
	if (rc != RC_OK)
		job_free(out);
	stmt_free(s);
	return rc;
}

static void make_id(struct job *j)
{
	static const char letters[] = "0123456789abcdefghijklmnopqrstuv";
	uint8_t random[JOB_ID - 2];

	crypt_random(random, sizeof(random));
	j->id[0] = j->kind == JOB_SEARCH ? 's' : 'e';
	j->id[1] = '-';
	for (size_t i = 0; i < sizeof(random); i++)
		j->id[2 + i] = letters[random[i] % 32];
	j->id[JOB_ID] = 0;
}

static enum rc insert(struct db *control, const struct job *j, struct slice input, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s,
	                        "INSERT INTO job (kind, id, archive, who, principal, input, state,"
	                        " submitted_ms, completed_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
	                        e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, j->kind);
	stmt_bind_text(s, 2, slice_str(j->id));
	stmt_bind_int(s, 3, j->archive);
	stmt_bind_text(s, 4, slice_str(j->who));
	stmt_bind_text(s, 5, slice_str(j->principal));
	stmt_bind_text(s, 6, input);
	stmt_bind_int(s, 7, j->state);
	stmt_bind_int(s, 8, j->submitted_ms);
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}

enum rc job_add(struct db *control, struct job *j, struct err *e)
{
	struct buf input;
	enum rc rc;

	make_id(j);
	j->state = JOB_QUEUED;
	j->submitted_ms = clock_now_ms();
	buf_init(&input, LIMIT_REQUEST);
	rc = json_write(&input, j->input);
	if (rc != RC_OK)
		rc = err_set(e, rc, "the filters are too long");
	else
		rc = insert(control, j, buf_slice(&input), e);
	if (rc == RC_OK)
		j->number = db_last_rowid(control);
	buf_free(&input);
	return rc;
}

enum rc job_get(struct db *control, enum job_kind kind, struct slice id, struct job *out,
                struct err *e)
{
	struct stmt *s;
	enum rc rc =
	        db_prepare(control, &s, "SELECT " COLUMNS " FROM job WHERE id = ? AND kind = ?", e);

	*out = (struct job) { .number = 0 };
	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, id);
	stmt_bind_int(s, 2, kind);
	return read_one(&s, out, e);
}

enum rc job_next(struct db *control, enum job_kind kind, struct job *out, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s,
	                        "SELECT " COLUMNS " FROM job AS j"
	                        " WHERE kind = ?1 AND completed_ms = 0"
	                        " ORDER BY state = 0, (SELECT max(completed_ms) FROM job"
	                        " WHERE kind = ?1 AND principal IS j.principal), number LIMIT 1",
	                        e);

	*out = (struct job) { .number = 0 };
	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, kind);
	return read_one(&s, out, e);
}

static enum rc take_count(struct stmt **s, uint64_t *count, struct err *e)
{
	enum rc rc = stmt_step(*s, e);

	if (rc == RC_OK)
		*count = (uint64_t)stmt_int(*s, 0);
	stmt_free(s);
	return rc;
}

enum rc job_unended(struct db *control, enum job_kind kind, uint32_t archive, uint64_t *count,
                    struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s,
	                        "SELECT count(*) FROM job WHERE kind = ? AND completed_ms = 0"
	                        " AND archive = ?",
	                        e);

	*count = 0;
	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, kind);
	stmt_bind_int(s, 2, archive);
	return take_count(&s, count, e);
}

enum rc job_unended_of(struct db *control, enum job_kind kind, const char *principal,
                       uint64_t *count, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s,
	                        "SELECT count(*) FROM job WHERE kind = ? AND completed_ms = 0"
	                        " AND principal IS ?",
	                        e);

	*count = 0;
	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, kind);
	stmt_bind_text(s, 2, slice_str(principal));
	return take_count(&s, count, e);
}

enum rc job_list(struct db *control, enum job_kind kind, uint32_t archive, int64_t below,
                 unsigned limit, enum rc (*each)(void *arg, const struct job *j, struct err *e),
                 void *arg, struct err *e)
{
	struct stmt *s;
	struct job j;
	enum rc rc = db_prepare(control, &s,
	                        "SELECT " COLUMNS " FROM job WHERE kind = ? AND archive = ?"
	                        " AND number < ? ORDER BY number DESC LIMIT ?",
	                        e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, kind);
	stmt_bind_int(s, 2, archive);
	stmt_bind_int(s, 3, below ? below : INT64_MAX);
	stmt_bind_int(s, 4, limit);
	while (rc == RC_OK && (rc = stmt_step(s, e)) == RC_OK) {
		rc = read_job(s, &j, e);
		if (rc == RC_OK)
			rc = each(arg, &j, e);
		job_free(&j);
	}
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* ---- states ---- */

static enum rc run_on(struct db *control, const char *sql, int64_t parameter, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s, sql, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, parameter);
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}

enum rc job_open(struct db *control, int64_t number, bool *open, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s,
	                        "SELECT 1 FROM job WHERE number = ? AND completed_ms = 0", e);

	*open = false;
	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, number);
	rc = stmt_step(s, e);
	*open = rc == RC_OK;
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc job_set_state(struct db *control, int64_t number, enum job_state state, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(
	        control, &s, "UPDATE job SET state = ?2 WHERE number = ?1 AND completed_ms = 0", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, number);
	stmt_bind_int(s, 2, state);
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}

enum rc job_end(struct db *control, int64_t number, enum job_state state, const char *error,
                struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s,
	                        "UPDATE job SET state = ?2, completed_ms = ?3, error = ?4"
	                        " WHERE number = ?1 AND completed_ms = 0",
	                        e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, number);
	stmt_bind_int(s, 2, state);
	stmt_bind_int(s, 3, clock_now_ms());
	stmt_bind_text(s, 4, slice_str(error));
	rc = stmt_run(s, e);
	stmt_free(&s);
	if (rc != RC_OK)
		return rc;
	return run_on(control,
	              "DELETE FROM job_hit WHERE job IN (SELECT number FROM job"
	              " WHERE number = ? AND kind = 1 AND completed_ms > 0)",
	              number, e);
}

/* ---- hits ---- */

enum rc job_put_hits(struct db *control, int64_t number, const struct message_id *ids, size_t count,
                     struct err *e)
{
	struct stmt *s;
	enum rc rc = run_on(control, "DELETE FROM job_hit WHERE job = ?", number, e);

	if (rc == RC_OK)
		rc = db_prepare(control, &s,
		                "INSERT INTO job_hit (job, place, id) VALUES (?, ?, ?)", e);
	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, number);
	for (size_t i = 0; rc == RC_OK && i < count; i++) {
		stmt_bind_int(s, 2, (int64_t)i);
		stmt_bind_blob(s, 3, slice_of(ids[i].b, ID_BYTES));
		rc = stmt_run(s, e);
	}
	stmt_free(&s);
	return rc;
}

enum rc job_put_done(struct db *control, int64_t number, uint64_t place, const struct job_hit *hit,
                     struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s,
	                        "UPDATE job_hit SET sha256 = ?3, bytes = ?4, problem = ?5"
	                        " WHERE job = ?1 AND place = ?2",
	                        e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, number);
	stmt_bind_int(s, 2, (int64_t)place);
	stmt_bind_blob(s, 3, slice_of(hit->sha256, sizeof(hit->sha256)));
	stmt_bind_int(s, 4, (int64_t)hit->bytes);
	stmt_bind_text(s, 5, slice_str(hit->problem ? hit->problem : ""));
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}

static enum rc read_hit(struct stmt *s, struct job_hit *h, char **problem, struct err *e)
{
	struct slice id = stmt_blob(s, 1);
	struct slice hash;

	*h = (struct job_hit) { .done = !stmt_is_null(s, 4) };
	if (id.len != ID_BYTES)
		return err_set(e, RC_CORRUPT, "a hit of a job");
	memcpy(h->id.b, id.at, ID_BYTES);
	hash = stmt_blob(s, 2);
	if (hash.len == sizeof(h->sha256))
		memcpy(h->sha256, hash.at, hash.len);
	h->bytes = (uint64_t)stmt_int(s, 3);
	free(*problem);
	h->problem = *problem = slice_string(stmt_text(s, 4));
	return RC_OK;
}

enum rc job_each_hit(struct db *control, int64_t number, uint64_t from,
                     enum rc (*each)(void *arg, uint64_t place, const struct job_hit *hit,
                                     struct err *e),
                     void *arg, struct err *e)
{
	struct stmt *s;
	struct job_hit h;
	char *problem = NULL;
	enum rc rc = db_prepare(control, &s,
	                        "SELECT place, id, sha256, bytes, problem FROM job_hit"
	                        " WHERE job = ? AND place >= ? ORDER BY place",
	                        e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, number);
	stmt_bind_int(s, 2, (int64_t)from);
	while (rc == RC_OK && (rc = stmt_step(s, e)) == RC_OK) {
		rc = read_hit(s, &h, &problem, e);
		if (rc == RC_OK)
			rc = each(arg, (uint64_t)stmt_int(s, 0), &h, e);
	}
	free(problem);
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc job_progress(struct db *control, int64_t number, uint64_t *next, uint64_t *hits,
                     struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s,
	                        "SELECT count(*), coalesce(min(CASE WHEN problem IS NULL"
	                        " THEN place END), count(*)) FROM job_hit WHERE job = ?",
	                        e);

	*next = *hits = 0;
	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, number);
	rc = stmt_step(s, e);
	if (rc == RC_OK) {
		*hits = (uint64_t)stmt_int(s, 0);
		*next = (uint64_t)stmt_int(s, 1);
	}
	stmt_free(&s);
	return rc;
}

/* ---- the end ---- */

/* Jobs with their hits; ?1, ?2 and ?3 of `which` are the three. */
static enum rc drop(struct db *control, const char *which, int64_t first, const char *second,
                    int64_t third, struct err *e)
{
	static const char *const from[][2] = { { "job_hit", "job" }, { "job", "number" } };
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < COUNT(from); i++) {
		char sql[500];
		struct stmt *s;

		(void)snprintf(sql, sizeof(sql),
		               "DELETE FROM %s WHERE %s IN (SELECT number FROM job WHERE %s)",
		               from[i][0], from[i][1], which);
		rc = db_prepare(control, &s, sql, e);
		if (rc != RC_OK)
			break;
		stmt_bind_int(s, 1, first);
		if (strstr(which, "?2"))
			stmt_bind_text(s, 2, slice_str(second));
		if (strstr(which, "?3"))
			stmt_bind_int(s, 3, third);
		rc = stmt_run(s, e);
		stmt_free(&s);
	}
	return rc;
}

enum rc job_forget(struct db *control, uint32_t archive, struct err *e)
{
	return drop(control, "archive = ?1", archive, NULL, 0, e);
}

enum rc job_prune(struct db *control, int64_t before_ms, struct err *e)
{
	return drop(control, "completed_ms > 0 AND completed_ms < ?1", before_ms, NULL, 0, e);
}

#define ENDED_OF "kind = ?1 AND principal IS ?2 AND completed_ms > 0"

enum rc job_keep(struct db *control, enum job_kind kind, const char *principal, uint64_t keep,
                 struct err *e)
{
	return drop(control,
	            ENDED_OF " AND number <= (SELECT number FROM job WHERE " ENDED_OF
	                     " ORDER BY number DESC LIMIT 1 OFFSET ?3)",
	            kind, principal, (int64_t)keep, e);
}
