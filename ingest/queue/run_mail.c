/* ingest/queue/run_mail.c - Send, Relay, DeliverToMailbox: one try, and what comes of it */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "ingest/action/compose.h"
#include "ingest/action/dkim_sign.h"
#include "ingest/action/dsn.h"
#include "ingest/action/secret.h"
#include "ingest/queue/run_core.h"

/* A notice is about so many recipients; more get several. */
#define NOTICE_RECIPIENTS 100
#define NOTICE_BYTES      (1u << 20)

/* What a try needs; texts that are its own. */
struct trying {
	struct runner *r;
	struct queue_job *j;
	struct mail mail;
	const json_t *to; /* all recipients */
	struct config *config;
	struct outbound_target target;
	struct outbound_recipient *recipients;
	uint32_t *asked;
	size_t count;
	char *host;
	char *user;
	char *password;
	char *sender;
	struct compose_key dkim;
	struct compose_key arc;
	char *dkim_domain;
	char *dkim_selector;
	int fd;
};

static void trying_free(struct trying *t)
{
	config_unref(&t->config);
	mail_free(&t->mail);
	free(t->recipients);
	free(t->asked);
	free(t->host);
	secret_free(&t->user);
	secret_free(&t->password);
	free(t->sender);
	compose_key_free(&t->dkim);
	compose_key_free(&t->arc);
	free(t->dkim_domain);
	free(t->dkim_selector);
	if (t->fd >= 0)
		(void)close(t->fd);
}

/* ---- recipients, as the spec has them ---- */

static bool is_open(const json_t *recipient)
{
	return !json_object_get(recipient, "end");
}

static const char *text_or_null(const json_t *o, const char *member)
{
	return json_string_value(json_object_get(o, member));
}

/* A relay whose MailFrom is REPLACE hands the message on as from another sender. */
static bool replaces_sender(const struct queue_job *j)
{
	struct slice how = json_member_text(json_object_get(j->spec, "do"), "MailFrom");

	return j->kind == RULE_RELAY && slice_equal(how, slice_str("REPLACE"));
}

/* The next server's notices go to the sender that it is given. One in another's stead hears of
 * failures alone, which only that server knows of; success is told from here (wants_news). */
static const char *notify_of(const struct queue_job *j, const json_t *recipient)
{
	const char *notify = text_or_null(recipient, "notify");

	if (!replaces_sender(j))
		return notify;
	return dsn_wanted(notify, DSN_FAILED) ? "FAILURE" : "NEVER";
}

/* How often it was told to come again later. */
static int64_t tried(const json_t *recipient)
{
	return json_member_int(recipient, "tried", 0);
}

static int64_t least_tried(const json_t *to)
{
	int64_t least = INT64_MAX;

	for (size_t i = 0; i < json_array_size(to); i++)
		if (is_open(json_array_get(to, i)))
			least = MIN_OF(least, tried(json_array_get(to, i)));
	return least;
}

/* Where there are more than one transaction takes, those come first that had fewer tries. */
static void gather_open(struct trying *t)
{
	size_t n = json_array_size(t->to);
	int64_t least = least_tried(t->to);

	t->recipients = mem_array(n + 1, sizeof(*t->recipients));
	t->asked = mem_array(n + 1, sizeof(*t->asked));
	for (size_t i = 0; i < n && t->count < OUTBOUND_RECIPIENTS; i++) {
		const json_t *one = json_array_get(t->to, i);

		if (!is_open(one) || tried(one) != least)
			continue;
		t->asked[t->count] = (uint32_t)i;
		t->recipients[t->count++] = (struct outbound_recipient) {
			.address = json_string_value(json_object_get(one, "to")),
			.notify = notify_of(t->j, one),
			.orcpt = text_or_null(one, "orcpt")
		};
	}
}

/* As RFC 3464 has it in a Diagnostic-Code: with the reply's code in front. */
static void put_said(json_t *one, const struct outbound_result *res, const char *host)
{
	char text[OUTBOUND_TEXT + 32];

	(void)snprintf(text, sizeof(text), "%u %s %s", res->code, res->enhanced, res->text);
	json_put_text(one, "text", slice_str(res->code ? text : res->text));
	json_put_text(one, "status", slice_str(res->enhanced));
	json_put_text(one, "host", slice_str(host));
}

