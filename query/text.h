/*
 * query/text.h - characters of bytes of unknown make (inside query/)
 */
#ifndef MM_QUERY_TEXT_H
#define MM_QUERY_TEXT_H

#include "base/buf.h"

#define CHAR_INVALID UINT32_MAX

/* Length of the first character of a slice that is not empty, and its code point. A byte that begins
 * no valid character (RFC 3629) has length 1 and is CHAR_INVALID. */
size_t text_char(struct slice s, uint32_t *point);
/* White space of any script, control characters included. */
bool   text_is_blank(uint32_t point);
/* " and the typographic double quotes that keyboards and word processors put in its place. */
bool   text_is_quote(uint32_t point);
/* C0, C1, DEL, line and paragraph separators, direction marks, and others that are not seen. */
bool   text_is_control(uint32_t point);
/* Valid UTF-8 with a blank in place of each control character. */
enum rc text_clean(struct slice text, struct buf *out) MUST_USE;
/* For "%.*s" in messages: at most 70 bytes, no character cut. */
#define SHOWN(s) (int)text_shown(s), (const char *)(s).at
size_t text_shown(struct slice s);
/* A cell of a CSV row: quoted where RFC 4180 wants it, and with a leading ' where a spreadsheet
 * would take the content for a formula (OWASP "CSV injection"). */
enum rc csv_cell(struct slice text, struct buf *out) MUST_USE;

#endif
