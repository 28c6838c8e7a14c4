/*
 * ingest/action/qbusiness.h - DeliverToQBusiness: BatchPutDocument with one document
 *
 * What     The document's id is the message id; its title the subject; its content, PLAIN_TEXT, what mm-parse
 *          read of the message where that is at hand, else the message as it is; `_created_at` the time of
 *          receipt, `_authors` the From field. It has no access list: who may ask the application finds it.
 *          RoleArn isn't used: the endpoint's key is ours.
 * Bounds   QBUSINESS_TEXT bytes; a longer one is refused for good.
 * Answer   A 2xx whose list of failed documents has ours is none: InternalError is passing, what isn't found or
 *          is inactive the configuration's, all else for good.
 */
#ifndef MM_INGEST_ACTION_QBUSINESS_H
#define MM_INGEST_ACTION_QBUSINESS_H

#include "ingest/action/payload.h"

#define QBUSINESS_TEXT 47185920 /* 45 MiB: in base64 what a task may have in memory; the service takes files of 50 MB */

enum rc qbusiness_payload(struct payload *p, const struct payload_facts *f, struct err *e);
void qbusiness_payload_read(struct payload_result *out, const json_t *action, const struct call_result *r);

#endif
