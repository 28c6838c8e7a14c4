#include "tests/unit/test.h"

#include <stdio.h>

#include "ingest/verdict/dmarc_record.h"
#include "tests/unit/verdict/zone.h"

/* What DKIM said, in place of ingest/verdict/dkim.c. */
struct dkim {
	struct dkim_signature at[4];
	size_t count;
};

size_t dkim_count(const struct dkim *d)
{
	return d->count;
}

const struct dkim_signature *dkim_at(const struct dkim *d, size_t i)
{
	return &d->at[i];
}

/* ---- records ---- */

static const struct {
	const char *text;
	bool is;
} versions[] = {
	{ "v=DMARC1", true },
	{ "v=DMARC1;", true },
	{ "v=DMARC1; p=none", true },
	{ "v = DMARC1 ; p=none", true },
	{ "V=DMARC1; p=none", true },
	{ "v=DMARC1\t;p=none", true },
	{ "v=dmarc1; p=none", false },
	{ "v=DMARC1x; p=none", false },
	{ "v=DMARC1 x; p=none", false },
	{ "v=DMARC2; p=none", false },
	{ " v=DMARC1; p=none", false },
	{ "p=none; v=DMARC1", false },
	{ ";v=DMARC1; p=none", false },
	{ "v=spf1 -all", false },
	{ "v", false },
	{ "", false },
};

static void a_record_begins_with_its_version(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(versions); i++)
		EXPECT(versions[i].text,
		       dmarc_record_is(slice_str(versions[i].text)) == versions[i].is);
}

#define N DMARC_ASKS_NONE
#define Q DMARC_ASKS_QUARANTINE
#define R DMARC_ASKS_REJECT

static const struct {
	const char *text;
	bool good;
	struct dmarc_record want;
} records[] = {
	{ "v=DMARC1; p=none", true, { N, N, false, false, 100 } },
	{ "v=DMARC1; p=quarantine", true, { Q, Q, false, false, 100 } },
	{ "v=DMARC1;p=reject;", true, { R, R, false, false, 100 } },
	{ "v=DMARC1; p=Reject; adkim=S; aspf=s", true, { R, R, true, true, 100 } },
	{ "v=DMARC1; p = reject ; sp = none ; pct = 20 ", true, { R, N, false, false, 20 } },
	{ "v=DMARC1; sp=quarantine; x=y; p=reject", true, { R, Q, false, false, 100 } },
	{ "v=DMARC1; p=reject; pct=0", true, { R, R, false, false, 0 } },
	/* wrong ones have their defaults */
	{ "v=DMARC1; p=reject; pct=101", true, { R, R, false, false, 100 } },
	{ "v=DMARC1; p=reject; pct=0100", true, { R, R, false, false, 100 } },
	{ "v=DMARC1; p=reject; pct=-1", true, { R, R, false, false, 100 } },
	{ "v=DMARC1; p=reject; pct=", true, { R, R, false, false, 100 } },
	{ "v=DMARC1; p=reject; adkim=strict; aspf=", true, { R, R, false, false, 100 } },
	{ "v=DMARC1; p=reject; adkim=s; adkim=s", true, { R, R, false, false, 100 } },
	{ "v=DMARC1; p=reject; pct=0; pct=0", true, { R, R, false, false, 100 } },
	{ "v=DMARC1; p=reject; tagonly; =value; ;;", true, { R, R, false, false, 100 } },
	{ "v=DMARC1; p=reject; rua=mailto:a@b.example,https://x", true, { R, R, 0, 0, 100 } },
	/* section 6.6.3: without a good p, or with a wrong sp */
	{ "v=DMARC1", false, { 0 } },
	{ "v=DMARC1; adkim=s", false, { 0 } },
	{ "v=DMARC1; p=", false, { 0 } },
	{ "v=DMARC1; p=block", false, { 0 } },
	{ "v=DMARC1; p=none; p=reject", false, { 0 } },
	{ "v=DMARC1; p=reject; sp=block", false, { 0 } },
	{ "v=DMARC1; p=reject; sp=none; sp=none", false, { 0 } },
	{ "v=DMARC1; rua=mailto:a@b.example", true, { N, N, false, false, 100 } },
	{ "v=DMARC1; p=block; rua=mailto:a@b.example!10m", true, { N, N, false, false, 100 } },
	{ "v=DMARC1; p=reject; sp=block; rua=x, mailto:a@b", true, { N, N, false, false, 100 } },
	{ "v=DMARC1; p=block; rua=mailto", false, { 0 } },
	{ "v=DMARC1; p=block; rua=:x", false, { 0 } },
	{ "v=DMARC1; p=block; rua=mailto:", false, { 0 } },
	{ "v=DMARC1; p=block; rua=mail to:a", false, { 0 } },
	{ "v=DMARC1; p=block; rua=", false, { 0 } },
	{ "v=DMARC1; p=block; rua=mailto:a@b; rua=mailto:a@b", false, { 0 } },
};

