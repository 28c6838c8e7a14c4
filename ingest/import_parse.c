#include "ingest/import_parse.h"

struct parsing {
	struct slice window;
	bool whole;
	struct import_place *place;
	const struct import_sink *sink;
	struct err *e;
};

/* What was taken up to here isn't looked at again. */
static void settle(struct parsing *p, size_t at)
{
	p->place->position += (int64_t)at;
	p->window = slice_from(p->window, at);
}

static size_t after_mark(const struct parsing *p)
{
	static const uint8_t mark[] = { 0xef, 0xbb, 0xbf };

	if (p->place->position == 0 &&
	    slice_equal(slice_part(p->window, 0, sizeof(mark)), slice_of(mark, sizeof(mark))))
		return sizeof(mark);
	return 0;
}

/* ---- CSV ---- */

/* The next line without its end; false: it isn't here whole. *next is where the one behind it
 * begins. */
static bool find_line(const struct parsing *p, size_t from, struct slice *line, size_t *next)
{
	struct slice rest = slice_from(p->window, from);
	size_t n = slice_find_byte(rest, '\n');

	if (n == SIZE_MAX && !p->whole)
		return false;
	*line = slice_trim(slice_part(rest, 0, n));
	*next = n == SIZE_MAX ? p->window.len : from + n + 1;
	return true;
}

/* A value in double quotes, where two of them stand for one. */
static enum rc give_line(const struct parsing *p, struct slice line)
{
	char text[IMPORT_ITEM_MOST];
	size_t n = 0;

	if (line.len < 2 || line.at[0] != '"' || line.at[line.len - 1] != '"')
		return p->sink->address(p->sink->arg, line, p->e);
	line = slice_part(line, 1, line.len - 2);
	for (size_t i = 0; i < line.len && n < sizeof(text); i++) {
		text[n++] = (char)line.at[i];
		if (line.at[i] == '"' && i + 1 < line.len && line.at[i + 1] == '"')
			i++;
	}
	return p->sink->address(p->sink->arg, slice_of(text, n), p->e);
}

static enum rc read_header(struct parsing *p)
{
	struct slice line;
	size_t next;

	if (!find_line(p, after_mark(p), &line, &next) || next > IMPORT_ITEM_MOST ||
	    !(slice_equal_nocase(line, slice_str("address")) ||
	      slice_equal_nocase(line, slice_str("\"address\""))))
		return err_set(p->e, RC_INVALID, "the first line of a CSV file must be: address");
	settle(p, next);
	return RC_OK;
}

static enum rc parse_csv(struct parsing *p, bool *ended)
{
	enum rc rc = p->place->position == 0 ? read_header(p) : RC_OK;

	for (unsigned n = 0; rc == RC_OK && n < p->sink->most && p->window.len;) {
		struct slice line;
		size_t next;

		if (!find_line(p, 0, &line, &next)) {
			if (p->window.len <= IMPORT_ITEM_MOST)
				return RC_OK; /* the rest is in the next window */
			next = SIZE_MAX;
		}
		if (next > IMPORT_ITEM_MOST)
			return err_set(p->e, RC_INVALID, "a line of more than %d bytes",
			               IMPORT_ITEM_MOST);
		rc = line.len ? give_line(p, line) : RC_OK;
		n += line.len != 0;
		if (rc == RC_OK)
			settle(p, next);
	}
	*ended = rc == RC_OK && p->whole && p->window.len == 0;
	return rc;
}

/* ---- JSON ---- */

static size_t skip_blanks(const struct parsing *p, size_t at)
{
	while (at < p->window.len && (p->window.at[at] == ' ' || p->window.at[at] == '\t' ||
	                              p->window.at[at] == '\r' || p->window.at[at] == '\n'))
		at++;
	return at;
}

static bool is_at(const struct parsing *p, size_t at, char c)
{
	return at < p->window.len && p->window.at[at] == (uint8_t)c;
}

static enum rc not_json(const struct parsing *p)
{
	return err_set(p->e, RC_INVALID,
	               "a JSON file must be {\"items\":[{\"address\":\"...\"},...]}");
}

