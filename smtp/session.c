#include "smtp/session.h"

#include <stdlib.h>

#include "base/limits.h"

#define OUTPUT_ENOUGH 16384 /* a peer that doesn't read its replies isn't read from */
#define OUTPUT_LIMIT  65536
#define KEEP_ROOM     4096  /* memory an idle session keeps */
#define SKIP_LIMIT    65536 /* of a line that is too long; then the peer is cut off */
#define TLS_HANDSHAKE 0x16  /* first byte of a TLS record of that type */

static const unsigned next_states[] = {
	[STATE_START] = IN(GREETED) | IN(CLOSED),
	[STATE_GREETED] = IN(READY) | IN(CHUNK) | IN(CLOSED),
	[STATE_READY] = IN(GREETED) | IN(MAIL) | IN(AUTH) | IN(TLS) | IN(CHUNK) | IN(CLOSED),
	[STATE_MAIL] = IN(READY) | IN(RCPT) | IN(CLOSED),
	[STATE_RCPT] = IN(READY) | IN(DATA) | IN(CHUNK) | IN(CLOSED),
	[STATE_DATA] = IN(READY) | IN(CLOSED),
	[STATE_CHUNK] = IN(GREETED) | IN(READY) | IN(BDAT) | IN(CLOSED),
	[STATE_BDAT] = IN(READY) | IN(CHUNK) | IN(CLOSED),
	[STATE_AUTH] = IN(READY) | IN(CLOSED),
	[STATE_TLS] = IN(GREETED) | IN(CLOSED),
	[STATE_CLOSED] = 0,
};

void smtp_session_enter(struct smtp_session *s, enum smtp_state next)
{
	if (s->state == next || s->state == STATE_CLOSED)
		return; /* closed is final, whatever was about to happen */
	MUST(next_states[s->state] & 1u << next);
	s->state = next;
}

void smtp_transaction_end(struct smtp_session *s, bool accepted)
{
	if (!s->transaction)
		return;
	s->transaction = false;
	s->waiting = WAIT_NOTHING;
	s->smtputf8 = false;
	s->rcpts = 0;
	s->rcpts_tried = 0;
	s->rcpts_over = 0;
	s->body_bytes = 0;
	s->body_held = false;
	if (s->state != STATE_CLOSED)
		smtp_session_enter(s, STATE_READY);
	if (!accepted)
		s->ops->reset(s->app, s);
}

void smtp_session_close(struct smtp_session *s)
{
	if (s->state == STATE_CLOSED)
		return;
	smtp_session_enter(s, STATE_CLOSED);
	s->waiting = WAIT_NOTHING;
	smtp_auth_forget(s);
	smtp_transaction_end(s, false);
}

struct smtp_session *smtp_session_new(const struct smtp_config *c,
                                      const struct smtp_server_ops *ops, void *app)
{
	struct smtp_session *s = mem_new(sizeof(*s));

	s->config = c;
	s->ops = ops;
	s->app = app;
	s->tls = c->tls == SMTP_TLS_ON;
	buf_init(&s->out, OUTPUT_LIMIT);
	buf_init(&s->line, LIMIT_SMTP_AUTH_LINE);
	buf_init(&s->auth, LIMIT_SMTP_AUTH_LINE);
	return s;
}

static void line_forget(struct smtp_session *s)
{
	if (s->line.at)
		explicit_bzero(s->line.at, s->line.len); /* it may hold a password */
	buf_clear(&s->line);
	if (s->line.room > KEEP_ROOM)
		buf_free(&s->line);
	s->skipped = 0;
	s->skipped_chunk = false;
}

void smtp_session_free(struct smtp_session **at)
{
	struct smtp_session *s = *at;

	*at = NULL;
	if (!s)
		return;
	smtp_session_close(s);
	line_forget(s);
	buf_free(&s->line);
	buf_free(&s->out);
	free(s);
}

void smtp_session_greet(struct smtp_session *s)
{
	if (s->state != STATE_START)
		return; /* the peer talked first and was sent away */
	smtp_reply_greeting(s);
	smtp_session_enter(s, STATE_GREETED);
}

void smtp_session_refuse(struct smtp_session *s, const char *enhanced, const char *text)
{
	smtp_reply_final(s, enhanced, text);
}

void smtp_session_timeout(struct smtp_session *s, const char *enhanced, const char *text)
{
	smtp_reply_final(s, enhanced, text);
}

void smtp_session_tls_started(struct smtp_session *s)
{
	if (s->state == STATE_CLOSED)
		return;
	MUST(s->state == STATE_TLS);
	s->tls = true;
	smtp_session_enter(s, STATE_GREETED);
}

/* --- lines --- */

static bool auth_line(const struct smtp_session *s, struct slice line)
{
	return s->state == STATE_AUTH || slice_starts_nocase(line, slice_str("AUTH "));
}

static bool line_fits(const struct smtp_session *s, struct slice line)
{
	return line.len <= (auth_line(s, line) ? LIMIT_SMTP_AUTH_LINE : LIMIT_SMTP_LINE);
}

/* The reply to a line that was too long, given at its end. What comes behind a BDAT whose size
 * nobody read can't be told from commands. */
static void line_too_long(struct smtp_session *s, bool chunk)
{
	if (s->state == STATE_AUTH) {
		smtp_auth_forget(s);
		smtp_session_enter(s, STATE_READY);
		smtp_refuse(s, 500, "5.5.6", "Authentication line too long");
		return;
	}
	smtp_refuse(s, 500, "5.5.2", "Line too long");
	if (chunk)
		smtp_session_close(s);
}

