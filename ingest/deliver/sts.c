#include "ingest/deliver/sts.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/log.h"

#define FETCH_MS 60000
#define AGAIN_MS 300000 /* before one that can't be fetched is tried again */
#define PATH     "/.well-known/mta-sts.txt"

struct kept {
	TAILQ_ENTRY(kept) link;
	char *domain;
	char id[STS_ID]; /* of the policy, or of the one that couldn't be fetched */
	bool has;
	struct sts_policy policy;
	int64_t due_ms;   /* until when it holds */
	int64_t again_ms; /* not before this */
};

TAILQ_HEAD(kepts, kept);

struct sts {
	struct loop *loop;
	struct http *http;
	uint16_t port;
	struct kepts kepts; /* used last first */
	size_t count;
};

struct sts_ask {
	struct sts *sts;
	char *domain;
	char id[STS_ID];
	struct loop_timer *soon;
	struct http_call *call;
	void (*done)(void *arg, const struct sts_policy *p);
	void *arg;
};

/* ---- what is kept ---- */

static void kept_free(struct sts *s, struct kept *k)
{
	TAILQ_REMOVE(&s->kepts, k, link);
	s->count--;
	sts_policy_free(&k->policy);
	free(k->domain);
	free(k);
}

static struct kept *find(struct sts *s, const char *domain)
{
	struct kept *k;

	TAILQ_FOREACH(k, &s->kepts, link)
	{
		if (strcmp(k->domain, domain) != 0)
			continue;
		TAILQ_REMOVE(&s->kepts, k, link);
		TAILQ_INSERT_HEAD(&s->kepts, k, link);
		return k;
	}
	return NULL;
}

static struct kept *find_or_make(struct sts *s, const char *domain)
{
	struct kept *k = find(s, domain);

	if (k)
		return k;
	if (s->count == STS_DOMAINS)
		kept_free(s, TAILQ_LAST(&s->kepts, kepts));
	k = mem_new(sizeof(*k));
	k->domain = mem_string(domain);
	TAILQ_INSERT_HEAD(&s->kepts, k, link);
	s->count++;
	return k;
}

static const struct sts_policy *policy_of(const struct kept *k)
{
	return k && k->has && clock_mono_ms() < k->due_ms ? &k->policy : NULL;
}

static bool must_fetch(const struct kept *k, const char *id)
{
	if (!id[0])
		return false;
	if (!k || strcmp(k->id, id) != 0)
		return true;
	return !policy_of(k) && clock_mono_ms() >= k->again_ms;
}

/* ---- fetching ---- */

static enum rc check_answer(struct sts_policy *p, const struct http_answer *a, struct err *e)
{
	struct slice rest;
	struct slice type = slice_trim(slice_cut(slice_str(a->kept), ';', &rest));

	*p = (struct sts_policy) { .mode = STS_NONE };
	if (!a->answered)
		return err_set(e, RC_IO, "%s", a->why);
	if (a->status != 200)
		return err_set(e, RC_INVALID, "status %u", a->status);
	if (a->cut)
		return err_set(e, RC_INVALID, "the policy is too long");
	if (!slice_equal_nocase(type, slice_str("text/plain")))
		return err_set(e, RC_INVALID, "it isn't text/plain");
	return sts_policy_read(p, a->body, e);
}

static void ask_free(struct sts_ask *a)
{
	http_drop(&a->call);
	loop_timer_free(&a->soon);
	free(a->domain);
	free(a);
}

static void tell(struct sts_ask *a)
{
	const struct sts_policy *p = policy_of(find(a->sts, a->domain));
	void (*done)(void *, const struct sts_policy *) = a->done;
	void *arg = a->arg;

	ask_free(a);
	done(arg, p);
}

static void on_soon(void *arg)
{
	tell(arg);
}

static void on_answer(void *arg, const struct http_answer *answer)
{
	struct sts_ask *a = arg;
	struct kept *k = find_or_make(a->sts, a->domain);
	struct sts_policy p;
	struct err e = { 0 };
	enum rc rc = check_answer(&p, answer, &e);

	a->call = NULL; /* it is gone behind this */
	(void)snprintf(k->id, sizeof(k->id), "%s", a->id);
	if (rc == RC_OK) {
		sts_policy_free(&k->policy);
		k->policy = p;
		k->has = true;
		k->due_ms = clock_mono_ms() + p.max_age * 1000;
		k->again_ms = 0;
	} else {
		sts_policy_free(&p);
		k->again_ms = clock_mono_ms() + AGAIN_MS;
		log_warn("the MTA-STS policy of %s can't be had: %s", a->domain, e.text);
	}
	tell(a);
}

/* "192.0.2.1,[2001:db8::1]" */
static void write_addresses(char *out, size_t room, const struct ip *ips, size_t count)
{
	size_t n = 0;

	out[0] = 0;
	for (size_t i = 0; i < count && n < room; i++) {
		char ip[IP_TEXT];
		bool six = ips[i].family == 6;

		ip_format(ip, &ips[i]);
		n += (size_t)snprintf(out + n, room - n, "%s%s%s%s", i ? "," : "", six ? "[" : "",
		                      ip, six ? "]" : "");
	}
}

static void fetch(struct sts_ask *a, const struct ip *ips, size_t count)
{
	char host[300];
	char addresses[512];

	(void)snprintf(host, sizeof(host), "mta-sts.%s", a->domain);
	write_addresses(addresses, sizeof(addresses), ips, count);
	a->call = http_get(a->sts->http, host, a->sts->port, addresses, PATH, STS_TEXT, FETCH_MS,
	                   on_answer, a);
	if (!a->call)
		loop_timer_set(a->soon, 0);
}

struct sts_ask *sts_ask(struct sts *s, const char *domain, const char *id, const struct ip *ips,
                        size_t count, void (*done)(void *arg, const struct sts_policy *p),
                        void *arg)
{
	struct sts_ask *a = mem_new(sizeof(*a));
	struct kept *k = find(s, domain);

	*a = (struct sts_ask) { .sts = s, .done = done, .arg = arg };
	a->domain = mem_string(domain);
	(void)snprintf(a->id, sizeof(a->id), "%s", id);
	a->soon = loop_timer_new(s->loop, on_soon, a);
	if (must_fetch(k, id) && count)
		fetch(a, ips, count);
	else
		loop_timer_set(a->soon, 0);
	return a;
}

void sts_cancel(struct sts_ask **a)
{
	if (*a)
		ask_free(*a);
	*a = NULL;
}

struct sts *sts_new(struct loop *l, struct http *http, uint16_t port)
{
	struct sts *s = mem_new(sizeof(*s));

	*s = (struct sts) { .loop = l, .http = http, .port = port };
	TAILQ_INIT(&s->kepts);
	return s;
}

void sts_free(struct sts **at)
{
	struct sts *s = *at;

	*at = NULL;
	if (!s)
		return;
	while (!TAILQ_EMPTY(&s->kepts))
		kept_free(s, TAILQ_FIRST(&s->kepts));
	free(s);
}
