/*
 * tests/fuzz/fuzz_vfs.c - files that someone changed: an error or the right answer, never a crash
 *
 * The first byte says what the rest is: a database, its WAL, or a sealed database, made of input
 * alone; or (bit 2) changes to good ones: pairs of a position (3 bytes) and a byte.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "store/db.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t key[KEY_BYTES] = { 3 };
static char dir[64];
static struct buf good[3]; /* database, WAL, sealed */
static const char *const names[3] = { "x.db", "x.db-wal", "x.shard" };

static char *path_of(unsigned i)
{
	return path_join(dir, names[i]);
}

static void put(unsigned i, struct slice bytes)
{
	char *path = path_of(i);
	struct file *f;

	MUST(file_open(&f, path, FILE_APPEND, NULL) == RC_OK);
	MUST(file_truncate(f, 0, NULL) == RC_OK);
	MUST(file_write_at(f, bytes, 0, NULL) == RC_OK);
	file_close(&f);
	free(path);
}

static void clean_up(void)
{
	for (unsigned i = 0; i < 3; i++) {
		char *path = path_of(i);

		if (db_remove(path, NULL) != RC_OK)
			fprintf(stderr, "%s stays\n", path);
		free(path);
		buf_free(&good[i]);
	}
	(void)rmdir(dir);
}

/* A database with a WAL that is not checkpointed, and its sealed form. */
static void make_good(void)
{
	char *path;
	struct db *db;
	char *sealed;

	(void)snprintf(dir, sizeof(dir), "/tmp/mm-fuzz-vfs-XXXXXX");
	MUST(mkdtemp(dir));
	path = path_of(0);
	sealed = path_of(2);
	MUST(db_open(&db, path, key, DB_CREATE, NULL) == RC_OK);
	MUST(db_exec(db,
	             "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT); PRAGMA wal_checkpoint;"
	             "INSERT INTO t(b) VALUES('one'), ('two'); INSERT INTO t(b) VALUES('three')",
	             NULL) == RC_OK);
	MUST(db_seal(db, sealed, key, NULL) == RC_OK);
	for (unsigned i = 0; i < 3; i++) {
		char *p = path_of(i);

		buf_init(&good[i], 1 << 24);
		MUST(file_read_all(p, &good[i], NULL) == RC_OK);
		free(p);
	}
	db_close(&db);
	free(path);
	free(sealed);
	(void)atexit(clean_up);
}

static void change(struct buf *b, struct slice changes)
{
	for (; changes.len >= 4; changes = slice_from(changes, 4)) {
		size_t at =
		        (size_t)changes.at[0] << 16 | (size_t)changes.at[1] << 8 | changes.at[2];

		if (at < b->len)
			b->at[at] = changes.at[3];
		else if (at - b->len < b->len)
			b->len = at - b->len;
	}
}

static void use(enum rc rc, struct db *db)
{
	int64_t n;

	if (rc == RC_OK && db_int(db, "SELECT sum(length(b)) FROM t", -1, &n, NULL) == RC_OK)
		/* All; or without what was in a WAL that is cut, or that is not there. */
		MUST(n == 11 || n == 6 || n == 0);
	db_close(&db);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of(data + 1, size ? size - 1 : 0);
	char *path;
	char *sealed;
	struct db *db;
	enum rc rc;

	if (!dir[0])
		make_good();
	if (size == 0 || data[0] % 4 == 3)
		return 0;
	path = path_of(0);
	sealed = path_of(2);
	MUST(db_remove(path, NULL) == RC_OK);
	for (unsigned i = 0; i < 3; i++) {
		struct buf b;

		buf_init(&b, 1 << 24);
		MUST(buf_add(&b, buf_slice(&good[i])) == RC_OK);
		if (i == data[0] % 4 && data[0] & 4)
			change(&b, rest);
		put(i, i == data[0] % 4 && !(data[0] & 4) ? rest : buf_slice(&b));
		buf_free(&b);
	}
	if (data[0] % 4 == 2) {
		rc = db_open_sealed(&db, sealed, key, NULL);
	} else {
		/* Half of the time as a reader would find it. */
		rc = db_open(&db, path, key, data[0] & 8 ? DB_READ : DB_WRITE, NULL);
		if (rc == RC_OK && !(data[0] & 8) &&
		    db_exec(db, "UPDATE t SET a = a + 10", NULL) != RC_OK)
			db_rollback(db);
	}
	use(rc, db);
	free(path);
	free(sealed);
	return 0;
}
