#include "store/db.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/vfs.h"

#define BUSY_MS 10000

struct db {
	sqlite3 *sqlite;
	char *path;
	atomic_bool busy;  /* a call is under way */
	int64_t changes;   /* of the last stmt_run */
	struct stmt *kept; /* freed ones, the last first */
	unsigned keep;     /* so many at most */
	/* db_count: */
	_Atomic uint64_t *highest; /* NULL: commits aren't counted */
	struct stmt *raise;
	int64_t changed_before; /* rows that this connection had changed when its transaction began
	                         */
};

struct stmt {
	sqlite3_stmt *sqlite;
	struct db *db;
	struct stmt *next; /* among those that are kept */
};

/* SQLite was told that a connection is one thread's at a time; two in it at once would spoil it. */
static void enter(struct db *db)
{
	MUST(!atomic_exchange(&db->busy, true));
	vfs_error_clear();
}

static void leave(struct db *db)
{
	atomic_store(&db->busy, false);
}

static enum rc code_of_sqlite(int code)
{
	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return RC_AGAIN;
	case SQLITE_FULL:
		return RC_NOSPACE;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return RC_CORRUPT;
	case SQLITE_CONSTRAINT:
		return RC_EXISTS;
	case SQLITE_NOMEM:
	case SQLITE_TOOBIG:
		return RC_LIMIT;
	case SQLITE_READONLY:
		return RC_DENIED;
	case SQLITE_ERROR:
	case SQLITE_MISMATCH:
	case SQLITE_RANGE:
		return RC_INVALID;
	default:
		return code == SQLITE_IOERR_DATA ? RC_CORRUPT : RC_IO;
	}
}

/* What the file layer said is more exact than SQLite's own text. */
static enum rc db_failed(struct db *db, int code, struct err *e)
{
	int kind = code & 0xff;
	struct err *below = vfs_error();
	bool from_file = kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN || kind == SQLITE_FULL;

	if (from_file && below->code != RC_OK) {
		enum rc rc = err_set(e, below->code, "%s", below->text);

		if (e)
			e->sys = below->sys;
		return rc;
	}
	return err_set(e, code_of_sqlite(code), "%s: %s", db->path,
	               db->sqlite ? sqlite3_errmsg(db->sqlite) : sqlite3_errstr(code));
}

static enum rc open_uri(struct db *db, const char *tail, int64_t key, int flags, struct err *e)
{
	char full[160];
	size_t room = strlen(db->path) * 3 + sizeof(full) + 16;
	char *uri = mem_new(room);
	int code;

	(void)snprintf(full, sizeof(full), "?%s&key=%lld", tail, (long long)key);
	vfs_uri(uri, room, db->path, full);
	vfs_error_clear();
	code = sqlite3_open_v2(uri, &db->sqlite,
	                       flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX |
	                               SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE,
	                       NULL);
	free(uri);
	return code == SQLITE_OK ? RC_OK : db_failed(db, code, e);
}

