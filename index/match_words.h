/*
 * index/match_words.h - words of a query as an FTS5 expression
 *
 * Text is tokenised as documents are. A word gives its tokens as a phrase; an address its whole token;
 * a run of a script without spaces its pairs, which stand one after the other as its characters do.
 * Nothing is added where no document can match: a text without tokens, or with no field to look in.
 */
#ifndef MM_INDEX_MATCH_WORDS_H
#define MM_INDEX_MATCH_WORDS_H

#include "base/buf.h"
#include "index/match.h"

#define PHRASE_TOKENS 4096

enum rc words_of_text(struct buf *out, const struct match *m, struct err *e) MUST_USE;
enum rc words_of_near(struct buf *out, const struct match *m, struct err *e) MUST_USE;

#endif
