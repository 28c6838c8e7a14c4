/* tests/unit/retention/test_sweep.c - what is due goes, all else stays, whatever fails on the way
 */
#include "tests/unit/retention/archive.h"

#include <errno.h>

#define DUE (2 * A_DAY) /* messages of archive 1 */

static enum rc sweep_now(struct yard *y, bool attended, struct sweep_report *report)
{
	struct sweep_plan plan = { 0 };
	enum rc rc = sweep_plan_make(&y->sweep, &plan, &y->e);

	if (rc == RC_OK)
		rc = sweep_run(&y->sweep, &plan, "tester", attended, report, &y->e);
	sweep_plan_free(&plan);
	return rc;
}

/* The two days of archive 1 are gone for good; the rest is there. */
static void expect_swept(struct yard *y)
{
	for (unsigned d = 0; d < DAYS; d++)
		for (uint32_t n = 0; n < A_DAY; n++) {
			assert_int_equal(yard_get(y, 1, yard_age[d], n),
			                 yard_age[d] ? RC_NOTFOUND : RC_OK);
			assert_int_equal(yard_get(y, 2, yard_age[d], n), RC_OK);
		}
	assert_int_equal(yard_count(y, 1, "common"), A_DAY);
	assert_int_equal(yard_count(y, 1, "day10"), 0);
	assert_int_equal(yard_count(y, 1, "d9n1"), 0);
	assert_int_equal(yard_count(y, 2, "common"), DAYS * A_DAY);
	assert_int_equal(yard_number(y, "SELECT count(*) FROM sweep_lot"), 0);
}

static void test_what_is_due(void **state)
{
	struct yard y;
	struct sweep_plan plan;
	struct sweep_report report;
	struct key_info lot = { .kind = KEY_LOT, .archive = 1, .generation = 2 };
	uint64_t id;

	(void)state;
	yard_copy(&y);
	/* A second generation of a day is due with the first. */
	lot.day = (int32_t)day_of_ms(clock_now_ms()) - 10;
	EXPECT_OK(keyring_add(y.keys, &lot, &id, &y.e), &y.e);
	/* A tombstone of a day that isn't is none of it. */
	EXPECT_OK(keyring_lot(y.keys, 1, lot.day - 40, 0, &id, &y.e), &y.e);
	EXPECT_OK(keyring_destroy(y.keys, &id, 1, &y.e), &y.e);
	EXPECT_OK(sweep_plan_make(&y.sweep, &plan, &y.e), &y.e);
	assert_int_equal(plan.count, 3);
	assert_int_equal(plan.days, 2);
	assert_int_equal(plan.lots[0].day, lot.day);
	assert_int_equal(plan.lots[1].generation, 2);
	assert_int_equal(plan.lots[2].day, lot.day + 1);
	assert_string_equal(plan.lots[2].archive_name, "corp");
	EXPECT_OK(sweep_run(&y.sweep, &plan, "tester", true, &report, &y.e), &y.e);
	assert_int_equal(report.lots, 3);
	assert_int_equal(report.messages, DUE);
	assert_int_equal(report.shards_rewritten, 1);
	expect_swept(&y);
	assert_int_equal(yard_audited(&y, "purge_intent"), 1);
	assert_int_equal(yard_audited(&y, "purge_done"), 1);
	sweep_plan_free(&plan);
	yard_end(&y);
}

/* Plans of several archives are in order, whatever the order of their keys; days count per archive.
 */
