#include "ingest/verdict/spf_macro.h"

#include <inttypes.h>
#include <stdio.h>

#define DOTTED     64   /* 32 digits and the dots between them, with a NUL */
#define MOST       1000 /* more parts than any value has */
#define KEPT       512  /* bytes of a name under way */
#define KEPT_LEAST 256  /* of its end: 253, a dot in front and one behind, and one more */

struct macro {
	char letter; /* in lower case */
	bool upper;
	unsigned digits; /* 0: all parts */
	bool reverse;
	struct slice delimiters;
};

enum piece { PIECE_END, PIECE_LITERAL, PIECE_ESCAPE, PIECE_MACRO, PIECE_BAD };

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_alphanum(uint8_t c)
{
	return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static bool is_one_of(uint8_t c, struct slice set)
{
	return slice_find_byte(set, c) != SIZE_MAX;
}

static bool read_digits(struct slice *s, unsigned *out)
{
	size_t n = 0;

	*out = 0;
	for (; n < s->len && is_digit(s->at[n]); n++)
		if (*out < MOST)
			*out = *out * 10 + (unsigned)(s->at[n] - '0');
	*s = slice_from(*s, n);
	return n == 0 || *out > 0;
}

/* What follows "%{". */
static enum piece read_macro(struct slice *s, struct macro *m)
{
	size_t n = 0;
	uint8_t letter;

	if (s->len == 0)
		return PIECE_BAD;
	letter = s->at[0] | 0x20;
	m->letter = (char)letter;
	m->upper = s->at[0] != letter;
	if (!is_alphanum(s->at[0]) || !is_one_of(letter, slice_str("slodipvhcrt")))
		return PIECE_BAD;
	*s = slice_from(*s, 1);
	if (!read_digits(s, &m->digits))
		return PIECE_BAD;
	m->reverse = s->len && (s->at[0] | 0x20) == 'r';
	if (m->reverse)
		*s = slice_from(*s, 1);
	while (n < s->len && is_one_of(s->at[n], slice_str(".-+,/_=")))
		n++;
	m->delimiters = slice_part(*s, 0, n);
	if (n == s->len || s->at[n] != '}')
		return PIECE_BAD;
	*s = slice_from(*s, n + 1);
	return PIECE_MACRO;
}

/* Takes the next piece off `s`: a literal's byte, an escape's text, or a macro. */
static enum piece next_piece(struct slice *s, struct macro *m, struct slice *text)
{
	uint8_t c;

	if (s->len == 0)
		return PIECE_END;
	*text = slice_part(*s, 0, 1);
	*s = slice_from(*s, 1);
	if (text->at[0] != '%')
		return PIECE_LITERAL;
	if (s->len == 0)
		return PIECE_BAD;
	c = s->at[0];
	*s = slice_from(*s, 1);
	if (c == '{')
		return read_macro(s, m);
	*text = slice_str(c == '%' ? "%" : c == '_' ? " " : "%20");
	return is_one_of(c, slice_str("%_-")) ? PIECE_ESCAPE : PIECE_BAD;
}

/* `behind` is what stands behind the last macro or escape. */
static bool follows(struct slice s, const char *refused, bool blanks, struct slice *behind)
{
	struct macro m;
	struct slice text;

	*behind = s;
	for (;;) {
		switch (next_piece(&s, &m, &text)) {
		case PIECE_END:
			return true;
		case PIECE_LITERAL:
			if ((text.at[0] < 0x21 || text.at[0] > 0x7e) &&
			    !(blanks && text.at[0] == ' '))
				return false;
			break;
		case PIECE_MACRO:
			if (is_one_of((uint8_t)m.letter, slice_str(refused)))
				return false;
			*behind = s;
			break;
		case PIECE_ESCAPE:
			*behind = s;
			break;
		default:
			return false;
		}
	}
}

/* Letters, digits and inner hyphens, not digits alone. */
static bool is_top_label(struct slice s)
{
	bool digits = true;

	if (s.len == 0 || !is_alphanum(s.at[0]) || !is_alphanum(s.at[s.len - 1]))
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (!is_alphanum(s.at[i]) && s.at[i] != '-')
			return false;
		digits = digits && is_digit(s.at[i]);
	}
	return !digits;
}

