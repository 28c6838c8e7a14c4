/* api/op_rebuild.c - the index anew from the store, shards sealed, blocks merged */
#include <stdio.h>
#include <stdlib.h>

#include "api/ops.h"
#include "api/rebuild.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"
#include "store/audited.h"
#include "ingest/checkpoint.h"
#include "ingest/mail.h"
#include "ingest/parse.h"
#include "retention/erase.h"

#define BATCH       64
#define COMMIT_EACH 2000

/* Copies of what the walk shows, until a batch is full. */
struct waiting {
	struct message_id id;
	uint64_t lot;
	uint32_t archive;
	uint8_t sha256[32];
	struct buf meta;
	struct buf raw;
};

struct rebuild {
	struct engine *en;
	struct request *r;       /* who hears of it; NULL: nobody */
	bool (*stop)(void *arg); /* may be NULL */
	void *stop_arg;
	struct parse_pool *pool;
	struct audited *audited;
	uint32_t archive; /* 0: all */
	struct waiting items[BATCH];
	struct parse_job jobs[BATCH];
	size_t count;
	uint64_t done;
	uint64_t failed;
	uint64_t total;
	uint64_t committed;
};

static enum rc add_one(struct rebuild *b, const struct waiting *w, const struct parse_job *job,
                       struct err *e)
{
	struct document_envelope env = { .lot = w->lot, .bytes = w->raw.len };
	struct document doc;
	struct mail mail;
	enum rc rc = mail_read_stored(&mail, &w->id, buf_slice(&w->meta), e);

	if (rc == RC_OK) {
		mail_envelope(&mail, &env);
		memcpy(env.sha256, w->sha256, sizeof(env.sha256));
		document_make(&doc, &job->parsed, &env);
		rc = index_add(b->en->index, w->archive, &doc.doc, e);
		document_free(&doc);
	}
	mail_free(&mail);
	return rc;
}

static enum rc row(struct rebuild *b, json_t *o, struct err *e)
{
	if (b->r)
		return request_row(b->r, o, e);
	json_decref(o);
	return RC_OK;
}

static enum rc tell(struct rebuild *b, struct err *e)
{
	json_t *o = json_object();

	json_put_int(o, "done", (int64_t)b->done);
	json_put_int(o, "total", (int64_t)b->total);
	return row(b, o, e);
}

static enum rc tell_problem(struct rebuild *b, const char *where, const char *what, struct err *e)
{
	json_t *o = json_object();

	json_put_text(o, "where", slice_str(where));
	json_put_text(o, "problem", slice_str(what));
	if (!b->r)
		log_error("the index's rebuild: %s: %s", where, what);
	return row(b, o, e);
}

static enum rc flush(struct rebuild *b, struct err *e)
{
	enum rc rc = RC_OK;

	if (b->count == 0)
		return RC_OK;
	rc = parse_begin(b->pool, b->jobs, b->count, e);
	if (rc == RC_OK)
		rc = parse_wait(b->pool, e);
	for (size_t i = 0; i < b->count; i++) {
		if (rc == RC_OK)
			rc = add_one(b, &b->items[i], &b->jobs[i], e);
		parse_job_free(&b->jobs[i]);
		buf_free(&b->items[i].meta);
		buf_free(&b->items[i].raw);
	}
	b->done += b->count;
	b->count = 0;
	if (rc == RC_OK && b->done - b->committed >= COMMIT_EACH) {
		b->committed = b->done;
		rc = index_commit(b->en->index, e);
		if (rc == RC_OK)
			rc = tell(b, e);
	}
	return rc;
}

static enum rc take(void *arg, uint32_t archive, const struct store_message *m, const char *problem,
                    struct err *e)
{
	struct rebuild *b = arg;
	struct waiting *w = &b->items[b->count];
	char id[ID_TEXT + 1];
	bool erased;
	enum rc rc;

	if (b->stop && b->stop(b->stop_arg))
		return err_set(e, RC_AGAIN, "the rebuild was broken off");
	audited_found(b->audited, m->lot);
	/* An erasure that damage keeps from its end is not undone. */
	rc = erased_has(b->en->control, archive, &m->id, &erased, e);
	if (rc != RC_OK || erased)
		return rc;
	if (problem) {
		b->failed++;
		id_format(id, &m->id);
		return tell_problem(b, id, problem, e);
	}
	w->id = m->id;
	w->lot = m->lot;
	w->archive = archive;
	memcpy(w->sha256, m->sha256, sizeof(w->sha256));
	buf_init(&w->meta, SIZE_MAX / 8);
	buf_init(&w->raw, SIZE_MAX / 8);
	if (buf_add(&w->meta, m->meta) != RC_OK || buf_add(&w->raw, m->raw) != RC_OK)
		return err_set(e, RC_LIMIT, "out of memory");
	b->jobs[b->count] = (struct parse_job) { .raw = buf_slice(&w->raw) };
	b->count++;
	return b->count == BATCH ? flush(b, e) : RC_OK;
}

/* Messages that can't be read are not indexed, and the caller hears of it. */
static enum rc take_damage(void *arg, const char *file, const char *what, struct err *e)
{
	struct rebuild *b = arg;

	b->failed++;
	return tell_problem(b, file, what, e);
}

/* What the store lost without a trace, at the end of a file, was in the old index and is not in the
 * new one. */
static enum rc take_difference(void *arg, uint64_t lot, uint64_t given, uint64_t found,
                               struct err *e)
{
	struct rebuild *b = arg;
	struct key_info info;
	char where[64];
	char what[100];

