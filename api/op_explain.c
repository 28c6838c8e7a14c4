/* api/op_explain.c - what a rule set does with a message, rule by rule and condition by condition;
 * nothing is done */
#include <stdio.h>
#include <stdlib.h>

#include "api/ops.h"
#include "api/trial.h"
#include "api/message_get.h"
#include "base/limits.h"
#include "ingest/decided.h"

#define SHOWN_READINGS 50  /* of a condition */
#define SHOWN_BYTES    500 /* of a reading */

/* One rule and the recipients that it was the same for, on its way to the asker. */
struct explaining {
	struct trial t;
	struct mail mail;
	struct parse_job job;
	const struct archive_info *archive; /* NULL: the message came with the request */
	struct buf meta;
	struct buf raw;
	json_t *pending;    /* the row that waits for more recipients; or NULL */
	json_t *conditions; /* of the recipient that is judged */
	json_t *compared;   /* of the condition that is judged, of the message */
	json_t *own;        /* and of the recipient alone */
	json_t *told;       /* what each condition compared of the message, by its place */
	uint64_t more;      /* readings that are not shown */
	bool hit_shown;
	enum rc rc; /* the first failure while judging */
	struct err *e;
};

/* ---- rows ---- */

static void send_pending(struct explaining *x)
{
	json_t *row = x->pending;

	x->pending = NULL;
	if (row && x->rc == RC_OK)
		x->rc = request_row(x->t.r, row, x->e);
	else
		json_decref(row);
}

static json_t *reading_json(const struct rule_compared *c)
{
	json_t *one = json_object();

	json_put_text(one, "what", slice_str(c->what));
	json_put(one, "value", json_of_slice(slice_part(c->value, 0, SHOWN_BYTES)));
	if (c->value.len > SHOWN_BYTES)
		json_put_int(one, "bytes", (int64_t)c->value.len);
	json_put_bool(one, "hit", c->hit);
	return one;
}

/* The first hit is among what is shown, wherever it is. */
static void take_compared(void *arg, const struct rule_compared *c)
{
	struct explaining *x = arg;

	if (x->rc != RC_OK)
		return; /* nobody listens any more */
	if (c->own) {
		json_push(x->own, reading_json(c));
		return;
	}
	if (json_array_size(x->compared) >= SHOWN_READINGS && (!c->hit || x->hit_shown)) {
		x->more++;
		return;
	}
	json_push(x->compared, reading_json(c));
	x->hit_shown = x->hit_shown || c->hit;
}

static json_t *rule_json(const struct explaining *x, unsigned rule)
{
	return json_array_get(json_member_array(x->t.json, "Rules"), rule);
}

/* What was compared of the message, which is told once and shown for each recipient. */
static json_t *of_message(struct explaining *x, const struct rule_step *s)
{
	json_t *now = x->compared;
	char place[40];

	(void)snprintf(place, sizeof(place), "%u%c%d", s->rule, s->unless ? 'u' : 'c',
	               s->condition);
	if (s->again)
		return json_incref(json_object_get(x->told, place));
	if (x->more) {
		json_t *more = json_object();

		json_put_int(more, "more", (int64_t)x->more);
		json_push(now, more);
	}
	x->more = 0;
	x->hit_shown = false;
	x->compared = json_array();
	json_put(x->told, place, json_incref(now));
	return now;
}

/* With what is the recipient's own; a list is shared where there is none. */
static json_t *take_readings(struct explaining *x, const struct rule_step *s)
{
	json_t *list = of_message(x, s);
	json_t *all;

	if (json_array_size(x->own) == 0)
		return list;
	all = json_copy(list);
	MUST(all && json_array_extend(all, x->own) == 0);
	json_decref(list);
	json_decref(x->own);
	x->own = json_array();
	return all;
}

static void end_condition(struct explaining *x, const struct rule_step *s)
{
	const json_t *list =
	        json_member_array(rule_json(x, s->rule), s->unless ? "Unless" : "Conditions");
	json_t *one = json_object();

	json_put_text(one, "in", slice_str(s->unless ? "Unless" : "Conditions"));
	json_put_int(one, "index", s->condition);
	json_put_bool(one, "held", s->held);
	json_put(one, "condition", json_incref(json_array_get(list, (size_t)s->condition)));
	json_put(one, "compared", take_readings(x, s));
	json_push(x->conditions, one);
}

