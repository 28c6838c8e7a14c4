#include "ingest/past.h"

#include <stdio.h>

#include "tests/unit/ingest/quoted.h"

/* ---- a run that stops, and goes on ---- */

static struct address_list *the_list;
static uint32_t closed; /* an archive that isn't open */

static struct address_list *find_list(void *arg, struct slice reference)
{
	(void)arg;
	(void)reference;
	return the_list;
}

static uint32_t find_archive(void *arg, struct slice reference)
{
	(void)arg;
	return slice_equal(reference, slice_str("one")) ? 1 : 2;
}

static bool is_open(const void *arg, uint32_t archive)
{
	(void)arg;
	return archive != closed;
}

static struct rule_set *make(const char *rules)
{
	const struct rule_lookup look = { .list = find_list, .archive = find_archive };
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
	EXPECT_OK(rule_set_new(&rs, json, &look, &e), &e);
	json_decref(json);
	buf_free(&text);
	return rs;
}

static struct slice three[3];

/* "rule.action word recipients" of all executions; new ones are marked "+", failed ones "!". */
static void tell(const struct rule_outcome *o, char *out, size_t room)
{
	size_t n = 0;

	out[0] = 0;
	for (size_t i = 0; i < o->execution_count; i++) {
		const struct rule_execution *x = &o->executions[i];

		n += (size_t)snprintf(out + n, room - n, "%s%s%u.%u %s%s", i ? "; " : "",
		                      x->past ? "" : "+", x->rule, x->action,
		                      rule_action_word(x->what->kind), x->failed ? "!" : "");
		for (size_t k = 0; k < x->recipient_count; k++)
			n += (size_t)snprintf(out + n, room - n, " %u", x->recipients[k]);
	}
	if (o->waits)
		(void)snprintf(out + n, room - n, "; waits");
}

/* One run; where `*past` is something it goes on from it. What is to be kept of it replaces *past.
 */
static const char *run(const struct rule_set *rs, json_t **past, bool stops)
{
	static char text[1000];
	const struct rule_facts facts = { .archive_open = is_open, .stops = stops };
	struct rule_outcome o;
	struct err e = { 0 };
	struct past p = { 0 };
	json_t *kept = NULL;

	if (*past) {
		EXPECT_OK(past_read(&p, *past, &e), &e);
		EXPECT_OK(rules_run_on(rs, &facts, three, 3, &p.is, &o, NULL, &e), &e);
	} else {
		EXPECT_OK(rules_run(rs, &facts, three, 3, &o, NULL, &e), &e);
	}
	tell(&o, text, sizeof(text));
	if (o.waits)
		kept = past_json(&o, *past ? &p.is : NULL);
	json_decref(*past);
	*past = kept;
	past_free(&p);
	rule_outcome_free(&o);
	return text;
}

#define LIST                                                                                       \
	"'Conditions':[{'BooleanExpression':{'Evaluate':{'IsInAddressList':{'Attribute':'"         \
	"RECIPIENT','AddressLists':['l']}},'Operator':'IS_TRUE'}}],"
#define ARCHIVE(name) "{'Archive':{'TargetArchive':'" name "'}}"
#define SEND          "{'Send':{'RoleArn':'r'}}"
#define SEND_OR_DROP  "{'Send':{'RoleArn':'r','ActionFailurePolicy':'DROP'}}"
#define LAMBDA                                                                                     \
	"{'InvokeLambda':{'FunctionArn':'f','RoleArn':'r','InvocationType':'REQUEST_RESPONSE'}}"
#define RULE(actions) "{'Actions':[" actions "]}"

static int make_list(void **state)
{
	struct err e = { 0 };
	json_t *names = quoted("['a@x.example']");

	(void)state;
	EXPECT_OK(address_list_new(&the_list, names, &e), &e);
	json_decref(names);
	three[0] = slice_str("a@x.example");
	three[1] = slice_str("b@x.example");
	three[2] = slice_str("c@y.example");
	return 0;
}

static int free_list(void **state)
{
	(void)state;
	address_list_unref(&the_list);
	return 0;
}

