/*
 * smtp/server.h - RFC 5321, the receiving side, as a core without I/O
 *
 * What     Bytes in (smtp_session_input), bytes out (smtp_session_output); questions about policy and
 *          storage are asked through struct smtp_server_ops and answered now or later by the
 *          smtp_answer_* calls. One session object a connection, one transaction at a time in it.
 * Why      A unit test, a fuzzer, a simulation and the event loop drive the same object.
 * Waiting  An op that isn't answered yet leaves its command in front; later (pipelined) input waits
 *          behind it, unparsed. smtp_session_wants_input tells the loop whether to read on.
 * 250      The end of data is answered positively by smtp_answer_accepted alone, which demands the
 *          proof that only a sync returns (base/file.h).
 * Reset    One function ends a transaction, and every exit calls it: each reply to the end of data
 *          or of the last BDAT, RSET, EHLO, HELO, STARTTLS, an aborted body, the close. So each
 *          ops.mail is followed by exactly one smtp_answer_accepted or one ops.reset.
 * Inside   An op may answer within its call, never free the session there. ops.reset may come out of
 *          an answer, of smtp_session_input, _timeout or _free; once it came, the question that was
 *          open needs no answer (one that still comes to a closed session is ignored).
 * Threads  One session is used by one thread at a time.
 * Limits   base/limits.h and struct smtp_limits. A session holds at most a line, its replies and
 *          its envelope in memory; body bytes go straight to the op.
 */
#ifndef MM_SMTP_SERVER_H
#define MM_SMTP_SERVER_H

#include "base/buf.h"
#include "base/file.h"

enum smtp_tls { SMTP_TLS_NONE, SMTP_TLS_OFFERED, SMTP_TLS_REQUIRED, SMTP_TLS_ON };

struct smtp_limits {
	uint64_t message_bytes; /* announced as SIZE */
	unsigned recipients;    /* then 452 4.5.3 */
	unsigned errors;        /* 4xx/5xx replies to commands, then 421 4.7.0 and close */
	unsigned junk;          /* NOOP, RSET, VRFY, HELP... without a message, then the same */
	/* 0 in any of these but message_bytes: no such limit. An accepted message sets both counters
	 * back. */
};

struct smtp_config {
	const char        *hostname; /* in the greeting */
	struct smtp_limits limits;
	enum smtp_tls      tls;          /* NONE: not offered; ON: implicit TLS, already on */
	bool               auth;         /* AUTH is offered (inside TLS only) and MAIL needs it */
	bool               keep_bare;    /* BareNewlines KEEP: bare CR, LF, NUL are content */
	bool               odd_local;    /* unquoted % and ! in a recipient's local part are allowed */
};

/* A path of MAIL or RCPT. `local` and `domain` are as given (quotes of a quoted local part kept). */
struct smtp_path {
	struct slice address; /* local@domain without brackets or source route; empty for <> */
	struct slice local;
	struct slice domain;  /* "[192.0.2.1]" for a literal; empty for <postmaster> */
};

/* Parameters of MAIL and RCPT that are kept beside the message. */
struct smtp_mail_params {
	uint64_t     size;     /* 0: not given */
	bool         smtputf8;
	struct slice body;     /* "7BIT", "8BITMIME" or empty */
	struct slice ret;      /* "FULL", "HDRS" or empty */
	struct slice envid;    /* decoded xtext */
	struct slice auth;     /* decoded xtext, RFC 4954 section 5 */
};
struct smtp_rcpt_params {
	struct slice notify; /* as given, checked: "NEVER" or a list */
	struct slice orcpt;  /* "type;address", the address decoded */
};

struct smtp_session;

/* Slices live for the call. Each of these must be answered exactly once, within the call or later,
 * by the answer that is named. */
