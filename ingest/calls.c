#include "ingest/calls.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/home.h"
#include "base/log.h"
#include "ingest/calls_wire.h"

#define LOOK_MS    100
#define GRACE_MS   10000 /* behind a call's deadline: a child that says nothing by then hangs */
#define BORN_MS    30000 /* a child that isn't ready by then hangs */
#define OLD_MS     60000 /* addresses are looked up again by a new child */
#define DOUBT_MS   5000  /* the same, where a call found nobody */
#define AGAIN_MS   100   /* before a child that ended is made again; then twice that each time */
#define AGAIN_MOST 10000
#define LIVED_MS   30000 /* a life that sets AGAIN_MS back */
#define LANES_MOST 64
#define WAIT_MOST  4096 /* calls in line */

struct lane {
	struct lane *next;
	char *endpoint;
	struct ask *first;
	struct ask *last;
	unsigned out;
};

/* One call: in its lane's line, or a child's. */
struct ask {
	struct ask *next;
	struct lane *lane;
	uint64_t number;
	struct buf text; /* behind number and time, as it is sent */
	int body;
	int64_t until_ms;
};

struct worker {
	struct calls *calls;
	struct channel *channel;
	int leash;
	bool ready;
	bool doubted; /* a call found nobody: the addresses may be old */
	int64_t born_ms;
	struct ask *out;
};

/* Told in the loop's next round: calls_ask tells nobody. */
struct refused {
	struct refused *next;
	uint64_t number;
	enum call_end end;
	const char *why; /* a constant */
};

struct calls {
	struct calls_options o;
	struct loop_timer *look;
	bool looking; /* it is set */
	struct loop_timer *again;
	struct loop_timer *soon;
	struct worker *now;  /* gets what is asked */
	struct worker *next; /* is looking names up, and takes its place */
	struct worker *old;  /* ends what it has */
	struct lane *lanes;
	size_t lane_count;
	size_t waiting;
	size_t under_way;
	struct refused *refused;
	uint64_t last_number;
	int64_t again_ms;
	bool lost; /* the home has ended, and that was logged */
};

static void pump(struct calls *c);
static void start_worker(void *arg);

/* ---- results ---- */

static void free_ask(struct ask *a)
{
	if (a->body >= 0)
		(void)close(a->body);
	buf_free(&a->text);
	free(a);
}

/* The ask is in no list any more. */
static void finish(struct calls *c, struct ask *a, const struct call_result *r)
{
	uint64_t number = a->number;

	free_ask(a);
	c->under_way--;
	c->o.ended(c->o.arg, number, r);
}

static void fail(struct calls *c, struct ask *a, enum call_end end, const char *why)
{
	const struct call_result r = { .end = end, .function_error = "", .why = why };

	finish(c, a, &r);
}

static void tell_refused(void *arg)
{
	struct calls *c = arg;

	while (c->refused) {
		struct refused *f = c->refused;
		const struct call_result r = { .end = f->end, .function_error = "", .why = f->why };
		uint64_t number = f->number;

		c->refused = f->next;
		free(f);
		c->under_way--;
		c->o.ended(c->o.arg, number, &r);
	}
}

static void refuse(struct calls *c, uint64_t number, enum call_end end, const char *why)
{
	struct refused *f = mem_new(sizeof(*f));

	*f = (struct refused) { c->refused, number, end, why };
	c->refused = f;
	loop_timer_set(c->soon, 0);
}

/* ---- children ---- */

static void free_worker(struct worker **at)
{
	struct worker *w = *at;

	*at = NULL;
	if (!w)
		return;
	channel_free(&w->channel);
	if (w->leash >= 0)
		(void)close(w->leash);
	free(w);
}

static struct worker **place_of(struct calls *c, const struct worker *w)
{
	if (w == c->now)
		return &c->now;
	return w == c->next ? &c->next : &c->old;
}

/* What it had may have been done. */
static void end_worker(struct worker *w, const char *why)
{
	struct calls *c = w->calls;
	struct ask *had = w->out;
	char text[CALLS_WHY];

	log_error("mm-deliver: its caller ended: %s", why);
	(void)snprintf(text, sizeof(text), "mm-deliver ended while it had it: %.200s", why);
	if (clock_mono_ms() - w->born_ms > LIVED_MS)
		c->again_ms = AGAIN_MS;
	free_worker(place_of(c, w));
	loop_timer_set(c->again, c->again_ms);
	c->again_ms = MIN_OF(c->again_ms * 2, (int64_t)AGAIN_MOST);
	while (had) {
		struct ask *a = had;

		had = a->next;
		a->lane->out--;
		fail(c, a, CALL_LATER, text);
	}
}

