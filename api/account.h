/*
 * api/account.h - the audit entries of requests that make none of their own
 *
 * What     That something was asked (status, show, list...), failed before its own entry, or was refused; and
 *          that somebody could not say who he is.
 *          The first of its kind is entered at once; what the same principal asks again in the same way
 *          within ACCOUNT_WINDOW_MS is counted, and the count is entered behind it: so a monitor that
 *          asks each second, or somebody who tries every name there is, costs the log an entry in 15
 *          minutes. Of those who are no principal all are counted together.
 * Loses    A kill loses counts, never a first one. A clean stop loses none.
 * Threads  Any.
 */
#ifndef MM_API_ACCOUNT_H
#define MM_API_ACCOUNT_H

#include "base/slice.h"
#include "store/audit.h"

#define ACCOUNT_WINDOW_MS INT64_C(900000)

struct tally;

struct asked {
	const char *event;   /* "request", "denied" or "api_refused" */
	const char *who;     /* for the entry */
	const char *counted; /* with whom it is counted: the same as `who`, or "" for strangers */
	const char *op;      /* of api/operations.h; "" where there is none of that name */
	const char *outcome; /* why it failed, a word of rc_name; NULL: it didn't, as far as is known */
	struct slice archive; /* that was named, as far as it is a name; may be empty */
	struct slice key;     /* likewise, of one who is refused; where it is also `counted`, counts name it */
	struct slice address; /* where he is; may be empty */
	uint64_t times;       /* 0 is one */
};

struct tally *tally_new(struct audit *a);
/* Enters what was counted. NULL is fine. */
void tally_free(struct tally **t);
/* RC_OK: it is entered and synced, or counted. */
enum rc tally_add(struct tally *t, const struct asked *x, struct err *e) MUST_USE;
/* Enters the counts whose time is over, and forgets them. Now and then. */
enum rc tally_settle(struct tally *t, struct err *e) MUST_USE;

#endif
