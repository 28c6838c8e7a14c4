/*
 * ingest/mime/transfer.h - base64 and quoted-printable, as far as they can be read
 *
 * RFC 2045 section 6. What isn't of the encoding is never a reason to stop: base64 goes on behind
 * padding (parts glued together) and behind foreign characters, and a line that is plainly no base64
 * (a footer that a list added) is given as it stands, too.
 */
#ifndef MM_INGEST_MIME_TRANSFER_H
#define MM_INGEST_MIME_TRANSFER_H

#include "base/buf.h"

enum transfer { TRANSFER_NONE, TRANSFER_BASE64, TRANSFER_QP, TRANSFER_UNKNOWN };

struct transfer_result {
	bool damaged; /* some of it was not of the encoding */
	bool cut;     /* `out` is full */
};

/* The value of a Content-Transfer-Encoding header. */
enum transfer transfer_of(struct slice value);
void transfer_base64(struct buf *out, struct slice text, struct transfer_result *r);
void transfer_qp(struct buf *out, struct slice text, struct transfer_result *r);

/* The bits between base64 characters, for a text that comes in pieces. */
struct base64_state {
	uint32_t bits;
	unsigned count; /* 0, 6, 12 or 18 */
};
/* Adds what the characters of `text` give; others are skipped, '=' starts anew. Returns how many
 * were foreign or blanks. *full is set when `out` has no room for it; nothing is added then. */
size_t base64_feed(struct base64_state *s, struct buf *out, struct slice text, bool *full);

#endif
