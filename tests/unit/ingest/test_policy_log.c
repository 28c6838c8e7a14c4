/* tests/unit/ingest/test_policy_log.c - judgements that are followed, sent and read back; what a
 * broken mm-smtpd may send */
#include "ingest/policy_log.h"

#include <stdio.h>
#include <stdlib.h>

#include "ingest/log_line.h"
#include "tests/unit/ingest/quoted.h"
#include "tests/unit/store/scratch.h"
#include "tests/unit/test.h"

static const char policy_text[] =
        "{'TrafficPolicyName':'p','TrafficPolicyId':'tp-1','Version':4,'DefaultAction':'DENY',"
        "'PolicyStatements':["
        "{'Action':'ALLOW','Conditions':[{'StringExpression':{'Evaluate':{'Attribute':'RECIPIENT'},"
        "'Operator':'ENDS_WITH','Values':['@corp.example','@x.example']}},{'TlsExpression':"
        "{'Evaluate':{'Attribute':'TLS_PROTOCOL'},'Operator':'MINIMUM_TLS_VERSION','Value':'TLS1_2'"
        "}}]},"
        "{'Action':'DENY','Conditions':[{'IpExpression':{'Evaluate':{'Attribute':'SENDER_IP'},"
        "'Operator':'CIDR_MATCHES','Values':['192.0.2.0/24']}}]}]}";

static const char *find_analyzer(void *arg, struct slice reference)
{
	(void)arg;
	(void)reference;
	return "ai-1";
}

static const struct policy_lookup look = { .analyzer = find_analyzer };

static struct policy *compile(const char *text)
{
	json_t *j = quoted(text);
	struct policy *p;
	struct err e;

	EXPECT_OK(policy_new(&p, j, &look, &e), &e);
	json_decref(j);
	return p;
}

static const json_t *addons; /* what they said */

static enum policy_verdict ask(struct policy_log *l, const struct policy *p, const char *recipient,
                               const char *ip, enum policy_tls tls, bool *logged)
{
	struct policy_facts f = { .recipient = slice_str(recipient), .tls = tls, .addons = addons };
	struct policy_record r = { .when_ms = 1000,
		                   .type = INGRESS_AUTH,
		                   .ingress_id = slice_str("inp-1"),
		                   .session_id = slice_str("s1"),
		                   .policy_id = slice_str("tp-1"),
		                   .ip = slice_str(ip),
		                   .recipient = slice_str(recipient) };
	enum policy_verdict v;

	assert_true(ip_parse(&f.peer, slice_str(ip)));
	*logged = policy_log_begin(l, p);
	v = policy_decide(p, &f, *logged ? policy_log_trace(l) : NULL);
	r.accepted = v == POLICY_ALLOW;
	if (*logged)
		policy_log_add(l, &r);
	return v;
}

/* The evaluation of the record of a batch, as the line has it. */
static void expect_evaluation(struct policy_log *l, const char *want)
{
	const struct log_style style = { { "us-east-1", "000000000000" }, true };
	struct policy_batch b;
	struct policy_record r;
	struct buf line;
	struct err e;
	json_t *j;
	json_t *expected = quoted(want);
	struct slice batch = policy_log_take(l, true);

	assert_true(policy_batch_read(&b, batch));
	assert_int_equal(b.left_out, 0);
	assert_int_equal(b.lost, 0);
	assert_true(policy_batch_next(&b, &r));
	assert_int_equal(r.type, INGRESS_AUTH);
	EXPECT_SLICE("session", r.session_id, "s1");
	buf_init(&line, 2 * LOG_LINE_MOST);
	assert_int_equal(log_line_policy(&line, &style, &r), RC_OK);
	EXPECT_OK(json_read(&j, buf_slice(&line), &e), &e);
	if (!json_equal(json_object_get(j, "traffic_policy_evaluation"), expected))
		fail_msg("got %s\nwant %s", buf_text(&line), want);
	assert_false(policy_batch_next(&b, &r));
	json_decref(j);
	json_decref(expected);
	buf_free(&line);
}

#define DENY_STATEMENT(held)                                                                       \
	"{'action':'DENY','conditions':[{'expression':{'attribute':'SENDER_IP','operator':"        \
	"'CIDR_MATCHES','value':['192.0.2.0/24']},'expressionResult':" held                        \
	"}],'policyStatementMatched':" held "}"
