#include "query/words.h"

#include "base/cidr.h"
#include "base/codec.h"
#include "query/text.h"

#define TO_BITS    FIELDS_TO
#define FROM_BITS  FIELDS_FROM
#define ONE(field) FIELD_BIT(DOC_##field)

/* The first name of a set of fields is the canonical one. */
static const struct word words[] = {
	{ "from", WORD_TEXT, FROM_BITS },
	{ "to", WORD_TEXT, TO_BITS },
	{ "recipients", WORD_TEXT, TO_BITS },
	{ "recip", WORD_TEXT, TO_BITS },
	{ "cc", WORD_TEXT, ONE(CC) },
	{ "bcc", WORD_TEXT, ONE(BCC) },
	{ "participants", WORD_TEXT, FROM_BITS | TO_BITS },
	{ "addressed", WORD_TEXT, FROM_BITS | TO_BITS },
	{ "contact", WORD_TEXT, FROM_BITS | TO_BITS },
	{ "subject", WORD_TEXT, ONE(SUBJECT) },
	{ "body", WORD_TEXT, ONE(BODY) },
	{ "filename", WORD_TEXT, ONE(FILENAME) },
	{ "file", WORD_TEXT, ONE(FILENAME) },
	{ "attachment", WORD_TEXT, ONE(FILENAME) },
	{ "attachmentnames", WORD_TEXT, ONE(FILENAME) },
	{ "envelope-from", WORD_TEXT, ONE(ENVELOPE_FROM) },
	{ "envelopefrom", WORD_TEXT, ONE(ENVELOPE_FROM) },
	{ "rcpt", WORD_TEXT, ONE(ENVELOPE_TO) },
	{ "envelope-to", WORD_TEXT, ONE(ENVELOPE_TO) },
	{ "envelopeto", WORD_TEXT, ONE(ENVELOPE_TO) },
	{ "deliveredto", WORD_TEXT, ONE(ENVELOPE_TO) },
	{ "header-from", WORD_TEXT, ONE(FROM) },
	{ "header-to", WORD_TEXT, ONE(TO) },
	{ "attached-text", WORD_TEXT, ONE(ATTACHMENT) },
	{ "headers", WORD_TEXT, ONE(HEADERS) },
	{ "list", WORD_TEXT, ONE(HEADERS) },
	{ "received", WORD_RECEIVED, 0 },
	{ "date", WORD_RECEIVED, 0 },
	{ "sent", WORD_SENT, 0 },
	{ "after", WORD_AFTER, 0 },
	{ "newer", WORD_AFTER, 0 },
	{ "before", WORD_BEFORE, 0 },
	{ "older", WORD_BEFORE, 0 },
	{ "older_than", WORD_OLDER_THAN, 0 },
	{ "newer_than", WORD_NEWER_THAN, 0 },
	{ "size", WORD_SIZE, 0 },
	{ "larger", WORD_LARGER, 0 },
	{ "smaller", WORD_SMALLER, 0 },
	{ "has", WORD_HAS, 0 },
	{ "is", WORD_HAS, 0 },
	{ "hasattachment", WORD_HAS_ATTACHMENT, 0 },
	{ "spf", WORD_VERDICT, DOC_SPF },
	{ "dkim", WORD_VERDICT, DOC_DKIM },
	{ "arc", WORD_VERDICT, DOC_ARC },
	{ "dmarc", WORD_VERDICT, DOC_DMARC },
	{ "id", WORD_ID, 0 },
	{ "mid", WORD_ID, 0 },
	{ "msgid", WORD_MSGID, 0 },
	{ "rfc822msgid", WORD_MSGID, 0 },
	{ "message-id", WORD_MSGID, 0 },
	{ "messageid", WORD_MSGID, 0 },
	{ "ingress", WORD_INGRESS, 0 },
	{ "ip", WORD_IP, 0 },
	{ "sha256", WORD_SHA256, 0 },
};

const struct word *word_find(struct slice name)
{
	for (size_t i = 0; i < COUNT(words); i++)
		if (slice_equal_nocase(name, slice_str(words[i].name)))
			return &words[i];
	return NULL;
}

const char *word_of_fields(uint32_t fields)
{
	if (fields == FIELDS_ALL)
		return "";
	for (size_t i = 0; i < COUNT(words); i++)
		if (words[i].kind == WORD_TEXT && words[i].fields == fields)
			return words[i].name;
	return NULL;
}

