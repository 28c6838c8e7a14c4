/* api/job_run_parts.h - what runs a job; for api/job_run.c and api/job_export.c alone */
#ifndef MM_API_JOB_RUN_PARTS_H
#define MM_API_JOB_RUN_PARTS_H

#include "api/job.h"
#include "api/job_run.h"

struct job_running {
	struct jobs *jobs;
	struct engine *en;
	struct db *db; /* the thread's connection, for reading */
	struct config *config;
	const struct archive_info *archive;
	const struct job *job;
	int64_t rights; /* the generation of principals for which it may */
};

/* May it go on? RC_AGAIN: mmd stops. RC_NOTFOUND: somebody stopped it. RC_DENIED: its principal has no
 * right to it any more. RC_EXISTS: its archive was deleted. */
enum rc job_may_go_on(struct job_running *x, struct err *e) MUST_USE;
/* A change of its rows, in one transaction under `writing`. A job that has ended is left as it is
 * (RC_NOTFOUND). */
enum rc job_change(struct job_running *x, enum rc (*change)(void *arg, struct db *control, struct err *e),
		   void *arg, struct err *e) MUST_USE;
/* Collects the ids of hits, newest first; at most `limit` (0: all). In memory to be freed. `hits` counts
 * all. */
enum rc job_find(struct job_running *x, uint64_t limit, struct message_id **ids, size_t *count,
		 uint64_t *hits, struct buf *query, struct err *e) MUST_USE;
/* The entry's beginning: archive, job, query, hits. */
json_t *job_detail(const struct job_running *x, struct slice query, uint64_t hits);
/* api/job_export.c */
enum rc job_export(struct job_running *x, struct deliver_home *s3, struct err *e) MUST_USE;

#endif
