/* tests/unit/retention/test_erase.c - single messages go, and nothing else of their day */
#include "store/block_list.h"
#include "tests/unit/retention/archive.h"

#include <errno.h>
#include <unistd.h>

#include "tests/unit/fault.h"

/* The second message of 10 days ago and the third of today. */
static void begin(struct erasure *x, struct erase_item *items)
{
	memset(items, 0, 3 * sizeof(*items));
	items[0].id = yard_id(1, 0, 2);
	items[1].id = yard_id(1, 10, 1);
	items[2].id = items[0].id; /* twice is once */
	*x = (struct erasure) { .archive = 1,
		                .archive_name = "corp",
		                .reason = "request 12",
		                .who = "tester",
		                .items = items,
		                .count = 3 };
}

static enum rc erase_now(struct yard *y, struct erase_report *report)
{
	struct erase_item items[3];
	struct erasure x;
	enum rc rc;

	begin(&x, items);
	rc = erase_look(&y->sweep, &x, &y->e);
	return rc == RC_OK ? erase_run(&y->sweep, &x, report, &y->e) : rc;
}

static bool is_gone(uint32_t archive, unsigned age, uint32_t n)
{
	return archive == 1 && ((age == 10 && n == 1) || (age == 0 && n == 2));
}

static void expect_erased(struct yard *y)
{
	for (uint32_t a = 1; a <= ARCHIVES; a++)
		for (unsigned d = 0; d < DAYS; d++)
			for (uint32_t n = 0; n < A_DAY; n++) {
				bool gone = is_gone(a, yard_age[d], n);
				char word[20];

				assert_int_equal(yard_get(y, a, yard_age[d], n),
				                 gone ? RC_NOTFOUND : RC_OK);
				(void)snprintf(word, sizeof(word), "d%un%u", yard_age[d], n);
				assert_int_equal(yard_count(y, a, word), !gone);
			}
	assert_int_equal(yard_count(y, 1, "common"), DAYS * A_DAY - 2);
	assert_int_equal(yard_number(y, "SELECT count(*) FROM erased"), 2);
	assert_int_equal(yard_number(y, "SELECT count(*) FROM erased WHERE done = 0"), 0);
}

/* The rows of one message, or of all: each is read whole. */
static unsigned read_rows(struct yard *y, const struct message_id *id)
{
	struct message_id last = { { 0xff } };
	struct stmt *rows;
	struct erased x;
	unsigned n = 0;
	enum rc rc;

	EXPECT_OK(erased_select(y->control, id, &rows, &y->e), &y->e);
	while ((rc = erased_next(rows, &x, &y->e)) == RC_OK) {
		assert_true(!id || id_compare(&x.id, id) == 0);
		assert_true(id_compare(&x.id, &last) < 0);
		assert_int_equal(x.archive, 1);
		assert_true(x.done && x.when_ms > 0);
		EXPECT_SLICE("who", x.who, "tester");
		EXPECT_SLICE("why", x.reason, "request 12");
		last = x.id;
		n++;
	}
	assert_int_equal(rc, RC_NOTFOUND);
	stmt_free(&rows);
	return n;
}

static void test_erase(void **state)
{
	struct yard y;
	struct erase_report report;
	struct message_id id = yard_id(1, 10, 1);
	uint64_t count;

	(void)state;
	yard_copy(&y);
	EXPECT_OK(erase_now(&y, &report), &y.e);
	assert_int_equal(report.messages, 2);
	assert_int_equal(report.kept, 2 * (A_DAY - 1));
	expect_erased(&y);
	assert_int_equal(yard_audited(&y, "erase_done"), 1);
	assert_int_equal(read_rows(&y, &id), 1);
	assert_int_equal(read_rows(&y, NULL), 2);
	EXPECT_OK(erased_count(y.control, 0, &count, &y.e), &y.e);
	assert_int_equal(count, 2);
	for (unsigned n = 1; n <= 4; n++) {
		struct stmt *rows = NULL;
		struct erased x;
		enum rc rc;

		fault_arm(FAULT_PART, n > 2 ? n - 2 : n, EIO, false);
		if (n > 2) {
			rc = erased_count(y.control, 0, &count, &y.e);
		} else {
			rc = erased_select(y.control, &id, &rows, &y.e);
			if (rc == RC_OK)
				rc = erased_next(rows, &x, &y.e);
		}
		assert_true(fault_disarm());
		assert_int_equal(rc, RC_IO);
		stmt_free(&rows);
	}
	/* Once more: it isn't there; and an erasure of a day that a sweep has destroyed since. */
	assert_int_equal(erase_now(&y, &report), RC_NOTFOUND);
	assert_non_null(strstr(y.e.text, "archive corp has no message"));
	yard_end(&y);
}

