/*
 * api/op_import.c - messages from files: into the spool, then the same line as all others
 *
 * The tool reads the files (as the user who owns them) and sends batches: a JSON head with one
 * object a message ("source", "bytes", "received_ms" or none) and the bytes behind it. Each message
 * is looked up in the ledger, then committed to the import writer's spool file; "stored" is
 * answered when it is synced there. Archive, receipt time and ledger key travel in its metadata to
 * the pipeline.
 */
#include <poll.h>
#include <stdlib.h>

#include "api/ops.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/limits.h"
#include "base/log.h"
#include "ingest/ledger.h"
#include "store/crypt.h"
#include "store/hash.h"

#define MOST_RECENT 50000
#define RETRY_MS    100 /* between two tries to make a file of a full spool */
#ifdef MM_TEST
#define STUCK_MS 2000
#else
#define STUCK_MS 60000 /* nothing has left the spool for so long: it stays full */
#endif

/* A message that may not be in the ledger yet. */
struct recent {
	uint8_t key[LEDGER_KEY];
	struct message_id id;
	bool stored; /* false: its commit is under way */
	UT_hash_handle hh;
};

/* The spool's writer for imports, kept between batches; used with `importing` held. */
struct import_line {
	struct engine *en;
	struct spool_writer *writer;
	struct import *now; /* the batch under way */
	struct recent *recent;
	unsigned files_owed; /* asked for by the writer, and the spool was full */
	unsigned bigs_owed;
};

struct import {
	struct request *r;
	const struct archive_info *archive;
	struct spool_writer *writer;
	struct db *db;
	const char *received; /* "now" or "header" */
	uint64_t waiting;
	uint64_t stored;
	uint64_t already;
	uint64_t failed;
};

/* What `done` needs to answer for one message. */
struct imported {
	char *source;
	int64_t received_ms; /* of the archived message; -1: when it was committed */
	struct recent *recent;
};

static enum rc answer(struct import *im, const char *source, const char *outcome, const char *id,
                      const char *why, struct err *e)
{
	json_t *o = json_object();

	json_put_text(o, "source", slice_str(source));
	json_put_text(o, "outcome", slice_str(outcome));
	if (id)
		json_put_text(o, "id", slice_str(id));
	if (why)
		json_put_text(o, "reason", slice_str(why));
	return request_row(im->r, o, e);
}

/* ---- the spool writer's questions; this thread is its loop ---- */

/* A file that can't be had now is owed: the pipeline makes room (wait_for). */
static enum rc make_file(struct import_line *line, struct err *e)
{
	struct spool_new_file f;
	enum rc rc = spool_make_file(line->en->spool, SPOOL_WRITER_IMPORT, &f, e);

	return rc == RC_OK ? spool_writer_give_file(line->writer, f.number, f.fd, f.capacity,
	                                            f.public_key, e)
	                   : rc;
}

static enum rc make_big(struct import_line *line, struct err *e)
{
	struct spool_new_file f;
	enum rc rc = spool_make_big(line->en->spool, SPOOL_WRITER_IMPORT, &f, e);

	if (rc == RC_OK)
		spool_writer_give_big(line->writer, f.number, f.fd);
	return rc;
}

static void need_file(void *app)
{
	struct import_line *line = app;
	struct err e = { 0 };

	if (make_file(line, &e) == RC_OK)
		return;
	line->files_owed++;
	log_info("an import waits for a spool file: %s", e.text);
}

static void need_big(void *app)
{
	struct import_line *line = app;
	struct err e = { 0 };

	if (make_big(line, &e) == RC_OK)
		return;
	line->bigs_owed++;
	log_info("an import waits for a file for a large message: %s", e.text);
}

static void pay_debts(struct import_line *line)
{
	struct err e = { 0 };

	while (line->files_owed && make_file(line, &e) == RC_OK)
		line->files_owed--;
	while (line->bigs_owed && make_big(line, &e) == RC_OK)
		line->bigs_owed--;
}

static void progress(void *app, uint64_t file, uint64_t offset, uint64_t messages)
{
	struct import_line *line = app;

	spool_durable(line->en->spool, SPOOL_WRITER_IMPORT, file, offset, messages);
	pipeline_wake(line->en->pipeline);
}

