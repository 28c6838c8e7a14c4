#include "store/logbook.h"

#include <errno.h>

#include "base/codec.h"
#include "tests/unit/fault.h"
#include "tests/unit/store/scratch.h"

#define DAY MS_PER_DAY

static const uint8_t master[KEY_BYTES] = "log test master key, 32 bytes...";

struct fixture {
	struct scratch s;
	struct keyring *kr;
	struct logbook *b;
	struct err e;
};

static void reopen(struct fixture *f)
{
	logbook_close(&f->b);
	EXPECT_OK(logbook_open(&f->b, f->s.dir, f->kr, &f->e), &f->e);
}

static void begin(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	scratch_make(&f->s);
	EXPECT_OK(keyring_create(f->s.dir, master, &f->e), &f->e);
	EXPECT_OK(keyring_open(&f->kr, f->s.dir, master, &f->e), &f->e);
	reopen(f);
}

static void end(struct fixture *f)
{
	logbook_close(&f->b);
	keyring_close(&f->kr);
	scratch_remove(&f->s);
}

static char *file_path(const struct fixture *f, unsigned number)
{
	char name[40];

	(void)snprintf(name, sizeof(name), "logs/%08u.log", number);
	return scratch_path(&f->s, name);
}

/* One frame of `count` entries that are numbered from `first`. */
static enum rc try_append(struct fixture *f, unsigned first, unsigned count, int64_t now)
{
	struct buf entries;
	enum rc rc;

	buf_init(&entries, LOGBOOK_FRAME_MAX);
	for (unsigned i = 0; i < count; i++) {
		char text[64];
		struct logbook_entry x = { .when_ms = now + i, .kind = (uint8_t)(i % 3) };

		(void)snprintf(text, sizeof(text), "{\"canary\":%u}", first + i);
		x.text = slice_str(text);
		assert_int_equal(logbook_entry_add(&entries, &x), RC_OK);
	}
	rc = logbook_append(f->b, buf_slice(&entries), now, &f->e);
	buf_free(&entries);
	return rc;
}

static void append(struct fixture *f, unsigned first, unsigned count, int64_t now)
{
	EXPECT_OK(try_append(f, first, count, now), &f->e);
}

struct seen {
	unsigned numbers[256];
	size_t count;
	unsigned problems;
	char problem[160];
};

static enum rc see(void *arg, const struct logbook_entry *x, struct err *e)
{
	struct seen *s = arg;
	uint64_t n;

	(void)e;
	assert_true(x->text.len > 11 &&
	            slice_to_u64(slice_part(x->text, 10, x->text.len - 11), &n));
	assert_true(s->count < COUNT(s->numbers));
	s->numbers[s->count++] = (unsigned)n;
	return RC_OK;
}

static enum rc see_problem(void *arg, const char *text, struct err *e)
{
	struct seen *s = arg;

	(void)e;
	s->problems++;
	(void)snprintf(s->problem, sizeof(s->problem), "%s", text);
	return RC_OK;
}

static struct seen read_on(struct fixture *f, struct logbook_place *place)
{
	struct seen s = { .count = 0 };
	const struct logbook_reader r = { see, see_problem, &s };
	struct logbook *mine;

	EXPECT_OK(logbook_open(&mine, f->s.dir, f->kr, &f->e), &f->e);
	EXPECT_OK(logbook_read(mine, place, &r, &f->e), &f->e);
	logbook_close(&mine);
	return s;
}

static struct seen read_all(struct fixture *f)
{
	struct logbook_place place = { 0 };

	return read_on(f, &place);
}

