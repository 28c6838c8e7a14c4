/* tools/mmd.c - the daemon: opens the data directory, starts what faces the world, answers the
 * tools */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <limits.h>
#include <unistd.h>

#include "api/control.h"
#include "api/http_front.h"
#include "api/http_wire.h"
#include "api/import_run.h"
#include "api/requests.h"
#include "api/schedule.h"
#include "base/clock.h"
#include "base/home.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/tls.h"
#include "ingest/front.h"
#include "ingest/lookups.h"
#include "ingest/resources.h"
#include "ingest/calls.h"
#include "ingest/outbound.h"
#include "ingest/scans.h"
#include "ingest/verdicts.h"
#include "store/crypt.h"
#include "tools/cli.h"
#include "tools/mmd_settings.h"

#define REQUEST_THREADS 8
#define CALLS_TOGETHER  ((size_t)128 << 20)
#define SHARED_PER_USER 4 /* of as many threads for those who come by the shared socket */
#define ERRAND_WAIT_S   20
#define DRAIN_MS        30000
#define ASK_MOST_MS     60000 /* for a reply to RCPT, which clients wait five minutes for */
#define ASK_LATE_MS     3500  /* behind the deadline: until a child that hangs is noticed */
#define ROOM_MS         1000  /* between two looks at the disk's room */
#define IN_USE_MS       100
#define IN_USE_TRIES    50

struct mmd {
	struct cli *cli;
	struct settings set;
	struct engine *engine;
	struct loop *loop;
	struct front *front;
	struct lookups *lookups;
	struct request_server *requests;
	struct request_server *shared; /* on the socket that is configured */
	struct schedule *schedule;
	struct http_front *http;      /* NULL: no API is configured */
	struct request_server *calls; /* its */
	unsigned fronts;              /* that have not stopped yet */
	struct loop_timer *room;
	int status;
	bool full;            /* the pipeline waits for room */
	bool refused;         /* new mail is, for want of room */
	pthread_mutex_t lock; /* below */
	pthread_cond_t done;
	struct errand *errands;
	struct judged *judged; /* newest first */
	bool closing;
};

/* ---- the front, configured from the loop's thread ---- */

static enum rc configure_front(struct mmd *m, void (*done)(void *arg), void *arg, struct err *e)
{
	struct config *c = engine_config(m->engine);
	enum rc rc = front_configure(m->front, &m->set.smtp, c, done, arg, e);

	config_unref(&c);
	return rc;
}

/* Access keys that work from now on. */
static enum rc give_keys(struct mmd *m, void (*done)(void *arg), void *arg, struct err *e)
{
	struct db *db = NULL;
	json_t *keys = NULL;
	enum rc rc = engine_control(m->engine, &db, e);

	if (rc == RC_OK)
		rc = principals_snapshot(db, &keys, e);
	if (rc == RC_OK)
		rc = http_front_keys(m->http, keys, done, arg, e);
	db_close(&db);
	json_decref(keys);
	return rc;
}

enum errand_kind { ERRAND_PREPARE, ERRAND_CONFIGURE, ERRAND_HEAR, ERRAND_KEYS };

/* What a request's thread waits for, and the loop's thread does. */
struct errand {
	struct errand *next; /* of all that are under way */
	struct mmd *mmd;
	enum errand_kind what;
	struct config *config; /* ERRAND_PREPARE */
	bool done;
	bool left; /* who asked waits no longer: it is freed when done */
	struct err e;
};

static void errand_free(struct errand *x)
{
	config_unref(&x->config);
	free(x);
}

/* On the loop's thread; also when nobody will do it any more. */
static void errand_done(void *arg)
{
	struct errand *x = arg;
	struct mmd *m = x->mmd;
	struct errand **at = &m->errands;

	(void)pthread_mutex_lock(&m->lock);
	while (*at && *at != x)
		at = &(*at)->next;
	if (*at)
		*at = x->next;
	x->done = true;
	if (x->left)
		errand_free(x);
	else
		(void)pthread_cond_broadcast(&m->done);
	(void)pthread_mutex_unlock(&m->lock);
}

static void errand_begin(void *arg)
{
	struct errand *x = arg;
	struct err e = { 0 };

	if (x->what == ERRAND_HEAR)
		front_hear(x->mmd->front);
	else if (x->what == ERRAND_KEYS && give_keys(x->mmd, errand_done, x, &e) == RC_OK)
		return;
	else if (x->what == ERRAND_CONFIGURE &&
	         configure_front(x->mmd, errand_done, x, &e) == RC_OK)
		return;
	else if (x->what == ERRAND_PREPARE &&
	         front_prepare(x->mmd->front, &x->mmd->set.smtp, x->config, &e) == RC_OK)
		e = (struct err) { 0 }; /* what it holds is of no error */
	x->e = e;
	errand_done(x);
}

