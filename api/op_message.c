/* api/op_message.c - one message: its bytes, its text for a reader, and what became of it */
#include <stdlib.h>

#include "api/message_get.h"
#include "api/ops.h"
#include "base/codec.h"
#include "base/limits.h"
#include "ingest/disposition.h"
#include "query/row.h"
#include "retention/erase.h"
#include "retention/schedule.h"

/* The archives to look in: the one that was named, or all; of those that the asker may read. What
 * is being deleted can't be read. */
static bool wanted(const struct request *r, const struct archive_info *a)
{
	struct slice name = json_member_text(r->args, "archive");

	if (!access_may(r->access, ACCESS_READ_MESSAGE, a->id))
		return false;
	return !a->pending && (!name.at || slice_equal(name, slice_str(a->name)) ||
	                       slice_equal(name, slice_str(a->id)));
}

struct found_row {
	json_t *row;
	const char *archive;
};

static enum rc take_row(void *arg, const struct index_row *row, struct err *e)
{
	struct found_row *f = arg;

	(void)e;
	json_decref(f->row);
	f->row = row_json(row, f->archive);
	return RC_OK;
}

/* The index row of an id, or NULL where the index has none. */
static json_t *row_of(struct engine *en, const struct archive_info *a, const struct message_id *id)
{
	struct found_row f = { NULL, a->name };
	struct index_view *view;
	struct match m = { .kind = MATCH_ID };
	struct err e = { 0 };
	char text[ID_TEXT + 1];
	int64_t ms = id_received_ms(id);

	id_format(text, id);
	m.text = slice_of(text, ID_TEXT);
	if (index_view_open(&view, en->index, a->number, ms, ms + 1, &e) != RC_OK)
		return NULL;
	if (index_view_each(view, &m, SORT_RECEIVED_DOWN, 1, take_row, &f, &e) != RC_OK) {
		json_decref(f.row);
		f.row = NULL;
	}
	index_view_close(&view);
	return f.row;
}

/* ---- for a reader ---- */

static enum rc add_lines(struct buf *out, struct slice text)
{
	enum rc rc = RC_OK;

	while (rc == RC_OK && text.len) {
		struct slice rest;
		struct slice line = slice_cut(text, '\n', &rest);

		if (line.len && line.at[line.len - 1] == '\r')
			line.len--;
		rc = text_escape(line, out);
		if (rc == RC_OK)
			rc = buf_add_byte(out, '\n');
		text = rest;
	}
	return rc;
}

static enum rc add_header(struct buf *out, const char *name, struct slice value)
{
	struct slice rest = value;
	enum rc rc = RC_OK;

	while (rc == RC_OK && rest.len) {
		struct slice line = slice_cut(rest, '\n', &rest);

		rc = buf_addf(out, "%-13s", name);
		if (rc == RC_OK)
			rc = text_escape(line, out);
		if (rc == RC_OK)
			rc = buf_add_byte(out, '\n');
		name = "";
	}
	return rc;
}

static enum rc compose(struct buf *out, const struct parsed *p, const json_t *row)
{
	enum rc rc = add_header(out, "Id:", json_member_text(row, "id"));

	if (rc == RC_OK)
		rc = add_header(out, "Archive:", json_member_text(row, "archive"));
	if (rc == RC_OK)
		rc = add_header(out, "Received:", json_member_text(row, "received"));
	if (rc == RC_OK)
		rc = add_header(out, "Sent:", json_member_text(row, "sent"));
	if (rc == RC_OK)
		rc = add_header(out, "From:", p->text[PARSED_FROM_TEXT]);
	if (rc == RC_OK)
		rc = add_header(out, "To:", p->text[PARSED_TO_TEXT]);
	if (rc == RC_OK)
		rc = add_header(out, "Cc:", p->text[PARSED_CC_TEXT]);
	if (rc == RC_OK)
		rc = add_header(out, "Subject:", p->text[PARSED_SUBJECT]);
	if (rc == RC_OK)
		rc = add_header(out, "Attachments:", p->text[PARSED_FILENAME]);
	if (rc == RC_OK)
		rc = add_header(out, "Problem:", p->text[PARSED_PROBLEM]);
	if (rc == RC_OK)
		rc = buf_add_byte(out, '\n');
	return rc == RC_OK ? add_lines(out, p->text[PARSED_BODY]) : rc;
}

