#include "ingest/log_line.h"

#include <stdio.h>

#include "ingest/scan_result.h"

#define LIST_MOST (LOG_LINE_MOST / 2) /* a list ends where the line is so long */

/* A line on its way; what fails once fails to the end. */
struct line {
	struct buf *out;
	size_t began;
	bool full;
	bool first; /* nothing stands in this object or array yet */
};

/* --- text --- */

/* The character at the front of `s`, which isn't empty, and its bytes; U+FFFD and one byte where it
 * is none, or a NUL, which readers of JSON refuse. */
static uint32_t character(struct slice s, size_t *bytes)
{
	uint8_t c = s.at[0];
	size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
	uint32_t v;

	*bytes = 1;
	if (n == 1 && c)
		return c;
	if (n <= 1 || n > s.len || !slice_is_utf8(slice_part(s, 0, n)))
		return 0xfffd;
	v = c & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++)
		v = v << 6 | (s.at[i] & 0x3fu);
	*bytes = n;
	return v;
}

static size_t plain_run(struct slice s)
{
	size_t i = 0;

	while (i < s.len && s.at[i] >= 0x20 && s.at[i] < 0x7f && s.at[i] != '"' && s.at[i] != '\\')
		i++;
	return i;
}

static enum rc add_escaped(struct buf *b, uint32_t c)
{
	if (c == '"' || c == '\\')
		return buf_addf(b, "\\%c", (int)c);
	if (c < 0x10000)
		return buf_addf(b, "\\u%04x", c);
	c -= 0x10000;
	return buf_addf(b, "\\u%04x\\u%04x", 0xd800 + (c >> 10), 0xdc00 + (c & 0x3ff));
}

static enum rc add_string(struct buf *b, struct slice s)
{
	enum rc rc = buf_add_byte(b, '"');

	while (rc == RC_OK && s.len) {
		size_t n = plain_run(s);

		rc = buf_add(b, slice_part(s, 0, n));
		s = slice_from(s, n);
		if (rc == RC_OK && s.len) {
			rc = add_escaped(b, character(s, &n));
			s = slice_from(s, n);
		}
	}
	return rc == RC_OK ? buf_add_byte(b, '"') : rc;
}

/* --- members --- */

static void raw(struct line *l, const char *text)
{
	l->full = l->full || buf_add_str(l->out, text) != RC_OK;
}

static void separate(struct line *l)
{
	if (!l->first)
		raw(l, ",");
	l->first = false;
}

static void name(struct line *l, const char *member)
{
	separate(l);
	raw(l, "\"");
	raw(l, member);
	raw(l, "\":");
}

static void element(struct line *l, struct slice s)
{
	separate(l);
	l->full = l->full || add_string(l->out, s) != RC_OK;
}

static void text(struct line *l, const char *member, struct slice s)
{
	name(l, member);
	l->full = l->full || add_string(l->out, s) != RC_OK;
}

static void text_if(struct line *l, const char *member, struct slice s)
{
	if (s.len)
		text(l, member, s);
}

static void number(struct line *l, const char *member, int64_t n)
{
	name(l, member);
	l->full = l->full || buf_addf(l->out, "%lld", (long long)n) != RC_OK;
}

static void truth(struct line *l, const char *member, bool yes)
{
	name(l, member);
	raw(l, yes ? "true" : "false");
}

/* member NULL: an element of an array. */
static void enter(struct line *l, const char *member, const char *bracket)
{
	if (member)
		name(l, member);
	else
		separate(l);
	raw(l, bracket);
	l->first = true;
}

static void leave(struct line *l, const char *bracket)
{
	raw(l, bracket);
	l->first = false;
}

static struct line begin(struct buf *out)
{
	struct line l = { .out = out, .began = out->len, .first = true };

	raw(&l, "{");
	return l;
}

static enum rc end(struct line *l)
{
	raw(l, "}");
	if (!l->full && l->out->len - l->began <= LOG_LINE_MOST)
		return RC_OK;
	l->out->len = l->began;
	return RC_LIMIT;
}

