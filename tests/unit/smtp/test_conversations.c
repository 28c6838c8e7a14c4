/*
 * tests/unit/smtp/test_conversations.c - plays tests/smtp/NNNN-name.smtp, each at several cut sizes
 *
 * A line of a conversation is a word and its text. "#" and empty lines are comments.
 *   config   tls none|offered|required|on; auth; keep; odd; size|recipients|errors|junk N
 *   policy   deny mail|rcpt|begin|end|auth ADDRESS|* CODE ENHANCED TEXT; later OP; now; disk full
 *   connect  (no greeting yet), greet; without these the first other line does both
 *   C:       what the client sends, with CRLF; "a | b" is two lines in one write
 *   R:       the same without CRLF;  X: N text  the text N times, without CRLF
 *   S:       the next reply line; * stands for anything. No line may be left before the next C:
 *   answer   gives the answer that is held back;  tls  the handshake is done
 *   timeout, refuse CODE TEXT, hangup;  closed, open: is the session about to close?
 *   spool N; from A; rcpts A,B; body TEXT (of the last message); params TEXT; odd TEXT; resets N
 * In C, R, X and body: \r \n \0 \t \\ \xHH.
 */
#include "tests/unit/smtp/peer.h"

#include "base/codec.h"

#define FOLDER "tests/smtp"

static const size_t cuts[] = { 0, 1, 2, 3, 7, 1000 };

struct play {
	struct peer p;
	const char *file;
	unsigned line;
	bool connected;
	bool greeted;
};

static NORETURN void play_fail(const struct play *y, const char *what, struct slice text)
{
	fail_msg("%s:%u (pieces of %zu): %s \"%.*s\"", y->file, y->line, y->p.cut, what,
	         (int)text.len, text.len ? (const char *)text.at : "");
	abort();
}

static struct slice word(struct slice *rest)
{
	*rest = slice_trim(*rest);
	return slice_cut(*rest, ' ', rest);
}

static bool word_is(struct slice w, const char *s)
{
	return slice_equal(w, slice_str(s));
}

static unsigned number(const struct play *y, struct slice text)
{
	uint64_t n;

	if (!slice_to_u64(text, &n))
		play_fail(y, "not a number", text);
	return (unsigned)n;
}

static void unescape(const struct play *y, struct slice s, struct buf *out)
{
	static const char names[] = "rn0t\\";
	static const char values[] = "\r\n\0\t\\";

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.at[i];
		const char *name;

		if (c == '\\') {
			if (++i == s.len)
				play_fail(y, "a lone backslash in", s);
			name = memchr(names, s.at[i], sizeof(names) - 1);
			if (name)
				c = (uint8_t)values[name - names];
			else if (s.at[i] != 'x' || !hex_decode(&c, 1, slice_part(s, i + 1, 2)))
				play_fail(y, "unknown escape in", s);
			else
				i += 2;
		}
		assert_int_equal(buf_add_byte(out, c), RC_OK);
	}
}

static bool glob(struct slice pattern, struct slice text)
{
	if (pattern.len == 0)
		return text.len == 0;
	if (pattern.at[0] != '*')
		return text.len && text.at[0] == pattern.at[0] &&
		       glob(slice_from(pattern, 1), slice_from(text, 1));
	for (size_t i = 0; i <= text.len; i++)
		if (glob(slice_from(pattern, 1), slice_from(text, i)))
			return true;
	return false;
}

static void connect_now(struct play *y, bool greet)
{
	if (!y->connected)
		peer_start(&y->p);
	y->connected = true;
	if (greet && !y->greeted) {
		smtp_session_greet(y->p.s);
		peer_pump(&y->p);
		y->greeted = true;
	}
}

/* --- the words --- */

static void do_config(struct play *y, struct slice rest)
{
	static const char *const tls[] = { "none", "offered", "required", "on" };
	struct smtp_config *c = &y->p.config;
	struct slice key = word(&rest);

	if (word_is(key, "auth"))
		c->auth = true;
	else if (word_is(key, "keep"))
		c->keep_bare = true;
	else if (word_is(key, "odd"))
		c->odd_local = true;
	else if (word_is(key, "size"))
		c->limits.message_bytes = number(y, rest);
	else if (word_is(key, "recipients"))
		c->limits.recipients = number(y, rest);
	else if (word_is(key, "errors"))
		c->limits.errors = number(y, rest);
	else if (word_is(key, "junk"))
		c->limits.junk = number(y, rest);
	else if (!word_is(key, "tls"))
		play_fail(y, "unknown setting", key);
	for (unsigned i = 0; word_is(key, "tls") && i < COUNT(tls); i++)
		if (word_is(rest, tls[i]))
			c->tls = (enum smtp_tls)i;
}