static void test_refusals(void **state)
{
	struct yard y;
	struct erase_report report;
	struct erase_item items[3];
	struct erasure x;

	(void)state;
	yard_copy(&y);
	begin(&x, items);
	x.reason = "";
	assert_int_equal(erase_look(&y.sweep, &x, &y.e), RC_INVALID);
	begin(&x, items);
	y.sweep.archive_count = 0;
	assert_int_equal(erase_look(&y.sweep, &x, &y.e), RC_DENIED);
	y.sweep.archive_count = ARCHIVES;
	begin(&x, items);
	x.count = 0;
	EXPECT_OK(erase_look(&y.sweep, &x, &y.e), &y.e);
	EXPECT_OK(erase_run(&y.sweep, &x, &report, &y.e), &y.e);
	assert_int_equal(report.messages, 0);
	assert_int_equal(yard_audited(&y, "erase_intent"), 0);
	yard_end(&y);
}

/* All messages of a day: no copy of it is made. */
static void test_whole_day(void **state)
{
	struct yard y;
	struct erase_report report;
	struct erase_item items[A_DAY] = { 0 };
	struct erasure x;

	(void)state;
	yard_copy(&y);
	begin(&x, items);
	x.count = A_DAY;
	for (uint32_t n = 0; n < A_DAY; n++)
		items[n].id = yard_id(1, 9, n);
	EXPECT_OK(erase_look(&y.sweep, &x, &y.e), &y.e);
	EXPECT_OK(erase_run(&y.sweep, &x, &report, &y.e), &y.e);
	assert_int_equal(report.kept, 0);
	assert_int_equal(yard_count(&y, 1, "day9"), 0);
	assert_int_equal(yard_count(&y, 1, "common"), (DAYS - 1) * A_DAY);
	assert_int_equal(yard_get(&y, 1, 9, 0), RC_NOTFOUND);
	assert_int_equal(yard_get(&y, 1, 10, 0), RC_OK);
	yard_end(&y);
}

/* A message of which a crash left a second copy: both go. */
static void test_two_copies(void **state)
{
	struct yard y;
	struct erase_report report;
	struct key_info lot = { .kind = KEY_LOT, .archive = 1, .generation = 7 };
	struct store_message m = { .id = yard_id(1, 10, 1), .meta = slice_str("{}") };

	(void)state;
	yard_copy(&y);
	lot.day = (int32_t)day_of_ms(clock_now_ms()) - 10;
	EXPECT_OK(keyring_add(y.keys, &lot, &m.lot, &y.e), &y.e);
	m.raw = slice_str("day10 d10n1 common");
	sha256(m.sha256, m.raw);
	EXPECT_OK(store_put(y.store, 1, &m, &y.e), &y.e);
	yard_commit(&y);
	EXPECT_OK(erase_now(&y, &report), &y.e);
	assert_int_equal(report.messages, 2);
	expect_erased(&y);
	yard_reopen(&y);
	expect_erased(&y);
	yard_end(&y);
}

/* One whose lot is of another day than its id says: it can't be told what would go with it. */
static void test_lot_of_another_day(void **state)
{
	struct yard y;
	struct erase_item items[3];
	struct erasure x;
	struct store_message m = { .id = yard_id(1, 10, 50), .meta = slice_str("{}") };

	(void)state;
	yard_copy(&y);
	m.lot = yard_lot(&y, 1, 9);
	m.raw = slice_str("odd");
	sha256(m.sha256, m.raw);
	EXPECT_OK(store_put(y.store, 1, &m, &y.e), &y.e);
	yard_commit(&y);
	begin(&x, items);
	x.count = 1;
	items[0].id = m.id;
	assert_int_equal(erase_look(&y.sweep, &x, &y.e), RC_CORRUPT);
	assert_non_null(strstr(y.e.text, "mmctl verify"));
	assert_int_equal(yard_number(&y, "SELECT count(*) FROM erased"), 0);
	yard_end(&y);
}

