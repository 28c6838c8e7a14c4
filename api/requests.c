#include "api/requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/account.h"
#include "api/ops.h"
#include "api/principal.h"
#include "base/limits.h"
#include "base/log.h"

#define REQUEST_OF_STRANGER 4096
#define REQUEST_OF_READER   (1 << 20) /* a query has 64 KiB at most */

enum enters { OWN, PLAIN };

static const struct operation {
	const char *op;
	enum rc (*run)(struct request *r, struct err *e);
	enum access_class class;
	enum enters enters;
} operations[] = {
#define OPERATION(word, handler, class, enters, what) { word, handler, class, enters },
#include "api/operations.h"
#undef OPERATION
};

static const struct access owner = { .role = ROLE_ADMIN };

/* ---- who asks ---- */

static bool same_access(const struct access *a, const struct access *b)
{
	if (a->role != b->role || a->all_archives != b->all_archives ||
	    a->archive_count != b->archive_count)
		return false;
	for (size_t i = 0; i < a->archive_count; i++)
		if (strcmp(a->archives[i], b->archives[i]) != 0)
			return false;
	return true;
}

static bool still_may(struct request *r)
{
	struct principals *now;
	const struct principal *p;
	bool may = true;

	if (!r->principal)
		return true;
	now = engine_principals(r->en);
	if (principals_generation(now) != r->known) {
		p = principal_by_name(now, slice_str(r->principal->name));
		may = p && !p->disabled && same_access(&p->access, r->access);
		r->refused = !may;
		r->known = principals_generation(now);
	}
	principals_unref(&now);
	return may;
}

static bool is_owner(const struct request_peer *peer)
{
	return peer->uid == 0 || peer->uid == geteuid();
}

/* Without access: nobody whom this mmd knows. */
static void identify(struct request *r, const struct request_peer *peer, char who[WHO_ROOM])
{
	const struct principal *p;

	r->who = who;
	(void)snprintf(who, WHO_ROOM, "uid %u", (unsigned)peer->uid);
	if (is_owner(peer)) {
		r->access = &owner;
		return;
	}
	r->principals = engine_principals(r->en);
	r->known = principals_generation(r->principals);
	p = principal_by_uid(r->principals, peer->uid);
	if (!p)
		return;
	(void)snprintf(who, WHO_ROOM, "principal %s (uid %u)", p->name, (unsigned)peer->uid);
	r->principal = p;
	r->access = p->disabled ? NULL : &p->access;
}

size_t api_request_bytes(void *arg, const struct request_peer *peer)
{
	struct principals *ps;
	const struct principal *p;
	size_t most = REQUEST_OF_STRANGER;

	if (is_owner(peer))
		return LIMIT_REQUEST;
	ps = engine_principals(arg);
	p = principal_by_uid(ps, peer->uid);
	if (p && !p->disabled)
		most = access_may(&p->access, ACCESS_CHANGE_FLOW, NULL) ? LIMIT_REQUEST
		                                                        : REQUEST_OF_READER;
	principals_unref(&ps);
	return most;
}

enum rc request_need(struct request *r, enum access_class class, struct err *e)
{
	if (access_may(r->access, class, NULL))
		return RC_OK;
	r->refused = true;
	return err_set(e, RC_DENIED, "the role of %s may not %s", access_role_name(r->access->role),
	               access_class_name(class));
}

bool request_sees(const struct request *r, const struct archive_info *a)
{
	return access_may(r->access, ACCESS_READ_ARCHIVE, a->id);
}

bool request_sees_all(const struct request *r)
{
	return access_everywhere(r->access, ACCESS_READ_ARCHIVE);
}

/* ---- for handlers ---- */

enum rc request_account(struct request *r, const char *event, json_t *detail, struct err *e)
{
	enum rc rc = engine_account(r->en, event, r->who, detail, e);

	r->accounted = rc == RC_OK;
	return rc;
}

enum rc request_allowed(struct request *r, struct err *e)
{
	return still_may(r) ? RC_OK
	                    : err_set(e, RC_DENIED, "the rights of this principal have changed");
}

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
		rc = request_allowed(r, e);
	if (rc == RC_OK)
		rc = request_json(r->w, buf_slice(&line), e);
	buf_free(&line);
	return rc;
}

enum rc request_piece(struct request *r, struct slice bytes, struct err *e)
{
	enum rc rc = request_allowed(r, e);

	return rc == RC_OK ? request_bytes(r->w, bytes, e) : rc;
}

enum rc request_text(const struct request *r, const char *name, struct slice *out, struct err *e)
{
	*out = json_member_text(r->args, name);
	if (!out->at)
		return err_set(e, RC_INVALID, "the request has no %s", name);
	return RC_OK;
}

