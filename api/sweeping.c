#include "api/sweeping.h"

#include <stdlib.h>

#include "base/log.h"

enum rc sweeping_begin(struct sweeping *s, struct engine *en, struct err *e)
{
	struct err late = { 0 };

	/* A message still in the spool keeps its own key; draining moves it to its lot first. */
	if (pipeline_drain(en->pipeline, 60000, &late) != RC_OK)
		log_warn("the spool is not empty before a sweep: %s", late.text);
	s->en = en;
	s->config = engine_config(en);
	(void)pthread_mutex_lock(&en->writing);
	engine_sweep(en, s->config, &s->sweep);
	return pipeline_checkpoint(en->pipeline, e);
}

void sweeping_end(struct sweeping *s)
{
	(void)pthread_mutex_unlock(&s->en->writing);
	free((void *)(uintptr_t)s->sweep.archives);
	config_unref(&s->config);
}
