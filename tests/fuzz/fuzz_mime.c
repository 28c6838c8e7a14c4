/* tests/fuzz/fuzz_mime.c - a message through pre-scan, GMime and text extraction, by both readers
 */
#include <stdlib.h>

#include "ingest/mime/mime.h"
#include "ingest/parsed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct mime *m;
	uint8_t *copy = mem_new(size + 1);

	if (!m)
		m = mime_new();
	for (int mode = MIME_FULL; mode <= MIME_PLAIN; mode++) {
		struct buf out;
		struct parsed p;

		if (size)
			memcpy(copy, data, size);
		buf_init(&out, PARSED_MAX_BYTES);
		/* Whatever comes in, a document comes out that the strict decoder takes. */
		MUST(mime_read(m, copy, size, (enum mime_mode)mode, &out) == RC_OK);
		MUST(parsed_decode(&p, buf_slice(&out), NULL) == RC_OK);
		parsed_free(&p);
		buf_free(&out);
	}
	free(copy);
	return 0;
}