static void test_order_of_a_plan(void **state)
{
	static const struct {
		uint32_t archive;
		int32_t age;
	} lots[] = { { 2, 30 }, { 1, 20 }, { 2, 40 }, { 1, 9 }, { 1, 30 }, { 3, 30 } };
	struct yard y;
	struct sweep_plan plan;
	struct sweep_report report;

	(void)state;
	yard_copy(&y);
	y.archives[1].period = (struct retention) { .days = 15 };
	for (size_t i = 0; i < COUNT(lots); i++) {
		struct key_info want = { .kind = KEY_ARCHIVE, .archive = lots[i].archive };
		uint64_t id;

		if (want.archive == 3) /* an archive that nobody knows */
			EXPECT_OK(keyring_add(y.keys, &want, &id, &y.e), &y.e);
		EXPECT_OK(keyring_lot(y.keys, lots[i].archive,
		                      (int32_t)day_of_ms(clock_now_ms()) - lots[i].age, 0, &id,
		                      &y.e),
		          &y.e);
	}
	EXPECT_OK(sweep_plan_make(&y.sweep, &plan, &y.e), &y.e);
	assert_int_equal(plan.count, 4 + 2);
	assert_int_equal(plan.days, 4);
	for (size_t i = 1; i < plan.count; i++)
		assert_true(plan.lots[i - 1].archive < plan.lots[i].archive ||
		            (plan.lots[i - 1].archive == plan.lots[i].archive &&
		             plan.lots[i - 1].day < plan.lots[i].day));
	EXPECT_OK(sweep_run(&y.sweep, &plan, "tester", true, &report, &y.e), &y.e);
	assert_int_equal(report.lots, 6);
	sweep_plan_free(&plan);
	y.archives[1].period = (struct retention) { .permanent = true };
	expect_swept(&y);
	yard_end(&y);
}

/* More lots than a plan has room for at first. */
/* An archive that was deleted: all of it is due at once, and counts as one day. */
static void test_deleted_archive(void **state)
{
	int64_t now_ms = clock_now_ms();
	struct yard y;
	struct sweep_plan plan;
	struct sweep_report report;

	(void)state;
	yard_copy(&y);
	y.archives[0].period = (struct retention) { .permanent = true };
	y.archives[0].end_ms = now_ms + 60000;
	EXPECT_OK(sweep_plan_make(&y.sweep, &plan, &y.e), &y.e);
	assert_int_equal(plan.count, 0);
	sweep_plan_free(&plan);
	y.archives[0].end_ms = now_ms;
	y.archives[0].period = (struct retention) { .days = 7 }; /* two days are due by it */
	EXPECT_OK(sweep_plan_make(&y.sweep, &plan, &y.e), &y.e);
	assert_int_equal(plan.days, 3);
	sweep_plan_free(&plan);
	y.archives[0].period = (struct retention) { .permanent = true };
	EXPECT_OK(sweep_plan_make(&y.sweep, &plan, &y.e), &y.e);
	assert_int_equal(plan.count, DAYS);
	assert_int_equal(plan.days, 1);
	EXPECT_OK(sweep_run(&y.sweep, &plan, "mmd", false, &report, &y.e), &y.e);
	assert_int_equal(report.messages, DAYS * A_DAY);
	/* Control: it is undeleted, and nothing more may be destroyed. */
	y.archives[0].end_ms = 0;
	assert_int_equal(may_destroy(&y.sweep, &plan.lots[0], DESTROY_EXPIRED, now_ms, &y.e),
	                 RC_DENIED);
	sweep_plan_free(&plan);
	yard_end(&y);
}

static void test_many_days(void **state)
{
	struct yard y;
	struct sweep_report report;
	uint64_t id;

	(void)state;
	yard_copy(&y);
	for (int32_t i = 0; i < 100; i++)
		EXPECT_OK(keyring_lot(y.keys, 1, (int32_t)day_of_ms(clock_now_ms()) - 20 - i, 0,
		                      &id, &y.e),
		          &y.e);
	EXPECT_OK(sweep_now(&y, true, &report), &y.e);
	assert_int_equal(report.lots, 102);
	assert_int_equal(report.messages, DUE);
	expect_swept(&y);
	EXPECT_OK(sweep_now(&y, true, &report), &y.e);
	assert_int_equal(report.lots, 0);
	yard_end(&y);
}

