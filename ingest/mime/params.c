#include "ingest/mime/params.h"

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct slice skip_blanks(struct slice s)
{
	while (s.len && is_blank(s.at[0]))
		s = slice_from(s, 1);
	return s;
}

struct slice params_type(struct slice value)
{
	struct slice s = skip_blanks(value);
	size_t n = 0;

	while (n < s.len && !is_blank(s.at[n]) && s.at[n] != ';' && s.at[n] != '(')
		n++;
	return slice_part(s, 0, n);
}

static struct slice param_value(struct slice s)
{
	size_t n = 0;

	s = skip_blanks(s);
	if (s.len && s.at[0] == '"') {
		s = slice_from(s, 1);
		while (n < s.len && s.at[n] != '"')
			n += s.at[n] == '\\' && n + 1 < s.len ? 2 : 1;
		return slice_part(s, 0, n);
	}
	while (n < s.len && !is_blank(s.at[n]) && s.at[n] != ';')
		n++;
	return slice_part(s, 0, n);
}

/* Behind a name: "=", "*=", "*0=", "*0*=", with blanks around. */
static bool skip_equals(struct slice *s, bool *encoded)
{
	struct slice rest = skip_blanks(*s);

	if (rest.len && rest.at[0] == '*') {
		*encoded = true;
		while (rest.len && rest.at[0] != '=')
			rest = rest.at[0] == ';' ? slice_of(NULL, 0) : slice_from(rest, 1);
	}
	if (!rest.len || rest.at[0] != '=')
		return false;
	*s = slice_from(rest, 1);
	return true;
}

struct slice params_find(struct slice value, const char *name, bool *encoded)
{
	struct slice rest = value;
	struct slice wanted = slice_str(name);
	bool starred = false;

	while (rest.len) {
		struct slice s;

		(void)slice_cut(rest, ';', &rest);
		s = skip_blanks(rest);
		if (!slice_starts_nocase(s, wanted))
			continue;
		s = slice_from(s, wanted.len);
		if (skip_equals(&s, &starred)) {
			if (encoded)
				*encoded = starred;
			return param_value(s);
		}
	}
	return slice_of(NULL, 0);
}

size_t params_count(struct slice value)
{
	size_t n = 0;

	for (size_t i = 0; i < value.len; i++)
		n += value.at[i] == ';';
	return n;
}
