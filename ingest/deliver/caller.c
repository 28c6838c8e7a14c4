#include "ingest/deliver/caller.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/home.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/sealed.h"
#include "ingest/ca_file.h"
#include "ingest/deliver/endpoint.h"
#include "ingest/deliver/http.h"

/* Most of it are bodies, which mmd has as well. */
#define ADDRESS_SPACE ((uint64_t)16 << 30)
#define TARGET_BYTES  24576
#define HOST_BYTES    400

struct request {
	struct request *next;
	struct caller *caller;
	uint64_t number;
	struct slice body;
	struct http_call *call;
};

struct caller {
	struct endpoints all;
	struct loop *loop;
	struct channel *channel;
	struct http *http;
	struct buf ca;
	struct request *requests;
	size_t count;
};

/* What mmd asks, as it came. */
struct ask {
	uint64_t number;
	uint64_t ms;
	struct slice endpoint;
	struct slice method;
	struct slice prefix;
	struct slice path;
	struct slice query;
	struct http_field fields[CALLS_FIELDS];
	size_t count;
};

/* ---- to mmd ---- */

static void say(struct caller *c, uint64_t number, const struct call_result *r)
{
	struct buf text;
	struct err e;
	bool good;

	buf_init(&text, CALLS_SAID);
	good = buf_put_u64(&text, number) == RC_OK && buf_put_u8(&text, (uint8_t)r->end) == RC_OK &&
	       buf_put_u16(&text, (uint16_t)r->status) == RC_OK &&
	       buf_put_slice(&text, slice_part(slice_str(r->function_error), 0, CALLS_ERROR)) ==
	               RC_OK &&
	       buf_put_slice(&text, slice_part(slice_str(r->why), 0, CALLS_WHY)) == RC_OK &&
	       buf_put_slice(&text, slice_part(r->answer, 0, CALL_ANSWER)) == RC_OK;
	if (!good || channel_send(c->channel, CALLS_SAY, buf_slice(&text), NULL, 0, &e) != RC_OK)
		loop_stop(c->loop); /* it hears nobody any more */
	buf_free(&text);
}

static void refuse(struct caller *c, uint64_t number, enum call_end end, const char *why)
{
	const struct call_result r = { .end = end, .function_error = "", .why = why };

	say(c, number, &r);
}

/* ---- a request ---- */

static void drop(struct request *r)
{
	struct request **at = &r->caller->requests;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	r->caller->count--;
	http_drop(&r->call);
	sealed_unmap(&r->body);
	free(r);
}

static void on_ended(void *arg, const struct http_answer *a)
{
	struct request *r = arg;
	struct call_result said = { .end = a->answered ? CALL_ANSWERED : CALL_LATER,
		                    .status = a->answered ? a->status : 0,
		                    .function_error = a->answered ? a->kept : "",
		                    .why = a->why };

	if (a->answered)
		said.answer = a->body;
	say(r->caller, r->number, &said);
	r->call = NULL;
	drop(r);
}

/* Of a bucket's name, the letters that no reader of a host takes for more. */
static bool is_prefix(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!(s.at[i] >= 'a' && s.at[i] <= 'z') && !(s.at[i] >= '0' && s.at[i] <= '9') &&
		    s.at[i] != '-' && s.at[i] != '.')
			return false;
	return s.len == 0 || (s.len <= 64 && s.at[0] != '.' && s.at[s.len - 1] == '.');
}

/* Why it can't be called as it is asked; NULL: it can. */
static const char *forbidden(const struct endpoint *p, const struct ask *q)
{
	if (!p)
		return "no such endpoint is configured";
	if (q->prefix.len &&
	    (!p->service || strcmp(p->service, "s3") != 0 || p->path_style || p->host[0] == '['))
		return "this endpoint takes nothing in front of its host";
	if (!is_prefix(q->prefix))
		return "the bucket's name can't stand in front of a host's";
	return NULL;
}

