#include "ingest/action/sns.h"

#include "base/codec.h"
#include "base/sigv4.h"
#include "ingest/action/event.h"

#define DEADLINE_MS 30000
#define SUBJECT     "Amazon SES Email Receipt Notification"

static bool is_set(const struct payload_facts *f, const char *member, const char *value)
{
	return slice_equal(json_member_text(f->action, member), slice_str(value));
}

/* RC_LIMIT: it can't fit. */
static enum rc put_content(json_t *o, const struct payload_facts *f)
{
	struct buf text;
	enum rc rc = RC_OK;

	if (f->raw.len > SNS_MESSAGE)
		return RC_LIMIT;
	buf_init(&text, SNS_MESSAGE);
	if (is_set(f, "Encoding", "BASE64"))
		rc = base64_encode(&text, f->raw);
	else
		rc = buf_add(&text, f->raw);
	if (rc == RC_OK)
		json_put(o, "content", json_of_slice(buf_slice(&text)));
	buf_free(&text);
	return rc;
}

static json_t *action_json(const struct payload_facts *f)
{
	json_t *o = json_object();

	json_put_text(o, "type", slice_str("SNS"));
	json_put(o, "topicArn", json_of_slice(json_member_text(f->action, "TopicArn")));
	json_put_text(o, "encoding",
	              slice_str(is_set(f, "Encoding", "BASE64") ? "BASE64" : "UTF8"));
	return o;
}

static enum rc write_message(struct buf *out, const struct payload_facts *f, size_t headers,
                             bool content)
{
	json_t *o = json_object();
	enum rc rc = RC_OK;

	json_put_text(o, "notificationType", slice_str("Received"));
	json_put(o, "mail", event_mail(f, headers));
	json_put(o, "receipt", event_receipt(f, action_json(f)));
	if (content)
		rc = put_content(o, f);
	if (rc == RC_OK)
		rc = json_write(out, o);
	json_decref(o);
	return rc;
}

static enum rc write_form(struct payload *p, const struct payload_facts *f, struct slice message)
{
	enum rc rc;

	buf_init(&p->body, 3 * SNS_MESSAGE + 16384);
	rc = buf_add_str(&p->body, "Action=Publish&Message=");
	if (rc == RC_OK)
		rc = sigv4_escape(&p->body, message, false);
	if (rc == RC_OK)
		rc = buf_add_str(&p->body, "&Subject=");
	if (rc == RC_OK)
		rc = sigv4_escape(&p->body, slice_str(SUBJECT), false);
	if (rc == RC_OK)
		rc = buf_add_str(&p->body, "&TopicArn=");
	if (rc == RC_OK)
		rc = sigv4_escape(&p->body, json_member_text(f->action, "TopicArn"), false);
	return rc == RC_OK ? buf_add_str(&p->body, "&Version=2010-03-31") : rc;
}

enum rc sns_payload(struct payload *p, const struct payload_facts *f, struct err *e)
{
	bool content = !is_set(f, "PayloadType", "HEADERS");
	size_t headers = content ? SNS_CONTENT_HEADERS : SNS_HEADERS;
	struct buf message;
	enum rc rc;

	p->call.endpoint = "sns";
	p->call.path = "/";
	p->call.deadline_ms = DEADLINE_MS;
	payload_field(p, "content-type", "application/x-www-form-urlencoded; charset=utf-8");
	buf_init(&message, SNS_MESSAGE);
	rc = write_message(&message, f, headers, content);
	while (rc == RC_LIMIT && !content && headers > 1) { /* escaping made it longer */
		headers /= 2;
		rc = write_message(&message, f, headers, content);
	}
	if (rc == RC_OK)
		rc = write_form(p, f, buf_slice(&message));
	buf_free(&message);
	return rc == RC_OK ? rc
	                   : err_set(e, RC_LIMIT,
	                             "the message makes a notification of more than %d bytes",
	                             SNS_MESSAGE);
}

/* A 200 of who isn't SNS is no success. */
void sns_payload_read(struct payload_result *out, const json_t *action, const struct call_result *r)
{
	(void)action;
	if (!payload_refused(out, "SNS", r) &&
	    slice_find(r->answer, slice_str("<MessageId>")) == SIZE_MAX)
		payload_say(out, PAYLOAD_SET_UP,
		            "the endpoint answers %u without a MessageId, as SNS does not",
		            r->status);
}
