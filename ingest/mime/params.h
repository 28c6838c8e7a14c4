/*
 * ingest/mime/params.h - a structured header's value, read simply
 *
 * For the pre-scan and the plain reader, which must not depend on the MIME library. RFC 2231's forms
 * are not decoded.
 */
#ifndef MM_INGEST_MIME_PARAMS_H
#define MM_INGEST_MIME_PARAMS_H

#include "base/slice.h"

/* "text/plain" of "text/plain; charset=x". */
struct slice params_type(struct slice value);
/* The value of the first parameter of that name, without quotes; backslashes stay. *encoded is set
 * when the name is followed by '*' (RFC 2231); may be NULL. Empty when there is none. */
struct slice params_find(struct slice value, const char *name, bool *encoded);
/* Semicolons, an upper bound of the number of parameters. */
size_t params_count(struct slice value);

#endif
