/*
 * store/store.h - the archived messages, byte for byte, in encrypted segments
 *
 * What     A segment is a file of one archive: header, blocks, and when it is closed a directory
 *          of its ids and a footer. A block holds messages of one lot, up to about 2 MiB of them,
 *          side by side what came together and is alike (store/likeness.h): one zstd frame, then one
 *          AEAD box bound to archive, lot, segment and block number. A large message spans several
 *          blocks. Day segments hold one day's lots; an import of old mail writes segments that lots
 *          share.
 * Place    A message is found by archive and id alone: the id says the time of receipt, the
 *          directories of the segments that cover it say the block. Nothing outside points into a
 *          segment, so repacking and erasing change no index.
 * Twice    The first valid copy of an id wins; a second is superseded and never shown. Writers ask
 *          store_has first.
 * Order    store_put buffers, up to four blocks of a lot. store_sync writes what waits, syncs the
 *          files, then the names. Only after it may the index, the audit log and the spool's position
 *          tell of them.
 * Fails    RC_NOSPACE, RC_IO: nothing since the last store_sync is in the store (the spool still has
 *          it). RC_CORRUPT from readers only; the text names segment, block and id. RC_NOTFOUND: no
 *          such message, or its lot is destroyed.
 * Threads  One writer (store_put, store_sync, store_forget, store_repack); any number of readers.
 * On disk  docs/formats.md, "Segment"
 */
#ifndef MM_STORE_STORE_H
#define MM_STORE_STORE_H

#include "base/buf.h"
#include "base/id.h"
#include "store/keyring.h"

struct store;

struct store_message {
	struct message_id id;
	uint64_t          lot;        /* key id of the lot, from keyring_lot */
	struct slice      meta;       /* what is kept beside the bytes; opaque here (JSON) */
	struct slice      raw;        /* exactly what was received */
	uint8_t           sha256[32]; /* of raw, computed at receipt */
};

/* A block that has reached the disk; `root` is the Merkle root over (id, sha256) of the messages
 * that begin in it (docs/formats.md). For the audit log, which counts those that end in it: of a message
 * of several blocks that a crash cut off it may know the first, and later all of it again. */
struct store_block {
	uint32_t archive;
	uint64_t segment;
	uint32_t block;
	uint64_t lot;
	uint32_t messages; /* that begin in it */
	uint32_t ended;
	uint8_t  root[32];
};

struct store_options {
	uint64_t segment_bytes; /* a segment is closed and the next begun past this; 0: 1 GiB */
	uint32_t block_bytes;   /* plain bytes a block aims at; 0: 2 MiB */
	int      zstd_level;    /* 0: 6 */
};

/* Opens DIR/seg (made if absent). Torn tails of open segments are left as they are and never read;
 * such a segment is closed where it is valid. */
enum rc store_open(struct store **out, const char *dir, struct keyring *kr,
		   const struct store_options *opt, struct err *e) MUST_USE;
void    store_close(struct store **st);

enum rc store_put(struct store *st, uint32_t archive, const struct store_message *m,
		  struct err *e) MUST_USE;
/* Calls `on_block` (may be NULL) for each block that this call or an earlier store_put wrote since
 * the last store_sync, after they are on disk. */
enum rc store_sync(struct store *st, void (*on_block)(void *arg, const struct store_block *b),
		   void *arg, struct err *e) MUST_USE;
/* What `on_block` was told of is in the audit log, and that is synced. Until then no segment is closed, so
 * store_pending_blocks finds after a crash whatever the log lost. */
void    store_accounted(struct store *st);
/* Bytes waiting in memory for store_sync. */
size_t  store_buffered(struct store *st);

/* Also true for what was put and not yet synced. */
bool    store_has(struct store *st, uint32_t archive, const struct message_id *id);
/* Also what waits for store_sync. Either buffer may be NULL. The sha256 of the bytes is checked
 * against the recorded one; a difference is RC_CORRUPT. Limits are the buffers'. */
enum rc store_get(struct store *st, uint32_t archive, const struct message_id *id, struct buf *meta,
		  struct buf *raw, struct err *e) MUST_USE;

struct store_visit {
	/* One message; `problem` is NULL, or says why raw is empty (damaged block, wrong hash). A
	 * superseded copy is not visited. */
	enum rc (*message)(void *arg, uint32_t archive, const struct store_message *m,
			   const char *problem, struct err *e);
	/* One block as found on disk (may be NULL), before its messages. */
	enum rc (*block)(void *arg, const struct store_block *b, struct err *e);
	/* A file or a stretch of one that can't be read as what it should be (may be NULL). */
	enum rc (*damage)(void *arg, const char *file, const char *problem, struct err *e);
	void *arg;
};
/* Walks all segments of an archive (0: of all) in order of segment and block; reads everything. A block
 * that the disk doesn't give (RC_IO) is told of like a damaged one. */
enum rc store_walk(struct store *st, uint32_t archive, const struct store_visit *v,
		   struct err *e) MUST_USE;

/* Calls `on_block` for every synced block that `known` doesn't know, of the segments that were still
 * open at the last store_sync: after a crash a block may be on disk whose audit entry was lost.
 * Called after store_open, before the first store_sync. Serials are never used again. */
enum rc store_pending_blocks(struct store *st,
			     bool (*known)(void *arg, uint64_t segment, uint32_t block),
			     void (*on_block)(void *arg, const struct store_block *b), void *arg,
			     struct err *e) MUST_USE;

/* After keys were destroyed (the ring is asked which): unlinks segments with no live lot left, and
 * rewrites those of which less than half is live, block by block, so roots stay as they were. */
enum rc store_forget(struct store *st, struct err *e) MUST_USE;
/* Rewrites the segments of days before `day` whose blocks are small into full blocks, and removes
 * the old ones when the new are synced. Before new blocks take the place of old ones `on_block` is
 * called for each, as in store_sync, then `account`, which makes that last: a crash leaves no block
 * that the audit log doesn't know. Either may be NULL. */
struct store_repacked {
	void (*on_block)(void *arg, const struct store_block *b);
	enum rc (*account)(void *arg, struct err *e);
	void *arg;
};
enum rc store_repack(struct store *st, int32_t day, const struct store_repacked *to,
		     struct err *e) MUST_USE;

/* Copies what stays of a day: every message of `lots` (all live lots of one day, so that no copy is
 * left out) but those in `ids` goes to new segments under the lot `into`; `to` hears of the new blocks
 * as store_repack's does. Then the caller destroys the keys of `lots`, and store_forget removes the
 * files. With `into` 0 nothing is written: all is read, and `gone` told of each message that goes.
 * RC_CORRUPT: a block of the lots can't be read, so it can't be told what would be lost with it. */
struct store_erasure {
	uint32_t archive;
	int32_t day;
	const uint64_t *lots;
	size_t lot_count;
	const struct message_id *ids; /* sorted */
	size_t id_count;
	uint64_t into;
	struct store_repacked to;
	void (*gone)(void *arg, const struct store_message *m, uint64_t bytes);
	void *arg;
	uint64_t *found; /* of each of the lots: messages that end in a block that was read; or NULL */
	uint64_t kept; /* set */
};
enum rc store_erase(struct store *st, struct store_erasure *x, struct err *e) MUST_USE;

struct store_totals {
	uint64_t messages;
	uint64_t plain_bytes;
	uint64_t disk_bytes;
	uint32_t segments;
};
/* What the files hold (0: of all archives): a destroyed lot counts until its segment is rewritten, a
 * second copy until it is repacked. */
void store_count(struct store *st, uint32_t archive, struct store_totals *out);

#endif
