#include "ingest/verdict/tags.h"

#include <stdio.h>

#include "tests/unit/test.h"

struct good {
	const char *text;
	const char *tags[9]; /* name, value, ... */
};

static const struct good good[] = {
	{ "a=1", { "a", "1" } },
	{ "a=1;", { "a", "1" } },
	{ " a = 1 ; b=\t2\r\n", { "a", "1", "b", "2" } },
	{ "z=;a=;\r\n ", { "z", "", "a", "" } },
	{ "b=x=y==; a=\r\n 1\r\n\t2 \r\n", { "b", "x=y==", "a", "1\r\n\t2" } },
	{ "a=1\n 2", { "a", "1\n 2" } },
	{ "A=1;a=2;a_1=3", { "A", "1", "a", "2", "a_1", "3" } },
	{ "i=\xc3\xb6@example", { "i", "\xc3\xb6@example" } },
	{ "n=all of this: !#~", { "n", "all of this: !#~" } },
};

static void lists_that_are_good(void **state)
{
	struct taglist t;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		const char *wrong = taglist_read(&t, slice_str(good[i].text));
		size_t n = 0;

		if (wrong)
			fail_msg("%s: %s", good[i].text, wrong);
		for (; n < 4 && good[i].tags[2 * n]; n++) {
			EXPECT(good[i].text, n < t.count);
			EXPECT_SLICE(good[i].text, t.at[n].name, good[i].tags[2 * n]);
			EXPECT_SLICE(good[i].text, t.at[n].value, good[i].tags[2 * n + 1]);
			EXPECT_SLICE(good[i].text, taglist_value(&t, good[i].tags[2 * n]),
			             good[i].tags[2 * n + 1]);
		}
		EXPECT(good[i].text, n == t.count);
	}
}

static const char *const bad[] = {
	"",       "  \r\n",  ";",       "a=1;;",           "a=1;;b=2", ";a=1",   "a",
	"a=1; b", "a=1; =2", "a=1;a=2", "a=1;b=2;a =1",    "1a=1",     "_a=1",   "a-b=1",
	"a b=1",  "a=1\r2",  "a=1\n2",  "a=1\r\n2;b=\x02", "a=\x7f",   "a=\xff", "\xc3\xb6=1",
};

static void lists_that_are_bad(void **state)
{
	struct taglist t;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		EXPECT(bad[i], taglist_read(&t, slice_str(bad[i])) != NULL);
	EXPECT("NUL", taglist_read(&t, slice_of("a=1\0", 4)) != NULL);
}

static void how_many(void **state)
{
	struct taglist t;
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	for (unsigned i = 0; i < TAGLIST_TAGS; i++)
		assert_int_equal(buf_addf(&b, "t%u=%u;", i, i), RC_OK);
	assert_null(taglist_read(&t, buf_slice(&b)));
	assert_int_equal(t.count, TAGLIST_TAGS);
	assert_null(taglist_find(&t, "t64"));
	assert_int_equal(buf_add_str(&b, "more=1"), RC_OK);
	assert_non_null(taglist_read(&t, buf_slice(&b)));
	buf_free(&b);
}

static void what_a_tag_is(void **state)
{
	struct taglist t;

	(void)state;
	assert_null(taglist_read(&t, slice_str("v=1; c=; b= x \r\n\ty ;z=1")));
	assert_true(taglist_is(&t, "v", "1", false));
	assert_false(taglist_is(&t, "v", "2", true));
	assert_true(taglist_is(&t, "w", "1", true));
	assert_false(taglist_is(&t, "w", "1", false));
	assert_false(taglist_is(&t, "V", "1", false));
	assert_null(taglist_value(&t, "w").at);
	assert_non_null(taglist_value(&t, "c").at);
	EXPECT_SLICE("raw", taglist_find(&t, "b")->raw, " x \r\n\ty ");
}

static void lists_in_a_value(void **state)
{
	struct slice rest = slice_str("from : to::\r\n subject :");
	struct slice item;
	static const char *const want[] = { "from", "to", "", "subject", "" };
	size_t n = 0;

	(void)state;
	for (; fws_next(&rest, ':', &item); n++)
		EXPECT_SLICE("item", item, want[n]);
	assert_int_equal(n, COUNT(want));
}

static const char *const base64[][2] = {
	{ "aGVsbG8=", "hello" },
	{ "aGVsbG8", "hello" },
	{ " aGV\r\n\tsbG 8 =\r\n", "hello" },
	{ "aGVsbG8h", "hello!" },
	{ "aGVsbA", "hell" },
	{ "aGVsbA==", "hell" },
	{ "", "" },
	{ "aGVsbG8=x", NULL },
	{ "aGVsb", NULL },
	{ "aGV*bG8=", NULL },
	{ "aGVsbG9=", NULL },
	{ "=aGVsbG8", NULL },
	{ "aGVsbG8==", NULL },
	{ "aGVs.bG8=", NULL },
};

static void base64_with_white_space(void **state)
{
	char big[FWS_BASE64_MOST + 2];
	struct buf out;

	(void)state;
	buf_init(&out, 8192);
	for (size_t i = 0; i < COUNT(base64); i++) {
		enum rc rc = fws_base64(&out, slice_str(base64[i][0]));

		EXPECT(base64[i][0], rc == (base64[i][1] ? RC_OK : RC_INVALID));
		EXPECT_SLICE(base64[i][0], buf_slice(&out), base64[i][1] ? base64[i][1] : "");
		buf_clear(&out);
	}
	memset(big, 'A', sizeof(big));
	assert_int_equal(fws_base64(&out, slice_of(big, FWS_BASE64_MOST)), RC_OK);
	assert_int_equal(fws_base64(&out, slice_of(big, FWS_BASE64_MOST + 1)), RC_LIMIT);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_that_are_good),
		cmocka_unit_test(lists_that_are_bad),
		cmocka_unit_test(how_many),
		cmocka_unit_test(what_a_tag_is),
		cmocka_unit_test(lists_in_a_value),
		cmocka_unit_test(base64_with_white_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
