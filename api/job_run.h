/*
 * api/job_run.h - who runs searches and exports
 *
 * What     Two threads of mmd: one for searches, one for exports, each with one job after the other in the
 *          order of submission. A start takes up what was queued or running; a search begins again, an
 *          export goes on behind what was written.
 * Rights   A job needs its principal's right to the archive when it begins and, an export, for each
 *          message; without it it fails.
 * Audit    "search" with its hits before results are there; "export" before the first message leaves, and
 *          "exported" with the manifest's hash before it is COMPLETED.
 * Locks    `writing` for changes of a job's state and hits, a moment each; nothing else is held then.
 * Threads  jobs_wake and jobs_options: any.
 */
#ifndef MM_API_JOB_RUN_H
#define MM_API_JOB_RUN_H

#include "api/engine.h"
#include "ingest/deliver.h"

struct jobs;

struct job_options {
	unsigned link_seconds;   /* life of links to messages; 0: 300 */
	const char *url;         /* where links lead: "https://mail.example"; NULL: where the client came to */
	const char *home;        /* for who came by no HTTP: "http://127.0.0.1:8025"; NULL: no links */
	struct deliver_home *s3; /* NULL: no exports */
};

/* Sets en->jobs. What the options point to lives longer than the jobs. */
enum rc jobs_start(struct engine *en, const struct job_options *opt, struct err *e) MUST_USE;
/* Stops in the middle of what runs; the next start goes on. Before the engine is closed. */
void jobs_stop(struct engine *en);
/* There is a new one, or one was stopped. NULL is fine. */
void jobs_wake(struct jobs *js);
/* Defaults filled in; for NULL too. */
const struct job_options *jobs_options(const struct jobs *js);

#endif
