#include "ingest/log_rate.h"

#include "tests/unit/test.h"

static void test_a_second_at_a_time(void **state)
{
	struct log_rate r = { .most = 3 };
	struct log_gap gap;
	unsigned taken = 0;

	(void)state;
	for (int i = 0; i < 10; i++)
		taken += log_rate_take(&r, 5000 + i, 100 + i);
	assert_int_equal(taken, 3);
	assert_false(log_rate_gap(&r, 5100, false, &gap));
	for (int i = 0; i < 10; i++)
		taken += log_rate_take(&r, 5999, 1000); /* still the same second */
	assert_int_equal(taken, 3);
	for (int i = 0; i < 2; i++)
		taken += log_rate_take(&r, 6000, 1001);
	assert_int_equal(taken, 5);
	assert_false(log_rate_gap(&r, 6998, false, &gap));
	assert_true(log_rate_gap(&r, 6999, false, &gap));
	assert_int_equal(gap.records, 17);
	assert_int_equal(gap.first_ms, 103);
	assert_int_equal(gap.last_ms, 1000);
	assert_false(log_rate_gap(&r, 99999, true, &gap)); /* it was told */
}

/* A flood without an end is told each minute, and at the end of the process. */
static void test_a_long_gap(void **state)
{
	struct log_rate r = { .most = 1 };
	struct log_gap gap;
	uint64_t told = 0;
	uint64_t taken = 0;
	unsigned times = 0;

	(void)state;
	for (int64_t ms = 1000; ms < 151000; ms += 100) {
		taken += log_rate_take(&r, ms, ms);
		if (log_rate_gap(&r, ms, false, &gap)) {
			told += gap.records;
			times++;
		}
	}
	assert_int_equal(times, 2);
	assert_true(log_rate_gap(&r, 151000, true, &gap));
	assert_int_equal(told + gap.records + taken, 1500);
	assert_int_equal(taken, 150);
}

static void test_left_out_elsewhere(void **state)
{
	struct log_rate r = { .most = 1 };
	struct log_gap gap;

	(void)state;
	log_rate_left_out(&r, 0, 10, 10);
	assert_false(log_rate_gap(&r, 5000, true, &gap));
	log_rate_left_out(&r, UINT64_MAX - 1, 10, 10);
	log_rate_left_out(&r, 5, 20, 20);
	assert_true(log_rate_gap(&r, 30, true, &gap));
	assert_true(gap.records == UINT64_MAX);
	assert_int_equal(gap.first_ms, 10);
	assert_int_equal(gap.last_ms, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_second_at_a_time),
		cmocka_unit_test(test_a_long_gap),
		cmocka_unit_test(test_left_out_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
