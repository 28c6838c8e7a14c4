/* Any page of the queue's file is damaged: bytes of messages, an index, a free one. All else goes
 * on, but where rows of messages or tasks are damaged; whose bytes they are is told, and it waits
 * until it is given up. What a call took back is done again here, as the runner and the pipeline
 * do. */
#include <errno.h>
#include <sys/stat.h>

#include "base/file.h"
#include "tests/unit/fault.h"
#include "tests/unit/ingest/queue_rig.h"

#define PAGE     8192
#define MESSAGES 6
#define BIG      40000
#define TURNS    5

static const uint32_t archive[] = { 1 };

static void park_big(struct fixture *f, int64_t n)
{
	static char bytes[BIG];
	struct queue_message m = message_of(n);

	memset(bytes, 'x', sizeof(bytes));
	m.raw = slice_of(bytes, sizeof(bytes));
	m.archives = archive;
	m.archive_count = n == 5;
	EXPECT_OK(park_as(f, m, one_send, 1, n == 4), &f->e);
}

/* 1 and 6 are small; 4 is to be judged on; 5 and 6 are in the archive. What 7 and 8 had is free. */
static void park_all(struct fixture *f)
{
	EXPECT_OK(park(f, 1, one_send, 1, 0, NULL, 0), &f->e);
	for (int64_t n = 2; n <= 5; n++)
		park_big(f, n);
	EXPECT_OK(park(f, 6, one_send, 1, 0, archive, 1), &f->e);
	park_big(f, 7);
	park_big(f, 8);
	commit(f);
	done(f, 7);
	done(f, 8);
	commit(f);
	done(f, 4);
	assert_string_equal(told(f), "delivered delivered");
	commit(f);
}

static char *file_of(const struct fixture *f)
{
	return path_join(f->s.dir, "queue/00000001.db");
}

static size_t pages_of(const struct fixture *f)
{
	char *path = file_of(f);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	free(path);
	return (size_t)st.st_size / PAGE;
}

static void damage(const struct fixture *f, size_t page)
{
	char *path = file_of(f);
	FILE *file = fopen(path, "r+b");
	long at = (long)(page * PAGE + PAGE / 2);
	int c;

	assert_non_null(file);
	assert_int_equal(fseek(file, at, SEEK_SET), 0);
	c = fgetc(file);
	assert_int_equal(fseek(file, at, SEEK_SET), 0);
	assert_int_equal(fputc(c ^ 1, file), c ^ 1);
	assert_int_equal(fclose(file), 0);
	free(path);
}

/* A queue as after a start, with that page damaged (0: none). False: it doesn't open. */
static bool begin_damaged(struct fixture *f, size_t page, size_t *pages)
{
	begin(f);
	park_all(f);
	queue_close(&f->q);
	*pages = pages_of(f);
	if (page)
		damage(f, page);
	keyring_close(&f->kr);
	EXPECT_OK(keyring_open(&f->kr, f->s.dir, master, &f->e), &f->e);
	if (queue_open(&f->q, f->s.dir, f->kr, 10000, &f->e) != RC_OK)
		return false;
	queue_set_woken(f->q, wake_runner, wake_pipeline, f);
	return true;
}

/* ---- what is done to it ---- */

static enum rc give_up_two(struct fixture *f)
{
	return queue_drop(f->q, 2, &f->e);
}

static enum rc let_three_die(struct fixture *f)
{
	const struct queue_answer failed = { .said = RULE_SAID_FAILED };

	return queue_dead(f->q, 3, NULL, "no", &failed, 1000, &f->e);
}

static enum rc expire_three(struct fixture *f)
{
	size_t count;

	return queue_expire(f->q, 2000, &count, &f->e);
}

static enum rc judge_four(struct fixture *f)
{
	struct queue_parked p;
	int64_t number;
	enum rc rc;

	queue_take_back(f->q);
	rc = queue_go_on_next(f->q, 0, &number, &p, &f->e);
	if (rc != RC_OK)
		return rc;
	assert_int_equal(number, 4);
	queue_parked_free(&p);
	judged(f, 4, NULL, 0, 0, NULL, 0);
	return queue_land(f->q, &f->e);
}

