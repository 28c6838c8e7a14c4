/* api/op_search.c - search: rows, ids, count or the explanation of a query */
#include "api/ask.h"
#include "api/ops.h"
#include "base/clock.h"
#include "base/limits.h"
#include "query/print.h"
#include "query/row.h"

static enum rc each_row(void *arg, const struct index_row *row, struct err *e)
{
	struct ask *a = arg;

	if (a->ids_only) {
		char id[ID_TEXT + 1];
		json_t *o = json_object();

		id_format(id, &row->id);
		json_put_text(o, "id", slice_str(id));
		return request_row(a->r, o, e);
	}
	return request_row(a->r, row_json(row, a->archive->name), e);
}

/* Every search is entered into the audit log, with how many it hit, before a row is shown. */
static enum rc account(struct ask *a, uint64_t hits, struct err *e)
{
	json_t *detail = json_object();

	json_put_text(detail, "archive", slice_str(a->archive->name));
	json_put_int(detail, "archive_number", a->archive->number);
	json_put_text(detail, "query", a->text);
	json_put_int(detail, "hits", (int64_t)hits);
	json_put_int(detail, "limit", (int64_t)a->query.limit);
	return request_account(a->r, "search", detail, e);
}

/* How the query was understood. Nothing is searched, so nothing is counted. */
static enum rc explain(struct ask *a, struct err *e)
{
	static const char *const found[] = { "hits", "shards", "messages", "not_indexed",
		                             "problems" };
	struct query_stats none = { 0 };
	struct buf engine;
	enum rc rc;

	a->r->result = query_header(&a->query, &none);
	for (size_t i = 0; i < COUNT(found); i++)
		(void)json_object_del(a->r->result, found[i]);
	json_put(a->r->result, "notes", ask_notes(a));
	buf_init(&engine, LIMIT_REQUEST);
	rc = index_explain(a->query.match, &engine);
	if (rc != RC_OK)
		rc = err_set(e, rc, "the explanation is too long");
	else
		json_put_text(a->r->result, "engine", buf_slice(&engine));
	json_put(a->r->result, "tree", query_json(a->query.match));
	buf_free(&engine);
	return rc;
}

static enum rc search(struct ask *a, struct err *e)
{
	struct slice mode = json_member_text(a->r->args, "mode");
	struct query_stats stats;
	struct query_stats shown;
	enum rc rc;

	if (slice_equal(mode, slice_str("explain")))
		return explain(a, e);
	rc = query_count(a->r->en->index, &a->query, &stats, e);
	if (rc == RC_OK)
		rc = account(a, stats.hits, e);
	if (rc != RC_OK)
		return rc;
	a->ids_only = slice_equal(mode, slice_str("ids"));
	if (!slice_equal(mode, slice_str("count")))
		rc = query_run(a->r->en->index, &a->query, each_row, a, &shown, e);
	if (rc != RC_OK)
		return rc;
	a->r->result = query_header(&a->query, &stats);
	json_put(a->r->result, "notes", ask_notes(a));
	return RC_OK;
}

enum rc op_search(struct request *r, struct err *e)
{
	struct ask a;
	enum rc rc = ask_begin(&a, r, e);

	if (rc == RC_OK)
		rc = search(&a, e);
	ask_end(&a);
	return rc;
}
