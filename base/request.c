#include "base/request.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/request_parts.h"

#define GATHER_MS 100
#define MAX_FRAME ((size_t)LIMIT_REQUEST + 1) /* the kind and a payload */

/* --- writing an answer --- */

/* Everything, or an error: waits for a slow reader, for a while. */
static enum rc send_all(int fd, struct slice s, struct err *e)
{
	while (s.len) {
		ssize_t n = send(fd, s.at, s.len, MSG_NOSIGNAL);
		struct pollfd p = { .fd = fd, .events = POLLOUT };

		if (n >= 0) {
			s = slice_from(s, (size_t)n);
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return err_set(e, RC_IO, "the other side of the request has gone: %s",
			               strerror(errno));
		if (errno == EAGAIN && poll(&p, 1, STUCK_MS) == 0)
			return err_set(e, RC_IO, "the other side of the request doesn't read");
	}
	return RC_OK;
}

static enum rc send_gathered(struct request_writer *w, struct err *e)
{
	enum rc rc = send_all(w->fd, buf_slice(&w->gathered), e);

	buf_clear(&w->gathered);
	w->flushed_ms = clock_mono_ms();
	if (rc != RC_OK)
		w->broken = true;
	return rc;
}

static enum rc send_frame(struct request_writer *w, enum request_kind kind, struct slice payload,
                          struct err *e)
{
	uint8_t head[FRAME_HEAD + 1] = { 0 };
	enum rc rc;

	put_le32(head, (uint32_t)payload.len + 1);
	head[FRAME_HEAD] = (uint8_t)kind;
	if (buf_add(&w->gathered, slice_of(head, sizeof(head))) != RC_OK)
		return err_set(e, RC_LIMIT, "no memory for an answer");
	if (payload.len < GATHER_BYTES) {
		if (buf_add(&w->gathered, payload) != RC_OK)
			return err_set(e, RC_LIMIT, "no memory for an answer");
		payload.len = 0;
	}
	if (!payload.len && !w->ended && w->gathered.len < GATHER_BYTES &&
	    clock_mono_ms() - w->flushed_ms < GATHER_MS)
		return RC_OK;
	rc = send_gathered(w, e);
	if (rc == RC_OK && payload.len) {
		rc = send_all(w->fd, payload, e);
		w->broken = rc != RC_OK;
	}
	return rc;
}

/* The reader in this process. */
static enum rc give_frame(struct request_writer *w, enum request_kind kind, struct slice payload,
                          struct err *e)
{
	const struct request_reader *r = w->reader;

	if (kind == REQUEST_JSON)
		return r && r->json ? r->json(r->arg, payload, e) : RC_OK;
	if (kind == REQUEST_BYTES)
		return r && r->bytes ? r->bytes(r->arg, payload, e) : RC_OK;
	if (kind == REQUEST_DONE && w->result) {
		buf_clear(w->result);
		if (buf_add(w->result, payload) != RC_OK)
			return err_set(e, RC_LIMIT, "the result is too long");
	}
	return RC_OK;
}

static enum rc put_frame(struct request_writer *w, enum request_kind kind, struct slice payload,
                         struct err *e)
{
	enum rc rc;

	MUST(!w->ended);
	w->ended = kind == REQUEST_DONE || kind == REQUEST_ERROR;
	w->failed = kind == REQUEST_ERROR;
	if (w->broken)
		return err_set(e, RC_IO, "the other side of the request has gone");
	if (payload.len >= MAX_FRAME)
		return err_set(e, RC_LIMIT, "a frame of %zu bytes", payload.len);
	if (w->fd >= 0)
		return send_frame(w, kind, payload, e);
	rc = give_frame(w, kind, payload, e);
	if (rc != RC_OK) {
		w->broken = true;
		if (w->failure->code == RC_OK)
			(void)err_set(w->failure, rc, "%s", e ? e->text : rc_name(rc));
	}
	return rc;
}

enum rc request_json(struct request_writer *w, struct slice line, struct err *e)
{
	return put_frame(w, REQUEST_JSON, line, e);
}

enum rc request_bytes(struct request_writer *w, struct slice bytes, struct err *e)
{
	return put_frame(w, REQUEST_BYTES, bytes, e);
}

enum rc request_flush(struct request_writer *w, struct err *e)
{
	if (w->broken)
		return err_set(e, RC_IO, "the other side of the request has gone");
	return w->fd >= 0 && w->gathered.len ? send_gathered(w, e) : RC_OK;
}

/* Others than fronts may send no more and still read the answer: they have gone when the socket is
 * closed. */
bool request_peer_has_gone(const struct request_writer *w)
{
	struct pollfd p = { .fd = w->fd, .events = w->front ? POLLRDHUP : 0 };

	return poll(&p, 1, 0) > 0 && p.revents;
}

bool request_gone(struct request_writer *w)
{
	if (!w->broken && w->fd >= 0)
		w->broken = request_peer_has_gone(w);
	return w->broken;
}

enum rc request_done(struct request_writer *w, struct slice result, struct err *e)
{
	return put_frame(w, REQUEST_DONE, result, e);
}

enum rc request_error_text(struct buf *out, const struct err *why)
{
	json_t *j = json_object();
	enum rc rc;