static enum rc forget_five(struct fixture *f)
{
	struct message_id id = id_of(5);
	size_t count;

	return queue_forget(f->q, 1, 0, &id, &count, &f->e);
}

static enum rc forget_six(struct fixture *f)
{
	size_t count;

	return queue_forget(f->q, 1, (int32_t)(RECEIVED / DAY), NULL, &count, &f->e);
}

static enum rc park_nine(struct fixture *f)
{
	enum rc rc = park(f, 9, one_send, 1, 0, NULL, 0);

	return rc == RC_EXISTS ? RC_OK : rc;
}

/* As run_mail does what failed for good: both are there, or neither. */
static enum rc bounce_one(struct fixture *f)
{
	const struct queue_answer failed = { .said = RULE_SAID_FAILED };
	struct queue_message notice = message_of(10);
	enum rc rc;

	notice.notice = true;
	notice.of = 1;
	rc = park_as(f, notice, one_send, 1, 0);
	if (rc == RC_OK)
		rc = queue_done(f->q, 1, true, &failed, &f->e);
	if (rc == RC_OK)
		rc = queue_commit(f->q, &f->e);
	assert_int_equal(rc == RC_OK, has(f, 10) && !*tasks_of(f, 1));
	return rc;
}

/* With something in the transaction. */
static enum rc look_for_expired(struct fixture *f)
{
	enum rc rc = queue_put_off(f->q, 6, RECEIVED, "later", &f->e);

	(void)queue_has_expired(f->q, 2000);
	return rc;
}

static enum rc probe(struct fixture *f)
{
	return queue_probe(f->q, &f->e);
}

static enum rc rotate(struct fixture *f)
{
	return queue_rotate(f->q, &f->e);
}

/* Again, where a page turned out damaged: what was committed before is there still. */
static enum rc do_it(struct fixture *f, enum rc (*what)(struct fixture *f))
{
	for (int i = 0; i < 4; i++) {
		uint64_t losses = queue_losses(f->q);
		enum rc rc = what(f);

		if (rc == RC_OK)
			rc = queue_commit(f->q, &f->e);
		if (rc == RC_OK && queue_losses(f->q) == losses)
			return RC_OK;
		if (rc != RC_OK && rc != RC_NOSPACE)
			return rc;
		(void)queue_lost(f->q);
		queue_take_back(f->q);
	}
	fail_msg("it is taken back again and again");
	return RC_AGAIN;
}

/* Which messages aren't whole, as bits. RC_CORRUPT: their rows are damaged. */
static enum rc read_all(struct fixture *f, unsigned *damaged)
{
	*damaged = 0;
	for (int64_t task = 1; task <= MESSAGES; task++) {
		bool small = task == 1 || task == MESSAGES;
		struct queue_job j;
		enum rc rc;

		if (task == 4) /* is through */
			continue;
		rc = queue_job(f->q, task, true, &j, &f->e);
		if (rc != RC_OK)
			return rc;
		assert_int_equal(j.raw.len, !j.whole ? 0 : small ? sizeof(RAW) - 1 : BIG);
		*damaged |= j.whole ? 0 : 1u << task;
		queue_job_free(&j);
	}
	return RC_OK;
}

/* Everything, in an order that depends on `turn`. */
static enum rc use(struct fixture *f, size_t turn, unsigned damaged)
{
	static enum rc (*const all[])(struct fixture * f) = {
		rotate,        park_nine,  look_for_expired, probe,      bounce_one, give_up_two,
		let_three_die, judge_four, forget_five,      forget_six, rotate,     park_nine,
		probe,
	};
	static const size_t independent = 5; /* the first ones of them come in any order */
	unsigned now;
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < independent; i++)
		rc = do_it(f, all[(i + turn) % independent]);
	if (rc == RC_OK && !(damaged & 2)) {
		enum rc read = read_all(f, &now);

		assert_true(read == RC_NOTFOUND); /* 1 has ended */
	}
	for (size_t i = independent; rc == RC_OK && i < COUNT(all); i++)
		rc = do_it(f, all[i]);
	return rc == RC_OK ? do_it(f, expire_three) : rc;
}

