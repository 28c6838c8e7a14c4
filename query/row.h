/*
 * query/row.h - a result row for programs and for people
 *
 * Times are ISO 8601 in UTC with milliseconds. In text for people every control character that mail
 * brings (escape sequences, direction marks too) is shown as \xNN or \u{NNNN}, so a subject can't
 * drive a terminal or forge a line.
 */
#ifndef MM_QUERY_ROW_H
#define MM_QUERY_ROW_H

#include <jansson.h>

#include "index/index.h"

/* Strings: id archive received sent (null when unknown) from subject message_id sha256
 * envelope_from ingress ip problem; numbers: bytes; arrays of strings: to cc bcc envelope_to
 * attachments; booleans: has_attachment parse_problem not_indexed; and spf dkim arc dmarc dmarc_asks, words
 * (index/doc_verdict.h) or null. A new reference. */
json_t *row_json(const struct index_row *row, const char *archive);
/* Two lines: "ID  2026-11-23T21:46:19Z  12.3 KB  From -> To" and "    Subject", with marks for
 * attachments and problems; where verdicts were found out a third one, as a query has them:
 * "  = spf:pass dkim:fail". */
enum rc row_text(const struct index_row *row, struct buf *out) MUST_USE;

/* Bytes of unknown make, safe on a terminal: see above. Invalid UTF-8 is shown as \xNN. A line feed
 * is escaped too. */
enum rc text_escape(struct slice text, struct buf *out) MUST_USE;
/* Bytes of unknown make as valid UTF-8: what isn't is replaced by U+FFFD. */
enum rc text_utf8(struct slice text, struct buf *out) MUST_USE;

#endif
