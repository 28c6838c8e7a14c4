/*
 * ingest/spool/spool_core.h - what spool.c and spool_read.c share
 *
 * `lock` guards the lists and the fields that writers' news change (settled, durable, messages). What
 * the pipeline thread alone uses needs no lock; only it takes files off the list.
 */
#ifndef MM_INGEST_SPOOL_SPOOL_CORE_H
#define MM_INGEST_SPOOL_SPOOL_CORE_H

#include <pthread.h>

#include "base/file.h"
#include "ingest/spool/reader.h"
#include "ingest/spool/spool.h"

struct file_big { /* a big file that a record of this file refers to */
	uint64_t number;
	uint64_t end; /* of the record */
};

struct live_file {
	struct live_file *next; /* by number */
	struct spool     *sp;
	uint64_t          number;
	uint64_t          key;
	uint64_t          capacity;
	unsigned          writer; /* of a file that isn't settled */
	bool              settled;
	uint64_t          durable;
	uint64_t          messages;
	int64_t           used_mono_ms; /* when its first record was told of */

	/* The pipeline thread's; the positions also under `lock`. */
	struct file          *file; /* while it is read */
	struct spool_reader  *reader;
	bool                  read_out; /* nothing more will come */
	uint64_t              scanned;  /* nothing more before this */
	uint64_t              quiet_before; /* damage before this was told when it was read before */
	struct spool_position done;
	struct spool_position delivered;
	struct file_big      *bigs;
	size_t                bigs_count;
};

struct big_file {
	struct big_file *next;
	uint64_t         number;
	unsigned         writer;
	bool             settled;    /* its writer is gone */
	bool             referenced; /* by a record that was read */
	uint64_t         bytes;      /* once known: settled or referenced */
};

struct spare_file {
	struct spare_file *next;
	uint64_t           number; /* its name */
};

struct spool {
	char                *dir;
	struct keyring      *kr;
	struct spool_options opt;
	unsigned             turn; /* the writer whose turn it is */

	pthread_mutex_t    lock;
	struct live_file  *files;
	struct big_file   *bigs;
	struct spare_file *spares;
	unsigned           spare_count;
	uint64_t           next_number;
	uint64_t           making; /* bytes of files that are being made */
	uint64_t           damaged;
	int64_t            newest_ms; /* of all receipt times */
	int64_t            believed_ms; /* what a record says of its time is believed up to here */
};

enum spool_name { SPOOL_NAME_FILE, SPOOL_NAME_BIG };
/* The path of a file, to be freed. */
char *spool_path(const struct spool *sp, uint64_t number, enum spool_name kind);
void  live_file_free(struct live_file **f);
/* The file's key is destroyed: keep it as a spare or unlink it. Takes it off the list and frees it. */
enum rc spool_retire(struct spool *sp, struct live_file **f, struct err *e) MUST_USE;
/* Receipt times of what is not done in the files found at open. */
void spool_look_through(struct spool *sp);
/* A record of this time was read. Under the lock. */
void spool_received(struct spool *sp, int64_t ms);
/* Takes a big file off the list and unlinks it; fine if it is gone. */
enum rc spool_remove_big(struct spool *sp, uint64_t number, struct err *e) MUST_USE;

#endif
