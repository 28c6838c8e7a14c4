/*
 * tests/unit/smtp/test_client.c - conversations of the client with a server that the test plays
 *
 * tests/smtp-client/N-subject.talks hold talks, with an empty line between. A talk is lines of a
 * word and its text: talk NAME; config tls may|must|on, lmtp, user NAME PASSWORD, clear (the
 * configuration); "#" is a comment S text      the server sends the line; S-lines that follow each
 * other are one write: the client's output isn't taken before the next C or B R text      the same
 * without CRLF C text      the client's next line;  B text  the client's next bytes (a body) send
 * NAME   a mail of mails[]: now, or within the next ops.ready quit, tls (the handshake is done),
 * lost ENHANCED TEXT, phase NAME ready, starttls, result END CODE ENHANCED TEXT (one for each
 * recipient), closed, closed END CODE ENHANCED TEXT the next op; all of them are asked for.
 * "closed?": a starttls may come before it or not In S, R, B: \r \n \0 \xHH. Each talk is held with
 * both sides' bytes in pieces of several sizes, and with the server's stream cut in two at each of
 * its bytes.
 */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/file.h"
#include "base/limits.h"
#include "smtp/client.h"

#define BODY    "Subject: x\r\n\r\nhello\r\n"
#define FOLDER  "tests/smtp-client"
#define TEN     "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

/* Words that stand for what is the same in many talks. */
static const struct {
	const char *word;
	const char *text;
} shorthand[] = {
	{ "hello", "S 220 mx.test ESMTP\nC EHLO me.test\n" },
	{ "plain", "S 220 mx.test ESMTP\nC EHLO me.test\nS 250 mx.test\nready\n" },
	{ "piped",
	  "S 220 mx.test ESMTP\nC EHLO me.test\nS 250-mx.test\nS 250 PIPELINING\nready\n" },
	{ "bye", "quit\nC QUIT\nS 221 bye\nclosed\n" },
};

struct test_mail {
	const char *name;
	struct smtp_client_mail m;
};

static const struct smtp_client_rcpt ann[] = { { "ann@a.test", NULL, NULL } };
static const struct smtp_client_rcpt three[] = { { "ann@a.test", NULL, NULL },
	                                         { "bob@a.test", NULL, NULL },
	                                         { "cem@a.test", NULL, NULL } };
static const struct smtp_client_rcpt dsn[] = {
	{ "ann@a.test", "SUCCESS,DELAY", "rfc822;a+b=c@a.test" },
	{ "bob@a.test", "NEVER\r\nRSET", "rfc822;x\r\ny@a.test" },
	{ "cem@a.test", NULL, "utf-8;j\xc3\xbcrg\\x{2B}@a.test" },
	{ "dan@a.test", NULL, "no type" },
};
static const struct smtp_client_rcpt mixed[] = { { "j\xc3\xbcrg@a.test", NULL, NULL },
	                                         { "bob@a.test", NULL, NULL } };
static const struct smtp_client_rcpt broken[] = { { "ann@a.test>\r\nDATA", NULL, NULL },
	                                          { "postmaster", NULL, NULL },
	                                          { "<ann@a.test>", NULL, NULL } };

#define MAIL(rcpts_, text)                                                                         \
	.mail_from = "from@b.test", .rcpts = rcpts_, .count = COUNT(rcpts_),                       \
	.message = { (const uint8_t *)(text), sizeof(text) - 1 }

