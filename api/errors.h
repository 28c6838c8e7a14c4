/*
 * api/errors.h - the exceptions of the control API
 *
 * What     Their names as the SDKs know them, and their HTTP status. The first six are the model's, with
 *          its status (the public reference says 400 for all; SDKs go by the name); the others are those
 *          that AWS services share.
 * Who      A sender's fault is a 4xx and isn't retried, but for ThrottlingException; an SDK tries a 5xx
 *          again. No body, however malformed, is worth a 5xx.
 */
#ifndef MM_API_ERRORS_H
#define MM_API_ERRORS_H

#include "base/slice.h"

enum api_error {
	API_ACCESS_DENIED,
	API_CONFLICT,
	API_NOT_FOUND,
	API_QUOTA,
	API_THROTTLING,
	API_VALIDATION,
	API_UNKNOWN_OPERATION,
	API_SERIALIZATION, /* the body isn't of the input's types */
	API_TOO_LARGE,
	API_NOT_SIGNED,        /* no signature at all */
	API_UNKNOWN_CLIENT,    /* no such access key */
	API_WRONG_SIGNATURE,   /* also one that is too old, or was seen before */
	API_PARTIAL_SIGNATURE, /* a signature without something it needs */
	API_INTERNAL,
	API_UNAVAILABLE,
	API_ERRORS
};

/* "ValidationException" */
const char *api_error_name(enum api_error error);
int api_error_status(enum api_error error);
/* API_ERRORS when no exception has that name. */
enum api_error api_error_find(struct slice name);

#endif
