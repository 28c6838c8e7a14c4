/*
 * store/audit_file.h - the bytes of an audit log file, for store/audit.c alone
 *
 * What     Encodes and decodes file headers and entries, and follows the chain through the bytes of
 *          one file. Does no I/O.
 * On disk  docs/formats.md, "Audit log"
 */
#ifndef MM_STORE_AUDIT_FILE_H
#define MM_STORE_AUDIT_FILE_H

#include "base/buf.h"
#include "store/crypt.h"

#define AUDIT_HASH         32
#define AUDIT_FILE_HEADER  128
#define AUDIT_ENTRY_HEADER (32 + AUDIT_HASH)
#define AUDIT_ENTRY_MAX    ((size_t)64 << 20) /* JSON of one entry */

struct audit_keys {
	uint8_t seal[KEY_BYTES];   /* entries */
	uint8_t header[KEY_BYTES]; /* file headers */
};

/* Where a chain is: after entry `entries`, whose hash and time these are. */
struct audit_place {
	uint64_t entries;
	int64_t when_ms;
	uint8_t hash[AUDIT_HASH];
};

struct audit_file_header {
	uint32_t number;
	uint32_t before;      /* number of the file that the chain comes from, 0 for the first */
	uint64_t before_end;  /* bytes of that file that belong to the chain */
	struct audit_place at; /* where the chain was when this file began */
};

struct audit_raw_entry {
	uint64_t number;
	int64_t when_ms;
	uint64_t synced; /* entries known to be on disk when this one was made */
	const uint8_t *before; /* AUDIT_HASH bytes */
	struct slice bound;
	struct slice sealed;
	size_t bytes; /* header and sealed */
};

void audit_header_encode(uint8_t out[AUDIT_FILE_HEADER], const struct audit_file_header *h,
			 const struct audit_keys *keys);
bool audit_header_decode(struct audit_file_header *h, struct slice bytes,
			 const struct audit_keys *keys);
/* Adds the entry that follows `at` and moves `at` behind it. RC_LIMIT leaves both as they were. */
enum rc audit_entry_add(struct buf *out, struct audit_place *at, int64_t when_ms, uint64_t synced,
			struct slice json, const struct audit_keys *keys) MUST_USE;
/* The entry at the front of `bytes`, unchecked but for its shape; false when there is none. */
bool audit_entry_peek(struct audit_raw_entry *entry, struct slice bytes);
/* Checks that `entry` follows `at` and authenticates; moves `at`. `json` (cleared first) gets the
 * text. */
bool audit_entry_take(struct audit_place *at, const struct audit_raw_entry *entry, struct buf *json,
		      const struct audit_keys *keys);
/* Whether an entry in `bytes`, at any offset, proves that entry `number` had been synced. */
bool audit_was_synced(struct slice bytes, uint64_t number, const struct audit_keys *keys);
/* The first entry in `bytes` that authenticates and whose number is one of from..to; and its offset. */
bool audit_entry_find(struct audit_raw_entry *entry, size_t *at, struct slice bytes, uint64_t from,
		      uint64_t to, const struct audit_keys *keys);

#endif
