#include "ingest/outbound_parts.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/home.h"
#include "base/log.h"

#define FILE_MOST  4194304
#define LOOK_MS    1000
#define AGAIN_MS   100 /* before a sender that ended is made again; then twice that each time */
#define AGAIN_MOST 10000
#define LIVED_MS   30000 /* a life that sets AGAIN_MS back */
#define DEAF_MS    30000 /* without an answer to a ping */
#define GRACE_MS   60000 /* behind the deadlines that the sender has itself */
#define EACH       4     /* attempts that a sender has for each of its connections */
#define MOST       1000
#define START_TEXT "the sender of mm-deliver ended while it had the message; it is tried again"

static void pump(struct outbound *b);
static void let_finish(struct outbound *b);
static void start_sender(void *arg);

/* ---- configuration ---- */

enum rc outbound_configure(const json_t *send, struct err *e)
{
	struct outbound_settings s;

	return outbound_settings_read(&s, send, e);
}

json_t *outbound_home(const json_t *send, const json_t *dns, const char *hostname)
{
	json_t *o = json_object();
	json_t *names = dns ? json_deep_copy(dns) : json_object();

	(void)json_object_del(names, "lists"); /* keys of block lists are no sender's business */
	json_put(o, "send", send ? json_deep_copy(send) : json_object());
	json_put(o, "dns", names);
	if (hostname)
		json_put_text(o, "hostname", slice_str(hostname));
	return o;
}

/* Each child reads it; that it isn't there is said at the start. */
static enum rc check_file(const json_t *section, const char *name, const char *member,
                          struct err *e)
{
	const char *path = json_string_value(json_object_get(section, member));
	struct buf text;
	enum rc rc;

	if (!path)
		return RC_OK;
	buf_init(&text, FILE_MOST);
	rc = file_read_all(path, &text, e);
	buf_free(&text);
	return rc == RC_OK ? rc : err_in(e, "%s.%s", name, member);
}

enum rc outbound_home_start(struct home **out, const json_t *send, const json_t *dns,
                            const char *hostname, const char *program, struct err *e)
{
	enum rc rc = check_file(send, "send", "ca", e);
	json_t *config;

	*out = NULL;
	if (rc == RC_OK)
		rc = check_file(dns, "dns", "trust_anchor", e);
	if (rc != RC_OK)
		return rc;
	config = json_object();
	json_put(config, "sender", outbound_home(send, dns, hostname));
	return home_start(out, program ? program : "mm-deliver", config, e);
}

/* ---- attempts ---- */

static void forget_frame(struct attempt *a)
{
	if (a->ask.at) /* it may have a password */
		explicit_bzero(a->ask.at, a->ask.room);
	buf_free(&a->ask);
	if (a->message >= 0)
		(void)close(a->message);
	a->message = -1;
}

static void attempt_free(struct outbound *b, struct attempt *a)
{
	forget_frame(a);
	free(a->failed);
	free(a);
	b->count--;
}

/* It is in no list any more; `ended` comes in the loop's next round. */
static void fail(struct outbound *b, struct attempt *a, const char *why)
{
	if (a->with)
		a->with->has--;
	a->with = NULL;
	a->failed = mem_string(why);
	forget_frame(a);
	TAILQ_INSERT_TAIL(&b->done, a, link);
	loop_timer_set(b->soon, 0);
}

static void fail_line(struct outbound *b, const char *why)
{
	struct attempt *a;

	while ((a = TAILQ_FIRST(&b->line))) {
		TAILQ_REMOVE(&b->line, a, link);
		fail(b, a, why);
	}
}

static void fail_out(struct outbound *b, const struct sender *s, const char *why)
{
	for (struct attempt *a = TAILQ_FIRST(&b->out), *next; a; a = next) {
		next = TAILQ_NEXT(a, link);
		if (a->with != s)
			continue;
		TAILQ_REMOVE(&b->out, a, link);
		fail(b, a, why);
	}
}

