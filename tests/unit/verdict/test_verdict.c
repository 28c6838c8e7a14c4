#include "tests/unit/test.h"

#include <stdlib.h>

#include "ingest/verdict/verdict.h"
#include "ingest/verdict/verdict_words.h"
#include "tests/unit/verdict/zone.h"

static const char zone[] = "shop.example TXT v=spf1 ip4:192.0.2.1 exp=why.shop.example -all\n"
                           "why.shop.example TXT not you\n"
                           "_dmarc.shop.example TXT v=DMARC1; p=reject\n"
                           "_dmarc.late.example FAIL\n"
                           "far.shop.example TXT v=spf1 redirect=one.shop.example\n"
                           "one.shop.example TXT v=spf1 include:shop.example -all\n";

static const char honest[] = "From: Ann <ann@shop.example>\r\nSubject: x\r\n\r\nbody\r\n";

static struct verdict_facts facts(const char *ip, const char *mail_from)
{
	struct verdict_facts f = { .helo = slice_str("mail.shop.example"),
		                   .mail_from = slice_str(mail_from),
		                   .receiver = slice_str("mm.example"),
		                   .now_ms = INT64_C(1700000000000) };

	MUST(ip_parse(&f.ip, slice_str(ip)));
	return f;
}

/* Its JSON, as text; checked as mmd checks it. */
static json_t *judge(const char *message, const struct verdict_facts *f, unsigned most)
{
	char *copy = mem_string(message);
	struct verdict *v = verdict_new(slice_str(copy), f);
	struct answers *a = answers_new();
	struct err e;
	json_t *j;

	free(copy); /* the message may go */
	while (most-- && verdict_run(v, a) == RC_AGAIN)
		assert_true(zone_answer_all(a, slice_str(zone)) > 0);
	verdict_late(v, a);
	j = verdict_json(v);
	EXPECT_OK(verdicts_valid(j, &e), &e);
	verdict_free(&v);
	answers_free(&a);
	return j;
}

static void expect(const json_t *j, const char *part, const char *member, const char *want)
{
	struct slice got = json_member_text(json_object_get(j, part), member);

	if (!want ? got.at != NULL : !slice_equal(got, slice_str(want)))
		fail_msg("%s.%s: got \"%.*s\", want \"%s\"", part, member, (int)got.len,
		         got.at ? (const char *)got.at : "", want ? want : "none");
}

static void a_message_that_passes(void **state)
{
	struct verdict_facts f = facts("192.0.2.1", "bounce@shop.example");
	json_t *j = judge(honest, &f, 20);

	(void)state;
	expect(j, "spf", "verdict", "PASS");
	expect(j, "spf", "result", "pass");
	expect(j, "spf", "identity", "mailfrom");
	expect(j, "spf", "domain", "shop.example");
	expect(j, "dkim", "verdict", "GRAY");
	expect(j, "dkim", "result", "none");
	expect(j, "arc", "verdict", "GRAY");
	expect(j, "dmarc", "result", "pass");
	expect(j, "dmarc", "policy", "REJECT");
	expect(j, "dmarc", "asks", "NONE");
	assert_true(json_is_true(json_object_get(json_object_get(j, "dmarc"), "spf_aligned")));
	json_decref(j);
}

static void a_forged_one(void **state)
{
	struct verdict_facts f = facts("192.0.2.2", "bounce@shop.example");
	json_t *j = judge(honest, &f, 20);

	(void)state;
	expect(j, "spf", "verdict", "FAIL");
	expect(j, "spf", "explanation", "not you");
	expect(j, "dmarc", "result", "fail");
	expect(j, "dmarc", "asks", "REJECT");
	json_decref(j);
}

static void without_an_address_there_is_no_spf(void **state)
{
	struct verdict_facts f = facts("192.0.2.2", "bounce@shop.example");
	json_t *j;

	(void)state;
	f.ip = (struct ip) { 0 };
	j = judge(honest, &f, 20);
	expect(j, "spf", "verdict", "GRAY");
	expect(j, "spf", "result", "none");
	expect(j, "spf", "domain", NULL);
	expect(j, "dmarc", "asks", "REJECT");
	json_decref(j);
}

/* The policy is there before SPF is, which takes another round: it waits. */
static void a_policy_waits_for_what_it_judges(void **state)
{
	struct verdict_facts f = facts("192.0.2.1", "bounce@far.shop.example");
	json_t *j = judge(honest, &f, 20);

	(void)state;
	expect(j, "spf", "result", "pass");
	expect(j, "dmarc", "result", "pass");
	json_decref(j);
}