static enum rc show(struct request *r, struct slice raw, json_t *row, bool json, struct err *e)
{
	struct parse_job job;
	struct buf text;
	enum rc rc = message_parse(raw, false, &job, e);

	if (rc != RC_OK)
		return rc;
	buf_init(&text, LIMIT_REQUEST);
	if (json) {
		json_put(row, "text", json_of_slice(job.parsed.text[PARSED_BODY]));
		rc = json_write(&text, row);
		if (rc == RC_OK)
			rc = buf_add_byte(&text, '\n');
	} else {
		rc = compose(&text, &job.parsed, row);
	}
	if (rc == RC_OK)
		rc = request_bytes(r->w, buf_slice(&text), e);
	else
		rc = err_set(e, rc, "the message's text is too long to show; use --raw");
	buf_free(&text);
	parse_job_free(&job);
	return rc;
}

static enum rc account_read(struct request *r, const struct archive_info *a, const char *id,
                            struct err *e)
{
	json_t *detail = json_object();

	json_put_text(detail, "archive", slice_str(a->name));
	json_put_int(detail, "archive_number", a->number);
	json_put_text(detail, "id", slice_str(id));
	return request_account(r, "read", detail, e);
}

static enum rc give(struct request *r, const struct archive_info *a, const struct message_id *id,
                    struct slice raw, struct err *e)
{
	struct slice form = json_member_text(r->args, "form");
	char text[ID_TEXT + 1];
	json_t *row;
	enum rc rc;

	id_format(text, id);
	rc = account_read(r, a, text, e);
	if (rc != RC_OK)
		return rc;
	if (slice_equal(form, slice_str("raw")))
		return request_bytes(r->w, raw, e);
	row = row_of(r->en, a, id);
	if (!row) {
		row = json_object();
		json_put_text(row, "id", slice_str(text));
		json_put_text(row, "archive", slice_str(a->name));
	}
	rc = show(r, raw, row, slice_equal(form, slice_str("json")), e);
	json_decref(row);
	return rc;
}

/* Of the archive that was named, nothing is known about the others. */
static enum rc absent(struct request *r, struct config *c, struct err *e)
{
	const struct archive_info *a;
	enum rc rc;

	if (!json_member_text(r->args, "archive").at)
		return err_set(e, RC_NOTFOUND,
		               "no archive has this message (mmctl why ID tells more)");
	rc = request_archive(r, c, &a, e);
	if (rc != RC_OK)
		return rc;
	return err_set(e, RC_NOTFOUND,
	               "archive %s doesn't have this message (mmctl why ID tells more)", a->name);
}

enum rc request_message(struct request *r, struct config *c, const struct message_id *id,
                        struct buf *meta, struct buf *raw, const struct archive_info **out,
                        struct err *e)
{
	enum rc rc = RC_NOTFOUND;

	*out = NULL;
	for (size_t i = 0; rc == RC_NOTFOUND && i < config_archive_count(c); i++) {
		const struct archive_info *a = config_archive_at(c, i);

		if (!wanted(r, a))
			continue;
		if (meta)
			buf_clear(meta);
		buf_clear(raw);
		rc = message_get(r->en, a->number, id, meta, raw, e);
		if (rc == RC_OK)
			*out = a;
	}
	return rc == RC_NOTFOUND ? absent(r, c, e) : rc;
}

enum rc op_message(struct request *r, struct err *e)
{
	struct config *c = engine_config(r->en);
	const struct archive_info *a;
	struct message_id id;
	struct buf raw;
	enum rc rc = request_id(r, &id, e);

	buf_init(&raw, LIMIT_REQUEST);
	if (rc == RC_OK)
		rc = request_message(r, c, &id, NULL, &raw, &a, e);
	if (rc == RC_OK)
		rc = give(r, a, &id, buf_slice(&raw), e);
	buf_free(&raw);
	config_unref(&c);
	return rc;
}

/* ---- why ---- */

static void put_time(json_t *o, const char *name, int64_t ms)
{
	char text[25];

	if (ms == INT64_MAX) {
		json_put_text(o, name, slice_str("for ever"));
		return;
	}
	time_format(text, ms);
	json_put_text(o, name, slice_str(text));
}

