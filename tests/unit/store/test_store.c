#include "tests/unit/test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"
#include "store/crypt.h"
#include "store/store.h"
#include "tests/unit/fault.h"
#include "tests/unit/store/scratch.h"

static const uint8_t master[KEY_BYTES] = "store test master key, 32 bytes";

/* What should be in the store. */
struct item {
	uint32_t archive;
	uint64_t lot;
	struct message_id id;
	size_t size;
	uint64_t seed;
};

struct fixture {
	struct scratch s;
	struct keyring *kr;
	struct store *st;
	struct store_options opt;
	struct item *items;
	size_t n;
	uint32_t blocks; /* that store_sync told of */
	struct err e;
};

static int32_t today(void)
{
	return (int32_t)day_of_ms(clock_now_ms());
}

static void close_all(struct fixture *f)
{
	store_close(&f->st);
	keyring_close(&f->kr);
}

static void reopen(struct fixture *f)
{
	close_all(f);
	EXPECT_OK(keyring_open(&f->kr, f->s.dir, master, &f->e), &f->e);
	EXPECT_OK(store_open(&f->st, f->s.dir, f->kr, &f->opt, &f->e), &f->e);
}

static void begin(struct fixture *f, uint64_t segment_bytes, uint32_t block_bytes)
{
	memset(f, 0, sizeof(*f));
	f->opt = (struct store_options) { segment_bytes, block_bytes, 1 };
	scratch_make(&f->s);
	EXPECT_OK(keyring_create(f->s.dir, master, &f->e), &f->e);
	EXPECT_OK(keyring_open(&f->kr, f->s.dir, master, &f->e), &f->e);
	for (uint32_t a = 1; a <= 3; a++) {
		struct key_info want = { .kind = KEY_ARCHIVE, .archive = a };
		uint64_t id;

		EXPECT_OK(keyring_add(f->kr, &want, &id, &f->e), &f->e);
	}
	reopen(f);
}

static void end(struct fixture *f)
{
	close_all(f);
	free(f->items);
	scratch_remove(&f->s);
}

/* Bytes that compress by a third; the same for the same seed. */
static uint8_t *content(const struct item *it)
{
	uint64_t seed = it->seed | 1;
	uint8_t *at = mem_new(it->size + 1);

	for (size_t i = 0; i < it->size;) {
		uint64_t r = scratch_random(&seed);
		size_t n = (size_t)MIN_OF(it->size - i, 6 + r % 40);

		for (size_t k = 0; k < n; k++)
			at[i + k] = (uint8_t)(r % 3 ? scratch_random(&seed) : 'a' + k % 7);
		i += n;
	}
	return at;
}

static enum rc put(struct fixture *f, const struct item *it)
{
	uint8_t *raw = content(it);
	struct buf meta;
	struct store_message m = { .id = it->id, .lot = it->lot, .raw = slice_of(raw, it->size) };
	enum rc rc;

	buf_init(&meta, 1000);
	(void)!buf_addf(&meta, "{\"size\":%zu}", it->size);
	m.meta = buf_slice(&meta);
	sha256(m.sha256, m.raw);
	rc = store_put(f->st, it->archive, &m, &f->e);
	buf_free(&meta);
	free(raw);
	return rc;
}

static struct item make_item(struct fixture *f, uint32_t archive, int32_t day, size_t size,
                             uint64_t *seed)
{
	struct item it = { .archive = archive, .size = size, .seed = scratch_random(seed) };
	uint64_t r = scratch_random(seed);

	EXPECT_OK(keyring_lot(f->kr, archive, day, 0, &it.lot, &f->e), &f->e);
	it.id = id_make((int64_t)day * MS_PER_DAY + (int64_t)(r % MS_PER_DAY), (uint32_t)r & 0xffff,
	                (const uint8_t *)&r);
	return it;
}

static struct item *add(struct fixture *f, uint32_t archive, int32_t day, size_t size,
                        uint64_t *seed)
{
	struct item it = make_item(f, archive, day, size, seed);

	EXPECT_OK(put(f, &it), &f->e);
	f->items = mem_resize(f->items, (f->n + 1) * sizeof(*f->items));
	f->items[f->n] = it;
	return &f->items[f->n++];
}

static void count_block(void *arg, const struct store_block *b)
{
	struct fixture *f = arg;

	assert_true(b->archive >= 1 && b->archive <= 3);
	f->blocks++;
}

static void sync_store(struct fixture *f)
{
	EXPECT_OK(store_sync(f->st, count_block, f, &f->e), &f->e);
	assert_int_equal(store_buffered(f->st), 0);
	store_accounted(f->st);
}

static enum rc get(struct fixture *f, const struct item *it, bool *right)
{
	struct buf meta;
	struct buf raw;
	uint8_t *want = content(it);
	enum rc rc;

	buf_init(&meta, 1000);
	buf_init(&raw, (size_t)1 << 30);
	rc = store_get(f->st, it->archive, &it->id, &meta, &raw, &f->e);
	*right = raw.len == it->size && (!it->size || memcmp(raw.at, want, it->size) == 0);
	if (rc == RC_OK) {
		char text[40];

		(void)snprintf(text, sizeof(text), "{\"size\":%zu}", it->size);
		*right = *right && slice_equal(buf_slice(&meta), slice_str(text));
	} else {
		assert_int_equal(raw.len, 0); /* never a part, never damaged bytes */
		assert_int_equal(meta.len, 0);
	}
	buf_free(&meta);
	buf_free(&raw);
	free(want);
	return rc;
}

static void check(struct fixture *f)
{
	for (size_t i = 0; i < f->n; i++) {
		bool right;

		assert_true(store_has(f->st, f->items[i].archive, &f->items[i].id));
		EXPECT_OK(get(f, &f->items[i], &right), &f->e);
		assert_true(right);
	}
}

/* --- walking -----------------------------------------------------------------------------------*/

struct tally {
	unsigned messages;
	unsigned problems;
	unsigned blocks;
	unsigned begun; /* messages that the blocks' roots are over */
	unsigned damages;
	char what[256];
};

static enum rc tally_message(void *arg, uint32_t archive, const struct store_message *m,
                             const char *problem, struct err *e)
{
	struct tally *t = arg;
	uint8_t sum[32];

	(void)archive;
	(void)e;
	if (problem) {
		t->problems++;
		assert_int_equal(m->raw.len, 0);
		return RC_OK;
	}
	sha256(sum, m->raw);
	assert_memory_equal(sum, m->sha256, 32);
	assert_true(m->meta.len > 0);
	t->messages++;
	return RC_OK;
}

static enum rc tally_block(void *arg, const struct store_block *b, struct err *e)
{
	struct tally *t = arg;

	(void)e;
	t->blocks++;
	t->begun += b->messages;
	return RC_OK;
}

static enum rc tally_damage(void *arg, const char *file, const char *problem, struct err *e)
{
	struct tally *t = arg;

	(void)e;
	t->damages++;
	(void)snprintf(t->what, sizeof(t->what), "%s: %s", file, problem);
	return RC_OK;
}

static struct tally walk(struct fixture *f, uint32_t archive)
{
	struct tally t = { 0 };
	const struct store_visit v = { tally_message, tally_block, tally_damage, &t };

	EXPECT_OK(store_walk(f->st, archive, &v, &f->e), &f->e);
	return t;
}

/* --- files -------------------------------------------------------------------------------------*/

struct names {
	const char *dir;
	char *paths[64];
	size_t n;
};

