#include "ingest/deliver/line.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/conn.h"

#define CONNECT_MS   30000
#define HANDSHAKE_MS 60000
#define LINGER_MS    500
#define LOOK_MS      500
#define NOBODY       "4.4.1" /* RFC 3463: no answer from host */
#define TRIES        10      /* addresses before a line gives up */

enum stage { BEGINNING, CONNECTING, SPEAKING, LEAVING, OVER };

struct line {
	const struct line_place *place;
	const struct line_target *target;
	struct route *route;
	const struct line_ops *ops;
	void *arg;
	enum stage stage;
	size_t host; /* where it is, or tries to go */
	size_t ip;
	unsigned tries;
	bool clear;     /* TLS failed here: without it */
	bool once_more; /* here */
	bool shaking;   /* hands: a handshake is under way */
	bool ready;
	bool quitting;
	int fd; /* not connected yet */
	struct loop_watch *watch;
	struct loop_timer *look;
	struct loop_timer *next;
	struct loop_timer *kick; /* what the client has to say is sent */
	bool inside;             /* an op of the client's */
	struct conn *conn;
	struct smtp_client *client;
	struct smtp_client_config config;
	int64_t due_ms;
	int64_t since_ms; /* of what is waited for now */
	enum smtp_client_phase phase;
	uint64_t steps;
	uint64_t sent;
	uint64_t steps_before; /* of the transaction */
	struct smtp_result why;
	bool has_why;
	char name[ROUTE_NAME]; /* of who was spoken to last */
	char tls[16];
};

static const struct smtp_client_ops client_ops;

static const struct route_host *host_of(const struct line *l)
{
	return &l->route->hosts[l->host];
}

/* ---- why not ---- */

/* What passes is worth another try, whatever the others said; what one said tells more than that
 * another isn't there. Of a domain's servers none is our set-up. */
static void note(struct line *l, const struct smtp_result *why)
{
	bool passes = l->has_why && l->why.end == SMTP_LATER;

	if (passes && (why->end == SMTP_NEVER || strcmp(why->enhanced, NOBODY) == 0))
		return;
	l->why = *why;
	l->has_why = true;
	if (l->target->mx && why->end == SMTP_SET_UP)
		l->why.end = SMTP_LATER;
	if (l->why.end == SMTP_LATER && l->why.enhanced[0] == '5')
		l->why.enhanced[0] = '4';
}

static void note_text(struct line *l, const char *enhanced, const char *what, const char *why)
{
	const struct route_host *h = host_of(l);
	struct smtp_result r;
	char ip[IP_TEXT] = "";

	if (l->ip < h->ip_count)
		ip_format(ip, &h->ips[l->ip]);
	route_end(&r, SMTP_LATER, 0, enhanced, "%s[%s]:%u: %s%s%s", h->name, ip, l->target->port,
	          what, why ? ": " : "", why ? why : "");
	note(l, &r);
}

/* ---- one server after the other ---- */

static void leave(struct line *l)
{
	smtp_client_free(&l->client);
	conn_free(&l->conn);
	loop_watch_free(&l->watch);
	if (l->fd >= 0)
		(void)close(l->fd);
	l->fd = -1;
	l->shaking = false;
}

static void go_on(struct line *l)
{
	loop_timer_set(l->next, 0);
}

static void finish(struct line *l)
{
	const struct smtp_result *why = l->quitting || !l->has_why ? NULL : &l->why;

	leave(l);
	l->stage = OVER;
	loop_timer_clear(l->look);
	l->ops->over(l->arg, l, why);
}

static bool is_final(const struct line *l)
{
	return l->ready || l->quitting || l->tries >= TRIES ||
	       (l->has_why && l->why.end == SMTP_SET_UP) || clock_mono_ms() >= l->due_ms;
}

/* NULL: it may be tried. */
static const char *obstacle(const struct line *l, const struct route_host *h)
{
	if (h->failed)
		return "its TLSA records can't be looked up now";
	if (h->verify && !h->dane.applies && !l->place->verified)
		return "there are no certificate authorities to check it by: send.ca";
	return NULL;
}

/* To the next address; false: there is none. */
static bool advance(struct line *l)
{
	l->ip++;
	while (l->host < l->route->count) {
		const struct route_host *h = host_of(l);
		const char *why = obstacle(l, h);

		if (!why && l->ip < h->ip_count)
			return true;
		if (why)
			note_text(l, "4.7.5", why, NULL);
		l->host++;
		l->ip = 0;
	}
	return false;
}

