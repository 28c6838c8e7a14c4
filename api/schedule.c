#include "api/schedule.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "api/rebuild.h"
#include "api/sweeping.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"
#include "retention/clockguard.h"

#define DEFAULT_SWEEP_MINUTE 150 /* 02:30 UTC */
#define ANCHOR_MS            INT64_C(3600000)
#ifdef MM_TEST
#define LOOK_MS 500 /* tests set the clock and wait for what follows */
#else
#define LOOK_MS 30000
#endif

struct schedule {
	struct engine *en;
	struct schedule_options opt;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stop;
	bool rebuild_failed; /* not tried again before the next day */
	int64_t day;         /* the last one whose daily work is done */
	int64_t sweep_after; /* the last scheduled instant that was acted on */
	int64_t anchored_mono_ms;
	uint64_t anchored_entries;
};

enum rc schedule_parse(const char *text, int *sweep_minute, struct err *e)
{
	struct slice minutes;
	struct slice hours;
	uint64_t h;
	uint64_t m;

	*sweep_minute = DEFAULT_SWEEP_MINUTE;
	if (!text)
		return RC_OK;
	if (strcmp(text, "off") == 0) {
		*sweep_minute = -1;
		return RC_OK;
	}
	hours = slice_cut(slice_str(text), ':', &minutes);
	if (!slice_to_u64(hours, &h) || !slice_to_u64(minutes, &m) || h > 23 || m > 59)
		return err_set(
		        e, RC_INVALID,
		        "configuration: retention.schedule is \"HH:MM\" (UTC, daily) or \"off\"");
	*sweep_minute = (int)(h * 60 + m);
	return RC_OK;
}

/* The last scheduled instant that is not after `now`. */
static int64_t last_due(const struct schedule *s, int64_t now_ms)
{
	int64_t at = day_of_ms(now_ms) * MS_PER_DAY + s->opt.sweep_minute * INT64_C(60000);

	return at <= now_ms ? at : at - MS_PER_DAY;
}

static void daily(struct schedule *s)
{
	struct err e = { 0 };

	if (engine_account(s->en, "tick", "mmd", NULL, &e) != RC_OK)
		log_error("the daily audit entry: %s", e.text);
	if (s->opt.new_day)
		s->opt.new_day(s->opt.arg);
	if (engine_repack(s->en, &e) != RC_OK)
		log_error("merging small blocks: %s", e.text);
}

static bool stopping(void *arg)
{
	struct schedule *s = arg;
	bool stop;

	(void)pthread_mutex_lock(&s->lock);
	stop = s->stop;
	(void)pthread_mutex_unlock(&s->lock);
	return stop;
}

/* False: the spool is not ready for it yet. */
static bool sweep(struct schedule *s)
{
	struct sweeping_waits waits = { stopping, s };
	struct sweeping w;
	struct sweep_plan plan = { 0 };
	struct sweep_report report = { 0 };
	struct err e = { 0 };
	enum rc rc;

	rc = sweeping_begin(&w, s->en, &waits, &e);
	if (rc == RC_OK) /* that may have taken hours */
		rc = clockguard_tick(s->en->control, &e);
	if (rc == RC_OK)
		rc = sweep_plan_make(&w.sweep, &plan, &e);
	if (rc == RC_OK)
		rc = sweep_run(&w.sweep, &plan, "mmd", false, &report, &e);
	if (rc == RC_OK)
		rc = sweeping_end_archives(&w, "mmd", false, &e);
	sweep_plan_free(&plan);
	sweeping_end(&w);
	if (rc == RC_OK && report.lots)
		log_info("retention: %llu messages of %llu days destroyed",
		         (unsigned long long)report.messages, (unsigned long long)report.lots);
	else if (rc != RC_OK && !(rc == RC_AGAIN && stopping(s))) /* the next mmd does it, then */
		log_error("retention: %s", e.text);
	return rc != RC_AGAIN;
}

static void guard(struct schedule *s)
{
	struct err e = { 0 };

	(void)pthread_mutex_lock(&s->en->writing);
	if (clockguard_tick(s->en->control, &e) != RC_OK)
		log_error("the clock guard: %s", e.text);
	(void)pthread_mutex_unlock(&s->en->writing);
}

static void settle_requests(struct schedule *s)
{
	struct err e = { 0 };

	if (tally_settle(s->en->tally, &e) != RC_OK)
		log_error("the audit log: %s", e.text);
}

static enum rc append_line(const char *path, const char *line, struct err *e)
{
	struct file *f;
	uint64_t size;
	char text[200];
	enum rc rc = file_open(&f, path, FILE_APPEND, e);

	if (rc != RC_OK)
		return rc;
	(void)snprintf(text, sizeof(text), "%s\n", line);
	rc = file_size(f, &size, e);
	if (rc == RC_OK)
		rc = file_write_at(f, slice_str(text), size, e);
	if (rc == RC_OK)
		rc = file_sync(f, NULL, e);
	file_close(&f);
	return rc;
}

