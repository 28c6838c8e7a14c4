#include "ingest/verdict/dkim.h"

#include "tests/unit/test.h"
#include "tests/unit/verdict/signing.h"

#define NAME "s1._domainkey.shop.example"
#define TAGS "d=shop.example; s=s1; h=From:To:Subject:From;"
#define ED   "v=1; a=ed25519-sha256; c=relaxed/relaxed; " TAGS
#define MAIL                                                                                       \
	"Received: from a by b\r\n"                                                                \
	"From: Ann <ann@shop.example>\r\n"                                                         \
	"To: Bob <bob@corp.example>\r\n"                                                           \
	"Subject: one\r\n two\r\n"                                                                 \
	"X-Other: unsigned\r\n"                                                                    \
	"\r\n"                                                                                     \
	"Hello Bob,\r\n\r\n  this is  it.\r\n"

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

/* Signed with `tags` (relaxed/relaxed) and the Ed25519 key. */
static void signed_mail(struct buf *out, const char *tags, const char *message)
{
	const struct signer by = { ed, tags, CANON_RELAXED, { .how = CANON_RELAXED } };

	buf_init(out, 4 << 20);
	sign_message(out, &by, slice_str(message));
}

static struct answers *key_there(EVP_PKEY *key, const char *more)
{
	struct answers *a = answers_new();

	answer_key(a, NAME, key, more);
	return a;
}

/* The result of the first signature, when `a` answers. */
static enum dkim_result first_of(struct slice message, struct answers *a, int64_t now_s,
                                 char why[160])
{
	struct dkim *d = dkim_of(message, a, now_s);
	enum dkim_result r;

	(void)snprintf(why, 160, "a question without an answer");
	if (!d)
		return DKIM_TEMPERROR;
	r = dkim_count(d) ? dkim_at(d, 0)->result : DKIM_NONE;
	(void)snprintf(why, 160, "%s", dkim_count(d) ? dkim_at(d, 0)->why : "no signature");
	dkim_free(&d);
	return r;
}

/* ---- RFC 8463, appendix A ---- */

static const char rfc8463[] = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
                              " d=football.example.com; i=@football.example.com;\r\n"
                              " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
                              " subject : date : message-id : from : subject : date;\r\n"
                              " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
                              " b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
                              " Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
                              "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
                              " d=football.example.com; i=@football.example.com;\r\n"
                              " q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"
                              " date : message-id : from : subject : date;\r\n"
                              " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
                              " b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n"
                              " DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n"
                              " dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r\n"
                              "From: Joe SixPack <joe@football.example.com>\r\n"
                              "To: Suzie Q <suzie@shopping.example.net>\r\n"
                              "Subject: Is dinner ready?\r\n"
                              "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
                              "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
                              "\r\n"
                              "Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";

static void vectors_of_rfc_8463(void **state)
{
	struct answers *a = answers_new();
	struct dkim *d;

	(void)state;
	answer_text(a, "brisbane._domainkey.football.example.com",
	            "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
	answer_text(a, "test._domainkey.football.example.com",
	            "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR"
	            "iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC"
	            "DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3"
	            "Ip3G+2kryOTIKT+l/K4w3QIDAQAB");
	d = dkim_of(slice_str(rfc8463), a, 1528637909);
	assert_int_equal(dkim_count(d), 2);
	for (size_t i = 0; i < 2; i++) {
		const struct dkim_signature *s = dkim_at(d, i);

		EXPECT(s->why, s->result == DKIM_PASS);
		EXPECT_SLICE("d", s->domain, "football.example.com");
		EXPECT_SLICE("s", s->selector, i ? "test" : "brisbane");
		EXPECT_SLICE("i", s->identity, "@football.example.com");
		EXPECT_SLICE("a", s->algorithm, i ? "rsa-sha256" : "ed25519-sha256");
		EXPECT_SLICE("b", s->start, i ? "F45dVWDf" : "/gCrinpc");
		assert_int_equal(s->key_bits, i ? 1024 : 256);
		assert_string_equal(s->why, "");
	}
	assert_int_equal(dkim_best(d), DKIM_PASS);
	dkim_free(&d);
	answers_free(&a);
}

/* ---- every form, every byte ---- */

static const char *const form_names[] = { "simple", "relaxed" };

/* Each byte changed alone: only those in what isn't signed may be changed. */
static void flip_all(struct slice message, struct answers *a)
{
	char *copy = slice_string(message);
	struct slice received = slice_str("Received: from a by b\r\n");
	struct slice other = slice_str("X-Other: unsigned\r\n");
	size_t free_1 = slice_find(message, received);
	size_t free_2 = slice_find(message, other);
	char why[160];

	for (size_t i = 0; i < message.len; i++) {
		bool unsigned_byte = (i >= free_1 && i + 1 < free_1 + received.len) ||
		                     (i >= free_2 && i + 1 < free_2 + other.len);
		enum dkim_result r;

		copy[i] ^= 1;
		r = first_of(slice_of(copy, message.len), a, TEST_NOW, why);
		if (unsigned_byte != (r == DKIM_PASS))
			fail_msg("byte %zu: %s %s\n%s", i, dkim_word(r), why, copy);
		copy[i] ^= 1;
	}
	free(copy);
}

static void all_forms_and_every_byte(void **state)
{
	char tags[200], why[160];

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		EVP_PKEY *key = i & 4 ? rsa : ed;
		struct signer by = {
			key, tags, (enum canon)(i & 1), { .how = (enum canon)(i >> 1 & 1) }
		};
		struct answers *a = key_there(key, "");
		struct buf message;

		(void)snprintf(tags, sizeof(tags), "v=1; a=%s-sha256; c=%s/%s;\r\n\t" TAGS,
		               key == rsa ? "rsa" : "ed25519", form_names[i & 1],
		               form_names[i >> 1 & 1]);
		buf_init(&message, 65536);
		sign_message(&message, &by, slice_str(MAIL));
		EXPECT(tags, first_of(buf_slice(&message), a, TEST_NOW, why) == DKIM_PASS);
		flip_all(buf_slice(&message), a);
		buf_free(&message);
		answers_free(&a);
	}
}

