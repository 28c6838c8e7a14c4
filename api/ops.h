/* api/ops.h - the handlers of api/operations.h; each fills r->result or fails */
#ifndef MM_API_OPS_H
#define MM_API_OPS_H

#include "api/requests.h"

#define OPERATION(word, handler, class, enters, what)                                             \
	enum rc handler(struct request *r, struct err *e) MUST_USE;
#include "api/operations.h"
#undef OPERATION

#endif
