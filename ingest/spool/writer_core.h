/*
 * ingest/spool/writer_core.h - what the two sides of the writer share
 *
 * writer.c runs on the loop thread, writer_thread.c is the writer thread. A field belongs to the side
 * that its group names; `lock` guards the group that both use.
 */
#ifndef MM_INGEST_SPOOL_WRITER_CORE_H
#define MM_INGEST_SPOOL_WRITER_CORE_H

#include <pthread.h>
#include <stdatomic.h>

#include "ingest/spool/draft.h"

#define WRITER_RANDOM 512

struct writer_file {
	struct writer_file *next;
	uint64_t            number;
	uint64_t            capacity;
	uint8_t             public_key[SPOOL_KEY];
	struct file        *file;
	bool                begun; /* its header is written */
	uint8_t             epoch[SPOOL_EPOCH];
	uint8_t             chain[SPOOL_KEY];
	uint64_t            records;
	uint64_t            messages;
	uint64_t            durable; /* on disk up to here; the end of the last group */
};

struct writer_news { /* progress that the loop thread hasn't told yet */
	uint64_t file;
	uint64_t offset;
	uint64_t messages;
};

struct spool_writer {
	struct spool_writer_options opt;
	struct spool_writer_ops     ops;
	void                       *app;
	int                         event_fd;
	pthread_t                   thread;

	/* The loop thread's. */
	bool              stopped;
	size_t            used; /* of opt.memory */
	size_t            inline_bytes; /* 0 until a file was given */
	size_t            meta_max;
	size_t            drafts;  /* begun, neither committed nor aborted */
	size_t            waiting; /* committed, not done */
	struct draft_list fresh;   /* committed in this iteration */
	struct draft_list refused; /* committed, and known to fail */
	struct draft_list want_big;
	size_t            want_big_count;
	struct spool_big *bigs;
	unsigned          bigs_ready;
	unsigned          bigs_asked;
	unsigned          bigs_open;
	unsigned          files_asked;
	bool              failed;
	struct err        why;

	/* The writer thread's. */
	struct writer_file *current;
	int64_t             last_ms;
	uint32_t            last_sequence;
	uint8_t             random[WRITER_RANDOM];
	size_t              random_used;
	struct iovec       *iov;
	uint8_t            *block; /* SPOOL_FIRST bytes: a file's header */

	/* Both, under `lock`. */
	pthread_mutex_t     lock;
	pthread_cond_t      wake; /* the writer thread waits */
	struct draft_list   queue;
	struct draft_list   done;
	struct writer_news *news;
	size_t              news_count;
	struct writer_file *ready;
	unsigned            ready_count;
	bool                has_current;
	struct writer_file *retired; /* ended; closed once their proofs were passed on */
	bool                stop;
	bool                end_file;
	bool                told; /* the event fd was or is about to be written since the last reap */
	bool                broken;
	struct err          broken_why;

	atomic_bool starved; /* commits wait and there is no file */
};

/* The writer thread; `arg` is the writer. */
void *writer_run(void *arg);
void  writer_file_free(struct writer_file **f);
/* The first failure of the writer stays. Either thread. */
void  writer_break(struct spool_writer *w, const struct err *why);
/* Gives up `lock` and makes the event fd readable unless it is. */
void  writer_unlock_and_tell(struct spool_writer *w);

#endif
