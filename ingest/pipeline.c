#include "ingest/pipeline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"
#include "ingest/background.h"
#include "ingest/backoff.h"
#include "ingest/checkpoint.h"
#include "ingest/filing.h"
#include "ingest/judge.h"
#include "ingest/lobby.h"
#include "ingest/logs.h"
#include "ingest/parse.h"
#include "ingest/queue/queue.h"
#include "store/crypt.h"

#define BATCH_MESSAGES 64
#define BATCH_BYTES    (8u << 20)
#define BATCHES        3   /* one is parsed, one judged, one filed */
#define TURNS          8   /* batches before others may have the lock */
#define IDLE_MS        200 /* between two looks at the spool without a wake */
/* Between two looks that found little: what comes singly is gathered. */
#define GATHER_MS         20
#define FULL_MS           1000 /* between two tries on a full disk */
#define GIVEN_UP          16 /* damaged shards since the last checkpoint; with more the disk is bad */
#define CHECKPOINT_MIN_MS 100  /* a trickle shares its syncs */
#define CHECKPOINT_MAX_MS 1000 /* a flood waits no longer than this to be findable */
#define CHECKPOINT_BYTES  (32u << 20)
#define REPLY_MS          5000 /* for mm-smtpd to say what it told a sender */

struct batch {
	size_t count;
	struct lobby_item *items[BATCH_MESSAGES];
	struct parse_job jobs[BATCH_MESSAGES];
};

struct answered {
	struct answered *next;
	struct message_id id;
	bool refused;
};

struct pipeline {
	struct pipeline_parts parts;
	struct lobby *lobby;
	struct parse_pool *pool;
	struct filing *filing;
	struct judge *judge;
	struct checkpoint *checkpoint;
	struct batch batches[BATCHES];
	unsigned ready; /* the batch that is parsed, if it holds any; behind it the one to fill, and
	                   the one that is indexed */
	unsigned given_up; /* shards since the last checkpoint */
	bool unsealed; /* a shard may have become full, or is being sealed: guarded by `writing` */
	struct backoff seal_backoff; /* the same */
	struct err seal_failure;     /* why it waits; RC_OK: it never did */
	struct spool_mark *again;    /* what is before it was read before, and may be parked; NULL:
	                                nothing is */
	size_t again_count;
	pthread_t thread;
	pthread_mutex_t lock; /* everything below */
	pthread_cond_t changed;
	bool woken;
	bool resting; /* a wake is heard at once */
	bool stop;
	bool running;
	bool full;     /* the disk is */
	bool stuck;    /* a shard that is to be sealed found no room, and isn't sealed yet */
	uint64_t done; /* messages checkpointed since start */
	struct err failure;
	struct pipeline_totals totals;
	struct answered *answers; /* of senders that waited for a judgement */
};

/* ---- one batch ---- */

static void take_answers(struct pipeline *p)
{
	struct answered *list;

	(void)pthread_mutex_lock(&p->lock);
	list = p->answers;
	p->answers = NULL;
	(void)pthread_mutex_unlock(&p->lock);
	while (list) {
		struct answered *a = list;

		list = a->next;
		lobby_release(p->lobby, &a->id, a->refused);
		free(a);
	}
}

static enum rc fill_batch(struct pipeline *p, struct batch *b, struct err *e)
{
	size_t bytes = 0;
	struct lobby_item *it;
	enum rc rc;

	take_answers(p);
	rc = lobby_fill(p->lobby, BATCH_MESSAGES, BATCH_BYTES, p->checkpoint, e);

	b->count = 0;
	while (rc == RC_OK && b->count < BATCH_MESSAGES && bytes < BATCH_BYTES &&
	       (it = lobby_take(p->lobby))) {
		b->items[b->count] = it;
		b->jobs[b->count] = (struct parse_job) { .raw = it->record.raw };
		bytes += it->record.raw.len;
		b->count++;
	}
	return rc;
}

/* A record whose envelope can't be read is listed, not forgotten; what is parked of it ends with
 * the tasks that it has. */
static void note_unreadable(struct pipeline *p, const struct lobby_item *it)
{
	const struct queue_message parked = { .id = it->record.id, .rule_set = "" };
	struct disposition d = { .id = it->record.id,
		                 .received_ms = it->record.received_ms,
		                 .kind = DISPOSITION_FAILED,
		                 .rule = -1,
		                 .text = "its envelope can't be read" };

	checkpoint_disposition(p->checkpoint, &d);
	if (it->parked)
		queue_judged(p->parts.queue, &parked, NULL, 0);
}

