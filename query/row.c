#include "query/row.h"

#include "base/codec.h"
#include "index/doc_verdict.h"
#include "query/text.h"

#define ROW_TEXT (1u << 26) /* rows come from our own index, where fields have limits */

static json_t *json_utf8(struct slice text)
{
	json_t *j = json_stringn((const char *)text.at, text.len);
	struct buf clean;

	if (j || text.len == 0)
		return j ? j : json_string("");
	buf_init(&clean, ROW_TEXT);
	if (text_utf8(text, &clean) == RC_OK)
		j = json_stringn(buf_text(&clean), clean.len);
	buf_free(&clean);
	return j ? j : json_string("");
}

/* The values of a field that has one a line. */
static json_t *json_lines(struct slice lines)
{
	json_t *list = json_array();

	while (lines.len) {
		struct slice line = slice_trim(slice_cut(lines, '\n', &lines));

		if (line.len)
			(void)json_array_append_new(list, json_utf8(line));
	}
	return list;
}

/* The same in one string, with commas. */
static json_t *json_joined(struct slice lines)
{
	struct buf text;
	enum rc rc = RC_OK;
	json_t *j;

	buf_init(&text, ROW_TEXT);
	while (lines.len && rc == RC_OK) {
		struct slice line = slice_trim(slice_cut(lines, '\n', &lines));

		if (line.len && text.len)
			rc = buf_add_str(&text, ", ");
		if (rc == RC_OK)
			rc = buf_add(&text, line);
	}
	j = json_utf8(buf_slice(&text));
	buf_free(&text);
	return j;
}

static json_t *json_time(int64_t ms)
{
	char text[25];

	time_format(text, ms);
	return json_string(text);
}

static json_t *json_hash(const uint8_t sha256[32])
{
	char hex[65];

	hex_encode(hex, sha256, 32);
	return json_string(hex);
}

static void put_verdicts(json_t *o, uint32_t flags)
{
	for (int k = 0; k < DOC_VERDICTS; k++) {
		const char *word = doc_verdict_word((enum doc_verdict)k, flags);

		(void)json_object_set_new(o, doc_verdict_name((enum doc_verdict)k),
		                          word ? json_string(word) : json_null());
	}
}

json_t *row_json(const struct index_row *row, const char *archive)
{
	char id[ID_TEXT + 1];
	bool dated = row->flags & DOC_HAS_SENT;
	json_t *o;

	id_format(id, &row->id);
	o = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o,"
	              " s:b, s:b, s:b, s:o, s:o, s:o, s:o}",
	              "id", id, "archive", archive ? archive : "", "received",
	              json_time(row->received_ms), "sent",
	              dated ? json_time(row->sent_ms) : json_null(), "from", json_joined(row->from),
	              "to", json_lines(row->to), "cc", json_lines(row->cc), "bcc",
	              json_lines(row->bcc), "subject", json_utf8(row->subject), "message_id",
	              json_utf8(row->message_id), "bytes", (json_int_t)row->bytes, "sha256",
	              json_hash(row->sha256), "envelope_from", json_joined(row->envelope_from),
	              "envelope_to", json_lines(row->envelope_to), "has_attachment",
	              (row->flags & DOC_HAS_ATTACHMENT) != 0, "parse_problem",
	              (row->flags & DOC_PARSE_PROBLEM) != 0, "not_indexed",
	              (row->flags & DOC_NOT_INDEXED) != 0, "problem", json_utf8(row->problem),
	              "attachments", json_lines(row->filename), "ingress", json_utf8(row->ingress),
	              "ip", json_utf8(row->ip));
	put_verdicts(o, row->flags);
	return o;
}

/* ---- for people ---- */

static enum rc add_size(uint64_t bytes, struct buf *out)
{
	static const char *const units[] = { "B", "KB", "MB", "GB" };
	size_t unit = 0;
	uint64_t tenths = bytes * 10;

