/*
 * ingest/smtpd_session.h - one client's connection in mm-smtpd: socket, session, deadlines
 *
 * The connection (base/conn) brings bytes to the SMTP session (smtp/server), whose questions the gate
 * answers. All connections of the process are in one struct smtpd_sessions, which counts them, all
 * and by address, and looks at their deadlines once a second.
 */
#ifndef MM_INGEST_SMTPD_SESSION_H
#define MM_INGEST_SMTPD_SESSION_H

#include "ingest/gate.h"

struct smtpd_limits {
	unsigned connections;
	unsigned per_address;
	int64_t command_ms; /* to the end of a command */
	int64_t data_ms;    /* without a byte of a message */
	int64_t message_ms; /* a whole message */
	uint64_t min_rate;  /* bytes a second of a message, after its first minute */
};

struct smtpd_sessions;

struct smtpd_sessions *smtpd_sessions_new(struct loop *l);
void smtpd_sessions_free(struct smtpd_sessions **ss); /* closes all at once; NULL is fine */
void smtpd_sessions_limit(struct smtpd_sessions *ss, const struct smtpd_limits *limits);
/* Takes over the descriptor of an accepted connection to this ingress point. */
void smtpd_session_start(struct smtpd_sessions *ss, struct gate *g, struct gate_point *p, int fd,
			 const struct gate_peer *peer);
/* Says 421 to all that don't wait for a commit, and to those after it. */
void smtpd_sessions_stop(struct smtpd_sessions *ss);
size_t smtpd_sessions_count(const struct smtpd_sessions *ss);

#endif