static void tell_failed(struct outbound *b, struct attempt *a)
{
	struct outbound_result *results = mem_array(a->recipients, sizeof(*results));
	uint64_t number = a->number;
	size_t count = a->recipients;

	for (size_t i = 0; i < count; i++) {
		results[i] =
		        (struct outbound_result) { .end = OUTBOUND_LATER, .enhanced = "4.3.0" };
		outbound_clean(results[i].text, sizeof(results[i].text), slice_str(a->failed));
	}
	attempt_free(b, a);
	b->o.ended(b->o.arg, number, results, count, "", "");
	free(results);
}

/* What fails within `ended` has its turn in the next round. */
static void on_soon(void *arg)
{
	struct outbound *b = arg;
	struct attempts now = TAILQ_HEAD_INITIALIZER(now);
	struct attempt *a;

	TAILQ_CONCAT(&now, &b->done, link);
	while ((a = TAILQ_FIRST(&now))) {
		TAILQ_REMOVE(&now, a, link);
		tell_failed(b, a);
	}
	let_finish(b);
	pump(b);
}

/* ---- a sender ---- */

static void sender_free(struct sender *s)
{
	channel_free(&s->channel);
	if (s->leash >= 0)
		(void)close(s->leash); /* the kernel ends it, whatever it does */
	free(s);
}

static void again_later(struct outbound *b)
{
	loop_timer_set(b->again, b->again_ms);
	b->again_ms = MIN_OF(b->again_ms * 2, (int64_t)AGAIN_MOST);
}

/* What it had is tried again by the queue; what waits fails only with one that never ran. */
static void sender_ended(struct sender *s, const char *why)
{
	struct outbound *b = s->outbound;

	log_error("mm-deliver: the sender ended: %s", why);
	fail_out(b, s, START_TEXT);
	if (s != b->now) {
		TAILQ_REMOVE(&b->old, s, link);
	} else {
		b->now = NULL;
		if (!s->ready)
			fail_line(b, "the sender of mm-deliver doesn't start: see the log");
		if (clock_mono_ms() - s->born_ms > LIVED_MS)
			b->again_ms = AGAIN_MS;
		again_later(b);
	}
	sender_free(s);
}

static void on_closed(void *arg, const char *why)
{
	sender_ended(arg, why);
}

static struct attempt *find(struct sender *s, uint64_t number)
{
	struct attempt *a = TAILQ_FIRST(&s->outbound->out);

	while (a && (a->number != number || a->with != s))
		a = TAILQ_NEXT(a, link);
	return a;
}

static bool on_said(struct sender *s, const json_t *o)
{
	struct outbound *b = s->outbound;
	uint64_t number = (uint64_t)json_member_int(o, "n", 0);
	struct attempt *a = find(s, number);
	struct outbound_result *results;
	size_t count = a ? a->recipients : 0;
	char host[256], tls[16];
	bool good = a && outbound_said(&results, count, o);

	if (!a)
		return false;
	if (good) {
		outbound_clean(host, sizeof(host), json_member_text(o, "host"));
		outbound_clean(tls, sizeof(tls), json_member_text(o, "tls"));
		s->has--;
		TAILQ_REMOVE(&b->out, a, link);
		attempt_free(b, a);
		b->o.ended(b->o.arg, number, results, count, host, tls);
	}
	free(results);
	return good;
}

static void on_ended(struct sender *s, struct slice body)
{
	json_t *o = NULL;
	struct err e;
	bool good = json_read(&o, body, &e) == RC_OK && on_said(s, o);

	json_decref(o);
	if (!good)
		sender_ended(s, "it says nonsense");
}

static void let_finish(struct outbound *b)
{
	for (struct sender *s = TAILQ_FIRST(&b->old), *next; s; s = next) {
		next = TAILQ_NEXT(s, link);
		if (s->has)
			continue;
		TAILQ_REMOVE(&b->old, s, link);
		sender_free(s);
	}
}

