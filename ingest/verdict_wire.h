/*
 * ingest/verdict_wire.h - what mmd and a child of mm-verdict tell each other
 *
 * The home (base/home.h) has the configuration's section dns. A child's task is {} with VERDICT_EXTRA
 *          descriptors: a leash,
 * and memory of VERDICT_MARK bytes, in whose first 8 it writes which message it works at (0: none), so that mmd knows
 * what it died of. It says READY or FAILED first; then BATCHes go one way and ANSWERs the other, in any order.
 */
#ifndef MM_INGEST_VERDICT_WIRE_H
#define MM_INGEST_VERDICT_WIRE_H

#define VERDICT_TEXT       65536   /* longest frame */
#define VERDICT_MARK       4096
#define VERDICT_LEASH      0       /* which of the extra descriptors */
#define VERDICT_MEMORY     1
#define VERDICT_EXTRA      2
#define VERDICT_BATCH      64      /* messages of a batch */
#define VERDICT_BATCH_SIZE 1048576 /* bytes of their raw messages; a longer one is alone */
#define VERDICT_UNDER_WAY  1024    /* messages that a child has at a time */

enum verdict_to_child {
	/* JSON {"facts": n, "bytes": m}, 1 descriptor: memory of m bytes, sealed. The first n are JSON, an array of
	 * {"number","at","len","left" (ms until the deadline),"now" (ms),"id","ip","helo","from","receiver"},
	 * and "lists": [{"id","addon"}]; raw messages lie behind. With "client" true there is no
	 * message: lists alone are asked for. */
	VERDICT_ASK = 1,
};

enum verdict_to_mmd {
	VERDICT_READY = 16,
	VERDICT_FAILED, /* text: the child ends */
	/* JSON {"number","verdicts"}, and "addons" where "lists" were asked for; of a client no "verdicts" */
	VERDICT_ANSWER,
};

#endif
