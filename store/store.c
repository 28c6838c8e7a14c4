/* Opening, putting and syncing; docs of the whole in store/store.h and store/store_inner.h. */
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"
#include "store/store_inner.h"

#define SEGMENT_BYTES  (UINT64_C(1) << 30)
#define BLOCK_BYTES    (UINT32_C(2) << 20)
#define ZSTD_LEVEL     6
#define BUFFERED_BYTES ((size_t)64 << 20)
#define RECENT_DAYS    2 /* lots of these days get segments of their own */

/* --- archives ----------------------------------------------------------------------------------*/

struct archive *archive_find(const struct store *st, uint32_t number)
{
	for (size_t i = 0; i < st->narchives; i++)
		if (st->archives[i]->number == number)
			return st->archives[i];
	return NULL;
}

/* Grows with the clock, so that the serial of a segment that was forgotten is not used again. */
uint64_t store_next_serial(struct store *st)
{
	int64_t now = clock_now_ms();

	st->last_serial = MAX_OF(st->last_serial + 1, now > 0 ? (uint64_t)now : 1);
	return st->last_serial;
}

void archive_insert(struct archive *a, struct segment *s)
{
	size_t at = a->nsegments++;

	a->segments = mem_resize(a->segments, a->nsegments * sizeof(struct segment *));
	for (; at > 0 && a->segments[at - 1]->h.serial > s->h.serial; at--)
		a->segments[at] = a->segments[at - 1];
	a->segments[at] = s;
}

void archive_remove(struct archive *a, struct segment *s)
{
	for (size_t i = 0; i < a->nsegments; i++) {
		if (a->segments[i] != s)
			continue;
		memmove(a->segments + i, a->segments + i + 1,
		        (a->nsegments - i - 1) * sizeof(struct segment *));
		a->nsegments--;
		break;
	}
	s->gone = true;
	if (!s->users)
		segment_free(s);
}

/* An archive without a key is dead: its segments can only be forgotten. */
static enum rc archive_keys(struct store *st, struct archive *a, struct err *e)
{
	uint8_t key[KEY_BYTES];
	uint64_t id;
	enum rc rc = keyring_find(st->keys, KEY_ARCHIVE, a->number, 0, &id, e);

	a->dead = rc == RC_NOTFOUND;
	if (rc == RC_OK)
		rc = keyring_get(st->keys, id, key, e);
	if (rc == RC_OK)
		segment_keys_derive(&a->keys, key);
	crypt_wipe(key, sizeof(key));
	return rc;
}

static struct archive *archive_new(struct store *st, uint32_t number)
{
	struct archive *a = mem_new(sizeof(*a));
	char name[16];

	(void)snprintf(name, sizeof(name), "%u", number);
	a->number = number;
	a->dir = path_join(st->dir, name);
	return a;
}

static void archive_free(struct archive *a)
{
	for (size_t i = 0; i < a->nsegments; i++)
		segment_free(a->segments[i]);
	crypt_wipe(&a->keys, sizeof(a->keys));
	free(a->segments);
	free(a->dir);
	free(a);
}

static void push_archive(struct store *st, struct archive *a)
{
	st->archives = mem_resize(st->archives, (st->narchives + 1) * sizeof(struct archive *));
	st->archives[st->narchives++] = a;
}

static enum rc archive_get(struct store *st, uint32_t number, struct archive **out, struct err *e)
{
	struct archive *a = archive_find(st, number);
	enum rc rc;

	*out = a;
	if (a && a->dead)
		return err_set(e, RC_NOTFOUND, "the key of archive %u is destroyed", number);
	if (a)
		return RC_OK;
	a = archive_new(st, number);
	rc = archive_keys(st, a, e);
	if (rc == RC_OK)
		rc = dir_make(a->dir, e);
	if (rc != RC_OK) {
		archive_free(a);
		return rc;
	}
	a->unnamed = true;
	push_archive(st, a);
	*out = a;
	return RC_OK;
}

/* --- opening -----------------------------------------------------------------------------------*/

struct listing {
	struct store *st;
	struct archive *a;
};

static bool serial_parse(const char *name, uint64_t *serial)
{
	struct slice s = slice_str(name);
	uint8_t b[8];

	if (s.len != 20 || strcmp(name + 16, ".seg") != 0 ||
	    !hex_decode(b, 8, slice_part(s, 0, 16)))
		return false;
	*serial = 0;
	for (int i = 0; i < 8; i++)
		*serial = *serial << 8 | b[i];
	return true;
}

