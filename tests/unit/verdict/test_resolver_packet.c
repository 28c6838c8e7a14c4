#include "tests/unit/test.h"

#include <stdlib.h>

#include "ingest/verdict/resolver.h"
#include "tests/unit/verdict/packet.h"

static struct dns_answer got;
static struct dns_record *records;

/* Reads the packet and frees it. */
static enum dns_status read_packet(struct packet *p, enum dns_type type, const char *name)
{
	/* A copy of its exact size, so that a sanitizer sees who reads beyond. */
	uint8_t *copy = mem_new(p->bytes.len);

	resolver_records_free(&records, got.count);
	memcpy(copy, p->bytes.at, p->bytes.len);
	resolver_read(&got, &records, type, name, slice_of(copy, p->bytes.len));
	free(copy);
	buf_free(&p->bytes);
	return got.status;
}

static int end(void **state)
{
	(void)state;
	resolver_records_free(&records, got.count);
	got = (struct dns_answer) { 0 };
	return 0;
}

static void addresses(void **state)
{
	struct packet p;
	uint8_t six[16] = { 0x20, 1, 13, 184 };

	(void)state;
	packet_begin(&p, 0, "a.example", DNS_A);
	packet_raw(&p, "@", DNS_A, slice_of("\300\0\2\1", 4));
	packet_raw(&p, "A.Example", DNS_A, slice_of("\300\0\2\2", 4));
	packet_raw(&p, "b.example", DNS_A, slice_of("\300\0\2\3", 4));
	packet_raw(&p, "@", DNS_AAAA, slice_of(six, 16));
	assert_int_equal(read_packet(&p, DNS_A, "a.example"), DNS_RECORDS);
	assert_int_equal(got.count, 2); /* the others are of another name or type */
	assert_int_equal(got.records[1].ip.b[3], 2);
	packet_begin(&p, 0, "a.example", DNS_AAAA);
	packet_raw(&p, "@", DNS_AAAA, slice_of(six, 16));
	assert_int_equal(read_packet(&p, DNS_AAAA, "a.example"), DNS_RECORDS);
	assert_int_equal(got.records[0].ip.family, 6);
	for (size_t n = 0; n < 20; n++) {
		packet_begin(&p, 0, "a.example", DNS_A);
		packet_raw(&p, "@", DNS_A, slice_of(six, n % 16));
		assert_int_equal(read_packet(&p, DNS_A, "a.example"),
		                 n % 16 == 4 ? DNS_RECORDS : DNS_FAILED);
	}
}

static void texts_are_joined(void **state)
{
	struct packet p;

	(void)state;
	packet_begin(&p, 0, "a.example", DNS_TXT);
	packet_raw(&p, "@", DNS_TXT, slice_of("\3abc\0\2\0d", 8));
	packet_raw(&p, "@", DNS_TXT, slice_of("\0", 1));
	packet_raw(&p, "@", DNS_TXT, slice_of("", 0));
	assert_int_equal(read_packet(&p, DNS_TXT, "a.example"), DNS_RECORDS);
	assert_int_equal(got.count, 3);
	assert_true(slice_equal(got.records[0].text, slice_of("abc\0d", 5)));
	assert_int_equal(got.records[1].text.len, 0);
	packet_begin(&p, 0, "a.example", DNS_TXT);
	packet_raw(&p, "@", DNS_TXT, slice_of("\4abc", 4)); /* goes beyond its record */
	assert_int_equal(read_packet(&p, DNS_TXT, "a.example"), DNS_FAILED);
}

static void hosts_in_their_order(void **state)
{
	struct packet p;

	(void)state;
	packet_begin(&p, 0, "a.example", DNS_MX);
	packet_pointing(&p, "@", DNS_MX, 2, 20, "b.a.example");
	packet_pointing(&p, "@", DNS_MX, 2, 10, "z.a.example");
	packet_pointing(&p, "@", DNS_MX, 2, 10, "@");
	packet_pointing(&p, "@", DNS_MX, 2, 65535, "");
	assert_int_equal(read_packet(&p, DNS_MX, "a.example"), DNS_RECORDS);
	assert_int_equal(got.count, 4);
	EXPECT_SLICE("first", got.records[0].text, "a.example");
	EXPECT_SLICE("second", got.records[1].text, "z.a.example");
	EXPECT_SLICE("third", got.records[2].text, "b.a.example");
	EXPECT_SLICE("null MX", got.records[3].text, "");
	assert_int_equal(got.records[3].preference, 65535);
	packet_begin(&p, 0, "1.2.0.192.in-addr.arpa", DNS_PTR);
	packet_pointing(&p, "@", DNS_PTR, 0, 0, "host.example");
	assert_int_equal(read_packet(&p, DNS_PTR, "1.2.0.192.in-addr.arpa"), DNS_RECORDS);
	EXPECT_SLICE("pointer", got.records[0].text, "host.example");
	packet_begin(&p, 0, "a.example", DNS_MX);
	packet_raw(&p, "@", DNS_MX, slice_of("\0\12\1b\0x", 6)); /* more behind its name */
	assert_int_equal(read_packet(&p, DNS_MX, "a.example"), DNS_FAILED);
	packet_begin(&p, 0, "a.example", DNS_MX);
	packet_raw(&p, "@", DNS_MX, slice_of("\0\12", 2)); /* no name */
	assert_int_equal(read_packet(&p, DNS_MX, "a.example"), DNS_FAILED);
}