static void done(void *app, void *cookie, const struct message_id *id, int64_t received_ms,
                 const struct durable *proof, const struct err *why)
{
	struct import *im = ((struct import_line *)app)->now;
	struct imported *m = cookie;
	struct err ignored = { 0 };
	struct message_id archived;
	char text[ID_TEXT + 1];

	(void)received_ms;
	im->waiting--;
	if (proof) {
		im->stored++;
		archived = m->received_ms >= 0 ? id_at(id, m->received_ms) : *id;
		m->recent->id = archived;
		m->recent->stored = true;
		id_format(text, &archived);
		(void)answer(im, m->source, "stored", text, NULL, &ignored);
	} else {
		im->failed++;
		HASH_DEL(((struct import_line *)app)->recent, m->recent);
		free(m->recent);
		(void)answer(im, m->source, "failed", NULL, why->text, &ignored);
	}
	free(m->source);
	free(m);
}

static void end_writer(struct import_line *line)
{
	if (!line->writer)
		return;
	spool_writer_free(&line->writer);
	line->files_owed = 0;
	line->bigs_owed = 0;
	spool_writer_gone(line->en->spool, SPOOL_WRITER_IMPORT);
	pipeline_wake(line->en->pipeline);
}

/* What was stored before is in the ledger after this. No commit is under way. */
static enum rc settle_ledger(struct import_line *line, struct err *e)
{
	struct recent *next;
	enum rc rc = pipeline_drain(line->en->pipeline, 600000, e);

	for (struct recent *x = line->recent; rc == RC_OK && x; x = next) {
		next = x->hh.next;
		HASH_DEL(line->recent, x);
		free(x);
	}
	return rc;
}

static enum rc get_writer(struct import *im, struct err *e)
{
	const struct spool_writer_options opt = { .writer = SPOOL_WRITER_IMPORT,
		                                  .floor_ms = spool_newest_ms(im->r->en->spool) };
	const struct spool_writer_ops ops = {
		.need_file = need_file, .need_big = need_big, .progress = progress, .done = done
	};
	struct import_line *line = im->r->en->import_line;
	bool fresh = !line;
	enum rc rc = RC_OK;

	if (fresh) {
		line = mem_new(sizeof(*line));
		line->en = im->r->en;
		im->r->en->import_line = line;
	}
	if (fresh || json_member_bool(im->r->args, "first", false) ||
	    HASH_COUNT(line->recent) >= MOST_RECENT)
		rc = settle_ledger(line, e);
	if (rc != RC_OK)
		return rc;
	line->now = im;
	if (line->writer && spool_writer_failed(line->writer))
		end_writer(line);
	if (!line->writer)
		rc = spool_writer_new(&line->writer, &opt, &ops, line, e);
	im->writer = line->writer;
	if (rc == RC_OK)
		spool_writer_flush(im->writer); /* asks for its files */
	return rc;
}

void import_line_rest(struct engine *en)
{
	(void)pthread_mutex_lock(&en->importing);
	if (en->import_line)
		end_writer(en->import_line);
	(void)pthread_mutex_unlock(&en->importing);
}

void import_line_free(struct import_line **line)
{
	struct recent *next;

	if (!*line)
		return;
	end_writer(*line);
	for (struct recent *x = (*line)->recent; x; x = next) {
		next = x->hh.next;
		HASH_DEL((*line)->recent, x);
		free(x);
	}
	free(*line);
	*line = NULL;
}

/* How far everything is; it changes as long as the spool may still get room. */
static uint64_t moved(struct import *im)
{
	struct pipeline_totals through;

	pipeline_count(im->r->en->pipeline, &through);
	return through.messages + through.checkpoints + im->stored + im->failed;
}

/* Waits until no more than `most` commits are under way, and `files`: the writer has its files. The
 * spool may be full: then the pipeline makes room. RC_NOSPACE when it doesn't, and the writer and
 * what waits for it are given up. */
static enum rc wait_for(struct import *im, uint64_t most, bool files, struct err *e)
{
	struct import_line *line = im->r->en->import_line;
	uint64_t before = moved(im);
	int64_t since = clock_mono_ms();

