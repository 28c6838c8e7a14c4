#include "base/loop.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct post {
	struct post *next;
	void (*fn)(void *arg);
	void *arg;
};

struct loop {
	struct event_base *base;
	atomic_bool stop;
	int wake; /* eventfd; written when the first post is queued */
	struct event *woken;
	pthread_mutex_t lock; /* first, last */
	struct post *first;
	struct post **last;
	uint8_t *scratch;
};

struct loop_watch {
	struct loop *loop;
	struct event *event;
	int fd;
	unsigned when;
	void (*fn)(void *arg, unsigned what);
	void *arg;
};

struct loop_timer {
	struct event *event;
	void (*fn)(void *arg);
	void *arg;
};

struct loop_signal {
	struct event *event;
	int fd;
	void (*fn)(void *arg);
	void *arg;
};

static struct post *take_posts(struct loop *l)
{
	struct post *p;

	MUST(pthread_mutex_lock(&l->lock) == 0);
	p = l->first;
	l->first = NULL;
	l->last = &l->first;
	MUST(pthread_mutex_unlock(&l->lock) == 0);
	return p;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	uint64_t n;
	struct post *p;

	(void)what;
	if (read(fd, &n, sizeof(n)) < 0) /* the count is of no use, and EAGAIN harmless */
		n = 0;
	p = take_posts(l);
	while (p) {
		struct post *next = p->next;

		p->fn(p->arg);
		free(p);
		p = next;
	}
}

static struct event_base *base_new(void)
{
	struct event_config *c = event_config_new();
	struct event_base *b;

	MUST(c);
	MUST(event_config_require_features(c, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE) == 0);
	MUST(event_config_set_flag(c, EVENT_BASE_FLAG_NOLOCK) == 0);
	MUST(event_config_set_flag(c, EVENT_BASE_FLAG_IGNORE_ENV) == 0);
	b = event_base_new_with_config(c);
	event_config_free(c);
	MUST(b);
	return b;
}

struct loop *loop_new(void)
{
	struct loop *l = mem_new(sizeof(*l));

	/* OpenSSL has no MSG_NOSIGNAL. A file that may not grow is an error like a full disk. */
	MUST(signal(SIGPIPE, SIG_IGN) != SIG_ERR && signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	l->base = base_new();
	l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	MUST(l->wake >= 0);
	l->woken = event_new(l->base, l->wake, EV_READ | EV_PERSIST, on_wake, l);
	MUST(l->woken && event_add(l->woken, NULL) == 0);
	MUST(pthread_mutex_init(&l->lock, NULL) == 0);
	l->last = &l->first;
	l->scratch = mem_new(LOOP_SCRATCH);
	return l;
}

void loop_free(struct loop **at)
{
	struct loop *l = *at;
	struct post *p;

	if (!l)
		return;
	*at = NULL;
	p = take_posts(l);
	while (p) {
		struct post *next = p->next;

		free(p);
		p = next;
	}
	event_free(l->woken);
	event_base_free(l->base);
	(void)close(l->wake);
	(void)pthread_mutex_destroy(&l->lock);
	free(l->scratch);
	free(l);
}

void loop_run(struct loop *l, void (*after)(void *arg), void *arg)
{
	while (!atomic_load(&l->stop)) {
		MUST(event_base_loop(l->base, EVLOOP_ONCE) >= 0);
		if (after)
			after(arg);
	}
	atomic_store(&l->stop, false);
}

static void wake(struct loop *l)
{
	uint64_t one = 1;

	/* EAGAIN means that the counter is full: the loop will wake anyway. */
	if (write(l->wake, &one, sizeof(one)) < 0) /* tidy: an eventfd */
		return;
}

void loop_stop(struct loop *l)
{
	atomic_store(&l->stop, true);
	wake(l);
}

void loop_post(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct post *p = mem_new(sizeof(*p));
	bool first;

	p->fn = fn;
	p->arg = arg;
	MUST(pthread_mutex_lock(&l->lock) == 0);
	first = !l->first;
	*l->last = p;
	l->last = &p->next;
	MUST(pthread_mutex_unlock(&l->lock) == 0);
	if (first)
		wake(l);
}

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct loop_watch *w = arg;
	unsigned got = 0;