static const struct test_mail mails[] = {
	{ "one", { MAIL(ann, BODY) } },
	{ "three", { MAIL(three, BODY) } },
	{ "null",
	  { .mail_from = "", .rcpts = ann, .count = 1, .message = { (const uint8_t *)BODY, 21 } } },
	{ "dots", { MAIL(ann, ".\r\n..\r\n.x\r\na.\r\n.\r\n") } },
	{ "short", { MAIL(ann, "a\r\n.b") } },
	{ "empty", { MAIL(ann, "") } },
	{ "bare", { MAIL(ann, "a\n.\nb\r.\rc\r\n.\r\r\n\n\r\n.\n\r") } },
	{ "eight", { MAIL(ann, "a: b\r\n\r\n\xc3\xbc\r\n"), .eight_bit = true } },
	{ "utf8", { MAIL(ann, "a: \xc3\xbc\r\n\r\nb\r\n"), .eight_bit = true, .smtputf8 = true } },
	{ "utf8-body",
	  { MAIL(ann, "a: b\r\n\r\n\xc3\xbc\r\n"), .eight_bit = true, .smtputf8 = true } },
	{ "utf8-ascii", { MAIL(ann, BODY), .smtputf8 = true } },
	{ "mixed", { MAIL(mixed, BODY) } },
	{ "from-utf8", { .mail_from = "\xc3\xbc@b.test", .rcpts = ann, .count = 1 } },
	{ "from-broken", { .mail_from = "a@b.test> SIZE=1", .rcpts = ann, .count = 1 } },
	{ "broken", { MAIL(broken, BODY) } },
	{ "dsn", { MAIL(dsn, BODY), .ret = "hdrs", .envid = "a b+c" } },
	{ "dsn-long", { MAIL(ann, BODY), .ret = "FULL", .envid = HUNDRED "+" } },
	{ "dsn-utf8", { MAIL(dsn, BODY), .ret = "x", .envid = "", .smtputf8 = true } },
};

/* --- who holds them --- */

struct play {
	const char *name;
	struct smtp_client_config config;
	struct smtp_client *c;
	size_t piece;   /* of both sides' bytes; 0: all at once */
	size_t split;   /* the server's stream is cut here; SIZE_MAX: nowhere */
	size_t given;   /* of the server's stream */
	struct buf out; /* that the client sent and nobody looked at */
	struct buf ops; /* lines, the same */
	const struct smtp_client_mail *queue[4];
	size_t queued;
	size_t with_dsn; /* recipients whose server tells */
	bool ready;
	bool closed;
};

static const char *const ends[] = { "done", "later", "never", "setup" };

static void note(struct play *p, const char *what, const struct smtp_result *r)
{
	enum rc rc;

	if (r)
		rc = buf_addf(&p->ops, "%s %s %u %s%s%s\n", what, ends[r->end], r->code,
		              r->enhanced, r->text[0] ? " " : "", r->text);
	else
		rc = buf_addf(&p->ops, "%s\n", what);
	assert_int_equal(rc, RC_OK);
}

static void on_starttls(void *app, struct smtp_client *c)
{
	struct play *p = app;

	assert_ptr_equal(c, p->c);
	assert_int_equal(smtp_client_phase(c), PHASE_TLS);
	assert_int_equal(smtp_client_has(c), 0);
	note(p, "starttls", NULL);
}

static void send_next(struct play *p)
{
	const struct smtp_client_mail *m = p->queue[0];

	p->ready = false;
	p->queued--;
	memmove(p->queue, p->queue + 1, p->queued * sizeof(p->queue[0]));
	smtp_client_send(p->c, m);
}

static void on_ready(void *app, struct smtp_client *c)
{
	struct play *p = app;

	assert_false(p->ready);
	assert_int_equal(smtp_client_phase(c), PHASE_READY);
	note(p, "ready", NULL);
	p->ready = true;
	if (p->queued)
		send_next(p);
}

static void on_ended(void *app, struct smtp_client *c, const struct smtp_result *results,
                     size_t count)
{
	struct play *p = app;

	assert_false(p->ready);
	assert_true(smtp_client_phase(c) != PHASE_READY || results[0].code == 0);
	for (size_t i = 0; i < count; i++) {
		bool has = results[i].end == SMTP_DONE && (smtp_client_has(c) & SMTP_HAS_DSN);

		EXPECT(p->name, results[i].dsn == has);
		p->with_dsn += has;
		note(p, "result", &results[i]);
	}
}

static void on_closed(void *app, struct smtp_client *c, const struct smtp_result *why)
{
	struct play *p = app;

	assert_true(smtp_client_closing(c));
	assert_false(p->closed);
	p->closed = true;
	note(p, "closed", why);
}

static const struct smtp_client_ops ops = { on_starttls, on_ready, on_ended, on_closed };

/* Takes all that the client has to send. */
static void take(struct play *p)
{
	for (;;) {
		struct slice out = smtp_client_output(p->c);
		size_t n = p->piece ? MIN_OF(p->piece, out.len) : out.len;

		if (out.len == 0)
			return;
		assert_int_equal(buf_add(&p->out, slice_part(out, 0, n)), RC_OK);
		smtp_client_output_sent(p->c, n);
	}
}

