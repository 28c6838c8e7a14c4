/*
 * smtp/client.h - RFC 5321, the sending side, and LMTP (RFC 2033), as a core without I/O
 *
 * What     Bytes in (smtp_client_input), bytes out (smtp_client_output); what happens is told by struct
 *          smtp_client_ops. One object a connection, any number of transactions one after the other over it.
 * Life     new -> (the server's greeting) -> ops.starttls, if there is TLS to start -> ops.ready -> smtp_client_send
 *          -> ops.ended, ops.ready -> ... -> smtp_client_quit -> ops.closed. ops.closed comes once, last, whatever
 *          happens, but for smtp_client_free. A transaction that is under way then has got its ops.ended first.
 * Inside   Ops come from smtp_client_input, _output_sent, _tls_started, _send, _quit and _lost, never nested: a call
 *          made within an op returns at once, and what follows from it comes when the op has returned. An op may call
 *          everything but smtp_client_free and smtp_client_input.
 * Results  One for each recipient, in order. The server refused it: that reply. It took it: the reply to the end of
 *          the message (LMTP: the recipient's own). Some refused, others not: the rest is delivered. All refused: no
 *          body is sent. Never done without a 2xx reply that came after the final dot had left.
 * Twice    A connection that ends between the final dot and its reply gives SMTP_LATER, as nobody can know whether
 *          the message was taken: the repetition that follows may be a second copy (RFC 5321 section 4.5.4.1; RFC
 *          1047). The text says so.
 * Hostile  Every byte of the server. A reply that isn't one, has lines of different codes, is too long, comes before
 *          its command was sent or without one: nothing more is believed, what is undecided becomes SMTP_LATER, and
 *          closed. A 421 at any time does the same with the server's text; a 4xx or 5xx inside the body is taken for
 *          the reply to it, and closed. Texts are cut and cleaned.
 * TLS      Nothing that was said before the handshake is remembered behind it (capabilities), and bytes that come in
 *          the clear behind the 220 end the connection (CVE-2011-0411). Credentials go out inside TLS, or where
 *          config.auth_clear is set.
 * Bytes    The message goes out as it is, dots stuffed, with two exceptions that RFC 5321 section 2.3.8 asks for and
 *          that mm only has in mail of ingress points with BareNewlines KEEP: a bare LF becomes CRLF, a bare CR a
 *          blank, as with Postfix (cleanup_replace_stray_cr_lf, smtpd_forbid_bare_newline). mm's own parser sees
 *          lines in the same places, so what rules judged is what arrives; a CR that was made a line end could end
 *          the header early. Passed on unchanged they are the smuggling of 2023, and large receivers refuse them. A
 *          signature over such bytes is lost; what is to be signed goes through smtp_client_make_plain first. A last
 *          line without CRLF gets one.
 * Eight    There is no downgrade: 8-bit content to a server without 8BITMIME is SMTP_NEVER 5.6.1; a UTF-8 address to
 *          one without SMTPUTF8 5.6.7 (that recipient alone, if it is one's), a UTF-8 header of mail that came with
 *          SMTPUTF8 5.6.9 (but by LMTP: a mailbox is the end of the way, and Dovecot 2.3 has no SMTPUTF8).
 *          Re-encoding would change signed bytes. What is lost: such mail to such servers (8-bit bodies Postfix would
 *          send as quoted-printable); its sender is told.
 * Left out NOTIFY, ORCPT, RET and ENVID where the server has no DSN: it tells of failures only, by its own will. Who
 *          wants to be told of success is told by the owner then (smtp_result.dsn; RFC 3461 section 5.2.2).
 * Threads  One client is used by one thread at a time.
 * Limits   base/limits.h: LIMIT_SMTP_RECIPIENTS a transaction, LIMIT_SMTP_REPLY_LINE, LIMIT_SMTP_REPLY_LINES. Memory:
 *          a line, 48 KiB of output, the results; the message stays the owner's.
 */
#ifndef MM_SMTP_CLIENT_H
#define MM_SMTP_CLIENT_H

#include "base/buf.h"

#define SMTP_RESULT_TEXT 400

struct smtp_client;

enum smtp_client_tls {
	SMTP_CLIENT_TLS_NEVER,
	SMTP_CLIENT_TLS_MAY,  /* where it is offered; a server that then refuses gets it in the clear */
	SMTP_CLIENT_TLS_MUST, /* not offered or refused for good: SMTP_SET_UP 5.7.10; refused for now: SMTP_LATER */
	SMTP_CLIENT_TLS_ON,   /* implicit TLS, already on */
};

struct smtp_client_config {
	const char *hostname; /* of EHLO: a domain, or an address literal with its brackets */
	bool lmtp;
	enum smtp_client_tls tls;
	const char *user; /* AUTH PLAIN or LOGIN, whichever is offered; NULL: none */
	const char *password;
	bool auth_clear; /* AUTH also outside TLS (loopback) */
};

/* As enum outbound_end (ingest/outbound.h). */
enum smtp_end {
	SMTP_DONE,   /* 2xx */
	SMTP_LATER,  /* 4xx, connection lost, nonsense; 552 5.5.3 to RCPT (too many recipients) */
	SMTP_NEVER,  /* 5xx, or found out without asking the server (code 0) */
	SMTP_SET_UP, /* AUTH refused or not offered, 530, 534, 535, 538; no TLS with TLS_MUST; no LHLO */
};

struct smtp_result {
	enum smtp_end end;
	bool dsn;          /* SMTP_DONE: the server has DSN, and with NOTIFY the duty to tell */
	unsigned code;     /* of the server; 0: it gave no reply to this */
	char enhanced[12]; /* "5.1.1": the server's if its class is the code's, else ours ("5.0.0") */
	char text[SMTP_RESULT_TEXT]; /* printable ASCII: the lines of the reply, joined by blanks, without codes */
};

