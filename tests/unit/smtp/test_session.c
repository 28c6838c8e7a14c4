/*
 * tests/unit/smtp/test_session.c - what a conversation file can't say: every exit of a transaction
 * from every place in it, memory, back pressure, answers that come too late
 */
#include "tests/unit/smtp/peer.h"

#include "smtp/session.h"

#define HELLO "EHLO client.test\r\n"
#define MAIL  "MAIL FROM:<a@client.test>\r\n"
#define RCPT  "RCPT TO:<b@corp.test>\r\n"

static void start(struct peer *p)
{
	peer_init(p);
	peer_start(p);
	smtp_session_greet(p->s);
}

static bool got(struct peer *p, const char *text)
{
	return slice_find(buf_slice(&p->got), slice_str(text)) != SIZE_MAX;
}

/* --- every exit from every place --- */

static const struct {
	const char *name;
	const char *sent;
	bool command; /* the next bytes are a command */
} places[] = {
	{ "after MAIL", MAIL, true },
	{ "after RCPT", MAIL RCPT, true },
	{ "in DATA", MAIL RCPT "DATA\r\nhalf", false },
	{ "in a chunk", MAIL RCPT "BDAT 1000 LAST\r\nhalf", false },
	{ "between chunks", MAIL RCPT "BDAT 4\r\nhalf", true },
};

static void by_rset(struct peer *p)
{
	peer_say(p, "RSET\r\n");
}

static void by_ehlo(struct peer *p)
{
	peer_say(p, "EHLO again.test\r\n");
}

static void by_helo(struct peer *p)
{
	peer_say(p, "HELO again.test\r\n");
}

static void by_quit(struct peer *p)
{
	peer_say(p, "QUIT\r\n");
}

static void by_bad_chunk(struct peer *p)
{
	peer_say(p, "BDAT 3 x\r\nabc");
}

static void by_bad_size(struct peer *p)
{
	peer_say(p, "BDAT x\r\n");
}

static void by_errors(struct peer *p)
{
	for (unsigned i = 0; i < 30; i++)
		peer_say(p, "FOO\r\n");
}

static void by_alien(struct peer *p)
{
	peer_say(p, "GET / HTTP/1.1\r\n");
}

static void by_long_line(struct peer *p)
{
	char line[1024];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	for (unsigned i = 0; i < 100; i++)
		peer_say(p, line);
}

static void by_timeout(struct peer *p)
{
	smtp_session_timeout(p->s, "4.4.2", "Timeout");
	peer_pump(p);
}

static void by_close(struct peer *p)
{
	(void)p;
}

static const struct {
	const char *name;
	void (*run)(struct peer *p);
	bool command; /* needs to be at a command */
} exits[] = {
	{ "RSET", by_rset, true },           { "EHLO", by_ehlo, true },
	{ "HELO", by_helo, true },           { "QUIT", by_quit, true },
	{ "bad chunk", by_bad_chunk, true }, { "bad size", by_bad_size, true },
	{ "errors", by_errors, true },       { "alien", by_alien, true },
	{ "long line", by_long_line, true }, { "timeout", by_timeout, false },
	{ "close", by_close, false },
};

static void every_exit_resets_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(places); i++)
		for (size_t j = 0; j < COUNT(exits); j++) {
			struct peer p;
			char name[64];

			if (exits[j].command && !places[i].command)
				continue;
			(void)snprintf(name, sizeof(name), "%s, %s", places[i].name, exits[j].name);
			start(&p);
			peer_say(&p, HELLO);
			peer_say(&p, places[i].sent);
			exits[j].run(&p);
			if (exits[j].run != by_close && p.transaction)
				fail_msg("%s: the transaction is still there", name);
			if (!smtp_session_closing(p.s)) {
				buf_clear(&p.got);
				peer_say(&p, RCPT);
				EXPECT(name, got(&p, "503 ") || exits[j].run == by_close);
			}
			peer_hangup(&p); /* counts */
			EXPECT(name, p.accepts == 0);
			peer_free(&p);
		}
}

