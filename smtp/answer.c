#include <stdio.h>

#include "base/file.h"
#include "smtp/session.h"

/* False when the session has ended meanwhile: nobody waits for this answer any more. */
static bool answers(struct smtp_session *s, enum smtp_waiting what)
{
	if (s->state == STATE_CLOSED)
		return false;
	MUST(s->waiting == what);
	s->waiting = WAIT_NOTHING;
	return true;
}

static bool negative(unsigned code)
{
	return code >= 400 && code <= 599;
}

static void answer_mail(struct smtp_session *s, unsigned code, const char *enhanced,
                        const char *text)
{
	if (code == 250) {
		smtp_session_enter(s, STATE_MAIL);
		smtp_reply(s, 250, enhanced, text);
		return;
	}
	smtp_transaction_end(s, false);
	smtp_refuse(s, code, enhanced, text);
}

static void answer_rcpt(struct smtp_session *s, unsigned code, const char *enhanced,
                        const char *text)
{
	if (code == 250) {
		s->rcpts++;
		smtp_session_enter(s, STATE_RCPT);
		smtp_reply(s, 250, enhanced, text);
		return;
	}
	smtp_refuse(s, code, enhanced, text);
}

void smtp_answer(struct smtp_session *s, unsigned code, const char *enhanced, const char *text)
{
	bool mail = s->waiting == WAIT_MAIL;

	MUST(code == 250 || negative(code));
	if (!answers(s, mail ? WAIT_MAIL : WAIT_RCPT))
		return;
	if (mail)
		answer_mail(s, code, enhanced, text);
	else
		answer_rcpt(s, code, enhanced, text);
}

void smtp_answer_begin(struct smtp_session *s, unsigned code, const char *enhanced,
                       const char *text)
{
	MUST(code == 354 || negative(code));
	if (!answers(s, WAIT_BEGIN))
		return;
	if (s->chunked && code == 354) {
		smtp_chunk_begin(s);
	} else if (s->chunked) {
		smtp_refusal_set(&s->chunk_refusal, code, enhanced, text);
		smtp_chunk_drop(s);
	} else if (code == 354) {
		smtp_session_enter(s, STATE_DATA);
		smtp_reply(s, 354, NULL, text && *text ? text : "End data with <CR><LF>.<CR><LF>");
	} else {
		smtp_transaction_end(s, false);
		smtp_refuse(s, code, enhanced, text);
	}
}

void smtp_answer_accepted(struct smtp_session *s, const char *id, const struct durable *proof)
{
	char text[128];

	MUST(proof != NULL);
	if (!answers(s, WAIT_END))
		return;
	s->errors = 0;
	s->junk = 0;
	smtp_transaction_end(s, true);
	(void)snprintf(text, sizeof(text), "%s accepted", id);
	smtp_reply(s, 250, "2.6.0", text);
}

void smtp_answer_refused(struct smtp_session *s, unsigned code, const char *enhanced,
                         const char *text)
{
	MUST(negative(code));
	if (!answers(s, WAIT_END))
		return;
	smtp_transaction_end(s, false);
	if (code == 421)
		smtp_reply_final(s, enhanced, text);
	else
		smtp_reply(s, code, enhanced, text);
}

void smtp_answer_auth(struct smtp_session *s, bool good)
{
	if (!answers(s, WAIT_AUTH))
		return;
	s->authenticated = good;
	if (good)
		smtp_reply(s, 235, "2.7.0", "Authenticated");
	else
		smtp_refuse(s, 535, "5.7.8", "Credentials are not valid");
}

void smtp_answer_auth_later(struct smtp_session *s)
{
	if (answers(s, WAIT_AUTH))
		smtp_refuse(s, 454, "4.7.0", "Too busy to check, try again later");
}
