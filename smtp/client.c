#include "smtp/client_inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define OUTPUT_LIMIT (CLIENT_ENOUGH + 16384) /* and a command, or the end of a body */
#define KEEP_ROOM    4096

struct smtp_client *smtp_client_new(const struct smtp_client_config *config,
                                    const struct smtp_client_ops *ops, void *app)
{
	struct smtp_client *c = mem_new(sizeof(*c));

	c->config = config;
	c->ops = ops;
	c->app = app;
	c->tls = config->tls == SMTP_CLIENT_TLS_ON;
	buf_init(&c->out, OUTPUT_LIMIT);
	buf_init(&c->line, LIMIT_SMTP_REPLY_LINE);
	return c;
}

static void out_forget(struct smtp_client *c)
{
	if (c->out.at)
		explicit_bzero(c->out.at, c->out.room); /* it may hold a password */
	buf_free(&c->out);
}

void smtp_client_free(struct smtp_client **at)
{
	struct smtp_client *c = *at;

	*at = NULL;
	if (!c)
		return;
	MUST(!c->inside);
	client_script_free(c);
	out_forget(c);
	buf_free(&c->line);
	free(c);
}

void client_result(struct smtp_result *out, enum smtp_end end, const char *enhanced,
                   const char *fmt, ...)
{
	va_list args;

	*out = (struct smtp_result) { .end = end };
	(void)snprintf(out->enhanced, sizeof(out->enhanced), "%s", enhanced);
	va_start(args, fmt);
	(void)vsnprintf(out->text, sizeof(out->text), fmt, args);
	va_end(args);
	/* an owner's text may come from a certificate */
	for (char *p = out->text; *p; p++)
		*p = (char)client_clean((uint8_t)*p);
}

/* --- ops --- */

static void tell_ended(struct smtp_client *c)
{
	struct client_script *s = c->script;

	c->script = NULL;
	c->ops->ended(c->app, c, s->results, s->m->count);
	free(s->results);
	free(s->fates);
	free(s);
}

static void client_pump(struct smtp_client *c)
{
	if (c->inside)
		return;
	c->inside = true;
	while (c->due) {
		if (c->due & DUE_ENDED) {
			c->due &= ~(unsigned)DUE_ENDED;
			tell_ended(c);
		} else if (c->due & DUE_STARTTLS) {
			c->due &= ~(unsigned)DUE_STARTTLS;
			c->ops->starttls(c->app, c);
		} else if (c->due & DUE_READY) {
			c->due &= ~(unsigned)DUE_READY;
			c->phase = PHASE_READY;
			c->ops->ready(c->app, c);
		} else {
			c->due = 0;
			c->ops->closed(c->app, c, c->quit ? NULL : &c->why);
		}
	}
	c->inside = false;
}

/* --- the end --- */

void client_shut(struct smtp_client *c, const struct smtp_result *why, bool polite)
{
	unsigned ended = c->due & DUE_ENDED;

	if (c->phase == PHASE_CLOSED)
		return;
	c->why = *why;
	if (c->script && !ended) {
		client_script_settle(c, why);
		ended = DUE_ENDED;
	}
	c->due = ended | DUE_CLOSED;
	c->phase = PHASE_CLOSED;
	out_forget(c);
	buf_free(&c->line);
	if (polite)
		client_say(c, "QUIT\r\n");
}

/* Nobody knows what became of a message whose end has left. */
static void shut_later(struct smtp_client *c, const char *enhanced, const char *text)
{
	struct smtp_result why;

	client_result(&why, SMTP_LATER, enhanced, "%s%s", text,
	              c->phase == PHASE_END
	                      ? "; the message was sent to its end and may have been taken"
	                      : "");
	client_shut(c, &why, false);
}

void client_nonsense(struct smtp_client *c, const char *text)
{
	shut_later(c, "4.5.0", text);
}

void smtp_client_lost(struct smtp_client *c, const char *enhanced, const char *text)
{
	shut_later(c, enhanced, text);
	client_pump(c);
}

void smtp_client_quit(struct smtp_client *c)
{
	if (c->phase == PHASE_CLOSED)
		return;
	MUST(c->phase == PHASE_READY);
	c->phase = PHASE_QUIT;
	c->quit = true;
	client_say(c, "QUIT\r\n");
}

/* --- output --- */

void client_say(struct smtp_client *c, const char *fmt, ...)
{
	char line[LIMIT_SMTP_LINE + 1];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	MUST(n >= 0 && (size_t)n < sizeof(line));
	MUST(buf_add(&c->out, slice_of(line, (size_t)n)) == RC_OK);
	explicit_bzero(line, (size_t)n);
	c->asked = c->sent + c->out.len;
}

struct slice smtp_client_output(const struct smtp_client *c)
{
	return buf_slice(&c->out);
}