/* Bytes up to and with the first CRLF; SIZE_MAX when there is none. `before` came before them. */
static size_t line_length(struct slice bytes, uint8_t before)
{
	size_t from = 0;

	while (from < bytes.len) {
		const uint8_t *lf = memchr(bytes.at + from, '\n', bytes.len - from);
		size_t at;

		if (!lf)
			break;
		at = (size_t)(lf - bytes.at);
		if ((at ? lf[-1] : before) == '\r')
			return at + 1;
		from = at + 1;
	}
	return SIZE_MAX;
}

static bool like_chunk(struct slice line)
{
	return slice_starts_nocase(line, slice_str("BDAT"));
}

/* Takes a part of a line that isn't whole. */
static void line_keep(struct smtp_session *s, struct slice bytes)
{
	size_t before = s->line.len;

	if (!s->skipped && buf_add(&s->line, bytes) == RC_OK && line_fits(s, buf_slice(&s->line)))
		return;
	if (!s->skipped) {
		s->skipped_chunk = like_chunk(s->line.len ? buf_slice(&s->line) : bytes);
		s->skipped = before;
		buf_free(&s->line);
	}
	s->skipped += bytes.len;
	s->skipped_last = bytes.at[bytes.len - 1];
	if (s->skipped > SKIP_LIMIT) {
		smtp_refuse(s, 500, "5.5.2", "Line too long");
		smtp_session_close(s);
	}
}

/* A line is whole: `n` bytes of the input end it. */
static void line_end(struct smtp_session *s, struct slice bytes, size_t n)
{
	struct slice line = slice_part(bytes, 0, n);
	bool kept = s->line.len > 0;

	s->steps++;
	if (s->skipped || (kept && buf_add(&s->line, line) != RC_OK)) {
		line_too_long(s, s->skipped ? s->skipped_chunk : like_chunk(buf_slice(&s->line)));
		line_forget(s);
		return;
	}
	if (kept)
		line = buf_slice(&s->line);
	if (!line_fits(s, line)) {
		line_too_long(s, like_chunk(line));
	} else {
		line.len -= 2;
		if (s->state == STATE_AUTH)
			smtp_auth_line(s, line);
		else
			smtp_command(s, line);
	}
	if (kept)
		line_forget(s);
}

static size_t line_input(struct smtp_session *s, struct slice bytes)
{
	uint8_t before = s->line.len ? s->line.at[s->line.len - 1] : 0;
	size_t n = line_length(bytes, s->skipped ? s->skipped_last : before);

	if (s->steps == 0 && s->line.len == 0 && !s->skipped && bytes.at[0] == TLS_HANDSHAKE) {
		smtp_refuse(s, 500, "5.5.1", "TLS is not spoken here without STARTTLS");
		smtp_session_close(s);
		return bytes.len;
	}
	if (n == SIZE_MAX) {
		line_keep(s, bytes);
		return bytes.len;
	}
	line_end(s, bytes, n);
	return n;
}

/* --- input and output --- */

static size_t session_step(struct smtp_session *s, struct slice bytes)
{
	switch (s->state) {
	case STATE_START:
		smtp_reply(s, 554, "5.5.0", "Talking before the greeting");
		smtp_session_close(s);
		return bytes.len;
	case STATE_TLS: /* sent in the clear behind STARTTLS: RFC 3207 section 4.2 */
	case STATE_CLOSED:
		return bytes.len;
	case STATE_DATA:
		return smtp_data_input(s, bytes);
	case STATE_CHUNK:
		return smtp_chunk_input(s, bytes);
	default:
		return line_input(s, bytes);
	}
}

static bool takes_input(const struct smtp_session *s)
{
	return s->waiting == WAIT_NOTHING && !s->body_held && s->out.len < OUTPUT_ENOUGH;
}

/* Nothing of what comes now may be kept for later. */
static bool drops_input(const struct smtp_session *s)
{
	return s->state == STATE_TLS || s->state == STATE_CLOSED;
}

size_t smtp_session_input(struct smtp_session *s, struct slice bytes)
{
	size_t used = 0;

	while (used < bytes.len && (takes_input(s) || drops_input(s)))
		used += session_step(s, slice_from(bytes, used));
	return used;
}

bool smtp_session_wants_input(const struct smtp_session *s)
{
	return takes_input(s) && !drops_input(s);
}

void smtp_session_hold(struct smtp_session *s)
{
	s->body_held = s->transaction;
}

void smtp_session_go_on(struct smtp_session *s)
{
	s->body_held = false;
}

struct slice smtp_session_output(const struct smtp_session *s)
{
	return buf_slice(&s->out);
}

void smtp_session_output_sent(struct smtp_session *s, size_t n)
{
	buf_drop(&s->out, n);
	if (s->out.len == 0 && s->out.room > KEEP_ROOM)
		buf_free(&s->out);
}

bool smtp_session_closing(const struct smtp_session *s)
{
	return s->state == STATE_CLOSED;
}

/* --- facts --- */

struct slice smtp_session_helo(const struct smtp_session *s)
{
	return slice_of(s->helo, s->helo_len);
}

bool smtp_session_esmtp(const struct smtp_session *s)
{
	return s->esmtp;
}

bool smtp_session_authenticated(const struct smtp_session *s)
{
	return s->authenticated;
}

bool smtp_session_tls(const struct smtp_session *s)
{
	return s->tls;
}

const char *smtp_session_body_oddity(const struct smtp_session *s)
{
	return smtp_data_oddity(&s->data);
}

uint64_t smtp_session_steps(const struct smtp_session *s)
{
	return s->steps;
}

bool smtp_session_in_body(const struct smtp_session *s)
{
	return (s->state == STATE_DATA || s->state == STATE_CHUNK) && s->waiting == WAIT_NOTHING;
}

uint64_t smtp_session_body_bytes(const struct smtp_session *s)
{
	return s->body_bytes;
}

void *smtp_session_app(const struct smtp_session *s)
{
	return s->app;
}