bool spf_domain_spec(struct slice s)
{
	struct slice end;
	size_t dot;

	if (s.len == 0 || !follows(s, "crt", false, &end))
		return false;
	if (end.len == 0)
		return true;
	if (end.at[end.len - 1] == '.')
		end.len--;
	for (dot = end.len; dot > 0 && end.at[dot - 1] != '.'; dot--)
		;
	return dot > 0 && is_top_label(slice_from(end, dot));
}

bool spf_macro_string(struct slice s)
{
	struct slice end;

	return follows(s, "", false, &end);
}

bool spf_explain_string(struct slice s)
{
	struct slice end;

	return follows(s, "", true, &end);
}

static bool has(struct slice s, char letter)
{
	struct macro m = { 0 };
	struct slice text;
	enum piece p;

	while ((p = next_piece(&s, &m, &text)) != PIECE_END)
		if (p == PIECE_MACRO && (letter == '\0' || m.letter == letter))
			return true;
	return false;
}

bool spf_has_macro(struct slice s)
{
	return has(s, '\0');
}

bool spf_has_letter(struct slice s, char letter)
{
	return has(s, letter);
}

/* Where expanded bytes go. */
struct sink {
	char *at;
	size_t len;
	size_t room;
	bool keep_end; /* else the beginning */
	bool cut;      /* something is lost on the left */
};

static void put(struct sink *k, uint8_t c)
{
	if (k->len == k->room) {
		if (!k->keep_end)
			return;
		memmove(k->at, k->at + k->len - KEPT_LEAST, KEPT_LEAST);
		k->len = KEPT_LEAST;
		k->cut = true;
	}
	k->at[k->len++] = (char)c;
}

static void put_all(struct sink *k, struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		put(k, s.at[i]);
}

/* A letter in upper case: all but "unreserved" of RFC 3986 as %XX. */
static void put_value(struct sink *k, struct slice s, bool escaped)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.len; i++) {
		if (!escaped || is_alphanum(s.at[i]) || is_one_of(s.at[i], slice_str("-._~"))) {
			put(k, s.at[i]);
		} else {
			put(k, '%');
			put(k, (uint8_t)hex[s.at[i] >> 4]);
			put(k, (uint8_t)hex[s.at[i] & 15]);
		}
	}
}

/* The parts [from, end) of the value, the last one first. */
static void put_reversed(struct sink *k, struct slice v, const struct macro *m,
                         struct slice delimiters)
{
	size_t end = v.len;

	for (;;) {
		size_t from = end;

		while (from > 0 && !is_one_of(v.at[from - 1], delimiters))
			from--;
		put_value(k, slice_part(v, from, end - from), m->upper);
		if (from == 0)
			return;
		put(k, '.');
		end = from - 1;
	}
}

static void put_in_order(struct sink *k, struct slice v, const struct macro *m,
                         struct slice delimiters)
{
	for (;;) {
		size_t n = 0;

		while (n < v.len && !is_one_of(v.at[n], delimiters))
			n++;
		put_value(k, slice_part(v, 0, n), m->upper);
		if (n == v.len)
			return;
		put(k, '.');
		v = slice_from(v, n + 1);
	}
}

/* Section 7.3: split, reversed, the right-hand parts taken, joined by dots. The right-hand parts of
 * what is reversed are the first ones of the value. */
