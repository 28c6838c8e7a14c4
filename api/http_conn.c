#include "api/http_conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http_exchange.h"
#include "api/http_head.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/conn.h"

#define HANDSHAKE_MS 10000
#define HEAD_MS      10000
#define IDLE_MS      60000
#define TICK_MS      1000   /* while an answer is taken */
#define LATE_TICKS   10     /* that its bytes may come later than at SLOW_RATE */
#define STILL_TICKS  30     /* without a byte of it taken */
#define CALL_MS      120000 /* mmd has been silent for so long */
#define LINGER_MS    2000
#define SLOW_RATE    65536     /* bytes of a body or an answer in a second, at least */
#define SMALL        65536     /* a body or an answer that there is always room for */
#define BODIES_MAX   134217728 /* 128 MiB of all longer bodies */
#define CALLS_MAX    33554432  /* of them, of calls from one network */
#define OUT_MOST     262144    /* of an answer that comes in parts */
#define OUTS_MAX     134217728 /* 128 MiB of all longer answers */

enum http_state {
	READING_HEAD,
	READING_BODY,
	WAITING,   /* for mmd */
	ANSWERING, /* in parts */
	LAST_PART, /* the answer is whole in `out` */
	FINISHING,
};

struct http_conn {
	struct http_conn *next, *prev;
	struct http_site *site;
	struct conn *conn;
	struct ip from;
	enum http_state state;
	struct buf in; /* the request, and what was sent ahead */
	struct http_head head;
	struct http_exchange *exchange;
	struct buf out;
	size_t sent;
	uint64_t owed;       /* of a body that comes in parts */
	uint64_t taken;      /* of this answer */
	unsigned ticks;      /* since it began */
	unsigned still;      /* of them, since a byte was taken */
	uint64_t body_bytes; /* that are counted in the site's */
	uint64_t out_bytes;  /* likewise */
	struct loop_timer *timer;
	bool last;
	bool held; /* the connection keeps what came while a request was under way */
};

/* ---- room for bodies and answers ---- */

static bool same_network(const struct ip *a, const struct ip *b)
{
	return a->family == b->family && memcmp(a->b, b->b, a->family == 6 ? 8 : 4) == 0;
}

/* A call's signature is judged when its body is there, a link's before: what nobody has to sign for
 * may not shut out others. */
static bool is_call(const struct http_conn *c)
{
	return c->head.method == HTTP_POST;
}

static uint64_t calls_from(const struct http_conn *asker)
{
	uint64_t bytes = 0;

	for (const struct http_conn *c = asker->site->connections; c; c = c->next)
		if (is_call(c) && same_network(&c->from, &asker->from))
			bytes += c->body_bytes;
	return bytes;
}

/* What all long bodies that are being read may take together. */
static bool take_room(struct http_conn *c)
{
	uint64_t bytes = c->head.body_bytes > SMALL ? c->head.body_bytes : 0;

	if (c->site->body_bytes + bytes > BODIES_MAX ||
	    (bytes && is_call(c) && calls_from(c) + bytes > CALLS_MAX))
		return false;
	c->body_bytes = bytes;
	c->site->body_bytes += bytes;
	return true;
}

/* An answer waits in memory until its reader took it, at his pace. */
bool http_conn_has_room(const struct http_conn *c, size_t bytes)
{
	return bytes <= SMALL || (bytes <= OUTS_MAX && c->site->out_bytes <= OUTS_MAX - bytes);
}

static void take_out_room(struct http_conn *c, size_t bytes)
{
	c->out_bytes = bytes > SMALL ? bytes : 0;
	c->site->out_bytes += c->out_bytes;
}

static void give_room(struct http_conn *c)
{
	c->site->body_bytes -= c->body_bytes;
	c->body_bytes = 0;
	c->site->out_bytes -= c->out_bytes;
	c->out_bytes = 0;
}

/* ---- the list ---- */

static void unlink_conn(struct http_conn *c)
{
	if (c->prev)
		c->prev->next = c->next;
	else
		c->site->connections = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->site->count--;
}