static bool has_room(const struct line *l)
{
	return l->out->len - l->began < LIST_MOST;
}

static void left_out(struct line *l, size_t n)
{
	if (n)
		number(l, "recipients_left_out", (int64_t)n);
}

/* --- what several records have --- */

static void arn(struct line *l, const struct log_style *style, enum resource_kind kind,
                struct slice id)
{
	char room[RESOURCE_ID_ROOM];
	char out[ARN_ROOM];

	(void)snprintf(room, sizeof(room), "%.*s", (int)MIN_OF(id.len, sizeof(room) - 1),
	               id.at ? (const char *)id.at : "");
	arn_write(out, &style->home, kind, room);
	text(l, "resource_arn", slice_str(out));
}

static const char *type_name(enum ingress_type type)
{
	return type == INGRESS_MTLS ? "MTLS" : type == INGRESS_AUTH ? "AUTH" : "OPEN";
}

static void strings(struct line *l, const char *member, const json_t *list)
{
	enter(l, member, "[");
	for (size_t i = 0; i < json_array_size(list); i++)
		element(l, json_text(json_array_get(list, i)));
	leave(l, "]");
}

/* --- a message that was accepted --- */

static void certificate(struct line *l, const json_t *cert)
{
	static const char *const names[] = { "rfc822", "dns", "directory",
		                             "uri",    "ip",  "registered_id" };

	enter(l, "client_certificate_details", "{");
	strings(l, "common_names", json_object_get(cert, "cn"));
	text_if(l, "serial_number", json_member_text(cert, "serial"));
	enter(l, "subject_alternative_names", "[");
	for (size_t k = 0; k < COUNT(names); k++) {
		const json_t *list = json_object_get(cert, names[k]);

		for (size_t i = 0; i < json_array_size(list); i++)
			element(l, json_text(json_array_get(list, i)));
	}
	leave(l, "]");
	text_if(l, "issuer", json_member_text(cert, "issuer"));
	number(l, "not_before", json_member_int(cert, "not_before", 0));
	number(l, "not_after", json_member_int(cert, "not_after", 0));
	leave(l, "}");
}

static void metadata(struct line *l, const struct log_style *style, const struct mail *m)
{
	int64_t password = json_member_int(m->json, "auth_version", 0);

	if (!password && !(m->client_cert && style->addresses))
		return;
	enter(l, "ingress_point_metadata", "{");
	if (password)
		number(l, "password_version", password);
	if (m->client_cert && style->addresses)
		certificate(l, m->client_cert);
	leave(l, "}");
}

static void recipients(struct line *l, const struct mail *m)
{
	size_t i = 0;

	enter(l, "recipients", "[");
	for (; i < m->recipient_count && has_room(l); i++)
		element(l, m->recipients[i]);
	leave(l, "]");
	left_out(l, m->recipient_count - i);
}

enum rc log_line_ingress(struct buf *out, const struct log_style *style, const struct mail *m,
                         uint64_t bytes)
{
	const json_t *tls = json_object_get(m->json, "tls");
	struct line l = begin(out);
	char id[ID_TEXT + 1];

	id_format(id, &m->id);
	arn(&l, style, RESOURCE_INGRESS_POINT, json_member_text(m->json, "ingress_id"));
	number(&l, "event_timestamp", m->received_ms);
	text(&l, "ingress_point_type",
	     slice_str(type_name(m->client_cert                     ? INGRESS_MTLS
	                         : json_object_get(m->json, "auth") ? INGRESS_AUTH
	                                                            : INGRESS_OPEN)));
	text(&l, "ingress_point_name", m->ingress);
	text(&l, "message_id", slice_str(id));
	number(&l, "message_size_bytes", (int64_t)bytes);
	text(&l, "rule_set_id", m->rule_set);
	if (style->addresses) {
		text(&l, "sender_ip_address", m->ip);
		text(&l, "smtp_mail_from", m->mail_from);
		text(&l, "smtp_helo", m->helo);
	}
	text_if(&l, "tls_protocol", json_member_text(tls, "version"));
	text_if(&l, "tls_cipher_suite", json_member_text(tls, "cipher"));
	if (style->addresses)
		recipients(&l, m);
	metadata(&l, style, m);
	return end(&l);
}

