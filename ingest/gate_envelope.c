/* ingest/gate_envelope.c - what is kept beside a message (ingest/gate.h), written while its
 * envelope comes */
#include <stdio.h>

#include "ingest/gate_parts.h"
#include "ingest/meta.h"
#include "ingest/spool/record.h"

#define KEPT_META 2048 /* bytes of an envelope's buffer that an idle session may keep */

/* An idle session holds little. */
void gate_envelope_drop(struct gate_session *s)
{
	if (s->meta.room > KEPT_META)
		buf_free(&s->meta);
	else
		buf_clear(&s->meta);
	buf_free(&s->mail_from);
	buf_free(&s->recipient);
	gate_lookup_forget(s->lookup);
}

bool gate_envelope_begin(struct gate_session *s, const struct smtp_path *from,
                         const struct smtp_mail_params *p)
{
	struct buf *b = &s->meta;

	buf_clear(b);
	return buf_add_byte(b, '{') == RC_OK && meta_int(b, "v", 1) == RC_OK &&
	       meta_text(b, "mail_from", from->address) == RC_OK &&
	       meta_bool(b, "smtputf8", p->smtputf8) == RC_OK &&
	       meta_text_if(b, "body", p->body) == RC_OK &&
	       meta_text_if(b, "envid", p->envid) == RC_OK &&
	       meta_text_if(b, "ret", p->ret) == RC_OK &&
	       meta_text_if(b, "mail_auth", p->auth) == RC_OK && meta_open(b, "rcpt", '[') == RC_OK;
}

bool gate_envelope_recipient(struct gate_session *s, const struct smtp_path *to,
                             const struct smtp_rcpt_params *p)
{
	struct buf *b = &s->meta;
	size_t before = b->len;

	if (meta_element(b) == RC_OK && meta_text(b, "to", to->address) == RC_OK &&
	    meta_text_if(b, "notify", p->notify) == RC_OK &&
	    meta_text_if(b, "orcpt", p->orcpt) == RC_OK && meta_close(b, '}') == RC_OK &&
	    b->len <= SPOOL_META_MAX / 2)
		return true;
	b->len = before;
	return false;
}

static bool add_peer(struct gate_session *s)
{
	struct buf *b = &s->meta;
	char ip[IP_TEXT], local[IP_TEXT], at[IP_TEXT + 10];

	ip_format(ip, &s->peer.ip);
	ip_format(local, &s->peer.local_ip);
	(void)snprintf(at, sizeof(at), s->peer.local_ip.family == 6 ? "[%s]:%u" : "%s:%u", local,
	               (unsigned)s->peer.local_port);
	return meta_text(b, "helo", smtp_session_helo(s->smtp)) == RC_OK &&
	       meta_bool(b, "esmtp", smtp_session_esmtp(s->smtp)) == RC_OK &&
	       meta_text(b, "ip", slice_str(ip)) == RC_OK &&
	       meta_int(b, "port", s->peer.port) == RC_OK &&
	       meta_text(b, "local", slice_str(at)) == RC_OK;
}

static bool add_security(struct gate_session *s)
{
	struct buf *b = &s->meta;
	const char *odd = smtp_session_body_oddity(s->smtp);

	if (s->tls_version[0] && (meta_open(b, "tls", '{') != RC_OK ||
	                          meta_text(b, "version", slice_str(s->tls_version)) != RC_OK ||
	                          meta_text(b, "cipher", slice_str(s->tls_cipher)) != RC_OK ||
	                          meta_close(b, '}') != RC_OK))
		return false;
	if (s->client_cert.len &&
	    (meta_open(b, "client_cert", '{') != RC_OK ||
	     buf_add(b, buf_slice(&s->client_cert)) != RC_OK || meta_close(b, '}') != RC_OK))
		return false;
	if (smtp_session_authenticated(s->smtp) &&
	    (meta_text(b, "auth", slice_str(s->user)) != RC_OK ||
	     meta_int(b, "auth_version", s->password_version) != RC_OK))
		return false;
	return meta_bool(b, "tls_wrapped", s->point->ingress->tls_wrapped) == RC_OK &&
	       (!odd || meta_text(b, "odd", slice_str(odd)) == RC_OK);
}

/* The rule set's version is that of now, not of the connection's beginning. */
static bool add_configuration(struct gate_session *s)
{
	struct buf *b = &s->meta;
	const struct gate_point *now = gate_find_point(s->gate, slice_str(s->point->ingress->id));
	const struct ingress_point *i = (now ? now : s->point)->ingress;
	const struct policy *judged = s->point->ingress->policy;

	s->judge_ms = i->judge_ms;
	return meta_text(b, "ingress", slice_str(i->name)) == RC_OK &&
	       meta_text(b, "ingress_id", slice_str(i->id)) == RC_OK &&
	       (!judged || (meta_text(b, "policy", slice_str(policy_id(judged))) == RC_OK &&
	                    meta_int(b, "policy_version", policy_version(judged)) == RC_OK)) &&
	       meta_text(b, "rule_set", slice_str(i->rule_set_id)) == RC_OK &&
	       meta_int(b, "rule_set_version", i->rule_set_version) == RC_OK &&
	       (!i->judge_ms || meta_bool(b, "judge_first", true) == RC_OK);
}

bool gate_envelope_end(struct gate_session *s)
{
	return meta_close(&s->meta, ']') == RC_OK && add_configuration(s) && add_peer(s) &&
	       add_security(s) && meta_close(&s->meta, '}') == RC_OK;
}
