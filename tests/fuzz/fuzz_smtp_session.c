/*
 * tests/fuzz/fuzz_smtp_session.c - any bytes, in any pieces, with answers at any time
 *
 * Input    byte 0: configuration, byte 1: ops that answer later, byte 2: what the app refuses; then
 *          what the client sends. Bytes f8-fb, which UTF-8 doesn't have, are events: an answer that
 *          was held back, the handshake done, the deadline, the next piece.
 * Oracle   A model of the app's side (which op may come when, each MAIL ends once) and of the
 * output (CRLF lines of printable ASCII with a code; "accepted" only where the app accepted). Byte
 *          by byte and in one piece must give the same output and the same messages. While an
 * answer is open nothing is taken and nothing said. Where no answer is late a second model
 * (smtp_model.h) follows the commands and their replies, and answers that all come late change
 * nothing.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/codec.h"
#include "base/file.h"
#include "smtp/server.h"
#include "smtp_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SIZE_LIMIT 300
#define INPUT_MAX  60000

enum op { OP_NONE, OP_MAIL, OP_RCPT, OP_BEGIN, OP_END, OP_AUTH };
enum stage { OUTSIDE, ASKED, MAILED, BODY, ENDED };

struct model {
	struct smtp_config config;
	struct smtp_session *s;
	unsigned later;
	unsigned refuse;
	bool prompt; /* what is late comes as soon as nothing more is taken */
	bool tls;
	enum op open;
	enum stage stage;
	unsigned rcpts;
	unsigned mails, ends, accepts;
	uint64_t body_bytes;
	bool odd;
	uint8_t last;
	uint64_t hash; /* of all that was accepted */
	uint64_t body_hash;
	struct buf out;
};

static const struct durable *proof;

static void prove(void)
{
	struct file *f = file_adopt(memfd_create("proof", MFD_CLOEXEC), "proof");

	MUST(file_sync(f, &proof, NULL) == RC_OK);
	file_close(&f);
}

static uint64_t mix(uint64_t hash, uint64_t v)
{
	return (hash ^ v) * UINT64_C(0x100000001b3);
}

static void answer(struct model *m)
{
	enum op op = m->open;
	bool no = m->refuse & 1u << op;

	m->open = OP_NONE;
	switch (op) {
	case OP_MAIL:
		m->stage = no ? m->stage : MAILED;
		smtp_answer(m->s, no ? 550 : 250, no ? "5.7.1" : "2.1.0", "mail");
		break;
	case OP_RCPT:
		m->rcpts += !no;
		smtp_answer(m->s, no ? 450 : 250, no ? "4.2.0" : "2.1.5", "rcpt");
		break;
	case OP_BEGIN:
		m->stage = no ? m->stage : BODY;
		smtp_answer_begin(m->s, no ? 451 : 354, "4.3.0", "begin");
		break;
	case OP_END:
		if (no) {
			smtp_answer_refused(m->s, 550, "5.7.1", "end");
			break;
		}
		m->stage = OUTSIDE;
		m->ends++;
		m->accepts++;
		m->hash = mix(m->hash, m->body_hash);
		smtp_answer_accepted(m->s, "id", proof);
		break;
	case OP_AUTH:
		smtp_answer_auth(m->s, !no);
		break;
	default:
		break;
	}
}

static void ask(struct model *m, enum op op)
{
	MUST(m->open == OP_NONE);
	MUST(!smtp_session_closing(m->s));
	m->open = op;
	if (!(m->later & 1u << op))
		answer(m);
}

static void check_address(struct slice address, bool utf8)
{
	MUST(address.len <= 254 && slice_is_utf8(address));
	for (size_t i = 0; i < address.len; i++)
		MUST(address.at[i] >= ' ' && address.at[i] != 0x7f &&
		     (utf8 || address.at[i] < 0x80));
}

static void on_mail(void *app, struct smtp_session *s, const struct smtp_path *from,
                    const struct smtp_mail_params *p)
{
	struct model *m = app;

	MUST(s == m->s && m->stage == OUTSIDE);
	MUST(smtp_session_helo(s).len > 0);
	MUST(!m->config.auth || smtp_session_authenticated(s));
	MUST(m->config.tls != SMTP_TLS_REQUIRED || m->tls);
	MUST(p->size <= SIZE_LIMIT);
	check_address(from->address, p->smtputf8);
	for (size_t i = 0; i < p->envid.len; i++)
		MUST(p->envid.at[i] >= ' ' && p->envid.at[i] < 0x7f);
	m->stage = ASKED;
	m->rcpts = 0;
	m->mails++;
	ask(m, OP_MAIL);
}

