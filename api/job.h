/*
 * api/job.h - searches and exports of the control API, as rows of control.db
 *
 * What     A job is what was asked (the operation's input), by whom, its state and its hits: the ids of
 *          messages, newest first. An export's hits also say what was written of each. No words and no
 *          rows of mail are kept: what is destroyed later is gone from results.
 * Life     QUEUED, then RUNNING (an export: PREPROCESSING, PROCESSING), then COMPLETED, FAILED or
 *          CANCELLED, which never change again. A job goes JOB_KEPT_MS after its end, with its archive, or
 *          when its principal has made too many others; an export's hits go at its end.
 * Locks    Whoever writes holds the engine's `writing`, on the engine's connection. Who runs a job finds
 *          out by job_open whether somebody stopped it.
 * Threads  As the struct db.
 * On disk  docs/formats.md, "Searches and exports"
 */
#ifndef MM_API_JOB_H
#define MM_API_JOB_H

#include "base/id.h"
#include "base/json.h"
#include "store/db.h"

#define JOB_ID       26 /* "s-" or "e-" and 24 of a-v 0-9 */
#define JOB_KEPT_MS  (30 * INT64_C(86400000))

enum job_kind { JOB_SEARCH, JOB_EXPORT, JOB_KINDS };

enum job_state {
	JOB_QUEUED,
	JOB_PREPROCESSING, /* exports alone: what is to be written is being found */
	JOB_RUNNING,       /* of an export: PROCESSING */
	JOB_COMPLETED,
	JOB_FAILED,
	JOB_CANCELLED,
	JOB_STATES
};

struct job {
	int64_t number;
	enum job_kind kind;
	char id[JOB_ID + 1];
	uint32_t archive;
	char *who;       /* for the audit log */
	char *principal; /* whose rights it needs; NULL: the owner of the directory */
	json_t *input;   /* of the operation, without ArchiveId */
	enum job_state state;
	int64_t submitted_ms;
	int64_t completed_ms; /* 0 until it has ended */
	char *error;          /* NULL: none */
};

enum rc job_prepare(struct db *control, struct err *e) MUST_USE; /* makes the tables */
/* As the model has them: "RUNNING", "PROCESSING". */
const char *job_state_name(enum job_kind kind, enum job_state state);

/* Sets number, id, state and time of submission. */
enum rc job_add(struct db *control, struct job *j, struct err *e) MUST_USE;
/* RC_NOTFOUND. To be freed by job_free. */
enum rc job_get(struct db *control, enum job_kind kind, struct slice id, struct job *out,
		struct err *e) MUST_USE;
/* For who runs them, of those that have not ended: one that has begun, else the oldest of the principal
 * who has waited longest since one of his ended. RC_NOTFOUND: none. */
enum rc job_next(struct db *control, enum job_kind kind, struct job *out, struct err *e) MUST_USE;
void    job_free(struct job *j);
/* How many have not ended: of an archive, or of a principal (NULL: of the owner of the directory). */
enum rc job_unended(struct db *control, enum job_kind kind, uint32_t archive, uint64_t *count,
		    struct err *e) MUST_USE;
enum rc job_unended_of(struct db *control, enum job_kind kind, const char *principal,
		       uint64_t *count, struct err *e) MUST_USE;
/* Those of an archive, newest first, below that number (0: from the newest), until `each` fails. */
enum rc job_list(struct db *control, enum job_kind kind, uint32_t archive, int64_t below,
		 unsigned limit, enum rc (*each)(void *arg, const struct job *j, struct err *e),
		 void *arg, struct err *e) MUST_USE;

/* Has it not ended? */
enum rc job_open(struct db *control, int64_t number, bool *open, struct err *e) MUST_USE;
/* To a state that isn't an end. Does nothing to a job that has ended. */
enum rc job_set_state(struct db *control, int64_t number, enum job_state state,
		      struct err *e) MUST_USE;
/* To an end, with the text of a failure or NULL. Does nothing to a job that has ended. A kill in the middle
 * leaves an export's hits until the job goes. */
enum rc job_end(struct db *control, int64_t number, enum job_state state, const char *error,
		struct err *e) MUST_USE;

struct job_hit {
	struct message_id id;
	bool done;           /* of an export; then: */
	uint8_t sha256[32];
	uint64_t bytes;
	const char *problem; /* NULL: it was written. When read, "" or a text until the next row */
};

/* Replaces the job's hits; places count from 0. In the caller's transaction. */
enum rc job_put_hits(struct db *control, int64_t number, const struct message_id *ids, size_t count,
		     struct err *e) MUST_USE;
enum rc job_put_done(struct db *control, int64_t number, uint64_t place, const struct job_hit *hit,
		     struct err *e) MUST_USE;
/* In order of places from `from` on, until `each` fails. */
enum rc job_each_hit(struct db *control, int64_t number, uint64_t from,
		     enum rc (*each)(void *arg, uint64_t place, const struct job_hit *hit,
				     struct err *e),
		     void *arg, struct err *e) MUST_USE;
/* The first place that isn't done, and how many hits there are. */
enum rc job_progress(struct db *control, int64_t number, uint64_t *next, uint64_t *hits,
		     struct err *e) MUST_USE;

/* In the caller's transaction, all three. An archive's jobs go with it. */
enum rc job_forget(struct db *control, uint32_t archive, struct err *e) MUST_USE;
/* Removes jobs that ended before that time. */
enum rc job_prune(struct db *control, int64_t before_ms, struct err *e) MUST_USE;
/* Removes a principal's jobs that ended, but for the newest `keep` of them. */
enum rc job_keep(struct db *control, enum job_kind kind, const char *principal, uint64_t keep,
		 struct err *e) MUST_USE;

#endif
