/* tests/unit/smtp/test_address.c - RFC 5321 section 4.1.2, and what must not look like it */
#include "tests/unit/test.h"

#include <stdlib.h>

#include "base/limits.h"
#include "smtp/address.h"
#include "smtp/server.h"

#define A10 "aaaaaaaaaa"
#define A60 A10 A10 A10 A10 A10 A10
#define L50 A10 A10 A10 A10 A10

static const struct {
	const char *path;
	unsigned flags;
	enum rc rc;
	const char *local;
	const char *domain;
	const char *rest;
} paths[] = {
	{ "<a@example.org>", 0, RC_OK, "a", "example.org", "" },
	{ "<a+b@example.org> SIZE=1", 0, RC_OK, "a+b", "example.org", " SIZE=1" },
	{ "<a.b@example.org>", 0, RC_OK, "a.b", "example.org", "" },
	{ "<\"a b\"@example.org>", 0, RC_OK, "\"a b\"", "example.org", "" },
	{ "<\"a@b\"@example.org>", 0, RC_OK, "\"a@b\"", "example.org", "" },
	{ "<\"a>b\"@example.org>", 0, RC_OK, "\"a>b\"", "example.org", "" },
	{ "<\"\\\"\"@example.org>", 0, RC_OK, "\"\\\"\"", "example.org", "" },
	{ "<\"\"@example.org>", 0, RC_OK, "\"\"", "example.org", "" },
	{ "<a@[192.0.2.1]>", 0, RC_OK, "a", "[192.0.2.1]", "" },
	{ "<a@[IPv6:2001:db8::1]>", 0, RC_OK, "a", "[IPv6:2001:db8::1]", "" },
	{ "<a@[ipv6:::ffff:192.0.2.1]>", 0, RC_OK, "a", "[ipv6:::ffff:192.0.2.1]", "" },
	{ "<!#$%&'*+-/=?^_`{|}~@example.org>", ADDRESS_ODD, RC_OK, "!#$%&'*+-/=?^_`{|}~",
	  "example.org", "" },
	{ "<A@EXAMPLE.ORG>", 0, RC_OK, "A", "EXAMPLE.ORG", "" },
	{ "<a@xn--bcher-kva.example>", 0, RC_OK, "a", "xn--bcher-kva.example", "" },
	{ "<a@localhost>", 0, RC_OK, "a", "localhost", "" },
	{ "<a@1.2.3.4>", 0, RC_OK, "a", "1.2.3.4", "" },
	{ "<>", ADDRESS_NULL, RC_OK, "", "", "" },
	{ "<> RET=FULL", ADDRESS_NULL, RC_OK, "", "", " RET=FULL" },
	{ "<postmaster>", ADDRESS_POSTMASTER, RC_OK, "postmaster", "", "" },
	{ "<PostMaster>", ADDRESS_POSTMASTER, RC_OK, "PostMaster", "", "" },
	{ "<\xc3\xa9@b\xc3\xbc"
	  "cher.example>",
	  ADDRESS_UTF8, RC_OK, "\xc3\xa9",
	  "b\xc3\xbc"
	  "cher.example",
	  "" },
	{ "<\"b%c\"@example.org>", 0, RC_OK, "\"b%c\"", "example.org", "" },
	{ "<a@example.org>>", 0, RC_OK, "a", "example.org", ">" },

	{ "", 0, RC_INVALID, 0, 0, 0 },
	{ "a@example.org", 0, RC_INVALID, 0, 0, 0 },
	{ " <a@example.org>", 0, RC_INVALID, 0, 0, 0 },
	{ "<", 0, RC_INVALID, 0, 0, 0 },
	{ "<>", 0, RC_INVALID, 0, 0, 0 },
	{ "<postmaster>", 0, RC_INVALID, 0, 0, 0 },
	{ "<root>", ADDRESS_POSTMASTER, RC_INVALID, 0, 0, 0 },
	{ "<a@>", 0, RC_INVALID, 0, 0, 0 },
	{ "<@example.org>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a", 0, RC_INVALID, 0, 0, 0 },
	{ "<a@b", 0, RC_INVALID, 0, 0, 0 },
	{ "<a@b@example.org>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a..b@example.org>", 0, RC_INVALID, 0, 0, 0 },
	{ "<.a@example.org>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a.@example.org>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a@example..org>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a@.example.org>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a@example.org.>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a@-example.org>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a@example-.org>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a@example_x.org>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a b@example.org>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a@exa mple.org>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a@[999.1.1.1]>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a@[1.2.3]>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a@[01.2.3.4]>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a@[IPv6:zz]>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a@[IPv6:1.2.3.4]>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a@[2001:db8::1]>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a@[x25:1]>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a@[]>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a@[>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a@[192.0.2.1>", 0, RC_INVALID, 0, 0, 0 },
	{ "<\"a@example.org>", 0, RC_INVALID, 0, 0, 0 },
	{ "<\"a\"b@example.org>", 0, RC_INVALID, 0, 0, 0 },
	{ "<\"a\\\"@example.org>", 0, RC_INVALID, 0, 0, 0 },
	{ "<\"a\\", 0, RC_INVALID, 0, 0, 0 },
	{ "<\"a\x01\"@example.org>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a@example.org\x01>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a\x7f@example.org>", 0, RC_INVALID, 0, 0, 0 },
	{ "<(a)b@example.org>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a@example.org(c)>", 0, RC_INVALID, 0, 0, 0 },
	{ "<\xc3\xa9@example.org>", 0, RC_INVALID, 0, 0, 0 },
	{ "<a@b\xc3\xbc.example>", 0, RC_INVALID, 0, 0, 0 },
	{ "<\xff\xfe@example.org>", ADDRESS_UTF8, RC_INVALID, 0, 0, 0 },
	{ "<\xc0\xaf@example.org>", ADDRESS_UTF8, RC_INVALID, 0, 0, 0 },
	{ "<a@\xed\xa0\x80.example>", ADDRESS_UTF8, RC_INVALID, 0, 0, 0 },
	/* source routes, RFC 5321 appendix C: refused */
	{ "<@hub.example:a@example.org>", 0, RC_INVALID, 0, 0, 0 },
	{ "<@a.example,@b.example:c@example.org>", ADDRESS_NULL, RC_INVALID, 0, 0, 0 },
	/* forms of former relays */
	{ "<b%remote.test@local.test>", 0, RC_DENIED, 0, 0, 0 },
	{ "<remote.test!b@local.test>", 0, RC_DENIED, 0, 0, 0 },
	{ "<b%remote.test@local.test>", ADDRESS_ODD, RC_OK, "b%remote.test", "local.test", "" },
	{ "<<b@remote.test>@local.test>", 0, RC_INVALID, 0, 0, 0 },
	{ "<b@remote.test,a@local.test>", 0, RC_INVALID, 0, 0, 0 },
	/* sizes, RFC 5321 section 4.5.3.1 */
	{ "<" A60 "aaaa@example.org>", 0, RC_OK, A60 "aaaa", "example.org", "" },
	{ "<" A60 "aaaaa@example.org>", 0, RC_LIMIT, 0, 0, 0 },
	{ "<a@" A60 "aaa.org>", 0, RC_OK, "a", A60 "aaa.org", "" },
	{ "<a@" A60 "aaaa.org>", 0, RC_INVALID, 0, 0, 0 },
	{ "<aa@" L50 "." L50 "." L50 "." L50 "." A10 A10 A10 A10 "aaaaaaa>", 0, RC_OK, "aa",
	  L50 "." L50 "." L50 "." L50 "." A10 A10 A10 A10 "aaaaaaa", "" },
	{ "<aaa@" L50 "." L50 "." L50 "." L50 "." A10 A10 A10 A10 "aaaaaaa>", 0, RC_LIMIT, 0, 0,
	  0 },
};

