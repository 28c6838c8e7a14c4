/*
 * ingest/action/payload.h - the requests of HTTP actions, and what their answers mean
 *
 * What     Of a message and an action of the API (WriteToS3, PublishToSns, InvokeLambda, DeliverToQBusiness)
 *          the call (ingest/calls.h) that does it; of the call's result what comes of the task
 *          (docs/outbound.md, "What comes of a task"). Nothing here waits, asks or keeps.
 * Message  `raw` is what the action is to have: the received bytes, with the fields in front that rules added
 *          before it.
 * Answers  are hostile text: a status, a code of letters, for Lambda a disposition, for Q Business a list of
 *          failures; nothing else of them is used, and texts made of them are printable ASCII.
 * Owner    payload_init, then payload_make once, then payload_free, also of one that couldn't be made.
 * Threads  Any.
 */
#ifndef MM_INGEST_ACTION_PAYLOAD_H
#define MM_INGEST_ACTION_PAYLOAD_H

#include "base/buf.h"
#include "ingest/calls.h"
#include "ingest/mail.h"

#define PAYLOAD_TEXT   256
#define PAYLOAD_FIELDS 4
#define PAYLOAD_OWNED  4

struct payload_facts {
	const struct mail *mail; /* receipt, verdicts */
	struct slice raw;
	const json_t *action;     /* the members of the action, as {"S3Bucket":"b","RoleArn":...} */
	const json_t *recipients; /* whom it is for: an array of texts; NULL: the envelope's */
	const json_t *endpoints;  /* of the configuration: webhooks, how buckets are named; may be NULL */
	struct slice text;        /* for Q Business: what mm-parse read of it, UTF-8; empty: the message as it is */
	int64_t now_ms;
};

struct payload {
	struct call call; /* points into this, and into the facts' JSON */
	struct call_field fields[PAYLOAD_FIELDS];
	struct buf body;
	char *owned[PAYLOAD_OWNED];
	size_t owned_count;
	int memory;
};

enum payload_end {
	PAYLOAD_DONE,
	PAYLOAD_LATER,  /* passing: again */
	PAYLOAD_NEVER,  /* for good: this message can't be taken */
	PAYLOAD_SET_UP, /* its target isn't there, or doesn't let us: the action has failed by its configuration */
};

enum payload_disposition { PAYLOAD_CONTINUE, PAYLOAD_STOP_RULE, PAYLOAD_STOP_RULE_SET };

struct payload_result {
	enum payload_end end;
	enum payload_disposition disposition; /* of InvokeLambda with REQUEST_RESPONSE that is done */
	char text[PAYLOAD_TEXT];              /* for people; "" where there is nothing to say */
};

struct payload_kind {
	const char *action; /* "WriteToS3" */
	bool gives_body;    /* false: the body is the message itself; the caller sets call.body and call.body_bytes */
	/* RC_LIMIT: the message is too large for it (PAYLOAD_NEVER). RC_INVALID: the action can't be done as it is
	 * set up (PAYLOAD_SET_UP). */
	enum rc (*make)(struct payload *p, const struct payload_facts *f, struct err *e);
	void (*read)(struct payload_result *out, const json_t *action, const struct call_result *r);
};

/* NULL: no action of HTTP. */
const struct payload_kind *payload_kind(struct slice action);

void payload_init(struct payload *p);
/* Where the kind gives a body it is in sealed memory, which call.body names until payload_free. */
enum rc payload_make(struct payload *p, const struct payload_kind *k, const struct payload_facts *f,
		     struct err *e) MUST_USE;
void payload_free(struct payload *p);

/* ---- for ingest/action alone ---- */

/* The text of a buffer of the payload's, which is freed; it lives as long as the payload. */
const char *payload_own(struct payload *p, struct buf *b);
void payload_field(struct payload *p, const char *name, const char *value);
/* The action's member as a C string, or NULL. */
const char *payload_member(const struct payload_facts *f, const char *member);
/* What no 2xx was, in common: by an error's code where it is known, else by the status. False: a 2xx, and nothing is
 * said. */
bool payload_refused(struct payload_result *out, const char *who, const struct call_result *r);
/* Says so, with a text of which what isn't printable becomes "?". */
void payload_say(struct payload_result *out, enum payload_end end, const char *format, ...) PRINTF(3, 4);

#endif
