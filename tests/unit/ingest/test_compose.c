#include "ingest/action/compose.h"

#include "ingest/verdict/arc.h"
#include "tests/unit/ingest/quoted.h"
#include "tests/unit/store/scratch.h"
#include "tests/unit/verdict/signing.h"

#define INSTANCE "k7q2w9x4b1n8m3z6"
#define MAIL                                                                                       \
	"From: Ann <ann@shop.example>\r\n"                                                         \
	"To: sales@corp.example\r\n"                                                               \
	"Subject: one\r\n"                                                                         \
	"\r\n"                                                                                     \
	"Hello\r\n"
#define RECEIPT                                                                                    \
	"{'v':1,'mail_from':'ann@shop.example','rcpt':[{'to':'sales@corp.example'}],"              \
	"'helo':'mx.shop.example','esmtp':true,'ip':'192.0.2.7'}"
#define AUTHED "{'auth':'i-1','helo':'mx.shop.example','esmtp':true,'ip':'192.0.2.7'}"

static EVP_PKEY *rsa, *ed;
static const int64_t received = INT64_C(1772442900123); /* Mon, 02 Mar 2026 09:15:00 */

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

static struct mail mail_of(const char *receipt, const char *verdicts)
{
	char *text = quoted_text(receipt);
	struct message_id id = id_floor(received);
	struct mail m;
	struct err e;

	EXPECT_OK(mail_read(&m, &id, received, slice_str(text), false, &e), &e);
	if (verdicts)
		mail_set_verdicts(&m, quoted(verdicts));
	free(text);
	return m;
}

static struct compose compose_of(const struct mail *m, struct slice raw)
{
	return (struct compose) { .mail = m,
		                  .raw = raw,
		                  .hostname = "mm.test",
		                  .instance = INSTANCE,
		                  .recipient = "sales@corp.example",
		                  .trace = true,
		                  .now_ms = TEST_NOW * 1000 };
}

static enum rc composed(struct buf *out, const struct compose *c, struct err *e)
{
	struct compose_cut cuts[COMPOSE_CUTS];
	size_t count = 0, at = 0;
	enum rc rc;

	buf_init(out, 8 << 20);
	rc = compose_front(c, out, cuts, &count, e);
	for (size_t i = 0; i < count; i++) {
		assert_true(cuts[i].from >= at && cuts[i].to > cuts[i].from);
		assert_int_equal(buf_add(out, slice_part(c->raw, at, cuts[i].from - at)), RC_OK);
		at = cuts[i].to;
	}
	if (rc == RC_OK)
		assert_int_equal(buf_add(out, slice_from(c->raw, at)), RC_OK);
	else
		assert_int_equal(out->len, 0);
	return rc;
}

static void expect(const struct compose *c, const char *want)
{
	struct buf out;
	struct err e;

	EXPECT_OK(composed(&out, c, &e), &e);
	EXPECT_SLICE("composed", buf_slice(&out), want);
	buf_free(&out);
}

/* ---- Received ---- */

#define DATE "Mon, 02 Mar 2026 09:15:00 +0000"

