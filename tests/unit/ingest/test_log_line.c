/* tests/unit/ingest/test_log_line.c - each kind of record against one that is written out; what a
 * peer may put into one */
#include "ingest/log_line.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/ingest/quoted.h"
#include "tests/unit/test.h"

#define META                                                                                       \
	"{'v':1,'mail_from':'ann@shop.example','smtputf8':false,'rcpt':[{'to':'bob@corp.example'}" \
	","                                                                                        \
	"{'to':'eve@corp.example'}],'ingress':'inbound','ingress_id':'inp-1','policy':'tp-1',"     \
	"'policy_version':3,'rule_set':'rs-1','rule_set_version':2,'helo':'client.example',"       \
	"'esmtp':true,'ip':'192.0.2.7','port':4711,'local':'192.0.2.1:25',"                        \
	"'tls':{'version':'TLSv1.3','cipher':'TLS_AES_256_GCM_SHA384'},'tls_wrapped':false"

#define CERT                                                                                       \
	",'client_cert':{'cn':['Ann'],'rfc822':['ann@shop.example'],'dns':['shop.example'],"       \
	"'serial':'0A','issuer':'CN=CA','not_before':1000,'not_after':2000}"

static const struct log_style with = { { "eu-west-1", "123456789012" }, true };
static const struct log_style without = { { "eu-west-1", "123456789012" }, false };
static const struct message_id id = { { 0 } };

static void expect_line(const char *name, enum rc rc, struct buf *out, const char *want)
{
	char *text = slice_string(buf_slice(out));
	json_t *j;
	struct err e;

	EXPECT(name, rc == RC_OK);
	if (strcmp(text, want) != 0)
		fail_msg("%s:\n got %s\nwant %s", name, text, want);
	EXPECT_OK(json_read(&j, buf_slice(out), &e), &e);
	json_decref(j);
	free(text);
	buf_free(out);
	buf_init(out, 2 * LOG_LINE_MOST);
}

/* `meta` has ' for ". */
static void read_mail(struct mail *m, const char *meta)
{
	char *text = quoted_text(meta);
	struct err e;

	EXPECT_OK(mail_read(m, &id, 1728562395042, slice_str(text), false, &e), &e);
	free(text);
}

static void expect_ingress(const char *name, const char *meta, const struct log_style *style,
                           const char *want)
{
	struct buf out;
	struct mail m;
	char *text = quoted_text(want);
	enum rc rc;

	buf_init(&out, 2 * LOG_LINE_MOST);
	read_mail(&m, meta);
	rc = log_line_ingress(&out, style, &m, 4711);
	expect_line(name, rc, &out, text);
	buf_free(&out);
	mail_free(&m);
	free(text);
}

#define HEAD                                                                                       \
	"{'resource_arn':'arn:aws:ses:eu-west-1:123456789012:mailmanager-ingress-point/inp-1',"    \
	"'event_timestamp':1728562395042,"
#define MIDDLE                                                                                     \
	"'ingress_point_name':'inbound','message_id':'00000000000000000000000000',"                \
	"'message_size_bytes':4711,'rule_set_id':'rs-1',"
#define WHO                                                                                        \
	"'sender_ip_address':'192.0.2.7','smtp_mail_from':'ann@shop.example',"                     \
	"'smtp_helo':'client.example',"
#define TLS "'tls_protocol':'TLSv1.3','tls_cipher_suite':'TLS_AES_256_GCM_SHA384'"
#define TO  ",'recipients':['bob@corp.example','eve@corp.example']"

static void test_ingress(void **state)
{
	(void)state;
	expect_ingress("with addresses", META "}", &with,
	               HEAD "'ingress_point_type':'OPEN'," MIDDLE WHO TLS TO "}");
	expect_ingress("without", META "}", &without,
	               HEAD "'ingress_point_type':'OPEN'," MIDDLE TLS "}");
	expect_ingress("authenticated", META ",'auth':'inp-1','auth_version':4}", &without,
	               HEAD "'ingress_point_type':'AUTH'," MIDDLE TLS
	                    ",'ingress_point_metadata':{'password_version':4}}");
	expect_ingress("a certificate, with addresses", META CERT "}", &with,
	               HEAD "'ingress_point_type':'MTLS'," MIDDLE WHO TLS TO
	                    ",'ingress_point_metadata':{'client_certificate_details':{"
	                    "'common_names':['Ann'],'serial_number':'0A',"
	                    "'subject_alternative_names':['ann@shop.example','shop.example'],"
	                    "'issuer':'CN=CA','not_before':1000,'not_after':2000}}}");
	expect_ingress("a certificate, without", META CERT "}", &without,
	               HEAD "'ingress_point_type':'MTLS'," MIDDLE TLS "}");
}

