/*
 * ingest/anchor.h - how far audit log and control database were, as the other one knows it
 *
 * What     The head of the audit log at the last checkpoint, in control.db. A log that was cut behind
 *          it, replaced or removed is found by that, also where nobody keeps a head elsewhere. The
 *          other way round each entry of the log says how many changes the control database had, so
 *          that an older copy of this one is found. (Who puts back older copies of both is found by a
 *          head kept elsewhere alone.)
 * Order    anchor_put after audit_sync; so the log always has what the anchor says.
 * Threads  Whoever has the control database.
 */
#ifndef MM_INGEST_ANCHOR_H
#define MM_INGEST_ANCHOR_H

#include "store/audit.h"
#include "store/db.h"

enum rc anchor_prepare(struct db *control, struct err *e) MUST_USE;
enum rc anchor_put(struct db *control, struct audit *audit, struct err *e) MUST_USE;
/* `entries` is 0 when there is none yet. */
enum rc anchor_get(struct db *control, struct audit_head *out, struct err *e) MUST_USE;
/* RC_CORRUPT: the log doesn't have that entry. Reads the log from there on only. */
enum rc anchor_check(struct db *control, struct audit *audit, struct err *e) MUST_USE;
/* What the log's last entry says of the control database (audit_witness), 0: nothing. */
enum rc anchor_changes(struct audit *audit, uint64_t *changes, struct err *e) MUST_USE;

#endif
