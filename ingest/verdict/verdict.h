/*
 * ingest/verdict/verdict.h - SPF, DKIM, ARC and DMARC of one message
 *
 * What     verdict_new reads the message and hashes its body: behind it the message may go.
 *          verdict_run computes all four from
 *          the answers of DNS; each round runs every part that isn't done, so that their lookups go out together.
 *          verdict_json is what is kept beside the message (docs/verdicts.md, "Kept beside the message").
 * Order    What DMARC asks for is looked up first: no lookup of what the sender wrote stands in its way.
 * Late     When the time is over, verdict_late says what isn't known as temperror, and judges by DMARC with that: a
 *          sender whose own servers are slow can't so escape what the domain that he forges asks for. Parts that are
 *          done keep what they said.
 * Limits   Of a header beyond raw.h's limits DKIM and ARC can't be known, and DMARC asks for REJECT (dmarc.h).
 * SPF      By the client's address, whether it has authenticated or not; mail without one (imported) has none.
 * Owner    The struct verdict owns all texts.
 * Threads  One at a time; verdict_init first, once, before a sandbox.
 */
#ifndef MM_INGEST_VERDICT_VERDICT_H
#define MM_INGEST_VERDICT_VERDICT_H

#include "base/id.h"
#include "base/json.h"
#include "ingest/verdict/arc.h"
#include "ingest/verdict/dmarc.h"

/* Slices live for verdict_new. */
struct verdict_facts {
	struct message_id id; /* DMARC's sample is drawn by it */
	struct ip ip;         /* the client; family 0: unknown */
	struct slice helo;
	struct slice mail_from; /* without brackets; empty for <> */
	struct slice receiver;  /* our name */
	int64_t now_ms; /* of receipt: signatures expire, %{t} */
};

struct verdict;

void verdict_init(void);
struct verdict *verdict_new(struct slice raw, const struct verdict_facts *f);
void verdict_free(struct verdict **v); /* NULL is fine */
/* RC_OK: all is known; RC_AGAIN: answers are wanted. */
enum rc verdict_run(struct verdict *v, struct answers *a) MUST_USE;
/* The time is over. */
void verdict_late(struct verdict *v, struct answers *a);
/* A new reference. */
json_t *verdict_json(struct verdict *v);

/* The domains of From, as DMARC sees them; they live as long as `v`. */
size_t verdict_from(const struct verdict *v, const struct slice **domains);

#endif
