/* ingest/queue/queue_tasks.c - what is due, and what came of it */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "ingest/past.h"
#include "ingest/queue/queue_core.h"

static const char *const state_names[TASK_STATES] = { "behind", "due", "held", "dead" };

const char *task_state_name(enum task_state s)
{
	return s < TASK_STATES ? state_names[s] : "?";
}

/* ---- what is due ---- */

static void give_due(struct stmt *s, bool hurry, void (*each)(void *arg, const struct queue_due *d),
                     void *arg)
{
	char *destination = slice_string(stmt_text(s, 2));
	struct queue_due d = { .number = stmt_int(s, 0),
		               .due_ms = stmt_int(s, 1),
		               .destination = destination,
		               .kind = (enum rule_action_kind)stmt_int(s, 3),
		               .hurry = hurry };

	each(arg, &d);
	free(destination);
}

static enum rc all_due(struct queue *q, void (*each)(void *arg, const struct queue_due *d),
                       void *arg, struct err *e)
{
	struct stmt *s;
	enum rc rc = queue_sql(q, SQL_DUE, &s, e);

	if (rc != RC_OK)
		return rc;
	while ((rc = stmt_step(s, e)) == RC_OK)
		give_due(s, false, each, arg);
	stmt_reset(s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc fresh_due(struct queue *q, void (*each)(void *arg, const struct queue_due *d),
                         void *arg, struct err *e)
{
	struct stmt *s;
	enum rc rc = queue_sql(q, SQL_FRESH, &s, e);

	for (size_t i = 0; rc == RC_OK && i < q->fresh_committed; i++) {
		stmt_bind_int(s, 1, q->fresh[i].number);
		rc = stmt_step(s, e);
		if (rc == RC_OK)
			give_due(s, q->fresh[i].hurry, each, arg);
		stmt_reset(s);
		rc = rc == RC_NOTFOUND ? RC_OK : rc;
	}
	return rc;
}

enum rc queue_due(struct queue *q, bool all, void (*each)(void *arg, const struct queue_due *d),
                  void *arg, struct err *e)
{
	enum rc rc;

	queue_lock(q);
	/* What isn't committed may be lost, and its number given to another task. */
	rc = all ? queue_commit_locked(q, e) : RC_OK;
	if (rc == RC_OK)
		rc = all ? all_due(q, each, arg, e) : fresh_due(q, each, arg, e);
	q->fresh_count -= q->fresh_committed;
	if (q->fresh_count)
		memmove(q->fresh, q->fresh + q->fresh_committed,
		        q->fresh_count * sizeof(*q->fresh));
	q->fresh_committed = 0;
	return queue_leave(q, rc, e);
}

/* ---- one task ---- */

static enum rc read_job(struct stmt *s, struct queue_job *j, struct err *e)
{
	struct slice id = stmt_blob(s, 2);
	enum rc rc;

	*j = (struct queue_job) { .number = stmt_int(s, 0), .message = stmt_int(s, 1) };
	buf_init(&j->meta, QUEUE_JSON_MOST);
	buf_init(&j->raw, QUEUE_RAW_MOST);
	memcpy(j->id.b, id.at, MIN_OF(id.len, (size_t)ID_BYTES));
	j->received_ms = stmt_int(s, 3);
	j->kind = (enum rule_action_kind)stmt_int(s, 4);
	j->state = (enum task_state)stmt_int(s, 5);
	j->decides = stmt_int(s, 6);
	j->notice = stmt_int(s, 7);
	j->destination = slice_string(stmt_text(s, 8));
	rc = queue_read_json(s, 9, &j->spec, e);
	if (rc == RC_OK)
		rc = queue_read_json(s, 10, &j->past, e);
	j->tries = (unsigned)stmt_int(s, 11);
	j->since_ms = stmt_int(s, 12);
	j->due_ms = stmt_int(s, 13);
	j->reason = slice_string(stmt_text(s, 14));
	return rc;
}

void queue_job_free(struct queue_job *j)
{
	free(j->destination);
	free(j->reason);
	json_decref(j->spec);
	json_decref(j->past);
	buf_free(&j->meta);
	buf_free(&j->raw);
}

static enum rc read_raw(struct queue *q, int64_t message, struct buf *raw, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(q->reader, &s, "SELECT raw FROM body WHERE message = ?", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, message);
	rc = stmt_step(s, e);
	if (rc == RC_OK)
		rc = buf_add(raw, stmt_blob(s, 0));
	stmt_free(&s);
	return rc;
}

enum rc queue_read_body(struct queue *q, int64_t message, struct buf *raw, bool *whole,
                        struct err *e)
{
	struct err why = { 0 };
	enum rc rc = read_raw(q, message, raw, &why);

	if (rc == RC_NOTFOUND && q->open) { /* dropped by hand as soon as it was parked */
		rc = queue_commit_locked(q, &why);
		if (rc == RC_OK)
			rc = read_raw(q, message, raw, &why);
	}
	*whole = rc == RC_OK;
	if (rc == RC_CORRUPT)
		log_error("the outbound queue: %s", why.text);
	if (rc == RC_CORRUPT || rc == RC_NOTFOUND)
		return RC_OK;
	if (rc != RC_OK && e)
		*e = why;
	return rc;
}

enum rc queue_job_locked(struct queue *q, int64_t number, bool whole, struct queue_job *out,
                         struct err *e)
{
	struct stmt *s;
	enum rc rc = queue_sql(q, SQL_JOB, &s, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, number);
	rc = stmt_step(s, e);
	if (rc == RC_OK) {
		rc = read_job(s, out, e);
		if (rc == RC_OK && whole)
			rc = buf_add(&out->meta, stmt_text(s, 15));
		if (rc == RC_OK && whole)
			rc = queue_read_body(q, out->message, &out->raw, &out->whole, e);
		if (rc != RC_OK)
			queue_job_free(out);
	}
	stmt_reset(s);
	return rc;
}

enum rc queue_job(struct queue *q, int64_t number, bool whole, struct queue_job *out, struct err *e)
{
	enum rc rc;

	queue_lock(q);
	rc = queue_job_locked(q, number, whole, out, e);
	return queue_leave(q, rc, e);
}

/* ---- changes of one ---- */

enum rc queue_set_task(struct queue *q, int64_t number, enum task_state state, int64_t due_ms,
                       int tries, struct err *e)
{
	struct stmt *s;
	enum rc rc = queue_sql(q, SQL_SET_TASK, &s, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, number);
	stmt_bind_int(s, 2, state);
	stmt_bind_int(s, 3, due_ms);
	stmt_bind_int(s, 4, tries);
	return stmt_run(s, e);
}

enum rc queue_put_json(struct queue *q, enum queue_sql which, int64_t number, const json_t *value,
                       struct err *e)
{
	struct stmt *s;
	enum rc rc = value ? queue_sql(q, which, &s, e) : RC_OK;

	if (rc != RC_OK || !value)
		return rc;
	stmt_bind_int(s, 1, number);
	rc = queue_bind_json(s, 2, value, e);
	return rc == RC_OK ? stmt_run(s, e) : rc;
}

static enum rc put_reason(struct queue *q, int64_t number, const char *reason, struct err *e)
{
	struct stmt *s;
	enum rc rc = queue_sql(q, SQL_REASON, &s, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, number);
	stmt_bind_text(s, 2, slice_str(reason));
	return stmt_run(s, e);
}

enum rc queue_uncount(struct queue *q, int64_t message, struct err *e)
{
	int64_t bytes;
	enum rc rc = queue_int(q, SQL_COUNTED, message, &bytes, e);

	if (rc == RC_OK)
		q->bytes -= MIN_OF((uint64_t)bytes, q->bytes);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc put_end(struct queue *q, int64_t message, enum message_state state,
                       enum disposition_kind kind, const char *text, struct err *e)
{
	struct stmt *s;
	enum rc rc = queue_sql(q, SQL_PUT_MESSAGE, &s, e);

	if (rc != RC_OK)
		return rc;
	rc = queue_uncount(q, message, e);
	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, message);
	stmt_bind_int(s, 2, state);
	stmt_bind_int(s, 3, kind);
	stmt_bind_text(s, 4, slice_str(text));
	rc = stmt_step(s, e);
	if (rc == RC_OK && stmt_int(s, 0))
		q->fresh_other = q->untold = true;
	stmt_reset(s);
	return rc;
}

enum rc queue_end(struct queue *q, int64_t message, enum disposition_kind kind, const char *text,
                  struct err *e)
{
	enum rc rc = put_end(q, message, MESSAGE_ENDED, kind, text, e);

	if (rc == RC_OK)
		rc = queue_run_at(q, SQL_DROP_NOTICE, message, e);
	if (q->gone_count == q->gone_room) {
		q->gone_room = q->gone_room ? q->gone_room * 2 : 64;
		q->gone = mem_resize(q->gone, q->gone_room * sizeof(*q->gone));
	}
	q->gone[q->gone_count++] = message;
	q->ended = true;
	return rc;
}

enum rc queue_put_since(struct queue *q, int64_t number, int64_t now_ms, struct err *e)
{
	struct stmt *s;
	enum rc rc = queue_sql(q, SQL_SINCE, &s, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, number);
	stmt_bind_int(s, 2, now_ms);
	return stmt_run(s, e);
}

enum rc queue_next_call(struct queue *q, int64_t message, struct err *e)
{
	int64_t now = clock_now_ms();
	enum task_state state;
	int64_t number;
	struct stmt *s;
	enum rc rc = queue_sql(q, SQL_FIRST_CALL, &s, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, message);
	stmt_bind_int(s, 2, RULE_S3); /* calls are the kinds from here on */
	rc = stmt_step(s, e);
	number = rc == RC_OK ? stmt_int(s, 0) : 0;
	state = rc == RC_OK ? (enum task_state)stmt_int(s, 1) : TASK_DEAD;
	stmt_reset(s);
	if (rc == RC_OK && state == TASK_BEHIND) {
		rc = queue_put_since(q, number, now, e);
		if (rc == RC_OK)
			rc = queue_set_task(q, number, TASK_DUE, now, 0, e);
		queue_fresh(q, number, false);
	}
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc queue_settle(struct queue *q, int64_t message, struct err *e)
{
	struct stmt *s;
	int64_t open;
	int64_t dead;
	enum message_state state;
	enum how how;
	enum rc rc = queue_sql(q, SQL_COUNT_TASKS, &s, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, message);
	rc = stmt_step(s, e);
	open = stmt_int(s, 0);
	dead = stmt_int(s, 1);
	state = (enum message_state)stmt_int(s, 2);
	how = (enum how)stmt_int(s, 3);
	stmt_reset(s);
	if (rc != RC_OK || open || state == MESSAGE_GO_ON)
		return rc;
	if (dead)
		return put_end(q, message, MESSAGE_DEAD, DISPOSITION_DEAD,
		               "some of it could not be carried out: mmctl dead-letter list", e);
	if (how == GIVEN_UP)
		return queue_end(q, message, DISPOSITION_DROPPED, "some of it was given up", e);
	return queue_end(q, message, how == BOUNCED ? DISPOSITION_BOUNCED : DISPOSITION_DELIVERED,
	                 "", e);
}

static enum rc set_later(struct queue *q, int64_t number, int64_t due_ms, int tries, struct err *e)
{
	struct stmt *s;
	enum rc rc = queue_sql(q, SQL_LATER, &s, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, number);
	stmt_bind_int(s, 2, due_ms);
	stmt_bind_int(s, 3, tries);
	rc = stmt_run(s, e);
	if (rc == RC_OK)
		queue_fresh(q, number, false);
	return rc;
}

static enum rc later(struct queue *q, int64_t number, int64_t due_ms, const json_t *spec,
                     const char *reason, int tries, struct err *e)
{
	enum rc rc;

	queue_lock(q);
	rc = queue_end_together(q, e);
	if (rc == RC_OK)
		rc = queue_change(q, e);
	if (rc == RC_OK)
		rc = queue_put_json(q, SQL_PUT_SPEC, number, spec, e);
	if (rc == RC_OK)
		rc = put_reason(q, number, reason, e);
	if (rc == RC_OK)
		rc = set_later(q, number, due_ms, tries, e);
	if (rc != RC_OK)
		queue_undo(q);
	return queue_leave(q, rc, e);
}

enum rc queue_later(struct queue *q, int64_t number, int64_t due_ms, const json_t *spec,
                    const char *reason, struct err *e)
{
	return later(q, number, due_ms, spec, reason, 1, e);
}

enum rc queue_go_on(struct queue *q, int64_t number, int64_t now_ms, const json_t *spec,
                    struct err *e)
{
	return later(q, number, now_ms, spec, "", 0, e);
}

enum rc queue_put_off(struct queue *q, int64_t number, int64_t due_ms, const char *reason,
                      struct err *e)
{
	return later(q, number, due_ms, NULL, reason, 0, e);
}

/* Those for whom a task of this stop failed are gathered until the last one has ended. */
static json_t *failed_of(json_t *past, const struct queue_answer *a)
{
	json_t *failed = json_member_array(past, "failed");

	if (!failed) {
		failed = json_array();
		json_put(past, "failed", failed);
	}
	for (size_t i = 0; i < a->failed_count; i++)
		json_push(failed, json_integer(a->failed[i]));
	if (a->said == RULE_SAID_FAILED && !a->failed_count)
		json_put_bool(past, "all_failed", true);
	return failed;
}

static void answer(json_t *past, const struct queue_answer *a)
{
	const json_t *list = json_member_array(past, "failed");
	bool all = json_member_bool(past, "all_failed", false);
	size_t count = all ? 0 : json_array_size(list);
	uint32_t *failed = mem_array(count + 1, sizeof(*failed));

	for (size_t i = 0; i < count; i++)
		failed[i] = (uint32_t)json_integer_value(json_array_get(list, i));
	past_answer(past, all || count ? RULE_SAID_FAILED : a->said, failed, count);
	free(failed);
	(void)json_object_del(past, "failed");
	(void)json_object_del(past, "all_failed");
}

/* The run that waits for this task, and maybe for others, hears of it. */
static enum rc tell_run(struct queue *q, const struct queue_job *j, const struct queue_answer *a,
                        struct err *e)
{
	int64_t others;
	enum rc rc = queue_int(q, SQL_DECIDERS, j->message, &others, e);

	if (rc != RC_OK)
		return rc;
	(void)failed_of(j->past, a);
	if (!others) {
		answer(j->past, a);
		q->fresh_other = true;
	}
	return queue_put_json(q, others ? SQL_PUT_PAST : SQL_GO_ON_PAST, j->message, j->past, e);
}

/* Behind a task that was through, or failed: it isn't among those that the run waits for any more.
 */
static enum rc go_on(struct queue *q, const struct queue_job *j, const struct queue_answer *a,
                     struct err *e)
{
	enum rc rc = j->kind >= RULE_S3 ? queue_next_call(q, j->message, e) : RC_OK;

	if (rc == RC_OK && j->decides && j->past)
		rc = tell_run(q, j, a, e);
	return rc == RC_OK ? queue_settle(q, j->message, e) : rc;
}

static enum rc put_how(struct queue *q, int64_t message, enum how how, struct err *e)
{
	struct stmt *s;
	enum rc rc = queue_sql(q, SQL_HOW, &s, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, message);
	stmt_bind_int(s, 2, how);
	return stmt_run(s, e);
}

enum rc queue_end_task(struct queue *q, int64_t number, enum how how, const struct queue_answer *a,
                       struct err *e)
{
	struct queue_job j;
	enum rc rc = queue_job_locked(q, number, false, &j, e);

	if (rc != RC_OK)
		return rc;
	rc = queue_change(q, e);
	if (rc == RC_OK)
		rc = queue_run_at(q, SQL_REMOVE_TASK, number, e);
	if (rc == RC_OK && how != THROUGH)
		rc = put_how(q, j.message, how, e);
	if (rc == RC_OK)
		rc = go_on(q, &j, a, e);
	if (rc != RC_OK)
		queue_undo(q);
	queue_job_free(&j);
	return rc;
}

enum rc queue_done(struct queue *q, int64_t number, bool bounced, const struct queue_answer *a,
                   struct err *e)
{
	enum rc rc;

	queue_lock(q);
	rc = queue_end_together(q, e);
	if (rc == RC_OK)
		rc = queue_end_task(q, number, bounced ? BOUNCED : THROUGH, a, e);
	return queue_leave(q, rc, e);
}

static enum rc dead(struct queue *q, int64_t number, const json_t *spec, const char *reason,
                    const struct queue_answer *a, int64_t now_ms, struct err *e)
{
	struct queue_job j;
	enum rc rc = queue_job_locked(q, number, false, &j, e);

	if (rc != RC_OK)
		return rc;
	rc = queue_change(q, e);
	if (rc == RC_OK)
		rc = queue_put_json(q, SQL_PUT_SPEC, number, spec, e);
	if (rc == RC_OK)
		rc = put_reason(q, number, reason, e);
	if (rc == RC_OK)
		rc = queue_set_task(q, number, TASK_DEAD, now_ms, 1, e);
	if (rc == RC_OK)
		rc = go_on(q, &j, a, e);
	if (rc != RC_OK)
		queue_undo(q);
	queue_job_free(&j);
	return rc;
}

enum rc queue_dead(struct queue *q, int64_t number, const json_t *spec, const char *reason,
                   const struct queue_answer *a, int64_t now_ms, struct err *e)
{
	enum rc rc;

	queue_lock(q);
	rc = queue_end_together(q, e);
	if (rc == RC_OK)
		rc = dead(q, number, spec, reason, a, now_ms, e);
	return queue_leave(q, rc, e);
}

/* ---- to be looked at ---- */

enum rc queue_count(struct queue *q, struct queue_totals *out, struct err *e)
{
	struct stmt *s;
	enum rc rc;

	*out = (struct queue_totals) { 0 };
	queue_lock(q);
	rc = queue_sql(q, SQL_TOTALS, &s, e);
	if (rc == RC_OK)
		rc = stmt_step(s, e);
	if (rc == RC_OK) {
		out->messages = (uint64_t)stmt_int(s, 0);
		out->bytes = (uint64_t)stmt_int(s, 1);
		stmt_reset(s);
		rc = queue_sql(q, SQL_COUNT_STATES, &s, e);
	}
	while (rc == RC_OK && (rc = stmt_step(s, e)) == RC_OK)
		if (stmt_int(s, 0) >= 0 && stmt_int(s, 0) < TASK_STATES)
			out->tasks[stmt_int(s, 0)] = (uint64_t)stmt_int(s, 1);
	if (s)
		stmt_reset(s);
	rc = queue_leave(q, rc, e);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc queue_is_empty(struct queue *q, bool *empty, struct err *e)
{
	int64_t number;
	enum rc rc;

	queue_lock(q);
	rc = queue_int(q, SQL_ANY, MESSAGE_ENDED, &number, e);
	rc = queue_leave(q, rc, e);
	*empty = rc == RC_NOTFOUND;
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc each_job(struct stmt *s,
                        enum rc (*each)(void *arg, const struct queue_job *j, struct err *e),
                        void *arg, struct err *e)
{
	enum rc rc;

	while ((rc = stmt_step(s, e)) == RC_OK) {
		struct queue_job j;

		rc = read_job(s, &j, e);
		if (rc == RC_OK)
			rc = each(arg, &j, e);
		queue_job_free(&j);
		if (rc != RC_OK)
			break;
	}
	stmt_reset(s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc queue_each(struct queue *q, bool dead, int64_t behind, size_t most,
                   enum rc (*each)(void *arg, const struct queue_job *j, struct err *e), void *arg,
                   struct err *e)
{
	struct stmt *s;
	enum rc rc;

	queue_lock(q);
	rc = queue_sql(q, SQL_EACH, &s, e);
	if (rc == RC_OK) {
		stmt_bind_int(s, 1, behind);
		stmt_bind_int(s, 2, dead);
		stmt_bind_int(s, 3, (int64_t)most);
		rc = each_job(s, each, arg, e);
	}
	return queue_leave(q, rc, e);
}

enum rc queue_each_of(struct queue *q, const struct message_id *id,
                      enum rc (*each)(void *arg, const struct queue_job *j, struct err *e),
                      void *arg, struct err *e)
{
	struct stmt *s;
	enum rc rc;

	queue_lock(q);
	rc = queue_sql(q, SQL_EACH_OF, &s, e);
	if (rc == RC_OK) {
		stmt_bind_blob(s, 1, slice_of(id->b, ID_BYTES));
		rc = each_job(s, each, arg, e);
	}
	return queue_leave(q, rc, e);
}
