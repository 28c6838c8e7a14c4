#include "ingest/action/qbusiness.h"

#include "base/codec.h"
#include "ingest/action/event.h"

#define DEADLINE_MS 120000
#define TITLE_MOST  500
#define BODY_MOST   ((size_t)QBUSINESS_TEXT / 3 * 4 + 16384)

static bool is_id(const char *s)
{
	size_t n = strlen(s);

	for (const char *c = s; *c; c++)
		if (!(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z') &&
		    !(*c >= '0' && *c <= '9') && *c != '-')
			return false;
	return n >= 1 && n <= 64;
}

static json_t *attribute(const char *name, const char *type, json_t *value)
{
	json_t *o = json_object();
	json_t *of = json_object();

	json_put_text(o, "name", slice_str(name));
	json_put(of, type, value);
	json_put(o, "value", of);
	return o;
}

static json_t *attributes(const struct payload_facts *f)
{
	json_t *list = json_array();
	json_t *authors = json_array();
	struct buf text;

	json_push(list,
	          attribute("_created_at", "dateValue", json_integer(f->mail->received_ms / 1000)));
	buf_init(&text, TITLE_MOST + 8);
	event_header(f->raw, "From", TITLE_MOST, &text);
	if (text.len) {
		json_push(authors, json_of_slice(buf_slice(&text)));
		json_push(list, attribute("_authors", "stringListValue", json_incref(authors)));
	}
	json_decref(authors);
	buf_free(&text);
	return list;
}

static json_t *document(const struct payload_facts *f)
{
	json_t *o = json_object();
	char id[ID_TEXT + 1];
	struct buf title;

	id_format(id, &f->mail->id);
	json_put_text(o, "id", slice_str(id));
	json_put_text(o, "contentType", slice_str("PLAIN_TEXT"));
	buf_init(&title, TITLE_MOST + 8);
	event_header(f->raw, "Subject", TITLE_MOST, &title);
	if (title.len)
		json_put(o, "title", json_of_slice(buf_slice(&title)));
	buf_free(&title);
	json_put(o, "attributes", attributes(f));
	return o;
}

/* The content is written behind the other members: as a value it would be copied some times. */
static enum rc write_body(struct buf *out, const struct payload_facts *f)
{
	struct slice text = f->text.len ? f->text : f->raw;
	json_t *o = document(f);
	enum rc rc = text.len <= QBUSINESS_TEXT ? buf_add_str(out, "{\"documents\":[") : RC_LIMIT;

	if (rc == RC_OK)
		rc = json_write(out, o);
	json_decref(o);
	if (rc != RC_OK)
		return rc;
	out->len--; /* its "}" */
	rc = buf_add_str(out, ",\"content\":{\"blob\":\"");
	if (rc == RC_OK)
		rc = base64_encode(out, text);
	return rc == RC_OK ? buf_add_str(out, "\"}}]}") : rc;
}

enum rc qbusiness_payload(struct payload *p, const struct payload_facts *f, struct err *e)
{
	const char *application = payload_member(f, "ApplicationId");
	const char *index = payload_member(f, "IndexId");
	struct buf path;

	if (!application || !index || !is_id(application) || !is_id(index))
		return err_set(e, RC_INVALID, "ApplicationId or IndexId is none");
	buf_init(&path, 512);
	MUST(buf_addf(&path, "/applications/%s/indices/%s/documents", application, index) == RC_OK);
	p->call.endpoint = "qbusiness";
	p->call.path = payload_own(p, &path);
	p->call.deadline_ms = DEADLINE_MS;
	payload_field(p, "content-type", "application/json");
	buf_init(&p->body, BODY_MOST);
	return write_body(&p->body, f) == RC_OK
	               ? RC_OK
	               : err_set(e, RC_LIMIT, "a document of more than %d bytes", QBUSINESS_TEXT);
}

/* ---- the answer ---- */

static enum payload_end end_of(struct slice code)
{
	if (slice_equal(code, slice_str("InternalError")))
		return PAYLOAD_LATER;
	if (slice_equal(code, slice_str("ResourceInactive")) ||
	    slice_equal(code, slice_str("ResourceNotFound")))
		return PAYLOAD_SET_UP;
	return PAYLOAD_NEVER;
}

void qbusiness_payload_read(struct payload_result *out, const json_t *action,
                            const struct call_result *r)
{
	json_t *o = NULL;
	const json_t *failed;
	struct slice code;

	(void)action;
	if (payload_refused(out, "Q Business", r))
		return;
	if (json_read(&o, r->answer, NULL) != RC_OK || !json_is_object(o)) {
		json_decref(o);
		payload_say(out, PAYLOAD_SET_UP,
		            "the endpoint answers %u without JSON, as Q Business does not",
		            r->status);
		return;
	}
	failed = json_member_array(o, "failedDocuments");
	if (json_array_size(failed)) {
		code = json_member_text(json_member_object(json_array_get(failed, 0), "error"),
		                        "errorCode");
		payload_say(out, end_of(code), "Q Business: the document failed: %.*s",
		            (int)MIN_OF(code.len, 64U), code.at ? (const char *)code.at : "");
	}
	json_decref(o);
}
