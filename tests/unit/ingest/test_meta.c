/* tests/unit/ingest/test_meta.c - whatever a peer sends, what is kept beside a message is JSON */
#include "ingest/meta.h"

#include <stdio.h>

#include "base/json.h"
#include "tests/unit/test.h"

static const struct {
	const char *name;
	struct slice text;
	const char *json;
} strings[] = {
	{ "plain", { (const uint8_t *)"a@b.test", 8 }, "\"a@b.test\"" },
	{ "empty", { (const uint8_t *)"", 0 }, "\"\"" },
	{ "quotes", { (const uint8_t *)"a\"b\\c", 5 }, "\"a\\\"b\\\\c\"" },
	{ "controls",
	  { (const uint8_t *)"\0\t\n\x1f\x7f", 5 },
	  "\"\\u0000\\u0009\\u000a\\u001f\\u007f\"" },
	{ "UTF-8",
	  { (const uint8_t *)"\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80", 9 },
	  "\"\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\"" },
	{ "a lone byte", { (const uint8_t *)"a\xff z", 4 }, "\"a\xef\xbf\xbd z\"" },
	{ "overlong", { (const uint8_t *)"\xc0\xaf", 2 }, "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "a surrogate",
	  { (const uint8_t *)"\xed\xa0\x80", 3 },
	  "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "cut off", { (const uint8_t *)"x\xe2\x82", 3 }, "\"x\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "above U+10FFFF",
	  { (const uint8_t *)"\xf4\x90\x80\x80", 4 },
	  "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
};

static void test_strings(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(strings); i++) {
		struct buf b;

		buf_init(&b, 1000);
		assert_int_equal(meta_string(&b, strings[i].text), RC_OK);
		EXPECT_SLICE(strings[i].name, buf_slice(&b), strings[i].json);
		buf_free(&b);
	}
}

/* Every byte, and every pair: the result is read back by the JSON library. A NUL, which it refuses
 * inside strings, is left out. */
static void test_all_bytes(void **state)
{
	(void)state;
	for (unsigned i = 1; i < 65536; i++) {
		uint8_t pair[2] = { (uint8_t)(i >> 8), (uint8_t)i };
		struct slice text = pair[0] ? slice_of(pair, 2) : slice_of(pair + 1, 1);
		struct buf b;
		json_t *j = NULL;
		struct err e;

		if (!pair[1])
			continue;
		buf_init(&b, 100);
		assert_int_equal(buf_add_byte(&b, '{'), RC_OK);
		assert_int_equal(meta_text(&b, "x", text), RC_OK);
		assert_int_equal(meta_close(&b, '}'), RC_OK);
		EXPECT_OK(json_read(&j, buf_slice(&b), &e), &e);
		if (slice_is_utf8(text))
			assert_true(slice_equal(json_member_text(j, "x"), text));
		json_decref(j);
		buf_free(&b);
	}
}

static void test_object(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_int_equal(buf_add_byte(&b, '{'), RC_OK);
	assert_int_equal(meta_int(&b, "v", -1), RC_OK);
	assert_int_equal(meta_text_if(&b, "none", slice_str("")), RC_OK);
	assert_int_equal(meta_open(&b, "list", '['), RC_OK);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(meta_element(&b), RC_OK);
		assert_int_equal(meta_bool(&b, "last", i == 1), RC_OK);
		assert_int_equal(meta_close(&b, '}'), RC_OK);
	}
	assert_int_equal(meta_close(&b, ']'), RC_OK);
	assert_int_equal(meta_open(&b, "empty", '{'), RC_OK);
	assert_int_equal(meta_close(&b, '}'), RC_OK);
	assert_int_equal(meta_close(&b, '}'), RC_OK);
	EXPECT_SLICE("object", buf_slice(&b),
	             "{\"v\":-1,\"list\":[{\"last\":false},{\"last\":true}],\"empty\":{}}");
	buf_free(&b);
}

static void test_limit(void **state)
{
	(void)state;
	for (size_t limit = 0; limit < 20; limit++) {
		struct buf b;

		buf_init(&b, limit);
		assert_int_equal(meta_text(&b, "name", slice_str("\x01\x01\x01\x01")), RC_LIMIT);
		buf_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_all_bytes),
		cmocka_unit_test(test_object),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
