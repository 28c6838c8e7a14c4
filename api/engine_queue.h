/*
 * api/engine_queue.h - the outbound queue of an open data directory, and in mmd its runner, on a thread of its own
 *
 * What     Whoever has the directory parks what rules ask for beyond this machine; mmd alone carries it out. Tools
 *          leave that to
 *          the next mmd.
 * Threads  engine_queue_open, _start, _close: who opens and closes the engine. engine_queue_wake: any.
 */
#ifndef MM_API_ENGINE_QUEUE_H
#define MM_API_ENGINE_QUEUE_H

#include "api/engine.h"
#include "ingest/queue/queue.h"

struct engine_queue;

/* The file alone; ahead of the pipeline. */
enum rc engine_queue_open(struct engine_queue **out, struct engine *en, const struct engine_options *opt,
			  struct err *e) MUST_USE;
/* The runner, where `opt->sends`; behind the pipeline. */
enum rc engine_queue_start(struct engine_queue *q, struct engine *en, const struct engine_options *opt,
			   struct err *e) MUST_USE;
/* Behind the pipeline's end, which may still park. Ends the runner; NULL is fine. */
void engine_queue_close(struct engine_queue **q);
struct queue *engine_queue_of(struct engine_queue *q);
/* Tasks were made due by hand. */
void engine_queue_wake(struct engine_queue *q);

#endif
