/*
 * ingest/spool/writer.h - messages into the spool; the only way to a proof for 250
 *
 * What     Drafts are filled on the event-loop thread. Committed ones go, a whole loop iteration's at
 *          once, to one writer thread, which seals them, writes them with one call and syncs once for
 *          all that wait. The proof of that sync comes back with each.
 * Why      A sender waits for one sync that it shares; the loop never waits for the disk.
 * Files    mmd makes them (ingest/spool/spool.h); ops.need_file and ops.need_big ask for one each, and
 *          the request stands until spool_writer_give_file or _give_big answers it. A message up to
 *          LIMIT_SPOOL_INLINE (or a quarter of the file) waits in memory and becomes one record; a
 *          larger one streams, sealed, into a big file that is synced before its record is written.
 * Order    header of the file and records, one sync, then `progress` and `done`. For a large
 *          message: its bytes, sync, then its record. Records of a file are in order of id.
 * Id, time Fixed when the record is sealed: the clock, never before the last one of this writer.
 * Owner    The loop thread owns the writer and its drafts. After spool_commit a draft is the
 *          writer's and `done` is called for it exactly once, whatever happens.
 * Fails    A write or sync that fails is final: no further proof from this writer; every waiting and
 *          later commit is done with the error, spool_begin gives RC_IO. Start a new process (or a new
 *          writer on new files). Only a full disk under a big file fails that draft alone.
 * Threads  All functions: the loop thread. The writer thread is inside.
 */
#ifndef MM_INGEST_SPOOL_WRITER_H
#define MM_INGEST_SPOOL_WRITER_H

#include "base/err.h"
#include "base/file.h"
#include "base/id.h"

struct spool_writer;
struct spool_draft;

#define SPOOL_WRITER_SMTP   0
#define SPOOL_WRITER_IMPORT 1
#define SPOOL_WRITERS       2

/* What a writer has asked for and not been given is never more than that. */
#define SPOOL_ASKED_FILES 2 /* the current one and the next */
#define SPOOL_ASKED_BIGS  64

struct spool_writer_options {
	unsigned writer;        /* SPOOL_WRITER_*: the top bit of the ids' sequence */
	size_t   memory;        /* bytes of all drafts and commits together; 0: 256 MiB */
	size_t   inline_bytes;  /* larger messages get a file; 0: LIMIT_SPOOL_INLINE, never more */
	unsigned backlog;       /* commits that may wait while no file is there; 0: 1000 */
	unsigned bigs_ready;    /* big files asked for ahead; 0: 2 */
	unsigned bigs_most;     /* open at a time, further drafts wait for one; 0: no limit */
	int64_t  floor_ms;      /* no message is received before this: the newest one known to mmd */
};

/* All are called on the loop thread, from spool_writer_flush, _reap or _stop; go_on from give_big and
 * _flush. */
struct spool_writer_ops {
	/* A file is wanted: answer with spool_writer_give_file, now or later, once a call. */
	void (*need_file)(void *app);
	void (*need_big)(void *app);
	/* All of the file up to `offset` is on disk and readable by mmd; it holds `messages` messages
	 * (for spool_durable). */
	void (*progress)(void *app, uint64_t file, uint64_t offset, uint64_t messages);
	/* The big file that the draft waited for has come (spool_draft_waits); `cookie` from
	 * spool_draft_owner. Not for a draft that is committed. May be NULL. */
	void (*go_on)(void *app, void *cookie);
	/* The fate of one commit. With a proof: it is on disk, `id` and `received_ms` are its own. Without
	 * (NULL): it is not ours, err says why (RC_NOSPACE: 452; else 451). The proof lives for the call. */
	void (*done)(void *app, void *cookie, const struct message_id *id, int64_t received_ms,
		     const struct durable *proof, const struct err *err);
};

/* Starts the thread. Nothing is asked before the first spool_writer_flush. `ops` is copied. */
enum rc spool_writer_new(struct spool_writer **out, const struct spool_writer_options *opt,
			 const struct spool_writer_ops *ops, void *app, struct err *e) MUST_USE;
/* Takes over `fd`, on failure too. RC_INVALID for a capacity that can't be. */
enum rc spool_writer_give_file(struct spool_writer *w, uint64_t number, int fd, uint64_t capacity,
			       const uint8_t public_key[32], struct err *e) MUST_USE;
void spool_writer_give_big(struct spool_writer *w, uint64_t number, int fd);

/* A new message. RC_NOSPACE: no memory left, or no file and `backlog` commits wait (452). RC_IO: the
 * writer has failed (451). */
enum rc spool_begin(struct spool_writer *w, struct spool_draft **out, struct err *e) MUST_USE;
/* RC_NOSPACE (452) or RC_IO (451): this draft can't become a message any more; abort it (a commit of
 * it would be done with the same error). May write up to some pieces of a large message to its file. */
enum rc spool_add(struct spool_draft *d, struct slice bytes, struct err *e) MUST_USE;
/* True while it waits for a big file: what is added meanwhile waits in memory, so whoever can should
 * hold its sender until ops.go_on. */
bool spool_draft_waits(const struct spool_draft *d);
void spool_draft_owner(struct spool_draft *d, void *cookie);
/* Legal before commit only. Empties the pointer; NULL is fine. */
void spool_abort(struct spool_draft **d);
/* Hands the draft over and empties the pointer. `meta` (≤ SPOOL_META_MAX) is copied. `done` follows
 * from a later spool_writer_reap, never from within this call. */
void spool_commit(struct spool_draft **d, struct slice meta, void *cookie);

/* At the end of each loop iteration: everything committed goes to the writer thread under one lock. */
void spool_writer_flush(struct spool_writer *w);
/* Readable when spool_writer_reap has something to do. */
int  spool_writer_event_fd(const struct spool_writer *w);
/* Calls progress, then done for what has finished. */
void spool_writer_reap(struct spool_writer *w);
/* Commits that are not done yet. */
size_t spool_writer_waiting(const struct spool_writer *w);
/* NULL while it works, else what ended it. */
const struct err *spool_writer_failed(const struct spool_writer *w);
/* Ends the current file soon, after what is committed (what is committed meanwhile may still go into it),
 * so that mmd can finish it; progress tells. Nothing happens when the file holds no message. */
void spool_writer_end_file(struct spool_writer *w);
/* Writes what was committed, ends the file, joins the thread, and calls progress and done for all.
 * Commits that no file was there for are done with RC_NOSPACE. Further commits are refused. */
void spool_writer_stop(struct spool_writer *w);
/* Stops if need be. All drafts must be committed or aborted before. */
void spool_writer_free(struct spool_writer **w);

#endif
