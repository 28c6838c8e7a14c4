#include "query/row_read.h"

#include "base/codec.h"
#include "base/json.h"
#include "index/doc_verdict.h"

struct list_place {
	const char *member;
	struct slice *to;
	size_t from;
	size_t len;
};

/* Lists go into `memory` first; slices are set when it no longer grows. */
static enum rc join(const json_t *row, struct list_place *p, struct buf *memory)
{
	json_t *list = json_member_array(row, p->member);
	enum rc rc = RC_OK;

	p->from = memory->len;
	for (size_t i = 0; rc == RC_OK && i < json_array_size(list); i++) {
		if (i)
			rc = buf_add_byte(memory, '\n');
		if (rc == RC_OK)
			rc = buf_add(memory, json_text(json_array_get(list, i)));
	}
	p->len = memory->len - p->from;
	return rc;
}

static enum rc read_lists(const json_t *row, struct index_row *out, struct buf *memory)
{
	struct list_place places[] = {
		{ "to", &out->to, 0, 0 },
		{ "cc", &out->cc, 0, 0 },
		{ "bcc", &out->bcc, 0, 0 },
		{ "envelope_to", &out->envelope_to, 0, 0 },
		{ "attachments", &out->filename, 0, 0 },
	};

	buf_clear(memory);
	for (size_t i = 0; i < COUNT(places); i++)
		if (join(row, &places[i], memory) != RC_OK)
			return RC_LIMIT;
	for (size_t i = 0; i < COUNT(places); i++)
		*places[i].to = slice_part(buf_slice(memory), places[i].from, places[i].len);
	return RC_OK;
}

static uint32_t read_verdicts(const json_t *row)
{
	uint32_t flags = 0;

	for (int k = 0; k < DOC_VERDICTS; k++) {
		enum doc_verdict kind = (enum doc_verdict)k;
		uint32_t bits;

		if (doc_verdict_bits(kind, json_member_text(row, doc_verdict_name(kind)), &bits))
			flags |= bits;
	}
	return flags;
}

enum rc row_read(const json_t *row, struct index_row *out, struct buf *memory, struct err *e)
{
	*out = (struct index_row) { 0 };
	if (!id_parse(&out->id, json_member_text(row, "id")))
		return err_set(e, RC_INVALID, "a row has no id");
	if (!time_parse(json_member_text(row, "received"), &out->received_ms))
		return err_set(e, RC_INVALID, "a row has no time of receipt");
	if (!hex_decode(out->sha256, sizeof(out->sha256), json_member_text(row, "sha256")))
		return err_set(e, RC_INVALID, "a row has no sha256");
	if (time_parse(json_member_text(row, "sent"), &out->sent_ms))
		out->flags |= DOC_HAS_SENT;
	if (json_member_bool(row, "has_attachment", false))
		out->flags |= DOC_HAS_ATTACHMENT;
	if (json_member_bool(row, "parse_problem", false))
		out->flags |= DOC_PARSE_PROBLEM;
	if (json_member_bool(row, "not_indexed", false))
		out->flags |= DOC_NOT_INDEXED;
	out->flags |= read_verdicts(row);
	out->bytes = (uint64_t)json_member_int(row, "bytes", 0);
	out->from = json_member_text(row, "from");
	out->subject = json_member_text(row, "subject");
	out->message_id = json_member_text(row, "message_id");
	out->envelope_from = json_member_text(row, "envelope_from");
	out->ingress = json_member_text(row, "ingress");
	out->ip = json_member_text(row, "ip");
	out->problem = json_member_text(row, "problem");
	if (read_lists(row, out, memory) != RC_OK)
		return err_set(e, RC_LIMIT, "a row is too long");
	return RC_OK;
}
