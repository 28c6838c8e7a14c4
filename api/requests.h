/*
 * api/requests.h - the typed requests that tools make, and their handlers
 *
 * What     One table of operations. A request is a JSON object with "op" and its arguments; some carry
 *          bytes behind a NUL after the JSON text. The answer goes through struct request_writer, so a
 *          handler doesn't know whether it serves a socket or the tool's own process.
 * Who      The kernel says who asks. Only the owner of the directory and root are served.
 * Audit    A search, a read, an export is entered and synced before its first row or byte is shown.
 * Threads  Handlers run on the request server's threads, several at a time.
 */
#ifndef MM_API_REQUESTS_H
#define MM_API_REQUESTS_H

#include "api/engine.h"
#include "base/json.h"
#include "base/request.h"

struct request {
	struct engine         *en;
	const json_t          *args;
	struct slice           bytes; /* what came behind the JSON text */
	const char            *who;   /* "uid 1000" */
	struct request_writer *w;
	json_t                *result; /* the handler's answer; {} when it leaves it NULL */
};

/* A request_handle; `arg` is the struct engine. */
void api_handle(void *arg, const struct request_peer *peer, struct slice json,
		struct request_writer *w);

/* For handlers. */
/* Sends a row; takes the reference over. */
enum rc request_row(struct request *r, json_t *row, struct err *e) MUST_USE;
/* A required string argument as a slice. */
enum rc request_text(const struct request *r, const char *name, struct slice *out,
		     struct err *e) MUST_USE;
/* The archive named by argument "archive"; RC_NOTFOUND names those that there are. */
enum rc request_archive(const struct request *r, struct config *c,
			const struct archive_info **out, struct err *e) MUST_USE;
/* The id of argument "id". */
enum rc request_id(const struct request *r, struct message_id *id, struct err *e) MUST_USE;

/* Ends the writer that imports use; before the spool is closed. */
struct import_line;
void import_line_free(struct import_line **line);
/* Ends the import writer's file, so that the spool can finish it; the next batch gets another. */
void import_line_rest(struct engine *en);
/* A disposition, or an erasure, as a row; a new reference. */
struct disposition;
json_t *disposition_json(const struct disposition *d);
struct erased;
json_t *erased_json(const struct erased *x, const struct config *c);

#endif
