#include "ingest/policy.h"
#include "tests/unit/ingest/quoted.h"

#include <stdio.h>

static struct address_list *find_list(void *arg, struct slice reference)
{
	return slice_equal(reference, slice_str("vip")) ? arg : NULL;
}

static const char *find_analyzer(void *arg, struct slice reference)
{
	static char id[64];

	(void)arg;
	(void)snprintf(id, sizeof(id), "ai-%.*s", (int)reference.len, (const char *)reference.at);
	return slice_equal(reference, slice_str("none")) ? NULL : id;
}

static enum rc compile(struct policy **p, const json_t *json, struct address_list *list,
                       struct err *e)
{
	struct policy_lookup look = { find_list, find_analyzer, list };

	return policy_new(p, json, &look, e);
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
	EXPECT_OK(compile(&p, json, list, &e), &e);
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
	assert_int_equal(compile(&p, json, NULL, &e), RC_NOTFOUND);
	assert_null(p);
	assert_string_equal(e.text,
	                    "PolicyStatements[0].Conditions[0]: no address list \"nobody\"");
	json_decref(json);
}

/* ---- add-ons ---- */

#define SAYS(ref, field, op, values)                                                               \
	"{'StringExpression':{'Evaluate':{'Analysis':{'Analyzer':'" ref "','ResultField':'" field  \
	"'}},'Operator':'" op "','Values':[" values "]}}"
#define YES(ref, field, op)                                                                        \
	"{'BooleanExpression':{'Evaluate':{'Analysis':{'Analyzer':'" ref "','ResultField':'" field \
	"'}},'Operator':'" op "'}}"

#define LISTED                                                                                     \
	"{'ai-x':{'verdict':'FAIL','fields':{'isListed':true,'listedOn':'ip.test','isPassed':"     \
	"false}}}"
#define CLEAR                                                                                      \
	"{'ai-x':{'verdict':'PASS','fields':{'isListed':false,'listedOn':'','isPassed':true}}}"
#define FAILED "{'ai-x':{'verdict':'PROCESSING_FAILED','why':'late'}}"

/* With each DefaultAction: what is decided where the list says so. */
static const struct {
	const char *statements;
	const char *addons;
	enum policy_verdict by_allow; /* DefaultAction ALLOW */
	enum policy_verdict by_deny;
} asked_cases[] = {
	{ DENY(YES("x", "addon.is listed", "IS_TRUE")), NULL, POLICY_ASK, POLICY_ASK },
	{ DENY(YES("x", "addon.is listed", "IS_TRUE")), "{'ai-y':{'verdict':'PASS'}}", POLICY_ASK,
	  POLICY_ASK },
	{ DENY(YES("x", "addon.is listed", "IS_TRUE")), LISTED, POLICY_DENY, POLICY_DENY },
	{ DENY(YES("x", "isListed", "IS_TRUE")), CLEAR, POLICY_ALLOW, POLICY_DENY },
	{ DENY(YES("x", "is_listed", "IS_FALSE")), LISTED, POLICY_ALLOW, POLICY_DENY },
	{ DENY(YES("x", "is_listed", "IS_FALSE")), CLEAR, POLICY_DENY, POLICY_DENY },
	/* nothing is concluded from nothing */
	{ DENY(YES("x", "isListed", "IS_TRUE")), FAILED, POLICY_ALLOW, POLICY_DENY },
	{ DENY(YES("x", "isListed", "IS_FALSE")), FAILED, POLICY_ALLOW, POLICY_DENY },
	{ DENY(SAYS("x", "listedOn", "NOT_EQUALS", "'z'")), FAILED, POLICY_ALLOW, POLICY_DENY },
	{ DENY(SAYS("x", "nothing", "NOT_EQUALS", "'z'")), LISTED, POLICY_ALLOW, POLICY_DENY },
	{ DENY(SAYS("x", "isListed", "EQUALS", "'true'")), LISTED, POLICY_ALLOW, POLICY_DENY },
	{ DENY(YES("x", "listedOn", "IS_TRUE")), LISTED, POLICY_ALLOW, POLICY_DENY },
	/* who was denied for want of an answer may come again */
	{ ALLOW(YES("x", "isListed", "IS_FALSE")), FAILED, POLICY_ALLOW, POLICY_LATER },
	{ ALLOW(YES("x", "isListed", "IS_FALSE")), LISTED, POLICY_ALLOW, POLICY_DENY },
	{ ALLOW(YES("x", "isListed", "IS_FALSE")), CLEAR, POLICY_ALLOW, POLICY_ALLOW },
	{ DENY(SAYS("x", "verdict", "EQUALS", "'PROCESSING_FAILED'")), FAILED, POLICY_LATER,
	  POLICY_LATER },
	{ DENY(SAYS("x", "verdict", "EQUALS", "'PROCESSING_FAILED'")), LISTED, POLICY_ALLOW,
	  POLICY_DENY },
	{ DENY(SAYS("x", "addon.verdict", "NOT_EQUALS", "'PASS'")), CLEAR, POLICY_ALLOW,
	  POLICY_DENY },
	{ DENY(YES("x", "isListed", "IS_TRUE")) "," DENY(RECIPIENT("CONTAINS", "'@'")), FAILED,
	  POLICY_DENY, POLICY_DENY },
	{ DENY(YES("x", "isListed", "IS_TRUE")) "," ALLOW(RECIPIENT("CONTAINS", "'no'")), FAILED,
	  POLICY_ALLOW, POLICY_DENY },
	/* texts */
	{ DENY(SAYS("x", "listed_on", "ENDS_WITH", "'.TEST'")), LISTED, POLICY_DENY, POLICY_DENY },
	{ DENY(SAYS("x", "listedOn", "EQUALS", "''")), CLEAR, POLICY_DENY, POLICY_DENY },
	/* what is decided without it isn't asked */
	{ DENY(RECIPIENT("CONTAINS", "'@'")) "," DENY(YES("x", "isListed", "IS_TRUE")), NULL,
	  POLICY_DENY, POLICY_DENY },
	{ DENY(RECIPIENT("CONTAINS", "'no'") "," YES("x", "isListed", "IS_TRUE")), NULL,
	  POLICY_ALLOW, POLICY_DENY },
	{ ALLOW(RECIPIENT("CONTAINS", "'@'")) "," ALLOW(YES("x", "isListed", "IS_TRUE")), NULL,
	  POLICY_ALLOW, POLICY_ALLOW },
};