static void received_says_how_it_came(void **state)
{
	static const struct {
		const char *more;
		const char *recipient;
		const char *from;
		const char *with;
		const char *end;
	} cases[] = {
		{ "'helo':'mx.shop.example','esmtp':true,'ip':'192.0.2.7'", "sales@corp.example",
		  "mx.shop.example ([192.0.2.7]) by", "ESMTP", "for <sales@corp.example>; " DATE },
		{ "'helo':'x','esmtp':false,'ip':'2001:db8::1'", NULL, "x ([IPv6:2001:db8::1]) by",
		  "SMTP", "; " DATE },
		{ "'helo':'[192.0.2.9]','esmtp':true,'ip':'192.0.2.7','tls':{'version':'TLSv1.3'}",
		  NULL, "[192.0.2.9] ([192.0.2.7]) by", "ESMTPS", "; " DATE },
		{ "'helo':'x','esmtp':true,'auth':'i-1','ip':'192.0.2.7'", NULL,
		  "x ([192.0.2.7]) by", "ESMTPA", "; " DATE },
		{ "'helo':'x','esmtp':true,'auth':'i-1','ip':'192.0.2.7','tls':{}", NULL,
		  "x ([192.0.2.7]) by", "ESMTPSA", "; " DATE },
		{ "'helo':'x','esmtp':true,'smtputf8':true,'ip':'192.0.2.7','tls':{}", NULL,
		  "x ([192.0.2.7]) by", "UTF8SMTPS", "; " DATE },
		/* what is no name is a comment, and can't leave it */
		{ "'helo':'a b)c\\\\(\\r\\nX: y','esmtp':true,'ip':'192.0.2.7'", NULL,
		  "[192.0.2.7] ([192.0.2.7]) (helo a?b?c????X:?y) by", "ESMTP", "; " DATE },
		{ "'helo':'\xc3\xb6.example','esmtp':true,'ip':'nowhere'", NULL,
		  "unknown (helo ??.example) by", "ESMTP", "; " DATE },
		{ "'ip':5", NULL, "unknown by", "SMTP", "; " DATE },
		/* an address that isn't one, or not in ASCII, is told by the envelope alone */
		{ "'helo':'x','esmtp':true,'ip':'192.0.2.7'", "a@b\r\nX: y", "x ([192.0.2.7]) by",
		  "ESMTP", "; " DATE },
		{ "'helo':'x','esmtp':true,'ip':'192.0.2.7'", "\xc3\xb6@corp.example",
		  "x ([192.0.2.7]) by", "ESMTP", "; " DATE },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char receipt[400], want[400];
		struct mail m;
		struct compose c;
		struct raw_message r;
		struct buf out, line;
		struct err e;

		(void)snprintf(receipt, sizeof(receipt), "{'mail_from':'','rcpt':[],%s}",
		               cases[i].more);
		m = mail_of(receipt, NULL);
		c = compose_of(&m, slice_str(MAIL));
		c.recipient = cases[i].recipient;
		EXPECT_OK(composed(&out, &c, &e), &e);
		assert_int_equal(raw_read(&r, buf_slice(&out), &e), RC_OK);
		assert_int_equal(r.count, 4);
		buf_init(&line, 4096);
		for (size_t n = 0; n < r.fields[0].whole.len; n++)
			if (r.fields[0].whole.at[n] != '\r' && r.fields[0].whole.at[n] != '\n')
				assert_int_equal(buf_add_byte(&line, r.fields[0].whole.at[n]),
				                 RC_OK);
		(void)snprintf(want, sizeof(want),
		               "Received: from %s mm.test (mm " INSTANCE ") with %s id ",
		               cases[i].from, cases[i].with);
		if (!slice_starts_nocase(buf_slice(&line), slice_str(want)) ||
		    !slice_ends_nocase(buf_slice(&line), slice_str(cases[i].end)))
			fail_msg("%zu: got \"%s\", want \"%s\" and \"%s\"", i, buf_text(&line),
			         want, cases[i].end);
		buf_free(&line);
		raw_free(&r);
		buf_free(&out);
		mail_free(&m);
	}
}

/* ---- what is in front, and what is left out ---- */

static void in_the_order_of_the_journey(void **state)
{
	json_t *headers = quoted("[{'name':'X-B','value':'2'},{'name':'X-A','value':'1'}]");
	struct mail m = mail_of(RECEIPT, "{'spf':{'result':'pass','domain':'shop.example'},"
	                                 "'dmarc':{'result':'pass','asks':'NONE'}}");
	struct compose c = compose_of(&m, slice_str(MAIL));
	char want[2000];
	char id[ID_TEXT + 1];

	(void)state;
	id_format(id, &m.id);
	c.headers = headers;
	(void)snprintf(want, sizeof(want),
	               "X-B: 2\r\nX-A: 1\r\n"
	               "Authentication-Results: mm.test; spf=pass smtp.mailfrom=shop.example;\r\n"
	               " dmarc=pass policy.dmarc=none header.from=shop.example\r\n"
	               "Received: from mx.shop.example ([192.0.2.7]) by mm.test (mm " INSTANCE
	               ")\r\n"
	               " with ESMTP id %s for <sales@corp.example>;\r\n " DATE "\r\n" MAIL,
	               id);
	expect(&c, want);
	c.trace = false;
	expect(&c, "X-B: 2\r\nX-A: 1\r\n" MAIL);
	c.headers = NULL;
	expect(&c, MAIL);
	json_decref(headers);
	mail_free(&m);
}

