#include "ingest/verdict/resolver.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unbound-event.h>
#include <unbound.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/loop.h"

#define CLASS_IN     1
#define READY_NAME   "ready.mm.invalid."
#define ESCAPED      (4 * 256)
#define ANCHOR_BYTES (1 << 20)
#define LOOKUPS      512 /* under way, where nothing else is said */
#define ONE_ASK      32  /* lookups of an asker under way at a time */
#define LEFT_FREE    8   /* times what an asker has under way stays free for others */

/* One question of one asker. It is gone when libunbound has answered and nobody asks any more. */
struct lookup {
	TAILQ_ENTRY(lookup) link;    /* in the ask's line, or the resolver's under_way or left */
	TAILQ_ENTRY(lookup) sibling; /* in the ask's; those alone that have one */
	struct resolver *resolver;
	struct resolver_ask *ask; /* NULL: late, or cancelled */
	enum dns_type type;
	bool started;
	char name[256];
};

TAILQ_HEAD(lookups, lookup);

struct resolver_ask {
	TAILQ_ENTRY(resolver_ask) link; /* in the resolver's ready, or waiting */
	struct resolver *resolver;
	struct answers *answers;
	void (*done)(void *arg);
	void *arg;
	struct lookups lookups; /* without an answer */
	struct lookups line;    /* of them, those that aren't started */
	size_t under_way;
	int64_t due_ms;
	TAILQ_ENTRY(resolver_ask) turn;
	bool in_turn;
	bool ready;
};

TAILQ_HEAD(asks, resolver_ask);

struct resolver {
	struct ub_ctx *ctx;
	struct loop_timer
	        *soon; /* what isn't done inside libunbound's calls: start lookups, tell askers */
	struct loop_timer *late;
	struct lookups under_way; /* libunbound has them */
	struct lookups left;      /* libunbound has them still, nobody else */
	struct asks turns;        /* whose line isn't empty; they start one lookup each, in turn */
	struct asks waiting;      /* in the order of their deadlines */
	struct asks ready;
	size_t n_line, n_turns, n_under_way, n_left, n_ready;
	size_t most;
	int64_t deadline_ms;
	struct resolver_totals totals;
	bool warm;
	bool late_set;
	bool closing;
};

/* ---- one lookup ---- */

static void tell_soon(struct resolver *r)
{
	loop_timer_set(r->soon, 0);
}

static void make_ready(struct resolver_ask *ask)
{
	ask->ready = true;
	ask->resolver->n_ready++;
	TAILQ_INSERT_TAIL(&ask->resolver->ready, ask, link);
	tell_soon(ask->resolver);
}

static void leave_ready(struct resolver_ask *ask)
{
	ask->resolver->n_ready--;
	TAILQ_REMOVE(&ask->resolver->ready, ask, link);
}

static void take_turn(struct resolver_ask *ask)
{
	if (ask->in_turn || TAILQ_EMPTY(&ask->line))
		return;
	ask->in_turn = true;
	ask->resolver->n_turns++;
	TAILQ_INSERT_TAIL(&ask->resolver->turns, ask, turn);
}

static void leave_turn(struct resolver_ask *ask)
{
	if (!ask->in_turn)
		return;
	ask->in_turn = false;
	ask->resolver->n_turns--;
	TAILQ_REMOVE(&ask->resolver->turns, ask, turn);
}

static void leave_ask(struct lookup *u)
{
	struct resolver_ask *ask = u->ask;

	if (!ask)
		return;
	u->ask = NULL;
	TAILQ_REMOVE(&ask->lookups, u, sibling);
	if (!TAILQ_EMPTY(&ask->lookups))
		return;
	TAILQ_REMOVE(&ask->resolver->waiting, ask, link);
	leave_turn(ask);
	make_ready(ask);
}

/* What the asker gets; the lookup may go on without him. */
static void answer(struct lookup *u, const struct dns_answer *a)
{
	if (!u->ask)
		return;
	if (a->status == DNS_FAILED)
		u->resolver->totals.failed++;
	answers_put(u->ask->answers, u->type, slice_str(u->name), a);
	leave_ask(u);
}