static void expect_numbers(const struct seen *s, unsigned first, size_t count)
{
	assert_int_equal(s->count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(s->numbers[i], first + i);
	assert_int_equal(s->problems, 0);
}

static void test_entries_come_back(void **state)
{
	struct fixture f;
	struct seen s;
	size_t files;
	uint64_t bytes;

	(void)state;
	begin(&f);
	assert_int_equal(read_all(&f).count, 0); /* no folder yet */
	append(&f, 0, 3, 10 * DAY);
	append(&f, 3, 1, 10 * DAY + 5);
	s = read_all(&f); /* while it is written */
	expect_numbers(&s, 0, 4);
	append(&f, 4, 2, 11 * DAY); /* another day, another file */
	reopen(&f);
	append(&f, 6, 1, 11 * DAY); /* another process, likewise */
	s = read_all(&f);
	expect_numbers(&s, 0, 7);
	logbook_count(f.b, &files, &bytes);
	assert_int_equal(files, 3);
	end(&f);
}

static void test_lines_are_sealed(void **state)
{
	struct fixture f;
	struct buf bytes;
	char *path;

	(void)state;
	begin(&f);
	append(&f, 0, 9, DAY);
	path = file_path(&f, 1);
	buf_init(&bytes, 1 << 20);
	EXPECT_OK(file_read_all(path, &bytes, &f.e), &f.e);
	assert_int_equal(slice_find(buf_slice(&bytes), slice_str("canary")), SIZE_MAX);
	buf_free(&bytes);
	free(path);
	end(&f);
}

/* A reader goes on where it was, also over the begin of a file. */
static void test_following(void **state)
{
	struct fixture f;
	struct logbook_place place = { 0 };
	struct seen s;
	unsigned n = 0;

	(void)state;
	begin(&f);
	for (int i = 0; i < 6; i++) {
		s = read_on(&f, &place);
		expect_numbers(&s, n, i == 0 ? 0 : 2);
		n += (unsigned)s.count;
		append(&f, n, 2, (10 + i / 2) * DAY);
	}
	s = read_on(&f, &place);
	expect_numbers(&s, n, 2);
	assert_int_equal(read_on(&f, &place).count, 0);
	end(&f);
}

/* Cut anywhere, the file gives its whole frames and no more, and what comes later is found. */
static void test_torn_tail(void **state)
{
	struct fixture f;
	struct buf whole;
	char *path;

	(void)state;
	begin(&f);
	append(&f, 0, 2, DAY);
	append(&f, 2, 2, DAY);
	logbook_close(&f.b);
	path = file_path(&f, 1);
	buf_init(&whole, 1 << 20);
	EXPECT_OK(file_read_all(path, &whole, &f.e), &f.e);
	for (size_t n = 0; n < whole.len; n += 1 + n % 7) {
		size_t frame = (whole.len - LOGBOOK_HEADER) / 2;
		size_t expected = n < LOGBOOK_HEADER + frame ? 0 : 2;
		struct seen s;

		EXPECT_OK(file_replace(path, slice_part(buf_slice(&whole), 0, n), &f.e), &f.e);
		reopen(&f);
		append(&f, 100, 1, DAY);
		s = read_all(&f);
		assert_int_equal(s.count, expected + 1);
		assert_int_equal(s.numbers[expected], 100);
		assert_int_equal(s.problems, n < LOGBOOK_HEADER); /* synced before a frame was */
		logbook_close(&f.b);
		{
			char *second = file_path(&f, 2);

			EXPECT_OK(file_remove(second, &f.e), &f.e);
			free(second);
		}
	}
	buf_free(&whole);
	free(path);
	end(&f);
}

/* A bit anywhere: what is shown is what was written; the frame it lies in is told, or ends the
 * file. */
static void test_flipped_bits(void **state)
{
	struct fixture f;
	struct buf whole;
	char *path;
	uint64_t seed = scratch_seed();

	(void)state;
	begin(&f);
	append(&f, 0, 2, DAY);
	append(&f, 2, 2, DAY);
	append(&f, 4, 2, DAY);
	append(&f, 6, 1, 2 * DAY);
	reopen(&f);
	path = file_path(&f, 1);
	buf_init(&whole, 1 << 20);
	EXPECT_OK(file_read_all(path, &whole, &f.e), &f.e);
	for (size_t i = 0; i < 200; i++) {
		size_t at = scratch_random(&seed) % whole.len;
		uint8_t bit = (uint8_t)(1u << scratch_random(&seed) % 8);
		struct seen s;

		whole.at[at] ^= bit;
		EXPECT_OK(file_replace(path, buf_slice(&whole), &f.e), &f.e);
		whole.at[at] ^= bit;
		s = read_all(&f);
		assert_true(s.count < 7);
		assert_int_equal(s.numbers[s.count - 1], 6);
		for (size_t k = 0; k + 1 < s.count; k++)
			assert_true(s.numbers[k] < s.numbers[k + 1]);
	}
	buf_free(&whole);
	free(path);
	end(&f);
}

static void move_frame(struct buf *to, struct slice whole, size_t frame, size_t n)
{
	assert_int_equal(buf_add(to, slice_part(whole, LOGBOOK_HEADER + frame * n, frame)), RC_OK);
}

/* Frames that stand elsewhere, twice, or not at all. */
static void test_moved_frames(void **state)
{
	static const struct {
		const char *name;
		int order[4];
		size_t count;
		unsigned problems;
	} cases[] = {
		{ "as it is", { 0, 1, 2, -1 }, 3, 0 },
		{ "one left out", { 0, 2, -1, -1 }, 2, 1 },
		{ "one twice", { 0, 1, 1, 2 }, 3, 1 },
		{ "two changed", { 0, 2, 1, -1 }, 2, 2 },
		{ "the first gone", { 1, 2, -1, -1 }, 2, 1 },
	};
	struct fixture f;
	struct buf whole;
	char *path;

	(void)state;
	begin(&f);
	for (unsigned i = 0; i < 3; i++)
		append(&f, i, 1, DAY);
	append(&f, 3, 1, 2 * DAY);
	reopen(&f);
	path = file_path(&f, 1);
	buf_init(&whole, 1 << 20);
	EXPECT_OK(file_read_all(path, &whole, &f.e), &f.e);
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t frame = (whole.len - LOGBOOK_HEADER) / 3;
		struct buf other;
		struct seen s;

		buf_init(&other, 1 << 20);
		assert_int_equal(buf_add(&other, slice_part(buf_slice(&whole), 0, LOGBOOK_HEADER)),
		                 RC_OK);
		for (size_t k = 0; k < COUNT(cases[i].order); k++)
			if (cases[i].order[k] >= 0)
				move_frame(&other, buf_slice(&whole), frame,
				           (size_t)cases[i].order[k]);
		EXPECT_OK(file_replace(path, buf_slice(&other), &f.e), &f.e);
		s = read_all(&f);
		EXPECT(cases[i].name, s.count == cases[i].count + 1);
		EXPECT(cases[i].name, s.problems == cases[i].problems);
		buf_free(&other);
	}
	{
		char *second = file_path(&f, 2); /* a file under another's name */
		struct seen s;

		EXPECT_OK(file_replace(second, buf_slice(&whole), &f.e), &f.e);
		EXPECT_OK(file_replace(path, buf_slice(&whole), &f.e), &f.e);
		s = read_all(&f);
		expect_numbers(&s, 0, 3);
		free(second);
	}
	buf_free(&whole);
	free(path);
	end(&f);
}

