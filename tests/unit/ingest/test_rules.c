#include "ingest/decided.h"
#include "ingest/operator.h"
#include "ingest/rules.h"
#include "tests/unit/ingest/quoted.h"

#include <stdio.h>

static struct address_list *find_list(void *arg, struct slice reference)
{
	return slice_equal(reference, slice_str("vip")) ? arg : NULL;
}

/* "one" is archive 1, "uno" the same by another name, "two" archive 2; others are not there. */
static uint32_t find_archive(void *arg, struct slice reference)
{
	(void)arg;
	if (slice_equal(reference, slice_str("one")) || slice_equal(reference, slice_str("uno")))
		return 1;
	return slice_equal(reference, slice_str("two")) ? 2 : 0;
}

static const char *find_analyzer(void *arg, struct slice reference)
{
	(void)arg;
	return slice_equal(reference, slice_str("ai-1")) ? "ai-1" : NULL;
}

/* A rule set with these rules. */
static struct rule_set *make(const char *rules)
{
	json_t *names = quoted("['boss@corp.example','*.vip.example']");
	struct address_list *list = NULL;
	struct rule_lookup look = { .list = find_list,
		                    .archive = find_archive,
		                    .analyzer = find_analyzer };
	struct rule_set *rs = NULL;
	struct err e = { 0 };
	struct buf text;
	json_t *json;

	buf_init(&text, 1 << 20);
	assert_int_equal(buf_addf(&text,
	                          "{'RuleSetName':'r','RuleSetId':'rs-1','Version':3,'Rules':[%s]}",
	                          rules),
	                 RC_OK);
	json = quoted(buf_text(&text));
	EXPECT_OK(address_list_new(&list, names, &e), &e);
	look.arg = list;
	EXPECT_OK(rule_set_new(&rs, json, &look, &e), &e);
	address_list_unref(&list);
	json_decref(json);
	json_decref(names);
	buf_free(&text);
	return rs;
}

/* ---- conditions ---- */

static const struct rule_address from_addresses[] = {
	{ { (const uint8_t *)"ann@corp.example", 16 },
	  { (const uint8_t *)"Ann Lee <ann@corp.example>", 26 } },
};
static const struct rule_address to_addresses[] = {
	{ { (const uint8_t *)"bob@b.example", 13 }, { NULL, 0 } },
	{ { (const uint8_t *)"x@a.vip.example", 15 },
	  { (const uint8_t *)"X <x@a.vip.example>", 19 } },
};

#define TEXT(s)                                                                                    \
	{                                                                                          \
		(const uint8_t *)(s), sizeof(s) - 1                                                \
	}

static const struct slice subjects[] = { TEXT("Quarterly figures"), TEXT("Second subject") };
static const struct slice froms[] = { TEXT("Ann Lee <ann@corp.example>") };
static const struct slice tos[] = { TEXT("bob@b.example, X <x@a.vip.example>") };
static const struct slice ccs[] = { TEXT("undisclosed (no address here)") };
static const struct rule_header headers[] = {
	{ TEXT("X-Mailer"), TEXT("Robot 1.0") },
	{ TEXT("x-flag"), TEXT("one") },
	{ TEXT("X-Flag"), TEXT("two") },
};

/* What the instance ai-1 says: it listed the sender, and is sure. */
static struct rule_result analysis(const void *arg, struct slice instance, struct slice field)
{
	struct rule_result got = { .kind = RULE_RESULT_NONE };

	(void)arg;
	EXPECT_SLICE("instance", instance, "ai-1");
	if (slice_equal(field, slice_str("verdict")))
		got = (struct rule_result) { .kind = RULE_RESULT_VERDICT, .verdict = RULE_GRAY };
	else if (slice_equal(field, slice_str("name")))
		got = (struct rule_result) { .kind = RULE_RESULT_TEXT,
			                     .text = slice_str("Eicar Test") };
	else if (slice_equal(field, slice_str("listed")))
		got = (struct rule_result) { .kind = RULE_RESULT_BOOLEAN, .yes = true };
	else if (slice_equal(field, slice_str("clean")))
		got = (struct rule_result) { .kind = RULE_RESULT_BOOLEAN };
	return got;
}

static struct rule_facts message(void)
{
	struct rule_facts f = { .mail_from = slice_str("bounce+1@list.example"),
		                .helo = slice_str("mail.list.example"),
		                .tls = POLICY_TLS_1_3,
		                .tls_wrapped = false,
		                .bytes = 1000,
		                .read_receipt = true,
		                .headers = headers,
		                .header_count = COUNT(headers) };

	f.spf = RULE_PASS;
	f.dkim = RULE_FAIL;
	f.dmarc = RULE_DMARC_QUARANTINE;
	f.analysis = analysis;
	assert_true(ip_parse(&f.peer, slice_str("192.0.2.9")));
	f.fields[RULE_SUBJECT] = (struct rule_field) { NULL, 0, subjects, COUNT(subjects) };
	f.fields[RULE_FROM] =
	        (struct rule_field) { from_addresses, COUNT(from_addresses), froms, 1 };
	f.fields[RULE_TO] = (struct rule_field) { to_addresses, COUNT(to_addresses), tos, 1 };
	f.fields[RULE_CC] = (struct rule_field) { NULL, 0, ccs, 1 };
	return f;
}

#define BOOL(attribute, op)                                                                        \
	"{'BooleanExpression':{'Evaluate':{'Attribute':'" attribute "'},'Operator':'" op "'}}"
#define STRING(attribute, op, values)                                                              \
	"{'StringExpression':{'Evaluate':{'Attribute':'" attribute "'},'Operator':'" op            \
	"','Values':[" values "]}}"
#define HEADER(name, op, values)                                                                   \
	"{'StringExpression':{'Evaluate':{'MimeHeaderAttribute':'" name "'},'Operator':'" op       \
	"','Values':[" values "]}}"
#define SIZE(op, value)                                                                            \
	"{'NumberExpression':{'Evaluate':{'Attribute':'MESSAGE_SIZE'},'Operator':'" op             \
	"','Value':" value "}}"
#define IP(op, values)                                                                             \
	"{'IpExpression':{'Evaluate':{'Attribute':'SOURCE_IP'},'Operator':'" op                    \
	"','Values':[" values "]}}"
#define LIST(attribute, op)                                                                        \
	"{'BooleanExpression':{'Evaluate':{'IsInAddressList':{'Attribute':'" attribute             \
	"','AddressLists':['vip']}},'Operator':'" op "'}}"

#define VERDICT(about, op, values)                                                                 \
	"{'VerdictExpression':{'Evaluate':{'Attribute':'" about "'},'Operator':'" op               \
	"','Values':[" values "]}}"
