#include "query/print.h"

#include "base/codec.h"
#include "index/doc_verdict.h"
#include "query/lex.h"
#include "query/text.h"

static enum rc print(const struct match *m, bool grouped, struct buf *out);

/* A quoted text can't hold quotes. They separate words, so a blank says the same. */
static enum rc print_quoted(struct slice text, struct buf *out)
{
	enum rc rc = buf_add_byte(out, '"');

	while (text.len && rc == RC_OK) {
		uint32_t c;
		size_t n = text_char(text, &c);

		rc = text_is_quote(c) || c < 0x20 ? buf_add_byte(out, ' ')
		                                  : buf_add(out, slice_part(text, 0, n));
		text = slice_from(text, n);
	}
	return rc == RC_OK ? buf_add_byte(out, '"') : rc;
}

static enum rc print_words(const struct match *m, const char *name, struct buf *out)
{
	enum rc rc = RC_OK;

	if (name[0])
		rc = buf_addf(out, "%s:", name);
	if (rc == RC_OK)
		rc = lex_is_plain(m->text) ? buf_add(out, m->text) : print_quoted(m->text, out);
	if (rc == RC_OK && m->prefix)
		rc = buf_add_byte(out, '*');
	return rc;
}

static const char *field_name(enum doc_field field)
{
	static const char *const names[DOC_FIELDS] = {
		[DOC_SUBJECT] = "subject",   [DOC_FROM] = "header-from",
		[DOC_TO] = "header-to",      [DOC_CC] = "cc",
		[DOC_BCC] = "bcc",           [DOC_ENVELOPE_FROM] = "envelope-from",
		[DOC_ENVELOPE_TO] = "rcpt",  [DOC_BODY] = "body",
		[DOC_FILENAME] = "filename", [DOC_ATTACHMENT] = "attached-text",
		[DOC_HEADERS] = "headers",
	};

	return names[field];
}

/* Fields that the language has no single word for: one of several. */
static enum rc print_text(const struct match *m, struct buf *out)
{
	const char *name = word_of_fields(m->fields);
	const char *between = "(";
	enum rc rc = RC_OK;

	if (name)
		return print_words(m, name, out);
	for (unsigned f = 0; f < DOC_FIELDS && rc == RC_OK; f++) {
		if (!(m->fields & FIELD_BIT(f)))
			continue;
		rc = buf_add_str(out, between);
		if (rc == RC_OK)
			rc = print_words(m, field_name(f), out);
		between = " OR ";
	}
	return rc == RC_OK ? buf_add_byte(out, ')') : rc;
}

static enum rc print_contains(const struct match *m, struct buf *out)
{
	const char *between = "(";
	enum rc rc = RC_OK;

	for (unsigned f = 0; f < DOC_FIELDS && rc == RC_OK; f++) {
		if (!(m->fields & FIELD_BIT(f)))
			continue;
		rc = buf_addf(out, "%s%s~", between, field_name(f));
		if (rc == RC_OK)
			rc = print_quoted(m->text, out);
		between = " OR ";
	}
	return rc == RC_OK ? buf_add_byte(out, ')') : rc;
}

/* An instant, milliseconds only where there are some. */
static enum rc print_time(int64_t ms, struct buf *out)
{
	char text[25];

	time_format(text, ms);
	if (slice_equal(slice_of(text + 19, 5), slice_str(".000Z")))
		return buf_addf(out, "%.19sZ", text);
	return buf_add_str(out, text);
}

static enum rc print_dates(const struct match *m, struct buf *out)
{
	const char *name = m->kind == MATCH_SENT ? "sent" : "received";
	enum rc rc;

	if (m->low == INT64_MIN && m->high == INT64_MAX)
		return buf_add_str(out, "*");
	if (m->low == INT64_MIN || m->high == INT64_MAX) {
		bool from = m->high == INT64_MAX;

		rc = buf_addf(out, "%s%s", name, from ? ">=" : "<");
		return rc == RC_OK ? print_time(from ? m->low : m->high, out) : rc;
	}
	rc = buf_addf(out, "%s:", name);
	if (rc == RC_OK)
		rc = print_time(m->low, out);
	if (rc == RC_OK)
		rc = buf_add_str(out, "..");
	return rc == RC_OK ? print_time(m->high, out) : rc;
}

