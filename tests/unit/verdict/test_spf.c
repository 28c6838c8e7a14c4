#include "ingest/verdict/spf.h"

#include <stdio.h>

#include "ingest/verdict/spf_record.h"
#include "tests/unit/test.h"
#include "tests/unit/verdict/zone.h"

struct outcome {
	struct spf_answer answer;
	unsigned rounds;    /* of answers that lacked */
	unsigned questions; /* in all */
};

static struct spf_question question(const char *ip, const char *from, const char *helo)
{
	struct spf_question q = {
		.mail_from = slice_str(from),
		.helo = slice_str(helo),
		.receiver = slice_str("mx.test"),
		.now_ms = 1234567890123,
	};

	if (*ip)
		MUST(ip_parse(&q.client, slice_str(ip)));
	return q;
}

static struct outcome check(const struct spf_question *q, const char *zone)
{
	struct answers *a = answers_new();
	struct outcome o = { 0 };

	while (spf_check(q, a, &o.answer) == RC_AGAIN) {
		size_t n = zone_answer_all(a, slice_str(zone));

		assert_true(n > 0); /* else it would never end */
		o.rounds++;
		o.questions += (unsigned)n;
	}
	answers_free(&a);
	return o;
}

static struct outcome from(const char *ip, const char *zone)
{
	struct spf_question q = question(ip, "ann@d.example", "helo.example");

	return check(&q, zone);
}

static void expect_rows(const char *name, const char *ip, const char *zone, const char *want,
                        const char *why)
{
	struct outcome o = from(ip, zone);
	const char *got = spf_word(o.answer.result);

	if (strcmp(got, want) != 0)
		fail_msg("%s: got %s (%s), want %s", name, got, o.answer.why, want);
	if (why && strcmp(o.answer.why, why) != 0)
		fail_msg("%s: why \"%s\", want \"%s\"", name, o.answer.why, why);
}

#define V4 "192.0.2.1"
#define V6 "2001:db8::1"

