/*
 * api/trial.h - a rule set that a request names or brings, and messages judged by it without doing anything
 *
 * What     For explain and replay: both judge as the pipeline does (rules_run, the same facts from the same worker),
 *          and nothing is stored, moved or sent.
 * Owner    A trial has its configuration and its rule set; an outcome borrows from it and from the mail.
 * Threads  One.
 */
#ifndef MM_API_TRIAL_H
#define MM_API_TRIAL_H

#include "api/requests.h"
#include "ingest/mail.h"
#include "ingest/parse.h"

struct trial {
	struct request *r;
	struct config *config;
	struct rule_set *rules;
	json_t *json; /* the rule set as it is stored: its Rules are what an outcome's numbers count */
};

/* From argument "rules" (an object: a RuleSet of a file of apply), or "rule_set" (name, id or ARN). Without either
 * there are no rules yet, which trial_version mends. trial_end is called also after a failure. */
enum rc trial_begin(struct trial *t, struct request *r, struct err *e) MUST_USE;
void    trial_end(struct trial *t);
/* The rule set of that id at that version. RC_NOTFOUND. */
enum rc trial_version(struct trial *t, struct slice id, int64_t version, struct err *e) MUST_USE;

struct trial_message {
	const struct mail *mail;
	const struct parsed *parsed;
	uint64_t bytes;
};

/* Free the outcome by rule_outcome_free. `trace` may be NULL. */
enum rc trial_run(const struct trial *t, const struct trial_message *m, const struct rule_trace *trace,
		  struct rule_outcome *out, struct err *e) MUST_USE;

#endif
