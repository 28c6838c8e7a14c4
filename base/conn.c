#include "base/conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"

#define ROUNDS    4       /* batches of one connection before others have their turn */
#define DROPPED   1048576 /* bytes that are read and dropped while lingering */
#define FINISH_MS 10000   /* a peer that doesn't read the last reply */

enum state {
	OPEN,
	BEFORE_TLS, /* output first, then the handshake */
	HANDSHAKE,
	FINISHING, /* output first, then FIN */
	LINGERING,
	CLOSED,
};

struct conn {
	struct loop *loop;
	int fd;
	enum state state;
	struct loop_watch *watch;
	struct loop_timer *timer; /* of the handshake, or the end */
	const struct conn_ops *ops;
	void *arg;
	struct tls *tls;
	struct buf kept;
	int64_t linger_ms;
	size_t dropped;
	bool secured;
	bool readable; /* the descriptor may have more; edges don't come twice */
	bool hangup;   /* the peer closed its side: read on to the end, also after a short read */
	bool held;     /* the owner didn't take all */
	bool stuck;    /* output waits for the socket */
	bool busy;     /* drive is running */
	bool freed;
};

static void release(struct conn *c)
{
	buf_free(&c->kept);
	free(c);
}

static void shut(struct conn *c)
{
	loop_watch_free(&c->watch);
	loop_timer_free(&c->timer);
	tls_free(&c->tls);
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
	c->state = CLOSED;
}

static void end(struct conn *c, const char *why)
{
	char text[200] = "";

	if (c->state == CLOSED)
		return;
	if (why) /* it may lie in what shut frees */
		(void)snprintf(text, sizeof(text), "%s", why);
	shut(c);
	if (!c->freed)
		c->ops->closed(c->arg, why ? text : NULL);
}

static void set_stuck(struct conn *c, bool stuck)
{
	unsigned when = LOOP_READ | LOOP_EDGE | LOOP_HANGUP;

	c->stuck = stuck;
	loop_watch_set(c->watch, stuck ? when | LOOP_WRITE : when);
}

/* --- output --- */

/* One write. True: *n bytes went; false: it would block (c->stuck), or the connection ended. */
static bool write_some(struct conn *c, struct slice s, size_t *n)
{
	if (c->tls && c->state != BEFORE_TLS) {
		enum tls_io r = tls_write(c->tls, s, n);

		if (r == TLS_DONE)
			return true;
		if (r == TLS_WANT_READ || r == TLS_WANT_WRITE)
			set_stuck(c, true);
		else
			end(c, r == TLS_CLOSED ? "the peer has gone" : tls_reason(c->tls));
		return false;
	}
	ssize_t got = send(c->fd, s.at, s.len, MSG_NOSIGNAL);

	if (got >= 0) {
		*n = (size_t)got;
		return true;
	}
	if (errno == EAGAIN)
		set_stuck(c, true);
	else if (errno != EINTR)
		end(c, strerror(errno));
	return false;
}

/* True when nothing is left to send. */
static bool write_out(struct conn *c)
{
	while (c->state != CLOSED) {
		struct slice s = c->ops->output(c->arg);
		size_t n = 0;

		if (!s.len) {
			set_stuck(c, false);
			return true;
		}
		if (!write_some(c, s, &n))
			return false;
		c->ops->sent(c->arg, n);
	}
	return false;
}

/* --- input --- */

static void feed_kept(struct conn *c)
{
	size_t n = c->ops->input(c->arg, buf_slice(&c->kept));

	if (c->state == BEFORE_TLS || c->state == CLOSED || c->state == FINISHING)
		n = c->kept.len; /* nobody will take it any more */
	MUST(n <= c->kept.len);
	buf_drop(&c->kept, n);
	c->held = c->kept.len > 0;
	if (!c->held)
		buf_free(&c->kept);
}

static void feed(struct conn *c, struct slice bytes)
{
	size_t n = c->ops->input(c->arg, bytes);

	if (c->state != OPEN)
		return; /* what was read in the clear before a handshake goes no further */
	MUST(n <= bytes.len);
	if (n == bytes.len)
		return;
	c->held = true;
	MUST(buf_add(&c->kept, slice_from(bytes, n)) == RC_OK);
}

