#include "ingest/gate_addons.h"

#include <stdlib.h>

#include "base/codec.h"
#include "base/log.h"
#include "ingest/scan_result.h"
#include "ingest/wire.h"

#define WAIT_MS 15000 /* where nobody says */

struct gate_addons {
	struct loop *loop;
	void (*ask)(void *app, struct slice body);
	void *app;
	int64_t wait_ms;
	uint64_t last;
	size_t open; /* questions that mmd hasn't answered */
	struct gate_lookup *waiting;
	bool closed;
};

struct gate_lookup {
	struct gate_addons *all;
	void (*done)(void *arg);
	void *arg;
	json_t *known; /* NULL: nothing */
	const struct policy *policy;
	uint64_t number;
	struct loop_timer *late;
	struct gate_lookup *next;
	struct gate_lookup **at; /* NULL: it doesn't wait */
};

/* --- of all --- */

struct gate_addons *gate_addons_new(struct loop *l, void (*ask)(void *app, struct slice body),
                                    void *app)
{
	struct gate_addons *a = mem_new(sizeof(*a));

	a->loop = l;
	a->ask = ask;
	a->app = app;
	a->wait_ms = WAIT_MS;
	return a;
}

void gate_addons_free(struct gate_addons **a)
{
	free(*a);
	*a = NULL;
}

void gate_addons_wait(struct gate_addons *a, int64_t ms)
{
	a->wait_ms = ms > 0 ? ms : WAIT_MS;
}

/* --- waiting --- */

static void wait_end(struct gate_lookup *l)
{
	*l->at = l->next;
	if (l->next)
		l->next->at = l->at;
	l->at = NULL;
	l->next = NULL;
	loop_timer_free(&l->late);
}

/* What isn't in `said` (NULL: nothing is) hasn't come. */
static void learn(struct gate_lookup *l, const json_t *said)
{
	const char *const *ids;
	size_t n = policy_asks(l->policy, &ids);

	if (!l->known)
		l->known = json_object();
	for (size_t i = 0; i < n; i++) {
		json_t *one = json_member_object(said, ids[i]);

		if (!json_object_get(l->known, ids[i]))
			json_put(l->known, ids[i],
			         one ? json_incref(one) : scan_result_failed("no answer in time"));
	}
}

static void settle(struct gate_lookup *l, const json_t *said)
{
	wait_end(l);
	learn(l, said);
	l->done(l->arg); /* may free l */
}

static void on_late(void *arg)
{
	settle(arg, NULL);
}

static void wait_begin(struct gate_lookup *l)
{
	struct gate_addons *a = l->all;

	l->next = a->waiting;
	if (l->next)
		l->next->at = &l->next;
	l->at = &a->waiting;
	a->waiting = l;
	l->late = loop_timer_new(a->loop, on_late, l);
	loop_timer_set(l->late, a->wait_ms);
}

void gate_addons_told(struct gate_addons *a, struct slice body)
{
	struct reader r = reader_over(body);
	uint64_t number = read_u64(&r);
	struct gate_lookup *l = a->waiting;
	json_t *said = NULL;
	struct err e = { 0 };

	a->open -= a->open > 0;
	while (l && l->number != number)
		l = l->next;
	if (!l)
		return; /* it came too late, or its client has gone */
	if (!r.ok || json_read(&said, r.rest, &e) != RC_OK)
		log_warn("what mmd says of add-ons can't be read: %s", e.text);
	settle(l, said);
	json_decref(said);
}

void gate_addons_close(struct gate_addons *a)
{
	a->closed = true;
	while (a->waiting) {
		struct gate_lookup *l = a->waiting;

		wait_end(l);
		l->done(l->arg);
	}
}

/* --- one connection --- */

struct gate_lookup *gate_lookup_new(struct gate_addons *a, void (*done)(void *arg), void *arg)
{
	struct gate_lookup *l = mem_new(sizeof(*l));

	l->all = a;
	l->done = done;
	l->arg = arg;
	return l;
}

void gate_lookup_free(struct gate_lookup **at)
{
	struct gate_lookup *l = *at;

	*at = NULL;
	if (!l)
		return;
	if (l->at)
		wait_end(l);
	json_decref(l->known);
	free(l);
}

static enum rc put_ids(struct buf *b, const struct gate_lookup *l, const struct policy *p)
{
	const char *const *ids;
	size_t n = policy_asks(p, &ids);
	enum rc rc = RC_OK;

	for (size_t i = 0; i < n && rc == RC_OK; i++)
		if (!json_object_get(l->known, ids[i]))
			rc = buf_put_slice(b, slice_str(ids[i]));
	return rc;
}

static enum rc put_question(struct buf *b, uint64_t number, const struct gate_question *q)
{
	char ip[IP_TEXT];
	enum rc rc = buf_put_u64(b, number);

	ip_format(ip, &q->client);
	if (rc == RC_OK)
		rc = buf_put_slice(b, slice_str(q->client.family ? ip : ""));
	if (rc == RC_OK)
		rc = buf_put_slice(b, q->helo);
	return rc == RC_OK ? buf_put_slice(b, q->mail_from) : rc;
}

bool gate_lookup_ask(struct gate_lookup *l, const struct policy *p, const struct gate_question *q)
{
	struct gate_addons *a = l->all;
	struct buf body;
	bool fits;

	if (a->closed || a->open >= WIRE_ASKS_MOST)
		return false;
	buf_init(&body, WIRE_NEWS_MAX);
	fits = put_question(&body, a->last + 1, q) == RC_OK && put_ids(&body, l, p) == RC_OK;
	if (fits) {
		l->number = ++a->last;
		l->policy = p;
		a->open++;
		wait_begin(l);
		a->ask(a->app, buf_slice(&body));
	}
	buf_free(&body);
	return fits;
}

bool gate_lookup_waits(const struct gate_lookup *l)
{
	return l && l->at;
}

const json_t *gate_lookup_known(const struct gate_lookup *l)
{
	return l ? l->known : NULL;
}

void gate_lookup_forget(struct gate_lookup *l)
{
	const char *id;
	json_t *one;
	void *next;

	if (!l)
		return;
	if (l->at)
		wait_end(l);
	json_object_foreach_safe(l->known, next, id, one)
	{
		if (!json_member_bool(one, "connection", false))
			(void)json_object_del(l->known, id);
	}
}
