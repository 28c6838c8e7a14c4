/* One segment: made, found and scanned, its directory, appended to, closed. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"
#include "store/store_inner.h"

#define DIRECTORIES_BYTES ((size_t)64 << 20)
#define DIRECTORY_MAX     ((size_t)1 << 31)
#define SEARCH_BYTES      ((size_t)1 << 20)

/* The only problem that a new directory and footer don't mend. */
static const char lost_header[] = "the header is damaged";

static char *segment_path(const struct archive *a, uint64_t serial, const char *suffix)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "%016llx.seg%s", (unsigned long long)serial, suffix);
	return path_join(a->dir, name);
}

static void drop_index(struct segment *s)
{
	struct open_entry *x;
	struct open_entry *next;

	for (x = s->index; x; x = next) {
		next = x->hh.next;
		HASH_DEL(s->index, x);
		free(x);
	}
}

static void drop_directory(struct segment *s)
{
	drop_index(s);
	free(s->blocks);
	free(s->entries);
	s->blocks = NULL;
	s->entries = NULL;
	s->nblocks = 0;
	s->blocks_room = 0;
	s->nentries = 0;
	s->loaded = false;
}

void segment_free(struct segment *s)
{
	drop_directory(s);
	file_close(&s->file);
	free(s->filter);
	free(s->path);
	free(s);
}

static struct segment *segment_new(struct archive *a, uint64_t serial, const char *suffix)
{
	struct segment *s = mem_new(sizeof(*s));

	s->archive = a;
	s->path = segment_path(a, serial, suffix);
	s->h.archive = a->number;
	s->h.serial = serial;
	s->h.mixed = true;
	return s;
}

/* --- index -------------------------------------------------------------------------------------*/

static void widen(struct segment_footer *f, const struct message_id *id)
{
	if (!f->messages || id_compare(id, &f->min) < 0)
		f->min = *id;
	if (!f->messages || id_compare(id, &f->max) > 0)
		f->max = *id;
}

void segment_index(struct segment *s, const struct message_id *id, uint32_t block, uint32_t at,
                   uint64_t lot, uint64_t raw_bytes)
{
	struct open_entry *x;

	HASH_FIND(hh, s->index, id, sizeof(*id), x);
	if (x)
		return;
	x = mem_new(sizeof(*x));
	x->place = (struct entry_place) { *id, block, at };
	x->lot = lot;
	HASH_ADD(hh, s->index, place.id, sizeof(x->place.id), x);
	widen(&s->f, id);
	s->f.messages++;
	s->f.raw_bytes += raw_bytes;
}

static int by_id(const void *x, const void *y)
{
	return id_compare(&((const struct entry_place *)x)->id,
	                  &((const struct entry_place *)y)->id);
}

bool segment_lookup(const struct segment *s, const struct message_id *id, struct entry_place *out)
{
	const struct entry_place *found = NULL;
	struct open_entry *x = NULL;

	HASH_FIND(hh, s->index, id, sizeof(*id), x);
	if (x)
		found = &x->place;
	else if (s->nentries)
		found = bsearch(id, s->entries, s->nentries, sizeof(*found), by_id);
	if (found)
		*out = *found;
	return found != NULL;
}

/* --- filter ------------------------------------------------------------------------------------*/

#define FILTER_PROBES   6
#define FILTER_PER_ID   10 /* bits: about one id in a hundred is let through in vain */
#define FILTER_MULTIPLY UINT64_C(0x9e3779b97f4a7c15)

static uint64_t filter_bit(const struct segment *s, const struct message_id *id, unsigned probe)
{
	uint64_t h = (get_le64(id->b) * FILTER_MULTIPLY) ^ get_le64(id->b + 8);
	uint64_t step = (h * FILTER_MULTIPLY) | 1;

	return (h + probe * step) >> 16 & s->filter_mask;
}

static void make_filter(struct segment *s)
{
	uint64_t bits = 512;

	if (s->filter)
		return;
	while (bits < (uint64_t)s->nentries * FILTER_PER_ID)
		bits *= 2;
	s->filter = mem_new((size_t)(bits / 8));
	s->filter_mask = bits - 1;
	for (uint32_t i = 0; i < s->nentries; i++) {
		for (unsigned p = 0; p < FILTER_PROBES; p++) {
			uint64_t bit = filter_bit(s, &s->entries[i].id, p);

			s->filter[bit / 8] |= (uint8_t)(1 << bit % 8);
		}
	}
}

