/* api/op_audit.c - the audit log's entries, as far as the asker may see them, and its chain */
#include <stdio.h>
#include <string.h>

#include "api/ops.h"
#include "base/codec.h"
#include "ingest/anchor.h"

/*
 * Who reads the log of all archives reads all of it, but for an operator, who doesn't see what
 * others searched, read and destroyed: of those entries he gets that they are there. An auditor of
 * some archives gets what was done to these, what he asked himself, and starts and stops. The rest
 * is left out; numbers and hashes stay, so that gaps can be told, and the chain is checked whole.
 */
struct listing {
	struct request *r;
	struct config *c;
	struct slice event;
	uint64_t left;      /* rows that may still be sent; UINT64_MAX: all */
	char own[WHO_ROOM]; /* how entries of this principal's begin */
};

static json_t *entry_json(const struct audit_entry *entry, json_t *detail)
{
	json_t *o = json_object();
	char when[25];
	char hash[65];

	time_format(when, entry->when_ms);
	hex_encode(hash, entry->hash, 32);
	json_put_int(o, "number", (int64_t)entry->number);
	json_put_text(o, "time", slice_str(when));
	json_put_text(o, "event", slice_str(entry->event));
	json_put_text(o, "who", slice_str(entry->who));
	if (detail)
		json_put(o, "detail", detail);
	json_put_text(o, "hash", slice_str(hash));
	return o;
}

static bool is_one_of(const char *word, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(word, words[i]) == 0)
			return true;
	return false;
}

/* For who may not read mail: no words of queries, no ids. A new reference, or NULL. */
static json_t *detail_of_flow(const struct audit_entry *entry)
{
	static const char *const flow[] = { "apply",         "passwd",  "request", "denied",
		                            "reindex",       "verify",  "seal",    "purge_refused",
		                            "control_older", "attended" };

	return is_one_of(entry->event, flow, COUNT(flow)) ? json_incref(entry->detail) : NULL;
}

static bool sees_number(const struct listing *l, const json_t *o)
{
	int64_t number = json_member_int(o, "archive_number", 0);
	const struct archive_info *a = config_archive_by_number(l->c, (uint32_t)number);

	return a && access_may(l->r->access, ACCESS_AUDIT, a->id);
}

static bool sees_change(const struct listing *l, const json_t *o)
{
	const char *id = json_string_value(json_object_get(o, "id"));

	return id && access_may(l->r->access, ACCESS_AUDIT, id) &&
	       slice_equal(json_member_text(o, "kind"), slice_str("Archives"));
}

/* Numbers count all archives that there ever were. A new reference. */
static json_t *without_number(const json_t *o)
{
	json_t *copy = json_copy((json_t *)(uintptr_t)o);

	(void)json_object_del(copy, "archive_number");
	return copy;
}

/* A detail with one list of which only a part is this asker's; NULL when none is. */
static json_t *keep_part(const struct listing *l, const json_t *detail, const char *list,
                         bool (*sees)(const struct listing *l, const json_t *o))
{
	json_t *kept = json_array();
	json_t *all = json_member_array(detail, list);
	json_t *o;

	for (size_t i = 0; i < json_array_size(all); i++)
		if (sees(l, json_array_get(all, i)))
			json_push(kept, without_number(json_array_get(all, i)));
	if (json_array_size(kept) == 0) {
		json_decref(kept);
		return NULL;
	}
	o = json_object();
	if (json_object_get(detail, "plan"))
		json_put(o, "plan", json_incref(json_object_get(detail, "plan")));
	json_put(o, list, kept);
	return o;
}

/* True: the entry is for this asker; `detail` is a new reference or NULL. */
static bool look_at(const struct listing *l, const struct audit_entry *entry, json_t **detail)
{
	static const char *const processes[] = { "start", "stop", "tick" };

	*detail = NULL;
	if (access_everywhere(l->r->access, ACCESS_AUDIT)) {
		*detail = access_may(l->r->access, ACCESS_SEARCH, NULL) ? json_incref(entry->detail)
		                                                        : detail_of_flow(entry);
		return true;
	}
	if (is_one_of(entry->event, processes, COUNT(processes)))
		return true;
	if ((l->own[0] && strncmp(entry->who, l->own, strlen(l->own)) == 0) ||
	    sees_number(l, entry->detail))
		*detail = entry->detail ? without_number(entry->detail) : NULL;
	else if (strcmp(entry->event, "apply") == 0)
		*detail = keep_part(l, entry->detail, "changes", sees_change);
	else
		*detail = keep_part(l, entry->detail, "what", sees_number);
	return *detail != NULL;
}

static enum rc list_entry(void *arg, const struct audit_entry *entry, struct err *e)
{
	struct listing *l = arg;
	json_t *detail;

	if (l->event.at && !slice_equal(l->event, slice_str(entry->event)))
		return RC_OK;
	if (!look_at(l, entry, &detail))
		return RC_OK;
	if (l->left == 0) {
		json_decref(detail);
		return RC_NOTFOUND; /* enough: ends the walk */
	}
	if (l->left != UINT64_MAX)
		l->left--;
	return request_row(l->r, entry_json(entry, detail), e);
}

enum rc op_audit_list(struct request *r, struct err *e)
{
	struct listing l = { .r = r,
		             .event = json_member_text(r->args, "event"),
		             .left = UINT64_MAX };
	int64_t limit = json_member_int(r->args, "limit", 0);
	int64_t from = json_member_int(r->args, "from", 1);
	enum rc rc;

	if (l.event.at && !audit_is_event(l.event))
		return err_set(e, RC_INVALID,
		               "no entry is of an event \"%.*s\"; docs/formats.md, \"Audit log\", "
		               "has the words",
		               (int)MIN_OF(l.event.len, 64u), (const char *)l.event.at);
	if (limit > 0)
		l.left = (uint64_t)limit;
	if (r->principal)
		(void)snprintf(l.own, sizeof(l.own), "principal %s (", r->principal->name);
	l.c = engine_config(r->en);
	rc = audit_each(r->en->audit, from > 0 ? (uint64_t)from : 1, list_entry, &l, e);
	config_unref(&l.c);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* The log also has to have what was on disk at the last checkpoint. `found`: with *e what is known
 * to be wrong already, or RC_OK. */
static enum rc check_anchor(struct engine *en, enum rc found, struct err *e)
{
	struct err more = { 0 };
	struct db *db;
	enum rc rc = engine_control(en, &db, &more);

	if (rc == RC_OK)
		rc = anchor_check(db, en->audit, &more);
	db_close(&db);
	if (rc == RC_OK)
		return found;
	return found == RC_OK ? err_set(e, rc, "%s", more.text) : err_in(e, "%.200s", more.text);
}

enum rc op_audit_verify(struct request *r, struct err *e)
{
	struct slice line = json_member_text(r->args, "anchor");
	struct audit_head anchor;
	struct audit_head seen;
	char text[160];
	enum rc rc;

	if (line.at && !audit_head_parse(&anchor, line))
		return err_set(e, RC_INVALID,
		               "an anchor is a line \"mm-audit-head 1 ENTRIES TIME HASH\"");
	rc = audit_verify(r->en->audit, line.at ? &anchor : NULL, &seen, e);
	if (rc == RC_OK || rc == RC_CORRUPT)
		rc = check_anchor(r->en, rc, e);
	if (rc != RC_OK)
		return rc;
	audit_head_format(text, &seen);
	r->result = json_object();
	json_put_int(r->result, "entries", (int64_t)seen.entries);
	json_put_text(r->result, "head", slice_str(text));
	return RC_OK;
}
