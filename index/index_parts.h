/*
 * index/index_parts.h - what index.c, catalogue.c, remove.c and view.c share
 *
 * The list of shards is guarded by `lock`. A shard object is held by the list and by every view that
 * may read it; the last holder of one that was taken off the list removes its file, so an open view
 * keeps what it saw. A connection is lent to one user at a time and kept for the next.
 */
#ifndef MM_INDEX_INDEX_PARTS_H
#define MM_INDEX_INDEX_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "index/shard.h"

#define IDLE_A_SHARD 2
#define IDLE_IN_ALL  48
#define OTHERS       24 /* connections of the writing thread's own */

struct shard {
	struct shard *next;
	struct index *ix;
	unsigned holders;
	bool listed;
	bool dead;        /* superseded or emptied: in no new view, its key is to be destroyed */
	bool remove_file; /* when the last holder lets go */
	_Atomic bool damaged; /* it could not be opened or written: searches fail, a rebuild removes it */
	bool key_lost;    /* damaged: the ring has no key of it, and lost some */
	bool sealed;
	struct shard_meta meta;
	struct shard_stats stats; /* of what is committed */
	uint64_t key_id;
	uint8_t key[KEY_BYTES];
	char *path;
	struct conn *idle[IDLE_A_SHARD];
	uint64_t rested[IDLE_A_SHARD]; /* when, by index.tick */
};

/* The open shard of an archive. Belongs to the writing thread. */
struct writer {
	struct writer *next;
	uint32_t archive;
	struct shard *shard;
	struct conn *conn;
	bool begun;
	struct shard_stats pending; /* not committed */
};

/* A full shard that is being sealed on a thread of its own. The rest belongs to the writing thread. */
struct sealing {
	struct shard *shard; /* NULL: none */
	struct shard *sealed;
	pthread_t thread;
	_Atomic bool done; /* rc and why are there */
	enum rc rc;
	struct err why;
};

/* A full shard, held, with a connection to it. */
struct other {
	struct shard *shard;
	struct conn *conn;
};

struct index {
	char *dir; /* DIR/index */
	struct keyring *kr;
	struct db *control; /* NULL: no catalogue is kept */
	struct index_options opt;
	pthread_mutex_t lock;
	struct shard *shards;
	unsigned idle;
	uint64_t tick;
	uint32_t *rebuilding; /* archives whose index is not whole; 0: all */
	size_t rebuilding_count;
	/* the writing thread's */
	struct other others[OTHERS]; /* where in_others looked since the last commit */
	unsigned others_count;
	struct writer *writers;
	struct sealing sealing;
	uint64_t last_number;
	struct err lost; /* what was added since the last commit is lost, and why */
	bool gave_up;    /* index_gave_up */
};

/* ---- index.c ---- */

void lock_index(struct index *ix);
void unlock_index(struct index *ix);
char *shard_file(const struct index *ix, uint32_t archive, uint64_t number, bool sealed);
struct shard *shard_new(struct index *ix, const struct shard_meta *meta, bool sealed);
/* All below take the lock themselves. */
void shard_list(struct shard *s);   /* the list takes over the caller's hold */
void shard_unlist(struct shard *s); /* closes idle connections, drops the list's hold */
void shard_hold(struct shard *s);
void shard_drop(struct shard *s);
void shard_set_dead(struct shard *s);
enum rc shard_borrow(struct shard *s, struct conn **out, struct err *e) MUST_USE;
void    shard_return(struct shard *s, struct conn **c);
/* Every listed shard of an archive (0: of all), each held for the caller; the array is freed by
 * shards_drop. `dead`: also those. */
size_t shards_hold(struct index *ix, uint32_t archive, bool dead, struct shard ***out);
void   shards_drop(struct shard ***list, size_t count);

/* Waits for a shard that is being sealed beside. One that can't be stays as it is. */
void    sealing_settle(struct index *ix);
enum rc writer_commit(struct writer *w, struct err *e) MUST_USE;
struct writer *writer_find(struct index *ix, uint32_t archive);
/* Closes the writer's connection; the shard stays listed, unsealed. */
void    writer_free(struct index *ix, struct writer *w);
/* A shard that came to nothing: its key and file go. */
void    shard_abandon(struct shard *s);
enum rc shard_key_new(struct index *ix, struct shard *s, struct err *e) MUST_USE;

/* ---- catalogue.c ---- */

/* Lists the shards that files and key ring have, and brings table `shard` in line with them. */
enum rc catalogue_load(struct index *ix, struct err *e) MUST_USE;
/* Is the index of this archive not whole? */
bool catalogue_rebuilding(struct index *ix, uint32_t archive);
enum rc catalogue_put(struct index *ix, struct shard *s, struct err *e) MUST_USE;
enum rc catalogue_drop(struct index *ix, const struct shard *s, struct err *e) MUST_USE;

#endif
