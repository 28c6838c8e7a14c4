/* ingest/queue/run_core.h - what the files of the runner share; for ingest/queue/run*.c alone */
#ifndef MM_INGEST_QUEUE_RUN_CORE_H
#define MM_INGEST_QUEUE_RUN_CORE_H

#include <sys/queue.h>

#include "ingest/calls.h"
#include "ingest/mail.h"
#include "ingest/outbound.h"
#include "ingest/queue/run.h"
#include "ingest/queue/schedule.h"

/* A task that is under way. */
struct attempt {
	LIST_ENTRY(attempt) link;
	uint64_t number; /* at outbound or calls */
	bool call;
	int64_t task;
	uint32_t *asked; /* mail: places in the spec's recipients, in the order that they were handed over */
	size_t asked_count;
};

LIST_HEAD(attempts, attempt);

struct rate_user { /* recipients of one who logged in */
	LIST_ENTRY(rate_user) link;
	char *name;
	int64_t paced_ms;
};

struct runner {
	struct runner_options o;
	struct outbound_settings settings;
	struct schedule *schedule;
	struct outbound *outbound; /* NULL: not configured */
	struct calls *calls;
	struct loop_timer *due;
	struct loop_timer *flush;
	struct loop_timer *house; /* once a minute */
	struct attempts attempts;
	LIST_HEAD(, rate_user) users;
	int64_t rotate_ms; /* not before then; 0 at a start, as nobody knows when it was last */
	int64_t longest_ms; /* that a task is put off */
	int64_t generation; /* of the configuration whose ports outbound knows */
	bool flushing;
	bool full;
	bool broken;
};

#define RUN_HOUR_MS INT64_C(3600000)

/* The timer `house`: drops what is too old, rotates the queue. */
void run_keep_house(void *runner);
/* Who has sent nothing for an hour needn't be remembered. */
void run_forget_users(struct runner *r);
/* A try begins. RC_OK: an attempt is under way, or the task was settled at once; else final. */
enum rc run_mail(struct runner *r, struct queue_job *j, struct err *e) MUST_USE;
enum rc run_bounce(struct runner *r, struct queue_job *j, struct err *e) MUST_USE;
enum rc run_call(struct runner *r, struct queue_job *j, struct err *e) MUST_USE;
/* And its end. */
enum rc run_mail_ended(struct runner *r, const struct attempt *a, struct queue_job *j,
		       const struct outbound_result *results, const char *host, struct err *e) MUST_USE;
enum rc run_call_ended(struct runner *r, struct queue_job *j, const struct call_result *result,
		struct err *e) MUST_USE;

struct attempt *run_attempt(struct runner *r, const struct queue_job *j, bool call);
/* When the next try is, after so many failures. */
int64_t run_retry_ms(const struct runner *r, const struct queue_job *j);
/* Until when a destination rests that isn't there, of the monotonic clock. */
int64_t run_rest_ms(const struct runner *r);
bool run_is_old(const struct runner *r, const struct queue_job *j, int64_t lifetime_ms);
/* The task is over, for the schedule. */
void run_over(struct runner *r, int64_t task);
/* It is tried again at `due_ms` (of the clock). */
enum rc run_later(struct runner *r, const struct queue_job *j, int64_t due_ms, const char *reason,
		struct err *e) MUST_USE;
/* The application log hears what became of an action. `why` NULL: it is done. */
void run_log(struct runner *r, const struct queue_job *j, const char *why);
/* A message of our own (DSN) to its sender goes into the queue. */
enum rc run_notice(struct runner *r, const struct queue_job *about, const struct mail *m, struct slice text,
		   struct err *e) MUST_USE;

#endif