	spool_writer_flush(im->writer);
	while (im->waiting > most || (files && line->files_owed)) {
		bool owed = line->files_owed || line->bigs_owed;
		struct pollfd p = { .fd = spool_writer_event_fd(im->writer), .events = POLLIN };

		if (poll(&p, 1, owed ? RETRY_MS : 1000) > 0)
			spool_writer_reap(im->writer);
		pay_debts(line);
		/* A file given just now may have completed a commit. */
		spool_writer_flush(im->writer);
		if (!owed || moved(im) != before) {
			before = moved(im);
			since = clock_mono_ms();
		} else if (clock_mono_ms() - since >= STUCK_MS || request_gone(im->r->w) ||
		           pipeline_failure(im->r->en->pipeline)) {
			end_writer(line);
			im->writer = NULL;
			return err_set(e, RC_NOSPACE, "the spool is full");
		}
	}
	return RC_OK;
}

/* ---- one message ---- */

static void build_meta(struct import *im, const uint8_t key[LEDGER_KEY], const json_t *head,
                       const char *source, struct buf *out)
{
	json_t *meta = json_object();
	json_t *received = json_object_get(head, "received_ms");
	char hex[2 * LEDGER_KEY + 1];

	hex_encode(hex, key, LEDGER_KEY);
	json_put_int(meta, "v", 1);
	json_put_text(meta, "ingress", slice_str("import"));
	json_put_int(meta, "archive", im->archive->number);
	json_put_text(meta, "ledger", slice_str(hex));
	json_put_text(meta, "source", slice_str(source));
	json_put_text(meta, "by", slice_str(im->r->who));
	if (json_is_integer(received))
		json_put_int(meta, "received_ms", json_integer_value(received));
	if (json_write(out, meta) != RC_OK)
		buf_clear(out);
	json_decref(meta);
}

/* Is it stored by what was imported just now, or by the ledger? Not while its commit is under way.
 */
static enum rc find_stored(struct import *im, const uint8_t key[LEDGER_KEY], struct message_id *id,
                           struct err *e)
{
	struct import_line *line = im->r->en->import_line;
	struct recent *x;
	enum rc rc;

	HASH_FIND(hh, line->recent, key, LEDGER_KEY, x);
	if (x && !x->stored) {
		rc = wait_for(im, 0, false, e);
		if (rc != RC_OK)
			return rc;
		HASH_FIND(hh, line->recent, key, LEDGER_KEY, x);
	}
	if (!x)
		return ledger_get(im->db, key, id, e);
	*id = x->id;
	return RC_OK;
}

static enum rc known(struct import *im, const uint8_t key[LEDGER_KEY], const char *source,
                     bool *yes, struct err *e)
{
	struct message_id id;
	char text[ID_TEXT + 1];
	enum rc rc = find_stored(im, key, &id, e);

	*yes = rc == RC_OK;
	if (rc == RC_NOTFOUND)
		return RC_OK;
	if (rc != RC_OK)
		return rc;
	im->already++;
	id_format(text, &id);
	return answer(im, source, "already", text, NULL, e);
}

static enum rc draft(struct import *im, struct slice raw, struct spool_draft **out, struct err *e)
{
	enum rc rc = spool_begin(im->writer, out, e);

	if (rc == RC_OK)
		rc = spool_add(*out, raw, e);
	if (rc != RC_OK)
		spool_abort(out);
	return rc;
}

static enum rc commit(struct import *im, const char *source, const uint8_t key[LEDGER_KEY],
                      int64_t received_ms, struct slice raw, struct slice meta, struct err *e)
{
	struct import_line *line = im->r->en->import_line;
	struct spool_draft *d = NULL;
	struct imported *m;
	struct err why = { 0 };
	enum rc rc = draft(im, raw, &d, &why);

	if (rc == RC_NOSPACE) { /* memory or a file will be free again */
		rc = wait_for(im, 0, true, e);
		if (rc != RC_OK)
			return rc;
		rc = draft(im, raw, &d, &why);
	}
	if (rc != RC_OK) {
		im->failed++;
		return answer(im, source, "failed", NULL, why.text, e);
	}
	m = mem_new(sizeof(*m));
	m->received_ms = received_ms;
	m->source = mem_string(source);
	m->recent = mem_new(sizeof(*m->recent));
	memcpy(m->recent->key, key, LEDGER_KEY);
	HASH_ADD(hh, line->recent, key, LEDGER_KEY, m->recent);
	im->waiting++;
	spool_commit(&d, meta, m);
	return RC_OK;
}

