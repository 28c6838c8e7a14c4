/*
 * ingest/meta.h - what is kept beside a message: its envelope and how it came, as JSON text
 *
 * What     Text is put together while the envelope arrives, in one buffer that is empty between
 *          transactions. Members: docs/formats.md, "Meta of a message".
 * Why      Built for every message: a general JSON library takes longer than the rest of the
 *          transaction.
 * Text     Bytes that are not UTF-8 (a HELO name may hold any) become U+FFFD, control characters
 *          \u00XX, so the result is JSON whatever a peer sends.
 * Threads  Pure functions.
 */
#ifndef MM_INGEST_META_H
#define MM_INGEST_META_H

#include "base/buf.h"

/* Adds a string with its quotes. */
enum rc meta_string(struct buf *b, struct slice text) MUST_USE;
/* Adds `"name":` and the value, with a comma in front where one is needed. `name` is one of ours:
 * it is not escaped. */
enum rc meta_text(struct buf *b, const char *name, struct slice text) MUST_USE;
enum rc meta_text_if(struct buf *b, const char *name, struct slice text) MUST_USE; /* not empty */
enum rc meta_int(struct buf *b, const char *name, int64_t v) MUST_USE;
enum rc meta_bool(struct buf *b, const char *name, bool v) MUST_USE;
/* `"name":{` or `"name":[`; then the members; then the bracket that closes it. */
enum rc meta_open(struct buf *b, const char *name, char bracket) MUST_USE;
enum rc meta_close(struct buf *b, char bracket) MUST_USE;
/* An object as an element of an array. */
enum rc meta_element(struct buf *b) MUST_USE;

#endif