bool segment_may_have(const struct segment *s, const struct message_id *id)
{
	if (!s->f.messages || id_compare(id, &s->f.min) < 0 || id_compare(id, &s->f.max) > 0)
		return false;
	for (unsigned p = 0; s->filter && p < FILTER_PROBES; p++) {
		uint64_t bit = filter_bit(s, id, p);

		if (!(s->filter[bit / 8] & 1 << bit % 8))
			return false;
	}
	return true;
}

static void push_block(struct segment *s, const struct block_place *b)
{
	if (s->nblocks == s->blocks_room) {
		s->blocks_room = s->blocks_room ? s->blocks_room * 2 : 64;
		s->blocks = mem_resize(s->blocks, s->blocks_room * sizeof(*s->blocks));
	}
	s->blocks[s->nblocks++] = *b;
}

/* --- making and appending ----------------------------------------------------------------------*/

static enum rc write_header(struct segment *s, struct err *e)
{
	uint8_t raw[SEGMENT_HEADER];

	segment_header_encode(raw, &s->h, &s->archive->keys);
	return file_write_at(s->file, slice_of(raw, sizeof(raw)), 0, e);
}

enum rc segment_create(struct store *st, struct archive *a, bool mixed, int32_t day,
                       struct segment **out, struct err *e)
{
	struct segment *s = segment_new(a, store_next_serial(st), ".new");
	enum rc rc;

	s->h.mixed = mixed;
	s->h.day = day;
	s->h.created_ms = clock_now_ms();
	crypt_random(s->h.uuid, sizeof(s->h.uuid));
	s->end = SEGMENT_HEADER;
	s->synced_end = SEGMENT_HEADER;
	s->disk_bytes = SEGMENT_HEADER;
	s->loaded = true;
	rc = file_open(&s->file, s->path, FILE_CREATE, e);
	if (rc == RC_OK) {
		rc = write_header(s, e);
		if (rc != RC_OK)
			(void)!file_remove(s->path, NULL);
	}
	if (rc != RC_OK) {
		segment_free(s);
		return rc;
	}
	*out = s;
	return RC_OK;
}

enum rc segment_append(struct store *st, struct segment *s, struct block_header *b,
                       struct slice plain, struct err *e)
{
	struct block_place place = { .offset = s->end, .lot = b->lot, .messages = b->messages };
	uint8_t key[KEY_BYTES];
	enum rc rc;

	if (plain.len > BLOCK_PLAIN_MAX || s->nblocks >= BLOCKS_MAX)
		return err_set(e, RC_LIMIT, "%s: a block of %zu bytes", s->path, plain.len);
	rc = keyring_get(st->keys, b->lot, key, e);
	if (rc != RC_OK)
		return rc;
	b->number = s->nblocks;
	b->synced = s->synced_end;
	rc = block_seal(&st->sealed, b, plain, &s->h, &s->archive->keys, key, st->pack,
	                st->opt.zstd_level);
	crypt_wipe(key, sizeof(key));
	if (rc != RC_OK)
		return err_set(e, rc, "%s: no memory for a block", s->path);
	rc = file_write_at(s->file, buf_slice(&st->sealed), s->end, e);
	if (rc != RC_OK)
		return rc;
	place.plain = b->plain;
	place.stored = b->stored;
	place.flags = b->flags;
	push_block(s, &place);
	s->end += st->sealed.len;
	s->disk_bytes = MAX_OF(s->disk_bytes, s->end);
	return RC_OK;
}

/* --- closing -----------------------------------------------------------------------------------*/

static struct entry_place *sorted_entries(const struct segment *s, uint32_t *n)
{
	struct entry_place *all = mem_array(HASH_COUNT(s->index) + 1, sizeof(*all));

	*n = 0;
	for (const struct open_entry *x = s->index; x; x = x->hh.next)
		all[(*n)++] = x->place;
	qsort(all, *n, sizeof(*all), by_id);
	return all;
}

static enum rc write_directory(struct segment *s, const struct entry_place *entries, uint32_t n,
                               struct err *e)
{
	uint8_t footer[SEGMENT_FOOTER];
	struct buf out;
	enum rc rc;

