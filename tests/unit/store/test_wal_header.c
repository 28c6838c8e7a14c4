#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "store/db.h"
#include "store/vfs.h"
#include "tests/unit/store/scratch.h"

/* A log is begun anew by a header over the old one. One that doesn't open is taken for that where
 * nothing can be lost by it, and only there. Copies of a database that is open are what a kill
 * leaves. */

static const uint8_t key[KEY_BYTES] = { 1, 2, 3 };

struct place {
	struct scratch s;
	struct db *live;
	unsigned copies;
	struct err e;
};

static struct db *open_at(struct place *p, const char *folder)
{
	char path[160];
	struct db *db;

	(void)snprintf(path, sizeof(path), "%s/%s/x.db", p->s.dir, folder);
	EXPECT_OK(db_open(&db, path, key, DB_CREATE, &p->e), &p->e);
	return db;
}

static int setup(void **state)
{
	struct place *p = mem_new(sizeof(*p));
	char *live;

	scratch_make(&p->s);
	live = scratch_path(&p->s, "live");
	EXPECT_OK(dir_make(live, &p->e), &p->e);
	free(live);
	p->live = open_at(p, "live");
	EXPECT_OK(db_exec(p->live, "CREATE TABLE t(x); INSERT INTO t VALUES('begun')", &p->e),
	          &p->e);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	db_close(&p->live);
	scratch_remove(&p->s);
	free(p);
	return 0;
}

/* Rows of several pages. */
static void insert(struct place *p, const char *what)
{
	char sql[200];

	(void)snprintf(sql, sizeof(sql),
	               "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 40) "
	               "INSERT INTO t SELECT '%s' || printf('%%0900d', i) FROM n",
	               what);
	EXPECT_OK(db_exec(p->live, sql, &p->e), &p->e);
}

static void checkpoint(struct place *p)
{
	EXPECT_OK(db_exec(p->live, "PRAGMA wal_checkpoint(FULL)", &p->e), &p->e);
}

/* What lies on the disk now: the name of its folder. */
static const char *now(struct place *p, char name[16])
{
	char *from = scratch_path(&p->s, "live");
	char *to;

	(void)snprintf(name, 16, "copy%u", ++p->copies);
	to = scratch_path(&p->s, name);
	scratch_copy(from, to);
	free(from);
	free(to);
	return name;
}

static struct file *open_wal(struct place *p, const char *folder)
{
	char path[160];
	struct file *f;

	(void)snprintf(path, sizeof(path), "%s/%s/x.db-wal", p->s.dir, folder);
	EXPECT_OK(file_open(&f, path, FILE_WRITE, &p->e), &p->e);
	return f;
}

/* Bytes [at, at + n) of one log into another. */
static void graft(struct place *p, const char *from, const char *to, uint64_t at, size_t n)
{
	uint8_t bytes[WAL_FRAME_DISK];
	struct file *f = open_wal(p, from);

	EXPECT_OK(file_read_at(f, bytes, n, at, &p->e), &p->e);
	file_close(&f);
	f = open_wal(p, to);
	EXPECT_OK(file_write_at(f, slice_of(bytes, n), at, &p->e), &p->e);
	file_close(&f);
}

static void flip(struct place *p, const char *folder, uint64_t at)
{
	struct file *f = open_wal(p, folder);
	uint8_t byte;

	EXPECT_OK(file_read_at(f, &byte, 1, at, &p->e), &p->e);
	byte ^= 1;
	EXPECT_OK(file_write_at(f, slice_of(&byte, 1), at, &p->e), &p->e);
	file_close(&f);
}

static uint64_t wal_bytes(struct place *p, const char *folder)
{
	struct file *f = open_wal(p, folder);
	uint64_t size;

	EXPECT_OK(file_size(f, &size, &p->e), &p->e);
	file_close(&f);
	return size;
}

/* It opens, has so many rows, and goes on. */
static void goes_on(struct place *p, const char *folder, int64_t rows)
{
	for (int i = 0; i < 2; i++) {
		struct db *db = open_at(p, folder);
		int64_t n;

		EXPECT_OK(db_int(db, "SELECT count(*) FROM t", 0, &n, &p->e), &p->e);
		assert_int_equal(n, rows + i);
		EXPECT_OK(db_exec(db, "INSERT INTO t VALUES('more')", &p->e), &p->e);
		db_close(&db);
	}
}

static void is_refused(struct place *p, const char *folder)
{
	uint64_t before = wal_bytes(p, folder);
	char path[160];
	struct db *db;

	(void)snprintf(path, sizeof(path), "%s/%s/x.db", p->s.dir, folder);
	assert_int_equal(db_open(&db, path, key, DB_WRITE, &p->e), RC_CORRUPT);
	assert_non_null(strstr(p->e.text, "x.db-wal: the header is damaged"));
	assert_int_equal(wal_bytes(p, folder), before);
}

/* Killed at any byte of the header that begins a log anew. */
static void test_half_a_header(void **state)
{
	struct place *p = *state;
	int64_t rows = 1;

	for (size_t n = 1; n < WAL_HEADER_DISK; n += 10) {
		char old[16], new[16];

		insert(p, "a");
		rows += 40;
		checkpoint(p);
		now(p, old);
		insert(p, "b");
		rows += 40;
		graft(p, now(p, new), old, 0, n);
		goes_on(p, old, rows - 40);
		goes_on(p, new, rows);
	}
}

