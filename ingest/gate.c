#include "ingest/gate.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/limits.h"
#include "base/log.h"
#include "ingest/client_cert.h"
#include "ingest/gate_parts.h"
#include "ingest/spool/record.h"
#include "store/crypt.h"

#define MOST_ERRORS 20
#define MOST_JUNK   100

/* --- ingress points --- */

struct gate_point *gate_point_ref(struct gate_point *p)
{
	p->refs++;
	return p;
}

void gate_point_free(struct gate_point **at)
{
	struct gate_point *p = *at;

	if (!p)
		return;
	*at = NULL;
	if (--p->refs)
		return;
	tls_context_free(&p->tls);
	config_unref(&p->config);
	free(p->hostname);
	free(p);
}

const struct ingress_point *gate_point_ingress(const struct gate_point *p)
{
	return p->ingress;
}

struct tls_context *gate_point_tls(const struct gate_point *p)
{
	return p->tls;
}

static enum smtp_tls tls_mode(const struct gate_point *p)
{
	if (p->ingress->tls_wrapped)
		return SMTP_TLS_ON;
	if (p->ingress->tls == INGRESS_TLS_REQUIRED)
		return SMTP_TLS_REQUIRED;
	return p->tls ? SMTP_TLS_OFFERED : SMTP_TLS_NONE;
}

struct gate_point *gate_find_point(const struct gate *g, struct slice id)
{
	for (size_t i = 0; i < g->point_count; i++)
		if (slice_equal(id, slice_str(g->points[i]->ingress->id)))
			return g->points[i];
	return NULL;
}

/* That of before, if it is of the same certificates and trust store: reading keys takes long.
 * Sessions and tickets of one ingress point are of no use at another. */
static enum rc point_tls(struct tls_context **out, const struct gate *g,
                         const struct ingress_point *i, const struct gate_options *opt, bool same,
                         struct err *e)
{
	const struct gate_point *before = same ? gate_find_point(g, slice_str(i->id)) : NULL;
	enum rc rc;

	*out = NULL;
	if (!opt->cert_count)
		return RC_OK;
	if (before && before->tls && before->ingress->trust == i->trust) {
		*out = tls_context_ref(before->tls);
		return RC_OK;
	}
	rc = tls_server_new(out, opt->certs, opt->cert_count, slice_str(i->id), e);
	if (rc == RC_OK && i->trust)
		tls_server_require(*out, i->trust);
	return rc;
}

static enum rc point_new(struct gate_point **out, const struct gate *g, struct config *c,
                         const struct ingress_point *i, const struct gate_options *opt, bool same,
                         struct err *e)
{
	struct gate_point *p = mem_new(sizeof(*p));
	uint64_t most = i->policy ? policy_max_bytes(i->policy) : 0;

	p->refs = 1;
	p->config = config_ref(c);
	p->ingress = i;
	p->hostname = mem_string(opt->hostname);
	if (point_tls(&p->tls, g, i, opt, same, e) != RC_OK) {
		gate_point_free(&p);
		return RC_INVALID;
	}
	p->smtp = (struct smtp_config) {
		.hostname = p->hostname,
		.limits = { .message_bytes =
		                    most ? MIN_OF(most, opt->message_bytes) : opt->message_bytes,
		            .recipients = LIMIT_SMTP_RECIPIENTS,
		            .errors = MOST_ERRORS,
		            .junk = MOST_JUNK },
		.tls = tls_mode(p),
		.auth = i->type == INGRESS_AUTH,
		.keep_bare = i->keep_bare,
		.odd_local = i->odd_local,
	};
	*out = p;
	return RC_OK;
}

static void free_points(struct gate_point **points, size_t count)
{
	for (size_t i = 0; i < count; i++)
		gate_point_free(&points[i]);
	free(points);
}

static void hash_certs(const struct gate_options *opt, uint8_t hash[32])
{
	struct sha256 *h = sha256_new();

	for (size_t i = 0; i < opt->cert_count; i++) {
		sha256_add(h, opt->certs[i].chain);
		sha256_add(h, slice_of("", 1));
		sha256_add(h, opt->certs[i].key);
		sha256_add(h, slice_of("", 1));
	}
	sha256_end(&h, hash);
}