#define DMARC(op, values) "{'DmarcExpression':{'Operator':'" op "','Values':[" values "]}}"
#define ANALYSIS(field)   "{'Analysis':{'Analyzer':'ai-1','ResultField':'" field "'}}"
#define ANALYSED(kind, field, op, more)                                                            \
	"{'" kind "Expression':{'Evaluate':" ANALYSIS(field) ",'Operator':'" op "'" more "}}"
#define SAYS(field, op, values)  ANALYSED("Verdict", field, op, ",'Values':[" values "]")
#define TELLS(field, op, values) ANALYSED("String", field, op, ",'Values':[" values "]")
#define ANSWERS(field, op)       ANALYSED("Boolean", field, op, "")

/* For the recipient boss@corp.example. */
static const struct {
	const char *condition;
	bool holds;
} conditions[] = {
	{ BOOL("READ_RECEIPT_REQUESTED", "IS_TRUE"), true },
	{ BOOL("READ_RECEIPT_REQUESTED", "IS_FALSE"), false },
	{ BOOL("TLS", "IS_TRUE"), true },
	{ BOOL("TLS", "IS_FALSE"), false },
	{ BOOL("TLS_WRAPPED", "IS_TRUE"), false },
	{ BOOL("TLS_WRAPPED", "IS_FALSE"), true },
	/* envelope */
	{ STRING("MAIL_FROM", "EQUALS", "'Bounce+1@LIST.example'"), true },
	{ STRING("MAIL_FROM", "EQUALS", "'bounce@list.example'"), false },
	{ STRING("MAIL_FROM", "NOT_EQUALS", "'bounce+1@list.example','x'"), false },
	{ STRING("MAIL_FROM", "NOT_EQUALS", "'x','y'"), true },
	{ STRING("MAIL_FROM", "STARTS_WITH", "'x','bounce+'"), true },
	{ STRING("HELO", "ENDS_WITH", "'.list.example'"), true },
	{ STRING("HELO", "EQUALS", "'list.example'"), false },
	{ STRING("HELO", "CONTAINS", "'LIST'"), true },
	{ STRING("RECIPIENT", "EQUALS", "'boss@corp.example'"), true },
	{ STRING("RECIPIENT", "NOT_EQUALS", "'boss@corp.example'"), false },
	{ STRING("RECIPIENT", "ENDS_WITH", "'@corp.example'"), true },
	{ STRING("RECIPIENT", "CONTAINS", "'bob'"), false },
	/* subject: any of several */
	{ STRING("SUBJECT", "EQUALS", "'quarterly FIGURES'"), true },
	{ STRING("SUBJECT", "EQUALS", "'second subject'"), true },
	{ STRING("SUBJECT", "EQUALS", "'quarterly'"), false },
	{ STRING("SUBJECT", "STARTS_WITH", "'quarter'"), true },
	{ STRING("SUBJECT", "ENDS_WITH", "'figures'"), true },
	{ STRING("SUBJECT", "CONTAINS", "'cond sub'"), true },
	{ STRING("SUBJECT", "NOT_EQUALS", "'second subject'"), false },
	{ STRING("SUBJECT", "NOT_EQUALS", "'third'"), true },
	/* addresses: bare, display, raw */
	{ STRING("FROM", "EQUALS", "'ann@corp.example'"), true },
	{ STRING("FROM", "EQUALS", "'Ann Lee <ann@corp.example>'"), true },
	{ STRING("FROM", "STARTS_WITH", "'ann lee'"), true },
	{ STRING("FROM", "ENDS_WITH", "'@corp.example'"), true },
	{ STRING("FROM", "ENDS_WITH", "'@corp.example>'"), true },
	{ STRING("FROM", "NOT_EQUALS", "'ann@corp.example'"), false },
	{ STRING("FROM", "NOT_EQUALS", "'ann lee <ann@corp.example>'"), false },
	{ STRING("FROM", "NOT_EQUALS", "'lee@corp.example'"), true },
	{ STRING("TO", "EQUALS", "'bob@b.example'"), true },
	{ STRING("TO", "EQUALS", "'x@a.vip.example'"), true },
	{ STRING("TO", "STARTS_WITH", "'x <'"), true },
	{ STRING("TO", "CONTAINS", "'example, x'"), true },
	{ STRING("TO", "EQUALS", "'boss@corp.example'"), false },
	{ STRING("CC", "CONTAINS", "'undisclosed'"), true },
	{ STRING("CC", "NOT_EQUALS", "'bob@b.example'"), true },
	/* absent */
	{ STRING("SENDER", "CONTAINS", "'a'"), false },
	{ STRING("SENDER", "NOT_EQUALS", "'a'"), true },
	/* headers by name */
	{ HEADER("X-Mailer", "STARTS_WITH", "'robot'"), true },
	{ HEADER("X-MAILER", "EQUALS", "'robot 1.0'"), true },
	{ HEADER("X-Flag", "EQUALS", "'one'"), true },
	{ HEADER("X-Flag", "EQUALS", "'two'"), true },
	{ HEADER("X-Flag", "NOT_EQUALS", "'two'"), false },
	{ HEADER("X-Flag", "NOT_EQUALS", "'three'"), true },
	{ HEADER("X-Other", "CONTAINS", "'o'"), false },
	{ HEADER("X-Other", "NOT_EQUALS", "'o'"), true },
	/* size */
	{ SIZE("EQUALS", "1000"), true },
	{ SIZE("EQUALS", "1000.5"), false },
	{ SIZE("NOT_EQUALS", "1000"), false },
	{ SIZE("NOT_EQUALS", "999"), true },
	{ SIZE("LESS_THAN", "1000"), false },
	{ SIZE("LESS_THAN", "1000.5"), true },
	{ SIZE("GREATER_THAN", "1000"), false },
	{ SIZE("GREATER_THAN", "999"), true },
	{ SIZE("LESS_THAN_OR_EQUAL", "1000"), true },
	{ SIZE("LESS_THAN_OR_EQUAL", "999"), false },
	{ SIZE("GREATER_THAN_OR_EQUAL", "1000"), true },
	{ SIZE("GREATER_THAN_OR_EQUAL", "1001"), false },
	/* addresses of the peer */
	{ IP("CIDR_MATCHES", "'10.0.0.0/8','192.0.2.0/28'"), true },
	{ IP("CIDR_MATCHES", "'192.0.2.9'"), true },
	{ IP("CIDR_MATCHES", "'192.0.2.0/29'"), false },
	{ IP("CIDR_MATCHES", "'2001:db8::/32'"), false },
	{ IP("NOT_CIDR_MATCHES", "'10.0.0.0/8','192.0.2.0/28'"), false },
	{ IP("NOT_CIDR_MATCHES", "'10.0.0.0/8'"), true },
	/* lists */
	{ LIST("RECIPIENT", "IS_TRUE"), true },
	{ LIST("RECIPIENT", "IS_FALSE"), false },
	{ LIST("TO", "IS_TRUE"), true },
	{ LIST("TO", "IS_FALSE"), false },
	{ LIST("FROM", "IS_TRUE"), false },
	{ LIST("FROM", "IS_FALSE"), true },
	{ LIST("MAIL_FROM", "IS_TRUE"), false },
	{ LIST("SENDER", "IS_FALSE"), true },
	{ LIST("CC", "IS_TRUE"), false },
	/* verdicts: SPF PASS, DKIM FAIL, DMARC asks for QUARANTINE */
	{ VERDICT("SPF", "EQUALS", "'PASS'"), true },
	{ VERDICT("SPF", "EQUALS", "'FAIL','GRAY','PROCESSING_FAILED'"), false },
	{ VERDICT("SPF", "EQUALS", "'GRAY','PASS'"), true },
	{ VERDICT("SPF", "NOT_EQUALS", "'PASS'"), false },
	{ VERDICT("SPF", "NOT_EQUALS", "'FAIL','GRAY'"), true },
	{ VERDICT("SPF", "NOT_EQUALS", "'FAIL','PASS'"), false },
	{ VERDICT("DKIM", "EQUALS", "'FAIL'"), true },
	{ VERDICT("DKIM", "EQUALS", "'PASS'"), false },
	{ VERDICT("DKIM", "NOT_EQUALS", "'PASS'"), true },
	{ DMARC("EQUALS", "'QUARANTINE'"), true },
	{ DMARC("EQUALS", "'NONE','REJECT'"), false },
	{ DMARC("EQUALS", "'REJECT','QUARANTINE'"), true },
	{ DMARC("NOT_EQUALS", "'QUARANTINE'"), false },
	{ DMARC("NOT_EQUALS", "'NONE','REJECT'"), true },
	/* add-ons */
	{ SAYS("verdict", "EQUALS", "'GRAY'"), true },
	{ SAYS("addon.verdict", "EQUALS", "'FAIL','GRAY'"), true },
	{ SAYS("verdict", "EQUALS", "'PASS'"), false },
	{ SAYS("verdict", "NOT_EQUALS", "'GRAY'"), false },
	{ SAYS("verdict", "NOT_EQUALS", "'PASS','PROCESSING_FAILED'"), true },
	{ TELLS("name", "EQUALS", "'eicar test'"), true },
	{ TELLS("addon.name", "CONTAINS", "'CAR T'"), true },
	{ TELLS("name", "STARTS_WITH", "'test'"), false },
	{ TELLS("name", "NOT_EQUALS", "'other'"), true },
	{ TELLS("name", "NOT_EQUALS", "'other','EICAR TEST'"), false },
	{ ANSWERS("listed", "IS_TRUE"), true },
	{ ANSWERS("listed", "IS_FALSE"), false },
	{ ANSWERS("clean", "IS_TRUE"), false },
	{ ANSWERS("clean", "IS_FALSE"), true },
	/* a field that isn't there, or is of another kind: nothing is concluded from it */
	{ SAYS("other", "EQUALS", "'PROCESSING_FAILED'"), true },
	{ SAYS("other", "EQUALS", "'PASS','FAIL','GRAY'"), false },
	{ SAYS("other", "NOT_EQUALS", "'PASS'"), true },
	{ SAYS("other", "NOT_EQUALS", "'PROCESSING_FAILED'"), false },
	{ SAYS("name", "EQUALS", "'PROCESSING_FAILED'"), true },
	{ SAYS("listed", "NOT_EQUALS", "'PROCESSING_FAILED'"), false },
	{ TELLS("other", "EQUALS", "'x'"), false },
	{ TELLS("other", "NOT_EQUALS", "'x'"), false },
	{ TELLS("listed", "NOT_EQUALS", "'x'"), false },
	{ TELLS("verdict", "EQUALS", "'GRAY'"), false },
	{ ANSWERS("other", "IS_TRUE"), false },
	{ ANSWERS("other", "IS_FALSE"), false },
	{ ANSWERS("name", "IS_FALSE"), false },
	{ ANSWERS("verdict", "IS_FALSE"), false },
};