static bool same_row(const json_t *row, const struct explaining *x, const struct rule_step *s)
{
	return row && json_member_int(row, "rule", -1) == (int64_t)s->rule &&
	       json_member_bool(row, "applies", false) == s->held &&
	       json_equal(json_object_get(row, "conditions"), x->conditions);
}

static void end_rule(struct explaining *x, const struct rule_step *s)
{
	json_t *recipient = json_of_slice(s->recipient);

	if (same_row(x->pending, x, s)) {
		json_push(json_object_get(x->pending, "recipients"), recipient);
		json_decref(x->conditions);
		x->conditions = json_array();
		return;
	}
	send_pending(x);
	x->pending = json_object();
	json_put_int(x->pending, "rule", s->rule);
	json_put_text(x->pending, "rule_name", slice_str(s->rule_name));
	json_put_bool(x->pending, "applies", s->held);
	json_put(x->pending, "recipients", json_array());
	json_push(json_object_get(x->pending, "recipients"), recipient);
	json_put(x->pending, "conditions", x->conditions);
	x->conditions = json_array();
}

static void take_step(void *arg, const struct rule_step *s)
{
	struct explaining *x = arg;

	if (x->rc != RC_OK)
		return;
	if (s->condition < 0)
		end_rule(x, s);
	else
		end_condition(x, s);
}

static json_t *addresses_of(const struct rule_outcome *o, const struct rule_execution *done)
{
	json_t *list = json_array();

	for (size_t i = 0; i < done->recipient_count; i++)
		json_push(list, json_of_slice(o->recipients[done->recipients[i]].address));
	return list;
}

static enum rc send_actions(struct explaining *x, const struct rule_outcome *o)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < o->execution_count && rc == RC_OK; i++) {
		const struct rule_execution *done = &o->executions[i];
		const json_t *actions = json_member_array(rule_json(x, done->rule), "Actions");
		json_t *row = json_object();

		json_put_int(row, "done_by", done->rule);
		json_put_text(row, "rule_name", slice_str(done->rule_name));
		json_put(row, "action", json_incref(json_array_get(actions, done->action)));
		json_put_bool(row, "failed", done->failed);
		json_put(row, "recipients", addresses_of(o, done));
		rc = request_row(x->t.r, row, x->e);
	}
	return rc;
}

static json_t *recipients_json(const struct rule_outcome *o)
{
	static const char *const states[] = { [RECIPIENT_LIVE] = "left",
		                              [RECIPIENT_DROPPED] = "dropped",
		                              [RECIPIENT_REPLACED] = "replaced" };
	json_t *list = json_array();

	for (size_t i = 0; i < o->recipient_count; i++) {
		const struct rule_recipient *r = &o->recipients[i];
		json_t *one = json_object();

		json_put(one, "address", json_of_slice(r->address));
		json_put_text(one, "state", slice_str(states[r->state]));
		json_put_bool(one, "archived", r->archived);
		json_put_bool(one, "matched", r->acted);
		json_push(list, one);
	}
	return list;
}

static json_t *result_json(const struct explaining *x, const struct rule_outcome *o)
{
	const json_t *verdicts = mail_verdicts(&x->mail);
	json_t *out = json_object();

	json_put_text(out, "rule_set", slice_str(rule_set_id(x->t.rules)));
	json_put_text(out, "rule_set_name", slice_str(rule_set_name(x->t.rules)));
	json_put_int(out, "rule_set_version", rule_set_version(x->t.rules));
	if (x->archive)
		json_put_text(out, "archive", slice_str(x->archive->name));
	json_put_text(out, "disposition", slice_str(decided_word(o)));
	json_put(out, "recipients", recipients_json(o));
	json_put(out, "verdicts",
	         verdicts ? json_incref((json_t *)(uintptr_t)verdicts) : json_null());
	return out;
}

/* ---- the message ---- */

/* Who reads what a message's condition compared has read the message. */
static enum rc account(struct explaining *x, const char *id)
{
	json_t *detail = json_object();

	if (id) {
		json_put_text(detail, "archive", slice_str(x->archive->name));
		json_put_int(detail, "archive_number", x->archive->number);
		json_put_text(detail, "id", slice_str(id));
		json_put_text(detail, "form", slice_str("explain"));
	} else {
		json_put_text(detail, "op", slice_str("explain"));
	}
	return request_account(x->t.r, id ? "read" : "request", detail, x->e);
}

