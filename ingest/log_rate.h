/*
 * ingest/log_rate.h - how many records a second a log may have
 *
 * What     So many in each second; what is beyond is counted, and told in one record when a second has passed
 *          without any that was left out, or after a minute. So a flood costs what the limit says, and leaves
 *          no silent gap.
 * Threads  The caller's.
 */
#ifndef MM_INGEST_LOG_RATE_H
#define MM_INGEST_LOG_RATE_H

#include <stdbool.h>
#include <stdint.h>

/* What was left out: how many, and when the first and the last came (clock_now_ms). */
struct log_gap {
	uint64_t records;
	int64_t first_ms;
	int64_t last_ms;
};

/* All zero but `most` at first. */
struct log_rate {
	uint64_t most; /* a second */
	int64_t second_ms; /* when this second began, of the monotonic clock */
	uint64_t used;     /* in it */
	struct log_gap gap;
	int64_t gap_began_ms; /* of the monotonic clock, as is */
	int64_t gap_grew_ms;
};

/* May one more record be written? If not, it is counted. `mono_ms` never goes back. */
bool log_rate_take(struct log_rate *r, int64_t mono_ms, int64_t now_ms);
/* So many were left out by somebody else. */
void log_rate_left_out(struct log_rate *r, uint64_t records, int64_t mono_ms, int64_t now_ms);
/* True: a gap is over (or `end` is set and there is one); it is in *out and forgotten here. */
bool log_rate_gap(struct log_rate *r, int64_t mono_ms, bool end, struct log_gap *out);

#endif
