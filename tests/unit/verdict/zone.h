/*
 * tests/unit/verdict/zone.h - a few lines of text in place of DNS
 *
 * A zone has a line for each record: "NAME TYPE VALUE". The value of an MX is "PREFERENCE HOST"; "FAIL" as the
 * type makes all questions about the name fail. A name that is in no line doesn't exist.
 */
#ifndef MM_TESTS_UNIT_VERDICT_ZONE_H
#define MM_TESTS_UNIT_VERDICT_ZONE_H

#include "ingest/verdict/answers.h"
#include "tests/unit/test.h"

#define ZONE_RECORDS 300

static inline bool zone_has_type(struct slice word, enum dns_type t)
{
	const char *want = t == DNS_A      ? "A"
	                   : t == DNS_PTR  ? "PTR"
	                   : t == DNS_MX   ? "MX"
	                   : t == DNS_AAAA ? "AAAA"
	                                   : "TXT";

	return slice_equal(word, slice_str(want));
}

static inline struct dns_record zone_record(enum dns_type t, struct slice value)
{
	struct dns_record r = { .text = value };
	uint64_t n = 0;

	if (t == DNS_A || t == DNS_AAAA) {
		MUST(ip_parse(&r.ip, value));
		r.text = (struct slice) { 0 };
	} else if (t == DNS_MX) {
		MUST(slice_to_u64(slice_cut(value, ' ', &r.text), &n));
		r.preference = (uint16_t)n;
	}
	return r;
}

static inline void zone_answer(struct answers *a, const char *zone, const struct dns_question *q)
{
	struct dns_record records[ZONE_RECORDS];
	struct dns_answer d = { .status = DNS_NO_NAME, .records = records };
	struct slice rest = slice_str(zone);

	while (rest.len) {
		struct slice line = slice_cut(rest, '\n', &rest);
		struct slice type;
		struct slice value;

		if (!slice_equal_nocase(slice_cut(line, ' ', &type), slice_str(q->name)))
			continue;
		type = slice_cut(type, ' ', &value);
		if (slice_equal(type, slice_str("FAIL")))
			d.status = DNS_FAILED;
		else if (zone_has_type(type, q->type) && d.count < ZONE_RECORDS)
			records[d.count++] = zone_record(q->type, value);
		if (d.status == DNS_NO_NAME)
			d.status = DNS_NO_DATA;
	}
	if (d.count && d.status != DNS_FAILED)
		d.status = DNS_RECORDS;
	answers_put(a, q->type, slice_str(q->name), &d);
}

/* Answers all that is wanted. Returns how many that were. */
static inline size_t zone_answer_all(struct answers *a, const char *zone)
{
	struct dns_question q;
	size_t n = 0;

	for (; answers_wanted(a, &q); n++)
		zone_answer(a, zone, &q);
	return n;
}

#endif