struct place {
	char name[HOST_BYTES]; /* that is connected to, and that the certificate is for */
	char host[HOST_BYTES]; /* with the port where it isn't the scheme's own */
	struct buf target;
};

static enum rc make_place(struct place *at, const struct endpoint *p, const struct ask *q)
{
	bool own = p->port == (p->tls ? 443 : 80);

	(void)snprintf(at->name, sizeof(at->name), "%.*s%s", (int)q->prefix.len,
	               q->prefix.len ? (const char *)q->prefix.at : "", p->host);
	(void)snprintf(at->host, sizeof(at->host), own ? "%.300s" : "%.300s:%u", at->name, p->port);
	if (!p->service)
		return buf_add_str(&at->target, p->target);
	if (buf_add(&at->target, q->path) != RC_OK)
		return RC_LIMIT;
	if (q->query.len == 0)
		return RC_OK;
	return buf_add_byte(&at->target, '?') == RC_OK ? buf_add(&at->target, q->query) : RC_LIMIT;
}

static enum rc ask_http(struct request *r, const struct endpoint *p, const struct ask *q,
                        const struct place *at, const struct endpoint_request *s, struct err *e)
{
	char *method = slice_string(q->method);
	const struct http_ask a = { .tls = p->tls,
		                    .host = at->name,
		                    .port = p->port,
		                    .addresses = p->addresses,
		                    .method = method,
		                    .target = buf_text(&at->target),
		                    .fields = s->fields,
		                    .count = s->count,
		                    .body = r->body,
		                    .most = CALL_ANSWER,
		                    .deadline_ms = (int64_t)MIN_OF(q->ms, (uint64_t)INT32_MAX),
		                    .kept = "x-amz-function-error",
		                    .ended = on_ended,
		                    .arg = r };

	r->call = http_ask(r->caller->http, &a);
	free(method);
	return r->call ? RC_OK : err_set(e, RC_INVALID, "its path or a field can't be sent");
}

static void begin(struct request *r, const struct endpoint *p, const struct ask *q)
{
	struct place at = { .target = { .at = NULL } };
	struct endpoint_request s = { .to = p,
		                      .method = q->method,
		                      .path = q->path,
		                      .query = q->query,
		                      .more = q->fields,
		                      .more_count = q->count,
		                      .body = r->body,
		                      .now_ms = clock_now_ms() };
	struct err e = { 0 };
	enum rc rc;

	buf_init(&at.target, TARGET_BYTES);
	rc = make_place(&at, p, q);
	s.host = slice_str(at.host);
	if (rc == RC_OK)
		rc = endpoint_sign(&s, &e);
	if (rc == RC_OK)
		rc = ask_http(r, p, q, &at, &s, &e);
	buf_free(&s.signature);
	buf_free(&at.target);
	if (rc == RC_OK)
		return;
	refuse(r->caller, r->number, CALL_SET_UP, e.text[0] ? e.text : "its path is too long");
	drop(r);
}

/* ---- from mmd ---- */

static bool read_ask(struct ask *q, struct slice body)
{
	struct reader r = reader_over(body);

	q->number = read_u64(&r);
	q->ms = read_u64(&r);
	q->endpoint = read_slice(&r);
	q->method = read_slice(&r);
	q->prefix = read_slice(&r);
	q->path = read_slice(&r);
	q->query = read_slice(&r);
	q->count = read_u16(&r);
	if (q->count > CALLS_FIELDS)
		return false;
	for (size_t i = 0; i < q->count; i++) {
		q->fields[i].name = read_slice(&r);
		q->fields[i].value = read_slice(&r);
	}
	return r.ok && r.rest.len == 0;
}

static struct request *add_request(struct caller *c, uint64_t number)
{
	struct request *r = mem_new(sizeof(*r));

	r->caller = c;
	r->number = number;
	r->next = c->requests;
	c->requests = r;
	c->count++;
	return r;
}

