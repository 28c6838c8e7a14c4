/* tests/unit/base/test_channel.c - frames and descriptors over a socket pair */
#include "base/channel.h"

#include <pthread.h>
#include <sys/socket.h>
#include <stdio.h>
#include <unistd.h>

#include "base/codec.h"
#include "tests/unit/test.h"

#define LIMIT 3000000

struct side {
	struct loop *loop;
	struct channel *channel;
	unsigned messages;
	unsigned until; /* stop the loop then */
	unsigned type;
	size_t bytes;
	bool right; /* bodies were what was sent */
	char from_fd[16];
	bool keep; /* the first descriptor */
	int kept;
	bool free_it;
	char closed[100];
};

static uint8_t byte_at(unsigned type, size_t i)
{
	return (uint8_t)(type * 7 + i * 13 + i / 255);
}

static void on_message(void *arg, unsigned type, struct slice body, int *fds, size_t nfds)
{
	struct side *s = arg;

	s->messages++;
	s->type = type;
	s->bytes += body.len;
	s->right = true;
	for (size_t i = 0; i < body.len; i++)
		if (body.at[i] != byte_at(type, i))
			s->right = false;
	if (nfds && s->keep) {
		s->kept = fds[0];
		fds[0] = -1;
	} else if (nfds) {
		ssize_t n = read(fds[nfds - 1], s->from_fd, sizeof(s->from_fd) - 1);

		s->from_fd[n > 0 ? n : 0] = '\0';
	}
	if (s->free_it)
		channel_free(&s->channel);
	if (s->messages == s->until)
		loop_stop(s->loop);
}

static void on_closed(void *arg, const char *why)
{
	struct side *s = arg;

	(void)snprintf(s->closed, sizeof(s->closed), "%s", why);
	loop_stop(s->loop);
}

static const struct channel_ops ops = { on_message, on_closed };

static int pipe_with(const char *text)
{
	int p[2];

	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], text, strlen(text)), strlen(text));
	close(p[1]);
	return p[0];
}

/* A side with a channel; the other end, blocking, is returned. */
static int side_start(struct side *s)
{
	int ends[2];
	struct err e;

	EXPECT_OK(channel_pair(ends, &e), &e);
	s->loop = loop_new();
	s->channel = channel_new(s->loop, ends[0], LIMIT, &ops, s);
	return ends[1];
}

static void side_end(struct side *s)
{
	channel_free(&s->channel);
	loop_free(&s->loop);
}

static struct slice body_of(unsigned type, size_t len, struct buf *b)
{
	buf_init(b, LIMIT * 2);
	for (size_t i = 0; i < len; i++)
		MUST(buf_add_byte(b, byte_at(type, i)) == RC_OK);
	return buf_slice(b);
}

static const size_t sizes[] = { 0, 1, 7, 8, 9, 4096, 131071, 131072, 131073, 2999999, LIMIT };

struct sender {
	int fd;
	struct err err;
	enum rc rc;
};

static void *send_sizes(void *arg)
{
	struct sender *s = arg;

	for (unsigned i = 0; i < COUNT(sizes) && s->rc == RC_OK; i++) {
		struct buf b;

		s->rc = channel_put(s->fd, i, body_of(i, sizes[i], &b), NULL, 0, &s->err);
		buf_free(&b);
	}
	close(s->fd);
	return NULL;
}

static void test_sizes_in(void **state)
{
	struct side s = { .messages = 0 };
	struct sender from = { .fd = side_start(&s) };
	pthread_t t;
	size_t all = 0;

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, send_sizes, &from), 0);
	loop_run(s.loop, NULL, NULL);
	assert_int_equal(pthread_join(t, NULL), 0);
	EXPECT_OK(from.rc, &from.err);
	for (size_t i = 0; i < COUNT(sizes); i++)
		all += sizes[i];
	assert_int_equal(s.messages, COUNT(sizes));
	assert_int_equal(s.bytes, all);
	assert_true(s.right);
	assert_string_equal(s.closed, "the other side closed it");
	side_end(&s);
}

static void *get_sizes(void *arg)
{
	struct sender *s = arg;
	struct buf body;

	buf_init(&body, LIMIT);
	for (unsigned i = 0; i < COUNT(sizes) && s->rc == RC_OK; i++) {
		int fds[CHANNEL_FDS];
		size_t nfds;
		unsigned type;

		s->rc = channel_get(s->fd, &type, &body, fds, &nfds, &s->err);
		if (s->rc == RC_OK && (type != i || body.len != sizes[i] || nfds != 1))
			s->rc = err_set(&s->err, RC_INVALID, "frame %u is another", i);
		if (s->rc == RC_OK)
			close(fds[0]);
	}
	buf_free(&body);
	close(s->fd);
	return NULL;
}

static void test_sizes_out(void **state)
{
	struct side s = { .messages = 0 };
	struct sender to = { .fd = side_start(&s) };
	int fd = pipe_with("x");
	struct err e;
	pthread_t t;

	(void)state;
	for (unsigned i = 0; i < COUNT(sizes); i++) {
		struct buf b;

		EXPECT_OK(channel_send(s.channel, i, body_of(i, sizes[i], &b), &fd, 1, &e), &e);
		buf_free(&b);
	}
	assert_true(channel_waiting(s.channel) > LIMIT);
	close(fd); /* the channel has its own */
	assert_int_equal(pthread_create(&t, NULL, get_sizes, &to), 0);
	loop_run(s.loop, NULL, NULL);
	assert_int_equal(pthread_join(t, NULL), 0);
	EXPECT_OK(to.rc, &to.err);
	side_end(&s);
}

