#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"
#include "ingest/spool/writer_core.h"

#define GROUP_RECORDS  1023 /* with the file's header IOV_MAX vectors, one call */
#define END_SEALED     (SPOOL_END_BODY + SPOOL_TAG)
#define SEQUENCE_BITS  (ID_SEQUENCE_BITS - 1)
#define SEQUENCE_END   (UINT32_C(1) << SEQUENCE_BITS)
#define EARLY_REPLY_MS 50
_Static_assert(SPOOL_HEADER + END_SEALED <= SPOOL_GROUP_ALIGN, "END fits into the reserve");

void writer_unlock_and_tell(struct spool_writer *w)
{
	static const uint64_t one = 1;
	bool told = w->told;

	w->told = true;
	pthread_mutex_unlock(&w->lock);
	/* Behind the lock: who is woken takes it first. A full counter is far away. */
	if (!told)
		MUST(write(w->event_fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
}

void writer_break(struct spool_writer *w, const struct err *why)
{
	pthread_mutex_lock(&w->lock);
	if (!w->broken) {
		w->broken = true;
		w->broken_why = *why;
		if (w->broken_why.code == RC_NOSPACE)
			w->broken_why.code = RC_IO;
	}
	pthread_cond_signal(&w->wake); /* it may wait for a file */
	writer_unlock_and_tell(w);
}

void writer_file_free(struct writer_file **f)
{
	if (!*f)
		return;
	file_close(&(*f)->file);
	crypt_wipe(*f, sizeof(**f));
	free(*f);
	*f = NULL;
}

/* Passes finished drafts to the loop thread. */
static void hand_back(struct spool_writer *w, struct draft_list *l)
{
	if (!l->first)
		return;
	pthread_mutex_lock(&w->lock);
	draft_list_join(&w->done, l);
	writer_unlock_and_tell(w);
}

static void hand_back_failed(struct spool_writer *w, struct draft_list *l, const struct err *why)
{
	for (struct spool_draft *d = l->first; d; d = d->next) {
		d->proof = NULL;
		d->err = *why;
	}
	hand_back(w, l);
}

/* What is on disk, and the drafts that are. */
static void tell_progress(struct spool_writer *w, const struct writer_file *f, struct draft_list *l)
{
	pthread_mutex_lock(&w->lock);
	if (w->news_count == 0 || w->news[w->news_count - 1].file != f->number) {
		w->news = mem_resize(w->news, (w->news_count + 1) * sizeof(*w->news));
		w->news_count++;
	}
	w->news[w->news_count - 1] = (struct writer_news) { f->number, f->durable, f->messages };
	draft_list_join(&w->done, l);
	writer_unlock_and_tell(w);
}

/* The next instant and number: the clock, never before the last message, no pair twice. An import
 * may replace the instant by one that thousands of messages share: its numbers go on from one
 * instant to the next, from a random one, so that these rarely agree (the index copes with those
 * that do).
 */
static void stamp(struct spool_writer *w, struct spool_trailer *t)
{
	int64_t now = clock_now_ms();
	uint32_t writer_bit = w->opt.writer ? SEQUENCE_END : 0;

	if (now > w->last_ms && !w->opt.writer) {
		w->last_ms = now;
		w->last_sequence = 0;
	} else if (++w->last_sequence >= SEQUENCE_END) {
		w->last_ms = MAX_OF(now, w->last_ms + 1);
		w->last_sequence = 0;
		if (w->opt.writer)
			crypt_random(&w->last_sequence, sizeof(w->last_sequence));
		w->last_sequence &= SEQUENCE_END - 1;
	} else {
		w->last_ms = MAX_OF(now, w->last_ms);
	}
	if (w->random_used + 8 > sizeof(w->random)) {
		crypt_random(w->random, sizeof(w->random));
		w->random_used = 0;
	}
	t->received_ms = w->last_ms;
	t->id = id_make(w->last_ms, writer_bit | w->last_sequence, w->random + w->random_used);
	w->random_used += 8;
}

/* Draws epoch and K0 and makes the file's header in w->block; writes its second copy. */
static enum rc begin_file(struct spool_writer *w, struct writer_file *f, struct err *e)
{
	struct spool_file_header h = { .number = f->number,
		                       .writer = w->opt.writer,
		                       .capacity = f->capacity,
		                       .begun_ms = clock_now_ms() };

	crypt_random(f->epoch, sizeof(f->epoch));
	crypt_random(f->chain, sizeof(f->chain));
	memcpy(h.epoch, f->epoch, SPOOL_EPOCH);
	memcpy(h.public_key, f->public_key, SPOOL_KEY);
	memset(w->block, 0, SPOOL_FIRST);
	spool_file_header_put(w->block, &h, f->chain);
	return file_write_at(f->file, slice_of(w->block, SPOOL_FILE_HEADER),
	                     f->capacity - SPOOL_GROUP_ALIGN, e);
}

static uint64_t group_start(const struct writer_file *f)
{
	return f->begun ? spool_align(f->durable, SPOOL_GROUP_ALIGN) : SPOOL_FIRST;
}

/* Moves the drafts that fit into the rest of the file from `l` to `group`. */
static void take_group(struct writer_file *f, struct draft_list *l, struct draft_list *group)
{
	uint64_t at = group_start(f);
	uint64_t limit = f->capacity - SPOOL_RESERVE;

	for (size_t n = 0; l->first && n < GROUP_RECORDS; n++) {
		uint64_t bytes = spool_record_bytes(draft_sealed_bytes(l->first));

		if (bytes > limit || at > limit - bytes)
			break;
		at += bytes;
		draft_list_add(group, draft_list_take(l));
	}
}

/* Stamps and seals every draft and lays them out as vectors. The count of vectors is returned. */
static size_t seal_group(struct spool_writer *w, struct writer_file *f, struct draft_list *group,
                         uint64_t *bytes)
{
	struct spool_header h = { .synced_before = f->durable };
	size_t n = 0;

	memcpy(h.epoch, f->epoch, SPOOL_EPOCH);
	*bytes = 0;
	if (!f->begun)
		w->iov[n++] = (struct iovec) { w->block, SPOOL_FIRST };
	for (struct spool_draft *d = group->first; d; d = d->next) {
		stamp(w, &d->trailer);
		h.n = f->records++;
		draft_seal(d, &h, f->chain);
		w->iov[n++] = (struct iovec) { d->record.at, d->record.len };
		*bytes += d->record.len;
	}
	return n;
}

#ifdef MM_TEST_EARLY_REPLY
/* The control of the crash tests: done is told before anything was written, and there is time to be
 * killed in between. */
static void reply_early(struct spool_writer *w, struct draft_list *group)
{
	struct draft_list early;

	draft_list_init(&early);
	for (struct spool_draft *d = group->first; d; d = d->next) {
		struct spool_draft *stub = draft_new(w, 1024);

		stub->cookie = d->cookie;
		stub->trailer = d->trailer;
		stub->proof = durable_false_proof();
		draft_list_add(&early, stub);
		d->mute = true;
	}
	hand_back(w, &early);
	clock_sleep_ms(EARLY_REPLY_MS);
}
#endif

/* One write, one sync; on success all of the group have the proof. */
static enum rc write_group(struct spool_writer *w, struct writer_file *f, struct draft_list *group,
                           struct err *e)
{
	const struct durable *proof = NULL;
	uint64_t at = group_start(f);
	uint64_t bytes;
	size_t count;
	enum rc rc = f->begun ? RC_OK : begin_file(w, f, e);

	if (rc != RC_OK)
		return rc;
	count = seal_group(w, f, group, &bytes);
#ifdef MM_TEST_EARLY_REPLY
	reply_early(w, group);
#endif
	rc = file_writev_at(f->file, w->iov, count, f->begun ? at : 0, e);
	if (rc == RC_OK)
		rc = file_sync(f->file, &proof, e);
	if (rc != RC_OK)
		return rc;
	f->begun = true;
	f->durable = at + bytes;
	for (struct spool_draft *d = group->first; d; d = d->next) {
		d->proof = proof;
		f->messages++;
	}
	return RC_OK;
}

static enum rc write_end(struct writer_file *f, struct err *e)
{
	uint8_t record[SPOOL_GROUP_ALIGN] = { 0 };
	struct spool_header h = { .type = SPOOL_END,
		                  .n = f->records,
		                  .length = END_SEALED,
		                  .synced_before = f->durable };
	uint64_t bytes = spool_record_bytes(END_SEALED);
	uint64_t at = group_start(f);
	struct spool_keys keys;
	enum rc rc;

	memcpy(h.epoch, f->epoch, SPOOL_EPOCH);
	spool_chain_keys(&keys, f->chain);
	spool_header_put(record, &h, &keys);
	put_le64(record + SPOOL_HEADER, f->messages);
	put_le64(record + SPOOL_HEADER + 8, (uint64_t)clock_now_ms());
	spool_seal_all(record + SPOOL_HEADER, SPOOL_END_BODY, slice_of(record, SPOOL_HEADER),
	               keys.seal);
	crypt_wipe(&keys, sizeof(keys));
	rc = file_write_at(f->file, slice_of(record, bytes), at, e);
	if (rc == RC_OK)
		rc = file_sync(f->file, NULL, e);
	if (rc == RC_OK)
		f->durable = at + bytes;
	return rc;
}

static bool is_broken(struct spool_writer *w, struct err *why)
{
	bool broken;

	pthread_mutex_lock(&w->lock);
	broken = w->broken;
	if (broken && why)
		*why = w->broken_why;
	pthread_mutex_unlock(&w->lock);
	return broken;
}

/* Ends the current file, if it holds a message. */
static void end_current(struct spool_writer *w)
{
	struct writer_file *f = w->current;
	struct draft_list none;
	struct err e = { 0 };

	if (!f || f->messages == 0 || is_broken(w, NULL))
		return;
	if (write_end(f, &e) != RC_OK) {
		writer_break(w, &e);
		return;
	}
	draft_list_init(&none);
	tell_progress(w, f, &none);
	crypt_wipe(f->chain, sizeof(f->chain));
	pthread_mutex_lock(&w->lock);
	f->next = w->retired;
	w->retired = f;
	w->has_current = false;
	writer_unlock_and_tell(w); /* a file is to be asked for */
	w->current = NULL;
}

/* Waits until there is a file to write to. False when there will be none. */
static bool await_file(struct spool_writer *w)
{
	pthread_mutex_lock(&w->lock);
	while (!w->current && !w->ready && !w->stop && !w->broken) {
		atomic_store(&w->starved, true);
		pthread_cond_wait(&w->wake, &w->lock);
	}
	atomic_store(&w->starved, false);
	if (!w->current && w->ready) {
		w->current = w->ready;
		w->ready = w->ready->next;
		w->current->next = NULL;
		w->ready_count--;
		w->has_current = true;
		writer_unlock_and_tell(w);
	} else {
		pthread_mutex_unlock(&w->lock);
	}
	return w->current != NULL;
}

/* The first of `l` fits into no file: only a wrong configuration makes such a one. */
static void refuse_first(struct spool_writer *w, struct draft_list *l)
{
	struct draft_list one;
	struct err e = { 0 };

	draft_list_init(&one);
	draft_list_add(&one, draft_list_take(l));
	(void)err_set(&e, RC_LIMIT, "a record is larger than a spool file");
	hand_back_failed(w, &one, &e);
}

static void write_all(struct spool_writer *w, struct draft_list *l)
{
	while (l->first) {
		struct draft_list group;
		struct err e = { 0 };

		if (!await_file(w)) {
			(void)err_set(&e, RC_NOSPACE, "there is no spool file to write to");
			(void)is_broken(w, &e);
			hand_back_failed(w, l, &e);
			return;
		}
		draft_list_init(&group);
		take_group(w->current, l, &group);
		if (!group.first && w->current->messages == 0) {
			refuse_first(w, l);
		} else if (!group.first) {
			end_current(w);
		} else if (is_broken(w, &e) || write_group(w, w->current, &group, &e) != RC_OK) {
			writer_break(w, &e);
			(void)is_broken(w, &e);
			hand_back_failed(w, &group, &e);
			hand_back_failed(w, l, &e);
		} else {
			tell_progress(w, w->current, &group);
		}
	}
}

/* Syncs the big files of `l`; what remains in `l` may be recorded. */
static void sync_bigs(struct spool_writer *w, struct draft_list *l)
{
	struct draft_list good;
	struct draft_list bad;
	struct spool_draft *d;

	draft_list_init(&good);
	draft_list_init(&bad);
	while ((d = draft_list_take(l))) {
		struct err e = { 0 };

		if (!is_broken(w, &e) && file_sync(d->big->file, NULL, &e) == RC_OK) {
			draft_list_add(&good, d);
			continue;
		}
		writer_break(w, &e);
		d->err = e;
		draft_list_add(&bad, d);
	}
	hand_back(w, &bad);
	draft_list_join(l, &good);
}

/* Small messages first: they don't wait for the sync of a large one. */
static void write_queue(struct spool_writer *w, struct draft_list *l)
{
	struct draft_list small;
	struct draft_list large;
	struct spool_draft *d;

	draft_list_init(&small);
	draft_list_init(&large);
	while ((d = draft_list_take(l)))
		draft_list_add(d->big ? &large : &small, d);
	write_all(w, &small);
	sync_bigs(w, &large);
	write_all(w, &large);
}

void *writer_run(void *arg)
{
	struct spool_writer *w = arg;
	struct draft_list work;
	bool end;
	bool stop;

	draft_list_init(&work);
	do {
		pthread_mutex_lock(&w->lock);
		while (!w->queue.first && !w->end_file && !w->stop)
			pthread_cond_wait(&w->wake, &w->lock);
		draft_list_join(&work, &w->queue);
		stop = w->stop;
		end = w->end_file || stop;
		w->end_file = false;
		pthread_mutex_unlock(&w->lock);
		write_queue(w, &work);
		if (end)
			end_current(w);
	} while (!stop);
	return NULL;
}