static void on_ask(struct caller *c, const struct ask *q, const int *fds, size_t nfds)
{
	const struct endpoint *p = endpoints_find(&c->all, q->endpoint);
	const char *why = forbidden(p, q);
	struct request *r;
	struct err e = { 0 };

	if (why) {
		refuse(c, q->number, CALL_SET_UP, why);
		return;
	}
	if (!p->addresses) {
		refuse(c, q->number, CALL_LATER, "the endpoint's name has no address");
		return;
	}
	r = add_request(c, q->number);
	if (nfds && sealed_map(&r->body, fds[0], &e) != RC_OK) {
		refuse(c, q->number, CALL_LATER, e.text);
		drop(r);
		return;
	}
	begin(r, p, q);
}

static void on_drop(struct caller *c, struct slice body)
{
	struct reader r = reader_over(body);
	uint64_t number = read_u64(&r);

	for (struct request *q = c->requests; q; q = q->next)
		if (q->number == number) {
			drop(q);
			return;
		}
}

static void on_message(void *arg, unsigned type, struct slice body, int *fds, size_t nfds)
{
	struct caller *c = arg;
	struct ask q;

	if (type == CALLS_DROP) {
		on_drop(c, body);
	} else if (type == CALLS_ASK && c->count < CALLS_MOST && read_ask(&q, body)) {
		on_ask(c, &q, fds, nfds);
	} else {
		log_error("mmd says nonsense");
		loop_stop(c->loop);
	}
}

static void on_closed(void *arg, const char *why)
{
	struct caller *c = arg;

	(void)why;
	loop_stop(c->loop);
}

/* ---- the child ---- */

static enum rc confine(const struct endpoints *all, struct err *e)
{
	static const int calls[] = {
		__NR_epoll_wait,  __NR_epoll_pwait,     __NR_epoll_ctl,  __NR_poll,
		__NR_ppoll,       __NR_recvfrom,        __NR_recvmsg,    __NR_sendto,
		__NR_sendmsg,     __NR_shutdown,        __NR_getsockopt, __NR_setsockopt,
		__NR_getsockname, __NR_getpeername,     __NR_fcntl,      __NR_eventfd2,
		__NR_pipe2,       __NR_geteuid,         __NR_getuid,     __NR_getgid,
		__NR_getegid,     __NR_timerfd_settime,
	};
	struct sandbox_profile p = { .syscalls = calls,
		                     .count = COUNT(calls),
		                     .address_space = ADDRESS_SPACE,
		                     .nofile = 2 * CALLS_MOST + 64 };

	for (size_t i = 0; i < all->count; i++)
		p.connect_ports[i] = all->at[i].port;
	return sandbox_enter(&p, e);
}

static enum rc open_caller(struct caller *c, const json_t *config, struct err *e)
{
	enum rc rc = endpoints_read(&c->all, json_member_array(config, "calls"), e);

	if (rc != RC_OK)
		return rc;
	endpoints_look_up(&c->all);
	buf_init(&c->ca, CA_FILE_MOST);
	if (c->all.tls)
		rc = ca_file_read(&c->ca, e);
	if (rc != RC_OK)
		return rc;
	c->loop = loop_new();
	c->http = http_new(c->loop, buf_slice(&c->ca));
	if (!c->http)
		return err_set(e, RC_IO, "libcurl doesn't start");
	return confine(&c->all, e);
}

void caller_run(const json_t *config, int fd, int leash)
{
	static const struct channel_ops ops = { on_message, on_closed };
	struct caller c = { .count = 0 };
	struct err e = { 0 };

	if (!home_put_on(leash))
		return;
	if (open_caller(&c, config, &e) != RC_OK) {
		log_error("%s", e.text);
		return;
	}
	c.channel = channel_new(c.loop, fd, CALLS_TEXT, &ops, &c);
	if (channel_send(c.channel, CALLS_READY, slice_of(NULL, 0), NULL, 0, &e) == RC_OK)
		loop_run(c.loop, NULL, NULL);
	/* The home ends it by _exit: what is left is the system's to free. */
}