/* The front says what the hash is; one that lies must not make the archive look damaged for ever.
 */
static bool hash_holds(struct lobby_item *it)
{
	uint8_t sum[32];
	char id[ID_TEXT + 1];

	if (it->record.writer == SPOOL_WRITER_IMPORT || it->parked)
		return true; /* made in this process */
	sha256(sum, it->record.raw);
	if (memcmp(sum, it->record.sha256, sizeof(sum)) == 0)
		return true;
	memcpy(it->record.sha256, sum, sizeof(sum));
	id_format(id, &it->record.id);
	log_error("message %s: its bytes do not have the hash that was recorded at receipt", id);
	return false;
}

/* Its sender waits for what the rules say. */
static bool is_waited_for(const struct pipeline *p, const struct lobby_item *it)
{
	return p->parts.judged && it->mail.judge_first && !it->answered;
}

/* *refused: nothing was done, and its sender is being told. */
static enum rc judge_readable(struct pipeline *p, const struct config *c, struct lobby_item *it,
                              const struct parse_job *job, bool *refused, struct err *e)
{
	bool holds = hash_holds(it);
	struct judged m = { &it->mail,         &job->parsed, it->record.raw,
		            it->record.sha256, REPLY_GIVEN,  it->parked ? &it->past.is : NULL };
	struct judge_said said;
	enum rc rc;

	if (is_waited_for(p, it))
		m.reply = REPLY_WAITS;
	else if (it->refused)
		m.reply = REPLY_REFUSED;
	rc = judge_message(p->judge, c, &m, &said, e);
	if (rc != RC_OK)
		return rc;
	*refused = said.refuse;
	if (m.reply == REPLY_WAITS)
		p->parts.judged(p->parts.arg, &it->mail.id, said.refuse,
		                "Message refused by policy");
	if (said.refuse)
		return RC_OK;
	if (!holds) {
		said.disposition.kind = DISPOSITION_FAILED;
		(void)snprintf(said.disposition.text, sizeof(said.disposition.text),
		               "its bytes do not have the hash that was recorded at receipt");
	}
	if (said.record || !holds)
		checkpoint_disposition(p->checkpoint, &said.disposition);
	if (it->mail.import)
		checkpoint_ledger(p->checkpoint, it->mail.ledger, &it->mail.id);
	return RC_OK;
}

static enum rc judge_item(struct pipeline *p, const struct config *c, struct lobby_item *it,
                          const struct parse_job *job, bool *refused, struct err *e)
{
	enum rc rc = RC_OK;

	*refused = false;
	if (it->readable)
		rc = judge_readable(p, c, it, job, refused, e);
	else
		note_unreadable(p, it);
	if (rc == RC_OK && !*refused)
		lobby_settle(p->lobby, it, p->checkpoint);
	return rc;
}

/* What the spool, the worker and the envelope gave; nothing of it is used any more. */
static void batch_clear(struct pipeline *p, struct batch *b)
{
	for (size_t i = 0; i < b->count; i++) {
		parse_job_free(&b->jobs[i]);
		if (b->items[i])
			lobby_done(p->lobby, b->items[i]);
	}
	b->count = 0;
}

static enum rc judge_batch(struct pipeline *p, struct batch *b, struct err *e)
{
	struct config *c = p->parts.config(p->parts.arg);
	struct pipeline_totals through = { 0 };
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < b->count; i++) {
		bool refused;

		rc = judge_item(p, c, b->items[i], &b->jobs[i], &refused, e);
		if (refused) {
			lobby_hold(p->lobby, b->items[i], clock_mono_ms() + REPLY_MS);
			b->items[i] = NULL;
			continue;
		}
		through.messages++;
		if (b->jobs[i].outcome != PARSE_OK)
			through.unparsed++;
	}
	config_unref(&c);
	(void)pthread_mutex_lock(&p->lock);
	p->totals.messages += through.messages;
	p->totals.unparsed += through.unparsed;
	(void)pthread_mutex_unlock(&p->lock);
	return rc;
}

static struct batch *batch_at(struct pipeline *p, unsigned behind)
{
	return &p->batches[(p->ready + behind) % BATCHES];
}

