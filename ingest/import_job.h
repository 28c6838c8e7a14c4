/*
 * ingest/import_job.h - files of addresses for an address list, taken in in the background
 *
 * What     A job is created, gets its file in pieces, is started, and is carried out in steps of a
 *          bounded number of addresses; each step is one transaction with the list's members, so a
 *          kill between two steps or in one loses nothing and counts nothing twice.
 * States   CREATED -> PROCESSING -> COMPLETED or FAILED; STOPPED from the first two.
 * Formats  CSV: lines (LF or CR LF), the first one `address`; a value may be in double quotes, empty lines
 *          don't matter. JSON: {"items":[{"address":"..."}]}, other members of items and a byte order mark
 *          don't matter. An address that isn't valid is counted as failed, and the rest goes on; a file
 *          that isn't of its format fails the job, and what was imported before that stays.
 * Threads  As the struct db: one at a time.
 * On disk  docs/formats.md, "Resources"
 */
#ifndef MM_INGEST_IMPORT_JOB_H
#define MM_INGEST_IMPORT_JOB_H

#include "ingest/resources.h"

#define IMPORT_JOB_MOST  134217728 /* bytes of a file */
#define IMPORT_JOB_CHUNK 65536     /* bytes of a row */
#define IMPORT_JOB_STEP  1000      /* addresses */
#define IMPORT_JOB_IDLE_DAYS 7     /* a job that isn't started by then fails */
#define IMPORT_JOB_OPEN  10        /* of a list, that have not ended: each may hold a file */

enum import_format { IMPORT_CSV, IMPORT_JSON };

enum rc import_job_open(struct db *control, struct err *e) MUST_USE;
/* `list` is the id of a list; RC_NOTFOUND. `token` as in apply_result, or NULL. `id` (RESOURCE_ID_ROOM)
 * is set: "job-" and 24 letters and digits. RC_LIMIT: IMPORT_JOB_OPEN of the list have not ended. The list's
 * oldest that have ended go, so that no more than `keep` (IMPORT_JOB_OPEN at least) are there. */
enum rc import_job_create(struct db *control, struct slice list, struct slice name,
			  enum import_format format, const struct token *token, unsigned keep,
			  char *id, struct err *e) MUST_USE;
/* The file begins anew (a PUT that is made again), and the next piece of it. RC_EXISTS: it was started.
 * RC_LIMIT past IMPORT_JOB_MOST. */
enum rc import_job_clear(struct db *control, struct slice id, struct err *e) MUST_USE;
enum rc import_job_add(struct db *control, struct slice id, struct slice bytes, struct err *e) MUST_USE;
/* In the caller's transaction. RC_EXISTS: it isn't CREATED, or there is no file, or (start) its list has
 * another one under way. Stop of one that has ended: RC_EXISTS; of one that is STOPPED: RC_OK. */
enum rc import_job_start(struct db *control, struct slice id, struct err *e) MUST_USE;
enum rc import_job_stop(struct db *control, struct slice id, struct err *e) MUST_USE;

/* The next addresses of the oldest job under way, as resources_register does it (`r`: base, limits and
 * hook; made members are in use afterwards). RC_NOTFOUND: none is under way. A job that ends, also as
 * FAILED, is RC_OK. */
enum rc import_job_step(struct db *control, struct apply_result *r, struct err *e) MUST_USE;

/* {"JobId","Name","Status","ImportDataFormat","AddressListId","ImportedItemsCount","FailedItemsCount",
 * "CreatedMs","StartMs","CompletedMs","Error"}; without those that it hasn't got yet. RC_NOTFOUND. */
enum rc import_job_get(struct db *control, struct slice id, json_t **out, struct err *e) MUST_USE;
/* Those of a list, in the order of their creation; as resources_list. */
enum rc import_job_list(struct db *control, struct slice list, struct slice after, size_t limit,
			json_t **out, struct buf *next, struct err *e) MUST_USE;
/* A list that goes, inside a transaction. */
enum rc import_job_drop_list(struct db *control, struct slice list, struct err *e) MUST_USE;

#endif
