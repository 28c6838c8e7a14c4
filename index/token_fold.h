/*
 * index/token_fold.h - classes and folded forms of characters
 *
 * A unit is what is folded together: a character that normalisation may start at, with those behind
 * it that it may combine with (accents, jamo). Units of one character come from a table that is
 * filled from ICU a block of 256 at a time; longer ones are folded when they are met. Part of the
 * frozen tokenizer: index/token.h.
 */
#ifndef MM_INDEX_TOKEN_FOLD_H
#define MM_INDEX_TOKEN_FOLD_H

#include "base/slice.h"

enum unit_class {
	UNIT_SEPARATE, /* no letter, digit or mark; invalid UTF-8 */
	UNIT_IGNORE,   /* nothing is left of it, and it doesn't separate: soft hyphen, joiners */
	UNIT_WORD,
	UNIT_SINGLE,   /* of a script without spaces: each character is a token */
};

#define UNIT_CHARACTERS 32  /* a longer pile of marks is cut into several units */
#define UNIT_FOLDED     640 /* bytes; the longest folding of a character has 18 (U+FDFA) */

struct unit {
	enum unit_class class;
	const uint8_t *text; /* folded; into `own` or a table that lives for ever */
	size_t len;
	size_t next;         /* where the next unit begins */
	uint8_t own[UNIT_FOLDED];
};

/* The unit at `at`, which is inside the text. */
void unit_read(struct unit *u, struct slice text, size_t at);
/* Letters and digits of ASCII. */
extern const uint8_t ascii_word[256]; /* the folded byte, or 0 */

#endif