enum rc gate_configure(struct gate *g, struct config *c, const struct gate_options *opt,
                       struct err *e)
{
	size_t count = config_ingress_count(c);
	struct gate_point **points = mem_array(count, sizeof(struct gate_point *));
	uint8_t certs[32];
	bool same;

	hash_certs(opt, certs);
	same = memcmp(certs, g->certs, sizeof(certs)) == 0;
	for (size_t i = 0; i < count; i++) {
		if (point_new(&points[i], g, c, config_ingress_at(c, i), opt, same, e) == RC_OK)
			continue;
		free_points(points, i);
		return RC_INVALID;
	}
	gate_addons_wait(g->addons, opt->ask_ms);
	free_points(g->points, g->point_count);
	memcpy(g->certs, certs, sizeof(certs));
	g->points = points;
	g->point_count = count;
	return RC_OK;
}

struct gate_point *gate_point(struct gate *g, struct slice ingress_id)
{
	struct gate_point *p = gate_find_point(g, ingress_id);

	return p ? gate_point_ref(p) : NULL;
}

/* --- the policy log --- */

static void draw_log_id(struct gate_session *s)
{
	uint8_t random[POLICY_SESSION_ID / 2];

	if (s->log_id[0])
		return;
	crypt_random(random, sizeof(random));
	hex_encode(s->log_id, random, sizeof(random));
}

static void log_judgement(struct gate_session *s, struct policy_record *r)
{
	const struct policy *policy = s->point->ingress->policy;
	char ip[IP_TEXT];

	draw_log_id(s);
	ip_format(ip, &s->peer.ip);
	r->when_ms = clock_now_ms();
	r->type = s->point->ingress->type;
	r->ingress_id = slice_str(s->point->ingress->id);
	r->session_id = slice_str(s->log_id);
	r->policy_id = slice_str(policy ? policy_id(policy) : "");
	r->ip = slice_str(ip);
	r->mail_from = buf_slice(&s->mail_from);
	r->helo = smtp_session_helo(s->smtp);
	r->tls_version = slice_str(s->tls_version);
	r->tls_cipher = slice_str(s->tls_cipher);
	policy_log_add(s->gate->log, r);
}

static bool asks_addons(const struct policy *policy)
{
	const char *const *ids;

	return policy && policy_asks(policy, &ids) > 0;
}

/* Nothing is told of a judgement that add-ons are to be asked for first. */
static enum policy_verdict ask_policy(struct gate_session *s, const struct policy_facts *f)
{
	const struct policy *policy = s->point->ingress->policy;
	struct policy_record r = { .scope = POLICY_SCOPE_RECIPIENT, .recipient = f->recipient };
	enum policy_verdict v = POLICY_DENY;
	bool logged;

	if (asks_addons(policy) && policy_decide(policy, f, NULL) == POLICY_ASK)
		return POLICY_ASK;
	logged = policy_log_begin(s->gate->log, policy);
	if (policy)
		v = policy_decide(policy, f, logged ? policy_log_trace(s->gate->log) : NULL);
	r.accepted = v == POLICY_ALLOW;
	if (logged)
		log_judgement(s, &r);
	return v;
}

static void log_size(struct gate_session *s, bool accepted)
{
	struct policy_record r = { .accepted = accepted,
		                   .scope = POLICY_SCOPE_DATA,
		                   .allowed = s->point->smtp.limits.message_bytes,
		                   .received = smtp_session_body_bytes(s->smtp) };

	if (policy_log_begin(s->gate->log, s->point->ingress->policy))
		log_judgement(s, &r);
}

/* --- the session's questions --- */

