#include "ingest/verdict/raw.h"

#include <stdlib.h>

#include "base/buf.h"
#include "tests/unit/test.h"

static const char *const cut[][6] = {
	/* message, body, name and value of the first field, and of the second */
	{ "From: a\r\nTo : b\r\n c\r\n\r\nbody\r\n", "body\r\n", "From", " a\r\n", "To",
	  " b\r\n c\r\n" },
	{ "From: a\nTo: b\n\nbody", "body", "From", " a\n", "To", " b\n" },
	{ "From:\r\nTo:x", "", "From", "\r\n", "To", "x" },
	{ "A: 1\r\n\t\r\nB: 2\r\n\r\n\r\n", "\r\n", "A", " 1\r\n\t\r\n", "B", " 2\r\n" },
	/* lines that begin no field stay, without a name */
	{ "From ann Mon 10:00\r\nB: 2\r\n\r\n", "", "", "From ann Mon 10:00\r\n", "B", " 2\r\n" },
	{ " A: 1\r\nB: 2\r\n\r\n", "", "", " A: 1\r\n", "B", " 2\r\n" },
	{ "no colon\r\n:x\r\n", "", "", "no colon\r\n", "", ":x\r\n" },
	{ "F\xc3\xb6: 1\r\nB\x01: 2\r\n\r\n", "", "", "F\xc3\xb6: 1\r\n", "", "B\x01: 2\r\n" },
	{ "no\r\n : colon\r\nB\t :2\r\n", "", "", "no\r\n : colon\r\n", "B", "2\r\n" },
};

static void fields_and_body(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cut); i++) {
		struct raw_message m;

		assert_int_equal(raw_read(&m, slice_str(cut[i][0]), NULL), RC_OK);
		EXPECT(cut[i][0], m.count == 2);
		EXPECT_SLICE(cut[i][0], m.body, cut[i][1]);
		EXPECT_SLICE(cut[i][0], m.fields[0].name, cut[i][2]);
		EXPECT_SLICE(cut[i][0], m.fields[0].value, cut[i][3]);
		EXPECT_SLICE(cut[i][0], m.fields[1].name, cut[i][4]);
		EXPECT_SLICE(cut[i][0], m.fields[1].value, cut[i][5]);
		raw_free(&m);
	}
}

static void without_header(void **state)
{
	static const char *const messages[] = { "", "\r\n", "\n" };
	struct raw_message m;

	(void)state;
	for (size_t i = 0; i < COUNT(messages); i++) {
		assert_int_equal(raw_read(&m, slice_str(messages[i]), NULL), RC_OK);
		assert_true(m.count == 0 && m.body.len == 0);
		raw_free(&m);
	}
	assert_int_equal(raw_read(&m, slice_str("\r\nA: 1\r\n"), NULL), RC_OK);
	assert_true(m.count == 0);
	EXPECT_SLICE("body", m.body, "A: 1\r\n");
	raw_free(&m);
}

static enum rc read_many(size_t count, const char *line)
{
	struct raw_message m;
	struct buf b;
	enum rc rc;

	buf_init(&b, 4 << 20);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(buf_add_str(&b, line), RC_OK);
	rc = raw_read(&m, buf_slice(&b), NULL);
	if (rc == RC_OK)
		assert_int_equal(m.count, line[0] == ' ' ? 1 : count);
	raw_free(&m);
	buf_free(&b);
	return rc;
}

static void limits(void **state)
{
	(void)state;
	assert_int_equal(read_many(RAW_FIELDS, "A: 1\r\n"), RC_OK);
	assert_int_equal(read_many(RAW_FIELDS + 1, "A: 1\r\n"), RC_LIMIT);
	assert_int_equal(read_many(LIMIT_HEADER_BLOCK / 8, " 34567\r\n"), RC_OK);
	assert_int_equal(read_many(LIMIT_HEADER_BLOCK / 8 + 1, " 34567\r\n"), RC_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_and_body),
		cmocka_unit_test(without_header),
		cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