static bool is_unfinished(const char *name)
{
	return slice_ends_nocase(slice_str(name), slice_str(".seg.new"));
}

static enum rc take_segment(void *arg, const char *name, struct err *e)
{
	struct listing *l = arg;
	struct segment *s;
	uint64_t serial;
	enum rc rc;

	if (is_unfinished(name)) { /* a rewrite that a crash ended; the old files are still there */
		char *path = path_join(l->a->dir, name);
		char final[21] = { 0 };

		/* Its blocks may be in the audit log: the serial is used up. */
		memcpy(final, name, MIN_OF(strlen(name), sizeof(final) - 1));
		if (serial_parse(final, &serial))
			l->st->last_serial = MAX_OF(l->st->last_serial, serial);
		rc = file_remove(path, e);
		free(path);
		return rc;
	}
	if (!serial_parse(name, &serial))
		return RC_OK;
	l->st->last_serial = MAX_OF(l->st->last_serial, serial);
	if (l->a->dead) /* kept unread until store_forget */
		return RC_OK;
	rc = segment_open(l->st, l->a, serial, &s, e);
	if (rc == RC_OK)
		archive_insert(l->a, s);
	return rc;
}

static enum rc take_archive(void *arg, const char *name, struct err *e)
{
	struct listing l = { .st = arg };
	uint64_t number;
	enum rc rc;

	if (!slice_to_u64(slice_str(name), &number) || number > UINT32_MAX || name[0] == '0')
		return RC_OK;
	l.a = archive_new(l.st, (uint32_t)number);
	rc = archive_keys(l.st, l.a, e);
	if (rc != RC_OK && !l.a->dead) {
		archive_free(l.a);
		return rc == RC_CRYPTO ? RC_OK : rc; /* no more, or the engine wouldn't open */
	}
	push_archive(l.st, l.a);
	return dir_list(l.a->dir, take_segment, &l, e);
}

static void set_options(struct store *st, const struct store_options *opt)
{
	if (opt)
		st->opt = *opt;
	if (!st->opt.segment_bytes)
		st->opt.segment_bytes = SEGMENT_BYTES;
	if (!st->opt.block_bytes)
		st->opt.block_bytes = BLOCK_BYTES;
	if (!st->opt.zstd_level)
		st->opt.zstd_level = ZSTD_LEVEL;
	st->opt.block_bytes = MIN_OF(st->opt.block_bytes, (uint32_t)(BLOCK_PLAIN_MAX / 4));
}

static enum rc open_all(struct store *st, struct err *e)
{
	enum rc rc;

	if (!file_exists(st->dir)) {
		rc = dir_make(st->dir, e);
		return rc == RC_OK ? dir_sync(st->data_dir, e) : rc;
	}
	return dir_list(st->dir, take_archive, st, e);
}

enum rc store_open(struct store **out, const char *dir, struct keyring *kr,
                   const struct store_options *opt, struct err *e)
{
	struct store *st = mem_new(sizeof(*st));
	enum rc rc;

	crypt_init();
	*out = NULL;
	MUST(pthread_mutex_init(&st->lock, NULL) == 0);
	set_options(st, opt);
	st->keys = kr;
	st->data_dir = mem_string(dir);
	st->dir = path_join(dir, "seg");
	st->pack = ZSTD_createCCtx();
	MUST(st->pack);
	buf_init(&st->sealed, 2 * BLOCK_PLAIN_MAX);
	rc = open_all(st, e);
	if (rc != RC_OK) {
		store_close(&st);
		return rc;
	}
	*out = st;
	return RC_OK;
}

static void open_block_free(struct store *st, struct open_block *ob)
{
	HASH_DEL(st->open, ob);
	if (ob->plain.at)
		crypt_wipe(ob->plain.at, ob->plain.room);
	buf_free(&ob->plain);
	free(ob);
}

static void open_blocks_free(struct store *st)
{
	struct open_block *ob;
	struct open_block *next;

	for (ob = st->open; ob; ob = next) {
		next = ob->hh.next;
		open_block_free(st, ob);
	}
	st->buffered = 0;
}

void written_free(struct written *w)
{
	free(w->at);
	*w = (struct written) { 0 };
}

