/* Reading all that is there: store_walk, store_pending_blocks. */
#include <stdlib.h>

#include "store/store_inner.h"

#define WALK_RAW ((size_t)1 << 32)

struct walk {
	struct store *st;
	const struct store_visit *v;
	struct segment *s;
	struct buf raw;
};

static enum rc report(struct walk *w, const char *problem, struct err *e)
{
	return w->v->damage ? w->v->damage(w->v->arg, w->s->path, problem, e) : RC_OK;
}

static enum rc visit(struct walk *w, const struct store_message *m, const char *problem,
                     struct err *e)
{
	return w->v->message ? w->v->message(w->v->arg, w->s->h.archive, m, problem, e) : RC_OK;
}

/* What the disk doesn't give is lost like what is damaged, as long as it doesn't. */
static bool is_lost(enum rc rc)
{
	return rc == RC_CORRUPT || rc == RC_IO;
}

/* --- one block ---------------------------------------------------------------------------------*/

static enum rc visit_large(struct walk *w, struct store_message *m, const struct entry_place *place,
                           struct err *e)
{
	struct err why = { 0 };
	struct store_message same;
	enum rc rc;

	buf_clear(&w->raw);
	rc = message_read(w->st, w->s, place, &same, NULL, &w->raw, &why);
	if (rc == RC_OK) {
		m->raw = buf_slice(&w->raw);
		return visit(w, m, NULL, e);
	}
	if (is_lost(rc))
		return visit(w, m, why.text, e);
	return rc == RC_NOTFOUND ? RC_OK : err_set(e, rc, "%s", why.text);
}

static enum rc visit_entry(struct walk *w, const struct block_entry *entry, uint32_t block,
                           uint64_t lot, struct err *e)
{
	struct entry_place place = { entry->id, block, entry->at };
	struct store_message m = { .id = entry->id, .lot = lot, .meta = entry->meta };
	uint8_t sum[32];

	if (!message_wins(w->st, w->s, &place))
		return RC_OK;
	memcpy(m.sha256, entry->sha256, sizeof(m.sha256));
	if (!(entry->flags & ENTRY_LAST))
		return visit_large(w, &m, &place, e);
	sha256(sum, entry->part);
	if (memcmp(sum, m.sha256, sizeof(sum)) != 0)
		return visit(w, &m, "its SHA-256 is not the recorded one", e);
	m.raw = entry->part;
	return visit(w, &m, NULL, e);
}

static enum rc visit_block(struct walk *w, uint32_t number, uint64_t lot, struct slice plain,
                           struct err *e)
{
	struct store_block d = {
		.archive = w->s->h.archive, .segment = w->s->h.serial, .block = number, .lot = lot
	};
	struct block_entry entry;
	size_t at = 0;
	enum rc rc = RC_OK;

	if (block_describe(&d, plain) != RC_OK)
		return report(w, "a block holds no entries", e);
	if (w->v->block)
		rc = w->v->block(w->v->arg, &d, e);
	while (rc == RC_OK && block_entry_read(&entry, plain, &at) == RC_OK)
		if (entry.flags & ENTRY_FIRST)
			rc = visit_entry(w, &entry, number, lot, e);
	return rc;
}

/* The ids that the directory has in a block; the caller frees. */
static struct message_id *ids_in_block(struct walk *w, uint32_t number, uint32_t *n)
{
	struct segment *s = w->s;
	struct message_id *ids;

	*n = 0;
	store_lock(w->st);
	ids = mem_array((size_t)s->nentries + HASH_COUNT(s->index) + 1, sizeof(*ids));
	for (uint32_t i = 0; i < s->nentries; i++)
		if (s->entries[i].block == number)
			ids[(*n)++] = s->entries[i].id;
	for (const struct open_entry *x = s->index; x; x = x->hh.next)
		if (x->place.block == number)
			ids[(*n)++] = x->place.id;
	store_unlock(w->st);
	return ids;
}

/* What was in a damaged block is lost unless there is another copy, which is visited there. Where
 * the disk failed (`io`) a copy that can be read may be this one, which wasn't visited. */
static enum rc visit_lost(struct walk *w, uint32_t number, uint64_t lot, bool io,
                          const char *problem, struct err *e)
{
	uint32_t n;
	struct message_id *ids = ids_in_block(w, number, &n);
	enum rc rc = report(w, problem, e);

	for (uint32_t i = 0; i < n && rc == RC_OK; i++) {
		const struct store_message m = { .id = ids[i], .lot = lot };

		if (io || store_get(w->st, w->s->h.archive, &ids[i], NULL, NULL, NULL) != RC_OK)
			rc = visit(w, &m, problem, e);
	}
	free(ids);
	return rc;
}

