/*
 * ingest/mime/prescan.h - may the MIME library see this message?
 *
 * What     One linear pass over the raw bytes before GMime gets one of them: it follows headers and
 *          boundaries as GMime does and counts. GMime 3.2 recurses without end on nested groups, takes
 *          190 bytes for each byte of tiny parts and aborts when memory is gone.
 * Limits   LIMIT_HEADER_BLOCK, LIMIT_HEADERS, LIMIT_HEADER, LIMIT_PARAMS for every header block of the
 *          message, also those of parts and messages inside; LIMIT_ADDRESSES and LIMIT_GROUP_DEPTH for
 *          each header of addresses; LIMIT_PARTS and LIMIT_PART_DEPTH.
 * Safety   It is no proof: a reading of boundaries that differs may slip through. What then happens
 *          costs the worker, which is replaced.
 */
#ifndef MM_INGEST_MIME_PRESCAN_H
#define MM_INGEST_MIME_PRESCAN_H

#include "base/limits.h"
#include "base/slice.h"

#define LIMIT_PARAMS 1000

/* NULL when it may; else the limit that it is over, for people. */
const char *prescan(struct slice message);

#endif