static enum rc take_archived(struct explaining *x)
{
	char text[ID_TEXT + 1];
	struct message_id id;
	enum rc rc = request_id(x->t.r, &id, x->e);

	if (rc == RC_OK)
		rc = request_message(x->t.r, x->t.config, &id, &x->meta, &x->raw, &x->archive,
		                     x->e);
	if (rc != RC_OK)
		return rc;
	id_format(text, &id);
	rc = account(x, text);
	if (rc == RC_OK)
		rc = mail_read_stored(&x->mail, &id, buf_slice(&x->meta), x->e);
	if (rc == RC_OK && !x->t.rules && !x->mail.rule_set.len)
		return err_set(x->e, RC_INVALID,
		               "no rule set judged this message (it was imported): name one by "
		               "--rule-set");
	return rc == RC_OK && !x->t.rules
	               ? trial_version(&x->t, x->mail.rule_set, x->mail.rule_set_version, x->e)
	               : rc;
}

/* The request has the bytes, and as "receipt" what would be kept beside them. */
static enum rc take_given(struct explaining *x)
{
	struct message_id id = { { 0 } };
	json_t *meta;
	enum rc rc;

	if (!x->t.rules)
		return err_set(x->e, RC_INVALID, "which rule set?");
	meta = json_object();
	if (json_member_object(x->t.r->args, "receipt"))
		json_put(meta, "receipt", json_incref(json_member_object(x->t.r->args, "receipt")));
	rc = json_write(&x->meta, meta);
	json_decref(meta);
	if (rc == RC_OK)
		rc = buf_add(&x->raw, x->t.r->bytes);
	if (rc != RC_OK)
		return err_set(x->e, rc, "the message is too long");
	rc = mail_read_stored(&x->mail, &id, buf_slice(&x->meta), x->e);
	if (rc == RC_OK &&
	    (x->mail.envelope_count == 0 || x->mail.envelope_count > LIMIT_SMTP_RECIPIENTS))
		return err_set(x->e, RC_INVALID, "a message has 1 to %d recipients",
		               LIMIT_SMTP_RECIPIENTS);
	return rc == RC_OK ? account(x, NULL) : rc;
}

static enum rc judge(struct explaining *x)
{
	struct trial_message m = { &x->mail, &x->job.parsed, x->raw.len };
	struct rule_trace trace = { take_step, x, take_compared, NULL };
	struct rule_outcome o;
	enum rc rc;

	x->conditions = json_array();
	x->compared = json_array();
	x->own = json_array();
	x->told = json_object();
	rc = trial_run(&x->t, &m, &trace, &o, x->e);
	if (rc != RC_OK)
		return rc;
	send_pending(x);
	rc = x->rc == RC_OK ? send_actions(x, &o) : x->rc;
	if (rc == RC_OK)
		x->t.r->result = result_json(x, &o);
	rule_outcome_free(&o);
	return rc;
}

static void end(struct explaining *x)
{
	parse_job_free(&x->job);
	json_decref(x->pending);
	json_decref(x->conditions);
	json_decref(x->compared);
	json_decref(x->own);
	json_decref(x->told);
	mail_free(&x->mail);
	buf_free(&x->meta);
	buf_free(&x->raw);
	trial_end(&x->t);
}

static enum rc explain(struct request *r, enum rc (*take)(struct explaining *x), struct err *e)
{
	struct explaining x = { .e = e };
	enum rc rc;

	buf_init(&x.meta, LIMIT_REQUEST);
	buf_init(&x.raw, LIMIT_REQUEST);
	rc = trial_begin(&x.t, r, e);
	if (rc == RC_OK)
		rc = take(&x);
	if (rc == RC_OK)
		rc = message_parse(x.raw.len ? buf_slice(&x.raw) : slice_str(""), false, &x.job, e);
	if (rc == RC_OK)
		rc = judge(&x);
	end(&x);
	return rc;
}

enum rc op_explain(struct request *r, struct err *e)
{
	return explain(r, take_given, e);
}

/* By what a rule does with a message it can be told what the message says, and rules are shown: who
 * asks must be allowed both, to read the message and to see rule sets. */
enum rc op_explain_message(struct request *r, struct err *e)
{
	enum rc rc = request_need(r, ACCESS_READ_CONFIG, e);

	return rc == RC_OK ? explain(r, take_archived, e) : rc;
}
