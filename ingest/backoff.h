/*
 * ingest/backoff.h - when to try again what failed for want of room
 *
 * What     After a failure it waits a second, after the next two, and so on up to five minutes; but no longer
 *          once there is more room than it failed with. Where it wasn't the disk that was full, but a quota or a
 *          limit of the size of files, its room doesn't tell when that is over: fifteen seconds at most.
 * Why      To seal a shard reads and writes all of it: every second, that would be all that the disk does.
 * Threads  One at a time.
 */
#ifndef MM_INGEST_BACKOFF_H
#define MM_INGEST_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

/* The `room` of a failure that has nothing to do with it: time alone counts. */
#define BACKOFF_ANY_ROOM (UINT64_MAX / 2)

/* All zero: nothing failed. Times in milliseconds of the monotonic clock, room in bytes. */
struct backoff {
	int64_t  wait_ms;
	int64_t  next_ms;
	uint64_t room;
};

/* `full`: the disk was, or time alone counts; five minutes at most, not fifteen seconds. */
void backoff_failed(struct backoff *b, int64_t now_ms, uint64_t room, bool full);
bool backoff_waits(const struct backoff *b, int64_t now_ms, uint64_t room);

#endif
