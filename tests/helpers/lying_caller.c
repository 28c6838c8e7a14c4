/*
 * tests/helpers/lying_caller.c - a caller that was broken into, for tests/peers/T870-calls.py
 *
 * Stands for mm-deliver: a home whose child answers each ASK as the call's path says: "/end",
 * "/status", "/later",
 * "/short", "/long", "/type", "/ready" and "/big" are nonsense; "/number", "/twice", "/text" and
 * "/descriptor" are odd, and then told as they should be; "/die" is no answer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/codec.h"
#include "base/home.h"
#include "ingest/calls_wire.h"

struct say {
	unsigned end;
	unsigned status;
	const char *error;
	const char *why;
	size_t answer;
};

static void put(struct buf *out, uint64_t number, const struct say *s)
{
	struct buf answer;

	buf_init(&answer, (size_t)1 << 20);
	MUST(buf_reserve(&answer, s->answer + 1) == RC_OK);
	memset(answer.at, 'z', s->answer);
	MUST(buf_put_u64(out, number) == RC_OK && buf_put_u8(out, (uint8_t)s->end) == RC_OK &&
	     buf_put_u16(out, (uint16_t)s->status) == RC_OK &&
	     buf_put_slice(out, slice_str(s->error)) == RC_OK &&
	     buf_put_slice(out, slice_str(s->why)) == RC_OK &&
	     buf_put_slice(out, slice_of(answer.at, s->answer)) == RC_OK);
	buf_free(&answer);
}

static void send_say(int fd, unsigned type, struct slice body)
{
	const int one = 2;
	struct err e;

	if (channel_put(fd, type, body, &one, type == CALLS_SAY ? 1 : 0, &e) != RC_OK)
		_exit(0);
}

static const struct {
	const char *path;
	struct say say;
} lies[] = {
	{ "/end", { 3, 0, "", "", 0 } },
	{ "/status", { CALL_ANSWERED, 99, "", "", 0 } },
	{ "/later", { CALL_LATER, 200, "", "", 3 } },
	{ "/big", { CALL_ANSWERED, 200, "", "", 200000 } },
	{ "/text", { CALL_ANSWERED, 200, "Un\x01handled", "a\nb\xff", 3 } },
};

static void answer(int fd, uint64_t number, struct slice path)
{
	struct say say = { CALL_ANSWERED, 200, "", "", 3 };
	struct buf text;

	for (size_t i = 0; i < COUNT(lies); i++)
		if (slice_equal(path, slice_str(lies[i].path)))
			say = lies[i].say;
	buf_init(&text, (size_t)1 << 20);
	put(&text, slice_equal(path, slice_str("/number")) ? number + 1000 : number, &say);
	if (slice_equal(path, slice_str("/die")))
		_exit(0);
	if (slice_equal(path, slice_str("/ready")))
		send_say(fd, CALLS_READY, slice_of(NULL, 0));
	if (slice_equal(path, slice_str("/short")))
		text.len--;
	if (slice_equal(path, slice_str("/long")))
		MUST(buf_add_byte(&text, 0) == RC_OK);
	send_say(fd, slice_equal(path, slice_str("/type")) ? 7 : CALLS_SAY, buf_slice(&text));
	if (slice_equal(path, slice_str("/twice")))
		send_say(fd, CALLS_SAY, buf_slice(&text));
	buf_clear(&text);
	put(&text, number, &say);
	if (slice_equal(path, slice_str("/number")))
		send_say(fd, CALLS_SAY, buf_slice(&text));
	buf_free(&text);
}

static void run(const json_t *config, const json_t *task, int fd, const int extra[HOME_EXTRA])
{
	struct buf body;
	struct err e;
	int fds[CHANNEL_FDS];
	size_t nfds;
	unsigned type;

	(void)config;
	(void)task;
	(void)extra;
	send_say(fd, CALLS_READY, slice_of(NULL, 0));
	buf_init(&body, CALLS_TEXT);
	while (channel_get(fd, &type, &body, fds, &nfds, &e) == RC_OK) {
		struct reader r = reader_over(buf_slice(&body));
		uint64_t number = read_u64(&r);

		(void)read_u64(&r);
		for (int i = 0; i < 3; i++)
			(void)read_slice(&r); /* endpoint, method, prefix */
		answer(fd, number, read_slice(&r));
		for (size_t i = 0; i < nfds; i++)
			(void)close(fds[i]);
	}
	buf_free(&body);
}

int main(void)
{
	static const struct home_program program = { "lying_caller", NULL, run };

	_exit(home_main(&program));
}
