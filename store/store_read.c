/* Finding a message and reading it. */
#include <stdlib.h>

#include "store/store_inner.h"

#define CACHED_BYTES ((size_t)4 << 20) /* larger blocks are not kept */

void segment_hold(struct segment *s)
{
	s->users++;
}

void segment_release(struct store *st, struct segment *s)
{
	store_lock(st);
	s->users--;
	if (s->gone && !s->users)
		segment_free(s);
	store_unlock(st);
}

void segment_pin(struct store *st, struct segment *s)
{
	store_lock(st);
	s->users++;
	s->busy++;
	store_unlock(st);
}

void segment_unpin(struct store *st, struct segment *s)
{
	store_lock(st);
	s->busy--;
	store_unlock(st);
	segment_release(st, s);
}

static void not_busy(struct store *st, struct segment *s)
{
	store_lock(st);
	s->busy--;
	segments_evict(st);
	store_unlock(st);
}

/* --- decrypted blocks --------------------------------------------------------------------------*/

static void plain_drop(struct plain *p)
{
	if (--p->refs)
		return;
	crypt_wipe(p->at, p->len);
	free(p->at);
	free(p);
}

void plain_release(struct store *st, struct plain *p)
{
	store_lock(st);
	plain_drop(p);
	store_unlock(st);
}

void cache_clear(struct store *st)
{
	for (size_t i = 0; i < CACHE_BLOCKS; i++) {
		if (st->cache[i])
			plain_drop(st->cache[i]);
		st->cache[i] = NULL;
	}
}

static struct plain *cache_find(const struct store *st, const struct segment *s, uint32_t number)
{
	for (size_t i = 0; i < CACHE_BLOCKS; i++) {
		struct plain *p = st->cache[i];

		if (p && p->block == number && p->serial == s->h.serial &&
		    p->archive == s->h.archive)
			return p;
	}
	return NULL;
}

static void cache_add(struct store *st, struct plain *p)
{
	struct plain **slot = &st->cache[st->cache_next++ % CACHE_BLOCKS];

	if (*slot)
		plain_drop(*slot);
	*slot = p;
	p->refs++;
}

/* A copy of the place, and the file to read it from; the segment is busy when this is RC_OK. */
static enum rc place_of(struct store *st, struct segment *s, uint32_t number, struct block_place *b,
                        struct file **f, struct err *e)
{
	enum rc rc;

	store_lock(st);
	rc = segment_load(st, s, e);
	if (rc == RC_OK && number >= s->nblocks)
		rc = err_set(e, RC_CORRUPT, "%s: block %u is missing", s->path, number);
	if (rc == RC_OK && s->blocks[number].flags & BLOCK_BAD)
		rc = err_set(e, RC_CORRUPT, "%s: block %u is damaged", s->path, number);
	if (rc == RC_OK) {
		*b = s->blocks[number];
		*f = s->file;
		s->busy++;
	}
	store_unlock(st);
	return rc;
}

static bool header_fits(const struct block_header *b, const struct block_place *p, uint32_t number,
                        const struct segment *s)
{
	return b->number == number && b->lot == p->lot && b->plain == p->plain &&
	       b->stored == p->stored && b->messages == p->messages &&
	       memcmp(b->uuid, s->h.uuid, sizeof(b->uuid)) == 0;
}

static enum rc open_bytes(struct store *st, const struct segment *s, const struct block_place *p,
                          uint32_t number, struct slice whole, const uint8_t key[KEY_BYTES],
                          uint8_t *out)
{
	struct block_header b;
	ZSTD_DCtx *z;
	enum rc rc;

	if (!block_header_decode(&b, whole.at, &s->h, &s->archive->keys) ||
	    !header_fits(&b, p, number, s))
		return RC_CORRUPT;
	store_lock(st);
	z = unpack_take(st);
	store_unlock(st);
	rc = block_open(out, &b, whole, &s->h, key, z);
	store_lock(st);
	unpack_give(st, z);
	store_unlock(st);
	return rc;
}

