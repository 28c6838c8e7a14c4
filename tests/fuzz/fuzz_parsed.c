/* tests/fuzz/fuzz_parsed.c - what a broken worker may leave as a parsed document */
#include "ingest/document.h"
#include "ingest/parsed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct document_envelope env = { .lot = 1 };
	struct rule_facts facts = { .bytes = size };
	struct document d;
	struct parsed p;
	struct buf again;

	if (parsed_decode(&p, slice_of(data, size), NULL) != RC_OK)
		return 0;
	/* What is taken is encoded to the same bytes, and is fit for index and rules. */
	buf_init(&again, PARSED_MAX_BYTES);
	MUST(parsed_encode(&p, &again) == RC_OK);
	MUST(slice_equal(buf_slice(&again), slice_of(data, size)));
	buf_free(&again);
	document_make(&d, &p, &env);
	document_facts(&facts, &p);
	document_facts_free(&facts);
	document_free(&d);
	parsed_free(&p);
	return 0;
}
