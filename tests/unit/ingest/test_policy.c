#include "ingest/policy.h"
#include "tests/unit/ingest/quoted.h"

#include <stdio.h>

static struct address_list *find_list(void *arg, struct slice reference)
{
	return slice_equal(reference, slice_str("vip")) ? arg : NULL;
}

/* A policy with these statements. */
static struct policy *make(const char *statements, const char *otherwise)
{
	json_t *names = quoted("['boss@corp.example','*.vip.example']");
	struct address_list *list = NULL;
	struct policy *p = NULL;
	struct err e = { 0 };
	char text[8192];
	json_t *json;

	(void)snprintf(text, sizeof(text),
	               "{'TrafficPolicyName':'p','TrafficPolicyId':'tp-1','DefaultAction':'%s',"
	               "'MaxMessageSizeBytes':77,'PolicyStatements':[%s]}",
	               otherwise, statements);
	json = quoted(text);
	EXPECT_OK(address_list_new(&list, names, &e), &e);
	EXPECT_OK(policy_new(&p, json, find_list, list, &e), &e);
	address_list_unref(&list);
	json_decref(json);
	json_decref(names);
	return p;
}

static struct policy_facts facts_of(const char *recipient, const char *peer, enum policy_tls tls)
{
	struct policy_facts f = { .recipient = slice_str(recipient), .tls = tls };

	if (peer)
		assert_true(ip_parse(&f.peer, slice_str(peer)));
	return f;
}

#define ALLOW(conditions) "{'Action':'ALLOW','Conditions':[" conditions "]}"
#define DENY(conditions)  "{'Action':'DENY','Conditions':[" conditions "]}"
#define RECIPIENT(op, values)                                                                      \
	"{'StringExpression':{'Evaluate':{'Attribute':'RECIPIENT'},'Operator':'" op "','Values':"  \
	"[" values "]}}"
#define IP4(op, values)                                                                            \
	"{'IpExpression':{'Evaluate':{'Attribute':'SENDER_IP'},'Operator':'" op                    \
	"','Values':[" values "]}}"
#define IP6(op, values)                                                                            \
	"{'Ipv6Expression':{'Evaluate':{'Attribute':'SENDER_IPV6'},'Operator':'" op "','Values':"  \
	"[" values "]}}"
#define TLS(op, value)                                                                             \
	"{'TlsExpression':{'Evaluate':{'Attribute':'TLS_PROTOCOL'},'Operator':'" op                \
	"','Value':'" value "'}}"
#define LIST(op)                                                                                   \
	"{'BooleanExpression':{'Evaluate':{'IsInAddressList':{'Attribute':'RECIPIENT',"            \
	"'AddressLists':['vip']}},'Operator':'" op "'}}"

