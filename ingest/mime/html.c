#include "ingest/mime/html.h"

#include <ctype.h>

#include "base/codec.h"
#include "ingest/mime/charset.h"

#define LONGEST_TAG_NAME 32
#define LONGEST_LINK     2048
#define WINDOW           65536   /* bytes that a tag may be long */
#define LINKS            1048576 /* bytes of link targets of one text */

struct html {
	struct buf *out;
	struct buf links;
	/* What was looked for isn't looked for twice, or a text of '<' would take a day. */
	const uint8_t
	        *next_end; /* the first '>' behind some place before it; or the end of the text */
	bool no_comment_end;
	bool no_raw_end;
	bool full;
};

static void add(struct html *h, struct slice s)
{
	if (s.len && !charset_add(h->out, s))
		h->full = true;
}

static void add_blank(struct html *h, char c)
{
	if (h->out->len && !isspace(h->out->at[h->out->len - 1]))
		add(h, slice_of(&c, 1));
}

/* --- character references --- */

static void add_code(struct html *h, uint32_t c)
{
	/* What browsers read for the C1 controls. */
	static const uint16_t c1[32] = { 0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020,
		                         0x2021, 0x2c6,  0x2030, 0x160,  0x2039, 0x152,  0x8d,
		                         0x17d,  0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d,
		                         0x2022, 0x2013, 0x2014, 0x2dc,  0x2122, 0x161,  0x203a,
		                         0x153,  0x9d,   0x17e,  0x178 };
	uint8_t b[4];
	size_t n = 0;

	if (c >= 0x80 && c < 0xa0)
		c = c1[c - 0x80];
	if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		c = 0xfffd;
	if (c < 0x80) {
		b[n++] = (uint8_t)c;
	} else if (c < 0x800) {
		b[n++] = (uint8_t)(0xc0 | c >> 6);
	} else if (c < 0x10000) {
		b[n++] = (uint8_t)(0xe0 | c >> 12);
		b[n++] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	} else {
		b[n++] = (uint8_t)(0xf0 | c >> 18);
		b[n++] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
		b[n++] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	}
	if (c >= 0x80)
		b[n++] = (uint8_t)(0x80 | (c & 0x3f));
	add(h, slice_of(b, n));
}

static size_t numeric(struct slice s, uint32_t *code)
{
	bool hex = s.len > 2 && (s.at[2] == 'x' || s.at[2] == 'X');
	size_t i = hex ? 3 : 2;
	size_t from = i;

	*code = 0;
	for (; i < s.len; i++) {
		uint8_t c = (uint8_t)tolower(s.at[i]);

		if (!(hex ? isxdigit(c) : isdigit(c)))
			break;
		if (*code <= 0x10ffff)
			*code = *code * (hex ? 16 : 10) +
			        (uint32_t)(isdigit(c) ? c - '0' : c - 'a' + 10);
	}
	return i == from ? 0 : i;
}

/* Length of the reference at the front ("&auml;", the ';' may be missing), or 0. */
static size_t reference(struct slice s, uint32_t *code)
{
	size_t n = 1;

	if (s.len > 1 && s.at[1] == '#') {
		n = numeric(s, code);
		if (n == 0)
			return 0;
	} else {
		while (n < s.len && n < 12 && isalnum(s.at[n]))
			n++;
		*code = html_entity(slice_part(s, 1, n - 1));
		if (*code == 0)
			return 0;
	}
	return n < s.len && s.at[n] == ';' ? n + 1 : n;
}

/* Text between tags, or an attribute's value. */
static void add_text(struct html *h, struct slice s)
{
	while (s.len && !h->full) {
		size_t run = MIN_OF(slice_find_byte(s, '&'), s.len);
		uint32_t code;
		size_t n;

		add(h, slice_part(s, 0, run));
		s = slice_from(s, run);
		if (s.len == 0)
			break;
		n = reference(s, &code);
		if (n)
			add_code(h, code);
		else
			add(h, slice_part(s, 0, 1));
		s = slice_from(s, n ? n : 1);
	}
}

/* --- tags --- */

