#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define FIRST_WAIT_MS 100
#define LAST_WAIT_MS  10000
#define HEALTHY_MS    30000
#define SAFE_FD       256 /* sources are moved above the numbers that the child gets */

struct child {
	struct loop *loop;
	const char *program;
	const struct child_ops *ops;
	void *arg;
	struct loop_timer *again;
	struct loop_timer *term;
	struct loop_timer *kill;
	struct loop_watch *watch;
	int pidfd;
	pid_t pid;
	int64_t since_ms;
	int64_t wait_ms;
	unsigned restarts;
	bool stopping;
};

enum rc child_path(const char *program, char *out, size_t room, struct err *e)
{
	char self[3072];
	ssize_t n;
	char *slash;

	if (strchr(program, '/')) {
		if (snprintf(out, room, "%s", program) >= (int)room)
			return err_set(e, RC_LIMIT, "%s: the path is too long", program);
		return RC_OK;
	}
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return err_sys(e, "/proc/self/exe");
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (slash)
		slash[1] = '\0';
	if (!slash || snprintf(out, room, "%s" MM_LIBEXEC "/%s", self, program) >= (int)room)
		return err_set(e, RC_LIMIT, "%s: the path is too long", program);
	/* Not installed: the build tree. What lies beside an installed one is an older release's.
	 */
	if (access(out, X_OK) != 0)
		(void)snprintf(out, room, "%s%s", self, program);
	return RC_OK;
}

/* What a child needs to know of the environment; secrets may be in the rest. */
static void pick_environment(const char **out, size_t room)
{
	static const char *const names[] = {
		"TZ",
		"LANG",
		"ASAN_OPTIONS",
		"UBSAN_OPTIONS",
		"TSAN_OPTIONS",
		"LSAN_OPTIONS",
#ifdef MM_TEST
		"MM_TEST_CLOCK",
		"MM_SANDBOX",
		"MM_PROBE",
		"LD_PRELOAD",
		"MM_FAULT_PROGRAM",
		"MM_FAULT_ALLOC",
		"MM_FAULT_SHORT",
		"MM_STOP",
		"GCOV_PREFIX",
#endif
	};
	size_t n = 0;

	for (char **v = environ; *v; v++)
		for (size_t i = 0; i < COUNT(names) && n + 1 < room; i++) {
			size_t len = strlen(names[i]);

			if (strncmp(*v, names[i], len) == 0 && (*v)[len] == '=')
				out[n++] = *v;
		}
	out[n] = NULL;
}

/* Moves every source out of the way of the child's numbers. Closes the originals. */
static enum rc raise_fds(struct child_start *s, struct err *e)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < s->nfds; i++) {
		int high = fcntl(s->fds[i].fd, F_DUPFD_CLOEXEC, SAFE_FD);

		if (high < 0 && rc == RC_OK)
			rc = err_sys(e, "descriptor for a child");
		(void)close(s->fds[i].fd);
		s->fds[i].fd = high;
	}
	return rc;
}

static int add_actions(posix_spawn_file_actions_t *a, const struct child_start *s)
{
	int last = 2;
	int bad = posix_spawn_file_actions_addopen(a, 0, "/dev/null", O_RDONLY, 0) ||
	          posix_spawn_file_actions_addopen(a, 1, "/dev/null", O_WRONLY, 0);

	for (size_t i = 0; i < s->nfds && !bad; i++) {
		bad = posix_spawn_file_actions_adddup2(a, s->fds[i].fd, s->fds[i].at);
		last = MAX_OF(last, s->fds[i].at);
	}
	/* The numbers between must not leak either; the caller uses 3, 4, 5... so there are none.
	 */
	return bad || posix_spawn_file_actions_addclosefrom_np(a, last + 1);
}

static int set_signals(posix_spawnattr_t *attr)
{
	sigset_t none, all;

	return sigemptyset(&none) || sigfillset(&all) || posix_spawnattr_setsigmask(attr, &none) ||
	       posix_spawnattr_setsigdefault(attr, &all) ||
	       posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static enum rc spawn_with(const char *path, struct child_start *s, pid_t *pid, struct err *e)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	const char *argv[COUNT(s->args) + 2] = { path };
	const char *env[20];
	int bad;

	for (size_t i = 0; i < COUNT(s->args) && s->args[i]; i++)
		argv[i + 1] = s->args[i];
	pick_environment(env, COUNT(env));
	MUST(posix_spawn_file_actions_init(&actions) == 0 && posix_spawnattr_init(&attr) == 0);
	bad = add_actions(&actions, s) || set_signals(&attr) ? ENOMEM : 0;
	if (!bad)
		bad = posix_spawn(pid, path, &actions, &attr, (char *const *)(uintptr_t)argv,
		                  (char *const *)(uintptr_t)env);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attr);
	if (bad) {
		errno = bad;
		return err_sys(e, "start %s", path);
	}
	return RC_OK;
}

static void check_numbers(const struct child_start *s)
{
	MUST(s->nfds <= CHILD_FDS);
	for (size_t i = 0; i < s->nfds; i++)
		MUST(s->fds[i].at == (int)i + 3);
}

