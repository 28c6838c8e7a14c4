/*
 * tests/fuzz/fuzz_smtp_client.c - a server that says anything, in any pieces
 *
 * Input    byte 0: configuration, byte 1: which mails are sent; then what the server sends. Bytes
 * f8-fb, which aren't text, are events: the output is taken, the handshake is done, the connection
 * is lost, QUIT. With bit 6 of byte 0 the output is taken at the end of each line too, as a server
 * that waits for it would have it. Oracle   The order of ops. The output: what is outside of a body
 * is a command of the grammar, a body is the message, stuffed, or a beginning of it. Done only for
 * a recipient that was asked for, in a message that went out whole, with 2xx. Results are printable
 * and say what their code says. Byte by byte and line by line give the same.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/limits.h"
#include "smtp/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX 60000
#define MAILS     4

/* Each line of a message begins with # or a dot, so that it can be told from commands. */
#define TEXT(s) .message = { (const uint8_t *)(s), sizeof(s) - 1 }

static const struct smtp_client_rcpt rcpts[] = {
	{ "a@a.test", "NEVER", "rfc822;x=y" },
	{ "b@a.test", NULL, "utf-8;\xc3\xbc" },
	{ "\xc3\xbc@a.test", NULL, NULL },
	{ "broken>", NULL, NULL },
};

static const struct smtp_client_mail mails[MAILS] = {
	{ .mail_from = "", .rcpts = rcpts, .count = 1, TEXT("#a\r\n.b\r\n.\r\n") },
	{ .mail_from = "f@b.test",
	  .rcpts = rcpts,
	  .count = 2,
	  TEXT("#a\n.\n#b\r\r\n#c"),
	  .ret = "FULL",
	  .envid = "x y" },
	{ .mail_from = "f@b.test",
	  .rcpts = rcpts,
	  .count = 4,
	  TEXT("#\xc3\xbc\r\n"),
	  .eight_bit = true,
	  .smtputf8 = true },
	{ .mail_from = "f@b.test", .rcpts = rcpts, .count = 4, TEXT("") },
};

struct model {
	struct smtp_client_config config;
	struct smtp_client *c;
	struct slice choice; /* of mails */
	bool auto_take;
	bool ready;
	bool closed;
	bool handshake;
	bool quit;
	size_t begun; /* mails */
	size_t ended;
	const struct smtp_client_mail *open;
	struct buf out;
	struct buf ops; /* what came, as lines */
	size_t out_at;  /* where the open mail's output begins */
};

static const struct smtp_client_mail *mail_at(const struct model *m, size_t n)
{
	return &mails[m->choice.at[0] >> 2 * (n % 4) & 3];
}

static void check_result(const struct smtp_result *r)
{
	size_t len = strlen(r->text);

	MUST(r->code == 0 || (r->code >= 200 && r->code <= 599));
	MUST(len < SMTP_RESULT_TEXT);
	for (size_t i = 0; i < len; i++)
		MUST(r->text[i] >= ' ' && r->text[i] <= '~');
	MUST(strlen(r->enhanced) >= 5 && r->enhanced[1] == '.');
	MUST(r->enhanced[0] == '2' || r->enhanced[0] == '4' || r->enhanced[0] == '5');
	if (r->code)
		MUST((unsigned)(r->enhanced[0] - '0') == r->code / 100);
	MUST((r->end == SMTP_DONE) == (r->code / 100 == 2));
	MUST(r->code / 100 != 4 || r->end == SMTP_LATER);
}

static void note(struct model *m, const char *what, const struct smtp_result *r)
{
	MUST(buf_addf(&m->ops, "%s %d %u %s %s\n", what, r ? (int)r->end : -1, r ? r->code : 0,
	              r ? r->enhanced : "", r ? r->text : "") == RC_OK);
}

