#include "ingest/mime/address.h"

#include "base/buf.h"
#include "base/limits.h"
#include "ingest/mime/headers.h"

#define LONGEST_ADDRESS 1024 /* of one that is looked for in text */

/* One piece between commas, taken apart. */
struct piece {
	struct buf phrase;  /* words and quoted strings outside of <> and () */
	struct buf angle;   /* inside the first <> */
	struct buf comment; /* inside the first () */
	struct buf line;    /* scratch: what is shown */
	struct buf decoded;
	bool has_angle;
	bool has_comment;
};

static void piece_init(struct piece *p)
{
	*p = (struct piece) { 0 };
	buf_init(&p->phrase, LIMIT_HEADER);
	buf_init(&p->angle, LIMIT_HEADER);
	buf_init(&p->comment, LIMIT_HEADER);
	buf_init(&p->line, LIMIT_HEADER * 4);
	buf_init(&p->decoded, LIMIT_HEADER * 4);
}

static void piece_free(struct piece *p)
{
	buf_free(&p->phrase);
	buf_free(&p->angle);
	buf_free(&p->comment);
	buf_free(&p->line);
	buf_free(&p->decoded);
}

static void piece_clear(struct piece *p)
{
	buf_clear(&p->phrase);
	buf_clear(&p->angle);
	buf_clear(&p->comment);
	p->has_angle = p->has_comment = false;
}

static void put(struct buf *b, struct slice s)
{
	(void)!buf_add(b, s); /* a value is no longer than the buffer */
}

/* --- one piece to a mailbox --- */

/* Without blanks outside of quotes; "@route,@route:" and "mailto:" go. */
static void tidy_address(struct buf *b)
{
	size_t to = 0;
	bool quoted = false;
	size_t colon;

	if (b->len && b->at[0] == '@') {
		colon = slice_find_byte(buf_slice(b), ':');
		if (colon != SIZE_MAX)
			buf_drop(b, colon + 1);
	}
	if (slice_starts_nocase(buf_slice(b), slice_str("mailto:")))
		buf_drop(b, 7);
	for (size_t i = 0; i < b->len; i++) {
		uint8_t c = b->at[i];

		quoted ^= c == '"' && (i == 0 || b->at[i - 1] != '\\');
		if (quoted || (c > ' ' && c != 0x7f))
			b->at[to++] = c;
	}
	b->len = to;
}

static bool is_address(struct slice s)
{
	size_t at = SIZE_MAX;

	for (size_t i = s.len; i > 0 && at == SIZE_MAX; i--)
		if (s.at[i - 1] == '@')
			at = i - 1;
	return at != SIZE_MAX && at > 0 && at + 1 < s.len;
}

/* A quoted string's quotes and backslashes go, in the display name only. */
static void unquote(struct buf *out, struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.at[i];

		if (c == '"')
			continue;
		if (c == '\\' && i + 1 < s.len)
			c = s.at[++i];
		put(out, slice_of(&c, 1));
	}
}

static void show(struct piece *p, struct slice name, struct slice address)
{
	struct slice plain;

	buf_clear(&p->decoded);
	buf_clear(&p->line);
	unquote(&p->line, name);
	header_decode(&p->decoded, buf_slice(&p->line));
	buf_clear(&p->line);
	plain = slice_trim(buf_slice(&p->decoded));
	put(&p->line, plain);
	if (address.len && plain.len)
		put(&p->line, slice_str(" <"));
	put(&p->line, address);
	if (address.len && plain.len)
		put(&p->line, slice_str(">"));
}

/* Control characters alone decode to nothing, and that is no mailbox. */
static bool tell(struct piece *p, const struct address_sink *sink, struct slice address)
{
	bool on = !p->line.len || sink->mailbox(sink->arg, address, buf_slice(&p->line));

	piece_clear(p);
	return on;
}

static bool emit(struct piece *p, const struct address_sink *sink)
{
	struct slice phrase = slice_trim(buf_slice(&p->phrase));
	struct slice comment = slice_trim(buf_slice(&p->comment));
	struct slice name = p->has_angle && phrase.len ? phrase : comment;
	struct buf *address = p->has_angle ? &p->angle : &p->phrase;
	struct buf guess;
	bool on;

	if (!phrase.len && !p->angle.len && !comment.len)
		return true;
	if (!p->has_angle && !is_address(phrase)) {
		show(p, phrase.len ? phrase : comment, slice_of(NULL, 0));
		return tell(p, sink, slice_of(NULL, 0));
	}
	buf_init(&guess, LIMIT_HEADER * 4);
	tidy_address(address);
	header_decode(&guess, buf_slice(address)); /* UTF-8, as it is mostly */
	show(p, name, buf_slice(&guess));
	on = tell(p, sink, is_address(buf_slice(&guess)) ? buf_slice(&guess) : slice_of(NULL, 0));
	buf_free(&guess);
	return on;
}

/* --- splitting --- */

/* Length of the quoted string at the front, or 0 when it doesn't end. */
static size_t quoted_length(struct slice s)
{
	for (size_t i = 1; i < s.len; i++) {
		if (s.at[i] == '\\')
			i++;
		else if (s.at[i] == '"')
			return i + 1;
	}
	return 0;
}

/* Length of the comment at the front, nested ones inside, or 0 when it doesn't end. */
static size_t comment_length(struct slice s)
{
	size_t depth = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == '\\')
			i++;
		else if (s.at[i] == '(')
			depth++;
		else if (s.at[i] == ')' && --depth == 0)
			return i + 1;
	}
	return 0;
}

