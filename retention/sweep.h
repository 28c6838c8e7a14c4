/*
 * retention/sweep.h - destroying what is past its retention, and refusing to
 *
 * What     A plan lists the lots that are due: (archive, day) pairs whose retention has ended, or whose
 *          archive was deleted long enough ago. A run
 *          destroys exactly a plan's lots: audit intent (synced) -> rows and words out of the index
 *          -> keys of lots and of the replaced shards destroyed in both replicas -> files -> record.
 * Guard    A wrong clock must not destroy an archive. An unattended run is refused, and an alarm
 *          entered into the audit log, when the clock is more than 36 h ahead of the newest audit
 *          entry, or behind it, or when more days fall due than have passed since the last sweep.
 *          What falls due with the end of a deleted archive counts as one day.
 *          It runs again when the clock has kept pace with the monotonic one for 36 h, or a person
 *          runs it (an attended run is the confirmation and is audited as such).
 * Holds    may_destroy() is asked for every lot on every path, again at the moment before rows, words
 *          and key of it go, also by a run that goes on after a kill; nothing else decides.
 * Order    The audit intent is the point of no return: sweep_recover, at start and before the next
 *          plan, rolls an intent without its record forward. A record of such a run ("resumed")
 *          counts what was left to destroy.
 * Fails    RC_HELD or RC_DENIED (guard) with nothing changed; RC_IO, RC_NOSPACE in the middle: the
 *          next sweep_recover goes on. RC_CORRUPT: a shard of an archive can't be read (reindex); its
 *          lots stay, to be planned again, the others' are destroyed and recorded. RC_HELD or
 *          RC_DENIED of sweep_recover: the same for lots that may not go any more; that is audited
 *          ("purge_refused").
 * Threads  The caller holds the engine's writer lock.
 */
#ifndef MM_RETENTION_SWEEP_H
#define MM_RETENTION_SWEEP_H

#include <jansson.h>

#include "index/index.h"
#include "retention/schedule.h"
#include "store/audit.h"
#include "store/store.h"

struct retention_archive {
	uint32_t         number;
	const char      *name;
	struct retention period;
	int64_t          end_ms; /* it is being deleted: from then on all of it is due; 0: it isn't */
};

/* What a sweep works on; all borrowed. */
struct sweep {
	struct keyring                 *keys;
	struct store                   *store;
	struct index                   *index;
	struct audit                   *audit;
	struct db                      *control; /* tables sweep_state, sweep_lot are made here */
	const struct retention_archive *archives;
	size_t                          archive_count;
	/* Copies elsewhere (the outbound queue): what an archive destroys leaves them, all of a day or (`id`) one
	 * message; then,
	 * ahead of the record, nothing of it is left there. NULL: there are none. */
	enum rc (*forget)(void *arg, uint32_t archive, int32_t day, const struct message_id *id, struct err *e);
	enum rc (*forgotten)(void *arg, struct err *e);
	void                           *copies;
};

struct due_lot {
	uint64_t    lot; /* key id */
	uint32_t    archive;
	const char *archive_name;
	int32_t     day;
	uint32_t    generation;
	int64_t     due_ms;
	bool        ended; /* due because its archive is being deleted, else not yet */
};

struct sweep_plan {
	struct due_lot *lots;
	size_t          count;
	unsigned        days; /* distinct days among them */
	char            id[33]; /* hash of the lots, hex: the same lots give the same id */
	int64_t         made_ms;
};

struct sweep_report {
	uint64_t lots;
	uint64_t messages;
	unsigned shards_rewritten;
};

enum rc sweep_prepare(struct db *control, struct err *e) MUST_USE; /* makes its tables */
enum rc sweep_plan_make(const struct sweep *s, struct sweep_plan *plan, struct err *e) MUST_USE;
void    sweep_plan_free(struct sweep_plan *plan);
/* RC_DENIED with the reason when an unattended run must not happen now. */
enum rc sweep_guard(const struct sweep *s, const struct sweep_plan *plan, struct err *e) MUST_USE;
/* `who` for the audit log; `attended` skips the guard. An empty plan is fine. */
enum rc sweep_run(const struct sweep *s, const struct sweep_plan *plan, const char *who,
		  bool attended, struct sweep_report *report, struct err *e) MUST_USE;
/* Finishes what a killed run began; RC_CORRUPT, RC_HELD, RC_DENIED as above. */
enum rc sweep_recover(const struct sweep *s, struct sweep_report *report, struct err *e) MUST_USE;

/* The one judge of every path that deletes: may messages of this lot be destroyed now? RC_OK, RC_HELD,
 * or RC_DENIED when they are not due. What a person asks to erase need not be due. */
enum destroy_why { DESTROY_EXPIRED, DESTROY_ERASED };
enum rc may_destroy(const struct sweep *s, const struct due_lot *lot, enum destroy_why why,
		    int64_t now_ms, struct err *e) MUST_USE;
bool is_forbidden(enum rc rc); /* RC_HELD, RC_DENIED */

/* Rows and words that are to go from an archive's index. */
struct word_removal {
	uint32_t        archive;
	const uint64_t *lots; /* rows of others stay, unseen */
	size_t          count;
	index_gone      gone;
	void           *arg;
	uint64_t        messages; /* out: rows that went */
	unsigned        shards;   /* out: shards that lost some */
};
/* They are gone when this returns RC_OK, and the keys of the old shards are destroyed. RC_LIMIT when that
 * comes to no end. */
enum rc sweep_words(const struct sweep *s, struct word_removal *r, struct err *e) MUST_USE;

#endif
