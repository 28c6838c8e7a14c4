/*
 * api/control.h - the control API in mmd: what mm-httpd passes on, and the answers
 *
 * What     A call is the request {"op":"api","principal","key","operation","input","request","address",
 *          "origin"}, over a lane (api/http_front.h). Its answer is {"output":{...}} or
 *          {"error":NAME,"message":TEXT}. Two more requests carry bytes: "api-message" (a link to a
 *          message was followed) and "api-import" (the file of an import job). "api-refused" says who could
 *          not say who he is.
 * Checks   Everything again that mm-httpd checked but the signature: it may have been broken into. Then
 *          whether the principal may; a foreign archive and one that isn't there end at the same place.
 * Audit    A change is entered before it is committed; a search, an export, a read before its answer; all
 *          else as api/account.h counts it.
 * Threads  Handlers run on the request server's threads, several at a time.
 */
#ifndef MM_API_CONTROL_H
#define MM_API_CONTROL_H

#include "api/model.h"
#include "api/requests.h"

struct control_call {
	struct request *r;
	const struct model_operation *op;
	const json_t *input; /* of the operation's shape */
	json_t *output;      /* the handler's; {} when it leaves it NULL */
	enum api_error error; /* what a failure is for the client; API_ERRORS: by its rc */
};

/* A request_handle for connections that are `front`; `arg` is the struct engine. */
void control_handle(void *arg, const struct request_peer *peer, struct slice json,
		    struct request_writer *w);

/* Of one request that mm-httpd passes on: a body of HTTP and what it says beside it. */
size_t control_request_bytes(void *arg, const struct request_peer *peer);

/* ---- for handlers ---- */

typedef enum rc (*control_run)(struct control_call *c, struct err *e);
/* NULL: it isn't built yet. */
control_run control_find(struct slice operation);

/* A member of the input as text; at NULL where it is absent. */
struct slice control_text(const struct control_call *c, const char *member);
/* The archive with the id of the input's ArchiveId; `error` is what it is to the client when there is none
 * that he sees (API_NOT_FOUND where the operation lists it, else API_VALIDATION). The slice of its info
 * lives as long as the config. */
enum rc control_archive(struct control_call *c, struct config *config,
			const struct archive_info **out, struct err *e) MUST_USE;
/* Where links lead that an answer has: the configured address, else where this client found us, else the
 * listener; NULL: there is none of these. */
const char *control_url(const struct control_call *c);
/* NextToken of the list that is called so, for a cursor that is a number; none for an empty one. A cursor
 * counts what isn't the asker's too, so it leaves sealed, and of one length. */
#define CURSOR_ROOM 24
void control_put_next(struct control_call *c, const char *list, struct slice cursor);
/* The cursor of the input's; empty where it has none. RC_INVALID: it is no NextToken of that list. */
enum rc control_next(const struct control_call *c, const char *list, char cursor[CURSOR_ROOM],
		     struct err *e) MUST_USE;
/* Milliseconds become what the model calls a timestamp; an absent time leaves the member out. */
void control_put_time(json_t *o, const char *member, int64_t ms);

#endif