struct smtp_client_rcpt {
	const char *address; /* local@domain, or "postmaster" */
	const char *notify;  /* "NEVER", "SUCCESS,FAILURE,DELAY"...; NULL: none */
	const char *orcpt;   /* "type;address", the address decoded; NULL: none */
};

/* All of it stays in place until ops.ended. */
struct smtp_client_mail {
	const char *mail_from; /* "" for <> */
	const char *ret;       /* "FULL", "HDRS" or NULL */
	const char *envid;     /* decoded; NULL: none */
	bool smtputf8;         /* it came with SMTPUTF8 */
	bool eight_bit;        /* bytes above 127 in the message */
	const struct smtp_client_rcpt *rcpts;
	size_t count;         /* 1 to LIMIT_SMTP_RECIPIENTS */
	struct slice message; /* header and body, CRLF line ends, dots not stuffed */
};

struct smtp_client_ops {
	/* 220 to STARTTLS came: do the handshake (conn_tls_connect), then smtp_client_tls_started; or, where it fails,
	 * smtp_client_lost. May be NULL with TLS_NEVER and TLS_ON. */
	void (*starttls)(void *app, struct smtp_client *c);
	/* A transaction may begin: smtp_client_send or _quit, now or later. */
	void (*ready)(void *app, struct smtp_client *c);
	/* The transaction is over. `results` live for the call. */
	void (*ended)(void *app, struct smtp_client *c, const struct smtp_result *results, size_t count);
	/* No transaction will begin any more; close the connection once the output is sent. `why` is NULL after
	 * smtp_client_quit, else what holds for mail that still waits for this connection. A 5xx instead of the
	 * greeting, or to EHLO and HELO, is SMTP_LATER, but 521 (RFC 7504) SMTP_NEVER: that host doesn't want to,
	 * another MX may, and Postfix (smtp_skip_5xx_greeting) and Exim judge the same. */
	void (*closed)(void *app, struct smtp_client *c, const struct smtp_result *why);
};

/* `c` (with its strings) and `ops` must live as long as the client. */
struct smtp_client *smtp_client_new(const struct smtp_client_config *c, const struct smtp_client_ops *ops, void *app);
/* What is under way ends without ops. NULL is fine. */
void smtp_client_free(struct smtp_client **c);

/* Takes all of the bytes. */
void smtp_client_input(struct smtp_client *c, struct slice bytes);
/* Stays in place until the next call that isn't const. */
struct slice smtp_client_output(const struct smtp_client *c);
void smtp_client_output_sent(struct smtp_client *c, size_t n);
/* True when the connection is to be closed once the output is sent (it may be a QUIT). */
bool smtp_client_closing(const struct smtp_client *c);

/* Only after ops.ready, one of them for each; after ops.closed they do nothing. */
void smtp_client_send(struct smtp_client *c, const struct smtp_client_mail *m);
void smtp_client_quit(struct smtp_client *c);
/* Only after ops.starttls: the handshake is done, EHLO is said again. */
void smtp_client_tls_started(struct smtp_client *c);
/* The connection is gone, or the owner gives up on it (a deadline: "4.4.2", a certificate: "4.7.5"): SMTP_LATER for
 * what is undecided, and closing with nothing left to send. Nothing happens if it is closed already. */
void smtp_client_lost(struct smtp_client *c, const char *enhanced, const char *text);

/* What is waited for; RFC 5321 section 4.5.3.2 has the times. */
enum smtp_client_phase {
	PHASE_GREETING, /* 5 minutes */
	PHASE_HELLO,    /* the reply to EHLO, HELO, LHLO */
	PHASE_STARTTLS, /* the reply to STARTTLS */
	PHASE_TLS,      /* smtp_client_tls_started */
	PHASE_AUTH,
	PHASE_READY,    /* smtp_client_send or _quit */
	PHASE_ENVELOPE, /* replies to RSET, MAIL and RCPT: 5 minutes each; to DATA: 2 */
	PHASE_BODY,     /* the output is taken: 3 minutes a block */
	PHASE_END,      /* the reply to the final dot, which has left: 10 minutes */
	PHASE_QUIT,
	PHASE_CLOSED,
};
enum smtp_client_phase smtp_client_phase(const struct smtp_client *c);
/* For deadlines: whole replies read and handshakes done so far (a peer that sends a byte now and then doesn't move it),
 * and the bytes of this transaction's body that were sent so far, dots included. */
uint64_t smtp_client_steps(const struct smtp_client *c);
uint64_t smtp_client_body_sent(const struct smtp_client *c);

/* Facts about the server, from its last EHLO. */
enum smtp_client_has {
	SMTP_HAS_PIPELINING = 1,
	SMTP_HAS_SIZE = 2,
	SMTP_HAS_8BITMIME = 4,
	SMTP_HAS_SMTPUTF8 = 8,
	SMTP_HAS_DSN = 16,
	SMTP_HAS_STARTTLS = 32,
	SMTP_HAS_AUTH_PLAIN = 64,
	SMTP_HAS_AUTH_LOGIN = 128,
	SMTP_HAS_ENHANCED = 256,
};
unsigned smtp_client_has(const struct smtp_client *c);
bool smtp_client_tls(const struct smtp_client *c);

/* True when the message goes out byte for byte: no bare CR or LF, and CRLF at its end. */
bool smtp_client_plain(struct slice message);
/* What goes out for it, dots not stuffed, is added. */
enum rc smtp_client_make_plain(struct buf *out, struct slice message) MUST_USE;

#endif
