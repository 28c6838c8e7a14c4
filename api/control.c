#include "api/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/account.h"
#include "api/control_flow.h"
#include "api/control_import.h"
#include "api/control_job.h"
#include "api/control_tool.h"
#include "api/job_run.h"
#include "api/link.h"
#include "api/ops.h"
#include "api/principal.h"
#include "api/wire.h"
#include "base/codec.h"
#include "base/limits.h"
#include "base/log.h"
#include "store/crypt.h"

static const struct handler {
	const char *operation;
	control_run run;
} handlers[] = {
#define HANDLER(operation, run) { #operation, run },
#include "api/control_handlers.h"
#undef HANDLER
};

control_run control_find(struct slice operation)
{
	for (size_t i = 0; i < COUNT(handlers); i++)
		if (slice_equal(operation, slice_str(handlers[i].operation)))
			return handlers[i].run;
	return NULL;
}

/* ---- errors ---- */

static enum api_error error_of(enum rc rc)
{
	switch (rc) {
	case RC_INVALID:
		return API_VALIDATION;
	case RC_NOTFOUND:
		return API_NOT_FOUND;
	case RC_EXISTS:
	case RC_HELD:
		return API_CONFLICT;
	case RC_LIMIT:
		return API_QUOTA;
	case RC_DENIED:
		return API_ACCESS_DENIED;
	case RC_AGAIN:
	case RC_NOSPACE:
		return API_UNAVAILABLE;
	default:
		return API_INTERNAL;
	}
}

/* An operation answers only what its description lists, so that its client knows it. */
static enum api_error listed(const struct model_operation *op, enum api_error error)
{
	static const enum api_error instead[] = { API_VALIDATION, API_CONFLICT, API_ACCESS_DENIED };
	bool modelled = error <= API_VALIDATION;

	if (!op || !modelled || (op->errors & (1U << error)))
		return error;
	if (error == API_ACCESS_DENIED || error == API_THROTTLING)
		return error; /* every operation can fail to be allowed */
	for (size_t i = 0; i < COUNT(instead); i++)
		if (op->errors & (1U << instead[i]))
			return instead[i];
	return API_VALIDATION;
}

static void put_error(struct request *r, enum api_error error, const char *text)
{
	json_decref(r->result);
	r->result = json_object();
	json_put_text(r->result, "error", slice_str(api_error_name(error)));
	json_put(r->result, "message", json_of_slice(slice_str(text)));
}

/* ---- for handlers ---- */

struct slice control_text(const struct control_call *c, const char *member)
{
	return json_member_text(c->input, member);
}

void control_put_time(json_t *o, const char *member, int64_t ms)
{
	if (ms)
		json_put_int(o, member, ms);
}

const char *control_url(const struct control_call *c)
{
	const struct job_options *opt = jobs_options(c->r->en->jobs);
	const char *origin = json_string_value(json_object_get(c->r->args, "origin"));

	if (opt->url)
		return opt->url;
	return origin ? origin : opt->home;
}

#define CURSOR_SEALED (8 + CRYPT_OVERHEAD)

static void cursor_key(const struct control_call *c, uint8_t key[KEY_BYTES])
{
	crypt_derive(key, c->r->en->control_key, "mm NextToken");
}

void control_put_next(struct control_call *c, const char *list, struct slice cursor)
{
	uint8_t key[KEY_BYTES], plain[8], sealed[CURSOR_SEALED];
	char text[2 * CURSOR_SEALED + 1];
	uint64_t number = 0;

	if (!cursor.len)
		return;
	MUST(slice_to_u64(cursor, &number));
	cursor_key(c, key);
	put_le64(plain, number);
	crypt_seal(sealed, slice_of(plain, sizeof(plain)), slice_str(list), key);
	hex_encode(text, sealed, sizeof(sealed));
	json_put_text(c->output, "NextToken", slice_str(text));
	crypt_wipe(key, sizeof(key));
}

enum rc control_next(const struct control_call *c, const char *list, char cursor[CURSOR_ROOM],
                     struct err *e)
{
	struct slice text = control_text(c, "NextToken");
	uint8_t key[KEY_BYTES], plain[8], sealed[CURSOR_SEALED];
	bool good;

	cursor[0] = 0;
	if (!text.at)
		return RC_OK;
	cursor_key(c, key);
	good = hex_decode(sealed, sizeof(sealed), text) &&
	       crypt_open(plain, slice_of(sealed, sizeof(sealed)), slice_str(list), key) == RC_OK;
	crypt_wipe(key, sizeof(key));
	if (!good)
		return err_set(e, RC_INVALID, "NextToken: not one of this list");
	(void)snprintf(cursor, CURSOR_ROOM, "%llu", (unsigned long long)get_le64(plain));
	return RC_OK;
}

