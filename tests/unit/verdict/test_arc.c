#include "ingest/verdict/arc.h"

#include "tests/unit/test.h"
#include "tests/unit/verdict/signing.h"

#define MAIL                                                                                       \
	"From: Ann <ann@shop.example>\r\n"                                                         \
	"To: list@lists.example\r\n"                                                               \
	"Subject: one\r\n"                                                                         \
	"\r\n"                                                                                     \
	"Hello\r\n"

static EVP_PKEY *rsa, *ed;

static int make_keys(void **state)
{
	(void)state;
	rsa = make_key(2048);
	ed = make_key(0);
	return 0;
}

static int free_keys(void **state)
{
	(void)state;
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ed);
	return 0;
}

static struct answers *all_keys(void)
{
	struct answers *a = answers_new();

	answer_key(a, "r1._domainkey.lists.example", rsa, "");
	answer_key(a, "e1._domainkey.hop.example", ed, "");
	return a;
}

static const struct arc_sealer *sealer(bool with_rsa)
{
	static struct arc_sealer s;

	s = with_rsa ? (struct arc_sealer) { "lists.example", "r1", "mx.lists.example", rsa,
		                             TEST_NOW }
	             : (struct arc_sealer) { "hop.example", "e1", "mx.hop.example", ed, TEST_NOW };
	return &s;
}

static enum rc check(struct slice message, struct answers *a, struct arc_answer *out)
{
	char *copy = slice_string(message);
	struct raw_message m;
	struct arc *arc;
	enum rc rc;

	memset(out, 0, sizeof(*out));
	assert_int_equal(raw_read(&m, slice_of(copy, message.len), NULL), RC_OK);
	arc = arc_new(&m, TEST_NOW);
	raw_free(&m);
	memset(copy, 'X', message.len);
	free(copy);
	rc = arc_check(arc, a, out);
	arc_free(&arc);
	return rc;
}

static void expect(const char *name, struct slice message, struct answers *a, enum arc_result want,
                   const char *why)
{
	struct arc_answer got;

	assert_int_equal(check(message, a, &got), RC_OK);
	if (got.result != want || !strstr(got.why, why))
		fail_msg("%s: got %s (%s), want %s (%s)", name, arc_word(got.result), got.why,
		         arc_word(want), why);
}

/* `message` gets a set more in front. */
static enum rc seal(struct buf *message, const struct arc_sealer *by, enum arc_result cv,
                    const char *results, struct err *e)
{
	struct raw_message m;
	struct buf out;
	enum rc rc;

	buf_init(&out, 4 << 20);
	assert_int_equal(raw_read(&m, buf_slice(message), NULL), RC_OK);
	rc = arc_seal(by, &m, cv, slice_str(results), &out, e);
	raw_free(&m);
	if (rc == RC_OK) {
		assert_int_equal(buf_add(&out, buf_slice(message)), RC_OK);
		buf_free(message);
		*message = out;
	} else {
		assert_int_equal(out.len, 0);
		buf_free(&out);
	}
	return rc;
}

static void sealed(struct buf *message, unsigned sets)
{
	struct err e;

	buf_init(message, 4 << 20);
	put_text(message, MAIL);
	for (unsigned i = 0; i < sets; i++)
		EXPECT_OK(seal(message, sealer(i % 2 == 0), i ? ARC_PASS : ARC_NONE,
		               "spf=pass smtp.mailfrom=shop.example; dkim=none", &e),
		          &e);
}

static void chains_that_pass(void **state)
{
	struct answers *a = all_keys();
	struct arc_answer got;
	struct buf message;

	(void)state;
	for (unsigned sets = 0; sets < 6; sets++) {
		sealed(&message, sets);
		expect("chain", buf_slice(&message), a, sets ? ARC_PASS : ARC_NONE, "");
		assert_int_equal(check(buf_slice(&message), a, &got), RC_OK);
		assert_int_equal(got.sets, sets);
		assert_string_equal(got.sealer, !sets      ? ""
		                                : sets % 2 ? "lists.example"
		                                           : "hop.example");
		assert_string_equal(got.why, "");
		assert_int_equal(got.oldest_pass, 0);
		buf_free(&message);
	}
	answers_free(&a);
}

