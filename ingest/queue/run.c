#include "ingest/queue/run.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "ingest/queue/run_core.h"
#include "retention/clockguard.h"
#include "store/crypt.h"

#define FLUSH_MS  100
#define FULL_MS   1000
#define HOUSE_MS  60000
#define ROTATE_MS (INT64_C(24) * 3600 * 1000)
#define DAY_MS    INT64_C(86400000)

/* ---- trouble ---- */

/* Final, but for a full disk: then what was lost is read anew. */
static void trouble(struct runner *r, const struct err *e)
{
	if (e->code == RC_NOSPACE) {
		if (!r->full)
			log_error("the outbound queue: %s; it goes on as soon as there is room",
			          e->text);
		r->full = true;
		loop_timer_set(r->flush, FULL_MS);
		return;
	}
	if (!r->broken)
		log_error("the outbound queue: %s", e->text);
	r->broken = true;
	r->o.broken(r->o.arg, e);
}

/* How long until then. No wait is longer than the longest one that is ever asked for: the clock was
 * set back, then. */
static int64_t wait_ms(const struct runner *r, int64_t due_ms)
{
	int64_t wait = due_ms - clock_now_ms();

	return wait > 0 && wait <= r->longest_ms ? wait : 0;
}

static void see_due(void *arg, const struct queue_due *d)
{
	struct runner *r = arg;

	if (d->hurry)
		schedule_hurry(r->schedule, d->destination);
	schedule_add(r->schedule, d->number, d->destination,
	             clock_mono_ms() + wait_ms(r, d->due_ms));
}

static void read_due(struct runner *r, bool all)
{
	struct err e = { 0 };

	if (all)
		schedule_clear(r->schedule);
	if (queue_due(r->o.queue, all, see_due, r, &e) != RC_OK)
		trouble(r, &e);
}

/* ---- beginning ---- */

struct attempt *run_attempt(struct runner *r, const struct queue_job *j, bool call)
{
	struct attempt *a = mem_new(sizeof(*a));

	a->task = j->number;
	a->call = call;
	LIST_INSERT_HEAD(&r->attempts, a, link);
	return a;
}

static void attempt_free(struct attempt *a)
{
	LIST_REMOVE(a, link);
	free(a->asked);
	free(a);
}

static enum rc begin_kind(struct runner *r, struct queue_job *j, struct err *e)
{
	switch (j->kind) {
	case RULE_SEND:
	case RULE_RELAY:
	case RULE_MAILBOX:
		return run_mail(r, j, e);
	case RULE_BOUNCE:
		return run_bounce(r, j, e);
	default:
		return run_call(r, j, e);
	}
}

/* Held or dropped by hand, or put off, since it was read. */
static bool is_due(const struct runner *r, const struct queue_job *j)
{
	return j->state == TASK_DUE && wait_ms(r, j->due_ms) <= FLUSH_MS;
}

static void put_back(struct runner *r, const struct queue_job *j)
{
	run_over(r, j->number);
	if (j->state == TASK_DUE)
		schedule_add(r->schedule, j->number, j->destination,
		             clock_mono_ms() + wait_ms(r, j->due_ms));
}

/* It can't be carried out, and whether it is given up is for a person to say. */
static enum rc hold_damaged(struct runner *r, const struct queue_job *j, struct err *e)
{
	char id[ID_TEXT + 1];
	enum rc rc = queue_put_off(r->o.queue, j->number, j->due_ms, "its bytes are damaged", e);

	if (rc == RC_OK)
		rc = queue_hold(r->o.queue, j->number, e);
	if (rc != RC_OK)
		return rc;
	id_format(id, &j->id);
	log_error("message %s of the outbound queue: its bytes are damaged, and it is held; "
	          "mmctl queue drop %lld gives it up",
	          id, (long long)j->number);
	run_over(r, j->number);
	return RC_OK;
}

