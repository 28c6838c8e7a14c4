/*
 * ingest/deliver/s3.h - one bucket of an S3 server: objects put whole or in parts
 *
 * What     An object is a stream: what comes is kept until it is a part's length; an object that ends
 *          before that is put whole, any other one as a multipart upload. Requests are signed by
 *          base/sigv4 and made by libcurl; each is tried again, signed anew, after a connection that failed,
 *          a 5xx, a 429 or a time-out of the server, with a wait that doubles.
 * Trust    TLS certificates are checked against the CA file that s3_new read, for the host's name. No proxy,
 *          no redirect, no other protocol, no other host: addresses are those that s3_new looked up.
 *          Of an answer 64 KiB are kept, and of what they say an id, an ETag and an error's code are used.
 * Fails    As ingest/deliver.h. After a failure s3_abort takes back what was begun.
 * Threads  One.
 */
#ifndef MM_INGEST_DELIVER_S3_H
#define MM_INGEST_DELIVER_S3_H

#include "base/buf.h"
#include "base/json.h"

struct s3;

/* Reads the CA file and looks names up: before the sandbox. `config` and `bucket` as ingest/deliver_wire.h
 * says; `gone` is asked while a request runs and before it is tried again: true ends it. */
enum rc  s3_new(struct s3 **out, const json_t *config, const json_t *bucket, bool (*gone)(void *arg),
		void *arg, struct err *e) MUST_USE;
void     s3_free(struct s3 **s);
uint16_t s3_port(const struct s3 *s);

enum rc s3_begin(struct s3 *s, struct slice key, struct slice type, struct err *e) MUST_USE;
enum rc s3_add(struct s3 *s, struct slice bytes, struct err *e) MUST_USE;
enum rc s3_end(struct s3 *s, struct err *e) MUST_USE;
/* Takes back a multipart upload that was begun. Nothing to do: nothing is done. */
void    s3_abort(struct s3 *s);

#endif
