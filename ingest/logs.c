#include "ingest/logs.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"
#include "ingest/backoff.h"
#include "store/logbook.h"

#define QUEUE_MOST ((size_t)4 << 20)
#define FRAME_SOME                                                                                 \
	((size_t)256 << 10) /* entries of the sealed log are sealed in pieces of this size */
#define TICK_MS  200
#define SYNC_MS  5000
#define TIDY_MS  60000
#define FLUSH_MS 5000

/* One entry of the queue: as in the sealed log (store/logbook_file.h), with the log in the kind's
 * upper bits. */
#define KIND_BITS 4

struct sink {
	enum log_where where;
	char *path;
	struct log_rate rate; /* with `lock` held */
	struct file *file;    /* below: the writer's */
	struct buf lines;
	uint64_t records; /* in lines */
	bool look;        /* the file's end may be torn */
	bool failed;      /* told */
};

struct logs {
	struct log_style style;
	struct sink sinks[LOG_NAMES];
	char *dir; /* the data directory */
	unsigned rate;
	struct logbook_limits keep;
	bool (*room)(void *arg);
	void *room_arg;
	struct buf pending; /* the pipeline's: not checkpointed */
	struct buf line;    /* the pipeline's */
	pthread_t thread;
	bool running;
	pthread_mutex_t lock; /* below */
	pthread_cond_t wake;
	pthread_cond_t done;
	struct buf queue;
	struct buf policy_line;
	uint64_t turns; /* of the writer, that have ended */
	bool hurry;
	bool stop;
	bool reopen;
	struct logs_totals totals;
	/* the writer's */
	struct buf taken;
	struct buf sealed; /* entries */
	uint64_t sealed_records;
	struct logbook *book;
	struct backoff backoff;
	bool book_failed; /* told */
	int64_t synced_ms;
	int64_t tidied_ms;
	bool tidy_failed; /* the last time */
};

static const char *const titles[LOG_NAMES] = { "APPLICATION_LOGS", "TRAFFIC_POLICY_DEBUG_LOGS" };

/* --- the queue --- */

static uint8_t pack_kind(enum log_name name, enum log_kind kind)
{
	return (uint8_t)((unsigned)name << KIND_BITS | (unsigned)kind);
}

/* RC_LIMIT leaves `b` as it was. */
static enum rc put_entry(struct buf *b, enum log_name name, enum log_kind kind, int64_t when_ms,
                         struct slice line)
{
	uint8_t head[13] = { 0 };
	size_t before = b->len;

	put_le64(head, (uint64_t)when_ms);
	head[8] = pack_kind(name, kind);
	put_le32(head + 9, (uint32_t)line.len);
	if (buf_add(b, slice_of(head, sizeof(head))) == RC_OK && buf_add(b, line) == RC_OK)
		return RC_OK;
	b->len = before;
	return RC_LIMIT;
}

static void count_lost(struct logs *l, uint64_t n)
{
	(void)pthread_mutex_lock(&l->lock);
	l->totals.lost += n;
	(void)pthread_mutex_unlock(&l->lock);
}

/* With the lock held. */
static void queue_line(struct logs *l, enum log_name name, enum log_kind kind, int64_t when_ms,
                       struct slice line)
{
	if (put_entry(&l->queue, name, kind, when_ms, line) != RC_OK)
		l->totals.lost++;
	if (l->queue.len > QUEUE_MOST / 2)
		(void)pthread_cond_signal(&l->wake);
}

static bool take_rate(struct logs *l, enum log_name name)
{
	bool may;

	(void)pthread_mutex_lock(&l->lock);
	may = log_rate_take(&l->sinks[name].rate, clock_mono_ms(), clock_now_ms());
	l->totals.left_out += !may;
	(void)pthread_mutex_unlock(&l->lock);
	return may;
}

/* --- the pipeline's records --- */

bool logs_wants(const struct logs *l, enum log_name name)
{
	return l && l->sinks[name].where != LOG_NOWHERE;
}

unsigned logs_rate(const struct logs *l)
{
	return l->rate;
}

static void keep_line(struct logs *l, enum log_kind kind, int64_t when_ms, enum rc rc)
{
	if (rc == RC_OK)
		rc = put_entry(&l->pending, LOG_APPLICATION, kind, when_ms, buf_slice(&l->line));
	if (rc != RC_OK)
		count_lost(l, 1);
}

void logs_ingress(struct logs *l, const struct mail *m, uint64_t bytes)
{
	if (!logs_wants(l, LOG_APPLICATION) || !take_rate(l, LOG_APPLICATION))
		return;
	buf_clear(&l->line);
	keep_line(l, LOG_INGRESS, m->received_ms, log_line_ingress(&l->line, &l->style, m, bytes));
}

