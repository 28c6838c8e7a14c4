/* Segments written anew: store_forget and store_repack. Both make one new file beside the old ones
 * ("SERIAL.seg.new"), sync it, name it, and only then remove the old. A crash in between leaves the
 * old files and a .new that store_open removes, or both old and new, where the first copy of a
 * message wins. */
#include <stdlib.h>

#include "base/log.h"
#include "store/store_inner.h"

#define MESSAGE_RAW ((size_t)1 << 32)

/* --- replacing ---------------------------------------------------------------------------------*/

static enum rc remove_segment(struct store *st, struct archive *a, struct segment *s, struct err *e)
{
	enum rc rc = file_remove(s->path, e);

	if (rc != RC_OK && rc != RC_NOTFOUND)
		return rc;
	store_lock(st);
	archive_remove(a, s);
	store_unlock(st);
	return RC_OK;
}

void segment_abandon(struct segment *fresh)
{
	(void)!file_remove(fresh->path, NULL);
	segment_free(fresh);
}

/* `fresh` is complete; it takes the place of the `n` old ones. */
static enum rc replace(struct store *st, struct archive *a, struct segment *fresh,
                       struct segment **old, size_t n, struct err *e)
{
	enum rc rc;

	store_lock(st);
	rc = segment_close(st, fresh, e);
	store_unlock(st);
	if (rc == RC_OK)
		rc = segment_name(fresh, e);
	if (rc != RC_OK) {
		segment_abandon(fresh);
		return rc;
	}
	store_lock(st);
	fresh->full = true;
	archive_insert(a, fresh);
	cache_clear(st);
	store_unlock(st);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = remove_segment(st, a, old[i], e);
	return rc == RC_OK ? dir_sync(a->dir, e) : rc;
}

enum rc segment_load_alone(struct store *st, struct segment *s, struct err *e)
{
	enum rc rc;

	store_lock(st);
	rc = segment_load(st, s, e);
	store_unlock(st);
	return rc;
}

/* The segments as they are now; only the writer, who asks, removes any. */
struct segment **archive_segments(struct store *st, const struct archive *a, size_t *n)
{
	struct segment **all;

	store_lock(st);
	*n = a->nsegments;
	all = mem_array(*n + 1, sizeof(struct segment *));
	if (*n)
		memcpy(all, a->segments, *n * sizeof(struct segment *));
	store_unlock(st);
	return all;
}

/* --- forgetting --------------------------------------------------------------------------------*/

static enum rc remove_name(void *arg, const char *name, struct err *e)
{
	const struct archive *a = arg;
	char *path;
	enum rc rc;

	if (slice_find(slice_str(name), slice_str(".seg")) == SIZE_MAX)
		return RC_OK;
	path = path_join(a->dir, name);
	rc = file_remove(path, e);
	free(path);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* The key of the archive is destroyed and with it everything under it. */
static enum rc forget_archive(struct store *st, struct archive *a, struct err *e)
{
	size_t n;
	struct segment **all = archive_segments(st, a, &n);
	enum rc rc = RC_OK;

	a->dead = true;
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		if (segment_is_settled(st, all[i]))
			rc = remove_segment(st, a, all[i], e);
	free(all);
	if (rc == RC_OK && !a->nsegments && file_exists(a->dir))
		rc = dir_list(a->dir, remove_name, a, e);
	return rc == RC_OK && file_exists(a->dir) ? dir_sync(a->dir, e) : rc;
}

static enum rc is_live_owner(void *arg, const struct key_info *k)
{
	const struct segment *s = arg;
	bool owns = k->kind == KEY_LOT && k->state == KEY_LIVE && k->archive == s->h.archive &&
	            (s->h.mixed || k->day == s->h.day);

