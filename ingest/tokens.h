/*
 * ingest/tokens.h - client tokens: the same request twice is done once
 *
 * What     Remembers for TOKEN_HOURS what an operation made for a principal's token. The same token with
 *          the same parameters gives the first id again; with others it is a conflict.
 * Inside   a transaction of the caller: what was made and its token are kept together.
 * Threads  As the struct db: one at a time.
 * On disk  docs/formats.md, "Resources"
 */
#ifndef MM_INGEST_TOKENS_H
#define MM_INGEST_TOKENS_H

#include "base/json.h"
#include "store/db.h"

#define TOKEN_HOURS   24
#define TOKEN_ID_ROOM 64

struct token {
	struct slice operation; /* "CreateRuleSet" */
	struct slice principal;
	struct slice text;        /* empty: the request has none */
	const json_t *parameters; /* the input but for ClientToken; the order of members doesn't matter */
};

enum rc tokens_open(struct db *control, struct err *e) MUST_USE;
/* RC_OK: `id` (TOKEN_ID_ROOM) is what it made. RC_NOTFOUND, without text: go on. RC_EXISTS: other
 * parameters. */
enum rc tokens_find(struct db *control, const struct token *t, int64_t now_ms, char *id,
		    struct err *e) MUST_USE;
/* Also forgets the old ones. Nothing without a text. */
enum rc tokens_keep(struct db *control, const struct token *t, int64_t now_ms, struct slice id,
		    struct err *e) MUST_USE;

#endif