static void expect_nine_and_notice(struct fixture *f)
{
	struct queue_job j;

	EXPECT_OK(queue_rotate(f->q, &f->e), &f->e);
	reopen_all(f);
	(void)key_of(f);
	assert_int_equal(messages(f), 2);
	assert_true(has(f, 9) && has(f, 10));
	for (int64_t task = 9; task <= 10; task++) {
		EXPECT_OK(queue_job(f->q, task, true, &j, &f->e), &f->e);
		assert_true(j.whole);
		queue_job_free(&j);
	}
}

enum end { NO_START, ROWS, BYTES, NOTHING };

static enum end try_page(size_t page, size_t turn, size_t *pages)
{
	struct fixture f;
	unsigned damaged = 0;
	enum end how = NO_START;

	if (begin_damaged(&f, page, pages)) {
		enum rc rc = read_all(&f, &damaged);

		if (rc == RC_NOSPACE) /* an index, or rows */
			rc = do_it(&f, rotate) == RC_OK ? read_all(&f, &damaged) : RC_CORRUPT;
		if (rc == RC_OK)
			rc = use(&f, turn, damaged);
		how = rc != RC_OK ? ROWS : damaged ? BYTES : NOTHING;
		if (rc == RC_OK)
			expect_nine_and_notice(&f);
		else
			assert_int_equal(rc, RC_CORRUPT);
	}
	end(&f);
	return how;
}

