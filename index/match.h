/*
 * index/match.h - what a message must be like: the tree that query/ builds and a shard runs
 *
 * It is free of any engine's syntax. Nodes live in the arena-like owner that made them (struct
 * match_tree) and are freed together. Words are raw text: index/ makes the tokens. A text leaf
 * matches a message when its words stand one after the other in one of `fields`.
 */
#ifndef MM_INDEX_MATCH_H
#define MM_INDEX_MATCH_H

#include "index/doc.h"

enum match_kind {
	MATCH_ALL,      /* every message */
	MATCH_NONE,     /* no message */
	MATCH_AND,      /* all children */
	MATCH_OR,       /* one child at least */
	MATCH_NOT,      /* not the only child */
	MATCH_TEXT,     /* text: a word or phrase, `prefix` for word* */
	MATCH_NEAR,     /* all children (MATCH_TEXT on the same fields) within `number` words */
	MATCH_RECEIVED, /* low <= received_ms < high */
	MATCH_SENT,     /* low <= sent_ms < high; no Date: never matches */
	MATCH_BYTES,    /* low <= bytes < high */
	MATCH_FLAG,     /* any of the bits in `number` is set in flags */
	MATCH_VERDICT,  /* the bits of the kind `number` (enum doc_verdict) are `low` in flags */
	MATCH_ID,       /* text is the id (26 characters) */
	MATCH_MSGID,    /* text equals Message-ID (angle brackets ignored, ASCII case ignored) */
	MATCH_INGRESS,  /* text equals the ingress point's name, ASCII case ignored */
	MATCH_IP,       /* text: address or CIDR */
	MATCH_CONTAINS, /* text is a substring, without case, of the row's column in `fields`
	                 * (subject, from, to, cc, envelope): the API's CONTAINS */
	MATCH_SHA256,   /* text: 64 hex digits */
};

#define FIELD_BIT(f) (1u << (f))
#define FIELDS_ALL   (FIELD_BIT(DOC_FIELDS) - 1)
/* to: any recipient, envelope too (docs/man/mm-query.7) */
#define FIELDS_TO                                                                                  \
	(FIELD_BIT(DOC_TO) | FIELD_BIT(DOC_CC) | FIELD_BIT(DOC_BCC) | FIELD_BIT(DOC_ENVELOPE_TO))
/* from: the headers; envelope-from: is a word of its own */
#define FIELDS_FROM FIELD_BIT(DOC_FROM)

struct match {
	enum match_kind kind;
	uint32_t        fields; /* bits of FIELD_BIT */
	bool            prefix; /* MATCH_TEXT: the last word is the beginning of one */
	int64_t         low;
	int64_t         high;
	uint64_t        number;
	struct slice    text;
	struct match   *child; /* first child */
	struct match   *next;  /* next sibling */
};

/* Owner of nodes and of the copies of their texts. */
struct match_tree;
struct match_tree *match_tree_new(void);
void               match_tree_free(struct match_tree **t);
struct match      *match_new(struct match_tree *t, enum match_kind kind);
struct slice       match_text(struct match_tree *t, struct slice text); /* copies */
void               match_add(struct match *parent, struct match *child); /* at the end */

#endif
