#include "tests/unit/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "store/db.h"
#include "store/vfs.h"

/* Words that must never lie readable on a disk, and what SQLite itself would leave there. */
static const char *const words[] = { "Geheimwort", "geheimwort", "SQLite format", "CREATE TABLE",
	                             "secretcolumn" };

static const uint8_t key[KEY_BYTES] = { 1, 2, 3 };
static const uint8_t other_key[KEY_BYTES] = { 9 };

struct place {
	char dir[64];
	char path[96];
	char sealed[96];
	struct err e;
};

static int setup(void **state)
{
	struct place *p = mem_new(sizeof(*p));

	temp_folder(p->dir, sizeof(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/x.db", p->dir);
	snprintf(p->sealed, sizeof(p->sealed), "%s/x.shard", p->dir);
	*state = p;
	return 0;
}

static enum rc drop_file(void *arg, const char *name, struct err *e)
{
	char *path = path_join(arg, name);
	enum rc rc = file_remove(path, e);

	free(path);
	return rc;
}

static int teardown(void **state)
{
	struct place *p = *state;

	assert_int_equal(dir_list(p->dir, drop_file, p->dir, &p->e), RC_OK);
	assert_int_equal(rmdir(p->dir), 0);
	free(p);
	return 0;
}

static struct db *open_db(struct place *p, enum db_mode mode)
{
	struct db *db;

	EXPECT_OK(db_open(&db, p->path, key, mode, &p->e), &p->e);
	return db;
}

static void exec(struct place *p, struct db *db, const char *sql)
{
	EXPECT_OK(db_exec(db, sql, &p->e), &p->e);
}

static int64_t number(struct place *p, struct db *db, const char *sql)
{
	int64_t v;

	EXPECT_OK(db_int(db, sql, -1, &v, &p->e), &p->e);
	return v;
}

static void make_table(struct place *p, struct db *db)
{
	exec(p, db, "CREATE TABLE t(a INTEGER PRIMARY KEY, secretcolumn TEXT) STRICT");
}

/* `count` rows of about 900 bytes that all hold the words, in one transaction. */
static void add_rows(struct place *p, struct db *db, int count)
{
	char sql[300];

	snprintf(sql, sizeof(sql),
	         "INSERT INTO t(secretcolumn) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT "
	         "i+1 FROM n WHERE i<%d) SELECT 'Geheimwort geheimwort ' || i || "
	         "printf('%%0800d', i) FROM n",
	         count);
	exec(p, db, sql);
}

static void integrity(struct place *p, struct db *db)
{
	struct stmt *s;

	EXPECT_OK(db_prepare(db, &s, "PRAGMA integrity_check", &p->e), &p->e);
	EXPECT_OK(stmt_step(s, &p->e), &p->e);
	EXPECT_SLICE("integrity_check", stmt_text(s, 0), "ok");
	stmt_free(&s);
}

struct search {
	struct place *p;
	unsigned files;
	unsigned hits;
	char last[64];
};

static enum rc search_file(void *arg, const char *name, struct err *e)
{
	struct search *s = arg;
	struct buf b;
	char *path = path_join(s->p->dir, name);
	enum rc rc;

	buf_init(&b, 1 << 28);
	rc = file_read_all(path, &b, e);
	for (size_t i = 0; i < COUNT(words); i++)
		if (slice_find(buf_slice(&b), slice_str(words[i])) != SIZE_MAX) {
			s->hits++;
			snprintf(s->last, sizeof(s->last), "%.20s in %.30s", words[i], name);
		}
	s->files++;
	buf_free(&b);
	free(path);
	return rc;
}

static void expect_sealed_words(struct place *p, unsigned least_files)
{
	struct search s = { .p = p };

	EXPECT_OK(dir_list(p->dir, search_file, &s, &p->e), &p->e);
	assert_true(s.files >= least_files);
	EXPECT(s.last, s.hits == 0);
}

static bool exists(struct place *p, const char *tail)
{
	char path[128];

	snprintf(path, sizeof(path), "%s%s", p->path, tail);
	return file_exists(path);
}

static void test_rows_survive_close(void **state)
{
	struct place *p = *state;
	struct db *db = open_db(p, DB_CREATE);
	struct stmt *s;

	make_table(p, db);
	EXPECT_OK(db_begin(db, &p->e), &p->e);
	EXPECT_OK(db_prepare(db, &s, "INSERT INTO t(a, secretcolumn) VALUES(?1, ?2)", &p->e),
	          &p->e);
	stmt_bind_int(s, 1, 7);
	stmt_bind_text(s, 2, slice_str("seven"));
	EXPECT_OK(stmt_run(s, &p->e), &p->e);
	assert_int_equal(db_last_rowid(db), 7);
	assert_int_equal(db_changes(db), 1);
	stmt_bind_int(s, 1, 8);
	stmt_bind_null(s, 2);
	EXPECT_OK(stmt_run(s, &p->e), &p->e);
	assert_int_equal(stmt_run(s, &p->e), RC_EXISTS);
	stmt_free(&s);
	EXPECT_OK(db_commit(db, &p->e), &p->e);
	EXPECT_OK(db_begin(db, &p->e), &p->e);
	exec(p, db, "DELETE FROM t");
	db_rollback(db);
	db_close(&db);
	assert_false(exists(p, "-wal"));

	db = open_db(p, DB_READ);
	EXPECT_OK(db_prepare(db, &s, "SELECT a, secretcolumn FROM t ORDER BY a", &p->e), &p->e);
	EXPECT_OK(stmt_step(s, &p->e), &p->e);
	assert_int_equal(stmt_int(s, 0), 7);
	EXPECT_SLICE("text", stmt_text(s, 1), "seven");
	EXPECT_OK(stmt_step(s, &p->e), &p->e);
	assert_true(stmt_is_null(s, 1));
	assert_int_equal(stmt_step(s, &p->e), RC_NOTFOUND);
	stmt_free(&s);
	assert_int_equal(db_exec(db, "DELETE FROM t", &p->e), RC_DENIED);
	db_close(&db);
}

static void insert(struct place *p, struct db *db, int64_t a)
{
	struct stmt *s;

	EXPECT_OK(db_prepare(db, &s, "INSERT INTO t(a) VALUES(?1)", &p->e), &p->e);
	stmt_bind_int(s, 1, a);
	EXPECT_OK(stmt_run(s, &p->e), &p->e);
	assert_int_equal(db_changes(db), 1);
	stmt_free(&s);
}

/* Every transaction that changed something, by whatever connection, and none that didn't. */
static void test_changes_are_counted(void **state)
{
	struct place *p = *state;
	struct db *db = open_db(p, DB_CREATE);
	struct db *other = open_db(p, DB_WRITE);
	_Atomic uint64_t highest = 0;
	uint64_t count = 9;

	make_table(p, db);
	EXPECT_OK(db_count_prepare(db, &count, &p->e), &p->e);
	assert_int_equal(count, 0);
	insert(p, db, 1); /* not yet */
	db_count(db, &highest);
	db_count(other, &highest);
	insert(p, db, 2);
	assert_int_equal(highest, 1);
	EXPECT_OK(db_begin(other, &p->e), &p->e);
	insert(p, other, 3);
	insert(p, other, 4);
	assert_int_equal(highest, 1);
	EXPECT_OK(db_commit(other, &p->e), &p->e);
	assert_int_equal(highest, 2);
	EXPECT_OK(db_begin(db, &p->e), &p->e);
	insert(p, db, 5);
	db_rollback(db);
	EXPECT_OK(db_begin(db, &p->e), &p->e);
	EXPECT_OK(db_commit(db, &p->e), &p->e);
	assert_int_equal(highest, 2);
	insert(p, db, 6);
	assert_int_equal(highest, 3);
	EXPECT_OK(db_count_prepare(other, &count, &p->e), &p->e);
	assert_int_equal(count, 3);
	/* One that can't be counted isn't made. */
	exec(p, db, "DELETE FROM change_count");
	EXPECT_OK(db_begin(db, &p->e), &p->e);
	insert(p, db, 7);
	assert_int_not_equal(db_end(db, RC_OK, &p->e), RC_OK);
	EXPECT_OK(db_int(db, "SELECT count(*) FROM t", -1, (int64_t *)&count, &p->e), &p->e);
	assert_int_equal(count, 5);
	db_close(&other);
	db_close(&db);
}

static int64_t count_in(struct place *p, struct db *db, const char *sql, const char *text)
{
	struct stmt *s;
	int64_t n;

	EXPECT_OK(db_prepare(db, &s, sql, &p->e), &p->e);
	if (text)
		stmt_bind_text(s, 1, slice_str(text));
	EXPECT_OK(stmt_step(s, &p->e), &p->e);
	n = stmt_int(s, 0);
	stmt_free(&s); /* in the midst of its rows */
	return n;
}

static int compiled(struct db *db)
{
	int n = 0;

	for (sqlite3_stmt *s = NULL; (s = sqlite3_next_stmt(db_sqlite(db), s));)
		n++;
	return n;
}

/* What is kept has no values of before, holds up nobody, and knows what others change. */
static void test_kept_statements(void **state)
{
	static const char is[] = "SELECT count(*) FROM t WHERE secretcolumn IS ?1";
	struct place *p = *state;
	struct db *db = open_db(p, DB_CREATE);
	struct db *other = open_db(p, DB_WRITE);
	char sql[64];
	struct stmt *first, *second;

	make_table(p, db);
	db_keep_statements(db, 3);
	exec(p, other, "INSERT INTO t VALUES(1, 'x'), (2, NULL), (3, NULL)");
	assert_int_equal(count_in(p, db, is, "x"), 1);
	assert_int_equal(count_in(p, db, is, NULL), 2);
	for (int i = 0; i < 8; i++) {
		(void)snprintf(sql, sizeof(sql), "SELECT %d + a FROM t ORDER BY a", i);
		assert_int_equal(count_in(p, db, sql, NULL), i + 1);
	}
	assert_int_equal(compiled(db), 3);
	/* the same text twice at once */
	EXPECT_OK(db_prepare(db, &first, sql, &p->e), &p->e);
	EXPECT_OK(db_prepare(db, &second, sql, &p->e), &p->e);
	EXPECT_OK(stmt_step(first, &p->e), &p->e);
	EXPECT_OK(stmt_step(first, &p->e), &p->e);
	EXPECT_OK(stmt_step(second, &p->e), &p->e);
	assert_int_equal(stmt_int(first, 0), 9);
	assert_int_equal(stmt_int(second, 0), 8);
	stmt_free(&first);
	stmt_free(&second);
	exec(p, other, "UPDATE t SET secretcolumn = 'x'");
	assert_int_equal(count_in(p, db, is, "x"), 3);
	exec(p, other, "ALTER TABLE t ADD COLUMN b INTEGER; DELETE FROM t WHERE a = 1");
	assert_int_equal(count_in(p, db, is, "x"), 2);
	EXPECT_OK(db_vacuum(other, &p->e), &p->e);
	exec(p, other, "PRAGMA wal_checkpoint(TRUNCATE)");
	insert(p, db, 9);
	insert(p, db, 10);
	assert_int_equal(count_in(p, db, is, NULL), 2);
	exec(p, other, "DROP TABLE t");
	assert_int_not_equal(db_prepare(db, &first, is, &p->e) == RC_OK ? stmt_step(first, &p->e)
	                                                                : RC_INVALID,
	                     RC_OK);
	stmt_free(&first);
	db_close(&other);
	db_close(&db);
}

/* However a transaction ends, the next can begin. */
static void test_ends_of_transactions(void **state)
{
	struct place *p = *state;
	struct db *db = open_db(p, DB_CREATE);

	exec(p, db,
	     "PRAGMA foreign_keys = ON; CREATE TABLE one(n INTEGER PRIMARY KEY);"
	     "CREATE TABLE two(n REFERENCES one(n) DEFERRABLE INITIALLY DEFERRED);");
	EXPECT_OK(db_begin(db, &p->e), &p->e);
	exec(p, db, "INSERT INTO one VALUES(1)");
	EXPECT_OK(db_end(db, RC_OK, &p->e), &p->e);
	EXPECT_OK(db_begin(db, &p->e), &p->e);
	exec(p, db, "INSERT INTO one VALUES(2)");
	assert_int_equal(db_end(db, RC_DENIED, &p->e), RC_DENIED);
	/* The commit fails, and SQLite leaves the transaction open. */
	EXPECT_OK(db_begin(db, &p->e), &p->e);
	exec(p, db, "INSERT INTO one VALUES(3); INSERT INTO two VALUES(99)");
	assert_int_not_equal(db_end(db, RC_OK, &p->e), RC_OK);
	assert_non_null(strstr(p->e.text, "FOREIGN KEY"));
	EXPECT_OK(db_begin(db, &p->e), &p->e);
	EXPECT_OK(db_end(db, RC_OK, &p->e), &p->e);
	assert_int_equal(number(p, db, "SELECT sum(n) FROM one"), 1);
	db_close(&db);
}

static void test_settings(void **state)
{
	struct place *p = *state;
	struct db *db;
	struct stmt *s;

	assert_int_equal(db_open(&db, p->path, key, DB_WRITE, &p->e), RC_NOTFOUND);
	assert_null(db);
	db = open_db(p, DB_CREATE);
	assert_int_equal(number(p, db, "PRAGMA page_size"), 8192);
	assert_int_equal(number(p, db, "PRAGMA synchronous"), 2);
	assert_int_equal(number(p, db, "PRAGMA temp_store"), 2);
	EXPECT_OK(db_prepare(db, &s, "PRAGMA journal_mode", &p->e), &p->e);
	EXPECT_OK(stmt_step(s, &p->e), &p->e);
	EXPECT_SLICE("journal_mode", stmt_text(s, 0), "wal");
	stmt_free(&s);
	assert_int_not_equal(db_exec(db, "ATTACH ':memory:' AS x", &p->e), RC_OK);
	assert_int_not_equal(db_exec(db, "SELECT load_extension('x')", &p->e), RC_OK);
	assert_int_equal(db_exec(db, "SELECT nonsense", &p->e), RC_INVALID);
	db_close(&db);
}

static void test_no_word_on_disk(void **state)
{
	struct place *p = *state;
	struct db *db = open_db(p, DB_CREATE);

	make_table(p, db);
	add_rows(p, db, 3000);
	expect_sealed_words(p, 2);
	exec(p, db, "CREATE INDEX i ON t(secretcolumn)");
	exec(p, db, "UPDATE t SET secretcolumn = secretcolumn || ' Geheimwort' WHERE a % 3 = 0");
	exec(p, db, "PRAGMA cache_size = 10");
	EXPECT_OK(db_begin(db, &p->e), &p->e);
	exec(p, db, "DELETE FROM t WHERE a % 2 = 0"); /* spills to the WAL before its commit */
	add_rows(p, db, 2000);
	assert_false(exists(p, "-shm"));
	assert_false(exists(p, "-journal"));
	expect_sealed_words(p, 2);
	EXPECT_OK(db_commit(db, &p->e), &p->e);
	assert_true(number(p, db,
	                   "SELECT count(*) FROM (SELECT secretcolumn FROM t ORDER BY "
	                   "secretcolumn || 'x')") > 0);
	exec(p, db, "CREATE TEMP TABLE u AS SELECT * FROM t");
	exec(p, db, "DROP TABLE u");
	EXPECT_OK(db_vacuum(db, &p->e), &p->e);
	exec(p, db, "PRAGMA wal_checkpoint(TRUNCATE)");
	expect_sealed_words(p, 1);
	integrity(p, db);
	db_close(&db);
	expect_sealed_words(p, 1);
}

static void test_wrong_key(void **state)
{
	struct place *p = *state;
	struct db *db = open_db(p, DB_CREATE);
	struct db *other;

	make_table(p, db);
	assert_int_equal(db_open(&other, p->path, other_key, DB_WRITE, &p->e), RC_CRYPTO);
	assert_null(other);
	db_close(&db);
	assert_int_equal(db_open(&other, p->path, other_key, DB_WRITE, &p->e), RC_CRYPTO);
	assert_null(other);
	db = open_db(p, DB_WRITE);
	assert_int_equal(number(p, db, "SELECT count(*) FROM t"), 0);
	db_close(&db);
}

/* Runs `work` in a child that then dies by SIGKILL. */
static void in_killed_child(struct place *p, void (*work)(struct place *p))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		work(p);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void write_and_hang(struct place *p)
{
	struct db *db = open_db(p, DB_CREATE);

	make_table(p, db);
	exec(p, db, "PRAGMA wal_autocheckpoint=0");
	add_rows(p, db, 1000);
	exec(p, db, "PRAGMA wal_checkpoint");
	add_rows(p, db, 500);
	add_rows(p, db, 7);
	exec(p, db, "PRAGMA cache_size = 10");
	EXPECT_OK(db_begin(db, &p->e), &p->e);
	exec(p, db, "DELETE FROM t WHERE a % 3 = 0");
	add_rows(p, db, 3000);
}

static void test_killed_writer(void **state)
{
	struct place *p = *state;
	struct db *db;

	in_killed_child(p, write_and_hang);
	assert_true(exists(p, "-wal"));
	expect_sealed_words(p, 2);
	db = open_db(p, DB_WRITE);
	assert_int_equal(number(p, db, "SELECT count(*) FROM t"), 1507);
	integrity(p, db);
	add_rows(p, db, 3);
	db_close(&db);
	db = open_db(p, DB_WRITE);
	assert_int_equal(number(p, db, "SELECT count(*) FROM t"), 1510);
	db_close(&db);
}

/* A transaction that the cache has no room for writes pages more than once. Each goes over its
 * frame, and the headers behind it are made anew at the commit. */
static void write_pages_twice(struct place *p)
{
	struct db *db = open_db(p, DB_CREATE);

	make_table(p, db);
	exec(p, db, "PRAGMA wal_autocheckpoint=0; PRAGMA cache_size = 10");
	add_rows(p, db, 500);
	EXPECT_OK(db_begin(db, &p->e), &p->e);
	for (int i = 0; i < 3; i++)
		exec(p, db, "UPDATE t SET secretcolumn = secretcolumn || 'again'");
	EXPECT_OK(db_commit(db, &p->e), &p->e);
	add_rows(p, db, 7);
}

static void test_pages_written_twice(void **state)
{
	struct place *p = *state;
	struct db *db;

	in_killed_child(p, write_pages_twice);
	db = open_db(p, DB_WRITE);
	assert_int_equal(number(p, db, "SELECT count(*) FROM t"), 507);
	assert_int_equal(
	        number(p, db, "SELECT count(*) FROM t WHERE secretcolumn LIKE '%againagainagain'"),
	        500);
	integrity(p, db);
	db_close(&db);
}

static void test_wrong_key_keeps_wal(void **state)
{
	struct place *p = *state;
	struct db *db;

	in_killed_child(p, write_and_hang);
	assert_int_equal(db_open(&db, p->path, other_key, DB_WRITE, &p->e), RC_CRYPTO);
	assert_true(exists(p, "-wal"));
	db = open_db(p, DB_WRITE);
	assert_int_equal(number(p, db, "SELECT count(*) FROM t"), 1507);
	db_close(&db);
}

static off_t size_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

static void poke(const char *path, off_t at, const void *bytes, size_t n)
{
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, at), n);
	close(fd);
}

