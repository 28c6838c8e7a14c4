/*
 * tests/unit/ingest/fake_scanner.h - a scanner in a thread of the test, that answers as it is told to
 *
 * It listens on loopback or on a Unix socket, has one thread a connection, reads a whole message as clamd's INSTREAM or as
 * a POST, and keeps the last one.
 */
#ifndef MM_TESTS_UNIT_INGEST_FAKE_SCANNER_H
#define MM_TESTS_UNIT_INGEST_FAKE_SCANNER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/buf.h"

enum fake_way {
	FAKE_ANSWERS,  /* `answer`, as it is */
	FAKE_HANGS_UP, /* as soon as something was read */
	FAKE_HOLDS,    /* until it is told otherwise, then answers */
	FAKE_POURS,    /* never ends its answer */
	FAKE_EARLY,    /* answers and hangs up without reading the rest */
};

struct fake {
	int fd;
	uint16_t port;
	bool http;
	_Atomic int way;
	_Atomic unsigned now;  /* connections under way */
	_Atomic unsigned most; /* of them at a time */
	_Atomic unsigned all;
	_Atomic bool ends;
	pthread_t thread;
	pthread_mutex_t lock; /* below */
	char answer[4096];
	size_t answer_len;
	struct buf last; /* of the last message: its bytes, for HTTP with the head */
};

struct fake_call {
	struct fake *fake;
	int fd;
};

static inline void fake_says(struct fake *f, const char *answer, size_t len)
{
	(void)pthread_mutex_lock(&f->lock);
	memcpy(f->answer, answer, len);
	f->answer_len = len;
	(void)pthread_mutex_unlock(&f->lock);
}

static inline bool fake_get(int fd, void *to, size_t n)
{
	for (size_t got = 0; got < n;) {
		ssize_t k = recv(fd, (char *)to + got, n - got, 0);

		if (k <= 0)
			return false;
		got += (size_t)k;
	}
	return true;
}

static inline void fake_put(int fd, const char *at, size_t n)
{
	for (size_t put = 0; put < n;) {
		ssize_t k = send(fd, at + put, n - put, MSG_NOSIGNAL);

		if (k <= 0)
			return;
		put += (size_t)k;
	}
}

static inline bool fake_read_clamd(int fd, struct buf *out)
{
	static const char command[] = "zINSTREAM";
	char got[sizeof(command)];
	uint8_t len[4];

	if (!fake_get(fd, got, sizeof(got)) || memcmp(got, command, sizeof(got)) != 0)
		return false;
	for (;;) {
		size_t n;

		if (!fake_get(fd, len, 4))
			return false;
		n = (size_t)len[0] << 24 | (size_t)len[1] << 16 | (size_t)len[2] << 8 | len[3];
		if (n == 0)
			return true;
		MUST(buf_reserve(out, n) == RC_OK);
		if (!fake_get(fd, out->at + out->len, n))
			return false;
		out->len += n;
	}
}

static inline bool fake_read_http(int fd, struct buf *out)
{
	uint64_t bytes = 0;
	size_t at;
	struct slice rest;
	uint8_t c;

	while (slice_find(buf_slice(out), slice_str("\r\n\r\n")) == SIZE_MAX) {
		if (!fake_get(fd, &c, 1))
			return false;
		MUST(buf_add_byte(out, c) == RC_OK);
	}
	at = slice_find(buf_slice(out), slice_str("Content-Length: "));
	if (at == SIZE_MAX)
		return false;
	(void)slice_to_u64(slice_cut(slice_from(buf_slice(out), at + 16), '\r', &rest), &bytes);
	MUST(buf_reserve(out, bytes + 1) == RC_OK);
	if (!fake_get(fd, out->at + out->len, bytes))
		return false;
	out->len += bytes;
	return true;
}

static inline void fake_answer(struct fake *f, int fd)
{
	char answer[sizeof(f->answer)];
	size_t len;

	while (f->way == FAKE_HOLDS && !f->ends)
		clock_sleep_ms(5);
	(void)pthread_mutex_lock(&f->lock);
	len = f->answer_len;
	memcpy(answer, f->answer, len);
	(void)pthread_mutex_unlock(&f->lock);
	fake_put(fd, answer, len);
	if (f->way == FAKE_POURS)
		for (int i = 0; i < 20000; i++)
			fake_put(fd, "poured and poured", 17);
}

static inline void *fake_serve(void *arg)
{
	struct fake_call call = *(struct fake_call *)arg;
	struct fake *f = call.fake;
	struct buf got;
	uint8_t c;
	bool whole = false;

	free(arg);
	buf_init(&got, (size_t)64 << 20);
	if (f->way == FAKE_HANGS_UP) {
		(void)fake_get(call.fd, &c, 1);
	} else if (f->way == FAKE_EARLY) {
		(void)fake_get(call.fd, &c, 1);
		fake_answer(f, call.fd);
	} else {
		whole = f->http ? fake_read_http(call.fd, &got) : fake_read_clamd(call.fd, &got);
	}
	if (whole) {
		(void)pthread_mutex_lock(&f->lock);
		buf_clear(&f->last);
		MUST(buf_add(&f->last, buf_slice(&got)) == RC_OK);
		(void)pthread_mutex_unlock(&f->lock);
		fake_answer(f, call.fd);
	}
	(void)close(call.fd);
	buf_free(&got);
	f->now--;
	return NULL;
}

static inline void *fake_listen(void *arg)
{
	struct fake *f = arg;

	while (!f->ends) {
		struct pollfd p = { f->fd, POLLIN, 0 };
		struct fake_call *call;
		pthread_t t;
		int fd;

		if (poll(&p, 1, 20) <= 0)
			continue;
		fd = accept(f->fd, NULL, NULL);
		if (fd < 0)
			continue;
		call = mem_new(sizeof(*call));
		*call = (struct fake_call) { f, fd };
		f->all++;
		f->now++;
		if (f->now > f->most)
			f->most = f->now;
		MUST(pthread_create(&t, NULL, fake_serve, call) == 0);
		MUST(pthread_detach(t) == 0);
	}
	return NULL;
}

/* `path` NULL: on loopback, at `port`, or at any where that is 0. */
static inline struct fake *fake_new(bool http, uint16_t port, const char *path)
{
	struct fake *f = mem_new(sizeof(*f));
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_un u = { .sun_family = AF_UNIX };
	socklen_t n = sizeof(a);
	int on = 1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	f->http = http;
	f->fd = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(f->fd >= 0);
	(void)setsockopt(f->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (path) {
		(void)snprintf(u.sun_path, sizeof(u.sun_path), "%s", path);
		(void)unlink(path);
		MUST(bind(f->fd, (struct sockaddr *)&u, sizeof(u)) == 0);
	} else {
		MUST(bind(f->fd, (struct sockaddr *)&a, sizeof(a)) == 0);
		MUST(getsockname(f->fd, (struct sockaddr *)&a, &n) == 0);
		f->port = ntohs(a.sin_port);
	}
	MUST(listen(f->fd, 128) == 0);
	(void)pthread_mutex_init(&f->lock, NULL);
	buf_init(&f->last, (size_t)64 << 20);
	MUST(pthread_create(&f->thread, NULL, fake_listen, f) == 0);
	return f;
}

static inline void fake_free(struct fake **at)
{
	struct fake *f = *at;

	*at = NULL;
	if (!f)
		return;
	f->ends = true;
	(void)pthread_join(f->thread, NULL);
	(void)close(f->fd);
	while (f->now)
		clock_sleep_ms(5);
	buf_free(&f->last);
	free(f);
}

#endif