	if (keyring_info(b->en->keys, lot, &info, NULL) != RC_OK || info.state != KEY_LIVE ||
	    (b->archive && info.archive != b->archive))
		return RC_OK;
	(void)snprintf(where, sizeof(where), "lot %llu of archive %u", (unsigned long long)lot,
	               info.archive);
	(void)snprintf(what, sizeof(what), "%llu messages were archived, %llu are there",
	               (unsigned long long)given, (unsigned long long)found);
	b->failed += given > found ? given - found : 1;
	return tell_problem(b, where, what, e);
}

/* The old shards lose their keys before the new ones are written. */
static enum rc empty_index(struct engine *en, uint32_t archive, struct err *e)
{
	uint64_t *dead;
	size_t count;
	enum rc rc;

	index_reset(en->index, archive, &dead, &count);
	rc = keyring_destroy(en->keys, dead, count, e);
	free(dead);
	return rc == RC_OK ? index_drop_dead(en->index, e) : rc;
}

static enum rc rebuild(struct rebuild *b, uint32_t archive, struct err *e)
{
	struct engine *en = b->en;
	struct store_visit visit = { .message = take, .damage = take_damage, .arg = b };
	struct store_totals totals;
	unsigned sealed;
	enum rc rc = audited_load(&b->audited, en->audit, e);

	b->archive = archive;
	if (rc == RC_CORRUPT) { /* what is in the store can be found all the same */
		b->failed++;
		rc = tell_problem(b, "audit log", e->text, e);
	}
	if (rc == RC_OK)
		rc = index_rebuild_begin(en->index, archive, e);
	if (rc == RC_OK)
		rc = empty_index(en, archive, e);
	store_count(en->store, archive, &totals);
	b->total = totals.messages;
	if (rc == RC_OK)
		rc = store_walk(en->store, archive, &visit, e);
	if (rc == RC_OK)
		rc = flush(b, e);
	if (rc == RC_OK)
		rc = index_commit(en->index, e);
	if (rc == RC_OK)
		rc = index_rebuild_end(en->index, archive, e);
	if (rc == RC_OK)
		rc = audited_differences(b->audited, take_difference, b, e);
	audited_free(&b->audited);
	if (rc == RC_OK)
		rc = index_seal(en->index, false, &sealed, e);
	else
		index_rollback(en->index); /* the pipeline begins with nothing of it */
	for (size_t i = 0; i < b->count; i++) {
		buf_free(&b->items[i].meta);
		buf_free(&b->items[i].raw);
	}
	return rc;
}

enum rc op_reindex(struct request *r, struct err *e)
{
	struct rebuild *b = mem_new(sizeof(*b));
	struct config *c = engine_config(r->en);
	const struct archive_info *a = NULL;
	json_t *detail = json_object();
	enum rc rc = RC_OK;

	b->en = r->en;
	b->r = r;
	if (json_object_get(r->args, "archive"))
		rc = request_archive(r, c, &a, e);
	if (rc == RC_OK)
		rc = parse_pool_new(&b->pool, 2, NULL, e);
	if (rc == RC_OK) {
		(void)pthread_mutex_lock(&r->en->writing);
		rc = pipeline_checkpoint(r->en->pipeline, e);
		if (rc == RC_OK)
			rc = rebuild(b, a ? a->number : 0, e);
		(void)pthread_mutex_unlock(&r->en->writing);
	}
	parse_pool_free(&b->pool);
	json_put_int(detail, "messages", (int64_t)b->done);
	json_put_int(detail, "failed", (int64_t)b->failed);
	r->result = json_deep_copy(detail);
	if (rc == RC_OK)
		rc = request_account(r, "reindex", detail, e);
	else
		json_decref(detail);
	config_unref(&c);
	free(b);
	return rc;
}

enum rc rebuild_go_on(struct engine *en, bool (*stop)(void *arg), void *arg, struct err *e)
{
	struct rebuild *b = mem_new(sizeof(*b));
	json_t *detail = json_object();
	uint32_t archive;
	bool any = false;
	enum rc rc = RC_OK;

	b->en = en;
	b->stop = stop;
	b->stop_arg = arg;
	(void)pthread_mutex_lock(&en->writing);
	if (index_rebuild_left(en->index, &archive)) {
		any = true;
		log_info("the index's rebuild, which was broken off, is done again");
		rc = parse_pool_new(&b->pool, 2, NULL, e);
		if (rc == RC_OK)
			rc = pipeline_checkpoint(en->pipeline, e);
	}
	while (rc == RC_OK && index_rebuild_left(en->index, &archive))
		rc = rebuild(b, archive, e);
	(void)pthread_mutex_unlock(&en->writing);
	parse_pool_free(&b->pool);
	json_put_int(detail, "messages", (int64_t)b->done);
	json_put_int(detail, "failed", (int64_t)b->failed);
	if (rc == RC_OK && any)
		rc = engine_account(en, "reindex", en->program, detail, e);
	else
		json_decref(detail);
	free(b);
	return rc;
}

enum rc op_seal(struct request *r, struct err *e)
{
	unsigned sealed = 0;
	json_t *detail = json_object();
	enum rc rc;

	(void)pthread_mutex_lock(&r->en->writing);
	rc = pipeline_checkpoint(r->en->pipeline, e);
	if (rc == RC_OK)
		rc = index_commit(r->en->index, e);
	if (rc == RC_OK)
		rc = index_seal(r->en->index, true, &sealed, e);
	(void)pthread_mutex_unlock(&r->en->writing);
	json_put_int(detail, "sealed", sealed);
	r->result = json_deep_copy(detail);
	if (rc == RC_OK)
		return request_account(r, "seal", detail, e);
	json_decref(detail);
	return rc;
}

enum rc op_repack(struct request *r, struct err *e)
{
	return engine_repack(r->en, e);
}
