#include "api/job_run.h"

#include <stdlib.h>
#include <time.h>

#include "api/job_filter.h"
#include "api/job_run_parts.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "query/print.h"
#include "query/run.h"

#define PRUNE_MS     INT64_C(3600000)
#define LINK_SECONDS 300
#ifdef MM_TEST
#define LOOK_MS 500 /* tests set the clock and wait for what follows */
#else
#define LOOK_MS 60000
#endif

struct line {
	struct jobs *jobs;
	enum job_kind kind;
	pthread_t thread;
	bool started;
};

struct jobs {
	struct engine *en;
	struct job_options opt;
	struct line lines[JOB_KINDS];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t wakes; /* counted, so that none is missed */
	bool stop;
	int64_t pruned_ms;
};

static bool stopping(struct jobs *js)
{
	bool stop;

	(void)pthread_mutex_lock(&js->lock);
	stop = js->stop;
	(void)pthread_mutex_unlock(&js->lock);
	return stop;
}

/* ---- what a running job asks ---- */

static bool has_right(struct job_running *x)
{
	struct principals *ps = engine_principals(x->en);
	enum access_class class = x->job->kind == JOB_SEARCH ? ACCESS_SEARCH : ACCESS_EXPORT;
	const struct principal *p;
	bool may = true;

	if (x->job->principal && principals_generation(ps) != x->rights) {
		p = principal_by_name(ps, slice_str(x->job->principal));
		may = p && !p->disabled && access_may(&p->access, class, x->archive->id);
		x->rights = principals_generation(ps);
	}
	principals_unref(&ps);
	return may;
}

/* As it is now, not when the job began. */
static bool is_deleted(const struct job_running *x)
{
	struct config *c = engine_config(x->en);
	const struct archive_info *a = config_archive_by_number(c, x->job->archive);
	bool deleted = !a || a->pending;

	config_unref(&c);
	return deleted;
}

enum rc job_may_go_on(struct job_running *x, struct err *e)
{
	bool open;
	enum rc rc;

	if (stopping(x->jobs))
		return err_set(e, RC_AGAIN, "mmd stops");
	rc = job_open(x->db, x->job->number, &open, e);
	if (rc == RC_OK && !open)
		return err_set(e, RC_NOTFOUND, "it was stopped");
	if (rc == RC_OK && is_deleted(x))
		return err_set(e, RC_EXISTS, "the archive is being deleted");
	if (rc == RC_OK && !has_right(x))
		return err_set(e, RC_DENIED, "the rights of who asked for it have changed");
	return rc;
}

enum rc job_change(struct job_running *x,
                   enum rc (*change)(void *arg, struct db *control, struct err *e), void *arg,
                   struct err *e)
{
	struct db *control = x->en->control;
	bool open = false;
	enum rc rc;

	(void)pthread_mutex_lock(&x->en->writing);
	rc = db_begin(control, e);
	if (rc == RC_OK) {
		rc = job_open(control, x->job->number, &open, e);
		if (rc == RC_OK && !open)
			rc = err_set(e, RC_NOTFOUND, "it was stopped");
		if (rc == RC_OK)
			rc = change(arg, control, e);
		if (rc == RC_OK)
			rc = db_commit(control, e);
		if (rc != RC_OK)
			db_rollback(control);
	}
	(void)pthread_mutex_unlock(&x->en->writing);
	return rc;
}

json_t *job_detail(const struct job_running *x, struct slice query, uint64_t hits)
{
	json_t *detail = json_object();

	json_put_text(detail, "archive", slice_str(x->archive->name));
	json_put_int(detail, "archive_number", x->archive->number);
	json_put_text(detail, "job", slice_str(x->job->id));
	json_put(detail, "query", json_of_slice(query));
	json_put_int(detail, "hits", (int64_t)hits);
	return detail;
}

/* ---- finding ---- */

struct finding {
	struct job_running *x;
	struct message_id *ids;
	size_t count;
	size_t room;
};

static enum rc add_id(void *arg, const struct index_row *row, struct err *e)
{
	struct finding *f = arg;
	enum rc rc = f->count % 256 ? RC_OK : job_may_go_on(f->x, e);

	if (rc != RC_OK)
		return rc;
	if (f->count == f->room) {
		f->room = f->room ? 2 * f->room : 256;
		f->ids = mem_resize(f->ids, f->room * sizeof(*f->ids));
	}
	f->ids[f->count++] = row->id;
	return RC_OK;
}

static enum rc find(struct finding *f, const struct match *m, uint64_t limit, uint64_t *hits,
                    struct err *e)
{
	struct query_stats stats;
	struct query q;
	enum rc rc;