static void what_relaxed_forgives(void **state)
{
	struct answers *a = key_there(ed, "");
	struct buf message, changed;
	char why[160];

	(void)state;
	signed_mail(&message, ED, MAIL);
	for (unsigned simple = 0; simple < 2; simple++) {
		const char *body = strstr(buf_text(&message), "Hello");

		buf_init(&changed, 65536);
		assert_int_equal(buf_add(&changed,
		                         slice_of(message.at, (size_t)(body - buf_text(&message)))),
		                 RC_OK);
		put_text(&changed, simple ? "Hello  Bob,\r\n\r\nthis is it.\r\n"
		                          : "Hello \t Bob, \r\n\t\r\n this \tis it.\r\n\r\n \r\n");
		EXPECT(why, first_of(buf_slice(&changed), a, TEST_NOW, why) ==
		                    (simple ? DKIM_FAIL : DKIM_PASS));
		buf_free(&changed);
	}
	buf_free(&message);
	answers_free(&a);
}

/* ---- signatures that aren't right ---- */

struct wrong {
	const char *tags; /* in place of ED; of the message as signed with them */
	enum dkim_result want;
	const char *why; /* begins so */
};

static const struct wrong wrong[] = {
	{ ED, DKIM_PASS, "" },
	{ ED " z=unknown; i=@shop.example;", DKIM_PASS, "" },
	{ ED " i=ann@mail.shop.example;", DKIM_PASS, "" },
	{ ED " i=ann=40x=20y@Shop.Example;", DKIM_PASS, "" },
	{ ED " q=dns/txt;", DKIM_PASS, "" },
	{ ED " q=other:dns/txt;", DKIM_PASS, "" },
	{ "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=SHOP.Example; s=S1; h=FROM:;", DKIM_PASS,
	  "" },
	{ "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=shop.example; s=s1; h=from:dkim-signature;",
	  DKIM_PASS, "" },
	{ ED " i=\xc3\xb6@mail.SHOP.example;", DKIM_PASS, "" },
	{ "a=ed25519-sha256; c=relaxed/relaxed; " TAGS, DKIM_NEUTRAL, "v=" },
	{ "v=2; a=ed25519-sha256; c=relaxed/relaxed; " TAGS, DKIM_NEUTRAL, "v=" },
	{ "v=1; a=rsa-sha1; c=relaxed/relaxed; " TAGS, DKIM_PERMERROR, "a= is rsa-sha1" },
	{ "v=1; a=ed25519-sha512; c=relaxed/relaxed; " TAGS, DKIM_NEUTRAL, "a=" },
	{ "v=1; a=ED25519-sha256; c=relaxed/relaxed; " TAGS, DKIM_NEUTRAL, "a=" },
	{ "v=1; c=relaxed/relaxed; " TAGS, DKIM_NEUTRAL, "a= isn't there" },
	{ "v=1; a=ed25519-sha256; c=relaxed/nothing; " TAGS, DKIM_NEUTRAL, "c=" },
	{ "v=1; a=ed25519-sha256; c=; " TAGS, DKIM_NEUTRAL, "c=" },
	{ "v=1; a=ed25519-sha256; c=relaxed/; " TAGS, DKIM_NEUTRAL, "c=" },
	{ "v=1; a=ed25519-sha256; c=relaxed/relaxed/relaxed; " TAGS, DKIM_NEUTRAL, "c=" },
	{ "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=shop.example; s=s1; h=To:Subject;",
	  DKIM_PERMERROR, "From" },
	{ "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=shop.example; s=s1; h=;", DKIM_PERMERROR,
	  "From" },
	{ "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=shop.example; s=s1;", DKIM_NEUTRAL, "h=" },
	{ "v=1; a=ed25519-sha256; c=relaxed/relaxed; s=s1; h=from;", DKIM_NEUTRAL, "d=" },
	{ "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example; s=s1; h=from;", DKIM_NEUTRAL,
	  "d=" },
	{ "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=shop..example; s=s1; h=from;", DKIM_NEUTRAL,
	  "d=" },
	{ "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=sh op.example; s=s1; h=from;", DKIM_NEUTRAL,
	  "d=" },
	{ "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=shop.example; s=; h=from;", DKIM_NEUTRAL,
	  "s=" },
	{ "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=shop.example; s=s1/x; h=from;", DKIM_NEUTRAL,
	  "s=" },
	{ ED " i=@other.example;", DKIM_PERMERROR, "i= isn't within" },
	{ ED " i=@notshop.example;", DKIM_PERMERROR, "i= isn't within" },
	{ ED " i=@example;", DKIM_PERMERROR, "i= isn't within" },
	{ ED " i=ann;", DKIM_NEUTRAL, "i= is no address" },
	{ ED " i=ann=4@shop.example;", DKIM_NEUTRAL, "i= isn't quoted" },
	{ ED " i=@shop.example=;", DKIM_NEUTRAL, "i= isn't quoted" },
	{ ED " i=@shop.example=4;", DKIM_NEUTRAL, "i= isn't quoted" },
	{ ED " i=@shop.example=2e;", DKIM_NEUTRAL, "i= is no address" },
	{ ED " i=;", DKIM_NEUTRAL, "i=" },
	{ ED " q=http;", DKIM_NEUTRAL, "q=" },
	{ ED " q=dns/special;", DKIM_NEUTRAL, "q=" },
	{ ED " t=x;", DKIM_NEUTRAL, "t= is no number" },
	{ ED " t=;", DKIM_NEUTRAL, "t= is no number" },
	{ ED " x=1 2;", DKIM_NEUTRAL, "x= is no number" },
	{ ED " l=-1;", DKIM_NEUTRAL, "l= is no number" },
	{ ED " l=99999999999999999999999;", DKIM_NEUTRAL, "l= is no number" },
	{ ED " l=1000;", DKIM_FAIL, "l= is longer" },
	{ ED " t=1700000300;", DKIM_PASS, "" },
	{ ED " t=1700000301;", DKIM_FAIL, "t= lies" },
	{ ED " x=1699999700;", DKIM_PASS, "" },
	{ ED " x=1699999699;", DKIM_FAIL, "x= has passed" },
	{ ED " t=1699999999; x=1700000001;", DKIM_PASS, "" },
	{ ED " t=1700000001; x=1700000001;", DKIM_PERMERROR, "x= isn't later" },
	{ ED " bad;", DKIM_NEUTRAL, "a tag without" },
	{ ED " d=other.example;", DKIM_NEUTRAL, "a tag that is there twice" },
};

