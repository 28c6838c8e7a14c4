/*
 * ingest/mime/html.h - the words of an HTML text
 *
 * What     Tags go: those of blocks separate words, those inside a line don't ("f<b>oo</b>" is foo).
 *          Comments, scripts and styles go. Character references are decoded. Titles and alternative
 *          texts stay, and the targets of links follow at the end. What isn't closed is text: nothing
 *          may hide behind a missing '>'.
 * Threads  Any.
 */
#ifndef MM_INGEST_MIME_HTML_H
#define MM_INGEST_MIME_HTML_H

#include "base/buf.h"

/* Both UTF-8. False when `out` is full. */
bool html_to_text(struct buf *out, struct slice html);
/* The character set that a <meta> in the first bytes names, or an empty slice. */
struct slice html_charset(struct slice html);
/* The code point of a named reference ("auml"), or 0. */
uint32_t html_entity(struct slice name);

#endif
