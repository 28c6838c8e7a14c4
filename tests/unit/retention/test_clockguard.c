/* tests/unit/retention/test_clockguard.c - jumps of the clock, in both directions and over a
 * restart */
#include "retention/clockguard.h"

#include <errno.h>
#include <fcntl.h>

#include "base/clock.h"
#include "store/crypt.h"
#include "tests/unit/fault.h"
#include "tests/unit/store/scratch.h"

#ifdef MM_TEST
#define HOUR_MS INT64_C(3600000)
#define DAY_MS  (24 * HOUR_MS)

static struct scratch scratch;
static char clock_path[100];
static struct db *control;

static void set_clock(int64_t ahead_ms)
{
	char text[24];
	int fd = open(clock_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	int n = snprintf(text, sizeof(text), "%-20lld", (long long)ahead_ms);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, (size_t)n), n);
	(void)close(fd);
}

static enum rc check(unsigned days)
{
	struct err e;

	return clockguard_check(control, days, &e);
}

/* A start whose newest audit entry is of `entry_ms` from now on the true clock. */
static void start_again(int64_t ahead_ms, int64_t entry_ms)
{
	struct err e;

	EXPECT_OK(db_exec(control, "DELETE FROM sweep_state", &e), &e);
	set_clock(0);
	EXPECT_OK(clockguard_start(control, 0, &e), &e); /* the first: swept_ms is now */
	set_clock(ahead_ms);
	EXPECT_OK(clockguard_start(control, clock_now_ms() - ahead_ms + entry_ms, &e), &e);
}

static void test_a_jump_while_running(void **state)
{
	static const int64_t jumps[] = { 365 * DAY_MS, 2 * HOUR_MS, -2 * HOUR_MS, -365 * DAY_MS };
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT(jumps); i++) {
		start_again(0, 0);
		assert_int_equal(check(1), RC_OK);
		set_clock(jumps[i]);
		assert_int_equal(clockguard_check(control, 1, &e), RC_DENIED);
		assert_non_null(strstr(e.text, "the clock jumped"));
		set_clock(0); /* back again: it is no better for that */
		assert_int_equal(check(1), RC_DENIED);
	}
}

static void test_a_jump_over_a_restart(void **state)
{
	(void)state;
	start_again(0, 0);
	assert_int_equal(check(1), RC_OK);
	start_again(30 * HOUR_MS, 0); /* a weekend's pause is no jump */
	assert_int_equal(check(2), RC_OK);
	start_again(37 * HOUR_MS, 0);
	assert_int_equal(check(1), RC_DENIED);
	start_again(-2 * DAY_MS, 0);
	assert_int_equal(check(1), RC_DENIED);
}

/* A clock that runs too fast, or is set forward again and again, gets no further by small steps. */
static void test_many_small_jumps(void **state)
{
	struct err e;

	(void)state;
	start_again(0, 0);
	for (int64_t n = 1; n <= 24; n++) {
		set_clock(n * HOUR_MS / 2);
		EXPECT_OK(clockguard_tick(control, &e), &e);
	}
	assert_int_equal(check(1), RC_DENIED);
}

/* The log doesn't help when it is empty; that a sweep lies in the future does. */
static void test_behind_the_last_sweep(void **state)
{
	struct err e;

	(void)state;
	start_again(0, 0);
	set_clock(-2 * HOUR_MS);
	EXPECT_OK(clockguard_start(control, 0, &e), &e);
	assert_int_equal(check(1), RC_DENIED);
	/* By less than what is a jump, on the same day. */
	start_again(0, 0);
	set_clock(HOUR_MS / 4);
	EXPECT_OK(clockguard_swept(control, &e), &e);
	EXPECT_OK(clockguard_check(control, 1, &e), &e);
	set_clock(0);
	assert_int_equal(clockguard_check(control, 1, &e), RC_DENIED);
	assert_non_null(strstr(e.text, "behind the last sweep"));
}

static void test_more_days_than_have_passed(void **state)
{
	(void)state;
	start_again(0, 0);
	assert_int_equal(check(1), RC_OK);
	assert_int_equal(check(2), RC_DENIED);
}

static int64_t last_sweep(void)
{
	struct err e;
	int64_t ms;

	EXPECT_OK(clockguard_last_sweep(control, &ms, &e), &e);
	return ms;
}

/* Both clocks go on by so much. */
static void wait_for(int64_t ms)
{
	static int64_t all;

	all += ms;
	set_clock(all);
	fault_later(all);
}

