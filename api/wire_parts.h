/*
 * api/wire_parts.h - what both protocols make the same json_t of; for api/wire*.c alone
 */
#ifndef MM_API_WIRE_PARTS_H
#define MM_API_WIRE_PARTS_H

#include "api/wire.h"

/* New references, or NULL with "path: what is wrong" in `e`. */
json_t *wire_number(double number, const struct shape_path *path, struct err *e);
json_t *wire_integer(int64_t number, const struct shape_path *path, struct err *e);
json_t *wire_time(double seconds, const struct shape_path *path, struct err *e);
json_t *wire_time_whole(int64_t seconds, const struct shape_path *path, struct err *e);

/* The text of a value that isn't of its shape's kind. Gives NULL. */
json_t *wire_wrong(const struct shape *shape, const struct shape_path *path, struct err *e);

json_t *wire_json_value(const struct shape *shape, struct slice body, struct err *e);
json_t *wire_cbor_value(const struct shape *shape, struct slice body, struct err *e);

#endif