static enum rc take_name(void *arg, const char *name, struct err *e)
{
	struct names *l = arg;

	(void)e;
	assert_true(l->n < COUNT(l->paths));
	l->paths[l->n++] = path_join(l->dir, name);
	return RC_OK;
}

static void list_segments(struct fixture *f, uint32_t archive, struct names *l)
{
	char name[20];
	char *dir;

	(void)snprintf(name, sizeof(name), "seg/%u", archive);
	dir = scratch_path(&f->s, name);
	memset(l, 0, sizeof(*l));
	l->dir = dir;
	if (file_exists(dir))
		EXPECT_OK(dir_list(dir, take_name, l, &f->e), &f->e);
	free(dir);
}

static void names_free(struct names *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->paths[i]);
	l->n = 0;
}

static size_t count_segments(struct fixture *f, uint32_t archive)
{
	struct names l;
	size_t n;

	list_segments(f, archive, &l);
	n = l.n;
	names_free(&l);
	return n;
}

static void slurp(const char *path, struct buf *b)
{
	struct err e = { 0 };

	buf_init(b, (size_t)1 << 30);
	EXPECT_OK(file_read_all(path, b, &e), &e);
}

static void spew(const char *path, struct slice s)
{
	struct err e = { 0 };

	EXPECT_OK(file_replace(path, s, &e), &e);
}

/* --- tests -------------------------------------------------------------------------------------*/

static void test_round_trips(void **state)
{
	static const size_t sizes[] = { 0, 1, 100, 3000, 60000, 70000, 90000, 131072, 1000000, 5 };
	uint64_t seed = scratch_seed();
	struct fixture f;
	struct store_totals t;
	struct tally seen;

	(void)state;
	begin(&f, 3000000, 65536);
	for (int round = 0; round < 6; round++) {
		for (size_t i = 0; i < COUNT(sizes); i++) {
			int32_t day =
			        i % 3 ? today() - (int32_t)(scratch_random(&seed) % 400) : today();

			add(&f, 1 + (uint32_t)(i % 2), day, sizes[i], &seed);
		}
		check(&f); /* buffered ones too */
		sync_store(&f);
		check(&f);
		if (round % 2)
			reopen(&f);
		check(&f);
	}
	store_count(f.st, 0, &t);
	assert_int_equal(t.messages, f.n);
	seen = walk(&f, 0);
	assert_int_equal(seen.messages, f.n);
	assert_int_equal(seen.begun, f.n);
	assert_int_equal(seen.blocks, f.blocks);
	assert_int_equal(seen.damages + seen.problems, 0);
	store_count(f.st, 2, &t);
	assert_int_equal(walk(&f, 2).messages, t.messages);
	assert_true(count_segments(&f, 1) > 2);
	end(&f);
}

static void test_45_megabytes(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;

	(void)state;
	begin(&f, 0, 0);
	add(&f, 1, today(), 100, &seed);
	add(&f, 1, today(), 45000000, &seed);
	add(&f, 1, today(), 100, &seed);
	sync_store(&f);
	check(&f);
	reopen(&f);
	check(&f);
	assert_int_equal(walk(&f, 1).messages, 3);
	end(&f);
}

static void test_not_there(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;
	struct item it;
	struct message_id id = { { 1 } };
	struct buf small;

	(void)state;
	begin(&f, 0, 65536);
	add(&f, 1, today(), 5000, &seed);
	sync_store(&f);
	assert_false(store_has(f.st, 1, &id));
	assert_false(store_has(f.st, 2, &f.items[0].id));
	assert_false(store_has(f.st, 99, &f.items[0].id));
	assert_int_equal(store_get(f.st, 1, &id, NULL, NULL, &f.e), RC_NOTFOUND);
	assert_int_equal(store_get(f.st, 2, &f.items[0].id, NULL, NULL, &f.e), RC_NOTFOUND);
	EXPECT_OK(store_get(f.st, 1, &f.items[0].id, NULL, NULL, &f.e), &f.e);
	buf_init(&small, 4999);
	assert_int_equal(store_get(f.st, 1, &f.items[0].id, NULL, &small, &f.e), RC_LIMIT);
	buf_free(&small);
	/* A lot of one archive is no lot of another; a destroyed one takes nothing. */
	it = make_item(&f, 1, today(), 10, &seed);
	it.archive = 2;
	assert_int_equal(put(&f, &it), RC_INVALID);
	it.archive = 1;
	EXPECT_OK(keyring_destroy(f.kr, &it.lot, 1, &f.e), &f.e);
	assert_int_equal(put(&f, &it), RC_NOTFOUND);
	it.lot = 12345678;
	assert_int_equal(put(&f, &it), RC_NOTFOUND);
	end(&f);
}

/* What was put and not synced is gone after a kill; what was synced is there. */
static void test_unsynced_is_not_kept(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;

	(void)state;
	begin(&f, 0, 65536);
	for (int i = 0; i < 30; i++)
		add(&f, 1, today(), 1000, &seed);
	sync_store(&f);
	add(&f, 1, today(), 1000, &seed);
	reopen(&f);
	f.n--;
	check(&f);
	assert_false(store_has(f.st, 1, &f.items[30].id));
	assert_int_equal(walk(&f, 0).messages, 30);
	end(&f);
}

static bool know_none(void *arg, uint64_t segment, uint32_t block)
{
	(void)arg;
	(void)segment;
	(void)block;
	return false;
}

static void count_ended(void *arg, const struct store_block *b)
{
	*(unsigned *)arg += b->ended;
}

/* What the audit log would count after a crash. */
static unsigned count_pending(struct fixture *f)
{
	unsigned n = 0;

	EXPECT_OK(store_pending_blocks(f->st, know_none, count_ended, &n, &f->e), &f->e);
	return n;
}

/* The open segment cut at many places: what lies before the cut is there, nothing is damage. */
static void test_torn_tail(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;
	struct names l;
	struct buf whole;
	size_t n;

	(void)state;
	begin(&f, 0, 65536);
	for (int i = 0; i < 12; i++) {
		add(&f, 1, today(), i % 5 == 4 ? 200000 : 9000, &seed);
		sync_store(&f);
	}
	n = f.n;
	close_all(&f);
	list_segments(&f, 1, &l);
	assert_int_equal(l.n, 1);
	slurp(l.paths[0], &whole);
	for (size_t cut = whole.len, step; cut > 128; cut -= MIN_OF(cut, step)) {
		struct names now;
		unsigned there = 0;
		size_t first_gone = n;

		step = 1 + scratch_random(&seed) % 9000; /* once: the macro looks twice */
		list_segments(&f, 1, &now);
		for (size_t i = 0; i < now.n; i++)
			(void)unlink(now.paths[i]);
		names_free(&now);
		spew(l.paths[0], slice_part(buf_slice(&whole), 0, cut));
		reopen(&f);
		for (size_t i = 0; i < n; i++) {
			bool right;
			enum rc rc = get(&f, &f.items[i], &right);

			assert_true(rc == RC_NOTFOUND || (rc == RC_OK && right));
			if (rc == RC_OK)
				there++;
			else
				first_gone = MIN_OF(first_gone, i);
		}
		assert_int_equal(there, first_gone); /* no hole */
		assert_int_equal(count_pending(&f), there);
		assert_int_equal(walk(&f, 0).messages, there);
		assert_int_equal(walk(&f, 0).damages, 0);
		/* It goes on, and survives being closed. */
		add(&f, 1, today(), 500, &seed);
		sync_store(&f);
		sync_store(&f);
		reopen(&f);
		assert_int_equal(walk(&f, 0).messages, there + 1);
		f.n = n;
		close_all(&f);
	}
	buf_free(&whole);
	names_free(&l);
	end(&f);
}