static void headers_of_rules(void **state)
{
	static const struct {
		const char *name, *value;
		const char *want; /* NULL: refused */
	} cases[] = {
		{ "X-A", "b", "X-A: b\r\n" },
		{ "x-a", " two  blanks ", "x-a: two  blanks\r\n" },
		{ "X-A", "", "X-A:\r\n" },
		{ "X-A", "a\r\nEvil: b", "X-A: =?UTF-8?B?YT8/RXZpbDogYg==?=\r\n" },
		{ "X-A", "a\r\n", "X-A: a\r\n" },
		{ "X-A", "\xc3\xb6", "X-A: =?UTF-8?B?w7Y=?=\r\n" },
		{ "X-A", "0123456789012345678901234567890123456789\xe6\x9d\xb1\xe4\xba\xac",
		  "X-A: =?UTF-8?B?MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OQ==?=\r\n"
		  " =?UTF-8?B?5p2x5Lqs?=\r\n" },
		{ "X-A",
		  "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789  0123456789",
		  "X-A: 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789\r\n"
		  "  0123456789\r\n" },
		{ "Subject", "b", NULL },
		{ "X-A: b\r\nX", "c", NULL },
		{ "X-", "c", NULL },
		{ "", "c", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		json_t *headers = json_array();
		json_t *one = json_object();
		struct compose c = { .raw = slice_str(MAIL), .hostname = "mm.test" };
		struct buf out;
		struct err e;
		enum rc rc;

		json_put_text(one, "name", slice_str(cases[i].name));
		json_put_text(one, "value", slice_str(cases[i].value));
		json_push(headers, one);
		c.headers = headers;
		rc = composed(&out, &c, &e);
		EXPECT(cases[i].value, rc == (cases[i].want ? RC_OK : RC_INVALID));
		if (cases[i].want)
			EXPECT_SLICE(cases[i].value,
			             slice_part(buf_slice(&out), 0, strlen(cases[i].want)),
			             cases[i].want);
		buf_free(&out);
		json_decref(headers);
	}
}

/* What the message says of itself in our name. */
static void forged_fields_are_left_out(void **state)
{
	static const struct {
		const char *raw, *want;
	} cases[] = {
		{ "Authentication-Results: mm.test; spf=pass\r\nA: 1\r\n\r\nb", "A: 1\r\n\r\nb" },
		{ "A: 1\r\nauthentication-results : MM.test\r\n ; none\r\nB: 2\r\n\r\nb",
		  "A: 1\r\nB: 2\r\n\r\nb" },
		{ "A: 1\r\nAuthentication-Results: mm.test; x=y\r\nAuthentication-Results: "
		  "mm.test\r\n",
		  "A: 1\r\n" },
		{ "A: 1\r\nAuthentication-Results: other.test; x=y\r\n\r\n", NULL },
		{ "A: 1\rAuthentication-Results: mm.test; x=y\r\nB: 2\r\n\r\n", "B: 2\r\n\r\n" },
		{ "A: 1\r b\r\r\rx:\rAuthentication-Results: m.test; x=y\r\nB: 2\r\n\r\n", NULL },
		{ "A: 1\r\n\r\nAuthentication-Results: mm.test; x=y\r\n", NULL },
	};
	struct mail m = mail_of(RECEIPT, NULL);

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct compose c = compose_of(&m, slice_str(cases[i].raw));
		struct slice want = slice_str(cases[i].want ? cases[i].want : cases[i].raw);
		struct buf out;
		struct err e;

		EXPECT_OK(composed(&out, &c, &e), &e);
		assert_true(slice_starts_nocase(buf_slice(&out), slice_str("Received: from ")));
		EXPECT(cases[i].raw,
		       slice_equal(slice_from(buf_slice(&out), out.len - want.len), want));
		out.len -= want.len;
		EXPECT(cases[i].raw, slice_ends_nocase(buf_slice(&out), slice_str(DATE "\r\n")));
		assert_int_equal(slice_find(buf_slice(&out), slice_str("; spf=")), SIZE_MAX);
		buf_free(&out);
	}
	mail_free(&m);
}

static void too_many_to_cut(void **state)
{
	struct mail m = mail_of(RECEIPT, NULL);
	struct compose c = compose_of(&m, slice_of(NULL, 0));
	struct buf raw, out;
	struct err e;

	(void)state;
	for (unsigned apart = 0; apart < 2; apart++) {
		buf_init(&raw, 1 << 20);
		for (unsigned i = 0; i < COMPOSE_CUTS + 1; i++) {
			put_text(&raw, "Authentication-Results: mm.test; none\r\n");
			put_text(&raw, apart ? "A: 1\r\n" : "");
		}
		put_text(&raw, "\r\n");
		c.raw = buf_slice(&raw);
		assert_int_equal(composed(&out, &c, &e), apart ? RC_LIMIT : RC_OK);
		buf_free(&out);
		buf_free(&raw);
	}
	buf_init(&raw, 4 << 20);
	for (unsigned i = 0; i < 60000; i++)
		put_text(&raw, "A: 0123456789012345678901234567890123456789\r\n");
	c.raw = buf_slice(&raw);
	assert_int_equal(composed(&out, &c, &e), RC_LIMIT);
	buf_free(&out);
	c.trace = false; /* nothing is looked for, nothing is put in front */
	EXPECT_OK(composed(&out, &c, &e), &e);
	assert_int_equal(out.len, raw.len);
	buf_free(&out);
	buf_free(&raw);
	mail_free(&m);
}