static bool is_inside_line(struct slice name)
{
	static const char *const names[] = {
		"a",    "abbr", "acronym", "b",    "bdi",  "bdo",   "big",      "cite",   "code",
		"del",  "dfn",  "em",      "font", "i",    "ins",   "kbd",      "label",  "mark",
		"nobr", "o:p",  "q",       "s",    "samp", "small", "span",     "strike", "strong",
		"sub",  "sup",  "tt",      "u",    "var",  "wbr",   "st1:place"
	};

	for (size_t i = 0; i < COUNT(names); i++)
		if (slice_equal_nocase(name, slice_str(names[i])))
			return true;
	return false;
}

static bool is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

struct tag {
	struct slice name;
	struct slice attributes;
	bool closing;
	size_t len; /* with < and >; 0: it isn't a tag */
};

/* A tag that begins here may end within its window. */
static bool may_end(struct html *h, struct slice s)
{
	if (!h->next_end || h->next_end < s.at)
		h->next_end = s.at + MIN_OF(slice_find_byte(s, '>'), s.len);
	return h->next_end < s.at + MIN_OF(s.len, (size_t)WINDOW);
}

/* Where the tag ends: behind the first '>' outside of quotes, or, when quotes don't end, behind the
 * first '>' at all. */
static size_t tag_end(struct slice s, size_t from)
{
	uint8_t quote = 0;
	size_t first;

	for (size_t i = from; i < s.len && i < from + WINDOW; i++) {
		uint8_t c = s.at[i];

		if (quote)
			quote = c == quote ? 0 : quote;
		else if ((c == '"' || c == '\'') && s.at[i - 1] == '=')
			quote = c;
		else if (c == '>')
			return i + 1;
	}
	first = slice_find_byte(slice_part(s, from, WINDOW), '>');
	return first == SIZE_MAX ? 0 : from + first + 1;
}

static void read_tag(struct slice s, struct tag *t)
{
	size_t n = 1;
	size_t from;

	*t = (struct tag) { 0 };
	t->closing = n < s.len && s.at[n] == '/';
	n += t->closing;
	from = n;
	if (n >= s.len || !isalpha(s.at[n]))
		return;
	while (n < s.len && n < from + LONGEST_TAG_NAME && !is_space(s.at[n]) && s.at[n] != '>' &&
	       s.at[n] != '/')
		n++;
	t->name = slice_part(s, from, n - from);
	t->len = tag_end(s, n);
	if (t->len)
		t->attributes = slice_part(s, n, t->len - n - 1);
}

/* The next name="value"; false at the end. */
static bool next_attribute(struct slice *rest, struct slice *name, struct slice *value)
{
	struct slice s = *rest;
	size_t n = 0;
	uint8_t quote;

	while (s.len && (is_space(s.at[0]) || s.at[0] == '/'))
		s = slice_from(s, 1);
	while (n < s.len && !is_space(s.at[n]) && s.at[n] != '=')
		n++;
	*name = slice_part(s, 0, n);
	*value = slice_of(NULL, 0);
	if (s.len == 0)
		return false;
	s = slice_from(s, n);
	while (s.len && is_space(s.at[0]))
		s = slice_from(s, 1);
	if (s.len && s.at[0] == '=') {
		s = slice_trim(slice_from(s, 1));
		quote = s.len && (s.at[0] == '"' || s.at[0] == '\'') ? s.at[0] : 0;
		n = 0;
		if (quote) {
			s = slice_from(s, 1);
			n = MIN_OF(slice_find_byte(s, quote), s.len);
		} else {
			while (n < s.len && !is_space(s.at[n]))
				n++;
		}
		*value = slice_part(s, 0, n);
		s = slice_from(s, n + (quote != 0));
	}
	*rest = s;
	return true;
}

static void add_link(struct html *h, struct slice value)
{
	struct buf *out = h->out;
	bool was_full = h->full;

	if (value.len > LONGEST_LINK || slice_starts_nocase(value, slice_str("data:")) ||
	    slice_starts_nocase(value, slice_str("cid:")) || value.len < 4 || value.at[0] == '#')
		return;
	h->out = &h->links;
	add_text(h, value);
	add(h, slice_str("\n"));
	h->out = out;
	h->full = was_full; /* more links than anyone reads are left out */
}

