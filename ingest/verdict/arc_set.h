/*
 * ingest/verdict/arc_set.h - the ARC sets of a message (RFC 8617 sections 4.2 and 5.2)
 *
 * What     Finds ARC-Authentication-Results, ARC-Message-Signature and ARC-Seal, and puts them
 *          together by their instance.
 * Limits   ARC_SETS.
 * Owner    Points into the raw_message.
 * Threads  Any.
 */
#ifndef MM_INGEST_VERDICT_ARC_SET_H
#define MM_INGEST_VERDICT_ARC_SET_H

#include "ingest/verdict/arc.h"

struct arc_set {
	const struct raw_field *results;
	const struct raw_field *message;
	const struct raw_field *seal;
};

struct arc_sets {
	struct arc_set at[ARC_SETS]; /* instance 1 first */
	size_t count;     /* complete ones, without a gap; 0 where the structure is wrong */
	unsigned highest; /* instance that any field has */
};

/* RC_INVALID: the structure is wrong; `highest` is right nevertheless. No set at all is RC_OK. */
enum rc arc_sets_read(struct arc_sets *out, const struct raw_message *m, struct err *e) MUST_USE;

#endif