static void expect(const char *name, struct slice message, struct answers *a, enum dkim_result want,
                   const char *begin)
{
	char why[160];
	enum dkim_result r = first_of(message, a, TEST_NOW, why);

	if (r != want || strncmp(why, begin, strlen(begin)) != 0)
		fail_msg("%s: got %s (%s), want %s (%s)", name, dkim_word(r), why, dkim_word(want),
		         begin);
}

static void signatures_that_are_wrong(void **state)
{
	struct answers *a = key_there(ed, "");
	struct buf message;

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		signed_mail(&message, wrong[i].tags, MAIL);
		expect(wrong[i].tags, buf_slice(&message), a, wrong[i].want, wrong[i].why);
		buf_free(&message);
	}
	answers_free(&a);
}

/* RFC 8616: names may be U-labels. */
static void other_letters(void **state)
{
	struct answers *a = answers_new();
	struct buf message;
	struct dkim *d;

	(void)state;
	answer_key(a, "s1._domainkey.xn--bcher-kva.example", ed, "");
	signed_mail(&message,
	            "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=B\xc3\xbc"
	            "cher.example; s=s1; h=from; "
	            "i=\xc3\xb6@m.b\xc3\xbc"
	            "cher.example;",
	            MAIL);
	d = dkim_of(buf_slice(&message), a, TEST_NOW);
	assert_non_null(d);
	assert_int_equal(dkim_best(d), DKIM_PASS);
	EXPECT_SLICE("d", dkim_at(d, 0)->domain, "xn--bcher-kva.example");
	EXPECT_SLICE("i", dkim_at(d, 0)->identity, "??@m.xn--bcher-kva.example");
	dkim_free(&d);
	buf_free(&message);
	answers_free(&a);
}

