#include "ingest/queue/queue.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "ingest/queue/queue_core.h"

#define PROBE_BYTES (1 << 20)

/* As queue_tasks.c reads it. */
#define JOB                                                                                        \
	"t.number, t.message, m.id, m.received, t.kind, t.state, t.decides, m.notice, "            \
	"t.destination,"                                                                           \
	" t.spec, m.past, t.tries, t.since, t.due, t.reason, m.meta"                               \
	" FROM task t JOIN message m ON m.number = t.message"

static const char *const texts[SQL_COUNT] = {
	[SQL_FIND] = "SELECT number FROM message WHERE id = ?1",
	[SQL_ADD_MESSAGE] = "INSERT INTO message(id, received, parked, bytes, notice, state, meta, "
	                    "rule_set, version, past, archives, origin, origin_received)"
	                    " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)",
	[SQL_ADD_BODY] = "INSERT INTO body VALUES(?1,?2)",
	[SQL_OF] = "SELECT archives, origin, origin_received, number FROM message WHERE number = "
	           "?1 AND state <> 2",
	[SQL_WAITING] = "SELECT archives FROM message WHERE number = ?1 AND state = 1",
	[SQL_JUDGED] = "UPDATE message SET state = 0, past = ?2 WHERE number = ?1",
	[SQL_SHARED] = "UPDATE message SET archives = ?2 WHERE origin = ?1",
	[SQL_ADD_TASK] =
	        "INSERT INTO task(message, kind, state, decides, destination, due, since, spec)"
	        " VALUES(?1,?2,?3,?4,?5,?6,?6,?7)",
	[SQL_GO_ON] = "SELECT number, id, received, past, meta FROM message"
	              " WHERE state = 1 AND number > ?1 ORDER BY number LIMIT 1",
	[SQL_TELL] = "SELECT number, id, received, rule_set, version, kind, text FROM message "
	             "WHERE tell = 1"
	             " ORDER BY number LIMIT ?1",
	[SQL_TOLD] = "UPDATE message SET tell = 0 WHERE number = ?1 AND kind = ?2",
	[SQL_TOLD_ENDED] = "DELETE FROM message WHERE number = ?1 AND kind = ?2 AND state = 2",
	[SQL_DUE] =
	        "SELECT number, due, destination, kind FROM task WHERE state = 1 ORDER BY number",
	[SQL_FRESH] =
	        "SELECT number, due, destination, kind FROM task WHERE number = ?1 AND state = 1",
	[SQL_JOB] = "SELECT " JOB " WHERE t.number = ?1",
	[SQL_SET_TASK] = "UPDATE task SET state = ?2, due = ?3, tries = tries + ?4,"
	                 " decides = CASE ?2 WHEN 3 THEN 0 ELSE decides END WHERE number = ?1",
	[SQL_LATER] = "UPDATE task SET state = CASE state WHEN 2 THEN 2 ELSE 1 END, due = ?2,"
	              " tries = tries + ?3 WHERE number = ?1",
	[SQL_REMOVE_TASK] = "DELETE FROM task WHERE number = ?1",
	[SQL_PUT_SPEC] = "UPDATE task SET spec = ?2 WHERE number = ?1",
	[SQL_REASON] = "UPDATE task SET reason = ?2 WHERE number = ?1",
	[SQL_PUT_PAST] = "UPDATE message SET past = ?2 WHERE number = ?1",
	[SQL_GO_ON_PAST] = "UPDATE message SET past = ?2, state = 1 WHERE number = ?1",
	[SQL_DECIDERS] = "SELECT count(*) FROM task WHERE message = ?1 AND decides = 1",
	[SQL_PUT_MESSAGE] = "UPDATE message SET state = ?2, tell = (notice = 0), kind = ?3, text = "
	                    "?4 WHERE number = ?1 RETURNING tell",
	[SQL_HOW] = "UPDATE message SET how = max(how, ?2) WHERE number = ?1",
	[SQL_REVIVE] = "UPDATE message SET state = 0, tell = 0 WHERE number = ?1 AND state = 3",
	[SQL_SINCE] = "UPDATE task SET since = ?2, tries = 0 WHERE number = ?1",
	[SQL_COUNT_TASKS] =
	        "SELECT sum(state <> 3), sum(state = 3), (SELECT state FROM message WHERE number = "
	        "?1),"
	        " (SELECT how FROM message WHERE number = ?1) FROM task WHERE message = ?1",
	[SQL_FIRST_CALL] = "SELECT number, state FROM task WHERE message = ?1 AND kind >= ?2 AND "
	                   "state <> 3 ORDER BY number LIMIT 1",
	[SQL_DROP_BODY] = "DELETE FROM body WHERE message = ?1",
	[SQL_DROP_NOTICE] = "DELETE FROM message WHERE number = ?1 AND notice = 1",
	[SQL_COUNTED] = "SELECT bytes FROM message WHERE number = ?1 AND state NOT IN (2, 3)",
	[SQL_ANY] = "SELECT number FROM message WHERE state <> ?1 LIMIT 1",
	[SQL_TOTALS] =
	        "SELECT count(*), CAST(total(bytes) AS INTEGER) FROM message WHERE state <> 2",
	[SQL_COUNT_STATES] = "SELECT state, count(*) FROM task GROUP BY state",
	[SQL_EACH] = "SELECT " JOB
	             " WHERE t.number > ?1 AND (t.state = 3) = ?2 ORDER BY t.number LIMIT ?3",
	[SQL_EACH_OF] = "SELECT " JOB " WHERE m.id = ?1 ORDER BY t.number",
	[SQL_DEAD_BEFORE] = "SELECT number FROM task WHERE state = 3 AND due < ?1 LIMIT 1",
	[SQL_FORGET_ID] =
	        "SELECT number, archives, origin FROM message WHERE origin = ?1 AND state <> 2",
	[SQL_FORGET_DAY] =
	        "SELECT number, archives, origin FROM message WHERE origin_received >= ?1 AND "
	        "origin_received < ?2 AND state <> 2",
	[SQL_DROP_TASKS] = "DELETE FROM task WHERE message = ?1",
	[SQL_ARCHIVES] = "UPDATE message SET archives = ?2 WHERE number = ?1",
};

