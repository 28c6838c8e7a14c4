#include "index/index_parts.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/file.h"

/* What goes from one shard. */
struct selection {
	int64_t *gone;
	size_t count;
	uint64_t rows; /* of the shard */
};

static int compare_lots(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Has the shard a message of one of the (sorted) lots? Read from an index alone. */
static enum rc has_lot(struct conn *c, const uint64_t *lots, size_t count, bool *has, struct err *e)
{
	struct stmt *s;
	uint64_t lot;
	enum rc rc;

	*has = count == 0;
	if (*has)
		return RC_OK;
	rc = db_prepare(conn_db(c), &s, "SELECT DISTINCT lot FROM message", e);
	if (rc != RC_OK)
		return rc;
	while (!*has && (rc = stmt_step(s, e)) == RC_OK) {
		lot = (uint64_t)stmt_int(s, 0);
		*has = bsearch(&lot, lots, count, sizeof(lot), compare_lots) != NULL;
	}
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc select_gone(struct conn *c, index_gone gone, void *arg, struct selection *out,
                           struct err *e)
{
	struct stmt *s;
	struct message_id id;
	enum rc rc = db_prepare(conn_db(c), &s, "SELECT n, id, lot FROM message ORDER BY n", e);

	if (rc != RC_OK)
		return rc;
	while ((rc = stmt_step(s, e)) == RC_OK) {
		struct slice bytes = stmt_blob(s, 1);

		if (bytes.len != ID_BYTES) {
			rc = err_set(e, RC_CORRUPT, "%s: a row without an id", db_path(conn_db(c)));
			break;
		}
		memcpy(id.b, bytes.at, ID_BYTES);
		out->rows++;
		if (!gone(arg, &id, (uint64_t)stmt_int(s, 2)))
			continue;
		if ((out->count & (out->count - 1)) == 0) /* room for the next power of two */
			out->gone = mem_resize(out->gone, MAX_OF(out->count * 2, (size_t)1) *
			                                          sizeof(*out->gone));
		out->gone[out->count++] = stmt_int(s, 0);
	}
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc load_stats(struct shard *s, struct err *e)
{
	struct conn *c;
	enum rc rc = conn_open(&c, s->path, s->key, true, DB_READ, e);

	if (rc == RC_OK)
		rc = conn_stats(c, &s->stats, e);
	conn_close(&c);
	return rc;
}

/* The new shard comes and the old one dies at once for whoever opens a view. */
static void replace(struct shard *old, struct shard *fresh)
{
	struct index *ix = old->ix;

	if (fresh) {
		lock_index(ix);
		fresh->listed = true;
		fresh->next = ix->shards;
		ix->shards = fresh;
		old->dead = true;
		unlock_index(ix);
	}
	shard_set_dead(old); /* and its idle connections go */
}

static enum rc rewrite(struct index *ix, struct shard *old, struct conn *c,
                       const struct selection *sel, struct err *e)
{
	struct shard_meta meta = { .archive = old->meta.archive,
		                   .number = ++ix->last_number,
		                   .replaces = old->meta.number,
		                   .created_ms = old->meta.created_ms };
	struct shard *fresh = shard_new(ix, &meta, true);
	enum rc rc = shard_key_new(ix, fresh, e);

	if (rc == RC_OK)
		rc = shard_rewrite(c, fresh->path, fresh->key, &meta, sel->gone, sel->count, e);
	if (rc == RC_OK)
		rc = load_stats(fresh, e);
	if (rc == RC_OK && fresh->stats.messages != sel->rows - sel->count)
		rc = err_set(e, RC_CORRUPT, "%s has %llu messages instead of %llu", fresh->path,
		             (unsigned long long)fresh->stats.messages,
		             (unsigned long long)(sel->rows - sel->count));
	if (rc == RC_OK)
		rc = catalogue_put(ix, fresh, e);
	if (rc != RC_OK) {
		shard_abandon(fresh);
		return rc;
	}
	replace(old, fresh);
	return RC_OK;
}

static void forget_writer(struct index *ix, const struct shard *s)
{
	struct writer *w = writer_find(ix, s->meta.archive);

	if (w && w->shard == s)
		writer_free(ix, w);
}

struct removal {
	struct index *ix;
	const uint64_t *lots; /* sorted */
	size_t lot_count;
	index_gone gone;
	void *arg;
	uint64_t *dead;
	size_t room;
	size_t count;
	uint64_t removed;
	int64_t low; /* when the lots' mail was received */
	int64_t high;
};

/* A lot is of a day: shards without mail of these days need not be opened. */
static void bound(struct removal *r)
{
	r->low = INT64_MIN;
	r->high = INT64_MAX;
	for (size_t i = 0; i < r->lot_count; i++) {
		struct key_info k;
		int64_t begin;

		if (keyring_info(r->ix->kr, r->lots[i], &k, NULL) != RC_OK) {
			r->low = INT64_MIN; /* of any day */
			r->high = INT64_MAX;
			return;
		}
		begin = (int64_t)k.day * MS_PER_DAY;
		r->low = i == 0 ? begin : MIN_OF(r->low, begin);
		r->high = i == 0 ? begin + MS_PER_DAY : MAX_OF(r->high, begin + MS_PER_DAY);
	}
}

static enum rc remove_selected(struct removal *r, struct shard *s, struct conn *c,
                               const struct selection *sel, struct err *e)
{
	enum rc rc = RC_OK;

	if (sel->count == 0)
		return RC_OK;
	if (sel->count < sel->rows)
		rc = rewrite(r->ix, s, c, sel, e);
	else
		replace(s, NULL);
	if (rc != RC_OK)
		return rc;
	forget_writer(r->ix, s);
	r->dead[r->count++] = s->key_id;
	r->removed += sel->count;
	return RC_OK;
}

static enum rc remove_from(struct removal *r, struct shard *s, struct err *e)
{
	struct selection sel = { 0 };
	struct conn *c = NULL;
	bool has = false;
	enum rc rc;

	if (s->stats.messages &&
	    (s->stats.received_high < r->low || s->stats.received_low >= r->high))
		return RC_OK;
	if (s->damaged)
		return err_set(e, RC_CORRUPT, "%s is damaged: reindex", s->path);
	rc = shard_borrow(s, &c, e);
	if (rc == RC_OK)
		rc = has_lot(c, r->lots, r->lot_count, &has, e);
	/* Before `gone` is asked: it may count what goes, and is asked again by the next call. */
	if (rc == RC_OK && has && r->count == r->room)
		rc = err_set(e, RC_LIMIT, "more than %zu shards lose messages", r->room);
	if (rc == RC_OK && has)
		rc = select_gone(c, r->gone, r->arg, &sel, e);
	if (rc == RC_OK)
		rc = remove_selected(r, s, c, &sel, e);
	free(sel.gone);
	shard_return(s, &c);
	return rc;
}

/* A caller whose room was full has destroyed keys and asks again, before their files are dropped.
 */
static bool key_lives(const struct shard *s)
{
	struct key_info k;

	return keyring_info(s->ix->kr, s->key_id, &k, NULL) ==
	       RC_OK; /* only lots leave a tombstone */
}

/* Shards that an earlier call (of an earlier process, too) replaced and whose keys still live. */
static enum rc report_dead(struct removal *r, uint32_t archive, struct err *e)
{
	struct shard **list;
	size_t count = shards_hold(r->ix, archive, true, &list);
	enum rc rc = RC_OK;

	for (size_t i = 0; i < count; i++) {
		bool known = !list[i]->dead || !key_lives(list[i]);

		for (size_t k = 0; k < r->count; k++)
			known = known || r->dead[k] == list[i]->key_id;
		if (known)
			continue;
		if (r->count == r->room) {
			rc = err_set(e, RC_LIMIT, "more than %zu shards are dead", r->room);
			break;
		}
		r->dead[r->count++] = list[i]->key_id;
	}
	shards_drop(&list, count);
	return rc;
}

enum rc index_remove(struct index *ix, uint32_t archive, const uint64_t *lots, size_t count,
                     index_gone gone, void *arg, uint64_t *dead, size_t room, size_t *dead_count,
                     uint64_t *removed, struct err *e)
{
	uint64_t *sorted = mem_array(count + 1, sizeof(*sorted));
	struct removal r = { ix, sorted, count, gone, arg, dead, room, 0, 0, 0, 0 };
	struct shard **list;
	size_t shards;
	enum rc rc;

	sealing_settle(ix);
	rc = index_commit(ix, e);
	if (count)
		memcpy(sorted, lots, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare_lots);
	bound(&r);
	shards = shards_hold(ix, archive, false, &list);
	for (size_t i = 0; rc == RC_OK && i < shards; i++)
		rc = remove_from(&r, list[i], e);
	shards_drop(&list, shards);
	if (rc == RC_OK)
		rc = report_dead(&r, archive, e);
	free(sorted);
	*dead_count = r.count;
	*removed = r.removed;
	return rc;
}

void index_reset(struct index *ix, uint32_t archive, uint64_t **dead, size_t *count)
{
	struct shard **list;
	size_t shards;

	sealing_settle(ix);
	shards = shards_hold(ix, archive, true, &list);
	*dead = mem_array(shards + 1, sizeof(**dead));
	*count = 0;
	for (size_t i = 0; i < shards; i++) {
		forget_writer(ix, list[i]);
		shard_set_dead(list[i]);
		if (key_lives(list[i]))
			(*dead)[(*count)++] = list[i]->key_id;
	}
	shards_drop(&list, shards);
}

enum rc index_drop_dead(struct index *ix, struct err *e)
{
	struct shard **list;
	size_t count = shards_hold(ix, 0, true, &list);
	enum rc rc = RC_OK;

	for (size_t i = 0; i < count; i++) {
		struct shard *s = list[i];

		if (key_lives(s) || (s->key_lost && !s->dead)) /* lost: until a rebuild */
			continue;
		forget_writer(ix, s);
		rc = catalogue_drop(ix, s, e);
		if (rc != RC_OK)
			break;
		s->remove_file = true;
		shard_unlist(s);
	}
	shards_drop(&list, count);
	return rc;
}