	query_init(&q, f->x->archive->number, f->x->archive->name, m);
	rc = query_count(f->x->en->index, &q, &stats, e);
	*hits = stats.hits;
	q.limit = limit;
	if (rc == RC_OK)
		rc = job_may_go_on(f->x, e);
	return rc == RC_OK ? query_run(f->x->en->index, &q, add_id, f, &stats, e) : rc;
}

enum rc job_find(struct job_running *x, uint64_t limit, struct message_id **ids, size_t *count,
                 uint64_t *hits, struct buf *query, struct err *e)
{
	struct match_tree *tree = match_tree_new();
	struct finding f = { .x = x };
	struct match *m;
	enum rc rc = job_filter(tree, x->job->input, &m, e);

	if (rc == RC_OK && query_print(m, query) != RC_OK)
		rc = err_set(e, RC_LIMIT, "the filters are too long");
	if (rc == RC_OK)
		rc = find(&f, m, limit, hits, e);
	match_tree_free(&tree);
	*ids = f.ids;
	*count = f.count;
	return rc;
}

/* ---- a search ---- */

struct found {
	int64_t number;
	const struct message_id *ids;
	size_t count;
};

static enum rc set_running(void *arg, struct db *control, struct err *e)
{
	const struct job *j = arg;

	return job_set_state(control, j->number, JOB_RUNNING, e);
}

static enum rc put_found(void *arg, struct db *control, struct err *e)
{
	const struct found *f = arg;
	enum rc rc = job_put_hits(control, f->number, f->ids, f->count, e);

	return rc == RC_OK ? job_end(control, f->number, JOB_COMPLETED, NULL, e) : rc;
}

static enum rc search(struct job_running *x, struct err *e)
{
	uint64_t limit = (uint64_t)json_member_int(x->job->input, "MaxResults", 0);
	struct found f = { .number = x->job->number };
	struct job job = { .number = f.number };
	struct message_id *ids = NULL;
	struct buf query;
	uint64_t hits = 0;
	json_t *detail;
	enum rc rc = job_change(x, set_running, &job, e);

	buf_init(&query, LIMIT_REQUEST);
	if (rc == RC_OK) /* none is asked for: 0 would mean all of them */
		rc = job_find(x, MAX_OF(limit, (uint64_t)1), &ids, &f.count, &hits, &query, e);
	f.ids = ids;
	f.count = MIN_OF(f.count, limit);
	if (rc == RC_OK) {
		detail = job_detail(x, buf_slice(&query), hits);
		json_put_int(detail, "limit", (int64_t)limit);
		rc = engine_account(x->en, "search", x->job->who, detail, e);
	}
	if (rc == RC_OK)
		rc = job_change(x, put_found, &f, e);
	buf_free(&query);
	free(ids);
	return rc;
}

/* ---- one job ---- */

static enum rc run_job(struct job_running *x, struct err *e)
{
	enum rc rc;

	x->archive = config_archive_by_number(x->config, x->job->archive);
	if (!x->archive)
		return err_set(e, RC_INVALID, "the archive is gone");
	rc = job_may_go_on(x, e);
	if (rc == RC_OK && x->job->kind == JOB_SEARCH)
		return search(x, e);
	if (rc == RC_OK && !x->jobs->opt.s3)
		return err_set(e, RC_INVALID, "no S3 endpoint is configured");
	return rc == RC_OK ? job_export(x, x->jobs->opt.s3, e) : rc;
}

static enum rc put_failure(void *arg, struct db *control, struct err *e)
{
	const struct job *j = arg;

	return job_end(control, j->number, JOB_FAILED, j->error, e);
}

/* False: what is in control.db can't be changed now. */
static bool run_one(struct jobs *js, struct db *db, const struct job *j)
{
	struct job_running x = { .jobs = js, .en = js->en, .db = db, .job = j, .rights = -1 };
	struct err e = { 0 };
	struct err second = { 0 };
	struct job failed = { .number = j->number, .error = e.text };
	enum rc rc;

	x.config = engine_config(js->en);
	rc = run_job(&x, &e);
	/* Also after RC_NOTFOUND, which may come from elsewhere: a job that was stopped stays as it
	 * is. */
	if (rc != RC_OK && !stopping(js)) {
		rc = job_change(&x, put_failure, &failed, &second);
		if (rc == RC_OK)
			log_warn("%s failed: %s", j->id, e.text);
		else if (rc != RC_NOTFOUND)
			log_error("%s: %s", j->id, second.text);
	}
	config_unref(&x.config);
	return rc == RC_OK || rc == RC_NOTFOUND;
}

