#include "retention/schedule.h"

#include <stdio.h>

#include "base/codec.h"

static const struct {
	const char *name;
	unsigned months;
} periods[] = {
	{ "THREE_MONTHS", 3 },   { "SIX_MONTHS", 6 },       { "NINE_MONTHS", 9 },
	{ "ONE_YEAR", 12 },      { "EIGHTEEN_MONTHS", 18 }, { "TWO_YEARS", 24 },
	{ "THIRTY_MONTHS", 30 }, { "THREE_YEARS", 36 },     { "FOUR_YEARS", 48 },
	{ "FIVE_YEARS", 60 },    { "SIX_YEARS", 72 },       { "SEVEN_YEARS", 84 },
	{ "EIGHT_YEARS", 96 },   { "NINE_YEARS", 108 },     { "TEN_YEARS", 120 },
	{ "PERMANENT", 0 },
};

bool retention_from_name(struct retention *r, struct slice name)
{
	for (size_t i = 0; i < COUNT(periods); i++)
		if (slice_equal(name, slice_str(periods[i].name))) {
			*r = (struct retention) { .permanent = periods[i].months == 0,
				                  .months = periods[i].months };
			return true;
		}
	return false;
}

const char *retention_name(const struct retention *r, char out[32])
{
	if (r->days) {
		(void)snprintf(out, 32, "%u_DAYS", r->days);
		return out;
	}
	for (size_t i = 0; i < COUNT(periods); i++)
		if (r->permanent ? periods[i].months == 0 : periods[i].months == r->months)
			return periods[i].name;
	(void)snprintf(out, 32, "%u_MONTHS", r->months);
	return out;
}

static int64_t add_months(int32_t day, unsigned months)
{
	int64_t year;
	unsigned month;
	unsigned mday;
	unsigned count;

	civil_from_days(day, &year, &month, &mday);
	count = month - 1 + months;
	year += count / 12;
	month = count % 12 + 1;
	return days_from_civil(year, month, MIN_OF(mday, days_in_month(year, month)));
}

int64_t retention_due_ms(const struct retention *r, int32_t day)
{
	int64_t last;

	if (r->permanent)
		return INT64_MAX;
	last = r->days ? (int64_t)day + r->days : add_months(day, r->months);
	return (last + 1) * MS_PER_DAY;
}
