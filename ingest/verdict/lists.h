/*
 * ingest/verdict/lists.h - all DNS block lists that one message, or one recipient, is asked about at
 *
 * What     The add-on instances that stand for block lists, each with its answer (dnsbl.h), computed from the
 *          answers of DNS as a verdict is: lists_run again and again until it says RC_OK, then lists_json. Who
 *          has it runs it beside verdict_run, with the same answers, so that all lookups go out together:
 *
 *              rc = verdict_run(v, a);
 *              if (lists_run(l, a) != RC_OK)
 *                      rc = RC_AGAIN;
 *
 * Late     What isn't known when lists_json is called is PROCESSING_FAILED.
 * Owner    lists_new copies texts; the addons outlive the lists.
 * Threads  One at a time.
 */
#ifndef MM_INGEST_VERDICT_LISTS_H
#define MM_INGEST_VERDICT_LISTS_H

#include "ingest/verdict/dnsbl.h"

struct lists;

/* `asked` is [{"id":"ai-...","addon":"SPAMHAUS_DBL"},...], at most ADDONS_MOST of which count; those whose add-on is
 * no block list of `addons` are left out. NULL: there are none. */
struct lists *lists_new(const struct addons *addons, const json_t *asked,
			const struct dnsbl_question *q);
void lists_free(struct lists **l); /* NULL is fine */
/* RC_OK: all is known (also where `l` is NULL); or RC_AGAIN: answers are wanted. */
enum rc lists_run(struct lists *l, struct answers *a) MUST_USE;
/* {"<instance id>":{...}}, a new reference; NULL where `l` is. */
json_t *lists_json(const struct lists *l);

#endif