/* Until the batch that is filed is in store and index. */
static enum rc end_filing(struct pipeline *p, struct err *e)
{
	enum rc rc = filing_wait(p->filing, e);

	batch_clear(p, batch_at(p, 2));
	return rc;
}

/* Judges the batch that is parsed, while the one before is filed, and hands it on to be filed. */
static enum rc file_ready(struct pipeline *p, struct err *e)
{
	enum rc judged = judge_batch(p, batch_at(p, 0), e);
	enum rc filed = end_filing(p, judged == RC_OK ? e : NULL);

	if (judged != RC_OK || filed != RC_OK) {
		filing_forget(p->filing);
		return judged != RC_OK ? judged : filed;
	}
	filing_begin(p->filing);
	return RC_OK;
}

/* Reads the next batch and has it parsed while the one before is judged, and the one before that
 * filed. */
static enum rc turn(struct pipeline *p, struct err *e)
{
	struct batch *fresh = batch_at(p, 1);
	enum rc filed;
	enum rc parsed = RC_OK;
	enum rc rc = fill_batch(p, fresh, e);

	if (rc == RC_OK && fresh->count)
		rc = parse_begin(p->pool, fresh->jobs, fresh->count, e);
	if (rc != RC_OK)
		return rc;
	filed = file_ready(p, e);
	if (fresh->count)
		parsed = parse_wait(p->pool, filed == RC_OK ? e : NULL);
	p->ready = (p->ready + 1) % BATCHES;
	return filed != RC_OK ? filed : parsed;
}

/* ---- the thread ---- */

static void publish(struct pipeline *p)
{
	uint64_t done = checkpoint_done(p->checkpoint);

	logs_commit(p->parts.logs);
	(void)pthread_mutex_lock(&p->lock);
	p->done = done;
	p->totals.checkpoints++;
	(void)pthread_cond_broadcast(&p->changed);
	(void)pthread_mutex_unlock(&p->lock);
}

static bool stopping(struct pipeline *p)
{
	bool stop;

	(void)pthread_mutex_lock(&p->lock);
	stop = p->stop;
	(void)pthread_mutex_unlock(&p->lock);
	return stop;
}

static bool due(struct pipeline *p, bool more)
{
	int64_t age = checkpoint_age_ms(p->checkpoint);

	if (age < 0)
		return false;
	if (!more)
		return age >= CHECKPOINT_MIN_MS || stopping(p);
	return age >= CHECKPOINT_MAX_MS || store_buffered(p->parts.store) >= CHECKPOINT_BYTES;
}

/* From here to the end of the spool, as it is now, messages come that may be in the queue. */
static void read_again(struct pipeline *p)
{
	free(p->again);
	p->again = NULL;
	if (p->parts.queue)
		spool_mark(p->parts.spool, &p->again, &p->again_count);
}

/* A message that has ended in the queue is known there by its id, until it is told: no more of its
 * kind may come from the spool. */
static bool may_tell(struct pipeline *p)
{
	if (!p->parts.queue || !queue_untold(p->parts.queue))
		return false;
	if (p->again && spool_behind(p->parts.spool, p->again, p->again_count) > 0)
		return false;
	free(p->again);
	p->again = NULL;
	return true;
}

/* Everything since the last checkpoint comes again from the spool: what of it is in the store
 * already is found there, and the index has none of it. (Which messages beyond the positions are
 * done: when that can't be read they are judged once more.) With `writing` held. */
static void take_back(struct pipeline *p)
{
	read_again(p);
	(void)!filing_wait(p->filing, NULL);
	filing_forget(p->filing);
	for (unsigned i = 0; i < BATCHES; i++)
		batch_clear(p, &p->batches[i]);
	lobby_clear(p->lobby);
	index_rollback(p->parts.index);
	checkpoint_forget(p->checkpoint);
	logs_forget(p->parts.logs);
	if (p->parts.queue)
		queue_take_back(p->parts.queue);
	spool_rewind(p->parts.spool);
	(void)!lobby_resume(p->lobby, NULL);
}

static void set_stuck(struct pipeline *p)
{
	(void)pthread_mutex_lock(&p->lock);
	p->stuck = p->seal_failure.code == RC_NOSPACE;
	(void)pthread_mutex_unlock(&p->lock);
}

