/*
 * ingest/head.h - single fields of a message's header, as they stand
 *
 * What     Walks the fields of a raw header, folds and all, and gives a field's text in one line. No
 *          decoding and no addresses: that is read from the index, where mm-parse put it. For what the
 *          index doesn't have: Received, Date, In-Reply-To and the like.
 * Limits   LIMIT_HEADER_BLOCK bytes and LIMIT_HEADERS fields are looked at, whatever the message is.
 *          Linear; nothing is copied.
 * Threads  Any.
 */
#ifndef MM_INGEST_HEAD_H
#define MM_INGEST_HEAD_H

#include "base/buf.h"

struct head {
	struct slice rest;
	unsigned fields;
};

struct head_field {
	struct slice name;  /* without blanks behind it */
	struct slice value; /* as it stands behind the colon, folds included; any bytes */
};

struct head head_of(struct slice message);
/* False at the end of the header. Lines that are no field are skipped. */
bool head_next(struct head *h, struct head_field *f);
/* Adds the value in one line as valid UTF-8: folds, control characters and runs of blanks become one blank.
 * At most `most` bytes are added; what is cut ends with "...". RC_LIMIT: the buffer's. */
enum rc head_text(struct slice value, size_t most, struct buf *out) MUST_USE;

#endif
