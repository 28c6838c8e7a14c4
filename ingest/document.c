#include "ingest/document.h"

#include <stdlib.h>

#include "base/codec.h"
#include "index/doc_verdict.h"

#define TEXT_LIMIT 4194304

/* --- the index document --- */

/* One more line. False when it doesn't fit. */
static bool add_line(struct buf *b, struct slice s)
{
	size_t before = b->len;

	if (s.len == 0)
		return true;
	if ((b->len == 0 || buf_add_byte(b, '\n') == RC_OK) && buf_add(b, s) == RC_OK)
		return true;
	b->len = before;
	return false;
}

static void add_reason(struct document *d, struct slice why)
{
	if (why.len == 0)
		return;
	if (d->problem.len)
		(void)!buf_add_str(&d->problem, "; ");
	(void)!buf_add(&d->problem, slice_part(why, 0, d->problem.limit - d->problem.len));
}

static uint32_t doc_flags(uint32_t flags)
{
	return (flags & PARSED_HAS_ATTACHMENT ? DOC_HAS_ATTACHMENT : 0U) |
	       (flags & PARSED_HAS_PROBLEM ? DOC_PARSE_PROBLEM : 0U) |
	       (flags & PARSED_NOT_INDEXED ? DOC_NOT_INDEXED : 0U) |
	       (flags & PARSED_HAS_SENT ? DOC_HAS_SENT : 0U);
}

/* {"spf":{"result":"pass"},...,"dmarc":{"result":"fail","asks":"REJECT"}} */
static uint32_t verdict_flags(const json_t *verdicts)
{
	static const struct {
		enum doc_verdict kind;
		const char *part;
		const char *word;
	} places[] = {
		{ DOC_SPF, "spf", "result" },        { DOC_DKIM, "dkim", "result" },
		{ DOC_ARC, "arc", "result" },        { DOC_DMARC, "dmarc", "result" },
		{ DOC_DMARC_ASKS, "dmarc", "asks" },
	};
	uint32_t flags = 0;

	for (size_t i = 0; i < COUNT(places); i++) {
		const json_t *part = json_member_object(verdicts, places[i].part);
		uint32_t bits;

		if (doc_verdict_bits(places[i].kind, json_member_text(part, places[i].word), &bits))
			flags |= bits;
	}
	return flags;
}

/* The texts that are put together. */
static void join_texts(struct document *d, const struct parsed *p,
                       const struct document_envelope *env)
{
	static const enum parsed_text tokens[] = { PARSED_OTHER, PARSED_IN_REPLY_TO,
		                                   PARSED_REFERENCES };
	bool fits = add_line(&d->from, p->text[PARSED_FROM_TEXT]) &&
	            add_line(&d->from, p->text[PARSED_SENDER_TEXT]);

	for (size_t i = 0; i < COUNT(tokens); i++)
		fits = add_line(&d->headers, p->text[tokens[i]]) && fits;
	for (size_t i = 0; i < env->recipient_count; i++)
		fits = add_line(&d->envelope_to, env->recipients[i]) && fits;
	add_reason(d, env->problem);
	add_reason(d, p->text[PARSED_PROBLEM]);
	if (!fits) {
		add_reason(d, slice_str("addresses over the limit"));
		d->doc.flags |= DOC_PARSE_PROBLEM | DOC_NOT_INDEXED;
	}
	if (env->problem.len)
		d->doc.flags |= DOC_PARSE_PROBLEM;
}

