#include <stdlib.h>

#include "api/model.h"
#include "api/wire.h"
#include "tests/unit/api/random_value.h"
#include "tests/unit/ingest/quoted.h"

/* A member of every kind. */
static const struct shape text = { .name = "Text", .kind = SHAPE_STRING };
static const struct shape word = { .name = "Word", .kind = SHAPE_ENUM, .values = "A B" };
static const struct shape whole = { .name = "Whole", .kind = SHAPE_INT };
static const struct shape_member one_members[] = { { .name = "T", .shape = &text },
	                                           { .name = NULL } };
static const struct shape one = { .name = "One", .kind = SHAPE_UNION, .members = one_members };
static const struct shape list = { .name = "List", .kind = SHAPE_LIST, .item = &text };
static const struct shape_member all_members[] = {
	{ .name = "T", .shape = &text },
	{ .name = "E", .shape = &word },
	{ .name = "I", .shape = &whole },
	{ .name = "D", .shape = &shape_Double },
	{ .name = "B", .shape = &shape_Boolean },
	{ .name = "S", .shape = &shape_Timestamp },
	{ .name = "U", .shape = &one },
	{ .name = "L", .shape = &list },
	{ .name = "O", .shape = &text, .marks = SHAPE_OURS },
	{ .name = NULL },
};
static const struct shape all = { .name = "All", .kind = SHAPE_STRUCT, .members = all_members };

/* `want` begins with '{': the value; else the text of RC_INVALID. */
static void expect(enum wire_protocol protocol, const char *name, struct slice body,
                   const char *want)
{
	struct err e = { 0 };
	json_t *got;
	enum rc rc = wire_decode(protocol, &all, body, &got, &e);

	if (*want == '{') {
		json_t *value = quoted(want);

		if (rc != RC_OK)
			fail_msg("%s: %s", name, e.text);
		if (!json_equal(got, value))
			fail_msg("%s: got %s", name, json_dumps(got, JSON_COMPACT));
		json_decref(value);
	} else {
		EXPECT(name, rc == RC_INVALID && !got);
		if (strcmp(e.text, want) != 0)
			fail_msg("%s\n got: %s\nwant: %s", name, e.text, want);
	}
	json_decref(got);
}