static void on_closed(void *arg, const char *why)
{
	end_worker(arg, why);
}

static struct ask *take_out(struct worker *w, uint64_t number)
{
	struct ask **at = &w->out;
	struct ask *a;

	while (*at && (*at)->number != number)
		at = &(*at)->next;
	a = *at;
	if (a) {
		*at = a->next;
		a->lane->out--;
	}
	return a;
}

/* Printable ASCII, with a NUL. */
static void copy_text(char *to, size_t room, struct slice s)
{
	size_t n = MIN_OF(s.len, room - 1);

	for (size_t i = 0; i < n; i++)
		to[i] = (char)(s.at[i] >= ' ' && s.at[i] < 127 ? s.at[i] : '?');
	to[n] = 0;
}

/* False: nonsense. */
static bool on_said(struct worker *w, struct slice body)
{
	struct reader r = reader_over(body);
	uint64_t number = read_u64(&r);
	struct call_result said = { .end = (enum call_end)read_u8(&r), .status = read_u16(&r) };
	char error[CALLS_ERROR + 1];
	char why[CALLS_WHY + 1];
	struct ask *a;

	copy_text(error, sizeof(error), read_slice(&r));
	copy_text(why, sizeof(why), read_slice(&r));
	said.answer = read_slice(&r);
	said.function_error = error;
	said.why = why;
	if (!r.ok || r.rest.len || said.end > CALL_SET_UP || said.answer.len > CALL_ANSWER ||
	    (said.end == CALL_ANSWERED ? said.status < 200 || said.status > 999
	                               : said.status || said.answer.len || error[0]))
		return false;
	a = take_out(w, number);
	if (said.end == CALL_LATER)
		w->doubted = true;
	if (a) /* else it was given up meanwhile */
		finish(w->calls, a, &said);
	return true;
}

static void on_ready(struct worker *w)
{
	struct calls *c = w->calls;

	w->ready = true;
	c->lost = false;
	if (w != c->next)
		return;
	c->next = NULL;
	c->old = c->now; /* there is none yet: only then is a new one made */
	c->now = w;
	if (c->old && !c->old->out)
		free_worker(&c->old);
}

static void on_message(void *arg, unsigned type, struct slice body, int *fds, size_t nfds)
{
	struct worker *w = arg;
	struct calls *c = w->calls;

	(void)fds;
	(void)nfds;
	if (type == CALLS_READY && !w->ready) {
		on_ready(w);
	} else if (type != CALLS_SAY || !on_said(w, body)) {
		end_worker(w, "it says nonsense");
	} else if (c->old && !c->old->out) {
		free_worker(&c->old);
	}
	pump(c);
}

static const struct channel_ops worker_ops = { on_message, on_closed };

static enum rc make_child(struct calls *c, struct worker *w, int *fd, struct err *e)
{
	json_t *task = json_object();
	int leash[2];
	enum rc rc = home_leash(leash, e);

	if (rc != RC_OK) {
		json_decref(task);
		return rc;
	}
	json_put_bool(task, "caller", true);
	rc = home_child(c->o.home, fd, task, leash, 1, e);
	(void)close(leash[0]);
	if (rc == RC_OK)
		w->leash = leash[1];
	else
		(void)close(leash[1]);
	return rc;
}

/* Without a home nobody ever comes: what waits is told so, by its deadline. */
static void start_worker(void *arg)
{
	struct calls *c = arg;
	struct worker *w;
	struct err e = { 0 };
	int fd;

	if (c->next || (c->now && c->old))
		return;
	w = mem_new(sizeof(*w));
	w->calls = c;
	w->leash = -1;
	if (make_child(c, w, &fd, &e) != RC_OK) {
		if (!c->lost)
			log_error("%s; actions that call wait", e.text);
		c->lost = true;
		free(w);
		loop_timer_set(c->again, c->again_ms);
		c->again_ms = MIN_OF(c->again_ms * 2, (int64_t)AGAIN_MOST);
		return;
	}
	w->born_ms = clock_mono_ms();
	w->channel = channel_new(c->o.loop, fd, CALLS_SAID, &worker_ops, w);
	if (c->now)
		c->next = w;
	else
		c->now = w;
}

