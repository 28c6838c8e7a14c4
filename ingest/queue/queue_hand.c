/* ingest/queue/queue_hand.c - what people, the calendar and destruction elsewhere do to tasks */
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "ingest/queue/queue_core.h"

#define DAY_MS INT64_C(86400000)

/* ---- by hand ---- */

/* The message of a dead letter counts again. */
static enum rc revive_message(struct queue *q, int64_t message, struct err *e)
{
	int64_t bytes = 0;
	enum rc rc = queue_run_at(q, SQL_REVIVE, message, e);
	bool was_dead = rc == RC_OK && db_changes(q->db);

	if (was_dead)
		rc = queue_int(q, SQL_COUNTED, message, &bytes, e);
	if (rc == RC_OK)
		q->bytes += (uint64_t)bytes;
	return rc;
}

/* A dead letter is tried for those whom it failed for, as if it were new. */
static enum rc revive(struct queue *q, const struct queue_job *j, int64_t now_ms, struct err *e)
{
	const json_t *to = json_member_array(j->spec, "recipients");
	enum rc rc = revive_message(q, j->message, e);

	for (size_t i = 0; i < json_array_size(to); i++)
		if (!slice_equal(json_member_text(json_array_get(to, i), "end"), slice_str("done")))
			(void)json_object_del(json_array_get(to, i), "end");
	if (rc == RC_OK)
		rc = queue_put_json(q, SQL_PUT_SPEC, j->number, j->spec, e);
	return rc == RC_OK ? queue_put_since(q, j->number, now_ms, e) : rc;
}

static enum rc retry(struct queue *q, const struct queue_job *j, int64_t now_ms, struct err *e)
{
	enum rc rc;

	if (j->state == TASK_BEHIND)
		return RC_NOTFOUND;
	rc = queue_change(q, e);
	if (rc == RC_OK && j->state == TASK_HELD && j->kind >= RULE_S3) {
		rc = queue_set_task(q, j->number, TASK_BEHIND, now_ms, 0, e);
		return rc == RC_OK ? queue_next_call(q, j->message, e) : rc;
	}
	if (rc == RC_OK)
		rc = queue_set_task(q, j->number, TASK_DUE, now_ms, 0, e);
	if (rc == RC_OK)
		queue_fresh(q, j->number, true);
	return rc == RC_OK && j->state == TASK_DEAD ? revive(q, j, now_ms, e) : rc;
}

static enum rc hold(struct queue *q, const struct queue_job *j, int64_t now_ms, struct err *e)
{
	enum rc rc;

	(void)now_ms;
	if (j->state != TASK_DUE && j->state != TASK_BEHIND)
		return RC_NOTFOUND;
	rc = queue_change(q, e);
	return rc == RC_OK ? queue_set_task(q, j->number, TASK_HELD, 0, 0, e) : rc;
}

static enum rc by_hand(struct queue *q, int64_t number, int64_t now_ms,
                       enum rc (*what)(struct queue *q, const struct queue_job *j, int64_t now_ms,
                                       struct err *e),
                       struct err *e)
{
	struct queue_job j;
	enum rc rc;

	queue_lock(q);
	rc = queue_job_locked(q, number, false, &j, e);
	if (rc == RC_OK) {
		rc = what(q, &j, now_ms, e);
		if (rc != RC_OK && rc != RC_NOTFOUND)
			queue_undo(q);
		queue_job_free(&j);
	}
	return queue_leave(q, rc, e);
}

enum rc queue_retry(struct queue *q, int64_t number, int64_t now_ms, struct err *e)
{
	return by_hand(q, number, now_ms, retry, e);
}

enum rc queue_hold(struct queue *q, int64_t number, struct err *e)
{
	return by_hand(q, number, 0, hold, e);
}

/* Whom it wasn't done for. Of a call, and where nobody is named: nobody, which stands for all. */
static size_t whom_not(const struct queue_job *j, uint32_t **out)
{
	const json_t *to = j->kind < RULE_S3 ? json_member_array(j->spec, "recipients") : NULL;
	size_t n = 0;

	*out = mem_array(json_array_size(to) + 1, sizeof(**out));
	for (size_t i = 0; i < json_array_size(to); i++) {
		const json_t *one = json_array_get(to, i);

		if (!slice_equal(json_member_text(one, "end"), slice_str("done")))
			(*out)[n++] = (uint32_t)json_member_int(one, "i", 0);
	}
	return n;
}

static enum rc drop(struct queue *q, int64_t number, struct err *e)
{
	struct queue_answer failed = { .said = RULE_SAID_FAILED };
	struct queue_job j;
	uint32_t *whom;
	enum rc rc = queue_job_locked(q, number, false, &j, e);

	if (rc != RC_OK)
		return rc;
	failed.failed_count = whom_not(&j, &whom);
	failed.failed = whom;
	rc = queue_end_task(q, number, GIVEN_UP, &failed, e);
	free(whom);
	queue_job_free(&j);
	return rc;
}

