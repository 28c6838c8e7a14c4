#include "smtp/address.h"
#include "smtp/params.h"
#include "smtp/session.h"

static bool parse(struct slice args, struct smtp_path *from, struct smtp_mail_params *p,
                  struct smtp_params_room *room, struct smtp_session *s)
{
	struct slice prefix = slice_str("FROM:");
	struct slice rest;
	struct err e = { 0 };
	enum rc rc;

	if (!slice_starts_nocase(args, prefix)) {
		smtp_refuse(s, 501, "5.5.4", "Syntax: MAIL FROM:<address>");
		return false;
	}
	if (!slice_is_utf8(args)) {
		smtp_refuse(s, 553, "5.6.7", "Not UTF-8");
		return false;
	}
	args = slice_from(args, prefix.len);
	rc = smtp_path_parse(from, args, ADDRESS_NULL | ADDRESS_ODD | ADDRESS_UTF8, &rest, &e);
	if (rc != RC_OK) {
		smtp_refuse(s, 501, "5.1.7", e.text);
		return false;
	}
	rc = smtp_mail_params_parse(p, rest, room, &e);
	if (rc != RC_OK) {
		smtp_refuse(s, rc == RC_NOTFOUND ? 555 : 501, "5.5.4", e.text);
		return false;
	}
	if (!p->smtputf8 && !smtp_is_ascii(args)) {
		smtp_refuse(s, 553, "5.6.7", "Needs SMTPUTF8");
		return false;
	}
	return true;
}

void smtp_command_mail(struct smtp_session *s, struct slice args)
{
	struct smtp_params_room room;
	struct smtp_mail_params p;
	struct smtp_path from;

	if (s->config->auth && !s->authenticated) {
		smtp_refuse(s, 530, "5.7.0", "Authentication required");
		return;
	}
	if (!parse(args, &from, &p, &room, s))
		return;
	if (p.size > s->config->limits.message_bytes) {
		smtp_refuse(s, 552, "5.3.4", "Message too big");
		return;
	}
	s->transaction = true;
	s->smtputf8 = p.smtputf8;
	s->waiting = WAIT_MAIL;
	s->ops->mail(s->app, s, &from, &p);
}
