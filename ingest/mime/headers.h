/*
 * ingest/mime/headers.h - header blocks split, unfolded and decoded
 *
 * What     Our own reading of RFC 5322 header lines, made for what arrives rather than for what is
 *          allowed: a name may stand on a line of its own or behind blanks, a line that is no header
 *          doesn't end the block. Values are decoded by RFC 2047, with raw UTF-8 and 8-bit bytes
 *          beside the encoded words.
 * Limits   LIMIT_HEADER_BLOCK bytes, LIMIT_HEADERS headers, LIMIT_HEADER bytes each; what is beyond is
 *          left to the caller as text.
 */
#ifndef MM_INGEST_MIME_HEADERS_H
#define MM_INGEST_MIME_HEADERS_H

#include "base/buf.h"
#include "base/limits.h"

struct header {
	struct slice name; /* without blanks around it */
	struct slice raw;  /* behind the colon, with folds, without the last line end */
};

struct header_block {
	struct header *at;
	size_t count;
	size_t room;
	struct buf junk;  /* raw lines of the block that are no headers, or beyond the limits */
	size_t body;      /* where the body begins */
	const char *over; /* the limit that was reached, or NULL */
};

void header_block_init(struct header_block *b);
void header_block_free(struct header_block *b);
/* Reads the block at the front of `bytes`; the slices point into it. A line of mbox's "From " in
 * front is skipped. Without any header `body` is 0 and there is no junk. With `strict`, for blocks
 * inside a body, the first line that is no header begins the body. */
void header_split(struct header_block *b, struct slice bytes, bool strict);
/* The first header of that name at or behind *from; *from is set behind it. */
const struct header *header_find(const struct header_block *b, const char *name, size_t *from);

/* Is this line, or the name in front of its colon, a header? For blocks inside a body. */
bool header_line(struct slice line, struct slice *name, struct slice *value);
/* Adds the value on one line, without blanks around it; NUL becomes a blank. */
void header_unfold(struct buf *out, struct slice raw);
/* Adds unfolded text as UTF-8, encoded words decoded, on one line. */
void header_decode(struct buf *out, struct slice unfolded);

#endif
