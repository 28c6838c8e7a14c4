/*
 * store/db.h - SQLite on encrypted files
 *
 * What     Opens a database whose every page, journal page and WAL frame is encrypted under a key of
 *          its own by our VFS ("mm-crypt", writable) or which is a sealed, read-only file of
 *          compressed and encrypted chunks ("mm-sealed"). And the few calls that the rest of mm
 *          makes on SQLite, so that sqlite3.h is included in store/ and index/ alone.
 * Why      Debian has no usable SQLCipher; a VFS over the system's library needs no patch.
 * Bound    Every page to file key and page number, every chunk to its number and the chunk count, so
 *          pages can't be moved, nor chunks be cut off. An older copy of a whole open file is not
 *          refused (threat model); a sealed file's root is in its catalogue row.
 * Fails    RC_CORRUPT for a page that doesn't authenticate; RC_CRYPTO when the first page doesn't
 *          (wrong key); RC_NOSPACE; RC_AGAIN when another connection holds the write lock for 10 s.
 * Threads  A connection belongs to one thread at a time.
 * On disk  docs/formats.md, "Encrypted database", "Sealed database"
 */
#ifndef MM_STORE_DB_H
#define MM_STORE_DB_H

#include <stdatomic.h>

#include "base/buf.h"
#include "store/keyring.h"

struct db;
struct stmt;
struct sqlite3;

/* DB_CREATE makes the database when it is absent. */
enum db_mode { DB_READ, DB_WRITE, DB_CREATE };

/* journal_mode=WAL, synchronous=FULL, page size 8192, temp_store=MEMORY, no extensions, no ATTACH,
 * no mmap, trusted_schema off. synchronous=FULL means: COMMIT returns after the WAL is synced. The first
 * to open a file in a process writes again what a checkpoint that was cut off left half written. */
enum rc db_open(struct db **out, const char *path, const uint8_t key[KEY_BYTES], enum db_mode mode,
		struct err *e) MUST_USE;
enum rc db_open_sealed(struct db **out, const char *path, const uint8_t key[KEY_BYTES],
		       struct err *e) MUST_USE;
void    db_close(struct db **db);
struct sqlite3 *db_sqlite(struct db *db); /* for index/ only */
const char *db_path(const struct db *db);
/* Removes the file and its -wal, -shm and -journal; absent ones are fine. */
enum rc db_remove(const char *path, struct err *e) MUST_USE;
/* Vacuums `from` and packs it into a sealed file at `path` under `key`; synced, the name too. */
enum rc db_seal(struct db *from, const char *path, const uint8_t key[KEY_BYTES],
		struct err *e) MUST_USE;

/* Authenticates every page, or every chunk, of a file, and a WAL beside it. */
enum rc db_check(const char *path, const uint8_t key[KEY_BYTES], bool sealed, struct err *e) MUST_USE;
/* The root of a sealed file: a hash of its header and table, which name the content of each chunk. */
enum rc db_sealed_root(const char *path, const uint8_t key[KEY_BYTES], uint8_t root[32],
		       struct err *e) MUST_USE;

enum rc db_exec(struct db *db, const char *sql, struct err *e) MUST_USE; /* several statements */
/* VACUUM; its copy of the whole database is in memory meanwhile. */
enum rc db_vacuum(struct db *db, struct err *e) MUST_USE;
enum rc db_begin(struct db *db, struct err *e) MUST_USE;                 /* BEGIN IMMEDIATE */
enum rc db_commit(struct db *db, struct err *e) MUST_USE;
void    db_rollback(struct db *db);
/* SQLite takes one back by itself where a read of it failed. */
bool    db_in_transaction(struct db *db);
/* Commits when `rc` is RC_OK, else, and where that fails, rolls back. `rc`, or that of the commit. */
enum rc db_end(struct db *db, enum rc rc, struct err *e) MUST_USE;

/* The table of one row that db_count raises, and what it says. */
enum rc db_count_prepare(struct db *db, uint64_t *count, struct err *e) MUST_USE;
/* From now on each transaction of this connection that changed a row, and each stmt_run outside one (but no
 * db_exec), raises that row in the same commit; *highest is never below what is on disk afterwards, and says
 * nothing that isn't. It may be shared by connections and outlives them. */
void    db_count(struct db *db, _Atomic uint64_t *highest);

/* From now on up to `most` statements that are freed are kept, compiled, for db_prepare of the same text: for a
 * connection that is asked the same again and again. */
void    db_keep_statements(struct db *db, unsigned most);
enum rc db_prepare(struct db *db, struct stmt **out, const char *sql, struct err *e) MUST_USE;
void    stmt_free(struct stmt **s);
/* Parameters count from 1. The bytes are copied. Binding can't fail but for memory, which aborts. */
void    stmt_bind_int(struct stmt *s, int at, int64_t v);
void    stmt_bind_text(struct stmt *s, int at, struct slice v); /* a NULL `at` binds SQL NULL */
void    stmt_bind_blob(struct stmt *s, int at, struct slice v);
void    stmt_bind_null(struct stmt *s, int at);
/* A column of a row that another statement is at, of whatever type. */
void    stmt_copy(struct stmt *s, int at, struct stmt *from, int column);
/* RC_OK: a row is there. RC_NOTFOUND: no (further) row; the statement is reset, its bindings kept. */
enum rc stmt_step(struct stmt *s, struct err *e) MUST_USE;
void    stmt_reset(struct stmt *s);
/* For statements without rows: step, then reset. */
enum rc stmt_run(struct stmt *s, struct err *e) MUST_USE;
/* Columns count from 0. Slices live until the next step or reset. */
int64_t      stmt_int(struct stmt *s, int column);
struct slice stmt_text(struct stmt *s, int column);
struct slice stmt_blob(struct stmt *s, int column);
bool         stmt_is_null(struct stmt *s, int column);
/* One integer, or `none` when there is no row. */
enum rc db_int(struct db *db, const char *sql, int64_t none, int64_t *out, struct err *e) MUST_USE;
int64_t db_last_rowid(struct db *db);
int64_t db_changes(struct db *db);

#endif