static bool is_stuck(struct pipeline *p)
{
	bool stuck;

	(void)pthread_mutex_lock(&p->lock);
	stuck = p->stuck;
	(void)pthread_mutex_unlock(&p->lock);
	return stuck;
}

/* Whether another try of all since the last checkpoint helps, which then comes: there was no room,
 * or a damaged shard of the index was given up (*again). */
static bool try_again(struct pipeline *p, enum rc rc, bool *again)
{
	*again = rc == RC_CORRUPT && index_gave_up(p->parts.index) && p->given_up++ < GIVEN_UP;
	if (rc != RC_NOSPACE && !*again)
		return false;
	take_back(p);
	return true;
}

/* Checkpointed, so nothing need be taken back when sealing fails; it is tried again. With `writing`
 * held. */
static enum rc write_checkpoint(struct pipeline *p, bool *again, struct err *e)
{
	enum rc rc = checkpoint_write(p->checkpoint, e);

	*again = false;
	if (rc == RC_OK) {
		p->given_up = 0;
		publish(p);
		p->unsealed = true;
	} else {
		(void)try_again(p, rc, again);
	}
	return rc;
}

/* As long as there is no room to seal what is full the disk is full, though all mail be archived.
 * What else passes (no thread, no memory, a lock) only leaves shards that aren't packed yet; it
 * says nothing of the disk, and room says nothing of it. */
static enum rc seal_failed(struct pipeline *p, enum rc rc, struct err *e)
{
	(void)err_in(e, "seal a shard");
	if (rc != RC_AGAIN && rc != RC_LIMIT) {
		backoff_failed(&p->seal_backoff, clock_mono_ms(), index_room(p->parts.index),
		               e->sys == ENOSPC);
		p->seal_failure = *e;
		return rc;
	}
	log_warn("%s; it is tried again", e->text);
	backoff_failed(&p->seal_backoff, clock_mono_ms(), BACKOFF_ANY_ROOM, true);
	if (p->seal_failure.code != RC_NOSPACE) {
		p->seal_failure = *e;
		return RC_OK;
	}
	*e = p->seal_failure;
	return RC_NOSPACE;
}

static enum rc seal(struct pipeline *p, struct err *e)
{
	bool busy;
	enum rc rc;

	if (!p->unsealed)
		return RC_OK;
	if (backoff_waits(&p->seal_backoff, clock_mono_ms(), index_room(p->parts.index))) {
		*e = p->seal_failure;
		return e->code == RC_NOSPACE ? RC_NOSPACE : RC_OK;
	}
	rc = index_seal_beside(p->parts.index, &busy, e);
	if (rc != RC_OK)
		return seal_failed(p, rc, e);
	p->unsealed = busy;
	if (busy)
		return RC_OK;
	if (p->seal_failure.code == RC_AGAIN || p->seal_failure.code == RC_LIMIT)
		log_info("shards are sealed again");
	p->seal_backoff = (struct backoff) { 0 };
	p->seal_failure = (struct err) { 0 };
	return RC_OK;
}

/* Some batches of what is there now; *more says whether one is under way. Whoever gets the lock
 * next finds store and index at rest. *age_ms: how long what was filed waits for its checkpoint
 * (-1: nothing does). */
static enum rc step(struct pipeline *p, bool *more, int64_t *age_ms, struct err *e)
{
	enum rc rc = RC_OK;
	enum rc filed;
	bool again = false;

	(void)pthread_mutex_lock(p->parts.writing);
	*more = true;
	for (unsigned i = 0; rc == RC_OK && *more && i < TURNS; i++) {
		rc = turn(p, e);
		*more = batch_at(p, 0)->count > 0;
		if (due(p, *more))
			break;
	}
	filed = end_filing(p, rc == RC_OK ? e : NULL);
	rc = rc == RC_OK ? filed : rc;
	if (may_tell(p))
		checkpoint_queue(p->checkpoint);
	if (!try_again(p, rc, &again) && rc == RC_OK && due(p, *more))
		rc = write_checkpoint(p, &again, e);
	if (again)
		rc = RC_OK;
	else if (rc == RC_OK && checkpoint_age_ms(p->checkpoint) < 0)
		rc = seal(p, e);
	*more = again || (*more && rc != RC_NOSPACE);
	*age_ms = checkpoint_age_ms(p->checkpoint);
	set_stuck(p);
	(void)pthread_mutex_unlock(p->parts.writing);
	return rc;
}