bool word_compares(const struct word *w)
{
	return w->kind == WORD_RECEIVED || w->kind == WORD_SENT || w->kind == WORD_SIZE;
}

enum compare compare_take(struct slice *s)
{
	static const struct {
		const char *text;
		enum compare op;
	} ops[] = {
		{ "<=", COMPARE_LESS_EQUAL }, { ">=", COMPARE_MORE_EQUAL }, { "<", COMPARE_LESS },
		{ ">", COMPARE_MORE },        { "=", COMPARE_EQUAL },
	};

	for (size_t i = 0; i < COUNT(ops); i++)
		if (slice_starts_nocase(*s, slice_str(ops[i].text))) {
			*s = slice_from(*s, strlen(ops[i].text));
			return ops[i].op;
		}
	return COMPARE_NONE;
}

/* [low, high) of the ends of a range, as an operator wants them. */
static void compare_apply(enum compare op, int64_t *low, int64_t *high, int64_t least)
{
	if (op == COMPARE_MORE)
		*low = *high;
	if (op == COMPARE_LESS)
		*high = *low;
	if (op == COMPARE_MORE || op == COMPARE_MORE_EQUAL)
		*high = INT64_MAX;
	if (op == COMPARE_LESS || op == COMPARE_LESS_EQUAL)
		*low = least;
}

static bool text_is(struct slice s, const char *word)
{
	return slice_equal_nocase(s, slice_str(word));
}

enum rc value_has(struct slice text, uint32_t *flags, struct err *e)
{
	if (text_is(text, "attachment") || text_is(text, "attachments"))
		*flags = DOC_HAS_ATTACHMENT;
	else if (text_is(text, "problem") || text_is(text, "problems"))
		*flags = DOC_PARSE_PROBLEM;
	else if (text_is(text, "unindexed"))
		*flags = DOC_NOT_INDEXED;
	else
		return err_set(e, RC_INVALID,
		               "attachment, problem or unindexed is wanted, not \"%.*s\"",
		               SHOWN(text));
	return RC_OK;
}

enum rc value_bool(struct slice text, bool *yes, struct err *e)
{
	*yes = text_is(text, "true") || text_is(text, "yes") || text_is(text, "1");
	if (*yes || text_is(text, "false") || text_is(text, "no") || text_is(text, "0"))
		return RC_OK;
	return err_set(e, RC_INVALID, "true or false is wanted, not \"%.*s\"", SHOWN(text));
}

enum rc value_verdict(struct slice text, enum doc_verdict *kind, uint32_t *bits, struct err *e)
{
	bool asks = text_is(text, "quarantine") || text_is(text, "reject");

	if (*kind == DOC_DMARC && asks)
		*kind = DOC_DMARC_ASKS;
	if (doc_verdict_bits(*kind, text, bits))
		return RC_OK;
	return err_set(e, RC_INVALID, "%s or " DOC_UNCHECKED " is wanted%s, not \"%.*s\"",
	               doc_verdict_words(*kind),
	               *kind == DOC_DMARC ? " (or what it asks for: quarantine, reject)" : "",
	               SHOWN(text));
}

enum rc value_ip(struct slice text, struct err *e)
{
	struct cidr net;

	if (cidr_parse(&net, text, true))
		return RC_OK;
	return err_set(e, RC_INVALID,
	               "an address or a network is wanted (192.0.2.1, 2001:db8::/32), not \"%.*s\"",
	               SHOWN(text));
}

enum rc value_sha256(struct slice text, struct err *e)
{
	uint8_t hash[32];

	if (hex_decode(hash, sizeof(hash), text))
		return RC_OK;
	return err_set(e, RC_INVALID, "64 hex digits are wanted, not \"%.*s\"", SHOWN(text));
}

bool value_id(struct slice text, char id[ID_TEXT + 1])
{
	struct message_id parsed;

	if (text.len != ID_TEXT)
		return false;
	for (size_t i = 0; i < ID_TEXT; i++)
		id[i] = (char)(text.at[i] >= 'A' && text.at[i] <= 'Z' ? text.at[i] + 32
		                                                      : text.at[i]);
	id[ID_TEXT] = '\0';
	return id_parse(&parsed, slice_str(id));
}

struct slice value_msgid(struct slice text)
{
	while (text.len && strchr(" <\t", text.at[0]))
		text = slice_from(text, 1);
	while (text.len && strchr(" >\t", text.at[text.len - 1]))
		text.len--;
	return text;
}