/* Does the only rule with this condition apply? */
static bool applies_to(const struct rule_facts *f, const char *member, const char *list)
{
	struct slice to = slice_str("boss@corp.example");
	struct rule_outcome out;
	struct rule_set *rs;
	struct err e = { 0 };
	char text[4096];
	bool applied;

	(void)snprintf(text, sizeof(text), "{'%s':[%s],'Actions':[{'Drop':{}}]}", member, list);
	rs = make(text);
	EXPECT_OK(rules_run(rs, f, &to, 1, &out, NULL, &e), &e);
	applied = !out.unmatched;
	rule_outcome_free(&out);
	rule_set_free(&rs);
	return applied;
}

static bool applies(const char *member, const char *list)
{
	struct rule_facts f = message();

	return applies_to(&f, member, list);
}

/* Facts that nobody filled, and what is so when scanners are down. */
static void test_nothing_known(void **state)
{
	static const struct {
		const char *condition;
		bool holds;
	} cases[] = {
		{ VERDICT("SPF", "EQUALS", "'PROCESSING_FAILED'"), true },
		{ VERDICT("DKIM", "EQUALS", "'PASS','FAIL','GRAY'"), false },
		{ VERDICT("DKIM", "NOT_EQUALS", "'PASS'"), true },
		{ VERDICT("SPF", "NOT_EQUALS", "'PROCESSING_FAILED'"), false },
		{ DMARC("EQUALS", "'NONE','QUARANTINE','REJECT'"), false },
		{ DMARC("NOT_EQUALS", "'NONE'"), true },
		{ DMARC("NOT_EQUALS", "'NONE','QUARANTINE','REJECT'"), true },
		{ SAYS("verdict", "EQUALS", "'PROCESSING_FAILED'"), true },
		{ SAYS("verdict", "EQUALS", "'GRAY'"), false },
		{ TELLS("name", "NOT_EQUALS", "'x'"), false },
		{ ANSWERS("clean", "IS_FALSE"), false },
		{ ANSWERS("listed", "IS_TRUE"), false },
	};
	struct rule_facts f = { .bytes = 1 };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		EXPECT(cases[i].condition,
		       applies_to(&f, "Conditions", cases[i].condition) == cases[i].holds);
		EXPECT(cases[i].condition,
		       applies_to(&f, "Unless", cases[i].condition) == !cases[i].holds);
	}
}

