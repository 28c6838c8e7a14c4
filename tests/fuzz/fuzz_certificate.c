/*
 * tests/fuzz/fuzz_certificate.c - a certificate as a client sends it, through the reader of its
 * names
 *
 * Oracle   What was read is in bounds and UTF-8 without control characters; what is kept of it is
 * JSON.
 */
#include <stdio.h>

#include "base/certificate.h"
#include "base/json.h"
#include "ingest/client_cert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_texts(const struct certificate *c)
{
	for (size_t i = 0; i < c->count; i++) {
		struct slice s = certificate_text(c, i);

		MUST(s.len == c->names[i].len && slice_is_utf8(s));
		for (size_t k = 0; k < s.len; k++)
			MUST(s.at[k] >= 0x20 && s.at[k] != 0x7f);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice der = slice_of(data, size);
	struct certificate c;
	struct buf kept;
	json_t *j;

	buf_init(&kept, CLIENT_CERT_MOST + 2);
	MUST(buf_add_byte(&kept, '{') == RC_OK);
	if (certificate_read(&c, der, NULL) == RC_OK) {
		check_texts(&c);
		/* Within the limits of a certificate there is always room for it. */
		MUST(client_cert_write(&kept, der, NULL) == RC_OK &&
		     buf_add_byte(&kept, '}') == RC_OK);
		MUST(json_read(&j, buf_slice(&kept), NULL) == RC_OK);
		MUST(json_member_text(j, "serial").len > 0);
		json_decref(j);
	}
	certificate_free(&c);
	buf_free(&kept);
	return 0;
}
