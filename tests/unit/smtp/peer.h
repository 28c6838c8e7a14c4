/*
 * tests/unit/smtp/peer.h - a session with both its neighbours played by the test
 *
 * The client side: bytes go in cut to pieces of a given size, each in memory of its own; what isn't
 * taken waits as it would in a socket. The app side: a policy in a few words, a spool in memory, and
 * answers that can be held back. Every op checks that it may be called now.
 */
#ifndef MM_TESTS_UNIT_SMTP_PEER_H
#define MM_TESTS_UNIT_SMTP_PEER_H

#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "smtp/server.h"

#define PEER_MAIL  1
#define PEER_RCPT  2
#define PEER_BEGIN 4
#define PEER_END   8
#define PEER_AUTH  16

#define PEER_RULES 8
#define PEER_SPOOL 8

struct peer_rule {
	unsigned op;
	char address[64]; /* "*": all */
	unsigned code;
	char enhanced[16];
	char text[64];
};

struct peer_message {
	char from[320];
	char rcpts[1024]; /* with commas */
	struct buf body;
};

struct peer {
	struct smtp_config config;
	struct smtp_session *s;
	size_t cut;          /* bytes of a piece; 0: all at once */
	struct buf held;     /* sent by the client, not taken yet */
	struct buf got;      /* replies that nobody looked at yet */
	struct peer_rule rules[PEER_RULES];
	size_t nrules;
	unsigned later;      /* ops whose answers are held back */
	bool disk_full;
	bool holds; /* after each run of a body it has enough for now */
	/* the app */
	unsigned open;       /* the op that waits for its answer */
	struct peer_rule answer;
	bool transaction;
	bool body;
	unsigned mails;
	unsigned resets;
	unsigned accepts;
	unsigned begins;
	unsigned auths;
	unsigned tls_starts;
	size_t largest_run;
	char from[320];
	char rcpts[1024];
	char params[1024];   /* of the last MAIL or RCPT */
	char odd[32];        /* body_oddity at the last body_end */
	struct buf content;
	struct peer_message spool[PEER_SPOOL]; /* the first ones */
};

static const struct durable *peer_proof;

/* A proof can't be made up: this syncs a file. */
static UNUSED int peer_setup(void **state)
{
	char path[] = "/tmp/mm-test-smtp-XXXXXX";
	int fd = mkstemp(path);
	struct file *f;
	struct err e = { 0 };

	(void)state;
	assert_true(fd >= 0);
	f = file_adopt(fd, path);
	EXPECT_OK(file_sync(f, &peer_proof, &e), &e);
	file_close(&f);
	EXPECT_OK(file_remove(path, &e), &e);
	return 0;
}

static void peer_text(char *out, size_t room, struct slice s)
{
	(void)snprintf(out, room, "%.*s", (int)s.len, s.len ? (const char *)s.at : "");
}

static void peer_deliver(struct peer *p)
{
	if (p->accepts < PEER_SPOOL) {
		struct peer_message *m = &p->spool[p->accepts];

		(void)snprintf(m->from, sizeof(m->from), "%s", p->from);
		(void)snprintf(m->rcpts, sizeof(m->rcpts), "%s", p->rcpts);
		assert_int_equal(buf_add(&m->body, buf_slice(&p->content)), RC_OK);
	}
	p->accepts++;
	p->transaction = false;
	p->body = false;
}

static void peer_answer(struct peer *p)
{
	unsigned op = p->open;
	const struct peer_rule *a = &p->answer;

	p->open = 0;
	if (op == PEER_BEGIN) {
		p->body = a->code == 354;
		smtp_answer_begin(p->s, a->code, a->enhanced, a->text);
	} else if (op == PEER_END && a->code == 250) {
		peer_deliver(p);
		smtp_answer_accepted(p->s, "id1", peer_proof);
	} else if (op == PEER_END) {
		smtp_answer_refused(p->s, a->code, a->enhanced, a->text);
	} else if (op == PEER_AUTH && a->code == 454) {
		smtp_answer_auth_later(p->s);
	} else if (op == PEER_AUTH) {
		smtp_answer_auth(p->s, a->code == 235);
	} else {
		smtp_answer(p->s, a->code, a->enhanced, a->text);
	}
}