/* What a rule set refers to must be there; words are those of the API. */
static void test_compiling(void **state)
{
	static const struct {
		const char *condition;
		enum rc rc;
		const char *want;
	} cases[] = {
		{ "{'VerdictExpression':{'Evaluate':{'Analysis':{'Analyzer':'ai-2','ResultField':'"
		  "x'"
		  "}},'Operator':'EQUALS','Values':['PASS']}}",
		  RC_NOTFOUND, "Rules[0].Conditions[0]: no add-on instance \"ai-2\"" },
		{ "{'BooleanExpression':{'Evaluate':{'Analysis':{'Analyzer':'ai-2','ResultField':'"
		  "x'"
		  "}},'Operator':'IS_TRUE'}}",
		  RC_NOTFOUND, "no add-on instance" },
		{ "{'StringExpression':{'Evaluate':{'Analysis':{'Analyzer':'ai-2','ResultField':'x'"
		  "}"
		  "},'Operator':'EQUALS','Values':['x']}}",
		  RC_NOTFOUND, "no add-on instance" },
		{ VERDICT("SPF", "EQUALS", "'PASS','SOFTFAIL'"), RC_INVALID, "Values[1]" },
		{ DMARC("EQUALS", "'PASS'"), RC_INVALID, "Values[0]" },
		{ VERDICT("ARC", "EQUALS", "'PASS'"), RC_INVALID, "about nothing known" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct rule_lookup look = { .list = find_list,
			                    .archive = find_archive,
			                    .analyzer = find_analyzer };
		struct rule_set *rs;
		struct err e = { 0 };
		char text[1024];
		json_t *json;

		(void)snprintf(text, sizeof(text),
		               "{'RuleSetName':'r','Rules':[{'Conditions':[%s],'Actions':[]}]}",
		               cases[i].condition);
		json = quoted(text);
		EXPECT(cases[i].condition, rule_set_new(&rs, json, &look, &e) == cases[i].rc);
		if (!strstr(e.text, cases[i].want))
			fail_msg("%s: %s", cases[i].condition, e.text);
		json_decref(json);
	}
}

static void test_words(void **state)
{
	enum rule_verdict v = RULE_PASS;
	enum rule_dmarc d = RULE_DMARC_REJECT;

	(void)state;
	for (int i = RULE_PROCESSING_FAILED; i <= RULE_GRAY; i++) {
		assert_true(
		        rule_verdict_parse(slice_str(rule_verdict_word((enum rule_verdict)i)), &v));
		assert_int_equal(v, i);
	}
	for (int i = RULE_DMARC_NONE; i <= RULE_DMARC_REJECT; i++) {
		assert_true(rule_dmarc_parse(slice_str(rule_dmarc_word((enum rule_dmarc)i)), &d));
		assert_int_equal(d, i);
	}
	assert_false(rule_verdict_parse(slice_str("pass"), &v));
	assert_false(rule_verdict_parse(slice_str(""), &v));
	assert_false(rule_dmarc_parse(slice_str("UNKNOWN"), &d));
	assert_int_equal(d, RULE_DMARC_REJECT);
}

static void test_conditions(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(conditions); i++) {
		EXPECT(conditions[i].condition,
		       applies("Conditions", conditions[i].condition) == conditions[i].holds);
		EXPECT(conditions[i].condition,
		       applies("Unless", conditions[i].condition) == !conditions[i].holds);
	}
}

#define YES BOOL("TLS", "IS_TRUE")
#define NO  BOOL("TLS", "IS_FALSE")

static const struct {
	const char *conditions;
	const char *unless;
	bool applies;
} combinations[] = {
	{ "", "", true },          { YES, "", true },         { YES "," YES, "", true },
	{ YES "," NO, "", false }, { NO "," YES, "", false }, { "", YES, false },
	{ "", NO, true },          { "", NO "," YES, false }, { "", NO "," NO, true },
	{ YES, YES, false },       { YES, NO, true },         { NO, NO, false },
};

static void test_combinations(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(combinations); i++) {
		char text[2048];

		(void)snprintf(text, sizeof(text), "%s],'Unless':[%s", combinations[i].conditions,
		               combinations[i].unless);
		EXPECT(text, applies("Conditions", text) == combinations[i].applies);
	}
}

/* An empty sender: equal to nothing, in no list. */
static void test_null_sender(void **state)
{
	struct rule_facts f = message();
	struct slice to = slice_str("a@b.example");
	struct rule_set *rs = make("{'Conditions':[" STRING(
	        "MAIL_FROM", "NOT_EQUALS",
	        "'a@b.example'") "],"
	                         "'Unless':[" STRING("MAIL_FROM", "CONTAINS", "'a'") "," LIST(
	                                 "MAIL_FROM", "IS_TRUE") "],"
	                                                         "'Actions':[{'Drop':{}}]}");
	struct rule_outcome out;
	struct err e = { 0 };

	(void)state;
	f.mail_from = slice_of(NULL, 0);
	EXPECT_OK(rules_run(rs, &f, &to, 1, &out, NULL, &e), &e);
	assert_false(out.unmatched);
	rule_outcome_free(&out);
	rule_set_free(&rs);
}

/* ---- outcomes ---- */

static const char *const kind_words[] = { "archive", "drop", "header", "replace" };
static const char *const state_words[] = { "live", "dropped", "replaced" };