/* Length of <...> at the front; it ends before a '<' or at the end when it isn't closed. */
static size_t angle_length(struct slice s)
{
	for (size_t i = 1; i < s.len; i++) {
		if (s.at[i] == '"') {
			size_t n = quoted_length(slice_from(s, i));

			i += n ? n - 1 : 0;
		} else if (s.at[i] == '>') {
			return i + 1;
		} else if (s.at[i] == '<') {
			return i;
		}
	}
	return s.len;
}

/* What was looked for to the end once and wasn't there needn't be looked for again. */
struct splitter {
	bool no_quote;
	bool no_comment;
};

static size_t take_quoted(struct piece *p, struct splitter *sp, struct slice s)
{
	size_t n = sp->no_quote ? 0 : quoted_length(s);

	sp->no_quote = n == 0;
	put(&p->phrase, slice_part(s, 0, n ? n : 1));
	return n ? n : 1;
}

static size_t take_comment(struct piece *p, struct splitter *sp, struct slice s)
{
	size_t n = sp->no_comment ? 0 : comment_length(s);

	if (n == 0) {
		sp->no_comment = true;
		put(&p->phrase, slice_str(" "));
		return 1;
	}
	if (!p->has_comment)
		put(&p->comment, slice_part(s, 1, n - 2));
	p->has_comment = true;
	put(&p->phrase, slice_str(" "));
	return n;
}

static size_t take_angle(struct piece *p, struct slice s)
{
	size_t n = angle_length(s);
	struct slice inside = slice_part(s, 1, n - 1);

	if (inside.len && inside.at[inside.len - 1] == '>')
		inside.len--;
	if (!p->has_angle)
		put(&p->angle, slice_trim(inside));
	p->has_angle = true;
	return n;
}

/* A group's name ends at ':'; "[IPv6:::1]" and "mailto:x" have colons of their own. */
static bool ends_group_name(const struct piece *p)
{
	struct slice phrase = slice_trim(buf_slice(&p->phrase));

	return !p->has_angle && slice_find_byte(phrase, '[') == SIZE_MAX &&
	       slice_find_byte(phrase, '@') == SIZE_MAX &&
	       !slice_equal_nocase(phrase, slice_str("mailto"));
}

void address_list(struct slice s, const struct address_sink *sink)
{
	struct piece p;
	struct splitter sp = { 0 };
	bool on = true;

	piece_init(&p);
	while (s.len && on) {
		uint8_t c = s.at[0];
		size_t n = 1;

		if (c == '"') {
			n = take_quoted(&p, &sp, s);
		} else if (c == '(') {
			n = take_comment(&p, &sp, s);
		} else if (c == '<') {
			n = take_angle(&p, s);
		} else if (c == '\\' && s.len > 1) {
			n = 2;
			put(&p.phrase, slice_part(s, 0, n));
		} else if (c == ',' || c == ';' || (c == ':' && ends_group_name(&p))) {
			on = emit(&p, sink);
		} else {
			while (n < s.len && !memchr("\"(<\\,;:", s.at[n], 7))
				n++;
			put(&p.phrase, slice_part(s, 0, n));
		}
		s = slice_from(s, n);
	}
	if (on)
		(void)emit(&p, sink);
	piece_free(&p);
}

/* --- what looks like an address --- */

static bool is_local(uint8_t c)
{
	return c > ' ' && c != 0x7f && !memchr("\"(),:;<>@[\\]", c, 12);
}

static bool is_domain(uint8_t c)
{
	return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_';
}

static size_t domain_end(struct slice s, size_t from)
{
	size_t end = from;

	if (from < s.len && s.at[from] == '[') {
		size_t close = slice_find_byte(slice_part(s, from, 64), ']');

		return close == SIZE_MAX ? from : from + close + 1;
	}
	while (end < s.len && end - from < LONGEST_ADDRESS && is_domain(s.at[end]))
		end++;
	while (end > from && s.at[end - 1] == '.')
		end--;
	return end;
}

/* Never back over what was taken before, so the whole is linear. */
static size_t local_start(struct slice s, size_t at, size_t floor)
{
	size_t start = at;

	if (start > floor + 1 && s.at[start - 1] == '"') {
		for (size_t i = start - 1; i > floor && start - i < 256; i--)
			if (s.at[i - 1] == '"' && (i < 2 || s.at[i - 2] != '\\'))
				return i - 1;
		return at;
	}
	while (start > floor && at - start < LONGEST_ADDRESS && is_local(s.at[start - 1]))
		start--;
	/* Not in the middle of a character. */
	while (start < at && (s.at[start] & 0xc0) == 0x80)
		start++;
	return start;
}

void address_scan(struct slice text, const struct address_sink *sink)
{
	size_t floor = 0;
	size_t from = 0;

	for (;;) {
		size_t at = slice_find_byte(slice_from(text, from), '@');
		size_t start, end;

		if (at == SIZE_MAX)
			return;
		at += from;
		start = local_start(text, at, floor);
		end = domain_end(text, at + 1);
		if (end < text.len && (text.at[end] & 0xc0) == 0x80)
			end = at + 1; /* cut inside a character: that is no domain */
		from = at + 1;
		if (start == at || end == at + 1)
			continue;
		if (!sink->mailbox(sink->arg, slice_part(text, start, end - start),
		                   slice_of(NULL, 0)))
			return;
		from = floor = end;
	}
}
