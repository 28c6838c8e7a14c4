/*
 * ingest/past.h - a run of rules that stopped, as it is kept with the parked message
 *
 * What     Writes what rules_run_on needs to come to the same place again as JSON, and reads it back:
 *          {"matched":[[0,1],[0]],"action":2,"answers":[[rule,action,"DONE"],[rule,action,"FAILED",[1]],...]}.
 *          Numbers are
 *          indices: of rules, of a rule's actions, of the outcome's recipients.
 * Owner    What past_read gives lives until past_free.
 * Threads  Any.
 * On disk  docs/formats.md, "Outbound queue"
 */
#ifndef MM_INGEST_PAST_H
#define MM_INGEST_PAST_H

#include "ingest/rules.h"

/* Of a run that stopped (outcome.waits); `before`: what it had gone on from, or NULL. A new reference. */
json_t *past_json(const struct rule_outcome *o, const struct rule_past *before);
/* What the action says that it stopped at; `failed` are the recipients' indices of FAILED, NULL: all. */
void past_answer(json_t *past, enum rule_said said, const uint32_t *failed, size_t count);

struct past {
	struct rule_past is;
	/* private */
	struct rule_matched *rules;
	struct rule_answer *answers;
	uint32_t *numbers;
};

/* RC_CORRUPT: it is none, or has no answer to where it stopped. */
enum rc past_read(struct past *out, const json_t *json, struct err *e) MUST_USE;
void past_free(struct past *p);

#endif