/* The record of d.example, and what else is in DNS. */
static const struct {
	const char *record;
	const char *more;
	const char *ip;
	const char *want;
	const char *why; /* NULL: any */
} cases[] = {
	/* results */
	{ "all", "", V4, "pass", "all" },
	{ "+all", "", V4, "pass", "+all" },
	{ "-all", "", V4, "fail", "-all" },
	{ "~all", "", V4, "softfail", "~all" },
	{ "?all", "", V4, "neutral", "?all" },
	{ "", "", V4, "neutral", "nothing in the record of d.example matches" },
	{ "x=y", "", V4, "neutral", NULL },
	{ "-all all", "", V4, "fail", "-all" },
	{ "all moo", "", V4, "permerror", "the record of d.example is wrong at \"moo\"" },
	{ "a:\r\t.example", "", V4, "permerror",
	  "the record of d.example is wrong at \"a:?\?.example\"" },
	/* networks */
	{ "ip4:192.0.2.0/24 -all", "", V4, "pass", "ip4:192.0.2.0/24" },
	{ "ip4:192.0.2.2/30 -all", "", V4, "pass", NULL },
	{ "ip4:192.0.2.2/31 -all", "", V4, "fail", NULL },
	{ "ip4:192.0.2.2 -all", "", V4, "fail", NULL },
	{ "ip4:1.1.1.1/0 -all", "", V4, "pass", NULL },
	{ "ip4:1.1.1.1/0 -all", "", V6, "fail", NULL },
	{ "ip4:192.0.2.1 -all", "", "::ffff:192.0.2.1", "pass", NULL },
	{ "ip6:::/0 -all", "", V4, "fail", NULL },
	{ "ip6:::/0 -all", "", V6, "pass", NULL },
	{ "ip6:::ffff:192.0.2.1 -all", "", V4, "fail", NULL },
	{ "ip6:::ffff:0:0/96 -all", "", "::ffff:192.0.2.1", "fail", NULL },
	{ "ip6:::ffff:0:0/0 -all", "", V6, "pass", NULL },
	{ "ip6:2001:db8:8000::/33 -all", "", V6, "fail", NULL },
	{ "ip6:2001:db8:7fff::/33 -all", "", V6, "pass", NULL },
	/* a */
	{ "a -all", "d.example A 192.0.2.1\n", V4, "pass", "a" },
	{ "a -all", "d.example A 192.0.2.2\nd.example A 192.0.2.1\n", V4, "pass", NULL },
	{ "a -all", "d.example A 192.0.2.2\n", V4, "fail", NULL },
	{ "a/24 -all", "d.example A 192.0.2.2\n", V4, "pass", NULL },
	{ "a/24 -all", "d.example AAAA 2001:db8::2\n", V6, "fail", NULL },
	{ "a/24//64 -all", "d.example AAAA 2001:db8::2\n", V6, "pass", NULL },
	{ "a//0 -all", "d.example A 192.0.2.2\n", V4, "fail", NULL },
	{ "a/0 -all", "", V4, "fail", NULL },
	{ "a:x.example -all", "x.example A 192.0.2.1\n", V4, "pass", "a:x.example" },
	{ "a:x.example. -all", "x.example A 192.0.2.1\n", V4, "pass", NULL },
	{ "a:x..example -all", "", V4, "fail", NULL },
	{ "a:x.example all", "x.example FAIL\n", V4, "temperror", "DNS failed: A of x.example" },
	{ "a:%{l}.x -all", "ann.x A 192.0.2.1\n", V4, "pass", NULL },
	/* mx */
	{ "mx -all", "d.example MX 10 m.example\nm.example A 192.0.2.1\n", V4, "pass", "mx" },
	{ "mx -all", "d.example MX 10 m.example\nm.example AAAA 2001:db8::1\n", V6, "pass", NULL },
	{ "mx//64 -all", "d.example MX 10 m.example\nm.example AAAA 2001:db8::2\n", V6, "pass",
	  NULL },
	{ "mx -all", "d.example MX 0 .\n", V4, "fail", NULL },
	{ "mx -all", "d.example A 192.0.2.1\n", V4, "fail", NULL }, /* no MX is made up (5.4) */
	{ "mx all", "d.example MX 1 m.example\nm.example FAIL\n", V4, "temperror", NULL },
	{ "mx -all",
	  "d.example MX 2 n.example\nn.example FAIL\nd.example MX 1 m.example\nm.example A "
	  "192.0.2.1\n",
	  V4, "pass", NULL }, /* in their order */
	{ "mx:x.example -all", "x.example MX 1 m.example\nm.example A 192.0.2.1\n", V4, "pass",
	  NULL },
	{ "mx all", "d.example FAIL\n", V4, "temperror", NULL },
	/* exists: A, whatever the client has */
	{ "exists:x.example -all", "x.example A 127.0.0.2\n", V4, "pass", NULL },
	{ "exists:x.example -all", "x.example A 127.0.0.2\n", V6, "pass", NULL },
	{ "exists:x.example -all", "x.example AAAA ::2\n", V6, "fail", NULL },
	{ "exists:x.example all", "x.example FAIL\n", V4, "temperror", NULL },
	{ "exists:%{ir}.%{v}.x -all", "1.2.0.192.in-addr.x A 127.0.0.2\n", V4, "pass", NULL },
	/* ptr */
	{ "ptr -all", "1.2.0.192.in-addr.arpa PTR M.d.Example.\nm.d.example A 192.0.2.1\n", V4,
	  "pass", "ptr" },
	{ "ptr -all", "1.2.0.192.in-addr.arpa PTR d.example\nd.example A 192.0.2.1\n", V4, "pass",
	  NULL },
	{ "ptr -all", "1.2.0.192.in-addr.arpa PTR m.d.example\nm.d.example A 192.0.2.2\n", V4,
	  "fail", NULL },
	{ "ptr -all", "1.2.0.192.in-addr.arpa PTR xd.example\nxd.example A 192.0.2.1\n", V4, "fail",
	  NULL },
	{ "ptr:x.example -all", "1.2.0.192.in-addr.arpa PTR m.x.example\nm.x.example A 192.0.2.1\n",
	  V4, "pass", NULL },
	{ "ptr all", "1.2.0.192.in-addr.arpa FAIL\n", V4, "pass", "all" }, /* 5.5: no match */
	{ "ptr -all",
	  "1.2.0.192.in-addr.arpa PTR a.d.example\na.d.example FAIL\n"
	  "1.2.0.192.in-addr.arpa PTR b.d.example\nb.d.example A 192.0.2.1\n",
	  V4, "pass", NULL },
	/* include: the table of 5.2 */
	{ "include:i.example -all", "i.example TXT v=spf1 all\n", V4, "pass",
	  "include:i.example: all" },
	{ "-include:i.example all", "i.example TXT v=spf1 all\n", V4, "fail", NULL },
	{ "include:i.example all", "i.example TXT v=spf1 -all\n", V4, "pass", "all" },
	{ "-include:i.example all", "i.example TXT v=spf1 ~all\n", V4, "pass", "all" },
	{ "include:i.example -all", "i.example TXT v=spf1 ~all\n", V4, "fail", "-all" },
	{ "include:i.example -all", "i.example TXT v=spf1 ?all\n", V4, "fail", "-all" },
	{ "include:i.example all", "i.example TXT v=spf1 moo\n", V4, "permerror",
	  "include:i.example: the record of i.example is wrong at \"moo\"" },
	{ "include:i.example all", "i.example FAIL\n", V4, "temperror",
	  "include:i.example: DNS failed: TXT of i.example" },
	{ "include:i.example all", "", V4, "permerror",
	  "include:i.example: i.example has no SPF record" },
	{ "include:%{h1} all", "", V4, "permerror", "include:%{h1}: \"example\" is no domain" },
	{ "include:i.example -all", "i.example TXT v=spf1 a -all\ni.example A 192.0.2.1\n", V4,
	  "pass", NULL }, /* a is of the included domain */
	{ "include:i.example -all",
	  "i.example TXT v=spf1 exists:%{d}.%{o}\n"
	  "i.example.d.example A 127.0.0.2\n",
	  V4, "pass", NULL },
	/* redirect */
	{ "redirect=r.example", "r.example TXT v=spf1 all\n", V4, "pass", "all" },
	{ "redirect=r.example ~all", "r.example TXT v=spf1 all\n", V4, "softfail", NULL },
	{ "redirect=r.example", "r.example TXT v=spf1 a\nr.example A 192.0.2.1\n", V4, "pass",
	  "a" },
	{ "redirect=r.example", "", V4, "permerror", "r.example has no SPF record" },
	{ "redirect=r.example", "r.example FAIL\n", V4, "temperror", NULL },
	{ "redirect=%{d1}", "", V4, "permerror", NULL },
	{ "include:i.example -all", "i.example TXT v=spf1 redirect=r.example\n", V4, "permerror",
	  NULL },
	{ "include:i.example -all",
	  "i.example TXT v=spf1 redirect=r.example\nr.example TXT v=spf1 all\n", V4, "pass", NULL },
	/* selection (4.5) */
	{ "-all", "d.example TXT v=spf10 all\nd.example TXT other\n", V4, "fail", NULL },
	{ "-all", "d.example TXT V=SPF1\n", V4, "permerror", "d.example has 2 SPF records" },
};

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char zone[1024];

		(void)snprintf(zone, sizeof(zone), "%sd.example TXT v=spf1 %s\n", cases[i].more,
		               cases[i].record);
		expect_rows(cases[i].record, cases[i].ip, zone, cases[i].want, cases[i].why);
	}
}