static void put_end(json_t *one, const char *end, const struct outbound_result *res,
                    const char *host)
{
	json_put_text(one, "end", slice_str(end));
	json_put_int(one, "code", res->code);
	put_said(one, res, host);
}

/* ---- where to ---- */

/* RC_NOTFOUND: it isn't configured, or not any more; `e` says what. */
static enum rc relay_target(struct trying *t, struct err *e)
{
	static const enum outbound_tls tls[] = { [RELAY_TLS_OPTIONAL] = OUTBOUND_TLS_MAY,
		                                 [RELAY_TLS_REQUIRED] = OUTBOUND_TLS_MUST,
		                                 [RELAY_TLS_WRAPPED] = OUTBOUND_TLS_WRAPPED };
	struct slice ref = json_member_text(json_object_get(t->j->spec, "do"), "Relay");
	const struct relay_info *relay = config_relay(t->config, ref);
	struct db *db;
	enum rc rc;

	if (!relay)
		return err_set(e, RC_NOTFOUND, "the relay %.*s does not exist",
		               (int)MIN_OF(ref.len, (size_t)100), (const char *)ref.at);
	t->host = mem_string(relay->server);
	t->target = (struct outbound_target) {
		.route = OUTBOUND_HOST, .host = t->host, .port = relay->port, .tls = tls[relay->tls]
	};
	if (!relay->secret)
		return RC_OK;
	rc = t->r->o.borrow(t->r->o.arg, &db, e);
	if (rc != RC_OK)
		return rc;
	rc = secret_find(db, slice_str(relay->secret), &t->user, &t->password, e);
	t->r->o.give_back(t->r->o.arg, &db);
	t->target.user = t->user;
	t->target.password = t->password;
	return rc == RC_NOTFOUND
	               ? err_set(e, rc, "the secret %.200s is not there: mmctl secret set",
	                         relay->secret)
	               : rc;
}

static enum rc mailbox_target(struct trying *t, struct err *e)
{
	const json_t *o = json_member_object(t->r->o.endpoints, "mailbox");
	const char *host = text_or_null(o, "host");

	if (!host)
		return err_set(e, RC_NOTFOUND, "endpoints.mailbox isn't configured");
	t->target = (struct outbound_target) { .route = OUTBOUND_HOST,
		                               .host = host,
		                               .port = (uint16_t)json_member_int(o, "port", 24),
		                               .tls = json_member_bool(o, "tls", false)
		                                              ? OUTBOUND_TLS_MUST
		                                              : OUTBOUND_TLS_MAY,
		                               .lmtp = true };
	return RC_OK;
}

static enum rc find_target(struct trying *t, struct err *e)
{
	if (!t->r->outbound)
		return err_set(e, RC_NOTFOUND, "nothing is sent: mm-deliver isn't there");
	switch (t->j->kind) {
	case RULE_RELAY:
		return relay_target(t, e);
	case RULE_MAILBOX:
		return mailbox_target(t, e);
	default:
		t->target = (struct outbound_target) { .route = OUTBOUND_MX,
			                               .domain = t->j->destination };
		return RC_OK;
	}
}

/* ---- what ---- */

/* A key that can't be read is as one that isn't there, but for the log. */
static enum rc find_dkim(struct trying *t, struct db *db, struct err *e)
{
	char from[256];
	enum rc rc = RC_NOTFOUND;

	if (compose_from_domain(from, buf_slice(&t->j->raw)))
		rc = dkim_key_find(db, slice_str(from), &t->dkim_domain, &t->dkim_selector,
		                   &t->dkim.key, e);

