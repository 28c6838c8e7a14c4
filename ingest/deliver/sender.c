#include "ingest/deliver/sender.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/file.h"
#include "base/home.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/sealed.h"
#include "ingest/ca_file.h"
#include "ingest/deliver/sender_parts.h"
#include "ingest/outbound_wire.h"

/* Most of it are messages, which mmd has as well: at_once of at most 64 MiB. */
#define ADDRESS_SPACE ((uint64_t)16 << 30)
#define DESCRIPTORS   4096
#define LOOKUP_MS     20000 /* no client waits: a server that is far away may answer */

struct server {
	struct loop *loop;
	struct channel *channel;
	struct outbound_settings settings;
	struct resolver_options dns;
	struct buf ca;
	struct pool_options options;
	struct pool *pool;
};

/* ---- to mmd ---- */

void job_free(struct job *j)
{
	sealed_unmap(&j->message);
	if (j->fd >= 0)
		(void)close(j->fd);
	json_decref(j->ask);
	free(j->rcpts);
	free(j);
}

static json_t *result_json(const struct smtp_result *r)
{
	json_t *o = json_object();

	json_put_int(o, "end", r->end);
	json_put_int(o, "code", r->code);
	json_put_text(o, "enhanced", slice_str(r->enhanced));
	json_put_text(o, "text", slice_str(r->text));
	json_put_bool(o, "dsn", r->dsn);
	return o;
}

static void on_ended(void *arg, struct job *j, const struct smtp_result *results, size_t count,
                     const char *host, const char *tls)
{
	struct server *s = arg;
	json_t *o = json_object();
	json_t *list = json_array();
	struct buf text;
	struct err e;

	for (size_t i = 0; i < j->mail.count; i++)
		json_push(list, result_json(&results[count == 1 ? 0 : i]));
	json_put_int(o, "n", (int64_t)j->number);
	json_put(o, "host", json_of_slice(slice_str(host)));
	json_put_text(o, "tls", slice_str(tls));
	json_put(o, "results", list);
	buf_init(&text, OUTBOUND_SAID_MOST);
	if (json_write(&text, o) != RC_OK ||
	    channel_send(s->channel, OUTBOUND_ENDED, buf_slice(&text), NULL, 0, &e) != RC_OK)
		loop_stop(s->loop); /* mmd doesn't listen any more: it makes another */
	buf_free(&text);
	json_decref(o);
	job_free(j);
}

/* ---- from mmd ---- */

static const char *text_of(const json_t *o, const char *member)
{
	return json_string_value(json_object_get(o, member));
}

static bool read_recipients(struct job *j)
{
	const json_t *list = json_member_array(j->ask, "rcpt");
	size_t count = json_array_size(list);

	if (count < 1 || count > LIMIT_SMTP_RECIPIENTS)
		return false;
	j->rcpts = mem_array(count, sizeof(*j->rcpts));
	for (size_t i = 0; i < count; i++) {
		const json_t *o = json_array_get(list, i);

		j->rcpts[i] = (struct smtp_client_rcpt) { .address = text_of(o, "to"),
			                                  .notify = text_of(o, "notify"),
			                                  .orcpt = text_of(o, "orcpt") };
		if (!j->rcpts[i].address)
			return false;
	}
	j->mail.rcpts = j->rcpts;
	j->mail.count = count;
	return true;
}

static bool read_job(struct job *j)
{
	j->number = (uint64_t)json_member_int(j->ask, "n", 0);
	j->mail = (struct smtp_client_mail) {
		.mail_from = text_of(j->ask, "from"),
		.ret = text_of(j->ask, "ret"),
		.envid = text_of(j->ask, "envid"),
		.smtputf8 = json_member_bool(j->ask, "utf8", false),
		.eight_bit = json_member_bool(j->ask, "eight", false),
	};
	return j->mail.mail_from && read_recipients(j);
}

/* Takes the descriptor over. */
static bool take_job(struct server *s, struct slice body, int *fd)
{
	struct job *j = mem_new(sizeof(*j));
	struct err e;

	j->fd = *fd;
	*fd = -1;
	if (json_read(&j->ask, body, &e) == RC_OK && read_job(j) &&
	    pool_add(s->pool, j, json_member_object(j->ask, "target")))
		return true;
	job_free(j);
	return false;
}

static void on_message(void *arg, unsigned type, struct slice body, int *fds, size_t nfds)
{
	struct server *s = arg;
	struct err e;
	bool good = false;

	if (type == OUTBOUND_ASK && nfds == 1)
		good = take_job(s, body, &fds[0]);
	else if (type == OUTBOUND_PING)
		good = channel_send(s->channel, OUTBOUND_PONG, slice_of(NULL, 0), NULL, 0, &e) ==
		       RC_OK;
	if (!good) {
		log_error("mmd says nonsense, or doesn't listen");
		loop_stop(s->loop);
	}
}

