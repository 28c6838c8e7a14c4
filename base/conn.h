/*
 * base/conn.h - a stream connection on a loop, plain or TLS, with the same callbacks
 *
 * What     Bytes that came in are shown to the owner in place, in the loop's scratch buffer; what he
 *          doesn't take is kept and shown again. Output is the owner's: the connection asks for it
 *          and says how much was sent, so there is one buffer for it and not two.
 * Why      bufferevents cost 20 % of the accept rate (8 more epoll_ctl a message), and copy.
 * TLS      conn_tls_accept sends the output that is waiting, throws away what was read before (RFC
 *          3207 section 4.2), and does the handshake. After that nothing is ever read or sent in
 *          the clear on this connection: close_notify, a missing close_notify and every error of
 *          TLS close it.
 * Memory   An idle connection holds its struct and, with TLS, OpenSSL's. Input that the owner didn't
 *          take is at most CONN_KEPT bytes; it isn't read on until he took it.
 * Owner    Makes and frees it. conn_free may be called in every callback.
 * Threads  The loop's.
 */
#ifndef MM_BASE_CONN_H
#define MM_BASE_CONN_H

#include "base/loop.h"
#include "base/slice.h"
#include "base/tls.h"

#define CONN_KEPT LOOP_SCRATCH

struct conn;

struct conn_ops {
	/* Bytes came in. Returns how many were taken. Less than all: the rest is kept, and nothing is
	 * read on until conn_resume. */
	size_t (*input)(void *arg, struct slice bytes);
	/* What is to be sent; empty for nothing. It must stay in place until `sent` or the next
	 * callback changes it. */
	struct slice (*output)(void *arg);
	void (*sent)(void *arg, size_t n);
	/* The handshake is done. May be NULL where TLS is never started. */
	void (*secured)(void *arg);
	/* The peer has gone, or conn_finish is through. Nothing comes after this; conn_free is still
	 * to be called. `why` is for the log; NULL for an ordinary end. */
	void (*closed)(void *arg, const char *why);
	/* The peer's end of sending ends it at once also while input is kept, which is then lost. */
	bool hangup_ends;
};

/* Takes over the descriptor, which is non-blocking (accept4 with SOCK_NONBLOCK) and has TCP_NODELAY
 * (inherited from the listening socket). Nothing is called before the loop's next round or one of
 * the calls below, each of which may call `closed` before it returns. */
struct conn *conn_new(struct loop *l, int fd, const struct conn_ops *ops, void *arg);
void conn_free(struct conn **c); /* closes at once; NULL is fine */
/* Sends what the owner has for output. Needed only outside of `input`; after it, it is done. */
void conn_send(struct conn *c);
/* Shows kept input again, reads on, and sends. Inside a callback of this connection it does
 * nothing, as all that follows anyway. */
void conn_resume(struct conn *c);
/* Sends the output, says that no more will come (close_notify, FIN), drops what comes in for at most
 * linger_ms, so that the last reply isn't destroyed by a reset, and calls `closed`. 0: don't
 * linger. */
void conn_finish(struct conn *c, int64_t linger_ms);
/* The server's side of a handshake, to be done within the time. */
void conn_tls_accept(struct conn *c, struct tls_context *t, int64_t deadline_ms);
/* The client's side; `host` for SNI and for the name check (NULL: neither). */
void conn_tls_connect(struct conn *c, struct tls_context *t, const char *host, int64_t deadline_ms);

/* The same with a peer that is known by DNS. Nothing in `d` is kept. */
void conn_tls_connect_dane(struct conn *c, struct tls_context *t, const struct tls_dane *d, int64_t deadline_ms);

/* NULL before a handshake was finished. They live as long as the connection. */
const char *conn_tls_version(const struct conn *c); /* "TLSv1.3" */
const char *conn_tls_cipher(const struct conn *c);
/* Adds the certificate that the peer had to show (tls_server_require). */
enum rc conn_tls_peer(const struct conn *c, struct buf *der) MUST_USE;
bool conn_sends(const struct conn *c); /* output is stuck: the peer doesn't read */

#endif
