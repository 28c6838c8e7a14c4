/*
 * ingest/deliver/dane.h - the TLSA records of a mail server (RFC 7672)
 *
 * What     Out of an answer of DNS that was validated: the records that a sender of mail uses. Whether the answer
 *          may be believed at all, who looked it up knows (ingest/deliver/route).
 * Bounds   DANE_RECORDS of DANE_DATA bytes; what is beyond counts as a record that can't be used.
 * Threads  Any.
 */
#ifndef MM_INGEST_DELIVER_DANE_H
#define MM_INGEST_DELIVER_DANE_H

#include "base/tls.h"
#include "ingest/verdict/answers.h"

#define DANE_RECORDS 16
#define DANE_DATA    4096 /* a whole certificate or key */

struct dane {
	bool applies; /* there are records: TLS is a must */
	struct tls_tlsa records[DANE_RECORDS];
	size_t count; /* of use; 0: TLS, and nobody is verified */
	uint8_t *memory;
};

/* "_25._tcp.mx.example.net"; false: too long. */
bool dane_name(char out[256], const char *host, uint16_t port);
/* Copies what is of use. */
void dane_read(struct dane *d, const struct dns_answer *tlsa);
void dane_free(struct dane *d);

#endif
