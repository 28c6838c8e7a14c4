/*
 * ingest/mime/date.h - the Date: header
 *
 * RFC 5322 section 3.3 with the old forms of 4.3, and what is found in the wild: asctime's order, ISO
 * 8601, a missing time or zone (then UTC), "GMT+0530", comments. A date that can't be is none: day 32,
 * 25 o'clock, a zone of +9999, a year before 1900 or after 9999.
 */
#ifndef MM_INGEST_MIME_DATE_H
#define MM_INGEST_MIME_DATE_H

#include "base/slice.h"

bool date_parse(struct slice value, int64_t *ms);

#endif
