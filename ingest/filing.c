#include "ingest/filing.h"

#include <pthread.h>
#include <stdlib.h>

#include "ingest/background.h"

struct work {
	uint32_t archive;
	struct store_message message;
	uint8_t *meta; /* that of the message */
	struct document document;
};

struct work_list {
	struct work *at;
	size_t count;
	size_t room;
};

enum { STORE, INDEX, SIDES };

/* One of the two threads. */
struct side {
	struct filing *filing;
	enum rc (*file)(struct filing *f, const struct work *w, struct err *e);
	pthread_t thread;
	bool started;
	bool busy;
	enum rc rc;
	struct err why;
};

struct filing {
	struct store *store;
	struct index *index;
	struct work_list next; /* being collected */
	struct work_list now;  /* the threads' while one is busy */
	pthread_mutex_t lock;  /* everything below */
	pthread_cond_t changed;
	struct side sides[SIDES];
	bool stop;
};

static enum rc into_store(struct filing *f, const struct work *w, struct err *e)
{
	if (store_has(f->store, w->archive, &w->message.id))
		return RC_OK;
	return store_put(f->store, w->archive, &w->message, e);
}

static enum rc into_index(struct filing *f, const struct work *w, struct err *e)
{
	return index_add(f->index, w->archive, &w->document.doc, e);
}

static void list_clear(struct work_list *l)
{
	for (size_t i = 0; i < l->count; i++) {
		document_free(&l->at[i].document);
		free(l->at[i].meta);
	}
	l->count = 0;
}

static enum rc file_all(const struct side *s, struct err *e)
{
	const struct work_list *l = &s->filing->now;
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < l->count; i++)
		rc = s->file(s->filing, &l->at[i], e);
	return rc;
}

static void *run(void *arg)
{
	struct side *s = arg;
	struct filing *f = s->filing;

	background_thread();
	MUST(pthread_mutex_lock(&f->lock) == 0);
	for (;;) {
		struct err e = { 0 };
		enum rc rc;

		while (!s->busy && !f->stop)
			MUST(pthread_cond_wait(&f->changed, &f->lock) == 0);
		if (!s->busy)
			break;
		MUST(pthread_mutex_unlock(&f->lock) == 0);
		rc = file_all(s, &e);
		MUST(pthread_mutex_lock(&f->lock) == 0);
		s->rc = rc;
		s->why = e;
		s->busy = false;
		MUST(pthread_cond_broadcast(&f->changed) == 0);
	}
	MUST(pthread_mutex_unlock(&f->lock) == 0);
	return NULL;
}

static bool start(struct filing *f)
{
	for (size_t i = 0; i < SIDES; i++) {
		struct side *s = &f->sides[i];

		s->filing = f;
		s->file = i == STORE ? into_store : into_index;
		s->started = pthread_create(&s->thread, NULL, run, s) == 0;
		if (!s->started)
			return false;
	}
	return true;
}

enum rc filing_new(struct filing **out, struct store *store, struct index *index, struct err *e)
{
	struct filing *f = mem_new(sizeof(*f));

	*out = NULL;
	f->store = store;
	f->index = index;
	MUST(pthread_mutex_init(&f->lock, NULL) == 0 && pthread_cond_init(&f->changed, NULL) == 0);
	if (!start(f)) {
		filing_free(&f);
		return err_set(e, RC_LIMIT, "no threads for store and index");
	}
	*out = f;
	return RC_OK;
}

void filing_free(struct filing **at)
{
	struct filing *f = *at;

	if (!f)
		return;
	*at = NULL;
	MUST(pthread_mutex_lock(&f->lock) == 0);
	f->stop = true;
	MUST(pthread_cond_broadcast(&f->changed) == 0);
	MUST(pthread_mutex_unlock(&f->lock) == 0);
	for (size_t i = 0; i < SIDES; i++)
		MUST(!f->sides[i].started || pthread_join(f->sides[i].thread, NULL) == 0);
	list_clear(&f->next);
	list_clear(&f->now);
	free(f->next.at);
	free(f->now.at);
	(void)pthread_cond_destroy(&f->changed);
	(void)pthread_mutex_destroy(&f->lock);
	free(f);
}

void filing_add(struct filing *f, uint32_t archive, const struct store_message *m,
                const struct document *d)
{
	struct work_list *l = &f->next;
	struct work w = { .archive = archive, .message = *m, .document = *d };

	if (l->count == l->room) {
		l->room = l->room ? l->room * 2 : 64;
		l->at = mem_resize(l->at, l->room * sizeof(*l->at));
	}
	if (m->meta.len) {
		w.meta = mem_new(m->meta.len);
		memcpy(w.meta, m->meta.at, m->meta.len);
		w.message.meta = slice_of(w.meta, m->meta.len);
	}
	l->at[l->count++] = w;
}

void filing_begin(struct filing *f)
{
	struct work_list done = f->now; /* empty since filing_wait */

	MUST(done.count == 0);
	if (f->next.count == 0)
		return;
	MUST(pthread_mutex_lock(&f->lock) == 0);
	f->now = f->next;
	f->next = done;
	for (size_t i = 0; i < SIDES; i++) {
		MUST(!f->sides[i].busy);
		f->sides[i].busy = true;
	}
	MUST(pthread_cond_broadcast(&f->changed) == 0);
	MUST(pthread_mutex_unlock(&f->lock) == 0);
}

enum rc filing_wait(struct filing *f, struct err *e)
{
	enum rc rc = RC_OK;

	MUST(pthread_mutex_lock(&f->lock) == 0);
	while (f->sides[STORE].busy || f->sides[INDEX].busy)
		MUST(pthread_cond_wait(&f->changed, &f->lock) == 0);
	for (size_t i = 0; i < SIDES; i++) {
		struct side *s = &f->sides[i];

		if (rc == RC_OK && s->rc != RC_OK && e)
			*e = s->why;
		rc = rc == RC_OK ? s->rc : rc;
		s->rc = RC_OK;
	}
	MUST(pthread_mutex_unlock(&f->lock) == 0);
	list_clear(&f->now);
	return rc;
}

void filing_forget(struct filing *f)
{
	list_clear(&f->next);
}