static void fail(struct lookup *u)
{
	const struct dns_answer failed = { .status = DNS_FAILED };

	answer(u, &failed);
}

static void leave_under_way(struct lookup *u)
{
	TAILQ_REMOVE(&u->resolver->under_way, u, link);
	u->resolver->n_under_way--;
	u->ask->under_way--;
}

static void leave_line(struct lookup *u)
{
	TAILQ_REMOVE(&u->ask->line, u, link);
	u->resolver->n_line--;
}

/* libunbound's call, perhaps before ub_resolve_event has returned. */
static void on_answer(void *arg, int code, void *packet, int length, int security, char *why,
                      int limited)
{
	struct lookup *u = arg;
	struct resolver *r = u->resolver;
	struct dns_answer a = { .status = DNS_FAILED };
	struct dns_record *records = NULL;

	(void)why;
	(void)limited;
	if (u->ask) {
		leave_under_way(u);
	} else {
		TAILQ_REMOVE(&r->left, u, link);
		r->n_left--;
	}
	if (u->ask && code == 0 && packet && length > 0 && security != 1)
		resolver_read(&a, &records, u->type, u->name, slice_of(packet, (size_t)length));
	a.secure = security == 2 && a.status != DNS_FAILED;
	answer(u, &a);
	resolver_records_free(&records, a.count);
	if (!r->closing)
		tell_soon(r);
	free(u);
}

/* In libunbound's hands; nobody waits for it any more. */
static void leave(struct lookup *u)
{
	struct resolver *r = u->resolver;

	leave_under_way(u);
	TAILQ_INSERT_TAIL(&r->left, u, link);
	r->n_left++;
}

/* libunbound takes names as zone files have them: what is no letter, digit, '-' or '_' is written
 * as a number, so that a backslash is one. */
static void escape(char out[ESCAPED], const char *name)
{
	size_t n = 0;

	for (; *name; name++) {
		unsigned char c = (unsigned char)*name;
		bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
		             c == '_' || c == '.';

		n += (size_t)snprintf(out + n, ESCAPED - n, plain ? "%c" : "\\%03u", c);
	}
	out[n] = 0;
}

static void start(struct lookup *u)
{
	struct resolver *r = u->resolver;
	char name[ESCAPED];
	int id;

	leave_line(u);
	u->started = true;
	TAILQ_INSERT_TAIL(&r->under_way, u, link);
	r->n_under_way++;
	u->ask->under_way++;
	escape(name, u->name);
	/* Without an error it is on_answer's from here on. */
	if (ub_resolve_event(r->ctx, name, (int)u->type, CLASS_IN, u, on_answer, &id) == 0)
		return;
	leave_under_way(u);
	fail(u);
	free(u);
}

/* ---- rounds ---- */

static void set_late(struct resolver *r)
{
	struct resolver_ask *first = TAILQ_FIRST(&r->waiting);

	if (!first || r->late_set)
		return;
	r->late_set = true;
	loop_timer_set(r->late, MAX_OF(first->due_ms - clock_mono_ms(), (int64_t)1));
}

static void give_up(struct lookup *u)
{
	bool started = u->started;

	u->resolver->totals.late++;
	if (started)
		leave(u);
	else
		leave_line(u);
	fail(u);
	if (!started)
		free(u);
}

static void on_late(void *arg)
{
	struct resolver *r = arg;
	int64_t now = clock_mono_ms();
	struct resolver_ask *ask;

	r->late_set = false;
	while ((ask = TAILQ_FIRST(&r->waiting)) && ask->due_ms <= now)
		give_up(TAILQ_FIRST(&ask->lookups)); /* the last one takes the ask away */
	set_late(r);
}

/* Lookups that may be started now. */
static size_t room(const struct resolver *r)
{
	size_t left = 2 * r->most - r->n_under_way - r->n_left;

	return MIN_OF(left, r->most - r->n_under_way);
}