static void what_is_not_known_in_time(void **state)
{
	struct verdict_facts f = facts("192.0.2.1", "bounce@shop.example");
	json_t *j = judge(honest, &f, 0);

	(void)state;
	expect(j, "spf", "verdict", "PROCESSING_FAILED");
	expect(j, "spf", "result", "temperror");
	expect(j, "arc", "verdict", "PROCESSING_FAILED");
	expect(j, "dmarc", "result", "temperror");
	expect(j, "dmarc", "asks", NULL);
	json_decref(j);
	/* DKIM and ARC need no lookups here: they are known. SPF of the domain of From isn't, and
	 * could be a pass. */
	f.mail_from = slice_str("bounce@far.shop.example");
	j = judge("From: a@far.shop.example\r\n\r\n", &f, 1);
	expect(j, "spf", "verdict", "PROCESSING_FAILED");
	expect(j, "dkim", "result", "none");
	expect(j, "arc", "result", "none");
	expect(j, "dmarc", "result", "temperror");
	expect(j, "dmarc", "asks", NULL);
	json_decref(j);
}

/* Whose servers are slow is the sender's choice; it doesn't cost the domain that he forges its
 * policy. */
static void who_is_late_does_not_escape(void **state)
{
	static const char forged[] = "DKIM-Signature: v=1; a=rsa-sha256; d=evil.example; s=s; "
	                             "h=from; c=relaxed/relaxed;\r\n"
	                             "\tbh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n"
	                             "From: Ann <ann@shop.example>\r\n\r\n";
	struct verdict_facts f = facts("192.0.2.1", "bounce@evil.example");
	struct verdict *v = verdict_new(slice_str(forged), &f);
	struct answers *a = answers_new();
	struct dns_question q;
	bool first = true;
	json_t *j;

	(void)state;
	assert_int_equal(verdict_run(v, a), RC_AGAIN);
	for (; answers_wanted(a, &q); first = false) {
		if (first)
			assert_string_equal(q.name, "_dmarc.shop.example");
		if (!strstr(q.name, "evil"))
			zone_answer(a, slice_str(zone), &q);
	}
	assert_int_equal(verdict_run(v, a), RC_AGAIN);
	verdict_late(v, a);
	j = verdict_json(v);
	expect(j, "spf", "verdict", "PROCESSING_FAILED");
	expect(j, "spf", "domain", "evil.example");
	expect(j, "dkim", "verdict", "PROCESSING_FAILED");
	expect(j, "dmarc", "result", "fail");
	expect(j, "dmarc", "asks", "REJECT");
	json_decref(j);
	verdict_free(&v);
	answers_free(&a);
}

static void a_policy_that_cannot_be_had(void **state)
{
	struct verdict_facts f = facts("192.0.2.1", "bounce@shop.example");
	json_t *j = judge("From: a@late.example\r\n\r\n", &f, 20);

	(void)state;
	expect(j, "dmarc", "result", "temperror");
	expect(j, "dmarc", "asks", NULL);
	json_decref(j);
}

static void several_froms(void **state)
{
	struct verdict_facts f = facts("192.0.2.1", "bounce@shop.example");
	json_t *j = judge("From: a@shop.example\r\nFrom: b@evil.example\r\n\r\n", &f, 20);

	(void)state;
	expect(j, "dmarc", "result", "fail");
	expect(j, "dmarc", "asks", "REJECT");
	expect(j, "dmarc", "domain", "shop.example");
	json_decref(j);
}

static void a_header_without_an_end(void **state)
{
	struct verdict_facts f = facts("192.0.2.1", "bounce@shop.example");
	size_t n = LIMIT_HEADER_BLOCK + 100;
	char *big = mem_new(n + 1);
	json_t *j;

	(void)state;
	memset(big, 'x', n);
	j = judge(big, &f, 20);
	expect(j, "spf", "verdict", "PASS");
	expect(j, "dkim", "verdict", "PROCESSING_FAILED");
	expect(j, "arc", "verdict", "PROCESSING_FAILED");
	expect(j, "dmarc", "result", "fail");
	expect(j, "dmarc", "asks", "REJECT");
	json_decref(j);
	free(big);
}

/* Mail programs read it. */
static void more_fields_than_are_read(void **state)
{
	struct verdict_facts f = facts("192.0.2.1", "bounce@evil.example");
	struct buf text;
	json_t *j;

	(void)state;
	buf_init(&text, 1 << 20);
	for (size_t i = 0; i < RAW_FIELDS; i++)
		assert_int_equal(buf_add_str(&text, "X: y\r\n"), RC_OK);
	assert_int_equal(buf_add_str(&text, honest), RC_OK);
	j = judge(buf_text(&text), &f, 20);
	expect(j, "dmarc", "result", "fail");
	expect(j, "dmarc", "asks", "REJECT");
	json_decref(j);
	buf_free(&text);
}

/* The domain of MAIL FROM in the form of DNS; odd ones do no harm. */
static void senders(void **state)
{
	static const char *const from[] = { "",
		                            "a",
		                            "@",
		                            "a@",
		                            "a@m\xc3\xbcll.example",
		                            "a@b@shop.example",
		                            "\"a@b\"@shop.example",
		                            "a@\xff",
		                            "a@[192.0.2.1]" };

	(void)state;
	for (size_t i = 0; i < COUNT(from); i++) {
		struct verdict_facts f = facts("192.0.2.1", from[i]);
		json_t *j = judge(honest, &f, 20);

		if (i == 4)
			expect(j, "spf", "domain", "xn--mll-hoa.example");
		json_decref(j);
	}
}