/* Up to and with the bracket of the list. */
static enum rc read_begin(struct parsing *p)
{
	static const char *const words[] = { "{", "\"items\"", ":", "[" };
	size_t at = after_mark(p);

	for (size_t i = 0; i < COUNT(words); i++) {
		struct slice word = slice_str(words[i]);

		at = skip_blanks(p, at);
		if (!slice_equal(slice_part(p->window, at, word.len), word))
			return not_json(p);
		at += word.len;
	}
	settle(p, at);
	return RC_OK;
}

/* Where the object that begins at `at` ends; SIZE_MAX: not in this window. */
static size_t object_end(const struct parsing *p, size_t at)
{
	unsigned depth = 0;
	bool text = false;

	for (; at < p->window.len; at++) {
		uint8_t c = p->window.at[at];

		if (text && c == '\\')
			at++;
		else if (c == '"')
			text = !text;
		else if (!text && (c == '{' || c == '['))
			depth++;
		else if (!text && (c == '}' || c == ']') && --depth == 0)
			return at + 1;
	}
	return SIZE_MAX;
}

static enum rc give_item(const struct parsing *p, struct slice item)
{
	json_t *json;
	enum rc rc = json_read(&json, item, NULL);

	if (rc != RC_OK)
		return not_json(p);
	rc = p->sink->address(p->sink->arg, json_member_text(json, "address"), p->e);
	json_decref(json);
	return rc;
}

/* Behind the list. */
static enum rc read_end(struct parsing *p, size_t at, bool *ended)
{
	at = skip_blanks(p, at);
	if (!is_at(p, at, '}') || skip_blanks(p, at + 1) != p->window.len || !p->whole)
		return not_json(p);
	settle(p, p->window.len);
	*ended = true;
	return RC_OK;
}

/* The next item begins at *at; or `ended`. RC_AGAIN: that isn't in this window. */
static enum rc find_item(struct parsing *p, bool first, size_t *at, bool *ended)
{
	size_t next = skip_blanks(p, 0);

	if (next >= p->window.len && !p->whole)
		return RC_AGAIN;
	if (is_at(p, next, ']')) {
		/* What follows is short; a window that doesn't end the file holds more than that.
		 */
		if (!p->whole && p->window.len - next < IMPORT_ITEM_MOST)
			return RC_AGAIN;
		return read_end(p, next + 1, ended);
	}
	if (!first && !is_at(p, next, ','))
		return not_json(p);
	*at = first ? next : skip_blanks(p, next + 1);
	if (*at >= p->window.len && !p->whole)
		return RC_AGAIN;
	return is_at(p, *at, '{') ? RC_OK : not_json(p);
}

static enum rc parse_json(struct parsing *p, bool *ended)
{
	enum rc rc = p->place->position == 0 ? read_begin(p) : RC_OK;

	for (unsigned n = 0; rc == RC_OK && n < p->sink->most; n++) {
		bool first = p->place->imported + p->place->failed == 0;
		size_t at = 0;
		size_t end;

		rc = find_item(p, first, &at, ended);
		if (rc != RC_OK || *ended)
			break;
		end = object_end(p, at);
		if (end == SIZE_MAX && !p->whole && p->window.len - at <= IMPORT_ITEM_MOST)
			return RC_OK; /* the rest is in the next window */
		if (end == SIZE_MAX || end - at > IMPORT_ITEM_MOST)
			return not_json(p);
		rc = give_item(p, slice_part(p->window, at, end - at));
		if (rc == RC_OK)
			settle(p, end);
	}
	return rc == RC_AGAIN ? RC_OK : rc;
}

enum rc import_parse(enum import_format format, struct slice window, bool whole,
                     struct import_place *place, const struct import_sink *sink, bool *ended,
                     struct err *e)
{
	struct parsing p = {
		.window = window, .whole = whole, .place = place, .sink = sink, .e = e
	};

	*ended = false;
	return format == IMPORT_CSV ? parse_csv(&p, ended) : parse_json(&p, ended);
}