enum rc queue_sql(struct queue *q, enum queue_sql which, struct stmt **out, struct err *e)
{
	enum rc rc = RC_OK;

	if (!q->sql[which])
		rc = db_prepare(q->db, &q->sql[which], texts[which], e);
	*out = q->sql[which];
	return rc;
}

/* ---- commits ---- */

/* And wakes whom it concerns. */
static enum rc leave_and_wake(struct queue *q, enum rc rc, struct err *e)
{
	void (*runner)(void *arg) = q->due_news ? q->wake_runner : NULL;
	void (*pipeline)(void *arg) = q->other_news ? q->wake_pipeline : NULL;
	void *arg = q->arg;

	q->due_news = q->due_news && !runner;
	q->other_news = q->other_news && !pipeline;
	rc = queue_leave(q, rc, e);
	if (runner)
		runner(arg);
	if (pipeline)
		pipeline(arg);
	return rc;
}

enum rc queue_commit(struct queue *q, struct err *e)
{
	enum rc rc;

	queue_lock(q);
	rc = queue_commit_locked(q, e);
	return leave_and_wake(q, rc, e);
}

static enum rc write_and_take_away(struct queue *q, struct err *e)
{
	char sql[96];
	enum rc rc;

	(void)snprintf(sql, sizeof(sql), "INSERT OR REPLACE INTO body VALUES(-1, zeroblob(%d))",
	               PROBE_BYTES);
	rc = queue_change(q, e);
	if (rc == RC_OK)
		rc = db_exec(q->db, sql, e);
	if (rc == RC_OK)
		rc = queue_commit_locked(q, e);
	if (rc == RC_OK)
		rc = queue_change(q, e);
	if (rc == RC_OK)
		rc = db_exec(q->db, "DELETE FROM body WHERE message = -1", e);
	return rc == RC_OK ? queue_commit_locked(q, e) : rc;
}

enum rc queue_probe(struct queue *q, struct err *e)
{
	enum rc rc;

	queue_lock(q);
	rc = queue_commit_locked(q, e);
	if (rc == RC_OK)
		rc = queue_renew_damaged(q, e);
	if (rc == RC_OK && q->damaged) /* what is put down would come upon it again */
		rc = err_set(e, RC_NOSPACE, "there is no room to write it anew");
	if (rc == RC_OK) {
		rc = write_and_take_away(q, e);
		if (rc != RC_OK && q->open)
			queue_undo(q);
	}
	return leave_and_wake(q, rc, e);
}

