/*
 * tests/unit/verdict/zone.h - a few lines of text in place of DNS
 *
 * A zone has a line for each record: "NAME TYPE VALUE". The value of an MX is "PREFERENCE HOST";
 * "FAIL" as the type makes all questions about the name fail. "*" is every name. A name that is in
 * no line doesn't exist; a record that can't be read isn't there.
 * "SECURE" as the type: all answers about the name are validated. The value of a TLSA is its bytes in hexadecimal.
 */
#ifndef MM_TESTS_UNIT_VERDICT_ZONE_H
#define MM_TESTS_UNIT_VERDICT_ZONE_H

#include "ingest/verdict/answers.h"

#define ZONE_RECORDS 300

static inline bool zone_has_type(struct slice word, enum dns_type t)
{
	const char *want = t == DNS_A      ? "A"
	                   : t == DNS_PTR  ? "PTR"
	                   : t == DNS_MX   ? "MX"
	                   : t == DNS_AAAA ? "AAAA"
	                   : t == DNS_TLSA ? "TLSA"
	                                   : "TXT";

	return slice_equal(word, slice_str(want));
}

static inline struct slice zone_bytes(struct slice hex)
{
	static uint8_t memory[65536];
	static size_t used;
	size_t n = hex.len / 2;
	uint8_t *at;

	if (n > sizeof(memory) - used)
		used = 0;
	at = memory + used;
	used += n;
	for (size_t i = 0; i < n; i++) {
		int high = hex.at[2 * i], low = hex.at[2 * i + 1];

		at[i] = (uint8_t)((high > '9' ? high - 'a' + 10 : high - '0') << 4 |
				  (low > '9' ? low - 'a' + 10 : low - '0'));
	}
	return slice_of(at, n);
}

static inline bool zone_record(struct dns_record *r, enum dns_type t, struct slice value)
{
	uint64_t n = 0;

	*r = (struct dns_record) { .text = value };
	if (t == DNS_A || t == DNS_AAAA) {
		r->text = (struct slice) { 0 };
		return ip_parse(&r->ip, value);
	}
	if (t == DNS_TLSA)
		r->text = zone_bytes(value);
	if (t == DNS_MX) {
		if (!slice_to_u64(slice_cut(value, ' ', &r->text), &n))
			return false;
		r->preference = (uint16_t)n;
	}
	return true;
}

static inline void zone_answer(struct answers *a, struct slice zone, const struct dns_question *q)
{
	struct dns_record records[ZONE_RECORDS];
	struct dns_answer d = { .status = DNS_NO_NAME, .records = records };

	while (zone.len) {
		struct slice line = slice_cut(zone, '\n', &zone);
		struct slice name = slice_cut(line, ' ', &line);
		struct slice type = slice_cut(line, ' ', &line);

		if (!slice_equal_nocase(name, slice_str(q->name)) &&
		    !slice_equal(name, slice_str("*")))
			continue;
		if (slice_equal(type, slice_str("FAIL")))
			d.status = DNS_FAILED;
		else if (slice_equal(type, slice_str("SECURE")))
			d.secure = true;
		else if (zone_has_type(type, q->type) && d.count < ZONE_RECORDS)
			d.count += zone_record(&records[d.count], q->type, line);
		if (d.status == DNS_NO_NAME)
			d.status = DNS_NO_DATA;
	}
	if (d.count && d.status != DNS_FAILED)
		d.status = DNS_RECORDS;
	answers_put(a, q->type, slice_str(q->name), &d);
}

/* Answers all that is wanted. Returns how many that were. */
static inline size_t zone_answer_all(struct answers *a, struct slice zone)
{
	struct dns_question q;
	size_t n = 0;

	for (; answers_wanted(a, &q); n++)
		zone_answer(a, zone, &q);
	return n;
}

#endif