void logs_rule(struct logs *l, const struct log_rule *r)
{
	if (!logs_wants(l, LOG_APPLICATION) || !take_rate(l, LOG_APPLICATION))
		return;
	buf_clear(&l->line);
	keep_line(l, LOG_RULE, r->when_ms, log_line_rule(&l->line, &l->style, r));
}

size_t logs_mark(const struct logs *l)
{
	return l ? l->pending.len : 0;
}

void logs_undo(struct logs *l, size_t mark)
{
	if (l)
		l->pending.len = MIN_OF(l->pending.len, mark);
}

void logs_commit(struct logs *l)
{
	struct slice rest;
	struct logbook_entry x;

	if (!l || l->pending.len == 0)
		return;
	rest = buf_slice(&l->pending);
	(void)pthread_mutex_lock(&l->lock);
	while (logbook_entry_take(&rest, &x))
		queue_line(l, (enum log_name)(x.kind >> KIND_BITS),
		           (enum log_kind)(x.kind & ((1u << KIND_BITS) - 1)), x.when_ms, x.text);
	(void)pthread_mutex_unlock(&l->lock);
	buf_clear(&l->pending);
}

void logs_forget(struct logs *l)
{
	if (l)
		buf_clear(&l->pending);
}

/* --- the outbound queue's records --- */

void logs_task(struct logs *l, const struct log_rule *r)
{
	struct buf line;

	if (!logs_wants(l, LOG_APPLICATION) || !take_rate(l, LOG_APPLICATION))
		return;
	buf_init(&line, LOG_LINE_MOST);
	if (log_line_rule(&line, &l->style, r) == RC_OK) {
		(void)pthread_mutex_lock(&l->lock);
		queue_line(l, LOG_APPLICATION, LOG_RULE, r->when_ms, buf_slice(&line));
		(void)pthread_mutex_unlock(&l->lock);
	} else {
		count_lost(l, 1);
	}
	buf_free(&line);
}

/* --- mm-smtpd's records --- */

/* With the lock held. */
static void queue_policy(struct logs *l, const struct policy_record *r)
{
	struct log_rate *rate = &l->sinks[LOG_POLICY_DEBUG].rate;

	if (!log_rate_take(rate, clock_mono_ms(), clock_now_ms())) {
		l->totals.left_out++;
		return;
	}
	buf_clear(&l->policy_line);
	if (log_line_policy(&l->policy_line, &l->style, r) == RC_OK)
		queue_line(l, LOG_POLICY_DEBUG, LOG_POLICY, r->when_ms, buf_slice(&l->policy_line));
	else
		l->totals.lost++;
}

/* A broken mm-smtpd may say any number. */
static uint64_t sum(uint64_t a, uint64_t b)
{
	return b > (uint64_t)INT64_MAX - a ? (uint64_t)INT64_MAX : a + b;
}

bool logs_policy(struct logs *l, struct slice body)
{
	struct policy_batch batch;
	struct policy_record r;

	if (!logs_wants(l, LOG_POLICY_DEBUG) || !policy_batch_read(&batch, body))
		return false;
	(void)pthread_mutex_lock(&l->lock);
	log_rate_left_out(&l->sinks[LOG_POLICY_DEBUG].rate, batch.left_out, clock_mono_ms(),
	                  clock_now_ms());
	l->totals.left_out = sum(l->totals.left_out, batch.left_out);
	l->totals.lost = sum(l->totals.lost, batch.lost);
	while (policy_batch_next(&batch, &r))
		queue_policy(l, &r);
	(void)pthread_mutex_unlock(&l->lock);
	return true;
}

/* --- plain files --- */

/* Where links lead counts: who can write into the log's folder mustn't have mmd write into its own.
 */
static bool lies_in(const struct file *f, const char *dir)
{
	char link[32], at[PATH_MAX + 1], real[PATH_MAX + 1];
	ssize_t n;
	size_t len;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", file_fd(f));
	n = readlink(link, at, sizeof(at) - 1);
	if (!dir || n < 0 || !realpath(dir, real))
		return false;
	at[n] = '\0';
	len = strlen(real);
	return strncmp(at, real, len) == 0 && (at[len] == '/' || len == 1);
}

enum rc logs_open_file(const char *path, const char *dir, struct file **out, struct err *e)
{
	struct stat st;
	enum rc rc = file_open(out, path, FILE_APPEND, e);