/* More shards than are told of at once. */
static void test_many_shards(void **state)
{
	enum { SHARDS = 70 };
	struct yard y;
	struct erase_item items[SHARDS] = { 0 };
	struct erase_report report;
	struct erasure x;

	(void)state;
	yard_copy(&y);
	begin(&x, items);
	x.count = SHARDS;
	for (uint32_t n = 0; n < SHARDS; n++) {
		unsigned sealed;

		yard_add(&y, 1, 0, 10 + n);
		yard_commit(&y);
		EXPECT_OK(index_seal(y.index, true, &sealed, &y.e), &y.e);
		items[n].id = yard_id(1, 0, 10 + n);
	}
	EXPECT_OK(erase_look(&y.sweep, &x, &y.e), &y.e);
	EXPECT_OK(erase_run(&y.sweep, &x, &report, &y.e), &y.e);
	assert_int_equal(report.shards_rewritten, SHARDS);
	assert_int_equal(report.kept, A_DAY);
	assert_int_equal(yard_count(&y, 1, "common"), DAYS * A_DAY);
	yard_end(&y);
}

/* Every call fails once: then a start finishes what has its rows, or nothing was begun and it is
 * asked again. Messages of the day that stay are there at every moment. */
static void erase_fails(unsigned calls, int error)
{
	bool hit = true;
	unsigned n;
	unsigned step;

	scratch_stride(&n, &step);
	for (; hit; n += step) {
		struct yard y;
		struct erase_report report;
		enum rc rc;

		yard_copy(&y);
		fault_arm(calls, n, error, false);
		rc = erase_now(&y, &report);
		hit = fault_disarm();
		assert_true(rc == RC_OK || hit);
		yard_reopen(&y);
		assert_int_equal(yard_get(&y, 1, 10, 0), RC_OK);
		assert_int_equal(yard_get(&y, 1, 0, 0), RC_OK);
		if (yard_number(&y, "SELECT count(*) FROM erased") == 0) {
			assert_int_not_equal(rc, RC_OK);
			assert_int_equal(yard_get(&y, 1, 10, 1), RC_OK);
			EXPECT_OK(erase_now(&y, &report), &y.e);
		}
		EXPECT_OK(erase_recover(&y.sweep, &y.e), &y.e);
		expect_erased(&y);
		assert_true(yard_audited(&y, "erase_done") >= 1);
		yard_end(&y);
	}
	assert_true(n > 5);
}

static void test_erase_fails(void **state)
{
	(void)state;
	erase_fails(FAULT_OPEN | FAULT_SYNC | FAULT_SYNC_DIR | FAULT_NAME | FAULT_CUT, EIO);
	erase_fails(FAULT_PART, EMFILE);
}

/* Without a thread of its own the index's part is done by this one. */
static void test_erase_without_thread(void **state)
{
	struct yard y;
	struct erase_report report;

	(void)state;
	yard_copy(&y);
	fault_arm(FAULT_THREAD, 1, EAGAIN, true);
	EXPECT_OK(erase_now(&y, &report), &y.e);
	assert_true(fault_disarm());
	expect_erased(&y);
	yard_end(&y);
}

/* Copies elsewhere are forgotten with the message. */
static void test_erase_copies(void **state)
{
	(void)state;
	for (unsigned at = 0; at < 4; at++) {
		struct copies c = { .fail_at = at };
		struct yard y;
		struct erase_report report;

		yard_copy(&y);
		y.sweep.forget = copies_forget;
		y.sweep.forgotten = copies_forgotten;
		y.sweep.copies = &c;
		assert_int_equal(erase_now(&y, &report), at ? RC_IO : RC_OK);
		EXPECT_OK(erase_recover(&y.sweep, &y.e), &y.e);
		expect_erased(&y);
		assert_true(c.ends >= 1);
		yard_end(&y);
	}
}