static enum rc print_bytes(const struct match *m, struct buf *out)
{
	if (m->high <= m->low)
		return buf_add_str(out, "size<0");
	if (m->high == INT64_MAX)
		return buf_addf(out, "size>=%lld", (long long)MAX_OF(m->low, 0));
	if (m->low <= 0)
		return buf_addf(out, "size<%lld", (long long)m->high);
	return buf_addf(out, "size:%lld..%lld", (long long)m->low, (long long)m->high - 1);
}

static const struct {
	uint32_t flag;
	const char *text;
	const char *name;
} flags[] = {
	{ DOC_HAS_ATTACHMENT, "has:attachment", "attachment" },
	{ DOC_PARSE_PROBLEM, "has:problem", "problem" },
	{ DOC_NOT_INDEXED, "is:unindexed", "unindexed" },
};

static enum rc print_flags(const struct match *m, struct buf *out)
{
	bool single = (m->number & (m->number - 1)) == 0;
	const char *between = single ? "" : "(";
	enum rc rc = RC_OK;

	for (size_t i = 0; i < COUNT(flags) && rc == RC_OK; i++)
		if (m->number & flags[i].flag) {
			rc = buf_addf(out, "%s%s", between, flags[i].text);
			between = " OR ";
		}
	return rc == RC_OK && !single ? buf_add_byte(out, ')') : rc;
}

static const char *verdict_of(const struct match *m)
{
	const char *word = doc_verdict_word((enum doc_verdict)m->number, (uint32_t)m->low);

	return word ? word : DOC_UNCHECKED;
}

/* What DMARC asks for has no name of its own in the language. */
static const char *verdict_field(const struct match *m)
{
	return doc_verdict_name(m->number == DOC_DMARC_ASKS ? DOC_DMARC
	                                                    : (enum doc_verdict)m->number);
}

static enum rc print_value(const struct match *m, const char *name, struct buf *out)
{
	bool bracket = m->kind == MATCH_MSGID && slice_find_byte(m->text, '"') != SIZE_MAX &&
	               slice_find_byte(m->text, '>') == SIZE_MAX;
	enum rc rc = buf_addf(out, bracket ? "%s:<" : "%s:", name);

	if (rc != RC_OK)
		return rc;
	if (!bracket && !lex_is_value(m->text))
		return print_quoted(m->text, out);
	rc = buf_add(out, m->text);
	return rc == RC_OK && bracket ? buf_add_byte(out, '>') : rc;
}

static enum rc print_group(const struct match *m, bool grouped, struct buf *out)
{
	enum rc rc = grouped ? buf_add_byte(out, '(') : RC_OK;

	for (const struct match *c = m->child; c && rc == RC_OK; c = c->next) {
		if (c != m->child && m->kind == MATCH_NEAR)
			rc = buf_addf(out, " NEAR/%llu ", (unsigned long long)m->number);
		else if (c != m->child)
			rc = buf_add_str(out, m->kind == MATCH_OR ? " OR " : " ");
		if (rc == RC_OK)
			rc = print(c, true, out);
	}
	return rc == RC_OK && grouped ? buf_add_byte(out, ')') : rc;
}

/* `grouped`: as part of something else, so that what has several parts wants parentheses. */
static enum rc print(const struct match *m, bool grouped, struct buf *out)
{
	enum rc rc;

	switch (m->kind) {
	case MATCH_ALL:
		return buf_add_str(out, "*");
	case MATCH_NONE:
		return buf_add_str(out, "NOT *");
	case MATCH_AND:
	case MATCH_OR:
	case MATCH_NEAR:
		return print_group(m, grouped, out);
	case MATCH_NOT:
		rc = buf_add_str(out, "NOT ");
		return rc == RC_OK ? print(m->child, true, out) : rc;
	case MATCH_TEXT:
		return print_text(m, out);
	case MATCH_RECEIVED:
	case MATCH_SENT:
		return print_dates(m, out);
	case MATCH_BYTES:
		return print_bytes(m, out);
	case MATCH_FLAG:
		return print_flags(m, out);
	case MATCH_VERDICT:
		return buf_addf(out, "%s:%s", verdict_field(m), verdict_of(m));
	case MATCH_ID:
		return print_value(m, "id", out);
	case MATCH_MSGID:
		return print_value(m, "msgid", out);
	case MATCH_INGRESS:
		return print_value(m, "ingress", out);
	case MATCH_IP:
		return print_value(m, "ip", out);
	case MATCH_CONTAINS:
		return print_contains(m, out);
	case MATCH_SHA256:
		return print_value(m, "sha256", out);
	}
	return RC_OK;
}

