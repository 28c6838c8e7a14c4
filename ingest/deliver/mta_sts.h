/*
 * ingest/deliver/mta_sts.h - what a domain's MTA-STS record and policy say (RFC 8461)
 *
 * What     The record names a version of the policy; the policy names the domain's mail servers, and says whether a
 *          sender that can't reach one of them by verified TLS keeps the mail. Both are hostile text.
 * Bounds   STS_TEXT bytes, STS_MX patterns; what has more is none.
 * Threads  Any.
 */
#ifndef MM_INGEST_DELIVER_MTA_STS_H
#define MM_INGEST_DELIVER_MTA_STS_H

#include "base/buf.h"

#define STS_TEXT 65536 /* section 3.3 lets a sender bound it; 64 KB is its own number */
#define STS_MX   128
#define STS_ID   33    /* with the NUL */
#define STS_AGE  31557600 /* seconds: the most that max_age may be */

enum sts_mode { STS_NONE, STS_TESTING, STS_ENFORCE };

struct sts_policy {
	enum sts_mode mode;
	int64_t max_age; /* seconds */
	struct buf patterns; /* each followed by a NUL; lower case */
	size_t count;
};

/* The id of one TXT record: "v=STSv1; id=20260101T000000;". False: it is no record of MTA-STS, or a broken one. */
bool sts_record_read(char id[STS_ID], struct slice text);
/* Is it one of MTA-STS, broken or not? More than one of them count as none. */
bool sts_record_is(struct slice text);
/* RC_INVALID with the reason. sts_policy_free is to be called either way. */
enum rc sts_policy_read(struct sts_policy *p, struct slice text, struct err *e) MUST_USE;
void sts_policy_free(struct sts_policy *p);
/* Is the host one of the domain's mail servers? "*.example.net" stands for one label in front. */
bool sts_policy_names(const struct sts_policy *p, const char *host);

#endif