static void begin(struct runner *r, int64_t task)
{
	struct queue_job j;
	struct err e = { 0 };
	enum rc rc = queue_job(r->o.queue, task, true, &j, &e);

	if (rc == RC_OK) {
		if (is_due(r, &j))
			rc = j.whole ? begin_kind(r, &j, &e) : hold_damaged(r, &j, &e);
		else
			put_back(r, &j);
		queue_job_free(&j);
	}
	if (rc != RC_OK)
		run_over(r, task);
	if (rc != RC_OK && rc != RC_NOTFOUND) /* it was dropped meanwhile */
		trouble(r, &e);
}

static void pump(void *arg)
{
	struct runner *r = arg;
	int64_t now = clock_mono_ms();
	int64_t wake;
	int64_t task;

	while (!r->broken && !r->full && schedule_next(r->schedule, now, &task))
		begin(r, task);
	wake = schedule_wake_ms(r->schedule, now);
	if (wake != INT64_MAX && !r->full)
		loop_timer_set(r->due, wake - now + 1);
}

void run_over(struct runner *r, int64_t task)
{
	schedule_ended(r->schedule, task);
	loop_timer_set(r->due, 0);
	if (r->flushing)
		return;
	r->flushing = true;
	loop_timer_set(r->flush, FLUSH_MS);
}

/* ---- committing ---- */

static void flush(void *arg)
{
	struct runner *r = arg;
	struct err e = { 0 };

	r->flushing = false;
	if (r->broken)
		return;
	if (!r->full && queue_lost(r->o.queue)) { /* the pipeline found no room, or damage */
		(void)err_set(&e, RC_NOSPACE, "what was put down beside other changes was lost");
		trouble(r, &e);
		return;
	}
	/* Results that can't be put down would be brought about again and again. */
	if ((r->full ? queue_probe(r->o.queue, &e) : queue_commit(r->o.queue, &e)) != RC_OK) {
		trouble(r, &e);
		return;
	}
	if (r->full)
		log_info("the outbound queue has room again");
	if (queue_lost(r->o.queue) || r->full)
		read_due(r, true);
	r->full = false;
	pump(r);
}

void runner_wake(struct runner *r)
{
	if (r->broken)
		return;
	read_due(r, false);
	pump(r);
}

/* ---- housekeeping ---- */

/* Nothing is thrown away by a clock that retention doesn't trust either. */
static bool clock_is_trusted(struct runner *r)
{
	struct err why = { 0 };
	struct db *db;
	enum rc rc;

	if (!r->o.borrow || r->o.borrow(r->o.arg, &db, &why) != RC_OK)
		return false;
	rc = clockguard_check(db, r->settings.dead_letter_days, &why);
	r->o.give_back(r->o.arg, &db);
	return rc == RC_OK;
}

static enum rc expire(struct runner *r, struct err *e)
{
	int64_t before = clock_now_ms() - r->settings.dead_letter_days * DAY_MS;
	size_t expired = 0;
	enum rc rc;

	if (!queue_has_expired(r->o.queue, before) || !clock_is_trusted(r))
		return RC_OK;
	rc = queue_expire(r->o.queue, before, &expired, e);
	if (expired)
		log_info("%zu dead letters were older than %u days, and are dropped", expired,
		         r->settings.dead_letter_days);
	return rc;
}

void run_keep_house(void *arg)
{
	struct runner *r = arg;
	bool empty = false;
	struct err e = { 0 };
	enum rc rc;

	if (r->broken)
		return;
	rc = expire(r, &e);
	run_forget_users(r);
	if (rc == RC_OK)
		rc = queue_is_empty(r->o.queue, &empty, &e);
	/* An empty one costs nothing. */
	if (rc == RC_OK && (empty || clock_mono_ms() >= r->rotate_ms)) {
		rc = queue_rotate(r->o.queue, &e);
		r->rotate_ms = clock_mono_ms() + ROTATE_MS;
	}
	if (rc != RC_OK)
		trouble(r, &e);
	loop_timer_set(r->house, HOUSE_MS);
}

/* ---- ends ---- */

static struct attempt *find_attempt(struct runner *r, uint64_t number, bool call)
{
	struct attempt *a;

