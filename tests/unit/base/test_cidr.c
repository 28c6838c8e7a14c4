#include "base/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/unit/test.h"

static const struct {
	const char *text;
	const char *shown; /* NULL: refused */
} addresses[] = {
	{ "192.0.2.1", "192.0.2.1" },
	{ "0.0.0.0", "0.0.0.0" },
	{ "255.255.255.255", "255.255.255.255" },
	{ "::", "::" },
	{ "::1", "::1" },
	{ "2001:DB8:0:0:0:0:0:1", "2001:db8::1" },
	{ "::ffff:192.0.2.1", "192.0.2.1" },
	{ "::ffff:c000:201", "192.0.2.1" },
	{ "::fffe:192.0.2.1", "::fffe:c000:201" },
	{ "", NULL },
	{ "192.0.2", NULL },
	{ "192.0.2.256", NULL },
	{ "192.0.2.1 ", NULL },
	{ "010.0.0.1", NULL },
	{ "0x7f.0.0.1", NULL },
	{ "[::1]", NULL },
	{ "fe80::1%eth0", NULL },
	{ "1::2::3", NULL },
	{ "12345::", NULL },
	{ "host.example", NULL },
	{ "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", NULL },
};

static void test_addresses(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(addresses); i++) {
		char shown[IP_TEXT];
		struct ip ip;
		bool good = ip_parse(&ip, slice_str(addresses[i].text));

		EXPECT(addresses[i].text, good == (addresses[i].shown != NULL));
		if (!good)
			continue;
		ip_format(shown, &ip);
		assert_string_equal(shown, addresses[i].shown);
	}
}

static void test_nul_inside(void **state)
{
	struct ip ip;

	(void)state;
	assert_false(ip_parse(&ip, slice_of("192.0.2.1\0", 10)));
	assert_int_equal(ip.family, 0);
}

static const struct {
	const char *net;
	const char *ip;
	bool in;
} members[] = {
	{ "192.0.2.0/24", "192.0.2.0", true },
	{ "192.0.2.0/24", "192.0.2.255", true },
	{ "192.0.2.0/24", "192.0.3.0", false },
	{ "192.0.2.77/24", "192.0.2.1", true },
	{ "192.0.2.128/25", "192.0.2.127", false },
	{ "192.0.2.128/25", "192.0.2.128", true },
	{ "10.0.0.0/9", "10.127.255.255", true },
	{ "10.0.0.0/9", "10.128.0.0", false },
	{ "0.0.0.0/0", "203.0.113.9", true },
	{ "0.0.0.0/0", "2001:db8::1", false },
	{ "::/0", "2001:db8::1", true },
	{ "::/0", "203.0.113.9", false },
	{ "::/0", "::ffff:203.0.113.9", false },
	{ "192.0.2.1/32", "192.0.2.1", true },
	{ "192.0.2.1/32", "192.0.2.0", false },
	{ "192.0.2.0/31", "192.0.2.1", true },
	{ "192.0.2.0/24", "::ffff:192.0.2.9", true },
	{ "::ffff:192.0.2.0/120", "192.0.2.9", true },
	{ "::ffff:192.0.2.0/120", "192.0.3.9", false },
	{ "2001:db8::/33", "2001:db8:7fff:ffff::", true },
	{ "2001:db8::/33", "2001:db8:8000::", false },
	{ "2001:db8::1/128", "2001:db8::1", true },
	{ "2001:db8::1/128", "2001:db8::2", false },
	{ "2001:db8::/127", "2001:db8::1", true },
};

static void test_members(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(members); i++) {
		struct cidr net;
		struct ip ip;

		EXPECT(members[i].net, cidr_parse(&net, slice_str(members[i].net), false));
		EXPECT(members[i].ip, ip_parse(&ip, slice_str(members[i].ip)));
		if (cidr_contains(&net, &ip) != members[i].in)
			fail_msg("%s in %s", members[i].ip, members[i].net);
	}
}