/* `ended` may have called outbound_send and _ports, and nothing else of this. */
static void on_message(void *arg, unsigned type, struct slice body, int *fds, size_t nfds)
{
	struct sender *s = arg;
	struct outbound *b = s->outbound;
	char why[OUTBOUND_WHY];

	(void)fds;
	(void)nfds;
	switch (type) {
	case OUTBOUND_READY:
		s->ready = true;
		b->lost = false;
		break;
	case OUTBOUND_PONG:
		s->pinged_ms = 0;
		return;
	case OUTBOUND_ENDED:
		on_ended(s, body);
		break;
	case OUTBOUND_FAILED:
		outbound_clean(why, sizeof(why), body);
		sender_ended(s, why);
		break;
	default:
		sender_ended(s, "it says nonsense");
	}
	loop_timer_set(b->soon,
	               0); /* who has nothing any more may go, but not within his own call */
}

static json_t *task_json(const struct sender *s)
{
	json_t *task = json_object();
	json_t *sender = json_object();
	json_t *ports = json_array();

	for (size_t i = 0; i < s->port_count; i++)
		json_push(ports, json_integer(s->ports[i]));
	json_put(sender, "ports", ports);
	json_put(task, "sender", sender);
	return task;
}

static enum rc make_sender(struct sender *s, int *fd, struct err *e)
{
	int leash[2];
	enum rc rc = home_leash(leash, e);

	if (rc != RC_OK)
		return rc;
	rc = home_child(s->outbound->o.home, fd, task_json(s), leash, 1, e);
	(void)close(leash[0]);
	if (rc == RC_OK)
		s->leash = leash[1];
	else
		(void)close(leash[1]);
	return rc;
}

static void start_sender(void *arg)
{
	static const struct channel_ops ops = { on_message, on_closed };
	struct outbound *b = arg;
	struct sender *s = mem_new(sizeof(*s));
	struct err e = { 0 };
	int fd;

	loop_timer_clear(b->again);
	s->outbound = b;
	s->leash = -1;
	s->born_ms = clock_mono_ms();
	s->port_count = b->port_count;
	memcpy(s->ports, b->ports, sizeof(s->ports));
	if (make_sender(s, &fd, &e) == RC_OK) {
		s->channel = channel_new(b->o.loop, fd, OUTBOUND_SAID_MOST, &ops, s);
		b->now = s;
		return;
	}
	if (!b->lost)
		log_error("%s; no mail is sent", e.text);
	b->lost = true;
	fail_line(b, e.text);
	sender_free(s);
	again_later(b);
}

/* ---- handing out ---- */

/* False: not now. */
static bool hand_out(struct sender *s, struct attempt *a)
{
	struct outbound *b = s->outbound;
	struct err e = { 0 };

	if (channel_send(s->channel, OUTBOUND_ASK, buf_slice(&a->ask), &a->message, 1, &e) != RC_OK)
		return false;
	forget_frame(a);
	a->with = s;
	a->due_ms = clock_mono_ms() + 2 * b->settings.deadline_ms + GRACE_MS;
	s->has++;
	TAILQ_REMOVE(&b->line, a, link);
	TAILQ_INSERT_TAIL(&b->out, a, link);
	return true;
}

static void pump(struct outbound *b)
{
	struct sender *s = b->now;
	struct attempt *a;

	while (s && s->ready && s->has < MIN_OF(EACH * b->settings.at_once, MOST) &&
	       (a = TAILQ_FIRST(&b->line)))
		if (!hand_out(s, a))
			return;
}

/* ---- deadlines ---- */

static void ping(struct sender *s, int64_t now)
{
	struct err e;

	if (s->ready && !s->pinged_ms &&
	    channel_send(s->channel, OUTBOUND_PING, slice_of(NULL, 0), NULL, 0, &e) == RC_OK)
		s->pinged_ms = now;
}

static bool is_deaf(const struct sender *s, int64_t now)
{
	return s->ready ? s->pinged_ms && now - s->pinged_ms > DEAF_MS : now - s->born_ms > DEAF_MS;
}

/* A sender that still answers pings, but lost one of its attempts, is no good either. */
static bool is_late(const struct outbound *b, const struct sender *s, int64_t now)
{
	const struct attempt *a;

	TAILQ_FOREACH(a, &b->out, link)
	{
		if (a->with == s && a->due_ms < now)
			return true;
	}
	return false;
}

static void look_at(struct sender *s, int64_t now)
{
	if (is_deaf(s, now))
		sender_ended(s, "it doesn't answer");
	else if (is_late(s->outbound, s, now))
		sender_ended(s, "it doesn't end what it has");
	else
		ping(s, now);
}