static void put_parts(struct sink *k, struct slice v, const struct macro *m)
{
	struct slice delimiters = m->delimiters.len ? m->delimiters : slice_str(".");
	size_t parts = 1;
	size_t wanted;

	for (size_t i = 0; i < v.len; i++)
		parts += is_one_of(v.at[i], delimiters);
	wanted = m->digits && m->digits < parts ? m->digits : parts;
	if (m->reverse) {
		size_t n = 0;

		for (size_t left = wanted; n < v.len; n++)
			if (is_one_of(v.at[n], delimiters) && --left == 0)
				break;
		put_reversed(k, slice_part(v, 0, n), m, delimiters);
		return;
	}
	for (; parts > wanted; v = slice_from(v, 1))
		parts -= is_one_of(v.at[0], delimiters);
	put_in_order(k, v, m, delimiters);
}

/* %{i}: an IPv6 address as its 32 digits. */
static struct slice dotted(char out[DOTTED], const struct ip *ip)
{
	static const char hex[] = "0123456789ABCDEF";

	if (ip->family == 4) {
		ip_format(out, ip);
		return slice_str(out);
	}
	for (size_t i = 0; i < 32; i++) {
		out[2 * i] = hex[i % 2 ? ip->b[i / 2] & 15 : ip->b[i / 2] >> 4];
		out[2 * i + 1] = '.';
	}
	return slice_of(out, 63);
}

static struct slice or_unknown(struct slice s)
{
	return s.len ? s : slice_str("unknown");
}

static struct slice value_of(char letter, const struct spf_macros *m, char scratch[DOTTED])
{
	switch (letter) {
	case 's':
		return m->sender;
	case 'l':
		return m->local;
	case 'o':
		return m->sender_domain;
	case 'd':
		return m->domain;
	case 'h':
		return m->helo;
	case 'r':
		return or_unknown(m->receiver);
	case 'p':
		return or_unknown(m->validated);
	case 'v':
		return slice_str(m->client.family == 4 ? "in-addr" : "ip6");
	case 'i':
		return dotted(scratch, &m->client);
	case 'c':
		ip_format(scratch, &m->client);
		return slice_str(scratch);
	default: /* t */
		(void)snprintf(scratch, DOTTED, "%" PRId64, m->now_s);
		return slice_str(scratch);
	}
}

static void expand(struct sink *k, struct slice s, const struct spf_macros *x)
{
	char scratch[DOTTED];
	struct macro m = { 0 };
	struct slice text = { 0 };
	enum piece p;

	while ((p = next_piece(&s, &m, &text)) != PIECE_END) {
		if (p == PIECE_MACRO)
			put_parts(k, value_of(m.letter, x, scratch), &m);
		else if (p != PIECE_BAD)
			put_all(k, text);
	}
}

/* Without labels on the left, until it is no longer than a name can be. */
static struct slice shortened(struct slice s, bool cut)
{
	size_t from;

	if (!cut && s.len < SPF_NAME)
		return s;
	for (from = s.len - SPF_NAME; from < s.len && s.at[from] != '.'; from++)
		;
	return slice_from(s, from + 1);
}

size_t spf_expand_name(char out[SPF_NAME], struct slice spec, const struct spf_macros *m)
{
	char kept[KEPT];
	struct sink k = { .at = kept, .room = sizeof(kept), .keep_end = true };
	struct slice name;

	expand(&k, spec, m);
	if (k.len && kept[k.len - 1] == '.')
		k.len--;
	name = shortened(slice_of(kept, k.len), k.cut);
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.at[i];

		out[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
	}
	out[name.len] = '\0';
	return name.len;
}

void spf_expand_text(char *out, size_t room, struct slice text, const struct spf_macros *m)
{
	struct sink k = { .at = out, .room = room - 1 };

	expand(&k, text, m);
	for (size_t i = 0; i < k.len; i++)
		if (out[i] < 0x20 || out[i] > 0x7e)
			out[i] = '?';
	out[k.len] = '\0';
}

size_t spf_reverse_name(char out[SPF_NAME], const struct ip *ip)
{
	return spf_expand_name(out, slice_str("%{ir}.%{v}.arpa"),
	                       &(struct spf_macros) { .client = *ip });
}