/* What stands at the begin of a message can't go on with a field of ours, nor be one. */
static void odd_beginnings(void **state)
{
	static const struct {
		const char *raw;
		bool line;
	} cases[] = {
		{ " folded\r\nA: 1\r\n\r\nb", true },
		{ "\tfolded\r\n", true },
		{ "no header\r\n\r\nb", true },
		{ "no:header", false },
		{ "no :header", false },
		{ ": x\r\n", true },
		{ "\xc3\xb6: x\r\n", true },
		{ "From ann Mon Mar  2 09:15:00 2026\r\nA: 1\r\n\r\n", false },
		{ "\r\nbody", false },
		{ "\nbody", false },
		{ "", false },
		{ "x", true },
	};
	struct mail m = mail_of(RECEIPT, NULL);

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct compose c = compose_of(&m, slice_str(cases[i].raw));
		struct buf out;
		struct raw_message r;
		struct err e;
		char want[200];

		(void)snprintf(want, sizeof(want), DATE "\r\n%s%s", cases[i].line ? "\r\n" : "",
		               cases[i].raw);
		EXPECT_OK(composed(&out, &c, &e), &e);
		EXPECT(cases[i].raw, slice_ends_nocase(buf_slice(&out), slice_str(want)));
		assert_int_equal(raw_read(&r, buf_slice(&out), &e), RC_OK);
		assert_true(slice_ends_nocase(r.fields[0].whole, slice_str(DATE "\r\n")));
		raw_free(&r);
		buf_free(&out);
	}
	mail_free(&m);
}

static void in_memory(void **state)
{
	static const char raw[] = "A: 1\r\nAuthentication-Results: mm.test; none\r\nB: 2\r\n\r\nb";
	struct mail m = mail_of(RECEIPT, NULL);
	struct compose c = compose_of(&m, slice_str(raw));
	uint64_t bytes = 0;
	struct buf out;
	struct err e;
	char got[1000];
	int fd;

	(void)state;
	EXPECT_OK(composed(&out, &c, &e), &e);
	EXPECT_OK(compose_memory(&c, &fd, &bytes, &e), &e);
	assert_int_equal(bytes, out.len);
	assert_int_equal(lseek(fd, 0, SEEK_END), out.len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(read(fd, got, sizeof(got)), out.len);
	assert_memory_equal(got, out.at, out.len);
	assert_true(write(fd, "x", 1) < 0); /* sealed */
	(void)close(fd);
	buf_free(&out);
	c.headers = quoted("[{'name':'Subject','value':'x'}]");
	assert_int_equal(compose_memory(&c, &fd, &bytes, &e), RC_INVALID);
	assert_int_equal(fd, -1);
	json_decref((json_t *)(uintptr_t)c.headers);
	mail_free(&m);
}

static void circles(void **state)
{
	struct buf raw;

	(void)state;
	buf_init(&raw, 65536);
	for (unsigned i = 0; i < 50; i++) {
		assert_null(compose_loop(buf_slice(&raw), INSTANCE));
		put_text(&raw, i < 2 ? "received: by a\r\n\t(mm " INSTANCE ")\r\n"
		                     : "Received: by b (mm other)\r\n");
	}
	assert_string_equal(compose_loop(buf_slice(&raw), INSTANCE),
	                    "the message goes in a circle: 50 servers had it");
	buf_clear(&raw);
	put_text(&raw, "X: (mm " INSTANCE ")\r\nReceived: (mm " INSTANCE ")\r\n"
	               "Received: (mm " INSTANCE ")\r\n");
	assert_null(compose_loop(buf_slice(&raw), INSTANCE));
	put_text(&raw, "Received: (mm " INSTANCE ")\r\n");
	assert_string_equal(compose_loop(buf_slice(&raw), INSTANCE),
	                    "the message goes in a circle: it has been here three times");
	buf_free(&raw);
}

static void domains_of_from(void **state)
{
	static const struct {
		const char *raw, *want;
	} cases[] = {
		{ MAIL, "shop.example" },
		{ "From: a@Shop.Example, b@shop.example\r\n", "shop.example" },
		{ "From: a@m\xc3\xbcnchen.example\r\n", "xn--mnchen-3ya.example" },
		{ "From: a@shop.example, b@other.example\r\n", NULL },
		{ "From: a@shop.example\r\nFrom: b@shop.example\r\n", NULL },
		{ "To: a@shop.example\r\n", NULL },
		{ " folded\r\nFrom: a@shop.example\r\n", NULL },
		{ "", NULL },
	};
	char got[256];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		EXPECT(cases[i].raw, compose_from_domain(got, slice_str(cases[i].raw)) ==
		                             (cases[i].want != NULL));
		if (cases[i].want)
			assert_string_equal(got, cases[i].want);
	}
}

