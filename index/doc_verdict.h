/*
 * index/doc_verdict.h - what was found out about who sent a message, in the bits of its row's flags
 *
 * What     SPF, DKIM, ARC, the result of DMARC and what DMARC asks for have four bits each of index_doc.flags
 *          (index_row.flags), above those of enum doc_flag: a number for each of RFC 8601's words, 0 where
 *          nobody looked (DOC_UNCHECKED).
 * Why      The row's flags are part of every shard, and of an index over its rows, so spf:pass needs no new
 *          format, no text and no token: nothing that a message says can be found by it.
 * On disk  The numbers are part of the shard's format (docs/formats.md, "Shard"): none is ever given again.
 * Threads  Any.
 */
#ifndef MM_INDEX_DOC_VERDICT_H
#define MM_INDEX_DOC_VERDICT_H

#include <stdint.h>

#include "base/slice.h"

enum doc_verdict { DOC_SPF, DOC_DKIM, DOC_ARC, DOC_DMARC, DOC_DMARC_ASKS, DOC_VERDICTS };

#define DOC_UNCHECKED "unchecked"

/* "spf", "dkim", "arc", "dmarc"; of DOC_DMARC_ASKS "dmarc_asks". */
const char *doc_verdict_name(enum doc_verdict k);
/* All bits of that kind. */
uint32_t doc_verdict_mask(enum doc_verdict k);
/* The bits of a word, without case; false: it isn't one of this kind. DOC_UNCHECKED has none. */
bool doc_verdict_bits(enum doc_verdict k, struct slice word, uint32_t *bits);
/* The word in a row's flags; NULL where nobody looked, or for a number that this program doesn't know. */
const char *doc_verdict_word(enum doc_verdict k, uint32_t flags);
/* "none, neutral, pass": all words of a kind, for people. */
const char *doc_verdict_words(enum doc_verdict k);

#endif
