/* tests/unit/ingest/test_calls.c - the endpoints of the configuration; the calls themselves are
 * tests/peers/T870-calls.py's */
#include "ingest/calls.h"
#include "tests/unit/ingest/quoted.h"

#define KEYS "'access_key':'A','secret_key':'S'"

static void configurations(void **state)
{
	static const struct {
		const char *text;
		const char *bad; /* what the error says; NULL: it is good */
	} cases[] = {
		{ "{}", NULL },
		{ "{'s3':{'anything':1},'mailbox':{}}", NULL }, /* others check those */
		{ "{'sns':{'url':'https://sns.example'," KEYS "}}", NULL },
		{ "{'sns':{'url':'https://sns.example:8443/','region':'eu-1'," KEYS "}}", NULL },
		{ "{'qbusiness':{'url':'http://[::1]:80'," KEYS "}}", NULL },
		{ "{'sns':{'url':'https://sns.example','access_key':'A','secret_key_file':'/x'}}",
		  NULL },
		{ "{'sns':[]}", "endpoints.sns must be an object" },
		{ "{'sns':{" KEYS "}}", "endpoints.sns.url is" },
		{ "{'sns':{'url':'https://sns.example/path'," KEYS "}}", "endpoints.sns.url is" },
		{ "{'sns':{'url':'ftp://sns.example'," KEYS "}}", "endpoints.sns.url is" },
		{ "{'sns':{'url':'https://a@b'," KEYS "}}", "endpoints.sns.url is" },
		{ "{'sns':{'url':1," KEYS "}}", "endpoints.sns.url must be a text" },
		{ "{'sns':{'url':'https://s','uri':''," KEYS "}}",
		  "endpoints.sns.uri is not known" },
		{ "{'sns':{'url':'https://s','functions':{}," KEYS "}}",
		  "endpoints.sns.functions is not known" },
		{ "{'sns':{'url':'https://s','secret_key':'S'}}", "access_key is missing" },
		{ "{'sns':{'url':'https://s','access_key':'A B','secret_key':'S'}}",
		  "access_key is missing, or is none" },
		{ "{'sns':{'url':'https://s','region':'a b'," KEYS "}}", "region is none" },
		{ "{'sns':{'url':'https://s','access_key':'A'}}", "either secret_key or" },
		{ "{'sns':{'url':'https://s','secret_key_file':'/x'," KEYS "}}",
		  "either secret_key or secret_key_file" },
		{ "{'webhooks':{'a-b_c.D1':{'url':'https://h:1/p/q?r=s&t','secret':'x'}}}", NULL },
		{ "{'webhooks':{'a':{'url':'http://h','secret_file':'/x'}}}", NULL },
		{ "{'webhooks':[]}", "webhooks must be an object" },
		{ "{'webhooks':{'a/b':{'url':'http://h','secret':'x'}}}", "a name is" },
		{ "{'webhooks':{'':{'url':'http://h','secret':'x'}}}", "a name is" },
		{ "{'webhooks':{'a':{'url':'http://h/a b','secret':'x'}}}", "webhooks/a.url is" },
		{ "{'webhooks':{'a':{'url':'http://h/a#b','secret':'x'}}}", "webhooks/a.url is" },
		{ "{'webhooks':{'a':{'url':'http://h?x','secret':'x'}}}", "webhooks/a.url is" },
		{ "{'webhooks':{'a':{'url':'http://u:p@h/','secret':'x'}}}", "webhooks/a.url is" },
		{ "{'webhooks':{'a':{'url':'h','secret':'x'}}}", "webhooks/a.url is" },
		{ "{'webhooks':{'a':{'url':'http://h'}}}", "webhooks/a has either secret or" },
		{ "{'webhooks':{'a':{'url':'http://h','secret':'x','key':'y'}}}",
		  "webhooks/a.key is not known" },
		{ "{'lambda':{'url':'http://h'," KEYS ",'functions':{'arn:x':'webhooks/a'}},"
		  "'webhooks':{'a':{'url':'http://h','secret':'x'}}}",
		  NULL },
		{ "{'lambda':{'functions':{'arn:x':'webhooks/a'}},"
		  "'webhooks':{'a':{'url':'http://h','secret':'x'}}}",
		  NULL },
		{ "{'lambda':{'functions':{'arn:x':'webhooks/b'}},"
		  "'webhooks':{'a':{'url':'http://h','secret':'x'}}}",
		  "arn:x must be \"webhooks/NAME\"" },
		{ "{'lambda':{'functions':{'arn:x':'s3'}}}", "arn:x must be" },
		{ "{'lambda':{'functions':{'arn:x':7}}}", "arn:x must be" },
		{ "{'lambda':{'functions':7}}", "functions must be an object" },
		{ "{'lambda':{'functions':{}}}", "lambda.url is" },
		{ "{'lambda':{}}", "lambda.url is" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		json_t *o = quoted(cases[i].text);
		struct err e = { 0 };
		enum rc rc = calls_configure(o, &e);

		EXPECT(cases[i].text, (rc == RC_OK) == !cases[i].bad);
		if (cases[i].bad && (rc != RC_INVALID || !strstr(e.text, cases[i].bad)))
			fail_msg("%s: \"%s\", want \"%s\"", cases[i].text, e.text, cases[i].bad);
		json_decref(o);
	}
}

static void there_are_ports_for_all(void **state)
{
	json_t *o = json_object();
	json_t *hooks = json_object();
	struct err e = { 0 };

	(void)state;
	json_put(o, "webhooks", hooks);
	for (int i = 0; i < 17; i++) {
		char name[16];

		EXPECT_OK(calls_configure(o, &e), &e);
		(void)snprintf(name, sizeof(name), "hook%d", i);
		json_put(hooks, name, quoted("{'url':'http://h/','secret':'x'}"));
	}
	assert_int_equal(calls_configure(o, &e), RC_INVALID);
	assert_non_null(strstr(e.text, "at most 16"));
	json_decref(o);
}

static void secrets_are_wiped(void **state)
{
	json_t *o = quoted("{'s3':{'secret_key':'one'},'sns':{'url':'u','secret_key':'two'},"
	                   "'webhooks':{'a':{'secret':'three'},'b':{'secret_file':'/x'}}}");
	json_t *want = quoted("{'s3':{'secret_key':''},'sns':{'url':'u','secret_key':''},"
	                      "'webhooks':{'a':{'secret':''},'b':{'secret_file':'/x'}}}");

	(void)state;
	calls_wipe(o);
	assert_true(json_equal(o, want));
	calls_wipe(NULL);
	json_decref(o);
	json_decref(want);
}

static void no_endpoint_no_home(void **state)
{
	struct home *home = (struct home *)(uintptr_t)1;
	json_t *o = quoted("{'webhooks':{}}");
	struct err e = { 0 };

	(void)state;
	EXPECT_OK(calls_home(&home, o, NULL, &e), &e);
	assert_null(home);
	EXPECT_OK(calls_home(&home, NULL, NULL, &e), &e);
	assert_null(home);
	json_decref(o);
}

static void a_secret_that_is_none(void **state)
{
	static const struct {
		const char *text;
		const char *why;
	} cases[] = {
		{ "{'sns':{'url':'http://h','access_key':'A','secret_key_file':'/nowhere/x'}}",
		  "endpoints.sns.secret_key_file" },
		{ "{'webhooks':{'a':{'url':'http://h','secret':''}}}",
		  "webhooks/a: the secret is" },
		{ "{'webhooks':{'a':{'url':'http://h','secret':'a b'}}}",
		  "webhooks/a: the secret is" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		json_t *o = quoted(cases[i].text);
		struct home *home = NULL;
		struct err e = { 0 };

		EXPECT_OK(calls_configure(o, &e), &e);
		EXPECT(cases[i].text, calls_home(&home, o, NULL, &e) != RC_OK);
		EXPECT(e.text, strstr(e.text, cases[i].why));
		assert_null(home);
		json_decref(o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(configurations),        cmocka_unit_test(there_are_ports_for_all),
		cmocka_unit_test(secrets_are_wiped),     cmocka_unit_test(no_endpoint_no_home),
		cmocka_unit_test(a_secret_that_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
