/* api/op_audit.c - the audit log's entries, and its chain */
#include "api/ops.h"
#include "base/codec.h"
#include "ingest/anchor.h"

struct listing {
	struct request *r;
	struct slice event;
	uint64_t left; /* rows that may still be sent; UINT64_MAX: all */
};

static json_t *entry_json(const struct audit_entry *entry)
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
	if (entry->detail)
		json_put(o, "detail", json_incref(entry->detail));
	json_put_text(o, "hash", slice_str(hash));
	return o;
}

static enum rc list_entry(void *arg, const struct audit_entry *entry, struct err *e)
{
	struct listing *l = arg;

	if (l->event.at && !slice_equal(l->event, slice_str(entry->event)))
		return RC_OK;
	if (l->left == 0)
		return RC_NOTFOUND; /* enough: ends the walk */
	if (l->left != UINT64_MAX)
		l->left--;
	return request_row(l->r, entry_json(entry), e);
}

enum rc op_audit_list(struct request *r, struct err *e)
{
	struct listing l = { .r = r,
		             .event = json_member_text(r->args, "event"),
		             .left = UINT64_MAX };
	int64_t limit = json_member_int(r->args, "limit", 0);
	int64_t from = json_member_int(r->args, "from", 1);
	enum rc rc;

	if (limit > 0)
		l.left = (uint64_t)limit;
	rc = audit_each(r->en->audit, from > 0 ? (uint64_t)from : 1, list_entry, &l, e);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* The log also has to have what was on disk at the last checkpoint. */
static enum rc check_anchor(struct engine *en, struct err *e)
{
	struct db *db;
	enum rc rc = engine_control(en, &db, e);

	if (rc == RC_OK)
		rc = anchor_check(db, en->audit, e);
	db_close(&db);
	return rc;
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
	if (rc == RC_OK)
		rc = check_anchor(r->en, e);
	if (rc != RC_OK)
		return rc;
	audit_head_format(text, &seen);
	r->result = json_object();
	json_put_int(r->result, "entries", (int64_t)seen.entries);
	json_put_text(r->result, "head", slice_str(text));
	return RC_OK;
}
