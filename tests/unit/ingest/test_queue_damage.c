/* Any page of the queue's file is damaged. Where it has bytes of messages, all else goes on: other
 * messages, new ones, what archives destroy, and rotation; whose bytes they are is told, and it
 * waits until it is given up. */
#include <errno.h>
#include <sys/stat.h>

#include "base/file.h"
#include "tests/unit/fault.h"
#include "tests/unit/ingest/queue_rig.h"

#define PAGE     8192
#define MESSAGES 6
#define BIG      40000

static const uint32_t archive[] = { 1 };

/* 1 and 6 are small; 4 is to be judged on; 5 and 6 are in the archive. */
static void park_all(struct fixture *f)
{
	static char bytes[BIG];

	memset(bytes, 'x', sizeof(bytes));
	for (int64_t n = 1; n <= MESSAGES; n++) {
		struct queue_message m = message_of(n);

		if (n > 1 && n < MESSAGES)
			m.raw = slice_of(bytes, sizeof(bytes));
		m.archives = archive;
		m.archive_count = n >= 5;
		EXPECT_OK(park_as(f, m, one_send, 1, n == 4), &f->e);
	}
	done(f, 4);
	commit(f);
}

static size_t pages_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return (size_t)st.st_size / PAGE;
}

static void damage(const char *path, size_t page)
{
	FILE *file = fopen(path, "r+b");
	long at = (long)(page * PAGE + PAGE / 2);
	int c;

	assert_non_null(file);
	assert_int_equal(fseek(file, at, SEEK_SET), 0);
	c = fgetc(file);
	assert_int_equal(fseek(file, at, SEEK_SET), 0);
	assert_int_equal(fputc(c ^ 1, file), c ^ 1);
	assert_int_equal(fclose(file), 0);
}

/* Which messages aren't whole, as bits; false: a task can't be read, as its row is damaged. */
static bool read_all(struct fixture *f, unsigned *damaged)
{
	struct queue_parked p;
	int64_t number;

	*damaged = 0;
	for (int64_t task = 1; task <= MESSAGES; task++) {
		struct queue_job j;
		enum rc rc;

		if (task == 4)
			continue;
		rc = queue_job(f->q, task, true, &j, &f->e);
		if (rc != RC_OK)
			return false;
		assert_int_equal(j.raw.len, !j.whole ? 0 : task == 1 || task == 6 ? 20 : BIG);
		if (!j.whole)
			*damaged |= 1u << task;
		queue_job_free(&j);
	}
	if (queue_go_on_next(f->q, 0, &number, &p, &f->e) != RC_OK)
		return false;
	assert_int_equal(number, 4);
	assert_int_equal(p.raw.len, p.whole ? BIG : 0);
	if (!p.whole)
		*damaged |= 1u << 4;
	queue_parked_free(&p);
	return true;
}

static void expect_damaged(struct fixture *f, unsigned expected)
{
	unsigned damaged;

	assert_true(read_all(f, &damaged));
	assert_int_equal(damaged, expected);
}

/* All of them end, each in another way, and leave nothing. */
static void end_all(struct fixture *f)
{
	size_t expired;

	done(f, 1);
	commit(f);
	EXPECT_OK(queue_drop(f->q, 2, &f->e), &f->e);
	commit(f);
	died(f, 3, 1000);
	commit(f);
	EXPECT_OK(queue_expire(f->q, 2000, &expired, &f->e), &f->e);
	assert_int_equal(expired, 1);
	commit(f);
	queue_take_back(f->q); /* nothing was lost on the way that wasn't committed */
	judged(f, 4, NULL, 0, 0, NULL, 0);
	if (queue_land(f->q, &f->e) != RC_OK) { /* as if it had found no room, but once */
		assert_int_equal(f->e.code, RC_NOSPACE);
		queue_take_back(f->q);
		judged(f, 4, NULL, 0, 0, NULL, 0);
		land(f);
	}
	assert_int_equal(forget(f, 1, 5), 1);
	assert_int_equal(forget_day(f, 1, 6), 1);
	assert_int_equal(messages(f), 0);
}

