/*
 * ingest/queue/run.h - carries out what the outbound queue has
 *
 * What     Takes tasks that are due, destination by destination (schedule.h), has them sent (ingest/outbound.h) or
 *          called
 *          (ingest/calls.h), and puts down what came of it: done, again later, a notice to the sender, or a dead
 *          letter
 *          (docs/outbound.md, "What comes of a task").
 * Commit   Results are committed 100 ms after the first one of them: what a kill takes of them is done once more.
 * Trouble  A full disk: what was lost is read anew from the queue, every second until there is room. All else of the
 *          queue's file is final: `broken`.
 * Owner    Everything in the options outlives the runner.
 * Threads  The loop's; queue_set_woken is the caller's, who posts runner_wake.
 */
#ifndef MM_INGEST_QUEUE_RUN_H
#define MM_INGEST_QUEUE_RUN_H

#include "base/home.h"
#include "base/loop.h"
#include "ingest/config.h"
#include "ingest/logs.h"
#include "ingest/outbound_settings.h"
#include "ingest/queue/queue.h"
#include "store/db.h"

struct runner;

struct runner_options {
	struct loop *loop;
	struct queue *queue;
	struct home *sender; /* of mm-deliver, for mail and for calls; NULL: such tasks fail as not configured */
	struct home *caller;
	const json_t *send;      /* sections of the configuration, checked; may be NULL */
	const json_t *endpoints;
	const char *hostname;
	const char *instance;    /* of the data directory */
	struct logs *logs;       /* NULL: none are written */
	struct config *(*config)(void *arg); /* the current snapshot, with a reference */
	/* A connection to control.db to read by: keys and secrets; `give_back` follows. */
	enum rc (*borrow)(void *arg, struct db **out, struct err *e);
	void (*give_back)(void *arg, struct db **db);
	void (*broken)(void *arg, const struct err *e);
	void *arg;
};

enum rc runner_new(struct runner **out, const struct runner_options *o, struct err *e) MUST_USE;
/* What is under way is given up: it is tried again by the next one. NULL is fine. */
void runner_free(struct runner **r);
/* There may be something due. */
void runner_wake(struct runner *r);

#endif