/* Fills `to` with what is there; *why is set, and the result false, when there was an end of input
 * behind it. */
static bool read_tls(struct conn *c, uint8_t *to, size_t *n, const char **why)
{
	while (*n < LOOP_SCRATCH) {
		size_t got = 0;
		enum tls_io r = tls_read(c->tls, to + *n, LOOP_SCRATCH - *n, &got);

		*n += got;
		if (r == TLS_DONE)
			continue;
		c->readable = r == TLS_WANT_WRITE;
		if (c->readable)
			set_stuck(c, true);
		if (r == TLS_FAILED)
			*why = tls_reason(c->tls);
		return r == TLS_WANT_READ || r == TLS_WANT_WRITE;
	}
	return true;
}

static bool read_plain(struct conn *c, uint8_t *to, size_t *n, const char **why)
{
	ssize_t got = recv(c->fd, to, LOOP_SCRATCH, 0);

	if (got > 0) {
		*n = (size_t)got;
		if (*n < LOOP_SCRATCH && !c->hangup)
			c->readable = false; /* drained; the next byte makes a new edge */
		return true;
	}
	if (got < 0 && errno == EINTR)
		return true;
	c->readable = false;
	if (got < 0 && errno == EAGAIN)
		return true;
	*why = got < 0 ? strerror(errno) : NULL;
	return false;
}

/* One batch in, its replies out. */
static void read_batch(struct conn *c)
{
	uint8_t *to = loop_scratch(c->loop);
	const char *why = NULL;
	size_t n = 0;
	bool on = c->tls ? read_tls(c, to, &n, &why) : read_plain(c, to, &n, &why);

	if (n)
		feed(c, slice_of(to, n));
	if (c->state == OPEN)
		(void)write_out(c);
	if (on || c->state != OPEN)
		return;
	if (c->held) {
		c->readable = true; /* the end comes again when the owner took what was before it */
		return;
	}
	end(c, why);
}

/* --- the states --- */

static void run_open(struct conn *c)
{
	for (int i = 0; c->state == OPEN && !c->held && !c->stuck && c->readable; i++) {
		if (i == ROUNDS) {
			loop_watch_again(c->watch, LOOP_READ);
			return;
		}
		read_batch(c);
	}
	if (c->state == OPEN && c->held && c->hangup && c->ops->hangup_ends)
		end(c, NULL);
}

static void run_handshake(struct conn *c)
{
	enum tls_io r = tls_handshake(c->tls);

	if (r == TLS_WANT_READ || r == TLS_WANT_WRITE) {
		set_stuck(c, r == TLS_WANT_WRITE);
		return;
	}
	if (r != TLS_DONE) {
		end(c, r == TLS_CLOSED ? "the peer has gone" : tls_reason(c->tls));
		return;
	}
	loop_timer_free(&c->timer);
	set_stuck(c, false);
	c->state = OPEN;
	c->secured = true;
	c->readable = true;
	if (c->ops->secured)
		c->ops->secured(c->arg);
	if (c->state == OPEN)
		(void)write_out(c);
}

static void run_finishing(struct conn *c)
{
	if (c->tls && !c->secured) { /* neither in the clear nor sealed can anything be said */
		end(c, NULL);
		return;
	}
	if (!write_out(c))
		return;
	if (c->tls)
		tls_notify_close(c->tls);
	if (!c->linger_ms || shutdown(c->fd, SHUT_WR) < 0) {
		end(c, NULL);
		return;
	}
	c->state = LINGERING;
	c->readable = true;
	loop_timer_set(c->timer, c->linger_ms);
}

static void run_lingering(struct conn *c)
{
	for (;;) {
		ssize_t n = recv(c->fd, loop_scratch(c->loop), LOOP_SCRATCH, 0);

		if (n < 0 && errno == EAGAIN)
			return;
		c->dropped += n > 0 ? (size_t)n : 0;
		if (n == 0 || (n < 0 && errno != EINTR) || c->dropped > DROPPED) {
			end(c, NULL);
			return;
		}
	}
}