static void on_mail(void *app, struct smtp_session *smtp, const struct smtp_path *from,
                    const struct smtp_mail_params *p)
{
	struct gate_session *s = app;

	if (s->gate->paused || spool_writer_failed(s->gate->spool))
		smtp_answer(smtp, 452, "4.3.1", "The archive is behind, try again later");
	else if (!gate_envelope_begin(s, from, p) ||
	         ((s->gate->log || asks_addons(s->point->ingress->policy)) &&
	          buf_add(&s->mail_from, from->address) != RC_OK))
		smtp_answer(smtp, 452, "4.3.1", "No memory left");
	else
		smtp_answer(smtp, 250, "2.1.0", "Ok");
}

/* <postmaster> without a domain is this host's, RFC 5321 section 4.5.1. */
static struct slice judged_address(const struct gate_session *s, const struct smtp_path *to,
                                   char *room, size_t size)
{
	if (to->domain.len)
		return to->address;
	(void)snprintf(room, size, "postmaster@%s", s->point->hostname);
	return slice_str(room);
}

static void on_known(void *arg);

/* The reply waits until add-ons have spoken; the peer's next commands wait behind it. */
static bool ask_addons(struct gate_session *s, struct slice recipient)
{
	struct gate_question q = { .client = s->peer.ip,
		                   .helo = smtp_session_helo(s->smtp),
		                   .mail_from = buf_slice(&s->mail_from) };

	if (!s->lookup)
		s->lookup = gate_lookup_new(s->gate->addons, on_known, s);
	return buf_add(&s->recipient, recipient) == RC_OK &&
	       gate_lookup_ask(s->lookup, s->point->ingress->policy, &q);
}

static void answer_rcpt(struct gate_session *s, unsigned code, const char *enhanced,
                        const char *text)
{
	if (code != 250 && s->fits)
		s->meta.len = s->meta_before;
	buf_free(&s->recipient);
	smtp_answer(s->smtp, code, enhanced, text);
}

/* It stands in the envelope already, where it fits. */
static void judge_recipient(struct gate_session *s, struct slice recipient, bool asked)
{
	struct policy_facts f = { .recipient = recipient,
		                  .peer = s->peer.ip,
		                  .tls = s->tls,
		                  .authenticated = smtp_session_authenticated(s->smtp),
		                  .addons = gate_lookup_known(s->lookup) };
	enum policy_verdict v = ask_policy(s, &f);

	if (v == POLICY_ASK && !asked && ask_addons(s, recipient))
		return;
	if (v == POLICY_DENY || v == POLICY_LATER)
		s->gate->counts.denied++;
	if (v == POLICY_ASK)
		answer_rcpt(s, 451, "4.3.2", "Too busy to judge, try again later");
	else if (v == POLICY_LATER)
		answer_rcpt(s, 451, "4.7.1", "Judging is not possible now, try again later");
	else if (v == POLICY_DENY)
		answer_rcpt(s, 550, "5.7.1", "Recipient refused by policy");
	else if (!s->fits)
		answer_rcpt(s, 452, "4.5.3", "Too many recipients");
	else
		answer_rcpt(s, 250, "2.1.5", "Ok");
}

static void on_known(void *arg)
{
	struct gate_session *s = arg;

	judge_recipient(s, buf_slice(&s->recipient), true);
	s->ops->wake(s->arg);
}

static void on_rcpt(void *app, struct smtp_session *smtp, const struct smtp_path *to,
                    const struct smtp_rcpt_params *p)
{
	struct gate_session *s = app;
	char room[LIMIT_SMTP_DOMAIN + 16];

	(void)smtp;
	s->meta_before = s->meta.len;
	s->fits = gate_envelope_recipient(s, to, p);
	judge_recipient(s, judged_address(s, to, room, sizeof(room)), false);
}

static unsigned refusal(enum rc code)
{
	return code == RC_NOSPACE || code == RC_LIMIT ? 452 : 451;
}

static const char *refusal_enhanced(enum rc code)
{
	return refusal(code) == 452 ? "4.3.1" : "4.3.0";
}

static const char *refusal_text(enum rc code)
{
	return refusal(code) == 452 ? "Not enough storage, try again later"
	                            : "The message could not be stored, try again later";
}