static const struct rule_recipient some[] = { { .address = { (const uint8_t *)"a@x", 3 } },
	                                      { .address = { (const uint8_t *)"b@x", 3 } } };
static const uint32_t both[] = { 0, 1 };

static void expect_rule(const char *name, const struct log_rule *r, const struct log_style *style,
                        const char *want)
{
	struct buf out;
	char *text = quoted_text(want);

	buf_init(&out, 2 * LOG_LINE_MOST);
	expect_line(name, log_line_rule(&out, style, r), &out, text);
	buf_free(&out);
	free(text);
}

#define RULE                                                                                       \
	"{'resource_arn':'arn:aws:ses:eu-west-1:123456789012:mailmanager-rule-set/rs-1',"          \
	"'event_timestamp':77,'message_id':'00000000000000000000000000','rule_set_name':'all',"    \
	"'rule_name':'keep','rule_index':3"

static void test_rule(void **state)
{
	const struct rule_action archive = { .kind = RULE_ARCHIVE };
	const struct rule_action kinds[] = { { .kind = RULE_DROP },
		                             { .kind = RULE_ADD_HEADER },
		                             { .kind = RULE_REPLACE_RECIPIENT } };
	const char *const names[] = { "DROP", "ADD_HEADER", "REPLACE_RECIPIENT" };
	struct log_rule r = { .when_ms = 77,
		              .id = &id,
		              .rule_set_id = "rs-1",
		              .rule_set_name = "all",
		              .rule_name = "keep",
		              .rule = 3,
		              .action = 1,
		              .what = &archive,
		              .recipients = some,
		              .matched = both,
		              .matched_count = 2 };

	(void)state;
	expect_rule("done", &r, &with,
	            RULE ",'recipients_matched':['a@x','b@x'],'action_metadata':{"
	                 "'action_name':'ARCHIVE','action_index':1,'action_status':'SUCCESS'}}");
	expect_rule("without addresses", &r, &without,
	            RULE ",'action_metadata':{"
	                 "'action_name':'ARCHIVE','action_index':1,'action_status':'SUCCESS'}}");
	r.failure = "the archive x does not exist";
	expect_rule("failed", &r, &without,
	            RULE
	            ",'action_metadata':{'action_name':'ARCHIVE','action_index':1,"
	            "'action_status':'FAILURE','action_failure':'the archive x does not exist'}}");
	r.failure = NULL;
	r.matched = both + 1;
	r.matched_count = 1;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		char want[1024];

		r.what = &kinds[i];
		(void)snprintf(want, sizeof(want),
		               RULE
		               ",'recipients_matched':['b@x'],'action_metadata':{'action_name':"
		               "'%s','action_index':1,'action_status':'SUCCESS'}}",
		               names[i]);
		expect_rule(names[i], &r, &with, want);
	}
	r.what = NULL;
	r.matched_count = 0;
	expect_rule("nobody", &r, &with, RULE ",'recipients_matched':[]}");
	expect_rule("nobody, without addresses", &r, &without, RULE ",'recipients_matched':[]}");
}

/* --- policies --- */

static void put(struct buf *b, char kind, bool yes)
{
	assert_int_equal(buf_put_u8(b, (uint8_t)kind), RC_OK);
	assert_int_equal(buf_put_u8(b, yes), RC_OK);
}

static void put_condition(struct buf *b, const char *attribute, const char *compare,
                          const char *value, bool held)
{
	assert_int_equal(buf_put_u8(b, 'C'), RC_OK);
	assert_int_equal(buf_put_slice(b, slice_str(attribute)), RC_OK);
	assert_int_equal(buf_put_slice(b, slice_str(compare)), RC_OK);
	assert_int_equal(buf_put_u16(b, 1), RC_OK);
	assert_int_equal(buf_put_slice(b, slice_str(value)), RC_OK);
	assert_int_equal(buf_put_u8(b, held), RC_OK);
}

