/*
 * ingest/front.h - mmd's side of mm-smtpd
 *
 * What     Binds the listening sockets and keeps them, starts mm-smtpd and starts it again when it
 *          dies, and gives it sockets, configuration and spool files; takes from it what is durable.
 * Why      Connections wait in the sockets that mmd holds while a new mm-smtpd starts: none is
 *          refused. A change of configuration touches only listeners that changed.
 * Trust    mm-smtpd may have been broken into: what it says is checked, what it asks for is bounded,
 *          nonsense ends it.
 * Threads  The loop's, but for the callbacks' own needs. Spool files are made on a thread of the front.
 */
#ifndef MM_INGEST_FRONT_H
#define MM_INGEST_FRONT_H

#include "base/json.h"
#include "base/loop.h"
#include "base/tls.h"
#include "ingest/config.h"
#include "ingest/logs.h"
#include "ingest/spool/spool.h"

struct front;

struct front_ops {
	/* Once: all listeners are open and the first spool file was handed over. */
	void (*ready)(void *arg);
	/* Messages are on disk and can be read from the spool. */
	void (*durable)(void *arg);
	/* To each front_judged: its sender was told 550, or (not `refused`) was not. Not told when mm-smtpd ends
	 * first. */
	void (*answered)(void *arg, const struct message_id *id, bool refused);
	/* What add-ons say of a client: the body of a WIRE_ASK of the mm-smtpd of that life, which is a number. False:
	 * nonsense. front_told follows, perhaps at once. NULL: everything is nonsense. */
	bool (*ask)(void *arg, uint64_t life, struct slice body);
	/* mm-smtpd ended and will be started again, or a spool file can't be made. For the log and the
	 * status; the front goes on by itself. */
	void (*failed)(void *arg, const char *text);
	/* After front_stop: mm-smtpd has ended, everything it wrote is settled. */
	void (*stopped)(void *arg);
};

/* Of the configuration file, "smtp". Zero or NULL: the default. */
struct front_options {
	const char *hostname;      /* NULL: the machine's name */
	const struct tls_cert *certs;
	size_t cert_count;
	unsigned max_connections;  /* 1000 */
	unsigned max_per_address;  /* 50 */
	uint64_t max_message;      /* LIMIT_MESSAGE_BYTES */
	unsigned command_timeout_s; /* 300 */
	unsigned data_timeout_s;    /* 180 */
	unsigned message_timeout_s; /* 3600 */
	unsigned min_rate;          /* 128 bytes a second */
	const char *program;        /* NULL: "mm-smtpd" */
	int64_t ask_ms; /* not of the file: how long mm-smtpd waits for front_told at most; 0: as it likes */
	struct logs *logs; /* not of the file. NULL: how policies judge isn't asked for */
};

struct front_stats {
	uint64_t connections;
	uint64_t accepted; /* these three count from the start of the present mm-smtpd */
	uint64_t refused;
	uint64_t denied;
	unsigned restarts;
};

/* Nothing is started before the first front_configure. `ops` lives as long as the front. tls_init was
 * called. */
struct front *front_new(struct loop *l, struct spool *sp, const struct front_ops *ops, void *arg);
/* All or nothing: binds what is new, then hands over what is new since the last time, of configuration and of
 * address lists' members. `done` (may be NULL) is called when mm-smtpd works with it: connections from then
 * on see it. Takes its own reference to `c`; `opt` lives as long as the front; another `certs` in
 * it are other certificates. RC_INVALID when an
 * ingress point needs TLS and there is no certificate, or a certificate is bad; else as bind(2), naming
 * the ingress point. */
enum rc front_configure(struct front *f, const struct front_options *opt, struct config *c,
			void (*done)(void *arg), void *arg, struct err *e) MUST_USE;
/* Can front_configure do it? Binds what is new and keeps it until then; a failure changes nothing. */
enum rc front_prepare(struct front *f, const struct front_options *opt, const struct config *c,
		      struct err *e) MUST_USE;
/* 452 to MAIL until it is taken back; for a backlog that grows too large. */
void front_pause(struct front *f, bool pause);
/* Takes what mm-smtpd has told, now: a message whose sender has its 250 is then known to the spool. */
void front_hear(struct front *f);
/* What the rules say of a message whose sender waits for it (`judge_first` in its meta): 550 with `text`, or 250.
 * `answered` follows. */
void front_judged(struct front *f, const struct message_id *id, bool refuse, const char *text);
/* The body of a WIRE_TOLD; it goes nowhere where mm-smtpd lives another life by now. */
void front_told(struct front *f, uint64_t life, struct slice body);
/* Ends the current spool file, so that it can be finished. */
void front_end_file(struct front *f);
/* No further connections; those that are open get 421; what was committed is written. `stopped` follows. */
void front_stop(struct front *f);
void front_free(struct front **f); /* kills what still runs; NULL is fine */
void front_count(const struct front *f, struct front_stats *out);

#endif