enum rc queue_drop(struct queue *q, int64_t number, struct err *e)
{
	enum rc rc;

	queue_lock(q);
	rc = drop(q, number, e);
	return queue_leave(q, rc, e);
}

bool queue_has_expired(struct queue *q, int64_t before_ms)
{
	struct err e = { 0 };
	int64_t number;

	queue_lock(q);
	return queue_leave(q, queue_int(q, SQL_DEAD_BEFORE, before_ms, &number, &e), &e) == RC_OK;
}

enum rc queue_expire(struct queue *q, int64_t before_ms, size_t *count, struct err *e)
{
	int64_t number;
	enum rc rc;

	*count = 0;
	queue_lock(q);
	while ((rc = queue_int(q, SQL_DEAD_BEFORE, before_ms, &number, e)) == RC_OK) {
		rc = drop(q, number, e);
		if (rc != RC_OK)
			break;
		++*count;
	}
	rc = queue_leave(q, rc, e);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* ---- destroyed elsewhere ---- */

struct kept {
	int64_t number;
	struct message_id origin;
	json_t *archives; /* that have it */
};

struct kept_list {
	struct kept *at;
	size_t count;
	size_t room;
};

static enum rc add_kept(struct kept_list *l, struct stmt *s, struct err *e)
{
	struct kept *k;
	struct slice id;

	if (l->count == l->room) {
		l->room = l->room ? l->room * 2 : 16;
		l->at = mem_resize(l->at, l->room * sizeof(*l->at));
	}
	k = &l->at[l->count++];
	k->number = stmt_int(s, 0);
	id = stmt_blob(s, 2);
	memcpy(k->origin.b, id.at, MIN_OF(id.len, (size_t)ID_BYTES));
	return queue_read_json(s, 1, &k->archives, e);
}

/* The messages and notices that it may concern. */
static enum rc gather(struct queue *q, int32_t day, const struct message_id *id,
                      struct kept_list *l, struct err *e)
{
	struct stmt *s;
	enum rc rc = queue_sql(q, id ? SQL_FORGET_ID : SQL_FORGET_DAY, &s, e);

	if (rc != RC_OK)
		return rc;
	if (id) {
		stmt_bind_blob(s, 1, slice_of(id->b, ID_BYTES));
	} else {
		stmt_bind_int(s, 1, day * DAY_MS);
		stmt_bind_int(s, 2, (day + 1) * DAY_MS);
	}
	while ((rc = stmt_step(s, e)) == RC_OK && (rc = add_kept(l, s, e)) == RC_OK)
		;
	stmt_reset(s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* True: it was there. */
static bool take_out(json_t *archives, uint32_t archive)
{
	size_t before = json_array_size(archives);

	for (size_t i = before; i-- > 0;)
		if (json_integer_value(json_array_get(archives, i)) == (json_int_t)archive)
			(void)json_array_remove(archives, i);
	return json_array_size(archives) < before;
}

static enum rc forget_one(struct queue *q, const struct kept *k, size_t *count, struct err *e)
{
	enum rc rc = queue_change(q, e);

	if (rc == RC_OK)
		rc = queue_put_json(q, SQL_ARCHIVES, k->number, k->archives, e);
	if (rc != RC_OK || json_array_size(k->archives) ||
	    json_array_size(queue_judged_archives(q, &k->origin)))
		return rc;
	++*count;
	rc = queue_run_at(q, SQL_DROP_TASKS, k->number, e);
	return rc == RC_OK ? queue_end(q, k->number, DISPOSITION_DROPPED,
	                               "it was destroyed in its archives", e)
	                   : rc;
}

/* It doesn't come back with what was judged on. */
static void forget_judged(struct queue *q, uint32_t archive, int32_t day,
                          const struct message_id *id)
{
	for (size_t i = 0; i < q->judged_count; i++) {
		const struct judgement *j = &q->judged[i];
		bool is = id ? id_compare(id, &j->id) == 0 : day_of_ms(j->received_ms) == day;

		if (is)
			(void)take_out(j->archives, archive);
	}
}

enum rc queue_forget(struct queue *q, uint32_t archive, int32_t day, const struct message_id *id,
                     size_t *count, struct err *e)
{
	struct kept_list l = { .at = NULL };
	enum rc rc;

	*count = 0;
	queue_lock(q);
	forget_judged(q, archive, day, id);
	rc = gather(q, day, id, &l, e);
	for (size_t i = 0; rc == RC_OK && i < l.count; i++)
		if (take_out(l.at[i].archives, archive))
			rc = forget_one(q, &l.at[i], count, e);
	if (rc != RC_OK)
		queue_undo(q);
	else
		rc = queue_commit_locked(q, e);
	rc = queue_leave(q, rc, e);
	for (size_t i = 0; i < l.count; i++)
		json_decref(l.at[i].archives);
	free(l.at);
	return rc;
}