static void conn_end(struct http_conn *c)
{
	unlink_conn(c);
	give_room(c);
	http_exchange_free(&c->exchange);
	conn_free(&c->conn);
	loop_timer_free(&c->timer);
	buf_free(&c->in);
	buf_free(&c->out);
	free(c);
}

unsigned http_conns_from(const struct http_site *s, const struct ip *from)
{
	unsigned n = 0;

	for (const struct http_conn *c = s->connections; c; c = c->next)
		n += same_network(&c->from, from);
	return n;
}

const struct ip *http_conn_peer(const struct http_conn *c)
{
	return &c->from;
}

struct http_site *http_conn_site(const struct http_conn *c)
{
	return c->site;
}

/* ---- reading ---- */

static void finish(struct http_conn *c)
{
	c->state = FINISHING;
	loop_timer_clear(c->timer);
	conn_finish(c->conn, LINGER_MS);
}

/* Refused before anybody could ask for anything: for a person who reads it. */
static void refuse(struct http_conn *c, unsigned status, const char *why)
{
	char text[200];
	int n = snprintf(text, sizeof(text), "%s\n", why);
	struct http_answer a = { .status = status,
		                 .type = "text/plain",
		                 .body = slice_of(text, (size_t)n),
		                 .last = true };

	http_conn_answer(c, &a);
}

static size_t request_bytes(const struct http_conn *c)
{
	return c->head.head_bytes + (size_t)c->head.body_bytes;
}

/* Everything of the request is there; bytes may have moved since its head was read. */
static void run_request(struct http_conn *c)
{
	struct slice all = slice_part(buf_slice(&c->in), 0, request_bytes(c));
	enum http_step step;

	http_head_init(&c->head, LIMIT_HTTP_BODY);
	step = http_head_read(&c->head, all);
	MUST(step == HTTP_WHOLE);
	c->state = WAITING;
	loop_timer_set(c->timer, CALL_MS);
	http_exchange_run(c->exchange, &c->head, slice_from(all, c->head.head_bytes));
}

/* What came in the meantime is shown again, in a round of its own: here it could be in a callback
 * of the connection. */
static void set_reading_timer(struct http_conn *c)
{
	int64_t ms = c->in.len ? HEAD_MS : IDLE_MS;

	if (c->state == READING_BODY)
		ms += (int64_t)(c->head.body_bytes * 1000 / SLOW_RATE);
	loop_timer_set(c->timer, c->held ? 0 : ms);
}

static void begin_request(struct http_conn *c)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	bool whole = c->in.len >= request_bytes(c);
	struct http_exchange *x;

	c->state = WAITING;
	/* When it is refused here, a body that comes yet would be taken for a request. */
	c->last = !whole;
	x = http_exchange_new(c, &c->head);
	if (!x)
		return;
	c->exchange = x;
	if (!take_room(c)) {
		http_exchange_free(&c->exchange);
		refuse(c, 503, "too many requests with large bodies; try again");
		return;
	}
	c->last = false;
	if (whole) {
		run_request(c);
		return;
	}
	c->state = READING_BODY;
	set_reading_timer(c);
	if (c->head.wants_100 && buf_add(&c->out, slice_str(go_on)) != RC_OK)
		finish(c);
}

static void read_on(struct http_conn *c)
{
	enum http_step step;

	if (c->state == READING_BODY) {
		if (c->in.len >= request_bytes(c))
			run_request(c);
		return;
	}
	if (c->state != READING_HEAD)
		return;
	step = http_head_read(&c->head, buf_slice(&c->in));
	if (step == HTTP_REFUSED)
		refuse(c, c->head.status, c->head.why);
	else if (step == HTTP_WHOLE)
		begin_request(c);
}

static size_t on_input(void *arg, struct slice bytes)
{
	struct http_conn *c = arg;
	bool first = c->in.len == 0;

	if (c->state != READING_HEAD && c->state != READING_BODY) {
		c->held = true;
		return 0;
	}
	if (buf_add(&c->in, bytes) != RC_OK) {
		refuse(c, 413, "the request is too large");
		return bytes.len;
	}
	if (first)
		loop_timer_set(c->timer, HEAD_MS);
	read_on(c);
	return bytes.len;
}