/* ---- sizes ---- */

static bool unit_bytes(struct slice unit, int64_t *bytes)
{
	static const char letters[] = "kmgt";

	*bytes = 1;
	if (unit.len == 0 || text_is(unit, "b"))
		return true;
	for (size_t i = 0; letters[i]; i++) {
		*bytes *= 1024;
		if ((unit.at[0] | 0x20) != letters[i])
			continue;
		unit = slice_from(unit, 1);
		return unit.len == 0 || text_is(unit, "b") || text_is(unit, "ib");
	}
	return false;
}

enum rc value_size(struct slice text, int64_t *bytes, struct err *e)
{
	size_t digits = 0;
	size_t decimals = 0;
	uint64_t whole;
	uint64_t part = 0;
	uint64_t scale = 1;
	int64_t unit;

	while (digits < text.len && text.at[digits] >= '0' && text.at[digits] <= '9')
		digits++;
	if (digits < text.len && text.at[digits] == '.') {
		struct slice tail = slice_from(text, digits + 1);

		while (decimals < tail.len && decimals < 3 && tail.at[decimals] >= '0' &&
		       tail.at[decimals] <= '9') {
			part = part * 10 + (tail.at[decimals++] - '0');
			scale *= 10;
		}
		decimals++;
	}
	if (slice_to_u64(slice_part(text, 0, digits), &whole) && decimals != 1 &&
	    unit_bytes(slice_from(text, digits + decimals), &unit) &&
	    whole < (UINT64_C(1) << 61) / (uint64_t)unit) {
		*bytes = (int64_t)(whole * (uint64_t)unit + part * (uint64_t)unit / scale);
		return RC_OK;
	}
	return err_set(e, RC_INVALID,
	               "a size is wanted (1536, 10K, 1.5M, 2G; 1K is 1024), not \"%.*s\"",
	               SHOWN(text));
}

static enum rc size_range(struct slice a, struct slice b, int64_t *low, int64_t *high,
                          struct err *e)
{
	enum rc rc = RC_OK;

	*low = 0;
	*high = INT64_MAX;
	if (a.len == 0 && b.len == 0)
		return err_set(e, RC_INVALID, "a size is missing beside \"..\"");
	if (a.len)
		rc = value_size(a, low, e);
	if (rc == RC_OK && b.len) {
		rc = value_size(b, high, e);
		*high += rc == RC_OK;
	}
	if (rc == RC_OK && *low >= *high)
		return err_set(e, RC_INVALID, "the range of sizes ends before it begins");
	return rc;
}

enum rc value_sizes(struct slice text, enum compare op, int64_t *low, int64_t *high, bool *at_least,
                    struct err *e)
{
	size_t dots = slice_find(text, slice_str(".."));
	enum rc rc;

	if (op == COMPARE_NONE)
		op = compare_take(&text);
	*at_least = false;
	if (dots != SIZE_MAX && op == COMPARE_NONE)
		return size_range(slice_part(text, 0, dots), slice_from(text, dots + 2), low, high,
		                  e);
	rc = value_size(text, low, e);
	if (rc != RC_OK)
		return rc;
	*high = *low + 1;
	*at_least = op == COMPARE_NONE;
	compare_apply(*at_least ? COMPARE_MORE_EQUAL : op, low, high, 0);
	return RC_OK;
}

/* ---- dates ---- */

/* What a date covers. An instant covers its last given unit, but ends a range by where it begins.
 */
struct span {
	int64_t low;
	int64_t high;
	bool instant;
};

static int64_t civil_ms(int64_t year, unsigned month, unsigned day)
{
	return days_from_civil(year, month, day) * MS_PER_DAY;
}

/* A number of up to `max` digits off the front. */
static bool take_number(struct slice *s, size_t max, unsigned *out)
{
	size_t n = 0;
	uint64_t v;

	while (n < s->len && n < max && s->at[n] >= '0' && s->at[n] <= '9')
		n++;
	if (!slice_to_u64(slice_part(*s, 0, n), &v))
		return false;
	*s = slice_from(*s, n);
	*out = (unsigned)v;
	return true;
}

static bool take_separator(struct slice *s)
{
	if (s->len == 0 || (s->at[0] != '-' && s->at[0] != '/'))
		return false;
	*s = slice_from(*s, 1);
	return true;
}

