#include "ingest/verdict/spf_macro.h"

#include <stdio.h>

#include "tests/unit/test.h"

static const struct {
	const char *spec;
	bool good;
} specs[] = {
	{ "a.example", true },
	{ "a.example.", true },
	{ ".com", true }, /* the grammar allows it, DNS doesn't */
	{ "%{d}", true },
	{ "a%{d}", true },
	{ "%{d}.com", true },
	{ "%%", true }, /* a macro-expand ends it */
	{ "a:b/c.d-e.x--y", true },
	{ "%{i3r.-+,/_=}.a1", true },
	{ "%{S}.%{L}.%{O}.%{D}.%{I}.%{P}.%{V}.%{H}", true },
	{ "%{d127R}.x", true },
	{ "%{d99999999999999999999}.x", true },
	{ "", false },
	{ ".", false },
	{ "com", false },
	{ "com.", false },
	{ "a.com..", false },
	{ "%{d}com", false },
	{ "%{d}com.", false },
	{ "%{d}.", false },
	{ "a.-com", false },
	{ "a.com-", false },
	{ "a.123", false },
	{ "a.c_m", false },
	{ "a.com/24", false },
	{ "a b.com", false },
	{ "a\tb.com", false },
	{ "a\177b.com", false },
	{ "a\200b.com", false },
	{ "%", false },
	{ "a%.com", false },
	{ "%(d).com", false },
	{ "%{", false },
	{ "%{}.com", false },
	{ "%{d", false },
	{ "%{d0}.com", false },
	{ "%{d00}.com", false },
	{ "%{dr2}.com", false },
	{ "%{drr}.com", false },
	{ "%{d:}.com", false },
	{ "%{d.2}.com", false },
	{ "%{x}.com", false },
	{ "%{c}.com", false },
	{ "%{R}.com", false },
	{ "%{t}.com", false },
};

static void test_domain_spec(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(specs); i++)
		EXPECT(specs[i].spec, spf_domain_spec(slice_str(specs[i].spec)) == specs[i].good);
	assert_false(spf_domain_spec(slice_of("a\0.com", 6)));
}

static void test_other_strings(void **state)
{
	(void)state;
	assert_true(spf_macro_string(slice_str("")));
	assert_true(spf_macro_string(slice_str("a%{c}%_!~")));
	assert_false(spf_macro_string(slice_str("a b")));
	assert_false(spf_macro_string(slice_str("%a")));
	assert_true(spf_explain_string(slice_str(" %{c} is  not %{R} at %{t} ")));
	assert_false(spf_explain_string(slice_str("a\nb")));
	assert_false(spf_explain_string(slice_str("\357\273\277a")));
	assert_false(spf_explain_string(slice_str("100% a")));
	assert_true(spf_has_macro(slice_str("a%{d}")));
	assert_false(spf_has_macro(slice_str("a%%%_%-{d}")));
	assert_true(spf_has_letter(slice_str("a%{P2}"), 'p'));
	assert_false(spf_has_letter(slice_str("p%%{p}%{d}"), 'p'));
}

static struct spf_macros macros_of(const char *ip)
{
	struct spf_macros m = {
		.sender = slice_str("strong-bad@email.example.com"),
		.local = slice_str("strong-bad"),
		.sender_domain = slice_str("email.example.com"),
		.domain = slice_str("email.example.com"),
		.helo = slice_str("mx.Example.org"),
		.validated = slice_str("mx.example.org"),
		.now_s = 1234567890,
	};

	assert_true(ip_parse(&m.client, slice_str(ip)));
	return m;
}

/* RFC 7208 section 7.4 to begin with. */
static const struct {
	const char *ip; /* NULL: 192.0.2.3 */
	const char *text;
	const char *name;
} expansions[] = {
	{ NULL, "%{s}", "strong-bad@email.example.com" },
	{ NULL, "%{o}", "email.example.com" },
	{ NULL, "%{d}", "email.example.com" },
	{ NULL, "%{d4}", "email.example.com" },
	{ NULL, "%{d3}", "email.example.com" },
	{ NULL, "%{d2}", "example.com" },
	{ NULL, "%{d1}", "com" },
	{ NULL, "%{dr}", "com.example.email" },
	{ NULL, "%{d2r}", "example.email" },
	{ NULL, "%{l}", "strong-bad" },
	{ NULL, "%{l-}", "strong.bad" },
	{ NULL, "%{lr}", "strong-bad" },
	{ NULL, "%{lr-}", "bad.strong" },
	{ NULL, "%{l1r-}", "strong" },
	{ NULL, "%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com" },
	{ NULL, "%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com" },
	{ NULL, "%{lr-}.lp.%{ir}.%{v}._spf.%{d2}",
	  "bad.strong.lp.3.2.0.192.in-addr._spf.example.com" },
	{ NULL, "%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}",
	  "3.2.0.192.in-addr.strong.lp._spf.example.com" },
	{ NULL, "%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net" },
	{ "2001:db8::cb01", "%{ir}.%{v}._spf.%{d2}",
	  "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com" },
	{ "::ffff:192.0.2.3", "%{i}.%{v}", "192.0.2.3.in-addr" },
	{ NULL, "%{h2}.%{p1}", "example.org.org" },
	{ NULL, "%%%_%-.x", "% %20.x" },
	{ NULL, "%{S}", "strong-bad%40email.example.com" },
	{ NULL, "%{s1r-.}.x.", "strong.x" },
	{ NULL, "%{s=_/,+}", "strong-bad@email.example.com" },
	{ NULL, "%{d-}", "email.example.com" }, /* dots stay when they don't delimit */
	{ NULL, "%{d1-}", "email.example.com" },
	{ NULL, "%{d999}", "email.example.com" },
};

