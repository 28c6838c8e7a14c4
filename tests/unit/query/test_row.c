/* tests/unit/query/test_row.c - rows for programs and for terminals */
#include "tests/unit/test.h"

#include <stdlib.h>

#include "index/doc_verdict.h"
#include "query/row.h"
#include "query/row_read.h"

static struct index_row sample(void)
{
	static const uint8_t random[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	struct index_row row = {
		.received_ms = 1700000000123,
		.sent_ms = 1699999999000,
		.bytes = 12600,
		.flags = DOC_HAS_SENT | DOC_HAS_ATTACHMENT,
		.subject = slice_str("Order 7"),
		.from = slice_str("Ann <ann@a.example>\nSender <s@a.example>"),
		.to = slice_str("b@b.example\nc@c.example\n"),
		.envelope_from = slice_str("bounce@a.example"),
		.envelope_to = slice_str("b@b.example"),
		.message_id = slice_str("m1@a.example"),
		.ingress = slice_str("inbound"),
		.ip = slice_str("192.0.2.1"),
		.filename = slice_str("a.pdf\nb.txt"),
	};

	row.id = id_make(row.received_ms, 5, random);
	memset(row.sha256, 0xab, 32);
	return row;
}

static void expect_json(const struct index_row *row, const char *const *parts, size_t count)
{
	json_t *j = row_json(row, "corp");
	char *text;

	assert_non_null(j);
	text = json_dumps(j, JSON_COMPACT);
	for (size_t i = 0; i < count; i++)
		if (!strstr(text, parts[i]))
			fail_msg("no %s in %s", parts[i], text);
	free(text);
	json_decref(j);
}

static void json_has_the_contract(void **state)
{
	static const char *const parts[] = {
		"\"archive\":\"corp\"",
		"\"received\":\"2023-11-14T22:13:20.123Z\"",
		"\"sent\":\"2023-11-14T22:13:19.000Z\"",
		"\"from\":\"Ann <ann@a.example>, Sender <s@a.example>\"",
		"\"to\":[\"b@b.example\",\"c@c.example\"]",
		"\"cc\":[]",
		"\"bcc\":[]",
		"\"subject\":\"Order 7\"",
		"\"message_id\":\"m1@a.example\"",
		"\"bytes\":12600",
		"\"sha256\":\"abababab",
		"\"envelope_from\":\"bounce@a.example\"",
		"\"envelope_to\":[\"b@b.example\"]",
		"\"has_attachment\":true",
		"\"parse_problem\":false",
		"\"not_indexed\":false",
		"\"attachments\":[\"a.pdf\",\"b.txt\"]",
		"\"ingress\":\"inbound\"",
		"\"ip\":\"192.0.2.1\"",
		"\"problem\":\"\"",
	};
	struct index_row row = sample();
	char id[ID_TEXT + 1];
	json_t *j = row_json(&row, "corp");

	(void)state;
	id_format(id, &row.id);
	assert_string_equal(json_string_value(json_object_get(j, "id")), id);
	json_decref(j);
	expect_json(&row, parts, COUNT(parts));
}

static void json_of_odd_bytes(void **state)
{
	static const char *const parts[] = {
		"\"subject\":\"a\xef\xbf\xbd\\u0000\\u001B[31m\"",
		"\"sent\":null",
		"\"parse_problem\":true",
		"\"not_indexed\":true",
		"\"from\":\"\"",
	};
	struct index_row row = sample();

	(void)state;
	row.subject = slice_of("a\xff\0\x1b[31m", 8);
	row.flags = DOC_PARSE_PROBLEM | DOC_NOT_INDEXED;
	row.from = slice_of(NULL, 0);
	expect_json(&row, parts, COUNT(parts));
}

static void terminal_lines(void **state)
{
	struct index_row row = sample();
	char id[ID_TEXT + 1];
	struct buf out;

	(void)state;
	buf_init(&out, 10000);
	assert_int_equal(row_text(&row, &out), RC_OK);
	id_format(id, &row.id);
	assert_memory_equal(out.at, id, ID_TEXT);
	EXPECT_SLICE(
	        "lines", slice_from(buf_slice(&out), ID_TEXT),
	        "  2023-11-14T22:13:20Z  12.3 KB  Ann <ann@a.example> (+1) -> b@b.example (+1)\n"
	        "    Order 7  [attachment]\n");
	buf_clear(&out);
	row.subject = slice_str("\x1b]0;x\x07\r\nfake line \xe2\x80\xae"
	                        "exe.txt");
	row.from = slice_of(NULL, 0);
	row.envelope_from = slice_of(NULL, 0);
	row.to = slice_of(NULL, 0);
	row.bytes = 999;
	row.flags = DOC_PARSE_PROBLEM | DOC_NOT_INDEXED;
	assert_int_equal(row_text(&row, &out), RC_OK);
	EXPECT_SLICE("lines", slice_from(buf_slice(&out), ID_TEXT),
	             "  2023-11-14T22:13:20Z  999 B  <> -> b@b.example\n"
	             "    \\x1b]0;x\\x07\\x0d\\x0afake line \\u{202e}exe.txt"
	             "  [problem]  [not fully indexed]\n");
	buf_free(&out);
}

static uint32_t verdicts(const char *spf, const char *dkim, const char *dmarc, const char *asks)
{
	const char *const words[DOC_VERDICTS] = { spf, dkim, "none", dmarc, asks };
	uint32_t flags = 0;

	for (int k = 0; k < DOC_VERDICTS; k++) {
		uint32_t bits;

		assert_true(doc_verdict_bits((enum doc_verdict)k, slice_str(words[k]), &bits));
		flags |= bits;
	}
	return flags;
}

/* All words of all kinds come back, and none is another's; what isn't checked has no bits. */
static void verdict_words_are_numbers(void **state)
{
	uint32_t seen[64];
	size_t count = 0;

	(void)state;
	for (int k = 0; k < DOC_VERDICTS; k++) {
		enum doc_verdict kind = (enum doc_verdict)k;
		struct slice rest = slice_str(doc_verdict_words(kind));
		uint32_t bits;

		assert_true(doc_verdict_bits(kind, slice_str("Unchecked"), &bits));
		assert_int_equal(bits, 0);
		assert_null(doc_verdict_word(kind, 0));
		assert_null(doc_verdict_word(kind, doc_verdict_mask(kind)));
		assert_false(doc_verdict_bits(kind, slice_str(""), &bits));
		assert_false(doc_verdict_bits(kind, slice_str("passed"), &bits));
		while (rest.len) {
			struct slice word = slice_trim(slice_cut(rest, ',', &rest));

			assert_true(doc_verdict_bits(kind, word, &bits));
			assert_int_equal(bits & ~doc_verdict_mask(kind), 0);
			EXPECT_SLICE("word", word, doc_verdict_word(kind, bits | 15));
			for (size_t i = 0; i < count; i++)
				assert_true(seen[i] != bits);
			seen[count++] = bits;
		}
	}
	assert_int_equal(count, 7 + 7 + 4 + 5 + 3);
}

static void rows_show_verdicts(void **state)
{
	static const char *const parts[] = { "\"spf\":\"softfail\"", "\"dkim\":\"pass\"",
		                             "\"arc\":\"none\"", "\"dmarc\":\"fail\"",
		                             "\"dmarc_asks\":\"reject\"" };
	static const char *const unknown[] = { "\"spf\":null", "\"dmarc_asks\":null" };
	struct index_row row = sample();
	struct index_row again;
	struct buf memory;
	struct buf out;
	struct err e = { 0 };
	json_t *j;

	(void)state;
	buf_init(&out, 10000);
	buf_init(&memory, 10000);
	expect_json(&row, unknown, COUNT(unknown));
	row.flags |= verdicts("softfail", "pass", "fail", "reject");
	expect_json(&row, parts, COUNT(parts));
	assert_int_equal(row_text(&row, &out), RC_OK);
	assert_non_null(
	        strstr(buf_text(&out),
	               "[attachment]\n  = spf:softfail dkim:pass dmarc:fail dmarc:reject\n"));
	/* What a tool reads back from JSON is the same. */
	j = row_json(&row, "corp");
	EXPECT_OK(row_read(j, &again, &memory, &e), &e);
	assert_int_equal(again.flags, row.flags);
	json_decref(j);
	/* A subject is on its own line, whatever it says. */
	buf_clear(&out);
	row.flags = 0;
	row.subject = slice_str("x\n  = spf:pass dkim:pass");
	assert_int_equal(row_text(&row, &out), RC_OK);
	assert_null(strstr(buf_text(&out), "\n  = "));
	buf_free(&memory);
	buf_free(&out);
}

static void escaping(void **state)
{
	static const struct {
		const char *text;
		const char *want;
	} cases[] = {
		{ "plain", "plain" },
		{ "caf\xc3\xa9 \xe6\x9d\xb1", "caf\xc3\xa9 \xe6\x9d\xb1" },
		{ "\x1b[2J", "\\x1b[2J" },
		{ "\xc2\x9b", "\\u{009b}" },
		{ "\x7f", "\\x7f" },
		{ "\xff\xc3", "\\xff\\xc3" },
		{ "a\nb", "a\\x0ab" },
		{ "\xe2\x80\xa8", "\\u{2028}" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf out;

		buf_init(&out, 1000);
		assert_int_equal(text_escape(slice_str(cases[i].text), &out), RC_OK);
		EXPECT_SLICE(cases[i].text, buf_slice(&out), cases[i].want);
		buf_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_has_the_contract),
		cmocka_unit_test(json_of_odd_bytes),
		cmocka_unit_test(terminal_lines),
		cmocka_unit_test(verdict_words_are_numbers),
		cmocka_unit_test(rows_show_verdicts),
		cmocka_unit_test(escaping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
