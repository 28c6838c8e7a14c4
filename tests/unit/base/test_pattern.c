#include "base/pattern.h"
#include "tests/unit/test.h"

static const struct {
	const char *pattern;
	const char *text;
	bool matches;
} cases[] = {
	{ "^a$", "a", true },
	{ "^a$", "", false },
	{ "^a$", "aa", false },
	{ "^a?b*c+$", "c", true },
	{ "^a?b*c+$", "abbcc", true },
	{ "^a?b*c+$", "aabc", false },
	{ "^a?b*c+$", "ab", false },
	{ "^(ab|c)*$", "", true },
	{ "^(ab|c)*$", "abcab", true },
	{ "^(ab|c)*$", "aba", false },
	{ "^x(|-y|-z)w$", "xw", true },
	{ "^x(|-y|-z)w$", "x-zw", true },
	{ "^x(|-y|-z)w$", "x-yzw", false },
	{ "^a{3}$", "aa", false },
	{ "^a{3}$", "aaa", true },
	{ "^a{3}$", "aaaa", false },
	{ "^(a|bc){1,3}d$", "bcabcd", true },
	{ "^(a|bc){1,3}d$", "d", false },
	{ "^(a|bc){1,3}d$", "aaaad", false },
	{ "^a{2,}$", "a", false },
	{ "^a{2,}$", "aaaaa", true },
	{ "^(a{1,2}b){2}$", "abaab", true },
	{ "^(a{1,2}b){2}$", "abaaab", false },
	{ "^[a-c_.-]+$", "a-c_.b", true },
	{ "^[a-c_.-]+$", "d", false },
	{ "^[0-9-_]+$", "1-_", true },
	{ "^[0-9-_]+$", "A", false },
	{ "^[a-z\\-\\.]+$", "a-.", true },
	{ "^[a-z\\-\\.]+$", "\\", false },
	{ "^[a$.]$", "$", true },
	{ "^[()|*+?{}]+$", "(|)*+?{}", true },
	{ "^\\[\\]\\.$", "[].", true },
	{ "^[\\[\\]]+$", "[]", true },
	{ "^\\d{2}[\\w]\\s$", "12_\t", true },
	{ "^\\d{2}[\\w]\\s$", "12- ", false },
	{ "^\\d$", "\xd9\xa3", false }, /* an Arabic digit */
	{ "^[\\x20-\\x7e]+$", " ~", true },
	{ "^[\\x20-\\x7e]+$", "\x7f", false },
	{ "^[\\x20-\\x7e]+$", "\n", false },
	{ "^[\\r\\n\\x20-\\x7e]+$", "a\r\nb", true },
	{ "^.$", "\xc3\xa9", true },
	{ "^.$", "\xf0\x9f\x98\x80", true },
	{ "^..$", "\xe6\x9d\xb1\xe4\xba\xac", true },
	{ "^.$", "\n", false },
	{ "^.$", "\xe2\x80\xa8", false }, /* a line separator */
	{ "^[\\P{C}\\s]*$", "-----BEGIN\r\n\t\xc3\xa9", true },
	{ "^[\\P{C}\\s]*$", "\x01", false },
	{ "^[\\P{C}\\s]*$", "\xc2\x85", false },
	{ "^(([0-9]|.|:|/)*)$", "", true },
};

static void test_matches(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		if (pattern_matches(cases[i].pattern, slice_str(cases[i].text)) != cases[i].matches)
			fail_msg("%s on \"%s\"", cases[i].pattern, cases[i].text);
}

/* Patterns that make a backtracking matcher try 2^n ways; this one takes as long as for any text.
 */
static void test_no_text_is_slow(void **state)
{
	static const char *const patterns[] = { "^(([0-9]|.|:|/)*)$", "^(a*)*$", "^(a|a|aa)*$",
		                                "^s3://(/[a-z'()/-]*)*$" };
	char text[20002];

	(void)state;
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 2] = '\n';
	text[sizeof(text) - 1] = '\0';
	for (size_t i = 0; i < COUNT(patterns); i++) {
		memset(text, i == 3 ? '/' : 'a', sizeof(text) - 2);
		if (i == 3)
			memcpy(text, "s3://", 5);
		EXPECT(patterns[i], !pattern_matches(patterns[i], slice_str(text)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matches),
		cmocka_unit_test(test_no_text_is_slow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