	if (rc != RC_OK)
		return rc;
	if (fstat(file_fd(*out), &st) != 0 || !S_ISREG(st.st_mode))
		rc = err_set(e, RC_INVALID, "%s is no regular file", path);
	else if (lies_in(*out, dir))
		rc = err_set(e, RC_INVALID, "%s lies in the data directory", path);
	if (rc != RC_OK)
		file_close(out);
	return rc;
}

static void reopen_file(struct sink *s, const char *dir)
{
	struct file *f;
	struct err e;

	if (s->where != LOG_PLAIN)
		return;
	if (logs_open_file(s->path, dir, &f, &e) != RC_OK) {
		log_error("a log stays where it is: %s", e.text);
		return;
	}
	file_close(&s->file);
	s->file = f;
	s->look = true;
}

/* What a kill or a full disk left of a line mustn't become the beginning of another. */
static enum rc mend_end(struct sink *s, uint64_t *size, struct err *e)
{
	char last = '\n';
	enum rc rc = file_size(s->file, size, e);

	if (rc != RC_OK || !s->look || *size == 0)
		return rc;
	rc = file_read_at(s->file, &last, 1, *size - 1, e);
	if (rc == RC_OK && last != '\n') {
		rc = file_write_at(s->file, slice_str("\n"), *size, e);
		*size += rc == RC_OK;
	}
	return rc;
}

static enum rc write_plain(const struct logs *l, struct sink *s, struct err *e)
{
	uint64_t size;
	enum rc rc = mend_end(s, &size, e);

	if (rc == RC_OK && size + s->lines.len > l->keep.max_bytes)
		rc = err_set(e, RC_LIMIT, "%s has reached logs.max_bytes: rotate it (mmd(8))",
		             s->path);
	if (rc == RC_OK)
		rc = file_write_at(s->file, buf_slice(&s->lines), size, e);
	s->look = rc != RC_OK;
	return rc;
}

static void told(struct logs *l, enum rc rc, const struct err *e, uint64_t records, bool *failed)
{
	(void)pthread_mutex_lock(&l->lock);
	*(rc == RC_OK ? &l->totals.written : &l->totals.lost) += records;
	(void)pthread_mutex_unlock(&l->lock);
	if (rc != RC_OK && !*failed)
		log_error("records of the log are lost: %s", e->text);
	else if (rc == RC_OK && *failed)
		log_info("the log is written again");
	*failed = rc != RC_OK;
}

static void end_plain(struct logs *l, struct sink *s)
{
	struct err e = { 0 };

	if (s->lines.len == 0)
		return;
	told(l, write_plain(l, s, &e), &e, s->records, &s->failed);
	buf_clear(&s->lines);
	s->records = 0;
}

static void add_plain(struct logs *l, struct sink *s, struct slice line)
{
	if (s->lines.len + line.len + 1 > s->lines.limit)
		end_plain(l, s);
	if (buf_add(&s->lines, line) == RC_OK && buf_add_byte(&s->lines, '\n') == RC_OK)
		s->records++;
	else
		count_lost(l, 1);
}

/* --- the sealed log --- */

static enum rc write_sealed(struct logs *l, struct err *e)
{
	int64_t now = clock_mono_ms();
	enum rc rc;

	if (backoff_waits(&l->backoff, now, 0))
		return err_set(e, RC_AGAIN, "the sealed log can't be written");
	if (l->room && !l->room(l->room_arg))
		return err_set(e, RC_NOSPACE, "the data directory's disk has little room");
	rc = logbook_append(l->book, buf_slice(&l->sealed), clock_now_ms(), e);
	if (rc == RC_OK)
		l->backoff = (struct backoff) { 0 };
	else
		backoff_failed(&l->backoff, now, 0, false);
	return rc;
}

static void end_sealed(struct logs *l)
{
	struct err e = { 0 };

	if (l->sealed.len == 0)
		return;
	told(l, write_sealed(l, &e), &e, l->sealed_records, &l->book_failed);
	buf_clear(&l->sealed);
	l->sealed_records = 0;
}

static void add_sealed(struct logs *l, const struct logbook_entry *x)
{
	if (l->sealed.len + x->text.len > FRAME_SOME)
		end_sealed(l);
	if (logbook_entry_add(&l->sealed, x) == RC_OK)
		l->sealed_records++;
	else
		count_lost(l, 1);
}

/* --- the writer --- */

