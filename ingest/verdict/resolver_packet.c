/* ingest/verdict/resolver_packet.c - a packet of DNS to records */
#include "ingest/verdict/resolver.h"

#include <arpa/nameser.h>
#include <resolv.h>
#include <stdlib.h>

#define CHAIN        16  /* CNAMEs that are followed in one packet */
#define WIRE         256 /* a name as it is in packets */
#define RECORDS      ANSWERS_RECORDS
#define TLSA_NUMBERS 3

struct reading {
	ns_msg msg;
	enum dns_type type;
	uint8_t name[WIRE]; /* of the records that count now: the asked one, then where CNAMEs lead
	                     */
	size_t length;
	unsigned chain;
	struct dns_record *records;
	size_t count;
	size_t bytes; /* of texts */
};

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* Labels with their lengths, letters in lower case. Lengths are below 64, so no letter is among
 * them. 0: no name. */
static size_t wire_of_text(uint8_t out[WIRE], const char *text)
{
	size_t n = 0;

	while (*text) {
		size_t label = strcspn(text, ".");

		if (label == 0 || label > 63 || n + label + 2 > WIRE - 1)
			return 0;
		out[n++] = (uint8_t)label;
		for (size_t i = 0; i < label; i++)
			out[n++] = lower((uint8_t)text[i]);
		text += label + (text[label] == '.');
	}
	out[n++] = 0;
	return n;
}

/* The same of a name in the packet, which may be compressed; *used: what it takes there. 0: none.
 */
static size_t wire_of_packet(uint8_t out[WIRE], const struct reading *r, const uint8_t *at,
                             size_t *used)
{
	size_t n = 0;
	int got = ns_name_unpack(ns_msg_base(r->msg), ns_msg_end(r->msg), at, out, WIRE);

	if (got < 0)
		return 0;
	*used = (size_t)got;
	while (out[n]) /* within its bounds: ns_name_unpack ends it so */
		for (size_t left = out[n++]; left; left--, n++)
			out[n] = lower(out[n]);
	return n + 1;
}

static bool owned(const struct reading *r, const ns_rr *rr)
{
	uint8_t plain[WIRE];
	uint8_t name[WIRE];
	size_t n = 0;

	if (ns_name_pton(ns_rr_name(*rr), plain, sizeof(plain)) < 0)
		return false;
	while (plain[n]) {
		name[n] = plain[n];
		for (size_t left = plain[n++]; left; left--, n++)
			name[n] = lower(plain[n]);
	}
	name[n++] = 0;
	return n == r->length && memcmp(name, r->name, n) == 0;
}

/* ---- records ---- */

static bool keep(struct reading *r, struct dns_record *rec, const void *text, size_t length)
{
	if (length) {
		uint8_t *copy = mem_new(length);

		memcpy(copy, text, length);
		rec->text = slice_of(copy, length);
	}
	r->bytes += length;
	r->records[r->count++] = *rec;
	return r->bytes <= ANSWERS_BYTES;
}

static bool take_address(struct reading *r, const ns_rr *rr)
{
	struct dns_record rec = { .ip.family = r->type == DNS_A ? 4 : 6 };
	size_t wanted = r->type == DNS_A ? 4 : 16;

	if (ns_rr_rdlen(*rr) != wanted)
		return false;
	memcpy(rec.ip.b, ns_rr_rdata(*rr), wanted);
	return keep(r, &rec, NULL, 0);
}

static bool take_text(struct reading *r, const ns_rr *rr)
{
	struct dns_record rec = { .preference = 0 };
	const uint8_t *in = ns_rr_rdata(*rr);
	size_t left = ns_rr_rdlen(*rr);
	uint8_t *joined = mem_new(left + 1);
	size_t n = 0;
	bool good = true;

	while (left && good) {
		size_t length = in[0];

		good = length < left;
		if (!good)
			break;
		memcpy(joined + n, in + 1, length);
		n += length;
		in += length + 1;
		left -= length + 1;
	}
	good = good && keep(r, &rec, joined, n);
	free(joined);
	return good;
}