static const struct {
	const char *body;
	const char *want;
} json_cases[] = {
	{ "", "{}" },
	{ "{}", "{}" },
	{ " { } ", "{}" },
	{ "{'T':'x','E':'C','I':-5,'D':2.5,'B':true,'S':1,'U':{'T':''},'L':['a','b']}",
	  "{'T':'x','E':'C','I':-5,'D':2.5,'B':true,'S':1000,'U':{'T':''},'L':['a','b']}" },
	{ "{'T':null,'New':{'deep':[[[null]]]},'O':'ours','U':{'X':1,'T':null}}", "{'U':{}}" },
	/* times */
	{ "{'S':1767323045.678}", "{'S':1767323045678}" },
	{ "{'S':1.7E9}", "{'S':1700000000000}" },
	{ "{'S':1700000000.0004}", "{'S':1700000000000}" },
	{ "{'S':-0.001}", "{'S':-1}" },
	{ "{'S':253402300799.999}", "{'S':253402300799999}" },
	{ "{'S':-62135596800}", "{'S':-62135596800000}" },
	{ "{'S':253402300800}", "S: must be a time in the years 1 to 9999, in seconds since 1970" },
	{ "{'S':253402300800.0}",
	  "S: must be a time in the years 1 to 9999, in seconds since 1970" },
	{ "{'S':9223372036854775807}",
	  "S: must be a time in the years 1 to 9999, in seconds since 1970" },
	{ "{'S':-1e300}", "S: must be a time in the years 1 to 9999, in seconds since 1970" },
	{ "{'S':'2026-01-02T03:04:05Z'}", "S: must be a time" },
	/* numbers */
	{ "{'D':3}", "{'D':3}" },
	{ "{'D':3.0}", "{'D':3}" },
	{ "{'D':-0.0}", "{'D':0}" },
	{ "{'D':1e300}", "{'D':1e300}" },
	{ "{'D':'1'}", "D: must be a number" },
	{ "{'D':'NaN'}", "D: must be a number" },
	{ "{'I':2147483647}", "{'I':2147483647}" },
	{ "{'I':2147483648}", "I: must be an integer of 32 bits" },
	{ "{'I':-2147483649}", "I: must be an integer of 32 bits" },
	{ "{'I':1.0}", "I: must be an integer of 32 bits" },
	{ "{'I':'1'}", "I: must be an integer of 32 bits" },
	{ "{'I':true}", "I: must be an integer of 32 bits" },
	/* other types */
	{ "[]", "must be an object" },
	{ "null", "must be an object" },
	{ "'{}'", "must be an object" },
	{ "{'T':5}", "T: must be a string" },
	{ "{'E':false}", "E: must be a string" },
	{ "{'B':'true'}", "B: must be true or false" },
	{ "{'B':0}", "B: must be true or false" },
	{ "{'L':{}}", "L: must be a list" },
	{ "{'L':['a',null]}", "L[1]: must be a string" },
	{ "{'L':['a',['b']]}", "L[1]: must be a string" },
	{ "{'U':[]}", "U: must be an object" },
	{ "{'U':{'T':1}}", "U.T: must be a string" },
	/* no JSON; nothing of the body is in the text */
	{ "{", "not JSON: line 1, column 1: string or '}' expected" },
	{ "{} {}", "not JSON: line 1, column 4: end of file expected" },
	{ "{'T':'a','T':'b'}", "not JSON: line 1, column 12: duplicate object key" },
	{ "{'T':'\\u0000'}", "not JSON: line 1, column 13: \\u0000 is not allowed without "
	                     "JSON_ALLOW_NUL" },
	{ "{'T':'\xff'}", "not JSON: line 1, column 6: unable to decode byte 0xff" },
	{ "{'D':1e999}", "not JSON: line 1, column 10: real number overflow" },
};

static void test_json(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(json_cases); i++) {
		char *body = quoted_text(json_cases[i].body);

		expect(WIRE_AWS_JSON, json_cases[i].body, slice_str(body), json_cases[i].want);
		free(body);
	}
}

