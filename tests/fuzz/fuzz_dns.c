/*
 * tests/fuzz/fuzz_dns.c - a packet that a DNS server of a sender's making sent
 *
 * Input    One byte: which type was asked for; a line: the name; then the packet. Where that begins
 * with "=", the header, the question and pointers to its name are right, and the records behind it
 * the sender's: a packet that libunbound took. Oracle   What answers take (answers.h), addresses of
 * their family, hosts in their order, names no longer than names are; the same when it is read
 * again.
 */
#include <stdlib.h>

#include "ingest/verdict/resolver.h"
#include "tests/unit/verdict/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const enum dns_type types[] = { DNS_A, DNS_PTR, DNS_MX, DNS_TXT, DNS_AAAA, DNS_TLSA };

static void expect_record(enum dns_type type, const struct dns_record *r)
{
	bool address = type == DNS_A || type == DNS_AAAA;

	MUST(r->ip.family == (type == DNS_A ? 4 : type == DNS_AAAA ? 6 : 0));
	MUST(!address || r->text.len == 0);
	MUST(type != DNS_TLSA || r->text.len >= 4);
	MUST(type == DNS_TXT || type == DNS_TLSA || r->text.len <= 1024); /* escapes make four characters of one */
	MUST(type == DNS_MX || r->preference == 0);
}

static void expect_fit(enum dns_type type, const struct dns_answer *a,
                       const struct dns_record *records)
{
	size_t bytes = 0;

	MUST(!a->secure && a->count <= ANSWERS_RECORDS);
	MUST((a->status == DNS_RECORDS) == (a->count > 0));
	MUST((a->count > 0) == (records != NULL) && a->records == records);
	for (size_t i = 0; i < a->count; i++) {
		expect_record(type, &records[i]);
		bytes += records[i].text.len;
		MUST(i == 0 || records[i - 1].preference <= records[i].preference);
	}
	MUST(bytes <= ANSWERS_BYTES);
}

static void read_twice(enum dns_type type, const char *name, struct slice packet)
{
	struct dns_answer first, second;
	struct dns_record *one, *two;

	resolver_read(&first, &one, type, name, packet);
	resolver_read(&second, &two, type, name, packet);
	expect_fit(type, &first, one);
	MUST(first.status == second.status && first.count == second.count);
	for (size_t i = 0; i < first.count; i++)
		MUST(slice_equal(one[i].text, two[i].text));
	resolver_records_free(&one, first.count);
	resolver_records_free(&two, second.count);
}

/* "=N" and N records that are the rest of the input. */
static void read_records(enum dns_type type, const char *name, struct slice rest)
{
	struct packet p;

	packet_begin(&p, rest.len > 2 && rest.at[2] == 3 ? 3 : 0, name, type);
	p.bytes.at[7] = rest.len > 1 ? rest.at[1] : 0;
	if (buf_add(&p.bytes, slice_from(rest, 3)) == RC_OK)
		read_twice(type, name, buf_slice(&p.bytes));
	buf_free(&p.bytes);
}

static bool is_name(struct slice s)
{
	size_t label = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == 0 || (s.at[i] == '.' && label == 0))
			return false;
		label = s.at[i] == '.' ? 0 : label + 1;
		if (label > 63)
			return false;
	}
	return s.len > 0 && s.len < 254 && label > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of(data, size);
	struct slice name;
	enum dns_type type;
	char *text;

	if (size == 0)
		return 0;
	type = types[data[0] % COUNT(types)];
	name = slice_cut(slice_from(rest, 1), '\n', &rest);
	if (!is_name(name))
		name = slice_str("a.example");
	text = slice_string(name);
	if (rest.len && rest.at[0] == '=')
		read_records(type, text, rest);
	else
		read_twice(type, text, rest);
	free(text);
	return 0;
}
