#include "ingest/verdict/auth_results.h"

#include "ingest/verdict/verdict_words.h"
#include "tests/unit/ingest/quoted.h"
#include "tests/unit/test.h"
#include "tests/unit/verdict/signing.h"

static void expect_text(const struct auth_results *r, const char *want)
{
	struct buf b;

	buf_init(&b, 65536);
	assert_int_equal(auth_results_text(r, &b), RC_OK);
	EXPECT_SLICE("text", buf_slice(&b), want);
	buf_free(&b);
}

static void expect(const char *verdicts, const char *from, const char *want)
{
	json_t *kept = quoted(verdicts);
	const struct auth_results r = { "mx.corp.example", kept, slice_str(from) };

	expect_text(&r, want);
	json_decref(kept);
}

static void all_four(void **state)
{
	(void)state;
	expect("{}", "", "none");
	expect("{'spf':{'result':'softfail','identity':'mailfrom','domain':'shop.example',"
	       "'why':'~all'}}",
	       "", "spf=softfail reason=\"~all\" smtp.mailfrom=shop.example");
	expect("{'spf':{'result':'pass','identity':'helo','domain':'mx.shop.example',"
	       "'why':'ip4:192.0.2.0/24'},'dkim':{'result':'none','signatures':[]},"
	       "'arc':{'result':'pass','sets':2,'oldest_pass':1},"
	       "'dmarc':{'result':'fail','policy':'REJECT','asks':'QUARANTINE',"
	       "'domain':'shop.example','why':'nothing aligned'}}",
	       "news.shop.example",
	       "spf=pass smtp.helo=mx.shop.example; dkim=none; arc=pass header.oldest-pass=1; "
	       "dmarc=fail reason=\"nothing aligned\" policy.dmarc=quarantine "
	       "header.from=news.shop.example");
}

static void signatures(void **state)
{
	(void)state;
	expect("{'dkim':{'result':'pass','signatures':["
	       "{'result':'pass','domain':'shop.example','selector':'s1',"
	       "'identity':'@news.shop.example','algorithm':'rsa-sha256','b':'a+b/cdef'},"
	       "{'result':'permerror','domain':'shop.example','selector':'s1','algorithm':"
	       "'rsa-sha1','b':'c','why':'a= is rsa-sha1, which RFC 8301 forbids'},"
	       "{'result':'neutral','algorithm':'x','why':'b= isn\xe2\x80\x99t there'},"
	       "{'result':'unchecked','domain':'shop.example'}]}}",
	       "",
	       "dkim=pass header.d=shop.example header.i=@news.shop.example header.s=s1 "
	       "header.a=rsa-sha256 header.b=\"a+b/cdef\"; "
	       "dkim=permerror reason=\"a= is rsa-sha1, which RFC 8301 forbids\" "
	       "header.d=shop.example header.s=s1 header.a=rsa-sha1 header.b=c; "
	       "dkim=neutral reason=\"b= isn???t there\" header.a=x");
}

/* Of a message that nothing could be found out about, by what the check of verdicts lets through.
 */
static void nothing_found_out(void **state)
{
	json_t *kept = verdicts_failed("DNS took too long");
	const struct auth_results r = { "mx.corp.example", kept, slice_str("shop.example") };

	(void)state;
	expect_text(&r, "spf=temperror reason=\"DNS took too long\"; "
	                "dkim=temperror reason=\"DNS took too long\"; "
	                "arc=temperror reason=\"DNS took too long\"; "
	                "dmarc=temperror reason=\"DNS took too long\" header.from=shop.example");
	json_decref(kept);
	expect("{'spf':{'result':'pass; dkim=pass'},'dkim':{},'arc':{'result':1},'dmarc':[]}", "",
	       "spf=temperror; dkim=temperror; arc=temperror");
	expect("{'spf':{'result':'pass~'}}", "", "spf=temperror");
	expect("{'dmarc':{'result':'pass','asks':'pass; spf=pass'}}", "a b",
	       "dmarc=pass header.from=\"a b\"");
}

static json_t *evil_spf(void)
{
	static const char evil[] = "x\r\nSubject: y; dkim=pass \"(\\\x01\xc3\xb6\x7f";
	json_t *spf = json_object();
	json_t *all = json_object();

	json_put_text(spf, "result", slice_str("fail"));
	json_put_text(spf, "domain", slice_str(evil));
	json_put_text(spf, "why", slice_str(evil));
	json_put(all, "spf", spf);
	return all;
}

/* Whatever is in the answers: one field, one result each, nothing that a reader takes for another.
 */
static void nothing_can_be_injected(void **state)
{
	json_t *kept = evil_spf();
	struct auth_results r = { .authserv = "mx.corp.example", .verdicts = kept };
	struct raw_message m;
	struct buf b;

	(void)state;
	buf_init(&b, 65536);
	assert_int_equal(auth_results_field(&r, &b), RC_OK);
	EXPECT_SLICE("field", buf_slice(&b),
	             "Authentication-Results: mx.corp.example; spf=fail reason=\"x??Subject: y;\r\n"
	             " dkim=pass \\\"(\\\\????\" smtp.mailfrom=\"x??Subject: y; dkim=pass "
	             "\\\"(\\\\????\"\r\n");
	assert_int_equal(raw_read(&m, buf_slice(&b), NULL), RC_OK);
	assert_int_equal(m.count, 1);
	raw_free(&m);
	buf_free(&b);
	json_decref(kept);
}

