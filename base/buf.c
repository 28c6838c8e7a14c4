#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *b, size_t limit)
{
	MUST(limit < SIZE_MAX / 4);
	*b = (struct buf) { .limit = limit };
}

void buf_free(struct buf *b)
{
	free(b->at);
	b->at = NULL;
	b->len = 0;
	b->room = 0;
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	if (b->at)
		b->at[0] = '\0';
}

enum rc buf_reserve(struct buf *b, size_t more)
{
	size_t want;
	size_t room = b->room ? b->room : 64;
	uint8_t *grown;

	if (more > b->limit - b->len)
		return RC_LIMIT;
	want = b->len + more + 1; /* the NUL */
	if (want <= b->room)
		return RC_OK;
	while (room < want)
		room *= 2;
	if (room > b->limit + 1)
		room = b->limit + 1;
	grown = realloc(b->at, room);
	if (!grown)
		return RC_LIMIT;
	b->at = grown;
	b->room = room;
	return RC_OK;
}

enum rc buf_add(struct buf *b, struct slice s)
{
	if (buf_reserve(b, s.len) != RC_OK)
		return RC_LIMIT;
	if (s.len)
		memcpy(b->at + b->len, s.at, s.len);
	b->len += s.len;
	b->at[b->len] = '\0';
	return RC_OK;
}

enum rc buf_add_byte(struct buf *b, uint8_t byte)
{
	return buf_add(b, slice_of(&byte, 1));
}

enum rc buf_add_str(struct buf *b, const char *s)
{
	return buf_add(b, slice_str(s));
}

enum rc buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || buf_reserve(b, (size_t)n) != RC_OK)
		return RC_LIMIT;
	va_start(ap, fmt);
	(void)vsnprintf((char *)b->at + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
	return RC_OK;
}

void buf_drop(struct buf *b, size_t n)
{
	MUST(n <= b->len);
	b->len -= n;
	if (b->len)
		memmove(b->at, b->at + n, b->len);
	if (b->at)
		b->at[b->len] = '\0';
}
