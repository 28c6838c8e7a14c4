/*
 * tests/fuzz/smtp_model.h - a second opinion on which replies a session may give
 *
 * What     Reads the client's bytes by itself, takes one reply for each command, message and chunk,
 *          and keeps the state that RFC 5321, 3030, 3207 and 4954 say follows from it. A command
 * that is out of place must not succeed; what a transaction gathered must be gone after each of its
 * ends. "Reset not done on one of many exits" is the classic fault of SMTP servers. Not      For
 * sessions in which the app answers late: then replies and input are apart.
 */
#ifndef MM_TESTS_SMTP_MODEL_H
#define MM_TESTS_SMTP_MODEL_H

#include "smtp/server.h"

enum walk_state { W_GREETED, W_READY, W_MAIL, W_RCPT, W_BDAT, W_AUTH };

struct walk {
	const struct smtp_config *config;
	struct slice all;     /* what the client sent */
	const bool *secured;  /* for each place in it: the handshake is done before this byte */
	struct slice in;      /* what is left of it */
	struct slice replies; /* what is left of them */
	enum walk_state state;
	bool tls;
	bool authenticated;
	bool ended; /* nothing more is to be expected, or can be told */
};

/* The code of the next reply; 0 at the end of them. */
static unsigned walk_reply(struct walk *w)
{
	while (w->replies.len >= 6) {
		struct slice line = w->replies;
		unsigned code =
		        (line.at[0] - '0') * 100u + (line.at[1] - '0') * 10u + line.at[2] - '0';

		w->replies = slice_from(line, slice_find(line, slice_str("\r\n")) + 2);
		if (line.at[3] == ' ') {
			w->ended = w->ended || code == 421 || code == 221;
			return code;
		}
	}
	w->ended = true;
	return 0;
}

static bool walk_success(unsigned code)
{
	return code >= 200 && code < 400;
}

/* The message behind 354, and its reply. */
static void walk_body(struct walk *w)
{
	size_t end = slice_starts_nocase(w->in, slice_str(".\r\n"))
	                     ? 3
	                     : slice_find(w->in, slice_str("\r\n.\r\n"));

	if (end == SIZE_MAX) {
		w->ended = true; /* MUST follow: no reply but a timeout's */
		MUST(walk_reply(w) == 0 || w->replies.len == 0);
		return;
	}
	w->in = slice_from(w->in, end == 3 && w->in.at[0] == '.' ? 3 : end + 5);
	(void)walk_reply(w);
	w->state = W_READY;
}

static void walk_chunk(struct walk *w, struct slice args)
{
	struct slice last;
	struct slice size = slice_cut(args, ' ', &last);
	uint64_t n;
	unsigned code;

	if (!slice_to_u64(size, &n) || n > w->in.len) {
		MUST(!walk_success(walk_reply(w)) || w->replies.len == 0);
		w->ended = true;
		return;
	}
	w->in = slice_from(w->in, (size_t)n);
	code = walk_reply(w);
	if (walk_success(code))
		MUST(w->state == W_RCPT || w->state == W_BDAT);
	if (w->state > W_READY)
		w->state = walk_success(code) && !last.len ? W_BDAT : W_READY;
}

static void walk_tls(struct walk *w, unsigned code)
{
	if (code != 220)
		return;
	MUST(!w->tls && w->state != W_GREETED);
	while (w->in.len && !w->secured[w->in.at - w->all.at])
		w->in = slice_from(w->in, 1); /* in the clear, and dropped */
	w->tls = true;
	w->state = W_GREETED;
}

static void walk_auth(struct walk *w, unsigned code)
{
	if (walk_success(code))
		MUST(w->tls && w->config->auth && !w->authenticated &&
		     (w->state == W_READY || w->state == W_AUTH));
	if (code == 334)
		w->state = W_AUTH;
	else if (w->state == W_AUTH)
		w->state = W_READY;
	w->authenticated = w->authenticated || code == 235;
}

static void walk_mail(struct walk *w, unsigned code)
{
	if (!walk_success(code))
		return;
	MUST(w->state == W_READY && (!w->config->auth || w->authenticated));
	MUST(w->config->tls != SMTP_TLS_REQUIRED || w->tls);
	w->state = W_MAIL;
}

/* A command that isn't BDAT and its reply. */
static void walk_command(struct walk *w, struct slice verb)
{
	unsigned code = walk_reply(w);

	if (slice_equal_nocase(verb, slice_str("MAIL"))) {
		walk_mail(w, code);
	} else if (slice_equal_nocase(verb, slice_str("RCPT"))) {
		MUST(!walk_success(code) || w->state == W_MAIL || w->state == W_RCPT);
		w->state = walk_success(code) ? W_RCPT : w->state;
	} else if (slice_equal_nocase(verb, slice_str("DATA"))) {
		MUST(!walk_success(code) || (code == 354 && w->state == W_RCPT));
		if (code == 354)
			walk_body(w);
		else if (code == 451)
			w->state = W_READY;
	} else if (slice_equal_nocase(verb, slice_str("EHLO")) ||
	           slice_equal_nocase(verb, slice_str("HELO"))) {
		w->state = walk_success(code) ? W_READY : w->state;
	} else if (slice_equal_nocase(verb, slice_str("RSET"))) {
		if (walk_success(code) && w->state != W_GREETED)
			w->state = W_READY;
	} else if (slice_equal_nocase(verb, slice_str("STARTTLS"))) {
		walk_tls(w, code);
	} else if (slice_equal_nocase(verb, slice_str("AUTH"))) {
		walk_auth(w, code);
	} else {
		MUST(code < 300 || code >= 400);
	}
}

static struct slice walk_trim(struct slice line)
{
	while (line.len && (line.at[line.len - 1] == ' ' || line.at[line.len - 1] == '\t'))
		line.len--;
	return line;
}

static void walk_all(struct walk *w)
{
	w->in = w->all;
	while (!w->ended && w->in.len) {
		size_t end = slice_find(w->in, slice_str("\r\n"));
		struct slice line = walk_trim(slice_part(w->in, 0, end));
		struct slice args;
		struct slice verb = slice_cut(line, ' ', &args);

		if (end == SIZE_MAX)
			break;
		w->in = slice_from(w->in, end + 2);
		if (w->state == W_AUTH)
			walk_auth(w, walk_reply(w));
		else if (slice_equal_nocase(verb, slice_str("BDAT")) && end <= 2046)
			walk_chunk(w, args);
		else
			walk_command(w, verb);
	}
	/* One reply each: what is left says goodbye, or is that of a line that will be too long. */
	MUST(w->ended || !w->replies.len || walk_reply(w) >= 400);
}

#endif
