#include "smtp/address.h"
#include "smtp/params.h"
#include "smtp/session.h"

/* So many more recipients than the limit may a peer name before it counts as an error: RFC 5321
 * section 4.5.3.1.10 has it send the rest in another transaction. */
#define OVERSHOOT 1000

static bool parse_path(struct smtp_session *s, struct slice args, struct smtp_path *to,
                       struct slice *rest)
{
	struct slice prefix = slice_str("TO:");
	unsigned flags = ADDRESS_POSTMASTER | ADDRESS_UTF8;
	struct err e = { 0 };
	enum rc rc;

	if (!slice_starts_nocase(args, prefix)) {
		smtp_refuse(s, 501, "5.5.4", "Syntax: RCPT TO:<address>");
		return false;
	}
	if (!slice_is_utf8(args) || (!s->smtputf8 && !smtp_is_ascii(args))) {
		smtp_refuse(s, 553, "5.6.7", s->smtputf8 ? "Not UTF-8" : "Needs SMTPUTF8");
		return false;
	}
	if (s->config->odd_local)
		flags |= ADDRESS_ODD;
	rc = smtp_path_parse(to, slice_from(args, prefix.len), flags, rest, &e);
	if (rc != RC_OK)
		smtp_refuse(s, rc == RC_DENIED ? 553 : 501, "5.1.3", e.text);
	return rc == RC_OK;
}

static void too_many(struct smtp_session *s)
{
	if (++s->rcpts_over > OVERSHOOT)
		smtp_refuse(s, 452, "4.5.3", "Too many recipients");
	else
		smtp_reply(s, 452, "4.5.3", "Too many recipients");
}

void smtp_command_rcpt(struct smtp_session *s, struct slice args)
{
	struct smtp_params_room room;
	struct smtp_rcpt_params p;
	struct smtp_path to;
	struct slice rest;
	struct err e = { 0 };
	enum rc rc;

	s->rcpts_tried++;
	if (!parse_path(s, args, &to, &rest))
		return;
	rc = smtp_rcpt_params_parse(&p, rest, s->smtputf8, &room, &e);
	if (rc != RC_OK) {
		smtp_refuse(s, rc == RC_NOTFOUND ? 555 : 501, "5.5.4", e.text);
		return;
	}
	if (s->config->limits.recipients && s->rcpts >= s->config->limits.recipients) {
		too_many(s);
		return;
	}
	s->waiting = WAIT_RCPT;
	s->ops->rcpt(s->app, s, &to, &p);
}