/* ---- connecting ---- */

static socklen_t address_of(struct sockaddr_storage *to, const struct ip *ip, uint16_t port)
{
	struct sockaddr_in *four = (struct sockaddr_in *)to;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)to;

	*to = (struct sockaddr_storage) { .ss_family = ip->family == 6 ? AF_INET6 : AF_INET };
	if (ip->family == 6) {
		six->sin6_port = htons(port);
		memcpy(&six->sin6_addr, ip->b, 16);
		return sizeof(*six);
	}
	four->sin_port = htons(port);
	memcpy(&four->sin_addr, ip->b, 4);
	return sizeof(*four);
}

static void start_speaking(struct line *l);

static void on_connected(void *arg, unsigned what)
{
	struct line *l = arg;
	int error = 0;
	socklen_t n = sizeof(error);

	(void)what;
	if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0)
		error = errno;
	loop_watch_free(&l->watch);
	if (!error) {
		start_speaking(l);
		return;
	}
	note_text(l, NOBODY, "no connection", strerror(error));
	go_on(l);
}

static bool connect_to(struct line *l)
{
	const struct ip *ip = &host_of(l)->ips[l->ip];
	struct sockaddr_storage to;
	socklen_t n = address_of(&to, ip, l->target->port);
	const int on = 1;

	l->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return false;
	(void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return connect(l->fd, (const struct sockaddr *)&to, n) == 0 || errno == EINPROGRESS;
}

static void try_here(struct line *l)
{
	l->tries += !l->clear;
	l->stage = CONNECTING;
	l->since_ms = clock_mono_ms();
	if (connect_to(l)) {
		l->watch = loop_watch_new(l->place->loop, l->fd, LOOP_WRITE, on_connected, l);
		return;
	}
	note_text(l, NOBODY, "no connection", strerror(errno));
	go_on(l);
}

/* A connection has ended, or none has begun yet. */
static void on_next(void *arg)
{
	struct line *l = arg;
	bool again = l->once_more && !is_final(l);

	leave(l);
	l->once_more = false;
	if (again) {
		try_here(l);
		return;
	}
	l->clear = false;
	if (is_final(l) || !advance(l))
		finish(l);
	else
		try_here(l);
}

/* ---- TLS ---- */

static bool is_may(const struct line *l)
{
	const struct route_host *h = host_of(l);

	if (!l->target->mx)
		return l->target->tls == OUTBOUND_TLS_MAY;
	return !h->verify && !h->dane.applies;
}

static void shake_hands(struct line *l)
{
	const struct route_host *h = host_of(l);
	const struct tls_dane dane = { .base = h->name,
		                       .also = l->route->domain,
		                       .records = h->dane.records,
		                       .count = h->dane.count };
	char ip[IP_TEXT];

	l->shaking = true;
	ip_format(ip, &h->ips[l->ip]);
	if (l->target->mx && h->dane.applies)
		conn_tls_connect_dane(l->conn, l->place->any, &dane, HANDSHAKE_MS);
	else if (is_may(l))
		conn_tls_connect(l->conn, l->place->any, h->name[0] ? h->name : NULL, HANDSHAKE_MS);
	else
		conn_tls_connect(l->conn, l->place->verified, h->name[0] ? h->name : ip,
		                 HANDSHAKE_MS);
}

static void on_starttls(void *app, struct smtp_client *c)
{
	(void)c;
	shake_hands(app);
}

static enum smtp_client_tls client_tls(const struct line *l)
{
	if (!l->target->mx && l->target->tls == OUTBOUND_TLS_WRAPPED)
		return SMTP_CLIENT_TLS_ON;
	if (l->clear)
		return SMTP_CLIENT_TLS_NEVER;
	return is_may(l) ? SMTP_CLIENT_TLS_MAY : SMTP_CLIENT_TLS_MUST;
}

static bool is_loopback(const struct ip *ip)
{
	struct cidr four, six;

	return cidr_parse(&four, slice_str("127.0.0.0/8"), false) &&
	       cidr_parse(&six, slice_str("::1/128"), false) &&
	       (cidr_contains(&four, ip) || cidr_contains(&six, ip));
}

/* Else a password would go out in the clear. */
static bool needs_tls(const struct line *l)
{
	return l->target->user && !is_loopback(&host_of(l)->ips[l->ip]);
}

static void make_client(struct line *l)
{
	l->config = (struct smtp_client_config) {
		.hostname = l->place->hostname,
		.lmtp = l->target->lmtp,
		.tls = client_tls(l),
		.user = l->target->user,
		.password = l->target->password,
		.auth_clear = is_loopback(&host_of(l)->ips[l->ip]),
	};
	l->client = smtp_client_new(&l->config, &client_ops, l);
}

/* ---- the connection ---- */

static size_t on_input(void *arg, struct slice bytes)
{
	struct line *l = arg;

	if (l->client)
		smtp_client_input(l->client, bytes);
	return bytes.len;
}

static struct slice on_output(void *arg)
{
	const struct line *l = arg;

	return l->client ? smtp_client_output(l->client) : slice_of(NULL, 0);
}

static void on_sent(void *arg, size_t n)
{
	struct line *l = arg;

	smtp_client_output_sent(l->client, n);
}

static void on_secured(void *arg)
{
	struct line *l = arg;

	l->shaking = false;
	(void)snprintf(l->tls, sizeof(l->tls), "%s", conn_tls_version(l->conn));
	if (l->client)
		smtp_client_tls_started(l->client);
	else
		make_client(l);
}

static void on_broken_handshake(struct line *l, const char *why)
{
	char text[SMTP_RESULT_TEXT];

	l->shaking = false;
	(void)snprintf(text, sizeof(text), "TLS with %s: %s", host_of(l)->name,
	               why ? why : "the server closed the connection");
	note_text(l, "4.7.5", "TLS", why ? why : "the server closed the connection");
	if (l->client && is_may(l) && !needs_tls(l)) {
		l->clear = true;
		l->once_more = true;
	} else if (l->client) {
		smtp_client_lost(l->client, "4.7.5", text);
	}
}

static void on_closed(void *arg, const char *why)
{
	struct line *l = arg;

	if (l->stage == SPEAKING && l->shaking)
		on_broken_handshake(l, why);
	else if (l->stage == SPEAKING && l->client)
		smtp_client_lost(l->client, "4.4.2",
		                 why ? why : "the server closed the connection");
	l->stage = LEAVING;
	go_on(l);
}

static void start_speaking(struct line *l)
{
	static const struct conn_ops ops = { .input = on_input,
		                             .output = on_output,
		                             .sent = on_sent,
		                             .secured = on_secured,
		                             .closed = on_closed };
	const struct route_host *h = host_of(l);
	char ip[IP_TEXT];

	ip_format(ip, &h->ips[l->ip]);
	(void)snprintf(l->name, sizeof(l->name), "%s", h->name[0] ? h->name : ip);
	l->tls[0] = 0;
	l->stage = SPEAKING;
	l->since_ms = clock_mono_ms();
	l->phase = PHASE_GREETING;
	l->conn = conn_new(l->place->loop, l->fd, &ops, l);
	l->fd = -1;
	if (!l->target->mx && l->target->tls == OUTBOUND_TLS_WRAPPED)
		shake_hands(l);
	else
		make_client(l);
}

/* ---- the conversation ---- */

static void on_ready(void *app, struct smtp_client *c)
{
	struct line *l = app;

	(void)c;
	l->ready = true;
	l->has_why = false;
	l->inside = true;
	l->ops->ready(l->arg, l);
	l->inside = false;
}

static void on_ended(void *app, struct smtp_client *c, const struct smtp_result *results,
                     size_t count)
{
	struct line *l = app;

	(void)c;
	l->inside = true;
	l->ops->ended(l->arg, l, results, count);
	l->inside = false;
}

static void on_over(void *app, struct smtp_client *c, const struct smtp_result *why)
{
	struct line *l = app;

	(void)c;
	if (why)
		note(l, why);
	if (l->stage == LEAVING) /* it is about a connection that has gone */
		return;
	l->stage = LEAVING;
	conn_finish(l->conn, LINGER_MS); /* on_closed comes behind it */
}

static const struct smtp_client_ops client_ops = { on_starttls, on_ready, on_ended, on_over };

static void on_kick(void *arg)
{
	struct line *l = arg;

	if (l->conn)
		conn_send(l->conn);
}

/* Not within the client's ops: it takes no input there, and the connection may have some. */
static void say(struct line *l)
{
	if (l->inside)
		loop_timer_set(l->kick, 0);
	else
		conn_send(l->conn);
}

void line_send(struct line *l, const struct smtp_client_mail *m)
{
	int64_t now = clock_mono_ms();

	l->due_ms = now + l->place->settings->deadline_ms;
	l->since_ms = now;
	l->steps_before = smtp_client_steps(l->client);
	smtp_client_send(l->client, m);
	say(l);
}

void line_quit(struct line *l)
{
	l->quitting = true;
	smtp_client_quit(l->client);
	say(l);
}

/* ---- deadlines ---- */

static int64_t most_of(enum smtp_client_phase phase)
{
	switch (phase) {
	case PHASE_BODY:
		return 180000;
	case PHASE_END:
		return 600000;
	case PHASE_TLS:
		return HANDSHAKE_MS;
	case PHASE_QUIT:
		return 2000;
	default:
		return 300000;
	}
}

/* Something moved since the last look. */
static bool moves(struct line *l, int64_t now)
{
	enum smtp_client_phase phase = smtp_client_phase(l->client);
	uint64_t steps = smtp_client_steps(l->client);
	uint64_t sent = smtp_client_body_sent(l->client);
	bool same = phase == l->phase && steps == l->steps && sent == l->sent;

	if (same)
		return false;
	l->phase = phase;
	l->steps = steps;
	l->sent = sent;
	l->since_ms = now;
	return true;
}

static void give_up(struct line *l, const char *why)
{
	if (l->client) {
		smtp_client_lost(l->client, "4.4.2", why);
		return;
	}
	note_text(l, NOBODY, why, NULL);
	l->stage = LEAVING;
	go_on(l);
}

static void look(struct line *l)
{
	int64_t now = clock_mono_ms();
	bool idle = l->client && smtp_client_phase(l->client) == PHASE_READY;

	if (l->stage != CONNECTING && l->stage != SPEAKING)
		return;
	if (!idle && now >= l->due_ms)
		give_up(l, "it took longer than send.deadline in all");
	else if (l->stage == CONNECTING && now - l->since_ms >= CONNECT_MS)
		give_up(l, "no connection in time");
	else if (l->client && !idle && !moves(l, now) && now - l->since_ms >= most_of(l->phase))
		give_up(l, "the server took too long to answer");
}

static void on_look(void *arg)
{
	struct line *l = arg;

	loop_timer_set(l->look, LOOK_MS);
	look(l);
}

/* ---- beginning and end ---- */

/* Whether that, too, is checked where a name must be: there is nothing to check it by. */
static bool lacks_trust(const struct line *l)
{
	return !l->place->verified && !l->target->mx && l->target->tls != OUTBOUND_TLS_MAY;
}

struct line *line_new(const struct line_place *p, const struct line_target *t, struct route *r,
                      const struct line_ops *ops, void *arg)
{
	struct line *l = mem_new(sizeof(*l));

	*l = (struct line) {
		.place = p, .target = t, .ops = ops, .arg = arg, .ip = SIZE_MAX, .fd = -1
	};
	l->route = route_ref(r);
	l->due_ms = clock_mono_ms() + p->settings->deadline_ms;
	l->look = loop_timer_new(p->loop, on_look, l);
	l->next = loop_timer_new(p->loop, on_next, l);
	l->kick = loop_timer_new(p->loop, on_kick, l);
	loop_timer_set(l->look, LOOK_MS);
	if (lacks_trust(l)) {
		route_end(&l->why, SMTP_SET_UP, 0, "5.7.5",
		          "there are no certificate authorities to check a server by: send.ca");
		l->has_why = true;
	}
	go_on(l);
	return l;
}

void line_free(struct line **at)
{
	struct line *l = *at;

	*at = NULL;
	if (!l)
		return;
	leave(l);
	loop_timer_free(&l->look);
	loop_timer_free(&l->next);
	loop_timer_free(&l->kick);
	route_free(&l->route);
	free(l);
}

bool line_was_ready(const struct line *l)
{
	return l->ready;
}

bool line_is_ready(const struct line *l)
{
	return l->stage == SPEAKING && l->client && smtp_client_phase(l->client) == PHASE_READY;
}

bool line_is_stale(const struct line *l)
{
	return smtp_client_steps(l->client) == l->steps_before;
}

const char *line_host(const struct line *l)
{
	return l->name;
}

const char *line_tls(const struct line *l)
{
	return l->tls;
}