static enum rc read_fresh(struct store *st, struct segment *s, uint32_t number,
                          const struct block_place *p, const struct file *f,
                          const uint8_t key[KEY_BYTES], struct plain **out, struct err *e)
{
	size_t n = BLOCK_HEADER + (size_t)p->stored;
	uint8_t *whole = malloc(n);
	struct plain *plain = mem_new(sizeof(*plain));
	enum rc rc = RC_LIMIT;

	*plain = (struct plain) { .archive = s->h.archive,
		                  .serial = s->h.serial,
		                  .block = number,
		                  .refs = 1,
		                  .len = p->plain,
		                  .at = malloc((size_t)p->plain + 1) };
	if (whole && plain->at)
		rc = file_read_at(f, whole, n, p->offset, e);
	else
		(void)err_set(e, rc, "%s: no memory for block %u", s->path, number);
	if (rc == RC_OK) {
		rc = open_bytes(st, s, p, number, slice_of(whole, n), key, plain->at);
		if (rc != RC_OK)
			(void)err_set(e, rc, "%s: block %u is damaged", s->path, number);
	}
	free(whole);
	if (rc != RC_OK) {
		free(plain->at);
		free(plain);
		return rc;
	}
	*out = plain;
	return RC_OK;
}

static struct plain *from_cache(struct store *st, const struct segment *s, uint32_t number)
{
	struct plain *p;

	store_lock(st);
	p = cache_find(st, s, number);
	if (p)
		p->refs++;
	store_unlock(st);
	return p;
}

static void to_cache(struct store *st, const struct segment *s, struct plain *p)
{
	store_lock(st);
	if (p->len <= CACHED_BYTES && !cache_find(st, s, p->block))
		cache_add(st, p);
	store_unlock(st);
}

enum rc block_read(struct store *st, struct segment *s, uint32_t number, bool fresh,
                   struct plain **out, struct err *e)
{
	struct block_place b;
	struct file *f = NULL;
	uint8_t key[KEY_BYTES];
	enum rc rc = place_of(st, s, number, &b, &f, e);

	*out = NULL;
	if (rc != RC_OK)
		return rc;
	/* The ring is asked each time: a destroyed lot is not read from the cache either. */
	rc = lot_key(st, b.lot, key, e);
	if (rc == RC_CORRUPT)
		rc = err_in(e, "%s: block %u", s->path, number);
	if (rc == RC_OK && !fresh)
		*out = from_cache(st, s, number);
	if (rc == RC_OK && !*out) {
		rc = read_fresh(st, s, number, &b, f, key, out, e);
		if (rc == RC_OK && !fresh)
			to_cache(st, s, *out);
	}
	crypt_wipe(key, sizeof(key));
	not_busy(st, s);
	return rc;
}

enum rc block_describe(struct store_block *b, struct slice plain)
{
	struct block_entry entry;
	uint8_t *hashes = mem_array(plain.len / 64 + 2, 32);
	size_t at = 0;
	enum rc rc;

	b->messages = 0;
	b->ended = 0;
	/* An entry that begins has 65 bytes at least. */
	while ((rc = block_entry_read(&entry, plain, &at)) == RC_OK) {
		if (entry.flags & ENTRY_FIRST)
			merkle_leaf(hashes + (size_t)b->messages++ * 32, &entry.id, entry.sha256);
		b->ended += (entry.flags & ENTRY_LAST) != 0;
	}
	merkle_root(b->root, hashes, b->messages);
	free(hashes);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* --- messages ----------------------------------------------------------------------------------*/

static enum rc damaged(const struct segment *s, const struct entry_place *place, const char *what,
                       struct err *e)
{
	char id[ID_TEXT + 1];

	id_format(id, &place->id);
	return err_set(e, RC_CORRUPT, "%s: block %u, message %s: %s", s->path, place->block, id,
	               what);
}

/* One piece: its bytes go to the hash and, where wanted, to the buffers. */
static enum rc take_piece(const struct block_entry *entry, struct store_message *m,
                          struct sha256 *hash, struct buf *meta, struct buf *raw, struct err *e)
{
	enum rc rc = RC_OK;