/* In hexadecimal digits. */
static const struct {
	const char *body;
	const char *want;
} cbor_cases[] = {
	{ "", "{}" },
	{ "a0", "{}" },
	{ "bfff", "{}" },
	{ "a1 6154 6178", "{'T':'x'}" },
	{ "bf 6154 6178 ff", "{'T':'x'}" },
	{ "b90001 6154 6178", "{'T':'x'}" },
	{ "bb0000000000000001 7f6154ff 7801 78", "{'T':'x'}" },
	{ "a1 6154 7f 6178 60 62c3a9 ff", "{'T':'x\xc3\xa9'}" },
	{ "a1 6154 7fff", "{'T':''}" },
	{ "a2 6145 6143 6142 f5", "{'E':'C','B':true}" },
	{ "a1 614c 82 6161 6162", "{'L':['a','b']}" },
	{ "a1 614c 9f 6161 6162 ff", "{'L':['a','b']}" },
	{ "a1 6155 a1 6154 60", "{'U':{'T':''}}" },
	{ "a2 6154 f6 6142 f7", "{}" },
	{ "a1 614f 6178", "{}" }, /* ours */
	{ "a1 6158 81 bf 6161 c11a00000001 6162 5f 41ff ff 6163 fb7ff8000000000000 ff", "{}" },
	{ "a1 6158 f5", "{}" },
	/* times */
	{ "a1 6153 c1 1a6553f100", "{'S':1700000000000}" },
	{ "a1 6153 c1 fb41da55cd696b645a", "{'S':1767323045678}" },
	{ "a1 6153 c1 fa3fc00000", "{'S':1500}" },
	{ "a1 6153 c1 f93e00", "{'S':1500}" },
	{ "a1 6153 c1 20", "{'S':-1000}" },
	{ "a1 6153 c1 1b7fffffffffffffff",
	  "S: must be a time in the years 1 to 9999, in seconds since 1970" },
	{ "a1 6153 c1 1bffffffffffffffff",
	  "S: must be a time in the years 1 to 9999, in seconds since 1970" },
	{ "a1 6153 c1 f97e00", "S: must be a time in the years 1 to 9999, in seconds since 1970" },
	{ "a1 6153 c1 f97c00", "S: must be a time in the years 1 to 9999, in seconds since 1970" },
	{ "a1 6153 1a6553f100", "S: must be a time" },
	{ "a1 6153 c1 6131", "not CBOR: byte 6: a time that is no number" },
	{ "a1 6153 c1 c1 01", "not CBOR: byte 5: a time that is no number" },
	{ "a1 6153 c0 01", "not CBOR: byte 4: an unknown tag" },
	{ "a1 6158 c2 4101", "not CBOR: byte 4: an unknown tag" },
	/* numbers */
	{ "a1 6144 03", "{'D':3}" },
	{ "a1 6144 f94200", "{'D':3}" },
	{ "a1 6144 fa40200000", "{'D':2.5}" },
	{ "a1 6144 fb4004000000000000", "{'D':2.5}" },
	{ "a1 6144 1bffffffffffffffff", "{'D':1.8446744073709552e19}" },
	{ "a1 6144 f98000", "{'D':0}" },
	{ "a1 6144 f97e00", "D: must be a finite number" },
	{ "a1 6144 f9fc00", "D: must be a finite number" },
	{ "a1 6149 1a7fffffff", "{'I':2147483647}" },
	{ "a1 6149 3a7fffffff", "{'I':-2147483648}" },
	{ "a1 6149 1a80000000", "I: must be an integer of 32 bits" },
	{ "a1 6149 3bffffffffffffffff", "I: must be an integer of 32 bits" },
	{ "a1 6149 f93c00", "I: must be an integer of 32 bits" },
	{ "a1 6149 6131", "I: must be an integer of 32 bits" },
	/* other types */
	{ "80", "must be an object" },
	{ "f6", "must be an object" },
	{ "60", "must be an object" },
	{ "ff", "must be an object" },
	{ "a1 6154 4178", "T: must be a string" }, /* bytes */
	{ "a1 6154 5f4178ff", "T: must be a string" },
	{ "a1 6154 01", "T: must be a string" },
	{ "a1 6142 01", "B: must be true or false" },
	{ "a1 614c a0", "L: must be a list" },
	{ "a1 614c 82 6161 f6", "L[1]: must be a string" },
	{ "a1 6155 80", "U: must be an object" },
	/* no CBOR, or none of this kind */
	{ "a1", "not CBOR: byte 1: it ends too early" },
	{ "a1 6154", "not CBOR: byte 3: it ends too early" },
	{ "a1 6154 6278", "not CBOR: byte 3: it ends too early" },
	{ "bf 6154 6178", "not CBOR: byte 5: it ends too early" },
	{ "bbffffffffffffffff 6154 6178", "not CBOR: byte 13: it ends too early" },
	{ "a1 614c 9bffffffffffffffff", "not CBOR: byte 12: it ends too early" },
	{ "a1 6154 7bffffffffffffffff 78", "not CBOR: byte 3: it ends too early" },
	{ "a0 00", "not CBOR: byte 1: something behind the value" },
	{ "a2 6154 6178 6154 6178", "not CBOR: byte 7: a member that is there twice" },
	{ "a2 6158 00 6158 00", "not CBOR: byte 6: a member that is there twice" },
	{ "a1 01 02", "not CBOR: byte 2: a name that is no text" },
	{ "a1 4154 6178", "not CBOR: byte 3: a name that is no text" },
	{ "a1 6158 a1 01 02", "not CBOR: byte 5: a name that is no text" },
	{ "a1 61ff 00", "not CBOR: byte 3: text that isn't UTF-8" },
	{ "a1 6154 61ff", "not CBOR: byte 5: text that isn't UTF-8" },
	{ "a1 6154 7f 61c3 61a9 ff", "not CBOR: byte 6: text that isn't UTF-8" },
	{ "a1 6158 62c0af", "not CBOR: byte 6: text that isn't UTF-8" },
	{ "a1 6154 6100", "not CBOR: byte 5: text with NUL" },
	{ "a1 6154 7f 4178 ff", "not CBOR: byte 6: a piece of text that is none" },
	{ "a1 6154 7f 7f6178ff ff", "not CBOR: byte 5: a piece of text that is none" },
	{ "a1 6158 5f 6178 ff", "not CBOR: byte 6: a piece of a byte string that is none" },
	{ "a1 6154 ff", "T: must be a string" },
	{ "a1 6158 ff", "not CBOR: byte 4: an end of nothing" },
	{ "a1 ff", "not CBOR: byte 2: an end of nothing" },
	{ "bf 6154 ff", "T: must be a string" },
	{ "a1 614c 81 ff", "not CBOR: byte 5: an end of nothing" },
	{ "a1 6158 fc", "not CBOR: byte 3: no such item" },
	{ "a1 6158 1c", "not CBOR: byte 3: no such item" },
	{ "a1 6158 f8ff", "not CBOR: byte 3: no such item" },
};

