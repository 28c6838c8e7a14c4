/*
 * ingest/verdict/raw.h - a message as DKIM, ARC and DMARC see it: header fields as they stand, and the body
 *
 * What     Cuts raw bytes into header fields and body (RFC 5322 section 2.1), never decoding: what is signed is bytes.
 *          A field is its name, and all of it from the name's first byte to the CRLF behind its last line.
 *          The header ends at the first empty line. A line in it that begins no field (no colon, or a name
 *          with bytes outside 33..126) is a field with an empty name, so that nothing is skipped unseen.
 * Ends     Lines end in CRLF as received. A bare LF ends a line here too where the ingress point kept it
 *          (BareNewlines KEEP); the canonicaliser works on the bytes as they stand.
 * Limits   RAW_FIELDS fields, LIMIT_HEADER_BLOCK bytes of header: RC_LIMIT beyond; what a verdict is then, verdict.h
 *          says.
 * Owner    Slices point into the message.
 * Threads  Any.
 */
#ifndef MM_INGEST_VERDICT_RAW_H
#define MM_INGEST_VERDICT_RAW_H

#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"

#define RAW_FIELDS LIMIT_HEADERS

struct raw_field {
	struct slice name;  /* without the blanks before the colon (RFC 6376 section 3.4.2) */
	struct slice value; /* behind the colon, folds and final CRLF included */
	struct slice whole; /* name, colon, value */
};

struct raw_message {
	struct raw_field *fields; /* in order, first line first */
	size_t count;
	struct slice body; /* behind the empty line; empty when there is none */
};

enum rc raw_read(struct raw_message *out, struct slice message, struct err *e) MUST_USE;
void raw_free(struct raw_message *m);
bool raw_named(const struct raw_field *f, const char *name); /* without case */

#endif