static void lines(void **state)
{
	char domain[201] = { 0 };
	json_t *kept = quoted("{'spf':{'result':'pass','identity':'helo'}}");
	struct auth_results r = { .authserv = "mx.corp.example", .verdicts = kept };
	struct buf b;

	(void)state;
	memset(domain, 'd', 200);
	json_put_text(json_object_get(kept, "spf"), "domain", slice_str(domain));
	buf_init(&b, 65536);
	assert_int_equal(auth_results_field(&r, &b), RC_OK);
	assert_true(slice_starts_nocase(
	        buf_slice(&b),
	        slice_str("Authentication-Results: mx.corp.example; spf=pass\r\n smtp.helo=ddd")));
	buf_free(&b);
	buf_init(&b, 60);
	put_text(&b, "before");
	assert_int_equal(auth_results_field(&r, &b), RC_LIMIT);
	assert_int_equal(b.len, 6);
	buf_free(&b);
	buf_init(&b, 100);
	assert_int_equal(auth_results_text(&r, &b), RC_LIMIT);
	buf_free(&b);
	json_decref(kept);
}

struct claim {
	const char *field;
	bool ours;
};

static const struct claim claims[] = {
	{ "Authentication-Results: mx.corp.example; none", true },
	{ "authentication-RESULTS : MX.Corp.Example; none", true },
	{ "Authentication-Results:mx.corp.example", true },
	{ "Authentication-Results: mx.corp.example 1; none", true },
	{ "Authentication-Results: mx.corp.example (x) 1 (y); none", true },
	{ "Authentication-Results: mx.corp.example 23; none", true },
	{ "Authentication-Results: (hi (there)) mx.corp.example; none", true },
	{ "Authentication-Results:\r\n mx.corp.example\r\n ; none", true },
	{ "Authentication-Results: \"mx.corp.example\"; none", true },
	{ "Authentication-Results: \"mx\\.corp.example\"; none", true },
	{ "Authentication-Results: mx.corp.example.; none", true },
	/* not as it should be */
	{ "Authentication-Results: mx.corp.example spf=pass", true },
	{ "Authentication-Results: mx.corp.example, other.example; none", true },
	{ "Authentication-Results: mx.corp.example/1; none", true },
	{ "Authentication-Results: mx.corp.example 1x; none", true },
	{ "Authentication-Results: ; mx.corp.example; none", true },
	{ "Authentication-Results: =mx.corp.example; none", true },
	{ "Authentication-Results: <mx.corp.example>; none", true },
	{ "Authentication-Results: (mx.corp.example; none", true },
	{ "Authentication-Results: \"mx.corp.example; none", true },
	{ "Authentication-Results: mx.corp. example; none", true },
	{ "Authentication-Results: mx.corp.\r\n example; none", true },
	{ "Authentication-Results: mx\".corp.example\"; none", true },
	{ "Authentication-Results: other.example mx.corp.example; none", true },
	{ "Authentication-Results: x\x01 mx.corp.example; none", true },
	{ "Authentication-Results: (mx.corp.example) other.example; none", true },
	{ "Authentication-Results: other.example (mx.corp.example.) 1; none", true },
	/* of others */
	{ "Authentication-Results: other.example; none", false },
	{ "Authentication-Results: amx.corp.example; none", false },
	{ "Authentication-Results: mx.corp.example.net; none", false },
	{ "Authentication-Results: x.mx.corp.example; none", false },
	{ "Authentication-Results: corp.example; none", false },
	{ "Authentication-Results: other.example; spf=pass smtp.mailfrom=mx.corp.example", false },
	{ "Authentication-Results: (amx.corp.example) other.example; none", false },
	{ "Authentication-Results: (mx.corp.example.net) other.example; none", false },
	{ "Authentication-Results: broken spf=pass", false },
	{ "Authentication-Results:", false },
	{ "X-Authentication-Results: mx.corp.example; none", false },
	{ "ARC-Authentication-Results: i=1; mx.corp.example; none", false },
};

static void claims_to_be_ours(void **state)
{
	struct raw_message m;

	(void)state;
	for (size_t i = 0; i < COUNT(claims); i++) {
		assert_int_equal(raw_read(&m, slice_str(claims[i].field), NULL), RC_OK);
		assert_int_equal(m.count, 1);
		EXPECT(claims[i].field,
		       auth_results_claims(&m.fields[0], "mx.corp.example") == claims[i].ours);
		EXPECT(claims[i].field,
		       auth_results_claims(&m.fields[0], "MX.corp.example.") == claims[i].ours);
		EXPECT(claims[i].field, !auth_results_claims(&m.fields[0], ""));
		raw_free(&m);
	}
}

/* Comments a hundred thousand deep, and words without an end. */
static void hostile_fields(void **state)
{
	static const char *const parts[] = { "(", "\"", "mx.corp.exampl", "\\", " ", "1" };
	struct raw_message m;
	struct buf b;

	(void)state;
	for (size_t i = 0; i < COUNT(parts); i++) {
		buf_init(&b, 1 << 20);
		put_text(&b, "Authentication-Results: ");
		for (unsigned n = 0; n < 60000; n++)
			put_text(&b, parts[i]);
		assert_int_equal(raw_read(&m, buf_slice(&b), NULL), RC_OK);
		assert_false(auth_results_claims(&m.fields[0], "mx.corp.example"));
		raw_free(&m);
		put_text(&b, "emx.corp.example");
		assert_int_equal(raw_read(&m, buf_slice(&b), NULL), RC_OK);
		EXPECT(parts[i], auth_results_claims(&m.fields[0], "mx.corp.example") == (i != 4));
		raw_free(&m);
		buf_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_four),
		cmocka_unit_test(signatures),
		cmocka_unit_test(nothing_found_out),
		cmocka_unit_test(nothing_can_be_injected),
		cmocka_unit_test(lines),
		cmocka_unit_test(claims_to_be_ours),
		cmocka_unit_test(hostile_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
