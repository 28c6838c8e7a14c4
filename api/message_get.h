/*
 * api/message_get.h - one message of an archive: its bytes, and what it says
 *
 * Threads  Any.
 */
#ifndef MM_API_MESSAGE_GET_H
#define MM_API_MESSAGE_GET_H

#include "api/engine.h"
#include "ingest/parse.h"

/* As store_get; RC_NOTFOUND also for a message that was erased: an erasure that damage keeps from its end
 * has hidden it all the same. Either buffer may be NULL. */
enum rc message_get(struct engine *en, uint32_t archive, const struct message_id *id, struct buf *meta,
		    struct buf *raw, struct err *e) MUST_USE;
/* Read by a worker in its sandbox. `show`: PARSED_PLAIN and PARSED_HTML in place of PARSED_BODY. To be
 * freed by parse_job_free, when RC_OK. */
enum rc message_parse(struct slice raw, bool show, struct parse_job *job, struct err *e) MUST_USE;

#endif
