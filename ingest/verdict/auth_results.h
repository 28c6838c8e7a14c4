/*
 * ingest/verdict/auth_results.h - the Authentication-Results field (RFC 8601)
 *
 * What     Writes ours for what is relayed, and finds those of a message that claim to be ours
 *          (section 5: they are removed before ours is added, whoever wrote them).
 * Safe     Every value is a token, a domain, or a quoted string of printable ASCII: whatever a
 *          sender or a zone put into a verdict, no field, no result and no comment can be begun
 *          with it.
 * Claims   A field is ours when its authserv-id is: without case, with or without a final dot,
 *          in quotes, behind comments, with any version. So is one that isn't written as section
 *          2.2 has it and has our name in it anywhere, or one that has our name in front of its
 *          first ";" in a comment: a careless reader could take it for ours. Fields of others
 *          that speak of our domain in their results stay.
 * Threads  Any.
 */
#ifndef MM_INGEST_VERDICT_AUTH_RESULTS_H
#define MM_INGEST_VERDICT_AUTH_RESULTS_H

#include "base/json.h"
#include "ingest/verdict/raw.h"

struct auth_results {
	const char *authserv;   /* our authserv-id */
	/* As they are kept beside the message (docs/verdicts.md). Of a part that isn't there nothing is said. */
	const json_t *verdicts;
	struct slice from;      /* domain of From, for DMARC; may be empty */
};

/* The results alone, in one line: "spf=pass smtp.mailfrom=shop.example; dkim=none". "none" without
 * any. RC_LIMIT: `out` is full. This is what arc_seal takes. */
enum rc auth_results_text(const struct auth_results *r, struct buf *out) MUST_USE;
/* The whole field, folded, ended by CRLF. RC_LIMIT: `out` is full. */
enum rc auth_results_field(const struct auth_results *r, struct buf *out) MUST_USE;
/* Is this a field that claims to be of `authserv`, and is to be removed? */
bool auth_results_claims(const struct raw_field *f, const char *authserv);

#endif
