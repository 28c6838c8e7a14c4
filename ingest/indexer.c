#include "ingest/indexer.h"

#include <pthread.h>
#include <stdlib.h>

#include "ingest/background.h"

struct work {
	uint32_t archive;
	struct document document;
};

struct work_list {
	struct work *at;
	size_t count;
	size_t room;
};

struct indexer {
	struct index *index;
	struct work_list next; /* being collected */
	struct work_list now;  /* the thread's while busy */
	pthread_t thread;
	pthread_mutex_t lock; /* everything below */
	pthread_cond_t changed;
	bool busy;
	bool stop;
	enum rc rc;
	struct err why;
};

static void list_clear(struct work_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		document_free(&l->at[i].document);
	l->count = 0;
}

static enum rc index_all(struct indexer *ix, struct err *e)
{
	for (size_t i = 0; i < ix->now.count; i++) {
		const struct work *w = &ix->now.at[i];
		enum rc rc = index_add(ix->index, w->archive, &w->document.doc, e);

		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

static void *run(void *arg)
{
	struct indexer *ix = arg;

	background_thread();
	MUST(pthread_mutex_lock(&ix->lock) == 0);
	for (;;) {
		struct err e = { 0 };
		enum rc rc;

		while (!ix->busy && !ix->stop)
			MUST(pthread_cond_wait(&ix->changed, &ix->lock) == 0);
		if (!ix->busy)
			break;
		MUST(pthread_mutex_unlock(&ix->lock) == 0);
		rc = index_all(ix, &e);
		MUST(pthread_mutex_lock(&ix->lock) == 0);
		ix->rc = rc;
		ix->why = e;
		ix->busy = false;
		MUST(pthread_cond_broadcast(&ix->changed) == 0);
	}
	MUST(pthread_mutex_unlock(&ix->lock) == 0);
	return NULL;
}

enum rc indexer_new(struct indexer **out, struct index *index, struct err *e)
{
	struct indexer *ix = mem_new(sizeof(*ix));

	*out = NULL;
	ix->index = index;
	MUST(pthread_mutex_init(&ix->lock, NULL) == 0 &&
	     pthread_cond_init(&ix->changed, NULL) == 0);
	if (pthread_create(&ix->thread, NULL, run, ix) != 0) {
		free(ix);
		return err_set(e, RC_LIMIT, "no thread for the index");
	}
	*out = ix;
	return RC_OK;
}

void indexer_free(struct indexer **at)
{
	struct indexer *ix = *at;

	if (!ix)
		return;
	*at = NULL;
	MUST(pthread_mutex_lock(&ix->lock) == 0);
	ix->stop = true;
	MUST(pthread_cond_broadcast(&ix->changed) == 0);
	MUST(pthread_mutex_unlock(&ix->lock) == 0);
	MUST(pthread_join(ix->thread, NULL) == 0);
	list_clear(&ix->next);
	list_clear(&ix->now);
	free(ix->next.at);
	free(ix->now.at);
	(void)pthread_cond_destroy(&ix->changed);
	(void)pthread_mutex_destroy(&ix->lock);
	free(ix);
}

void indexer_add(struct indexer *ix, uint32_t archive, const struct document *d)
{
	struct work_list *l = &ix->next;

	if (l->count == l->room) {
		l->room = l->room ? l->room * 2 : 64;
		l->at = mem_resize(l->at, l->room * sizeof(*l->at));
	}
	l->at[l->count++] = (struct work) { archive, *d };
}

void indexer_begin(struct indexer *ix)
{
	struct work_list done = ix->now; /* empty since indexer_wait */

	MUST(done.count == 0);
	if (ix->next.count == 0)
		return;
	MUST(pthread_mutex_lock(&ix->lock) == 0);
	MUST(!ix->busy);
	ix->now = ix->next;
	ix->next = done;
	ix->busy = true;
	MUST(pthread_cond_broadcast(&ix->changed) == 0);
	MUST(pthread_mutex_unlock(&ix->lock) == 0);
}

enum rc indexer_wait(struct indexer *ix, struct err *e)
{
	enum rc rc;

	MUST(pthread_mutex_lock(&ix->lock) == 0);
	while (ix->busy)
		MUST(pthread_cond_wait(&ix->changed, &ix->lock) == 0);
	rc = ix->rc;
	if (rc != RC_OK && e)
		*e = ix->why;
	ix->rc = RC_OK;
	MUST(pthread_mutex_unlock(&ix->lock) == 0);
	list_clear(&ix->now);
	return rc;
}

void indexer_forget(struct indexer *ix)
{
	list_clear(&ix->next);
}