static enum rc walk_block(struct walk *w, uint32_t number, uint64_t lot, struct err *e)
{
	struct err why = { 0 };
	struct plain *p;
	enum rc rc = block_read(w->st, w->s, number, true, &p, &why);

	if (rc == RC_OK) {
		rc = visit_block(w, number, lot, slice_of(p->at, p->len), e);
		plain_release(w->st, p);
		return rc;
	}
	if (rc == RC_NOTFOUND) /* its lot is destroyed */
		return RC_OK;
	if (is_lost(rc))
		return visit_lost(w, number, lot, rc == RC_IO, why.text, e);
	return err_set(e, rc, "%s", why.text);
}

/* --- segments ----------------------------------------------------------------------------------*/

/* Whether block `number` is on disk, and its lot. */
static bool next_block(struct store *st, struct segment *s, uint32_t number, uint64_t *lot,
                       enum rc *rc, struct err *e)
{
	bool there = false;

	store_lock(st);
	*rc = segment_load(st, s, e);
	if (*rc == RC_OK && number < (s->closed ? s->nblocks : s->synced_blocks)) {
		*lot = s->blocks[number].lot;
		there = true;
	}
	store_unlock(st);
	return there;
}

static enum rc walk_segment(struct walk *w, struct err *e)
{
	uint64_t lot = 0;
	enum rc rc;
	bool there = next_block(w->st, w->s, 0, &lot, &rc, e);

	if (rc == RC_OK && w->s->problem)
		rc = report(w, w->s->problem, e);
	for (uint32_t n = 0; rc == RC_OK && there;
	     there = next_block(w->st, w->s, ++n, &lot, &rc, e)) {
		rc = walk_block(w, n, lot, e);
		if (rc != RC_OK)
			break;
	}
	return rc;
}

/* The segments of an archive (0: of all), held; the caller lets each go. */
static struct segment **hold_all(struct store *st, uint32_t archive, bool open_only, size_t *n)
{
	struct segment **all = NULL;

	*n = 0;
	store_lock(st);
	for (size_t i = 0; i < st->narchives; i++) {
		const struct archive *a = st->archives[i];

		if ((archive && a->number != archive) || a->dead)
			continue;
		all = mem_resize(all, (*n + a->nsegments + 1) * sizeof(struct segment *));
		for (size_t j = 0; j < a->nsegments; j++) {
			if (open_only && a->segments[j]->closed)
				continue;
			segment_hold(a->segments[j]);
			all[(*n)++] = a->segments[j];
		}
	}
	store_unlock(st);
	return all;
}

enum rc store_walk(struct store *st, uint32_t archive, const struct store_visit *v, struct err *e)
{
	struct walk w = { .st = st, .v = v };
	size_t n;
	struct segment **all = hold_all(st, archive, false, &n);
	enum rc rc = RC_OK;

	buf_init(&w.raw, WALK_RAW);
	for (size_t i = 0; i < n; i++) {
		w.s = all[i];
		if (rc == RC_OK && !w.s->gone)
			rc = walk_segment(&w, e);
		segment_release(st, all[i]);
	}
	buf_free(&w.raw);
	free(all);
	return rc;
}

struct pending {
	bool (*known)(void *arg, uint64_t segment, uint32_t block);
	void (*on_block)(void *arg, const struct store_block *b);
	void *arg;
};

static enum rc pending_block(struct store *st, struct segment *s, uint32_t number, uint64_t lot,
                             const struct pending *q, struct err *e)
{
	struct store_block d = {
		.archive = s->h.archive, .segment = s->h.serial, .block = number, .lot = lot
	};
	struct plain *p;
	enum rc rc;

	if (q->known(q->arg, s->h.serial, number))
		return RC_OK;
	rc = block_read(st, s, number, true, &p, e);
	if (rc != RC_OK) /* destroyed, or damage that store_walk reports */
		return rc == RC_NOTFOUND || is_lost(rc) ? RC_OK : rc;
	if (block_describe(&d, slice_of(p->at, p->len)) == RC_OK)
		q->on_block(q->arg, &d);
	plain_release(st, p);
	return RC_OK;
}

enum rc store_pending_blocks(struct store *st,
                             bool (*known)(void *arg, uint64_t segment, uint32_t block),
                             void (*on_block)(void *arg, const struct store_block *b), void *arg,
                             struct err *e)
{
	const struct pending q = { known, on_block, arg };
	size_t n;
	struct segment **all = hold_all(st, 0, true, &n);
	enum rc rc = RC_OK;

	for (size_t i = 0; i < n; i++) {
		uint64_t lot = 0;

		for (uint32_t b = 0; rc == RC_OK && next_block(st, all[i], b, &lot, &rc, e); b++)
			rc = pending_block(st, all[i], b, lot, &q, e);
		segment_release(st, all[i]);
	}
	free(all);
	return rc;
}