static void on_body_begin(void *app, struct smtp_session *smtp)
{
	struct gate_session *s = app;
	struct err e;
	enum rc rc = spool_begin(s->gate->spool, &s->draft, &e);

	if (rc != RC_OK) {
		log_warn("no message can be taken: %s", e.text);
		smtp_answer_begin(smtp, refusal(rc), refusal_enhanced(rc), refusal_text(rc));
		return;
	}
	s->body = true;
	spool_draft_owner(s->draft, s);
	smtp_answer_begin(smtp, 354, NULL, NULL);
}

static enum rc on_body(void *app, struct smtp_session *smtp, struct slice bytes)
{
	struct gate_session *s = app;
	struct err e;
	enum rc rc;

	(void)smtp;
	if (!s->draft)
		return RC_NOSPACE;
	rc = spool_add(s->draft, bytes, &e);
	if (rc != RC_OK) {
		log_warn("a message is refused: %s", e.text);
		spool_abort(&s->draft);
	} else if (spool_draft_waits(s->draft)) {
		smtp_session_hold(smtp);
	}
	return rc;
}

static void on_body_end(void *app, struct smtp_session *smtp)
{
	struct gate_session *s = app;

	s->body = false;
	log_size(s, true);
	if (!s->draft || !gate_envelope_end(s)) {
		s->gate->counts.refused++;
		spool_abort(&s->draft);
		smtp_answer_refused(smtp, 452, "4.3.1", refusal_text(RC_NOSPACE));
		return;
	}
	s->waiting = true;
	spool_commit(&s->draft, buf_slice(&s->meta), s);
	gate_envelope_drop(s);
}

static void on_too_big(void *app, struct smtp_session *smtp)
{
	(void)smtp;
	log_size(app, false);
}

static void on_reset(void *app, struct smtp_session *smtp)
{
	struct gate_session *s = app;

	(void)smtp;
	s->body = false;
	spool_abort(&s->draft);
	gate_envelope_drop(s);
}

static void on_checked(void *arg, int64_t version)
{
	struct gate_session *s = arg;
	char ip[IP_TEXT];

	s->check = NULL;
	s->password_version = version;
	if (!version) {
		ip_format(ip, &s->peer.ip);
		log_info("AUTH failed at %s from %s", s->point->ingress->id, ip);
	}
	smtp_answer_auth(s->smtp, version != 0);
	s->ops->wake(s->arg);
}

static void on_auth(void *app, struct smtp_session *smtp, struct slice authzid, struct slice user,
                    struct slice password)
{
	struct gate_session *s = app;
	const struct ingress_point *i = s->point->ingress;
	bool known = ingress_is_user(i, user) && (!authzid.len || slice_equal(authzid, user));

	(void)snprintf(s->user, sizeof(s->user), "%s", i->id);
	s->check = gate_auth_check(s->gate->auth, &s->peer.ip, i, known, password, on_checked, s);
	if (!s->check)
		smtp_answer_auth_later(smtp);
}

static void on_starttls(void *app, struct smtp_session *smtp)
{
	struct gate_session *s = app;

	(void)smtp;
	s->ops->start_tls(s->arg);
}

static const struct smtp_server_ops session_ops = {
	.mail = on_mail,
	.rcpt = on_rcpt,
	.body_begin = on_body_begin,
	.body = on_body,
	.body_end = on_body_end,
	.too_big = on_too_big,
	.reset = on_reset,
	.auth = on_auth,
	.starttls = on_starttls,
};

/* --- replies that wait for a judgement --- */

static void judging_end(struct gate_session *s)
{
	*s->judging_at = s->judging_next;
	if (s->judging_next)
		s->judging_next->judging_at = s->judging_at;
	s->judging_at = NULL;
	s->judging_next = NULL;
	loop_timer_free(&s->deadline);
}

static void answer_accepted(struct gate_session *s)
{
	char text[ID_TEXT + 1];

	id_format(text, &s->id);
	smtp_answer_accepted(s->smtp, text, s->proof);
}

