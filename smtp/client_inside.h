/*
 * smtp/client_inside.h - the inside of a client, for smtp/client*.c only
 *
 * Invariants
 *  C1  `phase` becomes PHASE_CLOSED in client_shut and when QUIT is answered only; nothing leaves it.
 *  C2  Ops are called by client_pump only, which never nests.
 *  C3  A reply counts only when its first byte came after the last byte of its command was sent: `began` >= `asked`, in
 *      an envelope >= the place's `ends`.
 *  C4  A recipient becomes SMTP_DONE only in PHASE_END, which begins when the final dot was sent.
 *  C5  Each transaction has exactly one DUE_ENDED, when each recipient's fate is FATE_KNOWN or FATE_LOCAL.
 *
 * The commands of a transaction are a script: RSET (where needed), MAIL, a RCPT for each recipient that may be asked
 * for, DATA. `said` is the next to say, `heard` the next whose reply comes. With PIPELINING `said` runs ahead.
 */
#ifndef MM_SMTP_CLIENT_INSIDE_H
#define MM_SMTP_CLIENT_INSIDE_H

#include "base/limits.h"
#include "smtp/client.h"

#define CLIENT_ENOUGH 32768 /* output beyond that is made when this was sent */

enum client_due { DUE_ENDED = 1, DUE_STARTTLS = 2, DUE_READY = 4, DUE_CLOSED = 8 };
enum client_auth { AUTH_ANSWERED, AUTH_WANTS_PLAIN, AUTH_WANTS_USER, AUTH_WANTS_PASSWORD };
enum client_fate {
	FATE_OPEN,  /* RCPT isn't answered */
	FATE_TAKEN, /* 2xx to RCPT */
	FATE_KNOWN, /* its result stands */
	FATE_LOCAL, /* its result stands, and it isn't asked for */
};
/* PLACE_RCPT + i is recipient i; the place behind the last one is DATA. */
enum client_place { PLACE_RSET, PLACE_MAIL, PLACE_RCPT };

struct client_script {
	const struct smtp_client_mail *m;
	struct smtp_result *results;
	enum client_fate *fates;
	uint64_t ends[LIMIT_SMTP_RECIPIENTS + 3]; /* of each place's command in the stream of the output */
	size_t said;
	size_t heard;
	size_t awaited; /* commands that were said and not answered */
	bool no_more;   /* nothing more is said */
	bool reset;     /* RSET comes first */
	bool utf8;      /* MAIL says SMTPUTF8 */
	uint64_t bytes; /* as SIZE counts */
	/* the body */
	size_t body_at;
	bool line_begins;
	bool dot_said;
	uint64_t body_sent;
};

struct smtp_client {
	const struct smtp_client_config *config;
	const struct smtp_client_ops *ops;
	void *app;
	enum smtp_client_phase phase;
	bool inside;  /* an op is being called */
	unsigned due; /* enum client_due */
	struct smtp_result why; /* of closed */
	bool quit;
	/* output */
	struct buf out;
	uint64_t sent;  /* of all output so far */
	uint64_t asked; /* where the last command ends */
	/* the reply that comes in */
	struct buf line;
	struct smtp_result reply;
	size_t reply_text; /* bytes of its text */
	unsigned reply_lines;
	uint64_t began; /* `sent` when its first byte came */
	uint64_t steps;
	/* the server */
	unsigned has;
	uint64_t size_limit; /* 0: none */
	unsigned says;       /* `has` of the reply to EHLO that comes in */
	uint64_t says_limit;
	bool tls;
	bool tls_refused;
	bool helo; /* EHLO was refused */
	bool authenticated;
	enum client_auth auth;
	bool needs_reset; /* a transaction of the server's was left open */
	struct client_script *script; /* NULL: no transaction */
};

/* client.c */
void client_say(struct smtp_client *c, const char *fmt, ...) PRINTF(2, 3);
/* Ends all: undecided recipients get `why`. With `polite` QUIT is said. */
void client_shut(struct smtp_client *c, const struct smtp_result *why, bool polite);
/* The server doesn't speak SMTP: SMTP_LATER 4.5.0. */
void client_nonsense(struct smtp_client *c, const char *text);
void client_result(struct smtp_result *out, enum smtp_end end, const char *enhanced, const char *fmt, ...) PRINTF(4, 5);

/* client_reply.c. A byte as a text may have it. */
uint8_t client_clean(uint8_t c);
/* Takes a line without its end; false: none of a reply, which is whole now if *whole. */
bool client_reply_line(struct smtp_client *c, struct slice line, bool *whole);
void client_reply_forget(struct smtp_client *c);
/* What the reply means for a recipient or for the connection. */
struct smtp_result client_reply_result(const struct smtp_client *c);

/* client_hello.c */
void client_hello(struct smtp_client *c);
void client_capability(struct smtp_client *c, struct slice line);
void client_greeting_heard(struct smtp_client *c);
void client_hello_heard(struct smtp_client *c);
void client_starttls_heard(struct smtp_client *c);
void client_auth_heard(struct smtp_client *c);

/* client_mail.c */
void client_script_begin(struct smtp_client *c, const struct smtp_client_mail *m);
void client_script_free(struct smtp_client *c);
/* Undecided recipients get this. */
void client_script_settle(struct smtp_client *c, const struct smtp_result *r);
void client_envelope_say(struct smtp_client *c);
void client_envelope_heard(struct smtp_client *c);
void client_body_heard(struct smtp_client *c);
void client_end_heard(struct smtp_client *c);

/* client_command.c: the lines of MAIL and RCPT */
void client_say_mail(struct smtp_client *c);
void client_say_rcpt(struct smtp_client *c, const struct smtp_client_rcpt *r);

/* client_body.c */
void client_body_begin(struct smtp_client *c, bool empty);
void client_body_fill(struct smtp_client *c);
/* The message's bytes as they go out, without stuffing. */
uint64_t client_body_bytes(struct slice message);

#endif
