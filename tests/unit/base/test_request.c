/* tests/unit/base/test_request.c - requests over a socket and without one give the same answers */
#include "base/request.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/file.h"
#include "tests/unit/test.h"

#define ROWS 20000

static atomic_int endless_ended;
static atomic_uint peer_uid;
static atomic_int counted;
static char arg_text[] = "arg";

/* The first word of the request says what to do. */
static void handle(void *arg, const struct request_peer *peer, struct slice json,
                   struct request_writer *w)
{
	struct err e;
	enum rc rc = RC_OK;

	assert_string_equal(arg, "arg");
	atomic_store(&peer_uid, peer->uid);
	if (slice_equal(json, slice_str("rows"))) {
		for (int i = 0; i < ROWS && rc == RC_OK; i++) {
			char row[32];

			(void)snprintf(row, sizeof(row), "{\"row\":%d}", i);
			rc = request_json(w, slice_str(row), &e);
		}
		EXPECT_OK(request_done(w, slice_str("{\"rows\":20000}"), &e), &e);
	} else if (slice_equal(json, slice_str("bytes"))) {
		uint8_t *big = calloc(1, 5000000);

		EXPECT_OK(request_bytes(w, slice_of("head", 4), &e), &e);
		EXPECT_OK(request_bytes(w, slice_of(big, 5000000), &e), &e);
		EXPECT_OK(request_bytes(w, slice_of("", 0), &e), &e);
		EXPECT_OK(request_done(w, slice_str("{}"), &e), &e);
		free(big);
	} else if (slice_equal(json, slice_str("later"))) {
		(void)err_set(&e, RC_AGAIN, "not now");
		request_fail(w, &e);
	} else if (slice_equal(json, slice_str("fail"))) {
		(void)err_set(&e, RC_HELD, "row 7: \"held\" for ever");
		request_fail(w, &e);
	} else if (slice_equal(json, slice_str("endless"))) {
		while (request_bytes(w, slice_str("more"), &e) == RC_OK)
			;
		atomic_fetch_add(&endless_ended, 1);
	} else if (slice_equal(json, slice_str("quiet"))) {
		while (!request_gone(w))
			clock_sleep_ms(1);
		atomic_fetch_add(&endless_ended, 1);
	} else if (slice_equal(json, slice_str("count"))) {
		atomic_fetch_add(&counted, 1);
	} else if (!slice_equal(json, slice_str("silent"))) {
		EXPECT_OK(request_done(w, json, &e), &e);
	}
}

struct got {
	unsigned rows;
	bool in_order;
	size_t bytes;
	unsigned stop_after; /* rows; 0: none */
};

static enum rc on_row(void *arg, struct slice line, struct err *e)
{
	struct got *g = arg;
	char want[32];

	(void)snprintf(want, sizeof(want), "{\"row\":%u}", g->rows);
	if (!slice_equal(line, slice_str(want)))
		g->in_order = false;
	g->rows++;
	if (g->rows == g->stop_after)
		return err_set(e, RC_LIMIT, "enough");
	return RC_OK;
}

static enum rc on_bytes(void *arg, struct slice bytes, struct err *e)
{
	struct got *g = arg;

	g->bytes += bytes.len;
	if (g->stop_after && g->bytes > g->stop_after)
		return err_set(e, RC_LIMIT, "enough");
	return RC_OK;
}

struct rig {
	char dir[32];
	char path[64];
	struct loop *loop;
	struct request_server *server;
	pthread_t thread;
	bool socket; /* or in this thread */
};

static void *run_loop(void *arg)
{
	loop_run(arg, NULL, NULL);
	return NULL;
}

static void rig_start(struct rig *r)
{
	struct err e;

	memcpy(r->dir, "/tmp/mm-req.XXXXXX", 19);
	assert_non_null(mkdtemp(r->dir));
	(void)snprintf(r->path, sizeof(r->path), "%s/mmd.sock", r->dir);
	r->loop = loop_new();
	EXPECT_OK(request_server_new(&r->server, r->loop, r->path, 3, handle, arg_text, &e), &e);
	assert_int_equal(pthread_create(&r->thread, NULL, run_loop, r->loop), 0);
}