/* Each with DefaultAction DENY: allowed means that the statement holds. */
static const struct {
	const char *statements;
	const char *recipient;
	const char *peer;
	enum policy_tls tls;
	bool allowed;
} cases[] = {
	{ ALLOW(RECIPIENT("EQUALS", "'a@b.example'")), "a@b.example", NULL, 0, true },
	{ ALLOW(RECIPIENT("EQUALS", "'A@B.example'")), "a@b.EXAMPLE", NULL, 0, true },
	{ ALLOW(RECIPIENT("EQUALS", "'a@b.example'")), "aa@b.example", NULL, 0, false },
	{ ALLOW(RECIPIENT("EQUALS", "'user@b.example'")), "user+tag@b.example", NULL, 0, false },
	{ ALLOW(RECIPIENT("EQUALS", "'x@y.example','a@b.example'")), "a@b.example", NULL, 0, true },
	{ ALLOW(RECIPIENT("EQUALS", "")), "a@b.example", NULL, 0, false },
	{ ALLOW(RECIPIENT("NOT_EQUALS", "'x@y.example','a@b.example'")), "a@b.example", NULL, 0,
	  false },
	{ ALLOW(RECIPIENT("NOT_EQUALS", "'x@y.example','a@b.example'")), "c@b.example", NULL, 0,
	  true },
	{ ALLOW(RECIPIENT("NOT_EQUALS", "")), "a@b.example", NULL, 0, true },
	{ ALLOW(RECIPIENT("STARTS_WITH", "'Info'")), "information@b.example", NULL, 0, true },
	{ ALLOW(RECIPIENT("STARTS_WITH", "'info'")), "my-info@b.example", NULL, 0, false },
	{ ALLOW(RECIPIENT("ENDS_WITH", "'@b.example'")), "a@B.example", NULL, 0, true },
	{ ALLOW(RECIPIENT("ENDS_WITH", "'@b.example'")), "a@b.example.org", NULL, 0, false },
	{ ALLOW(RECIPIENT("ENDS_WITH", "'@b.example'")), "ample", NULL, 0, false },
	{ ALLOW(RECIPIENT("CONTAINS", "'SALES'")), "us-sales-1@b.example", NULL, 0, true },
	{ ALLOW(RECIPIENT("CONTAINS", "'sales'")), "us-sale@b.example", NULL, 0, false },
	{ ALLOW(RECIPIENT("CONTAINS", "'aab'")), "aaab@b.example", NULL, 0, true },
	{ ALLOW(RECIPIENT("CONTAINS", "''")), "a@b.example", NULL, 0, true },
	{ ALLOW(IP4("CIDR_MATCHES", "'192.0.2.0/24'")), "a@b.c", "192.0.2.255", 0, true },
	{ ALLOW(IP4("CIDR_MATCHES", "'192.0.2.0/24'")), "a@b.c", "192.0.3.0", 0, false },
	{ ALLOW(IP4("CIDR_MATCHES", "'192.0.2.0/24','10.0.0.0/8'")), "a@b.c", "10.1.1.1", 0, true },
	{ ALLOW(IP4("CIDR_MATCHES", "'0.0.0.0/0'")), "a@b.c", "2001:db8::1", 0, false },
	{ ALLOW(IP4("CIDR_MATCHES", "'192.0.2.0/24'")), "a@b.c", "::ffff:192.0.2.7", 0, true },
	{ ALLOW(IP4("CIDR_MATCHES", "'0.0.0.0/0'")), "a@b.c", NULL, 0, false },
	{ ALLOW(IP4("NOT_CIDR_MATCHES", "'192.0.2.0/24','10.0.0.0/8'")), "a@b.c", "10.1.1.1", 0,
	  false },
	{ ALLOW(IP4("NOT_CIDR_MATCHES", "'192.0.2.0/24','10.0.0.0/8'")), "a@b.c", "11.1.1.1", 0,
	  true },
	{ ALLOW(IP4("NOT_CIDR_MATCHES", "'192.0.2.0/24'")), "a@b.c", "2001:db8::1", 0, true },
	{ ALLOW(IP6("CIDR_MATCHES", "'2001:db8::/33'")), "a@b.c", "2001:db8:7fff::1", 0, true },
	{ ALLOW(IP6("CIDR_MATCHES", "'2001:db8::/33'")), "a@b.c", "2001:db8:8000::1", 0, false },
	{ ALLOW(IP6("CIDR_MATCHES", "'::/0'")), "a@b.c", "192.0.2.1", 0, false },
	{ ALLOW(IP6("CIDR_MATCHES", "'::/0'")), "a@b.c", "::ffff:192.0.2.1", 0, false },
	{ ALLOW(IP6("NOT_CIDR_MATCHES", "'2001:db8::/32'")), "a@b.c", "2001:db8::1", 0, false },
	{ ALLOW(IP6("NOT_CIDR_MATCHES", "'2001:db8::/32'")), "a@b.c", "2001:db9::1", 0, true },
	{ ALLOW(TLS("MINIMUM_TLS_VERSION", "TLS1_2")), "a@b.c", NULL, 0, false },
	{ ALLOW(TLS("MINIMUM_TLS_VERSION", "TLS1_2")), "a@b.c", NULL, POLICY_TLS_1_2, true },
	{ ALLOW(TLS("MINIMUM_TLS_VERSION", "TLS1_2")), "a@b.c", NULL, POLICY_TLS_1_3, true },
	{ ALLOW(TLS("MINIMUM_TLS_VERSION", "TLS1_3")), "a@b.c", NULL, POLICY_TLS_1_2, false },
	{ ALLOW(TLS("MINIMUM_TLS_VERSION", "TLS1_3")), "a@b.c", NULL, POLICY_TLS_1_3, true },
	{ ALLOW(TLS("IS", "TLS1_2")), "a@b.c", NULL, POLICY_TLS_1_2, true },
	{ ALLOW(TLS("IS", "TLS1_2")), "a@b.c", NULL, POLICY_TLS_1_3, false },
	{ ALLOW(TLS("IS", "TLS1_2")), "a@b.c", NULL, 0, false },
	{ ALLOW(LIST("IS_TRUE")), "boss@corp.example", NULL, 0, true },
	{ ALLOW(LIST("IS_TRUE")), "x@a.vip.example", NULL, 0, true },
	{ ALLOW(LIST("IS_TRUE")), "clerk@corp.example", NULL, 0, false },
	{ ALLOW(LIST("IS_FALSE")), "boss@corp.example", NULL, 0, false },
	{ ALLOW(LIST("IS_FALSE")), "clerk@corp.example", NULL, 0, true },
	/* all conditions of a statement */
	{ ALLOW(RECIPIENT("ENDS_WITH", "'.example'") "," TLS("IS", "TLS1_3")), "a@b.example", NULL,
	  POLICY_TLS_1_3, true },
	{ ALLOW(RECIPIENT("ENDS_WITH", "'.example'") "," TLS("IS", "TLS1_3")), "a@b.example", NULL,
	  0, false },
	{ ALLOW(RECIPIENT("ENDS_WITH", "'.test'") "," TLS("IS", "TLS1_3")), "a@b.example", NULL,
	  POLICY_TLS_1_3, false },
	/* any statement; a DENY behind wins over an ALLOW before */
	{ ALLOW(TLS("IS", "TLS1_3")) "," ALLOW(RECIPIENT("CONTAINS", "'a'")), "a@b.example", NULL,
	  0, true },
	{ ALLOW(RECIPIENT("CONTAINS", "'a'")) "," DENY(RECIPIENT("STARTS_WITH", "'spam'")),
	  "spam@b.example", NULL, 0, false },
	{ ALLOW(RECIPIENT("CONTAINS", "'a'")) "," DENY(RECIPIENT("STARTS_WITH", "'spam'")),
	  "ham@b.example", NULL, 0, true },
	{ "", "a@b.example", NULL, 0, false },
};

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct policy *p = make(cases[i].statements, "DENY");
		struct policy_facts f = facts_of(cases[i].recipient, cases[i].peer, cases[i].tls);
		bool allowed = policy_decide(p, &f, NULL) == POLICY_ALLOW;

		policy_free(&p);
		if (allowed != cases[i].allowed)
			fail_msg("%s for %s: %d", cases[i].statements, cases[i].recipient, allowed);
	}
}