static void add(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
static void add(struct buf *b, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	assert_int_equal(buf_add_str(b, text), RC_OK);
}

/* "rule.action kind recipients; ... | address state[+archived][!: no rule acted]; ..." */
static void render(struct buf *b, const struct rule_outcome *out)
{
	for (size_t i = 0; i < out->execution_count; i++) {
		const struct rule_execution *x = &out->executions[i];

		add(b, "%u.%u %s", x->rule, x->action, kind_words[x->what->kind]);
		if (x->what->kind == RULE_ARCHIVE)
			add(b, " %u", x->what->archive);
		for (size_t k = 0; k < x->recipient_count; k++)
			add(b, "%c%u", k ? ',' : ' ', x->recipients[k]);
		add(b, "; ");
	}
	add(b, "|");
	for (size_t i = 0; i < out->recipient_count; i++) {
		const struct rule_recipient *r = &out->recipients[i];

		add(b, " %.*s %s%s%s", (int)r->address.len, (const char *)r->address.at,
		    state_words[r->state], r->archived ? "+" : "", r->acted ? "" : "!");
		if (r->brought_by >= 0)
			add(b, " by %d", r->brought_by);
		if (r->ended_by >= 0)
			add(b, " end %d", r->ended_by);
		add(b, ";");
	}
	add(b, " %s%zu live %zu unsettled", out->unmatched ? "unmatched " : "", out->live,
	    out->unsettled);
}

#define ARCHIVE(name)        "{'Archive':{'TargetArchive':'" name "'}}"
#define DROP                 "{'Drop':{}}"
#define ADD(name, value)     "{'AddHeader':{'HeaderName':'" name "','HeaderValue':'" value "'}}"
#define REPLACE(list)        "{'ReplaceRecipient':{'ReplaceWith':[" list "]}}"
#define RULE(conds, actions) "{'Conditions':[" conds "],'Actions':[" actions "]}"
#define TO(address)          STRING("RECIPIENT", "EQUALS", "'" address "'")

/* Recipients a@x and b@x. */
static const struct {
	const char *name;
	const char *rules;
	const char *want;
} outcomes[] = {
	{ "no rule", "", "| a@x live!; b@x live!; unmatched 2 live 2 unsettled" },
	{ "no match", RULE(TO("c@x"), ARCHIVE("one")),
	  "| a@x live!; b@x live!; unmatched 2 live 2 unsettled" },
	{ "archive all", RULE("", ARCHIVE("one")),
	  "0.0 archive 1 0,1; | a@x live+; b@x live+; 2 live 0 unsettled" },
	{ "per recipient", RULE(TO("b@x"), ARCHIVE("two")),
	  "0.0 archive 2 1; | a@x live!; b@x live+; 2 live 1 unsettled" },
	{ "all rules go on", RULE("", ARCHIVE("one")) "," RULE("", ARCHIVE("two")),
	  "0.0 archive 1 0,1; 1.0 archive 2 0,1; | a@x live+; b@x live+; 2 live 0 unsettled" },
	{ "one archive once, union of recipients",
	  RULE(TO("b@x"), ARCHIVE("one")) "," RULE(TO("a@x"), ARCHIVE("uno")),
	  "0.0 archive 1 0,1; | a@x live+; b@x live+; 2 live 0 unsettled" },
	{ "archives that are not there are told apart",
	  RULE("", ARCHIVE("gone")) "," RULE("", ARCHIVE("lost")) "," RULE("", ARCHIVE("gone")),
	  "0.0 archive 0 0,1; 1.0 archive 0 0,1; | a@x live; b@x live; 2 live 2 unsettled" },
	{ "drop one", RULE(TO("a@x"), DROP) "," RULE("", ARCHIVE("one")),
	  "0.0 drop 0; 1.0 archive 1 1; | a@x dropped end 0; b@x live+; 1 live 0 unsettled" },
	{ "drop all ends the run", RULE("", DROP) "," RULE("", ARCHIVE("one")),
	  "0.0 drop 0,1; | a@x dropped end 0; b@x dropped end 0; 0 live 0 unsettled" },
	{ "drop ends the rule's actions", RULE("", ARCHIVE("one") "," DROP "," ARCHIVE("two")),
	  "0.0 archive 1 0,1; 0.1 drop 0,1; | a@x dropped+ end 1; b@x dropped+ end 1; 0 live 0 "
	  "unsettled" },
	{ "replace", RULE(TO("a@x"), REPLACE("'c@y','d@y'")) "," RULE(TO("c@y"), ARCHIVE("one")),
	  "0.0 replace 0; 1.0 archive 1 2; | a@x replaced end 0; b@x live!; c@y live+ by 0; d@y "
	  "live by 0; 3 live 2 unsettled" },
	{ "the old address is gone for later rules",
	  RULE(TO("a@x"), REPLACE("'c@y'")) "," RULE(TO("a@x"), DROP),
	  "0.0 replace 0; | a@x replaced end 0; b@x live!; c@y live by 0; 2 live 2 unsettled" },
	{ "later actions of the rule have the new ones",
	  RULE("", REPLACE("'c@y'") "," ARCHIVE("one")),
	  "0.0 replace 0,1; 0.1 archive 1 2; | a@x replaced end 0; b@x replaced end 0; c@y live+ "
	  "by "
	  "0; 1 live 0 unsettled" },
	{ "replaced by one that is there", RULE(TO("a@x"), REPLACE("'B@x'") "," ARCHIVE("one")),
	  "0.0 replace 0; 0.1 archive 1 1; | a@x replaced end 0; b@x live+; 1 live 0 unsettled" },
	{ "replaced by itself and another", RULE(TO("a@x"), REPLACE("'a@x','c@y'")),
	  "0.0 replace 0; | a@x live; b@x live!; c@y live by 0; 3 live 3 unsettled" },
	{ "archived before it is replaced", RULE(TO("a@x"), ARCHIVE("one") "," REPLACE("'c@y'")),
	  "0.0 archive 1 0; 0.1 replace 0; | a@x replaced+ end 1; b@x live!; c@y live+ by 1; 2 "
	  "live "
	  "1 unsettled" },
	{ "only one of those replaced was archived",
	  RULE(TO("a@x"), ARCHIVE("one")) "," RULE("", REPLACE("'c@y'")),
	  "0.0 archive 1 0; 1.0 replace 0,1; | a@x replaced+ end 1; b@x replaced end 1; c@y live "
	  "by "
	  "1; 1 live 1 unsettled" },
	{ "an added header is seen by later rules of that recipient",
	  RULE(TO("a@x"), ADD("x-mark", "Red")) "," RULE(HEADER("X-Mark", "EQUALS", "'red'"),
	                                                 ARCHIVE("one")),
	  "0.0 header 0; 1.0 archive 1 0; | a@x live+; b@x live!; 2 live 1 unsettled" },
	{ "and by NOT_EQUALS",
	  RULE(TO("a@x"), ADD("X-Mark", "red")) "," RULE(HEADER("X-Mark", "NOT_EQUALS", "'red'"),
	                                                 DROP),
	  "0.0 header 0; 1.0 drop 1; | a@x live; b@x dropped end 1; 1 live 1 unsettled" },
	{ "not by an earlier rule",
	  RULE(HEADER("X-Mark", "EQUALS", "'red'"), DROP) "," RULE("", ADD("X-Mark", "red")),
	  "1.0 header 0,1; | a@x live; b@x live; 2 live 2 unsettled" },
	{ "a header goes with the replacement",
	  RULE(TO("a@x"), ADD("X-Mark", "red") "," REPLACE("'c@y'")) "," RULE(
	          HEADER("X-Mark", "EQUALS", "'red'"), ARCHIVE("one")),
	  "0.0 header 0,2; 0.1 replace 0; 1.0 archive 1 2; | a@x replaced end 1; b@x live!; c@y "
	  "live+ "
	  "by 1; 2 live 1 unsettled" },
	{ "a header that the message has is seen with the added one",
	  RULE("", ADD("X-Flag", "three")) "," RULE(
	          HEADER("X-Flag", "EQUALS", "'two'") "," HEADER("X-Flag", "EQUALS", "'three'"),
	          DROP),
	  "0.0 header 0,1; 1.0 drop 0,1; | a@x dropped end 1; b@x dropped end 1; 0 live 0 "
	  "unsettled" },
	{ "conditions of a rule are judged before its actions",
	  RULE(HEADER("X-Mark", "NOT_EQUALS", "'red'"), ADD("X-Mark", "red") "," ARCHIVE("one")),
	  "0.0 header 0,1; 0.1 archive 1 0,1; | a@x live+; b@x live+; 2 live 0 unsettled" },
};

static void test_outcomes(void **state)
{
	static const struct slice to[] = { TEXT("a@x"), TEXT("b@x") };

	(void)state;
	for (size_t i = 0; i < COUNT(outcomes); i++) {
		struct rule_set *rs = make(outcomes[i].rules);
		struct rule_facts f = message();
		struct rule_outcome out;
		struct err e = { 0 };
		struct buf text;

		buf_init(&text, 1 << 16);
		EXPECT_OK(rules_run(rs, &f, to, COUNT(to), &out, NULL, &e), &e);
		assert_int_equal(out.envelope_count, 2);
		render(&text, &out);
		EXPECT_SLICE(outcomes[i].name, buf_slice(&text), outcomes[i].want);
		buf_free(&text);
		rule_outcome_free(&out);
		rule_set_free(&rs);
	}
}

static void test_details(void **state)
{
	struct rule_set *rs = make("{'Name':'first','Actions':[{'Archive':{'TargetArchive':'one',"
	                           "'ActionFailurePolicy':'DROP'}}," ARCHIVE("gone") "," ADD(
	                                   "X-Mark", "Red Alert") "]}");
	struct slice to = slice_str("a@x");
	struct rule_facts f = message();
	struct rule_outcome out;
	struct err e = { 0 };

	(void)state;
	assert_string_equal(rule_set_name(rs), "r");
	assert_string_equal(rule_set_id(rs), "rs-1");
	assert_int_equal(rule_set_version(rs), 3);
	assert_int_equal(rule_set_rules(rs), 1);
	EXPECT_OK(rules_run(rs, &f, &to, 1, &out, NULL, &e), &e);
	assert_int_equal(out.execution_count, 3);
	assert_string_equal(out.executions[0].rule_name, "first");
	assert_int_equal(out.executions[0].what->on_failure, RULE_DROP_MESSAGE);
	assert_int_equal(out.executions[1].what->on_failure, RULE_CONTINUE);
	assert_string_equal(out.executions[1].what->archive_ref, "gone");
	assert_string_equal(out.executions[2].what->header_name, "X-Mark");
	assert_string_equal(out.executions[2].what->header_value, "Red Alert");
	rule_outcome_free(&out);
	rule_set_free(&rs);
}

static void note(void *arg, const struct rule_step *s)
{
	add(arg, "%u %.*s %s%d=%d;", s->rule, (int)s->recipient.len, (const char *)s->recipient.at,
	    s->unless ? "u" : "", s->condition, s->held);
}

static void test_trace(void **state)
{
	static const struct slice to[] = { TEXT("a@x"), TEXT("b@x") };
	struct rule_set *rs = make("{'Conditions':[" YES "," TO(
	        "a@x") "],'Unless':[" NO "],'Actions':[" DROP "]}," RULE("", ARCHIVE("one")));
	struct rule_facts f = message();
	struct rule_outcome out;
	struct err e = { 0 };
	struct buf text;
	struct rule_trace trace = { note, &text, NULL, NULL };

	(void)state;
	buf_init(&text, 1 << 16);
	EXPECT_OK(rules_run(rs, &f, to, COUNT(to), &out, &trace, &e), &e);
	EXPECT_SLICE("steps", buf_slice(&text),
	             "0 a@x 0=1;0 a@x 1=1;0 a@x u0=0;0 a@x -1=1;"
	             "0 b@x 0=1;0 b@x 1=0;0 b@x -1=0;1 b@x -1=1;");
	buf_free(&text);
	rule_outcome_free(&out);
	rule_set_free(&rs);
}

static void note_compared(void *arg, const struct rule_compared *c)
{
	add(arg, "%s%s%s:%.*s ", c->hit ? "=" : "", c->own ? "own " : "", c->what,
	    (int)c->value.len, (const char *)c->value.at);
}

static void note_again(void *arg, const struct rule_step *s)
{
	if (s->condition >= 0)
		add(arg, "-> %s%d=%d%s;", s->unless ? "u" : "", s->condition, s->held,
		    s->again ? " again" : "");
	else
		add(arg, "| ");
}

/* What each condition compared, for the recipients a@x and b@x. */
static const struct {
	const char *condition;
	const char *want;
} compared[] = {
	{ STRING("SUBJECT", "STARTS_WITH", "'second'"),
	  "header:Quarterly figures =header:Second subject -> 0=1;| -> 0=1 again;| " },
	{ STRING("FROM", "EQUALS", "'ann@corp.example'"),
	  "=address:ann@corp.example address with name:Ann Lee <ann@corp.example> "
	  "header:Ann Lee <ann@corp.example> -> 0=1;| -> 0=1 again;| " },
	{ STRING("FROM", "NOT_EQUALS", "'ann@corp.example'"),
	  "=address:ann@corp.example address with name:Ann Lee <ann@corp.example> "
	  "header:Ann Lee <ann@corp.example> -> 0=0;| -> 0=0 again;| " },
	{ LIST("TO", "IS_TRUE"),
	  "address:bob@b.example =address:x@a.vip.example -> 0=1;| -> 0=1 again;| " },
	{ STRING("RECIPIENT", "EQUALS", "'a@x'"),
	  "=own recipient:a@x -> 0=1;| own recipient:b@x -> 0=0;| " },
	{ STRING("SENDER", "CONTAINS", "'x'"), "-> 0=0;| -> 0=0 again;| " },
	{ STRING("MAIL_FROM", "CONTAINS", "'list'"),
	  "=MAIL FROM:bounce+1@list.example -> 0=1;| -> 0=1 again;| " },
	{ STRING("HELO", "EQUALS", "'x'"), "HELO:mail.list.example -> 0=0;| -> 0=0 again;| " },
	{ HEADER("x-flag", "EQUALS", "'two'"), "header:one =header:two -> 0=1;| -> 0=1 again;| " },
	{ BOOL("TLS", "IS_FALSE"), "=TLS:true -> 0=0;| -> 0=0 again;| " },
	{ BOOL("TLS_WRAPPED", "IS_FALSE"),
	  "TLS from the first byte:false -> 0=1;| -> 0=1 again;| " },
	{ BOOL("READ_RECEIPT_REQUESTED", "IS_TRUE"),
	  "=read receipt asked for:true -> 0=1;| -> 0=1 again;| " },
	{ SIZE("LESS_THAN", "5"), "bytes:1000 -> 0=0;| -> 0=0 again;| " },
	{ IP("CIDR_MATCHES", "'192.0.2.0/24'"), "=peer:192.0.2.9 -> 0=1;| -> 0=1 again;| " },
	{ VERDICT("SPF", "EQUALS", "'PASS'"), "=SPF:PASS -> 0=1;| -> 0=1 again;| " },
	{ VERDICT("DKIM", "NOT_EQUALS", "'PASS'"), "DKIM:FAIL -> 0=1;| -> 0=1 again;| " },
	{ DMARC("EQUALS", "'REJECT'"), "DMARC asks:QUARANTINE -> 0=0;| -> 0=0 again;| " },
	{ SAYS("verdict", "EQUALS", "'GRAY'"), "=result:GRAY -> 0=1;| -> 0=1 again;| " },
	{ SAYS("other", "EQUALS", "'PROCESSING_FAILED'"),
	  "=no result, taken as:PROCESSING_FAILED -> 0=1;| -> 0=1 again;| " },
	{ TELLS("name", "EQUALS", "'x'"), "result:Eicar Test -> 0=0;| -> 0=0 again;| " },
	{ TELLS("other", "NOT_EQUALS", "'x'"), "no result: -> 0=0;| -> 0=0 again;| " },
	{ ANSWERS("listed", "IS_TRUE"), "=result:true -> 0=1;| -> 0=1 again;| " },
};

static void test_compared(void **state)
{
	static const struct slice to[] = { TEXT("a@x"), TEXT("b@x") };

	(void)state;
	for (size_t i = 0; i < COUNT(compared); i++) {
		struct rule_facts f = message();
		struct rule_outcome out;
		struct rule_set *rs;
		struct err e = { 0 };
		char rule[1024];
		struct buf text;
		struct rule_trace trace = { note_again, &text, note_compared, NULL };

		(void)snprintf(rule, sizeof(rule),
		               "{'Conditions':[%s],'Actions':[" ADD("X-A", "b") "]}",
		               compared[i].condition);
		rs = make(rule);
		buf_init(&text, 1 << 16);
		EXPECT_OK(rules_run(rs, &f, to, COUNT(to), &out, &trace, &e), &e);
		EXPECT_SLICE(compared[i].condition, buf_slice(&text), compared[i].want);
		buf_free(&text);
		rule_outcome_free(&out);
		rule_set_free(&rs);
	}
}

/* Of headers that rules added each recipient's own are told, those of the message once. */
static void test_compared_added(void **state)
{
	static const struct slice to[] = { TEXT("a@x"), TEXT("b@x") };
	struct rule_set *rs = make(RULE(TO("b@x"), ADD("X-Flag", "red")) "," RULE(
	        HEADER("X-Flag", "EQUALS", "'red'"), DROP));
	struct rule_facts f = message();
	struct rule_outcome out;
	struct err e = { 0 };
	struct buf text;
	struct rule_trace trace = { note_again, &text, note_compared, NULL };

	(void)state;
	buf_init(&text, 1 << 16);
	EXPECT_OK(rules_run(rs, &f, to, COUNT(to), &out, &trace, &e), &e);
	EXPECT_SLICE(
	        "steps", buf_slice(&text),
	        "own recipient:a@x -> 0=0;| =own recipient:b@x -> 0=1;| "
	        "header:one header:two -> 0=0;| =own header that a rule added:red -> 0=1 again;| ");
	buf_free(&text);
	rule_outcome_free(&out);
	rule_set_free(&rs);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 16;
}

/* A value that begins again and again in itself. */
static size_t random_value(uint32_t *seed, char value[16])
{
	size_t n = 1 + next_random(seed) % 12;

	for (size_t i = 0; i < n; i++)
		value[i] = "aAaBaAab"[next_random(seed) % 8];
	return n;
}

/* Twice a part of the value, then the value or something like it. */
static size_t random_text(uint32_t *seed, char text[64], const char *value, size_t k)
{
	size_t part = next_random(seed) % (k + 1);
	size_t n = 0;

	for (int i = 0; i < 2; i++, n += part)
		memcpy(text + n, value, part);
	if (next_random(seed) % 2) {
		memcpy(text + n, value, k);
		n += k;
	}
	for (size_t i = next_random(seed) % 8; i > 0; i--)
		text[n++] = "abAB"[next_random(seed) % 4];
	if (next_random(seed) % 4 == 0 && n)
		text[next_random(seed) % n] = 'b';
	return n;
}

/* CONTAINS against the search of base/slice. */
static void test_contains(void **state)
{
	uint32_t seed = 7;
	size_t hits = 0;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char text[64];
		char value[16];
		char json[160];
		size_t k = random_value(&seed, value);
		size_t n = random_text(&seed, text, value, k);
		bool want = slice_contains_nocase(slice_of(text, n), slice_of(value, k));
		struct text_test t;
		struct err e = { 0 };
		json_t *x;

		(void)snprintf(json, sizeof(json), "{'Operator':'CONTAINS','Values':['zz','%.*s']}",
		               (int)k, value);
		x = quoted(json);
		EXPECT_OK(text_test_new(&t, x, &e), &e);
		EXPECT(json, text_test_hits(&t, slice_of(text, n)) == want);
		hits += want;
		text_test_free(&t);
		json_decref(x);
	}
	assert_true(hits > 5000 && hits < 19000);
}

