#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "ingest/verdict/lists.h"
#include "tests/unit/ingest/quoted.h"
#include "tests/unit/verdict/zone.h"

static char zone_name[] = "bl.example";
static char zone_key[] = "k3y";

static struct addon list_of(bool ip, bool key)
{
	return (struct addon) {
		.kind = ADDON_DNSBL, .zone = zone_name, .key = key ? zone_key : NULL, .lists_ip = ip
	};
}

/* Runs until all is answered; all questions must go out in the first round. */
static struct dnsbl_answer check(const struct addon *list, const struct dnsbl_question *q,
                                 const char *zone)
{
	struct answers *a = answers_new();
	struct dnsbl_answer out;
	enum rc rc = dnsbl_check(list, q, a, &out);

	if (rc == RC_AGAIN) {
		(void)zone_answer_all(a, slice_str(zone));
		rc = dnsbl_check(list, q, a, &out);
	}
	assert_int_equal(rc, RC_OK);
	answers_free(&a);
	return out;
}

static struct dnsbl_answer check_ip(const char *ip, bool key, const char *zone)
{
	struct addon list = list_of(true, key);
	struct dnsbl_question q = { .mail_from = slice_str("a@listed.example"),
		                    .helo = slice_str("listed.example") };

	assert_true(ip_parse(&q.client, slice_str(ip)));
	return check(&list, &q, zone);
}

