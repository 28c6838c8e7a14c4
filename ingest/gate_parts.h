/* ingest/gate_parts.h - the inside of the gate; for ingest/gate.c and ingest/gate_envelope.c alone */
#ifndef MM_INGEST_GATE_PARTS_H
#define MM_INGEST_GATE_PARTS_H

#include "ingest/gate.h"
#include "ingest/gate_addons.h"
#include "ingest/gate_auth.h"

struct gate_point {
	unsigned refs; /* the loop's thread alone */
	struct config *config;
	const struct ingress_point *ingress;
	char *hostname;
	struct smtp_config smtp;
	struct tls_context *tls;
};

struct gate {
	struct loop *loop;
	const struct gate_host *host;
	void *app;
	struct spool_writer *spool;
	struct loop_watch *done;
	struct gate_auth *auth;
	struct gate_addons *addons;
	struct gate_point **points;
	size_t point_count;
	uint8_t certs[32]; /* hash of what the points' contexts were made of */
	struct gate_counts counts;
	struct policy_log *log;       /* NULL: none */
	struct gate_session *judging; /* whose replies wait for a judgement */
	bool paused;
};

struct gate_session {
	struct gate *gate;
	struct gate_point *point;
	struct gate_peer peer;
	const struct gate_session_ops *ops;
	void *arg;
	struct smtp_session *smtp; /* NULL: the connection has gone */
	struct spool_draft *draft;
	struct buf meta; /* the envelope so far, as the beginning of a JSON object */
	bool body;       /* between body_begin and body_end */
	bool waiting;    /* committed, and not done */
	struct gate_check *check;
	int64_t judge_ms; /* the message's reply waits so long for its judgement; 0: not at all */
	struct gate_session *judging_next;
	struct gate_session **judging_at; /* NULL: it doesn't wait */
	struct loop_timer *deadline;
	struct message_id id;
	const struct durable *proof; /* shown to the session, never looked into */
	enum policy_tls tls;
	char tls_version[16];
	char tls_cipher[64];
	struct buf client_cert;             /* members of the meta's; empty: none */
	char user[72];                      /* an ingress point's id or name */
	int64_t password_version;           /* that the user gave */
	struct buf mail_from;               /* for the policy log and add-ons alone */
	struct gate_lookup *lookup;         /* what add-ons say; NULL: none was asked */
	struct buf recipient;               /* that is judged when they have spoken */
	size_t meta_before;                 /* the envelope's length without it */
	bool fits;                          /* it is in the envelope */
	char log_id[POLICY_SESSION_ID + 1]; /* empty before the first record */
};

/* gate.c. NULL: there is none. */
struct gate_point *gate_find_point(const struct gate *g, struct slice id);

/* gate_envelope.c. False: it doesn't fit; the envelope is as before, or (_end) of no use. */
bool gate_envelope_begin(struct gate_session *s, const struct smtp_path *from,
			 const struct smtp_mail_params *p) MUST_USE;
bool gate_envelope_recipient(struct gate_session *s, const struct smtp_path *to,
			     const struct smtp_rcpt_params *p) MUST_USE;
bool gate_envelope_end(struct gate_session *s) MUST_USE;
/* The transaction is over. */
void gate_envelope_drop(struct gate_session *s);

#endif
