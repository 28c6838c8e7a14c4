/*
 * index/match_sql.h - a match tree as what SQLite runs on a shard
 *
 * Subtrees of words alone become one FTS5 expression; everything else is SQL over `message`, with
 * FTS5 expressions as sub-selects. Where words stand at the top of an AND they drive the query, so hits
 * come newest first without a sort; in a shard whose numbers are not in order the places do. User text is
 * in tokens and parameters only.
 */
#ifndef MM_INDEX_MATCH_SQL_H
#define MM_INDEX_MATCH_SQL_H

#include "base/buf.h"
#include "index/index.h"
#include "index/match.h"

#define MATCH_LEAVES 4096 /* conditions in a query; SQLite's own limits are behind it */
/* FTS5 expressions in a query. SQLite keeps what each of them finds in a shard, 10 bytes a message, until
 * that shard is done. */
#define MATCH_LISTS  256

struct conn;
struct match_plan;

/* RC_LIMIT: too many conditions or FTS5 expressions, or nested deeper than LIMIT_QUERY_DEPTH. */
enum rc  match_plan_make(struct match_plan **out, const struct match *m, struct err *e) MUST_USE;
void     match_plan_free(struct match_plan **p);
bool     match_plan_is_none(const struct match_plan *p); /* no message can match */
/* "SELECT count(*)". */
enum rc  match_plan_count(struct match_plan *p, struct conn *c, struct stmt **out,
                          struct err *e) MUST_USE;
/* "SELECT n, key" in order of (key, place); limit 0: none. See match_order. */
enum rc  match_plan_select(struct match_plan *p, struct conn *c, enum index_sort sort, uint64_t limit,
                           struct stmt **out, struct err *e) MUST_USE;
/* Below 0: the row (key a, at a) comes before (key b, at b). */
int      match_order(enum index_sort sort, int64_t key_a, int64_t at_a, int64_t key_b, int64_t at_b);
enum rc  match_plan_explain(struct match_plan *p, struct buf *out) MUST_USE;

#endif
