/*
 * smtp/session.h - the inside of a session, for the files of smtp/ only
 *
 * Invariants
 *  T1  `transaction` is true from the call of ops.mail until smtp_transaction_end, which is the only
 *      code that clears it and that calls ops.reset.
 *  T2  `state` changes in smtp_session_enter only, along next_states[].
 *  T3  While `waiting` is not WAIT_NOTHING no input is read.
 *  T4  A command gets exactly one reply, in the order of the commands. The 421 that closes is the
 *      only reply without a command.
 *  T5  ops.body_end is called only for a body that is whole, within the limit, and free of bare CR,
 *      LF and NUL unless keep_bare.
 *
 * Life of a transaction        moved by
 *  READY -> MAIL               smtp_answer to MAIL
 *  MAIL  -> RCPT               smtp_answer to RCPT
 *  RCPT  -> DATA               smtp_answer_begin
 *  RCPT, BDAT -> CHUNK         smtp_answer_begin, command_bdat
 *  CHUNK -> BDAT               the chunk's last byte; its command had no LAST
 *  any   -> READY              smtp_transaction_end
 */
#ifndef MM_SMTP_SESSION_H
#define MM_SMTP_SESSION_H

#include "smtp/data.h"
#include "smtp/server.h"

#define SMTP_HELO_BYTES 255

enum smtp_state {
	STATE_START,   /* no greeting yet */
	STATE_GREETED, /* no EHLO yet */
	STATE_READY,
	STATE_MAIL,
	STATE_RCPT,
	STATE_DATA,  /* a body is read, or its end is being answered */
	STATE_CHUNK, /* octets of a BDAT are read, or its end is being answered */
	STATE_BDAT,  /* between two chunks */
	STATE_AUTH,  /* the next line is a response to 334 */
	STATE_TLS,   /* 220 was given: nothing is read until the handshake is done */
	STATE_CLOSED,
};

enum smtp_waiting {
	WAIT_NOTHING,
	WAIT_MAIL,
	WAIT_RCPT,
	WAIT_BEGIN,
	WAIT_END,
	WAIT_AUTH,
};

enum smtp_auth_step { AUTH_IDLE, AUTH_PLAIN, AUTH_LOGIN_USER, AUTH_LOGIN_PASSWORD };

/* A reply that is given after the octets of its chunk. */
struct smtp_refusal {
	unsigned code; /* 0: none */
	char enhanced[12];
	char text[128];
};

struct smtp_session {
	const struct smtp_config *config;
	const struct smtp_server_ops *ops;
	void *app;
	enum smtp_state state;
	enum smtp_waiting waiting;
	struct buf out;
	uint64_t steps;
	unsigned errors;
	unsigned junk;
	/* the line that isn't whole yet */
	struct buf line;
	size_t skipped;      /* bytes of a line that was too long; 0: not skipping */
	uint8_t skipped_last;
	bool skipped_chunk;  /* it began like a BDAT */
	/* facts about the peer */
	char helo[SMTP_HELO_BYTES + 1];
	uint8_t helo_len;
	bool esmtp;
	bool tls;
	bool authenticated;
	enum smtp_auth_step auth_step;
	struct buf auth; /* the user of LOGIN while its password is asked for */
	/* the transaction */
	bool transaction;
	bool smtputf8;
	unsigned rcpts;       /* accepted */
	unsigned rcpts_tried; /* refused ones too */
	unsigned rcpts_over;  /* refused for the limit */
	/* its body */
	bool chunked; /* it comes by BDAT */
	struct smtp_data data;
	uint64_t body_bytes;
	bool body_dropped; /* it can't be accepted: the app gets no more of it */
	bool body_held;    /* the app has enough for now */
	/* the chunk */
	uint64_t chunk_bytes;
	uint64_t chunk_left;
	bool chunk_last;
	enum smtp_state chunk_back; /* the state behind a refused chunk */
	struct smtp_refusal chunk_refusal;
};

#define IN(state) (1u << STATE_##state)

/* session.c */
void smtp_session_enter(struct smtp_session *s, enum smtp_state next);
/* Ends the transaction if there is one; `accepted` only from smtp_answer_accepted. */
void smtp_transaction_end(struct smtp_session *s, bool accepted);
/* Ends the transaction and takes no more input. */
void smtp_session_close(struct smtp_session *s);

/* reply.c. Text is cut and cleaned to one line of ASCII; `enhanced` may be NULL. */
void smtp_reply(struct smtp_session *s, unsigned code, const char *enhanced, const char *text);
/* A line that is not the last of its reply. */
void smtp_reply_more(struct smtp_session *s, unsigned code, const char *text);
/* The reply to a command that failed; counts it, and closes at the limit or for a 421. */
void smtp_refuse(struct smtp_session *s, unsigned code, const char *enhanced, const char *text);
/* A reply to a command that brings no message nearer. */
void smtp_reply_junk(struct smtp_session *s, unsigned code, const char *enhanced,
                     const char *text);
void smtp_reply_greeting(struct smtp_session *s);
void smtp_reply_final(struct smtp_session *s, const char *enhanced, const char *text); /* 421 */

/* command.c */
void smtp_command(struct smtp_session *s, struct slice line);
/* True when a command that is allowed in the states of the mask may not run now; the reply to that
 * is in the refusal. `clear`: also before TLS where TLS is required. */
bool smtp_command_refused(const struct smtp_session *s, unsigned allowed, bool clear,
                          struct smtp_refusal *why);
void smtp_refusal_set(struct smtp_refusal *r, unsigned code, const char *enhanced,
                      const char *text);

/* command_*.c */
void smtp_command_ehlo(struct smtp_session *s, struct slice args);
void smtp_command_helo(struct smtp_session *s, struct slice args);
void smtp_command_starttls(struct smtp_session *s, struct slice args);
void smtp_command_auth(struct smtp_session *s, struct slice args);
void smtp_command_mail(struct smtp_session *s, struct slice args);
void smtp_command_rcpt(struct smtp_session *s, struct slice args);
void smtp_command_data(struct smtp_session *s, struct slice args);
void smtp_command_bdat(struct smtp_session *s, struct slice args);
void smtp_command_rset(struct smtp_session *s, struct slice args);
void smtp_command_noop(struct smtp_session *s, struct slice args);
void smtp_command_help(struct smtp_session *s, struct slice args);
void smtp_command_vrfy(struct smtp_session *s, struct slice args);
void smtp_command_expn(struct smtp_session *s, struct slice args);
void smtp_command_quit(struct smtp_session *s, struct slice args);

/* command_auth.c */
void smtp_auth_line(struct smtp_session *s, struct slice line);
void smtp_auth_forget(struct smtp_session *s);

/* body.c: what DATA and BDAT share */
void smtp_body_begin(struct smtp_session *s, bool chunked);
void smtp_body_take(struct smtp_session *s, struct slice run);
/* The body is whole: asks ops.body_end, or refuses. */
void smtp_body_finish(struct smtp_session *s);
/* Replies to a body that can't be accepted any more and ends the transaction; false: it is good. */
bool smtp_body_refused(struct smtp_session *s);

/* command_data.c, command_bdat.c: body bytes; how many were taken. */
size_t smtp_data_input(struct smtp_session *s, struct slice bytes);
size_t smtp_chunk_input(struct smtp_session *s, struct slice bytes);
void smtp_chunk_begin(struct smtp_session *s); /* after smtp_answer_begin said yes */
/* The chunk's octets are dropped, then the refusal is given. */
void smtp_chunk_drop(struct smtp_session *s);

#endif
