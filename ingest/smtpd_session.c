#include "ingest/smtpd_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define BUCKETS      1024
#define TICK_MS      1000
#define HANDSHAKE_MS 30000
#define CERT_MOST    65536 /* bytes of a client's certificate; the handshake takes fewer */
#define LINGER_MS    2000
#define TOLD_MS      1000
#define RATE_GRACE   60 /* seconds of a message before its rate counts */

struct session {
	struct session *prev, *next;           /* all */
	struct session *prev_same, *next_same; /* of the same bucket */
	struct smtpd_sessions *all;
	struct conn *conn;
	struct gate_session *gate;
	struct tls_context *tls; /* the point's, which the gate session keeps */
	const struct ingress_point *point;
	bool unproven;       /* a certificate is required, and wasn't shown yet */
	struct ip from;      /* an address, or a /64 */
	int64_t last_ms;     /* of progress */
	uint64_t last_steps; /* what it is measured by */
	uint64_t last_bytes;
	int64_t body_ms; /* when the message began; 0: none */
};

struct smtpd_sessions {
	struct loop *loop;
	struct smtpd_limits limits;
	struct session *first;
	struct session *buckets[BUCKETS];
	size_t count;
	struct loop_timer *tick;
	int64_t told_ms; /* of a client without a good certificate */
	bool stopping;
};

/* --- counting --- */

static struct ip address_key(const struct ip *ip)
{
	struct ip key = *ip;

	if (key.family == 6)
		memset(key.b + 8, 0, 8);
	return key;
}

static struct session **bucket_of(struct smtpd_sessions *ss, const struct ip *key)
{
	uint64_t h = key->family;

	for (size_t i = 0; i < sizeof(key->b); i++)
		h = (h ^ key->b[i]) * UINT64_C(0x100000001b3);
	return &ss->buckets[(h ^ h >> 29) % BUCKETS];
}

static unsigned count_same(struct smtpd_sessions *ss, const struct ip *key)
{
	unsigned n = 0;

	for (struct session *s = *bucket_of(ss, key); s; s = s->next_same)
		if (ip_equal(&s->from, key))
			n++;
	return n;
}

static void link_session(struct session *s)
{
	struct smtpd_sessions *ss = s->all;
	struct session **bucket = bucket_of(ss, &s->from);

	s->next = ss->first;
	if (s->next)
		s->next->prev = s;
	ss->first = s;
	s->next_same = *bucket;
	if (s->next_same)
		s->next_same->prev_same = s;
	*bucket = s;
	ss->count++;
}

static void unlink_session(struct session *s)
{
	struct smtpd_sessions *ss = s->all;

	*(s->prev ? &s->prev->next : &ss->first) = s->next;
	if (s->next)
		s->next->prev = s->prev;
	*(s->prev_same ? &s->prev_same->next_same : bucket_of(ss, &s->from)) = s->next_same;
	if (s->next_same)
		s->next_same->prev_same = s->prev_same;
	ss->count--;
}

static void session_free(struct session *s)
{
	unlink_session(s);
	conn_free(&s->conn);
	gate_session_free(&s->gate);
	free(s);
}

/* --- the connection's callbacks --- */

static struct smtp_session *smtp_of(struct session *s)
{
	return gate_session_smtp(s->gate);
}

/* An answer to QUIT needs no lingering: nothing may follow it. */
static int64_t linger_of(struct session *s)
{
	return slice_starts_nocase(smtp_session_output(smtp_of(s)), slice_str("221")) ? 0
	                                                                              : LINGER_MS;
}

static bool finish_if_closing(struct session *s)
{
	if (!smtp_session_closing(smtp_of(s)))
		return false;
	conn_finish(s->conn, linger_of(s)); /* may free s */
	return true;
}

static void note_progress(struct session *s)
{
	bool body = gate_session_doing(s->gate) == GATE_BODY;
	uint64_t steps = smtp_session_steps(smtp_of(s));
	uint64_t bytes = smtp_session_body_bytes(smtp_of(s));
	int64_t now = clock_mono_ms();

	/* Whole commands and bytes of a message are progress, bytes of a command are none. */
	if (steps != s->last_steps || bytes != s->last_bytes)
		s->last_ms = now;
	if (!body)
		s->body_ms = 0;
	else if (!s->body_ms || bytes < s->last_bytes) /* fewer: the next message */
		s->body_ms = now;
	s->last_steps = steps;
	s->last_bytes = bytes;
}

static size_t on_input(void *arg, struct slice bytes)
{
	struct session *s = arg;
	size_t taken = 0;

	while (taken < bytes.len && smtp_session_wants_input(smtp_of(s))) {
		size_t n = smtp_session_input(smtp_of(s), slice_from(bytes, taken));

		if (!n)
			break;
		taken += n;
	}
	note_progress(s);
	(void)finish_if_closing(s);
	return taken;
}

static struct slice on_output(void *arg)
{
	return smtp_session_output(smtp_of(arg));
}

static void on_sent(void *arg, size_t n)
{
	smtp_session_output_sent(smtp_of(arg), n);
}

static void on_secured(void *arg)
{
	struct session *s = arg;
	struct buf peer;
	bool kept;

	buf_init(&peer, CERT_MOST);
	kept = conn_tls_peer(s->conn, &peer) == RC_OK &&
	       gate_session_secured(s->gate, conn_tls_version(s->conn), conn_tls_cipher(s->conn),
	                            buf_slice(&peer));
	buf_free(&peer);
	if (!kept) {
		conn_finish(s->conn, 0); /* frees s */
		return;
	}
	s->unproven = false;
	s->last_ms = clock_mono_ms();
	if (s->point->tls_wrapped)
		smtp_session_greet(smtp_of(s));
	else
		smtp_session_tls_started(smtp_of(s));
}

