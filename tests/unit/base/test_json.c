#include "base/json.h"
#include "tests/unit/test.h"

static json_t *read_ok(const char *text)
{
	struct err e = { 0 };
	json_t *out = NULL;

	EXPECT_OK(json_read(&out, slice_str(text), &e), &e);
	return out;
}

/* Mail was given up whose envelope there was no memory to read: T650 found it. */
static void test_memory_is_ours(void **state)
{
	json_malloc_t get;
	json_free_t give;

	(void)state;
	json_get_alloc_funcs(&get, &give);
	assert_true(get != malloc);
	json_decref(read_ok("[\"text\"]"));
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} cases[] = {
		{ "", 0 },
		{ "{", 1 },
		{ "{} x", 4 },
		{ "{}{}", 4 },
		{ "{\"a\":1,\"a\":2}", 13 },
		{ "[1,]", 4 },
		{ "{'a':1}", 7 },
		{ "\"\xff\"", 3 },
		{ "\"\xc0\xaf\"", 4 },
		{ "\"a\\u0000b\"", 10 },
		{ "\"a\0b\"", 5 },
		{ "\"\\ud800\"", 8 },
		{ "NaN", 3 },
		{ "1e999", 5 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct err e = { 0 };
		json_t *out;

		EXPECT(cases[i].text,
		       json_read(&out, slice_of(cases[i].text, cases[i].len), &e) == RC_INVALID);
		EXPECT(cases[i].text, out == NULL && strstr(e.text, "not JSON: line 1"));
	}
}

/* Deep nesting is refused, not a crash. */
static void test_depth(void **state)
{
	struct err e = { 0 };
	struct buf text;
	json_t *out;

	(void)state;
	buf_init(&text, 1 << 20);
	for (int i = 0; i < 500000; i++)
		assert_int_equal(buf_add_byte(&text, '['), RC_OK);
	assert_int_equal(json_read(&out, buf_slice(&text), &e), RC_INVALID);
	buf_free(&text);
}

static void test_members(void **state)
{
	json_t *j = read_ok("{\"s\":\"text\",\"i\":-7,\"r\":2.5,\"t\":true,\"n\":null,\"a\":[1],"
	                    "\"o\":{}}");

	(void)state;
	EXPECT_SLICE("s", json_member_text(j, "s"), "text");
	assert_null(json_member_text(j, "i").at);
	assert_null(json_member_text(j, "n").at);
	assert_null(json_member_text(j, "none").at);
	assert_null(json_member_text(NULL, "s").at);
	assert_int_equal(json_member_int(j, "i", 5), -7);
	assert_int_equal(json_member_int(j, "s", 5), 5);
	assert_int_equal(json_member_int(j, "r", 5), 5);
	assert_int_equal(json_member_int(NULL, "i", 5), 5);
	assert_true(json_member_number(j, "r", 0) > 2.4 && json_member_number(j, "r", 0) < 2.6);
	assert_true(json_member_number(j, "i", 0) < -6.9);
	assert_true(json_member_number(j, "s", 9) > 8.9);
	assert_true(json_member_bool(j, "t", false));
	assert_true(json_member_bool(j, "n", true));
	assert_false(json_member_bool(j, "i", false));
	assert_int_equal(json_array_size(json_member_array(j, "a")), 1);
	assert_null(json_member_array(j, "o"));
	assert_non_null(json_member_object(j, "o"));
	assert_null(json_member_object(j, "a"));
	json_decref(j);
}

static void test_write(void **state)
{
	json_t *j = json_object();
	json_t *list = json_array();
	struct buf out;

	(void)state;
	json_put_text(j, "z", slice_str("quote\" \xc3\xa9"));
	json_put_int(j, "a", INT64_MIN);
	json_put_bool(j, "b", false);
	json_push(list, json_null());
	json_put(j, "l", list);
	buf_init(&out, 100);
	assert_int_equal(json_write(&out, j), RC_OK);
	EXPECT_SLICE("compact", buf_slice(&out),
	             "{\"z\":\"quote\\\" \xc3\xa9\",\"a\":-9223372036854775808,\"b\":false,"
	             "\"l\":[null]}");
	buf_clear(&out);
	assert_int_equal(json_write_pretty(&out, list), RC_OK);
	EXPECT_SLICE("pretty", buf_slice(&out), "[\n  null\n]\n");
	buf_free(&out);
	json_decref(j);
}

/* Past the limit the buffer is as it was. */
static void test_limit(void **state)
{
	json_t *j = read_ok("[1,2,3]");
	struct buf out;

	(void)state;
	buf_init(&out, 8);
	assert_int_equal(buf_add_str(&out, "ab"), RC_OK);
	assert_int_equal(json_write(&out, j), RC_LIMIT);
	EXPECT_SLICE("as it was", buf_slice(&out), "ab");
	assert_int_equal(json_write_pretty(&out, j), RC_LIMIT);
	EXPECT_SLICE("as it was", buf_slice(&out), "ab");
	buf_free(&out);
	buf_init(&out, 7);
	assert_int_equal(json_write(&out, j), RC_OK);
	EXPECT_SLICE("exactly", buf_slice(&out), "[1,2,3]");
	assert_int_equal(json_write(&out, NULL), RC_LIMIT);
	buf_free(&out);
	json_decref(j);
}

static void test_slices(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *want;
	} cases[] = {
		{ "", 0, "" },
		{ "plain", 5, "plain" },
		{ "\xe4\xba\xac", 3, "\xe4\xba\xac" },
		{ "a\xff"
		  "b",
		  3,
		  "a\xef\xbf\xbd"
		  "b" },
		{ "a\0b", 3,
		  "a\xef\xbf\xbd"
		  "b" },
		{ "\xc3", 1, "\xef\xbf\xbd" },
		{ "\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xc3\xa9\xe4\xba", 4, "\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		json_t *j = json_of_slice(slice_of(cases[i].bytes, cases[i].len));

		EXPECT_SLICE(cases[i].bytes, json_text(j), cases[i].want);
		json_decref(j);
	}
	json_t *none = json_of_slice(slice_of(NULL, 0));
	EXPECT_SLICE("no bytes", json_text(none), "");
	json_decref(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_is_ours), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_depth),          cmocka_unit_test(test_members),
		cmocka_unit_test(test_write),          cmocka_unit_test(test_limit),
		cmocka_unit_test(test_slices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
