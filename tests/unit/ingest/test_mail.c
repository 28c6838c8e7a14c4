/* tests/unit/ingest/test_mail.c - what was known of a message, read back; verdicts in facts and in
 * rows */
#include "ingest/mail.h"
#include "tests/unit/ingest/quoted.h"

#include "index/doc_verdict.h"
#include "ingest/decided.h"

#define RECEIPT                                                                                    \
	"'mail_from':'ann@shop.example','helo':'h','ip':'192.0.2.1',"                              \
	"'rcpt':[{'to':'a@x.example'},{'to':'b@x.example'}]"
#define VERDICTS                                                                                   \
	"'verdicts':{'spf':{'verdict':'PASS','result':'pass'},"                                    \
	"'dkim':{'verdict':'FAIL','result':'policy'},'arc':{'verdict':'GRAY','result':'none'},"    \
	"'dmarc':{'result':'fail','policy':'REJECT','asks':'REJECT'}}"

static const struct message_id id = { { 1 } };

static void read_spooled(struct mail *m, const char *meta)
{
	char *text = quoted_text(meta);
	struct err e = { 0 };

	EXPECT_OK(mail_read(m, &id, 1, slice_str(text), false, &e), &e);
	free(text);
}

static void read_stored(struct mail *m, const char *meta)
{
	char *text = quoted_text(meta);
	struct err e = { 0 };

	EXPECT_OK(mail_read_stored(m, &id, slice_str(text), &e), &e);
	free(text);
}

static uint32_t row_flags(const struct mail *m)
{
	struct document_envelope env = { .bytes = 1 };
	struct parsed p = { .flags = PARSED_HAS_ATTACHMENT };
	struct document d;
	uint32_t flags;

	mail_envelope(m, &env);
	document_make(&d, &p, &env);
	flags = d.doc.flags;
	document_free(&d);
	return flags;
}

/* The front may not say what was found out. */
static void the_front_gives_no_verdicts(void **state)
{
	struct rule_facts facts = { .bytes = 1 };
	struct mail m;

	(void)state;
	read_spooled(&m, "{" RECEIPT "," VERDICTS "}");
	assert_null(mail_verdicts(&m));
	mail_facts(&m, &facts);
	assert_int_equal(facts.spf, RULE_PROCESSING_FAILED);
	assert_int_equal(facts.dkim, RULE_PROCESSING_FAILED);
	assert_int_equal(facts.dmarc, RULE_DMARC_UNKNOWN);
	assert_int_equal(row_flags(&m), DOC_HAS_ATTACHMENT);
	mail_free(&m);
}

static void expect_known(const struct mail *m)
{
	struct rule_facts facts = { .bytes = 1 };
	uint32_t flags = row_flags(m);

	mail_facts(m, &facts);
	assert_int_equal(facts.spf, RULE_PASS);
	assert_int_equal(facts.dkim, RULE_FAIL);
	assert_int_equal(facts.dmarc, RULE_DMARC_REJECT);
	assert_true(flags & DOC_HAS_ATTACHMENT);
	assert_string_equal(doc_verdict_word(DOC_SPF, flags), "pass");
	assert_string_equal(doc_verdict_word(DOC_DKIM, flags), "policy");
	assert_string_equal(doc_verdict_word(DOC_ARC, flags), "none");
	assert_string_equal(doc_verdict_word(DOC_DMARC, flags), "fail");
	assert_string_equal(doc_verdict_word(DOC_DMARC_ASKS, flags), "reject");
}

static void verdicts_come_from_us(void **state)
{
	json_t *verdicts = quoted("{" VERDICTS "}");
	struct mail m;

	(void)state;
	read_spooled(&m, "{" RECEIPT "}");
	mail_set_verdicts(&m, json_incref(json_object_get(verdicts, "verdicts")));
	expect_known(&m);
	mail_free(&m);
	json_decref(verdicts);
	read_stored(&m, "{'receipt':{" RECEIPT "," VERDICTS "},'archive':{}}");
	expect_known(&m);
	mail_free(&m);
}

/* What can't be read as a verdict is none; a result that may pass asks for nothing that is known.
 */
