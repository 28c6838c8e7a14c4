/*
 * retention/schedule.h - how long an archive keeps a message, and when a day of it falls due
 *
 * What     The API's sixteen periods and any number of days. All in UTC: a day is the UTC day of
 *          receipt, a period of months is calendar months added to that day and clipped to the last
 *          day of the month, and the message is kept to the end of the day so found.
 * Why      Counted from receipt, not from the Date header: a sender could choose 2099.
 */
#ifndef MM_RETENTION_SCHEDULE_H
#define MM_RETENTION_SCHEDULE_H

#include "base/slice.h"

struct retention {
	bool     permanent;
	unsigned months; /* one of months and days is not zero unless permanent */
	unsigned days;
};

#define RETENTION_DAYS_MAX 36500

/* "ONE_YEAR" and the other names of the API's RetentionPeriod; false for another word. */
bool retention_from_name(struct retention *r, struct slice name);
/* The name, or "N_DAYS" for days; lives in `out`. */
const char *retention_name(const struct retention *r, char out[32]);
/* The first instant at which mail received on `day` (days since 1970-01-01) may be destroyed;
 * INT64_MAX for PERMANENT. */
int64_t retention_due_ms(const struct retention *r, int32_t day);

#endif