static void nothing_waits_that_decides_nothing(void **state)
{
	struct rule_set *rs =
	        make(RULE(SEND "," ARCHIVE("one")) "," RULE(LAMBDA "," ARCHIVE("two")));
	json_t *past = NULL;

	(void)state;
	assert_string_equal(
	        run(rs, &past, false),
	        "+0.0 Send 0 1 2; +0.1 Archive 0 1 2; +1.0 InvokeLambda 0 1 2; +1.1 Archive 0 1 2");
	assert_string_equal(run(rs, &past, true),
	                    "+0.0 Send 0 1 2; +0.1 Archive 0 1 2; +1.0 InvokeLambda 0 1 2; waits");
	past_answer(past, RULE_SAID_DONE, NULL, 0);
	assert_string_equal(
	        run(rs, &past, true),
	        "0.0 Send 0 1 2; 0.1 Archive 0 1 2; 1.0 InvokeLambda 0 1 2; +1.1 Archive 0 1 2");
	assert_null(past);
	rule_set_free(&rs);
}

static void functions_stop_a_rule_or_all(void **state)
{
	struct rule_set *rs = make(RULE(LAMBDA "," SEND) "," RULE(ARCHIVE("one")));
	json_t *past = NULL;

	(void)state;
	(void)run(rs, &past, true);
	past_answer(past, RULE_SAID_STOP_RULE, NULL, 0);
	assert_string_equal(run(rs, &past, true), "0.0 InvokeLambda 0 1 2; +1.0 Archive 0 1 2");
	(void)run(rs, &past, true);
	past_answer(past, RULE_SAID_STOP_RULE_SET, NULL, 0);
	assert_string_equal(run(rs, &past, true), "0.0 InvokeLambda 0 1 2");
	rule_set_free(&rs);
}

/* With DROP those whom it failed for are taken out, and only those. */
static void a_failure_drops_whom_it_failed_for(void **state)
{
	struct rule_set *rs = make(RULE(SEND_OR_DROP "," ARCHIVE("one")) "," RULE(ARCHIVE("two")));
	const uint32_t one[] = { 1 };
	json_t *past = NULL;

	(void)state;
	assert_string_equal(run(rs, &past, true), "+0.0 Send 0 1 2; waits");
	past_answer(past, RULE_SAID_FAILED, one, 1);
	assert_string_equal(run(rs, &past, true),
	                    "0.0 Send! 0 1 2; +0.1 Archive 0 2; +1.0 Archive 0 2");
	(void)run(rs, &past, true);
	past_answer(past, RULE_SAID_FAILED, NULL, 0);
	assert_string_equal(run(rs, &past, true), "0.0 Send! 0 1 2");
	rule_set_free(&rs);
}

/* Whatever has changed since: the list, and whether an archive is open. */
static void it_comes_to_the_same_place(void **state)
{
	struct rule_set *rs = make("{" LIST "'Actions':[{'Drop':{}}]}," RULE(
	        ARCHIVE("one") "," LAMBDA "," ARCHIVE("one") "," ARCHIVE("two")));
	struct address_list *before = the_list;
	struct err e = { 0 };
	json_t *names = quoted("['b@x.example','c@y.example']");
	json_t *past = NULL;

	(void)state;
	assert_string_equal(run(rs, &past, true),
	                    "+0.0 Drop 0; +1.0 Archive 1 2; +1.1 InvokeLambda 1 2; waits");
	rule_set_free(&rs);
	EXPECT_OK(address_list_new(&the_list, names, &e), &e);
	rs = make("{" LIST "'Actions':[{'Drop':{}}]}," RULE(
	        ARCHIVE("one") "," LAMBDA "," ARCHIVE("one") "," ARCHIVE("two")));
	closed = 1;
	past_answer(past, RULE_SAID_DONE, NULL, 0);
	assert_string_equal(run(rs, &past, true),
	                    "0.0 Drop 0; 1.0 Archive 1 2; 1.1 InvokeLambda 1 2; +1.3 Archive 1 2");
	closed = 0;
	rule_set_free(&rs);
	address_list_unref(&the_list);
	the_list = before;
	json_decref(names);
}

