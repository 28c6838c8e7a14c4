/*
 * ingest/checkpoint.h - what the pipeline has done since the last checkpoint, and making it last
 *
 * Order    store_sync -> block roots into the audit log, synced -> index_commit -> queue_land -> one transaction of
 *          control.db with dispositions (also of what ended in the queue), ledger, spool positions and the audit
 *          log's head -> spool_done -> queue_told. Each points only to what was synced before it.
 * Beyond   What overtook another message (ingest/lobby.h) is noted one by one, until the position has come past it:
 *          what was decided about it is never decided again.
 * Threads  The pipeline's, with `writing` held.
 */
#ifndef MM_INGEST_CHECKPOINT_H
#define MM_INGEST_CHECKPOINT_H

#include "ingest/disposition.h"
#include "ingest/ledger.h"
#include "ingest/pipeline.h"

struct checkpoint;

struct checkpoint *checkpoint_new(const struct pipeline_parts *parts);
void checkpoint_free(struct checkpoint **c);

void checkpoint_disposition(struct checkpoint *c, const struct disposition *d);
void checkpoint_ledger(struct checkpoint *c, const uint8_t key[LEDGER_KEY],
		       const struct message_id *id);
/* One more message is done. */
void checkpoint_message(struct checkpoint *c);
/* The queue has dispositions to be carried over. */
void checkpoint_queue(struct checkpoint *c);
/* All messages of its file before this position are done. */
void checkpoint_position(struct checkpoint *c, const struct spool_position *after);
/* This one is, and not all before it. */
void checkpoint_beyond(struct checkpoint *c, const struct spool_record *r);
/* Since the first thing that is not yet checkpointed; -1 when there is none. */
int64_t checkpoint_age_ms(const struct checkpoint *c);
/* Messages checkpointed since start. */
uint64_t checkpoint_done(const struct checkpoint *c);
/* What is not checkpointed comes again from the spool. */
void checkpoint_forget(struct checkpoint *c);
enum rc checkpoint_write(struct checkpoint *c, struct err *e) MUST_USE;

/* A message that is done beyond its file's position. */
struct beyond {
	uint64_t file;
	uint64_t offset; /* behind its record */
	struct message_id id;
};
/* Those of the last checkpoint, by file and offset; the caller frees *out. */
enum rc checkpoint_beyond_read(struct db *control, struct beyond **out, size_t *count,
			       struct err *e) MUST_USE;

#endif
