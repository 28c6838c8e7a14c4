/*
 * ingest/judge.h - one parsed message: rules, then what they ask for, into store and index
 *
 * What     Runs the rule set by the version fixed at commit (an import has none), puts the message
 *          into each archive that an Archive action names, with what was decided beside its bytes and a
 *          document for the index, by way of ingest/filing; parks it in the outbound queue where other actions are
 *          asked for; and says what became of it.
 * Owner    The documents borrow from `m`: it must live until they are filed.
 * Threads  The pipeline's, with `writing` held.
 */
#ifndef MM_INGEST_JUDGE_H
#define MM_INGEST_JUDGE_H

#include "ingest/disposition.h"
#include "ingest/filing.h"
#include "ingest/mail.h"
#include "ingest/pipeline.h"

struct judge;

struct judge *judge_new(const struct pipeline_parts *parts, struct filing *f);
void judge_free(struct judge **j);

/* Does its sender still wait for a reply that the judgement may change? */
enum judge_reply {
	REPLY_GIVEN,   /* he has his 250, or is gone */
	REPLY_WAITS,   /* where rules drop the message he is to be told 550 before anything is done */
	REPLY_REFUSED, /* he was told 550 */
};

/* One message as the spool gave it and the worker read it. */
struct judged {
	const struct mail *mail;
	const struct parsed *parsed;
	struct slice raw;
	const uint8_t *sha256;
	enum judge_reply reply;
	const struct rule_past *past; /* of a parked message, that is judged on; else NULL */
};

struct judge_said {
	bool refuse; /* nothing was done: its sender is to be told 550 first, see REPLY_WAITS */
	bool record; /* the disposition */
	struct disposition disposition;
};

/* Errors are those of the key ring, the queue or the rules' versions: nothing may be checkpointed. */
enum rc judge_message(struct judge *j, const struct config *c, const struct judged *m, struct judge_said *said,
		      struct err *e) MUST_USE;

#endif