	if (rc == RC_OK) {
		t->dkim.domain = t->dkim_domain;
		t->dkim.selector = t->dkim_selector;
	}
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc find_arc(struct trying *t, struct db *db, struct err *e)
{
	const struct outbound_settings *s = &t->r->settings;
	enum rc rc;

	if (!s->arc_domain || t->j->notice || t->j->kind == RULE_MAILBOX)
		return RC_OK;
	rc = dkim_key_named(db, slice_str(s->arc_domain), slice_str(s->arc_selector), &t->arc.key,
	                    e);
	if (rc == RC_OK) {
		t->arc.domain = s->arc_domain;
		t->arc.selector = s->arc_selector;
	}
	return rc == RC_NOTFOUND
	               ? err_set(e, RC_NOTFOUND,
	                         "send.arc names a key that isn't there: mmctl dkim create")
	               : rc;
}

static enum rc find_keys(struct trying *t, struct err *e)
{
	struct db *db;
	enum rc rc = t->r->o.borrow(t->r->o.arg, &db, e);

	if (rc != RC_OK)
		return rc;
	if (t->j->kind != RULE_MAILBOX)
		rc = find_dkim(t, db, e);
	if (rc == RC_OK)
		rc = find_arc(t, db, e);
	t->r->o.give_back(t->r->o.arg, &db);
	return rc;
}

static enum rc compose(struct trying *t, uint64_t *bytes, struct err *e)
{
	const struct compose c = { .mail = &t->mail,
		                   .raw = buf_slice(&t->j->raw),
		                   .hostname = t->r->o.hostname,
		                   .instance = t->r->o.instance,
		                   .headers = json_member_array(t->j->spec, "headers"),
		                   .recipient = json_array_size(t->to) == 1
		                                        ? t->recipients[0].address
		                                        : NULL,
		                   .trace = !t->j->notice,
		                   .dkim = t->dkim.key ? &t->dkim : NULL,
		                   .arc = t->arc.key ? &t->arc : NULL,
		                   .now_ms = clock_now_ms() };

	return compose_memory(&c, &t->fd, bytes, e);
}

static bool has_high_bytes(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] > 127)
			return true;
	return false;
}

static const char *sender_of(struct trying *t)
{
	if (replaces_sender(t->j) && t->mail.mail_from.len)
		return t->r->settings.sender ? t->r->settings.sender : "";
	t->sender = slice_string(t->mail.mail_from);
	return t->sender;
}

static enum rc hand_over(struct trying *t, struct err *e)
{
	const json_t *receipt = t->mail.receipt;
	struct outbound_mail m = { .target = &t->target,
		                   .mail_from = sender_of(t),
		                   .ret = text_or_null(receipt, "ret"),
		                   .envid = text_or_null(receipt, "envid"),
		                   .smtputf8 = json_member_bool(receipt, "smtputf8", false),
		                   .eight_bit = has_high_bytes(buf_slice(&t->j->raw)),
		                   .recipients = t->recipients,
		                   .recipient_count = t->count };
	struct attempt *a;
	enum rc rc = compose(t, &m.bytes, e);

	if (rc != RC_OK)
		return rc;
	m.message = t->fd;
	a = run_attempt(t->r, t->j, false);
	a->asked = t->asked;
	a->asked_count = t->count;
	t->asked = NULL;
	a->number = outbound_send(t->r->outbound, &m);
	return RC_OK;
}

/* ---- what comes of it ---- */

static bool failed(const json_t *one)
{
	const char *end = text_or_null(one, "end");

	return end && strcmp(end, "done") != 0;
}

static size_t count_open(const json_t *to)
{
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(to); i++)
		n += is_open(json_array_get(to, i));
	return n;
}

static void fill_recipient(struct dsn_recipient *d, const json_t *one, enum dsn_kind kind)
{
	*d = (struct dsn_recipient) { .address = text_or_null(one, "to"),
		                      .orcpt = text_or_null(one, "orcpt"),
		                      .kind = kind,
		                      .status = text_or_null(one, "status"),
		                      .diagnostic = text_or_null(one, "text"),
		                      .remote = text_or_null(one, "host") };
	d->diagnostic = d->diagnostic ? d->diagnostic : "";
	d->remote = d->remote ? d->remote : "";
}

/* One about these recipients; `before`: so many were told of. */
static enum rc write_notice(struct runner *r, struct queue_job *whole, struct dsn *d, size_t before,
                            struct err *e)
{
	struct buf text;
	char id[ID_TEXT + 80];
	char short_id[ID_TEXT + 1];
	enum rc rc;

