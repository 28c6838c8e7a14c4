#include "base/request.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"

#define FRAME_HEAD      4
#define STUCK_MS        30000 /* a peer that neither reads nor writes for so long is cut off */
#define GATHER_BYTES    65536
#define GATHER_MS       100
#define RETRY_MS        50 /* when connections or descriptors have run out */
#define MAX_CONNECTIONS 64
#define MAX_FRAME       ((size_t)LIMIT_REQUEST + 1) /* the kind and a payload */
#define SMALL           65536                       /* a request that there is always room for */

/* Where an answer goes: a socket (fd >= 0) or the reader in this process. */
struct request_writer {
	int fd;
	bool front; /* who will send no more has given up */
	struct buf gathered;
	int64_t flushed_ms;
	bool ended;
	bool failed; /* by an 'E' */
	bool broken; /* nobody reads; all further writes fail */
	const struct request_reader *reader;
	struct buf *result;
	struct err *failure; /* what an 'E' said, RC_OK before */
};

struct ask {
	struct ask *next; /* in the queue of complete requests */
	struct ask *prev_open, *next_open;
	struct request_server *server;
	int fd;
	struct loop_watch *watch;
	struct loop_timer *deadline;
	struct buf in;
	struct request_peer peer;
	size_t most;  /* bytes of the request */
	size_t bytes; /* that are counted in the server's */
	/* Of an adopted one, whose watch stays; with the server's lock: */
	bool working; /* a thread has it */
	bool early;   /* something came meanwhile, and the watch is off */
};

struct request_server {
	struct loop *loop;
	int fd;
	char *path; /* NULL: its name is not ours to remove */
	struct request_share share;
	struct loop_watch *watch;
	struct loop_timer *retry;
	request_handle handle;
	void *arg;
	pthread_t *threads;
	unsigned thread_count;
	pthread_mutex_t lock; /* everything below */
	pthread_cond_t more;
	struct ask *first;
	struct ask **last;
	struct ask *open;    /* all connections */
	unsigned open_count; /* but the adopted ones */
	unsigned adopted;
	size_t bytes;                   /* of requests that aren't small */
	void (*again)(void *again_arg); /* when an adopted one ends */
	void *again_arg;
	unsigned running;
	bool stop;
};

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
static bool peer_has_gone(const struct request_writer *w)
{
	struct pollfd p = { .fd = w->fd, .events = w->front ? POLLRDHUP : 0 };

	return poll(&p, 1, 0) > 0 && p.revents;
}

bool request_gone(struct request_writer *w)
{
	if (!w->broken && w->fd >= 0)
		w->broken = peer_has_gone(w);
	return w->broken;
}

enum rc request_done(struct request_writer *w, struct slice result, struct err *e)
{
	return put_frame(w, REQUEST_DONE, result, e);
}

static enum rc error_text(struct buf *out, const struct err *why)
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
	if (error_text(&text, why) != RC_OK ||
	    put_frame(w, REQUEST_ERROR, buf_slice(&text), NULL) != RC_OK)
		w->broken = true; /* who asked has gone */
	buf_free(&text);
}

bool request_ended(const struct request_writer *w)
{
	return w->ended;
}

static void run_handler(request_handle handle, void *arg, const struct request_peer *peer,
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

	run_handler(handle, handle_arg, &me, json, &w);
	if (failure.code != RC_OK && e)
		*e = failure;
	return failure.code;
}

/* --- the client --- */

static enum rc socket_address(struct sockaddr_un *a, const char *path, struct err *e)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(a->sun_path))
		return err_set(e, RC_INVALID, "%s: the path of a socket has at most %zu bytes",
		               path, sizeof(a->sun_path) - 1);
	memcpy(a->sun_path, path, strlen(path) + 1);
	return RC_OK;
}

