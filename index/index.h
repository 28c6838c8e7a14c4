/*
 * index/index.h - finding: shards of rows and words
 *
 * What     A shard is one encrypted SQLite file of one archive: table `message` (what a result row
 *          shows) and an FTS5 table (contentless, full detail) over the fields of index/doc.h. Row
 *          ids begin with the time of receipt, so newest first is free. The open shard is written
 *          through db_open; when it holds `shard_messages` messages or was begun `shard_days` days
 *          ago the next begins, and index_seal seals it (optimised, vacuumed, packed, read-only).
 *          Shards may overlap in time: an import of old mail goes where today's mail goes.
 * Why      Sealed shards never change, so the cost of a search or a purge grows with the shards it
 *          touches. Taking messages out means writing a new shard without them under a new key, then
 *          destroying the old key: the only sure way to forget a word.
 * Order    index_add writes into the open shard's transaction; index_commit makes it durable and
 *          visible. Call it after store_sync: rows never point to what is not on disk.
 * Twice    index_add of an id that the archive has already does nothing.
 * Fails    RC_CORRUPT names the shard; everything here can be rebuilt from the store (reindex). A
 *          shard that can't be opened is kept in the list: views of its archive fail until index_reset.
 *          After a failed index_add everything since the last commit is lost: index_commit says so
 *          once (the same error), then all of it is to be added again.
 * Threads  One writer (add, commit, seal, remove, reset). index_view may be used by any thread; each
 *          view belongs to one thread and sees the shards as they were when it was opened.
 * On disk  docs/formats.md, "Shard". The list of shards is a table of control.db (`shard`), whose
 *          rows are derived: a missing one is rebuilt from the files and the key ring. A row whose file
 *          is gone although its key lives is a damaged shard.
 */
#ifndef MM_INDEX_INDEX_H
#define MM_INDEX_INDEX_H

#include "base/buf.h"
#include "index/doc.h"
#include "index/match.h"
#include "store/db.h"
#include "store/keyring.h"

struct index;

struct index_options {
	uint32_t shard_messages; /* 0: 50,000 */
	uint32_t shard_days;     /* 0: 31 */
};

/* Files live in DIR/index. */
enum rc index_open(struct index **out, const char *dir, struct keyring *kr, struct db *control,
		   const struct index_options *opt, struct err *e) MUST_USE;
/* All views must be closed. What is not committed is rolled back. */
void    index_close(struct index **ix);

enum rc index_add(struct index *ix, uint32_t archive, const struct index_doc *d,
		  struct err *e) MUST_USE;
enum rc index_commit(struct index *ix, struct err *e) MUST_USE;
/* What was added since the last commit is not in the index; all of it is to be added again. */
void    index_rollback(struct index *ix);
bool    index_has(struct index *ix, uint32_t archive, const struct message_id *id);
/* Seals what has reached its limits; `all` seals every open shard that is not empty. */
enum rc index_seal(struct index *ix, bool all, unsigned *sealed, struct err *e) MUST_USE;
/* The same for one that has reached its limits, on a thread of its own, which takes seconds; mail goes on into the
 * next shard meanwhile. Puts one that is sealed by now in its place, and begins with the next. *busy: one is being
 * sealed; then call it again later. An error is that of the one before, or of beginning the next. Whatever else
 * writes to the index as a whole (seal, remove, reset, verify, close) waits for it. */
enum rc index_seal_beside(struct index *ix, bool *busy, struct err *e) MUST_USE;
/* Once after RC_CORRUPT from adding or committing: the damaged shard was given up, and what was taken back
 * (index_rollback) and is added again goes into another. By the writing thread. */
bool    index_gave_up(struct index *ix);

/* Whether a message goes; asked once a row. */
typedef bool (*index_gone)(void *arg, const struct message_id *id, uint64_t lot);
/* Takes messages out of every shard that has some of them (the lots in `lots`, or all shards when
 * `count` is 0): writes each anew without them under a new key, and adds the old shard's key id to
 * `dead` (an array of up to `room`; RC_LIMIT when it is full: destroy those keys and call again). The
 * old files are removed by index_drop_dead once their keys are destroyed. Keys that an earlier call
 * reported and that still live are reported again (a process stopped in between). Commits first. */
