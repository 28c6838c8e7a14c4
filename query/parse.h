/*
 * query/parse.h - what people type, as a tree of index/match.h
 *
 * What     The language of mm-search, mm-export and mm-retention: the words that Gmail and notmuch
 *          users type and the names of Purview. docs/man/mm-query.7.md is its manual.
 * Why      One grammar for every way to ask, free of the engine's syntax, so no input is ever an
 *          engine's error.
 * Rules    - Terms side by side must all match. AND, OR, NOT, NEAR and AROUND are operators in
 *            capitals; in small letters they are words. NEAR binds first, then NOT and -, then AND,
 *            then OR.
 *          - What isn't understood is searched as text, and a note says so. Only an empty text (or
 *            a single *) means every message: a text without one letter or digit means none.
 *          - Ranges are half-open: low <= value < high. The zone is UTC.
 * Owner    Nodes and texts belong to the tree; `text` may go after the call.
 * Fails    RC_LIMIT: longer than LIMIT_QUERY_TEXT, or deeper than LIMIT_QUERY_DEPTH. RC_INVALID: a
 *          value that a typed field can't take (after:yesterdayish, larger:abc); the text names the
 *          column and what is accepted.
 * Threads  Any; nothing is shared.
 */
#ifndef MM_QUERY_PARSE_H
#define MM_QUERY_PARSE_H

#include "base/err.h"
#include "index/match.h"

#define QUERY_ZONE  "UTC"
#define QUERY_NOTES 16  /* further ones are counted only */
#define QUERY_NEAR  10  /* words, for NEAR and AROUND without a number */

struct query_env {
	int64_t now_ms; /* for older_than:, newer_than:, today and yesterday */
};

/* Something that the asker should know about how the text was read. */
struct query_note {
	size_t column; /* from 1, in characters */
	char   text[240];
};

struct query_notes {
	size_t            count; /* of notes in `note` */
	size_t            more;  /* that did not fit */
	struct query_note note[QUERY_NOTES];
};

/* Never gives *out = NULL with RC_OK. `notes` may be NULL; it is emptied first. */
enum rc query_parse(struct match_tree *t, struct slice text, const struct query_env *env,
		    struct match **out, struct query_notes *notes, struct err *e) MUST_USE;

#endif