static void next_request(struct http_conn *c)
{
	size_t done = request_bytes(c);
	struct slice ahead = slice_from(buf_slice(&c->in), done);

	http_exchange_free(&c->exchange);
	give_room(c);
	if (c->out.room > SMALL)
		buf_free(&c->out);
	memmove(c->in.at, ahead.at, ahead.len);
	c->in.len = ahead.len;
	if (!c->in.len)
		buf_free(&c->in); /* it keeps its limit, not its room */
	http_head_init(&c->head, LIMIT_HTTP_BODY);
	c->state = READING_HEAD;
	set_reading_timer(c);
	if (c->in.len)
		read_on(c);
}

/* ---- writing ---- */

static const char *reason(unsigned status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 429:
		return "Too Many Requests";
	case 500:
		return "Internal Server Error";
	case 503:
		return "Service Unavailable";
	default:
		return status < 500 ? "Refused" : "Failed";
	}
}

/* The whole answer was sent. */
static void answered(struct http_conn *c)
{
	if (c->last)
		finish(c);
	else
		next_request(c);
}

/* RFC 9110 section 5.6.7; SDKs whose clock is wrong go by it. */
static enum rc write_date(struct buf *out)
{
	static const char days[] = "Sun Mon Tue Wed Thu Fri Sat";
	static const char months[] = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";
	int64_t now = clock_now_ms() / 1000;
	int64_t day = now / 86400;
	unsigned second = (unsigned)(now % 86400);
	int64_t year;
	unsigned month, monthday;

	civil_from_days(day, &year, &month, &monthday);
	return buf_addf(out, "Date: %.3s, %02u %.3s %04lld %02u:%02u:%02u GMT\r\n",
	                days + (day + 4) % 7 * 4, monthday, months + (size_t)(month - 1) * 4,
	                (long long)year, second / 3600, second / 60 % 60, second % 60);
}

static enum rc write_head(struct http_conn *c, const struct http_answer *a)
{
	uint64_t bytes = a->bytes ? a->bytes : a->body.len;
	enum rc rc = buf_addf(&c->out,
	                      "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %llu\r\n"
	                      "Cache-Control: no-store\r\n%s%s",
	                      a->status, reason(a->status), a->type, (unsigned long long)bytes,
	                      a->more ? a->more : "", c->last ? "Connection: close\r\n" : "");

	if (rc == RC_OK)
		rc = write_date(&c->out);
	if (rc == RC_OK && a->error)
		rc = buf_addf(&c->out, "x-amzn-errortype: %s\r\n", a->error);
	return rc == RC_OK ? buf_addf(&c->out, "\r\n") : rc;
}

void http_conn_answer(struct http_conn *c, const struct http_answer *a)
{
	bool body = c->head.method != HTTP_HEAD; /* whatever the answer, RFC 9110 section 9.3.2 */

	MUST(c->state == READING_HEAD || c->state == READING_BODY || c->state == WAITING);
	c->last |= a->last || c->head.close || c->site->stopping;
	take_out_room(c, a->body.len);
	if (write_head(c, a) != RC_OK || (body && buf_add(&c->out, a->body) != RC_OK)) {
		finish(c);
		return;
	}
	c->owed = body ? a->bytes : 0;
	c->state = c->owed ? ANSWERING : LAST_PART;
	c->taken = 0;
	c->ticks = 0;
	c->still = 0;
	loop_timer_set(c->timer, TICK_MS);
	conn_send(c->conn);
}

size_t http_conn_more(struct http_conn *c, struct slice bytes)
{
	size_t waiting = c->out.len - c->sent;
	size_t n = waiting < OUT_MOST ? MIN_OF(bytes.len, OUT_MOST - waiting) : 0;

	if (c->state != ANSWERING)
		return bytes.len;
	if (bytes.len > c->owed) { /* more than was announced: nothing good can follow */
		http_conn_end(c, false);
		return bytes.len;
	}
	if (n && buf_add(&c->out, slice_part(bytes, 0, n)) != RC_OK)
		return 0;
	c->owed -= n;
	if (n)
		conn_send(c->conn);
	return n;
}

