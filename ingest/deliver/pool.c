/* ingest/deliver/pool.c - destinations: who waits for them, the way there, the lines to them */
#include "ingest/deliver/sender_parts.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/sealed.h"

#define LOOK_MS       500
#define IDLE_MS       5000  /* a line that isn't used is ended */
#define HOLD_MS       5000  /* behind a line that couldn't be made, while others can */
#define ROUTE_MS      60000 /* a route is found anew */
#define LINE_MESSAGES 100   /* over one connection */

TAILQ_HEAD(jobs, job);
TAILQ_HEAD(dests, dest);

struct trip {
	TAILQ_ENTRY(trip) link;
	struct dest *dest;
	struct line *line;
	struct job *job; /* under way */
	unsigned done;
	int64_t idle_ms; /* since when; 0: it isn't */
	bool leaving;
};

TAILQ_HEAD(trips, trip);

struct dest {
	TAILQ_ENTRY(dest) link;
	struct pool *pool;
	char *key;
	json_t *json; /* the target's strings */
	const char *name;
	struct line_target target;
	struct jobs jobs;
	struct trips trips;
	unsigned trip_count;
	unsigned setting_up;
	int64_t hold_ms; /* no new line before this */
	uint32_t seed;
	/* the way */
	struct route *route; /* NULL: it isn't known */
	struct route *finding;
	int64_t route_ms;
	struct answers *answers;
	struct resolver_ask *dns;
	struct sts_ask *sts;
};

struct pool {
	struct pool_options o;
	struct dests dests;
	unsigned trip_count;
	uint32_t seed;
	struct loop_timer *look;
	struct loop_timer *soon;
};

static void go(struct dest *d);

/* ---- jobs ---- */

static void end_job(struct dest *d, struct job *j, const struct smtp_result *results, size_t count,
                    const char *host, const char *tls)
{
	sealed_unmap(&j->message);
	d->pool->o.ended(d->pool->o.arg, j, results, count, host, tls);
}

static void end_all(struct dest *d, const struct smtp_result *why, const char *host)
{
	struct job *j;

	while ((j = TAILQ_FIRST(&d->jobs))) {
		TAILQ_REMOVE(&d->jobs, j, link);
		end_job(d, j, why, 1, host, "");
	}
}

/* While one is being made, its end is theirs. */
static void end_late(struct dest *d, int64_t now)
{
	struct smtp_result why;
	struct job *j;

	if (d->setting_up)
		return;
	route_end(&why, SMTP_LATER, 0, "4.4.5", "no connection became free within send.deadline");
	while ((j = TAILQ_FIRST(&d->jobs)) && j->due_ms <= now) {
		TAILQ_REMOVE(&d->jobs, j, link);
		end_job(d, j, &why, 1, "", "");
	}
}

/* ---- lines ---- */

static void soon(struct pool *p)
{
	loop_timer_set(p->soon, 0);
}

/* False: it can't be, and has ended. */
static bool begin_job(struct trip *t, struct job *j)
{
	struct smtp_result why;
	struct err e = { 0 };

	if (sealed_map(&j->message, j->fd, &e) != RC_OK) {
		route_end(&why, SMTP_LATER, 0, "4.3.1", "the message can't be read: %s", e.text);
		end_job(t->dest, j, &why, 1, "", "");
		return false;
	}
	j->mail.message = j->message;
	t->job = j;
	t->idle_ms = 0;
	line_send(t->line, &j->mail);
	return true;
}

static void leave(struct trip *t)
{
	t->leaving = true;
	t->idle_ms = 0;
	line_quit(t->line);
}

/* One that found a connection gone gets a new one. */
static struct job *next_job(struct trip *t)
{
	struct job *j;

	TAILQ_FOREACH(j, &t->dest->jobs, link)
	{
		if (j->again && t->done)
			continue;
		TAILQ_REMOVE(&t->dest->jobs, j, link);
		return j;
	}
	return NULL;
}

/* The next job, or none. */
static void use(struct trip *t)
{
	struct dest *d = t->dest;
	struct job *j;

	if (t->done >= LINE_MESSAGES) {
		leave(t);
		return;
	}
	if (!line_is_ready(t->line)) { /* it has gone: on_over comes */
		t->idle_ms = 0;
		return;
	}
	while ((j = next_job(t)))
		if (begin_job(t, j))
			return;
	if (t->idle_ms)
		return;
	t->idle_ms = clock_mono_ms();
	if (d->pool->trip_count >= d->pool->o.place.settings->at_once)
		soon(d->pool); /* others may wait for its place */
}

static void on_ready(void *arg, struct line *l)
{
	struct trip *t = arg;

	t->line = l;
	if (t->done == 0)
		t->dest->setting_up--;
	use(t);
}

/* The server closed it before our message was there: that says nothing of the message. */
static bool is_stale(const struct trip *t, const struct smtp_result *results)
{
	return t->done > 0 && !t->job->again && results[0].end == SMTP_LATER &&
	       results[0].code == 0 && line_is_stale(t->line);
}

