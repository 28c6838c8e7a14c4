#include "ingest/action/encode.h"

#include <stdio.h>

#include "base/codec.h"

#define WORD_BYTES  42 /* of an encoded word: 56 characters of base64 */
#define QUOTED_LINE 75 /* and the "=" of a line that goes on */

bool encode_is_printable(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] < ' ' || s.at[i] > 126)
			return false;
	return true;
}

enum rc encode_printable(struct buf *out, struct slice s, size_t most)
{
	enum rc rc = RC_OK;

	s = slice_part(s, 0, most);
	for (size_t i = 0; rc == RC_OK && i < s.len; i++)
		rc = buf_add_byte(out, s.at[i] < ' ' || s.at[i] > 126 ? '?' : s.at[i]);
	return rc;
}

/* ---- header text ---- */

static void keep(struct fold *f, enum rc rc)
{
	if (f->rc == RC_OK)
		f->rc = rc;
}

/* Blanks and the word behind them: a line may begin in front of the blanks. */
static void add_blanks_and_word(struct fold *f, struct slice part)
{
	if (f->column + part.len > FOLD_COLUMNS) {
		keep(f, buf_add_str(f->out, "\r\n"));
		f->column = 0;
	}
	keep(f, buf_add(f->out, part));
	f->column += part.len;
}

static void add_plain(struct fold *f, struct slice value)
{
	size_t n;

	if (!value.len)
		return;
	n = slice_find_byte(value, ' ');
	fold_word(f, slice_part(value, 0, n));
	value = slice_from(value, n);
	while (value.len) {
		for (n = 0; n < value.len && value.at[n] == ' '; n++)
			;
		while (n < value.len && value.at[n] != ' ')
			n++;
		add_blanks_and_word(f, slice_part(value, 0, n));
		value = slice_from(value, n);
	}
}

/* Length of the UTF-8 sequence in front, 0: it is none. */
static size_t sequence(struct slice s)
{
	for (size_t n = 1; n <= 4 && n <= s.len; n++)
		if (slice_is_utf8(slice_part(s, 0, n)))
			return n;
	return 0;
}

/* Takes whole characters off `rest`, as many as a word has. */
static enum rc take_word(struct buf *word, struct slice *rest)
{
	enum rc rc = RC_OK;
	size_t n = 0;

	while (rc == RC_OK && rest->len) {
		n = sequence(*rest);
		if (word->len + MAX_OF(n, (size_t)3) > WORD_BYTES)
			break;
		if (!n)
			rc = buf_add_str(word, "\xef\xbf\xbd");
		else if (n == 1 && (rest->at[0] < ' ' || rest->at[0] == 127))
			rc = buf_add_byte(word, '?');
		else
			rc = buf_add(word, slice_part(*rest, 0, n));
		*rest = slice_from(*rest, n ? n : 1);
	}
	return rc;
}

static void add_encoded(struct fold *f, struct slice value)
{
	struct buf word, text;

	buf_init(&word, WORD_BYTES);
	buf_init(&text, 128);
	while (value.len && f->rc == RC_OK) {
		buf_clear(&word);
		buf_clear(&text);
		keep(f, take_word(&word, &value));
		keep(f, buf_add_str(&text, "=?UTF-8?B?"));
		keep(f, base64_encode(&text, buf_slice(&word)));
		keep(f, buf_add_str(&text, "?="));
		fold_word(f, buf_slice(&text));
	}
	buf_free(&word);
	buf_free(&text);
}

void encode_text(struct fold *f, struct slice value)
{
	value = slice_trim(value);
	(encode_is_printable(value) ? add_plain : add_encoded)(f, value);
}

enum rc encode_field(struct buf *out, const char *name, struct slice value)
{
	struct fold f;

	fold_begin(&f, out, name);
	encode_text(&f, value);
	return fold_end(&f);
}

/* ---- addresses ---- */

enum rc encode_xtext(struct buf *out, struct slice s)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < s.len; i++) {
		uint8_t c = s.at[i];

		if (c < '!' || c > '~' || c == '+' || c == '=')
			rc = buf_addf(out, "+%02X", c);
		else
			rc = buf_add_byte(out, c);
	}
	return rc;
}

static uint32_t code_point(struct slice s)
{
	uint32_t c = s.len == 1 ? s.at[0] : s.at[0] & (0x7fu >> s.len);

	for (size_t i = 1; i < s.len; i++)
		c = c << 6 | (s.at[i] & 0x3f);
	return c;
}

enum rc encode_utf8_xtext(struct buf *out, struct slice s)
{
	enum rc rc = RC_OK;

	while (rc == RC_OK && s.len) {
		size_t n = sequence(s);
		uint32_t c = n ? code_point(slice_part(s, 0, n)) : '?';

		s = slice_from(s, n ? n : 1);
		if (c <= ' ' || c >= 127 || c == '+' || c == '=' || c == '\\')
			rc = buf_addf(out, "\\x{%02X}", (unsigned)c);
		else
			rc = buf_add_byte(out, (uint8_t)c);
	}
	return rc;
}

/* ---- bodies ---- */

struct quoting {
	struct buf *out;
	size_t column;
	enum rc rc;
};

static void put(struct quoting *q, const char *text)
{
	size_t len = strlen(text);

	if (q->rc == RC_OK && q->column + len > QUOTED_LINE) {
		q->rc = buf_add_str(q->out, "=\r\n");
		q->column = 0;
	}
	if (q->rc == RC_OK)
		q->rc = buf_add_str(q->out, text);
	q->column += len;
}

static bool ends_line(struct slice rest)
{
	return rest.len == 0 || (rest.len > 1 && rest.at[0] == '\r' && rest.at[1] == '\n');
}

enum rc encode_quoted(struct buf *out, struct slice text)
{
	struct quoting q = { .out = out };
	char one[4];

	while (text.len && q.rc == RC_OK) {
		uint8_t c = text.at[0];

		if (ends_line(text)) {
			q.rc = buf_add_str(out, "\r\n");
			q.column = 0;
			text = slice_from(text, 2);
			continue;
		}
		text = slice_from(text, 1);
		if (c < ' ' || c > 126 || c == '=' || (c == ' ' && ends_line(text)))
			(void)snprintf(one, sizeof(one), "=%02X", c);
		else
			(void)snprintf(one, sizeof(one), "%c", c);
		put(&q, one);
	}
	return q.rc;
}

/* ---- times ---- */

void encode_date(char out[ENCODE_DATE], int64_t ms)
{
	static const char *const days[] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" };
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
		                              "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	const int64_t last = INT64_C(253402300799999); /* of the year 9999 */
	int64_t year, day, second;
	unsigned month, date;

	ms = ms < 0 ? 0 : MIN_OF(ms, last);
	day = day_of_ms(ms);
	second = (ms - day * MS_PER_DAY) / 1000;
	civil_from_days(day, &year, &month, &date);
	(void)snprintf(out, ENCODE_DATE, "%s, %02u %s %04u %02u:%02u:%02u +0000", days[day % 7],
	               date % 100, months[(month - 1) % 12], (unsigned)year % 10000,
	               (unsigned)(second / 3600) % 100, (unsigned)(second / 60 % 60),
	               (unsigned)(second % 60));
}