static bool is_closed(const struct buf *b)
{
	return b->len > 512 && memcmp(b->at + b->len - 384, "MMSF", 4) == 0;
}

/* Flips anywhere in closed and open segments: each message is right or refused, and when the flip
 * cost a message the walk says so. */
static void test_flips(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;
	struct names l;
	struct buf whole[8];

	(void)state;
	begin(&f, 100000, 16384);
	for (int i = 0; i < 40; i++) {
		add(&f, 1, today() - (i % 2 ? 100 : 0), i % 9 == 8 ? 60000 : 3000, &seed);
		if (i % 4 == 3)
			sync_store(&f);
	}
	sync_store(&f);
	store_close(&f.st);
	list_segments(&f, 1, &l);
	assert_true(l.n >= 3 && l.n <= COUNT(whole));
	for (size_t i = 0; i < l.n; i++)
		slurp(l.paths[i], &whole[i]);
	for (int i = 0; i < 2000; i++) {
		size_t which = scratch_random(&seed) % l.n;
		size_t where = scratch_random(&seed) % whole[which].len;
		struct err e = { 0 };
		unsigned lost = 0;
		struct tally t;
		struct file *file;
		uint8_t bad = (uint8_t)(whole[which].at[where] ^ (1 << scratch_random(&seed) % 8));

		EXPECT_OK(file_open(&file, l.paths[which], FILE_WRITE, &e), &e);
		EXPECT_OK(file_write_at(file, slice_of(&bad, 1), where, &e), &e);
		EXPECT_OK(store_open(&f.st, f.s.dir, f.kr, &f.opt, &f.e), &f.e);
		for (size_t k = 0; k < f.n; k++) {
			bool right;
			enum rc rc = get(&f, &f.items[k], &right);

			assert_true((rc == RC_OK && right) || rc == RC_CORRUPT ||
			            rc == RC_NOTFOUND);
			lost += rc != RC_OK;
		}
		t = walk(&f, 0);
		assert_int_equal(t.messages, f.n - lost);
		/* In a segment that is still open the last blocks can't be told from a torn tail.
		 */
		if (lost && is_closed(&whole[which]))
			assert_true(t.damages > 0);
		store_close(&f.st);
		EXPECT_OK(file_write_at(file, slice_of(&whole[which].at[where], 1), where, &e), &e);
		EXPECT_OK(file_truncate(file, whole[which].len, &e), &e);
		file_close(&file);
	}
	reopen(&f);
	check(&f);
	assert_int_equal(walk(&f, 0).damages, 0);
	for (size_t i = 0; i < l.n; i++)
		buf_free(&whole[i]);
	names_free(&l);
	end(&f);
}

/* Closed segments tell of a damaged block and of every message in it. */
static void test_damage_is_told(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;
	struct names l;
	struct buf whole;
	struct tally t;

	(void)state;
	begin(&f, 20000, 16384);
	for (int i = 0; i < 30; i++)
		add(&f, 1, today(), 3000, &seed);
	sync_store(&f);
	add(&f, 1, today(), 3000, &seed);
	sync_store(&f); /* closes the first */
	close_all(&f);
	list_segments(&f, 1, &l);
	slurp(l.paths[0], &whole);
	whole.at[128 + 72 + 300] ^= 1;
	spew(l.paths[0], buf_slice(&whole));
	reopen(&f);
	t = walk(&f, 1);
	assert_true(t.damages == 1 && t.problems >= 2);
	assert_non_null(strstr(t.what, "block 0"));
	assert_int_equal(t.messages + t.problems, f.n);
	buf_free(&whole);
	names_free(&l);
	end(&f);
}

/* A byte of a file, changed; again: as it was. */
static void flip(const char *path, size_t at)
{
	struct buf whole;

	slurp(path, &whole);
	assert_true(at < whole.len);
	whole.at[at] ^= 1;
	spew(path, buf_slice(&whole));
	buf_free(&whole);
}

/* Three blocks of three messages each, of days of which each is a lot; in a segment that is still
 * open. */
static void three_blocks(struct fixture *f, struct names *l, size_t at[3], uint64_t lots[3])
{
	uint64_t seed = scratch_seed();
	struct buf whole;

	begin(f, 0, 16384);
	for (int b = 0; b < 3; b++) {
		for (int i = 0; i < 3; i++)
			lots[b] = add(f, 1, today() - 1000 - b, 3000, &seed)->lot;
		sync_store(f);
	}
	close_all(f);
	list_segments(f, 1, l);
	assert_int_equal(l->n, 1);
	slurp(l->paths[0], &whole);
	at[0] = 128;
	for (int b = 1; b < 3; b++)
		at[b] = at[b - 1] + 72 + get_le32(whole.at + at[b - 1] + 20);
	buf_free(&whole);
	reopen(f);
}

static unsigned count_right(struct fixture *f, uint64_t lot)
{
	unsigned n = 0;

	for (size_t i = 0; i < f->n; i++) {
		bool right = false;

		n += f->items[i].lot == lot && get(f, &f->items[i], &right) == RC_OK && right;
	}
	return n;
}

/* A block whose header went bad before its segment was closed could be of any day: it is kept while
 * one of the lots is alive that it may be of, and goes with the last of them. */
static void test_forget_beside_a_lost_header(void **state)
{
	struct fixture f;
	struct names l;
	size_t at[3];
	uint64_t lots[3];
	const uint64_t *live = &lots[1];

	(void)state;
	three_blocks(&f, &l, at, lots);
	flip(l.paths[0], at[1] + 3);
	reopen(&f);
	assert_int_equal(walk(&f, 1).damages, 1);
	EXPECT_OK(keyring_destroy(f.kr, &lots[0], 1, &f.e), &f.e);
	EXPECT_OK(keyring_destroy(f.kr, &lots[2], 1, &f.e), &f.e);
	EXPECT_OK(store_forget(f.st, &f.e), &f.e);
	assert_int_equal(walk(&f, 1).damages, 1);
	assert_int_equal(count_segments(&f, 1), 1);
	flip(l.paths[0], at[1] + 3);
	reopen(&f);
	assert_int_equal(count_right(&f, *live), 3);
	flip(l.paths[0], at[1] + 3);
	reopen(&f);
	EXPECT_OK(keyring_destroy(f.kr, live, 1, &f.e), &f.e);
	EXPECT_OK(store_forget(f.st, &f.e), &f.e);
	assert_int_equal(count_segments(&f, 1), 0);
	assert_int_equal(walk(&f, 1).damages, 0);
	names_free(&l);
	end(&f);
}

/* What was bad when its segment was closed and is put back later is there again, for good. */
static void put_back_later(size_t which, size_t in_block)
{
	struct fixture f;
	struct names l;
	size_t at[3];
	uint64_t lots[3];
	uint64_t seed = scratch_seed();
	struct buf whole;

	three_blocks(&f, &l, at, lots);
	flip(l.paths[0], at[which] + in_block);
	reopen(&f);
	assert_int_equal(count_right(&f, lots[which]), 0);
	for (int i = 0; i < 2; i++) { /* the second sync closes it */
		add(&f, 1, today(), 3000, &seed);
		sync_store(&f);
	}
	slurp(l.paths[0], &whole);
	assert_true(is_closed(&whole));
	buf_free(&whole);
	reopen(&f);
	assert_int_equal(count_right(&f, lots[which]), 0);
	assert_int_equal(walk(&f, 1).messages, f.n - 3);
	flip(l.paths[0], at[which] + in_block);
	reopen(&f);
	assert_int_equal(walk(&f, 1).damages, 0);
	check(&f);
	sync_store(&f); /* a new directory */
	check(&f);
	reopen(&f);
	check(&f);
	assert_int_equal(walk(&f, 1).messages, f.n);
	names_free(&l);
	end(&f);
}