	return owns ? RC_EXISTS : RC_OK;
}

/* Whose a block was whose header is lost (its lot is 0) nobody knows: it counts as live while any
 * lot is that may be in its segment, for the header may be put back. */
static bool is_dead(struct store *st, const struct segment *s, uint64_t lot)
{
	if (lot)
		return lot_is_dead(st, lot);
	return keyring_lost(st->keys) == 0 &&
	       keyring_each(st->keys, is_live_owner, (void *)(uintptr_t)s) == RC_OK;
}

static void weigh(struct store *st, const struct segment *s, uint64_t *live, uint64_t *dead)
{
	uint64_t last_lot = 0;
	bool last_dead = true;

	*live = 0;
	*dead = 0;
	for (uint32_t i = 0; i < s->nblocks; i++) {
		const struct block_place *b = &s->blocks[i];

		if (i == 0 || b->lot != last_lot)
			last_dead = is_dead(st, s, b->lot);
		last_lot = b->lot;
		*(last_dead ? dead : live) += BLOCK_HEADER + b->stored;
	}
}

/* The entries of a copied block keep their places in it; only its number changes. */
static void copy_index(const struct segment *from, struct segment *to, uint32_t old,
                       uint32_t number, uint64_t lot, struct slice plain)
{
	struct block_entry entry;
	struct entry_place place;
	size_t at = 0;

	while (block_entry_read(&entry, plain, &at) == RC_OK)
		if (entry.flags & ENTRY_FIRST && segment_lookup(from, &entry.id, &place) &&
		    place.block == old && place.at == entry.at)
			segment_index(to, &entry.id, number, entry.at, lot, entry.total);
}

static enum rc copy_block(struct store *st, struct segment *from, struct segment *to,
                          uint32_t number, struct err *e)
{
	const struct block_place *place = &from->blocks[number];
	struct block_header b = { .lot = place->lot,
		                  .messages = place->messages,
		                  .flags = place->flags & (BLOCK_CONTINUES | BLOCK_GOES_ON) };
	struct plain *p;
	enum rc rc = block_read(st, from, number, true, &p, e);

	if (rc != RC_OK)
		return rc;
	rc = segment_append(st, to, &b, slice_of(p->at, p->len), e);
	if (rc == RC_OK)
		copy_index(from, to, number, b.number, b.lot, slice_of(p->at, p->len));
	plain_release(st, p);
	return rc;
}

static enum rc rewrite_live(struct store *st, struct archive *a, struct segment *s, struct err *e)
{
	struct segment *fresh;
	enum rc rc = segment_create(st, a, s->h.mixed, s->h.day, &fresh, e);

	if (rc != RC_OK)
		return rc;
	for (uint32_t i = 0; i < s->nblocks && rc == RC_OK; i++)
		if (!is_dead(st, s, s->blocks[i].lot))
			rc = copy_block(st, s, fresh, i, e);
	if (rc != RC_OK) {
		segment_abandon(fresh);
		return rc;
	}
	return replace(st, a, fresh, &s, 1, e);
}

/* What can't be read is kept as it is: a damaged block may still be looked at by hand. */
static enum rc forget_pinned(struct store *st, struct archive *a, struct segment *s, struct err *e)
{
	uint64_t live;
	uint64_t dead;
	enum rc rc = segment_load_alone(st, s, e);

	if (rc != RC_OK || !segment_is_settled(st, s))
		return rc;
	weigh(st, s, &live, &dead);
	if (!dead || live >= dead)
		return RC_OK;
	if (!live)
		return remove_segment(st, a, s, e);
	rc = rewrite_live(st, a, s, e);
	if (rc != RC_CORRUPT)
		return rc;
	log_warn("%s is kept, a block of it is damaged: %s", s->path, e ? e->text : "");
	return RC_OK;
}

static enum rc forget_segment(struct store *st, struct archive *a, struct segment *s, struct err *e)
{
	enum rc rc;

	segment_pin(st, s);
	rc = forget_pinned(st, a, s, e);
	segment_unpin(st, s);
	return rc;
}

static enum rc forget_in(struct store *st, struct archive *a, struct err *e)
{
	uint64_t id;
	size_t n;
	struct segment **all;
	enum rc rc = keyring_find(st->keys, KEY_ARCHIVE, a->number, 0, &id, e);

	if (rc == RC_NOTFOUND)
		return forget_archive(st, a, e);
	if (rc != RC_OK)
		return rc;
	all = archive_segments(st, a, &n);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = forget_segment(st, a, all[i], e);
	free(all);
	return rc == RC_OK && n ? dir_sync(a->dir, e) : rc;
}

enum rc store_forget(struct store *st, struct err *e)
{
	enum rc rc = RC_OK;

