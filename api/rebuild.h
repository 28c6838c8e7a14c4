/* api/rebuild.h - a rebuild of the index that was broken off comes to its end */
#ifndef MM_API_REBUILD_H
#define MM_API_REBUILD_H

#include "api/engine.h"

/* Does again what a killed process, or one whose caller went away, left of a reindex; RC_OK also when there
 * is nothing. Takes `writing`. `stop` is asked at every message; true ends it with RC_AGAIN, and it is left
 * as it was. */
enum rc rebuild_go_on(struct engine *en, bool (*stop)(void *arg), void *arg, struct err *e) MUST_USE;

#endif