/* A piece in memory of its own. */
static void give_piece(struct play *p, struct slice s)
{
	uint8_t *copy = mem_new(s.len);

	memcpy(copy, s.at, s.len);
	smtp_client_input(p->c, slice_of(copy, s.len));
	free(copy);
	p->given += s.len;
}

static void give(struct play *p, struct slice s)
{
	while (s.len) {
		size_t n = p->piece ? MIN_OF(p->piece, s.len) : s.len;

		if (p->split > p->given)
			n = MIN_OF(n, p->split - p->given);
		give_piece(p, slice_part(s, 0, n));
		s = slice_from(s, n);
	}
}

static void unescape(struct buf *out, struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t b = s.at[i];

		if (b == '\\' && i + 1 < s.len) {
			b = s.at[++i];
			if (b == 'x') {
				assert_true(hex_decode(&b, 1, slice_part(s, i + 1, 2)));
				i += 2;
			} else {
				b = b == 'r' ? '\r' : b == 'n' ? '\n' : b == '0' ? '\0' : b;
			}
		}
		assert_int_equal(buf_add_byte(out, b), RC_OK);
	}
}

static NORETURN void bad(const struct play *p, const char *what, struct slice want)
{
	struct slice got = slice_of(p->out.at, p->out.len);
	struct slice seen = slice_of(p->ops.at, p->ops.len);

	fail_msg("%s (pieces of %zu, cut at %zu): %s \"%.*s\"; output \"%.*s\", ops \"%.*s\"",
	         p->name, p->piece, p->split, what, (int)want.len, (const char *)want.at,
	         (int)got.len, (const char *)(got.len ? got.at : want.at), (int)seen.len,
	         (const char *)(seen.len ? seen.at : want.at));
	abort();
}

static void expect(struct play *p, struct buf *from, struct slice want)
{
	if (!slice_equal(slice_part(buf_slice(from), 0, want.len), want))
		bad(p, "not", want);
	buf_drop(from, want.len);
}

static const struct smtp_client_mail *mail_named(struct slice name)
{
	for (size_t i = 0; i < COUNT(mails); i++)
		if (slice_equal(name, slice_str(mails[i].name)))
			return &mails[i].m;
	fail_msg("no mail %.*s", (int)name.len, (const char *)name.at);
	return NULL;
}

static void check_phase(struct play *p, struct slice name)
{
	static const char *const names[] = { "greeting", "hello", "starttls", "tls",
		                             "auth",     "ready", "envelope", "body",
		                             "end",      "quit",  "closed" };

	if (!slice_equal(name, slice_str(names[smtp_client_phase(p->c)])))
		bad(p, "not in phase", name);
}

static void act(struct play *p, struct slice word, struct slice text)
{
	if (slice_equal(word, slice_str("send"))) {
		assert_true(p->queued < COUNT(p->queue));
		p->queue[p->queued++] = mail_named(text);
		if (p->ready)
			send_next(p);
	} else if (slice_equal(word, slice_str("quit"))) {
		assert_true(p->ready);
		smtp_client_quit(p->c);
	} else if (slice_equal(word, slice_str("tls"))) {
		smtp_client_tls_started(p->c);
		assert_true(smtp_client_tls(p->c));
		assert_int_equal(smtp_client_has(p->c), 0);
	} else if (slice_equal(word, slice_str("lost"))) {
		struct slice rest;
		char *enhanced = slice_string(slice_cut(text, ' ', &rest));
		char *why = slice_string(rest);

		smtp_client_lost(p->c, enhanced, why);
		free(enhanced);
		free(why);
	} else {
		check_phase(p, text);
	}
}

/* "closed?": the same but that the op before it may have come too, as it depends on the pieces. */
static void expect_op(struct play *p, struct slice line)
{
	struct buf want;

	buf_init(&want, 1 << 16);
	if (slice_starts_nocase(line, slice_str("closed?"))) {
		struct slice starttls = slice_str("starttls\n");

		if (slice_starts_nocase(buf_slice(&p->ops), starttls))
			buf_drop(&p->ops, starttls.len);
		assert_int_equal(buf_addf(&want, "closed%.*s\n", (int)line.len - 7,
		                          (const char *)line.at + 7),
		                 RC_OK);
	} else {
		assert_int_equal(buf_addf(&want, "%.*s\n", (int)line.len, (const char *)line.at),
		                 RC_OK);
	}
	expect(p, &p->ops, buf_slice(&want));
	buf_free(&want);
}

