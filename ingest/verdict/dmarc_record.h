/*
 * ingest/verdict/dmarc_record.h - what a domain publishes at _dmarc (RFC 7489 sections 6.3 and 6.4)
 *
 * What     A TXT record is one of DMARC when it begins with v=DMARC1, in this case of letters. Then: unknown tags are
 *          ignored; a known one that is wrong, or there twice, has its default; one without a p that can be
 *          read, or with an sp that can't, is taken as p=none where its rua has a URI, else it is no policy (6.6.3).
 * Limits   One pass over the text.
 * Threads  Any.
 */
#ifndef MM_INGEST_VERDICT_DMARC_RECORD_H
#define MM_INGEST_VERDICT_DMARC_RECORD_H

#include "ingest/verdict/dmarc.h"

struct dmarc_record {
	enum dmarc_policy p;
	enum dmarc_policy sp; /* p where it isn't told */
	bool strict_dkim;
	bool strict_spf;
	unsigned pct; /* 0..100 */
};

/* Is it one at all? Others are nobody's business. */
bool dmarc_record_is(struct slice text);
/* NULL, or why there is no policy in it, for people. */
const char *dmarc_record_read(struct dmarc_record *out, struct slice text);

#endif
