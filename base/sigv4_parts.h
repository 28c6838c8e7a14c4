/*
 * base/sigv4_parts.h - what the files of base/sigv4.h share
 */
#ifndef MM_BASE_SIGV4_PARTS_H
#define MM_BASE_SIGV4_PARTS_H

#include "base/sigv4.h"

#define SIGV4_ALGORITHM "AWS4-HMAC-SHA256"
#define SIGV4_END       "aws4_request"

struct sigv4_scope {
	const char *time; /* SIGV4_TIME characters; the first 8 are the day */
	struct slice region;
	struct slice service;
};

struct sigv4_param {
	struct slice name; /* as on the wire */
	struct slice value;
};

/* Takes the next parameter off a query; empty ones ("&&") are passed over, and all empty is the
 * end. */
struct sigv4_param sigv4_param_next(struct slice *query);
/* Escapes decoded into `room` bytes with a NUL; false for a broken escape, what isn't printable
 * ASCII, or no room. */
bool sigv4_decode(char *out, size_t room, struct slice text);
static inline uint8_t sigv4_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* Below, at or above 0 as `a` comes before, is, or comes behind `b`, without case. */
int sigv4_name_order(struct slice a, struct slice b);
/* "20260102T030405Z" of a real day and time. */
bool sigv4_time_parse(struct slice text, int64_t *ms);
/* The first field of that name. */
const struct http_field *sigv4_field(const struct sigv4_request *r, const char *name);

enum rc sigv4_string_to_sign(struct buf *out, const struct sigv4_scope *s,
                             const struct sigv4_request *r, struct slice names,
                             struct slice payload, struct err *e) MUST_USE;
void sigv4_signature(char out[SIGV4_HASH + 1], const struct sigv4_scope *s, struct slice text,
                     struct slice secret);
bool sigv4_matches(const char *signature, const struct sigv4_scope *s, struct slice text,
                   struct slice secret, struct sigv4_derived *d);

#endif
