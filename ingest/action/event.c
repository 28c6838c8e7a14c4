#include "ingest/action/event.h"

#include "base/codec.h"
#include "ingest/head.h"

#define NAME_MOST   256
#define SINGLE_MOST 4096 /* of a field that has one value */
#define LIST_MOST   1000 /* addresses of a field */

/* ---- header fields ---- */

/* A list of addresses, cut at commas that are in no quotes, comment or brackets. */
struct cutter {
	unsigned comment;
	bool quoted;
	bool angle;
};

/* Is it a comma between two? `*i` is set behind what a backslash hides. */
static bool ends_here(struct cutter *c, struct slice s, size_t *i)
{
	uint8_t b = s.at[*i];

	if (b == '\\' && (c->quoted || c->comment)) {
		(*i)++;
		return false;
	}
	if (c->comment || (b == '(' && !c->quoted)) {
		c->comment = b == '(' ? c->comment + 1 : b == ')' ? c->comment - 1 : c->comment;
		return false;
	}
	if (b == '"')
		c->quoted = !c->quoted;
	else if (!c->quoted && (b == '<' || b == '>'))
		c->angle = b == '<';
	return b == ',' && !c->quoted && !c->angle;
}

static void add_address(json_t *list, struct slice s)
{
	s = slice_trim(s);
	if (s.len && json_array_size(list) < LIST_MOST)
		json_push(list, json_of_slice(s));
}

static void add_addresses(json_t *list, struct slice s)
{
	struct cutter c = { .comment = 0 };
	size_t begin = 0;

	for (size_t i = 0; i < s.len; i++)
		if (ends_here(&c, s, &i)) {
			add_address(list, slice_part(s, begin, i - begin));
			begin = i + 1;
		}
	add_address(list, slice_from(s, begin));
}

static const struct {
	const char *field;
	const char *member;
	bool list;
} common[] = {
	{ "from", "from", true },
	{ "date", "date", false },
	{ "to", "to", true },
	{ "cc", "cc", true },
	{ "bcc", "bcc", true },
	{ "sender", "sender", true },
	{ "reply-to", "replyTo", true },
	{ "message-id", "messageId", false },
	{ "subject", "subject", false },
};

/* Of fields that may be there once, the first. */
static void add_common(json_t *o, struct slice name, struct slice value)
{
	for (size_t i = 0; i < COUNT(common); i++) {
		json_t *list = json_object_get(o, common[i].member);

		if (!slice_equal_nocase(name, slice_str(common[i].field)))
			continue;
		if (common[i].list && !list) {
			list = json_array();
			json_put(o, common[i].member, list);
		}
		if (common[i].list)
			add_addresses(list, value);
		else if (!list)
			json_put(o, common[i].member, json_of_slice(value));
	}
}

static bool add_header(json_t *headers, json_t *common_headers, const struct head_field *f,
                       size_t *room)
{
	struct slice name = slice_part(f->name, 0, NAME_MOST);
	json_t *o;
	struct buf value;
	bool fits;

	buf_init(&value, *room);
	fits = name.len <= *room && head_text(f->value, SIZE_MAX, &value) == RC_OK &&
	       name.len + value.len <= *room;
	if (fits) {
		*room -= name.len + value.len;
		o = json_object();
		json_put(o, "name", json_of_slice(name));
		json_put(o, "value", json_of_slice(buf_slice(&value)));
		json_push(headers, o);
		add_common(common_headers, name, buf_slice(&value));
	}
	buf_free(&value);
	return fits;
}

void event_header(struct slice raw, const char *name, size_t most, struct buf *out)
{
	struct head h = head_of(raw);
	struct head_field f;

	while (head_next(&h, &f))
		if (slice_equal_nocase(f.name, slice_str(name))) {
			(void)!head_text(f.value, most, out); /* what fits */
			return;
		}
}

/* ---- mail ---- */

static json_t *time_json(int64_t ms)
{
	char text[25];

	time_format(text, ms);
	return json_of_slice(slice_str(text));
}