void smtp_client_output_sent(struct smtp_client *c, size_t n)
{
	MUST(n <= c->out.len);
	buf_drop(&c->out, n);
	c->sent += n;
	if (c->phase == PHASE_AUTH && c->out.len == 0)
		out_forget(c);
	if (c->phase == PHASE_ENVELOPE && c->script) /* within ops.ended there is none */
		client_envelope_say(c);
	if (c->phase == PHASE_BODY) {
		c->script->body_sent += n;
		if (c->out.len == 0 && c->script->dot_said)
			c->phase = PHASE_END;
		else if (c->out.len == 0)
			client_body_fill(c);
	}
	if (c->out.len == 0 && c->out.room > KEEP_ROOM)
		buf_free(&c->out);
	client_pump(c);
}

bool smtp_client_closing(const struct smtp_client *c)
{
	return c->phase == PHASE_CLOSED;
}

/* --- input --- */

static void heard(struct smtp_client *c)
{
	switch (c->phase) {
	case PHASE_GREETING:
		client_greeting_heard(c);
		break;
	case PHASE_HELLO:
		client_hello_heard(c);
		break;
	case PHASE_STARTTLS:
		client_starttls_heard(c);
		break;
	case PHASE_AUTH:
		client_auth_heard(c);
		break;
	case PHASE_ENVELOPE:
		client_envelope_heard(c);
		break;
	case PHASE_BODY:
		client_body_heard(c);
		break;
	case PHASE_END:
		client_end_heard(c);
		break;
	default:
		client_nonsense(c, "the server sent a reply without a command");
	}
}

static void reply_whole(struct smtp_client *c)
{
	struct smtp_result r;

	c->steps++;
	if (c->phase == PHASE_QUIT) {
		c->phase = PHASE_CLOSED;
		c->due |= DUE_CLOSED;
	} else if (c->reply.code == 421) {
		r = client_reply_result(c);
		client_shut(c, &r, false);
	} else if (c->phase < PHASE_READY && c->began < c->asked) {
		client_nonsense(c, "the server sent a reply before its command");
	} else {
		heard(c);
	}
	client_reply_forget(c);
}

static void line_whole(struct smtp_client *c, struct slice line)
{
	bool whole = false;
	char text[SMTP_RESULT_TEXT];

	if (line.len && line.at[line.len - 1] == '\r')
		line.len--;
	if (client_reply_line(c, line, &whole)) {
		if (whole)
			reply_whole(c);
		return;
	}
	(void)snprintf(text, sizeof(text), "the server sent what isn't a reply: %.80s",
	               c->reply.text);
	client_nonsense(c, text);
}

/* One line, or what there is of it; returns how many bytes were taken. */
static size_t line_input(struct smtp_client *c, struct slice bytes)
{
	size_t end = slice_find_byte(bytes, '\n');
	size_t n = end == SIZE_MAX ? bytes.len : end + 1;

	if (c->line.len == 0 && c->reply_lines == 0)
		c->began = c->sent;
	if (n > LIMIT_SMTP_REPLY_LINE - c->line.len) {
		client_nonsense(c, "the server sent a line that is too long");
		return bytes.len;
	}
	if (end != SIZE_MAX && c->line.len == 0) {
		line_whole(c, slice_part(bytes, 0, end));
		return n;
	}
	MUST(buf_add(&c->line, slice_part(bytes, 0, n)) == RC_OK);
	if (end != SIZE_MAX) {
		line_whole(c, slice_part(buf_slice(&c->line), 0, c->line.len - 1));
		buf_clear(&c->line);
	}
	return n;
}

void smtp_client_input(struct smtp_client *c, struct slice bytes)
{
	MUST(!c->inside);
	while (bytes.len && c->phase != PHASE_CLOSED) {
		if (c->phase != PHASE_TLS)
			bytes = slice_from(bytes, line_input(c, bytes));
		/* asked before the handshake begins, so that it makes no difference in how many
		 * pieces they come */
		if (c->phase == PHASE_TLS && bytes.len)
			client_nonsense(c, "the server spoke in the clear behind STARTTLS");
		client_pump(c);
	}
}

/* --- transactions --- */

void smtp_client_send(struct smtp_client *c, const struct smtp_client_mail *m)
{
	if (c->phase == PHASE_CLOSED)
		return;
	MUST(c->phase == PHASE_READY && !c->script);
	MUST(m->count > 0 && m->count <= LIMIT_SMTP_RECIPIENTS);
	client_script_begin(c, m);
	client_pump(c);
}

void smtp_client_tls_started(struct smtp_client *c)
{
	if (c->phase == PHASE_CLOSED)
		return;
	MUST(c->phase == PHASE_TLS);
	c->tls = true;
	c->helo = false;
	c->steps++;
	client_hello(c);
}

/* --- facts --- */

enum smtp_client_phase smtp_client_phase(const struct smtp_client *c)
{
	return c->phase;
}

uint64_t smtp_client_steps(const struct smtp_client *c)
{
	return c->steps;
}

uint64_t smtp_client_body_sent(const struct smtp_client *c)
{
	return c->script ? c->script->body_sent : 0;
}

unsigned smtp_client_has(const struct smtp_client *c)
{
	return c->has;
}

bool smtp_client_tls(const struct smtp_client *c)
{
	return c->tls;
}
