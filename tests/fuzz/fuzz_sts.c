/*
 * tests/fuzz/fuzz_sts.c - a policy of MTA-STS, and the record beside it, of a domain's making
 *
 * Oracle   What is read has as many patterns as it says, each one a name; a host is named that a
 * pattern spells out, and one that is no part of the text isn't; the same when it is read again.
 */
#include <stdlib.h>

#include "ingest/deliver/mta_sts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_named(const struct sts_policy *p)
{
	const char *at = buf_text(&p->patterns);

	for (size_t i = 0; i < p->count; i++, at += strlen(at) + 1) {
		MUST(*at && strlen(at) <= 255);
		MUST(at[0] == '*' || sts_policy_names(p, at));
		if (at[0] == '*') {
			char host[300] = "x";

			memcpy(host + 1, at + 1, strlen(at));
			MUST(sts_policy_names(p, host));
		}
	}
	MUST(at == buf_text(&p->patterns) + p->patterns.len);
	MUST(!sts_policy_names(p, "") && !sts_policy_names(p, "no host at all"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of(data, size);
	struct sts_policy p, again;
	char id[STS_ID];
	enum rc rc = sts_policy_read(&p, text, NULL);

	MUST(sts_policy_read(&again, text, NULL) == rc);
	if (rc == RC_OK) {
		MUST(p.max_age >= 0 && p.max_age <= STS_AGE && p.count <= STS_MX);
		MUST(p.mode == STS_NONE || p.count > 0);
		MUST(slice_equal(buf_slice(&p.patterns), buf_slice(&again.patterns)));
		expect_named(&p);
	}
	sts_policy_free(&p);
	sts_policy_free(&again);
	if (sts_record_read(id, text))
		MUST(id[0] && strlen(id) < STS_ID && sts_record_is(text));
	return 0;
}
