#include "base/codec.h"

#include <stdio.h>

struct slice read_bytes(struct reader *r, size_t n)
{
	struct slice got;

	if (!r->ok || n > r->rest.len) {
		r->ok = false;
		return slice_of(NULL, 0);
	}
	got = slice_part(r->rest, 0, n);
	r->rest = slice_from(r->rest, n);
	return got;
}

uint8_t read_u8(struct reader *r)
{
	struct slice s = read_bytes(r, 1);

	return s.len ? s.at[0] : 0;
}

uint16_t read_u16(struct reader *r)
{
	struct slice s = read_bytes(r, 2);

	return s.len ? get_le16(s.at) : 0;
}

uint32_t read_u32(struct reader *r)
{
	struct slice s = read_bytes(r, 4);

	return s.len ? get_le32(s.at) : 0;
}

uint64_t read_u64(struct reader *r)
{
	struct slice s = read_bytes(r, 8);

	return s.len ? get_le64(s.at) : 0;
}

struct slice read_slice(struct reader *r)
{
	return read_bytes(r, read_u32(r));
}

enum rc buf_put_u8(struct buf *b, uint8_t v)
{
	return buf_add_byte(b, v);
}

enum rc buf_put_u16(struct buf *b, uint16_t v)
{
	uint8_t raw[2];

	put_le16(raw, v);
	return buf_add(b, slice_of(raw, sizeof(raw)));
}

enum rc buf_put_u32(struct buf *b, uint32_t v)
{
	uint8_t raw[4];

	put_le32(raw, v);
	return buf_add(b, slice_of(raw, sizeof(raw)));
}

enum rc buf_put_u64(struct buf *b, uint64_t v)
{
	uint8_t raw[8];

	put_le64(raw, v);
	return buf_add(b, slice_of(raw, sizeof(raw)));
}

enum rc buf_put_slice(struct buf *b, struct slice s)
{
	if (s.len > UINT32_MAX || buf_reserve(b, s.len + 4) != RC_OK)
		return RC_LIMIT;
	if (buf_put_u32(b, (uint32_t)s.len) != RC_OK)
		return RC_LIMIT;
	return buf_add(b, s);
}