static void rig_end(struct rig *r)
{
	loop_stop(r->loop);
	assert_int_equal(pthread_join(r->thread, NULL), 0);
	request_server_free(&r->server);
	loop_free(&r->loop);
	assert_false(file_exists(r->path));
	assert_int_equal(rmdir(r->dir), 0);
}

static enum rc ask(struct rig *r, const char *what, struct got *g, struct buf *result,
                   struct err *e)
{
	struct request_reader reader = { on_row, on_bytes, g };

	buf_init(result, 1 << 20);
	g->in_order = true;
	if (r->socket)
		return request_call(r->path, slice_str(what), &reader, result, e);
	return request_local(handle, arg_text, slice_str(what), &reader, result, e);
}

static const struct {
	const char *ask;
	enum rc rc;
	const char *text; /* the result, or the error */
	unsigned rows;
	size_t bytes;
	unsigned stop_after;
} cases[] = {
	{ "rows", RC_OK, "{\"rows\":20000}", ROWS, 0, 0 },
	{ "bytes", RC_OK, "{}", 0, 5000004, 0 },
	{ "fail", RC_HELD, "row 7: \"held\" for ever", 0, 0, 0 },
	{ "silent", RC_IO, "the request was not answered", 0, 0, 0 },
	{ "{\"op\":1}", RC_OK, "{\"op\":1}", 0, 0, 0 },
	{ "endless", RC_LIMIT, "enough", 0, 0, 100000 },
};

static void test_answers(void **state)
{
	struct rig r = { .socket = false };

	(void)state;
	rig_start(&r);
	for (size_t i = 0; i < 2 * COUNT(cases); i++) {
		size_t k = i % COUNT(cases);
		struct got g = { .stop_after = cases[k].stop_after };
		struct buf result;
		struct err e = { .code = RC_OK };
		enum rc rc;

		r.socket = i >= COUNT(cases);
		rc = ask(&r, cases[k].ask, &g, &result, &e);
		EXPECT(cases[k].ask, rc == cases[k].rc);
		if (rc == RC_OK)
			EXPECT_SLICE(cases[k].ask, buf_slice(&result), cases[k].text);
		else
			EXPECT_SLICE(cases[k].ask, slice_str(e.text), cases[k].text);
		EXPECT(cases[k].ask, g.rows == cases[k].rows && g.in_order);
		EXPECT(cases[k].ask, cases[k].stop_after || g.bytes == cases[k].bytes);
		buf_free(&result);
	}
	assert_int_equal(atomic_load(&peer_uid), getuid());
	while (atomic_load(&endless_ended) < 2) /* the handler hears that its client has gone */
		clock_sleep_ms(1);
	rig_end(&r);
}

