#include "ingest/log_rate.h"

#define SECOND_MS 1000
#define LONG_MS   60000 /* a gap that doesn't end is told so often */

void log_rate_left_out(struct log_rate *r, uint64_t records, int64_t mono_ms, int64_t now_ms)
{
	if (!records)
		return;
	if (!r->gap.records) {
		r->gap.first_ms = now_ms;
		r->gap_began_ms = mono_ms;
	}
	r->gap.records =
	        records > UINT64_MAX - r->gap.records ? UINT64_MAX : r->gap.records + records;
	r->gap.last_ms = now_ms;
	r->gap_grew_ms = mono_ms;
}

bool log_rate_take(struct log_rate *r, int64_t mono_ms, int64_t now_ms)
{
	if (mono_ms - r->second_ms >= SECOND_MS) {
		r->second_ms = mono_ms;
		r->used = 0;
	}
	if (r->used < r->most) {
		r->used++;
		return true;
	}
	log_rate_left_out(r, 1, mono_ms, now_ms);
	return false;
}

bool log_rate_gap(struct log_rate *r, int64_t mono_ms, bool end, struct log_gap *out)
{
	if (!r->gap.records ||
	    (!end && mono_ms - r->gap_grew_ms < SECOND_MS && mono_ms - r->gap_began_ms < LONG_MS))
		return false;
	*out = r->gap;
	r->gap = (struct log_gap) { 0 };
	return true;
}