/* What a plan names and no rule lets go: nothing of it goes. */
static void test_not_to_be_destroyed(void **state)
{
	struct yard y;
	struct sweep_report report;

	(void)state;
	yard_copy(&y);
	for (int what = 0; what < 2; what++) {
		struct sweep_plan plan;

		EXPECT_OK(sweep_plan_make(&y.sweep, &plan, &y.e), &y.e);
		if (what == 0)
			plan.lots[1].archive = 5;
		else
			plan.lots[1].day += 8;
		assert_int_equal(sweep_run(&y.sweep, &plan, "tester", true, &report, &y.e),
		                 RC_DENIED);
		assert_non_null(strstr(y.e.text, what == 0 ? "archive number 5 is not known"
		                                           : "is not past its retention"));
		assert_int_equal(report.lots, 0);
		assert_int_equal(yard_number(&y, "SELECT count(*) FROM sweep_lot"), 0);
		sweep_plan_free(&plan);
	}
	assert_int_equal(yard_audited(&y, "purge_intent"), 0);
	assert_int_equal(yard_get(&y, 1, 10, 0), RC_OK);
	/* A person may erase what isn't due. */
	{
		struct due_lot lot = { .archive = 1, .day = (int32_t)day_of_ms(clock_now_ms()) };

		assert_int_equal(may_destroy(&y.sweep, &lot, DESTROY_EXPIRED, clock_now_ms(), &y.e),
		                 RC_DENIED);
		assert_int_equal(may_destroy(&y.sweep, &lot, DESTROY_ERASED, clock_now_ms(), &y.e),
		                 RC_OK);
	}
	yard_end(&y);
}

/* Two days fall due, one has passed: nobody's sweep is refused, and that is entered. */
static void test_unattended(void **state)
{
	struct yard y;
	struct sweep_plan none = { 0 };
	struct sweep_report report;
	int64_t before;

	(void)state;
	yard_copy(&y);
	assert_int_equal(sweep_now(&y, false, &report), RC_DENIED);
	assert_int_equal(yard_audited(&y, "purge_refused"), 1);
	assert_int_equal(yard_get(&y, 1, 10, 0), RC_OK);
	for (unsigned n = 0; n < 2; n++) { /* refused too when the log can't be told */
		fault_arm(FAULT_AUDIT, n + 1, EIO, false);
		assert_int_equal(sweep_now(&y, false, &report), RC_DENIED);
		assert_true(fault_disarm());
	}
	fault_arm(FAULT_PART, 2, EIO,
	          false); /* and when the guard can't say: the ring is read first */
	assert_int_equal(sweep_now(&y, false, &report), RC_IO);
	assert_true(fault_disarm());
	assert_int_equal(yard_get(&y, 1, 10, 0), RC_OK);
	/* With nothing due it is noted when that was, unless the clock isn't trusted. */
	EXPECT_OK(db_exec(y.control, "UPDATE sweep_state SET value = value - 5000", &y.e), &y.e);
	before = yard_number(&y, "SELECT value FROM sweep_state WHERE name = 'swept_ms'");
	EXPECT_OK(
	        db_exec(y.control, "INSERT OR REPLACE INTO sweep_state VALUES('suspect', 1)", &y.e),
	        &y.e);
	EXPECT_OK(sweep_run(&y.sweep, &none, "mmd", false, &report, &y.e), &y.e);
	assert_int_equal(yard_number(&y, "SELECT value FROM sweep_state WHERE name = 'swept_ms'"),
	                 before);
	fault_arm(FAULT_PART, 1, EIO, false);
	assert_int_equal(sweep_run(&y.sweep, &none, "mmd", false, &report, &y.e), RC_IO);
	assert_true(fault_disarm());
	EXPECT_OK(sweep_run(&y.sweep, &none, "mmd", true, &report, &y.e), &y.e);
	assert_true(yard_number(&y, "SELECT value FROM sweep_state WHERE name = 'swept_ms'") >
	            before);
	EXPECT_OK(db_exec(y.control, "DELETE FROM sweep_state WHERE name = 'suspect'", &y.e), &y.e);
	EXPECT_OK(sweep_run(&y.sweep, &none, "mmd", false, &report, &y.e), &y.e);
	/* One day due: it runs by itself. */
	EXPECT_OK(db_exec(y.control, "UPDATE sweep_state SET value = value - 86400000", &y.e),
	          &y.e);
	EXPECT_OK(sweep_now(&y, false, &report), &y.e);
	assert_int_equal(report.messages, DUE);
	expect_swept(&y);
	yard_end(&y);
}

