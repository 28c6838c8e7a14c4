/*
 * ingest/outbound_settings.h - the section `send` of the configuration, read
 *
 * What     One reading for all who need a part of it: the sender, the queue, the composer. docs/man/mmd.8.md has
 *          what each member means and its default.
 * Owner    Strings stay the section's own.
 * Threads  Any.
 */
#ifndef MM_INGEST_OUTBOUND_SETTINGS_H
#define MM_INGEST_OUTBOUND_SETTINGS_H

#include "base/cidr.h"
#include "base/json.h"

#define OUTBOUND_RETRIES 32
#define OUTBOUND_NETS    64

struct outbound_settings {
	/* the sender's */
	uint16_t port;
	uint16_t sts_port;
	unsigned at_once;
	unsigned per_destination;
	int64_t deadline_ms; /* of one attempt's transaction, and before it of its waiting for a connection */
	bool sts;
	bool dane;
	const char *ca;       /* NULL: the system's */
	const char *hostname; /* NULL: that of SMTP */
	struct cidr allow[OUTBOUND_NETS];
	size_t allow_count;
	/* the queue's */
	int64_t retry_ms[OUTBOUND_RETRIES]; /* after the first failure, the second, ...; the last one for all others */
	size_t retry_count;
	int64_t lifetime_ms;
	int64_t delay_notice_ms; /* 0: none */
	uint64_t max_bytes;
	unsigned dead_letter_days;
	unsigned rate_destination; /* messages a minute to one; 0: as many as there are */
	unsigned rate_user;        /* messages an hour of one who logged in; 0: as many as there are */
	/* the composer's */
	const char *sender;     /* NULL: none */
	const char *arc_domain; /* NULL: no ARC */
	const char *arc_selector;
};

/* `send` NULL: all defaults. RC_INVALID: "send.retry is ...". */
enum rc outbound_settings_read(struct outbound_settings *s, const json_t *send, struct err *e) MUST_USE;

#endif