/* A suspicion ends when both clocks have gone the same way for 36 hours. */
static void test_trusted_again(void **state)
{
	struct err e;

	(void)state;
	start_again(0, 0);
	set_clock(2 * HOUR_MS);
	EXPECT_OK(clockguard_tick(control, &e), &e);
	set_clock(0);
	EXPECT_OK(clockguard_tick(control, &e), &e);
	assert_int_equal(check(1), RC_DENIED);
	for (int hour = 0; hour < 35; hour++) {
		wait_for(HOUR_MS);
		assert_int_equal(check(1), RC_DENIED);
	}
	wait_for(HOUR_MS);
	EXPECT_OK(clockguard_check(control, 1, &e), &e);
	EXPECT_OK(clockguard_check(control, 2, &e), &e); /* a day and a half later */
	/* With no suspicion it goes on as before. */
	wait_for(HOUR_MS);
	EXPECT_OK(clockguard_check(control, 1, &e), &e);
	fault_later(0);
	set_clock(0);
}

static void test_last_sweep(void **state)
{
	struct err e;

	(void)state;
	start_again(0, 0);
	set_clock(5 * HOUR_MS);
	EXPECT_OK(clockguard_swept(control, &e), &e);
	set_clock(0);
	assert_true(last_sweep() > clock_now_ms() + 4 * HOUR_MS);
	EXPECT_OK(db_exec(control, "DELETE FROM sweep_state", &e), &e);
	assert_true(last_sweep() <= clock_now_ms());
}

/* Periods of an older copy are no permission, however long ago it was put back. */
static void test_an_older_copy(void **state)
{
	struct err e;

	(void)state;
	start_again(0, 0);
	EXPECT_OK(clockguard_check(control, 1, &e), &e);
	EXPECT_OK(clockguard_older(control, &e), &e);
	assert_int_equal(clockguard_check(control, 1, &e), RC_DENIED);
	wait_for(40 * HOUR_MS);
	EXPECT_OK(clockguard_start(control, clock_now_ms(), &e), &e);
	assert_int_equal(clockguard_check(control, 1, &e), RC_DENIED);
	EXPECT_OK(clockguard_attended(control, &e), &e);
	EXPECT_OK(clockguard_check(control, 1, &e), &e);
	fault_later(0);
}

/* What the database doesn't tell is no permission. */
static void test_database_fails(void **state)
{
	bool hit = true;
	struct err e;
	unsigned n;

	(void)state;
	for (n = 1; hit; n++) {
		enum rc rc;

		start_again(0, 0);
		fault_later(37 * HOUR_MS); /* so that all is asked */
		set_clock(37 * HOUR_MS);
		fault_arm(FAULT_PART, n, EIO, false);
		rc = clockguard_check(control, 1, &e);
		hit = fault_disarm();
		assert_int_equal(rc, hit ? RC_IO : RC_OK);
		fault_later(0);
	}
	assert_true(n > 5);
	for (n = 1, hit = true; hit; n++) {
		enum rc rc;

		start_again(0, 0);
		EXPECT_OK(db_exec(control, "DELETE FROM sweep_state", &e), &e);
		fault_arm(FAULT_PART, n, EIO, false);
		rc = clockguard_start(control, clock_now_ms() - 40 * HOUR_MS, &e);
		hit = fault_disarm();
		assert_int_equal(rc, hit ? RC_IO : RC_OK);
		assert_true(hit || check(1) == RC_DENIED);
	}
	assert_true(n > 5);
}

static int start(void **state)
{
	static const uint8_t key[KEY_BYTES] = { 4 };
	struct err e;
	char *path;

	(void)state;
	scratch_make(&scratch);
	(void)snprintf(clock_path, sizeof(clock_path), "%s/clock", scratch.dir);
	set_clock(0);
	(void)setenv("MM_TEST_CLOCK", clock_path, 1);
	clock_init();
	crypt_init();
	path = scratch_path(&scratch, "control.db");
	EXPECT_OK(db_open(&control, path, key, DB_CREATE, &e), &e);
	EXPECT_OK(clockguard_prepare(control, &e), &e);
	free(path);
	return 0;
}

static int end(void **state)
{
	(void)state;
	db_close(&control);
	scratch_remove(&scratch);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_jump_while_running),
		cmocka_unit_test(test_many_small_jumps),
		cmocka_unit_test(test_a_jump_over_a_restart),
		cmocka_unit_test(test_behind_the_last_sweep),
		cmocka_unit_test(test_more_days_than_have_passed),
		cmocka_unit_test(test_trusted_again),
		cmocka_unit_test(test_an_older_copy),
		cmocka_unit_test(test_last_sweep),
		cmocka_unit_test(test_database_fails),
	};

	return cmocka_run_group_tests(tests, start, end);
}
#else
int main(void)
{
	return 0;
}
#endif
