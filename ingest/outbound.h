/*
 * ingest/outbound.h - mail handed to other servers by the sender of mm-deliver
 *
 * What     mmd's side of the sender, a confined child that speaks SMTP and LMTP. One attempt is a message, its
 *          envelope and where to; it comes back with a result for each recipient. Nothing here is kept, tried again
 *          or decided: that is the queue's (ingest/queue).
 * Home     As ingest/scans.h: mm-deliver's home is started before mmd confines itself; the child may connect to the
 *          ports it was made with. Where a relay has another port the child is made anew (outbound_ports).
 * Death    A child that dies or hangs is made again; each attempt that it had ends with OUTBOUND_LATER. That may be
 *          one whose message was taken already: at most one repetition a recipient and death.
 * Trust    The child may have been broken into by a server: its results are codes and texts, checked and sanitised
 *          here (printable ASCII, at most OUTBOUND_TEXT bytes).
 * Threads  The loop's (the queue's thread).
 */
#ifndef MM_INGEST_OUTBOUND_H
#define MM_INGEST_OUTBOUND_H

#include "base/json.h"
#include "base/loop.h"

#define OUTBOUND_TEXT       400
#define OUTBOUND_RECIPIENTS 100

struct home;
struct outbound;

/* A target. MX: of `domain`, with fallback to its addresses, null MX, MTA-STS and DANE; opportunistic TLS. HOST:
 * `host` and `port`, looked up but for address literals. */
enum outbound_route { OUTBOUND_MX, OUTBOUND_HOST };
enum outbound_tls {
	OUTBOUND_TLS_MAY,     /* STARTTLS where it is offered, certificate not checked (RFC 7435) */
	OUTBOUND_TLS_MUST,    /* STARTTLS, certificate checked for the host's name */
	OUTBOUND_TLS_WRAPPED, /* from the first byte, certificate checked */
};

struct outbound_target {
	enum outbound_route route;
	const char *domain; /* MX */
	const char *host;   /* HOST */
	uint16_t port;      /* HOST; MX goes to `send.port` */
	enum outbound_tls tls; /* HOST */
	bool lmtp;
	const char *user;     /* AUTH inside TLS alone, and to loopback; NULL: none */
	const char *password;
};

struct outbound_recipient {
	const char *address;
	const char *notify; /* these as smtp/client.h has them, or NULL; given on where the server has DSN */
	const char *orcpt;
};

struct outbound_mail {
	const struct outbound_target *target;
	const char *mail_from; /* "" for <> */
	const char *ret;
	const char *envid;
	bool smtputf8;
	bool eight_bit; /* bytes above 127 in it */
	const struct outbound_recipient *recipients; /* 1 to OUTBOUND_RECIPIENTS */
	size_t recipient_count;
	int message; /* descriptor of sealed memory, as it is to be sent (CRLF lines); duplicated */
	uint64_t bytes;
};

enum outbound_end {
	OUTBOUND_DONE,   /* 2xx */
	OUTBOUND_LATER,  /* 4xx, no connection, a time-out, a lookup that failed for now */
	OUTBOUND_NEVER,  /* 5xx, no such domain, null MX */
	OUTBOUND_SET_UP, /* our side is wrong: credentials refused, no TLS where it must be, target not allowed */
};

struct outbound_result {
	enum outbound_end end;
	bool dsn;           /* done by a server that has DSN: `notify` was given on, and is its business now */
	unsigned code;      /* of SMTP; 0: there was no reply */
	char enhanced[12];  /* "5.1.1"; where the server gave none, ours */
	char text[OUTBOUND_TEXT]; /* what the server said, or what went wrong */
};

struct outbound_options {
	struct loop *loop;
	struct home *home;
	const json_t *send; /* the configuration's section, checked; may be NULL. The sender has its own, with `dns`
			     * and the hostname, from its home (outbound_home) */
	/* An attempt has ended. `results` is one for each recipient, in order; `host` the server that spoke last, ""
	 * for none; `tls` is "TLSv1.3" or "". All live for the call. */
	void (*ended)(void *arg, uint64_t number, const struct outbound_result *results, size_t count, const char *host,
		      const char *tls);
	void *arg;
};

/* Checks `send` (docs/man/mmd.8.md). */
enum rc outbound_configure(const json_t *send, struct err *e) MUST_USE;
/* The member "sender" of the configuration of a home of mm-deliver that makes senders: a new reference. The sections
 * were checked; each may be NULL, and none is kept. */
json_t *outbound_home(const json_t *send, const json_t *dns, const char *hostname);
/* Such a home, before mmd confines itself; home_stop ends it. `program` NULL: "mm-deliver". RC_NOTFOUND, RC_DENIED:
 * `send.ca` or `dns.trust_anchor` can't be read. */
enum rc outbound_home_start(struct home **out, const json_t *send, const json_t *dns, const char *hostname,
			    const char *program, struct err *e) MUST_USE;
struct outbound *outbound_new(const struct outbound_options *o);
/* What is under way ends without `ended`. NULL is fine. */
void outbound_free(struct outbound **o);
/* The ports of relays and of LMTP; a child that mayn't reach one of them is let finish, and a new one made. */
void outbound_ports(struct outbound *o, const uint16_t *ports, size_t count);
/* Its number, never 0. `ended` comes once, from the loop, never within this call. */
uint64_t outbound_send(struct outbound *o, const struct outbound_mail *m);
/* How many are under way. */
size_t outbound_under_way(const struct outbound *o);

#endif
