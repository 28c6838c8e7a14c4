#include "smtp/client_inside.h"

#define RUN_BYTES 256 /* bounds what is looked through twice where line ends are odd */

struct run {
	struct slice bytes;  /* as they are */
	const char *instead; /* behind them, for a bare CR or LF */
	bool ends_line;
};

/* A line, or a part of one. *at is less than the message's length, and moves on. */
static struct run run_next(struct slice message, size_t *at)
{
	struct slice window = slice_part(message, *at, RUN_BYTES);
	size_t cr = slice_find_byte(window, '\r');
	size_t lf = slice_find_byte(slice_part(window, 0, cr), '\n');
	struct run r = { .bytes = window, .instead = "" };
	size_t used = window.len;

	if (lf != SIZE_MAX) { /* a bare one: a good one is taken with its CR */
		r = (struct run) { slice_part(window, 0, lf), "\r\n", true };
		used = lf + 1;
	} else if (cr != SIZE_MAX &&
	           slice_find_byte(slice_part(message, *at + cr + 1, 1), '\n') == 0) {
		r = (struct run) { slice_part(message, *at, cr + 2), "", true };
		used = cr + 2;
	} else if (cr != SIZE_MAX) {
		r = (struct run) { slice_part(window, 0, cr), " ", false };
		used = cr + 1;
	}
	*at += used;
	return r;
}

uint64_t client_body_bytes(struct slice message)
{
	uint64_t bytes = 0;
	struct run r = { .ends_line = true };

	for (size_t at = 0; at < message.len;) {
		r = run_next(message, &at);
		bytes += r.bytes.len + strlen(r.instead);
	}
	return r.ends_line ? bytes : bytes + 2;
}

bool smtp_client_plain(struct slice message)
{
	struct run r = { .ends_line = true };

	for (size_t at = 0; at < message.len;) {
		r = run_next(message, &at);
		if (*r.instead)
			return false;
	}
	return r.ends_line;
}

enum rc smtp_client_make_plain(struct buf *out, struct slice message)
{
	struct run r = { .ends_line = true };
	enum rc rc = RC_OK;

	for (size_t at = 0; rc == RC_OK && at < message.len;) {
		r = run_next(message, &at);
		rc = buf_add(out, r.bytes);
		if (rc == RC_OK)
			rc = buf_add_str(out, r.instead);
	}
	if (rc == RC_OK && !r.ends_line)
		rc = buf_add_str(out, "\r\n");
	return rc;
}

void client_body_begin(struct smtp_client *c, bool empty)
{
	struct client_script *s = c->script;

	s->body_at = empty ? s->m->message.len : 0;
	s->line_begins = true;
	c->phase = PHASE_BODY;
	client_body_fill(c);
}

static void put(struct smtp_client *c, struct slice bytes)
{
	MUST(buf_add(&c->out, bytes) == RC_OK); /* its limit is far beyond CLIENT_ENOUGH */
}

void client_body_fill(struct smtp_client *c)
{
	struct client_script *s = c->script;

	while (c->out.len < CLIENT_ENOUGH && s->body_at < s->m->message.len) {
		struct run r = run_next(s->m->message, &s->body_at);

		if (s->line_begins && r.bytes.len && r.bytes.at[0] == '.')
			put(c, slice_str("."));
		put(c, r.bytes);
		put(c, slice_str(r.instead));
		s->line_begins = r.ends_line;
	}
	if (s->body_at < s->m->message.len)
		return;
	put(c, slice_str(s->line_begins ? ".\r\n" : "\r\n.\r\n"));
	s->dot_said = true;
	c->asked = c->sent + c->out.len;
}
