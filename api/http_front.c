#include "api/http_front.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/http_wire.h"
#include "base/channel.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/listen.h"
#include "base/log.h"

#define STOP_MS   10000
#define KILL_MS   2000
#define SEND_ROOM 131072 /* bytes that the kernel keeps for a client that doesn't read */

/* Who waits for mm-httpd to have come to a mark. */
struct mark {
	struct mark *next;
	uint64_t number;
	void (*done)(void *arg);
	void *arg;
};

struct http_front {
	struct loop *loop;
	struct request_server *requests;
	const struct http_front_ops *ops;
	void *arg;
	char *program;
	int fd;                  /* of the listener */
	struct child *child;     /* NULL before the first keys */
	struct channel *channel; /* NULL while no mm-httpd runs */
	struct buf config;       /* the last HTTP_WIRE_CONFIG and HTTP_WIRE_KEYS */
	struct buf keys;
	char *link_secret;
	int64_t began_ms; /* no mm-httpd before this one took a call after that time */
	unsigned max_connections;
	unsigned max_per_address;
	unsigned lanes_wanted; /* asked for by this mm-httpd, not given */
	struct mark *marks;
	uint64_t last_mark;
	struct loop_timer *killer; /* of an mm-httpd that closed its channel and stays */
	bool gave_up;              /* this mm-httpd has said so */
	bool stopping;
};

/* --- to mm-httpd --- */

static void to_child(struct http_front *f, unsigned type, struct slice body, const int *fd)
{
	struct err e;

	if (!f->channel)
		return; /* the next one gets everything at its start */
	if (channel_send(f->channel, type, body, fd, fd ? 1 : 0, &e) == RC_OK)
		return;
	log_error("mm-httpd: %s", e.text);
	child_kill(f->child);
}

static void send_number(struct http_front *f, unsigned type, uint64_t number)
{
	uint8_t body[8] = { 0 };

	put_le64(body, number);
	to_child(f, type, slice_of(body, sizeof(body)), NULL);
}

static void send_mark(struct http_front *f)
{
	send_number(f, HTTP_WIRE_MARK, f->last_mark);
}

static void send_everything(struct http_front *f)
{
	to_child(f, HTTP_WIRE_CONFIG, buf_slice(&f->config), NULL);
	send_number(f, HTTP_WIRE_BEGAN, (uint64_t)f->began_ms);
	to_child(f, HTTP_WIRE_KEYS, buf_slice(&f->keys), NULL);
	to_child(f, HTTP_WIRE_LISTENER, slice_of(NULL, 0), &f->fd);
	send_mark(f);
}

/* --- from mm-httpd, which may say anything --- */

static void give_lane(struct http_front *f)
{
	int ends[2];

	f->lanes_wanted--;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) {
		log_error("mm-httpd can't be given a lane: %s", strerror(errno));
		child_kill(f->child);
		return;
	}
	request_server_adopt(f->requests, ends[0]);
	to_child(f, HTTP_WIRE_LANE, slice_of(NULL, 0), &ends[1]);
	(void)close(ends[1]);
}

/* Those that were asked for, as far as the server is through with the ones before: what mm-httpd,
 * or its client, gave up may still be under way there. */
static void give_lanes(void *arg)
{
	struct http_front *f = arg;

	while (f->lanes_wanted && f->channel &&
	       request_server_room(f->requests, HTTP_WIRE_LANES, give_lanes, f))
		give_lane(f);
}

static bool on_need_lane(struct http_front *f)
{
	if (f->lanes_wanted >= HTTP_WIRE_LANES)
		return false;
	f->lanes_wanted++;
	give_lanes(f);
	return true;
}

static bool on_marked(struct http_front *f, struct slice body)
{
	struct reader r = reader_over(body);
	uint64_t number = read_u64(&r);

	if (!r.ok || r.rest.len || number > f->last_mark)
		return false;
	while (f->marks && f->marks->number <= number) {
		struct mark *m = f->marks;

		f->marks = m->next;
		if (m->done)
			m->done(m->arg);
		free(m);
	}
	return true;
}