void document_make(struct document *d, const struct parsed *p, const struct document_envelope *env)
{
	struct index_doc *doc = &d->doc;

	*d = (struct document) { 0 };
	buf_init(&d->from, TEXT_LIMIT);
	buf_init(&d->envelope_to, TEXT_LIMIT);
	buf_init(&d->headers, TEXT_LIMIT);
	buf_init(&d->problem, 8192);
	doc->id = env->id;
	doc->lot = env->lot;
	doc->bytes = env->bytes;
	memcpy(doc->sha256, env->sha256, sizeof(doc->sha256));
	doc->flags = doc_flags(p->flags) | verdict_flags(env->verdicts);
	doc->sent_ms = p->sent_ms;
	doc->message_id = p->text[PARSED_MESSAGE_ID];
	doc->ingress = env->ingress;
	doc->ip = env->ip;
	join_texts(d, p, env);
	doc->field[DOC_SUBJECT] = p->text[PARSED_SUBJECT];
	doc->field[DOC_FROM] = buf_slice(&d->from);
	doc->field[DOC_TO] = p->text[PARSED_TO_TEXT];
	doc->field[DOC_CC] = p->text[PARSED_CC_TEXT];
	doc->field[DOC_BCC] = p->text[PARSED_BCC_TEXT];
	doc->field[DOC_ENVELOPE_FROM] = env->mail_from;
	doc->field[DOC_ENVELOPE_TO] = buf_slice(&d->envelope_to);
	doc->field[DOC_BODY] = p->text[PARSED_BODY];
	doc->field[DOC_FILENAME] = p->text[PARSED_FILENAME];
	doc->field[DOC_ATTACHMENT] = p->text[PARSED_ATTACHMENT];
	doc->field[DOC_HEADERS] = buf_slice(&d->headers);
	doc->problem = buf_slice(&d->problem);
}

void document_free(struct document *d)
{
	buf_free(&d->from);
	buf_free(&d->envelope_to);
	buf_free(&d->headers);
	buf_free(&d->problem);
}

/* --- facts for the rules --- */

static const char *const field_names[RULE_FIELDS][2] = {
	[RULE_SUBJECT] = { "Subject", NULL },
	[RULE_FROM] = { "From", "Resent-From" },
	[RULE_SENDER] = { "Sender", "Resent-Sender" },
	[RULE_TO] = { "To", "Resent-To" },
	[RULE_CC] = { "Cc", "Resent-Cc" },
};

static bool is_of_field(struct slice name, size_t field)
{
	return slice_equal_nocase(name, slice_str(field_names[field][0])) ||
	       (field_names[field][1] &&
	        slice_equal_nocase(name, slice_str(field_names[field][1])));
}

static void collect_values(struct rule_field *f, const struct parsed *p, size_t field)
{
	struct slice *values = mem_array(p->header_count + 1, sizeof(*values));

	f->value_count = 0;
	for (size_t i = 0; i < p->header_count; i++)
		if (is_of_field(p->headers[i].name, field))
			values[f->value_count++] = p->headers[i].value;
	f->values = values;
}

static void copy_addresses(struct rule_field *f, const struct parsed *p, size_t field)
{
	size_t n = p->address_count[field];
	struct rule_address *a = mem_array(n + 1, sizeof(*a));

	for (size_t i = 0; i < n; i++)
		a[i] = (struct rule_address) { p->addresses[field][i].address,
			                       p->addresses[field][i].display };
	f->addresses = a;
	f->address_count = n;
}

void document_facts(struct rule_facts *facts, const struct parsed *p)
{
	static const int parsed_field[RULE_FIELDS] = { [RULE_SUBJECT] = -1,
		                                       [RULE_FROM] = PARSED_FROM,
		                                       [RULE_SENDER] = PARSED_SENDER,
		                                       [RULE_TO] = PARSED_TO,
		                                       [RULE_CC] = PARSED_CC };
	struct rule_header *headers = mem_array(p->header_count + 1, sizeof(*headers));

	for (size_t i = 0; i < RULE_FIELDS; i++) {
		facts->fields[i] = (struct rule_field) { 0 };
		collect_values(&facts->fields[i], p, i);
		if (parsed_field[i] >= 0)
			copy_addresses(&facts->fields[i], p, (size_t)parsed_field[i]);
	}
	for (size_t i = 0; i < p->header_count; i++)
		headers[i] = (struct rule_header) { p->headers[i].name, p->headers[i].value };
	facts->headers = headers;
	facts->header_count = p->header_count;
	facts->read_receipt = (p->flags & PARSED_READ_RECEIPT) != 0;
}

static void free_borrowed(const void *at)
{
	free((void *)(uintptr_t)at); /* ours; the facts only show it as constant */
}

void document_facts_free(struct rule_facts *facts)
{
	for (size_t i = 0; i < RULE_FIELDS; i++) {
		free_borrowed(facts->fields[i].values);
		free_borrowed(facts->fields[i].addresses);
		facts->fields[i] = (struct rule_field) { 0 };
	}
	free_borrowed(facts->headers);
	facts->headers = NULL;
	facts->header_count = 0;
}
