#include "api/sweeping.h"

#include <stdlib.h>

#include "api/engine_keys.h"
#include "api/engine_scans.h"
#include "api/job.h"
#include "api/requests.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "ingest/resources.h"
#include "retention/erase.h"

/* Nothing that was accepted before a sweep has gone forward for so long, beside what is waited for:
 * the spool stands still. */
#define SPOOL_MS 120000

static int64_t patience_ms(const struct engine *en)
{
	int64_t ms = SPOOL_MS;

#ifdef MM_TEST
	if (getenv("MM_TEST_SPOOL_MS"))
		ms = strtoll(getenv("MM_TEST_SPOOL_MS"), NULL, 10); /* tidy: test builds only */
#endif
	/* Else a sender whose mail a scanner is slow with could keep others' from being destroyed.
	 */
	return ms + engine_scans_longest_ms(en->scans);
}

static bool asker_gone(void *arg)
{
	struct request *r = arg;

	return r->w && request_gone(r->w);
}

struct sweeping_waits sweeping_asked(struct request *r)
{
	return (struct sweeping_waits) { asker_gone, r };
}

/* Why waiting any longer is no use; RC_OK: it is. `still_ms`: nothing has gone forward for so long.
 */
static enum rc look_at_spool(struct engine *en, const struct sweeping_waits *w, int64_t still_ms,
                             struct err *e)
{
	if (pipeline_failure(en->pipeline))
		return err_set(e, RC_IO, "the pipeline has stopped: %s",
		               pipeline_failure(en->pipeline)->text);
	if (w->gone(w->arg))
		return err_set(e, RC_AGAIN, "nobody waits any more for the spool to be empty");
	if (still_ms >= patience_ms(en))
		return err_set(e, RC_AGAIN,
		               "the spool still holds what was accepted before, and none of it has "
		               "gone forward for %lld s%s; try again",
		               (long long)(still_ms / 1000),
		               pipeline_full(en->pipeline) ? ": the disk is full" : "");
	return RC_OK;
}

/* A record in the spool has a key of its own until its file is ended and done: the files that have
 * records are ended, and their keys waited for. Mail that comes in meanwhile is of no concern. What
 * is there may be gigabytes, on a slow machine. */
static enum rc empty_spool(struct engine *en, const struct sweeping_waits *w, struct err *e)
{
	int64_t from;
	int64_t since;
	uint64_t before = 0;
	uint64_t moved;
	enum rc rc = RC_OK;

	import_line_rest(en);
	if (en->hear)
		en->hear(en->changed_arg);
	since = from = clock_mono_ms();
	if (en->end_files)
		en->end_files(en->changed_arg);
	while (rc == RC_OK && spool_holds_since(en->spool, from, &moved)) {
		if (moved != before)
			since = clock_mono_ms();
		before = moved;
		rc = look_at_spool(en, w, clock_mono_ms() - since, e);
		pipeline_wake(en->pipeline);
		clock_sleep_ms(20);
	}
	return rc;
}

/* Damage there, or that it may not go any more, keeps nobody from destroying what is due elsewhere.
 */
static enum rc finish(struct sweeping *s, enum rc (*recover)(const struct sweep *s, struct err *e),
                      struct err *e)
{
	struct err why = { 0 };
	enum rc rc = recover(&s->sweep, &why);

	if (rc == RC_CORRUPT || is_forbidden(rc)) {
		s->unfinished = why;
		return RC_OK;
	}
	return rc == RC_OK ? RC_OK : err_set(e, rc, "%s", why.text);
}

static enum rc recover_sweep(const struct sweep *s, struct err *e)
{
	struct sweep_report report;

	return sweep_recover(s, &report, e);
}

enum rc sweeping_begin(struct sweeping *s, struct engine *en, const struct sweeping_waits *run,
                       struct err *e)
{
	enum rc rc = run ? empty_spool(en, run, e) : RC_OK;

