#include "ingest/mime/date.h"

#include <ctype.h>

#include "base/codec.h"

struct date {
	unsigned year, month, day;
	bool has_year, has_month, has_day, has_time;
	unsigned hour, minute, second;
	int zone; /* minutes east */
};

/* --- words: letters, digits with ':' and '.', a sign that begins a zone --- */

static bool is_separator(uint8_t c)
{
	return c <= ' ' || c == ',' || c == ';' || c == '(' || c == ')' || c == '"';
}

/* Drops comments, nested ones too. */
static size_t skip_comment(struct slice s)
{
	size_t depth = 0;

	for (size_t i = 0; i < s.len; i++) {
		depth += s.at[i] == '(';
		depth -= s.at[i] == ')';
		if (depth == 0)
			return i + 1;
	}
	return s.len;
}

static struct slice next_word(struct slice *s)
{
	size_t n = 0;
	struct slice word;

	while (s->len && is_separator(s->at[0]))
		*s = slice_from(*s, s->at[0] == '(' ? skip_comment(*s) : 1);
	while (n < s->len && !is_separator(s->at[n]))
		n++;
	word = slice_part(*s, 0, n);
	*s = slice_from(*s, n);
	return word;
}

/* Digits at the front of *s, at most `most`; how many there were. */
static size_t digits(struct slice *s, size_t most, unsigned *out)
{
	size_t n = 0;

	*out = 0;
	while (n < s->len && n < most && isdigit(s->at[n]))
		*out = *out * 10 + (unsigned)(s->at[n++] - '0');
	*s = slice_from(*s, n);
	return n;
}

static bool is_next(struct slice *s, uint8_t c)
{
	if (!s->len || s->at[0] != c)
		return false;
	*s = slice_from(*s, 1);
	return true;
}

/* --- pieces --- */

static unsigned month_of(struct slice w)
{
	static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";

	for (unsigned m = 0; w.len >= 3 && m < 12; m++)
		if (slice_starts_nocase(w, slice_of(names + (size_t)m * 3, 3)))
			return m + 1;
	return 0;
}

/* "10:14", "10:14:00", "10.14.00", "10:14:00.123" */
static bool take_time(struct date *d, struct slice *w)
{
	struct slice s = *w;

	if (!digits(&s, 2, &d->hour) || !(is_next(&s, ':') || is_next(&s, '.')) ||
	    !digits(&s, 2, &d->minute))
		return false;
	d->second = 0;
	if ((is_next(&s, ':') || is_next(&s, '.')) && !digits(&s, 2, &d->second))
		return false;
	if (is_next(&s, '.')) {
		unsigned fraction;

		(void)digits(&s, 9, &fraction);
	}
	d->has_time = true;
	*w = s;
	return d->hour <= 24 && d->minute < 60 && d->second <= 60;
}

/* "+0530", "-05:00", "+05"; nothing else may follow. */
static bool take_offset(struct date *d, struct slice s)
{
	bool west = s.at[0] == '-';
	unsigned hours, minutes = 0;

	s = slice_from(s, 1);
	if (digits(&s, 2, &hours) != 2)
		return false;
	(void)is_next(&s, ':');
	if (s.len && digits(&s, 2, &minutes) != 2)
		return false;
	if (s.len || hours > 14 || minutes > 59)
		return false;
	d->zone = (int)(hours * 60 + minutes) * (west ? -1 : 1);
	return true;
}

static bool take_zone(struct date *d, struct slice w)
{
	static const struct {
		const char *name;
		int hours;
	} zones[] = { { "UT", 0 },   { "GMT", 0 },  { "UTC", 0 },  { "Z", 0 },    { "EST", -5 },
		      { "EDT", -4 }, { "CST", -6 }, { "CDT", -5 }, { "MST", -7 }, { "MDT", -6 },
		      { "PST", -8 }, { "PDT", -7 }, { "CET", 1 },  { "CEST", 2 }, { "MET", 1 },
		      { "MEST", 2 }, { "BST", 1 },  { "EET", 2 },  { "EEST", 3 }, { "JST", 9 },
		      { "MSK", 3 } };
	size_t n = 0;

	while (n < w.len && isalpha(w.at[n]))
		n++;
	for (size_t i = 0; i < COUNT(zones); i++)
		if (slice_equal_nocase(slice_part(w, 0, n), slice_str(zones[i].name)))
			d->zone = zones[i].hours * 60;
	w = slice_from(w, n);
	if (w.len && (w.at[0] == '+' || w.at[0] == '-'))
		return take_offset(d, w);
	return true; /* an unknown name is UTC (RFC 5322 section 4.3) */
}