/* Damage of a log that has what the database doesn't. */
static void test_a_log_that_is_wanted(void **state)
{
	struct place *p = *state;
	char name[16];

	insert(p, "a");
	flip(p, now(p, name), 7); /* nothing is in the database */
	is_refused(p, name);
	checkpoint(p);
	insert(p, "b"); /* in frames that lie over those of before */
	flip(p, now(p, name), 7);
	is_refused(p, name);
	flip(p, name, 7); /* the control: with its header there is nothing wrong with it */
	goes_on(p, name, 81);
}

/* One page of many is another in the database: by a transaction of one row. */
static void test_one_page(void **state)
{
	struct place *p = *state;
	char before[16], after[16];

	insert(p, "a");
	checkpoint(p);
	now(p, before);
	EXPECT_OK(db_exec(p->live, "UPDATE t SET x = 'changed' WHERE rowid = 20", &p->e), &p->e);
	checkpoint(p);
	now(p, after);
	flip(p, after, 7);
	goes_on(p, after, 41);
	/* The database of before beside the log of after. */
	now(p, after);
	flip(p, after, 7);
	{
		char *from = scratch_path(&p->s, before), *to = scratch_path(&p->s, after);
		char *x = path_join(from, "x.db"), *y = path_join(to, "x.db");

		EXPECT_OK(file_remove(y, &p->e), &p->e);
		assert_int_equal(rename(x, y), 0);
		free(x);
		free(y);
		free(from);
		free(to);
	}
	is_refused(p, after);
}

/* What can't be read can't be compared. */
static void test_frames_that_are_damaged_too(void **state)
{
	struct place *p = *state;
	char name[16];

	insert(p, "a");
	insert(p, "b");
	checkpoint(p);
	for (uint64_t frame = 0; frame < 3; frame++)
		for (int in_page = 0; in_page < 2; in_page++) {
			flip(p, now(p, name), 7);
			flip(p, name,
			     wal_disk_offset(frame) +
			             (in_page ? WAL_FRAME_HEADER + CRYPT_OVERHEAD + 90 : 5));
			is_refused(p, name);
		}
	flip(p, now(p, name), 7); /* the control */
	goes_on(p, name, 81);
}

/* A reader keeps the log from being begun anew, so that what follows a checkpoint is behind what it
 * took. */
static void test_behind_a_checkpoint(void **state)
{
	struct place *p = *state;
	struct db *reader;
	char name[16];
	int64_t n;
	uint64_t at;

	insert(p, "a");
	reader = open_at(p, "live");
	EXPECT_OK(db_exec(reader, "BEGIN", &p->e), &p->e);
	EXPECT_OK(db_int(reader, "SELECT count(*) FROM t", 0, &n, &p->e), &p->e);
	EXPECT_OK(db_exec(p->live, "PRAGMA wal_checkpoint", &p->e), &p->e);
	flip(p, now(p, name), 7); /* the control: so far all of it is in the database */
	goes_on(p, name, 41);
	at = wal_bytes(p, "live");
	EXPECT_OK(db_exec(p->live, "UPDATE t SET x = 'one' WHERE rowid = 9", &p->e), &p->e);
	EXPECT_OK(db_exec(p->live, "UPDATE t SET x = 'two' WHERE rowid = 30", &p->e), &p->e);
	assert_int_equal(wal_bytes(p, "live"), at + 2 * WAL_FRAME_DISK);
	flip(p, now(p, name), 7);
	is_refused(p, name);
	/* The page of the first of them; its header, and the second, say that it was there. */
	flip(p, name, at + WAL_FRAME_HEADER + CRYPT_OVERHEAD + 90);
	is_refused(p, name);
	/* All of the second that nothing follows, or that either of them ended. */
	flip(p, now(p, name), 7);
	flip(p, name, at + WAL_FRAME_DISK + WAL_FRAME_HEADER + CRYPT_OVERHEAD + 90);
	is_refused(p, name);
	flip(p, now(p, name), 7);
	flip(p, name, at + WAL_FRAME_DISK + 5);
	is_refused(p, name);
	flip(p, now(p, name), 7);
	flip(p, name, at + 5);
	is_refused(p, name);
	db_close(&reader);
}

/* Frames that were never committed: of a transaction that was too large for memory. */
static void test_nothing_is_committed(void **state)
{
	struct place *p = *state;
	char name[16];

	EXPECT_OK(db_exec(p->live, "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA cache_size = 1; BEGIN",
	                  &p->e),
	          &p->e);
	for (int i = 0; i < 5; i++)
		insert(p, "spilled");
	assert_true(wal_bytes(p, "live") > WAL_HEADER_DISK + WAL_FRAME_DISK);
	flip(p, now(p, name), 7);
	goes_on(p, name, 1);
	flip(p, now(p, name), 7);
	flip(p, name, wal_disk_offset(1) + 5); /* who knows what it was */
	is_refused(p, name);
	db_rollback(p->live);
}

/* So that two kills don't meet in one header. */
static void test_an_open_leaves_it_empty(void **state)
{
	struct place *p = *state;
	char name[16];
	struct db *db;

	insert(p, "a");
	assert_true(wal_bytes(p, now(p, name)) > 0);
	db = open_at(p, name);
	assert_int_equal(wal_bytes(p, name), 0);
	db_close(&db);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_half_a_header),
		CASE(test_a_log_that_is_wanted),
		CASE(test_one_page),
		CASE(test_frames_that_are_damaged_too),
		CASE(test_behind_a_checkpoint),
		CASE(test_nothing_is_committed),
		CASE(test_an_open_leaves_it_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
