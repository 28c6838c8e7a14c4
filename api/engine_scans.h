/*
 * api/engine_scans.h - scanners of an open data directory
 *
 * What     For mmd, and for a tool that has the directory alone: mail of the spool is judged the same by both
 *          (api/engine_setting.h).
 * Threads  engine_scans_start, _stop: who opens and closes the engine. `woken` comes on the thread inside.
 */
#ifndef MM_API_ENGINE_SCANS_H
#define MM_API_ENGINE_SCANS_H

#include "api/engine.h"
#include "ingest/scans.h"

struct engine_scans;

/* *out is NULL where no add-on is configured. A tool's home is started here, mmd's is in `opt`. */
enum rc engine_scans_start(struct engine_scans **out, struct engine *en,
			   const struct engine_options *opt, void (*woken)(void *arg), void *arg,
			   struct err *e) MUST_USE;
/* After the pipeline. NULL is fine. */
void engine_scans_stop(struct engine_scans **s);
/* Can the policies of `c` that en hasn't already have what they ask before DATA? RC_INVALID: a scanner stands for an
 * add-on, and needs the message. One that isn't configured is no error: it is as one that is down. `s` may be NULL. */
enum rc engine_scans_check(const struct engine_scans *s, const struct engine *en,
			   const struct config *c, struct err *e) MUST_USE;
struct scans *engine_scans_of(struct engine_scans *s); /* NULL: none */
/* The longest that a message may wait for a scanner; 0: for none. */
int64_t engine_scans_longest_ms(const struct engine_scans *s);

#endif