	buf_init(&text, NOTICE_BYTES);
	id_format(short_id, &whole->id);
	(void)snprintf(id, sizeof(id), "%s.%lld.%d.%llx.%zu", short_id, (long long)whole->number,
	               (int)d->recipients->kind, (unsigned long long)d->now_ms, before);
	d->id = id;
	rc = whole->kind == RULE_BOUNCE
	             ? dsn_write_bounce(d, json_object_get(whole->spec, "do"), &text, e)
	             : dsn_write(d, &text, e);
	if (rc == RC_OK)
		rc = run_notice(r, whole, d->mail, buf_slice(&text), e);
	buf_free(&text);
	return rc;
}

/* Tells the sender of those for whom it failed (or waits, or is done), as far as he may be told.
 * *told: how many. RET is for failures alone (RFC 3461 section 4.3). */
static enum rc notify(struct runner *r, struct queue_job *whole, struct mail *mail,
                      enum dsn_kind kind, bool (*about)(const json_t *one), size_t *told,
                      const char **why_not, struct err *e)
{
	const json_t *to = json_member_array(whole->spec, "recipients");
	struct dsn_recipient *list = mem_array(json_array_size(to) + 1, sizeof(*list));
	struct dsn d = { .mail = mail,
		         .raw = buf_slice(&whole->raw),
		         .hostname = r->o.hostname,
		         .from = NULL,
		         .envid = text_or_null(mail->receipt, "envid"),
		         .full = kind == DSN_FAILED &&
		                 slice_equal(json_member_text(mail->receipt, "ret"),
		                             slice_str("FULL")),
		         .now_ms = clock_now_ms(),
		         .arrived_ms = mail->received_ms,
		         .tried_ms = clock_now_ms(),
		         .until_ms = whole->since_ms + r->settings.lifetime_ms,
		         .recipients = list };
	enum rc rc = RC_OK;

	*told = 0;
	queue_begin_together(r->o.queue);
	for (size_t i = 0; i < json_array_size(to); i++) {
		const json_t *one = json_array_get(to, i);
		const char *no;

		if (!about(one))
			continue;
		no = whole->notice ? "it is a notice itself"
		     : !whole->whole
		             ? "its bytes are damaged"
		             : dsn_forbidden(mail, d.raw, text_or_null(one, "notify"), kind);
		if (no)
			*why_not = no;
		else
			fill_recipient(&list[d.recipient_count++], one, kind);
	}
	for (size_t left = d.recipient_count; rc == RC_OK && left; left -= d.recipient_count) {
		d.recipients = list + *told;
		d.recipient_count = MIN_OF(left, (size_t)NOTICE_RECIPIENTS);
		rc = write_notice(r, whole, &d, *told, e);
		*told += d.recipient_count;
	}
	free(list);
	if (rc == RC_LIMIT) { /* what is to be told of is a dead letter, then */
		*told = 0;
		*why_not = "it would be too long";
		rc = RC_OK;
	}
	return rc;
}

static size_t count_failed(const json_t *to, uint32_t **indices)
{
	size_t n = 0;

	*indices = mem_array(json_array_size(to) + 1, sizeof(**indices));
	for (size_t i = 0; i < json_array_size(to); i++)
		if (failed(json_array_get(to, i)))
			(*indices)[n++] = (uint32_t)json_member_int(json_array_get(to, i), "i", 0);
	return n;
}

/* What a person reads of why it is a dead letter. */
static void reason_of(char *out, size_t room, const json_t *to, const char *why_not)
{
	for (size_t i = 0; i < json_array_size(to); i++) {
		const json_t *one = json_array_get(to, i);

		if (!failed(one))
			continue;
		(void)snprintf(out, room, "%.*s%s%s%s%s",
		               (int)MIN_OF(json_member_text(one, "text").len, (size_t)300),
		               text_or_null(one, "text"), text_or_null(one, "host")[0] ? " (" : "",
		               text_or_null(one, "host"), text_or_null(one, "host")[0] ? ")" : "",
		               why_not ? "; no notice: " : "");
		if (why_not)
			(void)snprintf(out + strlen(out), room - strlen(out), "%s", why_not);
		return;
	}
	out[0] = 0;
}