/* Who keeps this line elsewhere finds a log that was cut behind it (mm-audit verify --anchor). */
static void anchor(struct schedule *s)
{
	struct audit_head head;
	struct err e = { 0 };
	char line[160];

	audit_head(s->en->audit, &head);
	s->anchored_mono_ms = clock_mono_ms();
	if (head.entries == s->anchored_entries)
		return;
	s->anchored_entries = head.entries;
	audit_head_format(line, &head);
	log_info("%s", line);
	if (s->opt.anchor && append_line(s->opt.anchor, line, &e) != RC_OK)
		log_error("the audit log's anchor: %s", e.text);
}

/* Until then searches fail. */
static void rebuild_index(struct schedule *s)
{
	struct err e = { 0 };
	enum rc rc;

	if (s->rebuild_failed)
		return;
	rc = rebuild_go_on(s->en, stopping, s, &e);
	s->rebuild_failed = rc != RC_OK;
	if (rc != RC_OK && rc != RC_AGAIN)
		log_error("the index can't be rebuilt (mmctl reindex): %s", e.text);
}

static void look(struct schedule *s)
{
	int64_t now_ms = clock_now_ms();

	guard(s);
	settle_requests(s);
	if (s->anchored_entries == 0 || clock_mono_ms() - s->anchored_mono_ms >= ANCHOR_MS)
		anchor(s);
	if (day_of_ms(now_ms) != s->day) {
		s->day = day_of_ms(now_ms);
		s->rebuild_failed = false;
		daily(s);
	}
	rebuild_index(s);
	s->sweep_after = MIN_OF(s->sweep_after, now_ms); /* the clock may have been set back */
	if (s->opt.sweep_minute >= 0 && last_due(s, now_ms) > s->sweep_after) {
		if (sweep(s))
			s->sweep_after = last_due(s, now_ms);
	}
}

/* False when it is time to end. */
static bool rest(struct schedule *s)
{
	struct timespec until;
	bool stop;

	(void)clock_gettime(CLOCK_MONOTONIC, &until); /* tidy: what pthread_cond_timedwait takes */
	until.tv_sec += LOOK_MS / 1000;
	until.tv_nsec += LOOK_MS % 1000 * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	(void)pthread_mutex_lock(&s->lock);
	while (!s->stop && pthread_cond_timedwait(&s->changed, &s->lock, &until) != ETIMEDOUT)
		;
	stop = s->stop;
	(void)pthread_mutex_unlock(&s->lock);
	return !stop;
}

static void *run(void *arg)
{
	struct schedule *s = arg;

	rebuild_index(s);
	while (rest(s))
		look(s);
	return NULL;
}

/* What fell due while no mmd ran is done now: a machine that is off at that hour forgets too. By a
 * reader: `writing` is the pipeline's for as long as other programs leave it no time, and mmd would
 * not be ready before. */
static enum rc last_sweep(struct engine *en, int64_t *ms, struct err *e)
{
	struct db *db;
	enum rc rc = engine_reader(en, &db, e);

	if (rc == RC_OK)
		rc = clockguard_last_sweep(db, ms, e);
	engine_reader_end(en, &db);
	*ms = MIN_OF(*ms, clock_now_ms());
	return rc;
}

enum rc schedule_start(struct schedule **out, struct engine *en, const struct schedule_options *opt,
                       struct err *e)
{
	struct schedule *s = mem_new(sizeof(*s));
	pthread_condattr_t attributes;
	enum rc rc;

	s->en = en;
	s->opt = *opt;
	s->day = day_of_ms(clock_now_ms());
	rc = last_sweep(en, &s->sweep_after, e);
	if (rc != RC_OK) {
		free(s);
		return rc;
	}
	MUST(pthread_mutex_init(&s->lock, NULL) == 0);
	MUST(pthread_condattr_init(&attributes) == 0);
	MUST(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
	MUST(pthread_cond_init(&s->changed, &attributes) == 0);
	(void)pthread_condattr_destroy(&attributes);
	if (pthread_create(&s->thread, NULL, run, s) != 0) {
		free(s);
		*out = NULL;
		return err_set(e, RC_LIMIT, "no thread for the schedule");
	}
	*out = s;
	return RC_OK;
}

void schedule_stop(struct schedule **sp)
{
	struct schedule *s = *sp;

	if (!s)
		return;
	(void)pthread_mutex_lock(&s->lock);
	s->stop = true;
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->lock);
	(void)pthread_join(s->thread, NULL);
	(void)pthread_mutex_destroy(&s->lock);
	(void)pthread_cond_destroy(&s->changed);
	free(s);
	*sp = NULL;
}