static void on_ended(void *arg, struct line *l, const struct smtp_result *results, size_t count)
{
	struct trip *t = arg;
	struct job *j = t->job;

	if (is_stale(t, results)) {
		j->again = true;
		sealed_unmap(&j->message);
		TAILQ_INSERT_HEAD(&t->dest->jobs, j, link);
		soon(t->dest->pool);
	} else {
		end_job(t->dest, j, results, count, line_host(l), line_tls(l));
	}
	t->job = NULL;
	t->done++;
}

static void trip_free(struct trip *t)
{
	struct dest *d = t->dest;

	line_free(&t->line);
	TAILQ_REMOVE(&d->trips, t, link);
	d->trip_count--;
	d->pool->trip_count--;
	free(t);
}

static void on_over(void *arg, struct line *l, const struct smtp_result *why)
{
	struct trip *t = arg;
	struct dest *d = t->dest;
	bool was_ready = line_was_ready(l);
	char host[ROUTE_NAME];

	(void)snprintf(host, sizeof(host), "%s", line_host(l));
	if (!was_ready) {
		d->setting_up--;
		d->hold_ms = clock_mono_ms() + HOLD_MS;
	}
	soon(d->pool);
	if (why && !was_ready && d->trip_count == 1) {
		end_all(d, why, host);
		route_free(&d->route); /* next time it may be another */
		d->hold_ms = 0;
	}
	trip_free(t);
}

static void new_trip(struct dest *d)
{
	static const struct line_ops ops = { on_ready, on_ended, on_over };
	struct trip *t = mem_new(sizeof(*t));

	t->dest = d;
	TAILQ_INSERT_TAIL(&d->trips, t, link);
	d->trip_count++;
	d->setting_up++;
	d->pool->trip_count++;
	t->line = line_new(&d->pool->o.place, &d->target, d->route, &ops, t);
}

/* ---- the way ---- */

static void on_policy(void *arg, const struct sts_policy *p)
{
	struct dest *d = arg;

	d->sts = NULL;
	if (p)
		route_enforce(d->finding, p);
	route_free(&d->route);
	d->route = d->finding;
	d->finding = NULL;
	d->route_ms = clock_mono_ms();
	soon(d->pool);
}

static void find_way(void *arg)
{
	struct dest *d = arg;
	const struct pool_options *o = &d->pool->o;
	const struct route_question q = { .mx = d->target.mx,
		                          .name = d->name,
		                          .own = o->place.hostname,
		                          .settings = o->place.settings,
		                          .seed = d->seed };

	d->dns = NULL;
	if (route_run(d->finding, &q, d->answers) != RC_OK) {
		d->dns = resolver_ask(o->resolver, d->answers, find_way, d);
		return;
	}
	answers_free(&d->answers);
	if (d->finding->count && d->finding->domain[0] && d->target.mx && o->sts)
		d->sts = sts_ask(o->sts, d->finding->domain, d->finding->sts_id,
		                 d->finding->sts_ips, d->finding->sts_ip_count, on_policy, d);
	else
		on_policy(d, NULL);
}

static void start_finding(struct dest *d)
{
	d->finding = route_new();
	d->answers = answers_new();
	d->seed = d->pool->seed += 0x9e3779b9U;
	find_way(d);
}

/* False: not now, or not at all. */
static bool knows_way(struct dest *d)
{
	if (d->finding)
		return false;
	if (!d->route || clock_mono_ms() - d->route_ms > ROUTE_MS) {
		start_finding(d);
		return false;
	}
	if (d->route->count)
		return true;
	end_all(d, &d->route->end, "");
	route_free(&d->route);
	return false;
}

/* ---- destinations ---- */

static void use_idle(struct dest *d)
{
	struct trip *t;

	TAILQ_FOREACH(t, &d->trips, link)
	{
		if (TAILQ_EMPTY(&d->jobs))
			return;
		if (t->idle_ms)
			use(t);
	}
}

/* Where there are as many as may be, one that nobody uses makes room. */
static bool has_room(struct pool *p)
{
	struct trip *oldest = NULL;
	struct dest *d;
	struct trip *t;

	if (p->trip_count < p->o.place.settings->at_once)
		return true;
	TAILQ_FOREACH(d, &p->dests, link)
	{
		TAILQ_FOREACH(t, &d->trips, link)
		{
			if (t->leaving)
				return false; /* that one does */
			if (t->idle_ms && (!oldest || t->idle_ms < oldest->idle_ms))
				oldest = t;
		}
	}
	if (oldest)
		leave(oldest);
	return false;
}

/* Those that want a new connection can have it only in the place of another. */
static bool has_place(struct dest *d)
{
	struct trip *t;

	if (d->trip_count < d->pool->o.place.settings->per_destination)
		return true;
	TAILQ_FOREACH(t, &d->trips, link)
	{
		if (!t->idle_ms)
			continue;
		leave(t);
		break;
	}
	return false;
}

static size_t waiting(const struct dest *d)
{
	const struct job *j;
	size_t n = 0;

	TAILQ_FOREACH(j, &d->jobs, link)
	{
		if (++n > d->pool->o.place.settings->per_destination)
			break;
	}
	return n;
}