static enum rc import_one(struct import *im, const json_t *head, struct slice raw, struct err *e)
{
	const char *source = json_string_value(json_object_get(head, "source"));
	uint8_t hash[32];
	uint8_t key[LEDGER_KEY];
	struct buf meta;
	bool yes;
	enum rc rc;

	if (!source)
		return err_set(e, RC_INVALID, "a message of the batch has no source");
	if (raw.len > LIMIT_MESSAGE_BYTES) {
		im->failed++;
		return answer(im, source, "failed", NULL, "it is larger than a message may be", e);
	}
	sha256(hash, raw);
	ledger_key(key, im->archive->number, slice_str(source), hash);
	rc = known(im, key, source, &yes, e);
	if (rc != RC_OK || yes)
		return rc;
	buf_init(&meta, 65536);
	build_meta(im, key, head, source, &meta);
	rc = commit(im, source, key, json_member_int(head, "received_ms", -1), raw,
	            buf_slice(&meta), e);
	buf_free(&meta);
	return rc;
}

static enum rc import_batch(struct import *im, struct err *e)
{
	json_t *heads = json_member_array(im->r->args, "messages");
	size_t at = 0;
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < json_array_size(heads); i++) {
		const json_t *head = json_array_get(heads, i);
		int64_t bytes = json_member_int(head, "bytes", -1);

		if (bytes < 0 || (uint64_t)bytes > im->r->bytes.len - at)
			return err_set(e, RC_INVALID, "message %zu of the batch is cut", i);
		rc = import_one(im, head, slice_part(im->r->bytes, at, (size_t)bytes), e);
		at += (size_t)bytes;
		if (rc == RC_OK && im->waiting >= 256)
			rc = wait_for(im, 64, false, e);
	}
	return rc;
}

static enum rc with_writer(struct import *im, struct err *e)
{
	enum rc rc = engine_control(im->r->en, &im->db, e);
	enum rc settled = RC_OK;

	if (rc == RC_OK)
		rc = get_writer(im, e);
	if (rc == RC_OK)
		rc = import_batch(im, e);
	if (im->writer)
		settled = wait_for(im, 0, false, rc == RC_OK ? e : NULL);
	/* A file that holds imported mail is not kept open for the next import. */
	if (im->r->en->import_line && json_member_bool(im->r->args, "last", false))
		end_writer(im->r->en->import_line);
	db_close(&im->db);
	return rc == RC_OK ? settled : rc;
}

/* Its beginning, and what each batch brought: the messages themselves are in the entries of their
 * blocks. */
static enum rc account(const struct import *im, bool begins, struct err *e)
{
	json_t *detail = json_object();

	json_put_text(detail, "archive", slice_str(im->archive->name));
	json_put_int(detail, "archive_number", im->archive->number);
	if (!begins) {
		json_put_int(detail, "stored", (int64_t)im->stored);
		json_put_int(detail, "already", (int64_t)im->already);
		json_put_int(detail, "failed", (int64_t)im->failed);
	}
	return request_account(im->r, "import", detail, e);
}

enum rc op_import(struct request *r, struct err *e)
{
	struct import im = { .r = r };
	struct config *c = engine_config(r->en);
	enum rc rc = request_archive(r, c, &im.archive, e);
	enum rc told;

	if (rc == RC_OK && json_member_bool(r->args, "first", false))
		rc = account(&im, true, e);
	/* One batch at a time: what it stores is known to the next one, whoever sends that. */
	(void)pthread_mutex_lock(&r->en->importing);
	if (rc == RC_OK)
		rc = with_writer(&im, e);
	(void)pthread_mutex_unlock(&r->en->importing);
	if (im.stored || im.already || im.failed) {
		told = account(&im, false, rc == RC_OK ? e : NULL);
		rc = rc == RC_OK ? told : rc;
	}
	r->result = json_object();
	json_put_int(r->result, "stored", (int64_t)im.stored);
	json_put_int(r->result, "already", (int64_t)im.already);
	json_put_int(r->result, "failed", (int64_t)im.failed);
	config_unref(&c);
	return rc;
}