enum rc control_archive(struct control_call *c, struct config *config,
                        const struct archive_info **out, struct err *e)
{
	struct slice id = control_text(c, "ArchiveId");
	const struct archive_info *a = config_archive(config, id);

	*out = a && slice_equal(slice_str(a->id), id) && request_sees(c->r, a) ? a : NULL;
	if (*out)
		return RC_OK;
	return err_set(e, RC_NOTFOUND, "there is no archive %.*s", (int)MIN_OF(id.len, 70U),
	               (const char *)id.at);
}

/* ---- one call ---- */

/* Who it is, by what mm-httpd says; false: nobody that this mmd knows. */
static bool identify(struct request *r, char who[WHO_ROOM])
{
	struct slice name = json_member_text(r->args, "principal");
	/* A call names its principal and key, a link has the principal in what was signed. */
	bool link = !slice_equal(json_member_text(r->args, "op"), slice_str("api")) &&
	            link_principal(json_member_text(r->args, "query"), &name);
	struct slice key = json_member_text(r->args, "key");
	const struct principal *p;
	bool own;

	r->known = principals_generation(r->principals);
	p = principal_by_name(r->principals, name);
	if (!p)
		return false;
	own = principal_by_key(r->principals, key) == p;
	if (link)
		key = slice_str("link");
	else if (!own) /* what it says can't make entries without end */
		key = slice_str("another key");
	(void)snprintf(who, WHO_ROOM, "principal %s (%s%.*s)", p->name, own && !link ? "key " : "",
	               (int)MIN_OF(key.len, 20U), (const char *)key.at);
	r->principal = p;
	if (p->disabled || (!link && !own))
		return false;
	r->access = &p->access;
	return true;
}

static enum rc count(struct request *r, const char *operation, enum api_error error, struct err *e)
{
	const struct asked asked = {
		.event = r->refused ? "denied" : "request",
		.who = r->who,
		.counted = r->principal ? r->who : "",
		.op = operation,
		.outcome = error == API_ERRORS || r->refused ? NULL : api_error_name(error),
		.archive = json_member_text(json_member_object(r->args, "input"), "ArchiveId")
	};

	return tally_add(r->en->tally, &asked, e);
}

static enum rc run_handler(struct control_call *c, struct err *e)
{
	control_run handler = control_find(slice_str(c->op->name));
	enum rc rc = request_need(c->r, c->op->class, e);

	if (rc == RC_OK)
		rc = shape_check(c->op->input, c->input, NULL,
		                 c->r->en->api.open ? SHAPE_API | SHAPE_MORE : SHAPE_API, e);
	if (rc == RC_OK && !handler)
		rc = err_set(e, RC_INVALID, "%s is not built yet", c->op->name);
	/* What only reads is counted, and before it is answered. */
	if (rc == RC_OK && c->op->trait == MODEL_READONLY)
		rc = count(c->r, c->op->name, API_ERRORS, e);
	if (rc == RC_OK)
		rc = handler(c, e);
	/* It found nothing to change. */
	if (rc == RC_OK && c->op->trait != MODEL_READONLY && !c->r->accounted)
		rc = count(c->r, c->op->name, API_ERRORS, e);
	return rc == RC_OK ? request_allowed(c->r, e) : rc;
}

static void answer_call(struct control_call *c, enum rc rc, const struct err *e)
{
	struct request *r = c->r;
	struct err unentered = { 0 };
	enum api_error error = c->error == API_ERRORS ? error_of(rc) : c->error;

	if (rc == RC_OK) {
		r->result = json_object();
		json_put(r->result, "output", c->output ? c->output : json_object());
		return;
	}
	json_decref(c->output);
	error = listed(c->op, error);
	if ((r->refused || !r->accounted) && count(r, c->op->name, error, &unentered) != RC_OK)
		log_error("the audit log: %s", unentered.text);
	if (error == API_INTERNAL)
		log_error("%s: %s", c->op->name, e->text);
	put_error(r, error, e->text);
}

static void handle_call(struct request *r, const struct model_operation *op, const json_t *input)
{
	struct control_call c = { .r = r, .op = op, .input = input, .error = API_ERRORS };
	struct err e = { 0 };
	enum rc rc;

	if (!op || !input) {
		put_error(r, API_UNKNOWN_OPERATION, "there is no such operation");
		return;
	}
	rc = run_handler(&c, &e);
	answer_call(&c, rc, &e);
}

/* What is kept as milliseconds is shown as the API shows it. */
static enum rc show_output(struct request *r, const struct model_operation *op, struct err *e)
{
	const json_t *output = json_member_object(r->result, "output");
	json_t *shown = NULL;
	struct buf text;
	enum rc rc;

	if (!output)
		return RC_OK;
	buf_init(&text, LIMIT_REQUEST);
	rc = wire_encode(WIRE_AWS_JSON, op->output, output, &text, e);
	if (rc == RC_OK)
		rc = json_read(&shown, buf_slice(&text), e);
	if (rc == RC_OK)
		json_put(r->result, "output", shown);
	buf_free(&text);
	return rc;
}