	LIST_FOREACH(a, &r->attempts, link)
	if (a->number == number && a->call == call)
		return a;
	return NULL;
}

/* What it was of may have been dropped meanwhile: then there is nothing to put down. */
static void on_sent(void *arg, uint64_t number, const struct outbound_result *results, size_t count,
                    const char *host, const char *tls)
{
	struct runner *r = arg;
	struct attempt *a = find_attempt(r, number, false);
	struct queue_job j;
	struct err e = { 0 };
	enum rc rc;

	(void)tls;
	MUST(a && count == a->asked_count);
	rc = queue_job(r->o.queue, a->task, false, &j, &e);
	if (rc == RC_OK) {
		rc = run_mail_ended(r, a, &j, results, host, &e);
		queue_job_free(&j);
	}
	run_over(r, a->task);
	attempt_free(a);
	if (rc != RC_OK && rc != RC_NOTFOUND)
		trouble(r, &e);
}

static void on_called(void *arg, uint64_t number, const struct call_result *result)
{
	struct runner *r = arg;
	struct attempt *a = find_attempt(r, number, true);
	struct queue_job j;
	struct err e = { 0 };
	enum rc rc;

	MUST(a);
	rc = queue_job(r->o.queue, a->task, false, &j, &e);
	if (rc == RC_OK) {
		rc = run_call_ended(r, &j, result, &e);
		queue_job_free(&j);
	}
	run_over(r, a->task);
	attempt_free(a);
	if (rc != RC_OK && rc != RC_NOTFOUND)
		trouble(r, &e);
}

int64_t run_rest_ms(const struct runner *r)
{
	return clock_mono_ms() + r->settings.retry_ms[0];
}

int64_t run_retry_ms(const struct runner *r, const struct queue_job *j)
{
	size_t i = MIN_OF((size_t)j->tries, r->settings.retry_count - 1);

	return clock_now_ms() + r->settings.retry_ms[i];
}

bool run_is_old(const struct runner *r, const struct queue_job *j, int64_t lifetime_ms)
{
	(void)r;
	return clock_now_ms() - j->since_ms >= lifetime_ms;
}

enum rc run_later(struct runner *r, const struct queue_job *j, int64_t due_ms, const char *reason,
                  struct err *e)
{
	return queue_later(r->o.queue, j->number, due_ms, j->spec, reason, e);
}

/* The recipients of its spec, as a line of the log has them. */
void run_log(struct runner *r, const struct queue_job *j, const char *why)
{
	const json_t *to = json_member_array(j->spec, "recipients");
	size_t n = json_array_size(to);
	struct rule_recipient *recipients;
	uint32_t *matched;
	const struct rule_action what = { .kind = j->kind };
	struct log_rule line = {
		.when_ms = clock_now_ms(),
		.id = &j->id,
		.rule_set_id = json_string_value(json_object_get(j->spec, "rule_set")),
		.rule_set_name = json_string_value(json_object_get(j->spec, "rule_set_name")),
		.rule_name = json_string_value(json_object_get(j->spec, "rule_name")),
		.rule = (unsigned)json_member_int(j->spec, "rule", 0),
		.action = (unsigned)json_member_int(j->spec, "action", 0),
		.what = &what,
		.failure = why ? "it could not be carried out" : NULL
	};

	if (j->notice || !logs_wants(r->o.logs, LOG_APPLICATION))
		return;
	recipients = mem_array(n + 1, sizeof(*recipients));
	matched = mem_array(n + 1, sizeof(*matched));
	for (size_t i = 0; i < n; i++) {
		recipients[i].address = json_member_text(json_array_get(to, i), "to");
		matched[i] = (uint32_t)i;
	}
	line.recipients = recipients;
	line.matched = matched;
	line.matched_count = n;
	logs_task(r->o.logs, &line);
	free(recipients);
	free(matched);
}

