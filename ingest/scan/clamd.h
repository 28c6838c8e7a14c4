/*
 * ingest/scan/clamd.h - one message to clamd (INSTREAM), and its reply
 *
 * What     Command, message in pieces, reply, over a descriptor that is connected and doesn't block. Who has it calls
 *          clamd_go when it may be written or read. A reply that comes before the message is through counts: clamd
 *          says so and hangs up when the message is larger than it takes.
 * Owner    The descriptor stays the caller's; the message lives as long as the struct is used.
 * Threads  One.
 */
#ifndef MM_INGEST_SCAN_CLAMD_H
#define MM_INGEST_SCAN_CLAMD_H

#include "ingest/scan/answer.h"

struct clamd {
	int fd;
	struct slice message; /* what isn't in `out` yet */
	bool ended;           /* the piece of length 0 is in `out` */
	bool deaf;            /* it takes no more of us */
	struct buf out;
	struct buf in;
};

void clamd_begin(struct clamd *c, int fd, struct slice message);
void clamd_free(struct clamd *c);
/* For poll: POLLIN, and POLLOUT while there is something to be sent. */
short clamd_waits(const struct clamd *c);
/* True: it is done, and `out` says how. */
bool clamd_go(struct clamd *c, struct scan_answer *out) MUST_USE;

#endif
