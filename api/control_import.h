/*
 * api/control_import.h - handlers of the operations on import jobs (api/control_handlers.h), and the file
 * that is put to a job's link
 */
#ifndef MM_API_CONTROL_IMPORT_H
#define MM_API_CONTROL_IMPORT_H

#include "api/control.h"

enum rc control_create_import(struct control_call *c, struct err *e) MUST_USE;
enum rc control_get_import(struct control_call *c, struct err *e) MUST_USE;
enum rc control_list_imports(struct control_call *c, struct err *e) MUST_USE;
enum rc control_start_import(struct control_call *c, struct err *e) MUST_USE;
enum rc control_stop_import(struct control_call *c, struct err *e) MUST_USE;

/* `args` of the request are job and query (principal=NAME&...); the file is its bytes. A file that is put
 * again takes the place of the one before. */
enum rc control_take_upload(struct request *r, struct err *e) MUST_USE;

#endif
