#include "query/run.h"

#include "base/codec.h"
#include "base/limits.h"
#include "query/parse.h"
#include "query/print.h"

static void bounds_of_group(const struct match *m, int64_t *low, int64_t *high)
{
	bool all = m->kind == MATCH_AND;

	if (!m->child)
		return;
	*low = all ? INT64_MIN : INT64_MAX;
	*high = all ? INT64_MAX : INT64_MIN;
	for (const struct match *c = m->child; c; c = c->next) {
		int64_t a;
		int64_t b;

		query_bounds(c, &a, &b);
		if (!all && a >= b)
			continue; /* this choice has no hit, wherever it would be */
		*low = all ? MAX_OF(*low, a) : MIN_OF(*low, a);
		*high = all ? MIN_OF(*high, b) : MAX_OF(*high, b);
	}
}

void query_bounds(const struct match *m, int64_t *low, int64_t *high)
{
	struct message_id id;

	*low = INT64_MIN;
	*high = INT64_MAX;
	switch (m->kind) {
	case MATCH_NONE:
		*low = *high = 0;
		break;
	case MATCH_AND:
	case MATCH_OR:
		bounds_of_group(m, low, high);
		break;
	case MATCH_RECEIVED:
		*low = m->low;
		*high = m->high;
		break;
	case MATCH_ID:
		if (id_parse(&id, m->text)) {
			*low = id_received_ms(&id);
			*high = *low + 1;
		}
		break;
	default:
		break;
	}
	if (*low >= *high)
		*low = *high = 0;
}

void query_init(struct query *q, uint32_t archive, const char *archive_name, const struct match *m)
{
	*q = (struct query) {
		.archive = archive,
		.archive_name = archive_name,
		.match = m,
		.sort = SORT_RECEIVED_DOWN,
	};
	query_bounds(m, &q->low, &q->high);
}

/* The first name of an order is the one that answers show. */
static const struct {
	const char *name;
	enum index_sort sort;
} sorts[] = {
	{ "-received", SORT_RECEIVED_DOWN },
	{ "newest", SORT_RECEIVED_DOWN },
	{ "received", SORT_RECEIVED_UP },
	{ "oldest", SORT_RECEIVED_UP },
	{ "-sent", SORT_SENT_DOWN },
	{ "sent", SORT_SENT_UP },
	{ "-size", SORT_BYTES_DOWN },
	{ "largest", SORT_BYTES_DOWN },
	{ "size", SORT_BYTES_UP },
	{ "smallest", SORT_BYTES_UP },
	{ "rank", SORT_RANK },
};

bool query_sort_parse(struct slice word, enum index_sort *out)
{
	for (size_t i = 0; i < COUNT(sorts); i++)
		if (slice_equal_nocase(word, slice_str(sorts[i].name))) {
			*out = sorts[i].sort;
			return true;
		}
	return false;
}

const char *query_sort_name(enum index_sort sort)
{
	for (size_t i = 0; i < COUNT(sorts); i++)
		if (sorts[i].sort == sort)
			return sorts[i].name;
	return "";
}

/* ---- running ---- */

struct run {
	enum rc (*each)(void *arg, const struct index_row *row, struct err *e);
	void *arg;
	uint64_t rows;
};

static enum rc run_row(void *arg, const struct index_row *row, struct err *e)
{
	struct run *run = arg;

	run->rows++;
	return run->each(run->arg, row, e);
}

/* What the answer says about the archive; the view is not made when nothing can match. */
static enum rc run_begin(struct index *ix, const struct query *q, struct index_view **view,
                         struct query_stats *stats, struct err *e)
{
	struct index_totals totals = { 0 };
	enum rc rc = index_count(ix, q->archive, &totals, e);

	*view = NULL;
	*stats = (struct query_stats) {
		.messages = totals.messages,
		.not_indexed = totals.not_indexed,
		.problems = totals.problems,
	};
	if (rc != RC_OK || q->low >= q->high)
		return rc;
	rc = index_view_open(view, ix, q->archive, q->low, q->high, e);
	if (rc == RC_OK)
		stats->shards = index_view_shards(*view);
	return rc;
}