static void any_page_is_damaged(void **state)
{
	size_t count[NOTHING + 1] = { 0 };
	size_t pages = 2;

	(void)state;
	for (size_t turn = 0; turn < TURNS; turn++)
		assert_int_equal(try_page(0, turn, &pages), NOTHING); /* the control */
	for (size_t page = 1; page < pages; page++) {
		enum end how = try_page(page, 0, &pages);

		for (size_t turn = 1; turn < TURNS; turn++)
			assert_int_equal(try_page(page, turn, &pages), how);
		count[how]++;
	}
	print_message("%zu pages: %zu keep it from opening, %zu have rows, %zu have bytes\n", pages,
	              count[NO_START], count[ROWS], count[BYTES]);
	assert_true(count[BYTES] >= (size_t)4 * (BIG / PAGE));
	assert_true(count[NO_START] + count[ROWS] <=
	            3); /* two tables, and what numbers their rows */
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

/* The page of an index that nothing but this comes upon. */
static size_t page_of_expired(void)
{
	size_t found = 0;
	size_t pages = 2;

	for (size_t page = 1; !found && page < pages; page++) {
		struct fixture f;
		size_t count;

		if (begin_damaged(&f, page, &pages) &&
		    queue_expire(f.q, 2000, &count, &f.e) == RC_NOSPACE && messages(&f) == MESSAGES)
			found = page;
		end(&f);
	}
	assert_int_not_equal(found, 0);
	return found;
}

/* Writing the file anew fails at any call, for good or until then; somebody else comes upon the
 * page, too. */
static void what_failed_half_way_is_not_tried_again(void **state)
{
	size_t page = page_of_expired();
	size_t pages;
	bool hit = true;

	(void)state;
	for (unsigned n = 1; hit; n++) {
		struct fixture f;
		size_t count;

		assert_true(begin_damaged(&f, page, &pages));
		fault_arm(FAULT_SYNC | FAULT_WRITE, n, EIO, true);
		(void)!queue_expire(f.q, 2000, &count, &f.e);
		hit = fault_disarm();
		(void)queue_has_expired(f.q, 2000);
		(void)!queue_put_off(f.q, 6, RECEIVED, "later", &f.e);
		(void)!queue_probe(f.q, &f.e);
		reopen_all(&f);
		assert_int_equal(messages(&f), MESSAGES);
		end(&f);
	}
}

/* A notice is put down; ahead of the end of its task another thread finds no room. */
static void what_belongs_together_is_lost_together(void **state)
{
	const struct queue_answer failed = { .said = RULE_SAID_FAILED };
	struct queue_message notice = message_of(10);
	struct fixture f;

	(void)state;
	begin(&f);
	park_all(&f);
	notice.notice = true;
	notice.of = 1;
	queue_begin_together(f.q);
	EXPECT_OK(park_as(&f, notice, one_send, 1, 0), &f.e);
	fault_arm(FAULT_WRITE, 1, ENOSPC, true);
	assert_int_equal(queue_land(f.q, &f.e), RC_NOSPACE);
	assert_true(fault_disarm());
	assert_int_equal(queue_done(f.q, 1, true, &failed, &f.e), RC_NOSPACE);
	commit(&f);
	assert_string_equal(tasks_of(&f, 1), "1 due");
	queue_begin_together(f.q);
	EXPECT_OK(park_as(&f, notice, one_send, 1, 0), &f.e);
	EXPECT_OK(queue_done(f.q, 1, true, &failed, &f.e), &f.e);
	commit(&f);
	assert_true(has(&f, 10));
	assert_string_equal(tasks_of(&f, 1), "");
	end(&f);
}

static enum rc cannot_be_told(void *arg, const struct disposition *d, struct err *e)
{
	(void)arg;
	(void)d;
	return err_set(e, RC_CORRUPT, "control.db is damaged");
}

static void what_others_say_is_no_damage_here(void **state)
{
	struct fixture f;
	uint64_t key;
	size_t count;

	(void)state;
	begin(&f);
	park_all(&f);
	key = key_of(&f);
	done(&f, 1);
	assert_int_equal(queue_tell(f.q, 1, cannot_be_told, NULL, &count, &f.e), RC_CORRUPT);
	commit(&f);
	assert_string_equal(tasks_of(&f, 1), "");
	assert_int_equal(key_of(&f), key);
	end(&f);
}

/* A copy finds no room: bytes that can't be removed stay, and all others go. */
static void without_room_the_rest_goes_on(void **state)
{
	size_t with_bytes = 0;
	size_t pages = 2;

	(void)state;
	for (size_t page = 1; page < pages; page++) {
		struct fixture f;
		unsigned damaged = 0;

		if (begin_damaged(&f, page, &pages) && read_all(&f, &damaged) == RC_OK && damaged) {
			EXPECT_OK(queue_drop(f.q, 2, &f.e), &f.e);
			done(&f, 3);
			commit(&f);
			fault_arm(FAULT_NAME | FAULT_OPEN, 1, ENOSPC, true);
			EXPECT_OK(queue_put_off(f.q, 1, RECEIVED, "later", &f.e), &f.e);
			(void)fault_disarm();
			commit(&f);
			assert_string_equal(tasks_of(&f, 1), "1 due");
			assert_int_equal(messages(&f), MESSAGES - 2);
			with_bytes++;
		}
		end(&f);
	}
	assert_true(with_bytes > 0);
}

static void bytes_go_once_their_message_has_ended(void **state)
{
	struct fixture f;
	struct queue_job j;

	(void)state;
	begin(&f);
	for (int64_t n = 1; n <= 30; n++) {
		park_big(&f, n);
		commit(&f);
		if (n != 3)
			done(&f, n);
		commit(&f);
	}
	queue_close(&f.q);
	assert_true(pages_of(&f) < (size_t)10 * (BIG / PAGE)); /* of three or four messages */
	reopen(&f);
	/* One whose end is taken back keeps them. */
	EXPECT_OK(queue_job(f.q, 3, true, &j, &f.e), &f.e);
	queue_job_free(&j);
	fault_arm(FAULT_WRITE, 1, ENOSPC, true);
	assert_int_equal(queue_drop(f.q, 3, &f.e) == RC_OK ? queue_commit(f.q, &f.e) : RC_OK,
	                 RC_NOSPACE);
	assert_true(fault_disarm());
	for (int i = 0; i < 2; i++) {
		EXPECT_OK(queue_put_off(f.q, 3, RECEIVED, "later", &f.e), &f.e);
		commit(&f);
	}
	EXPECT_OK(queue_job(f.q, 3, true, &j, &f.e), &f.e);
	assert_true(j.whole);
	queue_job_free(&j);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_page_is_damaged),
		cmocka_unit_test(what_cannot_be_read_now_is_not_left_out),
		cmocka_unit_test(bytes_go_once_their_message_has_ended),
		cmocka_unit_test(what_failed_half_way_is_not_tried_again),
		cmocka_unit_test(what_belongs_together_is_lost_together),
		cmocka_unit_test(what_others_say_is_no_damage_here),
		cmocka_unit_test(without_room_the_rest_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
