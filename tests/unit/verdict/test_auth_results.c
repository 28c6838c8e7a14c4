#include "ingest/verdict/auth_results.h"

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

static void all_four(void **state)
{
	const struct spf_answer spf = { .result = SPF_SOFTFAIL,
		                        .domain = "shop.example",
		                        .why = "~all" };
	const struct arc_answer arc = {
		.result = ARC_PASS, .sets = 2, .oldest_pass = 1, .why = ""
	};
	const struct dmarc_answer dmarc = { .result = DMARC_FAIL,
		                            .policy = DMARC_ASKS_REJECT,
		                            .disposition = DMARC_ASKS_QUARANTINE,
		                            .domain = "shop.example",
		                            .why = "nothing aligned" };
	struct auth_results r = { .authserv = "mx.corp.example" };
	struct raw_message none = { 0 };

	(void)state;
	expect_text(&r, "none");
	r.spf = &spf;
	expect_text(&r, "spf=softfail reason=\"~all\" smtp.mailfrom=shop.example");
	r.dkim = dkim_new(&none, TEST_NOW);
	r.arc = &arc;
	r.dmarc = &dmarc;
	r.from = slice_str("news.shop.example");
	expect_text(&r, "spf=softfail reason=\"~all\" smtp.mailfrom=shop.example; dkim=none; "
	                "arc=pass header.oldest-pass=1; "
	                "dmarc=fail reason=\"nothing aligned\" policy.dmarc=quarantine "
	                "header.from=news.shop.example");
	dkim_free((struct dkim **)(void *)&r.dkim);
}

static void signatures(void **state)
{
	static const char message[] = "DKIM-Signature: v=1; a=rsa-sha256; d=Shop.example; s=s1; "
	                              "h=from; bh=AAAA; b=a+b/c d efghij\r\n"
	                              "DKIM-Signature: v=1; a=rsa-sha1; d=shop.example; s=s1; "
	                              "h=from; bh=; b=c\r\n"
	                              "DKIM-Signature: v=1; a=x\r\n"
	                              "From: a@shop.example\r\n\r\n";
	struct auth_results r = { .authserv = "mx.corp.example" };
	struct answers *a = answers_new();
	struct dkim *d = dkim_of(slice_str(message), a, TEST_NOW);

	(void)state;
	r.dkim = d;
	expect_text(&r, "dkim=neutral reason=\"bh= is no SHA-256 in base64\" header.d=shop.example "
	                "header.s=s1 "
	                "header.a=rsa-sha256 header.b=\"a+b/cdef\"; "
	                "dkim=permerror reason=\"a= is rsa-sha1, which RFC 8301 forbids\" "
	                "header.d=shop.example header.s=s1 "
	                "header.a=rsa-sha1 header.b=c; "
	                "dkim=neutral reason=\"b= isn't there\" header.a=x");
	dkim_free(&d);
	answers_free(&a);
}

/* Whatever is in the answers: one field, one result each, nothing that a reader takes for another.
 */
static void nothing_can_be_injected(void **state)
{
	static const char evil[] = "x\r\nSubject: y; dkim=pass \"(\\\x01\xc3\xb6\x7f";
	struct spf_answer spf = { .result = SPF_FAIL };
	struct auth_results r = { .authserv = "mx.corp.example", .spf = &spf };
	struct raw_message m;
	struct buf b;

	(void)state;
	memcpy(spf.domain, evil, sizeof(evil));
	memcpy(spf.why, evil, sizeof(evil));
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
}

static void lines(void **state)
{
	struct spf_answer spf = { .result = SPF_PASS, .of_helo = true };
	struct auth_results r = { .authserv = "mx.corp.example", .spf = &spf };
	struct buf b;

	(void)state;
	memset(spf.domain, 'd', 200);
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
		cmocka_unit_test(nothing_can_be_injected),
		cmocka_unit_test(lines),
		cmocka_unit_test(claims_to_be_ours),
		cmocka_unit_test(hostile_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
