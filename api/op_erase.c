/* api/op_erase.c - destroying single messages, or showing what would go */
#include <stdlib.h>

#include "api/ops.h"
#include "api/sweeping.h"
#include "base/codec.h"
#include "retention/erase.h"

#define IDS_MAX 10000

static enum rc take_ids(const struct request *r, struct erasure *x, struct err *e)
{
	const json_t *ids = json_member_array(r->args, "ids");
	size_t count = json_array_size(ids);

	if (count == 0 || count > IDS_MAX)
		return err_set(e, RC_INVALID, "an erasure names 1 to %d messages", IDS_MAX);
	x->items = mem_array(count, sizeof(*x->items));
	for (size_t i = 0; i < count; i++) {
		struct slice text = json_text(json_array_get(ids, i));
		enum rc rc = request_id_of(text, &x->items[i].id, e);

		if (rc != RC_OK)
			return rc;
	}
	x->count = count;
	return RC_OK;
}

/* The other archives that have the message: it stays there. */
static json_t *others(const struct request *r, struct config *c, const struct erasure *x,
                      const struct message_id *id)
{
	json_t *names = json_array();

	for (size_t i = 0; i < config_archive_count(c); i++) {
		const struct archive_info *a = config_archive_at(c, i);

		if (a->number != x->archive && store_has(r->en->store, a->number, id))
			json_push(names, json_of_slice(slice_str(a->name)));
	}
	return names;
}

static json_t *what(const struct request *r, struct config *c, const struct erasure *x)
{
	json_t *list = json_array();

	for (size_t i = 0; i < x->count; i++) {
		const struct erase_item *item = &x->items[i];
		json_t *o = json_object();
		char id[ID_TEXT + 1];
		char when[25];
		char sha[65];

		id_format(id, &item->id);
		time_format(when, id_received_ms(&item->id));
		hex_encode(sha, item->sha256, sizeof(item->sha256));
		json_put_text(o, "id", slice_str(id));
		json_put_text(o, "received", slice_str(when));
		json_put_int(o, "bytes", (int64_t)item->bytes);
		json_put_text(o, "sha256", slice_str(sha));
		json_put(o, "also_in", others(r, c, x, &item->id));
		json_push(list, o);
	}
	return list;
}

static enum rc account_plan(struct request *r, const struct erasure *x, struct err *e)
{
	json_t *detail = json_object();
	json_t *ids = json_array();

	for (size_t i = 0; i < x->count; i++) {
		char id[ID_TEXT + 1];

		id_format(id, &x->items[i].id);
		json_push(ids, json_of_slice(slice_str(id)));
	}
	json_put_text(detail, "archive", slice_str(x->archive_name));
	json_put_int(detail, "archive_number", x->archive);
	json_put_text(detail, "reason", slice_str(x->reason));
	json_put(detail, "ids", ids);
	return request_account(r, "erase_plan", detail, e);
}

static enum rc erase(struct request *r, struct sweeping *s, struct erasure *x, bool run,
                     struct err *e)
{
	struct erase_report report = { 0 };
	enum rc rc = erase_look(&s->sweep, x, e);
	json_t *list;

	if (rc != RC_OK)
		return rc;
	list = what(r, s->config, x);
	rc = run ? erase_run(&s->sweep, x, &report, e) : account_plan(r, x, e);
	r->accounted = rc == RC_OK;
	r->result = json_object();
	json_put_text(r->result, "archive", slice_str(x->archive_name));
	json_put_text(r->result, "reason", slice_str(x->reason));
	json_put_bool(r->result, "erased", run);
	json_put(r->result, "messages", list);
	json_put_int(r->result, "copied", (int64_t)report.kept);
	json_put_int(r->result, "shards_rewritten", report.shards_rewritten);
	sweeping_tell(s, r->result);
	return rc;
}

enum rc op_erase(struct request *r, struct err *e)
{
	struct slice reason = json_member_text(r->args, "reason");
	bool run = json_member_bool(r->args, "run", false);
	struct sweeping_waits waits = sweeping_asked(r);
	struct erasure x = { .who = r->who };
	const struct archive_info *a;
	char text[500];
	struct sweeping s;
	enum rc rc = RC_OK;

	if (reason.len >= sizeof(text))
		return err_set(e, RC_INVALID, "a reason has at most %zu bytes", sizeof(text) - 1);
	if (reason.len)
		memcpy(text, reason.at, reason.len);
	text[reason.len] = 0;
	x.reason = text;
	rc = take_ids(r, &x, e);
	if (rc == RC_OK) {
		rc = sweeping_begin(&s, r->en, run ? &waits : NULL, e);
		if (rc == RC_OK)
			rc = request_archive(r, s.config, &a, e);
		if (rc == RC_OK) {
			x.archive = a->number;
			x.archive_name = a->name;
			rc = erase(r, &s, &x, run, e);
		}
		sweeping_end(&s);
	}
	free(x.items);
	return rc;
}