enum rc queue_land(struct queue *q, struct err *e)
{
	enum rc rc;

	queue_lock(q);
	rc = queue_land_locked(q, e);
	return leave_and_wake(q, rc, e);
}

/* ---- small things ---- */

void queue_fresh(struct queue *q, int64_t number, bool hurry)
{
	if (q->fresh_count == q->fresh_room) {
		q->fresh_room = q->fresh_room ? q->fresh_room * 2 : 64;
		q->fresh = mem_resize(q->fresh, q->fresh_room * sizeof(*q->fresh));
	}
	q->fresh[q->fresh_count++] = (struct fresh) { number, hurry };
}

enum rc queue_int(struct queue *q, enum queue_sql which, int64_t at, int64_t *out, struct err *e)
{
	struct stmt *s;
	enum rc rc = queue_sql(q, which, &s, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, at);
	rc = stmt_step(s, e);
	if (rc == RC_OK)
		*out = stmt_int(s, 0);
	stmt_reset(s);
	return rc;
}

enum rc queue_run_at(struct queue *q, enum queue_sql which, int64_t at, struct err *e)
{
	struct stmt *s;
	enum rc rc = queue_sql(q, which, &s, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, at);
	return stmt_run(s, e);
}

enum rc queue_bind_json(struct stmt *s, int at, const json_t *value, struct err *e)
{
	struct buf text;
	enum rc rc;

	if (!value) {
		stmt_bind_null(s, at);
		return RC_OK;
	}
	buf_init(&text, QUEUE_JSON_MOST);
	rc = json_write(&text, value);
	if (rc == RC_OK)
		stmt_bind_text(s, at, buf_slice(&text));
	else
		rc = err_set(e, RC_LIMIT, "a task says too much");
	buf_free(&text);
	return rc;
}

enum rc queue_read_json(struct stmt *s, int column, json_t **out, struct err *e)
{
	*out = NULL;
	return stmt_is_null(s, column) ? RC_OK : json_read(out, stmt_text(s, column), e);
}

/* ---- parking ---- */

json_t *queue_archives(const struct queue_message *m)
{
	json_t *list = json_array();

	for (size_t i = 0; i < m->archive_count; i++)
		json_push(list, json_integer(m->archives[i]));
	return list;
}

/* Archives, and whose they are: a notice shares those of the message that it tells of. */
static enum rc bind_origin(struct queue *q, const struct queue_message *m, struct stmt *to,
                           struct err *e)
{
	json_t *archives;
	struct stmt *s;
	enum rc rc;

	if (m->of) {
		rc = queue_sql(q, SQL_OF, &s, e);
		if (rc != RC_OK)
			return rc;
		stmt_bind_int(s, 1, m->of);
		rc = stmt_step(s, e);
		for (int i = 0; rc == RC_OK && i < 3; i++)
			stmt_copy(to, 11 + i, s, i);
		stmt_reset(s);
		return rc;
	}
	archives = queue_archives(m);
	rc = queue_bind_json(to, 11, archives, e);
	json_decref(archives);
	stmt_bind_blob(to, 12, slice_of(m->id.b, ID_BYTES));
	stmt_bind_int(to, 13, m->received_ms);
	return rc;
}

static enum rc add_row(struct queue *q, const struct queue_message *m, struct err *e)
{
	struct stmt *s;
	enum rc rc = queue_sql(q, SQL_ADD_MESSAGE, &s, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_blob(s, 1, slice_of(m->id.b, ID_BYTES));
	stmt_bind_int(s, 2, m->received_ms);
	stmt_bind_int(s, 3, clock_now_ms());
	stmt_bind_int(s, 4, (int64_t)m->raw.len);
	stmt_bind_int(s, 5, m->notice);
	stmt_bind_int(s, 6, MESSAGE_WAITS);
	stmt_bind_text(s, 7, m->meta);
	stmt_bind_text(s, 8, slice_str(m->rule_set));
	stmt_bind_int(s, 9, m->version);
	rc = queue_bind_json(s, 10, m->past, e);
	if (rc == RC_OK)
		rc = bind_origin(q, m, s, e);
	return rc == RC_OK ? stmt_run(s, e) : rc;
}

static enum rc add_message(struct queue *q, const struct queue_message *m, int64_t *number,
                           struct err *e)
{
	struct stmt *s;
	enum rc rc = add_row(q, m, e);

