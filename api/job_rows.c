#include "api/job_rows.h"

#include <stdlib.h>

#include "api/message_view.h"
#include "base/limits.h"
#include "retention/erase.h"

#define AT_ONCE      100      /* ids in one look-up: far from SQLite's limits */
#define ANSWER_BYTES 41943040 /* of texts in all rows; JSON's escapes fit into the rest */
#define TEXT_MOST    16384

struct rows {
	struct request *asked;
	struct engine *en;
	struct db *db;
	const struct archive_info *archive;
	json_t *list;
	struct message_id ids[AT_ONCE];
	size_t count;
	size_t most;
	struct buf meta;
	struct buf raw;
};

static enum rc add_row(void *arg, const struct index_row *row, struct err *e)
{
	struct rows *r = arg;
	struct message_view v = { .archive = r->archive,
		                  .options = &r->en->api,
		                  .id = row->id,
		                  .row = row,
		                  .most = r->most };
	json_t *o;
	bool erased;
	enum rc rc = erased_has(r->db, r->archive->number, &row->id, &erased, e);

	if (rc != RC_OK || erased)
		return rc;
	buf_clear(&r->meta);
	buf_clear(&r->raw);
	rc = store_get(r->en->store, r->archive->number, &row->id, &r->meta, &r->raw, e);
	if (rc == RC_NOTFOUND)
		return RC_OK; /* destroyed in this moment */
	v.meta = buf_slice(&r->meta);
	v.raw = buf_slice(&r->raw);
	if (rc == RC_OK)
		rc = view_row(&v, &o, e);
	if (rc == RC_OK)
		json_push(r->list, o);
	return rc;
}

static void add_ids(struct rows *r, struct match_tree *t, struct match *any)
{
	for (size_t i = 0; i < r->count; i++) {
		struct match *m = match_new(t, MATCH_ID);
		char id[ID_TEXT + 1];

		id_format(id, &r->ids[i]);
		m->text = match_text(t, slice_of(id, ID_TEXT));
		match_add(any, m);
	}
}

/* The rows of the ids that were collected. They are newest first, and so is what the index gives.
 */
static enum rc flush(struct rows *r, struct err *e)
{
	struct match_tree *t = match_tree_new();
	struct match *any = match_new(t, MATCH_OR);
	struct index_view *view = NULL;
	enum rc rc = request_allowed(r->asked, e);

	if (rc == RC_OK && r->asked->w && request_gone(r->asked->w))
		rc = err_set(e, RC_AGAIN, "who asked has gone");
	add_ids(r, t, any);
	if (rc == RC_OK && r->count)
		rc = index_view_open(&view, r->en->index, r->archive->number,
		                     id_received_ms(&r->ids[r->count - 1]),
		                     id_received_ms(&r->ids[0]) + 1, e);
	if (rc == RC_OK && r->count)
		rc = index_view_each(view, any, SORT_RECEIVED_DOWN, 0, add_row, r, e);
	index_view_close(&view);
	match_tree_free(&t);
	r->count = 0;
	return rc;
}

static enum rc take(void *arg, uint64_t place, const struct job_hit *hit, struct err *e)
{
	struct rows *r = arg;

	(void)place;
	r->ids[r->count++] = hit->id;
	return r->count == AT_ONCE ? flush(r, e) : RC_OK;
}

enum rc job_rows(struct request *asked, struct db *db, const struct job *j,
                 const struct archive_info *a, json_t *out, struct err *e)
{
	struct rows *r = mem_new(sizeof(*r));
	uint64_t next;
	uint64_t hits;
	enum rc rc = job_progress(db, j->number, &next, &hits, e);

	r->asked = asked;
	r->en = asked->en;
	r->db = db;
	r->archive = a;
	r->list = json_array();
	r->most = MIN_OF((size_t)(ANSWER_BYTES / 8 / MAX_OF(hits, (uint64_t)1)), (size_t)TEXT_MOST);
	buf_init(&r->meta, LIMIT_REQUEST);
	buf_init(&r->raw, LIMIT_REQUEST);
	if (rc == RC_OK && r->most < 64)
		rc = err_set(e, RC_LIMIT, "there are too many rows for one answer");
	if (rc == RC_OK)
		rc = job_each_hit(db, j->number, 0, take, r, e);
	if (rc == RC_OK)
		rc = flush(r, e);
	json_put(out, "Rows", r->list);
	buf_free(&r->meta);
	buf_free(&r->raw);
	free(r);
	return rc;
}