enum rc index_remove(struct index *ix, uint32_t archive, const uint64_t *lots, size_t count,
		     index_gone gone, void *arg, uint64_t *dead, size_t room, size_t *dead_count,
		     uint64_t *removed, struct err *e) MUST_USE;
/* Unlinks files whose key the ring no longer has. Also at open. */
enum rc index_drop_dead(struct index *ix, struct err *e) MUST_USE;
/* Between the two the index of an archive (0: of all) is not whole, also for processes that come after
 * one that was killed in between: its views fail with RC_CORRUPT. */
enum rc index_rebuild_begin(struct index *ix, uint32_t archive, struct err *e) MUST_USE;
enum rc index_rebuild_end(struct index *ix, uint32_t archive, struct err *e) MUST_USE;
/* Whether a rebuild has not come to its end; *archive: of what (0: of all). */
bool    index_rebuild_left(struct index *ix, uint32_t *archive);
/* Bytes that the disk of the index has unused; 0 where it doesn't tell. */
uint64_t index_room(const struct index *ix);
/* Empties the index of an archive (0: of all) before a rebuild. *dead: the keys of all its shards that live,
 * for the caller to destroy, and to free the list. */
void    index_reset(struct index *ix, uint32_t archive, uint64_t **dead, size_t *count);

/* ---- reading ---- */

struct index_row {
	struct message_id id;
	uint64_t          lot;
	int64_t           received_ms;
	int64_t           sent_ms; /* when DOC_HAS_SENT */
	uint64_t          bytes;
	uint32_t          flags;
	uint8_t           sha256[32];
	struct slice      subject, from, to, cc, bcc, envelope_from, envelope_to;
	struct slice      message_id, ingress, ip, problem, filename;
};

enum index_sort { SORT_RECEIVED_DOWN, SORT_RECEIVED_UP, SORT_SENT_DOWN, SORT_SENT_UP,
		  SORT_BYTES_DOWN, SORT_BYTES_UP, SORT_RANK };

struct index_view;
/* A view over the shards of an archive that may hold messages received in [low, high). */
enum rc index_view_open(struct index_view **out, struct index *ix, uint32_t archive, int64_t low,
			int64_t high, struct err *e) MUST_USE;
void    index_view_close(struct index_view **v);
/* Hits of the whole view, counted without reading rows where that is possible. */
enum rc index_view_count(struct index_view *v, const struct match *m, uint64_t *hits,
			 struct err *e) MUST_USE;
/* Rows in order of `sort` over all shards, at most `limit` (0: no limit), until `each` returns not
 * RC_OK. Memory does not grow with the number of hits for the RECEIVED orders. */
enum rc index_view_each(struct index_view *v, const struct match *m, enum index_sort sort,
			uint64_t limit,
			enum rc (*each)(void *arg, const struct index_row *row, struct err *e),
			void *arg, struct err *e) MUST_USE;
unsigned index_view_shards(const struct index_view *v);
/* Whether the engine takes the match: RC_LIMIT says which limit it is over. */
enum rc index_check(const struct match *m, struct err *e) MUST_USE;
/* The engine's form of the match for --explain: tokens and expression, as text for people. */
enum rc index_explain(const struct match *m, struct buf *out) MUST_USE;

struct index_totals {
	uint64_t messages;
	uint64_t not_indexed; /* rows with DOC_NOT_INDEXED */
	uint64_t problems;    /* rows with DOC_PARSE_PROBLEM */
	uint64_t disk_bytes;
	uint32_t shards;
	uint32_t sealed;
};
enum rc index_count(struct index *ix, uint32_t archive, struct index_totals *out,
		    struct err *e) MUST_USE; /* 0: all */
/* Authenticates every page and chunk and runs FTS5's own check; for mmctl verify. */
enum rc index_verify(struct index *ix, uint32_t archive,
		     enum rc (*damage)(void *arg, const char *shard, const char *problem,
				       struct err *e),
		     void *arg, struct err *e) MUST_USE;

#endif