/* A name that ends the record, `skip` bytes into it. */
static bool take_name(struct reading *r, const ns_rr *rr, size_t skip)
{
	struct dns_record rec = { .preference = 0 };
	char text[NS_MAXDNAME];
	size_t length = ns_rr_rdlen(*rr);
	const uint8_t *at = ns_rr_rdata(*rr) + skip;
	int got;

	if (length <= skip)
		return false;
	got = ns_name_uncompress(ns_msg_base(r->msg), ns_msg_end(r->msg), at, text, sizeof(text));
	if (got < 0 || (size_t)got != length - skip)
		return false;
	if (skip)
		rec.preference = (uint16_t)ns_get16(ns_rr_rdata(*rr));
	return keep(r, &rec, text, strcmp(text, ".") == 0 ? 0 : strlen(text));
}

static bool take_bytes(struct reading *r, const ns_rr *rr)
{
	struct dns_record rec = { .preference = 0 };

	return ns_rr_rdlen(*rr) > TLSA_NUMBERS && keep(r, &rec, ns_rr_rdata(*rr), ns_rr_rdlen(*rr));
}

static bool follow(struct reading *r, const ns_rr *rr)
{
	size_t used;

	if (r->count || ++r->chain > CHAIN)
		return false;
	r->length = wire_of_packet(r->name, r, ns_rr_rdata(*rr), &used);
	return r->length && used == ns_rr_rdlen(*rr);
}

static bool take(struct reading *r, const ns_rr *rr)
{
	if (ns_rr_class(*rr) != ns_c_in || !owned(r, rr))
		return true; /* none of ours */
	if (ns_rr_type(*rr) == ns_t_cname)
		return follow(r, rr);
	if (ns_rr_type(*rr) != (unsigned)r->type)
		return true;
	if (r->count == RECORDS)
		return false;
	switch (r->type) {
	case DNS_A:
	case DNS_AAAA:
		return take_address(r, rr);
	case DNS_TXT:
		return take_text(r, rr);
	case DNS_MX:
		return take_name(r, rr, 2);
	case DNS_PTR:
		return take_name(r, rr, 0);
	case DNS_TLSA:
		return take_bytes(r, rr);
	}
	return false;
}

/* ---- the whole ---- */

/* Equal ones by name, so that the order is the same each time. */
static int by_preference(const void *a, const void *b)
{
	const struct dns_record *x = a;
	const struct dns_record *y = b;
	size_t n = MIN_OF(x->text.len, y->text.len);
	int order = x->preference - y->preference;

	if (order == 0 && n)
		order = memcmp(x->text.at, y->text.at, n);
	return order ? order : (x->text.len > y->text.len) - (x->text.len < y->text.len);
}

static enum dns_status read_answer(struct reading *r)
{
	int count = ns_msg_count(r->msg, ns_s_an);
	int code = ns_msg_getflag(r->msg, ns_f_rcode);

	if (!ns_msg_getflag(r->msg, ns_f_qr) || ns_msg_getflag(r->msg, ns_f_tc))
		return DNS_FAILED;
	if (code != ns_r_noerror && code != ns_r_nxdomain)
		return DNS_FAILED;
	for (int i = 0; i < count; i++) {
		ns_rr rr;

		if (ns_parserr(&r->msg, ns_s_an, i, &rr) != 0 || !take(r, &rr))
			return DNS_FAILED;
	}
	if (code == ns_r_nxdomain)
		return r->count ? DNS_FAILED : DNS_NO_NAME;
	return r->count ? DNS_RECORDS : DNS_NO_DATA;
}

void resolver_read(struct dns_answer *out, struct dns_record **records, enum dns_type type,
                   const char *name, struct slice packet)
{
	struct reading r = { .type = type };

	*out = (struct dns_answer) { .status = DNS_FAILED };
	*records = NULL;
	r.length = wire_of_text(r.name, name);
	if (!r.length || packet.len < NS_HFIXEDSZ || packet.len > NS_MAXMSG ||
	    ns_initparse(packet.at, (int)packet.len, &r.msg) != 0)
		return;
	r.records = mem_array(RECORDS, sizeof(*r.records));
	out->status = read_answer(&r);
	if (out->status != DNS_RECORDS) {
		resolver_records_free(&r.records, r.count);
		return;
	}
	if (type == DNS_MX)
		qsort(r.records, r.count, sizeof(*r.records), by_preference);
	*records = r.records;
	out->records = r.records;
	out->count = r.count;
}

void resolver_records_free(struct dns_record **records, size_t count)
{
	for (size_t i = 0; *records && i < count; i++)
		free((void *)(uintptr_t)(*records)[i].text.at);
	free(*records);
	*records = NULL;
}