static void records_are_read_strictly(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(records); i++) {
		struct dmarc_record r;
		const char *why = dmarc_record_read(&r, slice_str(records[i].text));

		EXPECT(records[i].text, !why == records[i].good);
		if (why)
			continue;
		EXPECT(records[i].text, r.p == records[i].want.p && r.sp == records[i].want.sp);
		EXPECT(records[i].text, r.strict_dkim == records[i].want.strict_dkim &&
		                                r.strict_spf == records[i].want.strict_spf);
		EXPECT(records[i].text, r.pct == records[i].want.pct);
	}
}

/* ---- domains ---- */

static const struct {
	const char *domain;
	const char *organisation; /* NULL: none */
} organisations[] = {
	{ "example.com", "example.com" },
	{ "a.b.example.com", "example.com" },
	{ "A.Example.COM", "example.com" },
	{ "example.co.uk", "example.co.uk" },
	{ "x.example.co.uk", "example.co.uk" },
	{ "a.x.github.io", "x.github.io" },
	{ "x.unlisted", "x.unlisted" },
	{ "co.uk", NULL },
	{ "com", NULL },
	{ "unlisted", NULL },
	{ "", NULL },
	{ ".com", NULL },
	{ "a..com", NULL },
	{ "a.com.", NULL },
	{ "a b.com", NULL },
	{ "a\xc3\xa4.com", NULL },
	{ "0123456789012345678901234567890123456789012345678901234567890123.com", NULL },
};

static void organisational_domains(void **state)
{
	char found[256];

	(void)state;
	for (size_t i = 0; i < COUNT(organisations); i++) {
		bool is = dmarc_organisation(found, slice_str(organisations[i].domain));

		EXPECT(organisations[i].domain, is == (organisations[i].organisation != NULL));
		if (is)
			assert_string_equal(found, organisations[i].organisation);
	}
}

/* ---- messages ---- */

struct message {
	const char *name;
	const char *zone;
	const char *from; /* blanks between several */
	bool odd;
	enum spf_result spf;
	const char *spf_domain;
	enum dkim_result dkim[2];
	const char *dkim_domain[2];
	uint32_t sample;
	enum dmarc_result want;
	enum dmarc_policy policy;
	enum dmarc_policy asks;
	const char *domain;
};

#define SHOP            "_dmarc.shop.example TXT v=DMARC1; p=reject\n"
#define SUBS            "_dmarc.shop.example TXT v=DMARC1; p=reject; sp=quarantine\n"
#define BOTH_STRICT     "_dmarc.shop.example TXT v=DMARC1; p=reject; adkim=s; aspf=s\n"
#define HALF            "_dmarc.shop.example TXT v=DMARC1; p=reject; pct=50\n"
#define HALF_QUARANTINE "_dmarc.shop.example TXT v=DMARC1; p=quarantine; pct=50\n"

