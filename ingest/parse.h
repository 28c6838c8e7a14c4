/*
 * ingest/parse.h - the workers that read MIME, and the batches they get
 *
 * What     A pool of mm-parse processes. Messages are handed over in shared memory, in batches; a
 *          worker reads them one after another and leaves encoded documents (ingest/parsed.h) there.
 *          Nothing in that memory is trusted: it is copied, then checked.
 * Death    A worker that crashes, spends more than PARSE_CPU_MS of processor time on a message, or none
 *          for PARSE_STILL_MS, is replaced. (Who gets little time, because others need the machine,
 *          may take up to PARSE_LONGEST_MS.) Its batch is tried again message by message;
 *          the one that does it again is read once more by the plain reader of our own, which knows
 *          no MIME library, and is marked. Only if that fails too nothing is known of the message.
 *          So one message never costs another anything, and none is retried for ever.
 * Use      parse_begin starts, parse_wait ends; between them the caller does other work and touches
 *          neither jobs nor raw bytes. One batch of jobs at a time.
 * Owner    The pool owns the processes. A job's document is the caller's: parse_job_free.
 * Threads  One; the pool forks, watches and reaps its own children and no others.
 */
#ifndef MM_INGEST_PARSE_H
#define MM_INGEST_PARSE_H

#include "ingest/parsed.h"

#define PARSE_CPU_MS     2000
#define PARSE_STILL_MS   20000
#define PARSE_LONGEST_MS 300000

enum parse_outcome {
	PARSE_OK,
	PARSE_DIED,    /* the worker crashed on it; `parsed` is what the plain reader found */
	PARSE_TIMEOUT, /* it took too long; the same */
};

struct parse_job {
	struct slice raw;           /* in: the message; lives until parse_wait */
	bool show;                  /* in: PARSED_PLAIN and PARSED_HTML in place of PARSED_BODY */
	enum parse_outcome outcome; /* out */
	/* out: always filled. When the worker died PARSED_HAS_PROBLEM and PARSED_NOT_INDEXED are set
	 * and the problem says why; an empty document when even the plain reader died. */
	struct parsed parsed;
	uint8_t *problem; /* private */
};

struct parse_pool;

struct parse_limits {
	int     look_ms; /* how often a worker is looked at */
	int64_t still_ms;
	int64_t longest_ms;
};

struct parse_totals {
	uint64_t messages;
	uint64_t died;     /* messages that a worker died of */
	uint64_t timeouts; /* messages that took too long */
	uint64_t restarts; /* workers started anew */
};

/* Starts `workers` (1..64) processes of `program` (a path; NULL: mm-parse as child_path finds it).
 * RC_NOTFOUND or RC_IO when it can't be started. */
enum rc parse_pool_new(struct parse_pool **out, unsigned workers, const char *program,
		       struct err *e) MUST_USE;
void parse_pool_free(struct parse_pool **p); /* NULL is fine; ends what runs */

/* Hands jobs to the workers and returns; what fails here is reported by parse_wait. */
enum rc parse_begin(struct parse_pool *p, struct parse_job *jobs, size_t count,
		    struct err *e) MUST_USE;
/* Until every job has its outcome. RC_IO when no worker can be started any more; then some jobs
 * have none. Free them all (parse_job_free); they may be begun again. */
enum rc parse_wait(struct parse_pool *p, struct err *e) MUST_USE;
/* Frees what is in the job; a job that never ran must be zeroed. */
void parse_job_free(struct parse_job *job);
void parse_count(const struct parse_pool *p, struct parse_totals *out);

#ifdef MM_TEST
/* For tests: other limits from now on; the process of worker i, to be stopped and killed. */
void parse_set_limits(struct parse_pool *p, const struct parse_limits *l);
int parse_worker_pid(const struct parse_pool *p, unsigned i);
#endif

#endif
