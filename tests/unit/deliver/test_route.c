#include "tests/unit/test.h"

#include <stdio.h>

#include "ingest/deliver/public.h"
#include "ingest/deliver/route.h"
#include "tests/unit/verdict/zone.h"

#define HASH "0301010102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"

static struct outbound_settings settings;

static int begin(void **state)
{
	struct err e;

	(void)state;
	EXPECT_OK(outbound_settings_read(&settings, NULL, &e), &e);
	return 0;
}

static struct route *run_with(const char *zone, bool mx, const char *name, uint32_t seed)
{
	const struct route_question q = {
		.mx = mx, .name = name, .own = "own.example", .settings = &settings, .seed = seed
	};
	struct answers *a = answers_new();
	struct route *r = route_new();
	unsigned rounds = 0;

	while (route_run(r, &q, a) == RC_AGAIN) {
		MUST(rounds++ < 5); /* MX; addresses; TLSA */
		MUST(zone_answer_all(a, slice_str(zone)) > 0);
	}
	answers_free(&a);
	return r;
}

/* "mx1=192.88.98.1,2600::1 mx2=..." */
static const char *shown(const struct route *r)
{
	static char text[2000];
	size_t n = 0;

	text[0] = 0;
	for (size_t i = 0; i < r->count; i++) {
		const struct route_host *h = &r->hosts[i];

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s=", i ? " " : "", h->name);
		for (size_t k = 0; k < h->ip_count; k++) {
			char ip[IP_TEXT];

			ip_format(ip, &h->ips[k]);
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", k ? "," : "", ip);
		}
	}
	return text;
}

