/*
 * tests/fuzz/fuzz_request.c - both ends of the request socket
 *
 * Input    byte 0: even, the rest is sent to a server; odd, the rest is a server's answer to a
 * call. Oracle   The handler gets a request only when one is whole, and exactly those bytes;
 * whatever was sent, the answer is whole frames with one last, or nothing. A call ends, and gives
 * RC_OK only for a 'D'.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/json.h"
#include "base/log.h"
#include "base/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/tmp/mm-fuzz-request-XXXXXX";
static char server_path[64];
static char peer_path[64];
static int peer_fd;
static struct slice input; /* what the server may get, or the peer says */

static void remove_all(void)
{
	(void)!file_remove(server_path, NULL);
	(void)!file_remove(peer_path, NULL);
	(void)rmdir(dir);
}

static void handle(void *arg, const struct request_peer *peer, struct slice json,
                   struct request_writer *w)
{
	json_t *j = NULL;

	(void)arg;
	MUST(peer->uid == getuid());
	MUST(input.len >= 4 + json.len && get_le32(input.at) == json.len);
	MUST(slice_equal(json, slice_part(input, 4, json.len)));
	if (json_read(&j, json, NULL) == RC_OK && request_json(w, slice_str("{}"), NULL) == RC_OK)
		MUST(request_done(w, slice_str("{}"), NULL) == RC_OK);
	json_decref(j); /* else it is left open, and the server says so */
}

static void address_of(struct sockaddr_un *a, const char *path)
{
	*a = (struct sockaddr_un) { .sun_family = AF_UNIX };
	(void)snprintf(a->sun_path, sizeof(a->sun_path), "%s", path);
}

static void *serve(void *arg)
{
	loop_run(arg, NULL, NULL);
	return NULL;
}

static void start(void)
{
	struct request_server *server;
	struct sockaddr_un a;
	struct loop *loop;
	pthread_t thread;

	log_init("fuzz", LOG_ERROR + 1);
	MUST(mkdtemp(dir));
	(void)snprintf(server_path, sizeof(server_path), "%s/server", dir);
	(void)snprintf(peer_path, sizeof(peer_path), "%s/peer", dir);
	(void)atexit(remove_all);
	loop = loop_new();
	MUST(request_server_new(&server, loop, server_path, 1, handle, NULL, NULL) == RC_OK);
	MUST(pthread_create(&thread, NULL, serve, loop) == 0);
	peer_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	address_of(&a, peer_path);
	MUST(bind(peer_fd, (const struct sockaddr *)&a, sizeof(a)) == 0 && listen(peer_fd, 4) == 0);
}

static void put_all(int fd, struct slice bytes)
{
	while (bytes.len) {
		ssize_t n = send(fd, bytes.at, bytes.len, MSG_NOSIGNAL);

		if (n <= 0)
			break; /* refused before its end */
		bytes = slice_from(bytes, (size_t)n);
	}
	(void)shutdown(fd, SHUT_WR);
}

static void get_all(int fd, struct buf *out)
{
	uint8_t bytes[4096];
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		MUST(buf_add(out, slice_of(bytes, (size_t)n)) == RC_OK);
}

/* Whole frames, the last one and no other is a 'D' or an 'E'. */
static void check_answer(struct slice answer)
{
	bool last = false;

	while (answer.len) {
		size_t len;

		MUST(!last && answer.len > 4);
		len = get_le32(answer.at);
		MUST(len >= 1 && len <= answer.len - 4);
		last = answer.at[4] == REQUEST_DONE || answer.at[4] == REQUEST_ERROR;
		MUST(last || answer.at[4] == REQUEST_JSON);
		answer = slice_from(answer, 4 + len);
		MUST(answer.len || last);
	}
}

static void ask_server(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool whole = input.len >= 4 && get_le32(input.at) <= LIMIT_REQUEST &&
	             input.len - 4 >= get_le32(input.at);
	struct sockaddr_un a;
	struct buf answer;

	address_of(&a, server_path);
	MUST(connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0);
	buf_init(&answer, 1 << 20);
	put_all(fd, input);
	get_all(fd, &answer);
	check_answer(buf_slice(&answer));
	MUST(!whole || answer.len || input.len > 4 + get_le32(input.at)); /* a reset may eat it */
	buf_free(&answer);
	(void)close(fd);
}

static void *be_peer(void *arg)
{
	int fd = accept4(peer_fd, NULL, NULL, SOCK_CLOEXEC);
	struct buf request;

	(void)arg;
	buf_init(&request, 4096);
	put_all(fd, input);
	get_all(fd, &request);
	MUST(slice_equal(buf_slice(&request), slice_of("\2\0\0\0{}", 6)) || request.len < 6);
	buf_free(&request);
	(void)close(fd);
	return NULL;
}

static enum rc take(void *arg, struct slice bytes, struct err *e)
{
	size_t *sum = arg;

	(void)e;
	*sum += bytes.len;
	return RC_OK;
}

static void be_client(void)
{
	size_t sum = 0;
	const struct request_reader reader = { take, take, &sum };
	struct buf result;
	pthread_t thread;
	struct err e;
	enum rc rc;

	MUST(pthread_create(&thread, NULL, be_peer, NULL) == 0);
	buf_init(&result, 1 << 20);
	rc = request_call(peer_path, slice_str("{}"), &reader, &result, &e);
	MUST(pthread_join(thread, NULL) == 0);
	MUST(rc == RC_OK ? memchr(input.at, REQUEST_DONE, input.len) != NULL : e.text[0] != 0);
	MUST(sum + result.len <= input.len);
	buf_free(&result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	if (!server_path[0])
		start();
	input = slice_of(data + 1, size - 1);
	if (data[0] & 1)
		be_client();
	else
		ask_server();
	return 0;
}
