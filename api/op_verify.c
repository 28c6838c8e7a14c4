/*
 * api/op_verify.c - re-hash every message, compare store, index and audit log with each other
 *
 * Found are: bytes that differ from what was received (block authentication and SHA-256), messages
 * in the store but not in the index and the other way round, blocks that the audit log doesn't know
 * or knows with another root, audited blocks that are missing although their lot is alive, a
 * replica of the key ring that isn't what the ring holds, damaged pages of shards and of the
 * control database, an older copy of this one, a broken or cut audit chain, damage in the sealed
 * log.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/ops.h"
#include "base/clock.h"
#include "base/codec.h"
#include "ingest/anchor.h"
#include "store/audited.h"
#include "store/logbook.h"
#include "retention/erase.h"

struct verify {
	struct request *r;
	struct config *config;
	struct audited *audited;
	uint64_t messages;
	uint64_t total; /* about: for the progress */
	uint64_t rows;
	uint64_t problems;
	const char *archive; /* name, while rows are compared */
	uint32_t number;
};

static enum rc PRINTF(4, 5)
        problem(struct verify *v, const char *where, struct err *e, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	json_t *o = json_object();

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	v->problems++;
	json_put_text(o, "where", slice_str(where));
	json_put_text(o, "problem", slice_str(text));
	return request_row(v->r, o, e);
}

/* ---- the store against the audit log ---- */

static enum rc check_block(void *arg, const struct store_block *b, struct err *e)
{
	struct verify *v = arg;
	char where[64];

	audited_seen(v->audited, b->segment, b->block);
	if (audited_root(v->audited, b->root))
		return RC_OK;
	(void)snprintf(where, sizeof(where), "segment %llx block %u",
	               (unsigned long long)b->segment, b->block);
	return problem(v, where, e, "its messages are not what the audit log recorded");
}

/* A segment that is gone may have been repacked: then its blocks are elsewhere. */
static enum rc tell_unseen(void *arg, const struct store_block *b, struct err *e)
{
	struct verify *v = arg;
	char name[64];
	char *path;
	bool there;

	(void)snprintf(name, sizeof(name), "seg/%u/%016llx.seg", b->archive,
	               (unsigned long long)b->segment);
	path = path_join(v->r->en->dir, name);
	there = file_exists(path);
	free(path);
	if (!there)
		return RC_OK;
	return problem(v, name, e, "block %u with %u messages of lot %llu can't be read", b->block,
	               b->messages, (unsigned long long)b->lot);
}

/* Of an archive that the asker may verify; `number` 0: nobody knows of which. */
static bool is_asked(const struct verify *v, uint32_t number)
{
	const struct archive_info *a = config_archive_by_number(v->config, number);

	return access_everywhere(v->r->access, ACCESS_VERIFY) ||
	       (a && access_may(v->r->access, ACCESS_VERIFY, a->id));
}

static enum rc check_lot(void *arg, uint64_t lot, uint64_t given, uint64_t found, struct err *e)
{
	struct verify *v = arg;
	struct key_info info = { .archive = 0 };
	char where[64];
	enum rc rc = keyring_info(v->r->en->keys, lot, &info, NULL);

	if (!is_asked(v, rc == RC_OK ? info.archive : 0))
		return RC_OK;
	if (rc == RC_OK && info.state != KEY_LIVE)
		return RC_OK; /* destroyed after its retention */
	if (rc != RC_OK) {
		(void)snprintf(where, sizeof(where), "lot %llu", (unsigned long long)lot);
		rc = problem(v, where, e, "%llu messages were archived, its key is not in the ring",
		             (unsigned long long)given);
		return rc == RC_OK ? audited_unseen(v->audited, lot, tell_unseen, v, e) : rc;
	}
	(void)snprintf(where, sizeof(where), "lot %llu of archive %u", (unsigned long long)lot,
	               info.archive);
	rc = problem(v, where, e, "%llu messages were archived, %llu are there",
	             (unsigned long long)given, (unsigned long long)found);
	return rc == RC_OK ? audited_unseen(v->audited, lot, tell_unseen, v, e) : rc;
}

/* ---- the store against the index ---- */

static enum rc tell(struct verify *v, struct err *e)
{
	json_t *o = json_object();

	json_put_int(o, "done", (int64_t)v->messages);
	json_put_int(o, "total", (int64_t)v->total);
	return request_row(v->r, o, e);
}

