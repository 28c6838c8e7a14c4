#include "base/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/codec.h"

#define HEAD        8
#define MAX_WAITING ((size_t)256 << 20)
#define MAX_FDS     1000
#define MAX_HELD    64   /* received descriptors whose frame isn't complete yet */
#define AT_ONCE     4096 /* a body no longer than that is sent with its head, and heard with it */

/* A frame that waits to be sent. */
struct frame {
	struct frame *next;
	uint8_t *bytes;
	size_t len;
	size_t sent;
	int fds[CHANNEL_FDS];
	size_t nfds;
};

struct channel {
	struct loop *loop;
	int fd;
	struct loop_watch *watch;
	const struct channel_ops *ops;
	void *arg;
	size_t limit;
	struct frame *first;
	struct frame **last;
	size_t waiting;
	size_t waiting_fds;
	struct buf in;
	int held[MAX_HELD];
	size_t nheld;
	unsigned busy; /* depth of callbacks */
	bool ended;
	bool freed; /* channel_free was called inside a callback */
};

static void close_all(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
}

enum rc channel_pair(int ends[2], struct err *e)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return err_sys(e, "socketpair");
	return RC_OK;
}

/* --- one sendmsg, one recvmsg --- */

union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(sizeof(int) * CHANNEL_FDS)];
};

static ssize_t send_some(int fd, const void *at, size_t len, const int *fds, size_t nfds)
{
	union control control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)at, .iov_len = len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	ssize_t n;

	if (nfds) {
		memset(&control, 0, sizeof(control));
		m.msg_control = control.room;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	}
	do {
		n = sendmsg(fd, &m, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n;
}

/* fds: room for CHANNEL_FDS. A frame's descriptors come with its first byte, and the kernel ends a
 * read in front of the next ones, so one read never brings more. */
static ssize_t receive_parts(int fd, struct iovec *parts, size_t count, int *fds, size_t *nfds)
{
	union control control;
	struct msghdr m = { .msg_iov = parts,
		            .msg_iovlen = count,
		            .msg_control = control.room,
		            .msg_controllen = sizeof(control.room) };
	ssize_t n;

	*nfds = 0;
	do {
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		*nfds = MIN_OF((c->cmsg_len - CMSG_LEN(0)) / sizeof(int), CHANNEL_FDS);
		memcpy(fds, CMSG_DATA(c), *nfds * sizeof(int));
	}
	return n;
}

static ssize_t receive_some(int fd, void *to, size_t room, int *fds, size_t *nfds)
{
	struct iovec part = { .iov_base = to, .iov_len = room };

	return receive_parts(fd, &part, 1, fds, nfds);
}

static void put_head(uint8_t head[HEAD], unsigned type, size_t len, size_t nfds)
{
	put_le32(head, (uint32_t)len);
	put_le16(head + 4, (uint16_t)type);
	put_le16(head + 6, (uint16_t)nfds);
}

/* --- the channel on a loop --- */

static void release(struct channel *c)
{
	buf_free(&c->in);
	free(c);
}

static void frame_free(struct frame *f)
{
	close_all(f->fds, f->nfds);
	free(f->bytes);
	free(f);
}

static void end_channel(struct channel *c, const char *why)
{
	if (c->ended)
		return;
	c->ended = true;
	loop_watch_free(&c->watch);
	(void)close(c->fd);
	c->fd = -1;
	close_all(c->held, c->nheld);
	c->nheld = 0;
	while (c->first) {
		struct frame *f = c->first;

		c->first = f->next;
		frame_free(f);
	}
	c->last = &c->first;
	c->waiting = 0;
	c->waiting_fds = 0;
	if (why && !c->freed)
		c->ops->closed(c->arg, why);
}

/* Calls `message` for the complete frame at `at` of the input; the next frame's place, or 0 when
 * there is none, SIZE_MAX when the format is broken. */
static size_t deliver_one(struct channel *c, size_t at)
{
	struct slice in = slice_from(buf_slice(&c->in), at);
	size_t len, nfds;
	int fds[CHANNEL_FDS];

	if (in.len < HEAD)
		return 0;
	len = get_le32(in.at);
	nfds = get_le16(in.at + 6);
	if (len > c->limit || nfds > CHANNEL_FDS)
		return SIZE_MAX;
	if (in.len - HEAD < len)
		return 0;
	if (nfds > c->nheld)
		return SIZE_MAX;
	memcpy(fds, c->held, nfds * sizeof(int));
	c->nheld -= nfds;
	memmove(c->held, c->held + nfds, c->nheld * sizeof(int));
	c->ops->message(c->arg, get_le16(in.at + 4), slice_part(in, HEAD, len), fds, nfds);
	close_all(fds, nfds);
	return at + HEAD + len;
}

static void deliver(struct channel *c)
{
	size_t at = 0;

	while (!c->ended) {
		size_t next = deliver_one(c, at);

		if (c->ended)
			return;
		if (next == SIZE_MAX) {
			end_channel(c, "a broken frame");
			return;
		}
		if (!next)
			break;
		at = next;
	}
	buf_drop(&c->in, at);
	if (!c->in.len && c->in.room > LOOP_SCRATCH)
		buf_free(&c->in);
}

/* Keeps what one read brought; false when it is more than any honest peer sends. */
static bool keep_input(struct channel *c, struct slice bytes, const int *fds, size_t nfds)
{
	bool fits = c->nheld + nfds <= MAX_HELD;

	for (size_t i = 0; i < nfds; i++)
		if (fits)
			c->held[c->nheld++] = fds[i];
		else
			(void)close(fds[i]);
	return fits && buf_add(&c->in, bytes) == RC_OK;
}

/* False when there is nothing more just now. */
static bool receive(struct channel *c)
{
	uint8_t *scratch = loop_scratch(c->loop);
	int fds[CHANNEL_FDS];
	size_t nfds;
	ssize_t n = receive_some(c->fd, scratch, LOOP_SCRATCH, fds, &nfds);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0)
		end_channel(c, n == 0 ? "the other side closed it" : strerror(errno));
	else if (!keep_input(c, slice_of(scratch, (size_t)n), fds, nfds))
		end_channel(c, "too much input");
	else
		deliver(c);
	return !c->ended;
}