/* RC_AGAIN: not done within the time, or mmd is stopping. */
static enum rc run_errand(struct mmd *m, enum errand_kind what, struct config *c, struct err *e)
{
	struct errand *x = mem_new(sizeof(*x));
	struct timespec until;
	enum rc rc;

	x->mmd = m;
	x->what = what;
	x->config = c ? config_ref(c) : NULL;
	(void)clock_gettime(CLOCK_REALTIME, &until); /* tidy: what pthread_cond_timedwait takes */
	until.tv_sec += ERRAND_WAIT_S;
	(void)pthread_mutex_lock(&m->lock);
	if (m->closing) {
		(void)err_set(&x->e, RC_AGAIN, "mmd is stopping");
		x->done = true;
	} else {
		x->next = m->errands;
		m->errands = x;
		loop_post(m->loop, errand_begin, x);
	}
	while (!x->done && pthread_cond_timedwait(&m->done, &m->lock, &until) != ETIMEDOUT)
		;
	x->left = !x->done;
	rc = x->done ? x->e.code
	             : err_set(e, RC_AGAIN, "%s did not answer for %d s",
	                       what == ERRAND_KEYS ? "mm-httpd" : "mm-smtpd", ERRAND_WAIT_S);
	if (x->done && rc != RC_OK)
		*e = x->e;
	if (x->done)
		errand_free(x);
	(void)pthread_mutex_unlock(&m->lock);
	return rc;
}

/* The loop has ended: who waits for it is told. */
static void close_errands(struct mmd *m)
{
	(void)pthread_mutex_lock(&m->lock);
	m->closing = true;
	while (m->errands) {
		struct errand *x = m->errands;

		m->errands = x->next;
		(void)err_set(&x->e, RC_AGAIN, "mmd is stopping");
		x->done = true;
		if (x->left)
			errand_free(x);
	}
	(void)pthread_cond_broadcast(&m->done);
	(void)pthread_mutex_unlock(&m->lock);
}

static enum rc on_prepare(void *arg, struct config *c, struct err *e)
{
	return run_errand(arg, ERRAND_PREPARE, c, e);
}

static enum rc on_changed(void *arg, struct err *e)
{
	enum rc rc = run_errand(arg, ERRAND_CONFIGURE, NULL, e);

	if (rc == RC_AGAIN)
		return err_in(e, "it is stored, but mm-smtpd did not take it yet");
	return rc == RC_OK ? rc : err_in(e, "it is stored, but can't take effect");
}

static enum rc on_principals(void *arg, struct err *e)
{
	struct mmd *m = arg;
	enum rc rc = m->http ? run_errand(m, ERRAND_KEYS, NULL, e) : RC_OK;

	return rc == RC_OK ? rc : err_in(e, "it is stored, but mm-httpd did not take it yet");
}

static void on_hear(void *arg)
{
	struct err e;

	if (run_errand(arg, ERRAND_HEAR, NULL, &e) != RC_OK)
		log_warn("the spool is counted without the newest messages: %s", e.text);
}

/* ---- events ---- */

static void on_ready(void *arg)
{
	(void)arg;
	log_info("all listeners are open");
	if (puts("ready") < 0 || fflush(stdout) != 0)
		log_warn("nobody reads this program's stdout");
}

static void on_durable(void *arg)
{
	struct mmd *m = arg;

	pipeline_wake(m->engine->pipeline);
}

static void on_front_failed(void *arg, const char *text)
{
	(void)arg;
	log_warn("%s", text);
}

static void on_front_stopped(void *arg)
{
	struct mmd *m = arg;

	if (--m->fronts == 0)
		loop_stop(m->loop);
}

/* ---- senders that wait for what the rules say ---- */

/* On its way from the pipeline's thread to the loop's. */
struct judged {
	struct judged *next;
	struct message_id id;
	bool refuse;
	char text[100];
};

static struct judged *take_judged(struct mmd *m, bool closing)
{
	struct judged *list;

	(void)pthread_mutex_lock(&m->lock);
	m->closing |= closing;
	list = m->judged;
	m->judged = NULL;
	(void)pthread_mutex_unlock(&m->lock);
	return list;
}