static const struct message messages[] = {
	{ "SPF aligns", SHOP, "shop.example", .spf = SPF_PASS, .spf_domain = "shop.example",
	  .want = DMARC_PASS, .policy = R, .asks = N, .domain = "shop.example" },
	{ "SPF aligns relaxed", SHOP, "shop.example", .spf = SPF_PASS,
	  .spf_domain = "bounce.shop.example", .want = DMARC_PASS, .policy = R, .asks = N,
	  .domain = "shop.example" },
	{ "SPF of another", SHOP, "shop.example", .spf = SPF_PASS, .spf_domain = "evil.example",
	  .want = DMARC_FAIL, .policy = R, .asks = R, .domain = "shop.example" },
	{ "a name that ends like it", SHOP, "shop.example", .spf = SPF_PASS,
	  .spf_domain = "evilshop.example", .want = DMARC_FAIL, .policy = R, .asks = R,
	  .domain = "shop.example" },
	{ "aligned, but no pass", SHOP, "shop.example", .spf = SPF_SOFTFAIL,
	  .spf_domain = "shop.example", .want = DMARC_FAIL, .policy = R, .asks = R,
	  .domain = "shop.example" },
	{ "DKIM aligns", SHOP, "shop.example", .dkim = { DKIM_PASS },
	  .dkim_domain = { "shop.example" }, .want = DMARC_PASS, .policy = R, .asks = N,
	  .domain = "shop.example" },
	{ "the second signature aligns", SHOP, "shop.example", .dkim = { DKIM_FAIL, DKIM_PASS },
	  .dkim_domain = { "shop.example", "mail.shop.example" }, .want = DMARC_PASS, .policy = R,
	  .asks = N, .domain = "shop.example" },
	{ "a partial signature is no pass", SHOP, "shop.example", .dkim = { DKIM_POLICY },
	  .dkim_domain = { "shop.example" }, .want = DMARC_FAIL, .policy = R, .asks = R,
	  .domain = "shop.example" },
	{ "strict: exactly", BOTH_STRICT, "shop.example", .dkim = { DKIM_PASS },
	  .dkim_domain = { "SHOP.example" }, .want = DMARC_PASS, .policy = R, .asks = N,
	  .domain = "shop.example" },
	{ "strict: not below", BOTH_STRICT, "shop.example", .spf = SPF_PASS,
	  .spf_domain = "x.shop.example", .dkim = { DKIM_PASS },
	  .dkim_domain = { "x.shop.example" }, .want = DMARC_FAIL, .policy = R, .asks = R,
	  .domain = "shop.example" },
	{ "sp of the organisation", SUBS, "news.shop.example", .want = DMARC_FAIL, .policy = Q,
	  .asks = Q, .domain = "shop.example" },
	{ "p where there is no sp", SHOP, "a.b.shop.example", .want = DMARC_FAIL, .policy = R,
	  .asks = R, .domain = "shop.example" },
	{ "a sub-domain's own record", SUBS "_dmarc.news.shop.example TXT v=DMARC1; p=none\n",
	  "news.shop.example", .want = DMARC_FAIL, .policy = N, .asks = N,
	  .domain = "news.shop.example" },
	{ "sp isn't for the domain itself", SUBS, "shop.example", .want = DMARC_FAIL, .policy = R,
	  .asks = R, .domain = "shop.example" },
	{ "no record", "", "shop.example", .spf = SPF_PASS, .spf_domain = "shop.example",
	  .want = DMARC_NONE, .domain = "shop.example" },
	{ "texts that are none of ours",
	  SHOP "_dmarc.shop.example TXT v=spf1 -all\n_dmarc.shop.example TXT x\n", "shop.example",
	  .want = DMARC_FAIL, .policy = R, .asks = R, .domain = "shop.example" },
	{ "other texts at a sub-domain", SHOP "_dmarc.x.shop.example TXT hello\n", "x.shop.example",
	  .want = DMARC_FAIL, .policy = R, .asks = R, .domain = "shop.example" },
	{ "several records are none", SHOP SUBS, "shop.example", .want = DMARC_NONE,
	  .domain = "shop.example" },
	{ "several records end the search",
	  SHOP "_dmarc.x.shop.example TXT v=DMARC1; p=none\n"
	       "_dmarc.x.shop.example TXT v=DMARC1; p=quarantine\n",
	  "x.shop.example", .want = DMARC_NONE, .domain = "x.shop.example" },
	{ "a record without p, with rua",
	  "_dmarc.shop.example TXT v=DMARC1; p=x; rua=mailto:a@shop.example\n", "shop.example",
	  .want = DMARC_FAIL, .policy = N, .asks = N, .domain = "shop.example" },
	{ "a record without p", "_dmarc.shop.example TXT v=DMARC1; p=x\n", "shop.example",
	  .want = DMARC_NONE, .domain = "shop.example" },
	{ "in the sample", HALF, "shop.example", .sample = 49, .want = DMARC_FAIL, .policy = R,
	  .asks = R, .domain = "shop.example" },
	{ "outside of the sample", HALF, "shop.example", .sample = 50, .want = DMARC_FAIL,
	  .policy = R, .asks = Q, .domain = "shop.example" },
	{ "outside of it: quarantine", HALF_QUARANTINE, "shop.example", .sample = 99,
	  .want = DMARC_FAIL, .policy = Q, .asks = N, .domain = "shop.example" },
	{ "the record can't be had", "_dmarc.shop.example FAIL\n", "shop.example", .spf = SPF_PASS,
	  .spf_domain = "shop.example", .want = DMARC_TEMPERROR, .domain = "shop.example" },
	{ "nor that above", "_dmarc.shop.example FAIL\n", "x.shop.example", .want = DMARC_TEMPERROR,
	  .domain = "shop.example" },
	{ "a sub-domain's can't be had", SHOP "_dmarc.x.shop.example FAIL\n", "x.shop.example",
	  .want = DMARC_TEMPERROR, .domain = "x.shop.example" },
	{ "its own is there, that above isn't needed",
	  "_dmarc.shop.example FAIL\n_dmarc.x.shop.example TXT v=DMARC1; p=reject\n",
	  "x.shop.example", .want = DMARC_FAIL, .policy = R, .asks = R,
	  .domain = "x.shop.example" },
	{ "SPF might have aligned", SHOP, "shop.example", .spf = SPF_TEMPERROR,
	  .spf_domain = "shop.example", .want = DMARC_TEMPERROR, .policy = R, .asks = N,
	  .domain = "shop.example" },
	{ "DKIM might have aligned", SHOP, "x.shop.example", .dkim = { DKIM_TEMPERROR },
	  .dkim_domain = { "shop.example" }, .want = DMARC_TEMPERROR, .policy = R, .asks = N,
	  .domain = "shop.example" },
	{ "a forger's choice of a lame sub-domain", SHOP, "shop.example",
	  .dkim = { DKIM_TEMPERROR }, .dkim_domain = { "lame.shop.example" }, .want = DMARC_FAIL,
	  .policy = R, .asks = R, .domain = "shop.example" },
	{ "a temporary error of another", SHOP, "shop.example", .spf = SPF_TEMPERROR,
	  .spf_domain = "evil.example", .want = DMARC_FAIL, .policy = R, .asks = R,
	  .domain = "shop.example" },
	{ "a public suffix aligns with itself alone", "_dmarc.github.io TXT v=DMARC1; p=reject\n",
	  "github.io", .spf = SPF_PASS, .spf_domain = "x.github.io", .want = DMARC_FAIL,
	  .policy = R, .asks = R, .domain = "github.io" },
	{ "two customers of a public suffix", "_dmarc.a.github.io TXT v=DMARC1; p=reject\n",
	  "a.github.io", .spf = SPF_PASS, .spf_domain = "b.github.io", .want = DMARC_FAIL,
	  .policy = R, .asks = R, .domain = "a.github.io" },
	{ "several domains: the strictest", SHOP "_dmarc.b.example TXT v=DMARC1; p=none\n",
	  "b.example shop.example", .spf = SPF_PASS, .spf_domain = "b.example", .want = DMARC_FAIL,
	  .policy = R, .asks = R, .domain = "shop.example" },
	{ "several domains without policies", "", "a.example b.example", .spf = SPF_PASS,
	  .spf_domain = "a.example", .want = DMARC_FAIL, .domain = "a.example" },
	{ "one of several can't be had", "_dmarc.a.example FAIL\n", "a.example b.example",
	  .want = DMARC_TEMPERROR, .domain = "a.example" },
	{ "one of several can't be had, another rejects", SHOP "_dmarc.a.example FAIL\n",
	  "a.example shop.example", .want = DMARC_FAIL, .policy = R, .asks = R,
	  .domain = "shop.example" },
	{ "one of several can't be had, another quarantines",
	  "_dmarc.a.example FAIL\n_dmarc.b.example TXT v=DMARC1; p=quarantine\n",
	  "a.example b.example", .want = DMARC_FAIL, .policy = Q, .asks = Q,
	  .domain = "b.example" },
	{ "odd, though it would pass", SHOP, "shop.example", .odd = true, .spf = SPF_PASS,
	  .spf_domain = "shop.example", .want = DMARC_FAIL, .policy = R, .asks = R,
	  .domain = "shop.example" },
	{ "none", SHOP, "", .odd = true, .spf = SPF_PASS, .spf_domain = "shop.example",
	  .want = DMARC_FAIL, .domain = "" },
};

