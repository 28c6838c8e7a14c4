#include "base/buf.h"
#include "tests/unit/test.h"

static void test_grows(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100000);
	assert_string_equal(buf_text(&b), "");
	for (int i = 0; i < 10000; i++)
		assert_int_equal(buf_addf(&b, "%04d ", i), RC_OK);
	assert_int_equal(b.len, 50000);
	assert_int_equal(b.at[b.len], 0);
	EXPECT_SLICE("first", slice_part(buf_slice(&b), 0, 10), "0000 0001 ");
	EXPECT_SLICE("last", slice_from(buf_slice(&b), 49990), "9998 9999 ");
	buf_free(&b);
	assert_int_equal(b.len, 0);
	assert_int_equal(buf_add_str(&b, "again"), RC_OK);
	assert_string_equal(buf_text(&b), "again");
	buf_free(&b);
	buf_free(&b);
}

/* Up to the limit, never past it, and then it is as it was. */
static void test_limit(void **state)
{
	for (size_t limit = 0; limit < 200; limit++) {
		struct buf b;

		buf_init(&b, limit);
		for (size_t i = 0; i < limit; i++)
			assert_int_equal(buf_add_byte(&b, (uint8_t)('a' + i % 26)), RC_OK);
		assert_int_equal(b.len, limit);
		assert_int_equal(buf_add_byte(&b, 'x'), RC_LIMIT);
		assert_int_equal(buf_add_str(&b, "xy"), RC_LIMIT);
		assert_int_equal(buf_addf(&b, "%d", 1), RC_LIMIT);
		assert_int_equal(buf_reserve(&b, 1), RC_LIMIT);
		assert_int_equal(buf_reserve(&b, SIZE_MAX), RC_LIMIT);
		assert_int_equal(buf_add(&b, slice_of("", 0)), RC_OK);
		assert_int_equal(b.len, limit);
		for (size_t i = 0; i < limit; i++)
			assert_int_equal(b.at[i], 'a' + i % 26);
		buf_free(&b);
	}
	(void)state;
}

static void test_clear_and_drop(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 16);
	buf_clear(&b);
	buf_drop(&b, 0);
	assert_int_equal(buf_add_str(&b, "0123456789abcdef"), RC_OK);
	buf_drop(&b, 10);
	assert_string_equal(buf_text(&b), "abcdef");
	assert_int_equal(buf_add_str(&b, "0123456789"), RC_OK);
	assert_string_equal(buf_text(&b), "abcdef0123456789");
	buf_drop(&b, 16);
	assert_int_equal(b.len, 0);
	assert_string_equal(buf_text(&b), "");
	assert_int_equal(buf_add_str(&b, "x"), RC_OK);
	buf_clear(&b);
	assert_string_equal(buf_text(&b), "");
	assert_int_equal(b.limit, 16);
	buf_free(&b);
}

static void test_bytes(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 16);
	assert_int_equal(buf_add(&b, slice_of("a\0b", 3)), RC_OK);
	assert_int_equal(b.len, 3);
	assert_memory_equal(b.at, "a\0b", 4);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grows),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_clear_and_drop),
		cmocka_unit_test(test_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