static void test_no_record(void **state)
{
	(void)state;
	expect_rows("nothing", V4, "", "none", "d.example has no SPF record");
	expect_rows("no TXT", V4, "d.example A 192.0.2.1\n", "none", NULL);
	expect_rows("another", V4, "d.example TXT v=spf1x\n", "none", NULL);
	expect_rows("failed", V4, "d.example FAIL\n", "temperror", "DNS failed: TXT of d.example");
}

#define L63 "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz-123456789"

/* Whose domain is asked (2.4, 4.3); the zone has d.example with -all and macros in its explanation.
 */
static const struct {
	const char *from;
	const char *helo;
	const char *want;
	const char *domain;
	const char *told; /* "%{s} %{l} %{o} %{h}" */
} identities[] = {
	{ "ann@D.Example", "h", "fail", "d.example", "ann@D.Example ann D.Example h" },
	{ "@d.example", "h", "fail", "d.example", "postmaster@d.example postmaster d.example h" },
	{ "a@b@d.example", "h", "fail", "d.example", "a@b@d.example a@b d.example h" },
	{ "ann@d.example.", "h", "fail", "d.example", "ann@d.example ann d.example h" },
	{ "", "D.example", "fail", "d.example",
	  "postmaster@D.example postmaster D.example D.example" },
	{ "", "host", "none", "host", "" },
	{ "", "[192.0.2.1]", "none", "", "" },
	{ "", "", "none", "", "" },
	{ "ann", "d.example", "none", "", "" },
	{ "ann@", "d.example", "none", "", "" },
	{ "ann@example", "d.example", "none", "example", "" },
	{ "ann@[192.0.2.1]", "d.example", "none", "", "" },
	{ "ann@d..example", "h", "none", "d..example", "" },
	{ "ann@b\303\274ro.example", "h", "none", "", "" },
	{ "ann@" L63 "a.example", "h", "none", L63 "a.example", "" },
	{ "ann@x." L63 "." L63 "." L63 "." L63, "h", "none", "", "" },
};

