/*
 * query/print.h - a match as text for people and programs
 *
 * The canonical text is in the query language itself: what query_parse made prints to a text that
 * parses to the same tree. Groups have parentheses, dates are instants, sizes are bytes.
 * (MATCH_CONTAINS, which only the API makes, prints as `subject~"x"` and has no other form.)
 */
#ifndef MM_QUERY_PRINT_H
#define MM_QUERY_PRINT_H

#include <jansson.h>

#include "base/buf.h"
#include "index/match.h"

/* Adds the text to `out`. RC_LIMIT when the buffer's limit is too small. */
enum rc query_print(const struct match *m, struct buf *out) MUST_USE;
/* {"and":[…]}, {"or":[…]}, {"not":…}, {"near":[…],"words":5}, {"text":"x","fields":[…],
 * "prefix":true}, {"received":{"from":…,"to":…}}, {"bytes":{…}}, {"has":[…]}, …
 * A new reference. Times are ISO 8601 in UTC; an open end is absent. */
json_t *query_json(const struct match *m);

#endif
