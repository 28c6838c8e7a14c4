/*
 * api/control_tool.h - requests of the socket (api/operations.h) as operations of the control API
 *
 * What     For mmctl --endpoint: the operation MmWORD is the request "word", its members are the request's
 *          arguments, and what that answers is the member Text, as JSON.
 * Checks   are the request's own, under the access of the principal who signed.
 */
#ifndef MM_API_CONTROL_TOOL_H
#define MM_API_CONTROL_TOOL_H

#include "api/control.h"

enum rc control_as_tool(struct control_call *c, struct err *e) MUST_USE;

#endif
