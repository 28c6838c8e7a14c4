/*
 * store/logbook_file.h - the bytes of a file of the sealed log, for store/logbook.c alone
 *
 * What     Encodes and decodes the header, frames and the entries in a frame. A frame is what was written at
 *          a time: its entries are sealed together. Does no I/O.
 * Bound    To each frame: the uuid of its file and its number in it, so that none can be moved, left out
 *          unseen or said twice; a tail that is cut off isn't noticed.
 * Trust    Whoever has the file may have written anything into it: all lengths are checked, nothing is taken
 *          that doesn't authenticate.
 * On disk  docs/formats.md, "Sealed log"
 */
#ifndef MM_STORE_LOGBOOK_FILE_H
#define MM_STORE_LOGBOOK_FILE_H

#include "base/buf.h"
#include "store/crypt.h"

#define LOGBOOK_HEADER       96
#define LOGBOOK_FRAME_HEADER 16
#define LOGBOOK_FRAME_MAX    ((size_t)1 << 20) /* of entries, before they are sealed */
#define LOGBOOK_UUID         16

struct logbook_keys {
	uint8_t seal[KEY_BYTES];   /* frames */
	uint8_t header[KEY_BYTES]; /* the file's header */
};

struct logbook_header {
	uint32_t number;
	int64_t created_ms;
	uint8_t uuid[LOGBOOK_UUID];
};

struct logbook_entry {
	int64_t when_ms;
	uint8_t kind; /* the writer's */
	struct slice text;
};

/* Of the file's key. */
void logbook_keys_of(struct logbook_keys *out, const uint8_t key[KEY_BYTES]);
void logbook_header_encode(uint8_t out[LOGBOOK_HEADER], const struct logbook_header *h,
			   const struct logbook_keys *keys);
bool logbook_header_decode(struct logbook_header *h, struct slice bytes,
			   const struct logbook_keys *keys);

/* Adds an entry to what is to become a frame. RC_LIMIT: it would be larger than LOGBOOK_FRAME_MAX. */
enum rc logbook_entry_add(struct buf *entries, const struct logbook_entry *x) MUST_USE;
/* Takes the first one off; false at the end, and where there is no whole one. */
bool logbook_entry_take(struct slice *entries, struct logbook_entry *out);

/* Adds the frame of that number; `entries` is not empty. */
enum rc logbook_frame_add(struct buf *out, uint64_t number, struct slice entries,
			  const struct logbook_header *h,
			  const struct logbook_keys *keys) MUST_USE;

enum logbook_found {
	LOGBOOK_FRAME,   /* `entries` (cleared first) has them, *bytes is behind it */
	LOGBOOK_END,     /* no bytes are left */
	LOGBOOK_TORN,    /* what is there ends before a frame does, or none begins there */
	LOGBOOK_DAMAGED, /* a frame that isn't what was written, or another one's; *bytes is behind it */
};
/* The frame at the front of *bytes, which must have this number or a later one; *number becomes the next one's. */
enum logbook_found logbook_frame_take(struct slice *bytes, uint64_t *number, struct buf *entries,
				      const struct logbook_header *h,
				      const struct logbook_keys *keys);

#endif
