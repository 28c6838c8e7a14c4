#include "ingest/mime/headers.h"

#include <stdlib.h>

#include "ingest/mime/charset.h"
#include "ingest/mime/transfer.h"

#define LONGEST_NAME 256
#define LONGEST_WORD 8192 /* RFC 2047 says 75; some mailers make one word of a whole header */

void header_block_init(struct header_block *b)
{
	*b = (struct header_block) { 0 };
	buf_init(&b->junk, LIMIT_INDEXED_TEXT);
}

void header_block_free(struct header_block *b)
{
	free(b->at);
	buf_free(&b->junk);
	*b = (struct header_block) { 0 };
}

/* --- splitting --- */

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* Bytes of the line at the front with its end. */
static size_t line_length(struct slice s)
{
	size_t end = slice_find_byte(s, '\n');

	return end == SIZE_MAX ? s.len : end + 1;
}

static struct slice without_end(struct slice line)
{
	if (line.len && line.at[line.len - 1] == '\n')
		line.len--;
	if (line.len && line.at[line.len - 1] == '\r')
		line.len--;
	return line;
}

/* The line and those that continue it. */
static size_t folded_length(struct slice s)
{
	size_t n = line_length(s);

	while (n < s.len && is_blank(s.at[n])) {
		size_t more = line_length(slice_from(s, n));

		if (slice_trim(slice_part(s, n, more)).len == 0)
			break; /* blanks alone: some take it for the end, so nothing may hide behind
			          it */
		n += more;
	}
	return n;
}

bool header_line(struct slice line, struct slice *name, struct slice *value)
{
	size_t colon = slice_find_byte(slice_part(line, 0, LONGEST_NAME), ':');

	if (colon == SIZE_MAX)
		return false;
	*name = slice_trim(slice_part(line, 0, colon));
	*value = without_end(slice_from(line, colon + 1));
	for (size_t i = 0; i < name->len; i++)
		if (name->at[i] <= ' ' || name->at[i] >= 0x7f)
			return false;
	return name->len > 0;
}

static void add_header(struct header_block *b, struct slice name, struct slice raw)
{
	if (b->count == b->room) {
		b->room = b->room ? b->room * 2 : 64;
		b->at = mem_resize(b->at, b->room * sizeof(*b->at));
	}
	b->at[b->count++] = (struct header) { name, raw };
}

static void add_junk(struct header_block *b, struct slice s)
{
	(void)!buf_add(&b->junk, slice_part(s, 0, b->junk.limit - b->junk.len));
}

/* False when the line is no header and that ends the block. */
static bool take_line(struct header_block *b, struct slice line, size_t at, bool strict)
{
	struct slice name, value;

	if (!header_line(line, &name, &value)) {
		if (!strict)
			add_junk(b, line);
		return !strict;
	}
	if (b->count == LIMIT_HEADERS || at >= LIMIT_HEADER_BLOCK) {
		b->over = b->count == LIMIT_HEADERS ? "10,000 headers" : "1 MiB of headers";
		add_junk(b, line);
		return true;
	}
	if (value.len > LIMIT_HEADER) {
		b->over = "a header over 256 KiB";
		add_junk(b, slice_from(value, LIMIT_HEADER));
		value.len = LIMIT_HEADER;
	}
	add_header(b, name, value);
	return true;
}

static bool is_mbox_line(struct slice s)
{
	struct slice line = slice_part(s, 0, MIN_OF(line_length(s), (size_t)1024));
	struct slice sender = slice_trim(slice_from(line, 5));

	return slice_starts_nocase(line, slice_str(">From ")) ||
	       (line.len > 5 && memcmp(line.at, "From ", 5) == 0 && sender.len &&
	        sender.at[0] != ':');
}

void header_split(struct header_block *b, struct slice bytes, bool strict)
{
	size_t at = 0;
	bool ended = false;

	b->count = 0;
	b->over = NULL;
	buf_clear(&b->junk);
	while (at < bytes.len && is_mbox_line(slice_from(bytes, at)))
		at += line_length(slice_from(bytes, at));
	while (at < bytes.len && !ended) {
		struct slice rest = slice_from(bytes, at);
		size_t n = folded_length(rest);

		ended = without_end(slice_part(rest, 0, line_length(rest))).len == 0;
		if (ended)
			n = line_length(rest);
		else if (!take_line(b, slice_part(rest, 0, n), at, strict))
			break;
		at += n;
	}
	b->body = at;
	if (b->count == 0) {
		b->body = 0;
		buf_clear(&b->junk);
	}
}

const struct header *header_find(const struct header_block *b, const char *name, size_t *from)
{
	for (size_t i = *from; i < b->count; i++)
		if (slice_equal_nocase(b->at[i].name, slice_str(name))) {
			*from = i + 1;
			return &b->at[i];
		}
	*from = b->count;
	return NULL;
}