static unsigned op_named(const struct play *y, struct slice w)
{
	static const char *const names[] = { "mail", "rcpt", "begin", "end", "auth" };

	for (unsigned i = 0; i < COUNT(names); i++)
		if (word_is(w, names[i]))
			return 1u << i;
	play_fail(y, "unknown op", w);
}

static void do_policy(struct play *y, struct slice rest)
{
	struct slice what = word(&rest);
	struct peer_rule *r = &y->p.rules[y->p.nrules];

	if (word_is(what, "later")) {
		y->p.later |= op_named(y, word(&rest));
	} else if (word_is(what, "now")) {
		y->p.later = 0;
	} else if (word_is(what, "disk")) {
		y->p.disk_full = true;
	} else if (word_is(what, "deny") && y->p.nrules < PEER_RULES) {
		r->op = op_named(y, word(&rest));
		peer_text(r->address, sizeof(r->address), word(&rest));
		r->code = number(y, word(&rest));
		peer_text(r->enhanced, sizeof(r->enhanced), word(&rest));
		peer_text(r->text, sizeof(r->text), rest);
		y->p.nrules++;
	} else {
		play_fail(y, "unknown policy", what);
	}
}

static void nothing_unread(struct play *y)
{
	if (y->p.got.len)
		play_fail(y, "a reply that wasn't expected", buf_slice(&y->p.got));
}

static void do_client(struct play *y, struct slice rest)
{
	struct buf out;
	struct slice bar = slice_str(" | ");
	bool more = true;

	nothing_unread(y);
	buf_init(&out, 1 << 20);
	while (more) {
		bool empty = slice_starts_nocase(rest, slice_from(bar, 1)); /* "a | | b" */
		size_t at = empty ? 0 : slice_find(rest, bar);

		more = at != SIZE_MAX;
		unescape(y, slice_part(rest, 0, at), &out);
		assert_int_equal(buf_add_str(&out, "\r\n"), RC_OK);
		rest = more ? slice_from(rest, at + bar.len - empty) : slice_of(NULL, 0);
	}
	peer_send(&y->p, buf_slice(&out));
	buf_free(&out);
}

static void do_raw(struct play *y, struct slice rest, unsigned times)
{
	struct buf one;
	struct buf out;

	nothing_unread(y);
	buf_init(&one, 1 << 20);
	buf_init(&out, 64 << 20);
	unescape(y, rest, &one);
	for (unsigned i = 0; i < times; i++)
		assert_int_equal(buf_add(&out, buf_slice(&one)), RC_OK);
	peer_send(&y->p, buf_slice(&out));
	buf_free(&one);
	buf_free(&out);
}

static void do_server(struct play *y, struct slice want)
{
	struct slice got = buf_slice(&y->p.got);
	size_t end = slice_find(got, slice_str("\r\n"));

	if (end == SIZE_MAX)
		play_fail(y, "no reply; wanted", want);
	got = slice_part(got, 0, end);
	if (!glob(want, got))
		play_fail(y, "the reply is", got);
	buf_drop(&y->p.got, end + 2);
}

static void expect_text(struct play *y, const char *got, struct slice want)
{
	if (!glob(want, slice_str(got)))
		play_fail(y, "it is", slice_str(got));
}

static const struct peer_message *last_message(struct play *y)
{
	unsigned n = MIN_OF(y->p.accepts, (unsigned)PEER_SPOOL);

	if (n == 0)
		play_fail(y, "no message in the spool", slice_of(NULL, 0));
	return &y->p.spool[n - 1];
}

static void expect_body(struct play *y, struct slice rest)
{
	struct buf want;

	buf_init(&want, 1 << 20);
	unescape(y, rest, &want);
	if (!slice_equal(buf_slice(&want), buf_slice(&last_message(y)->body)))
		play_fail(y, "the body is", buf_slice(&last_message(y)->body));
	buf_free(&want);
}

