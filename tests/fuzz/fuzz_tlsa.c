/*
 * tests/fuzz/fuzz_tlsa.c - TLSA records of a domain's making, up to the TLS library
 *
 * Input    Records, each behind two bytes of its length. Oracle   Those that are kept are records
 * of the input, of usage 2 or 3, and OpenSSL takes all of them without an error that ends the
 * process.
 */
#include <stdlib.h>

#include "ingest/deliver/dane.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_known(const struct dns_record *from, size_t count, const struct tls_tlsa *r)
{
	for (size_t i = 0; i < count; i++)
		if (slice_equal(slice_from(from[i].text, 3), r->data) &&
		    from[i].text.at[0] == r->usage && from[i].text.at[1] == r->selector &&
		    from[i].text.at[2] == r->matching)
			return;
	abort();
}

static void try_library(const struct dane *d)
{
	static struct tls_context *context;
	const struct tls_dane known = {
		.base = "mx.example", .also = "example", .records = d->records, .count = d->count
	};
	struct tls *t;

	if (!context) {
		tls_init();
		MUST(tls_client_new(&context, slice_of(NULL, 0), NULL) == RC_OK);
	}
	t = tls_client_dane(context, 0, &known);
	tls_free(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dns_record records[ANSWERS_RECORDS];
	struct dns_answer a = { .status = DNS_RECORDS, .secure = true, .records = records };
	struct slice left = slice_of(data, size);
	struct dane d;

	while (left.len > 2 && a.count < ANSWERS_RECORDS) {
		size_t n = (size_t)left.at[0] << 8 | left.at[1];

		records[a.count++].text = slice_part(left, 2, n);
		left = slice_from(left, 2 + n);
	}
	if (!a.count)
		a.status = DNS_NO_DATA;
	dane_read(&d, &a);
	MUST(d.applies == (a.count > 0) && d.count <= DANE_RECORDS);
	for (size_t i = 0; i < d.count; i++) {
		MUST(d.records[i].usage == 2 || d.records[i].usage == 3);
		expect_known(records, a.count, &d.records[i]);
	}
	if (d.applies)
		try_library(&d);
	dane_free(&d);
	return 0;
}