enum { SHARDS = 70 };

static void add_shards(struct yard *y)
{
	for (uint32_t n = 0; n < SHARDS; n++) {
		unsigned sealed;

		yard_add(y, 1, 10, 10 + n);
		yard_commit(y);
		EXPECT_OK(index_seal(y->index, true, &sealed, &y->e), &y->e);
	}
}

/* More shards than are told of at once. */
static void test_many_shards(void **state)
{
	struct yard y;
	struct sweep_report report;

	(void)state;
	yard_copy(&y);
	add_shards(&y);
	EXPECT_OK(sweep_now(&y, true, &report), &y.e);
	assert_int_equal(report.messages, DUE + SHARDS);
	assert_int_equal(report.shards_rewritten, SHARDS + 1);
	expect_swept(&y);
	yard_end(&y);
}

/* Their keys are not destroyed, though the ring says so: the run ends with an error all the same,
 * and a start finishes it. */
static void test_keys_that_stay(void **state)
{
	struct yard y;
	struct sweep_report report;

	(void)state;
	yard_copy(&y);
	add_shards(&y);
	fault_arm(FAULT_SPARED, 1, 0, true);
	assert_int_equal(sweep_now(&y, true, &report), RC_LIMIT);
	assert_true(fault_disarm());
	assert_non_null(strstr(y.e.text, "take messages out of the index of archive 1"));
	assert_int_equal(report.messages, DUE + SHARDS);
	assert_int_equal(yard_audited(&y, "purge_done"), 0);
	yard_reopen(&y);
	EXPECT_OK(sweep_recover(&y.sweep, &report, &y.e), &y.e);
	expect_swept(&y);
	yard_end(&y);
}

/* Of the archives whose index can't be read, the first is told, and their lots stay; those of the
 * others go. The days of a run that left some don't count as swept. */
static void test_damaged_index(void **state)
{
	static const char swept[] = "SELECT value FROM sweep_state WHERE name = 'swept_ms'";
	struct sweep_report report;

	(void)state;
	for (uint32_t damaged = 0; damaged < 4; damaged++) { /* bit a: archive a + 1 */
		struct yard y;

		yard_copy(&y);
		EXPECT_OK(db_exec(y.control, "UPDATE sweep_state SET value = 5", &y.e), &y.e);
		for (uint32_t a = 0; a < ARCHIVES; a++)
			if (damaged & 1U << a)
				yard_spoil(&y, a + 1);
		y.archives[1].period = (struct retention) { .days = 5 };
		assert_int_equal(sweep_now(&y, true, &report), damaged ? RC_CORRUPT : RC_OK);
		if (damaged)
			assert_non_null(strstr(y.e.text, damaged & 1 ? "index/1/" : "index/2/"));
		assert_int_equal(report.lots, damaged == 3 ? 0 : damaged ? 2 : 4);
		assert_int_equal(report.messages, report.lots * A_DAY);
		for (uint32_t a = 0; a < ARCHIVES; a++)
			for (unsigned d = 0; d < DAYS; d++)
				assert_int_equal(yard_get(&y, a + 1, yard_age[d], 0),
				                 yard_age[d] && !(damaged & 1U << a) ? RC_NOTFOUND
				                                                     : RC_OK);
		assert_int_equal(yard_audited(&y, "purge_done"), 1);
		assert_int_equal(yard_number(&y, swept) == 5, damaged != 0);
		assert_int_equal(yard_number(&y, "SELECT count(*) FROM sweep_lot"), 0);
		yard_end(&y);
	}
}

