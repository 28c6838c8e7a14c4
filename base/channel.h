/*
 * base/channel.h - messages with descriptors between mmd and a child
 *
 * What     Frames over a Unix stream socket pair, each a type, a body and up to CHANNEL_FDS
 *          descriptors. A channel on a loop for who has one; blocking calls for who hasn't (a
 *          worker that takes one task after the other).
 * Format   u32 length of the body, u16 type, u16 count of descriptors, body. The descriptors travel
 *          with the first byte of the frame.
 * Fails    A peer that breaks the format, sends more than `limit` or goes away ends the channel:
 *          `closed` is called once. The peer is a child that may have been broken into, so nothing
 *          from it is trusted: bodies are the caller's to check.
 * Threads  The loop's.
 */
#ifndef MM_BASE_CHANNEL_H
#define MM_BASE_CHANNEL_H

#include "base/buf.h"
#include "base/loop.h"

#define CHANNEL_FDS 4

struct channel;

struct channel_ops {
	/* `body` and `fds` live for the call. Who keeps a descriptor puts -1 in its place; what is left
	 * is closed afterwards. channel_free may be called. */
	void (*message)(void *arg, unsigned type, struct slice body, int *fds, size_t nfds);
	void (*closed)(void *arg, const char *why);
};

/* Two ends of a new socket pair, both close-on-exec. */
enum rc channel_pair(int ends[2], struct err *e) MUST_USE;
/* Takes over the descriptor. `limit` is the longest body that is taken from the peer. */
struct channel *channel_new(struct loop *l, int fd, size_t limit, const struct channel_ops *ops,
			    void *arg);
void channel_free(struct channel **c); /* closes; what wasn't sent is dropped; NULL is fine */
/* Queued and sent as soon as the socket takes it. Descriptors are duplicated: the caller's stay his.
 * RC_LIMIT when 256 MiB or 1,000 descriptors are waiting (the peer doesn't read), or there is no
 * descriptor left; RC_IO when the channel has ended. */
enum rc channel_send(struct channel *c, unsigned type, struct slice body, const int *fds,
		     size_t nfds, struct err *e) MUST_USE;
size_t channel_waiting(const struct channel *c); /* bytes that wait to be sent */
/* What waits is sent now as far as the socket takes it, not only in the loop's next round. */
void channel_flush(struct channel *c);
/* What has arrived is delivered now. Not from within `message`. */
void channel_hear(struct channel *c);

/* Blocking, without a loop, on a blocking descriptor. A frame of 4 KiB is sent by one call, and received by one. */
enum rc channel_put(int fd, unsigned type, struct slice body, const int *fds, size_t nfds,
		    struct err *e) MUST_USE;
/* The body replaces what is in `body`, whose limit counts; fds has room for CHANNEL_FDS and gets -1
 * in unused places. RC_NOTFOUND when the peer has closed; RC_INVALID for a broken frame. */
enum rc channel_get(int fd, unsigned *type, struct buf *body, int fds[CHANNEL_FDS], size_t *nfds,
		    struct err *e) MUST_USE;

#endif