/* What is said of columns and of what stands in the three fields. */
static void fields_as_written(void **state)
{
	struct raw_message m;
	struct buf message;

	(void)state;
	sealed(&message, 2);
	assert_int_equal(raw_read(&m, buf_slice(&message), NULL), RC_OK);
	assert_true(raw_named(&m.fields[0], "ARC-Seal") &&
	            raw_named(&m.fields[1], "ARC-Message-Signature") &&
	            raw_named(&m.fields[2], "ARC-Authentication-Results") &&
	            raw_named(&m.fields[3], "ARC-Seal"));
	EXPECT_SLICE(
	        "results", m.fields[2].value,
	        " i=2; mx.hop.example; spf=pass\r\n smtp.mailfrom=shop.example; dkim=none\r\n");
	assert_true(slice_find(m.fields[1].value, slice_str(" h=From:From:To:Subject;")) !=
	            SIZE_MAX);
	assert_true(slice_find(m.fields[0].value, slice_str("cv=pass;")) != SIZE_MAX);
	for (struct slice rest = buf_slice(&message), line; rest.len;) {
		line = slice_cut(rest, '\n', &rest);
		assert_true(line.len <= 79);
	}
	raw_free(&m);
	buf_free(&message);
}

/* Every byte of the message and of the sets, changed alone. */
static void every_byte(void **state)
{
	struct answers *a = all_keys();
	struct arc_answer got;
	struct buf message;

	(void)state;
	sealed(&message, 2);
	for (size_t i = 0; i < message.len; i++) {
		message.at[i] ^= 1;
		if (check(buf_slice(&message), a, &got) == RC_OK && got.result == ARC_PASS)
			fail_msg("byte %zu: %s", i, buf_text(&message));
		message.at[i] ^= 1;
	}
	expect("control", buf_slice(&message), a, ARC_PASS, "");
	buf_free(&message);
	answers_free(&a);
}

/* The field number `n` is taken out, is there twice, or has `was` replaced. */
static void changed(struct buf *out, struct slice message, size_t n, const char *was,
                    const char *is)
{
	struct raw_message m;

	buf_init(out, 4 << 20);
	assert_int_equal(raw_read(&m, message, NULL), RC_OK);
	for (size_t i = 0; i < m.count; i++) {
		struct slice f = m.fields[i].whole;
		size_t at = i == n && was ? slice_find(f, slice_str(was)) : SIZE_MAX;

		if (i == n && !was && !is)
			continue;
		assert_true(i != n || !was || at != SIZE_MAX);
		assert_int_equal(buf_add(out, slice_part(f, 0, at)), RC_OK);
		if (at != SIZE_MAX) {
			put_text(out, is);
			assert_int_equal(buf_add(out, slice_from(f, at + strlen(was))), RC_OK);
		}
		if (i == n && !was && is)
			assert_int_equal(buf_add(out, f), RC_OK);
	}
	put_text(out, "\r\n");
	assert_int_equal(buf_add(out, m.body), RC_OK);
	raw_free(&m);
}