static size_t split(struct slice out[8], const char *text)
{
	struct slice rest = slice_str(text);
	size_t n = 0;

	while (rest.len)
		out[n++] = slice_cut(rest, ' ', &rest);
	return n;
}

static void check(const struct message *m, struct dmarc_answer *out)
{
	struct slice from[8];
	struct spf_answer spf = { .result = m->spf };
	struct dkim dkim = { .count = 0 };
	struct dmarc_question q = { .from_domains = from,
		                    .from_count = split(from, m->from),
		                    .from_odd = m->odd,
		                    .spf = &spf,
		                    .dkim = &dkim,
		                    .sample = m->sample };
	struct answers *a = answers_new();
	unsigned rounds = 0;

	(void)snprintf(spf.domain, sizeof(spf.domain), "%s", m->spf_domain ? m->spf_domain : "");
	for (size_t i = 0; i < 2 && m->dkim_domain[i]; i++)
		dkim.at[dkim.count++] = (struct dkim_signature) {
			.result = m->dkim[i],
			.domain = slice_str(m->dkim_domain[i]),
		};
	while (dmarc_check(&q, a, out) == RC_AGAIN) {
		EXPECT(m->name, zone_answer_all(a, slice_str(m->zone)) > 0);
		rounds++;
	}
	EXPECT(m->name, rounds <= 1); /* all is asked for together */
	answers_free(&a);
}