static enum rc check_message(void *arg, uint32_t archive, const struct store_message *m,
                             const char *what, struct err *e)
{
	struct verify *v = arg;
	char id[ID_TEXT + 1];
	bool erased;
	enum rc rc = erased_has(v->r->en->control, archive, &m->id, &erased, e);

	if (rc != RC_OK)
		return rc;
	v->messages++;
	audited_found(v->audited, m->lot);
	id_format(id, &m->id);
	if (what)
		return problem(v, id, e, "%s", what);
	if (erased)
		return problem(v, id, e, "its erasure is not finished (mm-retention run)");
	if (!index_has(v->r->en->index, archive, &m->id))
		return problem(v, id, e, "it is stored but not in the index (mmctl reindex)");
	return v->messages % 1000 == 0 ? tell(v, e) : RC_OK;
}

static enum rc check_damage(void *arg, const char *file, const char *what, struct err *e)
{
	return problem(arg, file, e, "%s", what);
}

static enum rc check_row(void *arg, const struct index_row *row, struct err *e)
{
	struct verify *v = arg;
	char id[ID_TEXT + 1];

	v->rows++;
	if (store_has(v->r->en->store, v->number, &row->id))
		return RC_OK;
	id_format(id, &row->id);
	return problem(v, id, e, "it is in the index but not stored in archive %s", v->archive);
}

static enum rc check_rows(struct verify *v, const struct archive_info *a, struct err *e)
{
	struct index_view *view;
	struct match all = { .kind = MATCH_ALL };
	enum rc rc;

	v->archive = a->name;
	v->number = a->number;
	rc = index_view_open(&view, v->r->en->index, a->number, INT64_MIN, INT64_MAX, e);
	if (rc == RC_OK)
		rc = index_view_each(view, &all, SORT_RECEIVED_DOWN, 0, check_row, v, e);
	index_view_close(&view);
	return rc == RC_CORRUPT ? problem(v, a->name, e, "%s", e->text) : rc;
}

enum { SLOTS_TOLD = 20 };

struct slots {
	struct verify *v;
	uint64_t count;
};

static enum rc check_slot(void *arg, const char *replica, uint32_t slot, const char *what,
                          struct err *e)
{
	struct slots *s = arg;

	if (++s->count > SLOTS_TOLD)
		return RC_OK;
	if (slot == 0)
		return problem(s->v, replica, e, "the header: %s", what);
	return problem(s->v, replica, e, "slot %u %s", slot, what);
}

static enum rc check_keys(struct verify *v, struct err *e)
{
	struct slots s = { .v = v };
	enum rc rc = keyring_check(v->r->en->keys, v->r->en->dir, check_slot, &s, e);

	if (rc == RC_OK && s.count > SLOTS_TOLD)
		rc = problem(v, "keys.a, keys.b", e, "and %llu slots more",
		             (unsigned long long)(s.count - SLOTS_TOLD));

	for (size_t i = 0; rc == RC_OK && is_asked(v, 0) && i < keyring_lost(v->r->en->keys); i++)
		rc = problem(v, "keys.a, keys.b", e, "slot %u is damaged in both: its key is lost",
		             keyring_lost_slot(v->r->en->keys, i));
	return rc;
}

/* Every page, for a search reads few of them. */
static enum rc check_control(struct verify *v, struct err *e)
{
	char *path = path_join(v->r->en->dir, "control.db");
	struct err why = { 0 };
	enum rc rc = RC_OK;

	if (db_check(path, v->r->en->control_key, false, &why) != RC_OK)
		rc = problem(v, "control.db", e, "%s", why.text);
	free(path);
	return rc;
}

/* What no person has taken note of since. */
static enum rc note_older(void *arg, const struct audit_entry *entry, struct err *e)
{
	json_t *found = arg;
	char when[25];
	char text[200];

	(void)e;
	if (strcmp(entry->event, "attended") == 0)
		(void)json_array_clear(found);
	if (strcmp(entry->event, "control_older") != 0)
		return RC_OK;
	time_format(when, entry->when_ms);
	(void)snprintf(
	        text, sizeof(text),
	        "an older copy was put back before %s (audit entry %llu): it had %lld changes, not"
	        " %lld",
	        when, (unsigned long long)entry->number,
	        (long long)json_member_int(entry->detail, "changes", 0),
	        (long long)json_member_int(entry->detail, "known", 0));
	json_push(found, json_string(text));
	return RC_OK;
}

static enum rc check_older(struct verify *v, struct err *e)
{
	json_t *found = json_array();
	enum rc rc = audit_each(v->r->en->audit, 1, note_older, found, e);

	if (rc == RC_CORRUPT) /* told already */
		rc = RC_OK;
	for (size_t i = 0; rc == RC_OK && i < json_array_size(found); i++)
		rc = problem(v, "control.db", e, "%s", json_string_value(json_array_get(found, i)));
	json_decref(found);
	return rc;
}

