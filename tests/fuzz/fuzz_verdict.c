/*
 * tests/fuzz/fuzz_verdict.c - all four verdicts of a message, and what mmd takes of them
 *
 * Input    A line: the client's address; a line: MAIL FROM; a line: HELO; then a message, up to a
 * line of "ZONE" alone; then a zone (tests/unit/verdict/zone.h). Oracle   It ends; what it says,
 * after each round, is what mmd's check takes.
 */
#include <stdlib.h>

#include "ingest/verdict/verdict.h"
#include "ingest/verdict/verdict_words.h"
#include "tests/unit/verdict/zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_valid(struct verdict *v)
{
	json_t *j = verdict_json(v);
	struct buf text;

	MUST(verdicts_valid(j, NULL) == RC_OK);
	buf_init(&text, 65536); /* a frame to mmd (ingest/verdict_wire.h) */
	MUST(json_write(&text, j) == RC_OK);
	buf_free(&text);
	json_decref(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char mark[] = "ZONE\n";
	struct slice rest = slice_of(data, size);
	struct verdict_facts f = { .receiver = slice_str("mm.test"), .now_ms = 1700000000000 };
	struct verdict *v;
	struct answers *a;
	unsigned rounds = 0;
	size_t end;

	verdict_init();
	(void)ip_parse(&f.ip, slice_cut(rest, '\n', &rest));
	f.mail_from = slice_cut(rest, '\n', &rest);
	f.helo = slice_cut(rest, '\n', &rest);
	end = slice_find(rest, slice_str(mark));
	v = verdict_new(slice_part(rest, 0, end), &f);
	rest = end == SIZE_MAX ? slice_of(NULL, 0) : slice_from(rest, end + strlen(mark));
	a = answers_new();
	while (verdict_run(v, a) == RC_AGAIN) {
		expect_valid(v);
		MUST(zone_answer_all(a, rest) > 0);
		MUST(++rounds < 100);
	}
	expect_valid(v);
	answers_free(&a);
	verdict_free(&v);
	return 0;
}
