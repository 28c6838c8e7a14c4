/* ingest/source_date.c - dates of RFC 5322, and the topmost Received: that has one */
#include "base/codec.h"
#include "ingest/source.h"

/* Blanks, folding and (nested) comments. */
static void skip_space(struct slice *s)
{
	unsigned depth = 0;

	while (s->len) {
		uint8_t c = s->at[0];

		if (c == '(')
			depth++;
		else if (c == ')' && depth)
			depth--;
		else if (!depth && c != ' ' && c != '\t' && c != '\r' && c != '\n')
			return;
		*s = slice_from(*s, 1);
	}
}

static bool take_number(struct slice *s, size_t most, unsigned *out)
{
	size_t n = 0;
	uint64_t v;

	skip_space(s);
	while (n < s->len && n < most && s->at[n] >= '0' && s->at[n] <= '9')
		n++;
	if (n == 0 || !slice_to_u64(slice_part(*s, 0, n), &v))
		return false;
	*out = (unsigned)v;
	*s = slice_from(*s, n);
	return true;
}

static bool take_byte(struct slice *s, uint8_t byte)
{
	skip_space(s);
	if (s->len == 0 || s->at[0] != byte)
		return false;
	*s = slice_from(*s, 1);
	return true;
}

static struct slice take_word(struct slice *s)
{
	struct slice word;
	size_t n = 0;

	skip_space(s);
	while (n < s->len && (s->at[n] | 0x20) >= 'a' && (s->at[n] | 0x20) <= 'z')
		n++;
	word = slice_part(*s, 0, n);
	*s = slice_from(*s, n);
	return word;
}

static bool take_month(struct slice *s, unsigned *month)
{
	static const char *const names[] = { "jan", "feb", "mar", "apr", "may", "jun",
		                             "jul", "aug", "sep", "oct", "nov", "dec" };
	struct slice word = slice_part(take_word(s), 0, 3);

	for (unsigned i = 0; i < 12; i++)
		if (slice_equal_nocase(word, slice_str(names[i]))) {
			*month = i + 1;
			return true;
		}
	return false;
}

/* RFC 5322 section 4.3: obsolete zones; unknown ones mean -0000. */
static int named_zone(struct slice word)
{
	static const struct {
		const char *name;
		int minutes;
	} zones[] = { { "EDT", -240 }, { "EST", -300 }, { "CDT", -300 }, { "CST", -360 },
		      { "MDT", -360 }, { "MST", -420 }, { "PDT", -420 }, { "PST", -480 } };

	for (size_t i = 0; i < COUNT(zones); i++)
		if (slice_equal_nocase(word, slice_str(zones[i].name)))
			return zones[i].minutes;
	return 0;
}

static int take_zone(struct slice *s)
{
	unsigned hhmm;
	int sign = 0;

	if (take_byte(s, '+'))
		sign = 1;
	else if (take_byte(s, '-'))
		sign = -1;
	if (sign && take_number(s, 4, &hhmm))
		return sign * (int)(hhmm / 100 * 60 + hhmm % 100);
	return named_zone(take_word(s));
}

static unsigned full_year(unsigned year)
{
	if (year < 50)
		return year + 2000;
	return year < 1000 ? year + 1900 : year;
}

bool date_parse(struct slice s, int64_t *ms)
{
	unsigned day;
	unsigned month;
	unsigned year;
	unsigned hour;
	unsigned minute;
	unsigned second = 0;
	int zone;

	if (take_word(&s).len)
		(void)take_byte(&s, ',');
	if (!take_number(&s, 2, &day) || !take_month(&s, &month) || !take_number(&s, 4, &year) ||
	    !take_number(&s, 2, &hour) || !take_byte(&s, ':') || !take_number(&s, 2, &minute))
		return false;
	if (take_byte(&s, ':') && !take_number(&s, 2, &second))
		return false;
	year = full_year(year);
	if (day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 || second > 60)
		return false;
	zone = take_zone(&s);
	*ms = days_from_civil(year, month, day) * MS_PER_DAY +
	      ((int64_t)hour * 3600 + minute * 60 + second) * 1000 - (int64_t)zone * 60000;
	return *ms >= 0;
}

/* The header at the start of `block`, folded lines included; `block` moves behind it. */
static struct slice take_header(struct slice *block)
{
	size_t n = 0;

	while (n < block->len) {
		size_t lf = slice_find_byte(slice_from(*block, n), '\n');

		n = lf == SIZE_MAX ? block->len : n + lf + 1;
		if (n >= block->len || (block->at[n] != ' ' && block->at[n] != '\t'))
			break;
	}
	struct slice header = slice_part(*block, 0, n);

	*block = slice_from(*block, n);
	return header;
}

/* The date stands behind the last ';' (RFC 5321 section 4.4). */
static bool date_of_received(struct slice header, int64_t *ms)
{
	size_t at = header.len;

	while (at && header.at[at - 1] != ';')
		at--;
	return at && date_parse(slice_from(header, at), ms);
}

bool source_received(struct slice raw, int64_t *ms)
{
	struct slice block = slice_part(raw, 0, 1 << 20);

	while (block.len && block.at[0] != '\n' && block.at[0] != '\r') {
		struct slice header = take_header(&block);

		if (slice_starts_nocase(header, slice_str("received:")) &&
		    date_of_received(header, ms))
			return true;
	}
	return false;
}
