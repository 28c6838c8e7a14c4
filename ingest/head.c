#include "ingest/head.h"

#include "base/limits.h"

struct head head_of(struct slice message)
{
	return (struct head) { slice_part(message, 0, LIMIT_HEADER_BLOCK), 0 };
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* A line with its end, LF or CRLF. */
static struct slice take_line(struct slice *s)
{
	size_t end = slice_find_byte(*s, '\n');
	struct slice line = slice_part(*s, 0, end == SIZE_MAX ? s->len : end + 1);

	*s = slice_from(*s, line.len);
	return line;
}

static bool is_empty(struct slice line)
{
	return line.at[0] == '\n' || (line.len == 2 && line.at[0] == '\r' && line.at[1] == '\n');
}

/* A line and those that continue it. */
static struct slice take_field(struct slice *s)
{
	const uint8_t *begin = s->at;

	(void)take_line(s);
	while (s->len && is_blank(s->at[0]))
		(void)take_line(s);
	return slice_of(begin, (size_t)(s->at - begin));
}

bool head_next(struct head *h, struct head_field *f)
{
	while (h->rest.len && !is_empty(slice_part(h->rest, 0, 2)) && h->fields++ < LIMIT_HEADERS) {
		struct slice field = take_field(&h->rest);
		struct slice lines = field;
		size_t colon = slice_find_byte(take_line(&lines), ':');

		if (colon == SIZE_MAX || is_blank(field.at[0]))
			continue;
		f->name = slice_trim(slice_part(field, 0, colon));
		if (!f->name.len)
			continue;
		f->value = slice_from(field, colon + 1);
		return true;
	}
	return false;
}

/* How many bytes the character at the front has, or 0 where there is no valid one. */
static size_t character(struct slice s)
{
	for (size_t n = 1; n <= MIN_OF(s.len, 4U); n++)
		if (slice_is_utf8(slice_part(s, 0, n)))
			return n;
	return 0;
}

enum rc head_text(struct slice value, size_t most, struct buf *out)
{
	struct slice s = slice_trim(value);
	size_t begin = out->len;
	bool blank = false; /* one is due: of a fold, or a control character */
	enum rc rc = RC_OK;

	while (s.len && rc == RC_OK) {
		size_t n = character(s);

		if (out->len - begin + 8 > most)
			return buf_add_str(out, "...");
		if (n == 1 && (s.at[0] < ' ' || s.at[0] == 127 || s.at[0] == ' ')) {
			blank = blank || s.at[0] != '\r';
			s = slice_from(s, 1);
			continue;
		}
		if (blank && out->len > begin)
			rc = buf_add_byte(out, ' ');
		blank = false;
		if (rc == RC_OK)
			rc = n ? buf_add(out, slice_part(s, 0, n))
			       : buf_add_str(out, "\xef\xbf\xbd");
		s = slice_from(s, MAX_OF(n, (size_t)1));
	}
	return rc;
}
