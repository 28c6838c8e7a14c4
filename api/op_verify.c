/*
 * api/op_verify.c - re-hash every message, compare store, index and audit log with each other
 *
 * Found are: bytes that differ from what was received (block authentication and SHA-256), messages
 * in the store but not in the index and the other way round, blocks that the audit log doesn't know
 * or knows with another root, audited blocks that are missing although their lot is alive, damaged
 * pages of shards, a broken audit chain.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

#include "api/ops.h"
#include "base/codec.h"

struct audited {
	uint8_t place[12]; /* segment, block */
	uint8_t root[32];
	uint64_t lot;
	bool seen;
	UT_hash_handle hh;
};

struct verify {
	struct request *r;
	struct audited *blocks;
	uint64_t messages;
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

/* ---- the audit log's blocks ---- */

static void place_of(uint8_t place[12], uint64_t segment, uint32_t block)
{
	put_le64(place, segment);
	put_le32(place + 8, block);
}

static void remember(struct verify *v, const json_t *block)
{
	struct audited *a = mem_new(sizeof(*a));
	struct audited *old;

	place_of(a->place, (uint64_t)json_member_int(block, "segment", 0),
	         (uint32_t)json_member_int(block, "block", 0));
	a->lot = (uint64_t)json_member_int(block, "lot", 0);
	if (!hex_decode(a->root, sizeof(a->root), json_member_text(block, "root"))) {
		free(a);
		return;
	}
	HASH_FIND(hh, v->blocks, a->place, sizeof(a->place), old);
	if (old) {
		HASH_DEL(v->blocks, old);
		free(old);
	}
	HASH_ADD(hh, v->blocks, place, sizeof(a->place), a);
}

static enum rc collect(void *arg, const struct audit_entry *entry, struct err *e)
{
	json_t *list;

	(void)e;
	if (strcmp(entry->event, "block") != 0)
		return RC_OK;
	list = json_object_get(entry->detail, "blocks");
	for (size_t i = 0; i < json_array_size(list); i++)
		remember(arg, json_array_get(list, i));
	return RC_OK;
}

static enum rc check_block(void *arg, const struct store_block *b, struct err *e)
{
	struct verify *v = arg;
	struct audited *a;
	uint8_t place[12];
	char where[64];

	place_of(place, b->segment, b->block);
	(void)snprintf(where, sizeof(where), "segment %llx block %u",
	               (unsigned long long)b->segment, b->block);
	HASH_FIND(hh, v->blocks, place, sizeof(place), a);
	if (!a)
		return problem(v, where, e, "the audit log does not know this block");
	a->seen = true;
	if (memcmp(a->root, b->root, sizeof(a->root)) != 0)
		return problem(v, where, e,
		               "its messages are not those that the audit log recorded");
	return RC_OK;
}

static enum rc missing_blocks(struct verify *v, struct err *e)
{
	struct audited *a;
	struct audited *next;
	enum rc rc = RC_OK;

	HASH_ITER(hh, v->blocks, a, next)
	{
		struct key_info info;
		char where[64];

		if (rc == RC_OK && !a->seen &&
		    keyring_info(v->r->en->keys, a->lot, &info, NULL) == RC_OK &&
		    info.state == KEY_LIVE) {
			(void)snprintf(where, sizeof(where), "segment %llx block %u",
			               (unsigned long long)get_le64(a->place),
			               get_le32(a->place + 8));
			rc = problem(v, where, e, "this block was archived and is missing");
		}
		HASH_DEL(v->blocks, a);
		free(a);
	}
	return rc;
}

/* ---- the store against the index ---- */

static enum rc check_message(void *arg, uint32_t archive, const struct store_message *m,
                             const char *what, struct err *e)
{
	struct verify *v = arg;
	char id[ID_TEXT + 1];

	v->messages++;
	id_format(id, &m->id);
	if (what)
		return problem(v, id, e, "%s", what);
	if (!index_has(v->r->en->index, archive, &m->id))
		return problem(v, id, e, "it is stored but not in the index (mmctl reindex)");
	return request_gone(v->r->w) ? err_set(e, RC_IO, "who asked has gone") : RC_OK;
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
	if (rc != RC_OK)
		return rc;
	rc = index_view_each(view, &all, SORT_RECEIVED_DOWN, 0, check_row, v, e);
	index_view_close(&view);
	return rc;
}

static enum rc verify_all(struct verify *v, struct config *c, struct err *e)
{
	struct store_visit visit = { check_message, check_block, check_damage, v };
	struct audit_head head;
	enum rc rc = audit_verify(v->r->en->audit, NULL, &head, e);

	if (rc == RC_CORRUPT)
		rc = problem(v, "audit log", e, "%s", e->text);
	if (rc == RC_OK)
		rc = audit_each(v->r->en->audit, 1, collect, v, e);
	if (rc == RC_OK)
		rc = store_walk(v->r->en->store, 0, &visit, e);
	if (rc == RC_OK)
		rc = missing_blocks(v, e);
	for (size_t i = 0; rc == RC_OK && i < config_archive_count(c); i++)
		rc = check_rows(v, config_archive_at(c, i), e);
	if (rc == RC_OK)
		rc = index_verify(v->r->en->index, 0, check_damage, v, e);
	return rc;
}

enum rc op_verify(struct request *r, struct err *e)
{
	struct verify v = { .r = r };
	struct config *c = engine_config(r->en);
	json_t *detail = json_object();
	enum rc rc;

	/* The writer stands still, so that store, audit log and index show one moment. */
	(void)pthread_mutex_lock(&r->en->writing);
	rc = verify_all(&v, c, e);
	(void)pthread_mutex_unlock(&r->en->writing);
	config_unref(&c);
	json_put_int(detail, "messages", (int64_t)v.messages);
	json_put_int(detail, "problems", (int64_t)v.problems);
	r->result = json_deep_copy(detail);
	json_put_int(r->result, "rows", (int64_t)v.rows);
	if (rc == RC_OK)
		return engine_account(r->en, "verify", r->who, detail, e);
	json_decref(detail);
	return rc;
}
