/*
 * ingest/smtpd.h - the process that talks to SMTP clients
 *
 * What     Takes listening sockets, configuration and spool files from mmd over its channel, accepts
 *          connections, runs a session (smtp/, ingest/gate) on each, and tells mmd what is durable.
 * Confined Enters its sandbox before the first message of mmd: no file by name, no new socket, no
 *          process. It exits when mmd goes.
 * Limits   Connections in all (421 4.3.2) and from one address, IPv6 by /64 (421 4.7.0); 5 minutes a
 *          command (RFC 5321 section 4.5.3.2), a time without a byte and a least rate inside a
 *          message, an hour a message. Without descriptors it stops accepting for a moment.
 * Threads  One loop; the spool's writer and the password thread beside it.
 */
#ifndef MM_INGEST_SMTPD_H
#define MM_INGEST_SMTPD_H

/* The whole program: returns its exit code. The channel is at WIRE_CHANNEL_FD. */
int smtpd_main(void);

#endif
