#include "tests/unit/test.h"

#include <stdio.h>

#include "ingest/addons.h"
#include "tests/unit/ingest/quoted.h"

static enum rc read_text(struct addons *a, const char *text, struct err *e)
{
	json_t *o = quoted(text);
	enum rc rc = addons_read(a, o, e);

	json_decref(o);
	return rc;
}

static void test_all_kinds(void **state)
{
	struct addons a;
	const struct addon *x;
	struct err e;

	(void)state;
	EXPECT_OK(read_text(&a,
	                    "{'V':{'clamd':'127.0.0.1:3310','deadline':7,'at_once':3},"
	                    "'U':{'clamd':'/run/clamav/clamd.ctl'},"
	                    "'S':{'clamd':'[::1]:3310'},"
	                    "'R':{'rspamd':'http://rspamd:11333/'},"
	                    "'T':{'rspamd':'https://[2001:db8::1]'},"
	                    "'H':{'http':'https://scan.example/a/b?c=1'},"
	                    "'D':{'dnsbl':'DBL.spamhaus.org.','lists':'domain'},"
	                    "'Z':{'dnsbl':'zen.dq.spamhaus.net','lists':'ip','key':'Ab12'}}",
	                    &e),
	          &e);
	assert_int_equal(a.count, 8);
	x = addons_find(&a, slice_str("V"));
	assert_string_equal(x->host, "127.0.0.1");
	assert_int_equal(x->port, 3310);
	assert_int_equal(x->deadline_ms, 7000);
	assert_int_equal(x->at_once, 3);
	assert_null(x->path);
	x = addons_find(&a, slice_str("U"));
	assert_string_equal(x->path, "/run/clamav/clamd.ctl");
	assert_int_equal(x->deadline_ms, ADDON_DEADLINE_MS);
	assert_string_equal(addons_find(&a, slice_str("S"))->host, "::1");
	x = addons_find(&a, slice_str("R"));
	assert_string_equal(x->url, "http://rspamd:11333/checkv2");
	assert_int_equal(x->port, 11333);
	assert_false(x->tls);
	x = addons_find(&a, slice_str("T"));
	assert_string_equal(x->url, "https://[2001:db8::1]/checkv2");
	assert_string_equal(x->host, "2001:db8::1");
	assert_int_equal(x->port, 443);
	assert_true(x->tls);
	assert_string_equal(addons_find(&a, slice_str("H"))->url, "https://scan.example/a/b?c=1");
	x = addons_find(&a, slice_str("D"));
	assert_string_equal(x->zone, "dbl.spamhaus.org");
	assert_false(x->lists_ip);
	assert_null(x->key);
	x = addons_find(&a, slice_str("Z"));
	assert_string_equal(x->key, "ab12");
	assert_true(x->lists_ip);
	assert_null(addons_find(&a, slice_str("v")));
	assert_true(addons_scan(&a));
	addons_free(&a);
	assert_int_equal(a.count, 0);
}

static void test_none_and_lists_alone(void **state)
{
	struct addons a;
	struct err e;

	(void)state;
	EXPECT_OK(addons_read(&a, NULL, &e), &e);
	assert_null(addons_find(&a, slice_str("V")));
	assert_false(addons_scan(&a));
	addons_free(&a);
	EXPECT_OK(read_text(&a, "{'D':{'dnsbl':'a.example','lists':'ip'}}", &e), &e);
	assert_false(addons_scan(&a));
	addons_free(&a);
}

