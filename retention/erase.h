/*
 * retention/erase.h - destroying single messages before their time, because a person asks for it
 *
 * What     An erasure names messages of one archive and a reason. Their rows and words leave the index
 *          (shards are written anew under new keys), then the rest of their day is copied under a new
 *          generation of its lot and the old generations' keys are destroyed. The cost is that of the
 *          day and the shard, whatever else the archive holds.
 * Order    As a sweep's: table `erased` and the audit intent are the point of no return;
 *          erase_recover, at start and before the next run, rolls it forward. The table keeps who,
 *          why, when and the hash for ever.
 * Fails    RC_NOTFOUND, RC_HELD, RC_CORRUPT (a block of the day can't be read, or fewer messages of
 *          it than the audit log has: what would be lost can't be told) with nothing changed;
 *          RC_IO, RC_NOSPACE in the middle: erase_recover goes on. RC_CORRUPT in the middle: the day
 *          that can't be read stays as it is, all others are done. It is tried again each time; its
 *          messages are shown to nobody (erased_has), and go when it can be read, or with their day.
 *          RC_HELD and RC_DENIED in the middle: the same for a day that may not go any more.
 * Rows     Those of other messages of the day keep the old lot's number in the index; a sweep takes
 *          tombstones of a day for that day.
 * Threads  The caller holds the engine's writer lock.
 */
#ifndef MM_RETENTION_ERASE_H
#define MM_RETENTION_ERASE_H

#include "retention/sweep.h"

struct erase_item {
	struct message_id id;
	uint8_t           sha256[32];
	uint64_t          bytes;
	bool              found;
};

struct erasure {
	uint32_t           archive;
	const char        *archive_name;
	const char        *reason;
	const char        *who;
	struct erase_item *items; /* the caller sets id; sorted by erase_look */
	size_t             count;
};

struct erase_report {
	uint64_t messages;
	uint64_t kept; /* copied, of the same days */
	uint64_t lots;
	unsigned shards_rewritten;
};

enum rc erase_prepare(struct db *control, struct err *e) MUST_USE; /* makes its table */
/* Finds what would go, and whether it may; changes nothing. */
enum rc erase_look(const struct sweep *s, struct erasure *x, struct err *e) MUST_USE;
/* After erase_look. */
enum rc erase_run(const struct sweep *s, const struct erasure *x, struct erase_report *report,
		  struct err *e) MUST_USE;
/* RC_CORRUPT, RC_HELD, RC_DENIED: all that can be finished is; e says what can't. */
enum rc erase_recover(const struct sweep *s, struct err *e) MUST_USE;

struct erased {
	struct message_id id;
	uint32_t          archive;
	int64_t           when_ms;
	struct slice      who, reason; /* until the next erased_next */
	bool              done;
};
/* Was it erased from this archive, or is it to be? */
enum rc erased_has(struct db *control, uint32_t archive, const struct message_id *id, bool *has,
		   struct err *e) MUST_USE;
/* A row for each archive that the message was erased from, or (`id` NULL) all rows, the message that
 * was received last first. To be freed by stmt_free. */
enum rc erased_select(struct db *control, const struct message_id *id, struct stmt **rows,
		      struct err *e) MUST_USE;
/* RC_NOTFOUND behind the last row. */
enum rc erased_next(struct stmt *rows, struct erased *x, struct err *e) MUST_USE;
/* `archive` 0: of all. */
enum rc erased_count(struct db *control, uint32_t archive, uint64_t *rows,
		     struct err *e) MUST_USE;

#endif