void hex_encode(char *out, const void *in, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = in;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * n] = '\0';
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_decode(uint8_t *out, size_t n, struct slice text)
{
	if (text.len != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int high = hex_digit(text.at[2 * i]);
		int low = hex_digit(text.at[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static int base64_digit(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static enum rc base64_group(struct buf *out, const uint8_t *p, bool last)
{
	uint32_t word = 0;
	size_t pad = 0;
	uint8_t raw[3];

	for (size_t i = 0; i < 4; i++) {
		int digit = base64_digit(p[i]);

		if (last && p[i] == '=' && i >= 2) {
			pad++;
			digit = 0;
		} else if (pad) {
			return RC_INVALID;
		}
		if (digit < 0)
			return RC_INVALID;
		word = word << 6 | (uint32_t)digit;
	}
	if ((pad == 1 && word & 0xff) || (pad == 2 && word & 0xffff))
		return RC_INVALID;
	raw[0] = (uint8_t)(word >> 16);
	raw[1] = (uint8_t)(word >> 8);
	raw[2] = (uint8_t)word;
	return buf_add(out, slice_of(raw, 3 - pad));
}

enum rc base64_decode(struct buf *out, struct slice text)
{
	size_t before = out->len;

	if (text.len % 4)
		return RC_INVALID;
	for (size_t i = 0; i < text.len; i += 4) {
		enum rc rc = base64_group(out, text.at + i, i + 4 == text.len);

		if (rc != RC_OK) {
			out->len = before;
			return rc;
		}
	}
	return RC_OK;
}

enum rc base64_encode(struct buf *out, struct slice bytes)
{
	static const char digits[] =
	        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	if (bytes.len > SIZE_MAX / 2 || buf_reserve(out, (bytes.len + 2) / 3 * 4) != RC_OK)
		return RC_LIMIT;
	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t n = MIN_OF((size_t)3, bytes.len - i);
		uint32_t word = (uint32_t)bytes.at[i] << 16;
		uint8_t group[4];

		if (n > 1)
			word |= (uint32_t)bytes.at[i + 1] << 8;
		if (n > 2)
			word |= bytes.at[i + 2];
		group[0] = (uint8_t)digits[word >> 18 & 63];
		group[1] = (uint8_t)digits[word >> 12 & 63];
		group[2] = n > 1 ? (uint8_t)digits[word >> 6 & 63] : '=';
		group[3] = n > 2 ? (uint8_t)digits[word & 63] : '=';
		if (buf_add(out, slice_of(group, 4)) != RC_OK)
			return RC_LIMIT;
	}
	return RC_OK;
}

/* Civil calendar by counting in 400-year eras that begin on 1 March (public algorithm of H.
 * Hinnant, "chrono-Compatible Low-Level Date Algorithms"). */
int64_t days_from_civil(int64_t year, unsigned month, unsigned day)
{
	int64_t y = year - (month <= 2);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	unsigned yoe = (unsigned)(y - era * 400);
	unsigned doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return era * 146097 + (int64_t)doe - 719468;
}

void civil_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153;

	*day = doy - (153 * mp + 2) / 5 + 1;
	*month = mp < 10 ? mp + 3 : mp - 9;
	*year = (int64_t)yoe + era * 400 + (*month <= 2);
}

unsigned days_in_month(int64_t year, unsigned month)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	MUST(month >= 1 && month <= 12);
	return month == 2 && leap ? 29 : days[month - 1];
}

void time_format(char out[25], int64_t ms)
{
	int64_t day = day_of_ms(ms);
	unsigned rest = (unsigned)(ms - day * MS_PER_DAY);
	int64_t year;
	unsigned month;
	unsigned mday;
	char text[64];

	civil_from_days(day, &year, &month, &mday);
	if (year < 0 || year > 9999)
		year = year < 0 ? 0 : 9999;
	(void)snprintf(text, sizeof(text), "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned)year,
	               month, mday, rest / 3600000, rest / 60000 % 60, rest / 1000 % 60,
	               rest % 1000);
	memcpy(out, text, 24);
	out[24] = '\0';
}

/* n digits at *s, removed from it. */
static bool take_digits(struct slice *s, size_t n, unsigned *out)
{
	uint64_t v;

	if (s->len < n || !slice_to_u64(slice_part(*s, 0, n), &v))
		return false;
	*out = (unsigned)v;
	*s = slice_from(*s, n);
	return true;
}

static bool take_byte(struct slice *s, const char *any)
{
	if (s->len == 0 || s->at[0] == 0 || !strchr(any, s->at[0]))
		return false;
	*s = slice_from(*s, 1);
	return true;
}

static bool take_zone(struct slice *s, int64_t *ms)
{
	unsigned hours;
	unsigned minutes;
	bool east;

	if (take_byte(s, "Zz"))
		return s->len == 0;
	if (s->len == 0 || (s->at[0] != '+' && s->at[0] != '-'))
		return false;
	east = s->at[0] == '+';
	*s = slice_from(*s, 1);
	if (!take_digits(s, 2, &hours))
		return false;
	(void)take_byte(s, ":");
	if (!take_digits(s, 2, &minutes) || hours > 23 || minutes > 59 || s->len)
		return false;
	*ms += (east ? -1 : 1) * (int64_t)(hours * 60 + minutes) * 60000;
	return true;
}

static bool take_clock(struct slice *s, int64_t *ms)
{
	unsigned hour;
	unsigned minute;
	unsigned second = 0;

	if (!take_digits(s, 2, &hour) || !take_byte(s, ":") || !take_digits(s, 2, &minute))
		return false;
	if (take_byte(s, ":") && !take_digits(s, 2, &second))
		return false;
	if (hour > 23 || minute > 59 || second > 60)
		return false;
	*ms += (int64_t)(hour * 3600 + minute * 60 + second) * 1000;
	if (take_byte(s, ".")) {
		int64_t scale = 100;

		if (s->len == 0 || s->at[0] < '0' || s->at[0] > '9')
			return false;
		while (s->len && s->at[0] >= '0' && s->at[0] <= '9') {
			*ms += scale * (s->at[0] - '0');
			scale /= 10;
			*s = slice_from(*s, 1);
		}
	}
	return true;
}

bool time_parse(struct slice text, int64_t *ms)
{
	struct slice s = slice_trim(text);
	unsigned year;
	unsigned month;
	unsigned day;
	uint64_t seconds;

	if (s.len > 8 && s.len < 13 && slice_to_u64(s, &seconds)) {
		*ms = (int64_t)seconds * 1000;
		return true;
	}
	if (!take_digits(&s, 4, &year) || !take_byte(&s, "-/") || !take_digits(&s, 2, &month) ||
	    !take_byte(&s, "-/") || !take_digits(&s, 2, &day))
		return false;
	if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
		return false;
	*ms = days_from_civil(year, month, day) * MS_PER_DAY;
	if (s.len == 0)
		return true;
	return take_byte(&s, "Tt ") && take_clock(&s, ms) && take_zone(&s, ms);
}
