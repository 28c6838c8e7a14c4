/*
 * BDAT, RFC 3030: the octets of a chunk are read whatever the reply will be, and it comes after
 * them
 */
#include <inttypes.h>
#include <stdio.h>

#include "smtp/session.h"

static void chunk_end(struct smtp_session *s)
{
	char text[48];

	s->steps++;
	if (s->chunk_refusal.code) {
		smtp_session_enter(s, s->chunk_back);
		smtp_refuse(s, s->chunk_refusal.code, s->chunk_refusal.enhanced,
		            s->chunk_refusal.text);
		return;
	}
	if (s->chunk_last) {
		smtp_data_chunks_end(&s->data);
		smtp_body_finish(s);
		return;
	}
	if (smtp_body_refused(s))
		return;
	smtp_session_enter(s, STATE_BDAT);
	(void)snprintf(text, sizeof(text), "%" PRIu64 " octets received", s->chunk_bytes);
	if (s->chunk_bytes)
		smtp_reply(s, 250, "2.0.0", text);
	else
		smtp_reply_junk(s, 250, "2.0.0", text);
}

void smtp_chunk_begin(struct smtp_session *s)
{
	smtp_session_enter(s, STATE_CHUNK);
	if (s->chunk_left == 0)
		chunk_end(s);
}

void smtp_chunk_drop(struct smtp_session *s)
{
	smtp_transaction_end(s, false);
	s->body_bytes = 0;
	s->chunk_back = s->state;
	smtp_chunk_begin(s);
}

size_t smtp_chunk_input(struct smtp_session *s, struct slice bytes)
{
	struct slice run = bytes;

	if (run.len > s->chunk_left)
		run.len = (size_t)s->chunk_left;
	s->chunk_left -= run.len;
	if (s->chunk_refusal.code) {
		s->body_bytes += run.len; /* less than 2^64: the chunk's size */
	} else {
		smtp_data_chunk(&s->data, run);
		smtp_body_take(s, run);
	}
	if (s->chunk_left == 0)
		chunk_end(s);
	return run.len;
}

/* chunk-size is 1*DIGIT: no sign, no hex, no overflow. */
static bool parse(struct smtp_session *s, struct slice args)
{
	struct slice last;
	struct slice size = slice_cut(args, ' ', &last);

	s->chunk_last = last.len > 0;
	if (!slice_to_u64(size, &s->chunk_bytes)) {
		smtp_refuse(s, 501, "5.5.4", "Syntax: BDAT size [LAST]");
		/* Nobody knows how many octets follow, and they must not be run as commands. */
		smtp_session_close(s);
		return false;
	}
	s->chunk_left = s->chunk_bytes;
	s->chunk_refusal.code = 0;
	if (last.len && !slice_equal_nocase(last, slice_str("LAST")))
		smtp_refusal_set(&s->chunk_refusal, 501, "5.5.4", "Syntax: BDAT size [LAST]");
	return true;
}

void smtp_command_bdat(struct smtp_session *s, struct slice args)
{
	struct smtp_refusal *why = &s->chunk_refusal;

	if (!parse(s, args))
		return;
	if (!why->code && !smtp_command_refused(s, IN(MAIL) | IN(RCPT) | IN(BDAT), false, why) &&
	    s->rcpts == 0)
		smtp_refusal_set(why, s->rcpts_tried ? 554 : 503, "5.5.1",
		                 s->rcpts_tried ? "No valid recipients" : "No recipients");
	if (why->code)
		smtp_chunk_drop(s);
	else if (s->state == STATE_RCPT)
		smtp_body_begin(s, true);
	else
		smtp_chunk_begin(s);
}