void store_close(struct store **stp)
{
	struct store *st = *stp;

	if (!st)
		return;
	open_blocks_free(st);
	cache_clear(st);
	for (size_t i = 0; i < st->narchives; i++)
		archive_free(st->archives[i]);
	for (size_t i = 0; i < st->nstale; i++)
		file_close(&st->stale[i]);
	for (size_t i = 0; i < COUNT(st->unpack); i++)
		(void)ZSTD_freeDCtx(st->unpack[i]);
	(void)ZSTD_freeCCtx(st->pack);
	buf_free(&st->sealed);
	written_free(&st->written);
	free(st->stale);
	free(st->archives);
	free(st->dir);
	free(st->data_dir);
	(void)pthread_mutex_destroy(&st->lock);
	free(st);
	*stp = NULL;
}

bool lot_is_live(struct store *st, uint64_t lot)
{
	struct key_info k;

	return keyring_info(st->keys, lot, &k, NULL) == RC_OK && k.state == KEY_LIVE;
}

bool lot_is_dead(struct store *st, uint64_t lot)
{
	struct key_info k;
	uint8_t key[KEY_BYTES];
	bool dead = keyring_info(st->keys, lot, &k, NULL) == RC_OK &&
	            keyring_get(st->keys, lot, key, NULL) == RC_NOTFOUND;

	crypt_wipe(key, sizeof(key));
	return dead;
}

enum rc lot_key(struct store *st, uint64_t lot, uint8_t key[KEY_BYTES], struct err *e)
{
	struct key_info k;
	enum rc rc = keyring_get(st->keys, lot, key, e);

	if (rc == RC_NOTFOUND && keyring_info(st->keys, lot, &k, NULL) == RC_NOTFOUND)
		return err_set(e, RC_CORRUPT, "the key ring has no key of lot %llu",
		               (unsigned long long)lot);
	return rc;
}

/* --- going back --------------------------------------------------------------------------------*/

static void drop_unsynced_entries(struct segment *s)
{
	struct open_entry *x;
	struct open_entry *next;

	for (x = s->index; x; x = next) {
		next = x->hh.next;
		if (x->place.block < s->synced_blocks)
			continue;
		HASH_DEL(s->index, x);
		free(x);
	}
}

/* A file whose sync failed refuses all further use, so it is opened again; a reader may be in the
 * old one. */
static enum rc reopen(struct store *st, struct segment *s, struct err *e)
{
	struct file *f;
	enum rc rc = file_open(&f, s->path, FILE_WRITE, e);

	if (rc != RC_OK)
		return rc;
	st->stale = mem_resize(st->stale, (st->nstale + 1) * sizeof(struct file *));
	st->stale[st->nstale++] = s->file;
	s->file = f;
	return file_truncate(f, s->synced_end, e);
}

static void segment_go_back(struct store *st, struct segment *s)
{
	struct err e = { 0 };

	if (s->closed)
		return;
	drop_unsynced_entries(s);
	s->f = s->synced_f;
	if (s->end == s->synced_end)
		return;
	s->nblocks = s->synced_blocks;
	s->end = s->synced_end;
	if (reopen(st, s, &e) == RC_OK)
		return;
	log_error("%s can't be taken back to its last sync: %s", s->path, e.text);
	st->broken = true;
}

/* After a failure: nothing since the last store_sync is in the store. */
static void go_back(struct store *st)
{
	open_blocks_free(st);
	written_free(&st->written);
	cache_clear(st); /* numbers of blocks will be used again */
	for (size_t i = 0; i < st->narchives; i++)
		for (size_t j = 0; j < st->archives[i]->nsegments; j++)
			segment_go_back(st, st->archives[i]->segments[j]);
}

/* --- where a put goes --------------------------------------------------------------------------*/

static bool is_recent(int32_t day)
{
	int64_t today = day_of_ms(clock_now_ms());

	return day >= today - RECENT_DAYS && day <= today + RECENT_DAYS;
}

static bool has_room(const struct store *st, struct segment *s)
{
	if (s->end >= st->opt.segment_bytes)
		s->full = true;
	return !s->full;
}

static enum rc new_segment(struct store *st, struct archive *a, bool mixed, int32_t day,
                           struct segment **out, struct err *e)
{
	struct segment *s;
	enum rc rc = segment_create(st, a, mixed, day, &s, e);

	if (rc != RC_OK)
		return rc;
	rc = file_sync(s->file, NULL, e);
	if (rc == RC_OK)
		rc = segment_name(s, e);
	if (rc != RC_OK) {
		(void)!file_remove(s->path, NULL);
		segment_free(s);
		return rc;
	}
	archive_insert(a, s);
	*out = s;
	return RC_OK;
}

static enum rc pick_segment(struct store *st, struct archive *a, int32_t day, struct segment **out,
                            struct err *e)
{
	bool mixed = !is_recent(day);