/* Those that compare the same texts are looked for together: each has its own answer, and others'
 * texts are not theirs. */
static void test_many_contain(void **state)
{
#define BOTH                                                                                       \
	STRING("SUBJECT", "CONTAINS", "'figures','no'")                                            \
	"," STRING("SUBJECT", "CONTAINS", "'second'")
#define FLAGS  HEADER("X-Flag", "CONTAINS", "'tw'") "," HEADER("x-flag", "CONTAINS", "'NE'")
#define OTHERS STRING("SUBJECT", "CONTAINS", "'robot','tw','figuressecond'")
	struct rule_set *rs =
	        make(RULE(BOTH "," FLAGS, ARCHIVE("one")) "," RULE(OTHERS, ARCHIVE("two")) "," RULE(
	                HEADER("X-Mailer", "CONTAINS", "'tw'"), ARCHIVE("two")));
	struct rule_facts f = message();
	struct slice to = slice_str("a@x");
	struct rule_outcome out;
	struct err e = { 0 };

	(void)state;
	EXPECT_OK(rules_run(rs, &f, &to, 1, &out, NULL, &e), &e);
	assert_int_equal(out.execution_count, 1);
	assert_int_equal(out.executions[0].rule, 0);
	rule_outcome_free(&out);
	rule_set_free(&rs);
}

