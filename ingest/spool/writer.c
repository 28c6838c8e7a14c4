#include "ingest/spool/writer.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/limits.h"
#include "ingest/spool/writer_core.h"

#define DEFAULT_MEMORY  (UINT32_C(256) << 20)
#define DEFAULT_BACKLOG 1000
#define DEFAULT_BIGS    2
#define DRAFT_FIRST     8192 /* bytes: most messages fit */
#define GROUP_VECTORS   1024

static void set_defaults(struct spool_writer_options *o)
{
	if (!o->memory)
		o->memory = DEFAULT_MEMORY;
	if (!o->inline_bytes || o->inline_bytes > LIMIT_SPOOL_INLINE)
		o->inline_bytes = LIMIT_SPOOL_INLINE;
	if (!o->backlog)
		o->backlog = DEFAULT_BACKLOG;
	if (!o->bigs_ready)
		o->bigs_ready = DEFAULT_BIGS;
	if (!o->bigs_most)
		o->bigs_most = UINT_MAX;
}

/* Signals are the loop thread's: the new thread starts with all of them blocked. */
static int start_thread(struct spool_writer *w)
{
	sigset_t all;
	sigset_t before;
	int error;

	sigfillset(&all);
	MUST(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	error = pthread_create(&w->thread, NULL, writer_run, w);
	MUST(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
	return error;
}

static void release(struct spool_writer **w)
{
	pthread_cond_destroy(&(*w)->wake);
	pthread_mutex_destroy(&(*w)->lock);
	if ((*w)->event_fd >= 0)
		(void)close((*w)->event_fd);
	free((*w)->iov);
	free((*w)->block);
	free((*w)->news);
	crypt_wipe(*w, sizeof(**w));
	free(*w);
	*w = NULL;
}

enum rc spool_writer_new(struct spool_writer **out, const struct spool_writer_options *opt,
                         const struct spool_writer_ops *ops, void *app, struct err *e)
{
	struct spool_writer *w = mem_new(sizeof(*w));
	enum rc rc;

	*out = NULL;
	w->opt = *opt;
	set_defaults(&w->opt);
	w->ops = *ops;
	w->app = app;
	w->iov = mem_array(GROUP_VECTORS, sizeof(*w->iov));
	w->block = mem_new(SPOOL_FIRST);
	w->random_used = sizeof(w->random);
	w->last_ms = opt->floor_ms;
	w->last_sequence = UINT32_MAX >> 1; /* used up: the first message is after the floor */
	draft_list_init(&w->fresh);
	draft_list_init(&w->refused);
	draft_list_init(&w->want_big);
	draft_list_init(&w->queue);
	draft_list_init(&w->done);
	MUST(pthread_mutex_init(&w->lock, NULL) == 0 && pthread_cond_init(&w->wake, NULL) == 0);
	w->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->event_fd < 0) {
		rc = err_sys(e, "spool writer: eventfd");
		release(&w);
		return rc;
	}
	errno = start_thread(w);
	if (errno) {
		rc = err_sys(e, "spool writer: start its thread");
		release(&w);
		return rc;
	}
	*out = w;
	return RC_OK;
}

enum rc spool_writer_give_file(struct spool_writer *w, uint64_t number, int fd, uint64_t capacity,
                               const uint8_t public_key[32], struct err *e)
{
	struct writer_file *f;
	struct writer_file **end;
	char name[32];

	w->files_asked -= w->files_asked > 0;
	if (w->stopped || capacity < SPOOL_MIN_CAPACITY || capacity % SPOOL_GROUP_ALIGN != 0) {
		(void)close(fd);
		return err_set(e, RC_INVALID, "spool file %llu with %llu bytes can't be used",
		               (unsigned long long)number, (unsigned long long)capacity);
	}
	(void)snprintf(name, sizeof(name), "%08llu.spool", (unsigned long long)number);
	f = mem_new(sizeof(*f));
	f->number = number;
	f->capacity = capacity;
	f->file = file_adopt(fd, name);
	memcpy(f->public_key, public_key, SPOOL_KEY);
	w->inline_bytes = (size_t)MIN_OF((uint64_t)w->opt.inline_bytes, capacity / 4);
	w->meta_max = (size_t)MIN_OF((uint64_t)SPOOL_META_MAX, capacity / 4);
	pthread_mutex_lock(&w->lock);
	for (end = &w->ready; *end; end = &(*end)->next)
		;
	*end = f;
	w->ready_count++;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	return RC_OK;
}

/* ---- big files ---- */

static void big_free(struct spool_writer *w, struct spool_big **b)
{
	if (!*b)
		return;
	w->bigs_open--;
	file_close(&(*b)->file);
	crypt_wipe(*b, sizeof(**b));
	free(*b);
	*b = NULL;
}

static void big_keep(struct spool_writer *w, struct spool_big *b)
{
	b->next = w->bigs;
	w->bigs = b;
	w->bigs_ready++;
}

/* Takes the big file of a draft that came to nothing back, empty. */
static void big_recover(struct spool_draft *d)
{
	struct spool_big *b = d->big;

	d->big = NULL;
	if (b && file_truncate(b->file, 0, NULL) == RC_OK && !d->w->stopped)
		big_keep(d->w, b);
	else
		big_free(d->w, &b);
}

static struct spool_big *big_take(struct spool_writer *w)
{
	struct spool_big *b = w->bigs;

	if (b) {
		w->bigs = b->next;
		w->bigs_ready--;
	}
	return b;
}

static void big_assign(struct spool_draft *d, struct spool_big *b)
{
	b->next = NULL;
	b->pieces = 0;
	crypt_random(b->key, sizeof(b->key));
	d->big = b;
}

/* A draft has become too large for a record: it gets a big file, or waits for one. */
static void want_big(struct spool_draft *d)
{
	struct spool_writer *w = d->w;
	struct spool_big *b;

	if (d->big || d->waits_for_big)
		return;
	b = big_take(w);
	if (b) {
		big_assign(d, b);
		return;
	}
	d->waits_for_big = true;
	draft_list_add(&w->want_big, d);
	w->want_big_count++;
}

static void stop_waiting_for_big(struct spool_draft *d)
{
	struct spool_writer *w = d->w;
	struct draft_list rest;
	struct spool_draft *one;

	if (!d->waits_for_big)
		return;
	draft_list_init(&rest);
	while ((one = draft_list_take(&w->want_big)))
		if (one != d)
			draft_list_add(&rest, one);
	draft_list_join(&w->want_big, &rest);
	w->want_big_count--;
	d->waits_for_big = false;
}

/* ---- drafts ---- */

static void charge(struct spool_draft *d)
{
	size_t held = d->record.room + d->meta.room;

	d->w->used = d->w->used - d->charged + held;
	d->charged = held;
}

/* Makes room for n more plain bytes, within the budget of all drafts. */
static enum rc grow(struct spool_draft *d, size_t n, struct err *e)
{
	struct spool_writer *w = d->w;
	size_t want = d->record.len + draft_need(n) + 1;
	size_t room = d->record.room ? d->record.room : DRAFT_FIRST;

	if (want <= d->record.room)
		return RC_OK;
	while (room < want)
		room *= 2;
	if (room - d->record.room > w->opt.memory - MIN_OF(w->used, w->opt.memory))
		return err_set(e, RC_NOSPACE, "the memory for messages on their way is used up");
	if (buf_reserve(&d->record, room - d->record.len - 1) != RC_OK)
		return err_set(e, RC_NOSPACE, "out of memory");
	charge(d);
	return RC_OK;
}

/* This draft becomes no message. What is not only a full disk or budget ends the writer too. */
static enum rc fail(struct spool_draft *d, const struct err *why)
{
	stop_waiting_for_big(d);
	if (why->code != RC_NOSPACE && why->code != RC_LIMIT && !d->w->failed)
		writer_break(d->w, why);
	d->err = *why;
	if (d->err.code != RC_NOSPACE && d->err.code != RC_LIMIT)
		d->err.code = RC_IO;
	big_recover(d);
	buf_free(&d->record);
	charge(d);
	return d->err.code;
}

static enum rc say(const struct err *why, struct err *e)
{
	if (e)
		*e = *why;
	return why->code;
}

enum rc spool_begin(struct spool_writer *w, struct spool_draft **out, struct err *e)
{
	struct spool_draft *d;
	enum rc rc;

	*out = NULL;
	if (w->failed)
		return say(&w->why, e);
	if (w->stopped)
		return err_set(e, RC_IO, "the spool is closed");
	if (w->inline_bytes == 0 || (atomic_load(&w->starved) && w->waiting >= w->opt.backlog))
		return err_set(e, RC_NOSPACE, "the spool has no file to write to");
	d = draft_new(w, w->opt.memory);
	rc = grow(d, 0, e);
	if (rc != RC_OK) {
		draft_free(d);
		return rc;
	}
	d->record.len = SPOOL_HEADER;
	w->drafts++;
	*out = d;
	return RC_OK;
}

/* In steps of a piece, so that a large draft holds little memory. */
static enum rc add_streaming(struct spool_draft *d, struct slice bytes, struct err *e)
{
	enum rc rc = draft_drain(d, e);

	while (rc == RC_OK && bytes.len) {
		struct slice step = slice_part(bytes, 0, SPOOL_PIECE);

		rc = grow(d, step.len, e);
		if (rc != RC_OK)
			break;
		draft_put(d, step);
		rc = draft_drain(d, e);
		bytes = slice_from(bytes, step.len);
	}
	return rc;
}

enum rc spool_add(struct spool_draft *d, struct slice bytes, struct err *e)
{
	struct err why = { 0 };
	enum rc rc;

	if (d->err.code != RC_OK)
		return say(&d->err, e);
	if (d->w->failed)
		rc = say(&d->w->why, &why);
	else if (bytes.len == 0)
		return RC_OK;
	else {
		if (d->trailer.raw_bytes + bytes.len > d->w->inline_bytes)
			want_big(d);
		if (d->big) {
			rc = add_streaming(d, bytes, &why);
		} else {
			rc = grow(d, bytes.len, &why);
			if (rc == RC_OK)
				draft_put(d, bytes);
		}
	}
	if (rc != RC_OK) {
		rc = fail(d, &why);
		return say(&d->err, e);
	}
	sha256_add(d->sha, bytes);
	d->trailer.raw_bytes += bytes.len;
	return RC_OK;
}

bool spool_draft_waits(const struct spool_draft *d)
{
	return d->waits_for_big;
}

void spool_draft_owner(struct spool_draft *d, void *cookie)
{
	d->cookie = cookie;
}

static void forget(struct spool_draft *d)
{
	d->w->used -= d->charged;
	draft_free(d);
}

void spool_abort(struct spool_draft **d)
{
	if (!*d)
		return;
	MUST(!(*d)->committed);
	stop_waiting_for_big(*d);
	big_recover(*d);
	(*d)->w->drafts--;
	forget(*d);
	*d = NULL;
}

/* `done` will tell the error of the draft from the next reap. */
static void refuse(struct spool_draft *d)
{
	struct spool_writer *w = d->w;

	draft_list_add(&w->refused, d);
	pthread_mutex_lock(&w->lock);
	writer_unlock_and_tell(w);
}

/* All bytes are there: what is left is the trailer, which the writer thread adds. */
static void finish_commit(struct spool_draft *d, struct slice meta)
{
	struct err e = { 0 };
	enum rc rc = grow(d, SPOOL_BIG_REF + meta.len + SPOOL_TRAILER, &e);

	if (rc == RC_OK && d->big)
		rc = draft_drain_last(d, &e);
	if (rc != RC_OK) {
		(void)fail(d, &e);
		refuse(d);
		return;
	}
	draft_put(d, meta);
	d->trailer.meta_bytes = (uint32_t)meta.len;
	draft_list_add(&d->w->fresh, d);
}

/* The commit waits for a big file, its meta with it. */
static bool keep_meta(struct spool_draft *d, struct slice meta)
{
	struct spool_writer *w = d->w;
	enum rc rc = RC_NOSPACE;

	if (meta.len <= w->opt.memory - MIN_OF(w->used, w->opt.memory))
		rc = buf_add(&d->meta, meta);
	if (rc != RC_OK) {
		struct err e = { 0 };

		(void)err_set(&e, RC_NOSPACE, "no memory is left for a message's meta");
		(void)fail(d, &e);
		return false;
	}
	charge(d);
	return true;
}

void spool_commit(struct spool_draft **draft, struct slice meta, void *cookie)
{
	struct spool_draft *d = *draft;
	struct spool_writer *w = d->w;

	*draft = NULL;
	MUST(!d->committed);
	d->committed = true;
	d->cookie = cookie;
	w->drafts--;
	w->waiting++;
	sha256_end(&d->sha, d->trailer.sha256);
	if (d->err.code == RC_OK && (w->failed || w->stopped)) {
		if (!w->failed)
			(void)err_set(&w->why, RC_IO, "the spool is closed");
		(void)fail(d, &w->why);
	} else if (d->err.code == RC_OK && meta.len > w->meta_max) {
		struct err e = { 0 };

		(void)err_set(&e, RC_LIMIT, "meta of %zu bytes is too large", meta.len);
		(void)fail(d, &e);
	}
	if (d->err.code != RC_OK || (d->waits_for_big && !keep_meta(d, meta)))
		refuse(d);
	else if (!d->waits_for_big)
		finish_commit(d, meta);
}

/* To the draft that waits longest. */
static void hand_over(struct spool_writer *w, struct spool_big *b)
{
	struct spool_draft *d = draft_list_take(&w->want_big);
	struct err e = { 0 };

	w->want_big_count--;
	d->waits_for_big = false;
	big_assign(d, b);
	if (draft_drain(d, &e) != RC_OK) {
		(void)fail(d, &e);
		if (d->committed)
			refuse(d);
	} else if (d->committed) {
		finish_commit(d, buf_slice(&d->meta));
	}
	if (!d->committed && w->ops.go_on)
		w->ops.go_on(w->app, d->cookie);
}

void spool_writer_give_big(struct spool_writer *w, uint64_t number, int fd)
{
	struct spool_big *b = mem_new(sizeof(*b));
	char name[32];

	w->bigs_asked -= w->bigs_asked > 0;
	w->bigs_open++;
	(void)snprintf(name, sizeof(name), "%08llu.big", (unsigned long long)number);
	b->number = number;
	b->file = file_adopt(fd, name);
	if (w->stopped)
		big_free(w, &b);
	else if (w->want_big_count)
		hand_over(w, b);
	else
		big_keep(w, b);
}

/* ---- the loop's calls ---- */

static unsigned files_there(struct spool_writer *w)
{
	unsigned n;

	pthread_mutex_lock(&w->lock);
	n = w->ready_count + (w->has_current ? 1 : 0);
	pthread_mutex_unlock(&w->lock);
	return n;
}

static void ask(struct spool_writer *w)
{
	if (w->failed || w->stopped)
		return;
	while (files_there(w) + w->files_asked < SPOOL_ASKED_FILES) {
		w->files_asked++;
		w->ops.need_file(w->app);
	}
	while (w->bigs_asked < SPOOL_ASKED_BIGS &&
	       w->bigs_open + w->bigs_asked < w->opt.bigs_most &&
	       w->bigs_ready + w->bigs_asked < w->opt.bigs_ready + w->want_big_count) {
		w->bigs_asked++;
		w->ops.need_big(w->app);
	}
}

void spool_writer_flush(struct spool_writer *w)
{
	/* What drafts gave back. */
	while (w->bigs && w->want_big_count)
		hand_over(w, big_take(w));
	if (w->fresh.first) {
		pthread_mutex_lock(&w->lock);
		draft_list_join(&w->queue, &w->fresh);
		pthread_mutex_unlock(&w->lock);
		pthread_cond_signal(&w->wake);
	}
	ask(w);
}

int spool_writer_event_fd(const struct spool_writer *w)
{
	return w->event_fd;
}

static void deliver(struct spool_writer *w, struct draft_list *l)
{
	struct spool_draft *d;

	while ((d = draft_list_take(l))) {
		/* Of one that failed with the writer the record may be on disk all the same. */
		if (d->proof || w->failed)
			big_free(w, &d->big);
		else
			big_recover(d);
		if (!d->mute) {
			w->waiting--;
			w->ops.done(w->app, d->cookie, &d->trailer.id, d->trailer.received_ms,
			            d->proof, d->proof ? NULL : &d->err);
		}
		forget(d);
	}
}

static void tell_news(struct spool_writer *w, struct writer_news *news, size_t count)
{
	for (size_t i = 0; i < count; i++)
		w->ops.progress(w->app, news[i].file, news[i].offset, news[i].messages);
	free(news);
}

void spool_writer_reap(struct spool_writer *w)
{
	struct draft_list done;
	struct writer_news *news;
	struct writer_file *retired;
	size_t news_count;
	uint64_t count;

	draft_list_init(&done);
	(void)!read(w->event_fd, &count, sizeof(count));
	pthread_mutex_lock(&w->lock);
	w->told = false;
	draft_list_join(&done, &w->done);
	news = w->news;
	news_count = w->news_count;
	w->news = NULL;
	w->news_count = 0;
	retired = w->retired;
	w->retired = NULL;
	if (w->broken && !w->failed) {
		w->failed = true;
		w->why = w->broken_why;
	}
	pthread_mutex_unlock(&w->lock);
	tell_news(w, news, news_count);
	draft_list_join(&done, &w->refused);
	deliver(w, &done);
	while (retired) {
		struct writer_file *next = retired->next;

		writer_file_free(&retired);
		retired = next;
	}
	ask(w);
}

size_t spool_writer_waiting(const struct spool_writer *w)
{
	return w->waiting;
}

const struct err *spool_writer_failed(const struct spool_writer *w)
{
	return w->failed ? &w->why : NULL;
}

void spool_writer_end_file(struct spool_writer *w)
{
	spool_writer_flush(w);
	pthread_mutex_lock(&w->lock);
	w->end_file = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

/* Commits that no big file came for. */
static void refuse_waiting(struct spool_writer *w)
{
	struct spool_draft *d;

	while ((d = draft_list_take(&w->want_big))) {
		struct err e = { 0 };

		d->waits_for_big = false;
		w->want_big_count--;
		(void)err_set(&e, RC_NOSPACE, "the spool has no file for a large message");
		(void)fail(d, &e);
		if (d->committed)
			refuse(d);
	}
}

void spool_writer_stop(struct spool_writer *w)
{
	if (w->stopped)
		return;
	refuse_waiting(w);
	w->stopped = true;
	pthread_mutex_lock(&w->lock);
	draft_list_join(&w->queue, &w->fresh);
	w->stop = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	MUST(pthread_join(w->thread, NULL) == 0);
	spool_writer_reap(w);
}

void spool_writer_free(struct spool_writer **w)
{
	struct writer_file *f;

	if (!*w)
		return;
	spool_writer_stop(*w);
	while ((*w)->refused.first)
		spool_writer_reap(*w);
	MUST((*w)->drafts == 0 && (*w)->waiting == 0);
	writer_file_free(&(*w)->current);
	while ((f = (*w)->ready)) {
		(*w)->ready = f->next;
		writer_file_free(&f);
	}
	while ((*w)->bigs) {
		struct spool_big *b = (*w)->bigs;

		(*w)->bigs = b->next;
		big_free(*w, &b);
	}
	release(w);
}