static void send_waiting(struct channel *c)
{
	while (c->first) {
		struct frame *f = c->first;
		ssize_t n = send_some(c->fd, f->bytes + f->sent, f->len - f->sent, f->fds,
		                      f->sent ? 0 : f->nfds);

		if (n < 0 && errno == EAGAIN) {
			loop_watch_set(c->watch, LOOP_READ | LOOP_WRITE);
			return;
		}
		if (n < 0) {
			end_channel(c, strerror(errno));
			return;
		}
		f->sent += (size_t)n;
		c->waiting -= (size_t)n;
		if (f->sent < f->len)
			continue;
		c->first = f->next;
		if (!c->first)
			c->last = &c->first;
		c->waiting_fds -= f->nfds;
		frame_free(f);
	}
	loop_watch_set(c->watch, LOOP_READ);
}

static void on_channel(void *arg, unsigned what)
{
	struct channel *c = arg;

	c->busy++;
	if (what & LOOP_READ)
		(void)receive(c);
	if (!c->ended && c->first)
		send_waiting(c);
	c->busy--;
	if (c->freed && !c->busy)
		release(c);
}

void channel_flush(struct channel *c)
{
	on_channel(c, 0);
}

void channel_hear(struct channel *c)
{
	c->busy++;
	while (!c->ended && receive(c))
		;
	c->busy--;
	if (c->freed && !c->busy)
		release(c);
}