enum rc query_run(struct index *ix, const struct query *q,
                  enum rc (*each)(void *arg, const struct index_row *row, struct err *e), void *arg,
                  struct query_stats *stats, struct err *e)
{
	struct run run = { each, arg, 0 };
	struct index_view *view;
	enum rc rc = run_begin(ix, q, &view, stats, e);

	if (rc == RC_OK && view)
		rc = index_view_each(view, q->match, q->sort, q->limit, run_row, &run, e);
	stats->hits = run.rows;
	if (view)
		index_view_close(&view);
	return rc;
}

enum rc query_count(struct index *ix, const struct query *q, struct query_stats *stats,
                    struct err *e)
{
	struct index_view *view;
	enum rc rc = run_begin(ix, q, &view, stats, e);

	if (rc == RC_OK && view)
		rc = index_view_count(view, q->match, &stats->hits, e);
	if (view)
		index_view_close(&view);
	return rc;
}

/* ---- the head of an answer ---- */

static json_t *header_range(const struct query *q)
{
	json_t *range = json_object();
	char text[25];

	if (q->low > INT64_MIN) {
		time_format(text, q->low);
		(void)json_object_set_new(range, "from", json_string(text));
	}
	if (q->high < INT64_MAX) {
		time_format(text, q->high);
		(void)json_object_set_new(range, "to", json_string(text));
	}
	return range;
}

static enum rc canonical(const struct query *q, struct buf *out)
{
	/* A field in front of a group is repeated for each word in it. */
	buf_init(out, 64 * (size_t)LIMIT_QUERY_TEXT);
	return query_print(q->match, out);
}

json_t *query_header(const struct query *q, const struct query_stats *stats)
{
	struct buf text;
	enum rc rc = canonical(q, &text);
	json_t *j = json_pack(
	        "{s:s, s:s, s:[s], s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "zone", QUERY_ZONE, "query",
	        rc == RC_OK ? buf_text(&text) : "", "archives",
	        q->archive_name ? q->archive_name : "", "sort", query_sort_name(q->sort), "limit",
	        (json_int_t)q->limit, "shards", (json_int_t)stats->shards, "hits",
	        (json_int_t)stats->hits, "messages", (json_int_t)stats->messages, "not_indexed",
	        (json_int_t)stats->not_indexed, "problems", (json_int_t)stats->problems);

	if (q->low > INT64_MIN || q->high < INT64_MAX)
		(void)json_object_set_new(j, "received", header_range(q));
	buf_free(&text);
	return j;
}

enum rc query_header_text(const struct query *q, const struct query_stats *stats, struct buf *out)
{
	struct buf text;
	enum rc rc = canonical(q, &text);
	char low[25];
	char high[25];

	time_format(low, q->low > INT64_MIN ? q->low : 0);
	time_format(high, q->high < INT64_MAX ? q->high : 0);
	if (rc == RC_OK)
		rc = buf_addf(out, "archive %s, %u shards, times in %s, query: %s",
		              q->archive_name ? q->archive_name : "", stats->shards, QUERY_ZONE,
		              buf_text(&text));
	if (rc == RC_OK && (q->low > INT64_MIN || q->high < INT64_MAX))
		rc = buf_addf(out, "; received %s%s%s%s", q->low > INT64_MIN ? "from " : "",
		              q->low > INT64_MIN ? low : "",
		              q->high < INT64_MAX ? " and before " : "",
		              q->high < INT64_MAX ? high : "");
	if (rc == RC_OK && stats->not_indexed)
		rc = buf_addf(out, "; not fully indexed: %llu of %llu (find them by is:unindexed)",
		              (unsigned long long)stats->not_indexed,
		              (unsigned long long)stats->messages);
	buf_free(&text);
	return rc == RC_OK ? buf_add_byte(out, '\n') : rc;
}