	buf_init(&out, DIRECTORY_MAX);
	/* Behind whatever a crash left: torn blocks are never written over. */
	rc = file_size(s->file, &s->f.directory, e);
	if (rc == RC_OK)
		rc = directory_seal(&out, s->blocks, s->nblocks, entries, n, &s->h,
		                    &s->archive->keys);
	if (rc == RC_OK) {
		s->f.directory_bytes = out.len;
		s->f.blocks = s->nblocks;
		segment_footer_encode(footer, &s->f, &s->h, &s->archive->keys);
		rc = buf_add(&out, slice_of(footer, sizeof(footer)));
	}
	if (rc == RC_OK)
		rc = file_write_at(s->file, buf_slice(&out), s->f.directory, e);
	if (rc == RC_OK)
		rc = file_sync(s->file, NULL, e);
	s->disk_bytes = s->f.directory + out.len;
	buf_free(&out);
	return rc;
}

static size_t directory_bytes(const struct segment *s)
{
	return s->nblocks * sizeof(*s->blocks) + s->nentries * sizeof(*s->entries);
}

enum rc segment_close(struct store *st, struct segment *s, struct err *e)
{
	uint32_t n;
	struct entry_place *entries = sorted_entries(s, &n);
	enum rc rc = write_directory(s, entries, n, e);

	if (rc != RC_OK) {
		free(entries);
		return rc;
	}
	drop_index(s);
	s->entries = entries;
	s->nentries = n;
	s->closed = true;
	s->problem = s->problem == lost_header ? lost_header : NULL;
	make_filter(s);
	s->used = ++st->tick;
	st->loaded_bytes += directory_bytes(s);
	return RC_OK;
}

void segment_close_anew(struct store *st, struct segment *s)
{
	struct file *f;
	struct err e = { 0 };
	enum rc rc;

	if (!s->anew || s->busy || s->users)
		return;
	s->anew = false; /* when it fails: until the next start finds it so */
	rc = file_open(&f, s->path, FILE_WRITE, &e);
	if (rc == RC_OK) {
		file_close(&s->file);
		s->file = f;
		rc = segment_close(st, s, &e);
	}
	if (rc != RC_OK)
		log_warn("%s gets no new directory: %s", s->path, e.text);
}

enum rc segment_name(struct segment *s, struct err *e)
{
	char *path = segment_path(s->archive, s->h.serial, "");
	enum rc rc = file_rename(s->path, path, e);

	if (rc == RC_OK)
		rc = dir_sync(s->archive->dir, e);
	if (rc != RC_OK) {
		free(path);
		return rc;
	}
	free(s->path);
	s->path = path;
	return RC_OK;
}

/* --- scanning ----------------------------------------------------------------------------------*/

ZSTD_DCtx *unpack_take(struct store *st)
{
	ZSTD_DCtx *z = NULL;

	for (size_t i = 0; i < COUNT(st->unpack) && !z; i++) {
		z = st->unpack[i];
		st->unpack[i] = NULL;
	}
	if (!z) {
		z = ZSTD_createDCtx();
		MUST(z && !ZSTD_isError(ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, 27)));
	}
	return z;
}

void unpack_give(struct store *st, ZSTD_DCtx *z)
{
	for (size_t i = 0; i < COUNT(st->unpack); i++) {
		if (!st->unpack[i]) {
			st->unpack[i] = z;
			return;
		}
	}
	(void)ZSTD_freeDCtx(z);
}

struct scan {
	struct store *st;
	struct segment *s;
	uint64_t size;
	uint64_t synced; /* what blocks prove to have been on disk */
	uint64_t good;   /* end of the last block that is right */
	uint32_t ngood;  /* blocks up to there */
	bool uuid_known;
	ZSTD_DCtx *z;
	/* A large message whose pieces are being met. */
	struct block_entry large;
	uint64_t got; /* 0: none */
	uint32_t large_block;
};

