#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "ingest/scan_result.h"
#include "tests/unit/ingest/quoted.h"

static void expect_json(const char *name, const json_t *got, const char *want)
{
	json_t *o = quoted(want);
	char *text = json_dumps(got, JSON_COMPACT);

	if (!json_equal(got, o))
		fail_msg("%s: %s, want %s", name, text, want);
	free(text);
	json_decref(o);
}

static void test_results(void **state)
{
	static const struct {
		const char *from;
		const char *want;
	} cases[] = {
		{ "{'verdict':'PASS'}", "{'verdict':'PASS','fields':{'isPassed':true}}" },
		{ "{'verdict':'FAIL','fields':{}}",
		  "{'verdict':'FAIL','fields':{'isPassed':false}}" },
		{ "{'verdict':'GRAY','fields':{'is passed':true}}",
		  "{'verdict':'GRAY','fields':{'is passed':true}}" },
		{ "{'verdict':'PASS','more':[1,{'a':2}],'fields':{'a "
		  "b_1':'text','n':7,'r':1.5,'f':false}}",
		  "{'verdict':'PASS','fields':{'a "
		  "b_1':'text','n':'7','r':'1.5','f':false,'isPassed':true}}" },
		{ "{'verdict':'PASS','fields':{'t':'a\\u0001b\\u007fd\\u00e4c\\n'}}",
		  "{'verdict':'PASS','fields':{'t':'a?b?d??c?','isPassed':true}}" },
		{ "{'verdict':'PROCESSING_FAILED','fields':{'isPassed':true},'why':'no\\tlicence'}",
		  "{'verdict':'PROCESSING_FAILED','why':'no?licence'}" },
		{ "{'verdict':'PROCESSING_FAILED'}",
		  "{'verdict':'PROCESSING_FAILED','why':'the scanner says so'}" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		json_t *from = quoted(cases[i].from);
		json_t *got;
		json_t *again;
		struct err e;

		EXPECT_OK(scan_result_read(&got, from, &e), &e);
		expect_json(cases[i].from, got, cases[i].want);
		EXPECT_OK(scan_result_read(&again, got, &e),
		          &e); /* as mmd reads what mm-scan read */
		assert_true(json_equal(got, again));
		json_decref(again);
		json_decref(got);
		json_decref(from);
	}
}

static void test_no_results(void **state)
{
	static const char *const cases[] = {
		"{}",
		"[]",
		"[{'verdict':'PASS'}]",
		"{'verdict':'pass'}",
		"{'verdict':'PASS '}",
		"{'verdict':true}",
		"{'verdict':'PASS','fields':[]}",
		"{'verdict':'PASS','fields':{'a':null}}",
		"{'verdict':'PASS','fields':{'a':[]}}",
		"{'verdict':'PASS','fields':{'a':{}}}",
		"{'verdict':'PASS','fields':{'':1}}",
		"{'verdict':'PASS','fields':{' _':1}}",
		"{'verdict':'PASS','fields':{'a.b':1}}",
		"{'verdict':'PASS','fields':{'\\u00e4':1}}",
		"{'verdict':'PASS','fields':{'isPassed':true,'is_passed':false}}",
		"{'verdict':'PASS','fields':{'"
		"a12345678901234567890123456789012345678901234567890123456789"
		"0123456789':1}}",
	};
	json_t *many = quoted("{'verdict':'PASS','fields':{}}");
	json_t *got;
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		json_t *from = quoted(cases[i]);

		EXPECT(cases[i], scan_result_read(&got, from, &e) == RC_INVALID && !got);
		json_decref(from);
	}
	for (int i = 0; i <= SCAN_FIELDS; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "f%d", i);
		json_put_int(json_object_get(many, "fields"), name, i);
	}
	assert_int_equal(scan_result_read(&got, many, &e), RC_INVALID);
	json_decref(many);
}

static void test_long_texts_are_cut(void **state)
{
	char text[SCAN_FIELD_TEXT + 100];
	json_t *from = quoted("{'verdict':'PASS','fields':{}}");
	json_t *got;
	struct err e;

	(void)state;
	memset(text, 'x', sizeof(text));
	json_put_text(json_object_get(from, "fields"), "t", slice_of(text, sizeof(text)));
	EXPECT_OK(scan_result_read(&got, from, &e), &e);
	assert_int_equal(json_member_text(json_object_get(got, "fields"), "t").len,
	                 SCAN_FIELD_TEXT);
	json_decref(got);
	json_decref(from);
	got = scan_result_failed("a\x80\nb");
	expect_json("why", got, "{'verdict':'PROCESSING_FAILED','why':'a??b'}");
	json_decref(got);
}

static void test_fields_for_rules(void **state)
{
	json_t *o = quoted(
	        "{'ai-1':{'verdict':'FAIL','fields':{'isListed':true,'listedOn':'dbl','n':'7'}},"
	        "'ai-2':{'verdict':'PROCESSING_FAILED','why':'x'},"
	        "'ai-3':{'verdict':'PASS','fields':{'result':'text'}},'ai-4':7}");
	static const struct {
		const char *instance;
		const char *field;
		enum rule_result_kind kind;
		enum rule_verdict verdict;
		bool yes;
		const char *text;
	} cases[] = {
		{ "ai-1", "verdict", RULE_RESULT_VERDICT, RULE_FAIL, false, "" },
		{ "ai-1", "result", RULE_RESULT_VERDICT, RULE_FAIL, false, "" },
		{ "ai-1", "isListed", RULE_RESULT_BOOLEAN, 0, true, "" },
		{ "ai-1", "is listed", RULE_RESULT_BOOLEAN, 0, true, "" },
		{ "ai-1", "IS_LISTED ", RULE_RESULT_BOOLEAN, 0, true, "" },
		{ "ai-1", "listed\ton", RULE_RESULT_TEXT, 0, false, "dbl" },
		{ "ai-1", "n", RULE_RESULT_TEXT, 0, false, "7" },
		{ "ai-1", "nn", RULE_RESULT_NONE, 0, false, "" },
		{ "ai-1", "", RULE_RESULT_NONE, 0, false, "" },
		{ "ai-2", "verdict", RULE_RESULT_VERDICT, RULE_PROCESSING_FAILED, false, "" },
		{ "ai-2", "isPassed", RULE_RESULT_NONE, 0, false, "" },
		{ "ai-2", "why", RULE_RESULT_NONE, 0, false, "" },
		{ "ai-3", "result", RULE_RESULT_TEXT, 0, false, "text" },
		{ "ai-3", "Verdict", RULE_RESULT_VERDICT, RULE_PASS, false, "" },
		{ "ai-4", "verdict", RULE_RESULT_NONE, 0, false, "" },
		{ "ai-5", "verdict", RULE_RESULT_NONE, 0, false, "" },
		{ "ai-", "verdict", RULE_RESULT_NONE, 0, false, "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct rule_result got =
		        scans_field(o, slice_str(cases[i].instance), slice_str(cases[i].field));

		if (got.kind != cases[i].kind || got.verdict != cases[i].verdict ||
		    got.yes != cases[i].yes || !slice_equal(got.text, slice_str(cases[i].text)))
			fail_msg("%s %s: kind %d, verdict %d", cases[i].instance, cases[i].field,
			         got.kind, got.verdict);
	}
	assert_int_equal(scans_field(NULL, slice_str("ai-1"), slice_str("verdict")).kind,
	                 RULE_RESULT_NONE);
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_no_results),
		cmocka_unit_test(test_long_texts_are_cut),
		cmocka_unit_test(test_fields_for_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
