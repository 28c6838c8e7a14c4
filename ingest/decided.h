/*
 * ingest/decided.h - what the rules decided of a message, as it is kept beside its bytes
 *
 * What     The record that each archive has ("archive" of its meta; docs/formats.md, "Meta of a message"): rule,
 *          recipients, what took their place, headers that were added, who was dropped. And in what two such
 *          records differ, for who asks what another rule set would do.
 * Owner    New references throughout; texts are copied.
 * Threads  Any.
 */
#ifndef MM_INGEST_DECIDED_H
#define MM_INGEST_DECIDED_H

#include "base/json.h"
#include "ingest/rules.h"

/* `x` is an Archive execution of the outcome. */
json_t *decided_json(const struct rule_set *rs, const struct rule_outcome *o, const struct rule_execution *x);
/* The headers that AddHeader executions before `x` added for that recipient (UINT32_MAX: for any of x's), in order. */
json_t *decided_headers(const struct rule_outcome *o, const struct rule_execution *x, uint32_t recipient);
/* {"recipients":{"then":[…],"now":[…]},…}: of "recipients", "replaced", "headers" and "dropped" (addresses alone) those
 * that differ, order but of headers apart; NULL when none does. By which rule is no difference. */
json_t *decided_difference(const json_t *then, const json_t *now);
/* The Archive execution into that archive that isn't failed, or NULL. */
const struct rule_execution *decided_archive(const struct rule_outcome *o, uint32_t archive);
/* "archived" when any archive takes it and none that it was meant for failed; else as ingest/disposition.h has it. */
const char *decided_word(const struct rule_outcome *o);

#endif
