/*
 * store/logbook.h - the sealed log: lines that hold addresses, in the data directory
 *
 * What     Append-only files DIR/logs/NNNNNNNN.log, each under a key of its own. A file ends with the UTC
 *          day, with its process, or at 16 MiB; it is forgotten, key first, when it is older than is asked
 *          for, or when all of them are larger.
 * Why      Logs with addresses must not lie in the clear beside sealed mail, and must be forgotten for good:
 *          a key is one sector of the key ring in each replica.
 * Last     What logbook_append has written survives the end of the process, and a power failure once
 *          logbook_sync has returned. A torn tail is passed over by readers and never appended to.
 * Order    A new file: its key (synced), then the file. Forgotten: its key, then the file. A file without a
 *          key, and a key without a file, are what a kill left: logbook_tidy removes them, unless the key
 *          ring has lost slots.
 * Fails    RC_NOSPACE and RC_IO: those entries are lost, the file is left, the next append begins another
 *          one.
 * Threads  One a logbook. A reader's own logbook may be used beside the writer's.
 * On disk  docs/formats.md, "Sealed log"
 */
#ifndef MM_STORE_LOGBOOK_H
#define MM_STORE_LOGBOOK_H

#include "store/logbook_file.h"

#define LOGBOOK_FILES 4096 /* more are forgotten, the oldest first */

struct logbook;

struct logbook_limits {
	unsigned keep_days; /* after the day of the file; 0: until max_bytes */
	uint64_t max_bytes; /* of all files; 0: any */
};

/* Lists what is there; makes and removes nothing. `dir` is the data directory. */
enum rc logbook_open(struct logbook **out, const char *dir, struct keyring *kr,
		     struct err *e) MUST_USE;
/* Syncs. NULL is fine. */
void logbook_close(struct logbook **b);

/* Writes a frame of entries (logbook_entry_add), at most LOGBOOK_FRAME_MAX. */
enum rc logbook_append(struct logbook *b, struct slice entries, int64_t now_ms,
		       struct err *e) MUST_USE;
enum rc logbook_sync(struct logbook *b, struct err *e) MUST_USE;
/* Forgets what is due, and removes what a kill left. For the writer alone. */
enum rc logbook_tidy(struct logbook *b, const struct logbook_limits *keep, int64_t now_ms,
		     struct err *e) MUST_USE;
/* Files, and the bytes that they had when they were listed or written. */
void logbook_count(const struct logbook *b, size_t *files, uint64_t *bytes);

struct logbook_reader {
	/* Entries in the order in which they were written; not RC_OK ends the reading. */
	enum rc (*entry)(void *arg, const struct logbook_entry *x, struct err *e);
	/* A place that is not what was written, or that a key is missing for; may be NULL. */
	enum rc (*problem)(void *arg, const char *text, struct err *e);
	void *arg;
};
/* Where a reader is: zero at first, then behind what it was given. */
struct logbook_place {
	uint32_t file;
	uint64_t offset;
	uint64_t frame;
};
/* From `place` to what is there now; *place is where the next call goes on. A file that was forgotten
 * meanwhile is passed over. */
enum rc logbook_read(struct logbook *b, struct logbook_place *place,
		     const struct logbook_reader *r, struct err *e) MUST_USE;
/* Lists anew, for a reader that goes on. */
enum rc logbook_relist(struct logbook *b, struct err *e) MUST_USE;

#endif