/* The S and R lines that follow each other are one write. */
static struct slice server(struct play *p, struct slice text)
{
	struct buf bytes;

	buf_init(&bytes, 1 << 20);
	while (text.len > 1 && (text.at[0] == 'S' || text.at[0] == 'R') && text.at[1] == ' ') {
		bool whole = text.at[0] == 'S';
		struct slice line = slice_cut(text, '\n', &text);

		unescape(&bytes, slice_from(line, 2));
		if (whole)
			assert_int_equal(buf_add_str(&bytes, "\r\n"), RC_OK);
	}
	give(p, buf_slice(&bytes));
	buf_free(&bytes);
	return text;
}

static void client(struct play *p, struct slice line)
{
	struct buf want;

	buf_init(&want, 1 << 16);
	if (line.at[0] == 'B') {
		unescape(&want, slice_from(line, 2));
	} else {
		assert_int_equal(buf_add(&want, slice_from(line, 2)), RC_OK);
		assert_int_equal(buf_add_str(&want, "\r\n"), RC_OK);
	}
	if (p->out.len == 0)
		take(p);
	expect(p, &p->out, buf_slice(&want));
	buf_free(&want);
}

struct talk {
	char *name;
	struct smtp_client_config config;
	char *user;
	char *password;
	struct buf text; /* the lines behind the configuration */
};

static bool is_op(struct slice word)
{
	return slice_equal(word, slice_str("ready")) || slice_equal(word, slice_str("starttls")) ||
	       slice_equal(word, slice_str("result")) ||
	       slice_starts_nocase(word, slice_str("closed"));
}

/* Returns how many bytes the server sent. */
static size_t play_talk(const struct talk *t, size_t piece, size_t split)
{
	struct play p = { .name = t->name, .config = t->config, .piece = piece, .split = split };
	struct slice text = buf_slice(&t->text);

	p.config.hostname = "me.test";
	buf_init(&p.out, 1 << 20);
	buf_init(&p.ops, 1 << 20);
	p.c = smtp_client_new(&p.config, &ops, &p);
	while (text.len) {
		struct slice rest;
		struct slice line = slice_cut(text, '\n', &rest);
		struct slice after;
		struct slice word = slice_cut(line, ' ', &after);

		if (word.len == 1 && (word.at[0] == 'S' || word.at[0] == 'R')) {
			text = server(&p, text);
			continue;
		}
		if (word.len == 1)
			client(&p, line);
		else if (is_op(word))
			expect_op(&p, line);
		else
			act(&p, word, after);
		text = rest;
	}
	take(&p);
	if (p.out.len || p.ops.len)
		bad(&p, "left over at the end of", slice_str(t->name));
	EXPECT(t->name, p.closed);
	smtp_client_free(&p.c);
	buf_free(&p.out);
	buf_free(&p.ops);
	return p.given;
}

static void configure(struct talk *t, struct slice text)
{
	struct slice rest;
	struct slice word = slice_cut(text, ' ', &rest);

	if (slice_equal(word, slice_str("lmtp"))) {
		t->config.lmtp = true;
	} else if (slice_equal(word, slice_str("clear"))) {
		t->config.auth_clear = true;
	} else if (slice_equal(word, slice_str("user"))) {
		t->user = slice_string(slice_cut(rest, ' ', &rest));
		t->password = slice_string(rest);
	} else {
		assert_true(slice_equal(word, slice_str("tls")));
		t->config.tls = slice_equal(rest, slice_str("may"))    ? SMTP_CLIENT_TLS_MAY
		                : slice_equal(rest, slice_str("must")) ? SMTP_CLIENT_TLS_MUST
		                                                       : SMTP_CLIENT_TLS_ON;
	}
	t->config.user = t->user;
	t->config.password = t->password;
}

static void talk_line(struct talk *t, struct slice line)
{
	enum rc rc = RC_OK;

	if (slice_starts_nocase(line, slice_str("#")))
		return;
	if (slice_starts_nocase(line, slice_str("config "))) {
		configure(t, slice_from(line, 7));
		return;
	}
	for (size_t i = 0; i < COUNT(shorthand); i++)
		if (slice_equal(line, slice_str(shorthand[i].word))) {
			assert_int_equal(buf_add_str(&t->text, shorthand[i].text), RC_OK);
			return;
		}
	rc = buf_addf(&t->text, "%.*s\n", (int)line.len, (const char *)line.at);
	assert_int_equal(rc, RC_OK);
}