static void test_damage_that_is_put_back(void **state)
{
	(void)state;
	put_back_later(1, 72 + 300); /* the content of one in the middle */
	put_back_later(0, 3);        /* a header */
	put_back_later(2, 72 + 300); /* the last, which looked torn */
	put_back_later(2, 3);
}

static off_t worn[2]; /* where the disk reads no more: from, to */

static bool is_worn(unsigned call, int fd, size_t bytes, off_t at)
{
	(void)fd;
	errno = EIO;
	return call == FAULT_READ && at < worn[1] && at + (off_t)bytes > worn[0];
}

/* Where a block is damaged and the disk can't read another, the rest is there all the same. */
static void test_damage_beside_what_cannot_be_read(void **state)
{
	struct fixture f;
	struct names l;
	size_t at[3];
	uint64_t lots[3];
	uint64_t seed = scratch_seed();

	(void)state;
	three_blocks(&f, &l, at, lots);
	flip(l.paths[0], at[1] + 72 + 300);
	reopen(&f);
	for (int i = 0; i < 2; i++) { /* the second sync closes it */
		add(&f, 1, today(), 3000, &seed);
		sync_store(&f);
	}
	reopen(&f);
	worn[0] = (off_t)at[2] + 72 + 300;
	worn[1] = worn[0] + 1;
	fault_watch_at = is_worn;
	assert_int_equal(count_right(&f, lots[0]), 3);
	assert_int_equal(count_right(&f, lots[1]), 0);
	assert_int_equal(count_right(&f, lots[2]), 0);
	fault_watch_at = NULL;
	assert_int_equal(count_right(&f, lots[2]), 3);
	assert_int_equal(walk(&f, 1).messages, f.n - 3);
	names_free(&l);
	end(&f);
}

/* All that a footer says is in the blocks too: a damaged one costs nothing, is told, and is written
 * anew by the next sync. One that a power failure tore is no damage. */
static void test_damaged_footer(void **state)
{
	static const int from_end[] = { 354, 184, 100, 1 };
	uint64_t seed = scratch_seed();
	struct fixture f;
	struct names l;
	struct buf whole;

	(void)state;
	begin(&f, 20000, 16384);
	for (int i = 0; i < 30; i++)
		add(&f, 1, today(), 3000, &seed);
	sync_store(&f);
	add(&f, 1, today(), 3000, &seed);
	sync_store(&f); /* closes the first */
	close_all(&f);
	list_segments(&f, 1, &l);
	for (size_t i = 0; i < COUNT(from_end); i++) {
		slurp(l.paths[0], &whole);
		whole.at[whole.len - (size_t)from_end[i]] ^= 1;
		spew(l.paths[0], buf_slice(&whole));
		reopen(&f);
		assert_int_equal(walk(&f, 1).damages, 1);
		assert_non_null(strstr(walk(&f, 1).what, "footer"));
		check(&f);
		sync_store(&f);
		close_all(&f);
		reopen(&f);
		assert_int_equal(walk(&f, 1).damages, 0);
		close_all(&f);
		buf_free(&whole);
	}
	/* So is its directory, of which a power failure may leave less than of the footer. */
	slurp(l.paths[0], &whole);
	memset(whole.at + whole.len - 384 - 60, 0, 60);
	spew(l.paths[0], buf_slice(&whole));
	buf_free(&whole);
	reopen(&f);
	assert_int_equal(walk(&f, 1).damages, 1);
	assert_non_null(strstr(walk(&f, 1).what, "directory"));
	check(&f);
	sync_store(&f);
	assert_int_equal(walk(&f, 1).damages, 0);
	check(&f);
	reopen(&f);
	assert_int_equal(walk(&f, 1).damages, 0);
	check(&f);
	close_all(&f);
	slurp(l.paths[0], &whole);
	memset(whole.at + whole.len - 200, 0, 200);
	spew(l.paths[0], buf_slice(&whole));
	reopen(&f);
	assert_int_equal(walk(&f, 1).damages, 0);
	check(&f);
	buf_free(&whole);
	names_free(&l);
	end(&f);
}

/* A file of one archive put into another, and under another name in its own: not read as ours. */
static void test_moved_files(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;
	struct names l;
	struct names m;
	struct buf b;
	char *path;

	(void)state;
	begin(&f, 0, 16384);
	for (int i = 0; i < 10; i++)
		add(&f, 1 + (uint32_t)i % 2, today(), 5000, &seed);
	sync_store(&f);
	close_all(&f);
	list_segments(&f, 1, &l);
	list_segments(&f, 2, &m);
	slurp(l.paths[0], &b);
	path = scratch_path(&f.s, "seg/2/00000000000000ff.seg");
	spew(path, buf_slice(&b));
	reopen(&f);
	check(&f);
	for (size_t i = 0; i < f.n; i++)
		assert_int_equal(store_has(f.st, 2, &f.items[i].id), f.items[i].archive == 2);
	assert_int_equal(walk(&f, 2).damages, 1);
	assert_int_equal(walk(&f, 2).messages, 5);
	close_all(&f);
	(void)unlink(path);
	free(path);
	path = scratch_path(&f.s, "seg/1/00000000000000ff.seg");
	spew(path, buf_slice(&b));
	reopen(&f);
	check(&f);
	assert_int_equal(walk(&f, 1).damages, 1);
	close_all(&f);
	/* In place of another archive's file, under its very name. */
	spew(m.paths[0], buf_slice(&b));
	reopen(&f);
	for (size_t i = 0; i < f.n; i++)
		if (f.items[i].archive == 2)
			assert_int_equal(store_get(f.st, 2, &f.items[i].id, NULL, NULL, &f.e),
			                 RC_NOTFOUND);
	free(path);
	buf_free(&b);
	names_free(&l);
	names_free(&m);
	end(&f);
}

/* Two blocks of a closed segment that are the same size change places. */
static void test_swapped_blocks(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;
	struct names l;
	struct buf b;
	size_t at[2];
	size_t n;

	(void)state;
	begin(&f, 0, 65536);
	for (int i = 0; i < 2; i++) {
		struct item it = make_item(&f, 1, today(), 4000, &seed);

		it.seed = 77;
		EXPECT_OK(put(&f, &it), &f.e);
		f.items = mem_resize(f.items, (f.n + 1) * sizeof(*f.items));
		f.items[f.n++] = it;
		sync_store(&f);
	}
	close_all(&f);
	list_segments(&f, 1, &l);
	slurp(l.paths[0], &b);
	at[0] = 128;
	n = 72 + get_le32(b.at + 128 + 20);
	at[1] = at[0] + n;
	if (b.len - at[1] == n) { /* ids may compress to another size */
		uint8_t *one = mem_new(n);

		memcpy(one, b.at + at[0], n);
		memcpy(b.at + at[0], b.at + at[1], n);
		memcpy(b.at + at[1], one, n);
		free(one);
		spew(l.paths[0], buf_slice(&b));
		reopen(&f);
		for (size_t i = 0; i < f.n; i++) {
			bool right;
			enum rc rc = get(&f, &f.items[i], &right);

			assert_true(rc != RC_OK || right);
		}
	}
	buf_free(&b);
	names_free(&l);
	end(&f);
}

