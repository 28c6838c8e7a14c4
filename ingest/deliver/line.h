/*
 * ingest/deliver/line.h - a connection to one of a route's servers, and SMTP or LMTP over it
 *
 * What     Tries the servers of a route, address after address, until one lets a transaction begin: connects, does
 *          TLS as the target and the route demand, greets. Behind that it stays with that server, for any number of
 *          transactions.
 * TLS      MX: unverified where nothing else is demanded, and, where a handshake fails, in the clear over a new
 *          connection (RFC 7435); by the TLSA records (DANE), or verified (MTA-STS), where there are such, and else
 *          not at all. Host: as it says.
 * Times    Those of RFC 5321 section 4.5.3.2 for each step; and all together, before the first transaction and in
 *          each, `deadline_ms`: who sends a byte a second holds it no longer.
 * Owner    `place`, the target and the ops outlive it. line_free may be called in `over` alone, or outside of all.
 * Threads  The loop's.
 */
#ifndef MM_INGEST_DELIVER_LINE_H
#define MM_INGEST_DELIVER_LINE_H

#include "base/loop.h"
#include "base/tls.h"
#include "ingest/deliver/route.h"
#include "ingest/outbound.h"

struct line;

struct line_place {
	struct loop *loop;
	const struct outbound_settings *settings;
	const char *hostname;
	struct tls_context *any;      /* whoever it is */
	struct tls_context *verified; /* NULL: there are no CAs */
};

struct line_target {
	bool mx;
	uint16_t port;
	enum outbound_tls tls; /* host */
	bool lmtp;
	const char *user; /* NULL: none */
	const char *password;
};

struct line_ops {
	/* A transaction may begin: line_send or line_quit, now or later. */
	void (*ready)(void *arg, struct line *l);
	void (*ended)(void *arg, struct line *l, const struct smtp_result *results, size_t count);
	/* It is through, and no transaction is under way. `why` holds for what waits for it; NULL after line_quit. */
	void (*over)(void *arg, struct line *l, const struct smtp_result *why);
};

struct line *line_new(const struct line_place *p, const struct line_target *t, struct route *r,
		      const struct line_ops *ops, void *arg);
void line_free(struct line **l); /* at once; NULL is fine */
/* All of it stays in place until `ended`. */
void line_send(struct line *l, const struct smtp_client_mail *m);
void line_quit(struct line *l);

bool line_was_ready(const struct line *l);
/* A transaction may begin. Not any more when the server has gone, before `over` says so. */
bool line_is_ready(const struct line *l);
/* Nothing came back since line_send: the server may have gone before it. */
bool line_is_stale(const struct line *l);
const char *line_host(const struct line *l); /* who was spoken to last; "" before */
const char *line_tls(const struct line *l);  /* "TLSv1.3", or "" */

#endif
