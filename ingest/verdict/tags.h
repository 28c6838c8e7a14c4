/*
 * ingest/verdict/tags.h - lists of tags: "v=1; a=rsa-sha256; ..." (RFC 6376 section 3.2)
 *
 * What     The one parser of DKIM-Signature, ARC-Message-Signature, ARC-Seal and key records.
 *          Tags keep their order; a name that is there twice makes the whole list invalid, as
 *          does anything that the grammar doesn't have. Unknown tags are kept: who asks for
 *          known ones ignores them.
 * Blanks   Folding white space (a blank, a tab, or a line end before one of these) is taken off
 *          around names and values. Within a value it stays: what it means is said by each tag.
 *          A bare LF folds as CRLF does.
 * UTF-8    Values may hold it (RFC 8616); each tag's own grammar decides.
 * Limits   TAGLIST_TAGS tags; one pass over the text, and at most that many comparisons for each
 *          tag.
 * Owner    Slices point into the text.
 * Threads  Any.
 */
#ifndef MM_INGEST_VERDICT_TAGS_H
#define MM_INGEST_VERDICT_TAGS_H

#include "base/buf.h"

#define TAGLIST_TAGS 64

struct tag {
	struct slice name;
	struct slice value; /* without the folding white space around it */
	struct slice raw;   /* all between "=" and ";" (or the end) */
};

struct taglist {
	struct tag at[TAGLIST_TAGS];
	size_t count;
};

/* NULL, or what is wrong with the list, for people. */
const char *taglist_read(struct taglist *out, struct slice text);
/* NULL when there is none. Names have their case. */
const struct tag *taglist_find(const struct taglist *t, const char *name);
/* The value; `at` is NULL when there is no such tag. */
struct slice taglist_value(const struct taglist *t, const char *name);
/* Its value is exactly `want`, or it isn't there and `absent` is true. */
bool taglist_is(const struct taglist *t, const char *name, const char *want, bool absent);

bool fws_is(uint8_t c);
struct slice fws_trim(struct slice s);
/* The next item of a list with a separator, without folding white space around it; `rest` begins as
 * the whole list. False at its end. An empty list has one empty item. */
bool fws_next(struct slice *rest, uint8_t separator, struct slice *item);

/* Characters of a base64 text, without folding white space, that fws_base64 takes. */
#define FWS_BASE64_MOST 4096
/* Base64 with folding white space anywhere, and with or without its padding (as RFC 6376
 * section 2.10 has it). RC_INVALID: something else is in it; RC_LIMIT. */
enum rc fws_base64(struct buf *out, struct slice text) MUST_USE;

#endif