static void tell_judged(void *arg)
{
	struct mmd *m = arg;
	struct judged *list = take_judged(m, false);

	while (list) {
		struct judged *j = list;

		list = j->next;
		front_judged(m->front, &j->id, j->refuse, j->text);
		free(j);
	}
}

/* The front is gone: who waited has his 250. */
static void judge_no_more(struct mmd *m)
{
	struct judged *list = take_judged(m, true);

	while (list) {
		struct judged *j = list;

		list = j->next;
		if (m->engine)
			pipeline_answered(m->engine->pipeline, &j->id, false);
		free(j);
	}
}

static void on_judged(void *arg, const struct message_id *id, bool refuse, const char *text)
{
	struct mmd *m = arg;
	struct judged *j = mem_new(sizeof(*j));
	bool closing;

	j->id = *id;
	j->refuse = refuse;
	(void)snprintf(j->text, sizeof(j->text), "%s", text);
	(void)pthread_mutex_lock(&m->lock);
	closing = m->closing;
	j->next = m->judged;
	m->judged = j;
	(void)pthread_mutex_unlock(&m->lock);
	if (closing)
		judge_no_more(m);
	else
		loop_post(m->loop, tell_judged, m);
}

static void on_answered(void *arg, const struct message_id *id, bool refused)
{
	struct mmd *m = arg;

	pipeline_answered(m->engine->pipeline, id, refused);
}

/* ---- what add-ons say of clients ---- */

static bool on_ask(void *arg, uint64_t life, struct slice body)
{
	struct mmd *m = arg;

	return lookups_ask(m->lookups, life, body);
}

static void on_told(void *arg, uint64_t life, struct slice body)
{
	struct mmd *m = arg;

	front_told(m->front, life, body);
}

static struct config *config_now(void *arg)
{
	return engine_config(((struct mmd *)arg)->engine);
}

static enum rc open_lookups(struct mmd *m, struct err *e)
{
	struct lookups_options o = { .loop = m->loop,
		                     .home = m->set.engine.verdict_home,
		                     .addons = &m->set.addons,
		                     .config = config_now,
		                     .told = on_told,
		                     .arg = m };
	enum rc rc = RC_OK;

	if (o.home)
		rc = verdicts_deadline(m->set.engine.dns, &o.deadline_ms, e);
	if (rc != RC_OK)
		return rc;
	o.deadline_ms = MIN_OF(o.deadline_ms, (int64_t)ASK_MOST_MS);
	m->set.smtp.ask_ms = o.deadline_ms + ASK_LATE_MS;
	m->lookups = lookups_new(&o);
	return RC_OK;
}

static const struct http_front_ops http_ops = { on_front_stopped };

static void stop_fronts(struct mmd *m)
{
	if (m->http)
		http_front_stop(m->http);
	front_stop(m->front);
}

static const struct front_ops front_ops = {
	.ready = on_ready,
	.durable = on_durable,
	.answered = on_answered,
	.ask = on_ask,
	.failed = on_front_failed,
	.stopped = on_front_stopped,
};

static void on_terminate(void *arg)
{
	struct mmd *m = arg;

	log_info("stopping");
	stop_fronts(m);
}

static enum rc open_front(struct mmd *m, struct err *e)
{
	return configure_front(m, NULL, NULL, e);
}

static enum rc use_api_certs(struct mmd *m, struct err *e)
{
	return http_front_certs(m->http, m->set.api.certs, m->set.api.cert_count, e);
}

/* New certificates, from the files that the configuration names. When they are no good, the old
 * ones stay, for the next change too. */
static void reload_certs(struct mmd *m, const char *section,
                         enum rc (*use)(struct mmd *m, struct err *e))
{
	struct certificates *c;
	struct err e = { 0 };
	enum rc rc = settings_read_certs(m->set.json, section, &c, &e);

	if (rc == RC_OK) {
		c = settings_use_certs(&m->set, section, c);
		rc = use(m, &e);
		if (rc != RC_OK)
			c = settings_use_certs(&m->set, section, c);
		certificates_free(&c);
	}
	if (rc == RC_OK)
		log_info("reloaded the certificates of %s", section);
	else
		log_error("reload: %s", e.text);
}

static void on_reload(void *arg)
{
	struct mmd *m = arg;

	logs_reopen(m->engine->logs);
	reload_certs(m, "smtp", open_front);
	if (m->http)
		reload_certs(m, "api", use_api_certs);
}

