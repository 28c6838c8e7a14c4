#include <stdio.h>

#include "smtp/session.h"

void smtp_body_begin(struct smtp_session *s, bool chunked)
{
	s->chunked = chunked;
	smtp_data_begin(&s->data);
	s->body_bytes = 0;
	s->body_dropped = false;
	s->waiting = WAIT_BEGIN;
	s->ops->body_begin(s->app, s);
}

static void refuse(struct smtp_session *s, unsigned code, const char *enhanced, const char *text)
{
	smtp_transaction_end(s, false);
	smtp_reply(s, code, enhanced, text);
}

static bool too_big(const struct smtp_session *s)
{
	return s->body_bytes > s->config->limits.message_bytes;
}

static bool odd(const struct smtp_session *s)
{
	return s->data.odd && !s->config->keep_bare;
}

/* What can't be accepted any more is counted, for deadlines, and dropped. */
void smtp_body_take(struct smtp_session *s, struct slice run)
{
	s->body_bytes += run.len; /* nobody sends 2^64 bytes */
	if (too_big(s) || odd(s))
		s->body_dropped = true;
	if (s->body_dropped || run.len == 0 || s->ops->body(s->app, s, run) == RC_OK)
		return;
	s->body_dropped = true; /* 452 unless something worse turns up */
}

/* The order doesn't depend on the pieces that the body came in, and what will never be accepted is
 * told before what may be later. */
bool smtp_body_refused(struct smtp_session *s)
{
	char text[64];

	if (!s->body_dropped && !odd(s)) /* a CR at the very end of chunks is found late */
		return false;
	if (too_big(s)) {
		if (s->ops->too_big)
			s->ops->too_big(s->app, s);
		refuse(s, 552, "5.3.4", "Message too big");
	} else if (odd(s)) {
		(void)snprintf(text, sizeof(text), "The message has %s",
		               smtp_data_oddity(&s->data));
		refuse(s, 550, "5.6.0", text);
	} else {
		refuse(s, 452, "4.3.1", "No room for the message now");
	}
	return true;
}

void smtp_body_finish(struct smtp_session *s)
{
	if (smtp_body_refused(s))
		return;
	s->waiting = WAIT_END;
	s->ops->body_end(s->app, s);
}