	MUST(j);
	json_put_text(j, "code", slice_str(rc_name(why->code)));
	json_put_text(j, "text", slice_str(why->text));
	rc = json_write(out, j);
	json_decref(j);
	return rc;
}

void request_fail(struct request_writer *w, const struct err *why)
{
	struct buf text;

	if (w->failure && w->failure->code == RC_OK)
		*w->failure = *why;
	buf_init(&text, LIMIT_REQUEST);
	if (request_error_text(&text, why) != RC_OK ||
	    put_frame(w, REQUEST_ERROR, buf_slice(&text), NULL) != RC_OK)
		w->broken = true; /* who asked has gone */
	buf_free(&text);
}

bool request_ended(const struct request_writer *w)
{
	return w->ended;
}

void request_run(request_handle handle, void *arg, const struct request_peer *peer,
                 struct slice json, struct request_writer *w)
{
	struct err open;

	handle(arg, peer, json, w);
	if (w->ended)
		return;
	(void)err_set(&open, RC_IO, "the request was not answered");
	request_fail(w, &open);
}

/* --- without a socket --- */

enum rc request_local(request_handle handle, void *handle_arg, struct slice json,
                      const struct request_reader *r, struct buf *result, struct err *e)
{
	struct err failure = { .code = RC_OK };
	struct request_writer w = { .fd = -1, .reader = r, .result = result, .failure = &failure };
	struct request_peer me = { getuid(), getgid(), getpid(), false };

	request_run(handle, handle_arg, &me, json, &w);
	if (failure.code != RC_OK && e)
		*e = failure;
	return failure.code;
}

/* --- the client --- */

enum rc request_address(struct sockaddr_un *a, const char *path, struct err *e)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(a->sun_path))
		return err_set(e, RC_INVALID, "%s: the path of a socket has at most %zu bytes",
		               path, sizeof(a->sun_path) - 1);
	memcpy(a->sun_path, path, strlen(path) + 1);
	return RC_OK;
}

enum rc request_connect(const char *path, int *out, struct err *e)
{
	struct sockaddr_un a;
	enum rc rc = request_address(&a, path, e);
	int fd, sys;

	if (rc != RC_OK)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, "socket");
	if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0) {
		*out = fd;
		return RC_OK;
	}
	sys = errno;
	rc = err_sys(e, "%s", path);
	if (sys == ENOENT || sys == ENOTDIR || sys == ECONNREFUSED) {
		rc = err_set(e, RC_AGAIN, "%s: no mmd is running", path);
		if (e)
			e->sys = sys;
	}
	(void)close(fd);
	return rc;
}

static enum rc read_exactly(int fd, uint8_t *to, size_t len, struct err *e)
{
	while (len) {
		ssize_t n = recv(fd, to, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "read an answer");
		if (n == 0)
			return err_set(e, RC_IO, "mmd closed the connection inside an answer");
		to += n;
		len -= (size_t)n;
	}
	return RC_OK;
}

static enum rc read_frame(int fd, struct buf *in, struct err *e)
{
	uint8_t head[FRAME_HEAD];
	size_t len;
	enum rc rc = read_exactly(fd, head, sizeof(head), e);

	if (rc != RC_OK)
		return rc;
	len = get_le32(head);
	buf_clear(in);
	if (!len || buf_reserve(in, len) != RC_OK)
		return err_set(e, RC_IO, "an answer's frame of %zu bytes", len);
	rc = read_exactly(fd, in->at, len, e);
	if (rc == RC_OK)
		in->len = len;
	return rc;
}

/* The code and text of an 'E' frame. */
static enum rc read_error(struct slice text, struct err *e)
{
	json_t *j = NULL;
	enum rc code = RC_IO;
	struct slice word, why;

	if (json_read(&j, text, e) != RC_OK)
		return err_in(e, "an error that can't be read");
	word = json_member_text(j, "code");
	why = json_member_text(j, "text");
	if (!why.len)
		why = slice_str("refused, without a reason");
	for (int i = RC_AGAIN; i <= RC_CRYPTO; i++)
		if (slice_equal(word, slice_str(rc_name((enum rc)i))))
			code = (enum rc)i;
	(void)err_set(e, code, "%.*s", (int)MIN_OF(why.len, 480), (const char *)why.at);
	json_decref(j);
	return code;
}

static enum rc read_answer(int fd, const struct request_reader *r, struct buf *result,
                           struct buf *in, struct err *e)
{
	struct request_writer to = { .fd = -1, .reader = r, .result = result };

	for (;;) {
		enum rc rc = read_frame(fd, in, e);
		struct slice payload = slice_from(buf_slice(in), 1);

		if (rc != RC_OK)
			return rc;
		if (in->at[0] == REQUEST_ERROR)
			return read_error(payload, e);
		rc = give_frame(&to, in->at[0], payload, e);
		if (rc != RC_OK || in->at[0] == REQUEST_DONE)
			return rc;
	}
}

enum rc request_call(const char *path, struct slice json, const struct request_reader *r,
                     struct buf *result, struct err *e)
{
	uint8_t head[FRAME_HEAD] = { 0 };
	struct buf in;
	int fd = -1;
	enum rc rc;

	if (json.len > LIMIT_REQUEST)
		return err_set(e, RC_LIMIT, "a request of %zu bytes", json.len);
	rc = request_connect(path, &fd, e);
	if (rc != RC_OK)
		return rc;
	put_le32(head, (uint32_t)json.len);
	/* When sending fails, the server may still have said why. */
	if (send_all(fd, slice_of(head, sizeof(head)), e) == RC_OK)
		(void)send_all(fd, json, e);
	buf_init(&in, MAX_FRAME);
	rc = read_answer(fd, r, result, &in, e);
	buf_free(&in);
	(void)close(fd);
	return rc;
}