/* Writes to the index take a while, and fail. */
static bool slow_index(unsigned call, int fd, size_t bytes)
{
	char name[64];
	char path[512];
	ssize_t n;

	(void)bytes;
	if (call == FAULT_READ)
		return false;
	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	n = readlink(name, path, sizeof(path) - 1);
	path[MAX_OF(n, (ssize_t)0)] = 0;
	if (!strstr(path, "/index/"))
		return false;
	(void)usleep(300000);
	errno = EIO;
	return true;
}

/* What was copied is there long before, and isn't accounted for: rows and words go first. */
static void test_words_go_first(void **state)
{
	struct yard y;
	struct erase_report report;
	unsigned before;

	(void)state;
	yard_copy(&y);
	before = yard_audited(&y, "block");
	fault_watch = slow_index;
	assert_int_not_equal(erase_now(&y, &report), RC_OK);
	fault_watch = NULL;
	assert_int_equal(yard_audited(&y, "block"), before);
	yard_reopen(&y);
	EXPECT_OK(erase_recover(&y.sweep, &y.e), &y.e);
	assert_true(yard_audited(&y, "block") > before);
	expect_erased(&y);
	yard_end(&y);
}

/* The audit log says that the lot was given one message more than it has. */
static void claim_more(struct yard *y, unsigned age)
{
	struct block_list *list = block_list_new();
	struct store_block b = {
		.archive = 1, .segment = 9 + age, .lot = yard_lot(y, 1, age), .ended = A_DAY + 1
	};

	block_list_add(list, &b);
	EXPECT_OK(block_list_account(&list, y->audit, BLOCKS_NEW, &y->e), &y->e);
	EXPECT_OK(audit_sync(y->audit, &y->e), &y->e);
}

static enum rc count_lot(void *arg, const struct key_info *k)
{
	*(unsigned *)arg += k->kind == KEY_LOT && k->state == KEY_LIVE;
	return RC_OK;
}

static unsigned live_lots(struct yard *y)
{
	unsigned n = 0;

	assert_int_equal(keyring_each(y->keys, count_lot, &n), RC_OK);
	return n;
}

static void expect_all(struct yard *y, unsigned age)
{
	for (uint32_t n = 0; n < A_DAY; n++)
		assert_int_equal(yard_get(y, 1, age, n), RC_OK);
}

/* What can't be read would be lost with its lot's key: nothing is asked for, and of what was, the
 * days that have such a lot stay until it can be read, and the others go. */
static void test_messages_that_cannot_be_read(void **state)
{
	static const char split[] =
	        "UPDATE erased SET who = 'zoe' WHERE id = (SELECT max(id) FROM erased)";
	struct erase_report report;

	(void)state;
	for (unsigned bad = 1; bad < 4; bad++) { /* bits: 10 days ago, today */
		struct erase_item items[3];
		struct erasure x;
		struct yard y;
		char lot[40];
		unsigned lots;

		yard_copy(&y);
		begin(&x, items);
		EXPECT_OK(erase_look(&y.sweep, &x, &y.e), &y.e);
		if (bad & 1)
			claim_more(&y, 10);
		if (bad & 2)
			claim_more(&y, 0);
		lots = live_lots(&y);
		(void)snprintf(lot, sizeof(lot), "lot %llu of archive corp",
		               (unsigned long long)yard_lot(&y, 1, bad & 1 ? 10 : 0));
		assert_int_equal(erase_run(&y.sweep, &x, &report, &y.e), RC_CORRUPT);
		assert_non_null(strstr(y.e.text, lot));
		assert_int_equal(report.messages, bad == 3 ? 0 : 1);
		assert_int_equal(yard_audited(&y, "erase_done"), bad != 3);
		assert_int_equal(live_lots(&y), lots);
		assert_int_equal(yard_number(&y, "SELECT sum(done) FROM erased"), bad == 3 ? 0 : 1);
		for (unsigned again = 0; again < 2; again++) {
			if (bad & 1)
				expect_all(&y, 10);
			else
				assert_int_equal(yard_get(&y, 1, 10, 1), RC_NOTFOUND);
			if (bad & 2)
				expect_all(&y, 0);
			else
				assert_int_equal(yard_get(&y, 1, 0, 2), RC_NOTFOUND);
			/* A start tries again, also as two erasures; and the caller need not know
			 * why. */
			EXPECT_OK(db_exec(y.control, split, &y.e), &y.e);
			assert_int_equal(erase_recover(&y.sweep, again ? NULL : &y.e), RC_CORRUPT);
			if (!again)
				assert_non_null(strstr(y.e.text, lot));
		}
		begin(&x, items);
		assert_int_equal(erase_look(&y.sweep, &x, &y.e),
		                 bad == 3 ? RC_CORRUPT : RC_NOTFOUND);
		yard_end(&y);
	}
}

