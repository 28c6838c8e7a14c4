/*
 * ingest/action/dsn.h - delivery status notifications (RFC 3464), and bounces that a rule asks for
 *
 * What     Writes the message: multipart/report (RFC 6522) with a text for people, message/delivery-status, and
 *          the returned header (text/rfc822-headers), or with RET=FULL the message up to DSN_RETURNED bytes
 *          (message/rfc822). From and with <> to the sender. And says whether the sender may have one at all
 *          (docs/outbound.md, "What comes of a task").
 * 7 bits   What is written is 7-bit lines of at most 998 columns, whatever came. A message that isn't comes back
 *          as its header alone, in quoted-printable, with RET=FULL too: message/rfc822 can't be encoded, and
 *          message/global is read by few. An address that isn't ASCII is "utf-8;" with \x{HEX} (RFC 6533) in
 *          fields, and as it is in the text; as the sender in To it is the name of an empty group (RFC 6857): the
 *          envelope has the address.
 * Safe     All that comes from outside is made printable, encoded as RFC 3464 and RFC 2047 have it, and cut.
 * Threads  Any.
 */
#ifndef MM_INGEST_ACTION_DSN_H
#define MM_INGEST_ACTION_DSN_H

#include "base/buf.h"
#include "ingest/mail.h"

#define DSN_RETURNED 50000

/* Relayed: to a server that has no DSN, or under another sender, so that nobody will tell more. Delivered: by LMTP. */
enum dsn_kind { DSN_FAILED, DSN_DELAYED, DSN_RELAYED, DSN_DELIVERED };

struct dsn_recipient {
	const char *address; /* final */
	const char *orcpt;   /* "rfc822;a@b" or NULL */
	enum dsn_kind kind;
	const char *status;  /* "5.1.1" */
	const char *diagnostic; /* "550 5.1.1 ...", a reply; or what went wrong without one; "" for none */
	const char *remote;     /* host that said so; "" for none */
};

struct dsn {
	const struct mail *mail;
	struct slice raw;
	const char *hostname;
	const char *from;     /* address in From of the notification; NULL: MAILER-DAEMON of `hostname` */
	const char *envid;    /* or NULL */
	bool full;            /* RET=FULL */
	int64_t now_ms;       /* when it is written: its Date */
	int64_t arrived_ms;
	int64_t tried_ms;
	int64_t until_ms;     /* of a delay: when it is given up */
	const char *message;  /* of Bounce: what people read first; NULL: ours */
	const struct dsn_recipient *recipients; /* one at least */
	size_t recipient_count;
	const char *id; /* of the notification's Message-ID, before "@hostname" */
};

/* Does NOTIFY ask for it? NULL: failures and delays are told, success isn't (RFC 3461 section 4.1). */
bool dsn_wanted(const char *notify, enum dsn_kind kind);
/* NULL: he may have one. Else why not, for the dead letter's reason; dsn_wanted is in it. Mailing lists (List-Id) are
 * told: a list wants to know whom it doesn't reach. */
const char *dsn_forbidden(const struct mail *m, struct slice raw, const char *notify, enum dsn_kind kind);
/* Adds the message. RC_LIMIT: `out` is full. */
enum rc dsn_write(const struct dsn *d, struct buf *out, struct err *e) MUST_USE;
/* The same for a Bounce action, given as its JSON: Sender, Message, StatusCode, SmtpReplyCode and
 * DiagnosticMessage are in place of what `d` and its recipients have, who have failed all. */
enum rc dsn_write_bounce(const struct dsn *d, const json_t *bounce, struct buf *out, struct err *e) MUST_USE;

#endif
