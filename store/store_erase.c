/* store_erase: a day's messages, but for some, copied to segments of their own under another key.
 * The old copies stay as they are and win (they come first) until the caller destroys their keys;
 * so a crash in between loses nothing and is repaired by doing it again: copies that don't win are
 * left out. */
#include <stdlib.h>

#include "store/store_inner.h"

struct erase {
	struct store *st;
	struct store_erasure *x;
	struct archive *a;
	struct segment **fresh;
	size_t nfresh;
	struct buf plain;        /* what stays of a block */
	struct message_id large; /* whose pieces follow */
	bool large_stays;
};

static int by_id(const void *a, const void *b)
{
	return memcmp(a, b, ID_BYTES);
}

static bool is_erased(const struct store_erasure *x, const struct message_id *id)
{
	return bsearch(id->b, x->ids, x->id_count, sizeof(*x->ids), by_id) != NULL;
}

/* Its place in the list; lot_count where it is not in it. */
static size_t lot_place(const struct store_erasure *x, uint64_t lot)
{
	size_t i = 0;

	while (i < x->lot_count && x->lots[i] != lot)
		i++;
	return i;
}

static bool is_of_lots(const struct store_erasure *x, uint64_t lot)
{
	return lot_place(x, lot) < x->lot_count;
}

static bool entry_stays(struct erase *r, struct segment *s, const struct block_entry *entry,
                        uint32_t block)
{
	struct entry_place place = { entry->id, block, entry->at };
	bool stays;

	if (!(entry->flags & ENTRY_FIRST))
		return r->large_stays && id_compare(&r->large, &entry->id) == 0;
	stays = !is_erased(r->x, &entry->id);
	if (!stays && r->x->gone) {
		struct store_message m = { .id = entry->id };

		memcpy(m.sha256, entry->sha256, sizeof(m.sha256));
		r->x->gone(r->x->arg, &m, entry->total);
	}
	stays = stays && message_wins(r->st, s, &place);
	r->large = entry->id;
	r->large_stays = stays;
	r->x->kept += stays;
	return stays;
}