/* No recipient is open any more. */
static enum rc settle(struct runner *r, struct queue_job *whole, struct err *e)
{
	const json_t *to = json_member_array(whole->spec, "recipients");
	struct queue_answer answer = { .said = RULE_SAID_DONE };
	uint32_t *indices;
	size_t bad = count_failed(to, &indices);
	const char *why_not = NULL;
	char reason[OUTBOUND_TEXT + 400];
	struct mail mail;
	size_t told = 0;
	enum rc rc = mail_read_stored(&mail, &whole->id, buf_slice(&whole->meta), e);

	if (rc == RC_OK && bad)
		rc = notify(r, whole, &mail, DSN_FAILED, failed, &told, &why_not, e);
	if (bad)
		answer = (struct queue_answer) { RULE_SAID_FAILED, indices, bad };
	reason_of(reason, sizeof(reason), to, why_not);
	if (rc == RC_OK && told == bad)
		rc = queue_done(r->o.queue, whole->number, bad, &answer, e);
	else if (rc == RC_OK)
		rc = queue_dead(r->o.queue, whole->number, whole->spec, reason, &answer,
		                clock_now_ms(), e);
	if (rc == RC_OK)
		run_log(r, whole, bad ? reason : NULL);
	mail_free(&mail);
	free(indices);
	return rc;
}

/* The job with the message's bytes, where they weren't read yet; what was put down so far stays. */
static enum rc settle_job(struct runner *r, struct queue_job *j, struct err *e)
{
	struct queue_job whole;
	enum rc rc;

	if (j->raw.len)
		return settle(r, j, e);
	rc = queue_job(r->o.queue, j->number, true, &whole, e);
	if (rc != RC_OK)
		return rc;
	json_decref(whole.spec);
	whole.spec = json_incref(j->spec);
	rc = settle(r, &whole, e);
	queue_job_free(&whole);
	return rc;
}

/* Fails for all that are open. */
static enum rc fail_all(struct runner *r, struct queue_job *j, const char *end, const char *status,
                        const char *text, struct err *e)
{
	json_t *to = json_member_array(j->spec, "recipients");
	struct outbound_result res = { .end = OUTBOUND_NEVER };

	(void)snprintf(res.enhanced, sizeof(res.enhanced), "%s", status);
	(void)snprintf(res.text, sizeof(res.text), "%s", text);
	for (size_t i = 0; i < json_array_size(to); i++)
		if (is_open(json_array_get(to, i)))
			put_end(json_array_get(to, i), end, &res, "");
	return settle_job(r, j, e);
}

static bool waits(const json_t *one)
{
	return is_open(one);
}

/* Beside what becomes of the task. */
static enum rc tell(struct runner *r, struct queue_job *j, enum dsn_kind kind,
                    bool (*about)(const json_t *one), struct err *e)
{
	const char *why_not = NULL;
	struct queue_job whole;
	struct mail mail;
	size_t told;
	enum rc rc = queue_job(r->o.queue, j->number, true, &whole, e);

	if (rc != RC_OK)
		return rc;
	json_decref(whole.spec);
	whole.spec = json_incref(j->spec);
	rc = mail_read_stored(&mail, &whole.id, buf_slice(&whole.meta), e);
	if (rc == RC_OK)
		rc = notify(r, &whole, &mail, kind, about, &told, &why_not, e);
	mail_free(&mail);
	queue_job_free(&whole);
	return rc;
}

/* Once, when it has waited for long enough. */
static enum rc tell_delay(struct runner *r, struct queue_job *j, struct err *e)
{
	int64_t after = r->settings.delay_notice_ms;

	if (!after || json_member_bool(j->spec, "delayed", false) ||
	    clock_now_ms() - j->since_ms < after)
		return RC_OK;
	json_put_bool(j->spec, "delayed", true);
	return tell(r, j, DSN_DELAYED, waits, e);
}

static bool wants_news(const struct queue_job *j, const json_t *one,
                       const struct outbound_result *res)
{
	return res->end == OUTBOUND_DONE && (!res->dsn || replaces_sender(j)) &&
	       dsn_wanted(text_or_null(one, "notify"), DSN_RELAYED);
}

