#include "ingest/verdict/tags.h"

#include "base/codec.h"

bool fws_is(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice fws_trim(struct slice s)
{
	return slice_trim(s);
}

bool fws_next(struct slice *rest, uint8_t separator, struct slice *item)
{
	if (!rest->at)
		return false;
	*item = fws_trim(slice_cut(*rest, separator, rest));
	return true;
}

/* All that a list may hold, but for its order: printable characters, UTF-8, and line ends that
 * fold. */
static const char *check_bytes(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.at[i];
		uint8_t next = i + 1 < s.len ? s.at[i + 1] : 0;

		if ((c >= ' ' && c != 127) || c == '\t')
			continue;
		if ((c == '\r' && next == '\n') || (c == '\n' && (next == ' ' || next == '\t')))
			continue;
		return "a control character in the list of tags";
	}
	return slice_is_utf8(s) ? NULL : "a list of tags that isn't UTF-8";
}

static bool is_letter(uint8_t c)
{
	c |= 0x20;
	return c >= 'a' && c <= 'z';
}

static bool is_tag_name(struct slice name)
{
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.at[i];

		if (!is_letter(c) && (i == 0 || (c != '_' && (c < '0' || c > '9'))))
			return false;
	}
	return name.len > 0;
}

static const char *add(struct taglist *t, struct slice spec)
{
	struct tag tag;

	tag.name = fws_trim(slice_cut(spec, '=', &tag.raw));
	tag.value = fws_trim(tag.raw);
	if (!tag.raw.at)
		return fws_trim(spec).len ? "a tag without \"=\"" : "an empty tag";
	if (!is_tag_name(tag.name))
		return "a tag without a proper name";
	for (size_t i = 0; i < t->count; i++)
		if (slice_equal(t->at[i].name, tag.name))
			return "a tag that is there twice";
	if (t->count == TAGLIST_TAGS)
		return "too many tags";
	t->at[t->count++] = tag;
	return NULL;
}

const char *taglist_read(struct taglist *out, struct slice text)
{
	const char *wrong = check_bytes(fws_trim(text));

	out->count = 0;
	if (!wrong && fws_trim(text).len == 0)
		wrong = "no tags";
	/* A ";" may end the list. */
	while (!wrong && fws_trim(text).len) {
		struct slice spec = slice_cut(text, ';', &text);

		wrong = add(out, spec);
	}
	return wrong;
}

const struct tag *taglist_find(const struct taglist *t, const char *name)
{
	for (size_t i = 0; i < t->count; i++)
		if (slice_equal(t->at[i].name, slice_str(name)))
			return &t->at[i];
	return NULL;
}

struct slice taglist_value(const struct taglist *t, const char *name)
{
	const struct tag *tag = taglist_find(t, name);

	return tag ? tag->value : slice_of(NULL, 0);
}

bool taglist_is(const struct taglist *t, const char *name, const char *want, bool absent)
{
	const struct tag *tag = taglist_find(t, name);

	return tag ? slice_equal(tag->value, slice_str(want)) : absent;
}

enum rc fws_base64(struct buf *out, struct slice text)
{
	uint8_t packed[FWS_BASE64_MOST + 4];
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (fws_is(text.at[i]))
			continue;
		if (len == FWS_BASE64_MOST)
			return RC_LIMIT;
		packed[len++] = text.at[i];
	}
	while (len % 4 > 1)
		packed[len++] = '=';
	return base64_decode(out, slice_of(packed, len));
}