static void test_identities(void **state)
{
	static const char zone[] = "d.example TXT v=spf1 -all exp=e.example\n"
	                           "e.example TXT %{s} %{l} %{o} %{h}\n";

	(void)state;
	for (size_t i = 0; i < COUNT(identities); i++) {
		struct spf_question q = question(V4, identities[i].from, identities[i].helo);
		struct outcome o = check(&q, zone);

		EXPECT(identities[i].from,
		       strcmp(spf_word(o.answer.result), identities[i].want) == 0);
		EXPECT(identities[i].from, strcmp(o.answer.domain, identities[i].domain) == 0);
		EXPECT(identities[i].from, strcmp(o.answer.explanation, identities[i].told) == 0);
		EXPECT(identities[i].from, o.answer.of_helo == !identities[i].from[0]);
	}
}

static void test_no_address(void **state)
{
	struct spf_question q = question("", "ann@d.example", "h");
	struct outcome o = check(&q, "d.example TXT v=spf1 all\n");

	(void)state;
	assert_int_equal(o.answer.result, SPF_NONE);
	assert_int_equal(o.questions, 0);
}

static void test_long_local(void **state)
{
	char sender[400];
	struct spf_question q = question(V4, "", "h");

	(void)state;
	for (int n = 250; n < 262; n++) {
		(void)snprintf(sender, sizeof(sender), "%0*d@d.example", n, 1);
		q.mail_from = slice_str(sender);
		assert_int_equal(check(&q, "d.example TXT v=spf1 exists:%{s1} all\n").answer.result,
		                 n <= 256 ? SPF_PASS : SPF_NONE);
	}
}

/* RFC 8616 section 4: such a term matches nothing, and finds nothing missing. */
static void test_other_local(void **state)
{
	struct spf_question q = question(V4, "\303\244@d.example", "h.example");
	struct outcome o = check(&q, "d.example TXT v=spf1 a:%{l}.x a:%{l}.y a:%{s}.z "
	                             "include:%{l}.x mx:%{l}.x exists:%{h} -all exp=%{l}.x\n"
	                             "h.example A 127.0.0.2\n");

	(void)state;
	assert_int_equal(o.answer.result, SPF_PASS);
	assert_int_equal(o.questions, 2);
}

/* --- limits (4.6.4) --- */

/* `count` times `term` in the record of d.example. */
static void expect_of_many(const char *term, int count, const char *end, const char *more,
                           const char *want)
{
	char zone[4096] = "d.example TXT v=spf1";

	for (int i = 0; i < count; i++) {
		size_t n = strlen(zone);

		(void)snprintf(zone + n, sizeof(zone) - n, " %s", term);
	}
	(void)snprintf(zone + strlen(zone), sizeof(zone) - strlen(zone), " %s\n%s", end, more);
	expect_rows(term, V4, zone, want, NULL);
}