void http_conn_end(struct http_conn *c, bool whole)
{
	if (c->state != ANSWERING)
		return;
	c->state = LAST_PART;
	/* The peer sees that bytes are missing by the length that was announced. */
	if (!whole || c->owed)
		finish(c);
	else
		conn_send(c->conn);
}

/* The next request begins in a callback of the connection only: what answers it is sent behind
 * that, not inside. */
static struct slice on_output(void *arg)
{
	struct http_conn *c = arg;

	if (c->state == LAST_PART && !c->out.len)
		answered(c); /* nothing was left that on_sent would tell of */
	return slice_from(buf_slice(&c->out), c->sent);
}

static void on_sent(void *arg, size_t n)
{
	struct http_conn *c = arg;

	c->sent += n;
	c->taken += n;
	c->still = 0;
	if (c->sent < c->out.len)
		return;
	buf_clear(&c->out);
	c->sent = 0;
	if (c->state == ANSWERING)
		http_exchange_resume(c->exchange);
	else if (c->state == LAST_PART)
		answered(c);
}

/* ---- its life ---- */

static void on_closed(void *arg, const char *why)
{
	(void)why;
	conn_end(arg);
}

/* Who takes an answer too slowly has the rest no more: neither lanes nor memory wait for him. Ticks
 * are counted, not time, so that what holds up this loop is not held against him. */
static bool reader_is_slow(struct http_conn *c)
{
	c->ticks++;
	c->still++;
	return c->still > STILL_TICKS ||
	       c->taken + (uint64_t)LATE_TICKS * SLOW_RATE < (uint64_t)c->ticks * SLOW_RATE;
}

static void on_timer(void *arg)
{
	struct http_conn *c = arg;
	bool answering = c->state == ANSWERING || c->state == LAST_PART;

	if (c->held && (c->state == READING_HEAD || c->state == READING_BODY)) {
		c->held = false;
		set_reading_timer(c);
		conn_resume(c->conn);
	} else if (c->state == WAITING) {
		http_exchange_free(&c->exchange);
		refuse(c, 503, "the answer takes too long");
	} else if (c->state == READING_BODY || (c->state == READING_HEAD && c->in.len)) {
		refuse(c, 408, "the request takes too long");
	} else if (answering && !reader_is_slow(c)) {
		loop_timer_set(c->timer, TICK_MS);
	} else {
		conn_end(c);
	}
}

void http_conn_start(struct http_site *s, int fd, const struct ip *from)
{
	static const struct conn_ops ops = { .input = on_input,
		                             .output = on_output,
		                             .sent = on_sent,
		                             .closed = on_closed,
		                             .hangup_ends = true };
	struct http_conn *c = mem_new(sizeof(*c));

	c->site = s;
	c->from = *from;
	c->next = s->connections;
	if (c->next)
		c->next->prev = c;
	s->connections = c;
	s->count++;
	buf_init(&c->in, (size_t)LIMIT_HTTP_BODY + LIMIT_HTTP_HEAD + LOOP_SCRATCH);
	buf_init(&c->out, (size_t)64 << 20);
	http_head_init(&c->head, LIMIT_HTTP_BODY);
	c->timer = loop_timer_new(s->loop, on_timer, c);
	loop_timer_set(c->timer, HEAD_MS);
	c->conn = conn_new(s->loop, fd, &ops, c);
	if (s->tls)
		conn_tls_accept(c->conn, s->tls, HANDSHAKE_MS);
}

void http_conns_stop(struct http_site *s)
{
	struct http_conn *next;

	s->stopping = true;
	for (struct http_conn *c = s->connections; c; c = next) {
		next = c->next;
		c->last = true;
		if (c->state == READING_HEAD)
			conn_end(c);
	}
}

void http_conns_free(struct http_site *s)
{
	while (s->connections)
		conn_end(s->connections);
}