#define ALLOW_HEAD(held)                                                                           \
	"{'action':'ALLOW','conditions':[{'expression':{'attribute':'RECIPIENT','operator':"       \
	"'ENDS_WITH','value':['@corp.example','@x.example']},'expressionResult':" held "}"

static void test_evaluations(void **state)
{
	struct policy_log *l = policy_log_new(1000);
	struct policy *p = compile(policy_text);
	bool logged;

	(void)state;
	assert_int_equal(ask(l, p, "a@corp.example", "192.0.2.7", POLICY_TLS_1_3, &logged),
	                 POLICY_DENY);
	assert_true(logged);
	expect_evaluation(l, "[" DENY_STATEMENT("true") "]");
	assert_int_equal(ask(l, p, "a@corp.example", "198.51.100.7", POLICY_TLS_1_3, &logged),
	                 POLICY_ALLOW);
	expect_evaluation(l, "[" DENY_STATEMENT("false") "," ALLOW_HEAD(
	                             "true") ",{'expression':{"
	                                     "'attribute':'TLS_PROTOCOL','operator':'MINIMUM_TLS_"
	                                     "VERSION','value':"
	                                     "['TLS1_2']},'expressionResult':true}],'"
	                                     "policyStatementMatched':true}]");
	assert_int_equal(ask(l, p, "a@y.example", "198.51.100.7", POLICY_TLS_NONE, &logged),
	                 POLICY_DENY);
	expect_evaluation(
	        l,
	        "[" DENY_STATEMENT("false") "," ALLOW_HEAD(
	                "false") "],'policyStatementMatched':false},"
	                         "{'action':'DENY','type':'DefaultAction','scope':'Recipient'}]");
	assert_int_equal(policy_log_waiting(l), 0);
	policy_free(&p);
	policy_log_free(&l);
}

/* The result of an add-on stands beside the condition. */
static void test_add_ons(void **state)
{
	static const char text[] =
	        "{'TrafficPolicyName':'p','TrafficPolicyId':'tp-1','DefaultAction':'ALLOW',"
	        "'PolicyStatements':[{'Action':'DENY','Conditions':[{'BooleanExpression':{"
	        "'Evaluate':{'Analysis':{'Analyzer':'x','ResultField':'addon.is listed'}},"
	        "'Operator':'IS_TRUE'}},{'StringExpression':{'Evaluate':{'Analysis':{"
	        "'Analyzer':'x','ResultField':'listedOn'}},'Operator':'EQUALS','Values':['z']}}]}]"
	        "}";
	static const struct {
		const char *addons;
		const char *conditions;
	} cases[] = {
		{ "{'ai-1':{'verdict':'FAIL','fields':{'isListed':true,'listedOn':'ip.test'}}}",
		  "{'expression':{'attribute':'x','operator':'IS_TRUE','value':[]},'analysis':{"
		  "'resultField':'is listed','result':'true'},'expressionResult':true},"
		  "{'expression':{'attribute':'x','operator':'EQUALS','value':['z']},'analysis':{"
		  "'resultField':'listedOn','result':'ip.test'},'expressionResult':false}" },
		{ "{'ai-1':{'verdict':'PROCESSING_FAILED','why':'late'}}",
		  "{'expression':{'attribute':'x','operator':'IS_TRUE','value':[]},'analysis':{"
		  "'resultField':'is listed','result':'PROCESSING_FAILED'},'expressionResult':"
		  "false}" },
	};
	struct policy_log *l = policy_log_new(1000);
	struct policy *p = compile(text);

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		json_t *said = quoted(cases[i].addons);
		char want[2048];
		bool logged;

		addons = said;
		(void)ask(l, p, "a@corp.example", "192.0.2.7", POLICY_TLS_NONE, &logged);
		(void)snprintf(want, sizeof(want),
		               "[{'action':'DENY','conditions':[%s],'policyStatementMatched':"
		               "false},{'action':'ALLOW','type':'DefaultAction','scope':"
		               "'Recipient'}]",
		               cases[i].conditions);
		expect_evaluation(l, want);
		addons = NULL;
		json_decref(said);
	}
	policy_free(&p);
	policy_log_free(&l);
}