/* b= or bh= in the field of a good signature is replaced. */
static void values_that_are_wrong(void **state)
{
	static const struct {
		const char *tag; /* the line that it begins */
		const char *is;
		enum dkim_result want;
		const char *why;
	} values[] = {
		{ "\tbh=", "bh=;", DKIM_NEUTRAL, "bh=" },
		{ "\tbh=", "bh=AAAA;", DKIM_NEUTRAL, "bh=" },
		{ "\tbh=", "bh=*;", DKIM_NEUTRAL, "bh=" },
		{ "\tbh=", "bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;", DKIM_FAIL,
		  "the body" },
		{ "\tb=", "b=;", DKIM_NEUTRAL, "b=" },
		{ "\tb=", "b=*;", DKIM_NEUTRAL, "b=" },
		{ "\tb=", "b=AAAA;", DKIM_FAIL, "the signature" },
	};
	struct answers *a = key_there(ed, "");
	struct buf message, changed;

	(void)state;
	signed_mail(&message, ED, MAIL);
	for (size_t i = 0; i < COUNT(values); i++) {
		const char *text = buf_text(&message);
		const char *from = strstr(text, values[i].tag) + 1;

		buf_init(&changed, 65536);
		assert_int_equal(buf_add(&changed, slice_of(text, (size_t)(from - text))), RC_OK);
		put_text(&changed, values[i].is);
		put_text(&changed, strstr(from, "\r\n"));
		expect(values[i].is, buf_slice(&changed), a, values[i].want, values[i].why);
		buf_free(&changed);
	}
	buf_free(&message);
	answers_free(&a);
}

/* White space around the value of b= isn't signed, in the simple form either; that elsewhere is. */
static void blanks_around_the_signature(void **state)
{
	static const char *const blanks[][2] = { { "\tb=", "\tb= \r\n\t" },
		                                 { "\r\nReceived", " \t\r\n \r\nReceived" },
		                                 { "\tbh=", "\tbh= " } };
	static const char tags[] = "v=1; a=ed25519-sha256; " TAGS;
	const struct signer by = { ed, tags, CANON_SIMPLE, { .how = CANON_SIMPLE } };
	struct answers *a = key_there(ed, "");
	struct buf message, changed;

	(void)state;
	buf_init(&message, 65536);
	sign_message(&message, &by, slice_str(MAIL));
	for (size_t i = 0; i < COUNT(blanks); i++) {
		const char *at = strstr(buf_text(&message), blanks[i][0]);

		buf_init(&changed, 65536);
		assert_int_equal(
		        buf_add(&changed, slice_of(message.at, (size_t)(at - buf_text(&message)))),
		        RC_OK);
		put_text(&changed, blanks[i][1]);
		put_text(&changed, at + strlen(blanks[i][0]));
		expect(blanks[i][1], buf_slice(&changed), a, i < 2 ? DKIM_PASS : DKIM_FAIL, "");
		buf_free(&changed);
	}
	buf_free(&message);
	answers_free(&a);
}

/* ---- l= ---- */