/* The most that a rule set in shape can ask for. */
static void test_most(void **state)
{
	struct slice to[100];
	char names[100][16];
	struct buf text;
	struct rule_set *rs;
	struct rule_facts f = message();
	struct rule_outcome out;
	struct err e = { 0 };

	(void)state;
	buf_init(&text, 1 << 22);
	for (int rule = 0; rule < 40; rule++) {
		add(&text, "%s{'Actions':[", rule ? "," : "");
		for (int action = 0; action < 10; action++) {
			add(&text, "%s{'ReplaceRecipient':{'ReplaceWith':[", action ? "," : "");
			for (int i = 0; i < 100; i++)
				add(&text, "%s'%d.%d.%d@y'", i ? "," : "", rule, action, i);
			add(&text, "]}}");
		}
		add(&text, "]}");
	}
	for (int i = 0; i < 100; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "r%d@x", i);
		to[i] = slice_str(names[i]);
	}
	rs = make(buf_text(&text));
	EXPECT_OK(rules_run(rs, &f, to, 100, &out, NULL, &e), &e);
	assert_int_equal(out.recipient_count, 40100);
	assert_int_equal(out.live, 100);
	rule_outcome_free(&out);
	rule_set_free(&rs);
	buf_free(&text);
}

static void test_no_recipient(void **state)
{
	struct rule_set *rs = make(RULE("", ARCHIVE("one")));
	struct rule_facts f = message();
	struct rule_outcome out;
	struct err e = { 0 };

	(void)state;
	EXPECT_OK(rules_run(rs, &f, NULL, 0, &out, NULL, &e), &e);
	assert_true(out.unmatched);
	assert_int_equal(out.execution_count, 0);
	rule_outcome_free(&out);
	rule_set_free(&rs);
}

