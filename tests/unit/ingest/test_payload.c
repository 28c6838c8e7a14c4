#include "ingest/action/payload.h"
#include "tests/unit/ingest/quoted.h"

#include "base/codec.h"
#include "base/sealed.h"
#include "ingest/action/event.h"
#include "ingest/action/lambda.h"
#include "ingest/action/qbusiness.h"
#include "ingest/action/sns.h"

#define NOW INT64_C(1796000000123)

#define RECEIPT                                                                                    \
	"{'receipt':{'mail_from':'ann@shop.example','rcpt':[{'to':'a@corp.example'},"              \
	"{'to':'b@corp.example'}],'verdicts':{'spf':{'verdict':'PASS','result':'pass'},"           \
	"'dkim':{'verdict':'FAIL','result':'fail'},'arc':{'verdict':'GRAY','result':'none'},"      \
	"'dmarc':{'result':'fail','policy':'QUARANTINE','asks':'QUARANTINE'}}}}"

static const char raw[] = "X-Added: by a rule\r\n"
                          "From: Ann <ann@shop.example>,\r\n\t\"Bob, B\" <bob@shop.example>\r\n"
                          "To: a@corp.example (one, two)\r\n"
                          "Subject: =?utf-8?Q?gr=C3=BC=C3=9Fe?= and\r\n  more\r\n"
                          "Date: Mon, 02 Mar 2026 09:15:00 +0100\r\n"
                          "Message-ID: <1@shop.example>\r\n"
                          "Subject: second\r\n"
                          "\r\n"
                          "body \xff \"quoted\"\r\n";

struct rig {
	struct mail mail;
	struct payload_facts facts;
	struct payload p;
	json_t *action;
	json_t *endpoints;
	char id[ID_TEXT + 1];
};