/* A run that was killed behind its intent is gone on with; but what may not go any more, since its
 * archive isn't known or keeps longer, stays, and is due again when it may. */
static void test_recovery(void **state)
{
	struct yard y;
	struct sweep_report report;

	(void)state;
	yard_copy(&y);
	EXPECT_OK(sweep_recover(&y.sweep, &report, &y.e), &y.e);
	assert_int_equal(yard_audited(&y, "purge_intent"), 0);
	fault_arm(FAULT_AUDIT, 4, EIO, false); /* the intent's sync */
	assert_int_equal(sweep_now(&y, true, &report), RC_IO);
	assert_true(fault_disarm());
	assert_int_equal(yard_number(&y, "SELECT count(*) FROM sweep_lot"), 2);
	assert_int_equal(yard_get(&y, 1, 10, 0), RC_OK);
	yard_reopen(&y);
	y.archives[0].period.days = 9;
	assert_int_equal(sweep_recover(&y.sweep, &report, &y.e), RC_DENIED);
	assert_int_equal(report.lots, 1); /* that of ten days ago */
	assert_int_equal(yard_get(&y, 1, 10, 0), RC_NOTFOUND);
	assert_int_equal(yard_get(&y, 1, 9, 0), RC_OK);
	assert_int_equal(yard_count(&y, 1, "day9"), A_DAY);
	assert_int_equal(yard_audited(&y, "purge_refused"), 1);
	assert_int_equal(yard_number(&y, "SELECT count(*) FROM sweep_lot"), 0);
	y.archives[0].period.days = 5;
	EXPECT_OK(sweep_now(&y, true, &report), &y.e);
	expect_swept(&y);
	assert_int_equal(yard_audited(&y, "purge_done"), 2);
	yard_end(&y);
}

/* Every call fails once: an error or a whole sweep; then a start and the next sweep finish it.
 * Until the rows are there nothing is destroyed, and what is in the log is never a record without
 * an intent. */
static void sweep_fails(unsigned calls, int error, enum rc code)
{
	bool hit = true;
	unsigned n;
	unsigned step;

	scratch_stride(&n, &step);
	for (; hit; n += step) {
		struct yard y;
		struct sweep_report report;
		enum rc rc;

		yard_copy(&y);
		fault_arm(calls, n, error, false);
		rc = sweep_now(&y, true, &report);
		hit = fault_disarm();
		assert_true(rc == RC_OK || (hit && (rc == code || rc == RC_IO)));
		yard_reopen(&y);
		if (rc != RC_OK && yard_number(&y, "SELECT count(*) FROM sweep_lot") == 0 &&
		    yard_audited(&y, "purge_done") == 0)
			for (uint32_t i = 0; i < A_DAY; i++)
				assert_int_equal(yard_get(&y, 1, 10, i), RC_OK);
		EXPECT_OK(sweep_recover(&y.sweep, &report, &y.e), &y.e);
		EXPECT_OK(sweep_now(&y, true, &report), &y.e);
		expect_swept(&y);
		assert_true(yard_audited(&y, "purge_done") >= 1);
		assert_true(yard_audited(&y, "purge_intent") >= yard_audited(&y, "purge_done"));
		yard_end(&y);
	}
	assert_true(n > 5);
}

static void test_sweep_fails(void **state)
{
	(void)state;
	sweep_fails(FAULT_OPEN | FAULT_SYNC | FAULT_SYNC_DIR | FAULT_NAME | FAULT_CUT, EIO, RC_IO);
	sweep_fails(FAULT_PART, EMFILE, RC_LIMIT);
}

