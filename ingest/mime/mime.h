/*
 * ingest/mime/mime.h - one message read: raw bytes to an encoded document (ingest/parsed.h)
 *
 * What     The worker's work. Headers are split and decoded by our own code (headers, address, date).
 *          After the pre-scan GMime takes the body apart; transfer encodings, character sets and HTML
 *          are read by our own code again, so that what is broken is read as far as it goes. What the
 *          pre-scan refuses is read by the plain reader: no tree, but every line that looks like a
 *          boundary begins a part, and every text part is decoded.
 * Union    With several Content-Type or Content-Transfer-Encoding headers each reading is taken; a
 *          multipart without parts is read as text; an encoded message or multipart (forbidden by RFC
 *          2045 section 6.4, and sent) is decoded and read.
 * Fails    Never: what can't be read is told in the document. It may crash (GMime) or run out of
 *          memory (GLib aborts): that is why it runs in mm-parse.
 * Threads  One.
 */
#ifndef MM_INGEST_MIME_MIME_H
#define MM_INGEST_MIME_MIME_H

#include "base/buf.h"

enum mime_mode {
	MIME_FULL = 0,
	MIME_PLAIN = 1, /* the plain reader only, never GMime */
	MIME_SHOW = 2,  /* a bit: text for who shows the message (PARSED_PLAIN, PARSED_HTML) */
};

struct mime;

/* Loads everything that comes from files: character sets, GMime's tables. Before the sandbox. */
struct mime *mime_new(void);
void mime_free(struct mime **m);
/* Adds the encoded document to `out`; RC_LIMIT when it doesn't fit, `out` is as before then. The bytes
 * of the message are overwritten. */
enum rc mime_read(struct mime *m, uint8_t *bytes, size_t len, unsigned mode,
		  struct buf *out) MUST_USE;

#endif