static void keys_of_servers_as_they_are(void **state)
{
	struct packet p;

	(void)state;
	packet_begin(&p, 0, "_25._tcp.a.example", DNS_TLSA);
	packet_raw(&p, "@", DNS_TLSA, slice_of("\3\1\1\0\377", 5));
	packet_raw(&p, "@", DNS_TLSA, slice_of("\0\0\0x", 4));
	assert_int_equal(read_packet(&p, DNS_TLSA, "_25._tcp.a.example"), DNS_RECORDS);
	assert_int_equal(got.count, 2);
	assert_true(slice_equal(got.records[0].text, slice_of("\3\1\1\0\377", 5)));
	packet_begin(&p, 0, "_25._tcp.a.example", DNS_TLSA);
	packet_raw(&p, "@", DNS_TLSA, slice_of("\3\1\1", 3)); /* no data */
	assert_int_equal(read_packet(&p, DNS_TLSA, "_25._tcp.a.example"), DNS_FAILED);
}

static void aliases_are_followed(void **state)
{
	struct packet p;

	(void)state;
	packet_begin(&p, 0, "a.example", DNS_TXT);
	packet_pointing(&p, "@", PACKET_CNAME, 0, 0, "B.example");
	packet_text(&p, "a.example", "not of the name that counts");
	packet_pointing(&p, "b.example", PACKET_CNAME, 0, 0, "c.example");
	packet_text(&p, "c.example", "right");
	assert_int_equal(read_packet(&p, DNS_TXT, "a.example"), DNS_RECORDS);
	assert_int_equal(got.count, 1);
	EXPECT_SLICE("end", got.records[0].text, "right");
	packet_begin(&p, 3, "a.example", DNS_TXT); /* to a name that isn't there */
	packet_pointing(&p, "@", PACKET_CNAME, 0, 0, "b.example");
	assert_int_equal(read_packet(&p, DNS_TXT, "a.example"), DNS_NO_NAME);
	packet_begin(&p, 0, "a.example", DNS_TXT); /* both a record and an alias */
	packet_text(&p, "@", "x");
	packet_pointing(&p, "@", PACKET_CNAME, 0, 0, "b.example");
	assert_int_equal(read_packet(&p, DNS_TXT, "a.example"), DNS_FAILED);
	packet_begin(&p, 0, "a.example", DNS_TXT); /* in a circle */
	for (int i = 0; i < 20; i++)
		packet_pointing(&p, "@", PACKET_CNAME, 0, 0, "@");
	assert_int_equal(read_packet(&p, DNS_TXT, "a.example"), DNS_FAILED);
}

static void nothing_there(void **state)
{
	static const struct {
		unsigned rcode;
		enum dns_status want;
	} codes[] = { { 0, DNS_NO_DATA }, { 3, DNS_NO_NAME }, { 2, DNS_FAILED },
		      { 5, DNS_FAILED },  { 1, DNS_FAILED },  { 15, DNS_FAILED } };
	struct packet p;

	(void)state;
	for (size_t i = 0; i < COUNT(codes); i++) {
		packet_begin(&p, codes[i].rcode, "a.example", DNS_A);
		assert_int_equal(read_packet(&p, DNS_A, "a.example"), codes[i].want);
		assert_null(records);
	}
	packet_begin(&p, 3, "a.example", DNS_A); /* records of a name that isn't there */
	packet_raw(&p, "@", DNS_A, slice_of("\300\0\2\1", 4));
	assert_int_equal(read_packet(&p, DNS_A, "a.example"), DNS_FAILED);
	packet_begin(&p, 0, "a.example", DNS_A); /* cut */
	p.bytes.at[2] |= 2;
	assert_int_equal(read_packet(&p, DNS_A, "a.example"), DNS_FAILED);
	packet_begin(&p, 0, "a.example", DNS_A); /* a question */
	p.bytes.at[2] &= 0x7f;
	assert_int_equal(read_packet(&p, DNS_A, "a.example"), DNS_FAILED);
}

static void no_more_than_answers_take(void **state)
{
	struct packet p;

	(void)state;
	for (size_t n = ANSWERS_RECORDS; n <= ANSWERS_RECORDS + 1; n++) {
		packet_begin(&p, 0, "a.example", DNS_A);
		for (size_t i = 0; i < n; i++)
			packet_raw(&p, "@", DNS_A, slice_of("\300\0\2\1", 4));
		assert_int_equal(read_packet(&p, DNS_A, "a.example"),
		                 n == ANSWERS_RECORDS ? DNS_RECORDS : DNS_FAILED);
	}
}

static struct packet whole(void)
{
	struct packet p;

	packet_begin(&p, 0, "a.example", DNS_MX);
	packet_pointing(&p, "@", PACKET_CNAME, 0, 0, "b.example");
	packet_pointing(&p, "b.example", DNS_MX, 2, 10, "c.b.example");
	packet_pointing(&p, "b.example", DNS_MX, 2, 20, "@");
	return p;
}