/* ---- what mmd takes ---- */

static const char *const good[] = {
	"{\"spf\":{\"verdict\":\"PASS\",\"result\":\"pass\"},"
	"\"dkim\":{\"verdict\":\"GRAY\",\"result\":\"none\",\"signatures\":[]},"
	"\"arc\":{\"verdict\":\"GRAY\",\"result\":\"none\",\"sets\":0},"
	"\"dmarc\":{\"result\":\"none\",\"asks\":\"NONE\"}}",
};

/* Each: a part of the good one, and what is put in its place. */
static const struct {
	const char *part;
	const char *instead;
} bad[] = {
	{ "\"PASS\"", "\"OK\"" },
	{ "\"PASS\"", "\"pass\"" },
	{ "\"PASS\"", "1" },
	{ "\"PASS\"", "\"PASS FAIL\"" },
	{ "\"PASS\"", "\"\"" },
	{ "\"result\":\"pass\"", "\"result\":\"hardfail\"" },
	{ "\"result\":\"pass\"", "\"why\":\"x\"" },
	{ "\"result\":\"pass\"", "\"result\":\"pass\",\"x\":1" },
	{ "\"result\":\"pass\"", "\"result\":\"pass\",\"why\":\"\\u00e4\"" },
	{ "\"result\":\"pass\"", "\"result\":\"pass\",\"why\":\"a\\nb\"" },
	{ "\"result\":\"pass\"", "\"result\":\"pass\",\"why\":\"\"" },
	{ "\"result\":\"pass\"", "\"result\":\"pass\",\"identity\":\"from\"" },
	{ "\"signatures\":[]", "\"signatures\":{}" },
	{ "\"signatures\":[]", "\"signatures\":[1]" },
	{ "\"signatures\":[]", "\"signatures\":[{\"result\":\"pass\",\"signatures\":[]}]" },
	{ "\"signatures\":[]", "\"signatures\":[{\"result\":\"pass\",\"bits\":-1}]" },
	{ "\"signatures\":[]", "\"signatures\":[{\"result\":\"pass\",\"bits\":1.5}]" },
	{ "\"signatures\":[]", "\"signatures\":[{\"result\":\"pass\",\"testing\":0}]" },
	{ "\"sets\":0", "\"sets\":\"0\"" },
	{ "\"asks\":\"NONE\"", "\"asks\":\"none\"" },
	{ "\"dmarc\":", "\"dmarc2\":" },
	{ "{\"result\":\"none\",\"asks\":\"NONE\"}", "null" },
	{ ",\"dmarc\":{\"result\":\"none\",\"asks\":\"NONE\"}", "" },
	{ "{\"spf\"", "{\"x\":1,\"spf\"" },
};

static enum rc valid(const char *text)
{
	json_t *j;
	struct err e;
	enum rc rc;

	EXPECT_OK(json_read(&j, slice_str(text), &e), &e);
	rc = verdicts_valid(j, &e);
	json_decref(j);
	return rc;
}

static void only_known_words_are_taken(void **state)
{
	json_t *failed = verdicts_failed("for a test");
	struct err e;

	(void)state;
	assert_int_equal(valid(good[0]), RC_OK);
	EXPECT_OK(verdicts_valid(failed, &e), &e);
	json_decref(failed);
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct slice whole = slice_str(good[0]);
		size_t at = slice_find(whole, slice_str(bad[i].part));
		struct buf text;

		buf_init(&text, 4096);
		EXPECT(bad[i].part, at != SIZE_MAX);
		EXPECT(bad[i].part, buf_add(&text, slice_part(whole, 0, at)) == RC_OK);
		EXPECT(bad[i].part, buf_add_str(&text, bad[i].instead) == RC_OK);
		EXPECT(bad[i].part,
		       buf_add(&text, slice_from(whole, at + strlen(bad[i].part))) == RC_OK);
		EXPECT(buf_text(&text), valid(buf_text(&text)) == RC_INVALID);
		buf_free(&text);
	}
}

static int start(void **state)
{
	(void)state;
	verdict_init();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_that_passes),
		cmocka_unit_test(a_forged_one),
		cmocka_unit_test(without_an_address_there_is_no_spf),
		cmocka_unit_test(a_policy_waits_for_what_it_judges),
		cmocka_unit_test(what_is_not_known_in_time),
		cmocka_unit_test(who_is_late_does_not_escape),
		cmocka_unit_test(a_policy_that_cannot_be_had),
		cmocka_unit_test(several_froms),
		cmocka_unit_test(a_header_without_an_end),
		cmocka_unit_test(more_fields_than_are_read),
		cmocka_unit_test(senders),
		cmocka_unit_test(only_known_words_are_taken),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
