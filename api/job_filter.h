/*
 * api/job_filter.h - the filters of a search or an export, as what the index runs
 *
 * What     Received in [FromTimestamp, ToTimestamp), every Include, no Unless. A StringExpression is met
 *          when one of its Values is. TO, FROM, CC, SUBJECT, ENVELOPE_TO, ENVELOPE_FROM CONTAIN a value as
 *          a part of the row's text, whatever its case. The attributes that mm adds (profile "open")
 *          are looked up in the index: BODY, ATTACHMENT, FILENAME, ALL as words that stand one after the
 *          other (a * at the end: the last one is the beginning of a word), MESSAGE_ID as a whole.
 * Owner    The tree has the nodes and copies of all texts.
 * Fails    RC_INVALID names the member.
 */
#ifndef MM_API_JOB_FILTER_H
#define MM_API_JOB_FILTER_H

#include "base/json.h"
#include "index/match.h"

/* `input` has Filters (may be absent), FromTimestamp, ToTimestamp. */
enum rc job_filter(struct match_tree *t, const json_t *input, struct match **out,
		   struct err *e) MUST_USE;

#endif