static void length_tags(void **state)
{
	static const struct {
		uint64_t limit;
		const char *more; /* behind the body */
		enum dkim_result want;
		bool partial;
	} cases[] = {
		{ 28, "", DKIM_PASS, false },
		{ 28, "\r\n", DKIM_PASS, false },
		{ 28, "An advertisement\r\n", DKIM_POLICY, true },
		{ 27, "", DKIM_POLICY, true },
		{ 0, "", DKIM_POLICY, true },
	};
	struct answers *a = key_there(ed, "");
	char tags[200];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct signer by = {
			ed, tags, CANON_RELAXED, { CANON_RELAXED, true, cases[i].limit, 0, { 0 } }
		};
		struct buf message;
		struct dkim *d;

		(void)snprintf(tags, sizeof(tags), ED " l=%llu;",
		               (unsigned long long)cases[i].limit);
		buf_init(&message, 65536);
		sign_message(&message, &by, slice_str(MAIL));
		put_text(&message, cases[i].more);
		d = dkim_of(buf_slice(&message), a, TEST_NOW);
		EXPECT(tags, dkim_at(d, 0)->result == cases[i].want &&
		                     dkim_at(d, 0)->partial == cases[i].partial);
		EXPECT(tags, dkim_best(d) == cases[i].want);
		dkim_free(&d);
		buf_free(&message);
	}
	answers_free(&a);
}

/* ---- keys ---- */

static const struct {
	const char *record; /* "%s" is the key's p= */
	enum dkim_result want;
	const char *why;
} records[] = {
	{ "v=DKIM1; k=ed25519; p=%s", DKIM_PASS, "" },
	{ "k=ed25519; p=%s", DKIM_PASS, "" },
	{ " v = DKIM1 ; k=ed25519; h=sha1:sha256; s=other:email; t=y; n=note; g=x; p=%s;",
	  DKIM_PASS, "" },
	{ "v=DKIM1; k=ed25519; s=*; p=%s", DKIM_PASS, "" },
	{ "v=DKIM1; k=ed25519; t=s; p=%s", DKIM_PASS, "" },
	{ "k=ed25519; v=DKIM1; p=%s", DKIM_PERMERROR, "a key record of another version" },
	{ "v=DKIM2; k=ed25519; p=%s", DKIM_PERMERROR, "a key record of another version" },
	{ "v=DKIM1; p=%s", DKIM_PERMERROR, "a key of another algorithm" },
	{ "v=DKIM1; k=rsa; p=%s", DKIM_PERMERROR, "a key of another algorithm" },
	{ "v=DKIM1; k=ed25519; h=sha1; p=%s", DKIM_PERMERROR, "the key forbids sha256" },
	{ "v=DKIM1; k=ed25519; h=; p=%s", DKIM_PERMERROR, "the key forbids sha256" },
	{ "v=DKIM1; k=ed25519; s=chat; p=%s", DKIM_PERMERROR, "the key isn't for mail" },
	{ "v=DKIM1; k=ed25519; p=", DKIM_PERMERROR, "the key is revoked" },
	{ "v=DKIM1; k=ed25519", DKIM_PERMERROR, "a key record without p=" },
	{ "v=DKIM1; k=ed25519; p=%s%%", DKIM_PERMERROR, "p= isn't base64" },
	{ "v=DKIM1; k=ed25519; p=AAAA", DKIM_PERMERROR, "p= isn't an Ed25519 key" },
	{ "v=DKIM1; k=ed25519; t; p=%s", DKIM_PERMERROR, "a tag without" },
	{ "v=DKIM1; k=ed25519; p=%s; p=%s", DKIM_PERMERROR, "a tag that is there twice" },
	{ "v=spf1 -all", DKIM_PERMERROR, "a key record of another version" },
	{ "", DKIM_PERMERROR, "no tags" },
};

static void public_part(char out[64], EVP_PKEY *key)
{
	struct buf record;

	buf_init(&record, 8192);
	key_record(&record, key, "");
	(void)snprintf(out, 64, "%s", strstr(buf_text(&record), "p=") + 2);
	buf_free(&record);
}

static void key_records(void **state)
{
	struct buf message, record;
	struct answers *a;
	char p[64];

	(void)state;
	public_part(p, ed);
	signed_mail(&message, ED, MAIL);
	for (size_t i = 0; i < COUNT(records); i++) {
		a = answers_new();
		buf_init(&record, 4096);
		for (const char *c = records[i].record; *c; c++) {
			bool key = c[0] == '%' && c[1] == 's';

			assert_int_equal(key ? buf_add_str(&record, p)
			                     : buf_add_byte(&record, (uint8_t)*c),
			                 RC_OK);
			c += key;
		}
		answer_text(a, NAME, buf_text(&record));
		expect(records[i].record, buf_slice(&message), a, records[i].want, records[i].why);
		buf_free(&record);
		answers_free(&a);
	}
	buf_free(&message);
}