static bool is_open(const void *arg, uint32_t number)
{
	return number == *(const uint32_t *)arg;
}

/* An archive that takes nothing any more: the action fails, and its policy says what then. */
static void test_closed_archive(void **state)
{
	static const struct slice to = { (const uint8_t *)"a@b.example", 11 };
	struct rule_set *goes_on = make(RULE("", ARCHIVE("one")) "," RULE("", ARCHIVE("two")));
	struct rule_set *drops = make("{'Actions':[{'Archive':{'TargetArchive':'one',"
	                              "'ActionFailurePolicy':'DROP'}}]}," RULE("", ARCHIVE("two")));
	struct rule_facts f = message();
	struct rule_outcome out;
	uint32_t open = 2;
	struct err e = { 0 };

	(void)state;
	f.archive_open = is_open;
	f.archive_arg = &open;
	EXPECT_OK(rules_run(goes_on, &f, &to, 1, &out, NULL, &e), &e);
	assert_int_equal(out.execution_count, 2);
	assert_true(out.executions[0].failed && !out.executions[1].failed);
	assert_true(out.recipients[0].archived);
	rule_outcome_free(&out);
	EXPECT_OK(rules_run(drops, &f, &to, 1, &out, NULL, &e), &e);
	assert_int_equal(out.execution_count, 1);
	assert_true(out.executions[0].failed);
	assert_int_equal(out.recipients[0].state, RECIPIENT_DROPPED);
	assert_int_equal(out.live, 0);
	rule_outcome_free(&out);
	open = 1; /* control: the same rules, and the archive is open */
	EXPECT_OK(rules_run(drops, &f, &to, 1, &out, NULL, &e), &e);
	assert_int_equal(out.execution_count, 2);
	assert_false(out.executions[0].failed);
	assert_int_equal(out.live, 1);
	rule_outcome_free(&out);
	rule_set_free(&goes_on);
	rule_set_free(&drops);
}

/* What is kept beside the message in archive 2. */
static void expect_decided(const struct rule_set *rs, struct rule_facts *f, const char *dropped)
{
	const struct slice to[] = { slice_str("a@x"), slice_str("b@x") };
	struct rule_outcome out;
	struct err e = { 0 };
	json_t *got;
	json_t *want = quoted(dropped);

	EXPECT_OK(rules_run(rs, f, to, 2, &out, NULL, &e), &e);
	got = decided_json(rs, &out, decided_archive(&out, 2));
	EXPECT(dropped, json_array_size(want) == 0
	                        ? json_object_get(got, "dropped") == NULL
	                        : json_equal(json_object_get(got, "dropped"), want));
	json_decref(got);
	json_decref(want);
	rule_outcome_free(&out);
}

/* Who is dropped since an Archive failed is told as those are whom a Drop took out. */
static void test_dropped_are_kept(void **state)
{
	static const char to_a[] =
	        "'Conditions':[{'StringExpression':{'Evaluate':{'Attribute':'RECIPIENT'},"
	        "'Operator':'EQUALS','Values':['a@x']}}]";
	char text[1000];
	struct rule_set *rs;
	struct rule_facts f = message();
	uint32_t open = 2;

	(void)state;
	(void)snprintf(text, sizeof(text),
	               "{'Name':'keep','Actions':[{'Archive':{'TargetArchive':'two'}}]},"
	               "{'Name':'more',%s,'Actions':[{'Archive':{'TargetArchive':'one',"
	               "'ActionFailurePolicy':'DROP'}}]},{'Name':'no','Actions':[{'Drop':{}}]}",
	               to_a);
	rs = make(text);
	f.archive_arg = &open;
	expect_decided(rs, &f, "[{'rule':2,'rule_name':'no','recipients':['a@x','b@x']}]");
	f.archive_open = is_open;
	expect_decided(rs, &f,
	               "[{'rule':1,'rule_name':'more','recipients':['a@x']},"
	               "{'rule':2,'rule_name':'no','recipients':['b@x']}]");
	rule_set_free(&rs);
	rs = make("{'Name':'keep','Actions':[{'Archive':{'TargetArchive':'two'}}]},"
	          "{'Actions':[{'Archive':{'TargetArchive':'one'}}]}");
	expect_decided(rs, &f, "[]"); /* its policy is to go on */
	rule_set_free(&rs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dropped_are_kept),
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_combinations),
		cmocka_unit_test(test_null_sender),
		cmocka_unit_test(test_outcomes),
		cmocka_unit_test(test_details),
		cmocka_unit_test(test_trace),
		cmocka_unit_test(test_most),
		cmocka_unit_test(test_no_recipient),
		cmocka_unit_test(test_closed_archive),
		cmocka_unit_test(test_nothing_known),
		cmocka_unit_test(test_compiling),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_compared),
		cmocka_unit_test(test_compared_added),
		cmocka_unit_test(test_contains),
		cmocka_unit_test(test_many_contain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
