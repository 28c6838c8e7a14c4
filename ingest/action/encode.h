/*
 * ingest/action/encode.h - what any bytes become in a message that we write: 7-bit lines, whatever they were
 *
 * Safe     Nothing that goes through here ends a line or begins a field but by our own folding. Control characters
 *          become "?" everywhere, in encoded words too: a reader that decodes them finds no line end.
 * Threads  Any.
 */
#ifndef MM_INGEST_ACTION_ENCODE_H
#define MM_INGEST_ACTION_ENCODE_H

#include "ingest/verdict/fold.h"

#define ENCODE_DATE 32 /* with the NUL */

/* Bytes of 32 to 126 alone. */
bool encode_is_printable(struct slice s);
/* What isn't printable ASCII becomes "?"; at most `most` bytes. */
enum rc encode_printable(struct buf *out, struct slice s, size_t most) MUST_USE;

/* An unstructured value, behind "Name:" or other words. Printable ASCII stays as it is, its runs of blanks too,
 * and is folded; all else is UTF-8 in encoded words (RFC 2047). */
void encode_text(struct fold *f, struct slice value);
/* The whole field. */
enum rc encode_field(struct buf *out, const char *name, struct slice value) MUST_USE;

/* RFC 3461 section 4. */
enum rc encode_xtext(struct buf *out, struct slice s) MUST_USE;
/* utf-8-addr-xtext of RFC 6533 section 3: what isn't ASCII as \x{HEX}. `s` is UTF-8; what isn't becomes "?". */
enum rc encode_utf8_xtext(struct buf *out, struct slice s) MUST_USE;

/* RFC 2045 section 6.7. CRLF stays a line end; all else that isn't printable, bare CR and LF too, is encoded. */
enum rc encode_quoted(struct buf *out, struct slice text) MUST_USE;

/* RFC 5322 section 3.3, in UTC: "Sun, 29 Nov 2026 01:10:49 +0000". */
void encode_date(char out[ENCODE_DATE], int64_t ms);

#endif
