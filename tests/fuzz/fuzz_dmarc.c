/*
 * tests/fuzz/fuzz_dmarc.c - DMARC of a message whose header, and whose DNS, a sender wrote
 *
 * Input    A line: the domain that SPF passed, and behind a blank the sample; then a header, up to
 * an empty line; then a zone (tests/unit/verdict/zone.h). Oracle   The domains of From are names of
 * DNS in lower case, each once. One round of lookups is enough. All answers at once or one by one
 *          give the same. A pass asks for nothing and is aligned; a fail of one domain asks for its
 * policy or the next weaker one; an odd From never passes. Any record alone, too: what is read has
 * its bounds.
 */
#include <stdlib.h>

#include "ingest/verdict/dmarc_record.h"
#include "ingest/verdict/from.h"
#include "tests/unit/verdict/zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_name(struct slice s)
{
	MUST(s.len > 0 && s.len <= 253);
	for (size_t i = 0; i < s.len; i++)
		MUST((s.at[i] >= 'a' && s.at[i] <= 'z') || (s.at[i] >= '0' && s.at[i] <= '9') ||
		     s.at[i] == '-' || s.at[i] == '_' || s.at[i] == '.');
}

static void expect_domains(const struct from *f)
{
	MUST(f->count <= FROM_DOMAINS && (f->count || f->odd));
	for (size_t i = 0; i < f->count; i++) {
		expect_name(f->domains[i]);
		for (size_t k = 0; k < i; k++)
			MUST(!slice_equal(f->domains[i], f->domains[k]));
	}
}

static void expect_fit(const struct dmarc_question *q, const struct dmarc_answer *a)
{
	bool one = q->from_count == 1 && !q->from_odd;

	MUST(a->result != DMARC_PASS || (one && (a->spf_aligned || a->dkim_aligned)));
	MUST(a->result == DMARC_FAIL || a->disposition == DMARC_ASKS_NONE || !one);
	MUST(a->disposition <= a->policy &&
	     (!one || a->result != DMARC_FAIL || a->policy - a->disposition <= 1));
	MUST(strlen(a->why) < sizeof(a->why) && strlen(a->domain) < sizeof(a->domain));
}

static void check(const struct dmarc_question *q, struct slice zone, bool together,
                  struct dmarc_answer *out)
{
	struct answers *a = answers_new();
	struct dns_question asked[2 * FROM_DOMAINS + 2];
	size_t rounds = 0;
	size_t count = 0;

	for (; dmarc_check(q, a, out) == RC_AGAIN; rounds++) {
		if (together) {
			MUST(zone_answer_all(a, zone) > 0);
			continue;
		}
		while (count < COUNT(asked) && answers_wanted(a, &asked[count]))
			count++;
		MUST(count > 0);
		zone_answer(a, zone, &asked[--count]);
	}
	MUST(!together || rounds <= 1);
	answers_free(&a);
}

static void read_record(struct slice text)
{
	struct dmarc_record r = { .pct = 1 };

	if (!dmarc_record_is(text) || dmarc_record_read(&r, text))
		return;
	MUST(r.pct <= 100 && r.p <= DMARC_ASKS_REJECT && r.sp <= DMARC_ASKS_REJECT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of(data, size);
	struct slice sample;
	struct slice passed = slice_cut(slice_cut(rest, '\n', &rest), ' ', &sample);
	size_t end = slice_find(rest, slice_str("\n\n"));
	struct slice header = slice_part(rest, 0, end == SIZE_MAX ? rest.len : end + 1);
	struct spf_answer spf = { .result = SPF_PASS };
	struct dmarc_question q = { .spf = &spf, .sample = sample.len ? sample.at[0] % 100 : 0 };
	struct dmarc_answer first, second;
	struct raw_message m;
	struct from from;

	dmarc_init();
	read_record(rest);
	rest = slice_from(rest, header.len + 1);
	if (passed.len && passed.len < sizeof(spf.domain))
		memcpy(spf.domain, passed.at, passed.len);
	if (raw_read(&m, header, NULL) != RC_OK)
		return 0;
	from_read(&from, &m);
	raw_free(&m);
	expect_domains(&from);
	q.from_domains = from.domains;
	q.from_count = from.count;
	q.from_odd = from.odd;
	check(&q, rest, true, &first);
	check(&q, rest, false, &second);
	expect_fit(&q, &first);
	MUST(first.result == second.result && first.policy == second.policy &&
	     first.disposition == second.disposition && strcmp(first.domain, second.domain) == 0);
	from_free(&from);
	return 0;
}
