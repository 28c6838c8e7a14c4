/*
 * api/job_rows.h - the rows of a search's hits, as far as the messages are still there
 */
#ifndef MM_API_JOB_ROWS_H
#define MM_API_JOB_ROWS_H

#include "api/job.h"
#include "api/requests.h"

/* Puts {"Rows":[...]} into `out`, newest first. Messages that were destroyed since, or are to be, have no
 * row. RC_LIMIT: the rows don't fit into one answer. Ends early with RC_AGAIN when who asked has
 * gone, RC_DENIED when he lost his right. */
enum rc job_rows(struct request *asked, struct db *db, const struct job *j,
		 const struct archive_info *a, json_t *out, struct err *e) MUST_USE;

#endif
