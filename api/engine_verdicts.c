#include "api/engine_verdicts.h"

#include <pthread.h>
#include <stdlib.h>

#include "api/engine_setting.h"
#include "base/home.h"
#include "base/log.h"

struct engine_verdicts {
	struct loop *loop;
	struct home *own; /* a tool's */
	struct verdicts *verdicts;
	pthread_t thread;
	bool running;
};

/* ---- the thread ---- */

static void *run(void *arg)
{
	struct engine_verdicts *v = arg;

	loop_run(v->loop, NULL, NULL);
	return NULL;
}

static enum rc start_thread(struct engine_verdicts *v, struct home *home, const json_t *dns,
                            const char *hostname, void (*woken)(void *arg), void *arg,
                            struct err *e)
{
	struct verdicts_options o = {
		.home = home, .receiver = hostname, .woken = woken, .arg = arg
	};
	enum rc rc = verdicts_deadline(dns, &o.deadline_ms, e);

	if (rc != RC_OK)
		return rc;
	v->loop = o.loop = loop_new();
	v->verdicts = verdicts_new(&o);
	if (pthread_create(&v->thread, NULL, run, v) != 0)
		return err_set(e, RC_LIMIT, "no thread for mm-verdict");
	v->running = true;
	return RC_OK;
}

enum rc engine_verdicts_start(struct engine_verdicts **out, struct engine *en,
                              const struct engine_options *opt, void (*woken)(void *arg), void *arg,
                              struct err *e)
{
	json_t *dns = json_incref((json_t *)(uintptr_t)opt->dns);
	enum rc rc = setting_sync(en->control, "dns", opt->keeps_dns, &dns, e);
	struct engine_verdicts *v;

	*out = NULL;
	if (rc != RC_OK || !dns) {
		json_decref(dns);
		return rc;
	}
	v = mem_new(sizeof(*v));
	if (!opt->verdict_home && verdicts_home_start(&v->own, dns, NULL, e) != RC_OK) {
		/* The archive must open where what the daemon's configuration names isn't there. */
		log_warn("%s; SPF, DKIM, ARC and DMARC of mail that waits can't be found out",
		         e->text);
		*e = (struct err) { .code = RC_OK };
	} else {
		rc = start_thread(v, opt->verdict_home ? opt->verdict_home : v->own, dns,
		                  en->api.hostname, woken, arg, e);
	}
	json_decref(dns);
	if (rc != RC_OK) {
		engine_verdicts_stop(&v);
		return err_in(e, "DNS");
	}
	*out = v;
	return RC_OK;
}

void engine_verdicts_stop(struct engine_verdicts **at)
{
	struct engine_verdicts *v = *at;

	if (!v)
		return;
	*at = NULL;
	if (v->running) {
		loop_stop(v->loop);
		MUST(pthread_join(v->thread, NULL) == 0);
	}
	verdicts_free(&v->verdicts);
	if (v->loop)
		loop_free(&v->loop);
	home_stop(&v->own);
	free(v);
}

struct verdicts *engine_verdicts_of(struct engine_verdicts *v)
{
	return v ? v->verdicts : NULL;
}
