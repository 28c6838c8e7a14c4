#include "ingest/action/lambda.h"

#include "base/sigv4.h"
#include "ingest/action/event.h"

#define EVENT_MS    30000
#define RESPONSE_MS 60000

static bool waits(const json_t *action)
{
	return slice_equal(json_member_text(action, "InvocationType"),
	                   slice_str("REQUEST_RESPONSE"));
}

static const char *invocation(const json_t *action)
{
	return waits(action) ? "RequestResponse" : "Event";
}

static json_t *action_json(const struct payload_facts *f)
{
	json_t *o = json_object();

	json_put_text(o, "type", slice_str("Lambda"));
	json_put(o, "functionArn", json_of_slice(json_member_text(f->action, "FunctionArn")));
	json_put_text(o, "invocationType", slice_str(invocation(f->action)));
	return o;
}

static enum rc write_event(struct buf *out, const struct payload_facts *f, size_t headers)
{
	json_t *o = json_object();
	json_t *records = json_array();
	json_t *record = json_object();
	json_t *ses = json_object();
	enum rc rc;

	json_put(o, "Records", records);
	json_push(records, record);
	json_put_text(record, "eventSource", slice_str("aws:ses"));
	json_put_text(record, "eventVersion", slice_str("1.0"));
	json_put(record, "ses", ses);
	json_put(ses, "mail", event_mail(f, headers));
	json_put(ses, "receipt", event_receipt(f, action_json(f)));
	rc = json_write(out, o);
	json_decref(o);
	return rc;
}

static enum rc write_body(struct payload *p, const struct payload_facts *f, struct err *e)
{
	size_t headers = LAMBDA_HEADERS;
	enum rc rc;

	buf_init(&p->body, LAMBDA_BODY);
	rc = write_event(&p->body, f, headers);
	while (rc == RC_LIMIT && headers > 1) { /* escaping made it longer */
		headers /= 2;
		rc = write_event(&p->body, f, headers);
	}
	return rc == RC_OK ? rc : err_set(e, rc, "the envelope makes too long an event");
}

static enum rc to_function(struct payload *p, struct slice arn, struct err *e)
{
	struct buf path;
	enum rc rc;

	buf_init(&path, 16384);
	rc = buf_add_str(&path, "/2015-03-31/functions/");
	if (rc == RC_OK)
		rc = sigv4_escape(&path, arn, false);
	if (rc == RC_OK)
		rc = buf_add_str(&path, "/invocations");
	p->call.endpoint = "lambda";
	p->call.path = payload_own(p, &path);
	return rc == RC_OK ? rc : err_set(e, RC_INVALID, "FunctionArn is too long");
}

enum rc lambda_payload(struct payload *p, const struct payload_facts *f, struct err *e)
{
	const json_t *lambda = json_member_object(f->endpoints, "lambda");
	struct slice arn = json_member_text(f->action, "FunctionArn");
	const char *name = payload_member(f, "FunctionArn");
	const char *hook = NULL;
	enum rc rc = RC_OK;

	if (!name || arn.len == 0 || slice_equal(arn, slice_str(".")) ||
	    slice_equal(arn, slice_str("..")))
		return err_set(e, RC_INVALID, "FunctionArn is missing");
	hook = json_string_value(json_object_get(json_member_object(lambda, "functions"), name));
	p->call.deadline_ms = waits(f->action) ? RESPONSE_MS : EVENT_MS;
	payload_field(p, "content-type", "application/json");
	payload_field(p, hook ? "x-mm-invocation-type" : "x-amz-invocation-type",
	              invocation(f->action));
	if (hook) {
		p->call.endpoint = hook;
		p->call.path = "/";
	} else {
		rc = to_function(p, arn, e);
	}
	return rc == RC_OK ? write_body(p, f, e) : rc;
}

/* ---- the answer ---- */

static void read_disposition(struct payload_result *out, struct slice answer)
{
	static const char *const words[] = {
		[PAYLOAD_CONTINUE] = "CONTINUE",
		[PAYLOAD_STOP_RULE] = "STOP_RULE",
		[PAYLOAD_STOP_RULE_SET] = "STOP_RULE_SET",
	};
	json_t *o = NULL;
	const json_t *word;
	bool known;

	if (slice_trim(answer).len == 0)
		return;
	if (json_read(&o, answer, NULL) != RC_OK) {
		payload_say(out, PAYLOAD_DONE, "the function's answer is no JSON: CONTINUE");
		return;
	}
	word = json_object_get(o, "disposition");
	known = !word;
	for (size_t i = 0; i < COUNT(words); i++)
		if (slice_equal(json_text(word), slice_str(words[i]))) {
			out->disposition = (enum payload_disposition)i;
			known = true;
		}
	if (!known)
		payload_say(out, PAYLOAD_DONE, "the function's disposition is none: CONTINUE");
	json_decref(o);
}

void lambda_payload_read(struct payload_result *out, const json_t *action,
                         const struct call_result *r)
{
	if (payload_refused(out, "the function's endpoint", r))
		return;
	if (r->function_error[0])
		payload_say(out, PAYLOAD_LATER, "the function failed: %.64s", r->function_error);
	else if (waits(action))
		read_disposition(out, r->answer);
}