/* The answer by the rules, given now or held back. */
static void peer_decide(struct peer *p, unsigned op, struct slice address, unsigned code,
                        const char *enhanced, const char *text)
{
	assert_int_equal(p->open, 0);
	p->open = op;
	p->answer.code = code;
	(void)snprintf(p->answer.enhanced, sizeof(p->answer.enhanced), "%s", enhanced);
	(void)snprintf(p->answer.text, sizeof(p->answer.text), "%s", text);
	for (size_t i = 0; i < p->nrules; i++) {
		struct slice want = slice_str(p->rules[i].address);

		if (p->rules[i].op == op &&
		    (slice_equal(want, slice_str("*")) || slice_equal_nocase(want, address))) {
			p->answer = p->rules[i];
			break;
		}
	}
	if (op == PEER_RCPT && p->answer.code == 250) {
		size_t n = strlen(p->rcpts);

		(void)snprintf(p->rcpts + n, sizeof(p->rcpts) - n, "%s%.*s", n ? "," : "",
		               (int)address.len, (const char *)address.at);
	}
	if (!(p->later & op))
		peer_answer(p);
}

static void peer_mail(void *app, struct smtp_session *s, const struct smtp_path *from,
                      const struct smtp_mail_params *m)
{
	struct peer *p = app;

	(void)s;
	assert_false(p->transaction);
	p->transaction = true;
	p->mails++;
	p->rcpts[0] = '\0';
	buf_clear(&p->content);
	peer_text(p->from, sizeof(p->from), from->address);
	(void)snprintf(p->params, sizeof(p->params), "%llu %s %.*s %.*s %.*s %.*s",
	               (unsigned long long)m->size, m->smtputf8 ? "utf8" : "-",
	               (int)m->body.len, (const char *)m->body.at, (int)m->ret.len,
	               (const char *)m->ret.at, (int)m->envid.len, (const char *)m->envid.at,
	               (int)m->auth.len, (const char *)m->auth.at);
	peer_decide(p, PEER_MAIL, from->address, 250, "2.1.0", "Ok");
}

static void peer_rcpt(void *app, struct smtp_session *s, const struct smtp_path *to,
                      const struct smtp_rcpt_params *r)
{
	struct peer *p = app;

	(void)s;
	assert_true(p->transaction && !p->body);
	(void)snprintf(p->params, sizeof(p->params), "%.*s %.*s", (int)r->notify.len,
	               (const char *)r->notify.at, (int)r->orcpt.len, (const char *)r->orcpt.at);
	peer_decide(p, PEER_RCPT, to->address, 250, "2.1.5", "Ok");
}

static void peer_body_begin(void *app, struct smtp_session *s)
{
	struct peer *p = app;

	(void)s;
	assert_true(p->transaction && !p->body && p->rcpts[0]);
	p->begins++;
	peer_decide(p, PEER_BEGIN, slice_of(NULL, 0), 354, "", "Go ahead");
}

static enum rc peer_body(void *app, struct smtp_session *s, struct slice bytes)
{
	struct peer *p = app;

	assert_true(p->transaction && p->body && !p->open && bytes.len);
	p->largest_run = MAX_OF(p->largest_run, bytes.len);
	if (p->disk_full)
		return RC_NOSPACE;
	if (p->holds)
		smtp_session_hold(s);
	return buf_add(&p->content, bytes);
}

static void peer_body_end(void *app, struct smtp_session *s)
{
	struct peer *p = app;
	const char *odd = smtp_session_body_oddity(s);

	assert_true(p->transaction && p->body);
	assert_true(smtp_session_body_bytes(s) == p->content.len);
	(void)snprintf(p->odd, sizeof(p->odd), "%s", odd ? odd : "");
	peer_decide(p, PEER_END, slice_of(NULL, 0), 250, "", "");
}

static void peer_reset(void *app, struct smtp_session *s)
{
	struct peer *p = app;

	(void)s;
	assert_true(p->transaction);
	p->transaction = false;
	p->body = false;
	p->open = 0;
	p->resets++;
}