static void paths_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(paths); i++) {
		const char *name = paths[i].path;
		struct smtp_path p;
		struct slice rest;
		struct err e = { 0 };
		enum rc rc = smtp_path_parse(&p, slice_str(name), paths[i].flags, &rest, &e);

		if (rc != paths[i].rc)
			fail_msg("%s: %s (%s), want %s", name, rc_name(rc), e.text,
			         rc_name(paths[i].rc));
		if (rc != RC_OK) {
			EXPECT(name, e.text[0] != '\0');
			continue;
		}
		EXPECT_SLICE(name, p.local, paths[i].local);
		EXPECT_SLICE(name, p.domain, paths[i].domain);
		EXPECT_SLICE(name, rest, paths[i].rest);
		EXPECT(name, p.address.len == p.local.len + p.domain.len + (p.domain.len > 0));
	}
}

/* A path is accepted by the same rules as the bare address in it. */
static void addresses_agree_with_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(paths); i++) {
		struct slice path = slice_str(paths[i].path);
		struct slice inside = slice_part(path, 1, path.len >= 2 ? path.len - 2 : 0);
		bool whole = path.len > 2 && path.at[0] == '<' && path.at[path.len - 1] == '>';

		if (!whole || (paths[i].rc == RC_OK && paths[i].rest[0]) ||
		    paths[i].flags & ADDRESS_POSTMASTER)
			continue;
		EXPECT(paths[i].path,
		       smtp_address_valid(inside, paths[i].flags) == (paths[i].rc == RC_OK));
	}
}

static void nul_is_no_address(void **state)
{
	struct smtp_path p;
	struct slice rest;
	struct slice s = slice_of("<a\0b@example.org>", 17);

	(void)state;
	assert_int_equal(smtp_path_parse(&p, s, ADDRESS_UTF8, &rest, NULL), RC_INVALID);
	assert_false(smtp_address_valid(slice_of("a@example\0.org", 14), ADDRESS_UTF8));
	assert_false(smtp_address_valid(slice_of(NULL, 0), ADDRESS_NULL));
}

/* Every prefix of a good path is refused and nothing behind it is read (the sanitizer watches). */
static void prefixes_are_refused(void **state)
{
	static const char good[] = "<\"a\\\"b\"@[IPv6:2001:db8::1]>";

	(void)state;
	for (size_t n = 0; n < sizeof(good) - 1; n++) {
		uint8_t *copy = mem_new(n ? n : 1);
		struct smtp_path p;
		struct slice rest;

		memcpy(copy, good, n);
		assert_int_equal(smtp_path_parse(&p, slice_of(copy, n), 0, &rest, NULL),
		                 RC_INVALID);
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_are_read),
		cmocka_unit_test(addresses_agree_with_paths),
		cmocka_unit_test(nul_is_no_address),
		cmocka_unit_test(prefixes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
