/*
 * ingest/queue/schedule.h - which task is tried next
 *
 * What     Tasks by number, each with a destination and a time from when it is due. Destinations take turns, each
 *          with so many tasks at once; one that is away rests with all its tasks; one may have a rate. No task
 *          starves: of a destination's the one that was due first is next, and of destinations the one that has
 *          waited longest since it might begin, or since its last turn.
 * Memory   About 50 bytes a task, and one entry a destination that has any.
 * Cost     Of each call but schedule_clear the logarithm of how many destinations there are, whether ready or not.
 * Time     Milliseconds that never go back (clock_mono_ms), as the caller says.
 * Threads  One.
 */
#ifndef MM_INGEST_QUEUE_SCHEDULE_H
#define MM_INGEST_QUEUE_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct schedule;

struct schedule_limits {
	unsigned at_once;         /* in all */
	unsigned per_destination; /* at once */
	unsigned per_minute;      /* tasks begun, of a destination; 0: any number */
};

struct schedule *schedule_new(const struct schedule_limits *l);
void schedule_free(struct schedule **s); /* NULL is fine */
/* Nothing is known any more, but what is under way. */
void schedule_clear(struct schedule *s);
/* One that was added twice may begin twice, but not while it is under way. */
void schedule_add(struct schedule *s, int64_t number, const char *destination, int64_t due_ms);
/* One that may begin now: it is under way then. */
bool schedule_next(struct schedule *s, int64_t now_ms, int64_t *number);
/* It isn't under way any more, and forgotten; not so the rest and the pace of its destination. */
void schedule_ended(struct schedule *s, int64_t number);
/* The destination of that task, which is under way, isn't tried before then; later of two. */
void schedule_rest(struct schedule *s, int64_t number, int64_t until_ms);
/* The destination answers again: its tasks needn't wait. */
void schedule_woke(struct schedule *s, int64_t number);
/* The same by hand. */
void schedule_hurry(struct schedule *s, const char *destination);
/* When something may begin, if nothing ends before; INT64_MAX: nothing may. */
int64_t schedule_wake_ms(struct schedule *s, int64_t now_ms);
size_t schedule_under_way(const struct schedule *s);
size_t schedule_known(const struct schedule *s);
/* Destinations that were looked at or compared so far: what the calls have cost. */
uint64_t schedule_steps(const struct schedule *s);

#endif