static size_t files_with(struct fixture *f, uint32_t archive, const char *canary)
{
	struct names l;
	size_t hits = 0;

	list_segments(f, archive, &l);
	for (size_t i = 0; i < l.n; i++) {
		struct buf b;

		slurp(l.paths[i], &b);
		hits += slice_find(buf_slice(&b), slice_str(canary)) != SIZE_MAX;
		buf_free(&b);
	}
	names_free(&l);
	return hits;
}

static void test_nothing_readable(void **state)
{
	static const char text[] = "Subject: canary words that nobody may read\r\n";
	uint64_t seed = scratch_seed();
	struct fixture f;
	struct item it;
	struct store_message m = { .raw = { (const uint8_t *)text, sizeof(text) - 1 },
		                   .meta = { (const uint8_t *)"canary meta", 11 } };

	(void)state;
	begin(&f, 0, 65536);
	it = make_item(&f, 1, today(), 0, &seed);
	m.id = it.id;
	m.lot = it.lot;
	sha256(m.sha256, m.raw);
	EXPECT_OK(store_put(f.st, 1, &m, &f.e), &f.e);
	sync_store(&f);
	assert_int_equal(files_with(&f, 1, "canary"), 0);
	end(&f);
}

static void test_forget(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;
	uint64_t lots[10];
	struct store_totals t;

	(void)state;
	begin(&f, 0, 16384);
	/* Archive 1: ten lots of old days share a segment; archive 2 has a day of its own. */
	for (int round = 0; round < 8; round++) {
		for (int d = 0; d < 10; d++)
			lots[d] = add(&f, 1, today() - 1000 - d, d == 9 ? 60000 : 3000, &seed)->lot;
		add(&f, 2, today(), 3000, &seed);
		sync_store(&f);
	}
	reopen(&f);
	check(&f);
	for (size_t killed = 0; killed < 9; killed++) {
		uint64_t lot = lots[9 - killed];
		uint64_t before = 0;

		store_count(f.st, 1, &t);
		before = t.disk_bytes;
		EXPECT_OK(keyring_destroy(f.kr, &lot, 1, &f.e), &f.e);
		for (size_t i = 0; i < f.n; i++) {
			bool right;

			if (f.items[i].lot != lot)
				continue;
			assert_false(store_has(f.st, 1, &f.items[i].id));
			assert_int_equal(get(&f, &f.items[i], &right), RC_NOTFOUND);
			f.items[i--] = f.items[--f.n];
		}
		EXPECT_OK(store_forget(f.st, &f.e), &f.e);
		store_count(f.st, 1, &t);
		if (killed == 0)
			assert_true(t.disk_bytes < before / 2); /* the large ones are gone */
		check(&f);
		assert_int_equal(walk(&f, 0).messages, f.n);
		if (killed % 3 == 1)
			reopen(&f);
		check(&f);
	}
	EXPECT_OK(keyring_destroy(f.kr, &lots[0], 1, &f.e), &f.e);
	EXPECT_OK(store_forget(f.st, &f.e), &f.e);
	assert_int_equal(count_segments(&f, 1), 0);
	assert_int_equal(count_segments(&f, 2), 1);
	store_count(f.st, 1, &t);
	assert_int_equal(t.messages, 0);
	end(&f);
}

/* An archive whose key is destroyed is forgotten as a whole, also after a restart. */
static void test_forget_archive(void **state)
{
	uint64_t seed = scratch_seed();

	(void)state;
	for (int restart = 0; restart < 2; restart++) {
		struct fixture f;
		uint64_t key;

		begin(&f, 0, 16384);
		for (int i = 0; i < 6; i++)
			add(&f, 1 + (uint32_t)i % 2, today(), 3000, &seed);
		sync_store(&f);
		EXPECT_OK(keyring_find(f.kr, KEY_ARCHIVE, 1, 0, &key, &f.e), &f.e);
		EXPECT_OK(keyring_destroy(f.kr, &key, 1, &f.e), &f.e);
		if (restart)
			reopen(&f);
		assert_int_equal(store_get(f.st, 1, &f.items[0].id, NULL, NULL, &f.e), RC_NOTFOUND);
		EXPECT_OK(store_forget(f.st, &f.e), &f.e);
		assert_int_equal(count_segments(&f, 1), 0);
		assert_int_equal(walk(&f, 0).messages, 3);
		end(&f);
	}
}

/* A lot destroyed while mail of it waits for store_sync: that mail is forgotten, the rest is kept.
 */
static void test_forgotten_while_buffered(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;
	struct item dead;

	(void)state;
	begin(&f, 0, 65536);
	dead = *add(&f, 1, today() - 500, 2000, &seed);
	f.n = 0;
	add(&f, 1, today() - 600, 2000, &seed);
	EXPECT_OK(keyring_destroy(f.kr, &dead.lot, 1, &f.e), &f.e);
	sync_store(&f);
	check(&f);
	assert_false(store_has(f.st, 1, &dead.id));
	assert_int_equal(walk(&f, 0).messages, 1);
	end(&f);
}

/* What comes again after its lot was destroyed is stored under the next generation, in the same
 * segment too: as long as its old lot waits for store_sync, and after. */
static void test_again_after_its_lot(void **state)
{
	uint64_t seed = scratch_seed();

	(void)state;
	for (int synced = 0; synced < 2; synced++) {
		struct fixture f;
		struct item *it;

		begin(&f, 0, 65536);
		it = add(&f, 1, today(), 2000, &seed);
		if (synced)
			sync_store(&f);
		EXPECT_OK(keyring_destroy(f.kr, &it->lot, 1, &f.e), &f.e);
		assert_false(store_has(f.st, 1, &it->id));
		EXPECT_OK(keyring_lot(f.kr, 1, today(), 0, &it->lot, &f.e), &f.e);
		EXPECT_OK(put(&f, it), &f.e);
		assert_true(store_has(f.st, 1, &it->id));
		sync_store(&f);
		check(&f);
		assert_int_equal(walk(&f, 0).messages, 1);
		reopen(&f);
		check(&f);
		end(&f);
	}
}

/* A second copy is never shown while the first can be read, and is when it can't. */
static void test_copies(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;
	struct item second;
	struct names l;
	struct buf b;
	bool right;

	(void)state;
	begin(&f, 0, 65536);
	add(&f, 1, today(), 4000, &seed);
	sync_store(&f);
	second = f.items[0];
	EXPECT_OK(keyring_lot(f.kr, 1, today() - 700, 0, &second.lot, &f.e), &f.e);
	second.seed++;
	second.size = 3000;
	EXPECT_OK(put(&f, &second), &f.e); /* another content, to tell them apart */
	EXPECT_OK(put(&f, &second), &f.e);
	sync_store(&f);
	for (int i = 0; i < 2; i++) {
		check(&f);
		assert_int_equal(walk(&f, 1).messages, 1);
		reopen(&f);
	}
	list_segments(&f, 1, &l);
	slurp(l.paths[0], &b);
	close_all(&f);
	b.at[300] ^= 1;
	spew(l.paths[0], buf_slice(&b));
	reopen(&f);
	EXPECT_OK(get(&f, &second, &right), &f.e);
	assert_true(right);
	assert_int_equal(walk(&f, 1).messages, 1);
	assert_int_equal(walk(&f, 1).problems, 0);
	close_all(&f);
	b.at[300] ^= 1;
	spew(l.paths[0], buf_slice(&b));
	reopen(&f);
	check(&f);
	EXPECT_OK(keyring_destroy(f.kr, &f.items[0].lot, 1, &f.e), &f.e);
	EXPECT_OK(get(&f, &second, &right), &f.e);
	assert_true(right);
	assert_true(store_has(f.st, 1, &second.id));
	buf_free(&b);
	names_free(&l);
	end(&f);
}