static void peek(const char *path, off_t at, void *bytes, size_t n)
{
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, bytes, n, at), n);
	close(fd);
}

static void flip(const char *path, off_t at)
{
	uint8_t b;

	peek(path, at, &b, 1);
	b ^= 1;
	poke(path, at, &b, 1);
}

static enum rc read_all(struct place *p)
{
	struct db *db;
	int64_t n;
	enum rc rc = db_open(&db, p->path, key, DB_READ, &p->e);

	if (rc == RC_OK)
		rc = db_int(db, "SELECT sum(length(secretcolumn)) FROM t", 0, &n, &p->e);
	db_close(&db);
	return rc;
}

static void test_tampered_page(void **state)
{
	struct place *p = *state;
	struct db *db = open_db(p, DB_CREATE);
	static uint8_t a[PAGE_BYTES], b[PAGE_BYTES], zero[PAGE_BYTES];

	make_table(p, db);
	add_rows(p, db, 500);
	db_close(&db);
	assert_int_equal(read_all(p), RC_OK);
	for (int i = 0; i < 3; i++) { /* nonce, text, tag */
		off_t at = 5 * PAGE_BYTES + (i == 0 ? 3 : i == 1 ? 4000 : PAGE_BYTES - 2);

		flip(p->path, at);
		assert_int_equal(read_all(p), RC_CORRUPT);
		assert_non_null(strstr(p->e.text, "page 6 is damaged"));
		flip(p->path, at);
	}
	peek(p->path, 5 * PAGE_BYTES, a, PAGE_BYTES);
	peek(p->path, 6 * PAGE_BYTES, b, PAGE_BYTES);
	poke(p->path, 5 * PAGE_BYTES, b, PAGE_BYTES);
	poke(p->path, 6 * PAGE_BYTES, a, PAGE_BYTES);
	assert_int_equal(read_all(p), RC_CORRUPT);
	poke(p->path, 5 * PAGE_BYTES, a, PAGE_BYTES);
	poke(p->path, 6 * PAGE_BYTES, zero, PAGE_BYTES);
	assert_int_equal(read_all(p), RC_CORRUPT);
	poke(p->path, 6 * PAGE_BYTES, b, PAGE_BYTES);
	assert_int_equal(read_all(p), RC_OK);
	assert_int_equal(truncate(p->path, size_of(p->path) - PAGE_BYTES), 0);
	assert_int_equal(read_all(p), RC_CORRUPT);
	flip(p->path, 100);
	assert_int_equal(read_all(p), RC_CRYPTO);
}

