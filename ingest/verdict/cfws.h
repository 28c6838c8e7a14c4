/*
 * ingest/verdict/cfws.h - words of structured fields: comments, folding white space, tokens,
 *   quoted strings (RFC 5322 section 3.2)
 *
 * What     Reads from the front of `rest` and moves it. No recursion: comments are counted.
 * Limits   Words go into the caller's room.
 * Threads  Any.
 */
#ifndef MM_INGEST_VERDICT_CFWS_H
#define MM_INGEST_VERDICT_CFWS_H

#include "base/slice.h"

/* Skips comments and white space; false: a comment has no end. */
bool cfws_skip(struct slice *rest);
/* Takes this byte, if it comes next. */
bool cfws_byte(struct slice *rest, char byte);
/* Takes a token (RFC 2045 section 5.1) or a quoted string, without its quotes, NUL-terminated into
 * `out`; false: there is none, or it is longer than `room` - 1, or it has no end. */
bool cfws_word(struct slice *rest, char *out, size_t room);
/* May the character be in a token? */
bool cfws_is_token(uint8_t c);

#endif