static void test_repack(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;
	struct store_totals t;
	struct tally before;
	struct tally after;
	uint32_t told;
	uint64_t disk;

	(void)state;
	begin(&f, 0, 65536);
	for (int i = 0; i < 60; i++) {
		add(&f, 1, today() - 30, 2000, &seed);
		add(&f, 1, today() - 31, i % 20 ? 1500 : 150000, &seed);
		add(&f, 2, today(), 1000, &seed);
		sync_store(&f);
		if (i % 25 == 24)
			reopen(&f);
	}
	before = walk(&f, 0);
	store_count(f.st, 1, &t);
	disk = t.disk_bytes;
	f.blocks = 0;
	EXPECT_OK(store_repack(f.st, today(), &(struct store_repacked) { count_block, NULL, &f },
	                       &f.e),
	          &f.e);
	told = f.blocks;
	assert_true(told > 0);
	after = walk(&f, 0);
	assert_int_equal(after.messages, f.n);
	assert_int_equal(after.damages, 0);
	assert_true(after.blocks < before.blocks);
	store_count(f.st, 1, &t);
	assert_int_equal(t.messages, 120);
	assert_true(t.disk_bytes < disk);
	check(&f);
	reopen(&f);
	check(&f);
	assert_int_equal(walk(&f, 1).blocks, told);
	/* There is nothing more to gain. */
	f.blocks = 0;
	EXPECT_OK(store_repack(f.st, today(), &(struct store_repacked) { count_block, NULL, &f },
	                       &f.e),
	          &f.e);
	assert_int_equal(f.blocks, 0);
	end(&f);
}

static enum rc refuse_blocks(void *arg, struct err *e)
{
	struct fixture *f = arg;

	f->blocks += 1000;
	return err_set(e, RC_NOSPACE, "the audit log is full");
}

/* New blocks that can't be accounted for don't take the place of the old ones. */
static void test_repack_unaccounted(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;
	struct names before;
	struct names after;

	(void)state;
	begin(&f, 0, 65536);
	for (int i = 0; i < 20; i++) {
		add(&f, 1, today() - 30, 2000, &seed);
		sync_store(&f);
	}
	list_segments(&f, 1, &before);
	f.blocks = 0;
	assert_int_equal(store_repack(f.st, today(),
	                              &(struct store_repacked) { count_block, refuse_blocks, &f },
	                              &f.e),
	                 RC_NOSPACE);
	assert_true(f.blocks > 1000); /* told first, then accounted for */
	list_segments(&f, 1, &after);
	assert_int_equal(after.n, before.n);
	assert_string_equal(after.paths[0], before.paths[0]);
	check(&f);
	reopen(&f);
	check(&f);
	names_free(&before);
	names_free(&after);
	end(&f);
}

/* Old and new file both there, as a crash leaves them: every message is there once. */
static void test_crash_in_repack(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;
	struct names l;
	struct buf b;
	char *unfinished;

	(void)state;
	begin(&f, 0, 65536);
	for (int i = 0; i < 20; i++) {
		add(&f, 1, today() - 30, 2000, &seed);
		sync_store(&f);
	}
	list_segments(&f, 1, &l);
	assert_int_equal(l.n, 1);
	slurp(l.paths[0], &b);
	EXPECT_OK(store_repack(f.st, today(), &(struct store_repacked) { 0 }, &f.e), &f.e);
	assert_false(file_exists(l.paths[0]));
	close_all(&f);
	spew(l.paths[0], buf_slice(&b));
	unfinished = scratch_path(&f.s, "seg/1/0000000000000123.seg.new");
	spew(unfinished, slice_part(buf_slice(&b), 0, 5000));
	reopen(&f);
	assert_false(file_exists(unfinished));
	assert_int_equal(count_segments(&f, 1), 2);
	check(&f);
	assert_int_equal(walk(&f, 1).messages, 20);
	assert_int_equal(walk(&f, 1).damages, 0);
	free(unfinished);
	buf_free(&b);
	names_free(&l);
	end(&f);
}

struct pending {
	unsigned all;
	unsigned unknown;
};

static bool know_even(void *arg, uint64_t segment, uint32_t block)
{
	struct pending *p = arg;

	(void)segment;
	p->all++;
	return block % 2 == 0;
}

static void tell_pending(void *arg, const struct store_block *b)
{
	struct pending *p = arg;

	assert_int_equal(b->block % 2, 1);
	assert_true(b->messages > 0);
	p->unknown++;
}

static void test_pending_blocks(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;
	struct pending p = { 0 };

	(void)state;
	begin(&f, 0, 65536);
	for (int i = 0; i < 7; i++) {
		add(&f, 1, today(), 2000, &seed);
		sync_store(&f);
	}
	reopen(&f);
	EXPECT_OK(store_pending_blocks(f.st, know_even, tell_pending, &p, &f.e), &f.e);
	assert_int_equal(p.all, 7);
	assert_int_equal(p.unknown, 3);
	end(&f);
}

/* As long as the audit log is not known to have its blocks, a full segment stays one of those that
 * are looked at after a crash. */
static void test_not_accounted(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;

	(void)state;
	for (int told = 0; told < 2; told++) {
		begin(&f, 20000, 16384);
		for (int i = 0; i < 30; i++)
			add(&f, 1, today(), 3000, &seed);
		for (int i = 0; i < 3; i++) {
			EXPECT_OK(store_sync(f.st, count_block, &f, &f.e), &f.e);
			if (told)
				store_accounted(f.st);
		}
		reopen(&f);
		assert_int_equal(count_pending(&f), told ? 0 : 30);
		check(&f);
		end(&f);
	}
}

/* RFC 6962 section 2.1.3 has a tree of seven leaves; the root is checked by its definition. */
static void hash_pair(uint8_t out[32], const uint8_t *l, const uint8_t *r)
{
	uint8_t node[65] = { 1 };

	memcpy(node + 1, l, 32);
	memcpy(node + 33, r, 32);
	sha256(out, slice_of(node, sizeof(node)));
}

static void root_by_definition(uint8_t out[32], const uint8_t *leaves, size_t n)
{
	uint8_t left[32];
	uint8_t right[32];
	size_t k = 1;

	if (n == 1) {
		memcpy(out, leaves, 32);
		return;
	}
	while (k * 2 < n)
		k *= 2;
	root_by_definition(left, leaves, k);
	root_by_definition(right, leaves + k * 32, n - k);
	hash_pair(out, left, right);
}

struct root_check {
	struct fixture *f;
	unsigned seen;
};

static void check_root(void *arg, const struct store_block *b)
{
	struct root_check *c = arg;
	uint8_t leaves[64 * 32];
	uint8_t root[32];

	assert_int_equal(b->messages, c->f->n);
	for (size_t i = 0; i < c->f->n; i++) {
		uint8_t leaf[1 + ID_BYTES + 32] = { 0 };
		uint8_t *raw = content(&c->f->items[i]);

		memcpy(leaf + 1, c->f->items[i].id.b, ID_BYTES);
		sha256(leaf + 1 + ID_BYTES, slice_of(raw, c->f->items[i].size));
		sha256(leaves + i * 32, slice_of(leaf, sizeof(leaf)));
		free(raw);
	}
	root_by_definition(root, leaves, c->f->n);
	assert_memory_equal(b->root, root, 32);
	c->seen++;
}

