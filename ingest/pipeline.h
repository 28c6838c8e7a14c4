/*
 * ingest/pipeline.h - from the spool into the archives
 *
 * What     One thread that reads accepted messages from the spool in batches, has them parsed by the
 *          sandboxed workers, judges them by the rule set version that was fixed at commit, and puts
 *          them into store and index. While one batch is parsed the one before is stored.
 * Order    At a checkpoint: store synced -> block roots in the audit log, synced -> index committed -> outbound queue
 *          committed -> dispositions, ledger and spool positions committed -> spool moves on. A kill anywhere
 *          replays from the spool; ids make the replay harmless (first copy wins).
 * Fails    A message that can't be parsed is archived raw and marked. On a full disk everything since
 *          the last checkpoint is taken back and read again from the spool, every second until there
 *          is room; `full` is told. A full shard that can't be sealed for want of memory, a thread or
 *          a lock stays open for a while. Any other error is not worked around: the pipeline stops,
 *          `failed` is called, the spool keeps everything, and the next start recovers.
 * Threads  Its own; pipeline_wake from any.
 */
#ifndef MM_INGEST_PIPELINE_H
#define MM_INGEST_PIPELINE_H

#include <pthread.h>

#include "index/index.h"
#include "ingest/config.h"
#include "ingest/spool/spool.h"
#include "store/audit.h"
#include "store/store.h"

struct pipeline;
struct queue;
struct verdicts;

/* All borrowed; they outlive the pipeline. */
struct pipeline_parts {
	struct keyring  *keys;
	struct store    *store;
	struct index    *index;
	struct audit    *audit;
	struct db       *control; /* used with `writing` held */
	struct spool    *spool;
	struct verdicts *verdicts; /* NULL: none are asked for */
	struct logs     *logs;     /* NULL: none are written */
	struct scans    *scans;    /* the same */
	struct queue    *queue;    /* for tasks (docs/outbound.md); NULL: rules that ask for one fail */
	pthread_mutex_t *writing;
	struct config *(*config)(void *arg); /* the current snapshot, with a reference */
	void (*failed)(void *arg, const struct err *e); /* on the pipeline's thread; may be NULL */
	void (*full)(void *arg, bool full); /* the disk is, or is no longer; the same */
	/* To be told to the sender of a message that has `judge_first`, who waits: 550 with `text`, or (not
	 * `refuse`) 250. pipeline_answered follows a refusal. On the pipeline's thread. NULL: nobody waits. */
	void (*judged)(void *arg, const struct message_id *id, bool refuse, const char *text);
	void    *arg;
	unsigned workers; /* mm-parse processes */
	bool keep_anchor; /* the audit log was cut: what it had is not forgotten (ingest/anchor.h) */
};

enum rc pipeline_new(struct pipeline **out, const struct pipeline_parts *parts,
		     struct err *e) MUST_USE;
/* Finishes the batch at hand, checkpoints, joins the thread. NULL is fine. */
void    pipeline_free(struct pipeline **p);
/* There may be something in the spool. */
void    pipeline_wake(struct pipeline *p);
/* Was the sender told so (parts.judged)? Any thread. */
void    pipeline_answered(struct pipeline *p, const struct message_id *id, bool refused);
/* Waits until everything accepted before the call is checkpointed, at most `ms`. RC_AGAIN when the
 * time is over, RC_IO when the pipeline has failed. */
enum rc pipeline_drain(struct pipeline *p, int64_t ms, struct err *e) MUST_USE;
/* With `writing` held: makes everything last that was put into store and index so far, so that whoever
 * holds the lock works on what is on disk. */
enum rc pipeline_checkpoint(struct pipeline *p, struct err *e) MUST_USE;
/* NULL while it works. */
const struct err *pipeline_failure(struct pipeline *p);
/* It waits for the disk to have room. */
bool    pipeline_full(struct pipeline *p);

struct pipeline_totals {
	uint64_t messages;   /* through since start */
	uint64_t unparsed;   /* of them: the worker died or ran too long */
	uint64_t checkpoints;
};
void pipeline_count(struct pipeline *p, struct pipeline_totals *out);

/* The tables that checkpoints write to. */
enum rc pipeline_prepare(struct db *control, struct err *e) MUST_USE;
/* Positions of the last checkpoint, for spool_open; the caller frees *out. */
enum rc pipeline_positions(struct db *control, struct spool_position **out, size_t *count,
			   struct err *e) MUST_USE;
/* The newest receipt time known at it, for spool_open; 0 when there was none. */
enum rc pipeline_newest(struct db *control, int64_t *ms, struct err *e) MUST_USE;

#endif