/* ---- signatures ---- */

static struct answers *all_keys(void)
{
	struct answers *a = answers_new();

	answer_key(a, "r1._domainkey.shop.example", rsa, "");
	answer_key(a, "e1._domainkey.shop.example", ed, "");
	answer_key(a, "r1._domainkey.mm.test", rsa, "");
	return a;
}

static enum dkim_result dkim_result_of(struct slice message, char why[160])
{
	struct answers *a = all_keys();
	struct dkim *d = dkim_of(message, a, TEST_NOW);
	enum dkim_result got = dkim_best(d);

	(void)snprintf(why, 160, "%s", dkim_count(d) ? dkim_at(d, 0)->why : "");
	dkim_free(&d);
	answers_free(&a);
	return got;
}

static enum arc_result arc_result_of(struct slice message, struct arc_answer *got)
{
	struct answers *a = all_keys();
	struct raw_message m;
	struct arc *arc;

	memset(got, 0, sizeof(*got));
	assert_int_equal(raw_read(&m, message, NULL), RC_OK);
	arc = arc_new(&m, TEST_NOW);
	raw_free(&m);
	assert_int_equal(arc_check(arc, a, got), RC_OK);
	arc_free(&arc);
	answers_free(&a);
	return got->result;
}

static const struct compose_key *dkim_key(bool with_rsa)
{
	static struct compose_key k;

	k = (struct compose_key) { "shop.example", with_rsa ? "r1" : "e1", with_rsa ? rsa : ed };
	return &k;
}

static const struct compose_key *arc_key(void)
{
	static struct compose_key k;

	k = (struct compose_key) { "mm.test", "r1", rsa };
	return &k;
}

/* Verified as sent, after fields were left out; and no other reading of a field can be added. */
static void signed_as_it_is_sent(void **state)
{
	static const char raw[] = "A: 1\r\nAuthentication-Results: mm.test; none\r\n" MAIL;
	static const char *const added[] = {
		"From: e@v.il\r\n", "Subject: two\r\n",     "To: e@v.il\r\n",
		"Cc: e@v.il\r\n",   "Reply-To: e@v.il\r\n", "Content-Type: text/html\r\n"
	};
	struct mail m = mail_of(AUTHED, "{'arc':{'result':'none'}}");
	struct compose c = compose_of(&m, slice_str(raw));
	struct buf out, more;
	struct err e;
	char why[160];

	(void)state;
	for (unsigned with_rsa = 0; with_rsa < 2; with_rsa++) {
		c.dkim = dkim_key(with_rsa);
		EXPECT_OK(composed(&out, &c, &e), &e);
		EXPECT(why, dkim_result_of(buf_slice(&out), why) == DKIM_PASS);
		assert_int_equal(slice_find(buf_slice(&out), slice_str(" i=")), SIZE_MAX);
		assert_true(slice_find(buf_slice(&out), slice_str("c=relaxed/relaxed;")) !=
		            SIZE_MAX);
		for (size_t i = 0; i < COUNT(added); i++) {
			buf_init(&more, 1 << 20);
			put_text(&more, added[i]);
			assert_int_equal(buf_add(&more, buf_slice(&out)), RC_OK);
			EXPECT(added[i], dkim_result_of(buf_slice(&more), why) == DKIM_FAIL);
			buf_free(&more);
		}
		/* what servers add on the way is no harm */
		buf_init(&more, 1 << 20);
		put_text(&more, "Received: by x\r\nDate: now\r\nMessage-ID: <a@b>\r\nX-A: 1\r\n");
		assert_int_equal(buf_add(&more, buf_slice(&out)), RC_OK);
		EXPECT(why, dkim_result_of(buf_slice(&more), why) == DKIM_PASS);
		buf_free(&more);
		buf_free(&out);
	}
	mail_free(&m);
}

/* Of these one is enough, and two are too many. */
static void none_beside_what_is_there(void **state)
{
	static const char *const fields[] = { "Date: now\r\n", "Message-ID: <a@b>\r\n",
		                              "MIME-Version: 1.0\r\n", "References: <a@b>\r\n" };
	struct mail m = mail_of(AUTHED, NULL);
	char raw[400], more[2000];
	struct buf out;
	struct err e;
	char why[160];

	(void)state;
	for (size_t i = 0; i < COUNT(fields); i++) {
		struct compose c;

		(void)snprintf(raw, sizeof(raw), "%s" MAIL, fields[i]);
		c = compose_of(&m, slice_str(raw));
		c.dkim = dkim_key(false);
		EXPECT_OK(composed(&out, &c, &e), &e);
		assert_int_equal(dkim_result_of(buf_slice(&out), why), DKIM_PASS);
		(void)snprintf(more, sizeof(more), "%s%s", fields[i], buf_text(&out));
		EXPECT(fields[i], dkim_result_of(slice_str(more), why) == DKIM_FAIL);
		buf_free(&out);
	}
	mail_free(&m);
}