/* --- what rules did --- */

static const char *action_name(enum rule_action_kind kind)
{
	static const char *const names[RULE_ACTION_KINDS] = {
		[RULE_ARCHIVE] = "ARCHIVE",
		[RULE_DROP] = "DROP",
		[RULE_ADD_HEADER] = "ADD_HEADER",
		[RULE_REPLACE_RECIPIENT] = "REPLACE_RECIPIENT",
		[RULE_SEND] = "SEND",
		[RULE_RELAY] = "RELAY",
		[RULE_MAILBOX] = "DELIVER_TO_MAILBOX",
		[RULE_BOUNCE] = "BOUNCE",
		[RULE_S3] = "WRITE_TO_S3",
		[RULE_SNS] = "PUBLISH_TO_SNS",
		[RULE_LAMBDA] = "INVOKE_LAMBDA",
		[RULE_QBUSINESS] = "DELIVER_TO_Q_BUSINESS",
	};

	return kind < RULE_ACTION_KINDS && names[kind] ? names[kind] : "";
}

static void matched(struct line *l, const struct log_rule *r)
{
	size_t i = 0;

	enter(l, "recipients_matched", "[");
	for (; i < r->matched_count && has_room(l); i++)
		element(l, r->recipients[r->matched[i]].address);
	leave(l, "]");
	left_out(l, r->matched_count - i);
}

enum rc log_line_rule(struct buf *out, const struct log_style *style, const struct log_rule *r)
{
	struct line l = begin(out);
	char id[ID_TEXT + 1];

	id_format(id, r->id);
	arn(&l, style, RESOURCE_RULE_SET, slice_str(r->rule_set_id));
	number(&l, "event_timestamp", r->when_ms);
	text(&l, "message_id", slice_str(id));
	text(&l, "rule_set_name", slice_str(r->rule_set_name));
	text(&l, "rule_name", slice_str(r->rule_name));
	number(&l, "rule_index", r->rule);
	if (style->addresses || !r->what)
		matched(&l, r);
	if (r->what) {
		enter(&l, "action_metadata", "{");
		text(&l, "action_name", slice_str(action_name(r->what->kind)));
		number(&l, "action_index", r->action);
		text(&l, "action_status",
		     slice_str(r->failure   ? "FAILURE"
		               : r->goes_on ? "IN_PROGRESS"
		                            : "SUCCESS"));
		if (r->failure)
			text(&l, "action_failure", slice_str(r->failure));
		leave(&l, "}");
	}
	return end(&l);
}

/* --- how a policy judged --- */

/* What addresses are compared with are addresses. A list is named by its id; of an add-on's words
 * those are that say what is listed. */
static bool has_addresses(const struct policy_told *t)
{
	if (t->asked)
		return scans_same_field(t->field, slice_str("listed"));
	return !slice_equal(t->attribute, slice_str("TLS_PROTOCOL")) &&
	       !slice_equal(t->compare, slice_str("IS_TRUE")) &&
	       !slice_equal(t->compare, slice_str("IS_FALSE"));
}

static void condition(struct line *l, const struct log_style *style, const struct policy_told *t)
{
	struct reader r = reader_over(t->values);

	enter(l, NULL, "{");
	enter(l, "expression", "{");
	text(l, "attribute", t->attribute);
	text(l, "operator", t->compare);
	if (style->addresses || !has_addresses(t)) {
		enter(l, "value", "[");
		for (unsigned i = 0; i < t->value_count; i++)
			element(l, read_slice(&r));
		leave(l, "]");
	}
	leave(l, "}");
	if (t->asked) {
		enter(l, "analysis", "{");
		text(l, "resultField", t->field);
		if (style->addresses || !has_addresses(t))
			text(l, "result", t->said);
		leave(l, "}");
	}
	truth(l, "expressionResult", t->yes);
	leave(l, "}");
}

static void end_statement(struct line *l, bool *inside)
{
	if (*inside)
		leave(l, "]");
	*inside = false;
}