static void on_starttls(void *app, struct smtp_client *c)
{
	struct model *m = app;

	MUST(m->config.tls == SMTP_CLIENT_TLS_MAY || m->config.tls == SMTP_CLIENT_TLS_MUST);
	MUST(!m->handshake && !smtp_client_tls(c) && smtp_client_has(c) == 0 && m->begun == 0);
	m->handshake = true;
}

static void begin(struct model *m)
{
	MUST(m->ready && !m->open);
	m->ready = false;
	m->open = mail_at(m, m->begun++);
	m->out_at = m->out.len + smtp_client_output(m->c).len;
	smtp_client_send(m->c, m->open);
}

static void on_ready(void *app, struct smtp_client *c)
{
	struct model *m = app;

	MUST(!m->ready && !m->open && !m->closed && !m->handshake && !m->quit);
	MUST(m->config.tls != SMTP_CLIENT_TLS_MUST || smtp_client_tls(c));
	MUST(m->begun == m->ended);
	m->ready = true;
	note(m, "ready", NULL);
	if (m->begun < MAILS)
		begin(m);
}

/* `out` is the message as it goes out, or a beginning of that. */
static bool body_is(struct slice out, struct slice message, bool whole)
{
	struct buf want;
	bool bol = true;
	bool same;

	buf_init(&want, 1 << 16);
	for (size_t i = 0; i < message.len; i++) {
		if (bol && message.at[i] == '.')
			MUST(buf_add_byte(&want, '.') == RC_OK);
		MUST(buf_add_byte(&want, message.at[i]) == RC_OK);
		bol = message.at[i] == '\n';
	}
	MUST(buf_add_str(&want, ".\r\n") == RC_OK);
	same = whole ? slice_equal(out, buf_slice(&want))
	             : out.len <= want.len && memcmp(out.at, want.at, out.len) == 0;
	buf_free(&want);
	return same;
}

static bool begins(struct slice s, const char *with)
{
	return slice_starts_nocase(s, slice_str(with));
}

static bool is_command(struct slice line)
{
	static const char *const verbs[] = { "RSET\r\n", "MAIL FROM:<", "RCPT TO:<", "DATA\r\n" };

	for (size_t i = 0; i < line.len; i++)
		if ((line.at[i] < ' ' && i + 2 < line.len) || line.at[i] == 0x7f)
			return false;
	for (size_t i = 0; i < COUNT(verbs); i++)
		if (begins(line, verbs[i]))
			return true;
	return false;
}

/* The output of a transaction; true: its message is in it whole. */
static bool check_output(struct slice out, const struct smtp_client_mail *mail)
{
	struct buf plain;
	bool whole = false;
	bool body = false;

	buf_init(&plain, 1 << 16);
	MUST(smtp_client_make_plain(&plain, mail->message) == RC_OK);
	while (out.len && !body) {
		size_t end = slice_find(out, slice_str("\r\n"));
		struct slice line = slice_part(out, 0, end == SIZE_MAX ? end : end + 2);

		body = out.at[0] == '.' || out.at[0] == '#';
		if (body)
			break;
		MUST(end != SIZE_MAX && is_command(line));
		out = slice_from(out, line.len);
	}
	if (body && !slice_equal(out, slice_str(".\r\n"))) /* RFC 2920's empty one */
		MUST(body_is(out, buf_slice(&plain), false));
	whole = body && body_is(out, buf_slice(&plain), true);
	buf_free(&plain);
	return whole;
}

static bool was_asked(struct slice out, const char *address)
{
	char text[300];

	(void)snprintf(text, sizeof(text), "RCPT TO:<%s>", address);
	return slice_find(out, slice_str(text)) != SIZE_MAX;
}

static void on_ended(void *app, struct smtp_client *c, const struct smtp_result *results,
                     size_t count)
{
	struct model *m = app;
	struct slice out = slice_from(buf_slice(&m->out), m->out_at);
	bool whole = check_output(out, m->open);

	(void)c;
	MUST(m->open && count == m->open->count && !m->closed);
	for (size_t i = 0; i < count; i++) {
		check_result(&results[i]);
		note(m, "result", &results[i]);
		if (results[i].end == SMTP_DONE)
			MUST(whole && was_asked(out, m->open->rcpts[i].address));
	}
	m->open = NULL;
	m->ended++;
}

