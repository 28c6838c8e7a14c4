#include "smtp/session.h"

#include <stdio.h>

#define REPLY_LINE 512 /* RFC 5321 section 4.5.3.1.5, with CRLF */

/* One reply line into the output; what can't be put there ends the session, since a reply that is
 * missing would shift all later ones. */
static void put_line(struct smtp_session *s, unsigned code, char sep, const char *enhanced,
                     const char *text)
{
	char line[REPLY_LINE];
	size_t n = 4;

	line[0] = (char)('0' + code / 100);
	line[1] = (char)('0' + code / 10 % 10);
	line[2] = (char)('0' + code % 10);
	line[3] = sep;
	if (enhanced && *enhanced) {
		size_t len = MIN_OF(strlen(enhanced), (size_t)11); /* "5.123.123" */

		memcpy(line + n, enhanced, len);
		n += len;
		line[n++] = ' ';
	}
	for (; text && *text && n < sizeof(line) - 2; text++)
		line[n++] = *text >= ' ' && *text <= '~' ? *text : '?';
	line[n++] = '\r';
	line[n++] = '\n';
	if (buf_add(&s->out, slice_of(line, n)) != RC_OK)
		smtp_session_close(s);
}

void smtp_reply(struct smtp_session *s, unsigned code, const char *enhanced, const char *text)
{
	put_line(s, code, ' ', enhanced, text);
}

void smtp_reply_more(struct smtp_session *s, unsigned code, const char *text)
{
	put_line(s, code, '-', NULL, text);
}

void smtp_reply_greeting(struct smtp_session *s)
{
	char line[REPLY_LINE];

	(void)snprintf(line, sizeof(line), "%s ESMTP", s->config->hostname);
	put_line(s, 220, ' ', NULL, line);
}

void smtp_reply_final(struct smtp_session *s, const char *enhanced, const char *text)
{
	char line[REPLY_LINE];

	if (s->state == STATE_CLOSED)
		return;
	(void)snprintf(line, sizeof(line), "%s %s", s->config->hostname, text);
	put_line(s, 421, ' ', enhanced, line);
	smtp_session_close(s);
}

void smtp_refuse(struct smtp_session *s, unsigned code, const char *enhanced, const char *text)
{
	unsigned limit = s->config->limits.errors;

	if (code == 421) {
		smtp_reply_final(s, enhanced, text);
		return;
	}
	smtp_reply(s, code, enhanced, text);
	s->errors++;
	if (limit && s->errors >= limit)
		smtp_reply_final(s, "4.7.0", "Too many errors");
}

void smtp_reply_junk(struct smtp_session *s, unsigned code, const char *enhanced, const char *text)
{
	unsigned limit = s->config->limits.junk;

	smtp_reply(s, code, enhanced, text);
	s->junk++;
	if (limit && s->junk > limit)
		smtp_reply_final(s, "4.7.0", "Too many commands without a message");
}
