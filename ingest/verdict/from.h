/*
 * ingest/verdict/from.h - the domains that a message says it is from
 *
 * What     Reads the addresses of all From fields as they stand (RFC 5322 section 3.4, with its obsolete forms, RFC
 *          6532 and the groups of RFC 6854), and gives the domain of each, once, in lower case, in A-labels.
 * Odd      There isn't one From field, also for the reader whose fields rules have (ingest/mime/headers.h); or one of
 *          them can't be read whole. Of a field that can't be read every
 *          name behind an "@" counts, in comments, quoted strings and encoded words too, as it stands and as a lenient
 *          reader has it (blanks, comments, quotes and control characters left out), so that a domain that somebody's
 *          reader could show isn't missed. Where that is one domain and no more, and there is one field, it
 *          isn't odd: careless programs leave commas unquoted. An address with an encoded word in it can't be read.
 * Limits   FROM_DOMAINS domains; there are more where count is that, or a field takes too much work. No recursion; one
 *          pass, a second one over a field that can't be read.
 * Owner    The struct owns its texts.
 * Threads  Any.
 */
#ifndef MM_INGEST_VERDICT_FROM_H
#define MM_INGEST_VERDICT_FROM_H

#include "ingest/verdict/dmarc.h"

#define FROM_DOMAINS (DMARC_FROM + 1)

struct from {
	struct slice domains[FROM_DOMAINS];
	size_t count;
	bool odd;
	/* private */
	char *names;
	size_t work; /* that is left */
};

void from_read(struct from *out, const struct raw_message *m);
void from_free(struct from *f);

#endif