static bool is_news(const json_t *one)
{
	return json_member_bool(one, "news", false);
}

/* RFC 3461 section 5.2: of success, where no server behind us will tell him. */
static enum rc tell_success(struct runner *r, struct queue_job *j, struct err *e)
{
	json_t *to = json_member_array(j->spec, "recipients");
	bool any = false;
	enum rc rc;

	for (size_t i = 0; i < json_array_size(to); i++)
		any = any || is_news(json_array_get(to, i));
	if (!any)
		return RC_OK;
	rc = tell(r, j, j->kind == RULE_MAILBOX ? DSN_DELIVERED : DSN_RELAYED, is_news, e);
	for (size_t i = 0; i < json_array_size(to); i++)
		(void)json_object_del(json_array_get(to, i), "news");
	return rc;
}

static enum rc again(struct runner *r, struct queue_job *j, const char *reason, struct err *e)
{
	enum rc rc;

	if (run_is_old(r, j, r->settings.lifetime_ms))
		return fail_all(r, j, "never", "4.4.7", reason, e);
	rc = tell_delay(r, j, e);
	return rc == RC_OK ? run_later(r, j, run_retry_ms(r, j), reason, e) : rc;
}

enum rc run_mail_ended(struct runner *r, const struct attempt *a, struct queue_job *j,
                       const struct outbound_result *results, const char *host, struct err *e)
{
	static const char *const ends[] = {
		[OUTBOUND_DONE] = "done", [OUTBOUND_NEVER] = "never", [OUTBOUND_SET_UP] = "set-up"
	};
	json_t *to = json_member_array(j->spec, "recipients");
	const struct outbound_result *later = NULL;
	int64_t least = least_tried(to);
	bool reached = false;
	enum rc rc;

	for (size_t i = 0; i < a->asked_count; i++) {
		json_t *one = json_array_get(to, a->asked[i]);

		reached = reached || results[i].code;
		if (results[i].end == OUTBOUND_LATER) {
			later = &results[i];
			put_said(one, &results[i], host);
			json_put_int(one, "tried", tried(one) + 1);
		} else {
			put_end(one, ends[results[i].end], &results[i], host);
			if (wants_news(j, one, &results[i]))
				json_put_bool(one, "news", true);
		}
	}
	rc = tell_success(r, j, e);
	if (rc != RC_OK)
		return rc;
	if (reached)
		schedule_woke(r->schedule, j->number);
	else if (later) /* nobody is there: neither for the others that go there */
		schedule_rest(r->schedule, j->number, run_rest_ms(r));
	if (!count_open(to))
		return settle_job(r, j, e);
	if ((reached || !later) && least_tried(to) == least) /* one transaction didn't take all */
		return queue_go_on(r->o.queue, j->number, clock_now_ms(), j->spec, e);
	return again(r, j, later ? later->text : "", e);
}

/* ---- a try ---- */

/* Who sends may connect to the ports that it was made with. */
static void update_ports(struct runner *r, const struct config *c)
{
	size_t n = config_relay_count(c);
	uint16_t *ports;

	if (!r->outbound || r->generation == config_generation(c))
		return;
	r->generation = config_generation(c);
	ports = mem_array(n + 1, sizeof(*ports));
	for (size_t i = 0; i < n; i++)
		ports[i] = config_relay_at(c, i)->port;
	ports[n] = (uint16_t)json_member_int(json_member_object(r->o.endpoints, "mailbox"), "port",
	                                     24);
	outbound_ports(r->outbound, ports, n + 1);
	free(ports);
}

static enum rc try_it(struct trying *t, struct err *e)
{
	const char *loop =
	        t->j->notice ? NULL : compose_loop(buf_slice(&t->j->raw), t->r->o.instance);
	struct err why = { 0 };
	enum rc rc;