static void it_may_stop_again(void **state)
{
	struct rule_set *rs =
	        make(RULE("{'ReplaceRecipient':{'ReplaceWith':['n@z.example']}}," LAMBDA) "," RULE(
	                SEND_OR_DROP) "," RULE(ARCHIVE("one")));
	const uint32_t fourth[] = { 3 };
	json_t *past = NULL;

	(void)state;
	assert_string_equal(run(rs, &past, true),
	                    "+0.0 ReplaceRecipient 0 1 2; +0.1 InvokeLambda 3; waits");
	past_answer(past, RULE_SAID_STOP_RULE, NULL, 0);
	assert_string_equal(run(rs, &past, true),
	                    "0.0 ReplaceRecipient 0 1 2; 0.1 InvokeLambda 3; +1.0 Send 3; waits");
	past_answer(past, RULE_SAID_DONE, NULL, 0);
	assert_string_equal(
	        run(rs, &past, true),
	        "0.0 ReplaceRecipient 0 1 2; 0.1 InvokeLambda 3; 1.0 Send 3; +2.0 Archive 3");
	(void)run(rs, &past, true);
	past_answer(past, RULE_SAID_DONE, NULL, 0);
	(void)run(rs, &past, true);
	past_answer(past, RULE_SAID_FAILED, fourth, 1);
	assert_string_equal(run(rs, &past, true),
	                    "0.0 ReplaceRecipient 0 1 2; 0.1 InvokeLambda 3; 1.0 Send! 3");
	rule_set_free(&rs);
}

/* ---- what is kept ---- */

static void nonsense_is_no_past(void **state)
{
	static const char *const bad[] = {
		"{}",
		"[]",
		"{'matched':[],'action':0,'answers':[]}",
		"{'matched':[[0]],'action':0,'answers':[]}",
		"{'matched':[[0]],'action':0,'answers':[[0,1,'DONE']]}",
		"{'matched':[[0]],'action':0,'answers':[[0,0,'PERHAPS']]}",
		"{'matched':[[-1]],'action':0,'answers':[[0,0,'DONE']]}",
		"{'matched':[[65536]],'action':0,'answers':[[0,0,'DONE']]}",
		"{'matched':[['0']],'action':0,'answers':[[0,0,'DONE']]}",
		"{'matched':[[0]],'action':-1,'answers':[[0,0,'DONE']]}",
		"{'matched':[[0]],'action':0,'answers':[[0,0,'FAILED',['x']]]}",
		"{'matched':[[0]],'action':0,'answers':[[0,0]]}",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		json_t *json = quoted(bad[i]);
		struct err e = { 0 };
		struct past p;

		EXPECT(bad[i], past_read(&p, json, &e) == RC_CORRUPT);
		json_decref(json);
	}
}

/* Of another rule set, or a run that doesn't come to that place. */
static void a_past_of_another_run_is_refused(void **state)
{
	static const char *const others[] = {
		"{'matched':[[0,1,2],[0]],'action':0,'answers':[[1,0,'DONE']]}",
		"{'matched':[[0,1,2]],'action':5,'answers':[[0,5,'DONE']]}",
		"{'matched':[[0,7]],'action':0,'answers':[[0,0,'DONE']]}",
	};
	const struct rule_facts facts = { .stops = true };
	struct rule_set *rs = make(RULE(LAMBDA));

	(void)state;
	for (size_t i = 0; i < COUNT(others); i++) {
		json_t *json = quoted(others[i]);
		struct rule_outcome o;
		struct err e = { 0 };
		struct past p;

		EXPECT_OK(past_read(&p, json, &e), &e);
		EXPECT(others[i],
		       rules_run_on(rs, &facts, three, 3, &p.is, &o, NULL, &e) == RC_CORRUPT);
		past_free(&p);
		json_decref(json);
	}
	rule_set_free(&rs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_waits_that_decides_nothing),
		cmocka_unit_test(functions_stop_a_rule_or_all),
		cmocka_unit_test(a_failure_drops_whom_it_failed_for),
		cmocka_unit_test(it_comes_to_the_same_place),
		cmocka_unit_test(it_may_stop_again),
		cmocka_unit_test(nonsense_is_no_past),
		cmocka_unit_test(a_past_of_another_run_is_refused),
	};

	return cmocka_run_group_tests(tests, make_list, free_list);
}
