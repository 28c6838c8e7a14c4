#include "ingest/verdict/spf_record.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/test.h"

static const struct {
	const char *text;
	bool is;
} versions[] = {
	{ "v=spf1", true },          { "V=SpF1 -all", true },
	{ "v=spf1 ", true },         { "v=spf10", false },
	{ "v=spf1\t-all", false },   { " v=spf1", false },
	{ "v=spf", false },          { "", false },
	{ "v=spf2.0/pra a", false }, { "v=spf1-all", false },
};

static void test_version(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(versions); i++)
		EXPECT(versions[i].text,
		       spf_is_record(slice_str(versions[i].text)) == versions[i].is);
}

/* Terms of a record; NULL: they are right, else the one that is wrong. */
static const struct {
	const char *terms;
	const char *bad;
} records[] = {
	{ "", NULL },
	{ "    ", NULL },
	{ " a  mx   ptr ?all ", NULL },
	{ " A MX PTR Include:a.b IP4:1.2.3.4 ip6:::1 EXISTS:a.b ALL", NULL },
	{ " +a -a ~a ?a", NULL },
	{ " a:a.b a/0 a/32 a//0 a//128 a/24//64 a:a.b/24 a:a.b//64 a:a.b/24//64", NULL },
	{ " mx:a.b mx/0 mx//128 mx/24//64 mx:a.b/24//64", NULL },
	{ " a:a/b.c a:%{d}/24 a:%{d2/}//3 a:a/24.b", NULL },
	{ " ptr:a.b ptr:%{o}", NULL },
	{ " ip4:1.2.3.4/0 ip4:255.255.255.255/32", NULL },
	{ " ip6:::/0 ip6:1:2:3:4:5:6:7:8/128 ip6:::1.2.3.4 ip6:::ffff:1.2.3.4/96", NULL },
	{ " x=y redirect-not=%{d} exp.=%{c} default= a_b-c.d=%%a:/=", NULL },
	{ " redirect=a.b exp=%{d}", NULL },
	{ " Redirect=a.b EXP=c.d all", NULL },
	{ " -all moo", "moo" },
	{ " b", "b" },
	{ " all: a", "all:" },
	{ " all:a.b", "all:a.b" },
	{ " all/8", "all/8" },
	{ " all.", "all." },
	{ " all=", NULL }, /* a modifier */
	{ " -x=y", "-x=y" },
	{ " +-a", "+-a" },
	{ " -", "-" },
	{ " include", "include" },
	{ " include:", "include:" },
	{ " include:a", "include:a" },
	{ " include:a.b/24", "include:a.b/24" },
	{ " include/24", "include/24" },
	{ " exists", "exists" },
	{ " exists:", "exists:" },
	{ " exists:a.b/24", "exists:a.b/24" },
	{ " ptr:", "ptr:" },
	{ " ptr/0", "ptr/0" },
	{ " ptr:a.b/8", "ptr:a.b/8" },
	{ " a:", "a:" },
	{ " a:/24", "a:/24" },
	{ " a/", "a/" },
	{ " a/33", "a/33" },
	{ " a/024", "a/024" },
	{ " a/00", "a/00" },
	{ " a//129", "a//129" },
	{ " a//01", "a//01" },
	{ " a/24/64", "a/24/64" },
	{ " a/24/32", "a/24/32" },
	{ " a///64", "a///64" },
	{ " a//24//64", "a//24//64" },
	{ " a//64/24", "a//64/24" },
	{ " a/-1", "a/-1" },
	{ " a/99999999999999999999", "a/99999999999999999999" },
	{ " a:1.2.3.4", "a:1.2.3.4" },
	{ " a24", "a24" },
	{ " mx:a.b:25", "mx:a.b:25" },
	{ " mx;a.b", "mx;a.b" },
	{ " ip4", "ip4" },
	{ " ip4:", "ip4:" },
	{ " ip4/24", "ip4/24" },
	{ " ip4=1.2.3.4", NULL }, /* a modifier that nobody knows */
	{ " ip4:1.2.3", "ip4:1.2.3" },
	{ " ip4:1.2.3.04", "ip4:1.2.3.04" },
	{ " ip4:1.2.3.256", "ip4:1.2.3.256" },
	{ " ip4:1.2.3.4:25", "ip4:1.2.3.4:25" },
	{ " ip4:1.2.3.4/33", "ip4:1.2.3.4/33" },
	{ " ip4:1.2.3.4/032", "ip4:1.2.3.4/032" },
	{ " ip4:1.2.3.4/", "ip4:1.2.3.4/" },
	{ " ip4:1.2.3.4//32", "ip4:1.2.3.4//32" },
	{ " ip4:1.2.3.4/24/24", "ip4:1.2.3.4/24/24" },
	{ " ip4:::1", "ip4:::1" },
	{ " ip4:::ffff:1.2.3.4", "ip4:::ffff:1.2.3.4" },
	{ " ip6:1.2.3.4", "ip6:1.2.3.4" },
	{ " ip6::1::2", "ip6::1::2" },
	{ " ip6:::1/129", "ip6:::1/129" },
	{ " ip6:[::1]", "ip6:[::1]" },
	{ " ip6:fe80::1%eth0", "ip6:fe80::1%eth0" },
	{ " ip6:::1//33", "ip6:::1//33" },
	{ " redirect=", "redirect=" },
	{ " redirect=a", "redirect=a" },
	{ " redirect:a.b", "redirect:a.b" },
	{ " redirect=a.b redirect=c.d", "redirect=c.d" },
	{ " exp=a.b all exp=a.b", "exp=a.b" },
	{ " exp=", "exp=" },
	{ " exp=%{c}.b", "exp=%{c}.b" },
	{ " x=%", "x=%" },
	{ " x=%{y}", "x=%{y}" },
	{ " =y", "=y" },
	{ " 1x=y", "1x=y" },
	{ " x/y=z", "x/y=z" },
	{ " x:y=z", "x:y=z" },
	{ " a\tmx", "a\tmx" },
	{ " a\rptr", "a\rptr" },
	{ " a:x.b\nmx", "a:x.b\nmx" },
	{ " a:x.\357\273\277b", "a:x.\357\273\277b" },
	{ " \200a", "\200a" },
	{ " x=\303\251", "x=\303\251" },
};

