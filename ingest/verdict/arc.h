/*
 * ingest/verdict/arc.h - the chain of those who handled a message (RFC 8617)
 *
 * What     Validation of section 5.2: structure of all sets, the last ARC-Message-Signature, every ARC-Seal.
 *          What the sealers said is reported when the chain passes, and never makes a verdict better by itself:
 *          whom to believe is local policy.
 * Two      steps like dkim.h: arc_new hashes, arc_check verifies; canonicaliser, tags and keys are DKIM's.
 * Seal     arc_seal adds a set in front of a message that is relayed changed (section 5.1): the caller gives our
 *          Authentication-Results' text and the chain's state as it arrived.
 */
#ifndef MM_INGEST_VERDICT_ARC_H
#define MM_INGEST_VERDICT_ARC_H

#include "base/buf.h"
#include "ingest/verdict/answers.h"
#include "ingest/verdict/raw.h"

#define ARC_SETS 50 /* section 5.1.1 */

enum arc_result { ARC_NONE, ARC_PASS, ARC_FAIL, ARC_TEMPERROR };

struct arc_answer {
	enum arc_result result;
	unsigned sets;       /* the highest instance; 0: none */
	char sealer[256];    /* d= of the last ARC-Seal */
	unsigned oldest_pass; /* section 5.2 step 5; 0: all passed, or nobody looked */
	char why[160];
};

struct arc;

struct arc *arc_new(const struct raw_message *m, int64_t now_s);
void arc_free(struct arc **a); /* NULL is fine */
enum rc arc_check(struct arc *arc, struct answers *a, struct arc_answer *out) MUST_USE;
const char *arc_word(enum arc_result r);

struct arc_sealer {
	const char *domain;   /* d= */
	const char *selector; /* s= */
	const char *authserv; /* authserv-id of RFC 8601 */
	struct evp_pkey_st *key; /* RSA of 1024 to 4096 bits, or Ed25519 (which not all validators know) */
	int64_t now_s;
};

/* Adds the three fields, each ended by CRLF, to `out`, to be put in front of the message. `cv` is what
 * arc_check said of the message as it arrived (NONE for the first set). `results` is what
 * auth_results_text gives. A chain that failed is sealed as section 5.1.2 says, and one that its last
 * sealer marked so already isn't: RC_EXISTS. One that is full (ARC_SETS) isn't: RC_LIMIT; nor one that couldn't be
 * judged (TEMPERROR), a message whose chain isn't what `cv` says, or one that begins with a folded line: RC_INVALID. */
enum rc arc_seal(const struct arc_sealer *s, const struct raw_message *m, enum arc_result cv,
		 struct slice results, struct buf *out, struct err *e) MUST_USE;

#endif
