#include "ingest/mail.h"

#include <stdlib.h>

#include "base/codec.h"
#include "base/limits.h"
#include "ingest/scan_result.h"

static enum policy_tls tls_of(struct slice version)
{
	if (slice_equal(version, slice_str("TLSv1.3")))
		return POLICY_TLS_1_3;
	return slice_equal(version, slice_str("TLSv1.2")) ? POLICY_TLS_1_2 : POLICY_TLS_NONE;
}

/* "rcpt" is a list of {"to":...}; `more` a list of plain addresses. */
static void read_recipients(struct mail *m, const json_t *receipt, const json_t *more)
{
	json_t *list = json_member_array(receipt, "rcpt");
	size_t count = json_array_size(list) + json_array_size(more);

	m->recipients = mem_array(count, sizeof(*m->recipients));
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct slice to = json_member_text(json_array_get(list, i), "to");

		if (to.at)
			m->recipients[m->recipient_count++] = to;
	}
	m->envelope_count = m->recipient_count;
	for (size_t i = 0; i < json_array_size(more); i++) {
		struct slice to = json_text(json_array_get(more, i));

		if (to.at)
			m->recipients[m->recipient_count++] = to;
	}
}

#ifdef MM_TEST
/* For tests without DNS: MM_TEST_VERDICTS is an object with the verdicts of mail from each of its
 * members. */
static void give_verdicts(struct mail *m)
{
	const char *text = getenv("MM_TEST_VERDICTS");
	char *from = slice_string(m->mail_from);
	json_t *all = NULL;

	if (text && json_read(&all, slice_str(text), NULL) == RC_OK &&
	    json_member_object(all, from))
		mail_set_verdicts(m, json_incref(json_member_object(all, from)));
	json_decref(all);
	free(from);
}
#endif

static void read_receipt(struct mail *m, const json_t *receipt, const json_t *more)
{
	m->mail_from = json_member_text(receipt, "mail_from");
	m->helo = json_member_text(receipt, "helo");
	m->ip = json_member_text(receipt, "ip");
	m->ingress = json_member_text(receipt, "ingress");
	m->policy = json_member_text(receipt, "policy");
	m->policy_version = json_member_int(receipt, "policy_version", 0);
	m->rule_set = json_member_text(receipt, "rule_set");
	m->rule_set_version = json_member_int(receipt, "rule_set_version", 0);
	m->odd = json_member_text(receipt, "odd");
	m->tls = tls_of(json_member_text(json_object_get(receipt, "tls"), "version"));
	m->client_cert = json_member_object(receipt, "client_cert");
	m->tls_wrapped = json_member_bool(receipt, "tls_wrapped", false);
	m->judge_first = json_member_bool(receipt, "judge_first", false);
	read_recipients(m, receipt, more);
}

static enum rc read_import(struct mail *m, const json_t *receipt, struct err *e)
{
	int64_t received_ms = json_member_int(receipt, "received_ms", -1);

	m->import = true;
	m->archive = (uint32_t)json_member_int(receipt, "archive", 0);
	if (!hex_decode(m->ledger, sizeof(m->ledger), json_member_text(receipt, "ledger")))
		return err_set(e, RC_INVALID, "an imported message has no ledger key");
	if (received_ms >= 0) {
		m->id = id_at(&m->id, received_ms);
		m->received_ms = id_received_ms(&m->id);
	}
	return RC_OK;
}

enum rc mail_read(struct mail *m, const struct message_id *id, int64_t received_ms,
                  struct slice meta, bool import, struct err *e)
{
	enum rc rc;