static int digit(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

static size_t from_hex(const char *hex, uint8_t *out)
{
	size_t n = 0;

	for (; *hex; hex++)
		if (*hex != ' ') {
			out[n++] = (uint8_t)(digit(hex[0]) * 16 + digit(hex[1]));
			hex++;
		}
	return n;
}

static void test_cbor(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cbor_cases); i++) {
		uint8_t *body = mem_new(100);
		size_t n = from_hex(cbor_cases[i].body, body);

		body = mem_resize(body, n ? n : 1); /* so that ASan sees a read behind it */
		expect(WIRE_RPC_CBOR, cbor_cases[i].body, slice_of(body, n), cbor_cases[i].want);
		free(body);
	}
}

/* `n` lists around nothing, as the value of an unknown member. */
static enum rc decode_deep(enum wire_protocol protocol, size_t n)
{
	struct buf body;
	struct err e = { 0 };
	json_t *got;
	enum rc rc;

	buf_init(&body, 8u << 20);
	MUST(buf_add_str(&body, protocol == WIRE_RPC_CBOR ? "\xa1\x61X" : "{\"X\":") == RC_OK);
	for (size_t i = 0; i < n; i++)
		MUST(buf_add_byte(&body, protocol == WIRE_RPC_CBOR ? 0x81 : '[') == RC_OK);
	MUST(buf_add_str(&body, protocol == WIRE_RPC_CBOR ? "\xf6" : "null") == RC_OK);
	for (size_t i = 0; i < n && protocol == WIRE_AWS_JSON; i++)
		MUST(buf_add_byte(&body, ']') == RC_OK);
	if (protocol == WIRE_AWS_JSON)
		MUST(buf_add_byte(&body, '}') == RC_OK);
	rc = wire_decode(protocol, &all, buf_slice(&body), &got, &e);
	json_decref(got);
	buf_free(&body);
	return rc;
}

/* `n` texts in a list, each with what would look like more values. */
static enum rc decode_many(enum wire_protocol protocol, size_t n, struct err *e)
{
	const char *item = protocol == WIRE_RPC_CBOR ? "\x63,[:" : "\",[:\\\"\"";
	struct buf body;
	json_t *got;
	enum rc rc;

	buf_init(&body, WIRE_BODY_MAX);
	MUST(buf_add_str(&body, protocol == WIRE_RPC_CBOR ? "\xa1\x61L\x9f" : "{\"L\":[") == RC_OK);
	for (size_t i = 0; i < n; i++) {
		if (i && protocol == WIRE_AWS_JSON)
			MUST(buf_add_byte(&body, ',') == RC_OK);
		MUST(buf_add_str(&body, item) == RC_OK);
	}
	MUST(buf_add_str(&body, protocol == WIRE_RPC_CBOR ? "\xff" : "]}") == RC_OK);
	rc = wire_decode(protocol, &all, buf_slice(&body), &got, e);
	json_decref(got);
	buf_free(&body);
	return rc;
}