static void step(struct line *l, const struct log_style *style, const struct policy_told *t,
                 bool *inside)
{
	const char *action = t->yes ? "ALLOW" : "DENY";

	switch (t->kind) {
	case POLICY_STEP_STATEMENT:
		enter(l, NULL, "{");
		text(l, "action", slice_str(action));
		enter(l, "conditions", "[");
		*inside = true;
		break;
	case POLICY_STEP_CONDITION:
		condition(l, style, t);
		break;
	case POLICY_STEP_END:
		end_statement(l, inside);
		truth(l, "policyStatementMatched", t->yes);
		leave(l, "}");
		break;
	case POLICY_STEP_DEFAULT:
		enter(l, NULL, "{");
		text(l, "action", slice_str(action));
		text(l, "type", slice_str("DefaultAction"));
		text(l, "scope", slice_str("Recipient"));
		leave(l, "}");
		break;
	}
}

static void evaluation(struct line *l, const struct log_style *style, const struct policy_record *r)
{
	struct slice steps = r->evaluation;
	struct policy_told t;
	bool inside = false;

	enter(l, "traffic_policy_evaluation", "[");
	while (policy_step_next(&steps, &t))
		step(l, style, &t, &inside);
	if (inside) { /* it didn't fit to its end */
		end_statement(l, &inside);
		leave(l, "}");
	}
	if (r->scope == POLICY_SCOPE_DATA) {
		enter(l, NULL, "{");
		number(l, "allowedMessageSize", (int64_t)MIN_OF(r->allowed, (uint64_t)INT64_MAX));
		number(l, "receivedMessageSize", (int64_t)MIN_OF(r->received, (uint64_t)INT64_MAX));
		text(l, "scope", slice_str("Data"));
		leave(l, "}");
	}
	leave(l, "]");
}

enum rc log_line_policy(struct buf *out, const struct log_style *style,
                        const struct policy_record *r)
{
	struct line l = begin(out);

	arn(&l, style, RESOURCE_INGRESS_POINT, r->ingress_id);
	number(&l, "event_timestamp", r->when_ms);
	text(&l, "ingress_point_type", slice_str(type_name(r->type)));
	text(&l, "ingress_point_id", r->ingress_id);
	text(&l, "ingress_point_session_id", r->session_id);
	text_if(&l, "traffic_policy_id", r->policy_id);
	evaluation(&l, style, r);
	text(&l, "traffic_policy_verdict", slice_str(r->accepted ? "ACCEPT" : "REJECT"));
	if (style->addresses) {
		text(&l, "sender_ip_address", r->ip);
		text(&l, "smtp_mail_from", r->mail_from);
		text(&l, "smtp_helo", r->helo);
	}
	text_if(&l, "tls_protocol", r->tls_version);
	text_if(&l, "tls_cipher_suite", r->tls_cipher);
	if (style->addresses && r->scope == POLICY_SCOPE_RECIPIENT)
		text(&l, "recipient", r->recipient);
	return end(&l);
}

/* --- what was left out --- */

enum rc log_line_gap(struct buf *out, int64_t when_ms, const char *log, const struct log_gap *gap)
{
	struct line l = begin(out);

	number(&l, "event_timestamp", when_ms);
	text(&l, "log_type", slice_str(log));
	number(&l, "records_left_out", (int64_t)MIN_OF(gap->records, (uint64_t)INT64_MAX));
	number(&l, "first_left_out", gap->first_ms);
	number(&l, "last_left_out", gap->last_ms);
	return end(&l);
}

static const char *const kinds[LOG_KINDS] = { "ingress", "rule", "policy", "gap" };

const char *log_kind_name(enum log_kind kind)
{
	return kind < LOG_KINDS ? kinds[kind] : "unknown";
}

bool log_kind_parse(struct slice word, enum log_kind *kind)
{
	for (int i = 0; i < LOG_KINDS; i++)
		if (slice_equal(word, slice_str(kinds[i]))) {
			*kind = (enum log_kind)i;
			return true;
		}
	return false;
}