static void close_sources(struct child_start *s)
{
	for (size_t i = 0; i < s->nfds; i++)
		if (s->fds[i].fd >= 0)
			(void)close(s->fds[i].fd);
}

enum rc child_spawn(const char *program, struct child_start *s, pid_t *pid, struct err *e)
{
	char path[4096];
	enum rc rc = child_path(program, path, sizeof(path), e);

	check_numbers(s);
	if (rc == RC_OK)
		rc = raise_fds(s, e);
	if (rc == RC_OK)
		rc = spawn_with(path, s, pid, e);
	close_sources(s);
	return rc;
}

static enum rc spawn(struct child *c, struct err *e)
{
	struct child_start s = { .nfds = 0 };
	enum rc rc = c->ops->start(c->arg, &s, e);

	if (rc != RC_OK) {
		close_sources(&s);
		return rc;
	}
	return child_spawn(c->program, &s, &c->pid, e);
}

static void describe_end(int status, char *out, size_t room)
{
	if (WIFSIGNALED(status))
		(void)snprintf(out, room, "signal %d (%s)", WTERMSIG(status),
		               strsignal(WTERMSIG(status)));
	else
		(void)snprintf(out, room, "exit %d", WEXITSTATUS(status));
}

static void child_ended(struct child *c, const char *how)
{
	int64_t again_ms = -1;

	loop_timer_clear(c->term);
	loop_timer_clear(c->kill);
	if (!c->stopping) {
		if (c->since_ms && clock_mono_ms() - c->since_ms >= HEALTHY_MS)
			c->wait_ms = FIRST_WAIT_MS;
		again_ms = c->wait_ms;
		c->wait_ms = MIN_OF(c->wait_ms * 2, LAST_WAIT_MS);
		c->restarts++;
		loop_timer_set(c->again, again_ms);
	}
	c->since_ms = 0;
	c->ops->ended(c->arg, how, again_ms); /* may free c */
}

static void forget(struct child *c)
{
	loop_watch_free(&c->watch);
	if (c->pidfd >= 0)
		(void)close(c->pidfd);
	c->pidfd = -1;
	c->pid = -1;
}

static void on_pidfd(void *arg, unsigned what)
{
	struct child *c = arg;
	int status = 0;
	char how[64];
	pid_t got = waitpid(c->pid, &status, WNOHANG);

	(void)what;
	if (got == 0 || (got < 0 && errno == EINTR))
		return;
	describe_end(status, how, sizeof(how));
	forget(c);
	child_ended(c, how);
}

static void start_now(void *arg)
{
	struct child *c = arg;
	struct err e = { .code = RC_OK };

	if (c->stopping) {
		child_ended(c, "not started");
		return;
	}
	if (spawn(c, &e) != RC_OK) {
		child_ended(c, e.text);
		return;
	}
	c->since_ms = clock_mono_ms();
	c->pidfd = pidfd_open(c->pid, 0); /* close-on-exec by definition */
	MUST(c->pidfd >= 0);
	c->watch = loop_watch_new(c->loop, c->pidfd, LOOP_READ, on_pidfd, c);
	if (c->ops->started)
		c->ops->started(c->arg, c->pid);
}

static void send_signal(struct child *c, int number)
{
	if (c->pidfd >= 0 && pidfd_send_signal(c->pidfd, number, NULL, 0) < 0 && errno != ESRCH)
		log_warn("%s[%d]: signal %d: %s", c->program, (int)c->pid, number, strerror(errno));
}

static void on_term(void *arg)
{
	send_signal(arg, SIGTERM);
}

static void on_kill(void *arg)
{
	send_signal(arg, SIGKILL);
}

struct child *child_new(struct loop *l, const char *program, const struct child_ops *ops, void *arg)
{
	struct child *c = mem_new(sizeof(*c));

	c->loop = l;
	c->program = program;
	c->ops = ops;
	c->arg = arg;
	c->pid = -1;
	c->pidfd = -1;
	c->wait_ms = FIRST_WAIT_MS;
	c->again = loop_timer_new(l, start_now, c);
	c->term = loop_timer_new(l, on_term, c);
	c->kill = loop_timer_new(l, on_kill, c);
	loop_timer_set(c->again, 0);
	return c;
}

void child_stop(struct child *c, int64_t term_ms, int64_t kill_ms)
{
	c->stopping = true;
	if (c->pid < 0) {
		loop_timer_set(c->again, 0); /* tells `ended` from the loop, not from here */
		return;
	}
	if (term_ms >= 0)
		loop_timer_set(c->term, term_ms);
	loop_timer_set(c->kill, kill_ms);
}

void child_free(struct child **at)
{
	struct child *c = *at;

	if (!c)
		return;
	*at = NULL;
	if (c->pid > 0) {
		send_signal(c, SIGKILL);
		while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	forget(c);
	loop_timer_free(&c->again);
	loop_timer_free(&c->term);
	loop_timer_free(&c->kill);
	free(c);
}

pid_t child_pid(const struct child *c)
{
	return c->pid;
}

void child_kill(struct child *c)
{
	send_signal(c, SIGKILL);
}

unsigned child_restarts(const struct child *c)
{
	return c->restarts;
}