static void test_terms(void **state)
{
	static const char more[] = "d.example A 192.0.2.9\nd.example MX 1 d.example\n"
	                           "1.2.0.192.in-addr.arpa PTR other.example\n"
	                           "other.example A 192.0.2.1\n"
	                           "i.example TXT v=spf1 a:d.example -all\n"
	                           "n.example TXT v=spf1 ?all\n"
	                           "other.example.x.example A 192.0.2.8\n";
	static const struct {
		const char *term;
		int most;
	} terms[] = {
		{ "a", 10 },
		{ "mx", 10 },
		{ "ptr", 10 },
		{ "a:%{l}.d.example", 2 }, /* void ones */
		{ "a:d.example", 10 },
		{ "include:n.example", 10 },
		{ "include:i.example", 5 },
		{ "a:%{p}.x.example", 9 }, /* %{p} is one more */
		{ "ip4:192.0.2.9", 100 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(terms); i++) {
		expect_of_many(terms[i].term, terms[i].most, "all", more, "pass");
		expect_of_many(terms[i].term, terms[i].most + 1, "all", more,
		               terms[i].most == 100 ? "pass" : "permerror");
	}
	expect_of_many("a", 9, "redirect=n.example", more, "neutral");
	expect_of_many("a", 10, "redirect=n.example", more, "permerror");
	/* behind what decides nothing is counted */
	expect_of_many("all a", 11, "", more, "pass");
	/* a modifier that nobody knows, and exp, don't count */
	expect_of_many("a", 10, "x=%{d} -all exp=n.example", more, "fail");
}

static void test_loops(void **state)
{
	char zone[2048] = "";

	(void)state;
	expect_rows("include", V4, "d.example TXT v=spf1 include:d.example all\n", "permerror",
	            NULL);
	expect_rows("redirect", V4, "d.example TXT v=spf1 redirect=d.example\n", "permerror", NULL);
	expect_rows("two", V4,
	            "d.example TXT v=spf1 include:e.example all\n"
	            "e.example TXT v=spf1 redirect=d.example\n",
	            "permerror", NULL);
	/* a chain of ten includes is allowed, the eleventh isn't */
	for (int last = 10; last <= 11; last++) {
		size_t n = (size_t)snprintf(zone, sizeof(zone),
		                            "d.example TXT v=spf1 include:1.example\n");

		for (int i = 1; i < last; i++)
			n += (size_t)snprintf(zone + n, sizeof(zone) - n,
			                      "%d.example TXT v=spf1 include:%d.example\n", i,
			                      i + 1);
		(void)snprintf(zone + n, sizeof(zone) - n, "%d.example TXT v=spf1 all\n", last);
		expect_rows("chain", V4, zone, last == 10 ? "pass" : "permerror", NULL);
	}
}

static void test_voids(void **state)
{
	(void)state;
	expect_of_many("a:no.example", 2, "all", "", "pass");
	expect_of_many("a:no.example", 3, "all", "", "permerror");
	expect_of_many("exists:no.example", 3, "all", "", "permerror");
	expect_of_many("mx:no.example", 3, "all", "", "permerror");
	expect_of_many("ptr", 3, "all", "", "permerror");
	expect_of_many("a:x..y.example", 3, "all", "", "permerror");
	expect_of_many("a:no.example a:yes.example", 3, "all", "yes.example A 192.0.2.9\n",
	               "permerror");
	expect_of_many("a:no.example", 2, "a:yes.example -all", "yes.example A 192.0.2.1\n",
	               "pass");
	expect_of_many("a:no.example", 2, "-all exp=no.example", "", "fail");
	expect_of_many("include:i.example", 3, "all", "i.example TXT v=spf1 a:no.example\n",
	               "permerror");
	/* of an mx without any address, once, however many hosts it has */
	expect_of_many("mx:m.example", 2, "all", "m.example MX 1 a.b\nm.example MX 2 c.b\n",
	               "pass");
	expect_of_many("mx:m.example", 3, "all", "m.example MX 1 a.b\nm.example MX 2 c.b\n",
	               "permerror");
	expect_of_many("mx:m.example", 3, "all",
	               "m.example MX 1 a.b\nm.example MX 2 c.b\nc.b A 192.0.2.9\n", "pass");
	expect_of_many("a:no.example", 3, "all", "no.example FAIL\n", "temperror");
}

static void test_names(void **state)
{
	(void)state;
	for (int count = 10; count <= 11; count++) {
		char zone[2048] = "d.example TXT v=spf1 mx -all\n";

		for (int i = 0; i < count; i++)
			(void)snprintf(zone + strlen(zone), sizeof(zone) - strlen(zone),
			               "d.example MX %d %d.m.example\n%d.m.example A 192.0.2.%d\n",
			               i, i, i, 10 - i);
		expect_rows("mx", V4, zone, count == 10 ? "pass" : "permerror", NULL);
		/* of the client's names those behind the tenth are as if not there (5.5) */
		(void)snprintf(zone, sizeof(zone), "d.example TXT v=spf1 ptr -all\n");
		for (int i = 1; i <= count; i++)
			(void)snprintf(zone + strlen(zone), sizeof(zone) - strlen(zone),
			               "1.2.0.192.in-addr.arpa PTR %d.d.example\n"
			               "%d.d.example A 192.0.2.%d\n",
			               i, i, i == count ? 1 : 9);
		expect_rows("ptr", V4, zone, count == 10 ? "pass" : "fail", NULL);
	}
}

static void test_long_record(void **state)
{
	static char zone[SPF_RECORD_BYTES + 100];
	size_t n = (size_t)snprintf(zone, sizeof(zone), "d.example TXT v=spf1");

	(void)state;
	memset(zone + n, ' ', SPF_RECORD_BYTES);
	(void)snprintf(zone + SPF_RECORD_BYTES + strlen("d.example TXT ") - 4, 6, " all\n");
	expect_rows("longest", V4, zone, "pass", NULL);
	(void)snprintf(zone + SPF_RECORD_BYTES + strlen("d.example TXT ") - 3, 6, " all\n");
	expect_rows("too long", V4, zone, "permerror", "the record of d.example has 8193 bytes");
}

/* --- explanations --- */

static const struct {
	const char *record;
	const char *more;
	const char *told;
} explanations[] = {
	{ "-all", "", "" },
	{ "-all exp=e.example", "e.example TXT No, %{c}.\n", "No, 192.0.2.1." },
	{ "exp=%{l}.x -all", "ann.x TXT %{L} %{r} %{t}\n", "ann mx.test 1234567890" },
	{ "-all exp=e.example", "e.example TXT one\ne.example TXT two\n", "" },
	{ "-all exp=e.example", "e.example FAIL\n", "" },
	{ "-all exp=e.example", "", "" },
	{ "-all exp=e.example", "e.example TXT \303\274ber\n", "" },
	{ "-all exp=e.example", "e.example TXT a\tb\n", "" },
	{ "-all exp=e.example", "e.example TXT %{x}\n", "" },
	{ "~all exp=e.example", "e.example TXT no fail\n", "" },
	{ "all exp=e.example", "e.example TXT no fail\n", "" },
	{ "-all exp=e.example", "e.example TXT %{p}\n", "unknown" },
	{ "-all exp=e.example",
	  "e.example TXT by %{p}\n1.2.0.192.in-addr.arpa PTR m.x\nm.x A 192.0.2.1\n", "by m.x" },
	{ "-all exp=%{p}.e.example",
	  "m.x.e.example TXT yes\n1.2.0.192.in-addr.arpa PTR m.x\nm.x A 192.0.2.1\n", "yes" },
	/* not of what is included, nor of what is left by a redirect; of what it leads to */
	{ "-include:i.example exp=e.example",
	  "i.example TXT v=spf1 all exp=f.example\ne.example TXT e %{d}\nf.example TXT f\n",
	  "e d.example" },
	{ "include:i.example -all", "i.example TXT v=spf1 -all exp=e.example\ne.example TXT e\n",
	  "" },
	{ "exp=e.example redirect=r.example", "r.example TXT v=spf1 -all\ne.example TXT e\n", "" },
	{ "exp=e.example redirect=r.example",
	  "r.example TXT v=spf1 -all exp=f.example\nf.example TXT %{d} %{o}\n",
	  "r.example d.example" },
};

static void test_explanations(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(explanations); i++) {
		char zone[1024];
		struct outcome o;

		(void)snprintf(zone, sizeof(zone), "d.example TXT v=spf1 %s\n%s",
		               explanations[i].record, explanations[i].more);
		o = from(V4, zone);
		if (strcmp(o.answer.explanation, explanations[i].told) != 0)
			fail_msg("%s: told \"%s\", want \"%s\"", explanations[i].record,
			         o.answer.explanation, explanations[i].told);
	}
}