static void renew(struct calls *c)
{
	const struct worker *w = c->now;
	int64_t age = w ? clock_mono_ms() - w->born_ms : 0;

	if (w && w->ready && !c->next && !c->old &&
	    (age > OLD_MS || (w->doubted && age > DOUBT_MS)))
		start_worker(c);
}

/* ---- handing out ---- */

static struct ask *take_first(struct calls *c, struct lane *l)
{
	struct ask *a = l->first;

	l->first = a->next;
	if (!l->first)
		l->last = NULL;
	a->next = NULL;
	c->waiting--;
	return a;
}

static enum rc send_ask(const struct worker *w, const struct ask *a, struct err *e)
{
	int64_t left = a->until_ms - clock_mono_ms();
	struct buf text;
	enum rc rc;

	buf_init(&text, CALLS_TEXT);
	rc = buf_put_u64(&text, a->number);
	if (rc == RC_OK)
		rc = buf_put_u64(&text, (uint64_t)MAX_OF(left, (int64_t)1));
	if (rc == RC_OK)
		rc = buf_add(&text, buf_slice(&a->text));
	if (rc == RC_OK)
		rc = channel_send(w->channel, CALLS_ASK, buf_slice(&text), &a->body,
		                  a->body >= 0 ? 1 : 0, e);
	buf_free(&text);
	return rc;
}

/* False: the child takes no more now. */
static bool hand_out(struct calls *c, struct lane *l)
{
	struct worker *w = c->now;
	struct ask *a = l->first;
	struct err e;

	if (send_ask(w, a, &e) != RC_OK)
		return false;
	(void)take_first(c, l);
	if (a->body >= 0)
		(void)close(a->body); /* the child has it */
	a->body = -1;
	buf_free(&a->text);
	a->next = w->out;
	w->out = a;
	l->out++;
	return true;
}

static void pump(struct calls *c)
{
	bool takes = c->now && c->now->ready;

	renew(c);
	for (struct lane *l = c->lanes; takes && l; l = l->next)
		while (takes && l->first && l->out < CALLS_EACH)
			takes = hand_out(c, l);
}

/* ---- deadlines ---- */

static void fail_waiting(struct calls *c, struct lane *l, int64_t now)
{
	struct ask *late = NULL;
	struct ask **at = &l->first;

	l->last = NULL;
	while (*at) {
		struct ask *a = *at;

		if (a->until_ms > now) {
			l->last = a;
			at = &a->next;
			continue;
		}
		*at = a->next;
		c->waiting--;
		a->next = late;
		late = a;
	}
	while (late) {
		struct ask *a = late;

		late = a->next;
		fail(c, a, CALL_LATER,
		     c->now && c->now->ready ? "others at this endpoint took all the time"
		                             : "mm-deliver doesn't run");
	}
}

static bool hangs(const struct worker *w, int64_t now)
{
	if (!w)
		return false;
	if (!w->ready)
		return now - w->born_ms > BORN_MS;
	for (const struct ask *a = w->out; a; a = a->next)
		if (now > a->until_ms + GRACE_MS)
			return true;
	return false;
}

/* One that is set already stays: who asks often must not put it off. */
static void look_soon(struct calls *c)
{
	if (c->looking)
		return;
	c->looking = true;
	loop_timer_set(c->look, LOOK_MS);
}

static void on_look(void *arg)
{
	struct calls *c = arg;
	int64_t now = clock_mono_ms();

	c->looking = false;
	/* Where one is ended, another may be in its place. */
	if (hangs(c->now, now))
		end_worker(c->now, "it doesn't answer");
	if (hangs(c->next, now))
		end_worker(c->next, "it doesn't answer");
	if (hangs(c->old, now))
		end_worker(c->old, "it doesn't answer");
	for (struct lane *l = c->lanes; l; l = l->next)
		fail_waiting(c, l, now);
	pump(c);
	if (c->under_way || c->next || (c->now && !c->now->ready))
		look_soon(c);
}

/* ---- asking ---- */

static struct lane *lane_of(struct calls *c, const char *endpoint)
{
	struct lane **at = &c->lanes;

	while (*at && strcmp((*at)->endpoint, endpoint) != 0)
		at = &(*at)->next;
	if (!*at && c->lane_count < LANES_MOST) {
		*at = mem_new(sizeof(**at));
		(*at)->endpoint = mem_string(endpoint);
		c->lane_count++;
	}
	return *at;
}