static struct timespec in_ms(int64_t ms)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* tidy: what pthread_cond_timedwait takes */
	t.tv_nsec += (ms < 1 ? 1 : ms) * 1000000;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

/* First a moment in which nothing wakes it, then until woken, or for a while. True when the thread
 * is to end. Without that moment each message that came singly would wake workers and threads
 * alone. */
static bool rest(struct pipeline *p, int64_t age)
{
	struct timespec gathered = in_ms(GATHER_MS);
	struct timespec until = in_ms(age >= 0 ? CHECKPOINT_MIN_MS - age + 1 : IDLE_MS);
	bool stop;

	if (p->full)
		until = in_ms(FULL_MS);
	(void)pthread_mutex_lock(&p->lock);
	while (!p->stop && pthread_cond_timedwait(&p->changed, &p->lock, &gathered) != ETIMEDOUT)
		;
	p->resting = true;
	while ((!p->woken || p->full) && !p->stop &&
	       pthread_cond_timedwait(&p->changed, &p->lock, &until) != ETIMEDOUT)
		;
	p->resting = false;
	p->woken = false;
	stop = p->stop;
	(void)pthread_mutex_unlock(&p->lock);
	return stop;
}

static void fail(struct pipeline *p, const struct err *e)
{
	log_error("the pipeline stops: %s; the spool keeps what is not archived", e->text);
	(void)pthread_mutex_lock(&p->lock);
	p->failure = *e;
	if (p->failure.code == RC_OK)
		p->failure.code = RC_IO;
	(void)pthread_cond_broadcast(&p->changed);
	(void)pthread_mutex_unlock(&p->lock);
	if (p->parts.failed)
		p->parts.failed(p->parts.arg, e);
}

static void set_full(struct pipeline *p, bool full, const struct err *e)
{
	if (p->full == full)
		return;
	if (full)
		log_error("the disk is full: %s; the spool keeps what is not archived", e->text);
	else
		log_info("the disk has room again");
	(void)pthread_mutex_lock(&p->lock);
	p->full = full;
	(void)pthread_mutex_unlock(&p->lock);
	if (p->parts.full)
		p->parts.full(p->parts.arg, full);
}

static void *run(void *arg)
{
	struct pipeline *p = arg;
	struct err e = { 0 };
	bool more = false;
	bool stop = false;
	int64_t age;

	background_thread();
	while (!stop || more) {
		enum rc rc = step(p, &more, &age, &e);

		if (rc != RC_OK && rc != RC_NOSPACE) {
			fail(p, &e);
			return NULL;
		}
		if (rc == RC_NOSPACE)
			set_full(p, true, &e);
		else if (!more && age < 0 && !is_stuck(p))
			set_full(p, false, &e);
		stop = more ? stopping(p) : rest(p, age);
	}
	(void)pthread_mutex_lock(p->parts.writing);
	if (checkpoint_age_ms(p->checkpoint) >= 0 && checkpoint_write(p->checkpoint, &e) != RC_OK)
		fail(p, &e);
	else
		publish(p);
	(void)pthread_mutex_unlock(p->parts.writing);
	return NULL;
}

/* ---- from outside ---- */

enum rc pipeline_new(struct pipeline **out, const struct pipeline_parts *parts, struct err *e)
{
	struct pipeline *p = mem_new(sizeof(*p));
	pthread_condattr_t attributes;
	enum rc rc;

