#include "api/httpd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "api/http_conn.h"
#include "api/http_wire.h"
#include "base/channel.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "store/crypt.h"

#define ACCEPTS    64   /* before other work has its turn */
#define REST_MS    200  /* how long accepting rests when descriptors have run out */
#define REFUSED_MS 5000 /* between two reports of who was refused */
#define STOP_MS    5000 /* for answers that are under way */
#define MOST_CERTS 64

struct httpd {
	struct loop *loop;
	struct channel *channel;
	struct http_site site;
	int fd; /* of the listener */
	struct loop_watch *watch;
	struct loop_timer *rest;
	struct loop_timer *report;
	struct http_call *telling; /* who was refused */
	struct loop_timer *stop;
	unsigned max_connections;
	unsigned max_per_address;
	bool failed;
};

/* --- to mmd --- */

static void tell(struct httpd *d, unsigned type, struct slice body)
{
	struct err e;

	if (channel_send(d->channel, type, body, NULL, 0, &e) != RC_OK) {
		log_error("mmd can't be told: %s", e.text);
		_exit(1);
	}
}

static void need_lane(void *arg)
{
	tell(arg, HTTP_WIRE_NEED_LANE, slice_of(NULL, 0));
}

static void on_told(void *arg, struct slice result)
{
	struct httpd *d = arg;

	(void)result;
	http_call_free(&d->telling);
}

static void on_not_told(void *arg, const struct err *why)
{
	struct httpd *d = arg;

	log_warn("who was refused is not in the audit log: %s", why->text);
	http_call_free(&d->telling);
}

/* Tells mmd who was refused; false when there is nothing to tell. */
static bool report_refused(struct httpd *d)
{
	static const struct http_call_ops ops = { .done = on_told, .failed = on_not_told };
	json_t *refused = d->telling ? NULL : http_keys_take_refused(d->site.keys);
	json_t *request;
	struct buf text;

	if (!refused)
		return d->telling != NULL;
	request = json_object();
	json_put_text(request, "op", slice_str("api-refused"));
	json_put(request, "refused", refused);
	buf_init(&text, 65536);
	if (json_write(&text, request) == RC_OK)
		d->telling = http_call_new(d->site.lanes,
		                           &(struct http_question) { .text = buf_slice(&text) },
		                           &ops, d);
	buf_free(&text);
	json_decref(request);
	return d->telling != NULL;
}

static void on_report(void *arg)
{
	struct httpd *d = arg;

	(void)report_refused(d);
	loop_timer_set(d->report, REFUSED_MS);
}

static void fail(struct httpd *d, const char *text)
{
	log_error("%s", text);
	if (!d->failed)
		tell(d, HTTP_WIRE_FAILED, slice_str(text));
	d->failed = true;
	loop_stop(d->loop);
}

/* --- connections --- */

static void accept_again(void *arg)
{
	struct httpd *d = arg;

	if (d->watch)
		loop_watch_set(d->watch, LOOP_READ);
}

static void rest_from_accepting(struct httpd *d)
{
	loop_watch_set(d->watch, 0);
	loop_timer_set(d->rest, REST_MS);
}

static void start(struct httpd *d, int fd, const struct sockaddr *address)
{
	struct ip from = ip_of_sockaddr(address);

	if (http_conns_from(&d->site, &from) >= d->max_per_address)
		(void)close(fd);
	else
		http_conn_start(&d->site, fd, &from);
}

static void on_listener(void *arg, unsigned what)
{
	struct httpd *d = arg;

	(void)what;
	for (int i = 0; i < ACCEPTS; i++) {
		struct sockaddr_storage from = { .ss_family = AF_UNSPEC };
		socklen_t len = sizeof(from);
		int fd;

		if (d->site.count >= d->max_connections) {
			rest_from_accepting(d);
			return;
		}
		fd = accept4(d->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			start(d, fd, (const struct sockaddr *)&from);
		else if (errno == EAGAIN)
			return;
		else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		         errno == ENOMEM) {
			rest_from_accepting(d);
			return;
		}
		/* All else is about that one connection, accept(2). */
	}
}

static void close_listener(struct httpd *d)
{
	loop_watch_free(&d->watch);
	if (d->fd >= 0)
		(void)close(d->fd);
	d->fd = -1;
}

static void on_new_listener(struct httpd *d, int *fd)
{
	close_listener(d);
	d->fd = *fd;
	*fd = -1;
	d->watch = loop_watch_new(d->loop, d->fd, LOOP_READ, on_listener, d);
}

/* --- configuration --- */

static enum rc read_certs(const json_t *list, struct tls_context **out, struct err *e)
{
	struct tls_cert certs[MOST_CERTS];
	size_t n = MIN_OF(json_array_size(list), (size_t)MOST_CERTS);

	*out = NULL;
	for (size_t i = 0; i < n; i++) {
		const json_t *c = json_array_get(list, i);

		certs[i].chain = json_member_text(c, "chain");
		certs[i].key = json_member_text(c, "key");
	}
	return n ? tls_server_new(out, certs, n, slice_str("api"), e) : RC_OK;
}