static void sealed_by_what_was_kept(void **state)
{
	static const struct {
		const char *verdicts;
		bool sealed;
	} cases[] = {
		{ "{'arc':{'result':'none'}}", true },
		{ "{'arc':{'result':'pass'}}", false }, /* there is no chain */
		{ "{'arc':{'result':'temperror'}}", false },
		{ "{'arc':{'result':'fail'}}", true }, /* and is marked so */
		{ "{'arc':{}}", false },
		{ NULL, false },
	};
	struct arc_answer got;
	struct buf out, again;
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct mail m = mail_of(RECEIPT, cases[i].verdicts);
		struct compose c = compose_of(&m, slice_str(MAIL));

		c.arc = arc_key();
		EXPECT_OK(composed(&out, &c, &e), &e);
		assert_int_equal(slice_find(buf_slice(&out), slice_str("ARC-Seal:")),
		                 cases[i].sealed ? 0 : SIZE_MAX);
		mail_free(&m);
		if (i == 0) {
			assert_int_equal(arc_result_of(buf_slice(&out), &got), ARC_PASS);
			assert_int_equal(got.sets, 1);
			m = mail_of(AUTHED, "{'arc':{'result':'pass'}}");
			c = compose_of(&m, buf_slice(&out));
			c.arc = arc_key();
			c.dkim = dkim_key(true);
			EXPECT_OK(composed(&again, &c, &e), &e);
			assert_int_equal(arc_result_of(buf_slice(&again), &got), ARC_PASS);
			assert_int_equal(got.sets, 2);
			buf_free(&again);
			mail_free(&m);
		}
		buf_free(&out);
	}
}

/* What readers see in more than one way carries no signature. */
static void not_signed(void **state)
{
	static const char *const raws[] = {
		"From: a@b.example\nTo: c@d.example\r\n\r\nb\r\n",
		"From: a@b.example\r\n\r\nb\nc\r\n",
		"From: a@b.example\r\n\r\nb\rc\r\n",
		"From: a@b.example\r\njunk\r\nTo: c@d.example\r\n\r\nb\r\n",
		"From: a@b.example\r\nTo : c@d.example\r\n\r\nb\r\n",
		"From a Mon\r\nFrom: a@b.example\r\n\r\nb\r\n",
		"From: a@b.example\r\nSubject: \x0bx\r\n\r\nb\r\n",
	};
	struct mail m = mail_of(AUTHED, "{'arc':{'result':'none'}}");
	struct buf out;
	struct err e;
	char why[160];

	(void)state;
	for (size_t i = 0; i < COUNT(raws); i++) {
		struct compose c = compose_of(&m, slice_str(raws[i]));

		c.dkim = dkim_key(true);
		c.arc = arc_key();
		EXPECT_OK(composed(&out, &c, &e), &e);
		EXPECT(raws[i], dkim_result_of(buf_slice(&out), why) == DKIM_NONE);
		EXPECT(raws[i], slice_ends_nocase(buf_slice(&out), slice_str(raws[i])));
		buf_free(&out);
	}
	mail_free(&m);
}

/* What a stranger says of himself isn't signed. */
static void whose_word_it_is(void **state)
{
	static const struct {
		const char *receipt, *verdicts;
		bool is_signed;
	} cases[] = {
		{ "{}", NULL, false },
		{ "{'auth':''}", NULL, false },
		{ "{'auth':'i-1'}", NULL, true },
		{ "{'client_cert':{}}", NULL, true },
		{ "{}", "{'dmarc':{'result':'pass'}}", true },
		{ "{}", "{'dmarc':{'result':'none'},'spf':{'result':'fail'},'dkim':{}}", false },
		{ "{}",
		  "{'dkim':{'signatures':[{'result':'fail','domain':'shop.example'},"
		  "{'result':'pass','domain':'shop.example'}]}}",
		  true },
		{ "{}",
		  "{'dkim':{'signatures':[{'result':'fail','domain':'shop.example'},"
		  "{'result':'pass','domain':'evil.example'},"
		  "{'result':'pass','domain':'op.example'},"
		  "{'result':'pass','domain':'news.shop.example'},{'result':'pass'}]}}",
		  false },
		{ "{}", "{'spf':{'result':'pass','identity':'mailfrom','domain':'shop.example'}}",
		  true },
		{ "{}", "{'spf':{'result':'pass','identity':'helo','domain':'shop.example'}}",
		  false },
		{ "{}", "{'spf':{'result':'pass','identity':'mailfrom','domain':'b.example'}}",
		  false },
		{ "{}",
		  "{'spf':{'result':'softfail','identity':'mailfrom',"
		  "'domain':'shop.example'}}",
		  false },
	};
	struct buf out;
	struct err e;
	char why[160];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct mail m = mail_of(cases[i].receipt, cases[i].verdicts);
		struct compose c = compose_of(&m, slice_str(MAIL));
		enum dkim_result want = cases[i].is_signed ? DKIM_PASS : DKIM_NONE;

		c.dkim = dkim_key(false);
		EXPECT_OK(composed(&out, &c, &e), &e);
		EXPECT(cases[i].verdicts ? cases[i].verdicts : cases[i].receipt,
		       dkim_result_of(buf_slice(&out), why) == want);
		buf_free(&out);
		c.trace = false; /* a notice of our own */
		EXPECT_OK(composed(&out, &c, &e), &e);
		assert_int_equal(dkim_result_of(buf_slice(&out), why), DKIM_PASS);
		buf_free(&out);
		mail_free(&m);
	}
}