static int connect_raw(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void test_socket(void **state)
{
	struct rig r = { .socket = true };
	struct got g = { .rows = 0 };
	struct buf result;
	struct err e;
	struct stat st;
	uint8_t frame[8] = { 0 };
	int fd;

	(void)state;
	assert_int_equal(request_call("/tmp/mm-no-such.sock", slice_str("x"), NULL, NULL, &e),
	                 RC_AGAIN);
	assert_int_not_equal(e.sys, 0);
	rig_start(&r);
	/* One that listens and can't do it now isn't taken for none. */
	assert_int_equal(request_call(r.path, slice_str("later"), NULL, NULL, &e), RC_AGAIN);
	assert_int_equal(e.sys, 0);
	assert_int_equal(stat(r.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* A request that is too long is refused with a reason; one byte at a time is fine. */
	fd = connect_raw(r.path);
	put_le32(frame, UINT32_MAX);
	assert_int_equal(send(fd, frame, 4, 0), 4);
	assert_int_equal(recv(fd, frame, 5, MSG_WAITALL), 5);
	assert_int_equal(frame[4], 'E');
	close(fd);
	fd = connect_raw(r.path);
	put_le32(frame, 3);
	memcpy(frame + 4, "odd", 3);
	for (int i = 0; i < 7; i++)
		assert_int_equal(send(fd, frame + i, 1, 0), 1);
	assert_int_equal(recv(fd, frame, 8, MSG_WAITALL), 8);
	assert_memory_equal(frame, "\4\0\0\0Dodd", 8);
	close(fd);
	/* A client that leaves in the middle of its request. */
	fd = connect_raw(r.path);
	assert_int_equal(send(fd, frame, 2, 0), 2);
	close(fd);
	EXPECT_OK(ask(&r, "ok", &g, &result, &e), &e);
	buf_free(&result);
	rig_end(&r);
}

static void *ask_quiet(void *arg)
{
	struct rig *r = arg;
	struct got g = { .rows = 0 };
	struct buf result;
	struct err e;

	/* What was answered before may still count as a connection. */
	while (ask(r, "quiet", &g, &result, &e) == RC_LIMIT)
		buf_free(&result);
	buf_free(&result);
	return NULL;
}

/* The server's end ends what runs, and what waits for a thread. */
static void test_end(void **state)
{
	struct rig r = { .socket = true };
	pthread_t t[6];

	(void)state;
	rig_start(&r);
	for (size_t i = 0; i < COUNT(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, ask_quiet, &r), 0);
	while (request_server_running(r.server) < 3)
		clock_sleep_ms(1);
	rig_end(&r);
	for (size_t i = 0; i < COUNT(t); i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
}

/* ---- a socket for others ---- */

static size_t eight_bytes(void *arg, const struct request_peer *peer)
{
	assert_string_equal(arg, "arg");
	assert_int_equal(peer->uid, getuid());
	return 8;
}

static void share_start(struct rig *r)
{
	static const struct request_share share = { .per_user = 2, .bytes = eight_bytes };
	struct err e;
	int fd = -1;

	memcpy(r->dir, "/tmp/mm-req.XXXXXX", 19);
	assert_non_null(mkdtemp(r->dir));
	(void)snprintf(r->path, sizeof(r->path), "%s/shared", r->dir);
	EXPECT_OK(request_socket(r->path, 0640, &fd, &e), &e);
	r->loop = loop_new();
	request_server_share(&r->server, r->loop, fd, 3, &share, handle, arg_text);
	assert_int_equal(pthread_create(&r->thread, NULL, run_loop, r->loop), 0);
}

/* Long requests and a third connection of one user are refused; others go on. */
static void test_share(void **state)
{
	struct rig r = { .socket = true };
	struct got g = { .rows = 0 };
	pthread_t t[2];
	struct buf result;
	struct stat st;
	struct err e = { 0 };

	(void)state;
	share_start(&r);
	assert_int_equal(stat(r.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	EXPECT_OK(ask(&r, "12345678", &g, &result, &e), &e);
	buf_free(&result);
	assert_int_equal(ask(&r, "123456789", &g, &result, &e), RC_LIMIT);
	buf_free(&result);
	for (size_t i = 0; i < COUNT(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, ask_quiet, &r), 0);
	while (request_server_running(r.server) < COUNT(t))
		clock_sleep_ms(1);
	assert_int_equal(ask(&r, "more", &g, &result, &e), RC_LIMIT);
	buf_free(&result);
	loop_stop(r.loop);
	assert_int_equal(pthread_join(r.thread, NULL), 0);
	request_server_free(&r.server);
	loop_free(&r.loop);
	for (size_t i = 0; i < COUNT(t); i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	assert_true(file_exists(r.path)); /* its name is left */
	assert_int_equal(unlink(r.path), 0);
	assert_int_equal(rmdir(r.dir), 0);
}

/* What was left is replaced; what somebody uses, or is another thing, is not. */
static void test_places(void **state)
{
	struct rig r = { .socket = true };
	char other[80];
	struct err e = { 0 };
	FILE *f;
	int fd = -1;
	int again = -1;

	(void)state;
	memcpy(r.dir, "/tmp/mm-req.XXXXXX", 19);
	assert_non_null(mkdtemp(r.dir));
	(void)snprintf(r.path, sizeof(r.path), "%s/shared", r.dir);
	(void)snprintf(other, sizeof(other), "%s/file", r.dir);
	EXPECT_OK(request_socket(r.path, 0600, &fd, &e), &e);
	assert_int_equal(request_socket(r.path, 0600, &again, &e), RC_AGAIN);
	assert_int_equal(close(fd), 0);
	EXPECT_OK(request_socket(r.path, 0666, &fd, &e), &e);
	assert_int_equal(close(fd), 0);
	f = fopen(other, "w");
	assert_non_null(f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(request_socket(other, 0600, &fd, &e), RC_EXISTS);
	assert_true(file_exists(other));
	assert_int_equal(unlink(other), 0);
	assert_int_equal(unlink(r.path), 0);
	assert_int_equal(rmdir(r.dir), 0);
}

/* ---- connections that are handed out ---- */

#define HANDED 5

struct handed {
	struct rig rig;
	int ends[HANDED];  /* the holder's */
	int given[HANDED]; /* the server's */
	unsigned most;
	bool room;
	atomic_int again;
	atomic_int turns; /* of the loop's thread */
};

static void on_again(void *arg)
{
	struct handed *h = arg;

	atomic_fetch_add(&h->again, 1);
}

static void on_turn(void *arg)
{
	struct handed *h = arg;

	if (h->most)
		h->room = request_server_room(h->rig.server, h->most, on_again, h);
	atomic_fetch_add(&h->turns, 1);
}

/* What was sent before is read by the loop afterwards. */
static void turn(struct handed *h)
{
	for (int i = 0; i < 3; i++) {
		int before = atomic_load(&h->turns);

		loop_post(h->rig.loop, on_turn, h);
		while (atomic_load(&h->turns) == before)
			clock_sleep_ms(1);
	}
}

static bool room_below(struct handed *h, unsigned most)
{
	h->most = most;
	turn(h);
	h->most = 0;
	return h->room;
}

static void put_request(int fd, const char *text, uint32_t bytes)
{
	uint8_t frame[32] = { 0 };
	size_t len = 4 + strlen(text);

	put_le32(frame, bytes);
	memcpy(frame + 4, text, strlen(text)); /* far shorter */
	assert_int_equal(send(fd, frame, len, 0), len);
}

static void hand_out(struct handed *h)
{
	static const struct request_share share = { .together = 200000 };

	h->rig.loop = loop_new();
	request_server_share(&h->rig.server, h->rig.loop, -1, 2, &share, handle, arg_text);
	for (size_t i = 0; i < HANDED; i++) {
		int ends[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
		request_server_adopt(h->rig.server, ends[0]);
		h->ends[i] = ends[1];
		h->given[i] = ends[0];
	}
	assert_int_equal(pthread_create(&h->rig.thread, NULL, run_loop, h->rig.loop), 0);
}

static void take_back(struct handed *h)
{
	for (size_t i = 0; i < HANDED; i++)
		close(h->ends[i]);
	loop_stop(h->rig.loop);
	assert_int_equal(pthread_join(h->rig.thread, NULL), 0);
	request_server_free(&h->rig.server);
	loop_free(&h->rig.loop);
}

/* What their holder gave up counts until the server is through with it, and is dropped when its
 * turn comes; large requests have a bound together. */
static void test_adopted(void **state)
{
	struct handed h = { .most = 0 };
	uint8_t frame[64];
	int refused, before;

	(void)state;
	hand_out(&h);
	for (int i = 0; i < 2; i++) { /* one after the other on the same */
		put_request(h.ends[3], "odd", 3);
		while (recv(h.ends[3], frame, sizeof(frame), 0) < 0)
			clock_sleep_ms(1);
		assert_memory_equal(frame, "\4\0\0\0Dodd", 8);
	}
	put_request(h.ends[0], "quiet", 5);
	put_request(h.ends[1], "", 150000);
	put_request(h.ends[2], "", 100000);
	for (refused = 1; recv(h.ends[refused], frame, sizeof(frame), 0) < 0; refused = 3 - refused)
		clock_sleep_ms(1);
	assert_int_equal(frame[4], 'E');
	while (!room_below(&h, HANDED))
		;
	turn(&h);
	before = atomic_load(&h.again); /* it was asked for room while the refused one ended */
	put_request(h.ends[4], "quiet", 5);
	while (request_server_running(h.rig.server) < 2) /* which are all threads */
		clock_sleep_ms(1);
	put_request(h.ends[3], "count", 5);
	close(h.ends[3]);
	assert_false(room_below(&h, HANDED - 1));
	assert_int_equal(atomic_load(&h.again), before);
	close(h.ends[0]);
	while (atomic_load(&h.again) == before)
		clock_sleep_ms(1);
	close(h.ends[4]);
	while (!room_below(&h, 2)) /* all but the half one */
		;
	assert_int_equal(atomic_load(&counted), 0);
	close(h.ends[3 - refused]);
	while (!room_below(&h, 1))
		;
	close(h.ends[refused]);
	loop_stop(h.rig.loop);
	assert_int_equal(pthread_join(h.rig.thread, NULL), 0);
	request_server_free(&h.rig.server);
	loop_free(&h.rig.loop);
}

/* A request that comes in pieces is read by whichever thread is free (ThreadSanitizer looks on). */
static void test_adopted_in_pieces(void **state)
{
	static const uint8_t frame[] = { 3, 0, 0, 0, 'o', 'd', 'd' };
	struct handed h = { .most = 0 };
	uint8_t got[64];

	(void)state;
	hand_out(&h);
	for (size_t i = 0; i < 300; i++) {
		size_t cut = 1 + i % (sizeof(frame) - 1);

		for (size_t k = 0; k < HANDED; k++)
			assert_int_equal(send(h.ends[k], frame, cut, 0), cut);
		for (size_t k = 0; k < HANDED; k++)
			assert_int_equal(send(h.ends[k], frame + cut, sizeof(frame) - cut, 0),
			                 sizeof(frame) - cut);
		for (size_t k = 0; k < HANDED; k++) {
			ssize_t n;

			while ((n = recv(h.ends[k], got, sizeof(got), 0)) < 0)
				clock_sleep_ms(0);
			assert_int_equal(n, 8);
			assert_memory_equal(got, "\4\0\0\0Dodd", 8);
		}
	}
	take_back(&h);
}

/* What a large request took of the bytes for all is there again when it is answered. */
static void test_adopted_again_and_again(void **state)
{
	static uint8_t frame[4 + 150000], got[1 + sizeof(frame)];
	struct handed h = { .most = 0 };

	(void)state;
	hand_out(&h);
	put_le32(frame, sizeof(frame) - 4);
	for (int i = 0; i < 3; i++) {
		ssize_t n;

		for (size_t at = 0; at<sizeof(frame); at += n> 0 ? (size_t)n : 0)
			n = send(h.ends[0], frame + at, sizeof(frame) - at, MSG_NOSIGNAL);
		for (size_t at = 0; at<sizeof(got); at += n> 0 ? (size_t)n : 0) {
			n = recv(h.ends[0], got + at, sizeof(got) - at, 0);
			assert_int_not_equal(n, 0); /* it was refused */
		}
		assert_int_equal(got[4], 'D');
	}
	take_back(&h);
}

/* Behind a failure nothing more is heard: who is in front opens another. */
static void test_adopted_fails(void **state)
{
	struct handed h = { .most = 0 };
	uint8_t frame[512];
	ssize_t n;

	(void)state;
	hand_out(&h);
	put_request(h.ends[0], "fail", 4);
	while ((n = recv(h.ends[0], frame, sizeof(frame), 0)) < 0)
		clock_sleep_ms(1);
	assert_true(n > 4);
	assert_int_equal(frame[4], 'E');
	for (int i = 0; i < 20000 && (n = recv(h.ends[0], frame, sizeof(frame), 0)) < 0; i++)
		clock_sleep_ms(1);
	assert_int_equal(n, 0);
	while (!room_below(&h, HANDED)) /* and it is gone */
		;
	take_back(&h);
}

static atomic_int waits;

/* Stands in front of the C library's: nothing in this program but a writer waits by it. */
int poll(struct pollfd *p, nfds_t n, int ms)
{
	const struct timespec for_long = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	atomic_fetch_add(&waits, 1);
	return ppoll(p, n, ms < 0 ? NULL : &for_long, NULL);
}

/* Who doesn't read is refused without a word, and the loop goes on. */
static void test_refused_while_full(void **state)
{
	struct handed h = { .most = 0 };
	int before = atomic_load(&waits);
	uint8_t bytes[4096] = { 0 };
	ssize_t n;

	(void)state;
	hand_out(&h);
	while (send(h.given[0], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	put_request(h.ends[0], "", UINT32_MAX);
	while (!room_below(&h, HANDED)) /* it ended */
		;
	assert_int_equal(atomic_load(&waits), before);
	while ((n = recv(h.ends[0], bytes, sizeof(bytes), 0)) > 0)
		;
	assert_true(n == 0 || errno == ECONNRESET);
	take_back(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_socket),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_adopted),
		cmocka_unit_test(test_adopted_fails),
		cmocka_unit_test(test_adopted_in_pieces),
		cmocka_unit_test(test_adopted_again_and_again),
		cmocka_unit_test(test_refused_while_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