	/* What is not full is young, so it is near the end. */
	for (size_t i = a->nsegments; i > 0; i--) {
		struct segment *s = a->segments[i - 1];

		if (s->full || s->h.mixed != mixed || (!mixed && s->h.day != day) ||
		    !has_room(st, s))
			continue;
		*out = s;
		return RC_OK;
	}
	return new_segment(st, a, mixed, day, out, e);
}

static struct open_block *open_block_of(struct store *st, uint64_t lot)
{
	struct open_block *ob;

	HASH_FIND(hh, st->open, &lot, sizeof(lot), ob);
	if (!ob) {
		ob = mem_new(sizeof(*ob));
		ob->lot = lot;
		buf_init(&ob->plain, BLOCK_PLAIN_MAX);
		HASH_ADD(hh, st->open, lot, sizeof(ob->lot), ob);
	}
	return ob;
}

/* Too many lots at once fill the memory: the largest blocks are written before they are full. */
static enum rc spill(struct store *st, struct err *e)
{
	enum rc rc = RC_OK;

	while (rc == RC_OK && st->buffered > BUFFERED_BYTES) {
		struct open_block *largest = st->open;

		for (struct open_block *ob = st->open; ob; ob = ob->hh.next)
			if (ob->plain.len > largest->plain.len)
				largest = ob;
		rc = block_flush(st, largest, &st->written, e);
		if (rc == RC_OK) {
			buf_free(&largest->plain);
			st->buffered = 0;
			for (struct open_block *ob = st->open; ob; ob = ob->hh.next)
				st->buffered += ob->plain.len;
		}
	}
	return rc;
}

/* A copy whose lot was destroyed since is not in its segment any more, or the new one would not be.
 */
static void drop_dead_copy(struct store *st, struct segment *s, const struct message_id *id)
{
	struct open_entry *x;

	HASH_FIND(hh, s->index, id, sizeof(*id), x);
	if (!x || lot_is_live(st, x->lot))
		return;
	HASH_DEL(s->index, x);
	free(x);
	s->f.messages--;
}

static enum rc put_in_lot(struct store *st, struct archive *a, int32_t day,
                          const struct store_message *m, struct err *e)
{
	struct open_block *ob = open_block_of(st, m->lot);
	size_t before = ob->plain.len;
	enum rc rc = RC_OK;

	/* Between blocks a lot may move on to another segment. */
	if (!before)
		rc = pick_segment(st, a, day, &ob->segment, e);
	if (rc == RC_OK)
		drop_dead_copy(st, ob->segment, &m->id);
	if (rc == RC_OK)
		rc = block_put(st, ob, m, &st->written, e);
	st->buffered += ob->plain.len;
	st->buffered -= before;
	return rc == RC_OK ? spill(st, e) : rc;
}

static enum rc check_lot(struct store *st, uint32_t archive, uint64_t lot, int32_t *day,
                         struct err *e)
{
	struct key_info k;
	enum rc rc = keyring_info(st->keys, lot, &k, e);

	if (rc != RC_OK)
		return rc;
	if (k.kind != KEY_LOT || k.archive != archive)
		return err_set(e, RC_INVALID, "key %llu is no lot of archive %u",
		               (unsigned long long)lot, archive);
	if (k.state != KEY_LIVE)
		return err_set(e, RC_NOTFOUND, "lot %llu is destroyed", (unsigned long long)lot);
	*day = k.day;
	return RC_OK;
}

enum rc store_put(struct store *st, uint32_t archive, const struct store_message *m, struct err *e)
{
	struct archive *a;
	int32_t day = 0;
	enum rc rc = check_lot(st, archive, m->lot, &day, e);

	/* What is refused here changes nothing. */
	if (rc == RC_OK && (m->raw.len > UINT32_MAX || m->meta.len > META_MAX))
		rc = err_set(e, RC_LIMIT, "a message of %zu bytes, %zu beside it", m->raw.len,
		             m->meta.len);
	if (rc != RC_OK)
		return rc;
	store_lock(st);
	if (st->broken) {
		rc = err_set(e, RC_IO, "the store failed and must be opened again");
	} else {
		rc = archive_get(st, archive, &a, e);
		if (rc == RC_OK) {
			rc = put_in_lot(st, a, day, m, e);
			if (rc != RC_OK)
				go_back(st);
		}
	}
	store_unlock(st);
	return rc;
}

size_t store_buffered(struct store *st)
{
	size_t bytes;

	store_lock(st);
	bytes = st->buffered;
	store_unlock(st);
	return bytes;
}

