/*
 * query/row_read.h - a result row back from its JSON form, for tools that get rows over a socket
 */
#ifndef MM_QUERY_ROW_READ_H
#define MM_QUERY_ROW_READ_H

#include <jansson.h>

#include "index/index.h"

/* The row borrows from `row` and from `memory` (lists joined one a line), which is emptied first.
 * RC_INVALID names the member that is missing or wrong; RC_LIMIT when `memory` is too small. */
enum rc row_read(const json_t *row, struct index_row *out, struct buf *memory,
		 struct err *e) MUST_USE;

#endif