enum rc query_print(const struct match *m, struct buf *out)
{
	return print(m, false, out);
}

/* ---- JSON ---- */

static json_t *json_text(struct slice s)
{
	json_t *j = json_stringn((const char *)s.at, s.len);

	return j ? j : json_string("");
}

static json_t *json_fields(uint32_t bits)
{
	json_t *list = json_array();

	for (unsigned f = 0; f < DOC_FIELDS; f++)
		if (bits & FIELD_BIT(f))
			(void)json_array_append_new(list, json_string(field_name(f)));
	return list;
}

static json_t *json_words(const struct match *m, const char *key)
{
	json_t *j = json_object();

	(void)json_object_set_new(j, key, json_text(m->text));
	if (m->prefix)
		(void)json_object_set_new(j, "prefix", json_true());
	if (m->fields != FIELDS_ALL)
		(void)json_object_set_new(j, "fields", json_fields(m->fields));
	return j;
}

static json_t *json_time(int64_t ms)
{
	char text[25];

	time_format(text, ms);
	return json_string(text);
}

static json_t *json_range(const struct match *m, const char *name)
{
	bool bytes = m->kind == MATCH_BYTES;
	json_t *ends = json_object();

	if (m->low > (bytes ? 0 : INT64_MIN))
		(void)json_object_set_new(ends, "from",
		                          bytes ? json_integer(m->low) : json_time(m->low));
	if (m->high < INT64_MAX)
		(void)json_object_set_new(ends, "to",
		                          bytes ? json_integer(m->high) : json_time(m->high));
	return json_pack("{s:o}", name, ends);
}

static json_t *json_children(const struct match *m, const char *name)
{
	json_t *list = json_array();
	json_t *j = json_object();

	for (const struct match *c = m->child; c; c = c->next)
		(void)json_array_append_new(list, query_json(c));
	(void)json_object_set_new(j, name, list);
	if (m->kind == MATCH_NEAR)
		(void)json_object_set_new(j, "words", json_integer((json_int_t)m->number));
	return j;
}

static json_t *json_flags(const struct match *m)
{
	json_t *list = json_array();

	for (size_t i = 0; i < COUNT(flags); i++)
		if (m->number & flags[i].flag)
			(void)json_array_append_new(list, json_string(flags[i].name));
	return json_pack("{s:o}", "has", list);
}

json_t *query_json(const struct match *m)
{
	switch (m->kind) {
	case MATCH_ALL:
		return json_pack("{s:b}", "all", 1);
	case MATCH_NONE:
		return json_pack("{s:b}", "all", 0);
	case MATCH_AND:
		return json_children(m, "and");
	case MATCH_OR:
		return json_children(m, "or");
	case MATCH_NEAR:
		return json_children(m, "near");
	case MATCH_NOT:
		return json_pack("{s:o}", "not", query_json(m->child));
	case MATCH_TEXT:
		return json_words(m, "text");
	case MATCH_CONTAINS:
		return json_words(m, "contains");
	case MATCH_RECEIVED:
		return json_range(m, "received");
	case MATCH_SENT:
		return json_range(m, "sent");
	case MATCH_BYTES:
		return json_range(m, "bytes");
	case MATCH_FLAG:
		return json_flags(m);
	case MATCH_VERDICT:
		return json_pack("{s:s}", verdict_field(m), verdict_of(m));
	case MATCH_ID:
		return json_pack("{s:o}", "id", json_text(m->text));
	case MATCH_MSGID:
		return json_pack("{s:o}", "msgid", json_text(m->text));
	case MATCH_INGRESS:
		return json_pack("{s:o}", "ingress", json_text(m->text));
	case MATCH_IP:
		return json_pack("{s:o}", "ip", json_text(m->text));
	case MATCH_SHA256:
		return json_pack("{s:o}", "sha256", json_text(m->text));
	}
	return json_null();
}
