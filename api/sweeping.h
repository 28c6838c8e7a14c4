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

/* `run`: also finishes what was interrupted. sweeping_end is called also after a failure. */
enum rc sweeping_begin(struct sweeping *s, struct engine *en, bool run, struct err *e) MUST_USE;
void sweeping_end(struct sweeping *s);
/* After a sweep: archives that were deleted ARCHIVE_PENDING_DAYS ago and have no message left are no more,
 * and neither are their keys. The audit log says so first. */
enum rc sweeping_end_archives(struct sweeping *s, const char *who, bool attended,
			      struct err *e) MUST_USE;
/* Adds "unfinished" to a result where something is. */
void sweeping_tell(const struct sweeping *s, json_t *result);

#endif