/* Rotation comes first, or last. */
static void go_on(struct fixture *f, unsigned damaged, bool rotate_first)
{
	struct queue_job j;

	/* What is known to be damaged takes nothing back a second time. */
	EXPECT_OK(queue_put_off(f->q, 1, RECEIVED, "later", &f->e), &f->e);
	expect_damaged(f, damaged);
	land(f);
	if (rotate_first) {
		EXPECT_OK(park(f, 7, one_send, 1, 0, NULL, 0), &f->e);
		queue_take_back(f->q);
		done(f, 7);
		EXPECT_OK(queue_rotate(f->q, &f->e), &f->e);
		reopen_all(f);
		expect_damaged(f, damaged);
	}
	end_all(f);
	EXPECT_OK(park(f, 8, one_send, 1, 0, NULL, 0), &f->e);
	EXPECT_OK(queue_rotate(f->q, &f->e), &f->e);
	reopen_all(f);
	(void)key_of(f);
	assert_int_equal(messages(f), 1);
	EXPECT_OK(queue_job(f->q, 8 - !rotate_first, true, &j, &f->e), &f->e);
	assert_true(j.whole);
	queue_job_free(&j);
}

/* How many messages aren't whole; -1: the page has rows, and not bytes, or none at all. */
static int try_page(size_t page, bool rotate_first, size_t *pages)
{
	struct fixture f;
	char *path;
	unsigned damaged;
	bool reads;

	begin(&f);
	park_all(&f);
	queue_close(&f.q);
	path = path_join(f.s.dir, "queue/00000001.db");
	*pages = pages_of(path);
	if (page)
		damage(path, page);
	free(path);
	keyring_close(&f.kr);
	EXPECT_OK(keyring_open(&f.kr, f.s.dir, master, &f.e), &f.e);
	reads = queue_open(&f.q, f.s.dir, f.kr, 10000, &f.e) == RC_OK && read_all(&f, &damaged);
	if (reads && (damaged || !page))
		go_on(&f, damaged, rotate_first);
	end(&f);
	return reads && damaged ? __builtin_popcount(damaged) : -1;
}

static void a_damaged_page_of_bytes_ends_nothing(void **state)
{
	size_t with_bytes = 0;
	size_t pages;

	(void)state;
	assert_int_equal(try_page(0, false, &pages), -1); /* none */
	assert_int_equal(try_page(0, true, &pages), -1);
	for (size_t page = 1; page < pages; page++) {
		int lost = try_page(page, page % 2, &pages);

		assert_int_equal(try_page(page, !(page % 2), &pages), lost);
		with_bytes += lost > 0;
	}
	print_message("%zu of %zu pages have bytes\n", with_bytes, pages);
	assert_true(with_bytes >= (size_t)4 * (BIG / PAGE));
	assert_true(with_bytes < pages);
}

/* What the disk doesn't give now it may give another time: nothing is left out. */
static void what_cannot_be_read_now_is_not_left_out(void **state)
{
	const struct queue_answer ok = { .said = RULE_SAID_DONE };
	struct fixture f;
	struct queue_job j;
	unsigned n;
	bool hit = true;

	(void)state;
	for (n = 1; hit; n++) {
		enum rc rc;

		begin(&f);
		park_all(&f);
		reopen_all(&f);
		fault_arm(FAULT_READ, n, EIO, false);
		rc = queue_job(f.q, 2, true, &j, &f.e);
		if (rc == RC_OK) {
			assert_true(j.whole);
			queue_job_free(&j);
			rc = queue_done(f.q, 1, false, &ok, &f.e);
			if (rc == RC_OK)
				rc = queue_rotate(f.q, &f.e);
		}
		hit = fault_disarm();
		assert_true(rc == RC_OK || hit);
		reopen_all(&f);
		EXPECT_OK(queue_job(f.q, 3, true, &j, &f.e), &f.e);
		assert_true(j.whole);
		queue_job_free(&j);
		end(&f);
	}
	assert_true(n > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_damaged_page_of_bytes_ends_nothing),
		cmocka_unit_test(what_cannot_be_read_now_is_not_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
