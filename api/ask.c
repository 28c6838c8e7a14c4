#include "api/ask.h"

#include <stdio.h>

#include "base/clock.h"

static enum rc bind_query(struct ask *a, const struct match *match, struct err *e)
{
	struct slice sort = json_member_text(a->r->args, "sort");
	int64_t limit = json_member_int(a->r->args, "limit", 0);

	query_init(&a->query, a->archive->number, a->archive->name, match);
	if (limit < 0)
		return err_set(e, RC_INVALID, "a limit is 0 (none) or more");
	a->query.limit = (uint64_t)limit;
	if (sort.at && !query_sort_parse(sort, &a->query.sort))
		return err_set(
		        e, RC_INVALID,
		        "--sort is one of newest, oldest, sent, -sent, largest, smallest, rank");
	return RC_OK;
}

enum rc ask_begin(struct ask *a, struct request *r, struct err *e)
{
	struct query_env env = { .now_ms = clock_now_ms() };
	struct match *match;
	enum rc rc;

	*a = (struct ask) { .r = r };
	a->config = engine_config(r->en);
	a->tree = match_tree_new();
	rc = request_archive(r, a->config, &a->archive, e);
	if (rc == RC_OK)
		rc = request_text(r, "query", &a->text, e);
	if (rc == RC_OK)
		rc = query_parse(a->tree, a->text, &env, &match, &a->notes, e);
	if (rc == RC_OK)
		rc = index_check(match, e);
	if (rc == RC_LIMIT)
		rc = e->code = RC_INVALID; /* the asker can mend it */
	return rc == RC_OK ? bind_query(a, match, e) : rc;
}

void ask_end(struct ask *a)
{
	match_tree_free(&a->tree);
	config_unref(&a->config);
}

json_t *ask_notes(const struct ask *a)
{
	json_t *list = json_array();

	for (size_t i = 0; i < a->notes.count; i++) {
		char text[300];

		(void)snprintf(text, sizeof(text), "column %zu: %s", a->notes.note[i].column,
		               a->notes.note[i].text);
		json_push(list, json_of_slice(slice_str(text)));
	}
	return list;
}
