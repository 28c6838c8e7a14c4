/*
 * ingest/tasks.h - what a run of rules asks of the outbound queue
 *
 * What     Makes tasks of an outcome's executions that are neither past nor done here (docs/outbound.md), with all
 *          that they need
 *          later but the bytes and the receipt: the action's members, its recipients, and the headers that rules
 *          added
 *          for them. Mail whose recipients got different headers is several tasks; Send is one for each domain.
 * Threads  Any.
 */
#ifndef MM_INGEST_TASKS_H
#define MM_INGEST_TASKS_H

#include "ingest/mail.h"
#include "ingest/queue/queue.h"

struct tasks {
	struct queue_task *at;
	size_t count;
	/* private */
	size_t room;
};

void tasks_make(struct tasks *t, const struct rule_set *rs, const struct rule_outcome *o, const struct mail *m);
/* Their specs were given away; this frees the list. */
void tasks_free(struct tasks *t);

#endif
