/* tests/unit/retention/test_schedule.c - when a day of mail falls due */
#include "retention/schedule.h"

#include "base/codec.h"
#include "tests/unit/test.h"

static int32_t day(int64_t y, unsigned m, unsigned d)
{
	return (int32_t)days_from_civil(y, m, d);
}

static void test_due(void **state)
{
	static const struct {
		const char *period;
		int y, m, d;            /* received on */
		const char *kept_until; /* the first instant at which it may go */
	} cases[] = {
		{ "THREE_MONTHS", 2026, 11, 23, "2027-02-24T00:00:00.000Z" },
		{ "THREE_MONTHS", 2026, 11, 30,
		  "2027-03-01T00:00:00.000Z" }, /* clipped to 28 Feb */
		{ "THREE_MONTHS", 2027, 11, 30,
		  "2028-03-01T00:00:00.000Z" }, /* clipped to 29 Feb */
		{ "SIX_MONTHS", 2026, 8, 31, "2027-03-01T00:00:00.000Z" },
		{ "ONE_YEAR", 2028, 2, 29, "2029-03-01T00:00:00.000Z" }, /* clipped to 28 Feb */
		{ "ONE_YEAR", 2027, 2, 28, "2028-02-29T00:00:00.000Z" },
		{ "EIGHTEEN_MONTHS", 2026, 12, 31, "2028-07-01T00:00:00.000Z" },
		{ "TEN_YEARS", 2026, 1, 1, "2036-01-02T00:00:00.000Z" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct retention r;
		char text[25];

		EXPECT(cases[i].period, retention_from_name(&r, slice_str(cases[i].period)));
		time_format(text, retention_due_ms(&r, day(cases[i].y, (unsigned)cases[i].m,
		                                           (unsigned)cases[i].d)));
		assert_string_equal(text, cases[i].kept_until);
	}
}

static void test_days(void **state)
{
	struct retention r = { .days = 30 };
	char text[32];

	(void)state;
	assert_int_equal(retention_due_ms(&r, 100), INT64_C(131) * MS_PER_DAY);
	assert_string_equal(retention_name(&r, text), "30_DAYS");
}

static void test_permanent(void **state)
{
	struct retention r;
	char text[32];

	(void)state;
	assert_true(retention_from_name(&r, slice_str("PERMANENT")));
	assert_true(retention_due_ms(&r, 0) == INT64_MAX);
	assert_string_equal(retention_name(&r, text), "PERMANENT");
	assert_false(retention_from_name(&r, slice_str("FOREVER")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_due),
		cmocka_unit_test(test_days),
		cmocka_unit_test(test_permanent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
