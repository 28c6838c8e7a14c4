/* api/op_export.c - a query's hits with their bytes; the tool writes the package */
#include "api/ask.h"
#include "api/ops.h"
#include "base/codec.h"
#include "base/limits.h"
#include "query/print.h"
#include "query/row.h"

#define CASE_BYTES 1024

struct sending {
	struct ask *a;
	struct buf raw;
	uint64_t sent;
	uint64_t failed;
};

/* The row, then its bytes; or the row with what failed. */
static enum rc send_one(void *arg, const struct index_row *row, struct err *e)
{
	struct sending *s = arg;
	struct err why = { 0 };
	json_t *o = row_json(row, s->a->archive->name);
	enum rc rc;

	buf_clear(&s->raw);
	rc = store_get(s->a->r->en->store, s->a->archive->number, &row->id, NULL, &s->raw, &why);
	if (rc != RC_OK) {
		s->failed++;
		json_put_text(o, "failure", slice_str(why.text[0] ? why.text : rc_name(rc)));
		return request_row(s->a->r, o, e);
	}
	s->sent++;
	rc = request_row(s->a->r, o, e);
	return rc == RC_OK ? request_bytes(s->a->r->w, buf_slice(&s->raw), e) : rc;
}

/* What it is for goes into the log whole. */
static enum rc case_of(const struct request *r, struct slice *out, struct err *e)
{
	*out = json_member_text(r->args, "case");
	if (out->len <= CASE_BYTES)
		return RC_OK;
	return err_set(e, RC_INVALID, "case: at most %d bytes", CASE_BYTES);
}

static enum rc account(struct ask *a, uint64_t hits, struct err *e)
{
	struct slice text;
	enum rc rc = case_of(a->r, &text, e);
	json_t *detail;

	if (rc != RC_OK)
		return rc;
	detail = json_object();
	json_put_text(detail, "archive", slice_str(a->archive->name));
	json_put_int(detail, "archive_number", a->archive->number);
	json_put_text(detail, "query", a->text);
	json_put_int(detail, "hits", (int64_t)hits);
	json_put(detail, "case", json_of_slice(text));
	return request_account(a->r, "export", detail, e);
}

/* First row: what the package's custody file says. */
static enum rc send_head(struct ask *a, const struct query_stats *stats, struct err *e)
{
	json_t *head = query_header(&a->query, stats);
	struct audit_head audit;
	char line[160];
	struct buf canonical;

	buf_init(&canonical, LIMIT_REQUEST);
	if (query_print(a->query.match, &canonical) == RC_OK)
		json_put_text(head, "canonical", buf_slice(&canonical));
	buf_free(&canonical);
	audit_head(a->r->en->audit, &audit);
	audit_head_format(line, &audit);
	json_put_text(head, "audit_head", slice_str(line));
	json_put_text(head, "who", slice_str(a->r->who));
	json_put_int(head, "low", a->query.low);
	json_put_int(head, "high", a->query.high);
	json_put(head, "notes", ask_notes(a));
	return request_row(a->r, head, e);
}

static enum rc export_all(struct ask *a, struct err *e)
{
	struct sending s = { .a = a };
	struct query_stats stats;
	enum rc rc = query_count(a->r->en->index, &a->query, &stats, e);

	if (rc == RC_OK)
		rc = account(a, stats.hits, e);
	if (rc == RC_OK)
		rc = send_head(a, &stats, e);
	buf_init(&s.raw, LIMIT_REQUEST);
	if (rc == RC_OK)
		rc = query_run(a->r->en->index, &a->query, send_one, &s, &stats, e);
	buf_free(&s.raw);
	a->r->result = json_object();
	json_put_int(a->r->result, "sent", (int64_t)s.sent);
	json_put_int(a->r->result, "failed", (int64_t)s.failed);
	return rc;
}

/* The tool says so: mmd doesn't see the package. */
static enum rc account_package(struct request *r, const struct archive_info *a, struct err *e)
{
	int64_t messages = json_member_int(r->args, "messages", -1);
	int64_t failed = json_member_int(r->args, "failed", -1);
	uint8_t sha[32];
	struct slice text;
	struct slice hex;
	json_t *detail;
	enum rc rc = request_text(r, "sums_sha256", &hex, e);

	if (rc == RC_OK)
		rc = case_of(r, &text, e);
	if (rc != RC_OK)
		return rc;
	if (hex.len != 64 || !hex_decode(sha, sizeof(sha), hex))
		return err_set(e, RC_INVALID, "sums_sha256: 64 hex digits are wanted");
	if (messages < 0 || failed < 0)
		return err_set(e, RC_INVALID, "messages, failed: a number is wanted, 0 or more");
	detail = json_object();
	json_put_text(detail, "archive", slice_str(a->name));
	json_put_int(detail, "archive_number", a->number);
	json_put_int(detail, "messages", messages);
	json_put_int(detail, "failed", failed);
	json_put_text(detail, "sums_sha256", hex);
	json_put(detail, "case", json_of_slice(text));
	return request_account(r, "exported", detail, e);
}

enum rc op_exported(struct request *r, struct err *e)
{
	struct config *c = engine_config(r->en);
	const struct archive_info *a;
	enum rc rc = request_archive(r, c, &a, e);

	if (rc == RC_OK)
		rc = account_package(r, a, e);
	config_unref(&c);
	return rc;
}

enum rc op_export(struct request *r, struct err *e)
{
	struct ask a;
	enum rc rc = ask_begin(&a, r, e);

	if (rc == RC_OK)
		rc = export_all(&a, e);
	ask_end(&a);
	return rc;
}