/* Nothing of a sender or of DNS is printed as it came. */
static void test_printable(void **state)
{
	static const char zone[] = "d.example TXT v=spf1 a:%{l}.x -all exp=e.example\n"
	                           "e.example TXT <%{l}>\n";
	struct spf_question q = question(V4, "a\r\n\033[2J\303\244@d.example", "h");
	struct outcome o = check(&q, zone);

	(void)state;
	assert_string_equal(o.answer.explanation, "<a?\?\?[2J?\?>");
	q = question(V4, "\r\033[31m@d.example", "h");
	o = check(&q, "d.example TXT v=spf1 a:%{l}.x -all\n\r\033[31m.x FAIL\n");
	assert_string_equal(o.answer.why, "DNS failed: A of ?\?[31m.x");
}

/* --- %{p} (7.3): the domain itself before one under it before any other --- */

static void test_validated(void **state)
{
	static const char *const names[] = { "x.other", "m.d.example", "d.example" };
	char zone[1024];
	struct outcome o;

	(void)state;
	for (size_t best = 0; best < COUNT(names); best++) {
		for (size_t turn = 0; turn <= best; turn++) {
			(void)snprintf(zone, sizeof(zone),
			               "d.example TXT v=spf1 -all exp=e.example\n"
			               "e.example TXT %%{p}\n");
			for (size_t i = 0; i <= best; i++) {
				const char *name = names[(i + turn) % (best + 1)];

				(void)snprintf(zone + strlen(zone), sizeof(zone) - strlen(zone),
				               "1.2.0.192.in-addr.arpa PTR %s\n%s A 192.0.2.1\n",
				               name, name);
			}
			o = from(V4, zone);
			assert_string_equal(o.answer.explanation, names[best]);
		}
	}
	o = from(V4, "d.example TXT v=spf1 -all exp=e.example\ne.example TXT %{p}\n"
	             "1.2.0.192.in-addr.arpa PTR a.b\na.b A 192.0.2.2\n"
	             "1.2.0.192.in-addr.arpa PTR b.b\nb.b FAIL\n"
	             "1.2.0.192.in-addr.arpa PTR c.b\nc.b A 192.0.2.1\n");
	assert_string_equal(o.answer.explanation, "c.b");
}