struct counting {
	unsigned keys;
};

static enum rc count_key(void *arg, const struct key_info *k)
{
	((struct counting *)arg)->keys += k->kind == KEY_LOG && k->state == KEY_LIVE;
	return RC_OK;
}

static unsigned live_keys(struct fixture *f)
{
	struct counting c = { 0 };

	EXPECT_OK(keyring_each(f->kr, count_key, &c), &f->e);
	return c.keys;
}

/* The day of a file is that of its key, so now's. */
static void test_forgotten_by_age(void **state)
{
	const struct logbook_limits keep = { .keep_days = 2 };
	int64_t now = 1767225600000 + 5000;
	struct fixture f;
	struct buf bytes;
	struct key_info info;
	char *path;

	(void)state;
	begin(&f);
	append(&f, 0, 2, now);
	reopen(&f); /* the file at hand never goes */
	EXPECT_OK(keyring_each(f.kr, count_key, &(struct counting) { 0 }), &f.e);
	assert_int_equal(live_keys(&f), 1);
	(void)info;
	path = file_path(&f, 1);
	buf_init(&bytes, 1 << 20);
	EXPECT_OK(file_read_all(path, &bytes, &f.e), &f.e);
	{
		uint64_t id;

		EXPECT_OK(keyring_find(f.kr, KEY_LOG, 0, 1, &id, &f.e), &f.e);
		EXPECT_OK(keyring_info(f.kr, id, &info, &f.e), &f.e);
		now = info.created_ms;
	}
	EXPECT_OK(logbook_tidy(f.b, &keep, now + 2 * DAY, &f.e), &f.e);
	assert_int_equal(read_all(&f).count, 2);
	EXPECT_OK(logbook_tidy(f.b, &keep, now + 3 * DAY, &f.e), &f.e);
	assert_int_equal(live_keys(&f), 0);
	assert_false(file_exists(path));
	EXPECT_OK(file_replace(path, buf_slice(&bytes), &f.e),
	          &f.e); /* an old copy tells nothing */
	assert_int_equal(read_all(&f).count, 0);
	reopen(&f);
	EXPECT_OK(logbook_tidy(f.b, &keep, now, &f.e), &f.e); /* and goes */
	assert_false(file_exists(path));
	buf_free(&bytes);
	free(path);
	end(&f);
}

static void test_forgotten_by_size(void **state)
{
	struct logbook_limits keep = { .max_bytes = 1 };
	struct fixture f;
	struct seen s;
	uint64_t bytes;
	size_t files;

	(void)state;
	begin(&f);
	for (unsigned i = 0; i < 5; i++)
		append(&f, i, 1, (10 + (int)i) * DAY);
	logbook_count(f.b, &files, &bytes);
	assert_int_equal(files, 5);
	keep.max_bytes = bytes * 3 / 5;
	EXPECT_OK(logbook_tidy(f.b, &keep, 14 * DAY, &f.e), &f.e);
	s = read_all(&f);
	expect_numbers(&s, 2, 3);
	assert_int_equal(live_keys(&f), 3);
	keep.max_bytes = 1; /* the one that is written stays */
	EXPECT_OK(logbook_tidy(f.b, &keep, 14 * DAY, &f.e), &f.e);
	s = read_all(&f);
	expect_numbers(&s, 4, 1);
	append(&f, 5, 1, 14 * DAY);
	s = read_all(&f);
	expect_numbers(&s, 4, 2);
	end(&f);
}

