#include "tests/unit/test.h"

#include "ingest/backoff.h"

#define MIB ((uint64_t)1 << 20)

/* Tries once a millisecond for so long: how often it was tried. */
static unsigned tries(struct backoff *b, int64_t from_ms, int64_t to_ms, uint64_t room, bool full)
{
	unsigned n = 0;

	for (int64_t now = from_ms; now < to_ms; now++) {
		if (backoff_waits(b, now, room))
			continue;
		n++;
		backoff_failed(b, now, room, full);
	}
	return n;
}

static void test_ever_more_rarely(void **state)
{
	struct backoff b = { 0 };

	(void)state;
	assert_int_equal(tries(&b, 5000, 5999, 7, true), 1);
	assert_int_equal(tries(&b, 5999, 5000 + 63000, 7, true), 5); /* 1, 3, 7, 15, 31 s later */
	assert_int_equal(tries(&b, 68000, 1280000, 7, true),
	                 6); /* 63, 127, 255, 511, 811, 1111 s */
	assert_int_equal(tries(&b, 1416000, 4416000, 7, true), 10); /* every five minutes */
}

static void test_at_once_with_room(void **state)
{
	struct backoff b = { 0 };

	(void)state;
	assert_int_equal(tries(&b, 0, 100000, 5 * MIB, true), 7);
	assert_true(backoff_waits(&b, 100000, 4 * MIB));
	assert_true(backoff_waits(&b, 100000, 6 * MIB)); /* what comes and goes */
	assert_false(backoff_waits(&b, 100000, 6 * MIB + 1));
	/* What fails again waits for more than that. */
	backoff_failed(&b, 100000, 7 * MIB, true);
	assert_true(backoff_waits(&b, 100001, 7 * MIB));
}

/* A quota that is raised shows in no room. */
static void test_soon_where_the_disk_was_not_full(void **state)
{
	struct backoff b = { 0 };

	(void)state;
	assert_int_equal(tries(&b, 0, 15000, 7, false), 4);       /* 0, 1, 3, 7 s */
	assert_int_equal(tries(&b, 15000, 315000, 7, false), 20); /* every fifteen seconds */
	/* Nor where the disk had been full before. */
	b = (struct backoff) { 0 };
	assert_int_equal(tries(&b, 0, 200000, 7, true), 8);
	assert_int_equal(tries(&b, 255000, 300000, 7, false), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ever_more_rarely),
		cmocka_unit_test(test_at_once_with_room),
		cmocka_unit_test(test_soon_where_the_disk_was_not_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
