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

	r->who = who;
	(void)snprintf(who, WHO_ROOM, "nobody");
	r->principals = engine_principals(r->en);
	r->known = principals_generation(r->principals);
	p = principal_by_name(r->principals, name);
	if (!p)
		return false;
	(void)snprintf(who, WHO_ROOM, "principal %s (%s%.*s)", p->name, link ? "link" : "key ",
	               (int)MIN_OF(key.len, 20U), (const char *)key.at);
	r->principal = p;
	if (p->disabled || (!link && principal_by_key(r->principals, key) != p))
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
	return rc;
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

void control_handle(void *arg, const struct request_peer *peer, struct slice json,
                    struct request_writer *w)
{
	struct err e = { 0 };
	char who[WHO_ROOM];
	struct slice bytes;
	struct slice text = slice_cut(json, 0, &bytes);
	struct request r = { .en = arg, .bytes = bytes, .w = w };
	json_t *args = NULL;
	enum rc rc = json_read(&args, text, &e);

	MUST(peer->front);
	r.args = args;
	if (rc == RC_OK && !identify(&r, who)) {
		r.refused = true;
		put_error(&r, API_UNKNOWN_CLIENT, "the principal of this access key may not ask");
		if (count(&r, "api", API_UNKNOWN_CLIENT, &e) != RC_OK)
			log_error("the audit log: %s", e.text);
	} else if (rc == RC_OK && slice_equal(json_member_text(args, "op"), slice_str("api"))) {
		handle_call(&r, model_find(json_member_text(args, "operation")),
		            json_member_object(args, "input"));
	} else if (rc == RC_OK &&
	           slice_equal(json_member_text(args, "op"), slice_str("api-message"))) {
		rc = handle_link(&r, "api-message", ACCESS_READ_MESSAGE, control_send_message, &e);
	} else if (rc == RC_OK &&
	           slice_equal(json_member_text(args, "op"), slice_str("api-import"))) {
		rc = handle_link(&r, "api-import", ACCESS_CHANGE_FLOW, control_take_upload, &e);
	} else if (rc == RC_OK) {
		rc = err_set(&e, RC_INVALID, "there is no such request");
	}
	if (rc == RC_OK)
		rc = finish(&r, &e);
	if (rc != RC_OK && !request_ended(w))
		request_fail(w, &e);
	json_decref(args);
	json_decref(r.result);
	principals_unref(&r.principals);
}

void control_refused(struct engine *en, struct slice why, struct slice key, struct slice address,
                     uint64_t count)
{
	json_t *detail = json_object();
	struct err e = { 0 };

	json_put(detail, "why", json_of_slice(why));
	json_put(detail, "key", json_of_slice(key));
	json_put(detail, "address", json_of_slice(address));
	json_put_int(detail, "count", (int64_t)count);
	if (engine_account(en, "api_refused", "nobody", detail, &e) != RC_OK)
		log_error("the audit log: %s", e.text);
}

enum rc control_link_secret(struct engine *en, char *out, size_t room, struct err *e)
{
	struct db *db;
	enum rc rc;

	MUST(room > LINK_SECRET);
	rc = engine_reader(en, &db, e);
	if (rc == RC_OK)
		rc = link_secret(db, out, e);
	engine_reader_end(en, &db);
	return rc;
}