/* Reads the talk at the start of *text and plays it in all ways. */
static void play_next(struct slice *text)
{
	static const size_t pieces[] = { 1, 2, 3, 7 };
	struct talk t = { .name = NULL };
	struct slice line = slice_cut(*text, '\n', text);
	size_t all;

	assert_true(slice_starts_nocase(line, slice_str("talk ")));
	t.name = slice_string(slice_from(line, 5));
	buf_init(&t.text, 1 << 16);
	while ((line = slice_cut(*text, '\n', text)).len)
		talk_line(&t, line);
	all = play_talk(&t, 0, SIZE_MAX);
	for (size_t n = 0; n < COUNT(pieces); n++)
		(void)play_talk(&t, pieces[n], SIZE_MAX);
	for (size_t at = 1; at < all; at++)
		(void)play_talk(&t, 0, at);
	buf_free(&t.text);
	free(t.name);
	free(t.user);
	free(t.password);
}

static enum rc play_file(void *arg, const char *name, struct err *e)
{
	unsigned *played = arg;
	char *path = path_join(FOLDER, name);
	struct buf text;
	struct slice rest;
	enum rc rc = RC_OK;

	buf_init(&text, 1 << 20);
	if (slice_ends_nocase(slice_str(name), slice_str(".talks")))
		rc = file_read_all(path, &text, e);
	rest = buf_slice(&text);
	while (rest.len) {
		play_next(&rest);
		++*played;
	}
	buf_free(&text);
	free(path);
	return rc;
}

static void test_talks(void **state)
{
	unsigned played = 0;
	struct err e = { 0 };

	(void)state;
	EXPECT_OK(dir_list(FOLDER, play_file, &played, &e), &e);
	print_message("%u talks\n", played);
	assert_true(played >= 86);
}

/* --- what isn't a talk --- */

static void greet(struct play *p, const char *caps)
{
	buf_init(&p->out, 64 << 20);
	buf_init(&p->ops, 1 << 20);
	p->split = SIZE_MAX;
	p->config.hostname = "me.test";
	p->c = smtp_client_new(&p->config, &ops, p);
	give(p, slice_str("220 mx\r\n"));
	take(p);
	give(p, slice_str(caps));
	take(p);
	buf_clear(&p->out);
	buf_clear(&p->ops);
}

static void end(struct play *p)
{
	smtp_client_free(&p->c);
	buf_free(&p->out);
	buf_free(&p->ops);
}

/* Replies without end, of each kind, end the connection within bounds. */
static void test_endless(void **state)
{
	static const char *const endless[] = { "250-x\r\n", "250-\n", "x", "2", "250 ", "\0" };

	(void)state;
	for (size_t i = 0; i < COUNT(endless); i++) {
		struct play p = { .name = "endless" };
		size_t n = 0;
		struct slice s = slice_of(endless[i], MAX_OF(strlen(endless[i]), (size_t)1));

		greet(&p, "250 mx\r\n");
		p.queue[p.queued++] = mail_named(slice_str("one"));
		send_next(&p);
		take(&p);
		for (; n < 100000 && !p.closed; n += s.len)
			give(&p, s);
		EXPECT(endless[i], p.closed && n <= 4096);
		EXPECT(endless[i],
		       slice_starts_nocase(buf_slice(&p.ops), slice_str("result later 0 4.5.0 ")));
		end(&p);
	}
}

/* The text is cut, whatever comes. */
static void test_text(void **state)
{
	struct play p = { .name = "text" };
	char line[128];

	(void)state;
	greet(&p, "250 mx\r\n");
	p.queue[p.queued++] = mail_named(slice_str("one"));
	send_next(&p);
	take(&p);
	memset(line, 'a', sizeof(line));
	memcpy(line, "550-", 4);
	memcpy(line + sizeof(line) - 3, "\r\n", 3);
	for (int i = 0; i < 20; i++)
		give(&p, slice_str(line));
	give(&p, slice_str("550 end\r\n"));
	assert_int_equal(p.ops.len,
	                 strlen("result never 550 5.0.0 \nready\n") + SMTP_RESULT_TEXT - 1);
	end(&p);
}