static void test_descriptors(void **state)
{
	struct side s = { .until = 1 };
	int fd = side_start(&s);
	int two[2] = { pipe_with("first"), pipe_with("second") };
	struct err e;
	char text[16] = "";

	(void)state;
	EXPECT_OK(channel_put(fd, 5, slice_of(NULL, 0), two, 2, &e), &e);
	loop_run(s.loop, NULL, NULL);
	assert_int_equal(s.type, 5);
	assert_string_equal(s.from_fd, "second");
	s.keep = true;
	s.until = 3; /* two frames in one read: each gets its own */
	EXPECT_OK(channel_put(fd, 6, slice_of(NULL, 0), NULL, 0, &e), &e);
	EXPECT_OK(channel_put(fd, 7, slice_of(NULL, 0), two, 1, &e), &e);
	loop_run(s.loop, NULL, NULL);
	assert_int_equal(s.type, 7);
	assert_true(read(s.kept, text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "first");
	close(s.kept);
	close(two[0]);
	close(two[1]);
	close(fd);
	side_end(&s);
}

/* What a child that was broken into may send. */
static const struct {
	const char *name;
	uint32_t len;
	uint16_t nfds;
	const char *why;
} broken[] = {
	{ "too long", LIMIT + 1, 0, "a broken frame" },
	{ "much too long", UINT32_MAX, 0, "a broken frame" },
	{ "more descriptors than may be", 0, CHANNEL_FDS + 1, "a broken frame" },
	{ "descriptors that didn't come", 0, 1, "a broken frame" },
	{ "cut off", 10, 0, "the other side closed it" },
};

static void test_broken(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(broken); i++) {
		struct side s = { .messages = 0 };
		int fd = side_start(&s);
		uint8_t head[8] = { 0 };

		put_le32(head, broken[i].len);
		put_le16(head + 6, broken[i].nfds);
		assert_int_equal(send(fd, head, sizeof(head), 0), sizeof(head));
		close(fd);
		loop_run(s.loop, NULL, NULL);
		EXPECT(broken[i].name, s.messages == 0);
		assert_string_equal(s.closed, broken[i].why);
		assert_int_equal(channel_send(s.channel, 1, slice_of(NULL, 0), NULL, 0, NULL),
		                 RC_IO);
		side_end(&s);
	}
}

static void test_free_inside(void **state)
{
	struct side s = { .free_it = true, .until = 1 };
	int fd = side_start(&s);
	struct err e;

	(void)state;
	EXPECT_OK(channel_put(fd, 1, slice_of(NULL, 0), NULL, 0, &e), &e);
	EXPECT_OK(channel_put(fd, 2, slice_of(NULL, 0), NULL, 0, &e), &e);
	loop_run(s.loop, NULL, NULL);
	assert_null(s.channel);
	assert_int_equal(s.messages, 1);
	assert_string_equal(s.closed, "");
	close(fd);
	side_end(&s);
}

static void test_not_read(void **state)
{
	struct side s = { .messages = 0 };
	int fd = side_start(&s);
	struct buf b;
	struct slice body = body_of(1, LIMIT, &b);
	enum rc rc = RC_OK;
	int sent = 0;
	struct err e;

	(void)state;
	while (rc == RC_OK && sent < 1000) {
		rc = channel_send(s.channel, 1, body, NULL, 0, &e);
		sent++;
	}
	assert_int_equal(rc, RC_LIMIT);
	assert_true(sent < 100);
	buf_free(&b);
	close(fd);
	side_end(&s);
}

/* Who is killed between a head and its body would leave half a frame to who goes on. So the two are
 * one piece, and nothing of it is taken before all of it can be. */
static void test_whole_or_none(void **state)
{
	static const uint8_t head[8] = { 3, 0, 0, 0, 7, 0, 0, 0 };
	uint8_t room[5000];
	int fds[CHANNEL_FDS], ends[2];
	size_t nfds;
	unsigned type;
	struct buf body;
	struct err e;

	(void)state;
	EXPECT_OK(channel_pair(ends, &e), &e);
	memset(room, 'x', sizeof(room));
	EXPECT_OK(channel_put(ends[0], 7, slice_of(room, 4096), &ends[0], 1, &e), &e);
	assert_int_equal(recv(ends[1], room, sizeof(room), MSG_DONTWAIT), 8 + 4096);
	/* one that came in pieces is heard all the same */
	assert_int_equal(send(ends[0], head, 8, 0), 8);
	assert_int_equal(send(ends[0], "a", 1, 0), 1);
	assert_int_equal(send(ends[0], "bc", 2, 0), 2);
	buf_init(&body, LIMIT);
	EXPECT_OK(channel_get(ends[1], &type, &body, fds, &nfds, &e), &e);
	assert_int_equal(type, 7);
	EXPECT_SLICE("body", buf_slice(&body), "abc");
	/* and of one without its end nothing is there */
	assert_int_equal(send(ends[0], head, 5, 0), 5);
	(void)close(ends[0]);
	assert_int_equal(channel_get(ends[1], &type, &body, fds, &nfds, &e), RC_NOTFOUND);
	assert_int_equal(recv(ends[1], room, sizeof(room), MSG_DONTWAIT), 5);
	(void)close(ends[1]);
	buf_free(&body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes_in),      cmocka_unit_test(test_sizes_out),
		cmocka_unit_test(test_descriptors),   cmocka_unit_test(test_broken),
		cmocka_unit_test(test_free_inside),   cmocka_unit_test(test_not_read),
		cmocka_unit_test(test_whole_or_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
