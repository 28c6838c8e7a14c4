/* ingest/queue/queue_change.c - the queue's transaction: what is put down, kept, lost, and what
 * damage does to it */
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "ingest/queue/queue_core.h"

#define ALL_BYTES "SELECT CAST(total(bytes) AS INTEGER) FROM message WHERE state <> 2"
#define RENEWALS  16 /* in the life of mmd: more are a bug, or a dying disk */
#define RENEW_MS  60000

static uint64_t sum_bytes(struct queue *q, const char *sql)
{
	int64_t bytes = 0;

	return db_int(q->db, sql, 0, &bytes, NULL) == RC_OK ? (uint64_t)bytes : 0;
}

/* For a second copy. */
static bool has_room(struct queue *q)
{
	uint64_t needed = sum_bytes(q, ALL_BYTES);
	uint64_t unused;
	uint64_t whole;

	return dir_space(q->dir, &unused, &whole, NULL) != RC_OK || unused / 8 * 7 > needed;
}

/* Without room the damage stays, and what doesn't meet it goes on. */
enum rc queue_renew_damaged(struct queue *q, struct err *e)
{
	enum rc rc;

	if (!q->damaged || clock_mono_ms() < q->renew_ms)
		return RC_OK;
	rc = has_room(q) ? queue_file_renew(q, e) : RC_NOSPACE;
	if (rc == RC_NOSPACE) {
		log_error("the outbound queue is damaged, and there is no room to write it anew");
		q->renew_ms = clock_mono_ms() + RENEW_MS;
		return RC_OK;
	}
	if (rc != RC_OK)
		return rc;
	q->renewals++;
	q->bytes = sum_bytes(q, QUEUE_SUM_BYTES);
	log_info("the outbound queue was written anew");
	return RC_OK;
}

/* *failed: the one that it came to. */
static enum rc remove_bodies(struct queue *q, size_t *failed, struct err *e)
{
	for (size_t i = 0; i < q->gone_committed; i++) {
		enum rc rc = queue_run_at(q, SQL_DROP_BODY, q->gone[i], e);

		*failed = i;
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

static void forget_gone(struct queue *q, size_t from, size_t count)
{
	q->gone_count -= count;
	q->gone_committed -= count;
	memmove(q->gone + from, q->gone + from + count, (q->gone_count - from) * sizeof(*q->gone));
}

/* Bytes that nobody needs go first: where that meets a damaged page nothing is at risk. Those that
 * can't be removed stay until the file is written anew. */
static enum rc begin(struct queue *q, struct err *e)
{
	enum rc rc = RC_CORRUPT;

	while (rc == RC_CORRUPT) {
		size_t failed;

		rc = queue_renew_damaged(q, e);
		if (rc == RC_OK)
			rc = db_begin(q->db, e);
		if (rc != RC_OK)
			return rc;
		rc = remove_bodies(q, &failed, e);
		if (rc != RC_OK)
			db_rollback(q->db);
		if (rc == RC_CORRUPT) {
			q->damaged = true;
			forget_gone(q, failed, 1);
		}
	}
	q->gone_removed = rc == RC_OK ? q->gone_committed : 0;
	return rc;
}

enum rc queue_change(struct queue *q, struct err *e)
{
	if (q->broken)
		return err_set(e, RC_IO, "the outbound queue could not be written anew");
	if (!q->open) {
		enum rc rc = begin(q, e);

		if (rc != RC_OK)
			return rc;
		q->open = true;
	}
	q->dirty = true;
	return RC_OK;
}

void queue_undo(struct queue *q)
{
	for (size_t i = 0; i < SQL_COUNT; i++)
		if (q->sql[i])
			stmt_reset(q->sql[i]);
	if (q->open)
		db_rollback(q->db);
	q->losses += q->dirty;
	q->lost_pipeline = q->lost_pipeline || q->dirty;
	q->lost_runner = q->lost_runner || q->dirty;
	q->untold = true;
	q->tight = true;
	q->open = q->dirty = false;
	q->fresh_count = q->fresh_committed;
	q->fresh_other = false;
	q->told_count = 0;
	q->gone_count = q->gone_committed;
	q->gone_removed = 0;
	q->bytes = sum_bytes(q, QUEUE_SUM_BYTES);
}

enum rc queue_commit_locked(struct queue *q, struct err *e)
{
	enum rc rc;

	if (!q->open)
		return RC_OK;
	rc = db_commit(q->db, e);
	if (rc != RC_OK) {
		queue_undo(q);
		return rc;
	}
	q->open = q->dirty = false;
	q->due_news = q->due_news || q->fresh_count > q->fresh_committed;
	q->fresh_committed = q->fresh_count;
	if (q->gone_removed)
		forget_gone(q, 0, q->gone_removed);
	q->gone_committed = q->gone_count;
	q->gone_removed = 0;
	q->other_news = q->other_news || q->fresh_other;
	q->fresh_other = false;
	return RC_OK;
}

void queue_lock(struct queue *q)
{
	MUST(pthread_mutex_lock(&q->lock) == 0);
}

void queue_unlock(struct queue *q)
{
	MUST(pthread_mutex_unlock(&q->lock) == 0);
}

/* Of most damage SQLite has taken the transaction back already; of what isn't a damaged page
 * (SQLITE_CORRUPT) it hasn't, and what is copied must be committed. */
static enum rc met_damage(struct queue *q, struct err *e)
{
	struct err why = { 0 };
	enum rc rc;

	if (e)
		why = *e;
	log_error("the outbound queue: %s", why.text);
	if (q->open)
		queue_undo(q);
	q->damaged = q->untold = true;
	rc = queue_renew_damaged(q, e);
	return rc == RC_OK ? err_set(e, RC_NOSPACE, "%s", why.text) : rc;
}

enum rc queue_leave(struct queue *q, enum rc rc, struct err *e)
{
	if (rc == RC_CORRUPT && !q->broken && q->renewals < RENEWALS)
		rc = met_damage(q, e);
	if (q->open && !db_in_transaction(q->db)) {
		queue_undo(q);
		if (rc == RC_OK)
			rc = err_set(e, RC_NOSPACE,
			             "the outbound queue lost what wasn't committed");
	}
	queue_unlock(q);
	return rc;
}

bool queue_lost(struct queue *q)
{
	bool lost;

	queue_lock(q);
	lost = q->lost_runner;
	q->lost_runner = q->together = false;
	queue_unlock(q);
	return lost;
}

void queue_begin_together(struct queue *q)
{
	queue_lock(q);
	if (!q->together)
		q->together_losses = q->losses;
	q->together = true;
	queue_unlock(q);
}

enum rc queue_end_together(struct queue *q, struct err *e)
{
	bool lost = q->together && q->losses != q->together_losses;

	q->together = false;
	return lost ? err_set(e, RC_NOSPACE, "the outbound queue lost what wasn't committed")
	            : RC_OK;
}

uint64_t queue_losses(struct queue *q)
{
	uint64_t losses;

	queue_lock(q);
	losses = q->losses;
	queue_unlock(q);
	return losses;
}
