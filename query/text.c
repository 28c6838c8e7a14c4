#include "query/text.h"

#include "query/row.h"

/* Bytes of the character that `lead` begins; 0 when none can. */
static size_t char_bytes(uint8_t lead)
{
	if (lead < 0x80)
		return 1;
	if (lead >= 0xc2 && lead < 0xe0)
		return 2;
	if (lead >= 0xe0 && lead < 0xf0)
		return 3;
	return lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
}

size_t text_char(struct slice s, uint32_t *point)
{
	size_t n = char_bytes(s.at[0]);

	*point = CHAR_INVALID;
	if (n == 0 || n > s.len || !slice_is_utf8(slice_part(s, 0, n)))
		return 1;
	*point = n == 1 ? s.at[0] : s.at[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++)
		*point = *point << 6 | (s.at[i] & 0x3f);
	return n;
}

bool text_is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c ||
	       (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
	       (c >= 0xe0000 && c <= 0xe007f);
}

bool text_is_blank(uint32_t c)
{
	return c <= 0x20 || (c >= 0x7f && c <= 0xa0) || c == 0x1680 ||
	       (c >= 0x2000 && c <= 0x200b) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
	       c == 0x205f || c == 0x3000 || c == 0xfeff;
}

bool text_is_quote(uint32_t c)
{
	return c == '"' || (c >= 0x201c && c <= 0x201f) || c == 0xff02;
}

size_t text_shown(struct slice s)
{
	size_t n = MIN_OF(s.len, (size_t)70);

	while (n && n < s.len && (s.at[n] & 0xc0) == 0x80)
		n--;
	return n;
}

static const struct slice replacement = { (const uint8_t *)"\xef\xbf\xbd", 3 };

enum rc text_utf8(struct slice text, struct buf *out)
{
	enum rc rc = RC_OK;

	while (text.len && rc == RC_OK) {
		uint32_t c;
		size_t n = text_char(text, &c);

		rc = buf_add(out, c == CHAR_INVALID ? replacement : slice_part(text, 0, n));
		text = slice_from(text, n);
	}
	return rc;
}

enum rc text_clean(struct slice text, struct buf *out)
{
	enum rc rc = RC_OK;

	while (text.len && rc == RC_OK) {
		uint32_t c;
		size_t n = text_char(text, &c);

		if (c < 0x20 || c == 0x7f)
			rc = buf_add_byte(out, ' ');
		else
			rc = buf_add(out, c == CHAR_INVALID ? replacement : slice_part(text, 0, n));
		text = slice_from(text, n);
	}
	return rc;
}

enum rc text_escape(struct slice text, struct buf *out)
{
	enum rc rc = RC_OK;

	while (text.len && rc == RC_OK) {
		uint32_t c;
		size_t n = text_char(text, &c);

		if (c == CHAR_INVALID)
			rc = buf_addf(out, "\\x%02x", text.at[0]);
		else if (!text_is_control(c))
			rc = buf_add(out, slice_part(text, 0, n));
		else
			rc = buf_addf(out, c < 0x80 ? "\\x%02x" : "\\u{%04x}", (unsigned)c);
		text = slice_from(text, n);
	}
	return rc;
}

/* The first characters that make spreadsheets read a cell as a formula, full-width forms too. */
static bool csv_is_formula(struct slice text)
{
	static const uint32_t first[] = { '=',  '+',  '-',    '@',    '\t',   '\r',
		                          '\n', '\0', 0xff1d, 0xff0b, 0xff0d, 0xff20 };
	uint32_t c;

	if (text.len == 0)
		return false;
	(void)text_char(text, &c);
	for (size_t i = 0; i < COUNT(first); i++)
		if (c == first[i])
			return true;
	return false;
}

static bool csv_wants_quotes(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (strchr(",\"\r\n", text.at[i]) && text.at[i])
			return true;
	return text.len > 0 && (text.at[0] == ' ' || text.at[text.len - 1] == ' ');
}

static enum rc csv_content(struct slice text, struct buf *out)
{
	enum rc rc = csv_is_formula(text) ? buf_add_byte(out, '\'') : RC_OK;

	while (text.len && rc == RC_OK) {
		uint32_t c;
		size_t n = text_char(text, &c);

		/* A NUL would end the cell for most readers, half a character spoil the file. */
		if (c == CHAR_INVALID || c == 0)
			rc = buf_add(out, replacement);
		else if (c == '"')
			rc = buf_add_str(out, "\"\"");
		else
			rc = buf_add(out, slice_part(text, 0, n));
		text = slice_from(text, n);
	}
	return rc;
}

enum rc csv_cell(struct slice text, struct buf *out)
{
	bool quotes = csv_wants_quotes(text);
	enum rc rc = quotes ? buf_add_byte(out, '"') : RC_OK;

	if (rc == RC_OK)
		rc = csv_content(text, out);
	if (rc == RC_OK && quotes)
		rc = buf_add_byte(out, '"');
	return rc;
}
