/*
 * ingest/verdict/answers.h - what DNS said to one message's questions
 *
 * What     The memory that a verdict is computed from. SPF, DKIM, ARC and DMARC are functions of the
 *          message and of these answers: they ask by answers_get, and where an answer isn't there yet the
 *          question is noted and the function ends with RC_AGAIN. Who has the resolver
 *          (ingest/verdict/resolver.h) looks up what is wanted, all at a time, puts the answers here,
 *          and runs the function again from its beginning.
 * Why      No function of a verdict waits or knows a socket, so each reads like its RFC, and a test or a
 *          fuzzer gives it a table in place of DNS.
 * Limits   ANSWERS_QUESTIONS questions in all, then each new one counts as failed; ANSWERS_RECORDS records
 *          of one answer and ANSWERS_BYTES of texts, what is beyond makes the answer a failed one: an
 *          answer that is cut could turn a fail into a pass. All answers of a message have ANSWERS_MEMORY bytes
 *          of records and texts together, and each beyond is a failed one: thousands of messages wait at a time.
 * Fair     An answer of ANSWERS_SMALL bytes or less is taken always, and one of a key (._domainkey.) or a
 *          policy (_dmarc.) never when it is larger. Else a sender could use all of it up by zones of his own, so
 *          that the SPF record or the policy of the domain that he forges can't be had (temperror, not fail).
 * Names    ASCII letters without case, without the final dot. A name that can't be in DNS (empty, over 253
 *          bytes, a label over 63 or empty) is answered DNS_NO_NAME without asking (RFC 7208 section 4.3).
 * Owner    The answers own all texts in them; they live until answers_free.
 * Threads  One.
 */
#ifndef MM_INGEST_VERDICT_ANSWERS_H
#define MM_INGEST_VERDICT_ANSWERS_H

#include "base/cidr.h"
#include "base/err.h"
#include "base/slice.h"

#define ANSWERS_QUESTIONS 438 /* SPF 233, DKIM 10, ARC 51, DMARC 16, lists 128: none takes another's */
#define ANSWERS_RECORDS   256
#define ANSWERS_BYTES     65536
#define ANSWERS_MEMORY    262144
#define ANSWERS_SMALL     2048 /* an RSA key of 4,096 bits has 800 */

/* Numbers of RFC 1035, 3596 and 6698. */
enum dns_type { DNS_A = 1, DNS_PTR = 12, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28, DNS_TLSA = 52 };

enum dns_status {
	DNS_RECORDS, /* one at least */
	DNS_NO_DATA, /* the name is there, no record of that type */
	DNS_NO_NAME, /* NXDOMAIN */
	DNS_FAILED,  /* timeout, SERVFAIL, bogus, nonsense: what comes of it passes (temperror) */
};

struct dns_record {
	struct ip ip;        /* A, AAAA */
	struct slice text;   /* TXT: its strings joined; MX, PTR: the name, without the final dot; TLSA: all of its
			      * bytes, four at least: usage, selector, matching type, data */
	uint16_t preference; /* MX; the records are in its order */
};

struct dns_answer {
	enum dns_status status;
	bool secure; /* validated by DNSSEC */
	const struct dns_record *records;
	size_t count;
};

struct dns_question {
	enum dns_type type;
	const char *name; /* lower case */
};

struct answers;

struct answers *answers_new(void);
void answers_free(struct answers **a); /* NULL is fine */

/* The answer, or RC_AGAIN: the question is noted as wanted. */
enum rc answers_get(struct answers *a, enum dns_type type, struct slice name,
		    struct dns_answer *out) MUST_USE;
/* The next question that is wanted and wasn't given out; false: none. Lives as long as `a`. */
bool answers_wanted(struct answers *a, struct dns_question *out);
/* Answers a question, asked or not; copies the records. An answer that is there already stays. */
void answers_put(struct answers *a, enum dns_type type, struct slice name,
		 const struct dns_answer *answer);

#endif