/* A client that has no good certificate: who runs it will ask why. Not each of a flood. */
static void log_refused(struct session *s, const char *why)
{
	char ip[IP_TEXT];

	s->all->told_ms = clock_mono_ms();
	ip_format(ip, &s->from);
	log_info("no TLS at %s with %s: %s", s->point->id, ip, why);
}

static void on_closed(void *arg, const char *why)
{
	struct session *s = arg;

	if (why && s->unproven && s->all->told_ms + TOLD_MS <= clock_mono_ms())
		log_refused(s, why);
	else if (why)
		log_debug("a connection ended: %s", why);
	session_free(s);
}

static const struct conn_ops conn_callbacks = {
	.input = on_input,
	.output = on_output,
	.sent = on_sent,
	.secured = on_secured,
	.closed = on_closed,
};

/* --- the gate's callbacks --- */

static void say_goodbye(struct session *s, const char *enhanced, const char *text)
{
	smtp_session_timeout(smtp_of(s), enhanced, text);
	(void)finish_if_closing(s);
}

static void on_wake(void *arg)
{
	struct session *s = arg;

	s->last_ms = clock_mono_ms();
	if (s->all->stopping)
		say_goodbye(s, "4.3.2", "The service is going down");
	else if (!finish_if_closing(s))
		conn_resume(s->conn);
}

static void on_start_tls(void *arg)
{
	struct session *s = arg;

	if (s->tls)
		conn_tls_accept(s->conn, s->tls, HANDSHAKE_MS);
	else
		conn_finish(s->conn, 0);
}

static const struct gate_session_ops gate_callbacks = {
	.wake = on_wake,
	.start_tls = on_start_tls,
};

/* --- deadlines --- */

static const char *what_is_late(const struct session *s, int64_t now)
{
	const struct smtpd_limits *l = &s->all->limits;
	int64_t seconds;

	switch (gate_session_doing(s->gate)) {
	case GATE_WAITS:
		return NULL;
	case GATE_COMMANDS:
		return now - s->last_ms > l->command_ms ? "Timeout waiting for a command" : NULL;
	case GATE_BODY:
		break;
	}
	if (now - s->last_ms > l->data_ms)
		return "Timeout inside a message";
	if (now - s->body_ms > l->message_ms)
		return "The message takes too long";
	seconds = (now - s->body_ms) / 1000 - RATE_GRACE;
	if (seconds > 0 &&
	    smtp_session_body_bytes(gate_session_smtp(s->gate)) < (uint64_t)seconds * l->min_rate)
		return "The message comes too slowly";
	return NULL;
}

static void on_tick(void *arg)
{
	struct smtpd_sessions *ss = arg;
	int64_t now = clock_mono_ms();
	struct session *next;

	for (struct session *s = ss->first; s; s = next) {
		const char *late = what_is_late(s, now);

		next = s->next;
		if (late)
			say_goodbye(s, "4.4.2", late);
	}
	loop_timer_set(ss->tick, TICK_MS);
}

/* --- the whole --- */

struct smtpd_sessions *smtpd_sessions_new(struct loop *l)
{
	struct smtpd_sessions *ss = mem_new(sizeof(*ss));

	ss->loop = l;
	ss->tick = loop_timer_new(l, on_tick, ss);
	loop_timer_set(ss->tick, TICK_MS);
	return ss;
}

void smtpd_sessions_free(struct smtpd_sessions **at)
{
	struct smtpd_sessions *ss = *at;

	if (!ss)
		return;
	*at = NULL;
	while (ss->first)
		session_free(ss->first);
	loop_timer_free(&ss->tick);
	free(ss);
}

void smtpd_sessions_limit(struct smtpd_sessions *ss, const struct smtpd_limits *limits)
{
	ss->limits = *limits;
}

/* In the clear also where the client expects TLS: it gets no session either way. */
static void refuse(int fd, const char *text)
{
	(void)send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)close(fd);
}

static bool refused(struct smtpd_sessions *ss, int fd, const struct ip *key)
{
	if (ss->count >= ss->limits.connections) {
		refuse(fd, "421 4.3.2 Too many connections, try again later\r\n");
		return true;
	}
	if (count_same(ss, key) >= ss->limits.per_address) {
		refuse(fd, "421 4.7.0 Too many connections from your address\r\n");
		return true;
	}
	return false;
}

void smtpd_session_start(struct smtpd_sessions *ss, struct gate *g, struct gate_point *p, int fd,
                         const struct gate_peer *peer)
{
	struct ip key = address_key(&peer->ip);
	struct session *s;

	if (refused(ss, fd, &key))
		return;
	s = mem_new(sizeof(*s));
	s->all = ss;
	s->from = key;
	s->tls = gate_point_tls(p);
	s->point = gate_point_ingress(p);
	s->unproven = s->point->trust;
	s->last_ms = clock_mono_ms();
	s->gate = gate_session_new(g, p, peer, &gate_callbacks, s);
	s->conn = conn_new(ss->loop, fd, &conn_callbacks, s);
	link_session(s);
	if (!s->point->tls_wrapped) {
		smtp_session_greet(smtp_of(s));
		conn_send(s->conn);
	} else if (s->tls) {
		conn_tls_accept(s->conn, s->tls, HANDSHAKE_MS);
	} else {
		session_free(s);
	}
}

void smtpd_sessions_stop(struct smtpd_sessions *ss)
{
	struct session *next;

	ss->stopping = true;
	for (struct session *s = ss->first; s; s = next) {
		next = s->next;
		if (gate_session_doing(s->gate) != GATE_WAITS)
			say_goodbye(s, "4.3.2", "The service is going down");
	}
}

size_t smtpd_sessions_count(const struct smtpd_sessions *ss)
{
	return ss->count;
}
