/*
 * tests/fuzz/fuzz_channel.c - what a child that was broken into may send over its channel
 *
 * Input    byte 0: the size of the pieces; then bytes of the stream.
 * Oracle   The channel on a loop and the blocking calls are two readers of one format: both give
 * the same messages, within the limit, and both end.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIMIT 3000
#define MOST  60000

struct seen {
	struct loop *loop;
	uint64_t hash;
	unsigned count;
	bool closed;
};

static void see(struct seen *s, unsigned type, struct slice body)
{
	MUST(body.len <= LIMIT && type <= 0xffff);
	s->count++;
	s->hash = (s->hash ^ type) * UINT64_C(0x100000001b3);
	for (size_t i = 0; i < body.len; i++)
		s->hash = (s->hash ^ body.at[i]) * UINT64_C(0x100000001b3);
}

static void on_message(void *arg, unsigned type, struct slice body, int *fds, size_t nfds)
{
	struct seen *s = arg;

	(void)fds;
	MUST(!s->closed && nfds == 0);
	see(s, type, body);
}

static void on_closed(void *arg, const char *why)
{
	struct seen *s = arg;

	MUST(!s->closed && why && *why);
	s->closed = true;
	loop_stop(s->loop);
}

static const struct channel_ops ops = { on_message, on_closed };

static void put(int fd, struct slice bytes)
{
	while (bytes.len) {
		ssize_t n = send(fd, bytes.at, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n <= 0)
			return; /* the reader has ended it */
		bytes = slice_from(bytes, (size_t)n);
	}
}

static void by_loop(struct seen *s, struct slice bytes, size_t piece)
{
	struct channel *c;
	int ends[2];

	MUST(channel_pair(ends, NULL) == RC_OK);
	c = channel_new(s->loop, ends[0], LIMIT, &ops, s);
	for (int i = 0; i < 20 && bytes.len && !s->closed; i++) {
		size_t n = MIN_OF(piece, bytes.len);

		put(ends[1], slice_part(bytes, 0, n));
		bytes = slice_from(bytes, n);
		channel_hear(c);
	}
	put(ends[1], bytes);
	(void)shutdown(ends[1], SHUT_WR);
	while (!s->closed) /* a stop of the run before may be pending */
		loop_run(s->loop, NULL, NULL);
	channel_free(&c);
	(void)close(ends[1]);
}

static void by_calls(struct seen *s, struct slice bytes)
{
	int fds[CHANNEL_FDS];
	struct buf body;
	int ends[2];
	unsigned type;
	size_t nfds;

	MUST(channel_pair(ends, NULL) == RC_OK);
	put(ends[1], bytes);
	(void)shutdown(ends[1], SHUT_WR);
	buf_init(&body, LIMIT);
	while (channel_get(ends[0], &type, &body, fds, &nfds, NULL) == RC_OK)
		see(s, type, buf_slice(&body));
	buf_free(&body);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct loop *loop;
	struct seen a = { .hash = 1 };
	struct seen b = { .hash = 1 };

	if (size < 2 || size > MOST)
		return 0;
	if (!loop) {
		log_init("fuzz", LOG_ERROR + 1);
		loop = loop_new();
	}
	a.loop = loop;
	by_loop(&a, slice_of(data + 1, size - 1), data[0] ? data[0] : SIZE_MAX);
	by_calls(&b, slice_of(data + 1, size - 1));
	MUST(a.closed && a.count == b.count && a.hash == b.hash);
	return 0;
}