static bool take_number(struct date *d, struct slice w)
{
	struct slice s = w;
	unsigned v;
	size_t n = digits(&s, 5, &v);

	if (!d->has_day && n <= 2) {
		d->day = v;
		d->has_day = true;
	} else if (!d->has_year && n >= 2 && n <= 4) {
		/* RFC 5322 section 4.3 */
		d->year = n == 2 ? (v < 50 ? 2000 : 1900) + v : n == 3 ? 1900 + v : v;
		d->has_year = true;
	} else {
		return false;
	}
	return s.len == 0;
}

/* "2026-01-05", "2026-01-05T10:00:00Z", "5-Jan-2026". */
static bool take_dashed(struct date *d, struct slice w)
{
	struct slice s = w;
	unsigned first;
	size_t n = digits(&s, 4, &first);

	if (!n || !is_next(&s, '-'))
		return false;
	if (n == 4) {
		d->year = first;
		if (!digits(&s, 2, &d->month) || !is_next(&s, '-') || !digits(&s, 2, &d->day))
			return false;
		if (s.len && !is_next(&s, 'T') && !is_next(&s, 't'))
			return false;
		if (s.len && !take_time(d, &s))
			return false;
		if (s.len &&
		    !(s.at[0] == '+' || s.at[0] == '-' ? take_offset(d, s) : take_zone(d, s)))
			return false;
	} else {
		struct slice name = slice_cut(s, '-', &s);

		d->day = first;
		d->month = month_of(name);
		n = digits(&s, 4, &d->year);
		if (n == 2)
			d->year += d->year < 50 ? 2000 : 1900;
		if (s.len || n < 2)
			return false;
	}
	d->has_day = d->has_month = d->has_year = true;
	return true;
}

static bool take_word(struct date *d, struct slice w)
{
	struct slice s = w;
	unsigned month;

	if (isdigit(w.at[0])) {
		if (slice_find_byte(w, '-') != SIZE_MAX && !d->has_day)
			return take_dashed(d, w);
		if (!d->has_time && (slice_find_byte(w, ':') != SIZE_MAX ||
		                     (d->has_year && slice_find_byte(w, '.') != SIZE_MAX)))
			return take_time(d, &s) && (s.len == 0 || take_zone(d, s));
		return take_number(d, w);
	}
	if ((w.at[0] == '+' || w.at[0] == '-') && w.len > 1)
		return take_offset(d, w);
	month = d->has_month ? 0 : month_of(w);
	if (month) {
		d->month = month;
		d->has_month = true;
		return true;
	}
	/* A day's name in front, a zone behind the time. */
	return d->has_time ? take_zone(d, w) : true;
}

bool date_parse(struct slice value, int64_t *ms)
{
	struct date d = { 0 };
	struct slice rest = slice_part(value, 0, 512);
	int64_t seconds;

	for (size_t i = 0; i < 12; i++) {
		struct slice w = next_word(&rest);

		if (w.len == 0)
			break;
		if (!take_word(&d, w))
			return false;
	}
	if (!d.has_day || !d.has_month || !d.has_year || d.year < 1900 || d.year > 9999 ||
	    d.month < 1 || d.month > 12 || d.day < 1 || d.day > days_in_month(d.year, d.month))
		return false;
	seconds = days_from_civil(d.year, d.month, d.day) * 86400 + d.hour * 3600 + d.minute * 60 +
	          d.second - (int64_t)d.zone * 60;
	*ms = seconds * 1000;
	/* A zone may carry it over the edge that a reader accepts. */
	return seconds >= INT64_C(-25567) * 86400 && seconds < INT64_C(2932897) * 86400;
}