static void chains_that_are_wrong(void **state)
{
	static const struct {
		size_t field; /* 0 seal, 1 message signature, 2 results of set 2; 3 to 5 of set 1 */
		const char *was, *is;
		const char *why;
	} cases[] = {
		{ 0, NULL, NULL, "set 2 of ARC isn't whole" },
		{ 1, NULL, NULL, "set 2 of ARC isn't whole" },
		{ 2, NULL, NULL, "set 2 of ARC isn't whole" },
		{ 3, NULL, NULL, "set 1 of ARC isn't whole" },
		{ 4, NULL, NULL, "set 1 of ARC isn't whole" },
		{ 5, NULL, NULL, "set 1 of ARC isn't whole" },
		{ 0, NULL, "", "there twice with the same instance" },
		{ 1, NULL, "", "there twice with the same instance" },
		{ 5, NULL, "", "there twice with the same instance" },
		{ 0, "i=2", "i=1", "there twice" },
		{ 0, "i=2", "i=0", "without a proper instance" },
		{ 0, "i=2", "i=51", "without a proper instance" },
		{ 0, "i=2", "i=002", "without a proper instance" },
		{ 0, "i=2", "i=", "without a proper instance" },
		{ 0, "i=2;", "", "without a proper instance" },
		{ 0, "i=2", "i=3", "isn't whole" },
		{ 2, "i=2;", "", "without a proper instance" },
		{ 2, "i=2;", "i=2", "without a proper instance" },
		{ 2, "i=2;", "(i=2); i=2;", "without a proper instance" },
		{ 2, "i=2;", "(i=1) i (x)=2 ;", "ARC-Seal of set 2: the signature" },
		{ 0, "cv=pass", "cv=none", "cv= of set 2 isn't pass" },
		{ 0, "cv=pass", "cv=fail", "the sealer of set 2 says" },
		{ 0, "cv=pass", "cv=Pass", "cv= of set 2 isn't pass" },
		{ 0, "cv=pass;", "", "cv= of set 2 isn't pass" },
		{ 3, "cv=none", "cv=pass", "cv= of set 1 isn't none" },
		{ 3, "cv=none", "cv=fail", "the sealer of set 1 says" },
		{ 0, "cv=pass;", "cv=pass; h=from;", "ARC-Seal of set 2 has h=" },
		{ 0, "a=ed25519-sha256", "a=rsa-sha1", "ARC-Seal of set 2: a= is rsa-sha1" },
		{ 1, "a=ed25519-sha256", "a=rsa-sha1",
		  "ARC-Message-Signature of set 2: a= is rsa-sha1" },
		{ 1, "h=From", "h=ARC-Seal:From", "h= has ARC-Seal" },
		{ 1, "c=relaxed/relaxed;", "c=relaxed/relaxed; l=1;",
		  "ARC-Message-Signature of set 2: the body" },
		{ 1, "d=hop.example", "d=none.example", "no key in DNS" },
		{ 4, "t=", "t=1", "ARC-Seal of set 2: the signature" },
		{ 5, "spf=pass", "spf=fail", "ARC-Seal of set 2: the signature" },
		{ 3, "t=1700000000", "t=1600000000", "ARC-Seal of set 2: the signature" },
		{ 3, "t=1700000000", "t=1800000000", "ARC-Seal of set 1: t= lies" },
		{ 6, "Ann", "Eve", "ARC-Message-Signature of set 2: the signature" },
	};
	struct answers *a = all_keys();
	struct buf message, odd;

	(void)state;
	answer_none(a, "e1._domainkey.none.example", DNS_NO_NAME);
	sealed(&message, 2);
	changed(&odd, buf_slice(&message), 99, NULL, NULL);
	expect("control", buf_slice(&odd), a, ARC_PASS, "");
	buf_free(&odd);
	for (size_t i = 0; i < COUNT(cases); i++) {
		changed(&odd, buf_slice(&message), cases[i].field, cases[i].was, cases[i].is);
		expect(cases[i].why, buf_slice(&odd), a, ARC_FAIL, cases[i].why);
		buf_free(&odd);
	}
	put_text(&message, "more\r\n");
	expect("body", buf_slice(&message), a, ARC_FAIL,
	       "ARC-Message-Signature of set 2: the body");
	buf_free(&message);
	answers_free(&a);
}

/* Blanks between the fields are forgiven: seals are relaxed. */
static void what_relaxed_forgives(void **state)
{
	struct answers *a = all_keys();
	struct buf message, odd;

	(void)state;
	sealed(&message, 2);
	changed(&odd, buf_slice(&message), 5, "spf=pass", "\r\n   spf=pass");
	expect("blanks", buf_slice(&odd), a, ARC_PASS, "");
	buf_free(&odd);
	buf_free(&message);
	answers_free(&a);
}

static void what_dns_says(void **state)
{
	struct answers *a = answers_new();
	struct dns_question q;
	struct arc_answer got;
	struct buf message;
	unsigned asked = 0;

	(void)state;
	sealed(&message, 3);
	assert_int_equal(check(buf_slice(&message), a, &got), RC_AGAIN);
	while (answers_wanted(a, &q))
		asked++;
	assert_int_equal(asked, 2); /* both names, at a time */
	answer_none(a, "r1._domainkey.lists.example", DNS_FAILED);
	assert_int_equal(check(buf_slice(&message), a, &got), RC_AGAIN);
	answer_key(a, "e1._domainkey.hop.example", ed, "");
	expect("dns", buf_slice(&message), a, ARC_TEMPERROR,
	       "ARC-Message-Signature of set 3: no answer");
	answers_free(&a);
	a = answers_new();
	answer_none(a, "r1._domainkey.lists.example", DNS_FAILED);
	answer_none(a, "e1._domainkey.hop.example", DNS_NO_NAME);
	expect("dns", buf_slice(&message), a, ARC_FAIL, "ARC-Seal of set 2: no key in DNS");
	answers_free(&a);
	buf_free(&message);
}