static void keys_that_are_none(void **state)
{
	EVP_PKEY *weak = make_key(512);
	const struct compose_key wrong[] = { { "shop.example", "r1", weak },
		                             { "shop", "r1", rsa },
		                             { "shop.example", "a;b", rsa },
		                             { "shop.example\r\nX: y", "r1", rsa } };
	struct mail m = mail_of(AUTHED, NULL);
	struct compose c = compose_of(&m, slice_str(MAIL));
	struct buf out;
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		c.dkim = &wrong[i];
		assert_int_equal(composed(&out, &c, &e), RC_INVALID);
		buf_free(&out);
	}
	EVP_PKEY_free(weak);
	mail_free(&m);
}

/* ---- anything at all ---- */

static const char *const pieces[] = {
	"From: a@shop.example",
	"\r\n",
	"\r\n",
	"\r\n ",
	":",
	" ",
	"\t",
	"\r",
	"\n",
	";",
	"\"",
	"(",
	")",
	"\\",
	"<",
	">",
	"Authentication-Results: mm.test; spf=pass",
	"Subject: ",
	"\xc3\xb6",
	"\xff",
	"=?utf-8?q?=0d=0a?=",
	"Received: (mm " INSTANCE ")",
	"DKIM-Signature: v=1; b=x",
	"ARC-Seal: i=1; cv=none",
	"b=",
	"mm.test",
	"@",
	"\r\n\r\n",
	"From ",
	"X-Evil: 1",
	"0123456789",
	"Content-Type: text/plain",
	"\x01",
	"=",
	"example",
};

static void random_text(struct buf *b, uint64_t *seed, unsigned most)
{
	for (unsigned n = (unsigned)(scratch_random(seed) % (most + 1)); n; n--)
		put_text(b, pieces[scratch_random(seed) % COUNT(pieces)]);
}

static json_t *random_json(uint64_t *seed)
{
	struct buf b;
	json_t *text;

	buf_init(&b, 65536);
	random_text(&b, seed, 6);
	text = json_of_slice(buf_slice(&b));
	buf_free(&b);
	return text;
}

static json_t *random_verdicts(uint64_t *seed)
{
	static const char *const words[] = { "pass", "fail", "none", "temperror" };
	static const char *const parts[] = { "spf", "dkim", "arc", "dmarc" };
	json_t *all = json_object();

	for (size_t i = 0; i < COUNT(parts); i++) {
		json_t *part = json_object();

		json_put_text(part, "result",
		              slice_str(words[scratch_random(seed) % COUNT(words)]));
		json_put(part, "domain", random_json(seed));
		json_put(part, "why", random_json(seed));
		json_put(all, parts[i], part);
	}
	json_put(json_object_get(all, "dkim"), "signatures",
	         json_pack("[{s:s,s:o,s:o}]", "result", "fail", "identity", random_json(seed), "b",
	                   random_json(seed)));
	return all;
}

static json_t *random_receipt(uint64_t *seed)
{
	json_t *o = json_object();

	json_put(o, "helo", random_json(seed));
	json_put(o, "mail_from", random_json(seed));
	json_put_text(o, "ip", slice_str("192.0.2.7"));
	json_put_bool(o, "esmtp", scratch_random(seed) % 2);
	if (scratch_random(seed) % 4)
		json_put_text(o, "auth", slice_str("i-1"));
	return o;
}