static void test_rate(void **state)
{
	struct policy_log *l = policy_log_new(5);
	struct policy *p = compile(policy_text);
	struct policy_batch b;
	struct policy_record r;
	unsigned sent = 0;
	uint64_t left_out = 0;

	(void)state;
	for (int i = 0; i < 100; i++) {
		bool logged;

		(void)ask(l, p, "a@y.example", "198.51.100.7", POLICY_TLS_NONE, &logged);
	}
	while (policy_log_waiting(l)) {
		assert_true(policy_batch_read(&b, policy_log_take(l, true)));
		left_out += b.left_out;
		while (policy_batch_next(&b, &r))
			sent++;
	}
	assert_int_equal(sent + left_out, 100);
	assert_in_range(sent, 5, 10); /* two seconds at most */
	policy_free(&p);
	policy_log_free(&l);
}

/* A mmd that doesn't read: all of it is counted, none of it is kept. */
static void test_lost(void **state)
{
	struct policy_log *l = policy_log_new(100000);
	struct policy *p = compile(policy_text);
	struct policy_batch b;
	struct policy_record r;
	uint64_t sent = 0;
	uint64_t lost = 0;
	bool logged;

	(void)state;
	for (int i = 0; i < 10; i++)
		(void)ask(l, p, "a@y.example", "198.51.100.7", POLICY_TLS_NONE, &logged);
	assert_int_equal(policy_log_take(l, false).len, 0);
	for (int i = 0; i < 10000; i++) /* more than the queue takes */
		(void)ask(l, p, "a@y.example", "198.51.100.7", POLICY_TLS_NONE, &logged);
	while (policy_log_waiting(l)) {
		struct slice batch = policy_log_take(l, true);

		assert_true(batch.len <= POLICY_BATCH_MOST);
		assert_true(policy_batch_read(&b, batch));
		lost += b.lost;
		while (policy_batch_next(&b, &r))
			sent++;
	}
	assert_int_equal(sent + lost, 10010);
	assert_true(lost > 10 && sent > 100);
	policy_free(&p);
	policy_log_free(&l);
}

/* A policy as large as can be: its record keeps its bounds, and tells each condition as far as it
 * was asked. */
static void test_large_policy(void **state)
{
	struct policy_log *l = policy_log_new(1000);
	struct policy *p;
	struct policy_batch b;
	struct policy_record r;
	struct policy_told t;
	struct slice steps;
	struct err e;
	json_t *statements = json_array();
	json_t *j = json_pack("{s:s,s:s,s:s,s:o}", "TrafficPolicyName", "p", "TrafficPolicyId",
	                      "tp-1", "DefaultAction", "ALLOW", "PolicyStatements", statements);
	unsigned conditions = 0;
	char value[2000];
	bool logged;

	(void)state;
	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	for (int s = 0; s < 20; s++) {
		json_t *list = json_array();

		for (int c = 0; c < 10; c++) {
			json_t *values = json_array();

			for (int v = 0; v < 10; v++)
				json_push(values, json_string(value));
			json_push(list, json_pack("{s:{s:{s:s},s:s,s:o}}", "StringExpression",
			                          "Evaluate", "Attribute", "RECIPIENT", "Operator",
			                          "NOT_EQUALS", "Values", values));
		}
		json_push(statements, json_pack("{s:s,s:o}", "Action", "DENY", "Conditions", list));
	}
	EXPECT_OK(policy_new(&p, j, &look, &e), &e);
	json_decref(j);
	(void)ask(l, p, "a@y.example", "198.51.100.7", POLICY_TLS_NONE, &logged);
	assert_true(policy_batch_read(&b, policy_log_take(l, true)));
	assert_true(policy_batch_next(&b, &r));
	steps = r.evaluation;
	while (policy_step_next(&steps, &t))
		conditions += t.kind == POLICY_STEP_CONDITION;
	assert_int_equal(conditions, 10);
	policy_free(&p);
	policy_log_free(&l);
}