static void test_roots(void **state)
{
	uint64_t seed = scratch_seed();

	(void)state;
	for (int n = 1; n <= 20; n++) {
		struct fixture f;
		struct root_check c = { &f, 0 };

		begin(&f, 0, 0);
		for (int i = 0; i < n; i++)
			add(&f, 1, today(), 100, &seed);
		EXPECT_OK(store_sync(f.st, check_root, &c, &f.e), &f.e);
		assert_int_equal(c.seen, 1);
		end(&f);
	}
}

/* Thousands of lots at once: memory stays within its bound and everything is found. */
static void test_many_lots(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;

	(void)state;
	begin(&f, 0, 0);
	for (int i = 0; i < 300; i++) {
		add(&f, 1, 10000 + (int32_t)(scratch_random(&seed) % 150), 300000, &seed);
		assert_true(store_buffered(f.st) <= ((size_t)65 << 20));
	}
	sync_store(&f);
	check(&f);
	reopen(&f);
	assert_int_equal(walk(&f, 0).messages, 300);
	end(&f);
}

/* --- what is alike -----------------------------------------------------------------------------*/

#define ALIKE 30

struct lists {
	unsigned seen;
	unsigned changes; /* from one list to the other */
	bool last;
};

static enum rc see_list(void *arg, uint32_t archive, const struct store_message *m,
                        const char *problem, struct err *e)
{
	struct lists *l = arg;
	bool odd = slice_find(m->raw, slice_str("odd")) != SIZE_MAX;

	(void)archive;
	(void)e;
	assert_null(problem);
	l->changes += l->seen && odd != l->last;
	l->last = odd;
	l->seen++;
	return RC_OK;
}

static struct slice alike_text(char out[600], unsigned i)
{
	int n = snprintf(out, 600, "List-Id: <%s.example>\n\n%*u", i % 2 ? "odd" : "even", 500, i);

	return slice_of(out, (size_t)n);
}

static void expect_alike(struct fixture *f, const struct message_id *ids)
{
	struct buf raw;
	char text[600];

	buf_init(&raw, 1000);
	for (unsigned i = 0; i < ALIKE; i++) {
		buf_clear(&raw);
		EXPECT_OK(store_get(f->st, 1, &ids[i], NULL, &raw, &f->e), &f->e);
		assert_true(slice_equal(buf_slice(&raw), alike_text(text, i)));
	}
	buf_free(&raw);
}

/* Two lists that flow together lie apart in the blocks. */
static void test_alike_lie_together(void **state)
{
	struct fixture f;
	struct lists l = { 0 };
	const struct store_visit v = { see_list, NULL, NULL, &l };
	struct message_id ids[ALIKE];
	char text[600];

	(void)state;
	begin(&f, 0, 5000);
	for (unsigned i = 0; i < ALIKE; i++) {
		const uint8_t random[8] = { 1 };
		struct store_message m = { .raw = alike_text(text, i) };

		EXPECT_OK(keyring_lot(f.kr, 1, today(), 0, &m.lot, &f.e), &f.e);
		m.id = id_make((int64_t)today() * MS_PER_DAY, i, random);
		sha256(m.sha256, m.raw);
		EXPECT_OK(store_put(f.st, 1, &m, &f.e), &f.e);
		ids[i] = m.id;
	}
	expect_alike(&f, ids);
	sync_store(&f);
	assert_in_range(f.blocks, 3, 5);
	expect_alike(&f, ids);
	reopen(&f);
	expect_alike(&f, ids);
	EXPECT_OK(store_walk(f.st, 1, &v, &f.e), &f.e);
	assert_int_equal(l.seen, ALIKE);
	assert_int_equal(l.changes, 1);
	end(&f);
}

/* The disk doesn't give one part of a file: its messages are told of, all others are visited. */
static void test_walk_unreadable(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;
	unsigned told = 0;
	bool hit = true;

	(void)state;
	begin(&f, 100000, 16384);
	for (int i = 0; i < 30; i++)
		add(&f, 1, today(), i % 9 == 8 ? 60000 : 3000, &seed);
	sync_store(&f);
	for (unsigned n = 1; hit; n++) {
		struct tally t = { 0 };
		const struct store_visit v = { tally_message, tally_block, tally_damage, &t };
		enum rc rc;

		reopen(&f);
		fault_arm(FAULT_READ, n, EIO, false);
		rc = store_walk(f.st, 1, &v, &f.e);
		hit = fault_disarm();
		assert_true(rc == RC_OK ||
		            (hit && rc == RC_IO)); /* a directory, of which nothing is known */
		assert_true(rc != RC_OK || t.messages + t.problems == f.n);
		assert_true(!hit || rc != RC_OK || t.problems + t.damages > 0);
		told += t.problems;
	}
	assert_true(told >= f.n);
	check(&f);
	end(&f);
}

static void test_wrong_master(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;
	uint8_t wrong[KEY_BYTES] = "another key";
	struct keyring *kr;

	(void)state;
	begin(&f, 0, 65536);
	add(&f, 1, today(), 100, &seed);
	sync_store(&f);
	close_all(&f);
	assert_int_equal(keyring_open(&kr, f.s.dir, wrong, &f.e), RC_CRYPTO);
	reopen(&f);
	check(&f);
	end(&f);
}

/* No file may grow past `bytes`; SIZE_MAX lifts it. */
static void limit_files(size_t bytes)
{
	struct rlimit r;

	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
	r.rlim_cur = bytes == SIZE_MAX ? r.rlim_max : bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

/* A write that fails takes everything since the last store_sync with it, and nothing else; when
 * there is room again the store goes on. */
static void test_full_disk(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;

	(void)state;
	begin(&f, 0, 16384);
	for (int round = 0; round < 6; round++) {
		size_t synced = f.n;
		enum rc rc = RC_OK;

		for (int i = 0; i < 5; i++)
			add(&f, 1, today() - i * 40, 3000, &seed);
		sync_store(&f);
		synced = f.n;
		/* The ring is of 128 KiB and never grows here. */
		limit_files(200000 + 1000 * (size_t)round);
		for (int i = 0; i < 500 && rc == RC_OK; i++) {
			struct item it = make_item(&f, 1, today() - i % 2 * 40,
			                           round % 2 ? 2000 : 60000, &seed);

			rc = put(&f, &it);
			if (rc == RC_OK) {
				f.items = mem_resize(f.items, (f.n + 1) * sizeof(*f.items));
				f.items[f.n++] = it;
			}
		}
		if (rc == RC_OK)
			rc = store_sync(f.st, count_block, &f, &f.e);
		limit_files(SIZE_MAX);
		assert_int_not_equal(rc, RC_OK);
		assert_int_equal(store_buffered(f.st), 0);
		for (size_t i = synced; i < f.n; i++)
			assert_false(store_has(f.st, 1, &f.items[i].id));
		f.n = synced;
		check(&f);
		add(&f, 1, today(), 3000, &seed);
		sync_store(&f);
		check(&f);
		if (round % 2) {
			reopen(&f);
			check(&f);
		}
		assert_int_equal(walk(&f, 0).messages, f.n);
		assert_int_equal(walk(&f, 0).damages, 0);
	}
	end(&f);
}

struct racing {
	struct fixture *f;
	atomic_size_t synced;
	atomic_bool stop;
	atomic_uint wrong;
};

static void *read_on(void *arg)
{
	struct racing *r = arg;
	uint64_t seed = (uintptr_t)&seed | 1;

	while (!r->stop) {
		size_t n = r->synced;
		const struct item *it = n ? &r->f->items[scratch_random(&seed) % n] : NULL;
		struct buf raw;
		uint8_t *want;

		if (!it)
			continue;
		buf_init(&raw, 1 << 20);
		want = content(it);
		if (store_get(r->f->st, it->archive, &it->id, NULL, &raw, NULL) != RC_OK ||
		    raw.len != it->size || memcmp(raw.at, want, it->size) != 0 ||
		    !store_has(r->f->st, it->archive, &it->id))
			r->wrong++;
		free(want);
		buf_free(&raw);
	}
	return NULL;
}

/* Readers beside the writer, while segments are closed and repacked. */
/* --- calls that fail ---------------------------------------------------------------------------*/

/* Messages of two archives and days, in closed segments and open ones; one goes over several
 * blocks. */
static void add_some(struct fixture *f)
{
	static const size_t sizes[] = { 100, 200000, 0, 5000 };
	uint64_t seed = 1;

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < COUNT(sizes); i++)
			add(f, 1 + (uint32_t)(i % 2), today() - (int32_t)i, sizes[i], &seed);
		sync_store(f);
		reopen(f);
	}
	check(f);
}