static void strict_keys_and_test_keys(void **state)
{
	struct answers *a = key_there(ed, "t=y:s; ");
	struct buf message;
	struct dkim *d;

	(void)state;
	signed_mail(&message, ED " i=ann@mail.shop.example;", MAIL);
	expect("t=s", buf_slice(&message), a, DKIM_PERMERROR, "i= is below d=");
	buf_free(&message);
	signed_mail(&message, ED " i=ann@shop.example;", MAIL);
	d = dkim_of(buf_slice(&message), a, TEST_NOW);
	assert_int_equal(dkim_at(d, 0)->result, DKIM_PASS);
	assert_true(dkim_at(d, 0)->testing);
	EXPECT_SLICE("i", dkim_at(d, 0)->identity, "ann@shop.example");
	dkim_free(&d);
	buf_free(&message);
	answers_free(&a);
}

static void several_records(void **state)
{
	struct buf one, two, message;
	struct answers *a;
	EVP_PKEY *other = make_key(0);

	(void)state;
	buf_init(&one, 8192);
	buf_init(&two, 8192);
	key_record(&one, rsa, "");
	key_record(&two, ed, "");
	signed_mail(&message, ED, MAIL);
	for (unsigned i = 0; i < 3; i++) {
		struct dns_record several[3] = { { .text = slice_str("v=spf1 -all") },
			                         { .text = buf_slice(&one) },
			                         { .text = buf_slice(&two) } };
		const struct dns_answer answer = { DNS_RECORDS, false, several, 3 - (i == 2) };

		if (i == 1) {
			several[0] = several[2];
			several[2].text = slice_str("google-site-verification=x");
		}
		a = answers_new();
		answers_put(a, DNS_TXT, slice_str(NAME), &answer);
		expect("several", buf_slice(&message), a, i < 2 ? DKIM_PASS : DKIM_PERMERROR,
		       i < 2 ? "" : "a key of another algorithm");
		answers_free(&a);
	}
	EVP_PKEY_free(other);
	buf_free(&one);
	buf_free(&two);
	buf_free(&message);
}

static void put_der(struct buf *out, uint8_t kind, struct slice content)
{
	const uint8_t head[] = { kind, 0x82, (uint8_t)(content.len >> 8), (uint8_t)content.len };

	assert_int_equal(buf_add(out, slice_of(head, 4)), RC_OK);
	assert_int_equal(buf_add(out, content), RC_OK);
}

static void put_number(struct buf *out, BIGNUM *n)
{
	uint8_t raw[4096] = { 0 };

	put_der(out, 0x02, slice_of(raw, 1 + (size_t)BN_bn2bin(n, raw + 1)));
	BN_free(n);
}

/* A SubjectPublicKeyInfo, or an RSAPublicKey alone, of a modulus that is nothing but long. */
static void rsa_der(struct buf *out, size_t bits, const char *exponent_hex, bool bare)
{
	static const char oid[] = "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
	struct buf b[4];
	BIGNUM *n = BN_new();
	BIGNUM *e = NULL;

	for (size_t i = 0; i < COUNT(b); i++)
		buf_init(&b[i], 8192);
	assert_true(BN_set_bit(n, (int)bits - 1) && BN_set_bit(n, 0) &&
	            BN_hex2bn(&e, exponent_hex));
	put_number(&b[0], n);
	put_number(&b[0], e);
	assert_int_equal(buf_add_byte(&b[1], 0), RC_OK);
	put_der(&b[1], 0x30, buf_slice(&b[0])); /* RSAPublicKey, behind the count of unused bits */
	assert_int_equal(buf_add(&b[2], slice_of(oid, sizeof(oid) - 1)), RC_OK);
	put_der(&b[2], 0x03, buf_slice(&b[1]));
	put_der(&b[3], 0x30, buf_slice(&b[2]));
	put_text(out, "v=DKIM1; p=");
	assert_int_equal(
	        base64_encode(out, bare ? slice_from(buf_slice(&b[1]), 1) : buf_slice(&b[3])),
	        RC_OK);
	for (size_t i = 0; i < COUNT(b); i++)
		buf_free(&b[i]);
}