/* A day that can't be read while another call fails: nothing of it goes. */
static void test_unreadable_day_fails(void **state)
{
	bool hit = true;
	bool stayed = false;
	unsigned n;

	(void)state;
	for (n = 1; hit; n++) {
		struct erase_report report;
		struct erase_item items[3];
		struct erasure x;
		struct yard y;
		unsigned lots;
		enum rc rc;

		yard_copy(&y);
		begin(&x, items);
		x.count = 1;
		items[0].id = yard_id(1, 10, 1);
		EXPECT_OK(erase_look(&y.sweep, &x, &y.e), &y.e);
		claim_more(&y, 10);
		lots = live_lots(&y);
		fault_arm(FAULT_PART, n, EIO, false);
		rc = erase_run(&y.sweep, &x, &report, &y.e);
		hit = fault_disarm();
		assert_true(rc == RC_CORRUPT || (hit && rc == RC_IO));
		expect_all(&y, 10);
		assert_true(live_lots(&y) == lots || hit);
		/* The key that was made for the copy could not be destroyed. */
		stayed = stayed || (rc == RC_CORRUPT && live_lots(&y) == lots + 1);
		assert_int_equal(yard_number(&y, "SELECT count(*) FROM erased WHERE done = 1"), 0);
		yard_end(&y);
	}
	assert_true(n > 5);
	assert_true(stayed);
}

static void test_erased_has(void **state)
{
	struct yard y;
	struct erase_report report;
	struct message_id gone = yard_id(1, 10, 1);
	struct message_id stays = yard_id(1, 10, 0);
	bool has;

	(void)state;
	yard_copy(&y);
	EXPECT_OK(erase_now(&y, &report), &y.e);
	EXPECT_OK(erased_has(y.control, 1, &gone, &has, &y.e), &y.e);
	assert_true(has);
	EXPECT_OK(erased_has(y.control, 2, &gone, &has, &y.e), &y.e);
	assert_false(has);
	EXPECT_OK(erased_has(y.control, 1, &stays, &has, &y.e), &y.e);
	assert_false(has);
	for (unsigned n = 1; n <= 2; n++) {
		fault_arm(FAULT_PART, n, EIO, false);
		assert_int_equal(erased_has(y.control, 1, &gone, &has, &y.e), RC_IO);
		assert_true(fault_disarm());
		assert_false(has);
	}
	yard_end(&y);
}

/* What was asked for by two persons, or with two reasons, is gone on with as two erasures. */
static void test_recovery_of_several(void **state)
{
	static const char *const apart[] = { "who = 'other'", "reason = 'another'" };
	struct yard y;
	struct erase_report report;

	(void)state;
	yard_copy(&y);
	EXPECT_OK(erase_now(&y, &report), &y.e);
	assert_int_equal(yard_audited(&y, "erase_intent"), 1);
	for (unsigned i = 0; i < COUNT(apart); i++) {
		char sql[200];

		(void)snprintf(sql, sizeof(sql),
		               "UPDATE erased SET done = 0, who = 'tester', reason = 'one';"
		               "UPDATE erased SET %s WHERE id = (SELECT max(id) FROM erased)",
		               apart[i]);
		EXPECT_OK(db_exec(y.control, sql, &y.e), &y.e);
		EXPECT_OK(erase_recover(&y.sweep, &y.e), &y.e);
		assert_int_equal(yard_audited(&y, "erase_done"), 1 + 2 * (i + 1));
		expect_erased(&y);
	}
	yard_end(&y);
}