	gather_open(t);
	if (!t->count) {
		run_over(t->r, t->j->number);
		return settle_job(t->r, t->j, e);
	}
	if (loop) {
		run_over(t->r, t->j->number);
		return fail_all(t->r, t->j, "never", "5.4.6", loop, e);
	}
	rc = find_target(t, &why);
	if (rc == RC_OK)
		rc = find_keys(t, &why);
	if (rc == RC_OK)
		rc = hand_over(t, &why);
	if (rc == RC_OK)
		return RC_OK;
	run_over(t->r, t->j->number);
	if (rc == RC_NOTFOUND || rc == RC_LIMIT || rc == RC_INVALID)
		return fail_all(t->r, t->j, "set-up", "5.3.5", why.text, e);
	return again(t->r, t->j, why.text, e);
}

/* Who logged in may send to so many an hour. False: not now, and when. */
static bool may_send(struct runner *r, const struct trying *t, int64_t *when_ms)
{
	struct slice name = json_member_text(t->mail.receipt, "auth");
	int64_t now = clock_mono_ms();
	int64_t each = r->settings.rate_user ? RUN_HOUR_MS / r->settings.rate_user : 0;
	struct rate_user *u;

	if (!each || !name.len || t->j->notice || t->j->tries) /* tries again are free */
		return true;
	LIST_FOREACH(u, &r->users, link)
	if (slice_equal(slice_str(u->name), name))
		break;
	if (!u) {
		u = mem_new(sizeof(*u));
		u->name = slice_string(name);
		LIST_INSERT_HEAD(&r->users, u, link);
	}
	if (u->paced_ms < now - RUN_HOUR_MS)
		u->paced_ms = now - RUN_HOUR_MS;
	*when_ms = clock_now_ms() + MIN_OF(u->paced_ms - now, RUN_HOUR_MS);
	if (u->paced_ms > now)
		return false;
	u->paced_ms += each * (int64_t)count_open(t->to);
	return true;
}

void run_forget_users(struct runner *r)
{
	struct rate_user *u = LIST_FIRST(&r->users);

	while (u) {
		struct rate_user *next = LIST_NEXT(u, link);

		if (u->paced_ms < clock_mono_ms() - RUN_HOUR_MS) {
			LIST_REMOVE(u, link);
			free(u->name);
			free(u);
		}
		u = next;
	}
}

enum rc run_mail(struct runner *r, struct queue_job *j, struct err *e)
{
	struct trying t = { .r = r, .j = j, .fd = -1 };
	int64_t when_ms = 0;
	enum rc rc = mail_read_stored(&t.mail, &j->id, buf_slice(&j->meta), e);

	t.to = json_member_array(j->spec, "recipients");
	t.config = r->o.config(r->o.arg);
	update_ports(r, t.config);
	if (rc == RC_OK && !may_send(r, &t, &when_ms)) {
		run_over(r, j->number);
		rc = queue_put_off(r->o.queue, j->number, when_ms,
		                   "its sender has sent more than send.rate.user lately", e);
	} else if (rc == RC_OK) {
		rc = try_it(&t, e);
	}
	trying_free(&t);
	return rc;
}

/* ---- Bounce ---- */

enum rc run_bounce(struct runner *r, struct queue_job *j, struct err *e)
{
	json_t *to = json_member_array(j->spec, "recipients");
	const struct outbound_result res = { .enhanced = "5.0.0" };
	struct mail mail;
	const char *why_not = NULL;
	size_t told = 0;
	enum rc rc = mail_read_stored(&mail, &j->id, buf_slice(&j->meta), e);

	run_over(r, j->number);
	for (size_t i = 0; i < json_array_size(to); i++)
		put_end(json_array_get(to, i), "never", &res, "");
	if (rc == RC_OK)
		rc = notify(r, j, &mail, DSN_FAILED, failed, &told, &why_not, e);
	mail_free(&mail);
	if (rc == RC_OK && told)
		rc = queue_done(r->o.queue, j->number, true,
		                &(struct queue_answer) { .said = RULE_SAID_DONE }, e);
	else if (rc == RC_OK)
		rc = queue_dead(r->o.queue, j->number, NULL, why_not ? why_not : "nobody to tell",
		                &(struct queue_answer) { .said = RULE_SAID_FAILED }, clock_now_ms(),
		                e);
	if (rc == RC_OK)
		run_log(r, j, told ? NULL : why_not);
	return rc;
}