static void test_what_is_wrong(void **state)
{
	static const struct {
		const char *json;
		const char *why;
	} cases[] = {
		{ "{'V':1}", "addons.V must be an object" },
		{ "{'V':{}}", "has one of" },
		{ "{'V':{'clamd':'a:1','http':'http://a'}}", "has one of" },
		{ "{'V':{'clamd':'a:1','key':'x'}}", "addons.V.key is not known" },
		{ "{'V':{'dnsbl':'a','lists':'ip','deadline':1}}",
		  "addons.V.deadline is not known" },
		{ "{'V':{'clamd':3310}}", "must be a text" },
		{ "{'V':{'clamd':'a:1','deadline':'1'}}", "must be a number" },
		{ "{'V':{'clamd':'a:1','deadline':0}}", "deadline is 1 to 600" },
		{ "{'V':{'clamd':'a:1','deadline':601}}", "deadline is 1 to 600" },
		{ "{'V':{'clamd':'a:1','at_once':0}}", "at_once is 1 to 32" },
		{ "{'V':{'clamd':'a:1','at_once':33}}", "at_once is 1 to 32" },
		{ "{'V':{'clamd':''}}", "HOST:PORT" },
		{ "{'V':{'clamd':'a'}}", "HOST:PORT" },
		{ "{'V':{'clamd':'a:0'}}", "HOST:PORT" },
		{ "{'V':{'clamd':'a:65536'}}", "HOST:PORT" },
		{ "{'V':{'clamd':'a b:1'}}", "HOST:PORT" },
		{ "{'V':{'clamd':'::1:3310'}}", "HOST:PORT" },
		{ "{'V':{'clamd':'/"
		  "0123456789012345678901234567890123456789012345678901234567890123456789"
		  "0123456789012345678901234567890123456789'}}",
		  "HOST:PORT" },
		{ "{'V':{'rspamd':'127.0.0.1:11333'}}", "without a path" },
		{ "{'V':{'rspamd':'http://a/checkv2'}}", "without a path" },
		{ "{'V':{'rspamd':'ftp://a'}}", "without a path" },
		{ "{'V':{'http':'http://user@a/'}}", "http://HOST:PORT/PATH" },
		{ "{'V':{'http':'http://a/ b'}}", "http://HOST:PORT/PATH" },
		{ "{'V':{'http':'http://a?b'}}", "http://HOST:PORT/PATH" },
		{ "{'V':{'http':'http://a/#b'}}", "http://HOST:PORT/PATH" },
		{ "{'V':{'dnsbl':'a..b','lists':'ip'}}", "dnsbl is a zone" },
		{ "{'V':{'dnsbl':'','lists':'ip'}}", "dnsbl is a zone" },
		{ "{'V':{'dnsbl':'a b','lists':'ip'}}", "dnsbl is a zone" },
		{ "{'V':{'dnsbl':'a.example'}}", "lists is" },
		{ "{'V':{'dnsbl':'a.example','lists':'names'}}", "lists is" },
		{ "{'V':{'dnsbl':'a.example','lists':'ip','key':''}}", "key is letters" },
		{ "{'V':{'dnsbl':'a.example','lists':'ip','key':'a.b'}}", "key is letters" },
		{ "{'':{'clamd':'a:1'}}", "a name is" },
		{ "{'a b':{'clamd':'a:1'}}", "a name is" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct addons a;
		struct err e = { 0 };

		EXPECT(cases[i].json, read_text(&a, cases[i].json, &e) == RC_INVALID);
		if (!strstr(e.text, cases[i].why))
			fail_msg("%s: %s", cases[i].json, e.text);
		addons_free(&a);
	}
}

static void test_how_many(void **state)
{
	json_t *o = json_object();
	struct addons a;
	struct err e;

	(void)state;
	for (int i = 0; i <= ADDONS_MOST; i++) {
		char name[16];
		json_t *one = json_object();

		(void)snprintf(name, sizeof(name), "N%d", i);
		json_put_text(one, "clamd", slice_str("a:1"));
		json_put(o, name, one);
	}
	assert_int_equal(addons_read(&a, o, &e), RC_INVALID);
	addons_free(&a);
	(void)json_object_del(o, "N0");
	EXPECT_OK(addons_read(&a, o, &e), &e);
	addons_free(&a);
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_kinds),
		cmocka_unit_test(test_none_and_lists_alone),
		cmocka_unit_test(test_what_is_wrong),
		cmocka_unit_test(test_how_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
