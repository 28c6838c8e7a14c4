/*
 * ingest/lobby.h - messages between the spool and their judgement
 *
 * What     Reads ahead from the spool, asks mm-verdict about each message (ingest/verdicts.h), and scanners about those
 *          whose rule set asks for it (ingest/scans.h), and gives out those
 *          whose verdict is there, the oldest first. So one whose lookups are slow holds up itself alone. Mail that
 *          needs no verdict (imports; all mail where no DNS is configured) is ready at once.
 *          Parked messages that are to be judged on (ingest/queue) come here, too: they have all that was found out.
 * Position The spool moves on behind the oldest message of a file that isn't done; the lobby knows which that is. What
 *          is done beyond it comes again after a crash, or when the spool is rewound: what the last checkpoint had
 *          of it (checkpoint_beyond) is left out; of the rest store and index find what they have by its id.
 * Limits   LOBBY_MESSAGES or LOBBY_BYTES of messages wait at a time (one is always let in), and LOBBY_PLACES done
 *          ones stand behind one that waits; then nothing more is read until it goes.
 * Owner    Items are the lobby's; their buffers are used again.
 * Threads  The pipeline's, with `writing` held; `woken` of verdicts comes from elsewhere.
 */
#ifndef MM_INGEST_LOBBY_H
#define MM_INGEST_LOBBY_H

#include "ingest/checkpoint.h"
#include "ingest/mail.h"
#include "ingest/past.h"
#include "ingest/pipeline.h"
#include "ingest/queue/queue.h"
#include "ingest/spool/spool.h"

#define LOBBY_MESSAGES 1024
#define LOBBY_BYTES    (32u << 20)
#define LOBBY_PLACES   65536

struct lobby;
struct lobby_place;
struct scans;
struct verdicts;

struct lobby_item {
	struct spool_record record;
	struct mail mail;
	bool readable; /* its envelope */
	bool parked;   /* it comes from the queue: */
	struct past past; /* how far its run came */
	/* private */
	struct queue_parked from_queue;
	struct lobby_item *next;
	struct lobby_place *place;
	uint64_t asked; /* its number at verdicts; 0: none */
	uint64_t scanned; /* the same at scans */
	int64_t held_until; /* 0: it isn't held */
	bool ready;
	bool refused;       /* what lobby_release said */
	bool answered;      /* it was held, and isn't any more */
};

/* Of the parts it uses spool, control, verdicts, scans and queue, which may be NULL, and config. */
struct lobby *lobby_new(const struct pipeline_parts *parts);
void lobby_free(struct lobby **l); /* NULL is fine; all items are back or given up */

/* The spool begins to be read behind the positions of the last checkpoint: what it had beyond them is to be left out.
 * When that can't be known nothing is. */
enum rc lobby_resume(struct lobby *l, struct err *e) MUST_USE;
/* Takes the verdicts that have come, and reads from the spool until so many messages, or bytes, are ready, or no more
 * fit, or there are none. `c` hears how far files are done by what is left out. Errors are the spool's. */
enum rc lobby_fill(struct lobby *l, size_t messages, size_t bytes, struct checkpoint *c, struct err *e) MUST_USE;
/* The oldest that is ready; NULL: none. It is the caller's until lobby_done or lobby_clear. */
struct lobby_item *lobby_take(struct lobby *l);
/* Back into the line, as its first, until lobby_release or `until_ms` of the monotonic clock. */
void lobby_hold(struct lobby *l, struct lobby_item *it, int64_t until_ms);
/* One that isn't held is fine. */
void lobby_release(struct lobby *l, const struct message_id *id, bool refused);
/* Store and index have it, or its disposition is noted: `c` hears how far its file is done. */
void lobby_settle(struct lobby *l, struct lobby_item *it, struct checkpoint *c);
/* Its bytes are used no more. */
void lobby_done(struct lobby *l, struct lobby_item *it);
/* Gives up everything that is in it, so that the spool can be rewound. Items that were taken are lobby_done before. */
void lobby_clear(struct lobby *l);
/* How many wait for their verdict. */
size_t lobby_waiting(const struct lobby *l);

#endif