	if (rc != RC_OK)
		return rc;
	*number = db_last_rowid(q->db);
	rc = queue_sql(q, SQL_ADD_BODY, &s, e);
	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, *number);
	stmt_bind_blob(s, 2, m->raw.len ? m->raw : slice_str(""));
	rc = stmt_run(s, e);
	if (rc == RC_OK)
		q->bytes += m->raw.len;
	return rc;
}

static bool is_call(enum rule_action_kind k)
{
	return k == RULE_S3 || k == RULE_SNS || k == RULE_LAMBDA || k == RULE_QBUSINESS;
}

/* Mail is due at once; of calls the first one. */
enum rc queue_add_tasks(struct queue *q, int64_t message, const struct queue_task *tasks,
                        size_t count, struct err *e)
{
	int64_t now = clock_now_ms();
	bool calls = false;
	struct stmt *s;
	enum rc rc = queue_sql(q, SQL_ADD_TASK, &s, e);

	for (size_t i = 0; rc == RC_OK && i < count; i++) {
		bool call = is_call(tasks[i].kind);

		stmt_bind_int(s, 1, message);
		stmt_bind_int(s, 2, tasks[i].kind);
		stmt_bind_int(s, 3, call ? TASK_BEHIND : TASK_DUE);
		stmt_bind_int(s, 4, tasks[i].decides);
		stmt_bind_text(s, 5, slice_str(tasks[i].destination));
		stmt_bind_int(s, 6, now);
		rc = queue_bind_json(s, 7, tasks[i].spec, e);
		if (rc == RC_OK)
			rc = stmt_run(s, e);
		if (rc == RC_OK && !call)
			queue_fresh(q, db_last_rowid(q->db), false);
		calls = calls || call;
	}
	return rc == RC_OK && calls ? queue_next_call(q, message, e) : rc;
}

void queue_free_specs(const struct queue_task *tasks, size_t count)
{
	for (size_t i = 0; i < count; i++)
		json_decref(tasks[i].spec);
}

enum rc queue_find(struct queue *q, const struct message_id *id, int64_t *number, struct err *e)
{
	struct stmt *s;
	enum rc rc = queue_sql(q, SQL_FIND, &s, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_blob(s, 1, slice_of(id->b, ID_BYTES));
	rc = stmt_step(s, e);
	if (rc == RC_OK)
		*number = stmt_int(s, 0);
	stmt_reset(s);
	return rc;
}

enum rc queue_save_results(struct queue *q, struct err *e)
{
	return q->tight && q->dirty ? queue_commit_locked(q, e) : RC_OK;
}

/* RC_NOTFOUND: it tells of a message that is gone. */
static enum rc may_park(struct queue *q, const struct queue_message *m, struct err *e)
{
	int64_t number;
	struct stmt *s;
	enum rc rc = queue_find(q, &m->id, &number, e);

	if (rc != RC_NOTFOUND)
		return rc == RC_OK ? RC_EXISTS : rc;
	if (!m->of)
		return queue_save_results(q, e);
	rc = queue_sql(q, SQL_OF, &s, e);
	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, m->of);
	rc = stmt_step(s, e);
	stmt_reset(s);
	return rc;
}

static enum rc park(struct queue *q, const struct queue_message *m, const struct queue_task *tasks,
                    size_t count, struct err *e)
{
	int64_t number;
	enum rc rc = queue_change(q, e);

	if (rc == RC_OK)
		rc = add_message(q, m, &number, e);
	if (rc == RC_OK)
		rc = queue_add_tasks(q, number, tasks, count, e);
	if (rc != RC_OK)
		queue_undo(q);
	return rc;
}

enum rc queue_park(struct queue *q, const struct queue_message *m, const struct queue_task *tasks,
                   size_t count, struct err *e)
{
	enum rc rc;

	queue_lock(q);
	rc = may_park(q, m, e);
	if (rc == RC_OK)
		rc = park(q, m, tasks, count, e);
	rc = queue_leave(q, rc, e);
	queue_free_specs(tasks, count);
	return rc;
}

bool queue_full(struct queue *q)
{
	return q->bytes >= q->max_bytes;
}

enum rc queue_has(struct queue *q, const struct message_id *id, bool *has, struct err *e)
{
	int64_t number;
	enum rc rc;