static void on_deadline(void *arg)
{
	struct gate_session *s = arg;

	judging_end(s);
	answer_accepted(s);
	s->ops->wake(s->arg);
}

static void judging_begin(struct gate_session *s)
{
	struct gate *g = s->gate;

	s->judging_next = g->judging;
	if (s->judging_next)
		s->judging_next->judging_at = &s->judging_next;
	s->judging_at = &g->judging;
	g->judging = s;
	s->deadline = loop_timer_new(g->loop, on_deadline, s);
	loop_timer_set(s->deadline, s->judge_ms);
}

bool gate_judged(struct gate *g, const struct message_id *id, bool refuse, const char *text)
{
	struct gate_session *s = g->judging;

	while (s && id_compare(&s->id, id) != 0)
		s = s->judging_next;
	if (!s)
		return false;
	judging_end(s);
	if (refuse) {
		g->counts.judged++;
		smtp_answer_refused(s->smtp, 550, "5.7.1", text);
	} else {
		answer_accepted(s);
	}
	s->ops->wake(s->arg);
	return refuse;
}

void gate_wait_no_more(struct gate *g)
{
	while (g->judging)
		on_deadline(g->judging);
	gate_addons_close(g->addons);
}

void gate_told(struct gate *g, struct slice body)
{
	gate_addons_told(g->addons, body);
}

/* --- sessions --- */

struct gate_session *gate_session_new(struct gate *g, struct gate_point *p,
                                      const struct gate_peer *peer,
                                      const struct gate_session_ops *ops, void *arg)
{
	struct gate_session *s = mem_new(sizeof(*s));

	s->gate = g;
	s->point = gate_point_ref(p);
	s->peer = *peer;
	s->ops = ops;
	s->arg = arg;
	buf_init(&s->meta, SPOOL_META_MAX);
	buf_init(&s->client_cert, CLIENT_CERT_MOST);
	buf_init(&s->mail_from, LIMIT_SMTP_LINE);
	buf_init(&s->recipient, LIMIT_SMTP_LINE);
	s->smtp = smtp_session_new(&p->smtp, &session_ops, s);
	return s;
}

static void release(struct gate_session *s)
{
	buf_free(&s->meta);
	buf_free(&s->client_cert);
	buf_free(&s->mail_from);
	buf_free(&s->recipient);
	gate_point_free(&s->point);
	free(s);
}

void gate_session_free(struct gate_session **at)
{
	struct gate_session *s = *at;

	if (!s)
		return;
	*at = NULL;
	if (s->check)
		gate_check_forget(s->check);
	s->check = NULL;
	if (s->judging_at)
		judging_end(s);
	smtp_session_free(&s->smtp); /* calls `reset` where a transaction was open */
	gate_lookup_free(&s->lookup);
	spool_abort(&s->draft);
	if (!s->waiting)
		release(s);
}

struct smtp_session *gate_session_smtp(struct gate_session *s)
{
	return s->smtp;
}

bool gate_session_secured(struct gate_session *s, const char *version, const char *cipher,
                          struct slice peer)
{
	struct err e;

	(void)snprintf(s->tls_version, sizeof(s->tls_version), "%s", version ? version : "");
	(void)snprintf(s->tls_cipher, sizeof(s->tls_cipher), "%s", cipher ? cipher : "");
	s->tls = strcmp(s->tls_version, "TLSv1.3") == 0 ? POLICY_TLS_1_3 : POLICY_TLS_1_2;
	if (!s->point->ingress->trust)
		return true;
	if (client_cert_write(&s->client_cert, peer, &e) == RC_OK)
		return true;
	log_info("a client is sent away: %s", e.text);
	return false;
}

enum gate_doing gate_session_doing(const struct gate_session *s)
{
	if (s->waiting || s->check || s->judging_at || gate_lookup_waits(s->lookup))
		return GATE_WAITS;
	return s->body || smtp_session_in_body(s->smtp) ? GATE_BODY : GATE_COMMANDS;
}