/* The same while each op waits for its answer; the answer that comes afterwards is ignored. */
static void exits_while_waiting(void **state)
{
	static const unsigned ops[] = { PEER_MAIL, PEER_RCPT, PEER_BEGIN, PEER_END };
	static const char *const bodies[] = { "DATA\r\nx\r\n.\r\n", "BDAT 3 LAST\r\nx\r\n" };

	(void)state;
	for (size_t i = 0; i < COUNT(ops) * COUNT(bodies) * 2; i++) {
		bool timeout = i & 1;
		struct peer p;

		start(&p);
		p.later = ops[i / 4];
		peer_say(&p, HELLO MAIL RCPT);
		peer_say(&p, bodies[i / 2 % 2]);
		assert_int_equal(p.open, ops[i / 4]);
		assert_false(smtp_session_wants_input(p.s));
		if (timeout) {
			smtp_session_timeout(p.s, "4.3.2", "Stopping");
			assert_int_equal(p.open, 0);
			smtp_answer(p.s, 250, "2.0.0", "too late");
			smtp_answer_begin(p.s, 354, "", "too late");
			smtp_answer_accepted(p.s, "late", peer_proof);
			smtp_answer_refused(p.s, 550, "5.0.0", "too late");
			smtp_answer_auth(p.s, true);
			smtp_answer_auth_later(p.s);
			peer_pump(&p);
			assert_true(got(&p, "421 4.3.2 mx.test Stopping\r\n"));
			assert_false(got(&p, "late"));
			assert_false(smtp_session_authenticated(p.s));
		}
		peer_hangup(&p);
		assert_int_equal(p.resets, 1);
		assert_int_equal(p.accepts, 0);
		peer_free(&p);
	}
}

/* --- limits of memory --- */

static void many_tiny_chunks_cost_nothing(void **state)
{
	struct peer p;

	(void)state;
	start(&p);
	peer_say(&p, HELLO MAIL RCPT);
	for (unsigned i = 0; i < 100000; i++) {
		peer_say(&p, "BDAT 1\r\nx");
		if (i % 100 == 0) {
			assert_true(got(&p, "250 2.0.0 1 octets received\r\n"));
			buf_clear(&p.got);
		}
		assert_true(p.s->out.room <= 4096 && p.s->line.room <= 4096);
	}
	peer_say(&p, "BDAT 0 LAST\r\n");
	assert_int_equal(p.accepts, 1);
	assert_int_equal(p.spool[0].body.len, 100000);
	peer_free(&p);
}

static void a_long_line_is_not_kept(void **state)
{
	struct peer p;
	size_t sent = 0;

	(void)state;
	start(&p);
	p.cut = 100;
	while (!smtp_session_closing(p.s)) {
		peer_say(&p, "AUTH LOGIN AUTH LOGIN AUTH LOGIN AUTH LOGIN ");
		sent += 44;
		assert_true(p.s->line.room <= LIMIT_SMTP_AUTH_LINE + 1);
		assert_true(sent < 100000);
	}
	assert_true(sent > LIMIT_SMTP_AUTH_LINE);
	peer_free(&p);
}

/* A peer that never reads its replies isn't read from either. */
static void output_is_bounded(void **state)
{
	struct peer p;
	struct slice noop = slice_str("NOOP\r\n");
	size_t taken = 0;

	(void)state;
	start(&p);
	p.config.limits.junk = 0;
	for (unsigned i = 0; i < 100000; i++)
		taken += smtp_session_input(p.s, noop);
	assert_true(taken < 100000);
	assert_false(smtp_session_wants_input(p.s));
	assert_true(smtp_session_output(p.s).len < 20000);
	smtp_session_output_sent(p.s, smtp_session_output(p.s).len);
	assert_true(smtp_session_wants_input(p.s));
	assert_true(p.s->out.room <= 4096);
	assert_int_equal(smtp_session_input(p.s, noop), noop.len);
	peer_free(&p);
}

/* The app has enough of a body for now: no more is taken, in DATA and in chunks, until it goes on
 * or the transaction ends. */