static void test_ways(void **state)
{
	static const struct {
		const char *name, *zone, *want;
	} cases[] = {
		{ "one", "d.example MX 10 mx.example\nmx.example A 8.8.8.8", "mx.example=8.8.8.8" },
		{ "by preference",
		  "d.example MX 20 b.example\nd.example MX 10 a.example\na.example A 8.8.8.8\n"
		  "b.example A 8.8.4.4",
		  "a.example=8.8.8.8 b.example=8.8.4.4" },
		{ "both families by turns",
		  "d.example MX 10 a.example\na.example A 8.8.8.8\na.example A 8.8.4.4\n"
		  "a.example AAAA 2600::1\na.example AAAA 2600::2\na.example AAAA 2600::3",
		  "a.example=2600::1,8.8.8.8,2600::2,8.8.4.4" },
		{ "no MX: the address", "d.example A 8.8.8.8", "d.example=8.8.8.8" },
		{ "no MX: of IPv6", "d.example AAAA 2600::1", "d.example=2600::1" },
		{ "one without an address is passed over",
		  "d.example MX 10 a.example\nd.example MX 20 b.example\nb.example A 8.8.4.4",
		  "b.example=8.8.4.4" },
		{ "and one that can't be looked up",
		  "d.example MX 10 a.example\nd.example MX 20 b.example\na.example FAIL\n"
		  "b.example A 8.8.4.4",
		  "b.example=8.8.4.4" },
		{ "one of two families can't be looked up",
		  "d.example MX 10 a.example\na.example A 8.8.8.8", "a.example=8.8.8.8" },
		{ "private ones are passed over",
		  "d.example MX 10 a.example\na.example A 10.0.0.1\na.example A 8.8.4.4",
		  "a.example=8.8.4.4" },
		{ "nearer than ourselves",
		  "d.example MX 10 a.example\nd.example MX 20 own.example\nd.example MX 20 "
		  "b.example\n"
		  "d.example MX 30 c.example\n* A 8.8.8.8",
		  "a.example=8.8.8.8" },
		{ "no host's name", "d.example MX 10 a b\nd.example MX 20 c.example\n* A 8.8.8.8",
		  "c.example=8.8.8.8" },
		{ "a null MX among others is none",
		  "d.example MX 0 \nd.example MX 20 c.example\nc.example A 8.8.8.8",
		  "c.example=8.8.8.8" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct route *r = run_with(cases[i].zone, true, "d.example", 7);

		if (strcmp(shown(r), cases[i].want) != 0)
			fail_msg("%s: got \"%s\", want \"%s\"", cases[i].name, shown(r),
			         cases[i].want);
		route_free(&r);
	}
}

static void test_ends(void **state)
{
	static const struct {
		const char *name, *zone, *domain;
		enum smtp_end end;
		const char *enhanced;
	} cases[] = {
		{ "no such domain", "", "d.example", SMTP_NEVER, "5.1.2" },
		{ "null MX", "d.example MX 0 ", "d.example", SMTP_NEVER, "5.1.10" },
		{ "MX can't be looked up", "d.example FAIL", "d.example", SMTP_LATER, "4.4.3" },
		{ "neither MX nor address", "d.example TXT x", "d.example", SMTP_NEVER, "5.4.4" },
		{ "no address of an MX", "d.example MX 10 a.example", "d.example", SMTP_NEVER,
		  "5.4.4" },
		{ "none now",
		  "d.example MX 10 a.example\nd.example MX 20 b.example\na.example FAIL",
		  "d.example", SMTP_LATER, "4.4.3" },
		{ "we are the nearest",
		  "d.example MX 10 OWN.example\nd.example MX 10 a.example\n* A 8.8.8.8",
		  "d.example", SMTP_NEVER, "5.4.6" },
		{ "it is ourselves", "own.example A 8.8.8.8", "own.example", SMTP_NEVER, "5.4.6" },
		{ "private", "d.example MX 10 a.example\na.example A 10.1.2.3", "d.example",
		  SMTP_SET_UP, "5.7.1" },
		{ "loopback", "d.example MX 10 a.example\na.example AAAA ::1", "d.example",
		  SMTP_SET_UP, "5.7.1" },
		{ "a private literal", "", "[192.168.1.1]", SMTP_SET_UP, "5.7.1" },
		{ "a literal of IPv6", "", "[IPv6:fe80::1]", SMTP_SET_UP, "5.7.1" },
		{ "no name", "", "a..b", SMTP_NEVER, "5.1.2" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct route *r = run_with(cases[i].zone, true, cases[i].domain, 7);

		EXPECT(cases[i].name, r->count == 0);
		EXPECT(cases[i].name, r->end.end == cases[i].end);
		EXPECT(cases[i].name, strcmp(r->end.enhanced, cases[i].enhanced) == 0);
		EXPECT(cases[i].name, r->end.text[0] && r->end.code == 0);
		route_free(&r);
	}
}

/* Each of equal ones is the first about as often. */
static void test_equal_ones(void **state)
{
	static const char zone[] =
	        "d.example MX 10 a.example\nd.example MX 10 b.example\n"
	        "d.example MX 10 c.example\nd.example MX 5 z.example\n* A 8.8.8.8";
	unsigned first[3] = { 0 };

	(void)state;
	for (uint32_t seed = 1; seed <= 600; seed++) {
		struct route *r = run_with(zone, true, "d.example", seed * 0x9e3779b9U);

		assert_int_equal(r->count, 4);
		assert_string_equal(r->hosts[0].name, "z.example");
		first[r->hosts[1].name[0] - 'a']++;
		route_free(&r);
	}
	for (size_t i = 0; i < 3; i++)
		assert_in_range(first[i], 100, 300);
}

static void test_hosts(void **state)
{
	static const struct {
		const char *name, *zone, *host, *want;
	} cases[] = {
		{ "a name", "relay.example A 10.0.0.1", "relay.example", "relay.example=10.0.0.1" },
		{ "an address", "", "192.168.0.9", "=192.168.0.9" },
		{ "one of IPv6", "", "[::1]", "=::1" },
		{ "localhost", "", "localhost", "localhost=127.0.0.1,::1" },
		{ "no MX is looked at", "relay.example MX 0 \nrelay.example A 8.8.8.8",
		  "relay.example", "relay.example=8.8.8.8" },
		{ "none now", "relay.example FAIL", "relay.example", "" },
		{ "none", "", "relay.example", "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct route *r = run_with(cases[i].zone, false, cases[i].host, 7);

		EXPECT(cases[i].name, strcmp(shown(r), cases[i].want) == 0);
		EXPECT(cases[i].name, r->count || r->end.end == SMTP_LATER);
		route_free(&r);
	}
}

#define MX_A "d.example MX 10 a.example\na.example A 8.8.8.8\n"

static void test_dane(void **state)
{
	static const struct {
		const char *name, *zone;
		bool applies, failed;
		size_t count;
	} cases[] = {
		{ "all is secure",
		  MX_A "d.example SECURE\na.example SECURE\n_25._tcp.a.example SECURE\n"
		       "_25._tcp.a.example TLSA " HASH,
		  true, false, 1 },
		{ "the MX isn't",
		  MX_A "a.example SECURE\n_25._tcp.a.example SECURE\n_25._tcp.a.example TLSA " HASH,
		  false, false, 0 },
		{ "the address isn't",
		  MX_A "d.example SECURE\n_25._tcp.a.example SECURE\n_25._tcp.a.example TLSA " HASH,
		  false, false, 0 },
		{ "the record isn't",
		  MX_A "d.example SECURE\na.example SECURE\n_25._tcp.a.example TLSA " HASH, false,
		  false, 0 },
		{ "it can't be looked up",
		  MX_A "d.example SECURE\na.example SECURE\n_25._tcp.a.example FAIL", false, true,
		  0 },
		{ "there is none", MX_A "d.example SECURE\na.example SECURE", false, false, 0 },
		{ "none of use",
		  MX_A "d.example SECURE\na.example SECURE\n_25._tcp.a.example SECURE\n"
		       "_25._tcp.a.example TLSA 0101010203\n_25._tcp.a.example TLSA 03010100",
		  true, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct route *r = run_with(cases[i].zone, true, "d.example", 7);

		EXPECT(cases[i].name, r->count == 1);
		EXPECT(cases[i].name, r->hosts[0].dane.applies == cases[i].applies);
		EXPECT(cases[i].name, r->hosts[0].dane.count == cases[i].count);
		EXPECT(cases[i].name, r->hosts[0].failed == cases[i].failed);
		route_free(&r);
	}
}

static void test_sts_record(void **state)
{
	static const struct {
		const char *name, *zone, *id;
		size_t ips;
	} cases[] = {
		{ "one", MX_A "_mta-sts.d.example TXT v=STSv1; id=1\nmta-sts.d.example A 8.8.4.4",
		  "1", 1 },
		{ "two",
		  MX_A "_mta-sts.d.example TXT v=STSv1; id=1\n_mta-sts.d.example TXT v=STSv1; id=2",
		  "", 0 },
		{ "others beside it",
		  MX_A "_mta-sts.d.example TXT v=STSv1; id=1\n_mta-sts.d.example TXT hello\n"
		       "mta-sts.d.example A 10.0.0.1",
		  "1", 0 },
		{ "none", MX_A, "", 0 },
		{ "not now", MX_A "_mta-sts.d.example FAIL", "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct route *r = run_with(cases[i].zone, true, "d.example", 7);

		EXPECT(cases[i].name, r->count == 1);
		EXPECT(cases[i].name, strcmp(r->sts_id, cases[i].id) == 0);
		EXPECT(cases[i].name, r->sts_ip_count == cases[i].ips);
		route_free(&r);
	}
}

static void enforce(struct route *r, const char *mode, const char *mx)
{
	struct sts_policy p;
	struct buf text;
	struct err e;

	buf_init(&text, 1000);
	MUST(buf_addf(&text, "version: STSv1\nmode: %s\nmx: %s\nmax_age: 5\n", mode, mx) == RC_OK);
	EXPECT_OK(sts_policy_read(&p, buf_slice(&text), &e), &e);
	route_enforce(r, &p);
	sts_policy_free(&p);
	buf_free(&text);
}

static void test_enforce(void **state)
{
	static const char zone[] =
	        "d.example MX 10 a.example\nd.example MX 20 b.example\n* A 8.8.8.8";
	struct route *r = run_with(zone, true, "d.example", 7);

	(void)state;
	enforce(r, "testing", "b.example");
	assert_int_equal(r->count, 2);
	assert_false(r->hosts[0].verify);
	enforce(r, "enforce", "b.example");
	assert_int_equal(r->count, 1);
	assert_string_equal(r->hosts[0].name, "b.example");
	assert_true(r->hosts[0].verify);
	enforce(r, "enforce", "c.example");
	assert_int_equal(r->count, 0);
	assert_int_equal(r->end.end, SMTP_LATER);
	assert_string_equal(r->end.enhanced, "4.7.5");
	route_free(&r);
}

static void test_public(void **state)
{
	static const struct {
		const char *ip;
		bool is;
	} cases[] = {
		{ "8.8.8.8", true },
		{ "9.255.255.255", true },
		{ "10.0.0.0", false },
		{ "11.0.0.0", true },
		{ "0.1.2.3", false },
		{ "100.63.255.255", true },
		{ "100.64.0.1", false },
		{ "100.128.0.0", true },
		{ "127.255.0.1", false },
		{ "169.254.169.254", false },
		{ "172.15.255.255", true },
		{ "172.16.0.0", false },
		{ "172.31.255.255", false },
		{ "172.32.0.0", true },
		{ "192.0.0.8", false },
		{ "192.0.2.1", false },
		{ "192.168.255.255", false },
		{ "192.169.0.0", true },
		{ "198.17.255.255", true },
		{ "198.19.0.1", false },
		{ "198.51.100.7", false },
		{ "203.0.113.7", false },
		{ "223.255.255.255", true },
		{ "224.0.0.1", false },
		{ "255.255.255.255", false },
		{ "2600::1", true },
		{ "::1", false },
		{ "::", false },
		{ "fe80::1", false },
		{ "fc00::1", false },
		{ "fd12::1", false },
		{ "ff02::1", false },
		{ "64:ff9b::a00:1", false },
		{ "2001:db8::1", false },
		{ "2001::1", false },
		{ "2001:1ff::1", false },
		{ "2001:200::1", true },
		{ "2002:a00:1::", false },
		{ "3fff:0::1", false },
		{ "3ffe::1", true },
		{ "4000::1", false },
		{ "::ffff:8.8.8.8", true },
		{ "::ffff:10.0.0.1", false },
	};
	struct ip unknown = { .family = 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct ip ip;

		EXPECT(cases[i].ip, ip_parse(&ip, slice_str(cases[i].ip)));
		EXPECT(cases[i].ip, public_address(&ip) == cases[i].is);
		EXPECT(cases[i].ip, public_allows(&settings, &ip) == cases[i].is);
	}
	assert_false(public_address(&unknown));
}

static bool allows(const struct outbound_settings *s, const char *text)
{
	struct ip ip;

	return ip_parse(&ip, slice_str(text)) && public_allows(s, &ip);
}

static void test_allowed(void **state)
{
	struct outbound_settings s = settings;

	(void)state;
	assert_true(cidr_parse(&s.allow[s.allow_count++], slice_str("10.1.0.0/16"), true));
	assert_true(allows(&s, "10.1.2.3"));
	assert_false(allows(&s, "10.2.2.3"));
	assert_false(allows(&s, "127.0.0.1"));
	s.port = 2525;
	assert_true(allows(&s, "127.0.0.1"));
	assert_true(allows(&s, "::1"));
	assert_false(allows(&s, "10.2.2.3"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ways),       cmocka_unit_test(test_ends),
		cmocka_unit_test(test_equal_ones), cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_dane),       cmocka_unit_test(test_sts_record),
		cmocka_unit_test(test_enforce),    cmocka_unit_test(test_public),
		cmocka_unit_test(test_allowed),
	};

	return cmocka_run_group_tests(tests, begin, NULL);
}
