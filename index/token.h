/*
 * index/token.h - text to tokens, frozen
 *
 * The same function makes the tokens of documents and of queries, for every engine; a change of what
 * it emits is a new TOKENIZER_VERSION, and each shard records the version it was made with.
 *
 *  - Characters are classed by ICU (letters, digits, marks; a fast path for ASCII) and folded by NFKC
 *    case folding, accents removed: Straße -> strasse, É -> e, ﬁ -> fi.
 *  - A run of letters and digits is a word. Everything else separates, and counts no position.
 *  - Chinese, Japanese, Korean, Thai, Lao, Khmer, Myanmar: each character is a token at a position of
 *    its own, and with its neighbour a two-character token at the same position. A line break
 *    between the two parts them not: such text is wrapped at any character.
 *  - An address (local@domain) is also one whole token at the position of its first word; a host
 *    name (two labels or more joined by dots) one at the position of its first label.
 *  - A word longer than TOKEN_MAX bytes is cut to TOKEN_MAX (on a character), never dropped.
 */
#ifndef MM_INDEX_TOKEN_H
#define MM_INDEX_TOKEN_H

#include "base/err.h"
#include "base/slice.h"

#define TOKENIZER_VERSION 1
#define TOKEN_MAX         128 /* bytes of UTF-8 after folding */

enum token_kind {
	TOKEN_WORD,   /* a word, or one character of a script without spaces */
	TOKEN_PAIR,   /* two neighbouring characters of such a script; at the place of the first */
	TOKEN_ADDRESS,/* a whole address; at the place of its first word */
	TOKEN_HOST,   /* a whole host name; at the place of its first label */
};

struct token {
	enum token_kind kind;
	uint32_t        position; /* of its first character's word; equal positions are colocated */
	struct slice    text;     /* folded, UTF-8; lives for the call of `each` */
	size_t          from;     /* bytes of the source that it stands for: [from, to) */
	size_t          to;
};

/* Tokens in order of position (whole tokens after the first word that they share it with). Invalid
 * UTF-8 separates. Stops when `each` returns not RC_OK. */
enum rc token_each(struct slice text, enum rc (*each)(void *arg, const struct token *t), void *arg);

#endif