struct channel *channel_new(struct loop *l, int fd, size_t limit, const struct channel_ops *ops,
                            void *arg)
{
	struct channel *c = mem_new(sizeof(*c));
	int flags = fcntl(fd, F_GETFL);

	MUST(flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
	c->loop = l;
	c->fd = fd;
	c->ops = ops;
	c->arg = arg;
	c->limit = limit;
	c->last = &c->first;
	buf_init(&c->in, limit + HEAD + LOOP_SCRATCH);
	c->watch = loop_watch_new(l, fd, LOOP_READ, on_channel, c);
	return c;
}

void channel_free(struct channel **at)
{
	struct channel *c = *at;

	if (!c)
		return;
	*at = NULL;
	c->freed = true;
	end_channel(c, NULL);
	if (!c->busy)
		release(c);
}

static enum rc frame_fds(struct frame *f, const int *fds, size_t nfds, struct err *e)
{
	for (; f->nfds < nfds; f->nfds++) {
		f->fds[f->nfds] = fcntl(fds[f->nfds], F_DUPFD_CLOEXEC, 0);
		if (f->fds[f->nfds] < 0)
			return err_sys(e, "duplicate a descriptor for a channel");
	}
	return RC_OK;
}

enum rc channel_send(struct channel *c, unsigned type, struct slice body, const int *fds,
                     size_t nfds, struct err *e)
{
	struct frame *f;

	MUST(nfds <= CHANNEL_FDS && type <= UINT16_MAX);
	if (c->ended)
		return err_set(e, RC_IO, "the channel has ended");
	if (body.len + HEAD > MAX_WAITING - c->waiting || c->waiting_fds + nfds > MAX_FDS)
		return err_set(e, RC_LIMIT, "the child doesn't read its channel");
	f = mem_new(sizeof(*f));
	if (frame_fds(f, fds, nfds, e) != RC_OK) {
		frame_free(f);
		return RC_LIMIT;
	}
	f->len = HEAD + body.len;
	f->bytes = mem_new(f->len);
	put_head(f->bytes, type, body.len, nfds);
	if (body.len)
		memcpy(f->bytes + HEAD, body.at, body.len);
	*c->last = f;
	c->last = &f->next;
	c->waiting += f->len;
	c->waiting_fds += nfds;
	/* Not here, where a failure would end the channel inside the caller: by the loop, when it
	 * has done what is due. Behind others it waits until the socket takes those. */
	if (c->first == f)
		loop_watch_again(c->watch, LOOP_WRITE);
	return RC_OK;
}

size_t channel_waiting(const struct channel *c)
{
	return c->waiting;
}

/* --- without a loop --- */

enum rc channel_put(int fd, unsigned type, struct slice body, const int *fds, size_t nfds,
                    struct err *e)
{
	uint8_t whole[HEAD + AT_ONCE] = { 0 };
	size_t with = body.len <= AT_ONCE ? body.len : 0;
	struct slice parts[2] = { slice_of(whole, HEAD + with), slice_from(body, with) };

	MUST(nfds <= CHANNEL_FDS && type <= UINT16_MAX && body.len <= UINT32_MAX);
	put_head(whole, type, body.len, nfds);
	if (with)
		memcpy(whole + HEAD, body.at, with);
	for (size_t i = 0; i < 2; i++) {
		while (parts[i].len) {
			ssize_t n = send_some(fd, parts[i].at, parts[i].len, fds, nfds);

			if (n < 0)
				return err_sys(e, "send on a channel");
			parts[i] = slice_from(parts[i], (size_t)n);
			nfds = 0;
		}
	}
	explicit_bzero(whole, sizeof(whole)); /* a body may be secret */
	return RC_OK;
}

/* Exactly len bytes, in which no descriptors come. */
static enum rc get_exactly(int fd, uint8_t *to, size_t len, struct err *e)
{
	size_t at = 0;

	while (at < len) {
		int got[CHANNEL_FDS];
		size_t ngot;
		ssize_t n = receive_some(fd, to + at, len - at, got, &ngot);

		if (n < 0)
			return err_sys(e, "receive from a channel");
		if (n == 0)
			return err_set(e, RC_NOTFOUND, "the other side closed the channel");
		if (ngot) {
			close_all(got, ngot);
			return err_set(e, RC_INVALID, "descriptors inside a frame");
		}
		at += (size_t)n;
	}
	return RC_OK;
}

/* The head stays where it is. */
static enum rc peek_head(int fd, uint8_t head[HEAD], struct err *e)
{
	struct iovec part = { .iov_base = head, .iov_len = HEAD };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
	ssize_t n;

	do {
		n = recvmsg(fd, &m, MSG_PEEK | MSG_WAITALL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, "receive from a channel");
	return n == HEAD ? RC_OK : err_set(e, RC_NOTFOUND, "the other side closed the channel");
}

/* Head and body, by one call where they were sent by one: who is killed meanwhile leaves a whole
 * frame or none to who goes on with the channel (base/home.h). */
static enum rc get_both(int fd, uint8_t head[HEAD], struct slice body, int *fds, size_t *nfds,
                        struct err *e)
{
	uint8_t *to = (uint8_t *)(uintptr_t)body.at;
	struct iovec parts[2] = { { head, HEAD }, { to, body.len } };
	ssize_t n = receive_parts(fd, parts, 2, fds, nfds);
	size_t got = n > 0 ? (size_t)n : 0;
	size_t of_body = got > HEAD ? got - HEAD : 0;
	enum rc rc = RC_OK;

	if (n < 0)
		return err_sys(e, "receive from a channel");
	if (got < HEAD)
		rc = get_exactly(fd, head + got, HEAD - got, e);
	if (rc == RC_OK && get_le16(head + 6) != *nfds)
		rc = err_set(e, RC_INVALID, "a frame without its descriptors");
	if (rc == RC_OK)
		rc = get_exactly(fd, to + of_body, body.len - of_body, e);
	return rc;
}

static enum rc get_frame(int fd, unsigned *type, struct buf *body, int *fds, size_t *nfds,
                         struct err *e)
{
	uint8_t head[HEAD];
	enum rc rc = peek_head(fd, head, e);
	size_t len;

	if (rc != RC_OK)
		return rc;
	len = get_le32(head);
	*type = get_le16(head + 4);
	buf_clear(body);
	if (buf_reserve(body, len) != RC_OK)
		return err_set(e, RC_INVALID, "a frame of %zu bytes", len);
	rc = get_both(fd, head, slice_of(body->at, len), fds, nfds, e);
	if (rc != RC_OK)
		return rc;
	body->len = len;
	body->at[len] = '\0';
	return RC_OK;
}

enum rc channel_get(int fd, unsigned *type, struct buf *body, int fds[CHANNEL_FDS], size_t *nfds,
                    struct err *e)
{
	enum rc rc;

	for (size_t i = 0; i < CHANNEL_FDS; i++)
		fds[i] = -1;
	*nfds = 0;
	rc = get_frame(fd, type, body, fds, nfds, e);
	if (rc != RC_OK) {
		close_all(fds, *nfds);
		*nfds = 0;
	}
	return rc;
}
