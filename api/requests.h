/*
 * api/requests.h - the typed requests that tools make, and their handlers
 *
 * What     One table of operations. A request is a JSON object with "op" and its arguments; some carry
 *          bytes behind a NUL after the JSON text. The answer goes through struct request_writer, so a
 *          handler doesn't know whether it serves a socket or the tool's own process.
 * Who      The kernel says who asks. The owner of the directory and root are administrators; others are
 *          what the principal of their uid is (api/principal.h), or refused.
 * Archives An archive that isn't the principal's is answered like one that doesn't exist: a handler gets
 *          archives by request_archive, or asks request_sees of each that it comes across.
 * Audit    Every request is entered, allowed or refused (api/account.h). A search, a read, an export is
 *          entered and synced before its first row or byte is shown.
 * Threads  Handlers run on the request server's threads, several at a time.
 */
#ifndef MM_API_REQUESTS_H
#define MM_API_REQUESTS_H

#include "api/access.h"
#include "api/engine.h"
#include "base/json.h"
#include "base/request.h"

struct request {
	struct engine         *en;
	const json_t          *args;
	struct slice           bytes; /* what came behind the JSON text */
	const char            *who;   /* "uid 1000", "principal NAME (uid 1000)" */
	const struct access   *access;
	const struct principal *principal; /* NULL: the owner or root */
	struct principals     *principals; /* keeps the two */
	int64_t                known;      /* the generation that `access` was last compared with */
	bool                   accounted;  /* it has its entry */
	bool                   refused;    /* for want of a right */
	struct request_writer *w;      /* NULL: a call whose result alone is wanted */
	json_t                *result; /* the handler's answer; {} when it leaves it NULL */
};

/* A request_handle; `arg` is the struct engine. */
void api_handle(void *arg, const struct request_peer *peer, struct slice json,
		struct request_writer *w);

/* How many bytes a request of this user may have; for the server of a socket that others reach. */
size_t api_request_bytes(void *arg, const struct request_peer *peer);

/* For handlers. */
/* An entry for the log, and its sync: what is answered afterwards is accounted for. */
enum rc request_account(struct request *r, const char *event, json_t *detail,
			struct err *e) MUST_USE;
/* RC_DENIED when the role doesn't have the class at all. */
enum rc request_need(struct request *r, enum access_class class, struct err *e) MUST_USE;
/* Is it all the same to the asker whether there is this archive? Then it is not to be shown. */
bool request_sees(const struct request *r, const struct archive_info *a);
/* Is there nothing that it may not see? */
bool request_sees_all(const struct request *r);
/* A change of principals holds for requests that are under way: RC_DENIED, and counted as refused, when
 * the principal lost its right meanwhile. */
enum rc request_allowed(struct request *r, struct err *e) MUST_USE;
/* Sends a row; takes the reference over. First request_allowed. */
enum rc request_row(struct request *r, json_t *row, struct err *e) MUST_USE;
/* The same of bytes. */
enum rc request_piece(struct request *r, struct slice bytes, struct err *e) MUST_USE;
/* A required string argument as a slice. */
enum rc request_text(const struct request *r, const char *name, struct slice *out,
		     struct err *e) MUST_USE;
/* The archive named by argument "archive"; RC_INVALID names those that the asker may see. */
enum rc request_archive(const struct request *r, struct config *c,
			const struct archive_info **out, struct err *e) MUST_USE;
/* The message with that id, of the archive of argument "archive" or the first of all that the asker may read; `meta`
 * may be NULL. RC_NOTFOUND tells no more than he may know. */
enum rc request_message(struct request *r, struct config *c, const struct message_id *id,
			struct buf *meta, struct buf *raw, const struct archive_info **out,
			struct err *e) MUST_USE;
/* The id of argument "id". */
enum rc request_id_of(struct slice text, struct message_id *id, struct err *e) MUST_USE;
enum rc request_id(const struct request *r, struct message_id *id, struct err *e) MUST_USE;

/* Ends the writer that imports use; before the spool is closed. */
struct import_line;
void import_line_free(struct import_line **line);
/* Ends the import writer's file, so that the spool can finish it; the next batch gets another. */
void import_line_rest(struct engine *en);
/* For an entry of the log: of each resource that changed its kind, name, id, version and what was done.
 * A new reference. */
struct apply_result;
json_t *request_changes(const struct apply_result *a);
/* A row for each task of the message that the outbound queue has; counts them. And what it has, for the status. */
enum rc request_tasks(struct request *r, const struct message_id *id, unsigned *found, struct err *e) MUST_USE;
enum rc request_queue_counts(struct request *r, struct err *e) MUST_USE;
/* A disposition, or an erasure, as a row; a new reference. */
struct disposition;
json_t *disposition_json(const struct disposition *d);
struct erased;
json_t *erased_json(const struct request *r, const struct erased *x, const struct config *c);

#endif
