#include "base/slice.h"

#include <stdlib.h>

#include "tests/unit/test.h"

#define S(text) slice_str(text)

static const struct slice nothing = { NULL, 0 };

static void test_compare(void **state)
{
	static const struct {
		const char *a;
		const char *b;
		bool equal;
		bool nocase;
	} cases[] = {
		{ "", "", true, true },
		{ "a", "a", true, true },
		{ "a", "A", false, true },
		{ "a", "b", false, false },
		{ "a", "ab", false, false },
		{ "[", "{", false, false },
		{ "@", "`", false, false },
		{ "Z", "z", false, true },
		{ "\xc3\x89", "\xc3\xa9", false, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		EXPECT(cases[i].a, slice_equal(S(cases[i].a), S(cases[i].b)) == cases[i].equal);
		EXPECT(cases[i].a,
		       slice_equal_nocase(S(cases[i].a), S(cases[i].b)) == cases[i].nocase);
	}
	assert_true(slice_equal(nothing, S("")));
	assert_true(slice_equal_nocase(nothing, S("")));
}

static void test_parts(void **state)
{
	struct slice s = S("hello");

	(void)state;
	EXPECT_SLICE("part", slice_part(s, 1, 3), "ell");
	EXPECT_SLICE("clamped", slice_part(s, 3, 99), "lo");
	EXPECT_SLICE("behind", slice_part(s, 9, 1), "");
	EXPECT_SLICE("most", slice_part(s, 1, SIZE_MAX), "ello");
	EXPECT_SLICE("from", slice_from(s, 4), "o");
	EXPECT_SLICE("from behind", slice_from(s, 99), "");
	assert_null(slice_part(nothing, 0, 5).at);
	assert_int_equal(slice_str(NULL).len, 0);
}

static void test_starts_ends_contains(void **state)
{
	(void)state;
	assert_true(slice_starts_nocase(S("Subject: x"), S("SUBJECT:")));
	assert_false(slice_starts_nocase(S("Sub"), S("Subject")));
	assert_true(slice_starts_nocase(S("x"), nothing));
	assert_true(slice_ends_nocase(S("a@B.Example"), S("@b.example")));
	assert_false(slice_ends_nocase(S("mple"), S("example")));
	assert_true(slice_ends_nocase(nothing, nothing));
	assert_true(slice_contains_nocase(S("aaAB"), S("aab")));
	assert_false(slice_contains_nocase(S("aaA"), S("aab")));
	assert_true(slice_contains_nocase(S("x"), nothing));
	assert_true(slice_contains_nocase(nothing, nothing));
	assert_false(slice_contains_nocase(nothing, S("x")));
}

static void test_find(void **state)
{
	(void)state;
	assert_int_equal(slice_find_byte(S("abcabc"), 'c'), 2);
	assert_int_equal(slice_find_byte(S("abc"), 'x'), SIZE_MAX);
	assert_int_equal(slice_find_byte(slice_of("a\0b", 3), 0), 1);
	assert_int_equal(slice_find_byte(nothing, 'x'), SIZE_MAX);
	assert_int_equal(slice_find(S("abcabc"), S("ca")), 2);
	assert_int_equal(slice_find(S("abc"), S("abcd")), SIZE_MAX);
	assert_int_equal(slice_find(S("abc"), nothing), 0);
	assert_int_equal(slice_find(nothing, S("a")), SIZE_MAX);
}

static void test_trim_and_cut(void **state)
{
	struct slice rest;

	(void)state;
	EXPECT_SLICE("trim", slice_trim(S(" \t a b\r\n")), "a b");
	EXPECT_SLICE("all blank", slice_trim(S(" \t\r\n")), "");
	EXPECT_SLICE("none", slice_trim(nothing), "");
	EXPECT_SLICE("a no-break space stays", slice_trim(S("\xc2\xa0")), "\xc2\xa0");
	EXPECT_SLICE("before", slice_cut(S("key=a=b"), '=', &rest), "key");
	EXPECT_SLICE("behind", rest, "a=b");
	EXPECT_SLICE("whole", slice_cut(S("key"), '=', &rest), "key");
	EXPECT_SLICE("nothing behind", rest, "");
	EXPECT_SLICE("at the end", slice_cut(S("key="), '=', &rest), "key");
	EXPECT_SLICE("nothing behind", rest, "");
	EXPECT_SLICE("at the start", slice_cut(S("=v"), '=', &rest), "");
	EXPECT_SLICE("behind", rest, "v");
}

static void test_numbers(void **state)
{
	static const struct {
		const char *text;
		bool good;
		uint64_t n;
	} cases[] = {
		{ "0", true, 0 },
		{ "007", true, 7 },
		{ "18446744073709551615", true, UINT64_MAX },
		{ "18446744073709551616", false, 0 },
		{ "99999999999999999999", false, 0 },
		{ "", false, 0 },
		{ "-1", false, 0 },
		{ "+1", false, 0 },
		{ " 1", false, 0 },
		{ "1 ", false, 0 },
		{ "1a", false, 0 },
		{ "\xd9\xa1", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint64_t n = 0;

		EXPECT(cases[i].text, slice_to_u64(S(cases[i].text), &n) == cases[i].good);
		EXPECT(cases[i].text, !cases[i].good || n == cases[i].n);
	}
}

static void test_string(void **state)
{
	char *copy = slice_string(slice_of("abc", 2));

	(void)state;
	assert_string_equal(copy, "ab");
	free(copy);
	copy = slice_string(nothing);
	assert_string_equal(copy, "");
	free(copy);
}

static void test_utf8(void **state)
{
	static const struct {
		const char *bytes;
		bool good;
	} cases[] = {
		{ "", true },
		{ "ascii", true },
		{ "\x7f", true },
		{ "\xc2\x80", true },
		{ "\xdf\xbf", true },
		{ "\xe0\xa0\x80", true },
		{ "\xed\x9f\xbf", true },
		{ "\xee\x80\x80", true },
		{ "\xef\xbf\xbf", true },
		{ "\xf0\x90\x80\x80", true },
		{ "\xf4\x8f\xbf\xbf", true },
		{ "12345678\xc3\xa9"
		  "12345678",
		  true },
		{ "\x80", false },     /* alone */
		{ "\xc0\x80", false }, /* overlong */
		{ "\xc1\xbf", false },
		{ "\xe0\x9f\xbf", false },
		{ "\xf0\x8f\xbf\xbf", false },
		{ "\xed\xa0\x80", false }, /* surrogates */
		{ "\xed\xbf\xbf", false },
		{ "\xf4\x90\x80\x80", false }, /* above U+10FFFF */
		{ "\xf5\x80\x80\x80", false },
		{ "\xff", false },
		{ "\xc3", false }, /* cut */
		{ "\xe2\x82", false },
		{ "\xf0\x9f\x98", false },
		{ "\xc3\xc3", false },
		{ "12345678\xff", false }, /* behind a long run of ASCII */
		{ "1234567\xff", false },
		{ "123456789\xc3", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		EXPECT(cases[i].bytes, slice_is_utf8(S(cases[i].bytes)) == cases[i].good);
	assert_true(slice_is_utf8(nothing));
	assert_true(slice_is_utf8(slice_of("a\0b", 3)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_starts_ends_contains),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_trim_and_cut),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_string),
		cmocka_unit_test(test_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