/* Who asks for much doesn't stand in the way of who asks for little, nor do many of them: the less
 * room there is, the fewer lookups each may have under way. */
static bool may_start(const struct resolver *r, const struct resolver_ask *ask)
{
	size_t share = MIN_OF(room(r) / LEFT_FREE, (size_t)ONE_ASK);

	return ask->under_way < MAX_OF(share, (size_t)1);
}

/* libunbound may answer within start(); that the ask is done is told later. */
static void start_some(struct resolver *r)
{
	size_t passed = 0;

	while (passed < r->n_turns && room(r)) {
		struct resolver_ask *ask = TAILQ_FIRST(&r->turns);

		leave_turn(ask);
		passed++;
		if (may_start(r, ask)) {
			start(TAILQ_FIRST(&ask->line));
			passed = 0;
		}
		take_turn(ask);
	}
}

static void on_soon(void *arg)
{
	struct resolver *r = arg;
	struct resolver_ask *ask;
	size_t n = r->n_ready;

	start_some(r);
	set_late(r);
	/* Who asks again in `done` has his turn in the next round. */
	for (; n && (ask = TAILQ_FIRST(&r->ready)); n--) {
		void (*done)(void *) = ask->done;
		void *of = ask->arg;

		leave_ready(ask);
		free(ask);
		done(of);
	}
	if (!TAILQ_EMPTY(&r->ready))
		tell_soon(r);
}

/* ---- askers ---- */

struct resolver_ask *resolver_ask(struct resolver *r, struct answers *a, void (*done)(void *arg),
                                  void *arg)
{
	struct resolver_ask *ask = mem_new(sizeof(*ask));
	struct dns_question q;

	*ask = (struct resolver_ask) { .resolver = r, .answers = a, .done = done, .arg = arg };
	ask->due_ms = clock_mono_ms() + r->deadline_ms;
	TAILQ_INIT(&ask->lookups);
	TAILQ_INIT(&ask->line);
	while (answers_wanted(a, &q)) {
		struct lookup *u = mem_new(sizeof(*u));

		*u = (struct lookup) { .resolver = r, .ask = ask, .type = q.type };
		(void)snprintf(u->name, sizeof(u->name), "%s", q.name);
		TAILQ_INSERT_TAIL(&ask->lookups, u, sibling);
		TAILQ_INSERT_TAIL(&ask->line, u, link);
		r->n_line++;
		r->totals.asked++;
	}
	if (TAILQ_EMPTY(&ask->lookups))
		make_ready(ask);
	else
		TAILQ_INSERT_TAIL(&r->waiting, ask, link);
	take_turn(ask);
	tell_soon(r);
	return ask;
}

void resolver_cancel(struct resolver_ask **at)
{
	struct resolver_ask *ask = *at;
	struct lookup *u;

	if (!ask)
		return;
	*at = NULL;
	if (ask->ready)
		leave_ready(ask);
	else
		TAILQ_REMOVE(&ask->resolver->waiting, ask, link);
	while ((u = TAILQ_FIRST(&ask->lookups))) {
		TAILQ_REMOVE(&ask->lookups, u, sibling);
		if (u->started) {
			leave(u);
			u->ask = NULL;
		} else {
			leave_line(u);
			free(u);
		}
	}
	leave_turn(ask);
	free(ask);
}

void resolver_count(const struct resolver *r, struct resolver_totals *out)
{
	*out = r->totals;
	out->under_way = r->n_under_way;
	out->in_line = r->n_line;
	out->left = r->n_left;
}

/* ---- beginning and end ---- */

struct option {
	const char *name;
	const char *value;
};

static enum rc set(struct ub_ctx *c, const struct option *o, size_t count, struct err *e)
{
	for (size_t i = 0; i < count; i++)
		if (ub_ctx_set_option(c, o[i].name, o[i].value) != 0)
			return err_set(e, RC_IO, "libunbound doesn't take %s %s", o[i].name,
			               o[i].value);
	return RC_OK;
}