static void put_retention(struct request *r, json_t *o, const struct archive_info *a,
                          const struct message_id *id)
{
	int32_t day = (int32_t)day_of_ms(id_received_ms(id));
	int64_t due_ms = retention_due_ms(&a->period, day);
	char name[32];

	(void)r;
	json_put_text(o, "retention", slice_str(retention_name(&a->period, name)));
	if (a->pending)
		due_ms = MIN_OF(due_ms, archive_end_ms(a));
	put_time(o, "kept_until", due_ms);
	json_put_text(o, "counted_from", slice_str("the end of the UTC day of receipt"));
}

/* The words, which name nobody. */
static void put_verdicts(json_t *o, const json_t *verdicts)
{
	static const char *const words[][2] = { { "spf", "result" },
		                                { "dkim", "result" },
		                                { "arc", "result" },
		                                { "dmarc", "result" },
		                                { "dmarc", "asks" } };
	json_t *part = json_object();

	if (!verdicts) {
		json_decref(part);
		return;
	}
	for (size_t i = 0; i < COUNT(words); i++) {
		const json_t *from = json_member_object(verdicts, words[i][0]);
		struct slice word = json_member_text(from, words[i][1]);

		if (word.at)
			json_put_text(part,
			              strcmp(words[i][1], "asks") == 0 ? "dmarc_asks" : words[i][0],
			              word);
	}
	json_put(o, "verdicts", part);
}

/* By which rule; the addresses of the envelope only for who may read the message. */
static void put_decided(json_t *o, const json_t *kept, bool whole)
{
	static const char *const rule[] = { "rule_set", "rule_set_version", "rule", "rule_name" };
	static const char *const policy[] = { "policy", "policy_version" };
	json_t *decided = json_object_get(kept, "archive");
	json_t *receipt = json_object_get(kept, "receipt");
	json_t *part;

	put_verdicts(o, json_member_object(receipt, "verdicts"));
	if (whole) {
		json_put(o, "decided", json_incref(decided));
		json_put(o, "receipt", json_incref(receipt));
		return;
	}
	part = json_object();
	for (size_t i = 0; i < COUNT(rule); i++)
		if (json_object_get(decided, rule[i]))
			json_put(part, rule[i], json_incref(json_object_get(decided, rule[i])));
	for (size_t i = 0; i < COUNT(policy); i++)
		if (json_object_get(receipt, policy[i]))
			json_put(part, policy[i], json_incref(json_object_get(receipt, policy[i])));
	json_put(o, "decided", part);
}

static enum rc explain_archived(struct request *r, const struct archive_info *a,
                                const struct message_id *id, struct slice meta, struct err *e)
{
	json_t *o = json_object();
	json_t *kept = NULL;
	char text[ID_TEXT + 1];
	enum rc rc = json_read(&kept, meta, e);

	id_format(text, id);
	json_put_text(o, "id", slice_str(text));
	json_put_text(o, "disposition", slice_str("archived"));
	json_put_text(o, "archive", slice_str(a->name));
	put_time(o, "received", id_received_ms(id));
	put_retention(r, o, a, id);
	if (a->pending)
		json_put_bool(o, "being_deleted", true);
	else if (rc == RC_OK)
		put_decided(o, kept, access_may(r->access, ACCESS_READ_MESSAGE, a->id));
	json_decref(kept);
	if (rc != RC_OK) {
		json_decref(o);
		return rc;
	}
	return request_row(r, o, e);
}

static enum rc explain_archives(struct request *r, struct config *c, const struct message_id *id,
                                unsigned *found, struct err *e)
{
	struct buf meta;
	enum rc rc = RC_OK;

	buf_init(&meta, LIMIT_REQUEST);
	for (size_t i = 0; rc == RC_OK && i < config_archive_count(c); i++) {
		const struct archive_info *a = config_archive_at(c, i);

		if (!request_sees(r, a))
			continue;
		buf_clear(&meta);
		rc = message_get(r->en, a->number, id, &meta, NULL, e);
		if (rc == RC_OK) {
			(*found)++;
			rc = explain_archived(r, a, id, buf_slice(&meta), e);
		} else if (rc == RC_NOTFOUND) {
			rc = RC_OK;
		}
	}
	buf_free(&meta);
	return rc;
}