static enum rc write_ask(struct buf *text, const struct call *what)
{
	enum rc rc = buf_put_slice(text, slice_str(what->endpoint));

	if (rc == RC_OK)
		rc = buf_put_slice(text, slice_str(what->method));
	if (rc == RC_OK)
		rc = buf_put_slice(text, slice_str(what->host_prefix));
	if (rc == RC_OK)
		rc = buf_put_slice(text, slice_str(what->path));
	if (rc == RC_OK)
		rc = buf_put_slice(text, slice_str(what->query));
	if (rc == RC_OK)
		rc = buf_put_u16(text, (uint16_t)what->field_count);
	for (size_t i = 0; rc == RC_OK && i < what->field_count; i++) {
		rc = buf_put_slice(text, slice_str(what->fields[i].name));
		if (rc == RC_OK)
			rc = buf_put_slice(text, slice_str(what->fields[i].value));
	}
	return rc;
}

/* NULL: *why says why not. */
static struct ask *make_ask(struct lane *l, const struct call *what, enum call_end *end,
                            const char **why)
{
	struct ask *a = mem_new(sizeof(*a));
	enum rc rc;

	a->lane = l;
	a->body = -1;
	buf_init(&a->text, CALLS_TEXT - 16);
	rc = what->field_count <= CALLS_FIELDS ? write_ask(&a->text, what) : RC_LIMIT;
	*end = CALL_SET_UP;
	*why = "its path or its fields are too long";
	if (rc == RC_OK && what->body >= 0) {
		a->body = fcntl(what->body, F_DUPFD_CLOEXEC, 3);
		if (a->body < 0) {
			*end = CALL_LATER;
			*why = "no descriptor is left for its body";
			rc = RC_LIMIT;
		}
	}
	if (rc == RC_OK)
		return a;
	free_ask(a);
	return NULL;
}

static void append(struct calls *c, struct ask *a)
{
	if (a->lane->last)
		a->lane->last->next = a;
	else
		a->lane->first = a;
	a->lane->last = a;
	c->waiting++;
}

uint64_t calls_ask(struct calls *c, const struct call *what)
{
	uint64_t number = ++c->last_number;
	struct lane *l = lane_of(c, what->endpoint);
	enum call_end end = CALL_SET_UP;
	const char *why = "no such endpoint is configured";
	struct ask *a = NULL;

	c->under_way++;
	if (l && c->waiting >= WAIT_MOST) {
		end = CALL_LATER;
		why = "too many calls wait";
	} else if (l) {
		a = make_ask(l, what, &end, &why);
	}
	if (!a) {
		refuse(c, number, end, why);
		return number;
	}
	a->number = number;
	a->until_ms = clock_mono_ms() + what->deadline_ms;
	append(c, a);
	pump(c);
	look_soon(c);
	return number;
}

size_t calls_under_way(const struct calls *c)
{
	return c->under_way;
}

/* ---- life ---- */

struct calls *calls_new(const struct calls_options *o)
{
	struct calls *c = mem_new(sizeof(*c));

	c->o = *o;
	c->again_ms = AGAIN_MS;
	c->look = loop_timer_new(o->loop, on_look, c);
	c->again = loop_timer_new(o->loop, start_worker, c);
	c->soon = loop_timer_new(o->loop, tell_refused, c);
	start_worker(c);
	look_soon(c);
	return c;
}

static void free_asks(struct ask *a)
{
	while (a) {
		struct ask *next = a->next;

		free_ask(a);
		a = next;
	}
}

static void stop_worker(struct worker **w)
{
	if (*w)
		free_asks((*w)->out);
	free_worker(w);
}

void calls_free(struct calls **at)
{
	struct calls *c = *at;

	*at = NULL;
	if (!c)
		return;
	stop_worker(&c->now);
	stop_worker(&c->next);
	stop_worker(&c->old);
	while (c->lanes) {
		struct lane *l = c->lanes;

		c->lanes = l->next;
		free_asks(l->first);
		free(l->endpoint);
		free(l);
	}
	while (c->refused) {
		struct refused *f = c->refused;

		c->refused = f->next;
		free(f);
	}
	loop_timer_free(&c->look);
	loop_timer_free(&c->again);
	loop_timer_free(&c->soon);
	free(c);
}