static void on_config(struct httpd *d, struct slice body)
{
	struct tls_context *tls = NULL;
	json_t *j = NULL;
	struct err e;

	if (json_read(&j, body, &e) != RC_OK ||
	    read_certs(json_member_array(j, "certs"), &tls, &e) != RC_OK) {
		json_decref(j);
		fail(d, e.text);
		return;
	}
	tls_context_free(&d->site.tls);
	d->site.tls = tls;
	http_keys_set_link(d->site.keys, json_member_text(j, "link_secret"));
	d->max_connections = (unsigned)json_member_int(j, "max_connections", 256);
	d->max_per_address = (unsigned)json_member_int(j, "max_per_address", 64);
	json_decref(j);
}

static void on_keys(struct httpd *d, struct slice body)
{
	json_t *j = NULL;
	struct err e;

	if (json_read(&j, body, &e) != RC_OK || http_keys_set(d->site.keys, j, &e) != RC_OK)
		fail(d, e.text);
	json_decref(j);
}

static void on_began(struct httpd *d, struct slice body)
{
	struct reader r = reader_over(body);

	http_keys_set_began(d->site.keys, (int64_t)read_u64(&r));
}

/* --- the end --- */

static void end_now(void *arg)
{
	struct httpd *d = arg;

	loop_stop(d->loop);
}

static void stop(struct httpd *d)
{
	if (d->site.stopping)
		return;
	close_listener(d);
	http_conns_stop(&d->site);
	loop_timer_set(d->stop, STOP_MS);
}

static void after_round(void *arg)
{
	struct httpd *d = arg;

	if (d->site.stopping && !d->site.count && !report_refused(d))
		loop_stop(d->loop);
}

/* --- from mmd --- */

static void on_message(void *arg, unsigned type, struct slice body, int *fds, size_t nfds)
{
	struct httpd *d = arg;

	if (type == HTTP_WIRE_CONFIG) {
		on_config(d, body);
	} else if (type == HTTP_WIRE_BEGAN) {
		on_began(d, body);
	} else if (type == HTTP_WIRE_KEYS) {
		on_keys(d, body);
	} else if (type == HTTP_WIRE_LISTENER && nfds == 1 && !d->site.stopping) {
		on_new_listener(d, &fds[0]);
	} else if (type == HTTP_WIRE_LANE && nfds == 1) {
		http_lanes_add(d->site.lanes, fds[0]);
		fds[0] = -1;
	} else if (type == HTTP_WIRE_MARK) {
		tell(d, HTTP_WIRE_MARKED, body);
	} else if (type == HTTP_WIRE_STOP) {
		stop(d);
	}
}

/* mmd has gone: whoever comes next starts another one of us. */
static void on_closed(void *arg, const char *why)
{
	(void)arg;
	log_info("the channel ended: %s", why);
	_exit(1);
}

/* --- the program --- */

static enum rc confine(struct err *e)
{
	static const int calls[] = {
		__NR_fcntl,      __NR_accept4,     __NR_recvfrom, __NR_recvmsg,
		__NR_sendto,     __NR_sendmsg,     __NR_shutdown, __NR_epoll_ctl,
		__NR_epoll_wait, __NR_epoll_pwait, __NR_eventfd2,
	};
	struct sandbox_profile p = { .syscalls = calls,
		                     .count = COUNT(calls),
		                     .address_space = (uint64_t)2 << 30 };

	return sandbox_enter(&p, e);
}

int httpd_main(void)
{
	static const struct channel_ops ops = { .message = on_message, .closed = on_closed };
	struct httpd d = { .fd = -1, .max_connections = 256, .max_per_address = 64 };
	struct err e;

	clock_init();
	log_init("mm-httpd", LOG_INFO);
	tls_init();
	crypt_init();
	sigv4_init();
	d.loop = loop_new();
	if (confine(&e) != RC_OK) {
		log_error("the sandbox can't be entered: %s", e.text);
		return 1;
	}
	d.site.loop = d.loop;
	d.site.keys = http_keys_new();
	d.channel = channel_new(d.loop, HTTP_WIRE_FD, HTTP_WIRE_CONFIG_MAX, &ops, &d);
	d.site.lanes = http_lanes_new(d.loop, need_lane, &d);
	d.rest = loop_timer_new(d.loop, accept_again, &d);
	d.report = loop_timer_new(d.loop, on_report, &d);
	d.stop = loop_timer_new(d.loop, end_now, &d);
	loop_timer_set(d.report, REFUSED_MS);
	loop_run(d.loop, after_round, &d);
	channel_flush(d.channel);
	close_listener(&d);
	http_call_free(&d.telling);
	http_conns_free(&d.site);
	http_lanes_free(&d.site.lanes);
	http_keys_free(&d.site.keys);
	tls_context_free(&d.site.tls);
	channel_free(&d.channel);
	loop_timer_free(&d.rest);
	loop_timer_free(&d.report);
	loop_timer_free(&d.stop);
	loop_free(&d.loop);
	return d.failed ? 1 : 0;
}