	(void)fd;
	if (what & EV_READ)
		got |= LOOP_READ;
	if (what & EV_WRITE)
		got |= LOOP_WRITE;
	if (what & EV_CLOSED)
		got |= LOOP_HANGUP;
	w->fn(w->arg, got); /* may free w */
}

static short event_flags(unsigned when)
{
	int flags = EV_PERSIST;

	if (when & LOOP_READ)
		flags |= EV_READ;
	if (when & LOOP_WRITE)
		flags |= EV_WRITE;
	if (when & LOOP_EDGE)
		flags |= EV_ET;
	if (when & LOOP_HANGUP)
		flags |= EV_CLOSED;
	return (short)flags;
}

struct loop_watch *loop_watch_new(struct loop *l, int fd, unsigned when,
                                  void (*fn)(void *arg, unsigned what), void *arg)
{
	struct loop_watch *w = mem_new(sizeof(*w));

	w->loop = l;
	w->fd = fd;
	w->fn = fn;
	w->arg = arg;
	w->event = event_new(l->base, fd, event_flags(when), on_watch, w);
	MUST(w->event);
	loop_watch_set(w, when);
	return w;
}

void loop_watch_set(struct loop_watch *w, unsigned when)
{
	if (when == w->when)
		return;
	if (w->when)
		(void)event_del(w->event);
	w->when = when;
	if (!(when & (LOOP_READ | LOOP_WRITE | LOOP_HANGUP)))
		return;
	MUST(event_assign(w->event, w->loop->base, w->fd, event_flags(when), on_watch, w) == 0);
	MUST(event_add(w->event, NULL) == 0);
}

void loop_watch_again(struct loop_watch *w, unsigned what)
{
	int flags = 0;

	if (what & LOOP_READ)
		flags |= EV_READ;
	if (what & LOOP_WRITE)
		flags |= EV_WRITE;
	event_active(w->event, flags, 0);
}

void loop_watch_free(struct loop_watch **at)
{
	struct loop_watch *w = *at;

	if (!w)
		return;
	*at = NULL;
	event_free(w->event);
	free(w);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;

	(void)fd;
	(void)what;
	t->fn(t->arg); /* may free t */
}

struct loop_timer *loop_timer_new(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct loop_timer *t = mem_new(sizeof(*t));

	t->fn = fn;
	t->arg = arg;
	t->event = event_new(l->base, -1, 0, on_timer, t);
	MUST(t->event);
	return t;
}

void loop_timer_set(struct loop_timer *t, int64_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	MUST(event_add(t->event, &tv) == 0);
}

void loop_timer_clear(struct loop_timer *t)
{
	(void)event_del(t->event);
}

void loop_timer_free(struct loop_timer **at)
{
	struct loop_timer *t = *at;

	if (!t)
		return;
	*at = NULL;
	event_free(t->event);
	free(t);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	struct loop_signal *s = arg;
	struct signalfd_siginfo info;

	(void)what;
	if (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		s->fn(s->arg); /* may free s */
}

struct loop_signal *loop_signal_new(struct loop *l, int number, void (*fn)(void *arg), void *arg)
{
	struct loop_signal *s = mem_new(sizeof(*s));
	sigset_t set;

	MUST(sigemptyset(&set) == 0 && sigaddset(&set, number) == 0);
	MUST(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
	s->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	MUST(s->fd >= 0);
	s->fn = fn;
	s->arg = arg;
	s->event = event_new(l->base, s->fd, EV_READ | EV_PERSIST, on_signal, s);
	MUST(s->event && event_add(s->event, NULL) == 0);
	return s;
}

void loop_signal_free(struct loop_signal **at)
{
	struct loop_signal *s = *at;

	if (!s)
		return;
	*at = NULL;
	event_free(s->event);
	(void)close(s->fd);
	free(s);
}

struct event_base *loop_base(struct loop *l)
{
	return l->base;
}

uint8_t *loop_scratch(struct loop *l)
{
	return l->scratch;
}
