#include "ingest/verdict/cfws.h"

#include "ingest/verdict/tags.h"

static bool skip_comment(struct slice *rest)
{
	size_t depth = 0;

	for (size_t i = 0; i < rest->len; i++) {
		uint8_t c = rest->at[i];

		if (c == '\\') {
			i++;
		} else if (c == '(') {
			depth++;
		} else if (c == ')' && --depth == 0) {
			*rest = slice_from(*rest, i + 1);
			return true;
		}
	}
	return false;
}

bool cfws_skip(struct slice *rest)
{
	for (;;) {
		while (rest->len && fws_is(rest->at[0]))
			*rest = slice_from(*rest, 1);
		if (!rest->len || rest->at[0] != '(')
			return true;
		if (!skip_comment(rest))
			return false;
	}
}

bool cfws_byte(struct slice *rest, char byte)
{
	if (!rest->len || rest->at[0] != (uint8_t)byte)
		return false;
	*rest = slice_from(*rest, 1);
	return true;
}

bool cfws_is_token(uint8_t c)
{
	return c > ' ' && c != 127 && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

static bool take_token(struct slice *rest, char *out, size_t room)
{
	size_t n = 0;

	while (n < rest->len && cfws_is_token(rest->at[n]))
		n++;
	if (n == 0 || n >= room)
		return false;
	memcpy(out, rest->at, n);
	out[n] = '\0';
	*rest = slice_from(*rest, n);
	return true;
}

static bool take_quoted(struct slice *rest, char *out, size_t room)
{
	size_t n = 0;

	for (size_t i = 1; i < rest->len; i++) {
		uint8_t c = rest->at[i];

		if (c == '"') {
			*rest = slice_from(*rest, i + 1);
			out[n] = '\0';
			return true;
		}
		if (c == '\r' || c == '\n')
			continue; /* a fold is the blank that follows */
		if (c == '\\' && ++i < rest->len)
			c = rest->at[i];
		if (n + 1 >= room || c == '\0')
			return false;
		out[n++] = (char)c;
	}
	return false;
}

bool cfws_word(struct slice *rest, char *out, size_t room)
{
	if (rest->len && rest->at[0] == '"')
		return take_quoted(rest, out, room);
	return take_token(rest, out, room);
}
