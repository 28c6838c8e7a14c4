#include "api/engine_queue.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "ingest/queue/run.h"
#include "store/crypt.h"

#define INSTANCE 17

struct engine_queue {
	struct engine *en;
	struct queue *queue;
	struct loop *loop;
	struct runner *runner;
	pthread_t thread;
	bool running;
	char instance[INSTANCE];
};

/* What our Received fields say of this directory; it says nothing of the key. */
static void make_instance(struct engine_queue *q)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
	uint8_t derived[KEY_BYTES];

	crypt_derive(derived, q->en->control_key, "mm instance 1");
	for (size_t i = 0; i + 1 < INSTANCE; i++)
		q->instance[i] = digits[derived[i] & 31];
	crypt_wipe(derived, sizeof(derived));
}

enum rc engine_queue_open(struct engine_queue **out, struct engine *en,
                          const struct engine_options *opt, struct err *e)
{
	struct outbound_settings s;
	struct engine_queue *q = mem_new(sizeof(*q));
	enum rc rc = outbound_settings_read(&s, opt->send, e);

	*out = NULL;
	q->en = en;
	if (rc == RC_OK)
		rc = queue_open(&q->queue, en->dir, en->keys, s.max_bytes, e);
	if (rc != RC_OK) {
		engine_queue_close(&q);
		return err_in(e, "the outbound queue");
	}
	make_instance(q);
	*out = q;
	return RC_OK;
}

/* ---- the thread ---- */

static void *run(void *arg)
{
	struct engine_queue *q = arg;

	loop_run(q->loop, NULL, NULL);
	return NULL;
}

static void wake_runner(void *arg)
{
	struct engine_queue *q = arg;

	if (q->runner)
		runner_wake(q->runner);
}

static void due_came(void *arg)
{
	engine_queue_wake(arg);
}

static void other_came(void *arg)
{
	struct engine_queue *q = arg;

	engine_wake_pipeline(q->en);
}

static struct config *config_of(void *arg)
{
	return engine_config(((struct engine_queue *)arg)->en);
}

static enum rc borrow(void *arg, struct db **out, struct err *e)
{
	return engine_reader(((struct engine_queue *)arg)->en, out, e);
}

static void give_back(void *arg, struct db **db)
{
	engine_reader_end(((struct engine_queue *)arg)->en, db);
}

static void broke(void *arg, const struct err *e)
{
	struct engine_queue *q = arg;

	(void)e;
	if (q->en->broken)
		q->en->broken(q->en->broken_arg);
}

enum rc engine_queue_start(struct engine_queue *q, struct engine *en,
                           const struct engine_options *opt, struct err *e)
{
	struct runner_options o = { .queue = q->queue,
		                    .sender = opt->sender_home,
		                    .caller = opt->caller_home,
		                    .send = opt->send,
		                    .endpoints = opt->endpoints,
		                    .hostname = opt->hostname ? opt->hostname : "localhost",
		                    .instance = q->instance,
		                    .logs = en->logs,
		                    .config = config_of,
		                    .borrow = borrow,
		                    .give_back = give_back,
		                    .broken = broke,
		                    .arg = q };
	enum rc rc;

	queue_set_woken(q->queue, opt->sends ? due_came : NULL, other_came, q);
	if (!opt->sends)
		return RC_OK;
	q->loop = o.loop = loop_new();
	rc = runner_new(&q->runner, &o, e);
	if (rc != RC_OK)
		return rc;
	if (pthread_create(&q->thread, NULL, run, q) != 0)
		return err_set(e, RC_LIMIT, "no thread for the outbound queue");
	q->running = true;
	return RC_OK;
}

void engine_queue_wake(struct engine_queue *q)
{
	if (q->loop)
		loop_post(q->loop, wake_runner, q);
}

static void stop(struct engine_queue *q)
{
	if (!q->queue)
		return;
	queue_set_woken(q->queue, NULL, NULL, NULL);
	if (q->running) {
		loop_stop(q->loop);
		MUST(pthread_join(q->thread, NULL) == 0);
		q->running = false;
	}
	runner_free(&q->runner);
	if (q->loop)
		loop_free(&q->loop);
}

void engine_queue_close(struct engine_queue **at)
{
	struct engine_queue *q = *at;

	*at = NULL;
	if (!q)
		return;
	stop(q);
	queue_close(&q->queue);
	free(q);
}

struct queue *engine_queue_of(struct engine_queue *q)
{
	return q ? q->queue : NULL;
}
