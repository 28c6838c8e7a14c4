/*
 * ingest/verdict/verdict_words.h - the words of verdicts, and what may be said in them
 *
 * What     The API's four words of RFC 8601's results (docs/verdicts.md, "Words"); a check of verdicts
 *          that somebody else
 *          computed: the members, words, lengths and characters that verdict_json makes, and no others; and those of
 *          a message that nothing could be found out about.
 * Threads  Any.
 */
#ifndef MM_INGEST_VERDICT_VERDICT_WORDS_H
#define MM_INGEST_VERDICT_VERDICT_WORDS_H

#include "base/json.h"
#include "ingest/verdict/arc.h"
#include "ingest/verdict/dkim.h"
#include "ingest/verdict/spf.h"

const char *verdict_of_spf(enum spf_result r);
const char *verdict_of_dkim(enum dkim_result r);
const char *verdict_of_arc(enum arc_result r);

/* RC_INVALID, and what is wrong. */
enum rc verdicts_valid(const json_t *verdicts, struct err *e) MUST_USE;
/* All four are PROCESSING_FAILED; `why` is for people. A new reference. */
json_t *verdicts_failed(const char *why);

#endif
