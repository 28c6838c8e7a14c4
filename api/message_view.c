#include "api/message_view.h"

#include <stdio.h>

#include "base/limits.h"
#include "ingest/head.h"

/* ---- how it came ---- */

static void put_if(json_t *o, const char *member, struct slice text)
{
	if (text.len)
		json_put(o, member, json_of_slice(text));
}

static json_t *receipt_of(const struct mail *m)
{
	return json_member_object(m->json, "receipt");
}

/* The rule set that brought it into the archive. */
static void put_source(json_t *o, const struct message_view *v, const struct mail *m)
{
	char arn[400];

	if (!m->rule_set.len)
		return;
	(void)snprintf(arn, sizeof(arn), "arn:aws:ses:%s:%s:mailmanager-rule-set/%.*s",
	               v->options->region, v->options->account, (int)MIN_OF(m->rule_set.len, 100U),
	               (const char *)m->rule_set.at);
	json_put_text(o, "SourceArn", slice_str(arn));
}

/* What Row and Metadata have in common. */
static void put_peer(json_t *o, const struct message_view *v, const struct mail *m)
{
	put_if(o, "IngressPointId", json_member_text(receipt_of(m), "ingress_id"));
	put_if(o, "SenderHostname", m->helo);
	put_if(o, "SenderIpAddress", m->ip);
	put_source(o, v, m);
}

static json_t *envelope_of(const struct mail *m)
{
	json_t *o = json_object();
	json_t *to = json_array();

	put_if(o, "Helo", m->helo);
	json_put(o, "From", json_of_slice(m->mail_from));
	for (size_t i = 0; i < m->recipient_count; i++)
		json_push(to, json_of_slice(m->recipients[i]));
	json_put(o, "To", to);
	return o;
}

enum rc view_metadata(const struct message_view *v, json_t **metadata, json_t **envelope,
                      struct err *e)
{
	const json_t *receipt;
	const json_t *tls;
	struct mail m;
	json_t *o;
	enum rc rc = mail_read_stored(&m, &v->id, v->meta, e);

	*metadata = *envelope = NULL;
	if (rc != RC_OK)
		return rc;
	receipt = receipt_of(&m);
	tls = json_member_object(receipt, "tls");
	o = json_object();
	json_put_int(o, "Timestamp", m.received_ms);
	put_peer(o, v, &m);
	put_if(o, "TrafficPolicyId", json_member_text(receipt, "policy"));
	put_if(o, "RuleSetId", m.rule_set);
	put_if(o, "TlsProtocol", json_member_text(tls, "version"));
	put_if(o, "TlsCipherSuite", json_member_text(tls, "cipher"));
	*metadata = o;
	*envelope = envelope_of(&m);
	mail_free(&m);
	return RC_OK;
}

/* ---- its header ---- */

/* Fields of which the first one counts. */
static const struct single {
	const char *field;
	const char *member;
} singles[] = {
	{ "Date", "Date" },
	{ "Message-ID", "MessageId" },
	{ "In-Reply-To", "InReplyTo" },
	{ "X-Mailer", "XMailer" },
	{ "X-Original-Mailer", "XOriginalMailer" },
	{ "X-Priority", "XPriority" },
};

static const char *member_of(struct slice name)
{
	for (size_t i = 0; i < COUNT(singles); i++)
		if (slice_equal_nocase(name, slice_str(singles[i].field)))
			return singles[i].member;
	return NULL;
}

static void put_fields(json_t *o, const struct message_view *v)
{
	struct head h = head_of(v->raw);
	struct head_field f;
	json_t *received = json_array();
	size_t used = 0;
	struct buf text;

	buf_init(&text, LIMIT_HEADER_BLOCK * 3);
	while (head_next(&h, &f)) {
		const char *member = member_of(f.name);
		bool hop = slice_equal_nocase(f.name, slice_str("Received"));

		if (hop ? used >= v->most : !member || json_object_get(o, member))
			continue;
		buf_clear(&text);
		if (head_text(f.value, v->most, &text) != RC_OK)
			continue;
		used += hop ? text.len : 0;
		if (hop)
			json_push(received, json_of_slice(buf_slice(&text)));
		else
			json_put(o, member, json_of_slice(buf_slice(&text)));
	}
	json_put(o, "ReceivedHeaders", received);
	buf_free(&text);
}

/* ---- its row ---- */

/* A field with one value a line, in one string; cut between characters. */
static void put_lines(json_t *o, const char *member, struct slice lines, size_t most)
{
	struct buf text;
	enum rc rc = RC_OK;

	buf_init(&text, most + 8);
	while (lines.len && rc == RC_OK) {
		struct slice line = slice_trim(slice_cut(lines, '\n', &lines));

		if (line.len && text.len)
			rc = buf_add_str(&text, ", ");
		if (rc == RC_OK)
			rc = head_text(line, text.len + 16 < most ? most - text.len : 8, &text);
		if (text.len + 16 >= most)
			break;
	}
	put_if(o, member, buf_slice(&text));
	buf_free(&text);
}

static void put_columns(json_t *o, const struct message_view *v)
{
	const struct index_row *r = v->row;

	put_lines(o, "From", r->from, v->most);
	put_lines(o, "To", r->to, v->most);
	put_lines(o, "Cc", r->cc, v->most);
	put_lines(o, "Subject", r->subject, v->most);
	json_put_bool(o, "HasAttachments", (r->flags & DOC_HAS_ATTACHMENT) != 0);
}

enum rc view_row(const struct message_view *v, json_t **out, struct err *e)
{
	char id[ID_TEXT + 1];
	char whole[200];
	struct mail m;
	json_t *o;
	enum rc rc = mail_read_stored(&m, &v->id, v->meta, e);

	*out = NULL;
	if (rc != RC_OK)
		return rc;
	o = json_object();
	id_format(id, &v->id);
	(void)snprintf(whole, sizeof(whole), "%s.%s", v->archive->id, id);
	json_put_text(o, "ArchivedMessageId", slice_str(whole));
	json_put_int(o, "ReceivedTimestamp", m.received_ms);
	if (v->row)
		put_columns(o, v);
	put_fields(o, v);
	put_peer(o, v, &m);
	json_put(o, "Envelope", envelope_of(&m));
	mail_free(&m);
	*out = o;
	return RC_OK;
}