static void on_rcpt(void *app, struct smtp_session *s, const struct smtp_path *to,
                    const struct smtp_rcpt_params *p)
{
	struct model *m = app;

	(void)s;
	(void)p;
	MUST(m->stage == MAILED && to->address.len > 0);
	MUST(m->rcpts < m->config.limits.recipients);
	check_address(to->address, true);
	ask(m, OP_RCPT);
}

static void on_begin(void *app, struct smtp_session *s)
{
	struct model *m = app;

	(void)s;
	MUST(m->stage == MAILED && m->rcpts > 0);
	m->body_bytes = 0;
	m->odd = false;
	m->last = 0;
	m->body_hash = 0;
	ask(m, OP_BEGIN);
}

static enum rc on_body(void *app, struct smtp_session *s, struct slice bytes)
{
	struct model *m = app;

	(void)s;
	MUST(m->stage == BODY && bytes.len > 0 && m->open == OP_NONE);
	for (size_t i = 0; i < bytes.len; i++) {
		uint8_t c = bytes.at[i];

		m->odd = m->odd || c == '\0' || (c == '\n') != (m->last == '\r');
		m->last = c;
		m->body_hash = mix(m->body_hash, c);
	}
	m->body_bytes += bytes.len;
	MUST(m->body_bytes <= SIZE_LIMIT);
	return m->refuse & 1 ? RC_NOSPACE : RC_OK;
}

static void on_end(void *app, struct smtp_session *s)
{
	struct model *m = app;
	bool odd = m->odd || m->last == '\r';

	MUST(m->stage == BODY && !(m->refuse & 1 && m->body_bytes));
	MUST(m->config.keep_bare || !odd);
	MUST((smtp_session_body_oddity(s) != NULL) == odd);
	m->stage = ENDED;
	ask(m, OP_END);
}

static void on_reset(void *app, struct smtp_session *s)
{
	struct model *m = app;

	(void)s;
	MUST(m->stage != OUTSIDE);
	m->stage = OUTSIDE;
	m->open = OP_NONE;
	m->ends++;
}

static void on_auth(void *app, struct smtp_session *s, struct slice authzid, struct slice user,
                    struct slice password)
{
	struct model *m = app;

	MUST(m->tls && m->config.auth && !smtp_session_authenticated(s) && m->stage == OUTSIDE);
	MUST(user.len > 0 && password.len > 0 && slice_is_utf8(authzid) && slice_is_utf8(user));
	ask(m, OP_AUTH);
}

static void on_starttls(void *app, struct smtp_session *s)
{
	struct model *m = app;

	MUST(!m->tls && m->stage == OUTSIDE && m->config.tls != SMTP_TLS_NONE);
	MUST(!smtp_session_wants_input(s));
}

static const struct smtp_server_ops ops = {
	.mail = on_mail,
	.rcpt = on_rcpt,
	.body_begin = on_begin,
	.body = on_body,
	.body_end = on_end,
	.reset = on_reset,
	.auth = on_auth,
	.starttls = on_starttls,
};

static void collect(struct model *m)
{
	struct slice out = smtp_session_output(m->s);

	MUST(buf_add(&m->out, out) == RC_OK);
	smtp_session_output_sent(m->s, out.len);
}

/* Gives `bytes` until the session takes no more; what is left stays with the caller. */
static struct slice give(struct model *m, struct slice bytes, size_t cut)
{
	while (bytes.len) {
		size_t n = MIN_OF(cut, bytes.len);
		uint8_t *copy = mem_new(n);
		bool wants = smtp_session_wants_input(m->s);
		bool pending = m->open != OP_NONE && !smtp_session_closing(m->s);
		size_t used;

		memcpy(copy, bytes.at, n);
		used = smtp_session_input(m->s, slice_of(copy, n));
		free(copy);
		if (pending)
			MUST(used == 0 && smtp_session_output(m->s).len == 0 && !wants);
		collect(m);
		MUST(used <= n && (used > 0 || !wants));
		bytes = slice_from(bytes, used);
		if (used == 0)
			break;
	}
	return bytes;
}

static void event(struct model *m, uint8_t which)
{
	if (which == 0xf8 && m->open != OP_NONE) {
		answer(m);
	} else if (which == 0xf9 && !m->tls && !smtp_session_closing(m->s) && m->open == OP_NONE &&
	           !smtp_session_wants_input(m->s)) {
		m->tls = true; /* only STARTTLS makes a session want nothing here */
		smtp_session_tls_started(m->s);
		MUST(!smtp_session_authenticated(m->s) && smtp_session_helo(m->s).len == 0);
	} else if (which == 0xfa) {
		smtp_session_timeout(m->s, "4.4.2", "timeout");
		MUST(smtp_session_closing(m->s) && m->stage == OUTSIDE);
	}
	collect(m);
}

