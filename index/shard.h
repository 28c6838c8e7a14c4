/*
 * index/shard.h - one shard file: its tables, rows and words
 *
 * What     A connection to a shard, open (a database that grows) or sealed. Rows have numbers from 1
 *          on in the order they came (so that the lists of the words are small), and a place: what
 *          the message id gives (base/id.h), or the next free one behind it when two ids agree in
 *          time and sequence, or when many do one that a hash says ("crowded": such rows are there).
 *          Where rows came in the order of their places ("ordered"), as mail does, the numbers are in
 *          that order too.
 * Fails    RC_CORRUPT names file and page or chunk; RC_INVALID for a format or tokenizer that this
 *          program doesn't know (reindex makes the shard anew).
 * Threads  A connection belongs to one thread at a time.
 * On disk  docs/formats.md, "Shard"
 */
#ifndef MM_INDEX_SHARD_H
#define MM_INDEX_SHARD_H

#include "index/fts.h"
#include "index/index.h"

#define SHARD_FORMAT 2
#define SHARD_PROBES 64 /* near places that an id may have, behind its own */
#define SHARD_FAR    16 /* and far ones, when all of those are taken */

/* Columns of the FTS5 table in the order of enum doc_field, and of `message` where it has them. */
extern const char *const shard_columns[DOC_FIELDS];

/* What a catalogue row tells about a shard. Times are of received messages, or of sent ones where
 * known (`sent` false: none is). */
struct shard_stats {
	uint64_t messages;
	uint64_t not_indexed;
	uint64_t problems;
	int64_t received_low, received_high;
	bool sent;
	int64_t sent_low, sent_high;
};

/* What a shard says about itself. */
struct shard_meta {
	uint32_t archive;
	uint64_t number;
	uint64_t replaces; /* the shard whose remaining messages these are; 0: none */
	int64_t created_ms;
};

struct conn;

/* All places that the id can have lie from the one to the other: those of its millisecond. */
int64_t shard_lowest_place(const struct message_id *id);
int64_t shard_highest_place(const struct message_id *id);

enum rc conn_create(struct conn **out, const char *path, const uint8_t key[KEY_BYTES],
                    const struct shard_meta *meta, struct err *e) MUST_USE;
enum rc conn_open(struct conn **out, const char *path, const uint8_t key[KEY_BYTES], bool sealed,
                  enum db_mode mode, struct err *e) MUST_USE;
void    conn_close(struct conn **c);
struct db *conn_db(struct conn *c);
/* See fts_set_raw. */
void    conn_set_raw(struct conn *c, bool raw);
enum rc conn_meta(struct conn *c, struct shard_meta *out, struct err *e) MUST_USE;
enum rc conn_stats(struct conn *c, struct shard_stats *out, struct err *e) MUST_USE;
void    stats_add(struct shard_stats *to, const struct shard_stats *more);

/* RC_NOTFOUND: the id is not here. */
enum rc conn_find(struct conn *c, const struct message_id *id, int64_t *at, struct err *e) MUST_USE;
/* Inside the caller's transaction. `stats` grows by the message. */
enum rc conn_add(struct conn *c, const struct index_doc *d, struct shard_stats *stats,
                 struct err *e) MUST_USE;
enum rc conn_ordered(struct conn *c, bool *ordered, struct err *e) MUST_USE;
enum rc conn_set_unordered(struct conn *c, struct err *e) MUST_USE;
enum rc conn_crowded(struct conn *c, bool *crowded, struct err *e) MUST_USE;
enum rc conn_set_crowded(struct conn *c, struct err *e) MUST_USE;
/* The place of row n. */
enum rc conn_place(struct conn *c, int64_t n, int64_t *at, struct err *e) MUST_USE;
/* Row n; its slices live until the next call on the connection. */
enum rc conn_row(struct conn *c, int64_t n, struct index_row *out, struct err *e) MUST_USE;
/* Ends what reads: before the connection is given back. */
void conn_rest(struct conn *c);
/* Merges the words into one segment of the engine, in steps that bound memory. */
enum rc conn_optimize(struct conn *c, struct err *e) MUST_USE;
/* FTS5's own check where the file can be written; else every term, place and row is read. */
enum rc conn_check(struct conn *c, struct err *e) MUST_USE;

/* Writes a sealed shard at `path` under `key` with what `from` has, without the rows whose `count`
 * ascending numbers are in `gone`; the others keep theirs. Needs no text: the words are read from the index itself. */
enum rc shard_rewrite(struct conn *from, const char *path, const uint8_t key[KEY_BYTES],
                      const struct shard_meta *meta, const int64_t *gone, size_t count,
                      struct err *e) MUST_USE;

#endif