static void on_closed(void *app, struct smtp_client *c, const struct smtp_result *why)
{
	struct model *m = app;

	MUST(!m->closed && !m->open && smtp_client_closing(c));
	MUST((why == NULL) == m->quit);
	if (why)
		check_result(why);
	MUST(!why || why->end != SMTP_DONE);
	m->closed = true;
	note(m, "closed", why);
}

static const struct smtp_client_ops ops = { on_starttls, on_ready, on_ended, on_closed };

static void take(struct model *m, size_t cut)
{
	for (;;) {
		struct slice out = smtp_client_output(m->c);
		size_t n = MIN_OF(cut, out.len);

		if (n == 0)
			return;
		MUST(buf_add(&m->out, slice_part(out, 0, n)) == RC_OK);
		smtp_client_output_sent(m->c, n);
	}
}

static void event(struct model *m, uint8_t which, size_t cut)
{
	if (which == 0xf8) {
		take(m, cut);
	} else if (which == 0xf9 && m->handshake && !m->closed) {
		m->handshake = false;
		smtp_client_tls_started(m->c);
	} else if (which == 0xfa) {
		smtp_client_lost(m->c, "4.4.2", "lost");
		MUST(m->closed && smtp_client_closing(m->c));
	} else if (which == 0xfb && m->ready) {
		m->ready = false;
		m->quit = !m->closed;
		smtp_client_quit(m->c);
	}
}

static bool is_event(uint8_t c)
{
	return c >= 0xf8 && c <= 0xfb;
}

/* A piece in memory of its own, at most up to the end of a line: there the output may be taken. */
static void give(struct model *m, struct slice s, size_t cut)
{
	while (s.len) {
		size_t line = slice_find_byte(s, '\n');
		size_t n = MIN_OF(cut, line == SIZE_MAX ? s.len : line + 1);
		uint8_t *copy = mem_new(n);

		memcpy(copy, s.at, n);
		smtp_client_input(m->c, slice_of(copy, n));
		free(copy);
		if (m->auto_take && s.at[n - 1] == '\n')
			take(m, cut);
		s = slice_from(s, n);
	}
}

static void run(struct model *m, struct slice input, size_t cut)
{
	size_t at = 2;

	*m = (struct model) { .config = { .hostname = "me",
		                          .tls = (enum smtp_client_tls)(input.at[0] & 3),
		                          .lmtp = input.at[0] & 4,
		                          .user = input.at[0] & 8 ? "u" : NULL,
		                          .password = "pass",
		                          .auth_clear = input.at[0] & 16 },
		              .choice = slice_part(input, 1, 1),
		              .auto_take = input.at[0] & 64 };
	buf_init(&m->out, 64 << 20);
	buf_init(&m->ops, 64 << 20);
	m->c = smtp_client_new(&m->config, &ops, m);
	while (at < input.len) {
		size_t from = at;

		while (at < input.len && !is_event(input.at[at]))
			at++;
		give(m, slice_part(input, from, at - from), cut);
		if (at < input.len)
			event(m, input.at[at++], cut);
	}
	event(m, 0xfa, cut);
	MUST(m->begun == m->ended);
	smtp_client_free(&m->c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct model lines;
	struct model bytes;

	if (size < 2 || size > INPUT_MAX)
		return 0;
	run(&lines, slice_of(data, size), SIZE_MAX);
	run(&bytes, slice_of(data, size), 1);
	MUST(slice_equal(buf_slice(&lines.out), buf_slice(&bytes.out)));
	MUST(slice_equal(buf_slice(&lines.ops), buf_slice(&bytes.ops)));
	buf_free(&lines.out);
	buf_free(&lines.ops);
	buf_free(&bytes.out);
	buf_free(&bytes.ops);
	return 0;
}