static void on_closed(void *arg, const char *why)
{
	struct server *s = arg;

	(void)why;
	loop_stop(s->loop);
}

/* ---- the child ---- */

static void add_ports(uint16_t *ports, size_t *n, const json_t *task)
{
	const json_t *more = json_member_array(task, "ports");

	for (size_t i = 0; i < json_array_size(more) && *n < SANDBOX_PORTS - 1; i++) {
		json_int_t port = json_integer_value(json_array_get(more, i));

		if (port > 0 && port <= UINT16_MAX)
			ports[(*n)++] = (uint16_t)port;
	}
}

static enum rc confine(const struct server *s, const json_t *task, struct err *e)
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
		                     .datagrams = true,
		                     .address_space = ADDRESS_SPACE,
		                     .nofile = DESCRIPTORS };
	size_t n = resolver_ports(&s->dns, p.connect_ports);

	p.connect_ports[n++] = s->settings.port;
	if (s->settings.sts)
		p.connect_ports[n++] = s->settings.sts_port;
	add_ports(p.connect_ports, &n, task);
	return sandbox_enter(&p, e);
}

/* Without CAs there is no verified TLS, and all else works. */
static enum rc read_cas(struct server *s, struct err *e)
{
	enum rc rc =
	        s->settings.ca ? file_read_all(s->settings.ca, &s->ca, e) : ca_file_read(&s->ca, e);

	if (rc != RC_OK && s->settings.ca)
		return err_in(e, "send.ca");
	if (rc != RC_OK) {
		log_warn("%s: no server can be checked", e->text);
		return RC_OK;
	}
	return tls_client_new(&s->options.place.verified, buf_slice(&s->ca), e);
}

static enum rc open_tls(struct server *s, struct err *e)
{
	enum rc rc;

	tls_init();
	buf_init(&s->ca, CA_FILE_MOST);
	rc = tls_client_new(&s->options.place.any, slice_of(NULL, 0), e);
	return rc == RC_OK ? read_cas(s, e) : rc;
}

static enum rc open_server(struct server *s, const json_t *config, const json_t *task,
                           struct err *e)
{
	const char *hostname = text_of(config, "hostname");
	struct http *http;
	enum rc rc = outbound_settings_read(&s->settings, json_member_object(config, "send"), e);

	if (rc == RC_OK)
		rc = resolver_options_read(&s->dns, json_object_get(config, "dns"), e);
	if (rc == RC_OK)
		rc = open_tls(s, e);
	if (rc != RC_OK)
		return rc;
	s->dns.deadline_ms = LOOKUP_MS;
	s->loop = loop_new();
	if (s->settings.hostname)
		hostname = s->settings.hostname;
	s->options.place.loop = s->loop;
	s->options.place.settings = &s->settings;
	s->options.place.hostname = hostname ? hostname : "localhost";
	s->options.ended = on_ended;
	s->options.arg = s;
	rc = resolver_new(&s->options.resolver, s->loop, &s->dns, e);
	http = rc == RC_OK ? http_new(s->loop, buf_slice(&s->ca)) : NULL;
	if (rc == RC_OK && !http)
		rc = err_set(e, RC_IO, "libcurl doesn't start");
	if (rc == RC_OK && s->settings.sts)
		s->options.sts = sts_new(s->loop, http, s->settings.sts_port);
	return rc == RC_OK ? confine(s, task, e) : rc;
}

/* In logs and in lists of processes. */
static void take_name(void)
{
	static char name[] = "mm-sender";

	program_invocation_short_name = name;
	(void)prctl(PR_SET_NAME, name, 0, 0, 0);
	log_init(name, LOG_INFO);
}

void sender_run(const json_t *config, const json_t *task, int fd, int leash)
{
	static const struct channel_ops ops = { on_message, on_closed };
	struct server s = { .loop = NULL };
	struct err e = { 0 };
	struct err ignored;

	if (!home_put_on(leash))
		return;
	take_name();
	if (open_server(&s, config, task, &e) != RC_OK) {
		(void)!channel_put(fd, OUTBOUND_FAILED, slice_str(e.text), NULL, 0, &ignored);
		return;
	}
	s.pool = pool_new(&s.options);
	s.channel = channel_new(s.loop, fd, OUTBOUND_ASK_MOST, &ops, &s);
	if (channel_send(s.channel, OUTBOUND_READY, slice_of(NULL, 0), NULL, 0, &ignored) == RC_OK)
		loop_run(s.loop, NULL, NULL);
	/* The home ends it by _exit: what is left is the system's to free. */
}
