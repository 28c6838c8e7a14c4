/*
 * smtp/data.h - what is content and where it ends: RFC 5321 section 4.5.2, and bare CR, LF and NUL
 *
 * What     DATA: takes dots off and finds CRLF.CRLF, whatever way the bytes are cut. Nothing else
 *          ends the data. BDAT: the bytes are content as they are. Both note bytes that RFC 5321
 *          2.3.8 and RFC 5322 forbid: bare CR, bare LF, NUL.
 * How      Content leaves in runs of the input, not byte by byte; a line costs two memchr.
 */
#ifndef MM_SMTP_DATA_H
#define MM_SMTP_DATA_H

#include "base/slice.h"

enum smtp_data_at {
	DATA_BOL,   /* behind CRLF, or at the very start */
	DATA_MID,   /* inside a line */
	DATA_CR,    /* inside a line, behind a CR */
	DATA_DOT,   /* a line began with '.', which is held back */
	DATA_DOTCR, /* a line began with ".\r", which is held back */
	DATA_END,   /* CRLF.CRLF was read */
};

enum smtp_data_odd { DATA_BARE_LF = 1, DATA_BARE_CR = 2, DATA_NUL = 4 };

struct smtp_data {
	enum smtp_data_at at;
	unsigned odd; /* enum smtp_data_odd */
};

void smtp_data_begin(struct smtp_data *d);
/* Moves *in on and returns the next run of content, which may be empty. Call it until *in is empty
 * or smtp_data_ended; what is left in *in then is not content. */
struct slice smtp_data_next(struct smtp_data *d, struct slice *in);
bool smtp_data_ended(const struct smtp_data *d);
/* BDAT: all of `in` is content. */
void smtp_data_chunk(struct smtp_data *d, struct slice in);
/* BDAT: the message is whole; a CR at its end is a bare one. */
void smtp_data_chunks_end(struct smtp_data *d);
/* "a bare LF", "a bare CR", "a NUL", or NULL. */
const char *smtp_data_oddity(const struct smtp_data *d);

#endif