static json_t *envelope_json(const struct mail *m)
{
	json_t *list = json_array();

	for (size_t i = 0; i < m->envelope_count; i++)
		json_push(list, json_of_slice(m->recipients[i]));
	return list;
}

json_t *event_mail(const struct payload_facts *f, size_t most)
{
	json_t *o = json_object();
	json_t *headers = json_array();
	json_t *common_headers = json_object();
	struct head h = head_of(f->raw);
	struct head_field field;
	bool cut = false;
	char id[ID_TEXT + 1];

	id_format(id, &f->mail->id);
	json_put(common_headers, "returnPath", json_of_slice(f->mail->mail_from));
	while (!cut && head_next(&h, &field))
		cut = !add_header(headers, common_headers, &field, &most);
	json_put(o, "timestamp", time_json(f->mail->received_ms));
	json_put(o, "source", json_of_slice(f->mail->mail_from));
	json_put_text(o, "messageId", slice_str(id));
	json_put(o, "destination", envelope_json(f->mail));
	json_put_bool(o, "headersTruncated", cut);
	json_put(o, "headers", headers);
	json_put(o, "commonHeaders", common_headers);
	return o;
}

/* ---- receipt ---- */

static json_t *status_json(const char *word)
{
	json_t *o = json_object();

	json_put_text(o, "status", slice_str(word));
	return o;
}

/* One of the four words, whatever is there. */
static const char *word_of(struct slice s)
{
	static const char *const words[] = { "PASS", "FAIL", "GRAY" };

	for (size_t i = 0; i < COUNT(words); i++)
		if (slice_equal(s, slice_str(words[i])))
			return words[i];
	return "PROCESSING_FAILED";
}

static void put_verdict(json_t *o, const char *member, const json_t *verdicts, const char *kind)
{
	const json_t *v = json_member_object(verdicts, kind);

	json_put(o, member, status_json(word_of(json_member_text(v, "verdict"))));
}

static const char *dmarc_word_of(struct slice result)
{
	if (slice_equal(result, slice_str("pass")))
		return "PASS";
	if (slice_equal(result, slice_str("fail")))
		return "FAIL";
	return slice_equal(result, slice_str("none")) ? "GRAY" : "PROCESSING_FAILED";
}

/* dmarcPolicy is there only where DMARC fails. */
static void put_dmarc(json_t *o, const json_t *verdicts)
{
	static const char *const policies[][2] = { { "NONE", "none" },
		                                   { "QUARANTINE", "quarantine" },
		                                   { "REJECT", "reject" } };
	const json_t *v = json_member_object(verdicts, "dmarc");
	const char *word = dmarc_word_of(json_member_text(v, "result"));
	struct slice policy = json_member_text(v, "policy");

	json_put(o, "dmarcVerdict", status_json(word));
	for (size_t i = 0; i < COUNT(policies); i++)
		if (strcmp(word, "FAIL") == 0 && slice_equal(policy, slice_str(policies[i][0])))
			json_put_text(o, "dmarcPolicy", slice_str(policies[i][1]));
}

json_t *event_receipt(const struct payload_facts *f, json_t *action)
{
	const json_t *verdicts = mail_verdicts(f->mail);
	json_t *o = json_object();

	json_put(o, "timestamp", time_json(f->now_ms));
	json_put_int(o, "processingTimeMillis",
	             MAX_OF(f->now_ms - f->mail->received_ms, INT64_C(0)));
	json_put(o, "recipients",
	         f->recipients ? json_deep_copy(f->recipients) : envelope_json(f->mail));
	json_put(o, "spamVerdict", status_json("GRAY"));
	json_put(o, "virusVerdict", status_json("GRAY"));
	put_verdict(o, "spfVerdict", verdicts, "spf");
	put_verdict(o, "dkimVerdict", verdicts, "dkim");
	put_dmarc(o, verdicts);
	json_put(o, "action", action);
	return o;
}