static enum rc tell_damage(struct verify *v, enum rc rc, struct err *e)
{
	return rc == RC_CORRUPT ? problem(v, "audit log", e, "%s", e->text) : rc;
}

static enum rc pass_entry(void *arg, const struct logbook_entry *x, struct err *e)
{
	(void)arg;
	(void)x;
	(void)e;
	return RC_OK;
}

static enum rc log_problem(void *arg, const char *text, struct err *e)
{
	return problem(arg, "logs", e, "%s", text);
}

static enum rc check_logs(struct verify *v, struct err *e)
{
	const struct logbook_reader reader = { pass_entry, log_problem, v };
	struct logbook_place place = { 0 };
	struct logbook *book;
	enum rc rc;

	if (!is_asked(v, 0))
		return RC_OK;
	rc = logbook_open(&book, v->r->en->dir, v->r->en->keys, e);
	if (rc == RC_OK)
		rc = logbook_read(book, &place, &reader, e);
	logbook_close(&book);
	return rc;
}

/* Log, key ring and control database: what all archives share. */
static enum rc verify_shared(struct verify *v, struct err *e)
{
	struct audit_head head;
	enum rc rc = tell_damage(v, audit_verify(v->r->en->audit, NULL, &head, e), e);

	if (rc == RC_OK)
		rc = tell_damage(v, anchor_check(v->r->en->control, v->r->en->audit, e), e);
	if (rc == RC_OK)
		rc = check_older(v, e);
	if (rc == RC_OK)
		rc = check_keys(v, e);
	if (rc == RC_OK)
		rc = check_logs(v, e);
	return rc == RC_OK ? check_control(v, e) : rc;
}

static enum rc verify_all(struct verify *v, struct err *e)
{
	struct store_visit visit = { check_message, check_block, check_damage, v };
	bool everything = access_everywhere(v->r->access, ACCESS_VERIFY);
	size_t count = config_archive_count(v->config);
	struct store_totals totals;
	enum rc rc = verify_shared(v, e);

	if (rc == RC_OK) {
		rc = audited_load(&v->audited, v->r->en->audit, e);
		if (rc == RC_CORRUPT) /* told above; what it knows of is compared */
			rc = RC_OK;
	}
	for (size_t i = 0; i < count; i++) {
		store_count(v->r->en->store, config_archive_at(v->config, i)->number, &totals);
		v->total +=
		        is_asked(v, config_archive_at(v->config, i)->number) ? totals.messages : 0;
	}
	if (rc == RC_OK && everything)
		rc = store_walk(v->r->en->store, 0, &visit, e);
	for (size_t i = 0; rc == RC_OK && !everything && i < count; i++)
		if (is_asked(v, config_archive_at(v->config, i)->number))
			rc = store_walk(v->r->en->store, config_archive_at(v->config, i)->number,
			                &visit, e);
	if (rc == RC_OK)
		rc = audited_differences(v->audited, check_lot, v, e);
	for (size_t i = 0; rc == RC_OK && i < count; i++)
		if (is_asked(v, config_archive_at(v->config, i)->number))
			rc = check_rows(v, config_archive_at(v->config, i), e);
	if (rc == RC_OK && everything)
		rc = index_verify(v->r->en->index, 0, check_damage, v, e);
	for (size_t i = 0; rc == RC_OK && !everything && i < count; i++)
		if (is_asked(v, config_archive_at(v->config, i)->number))
			rc = index_verify(v->r->en->index, config_archive_at(v->config, i)->number,
			                  check_damage, v, e);
	return rc;
}

enum rc op_verify(struct request *r, struct err *e)
{
	struct verify v = { .r = r, .config = engine_config(r->en) };
	json_t *detail = json_object();
	enum rc rc;

	/* The writer stands still, so that store, audit log and index show one moment. */
	(void)pthread_mutex_lock(&r->en->writing);
	rc = pipeline_checkpoint(r->en->pipeline, e);
	if (rc == RC_OK)
		rc = verify_all(&v, e);
	(void)pthread_mutex_unlock(&r->en->writing);
	audited_free(&v.audited);
	config_unref(&v.config);
	json_put_int(detail, "messages", (int64_t)v.messages);
	json_put_int(detail, "problems", (int64_t)v.problems);
	r->result = json_deep_copy(detail);
	json_put_int(r->result, "rows", (int64_t)v.rows);
	if (rc == RC_OK)
		return request_account(r, "verify", detail, e);
	json_decref(detail);
	return rc;
}
