#include "ingest/mime/transfer.h"

enum transfer transfer_of(struct slice value)
{
	struct slice v = slice_trim(value);

	/* A comment or a parameter behind it is of no matter. */
	for (size_t i = 0; i < v.len; i++)
		if (v.at[i] == ' ' || v.at[i] == ';' || v.at[i] == '(' || v.at[i] == '\t')
			v.len = i;
	if (slice_equal_nocase(v, slice_str("base64")))
		return TRANSFER_BASE64;
	if (slice_equal_nocase(v, slice_str("quoted-printable")))
		return TRANSFER_QP;
	if (v.len == 0 || slice_equal_nocase(v, slice_str("7bit")) ||
	    slice_equal_nocase(v, slice_str("8bit")) || slice_equal_nocase(v, slice_str("binary")))
		return TRANSFER_NONE;
	return TRANSFER_UNKNOWN;
}

/* --- base64 --- */

#define FOREIGN 64
#define PAD     65
#define BLANK   66
#define PIECE   49152 /* of a text, so that a full buffer is full but for that much */

static uint8_t value_of(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return (uint8_t)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (uint8_t)(c - 'a' + 26);
	if (c >= '0' && c <= '9')
		return (uint8_t)(c - '0' + 52);
	if (c == '+' || c == '-') /* the URL alphabet is seen, too */
		return 62;
	if (c == '/' || c == '_')
		return 63;
	if (c == '=')
		return PAD;
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' ? BLANK : FOREIGN;
}

static const uint8_t *values(void)
{
	static uint8_t table[256];
	static bool made;

	if (!made) {
		for (unsigned c = 0; c < 256; c++)
			table[c] = value_of((uint8_t)c);
		made = true;
	}
	return table;
}

/* What is there of a group that ends early. */
static size_t end_group(struct base64_state *s, uint8_t *to)
{
	size_t n = 0;

	if (s->count == 12) {
		to[n++] = (uint8_t)(s->bits >> 4);
	} else if (s->count == 18) {
		to[n++] = (uint8_t)(s->bits >> 10);
		to[n++] = (uint8_t)(s->bits >> 2);
	}
	*s = (struct base64_state) { 0 };
	return n;
}

size_t base64_feed(struct base64_state *s, struct buf *out, struct slice text, bool *full)
{
	const uint8_t *table = values();
	size_t odd = 0;
	uint8_t *to;

	if (buf_reserve(out, text.len / 4 * 3 + 6) != RC_OK) {
		*full = true;
		return 0;
	}
	to = out->at + out->len;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t v = table[text.at[i]];

		if (v < 64) {
			s->bits = s->bits << 6 | v;
			s->count += 6;
			if (s->count == 24) {
				*to++ = (uint8_t)(s->bits >> 16);
				*to++ = (uint8_t)(s->bits >> 8);
				*to++ = (uint8_t)s->bits;
				*s = (struct base64_state) { 0 };
			}
		} else if (v == PAD) {
			to += end_group(s, to);
		} else {
			odd += v == FOREIGN || text.at[i] == ' ';
		}
	}
	out->len = (size_t)(to - out->at);
	out->at[out->len] = '\0';
	return odd;
}

/* A blank inside, or foreign characters: somebody wrote this line, no encoder did. */
static bool is_plain_line(struct slice line)
{
	const uint8_t *table = values();

	for (size_t i = 0; i < line.len; i++)
		if (table[line.at[i]] == FOREIGN || table[line.at[i]] == BLANK)
			return true;
	return false;
}

static bool add_line(struct buf *out, struct slice line)
{
	return buf_add_byte(out, '\n') == RC_OK && buf_add(out, line) == RC_OK &&
	       buf_add_byte(out, '\n') == RC_OK;
}

/* The lines that are no base64, once more as they stand. */
static void add_plain_lines(struct buf *out, struct slice text, struct transfer_result *r)
{
	while (text.len) {
		struct slice line = slice_trim(slice_cut(text, '\n', &text));

		if (!is_plain_line(line))
			continue;
		r->damaged = true;
		if (!add_line(out, line)) {
			r->cut = true;
			return;
		}
	}
}

void transfer_base64(struct buf *out, struct slice text, struct transfer_result *r)
{
	struct base64_state s = { 0 };
	size_t odd = 0;
	bool full = false;

	for (size_t at = 0; at < text.len && !full; at += PIECE)
		odd += base64_feed(&s, out, slice_part(text, at, PIECE), &full);
	r->cut = r->cut || full;
	if (buf_reserve(out, 3) == RC_OK)
		out->len += end_group(&s, out->at + out->len);
	if (odd)
		add_plain_lines(out, text, r);
}

/* --- quoted-printable --- */

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Length of what stands at an '=': 3 for =XX with *byte set, a soft line break with *byte -1, or 0.
 */
static size_t qp_escape(struct slice s, int *byte)
{
	size_t i = 1;

	if (s.len >= 3 && hex_digit(s.at[1]) >= 0 && hex_digit(s.at[2]) >= 0) {
		*byte = hex_digit(s.at[1]) << 4 | hex_digit(s.at[2]);
		return 3;
	}
	*byte = -1;
	while (i < s.len && (s.at[i] == ' ' || s.at[i] == '\t'))
		i++;
	if (i < s.len && s.at[i] == '\r')
		i++;
	if (i == s.len)
		return i;
	return s.at[i] == '\n' ? i + 1 : 0;
}

void transfer_qp(struct buf *out, struct slice text, struct transfer_result *r)
{
	while (text.len) {
		size_t run = MIN_OF(slice_find_byte(text, '='), text.len);
		int byte;
		size_t n;

		if (buf_add(out, slice_part(text, 0, run)) != RC_OK) {
			(void)!buf_add(out, slice_part(text, 0, out->limit - out->len));
			r->cut = true;
			return;
		}
		text = slice_from(text, run);
		if (text.len == 0)
			return;
		n = qp_escape(text, &byte);
		if (n == 0) {
			r->damaged = true;
			byte = '=';
			n = 1;
		}
		if (byte >= 0 && buf_add_byte(out, (uint8_t)byte) != RC_OK) {
			r->cut = true;
			return;
		}
		text = slice_from(text, n);
	}
}
