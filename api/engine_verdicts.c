#include "api/engine_verdicts.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/home.h"
#include "base/limits.h"

struct engine_verdicts {
	struct loop *loop;
	struct home *own; /* a tool's */
	struct verdicts *verdicts;
	pthread_t thread;
	bool running;
};

enum rc engine_verdicts_prepare(struct db *control, struct err *e)
{
	return db_exec(control,
	               "CREATE TABLE IF NOT EXISTS setting ("
	               " name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;",
	               e);
}

/* ---- what a tool finds ---- */

static enum rc read_kept(struct db *control, json_t **dns, struct err *e)
{
	struct stmt *st;
	enum rc rc = db_prepare(control, &st, "SELECT value FROM setting WHERE name = 'dns'", e);

	*dns = NULL;
	if (rc != RC_OK)
		return rc;
	rc = stmt_step(st, e);
	if (rc == RC_OK)
		rc = json_read(dns, stmt_text(st, 0), e);
	stmt_free(&st);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* Only a change is written. */
static enum rc keep(struct db *control, const json_t *dns, struct err *e)
{
	json_t *kept;
	struct stmt *st;
	struct buf text;
	enum rc rc = read_kept(control, &kept, e);

	if (rc != RC_OK || (!dns && !kept) || (dns && kept && json_equal(dns, kept))) {
		json_decref(kept);
		return rc;
	}
	json_decref(kept);
	if (!dns)
		return db_exec(control, "DELETE FROM setting WHERE name = 'dns'", e);
	buf_init(&text, LIMIT_CONFIG_FILE);
	rc = json_write(&text, dns);
	if (rc == RC_OK)
		rc = db_prepare(control, &st, "INSERT OR REPLACE INTO setting VALUES('dns', ?)", e);
	if (rc == RC_OK) {
		stmt_bind_text(st, 1, buf_slice(&text));
		rc = stmt_run(st, e);
		stmt_free(&st);
	}
	buf_free(&text);
	return rc;
}

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
	enum rc rc = opt->keeps_dns ? keep(en->control, dns, e) : read_kept(en->control, &dns, e);
	struct engine_verdicts *v;

	*out = NULL;
	if (rc != RC_OK || !dns) {
		json_decref(dns);
		return rc;
	}
	v = mem_new(sizeof(*v));
	if (!opt->verdict_home)
		rc = verdicts_home_start(&v->own, dns, NULL, e);
	if (rc == RC_OK)
		rc = start_thread(v, opt->verdict_home ? opt->verdict_home : v->own, dns,
		                  en->api.hostname, woken, arg, e);
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