static void list_archives(const struct request *r, struct config *c, struct buf *out)
{
	for (size_t i = 0; i < config_archive_count(c); i++) {
		const struct archive_info *a = config_archive_at(c, i);

		if (request_sees(r, a) &&
		    buf_addf(out, "%s%s", out->len ? ", " : "", a->name) != RC_OK)
			return;
	}
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
	if (*out && request_sees(r, *out) && (*out)->pending)
		return err_set(e, RC_EXISTS, "archive %s is being deleted", (*out)->name);
	if (*out && request_sees(r, *out))
		return RC_OK;
	*out = NULL;
	buf_init(&known, 400);
	list_archives(r, c, &known);
	rc = err_set(e, RC_INVALID, "there is no archive \"%.*s\"; there %s%s",
	             (int)MIN_OF(name.len, 64u), (const char *)name.at,
	             known.len ? "are: " : "is none yet (mmctl apply)", buf_text(&known));
	buf_free(&known);
	return rc;
}

enum rc request_id_of(struct slice text, struct message_id *id, struct err *e)
{
	if (text.at && id_parse(id, text))
		return RC_OK;
	return err_set(e, RC_INVALID,
	               "\"%.*s\" is not a message id (26 characters of 0-9 a-v, the last one of "
	               "048cgkos)",
	               (int)MIN_OF(text.len, 64u), (const char *)text.at);
}

enum rc request_id(const struct request *r, struct message_id *id, struct err *e)
{
	struct slice text;
	enum rc rc = request_text(r, "id", &text, e);

	return rc == RC_OK ? request_id_of(text, id, e) : rc;
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

/* The entry of a request that has none of its own. `failed` NULL: it is about to run. */
static enum rc enter(struct request *r, const struct operation *o, const struct err *failed,
                     struct err *e)
{
	const struct asked asked = {
		.event = r->refused ? "denied" : "request",
		.who = r->who,
		.counted = r->access || r->principal ? r->who : "",
		.op = o ? o->op : "",
		.outcome = failed && !r->refused ? rc_name(failed->code) : NULL,
		.archive = r->access ? json_member_text(r->args, "archive") : slice_of(NULL, 0),
	};
	enum rc rc = tally_add(r->en->tally, &asked, e);

	r->accounted = rc == RC_OK;
	return rc;
}

static enum rc find_operation(const struct request *r, const struct operation **out, struct err *e)
{
	struct slice op;
	enum rc rc = request_text(r, "op", &op, e);

	for (size_t i = 0; rc == RC_OK && i < COUNT(operations); i++)
		if (slice_equal(op, slice_str(operations[i].op))) {
			*out = &operations[i];
			return RC_OK;
		}
	return rc == RC_OK ? err_set(e, RC_INVALID, "there is no request \"%.*s\"",
	                             (int)MIN_OF(op.len, 64u), (const char *)op.at)
	                   : rc;
}

/* How things are is told also when the log can't be written: the disk may be full. */
static enum rc enter_plain(struct request *r, const struct operation *o, struct err *e)
{
	enum rc rc = o->enters == PLAIN ? enter(r, o, NULL, e) : RC_OK;

	if (rc == RC_OK || o->class != ACCESS_STATUS)
		return rc;
	log_error("the audit log: %s", e->text);
	return RC_OK;
}

static enum rc run(struct request *r, const struct operation **o, struct slice text, struct err *e)
{
	json_t *args = NULL;
	enum rc rc = RC_OK;

	r->refused = !r->access;
	if (r->refused)
		return err_set(e, RC_DENIED, "this user may not ask this mmd");
	rc = json_read(&args, text, e);
	r->args = args;
	if (rc == RC_OK)
		rc = find_operation(r, o, e);
	if (rc == RC_OK)
		rc = request_need(r, (*o)->class, e);
	if (rc == RC_OK)
		rc = enter_plain(r, *o, e);
	if (rc == RC_OK)
		rc = (*o)->run(r, e);
	if (rc == RC_OK && !r->accounted && (*o)->enters == OWN)
		rc = enter(r, *o, NULL, e); /* it found nothing to do */
	return rc == RC_OK ? finish(r, e) : rc;
}

void api_handle(void *arg, const struct request_peer *peer, struct slice json,
                struct request_writer *w)
{
	struct err e = { 0 };
	struct err unentered = { 0 };
	char who[WHO_ROOM];
	struct slice bytes;
	struct slice text = slice_cut(json, 0, &bytes);
	struct request r = { .en = arg, .bytes = bytes, .w = w };
	const struct operation *o = NULL;
	enum rc rc;

	identify(&r, peer, who);
	rc = run(&r, &o, text, &e);
	if (rc != RC_OK && (r.refused || !r.accounted) && enter(&r, o, &e, &unentered) != RC_OK)
		log_error("the audit log: %s", unentered.text);
	if (rc != RC_OK && !request_ended(w))
		request_fail(w, &e);
	json_decref((json_t *)(uintptr_t)r.args);
	json_decref(r.result);
	principals_unref(&r.principals);
}
