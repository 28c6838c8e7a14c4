#include "base/codec.h"
#include "tests/unit/test.h"

static void test_numbers(void **state)
{
	static const uint8_t want[] = { 0xab, 0x34, 0x12, 0x78, 0x56, 0x34, 0x12,
		                        0xef, 0xcd, 0xab, 0x90, 0x78, 0x56, 0x34,
		                        0x12, 2,    0,    0,    0,    'h',  'i' };
	struct reader r;
	struct buf b;

	(void)state;
	buf_init(&b, 64);
	assert_int_equal(buf_put_u8(&b, 0xab), RC_OK);
	assert_int_equal(buf_put_u16(&b, 0x1234), RC_OK);
	assert_int_equal(buf_put_u32(&b, 0x12345678), RC_OK);
	assert_int_equal(buf_put_u64(&b, 0x1234567890abcdef), RC_OK);
	assert_int_equal(buf_put_slice(&b, slice_str("hi")), RC_OK);
	assert_int_equal(b.len, sizeof(want));
	assert_memory_equal(b.at, want, sizeof(want));
	r = reader_over(buf_slice(&b));
	assert_int_equal(read_u8(&r), 0xab);
	assert_int_equal(read_u16(&r), 0x1234);
	assert_int_equal(read_u32(&r), 0x12345678);
	assert_int_equal(read_u64(&r), 0x1234567890abcdef);
	EXPECT_SLICE("hi", read_slice(&r), "hi");
	assert_true(r.ok && r.rest.len == 0);
	buf_free(&b);
}

/* A short read latches: all that follows is zero. */
static void test_latch(void **state)
{
	struct reader r = reader_over(slice_of("\x01\x02\x03", 3));

	(void)state;
	assert_int_equal(read_u32(&r), 0);
	assert_false(r.ok);
	assert_int_equal(read_u8(&r), 0);
	assert_int_equal(read_bytes(&r, 1).len, 0);
	assert_int_equal(read_slice(&r).len, 0);
	assert_false(r.ok);
	r = reader_over(slice_of("\xff\xff\xff\xff"
	                         "abc",
	                         7));
	assert_null(read_slice(&r).at);
	assert_false(r.ok);
	r = reader_over(slice_of("\x03\0\0\0"
	                         "abc",
	                         7));
	EXPECT_SLICE("abc", read_slice(&r), "abc");
	assert_true(r.ok);
	assert_int_equal(read_bytes(&r, 0).len, 0);
	assert_true(r.ok);
	assert_int_equal(read_u8(&r), 0);
	assert_false(r.ok);
}

/* A slice that doesn't fit leaves no half of itself. */
static void test_put_slice_limit(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 6);
	assert_int_equal(buf_put_slice(&b, slice_str("abc")), RC_LIMIT);
	assert_int_equal(b.len, 0);
	assert_int_equal(buf_put_slice(&b, slice_str("ab")), RC_OK);
	buf_free(&b);
}

static void test_hex(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{ "00ff7f", true },
		{ "00FF7f", true },
		{ "00ff7", false },
		{ "00ff7f0", false },
		{ "00ff7g", false },
		{ "", false },
		{ "0 ff7f", false },
		{ "00f\x06"
		  "7f",
		  false },
		{ "00f\x19"
		  "7f",
		  false },
	};
	char text[7];

	(void)state;
	hex_encode(text, "\x00\xff\x7f", 3);
	assert_string_equal(text, "00ff7f");
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t out[3] = { 0 };

		EXPECT(cases[i].text,
		       hex_decode(out, 3, slice_str(cases[i].text)) == cases[i].good);
		if (cases[i].good)
			assert_memory_equal(out, "\x00\xff\x7f", 3);
	}
}

