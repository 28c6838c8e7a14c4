/*
 * base/loop.h - one thread that waits for descriptors, timers, signals and other threads
 *
 * What     A thin layer over libevent's event_base (epoll). Callbacks run on the thread that calls
 *          loop_run, one after another; after each round of them `after` is called, so that work
 *          that came up in a round (records to commit, positions to report) goes out together.
 * Why      libevent 2.1 has no prepare hook; EVLOOP_ONCE and a call behind it are one.
 * Owner    Whoever makes a watch or timer frees it, at any time, also inside its own callback, and
 *          before loop_free.
 * Threads  Everything on the loop's thread, but for loop_post and loop_stop.
 */
#ifndef MM_BASE_LOOP_H
#define MM_BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct loop;
struct loop_watch;
struct loop_timer;
struct loop_signal;
struct event_base;

#define LOOP_SCRATCH 131072

enum loop_when {
	LOOP_READ = 1,
	LOOP_WRITE = 2,
	LOOP_EDGE = 4,  /* edge-triggered: the callback reads or writes until it would block */
	LOOP_HANGUP = 8 /* told: the peer closed its sending side (with LOOP_READ) */
};

/* Aborts when the system has no epoll or no descriptors left. The process ignores SIGPIPE from now
 * on. */
struct loop *loop_new(void);
void loop_free(struct loop **l);
/* Until loop_stop. `after` may be NULL. */
void loop_run(struct loop *l, void (*after)(void *arg), void *arg);
void loop_stop(struct loop *l); /* from any thread; ends loop_run after the round */
/* Calls fn(arg) on the loop's thread, in the order of the posts. From any thread; a post is never
 * refused or lost. What is posted after the last loop_run never runs. */
void loop_post(struct loop *l, void (*fn)(void *arg), void *arg);

/* The callback gets what is the case, of LOOP_READ, LOOP_WRITE and LOOP_HANGUP. The descriptor stays
 * the caller's, and is closed after loop_watch_free. */
struct loop_watch *loop_watch_new(struct loop *l, int fd, unsigned when,
				  void (*fn)(void *arg, unsigned what), void *arg);
void loop_watch_set(struct loop_watch *w, unsigned when); /* 0: pause */
/* Runs the callback in the next round as if `what` were the case. */
void loop_watch_again(struct loop_watch *w, unsigned what);
void loop_watch_free(struct loop_watch **w); /* NULL is fine */

/* One shot: armed by loop_timer_set, which may be called again, also inside the callback. */
struct loop_timer *loop_timer_new(struct loop *l, void (*fn)(void *arg), void *arg);
void loop_timer_set(struct loop_timer *t, int64_t ms);
void loop_timer_clear(struct loop_timer *t);
void loop_timer_free(struct loop_timer **t); /* NULL is fine */

/* Blocks the signal in this thread (so call it before other threads are made, which then inherit
 * that) and takes it through a signalfd. */
struct loop_signal *loop_signal_new(struct loop *l, int number, void (*fn)(void *arg), void *arg);
void loop_signal_free(struct loop_signal **s);

/* For a library that puts its own events on the loop (libunbound). */
struct event_base *loop_base(struct loop *l);

/* LOOP_SCRATCH bytes that any callback may use until it returns. */
uint8_t *loop_scratch(struct loop *l);

#endif