static void test_values(void **state)
{
	(void)state;
	for (enum wire_protocol p = WIRE_AWS_JSON; p <= WIRE_RPC_CBOR; p++) {
		struct err e = { 0 };

		EXPECT_OK(decode_many(p, WIRE_VALUES_MAX - 5, &e), &e);
		assert_int_equal(decode_many(p, WIRE_VALUES_MAX, &e), RC_INVALID);
		assert_string_equal(e.text, "too many values");
	}
}

static void test_bounds(void **state)
{
	(void)state;
	assert_int_equal(decode_deep(WIRE_RPC_CBOR, WIRE_DEPTH_MAX - 1), RC_OK);
	assert_int_equal(decode_deep(WIRE_RPC_CBOR, WIRE_DEPTH_MAX), RC_INVALID);
	assert_int_equal(decode_deep(WIRE_RPC_CBOR, 1000000), RC_INVALID);
	assert_int_equal(decode_deep(WIRE_AWS_JSON, 1000), RC_OK);
	assert_int_equal(decode_deep(WIRE_AWS_JSON, 500000), RC_INVALID);
	assert_int_equal(decode_deep(WIRE_RPC_CBOR, WIRE_BODY_MAX), RC_LIMIT);
	assert_int_equal(decode_deep(WIRE_AWS_JSON, WIRE_BODY_MAX), RC_LIMIT);
}

static void expect_written(enum wire_protocol protocol, const char *value, const char *want,
                           size_t n)
{
	json_t *json = quoted(value);
	struct err e = { 0 };
	struct buf out;

	buf_init(&out, 4096);
	EXPECT_OK(wire_encode(protocol, &all, json, &out, &e), &e);
	if (!slice_equal(buf_slice(&out), slice_of(want, n)))
		fail_msg("%s: got %s", value, buf_text(&out));
	buf_free(&out);
	json_decref(json);
}