static bool on_failed(struct http_front *f, struct slice body)
{
	if (f->gave_up)
		return false;
	f->gave_up = true;
	log_error("mm-httpd gives up: %.*s", (int)MIN_OF(body.len, 400U), (const char *)body.at);
	return true;
}

static bool take_message(struct http_front *f, unsigned type, struct slice body)
{
	switch (type) {
	case HTTP_WIRE_NEED_LANE:
		return on_need_lane(f);
	case HTTP_WIRE_MARKED:
		return on_marked(f, body);
	case HTTP_WIRE_FAILED:
		return on_failed(f, body);
	}
	return false;
}

static void on_message(void *arg, unsigned type, struct slice body, int *fds, size_t nfds)
{
	struct http_front *f = arg;

	(void)fds;
	if (nfds == 0 && take_message(f, type, body))
		return;
	log_error("mm-httpd says nonsense (type %u, %zu bytes): it is ended", type, body.len);
	child_kill(f->child);
}

static void on_channel_closed(void *arg, const char *why)
{
	struct http_front *f = arg;

	(void)why; /* how the child ended tells more */
	channel_free(&f->channel);
	if (!f->stopping)
		loop_timer_set(f->killer, KILL_MS);
}

static void on_killer(void *arg)
{
	struct http_front *f = arg;

	if (f->child)
		child_kill(f->child);
	else
		f->ops->stopped(f->arg); /* there never was one */
}

/* --- the child --- */

static enum rc on_start(void *arg, struct child_start *s, struct err *e)
{
	static const struct channel_ops ops = { .message = on_message,
		                                .closed = on_channel_closed };
	struct http_front *f = arg;
	int ends[2];
	enum rc rc = channel_pair(ends, e);

	if (rc != RC_OK)
		return rc;
	s->fds[0].fd = ends[1];
	s->fds[0].at = HTTP_WIRE_FD;
	s->nfds = 1;
	f->channel = channel_new(f->loop, ends[0], HTTP_WIRE_NEWS_MAX, &ops, f);
	f->lanes_wanted = 0;
	f->gave_up = false;
	send_everything(f);
	return RC_OK;
}

static void on_ended(void *arg, const char *how, int64_t again_ms)
{
	struct http_front *f = arg;

	f->began_ms = clock_now_ms();
	channel_free(&f->channel);
	loop_timer_clear(f->killer);
	if (again_ms < 0)
		f->ops->stopped(f->arg);
	else
		log_warn("mm-httpd ended: %s; it is started again in %lld ms", how,
		         (long long)again_ms);
}

/* --- configuration --- */

static enum rc write_config(struct http_front *f, const struct tls_cert *certs, size_t count,
                            struct err *e)
{
	json_t *all = json_object();
	json_t *list = json_array();
	struct tls_context *checked = NULL;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < count; i++) {
		json_t *one = json_object();

		json_put_text(one, "chain", certs[i].chain);
		json_put_text(one, "key", certs[i].key);
		json_push(list, one);
	}
	json_put(all, "certs", list);
	json_put_text(all, "link_secret", slice_str(f->link_secret));
	json_put_int(all, "max_connections", f->max_connections);
	json_put_int(all, "max_per_address", f->max_per_address);
	if (count)
		rc = tls_server_new(&checked, certs, count, slice_str("api"), e);
	if (rc != RC_OK)
		(void)err_in(e, "api.tls_cert, api.tls_key");
	tls_context_free(&checked);
	if (rc == RC_OK) {
		buf_clear(&f->config);
		rc = json_write(&f->config, all);
		if (rc != RC_OK)
			(void)err_set(e, rc, "the certificates are too long");
	}
	json_decref(all);
	return rc;
}

enum rc http_front_certs(struct http_front *f, const struct tls_cert *certs, size_t count,
                         struct err *e)
{
	enum rc rc = write_config(f, certs, count, e);

	if (rc == RC_OK)
		to_child(f, HTTP_WIRE_CONFIG, buf_slice(&f->config), NULL);
	return rc;
}