/* Whatever is cut or changed in a batch: it is refused, or read within its bounds. */
static void test_hostile_batches(void **state)
{
	const struct log_style style = { { "us-east-1", "000000000000" }, true };
	struct policy_log *l = policy_log_new(1000);
	struct policy *p = compile(policy_text);
	struct policy_batch b;
	struct policy_record r;
	struct buf copy;
	struct buf line;
	struct slice good;
	uint64_t seed = scratch_seed();
	bool logged;

	(void)state;
	for (int i = 0; i < 3; i++)
		(void)ask(l, p, "a@y.example", "198.51.100.7", POLICY_TLS_1_2, &logged);
	buf_init(&copy, POLICY_BATCH_MOST);
	buf_init(&line, 2 * LOG_LINE_MOST);
	assert_int_equal(buf_add(&copy, policy_log_take(l, true)), RC_OK);
	good = buf_slice(&copy);
	for (size_t n = 0; n < good.len; n++) {
		unsigned records = 0;

		if (!policy_batch_read(&b, slice_part(good, 0, n)))
			continue;
		while (policy_batch_next(&b, &r))
			records++;
		assert_true(records < 3);
	}
	for (int i = 0; i < 3000; i++) {
		size_t at = scratch_random(&seed) % copy.len;
		uint8_t was = copy.at[at];

		copy.at[at] = (uint8_t)scratch_random(&seed);
		if (policy_batch_read(&b, buf_slice(&copy)))
			while (policy_batch_next(&b, &r)) {
				struct err e;
				json_t *j;

				buf_clear(&line);
				assert_int_equal(log_line_policy(&line, &style, &r), RC_OK);
				EXPECT_OK(json_read(&j, buf_slice(&line), &e), &e);
				json_decref(j);
			}
		copy.at[at] = was;
	}
	buf_free(&copy);
	buf_free(&line);
	policy_free(&p);
	policy_log_free(&l);
}

/* Steps out of order, and numbers that are none. */
static void test_steps_in_order(void **state)
{
#define CONDITION "C\1\0\0\0A\1\0\0\0B\0\0\1"
#define ASKED     "A\1\0\0\0A\1\0\0\0B\0\0\1\0\0\0f\4\0\0\0true\1"
#define CASE(name, steps, good)                                                                    \
	{                                                                                          \
		name, { (const uint8_t *)(steps), sizeof(steps) - 1 }, good                        \
	}
	static const struct {
		const char *name;
		struct slice steps;
		bool good;
	} cases[] = {
		CASE("none", "", true),
		CASE("one", "S\0" CONDITION "E\1", true),
		CASE("two and the default", "S\0" CONDITION "E\0S\1" CONDITION CONDITION "E\0D\1",
		     true),
		CASE("cut", "S\0" CONDITION, true),
		CASE("an add-on", "S\0" ASKED CONDITION "E\0", true),
		CASE("an add-on that says nothing", "S\0A\1\0\0\0A\1\0\0\0B\0\0\1E\0", false),
		CASE("no statement", CONDITION, false),
		CASE("an end alone", "E\1", false),
		CASE("a statement in another", "S\0S\0", false),
		CASE("a default in a statement", "S\0D\0", false),
		CASE("behind the end", "S\0" CONDITION "E\1" CONDITION, false),
		CASE("another step", "X\1", false),
		CASE("neither yes nor no", "D\2", false),
		CASE("half a step", "S", false),
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t head[27 + 9 * 4] = { 0 }; /* times, numbers, empty texts */
		struct buf record;
		struct buf batch;
		struct policy_batch b;

		buf_init(&record, 1024);
		buf_init(&batch, 1024);
		assert_int_equal(buf_add(&record, slice_of(head, sizeof(head))), RC_OK);
		assert_int_equal(buf_add(&record, cases[i].steps), RC_OK);
		assert_int_equal(buf_put_u64(&batch, 0), RC_OK);
		assert_int_equal(buf_put_u64(&batch, 0), RC_OK);
		assert_int_equal(buf_put_slice(&batch, buf_slice(&record)), RC_OK);
		EXPECT(cases[i].name, policy_batch_read(&b, buf_slice(&batch)) == cases[i].good);
		batch.at[16 + 4 + 8] = INGRESS_MTLS + 1; /* no type of ingress point */
		EXPECT(cases[i].name, !policy_batch_read(&b, buf_slice(&batch)));
		buf_free(&record);
		buf_free(&batch);
	}
#undef CASE
#undef CONDITION
#undef ASKED
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_evaluations),    cmocka_unit_test(test_add_ons),
		cmocka_unit_test(test_rate),           cmocka_unit_test(test_lost),
		cmocka_unit_test(test_large_policy),   cmocka_unit_test(test_hostile_batches),
		cmocka_unit_test(test_steps_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
