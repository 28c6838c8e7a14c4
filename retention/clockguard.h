/*
 * retention/clockguard.h - are clock and control database to be trusted with destroying?
 *
 * What     Remembers, in control.db, whether the wall clock has jumped: at start it is held against
 *          the newest audit entry, while running against the monotonic clock. A suspected clock is
 *          trusted again when it has kept pace with the monotonic one for 36 h.
 * Why      A clock set forward by years would make a whole archive fall due at once.
 * Threads  One at a time (the engine's writer lock); the state of this process is in one static.
 */
#ifndef MM_RETENTION_CLOCKGUARD_H
#define MM_RETENTION_CLOCKGUARD_H

#include "store/db.h"

enum rc clockguard_prepare(struct db *control, struct err *e) MUST_USE; /* makes its table */
/* At start, before this process adds an audit entry. `newest_ms` 0: the log is empty. */
enum rc clockguard_start(struct db *control, int64_t newest_ms, struct err *e) MUST_USE;
/* Every minute or so: notices jumps, ends a suspicion that is over. */
enum rc clockguard_tick(struct db *control, struct err *e) MUST_USE;
/* RC_DENIED with the reason when an unattended sweep of `days` days must not run. */
enum rc clockguard_check(struct db *control, unsigned days, struct err *e) MUST_USE;
/* When a sweep ran last, or the data directory was opened first. */
enum rc clockguard_last_sweep(struct db *control, int64_t *ms, struct err *e) MUST_USE;
/* The control database was an older copy, and so may be the periods that it names: no unattended sweep
 * until a person has run one (clockguard_attended). */
enum rc clockguard_older(struct db *control, struct err *e) MUST_USE;
enum rc clockguard_attended(struct db *control, struct err *e) MUST_USE;
/* A sweep has run (or had nothing to do). */
enum rc clockguard_swept(struct db *control, struct err *e) MUST_USE;

#endif