static void test_damaged_wal(void **state)
{
	struct place *p = *state;
	char wal[128];
	struct db *db;

	snprintf(wal, sizeof(wal), "%s-wal", p->path);
	in_killed_child(p, write_and_hang);
	/* The first frames were synced long before the last: damage, not a torn tail. */
	flip(wal, (off_t)wal_disk_offset(2) + 3000);
	assert_int_equal(read_all(p), RC_CORRUPT);
	assert_non_null(strstr(p->e.text, "frame 2 is damaged"));
	flip(wal, (off_t)wal_disk_offset(2) + 3000);
	flip(wal, 5);
	assert_int_equal(read_all(p), RC_CORRUPT);
	flip(wal, 5);
	assert_true(exists(p, "-wal"));
	db = open_db(p, DB_WRITE);
	assert_int_equal(number(p, db, "SELECT count(*) FROM t"), 1507);
	db_close(&db);
}

static void commit_twice(struct place *p)
{
	struct db *db = open_db(p, DB_CREATE);

	make_table(p, db);
	add_rows(p, db, 10);
	add_rows(p, db, 100);
}

/* A tail that a power failure tore is no damage: what was committed before it is there. */
static void test_torn_wal(void **state)
{
	struct place *p = *state;
	char wal[128];
	struct db *db;

	snprintf(wal, sizeof(wal), "%s-wal", p->path);
	in_killed_child(p, commit_twice);
	assert_int_equal(truncate(wal, size_of(wal) - 5000), 0);
	db = open_db(p, DB_WRITE);
	assert_int_equal(number(p, db, "SELECT count(*) FROM t"), 10);
	integrity(p, db);
	add_rows(p, db, 5);
	db_close(&db);
	db = open_db(p, DB_WRITE);
	assert_int_equal(number(p, db, "SELECT count(*) FROM t"), 15);
	db_close(&db);
}

