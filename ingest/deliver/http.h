/*
 * ingest/deliver/http.h - HTTP requests of a confined child, many at a time, on the loop
 *
 * What     libcurl's multi interface on base/loop. Connections are kept and used again. No redirect, no proxy,
 *          no cookies, no other protocol than the request names, and no name is looked up: who asks gives the
 *          addresses.
 * TLS      1.2 at least; certificates are checked against the CAs given, for the host's name.
 * Bounds   An answer is a status, a head of at most HTTP_HEAD bytes and a body of at most `most`; what is
 *          longer ends the connection there. 10 s to connect, 60 s without a byte, and the deadline.
 * Trust    All that an answer holds is the server's: any bytes.
 * Owner    What a request points to lives until it has ended, but for what http_ask says is copied.
 * Threads  The loop's. curl_global_init and http_new come before the sandbox.
 */
#ifndef MM_INGEST_DELIVER_HTTP_H
#define MM_INGEST_DELIVER_HTTP_H

#include "base/loop.h"
#include "base/sigv4.h"

#define HTTP_HEAD 65536
#define HTTP_KEPT 256 /* longest field of an answer that is kept */
#define HTTP_WHY  256

struct http;
struct http_call;

struct http_answer {
	bool answered; /* there is a status, and the body is whole or cut; else `why` says what went wrong */
	bool cut;      /* the body was longer than `most` */
	unsigned status;
	struct slice body;
	const char *kept; /* the field that was asked for, printable ASCII; "" without */
	const char *why;  /* printable ASCII */
};

struct http_ask { /* copied but for `body` */
	bool tls;
	const char *host; /* a name, or an address as it stands in a URL ("[2001:db8::1]") */
	uint16_t port;
	const char *addresses; /* of the host: "192.0.2.1,[2001:db8::1]"; not looked at where `host` is an address */
	const char *method;
	const char *target; /* path and query, escaped: printable ASCII without "#" */
	const struct http_field *fields; /* beside Host and Content-Length */
	size_t count;
	struct slice body;
	size_t most;
	int64_t deadline_ms; /* of the whole request */
	const char *kept;    /* a field's name, in any case; NULL: none */
	/* Once, never within http_ask; the answer lives for the call, and the call is gone afterwards. http_ask and
	 * http_drop of others may be called. */
	void (*ended)(void *arg, const struct http_answer *a);
	void *arg;
};

/* `ca`: PEM certificates, which live as long as it does. NULL: libcurl doesn't start. */
struct http *http_new(struct loop *l, struct slice ca);
void http_free(struct http **h); /* what is under way ends without `ended`; NULL is fine */

/* NULL: it can't be sent (a control character in a field, a target that is none, too long), and `ended` doesn't
 * come. */
struct http_call *http_ask(struct http *h, const struct http_ask *a);
/* Without `ended`. NULL is fine. */
void http_drop(struct http_call **c);

/* GET https://HOST[:PORT]PATH from one of `addresses`, its certificate checked for HOST: what a policy of MTA-STS
 * (RFC 8461 section 3.3) is fetched by. Whether its status is 200, it isn't cut, and its type (`kept`) is
 * text/plain is the caller's to check. NULL as above. */
struct http_call *http_get(struct http *h, const char *host, uint16_t port, const char *addresses, const char *path,
			   size_t most, int64_t deadline_ms,
			   void (*ended)(void *arg, const struct http_answer *a), void *arg);

#endif