static enum rc explain_disposition(struct request *r, const struct message_id *id, unsigned *found,
                                   struct err *e)
{
	struct disposition d;
	struct db *db;
	enum rc rc = engine_control(r->en, &db, e);

	if (rc != RC_OK)
		return rc;
	rc = disposition_get(db, id, &d, e);
	db_close(&db);
	if (rc == RC_NOTFOUND)
		return RC_OK;
	if (rc == RC_OK) {
		(*found)++;
		rc = request_row(r, disposition_json(&d), e);
	}
	return rc;
}

static enum rc explain_erased(struct request *r, struct config *c, const struct message_id *id,
                              unsigned *found, struct err *e)
{
	struct stmt *rows = NULL;
	struct erased x;
	struct db *db;
	enum rc rc = engine_control(r->en, &db, e);

	if (rc == RC_OK)
		rc = erased_select(db, id, &rows, e);
	while (rc == RC_OK && (rc = erased_next(rows, &x, e)) == RC_OK) {
		const struct archive_info *a = config_archive_by_number(c, x.archive);

		if (a ? !request_sees(r, a) : !request_sees_all(r))
			continue;
		(*found)++;
		rc = request_row(r, erased_json(r, &x, c), e);
	}
	stmt_free(&rows);
	db_close(&db);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

struct destroyed {
	const struct request *r;
	struct config *c;
	int32_t day;
	struct buf text;
};

static enum rc add_destroyed(void *arg, const struct key_info *k)
{
	struct destroyed *d = arg;
	const struct archive_info *a = config_archive_by_number(d->c, k->archive);
	char when[25];

	if (!a || !request_sees(d->r, a) || k->kind != KEY_LOT || k->state != KEY_DESTROYED ||
	    k->day != d->day)
		return RC_OK;
	time_format(when, k->destroyed_ms);
	return buf_addf(&d->text, "%s archive %s on %s", d->text.len ? "," : "", a->name, when);
}

/* Nothing is kept of a destroyed message, so all that can be said is what became of its day. */
static enum rc explain_nothing(struct request *r, struct config *c, const struct message_id *id,
                               struct err *e)
{
	struct destroyed d = { .r = r, .c = c, .day = (int32_t)day_of_ms(id_received_ms(id)) };
	char when[25];

	time_format(when, id_received_ms(id));
	buf_init(&d.text, sizeof(e->text) / 2); /* a few archives are enough */
	(void)keyring_each(r->en->keys, add_destroyed, &d);
	if (d.text.len)
		(void)err_set(e, RC_NOTFOUND,
		              "nothing is known of this id. Mail of its day, %.10s, was destroyed"
		              " after its retention:%s (mm-audit list --event purge_done)",
		              when, buf_text(&d.text));
	else
		(void)err_set(e, RC_NOTFOUND,
		              "nothing is known of this id: never accepted, or still in the spool");
	buf_free(&d.text);
	return RC_NOTFOUND;
}

/* What isn't of an archive. */
static enum rc explain_flow(struct request *r, const struct message_id *id, unsigned *found,
                            struct err *e)
{
	enum rc rc = explain_disposition(r, id, found, e);

	return rc == RC_OK ? request_tasks(r, id, found, e) : rc;
}

enum rc op_why(struct request *r, struct err *e)
{
	struct config *c = engine_config(r->en);
	struct message_id id;
	char text[ID_TEXT + 1];
	unsigned found = 0;
	enum rc rc = request_id(r, &id, e);

	if (rc == RC_OK) {
		json_t *detail = json_object();

		id_format(text, &id);
		json_put_text(detail, "id", slice_str(text));
		json_put_text(detail, "form", slice_str("why"));
		rc = request_account(r, "read", detail, e);
	}
	if (rc == RC_OK)
		rc = explain_archives(r, c, &id, &found, e);
	if (rc == RC_OK && access_may(r->access, ACCESS_READ_CONFIG, NULL))
		rc = explain_flow(r, &id, &found, e);
	if (rc == RC_OK)
		rc = explain_erased(r, c, &id, &found, e);
	if (rc == RC_OK && !found)
		rc = explain_nothing(r, c, &id, e);
	config_unref(&c);
	return rc;
}