static void test_unknown_is_nowhere(void **state)
{
	struct cidr net;
	struct ip unknown = { 0 };
	char text[IP_TEXT];

	(void)state;
	assert_true(cidr_parse(&net, slice_str("0.0.0.0/0"), false));
	assert_false(cidr_contains(&net, &unknown));
	net = (struct cidr) { 0 };
	assert_false(cidr_contains(&net, &unknown));
	ip_format(text, &unknown);
	assert_string_equal(text, "unknown");
}

static void test_network_syntax(void **state)
{
	static const struct {
		const char *text;
		bool good;
		bool bare;
	} cases[] = {
		{ "192.0.2.0/24", true, true },
		{ "192.0.2.0", false, true },
		{ "2001:db8::", false, true },
		{ "192.0.2.0/", false, false },
		{ "192.0.2.0/33", false, false },
		{ "192.0.2.0/024", false, false },
		{ "192.0.2.0/-1", false, false },
		{ "192.0.2.0/24 ", false, false },
		{ "192.0.2.0/2/4", false, false },
		{ "::/129", false, false },
		{ "::/128", true, true },
		{ "::ffff:0.0.0.0/95", false, false },
		{ "::ffff:0.0.0.0/96", true, true },
		{ "/24", false, false },
		{ "192.0.2.0/4294967320", false, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct cidr net;

		EXPECT(cases[i].text,
		       cidr_parse(&net, slice_str(cases[i].text), false) == cases[i].good);
		EXPECT(cases[i].text,
		       cidr_parse(&net, slice_str(cases[i].text), true) == cases[i].bare);
	}
}

static void test_sockaddr(void **state)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_storage any;
	struct ip want;
	struct ip got;

	(void)state;
	assert_true(ip_parse(&want, slice_str("192.0.2.1")));
	assert_int_equal(inet_pton(AF_INET, "192.0.2.1", &v4.sin_addr), 1);
	memcpy(&any, &v4, sizeof(v4));
	got = ip_of_sockaddr((struct sockaddr *)&any);
	assert_true(ip_equal(&got, &want));
	assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", &v6.sin6_addr), 1);
	memcpy(&any, &v6, sizeof(v6));
	got = ip_of_sockaddr((struct sockaddr *)&any);
	assert_true(ip_equal(&got, &want));
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::1", &v6.sin6_addr), 1);
	memcpy(&any, &v6, sizeof(v6));
	got = ip_of_sockaddr((struct sockaddr *)&any);
	assert_false(ip_equal(&got, &want));
	assert_int_equal(got.family, 6);
	memcpy(&any, &un, sizeof(un));
	got = ip_of_sockaddr((struct sockaddr *)&any);
	assert_int_equal(got.family, 0);
}

static void test_ports(void **state)
{
	static const struct {
		const char *text;
		int port; /* 0: refused */
		uint8_t family;
	} cases[] = {
		{ "127.0.0.1:2525", 2525, 4 },
		{ "0.0.0.0:1", 1, 4 },
		{ "[::1]:65535", 65535, 6 },
		{ "[::]:25", 25, 6 },
		{ "127.0.0.1:0", 0, 0 },
		{ "127.0.0.1:65536", 0, 0 },
		{ "127.0.0.1:", 0, 0 },
		{ "127.0.0.1", 0, 0 },
		{ "::1:25", 0, 0 },
		{ "[127.0.0.1]:25", 0, 0 },
		{ "[::1]25", 0, 0 },
		{ "[::1]", 0, 0 },
		{ "[::1", 0, 0 },
		{ ":25", 0, 0 },
		{ "localhost:25", 0, 0 },
		{ "127.0.0.1:25x", 0, 0 },
		{ "127.0.0.1:+25", 0, 0 },
		{ "", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct ip ip;
		uint16_t port = 0;
		bool good = ip_port_parse(&ip, &port, slice_str(cases[i].text));

		EXPECT(cases[i].text, good == (cases[i].port != 0));
		EXPECT(cases[i].text,
		       !good || (port == cases[i].port && ip.family == cases[i].family));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),      cmocka_unit_test(test_nul_inside),
		cmocka_unit_test(test_members),        cmocka_unit_test(test_unknown_is_nowhere),
		cmocka_unit_test(test_network_syntax), cmocka_unit_test(test_sockaddr),
		cmocka_unit_test(test_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