static void put_asked(struct buf *b, const char *field, const char *said, bool held)
{
	size_t at = b->len;

	put_condition(b, "ai-1", "EQUALS", "192.0.2.7", held);
	b->at[at] = 'A';
	b->len--;
	assert_int_equal(buf_put_slice(b, slice_str(field)), RC_OK);
	assert_int_equal(buf_put_slice(b, slice_str(said)), RC_OK);
	assert_int_equal(buf_put_u8(b, held), RC_OK);
}

static struct policy_record a_record(const struct buf *steps)
{
	return (struct policy_record) { .when_ms = 1728562395042,
		                        .type = INGRESS_OPEN,
		                        .ingress_id = slice_str("inp-1"),
		                        .session_id = slice_str("0123456789abcdef"),
		                        .policy_id = slice_str("tp-1"),
		                        .ip = slice_str("192.0.2.7"),
		                        .mail_from = slice_str("ann@shop.example"),
		                        .helo = slice_str("client.example"),
		                        .recipient = slice_str("bob@corp.example"),
		                        .evaluation = buf_slice(steps) };
}

static void expect_policy(const char *name, const struct policy_record *r,
                          const struct log_style *style, const char *want)
{
	struct buf out;
	char *text = quoted_text(want);

	buf_init(&out, 2 * LOG_LINE_MOST);
	expect_line(name, log_line_policy(&out, style, r), &out, text);
	buf_free(&out);
	free(text);
}

#define POLICY                                                                                     \
	HEAD "'ingress_point_type':'OPEN','ingress_point_id':'inp-1',"                             \
	     "'ingress_point_session_id':'0123456789abcdef','traffic_policy_id':'tp-1',"           \
	     "'traffic_policy_evaluation':["

#define ASKED(value) "{'expression':{'attribute':'ai-1','operator':'EQUALS','value':[" value "]},"

static void test_policy(void **state)
{
	struct buf steps;
	struct policy_record r;

	(void)state;
	buf_init(&steps, 4096);
	put(&steps, 'S', false);
	put_condition(&steps, "RECIPIENT", "CONTAINS", "@domain.test", false);
	put(&steps, 'E', false);
	put(&steps, 'S', false);
	put_condition(&steps, "TLS_PROTOCOL", "IS", "TLS1_2", true);
	put_condition(&steps, "SENDER_IP", "CIDR_MATCHES", "192.0.2.0/24", true);
	put(&steps, 'E', true);
	r = a_record(&steps);
	expect_policy("denied", &r, &with,
	              POLICY
	              "{'action':'DENY','conditions':[{'expression':{'attribute':'RECIPIENT',"
	              "'operator':'CONTAINS','value':['@domain.test']},'expressionResult':false}],"
	              "'policyStatementMatched':false},"
	              "{'action':'DENY','conditions':[{'expression':{'attribute':'TLS_PROTOCOL',"
	              "'operator':'IS','value':['TLS1_2']},'expressionResult':true},"
	              "{'expression':{'attribute':'SENDER_IP','operator':'CIDR_MATCHES',"
	              "'value':['192.0.2.0/"
	              "24']},'expressionResult':true}],'policyStatementMatched':true}],"
	              "'traffic_policy_verdict':'REJECT'," WHO "'recipient':'bob@corp.example'}");
	expect_policy("denied, without addresses", &r, &without,
	              POLICY
	              "{'action':'DENY','conditions':[{'expression':{'attribute':'RECIPIENT',"
	              "'operator':'CONTAINS'},'expressionResult':false}],"
	              "'policyStatementMatched':false},"
	              "{'action':'DENY','conditions':[{'expression':{'attribute':'TLS_PROTOCOL',"
	              "'operator':'IS','value':['TLS1_2']},'expressionResult':true},"
	              "{'expression':{'attribute':'SENDER_IP','operator':'CIDR_MATCHES'},"
	              "'expressionResult':true}],'policyStatementMatched':true}],"
	              "'traffic_policy_verdict':'REJECT'}");
	buf_clear(&steps);
	put(&steps, 'S', false);
	put_asked(&steps, "verdict", "FAIL", true);
	put_asked(&steps, "Listed", "192.0.2.7", true);
	put(&steps, 'E', true);
	r = a_record(&steps);
	expect_policy(
	        "add-ons", &r, &with,
	        POLICY "{'action':'DENY','conditions':[" ASKED(
	                "'192.0.2.7'") "'analysis':{"
	                               "'resultField':'verdict','result':'FAIL'},'expressionResult'"
	                               ":true}," ASKED(
	                                       "'192.0.2.7'") "'analysis':{'resultField':'Listed','"
	                                                      "result':"
	                                                      "'192.0.2.7'},'expressionResult':"
	                                                      "true}],'policyStatementMatched':"
	                                                      "true}],"
	                                                      "'traffic_policy_verdict':'REJECT'"
	                                                      "," WHO
	                                                      "'recipient':'bob@corp.example'}");
	expect_policy("add-ons, without addresses", &r, &without,
	              POLICY "{'action':'DENY','conditions':[" ASKED(
	                      "'192.0.2.7'") "'analysis':{"
	                                     "'resultField':'verdict','result':'FAIL'},'"
	                                     "expressionResult':true},"
	                                     "{'expression':{'attribute':'ai-1','operator':'EQUALS'"
	                                     "},'analysis':{"
	                                     "'resultField':'Listed'},'expressionResult':true}],"
	                                     "'policyStatementMatched':true}],'traffic_policy_"
	                                     "verdict':'REJECT'}");
	buf_clear(&steps);
	put(&steps, 'S', true);
	put_condition(&steps, "RECIPIENT", "IS_TRUE", "al-1", false);
	put(&steps, 'E', false);
	put(&steps, 'D', true);
	r = a_record(&steps);
	r.accepted = true;
	r.tls_version = slice_str("TLSv1.2");
	r.tls_cipher = slice_str("X");
	expect_policy("by default", &r, &without,
	              POLICY
	              "{'action':'ALLOW','conditions':[{'expression':{'attribute':'RECIPIENT',"
	              "'operator':'IS_TRUE','value':['al-1']},'expressionResult':false}],"
	              "'policyStatementMatched':false},"
	              "{'action':'ALLOW','type':'DefaultAction','scope':'Recipient'}],"
	              "'traffic_policy_verdict':'ACCEPT','tls_protocol':'TLSv1.2',"
	              "'tls_cipher_suite':'X'}");
	buf_free(&steps);
}

