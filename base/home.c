#include "base/home.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/log.h"

#define CONFIG   1
#define TASK     2
#define AGAIN_MS 100 /* until a home that was killed is made again */

struct home {
	pid_t pid;
	int fd;
	char name[32];
	pthread_mutex_t lock;
};

/* ---- the maker's side ---- */

static enum rc put_json(struct home *h, unsigned type, json_t *o, const int *fds, size_t nfds,
                        struct err *e)
{
	struct buf text;
	enum rc rc;

	buf_init(&text, HOME_TEXT);
	rc = json_write(&text, o);
	if (rc != RC_OK)
		rc = err_set(e, rc, "too long for %s", h->name);
	else
		rc = channel_put(h->fd, type, buf_slice(&text), fds, nfds, e);
	if (text.at)
		explicit_bzero(text.at, text.room);
	buf_free(&text);
	json_decref(o);
	return rc;
}

enum rc home_start(struct home **out, const char *program, json_t *config, struct err *e)
{
	struct child_start s = { .nfds = 1 };
	struct home *h;
	int ends[2];
	enum rc rc = channel_pair(ends, e);

	*out = NULL;
	if (rc != RC_OK) {
		json_decref(config);
		return rc;
	}
	h = mem_new(sizeof(*h));
	h->fd = ends[0];
	h->pid = -1;
	(void)snprintf(h->name, sizeof(h->name), "%s",
	               strrchr(program, '/') ? strrchr(program, '/') + 1 : program);
	(void)pthread_mutex_init(&h->lock, NULL);
	s.fds[0].fd = ends[1];
	s.fds[0].at = HOME_FD;
	rc = child_spawn(program, &s, &h->pid, e);
	if (rc == RC_OK)
		rc = put_json(h, CONFIG, config, NULL, 0, e);
	else
		json_decref(config);
	if (rc == RC_OK)
		*out = h;
	else
		home_stop(&h);
	return rc;
}

void home_stop(struct home **at)
{
	struct home *h = *at;

	*at = NULL;
	if (!h)
		return;
	(void)close(h->fd);
	while (h->pid > 0 && waitpid(h->pid, NULL, 0) < 0 && errno == EINTR)
		;
	(void)pthread_mutex_destroy(&h->lock);
	free(h);
}

static enum rc put_task(struct home *h, json_t *task, const int *fds, size_t nfds, struct err *e)
{
	enum rc rc;

	(void)pthread_mutex_lock(&h->lock);
	rc = put_json(h, TASK, task, fds, nfds, e);
	(void)pthread_mutex_unlock(&h->lock);
	return rc == RC_OK ? rc : err_set(e, RC_IO, "%s has ended; mmd must be restarted", h->name);
}

enum rc home_child(struct home *h, int *fd, json_t *task, const int *extra, size_t count,
                   struct err *e)
{
	int fds[CHANNEL_FDS];
	int ends[2];
	enum rc rc = channel_pair(ends, e);

	*fd = -1;
	MUST(count <= HOME_EXTRA && 1 + HOME_EXTRA <= CHANNEL_FDS);
	if (rc != RC_OK) {
		json_decref(task);
		return rc;
	}
	fds[0] = ends[1];
	for (size_t i = 0; i < count; i++)
		fds[1 + i] = extra[i];
	rc = put_task(h, task, fds, 1 + count, e);
	(void)close(ends[1]);
	if (rc == RC_OK)
		*fd = ends[0];
	else
		(void)close(ends[0]);
	return rc;
}

enum rc home_leash(int ends[2], struct err *e)
{
	return pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0 ? RC_OK : err_sys(e, "a pipe for a child");
}

/* ---- the home ---- */

static pid_t parent; /* of who hears tasks: its own number, in its children too */

/* That nobody holds a pipe's other end any more is told by a signal, and which one is told here. */
bool home_put_on(int leash)
{
	uint8_t byte;

	return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == parent &&
	       fcntl(leash, F_SETOWN, getpid()) == 0 && fcntl(leash, F_SETSIG, SIGKILL) == 0 &&
	       fcntl(leash, F_SETFL, O_ASYNC | O_NONBLOCK) == 0 &&
	       read(leash, &byte, 1) < 0; /* let go of before: no signal comes */
}

static void live(const struct home_program *p, const json_t *config, struct slice body,
                 const int *fds, size_t nfds)
{
	int extra[HOME_EXTRA] = { -1, -1, -1 };
	json_t *task = NULL;
	struct err e;

	(void)close(HOME_FD);
	if (json_read(&task, body, &e) != RC_OK)
		return;
	for (size_t i = 1; i < nfds; i++)
		extra[i - 1] = fds[i];
	p->run(config, task, fds[0], extra);
}

static void start(const struct home_program *p, const json_t *config, struct slice body,
                  const int *fds, size_t nfds)
{
	pid_t pid = fork();

	if (pid < 0)
		log_error("no process for a child of %s", p->name); /* its channel is closed */
	if (pid != 0)
		return;
	live(p, config, body, fds, nfds);
	_exit(0);
}

static json_t *hear_config(void)
{
	struct buf body;
	struct err e = { 0 };
	int fds[CHANNEL_FDS];
	size_t nfds;
	unsigned type;
	json_t *config = NULL;

	buf_init(&body, HOME_TEXT);
	if (channel_get(HOME_FD, &type, &body, fds, &nfds, &e) == RC_OK &&
	    json_read(&config, buf_slice(&body), &e) != RC_OK)
		config = NULL;
	buf_free(&body);
	return config;
}

static int serve(const struct home_program *p, const json_t *config)
{
	struct buf body;
	struct err e = { 0 };
	int fds[CHANNEL_FDS];
	size_t nfds;
	unsigned type;
	enum rc rc;

	parent = getpid();
	(void)signal(SIGCHLD, SIG_IGN); /* the kernel reaps */
	buf_init(&body, HOME_TEXT);
	while ((rc = channel_get(HOME_FD, &type, &body, fds, &nfds, &e)) == RC_OK) {
		if (type == TASK && nfds >= 1)
			start(p, config, buf_slice(&body), fds, nfds);
		for (size_t i = 0; i < nfds; i++)
			(void)close(fds[i]);
	}
	return rc == RC_NOTFOUND ? 0 : 1;
}

/* mmd can't start a home again. So one process does nothing but keep the home: when the one that
 * hears tasks is killed, it makes it again, with the same channel. What reaches neither is mmd's to
 * repeat. */
static int keep(const struct home_program *p)
{
	const json_t *config = hear_config();
	int status = 0;

	while (config) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(serve(p, config));
		if (pid < 0)
			log_error("no process for %s", p->name);
		else
			while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
				;
		if (pid > 0 && WIFEXITED(status))
			return WEXITSTATUS(status);
		if (pid > 0)
			log_warn("%s ended by signal %d; it is started again", p->name,
			         WTERMSIG(status));
		clock_sleep_ms(AGAIN_MS);
	}
	return 1;
}

static bool has_channel(void)
{
	int type;
	socklen_t n = sizeof(type);

	return getsockopt(HOME_FD, SOL_SOCKET, SO_TYPE, &type, &n) == 0;
}

int home_main(const struct home_program *p)
{
	const struct rlimit none = { 0, 0 };

	log_init(p->name, LOG_INFO);
	if (!has_channel()) {
		log_error("%s is started by mmd, not by hand", p->name);
		return 2;
	}
	(void)setrlimit(RLIMIT_CORE, &none); /* the configuration may hold secrets */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	clock_init();
	(void)signal(SIGPIPE, SIG_IGN);
	return p->prepare && !p->prepare() ? 1 : keep(p);
}
