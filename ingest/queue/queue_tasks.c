/* ingest/queue/queue_tasks.c - what is due, and what came of it */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "ingest/past.h"
#include "ingest/queue/queue_core.h"

#define META_MOST (4u << 20)
#define RAW_MOST  ((size_t)1 << 30)
#define DAY_MS    INT64_C(86400000)

static const char *const state_names[TASK_STATES] = { "behind", "due", "held", "dead" };

const char *task_state_name(enum task_state s)
{
	return s < TASK_STATES ? state_names[s] : "?";
}

/* How a task left, as it is kept of its message: the worst counts. */
enum how { THROUGH, BOUNCED, GIVEN_UP };

/* ---- what is due ---- */

static void give_due(struct stmt *s, void (*each)(void *arg, const struct queue_due *d), void *arg)
{
	char *destination = slice_string(stmt_text(s, 2));
	struct queue_due d = { .number = stmt_int(s, 0),
		               .due_ms = stmt_int(s, 1),
		               .destination = destination,
		               .kind = (enum rule_action_kind)stmt_int(s, 3) };

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
		give_due(s, each, arg);
	stmt_reset(s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc fresh_due(struct queue *q, void (*each)(void *arg, const struct queue_due *d),
                         void *arg, struct err *e)
{
	struct stmt *s;
	enum rc rc = queue_sql(q, SQL_FRESH, &s, e);

	for (size_t i = 0; rc == RC_OK && i < q->fresh_committed; i++) {
		stmt_bind_int(s, 1, q->fresh[i]);
		rc = stmt_step(s, e);
		if (rc == RC_OK)
			give_due(s, each, arg);
		stmt_reset(s);
		rc = rc == RC_NOTFOUND ? RC_OK : rc;
	}
	return rc;
}

enum rc queue_due(struct queue *q, bool all, void (*each)(void *arg, const struct queue_due *d),
                  void *arg, struct err *e)
{
	enum rc rc;

	MUST(pthread_mutex_lock(&q->lock) == 0);
	rc = all ? all_due(q, each, arg, e) : fresh_due(q, each, arg, e);
	q->fresh_count -= q->fresh_committed;
	if (q->fresh_count)
		memmove(q->fresh, q->fresh + q->fresh_committed,
		        q->fresh_count * sizeof(*q->fresh));
	q->fresh_committed = 0;
	MUST(pthread_mutex_unlock(&q->lock) == 0);
	return rc;
}

/* ---- one task ---- */

static enum rc read_job(struct stmt *s, struct queue_job *j, struct err *e)
{
	struct slice id = stmt_blob(s, 2);
	enum rc rc;

	*j = (struct queue_job) { .number = stmt_int(s, 0), .message = stmt_int(s, 1) };
	buf_init(&j->meta, META_MOST);
	buf_init(&j->raw, RAW_MOST);
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

static enum rc read_body(struct queue *q, struct queue_job *j, struct err *e)
{
	struct stmt *s;
	enum rc rc = queue_sql(q, SQL_BODY, &s, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, j->message);
	rc = stmt_step(s, e);
	if (rc == RC_OK)
		rc = buf_add(&j->raw, stmt_blob(s, 0));
	stmt_reset(s);
	return rc == RC_NOTFOUND ? err_set(e, RC_CORRUPT, "a parked message has no bytes") : rc;
}

static enum rc job_locked(struct queue *q, int64_t number, bool whole, struct queue_job *out,
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
			rc = read_body(q, out, e);
		if (rc != RC_OK)
			queue_job_free(out);
	}
	stmt_reset(s);
	return rc;
}

enum rc queue_job(struct queue *q, int64_t number, bool whole, struct queue_job *out, struct err *e)
{
	enum rc rc;

	MUST(pthread_mutex_lock(&q->lock) == 0);
	rc = job_locked(q, number, whole, out, e);
	MUST(pthread_mutex_unlock(&q->lock) == 0);
	return rc;
}

/* ---- changes of one ---- */

static enum rc set_task(struct queue *q, int64_t number, enum task_state state, int64_t due_ms,
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
	rc = stmt_run(s, e);
	if (rc == RC_OK && state == TASK_DUE)
		queue_fresh(q, number);
	return rc;
}

static enum rc put_json(struct queue *q, enum queue_sql which, int64_t number, const json_t *value,
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

static enum rc put_end(struct queue *q, int64_t message, enum message_state state,
                       enum disposition_kind kind, const char *text, struct err *e)
{
	struct stmt *s;
	enum rc rc = queue_sql(q, SQL_PUT_MESSAGE, &s, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, message);
	stmt_bind_int(s, 2, state);
	stmt_bind_int(s, 3, kind);
	stmt_bind_text(s, 4, slice_str(text));
	q->fresh_other = q->untold = true;
	return stmt_run(s, e);
}

/* Its bytes go, and what its receipt says; the disposition is left. */
static enum rc end(struct queue *q, int64_t message, enum disposition_kind kind, const char *text,
                   struct err *e)
{
	int64_t bytes = 0;
	enum rc rc = queue_int(q, SQL_MESSAGE_OF, message, &bytes, e);

	if (rc == RC_OK)
		rc = queue_run_at(q, SQL_DROP_BODY, message, e);
	if (rc == RC_OK)
		rc = put_end(q, message, MESSAGE_ENDED, kind, text, e);
	if (rc == RC_OK)
		q->bytes -= MIN_OF((uint64_t)bytes, q->bytes);
	q->ended = true;
	return rc;
}

/* The call that was behind the one that ended. */
static enum rc next_call(struct queue *q, int64_t message, struct err *e)
{
	int64_t number;
	enum rc rc = queue_int(q, SQL_NEXT_CALL, message, &number, e);

	if (rc == RC_OK)
		return set_task(q, number, TASK_DUE, clock_now_ms(), 0, e);
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
		return end(q, message, DISPOSITION_DROPPED, "some of it was given up", e);
	return end(q, message, how == BOUNCED ? DISPOSITION_BOUNCED : DISPOSITION_DELIVERED, "", e);
}

static enum rc later(struct queue *q, int64_t number, int64_t due_ms, const json_t *spec,
                     const char *reason, int tries, struct err *e)
{
	enum rc rc;

	MUST(pthread_mutex_lock(&q->lock) == 0);
	rc = queue_change(q, e);
	if (rc == RC_OK)
		rc = put_json(q, SQL_PUT_SPEC, number, spec, e);
	if (rc == RC_OK)
		rc = put_reason(q, number, reason, e);
	if (rc == RC_OK)
		rc = set_task(q, number, TASK_DUE, due_ms, tries, e);
	if (rc != RC_OK)
		queue_undo(q);
	MUST(pthread_mutex_unlock(&q->lock) == 0);
	return rc;
}

enum rc queue_later(struct queue *q, int64_t number, int64_t due_ms, const json_t *spec,
                    const char *reason, struct err *e)
{
	return later(q, number, due_ms, spec, reason, 1, e);
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
	return put_json(q, others ? SQL_PUT_PAST : SQL_GO_ON_PAST, j->message, j->past, e);
}

/* Behind a task that was through, or failed: it isn't among those that the run waits for any more.
 */
static enum rc go_on(struct queue *q, const struct queue_job *j, const struct queue_answer *a,
                     struct err *e)
{
	enum rc rc = next_call(q, j->message, e);

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

static enum rc done(struct queue *q, int64_t number, enum how how, const struct queue_answer *a,
                    struct err *e)
{
	struct queue_job j;
	enum rc rc = job_locked(q, number, false, &j, e);

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

	MUST(pthread_mutex_lock(&q->lock) == 0);
	rc = done(q, number, bounced ? BOUNCED : THROUGH, a, e);
	MUST(pthread_mutex_unlock(&q->lock) == 0);
	return rc;
}

static enum rc dead(struct queue *q, int64_t number, const json_t *spec, const char *reason,
                    const struct queue_answer *a, int64_t now_ms, struct err *e)
{
	struct queue_job j;
	enum rc rc = job_locked(q, number, false, &j, e);

	if (rc != RC_OK)
		return rc;
	rc = queue_change(q, e);
	if (rc == RC_OK)
		rc = put_json(q, SQL_PUT_SPEC, number, spec, e);
	if (rc == RC_OK)
		rc = put_reason(q, number, reason, e);
	if (rc == RC_OK)
		rc = set_task(q, number, TASK_DEAD, now_ms, 1, e);
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

	MUST(pthread_mutex_lock(&q->lock) == 0);
	rc = dead(q, number, spec, reason, a, now_ms, e);
	MUST(pthread_mutex_unlock(&q->lock) == 0);
	return rc;
}

/* ---- by hand ---- */

/* A dead letter is tried for those whom it failed for, as if it were new. */
static enum rc revive(struct queue *q, const struct queue_job *j, int64_t now_ms, struct err *e)
{
	const json_t *to = json_member_array(j->spec, "recipients");
	struct stmt *s;
	enum rc rc = queue_run_at(q, SQL_REVIVE, j->message, e);

	for (size_t i = 0; i < json_array_size(to); i++)
		if (!slice_equal(json_member_text(json_array_get(to, i), "end"), slice_str("done")))
			(void)json_object_del(json_array_get(to, i), "end");
	if (rc == RC_OK)
		rc = put_json(q, SQL_PUT_SPEC, j->number, j->spec, e);
	if (rc == RC_OK)
		rc = queue_sql(q, SQL_SINCE, &s, e);
	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, j->number);
	stmt_bind_int(s, 2, now_ms);
	return stmt_run(s, e);
}

static enum rc by_hand(struct queue *q, int64_t number, enum task_state to, int64_t due_ms,
                       struct err *e)
{
	struct queue_job j;
	enum rc rc = job_locked(q, number, false, &j, e);

	if (rc != RC_OK)
		return rc;
	if (to == TASK_HELD ? j.state != TASK_DUE && j.state != TASK_BEHIND
	                    : j.state == TASK_BEHIND)
		rc = RC_NOTFOUND;
	if (rc == RC_OK)
		rc = queue_change(q, e);
	if (rc == RC_OK)
		rc = set_task(q, number, to, due_ms, 0, e);
	if (rc == RC_OK && j.state == TASK_DEAD)
		rc = revive(q, &j, due_ms, e);
	if (rc != RC_OK && rc != RC_NOTFOUND)
		queue_undo(q);
	queue_job_free(&j);
	return rc;
}

enum rc queue_retry(struct queue *q, int64_t number, int64_t now_ms, struct err *e)
{
	enum rc rc;

	MUST(pthread_mutex_lock(&q->lock) == 0);
	rc = by_hand(q, number, TASK_DUE, now_ms, e);
	MUST(pthread_mutex_unlock(&q->lock) == 0);
	return rc;
}

enum rc queue_hold(struct queue *q, int64_t number, struct err *e)
{
	enum rc rc;

	MUST(pthread_mutex_lock(&q->lock) == 0);
	rc = by_hand(q, number, TASK_HELD, 0, e);
	MUST(pthread_mutex_unlock(&q->lock) == 0);
	return rc;
}

static enum rc drop(struct queue *q, int64_t number, struct err *e)
{
	const struct queue_answer failed = { .said = RULE_SAID_FAILED };

	return done(q, number, GIVEN_UP, &failed, e);
}

enum rc queue_drop(struct queue *q, int64_t number, struct err *e)
{
	enum rc rc;

	MUST(pthread_mutex_lock(&q->lock) == 0);
	rc = drop(q, number, e);
	MUST(pthread_mutex_unlock(&q->lock) == 0);
	return rc;
}

enum rc queue_expire(struct queue *q, int64_t before_ms, size_t *count, struct err *e)
{
	int64_t number;
	enum rc rc;

	*count = 0;
	MUST(pthread_mutex_lock(&q->lock) == 0);
	while ((rc = queue_int(q, SQL_DEAD_BEFORE, before_ms, &number, e)) == RC_OK) {
		rc = drop(q, number, e);
		if (rc != RC_OK)
			break;
		++*count;
	}
	MUST(pthread_mutex_unlock(&q->lock) == 0);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* ---- destroyed elsewhere ---- */

/* The next message that it may concern, and which archives have it. */
static enum rc next_archived(struct queue *q, int64_t behind, int32_t day,
                             const struct message_id *id, int64_t *number, json_t **archives,
                             struct err *e)
{
	struct stmt *s;
	enum rc rc = queue_sql(q, SQL_FORGET, &s, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, behind);
	stmt_bind_blob(s, 2, id ? slice_of(id->b, ID_BYTES) : slice_of(NULL, 0));
	stmt_bind_int(s, 3, day * DAY_MS);
	stmt_bind_int(s, 4, (day + 1) * DAY_MS);
	rc = stmt_step(s, e);
	if (rc == RC_OK) {
		*number = stmt_int(s, 0);
		rc = queue_read_json(s, 1, archives, e);
	}
	stmt_reset(s);
	return rc;
}

/* True: it was there. */
static bool take_out(json_t *archives, uint32_t archive)
{
	for (size_t i = 0; i < json_array_size(archives); i++)
		if (json_integer_value(json_array_get(archives, i)) == (json_int_t)archive) {
			(void)json_array_remove(archives, i);
			return true;
		}
	return false;
}

static enum rc forget_one(struct queue *q, int64_t message, json_t *archives, size_t *count,
                          struct err *e)
{
	enum rc rc = queue_change(q, e);

	if (rc == RC_OK)
		rc = put_json(q, SQL_ARCHIVES, message, archives, e);
	if (rc != RC_OK || json_array_size(archives))
		return rc;
	++*count;
	rc = queue_run_at(q, SQL_DROP_TASKS, message, e);
	return rc == RC_OK
	               ? end(q, message, DISPOSITION_DROPPED, "it was destroyed in its archives", e)
	               : rc;
}

enum rc queue_forget(struct queue *q, uint32_t archive, int32_t day, const struct message_id *id,
                     size_t *count, struct err *e)
{
	int64_t at = 0;
	enum rc rc;

	*count = 0;
	MUST(pthread_mutex_lock(&q->lock) == 0);
	for (;;) {
		json_t *archives = NULL;

		rc = next_archived(q, at, day, id, &at, &archives, e);
		if (rc == RC_OK && take_out(archives, archive))
			rc = forget_one(q, at, archives, count, e);
		json_decref(archives);
		if (rc != RC_OK)
			break;
	}
	if (rc != RC_NOTFOUND)
		queue_undo(q);
	MUST(pthread_mutex_unlock(&q->lock) == 0);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* ---- to be looked at ---- */

enum rc queue_count(struct queue *q, struct queue_totals *out, struct err *e)
{
	struct stmt *s;
	enum rc rc;

	*out = (struct queue_totals) { 0 };
	MUST(pthread_mutex_lock(&q->lock) == 0);
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
	MUST(pthread_mutex_unlock(&q->lock) == 0);
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

	MUST(pthread_mutex_lock(&q->lock) == 0);
	rc = queue_sql(q, SQL_EACH, &s, e);
	if (rc == RC_OK) {
		stmt_bind_int(s, 1, behind);
		stmt_bind_int(s, 2, dead);
		stmt_bind_int(s, 3, (int64_t)most);
		rc = each_job(s, each, arg, e);
	}
	MUST(pthread_mutex_unlock(&q->lock) == 0);
	return rc;
}

enum rc queue_each_of(struct queue *q, const struct message_id *id,
                      enum rc (*each)(void *arg, const struct queue_job *j, struct err *e),
                      void *arg, struct err *e)
{
	struct stmt *s;
	enum rc rc;

	MUST(pthread_mutex_lock(&q->lock) == 0);
	rc = queue_sql(q, SQL_EACH_OF, &s, e);
	if (rc == RC_OK) {
		stmt_bind_blob(s, 1, slice_of(id->b, ID_BYTES));
		rc = each_job(s, each, arg, e);
	}
	MUST(pthread_mutex_unlock(&q->lock) == 0);
	return rc;
}
