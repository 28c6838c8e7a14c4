#include "store/db.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "store/vfs.h"

/* The vacuumed copy is encrypted like any database, under a key that only this call knows. */
static enum rc vacuum_into(struct db *from, const char *path, const uint8_t key[KEY_BYTES],
                           struct err *e)
{
	sqlite3 *s = db_sqlite(from);
	char tail[96];
	size_t room = strlen(path) * 3 + sizeof(tail) + 16;
	char *uri = mem_new(room);
	int64_t number = vfs_key_add(key);
	struct stmt *stmt;
	enum rc rc;

	(void)snprintf(tail, sizeof(tail), "?vfs=" VFS_CRYPT "&copy=1&key=%lld", (long long)number);
	vfs_uri(uri, room, path, tail);
	/* VACUUM attaches its target. */
	(void)sqlite3_limit(s, SQLITE_LIMIT_ATTACHED, 1);
	rc = db_prepare(from, &stmt, "VACUUM INTO ?1", e);
	if (rc == RC_OK) {
		stmt_bind_text(stmt, 1, slice_str(uri));
		rc = stmt_run(stmt, e);
		stmt_free(&stmt);
	}
	(void)sqlite3_limit(s, SQLITE_LIMIT_ATTACHED, 0);
	vfs_key_drop(number);
	free(uri);
	return rc;
}

static enum rc read_pages(void *arg, uint8_t *to, size_t n, uint64_t at, struct err *e)
{
	struct node *node = arg;
	bool there;

	for (size_t done = 0; done < n; done += PAGE_BYTES) {
		enum rc rc =
		        node_page_read(node, to + done, (at + done) / PAGE_BYTES + 1, &there, e);

		if (rc == RC_OK && !there)
			rc = err_set(e, RC_CORRUPT, "the vacuumed copy ends early");
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

static enum rc pack(const char *copy, const uint8_t copy_key[KEY_BYTES], const char *path,
                    const uint8_t key[KEY_BYTES], struct err *e)
{
	struct node *n;
	uint64_t bytes = 0;
	enum rc rc = node_open(&n, copy, copy_key, false, e);

	if (rc != RC_OK)
		return rc;
	rc = node_size(n, &bytes, e);
	if (rc == RC_OK)
		rc = sealed_write(path, key, bytes - bytes % PAGE_BYTES, read_pages, n, e);
	node_close(&n);
	return rc;
}

static enum rc remove_if_there(const char *path, struct err *e)
{
	return file_exists(path) ? file_remove(path, e) : RC_OK;
}

/* Clears away after a failure, whose error is the one to tell. What stays is removed next time. */
static void drop(const char *path)
{
	if (file_exists(path) && db_remove(path, NULL) != RC_OK)
		log_warn("%s: could not be removed", path);
}

static enum rc finish(const char *fresh, const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');
	char *dir =
	        slash ? slice_string(slice_of(path, (size_t)(slash - path) + 1)) : mem_string(".");
	enum rc rc = file_rename(fresh, path, e);

	if (rc == RC_OK)
		rc = dir_sync(dir, e);
	free(dir);
	return rc;
}

enum rc db_vacuum(struct db *db, struct err *e)
{
	enum rc rc;

	(void)sqlite3_limit(db_sqlite(db), SQLITE_LIMIT_ATTACHED, 1);
	rc = db_exec(db, "VACUUM", e);
	(void)sqlite3_limit(db_sqlite(db), SQLITE_LIMIT_ATTACHED, 0);
	return rc;
}

enum rc db_seal(struct db *from, const char *path, const uint8_t key[KEY_BYTES], struct err *e)
{
	char copy[PATH_MAX];
	char fresh[PATH_MAX];
	char full[PATH_MAX];
	uint8_t copy_key[KEY_BYTES];
	enum rc rc;

	if (!vfs_full_path(path, full) ||
	    (size_t)snprintf(copy, sizeof(copy), "%s.tmp", full) >= sizeof(copy) ||
	    (size_t)snprintf(fresh, sizeof(fresh), "%s.new", full) >= sizeof(fresh))
		return err_set(e, RC_INVALID, "%s: not a path that can be sealed to", path);
	rc = db_remove(copy, e);
	if (rc == RC_OK)
		rc = remove_if_there(fresh, e);
	if (rc != RC_OK)
		return rc;
	crypt_random(copy_key, sizeof(copy_key));
	rc = vacuum_into(from, copy, copy_key, e);
	if (rc == RC_OK)
		rc = pack(copy, copy_key, fresh, key, e);
	if (rc == RC_OK)
		rc = finish(fresh, full, e);
	crypt_wipe(copy_key, sizeof(copy_key));
	if (rc != RC_OK) {
		drop(fresh);
		drop(copy);
		return rc;
	}
	return db_remove(copy, e);
}

static enum rc check_sealed(const char *path, const uint8_t key[KEY_BYTES], struct err *e)
{
	struct sealed *s;
	uint8_t byte;
	enum rc rc = sealed_open(&s, path, key, e);

	if (rc != RC_OK)
		return rc;
	for (uint64_t at = 0; rc == RC_OK && at < sealed_size(s); at += SEALED_CHUNK)
		rc = sealed_read(s, &byte, 1, at, e);
	sealed_close(&s);
	return rc;
}

static enum rc check_pages(struct node *n, struct err *e)
{
	uint64_t bytes = 0;
	enum rc rc = node_size(n, &bytes, e);

	for (uint64_t i = 1; rc == RC_OK && i <= bytes / PAGE_BYTES; i++)
		rc = node_page_check(n, i, e);
	return rc;
}

enum rc db_check(const char *path, const uint8_t key[KEY_BYTES], bool sealed, struct err *e)
{
	char full[PATH_MAX];
	struct node *n;
	struct db *db;
	enum rc rc;

	vfs_init();
	if (sealed)
		return check_sealed(path, key, e);
	if (!vfs_full_path(path, full))
		return err_set(e, RC_INVALID, "%s: no such path", path);
	rc = db_open(&db, path, key, DB_WRITE, e);
	if (rc != RC_OK)
		return rc;
	n = node_find(full);
	MUST(n);
	rc = check_pages(n, e);
	if (rc == RC_OK)
		rc = node_wal_check(n, e);
	node_close(&n);
	db_close(&db);
	return rc;
}

enum rc db_sealed_root(const char *path, const uint8_t key[KEY_BYTES], uint8_t root[32],
                       struct err *e)
{
	struct sealed *s;
	enum rc rc;

	vfs_init();
	rc = sealed_open(&s, path, key, e);
	if (rc != RC_OK)
		return rc;
	sealed_root(s, root);
	sealed_close(&s);
	return RC_OK;
}