static void stop_broken(void *arg)
{
	struct mmd *m = arg;

	m->status = CLI_PARTLY;
	stop_fronts(m);
}

static void on_broken(void *arg)
{
	struct mmd *m = arg;

	loop_post(m->loop, stop_broken, m);
}

/* New mail is refused before the disk is full, and until what was accepted is through. */
static void look_for_room(void *arg)
{
	struct mmd *m = arg;
	bool refused = m->full || !engine_room(m->engine);

	if (refused && !m->refused)
		log_error("the disk has little room: new mail is refused with 452");
	else if (m->refused && !refused)
		log_info("the disk has room: new mail is taken again");
	m->refused = refused;
	front_pause(m->front, refused);
	loop_timer_set(m->room, ROOM_MS);
}

static void on_filled(void *arg)
{
	struct mmd *m = arg;

	m->full = pipeline_full(m->engine->pipeline);
	if (m->room)
		look_for_room(m);
}

static void on_full(void *arg, bool full)
{
	struct mmd *m = arg;

	(void)full; /* it may have changed when the loop comes to it */
	loop_post(m->loop, on_filled, m);
}

static void end_file(void *arg)
{
	struct mmd *m = arg;

	front_end_file(m->front);
}

static void on_new_day(void *arg)
{
	struct mmd *m = arg;

	loop_post(m->loop, end_file, m);
}

/* ---- confinement ---- */

struct places {
	struct sandbox_path at[8 * MAX_CERTS + 4];
	char *names[8 * MAX_CERTS + 4]; /* to be freed */
	size_t count;
	size_t name_count;
};

static void add_place(struct places *p, const char *path, enum sandbox_use use)
{
	MUST(p->count < COUNT(p->at));
	p->at[p->count++] = (struct sandbox_path) { path, use };
}

/* The directory that a file is in, so that another may take its place. */
static void add_directory_of(struct places *p, const char *path, enum sandbox_use use)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;
	char *dir = slash ? slice_string(slice_of(path, MAX_OF(n, 1U))) : mem_string(".");

	MUST(p->name_count < COUNT(p->names));
	p->names[p->name_count++] = dir;
	add_place(p, dir, use);
}

/* Certificates are renewed by new files, often behind a symbolic link: SIGHUP reads them again. */
static void add_pem_files(struct places *p, const json_t *smtp, const char *member)
{
	const char *path;

	for (size_t i = 0; i < MAX_CERTS && (path = settings_pem(smtp, member, i)) != NULL; i++) {
		char *real = realpath(path, NULL);

		add_directory_of(p, path, SANDBOX_READ);
		if (real)
			add_directory_of(p, real, SANDBOX_READ);
		free(real);
	}
}

static enum rc confine(struct mmd *m, struct err *e)
{
	static const char *const programs[] = { "mm-smtpd", "mm-parse", "mm-httpd", NULL };
	const json_t *smtp = json_object_get(m->set.json, "smtp");
	const char *anchor = settings_anchor(&m->set);
	struct places p = { .count = 0 };
	enum rc rc;

	add_place(&p, m->set.engine.dir, SANDBOX_WRITE);
	add_pem_files(&p, smtp, "tls_cert");
	add_pem_files(&p, smtp, "tls_key");
	add_pem_files(&p, json_object_get(m->set.json, "api"), "tls_cert");
	add_pem_files(&p, json_object_get(m->set.json, "api"), "tls_key");
	if (anchor)
		add_directory_of(&p, anchor, SANDBOX_WRITE);
	for (int i = 0; i < LOG_NAMES; i++) /* one that is rotated is made anew */
		if (settings_log(&m->set, (enum log_name)i))
			add_directory_of(&p, settings_log(&m->set, (enum log_name)i),
			                 SANDBOX_WRITE);
	rc = sandbox_enter_owner(p.at, p.count, programs, e);
	while (p.name_count)
		free(p.names[--p.name_count]);
	return rc;
}

/* Those who may connect, started by who can't do it later. */
static enum rc start_homes(struct mmd *m, struct err *e)
{
	enum rc rc = RC_OK;