static void odd_verdicts(void **state)
{
	static const char *const odd[] = {
		"{'receipt':{'verdicts':5}}",
		"{'receipt':{'verdicts':{'spf':'pass','dkim':[],'dmarc':null}}}",
		"{'receipt':{'verdicts':{'spf':{'verdict':'pass','result':'passed'},"
		"'dkim':{'verdict':1},'dmarc':{'result':'reject','asks':'UNKNOWN'}}}}",
		"{'receipt':{'verdicts':{'dmarc':{'result':'temperror','asks':'NONE'}}}}",
		"{}",
		"5",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(odd); i++) {
		struct rule_facts facts = { .bytes = 1 };
		struct mail m;

		read_stored(&m, odd[i]);
		mail_facts(&m, &facts);
		EXPECT(odd[i], facts.spf == RULE_PROCESSING_FAILED);
		EXPECT(odd[i], facts.dkim == RULE_PROCESSING_FAILED);
		EXPECT(odd[i], facts.dmarc == RULE_DMARC_UNKNOWN);
		EXPECT(odd[i], !doc_verdict_word(DOC_SPF, row_flags(&m)));
		mail_set_verdicts(&m, json_object());
		mail_free(&m);
	}
}

/* The recipients of the envelope are those that rules judge; others were brought by a rule. */
static void replaced_recipients_are_apart(void **state)
{
	struct mail m;

	(void)state;
	read_stored(&m, "{'receipt':{" RECEIPT "},'archive':{'replaced':['c@x.example']}}");
	assert_int_equal(m.recipient_count, 3);
	assert_int_equal(m.envelope_count, 2);
	EXPECT_SLICE("recipient", m.recipients[2], "c@x.example");
	mail_free(&m);
}

/* ---- what differs ---- */

static const struct {
	const char *then;
	const char *now;
	const char *want; /* members that differ */
} differences[] = {
	{ "{'recipients':['a','b'],'rule':1,'rule_name':'x'}",
	  "{'recipients':['b','a','a'],'rule':2,'rule_name':'y'}", "" },
	{ "{'recipients':['a','b']}", "{'recipients':['a']}", "recipients " },
	{ "{'recipients':['a']}", "{'recipients':['a','b']}", "recipients " },
	{ "{'recipients':['a']}", "{'recipients':['a'],'replaced':['c']}", "replaced " },
	{ "{'recipients':['a'],'replaced':['c','d']}", "{'recipients':['a'],'replaced':['d','c']}",
	  "" },
	{ "{'recipients':['a'],'headers':[{'name':'X','value':'1'}]}", "{'recipients':['a']}",
	  "headers " },
	{ "{'recipients':['a'],'headers':[{'name':'X','value':'1'}]}",
	  "{'recipients':['a'],'headers':[{'name':'X','value':'2'}]}", "headers " },
	{ "{'recipients':['a'],'dropped':[{'rule':0,'recipients':['b']},{'rule':1,'recipients':['c'"
	  "]}]}",
	  "{'recipients':['a'],'dropped':[{'rule':3,'recipients':['c','b']}]}", "" },
	{ "{'recipients':['a'],'dropped':[{'rule':0,'recipients':['b']}]}", "{'recipients':['a']}",
	  "dropped " },
	{ "{}", "{'recipients':['a'],'dropped':[{'recipients':['b']}]}", "recipients dropped " },
	{ "{}", "{}", "" },
};

static void what_differs(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(differences); i++) {
		json_t *then = quoted(differences[i].then);
		json_t *now = quoted(differences[i].now);
		json_t *got = decided_difference(then, now);
		const char *name;
		json_t *value;
		struct buf text;

		buf_init(&text, 1000);
		json_object_foreach(got, name, value)
		{
			assert_int_equal(json_object_size(value), 2);
			assert_int_equal(buf_addf(&text, "%s ", name), RC_OK);
		}
		EXPECT_SLICE(differences[i].now, buf_slice(&text), differences[i].want);
		EXPECT(differences[i].now, (got != NULL) == (differences[i].want[0] != '\0'));
		buf_free(&text);
		json_decref(got);
		json_decref(then);
		json_decref(now);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_front_gives_no_verdicts),
		cmocka_unit_test(verdicts_come_from_us),
		cmocka_unit_test(odd_verdicts),
		cmocka_unit_test(replaced_recipients_are_apart),
		cmocka_unit_test(what_differs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