static bool header_at(struct scan *c, const uint8_t *raw, uint64_t at, struct block_header *b)
{
	if (!block_header_decode(b, raw, &c->s->h, &c->s->archive->keys) ||
	    b->stored > c->size - at - BLOCK_HEADER)
		return false;
	if (c->uuid_known)
		return memcmp(b->uuid, c->s->h.uuid, sizeof(b->uuid)) == 0;
	memcpy(c->s->h.uuid, b->uuid, sizeof(b->uuid));
	c->uuid_known = true;
	return true;
}

/* The first block header in the file's next SEARCH_BYTES; *at moves there, or behind what was seen.
 */
static enum rc search_header(struct scan *c, uint64_t *at, struct block_header *b, struct err *e)
{
	uint8_t *raw = mem_new(SEARCH_BYTES);
	size_t got;
	enum rc rc = file_read_some(c->s->file, raw, SEARCH_BYTES, *at, &got, e);

	if (rc == RC_OK && got < BLOCK_HEADER)
		rc = RC_NOTFOUND;
	if (rc == RC_OK) {
		rc = RC_AGAIN;
		for (size_t i = 0; rc == RC_AGAIN && i + BLOCK_HEADER <= got; i++) {
			if (!header_at(c, raw + i, *at + i, b))
				continue;
			*at += i;
			rc = RC_OK;
		}
	}
	if (rc == RC_AGAIN)
		*at += got - BLOCK_HEADER + 1;
	free(raw);
	return rc;
}

/* The next block header at or after *at; RC_NOTFOUND when there is none. */
static enum rc next_header(struct scan *c, uint64_t *at, struct block_header *b, struct err *e)
{
	uint8_t raw[BLOCK_HEADER];
	size_t got;
	enum rc rc = file_read_some(c->s->file, raw, sizeof(raw), *at, &got, e);

	if (rc != RC_OK)
		return rc;
	if (got < sizeof(raw))
		return RC_NOTFOUND;
	/* Nearly always the header is where it should be. */
	if (header_at(c, raw, *at, b))
		return RC_OK;
	do
		rc = search_header(c, at, b, e);
	while (rc == RC_AGAIN);
	return rc;
}

static void large_piece(struct scan *c, const struct block_entry *entry, uint32_t block)
{
	if (entry->flags & ENTRY_FIRST) {
		c->large = *entry;
		c->got = 0;
		c->large_block = block;
	} else if (!c->got || id_compare(&entry->id, &c->large.id) != 0 || entry->from != c->got ||
	           entry->total != c->large.total) {
		c->got = 0;
		return;
	}
	c->got += entry->part.len;
	if (entry->flags & ENTRY_LAST && c->got == entry->total)
		segment_index(c->s, &entry->id, c->large_block, c->large.at,
		              c->s->blocks[c->large_block].lot, entry->total);
	if (entry->flags & ENTRY_LAST)
		c->got = 0;
}

static void index_plain(struct scan *c, struct slice plain, uint32_t block)
{
	struct block_entry entry;
	size_t at = 0;

	while (block_entry_read(&entry, plain, &at) == RC_OK) {
		if (entry.flags == (ENTRY_FIRST | ENTRY_LAST))
			segment_index(c->s, &entry.id, block, entry.at, c->s->blocks[block].lot,
			              entry.total);
		else
			large_piece(c, &entry, block);
	}
}

/* RC_OK also for a block whose lot is destroyed or lost: it is right, only nobody can read it. */
static enum rc scan_block(struct scan *c, const struct block_header *b, uint64_t at, struct err *e)
{
	size_t n = BLOCK_HEADER + (size_t)b->stored;
	uint8_t *whole;
	uint8_t *plain;
	uint8_t key[KEY_BYTES];
	enum rc rc = keyring_get(c->st->keys, b->lot, key, NULL);

	if (rc == RC_NOTFOUND || (rc == RC_CORRUPT && keyring_lost(c->st->keys)))
		return RC_OK;
	if (rc != RC_OK)
		return rc;
	whole = malloc(n);
	plain = malloc((size_t)b->plain + 1);
	if (!whole || !plain)
		rc = err_set(e, RC_LIMIT, "%s: no memory for a block", c->s->path);
	else
		rc = file_read_at(c->s->file, whole, n, at, e);
	if (rc == RC_OK)
		rc = block_open(plain, b, slice_of(whole, n), &c->s->h, key, c->z);
	crypt_wipe(key, sizeof(key));
	if (rc == RC_OK)
		index_plain(c, slice_of(plain, b->plain), b->number);
	free(whole);
	free(plain);
	return rc;
}