static void test_size(void **state)
{
	struct buf steps;
	struct policy_record r;

	(void)state;
	buf_init(&steps, 4096);
	r = a_record(&steps);
	r.scope = POLICY_SCOPE_DATA;
	r.allowed = 1000;
	r.received = 1001;
	expect_policy("too large", &r, &with,
	              POLICY "{'allowedMessageSize':1000,'receivedMessageSize':1001,"
	                     "'scope':'Data'}],'traffic_policy_verdict':'REJECT',"
	                     "'sender_ip_address':'192.0.2.7','smtp_mail_from':'ann@shop.example',"
	                     "'smtp_helo':'client.example'}");
	put(&steps, 'S', true); /* cut: the line is whole all the same */
	r = a_record(&steps);
	expect_policy("cut", &r, &without,
	              POLICY
	              "{'action':'ALLOW','conditions':[]}],'traffic_policy_verdict':'REJECT'}");
	buf_free(&steps);
}

static void test_gap(void **state)
{
	const struct log_gap gap = { 12, 100, 200 };
	struct buf out;
	char *want = quoted_text("{'event_timestamp':300,'log_type':'APPLICATION_LOGS',"
	                         "'records_left_out':12,'first_left_out':100,'last_left_out':200}");

	(void)state;
	buf_init(&out, 2 * LOG_LINE_MOST);
	expect_line("gap", log_line_gap(&out, 300, "APPLICATION_LOGS", &gap), &out, want);
	buf_free(&out);
	free(want);
}

/* --- what peers write --- */

