/*
 * ingest/spool/spool.h - the spool as mmd sees it: files made, records read back, files finished
 *
 * What     Makes the files that writers write (spool_make_file, spool_make_big), reads accepted
 *          messages in order (spool_next), and forgets what the pipeline has checkpointed (spool_done).
 * Why      The spool is the write-ahead log of everything behind it: what isn't checkpointed is read
 *          again after a restart.
 * Files    DIR/spool/NNNNNNNN.spool and .big. Each spool file has a KEY_SPOOL whose 32 bytes are its X25519
 *          secret key. A file that is ended and wholly checkpointed loses its key, then is kept as a spare
 *          (overwriting is faster than appending) or unlinked. A file without a live key is a spare.
 * Live     A file given to a running writer is read up to what spool_durable told. Files found at open,
 *          and all files of a writer after spool_writer_gone, are settled: read to their end.
 * Order    New file: key synced, then the file, its zeros and its name; then it is handed out. Finished
 *          file: position committed by the pipeline, then its key destroyed, then reuse or unlink.
 * Damage   A record that doesn't authenticate where the file is known to have been synced (a later record
 *          or the writer says so) is damage: told to `damage`, counted, skipped. Otherwise it is a torn
 *          tail: nothing in it was acknowledged. Intact records behind either are read.
 * Position {file, offset, records}: the pipeline stores those of spool_positions in its checkpoint
 *          transaction, BEFORE it calls spool_done, and seeds them at open.
 * Fails    RC_NOSPACE when the spool's limit or the disk is full. RC_IO from spool_next is a read error of
 *          the system: nothing was skipped, call again or stop.
 * Threads  spool_next, spool_done, spool_positions: one thread (the pipeline). The others: any.
 * On disk  docs/formats.md, "Spool"
 */
#ifndef MM_INGEST_SPOOL_SPOOL_H
#define MM_INGEST_SPOOL_SPOOL_H

#include "base/buf.h"
#include "base/id.h"
#include "ingest/spool/writer.h"
#include "store/keyring.h"

struct spool;

/* Everything before it in this file is checkpointed. Three integers to be stored as they are. */
struct spool_position {
	uint64_t file;
	uint64_t offset;
	uint64_t records;
};

struct spool_options {
	uint64_t file_bytes;    /* capacity of a new file, a multiple of 4096; 0: 64 MiB */
	uint64_t max_bytes;     /* all files of the spool together; 0: 4 GiB */
	uint64_t message_bytes; /* a larger message in a big file is damage; 0: LIMIT_MESSAGE_BYTES */
	unsigned spares;        /* finished files kept for reuse; 0: 4 */
	/* Damage, on the thread of spool_next. `text` says what; may be NULL (it is logged anyway). */
	void (*damage)(void *app, uint64_t file, uint64_t offset, const char *text);
	void *app;
	/* What the last checkpoint stored; files that are gone are fine. */
	const struct spool_position *positions;
	size_t                       positions_count;
	int64_t                      newest_ms; /* the newest receipt time known at it */
};

/* `dir` is the data directory; DIR/spool is made if absent. crypt_init was called. */
enum rc spool_open(struct spool **out, const char *dir, struct keyring *kr,
		   const struct spool_options *opt, struct err *e) MUST_USE;
/* Nothing is finished or removed by it. */
void spool_close(struct spool **sp);

struct spool_new_file {
	uint64_t number;
	int      fd; /* the caller's: pass it to the writer and close it, or give it to a writer here */
	uint64_t capacity;         /* 0 for a big file */
	uint8_t  public_key[32];   /* not for a big file */
};
/* Writes file_bytes of zeros where there is no spare, so don't call it on an event loop. */
enum rc spool_make_file(struct spool *sp, unsigned writer, struct spool_new_file *out,
			struct err *e) MUST_USE;
enum rc spool_make_big(struct spool *sp, unsigned writer, struct spool_new_file *out,
		       struct err *e) MUST_USE;

/* What the writer's `progress` told. A file that isn't its own or a smaller offset is ignored. */
void spool_durable(struct spool *sp, unsigned writer, uint64_t file, uint64_t offset,
		   uint64_t messages);
/* The writer's process has ended (or its writer was freed): its files are settled as they are. Call it
 * before a new writer with the same number gets files. */
void spool_writer_gone(struct spool *sp, unsigned writer);

struct spool_record {
	unsigned              writer; /* whose file it was in: mmd's own knowledge, not the writer's word */
	struct message_id     id;
	int64_t               received_ms; /* that of the id */
	struct slice          meta; /* into bytes */
	struct slice          raw;  /* into bytes */
	uint8_t               sha256[32];
	struct spool_position after; /* for spool_done once this and all before it are checkpointed */
	struct buf            bytes; /* the record owns it; several records may be kept at a time */
};
void spool_record_init(struct spool_record *r);
void spool_record_free(struct spool_record *r);

/* The next message that is readable: of each writer in order of its commits, the writers in turn.
 * Reuses r->bytes. RC_AGAIN: nothing now. */
enum rc spool_next(struct spool *sp, struct spool_record *r, struct err *e) MUST_USE;
/* This and everything before it in its file is checkpointed (committed by the pipeline). Big files up to
 * here are unlinked; a file that is ended and wholly done loses its key. Call it for the last record of
 * each file of a batch. */
enum rc spool_done(struct spool *sp, const struct spool_position *upto, struct err *e) MUST_USE;
/* Reading begins again behind what is done, as after a restart: when a checkpoint failed. */
void spool_rewind(struct spool *sp);
/* The positions to store so that `upto` (several; one a file at most; the last of each batch) are
 * done: every file's own with those of `upto` taken over. Caller frees *out. */
void spool_positions(struct spool *sp, const struct spool_position *upto, size_t upto_count,
		     struct spool_position **out, size_t *count);

/* The newest receipt time known, for the next writer's floor. What a running writer spooled counts as
 * received when mmd heard of it; what was found at open was looked through then. A writer that was
 * broken into can move it by a second, or by what it spooled before mmd ended by a week. Any thread. */
int64_t spool_newest_ms(struct spool *sp);

struct spool_totals {
	uint64_t messages; /* accepted and not done; a settled file not read to its end counts one more */
	uint64_t bytes;    /* of spool files between done and durable */
	uint64_t disk_bytes;
	uint64_t damaged;  /* records lost to damage since open */
	unsigned files;    /* that are neither done nor spare */
	unsigned spares;
};
void spool_backlog(struct spool *sp, struct spool_totals *out);
/* True while a file with a record of before `mono_ms` (clock_mono_ms) still has its key, whether or not
 * that record is done. *moved is another number whenever something of such files was done since. */
bool spool_holds_since(struct spool *sp, int64_t mono_ms, uint64_t *moved);
/* True when all files that were found at open have been read to their end. */
bool spool_recovered(struct spool *sp);

/* What is in one file of the spool at this moment. */
struct spool_mark {
	uint64_t file;
	uint64_t records; /* UINT64_MAX: of a settled file that isn't read to its end, so all of it */
};
/* All that is accepted now. The caller frees *out. */
void     spool_mark(struct spool *sp, struct spool_mark **out, size_t *count);
/* How many of the marked messages are not done; what came later doesn't count. */
uint64_t spool_behind(struct spool *sp, const struct spool_mark *marks, size_t count);

#endif
