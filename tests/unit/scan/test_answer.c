#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "ingest/scan/answer.h"
#include "ingest/scan/http.h"
#include "tests/unit/ingest/quoted.h"

static void expect(const char *name, struct scan_answer *a, enum scan_end end, const char *want)
{
	if (a->end != end)
		fail_msg("%s: end %d (%s)", name, a->end, a->why);
	EXPECT(name, (end == SCAN_RESULT) == (a->result != NULL));
	if (end == SCAN_RESULT) {
		json_t *o = quoted(want);
		char *text = json_dumps(a->result, JSON_COMPACT);

		if (!json_equal(a->result, o))
			fail_msg("%s: %s, want %s", name, text, want);
		free(text);
		json_decref(o);
	} else if (!strstr(a->why, want)) {
		fail_msg("%s: \"%s\", want \"%s\"", name, a->why, want);
	}
	json_decref(a->result);
}

#define CLEAN "{'verdict':'PASS','fields':{'category':'CLEAN','isPassed':true}}"
#define MALWARE(s)                                                                                 \
	"{'verdict':'FAIL','fields':{'category':'MALWARE','signature':'" s "','isPassed':false}}"

static void test_clamd(void **state)
{
	static const struct {
		const char *reply;
		enum scan_end end;
		const char *want;
	} cases[] = {
		{ "stream: OK", SCAN_RESULT, CLEAN },
		{ "stream: OK\n", SCAN_RESULT, CLEAN },
		{ "stream: Win.Test.EICAR_HDB-1 FOUND", SCAN_RESULT,
		  MALWARE("Win.Test.EICAR_HDB-1") },
		{ "stream: a\x01 b FOUND", SCAN_RESULT, MALWARE("a? b") },
		{ "stream: OK FOUND", SCAN_RESULT, MALWARE("OK") },
		{ "stream:  FOUND", SCAN_BROKEN, "no answer of clamd's" },
		{ "INSTREAM size limit exceeded. ERROR", SCAN_UNFIT,
		  "clamd: INSTREAM size limit exceeded." },
		{ "stream: Can't allocate memory ERROR", SCAN_BROKEN, "clamd: stream: Can't" },
		{ "COMMAND READ TIMED OUT. ERROR", SCAN_BROKEN, "TIMED OUT" },
		{ "UNKNOWN COMMAND", SCAN_BROKEN, "no answer of clamd's: UNKNOWN COMMAND" },
		{ "", SCAN_BROKEN, "no answer" },
		{ "stream: ", SCAN_BROKEN, "no answer" },
		{ "stream: OKAY", SCAN_BROKEN, "no answer" },
		{ "stream: not OK", SCAN_BROKEN, "no answer" },
		{ "OK", SCAN_BROKEN, "no answer" },
		{ "x stream: OK", SCAN_BROKEN, "no answer" },
		{ "stream: ok", SCAN_BROKEN, "no answer" },
		{ "stream: \xff\x7f", SCAN_BROKEN, "clamd's: ??" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct scan_answer a;

		scan_read_clamd(&a, slice_str(cases[i].reply));
		expect(cases[i].reply, &a, cases[i].end, cases[i].want);
	}
}

static void read_rspamd(struct scan_answer *a, const char *text)
{
	char *json = quoted_text(text);

	scan_read_rspamd(a, slice_str(json));
	free(json);
}

static void test_rspamd_actions(void **state)
{
	static const struct {
		const char *action;
		const char *verdict;
		const char *category;
	} cases[] = {
		{ "no action", "PASS", "LEGIT" },     { "greylist", "GRAY", "SUSPECT" },
		{ "add header", "GRAY", "SUSPECT" },  { "rewrite subject", "GRAY", "SUSPECT" },
		{ "soft reject", "GRAY", "SUSPECT" }, { "reject", "FAIL", "SPAM" },
		{ "quarantine", "FAIL", "SPAM" },     { "discard", "FAIL", "SPAM" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[200];
		char want[300];
		struct scan_answer a;

		(void)snprintf(text, sizeof(text),
		               "{'action':'%s','score':4,'required_score':15.0}", cases[i].action);
		(void)snprintf(
		        want, sizeof(want),
		        "{'verdict':'%s','fields':{'category':'%s','action':'%s','score':'4.00',"
		        "'requiredScore':'15.00','symbols':' ','isPassed':%s}}",
		        cases[i].verdict, cases[i].category, cases[i].action, i ? "false" : "true");
		read_rspamd(&a, text);
		expect(cases[i].action, &a, SCAN_RESULT, want);
	}
}

#define SAYS(score, symbols)                                                                       \
	"{'verdict':'PASS','fields':{'category':'LEGIT','action':'no action'," score               \
	"'symbols':'" symbols "','isPassed':true}}"

static void test_rspamd_answers(void **state)
{
	static const struct {
		const char *text;
		enum scan_end end;
		const char *want;
	} cases[] = {
		{ "{'action':'no action','symbols':{'R_SPF':{'score':1},'A_B':{},'Z':7}}",
		  SCAN_RESULT, SAYS("", " A_B R_SPF Z ") },
		{ "{'action':'no action','symbols':[1]}", SCAN_RESULT, SAYS("", " ") },
		{ "{'action':'no action','score':'high'}", SCAN_RESULT, SAYS("", " ") },
		{ "{'action':'no action','score':-0.125}", SCAN_RESULT,
		  SAYS("'score':'-0.12',", " ") },
		{ "{'action':'no action','score':1e300}", SCAN_RESULT, SAYS("", " ") },
		/* what a message brings into it */
		{ "{'action':'no "
		  "action','symbols':{'A':{'options':['\xff\xfe\xc3']}},'x':'\\u0000'}",
		  SCAN_RESULT, SAYS("", " A ") },
		{ "{'action':'no action','x':'\\\\u0000','y':'\\u0000\\u0000'}", SCAN_RESULT,
		  SAYS("", " ") },
		{ "{'action':'none'}", SCAN_BROKEN, "no action of rspamd's: none" },
		{ "{'action':'No action'}", SCAN_BROKEN, "no action of rspamd's" },
		{ "{'action':'no action\\n'}", SCAN_BROKEN, "no action?" },
		{ "{'action':['no action']}", SCAN_BROKEN, "no action of rspamd's" },
		{ "{'error':'cannot find scan worker'}", SCAN_BROKEN, "no action of rspamd's" },
		{ "{}", SCAN_BROKEN, "no action of rspamd's" },
		{ "[{'action':'no action'}]", SCAN_BROKEN, "no action of rspamd's" },
		{ "'no action'", SCAN_BROKEN, "" },
		{ "{'action':'no action'} x", SCAN_BROKEN, "no JSON" },
		{ "{'action':'no action'", SCAN_BROKEN, "no JSON" },
		{ "{'action':'no action','action':'reject'}", SCAN_BROKEN, "no JSON" },
		{ "", SCAN_BROKEN, "no JSON" },
		{ "<html>", SCAN_BROKEN, "no JSON" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct scan_answer a;

		read_rspamd(&a, cases[i].text);
		expect(cases[i].text, &a, cases[i].end, cases[i].want);
	}
}

/* More symbols than a field takes: whole names, as far as they fit. */
static void test_rspamd_many_symbols(void **state)
{
	struct buf text;
	struct scan_answer a;
	struct slice got;

	(void)state;
	buf_init(&text, 65536);
	assert_int_equal(buf_add_str(&text, "{\"action\":\"reject\",\"symbols\":{"), RC_OK);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(buf_addf(&text, "%s\"SYMBOL_%03d\":{}", i ? "," : "", i), RC_OK);
	assert_int_equal(buf_add_str(&text, "}}"), RC_OK);
	scan_read_rspamd(&a, buf_slice(&text));
	assert_int_equal(a.end, SCAN_RESULT);
	got = json_member_text(json_object_get(a.result, "fields"), "symbols");
	assert_true(got.len > 1800 && got.len < SCAN_FIELD_TEXT);
	assert_memory_equal(got.at, " SYMBOL_000 SYMBOL_001 ", 23);
	assert_int_equal(got.at[got.len - 1], ' ');
	assert_int_equal((got.len - 1) % 11, 0);
	json_decref(a.result);
	buf_free(&text);
}

static void test_http(void **state)
{
	static const struct {
		const char *text;
		enum scan_end end;
		const char *want;
	} cases[] = {
		{ "{'verdict':'PASS'}", SCAN_RESULT,
		  "{'verdict':'PASS','fields':{'isPassed':true}}" },
		{ "{'verdict':'GRAY','fields':{'category':'BULK'}}", SCAN_RESULT,
		  "{'verdict':'GRAY','fields':{'category':'BULK','isPassed':false}}" },
		{ "{'verdict':'PROCESSING_FAILED','why':'no licence'}", SCAN_RESULT,
		  "{'verdict':'PROCESSING_FAILED','why':'no licence'}" },
		{ "{'verdict':'OK'}", SCAN_BROKEN, "no result" },
		{ "{'fields':{}}", SCAN_BROKEN, "no result" },
		{ "PASS", SCAN_BROKEN, "no JSON" },
		{ "{'verdict':'PASS','fields':{'a':'\xff'}}", SCAN_BROKEN, "no JSON" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char *json = quoted_text(cases[i].text);
		struct scan_answer a;

		scan_read_http(&a, slice_str(json));
		expect(cases[i].text, &a, cases[i].end, cases[i].want);
		free(json);
	}
}

static void test_deep_json(void **state)
{
	static char deep[200000];
	struct scan_answer a;

	(void)state;
	memset(deep, '[', sizeof(deep));
	scan_read_rspamd(&a, slice_of(deep, sizeof(deep)));
	expect("deep", &a, SCAN_BROKEN, "no JSON");
	scan_read_http(&a, slice_of(deep, sizeof(deep)));
	expect("deep", &a, SCAN_BROKEN, "no JSON");
}

/* A reason is logged, and what is wrong may stand in the middle of a message's words. */
static void test_reasons_quote_nothing(void **state)
{
	static const char bad[] = "{\"action\":\"reject\",\"subject\":\"our merger\" \"lantern\"}";
	struct scan_answer a;

	(void)state;
	scan_read_rspamd(&a, slice_str(bad));
	expect(bad, &a, SCAN_BROKEN, "line 1, column");
	assert_null(strstr(a.why, "lantern"));
	scan_read_http(&a, slice_str(bad));
	expect(bad, &a, SCAN_BROKEN, "line 1, column");
	assert_null(strstr(a.why, "lantern"));
}

/* ---- header fields ---- */

static void expect_fields(const struct addon *addon, const json_t *facts, const char *const *want)
{
	struct curl_slist *list = scan_http_fields(addon, facts);
	struct curl_slist *at = list;

	for (; *want; want++, at = at->next) {
		assert_non_null(at);
		assert_string_equal(at->data, *want);
	}
	assert_null(at);
	curl_slist_free_all(list);
}

static void test_header_fields(void **state)
{
	static const char *const rspamd[] = { "Expect:",
		                              "Content-Type: message/rfc822",
		                              "IP: 192.0.2.1",
		                              "Helo: a??X-Bad: b",
		                              "From: <>",
		                              "Rcpt: b@x",
		                              "Rcpt: c?@x",
		                              "Queue-Id: 01ABC",
		                              NULL };
	static const char *const ours[] = { "Expect:",
		                            "Content-Type: message/rfc822",
		                            "MM-Client-IP: 192.0.2.1",
		                            "MM-Helo: a??X-Bad: b",
		                            "MM-Mail-From: <>",
		                            "MM-Rcpt-To: b@x",
		                            "MM-Rcpt-To: c?@x",
		                            "MM-Message-Id: 01ABC",
		                            "MM-Addon: OURS",
		                            NULL };
	struct addon r = { .name = (char *)(uintptr_t) "R", .kind = ADDON_RSPAMD };
	struct addon o = { .name = (char *)(uintptr_t) "OURS", .kind = ADDON_HTTP };
	json_t *facts = quoted("{'id':'01ABC','ip':'192.0.2.1','helo':'a\\r\\nX-Bad: b','from':'',"
	                       "'user':'','rcpt':['b@x','c\\u007f@x']}");

	(void)state;
	expect_fields(&r, facts, rspamd);
	expect_fields(&o, facts, ours);
	json_decref(facts);
}

static void test_no_facts_and_long_ones(void **state)
{
	static const char *const nothing[] = { "Expect:", "Content-Type: message/rfc822",
		                               "From: <>", NULL };
	struct addon r = { .name = (char *)(uintptr_t) "R", .kind = ADDON_RSPAMD };
	char helo[5000];
	json_t *facts = json_object();
	struct curl_slist *list;

	(void)state;
	expect_fields(&r, NULL, nothing);
	memset(helo, 'h', sizeof(helo));
	json_put_text(facts, "helo", slice_of(helo, sizeof(helo)));
	list = scan_http_fields(&r, facts);
	assert_int_equal(strlen(list->next->next->data), strlen("Helo: ") + 1024);
	curl_slist_free_all(list);
	json_decref(facts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clamd),
		cmocka_unit_test(test_rspamd_actions),
		cmocka_unit_test(test_rspamd_answers),
		cmocka_unit_test(test_rspamd_many_symbols),
		cmocka_unit_test(test_http),
		cmocka_unit_test(test_deep_json),
		cmocka_unit_test(test_reasons_quote_nothing),
		cmocka_unit_test(test_header_fields),
		cmocka_unit_test(test_no_facts_and_long_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
