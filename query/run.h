/*
 * query/run.h - a query put to an index, and what the answer says about itself
 *
 * What     A match with archive, order and limit; run over the shards that can hold a hit.
 * Why      Every answer tells its zone, its ranges, what it searched and what it could not search,
 *          so that a count can be relied on.
 * Owner    A query borrows the archive's name and the match.
 * Fails    As index/index.h; whatever `each` returns.
 * Threads  As index_view: any thread, one query belongs to one.
 */
#ifndef MM_QUERY_RUN_H
#define MM_QUERY_RUN_H

#include <jansson.h>

#include "index/index.h"

struct query {
	uint32_t            archive; /* number */
	const char         *archive_name;
	const struct match *match;
	enum index_sort     sort;
	uint64_t            limit; /* 0: none */
	int64_t             low, high; /* received: no hit is outside; query_init sets them */
};

struct query_stats {
	uint64_t hits;        /* rows given, or counted */
	unsigned shards;      /* searched */
	uint64_t messages;    /* in the archive's index */
	uint64_t not_indexed; /* of them: part of the text is not in the index */
	uint64_t problems;    /* of them: could not be read in full */
};

/* Received times that a hit of `m` can have: low <= t < high (INT64_MIN, INT64_MAX: open; equal:
 * nothing can match). */
void query_bounds(const struct match *m, int64_t *low, int64_t *high);
/* Newest first, no limit, bounds from the match. */
void query_init(struct query *q, uint32_t archive, const char *archive_name, const struct match *m);

/* "received", "-received" (newest first), "sent", "-sent", "size", "-size", "rank"; also "newest",
 * "oldest", "largest", "smallest". False for any other word. */
bool        query_sort_parse(struct slice word, enum index_sort *out);
const char *query_sort_name(enum index_sort sort);

enum rc query_run(struct index *ix, const struct query *q,
		  enum rc (*each)(void *arg, const struct index_row *row, struct err *e), void *arg,
		  struct query_stats *stats, struct err *e) MUST_USE;
/* All hits, whatever the limit. */
enum rc query_count(struct index *ix, const struct query *q, struct query_stats *stats,
		    struct err *e) MUST_USE;

/* The head of an answer: {"zone":"UTC","query":canonical,"archives":[name],"sort":…,"limit":…,
 * "received":{"from":…,"to":…} (half-open, only with a bound),"shards":…,"hits":…,"messages":…,
 * "not_indexed":…,"problems":…}. A new reference. */
json_t *query_header(const struct query *q, const struct query_stats *stats);
/* The same for people, one line. */
enum rc query_header_text(const struct query *q, const struct query_stats *stats,
			  struct buf *out) MUST_USE;

#endif
