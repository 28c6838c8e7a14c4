/*
 * ingest/background.h - work that comes after the senders
 *
 * The senders' side comes first on a busy machine: indexing follows at its own pace. A nice value is
 * not enough: it leaves a thread the slice that it has begun, and a sender waits for the end of it
 * (docs/design.md, "Threads and locks").
 */
#ifndef MM_INGEST_BACKGROUND_H
#define MM_INGEST_BACKGROUND_H

#include <sched.h>

#include "base/log.h"

/* The calling thread (or, where it is the only one, process) gets what the others leave. */
static inline void background_thread(void)
{
	static const struct sched_param none = { 0 };

	if (sched_setscheduler(0, SCHED_IDLE, &none) != 0)
		log_warn("a thread in the background keeps the priority of the senders' side");
}

#endif
