/*
 * query/lex.h - the items of a query text (inside query/)
 *
 * The lexer never fails: whatever it doesn't know is a word.
 */
#ifndef MM_QUERY_LEX_H
#define MM_QUERY_LEX_H

#include "query/words.h"

#define NEAR_UNSAID UINT64_MAX

enum item_kind {
	ITEM_END,
	ITEM_WORD,   /* text, prefix */
	ITEM_PHRASE, /* text between quotes, prefix */
	ITEM_ALL,    /* a lone * */
	ITEM_FIELD,  /* field and op; its value follows */
	ITEM_OPEN,
	ITEM_CLOSE,
	ITEM_BRACE_OPEN,
	ITEM_BRACE_CLOSE,
	ITEM_AND,
	ITEM_OR,
	ITEM_NOT,    /* NOT, or - in front of something */
	ITEM_NEAR,   /* number, or NEAR_UNSAID */
};

struct item {
	enum item_kind     kind;
	size_t             from; /* place in the text, in bytes */
	struct slice       text; /* of words and phrases; fields: the name with what follows it */
	bool               prefix;
	bool               open_quote; /* the phrase has no closing quote */
	bool               attached;   /* a field whose value follows without a blank */
	bool               unknown;    /* a word of the form name:value with an unknown name */
	const struct word *field;
	enum compare       op;
	uint64_t           number;
};

struct lexer {
	struct slice text; /* valid UTF-8 without control characters */
	size_t       at;
};

struct item lex_next(struct lexer *l);
/* What stands right here as the value of `field`: a run up to the next blank, parenthesis, brace or
 * quote, taken literally. */
struct item lex_value(struct lexer *l, const struct word *field);
/* Whether a text can stand without quotes behind a field's colon (but for stars and brackets). */
bool lex_is_value(struct slice text);
/* Whether a text can stand without quotes and is read as one word. */
bool lex_is_plain(struct slice text);

#endif