/* A hundred recipients with long addresses: the output stays small, and all are asked for. */
static void test_many(void **state)
{
	struct play p = { .name = "many" };
	struct smtp_client_rcpt rcpts[LIMIT_SMTP_RECIPIENTS];
	struct smtp_client_mail m = { .mail_from = "", .rcpts = rcpts, .count = COUNT(rcpts) };
	char orcpt[480];
	size_t lines = 0;

	(void)state;
	memset(orcpt, 'x', sizeof(orcpt));
	memcpy(orcpt, "rfc822;", 7);
	orcpt[sizeof(orcpt) - 1] = '\0';
	for (size_t i = 0; i < COUNT(rcpts); i++)
		rcpts[i] =
		        (struct smtp_client_rcpt) { "ann@a.test", "SUCCESS,FAILURE,DELAY", orcpt };
	greet(&p, "250-mx\r\n250-PIPELINING\r\n250 DSN\r\n");
	p.queue[p.queued++] = &m;
	send_next(&p);
	assert_true(smtp_client_output(p.c).len < 36000);
	take(&p);
	for (size_t i = 0; i < p.out.len; i++)
		lines += p.out.at[i] == '\n';
	assert_int_equal(lines, COUNT(rcpts) + 2);
	assert_true(slice_ends_nocase(buf_slice(&p.out), slice_str("DATA\r\n")));
	for (size_t i = 0; i < COUNT(rcpts) + 1; i++)
		give(&p, slice_str("250 ok\r\n"));
	give(&p, slice_str("354 go\r\n"));
	take(&p);
	assert_int_equal(smtp_client_phase(p.c), PHASE_END);
	give(&p, slice_str("250 ok\r\n"));
	assert_int_equal(p.ops.len,
	                 COUNT(rcpts) * strlen("result done 250 2.0.0 ok\n") + strlen("ready\n"));
	assert_int_equal(p.with_dsn, COUNT(rcpts));
	end(&p);
}

/* The longest credentials, which don't fit into the line of the command. */
static void test_long_secret(void **state)
{
	char user[256];
	char password[256];
	char password_long[257];
	struct play p = { .config = {
		                  .tls = SMTP_CLIENT_TLS_ON, .user = user, .password = password } };
	struct buf plain;

	(void)state;
	memset(user, 'u', sizeof(user));
	memset(password, 'p', sizeof(password));
	memset(password_long, 'p', sizeof(password_long));
	user[255] = password[255] = password_long[256] = '\0';
	buf_init(&plain, 4096);
	greet(&p, "250-mx\r\n250 AUTH PLAIN\r\n");
	give(&p, slice_str("334 \r\n"));
	take(&p);
	assert_int_equal(base64_decode(&plain, slice_part(buf_slice(&p.out), 0, p.out.len - 2)),
	                 RC_OK);
	assert_int_equal(plain.len, 512);
	give(&p, slice_str("235 ok\r\n"));
	EXPECT_SLICE("secret", buf_slice(&p.ops), "ready\n");
	end(&p);
	p = (struct play) {
		.config = { .tls = SMTP_CLIENT_TLS_ON, .user = user, .password = password_long }
	};
	greet(&p, "250-mx\r\n250 AUTH PLAIN\r\n");
	assert_true(p.closed);
	end(&p);
	buf_free(&plain);
}

/* Messages of all bytes that matter: what leaves is what make_plain says, stuffed, whatever the
 * pieces. */