static void test_addresses(void **state)
{
	static const struct {
		const char *ip;
		bool key;
		const char *zone;
		enum dnsbl_result result;
		const char *says; /* codes, or why */
	} cases[] = {
		{ "192.0.2.99", false, "99.2.0.192.bl.example A 127.0.0.2", DNSBL_LISTED,
		  "127.0.0.2" },
		{ "192.0.2.99", true, "99.2.0.192.k3y.bl.example A 127.0.0.2", DNSBL_LISTED,
		  "127.0.0.2" },
		{ "192.0.2.99", true, "99.2.0.192.bl.example A 127.0.0.2", DNSBL_CLEAR, "" },
		{ "192.0.2.99", false, "99.2.0.192.bl.example TXT x", DNSBL_CLEAR, "" },
		{ "192.0.2.9", false, "99.2.0.192.bl.example A 127.0.0.2", DNSBL_CLEAR, "" },
		{ "192.0.2.9", false,
		  "9.2.0.192.bl.example A 127.0.0.4\n9.2.0.192.bl.example A 127.0.0.10",
		  DNSBL_LISTED, "127.0.0.4 127.0.0.10" },
		{ "2001:db8::12ab", false,
		  "b.a.2.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example A "
		  "127.0.0.3",
		  DNSBL_LISTED, "127.0.0.3" },
		{ "192.0.2.9", false, "* FAIL", DNSBL_FAILED, "the lookup failed" },
		{ "192.0.2.9", false, "* A 127.255.255.252", DNSBL_FAILED, "no such zone" },
		{ "192.0.2.9", false, "* A 127.255.255.254", DNSBL_FAILED, "public resolver" },
		{ "192.0.2.9", false, "* A 127.255.255.255", DNSBL_FAILED, "too many" },
		{ "192.0.2.9", false, "* A 127.255.255.1", DNSBL_FAILED, "refuses" },
		{ "192.0.2.9", false, "* A 127.0.1.255", DNSBL_FAILED, "no addresses" },
		{ "192.0.2.9", false, "* A 127.0.0.1", DNSBL_FAILED, "127.0.0.1" },
		{ "192.0.2.9", false, "* A 203.0.113.7", DNSBL_FAILED, "no block list's" },
		{ "192.0.2.9", false, "* A 127.0.0.2\n* A 203.0.113.7", DNSBL_FAILED,
		  "no block list's" },
		{ "192.0.2.9", false, "* A 127.0.0.2\n* A 127.255.255.254", DNSBL_FAILED,
		  "public" },
		{ "192.0.2.9", false, "* A 127.255.0.2", DNSBL_LISTED, "127.255.0.2" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct dnsbl_answer got = check_ip(cases[i].ip, cases[i].key, cases[i].zone);

		if (got.result != cases[i].result)
			fail_msg("%s: %s: result %d, %s", cases[i].ip, cases[i].zone, got.result,
			         got.why);
		if (got.result == DNSBL_LISTED) {
			assert_string_equal(got.codes, cases[i].says);
			assert_string_equal(got.what, cases[i].ip);
		}
		if (got.result == DNSBL_FAILED && !strstr(got.why, cases[i].says))
			fail_msg("%s: %s", cases[i].zone, got.why);
	}
}

static void test_no_client(void **state)
{
	struct addon list = list_of(true, false);
	struct dnsbl_question q = { .helo = slice_str("a.example") };
	struct dnsbl_answer got = check(&list, &q, "* A 127.0.0.2");

	(void)state;
	assert_int_equal(got.result, DNSBL_FAILED);
}

static void test_domains(void **state)
{
	static const struct {
		const char *name;
		const char *mail_from;
		const char *helo;
		const char *from;
		const char *zone;
		enum dnsbl_result result;
		const char *what;
	} cases[] = {
		{ "sender", "a@Bad.Example", "h.example", NULL,
		  "bad.example.bl.example A 127.0.1.2", DNSBL_LISTED, "bad.example" },
		{ "helo", "a@x.example", "bad.example", NULL, "bad.example.bl.example A 127.0.1.2",
		  DNSBL_LISTED, "bad.example" },
		{ "from", "a@x.example", "h.example", "bad.example",
		  "bad.example.bl.example A 127.0.1.2", DNSBL_LISTED, "bad.example" },
		{ "no From before DATA", "a@x.example", "h.example", NULL,
		  "bad.example.bl.example A 127.0.1.2", DNSBL_CLEAR, "" },
		{ "quoted @", "\"x@y.example\"@bad.example", "h.example", NULL,
		  "bad.example.bl.example A 127.0.1.2", DNSBL_LISTED, "bad.example" },
		{ "u-label",
		  "a@b\xc3\xbc"
		  "cher.example",
		  "", NULL, "xn--bcher-kva.example.bl.example A 127.0.1.2", DNSBL_LISTED,
		  "xn--bcher-kva.example" },
		{ "a null sender", "", "localhost", NULL, "* A 127.0.1.2", DNSBL_CLEAR, "" },
		{ "no addresses are asked about", "a@[192.0.2.1]", "[192.0.2.1]", NULL,
		  "* A 127.0.1.2", DNSBL_CLEAR, "" },
		{ "nor bare ones", "a@192.0.2.1", "192.0.2.1", NULL, "* A 127.0.1.2", DNSBL_CLEAR,
		  "" },
		{ "a helo that is no name", "a@x.example", "h h.example", NULL, "", DNSBL_CLEAR,
		  "" },
		{ "a sender that is none", "a@x..example", "h.example", NULL, "", DNSBL_FAILED,
		  "" },
		{ "the same, and another is listed", "a@x..example", "bad.example", NULL,
		  "bad.example.bl.example A 127.0.1.2", DNSBL_LISTED, "bad.example" },
		{ "one fails, one is listed", "a@f.example", "bad.example", NULL,
		  "f.example.bl.example FAIL\nbad.example.bl.example A 127.0.1.2", DNSBL_LISTED,
		  "bad.example" },
		{ "one is listed, one fails", "a@bad.example", "f.example", NULL,
		  "f.example.bl.example FAIL\nbad.example.bl.example A 127.0.1.2", DNSBL_LISTED,
		  "bad.example" },
		{ "one fails, one is clear", "a@f.example", "h.example", NULL,
		  "f.example.bl.example FAIL", DNSBL_FAILED, "" },
		{ "clear, then failed", "a@h.example", "f.example", NULL,
		  "f.example.bl.example FAIL", DNSBL_FAILED, "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct addon list = list_of(false, false);
		struct slice from = slice_str(cases[i].from);
		struct dnsbl_question q = { .mail_from = slice_str(cases[i].mail_from),
			                    .helo = slice_str(cases[i].helo),
			                    .from_domains = &from,
			                    .from_count = cases[i].from ? 1 : 0 };
		struct dnsbl_answer got = check(&list, &q, cases[i].zone);

		if (got.result != cases[i].result || strcmp(got.what, cases[i].what) != 0)
			fail_msg("%s: result %d, %s, %s", cases[i].name, got.result, got.what,
			         got.why);
	}
}

/* All go out at once, each once, and not more than there are places. */
static void test_what_is_asked(void **state)
{
	struct addon list = list_of(false, true);
	struct slice from[40];
	char text[40][32];
	struct dnsbl_question q = { .mail_from = slice_str("a@x.example"),
		                    .helo = slice_str("X.example"),
		                    .from_domains = from,
		                    .from_count = COUNT(from) };
	struct answers *a = answers_new();
	struct dnsbl_answer out;
	struct dns_question asked;

	(void)state;
	for (size_t i = 0; i < COUNT(from); i++) {
		(void)snprintf(text[i], sizeof(text[i]), "d%zu.example", i);
		from[i] = slice_str(text[i]);
	}
	assert_int_equal(dnsbl_check(&list, &q, a, &out), RC_AGAIN);
	assert_true(answers_wanted(a, &asked));
	assert_string_equal(asked.name, "x.example.k3y.bl.example");
	assert_int_equal(asked.type, DNS_A);
	for (int i = 0; i < DNSBL_DOMAINS - 1; i++)
		assert_true(answers_wanted(a, &asked));
	assert_string_equal(asked.name, "d14.example.k3y.bl.example");
	assert_false(answers_wanted(a, &asked));
	answers_free(&a);
}

/* Who has a domain as long as DNS allows is found by its end. */
static void test_long_domain(void **state)
{
	struct addon list = list_of(false, true);
	char sender[300] = "a@";
	struct dnsbl_question q = { .helo = slice_str("") };
	struct dnsbl_answer got;

	(void)state;
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 61; k++)
			(void)strcat(sender, k < 60 ? "x" : "."); /* tidy: bounded by the loops */
	(void)strcat(sender, "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy.bad.example");
	q.mail_from = slice_str(sender);
	got = check(&list, &q, "* A 127.0.1.3");
	assert_int_equal(got.result, DNSBL_LISTED);
	assert_int_equal(strlen(got.what), strlen(sender) - 2);
}

static void test_json(void **state)
{
	static const struct {
		struct dnsbl_answer a;
		const char *want;
	} cases[] = {
		{ { DNSBL_LISTED, "bad.example", "127.0.1.2", "" },
		  "{'verdict':'FAIL','fields':{'isListed':true,'listedOn':'bl.example','listed':'"
		  "bad.example',"
		  "'codes':'127.0.1.2','isPassed':false}}" },
		{ { DNSBL_CLEAR, "", "", "" },
		  "{'verdict':'PASS','fields':{'isListed':false,'listedOn':'','isPassed':true}}" },
		{ { DNSBL_FAILED, "", "", "the lookup failed" },
		  "{'verdict':'PROCESSING_FAILED','why':'the lookup failed'}" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct addon list = list_of(false, true);
		json_t *got = dnsbl_json(&list, &cases[i].a);
		json_t *want = quoted(cases[i].want);

		EXPECT(cases[i].want, json_equal(got, want));
		json_decref(got);
		json_decref(want);
	}
}

/* ---- several lists ---- */

static void test_several_lists(void **state)
{
	json_t *config = quoted("{'A':{'dnsbl':'a.example','lists':'ip'},'B':{'dnsbl':'b.example','"
	                        "lists':'domain'},"
	                        "'C':{'clamd':'c:1'}}");
	json_t *asked = quoted(
	        "[{'id':'ai-1','addon':'A'},{'id':'ai-2','addon':'B'},{'id':'ai-3','addon':'C'},"
	        "{'id':'ai-4','addon':'D'},{'id':'ai-5','addon':'A'},7]");
	struct slice from = slice_str("bad.example");
	struct dnsbl_question q = { .mail_from = slice_str("a@x.example"),
		                    .from_domains = &from,
		                    .from_count = 1 };
	static const char zone[] =
	        "1.2.0.192.a.example A 127.0.0.9\nbad.example.b.example A 127.0.1.2";
	struct answers *a = answers_new();
	struct addons addons;
	struct lists *l;
	json_t *got;
	json_t *want;
	struct err e;

	(void)state;
	EXPECT_OK(addons_read(&addons, config, &e), &e);
	assert_true(ip_parse(&q.client, slice_str("192.0.2.1")));
	l = lists_new(&addons, asked, &q);
	assert_int_equal(lists_run(l, a), RC_AGAIN);
	got = lists_json(l);
	EXPECT_SLICE("late", json_member_text(json_object_get(got, "ai-2"), "verdict"),
	             "PROCESSING_FAILED");
	json_decref(got);
	assert_int_equal(zone_answer_all(a, slice_str(zone)), 3);
	assert_int_equal(lists_run(l, a), RC_OK);
	got = lists_json(l);
	want = quoted("{'ai-1':{'verdict':'FAIL','fields':{'isListed':true,'listedOn':'a.example',"
	              "'listed':'192.0.2.1','codes':'127.0.0.9','isPassed':false}},"
	              "'ai-2':{'verdict':'FAIL','fields':{'isListed':true,'listedOn':'b.example',"
	              "'listed':'bad.example','codes':'127.0.1.2','isPassed':false}},"
	              "'ai-5':{'verdict':'FAIL','fields':{'isListed':true,'listedOn':'a.example',"
	              "'listed':'192.0.2.1','codes':'127.0.0.9','isPassed':false}}}");
	assert_true(json_equal(got, want));
	json_decref(got);
	json_decref(want);
	lists_free(&l);
	answers_free(&a);
	addons_free(&addons);
	json_decref(config);
	json_decref(asked);
}

static void test_no_lists(void **state)
{
	struct addons none = { NULL, 0 };
	struct dnsbl_question q = { .helo = slice_str("") };
	struct lists *l = lists_new(&none, NULL, &q);

	(void)state;
	assert_null(l);
	assert_int_equal(lists_run(l, NULL), RC_OK);
	assert_null(lists_json(l));
	lists_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),     cmocka_unit_test(test_no_client),
		cmocka_unit_test(test_domains),       cmocka_unit_test(test_what_is_asked),
		cmocka_unit_test(test_long_domain),   cmocka_unit_test(test_json),
		cmocka_unit_test(test_several_lists), cmocka_unit_test(test_no_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
