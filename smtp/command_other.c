#include "smtp/session.h"

void smtp_command_rset(struct smtp_session *s, struct slice args)
{
	(void)args;
	smtp_transaction_end(s, false);
	smtp_reply_junk(s, 250, "2.0.0", "Reset");
}

void smtp_command_noop(struct smtp_session *s, struct slice args)
{
	(void)args;
	smtp_reply_junk(s, 250, "2.0.0", "Ok");
}

void smtp_command_help(struct smtp_session *s, struct slice args)
{
	(void)args;
	smtp_reply_junk(s, 214, "2.0.0", "See RFC 5321");
}

/* Never says whether there is such a user: RFC 5321 sections 3.5.3 and 7.3. */
void smtp_command_vrfy(struct smtp_session *s, struct slice args)
{
	if (args.len == 0)
		smtp_refuse(s, 501, "5.5.4", "An address is needed");
	else
		smtp_reply_junk(s, 252, "2.0.0", "Cannot verify, but will take mail and try");
}

void smtp_command_expn(struct smtp_session *s, struct slice args)
{
	(void)args;
	smtp_refuse(s, 502, "5.5.1", "Lists are not expanded");
}

void smtp_command_quit(struct smtp_session *s, struct slice args)
{
	(void)args;
	smtp_reply(s, 221, "2.0.0", "Bye");
	smtp_session_close(s);
}
