/*
 * store/store_inner.h - what the files of the store share: its segments in memory
 *
 * What     store.c: opening, putting, syncing. store_block.c: what waits to become blocks.
 *          store_segment.c: one segment: scan, directory, append, close. store_read.c: finding and
 *          reading. store_walk.c: reading all. store_rewrite.c: forgetting and repacking.
 * Lock     One mutex guards everything in memory. Who reads a block without it holds the segment by
 *          `users`; a segment that was removed is freed with its last user. Only the one writer
 *          changes files, so it may let the lock go while it syncs.
 */
#ifndef MM_STORE_STORE_INNER_H
#define MM_STORE_STORE_INNER_H

#include <pthread.h>

#include "base/file.h"
#include "store/hash.h"
#include "store/segment.h"
#include "store/store.h"

#define BLOCK_BUFFERED UINT32_MAX /* not written yet: in the open block of its lot */
#define CACHE_BLOCKS   8

/* A message in a segment that is still written, or was scanned. */
struct open_entry {
	struct entry_place place;
	uint64_t lot;
	UT_hash_handle hh;
};

struct archive;

struct segment {
	struct segment_header h;
	struct archive *archive;
	char *path;
	struct file *file;   /* open while loaded */
	uint32_t users;      /* who hold it without the lock: it is not freed */
	uint32_t busy;       /* who use its file or directory so: they are not dropped */
	bool gone;           /* removed; freed with its last user */
	bool closed;         /* has directory and footer */
	bool full;           /* not appended to any more, closed by a later store_sync */
	bool loaded;
	bool looked;         /* once more at the blocks that the directory says are damaged */
	bool anew;           /* closed, but its directory is to be written anew by store_sync */
	const char *problem; /* what is wrong with its header or directory; NULL: nothing */
	uint64_t end;        /* where the next block goes */
	uint64_t disk_bytes;
	uint64_t used;       /* when its directory was used last, by st->tick */
	struct block_place *blocks;
	uint32_t nblocks;
	uint32_t blocks_room;
	struct entry_place *entries; /* sorted by id; where index is NULL */
	uint32_t nentries;
	struct open_entry *index;
	/* A Bloom filter over the ids, made when a closed segment is first loaded and kept: so a
	 * directory is not read again for ids that it hasn't. */
	uint8_t *filter;
	uint64_t filter_mask; /* bits - 1 */
	struct segment_footer f; /* messages, raw_bytes, min and max are always right */
	/* As of the last store_sync, to go back to. */
	struct segment_footer synced_f;
	uint64_t synced_end;
	uint32_t synced_blocks;
};

struct archive {
	uint32_t number;
	char *dir;
	bool dead;    /* its key is destroyed */
	bool unnamed; /* its folder's name is not synced */
	struct segment_keys keys;
	struct segment **segments; /* by serial */
	size_t nsegments;
};

/* Messages of a lot that wait to become blocks: entries, one behind the other. */
struct open_block {
	uint64_t lot;
	struct segment *segment;
	struct buf plain;
	UT_hash_handle hh;
};

/* A decrypted block that readers share. */
struct plain {
	uint32_t archive;
	uint64_t serial;
	uint32_t block;
	uint32_t refs;
	bool cached;
	size_t len;
	uint8_t *at;
};

struct written {
	struct store_block *at;
	size_t n;
	size_t room;
};

struct store {
	pthread_mutex_t lock;
	char *dir; /* DIR/seg */
	char *data_dir;
	struct keyring *keys;
	struct store_options opt;
	struct archive **archives;
	size_t narchives;
	struct open_block *open; /* by lot */
	size_t buffered;
	struct written written; /* since the last store_sync */
	uint64_t last_serial;
	uint64_t tick;
	size_t loaded_bytes; /* of directories that could be loaded again */
	struct plain *cache[CACHE_BLOCKS];
	unsigned cache_next;
	ZSTD_CCtx *pack;
	ZSTD_DCtx *unpack[4]; /* idle ones */
	struct buf sealed;    /* of segment_append */
	struct file **stale;  /* replaced after a failure; readers may still use them */
	size_t nstale;
	bool told;            /* store_sync told of blocks that are not accounted for yet */
	bool broken;          /* going back failed: only a new start helps */
};

static inline void store_lock(struct store *st)
{
	MUST(pthread_mutex_lock(&st->lock) == 0);
}

static inline void store_unlock(struct store *st)
{
	MUST(pthread_mutex_unlock(&st->lock) == 0);
}

/* --- store.c -----------------------------------------------------------------------------------*/

struct archive *archive_find(const struct store *st, uint32_t number);
uint64_t store_next_serial(struct store *st);
void archive_insert(struct archive *a, struct segment *s);
/* Takes it out of the list; frees it now or with its last user. */
void archive_remove(struct archive *a, struct segment *s);
bool lot_is_live(struct store *st, uint64_t lot);
/* Destroyed, as its tombstone says. Neither live nor dead is one that the ring doesn't know: its slot
 * was damaged, or the ring is an older copy. */
