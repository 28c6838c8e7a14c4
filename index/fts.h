/*
 * index/fts.h - what a connection to a shard needs to know beside SQLite: tokens, functions
 *
 * Tokenizer "mm" gives FTS5 the tokens of index/token.h for documents. In a MATCH expression a string
 * holds ready tokens, separated by blanks (index/match_sql.c makes them), so what a user types never
 * reaches FTS5's own parser. In raw mode a document is a list of tokens that were read from another
 * shard: see fts_raw_add.
 *
 * SQL functions: mm_contains(text, part) - substring without case; mm_in_net(address, network).
 */
#ifndef MM_INDEX_FTS_H
#define MM_INDEX_FTS_H

#include "store/db.h"

struct fts;

/* Registers all of it; what is returned lives as long as the connection. */
enum rc fts_register(struct fts **out, struct db *db, struct err *e) MUST_USE;
/* While set, inserted documents are lists by fts_raw_add instead of text. */
void fts_set_raw(struct fts *f, bool raw);
/* Adds a token to the list of a column. Positions must not fall; `last` is the one before, UINT32_MAX
 * at first, and is updated. A list that skips a position is refused when it is inserted. */
enum rc fts_raw_add(struct buf *list, struct slice term, uint32_t position, uint32_t *last) MUST_USE;

#endif