/* Who asks is a mail's sender, and so may be who answers: sizes and times are bounded. libunbound
 * keeps away from a server that didn't answer for some seconds. Where that is the only one, a
 * sender whose names take it long would so shut out all others: its times are forgotten before they
 * count. More questions to a zone's servers would take longer than anybody waits. */
static enum rc set_bounds(struct ub_ctx *c, size_t cache, bool forwarded, struct err *e)
{
	char third[24], small[24], sockets[24];
	const struct option options[] = {
		{ "use-syslog:", "no" },
		{ "do-not-query-localhost:", "no" },
		{ "outgoing-range:", sockets },
		{ "outgoing-num-tcp:", "128" },
		{ "msg-cache-size:", third },
		{ "rrset-cache-size:", third },
		{ "key-cache-size:", small },
		{ "neg-cache-size:", small },
		{ "infra-cache-numhosts:", "4096" },
		{ "infra-host-ttl:", forwarded ? "1" : "20" },
		{ "infra-cache-max-rtt:", forwarded ? "12000" : "3000" },
		{ "infra-keep-probing:", "yes" },
		{ "outbound-msg-retry:", "3" },
		{ "max-sent-count:", "8" },
	};

	(void)snprintf(sockets, sizeof(sockets), "%d", RESOLVER_SOCKETS - 128);
	(void)snprintf(third, sizeof(third), "%zu", cache / 3);
	(void)snprintf(small, sizeof(small), "%zu", cache / 6);
	return set(c, options, COUNT(options), e);
}

/* Zones that libunbound answers by itself: not where somebody else is asked for everything.
 * ("nodefault" is no way: libunbound 1.17 keeps it with the zone's name as one word.) */
static enum rc open_zones(struct ub_ctx *c, struct err *e)
{
	static const struct option options[] = {
		{ "unblock-lan-zones:", "yes" },
		{ "insecure-lan-zones:", "yes" },
		{ "local-zone:", "localhost. transparent" },
		{ "local-zone:", "127.in-addr.arpa. transparent" },
		{ "local-zone:",
		  "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa."
		  " transparent" },
		{ "local-zone:", "home.arpa. transparent" },
		{ "local-zone:", "onion. transparent" },
		{ "local-zone:", "test. transparent" },
		{ "local-zone:", "invalid. transparent" },
	};

	return set(c, options, COUNT(options), e);
}

static enum rc open_stub(struct ub_ctx *c, const struct resolver_stub *s, struct err *e)
{
	char zone[300];
	const struct option open = { "local-zone:", zone };
	struct ip ip;
	uint16_t port;

	if (!s->zone || strlen(s->zone) > 253 || strpbrk(s->zone, " \t\n\"\\"))
		return err_set(e, RC_INVALID, "DNS: that is no zone for a stub");
	if (!s->server || !resolver_server(slice_str(s->server), &ip, &port))
		return err_set(e, RC_INVALID, "DNS: the server of %s is ADDR@PORT", s->zone);
	if (ub_ctx_set_stub(c, s->zone, s->server, 0) != 0)
		return err_set(e, RC_INVALID, "DNS: libunbound takes no stub zone %s", s->zone);
	(void)snprintf(zone, sizeof(zone), "%s transparent", s->zone);
	return set(c, &open, 1, e);
}

static enum rc set_servers(struct ub_ctx *c, const struct resolver_options *o, struct err *e)
{
	struct ip ip;
	uint16_t port;
	enum rc rc = RC_OK;

	if (o->forward && !resolver_server(slice_str(o->forward), &ip, &port))
		return err_set(e, RC_INVALID, "DNS: forward is ADDR@PORT");
	if (o->forward && ub_ctx_set_fwd(c, o->forward) != 0)
		return err_set(e, RC_INVALID, "DNS: libunbound doesn't forward to %s", o->forward);
	if (o->forward)
		rc = open_zones(c, e);
	else if (o->resolv_conf && ub_ctx_resolvconf(c, NULL) != 0)
		rc = err_set(e, RC_IO, "DNS: /etc/resolv.conf can't be read");
	for (size_t i = 0; rc == RC_OK && i < o->stub_count; i++)
		rc = open_stub(c, &o->stubs[i], e);
	return rc;
}

