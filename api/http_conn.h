/*
 * api/http_conn.h - one connection of mm-httpd: requests one after the other, and their answers
 *
 * What     Reads heads (api/http_head.h) and bodies, has each request handled (api/http_exchange.h), and
 *          writes the answer; then the next. Requests that were sent ahead wait until it is their turn.
 * Limits   A head within 10 s of its first byte, a body at 64 KiB/s or more, 60 s without a request; an
 *          answer taken within 10 s and at 64 KiB/s or more from there on, never 30 s without a byte.
 * Memory   Bodies and answers up to 64 KiB always have room; longer ones have 128 MiB each together, of
 *          which calls from one address (IPv6: its /64) have a quarter: their signature can't be judged
 *          before the body is there.
 * Owner    The connection frees itself when it ends, and takes itself off the list that it was put on.
 * Threads  The loop's.
 */
#ifndef MM_API_HTTP_CONN_H
#define MM_API_HTTP_CONN_H

#include "api/http_call.h"
#include "api/http_keys.h"
#include "base/tls.h"

/* What connections share. */
struct http_site {
	struct loop *loop;
	struct tls_context *tls; /* NULL: in the clear */
	struct http_keys *keys;
	struct http_lanes *lanes;
	struct http_conn *connections;
	unsigned count;
	uint64_t body_bytes; /* of long bodies that are being read or answered */
	uint64_t out_bytes;  /* of long answers that their readers haven't taken */
	bool stopping; /* each answer is the last of its connection */
};

void http_conn_start(struct http_site *s, int fd, const struct ip *from);
/* Those without a request end now, the others behind their answer. */
void http_conns_stop(struct http_site *s);
void http_conns_free(struct http_site *s);
unsigned http_conns_from(const struct http_site *s, const struct ip *from); /* IPv6 by /64 */

/* ---- for who handles a request ---- */

struct http_answer {
	unsigned status;
	const char *type;  /* Content-Type */
	const char *error; /* name of the exception, or NULL */
	const char *more;  /* further header lines, each with its CRLF; or NULL */
	struct slice body;
	uint64_t bytes; /* of a body that follows by http_conn_more; else 0 */
	bool last;      /* the connection ends behind it */
};

/* False for a body above 64 KiB when too many of those wait for their readers already. */
bool http_conn_has_room(const struct http_conn *c, size_t bytes);
/* Exactly one a request, at any time after it was handed over. */
void http_conn_answer(struct http_conn *c, const struct http_answer *a);
/* Of the body that was announced; returns how many bytes were taken. The rest is asked for
 * (http_exchange_resume) when there is room. */
size_t http_conn_more(struct http_conn *c, struct slice bytes);
/* The body is whole; false: it can't be, the connection breaks off. */
void http_conn_end(struct http_conn *c, bool whole);
const struct ip *http_conn_peer(const struct http_conn *c);
struct http_site *http_conn_site(const struct http_conn *c);

#endif