static bool span_day(struct span *span, unsigned year, unsigned month, unsigned day)
{
	if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
		return false;
	span->low = civil_ms(year, month, day);
	span->high = span->low + MS_PER_DAY;
	return true;
}

/* A range up to the end of 9999 would end where dates can't be written any more. */
static bool is_year(uint64_t number)
{
	return number >= 1 && number <= 9998;
}

/* 2024, 2024-1, 2024-01-31, 2024/1/31, 20240131 */
static bool span_civil(struct slice s, struct span *span)
{
	unsigned year;
	unsigned month;
	unsigned day;
	uint64_t number;

	if (s.len == 8 && slice_to_u64(s, &number))
		return is_year(number / 10000) &&
		       span_day(span, (unsigned)(number / 10000), (unsigned)(number / 100 % 100),
		                (unsigned)(number % 100));
	if (s.len < 4 || !slice_to_u64(slice_part(s, 0, 4), &number) || !is_year(number))
		return false;
	year = (unsigned)number;
	s = slice_from(s, 4);
	if (s.len == 0) {
		span->low = civil_ms(year, 1, 1);
		span->high = civil_ms(year + 1, 1, 1);
		return true;
	}
	if (!take_separator(&s) || !take_number(&s, 2, &month) || month < 1 || month > 12)
		return false;
	if (s.len == 0) {
		span->low = civil_ms(year, month, 1);
		span->high = span->low + (int64_t)days_in_month(year, month) * MS_PER_DAY;
		return true;
	}
	return take_separator(&s) && take_number(&s, 2, &day) && s.len == 0 &&
	       span_day(span, year, month, day);
}

/* What a time of day with so many characters before its zone leaves open: minute, second, ms. */
static int64_t instant_length(struct slice s)
{
	size_t from = 11;
	size_t colons = 0;

	for (size_t i = from; i < s.len && !strchr("Zz+-", s.at[i]); i++) {
		if (s.at[i] == '.')
			return 1;
		colons += s.at[i] == ':';
	}
	return colons > 1 ? 1000 : 60000;
}

/* RFC 3339, the zone may be left out; or seconds since 1970 (Gmail). */
static bool span_instant(struct slice s, struct span *span)
{
	char zoned[48];
	uint64_t number;

	span->instant = true;
	if (slice_to_u64(s, &number)) {
		if (s.len < 9 || number >= (uint64_t)civil_ms(9999, 1, 1) / 1000)
			return false;
		span->low = (int64_t)number * 1000;
		span->high = span->low + 1000;
		return true;
	}
	if (s.len < 12 || s.len + 2 > sizeof(zoned) || !strchr("Tt ", s.at[10]))
		return false;
	memcpy(zoned, s.at, s.len);
	zoned[s.len] = 'Z';
	if (!time_parse(s, &span->low) && !time_parse(slice_of(zoned, s.len + 1), &span->low))
		return false;
	span->high = span->low + instant_length(s);
	return span->low >= civil_ms(1, 1, 1) && span->low < civil_ms(9999, 1, 1);
}

/* Digits in the places of a day, and nothing else. */
static bool looks_civil(struct slice s)
{
	static const char form[] = "0000-00-00";

	for (size_t i = 0; i < s.len; i++)
		if (i >= sizeof(form) - 1 ||
		    (form[i] == '-' ? s.at[i] != '-' : s.at[i] < '0' || s.at[i] > '9'))
			return false;
	return s.len == 7 || s.len == 10;
}

static enum rc span_parse(struct slice text, int64_t now_ms, struct span *span, struct err *e)
{
	struct slice s = slice_trim(text);
	int64_t today = day_of_ms(now_ms) * MS_PER_DAY;

	*span = (struct span) { today, today + MS_PER_DAY, false };
	if (text_is(s, "today"))
		return RC_OK;
	if (text_is(s, "yesterday")) {
		*span = (struct span) { today - MS_PER_DAY, today, false };
		return RC_OK;
	}
	if (span_civil(s, span))
		return RC_OK;
	if (span_instant(s, span))
		return RC_OK;
	if (looks_civil(s))
		return err_set(e, RC_INVALID, "there is no such day or month: \"%.*s\"", SHOWN(s));
	return err_set(e, RC_INVALID,
	               "a date is wanted (2024, 2024-01, 2024-01-31, 2024-01-31T09:30:00Z, today, "
	               "yesterday), not \"%.*s\"",
	               SHOWN(s));
}

