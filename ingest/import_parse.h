/*
 * ingest/import_parse.h - addresses out of a file of an import job, piece by piece
 *
 * A place in the file is where an item ends, so that parsing goes on there in another process. Formats:
 * ingest/import_job.h. For import_job.c alone.
 */
#ifndef MM_INGEST_IMPORT_PARSE_H
#define MM_INGEST_IMPORT_PARSE_H

#include "ingest/import_job.h"

#define IMPORT_ITEM_MOST 8192 /* bytes of a line or an item */

struct import_place {
	int64_t position; /* in the file */
	int64_t imported;
	int64_t failed;
};

struct import_sink {
	/* `address` of an item; `at` is NULL: it has none. Counts it. Not RC_OK ends the parsing. */
	enum rc (*address)(void *arg, struct slice address, struct err *e);
	void *arg;
	unsigned most; /* so many, then it returns */
};

/* `window` is what follows place->position, `whole` when it ends where the file ends. Moves the position
 * over what was given to the sink. `ended`: the file is through. RC_INVALID: not of its format. */
enum rc import_parse(enum import_format format, struct slice window, bool whole,
		     struct import_place *place, const struct import_sink *sink, bool *ended,
		     struct err *e) MUST_USE;

#endif