	if (entry->flags & ENTRY_FIRST) {
		m->id = entry->id;
		memcpy(m->sha256, entry->sha256, sizeof(m->sha256));
		if (meta)
			rc = buf_add(meta, entry->meta);
	}
	if (rc == RC_OK && raw)
		rc = buf_add(raw, entry->part);
	if (rc != RC_OK)
		return err_set(e, rc, "the message is larger than its reader's buffer");
	sha256_add(hash, entry->part);
	return RC_OK;
}

static bool piece_fits(const struct block_entry *entry, const struct entry_place *place,
                       uint64_t got, uint64_t total, bool first)
{
	return id_compare(&entry->id, &place->id) == 0 && entry->from == got &&
	       (first ? (entry->flags & ENTRY_FIRST) != 0 : entry->total == total);
}

static enum rc read_pieces(struct store *st, struct segment *s, const struct entry_place *place,
                           struct store_message *m, struct sha256 *hash, struct buf *meta,
                           struct buf *raw, struct err *e)
{
	struct block_entry entry = { 0 };
	uint64_t total = 0;
	uint64_t got = 0;
	enum rc rc = RC_OK;

	for (uint32_t block = place->block; rc == RC_OK && !(entry.flags & ENTRY_LAST); block++) {
		bool first = block == place->block;
		size_t at = first ? place->at : 0;
		struct plain *p;

		rc = block_read(st, s, block, false, &p, e);
		if (rc != RC_OK)
			return rc;
		if (block_entry_read(&entry, slice_of(p->at, p->len), &at) != RC_OK ||
		    !piece_fits(&entry, place, got, total, first))
			rc = damaged(s, place, "its pieces don't fit", e);
		total = entry.total;
		got += entry.part.len;
		if (rc == RC_OK)
			rc = take_piece(&entry, m, hash, meta, raw, e);
		plain_release(st, p);
	}
	return rc == RC_OK && got != total ? damaged(s, place, "a piece is missing", e) : rc;
}

enum rc message_read(struct store *st, struct segment *s, const struct entry_place *place,
                     struct store_message *m, struct buf *meta, struct buf *raw, struct err *e)
{
	struct sha256 *hash = sha256_new();
	size_t old_meta = meta ? meta->len : 0;
	size_t old_raw = raw ? raw->len : 0;
	uint8_t sum[32];
	enum rc rc = read_pieces(st, s, place, m, hash, meta, raw, e);

	sha256_end(&hash, sum);
	if (rc == RC_OK && memcmp(sum, m->sha256, sizeof(sum)) != 0)
		rc = damaged(s, place, "its SHA-256 is not the recorded one", e);
	if (rc == RC_OK)
		return RC_OK;
	if (meta)
		meta->len = old_meta;
	if (raw)
		raw->len = old_raw;
	return rc;
}

/* --- finding -----------------------------------------------------------------------------------*/

/* The next copy at or after position *i of the archive's segments; held. With the lock. */
static enum rc next_copy(struct store *st, struct archive *a, const struct message_id *id,
                         size_t *i, struct segment **s, struct entry_place *place, struct err *e)
{
	for (; *i < a->nsegments; (*i)++) {
		struct segment *at = a->segments[*i];
		enum rc rc;

		if (!segment_may_have(at, id))
			continue;
		rc = segment_load(st, at, e);
		segments_evict(st);
		if (rc != RC_OK)
			return rc;
		if (!segment_lookup(at, id, place))
			continue;
		(*i)++;
		*s = at;
		segment_hold(at);
		return RC_OK;
	}
	return RC_NOTFOUND;
}

/* A message that waits for store_sync. With the lock. */
static enum rc read_buffered(struct store *st, const struct segment *s,
                             const struct entry_place *place, struct buf *meta, struct buf *raw,
                             struct err *e)
{
	struct block_entry entry;
	struct open_entry *x;
	struct open_block *ob = NULL;
	size_t at = place->at;

