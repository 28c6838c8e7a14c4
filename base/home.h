/*
 * base/home.h - a process that is there before its maker confines itself, and makes the children it can't
 *
 * What     mmd may not connect and may not fork, and what it starts inherits that. So the home of such
 *          a program is started
 *          before mmd confines itself. It hears its configuration once, then a task with descriptors for each child,
 *          forks, and reaps none (the kernel does). It reads nothing from outside.
 * Death    The home is two processes: one hears tasks, the other makes it again when it is killed. Its children end
 *          with it (Leash), and are asked for again. That mmd must be restarted takes the death of both.
 * Child    Has a channel to mmd (base/channel.h), and further descriptors of its task.
 * Leash    For a child that must not outlive its use, whatever it is doing: a pipe that is never written. When mmd
 *          closes its end, or dies, the kernel kills who has put on the other; the home's end kills him too.
 * Threads  mmd's side: any. The home has none.
 */
#ifndef MM_BASE_HOME_H
#define MM_BASE_HOME_H

#include "base/json.h"

#define HOME_FD    3     /* the home's channel */
#define HOME_TEXT  65536 /* longest configuration or task */
#define HOME_EXTRA 3     /* descriptors of a task beside the channel */

struct home;

/* `config` is given away, and wiped. */
enum rc home_start(struct home **out, const char *program, json_t *config,
		   struct err *e) MUST_USE;
void home_stop(struct home **h); /* ends its children, waits for it; NULL is fine */

/* *fd: the channel to the new child. `task` is given away. `extra` are duplicated: the caller's stay his. */
enum rc home_child(struct home *h, int *fd, json_t *task, const int *extra, size_t count,
		   struct err *e) MUST_USE;
/* ends[0] is an extra descriptor of the child, who puts it on; ends[1] stays with mmd. */
enum rc home_leash(int ends[2], struct err *e) MUST_USE;
/* False: it can't be, or mmd has let go of it already; the child then ends. */
bool home_put_on(int leash);

/* The home's own main: its exit status; 2 where it wasn't started by home_start. `run` is the child's
 * life: it has `fd`, `extra` (-1 where there is none), and its configuration; behind it the process
 * ends. `prepare` is called once in the home, before anything is heard; false ends it. */
struct home_program {
	const char *name;
	bool (*prepare)(void);
	void (*run)(const json_t *config, const json_t *task, int fd, const int extra[HOME_EXTRA]);
};

int home_main(const struct home_program *p);

#endif