static void write_taken(struct logs *l)
{
	struct slice rest = buf_slice(&l->taken);
	struct logbook_entry x;

	while (logbook_entry_take(&rest, &x)) {
		struct sink *s = &l->sinks[x.kind >> KIND_BITS];

		x.kind &= (1u << KIND_BITS) - 1;
		if (s->where == LOG_PLAIN)
			add_plain(l, s, x.text);
		else
			add_sealed(l, &x);
	}
	for (size_t i = 0; i < LOG_NAMES; i++)
		end_plain(l, &l->sinks[i]);
	end_sealed(l);
	buf_clear(&l->taken);
}

/* With the lock held. */
static void queue_gaps(struct logs *l, bool end)
{
	for (int i = 0; i < LOG_NAMES; i++) {
		struct log_gap gap;
		int64_t now = clock_now_ms();

		if (!log_rate_gap(&l->sinks[i].rate, clock_mono_ms(), end, &gap))
			continue;
		buf_clear(&l->policy_line);
		if (log_line_gap(&l->policy_line, now, titles[i], &gap) == RC_OK)
			queue_line(l, (enum log_name)i, LOG_GAP, now, buf_slice(&l->policy_line));
	}
}

static void tidy_book(struct logs *l, int64_t now)
{
	struct err e = { 0 };

	l->tidied_ms = now;
	l->tidy_failed = logbook_tidy(l->book, &l->keep, clock_now_ms(), &e) != RC_OK;
	if (l->tidy_failed)
		log_error("old files of the sealed log: %s", e.text);
}

/* A flood fills more than there may be in far less than TIDY_MS. */
static bool is_over(const struct logs *l)
{
	size_t files;
	uint64_t bytes;

	logbook_count(l->book, &files, &bytes);
	return bytes > l->keep.max_bytes;
}

static void look_after_book(struct logs *l, bool end)
{
	int64_t now = clock_mono_ms();
	struct err e = { 0 };

	if (!l->book)
		return;
	if (now - l->synced_ms >= SYNC_MS && !end) { /* closing syncs */
		l->synced_ms = now;
		if (logbook_sync(l->book, &e) != RC_OK)
			log_error("the sealed log: %s", e.text);
	}
	if (now - l->tidied_ms >= TIDY_MS || (is_over(l) && !l->tidy_failed))
		tidy_book(l, now);
}

static struct timespec in_ms(int64_t ms)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* tidy: what pthread_cond_timedwait takes */
	t.tv_nsec += ms * 1000000;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

/* The queue, and what is to be done beside it; false: it was the last turn. */
static bool take_turn(struct logs *l, bool *reopen)
{
	struct timespec until = in_ms(TICK_MS);
	struct buf empty = l->taken;
	bool end;

	(void)pthread_mutex_lock(&l->lock);
	while (!l->stop && !l->hurry && !l->reopen && l->queue.len <= QUEUE_MOST / 2 &&
	       pthread_cond_timedwait(&l->wake, &l->lock, &until) != ETIMEDOUT)
		;
	end = l->stop;
	queue_gaps(l, end);
	l->taken = l->queue;
	l->queue = empty;
	l->hurry = false;
	*reopen = l->reopen;
	l->reopen = false;
	(void)pthread_mutex_unlock(&l->lock);
	return !end;
}

static void *run(void *arg)
{
	struct logs *l = arg;
	bool more = true;

	while (more) {
		bool reopen;

		more = take_turn(l, &reopen);
		for (size_t i = 0; reopen && i < LOG_NAMES; i++)
			reopen_file(&l->sinks[i], l->dir);
		write_taken(l);
		look_after_book(l, !more);
		(void)pthread_mutex_lock(&l->lock);
		l->turns++;
		(void)pthread_cond_broadcast(&l->done);
		(void)pthread_mutex_unlock(&l->lock);
	}
	return NULL;
}

/* --- the whole --- */

