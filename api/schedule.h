/*
 * api/schedule.h - what mmd does by the clock
 *
 * What     Every hour: the head of the audit log goes to the log and, where one is configured, to the
 *          anchor file. Once a UTC day: the audit log's daily entry, small blocks merged, the spool's
 *          current file ended (so that a sweep finds no old mail in it). At the configured time, or
 *          at the start when that time passed without an mmd: the unattended retention sweep, under
 *          the clock guard. Every minute: the guard compares the clocks, and counts of
 *          requests are entered whose time is over (api/account.h). At the start and when a caller
 *          went away in the middle of it: a reindex that was broken off is done again.
 * Threads  One of its own; it takes the engine's `writing` for its work.
 */
#ifndef MM_API_SCHEDULE_H
#define MM_API_SCHEDULE_H

#include "api/engine.h"

struct schedule;

struct schedule_options {
	int sweep_minute; /* minute of the UTC day; -1: never */
	const char *anchor; /* file, best on another machine, that a line is added to; may be NULL */
	void (*new_day)(void *arg); /* end the writers' spool files; may be NULL */
	void *arg;
};

/* "HH:MM" (UTC) or "off"; NULL gives the default, 02:30. RC_INVALID says what is accepted. */
enum rc schedule_parse(const char *text, int *sweep_minute, struct err *e) MUST_USE;
enum rc schedule_start(struct schedule **out, struct engine *en, const struct schedule_options *opt,
		       struct err *e) MUST_USE;
void    schedule_stop(struct schedule **s); /* waits for work under way; NULL is fine */

#endif
