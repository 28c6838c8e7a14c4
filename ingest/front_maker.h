/*
 * ingest/front_maker.h - spool files, made beside the loop
 *
 * Making a spool file writes all of it, so a thread does that, one after the other; what it made
 * comes back on the loop.
 */
#ifndef MM_INGEST_FRONT_MAKER_H
#define MM_INGEST_FRONT_MAKER_H

#include "base/loop.h"
#include "ingest/spool/spool.h"

struct front_maker;

/* `file` is NULL when it failed (`why`). The descriptor is the callee's to close. */
typedef void (*front_made)(void *arg, bool big, const struct spool_new_file *file,
			   const struct err *why);

struct front_maker *front_maker_new(struct loop *l, struct spool *sp, front_made made, void *arg);
void front_maker_ask(struct front_maker *m, bool big);
/* What wasn't begun yet is not made; nobody is told. */
void front_maker_drop(struct front_maker *m);
/* Files that were asked for and haven't come back. */
unsigned front_maker_owes(const struct front_maker *m);
/* Waits for the one at work. What comes back later is closed. NULL is fine. */
void front_maker_free(struct front_maker **m);

#endif