/* --- unfolding --- */

void header_unfold(struct buf *out, struct slice raw)
{
	struct slice s = slice_trim(raw);
	size_t from = 0;

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.at[i];

		if (c != '\r' && c != '\n' && c != 0)
			continue;
		(void)charset_add(out, slice_part(s, from, i - from));
		if (c == 0 || (i + 1 < s.len && !is_blank(s.at[i + 1]) && s.at[i + 1] != '\n'))
			(void)!buf_add_byte(out, ' ');
		from = i + 1;
	}
	(void)charset_add(out, slice_from(s, from));
}

/* --- RFC 2047 --- */

struct word {
	struct slice charset;
	bool base64;
	struct slice text;
	size_t len; /* of the whole, with its marks */
};

/* =?charset?B?text?= at the front of s. */
static bool read_word(struct slice s, struct word *w)
{
	struct slice rest = slice_part(s, 2, LONGEST_WORD);
	size_t mark = slice_find_byte(slice_part(rest, 0, 64), '?');
	size_t end;
	uint8_t how;

	if (mark == SIZE_MAX || mark == 0 || rest.len < mark + 3 || rest.at[mark + 2] != '?')
		return false;
	w->charset = slice_part(rest, 0, mark);
	how = rest.at[mark + 1];
	rest = slice_from(rest, mark + 3);
	/* In Q text "?" is encoded, so the first "?=" is the end. */
	end = slice_find(rest, slice_str("?="));
	if (end == SIZE_MAX)
		return false;
	w->base64 = how == 'B' || how == 'b';
	w->text = slice_part(rest, 0, end);
	w->len = 2 + mark + 3 + end + 2;
	return w->base64 || how == 'Q' || how == 'q';
}

/* Words of one character set that follow each other: a character may be split between them. */
struct run {
	struct slice charset;
	struct buf bytes;
	struct base64_state base64;
};

static void one_line(struct buf *out, size_t from)
{
	for (size_t i = from; i < out->len; i++)
		if (out->at[i] < ' ' || out->at[i] == 0x7f)
			out->at[i] = ' ';
}

static void end_run(struct run *r, struct buf *out)
{
	struct charset_result ignored = { 0 };
	bool full = false;
	size_t from = out->len;

	if (!r->charset.len)
		return;
	(void)base64_feed(&r->base64, &r->bytes, slice_str("="), &full);
	if (r->bytes.len)
		charset_to_utf8(out, buf_slice(&r->bytes), r->charset, &ignored);
	one_line(out, from);
	buf_clear(&r->bytes);
	r->charset.len = 0;
}

static void add_q_text(struct buf *out, struct slice text)
{
	struct transfer_result ignored = { 0 };

	/* "_" is a blank, and a "=5F" that becomes one is not. */
	while (text.len) {
		struct slice piece = slice_cut(text, '_', &text);
		bool more = piece.at + piece.len < text.at || text.len;

		transfer_qp(out, piece, &ignored);
		if (more)
			(void)!buf_add_byte(out, ' ');
	}
}

static void add_word(struct run *r, const struct word *w, struct buf *out)
{
	bool full = false;

	if (r->charset.len && !slice_equal_nocase(r->charset, w->charset))
		end_run(r, out);
	r->charset = w->charset;
	if (w->base64) {
		(void)base64_feed(&r->base64, &r->bytes, w->text, &full);
	} else {
		(void)base64_feed(&r->base64, &r->bytes, slice_str("="), &full);
		add_q_text(&r->bytes, w->text);
	}
}

static void add_plain(struct buf *out, struct slice s)
{
	size_t from = out->len;

	charset_guess(out, s);
	one_line(out, from);
}

void header_decode(struct buf *out, struct slice s)
{
	struct run r = { 0 };

	buf_init(&r.bytes, LIMIT_HEADER);
	while (s.len) {
		size_t mark = MIN_OF(slice_find(s, slice_str("=?")), s.len);
		struct word w = { 0 };
		struct slice before = slice_part(s, 0, mark);

		if (mark < s.len && !read_word(slice_from(s, mark), &w)) {
			end_run(&r, out);
			add_plain(out, slice_part(s, 0, mark + 2));
			s = slice_from(s, mark + 2);
			continue;
		}
		/* Blanks between two words are not there (section 6.2). */
		if (before.len && (!r.charset.len || mark == s.len || slice_trim(before).len)) {
			end_run(&r, out);
			add_plain(out, before);
		}
		s = slice_from(s, mark);
		if (s.len) {
			add_word(&r, &w, out);
			s = slice_from(s, w.len);
		}
	}
	end_run(&r, out);
	buf_free(&r.bytes);
}
