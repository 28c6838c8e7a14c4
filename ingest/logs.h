/*
 * ingest/logs.h - mmd's logs in the service's shapes: what was accepted, what rules did, how policies judged
 *
 * What     Two logs, application and policy debug, each nowhere, in a plain file (a line a record), or sealed
 *          in the data directory (store/logbook.h). docs/logs.md tells what is in them.
 * Once     Application records of a message are made while it is judged, and written when its checkpoint is
 *          on disk: what a kill or a full disk makes the pipeline do again is told once. Those that a kill
 *          keeps from being written are lost.
 * Never    waits: records go into a queue of bounded size; a thread writes it a few times a second. What
 *          doesn't fit, and what can't be written (a full disk, a file at its limit), is lost and counted; no
 *          mail waits for it or fails by it.
 * Rate     So many records a second of each log; what is beyond is counted and told in one record
 *          (ingest/log_rate.h).
 * Room     A sealed log lies on the mail's disk: while that has little room (`room`), nothing is written to
 *          it.
 * Threads  The pipeline's, with `writing` held: logs_ingress, logs_rule, logs_mark, logs_undo, logs_commit,
 *          logs_forget. Any: the others.
 */
#ifndef MM_INGEST_LOGS_H
#define MM_INGEST_LOGS_H

#include "base/file.h"
#include "ingest/log_line.h"
#include "store/keyring.h"

#define LOG_RATE_DEFAULT 1000
#define LOG_RATE_MOST    100000
#define LOG_KEEP_DAYS    30
#define LOG_MAX_BYTES    ((uint64_t)1 << 30)

enum log_name { LOG_APPLICATION, LOG_POLICY_DEBUG, LOG_NAMES };
enum log_where { LOG_NOWHERE, LOG_PLAIN, LOG_SEALED };

/* The configuration's "logs". */
struct logs_options {
	enum log_where where[LOG_NAMES];
	const char *path[LOG_NAMES];  /* of LOG_PLAIN; opened again by logs_reopen */
	struct file *file[LOG_NAMES]; /* of LOG_PLAIN, open: logs_new takes it over and leaves NULL */
	bool addresses;
	unsigned rate; /* records a second of each log */
	unsigned keep_days;
	uint64_t max_bytes; /* of a plain file, and of all sealed ones */
};

/* A plain file for appending. RC_INVALID: it is no regular file, or lies in `dir`, the data directory (which may
 * be NULL), by whatever link. */
enum rc logs_open_file(const char *path, const char *dir, struct file **out, struct err *e) MUST_USE;

struct logs;

/* `dir` is the data directory; the texts of `home`, and `keys`, outlive the logs. `room` may be NULL: there
 * is room. RC_OK with *out NULL: both are nowhere. */
enum rc logs_new(struct logs **out, struct logs_options *opt, const char *dir, struct keyring *keys,
		 const struct arn_home *home, bool (*room)(void *arg), void *arg,
		 struct err *e) MUST_USE;
/* Writes what is committed; NULL is fine. */
void logs_free(struct logs **l);
bool logs_wants(const struct logs *l, enum log_name name); /* false for NULL */
unsigned logs_rate(const struct logs *l);

/* Records of what isn't checkpointed yet. */
void logs_ingress(struct logs *l, const struct mail *m, uint64_t bytes);
void logs_rule(struct logs *l, const struct log_rule *r);
/* Where the records are; what came behind a mark is taken back. */
size_t logs_mark(const struct logs *l);
void logs_undo(struct logs *l, size_t mark);
/* It is on disk: they may be written. NULL is fine, as in the next. */
void logs_commit(struct logs *l);
/* It will be judged again. */
void logs_forget(struct logs *l);

/* What became of a task of the outbound queue. Any thread; NULL is fine. */
void logs_task(struct logs *l, const struct log_rule *r);
/* A WIRE_LOG of mm-smtpd. False: nonsense, or not asked for. */
bool logs_policy(struct logs *l, struct slice body);

/* Plain files by their names anew, soon: they were rotated. NULL is fine. */
void logs_reopen(struct logs *l);
/* Until what was committed before the call is written, a few seconds at most. NULL is fine. */
void logs_flush(struct logs *l);

struct logs_totals {
	uint64_t written;
	uint64_t left_out; /* beyond the rate */
	uint64_t lost;
};
void logs_count(struct logs *l, struct logs_totals *out);

#endif
