/*
 * base/child.h - the programs that mmd starts, restarts and stops
 *
 * What     Starts a program that lies in MM_LIBEXEC beside this one (/proc/self/exe), as installed
 *          (../libexec/mm: CMakeLists.txt), else beside it, as in the build tree; a name with a '/'
 *          is taken as it is. It gets given descriptors at given numbers, stderr, /dev/null as stdin
 *          and stdout, and nothing else open; signals at their defaults; few variables.
 *          It is watched by a pidfd. When it ends it is started again, after 100 ms, then twice that
 *          each time up to 10 s; 30 s of life set the wait back to 100 ms.
 * Owner    Who made it frees it; child_free kills what still runs and reaps it.
 * Threads  The loop's.
 */
#ifndef MM_BASE_CHILD_H
#define MM_BASE_CHILD_H

#include <sys/types.h>

#include "base/loop.h"

#define CHILD_FDS 8

struct child;

/* What one start gets: descriptor `fd` becomes number `at` (3, 4, 5... in this order) in the child. */
struct child_start {
	const char *args[16]; /* after the program's name; NULL ends; they live for the call */
	struct {
		int fd;
		int at;
	} fds[CHILD_FDS];
	size_t nfds;
};

struct child_ops {
	/* Before every start: fills `s`. The descriptors in it are closed in this process after the
	 * spawn, whether it worked or not. An error counts as a start that failed. */
	enum rc (*start)(void *arg, struct child_start *s, struct err *e);
	/* It runs. May be NULL. */
	void (*started)(void *arg, pid_t pid);
	/* It ended, or couldn't be started. `how`: "exit 3", "signal 9 (Killed)", or the error.
	 * `again_ms`: when it will be started again; -1 when it won't (after child_stop). */
	void (*ended)(void *arg, const char *how, int64_t again_ms);
};

/* Starts in the loop's next round. `program` and `ops` live as long as the child. */
struct child *child_new(struct loop *l, const char *program, const struct child_ops *ops, void *arg);
/* No more restarts. SIGTERM after term_ms (-1: never), SIGKILL after kill_ms. `ended` follows, with
 * -1, also when nothing runs. */
void child_stop(struct child *c, int64_t term_ms, int64_t kill_ms);
void child_free(struct child **c); /* NULL is fine */
pid_t child_pid(const struct child *c); /* -1 when none runs */
/* SIGKILL; it is started again. For a child that hangs or talks nonsense. */
void child_kill(struct child *c);
/* How often it ended by itself. */
unsigned child_restarts(const struct child *c);
/* One start without a loop and without restarts, for who watches and reaps by himself (waitpid). The
 * descriptors in `s` are closed in this process, whether it worked or not. */
enum rc child_spawn(const char *program, struct child_start *s, pid_t *pid,
		    struct err *e) MUST_USE;
/* The program's path as child_new would take it. */
enum rc child_path(const char *program, char *out, size_t room, struct err *e) MUST_USE;

#endif