static void check_output(const struct model *m)
{
	struct slice rest = buf_slice(&m->out);
	unsigned accepted = 0;

	while (rest.len) {
		size_t end = slice_find(rest, slice_str("\r\n"));
		struct slice line = slice_part(rest, 0, end);

		MUST(end != SIZE_MAX && line.len >= 4 && line.len <= 510);
		MUST(line.at[0] >= '2' && line.at[0] <= '5');
		MUST(line.at[1] >= '0' && line.at[1] <= '5');
		MUST(line.at[2] >= '0' && line.at[2] <= '9');
		MUST(line.at[3] == ' ' || line.at[3] == '-');
		for (size_t i = 4; i < line.len; i++)
			MUST(line.at[i] >= ' ' && line.at[i] <= '~');
		accepted += slice_starts_nocase(line, slice_str("250 2.6.0 "));
		rest = slice_from(rest, end + 2);
	}
	MUST(accepted == m->accepts);
}

static bool is_event(uint8_t c)
{
	return c >= 0xf8 && c <= 0xfb;
}

/* As much as is taken; with `prompt` the answers behind which the rest waits come now. */
static void give_held(struct model *m, struct buf *held, size_t cut)
{
	for (;;) {
		buf_drop(held, held->len - give(m, buf_slice(held), cut).len);
		if (!m->prompt || m->open == OP_NONE)
			return;
		answer(m);
		collect(m);
	}
}

static void run(struct model *m, struct slice input, size_t cut, bool prompt)
{
	struct buf held;
	size_t at = 3;

	*m = (struct model) {
		.config = { .hostname = "mx.test",
		            .limits = { SIZE_LIMIT, 3, 10, 20 },
		            .tls = (enum smtp_tls)(input.at[0] & 3),
		            .auth = input.at[0] & 4,
		            .keep_bare = input.at[0] & 8,
		            .odd_local = input.at[0] & 16 },
		.later = prompt ? UINT_MAX : input.at[1],
		.prompt = prompt,
		.refuse = input.at[2],
		.tls = (input.at[0] & 3) == SMTP_TLS_ON,
	};
	buf_init(&m->out, 64 << 20);
	buf_init(&held, 1 << 20);
	m->s = smtp_session_new(&m->config, &ops, m);
	smtp_session_greet(m->s);
	collect(m);
	while (at < input.len) {
		size_t from = at;

		while (at < input.len && !is_event(input.at[at]))
			at++;
		MUST(buf_add(&held, slice_part(input, from, at - from)) == RC_OK);
		give_held(m, &held, cut);
		if (at < input.len)
			event(m, input.at[at++]);
		give_held(m, &held, cut);
	}
	smtp_session_free(&m->s);
	MUST(m->stage == OUTSIDE && m->mails == m->ends);
	check_output(m);
	buf_free(&held);
}

/* The client's bytes without the events; the handshake is the one that counts, the deadline ends.
 */
static void walk(const struct model *m, struct slice input)
{
	struct walk w = { .config = &m->config,
		          .replies = buf_slice(&m->out),
		          .tls = (input.at[0] & 3) == SMTP_TLS_ON };
	uint8_t *bytes;
	bool *secured;
	size_t n = 0;

	if (m->later || walk_reply(&w) != 220)
		return;
	bytes = mem_new(input.len);
	secured = mem_new(input.len + 1);
	for (size_t i = 3; i < input.len && input.at[i] != 0xfa; i++) {
		if (input.at[i] == 0xf9)
			secured[n] = true;
		else if (!is_event(input.at[i]))
			bytes[n++] = input.at[i];
	}
	w.all = slice_of(bytes, n);
	w.secured = secured;
	if (n && bytes[0] != 0x16) /* TLS on the plain port is told by its first byte */
		walk_all(&w);
	free(bytes);
	free(secured);
}

/* Answers that come late don't change what comes out. */
static void delay(const struct model *whole, struct slice input)
{
	struct model late;

	if (whole->later)
		return;
	run(&late, input, SIZE_MAX, true);
	MUST(slice_equal(buf_slice(&whole->out), buf_slice(&late.out)));
	MUST(whole->hash == late.hash && whole->accepts == late.accepts);
	buf_free(&late.out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct model whole;
	struct model bytes;

	if (!proof)
		prove();
	if (size < 3 || size > INPUT_MAX)
		return 0;
	run(&whole, slice_of(data, size), SIZE_MAX, false);
	run(&bytes, slice_of(data, size), 1, false);
	delay(&whole, slice_of(data, size));
	walk(&whole, slice_of(data, size));
	MUST(slice_equal(buf_slice(&whole.out), buf_slice(&bytes.out)));
	MUST(whole.hash == bytes.hash && whole.accepts == bytes.accepts);
	buf_free(&whole.out);
	buf_free(&bytes.out);
	return 0;
}