/* Fills r->plain with the entries that stay; returns whether all do. */
static enum rc choose(struct erase *r, struct segment *s, uint32_t number, struct slice plain,
                      bool *all, uint32_t *messages)
{
	struct block_entry entry;
	size_t at = 0;
	enum rc rc;

	*all = true;
	*messages = 0;
	buf_clear(&r->plain);
	while ((rc = block_entry_read(&entry, plain, &at)) == RC_OK) {
		if (r->x->found && entry.flags & ENTRY_LAST)
			r->x->found[lot_place(r->x, s->blocks[number].lot)]++;
		if (!entry_stays(r, s, &entry, number)) {
			*all = false;
			continue;
		}
		*messages += (entry.flags & ENTRY_FIRST) != 0;
		if (r->x->into)
			rc = block_entry_add(&r->plain, &entry);
		if (rc != RC_OK)
			return rc;
	}
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static void index_block(struct segment *to, uint32_t number, uint64_t lot, struct slice plain)
{
	struct block_entry entry;
	size_t at = 0;

	while (block_entry_read(&entry, plain, &at) == RC_OK)
		if (entry.flags & ENTRY_FIRST)
			segment_index(to, &entry.id, number, entry.at, lot, entry.total);
}

static enum rc put_block(struct erase *r, const struct segment *from, uint32_t number,
                         uint32_t messages, struct err *e)
{
	struct segment *to = r->fresh[r->nfresh - 1];
	struct block_header h = { .lot = r->x->into,
		                  .messages = messages,
		                  .flags = from->blocks[number].flags &
		                           (BLOCK_CONTINUES | BLOCK_GOES_ON) };
	struct store_block b = { .archive = r->x->archive,
		                 .segment = to->h.serial,
		                 .lot = r->x->into };
	enum rc rc = segment_append(r->st, to, &h, buf_slice(&r->plain), e);

	if (rc != RC_OK)
		return rc;
	index_block(to, h.number, h.lot, buf_slice(&r->plain));
	b.block = h.number;
	rc = block_describe(&b, buf_slice(&r->plain));
	if (rc == RC_OK && r->x->to.on_block)
		r->x->to.on_block(r->x->to.arg, &b);
	return rc == RC_OK ? rc : err_set(e, rc, "%s: a block that was just written", to->path);
}

static enum rc erase_block(struct erase *r, struct segment *s, uint32_t number, struct err *e)
{
	uint32_t messages;
	struct plain *p;
	bool all;
	enum rc rc = block_read(r->st, s, number, true, &p, e);

	if (rc != RC_OK)
		return rc;
	rc = choose(r, s, number, slice_of(p->at, p->len), &all, &messages);
	plain_release(r->st, p);
	if (rc != RC_OK)
		return err_set(e, rc, "%s: block %u holds no entries", s->path, number);
	return r->plain.len ? put_block(r, s, number, messages, e) : RC_OK;
}

static bool has_some(const struct erase *r, const struct segment *s)
{
	for (uint32_t i = 0; i < s->nblocks; i++)
		if (is_of_lots(r->x, s->blocks[i].lot))
			return true;
	return false;
}

static enum rc begin_fresh(struct erase *r, struct err *e)
{
	struct segment *fresh;
	enum rc rc;

	if (!r->x->into)
		return RC_OK;
	rc = segment_create(r->st, r->a, false, r->x->day, &fresh, e);
	if (rc == RC_OK) {
		r->fresh = mem_resize(r->fresh, (r->nfresh + 1) * sizeof(struct segment *));
		r->fresh[r->nfresh++] = fresh;
	}
	return rc;
}

static enum rc erase_pinned(struct erase *r, struct segment *s, struct err *e)
{
	enum rc rc = segment_load_alone(r->st, s, e);

	if (rc != RC_OK || !has_some(r, s))
		return rc;
	if (!segment_is_settled(r->st, s))
		return err_set(e, RC_AGAIN, "%s is being written to", s->path);
	rc = begin_fresh(r, e);
	for (uint32_t i = 0; rc == RC_OK && i < s->nblocks; i++)
		if (is_of_lots(r->x, s->blocks[i].lot))
			rc = erase_block(r, s, i, e);
	if (rc == RC_OK && r->x->into && r->fresh[r->nfresh - 1]->nblocks == 0)
		segment_abandon(r->fresh[--r->nfresh]);
	return rc;
}

static enum rc copy_all(struct erase *r, struct err *e)
{
	size_t n;
	struct segment **all = archive_segments(r->st, r->a, &n);
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < n; i++) {
		if (!all[i]->h.mixed && all[i]->h.day != r->x->day)
			continue;
		segment_pin(r->st, all[i]);
		rc = erase_pinned(r, all[i], e);
		segment_unpin(r->st, all[i]);
	}
	free(all);
	return rc;
}

/* Complete and synced, known to the audit log, then named: in this order. */
static enum rc finish(struct erase *r, struct err *e)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < r->nfresh; i++) {
		store_lock(r->st);
		rc = segment_close(r->st, r->fresh[i], e);
		store_unlock(r->st);
	}
	if (rc == RC_OK && r->nfresh && r->x->to.account)
		rc = r->x->to.account(r->x->to.arg, e);
	for (; rc == RC_OK && r->nfresh; r->nfresh--) {
		struct segment *s = r->fresh[r->nfresh - 1];

		rc = segment_name(s, e);
		if (rc != RC_OK)
			break;
		store_lock(r->st);
		s->full = true;
		archive_insert(r->a, s);
		store_unlock(r->st);
	}
	return rc;
}

enum rc store_erase(struct store *st, struct store_erasure *x, struct err *e)
{
	struct erase r = { .st = st, .x = x, .a = archive_find(st, x->archive) };
	enum rc rc;

	x->kept = 0;
	if (!r.a || r.a->dead || x->lot_count == 0)
		return RC_OK;
	buf_init(&r.plain, BLOCK_PLAIN_MAX);
	rc = copy_all(&r, e);
	if (rc == RC_OK)
		rc = finish(&r, e);
	while (r.nfresh)
		segment_abandon(r.fresh[--r.nfresh]);
	free(r.fresh);
	buf_free(&r.plain);
	return rc;
}
