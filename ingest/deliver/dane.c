#include "ingest/deliver/dane.h"

#include <stdio.h>
#include <stdlib.h>

#define NUMBERS 3

bool dane_name(char out[256], const char *host, uint16_t port)
{
	int n = snprintf(out, 256, "_%u._tcp.%s", port, host);

	return n > 0 && n < 254;
}

/* Usages 0 and 1, of the public CAs, aren't for mail servers (section 3.1.3); a hash has its
 * length. */
static bool is_usable(struct slice r)
{
	static const size_t lengths[] = { 0, 32, 64 };

	if (r.len <= NUMBERS || r.len - NUMBERS > DANE_DATA)
		return false;
	if ((r.at[0] != TLS_DANE_TA && r.at[0] != TLS_DANE_EE) || r.at[1] > 1 || r.at[2] > 2)
		return false;
	return r.at[2] == 0 || r.len - NUMBERS == lengths[r.at[2]];
}

void dane_read(struct dane *d, const struct dns_answer *tlsa)
{
	size_t room = 0;
	size_t used = 0;

	*d = (struct dane) { .applies = tlsa->status == DNS_RECORDS && tlsa->count };
	for (size_t i = 0; d->applies && i < tlsa->count; i++)
		room += tlsa->records[i].text.len;
	if (room)
		d->memory = mem_new(room);
	for (size_t i = 0; d->applies && i < tlsa->count && d->count < DANE_RECORDS; i++) {
		struct slice r = tlsa->records[i].text;
		struct slice data = slice_from(r, NUMBERS);

		if (!is_usable(r))
			continue;
		memcpy(d->memory + used, data.at, data.len);
		d->records[d->count++] = (struct tls_tlsa) { r.at[0], r.at[1], r.at[2],
			                                     slice_of(d->memory + used, data.len) };
		used += data.len;
	}
}

void dane_free(struct dane *d)
{
	free(d->memory);
	*d = (struct dane) { .applies = false };
}