static void fifty_sets(void **state)
{
	struct answers *a = all_keys();
	struct arc_answer got;
	struct buf message;
	struct err e;

	(void)state;
	buf_init(&message, 4 << 20);
	put_text(&message, MAIL);
	for (unsigned i = 0; i < ARC_SETS; i++)
		EXPECT_OK(seal(&message, sealer(false), i ? ARC_PASS : ARC_NONE, "none", &e), &e);
	assert_int_equal(check(buf_slice(&message), a, &got), RC_OK);
	assert_int_equal(got.result, ARC_PASS);
	assert_int_equal(got.sets, ARC_SETS);
	assert_int_equal(seal(&message, sealer(false), ARC_PASS, "none", &e), RC_LIMIT);
	buf_free(&message);
	answers_free(&a);
}

/* Section 5.1.2: the seal of the first three fields is as if theirs were the only set. */
static void expect_sealed_alone(const struct buf *message)
{
	EVP_MD_CTX *ctx = canon_sha256_new();
	struct raw_message m;
	struct taglist tags;
	struct dkim_key key;
	struct buf record, b;
	uint8_t hash[32];

	assert_int_equal(raw_read(&m, buf_slice(message), NULL), RC_OK);
	assert_null(taglist_read(&tags, m.fields[0].value));
	canon_field(CANON_RELAXED, &m.fields[2], sha256_take, ctx);
	canon_field(CANON_RELAXED, &m.fields[1], sha256_take, ctx);
	signature_hash_itself(ctx, CANON_RELAXED, &m.fields[0], &tags);
	canon_sha256_end(ctx, hash);
	buf_init(&record, 1000);
	buf_init(&b, 1000);
	key_record(&record, ed, "");
	assert_int_equal(dkim_key_read(&key, buf_slice(&record), DKIM_ED25519_SHA256, NULL), RC_OK);
	assert_int_equal(fws_base64(&b, taglist_value(&tags, "b")), RC_OK);
	assert_true(dkim_key_verifies(&key, DKIM_ED25519_SHA256, hash, buf_slice(&b)));
	dkim_key_free(&key);
	buf_free(&record);
	buf_free(&b);
	raw_free(&m);
	EVP_MD_CTX_free(ctx);
}

static void a_chain_that_failed(void **state)
{
	struct answers *a = all_keys();
	struct arc_answer got;
	struct buf message;
	struct err e;

	(void)state;
	sealed(&message, 1);
	put_text(&message, "changed on the way\r\n");
	expect("changed", buf_slice(&message), a, ARC_FAIL, "the body");
	EXPECT_OK(seal(&message, sealer(false), ARC_FAIL, "arc=fail", &e), &e);
	expect("marked", buf_slice(&message), a, ARC_FAIL, "the sealer of set 2 says");
	assert_int_equal(check(buf_slice(&message), a, &got), RC_OK);
	assert_int_equal(got.sets, 2);
	expect_sealed_alone(&message);
	assert_int_equal(seal(&message, sealer(false), ARC_FAIL, "arc=fail", &e), RC_EXISTS);
	buf_free(&message);
	answers_free(&a);
}

static void what_is_not_sealed(void **state)
{
	struct arc_sealer by = *sealer(true);
	EVP_PKEY *small = make_key(512);
	struct buf message;
	struct err e;

	(void)state;
	sealed(&message, 0);
	assert_int_equal(seal(&message, &by, ARC_PASS, "none", &e), RC_INVALID);
	assert_int_equal(seal(&message, &by, ARC_TEMPERROR, "none", &e), RC_INVALID);
	assert_int_equal(seal(&message, &by, ARC_NONE, "none\r\nX: y", &e), RC_INVALID);
	by.domain = "lists.example; x=y";
	assert_int_equal(seal(&message, &by, ARC_NONE, "none", &e), RC_INVALID);
	by = *sealer(true);
	by.authserv = "mx;";
	assert_int_equal(seal(&message, &by, ARC_NONE, "none", &e), RC_INVALID);
	by = *sealer(true);
	by.key = small;
	assert_int_equal(seal(&message, &by, ARC_NONE, "none", &e), RC_INVALID);
	by.key = rsa;
	EXPECT_OK(seal(&message, &by, ARC_NONE, "none", &e), &e);
	assert_int_equal(seal(&message, &by, ARC_NONE, "none", &e), RC_INVALID);
	buf_free(&message);
	EVP_PKEY_free(small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chains_that_pass),
		cmocka_unit_test(fields_as_written),
		cmocka_unit_test(every_byte),
		cmocka_unit_test(chains_that_are_wrong),
		cmocka_unit_test(what_relaxed_forgives),
		cmocka_unit_test(what_dns_says),
		cmocka_unit_test(fifty_sets),
		cmocka_unit_test(a_chain_that_failed),
		cmocka_unit_test(what_is_not_sealed),
	};

	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