static enum rc scan(struct place *p, const char *wal, const struct page_key *k)
{
	uint8_t header[WAL_HEADER];
	struct file *f;
	enum rc rc;

	EXPECT_OK(file_open(&f, wal, FILE_READ, &p->e), &p->e);
	rc = wal_scan(f, k, header, &p->e);
	file_close(&f);
	return rc;
}

/* Only the last transaction may be torn: the one before it was synced before that was begun, its
 * last page too. */
static void test_damage_before_the_last_transaction(void **state)
{
	struct place *p = *state;
	uint8_t disk[WAL_FRAME_HEADER + CRYPT_OVERHEAD];
	uint8_t head[WAL_FRAME_HEADER];
	uint64_t ends[2] = { 0, 0 }; /* the last, and the one before it */
	struct page_key k;
	char wal[128];

	snprintf(wal, sizeof(wal), "%s-wal", p->path);
	in_killed_child(p, commit_twice);
	page_key_make(&k, key);
	for (uint64_t f = 0; (off_t)wal_disk_offset(f + 1) <= size_of(wal); f++) {
		peek(wal, (off_t)wal_disk_offset(f), disk, sizeof(disk));
		EXPECT_OK(header_open(head, disk, sizeof(head), BOX_FRAME_HEADER, f, &k), &p->e);
		if (head[4] | head[5] | head[6] | head[7]) { /* it ends one */
			ends[1] = ends[0];
			ends[0] = f;
		}
	}
	assert_in_range(ends[1], 1, ends[0] - 1);
	for (uint64_t f = 0; f <= ends[0]; f++) {
		flip(wal, (off_t)wal_disk_offset(f) + 3000);
		assert_int_equal(scan(p, wal, &k), f <= ends[1] ? RC_CORRUPT : RC_OK);
		flip(wal, (off_t)wal_disk_offset(f) + 3000);
	}
}