	if (m->set.s3.url)
		rc = deliver_home_start(&m->set.jobs.s3, &m->set.s3, e);
	if (rc == RC_OK && m->set.engine.dns)
		rc = verdicts_home_start(&m->set.engine.verdict_home, m->set.engine.dns, NULL, e);
	if (rc == RC_OK && addons_scan(&m->set.addons))
		rc = scans_home(&m->set.engine.scan_home, m->set.engine.addons, NULL, e);
	if (rc == RC_OK)
		rc = outbound_home_start(&m->set.engine.sender_home, m->set.engine.send,
		                         m->set.engine.dns, m->set.engine.hostname, NULL, e);
	if (rc == RC_OK && m->set.engine.endpoints)
		rc = calls_home(&m->set.engine.caller_home, m->set.engine.endpoints, NULL, e);
	calls_wipe(json_object_get(m->set.json, "endpoints"));
	return rc;
}

/* What the sandbox would not let it: keys may be asked for, or come from other programs. */
static enum rc read_keys(struct mmd *m, struct key_file *keys, struct err *e)
{
	char *path = engine_key_path(m->set.engine.dir, m->set.engine.key_file);
	enum rc rc = engine_is_directory(m->set.engine.dir, e);

	if (rc == RC_OK)
		rc = key_file_read(path, keys, e);
	m->set.engine.keys = keys;
	free(path);
	return rc;
}

static enum rc open_engine(struct mmd *m, struct err *e)
{
	struct key_file keys = { .outers = 0 };
	enum rc rc = read_keys(m, &keys, e);

	if (rc == RC_OK)
		rc = start_homes(m, e);
	if (rc == RC_OK)
		rc = confine(m, e);
	if (rc == RC_OK)
		rc = engine_open(&m->engine, &m->set.engine, e);
	key_file_free(&keys);
	m->set.engine.keys = NULL;
	if (rc == RC_AGAIN)
		return err_in(e, "an mmd or a tool has %s open already", m->set.engine.dir);
	return rc;
}

/* ---- the life of the daemon ---- */

/* The children of an mmd that was killed hold its sockets until they come to their own end. */
static enum rc while_in_use(enum rc (*begin)(struct mmd *m, struct err *e), struct mmd *m,
                            struct err *e)
{
	enum rc rc = begin(m, e);

	for (int i = 0; rc != RC_OK && e->sys == EADDRINUSE && i < IN_USE_TRIES; i++) {
		clock_sleep_ms(IN_USE_MS);
		rc = begin(m, e);
	}
	return rc;
}

static void share_requests(struct mmd *m)
{
	static const struct request_share share = { .per_user = SHARED_PER_USER,
		                                    .bytes = api_request_bytes };

	if (m->set.shared_fd < 0)
		return;
	request_server_share(&m->shared, m->loop, m->set.shared_fd, REQUEST_THREADS, &share,
	                     api_handle, m->engine);
	m->set.shared_fd = -1;
}

static enum rc open_api(struct mmd *m, struct err *e)
{
	return http_front_new(&m->http, m->loop, m->calls, &m->set.api, &http_ops, m, e);
}

/* The API, with threads of its own: its clients and the tools don't wait for each other. */
static enum rc start_api(struct mmd *m, struct err *e)
{
	static const struct request_share share = { .bytes = control_request_bytes,
		                                    .together = CALLS_TOGETHER };
	enum rc rc;

	if (!m->set.api.listen)
		return RC_OK;
	m->set.api.link_secret = slice_str(m->engine->link_secret);
	m->set.api.began_ms = m->engine->opened_ms;
	request_server_share(&m->calls, m->loop, -1, HTTP_WIRE_THREADS, &share, control_handle,
	                     m->engine);
	rc = while_in_use(open_api, m, e);
	m->fronts += rc == RC_OK;
	return rc == RC_OK ? give_keys(m, NULL, NULL, e) : rc;
}

static enum rc start(struct mmd *m, struct err *e)
{
	const struct schedule_options so = { m->set.sweep_minute, settings_anchor(&m->set),
		                             on_new_day, m };
	char *path = path_join(m->set.engine.dir, "mmd.sock");
	enum rc rc;

	m->engine->prepare = on_prepare;
	m->engine->changed = on_changed;
	m->engine->hear = on_hear;
	m->engine->principals_changed = on_principals;
	m->engine->end_files = on_new_day;
	m->engine->changed_arg = m;
	m->set.smtp.logs = m->engine->logs;
	m->front = front_new(m->loop, m->engine->spool, &front_ops, m);
	m->fronts = 1;
	m->room = loop_timer_new(m->loop, look_for_room, m);
	look_for_room(m);
	rc = open_lookups(m, e);
	if (rc == RC_OK)
		rc = request_server_new(&m->requests, m->loop, path, REQUEST_THREADS, api_handle,
		                        m->engine, e);
	free(path);
	if (rc == RC_OK)
		share_requests(m);
	if (rc == RC_OK)
		rc = jobs_start(m->engine, &m->set.jobs, e);
	if (rc == RC_OK)
		imports_start(m->engine);
	if (rc == RC_OK)
		rc = start_api(m, e);
	if (rc == RC_OK)
		rc = schedule_start(&m->schedule, m->engine, &so, e);
	if (rc == RC_OK)
		rc = while_in_use(open_front, m, e);
	return rc;
}