static void take_attributes(struct html *h, const struct tag *t)
{
	struct slice rest = t->attributes;
	struct slice name, value;

	while (!t->closing && next_attribute(&rest, &name, &value)) {
		if (value.len == 0)
			continue;
		if (slice_equal_nocase(name, slice_str("alt")) ||
		    slice_equal_nocase(name, slice_str("title"))) {
			add_blank(h, ' ');
			add_text(h, value);
			add_blank(h, ' ');
		} else if (slice_equal_nocase(name, slice_str("href"))) {
			add_link(h, value);
		}
	}
}

/* Length of <script>...</script> and the like from the opening tag on, or 0 when it doesn't end. */
static size_t raw_element(struct slice s, const struct tag *t)
{
	struct slice rest = slice_from(s, t->len);
	size_t skipped = t->len;

	for (;;) {
		size_t at = slice_find(rest, slice_str("</"));

		if (at == SIZE_MAX)
			return 0;
		rest = slice_from(rest, at + 2);
		skipped += at + 2;
		if (slice_starts_nocase(rest, t->name)) {
			size_t close = slice_find_byte(rest, '>');

			return close == SIZE_MAX ? 0 : skipped + close + 1;
		}
	}
}

static bool is_raw(struct slice name)
{
	return slice_equal_nocase(name, slice_str("script")) ||
	       slice_equal_nocase(name, slice_str("style"));
}

/* <!-- -->, <!DOCTYPE >, <? >: their length, or 0. */
static size_t declaration(struct html *h, struct slice s)
{
	size_t end;

	if (slice_starts_nocase(s, slice_str("<!--"))) {
		end = h->no_comment_end ? SIZE_MAX : slice_find(slice_from(s, 4), slice_str("-->"));
		h->no_comment_end = end == SIZE_MAX;
		return end == SIZE_MAX ? 4 : 4 + end + 3;
	}
	if (s.len > 1 && (s.at[1] == '!' || s.at[1] == '?'))
		return may_end(h, s) ? (size_t)(h->next_end - s.at) + 1 : 2;
	return 0;
}

/* At a '<': what it takes up. */
static size_t take_markup(struct html *h, struct slice s)
{
	size_t n = declaration(h, s);
	struct tag t = { 0 };

	if (n)
		return n;
	if (may_end(h, s))
		read_tag(s, &t);
	if (t.len == 0) {
		add(h, slice_part(s, 0, 1));
		return 1;
	}
	if (!is_inside_line(t.name))
		add_blank(h, '\n');
	take_attributes(h, &t);
	if (!t.closing && !h->no_raw_end && is_raw(t.name)) {
		n = raw_element(s, &t);
		h->no_raw_end = n == 0; /* not closed: text */
		return n ? n : t.len;
	}
	return t.len;
}

bool html_to_text(struct buf *out, struct slice html)
{
	struct html h = { .out = out };

	buf_init(&h.links, LINKS);
	while (html.len && !h.full) {
		size_t run = MIN_OF(slice_find_byte(html, '<'), html.len);

		add_text(&h, slice_part(html, 0, run));
		html = slice_from(html, run);
		if (html.len)
			html = slice_from(html, take_markup(&h, html));
	}
	add_blank(&h, '\n');
	add(&h, buf_slice(&h.links));
	buf_free(&h.links);
	return !h.full;
}

struct slice html_charset(struct slice html)
{
	struct slice head = slice_part(html, 0, 2048);

	while (head.len) {
		size_t at = MIN_OF(slice_find_byte(head, '<'), head.len);
		size_t n = 0;

		head = slice_from(head, at);
		if (slice_starts_nocase(head, slice_str("<meta"))) {
			struct slice tag = slice_part(head, 0, slice_find_byte(head, '>'));

			while (tag.len && !slice_starts_nocase(tag, slice_str("charset=")))
				tag = slice_from(tag, 1);
			tag = slice_from(tag, 8);
			while (tag.len && (tag.at[0] == '"' || tag.at[0] == '\''))
				tag = slice_from(tag, 1);
			while (n < tag.len && (isalnum(tag.at[n]) || memchr("-_:.", tag.at[n], 4)))
				n++;
			if (n)
				return slice_part(tag, 0, n);
		}
		head = slice_from(head, 1);
	}
	return slice_of(NULL, 0);
}