static void messages_are_judged(void **state)
{
	struct dmarc_answer got;

	(void)state;
	for (size_t i = 0; i < COUNT(messages); i++) {
		const struct message *m = &messages[i];

		check(m, &got);
		if (got.result != m->want || got.policy != m->policy ||
		    got.disposition != m->asks || strcmp(got.domain, m->domain) != 0)
			fail_msg("%s: %s, policy %s, asks %s, of %s (%s)", m->name,
			         dmarc_word(got.result), dmarc_policy_word(got.policy),
			         dmarc_policy_word(got.disposition), got.domain, got.why);
	}
}

static void too_many_domains_are_rejected(void **state)
{
	static char names[DMARC_FROM + 1][32];
	struct slice from[DMARC_FROM + 1];
	struct dmarc_question q = { .from_domains = from, .from_count = DMARC_FROM + 1 };
	struct dmarc_answer got;
	struct answers *a = answers_new();

	(void)state;
	for (size_t i = 0; i < COUNT(from); i++) {
		(void)snprintf(names[i], sizeof(names[i]), "d%zu.example", i);
		from[i] = slice_str(names[i]);
	}
	while (dmarc_check(&q, a, &got) == RC_AGAIN)
		assert_true(zone_answer_all(a, slice_str("")) > 0);
	assert_int_equal(got.result, DMARC_FAIL);
	assert_int_equal(got.disposition, DMARC_ASKS_REJECT);
	answers_free(&a);
}

/* Before SPF and DKIM are known, so that lookups go out with theirs. */
static void lookups_need_no_results(void **state)
{
	struct slice from = slice_str("a.shop.example");
	struct dmarc_question q = { .from_domains = &from, .from_count = 1 };
	struct dmarc_answer got;
	struct dns_question asked;
	struct answers *a = answers_new();

	(void)state;
	assert_int_equal(dmarc_check(&q, a, &got), RC_AGAIN);
	assert_true(answers_wanted(a, &asked));
	assert_string_equal(asked.name, "_dmarc.a.shop.example");
	assert_true(answers_wanted(a, &asked));
	assert_string_equal(asked.name, "_dmarc.shop.example");
	assert_false(answers_wanted(a, &asked));
	answers_free(&a);
}

static int start(void **state)
{
	(void)state;
	dmarc_init();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_begins_with_its_version),
		cmocka_unit_test(records_are_read_strictly),
		cmocka_unit_test(organisational_domains),
		cmocka_unit_test(messages_are_judged),
		cmocka_unit_test(too_many_domains_are_rejected),
		cmocka_unit_test(lookups_need_no_results),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