/* --- syncing -----------------------------------------------------------------------------------*/

static bool is_settled(const struct store *st, const struct segment *s)
{
	if (s->closed)
		return true;
	for (const struct open_block *ob = st->open; ob; ob = ob->hh.next)
		if (ob->segment == s)
			return false;
	return s->end == s->synced_end;
}

bool segment_is_settled(struct store *st, const struct segment *s)
{
	bool settled;

	store_lock(st);
	settled = is_settled(st, s);
	store_unlock(st);
	return settled;
}

/* Segments that ended before the last store_sync: when their blocks are in the audit log they may
 * leave the set that store_pending_blocks looks at. */
static void close_full(struct store *st)
{
	struct err e = { 0 };

	for (size_t i = 0; i < st->narchives; i++) {
		struct archive *a = st->archives[i];

		for (size_t j = 0; j < a->nsegments; j++) {
			struct segment *s = a->segments[j];

			segment_close_anew(st, s);
			if (s->closed || st->told || !s->full || !is_settled(st, s))
				continue;
			if (segment_close(st, s, &e) != RC_OK)
				log_warn("%s is not closed: %s", s->path, e.text);
			else
				segment_rest(st, s);
		}
	}
	segments_evict(st);
}

static enum rc flush_all(struct store *st, struct err *e)
{
	enum rc rc = RC_OK;

	for (struct open_block *ob = st->open; ob && rc == RC_OK; ob = ob->hh.next)
		rc = block_flush(st, ob, &st->written, e);
	if (rc == RC_OK)
		open_blocks_free(st);
	return rc;
}

static bool is_dirty(const struct segment *s)
{
	return !s->closed && s->end != s->synced_end;
}

static enum rc sync_archive(struct archive *a, bool *names, struct err *e)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < a->nsegments && rc == RC_OK; i++)
		if (is_dirty(a->segments[i]))
			rc = file_sync(a->segments[i]->file, NULL, e);
	*names = *names || a->unnamed;
	return rc;
}

/* Only the writer changes the lists, so the lock is not needed to walk them here. */
static enum rc sync_files(struct store *st, struct err *e)
{
	bool names = false;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < st->narchives && rc == RC_OK; i++)
		rc = sync_archive(st->archives[i], &names, e);
	return rc == RC_OK && names ? dir_sync(st->dir, e) : rc;
}

static void commit(struct store *st)
{
	for (size_t i = 0; i < st->narchives; i++) {
		struct archive *a = st->archives[i];

		a->unnamed = false;
		for (size_t j = 0; j < a->nsegments; j++) {
			struct segment *s = a->segments[j];

			if (s->closed)
				continue;
			s->synced_end = s->end;
			s->synced_blocks = s->nblocks;
			s->synced_f = s->f;
			if (!s->h.mixed && !is_recent(s->h.day))
				s->full = true;
			(void)has_room(st, s);
		}
	}
}

enum rc store_sync(struct store *st, void (*on_block)(void *arg, const struct store_block *b),
                   void *arg, struct err *e)
{
	struct written w = { 0 };
	enum rc rc;

	store_lock(st);
	if (st->broken) {
		store_unlock(st);
		return err_set(e, RC_IO, "the store failed and must be opened again");
	}
	close_full(st);
	rc = flush_all(st, e);
	store_unlock(st);
	if (rc == RC_OK)
		rc = sync_files(st, e);
	store_lock(st);
	if (rc == RC_OK) {
		commit(st);
		w = st->written;
		st->written = (struct written) { 0 };
		st->told = st->told || (on_block && w.n);
	} else {
		go_back(st);
	}
	store_unlock(st);
	for (size_t i = 0; on_block && i < w.n; i++)
		on_block(arg, &w.at[i]);
	written_free(&w);
	return rc;
}

void store_accounted(struct store *st)
{
	store_lock(st);
	st->told = false;
	store_unlock(st);
}

void store_count(struct store *st, uint32_t archive, struct store_totals *out)
{
	*out = (struct store_totals) { 0 };
	store_lock(st);
	for (size_t i = 0; i < st->narchives; i++) {
		const struct archive *a = st->archives[i];

		for (size_t j = 0; (!archive || a->number == archive) && j < a->nsegments; j++) {
			out->messages += a->segments[j]->f.messages;
			out->plain_bytes += a->segments[j]->f.raw_bytes;
			out->disk_bytes += a->segments[j]->disk_bytes;
			out->segments++;
		}
	}
	store_unlock(st);
}