static void run_all(struct jobs *js, enum job_kind kind)
{
	struct err e = { 0 };
	struct job j = { .number = 0 };
	struct db *db;
	bool goes = true;
	enum rc rc = engine_control(js->en, &db, &e);

	while (rc == RC_OK && goes && !stopping(js)) {
		rc = job_next(db, kind, &j, &e);
		if (rc == RC_OK)
			goes = run_one(js, db, &j);
		job_free(&j);
	}
	if (rc != RC_OK && rc != RC_NOTFOUND)
		log_error("jobs: %s", e.text);
	db_close(&db);
}

/* ---- the threads ---- */

static void prune(struct jobs *js)
{
	struct err e = { 0 };
	int64_t now = clock_now_ms();
	struct db *control = js->en->control;
	enum rc rc;

	if (now >= js->pruned_ms && now - js->pruned_ms < PRUNE_MS)
		return;
	js->pruned_ms = now;
	(void)pthread_mutex_lock(&js->en->writing);
	rc = db_begin(control, &e);
	if (rc == RC_OK) {
		rc = job_prune(control, now - JOB_KEPT_MS, &e);
		if (rc == RC_OK)
			rc = db_commit(control, &e);
		if (rc != RC_OK)
			db_rollback(control);
	}
	(void)pthread_mutex_unlock(&js->en->writing);
	if (rc != RC_OK)
		log_error("old searches and exports: %s", e.text);
}

/* Until there is something new, or for a while. False when it is time to end. */
static bool rest(struct jobs *js, uint64_t *seen)
{
	struct timespec until;
	bool stop;

	(void)clock_gettime(CLOCK_MONOTONIC, &until); /* tidy: what pthread_cond_timedwait takes */
	until.tv_sec += LOOK_MS / 1000;
	until.tv_nsec += LOOK_MS % 1000 * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	(void)pthread_mutex_lock(&js->lock);
	while (!js->stop && js->wakes == *seen &&
	       pthread_cond_timedwait(&js->changed, &js->lock, &until) == 0)
		;
	*seen = js->wakes;
	stop = js->stop;
	(void)pthread_mutex_unlock(&js->lock);
	return !stop;
}

static void *work(void *arg)
{
	struct line *l = arg;
	uint64_t seen = 0;

	do {
		if (l->kind == JOB_SEARCH)
			prune(l->jobs);
		run_all(l->jobs, l->kind);
	} while (rest(l->jobs, &seen));
	return NULL;
}

void jobs_wake(struct jobs *js)
{
	if (!js)
		return;
	(void)pthread_mutex_lock(&js->lock);
	js->wakes++;
	(void)pthread_cond_broadcast(&js->changed);
	(void)pthread_mutex_unlock(&js->lock);
}

const struct job_options *jobs_options(const struct jobs *js)
{
	static const struct job_options none = { .link_seconds = LINK_SECONDS };

	return js ? &js->opt : &none;
}

enum rc jobs_start(struct engine *en, const struct job_options *opt, struct err *e)
{
	struct jobs *js = mem_new(sizeof(*js));
	pthread_condattr_t clock;
	enum rc rc = RC_OK;

	js->en = en;
	js->opt = *opt;
	js->opt.link_seconds = opt->link_seconds ? opt->link_seconds : LINK_SECONDS;
	js->pruned_ms = INT64_MAX;
	(void)pthread_mutex_init(&js->lock, NULL);
	(void)pthread_condattr_init(&clock);
	(void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&js->changed, &clock);
	(void)pthread_condattr_destroy(&clock);
	en->jobs = js;
	for (int k = 0; k < JOB_KINDS && rc == RC_OK; k++) {
		js->lines[k] = (struct line) { .jobs = js, .kind = (enum job_kind)k };
		js->lines[k].started =
		        pthread_create(&js->lines[k].thread, NULL, work, &js->lines[k]) == 0;
		if (!js->lines[k].started)
			rc = err_set(e, RC_IO, "the thread for searches and exports");
	}
	if (rc != RC_OK)
		jobs_stop(en);
	return rc;
}

void jobs_stop(struct engine *en)
{
	struct jobs *js = en->jobs;

	if (!js)
		return;
	(void)pthread_mutex_lock(&js->lock);
	js->stop = true;
	(void)pthread_cond_broadcast(&js->changed);
	(void)pthread_mutex_unlock(&js->lock);
	for (int k = 0; k < JOB_KINDS; k++)
		if (js->lines[k].started)
			(void)pthread_join(js->lines[k].thread, NULL);
	en->jobs = NULL;
	(void)pthread_cond_destroy(&js->changed);
	(void)pthread_mutex_destroy(&js->lock);
	free(js);
}
