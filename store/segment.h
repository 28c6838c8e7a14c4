/*
 * store/segment.h - the bytes of a segment file, for store/store*.c alone
 *
 * What     Encodes and decodes segment headers, block headers, blocks, directories and footers. Does
 *          no I/O and holds no state but the zstd contexts it is given.
 * Bound    A block header carries a keyed sum over archive, serial and itself; the block's box is
 *          bound to the same bytes. So no block can be moved to another place, file or archive.
 * On disk  docs/formats.md, "Segment"
 */
#ifndef MM_STORE_SEGMENT_H
#define MM_STORE_SEGMENT_H

#include <zstd.h>

#include "base/id.h"
#include "store/crypt.h"

#define SEGMENT_HEADER  128
#define SEGMENT_FOOTER  (256 + SEGMENT_HEADER) /* ends with a copy of the header */
#define BLOCK_HEADER    72
#define BLOCK_PLAIN_MAX ((size_t)64 << 20)
#define BLOCKS_MAX      (UINT32_C(1) << 24)
#define META_MAX        ((size_t)16 << 20)

struct segment_header {
	uint32_t archive;
	bool mixed;  /* lots of any day */
	int32_t day; /* else: lots of this one */
	uint64_t serial;
	uint8_t uuid[16];
	int64_t created_ms;
};

/* Derived from the archive's key. */
struct segment_keys {
	uint8_t seal[KEY_BYTES];      /* sums of headers */
	uint8_t directory[KEY_BYTES]; /* directories */
};

enum block_flags {
	BLOCK_CONTINUES = 1, /* holds one piece of a large message, not its first */
	BLOCK_GOES_ON = 2,   /* holds one piece of a large message, not its last */
	BLOCK_STORED = 4,    /* not compressed */
	BLOCK_BAD = 8,       /* in directories only: was damaged when the segment was closed */
};

struct block_header {
	uint32_t number;
	uint64_t lot;
	uint32_t plain;
	uint32_t stored; /* bytes that follow the header */
	uint32_t messages; /* that begin here */
	uint32_t flags;
	uint64_t synced; /* bytes of this file known to be on disk when the block was written */
	uint8_t uuid[16];
};

/* A block as directories know it. */
struct block_place {
	uint64_t offset; /* of its header */
	uint64_t lot;
	uint32_t plain;
	uint32_t stored;
	uint32_t messages;
	uint32_t flags;
};

/* A message as directories know it. */
struct entry_place {
	struct message_id id;
	uint32_t block;
	uint32_t at; /* offset in the plain block */
};

struct segment_footer {
	uint64_t directory; /* offset */
	uint64_t directory_bytes;
	uint64_t messages;
	uint64_t raw_bytes;
	uint32_t blocks;
	struct message_id min;
	struct message_id max;
};

/* One piece of a message in a plain block. */
enum entry_flags { ENTRY_FIRST = 1, ENTRY_LAST = 2 };

struct block_entry {
	struct message_id id;
	uint8_t flags;
	uint32_t at;    /* offset of the entry in the plain block */
	uint64_t total; /* raw bytes of the whole message */
	uint64_t from;  /* where `part` begins in them */
	uint8_t sha256[32]; /* of the first piece only, as is meta */
	struct slice meta;
	struct slice part;
};

void segment_keys_derive(struct segment_keys *k, const uint8_t archive_key[KEY_BYTES]);
void segment_header_encode(uint8_t out[SEGMENT_HEADER], const struct segment_header *h,
			   const struct segment_keys *k);
bool segment_header_decode(struct segment_header *h, const uint8_t raw[SEGMENT_HEADER],
			   const struct segment_keys *k);
void segment_footer_encode(uint8_t out[SEGMENT_FOOTER], const struct segment_footer *f,
			   const struct segment_header *h, const struct segment_keys *k);
/* Fills `h` from the copy in the footer. */
bool segment_footer_decode(struct segment_footer *f, struct segment_header *h,
			   const uint8_t raw[SEGMENT_FOOTER], const struct segment_keys *k);

/* Of one that doesn't decode: was it whole once? True when one half holds and the other is there, not
 * the zeros that a torn write leaves. */
bool segment_footer_broken(const uint8_t raw[SEGMENT_FOOTER], const struct segment_keys *k);

/* `uuid` of the block comes from `h`. */
void block_header_encode(uint8_t out[BLOCK_HEADER], const struct block_header *b,
			 const struct segment_header *h, const struct segment_keys *k);
/* Checks the sum against archive and serial of `h`; the uuid is for the caller to compare. */
bool block_header_decode(struct block_header *b, const uint8_t raw[BLOCK_HEADER],
			 const struct segment_header *h, const struct segment_keys *k);
/* Compresses and seals `plain`; sets plain, stored and BLOCK_STORED of `b`; `out` (cleared first)
 * gets header and box. */
enum rc block_seal(struct buf *out, struct block_header *b, struct slice plain,
		   const struct segment_header *h, const struct segment_keys *k,
		   const uint8_t lot_key[KEY_BYTES], ZSTD_CCtx *z, int level) MUST_USE;
/* Opens header and box in `whole`; `plain` has b->plain bytes. */
enum rc block_open(uint8_t *plain, const struct block_header *b, struct slice whole,
		   const struct segment_header *h, const uint8_t lot_key[KEY_BYTES],
		   ZSTD_DCtx *z) MUST_USE;

enum rc block_entry_add(struct buf *plain, const struct block_entry *entry) MUST_USE;
/* The entry at *at, which moves behind it. RC_NOTFOUND at the end, RC_CORRUPT. */
enum rc block_entry_read(struct block_entry *entry, struct slice plain, size_t *at) MUST_USE;

/* RFC 6962 section 2.1 over leaves of (id, sha256): leaf SHA-256(0 || id || sha256), node
 * SHA-256(1 || left || right); of none: SHA-256 of nothing. `hashes` (32 bytes each) is used up. */
void merkle_leaf(uint8_t out[32], const struct message_id *id, const uint8_t sha[32]);
void merkle_root(uint8_t out[32], uint8_t *hashes, size_t count);

/* `out` gets the sealed directory. */
enum rc directory_seal(struct buf *out, const struct block_place *blocks, uint32_t nblocks,
		       const struct entry_place *entries, uint32_t nentries,
		       const struct segment_header *h, const struct segment_keys *k) MUST_USE;
/* The arrays are the caller's to free. */
enum rc directory_open(struct slice sealed, struct block_place **blocks, uint32_t *nblocks,
		       struct entry_place **entries, uint32_t *nentries,
		       const struct segment_header *h, const struct segment_keys *k) MUST_USE;

#endif