static bool expect(struct play *y, struct slice w, struct slice rest)
{
	if (word_is(w, "closed") || word_is(w, "open")) {
		if (smtp_session_closing(y->p.s) != word_is(w, "closed"))
			play_fail(y, "it is not", w);
	} else if (word_is(w, "spool")) {
		assert_int_equal(y->p.accepts, number(y, rest));
	} else if (word_is(w, "resets")) {
		assert_int_equal(y->p.resets, number(y, rest));
	} else if (word_is(w, "from")) {
		expect_text(y, last_message(y)->from, rest);
	} else if (word_is(w, "rcpts")) {
		expect_text(y, last_message(y)->rcpts, rest);
	} else if (word_is(w, "body")) {
		expect_body(y, rest);
	} else if (word_is(w, "params")) {
		expect_text(y, y->p.params, rest);
	} else if (word_is(w, "odd")) {
		expect_text(y, y->p.odd, rest);
	} else {
		return false;
	}
	return true;
}

static bool act(struct play *y, struct slice w, struct slice rest)
{
	if (word_is(w, "C:")) {
		do_client(y, rest);
	} else if (word_is(w, "R:")) {
		do_raw(y, rest, 1);
	} else if (word_is(w, "X:")) {
		unsigned times = number(y, word(&rest));

		do_raw(y, rest, times);
	} else if (word_is(w, "S:")) {
		do_server(y, rest);
	} else if (word_is(w, "answer")) {
		peer_release(&y->p);
	} else if (word_is(w, "tls")) {
		nothing_unread(y);
		peer_tls(&y->p);
		peer_pump(&y->p);
	} else if (word_is(w, "timeout")) {
		smtp_session_timeout(y->p.s, "4.4.2", "Timeout");
		peer_pump(&y->p);
	} else if (word_is(w, "hangup")) {
		peer_hangup(&y->p);
	} else {
		return false;
	}
	return true;
}

static void play_line(struct play *y, struct slice line)
{
	struct slice rest;
	struct slice w = slice_cut(line, ' ', &rest);

	if (line.len == 0 || line.at[0] == '#')
		return;
	if (word_is(w, "policy")) {
		do_policy(y, rest);
	} else if (word_is(w, "config")) {
		do_config(y, slice_trim(rest));
	} else if (word_is(w, "connect")) {
		connect_now(y, false);
		y->greeted = true;
	} else if (word_is(w, "greet")) {
		smtp_session_greet(y->p.s);
		peer_pump(&y->p);
	} else if (word_is(w, "refuse")) {
		smtp_session_refuse(y->p.s, "4.3.2", "Too many connections");
		peer_pump(&y->p);
	} else {
		connect_now(y, true);
		if (!act(y, w, rest) && !expect(y, w, slice_trim(rest)))
			play_fail(y, "unknown word", w);
	}
}

static void play_file(const char *path, struct slice text, size_t cut)
{
	struct play *y = mem_new(sizeof(*y));

	y->file = path;
	peer_init(&y->p);
	y->p.cut = cut;
	while (text.len) {
		y->line++;
		play_line(y, slice_cut(text, '\n', &text));
	}
	nothing_unread(y);
	peer_free(&y->p);
	free(y);
}

static enum rc play_one(void *arg, const char *name, struct err *e)
{
	unsigned *played = arg;
	char *path = path_join(FOLDER, name);
	struct buf text;
	enum rc rc;

	if (!slice_ends_nocase(slice_str(name), slice_str(".smtp"))) {
		free(path);
		return RC_OK;
	}
	buf_init(&text, 1 << 20);
	rc = file_read_all(path, &text, e);
	for (size_t i = 0; rc == RC_OK && i < COUNT(cuts); i++)
		play_file(path, buf_slice(&text), cuts[i]);
	buf_free(&text);
	free(path);
	++*played;
	return rc;
}

static void conversations_go_as_written(void **state)
{
	unsigned played = 0;
	struct err e = { 0 };

	(void)state;
	EXPECT_OK(dir_list(FOLDER, play_one, &played, &e), &e);
	print_message("%u conversations, each at %zu cut sizes\n", played, COUNT(cuts));
	assert_true(played > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conversations_go_as_written),
	};

	return cmocka_run_group_tests(tests, peer_setup, NULL);
}
