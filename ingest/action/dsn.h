/*
 * ingest/action/dsn.h - delivery status notifications (RFC 3464), and bounces that a rule asks for
 *
 * What     Writes the message: multipart/report with a text for people, message/delivery-status, and the returned header
 *          (text/rfc822-headers), or with RET=FULL the message up to 50,000 bytes (message/rfc822). From and with <> to the
 *          sender. And says whether the sender may have one at all (docs/outbound.md, "DSN or dead-letter").
 * Safe     All that comes from outside is made printable, encoded as RFC 3464 and RFC 2047 have it, and cut.
 * Threads  Any.
 */
#ifndef MM_INGEST_ACTION_DSN_H
#define MM_INGEST_ACTION_DSN_H

#include "base/buf.h"
#include "ingest/mail.h"

enum dsn_kind { DSN_FAILED, DSN_DELAYED, DSN_RELAYED };

struct dsn_recipient {
	const char *address; /* final */
	const char *orcpt;   /* "rfc822;a@b" or NULL */
	enum dsn_kind kind;
	const char *status;  /* "5.1.1" */
	const char *diagnostic; /* "smtp; 550 5.1.1 ..." without "smtp; "; "" for none */
	const char *remote;     /* host that said so; "" for none */
};

struct dsn {
	const struct mail *mail;
	struct slice raw;
	const char *hostname;
	const char *from;     /* address in From of the notification */
	const char *envid;    /* or NULL */
	bool full;            /* RET=FULL */
	int64_t arrived_ms;
	int64_t tried_ms;
	int64_t until_ms;     /* of a delay: when it is given up */
	const char *message;  /* of Bounce: what people read first; NULL: ours */
	const struct dsn_recipient *recipients;
	size_t recipient_count;
	const char *id; /* of the notification's Message-ID, before "@hostname" */
};

/* NULL: he may have one. Else why not, for the dead letter's reason. `notify` may be NULL. `kind` that is to be told. */
const char *dsn_forbidden(const struct mail *m, struct slice raw, const char *notify, enum dsn_kind kind);
enum rc dsn_write(const struct dsn *d, struct buf *out, struct err *e) MUST_USE;

#endif