static void go(struct dest *d)
{
	use_idle(d);
	if (TAILQ_EMPTY(&d->jobs) || !knows_way(d))
		return;
	if (d->trip_count && clock_mono_ms() < d->hold_ms)
		return;
	while (d->setting_up < waiting(d) && has_place(d) && has_room(d->pool))
		new_trip(d);
}

static void dest_free(struct dest *d)
{
	TAILQ_REMOVE(&d->pool->dests, d, link);
	route_free(&d->route);
	json_decref(d->json);
	free(d->key);
	free(d);
}

static bool is_unused(const struct dest *d)
{
	return TAILQ_EMPTY(&d->jobs) && TAILQ_EMPTY(&d->trips) && !d->finding;
}

/* Who had a turn is the last of the next round. */
static void on_soon(void *arg)
{
	struct pool *p = arg;
	struct dest *last = TAILQ_LAST(&p->dests, dests);
	struct dest *d = TAILQ_FIRST(&p->dests);

	while (d) {
		struct dest *next = d == last ? NULL : TAILQ_NEXT(d, link);
		unsigned before = d->trip_count;

		go(d);
		if (d->trip_count > before) {
			TAILQ_REMOVE(&p->dests, d, link);
			TAILQ_INSERT_TAIL(&p->dests, d, link);
		}
		d = next;
	}
}

static void end_idle(struct dest *d, int64_t now)
{
	struct trip *t;

	TAILQ_FOREACH(t, &d->trips, link)
	{
		if (t->idle_ms && now - t->idle_ms >= IDLE_MS)
			leave(t);
	}
}

static void on_look(void *arg)
{
	struct pool *p = arg;
	int64_t now = clock_mono_ms();

	for (struct dest *d = TAILQ_FIRST(&p->dests), *next; d; d = next) {
		next = TAILQ_NEXT(d, link);
		end_late(d, now);
		end_idle(d, now);
		if (is_unused(d) && now - d->route_ms > IDLE_MS)
			dest_free(d);
	}
	on_soon(p);
	loop_timer_set(p->look, LOOK_MS);
}

/* ---- targets ---- */

static char *key_of(const json_t *target)
{
	struct buf key;
	char *text;

	buf_init(&key, 65536);
	text = json_write(&key, target) == RC_OK ? mem_string(buf_text(&key)) : NULL;
	if (key.at)
		explicit_bzero(key.at, key.room);
	buf_free(&key);
	return text;
}

static bool read_target(struct dest *d)
{
	const char *domain = json_string_value(json_object_get(d->json, "domain"));
	const char *host = json_string_value(json_object_get(d->json, "host"));
	int64_t port = json_member_int(d->json, "port", 0);
	int64_t tls = json_member_int(d->json, "tls", -1);

	d->name = domain ? domain : host;
	d->target = (struct line_target) {
		.mx = domain != NULL,
		.port = domain ? d->pool->o.place.settings->port : (uint16_t)port,
		.lmtp = json_member_bool(d->json, "lmtp", false),
		.user = json_string_value(json_object_get(d->json, "user")),
		.password = json_string_value(json_object_get(d->json, "password")),
	};
	if (domain)
		return true;
	if (!host || port < 1 || port > 65535 || tls < OUTBOUND_TLS_MAY ||
	    tls > OUTBOUND_TLS_WRAPPED)
		return false;
	d->target.tls = (enum outbound_tls)tls;
	return !d->target.user || d->target.password;
}

static struct dest *find_dest(struct pool *p, const json_t *target)
{
	char *key = key_of(target);
	struct dest *d;

	if (!key)
		return NULL;
	TAILQ_FOREACH(d, &p->dests, link)
	{
		if (strcmp(d->key, key) == 0) {
			free(key);
			return d;
		}
	}
	d = mem_new(sizeof(*d));
	d->pool = p;
	d->key = key;
	d->json = json_incref((json_t *)(uintptr_t)target);
	d->route_ms = clock_mono_ms();
	TAILQ_INIT(&d->jobs);
	TAILQ_INIT(&d->trips);
	TAILQ_INSERT_TAIL(&p->dests, d, link);
	if (read_target(d))
		return d;
	dest_free(d);
	return NULL;
}

bool pool_add(struct pool *p, struct job *j, const json_t *target)
{
	struct dest *d = find_dest(p, target);

	if (!d)
		return false;
	j->due_ms = clock_mono_ms() + p->o.place.settings->deadline_ms;
	TAILQ_INSERT_TAIL(&d->jobs, j, link);
	soon(p);
	return true;
}

struct pool *pool_new(const struct pool_options *o)
{
	struct pool *p = mem_new(sizeof(*p));

	p->o = *o;
	TAILQ_INIT(&p->dests);
	p->seed = (uint32_t)clock_now_ms();
	p->look = loop_timer_new(o->place.loop, on_look, p);
	p->soon = loop_timer_new(o->place.loop, on_soon, p);
	loop_timer_set(p->look, LOOK_MS);
	return p;
}
