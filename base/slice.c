#include "base/slice.h"

#include <stdlib.h>

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

bool slice_equal(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.at[i]) != lower(b.at[i]))
			return false;
	return true;
}

bool slice_starts_nocase(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len && slice_equal_nocase(slice_part(s, 0, prefix.len), prefix);
}

bool slice_ends_nocase(struct slice s, struct slice suffix)
{
	return s.len >= suffix.len && slice_equal_nocase(slice_from(s, s.len - suffix.len), suffix);
}

bool slice_contains_nocase(struct slice s, struct slice part)
{
	for (size_t i = 0; i + part.len <= s.len; i++)
		if (slice_equal_nocase(slice_part(s, i, part.len), part))
			return true;
	return false;
}

size_t slice_find_byte(struct slice s, uint8_t byte)
{
	const uint8_t *hit = s.len ? memchr(s.at, byte, s.len) : NULL;

	return hit ? (size_t)(hit - s.at) : SIZE_MAX;
}

size_t slice_find(struct slice s, struct slice part)
{
	const uint8_t *hit;

	if (part.len == 0)
		return 0;
	hit = s.len ? memmem(s.at, s.len, part.at, part.len) : NULL;
	return hit ? (size_t)(hit - s.at) : SIZE_MAX;
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice slice_trim(struct slice s)
{
	while (s.len && is_blank(s.at[0]))
		s = slice_from(s, 1);
	while (s.len && is_blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

struct slice slice_cut(struct slice s, uint8_t byte, struct slice *rest)
{
	size_t at = slice_find_byte(s, byte);

	if (at == SIZE_MAX) {
		*rest = slice_of(NULL, 0);
		return s;
	}
	*rest = slice_from(s, at + 1);
	return slice_part(s, 0, at);
}

bool slice_to_u64(struct slice s, uint64_t *out)
{
	uint64_t n = 0;

	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.at[i];

		if (c < '0' || c > '9')
			return false;
		if (__builtin_mul_overflow(n, (uint64_t)10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(c - '0'), &n))
			return false;
	}
	*out = n;
	return true;
}

char *slice_string(struct slice s)
{
	char *copy = mem_new(s.len + 1);

	if (s.len)
		memcpy(copy, s.at, s.len);
	return copy;
}

/* Bytes of the well-formed sequence at s.at[0], or 0 (Unicode standard, table 3-7). */
static size_t utf8_sequence(struct slice s)
{
	uint8_t a = s.at[0];
	uint8_t low = 0x80;
	uint8_t high = 0xbf;
	size_t n;

	if (a < 0x80)
		return 1;
	if (a >= 0xc2 && a <= 0xdf)
		n = 2;
	else if (a >= 0xe0 && a <= 0xef)
		n = 3;
	else if (a >= 0xf0 && a <= 0xf4)
		n = 4;
	else
		return 0;
	if (s.len < n)
		return 0;
	if (a == 0xe0)
		low = 0xa0;
	else if (a == 0xed)
		high = 0x9f;
	else if (a == 0xf0)
		low = 0x90;
	else if (a == 0xf4)
		high = 0x8f;
	if (s.at[1] < low || s.at[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((s.at[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* ASCII bytes at the front, eight at a time: most text is nothing else. */
static size_t ascii_run(struct slice s)
{
	size_t n = 0;
	uint64_t eight;

	for (; s.len - n >= sizeof(eight); n += sizeof(eight)) {
		memcpy(&eight, s.at + n, sizeof(eight));
		if (eight & 0x8080808080808080U)
			break;
	}
	return n;
}

bool slice_is_utf8(struct slice s)
{
	while (s.len) {
		size_t n = ascii_run(s);

		if (n == 0)
			n = utf8_sequence(s);
		if (n == 0)
			return false;
		s = slice_from(s, n);
	}
	return true;
}
