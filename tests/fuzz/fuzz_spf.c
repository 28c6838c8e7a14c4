/*
 * tests/fuzz/fuzz_spf.c - check_host() for a sender, with DNS of the sender's making
 *
 * Input    A line each: the client's address, MAIL FROM, HELO; then a zone
 * (tests/unit/verdict/zone.h). Oracle   Each round asks something new, so it ends, within what
 * spf.h promises to ask. All answers at once or one at a time, the last question's first, give the
 * same result, and so does another call with all there. Texts are printable ASCII, the domain is in
 * lower case, and only a fail is explained.
 */
#include "ingest/verdict/spf.h"
#include "tests/unit/verdict/zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST 233

static void expect_printable(const char *text, size_t room)
{
	size_t n = strnlen(text, room);

	MUST(n < room);
	for (size_t i = 0; i < n; i++)
		MUST(text[i] >= 0x20 && text[i] <= 0x7e);
}

static void expect_fit(const struct spf_answer *o)
{
	expect_printable(o->why, sizeof(o->why));
	expect_printable(o->explanation, sizeof(o->explanation));
	expect_printable(o->domain, sizeof(o->domain));
	for (const char *p = o->domain; *p; p++)
		MUST(*p < 'A' || *p > 'Z');
	MUST(o->result <= SPF_PERMERROR && o->why[0]);
	MUST(o->result == SPF_FAIL || !o->explanation[0]);
}

static void expect_same(const struct spf_answer *a, const struct spf_answer *b)
{
	MUST(a->result == b->result && a->of_helo == b->of_helo);
	MUST(strcmp(a->why, b->why) == 0 && strcmp(a->domain, b->domain) == 0);
	MUST(strcmp(a->explanation, b->explanation) == 0);
}

static void by_rounds(const struct spf_question *q, struct slice zone, struct spf_answer *out)
{
	struct answers *a = answers_new();
	struct spf_answer again;
	size_t asked = 0;

	while (spf_check(q, a, out) == RC_AGAIN) {
		size_t n = zone_answer_all(a, zone);

		asked += n;
		MUST(n > 0 && asked <= MOST);
	}
	MUST(spf_check(q, a, &again) == RC_OK);
	expect_same(out, &again);
	answers_free(&a);
}

static void one_by_one(const struct spf_question *q, struct slice zone, struct spf_answer *out)
{
	struct answers *a = answers_new();
	struct dns_question waiting[MOST + 1];
	size_t count = 0;

	while (spf_check(q, a, out) == RC_AGAIN) {
		while (count <= MOST && answers_wanted(a, &waiting[count]))
			count++;
		MUST(count > 0 && count <= MOST);
		zone_answer(a, zone, &waiting[--count]);
	}
	answers_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of(data, size);
	struct spf_question q = { .receiver = slice_str("mx.test"), .now_ms = 1 };
	struct spf_answer first;
	struct spf_answer second;

	(void)ip_parse(&q.client, slice_cut(rest, '\n', &rest));
	q.mail_from = slice_cut(rest, '\n', &rest);
	q.helo = slice_cut(rest, '\n', &rest);
	by_rounds(&q, rest, &first);
	one_by_one(&q, rest, &second);
	expect_fit(&first);
	expect_same(&first, &second);
	return 0;
}
