/*
 * api/control_flow.h - handlers of the operations on resources (api/control_handlers.h)
 *
 * What     One function for a verb where all kinds of resource go the same way: which kind it is, is in
 *          the operation's group (api/model.h).
 * Ids      Only an id names a resource here; names and ARNs are for files and rules.
 */
#ifndef MM_API_CONTROL_FLOW_H
#define MM_API_CONTROL_FLOW_H

#include "api/control.h"

enum rc control_create(struct control_call *c, struct err *e) MUST_USE;
enum rc control_get(struct control_call *c, struct err *e) MUST_USE;
enum rc control_update(struct control_call *c, struct err *e) MUST_USE;
enum rc control_delete(struct control_call *c, struct err *e) MUST_USE;
enum rc control_list(struct control_call *c, struct err *e) MUST_USE;
/* Listens on the first free port of api.ingress_pool. */
enum rc control_create_point(struct control_call *c, struct err *e) MUST_USE;
enum rc control_update_point(struct control_call *c, struct err *e) MUST_USE;
enum rc control_register_member(struct control_call *c, struct err *e) MUST_USE;
enum rc control_deregister_member(struct control_call *c, struct err *e) MUST_USE;
enum rc control_get_member(struct control_call *c, struct err *e) MUST_USE;
enum rc control_list_members(struct control_call *c, struct err *e) MUST_USE;
enum rc control_tag(struct control_call *c, struct err *e) MUST_USE; /* and untag */
enum rc control_list_tags(struct control_call *c, struct err *e) MUST_USE;

#endif
