#include "ingest/scan/clamd.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#define PIECE 65536

void clamd_begin(struct clamd *c, int fd, struct slice message)
{
	*c = (struct clamd) { .fd = fd, .message = message };
	buf_init(&c->out, PIECE + 64);
	buf_init(&c->in, SCAN_ANSWER_CLAMD);
	MUST(buf_add(&c->out, slice_of("zINSTREAM", 10)) == RC_OK);
}

void clamd_free(struct clamd *c)
{
	buf_free(&c->out);
	buf_free(&c->in);
}

short clamd_waits(const struct clamd *c)
{
	return (short)(POLLIN | (!c->deaf && (c->out.len || !c->ended) ? POLLOUT : 0));
}

static void next_piece(struct clamd *c)
{
	struct slice piece = slice_part(c->message, 0, PIECE);
	const uint8_t len[4] = { (uint8_t)(piece.len >> 24), (uint8_t)(piece.len >> 16),
		                 (uint8_t)(piece.len >> 8), (uint8_t)piece.len };

	MUST(buf_add(&c->out, slice_of(len, 4)) == RC_OK && buf_add(&c->out, piece) == RC_OK);
	c->message = slice_from(c->message, piece.len);
	c->ended = piece.len == 0;
}

static void send_more(struct clamd *c)
{
	while (!c->deaf && (c->out.len || !c->ended)) {
		ssize_t n;

		if (c->out.len == 0)
			next_piece(c);
		n = send(c->fd, c->out.at, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n < 0) /* it may still have said why */
			c->deaf = true;
		else
			buf_drop(&c->out, (size_t)n);
	}
}

static void fail(struct scan_answer *out, const char *why)
{
	*out = (struct scan_answer) { .end = SCAN_BROKEN };
	(void)snprintf(out->why, sizeof(out->why), "%s", why);
}

bool clamd_go(struct clamd *c, struct scan_answer *out)
{
	uint8_t piece[1024];
	ssize_t n;

	send_more(c);
	for (;;) {
		size_t end;

		n = recv(c->fd, piece, sizeof(piece), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		if (buf_add(&c->in, slice_of(piece, (size_t)n)) != RC_OK) {
			fail(out, "a reply without an end");
			return true;
		}
		end = slice_find_byte(buf_slice(&c->in), 0);
		if (end != SIZE_MAX) {
			scan_read_clamd(out, slice_part(buf_slice(&c->in), 0, end));
			return true;
		}
	}
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return false;
	fail(out, "clamd hung up");
	return true;
}