static void step(struct conn *c)
{
	switch (c->state) {
	case OPEN:
		if (!c->held && c->kept.len)
			feed_kept(c);
		if (c->state == OPEN && write_out(c))
			run_open(c);
		break;
	case BEFORE_TLS:
		if (write_out(c))
			c->state = HANDSHAKE;
		break;
	case HANDSHAKE:
		run_handshake(c);
		break;
	case FINISHING:
		run_finishing(c);
		break;
	case LINGERING:
		run_lingering(c);
		break;
	case CLOSED:
		break;
	}
}

/* Runs until the state stays as it is. */
static void drive(struct conn *c)
{
	enum state before;

	if (c->busy || c->state == CLOSED)
		return;
	c->busy = true;
	do {
		before = c->state;
		step(c);
	} while (c->state != before && c->state != CLOSED);
	c->busy = false;
	if (c->freed)
		release(c);
}

static void on_ready(void *arg, unsigned what)
{
	struct conn *c = arg;

	if (what & (LOOP_READ | LOOP_HANGUP))
		c->readable = true;
	if (what & LOOP_HANGUP)
		c->hangup = true;
	c->stuck = false; /* an edge of either kind may be what TLS waits for */
	drive(c);
}

static void on_late(void *arg)
{
	struct conn *c = arg;

	c->busy = true;
	end(c,
	    c->state == HANDSHAKE || c->state == BEFORE_TLS ? "the handshake took too long" : NULL);
	c->busy = false;
	if (c->freed)
		release(c);
}

/* --- calls of the owner --- */

struct conn *conn_new(struct loop *l, int fd, const struct conn_ops *ops, void *arg)
{
	struct conn *c = mem_new(sizeof(*c));

	c->loop = l;
	c->fd = fd;
	c->ops = ops;
	c->arg = arg;
	buf_init(&c->kept, CONN_KEPT);
	c->watch = loop_watch_new(l, fd, LOOP_READ | LOOP_EDGE | LOOP_HANGUP, on_ready, c);
	return c;
}

void conn_free(struct conn **at)
{
	struct conn *c = *at;

	if (!c)
		return;
	*at = NULL;
	c->freed = true;
	shut(c);
	if (!c->busy)
		release(c);
}

void conn_send(struct conn *c)
{
	if (!c->busy && !c->stuck && c->state == OPEN)
		drive(c);
}

void conn_resume(struct conn *c)
{
	if (c->busy)
		return;
	c->held = false;
	drive(c);
}

static void set_deadline(struct conn *c, int64_t ms)
{
	if (!c->timer)
		c->timer = loop_timer_new(c->loop, on_late, c);
	loop_timer_set(c->timer, ms);
}

void conn_finish(struct conn *c, int64_t linger_ms)
{
	if (c->state == FINISHING || c->state == LINGERING || c->state == CLOSED)
		return;
	c->linger_ms = linger_ms;
	c->state = FINISHING;
	set_deadline(c, FINISH_MS);
	drive(c);
}

static void start_tls(struct conn *c, struct tls *t, int64_t deadline_ms)
{
	MUST(c->state == OPEN && !c->tls);
	buf_free(&c->kept);
	c->held = false;
	c->tls = t;
	c->state = BEFORE_TLS;
	set_deadline(c, deadline_ms);
	drive(c);
}

void conn_tls_accept(struct conn *c, struct tls_context *t, int64_t deadline_ms)
{
	start_tls(c, tls_server(t, c->fd), deadline_ms);
}

void conn_tls_connect(struct conn *c, struct tls_context *t, const char *host, int64_t deadline_ms)
{
	start_tls(c, tls_client(t, c->fd, host), deadline_ms);
}

void conn_tls_connect_dane(struct conn *c, struct tls_context *t, const struct tls_dane *d,
                           int64_t deadline_ms)
{
	start_tls(c, tls_client_dane(t, c->fd, d), deadline_ms);
}

const char *conn_tls_version(const struct conn *c)
{
	return c->secured && c->tls ? tls_version(c->tls) : NULL;
}

const char *conn_tls_cipher(const struct conn *c)
{
	return c->secured && c->tls ? tls_cipher(c->tls) : NULL;
}

bool conn_sends(const struct conn *c)
{
	return c->stuck;
}

enum rc conn_tls_peer(const struct conn *c, struct buf *der)
{
	return c->secured && c->tls ? tls_peer(c->tls, der) : RC_OK;
}