static void test_default(void **state)
{
	struct policy *p = make(DENY(RECIPIENT("EQUALS", "'x@y.example'")), "ALLOW");
	struct policy_facts denied = facts_of("x@y.example", NULL, 0);
	struct policy_facts other = facts_of("z@y.example", NULL, 0);

	(void)state;
	assert_int_equal(policy_decide(p, &denied, NULL), POLICY_DENY);
	assert_int_equal(policy_decide(p, &other, NULL), POLICY_ALLOW);
	assert_int_equal(policy_max_bytes(p), 77);
	assert_string_equal(policy_name(p), "p");
	assert_string_equal(policy_id(p), "tp-1");
	policy_free(&p);
	assert_null(p);
}

static void note(void *arg, const struct policy_step *step)
{
	struct buf *out = arg;

	assert_int_equal(buf_addf(out, "%d.%d=%d%c ", step->statement, step->condition, step->held,
	                          step->action == POLICY_ALLOW ? 'A' : 'D'),
	                 RC_OK);
}

/* Order of judging, and that it ends when the verdict is known. */
static void test_trace(void **state)
{
	struct policy *p =
	        make(ALLOW(RECIPIENT("CONTAINS", "'a'") "," TLS("IS", "TLS1_3")) "," DENY(RECIPIENT(
	                     "EQUALS", "'bad@b.example'")) "," ALLOW(RECIPIENT("CONTAINS", "'b'")),
	             "DENY");
	static const struct {
		const char *recipient;
		const char *steps;
	} runs[] = {
		{ "bad@b.example", "1.0=1D 1.-1=1D " },
		{ "a@b.example", "1.0=0D 1.-1=0D 0.0=1A 0.1=0A 0.-1=0A 2.0=1A 2.-1=1A " },
		{ "x@y.test", "1.0=0D 1.-1=0D 0.0=0A 0.-1=0A 2.0=0A 2.-1=0A -1.-1=1D " },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(runs); i++) {
		struct policy_facts f = facts_of(runs[i].recipient, NULL, POLICY_TLS_NONE);
		struct buf steps;
		struct policy_trace trace = { note, &steps };

		buf_init(&steps, 4096);
		(void)policy_decide(p, &f, &trace);
		EXPECT_SLICE(runs[i].recipient, buf_slice(&steps), runs[i].steps);
		buf_free(&steps);
	}
	policy_free(&p);
}

static void test_missing_list(void **state)
{
	json_t *json =
	        quoted("{'TrafficPolicyName':'p','DefaultAction':'DENY','PolicyStatements':[" ALLOW(
	                "{'BooleanExpression':{'Evaluate':{'IsInAddressList':{'Attribute':"
	                "'RECIPIENT','AddressLists':['nobody']}},'Operator':'IS_TRUE'}}") "]}");
	struct policy *p = NULL;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(policy_new(&p, json, find_list, NULL, &e), RC_NOTFOUND);
	assert_null(p);
	assert_string_equal(e.text,
	                    "PolicyStatements[0].Conditions[0]: no address list \"nobody\"");
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_trace),
		cmocka_unit_test(test_missing_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
