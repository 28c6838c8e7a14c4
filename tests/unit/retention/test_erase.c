/* tests/unit/retention/test_erase.c - single messages go, and nothing else of their day */
#include "tests/unit/retention/archive.h"

#include <errno.h>

static struct yard made;

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
	yard_copy(&y, &made);
	EXPECT_OK(erase_now(&y, &report), &y.e);
	assert_int_equal(report.messages, 2);
	assert_int_equal(report.kept, 2 * (A_DAY - 1));
	expect_erased(&y);
	assert_int_equal(yard_audited(&y, "erase_done"), 1);
	assert_int_equal(read_rows(&y, &id), 1);
	assert_int_equal(read_rows(&y, NULL), 2);
	EXPECT_OK(erased_count(y.control, &count, &y.e), &y.e);
	assert_int_equal(count, 2);
	for (unsigned n = 1; n <= 4; n++) {
		struct stmt *rows = NULL;
		struct erased x;
		enum rc rc;

		fault_arm(FAULT_PART, n > 2 ? n - 2 : n, EIO, false);
		if (n > 2) {
			rc = erased_count(y.control, &count, &y.e);
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
	yard_copy(&y, &made);
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
	yard_copy(&y, &made);
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
	yard_copy(&y, &made);
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
	yard_copy(&y, &made);
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
	yard_copy(&y, &made);
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

		yard_copy(&y, &made);
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
		yard_copy(&y, &made);
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

static int start(void **state)
{
	(void)state;
	yard_make(&made);
	return 0;
}

static int end(void **state)
{
	(void)state;
	scratch_remove_path(made.dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_erase),       cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_whole_day),   cmocka_unit_test(test_erase_fails),
		cmocka_unit_test(test_two_copies),  cmocka_unit_test(test_lot_of_another_day),
		cmocka_unit_test(test_many_shards), cmocka_unit_test(test_recovery),
	};

	return cmocka_run_group_tests(tests, start, end);
}