	store_lock(st);
	cache_clear(st);
	store_unlock(st);
	for (size_t i = 0; i < st->narchives && rc == RC_OK; i++)
		rc = forget_in(st, st->archives[i], e);
	return rc;
}

/* --- repacking ---------------------------------------------------------------------------------*/

struct lot_weight {
	uint64_t lot;
	uint64_t plain;
	bool known; /* to the key ring: else its blocks are kept as they are */
	bool live;
	UT_hash_handle hh;
};

struct repack {
	struct store *st;
	const struct store_repacked *to;
	struct archive *a;
	int32_t day;
	struct segment **group; /* the segments that become one */
	size_t ngroup;
	struct lot_weight *lots;
	uint32_t small; /* blocks that are not pieces of large messages */
	bool old;       /* every lot is of a day before `day` */
	struct segment *fresh;
	struct open_block ob;
	struct written written;
	struct buf raw;
};

static struct lot_weight *lot_weight(struct repack *r, uint64_t lot)
{
	struct lot_weight *l;
	struct key_info k;

	HASH_FIND(hh, r->lots, &lot, sizeof(lot), l);
	if (l)
		return l;
	l = mem_new(sizeof(*l));
	l->lot = lot;
	if (keyring_info(r->st->keys, lot, &k, NULL) == RC_OK) {
		l->known = true;
		l->live = k.state == KEY_LIVE;
		r->old = r->old && k.day < r->day;
	}
	HASH_ADD(hh, r->lots, lot, sizeof(l->lot), l);
	return l;
}

static bool is_piece(const struct block_place *b)
{
	return (b->flags & (BLOCK_CONTINUES | BLOCK_GOES_ON)) != 0;
}

static bool weigh_segment(struct repack *r, const struct segment *s)
{
	for (uint32_t i = 0; i < s->nblocks; i++) {
		const struct block_place *b = &s->blocks[i];
		struct lot_weight *l;

		if (b->flags & BLOCK_BAD)
			return false;
		l = lot_weight(r, b->lot);
		if (!l->known)
			return false;
		if (is_piece(b))
			continue;
		l->plain += b->plain;
		r->small++;
	}
	return true;
}

/* Worth it when at least a quarter of the blocks goes away. */
static bool is_worth_it(const struct repack *r)
{
	uint64_t blocks = 0;

	for (const struct lot_weight *l = r->lots; l; l = l->hh.next)
		blocks += (l->plain + r->st->opt.block_bytes - 1) / r->st->opt.block_bytes;
	return r->old && r->small > 1 && blocks * 4 <= (uint64_t)r->small * 3;
}

static enum rc take_large(struct repack *r, struct segment *s, const struct entry_place *place,
                          struct store_message *m, struct err *e)
{
	struct store_message same;
	enum rc rc;

	buf_clear(&r->raw);
	rc = message_read(r->st, s, place, &same, NULL, &r->raw, e);
	m->raw = buf_slice(&r->raw);
	return rc;
}

static enum rc move_entry(struct repack *r, struct segment *s, const struct block_entry *entry,
                          uint32_t block, struct err *e)
{
	struct entry_place place = { entry->id, block, entry->at };
	struct store_message m = {
		.id = entry->id, .lot = r->ob.lot, .meta = entry->meta, .raw = entry->part
	};
	enum rc rc = RC_OK;

	if (!message_wins(r->st, s, &place))
		return RC_OK;
	memcpy(m.sha256, entry->sha256, sizeof(m.sha256));
	if (!(entry->flags & ENTRY_LAST))
		rc = take_large(r, s, &place, &m, e);
	return rc == RC_OK ? block_put(r->st, &r->ob, &m, &r->written, e) : rc;
}

static enum rc move_block(struct repack *r, struct segment *s, uint32_t number, struct err *e)
{
	struct block_entry entry;
	struct plain *p;
	size_t at = 0;
	enum rc rc;

	if (s->blocks[number].flags & BLOCK_CONTINUES)
		return RC_OK;
	rc = block_read(r->st, s, number, true, &p, e);
	if (rc != RC_OK)
		return rc;
	while (rc == RC_OK && block_entry_read(&entry, slice_of(p->at, p->len), &at) == RC_OK)
		if (entry.flags & ENTRY_FIRST)
			rc = move_entry(r, s, &entry, number, e);
	plain_release(r->st, p);
	return rc;
}

static enum rc move_lot(struct repack *r, uint64_t lot, struct err *e)
{
	enum rc rc = RC_OK;

