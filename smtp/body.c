#include <stdio.h>

#include "smtp/session.h"

void smtp_body_begin(struct smtp_session *s, bool chunked)
{
	s->chunked = chunked;
	smtp_data_begin(&s->data);
	s->verdict = BODY_GOOD;
	s->body_bytes = 0;
	s->waiting = WAIT_BEGIN;
	s->ops->body_begin(s->app, s);
}

static void judge(struct smtp_session *s)
{
	if (s->verdict == BODY_GOOD && s->data.odd && !s->config->keep_bare)
		s->verdict = BODY_ODD;
}

/* What can't be accepted any more is counted, for deadlines, and dropped. */
void smtp_body_take(struct smtp_session *s, struct slice run)
{
	uint64_t limit = s->config->limits.message_bytes;

	judge(s);
	if (s->verdict == BODY_GOOD && (s->body_bytes > limit || run.len > limit - s->body_bytes))
		s->verdict = BODY_TOO_BIG;
	s->body_bytes += run.len;
	if (s->verdict == BODY_GOOD && run.len && s->ops->body(s->app, s, run) != RC_OK)
		s->verdict = BODY_NOT_TAKEN;
}

bool smtp_body_refused(struct smtp_session *s)
{
	enum smtp_verdict verdict;
	char text[64];

	judge(s);
	verdict = s->verdict;
	if (verdict == BODY_GOOD)
		return false;
	smtp_transaction_end(s, false);
	switch (verdict) {
	case BODY_TOO_BIG:
		smtp_reply(s, 552, "5.3.4", "Message too big");
		break;
	case BODY_NOT_TAKEN:
		smtp_reply(s, 452, "4.3.1", "No room for the message now");
		break;
	default:
		(void)snprintf(text, sizeof(text), "The message has %s",
		               smtp_data_oddity(&s->data));
		smtp_reply(s, 550, "5.6.0", text);
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