	HASH_FIND(hh, s->index, &place->id, sizeof(place->id), x);
	if (x)
		HASH_FIND(hh, st->open, &x->lot, sizeof(x->lot), ob);
	if (!ob || block_entry_read(&entry, buf_slice(&ob->plain), &at) != RC_OK)
		return err_set(e, RC_NOTFOUND, "no such message");
	if ((meta && buf_add(meta, entry.meta) != RC_OK) ||
	    (raw && buf_add(raw, entry.part) != RC_OK))
		return err_set(e, RC_LIMIT, "the message is larger than its reader's buffer");
	return RC_OK;
}

static enum rc no_message(const struct message_id *id, uint32_t archive, struct err *e)
{
	char text[ID_TEXT + 1];

	id_format(text, id);
	return err_set(e, RC_NOTFOUND, "archive %u has no message %s", archive, text);
}

/* Damage is remembered over "not there", and the first of it over later. */
static enum rc worse(enum rc before, enum rc rc)
{
	return before == RC_NOTFOUND ? rc : before;
}

enum rc store_get(struct store *st, uint32_t archive, const struct message_id *id, struct buf *meta,
                  struct buf *raw, struct err *e)
{
	struct err mine = { 0 };
	enum rc rc = no_message(id, archive, e);
	struct archive *a;
	size_t i = 0;

	store_lock(st);
	a = archive_find(st, archive);
	while (a && !a->dead) {
		struct segment *s;
		struct entry_place place;
		struct store_message m;
		enum rc one = next_copy(st, a, id, &i, &s, &place, &mine);

		if (one != RC_OK && one != RC_NOTFOUND)
			rc = worse(rc, one);
		if (one != RC_OK)
			break;
		if (place.block == BLOCK_BUFFERED) {
			one = read_buffered(st, s, &place, meta, raw, &mine);
			s->users--;
		} else {
			store_unlock(st);
			one = message_read(st, s, &place, &m, meta, raw, &mine);
			segment_release(st, s);
			store_lock(st);
		}
		if (one == RC_OK || one == RC_LIMIT) {
			rc = one;
			break;
		}
		rc = worse(rc, one);
	}
	store_unlock(st);
	if (e && rc != RC_OK && rc != RC_NOTFOUND)
		*e = mine;
	return rc;
}

static uint64_t lot_of(const struct segment *s, const struct entry_place *place)
{
	struct open_entry *x;

	if (place->block != BLOCK_BUFFERED)
		return s->blocks[place->block].lot;
	HASH_FIND(hh, s->index, &place->id, sizeof(place->id), x);
	return x ? x->lot : 0;
}

bool store_has(struct store *st, uint32_t archive, const struct message_id *id)
{
	struct archive *a;
	bool found = false;
	size_t i = 0;

	store_lock(st);
	a = archive_find(st, archive);
	while (a && !a->dead && !found) {
		struct segment *s;
		struct entry_place place;

		if (next_copy(st, a, id, &i, &s, &place, NULL) != RC_OK)
			break;
		found = lot_is_live(st, lot_of(s, &place));
		s->users--;
	}
	store_unlock(st);
	return found;
}

static bool same_copy(const struct segment *x, const struct entry_place *p, const struct segment *y,
                      const struct entry_place *q)
{
	return x == y && p->block == q->block && p->at == q->at;
}

/* Earlier copies win where they can be read; the usual message has only one. */
bool message_wins(struct store *st, const struct segment *s, const struct entry_place *place)
{
	size_t i = 0;

	for (;;) {
		struct segment *other = NULL;
		struct entry_place at;
		struct store_message m;
		bool same;
		enum rc rc;

		store_lock(st);
		rc = next_copy(st, s->archive, &place->id, &i, &other, &at, NULL);
		store_unlock(st);
		if (rc != RC_OK)
			return false;
		same = same_copy(other, &at, s, place);
		rc = same ? RC_OK : RC_CORRUPT;
		if (!same && at.block != BLOCK_BUFFERED)
			rc = message_read(st, other, &at, &m, NULL, NULL, NULL);
		segment_release(st, other);
		if (rc == RC_OK)
			return same;
	}
}