/* No cut, and no changed byte, is read beyond the packet's end. */
static void damaged_packets(void **state)
{
	struct packet p = whole();
	size_t length = p.bytes.len;

	(void)state;
	assert_int_equal(read_packet(&p, DNS_MX, "a.example"), DNS_RECORDS);
	for (size_t n = 0; n < length; n++) {
		p = whole();
		p.bytes.len = n;
		(void)read_packet(&p, DNS_MX, "a.example");
		assert_int_equal(got.status, DNS_FAILED);
	}
	for (size_t n = 0; n < length; n++)
		for (unsigned v = 0; v < 256; v += 15) {
			p = whole();
			p.bytes.at[n] = (uint8_t)v;
			(void)read_packet(&p, DNS_MX, "a.example");
		}
}

static void names_that_are_none(void **state)
{
	struct packet p;

	(void)state;
	packet_begin(&p, 0, "a.example", DNS_A);
	assert_int_equal(read_packet(&p, DNS_A, "a..example"), DNS_FAILED);
	packet_begin(&p, 0, "a\\b.example", DNS_TXT);
	packet_text(&p, "@", "with a backslash in a label");
	assert_int_equal(read_packet(&p, DNS_TXT, "a\\b.example"), DNS_RECORDS);
}

static const struct {
	const char *text;
	unsigned port; /* 0: none */
} servers[] = {
	{ "127.0.0.1@5353", 5353 },
	{ "192.0.2.1", 53 },
	{ "2001:db8::1@53", 53 },
	{ "::1", 53 },
	{ "127.0.0.1@", 0 },
	{ "127.0.0.1@0", 0 },
	{ "127.0.0.1@65536", 0 },
	{ "127.0.0.1@-1", 0 },
	{ "127.0.0.1@53x", 0 },
	{ "dns.example", 0 },
	{ "dns.example@53", 0 },
	{ "", 0 },
	{ "@53", 0 },
	{ "127.1", 0 },
	{ "127.0.0.1:53", 0 },
};

static void servers_are_addresses(void **state)
{
	struct ip ip;
	uint16_t port;

	(void)state;
	for (size_t i = 0; i < COUNT(servers); i++) {
		bool is = resolver_server(slice_str(servers[i].text), &ip, &port);

		EXPECT(servers[i].text, is == (servers[i].port != 0));
		if (is)
			assert_int_equal(port, servers[i].port);
	}
}

static const struct {
	const char *json;
	bool good;
} sections[] = {
	{ "{}", true },
	{ "{\"forward\":\"127.0.0.1@5353\",\"deadline\":3}", true },
	{ "{\"resolv_conf\":true,\"trust_anchor\":\"/etc/anchor\"}", true },
	{ "{\"stubs\":{\"lab\":\"127.0.0.1@15353\",\"x.y\":\"::1\"}}", true },
	{ "{\"forward\":\"\"}", false },
	{ "{\"forward\":1}", false },
	{ "{\"forward\":\"localhost\"}", false },
	{ "{\"forward\":\"127.0.0.1\",\"resolv_conf\":true}", false },
	{ "{\"resolv_conf\":\"yes\"}", false },
	{ "{\"trust_anchor\":false}", false },
	{ "{\"stubs\":[]}", false },
	{ "{\"stubs\":{\"lab\":1}}", false },
	{ "{\"stubs\":{\"lab\":\"ns.lab\"}}", false },
	{ "{\"stubs\":{\"\":\"127.0.0.1\"}}", false },
	{ "{\"stubs\":{\"a b\":\"127.0.0.1\"}}", false },
	{ "{\"deadline\":0}", false },
	{ "{\"deadline\":301}", false },
	{ "{\"deadline\":\"3\"}", false },
	{ "{\"servers\":1}", false },
	{ "[]", false },
};

static void sections_are_checked(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(sections); i++) {
		struct resolver_options o;
		struct err e;
		json_t *dns;
		int64_t ms;
		enum rc rc;

		EXPECT_OK(json_read(&dns, slice_str(sections[i].json), &e), &e);
		rc = resolver_options_read(&o, dns, &e);
		if (rc == RC_OK)
			rc = resolver_deadline(dns, &ms, &e);
		EXPECT(sections[i].json, rc == (sections[i].good ? RC_OK : RC_INVALID));
		json_decref(dns);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(addresses, end),
		cmocka_unit_test_teardown(texts_are_joined, end),
		cmocka_unit_test_teardown(hosts_in_their_order, end),
		cmocka_unit_test_teardown(keys_of_servers_as_they_are, end),
		cmocka_unit_test_teardown(aliases_are_followed, end),
		cmocka_unit_test_teardown(nothing_there, end),
		cmocka_unit_test_teardown(no_more_than_answers_take, end),
		cmocka_unit_test_teardown(damaged_packets, end),
		cmocka_unit_test_teardown(names_that_are_none, end),
		cmocka_unit_test(servers_are_addresses),
		cmocka_unit_test(sections_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
