/*
 * ingest/verdict/dmarc.h - what does the domain of From ask for? (RFC 7489)
 *
 * What     Finds the policy of the From domain or of its organisational domain (libpsl), aligns the identities that SPF
 *          and DKIM passed, and says pass or fail, and what is asked for: NONE when it passes or no
 *          policy applies, else the policy after sp and pct.
 * pct      The sample is drawn by a hash of the message's id, so a second judgement draws the same;
 *          below 100 the others get the
 *          next weaker policy (section 6.6.4).
 * From     Several From fields, or one with several domains, or none that can be read: result FAIL
 *          with disposition REJECT
 *          where any of the domains asks for it (section 6.6.1 leaves it open; a message must not
 *          escape by it). More than DMARC_FROM domains, or a header beyond the limits of raw.h: REJECT.
 * Unsure   Nothing passed is aligned, and what couldn't be checked now might have been: TEMPERROR, where it is
 *          of the From domain itself or of its organisational domain.
 * Before   spf and dkim are known they may be NULL: then only the lookups are noted.
 * Threads  Any; dmarc_init first, once.
 */
#ifndef MM_INGEST_VERDICT_DMARC_H
#define MM_INGEST_VERDICT_DMARC_H

#include "ingest/verdict/dkim.h"
#include "ingest/verdict/spf.h"

#define DMARC_FROM 8 /* their lookups are under way together (resolver.h, "Bounds") */

enum dmarc_result { DMARC_NONE, DMARC_PASS, DMARC_FAIL, DMARC_TEMPERROR, DMARC_PERMERROR };
enum dmarc_policy { DMARC_ASKS_NONE, DMARC_ASKS_QUARANTINE, DMARC_ASKS_REJECT };

struct dmarc_question {
	const struct slice *from_domains; /* of all From fields' addresses, each once, lower case (A-labels) */
	size_t from_count;
	bool from_odd; /* several From fields, or one that can't be read whole */
	const struct spf_answer *spf;
	const struct dkim *dkim; /* checked */
	uint32_t sample;         /* 0..99 */
};

struct dmarc_answer {
	enum dmarc_result result;
	enum dmarc_policy policy;      /* as published for this domain (p or sp) */
	enum dmarc_policy disposition; /* what is asked for this message: NONE when it passes */
	bool spf_aligned;
	bool dkim_aligned;
	char domain[256]; /* whose policy it is */
	char why[160];
};

void dmarc_init(void);
enum rc dmarc_check(const struct dmarc_question *q, struct answers *a, struct dmarc_answer *out) MUST_USE;
const char *dmarc_word(enum dmarc_result r);
const char *dmarc_policy_word(enum dmarc_policy p); /* "NONE", "QUARANTINE", "REJECT" */
/* The organisational domain (section 3.2) into `out`; false where `domain` is a public suffix or no name. */
bool dmarc_organisation(char out[256], struct slice domain);

#endif
