/*
 * ingest/mime/charset.h - every character set to UTF-8, without a file
 *
 * What     Converters for the character sets of mail, opened once before the sandbox closes (glibc
 *          loads them from files) and kept. Labels are read as mailers mean them: ISO-8859-1 is
 *          windows-1252, GB2312 is GB18030, Shift_JIS is CP932, KS_C_5601 is CP949.
 * Damage   Bytes that are not of the set become U+FFFD and the rest goes on; an unknown label is read
 *          as UTF-8 when it is valid UTF-8, else as windows-1252. NUL becomes a blank.
 * Threads  One.
 */
#ifndef MM_INGEST_MIME_CHARSET_H
#define MM_INGEST_MIME_CHARSET_H

#include "base/buf.h"

/* Opens the converters. Before the sandbox; a second call does nothing. Returns how many there are. */
size_t charset_start(void);

struct charset_result {
	bool unknown; /* no such character set */
	bool damaged; /* some bytes were not of it */
	bool cut;     /* `out` is full: the rest is missing */
};

/* Adds `bytes` to `out` as UTF-8. `label` may be empty: then UTF-8 if it is, ISO-2022-JP if it has
 * its escapes, else windows-1252. Sets members of *r, clears none. */
void charset_to_utf8(struct buf *out, struct slice bytes, struct slice label,
		     struct charset_result *r);
/* Text of unknown origin that is mostly right: a header line. */
void charset_guess(struct buf *out, struct slice bytes);
/* As much of s, a run of valid UTF-8, as fits, cut between characters. False when it was cut. */
bool charset_add(struct buf *out, struct slice s);

#endif