/* Nothing in a database file may make SQLite run what we didn't write. */
static void confine(sqlite3 *s)
{
	(void)sqlite3_db_config(s, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
	(void)sqlite3_db_config(s, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(s, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	(void)sqlite3_db_config(s, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	(void)sqlite3_db_config(s, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	(void)sqlite3_limit(s, SQLITE_LIMIT_ATTACHED, 0);
	(void)sqlite3_busy_timeout(s, BUSY_MS);
}

static enum rc settle(struct db *db, const char *pragmas, struct err *e)
{
	int64_t ignored;
	enum rc rc;

	confine(db->sqlite);
	rc = db_exec(db, pragmas, e);
	if (rc == RC_OK) /* the first read: opens page 1 and the WAL */
		rc = db_int(db, "SELECT count(*) FROM sqlite_schema", 0, &ignored, e);
	return rc;
}

static struct db *db_new(const char *path)
{
	struct db *db = mem_new(sizeof(*db));

	vfs_init();
	db->path = mem_string(path);
	return db;
}

/* A database is born whole: page 1 of an empty one in WAL mode, so that SQLite never has a reason
 * to write a rollback journal. */
static enum rc create(const char *path, const uint8_t key[KEY_BYTES], struct err *e)
{
	struct page_key k;
	uint8_t plain[PAGE_BYTES];
	uint8_t sealed[PAGE_BYTES];

	page_key_make(&k, key);
	page_template(plain);
	MUST(page_seal(sealed, plain, BOX_PAGE, 1, NULL, &k));
	crypt_wipe(&k, sizeof(k));
	return file_replace(path, slice_of(sealed, PAGE_BYTES), e);
}

/* A kill or a power failure during a checkpoint may leave pages half written, whose good copies are
 * in the WAL: who opens the file first in a process has them written again. On a full disk they
 * stay there. Then the WAL is empty, so that its next header is written over none. */
static enum rc mend(struct db *db, struct err *e)
{
	bool first = false;
	enum rc rc = RC_OK;

	(void)sqlite3_file_control(db->sqlite, NULL, VFS_CONTROL_FIRST, &first);
	if (first)
		rc = db_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", e);
	return rc == RC_NOSPACE ? RC_OK : rc;
}

enum rc db_open(struct db **out, const char *path, const uint8_t key[KEY_BYTES], enum db_mode mode,
                struct err *e)
{
	static const char settings[] = "PRAGMA temp_store=MEMORY; PRAGMA synchronous=FULL;"
	                               "PRAGMA mmap_size=0; PRAGMA cache_size=-8192;"
	                               "PRAGMA cell_size_check=ON; PRAGMA foreign_keys=ON;"
	                               "PRAGMA wal_autocheckpoint=2000;"
	                               "PRAGMA journal_size_limit=33554432;";
	struct db *db = db_new(path);
	int64_t number;
	enum rc rc = RC_OK;

	*out = NULL;
	if (!file_exists(path))
		rc = mode == DB_CREATE ? create(path, key, e)
		                       : err_set(e, RC_NOTFOUND, "%s: no such database", path);
	if (rc == RC_OK) {
		number = vfs_key_add(key);
		rc = open_uri(db, "vfs=" VFS_CRYPT, number, SQLITE_OPEN_READWRITE, e);
		if (rc == RC_OK)
			rc = settle(db, settings, e);
		if (rc == RC_OK)
			rc = mend(db, e);
		if (rc == RC_OK && mode == DB_READ)
			rc = db_exec(db, "PRAGMA query_only=ON", e);
		vfs_key_drop(number);
	}
	if (rc != RC_OK)
		db_close(&db);
	*out = db;
	return rc;
}

enum rc db_open_sealed(struct db **out, const char *path, const uint8_t key[KEY_BYTES],
                       struct err *e)
{
	struct db *db = db_new(path);
	int64_t number = vfs_key_add(key);
	enum rc rc =
	        file_exists(path) ? RC_OK : err_set(e, RC_NOTFOUND, "%s: no such database", path);

	if (rc == RC_OK)
		rc = open_uri(db, "immutable=1&vfs=" VFS_SEALED, number, SQLITE_OPEN_READONLY, e);
	if (rc == RC_OK)
		rc = settle(db,
		            "PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0;"
		            "PRAGMA cache_size=-1024; PRAGMA cell_size_check=ON;",
		            e);
	vfs_key_drop(number);
	if (rc != RC_OK)
		db_close(&db);
	*out = db;
	return rc;
}

static void finalize(struct stmt *s)
{
	(void)sqlite3_finalize(s->sqlite); /* repeats the error of the last step */
	free(s);
}

/* All behind the first `keep`. */
static void drop_kept(struct db *db)
{
	struct stmt **at = &db->kept;

	for (unsigned n = 0; *at && n < db->keep; n++)
		at = &(*at)->next;
	while (*at) {
		struct stmt *s = *at;

		*at = s->next;
		finalize(s);
	}
}

void db_close(struct db **db)
{
	if (!*db)
		return;
	(*db)->keep = 0;
	drop_kept(*db);
	stmt_free(&(*db)->raise);
	/* A statement that was not freed is a mistake of ours. */
	MUST(sqlite3_close((*db)->sqlite) == SQLITE_OK);
	free((*db)->path);
	free(*db);
	*db = NULL;
}

struct sqlite3 *db_sqlite(struct db *db)
{
	return db->sqlite;
}

const char *db_path(const struct db *db)
{
	return db->path;
}

enum rc db_remove(const char *path, struct err *e)
{
	static const char *const tails[] = { "", "-wal", "-shm", "-journal" };
	char full[PATH_MAX];
	char name[PATH_MAX];
	enum rc rc = RC_OK;

	if (vfs_full_path(path, full))
		node_forget(full);
	for (unsigned i = 0; rc == RC_OK && i < COUNT(tails); i++) {
		if ((size_t)snprintf(name, sizeof(name), "%s%s", path, tails[i]) >= sizeof(name))
			return err_set(e, RC_INVALID, "%s: the path is too long", path);
		if (file_exists(name))
			rc = file_remove(name, e);
		if (rc == RC_NOTFOUND)
			rc = RC_OK;
	}
	return rc;
}

enum rc db_exec(struct db *db, const char *sql, struct err *e)
{
	int code;

	enter(db);
	code = sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL);
	leave(db);
	return code == SQLITE_OK ? RC_OK : db_failed(db, code, e);
}

enum rc db_count_prepare(struct db *db, uint64_t *count, struct err *e)
{
	int64_t n = 0;
	enum rc rc = db_exec(db,
	                     "CREATE TABLE IF NOT EXISTS change_count ("
	                     " one INTEGER PRIMARY KEY CHECK (one = 1), n INTEGER NOT NULL) STRICT;"
	                     "INSERT OR IGNORE INTO change_count VALUES(1, 0);",
	                     e);

	if (rc == RC_OK)
		rc = db_int(db, "SELECT n FROM change_count", 0, &n, e);
	*count = (uint64_t)n;
	return rc;
}

void db_count(struct db *db, _Atomic uint64_t *highest)
{
	db->highest = highest;
}

enum rc db_begin(struct db *db, struct err *e)
{
	db->changed_before = sqlite3_total_changes64(db->sqlite);
	return db_exec(db, "BEGIN IMMEDIATE", e);
}

/* *count: what this transaction is; 0: it isn't counted. */
static enum rc raise_count(struct db *db, uint64_t *count, struct err *e)
{
	enum rc rc = RC_OK;

	*count = 0;
	if (!db->highest || sqlite3_total_changes64(db->sqlite) == db->changed_before)
		return RC_OK;
	if (!db->raise)
		rc = db_prepare(db, &db->raise, "UPDATE change_count SET n = n + 1 RETURNING n", e);
	if (rc == RC_OK)
		rc = stmt_step(db->raise, e);
	if (rc != RC_OK)
		return rc;
	*count = (uint64_t)stmt_int(db->raise, 0);
	stmt_reset(db->raise);
	return RC_OK;
}

/* Connections commit in their order, but get here in any. */
static void publish_count(struct db *db, uint64_t count)
{
	uint64_t seen = count ? atomic_load(db->highest) : UINT64_MAX;

	while (seen < count && !atomic_compare_exchange_weak(db->highest, &seen, count))
		;
}

enum rc db_commit(struct db *db, struct err *e)
{
	uint64_t count;
	enum rc rc = raise_count(db, &count, e);

	if (rc == RC_OK)
		rc = db_exec(db, "COMMIT", e);
	if (rc == RC_OK)
		publish_count(db, count);
	return rc;
}

bool db_in_transaction(struct db *db)
{
	return !sqlite3_get_autocommit(db->sqlite);
}

void db_rollback(struct db *db)
{
	if (db_in_transaction(db))
		(void)sqlite3_exec(db->sqlite, "ROLLBACK", NULL, NULL, NULL);
}

enum rc db_end(struct db *db, enum rc rc, struct err *e)
{
	if (rc == RC_OK)
		rc = db_commit(db, e);
	if (rc != RC_OK)
		db_rollback(db);
	return rc;
}

/* ---- statements ---- */

void db_keep_statements(struct db *db, unsigned most)
{
	db->keep = most;
}

static struct stmt *take_kept(struct db *db, const char *sql)
{
	for (struct stmt **at = &db->kept; *at; at = &(*at)->next) {
		struct stmt *s = *at;

		if (strcmp(sqlite3_sql(s->sqlite), sql) == 0) {
			*at = s->next;
			s->next = NULL;
			return s;
		}
	}
	return NULL;
}

enum rc db_prepare(struct db *db, struct stmt **out, const char *sql, struct err *e)
{
	struct stmt *s;
	int code;

	enter(db);
	s = take_kept(db, sql);
	leave(db);
	*out = s;
	if (s)
		return RC_OK;
	s = mem_new(sizeof(*s));
	enter(db);
	s->db = db;
	code = sqlite3_prepare_v3(db->sqlite, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->sqlite, NULL);
	leave(db);
	if (code == SQLITE_OK && s->sqlite) {
		*out = s;
		return RC_OK;
	}
	free(s);
	return code == SQLITE_OK ? err_set(e, RC_INVALID, "%s: an empty statement", db->path)
	                         : db_failed(db, code, e);
}

/* One that is kept holds no lock, and no values. */
void stmt_free(struct stmt **at)
{
	struct stmt *s = *at;
	struct db *db;

	if (!s)
		return;
	*at = NULL;
	db = s->db;
	if (db->keep == 0) {
		finalize(s);
		return;
	}
	enter(db);
	(void)sqlite3_reset(s->sqlite);
	(void)sqlite3_clear_bindings(s->sqlite);
	s->next = db->kept;
	db->kept = s;
	drop_kept(db);
	leave(db);
}

void stmt_bind_int(struct stmt *s, int at, int64_t v)
{
	MUST(sqlite3_bind_int64(s->sqlite, at, v) == SQLITE_OK);
}

void stmt_bind_text(struct stmt *s, int at, struct slice v)
{
	MUST(sqlite3_bind_text64(s->sqlite, at, (const char *)v.at, v.len, SQLITE_TRANSIENT,
	                         SQLITE_UTF8) == SQLITE_OK);
}

void stmt_bind_blob(struct stmt *s, int at, struct slice v)
{
	MUST(sqlite3_bind_blob64(s->sqlite, at, v.at, v.len, SQLITE_TRANSIENT) == SQLITE_OK);
}

void stmt_bind_null(struct stmt *s, int at)
{
	MUST(sqlite3_bind_null(s->sqlite, at) == SQLITE_OK);
}

void stmt_copy(struct stmt *s, int at, struct stmt *from, int column)
{
	MUST(sqlite3_bind_value(s->sqlite, at, sqlite3_column_value(from->sqlite, column)) ==
	     SQLITE_OK);
}

enum rc stmt_step(struct stmt *s, struct err *e)
{
	int code;

	enter(s->db);
	code = sqlite3_step(s->sqlite);
	leave(s->db);
	if (code == SQLITE_ROW)
		return RC_OK;
	if (code != SQLITE_DONE) {
		enum rc rc = db_failed(s->db, code, e);

		(void)sqlite3_reset(s->sqlite);
		return rc;
	}
	(void)sqlite3_reset(s->sqlite);
	return err_set(e, RC_NOTFOUND, "%s: no row", s->db->path);
}

void stmt_reset(struct stmt *s)
{
	(void)sqlite3_reset(s->sqlite);
}

/* A statement alone is a transaction too, which is counted. */
static bool is_counted_alone(const struct stmt *s)
{
	return s->db->highest && sqlite3_get_autocommit(s->db->sqlite) &&
	       !sqlite3_stmt_readonly(s->sqlite);
}

enum rc stmt_run(struct stmt *s, struct err *e)
{
	struct db *db = s->db;
	bool alone = is_counted_alone(s);
	enum rc rc = alone ? db_begin(db, e) : RC_OK;

	if (rc == RC_OK)
		rc = stmt_step(s, e);
	db->changes = sqlite3_changes64(db->sqlite);
	if (rc == RC_OK)
		stmt_reset(s);
	rc = rc == RC_NOTFOUND ? RC_OK : rc;
	return alone ? db_end(db, rc, e) : rc;
}

int64_t stmt_int(struct stmt *s, int column)
{
	return sqlite3_column_int64(s->sqlite, column);
}

struct slice stmt_text(struct stmt *s, int column)
{
	const void *at = sqlite3_column_text(s->sqlite, column);

	return slice_of(at, (size_t)sqlite3_column_bytes(s->sqlite, column));
}

struct slice stmt_blob(struct stmt *s, int column)
{
	const void *at = sqlite3_column_blob(s->sqlite, column);

	return slice_of(at, (size_t)sqlite3_column_bytes(s->sqlite, column));
}

bool stmt_is_null(struct stmt *s, int column)
{
	return sqlite3_column_type(s->sqlite, column) == SQLITE_NULL;
}

enum rc db_int(struct db *db, const char *sql, int64_t none, int64_t *out, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(db, &s, sql, e);

	*out = none;
	if (rc != RC_OK)
		return rc;
	rc = stmt_step(s, e);
	if (rc == RC_OK)
		*out = stmt_int(s, 0);
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

int64_t db_last_rowid(struct db *db)
{
	return sqlite3_last_insert_rowid(db->sqlite);
}

int64_t db_changes(struct db *db)
{
	return db->changes;
}