/* For tools: the same operations without HTTP, under the rights of who asks on the socket. */
enum rc op_api(struct request *r, struct err *e)
{
	const struct model_operation *op = model_find(json_member_text(r->args, "operation"));
	json_t *input = NULL;
	struct slice text;
	enum rc rc = request_text(r, "text", &text, e);

	if (rc == RC_OK && op && wire_decode(WIRE_AWS_JSON, op->input, text, &input, e) != RC_OK)
		put_error(r, API_SERIALIZATION, e->text);
	else if (rc == RC_OK)
		handle_call(r, op, input);
	if (rc == RC_OK)
		rc = show_output(r, op, e);
	json_decref(input);
	return rc;
}

/* A link was followed. What fails before the first row is answered like a call. */
static enum rc handle_link(struct request *r, const char *op, enum access_class class,
                           enum rc (*run)(struct request *r, struct err *e), struct err *e)
{
	enum rc rc = request_need(r, class, e);

	if (rc == RC_OK)
		rc = run(r, e);
	if (rc == RC_OK) {
		r->result = json_object();
		return RC_OK;
	}
	if (r->accounted) /* it may have begun */
		return rc;
	put_error(r, error_of(rc), e->text);
	return count(r, op, error_of(rc), e);
}

/* What mm-httpd says of somebody who could not say who he is. Counted by the reason, and by the key
 * where it is a principal's: so many kinds are all that there can be, whoever tries and whatever
 * mm-httpd says. */
static enum rc take_refused(struct request *r, const json_t *said, struct err *e)
{
	struct slice key = json_member_text(said, "key");
	int64_t count = json_member_int(said, "count", 0);
	enum api_error why = api_error_find(json_member_text(said, "why"));
	char named[64] = "";
	const struct asked asked = { .event = "api_refused",
		                     .who = "nobody",
		                     .counted = named,
		                     .op = "api",
		                     .outcome = why == API_ERRORS ? "" : api_error_name(why),
		                     .key = key,
		                     .address = json_member_text(said, "address"),
		                     .times = (uint64_t)count };

	if (why == API_ERRORS || count < 1 || count > INT32_MAX)
		return err_set(e, RC_INVALID, "nobody is refused like that");
	if (principal_by_key(r->principals, key))
		(void)snprintf(named, sizeof(named), "%.*s", (int)key.len, (const char *)key.at);
	return tally_add(r->en->tally, &asked, e);
}

static enum rc handle_refused(struct request *r, struct err *e)
{
	const json_t *list = json_member_array(r->args, "refused");
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < json_array_size(list); i++)
		rc = take_refused(r, json_array_get(list, i), e);
	r->result = json_object();
	return rc;
}

static enum rc finish(struct request *r, struct err *e)
{
	struct buf text;
	enum rc rc;

	buf_init(&text, LIMIT_REQUEST);
	rc = json_write(&text, r->result);
	if (rc == RC_OK)
		rc = request_done(r->w, buf_slice(&text), e);
	buf_free(&text);
	return rc;
}

/* `who` is what r->who points at. */
static enum rc handle(struct request *r, char who[WHO_ROOM], struct err *e)
{
	struct slice op = json_member_text(r->args, "op");

	if (slice_equal(op, slice_str("api-refused")))
		return handle_refused(r, e);
	if (!identify(r, who)) {
		r->refused = true;
		put_error(r, API_UNKNOWN_CLIENT, "the principal of this access key may not ask");
		return count(r, "api", API_UNKNOWN_CLIENT, e);
	}
	if (slice_equal(op, slice_str("api-message")))
		return handle_link(r, "api-message", ACCESS_READ_MESSAGE, control_send_message, e);
	if (slice_equal(op, slice_str("api-import")))
		return handle_link(r, "api-import", ACCESS_CHANGE_FLOW, control_take_upload, e);
	if (!slice_equal(op, slice_str("api")))
		return err_set(e, RC_INVALID, "there is no such request");
	handle_call(r, model_find(json_member_text(r->args, "operation")),
	            json_member_object(r->args, "input"));
	return RC_OK;
}

void control_handle(void *arg, const struct request_peer *peer, struct slice json,
                    struct request_writer *w)
{
	struct err e = { 0 };
	char who[WHO_ROOM] = "nobody";
	struct slice bytes;
	struct slice text = slice_cut(json, 0, &bytes);
	struct request r = { .en = arg, .bytes = bytes, .w = w, .who = who };
	json_t *args = NULL;
	enum rc rc = json_read(&args, text, &e);

	MUST(peer->front);
	r.args = args;
	r.principals = engine_principals(r.en);
	if (rc == RC_OK)
		rc = handle(&r, who, &e);
	if (rc == RC_OK)
		rc = finish(&r, &e);
	if (rc != RC_OK && !request_ended(w))
		request_fail(w, &e);
	json_decref(args);
	json_decref(r.result);
	principals_unref(&r.principals);
}

size_t control_request_bytes(void *arg, const struct request_peer *peer)
{
	(void)arg;
	(void)peer;
	return LIMIT_HTTP_BODY + 65536;
}
