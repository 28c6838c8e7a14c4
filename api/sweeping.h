/*
 * api/sweeping.h - the writer's lock, and what a sweep works on, for as long as it takes
 *
 * Before a run the files of the spool that hold mail are ended and waited for, so that no copy of a
 * due message is left there, and a run that failed half way is finished.
 */
#ifndef MM_API_SWEEPING_H
#define MM_API_SWEEPING_H

#include "api/engine.h"

struct sweeping {
	struct engine *en;
	struct config *config;
	struct sweep   sweep;
	struct err     unfinished; /* what an earlier run began and damage keeps from its end; else RC_OK */
};

/* Who waits before a run. `gone`: he does no longer. */
struct sweeping_waits {
	bool (*gone)(void *arg);
	void *arg;
};

/* `run`: also waits for the spool, which takes as long as what was accepted before goes forward, and finishes
 * what was interrupted; NULL: neither. RC_AGAIN: the spool stands still, or nobody waits any more.
 * sweeping_end is called also after a failure. */
enum rc sweeping_begin(struct sweeping *s, struct engine *en, const struct sweeping_waits *run,
		       struct err *e) MUST_USE;
/* For handlers of requests. */
struct request;
struct sweeping_waits sweeping_asked(struct request *r);
void sweeping_end(struct sweeping *s);
/* After a sweep: archives that were deleted ARCHIVE_PENDING_DAYS ago and have no message left are no more,
 * and neither are their keys. The audit log says so first. */
enum rc sweeping_end_archives(struct sweeping *s, const char *who, bool attended,
			      struct err *e) MUST_USE;
/* Adds "unfinished" to a result where something is. */
void sweeping_tell(const struct sweeping *s, json_t *result);

#endif