static void update_page_one(struct place *p)
{
	struct db *db = open_db(p, DB_WRITE);

	exec(p, db, "PRAGMA wal_autocheckpoint=0; PRAGMA user_version=5");
	add_rows(p, db, 5);
}

/* Page 1 torn by a power failure during a checkpoint: its good copy is in the WAL. */
static void test_torn_page_one(void **state)
{
	struct place *p = *state;
	struct db *db;
	char wal[128];

	snprintf(wal, sizeof(wal), "%s-wal", p->path);
	db = open_db(p, DB_CREATE);
	make_table(p, db);
	db_close(&db);
	in_killed_child(p, update_page_one);
	flip(p->path, 5000);
	assert_int_equal(db_open(&db, p->path, other_key, DB_WRITE, &p->e), RC_CRYPTO);
	assert_true(exists(p, "-wal"));
	db = open_db(p, DB_WRITE);
	assert_int_equal(number(p, db, "SELECT count(*) FROM t"), 5);
	assert_int_equal(number(p, db, "PRAGMA user_version"), 5);
	integrity(p, db);
	db_close(&db);
	assert_int_equal(read_all(p), RC_OK);
}
/* So with any page: who opens it first writes it again. */
static void test_torn_page(void **state)
{
	struct place *p = *state;
	struct db *db = open_db(p, DB_CREATE);

	make_table(p, db);
	db_close(&db);
	in_killed_child(p, update_page_one);
	flip(p->path, PAGE_BYTES + 5000);
	db = open_db(p, DB_WRITE);
	EXPECT_OK(db_check(p->path, key, false, &p->e), &p->e);
	db_close(&db);
	flip(p->path, PAGE_BYTES + 5000);
	assert_int_equal(db_check(p->path, key, false, &p->e), RC_CORRUPT);
}