/* Two archives have an erasure under way, and one of a day that a sweep has destroyed since. */
static void test_recovery(void **state)
{
	struct yard y;
	struct erase_report erased;
	struct sweep_report swept;
	bool hit = true;
	unsigned n;
	enum rc rc;

	(void)state;
	for (n = 1; hit; n++) {
		yard_copy(&y);
		EXPECT_OK(erase_now(&y, &erased), &y.e);
		EXPECT_OK(
		        db_exec(y.control,
		                "UPDATE erased SET done = 0;"
		                "INSERT INTO erased SELECT 2, id, sha256, when_ms, who, reason, 0 "
		                "FROM erased",
		                &y.e),
		        &y.e);
		{
			struct sweep_plan plan;

			EXPECT_OK(sweep_plan_make(&y.sweep, &plan, &y.e), &y.e);
			EXPECT_OK(sweep_run(&y.sweep, &plan, "tester", true, &swept, &y.e), &y.e);
			sweep_plan_free(&plan);
		}
		fault_arm(FAULT_PART, n, EIO, false);
		if (n == 2)
			y.sweep.archive_count = 0; /* an archive that isn't known any more */
		rc = erase_recover(&y.sweep, &y.e);
		hit = fault_disarm();
		assert_true(rc == RC_OK || hit);
		y.sweep.archive_count = ARCHIVES;
		EXPECT_OK(erase_recover(&y.sweep, &y.e), &y.e);
		assert_int_equal(yard_number(&y, "SELECT count(*) FROM erased WHERE done = 0"), 0);
		assert_int_equal(yard_count(&y, 1, "common"), A_DAY - 1);
		assert_int_equal(yard_count(&y, 2, "common"), DAYS * A_DAY); /* other ids */
		yard_end(&y);
		n += n > 12 ? 9 : 0; /* the rest is as above */
	}
	assert_true(n > 5);
}

/* Killed behind the intent; before the next start the permission is gone. Nothing is destroyed,
 * nobody else waits for it, and when it may go it goes. */
static void test_withdrawn(void **state)
{
	struct yard y;
	struct erase_report report;

	(void)state;
	yard_copy(&y);
	fault_arm(FAULT_AUDIT, 2, EIO, false); /* the intent's sync */
	assert_int_equal(erase_now(&y, &report), RC_IO);
	assert_true(fault_disarm());
	yard_reopen(&y);
	y.sweep.archive_count = 0;
	assert_int_equal(erase_recover(&y.sweep, &y.e), RC_DENIED);
	assert_int_equal(yard_number(&y, "SELECT count(*) FROM erased WHERE done = 0"), 2);
	assert_int_equal(yard_count(&y, 1, "common"), DAYS * A_DAY);
	for (uint32_t n = 0; n < A_DAY; n++)
		assert_int_equal(yard_get(&y, 1, 10, n), RC_OK);
	assert_int_equal(yard_audited(&y, "erase_done"), 0);
	y.sweep.archive_count = ARCHIVES;
	EXPECT_OK(erase_recover(&y.sweep, &y.e), &y.e);
	expect_erased(&y);
	yard_end(&y);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_erase),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_whole_day),
		cmocka_unit_test(test_erase_fails),
		cmocka_unit_test(test_erase_copies),
		cmocka_unit_test(test_erase_without_thread),
		cmocka_unit_test(test_words_go_first),
		cmocka_unit_test(test_two_copies),
		cmocka_unit_test(test_lot_of_another_day),
		cmocka_unit_test(test_many_shards),
		cmocka_unit_test(test_recovery),
		cmocka_unit_test(test_withdrawn),
		cmocka_unit_test(test_messages_that_cannot_be_read),
		cmocka_unit_test(test_unreadable_day_fails),
		cmocka_unit_test(test_erased_has),
		cmocka_unit_test(test_recovery_of_several),
	};

	return cmocka_run_group_tests(tests, yard_start, yard_stop);
}
