#include "store/likeness.h"

#include "base/codec.h"

#define HEAD_BYTES (16u << 10)
#define SUBJECT_AT 8

/* Letters are made small; 0: neither letter nor digit. */
static uint8_t plain_letter(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return (uint8_t)(c | 0x20);
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : 0;
}

/* FNV-1a over letters and digits. */
static uint32_t hash(struct slice s)
{
	uint32_t h = UINT32_C(2166136261);

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = plain_letter(s.at[i]);

		if (c)
			h = (h ^ c) * UINT32_C(16777619);
	}
	return h;
}

static struct slice domain_of(struct slice from)
{
	size_t end;

	for (size_t i = from.len; i > 0; i--) {
		if (from.at[i - 1] != '@')
			continue;
		for (end = i; end < from.len; end++)
			if (!plain_letter(from.at[end]) && from.at[end] != '.' &&
			    from.at[end] != '-')
				break;
		return slice_part(from, i, end - i);
	}
	return slice_part(from, 0, 0);
}

/* Without "Re:" and the like. */
static struct slice without_prefixes(struct slice s)
{
	static const char *const prefixes[] = { "re:", "fwd:", "fw:", "aw:" };

	for (size_t i = 0; i < COUNT(prefixes); i++) {
		s = slice_trim(s);
		if (slice_starts_nocase(s, slice_str(prefixes[i]))) {
			s = slice_from(s, strlen(prefixes[i]));
			i = SIZE_MAX; /* from the first again */
		}
	}
	return s;
}

static void put_subject(uint8_t *out, struct slice s)
{
	size_t n = 0;

	s = without_prefixes(s);
	memset(out, 0, LIKENESS_BYTES - SUBJECT_AT);
	for (size_t i = 0; i < s.len && n < LIKENESS_BYTES - SUBJECT_AT; i++) {
		out[n] = plain_letter(s.at[i]);
		n += out[n] != 0;
	}
}

/* The next header field with the lines that continue it; empty at the end of the header. */
static struct slice next_field(struct slice *rest)
{
	struct slice field = *rest;
	size_t end = 0;

	do {
		size_t eol = slice_find_byte(slice_from(field, end), '\n');

		end = eol == SIZE_MAX ? field.len : end + eol + 1;
	} while (end < field.len && (field.at[end] == ' ' || field.at[end] == '\t'));
	*rest = slice_from(field, end);
	return slice_trim(slice_part(field, 0, end));
}

void likeness(uint8_t out[LIKENESS_BYTES], struct slice raw)
{
	struct slice rest = slice_part(raw, 0, HEAD_BYTES);
	struct slice field;

	memset(out, 0, LIKENESS_BYTES);
	while ((field = next_field(&rest)).len) {
		if (slice_starts_nocase(field, slice_str("list-id:")))
			put_le32(out, hash(slice_from(field, 8)));
		else if (slice_starts_nocase(field, slice_str("from:")))
			put_le32(out + 4, hash(domain_of(slice_from(field, 5))));
		else if (slice_starts_nocase(field, slice_str("subject:")))
			put_subject(out + SUBJECT_AT, slice_from(field, 8));
	}
}