static enum rc connect_to(const char *path, int *out, struct err *e)
{
	struct sockaddr_un a;
	enum rc rc = socket_address(&a, path, e);
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
	rc = connect_to(path, &fd, e);
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

/* --- the server --- */

static void accept_again(void *arg)
{
	struct request_server *s = arg;

	loop_watch_set(s->watch, LOOP_READ);
}

/* Under the lock of the server. */
static void unlink_ask(struct ask *a)
{
	struct request_server *s = a->server;

	if (a->prev_open)
		a->prev_open->next_open = a->next_open;
	else
		s->open = a->next_open;
	if (a->next_open)
		a->next_open->prev_open = a->prev_open;
	s->open_count -= !a->peer.front;
	s->adopted -= a->peer.front;
	s->bytes -= a->bytes;
}

static void ask_free(struct ask *a)
{
	struct request_server *s = a->server;

	loop_watch_free(&a->watch);
	loop_timer_free(&a->deadline);
	MUST(pthread_mutex_lock(&s->lock) == 0);
	unlink_ask(a);
	(void)close(a->fd); /* under the lock: request_server_free may be at its shutdown */
	if (a->peer.front && s->again) {
		loop_post(s->loop, s->again, s->again_arg);
		s->again = NULL;
	}
	MUST(pthread_mutex_unlock(&s->lock) == 0);
	buf_free(&a->in);
	free(a);
}

/* False when no further request can follow. */
static bool answer(struct ask *a)
{
	struct request_server *s = a->server;
	struct request_writer w = { .fd = a->fd,
		                    .front = a->peer.front,
		                    .flushed_ms = clock_mono_ms() };

	if (peer_has_gone(&w)) /* nor is anything done that came before give_back's shutdown */
		return false;
	buf_init(&w.gathered, (size_t)GATHER_BYTES * 4);
	run_handler(s->handle, s->arg, &a->peer, slice_from(buf_slice(&a->in), FRAME_HEAD), &w);
	buf_free(&w.gathered);
	return a->peer.front && !w.broken && !w.failed;
}

static struct ask *next_ask(struct request_server *s)
{
	struct ask *a;

