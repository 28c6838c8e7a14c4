/*
 * ingest/gate.h - the answers to an SMTP session's questions: may it, whose is it, is it ours now?
 *
 * What     Implements struct smtp_server_ops: judges each recipient by the ingress point's traffic
 *          policy, checks passwords, and puts bodies into the spool with what is to be kept beside
 *          them. One gate a process, one gate session a connection.
 * 250      Only the spool writer's proof makes smtp_answer_accepted.
 * Judged   Where the ingress point says BEFORE_REPLY a durable message's 250 waits for gate_judged, up to the deadline.
 * Add-ons  A recipient whose policy asks add-ons has its reply when they have spoken (ingest/gate_addons.h).
 * Config   A connection keeps the ingress point's state of its beginning (policy, TLS, limits); what is
 *          recorded beside a message is the version of the rule set at its commit.
 * Lost     A connection that is gone while its message waits for the disk leaves a session that is
 *          freed when the spool is done with it.
 * Limits   An envelope's text: SPOOL_META_MAX; it is freed with the transaction, so an idle session
 *          holds a few hundred bytes.
 * Threads  The loop's.
 */
#ifndef MM_INGEST_GATE_H
#define MM_INGEST_GATE_H

#include "base/conn.h"
#include "ingest/config.h"
#include "ingest/policy_log.h"
#include "ingest/spool/writer.h"
#include "smtp/server.h"

struct gate;
struct gate_point; /* an ingress point as a connection sees it; counted */
struct gate_session;

struct gate_options {
	const char *hostname;
	uint64_t message_bytes; /* the largest message; a policy may lower it */
	const struct tls_cert *certs;
	size_t cert_count; /* 0: no TLS; then an ingress point that needs it refuses all */
	int64_t ask_ms; /* how long `ask` may take; 0: 15 s */
};

/* --- the process's part --- */

/* The spool writer's questions go through; `app` is theirs. */
struct gate_host {
	void (*need_file)(void *app);
	void (*need_big)(void *app);
	void (*progress)(void *app, uint64_t file, uint64_t offset, uint64_t messages);
	/* What add-ons say of a client: the body of a WIRE_ASK (ingest/wire.h); gate_told follows. */
	void (*ask)(void *app, struct slice body);
};

/* Starts the spool's writer and the password thread. `host` lives as long as the gate. */
enum rc gate_new(struct gate **out, struct loop *l, const struct spool_writer_options *spool,
		 const struct gate_host *host, void *app, struct err *e) MUST_USE;
/* Ends the spool writer: what was committed is written and answered, and its file ended. Sessions
 * get no answers after it; free them first or at once after it. */
void gate_stop(struct gate *g);
void gate_free(struct gate **g); /* NULL is fine; all sessions are freed */
struct spool_writer *gate_spool(struct gate *g);
/* For connections that come from now on. Takes its own reference to `c`. */
enum rc gate_configure(struct gate *g, struct config *c, const struct gate_options *opt,
		       struct err *e) MUST_USE;
/* 452 4.3.1 to MAIL while the archive can't keep up. */
void gate_pause(struct gate *g, bool pause);
/* How policies judge is told to it from now on; it outlives the gate, or the next call. NULL: to nobody. */
void gate_log(struct gate *g, struct policy_log *log);
/* After each round of the loop: committed messages go to the writer. */
void gate_flush(struct gate *g);
/* What was found out about a message whose reply waits for it. True when its sender was told 550, with `text`. */
bool gate_judged(struct gate *g, const struct message_id *id, bool refuse, const char *text) MUST_USE;
/* The body of a WIRE_TOLD. */
void gate_told(struct gate *g, struct slice body);
/* Who waits for a judgement of his message gets his 250 now, who waits for add-ons his 451; and so does who would. */
void gate_wait_no_more(struct gate *g);
/* Messages that wait for the disk. */
size_t gate_waiting(const struct gate *g);
struct gate_counts {
	uint64_t accepted;
	uint64_t refused; /* at the end of data, for reasons of ours */
	uint64_t denied;  /* recipients that a policy denied */
	uint64_t judged;  /* of those accepted: refused after all, as rules say */
};
void gate_count(const struct gate *g, struct gate_counts *out);

/* --- ingress points --- */

/* The current state, with a reference for the caller; NULL: no such ingress point. */
struct gate_point *gate_point(struct gate *g, struct slice ingress_id);
struct gate_point *gate_point_ref(struct gate_point *p);
void gate_point_free(struct gate_point **p); /* drops it; NULL is fine */
const struct ingress_point *gate_point_ingress(const struct gate_point *p);
struct tls_context *gate_point_tls(const struct gate_point *p); /* NULL: none */

/* --- sessions --- */

struct gate_peer {
	struct ip ip;
	uint16_t port;
	struct ip local_ip;
	uint16_t local_port;
};

struct gate_session_ops {
	/* Answers were given outside of smtp_session_input: send, and go on with input. */
	void (*wake)(void *arg);
	/* 220 to STARTTLS is in the output. */
	void (*start_tls)(void *arg);
};

/* Takes a reference to the point. The greeting isn't queued yet. */
struct gate_session *gate_session_new(struct gate *g, struct gate_point *p,
				      const struct gate_peer *peer,
				      const struct gate_session_ops *ops, void *arg);
void gate_session_free(struct gate_session **s); /* the connection has gone; NULL is fine */
struct smtp_session *gate_session_smtp(struct gate_session *s);
/* The handshake is done. `version` as conn_tls_version, `cipher` as conn_tls_cipher, `peer` as conn_tls_peer
 * (empty: none). False: its certificate can't be kept; the connection must end. */
bool gate_session_secured(struct gate_session *s, const char *version, const char *cipher,
			  struct slice peer) MUST_USE;

enum gate_doing {
	GATE_COMMANDS, /* the peer is to send a command */
	GATE_BODY,     /* the peer sends a message, or octets that are read to be dropped */
	GATE_WAITS,    /* the peer waits for us */
};
enum gate_doing gate_session_doing(const struct gate_session *s);
#endif
