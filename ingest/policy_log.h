/*
 * ingest/policy_log.h - how a traffic policy judged, told by mm-smtpd to mmd
 *
 * What     mm-smtpd has the policy and follows its judgement (policy_trace); mmd writes the log. Between them
 *          goes a record for each recipient, and one for the size of each message, many in one WIRE_LOG.
 * Rate     Beyond so many records a second nothing is followed or told but their number, so that a flood
 *          costs no judgement more than a comparison.
 * Never    waits: what mmd doesn't take in time is counted as lost, and dropped.
 * Limits   A record has at most POLICY_RECORD_MOST bytes: values beyond half of that are left out.
 * Trust    policy_record_read believes nothing: it checks each length, and gives slices into what it was
 *          given.
 * Threads  The loop's.
 *
 * Format   WIRE_LOG: u64 records left out, u64 lost since the last one; then records, each a u32 length and:
 *          i64 time, u8 type of the ingress point, u8 accepted, u8 scope, u64 allowed, u64 received; slices
 *          (u32 length, bytes): ingress point's id, session's id, policy's id, IP, MAIL FROM, HELO, TLS
 *          version, cipher, recipient; then the evaluation to the end: steps, each a u8: 'S' u8 allow: a
 *          statement begins; 'C' its next condition: slices attribute, operator, u16 n, n slices, u8 held;
 *          'A' the same of one that asks an add-on, with slices result field and what it said in front of `held`;
 *          'E' u8 held: the statement ends; 'D' u8 allow: the default.
 */
#ifndef MM_INGEST_POLICY_LOG_H
#define MM_INGEST_POLICY_LOG_H

#include "base/codec.h"
#include "ingest/config.h"
#include "ingest/log_rate.h"
#include "ingest/policy.h"

#define POLICY_RECORD_MOST 32768
#define POLICY_BATCH_MOST  61440 /* of one WIRE_LOG */
#define POLICY_SESSION_ID  32

enum policy_scope { POLICY_SCOPE_RECIPIENT, POLICY_SCOPE_DATA };

/* One judgement. Slices live for the call. */
struct policy_record {
	int64_t when_ms;
	enum ingress_type type;
	bool accepted;
	enum policy_scope scope;
	uint64_t allowed;  /* bytes of a message, with POLICY_SCOPE_DATA */
	uint64_t received; /* likewise */
	struct slice ingress_id;
	struct slice session_id;
	struct slice policy_id; /* empty: the ingress point has none */
	struct slice ip;
	struct slice mail_from;
	struct slice helo;
	struct slice tls_version; /* empty: in the clear */
	struct slice tls_cipher;
	struct slice recipient;  /* with POLICY_SCOPE_RECIPIENT */
	struct slice evaluation; /* steps */
};

/* --- in mm-smtpd --- */

struct policy_log;

struct policy_log *policy_log_new(uint64_t rate);
void policy_log_free(struct policy_log **l); /* NULL is fine */
/* Is the next judgement of `p` (NULL: there is none) to be followed? Then policy_log_trace gives what to hand
 * to policy_decide, and policy_log_add follows. `l` may be NULL: never. */
bool policy_log_begin(struct policy_log *l, const struct policy *p);
const struct policy_trace *policy_log_trace(struct policy_log *l);
/* `r` without its evaluation: that is what was traced since policy_log_begin. */
void policy_log_add(struct policy_log *l, const struct policy_record *r);
/* Bytes that wait to be sent. */
size_t policy_log_waiting(const struct policy_log *l);
/* What is to be sent now, a WIRE_LOG; empty when there is nothing. `can` false: it can't be sent, and is lost. */
struct slice policy_log_take(struct policy_log *l, bool can);

/* --- in mmd --- */

struct policy_batch {
	uint64_t left_out;
	uint64_t lost;
	struct slice records;
};

/* False: nonsense. */
bool policy_batch_read(struct policy_batch *out, struct slice body);
/* The next record of a batch that policy_batch_read took; false at the end. */
bool policy_batch_next(struct policy_batch *b, struct policy_record *out);

enum policy_step_kind { POLICY_STEP_STATEMENT, POLICY_STEP_CONDITION, POLICY_STEP_END, POLICY_STEP_DEFAULT };
struct policy_told {
	enum policy_step_kind kind;
	bool yes; /* it allows (STATEMENT, DEFAULT), or held (CONDITION, END) */
	struct slice attribute;
	struct slice compare; /* the operator */
	unsigned value_count;
	struct slice values; /* to be read by read_slice, value_count times */
	bool asked;         /* the condition asks an add-on: */
	struct slice field; /* its result field */
	struct slice said;  /* what is in it; empty: there is no such field */
};
/* The next step of an evaluation that was taken. */
bool policy_step_next(struct slice *evaluation, struct policy_told *out);

#endif