/* --- what is asked, and when --- */

static void expect_asked(const char *name, const char *zone, unsigned rounds, unsigned questions)
{
	struct outcome o = from(V4, zone);

	if (o.rounds != rounds || o.questions != questions)
		fail_msg("%s: %u rounds, %u questions; want %u, %u", name, o.rounds, o.questions,
		         rounds, questions);
}

static void test_asked(void **state)
{
	(void)state;
	expect_asked("no DNS", "d.example TXT v=spf1 ip4:1.2.3.4 -all\n", 1, 1);
	expect_asked("includes together",
	             "d.example TXT v=spf1 include:a.b include:c.b include:e.b ~all\n"
	             "a.b TXT v=spf1 include:f.b ?all\nc.b TXT v=spf1 a:g.b ?all\n"
	             "e.b TXT v=spf1 mx ?all\ne.b MX 1 h.b\ne.b MX 2 i.b\n"
	             "f.b TXT v=spf1 ?all\ng.b A 1.1.1.1\nh.b A 1.1.1.1\ni.b A 1.1.1.1\n",
	             4, 1 + 3 + 3 + 2);
	expect_asked("hosts of an mx together",
	             "d.example TXT v=spf1 mx -all\nd.example MX 1 a.b\nd.example MX 2 c.b\n"
	             "a.b A 1.1.1.1\nc.b A 1.1.1.1\n",
	             3, 4);
	expect_asked("nothing behind all", "d.example TXT v=spf1 a -all mx\n", 2, 2);
	expect_asked("nothing behind a network", "d.example TXT v=spf1 a ip4:192.0.2.1 mx\n", 2, 2);
	expect_asked("no redirect behind all", "d.example TXT v=spf1 a all redirect=r.b\n", 2, 2);
	expect_asked("the redirect", "d.example TXT v=spf1 a redirect=r.b\nr.b TXT v=spf1 ?all\n",
	             2, 3);
	expect_asked("no macros before their time",
	             "d.example TXT v=spf1 a exists:%{l}.b ptr a:%{d} -all\n"
	             "d.example A 192.0.2.1\n",
	             2, 2);
	expect_asked("no more than could be void",
	             "d.example TXT v=spf1 a:a.b a:b.b a:c.b a:d.b a:e.b -all\n", 2, 1 + 3);
	expect_asked("three at a time when they are not",
	             "d.example TXT v=spf1 a:a.b a:b.b a:c.b a:d.b a:e.b -all\n"
	             "a.b A 1.1.1.1\nb.b A 1.1.1.1\nc.b A 1.1.1.1\nd.b A 1.1.1.1\ne.b A 1.1.1.1\n",
	             3, 1 + 5);
	expect_asked("no more than ten",
	             "d.example TXT v=spf1 include:a.b include:b.b include:c.b include:d.b "
	             "include:e.b include:f.b include:g.b include:h.b include:i.b include:j.b "
	             "include:k.b include:l.b ?all\n",
	             2, 1 + 10);
	expect_asked("the same once", "d.example TXT v=spf1 a a mx:d.example -all\n", 2, 3);
	expect_asked("of a record that is wrong nothing", "d.example TXT v=spf1 a mx moo\n", 1, 1);
	expect_asked("only names under the domain",
	             "d.example TXT v=spf1 ptr -all\n1.2.0.192.in-addr.arpa PTR a.b\n"
	             "1.2.0.192.in-addr.arpa PTR a.d.example\n",
	             3, 3);
}