static void body_case(const char *text, size_t len, size_t piece)
{
	struct play p = { .name = "body", .piece = piece };
	struct smtp_client_mail m = {
		.mail_from = "", .rcpts = ann, .count = 1, .message = { (const uint8_t *)text, len }
	};
	struct buf want;
	struct buf stuffed;
	char size[64];

	buf_init(&want, 64 << 20);
	buf_init(&stuffed, 64 << 20);
	assert_int_equal(smtp_client_make_plain(&want, m.message), RC_OK);
	assert_int_equal(smtp_client_plain(m.message), slice_equal(buf_slice(&want), m.message));
	assert_true(smtp_client_plain(buf_slice(&want)));
	greet(&p, "250-mx\r\n250-SIZE\r\n250 PIPELINING\r\n");
	p.queue[p.queued++] = &m;
	send_next(&p);
	take(&p);
	(void)snprintf(size, sizeof(size), "MAIL FROM:<> SIZE=%zu\r\n", want.len);
	assert_true(slice_starts_nocase(buf_slice(&p.out), slice_str(size)));
	give(&p, slice_str("250 ok\r\n250 ok\r\n354 ok\r\n"));
	buf_clear(&p.out);
	take(&p);
	for (size_t i = 0; i < want.len; i++) {
		if (want.at[i] == '.' && (i == 0 || want.at[i - 1] == '\n'))
			assert_int_equal(buf_add_byte(&stuffed, '.'), RC_OK);
		assert_int_equal(buf_add_byte(&stuffed, want.at[i]), RC_OK);
		/* no bare CR, no bare LF */
		assert_int_equal(want.at[i] == '\n', i > 0 && want.at[i - 1] == '\r');
	}
	assert_int_equal(smtp_client_body_sent(p.c), stuffed.len + 3);
	assert_int_equal(buf_add_str(&stuffed, ".\r\n"), RC_OK);
	assert_true(slice_equal(buf_slice(&p.out), buf_slice(&stuffed)));
	end(&p);
	buf_free(&want);
	buf_free(&stuffed);
}

static void test_bodies(void **state)
{
	static const char letters[] = "\r\n.a";
	char text[6];

	(void)state;
	for (size_t len = 0; len <= sizeof(text); len++)
		for (size_t n = 0; n < (size_t)1 << 2 * len; n++) {
			for (size_t i = 0; i < len; i++)
				text[i] = letters[n >> 2 * i & 3];
			body_case(text, len, 0);
		}
}

static void test_long_body(void **state)
{
	static const char *const lines[] = {
		".\r\n", "a long line or so with words\r\n", "\n", "\r", ".\n", "x", "\r\r\n"
	};
	char *text = mem_new(200000);

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++) {
		size_t len = 0;
		size_t n = strlen(lines[i]);

		for (; len + n < 200000; len += n)
			memcpy(text + len, lines[i], n);
		body_case(text, len, 0);
		body_case(text, len, 1000);
		body_case(text, len - 1, 32768);
	}
	free(text);
}

/* The steps move with whole replies alone. */
static void test_steps(void **state)
{
	struct play p = { .name = "steps" };
	uint64_t before;

	(void)state;
	greet(&p, "250-mx\r\n250 PIPELINING\r\n");
	p.queue[p.queued++] = mail_named(slice_str("one"));
	send_next(&p);
	take(&p);
	before = smtp_client_steps(p.c);
	give(&p, slice_str("250-a\r\n250-b\r\n250 "));
	assert_int_equal(smtp_client_steps(p.c), before);
	give(&p, slice_str("c\r\n250 d\r\n"));
	assert_int_equal(smtp_client_steps(p.c), before + 2);
	end(&p);
}

/* Whoever hasn't heard of the end yet does no harm. */
static void test_closed(void **state)
{
	struct play p = { .name = "closed" };

	(void)state;
	greet(&p, "250 mx\r\n");
	give(&p, slice_str("421 bye\r\n"));
	assert_true(p.closed);
	buf_clear(&p.ops);
	smtp_client_send(p.c, mail_named(slice_str("one")));
	smtp_client_quit(p.c);
	smtp_client_tls_started(p.c);
	smtp_client_lost(p.c, "4.4.2", "gone");
	give(&p, slice_str("250 ok\r\n"));
	assert_int_equal(p.ops.len + smtp_client_output(p.c).len, 0);
	end(&p);
}

/* Freed in the middle of all: no op comes. */
static void test_freed(void **state)
{
	struct play p = { .name = "free" };
	struct smtp_client *none = NULL;

	(void)state;
	greet(&p, "250 mx\r\n");
	p.queue[p.queued++] = mail_named(slice_str("three"));
	send_next(&p);
	end(&p);
	assert_false(p.closed);
	smtp_client_free(&none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_talks),       cmocka_unit_test(test_endless),
		cmocka_unit_test(test_text),        cmocka_unit_test(test_many),
		cmocka_unit_test(test_long_secret), cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_long_body),   cmocka_unit_test(test_steps),
		cmocka_unit_test(test_freed),       cmocka_unit_test(test_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