static void test_addons(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(asked_cases); i++) {
		json_t *addons = asked_cases[i].addons ? quoted(asked_cases[i].addons) : NULL;
		struct policy_facts f = facts_of("a@b.example", NULL, 0);

		f.addons = addons;
		for (int deny = 0; deny < 2; deny++) {
			struct policy *p = make(asked_cases[i].statements, deny ? "DENY" : "ALLOW");
			enum policy_verdict v = policy_decide(p, &f, NULL);
			enum policy_verdict want =
			        deny ? asked_cases[i].by_deny : asked_cases[i].by_allow;

			policy_free(&p);
			if (v != want)
				fail_msg("%s with %s: %d, want %d", asked_cases[i].statements,
				         asked_cases[i].addons ? asked_cases[i].addons : "nothing",
				         v, want);
		}
		json_decref(addons);
	}
}

/* Which are asked: each once, and no more than are asked together. */
static void test_asks(void **state)
{
	struct policy *p = make(DENY(YES("x", "isListed", "IS_TRUE") "," SAYS(
	                                "y", "a", "EQUALS", "") "," YES("x", "a", "IS_FALSE")),
	                        "ALLOW");
	const char *const *ids;
	char text[4096] = "{'TrafficPolicyName':'p','DefaultAction':'DENY','PolicyStatements':[";
	struct err e = { 0 };
	json_t *json;

	(void)state;
	assert_int_equal(policy_asks(p, &ids), 2);
	assert_string_equal(ids[0], "ai-x");
	assert_string_equal(ids[1], "ai-y");
	policy_free(&p);
	for (int i = 0; i < 9; i++) {
		size_t n = strlen(text);

		(void)snprintf(text + n, sizeof(text) - n,
		               "%s{'Action':'DENY','Conditions':[{'BooleanExpression':{'Evaluate':"
		               "{'Analysis':{'Analyzer':'%d','ResultField':'x'}},'Operator':"
		               "'IS_TRUE'}}]}",
		               i ? "," : "", i);
	}
	(void)snprintf(text + strlen(text), 3, "]}");
	json = quoted(text);
	assert_int_equal(compile(&p, json, NULL, &e), RC_INVALID);
	assert_string_equal(e.text, "PolicyStatements[8].Conditions[0]: a traffic policy asks 8 "
	                            "add-ons at most");
	json_decref(json);
	json = quoted("{'TrafficPolicyName':'p','DefaultAction':'DENY','PolicyStatements':[" ALLOW(
	        YES("none", "x", "IS_TRUE")) "]}");
	assert_int_equal(compile(&p, json, NULL, &e), RC_NOTFOUND);
	assert_string_equal(e.text, "PolicyStatements[0].Conditions[0]: no add-on instance "
	                            "\"none\"");
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),  cmocka_unit_test(test_default),
		cmocka_unit_test(test_trace),  cmocka_unit_test(test_missing_list),
		cmocka_unit_test(test_addons), cmocka_unit_test(test_asks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