static void test_base64(void **state)
{
	/* RFC 4648 section 10, then what is not canonical */
	static const struct {
		const char *text;
		const char *bytes; /* NULL: refused */
	} cases[] = {
		{ "", "" },
		{ "Zg==", "f" },
		{ "Zm8=", "fo" },
		{ "Zm9v", "foo" },
		{ "Zm9vYg==", "foob" },
		{ "Zm9vYmE=", "fooba" },
		{ "Zm9vYmFy", "foobar" },
		{ "+/+/", "\xfb\xff\xbf" },
		{ "Zg", NULL },
		{ "Zg=", NULL },
		{ "Zh==", NULL },
		{ "Zm9=", NULL },
		{ "Z===", NULL },
		{ "====", NULL },
		{ "Zg==Zg==", NULL },
		{ "Zg=a", NULL },
		{ "Zm 9v", NULL },
		{ "Zm9v\n", NULL },
		{ "Zm-_", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf b;

		buf_init(&b, 64);
		assert_int_equal(buf_add_str(&b, "x"), RC_OK);
		EXPECT(cases[i].text, (base64_decode(&b, slice_str(cases[i].text)) == RC_OK) ==
		                              (cases[i].bytes != NULL));
		EXPECT_SLICE(cases[i].text, slice_from(buf_slice(&b), 1),
		             cases[i].bytes ? cases[i].bytes : "");
		if (cases[i].bytes) {
			buf_clear(&b);
			assert_int_equal(base64_encode(&b, slice_str(cases[i].bytes)), RC_OK);
			EXPECT_SLICE(cases[i].bytes, buf_slice(&b), cases[i].text);
		}
		buf_free(&b);
	}
}

static void test_time_format(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ -1, "1969-12-31T23:59:59.999Z" },
		{ 951782400000, "2000-02-29T00:00:00.000Z" },
		{ 1795470379123, "2026-11-23T21:46:19.123Z" },
		{ 4107542399999, "2100-02-28T23:59:59.999Z" },
		{ 4107542400000, "2100-03-01T00:00:00.000Z" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[25];
		int64_t back = 1;

		time_format(text, cases[i].ms);
		assert_string_equal(text, cases[i].text);
		assert_true(time_parse(slice_str(text), &back));
		assert_int_equal(back, cases[i].ms);
	}
}

static void test_time_parse(void **state)
{
	static const struct {
		const char *text;
		bool good;
		int64_t ms;
	} cases[] = {
		{ "2026-01-02", true, 1767312000000 },
		{ " 2026-01-02 ", true, 1767312000000 },
		{ "2026-01-02T03:04:05Z", true, 1767323045000 },
		{ "2026-01-02t03:04:05z", true, 1767323045000 },
		{ "2026-01-02T03:04:05.678Z", true, 1767323045678 },
		{ "2026-01-02T03:04:05.6789Z", true, 1767323045678 },
		{ "2026-01-02T03:04:05.6Z", true, 1767323045600 },
		{ "2026-01-02T05:04:05+02:00", true, 1767323045000 },
		{ "2026-01-01T22:34:05-04:30", true, 1767323045000 },
		{ "1767323045", true, 1767323045000 },
		{ "2024-02-29", true, 1709164800000 },
		{ "2026-02-29", false, 0 },
		{ "2026-13-01", false, 0 },
		{ "2026-00-01", false, 0 },
		{ "2026-01-32", false, 0 },
		{ "2026-01-02T24:00:00Z", false, 0 },
		{ "2026-01-02T03:60:00Z", false, 0 },
		{ "2026-01-02T03:04:05", false, 0 },
		{ "2026-01-02T03:04:05Zx", false, 0 },
		{ "2026-01-02T03:04:05.Z", false, 0 },
		{ "2026-01-02T03:04:05+25:00", false, 0 },
		{ "2026-1-2", false, 0 },
		{ "yesterday", false, 0 },
		{ "", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		int64_t ms = 0;

		EXPECT(cases[i].text, time_parse(slice_str(cases[i].text), &ms) == cases[i].good);
		EXPECT(cases[i].text, !cases[i].good || ms == cases[i].ms);
	}
}

/* Every day of 800 years, one after the other. */
static void test_calendar(void **state)
{
	int64_t day = days_from_civil(1600, 1, 1);

	(void)state;
	for (int64_t year = 1600; year < 2400; year++) {
		for (unsigned month = 1; month <= 12; month++) {
			for (unsigned mday = 1; mday <= days_in_month(year, month); mday++, day++) {
				int64_t y;
				unsigned m;
				unsigned d;

				assert_int_equal(days_from_civil(year, month, mday), day);
				civil_from_days(day, &y, &m, &d);
				assert_true(y == year && m == month && d == mday);
			}
		}
	}
	assert_int_equal(days_from_civil(1970, 1, 1), 0);
	assert_int_equal(days_in_month(1900, 2), 28);
	assert_int_equal(days_in_month(2000, 2), 29);
}

static void test_day_of_ms(void **state)
{
	(void)state;
	assert_int_equal(day_of_ms(0), 0);
	assert_int_equal(day_of_ms(MS_PER_DAY - 1), 0);
	assert_int_equal(day_of_ms(MS_PER_DAY), 1);
	assert_int_equal(day_of_ms(-1), -1);
	assert_int_equal(day_of_ms(-MS_PER_DAY), -1);
	assert_int_equal(day_of_ms(-MS_PER_DAY - 1), -2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),         cmocka_unit_test(test_latch),
		cmocka_unit_test(test_put_slice_limit), cmocka_unit_test(test_hex),
		cmocka_unit_test(test_base64),          cmocka_unit_test(test_time_format),
		cmocka_unit_test(test_time_parse),      cmocka_unit_test(test_calendar),
		cmocka_unit_test(test_day_of_ms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