bool lot_is_dead(struct store *st, uint64_t lot);
/* RC_NOTFOUND: the lot is destroyed. RC_CORRUPT: the ring doesn't know it. */
enum rc lot_key(struct store *st, uint64_t lot, uint8_t key[KEY_BYTES], struct err *e) MUST_USE;
/* Nothing of it waits to be written or synced. */
bool segment_is_settled(struct store *st, const struct segment *s);
void written_free(struct written *w);

/* --- store_block.c: by the one writer; with the lock where the segment has its name -------------*/

/* Adds a message to the open block of its lot, whose segment is set. */
enum rc block_put(struct store *st, struct open_block *ob, const struct store_message *m,
		  struct written *w, struct err *e) MUST_USE;
/* Writes out what waits (nothing where nothing does). */
enum rc block_flush(struct store *st, struct open_block *ob, struct written *w,
		    struct err *e) MUST_USE;

/* --- store_segment.c: the lock is held ---------------------------------------------------------*/

/* A new segment file with its header, under a name that the next start removes (".seg.new"). */
enum rc segment_create(struct store *st, struct archive *a, bool mixed, int32_t day,
		       struct segment **out, struct err *e) MUST_USE;
/* Reads header and footer; scans where there is none. */
enum rc segment_open(struct store *st, struct archive *a, uint64_t serial, struct segment **out,
		     struct err *e) MUST_USE;
void segment_free(struct segment *s);
/* Makes blocks and entries be in memory. */
enum rc segment_load(struct store *st, struct segment *s, struct err *e) MUST_USE;
/* Drops directories that were not used for long while they take too much memory. */
void segments_evict(struct store *st);
/* One that was just closed: what it would keep in memory is read again when somebody asks for a message of it. */
void segment_rest(struct store *st, struct segment *s);
/* False: the id is not in the segment, for sure; its directory need not be loaded. */
bool segment_may_have(const struct segment *s, const struct message_id *id);
bool segment_lookup(const struct segment *s, const struct message_id *id,
		    struct entry_place *out);
/* Adds one to the index where the id is not in it. */
void segment_index(struct segment *s, const struct message_id *id, uint32_t block, uint32_t at,
		   uint64_t lot, uint64_t raw_bytes);
/* Appends one block; sets b->number. */
enum rc segment_append(struct store *st, struct segment *s, struct block_header *b,
		       struct slice plain, struct err *e) MUST_USE;
/* Writes directory and footer and syncs. */
enum rc segment_close(struct store *st, struct segment *s, struct err *e) MUST_USE;
/* The same for one that was closed, where its directory was found to be damaged and its blocks whole. */
void segment_close_anew(struct store *st, struct segment *s);
/* Gives a new segment, which was synced, its name, and that name is synced: so what has the name of a
 * segment has the header of one, whenever the power goes. */
enum rc segment_name(struct segment *s, struct err *e) MUST_USE;
ZSTD_DCtx *unpack_take(struct store *st);
void unpack_give(struct store *st, ZSTD_DCtx *z);

/* --- store_read.c: the lock is not held --------------------------------------------------------*/

void segment_hold(struct segment *s); /* with the lock */
void segment_release(struct store *st, struct segment *s);
/* The same, and its directory and file stay in memory. Both take the lock. */
void segment_pin(struct store *st, struct segment *s);
void segment_unpin(struct store *st, struct segment *s);
/* RC_NOTFOUND: the lot is destroyed. `fresh` reads the disk although the block is cached. */
enum rc block_read(struct store *st, struct segment *s, uint32_t number, bool fresh,
		   struct plain **out, struct err *e) MUST_USE;
void plain_release(struct store *st, struct plain *p);
void cache_clear(struct store *st); /* with the lock */
/* Message at `place`; out buffers may be NULL. */
enum rc message_read(struct store *st, struct segment *s, const struct entry_place *place,
		     struct store_message *m, struct buf *meta, struct buf *raw,
		     struct err *e) MUST_USE;
/* Whether the copy at `place` is the first valid one. */
bool message_wins(struct store *st, const struct segment *s, const struct entry_place *place);
/* Fills messages and root from the entries that begin in a plain block. */
enum rc block_describe(struct store_block *b, struct slice plain) MUST_USE;

/* --- store_rewrite.c: the lock is not held -----------------------------------------------------*/

/* The segments as they are now; the caller frees the list. Only the writer, who asks, removes any. */
struct segment **archive_segments(struct store *st, const struct archive *a, size_t *n);
enum rc segment_load_alone(struct store *st, struct segment *s, struct err *e) MUST_USE;
/* A new segment that is not to be: its file goes. */
void segment_abandon(struct segment *fresh);

#endif
