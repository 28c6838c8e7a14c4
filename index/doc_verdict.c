#include "index/doc_verdict.h"

#include "base/compiler.h"
#include "index/doc.h"

#define FIRST_BIT 8
#define KIND_BITS 4

/* A word's number is its place, from 1; new ones come behind. */
static const struct {
	const char *name;
	const char *all;
	const char *word[8];
} kinds[DOC_VERDICTS] = {
	[DOC_SPF] = { "spf",
	              "none, neutral, pass, fail, softfail, temperror, permerror",
	              { "none", "neutral", "pass", "fail", "softfail", "temperror", "permerror" } },
	[DOC_DKIM] = { "dkim",
	               "none, pass, fail, policy, neutral, temperror, permerror",
	               { "none", "pass", "fail", "policy", "neutral", "temperror", "permerror" } },
	[DOC_ARC] = { "arc",
	              "none, pass, fail, temperror",
	              { "none", "pass", "fail", "temperror" } },
	[DOC_DMARC] = { "dmarc",
	                "none, pass, fail, temperror, permerror",
	                { "none", "pass", "fail", "temperror", "permerror" } },
	[DOC_DMARC_ASKS] = { "dmarc_asks",
	                     "none, quarantine, reject",
	                     { "none", "quarantine", "reject" } },
};

static unsigned shift_of(enum doc_verdict k)
{
	return FIRST_BIT + KIND_BITS * (unsigned)k;
}

const char *doc_verdict_name(enum doc_verdict k)
{
	return kinds[k].name;
}

const char *doc_verdict_words(enum doc_verdict k)
{
	return kinds[k].all;
}

uint32_t doc_verdict_mask(enum doc_verdict k)
{
	return ((UINT32_C(1) << KIND_BITS) - 1) << shift_of(k);
}

bool doc_verdict_bits(enum doc_verdict k, struct slice word, uint32_t *bits)
{
	*bits = 0;
	if (slice_equal_nocase(word, slice_str(DOC_UNCHECKED)))
		return true;
	for (size_t i = 0; i < COUNT(kinds[k].word) && kinds[k].word[i]; i++)
		if (slice_equal_nocase(word, slice_str(kinds[k].word[i]))) {
			*bits = (uint32_t)(i + 1) << shift_of(k);
			return true;
		}
	return false;
}

const char *doc_verdict_word(enum doc_verdict k, uint32_t flags)
{
	size_t number = (flags & doc_verdict_mask(k)) >> shift_of(k);

	return number > 0 && number <= COUNT(kinds[k].word) ? kinds[k].word[number - 1] : NULL;
}