	for (; tenths >= 10240 && unit + 1 < COUNT(units); unit++)
		tenths /= 1024;
	if (unit == 0 || tenths >= 1000)
		return buf_addf(out, "%llu %s", (unsigned long long)(tenths / 10), units[unit]);
	return buf_addf(out, "%llu.%llu %s", (unsigned long long)(tenths / 10),
	                (unsigned long long)(tenths % 10), units[unit]);
}

/* The first value of a field, and how many more there are. */
static enum rc add_first(struct slice lines, const char *none, struct buf *out)
{
	struct slice first = slice_trim(slice_cut(lines, '\n', &lines));
	unsigned more = 0;
	enum rc rc;

	while (lines.len)
		more += slice_trim(slice_cut(lines, '\n', &lines)).len > 0;
	rc = first.len ? text_escape(first, out) : buf_add_str(out, none);
	return rc == RC_OK && more ? buf_addf(out, " (+%u)", more) : rc;
}

/* What nobody asked for says nothing: no chain of ARC, and no policy of DMARC. */
static bool says_something(enum doc_verdict k, const char *word)
{
	return word && !((k == DOC_ARC || k == DOC_DMARC_ASKS) && strcmp(word, "none") == 0);
}

/* "  = spf:pass dkim:fail dmarc:fail dmarc:reject": a line of its own, which begins as no subject
 * can. */
static enum rc add_verdicts(uint32_t flags, struct buf *out)
{
	bool any = false;
	enum rc rc = RC_OK;

	for (int k = 0; k < DOC_VERDICTS && rc == RC_OK; k++) {
		enum doc_verdict kind = (enum doc_verdict)k;
		const char *word = doc_verdict_word(kind, flags);

		if (!says_something(kind, word))
			continue;
		rc = buf_addf(out, "%s%s:%s", any ? " " : "  = ",
		              doc_verdict_name(kind == DOC_DMARC_ASKS ? DOC_DMARC : kind), word);
		any = true;
	}
	return rc == RC_OK && any ? buf_add_byte(out, '\n') : rc;
}

static enum rc add_marks(const struct index_row *row, struct buf *out)
{
	enum rc rc = RC_OK;

	if (row->flags & DOC_HAS_ATTACHMENT)
		rc = buf_add_str(out, "  [attachment]");
	if (rc == RC_OK && (row->flags & DOC_PARSE_PROBLEM))
		rc = buf_add_str(out, "  [problem]");
	if (rc == RC_OK && (row->flags & DOC_NOT_INDEXED))
		rc = buf_add_str(out, "  [not fully indexed]");
	return rc;
}

enum rc row_text(const struct index_row *row, struct buf *out)
{
	struct slice from = row->from.len ? row->from : row->envelope_from;
	struct slice to = row->to.len ? row->to : row->envelope_to;
	char id[ID_TEXT + 1];
	char when[25];
	enum rc rc;

	id_format(id, &row->id);
	time_format(when, row->received_ms);
	rc = buf_addf(out, "%s  %.19sZ  ", id, when);
	if (rc == RC_OK)
		rc = add_size(row->bytes, out);
	if (rc == RC_OK)
		rc = buf_add_str(out, "  ");
	if (rc == RC_OK)
		rc = add_first(from, "<>", out);
	if (rc == RC_OK)
		rc = buf_add_str(out, " -> ");
	if (rc == RC_OK)
		rc = add_first(to, "-", out);
	if (rc == RC_OK)
		rc = buf_add_str(out, "\n    ");
	if (rc == RC_OK)
		rc = row->subject.len ? text_escape(row->subject, out)
		                      : buf_add_str(out, "(no subject)");
	if (rc == RC_OK)
		rc = add_marks(row, out);
	if (rc == RC_OK)
		rc = buf_add_byte(out, '\n');
	return rc == RC_OK ? add_verdicts(row->flags, out) : rc;
}
