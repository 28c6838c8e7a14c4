#include "api/requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/ops.h"
#include "base/limits.h"
#include "base/log.h"

static const struct operation {
	const char *op;
	enum rc (*run)(struct request *r, struct err *e);
} operations[] = {
#define OPERATION(word, handler, what) { word, handler },
#include "api/operations.h"
#undef OPERATION
};

enum rc request_row(struct request *r, json_t *row, struct err *e)
{
	struct buf line;
	enum rc rc;

	buf_init(&line, LIMIT_REQUEST);
	rc = json_write(&line, row);
	json_decref(row);
	if (rc != RC_OK)
		rc = err_set(e, rc, "a row is too long");
	else
		rc = request_json(r->w, buf_slice(&line), e);
	buf_free(&line);
	return rc;
}

enum rc request_text(const struct request *r, const char *name, struct slice *out, struct err *e)
{
	*out = json_member_text(r->args, name);
	if (!out->at)
		return err_set(e, RC_INVALID, "the request has no %s", name);
	return RC_OK;
}

static void list_archives(struct config *c, struct buf *out)
{
	for (size_t i = 0; i < config_archive_count(c); i++)
		if (buf_addf(out, "%s%s", i ? ", " : "", config_archive_at(c, i)->name) != RC_OK)
			return;
}

enum rc request_archive(const struct request *r, struct config *c, const struct archive_info **out,
                        struct err *e)
{
	struct slice name;
	struct buf known;
	enum rc rc = request_text(r, "archive", &name, e);

	if (rc != RC_OK)
		return rc;
	*out = config_archive(c, name);
	if (*out)
		return RC_OK;
	buf_init(&known, 400);
	list_archives(c, &known);
	rc = err_set(e, RC_INVALID, "there is no archive \"%.*s\"; there %s%s",
	             (int)MIN_OF(name.len, 64u), (const char *)name.at,
	             known.len ? "are: " : "is none yet (mmctl apply)", buf_text(&known));
	buf_free(&known);
	return rc;
}

enum rc request_id(const struct request *r, struct message_id *id, struct err *e)
{
	struct slice text;
	enum rc rc = request_text(r, "id", &text, e);

	if (rc == RC_OK && !id_parse(id, text))
		rc = err_set(e, RC_INVALID,
		             "\"%.*s\" is not a message id (26 characters of 0-9 a-v)",
		             (int)MIN_OF(text.len, 64u), (const char *)text.at);
	return rc;
}

static enum rc finish(struct request *r, struct err *e)
{
	struct buf text;
	enum rc rc;

	if (!r->result)
		r->result = json_object();
	buf_init(&text, LIMIT_REQUEST);
	rc = json_write(&text, r->result);
	if (rc == RC_OK)
		rc = request_done(r->w, buf_slice(&text), e);
	buf_free(&text);
	return rc;
}

static enum rc run(struct request *r, struct err *e)
{
	struct slice op;
	enum rc rc = request_text(r, "op", &op, e);

	for (size_t i = 0; rc == RC_OK && i < COUNT(operations); i++)
		if (slice_equal(op, slice_str(operations[i].op))) {
			rc = operations[i].run(r, e);
			return rc == RC_OK ? finish(r, e) : rc;
		}
	return rc == RC_OK ? err_set(e, RC_INVALID, "there is no request \"%.*s\"",
	                             (int)MIN_OF(op.len, 64u), (const char *)op.at)
	                   : rc;
}

static bool may_ask(struct engine *en, const struct request_peer *peer, const char *who)
{
	struct err e = { 0 };

	if (peer->uid == 0 || peer->uid == geteuid())
		return true;
	if (engine_account(en, "denied", who, NULL, &e) != RC_OK)
		log_error("the audit log: %s", e.text);
	return false;
}

void api_handle(void *arg, const struct request_peer *peer, struct slice json,
                struct request_writer *w)
{
	struct err e = { 0 };
	char who[32];
	json_t *args = NULL;
	struct slice bytes;
	struct slice text = slice_cut(json, 0, &bytes);
	struct request r = { .en = arg, .bytes = bytes, .who = who, .w = w };
	enum rc rc = RC_OK;

	(void)snprintf(who, sizeof(who), "uid %u", (unsigned)peer->uid);
	if (!may_ask(arg, peer, who))
		rc = err_set(&e, RC_DENIED, "this user may not ask this mmd");
	if (rc == RC_OK)
		rc = json_read(&args, text, &e);
	r.args = args;
	if (rc == RC_OK)
		rc = run(&r, &e);
	if (rc != RC_OK && !request_ended(w))
		request_fail(w, &e);
	json_decref(args);
	json_decref(r.result);
}