static void test_hostile_text(void **state)
{
	static const struct {
		const char *name;
		struct slice text;
		const char *want; /* in the line */
		const char *read; /* out of it */
	} cases[] = {
#define CASE(name, text, want, read)                                                               \
	{ name, { (const uint8_t *)(text), sizeof(text) - 1 }, want, read }
		CASE("quotes", "a\"},{\"b\":\"c\\", "a\\\"},{\\\"b\\\":\\\"c\\\\",
		     "a\"},{\"b\":\"c\\"),
		CASE("a line's end", "a\r\n{\"x\":1}", "a\\u000d\\u000a{\\\"x\\\":1}",
		     "a\r\n{\"x\":1}"),
		CASE("a terminal's escape", "\x1b[2J\x7f", "\\u001b[2J\\u007f", "\x1b[2J\x7f"),
		CASE("C1 control",
		     "\xc2\x9b"
		     "31m",
		     "\\u009b31m",
		     "\xc2\x9b"
		     "31m"),
		CASE("letters", "J\xc3\xbcrgen", "J\\u00fcrgen", "J\xc3\xbcrgen"),
		CASE("right to left",
		     "\xe2\x80\xae"
		     "x",
		     "\\u202ex",
		     "\xe2\x80\xae"
		     "x"),
		CASE("beyond the plane", "\xf0\x9f\x98\x80", "\\ud83d\\ude00", "\xf0\x9f\x98\x80"),
		CASE("no UTF-8", "a\xff\xc3(\xed\xa0\x80", "a\\ufffd\\ufffd(\\ufffd\\ufffd\\ufffd",
		     "a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"),
		CASE("overlong", "\xc0\xaf\xf8\x88", "\\ufffd\\ufffd\\ufffd\\ufffd",
		     "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"),
		CASE("a NUL", "a\0z", "a\\ufffdz",
		     "a\xef\xbf\xbd"
		     "z"),
		CASE("cut", "\xe2\x82", "\\ufffd\\ufffd", "\xef\xbf\xbd\xef\xbf\xbd"),
#undef CASE
	};
	struct buf steps;
	struct buf out;

	(void)state;
	buf_init(&steps, 64);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct policy_record r = a_record(&steps);
		struct err e;
		json_t *j;

		r.helo = cases[i].text;
		buf_init(&out, 2 * LOG_LINE_MOST);
		assert_int_equal(log_line_policy(&out, &with, &r), RC_OK);
		EXPECT(cases[i].name,
		       slice_find(buf_slice(&out), slice_str(cases[i].want)) != SIZE_MAX);
		for (size_t k = 0; k < out.len; k++)
			EXPECT(cases[i].name, out.at[k] >= 0x20 && out.at[k] < 0x7f);
		EXPECT_OK(json_read(&j, buf_slice(&out), &e), &e);
		EXPECT_SLICE(cases[i].name, json_member_text(j, "smtp_helo"), cases[i].read);
		json_decref(j);
		buf_free(&out);
	}
	buf_free(&steps);
}

/* More recipients than fit are counted, and the line is whole. */
static void test_long_list(void **state)
{
	enum { MANY = 20000 };
	struct rule_recipient *list = mem_array(MANY, sizeof(*list));
	uint32_t *all = mem_array(MANY, sizeof(*all));
	const struct rule_action drop = { .kind = RULE_DROP };
	struct log_rule r = { .id = &id,
		              .rule_set_id = "rs-1",
		              .rule_set_name = "x",
		              .rule_name = "",
		              .what = &drop,
		              .recipients = list,
		              .matched = all,
		              .matched_count = MANY };
	struct buf out;
	struct err e;
	json_t *j;

	(void)state;
	for (uint32_t i = 0; i < MANY; i++) {
		list[i].address = slice_str("somebody@some.where.example");
		all[i] = i;
	}
	buf_init(&out, 2 * LOG_LINE_MOST);
	assert_int_equal(log_line_rule(&out, &with, &r), RC_OK);
	assert_true(out.len <= LOG_LINE_MOST);
	EXPECT_OK(json_read(&j, buf_slice(&out), &e), &e);
	assert_int_equal(json_array_size(json_object_get(j, "recipients_matched")) +
	                         (size_t)json_member_int(j, "recipients_left_out", 0),
	                 MANY);
	assert_true(json_member_int(j, "recipients_left_out", 0) > 0);
	json_decref(j);
	buf_free(&out);
	buf_init(&out, 100); /* no room: nothing of it stays */
	assert_int_equal(buf_add_str(&out, "before"), RC_OK);
	assert_int_equal(log_line_rule(&out, &with, &r), RC_LIMIT);
	EXPECT_SLICE("left as it was", buf_slice(&out), "before");
	buf_free(&out);
	free(list);
	free(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ingress),   cmocka_unit_test(test_rule),
		cmocka_unit_test(test_policy),    cmocka_unit_test(test_size),
		cmocka_unit_test(test_gap),       cmocka_unit_test(test_hostile_text),
		cmocka_unit_test(test_long_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