static void a_body_is_held(void **state)
{
	static const char *const begin[] = { "DATA\r\n", "BDAT 3\r\n", "BDAT 3 LAST\r\n" };
	static const char *const end[] = { "ef\r\n.\r\n", "BDAT 3 LAST\r\nefg", "" };

	(void)state;
	for (size_t i = 0; i < COUNT(begin); i++) {
		struct peer p;

		start(&p);
		peer_say(&p, HELLO MAIL RCPT);
		p.holds = true;
		p.cut = 1;
		peer_say(&p, begin[i]);
		peer_say(&p, "abc");
		EXPECT(begin[i], !smtp_session_wants_input(p.s) && p.content.len == 1);
		for (int k = 0; k < 3; k++) {
			smtp_session_go_on(p.s);
			peer_say(&p, "");
		}
		EXPECT(begin[i], p.content.len >= 3 || p.accepts == 1);
		p.holds = false;
		smtp_session_go_on(p.s);
		peer_say(&p, end[i]);
		EXPECT(begin[i], p.accepts == 1 && smtp_session_wants_input(p.s));
		smtp_session_hold(p.s); /* without a transaction: nothing to hold */
		assert_true(smtp_session_wants_input(p.s));
		peer_free(&p);
	}
}

/* The end of a transaction, here by the peer's going away, ends the hold. */
static void a_hold_ends_with_its_transaction(void **state)
{
	struct peer p;

	(void)state;
	start(&p);
	p.holds = true;
	peer_say(&p, HELLO MAIL RCPT "BDAT 3 LAST\r\nabc");
	EXPECT("the next one", p.accepts == 1 && smtp_session_wants_input(p.s));
	peer_say(&p, MAIL RCPT "DATA\r\nabc");
	assert_false(smtp_session_wants_input(p.s));
	smtp_session_timeout(p.s, "4.4.2", "Too late");
	assert_true(smtp_session_closing(p.s));
	peer_free(&p);
}

/* The output is full when STARTTLS is read: what came with it in the clear is dropped all the same.
 */
static void nothing_clear_survives_starttls(void **state)
{
	struct peer p;
	struct buf all;

	(void)state;
	start(&p);
	p.config.tls = SMTP_TLS_OFFERED;
	p.config.limits.junk = 0;
	peer_say(&p, HELLO);
	for (unsigned pad = 0; pad < 30; pad++) {
		buf_init(&all, 1 << 20);
		/* the last reply before STARTTLS's is what fills the output */
		for (unsigned i = 0; i < 1155 + pad; i++)
			assert_int_equal(buf_add_str(&all, "NOOP\r\n"), RC_OK);
		assert_int_equal(buf_add_str(&all, "STARTTLS\r\nMAIL FROM:<x@y>\r\n"), RC_OK);
		size_t n = smtp_session_input(p.s, buf_slice(&all));
		bool started = p.s->state == STATE_TLS;

		assert_true(started ? n == all.len : n < all.len);
		smtp_session_output_sent(p.s, smtp_session_output(p.s).len);
		if (started) {
			p.s->tls = false;
			smtp_session_tls_started(p.s);
			p.s->tls = false; /* again, for the next length */
			peer_say(&p, HELLO);
		}
		buf_free(&all);
	}
	assert_true(p.tls_starts > 0);
	assert_int_equal(p.mails, 0);
	peer_free(&p);
}

static void an_idle_session_is_small(void **state)
{
	struct peer p;

	(void)state;
	start(&p);
	peer_say(&p, HELLO MAIL RCPT "DATA\r\nx\r\n.\r\n");
	peer_say(&p, "AUTH PLAIN ");
	for (unsigned i = 0; i < 1000; i++)
		peer_say(&p, "AAAAAAAA");
	peer_say(&p, "\r\n");
	assert_true(sizeof(*p.s) + p.s->out.room + p.s->line.room + p.s->auth.room < 8192);
	peer_free(&p);
}

/* --- replies --- */

