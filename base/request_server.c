#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/request_parts.h"

#define RETRY_MS        50 /* when connections or descriptors have run out */
#define MAX_CONNECTIONS 64
#define SMALL           65536 /* a request that there is always room for */
#define READ_BYTES      65536 /* at once, on a thread of the server's */

struct ask {
	struct ask *next; /* in the queue of the loop's complete requests */
	struct ask *prev_open, *next_open;
	struct request_server *server;
	int fd;
	struct loop_watch *watch;
	struct loop_timer *deadline;
	struct buf in;
	struct request_peer peer;
	size_t most;  /* bytes of the request */
	size_t bytes; /* that are counted in the server's */
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
	int ready; /* an epoll that the threads wait at: `more`, and adopted connections */
	int more;  /* an eventfd that counts what they shall look for in the queue */
	pthread_mutex_t lock; /* everything below */
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

static void count_running(struct request_server *s, bool more)
{
	MUST(pthread_mutex_lock(&s->lock) == 0);
	s->running += more ? 1 : (unsigned)-1;
	MUST(pthread_mutex_unlock(&s->lock) == 0);
}

/* False when no further request can follow. */
static bool answer(struct ask *a)
{
	struct request_server *s = a->server;
	struct request_writer w = { .fd = a->fd,
		                    .front = a->peer.front,
		                    .flushed_ms = clock_mono_ms() };

	if (request_peer_has_gone(&w))
		return false;
	count_running(s, true);
	buf_init(&w.gathered, (size_t)GATHER_BYTES * 4);
	request_run(s->handle, s->arg, &a->peer, slice_from(buf_slice(&a->in), FRAME_HEAD), &w);
	buf_free(&w.gathered);
	count_running(s, false);
	return a->peer.front && !w.broken && !w.failed;
}

/* For so many threads. */
static void wake(struct request_server *s, uint64_t count)
{
	MUST(write(s->more, &count, sizeof(count)) == sizeof(count));
}

static void enqueue(struct ask *a)
{
	struct request_server *s = a->server;

	loop_watch_free(&a->watch);
	loop_timer_free(&a->deadline);
	MUST(pthread_mutex_lock(&s->lock) == 0);
	*s->last = a;
	s->last = &a->next;
	MUST(pthread_mutex_unlock(&s->lock) == 0);
	wake(s, 1);
}

/* Waits for nobody: who has no room for a line in his socket isn't told. */
static void refuse(struct ask *a, const struct err *why)
{
	uint8_t head[FRAME_HEAD + 1] = { [FRAME_HEAD] = REQUEST_ERROR };
	struct buf frame;

	buf_init(&frame, LIMIT_REQUEST);
	if (buf_add(&frame, slice_of(head, sizeof(head))) == RC_OK &&
	    request_error_text(&frame, why) == RC_OK) {
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

enum heard { HEARD_PART, HEARD_ALL, HEARD_END };

/* What has come of a request; the end: `a` is gone. */
static enum heard hear(struct ask *a, uint8_t *room, size_t bytes)
{
	ssize_t n = recv(a->fd, room, bytes, 0);
	struct err e;
	size_t want;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return HEARD_PART;
	if (n <= 0 || buf_add(&a->in, slice_of(room, (size_t)n)) != RC_OK) {
		ask_free(a);
		return HEARD_END;
	}
	if (a->in.len < FRAME_HEAD)
		return HEARD_PART;
	want = get_le32(a->in.at);
	if (take_room(a, want, &e) != RC_OK) {
		refuse(a, &e);
		return HEARD_END;
	}
	if (a->in.len < FRAME_HEAD + want)
		return HEARD_PART;
	a->in.len = FRAME_HEAD + want; /* one at a time; more is not ours to read */
	return HEARD_ALL;
}

static void on_request_bytes(void *arg, unsigned what)
{
	struct ask *a = arg;

	(void)what;
	if (hear(a, loop_scratch(a->server->loop), LOOP_SCRATCH) == HEARD_ALL)
		enqueue(a);
}

/* --- its threads --- */

/* Until something comes of it, which one thread is told. The lock hands over what `a` holds: work()
 * takes it too before it looks. */
static void await(struct ask *a, int op)
{
	struct request_server *s = a->server;
	struct epoll_event what = { .events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, .data.ptr = a };

	MUST(pthread_mutex_lock(&s->lock) == 0);
	MUST(epoll_ctl(s->ready, op, a->fd, &what) == 0);
	MUST(pthread_mutex_unlock(&s->lock) == 0);
}

static void forget_request(struct ask *a)
{
	struct request_server *s = a->server;

	buf_clear(&a->in);
	if (a->in.room > SMALL)
		buf_free(&a->in);
	MUST(pthread_mutex_lock(&s->lock) == 0);
	s->bytes -= a->bytes;
	a->bytes = 0;
	MUST(pthread_mutex_unlock(&s->lock) == 0);
}

/* An adopted connection, which is this thread's alone until it is awaited again. */
static void hear_adopted(struct ask *a)
{
	uint8_t room[READ_BYTES];
	enum heard h = hear(a, room, sizeof(room));

	if (h == HEARD_END)
		return;
	if (h == HEARD_ALL) {
		if (!answer(a)) {
			ask_free(a);
			return;
		}
		forget_request(a);
	}
	await(a, EPOLL_CTL_MOD);
}

static void answer_queued(struct request_server *s)
{
	struct ask *a;
	uint64_t one;

	if (read(s->more, &one, sizeof(one)) < 0)
		return; /* another thread was faster */
	MUST(pthread_mutex_lock(&s->lock) == 0);
	a = s->stop ? NULL : s->first;
	if (a)
		s->first = a->next;
	if (!s->first)
		s->last = &s->first;
	MUST(pthread_mutex_unlock(&s->lock) == 0);
	if (!a)
		return;
	(void)answer(a);
	ask_free(a);
}

static bool has_stopped(struct request_server *s)
{
	bool stop;

	MUST(pthread_mutex_lock(&s->lock) == 0);
	stop = s->stop;
	MUST(pthread_mutex_unlock(&s->lock) == 0);
	return stop;
}

static void *work(void *arg)
{
	struct request_server *s = arg;
	struct epoll_event what;

	for (;;) {
		int n = epoll_wait(s->ready, &what, 1, -1);

		MUST(n == 1 || (n < 0 && errno == EINTR));
		if (has_stopped(s))
			return NULL;
		if (n == 1 && what.data.ptr)
			hear_adopted(what.data.ptr);
		else if (n == 1)
			answer_queued(s);
	}
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
	if (front) {
		await(a, EPOLL_CTL_ADD);
		return;
	}
	a->watch = loop_watch_new(s->loop, fd, LOOP_READ, on_request_bytes, a);
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
	enum rc rc = request_address(&a, path, e);

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
		rc = request_connect(path, &fd, e);
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
	struct epoll_event more = { .events = EPOLLIN };

	s->loop = l;
	s->fd = fd;
	s->share = share ? *share : (struct request_share) { 0 };
	s->handle = handle;
	s->arg = arg;
	s->last = &s->first;
	MUST(pthread_mutex_init(&s->lock, NULL) == 0);
	s->ready = epoll_create1(EPOLL_CLOEXEC);
	s->more = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
	MUST(s->ready >= 0 && s->more >= 0 &&
	     epoll_ctl(s->ready, EPOLL_CTL_ADD, s->more, &more) == 0);
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
	MUST(pthread_mutex_unlock(&s->lock) == 0);
	wake(s, s->thread_count);
	for (unsigned i = 0; i < s->thread_count; i++)
		MUST(pthread_join(s->threads[i], NULL) == 0);
	while (s->open)
		ask_free(s->open);
	(void)pthread_mutex_destroy(&s->lock);
	(void)close(s->ready);
	(void)close(s->more);
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