static void stop(struct mmd *m)
{
	struct err e = { 0 };

	close_errands(m);
	judge_no_more(m);
	request_server_free(&m->shared);
	http_front_free(&m->http);
	request_server_free(&m->calls);
	request_server_free(&m->requests);
	if (m->engine) {
		jobs_stop(m->engine);
		imports_stop(m->engine);
	}
	deliver_home_stop(&m->set.jobs.s3);
	schedule_stop(&m->schedule);
	loop_timer_free(&m->room);
	front_free(&m->front);
	lookups_free(&m->lookups);
	if (m->engine && pipeline_drain(m->engine->pipeline, m->full ? 0 : DRAIN_MS, &e) != RC_OK)
		log_warn("%s; they are archived at the next start", e.text);
	engine_close(&m->engine);
	home_stop(&m->set.engine.scan_home);
	home_stop(&m->set.engine.verdict_home);
	home_stop(&m->set.engine.sender_home);
	home_stop(&m->set.engine.caller_home);
}

static int run(struct mmd *m, struct err *e)
{
	struct loop_signal *term;
	struct loop_signal *interrupt;
	struct loop_signal *hangup;
	enum rc rc;
	int status = CLI_NO_DATA;

	m->loop = loop_new();
	term = loop_signal_new(m->loop, SIGTERM, on_terminate, m);
	interrupt = loop_signal_new(m->loop, SIGINT, on_terminate, m);
	hangup = loop_signal_new(m->loop, SIGHUP, on_reload, m);
	rc = open_engine(m, e);
	if (rc == RC_OK) {
		rc = start(m, e);
		status = rc == RC_INVALID ? CLI_USAGE : CLI_PARTLY;
	}
	if (rc == RC_OK) {
		loop_run(m->loop, NULL, NULL);
		status = m->status; /* what ended it was logged */
	} else {
		log_error("%s", e->text);
	}
	stop(m);
	loop_signal_free(&term);
	loop_signal_free(&interrupt);
	loop_signal_free(&hangup);
	loop_free(&m->loop);
	return status;
}

static const struct cli_option options[] = {
	{ "config", "FILE", "the configuration file (JSON); defaults for all without one", NULL },
};

static const struct cli_spec spec = {
	.program = "mmd",
	.summary = "receive, judge and archive mail",
	.arguments = "",
	.serves = true,
	.options = options,
	.option_count = COUNT(options),
	.more = "Stays in the foreground, logs to stderr, prints \"ready\" on stdout when all "
	        "listeners are\n"
	        "open. SIGTERM stops it cleanly, SIGHUP reloads the certificate and opens logs "
	        "anew.\n",
};

int main(int argc, char **argv)
{
	struct cli c;
	struct mmd m = { .cli = &c,
		         .set.shared_fd = -1,
		         .lock = PTHREAD_MUTEX_INITIALIZER,
		         .done = PTHREAD_COND_INITIALIZER };
	struct err e = { 0 };
	int status;

	cli_parse(&c, &spec, argc, argv);
	if (!c.data)
		cli_usage(&c, "which data directory? (--data DIR, or MM_DATA)");
	log_init("mmd", LOG_INFO);
	clock_init();
	crypt_init();
	tls_init();
	(void)signal(SIGPIPE, SIG_IGN);
	m.set.engine = (struct engine_options) { .dir = c.data,
		                                 .key_file = c.key_file,
		                                 .program = "mmd",
		                                 .broken = on_broken,
		                                 .full = on_full,
		                                 .judged = on_judged,
		                                 .keeps_dns = true,
		                                 .broken_arg = &m,
		                                 .logs = &m.set.logs };
	if (settings_read(&m.set, cli_get(&c, "config"), &e) != RC_OK) {
		(void)cli_fail(&c, &e);
		status = CLI_USAGE;
	} else {
		status = run(&m, &e);
	}
	settings_free(&m.set);
	return cli_end(&c, status);
}
