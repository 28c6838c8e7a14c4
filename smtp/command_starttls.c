#include "smtp/session.h"

/* RFC 3207 section 4.2: what was learned in the clear is forgotten. */
static void forget_all(struct smtp_session *s)
{
	smtp_transaction_end(s, false);
	smtp_auth_forget(s);
	s->authenticated = false;
	s->esmtp = false;
	s->helo_len = 0;
	s->helo[0] = '\0';
}

void smtp_command_starttls(struct smtp_session *s, struct slice args)
{
	(void)args; /* the table allows none: 501, RFC 3207 section 4 */
	if (s->tls) {
		smtp_refuse(s, 503, "5.5.1", "TLS is on already");
		return;
	}
	if (s->config->tls == SMTP_TLS_NONE) {
		smtp_refuse(s, 502, "5.5.1", "TLS is not offered");
		return;
	}
	forget_all(s);
	smtp_reply(s, 220, "2.0.0", "Ready to start TLS");
	smtp_session_enter(s, STATE_TLS);
	if (s->state == STATE_TLS)
		s->ops->starttls(s->app, s);
}
