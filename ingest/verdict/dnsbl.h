/*
 * ingest/verdict/dnsbl.h - is the client, or a domain of the message, on a DNS block list? (RFC 5782)
 *
 * What     A function of the question and of DNS answers, as SPF is: it asks by answers_get, for all names at
 *          once, and ends with RC_AGAIN where an answer is lacking. A list of addresses is asked about the
 *          client; one of domains about those of MAIL FROM, of HELO where that is a domain, and of From.
 * Names    "2.0.0.127.[KEY.]ZONE"; of an IPv6 address its 32 digits; "shop.example.[KEY.]ZONE", in A-labels. A
 *          domain that would make a name too long for DNS is asked about without its first labels.
 * Codes    Listed: 127.x.y.z. Not: 127.255.255.z, by which a list says why it doesn't answer (a public resolver,
 *          too many questions, a wrong key), 127.0.1.255 (a list of domains was asked about an address),
 *          127.0.0.1, and what lies outside 127/8, as a resolver makes up for a zone that has gone: all these,
 *          and a lookup that failed, are DNSBL_FAILED.
 * Several  Listed is who has one name that is; else it failed where one lookup did.
 * Key      It is in names that are asked for, and never in the answer.
 * Threads  Any.
 */
#ifndef MM_INGEST_VERDICT_DNSBL_H
#define MM_INGEST_VERDICT_DNSBL_H

#include "ingest/addons.h"
#include "ingest/verdict/answers.h"

#define DNSBL_DOMAINS 16 /* that are asked about; of more, the first ones */

struct dnsbl_question {
	struct ip client;
	struct slice mail_from; /* without brackets; empty for <> */
	struct slice helo;
	const struct slice *from_domains; /* before DATA: none */
	size_t from_count;
};

enum dnsbl_result { DNSBL_CLEAR, DNSBL_LISTED, DNSBL_FAILED };

struct dnsbl_answer {
	enum dnsbl_result result;
	char what[256];  /* that is listed: the address, or the domain */
	char codes[128]; /* "127.0.0.2 127.0.0.4" */
	char why[160];   /* of DNSBL_FAILED, for people */
};

/* `list` is one of kind ADDON_DNSBL. RC_OK, or RC_AGAIN: answers are wanted. */
enum rc dnsbl_check(const struct addon *list, const struct dnsbl_question *q, struct answers *a,
		    struct dnsbl_answer *out) MUST_USE;
/* As it is kept for the add-on's instance (ingest/scan_result.h); a new reference. For DNSBL_FAILED `why` is in it. */
json_t *dnsbl_json(const struct addon *list, const struct dnsbl_answer *a);

#endif
