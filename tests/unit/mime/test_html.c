#include "tests/unit/test.h"

#include <stdlib.h>

#include "ingest/mime/html.h"

static void test_text(void **state)
{
	static const struct {
		const char *html;
		const char *text;
	} cases[] = {
		{ "plain", "plain\n" },
		{ "f<b>oo</b> bar", "foo bar\n" },
		{ "<p>one</p><p>two</p>", "one\ntwo\n" },
		{ "a<br>b<br/>c", "a\nb\nc\n" },
		{ "<td>a</td><td>b</td>", "a\nb\n" },
		{ "&auml;&Auml;&euro;&nbsp;x", "ä\xc3\x84€\xc2\xa0x\n" },
		{ "&#228;&#xe4;&#XE4;&#128;", "äää€\n" },
		{ "&amp;lt; &unknown; & &#; AT&T", "&lt; &unknown; & &#; AT&T\n" },
		{ "&auml &lt;b&gt;", "ä <b>\n" },
		{ "&#0;&#xd800;&#x110000;&#99999999999;",
		  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\n" },
		{ "a<!-- secret -->b", "ab\n" },
		{ "a<script>var x = '<b>';</script>b", "a\nb\n" },
		{ "a<style type=x>p { }</style >b", "a\nb\n" },
		{ "a<SCRIPT>x</Script>b", "a\nb\n" },
		/* What isn't closed hides nothing. */
		{ "a <b", "a <b\n" },
		{ "1 < 2 > 1", "1 < 2 > 1\n" },
		{ "<script>needle", "needle\n" },
		{ "<!-- needle", " needle\n" },
		{ "<a href=\"x>needle</a>", "needle\n" },
		{ "<img alt=\"a cat\">x", "a cat x\n" },
		{ "<p title='the &amp; title'>x", "the & title x\n" },
		{ "<a href=\"https://h.example/?a=1&amp;b=2\">here</a>.",
		  "here.\nhttps://h.example/?a=1&b=2\n" },
		{ "<a href=https://h.example>here</a>", "here\nhttps://h.example\n" },
		{ "<a href='#top'>here</a>", "here\n" },
		{ "<a title='>' href=x>y</a>", "> y\n" },
		{ "<!DOCTYPE html><html><head><title>T</title></head><body>b", "T\nb\n" },
		{ "<o:p>x</o:p>y", "xy\n" },
		{ "<a<b>x", "x\n" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf out;

		buf_init(&out, 4096);
		assert_true(html_to_text(&out, slice_str(cases[i].html)));
		EXPECT_SLICE(cases[i].html, buf_slice(&out), cases[i].text);
		buf_free(&out);
	}
}

static void test_full(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 5);
	assert_false(html_to_text(&out, slice_str("abc\xc3\xa4\xc3\xa4")));
	EXPECT_SLICE("cut between characters", buf_slice(&out), "abc\xc3\xa4");
	buf_free(&out);
}

static void test_charset(void **state)
{
	(void)state;
	EXPECT_SLICE("quoted", html_charset(slice_str("<html><meta charset=\"windows-1251\">")),
	             "windows-1251");
	EXPECT_SLICE("http-equiv",
	             html_charset(slice_str("<META http-equiv=Content-Type content=\"text/html; "
	                                    "charset=koi8-r\">")),
	             "koi8-r");
	EXPECT_SLICE("none", html_charset(slice_str("<p>charset=x</p>")), "");
}

static void test_entities(void **state)
{
	(void)state;
	assert_int_equal(html_entity(slice_str("AElig")), 0xc6);
	assert_int_equal(html_entity(slice_str("zwnj")), 0x200c);
	assert_int_equal(html_entity(slice_str("apos")), '\'');
	assert_int_equal(html_entity(slice_str("aum")), 0);
	assert_int_equal(html_entity(slice_str("auml1")), 0);
	assert_int_equal(html_entity(slice_str("")), 0);
}

/* Linear: each of these took minutes if something were looked for again and again. */
static void test_repeats(void **state)
{
	static const char *const units[] = { "<",        "<a",        "<a ",       "<!--",
		                             "<!",       "&",         "&#",        "<a x=\"",
		                             "<script>", "<style></", "<a alt=x ", "</" };

	(void)state;
	for (size_t i = 0; i < COUNT(units); i++) {
		struct buf in, out;

		buf_init(&in, 4000000);
		buf_init(&out, 8000000);
		while (in.len < 1000000)
			assert_int_equal(buf_add_str(&in, units[i]), RC_OK);
		assert_int_equal(buf_add_str(&in, " needle"), RC_OK);
		assert_true(html_to_text(&out, buf_slice(&in)));
		EXPECT(units[i], slice_find(buf_slice(&out), slice_str("needle")) != SIZE_MAX);
		buf_free(&in);
		buf_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),    cmocka_unit_test(test_full),
		cmocka_unit_test(test_charset), cmocka_unit_test(test_entities),
		cmocka_unit_test(test_repeats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
