/*
 * api/api_options.h - what the configuration says of the control API
 */
#ifndef MM_API_API_OPTIONS_H
#define MM_API_API_OPTIONS_H

#include "base/cidr.h"
#include "base/json.h"

struct api_options {
	char region[33];  /* of ARNs: "us-east-1" */
	char account[13]; /* twelve digits: "000000000000" */
	char hostname[256]; /* under which ingress points are told */
	bool open;        /* profile "open": without the service's quotas and bounds */
	unsigned search_results; /* of one search, with `open` */
	unsigned jobs_kept; /* searches, exports of a principal; import jobs of an address list */
	struct ip pool;   /* where ingress points that are made by the API listen; family 0: nowhere */
	uint16_t pool_low;
	uint16_t pool_high;
};

/* From the configuration's "api" (NULL: defaults). RC_INVALID names the member. */
enum rc api_configure(struct api_options *out, const json_t *api, struct err *e) MUST_USE;

#endif
