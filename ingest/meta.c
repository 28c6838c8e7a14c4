#include "ingest/meta.h"

/* Length of the UTF-8 sequence at the start of s; 0 when it is none (RFC 3629 section 4). */
static size_t sequence(struct slice s)
{
	uint8_t c = s.at[0];
	size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	return n && n <= s.len && slice_is_utf8(slice_part(s, 0, n)) ? n : 0;
}

/* How many bytes from the start need no escape. */
static size_t plain_run(struct slice s)
{
	size_t i = 0;

	while (i < s.len && s.at[i] >= 0x20 && s.at[i] < 0x7f && s.at[i] != '"' && s.at[i] != '\\')
		i++;
	return i;
}

/* Adds what one character needs and takes it off s. */
static enum rc add_odd(struct buf *b, struct slice *s)
{
	uint8_t c = s->at[0];
	size_t n = sequence(*s);
	struct slice taken = slice_part(*s, 0, n ? n : 1);

	*s = slice_from(*s, taken.len);
	if (!n)
		return buf_add_str(b, "\xef\xbf\xbd");
	if (n > 1)
		return buf_add(b, taken);
	if (c == '"' || c == '\\')
		return buf_addf(b, "\\%c", c);
	return buf_addf(b, "\\u%04x", c);
}

enum rc meta_string(struct buf *b, struct slice text)
{
	enum rc rc = buf_add_byte(b, '"');

	while (rc == RC_OK && text.len) {
		size_t n = plain_run(text);

		rc = buf_add(b, slice_part(text, 0, n));
		text = slice_from(text, n);
		if (rc == RC_OK && text.len)
			rc = add_odd(b, &text);
	}
	return rc == RC_OK ? buf_add_byte(b, '"') : rc;
}

/* A comma, unless this is the first of its kind. */
static enum rc separate(struct buf *b)
{
	uint8_t last = b->len ? b->at[b->len - 1] : '{';

	return last == '{' || last == '[' ? RC_OK : buf_add_byte(b, ',');
}

static enum rc put_name(struct buf *b, const char *name)
{
	enum rc rc = separate(b);

	if (rc == RC_OK)
		rc = buf_add_byte(b, '"');
	if (rc == RC_OK)
		rc = buf_add_str(b, name);
	return rc == RC_OK ? buf_add_str(b, "\":") : rc;
}

enum rc meta_text(struct buf *b, const char *name, struct slice text)
{
	enum rc rc = put_name(b, name);

	return rc == RC_OK ? meta_string(b, text) : rc;
}

enum rc meta_text_if(struct buf *b, const char *name, struct slice text)
{
	return text.len ? meta_text(b, name, text) : RC_OK;
}

enum rc meta_int(struct buf *b, const char *name, int64_t v)
{
	enum rc rc = put_name(b, name);

	return rc == RC_OK ? buf_addf(b, "%lld", (long long)v) : rc;
}

enum rc meta_bool(struct buf *b, const char *name, bool v)
{
	enum rc rc = put_name(b, name);

	return rc == RC_OK ? buf_add_str(b, v ? "true" : "false") : rc;
}

enum rc meta_open(struct buf *b, const char *name, char bracket)
{
	enum rc rc = put_name(b, name);

	return rc == RC_OK ? buf_add_byte(b, (uint8_t)bracket) : rc;
}

enum rc meta_close(struct buf *b, char bracket)
{
	return buf_add_byte(b, (uint8_t)bracket);
}

enum rc meta_element(struct buf *b)
{
	enum rc rc = separate(b);

	return rc == RC_OK ? buf_add_byte(b, '{') : rc;
}