	s->unfinished = (struct err) { 0 };
	s->en = en;
	s->config = engine_config(en);
	(void)pthread_mutex_lock(&en->writing);
	engine_sweep(en, s->config, &s->sweep);
	if (rc == RC_OK)
		rc = pipeline_checkpoint(en->pipeline, e);
	if (rc == RC_OK && run)
		rc = finish(s, recover_sweep, e);
	if (rc == RC_OK && run)
		rc = finish(s, erase_recover, e);
	return rc;
}

/* The key of an archive that isn't there and has no lots opens nothing. */
static enum rc drop_key(void *arg, const struct key_info *k)
{
	struct engine *en = arg;
	struct err e = { 0 };

	if (k->kind != KEY_ARCHIVE || k->state != KEY_LIVE ||
	    config_archive_by_number(en->config, k->archive) || engine_has_lots(en, k->archive))
		return RC_OK;
	if (keyring_destroy(en->keys, &k->id, 1, &e) != RC_OK) /* the next sweep does it */
		log_error("the key of archive %u, which is destroyed: %s", k->archive, e.text);
	return RC_OK;
}

struct ending {
	struct engine *en;
	const struct archive_info *archive;
	const char *who;
};

static enum rc account_end(void *arg, const struct apply_result *r, struct config *c, struct err *e)
{
	const struct ending *x = arg;
	json_t *detail;
	enum rc rc = job_forget(x->en->control, x->archive->number, e);

	(void)r;
	(void)c;
	if (rc != RC_OK)
		return rc;
	detail = json_object();
	json_put_text(detail, "archive", slice_str(x->archive->name));
	json_put_text(detail, "id", slice_str(x->archive->id));
	json_put_int(detail, "archive_number", x->archive->number);
	return engine_account(x->en, "archive_destroyed", x->who, detail, e);
}

static enum rc end_archive(struct sweeping *s, const struct archive_info *a, const char *who,
                           struct err *e)
{
	struct ending x = { s->en, a, who };
	struct apply_result r = { .before_commit = account_end, .arg = &x, .base = s->en->config };
	enum rc rc = resources_end_archive(s->en->control, slice_str(a->id), &r, e);

	if (rc == RC_OK && r.made)
		rc = engine_adopt(s->en, r.made, e);
	apply_result_free(&r);
	return rc;
}

enum rc sweeping_end_archives(struct sweeping *s, const char *who, bool attended, struct err *e)
{
	static const struct sweep_plan nothing;
	int64_t now_ms = clock_now_ms();
	struct err why = { 0 };
	enum rc rc = RC_OK;

	/* Of an archive without mail the sweep had nothing to ask the guard about. */
	if (!attended && sweep_guard(&s->sweep, &nothing, &why) != RC_OK)
		return why.code == RC_DENIED ? RC_OK : err_set(e, why.code, "%s", why.text);
	for (size_t i = 0; rc == RC_OK && i < config_archive_count(s->config); i++) {
		const struct archive_info *a = config_archive_at(s->config, i);
		int64_t end_ms = archive_end_ms(a);

		if (end_ms && end_ms <= now_ms && !engine_has_lots(s->en, a->number))
			rc = end_archive(s, a, who, e);
	}
	/* By the configuration as it is now: `writing` is held. What is lost may be a lot of it. */
	if (rc == RC_OK && keyring_lost(s->en->keys) == 0)
		(void)keyring_each(s->en->keys, drop_key, s->en);
	return rc;
}

void sweeping_tell(const struct sweeping *s, json_t *result)
{
	if (s->unfinished.code != RC_OK)
		json_put_text(result, "unfinished", slice_str(s->unfinished.text));
}

void sweeping_end(struct sweeping *s)
{
	(void)pthread_mutex_unlock(&s->en->writing);
	free((void *)(uintptr_t)s->sweep.archives);
	config_unref(&s->config);
}
