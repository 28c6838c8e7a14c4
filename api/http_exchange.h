/*
 * api/http_exchange.h - one request to mm-httpd: who asks, what for, the call to mmd, the answer
 *
 * Routes   POST /                                          AWS JSON 1.0
 *          POST /service/MailManagerSvc/operation/NAME     Smithy RPC v2 CBOR
 *          GET  /message/ARCHIVE/ID?...                    a link that GetArchiveMessage gave
 *          PUT  /import/JOB?...                            the file of an import job
 * Order    What can be refused before the body is read is: the route, the signature's form, scope
 * and time. Then the signature over the body, then the operation and its input, then mmd. Threads
 * The loop's.
 */
#ifndef MM_API_HTTP_EXCHANGE_H
#define MM_API_HTTP_EXCHANGE_H

#include "api/http_conn.h"
#include "api/http_head.h"

struct http_exchange;

/* A request whose head is there. NULL when it was answered: its body isn't wanted. The slices of
 * the head live for the call. */
struct http_exchange *http_exchange_new(struct http_conn *c, const struct http_head *head);
/* Its body is there as well; the head is read anew and lies beside it. */
void http_exchange_run(struct http_exchange *x, const struct http_head *head, struct slice body);
/* There is room for more of the answer. */
void http_exchange_resume(struct http_exchange *x);
void http_exchange_free(struct http_exchange **x); /* NULL is fine */

#endif