/* Copies elsewhere are forgotten with the mail; what can't be now is by the next start. */
static void test_copies(void **state)
{
	(void)state;
	for (unsigned at = 0; at < 4; at++) {
		struct copies c = { .fail_at = at };
		struct yard y;
		struct sweep_report report;

		yard_copy(&y);
		y.sweep.forget = copies_forget;
		y.sweep.forgotten = copies_forgotten;
		y.sweep.copies = &c;
		assert_int_equal(sweep_now(&y, true, &report), at ? RC_IO : RC_OK);
		assert_int_equal(c.calls, at ? at : 3); /* two days, and the end */
		EXPECT_OK(sweep_recover(&y.sweep, &report, &y.e), &y.e);
		expect_swept(&y);
		assert_true(c.ends >= 1);
		yard_end(&y);
	}
}

/* A sweep that was broken off goes on with what may still go: a period was changed, an archive is
 * no more. */
static void test_recovery_of_what_may_not_go(void **state)
{
	struct yard y;
	struct sweep_report report;
	uint64_t id;
	enum rc rc;

	(void)state;
	yard_copy(&y);
	y.archives[1].period = (struct retention) { .days = 15 };
	EXPECT_OK(keyring_lot(y.keys, 2, (int32_t)day_of_ms(clock_now_ms()) - 30, 0, &id, &y.e),
	          &y.e);
	fault_arm(FAULT_AUDIT, 4, EIO, false);
	assert_int_equal(sweep_now(&y, true, &report), RC_IO);
	assert_true(yard_number(&y, "SELECT count(*) FROM sweep_lot") == 3);
	y.archives[0].period = (struct retention) { .permanent = true };
	y.archives[1].number = 99;
	rc = sweep_recover(&y.sweep, &report, &y.e);
	assert_true(is_forbidden(rc));
	assert_int_equal(report.lots, 0);
	assert_int_equal(yard_get(&y, 1, 10, 0), RC_OK);
	assert_true(is_forbidden(RC_HELD));
	assert_false(is_forbidden(RC_IO));
	yard_end(&y);
}

/* The same for going on with one. */
static void test_recovery_fails(void **state)
{
	bool hit = true;
	unsigned n;

	(void)state;
	for (n = 1; hit; n++) {
		struct yard y;
		struct sweep_report report;
		enum rc rc;

		yard_copy(&y);
		fault_arm(FAULT_AUDIT, 4, EIO, false);
		assert_int_equal(sweep_now(&y, true, &report), RC_IO);
		fault_arm(FAULT_PART, n, EIO, false);
		rc = sweep_recover(&y.sweep, &report, &y.e);
		hit = fault_disarm();
		assert_true(rc == RC_OK || (hit && rc == RC_IO));
		yard_reopen(&y);
		EXPECT_OK(sweep_recover(&y.sweep, &report, &y.e), &y.e);
		expect_swept(&y);
		yard_end(&y);
		n += n > 8 ? 4 : 0; /* the rest is a sweep's */
	}
	assert_true(n > 5);
}

/* Its tables can't be made. */
static void test_prepare_fails(void **state)
{
	struct yard y;

	(void)state;
	yard_copy(&y);
	for (unsigned n = 1; n <= 2; n++) {
		fault_arm(FAULT_PART, n, EIO, false);
		assert_int_equal(sweep_prepare(y.control, &y.e), RC_IO);
		assert_true(fault_disarm());
	}
	EXPECT_OK(sweep_prepare(y.control, &y.e), &y.e);
	yard_end(&y);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_due),
		cmocka_unit_test(test_order_of_a_plan),
		cmocka_unit_test(test_many_days),
		cmocka_unit_test(test_deleted_archive),
		cmocka_unit_test(test_not_to_be_destroyed),
		cmocka_unit_test(test_unattended),
		cmocka_unit_test(test_many_shards),
		cmocka_unit_test(test_recovery),
		cmocka_unit_test(test_sweep_fails),
		cmocka_unit_test(test_recovery_fails),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_recovery_of_what_may_not_go),
		cmocka_unit_test(test_prepare_fails),
		cmocka_unit_test(test_keys_that_stay),
		cmocka_unit_test(test_damaged_index),
	};

	return cmocka_run_group_tests(tests, yard_start, yard_stop);
}