static void test_foreign_journal_is_ignored(void **state)
{
	struct place *p = *state;
	struct db *db = open_db(p, DB_CREATE);
	char journal[128];

	make_table(p, db);
	add_rows(p, db, 5);
	db_close(&db);
	snprintf(journal, sizeof(journal), "%s-journal", p->path);
	EXPECT_OK(file_replace(journal, slice_str("\xd9\xd5\x05\xf9\x20\xa1\x63\xd7junkjunkjunk"),
	                       &p->e),
	          &p->e);
	db = open_db(p, DB_WRITE);
	assert_int_equal(number(p, db, "SELECT count(*) FROM t"), 5);
	db_close(&db);
	EXPECT_OK(db_remove(p->path, &p->e), &p->e);
	assert_false(exists(p, ""));
	assert_false(exists(p, "-journal"));
	EXPECT_OK(db_remove(p->path, &p->e), &p->e);
}

static void test_reader_keeps_its_snapshot(void **state)
{
	struct place *p = *state;
	struct db *w = open_db(p, DB_CREATE);
	struct db *r = open_db(p, DB_READ);

	make_table(p, w);
	add_rows(p, w, 10);
	exec(p, r, "BEGIN");
	assert_int_equal(number(p, r, "SELECT count(*) FROM t"), 10);
	EXPECT_OK(db_begin(w, &p->e), &p->e);
	add_rows(p, w, 10);
	assert_int_equal(number(p, r, "SELECT count(*) FROM t"), 10);
	EXPECT_OK(db_commit(w, &p->e), &p->e);
	exec(p, w, "PRAGMA wal_checkpoint");
	assert_int_equal(number(p, r, "SELECT count(*) FROM t"), 10);
	exec(p, r, "COMMIT");
	assert_int_equal(number(p, r, "SELECT count(*) FROM t"), 20);
	/* A removed file stays readable to those who have it; a new one of its name is another. */
	EXPECT_OK(db_remove(p->path, &p->e), &p->e);
	db_close(&w);
	w = open_db(p, DB_CREATE);
	assert_int_equal(number(p, r, "SELECT count(*) FROM t"), 20);
	assert_int_equal(number(p, w, "SELECT count(*) FROM sqlite_schema"), 0);
	db_close(&r);
	db_close(&w);
}