static void open_rig(struct rig *r, const char *receipt, struct slice message, const char *action,
                     const char *endpoints)
{
	const uint8_t random[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	struct message_id id = id_make(NOW - 4000, 7, random);
	char *meta = quoted_text(receipt);
	struct err e = { 0 };

	*r = (struct rig) { .action = quoted(action), .endpoints = quoted(endpoints) };
	EXPECT_OK(mail_read_stored(&r->mail, &id, slice_str(meta), &e), &e);
	id_format(r->id, &id);
	payload_init(&r->p);
	r->facts = (struct payload_facts) { .mail = &r->mail,
		                            .raw = message,
		                            .action = r->action,
		                            .endpoints = r->endpoints,
		                            .now_ms = NOW };
	free(meta);
}

static void close_rig(struct rig *r)
{
	payload_free(&r->p);
	mail_free(&r->mail);
	json_decref(r->action);
	json_decref(r->endpoints);
}

static const struct payload_kind *kind(const char *action)
{
	const struct payload_kind *k = payload_kind(slice_str(action));

	assert_non_null(k);
	return k;
}

static enum rc make(struct rig *r, const char *action, struct err *e)
{
	return payload_make(&r->p, kind(action), &r->facts, e);
}

static const char *field(const struct rig *r, const char *name)
{
	for (size_t i = 0; i < r->p.call.field_count; i++)
		if (strcmp(r->p.call.fields[i].name, name) == 0)
			return r->p.call.fields[i].value;
	return NULL;
}

/* The body, to be unmapped. */
static struct slice body(const struct rig *r)
{
	struct slice s;
	struct err e = { 0 };

	EXPECT_OK(sealed_map(&s, r->p.call.body, &e), &e);
	assert_int_equal(s.len, r->p.call.body_bytes);
	return s;
}

static json_t *body_json(const struct rig *r)
{
	struct slice s = body(r);
	struct err e = { 0 };
	json_t *o;

	EXPECT_OK(json_read(&o, s, &e), &e);
	sealed_unmap(&s);
	return o;
}

static void expect_json(const char *name, const json_t *got, const char *want)
{
	json_t *o = quoted(want);
	char *text = json_dumps(got, JSON_COMPACT | JSON_ENCODE_ANY);

	if (!json_equal(got, o))
		fail_msg("%s: %s, want %s", name, text, want);
	free(text);
	json_decref(o);
}

/* ---- events ---- */

#define VERDICTS                                                                                   \
	"'spamVerdict':{'status':'GRAY'},'virusVerdict':{'status':'GRAY'},"                        \
	"'spfVerdict':{'status':'PASS'},'dkimVerdict':{'status':'FAIL'},"                          \
	"'dmarcVerdict':{'status':'FAIL'},'dmarcPolicy':'quarantine'"

static void a_message_is_told(void **state)
{
	struct rig r;
	json_t *mail;
	json_t *receipt;

	(void)state;
	open_rig(&r, RECEIPT, slice_str(raw), "{}", "{}");
	mail = event_mail(&r.facts, 4096);
	expect_json("common", json_object_get(mail, "commonHeaders"),
	            "{'returnPath':'ann@shop.example','from':['Ann <ann@shop.example>',"
	            "'\\'Bob, B\\' <bob@shop.example>'],'to':['a@corp.example (one, two)'],"
	            "'date':'Mon, 02 Mar 2026 09:15:00 +0100','messageId':'<1@shop.example>',"
	            "'subject':'=?utf-8?Q?gr=C3=BC=C3=9Fe?= and more'}");
	expect_json("first", json_array_get(json_object_get(mail, "headers"), 0),
	            "{'name':'X-Added','value':'by a rule'}");
	assert_int_equal(json_array_size(json_object_get(mail, "headers")), 7);
	expect_json("cut", json_object_get(mail, "headersTruncated"), "false");
	expect_json("source", json_object_get(mail, "source"), "'ann@shop.example'");
	expect_json("all", json_object_get(mail, "destination"),
	            "['a@corp.example','b@corp.example']");
	expect_json("when", json_object_get(mail, "timestamp"), "'2026-11-30T00:53:16.123Z'");
	EXPECT_SLICE("id", json_member_text(mail, "messageId"), r.id);
	r.facts.recipients = quoted("['b@corp.example']");
	receipt = event_receipt(&r.facts, json_object());
	expect_json("receipt", receipt,
	            "{'timestamp':'2026-11-30T00:53:20.123Z','processingTimeMillis':4000,"
	            "'recipients':['b@corp.example']," VERDICTS ",'action':{}}");
	json_decref((json_t *)(uintptr_t)r.facts.recipients);
	json_decref(receipt);
	json_decref(mail);
	close_rig(&r);
}

static void verdicts_that_are_none(void **state)
{
	static const struct {
		const char *verdicts;
		const char *spf;
		const char *dmarc;
		const char *policy;
	} cases[] = {
		{ "", "PROCESSING_FAILED", "PROCESSING_FAILED", NULL },
		{ ",'verdicts':{}", "PROCESSING_FAILED", "PROCESSING_FAILED", NULL },
		{ ",'verdicts':7", "PROCESSING_FAILED", "PROCESSING_FAILED", NULL },
		{ ",'verdicts':{'spf':{'verdict':'pass'},'dmarc':{'result':'PASS'}}",
		  "PROCESSING_FAILED", "PROCESSING_FAILED", NULL },
		{ ",'verdicts':{'spf':{'verdict':'GRAY'},'dmarc':{'result':'none'}}", "GRAY",
		  "GRAY", NULL },
		{ ",'verdicts':{'spf':{'verdict':'FAIL'},'dmarc':{'result':'pass','policy':'REJECT'"
		  "}}",
		  "FAIL", "PASS", NULL },
		{ ",'verdicts':{'dmarc':{'result':'fail','policy':'NONE'}}", "PROCESSING_FAILED",
		  "FAIL", "none" },
		{ ",'verdicts':{'dmarc':{'result':'fail','policy':'x'}}", "PROCESSING_FAILED",
		  "FAIL", NULL },
		{ ",'verdicts':{'dmarc':{'result':'temperror'}}", "PROCESSING_FAILED",
		  "PROCESSING_FAILED", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[400];
		struct rig r;
		json_t *o;

		(void)snprintf(text, sizeof(text), "{'receipt':{'mail_from':''%s}}",
		               cases[i].verdicts);
		open_rig(&r, text, slice_str(raw), "{}", "{}");
		o = event_receipt(&r.facts, json_object());
		EXPECT_SLICE(text, json_member_text(json_object_get(o, "spfVerdict"), "status"),
		             cases[i].spf);
		EXPECT_SLICE(text, json_member_text(json_object_get(o, "dmarcVerdict"), "status"),
		             cases[i].dmarc);
		if (cases[i].policy)
			EXPECT_SLICE(text, json_member_text(o, "dmarcPolicy"), cases[i].policy);
		else
			EXPECT(text, !json_object_get(o, "dmarcPolicy"));
		json_decref(o);
		close_rig(&r);
	}
}

static void lists_of_addresses(void **state)
{
	static const struct {
		const char *value;
		const char *want;
	} cases[] = {
		{ "a@b", "['a@b']" },
		{ "a@b , c@d,", "['a@b','c@d']" },
		{ ",,", "[]" },
		{ "\"x, y\" <a@b>, c@d", "['\\'x, y\\' <a@b>','c@d']" },
		{ "\"x\\\", y\" <a@b>", "['\\'x\\\\\\', y\\' <a@b>']" },
		{ "<@x,@y:a@b>, c", "['<@x,@y:a@b>','c']" },
		{ "a (b, (c, d), e), f", "['a (b, (c, d), e)','f']" },
		{ "a (b\\), c), d", "['a (b\\\\), c)','d']" },
		{ "\"open, a@b", "['\\'open, a@b']" },
		{ "(open, a@b", "['(open, a@b']" },
		{ "\"end\\", "['\\'end\\\\']" },
		{ "undisclosed-recipients:;", "['undisclosed-recipients:;']" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[200];
		struct rig r;
		json_t *o;

		(void)snprintf(text, sizeof(text), "To: %s\r\n\r\n", cases[i].value);
		open_rig(&r, RECEIPT, slice_str(text), "{}", "{}");
		o = event_mail(&r.facts, 4096);
		expect_json(cases[i].value,
		            json_object_get(json_object_get(o, "commonHeaders"), "to"),
		            cases[i].want);
		json_decref(o);
		close_rig(&r);
	}
}

/* A header of `count` fields, each of `bytes` of value. */
static void make_header(struct buf *out, size_t count, size_t bytes, char letter)
{
	buf_init(out, (size_t)1 << 26);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(buf_addf(out, "X-%04zu: ", i), RC_OK);
		for (size_t k = 0; k < bytes; k++)
			assert_int_equal(buf_add_byte(out, (uint8_t)letter), RC_OK);
		assert_int_equal(buf_add_str(out, "\r\n"), RC_OK);
	}
	assert_int_equal(buf_add_str(out, "\r\nbody\r\n"), RC_OK);
}

static void long_headers_are_cut(void **state)
{
	struct buf b;
	struct rig r;
	json_t *o;

	(void)state;
	make_header(&b, 10, 94, 'x'); /* 100 bytes each */
	open_rig(&r, RECEIPT, buf_slice(&b), "{}", "{}");
	for (size_t most = 0; most <= 1100; most += 50) {
		o = event_mail(&r.facts, most);
		assert_int_equal(json_array_size(json_object_get(o, "headers")),
		                 MIN_OF(most / 100, (size_t)10));
		assert_int_equal(json_is_true(json_object_get(o, "headersTruncated")), most < 1000);
		json_decref(o);
	}
	close_rig(&r);
	buf_free(&b);
}

/* ---- S3 ---- */

static void objects(void **state)
{
	static const struct {
		const char *action;
		const char *path_style;
		const char *path; /* before the id; NULL: refused */
		const char *host;
		const char *why;
	} cases[] = {
		{ "{'S3Bucket':'mail'}", "true", "/mail/", "", NULL },
		{ "{'S3Bucket':'mail','S3Prefix':'in/'}", "true", "/mail/in/", "", NULL },
		{ "{'S3Bucket':'mail','S3Prefix':'in'}", "true", "/mail/in", "", NULL },
		{ "{'S3Bucket':'mail','S3Prefix':'/a//b/'}", "true", "/mail//a//b/", "", NULL },
		{ "{'S3Bucket':'mail','S3Prefix':'a!_.*\\u0027()-'}", "true",
		  "/mail/a%21_.%2A%27%28%29-", "", NULL },
		{ "{'S3Bucket':'mail','S3Prefix':'in/'}", "false", "/in/", "mail.", NULL },
		{ "{'S3Bucket':'mail'}", "false", "/", "mail.", NULL },
		{ "{'S3Bucket':'mail','S3Prefix':'a..b/...'}", "true", "/mail/a..b/...", "", NULL },
		{ "{'S3Bucket':'mail','S3Prefix':'../other/'}", "true", NULL, NULL, "\"..\"" },
		{ "{'S3Bucket':'mail','S3Prefix':'a/./b'}", "true", NULL, NULL, "\".\"" },
		{ "{'S3Bucket':'mail','S3Prefix':'a/..'}", "true", NULL, NULL, "\"..\"" },
		{ "{'S3Bucket':'..'}", "true", NULL, NULL, "bucket" },
		{ "{'S3Bucket':'a..b'}", "true", NULL, NULL, "bucket" },
		{ "{'S3Bucket':'a/b'}", "true", NULL, NULL, "bucket" },
		{ "{'S3Bucket':''}", "true", NULL, NULL, "bucket" },
		{ "{}", "true", NULL, NULL, "bucket" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char endpoints[64];
		char path[200];
		struct rig r;
		struct err e = { 0 };
		enum rc rc;

		(void)snprintf(endpoints, sizeof(endpoints), "{'s3':{'path_style':%s}}",
		               cases[i].path_style);
		open_rig(&r, RECEIPT, slice_str(raw), cases[i].action, endpoints);
		rc = make(&r, "WriteToS3", &e);
		if (cases[i].path) {
			EXPECT_OK(rc, &e);
			(void)snprintf(path, sizeof(path), "%s%s", cases[i].path, r.id);
			assert_string_equal(r.p.call.path, path);
			assert_string_equal(r.p.call.host_prefix, cases[i].host);
			assert_string_equal(r.p.call.method, "PUT");
			assert_string_equal(r.p.call.endpoint, "s3");
			assert_int_equal(r.p.call.body, -1);
			assert_null(field(&r, "x-amz-server-side-encryption"));
		} else {
			assert_int_equal(rc, RC_INVALID);
			EXPECT(cases[i].action, strstr(e.text, cases[i].why));
		}
		close_rig(&r);
	}
}

static void objects_under_a_key(void **state)
{
	struct rig r;
	struct err e = { 0 };

	(void)state;
	open_rig(&r, RECEIPT, slice_str(raw), "{'S3Bucket':'mail','S3SseKmsKeyId':'arn:aws:kms:k'}",
	         "{}");
	EXPECT_OK(make(&r, "WriteToS3", &e), &e);
	assert_string_equal(field(&r, "x-amz-server-side-encryption"), "aws:kms");
	assert_string_equal(field(&r, "x-amz-server-side-encryption-aws-kms-key-id"),
	                    "arn:aws:kms:k");
	close_rig(&r);
}

/* ---- SNS ---- */

/* Of a form whose escapes are %XX alone. */
static struct slice unescape(char *form, const char *member)
{
	size_t n = strlen(member);
	char *at = strstr(form, member);
	char *out;
	size_t len = 0;

	assert_non_null(at);
	out = at += n;
	while (*at && *at != '&') {
		uint8_t byte = (uint8_t)*at++;

		assert_true(byte != '+');
		if (byte == '%') {
			assert_true(hex_decode(&byte, 1, slice_of(at, 2)));
			at += 2;
		}
		out[len++] = (char)byte;
	}
	return slice_of(out, len);
}

static json_t *sns_message(const struct rig *r)
{
	struct slice s = body(r);
	char *form = slice_string(s);
	char *copy = slice_string(s);
	struct err e = { 0 };
	json_t *o;

	EXPECT_OK(json_read(&o, unescape(form, "&Message="), &e), &e);
	EXPECT_SLICE("topic", unescape(copy, "&TopicArn="), "arn:aws:sns:x:123456789012:t");
	assert_int_equal(strncmp(form, "Action=Publish&", 15), 0);
	assert_string_equal(form + s.len - 19, "&Version=2010-03-31");
	free(form);
	free(copy);
	sealed_unmap(&s);
	return o;
}

#define TOPIC       "'TopicArn':'arn:aws:sns:x:123456789012:t'"
#define TOPIC_SMALL "'topicArn':'arn:aws:sns:x:123456789012:t'"

static void notifications(void **state)
{
	static const char utf8[] = "body \xef\xbf\xbd \"quoted\"\r\n";
	struct rig r;
	struct err e = { 0 };
	struct slice content;
	struct buf plain;
	json_t *o;

	(void)state;
	open_rig(&r, RECEIPT, slice_str(raw), "{" TOPIC "}", "{}");
	EXPECT_OK(make(&r, "PublishToSns", &e), &e);
	o = sns_message(&r);
	EXPECT_SLICE("type", json_member_text(o, "notificationType"), "Received");
	content = json_member_text(o, "content");
	EXPECT_SLICE("text", slice_from(content, slice_find(content, slice_str("body"))), utf8);
	expect_json("action", json_object_get(json_object_get(o, "receipt"), "action"),
	            "{'type':'SNS'," TOPIC_SMALL ",'encoding':'UTF8'}");
	json_decref(o);
	close_rig(&r);
	open_rig(&r, RECEIPT, slice_str(raw), "{" TOPIC ",'Encoding':'BASE64'}", "{}");
	EXPECT_OK(make(&r, "PublishToSns", &e), &e);
	o = sns_message(&r);
	buf_init(&plain, 4096);
	assert_int_equal(base64_decode(&plain, json_member_text(o, "content")), RC_OK);
	assert_true(slice_equal(buf_slice(&plain), slice_str(raw)));
	buf_free(&plain);
	json_decref(o);
	close_rig(&r);
	open_rig(&r, RECEIPT, slice_str(raw), "{" TOPIC ",'PayloadType':'HEADERS'}", "{}");
	EXPECT_OK(make(&r, "PublishToSns", &e), &e);
	o = sns_message(&r);
	assert_null(json_object_get(o, "content"));
	json_decref(o);
	close_rig(&r);
}

/* What a notification may have of header fields, and of all. */
static void notifications_have_bounds(void **state)
{
	static const struct {
		size_t fields;
		size_t bytes;
		char letter;
		const char *more;
		size_t headers; /* that are told; 0: refused */
	} cases[] = {
		{ 100, 1018, 'x', "", 20 }, /* 1,024 bytes each: 20,480 */
		{ 200, 1018, 'x', ",'PayloadType':'HEADERS'", 100 },
		{ 200, 1018, 'x', ",'Encoding':'BASE64'", 0 },
		{ 400, 1018, 'x', "", 0 },
		{ 400, 1018, '"', ",'PayloadType':'HEADERS'", 100 },   /* doubled by escapes */
		{ 400, 1018, '\xff', ",'PayloadType':'HEADERS'", 33 }, /* U+FFFD has three bytes */
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char action[200];
		struct buf b;
		struct rig r;
		struct err e = { 0 };
		enum rc rc;
		const json_t *mail;
		json_t *o;

		make_header(&b, cases[i].fields, cases[i].bytes, cases[i].letter);
		(void)snprintf(action, sizeof(action), "{" TOPIC "%s}", cases[i].more);
		open_rig(&r, RECEIPT, buf_slice(&b), action, "{}");
		rc = make(&r, "PublishToSns", &e);
		if (cases[i].headers) {
			EXPECT_OK(rc, &e);
			o = sns_message(&r);
			mail = json_object_get(o, "mail");
			assert_int_equal(json_array_size(json_object_get(mail, "headers")),
			                 cases[i].headers);
			assert_true(json_is_true(json_object_get(mail, "headersTruncated")));
			json_decref(o);
		} else {
			assert_int_equal(rc, RC_LIMIT);
			assert_non_null(strstr(e.text, "262144"));
		}
		close_rig(&r);
		buf_free(&b);
	}
}

/* ---- Lambda ---- */

#define ARN "arn:aws:lambda:us-east-1:123456789012:function:orders"

static void functions(void **state)
{
	struct rig r;
	struct err e = { 0 };
	json_t *o;
	const json_t *record;

	(void)state;
	open_rig(&r, RECEIPT, slice_str(raw),
	         "{'FunctionArn':'" ARN "','InvocationType':'REQUEST_RESPONSE'}", "{}");
	EXPECT_OK(make(&r, "InvokeLambda", &e), &e);
	assert_string_equal(r.p.call.endpoint, "lambda");
	assert_string_equal(r.p.call.path,
	                    "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012"
	                    "%3Afunction%3Aorders/invocations");
	assert_string_equal(field(&r, "x-amz-invocation-type"), "RequestResponse");
	o = body_json(&r);
	record = json_array_get(json_object_get(o, "Records"), 0);
	EXPECT_SLICE("source", json_member_text(record, "eventSource"), "aws:ses");
	EXPECT_SLICE("version", json_member_text(record, "eventVersion"), "1.0");
	expect_json("receipt", json_object_get(json_object_get(record, "ses"), "receipt"),
	            "{'timestamp':'2026-11-30T00:53:20.123Z','processingTimeMillis':4000,"
	            "'recipients':['a@corp.example','b@corp.example']," VERDICTS
	            ",'action':{'type':'Lambda','functionArn':'" ARN
	            "','invocationType':'RequestResponse'}}");
	json_decref(o);
	close_rig(&r);
	open_rig(&r, RECEIPT, slice_str(raw), "{'FunctionArn':'" ARN "','InvocationType':'EVENT'}",
	         "{'lambda':{'functions':{'" ARN "':'webhooks/orders'}}}");
	EXPECT_OK(make(&r, "InvokeLambda", &e), &e);
	assert_string_equal(r.p.call.endpoint, "webhooks/orders");
	assert_string_equal(field(&r, "x-mm-invocation-type"), "Event");
	assert_null(field(&r, "x-amz-invocation-type"));
	close_rig(&r);
	open_rig(&r, RECEIPT, slice_str(raw), "{}", "{}");
	assert_int_equal(make(&r, "InvokeLambda", &e), RC_INVALID);
	close_rig(&r);
}

static void events_have_bounds(void **state)
{
	const char letters[] = { 'x', '"', '\xff' };

	(void)state;
	for (size_t i = 0; i < COUNT(letters); i++) {
		struct buf b;
		struct rig r;
		struct err e = { 0 };

		make_header(&b, 400, 1018, letters[i]);
		open_rig(&r, RECEIPT, buf_slice(&b), "{'FunctionArn':'" ARN "'}", "{}");
		EXPECT_OK(make(&r, "InvokeLambda", &e), &e);
		assert_in_range(r.p.call.body_bytes, 30000, LAMBDA_BODY);
		json_decref(body_json(&r));
		close_rig(&r);
		buf_free(&b);
	}
}

/* ---- Q Business ---- */

#define APPLICATION "'ApplicationId':'a1','IndexId':'i2'"

static void documents(void **state)
{
	struct rig r;
	struct err e = { 0 };
	struct buf plain;
	json_t *o;
	json_t *d;

	(void)state;
	for (int parsed = 0; parsed < 2; parsed++) {
		open_rig(&r, RECEIPT, slice_str(raw), "{" APPLICATION "}", "{}");
		if (parsed)
			r.facts.text = slice_str("what it says");
		EXPECT_OK(make(&r, "DeliverToQBusiness", &e), &e);
		assert_string_equal(r.p.call.endpoint, "qbusiness");
		assert_string_equal(r.p.call.path, "/applications/a1/indices/i2/documents");
		o = body_json(&r);
		d = json_array_get(json_object_get(o, "documents"), 0);
		buf_init(&plain, 4096);
		assert_int_equal(
		        base64_decode(&plain,
		                      json_member_text(json_object_get(d, "content"), "blob")),
		        RC_OK);
		EXPECT_SLICE("blob", buf_slice(&plain), parsed ? "what it says" : raw);
		buf_free(&plain);
		EXPECT_SLICE("id", json_member_text(d, "id"), r.id);
		assert_int_equal(json_object_del(d, "content"), 0);
		assert_int_equal(json_object_del(d, "id"), 0);
		expect_json("document", d,
		            "{'contentType':'PLAIN_TEXT',"
		            "'title':'=?utf-8?Q?gr=C3=BC=C3=9Fe?= and more','attributes':["
		            "{'name':'_created_at','value':{'dateValue':1795999996}},"
		            "{'name':'_authors','value':{'stringListValue':"
		            "['Ann <ann@shop.example>, \\'Bob, B\\' <bob@shop.example>']}}]}");
		json_decref(o);
		close_rig(&r);
	}
}

static void documents_that_are_refused(void **state)
{
	static const char *const actions[] = { "{}", "{'ApplicationId':'a1'}",
		                               "{'ApplicationId':'..','IndexId':'i'}",
		                               "{'ApplicationId':'a/b','IndexId':'i'}",
		                               "{'ApplicationId':'a','IndexId':''}" };
	struct rig r;
	struct err e = { 0 };
	struct buf b;

	(void)state;
	for (size_t i = 0; i < COUNT(actions); i++) {
		open_rig(&r, RECEIPT, slice_str(raw), actions[i], "{}");
		assert_int_equal(make(&r, "DeliverToQBusiness", &e), RC_INVALID);
		close_rig(&r);
	}
	buf_init(&b, QBUSINESS_TEXT + 1);
	assert_int_equal(buf_reserve(&b, QBUSINESS_TEXT + 1), RC_OK);
	memset(b.at, 'x', QBUSINESS_TEXT + 1);
	for (size_t more = 0; more < 2; more++) {
		open_rig(&r, RECEIPT, slice_of(b.at, QBUSINESS_TEXT + more), "{" APPLICATION "}",
		         "{}");
		assert_int_equal(make(&r, "DeliverToQBusiness", &e), more ? RC_LIMIT : RC_OK);
		close_rig(&r);
	}
	buf_free(&b);
}

/* ---- answers ---- */

static const char *const end_words[] = { "done", "later", "never", "set-up" };

static struct payload_result read_answer(const char *action, const char *spec, unsigned status,
                                         const char *answer, const char *error)
{
	struct call_result r = { .end = CALL_ANSWERED,
		                 .status = status,
		                 .answer = slice_str(answer),
		                 .function_error = error,
		                 .why = "" };
	struct payload_result out;
	json_t *o = quoted(spec);
	char *copy = quoted_text(answer);

	r.answer = slice_str(copy);
	memset(&out, 0xff, sizeof(out));
	kind(action)->read(&out, o, &r);
	for (const char *c = out.text; *c; c++)
		assert_in_range(*c, ' ', 126);
	json_decref(o);
	free(copy);
	return out;
}

static void answers(void **state)
{
	static const struct {
		const char *action;
		unsigned status;
		const char *answer;
		enum payload_end end;
		const char *text;
	} cases[] = {
		{ "WriteToS3", 200, "", PAYLOAD_DONE, "" },
		{ "WriteToS3", 204, "", PAYLOAD_DONE, "" },
		{ "WriteToS3", 301, "<Error><Code>PermanentRedirect</Code></Error>", PAYLOAD_SET_UP,
		  "S3 answers 301 PermanentRedirect" },
		{ "WriteToS3", 307, "", PAYLOAD_SET_UP, "S3 answers 307" },
		{ "WriteToS3", 400, "", PAYLOAD_NEVER, "S3 answers 400" },
		{ "WriteToS3", 400, "<Error><Code>RequestTimeout</Code></Error>", PAYLOAD_LATER,
		  "S3 answers 400 RequestTimeout" },
		{ "WriteToS3", 400, "<Error><Code>EntityTooLarge</Code></Error>", PAYLOAD_NEVER,
		  "S3 answers 400 EntityTooLarge" },
		{ "WriteToS3", 400, "<Error><Code>KMS.NotFoundException</Code></Error>",
		  PAYLOAD_SET_UP, "S3 answers 400 KMS.NotFoundException" },
		{ "WriteToS3", 403, "<Error><Code>AccessDenied</Code></Error>", PAYLOAD_SET_UP,
		  "S3 answers 403 AccessDenied" },
		{ "WriteToS3", 403, "<Error><Code>RequestTimeTooSkewed</Code></Error>",
		  PAYLOAD_LATER, "S3 answers 403 RequestTimeTooSkewed" },
		{ "WriteToS3", 404, "<Code>NoSuchBucket</Code>", PAYLOAD_SET_UP,
		  "S3 answers 404 NoSuchBucket" },
		{ "WriteToS3", 404, "<Code>no such\nbucket</Code>", PAYLOAD_SET_UP,
		  "S3 answers 404" },
		{ "WriteToS3", 404, "<Code>Unended", PAYLOAD_SET_UP, "S3 answers 404 Unended" },
		{ "WriteToS3", 409, "", PAYLOAD_LATER, "S3 answers 409" },
		{ "WriteToS3", 413, "", PAYLOAD_NEVER, "S3 answers 413" },
		{ "WriteToS3", 429, "", PAYLOAD_LATER, "S3 answers 429" },
		{ "WriteToS3", 500, "", PAYLOAD_LATER, "S3 answers 500" },
		{ "WriteToS3", 501, "<Code>NotImplemented</Code>", PAYLOAD_SET_UP,
		  "S3 answers 501 NotImplemented" },
		{ "WriteToS3", 503, "<Code>SlowDown</Code>", PAYLOAD_LATER,
		  "S3 answers 503 SlowDown" },
		{ "WriteToS3", 999, "", PAYLOAD_LATER, "S3 answers 999" },
		{ "PublishToSns", 200, "<PublishResponse><MessageId>1</MessageId>", PAYLOAD_DONE,
		  "" },
		{ "PublishToSns", 200, "<html>welcome</html>", PAYLOAD_SET_UP,
		  "the endpoint answers 200 without a MessageId, as SNS does not" },
		{ "PublishToSns", 400, "<Error><Code>Throttling</Code>", PAYLOAD_LATER,
		  "SNS answers 400 Throttling" },
		{ "PublishToSns", 400, "<Error><Code>InvalidParameter</Code>", PAYLOAD_NEVER,
		  "SNS answers 400 InvalidParameter" },
		{ "PublishToSns", 400, "{'Error':{'Code':'Throttling'}}", PAYLOAD_NEVER,
		  "SNS answers 400" },
		{ "PublishToSns", 403, "<Code>AuthorizationError</Code>", PAYLOAD_SET_UP,
		  "SNS answers 403 AuthorizationError" },
		{ "PublishToSns", 404, "<Code>NotFound</Code>", PAYLOAD_SET_UP,
		  "SNS answers 404 NotFound" },
		{ "InvokeLambda", 202, "", PAYLOAD_DONE, "" },
		{ "InvokeLambda", 202, "{'disposition':'STOP_RULE'}", PAYLOAD_DONE, "" },
		{ "InvokeLambda", 404, "{'Type':'User','message':'x'}", PAYLOAD_SET_UP,
		  "the function's endpoint answers 404" },
		{ "InvokeLambda", 429,
		  "{'__type':'com.amazonaws.lambda#TooManyRequestsException:http://x'}",
		  PAYLOAD_LATER, "the function's endpoint answers 429 TooManyRequestsException" },
		{ "InvokeLambda", 400, "{'code':'ThrottlingException'}", PAYLOAD_LATER,
		  "the function's endpoint answers 400 ThrottlingException" },
		{ "InvokeLambda", 400, "{'__type':7,'code':'b c','Code':'AccessDenied'}",
		  PAYLOAD_SET_UP, "the function's endpoint answers 400 AccessDenied" },
		{ "InvokeLambda", 413, "", PAYLOAD_NEVER, "the function's endpoint answers 413" },
		{ "DeliverToQBusiness", 200, "{}", PAYLOAD_DONE, "" },
		{ "DeliverToQBusiness", 200, "{'failedDocuments':[]}", PAYLOAD_DONE, "" },
		{ "DeliverToQBusiness", 200, "", PAYLOAD_SET_UP,
		  "the endpoint answers 200 without JSON, as Q Business does not" },
		{ "DeliverToQBusiness", 200, "[]", PAYLOAD_SET_UP,
		  "the endpoint answers 200 without JSON, as Q Business does not" },
		{ "DeliverToQBusiness", 200,
		  "{'failedDocuments':[{'id':'x','error':{'errorCode':'InvalidRequest'}}]}",
		  PAYLOAD_NEVER, "Q Business: the document failed: InvalidRequest" },
		{ "DeliverToQBusiness", 200,
		  "{'failedDocuments':[{'error':{'errorCode':'InternalError'}}]}", PAYLOAD_LATER,
		  "Q Business: the document failed: InternalError" },
		{ "DeliverToQBusiness", 200,
		  "{'failedDocuments':[{'error':{'errorCode':'ResourceInactive'}}]}",
		  PAYLOAD_SET_UP, "Q Business: the document failed: ResourceInactive" },
		{ "DeliverToQBusiness", 200, "{'failedDocuments':[7]}", PAYLOAD_NEVER,
		  "Q Business: the document failed: " },
		{ "DeliverToQBusiness", 402, "", PAYLOAD_SET_UP, "Q Business answers 402" },
		{ "DeliverToQBusiness", 429, "", PAYLOAD_LATER, "Q Business answers 429" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct payload_result out =
		        read_answer(cases[i].action, "{}", cases[i].status, cases[i].answer, "");

		if (out.end != cases[i].end || strcmp(out.text, cases[i].text) != 0)
			fail_msg("%s %u %s: %s \"%s\", want %s \"%s\"", cases[i].action,
			         cases[i].status, cases[i].answer, end_words[out.end], out.text,
			         end_words[cases[i].end], cases[i].text);
		assert_int_equal(out.disposition, PAYLOAD_CONTINUE);
	}
}

static void dispositions(void **state)
{
	static const struct {
		const char *answer;
		enum payload_disposition disposition;
		const char *text;
	} cases[] = {
		{ "", PAYLOAD_CONTINUE, "" },
		{ " \r\n", PAYLOAD_CONTINUE, "" },
		{ "null", PAYLOAD_CONTINUE, "" },
		{ "{}", PAYLOAD_CONTINUE, "" },
		{ "'STOP_RULE'", PAYLOAD_CONTINUE, "" },
		{ "['STOP_RULE']", PAYLOAD_CONTINUE, "" },
		{ "{'disposition':'CONTINUE'}", PAYLOAD_CONTINUE, "" },
		{ "{'disposition':'STOP_RULE'}", PAYLOAD_STOP_RULE, "" },
		{ "{'disposition':'STOP_RULE_SET','more':[1]}", PAYLOAD_STOP_RULE_SET, "" },
		{ "{'disposition':'stop_rule'}", PAYLOAD_CONTINUE, "is none" },
		{ "{'disposition':'STOP_RULE '}", PAYLOAD_CONTINUE, "is none" },
		{ "{'disposition':'STOP_RULE_SETS'}", PAYLOAD_CONTINUE, "is none" },
		{ "{'disposition':null}", PAYLOAD_CONTINUE, "is none" },
		{ "{'disposition':['STOP_RULE']}", PAYLOAD_CONTINUE, "is none" },
		{ "{'Disposition':'STOP_RULE'}", PAYLOAD_CONTINUE, "" },
		{ "{'disposition':'STOP_RULE'", PAYLOAD_CONTINUE, "no JSON" },
		{ "{'disposition':'STOP_RULE'} x", PAYLOAD_CONTINUE, "no JSON" },
		{ "{'disposition':'CONTINUE','disposition':'STOP_RULE'}", PAYLOAD_CONTINUE,
		  "no JSON" },
		{ "STOP_RULE", PAYLOAD_CONTINUE, "no JSON" },
		{ "\xff\xfe", PAYLOAD_CONTINUE, "no JSON" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct payload_result out =
		        read_answer("InvokeLambda", "{'InvocationType':'REQUEST_RESPONSE'}", 200,
		                    cases[i].answer, "");

		EXPECT(cases[i].answer, out.end == PAYLOAD_DONE);
		EXPECT(cases[i].answer, out.disposition == cases[i].disposition);
		EXPECT(cases[i].answer, strstr(out.text, cases[i].text));
		EXPECT(cases[i].answer, cases[i].text[0] || !out.text[0]);
	}
}

/* It is called again, and what it said isn't a disposition. */
static void functions_that_fail(void **state)
{
	struct payload_result out =
	        read_answer("InvokeLambda", "{'InvocationType':'REQUEST_RESPONSE'}", 200,
	                    "{'disposition':'STOP_RULE_SET'}", "Unhandled");

	(void)state;
	assert_int_equal(out.end, PAYLOAD_LATER);
	assert_int_equal(out.disposition, PAYLOAD_CONTINUE);
	assert_string_equal(out.text, "the function failed: Unhandled");
}

static void calls_that_got_no_answer(void **state)
{
	static const char *const actions[] = { "WriteToS3", "PublishToSns", "InvokeLambda",
		                               "DeliverToQBusiness" };

	(void)state;
	for (size_t i = 0; i < COUNT(actions); i++) {
		struct call_result r = { .end = CALL_LATER, .function_error = "", .why = "a\x01" };
		struct payload_result out;

		kind(actions[i])->read(&out, NULL, &r);
		assert_int_equal(out.end, PAYLOAD_LATER);
		assert_non_null(strstr(out.text, ": a?"));
		r.end = CALL_SET_UP;
		kind(actions[i])->read(&out, NULL, &r);
		assert_int_equal(out.end, PAYLOAD_SET_UP);
	}
	assert_null(payload_kind(slice_str("Archive")));
	assert_null(payload_kind(slice_str("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_is_told),
		cmocka_unit_test(verdicts_that_are_none),
		cmocka_unit_test(lists_of_addresses),
		cmocka_unit_test(long_headers_are_cut),
		cmocka_unit_test(objects),
		cmocka_unit_test(objects_under_a_key),
		cmocka_unit_test(notifications),
		cmocka_unit_test(notifications_have_bounds),
		cmocka_unit_test(functions),
		cmocka_unit_test(events_have_bounds),
		cmocka_unit_test(documents),
		cmocka_unit_test(documents_that_are_refused),
		cmocka_unit_test(answers),
		cmocka_unit_test(dispositions),
		cmocka_unit_test(functions_that_fail),
		cmocka_unit_test(calls_that_got_no_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