/* libunbound reads it later, and then only says that something is wrong. */
static enum rc set_anchor(struct ub_ctx *c, const char *path, struct err *e)
{
	static const struct option off[] = { { "module-config:", "iterator" } };
	static const struct option on[] = { { "module-config:", "validator iterator" } };
	struct buf text;
	enum rc rc;

	if (!path)
		return set(c, off, COUNT(off), e);
	buf_init(&text, ANCHOR_BYTES);
	rc = file_read_all(path, &text, e);
	buf_free(&text);
	if (rc != RC_OK)
		return err_in(e, "DNS: trust anchor");
	rc = set(c, on, COUNT(on), e);
	if (rc == RC_OK && ub_ctx_add_ta_file(c, path) != 0)
		rc = err_set(e, RC_INVALID, "DNS: libunbound takes no trust anchor %s", path);
	return rc;
}

static void on_warm(void *arg, int code, void *packet, int length, int security, char *why,
                    int limited)
{
	struct resolver *r = arg;

	(void)packet;
	(void)length;
	(void)security;
	(void)why;
	(void)limited;
	r->warm = code == 0;
}

/* A lookup that needs no server: behind it all files have been read. */
static enum rc warm_up(struct resolver *r, struct err *e)
{
	int id;

	if (ub_ctx_data_add(r->ctx, READY_NAME " 60 IN A 127.0.0.1") != 0)
		return err_set(e, RC_INVALID,
		               "DNS: libunbound doesn't start (is the trust anchor one?)");
	if (ub_resolve_event(r->ctx, READY_NAME, DNS_A, CLASS_IN, r, on_warm, &id) != 0 || !r->warm)
		return err_set(e, RC_IO, "DNS: libunbound doesn't start");
	return RC_OK;
}

enum rc resolver_new(struct resolver **out, struct loop *l, const struct resolver_options *o,
                     struct err *e)
{
	struct resolver *r = mem_new(sizeof(*r));
	enum rc rc;

	*out = NULL;
	TAILQ_INIT(&r->turns);
	TAILQ_INIT(&r->under_way);
	TAILQ_INIT(&r->left);
	TAILQ_INIT(&r->waiting);
	TAILQ_INIT(&r->ready);
	r->most = o->lookups ? o->lookups : LOOKUPS;
	r->deadline_ms = o->deadline_ms ? o->deadline_ms : 5000;
	r->soon = loop_timer_new(l, on_soon, r);
	r->late = loop_timer_new(l, on_late, r);
	r->ctx = ub_ctx_create_event(loop_base(l));
	MUST(r->ctx);
	(void)ub_ctx_debugout(r->ctx, NULL); /* what it says names what strangers ask */
	rc = set_bounds(r->ctx, o->cache_bytes ? o->cache_bytes : (size_t)32 << 20,
	                o->forward || o->resolv_conf, e);
	if (rc == RC_OK)
		rc = set_servers(r->ctx, o, e);
	if (rc == RC_OK)
		rc = set_anchor(r->ctx, o->trust_anchor, e);
	if (rc == RC_OK)
		rc = warm_up(r, e);
	if (rc == RC_OK)
		*out = r;
	else
		resolver_free(&r);
	return rc;
}

void resolver_free(struct resolver **at)
{
	struct resolver *r = *at;
	struct resolver_ask *ask;
	struct lookup *u;

	if (!r)
		return;
	*at = NULL;
	r->closing = true;
	while ((ask = TAILQ_FIRST(&r->ready)) || (ask = TAILQ_FIRST(&r->waiting)))
		resolver_cancel(&ask);
	ub_ctx_delete(r->ctx); /* may answer what is under way */
	while ((u = TAILQ_FIRST(&r->left))) {
		TAILQ_REMOVE(&r->left, u, link);
		free(u);
	}
	loop_timer_free(&r->soon);
	loop_timer_free(&r->late);
	free(r);
}