/* Places for blocks whose header is lost, so that numbers stay positions. */
static void skip_numbers(struct segment *s, uint32_t number, uint64_t offset)
{
	const struct block_place lost = { .offset = offset, .flags = BLOCK_BAD };

	while (s->nblocks < number)
		push_block(s, &lost);
}

static enum rc scan_blocks(struct scan *c, struct err *e)
{
	struct block_header b;
	uint64_t at = SEGMENT_HEADER;
	enum rc rc = RC_OK;

	while (rc == RC_OK) {
		struct block_place place;

		rc = next_header(c, &at, &b, e);
		if (rc != RC_OK)
			break;
		if (b.number < c->s->nblocks) { /* a copy of an earlier block */
			at++;
			continue;
		}
		skip_numbers(c->s, b.number, at);
		place = (struct block_place) { at, b.lot, b.plain, b.stored, b.messages, b.flags };
		push_block(c->s, &place);
		c->synced = MAX_OF(c->synced, b.synced);
		rc = scan_block(c, &b, at, e);
		at += BLOCK_HEADER + b.stored;
		if (rc == RC_OK) {
			c->good = at;
			c->ngood = c->s->nblocks;
		} else if (rc == RC_CORRUPT) {
			c->s->blocks[c->s->nblocks - 1].flags |= BLOCK_BAD;
			rc = RC_OK;
		}
	}
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* What a crash left behind the last good block was never promised to anyone; but a block that a
 * later one knows to have been synced is damage, and stays in the directory as such. */
static void drop_torn(struct scan *c)
{
	while (c->s->nblocks > c->ngood && c->s->blocks[c->s->nblocks - 1].offset >= c->synced)
		c->s->nblocks--;
}

static bool has_bad_block(const struct segment *s)
{
	for (uint32_t i = 0; i < s->nblocks; i++)
		if (s->blocks[i].flags & BLOCK_BAD)
			return true;
	return false;
}

static enum rc segment_scan(struct store *st, struct segment *s, bool uuid_known, struct err *e)
{
	struct scan c = { .st = st, .s = s, .uuid_known = uuid_known, .good = SEGMENT_HEADER };
	enum rc rc = file_size(s->file, &c.size, e);

	if (s->closed)
		c.size = MIN_OF(c.size, s->f.directory);
	drop_directory(s);
	s->f.messages = 0;
	s->f.raw_bytes = 0;
	if (rc == RC_OK) {
		c.z = unpack_take(st);
		rc = scan_blocks(&c, e);
		unpack_give(st, c.z);
	}
	if (rc != RC_OK)
		return rc;
	drop_torn(&c);
	if (c.size > c.good)
		log_warn("%s: %llu bytes behind the last whole block are not read", s->path,
		         (unsigned long long)(c.size - c.good));
	s->loaded = true;
	s->end = c.good;
	s->synced_end = c.good;
	s->synced_blocks = s->nblocks;
	s->synced_f = s->f;
	s->full = s->full || c.size > c.good || has_bad_block(s);
	if (!s->closed)
		s->disk_bytes = c.size;
	return RC_OK;
}

/* --- opening -----------------------------------------------------------------------------------*/

static bool is_ours(const struct segment_header *h, const struct segment *s)
{
	return h->archive == s->h.archive && h->serial == s->h.serial;
}

/* Whether the file ends with a footer that fits it. What it says can be made anew from the blocks,
 * so a damaged one is told and then written again. */
static enum rc read_footer(struct segment *s, uint64_t size, bool *found, struct err *e)
{
	uint8_t raw[SEGMENT_FOOTER];
	struct segment_header h;
	struct segment_footer f;
	enum rc rc;

