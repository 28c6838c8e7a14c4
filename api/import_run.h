/*
 * api/import_run.h - who carries out import jobs of address lists (ingest/import_job.h)
 *
 * What     A thread of mmd that takes one step after the other of the jobs that are PROCESSING, each a
 *          transaction; a start goes on with what was left. The front sees members as they come.
 * Locks    `writing` for each step, a moment.
 * Threads  imports_wake: any.
 */
#ifndef MM_API_IMPORT_RUN_H
#define MM_API_IMPORT_RUN_H

#include "api/engine.h"

struct imports;

void imports_start(struct engine *en); /* sets en->imports */
void imports_stop(struct engine *en);
void imports_wake(struct imports *i); /* a job was started; NULL is fine */

#endif
