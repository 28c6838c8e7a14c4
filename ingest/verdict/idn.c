#include "ingest/verdict/idn.h"

#include <idn2.h>

static bool is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] & 0x80)
			return false;
	return true;
}

static bool is_name(const char *s)
{
	size_t label = 0;

	if (strlen(s) > 253)
		return false;
	for (; *s; s++) {
		bool plain = (*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || *s == '-' ||
		             *s == '_';

		if (*s == '.' ? label == 0 : !plain)
			return false;
		label = *s == '.' ? 0 : label + 1;
		if (label > 63)
			return false;
	}
	return label > 0;
}

static bool copy(char out[256], struct slice s)
{
	if (s.len > 253)
		return false;
	memcpy(out, s.at, s.len);
	out[s.len] = 0;
	for (char *c = out; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c | 0x20);
	return is_name(out);
}

bool idn_to_ascii(char out[256], struct slice shown)
{
	char text[IDN_SHOWN];
	char *made = NULL;
	bool good;

	if (shown.len == 0 || shown.len >= sizeof(text) || memchr(shown.at, 0, shown.len))
		return false;
	if (is_ascii(shown))
		return copy(out, shown);
	memcpy(text, shown.at, shown.len);
	text[shown.len] = 0;
	good = idn2_to_ascii_8z(text, &made, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK &&
	       copy(out, slice_str(made));
	idn2_free(made);
	return good;
}