static void sizes_of_rsa_keys(void **state)
{
	static const struct {
		size_t bits;
		const char *e;
		const char *why; /* NULL: it is taken */
	} keys[] = {
		{ 1024, "010001", NULL },
		{ 1023, "010001", "an RSA key of 1023 bits: RFC 8301" },
		{ 512, "010001", "an RSA key of 512 bits: RFC 8301" },
		{ 4096, "010001", NULL },
		{ 4097, "010001", "an RSA key of 4097 bits; those above" },
		{ 16384, "010001", "an RSA key of 16384 bits; those above" },
		{ 2048, "03", NULL },
		{ 2048, "FFFFFFFFFFFFFFFF", NULL },
		{ 2048, "01FFFFFFFFFFFFFFFF", "an RSA key with an impossible" },
		{ 2048, "01", "an RSA key with an impossible" },
		{ 2048, "010000", "an RSA key with an impossible" },
	};
	struct dkim_key k;
	struct buf record;
	struct err e;

	(void)state;
	for (size_t i = 0; i < 2 * COUNT(keys); i++) {
		const char *why = keys[i / 2].why;
		enum rc rc;

		buf_init(&record, 8192);
		rsa_der(&record, keys[i / 2].bits, keys[i / 2].e, i & 1);
		rc = dkim_key_read(&k, buf_slice(&record), DKIM_RSA_SHA256, &e);
		if (rc != (why ? RC_INVALID : RC_OK) ||
		    (why && strncmp(e.text, why, strlen(why)) != 0))
			fail_msg("%zu bits, e=%s: %s", keys[i / 2].bits, keys[i / 2].e,
			         rc == RC_OK ? "taken" : e.text);
		assert_int_equal(k.bits, keys[i / 2].bits);
		dkim_key_free(&k);
		buf_free(&record);
	}
}

/* Every prefix and every flipped byte of a key is read without harm, and none but those of the
 * numbers is taken. */
static void odd_der(void **state)
{
	struct buf der, text;
	uint8_t raw[600];
	uint8_t *end = raw;
	size_t len = (size_t)i2d_PUBKEY(rsa, &end);
	struct dkim_key k;
	unsigned taken = 0;

	(void)state;
	for (size_t i = 0; i < 2 * len; i++) {
		buf_init(&der, 600);
		buf_init(&text, 2000);
		assert_int_equal(buf_add(&der, slice_of(raw, i < len ? i : len)), RC_OK);
		if (i >= len)
			der.at[i - len] ^= 1;
		put_text(&text, "p=");
		assert_int_equal(base64_encode(&text, buf_slice(&der)), RC_OK);
		if (dkim_key_read(&k, buf_slice(&text), DKIM_RSA_SHA256, NULL) == RC_OK) {
			assert_true(i >= len + 31);
			taken++;
		}
		dkim_key_free(&k);
		buf_free(&der);
		buf_free(&text);
	}
	assert_true(taken > 200);
}

/* ---- answers that are lacking ---- */

static void what_dns_says(void **state)
{
	struct dns_question q;
	struct answers *a = answers_new();
	struct raw_message m;
	struct buf message;
	struct dkim *d;

	(void)state;
	signed_mail(&message, ED, MAIL);
	assert_int_equal(raw_read(&m, buf_slice(&message), NULL), RC_OK);
	d = dkim_new(&m, TEST_NOW);
	raw_free(&m);
	assert_int_equal(dkim_check(d, a), RC_AGAIN);
	assert_int_equal(dkim_best(d), DKIM_TEMPERROR);
	assert_true(answers_wanted(a, &q) && q.type == DNS_TXT);
	assert_string_equal(q.name, NAME);
	assert_false(answers_wanted(a, &q));
	answer_key(a, NAME, ed, "");
	assert_int_equal(dkim_check(d, a), RC_OK);
	assert_int_equal(dkim_best(d), DKIM_PASS);
	assert_int_equal(dkim_check(d, a), RC_OK);
	assert_int_equal(dkim_best(d), DKIM_PASS);
	dkim_free(&d);
	answers_free(&a);
	for (unsigned i = 0; i < 3; i++) {
		static const enum dns_status status[] = { DNS_NO_DATA, DNS_NO_NAME, DNS_FAILED };

		a = answers_new();
		answer_none(a, NAME, status[i]);
		expect("dns", buf_slice(&message), a, i < 2 ? DKIM_PERMERROR : DKIM_TEMPERROR,
		       i < 2 ? "no key in DNS" : "no answer from DNS");
		answers_free(&a);
	}
	buf_free(&message);
}

/* A body that was changed costs no question. */
static void no_question_for_what_failed(void **state)
{
	struct answers *a = answers_new();
	struct buf message;

	(void)state;
	signed_mail(&message, ED, MAIL);
	put_text(&message, "more\r\n");
	expect("changed", buf_slice(&message), a, DKIM_FAIL, "the body");
	buf_free(&message);
	answers_free(&a);
}

/* ---- many ---- */