static void on_look(void *arg)
{
	struct outbound *b = arg;
	int64_t now = clock_mono_ms();

	for (struct sender *s = TAILQ_FIRST(&b->old), *next; s; s = next) {
		next = TAILQ_NEXT(s, link);
		look_at(s, now);
	}
	if (b->now)
		look_at(b->now, now);
	pump(b);
	loop_timer_set(b->look, LOOK_MS);
}

/* ---- ports ---- */

static bool has_port(const uint16_t *ports, size_t count, uint16_t port)
{
	for (size_t i = 0; i < count; i++)
		if (ports[i] == port)
			return true;
	return false;
}

static void replace_sender(struct outbound *b)
{
	struct sender *s = b->now;

	if (!s)
		return; /* the next one is made with them */
	if (s->has)
		TAILQ_INSERT_TAIL(&b->old, s, link);
	b->now = NULL;
	if (!s->has)
		sender_free(s);
	start_sender(b);
}

void outbound_ports(struct outbound *b, const uint16_t *ports, size_t count)
{
	bool more = false;

	for (size_t i = 0; i < count; i++) {
		if (!ports[i] || has_port(b->ports, b->port_count, ports[i]))
			continue;
		if (b->port_count == OUTBOUND_PORTS) {
			log_error("the sender can't reach port %u: at most %d ports", ports[i],
			          OUTBOUND_PORTS);
			break;
		}
		b->ports[b->port_count++] = ports[i];
		more = true;
	}
	if (more)
		replace_sender(b);
}

/* ---- beginning and end ---- */

struct outbound *outbound_new(const struct outbound_options *o)
{
	struct outbound *b = mem_new(sizeof(*b));
	struct err e;

	b->o = *o;
	MUST(outbound_settings_read(&b->settings, o->send, &e) == RC_OK); /* it was checked */
	b->o.send = NULL;
	b->again_ms = AGAIN_MS;
	TAILQ_INIT(&b->old);
	TAILQ_INIT(&b->line);
	TAILQ_INIT(&b->out);
	TAILQ_INIT(&b->done);
	b->look = loop_timer_new(o->loop, on_look, b);
	b->soon = loop_timer_new(o->loop, on_soon, b);
	b->again = loop_timer_new(o->loop, start_sender, b);
	loop_timer_set(b->again, 0);
	loop_timer_set(b->look, LOOK_MS);
	return b;
}

static void free_all(struct outbound *b, struct attempts *list)
{
	struct attempt *a;

	while ((a = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, a, link);
		attempt_free(b, a);
	}
}

void outbound_free(struct outbound **at)
{
	struct outbound *b = *at;
	struct sender *s;

	*at = NULL;
	if (!b)
		return;
	while ((s = TAILQ_FIRST(&b->old))) {
		TAILQ_REMOVE(&b->old, s, link);
		sender_free(s);
	}
	if (b->now)
		sender_free(b->now);
	free_all(b, &b->line);
	free_all(b, &b->out);
	free_all(b, &b->done);
	loop_timer_free(&b->look);
	loop_timer_free(&b->soon);
	loop_timer_free(&b->again);
	free(b);
}

uint64_t outbound_send(struct outbound *b, const struct outbound_mail *m)
{
	struct attempt *a = mem_new(sizeof(*a));

	a->number = ++b->last;
	a->recipients = m->recipient_count;
	b->count++;
	a->message = fcntl(m->message, F_DUPFD_CLOEXEC, 3);
	if (m->target->route == OUTBOUND_HOST)
		outbound_ports(b, &m->target->port, 1);
	if (a->message < 0)
		fail(b, a, "there are no descriptors left for the message");
	else if (outbound_ask(&a->ask, a->number, m) != RC_OK)
		fail(b, a, "its envelope is too long for the sender");
	else
		TAILQ_INSERT_TAIL(&b->line, a, link);
	loop_timer_set(b->soon, 0);
	return a->number;
}

size_t outbound_under_way(const struct outbound *b)
{
	return b->count;
}