/* --- the spool's answers --- */

static void refuse(struct gate_session *s, const struct err *why)
{
	enum rc code = why ? why->code : RC_IO;

	s->gate->counts.refused++;
	log_warn("a message is refused: %s", why ? why->text : "the spool gives no reason");
	if (s->smtp)
		smtp_answer_refused(s->smtp, refusal(code), refusal_enhanced(code),
		                    refusal_text(code));
}

static void on_done(void *app, void *cookie, const struct message_id *id, int64_t received_ms,
                    const struct durable *proof, const struct err *why)
{
	struct gate *g = app;
	struct gate_session *s = cookie;

	(void)received_ms;
	s->waiting = false;
	if (!proof) {
		refuse(s, why);
	} else {
		g->counts.accepted++;
		s->id = *id;
		s->proof = proof;
	}
	if (!s->smtp) {
		release(s);
		return;
	}
	if (proof && s->judge_ms) {
		judging_begin(s);
		return;
	}
	if (proof)
		answer_accepted(s);
	s->ops->wake(s->arg);
}

/* The draft of a session that is there: one without a draft waits for no file. */
static void on_go_on(void *app, void *cookie)
{
	struct gate_session *s = cookie;

	(void)app;
	smtp_session_go_on(s->smtp);
	s->ops->wake(s->arg);
}

static void on_need_file(void *app)
{
	struct gate *g = app;

	g->host->need_file(g->app);
}

static void on_need_big(void *app)
{
	struct gate *g = app;

	g->host->need_big(g->app);
}

static void on_progress(void *app, uint64_t file, uint64_t offset, uint64_t messages)
{
	struct gate *g = app;

	g->host->progress(g->app, file, offset, messages);
}

static void send_question(void *app, struct slice body)
{
	struct gate *g = app;

	g->host->ask(g->app, body);
}

static void on_spool_event(void *arg, unsigned what)
{
	struct gate *g = arg;

	(void)what;
	spool_writer_reap(g->spool);
}

/* --- the gate --- */

enum rc gate_new(struct gate **out, struct loop *l, const struct spool_writer_options *spool,
                 const struct gate_host *host, void *app, struct err *e)
{
	static const struct spool_writer_ops ops = {
		.need_file = on_need_file,
		.need_big = on_need_big,
		.progress = on_progress,
		.done = on_done,
		.go_on = on_go_on,
	};
	struct gate *g = mem_new(sizeof(*g));
	enum rc rc = spool_writer_new(&g->spool, spool, &ops, g, e);

	if (rc != RC_OK) {
		free(g);
		return rc;
	}
	g->loop = l;
	g->host = host;
	g->app = app;
	g->auth = gate_auth_new(l);
	g->addons = gate_addons_new(l, send_question, g);
	g->done = loop_watch_new(l, spool_writer_event_fd(g->spool), LOOP_READ, on_spool_event, g);
	*out = g;
	return RC_OK;
}

void gate_stop(struct gate *g)
{
	spool_writer_stop(g->spool);
	gate_wait_no_more(g);
}

void gate_free(struct gate **at)
{
	struct gate *g = *at;

	if (!g)
		return;
	*at = NULL;
	spool_writer_stop(g->spool); /* frees what waits without a connection */
	loop_watch_free(&g->done);
	gate_auth_free(&g->auth);
	gate_addons_free(&g->addons);
	spool_writer_free(&g->spool);
	free_points(g->points, g->point_count);
	free(g);
}

struct spool_writer *gate_spool(struct gate *g)
{
	return g->spool;
}

void gate_log(struct gate *g, struct policy_log *log)
{
	g->log = log;
}

void gate_pause(struct gate *g, bool pause)
{
	g->paused = pause;
}

void gate_flush(struct gate *g)
{
	spool_writer_flush(g->spool);
}

size_t gate_waiting(const struct gate *g)
{
	return spool_writer_waiting(g->spool);
}

void gate_count(const struct gate *g, struct gate_counts *out)
{
	*out = g->counts;
}
