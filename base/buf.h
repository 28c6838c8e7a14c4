/*
 * base/buf.h - a growing buffer that is born with its limit
 *
 * Whatever a peer, a file or a user can size grows in a struct buf, and the limit is named where
 * the buffer is made (base/limits.h). Adding past the limit gives RC_LIMIT and leaves the buffer as
 * it was. `at` is always followed by a NUL that is not counted, so text can be printed.
 */
#ifndef MM_BASE_BUF_H
#define MM_BASE_BUF_H

#include "base/err.h"
#include "base/slice.h"

struct buf {
	uint8_t *at;
	size_t len;
	size_t room;
	size_t limit;
};

void buf_init(struct buf *b, size_t limit);
/* Frees the memory and keeps the limit; a freed buffer can be used again. */
void buf_free(struct buf *b);
/* Empties the buffer and keeps its memory. */
void buf_clear(struct buf *b);
enum rc buf_reserve(struct buf *b, size_t more) MUST_USE;
enum rc buf_add(struct buf *b, struct slice s) MUST_USE;
enum rc buf_add_byte(struct buf *b, uint8_t byte) MUST_USE;
enum rc buf_add_str(struct buf *b, const char *s) MUST_USE;
enum rc buf_addf(struct buf *b, const char *fmt, ...) PRINTF(2, 3) MUST_USE;
/* Removes the first n bytes. */
void buf_drop(struct buf *b, size_t n);

static inline struct slice buf_slice(const struct buf *b)
{
	return slice_of(b->at, b->len);
}

static inline const char *buf_text(const struct buf *b)
{
	return b->at ? (const char *)b->at : "";
}

#endif
