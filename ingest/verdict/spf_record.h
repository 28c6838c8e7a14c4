/*
 * ingest/verdict/spf_record.h - the grammar of an SPF record (RFC 7208 section 12)
 *
 * What     Tells which TXT record is one, checks all of it (4.6: an error anywhere is an error), and gives its
 *          mechanisms one after another. Modifiers are found wherever they stand.
 * Strict   Blanks alone separate terms; no control character and no byte above 126 is in any; a prefix length has
 *          no leading zero; exp= and redirect= may be there once.
 * Limit    SPF_RECORD_BYTES: what is longer is an error. Section 3.4 lets verifiers ignore what doesn't fit one UDP
 *          packet; this is twice what resolvers take in one, and bounds the work that a record can make.
 * Owner    Slices point into the record.
 * Threads  Any.
 */
#ifndef MM_INGEST_VERDICT_SPF_RECORD_H
#define MM_INGEST_VERDICT_SPF_RECORD_H

#include "base/cidr.h"
#include "ingest/verdict/spf.h"

#define SPF_RECORD_BYTES 8192

enum spf_kind { SPF_ALL, SPF_INCLUDE, SPF_A, SPF_MX, SPF_PTR, SPF_IP4, SPF_IP6, SPF_EXISTS };

struct spf_mechanism {
	enum spf_kind kind;
	enum spf_result result; /* of its qualifier */
	struct slice text;      /* all of it */
	struct slice domain;    /* domain-spec; empty: the record's own domain */
	struct cidr network;    /* ip4, ip6; of the mechanism's family, also where an address is IPv4-mapped */
	uint8_t bits4;          /* a, mx: 32 and 128 where none is given */
	uint8_t bits6;
};

struct spf_record {
	struct slice terms;
	struct slice redirect; /* domain-spec; empty: none */
	struct slice exp;
};

/* Begins with the version (4.5); what follows may be wrong. */
bool spf_is_record(struct slice text);
/* False: `*bad` is the term that is wrong. */
bool spf_record_read(struct spf_record *out, struct slice text, struct slice *bad);
/* The first mechanism of `*terms`, which is left with what is behind it. false: none is left. For terms of a
 * record that was read. */
bool spf_record_next(struct slice *terms, struct spf_mechanism *out);
/* Does it ask DNS, and so count (4.6.4)? */
bool spf_asks(enum spf_kind kind);

#endif