static void texts_become_one_clean_line(void **state)
{
	struct peer p;
	char text[2000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memcpy(text, "a\r\n250 forged \xc3\xa9\x01", 17);
	start(&p);
	p.later = PEER_MAIL;
	peer_say(&p, HELLO MAIL);
	buf_clear(&p.got);
	p.open = 0;
	smtp_answer(p.s, 550, "5.7.1", text);
	peer_pump(&p);
	assert_true(got(&p, "550 5.7.1 a??250 forged ???xxx"));
	assert_int_equal(p.got.len, 512);
	assert_true(slice_ends_nocase(buf_slice(&p.got), slice_str("\r\n")));
	peer_free(&p);
}

static void a_421_from_the_app_closes(void **state)
{
	struct peer p;

	(void)state;
	start(&p);
	p.later = PEER_END;
	peer_say(&p, HELLO MAIL RCPT "DATA\r\n.\r\n");
	p.open = 0;
	smtp_answer_refused(p.s, 421, "4.3.0", "Write failed");
	assert_true(smtp_session_closing(p.s));
	peer_pump(&p);
	assert_true(got(&p, "421 4.3.0 mx.test Write failed\r\n"));
	peer_free(&p);
}

/* --- facts --- */

static void facts_are_told(void **state)
{
	struct peer p;
	uint64_t steps;

	(void)state;
	start(&p);
	p.config.auth = true;
	p.config.tls = SMTP_TLS_OFFERED;
	peer_say(&p, "EHLO A.example) by (b\r\n");
	EXPECT_SLICE("helo", smtp_session_helo(p.s), "A.example) by (b");
	assert_true(smtp_session_esmtp(p.s));
	assert_false(smtp_session_tls(p.s));
	peer_say(&p, "STARTTLS\r\n");
	peer_tls(&p);
	assert_true(smtp_session_tls(p.s));
	assert_int_equal(smtp_session_helo(p.s).len, 0);
	assert_false(smtp_session_esmtp(p.s));
	peer_say(&p, HELLO "AUTH PLAIN AGIAc2VjcmV0\r\n");
	assert_true(smtp_session_authenticated(p.s));
	peer_say(&p, MAIL RCPT "DATA\r\n");
	assert_true(smtp_session_in_body(p.s));
	steps = smtp_session_steps(p.s);
	peer_say(&p, "0123456789\r\n");
	assert_int_equal(smtp_session_body_bytes(p.s), 12);
	assert_int_equal(smtp_session_steps(p.s), steps);
	peer_say(&p, ".\r\n");
	assert_false(smtp_session_in_body(p.s));
	assert_true(smtp_session_steps(p.s) > steps);
	steps = smtp_session_steps(p.s);
	peer_say(&p, "NO");
	peer_say(&p, "OP");
	assert_int_equal(smtp_session_steps(p.s), steps);
	peer_free(&p);
}

/* A body goes to the app in the runs it came in. */
static void bodies_are_not_chopped(void **state)
{
	struct peer p;
	struct buf body;

	(void)state;
	start(&p);
	buf_init(&body, 1 << 20);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(buf_add_str(&body, "a line of text, not long\r\n"), RC_OK);
	peer_say(&p, HELLO MAIL RCPT "DATA\r\n");
	assert_int_equal(buf_add_str(&body, ".\r\n"), RC_OK);
	peer_send(&p, buf_slice(&body));
	assert_int_equal(p.accepts, 1);
	assert_int_equal(p.largest_run, body.len - 3);
	buf_free(&body);
	peer_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_exit_resets_once),
		cmocka_unit_test(exits_while_waiting),
		cmocka_unit_test(many_tiny_chunks_cost_nothing),
		cmocka_unit_test(a_long_line_is_not_kept),
		cmocka_unit_test(output_is_bounded),
		cmocka_unit_test(a_body_is_held),
		cmocka_unit_test(a_hold_ends_with_its_transaction),
		cmocka_unit_test(nothing_clear_survives_starttls),
		cmocka_unit_test(an_idle_session_is_small),
		cmocka_unit_test(texts_become_one_clean_line),
		cmocka_unit_test(a_421_from_the_app_closes),
		cmocka_unit_test(facts_are_told),
		cmocka_unit_test(bodies_are_not_chopped),
	};

	return cmocka_run_group_tests(tests, peer_setup, NULL);
}