static void many_signatures(void **state)
{
	struct answers *a = key_there(ed, "");
	struct buf good, message;
	struct dkim *d;

	(void)state;
	signed_mail(&good, ED, MAIL);
	for (unsigned before = 0; before < 25; before++) {
		buf_init(&message, 1 << 20);
		for (unsigned i = 0; i < before; i++)
			put_text(&message, "DKIM-Signature: nothing\r\n");
		assert_int_equal(buf_add(&message, buf_slice(&good)), RC_OK);
		d = dkim_of(buf_slice(&message), a, TEST_NOW);
		assert_int_equal(dkim_count(d), MIN_OF(before + 1, (unsigned)DKIM_REPORTED));
		assert_int_equal(dkim_best(d), before < DKIM_SIGNATURES ? DKIM_PASS : DKIM_NEUTRAL);
		for (size_t i = DKIM_SIGNATURES; i < dkim_count(d); i++)
			assert_int_equal(dkim_at(d, i)->result, DKIM_UNCHECKED);
		dkim_free(&d);
		buf_free(&message);
	}
	buf_free(&good);
	answers_free(&a);
}

/* From from the bottom: one added above isn't signed unless h= has it once more. */
static void fields_are_taken_from_the_bottom(void **state)
{
	static const char once[] =
	        "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=shop.example; s=s1; h=from:to;";
	struct answers *a = key_there(ed, "");
	struct buf message, changed;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		bool above = i & 1;
		const char *tags = i & 2 ? ED : once;
		const char *head;

		signed_mail(&message, tags, MAIL);
		buf_init(&changed, 65536);
		head = strstr(buf_text(&message), above ? "Received:" : "X-Other:");
		assert_int_equal(buf_add(&changed,
		                         slice_of(message.at, (size_t)(head - buf_text(&message)))),
		                 RC_OK);
		put_text(&changed, "From: evil@other.example\r\n");
		put_text(&changed, head);
		expect(tags, buf_slice(&changed), a, i == 1 ? DKIM_PASS : DKIM_FAIL, "");
		buf_free(&changed);
		buf_free(&message);
	}
	answers_free(&a);
}

/* h= with 200,000 names, 9,000 fields of one name: the time is that of sorting and searching. */
static void hostile_headers(void **state)
{
	struct answers *a = key_there(ed, "");
	struct buf tags, message, mail;

	(void)state;
	buf_init(&tags, 1 << 20);
	buf_init(&mail, 1 << 21);
	put_text(&tags, "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=shop.example; s=s1; h=from");
	for (unsigned i = 0; i < 200000; i++)
		put_text(&tags, i % 2 ? ":a" : ":b");
	put_text(&tags, ";");
	for (unsigned i = 0; i < 9000; i++)
		put_text(&mail, "a: 1\r\n");
	put_text(&mail, MAIL);
	signed_mail(&message, buf_text(&tags), buf_text(&mail));
	expect("h=", buf_slice(&message), a, DKIM_PASS, "");
	buf_free(&message);
	buf_clear(&tags);
	for (unsigned i = 0; i < 100000; i++)
		assert_int_equal(buf_addf(&tags, "t%u=;", i), RC_OK);
	signed_mail(&message, buf_text(&tags), MAIL);
	expect("tags", buf_slice(&message), a, DKIM_NEUTRAL, "too many tags");
	buf_free(&message);
	buf_free(&tags);
	buf_free(&mail);
	answers_free(&a);
}

static void words(void **state)
{
	static const char *const want[] = { "none",    "pass",      "fail",      "policy",
		                            "neutral", "temperror", "permerror", "unchecked" };

	(void)state;
	for (unsigned i = 0; i < COUNT(want); i++)
		assert_string_equal(dkim_word((enum dkim_result)i), want[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_of_rfc_8463),
		cmocka_unit_test(all_forms_and_every_byte),
		cmocka_unit_test(what_relaxed_forgives),
		cmocka_unit_test(signatures_that_are_wrong),
		cmocka_unit_test(other_letters),
		cmocka_unit_test(values_that_are_wrong),
		cmocka_unit_test(blanks_around_the_signature),
		cmocka_unit_test(length_tags),
		cmocka_unit_test(key_records),
		cmocka_unit_test(strict_keys_and_test_keys),
		cmocka_unit_test(several_records),
		cmocka_unit_test(sizes_of_rsa_keys),
		cmocka_unit_test(odd_der),
		cmocka_unit_test(what_dns_says),
		cmocka_unit_test(no_question_for_what_failed),
		cmocka_unit_test(many_signatures),
		cmocka_unit_test(fields_are_taken_from_the_bottom),
		cmocka_unit_test(hostile_headers),
		cmocka_unit_test(words),
	};

	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