	queue_lock(q);
	rc = queue_find(q, id, &number, e);
	rc = queue_leave(q, rc, e);
	*has = rc == RC_OK;
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc queue_goes_on(struct queue *q, const struct message_id *id, bool *goes_on, struct err *e)
{
	int64_t number;
	struct stmt *s;
	enum rc rc;

	*goes_on = false;
	queue_lock(q);
	rc = queue_find(q, id, &number, e);
	if (rc == RC_OK)
		rc = queue_sql(q, SQL_WAITING, &s, e);
	if (rc == RC_OK) {
		stmt_bind_int(s, 1, number);
		rc = stmt_step(s, e);
		*goes_on = rc == RC_OK;
		stmt_reset(s);
	}
	rc = queue_leave(q, rc, e);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* ---- judged on ---- */

static void read_id(struct message_id *id, struct stmt *s)
{
	struct slice bytes = stmt_blob(s, 1);

	*id = (struct message_id) { { 0 } };
	memcpy(id->b, bytes.at, MIN_OF(bytes.len, (size_t)ID_BYTES));
}

static enum rc read_parked(struct queue *q, struct stmt *s, int64_t *number,
                           struct queue_parked *out, struct err *e)
{
	enum rc rc;

	*number = stmt_int(s, 0);
	read_id(&out->id, s);
	out->received_ms = stmt_int(s, 2);
	rc = queue_read_json(s, 3, &out->past, e);
	if (rc == RC_OK)
		rc = buf_add(&out->meta, stmt_text(s, 4));
	return rc == RC_OK ? queue_read_body(q, *number, &out->raw, &out->whole, e) : rc;
}

enum rc queue_go_on_next(struct queue *q, int64_t behind, int64_t *number, struct queue_parked *out,
                         struct err *e)
{
	struct stmt *s;
	enum rc rc;

	*out = (struct queue_parked) { .received_ms = 0 };
	buf_init(&out->meta, QUEUE_JSON_MOST);
	buf_init(&out->raw, QUEUE_RAW_MOST);
	queue_lock(q);
	rc = queue_sql(q, SQL_GO_ON, &s, e);
	if (rc == RC_OK) {
		stmt_bind_int(s, 1, behind);
		rc = stmt_step(s, e);
		if (rc == RC_OK)
			rc = read_parked(q, s, number, out, e);
		stmt_reset(s);
	}
	rc = queue_leave(q, rc, e);
	if (rc != RC_OK)
		queue_parked_free(out);
	return rc;
}

void queue_parked_free(struct queue_parked *p)
{
	json_decref(p->past);
	p->past = NULL;
	buf_free(&p->meta);
	buf_free(&p->raw);
}

/* ---- dispositions ---- */

static void read_disposition(struct stmt *s, struct disposition *d)
{
	struct slice rules = stmt_text(s, 3);
	struct slice text = stmt_text(s, 6);

	*d = (struct disposition) { .received_ms = stmt_int(s, 2),
		                    .rule_set_version = stmt_int(s, 4),
		                    .kind = (enum disposition_kind)stmt_int(s, 5),
		                    .rule = -1 };
	read_id(&d->id, s);
	memcpy(d->rule_set, rules.at, MIN_OF(rules.len, sizeof(d->rule_set) - 1));
	memcpy(d->text, text.at, MIN_OF(text.len, sizeof(d->text) - 1));
}

enum rc queue_tell(struct queue *q, size_t most,
                   enum rc (*each)(void *arg, const struct disposition *d, struct err *e),
                   void *arg, size_t *count, struct err *e)
{
	struct disposition d;
	struct stmt *s;
	enum rc theirs = RC_OK; /* says nothing of this file */
	enum rc rc;

	*count = 0;
	queue_lock(q);
	rc = queue_sql(q, SQL_TELL, &s, e);
	if (rc == RC_OK) {
		stmt_bind_int(s, 1, (int64_t)most);
		while ((rc = stmt_step(s, e)) == RC_OK) {
			read_disposition(s, &d);
			q->told = mem_resize(q->told, (*count + 1) * sizeof(*q->told));
			q->told[*count] = (struct queue_told) { stmt_int(s, 0), d.kind };
			theirs = each(arg, &d, e);
			if (theirs != RC_OK)
				break;
			++*count;
		}
		stmt_reset(s);
	}
	q->told_count = *count;
	q->untold = *count == most;
	rc = queue_leave(q, rc, e);
	if (theirs != RC_OK)
		return theirs;
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

void queue_not_told(struct queue *q)
{
	queue_lock(q);
	q->told_count = 0;
	q->untold = true;
	queue_unlock(q);
}

bool queue_untold(struct queue *q)
{
	bool untold;

	queue_lock(q);
	untold = q->untold;
	queue_unlock(q);
	return untold;
}

/* What was told; not what ended meanwhile in another way. */
static enum rc forget_told(struct queue *q, const struct queue_told *t, struct err *e)
{
	static const enum queue_sql both[] = { SQL_TOLD_ENDED, SQL_TOLD };
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < COUNT(both); i++) {
		struct stmt *s;

		rc = queue_sql(q, both[i], &s, e);
		if (rc != RC_OK)
			break;
		stmt_bind_int(s, 1, t->message);
		stmt_bind_int(s, 2, t->kind);
		rc = stmt_run(s, e);
	}
	return rc;
}

enum rc queue_told(struct queue *q, struct err *e)
{
	enum rc rc = RC_OK;

	queue_lock(q);
	if (q->told_count)
		rc = queue_change(q, e);
	for (size_t i = 0; rc == RC_OK && i < q->told_count; i++)
		rc = forget_told(q, &q->told[i], e);
	q->ended = q->ended || q->told_count;
	q->told_count = 0;
	return queue_leave(q, rc, e);
}

/* ---- open ---- */

static enum rc count(struct queue *q, struct err *e)
{
	int64_t bytes = 0;
	int64_t untold = 0;
	enum rc rc = db_int(q->db, QUEUE_SUM_BYTES, 0, &bytes, e);

	if (rc == RC_OK)
		rc = db_int(q->db, "SELECT count(*) FROM message WHERE tell = 1", 0, &untold, e);
	q->bytes = (uint64_t)bytes;
	q->untold = untold > 0;
	return rc;
}

/* An index may be damaged alone. */
static enum rc count_all(struct queue *q, struct err *e)
{
	enum rc rc = count(q, e);

	if (rc != RC_CORRUPT)
		return rc;
	rc = queue_file_renew(q, e);
	return rc == RC_OK ? count(q, e) : rc;
}

enum rc queue_open(struct queue **out, const char *dir, struct keyring *keys, uint64_t max_bytes,
                   struct err *e)
{
	struct queue *q = mem_new(sizeof(*q));
	enum rc rc;

	*out = NULL;
	q->dir = path_join(dir, "queue");
	q->keys = keys;
	q->max_bytes = max_bytes;
	q->ended = true; /* nobody knows */
	MUST(pthread_mutex_init(&q->lock, NULL) == 0);
	rc = queue_file_open(q, e);
	if (rc == RC_OK)
		rc = count_all(q, e);
	if (rc == RC_OK)
		*out = q;
	else
		queue_close(&q);
	return rc;
}

void queue_close(struct queue **at)
{
	struct queue *q = *at;
	struct err e = { 0 };

	*at = NULL;
	if (!q)
		return;
	if (q->db && queue_commit_locked(q, &e) != RC_OK)
		log_error("the outbound queue: %s", e.text);
	for (size_t i = 0; i < SQL_COUNT; i++)
		stmt_free(&q->sql[i]);
	db_close(&q->reader);
	db_close(&q->db);
	(void)pthread_mutex_destroy(&q->lock);
	queue_forget_judged(q);
	free(q->judged);
	free(q->told);
	free(q->fresh);
	free(q->gone);
	free(q->dir);
	free(q);
}

enum rc queue_rotate(struct queue *q, struct err *e)
{
	enum rc rc;

	queue_lock(q);
	rc = q->broken ? queue_change(q, e) : queue_commit_locked(q, e);
	if (rc == RC_OK && (q->ended || q->damaged))
		rc = queue_file_renew(q, e);
	if (rc == RC_OK)
		q->ended = false;
	return leave_and_wake(q, rc, e);
}

void queue_set_woken(struct queue *q, void (*runner)(void *arg), void (*pipeline)(void *arg),
                     void *arg)
{
	queue_lock(q);
	q->wake_runner = runner;
	q->wake_pipeline = pipeline;
	q->arg = arg;
	queue_unlock(q);
}