/* The names of fields in front: ours, in their order, and nothing else. */
static size_t expect_only_ours(struct slice front, uint64_t seed)
{
	static const char *const ours[] = { "DKIM-Signature",
		                            "ARC-Seal",
		                            "ARC-Message-Signature",
		                            "ARC-Authentication-Results",
		                            "X-Rule",
		                            "Authentication-Results",
		                            "Received" };
	struct raw_message m;
	size_t at = 0, count;

	assert_int_equal(raw_read(&m, front, NULL), RC_OK);
	for (size_t i = 0; i < m.count; i++) {
		while (at < COUNT(ours) && !raw_named(&m.fields[i], ours[at]))
			at++;
		if (at++ == COUNT(ours))
			fail_msg("seed %llu: a field more: %.*s", (unsigned long long)seed,
			         (int)m.fields[i].whole.len, (const char *)m.fields[i].whole.at);
	}
	for (size_t i = 0; i < front.len; i++)
		if (front.at[i] > 126 || (front.at[i] < ' ' && !strchr("\r\n\t", front.at[i])))
			fail_msg("seed %llu: byte %u", (unsigned long long)seed, front.at[i]);
	assert_int_equal(m.body.len, 0);
	count = m.count;
	raw_free(&m);
	return count;
}

/* One message of a seed of its own; returns whether it was signed. */
static bool try_one(uint64_t seed)
{
	uint64_t first = seed;
	json_t *headers = json_pack("[{s:s,s:o}]", "name", "X-Rule", "value", random_json(&seed));
	struct mail m = { .received_ms = received, .json = random_receipt(&seed) };
	struct compose_cut cuts[COMPOSE_CUTS];
	struct compose c;
	struct arc_answer arc;
	struct buf raw, recipient, front, out;
	struct err e;
	char why[160];
	size_t count;
	bool was_signed;

	m.receipt = m.json;
	m.helo = json_member_text(m.json, "helo");
	m.ip = json_member_text(m.json, "ip");
	mail_set_verdicts(&m, random_verdicts(&seed));
	buf_init(&raw, 1 << 20);
	buf_init(&recipient, 65536);
	buf_init(&front, 1 << 20);
	random_text(&raw, &seed, 30);
	random_text(&recipient, &seed, 4);
	c = compose_of(&m, buf_slice(&raw));
	c.headers = headers;
	c.recipient = buf_text(&recipient);
	c.dkim = dkim_key(scratch_random(&seed) % 4 == 0);
	c.arc = scratch_random(&seed) % 4 == 0 ? arc_key() : NULL;
	EXPECT_OK(compose_front(&c, &front, cuts, &count, &e), &e);
	if (front.len > 2 && slice_ends_nocase(buf_slice(&front), slice_str("\r\n\r\n")))
		front.len -= 2;
	(void)expect_only_ours(buf_slice(&front), first);
	EXPECT_OK(composed(&out, &c, &e), &e);
	was_signed = slice_starts_nocase(buf_slice(&front), slice_str("DKIM-Signature:"));
	if (was_signed && dkim_result_of(buf_slice(&out), why) != DKIM_PASS)
		fail_msg("seed %llu: %s\n%s", (unsigned long long)first, why, buf_text(&out));
	if (slice_find(buf_slice(&front), slice_str("\r\nARC-Seal: i=1;")) != SIZE_MAX &&
	    slice_equal(json_member_text(json_object_get(mail_verdicts(&m), "arc"), "result"),
	                slice_str("none")) &&
	    arc_result_of(buf_slice(&out), &arc) != ARC_PASS)
		fail_msg("seed %llu: %s", (unsigned long long)first, arc.why);
	buf_free(&raw);
	buf_free(&recipient);
	buf_free(&front);
	buf_free(&out);
	json_decref(headers);
	mail_free(&m);
	return was_signed;
}

static void nothing_gets_in(void **state)
{
	uint64_t seed = scratch_seed();
	unsigned tries = scratch_long() ? 200000 : 3000;
	unsigned signed_ones = 0;

	(void)state;
	for (unsigned i = 0; i < tries; i++)
		signed_ones += try_one(scratch_random(&seed) | 1);
	assert_true(signed_ones > tries / 20 && signed_ones < tries);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(received_says_how_it_came),
		cmocka_unit_test(in_the_order_of_the_journey),
		cmocka_unit_test(headers_of_rules),
		cmocka_unit_test(forged_fields_are_left_out),
		cmocka_unit_test(too_many_to_cut),
		cmocka_unit_test(odd_beginnings),
		cmocka_unit_test(in_memory),
		cmocka_unit_test(circles),
		cmocka_unit_test(domains_of_from),
		cmocka_unit_test(signed_as_it_is_sent),
		cmocka_unit_test(none_beside_what_is_there),
		cmocka_unit_test(sealed_by_what_was_kept),
		cmocka_unit_test(not_signed),
		cmocka_unit_test(whose_word_it_is),
		cmocka_unit_test(keys_that_are_none),
		cmocka_unit_test(nothing_gets_in),
	};

	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
