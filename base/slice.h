/*
 * base/slice.h - a borrowed run of bytes
 *
 * A slice owns nothing and lives as long as what it points into. It need not end in NUL and may
 * hold NUL. Pass it by value.
 */
#ifndef MM_BASE_SLICE_H
#define MM_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

struct slice {
	const uint8_t *at;
	size_t len;
};

static inline struct slice slice_of(const void *at, size_t len)
{
	return (struct slice) { at, len };
}

static inline struct slice slice_str(const char *s)
{
	return (struct slice) { (const uint8_t *)s, s ? strlen(s) : 0 };
}

/* From `from`, at most `len` bytes; both are clamped to what is there. */
static inline struct slice slice_part(struct slice s, size_t from, size_t len)
{
	if (from > s.len)
		from = s.len;
	if (len > s.len - from)
		len = s.len - from;
	return (struct slice) { s.at ? s.at + from : NULL, len };
}

static inline struct slice slice_from(struct slice s, size_t from)
{
	return slice_part(s, from, SIZE_MAX);
}

bool slice_equal(struct slice a, struct slice b);
/* ASCII letters compare without case. */
bool slice_equal_nocase(struct slice a, struct slice b);
bool slice_starts_nocase(struct slice s, struct slice prefix);
bool slice_ends_nocase(struct slice s, struct slice suffix);
bool slice_contains_nocase(struct slice s, struct slice part);
/* Position of the first such byte or run, or SIZE_MAX. */
size_t slice_find_byte(struct slice s, uint8_t byte);
size_t slice_find(struct slice s, struct slice part);
/* Without leading and trailing blanks, tabs, CR and LF. */
struct slice slice_trim(struct slice s);
/* The part before the first `byte`; `*rest` is what follows it (empty when there is none). */
struct slice slice_cut(struct slice s, uint8_t byte, struct slice *rest);
/* Decimal digits only, no sign, no blank, no overflow; false otherwise (also for an empty slice).
 */
bool slice_to_u64(struct slice s, uint64_t *out);
/* A NUL-terminated copy, to be freed by the caller. A NUL inside ends the string for C readers. */
char *slice_string(struct slice s);
/* RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF. */
bool slice_is_utf8(struct slice s);

#endif