/* A store that opens has everything, though a call failed. */
static void test_open_fails(void **state)
{
	struct fixture f;
	bool hit = true;
	unsigned n;

	(void)state;
	begin(&f, 100000, 65536);
	add_some(&f);
	for (n = 1; hit; n++) {
		enum rc rc;

		close_all(&f);
		EXPECT_OK(keyring_open(&f.kr, f.s.dir, master, &f.e), &f.e);
		fault_arm(FAULT_FILES | FAULT_PART, n, EIO, false);
		rc = store_open(&f.st, f.s.dir, f.kr, &f.opt, &f.e);
		hit = fault_disarm();
		assert_true(rc == RC_OK || (hit && rc == RC_IO));
		assert_int_equal(f.st != NULL, rc == RC_OK);
		if (rc == RC_OK)
			check(&f);
		reopen(&f);
		check(&f);
	}
	assert_true(n > 5);
	end(&f);
}

/* What the disk doesn't give is neither absent nor damaged. */
static void test_reads_fail(void **state)
{
	struct fixture f;
	unsigned most = 0;

	(void)state;
	begin(&f, 100000, 65536);
	add_some(&f);
	for (size_t i = 0; i < f.n; i++) {
		bool hit = true;
		unsigned n;

		for (n = 1; hit; n++) {
			bool right;
			enum rc rc;

			reopen(&f);
			fault_arm(FAULT_READ | FAULT_OPEN | FAULT_STAT | FAULT_PART, n, EIO, false);
			rc = get(&f, &f.items[i], &right);
			hit = fault_disarm();
			if (rc != RC_OK && !(hit && rc == RC_IO))
				fail_msg("message %zu, call %u: %s: %s", i, n, rc_name(rc),
				         f.e.text);
			assert_true(rc != RC_OK || right);
		}
		most = MAX_OF(most, n);
	}
	assert_true(most > 4);
	end(&f);
}

/* A sync that fails has stored nothing that counts, and nothing that was there before is lost; the
 * store takes nothing more until it is opened again. */
static void test_syncs_fail(void **state)
{
	uint64_t seed = 7;
	struct fixture f;
	bool hit = true;
	unsigned n;

	(void)state;
	begin(&f, 100000, 65536);
	add_some(&f);
	for (n = 1; hit; n++) {
		struct item one = make_item(&f, 1, today() - 40 * (int32_t)(n % 2), 150000, &seed);
		struct item more = make_item(&f, 1, today(), 10, &seed);
		bool right = false;
		enum rc rc;

		fault_arm(FAULT_CHANGE | FAULT_PART, n, EIO, false);
		rc = put(&f, &one);
		if (rc == RC_OK)
			rc = store_sync(f.st, NULL, NULL, &f.e);
		hit = fault_disarm();
		assert_true(rc == RC_OK || (hit && rc == RC_IO));
		if (rc == RC_OK) {
			f.items = mem_resize(f.items, (f.n + 1) * sizeof(*f.items));
			f.items[f.n++] = one;
		} else if (put(&f, &more) == RC_OK) {
			EXPECT_OK(store_sync(f.st, NULL, NULL, &f.e), &f.e);
			EXPECT_OK(get(&f, &more, &right), &f.e);
			assert_true(right);
		}
		reopen(&f);
		check(&f);
		rc = get(&f, &one, &right);
		assert_true(rc == RC_NOTFOUND || (rc == RC_OK && right));
	}
	assert_true(n > 5);
	assert_int_equal(walk(&f, 0).problems, 0);
	end(&f);
}

static void test_readers(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;
	struct racing r = { .f = &f };
	pthread_t threads[3];

	(void)state;
	begin(&f, 100000, 16384);
	f.items = mem_array(400, sizeof(*f.items));
	for (size_t i = 0; i < COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_on, &r), 0);
	for (size_t i = 0; i < 400; i++) {
		f.items[i] =
		        make_item(&f, 1, today() - (i % 2 ? 50 : 0), i % 50 ? 1500 : 40000, &seed);
		EXPECT_OK(put(&f, &f.items[i]), &f.e);
		if (i % 5 == 4) {
			sync_store(&f);
			r.synced = i + 1;
		}
		if (i % 80 == 79)
			EXPECT_OK(store_repack(f.st, today() + 1, &(struct store_repacked) { 0 },
			                       &f.e),
			          &f.e);
	}
	r.stop = true;
	for (size_t i = 0; i < COUNT(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(r.wrong, 0);
	f.n = 400;
	check(&f);
	assert_int_equal(walk(&f, 0).messages, 400);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_45_megabytes),
		cmocka_unit_test(test_not_there),
		cmocka_unit_test(test_unsynced_is_not_kept),
		cmocka_unit_test(test_torn_tail),
		cmocka_unit_test(test_flips),
		cmocka_unit_test(test_damage_is_told),
		cmocka_unit_test(test_forget_beside_a_lost_header),
		cmocka_unit_test(test_damage_that_is_put_back),
		cmocka_unit_test(test_damage_beside_what_cannot_be_read),
		cmocka_unit_test(test_damaged_footer),
		cmocka_unit_test(test_moved_files),
		cmocka_unit_test(test_swapped_blocks),
		cmocka_unit_test(test_nothing_readable),
		cmocka_unit_test(test_forget),
		cmocka_unit_test(test_forget_archive),
		cmocka_unit_test(test_forgotten_while_buffered),
		cmocka_unit_test(test_again_after_its_lot),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_repack),
		cmocka_unit_test(test_repack_unaccounted),
		cmocka_unit_test(test_crash_in_repack),
		cmocka_unit_test(test_pending_blocks),
		cmocka_unit_test(test_not_accounted),
		cmocka_unit_test(test_roots),
		cmocka_unit_test(test_many_lots),
		cmocka_unit_test(test_alike_lie_together),
		cmocka_unit_test(test_walk_unreadable),
		cmocka_unit_test(test_wrong_master),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_readers),
		cmocka_unit_test(test_open_fails),
		cmocka_unit_test(test_reads_fail),
		cmocka_unit_test(test_syncs_fail),
	};

	log_init("test", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