static void test_written_json(void **state)
{
	static const struct {
		const char *value;
		const char *want;
	} cases[] = {
		{ "{}", "{}" },
		{ "{'B':true,'T':'x\\n\\u00e9','unknown':1,'E':null}",
		  "{'T':'x\\n\xc3\xa9','B':true}" },
		{ "{'L':['a','b'],'U':{'T':''},'O':'ours'}",
		  "{'U':{'T':''},'L':['a','b'],'O':'ours'}" },
		{ "{'S':1767323045678}", "{'S':1767323045.678}" },
		{ "{'S':1700000000000}", "{'S':1700000000}" },
		{ "{'S':1700000000100}", "{'S':1700000000.1}" },
		{ "{'S':1700000000020}", "{'S':1700000000.02}" },
		{ "{'S':-1}", "{'S':-0.001}" },
		{ "{'S':-1500}", "{'S':-1.5}" },
		{ "{'D':2.5,'I':-7}", "{'I':-7,'D':2.5}" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char *want = quoted_text(cases[i].want);

		expect_written(WIRE_AWS_JSON, cases[i].value, want, strlen(want));
		free(want);
	}
}

static void test_written_cbor(void **state)
{
	static const struct {
		const char *value;
		const char *want;
	} cases[] = {
		{ "{}", "a0" },
		{ "{'T':'x','B':false,'unknown':1,'E':null}", "a2 6154 6178 6142 f4" },
		{ "{'L':['a'],'U':{'T':''}}", "a2 6155 a1 6154 60 614c 81 6161" },
		{ "{'I':-25}", "a1 6149 3818" },
		{ "{'D':3}", "a1 6144 fb4008000000000000" },
		{ "{'S':1700000000000}", "a1 6153 c1 1a6553f100" },
		{ "{'S':1767323045678}", "a1 6153 c1 fb41da55cd696b645a" },
		{ "{'S':-1000}", "a1 6153 c1 20" },
	};
	uint8_t want[100];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		expect_written(WIRE_RPC_CBOR, cases[i].value, (const char *)want,
		               from_hex(cases[i].want, want));
}

/* What isn't of the shape is not written at all. */
static void test_not_written(void **state)
{
	static const char *const values[] = { "[]",        "{'T':1}",      "{'I':1.5}",
		                              "{'S':1.5}", "{'L':[null]}", "{'U':{'T':[]}}",
		                              "{'B':'x'}" };

	(void)state;
	for (size_t i = 0; i < 2 * COUNT(values); i++) {
		json_t *json = quoted(values[i / 2]);
		struct err e = { 0 };
		struct buf out;

		buf_init(&out, 4096);
		MUST(buf_add_str(&out, "before") == RC_OK);
		EXPECT(values[i / 2], wire_encode(i % 2, &all, json, &out, &e) == RC_INVALID);
		EXPECT(values[i / 2], strstr(e.text, "must be"));
		EXPECT_SLICE(values[i / 2], buf_slice(&out), "before");
		buf_free(&out);
		json_decref(json);
	}
}

static void test_no_room(void **state)
{
	json_t *json =
	        quoted("{'T':'0123456789','S':1767323045678,'L':['a','b'],'D':1.5,'B':true}");

	(void)state;
	for (int protocol = 0; protocol < 2; protocol++) {
		struct err e = { 0 };
		struct buf out;
		size_t full;

		buf_init(&out, 4096);
		EXPECT_OK(wire_encode(protocol, &all, json, &out, &e), &e);
		full = out.len;
		buf_free(&out);
		for (size_t n = 0; n < full; n++) {
			buf_init(&out, n);
			assert_int_equal(wire_encode(protocol, &all, json, &out, &e), RC_LIMIT);
			assert_int_equal(out.len, 0);
			buf_free(&out);
		}
	}
	json_decref(json);
}

static void test_errors(void **state)
{
	static const char json[] =
	        "{\"__type\":\"ValidationException\",\"Message\":\"a \\\"b\\\"\","
	        "\"message\":\"a \\\"b\\\"\"}";
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	assert_int_equal(wire_encode_error(WIRE_AWS_JSON, API_VALIDATION, "a \"b\"", &out), RC_OK);
	EXPECT_SLICE("json", buf_slice(&out), json);
	buf_clear(&out);
	assert_int_equal(wire_encode_error(WIRE_RPC_CBOR, API_CONFLICT, "x", &out), RC_OK);
	EXPECT_SLICE("cbor", buf_slice(&out),
	             "\xa3\x66__type\x71"
	             "ConflictException\x67Message\x61x\x67message\x61x");
	buf_free(&out);
	assert_string_equal(wire_content_type(WIRE_AWS_JSON), "application/x-amz-json-1.0");
	assert_string_equal(wire_content_type(WIRE_RPC_CBOR), "application/cbor");
}

static void expect_back(enum wire_protocol protocol, const struct shape *shape, const json_t *value)
{
	struct err e = { 0 };
	struct buf body;
	json_t *back;

	buf_init(&body, 16u << 20);
	EXPECT_OK(wire_encode(protocol, shape, value, &body, &e), &e);
	EXPECT_OK(wire_decode(protocol, shape, buf_slice(&body), &back, &e), &e);
	if (!json_equal(value, back))
		fail_msg("%s: %s\nbecame: %s", shape->name, json_dumps(value, JSON_COMPACT),
		         json_dumps(back, JSON_COMPACT));
	json_decref(back);
	buf_free(&body);
}

/* Whatever an operation takes or gives is the same after the way there and back, in both protocols.
 */
static void test_there_and_back(void **state)
{
	int rounds = getenv("MM_LONG") && *getenv("MM_LONG") ? 300 : 20;

	(void)state;
	random_begin();
	for (int round = 0; round < rounds; round++)
		for (size_t i = 0; i < 2 * MODEL_OPERATIONS; i++) {
			const struct model_operation *op = &model_operations[i / 2];
			const struct shape *shape = i % 2 ? op->output : op->input;
			json_t *value = random_value(shape);

			expect_back(WIRE_AWS_JSON, shape, value);
			expect_back(WIRE_RPC_CBOR, shape, value);
			json_decref(value);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json),         cmocka_unit_test(test_cbor),
		cmocka_unit_test(test_bounds),       cmocka_unit_test(test_values),
		cmocka_unit_test(test_written_json), cmocka_unit_test(test_written_cbor),
		cmocka_unit_test(test_not_written),  cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_errors),       cmocka_unit_test(test_there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