struct smtp_server_ops {
	void (*mail)(void *app, struct smtp_session *s, const struct smtp_path *from,
		     const struct smtp_mail_params *p);                     /* smtp_answer */
	void (*rcpt)(void *app, struct smtp_session *s, const struct smtp_path *to,
		     const struct smtp_rcpt_params *p);                     /* smtp_answer */
	/* DATA was given, or the first BDAT: may a body begin?                smtp_answer_begin */
	void (*body_begin)(void *app, struct smtp_session *s);
	/* Body bytes, dots unstuffed. Answered at once by the result: RC_OK, or another code that makes
	 * the end of data be refused with 452 4.3.1 (the rest of the body is read and dropped). */
	enum rc (*body)(void *app, struct smtp_session *s, struct slice bytes);
	/* The end of data.                       smtp_answer_accepted or smtp_answer_refused */
	void (*body_end)(void *app, struct smtp_session *s);
	/* Told: the message is larger than limits.message_bytes, by smtp_session_body_bytes; it is refused, and
	 * `reset` follows. May be NULL. */
	void (*too_big)(void *app, struct smtp_session *s);
	/* The transaction is over without body_end being accepted: drop what was received. Also called
	 * after a refusal. Not answered. */
	void (*reset)(void *app, struct smtp_session *s);
	/* AUTH with its decoded credentials.                                    smtp_answer_auth */
	void (*auth)(void *app, struct smtp_session *s, struct slice authzid, struct slice user,
		     struct slice password);
	/* 220 to STARTTLS is in the output: after it is sent, do the handshake, discard what was read in
	 * the clear, and call smtp_session_tls_started. Not answered. */
	void (*starttls)(void *app, struct smtp_session *s);
};

struct smtp_session *smtp_session_new(const struct smtp_config *c, const struct smtp_server_ops *ops,
				      void *app); /* `c` must live as long as the session */
void smtp_session_free(struct smtp_session **s);
/* Queues the greeting. Input before it: 554 5.5.0 and close. */
void smtp_session_greet(struct smtp_session *s);
/* Refuses a connection in place of the greeting: 421 with the text. */
void smtp_session_refuse(struct smtp_session *s, const char *enhanced, const char *text);

/* Takes some or all of the bytes and returns how many; the caller keeps the rest until
 * smtp_session_wants_input is true again. */
size_t smtp_session_input(struct smtp_session *s, struct slice bytes) MUST_USE;
bool   smtp_session_wants_input(const struct smtp_session *s);
/* From within ops.body: enough for now. No input is wanted before smtp_session_go_on, or the end of the
 * transaction; what of this input is under way may still come. */
void   smtp_session_hold(struct smtp_session *s);
void   smtp_session_go_on(struct smtp_session *s);
struct slice smtp_session_output(const struct smtp_session *s);
void   smtp_session_output_sent(struct smtp_session *s, size_t n);
/* True when the connection is to be closed once the output is sent. */
bool   smtp_session_closing(const struct smtp_session *s);
void   smtp_session_tls_started(struct smtp_session *s);
/* The loop's deadline passed, or the server stops: 421 (inside a body too) and closing. */
void   smtp_session_timeout(struct smtp_session *s, const char *enhanced, const char *text);

/* Answers. `code` 250, or 4xx/5xx; `enhanced` like "5.7.1"; `text` one line of ASCII. */
void smtp_answer(struct smtp_session *s, unsigned code, const char *enhanced, const char *text);
void smtp_answer_begin(struct smtp_session *s, unsigned code, const char *enhanced,
		       const char *text); /* 354: go on */
void smtp_answer_accepted(struct smtp_session *s, const char *id, const struct durable *proof);
void smtp_answer_refused(struct smtp_session *s, unsigned code, const char *enhanced,
			 const char *text);
void smtp_answer_auth(struct smtp_session *s, bool good);
/* 454 4.7.0: too busy to check. */
void smtp_answer_auth_later(struct smtp_session *s);

/* Facts, for the op's decisions and for what is kept beside the message. */
struct slice smtp_session_helo(const struct smtp_session *s);
bool smtp_session_esmtp(const struct smtp_session *s);
bool smtp_session_authenticated(const struct smtp_session *s);
/* "a bare LF", "a bare CR", "a NUL" seen in this body, or NULL; the session itself answers 550 5.6.0
 * unless keep_bare. */
const char *smtp_session_body_oddity(const struct smtp_session *s);
bool smtp_session_tls(const struct smtp_session *s);
/* For deadlines: commands and chunks read so far (a peer that sends a byte now and then doesn't move
 * it), whether a body is being read, and the bytes of that body so far. */
uint64_t smtp_session_steps(const struct smtp_session *s);
bool     smtp_session_in_body(const struct smtp_session *s);
uint64_t smtp_session_body_bytes(const struct smtp_session *s);
void *smtp_session_app(const struct smtp_session *s);

#endif
