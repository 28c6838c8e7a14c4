/*
 * ingest/verdict/spf.h - may this client send for this domain? (RFC 7208)
 *
 * What     check_host() of section 4 for MAIL FROM, or for HELO where MAIL FROM is <> (section 2.4: then
 *          postmaster@HELO). A function of the question and the answers of DNS (answers.h).
 * Limits   Section 4.6.4: 10 terms that ask DNS, 10 names of an mx, 2 terms that find nothing ("void"); each beyond:
 *          permerror. Of the client's own names (ptr, %{p}) the first 10 are looked at. A record has
 *          SPF_RECORD_BYTES (spf_record.h).
 *          An explanation that can't be had is left out (6.2).
 * Asks     What a record will need is asked for together, as far as it has no macros: never about a term that isn't in
 *          its first 10, level by level; 233 questions are the most.
 * Macros   Section 7, in domain-spec and exp. %{p} is looked up, and counts as a term once; %{c}, %{r} and %{t} in
 *          exp only. A term that puts what isn't ASCII into a name matches nothing (RFC 8616 section 4).
 * Threads  Any.
 */
#ifndef MM_INGEST_VERDICT_SPF_H
#define MM_INGEST_VERDICT_SPF_H

#include "ingest/verdict/answers.h"

enum spf_result {
	SPF_NONE,
	SPF_NEUTRAL,
	SPF_PASS,
	SPF_FAIL,
	SPF_SOFTFAIL,
	SPF_TEMPERROR,
	SPF_PERMERROR,
};

struct spf_question {
	struct ip client;
	struct slice mail_from; /* without brackets, its domain in A-labels; empty for <> */
	struct slice helo;
	struct slice receiver; /* our name, for %{r} */
	int64_t now_ms;        /* for %{t} */
};

struct spf_answer {
	enum spf_result result;
	bool of_helo;      /* the identity was HELO */
	char domain[256];  /* that was asked; lower case; empty where there is none */
	char why[160];     /* the mechanism that decided ("ip4:192.0.2.0/24"), or what is wrong, for people */
	char explanation[512]; /* of a fail, from exp=; printable ASCII; may be empty */
};

/* RC_OK, or RC_AGAIN: answers are wanted. */
enum rc spf_check(const struct spf_question *q, struct answers *a, struct spf_answer *out) MUST_USE;
/* "pass", "softfail"... (RFC 8601 section 2.7.2) */
const char *spf_word(enum spf_result r);

#endif