static void test_grammar(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(records); i++) {
		struct spf_record r;
		struct slice bad;
		char text[256];
		bool good;

		(void)snprintf(text, sizeof(text), "v=spf1%s", records[i].terms);
		EXPECT(records[i].terms, spf_is_record(slice_str(text)));
		good = spf_record_read(&r, slice_str(text), &bad);
		EXPECT(records[i].terms, good == !records[i].bad);
		if (!good)
			EXPECT_SLICE(records[i].terms, bad, records[i].bad);
	}
}

static void test_nul(void **state)
{
	static const char text[] = "v=spf1 a:foo.example.com\0 -all";
	struct spf_record r;
	struct slice bad;

	(void)state;
	assert_false(spf_record_read(&r, slice_of(text, sizeof(text) - 1), &bad));
	assert_int_equal(bad.len, 18);
}

static void test_mechanisms(void **state)
{
	static const char text[] = "v=spf1 redirect=r.x a:%{d}/24//64 x=y ~MX:a/1.b exp=e.x "
	                           "-ip4:1.2.3.4/5 ?ip6:::ffff:1.2.3.4/97 ptr ip6:2001:db8:: all ";
	struct spf_mechanism m;
	struct spf_record r;
	struct slice bad;
	struct slice rest;

	(void)state;
	assert_true(spf_record_read(&r, slice_str(text), &bad));
	EXPECT_SLICE("redirect", r.redirect, "r.x");
	EXPECT_SLICE("exp", r.exp, "e.x");
	rest = r.terms;
	assert_true(spf_record_next(&rest, &m));
	assert_int_equal(m.kind, SPF_A);
	assert_int_equal(m.result, SPF_PASS);
	assert_int_equal(m.bits4, 24);
	assert_int_equal(m.bits6, 64);
	EXPECT_SLICE("a", m.domain, "%{d}");
	assert_true(spf_record_next(&rest, &m));
	assert_int_equal(m.kind, SPF_MX);
	assert_int_equal(m.result, SPF_SOFTFAIL);
	assert_int_equal(m.bits4, 32);
	assert_int_equal(m.bits6, 128);
	EXPECT_SLICE("mx", m.domain, "a/1.b");
	EXPECT_SLICE("mx", m.text, "~MX:a/1.b");
	assert_true(spf_record_next(&rest, &m));
	assert_int_equal(m.kind, SPF_IP4);
	assert_int_equal(m.result, SPF_FAIL);
	assert_int_equal(m.network.bits, 5);
	assert_int_equal(m.network.base.family, 4);
	assert_true(spf_record_next(&rest, &m));
	assert_int_equal(m.kind, SPF_IP6);
	assert_int_equal(m.result, SPF_NEUTRAL);
	assert_int_equal(m.network.base.family, 6);
	assert_int_equal(m.network.bits, 97);
	assert_memory_equal(m.network.base.b, "\0\0\0\0\0\0\0\0\0\0\377\377\1\2\3\4", 16);
	assert_true(spf_record_next(&rest, &m));
	assert_int_equal(m.kind, SPF_PTR);
	assert_int_equal(m.domain.len, 0);
	assert_true(spf_record_next(&rest, &m));
	assert_int_equal(m.network.bits, 128);
	assert_true(spf_record_next(&rest, &m));
	assert_int_equal(m.kind, SPF_ALL);
	assert_false(spf_record_next(&rest, &m));
	assert_true(spf_asks(SPF_PTR) && spf_asks(SPF_EXISTS) && spf_asks(SPF_INCLUDE));
	assert_false(spf_asks(SPF_ALL) || spf_asks(SPF_IP4) || spf_asks(SPF_IP6));
}

static void test_length(void **state)
{
	char *text = mem_new(SPF_RECORD_BYTES + 2);
	struct spf_record r;
	struct slice bad;

	(void)state;
	memset(text, ' ', SPF_RECORD_BYTES + 1);
	memcpy(text, "v=spf1", 6);
	assert_true(spf_record_read(&r, slice_of(text, SPF_RECORD_BYTES), &bad));
	assert_false(spf_record_read(&r, slice_of(text, SPF_RECORD_BYTES + 1), &bad));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version), cmocka_unit_test(test_grammar),
		cmocka_unit_test(test_nul),     cmocka_unit_test(test_mechanisms),
		cmocka_unit_test(test_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