	*m = (struct mail) { .id = *id, .received_ms = received_ms };
	rc = json_read(&m->json, meta, e);
	if (rc != RC_OK)
		return err_in(e, "what is kept beside the message");
	m->receipt = m->json;
	(void)json_object_del(m->json, "verdicts");
	(void)json_object_del(m->json, "addons");
	read_receipt(m, m->receipt, NULL);
#ifdef MM_TEST
	give_verdicts(m);
#endif
	if (import)
		return read_import(m, m->json, e);
	/* More never passed the gate, and rules would take long over them. */
	if (m->recipient_count > LIMIT_SMTP_RECIPIENTS)
		return err_set(e, RC_INVALID, "%zu recipients", m->recipient_count);
	return RC_OK;
}

enum rc mail_read_stored(struct mail *m, const struct message_id *id, struct slice meta,
                         struct err *e)
{
	enum rc rc;

	*m = (struct mail) { .id = *id, .received_ms = id_received_ms(id) };
	rc = json_read(&m->json, meta, e);
	if (rc != RC_OK)
		return err_in(e, "what is kept beside the message");
	m->receipt = json_object_get(m->json, "receipt");
	read_receipt(m, m->receipt,
	             json_member_array(json_object_get(m->json, "archive"), "replaced"));
	return RC_OK;
}

void mail_free(struct mail *m)
{
	free(m->recipients);
	json_decref(m->json);
	*m = (struct mail) { .received_ms = 0 };
}

const json_t *mail_verdicts(const struct mail *m)
{
	return json_member_object(m->receipt, "verdicts");
}

void mail_set_verdicts(struct mail *m, json_t *verdicts)
{
	if (json_is_object(m->receipt)) /* what a front wrote may be anything */
		json_put(m->receipt, "verdicts", verdicts);
	else
		json_decref(verdicts);
}

const json_t *mail_addons(const struct mail *m)
{
	return json_member_object(m->receipt, "addons");
}

void mail_add_addons(struct mail *m, json_t *addons)
{
	json_t *there = json_member_object(m->receipt, "addons");

	if (there)
		(void)json_object_update(there, addons);
	else if (json_is_object(m->receipt) && json_object_size(addons))
		json_put(m->receipt, "addons", json_incref(addons));
	json_decref(addons);
}

static struct rule_result analysis_of(const void *arg, struct slice instance, struct slice field)
{
	return scans_field(mail_addons(arg), instance, field);
}

void mail_envelope(const struct mail *m, struct document_envelope *env)
{
	env->id = m->id;
	env->mail_from = m->mail_from;
	env->recipients = m->recipients;
	env->recipient_count = m->recipient_count;
	env->ingress = m->ingress;
	env->ip = m->ip;
	env->problem = m->odd;
	env->verdicts = mail_verdicts(m);
}

static enum rule_verdict verdict_of(const json_t *verdicts, const char *part)
{
	enum rule_verdict v = RULE_PROCESSING_FAILED;

	(void)rule_verdict_parse(json_member_text(json_member_object(verdicts, part), "verdict"),
	                         &v);
	return v;
}

/* A result that may pass (temperror) tells nothing, whatever is said beside it. */
static enum rule_dmarc asks_of(const json_t *verdicts)
{
	const json_t *dmarc = json_member_object(verdicts, "dmarc");
	enum rule_dmarc d = RULE_DMARC_UNKNOWN;

	if (!slice_equal(json_member_text(dmarc, "result"), slice_str("temperror")))
		(void)rule_dmarc_parse(json_member_text(dmarc, "asks"), &d);
	return d;
}

void mail_facts(const struct mail *m, struct rule_facts *facts)
{
	const json_t *verdicts = mail_verdicts(m);

	facts->spf = verdict_of(verdicts, "spf");
	facts->dkim = verdict_of(verdicts, "dkim");
	facts->dmarc = asks_of(verdicts);
	facts->analysis = analysis_of;
	facts->analysis_arg = m;
	facts->mail_from = m->mail_from;
	facts->helo = m->helo;
	if (!ip_parse(&facts->peer, m->ip))
		facts->peer = (struct ip) { 0 };
	facts->tls = m->tls;
	facts->tls_wrapped = m->tls_wrapped;
	facts->client_cert = m->client_cert;
}