static void init_sync(struct logs *l)
{
	pthread_condattr_t attributes;

	MUST(pthread_mutex_init(&l->lock, NULL) == 0);
	MUST(pthread_condattr_init(&attributes) == 0);
	MUST(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
	MUST(pthread_cond_init(&l->wake, &attributes) == 0);
	MUST(pthread_cond_init(&l->done, &attributes) == 0);
	(void)pthread_condattr_destroy(&attributes);
}

static void init_sinks(struct logs *l, struct logs_options *opt)
{
	for (size_t i = 0; i < LOG_NAMES; i++) {
		struct sink *s = &l->sinks[i];

		s->where = opt->where[i];
		s->rate.most = opt->rate;
		s->look = true;
		s->file = opt->file[i];
		opt->file[i] = NULL;
		s->path = mem_string(opt->path[i] ? opt->path[i] : "");
		buf_init(&s->lines, FRAME_SOME + LOG_LINE_MOST);
	}
}

static enum rc open_book(struct logs *l, const char *dir, struct keyring *keys, struct err *e)
{
	enum rc rc;

	if (l->sinks[LOG_APPLICATION].where != LOG_SEALED &&
	    l->sinks[LOG_POLICY_DEBUG].where != LOG_SEALED)
		return RC_OK;
	rc = logbook_open(&l->book, dir, keys, e);
	if (rc != RC_OK)
		return err_in(e, "the sealed log");
	if (logbook_tidy(l->book, &l->keep, clock_now_ms(), e) != RC_OK)
		log_error("old files of the sealed log: %s", e->text);
	return RC_OK;
}

enum rc logs_new(struct logs **out, struct logs_options *opt, const char *dir, struct keyring *keys,
                 const struct arn_home *home, bool (*room)(void *arg), void *arg, struct err *e)
{
	struct logs *l;
	enum rc rc;

	*out = NULL;
	if (opt->where[LOG_APPLICATION] == LOG_NOWHERE &&
	    opt->where[LOG_POLICY_DEBUG] == LOG_NOWHERE)
		return RC_OK;
	l = mem_new(sizeof(*l));
	l->style = (struct log_style) { *home, opt->addresses };
	l->dir = mem_string(dir);
	l->rate = opt->rate;
	l->keep = (struct logbook_limits) { opt->keep_days, opt->max_bytes };
	l->room = room;
	l->room_arg = arg;
	l->synced_ms = clock_mono_ms();
	l->tidied_ms = l->synced_ms;
	buf_init(&l->pending, QUEUE_MOST);
	buf_init(&l->line, 2 * LOG_LINE_MOST);
	buf_init(&l->policy_line, 2 * LOG_LINE_MOST);
	buf_init(&l->queue, QUEUE_MOST);
	buf_init(&l->taken, QUEUE_MOST);
	buf_init(&l->sealed, LOGBOOK_FRAME_MAX);
	init_sync(l);
	init_sinks(l, opt);
	rc = open_book(l, dir, keys, e);
	if (rc == RC_OK && pthread_create(&l->thread, NULL, run, l) != 0)
		rc = err_set(e, RC_LIMIT, "no thread for the logs");
	l->running = rc == RC_OK;
	if (rc != RC_OK)
		logs_free(&l);
	*out = l;
	return rc;
}

static void end_thread(struct logs *l)
{
	if (!l->running)
		return;
	(void)pthread_mutex_lock(&l->lock);
	l->stop = true;
	(void)pthread_cond_signal(&l->wake);
	(void)pthread_mutex_unlock(&l->lock);
	(void)pthread_join(l->thread, NULL);
}

/* They may hold addresses. */
static void wipe(struct buf *b)
{
	if (b->at)
		crypt_wipe(b->at, b->room);
	buf_free(b);
}

void logs_free(struct logs **lp)
{
	struct logs *l = *lp;

	if (!l)
		return;
	*lp = NULL;
	end_thread(l);
	logbook_close(&l->book);
	for (size_t i = 0; i < LOG_NAMES; i++) {
		file_close(&l->sinks[i].file);
		wipe(&l->sinks[i].lines);
		free(l->sinks[i].path);
	}
	wipe(&l->pending);
	wipe(&l->line);
	wipe(&l->policy_line);
	wipe(&l->queue);
	wipe(&l->taken);
	wipe(&l->sealed);
	(void)pthread_cond_destroy(&l->done);
	(void)pthread_cond_destroy(&l->wake);
	(void)pthread_mutex_destroy(&l->lock);
	free(l->dir);
	free(l);
}

void logs_reopen(struct logs *l)
{
	if (!l)
		return;
	(void)pthread_mutex_lock(&l->lock);
	l->reopen = true;
	(void)pthread_cond_signal(&l->wake);
	(void)pthread_mutex_unlock(&l->lock);
}

/* Two turns: one may have taken the queue already. */
void logs_flush(struct logs *l)
{
	struct timespec until = in_ms(FLUSH_MS);
	uint64_t enough;

	if (!l)
		return;
	(void)pthread_mutex_lock(&l->lock);
	enough = l->turns + 2;
	while (l->turns < enough) {
		l->hurry = true;
		(void)pthread_cond_signal(&l->wake);
		if (pthread_cond_timedwait(&l->done, &l->lock, &until) == ETIMEDOUT)
			break;
	}
	(void)pthread_mutex_unlock(&l->lock);
}

void logs_count(struct logs *l, struct logs_totals *out)
{
	(void)pthread_mutex_lock(&l->lock);
	*out = l->totals;
	(void)pthread_mutex_unlock(&l->lock);
}