static void *write_rows(void *arg)
{
	struct place p = *(struct place *)arg;
	struct db *db = open_db(&p, DB_WRITE);

	for (int i = 0; i < 40; i++)
		add_rows(&p, db, 5);
	db_close(&db);
	return NULL;
}

static void *read_rows(void *arg)
{
	struct place p = *(struct place *)arg;

	for (int i = 0; i < 40; i++) {
		struct db *db = open_db(&p, DB_READ);

		assert_int_equal(number(&p, db, "SELECT count(*) FROM t") % 5, 0);
		db_close(&db);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct place *p = *state;
	struct db *db = open_db(p, DB_CREATE);
	pthread_t t[4];

	make_table(p, db);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, i < 2 ? write_rows : read_rows, p), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	assert_int_equal(number(p, db, "SELECT count(*) FROM t"), 400);
	integrity(p, db);
	db_close(&db);
	db = open_db(p, DB_READ);
	assert_int_equal(number(p, db, "SELECT count(*) FROM t"), 400);
	db_close(&db);
}

static void test_other_process(void **state)
{
	struct place *p = *state;
	struct db *db = open_db(p, DB_CREATE);
	struct db *again;
	int status;
	pid_t pid;

	db_close(&db);
	pid = fork();
	if (pid == 0) {
		db = open_db(p, DB_WRITE);
		exec(p, db, "PRAGMA user_version=1");
		kill(getpid(), SIGSTOP);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_int_equal(db_open(&again, p->path, key, DB_WRITE, &p->e), RC_AGAIN);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	db = open_db(p, DB_WRITE);
	assert_int_equal(number(p, db, "PRAGMA user_version"), 1);
	db_close(&db);
}

static void test_sealed(void **state)
{
	struct place *p = *state;
	struct db *db = open_db(p, DB_CREATE);
	struct db *s;

	make_table(p, db);
	add_rows(p, db, 2000);
	exec(p, db, "DELETE FROM t WHERE a % 2 = 0");
	EXPECT_OK(db_seal(db, p->sealed, key, &p->e), &p->e);
	assert_int_equal(number(p, db, "SELECT count(*) FROM t"), 1000);
	db_close(&db);
	assert_true(size_of(p->sealed) < size_of(p->path) / 4);
	EXPECT_OK(db_remove(p->path, &p->e), &p->e);
	expect_sealed_words(p, 1);

	EXPECT_OK(db_open_sealed(&s, p->sealed, key, &p->e), &p->e);
	integrity(p, s);
	assert_int_equal(number(p, s, "SELECT count(*) FROM t"), 1000);
	assert_int_equal(number(p, s, "SELECT count(*) FROM t WHERE secretcolumn LIKE '%wort 77%'"),
	                 6);
	assert_int_equal(db_exec(s, "DELETE FROM t", &p->e), RC_DENIED);
	/* What is unlinked stays readable to those who have it. */
	EXPECT_OK(file_remove(p->sealed, &p->e), &p->e);
	assert_int_equal(number(p, s, "SELECT sum(a) FROM t"), 1000000);
	db_close(&s);
	assert_int_equal(db_open_sealed(&s, p->sealed, key, &p->e), RC_NOTFOUND);
}

static enum rc read_sealed(struct place *p)
{
	struct db *db;
	int64_t n;
	enum rc rc = db_open_sealed(&db, p->sealed, key, &p->e);

	if (rc == RC_OK)
		rc = db_int(db, "SELECT sum(length(secretcolumn)) FROM t", 0, &n, &p->e);
	db_close(&db);
	return rc;
}

static void test_tampered_sealed(void **state)
{
	struct place *p = *state;
	struct db *db = open_db(p, DB_CREATE);
	off_t size;

	make_table(p, db);
	add_rows(p, db, 500);
	EXPECT_OK(db_seal(db, p->sealed, key, &p->e), &p->e);
	/* Again over the old one, under another key. */
	EXPECT_OK(db_seal(db, p->sealed, other_key, &p->e), &p->e);
	db_close(&db);
	assert_int_equal(read_sealed(p), RC_CRYPTO);
	assert_int_equal(db_open(&db, p->path, key, DB_WRITE, &p->e), RC_OK);
	EXPECT_OK(db_seal(db, p->sealed, key, &p->e), &p->e);
	db_close(&db);
	assert_int_equal(read_sealed(p), RC_OK);
	size = size_of(p->sealed);
	for (off_t at = 0; at < size; at += at < 200 ? 1 : size / 37) {
		flip(p->sealed, at);
		EXPECT("a flipped bit", read_sealed(p) != RC_OK);
		flip(p->sealed, at);
	}
	assert_int_equal(read_sealed(p), RC_OK);
	assert_int_equal(truncate(p->sealed, size - 1), 0);
	assert_int_equal(read_sealed(p), RC_CORRUPT);
	assert_int_equal(truncate(p->sealed, 70), 0);
	assert_int_equal(read_sealed(p), RC_CORRUPT);
}

static void test_odd_path(void **state)
{
	struct place *p = *state;
	struct db *db;

	snprintf(p->path, sizeof(p->path), "%s/100%% a?b#c.db", p->dir);
	db = open_db(p, DB_CREATE);
	make_table(p, db);
	add_rows(p, db, 2);
	db_close(&db);
	assert_true(file_exists(p->path));
	db = open_db(p, DB_WRITE);
	assert_int_equal(number(p, db, "SELECT count(*) FROM t"), 2);
	snprintf(p->sealed, sizeof(p->sealed), "%s/100%% a?b#c.shard", p->dir);
	EXPECT_OK(db_seal(db, p->sealed, key, &p->e), &p->e);
	EXPECT_OK(db_check(p->path, key, false, &p->e), &p->e);
	EXPECT_OK(db_check(p->sealed, key, true, &p->e), &p->e);
	db_close(&db);
	EXPECT_OK(db_open_sealed(&db, p->sealed, key, &p->e), &p->e);
	assert_int_equal(number(p, db, "SELECT count(*) FROM t"), 2);
	db_close(&db);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_rows_survive_close),
		CASE(test_changes_are_counted),
		CASE(test_kept_statements),
		CASE(test_ends_of_transactions),
		CASE(test_settings),
		CASE(test_no_word_on_disk),
		CASE(test_wrong_key),
		CASE(test_killed_writer),
		CASE(test_pages_written_twice),
		CASE(test_wrong_key_keeps_wal),
		CASE(test_foreign_journal_is_ignored),
		CASE(test_reader_keeps_its_snapshot),
		CASE(test_threads),
		CASE(test_other_process),
		CASE(test_sealed),
		CASE(test_odd_path),
		CASE(test_tampered_page),
		CASE(test_damaged_wal),
		CASE(test_torn_wal),
		CASE(test_damage_before_the_last_transaction),
		CASE(test_torn_page_one),
		CASE(test_torn_page),
		CASE(test_tampered_sealed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
