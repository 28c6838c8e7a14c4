/*
 * api/engine_verdicts.h - mm-verdict of an open data directory, on a thread of its own
 *
 * What     The loop that ingest/verdicts needs, for mmd and for a tool that has the directory alone: mail of the
 *          spool is judged the same by both. What mmd's configuration says of DNS is kept in control.db, because a tool
 *          doesn't read the configuration.
 * Threads  engine_verdicts_start, _stop: who opens and closes the engine. `woken` comes on the thread inside.
 * On disk  docs/formats.md, "Control database": table setting
 */
#ifndef MM_API_ENGINE_VERDICTS_H
#define MM_API_ENGINE_VERDICTS_H

#include "api/engine.h"
#include "ingest/verdicts.h"

struct engine_verdicts;

/* *out is NULL where no DNS is configured. A tool's home is started here, mmd's is in `opt`. Where a tool's can't be
 * started, as without the trust anchor, that is told, and there are no verdicts. */
enum rc engine_verdicts_start(struct engine_verdicts **out, struct engine *en,
			      const struct engine_options *opt, void (*woken)(void *arg), void *arg,
			      struct err *e) MUST_USE;
/* After the pipeline. NULL is fine. */
void engine_verdicts_stop(struct engine_verdicts **v);
struct verdicts *engine_verdicts_of(struct engine_verdicts *v); /* NULL: none */

#endif