	MUST(pthread_mutex_lock(&s->lock) == 0);
	while (!s->first && !s->stop)
		MUST(pthread_cond_wait(&s->more, &s->lock) == 0);
	a = s->stop ? NULL : s->first;
	if (a) {
		s->first = a->next;
		if (!s->first)
			s->last = &s->first;
		s->running++;
	}
	MUST(pthread_mutex_unlock(&s->lock) == 0);
	return a;
}

/* On the loop's thread. */
static void hear_again(void *arg)
{
	struct ask *a = arg;

	loop_watch_set(a->watch, LOOP_READ);
}

/* An adopted one goes back to the loop, which alone may free it, as its watch is the loop's. Where
 * no request may follow, the loop finds its end. It is woken only where it has taken the watch off:
 * front and mmd say one thing after the other. */
static void give_back(struct ask *a, bool next)
{
	struct request_server *s = a->server;
	bool early;

	if (!next)
		(void)shutdown(a->fd, SHUT_RDWR);
	a->next = NULL;
	buf_clear(&a->in);
	if (a->in.room > SMALL)
		buf_free(&a->in);
	MUST(pthread_mutex_lock(&s->lock) == 0);
	s->bytes -= a->bytes;
	a->bytes = 0;
	early = a->early;
	a->early = false;
	a->working = false;
	MUST(pthread_mutex_unlock(&s->lock) == 0);
	if (early)
		loop_post(s->loop, hear_again, a);
}

static void *work(void *arg)
{
	struct request_server *s = arg;
	struct ask *a;

	while ((a = next_ask(s))) {
		bool next = answer(a);

		if (a->peer.front)
			give_back(a, next);
		else
			ask_free(a);
		MUST(pthread_mutex_lock(&s->lock) == 0);
		s->running--;
		MUST(pthread_mutex_unlock(&s->lock) == 0);
	}
	return NULL;
}

static void enqueue(struct ask *a)
{
	struct request_server *s = a->server;

	if (!a->peer.front)
		loop_watch_free(&a->watch);
	loop_timer_free(&a->deadline);
	MUST(pthread_mutex_lock(&s->lock) == 0);
	a->working = a->peer.front;
	*s->last = a;
	s->last = &a->next;
	MUST(pthread_mutex_unlock(&s->lock) == 0);
	MUST(pthread_cond_signal(&s->more) == 0);
}

/* What comes while a request is worked at waits in the socket. */
static bool is_early(struct ask *a)
{
	struct request_server *s = a->server;
	bool early;

	MUST(pthread_mutex_lock(&s->lock) == 0);
	early = a->working;
	a->early |= early;
	MUST(pthread_mutex_unlock(&s->lock) == 0);
	if (early)
		loop_watch_set(a->watch, 0);
	return early;
}

/* On the loop, which waits for nobody: who has no room for a line in his socket isn't told. */
static void refuse(struct ask *a, const struct err *why)
{
	uint8_t head[FRAME_HEAD + 1] = { [FRAME_HEAD] = REQUEST_ERROR };
	struct buf frame;

	buf_init(&frame, LIMIT_REQUEST);
	if (buf_add(&frame, slice_of(head, sizeof(head))) == RC_OK &&
	    error_text(&frame, why) == RC_OK) {
		put_le32(frame.at, (uint32_t)(frame.len - FRAME_HEAD));
		(void)send(a->fd, frame.at, frame.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	buf_free(&frame);
	ask_free(a);
}

/* Whether a request of `want` bytes may come, and why not. */
static enum rc take_room(struct ask *a, size_t want, struct err *e)
{
	struct request_server *s = a->server;
	bool room = true;

	if (want > a->most)
		return err_set(e, RC_LIMIT, "a request of %zu bytes; the limit is %zu", want,
		               a->most);
	if (!s->share.together || want <= SMALL || a->bytes)
		return RC_OK;
	MUST(pthread_mutex_lock(&s->lock) == 0);
	room = want <= s->share.together && s->bytes <= s->share.together - want;
	a->bytes = room ? want : 0;
	s->bytes += a->bytes;
	MUST(pthread_mutex_unlock(&s->lock) == 0);
	return room ? RC_OK : err_set(e, RC_AGAIN, "too many large requests at once; try again");
}

static void on_request_bytes(void *arg, unsigned what)
{
	struct ask *a = arg;
	uint8_t *scratch = loop_scratch(a->server->loop);
	struct err e;
	size_t want;
	ssize_t n;

	(void)what;
	if (is_early(a))
		return;
	n = recv(a->fd, scratch, LOOP_SCRATCH, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || buf_add(&a->in, slice_of(scratch, (size_t)n)) != RC_OK) {
		ask_free(a);
		return;
	}
	if (a->in.len < FRAME_HEAD)
		return;
	want = get_le32(a->in.at);
	if (take_room(a, want, &e) != RC_OK) {
		refuse(a, &e);
		return;
	}
	if (a->in.len < FRAME_HEAD + want)
		return;
	a->in.len = FRAME_HEAD + want; /* one at a time; more is not ours to read */
	enqueue(a);
}

static void on_ask_deadline(void *arg)
{
	ask_free(arg);
}

/* Under the lock. */
static unsigned asks_of(const struct request_server *s, uid_t uid)
{
	unsigned n = 0;

	for (const struct ask *a = s->open; a; a = a->next_open)
		n += a->peer.uid == uid;
	return n;
}

static void ask_new(struct request_server *s, int fd, bool front)
{
	struct ask *a = mem_new(sizeof(*a));
	struct ucred who = { .pid = -1, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	socklen_t len = sizeof(who);
	struct err e;
	unsigned others;

	a->server = s;
	a->fd = fd;
	if (!front && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
		log_warn("request: who asks is unknown: %s", strerror(errno));
	a->peer = (struct request_peer) { who.uid, who.gid, who.pid, front };
	a->most = s->share.bytes ? s->share.bytes(s->arg, &a->peer) : LIMIT_REQUEST;
	buf_init(&a->in, a->most + FRAME_HEAD + LOOP_SCRATCH);
	MUST(pthread_mutex_lock(&s->lock) == 0);
	others = asks_of(s, a->peer.uid);
	a->next_open = s->open;
	if (s->open)
		s->open->prev_open = a;
	s->open = a;
	s->open_count += !front;
	s->adopted += front;
	MUST(pthread_mutex_unlock(&s->lock) == 0);
	if (!front && s->share.per_user && others >= s->share.per_user) {
		(void)err_set(&e, RC_LIMIT, "at most %u requests of a user at once",
		              s->share.per_user);
		refuse(a, &e);
		return;
	}
	a->watch = loop_watch_new(s->loop, fd, LOOP_READ, on_request_bytes, a);
	if (front)
		return;
	a->deadline = loop_timer_new(s->loop, on_ask_deadline, a);
	loop_timer_set(a->deadline, STUCK_MS);
}

void request_server_adopt(struct request_server *s, int fd)
{
	ask_new(s, fd, true);
}

bool request_server_room(struct request_server *s, unsigned most, void (*again)(void *arg),
                         void *arg)
{
	bool room;

	MUST(pthread_mutex_lock(&s->lock) == 0);
	room = s->adopted < most;
	s->again = room ? NULL : again;
	s->again_arg = arg;
	MUST(pthread_mutex_unlock(&s->lock) == 0);
	return room;
}

static bool room_for_more(struct request_server *s)
{
	bool room;

	MUST(pthread_mutex_lock(&s->lock) == 0);
	room = s->open_count < MAX_CONNECTIONS;
	MUST(pthread_mutex_unlock(&s->lock) == 0);
	return room;
}

static void on_connection(void *arg, unsigned what)
{
	struct request_server *s = arg;

	(void)what;
	while (room_for_more(s)) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0)
			ask_new(s, fd, false);
		else if (errno == EAGAIN)
			return;
		else if (errno != EINTR && errno != ECONNABORTED)
			break; /* no descriptor left */
	}
	loop_watch_set(s->watch, 0);
	loop_timer_set(s->retry, RETRY_MS);
}

static enum rc listen_at(const char *path, mode_t mode, int *out, struct err *e)
{
	struct sockaddr_un a;
	mode_t old;
	int fd, bad;
	enum rc rc = socket_address(&a, path, e);

	if (rc != RC_OK)
		return rc;
	rc = file_remove(path, e);
	if (rc != RC_OK && rc != RC_NOTFOUND)
		return err_in(e, "a socket that was left");
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, "socket");
	old = umask(0777 & ~mode);
	bad = bind(fd, (const struct sockaddr *)&a, sizeof(a));
	(void)umask(old);
	if (bad < 0 || listen(fd, MAX_CONNECTIONS) < 0) {
		rc = err_sys(e, "%s", path);
		(void)close(fd);
		return rc;
	}
	*out = fd;
	return RC_OK;
}

enum rc request_socket(const char *path, mode_t mode, int *out, struct err *e)
{
	struct stat st;
	int fd = -1;
	enum rc rc;

	if (lstat(path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return err_set(e, RC_EXISTS, "%s is there, and no socket", path);
		rc = connect_to(path, &fd, e);
		if (rc == RC_OK)
			(void)close(fd);
		if (rc == RC_OK)
			return err_set(e, RC_AGAIN, "%s: another mmd listens there", path);
		if (rc != RC_AGAIN)
			return rc;
	}
	return listen_at(path, mode, out, e);
}

static struct request_server *serve(struct loop *l, int fd, unsigned threads,
                                    const struct request_share *share, request_handle handle,
                                    void *arg)
{
	struct request_server *s = mem_new(sizeof(*s));

	s->loop = l;
	s->fd = fd;
	s->share = share ? *share : (struct request_share) { 0 };
	s->handle = handle;
	s->arg = arg;
	s->last = &s->first;
	MUST(pthread_mutex_init(&s->lock, NULL) == 0 && pthread_cond_init(&s->more, NULL) == 0);
	s->threads = mem_array(threads, sizeof(*s->threads));
	for (; s->thread_count < threads; s->thread_count++)
		MUST(pthread_create(&s->threads[s->thread_count], NULL, work, s) == 0);
	s->watch = fd >= 0 ? loop_watch_new(l, fd, LOOP_READ, on_connection, s) : NULL;
	s->retry = loop_timer_new(l, accept_again, s);
	return s;
}

enum rc request_server_new(struct request_server **out, struct loop *l, const char *path,
                           unsigned threads, request_handle handle, void *arg, struct err *e)
{
	int fd = -1;
	enum rc rc = listen_at(path, 0600, &fd, e);

	if (rc != RC_OK)
		return rc;
	*out = serve(l, fd, threads, NULL, handle, arg);
	(*out)->path = mem_string(path);
	return RC_OK;
}

void request_server_share(struct request_server **out, struct loop *l, int fd, unsigned threads,
                          const struct request_share *share, request_handle handle, void *arg)
{
	*out = serve(l, fd, threads, share, handle, arg);
}

void request_server_free(struct request_server **at)
{
	struct request_server *s = *at;

	if (!s)
		return;
	*at = NULL;
	loop_watch_free(&s->watch);
	loop_timer_free(&s->retry);
	if (s->fd >= 0)
		(void)close(s->fd);
	if (s->path && file_remove(s->path, NULL) != RC_OK)
		log_warn("%s: can't be removed", s->path);
	MUST(pthread_mutex_lock(&s->lock) == 0);
	s->stop = true;
	for (struct ask *a = s->open; a; a = a->next_open)
		(void)shutdown(a->fd, SHUT_RDWR);
	MUST(pthread_cond_broadcast(&s->more) == 0);
	MUST(pthread_mutex_unlock(&s->lock) == 0);
	for (unsigned i = 0; i < s->thread_count; i++)
		MUST(pthread_join(s->threads[i], NULL) == 0);
	while (s->open)
		ask_free(s->open);
	(void)pthread_mutex_destroy(&s->lock);
	(void)pthread_cond_destroy(&s->more);
	free(s->threads);
	free(s->path);
	free(s);
}

unsigned request_server_running(const struct request_server *s)
{
	struct request_server *writable = (struct request_server *)(uintptr_t)s;
	unsigned n;

	MUST(pthread_mutex_lock(&writable->lock) == 0);
	n = s->running;
	MUST(pthread_mutex_unlock(&writable->lock) == 0);
	return n;
}
