/* ingest/outbound_parts.h - the sender seen from mmd; for ingest/outbound*.c alone */
#ifndef MM_INGEST_OUTBOUND_PARTS_H
#define MM_INGEST_OUTBOUND_PARTS_H

#include <sys/queue.h>

#include "base/channel.h"
#include "ingest/outbound.h"
#include "ingest/outbound_settings.h"
#include "ingest/outbound_wire.h"

#define OUTBOUND_PORTS 64 /* of relays and of LMTP */

struct sender;

/* One that hasn't ended: in line, or with a sender. */
struct attempt {
	TAILQ_ENTRY(attempt) link;
	uint64_t number;
	size_t recipients;
	struct sender *with; /* NULL: in line */
	int64_t due_ms;      /* with one: when its sender must have ended it */
	struct buf ask;      /* in line */
	int message;         /* in line; else -1 */
	char *failed;        /* it ends in the loop's next round: why */
};

TAILQ_HEAD(attempts, attempt);

/* A child of mm-deliver's home. */
struct sender {
	TAILQ_ENTRY(sender) link; /* of those that finish what they have */
	struct outbound *outbound;
	struct channel *channel;
	int leash;
	bool ready;
	size_t has; /* attempts */
	int64_t born_ms;
	int64_t pinged_ms; /* the oldest ping without an answer; 0: none */
	uint16_t ports[OUTBOUND_PORTS];
	size_t port_count;
};

TAILQ_HEAD(senders, sender);

struct outbound {
	struct outbound_options o;
	struct outbound_settings settings;
	struct loop_timer *look;
	struct loop_timer *soon;
	struct loop_timer *again;
	int64_t again_ms;
	struct sender *now;   /* NULL: it died, or isn't made yet */
	struct senders old;   /* they may not connect to all ports of now */
	struct attempts line; /* in the order in which they were asked for */
	struct attempts out;  /* with a sender */
	struct attempts done; /* failed; `ended` is to be called */
	size_t count;
	uint64_t last;
	uint16_t ports[OUTBOUND_PORTS];
	size_t port_count;
	bool lost; /* there is no home any more, and that was logged */
};

/* ---- outbound_attempt.c ---- */

/* The frame of an attempt. RC_LIMIT: it is too long. */
enum rc outbound_ask(struct buf *out, uint64_t number, const struct outbound_mail *m) MUST_USE;
/* What the sender says of an attempt with so many recipients. Results are sanitised; false: it says nonsense. To be
 * freed by the caller. */
bool outbound_said(struct outbound_result **results, size_t count, const json_t *said);
/* Printable ASCII, cut. */
void outbound_clean(char *out, size_t room, struct slice text);

#endif
