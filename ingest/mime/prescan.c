#include "ingest/mime/prescan.h"

#include "ingest/mime/params.h"

/* What the content behind a header block is. */
enum kind { LEAF, MULTIPART, MESSAGE };

struct level {
	struct slice boundary; /* empty in a message */
	bool any;              /* its boundary couldn't be read: every "--" line counts */
	bool message;
};

struct scan {
	struct level levels[LIMIT_PART_DEPTH];
	size_t depth;
	size_t parts;
	const char *over;

	/* The header block at hand. */
	const uint8_t *header; /* where the header at hand begins; NULL: none */
	size_t headers;
	size_t block;
	enum kind kind;
	struct level next; /* for a multipart */
};

/* --- one header --- */

static bool has_addresses(struct slice name)
{
	static const char *const names[] = { "From", "Sender", "Reply-To", "To", "Cc", "Bcc" };

	if (slice_starts_nocase(name, slice_str("Resent-")))
		name = slice_from(name, 7);
	for (size_t i = 0; i < COUNT(names); i++)
		if (slice_equal_nocase(name, slice_str(names[i])))
			return true;
	return false;
}

/* Behind a quoted string, a domain literal or a source route that ends, none of which begins a
 * group; else one byte on. `missing` remembers closers that aren't there any more. */
static size_t skip_quoted(struct slice s, unsigned *missing)
{
	static const char open[] = "\"[<";
	static const char close[] = "\"]:";

	for (unsigned k = 0; k < 3; k++) {
		size_t i = 1;

		if (s.at[0] != (uint8_t)open[k] || *missing & 1U << k ||
		    (open[k] == '<' && (s.len < 2 || s.at[1] != '@')))
			continue;
		while (i < s.len && s.at[i] != (uint8_t)close[k] && (k == 0 || i < 256))
			i += s.at[i] == '\\' ? 2 : 1;
		if (i < s.len && s.at[i] == (uint8_t)close[k])
			return i + 1;
		if (k == 0)
			*missing |= 1U << k;
	}
	return 1;
}

static const char *check_addresses(struct slice value)
{
	size_t addresses = 1;
	size_t depth = 0;
	unsigned missing = 0;

	while (value.len) {
		uint8_t c = value.at[0];

		addresses += c == ',';
		depth += c == ':';
		depth -= c == ';' && depth;
		if (depth > LIMIT_GROUP_DEPTH)
			return "groups nested deeper than 16";
		if (addresses > LIMIT_ADDRESSES)
			return "more than 10,240 addresses";
		value = slice_from(value, skip_quoted(value, &missing));
	}
	return NULL;
}

static void take_type(struct scan *s, struct slice value)
{
	struct slice type = params_type(value);
	bool encoded = false;

	if (slice_starts_nocase(type, slice_str("multipart/"))) {
		s->kind = MULTIPART;
		s->next.boundary = params_find(value, "boundary", &encoded);
		s->next.any = encoded || s->next.boundary.len == 0 ||
		              slice_find_byte(s->next.boundary, '\\') != SIZE_MAX;
	} else if (slice_starts_nocase(type, slice_str("message/"))) {
		s->kind = MESSAGE;
	}
}

/* A whole header, folds included. */
static void end_header(struct scan *s, const uint8_t *end)
{
	struct slice h = slice_of(s->header, s->header ? (size_t)(end - s->header) : 0);
	struct slice value;
	struct slice name;

	s->header = NULL;
	if (h.len == 0 || s->over)
		return;
	if (h.len > LIMIT_HEADER + 256) {
		s->over = "a header over 256 KiB";
		return;
	}
	name = slice_trim(slice_cut(h, ':', &value));
	if (has_addresses(name)) {
		s->over = check_addresses(value);
	} else if (slice_starts_nocase(name, slice_str("Content-"))) {
		if (params_count(value) > LIMIT_PARAMS)
			s->over = "more than 1,000 parameters";
		if (slice_equal_nocase(name, slice_str("Content-Type")))
			take_type(s, value);
	}
}

/* --- blocks and levels --- */

static void begin_block(struct scan *s)
{
	s->header = NULL;
	s->headers = 0;
	s->block = 0;
	s->kind = LEAF;
	s->next = (struct level) { 0 };
}

static void push(struct scan *s, struct level l)
{
	if (s->depth == LIMIT_PART_DEPTH)
		s->over = "parts nested deeper than 100";
	else
		s->levels[s->depth++] = l;
}

/* One line of a block. True at its end. */
static bool header_line_ends_block(struct scan *s, struct slice line)
{
	struct slice text = slice_trim(line);

	s->block += line.len;
	if (s->block > LIMIT_HEADER_BLOCK)
		s->over = "1 MiB of headers";
	if (text.len == 0 || (line.at[0] != ' ' && line.at[0] != '\t')) {
		end_header(s, line.at);
		if (text.len == 0)
			return true;
		s->header = line.at;
		if (++s->headers > LIMIT_HEADERS)
			s->over = "10,000 headers";
	}
	return false;
}

static bool is_boundary(const struct level *l, struct slice line, bool *last)
{
	struct slice rest;

	if (l->message)
		return false;
	if (l->any) {
		*last = false;
		return true;
	}
	rest = slice_from(line, 2);
	if (rest.len < l->boundary.len || memcmp(rest.at, l->boundary.at, l->boundary.len) != 0)
		return false;
	rest = slice_trim(slice_from(rest, l->boundary.len));
	*last = slice_equal(rest, slice_str("--"));
	return *last || rest.len == 0;
}

/* A line that begins with "--". True when it is a boundary: the levels inside are over. */
static bool take_boundary(struct scan *s, struct slice line, bool *last)
{
	for (size_t i = s->depth; i > 0; i--)
		if (is_boundary(&s->levels[i - 1], line, last)) {
			s->depth = *last ? i - 1 : i;
			return true;
		}
	return false;
}

/* Into the content behind a block. True when that begins with a block, too. */
static bool enter_content(struct scan *s)
{
	if (s->kind == MULTIPART)
		push(s, s->next);
	else if (s->kind == MESSAGE)
		push(s, (struct level) { .message = true });
	return s->kind == MESSAGE;
}

const char *prescan(struct slice message)
{
	struct scan s = { 0 };
	bool in_block = true;

	begin_block(&s);
	while (message.len && !s.over) {
		size_t end = slice_find_byte(message, '\n');
		struct slice line = slice_part(message, 0, end == SIZE_MAX ? SIZE_MAX : end + 1);
		bool last = false;

		if (line.len > 2 && line.at[0] == '-' && line.at[1] == '-' &&
		    take_boundary(&s, line, &last)) {
			end_header(&s, line.at);
			if (!last && ++s.parts > LIMIT_PARTS)
				s.over = "more than 10,000 parts";
			in_block = !last;
			begin_block(&s);
		} else if (in_block && header_line_ends_block(&s, line)) {
			in_block = enter_content(&s);
			begin_block(&s);
		}
		message = slice_from(message, line.len);
	}
	if (s.header && !s.over)
		end_header(&s, message.at);
	return s.over;
}