/* The password is "secret" for everybody. */
static void peer_auth(void *app, struct smtp_session *s, struct slice authzid, struct slice user,
                      struct slice password)
{
	struct peer *p = app;

	(void)s;
	assert_false(p->transaction);
	p->auths++;
	(void)snprintf(p->params, sizeof(p->params), "%.*s/%.*s/%.*s", (int)authzid.len,
	               (const char *)authzid.at, (int)user.len, (const char *)user.at,
	               (int)password.len, (const char *)password.at);
	peer_decide(p, PEER_AUTH, user,
	            slice_equal(password, slice_str("secret")) ? 235 : 535, "", "");
}

static void peer_starttls(void *app, struct smtp_session *s)
{
	struct peer *p = app;

	(void)s;
	assert_false(p->transaction);
	p->tls_starts++;
}

static const struct smtp_server_ops peer_ops = {
	.mail = peer_mail,
	.rcpt = peer_rcpt,
	.body_begin = peer_body_begin,
	.body = peer_body,
	.body_end = peer_body_end,
	.reset = peer_reset,
	.auth = peer_auth,
	.starttls = peer_starttls,
};

static UNUSED void peer_init(struct peer *p)
{
	*p = (struct peer) {
		.config = { .hostname = "mx.test",
		            .limits = { .message_bytes = LIMIT_MESSAGE_BYTES,
		                        .recipients = LIMIT_SMTP_RECIPIENTS,
		                        .errors = 20,
		                        .junk = 100 } },
	};
	buf_init(&p->held, 64 << 20);
	buf_init(&p->got, 64 << 20);
	buf_init(&p->content, 64 << 20);
	for (size_t i = 0; i < PEER_SPOOL; i++)
		buf_init(&p->spool[i].body, 64 << 20);
}

static void peer_collect(struct peer *p)
{
	struct slice out = smtp_session_output(p->s);

	assert_int_equal(buf_add(&p->got, out), RC_OK);
	smtp_session_output_sent(p->s, out.len);
}

/* Gives what is held, until the session takes no more. */
static void peer_pump(struct peer *p)
{
	size_t at = 0;

	peer_collect(p);
	while (at < p->held.len) {
		struct slice piece = slice_part(buf_slice(&p->held), at, p->cut ? p->cut : SIZE_MAX);
		uint8_t *copy = mem_new(piece.len);
		bool wants = smtp_session_wants_input(p->s);
		size_t n;

		memcpy(copy, piece.at, piece.len);
		n = smtp_session_input(p->s, slice_of(copy, piece.len));
		assert_true(n <= piece.len);
		assert_true(n > 0 || !wants);
		free(copy);
		peer_collect(p);
		at += n;
		if (n == 0)
			break;
	}
	buf_drop(&p->held, at);
}

static UNUSED void peer_start(struct peer *p)
{
	p->s = smtp_session_new(&p->config, &peer_ops, p);
	assert_true(smtp_session_app(p->s) == p);
}

static UNUSED void peer_send(struct peer *p, struct slice bytes)
{
	assert_int_equal(buf_add(&p->held, bytes), RC_OK);
	peer_pump(p);
}

static UNUSED void peer_say(struct peer *p, const char *bytes)
{
	peer_send(p, slice_str(bytes));
}

/* The answer that was held back. */
static UNUSED void peer_release(struct peer *p)
{
	assert_int_not_equal(p->open, 0);
	assert_false(smtp_session_wants_input(p->s));
	peer_answer(p);
	peer_pump(p);
}

static UNUSED void peer_tls(struct peer *p)
{
	buf_clear(&p->held); /* what was read in the clear */
	smtp_session_tls_started(p->s);
}

/* The close; then every MAIL must have found its end. */
static UNUSED void peer_hangup(struct peer *p)
{
	smtp_session_free(&p->s);
	assert_null(p->s);
	assert_false(p->transaction);
	assert_int_equal(p->mails, p->accepts + p->resets);
}

static UNUSED void peer_free(struct peer *p)
{
	if (p->s)
		peer_hangup(p);
	buf_free(&p->held);
	buf_free(&p->got);
	buf_free(&p->content);
	for (size_t i = 0; i < PEER_SPOOL; i++)
		buf_free(&p->spool[i].body);
}

#endif
