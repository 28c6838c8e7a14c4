#include <inttypes.h>
#include <stdio.h>

#include "smtp/session.h"

/* What the peer calls itself: kept as given, since it is evidence and not an address. */
static bool take_helo(struct smtp_session *s, struct slice args)
{
	if (args.len == 0 || args.len > SMTP_HELO_BYTES) {
		smtp_refuse(s, 501, "5.5.4", "A host name is needed");
		return false;
	}
	for (size_t i = 0; i < args.len; i++)
		if (args.at[i] > '~') { /* controls were refused before */
			smtp_refuse(s, 501, "5.5.4", "The host name is not ASCII");
			return false;
		}
	smtp_transaction_end(s, false);
	memcpy(s->helo, args.at, args.len);
	s->helo[args.len] = '\0';
	s->helo_len = (uint8_t)args.len;
	smtp_session_enter(s, STATE_READY);
	return true;
}

static void last_line(struct smtp_session *s, bool again, const char *text)
{
	if (again)
		smtp_reply_junk(s, 250, NULL, text);
	else
		smtp_reply(s, 250, NULL, text);
}

void smtp_command_helo(struct smtp_session *s, struct slice args)
{
	bool again = s->helo_len > 0;

	if (!take_helo(s, args))
		return;
	s->esmtp = false;
	last_line(s, again, s->config->hostname);
}

void smtp_command_ehlo(struct smtp_session *s, struct slice args)
{
	char size[32];
	bool again = s->helo_len > 0;

	if (!take_helo(s, args))
		return;
	s->esmtp = true;
	(void)snprintf(size, sizeof(size), "SIZE %" PRIu64, s->config->limits.message_bytes);
	smtp_reply_more(s, 250, s->config->hostname);
	smtp_reply_more(s, 250, "PIPELINING");
	smtp_reply_more(s, 250, size);
	smtp_reply_more(s, 250, "8BITMIME");
	smtp_reply_more(s, 250, "SMTPUTF8");
	smtp_reply_more(s, 250, "ENHANCEDSTATUSCODES");
	smtp_reply_more(s, 250, "DSN");
	if (s->config->tls != SMTP_TLS_NONE && !s->tls)
		smtp_reply_more(s, 250, "STARTTLS");
	if (s->config->auth && s->tls && !s->authenticated)
		smtp_reply_more(s, 250, "AUTH PLAIN LOGIN");
	last_line(s, again, "CHUNKING");
}
