/*
 * ingest/log_line.h - records of the logs, as lines of JSON in the service's shapes
 *
 * What     One function for each kind of record; the fields are those of Amazon SES Mail Manager's logs
 *          (docs/logs.md has all of them). A line is printable ASCII, whatever a peer sent: everything else
 *          is escaped, bytes that are no UTF-8, and NUL, become U+FFFD.
 * Content  Nothing of a message's header or body is in a line.
 * Addresses  Without `addresses` what says who wrote, to whom and from where is left out: sender_ip_address,
 *          smtp_mail_from, smtp_helo, recipients, recipients_matched (but an empty one), recipient, the
 *          client certificate's names, and what a policy compares recipients and senders' addresses with.
 * Limits   A line has at most LOG_LINE_MOST bytes. A list that doesn't fit ends early, and
 *          recipients_left_out says by how many.
 * Threads  Pure functions.
 */
#ifndef MM_INGEST_LOG_LINE_H
#define MM_INGEST_LOG_LINE_H

#include "ingest/arn.h"
#include "ingest/log_rate.h"
#include "ingest/mail.h"
#include "ingest/policy_log.h"
#include "ingest/rules.h"

#define LOG_LINE_MOST 262144

/* What a record is; kept in the sealed log (docs/formats.md). */
enum log_kind { LOG_INGRESS, LOG_RULE, LOG_POLICY, LOG_GAP, LOG_KINDS };

struct log_style {
	struct arn_home home;
	bool addresses;
};

/* One action of a rule that was carried out, or failed; or a rule that applied to nobody. */
struct log_rule {
	int64_t when_ms;
	const struct message_id *id;
	const char *rule_set_id;
	const char *rule_set_name;
	const char *rule_name;
	unsigned rule; /* index from 0, as `action` */
	unsigned action;
	const struct rule_action *what; /* NULL: it applied to nobody */
	bool goes_on;                   /* a task that is in the outbound queue now */
	const char *failure;            /* NULL: it was carried out */
	const struct rule_recipient *recipients; /* of the run */
	const uint32_t *matched;                 /* which of them */
	size_t matched_count;
};

/* Each adds one line without its end, or returns RC_LIMIT and leaves `out` as it was. */
enum rc log_line_ingress(struct buf *out, const struct log_style *style, const struct mail *m,
			 uint64_t bytes) MUST_USE;
enum rc log_line_rule(struct buf *out, const struct log_style *style,
		      const struct log_rule *r) MUST_USE;
enum rc log_line_policy(struct buf *out, const struct log_style *style,
			const struct policy_record *r) MUST_USE;
/* `log` is "APPLICATION_LOGS" or "TRAFFIC_POLICY_DEBUG_LOGS". */
enum rc log_line_gap(struct buf *out, int64_t when_ms, const char *log,
		     const struct log_gap *gap) MUST_USE;

const char *log_kind_name(enum log_kind kind); /* "ingress", "rule", "policy", "gap" */
bool log_kind_parse(struct slice word, enum log_kind *kind);

#endif
