/*
 * base/clock.h - the only source of time
 *
 * Builds with MM_TEST read an offset in milliseconds (a decimal number, sign allowed) from the file
 * that MM_TEST_CLOCK names, at every call, and add it to the wall clock. Release builds don't look.
 */
#ifndef MM_BASE_CLOCK_H
#define MM_BASE_CLOCK_H

#include <stdint.h>
#include <sys/types.h>

/* Opens the test clock's file. Call it before a sandbox is entered; without a call the first
 * clock_now_ms does it. */
void clock_init(void);
/* Milliseconds since 1970-01-01T00:00:00Z. */
int64_t clock_now_ms(void);
/* Milliseconds of a clock that only goes forward and is never set. Not changed by the test clock.
 */
int64_t clock_mono_ms(void);
/* Milliseconds of processor time that a process has used; -1 when there is none such. */
int64_t clock_process_ms(pid_t pid);
/* Sleeps; for tools' progress and polling, never on an event loop. */
void clock_sleep_ms(int64_t ms);

#endif
