#include "api/import_run.h"

#include <stdlib.h>
#include <time.h>

#include "api/requests.h"
#include "base/log.h"
#include "ingest/import_job.h"

#define LOOK_S 60 /* also without being woken: jobs that were never started fail after some days   \
	           */

struct imports {
	struct engine *en;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool woken;
	bool stop;
};

static bool stopping(struct imports *i)
{
	bool stop;

	(void)pthread_mutex_lock(&i->lock);
	stop = i->stop;
	(void)pthread_mutex_unlock(&i->lock);
	return stop;
}

static enum rc account(void *arg, const struct apply_result *a, struct config *c, struct err *e)
{
	struct engine *en = arg;
	json_t *detail = json_object();

	(void)c;
	json_put_text(detail, "operation", slice_str("StartAddressListImportJob"));
	json_put(detail, "changes", request_changes(a));
	return engine_account(en, "apply", "mmd", detail, e);
}

/* RC_NOTFOUND: nothing is left to do. */
static enum rc step(struct engine *en, struct err *e)
{
	struct apply_result a = { .before_commit = account,
		                  .arg = en,
		                  .limits = en->api.open ? NULL : &resource_limits_aws };
	enum rc rc;

	(void)pthread_mutex_lock(&en->writing);
	a.base = en->config;
	rc = import_job_step(en->control, &a, e);
	if (rc == RC_OK && a.made)
		rc = engine_adopt(en, a.made, e);
	(void)pthread_mutex_unlock(&en->writing);
	if (rc == RC_OK && a.created + a.updated && en->changed)
		rc = en->changed(en->changed_arg, e);
	apply_result_free(&a);
	return rc;
}

static void wait_for_work(struct imports *i)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until); /* tidy: what pthread_cond_timedwait takes */
	until.tv_sec += LOOK_S;
	(void)pthread_mutex_lock(&i->lock);
	if (!i->woken && !i->stop)
		(void)pthread_cond_timedwait(&i->changed, &i->lock, &until);
	i->woken = false;
	(void)pthread_mutex_unlock(&i->lock);
}

static void *work(void *arg)
{
	struct imports *i = arg;

	while (!stopping(i)) {
		struct err e = { 0 };
		enum rc rc = step(i->en, &e);

		if (rc == RC_OK)
			continue;
		if (rc != RC_NOTFOUND)
			log_error("an import of addresses waits: %s", e.text);
		wait_for_work(i);
	}
	return NULL;
}

void imports_start(struct engine *en)
{
	struct imports *i = mem_new(sizeof(*i));

	i->en = en;
	MUST(pthread_mutex_init(&i->lock, NULL) == 0 && pthread_cond_init(&i->changed, NULL) == 0);
	MUST(pthread_create(&i->thread, NULL, work, i) == 0);
	en->imports = i;
}

void imports_wake(struct imports *i)
{
	if (!i)
		return;
	(void)pthread_mutex_lock(&i->lock);
	i->woken = true;
	(void)pthread_cond_signal(&i->changed);
	(void)pthread_mutex_unlock(&i->lock);
}

void imports_stop(struct engine *en)
{
	struct imports *i = en->imports;

	if (!i)
		return;
	en->imports = NULL;
	(void)pthread_mutex_lock(&i->lock);
	i->stop = true;
	(void)pthread_cond_signal(&i->changed);
	(void)pthread_mutex_unlock(&i->lock);
	MUST(pthread_join(i->thread, NULL) == 0);
	(void)pthread_mutex_destroy(&i->lock);
	(void)pthread_cond_destroy(&i->changed);
	free(i);
}
