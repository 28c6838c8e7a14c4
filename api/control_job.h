/*
 * api/control_job.h - the operations on searches, exports and single messages
 *
 * What     A control_run each (api/control.h): `input` is of the operation's shape, `r` says who asks; they
 *          leave `output` and, where the return value alone doesn't tell, `error`. The caller has checked
 *          the role's class.
 * Archives One that the asker doesn't see is answered like one that isn't there, byte by byte; so is a
 *          search, an export, a message of it.
 */
#ifndef MM_API_CONTROL_JOB_H
#define MM_API_CONTROL_JOB_H

#include "api/control.h"

enum rc control_start_search(struct control_call *c, struct err *e) MUST_USE;
enum rc control_get_search(struct control_call *c, struct err *e) MUST_USE;
enum rc control_search_results(struct control_call *c, struct err *e) MUST_USE;
enum rc control_list_searches(struct control_call *c, struct err *e) MUST_USE;
enum rc control_stop_search(struct control_call *c, struct err *e) MUST_USE;
enum rc control_start_export(struct control_call *c, struct err *e) MUST_USE;
enum rc control_get_export(struct control_call *c, struct err *e) MUST_USE;
enum rc control_list_exports(struct control_call *c, struct err *e) MUST_USE;
enum rc control_stop_export(struct control_call *c, struct err *e) MUST_USE;
enum rc control_get_message(struct control_call *c, struct err *e) MUST_USE;
enum rc control_get_message_content(struct control_call *c, struct err *e) MUST_USE;

/* A link was followed: `args` of the request are archive, id and query (principal=NAME&...). Sends the row
 * {"bytes":N,"name":ID}, then the message in pieces of at most 256 KiB. The caller has made `r` that
 * principal's. */
enum rc control_send_message(struct request *r, struct err *e) MUST_USE;

#endif
