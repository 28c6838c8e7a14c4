/*
 * tests/fuzz/fuzz_scan.c - any bytes as a scanner's answer
 *
 * Input    byte 0: '0' clamd's line, '1' rspamd's JSON, '2' our contract's JSON; then the answer.
 * Oracle   It ends as a result, or broken, or unfit, never as if nobody were there. A result is one
 * of the four words, with fields only where something was found out; texts are printable ASCII, and
 * mmd reads it as the same again. What isn't a result says why, in printable ASCII. A verdict of
 * clamd's or rspamd's comes from the words that mean it.
 */
#include "ingest/scan/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_printable(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		MUST(s.at[i] >= ' ' && s.at[i] < 127);
}

static void expect_fields(const json_t *fields)
{
	const char *name;
	json_t *value;

	MUST(json_object_size(fields) >= 1 && json_object_size(fields) <= SCAN_FIELDS + 1);
	json_object_foreach((json_t *)(uintptr_t)fields, name, value)
	{
		MUST(json_is_string(value) || json_is_boolean(value));
		MUST(strlen(name) >= 1 && strlen(name) <= SCAN_FIELD_NAME);
		MUST(json_text(value).len <= SCAN_FIELD_TEXT);
		expect_printable(json_text(value));
	}
}

static void expect_result(const json_t *o)
{
	struct slice verdict = json_member_text(o, "verdict");
	json_t *fields = json_object_get(o, "fields");
	json_t *addons = json_object();
	json_t *again;
	struct err e;

	json_put(addons, "ai-1", json_incref((json_t *)(uintptr_t)o));
	if (slice_equal(verdict, slice_str("PROCESSING_FAILED"))) {
		MUST(!fields && json_object_get(o, "why"));
		expect_printable(json_member_text(o, "why"));
	} else {
		struct rule_result passed =
		        scans_field(addons, slice_str("ai-1"), slice_str("is passed"));

		MUST(slice_equal(verdict, slice_str("PASS")) ||
		     slice_equal(verdict, slice_str("FAIL")) ||
		     slice_equal(verdict, slice_str("GRAY")));
		expect_fields(fields);
		MUST(passed.kind != RULE_RESULT_NONE);
	}
	MUST(scans_field(addons, slice_str("ai-1"), slice_str("verdict")).kind ==
	     RULE_RESULT_VERDICT);
	MUST(scan_result_read(&again, o, &e) == RC_OK);
	MUST(json_equal(again, o));
	json_decref(again);
	json_decref(addons);
}

static bool has(struct slice s, const char *word)
{
	return slice_find(s, slice_str(word)) != SIZE_MAX;
}

static void expect_words(uint8_t form, struct slice s, const json_t *result)
{
	struct slice verdict = json_member_text(result, "verdict");

	if (form == '0')
		MUST(has(s, slice_equal(verdict, slice_str("PASS")) ? "stream: OK" : " FOUND"));
	if (form == '1' && slice_equal(verdict, slice_str("PASS")))
		MUST(has(s, "no action") || has(s, "\\u"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice s = slice_of(data + 1, size ? size - 1 : 0);
	struct scan_answer a = { .end = SCAN_AWAY };

	if (size == 0 || data[0] < '0' || data[0] > '2')
		return 0;
	if (data[0] == '0')
		scan_read_clamd(&a, s);
	else if (data[0] == '1')
		scan_read_rspamd(&a, s);
	else
		scan_read_http(&a, s);
	MUST(a.end == SCAN_RESULT || a.end == SCAN_BROKEN ||
	     (a.end == SCAN_UNFIT && data[0] == '0'));
	MUST((a.result != NULL) == (a.end == SCAN_RESULT));
	if (a.result) {
		expect_result(a.result);
		expect_words(data[0], s, a.result);
	} else {
		MUST(a.why[0]);
		expect_printable(slice_str(a.why));
	}
	json_decref(a.result);
	return 0;
}
