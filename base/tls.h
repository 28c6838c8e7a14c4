/*
 * base/tls.h - TLS by OpenSSL: contexts made from PEM text, and one connection's state
 *
 * What     TLS 1.2 and 1.3, AEAD suites with forward secrecy only, the server's preference, no
 *          compression, no renegotiation. Tickets are bound to the listener: a session of another
 *          listener isn't resumed. Where a client certificate is required, none is: each connection's is
 *          judged by the trust store as it is then.
 * Why text A confined process has no files; who has them reads them.
 * Reload   Make a new context and use it for new connections; the old one lives until its last
 *          connection ends (references are counted).
 * Fails    RC_INVALID when a certificate or key is not usable, with OpenSSL's reason.
 * Threads  A context may be used by several threads; a struct tls by one.
 */
#ifndef MM_BASE_TLS_H
#define MM_BASE_TLS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/tls_trust.h"

struct tls_context;
struct tls;

/* A TLSA record (RFC 6698): its three numbers and its data. */
enum tls_usage { TLS_DANE_TA = 2, TLS_DANE_EE = 3 };

struct tls_tlsa {
	uint8_t usage;
	uint8_t selector;
	uint8_t matching;
	struct slice data;
};

/* How a mail server is known by DNS (RFC 7672). Records of usage 2 and 3 count; of 3 neither name nor date is
 * checked, of 2 the name is one of these two. */
struct tls_dane {
	const char *base; /* the records' host; also for SNI */
	const char *also; /* the domain that it serves; NULL: none */
	const struct tls_tlsa *records;
	size_t count;
};

struct tls_cert {
	struct slice chain; /* PEM: the certificate, then the intermediate ones */
	struct slice key;   /* PEM, not encrypted */
};

enum tls_io {
	TLS_DONE,       /* *n bytes */
	TLS_WANT_READ,  /* go on when the descriptor is readable */
	TLS_WANT_WRITE, /* ... writable */
	TLS_CLOSED,     /* close_notify, or the peer went without it */
	TLS_FAILED,     /* tls_reason says why */
};

/* Once, before threads and before a sandbox: no configuration file is read, the random generator
 * is seeded. Aborts when OpenSSL can't start. */
void tls_init(void);
/* The first certificate is for clients without SNI or with an unknown name; else the first that is
 * valid for the name. `bound_to` names the listener (any length, hashed). count >= 1. */
enum rc tls_server_new(struct tls_context **out, const struct tls_cert *certs, size_t count,
		       struct slice bound_to, struct err *e) MUST_USE;
/* Before the first connection: a client must show a certificate that `trust` finds good, or the handshake
 * fails. Takes its own reference. No names of CAs are told to clients. */
void tls_server_require(struct tls_context *t, struct tls_trust *trust);
/* For a client. `trust` is PEM; empty: the peer isn't verified (opportunistic TLS). */
enum rc tls_client_new(struct tls_context **out, struct slice trust, struct err *e) MUST_USE;
struct tls_context *tls_context_ref(struct tls_context *t);
void tls_context_free(struct tls_context **t); /* drops this reference; NULL is fine */

/* The descriptor is non-blocking and stays the caller's. */
struct tls *tls_server(struct tls_context *t, int fd);
struct tls *tls_client(struct tls_context *t, int fd, const char *host);
/* By the records alone, whatever the context trusts. Where none of them is of use, the peer isn't verified (RFC 7672
 * section 2.2). */
struct tls *tls_client_dane(struct tls_context *t, int fd, const struct tls_dane *d);
void tls_free(struct tls **t);
enum tls_io tls_handshake(struct tls *t);
enum tls_io tls_read(struct tls *t, void *to, size_t room, size_t *n);
enum tls_io tls_write(struct tls *t, struct slice s, size_t *n);
void tls_notify_close(struct tls *t); /* best effort */
const char *tls_version(const struct tls *t);
const char *tls_cipher(const struct tls *t);
/* Adds the peer's certificate (DER), if it had to show one. */
enum rc tls_peer(const struct tls *t, struct buf *der) MUST_USE;
bool tls_resumed(const struct tls *t);
const char *tls_reason(const struct tls *t);

#endif
