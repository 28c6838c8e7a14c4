#include "ingest/deliver/serve.h"

#include <curl/curl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/home.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/sigv4.h"
#include "ingest/deliver/caller.h"
#include "ingest/deliver/s3.h"
#include "ingest/deliver/sender.h"
#include "ingest/deliver_wire.h"

struct task {
	int fd;
	struct s3 *s3;
	bool open; /* an object is under way */
};

/* ---- a child ---- */

static enum rc confine(const struct task *t, struct err *e)
{
	static const int calls[] = {
		__NR_poll,        __NR_ppoll,    __NR_recvfrom,   __NR_recvmsg,    __NR_sendto,
		__NR_sendmsg,     __NR_shutdown, __NR_getsockopt, __NR_setsockopt, __NR_getsockname,
		__NR_getpeername, __NR_fcntl,    __NR_eventfd2,   __NR_pipe2,      __NR_geteuid,
		__NR_getuid,      __NR_getgid,   __NR_getegid,
	};
	const struct sandbox_profile p = { .syscalls = calls,
		                           .count = COUNT(calls),
		                           .connect_ports = { s3_port(t->s3) },
		                           .nofile = 64 };

	return sandbox_enter(&p, e);
}

/* Has mmd closed its end? */
static bool gone(void *arg)
{
	const struct task *t = arg;
	struct pollfd p = { t->fd, POLLRDHUP, 0 };

	return poll(&p, 1, 0) > 0;
}

static enum rc answer(const struct task *t, enum rc rc, const struct err *why, struct err *e)
{
	json_t *o;
	struct buf text;

	if (rc == RC_OK)
		return channel_put(t->fd, DELIVER_OK, slice_of(NULL, 0), NULL, 0, e);
	o = json_object();
	buf_init(&text, DELIVER_TEXT);
	json_put_int(o, "code", (int64_t)rc);
	json_put(o, "text", json_of_slice(slice_str(why->text)));
	if (json_write(&text, o) == RC_OK)
		(void)!channel_put(t->fd, DELIVER_FAILED, buf_slice(&text), NULL, 0, e);
	buf_free(&text);
	json_decref(o);
	return rc;
}

static enum rc begin(struct task *t, struct slice body, struct err *e)
{
	json_t *o;
	enum rc rc = json_read(&o, body, e);

	if (rc != RC_OK)
		return rc;
	rc = s3_begin(t->s3, json_member_text(o, "key"), json_member_text(o, "type"), e);
	t->open = rc == RC_OK;
	json_decref(o);
	return rc;
}

static enum rc obey(struct task *t, unsigned type, struct slice body, struct err *e)
{
	if (type == DELIVER_BEGIN && !t->open)
		return begin(t, body, e);
	if (type == DELIVER_DATA && t->open)
		return s3_add(t->s3, body, e);
	if (type != DELIVER_END || !t->open)
		return err_set(e, RC_INVALID, "mmd says nonsense");
	t->open = false;
	return s3_end(t->s3, e);
}

static void serve(struct task *t)
{
	struct buf body;
	struct err e = { 0 };
	struct err ignored;
	int fds[CHANNEL_FDS];
	size_t nfds;
	unsigned type;
	enum rc rc = RC_OK;

	buf_init(&body, DELIVER_TEXT);
	while (rc == RC_OK && channel_get(t->fd, &type, &body, fds, &nfds, &e) == RC_OK) {
		rc = obey(t, type, buf_slice(&body), &e);
		rc = answer(t, rc, &e, &ignored);
	}
	s3_abort(t->s3);
	buf_free(&body);
}

static void run_task(const json_t *config, const json_t *task, int fd, const int extra[HOME_EXTRA])
{
	struct task t = { .fd = fd };
	struct err e = { 0 };
	struct err ignored;
	enum rc rc;

	if (json_member_bool(task, "caller", false)) {
		caller_run(config, fd, extra[0]);
		return;
	}
	if (json_member_object(task, "sender")) {
		sender_run(json_member_object(config, "sender"), json_member_object(task, "sender"), fd,
		           extra[0]);
		return;
	}
	rc = s3_new(&t.s3, config, task, gone, &t, &e);
	if (rc == RC_OK)
		rc = confine(&t, &e);
	if (answer(&t, rc, &e, &ignored) == RC_OK)
		serve(&t);
}

/* ---- the home ---- */

static bool prepare(void)
{
	sigv4_init();
	if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
		return true;
	log_error("libcurl doesn't start");
	return false;
}

int deliver_home_main(void)
{
	static const struct home_program program = { "mm-deliver", prepare, run_task };

	return home_main(&program);
}
