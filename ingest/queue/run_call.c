/* ingest/queue/run_call.c - WriteToS3, PublishToSns, InvokeLambda, DeliverToQBusiness: one try, and
 * what comes of it */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sealed.h"
#include "ingest/action/compose.h"
#include "ingest/action/payload.h"
#include "ingest/queue/run_core.h"

#define CALL_MS                                                                                    \
	INT64_C(120000) /* without a word of how long a function takes; S3 takes 40 MB in it at    \
	                   350 KB/s */
#define MINUTE_MS INT64_C(60000)

/* How long it is tried: a function as its rule says, from the first try on. */
static int64_t lifetime_of(const struct runner *r, const struct queue_job *j)
{
	const json_t *minutes = json_object_get(json_object_get(j->spec, "do"), "RetryTimeMinutes");

	return json_is_integer(minutes) ? json_integer_value(minutes) * MINUTE_MS
	                                : r->settings.lifetime_ms;
}

static enum rc fail(struct runner *r, const struct queue_job *j, const char *why, struct err *e)
{
	const struct queue_answer failed = { .said = RULE_SAID_FAILED };
	enum rc rc = queue_dead(r->o.queue, j->number, NULL, why, &failed, clock_now_ms(), e);

	if (rc == RC_OK)
		run_log(r, j, why);
	return rc;
}

static enum rc again(struct runner *r, const struct queue_job *j, const char *why, struct err *e)
{
	if (run_is_old(r, j, lifetime_of(r, j)))
		return fail(r, j, why, e);
	return run_later(r, j, run_retry_ms(r, j), why, e);
}

/* ---- a try ---- */

static json_t *recipients_of(const struct queue_job *j)
{
	const json_t *to = json_member_array(j->spec, "recipients");
	json_t *list = json_array();

	for (size_t i = 0; i < json_array_size(to); i++)
		json_push(list, json_incref(json_object_get(json_array_get(to, i), "to")));
	return list;
}

/* The message with the headers of rules in front, in memory that a call may have as its body. */
static enum rc compose(struct runner *r, struct queue_job *j, const struct mail *mail, int *fd,
                       uint64_t *bytes, struct err *e)
{
	const struct compose c = { .mail = mail,
		                   .raw = buf_slice(&j->raw),
		                   .hostname = r->o.hostname,
		                   .instance = r->o.instance,
		                   .headers = json_member_array(j->spec, "headers"),
		                   .now_ms = clock_now_ms() };

	return compose_memory(&c, fd, bytes, e);
}

struct calling {
	struct payload payload;
	int fd;
	uint64_t bytes;
	struct slice whole; /* mapped */
	json_t *recipients;
};

static enum rc make(struct runner *r, struct queue_job *j, const struct mail *mail,
                    struct calling *c, struct err *e)
{
	const struct payload_kind *kind = payload_kind(slice_str(rule_action_word(j->kind)));
	struct payload_facts f = { .mail = mail,
		                   .action = json_object_get(j->spec, "do"),
		                   .recipients = c->recipients,
		                   .endpoints = r->o.endpoints,
		                   .now_ms = clock_now_ms() };
	enum rc rc = compose(r, j, mail, &c->fd, &c->bytes, e);

	MUST(kind);
	if (rc == RC_OK)
		rc = sealed_map(&c->whole, c->fd, e);
	if (rc != RC_OK)
		return rc;
	f.raw = c->whole;
	rc = payload_make(&c->payload, kind, &f, e);
	if (rc == RC_OK && !kind->gives_body) {
		c->payload.call.body = c->fd;
		c->payload.call.body_bytes = c->bytes;
	}
	return rc;
}

static enum rc try_it(struct runner *r, struct queue_job *j, const struct mail *mail, struct err *e)
{
	struct calling c = { .fd = -1, .recipients = recipients_of(j) };
	struct err why = { 0 };
	enum rc rc;

	payload_init(&c.payload);
	rc = r->calls ? make(r, j, mail, &c, &why)
	              : err_set(&why, RC_NOTFOUND, "endpoints.%s isn't configured", j->destination);
	if (rc == RC_OK) {
		struct attempt *a = run_attempt(r, j, true);

		c.payload.call.deadline_ms =
		        c.payload.call.deadline_ms ? c.payload.call.deadline_ms : CALL_MS;
		a->number = calls_ask(r->calls, &c.payload.call);
	} else {
		run_over(r, j->number);
		rc = rc == RC_LIMIT || rc == RC_INVALID || rc == RC_NOTFOUND
		             ? fail(r, j, why.text, e)
		             : again(r, j, why.text, e);
	}
	payload_free(&c.payload);
	sealed_unmap(&c.whole);
	if (c.fd >= 0)
		(void)close(c.fd);
	json_decref(c.recipients);
	return rc;
}

enum rc run_call(struct runner *r, struct queue_job *j, struct err *e)
{
	struct mail mail;
	enum rc rc = mail_read_stored(&mail, &j->id, buf_slice(&j->meta), e);

	if (rc == RC_OK)
		rc = try_it(r, j, &mail, e);
	mail_free(&mail);
	return rc;
}

/* ---- what comes of it ---- */

static enum rc done(struct runner *r, const struct queue_job *j, enum payload_disposition d,
                    struct err *e)
{
	static const enum rule_said said[] = { [PAYLOAD_CONTINUE] = RULE_SAID_DONE,
		                               [PAYLOAD_STOP_RULE] = RULE_SAID_STOP_RULE,
		                               [PAYLOAD_STOP_RULE_SET] = RULE_SAID_STOP_RULE_SET };
	const struct queue_answer answer = { .said = said[d] };
	enum rc rc = queue_done(r->o.queue, j->number, false, &answer, e);

	if (rc == RC_OK)
		run_log(r, j, NULL);
	return rc;
}

enum rc run_call_ended(struct runner *r, struct queue_job *j, const struct call_result *result,
                       struct err *e)
{
	const struct payload_kind *kind = payload_kind(slice_str(rule_action_word(j->kind)));
	struct payload_result p = { .end = PAYLOAD_LATER };

	MUST(kind);
	if (result->end == CALL_ANSWERED) {
		schedule_woke(r->schedule, j->number);
		kind->read(&p, json_object_get(j->spec, "do"), result);
	} else {
		p.end = result->end == CALL_SET_UP ? PAYLOAD_SET_UP : PAYLOAD_LATER;
		(void)snprintf(p.text, sizeof(p.text), "%s", result->why);
	}
	if (p.end == PAYLOAD_DONE)
		return done(r, j, p.disposition, e);
	if (p.end != PAYLOAD_LATER)
		return fail(r, j, p.text, e);
	if (result->end == CALL_LATER)
		schedule_rest(r->schedule, j->number, run_rest_ms(r));
	return again(r, j, p.text, e);
}
