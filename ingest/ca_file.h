/*
 * ingest/ca_file.h - the system's certificate authorities, read before a sandbox
 *
 * For the confined children that connect by TLS: libcurl gets them as bytes, for it can open no file.
 */
#ifndef MM_INGEST_CA_FILE_H
#define MM_INGEST_CA_FILE_H

#include "base/buf.h"

#define CA_FILE_MOST 4194304

/* Into an empty buffer of that limit. */
enum rc ca_file_read(struct buf *out, struct err *e) MUST_USE;

#endif