/* Every answer alone, in an order of the test's own: the result is the same. */
static void test_order_of_answers(void **state)
{
	static const char zone[] = "d.example TXT v=spf1 include:a.b mx include:c.b -all exp=x.b\n"
	                           "a.b TXT v=spf1 a:e.b ~all\nc.b TXT v=spf1 redirect=f.b\n"
	                           "d.example MX 1 m.b\nd.example MX 2 n.b\nm.b A 1.1.1.1\n"
	                           "n.b A 1.1.1.2\nf.b TXT v=spf1 ?all\ne.b A 1.1.1.3\n"
	                           "x.b TXT told\n";
	struct spf_question q = question(V4, "ann@d.example", "h");

	(void)state;
	for (int order = 0; order < 2; order++) {
		struct answers *a = answers_new();
		struct dns_question waiting[64];
		struct spf_answer o;
		size_t count = 0;

		while (spf_check(&q, a, &o) == RC_AGAIN) {
			while (answers_wanted(a, &waiting[count]))
				count++;
			assert_true(count > 0);
			zone_answer(a, slice_str(zone), &waiting[order ? count - 1 : 0]);
			count--;
			if (!order)
				memmove(waiting, waiting + 1, count * sizeof(*waiting));
		}
		assert_int_equal(o.result, SPF_FAIL);
		assert_string_equal(o.explanation, "told");
		answers_free(&a);
	}
}

/* Ten includes of ten includes each, and so on: the first ten, and ten that come when the first is
 * read. */
static void test_tree(void **state)
{
	static char zone[131072];
	size_t n = (size_t)snprintf(zone, sizeof(zone), "d.example TXT v=spf1");
	struct outcome o;

	(void)state;
	for (int i = 0; i < 10; i++)
		n += (size_t)snprintf(zone + n, sizeof(zone) - n, " include:%d.x", i);
	for (int i = 0; i < 100; i++) {
		n += (size_t)snprintf(zone + n, sizeof(zone) - n, "\n%d.x TXT v=spf1", i);
		for (int k = 0; k < 10; k++)
			n += (size_t)snprintf(zone + n, sizeof(zone) - n, " include:%d.x",
			                      (i * 10 + k + 10) % 100);
	}
	o = from(V4, zone);
	assert_int_equal(o.answer.result, SPF_PERMERROR);
	assert_in_range(o.questions, 11, 21);
}

/* The dearest that a sender can make us ask: ten mx of ten hosts each. */
static void test_most_questions(void **state)
{
	static char zone[32768];
	size_t n = (size_t)snprintf(zone, sizeof(zone), "d.example TXT v=spf1");
	struct outcome o;

	(void)state;
	for (int i = 0; i < 10; i++)
		n += (size_t)snprintf(zone + n, sizeof(zone) - n, " mx:%d.m", i);
	n += (size_t)snprintf(zone + n, sizeof(zone) - n, " a:a.b -all\n");
	for (int i = 0; i < 100; i++)
		n += (size_t)snprintf(zone + n, sizeof(zone) - n,
		                      "%d.m MX %d %d.h\n%d.h A 1.1.1.1\n", i / 10, i, i, i);
	o = from(V4, zone);
	assert_int_equal(o.answer.result, SPF_PERMERROR);
	assert_in_range(o.questions, 111, 111);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),       cmocka_unit_test(test_no_record),
		cmocka_unit_test(test_identities),  cmocka_unit_test(test_no_address),
		cmocka_unit_test(test_long_local),  cmocka_unit_test(test_other_local),
		cmocka_unit_test(test_terms),       cmocka_unit_test(test_loops),
		cmocka_unit_test(test_voids),       cmocka_unit_test(test_names),
		cmocka_unit_test(test_long_record), cmocka_unit_test(test_explanations),
		cmocka_unit_test(test_printable),   cmocka_unit_test(test_validated),
		cmocka_unit_test(test_asked),       cmocka_unit_test(test_order_of_answers),
		cmocka_unit_test(test_tree),        cmocka_unit_test(test_most_questions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
