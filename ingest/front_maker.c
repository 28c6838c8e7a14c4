#include "ingest/front_maker.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

struct order {
	struct order *next;
	bool big;
	struct spool_new_file file;
	enum rc rc;
	struct err why;
};

struct front_maker {
	struct loop *loop;
	struct spool *spool;
	front_made made;
	void *arg;
	unsigned owed; /* the loop's */
	struct loop_watch *back;
	int pipe[2]; /* finished orders, as pointers: nothing runs after the maker is freed */
	pthread_t thread;
	pthread_mutex_t lock; /* below */
	pthread_cond_t more;
	struct order *first;
	struct order **last;
	bool stop;
};

static struct order *next_order(struct front_maker *m)
{
	struct order *o;

	MUST(pthread_mutex_lock(&m->lock) == 0);
	while (!m->first && !m->stop)
		MUST(pthread_cond_wait(&m->more, &m->lock) == 0);
	o = m->stop ? NULL : m->first;
	if (o) {
		m->first = o->next;
		if (!m->first)
			m->last = &m->first;
	}
	MUST(pthread_mutex_unlock(&m->lock) == 0);
	return o;
}

static void *make_all(void *arg)
{
	struct front_maker *m = arg;
	struct order *o;

	while ((o = next_order(m))) {
		o->rc = o->big ? spool_make_big(m->spool, SPOOL_WRITER_SMTP, &o->file, &o->why)
		               : spool_make_file(m->spool, SPOOL_WRITER_SMTP, &o->file, &o->why);
		MUST(write(m->pipe[1], &o, sizeof(o)) == (ssize_t)sizeof(o));
	}
	return NULL;
}

static void on_back(void *arg, unsigned what)
{
	struct front_maker *m = arg;
	struct order *o = NULL;

	(void)what;
	if (read(m->pipe[0], &o, sizeof(o)) != (ssize_t)sizeof(o))
		return;
	m->owed--;
	m->made(m->arg, o->big, o->rc == RC_OK ? &o->file : NULL, &o->why);
	free(o);
}

struct front_maker *front_maker_new(struct loop *l, struct spool *sp, front_made made, void *arg)
{
	struct front_maker *m = mem_new(sizeof(*m));

	m->loop = l;
	m->spool = sp;
	m->made = made;
	m->arg = arg;
	m->last = &m->first;
	MUST(pipe2(m->pipe, O_CLOEXEC) == 0);
	MUST(pthread_mutex_init(&m->lock, NULL) == 0 && pthread_cond_init(&m->more, NULL) == 0);
	MUST(pthread_create(&m->thread, NULL, make_all, m) == 0);
	m->back = loop_watch_new(l, m->pipe[0], LOOP_READ, on_back, m);
	return m;
}

void front_maker_ask(struct front_maker *m, bool big)
{
	struct order *o = mem_new(sizeof(*o));

	o->big = big;
	m->owed++;
	MUST(pthread_mutex_lock(&m->lock) == 0);
	*m->last = o;
	m->last = &o->next;
	MUST(pthread_cond_signal(&m->more) == 0);
	MUST(pthread_mutex_unlock(&m->lock) == 0);
}

void front_maker_drop(struct front_maker *m)
{
	struct order *o;

	MUST(pthread_mutex_lock(&m->lock) == 0);
	while ((o = m->first)) {
		m->first = o->next;
		m->owed--;
		free(o);
	}
	m->last = &m->first;
	MUST(pthread_mutex_unlock(&m->lock) == 0);
}

unsigned front_maker_owes(const struct front_maker *m)
{
	return m->owed;
}

static void drop_made(struct front_maker *m)
{
	struct order *o = NULL;

	(void)close(m->pipe[1]);
	while (read(m->pipe[0], &o, sizeof(o)) == (ssize_t)sizeof(o)) {
		if (o->rc == RC_OK)
			(void)close(o->file.fd);
		free(o);
	}
	(void)close(m->pipe[0]);
}

void front_maker_free(struct front_maker **at)
{
	struct front_maker *m = *at;

	if (!m)
		return;
	*at = NULL;
	MUST(pthread_mutex_lock(&m->lock) == 0);
	m->stop = true;
	MUST(pthread_cond_signal(&m->more) == 0);
	MUST(pthread_mutex_unlock(&m->lock) == 0);
	MUST(pthread_join(m->thread, NULL) == 0);
	loop_watch_free(&m->back);
	drop_made(m);
	front_maker_drop(m);
	(void)pthread_mutex_destroy(&m->lock);
	(void)pthread_cond_destroy(&m->more);
	free(m);
}