	r->ob.lot = lot;
	for (size_t i = 0; i < r->ngroup; i++)
		for (uint32_t n = 0; rc == RC_OK && n < r->group[i]->nblocks; n++)
			if (r->group[i]->blocks[n].lot == lot)
				rc = move_block(r, r->group[i], n, e);
	return rc == RC_OK ? block_flush(r->st, &r->ob, &r->written, e) : rc;
}

/* What is to be known of the new blocks before they count. */
static enum rc tell(struct repack *r, struct err *e)
{
	for (size_t i = 0; r->to->on_block && i < r->written.n; i++)
		r->to->on_block(r->to->arg, &r->written.at[i]);
	return r->to->account ? r->to->account(r->to->arg, e) : RC_OK;
}

static enum rc move_group(struct repack *r, struct err *e)
{
	const struct segment_header *h = &r->group[0]->h;
	enum rc rc = segment_create(r->st, r->a, h->mixed, h->day, &r->fresh, e);

	if (rc != RC_OK)
		return rc;
	r->ob.segment = r->fresh;
	buf_init(&r->ob.plain, BLOCK_PLAIN_MAX);
	for (const struct lot_weight *l = r->lots; l && rc == RC_OK; l = l->hh.next)
		if (l->live)
			rc = move_lot(r, l->lot, e);
	buf_free(&r->ob.plain);
	if (rc == RC_OK && r->fresh->nblocks)
		rc = tell(r, e);
	if (rc != RC_OK || !r->fresh->nblocks) {
		segment_abandon(r->fresh);
		return rc;
	}
	return replace(r->st, r->a, r->fresh, r->group, r->ngroup, e);
}

static enum rc repack_group(struct repack *r, struct err *e)
{
	struct lot_weight *l;
	struct lot_weight *next;
	bool whole = r->ngroup > 0;
	enum rc rc = RC_OK;

	r->old = true;
	r->small = 0;
	for (size_t i = 0; i < r->ngroup; i++)
		segment_pin(r->st, r->group[i]);
	for (size_t i = 0; i < r->ngroup && rc == RC_OK; i++) {
		rc = segment_load_alone(r->st, r->group[i], e);
		whole = rc == RC_OK && whole && weigh_segment(r, r->group[i]);
	}
	if (rc == RC_OK && whole && is_worth_it(r))
		rc = move_group(r, e);
	if (rc == RC_CORRUPT) {
		log_warn("segments of archive %u are not repacked: %s", r->a->number,
		         e ? e->text : "damage");
		rc = RC_OK;
	}
	r->written.n = 0;
	for (size_t i = 0; i < r->ngroup; i++)
		segment_unpin(r->st, r->group[i]);
	for (l = r->lots; l; l = next) {
		next = l->hh.next;
		HASH_DEL(r->lots, l);
		free(l);
	}
	r->ngroup = 0;
	return rc;
}

/* The next segments of `all` that may become one: all of a day, or a mixed one alone. */
static void gather(struct repack *r, struct segment **all, size_t n, bool *taken)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < n; i++) {
		struct segment *s = all[i];
		const struct segment *first = r->ngroup ? r->group[0] : NULL;

		if (taken[i] ||
		    (first && (first->h.mixed || s->h.mixed || first->h.day != s->h.day)))
			continue;
		if (first && bytes + s->disk_bytes > r->st->opt.segment_bytes)
			return;
		taken[i] = true;
		if (s->problem || !segment_is_settled(r->st, s) ||
		    (!s->h.mixed && s->h.day >= r->day))
			continue;
		bytes += s->disk_bytes;
		r->group[r->ngroup++] = s;
	}
}

static enum rc repack_archive(struct repack *r, struct err *e)
{
	size_t n;
	struct segment **all = archive_segments(r->st, r->a, &n);
	bool *taken = mem_array(n + 1, sizeof(*taken));
	enum rc rc = RC_OK;

	r->group = mem_array(n + 1, sizeof(struct segment *));
	do {
		gather(r, all, n, taken);
		if (!r->ngroup)
			break;
		rc = repack_group(r, e);
	} while (rc == RC_OK);
	free(r->group);
	free(taken);
	free(all);
	return rc;
}

enum rc store_repack(struct store *st, int32_t day, const struct store_repacked *to, struct err *e)
{
	struct repack r = { .st = st, .to = to, .day = day };
	enum rc rc = RC_OK;

	buf_init(&r.raw, MESSAGE_RAW);
	for (size_t i = 0; i < st->narchives && rc == RC_OK; i++) {
		r.a = st->archives[i];
		if (!r.a->dead)
			rc = repack_archive(&r, e);
	}
	buf_free(&r.raw);
	written_free(&r.written);
	return rc;
}