static enum rc date_range(struct slice a, struct slice b, int64_t now_ms, int64_t *low,
                          int64_t *high, struct err *e)
{
	struct span span;
	enum rc rc = RC_OK;

	*low = INT64_MIN;
	*high = INT64_MAX;
	if (a.len == 0 && b.len == 0)
		return err_set(e, RC_INVALID, "a date is missing beside \"..\"");
	if (a.len) {
		rc = span_parse(a, now_ms, &span, e);
		*low = span.low;
	}
	if (rc == RC_OK && b.len) {
		rc = span_parse(b, now_ms, &span, e);
		*high = span.instant ? span.low : span.high;
	}
	if (rc == RC_OK && (*high < *low || (*high == *low && !span.instant)))
		return err_set(e, RC_INVALID, "the range of dates ends before it begins");
	return rc;
}

enum rc value_dates(struct slice text, enum compare op, int64_t now_ms, int64_t *low, int64_t *high,
                    struct err *e)
{
	size_t dots = slice_find(text, slice_str(".."));
	struct span span;
	enum rc rc;

	if (op == COMPARE_NONE)
		op = compare_take(&text);
	if (dots != SIZE_MAX && op == COMPARE_NONE)
		return date_range(slice_part(text, 0, dots), slice_from(text, dots + 2), now_ms,
		                  low, high, e);
	rc = span_parse(text, now_ms, &span, e);
	if (rc != RC_OK)
		return rc;
	*low = span.low;
	*high = span.high;
	/* "after 10:00:00" begins in the next millisecond, not in the next second. */
	if (span.instant && (op == COMPARE_MORE || op == COMPARE_LESS_EQUAL))
		*high = span.low + 1;
	compare_apply(op, low, high, INT64_MIN);
	return RC_OK;
}

enum rc value_date(struct slice text, int64_t now_ms, int64_t *begin, struct err *e)
{
	struct span span;
	enum rc rc = span_parse(text, now_ms, &span, e);

	*begin = span.low;
	return rc;
}

/* So many calendar months before an instant, clipped to the month's end. */
static int64_t months_before(int64_t ms, int64_t months)
{
	int64_t day = day_of_ms(ms);
	int64_t year;
	unsigned month;
	unsigned mday;

	civil_from_days(day, &year, &month, &mday);
	int64_t total = year * 12 + (int64_t)month - 1 - months;

	year = total / 12;
	month = (unsigned)(total % 12) + 1;
	mday = MIN_OF(mday, days_in_month(year, month));
	return civil_ms(year, month, mday) + (ms - day * MS_PER_DAY);
}

static bool age_unit(struct slice s, int64_t *ms, int64_t *months)
{
	static const struct {
		const char *name;
		int64_t ms;
		int64_t months;
	} units[] = {
		{ "h", 3600000, 0 },
		{ "hour", 3600000, 0 },
		{ "d", MS_PER_DAY, 0 },
		{ "day", MS_PER_DAY, 0 },
		{ "w", 7 * MS_PER_DAY, 0 },
		{ "week", 7 * MS_PER_DAY, 0 },
		{ "m", 0, 1 },
		{ "month", 0, 1 },
		{ "y", 0, 12 },
		{ "year", 0, 12 },
	};

	if (s.len > 2 && (s.at[s.len - 1] | 0x20) == 's')
		s.len--;
	for (size_t i = 0; i < COUNT(units); i++)
		if (text_is(s, units[i].name)) {
			*ms = units[i].ms;
			*months = units[i].months;
			return true;
		}
	return false;
}

enum rc value_age(struct slice text, int64_t now_ms, int64_t *when, struct err *e)
{
	struct slice s = slice_trim(text);
	int64_t ms;
	int64_t months;
	unsigned n;

	/* Not back before the common era, where dates can't be printed. */
	if (take_number(&s, 6, &n) && age_unit(s, &ms, &months)) {
		int64_t back = (int64_t)n * (ms ? ms / 3600000 : months * 730);

		if (back < INT64_C(1900) * 8760 && now_ms > 0) {
			*when = ms ? now_ms - n * ms : months_before(now_ms, n * months);
			return RC_OK;
		}
	}
	return err_set(e, RC_INVALID,
	               "an age is wanted (12h, 2d, 3w, 6m, 1y: hours, days, weeks, months, years), "
	               "not \"%.*s\"",
	               SHOWN(text));
}