static void add_mark(struct http_front *f, void (*done)(void *arg), void *arg)
{
	struct mark *m = mem_new(sizeof(*m));
	struct mark **at = &f->marks;

	m->number = ++f->last_mark;
	m->done = done;
	m->arg = arg;
	while (*at)
		at = &(*at)->next;
	*at = m;
}

enum rc http_front_keys(struct http_front *f, const json_t *keys, void (*done)(void *arg),
                        void *arg, struct err *e)
{
	static const struct child_ops ops = { .start = on_start, .ended = on_ended };

	buf_clear(&f->keys);
	if (json_write(&f->keys, keys) != RC_OK)
		return err_set(e, RC_LIMIT, "too many access keys");
	add_mark(f, done, arg);
	to_child(f, HTTP_WIRE_KEYS, buf_slice(&f->keys), NULL);
	send_mark(f);
	if (!f->child)
		f->child = child_new(f->loop, f->program, &ops, f);
	return RC_OK;
}

/* --- the whole --- */

static enum rc listen_at(const char *text, int *fd, struct err *e)
{
	static const int room = SEND_ROOM;
	struct ip ip;
	uint16_t port;
	enum rc rc;

	if (!ip_port_parse(&ip, &port, slice_str(text)))
		return err_set(e, RC_INVALID,
		               "configuration: api.listen: \"%.100s\" is not ADDRESS:PORT, such as "
		               "127.0.0.1:8025",
		               text);
	rc = listen_tcp(fd, &ip, port, e);
	if (rc != RC_OK)
		return err_in(e, "api.listen %s", text);
	/* Connections have it from their listener. */
	if (setsockopt(*fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) < 0)
		log_warn("api.listen %s: %s", text, strerror(errno));
	return RC_OK;
}

enum rc http_front_new(struct http_front **out, struct loop *l, struct request_server *requests,
                       const struct http_front_options *opt, const struct http_front_ops *ops,
                       void *arg, struct err *e)
{
	struct http_front *f;
	int fd = -1;
	enum rc rc = listen_at(opt->listen, &fd, e);

	*out = NULL;
	if (rc != RC_OK)
		return rc;
	f = mem_new(sizeof(*f));
	f->loop = l;
	f->requests = requests;
	f->ops = ops;
	f->arg = arg;
	f->fd = fd;
	f->program = mem_string(opt->program ? opt->program : "mm-httpd");
	f->link_secret = slice_string(opt->link_secret);
	f->began_ms = opt->began_ms;
	f->max_connections = opt->max_connections ? opt->max_connections : 256;
	f->max_per_address = opt->max_per_address ? opt->max_per_address : 64;
	buf_init(&f->config, HTTP_WIRE_CONFIG_MAX);
	buf_init(&f->keys, HTTP_WIRE_CONFIG_MAX);
	f->killer = loop_timer_new(l, on_killer, f);
	rc = write_config(f, opt->certs, opt->cert_count, e);
	if (rc == RC_OK)
		*out = f;
	else
		http_front_free(&f);
	return rc;
}

void http_front_stop(struct http_front *f)
{
	if (f->stopping)
		return;
	f->stopping = true;
	if (!f->child) {
		loop_timer_set(f->killer, 0);
		return;
	}
	to_child(f, HTTP_WIRE_STOP, slice_of(NULL, 0), NULL);
	child_stop(f->child, -1, STOP_MS);
}

void http_front_free(struct http_front **at)
{
	struct http_front *f = *at;

	if (!f)
		return;
	*at = NULL;
	channel_free(&f->channel);
	child_free(&f->child);
	(void)close(f->fd);
	while (f->marks) {
		struct mark *m = f->marks;

		f->marks = m->next;
		free(m);
	}
	loop_timer_free(&f->killer);
	buf_free(&f->config);
	buf_free(&f->keys);
	free(f->program);
	free(f->link_secret);
	free(f);
}

unsigned http_front_restarts(const struct http_front *f)
{
	return f->child ? child_restarts(f->child) : 0;
}