	*found = false;
	if (size < SEGMENT_HEADER + SEGMENT_FOOTER)
		return RC_OK;
	rc = file_read_at(s->file, raw, sizeof(raw), size - SEGMENT_FOOTER, e);
	if (rc == RC_OK && segment_footer_broken(raw, &s->archive->keys))
		s->problem = "the footer is damaged";
	if (rc != RC_OK || !segment_footer_decode(&f, &h, raw, &s->archive->keys) ||
	    !is_ours(&h, s) || f.directory > size || f.directory_bytes > DIRECTORY_MAX ||
	    f.directory + f.directory_bytes != size - SEGMENT_FOOTER)
		return rc;
	s->f = f;
	s->h = h;
	*found = true;
	return RC_OK;
}

static enum rc read_header(struct segment *s, bool *found, struct err *e)
{
	uint8_t raw[SEGMENT_HEADER];
	struct segment_header h;
	size_t got;
	enum rc rc = file_read_some(s->file, raw, sizeof(raw), 0, &got, e);

	*found = rc == RC_OK && got == sizeof(raw) &&
	         segment_header_decode(&h, raw, &s->archive->keys) && is_ours(&h, s);
	if (*found)
		s->h = h;
	return rc;
}

/* A segment that was not closed: its blocks say what is in it. */
static enum rc open_unclosed(struct store *st, struct segment *s, bool header, struct err *e)
{
	enum rc rc = segment_scan(st, s, header, e);

	if (rc != RC_OK)
		return rc;
	if (!header) {
		s->problem = s->nblocks ? lost_header : "it is no segment of this archive";
		s->full = true;
		/* There is nothing to close in what isn't ours. */
		s->closed = s->nblocks == 0;
		return RC_OK;
	}
	/* A process that was killed may have left it unsynced. */
	return file_sync(s->file, NULL, e);
}

static enum rc open_file(struct store *st, struct segment *s, struct err *e)
{
	bool header = false;
	bool footer = false;
	enum rc rc = file_open(&s->file, s->path, FILE_WRITE, e);

	if (rc == RC_OK)
		rc = file_size(s->file, &s->disk_bytes, e);
	if (rc == RC_OK)
		rc = read_header(s, &header, e);
	if (rc == RC_OK)
		rc = read_footer(s, s->disk_bytes, &footer, e);
	if (rc != RC_OK)
		return rc;
	if (!footer)
		return open_unclosed(st, s, header, e);
	if (!header)
		s->problem = lost_header;
	s->closed = true;
	s->full = true;
	file_close(&s->file);
	return RC_OK;
}

enum rc segment_open(struct store *st, struct archive *a, uint64_t serial, struct segment **out,
                     struct err *e)
{
	struct segment *s = segment_new(a, serial, "");
	enum rc rc = open_file(st, s, e);

	if (rc != RC_OK) {
		segment_free(s);
		return rc;
	}
	*out = s;
	return RC_OK;
}

/* --- directories of closed segments ------------------------------------------------------------*/

static bool directory_is_sane(const struct segment *s)
{
	for (uint32_t i = 0; i < s->nblocks; i++) {
		const struct block_place *b = &s->blocks[i];

		if (b->plain > BLOCK_PLAIN_MAX || b->offset > s->f.directory ||
		    b->stored > s->f.directory - b->offset)
			return false;
	}
	for (uint32_t i = 0; i < s->nentries; i++)
		if (s->entries[i].block >= s->nblocks)
			return false;
	return true;
}

static enum rc read_directory(struct segment *s, struct err *e)
{
	size_t n = (size_t)s->f.directory_bytes;
	uint8_t *sealed = malloc(n + 1);
	enum rc rc;