static void test_expansions(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(expansions); i++) {
		const char *ip = expansions[i].ip ? expansions[i].ip : "192.0.2.3";
		struct spf_macros m = macros_of(ip);
		struct slice text = slice_str(expansions[i].text);
		char name[SPF_NAME];
		size_t len;

		EXPECT(expansions[i].text, spf_explain_string(text));
		len = spf_expand_name(name, text, &m);
		EXPECT_SLICE(expansions[i].text, slice_of(name, len), expansions[i].name);
	}
}

static void test_empty_parts(void **state)
{
	struct spf_macros m = macros_of("192.0.2.3");
	char name[SPF_NAME];

	(void)state;
	m.local = slice_str("-a--b-");
	for (size_t i = 0; i < 2; i++) {
		static const struct {
			const char *spec;
			const char *name;
		} cases[] = { { "%{l-}!", ".a..b.!" }, { "%{lr-}!", ".b..a.!" } };
		size_t len = spf_expand_name(name, slice_str(cases[i].spec), &m);

		EXPECT_SLICE(cases[i].spec, slice_of(name, len), cases[i].name);
	}
	m.local = (struct slice) { 0 };
	assert_int_equal(spf_expand_name(name, slice_str("%{l}"), &m), 0);
	assert_int_equal(spf_expand_name(name, slice_str("%{lr}"), &m), 0);
	m.helo = slice_of("a\0b", 3);
	assert_int_equal(spf_expand_name(name, slice_str("%{h}.x"), &m), 5);
	assert_memory_equal(name, "a\0b.x", 6);
}

/* Of `count` labels "aaaaaaaaa" and a short one, what is left. */
static void expect_shortened(size_t count, const char *first, size_t want)
{
	struct spf_macros m = macros_of("192.0.2.3");
	char text[20000];
	char name[SPF_NAME];
	size_t len = (size_t)snprintf(text, sizeof(text), "%s", first);

	for (size_t i = 0; i < count; i++) {
		memcpy(text + len, ".aaaaaaaaa", 11);
		len += 10;
	}
	assert_int_equal(spf_expand_name(name, slice_str(text), &m), want);
	assert_memory_equal(name, text + len - want, want + 1);
}

/* Section 7.3: labels are taken off the left until 253 bytes are left. */
static void test_shortened(void **state)
{
	(void)state;
	expect_shortened(25, "abc", 253);
	expect_shortened(25, "abc.", 250);
	expect_shortened(25, "", 250);
	expect_shortened(25, "abc.", 250);
	expect_shortened(50, "x", 249);
	expect_shortened(51, "x", 249);
	expect_shortened(52, "x", 249);
	expect_shortened(1000, "x", 249);
	expect_shortened(0, "", 0);
}

static void test_too_long_for_any_label(void **state)
{
	struct spf_macros m = macros_of("192.0.2.3");
	char text[2000];
	char name[SPF_NAME];

	(void)state;
	for (size_t n = 254; n < sizeof(text); n++) {
		memset(text, 'a', n);
		assert_int_equal(spf_expand_name(name, slice_of(text, n), &m), 0);
		text[n - 1] = '.';
		text[n - 2] = '.';
		assert_int_equal(spf_expand_name(name, slice_of(text, n), &m), n == 254 ? 253 : 0);
	}
}

static void test_texts(void **state)
{
	struct spf_macros m = macros_of("2001:db8::cb01");
	char text[64];
	char small[8];

	(void)state;
	m.local = slice_str("a\r\n\3\303\251%");
	spf_expand_text(text, sizeof(text), slice_str("%{l}, %{c} %{t} %{r}."), &m);
	assert_string_equal(text, "a?????%, 2001:db8::cb01 1234567890 unknown.");
	m.receiver = slice_str("mx.test");
	m.validated = (struct slice) { 0 };
	spf_expand_text(text, sizeof(text), slice_str("%{R} %{p} %{L}"), &m);
	assert_string_equal(text, "mx.test unknown a%0D%0A%03%C3%A9%25");
	spf_expand_text(small, sizeof(small), slice_str("%{r}%{r}"), &m);
	assert_string_equal(small, "mx.test");
	spf_expand_text(small, sizeof(small), slice_str(""), &m);
	assert_string_equal(small, "");
}

static void test_reverse(void **state)
{
	char name[SPF_NAME];
	struct ip ip;

	(void)state;
	assert_true(ip_parse(&ip, slice_str("192.0.2.10")));
	(void)spf_reverse_name(name, &ip);
	assert_string_equal(name, "10.2.0.192.in-addr.arpa");
	assert_true(ip_parse(&ip, slice_str("2001:db8::cb01")));
	(void)spf_reverse_name(name, &ip);
	assert_string_equal(name, "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2."
	                          "ip6.arpa");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_domain_spec), cmocka_unit_test(test_other_strings),
		cmocka_unit_test(test_expansions),  cmocka_unit_test(test_empty_parts),
		cmocka_unit_test(test_shortened),   cmocka_unit_test(test_too_long_for_any_label),
		cmocka_unit_test(test_texts),       cmocka_unit_test(test_reverse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
