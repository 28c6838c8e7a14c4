/*
 * base/json.h - the few calls on jansson that we make everywhere
 *
 * What     Text to json_t and back through slices and buffers, and reads of members that give a
 *          fallback for what is absent or of another type. JSON null and an absent member are the
 *          same for every reader here.
 * Owner    json_read and json_of_slice give a new reference (json_decref). Slices point into the
 *          json_t and live as long as it.
 * Fails    RC_INVALID for bad text, with line and column; RC_LIMIT past the buffer's limit. Running
 *          out of memory while building a value ends the process (base/compiler.h).
 * Memory   jansson that gets none ends the process, as mem_new does: nothing is an error because of it.
 * Threads  jansson's reference counts are atomic; a value that nobody changes may be read by many.
 */
#ifndef MM_BASE_JSON_H
#define MM_BASE_JSON_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"

/* One value and nothing behind it. A member that is there twice, a NUL in a string, text that is
 * not UTF-8: RC_INVALID. */
enum rc json_read(json_t **out, struct slice text, struct err *e) MUST_USE;
/* Adds the compact form (no blank, no line break, members in their order). Any type of value. */
enum rc json_write(struct buf *out, const json_t *value) MUST_USE;
/* Adds the form for people: indented by two, 15 digits of a real, a line break at the end. */
enum rc json_write_pretty(struct buf *out, const json_t *value) MUST_USE;

/* A member's text; `at` is NULL when it is absent or no string. */
struct slice json_member_text(const json_t *object, const char *member);
int64_t json_member_int(const json_t *object, const char *member, int64_t none);
/* Integers and reals. */
double json_member_number(const json_t *object, const char *member, double none);
bool json_member_bool(const json_t *object, const char *member, bool none);
/* The member if it is an array or object, else NULL (json_array_size(NULL) is 0). */
json_t *json_member_array(const json_t *object, const char *member);
json_t *json_member_object(const json_t *object, const char *member);
/* A string's text; `at` is NULL when `value` is no string. */
struct slice json_text(const json_t *value);

/* A string; bytes that are not UTF-8, and NUL, become U+FFFD. */
json_t *json_of_slice(struct slice s);
/* Puts a value that the caller gives away into an object, or at the end of an array. */
void json_put(json_t *object, const char *member, json_t *value);
void json_put_text(json_t *object, const char *member, struct slice s);
void json_put_int(json_t *object, const char *member, int64_t v);
void json_put_bool(json_t *object, const char *member, bool v);
void json_push(json_t *array, json_t *value);

#endif