/* Keys and files that a kill left alone. */
static void test_leftovers(void **state)
{
	const struct logbook_limits keep = { .keep_days = 100000 };
	struct key_info want = { .kind = KEY_LOG, .object = 77 };
	struct fixture f;
	uint64_t id;
	char *path;
	struct seen s;

	(void)state;
	begin(&f);
	append(&f, 0, 1, DAY);
	EXPECT_OK(keyring_add(f.kr, &want, &id, &f.e), &f.e);
	path = file_path(&f, 5);
	EXPECT_OK(file_replace(path, slice_str("nobody has its key"), &f.e), &f.e);
	reopen(&f);
	EXPECT_OK(logbook_tidy(f.b, &keep, 2 * DAY, &f.e), &f.e);
	assert_int_equal(live_keys(&f), 1);
	assert_false(file_exists(path));
	s = read_all(&f);
	expect_numbers(&s, 0, 1);
	free(path);
	end(&f);
}

/* Any call fails: the records of that write are lost or there, others stay, and the next write
 * works; no key is left without a file for longer than to the next start. */
static void test_failures(void **state)
{
	bool hit = true;

	(void)state;
	for (unsigned n = 1; hit; n++) {
		const struct logbook_limits keep = { .keep_days = 100000 };
		struct fixture f;
		struct seen s;
		enum rc rc;

		begin(&f);
		append(&f, 0, 1, DAY);
		fault_arm(FAULT_OPEN | FAULT_WRITE | FAULT_CUT | FAULT_NAME, n, ENOSPC, false);
		rc = try_append(&f, 1, 1, 2 * DAY);
		hit = fault_disarm();
		if (!hit)
			assert_int_equal(rc, RC_OK);
		append(&f, 2, 1, 2 * DAY);
		s = read_all(&f);
		assert_int_equal(s.problems, 0);
		assert_int_equal(s.count, rc == RC_OK ? 3 : 2);
		assert_int_equal(s.numbers[s.count - 1], 2);
		reopen(&f);
		EXPECT_OK(logbook_tidy(f.b, &keep, 2 * DAY, &f.e), &f.e);
		{
			size_t files;
			uint64_t bytes;

			logbook_count(f.b, &files, &bytes);
			assert_int_equal(live_keys(&f), files);
		}
		end(&f);
	}
}

static void test_too_much_for_a_frame(void **state)
{
	struct buf entries;
	struct buf text;
	struct logbook_entry x = { .kind = 1 };
	struct slice rest;
	struct logbook_entry out;

	(void)state;
	buf_init(&entries, 4 * LOGBOOK_FRAME_MAX);
	buf_init(&text, LOGBOOK_FRAME_MAX);
	EXPECT_OK(buf_reserve(&text, LOGBOOK_FRAME_MAX), (&(struct err) { 0 }));
	memset(text.at, 'x', LOGBOOK_FRAME_MAX);
	x.text = slice_of(text.at, LOGBOOK_FRAME_MAX);
	assert_int_equal(logbook_entry_add(&entries, &x), RC_LIMIT);
	x.text.len -= 13;
	assert_int_equal(logbook_entry_add(&entries, &x), RC_OK);
	x.text.len = 0;
	assert_int_equal(logbook_entry_add(&entries, &x), RC_LIMIT);
	assert_int_equal(entries.len, LOGBOOK_FRAME_MAX);
	rest = buf_slice(&entries);
	assert_true(logbook_entry_take(&rest, &out));
	assert_int_equal(out.text.len, LOGBOOK_FRAME_MAX - 13);
	assert_false(logbook_entry_take(&rest, &out));
	buf_free(&entries);
	buf_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries_come_back),
		cmocka_unit_test(test_lines_are_sealed),
		cmocka_unit_test(test_following),
		cmocka_unit_test(test_torn_tail),
		cmocka_unit_test(test_flipped_bits),
		cmocka_unit_test(test_moved_frames),
		cmocka_unit_test(test_forgotten_by_age),
		cmocka_unit_test(test_forgotten_by_size),
		cmocka_unit_test(test_leftovers),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_too_much_for_a_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
