/*
 * ingest/arn.h - names of resources as the API writes them: arn:aws:ses:REGION:ACCOUNT:TYPE/ID
 *
 * Region and account are configured (api.region, api.account); what names another one is not ours.
 */
#ifndef MM_INGEST_ARN_H
#define MM_INGEST_ARN_H

#include "ingest/resources.h"

struct arn_home {
	const char *region;  /* "us-east-1" */
	const char *account; /* twelve digits */
};

#define ARN_ROOM 160

/* 1 to 20 of a-z, 0-9 and '-'; twelve digits. RC_INVALID says which is wrong. */
enum rc arn_check_home(const struct arn_home *home, struct err *e) MUST_USE;
/* `home` was checked. */
void arn_write(char out[ARN_ROOM], const struct arn_home *home, enum resource_kind kind, const char *id);
/* RC_INVALID: no ARN of this service in shape. RC_NOTFOUND: it is another region's or account's, or of a
 * type that isn't known; whether the resource is there isn't looked up. */
enum rc arn_read(struct slice text, const struct arn_home *home, enum resource_kind *kind,
		 char id[RESOURCE_ID_ROOM], struct err *e) MUST_USE;

#endif