	*out = NULL;
	p->parts = *parts;
	p->checkpoint = checkpoint_new(parts);
	p->lobby = lobby_new(parts);
	MUST(pthread_mutex_init(&p->lock, NULL) == 0);
	MUST(pthread_condattr_init(&attributes) == 0);
	MUST(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
	MUST(pthread_cond_init(&p->changed, &attributes) == 0);
	(void)pthread_condattr_destroy(&attributes);
	rc = lobby_resume(p->lobby, e);
	read_again(p);
	if (rc == RC_OK)
		rc = parse_pool_new(&p->pool, parts->workers, NULL, e);
	if (rc == RC_OK)
		rc = filing_new(&p->filing, parts->store, parts->index, e);
	p->judge = judge_new(parts, p->filing);
	if (rc == RC_OK && pthread_create(&p->thread, NULL, run, p) != 0)
		rc = err_set(e, RC_LIMIT, "no thread for the pipeline");
	p->running = rc == RC_OK;
	if (rc != RC_OK) {
		pipeline_free(&p);
		return rc;
	}
	*out = p;
	return RC_OK;
}

void pipeline_free(struct pipeline **pp)
{
	struct pipeline *p = *pp;

	if (!p)
		return;
	if (p->running) {
		(void)pthread_mutex_lock(&p->lock);
		p->stop = true;
		(void)pthread_cond_broadcast(&p->changed);
		(void)pthread_mutex_unlock(&p->lock);
		(void)pthread_join(p->thread, NULL);
	}
	parse_pool_free(&p->pool);
	filing_free(&p->filing);
	for (size_t i = 0; i < BATCHES; i++)
		batch_clear(p, &p->batches[i]);
	take_answers(p);
	free(p->again);
	lobby_free(&p->lobby);
	judge_free(&p->judge);
	checkpoint_free(&p->checkpoint);
	(void)pthread_mutex_destroy(&p->lock);
	(void)pthread_cond_destroy(&p->changed);
	free(p);
	*pp = NULL;
}

void pipeline_wake(struct pipeline *p)
{
	(void)pthread_mutex_lock(&p->lock);
	p->woken = true;
	if (p->resting)
		(void)pthread_cond_broadcast(&p->changed);
	(void)pthread_mutex_unlock(&p->lock);
}

void pipeline_answered(struct pipeline *p, const struct message_id *id, bool refused)
{
	struct answered *a = mem_new(sizeof(*a));

	a->id = *id;
	a->refused = refused;
	(void)pthread_mutex_lock(&p->lock);
	a->next = p->answers;
	p->answers = a;
	(void)pthread_mutex_unlock(&p->lock);
	pipeline_wake(p);
}

const struct err *pipeline_failure(struct pipeline *p)
{
	bool failed;

	(void)pthread_mutex_lock(&p->lock);
	failed = p->failure.code != RC_OK;
	(void)pthread_mutex_unlock(&p->lock);
	return failed ? &p->failure : NULL;
}

enum rc pipeline_checkpoint(struct pipeline *p, struct err *e)
{
	enum rc rc = RC_OK;
	bool again;

	if (pipeline_failure(p))
		return err_set(e, RC_IO, "the pipeline has stopped: %s", p->failure.text);
	if (checkpoint_age_ms(p->checkpoint) < 0)
		return RC_OK;
	rc = write_checkpoint(p, &again, e);
	if (again)
		return err_set(e, RC_AGAIN, "a damaged shard of the index was given up: try again");
	if (rc != RC_OK && rc != RC_NOSPACE)
		take_back(p); /* it is half done: the thread does all of it again, or fails */
	return rc;
}

bool pipeline_full(struct pipeline *p)
{
	bool full;

	(void)pthread_mutex_lock(&p->lock);
	full = p->full;
	(void)pthread_mutex_unlock(&p->lock);
	return full;
}

void pipeline_count(struct pipeline *p, struct pipeline_totals *out)
{
	(void)pthread_mutex_lock(&p->lock);
	*out = p->totals;
	(void)pthread_mutex_unlock(&p->lock);
}

/* A stream of further messages doesn't keep it waiting. */
enum rc pipeline_drain(struct pipeline *p, int64_t ms, struct err *e)
{
	int64_t until = ms > INT64_MAX - clock_mono_ms() ? INT64_MAX : clock_mono_ms() + ms;
	struct spool_mark *marks;
	size_t count;
	uint64_t left;
	enum rc rc = RC_AGAIN;

	spool_mark(p->parts.spool, &marks, &count);
	while (rc == RC_AGAIN) {
		left = spool_behind(p->parts.spool, marks, count);
		if (pipeline_failure(p)) {
			rc = err_set(e, RC_IO, "the pipeline has stopped: %s", p->failure.text);
		} else if (left == 0) {
			rc = RC_OK;
		} else if (clock_mono_ms() >= until) {
			(void)err_set(e, RC_AGAIN, "%llu messages are still in the spool",
			              (unsigned long long)left);
			break;
		} else {
			pipeline_wake(p);
			clock_sleep_ms(20);
		}
	}
	free(marks);
	return rc;
}