enum rc run_notice(struct runner *r, const struct queue_job *about, const struct mail *m,
                   struct slice text, struct err *e)
{
	int64_t now = clock_now_ms();
	uint8_t random[12];
	uint32_t sequence;
	struct queue_message q = {
		.received_ms = now,
		.raw = text,
		.meta = slice_str("{\"receipt\":{\"v\":1,\"mail_from\":\"\",\"rcpt\":[]}}"),
		.rule_set = "",
		.notice = true,
		.of = about->message
	};
	struct slice domain = slice_from(m->mail_from, 0);
	struct queue_task task = { .kind = RULE_SEND, .spec = json_object() };
	json_t *to = json_object();
	json_t *list = json_array();
	char *destination;
	enum rc rc;

	crypt_random(random, sizeof(random));
	memcpy(&sequence, random, sizeof(sequence));
	q.id = id_make(now, sequence & ((1u << ID_SEQUENCE_BITS) - 1), random + 4);
	for (size_t i = domain.len; i-- > 0;)
		if (m->mail_from.at[i] == '@') {
			domain = slice_from(m->mail_from, i + 1);
			break;
		}
	destination = slice_string(domain);
	for (char *c = destination; *c; c++)
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
	task.destination = destination;
	json_put_text(to, "to", m->mail_from);
	json_push(list, to);
	json_put(task.spec, "recipients", list);
	rc = queue_park(r->o.queue, &q, &task, 1, e);
	free(destination);
	return rc;
}

/* ---- from outside ---- */

static struct outbound *open_sender(struct runner *r)
{
	const struct outbound_options o = { .loop = r->o.loop,
		                            .home = r->o.sender,
		                            .send = r->o.send,
		                            .ended = on_sent,
		                            .arg = r };

	return r->o.sender ? outbound_new(&o) : NULL;
}

static struct calls *open_caller(struct runner *r)
{
	const struct calls_options o = {
		.loop = r->o.loop, .home = r->o.caller, .ended = on_called, .arg = r
	};

	return r->o.caller ? calls_new(&o) : NULL;
}

enum rc runner_new(struct runner **out, const struct runner_options *o, struct err *e)
{
	struct runner *r = mem_new(sizeof(*r));
	struct schedule_limits limits;
	enum rc rc = outbound_settings_read(&r->settings, o->send, e);

	*out = NULL;
	if (rc != RC_OK) {
		free(r);
		return rc;
	}
	r->o = *o;
	LIST_INIT(&r->attempts);
	LIST_INIT(&r->users);
	for (size_t i = 0; i < r->settings.retry_count; i++)
		r->longest_ms = MAX_OF(r->longest_ms, r->settings.retry_ms[i]);
	r->longest_ms = MAX_OF(r->longest_ms, RUN_HOUR_MS);
	limits = (struct schedule_limits) { .at_once = r->settings.at_once,
		                            .per_destination = r->settings.per_destination,
		                            .per_minute = r->settings.rate_destination };
	r->schedule = schedule_new(&limits);
	r->due = loop_timer_new(o->loop, pump, r);
	r->flush = loop_timer_new(o->loop, flush, r);
	r->house = loop_timer_new(o->loop, run_keep_house, r);
	r->outbound = open_sender(r);
	r->calls = open_caller(r);
	read_due(r, true);
	loop_timer_set(r->due, 0);
	loop_timer_set(r->house, HOUSE_MS);
	*out = r;
	return RC_OK;
}

void runner_free(struct runner **at)
{
	struct runner *r = *at;

	*at = NULL;
	if (!r)
		return;
	outbound_free(&r->outbound);
	calls_free(&r->calls);
	while (!LIST_EMPTY(&r->attempts))
		attempt_free(LIST_FIRST(&r->attempts));
	while (!LIST_EMPTY(&r->users)) {
		struct rate_user *u = LIST_FIRST(&r->users);

		LIST_REMOVE(u, link);
		free(u->name);
		free(u);
	}
	schedule_free(&r->schedule);
	loop_timer_free(&r->due);
	loop_timer_free(&r->flush);
	loop_timer_free(&r->house);
	free(r);
}