	if (!sealed)
		return err_set(e, RC_LIMIT, "%s: no memory for its directory", s->path);
	rc = file_read_at(s->file, sealed, n, s->f.directory, e);
	if (rc == RC_OK)
		rc = directory_open(slice_of(sealed, n), &s->blocks, &s->nblocks, &s->entries,
		                    &s->nentries, &s->h, &s->archive->keys);
	free(sealed);
	if (rc == RC_OK && !directory_is_sane(s)) {
		drop_directory(s);
		rc = RC_CORRUPT;
	}
	return rc;
}

/* Is there a block where the directory has none? What was torn, or taken for torn, when it was
 * closed. */
static bool has_block_behind(const struct segment *s)
{
	const struct block_place *last = s->nblocks ? &s->blocks[s->nblocks - 1] : NULL;
	uint64_t at = last ? last->offset + BLOCK_HEADER + last->stored : SEGMENT_HEADER;
	uint8_t raw[BLOCK_HEADER];
	struct block_header b;
	size_t got;

	return at + BLOCK_HEADER <= s->f.directory &&
	       file_read_some(s->file, raw, sizeof(raw), at, &got, NULL) == RC_OK &&
	       got == sizeof(raw) && block_header_decode(&b, raw, &s->h, &s->archive->keys);
}

/* What the directory has and the scan could not read. */
static void keep_known(struct segment *s, const struct segment *known)
{
	for (uint32_t i = 0; i < known->nblocks; i++) {
		if (i >= s->nblocks)
			push_block(s, &known->blocks[i]);
		else if (s->blocks[i].flags & BLOCK_BAD)
			s->blocks[i] = known->blocks[i];
	}
	for (uint32_t i = 0; i < known->nentries; i++) {
		const struct entry_place *x = &known->entries[i];

		segment_index(s, &x->id, x->block, x->at, known->blocks[x->block].lot, 0);
	}
	s->f.raw_bytes = MAX_OF(s->f.raw_bytes, known->f.raw_bytes);
}

/* Blocks that were bad when the segment was closed may have been put back from a backup since. The
 * directory doesn't say what is in them, so all are looked at again, once in a process; where all
 * are right now it is written anew. What can't be looked at is as the directory says. */
static void look_again(struct store *st, struct segment *s)
{
	struct segment known = *s;
	struct err e = { 0 };
	enum rc rc;

	known.looked = true;
	s->blocks = NULL;
	s->entries = NULL;
	rc = segment_scan(st, s, true, &e);
	if (rc == RC_OK)
		keep_known(s, &known);
	else
		log_warn("%s: what was damaged can't be looked at again: %s", s->path, e.text);
	if (rc != RC_OK || s->f.messages == known.f.messages) {
		drop_directory(s);
		*s = known;
		return;
	}
	log_info("%s: %llu messages in blocks that were damaged are there again", s->path,
	         (unsigned long long)(s->f.messages - known.f.messages));
	s->looked = true;
	s->anew = !has_bad_block(s);
	free(s->filter);
	s->filter = NULL;
	free(known.blocks);
	free(known.entries);
}

enum rc segment_load(struct store *st, struct segment *s, struct err *e)
{
	enum rc rc = RC_OK;

	s->used = ++st->tick;
	if (s->loaded)
		return RC_OK;
	if (!s->file)
		rc = file_open(&s->file, s->path, FILE_READ, e);
	if (rc != RC_OK)
		return rc;
	rc = read_directory(s, e);
	if (rc == RC_OK && !s->looked && (has_bad_block(s) || has_block_behind(s)))
		look_again(st, s);
	if (rc == RC_OK && s->index) /* more than the directory has */
		return RC_OK;
	if (rc == RC_OK) {
		s->loaded = true;
		make_filter(s);
		st->loaded_bytes += directory_bytes(s);
		return RC_OK;
	}
	if (rc != RC_CORRUPT)
		return rc;
	s->problem = "the directory is damaged";
	free(s->filter);
	s->filter = NULL;
	rc = segment_scan(st, s, true, e);
	/* A power failure while it was closed may have left this. What is bad is kept as it is, to
	 * be looked at again by each start. */
	s->anew = rc == RC_OK && !has_bad_block(s);
	return rc;
}

static struct segment *least_used(const struct store *st)
{
	struct segment *least = NULL;

	for (size_t i = 0; i < st->narchives; i++) {
		for (size_t j = 0; j < st->archives[i]->nsegments; j++) {
			struct segment *s = st->archives[i]->segments[j];

			if (s->loaded && s->closed && !s->busy && !s->index && s->nblocks &&
			    (!least || s->used < least->used))
				least = s;
		}
	}
	return least;
}

static void unload(struct store *st, struct segment *s)
{
	st->loaded_bytes -= MIN_OF(st->loaded_bytes, directory_bytes(s));
	drop_directory(s);
	file_close(&s->file);
}

void segments_evict(struct store *st)
{
	while (st->loaded_bytes > DIRECTORIES_BYTES) {
		struct segment *s = least_used(st);

		if (!s || s->used == st->tick)
			return;
		unload(st, s);
	}
}

void segment_rest(struct store *st, struct segment *s)
{
	if (s->busy || s->users)
		return;
	unload(st, s);
	free(s->filter);
	s->filter = NULL;
}
