/* ingest/queue/queue_judged.c - what parked messages were judged on to, from then to the commit
 * behind store and index */
#include <stdlib.h>

#include "ingest/queue/queue_core.h"

void queue_judged(struct queue *q, const struct queue_message *m, const struct queue_task *tasks,
                  size_t count)
{
	struct judgement j = { .id = m->id,
		               .received_ms = m->received_ms,
		               .past = json_incref((json_t *)(uintptr_t)m->past),
		               .archives = queue_archives(m),
		               .tasks = mem_array(count + 1, sizeof(*j.tasks)),
		               .count = count };

	for (size_t i = 0; i < count; i++) {
		j.tasks[i] = tasks[i];
		j.tasks[i].destination = mem_string(tasks[i].destination);
	}
	queue_lock(q);
	if (q->judged_count == q->judged_room) {
		q->judged_room = q->judged_room ? q->judged_room * 2 : 64;
		q->judged = mem_resize(q->judged, q->judged_room * sizeof(*q->judged));
	}
	q->judged[q->judged_count++] = j;
	queue_unlock(q);
}

bool queue_has_judged(struct queue *q)
{
	bool has;

	queue_lock(q);
	has = q->judged_count > 0;
	queue_unlock(q);
	return has;
}

void queue_forget_judged(struct queue *q)
{
	for (size_t i = 0; i < q->judged_count; i++) {
		struct judgement *j = &q->judged[i];

		queue_free_specs(j->tasks, j->count);
		for (size_t k = 0; k < j->count; k++)
			free((void *)(uintptr_t)j->tasks[k].destination);
		free(j->tasks);
		json_decref(j->past);
		json_decref(j->archives);
	}
	q->judged_count = 0;
}

json_t *queue_judged_archives(const struct queue *q, const struct message_id *id)
{
	for (size_t i = 0; i < q->judged_count; i++)
		if (id_compare(&q->judged[i].id, id) == 0)
			return q->judged[i].archives;
	return NULL;
}

/* The archives that still have it, and the new ones. RC_NOTFOUND: it left the queue meanwhile, as
 * all its archives destroyed it. */
static enum rc add_archives(struct queue *q, int64_t number, const json_t *fresh, json_t **out,
                            struct err *e)
{
	struct stmt *s;
	enum rc rc = queue_sql(q, SQL_WAITING, &s, e);

	*out = NULL;
	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, number);
	rc = stmt_step(s, e);
	if (rc == RC_OK)
		rc = queue_read_json(s, 0, out, e);
	stmt_reset(s);
	for (size_t i = 0; rc == RC_OK && i < json_array_size(fresh); i++)
		json_push(*out, json_incref(json_array_get(fresh, i)));
	return rc;
}

/* Notices about it have them, too. */
static enum rc share(struct queue *q, const struct message_id *id, const json_t *archives,
                     struct err *e)
{
	struct stmt *s;
	enum rc rc = queue_sql(q, SQL_SHARED, &s, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_blob(s, 1, slice_of(id->b, ID_BYTES));
	rc = queue_bind_json(s, 2, archives, e);
	return rc == RC_OK ? stmt_run(s, e) : rc;
}

static enum rc put_judged(struct queue *q, int64_t number, const struct judgement *j,
                          const json_t *archives, struct err *e)
{
	struct stmt *s;
	enum rc rc = queue_sql(q, SQL_JUDGED, &s, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, number);
	rc = queue_bind_json(s, 2, j->past, e);
	if (rc == RC_OK)
		rc = stmt_run(s, e);
	if (rc == RC_OK && json_array_size(j->archives))
		rc = share(q, &j->id, archives, e);
	if (rc == RC_OK)
		rc = queue_add_tasks(q, number, j->tasks, j->count, e);
	return rc == RC_OK ? queue_settle(q, number, e) : rc;
}

static enum rc land(struct queue *q, const struct judgement *j, struct err *e)
{
	json_t *archives = NULL;
	int64_t number;
	enum rc rc = queue_find(q, &j->id, &number, e);

	if (rc == RC_OK)
		rc = add_archives(q, number, j->archives, &archives, e);
	if (rc == RC_OK)
		rc = put_judged(q, number, j, archives, e);
	json_decref(archives);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc queue_land_locked(struct queue *q, struct err *e)
{
	enum rc rc = RC_OK;

	if (q->lost_pipeline) {
		q->lost_pipeline = false;
		return err_set(e, RC_NOSPACE, "the outbound queue lost what wasn't committed");
	}
	rc = queue_save_results(q, e);
	if (rc == RC_OK && q->judged_count)
		rc = queue_change(q, e);
	for (size_t i = 0; rc == RC_OK && i < q->judged_count; i++)
		rc = land(q, &q->judged[i], e);
	if (rc != RC_OK) {
		queue_undo(q);
		return rc;
	}
	rc = queue_commit_locked(q, e);
	if (rc == RC_OK) {
		queue_forget_judged(q);
		q->tight = false;
	}
	return rc;
}

void queue_take_back(struct queue *q)
{
	queue_lock(q);
	q->lost_pipeline = false;
	queue_forget_judged(q);
	queue_unlock(q);
}
