#include "store/vfs.h"

#include <stdlib.h>
#include <string.h>

/* A file as SQLite has it: the database or its WAL, and this connection's locks on the node. */
struct handle {
	sqlite3_file base;
	struct node *node;
	bool is_wal;
	struct node_user user;
};

static struct handle *handle_of(sqlite3_file *f)
{
	return (struct handle *)(void *)f;
}

static int crypt_close(sqlite3_file *f)
{
	struct handle *h = handle_of(f);

	if (h->is_wal) {
		node_wal_close(h->node);
	} else {
		node_shm_unmap(h->node, &h->user);
		node_unlock(h->node, &h->user, SQLITE_LOCK_NONE);
	}
	node_close(&h->node);
	h->base.pMethods = NULL;
	return SQLITE_OK;
}

/* SQLite reads whole pages, and parts of page 1. */
static int main_read(struct handle *h, uint8_t *to, size_t n, uint64_t at)
{
	uint8_t page[PAGE_BYTES];
	size_t part = (size_t)(at % PAGE_BYTES);
	bool there;
	enum rc rc;

	if (part + n > PAGE_BYTES)
		return vfs_code(err_set(vfs_error(), RC_IO, "a read of %zu bytes at %llu", n,
		                        (unsigned long long)at));
	rc = node_page_read(h->node, page, at / PAGE_BYTES + 1, &there, vfs_error());
	/* Before it has opened the WAL, SQLite looks into page 1 for the page size. If a power
	 * failure tore that page, its good copy is in the WAL (node_check), and our sizes are
	 * known. */
	if (rc == RC_CORRUPT && at + n <= 100) {
		page_template(page);
		vfs_error_clear();
		rc = RC_OK;
	}
	if (rc != RC_OK)
		return vfs_code(rc);
	if (!there) {
		memset(to, 0, n);
		return SQLITE_IOERR_SHORT_READ;
	}
	memcpy(to, page + part, n);
	return SQLITE_OK;
}

static int crypt_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	struct handle *h = handle_of(f);
	size_t got;
	enum rc rc;

	if (!h->is_wal)
		return main_read(h, to, (size_t)n, (uint64_t)at);
	rc = node_wal_read(h->node, to, (size_t)n, (uint64_t)at, &got, vfs_error());
	if (rc != RC_OK)
		return vfs_code(rc);
	if (got < (size_t)n) {
		memset((uint8_t *)to + got, 0, (size_t)n - got);
		return SQLITE_IOERR_SHORT_READ;
	}
	return SQLITE_OK;
}

static int crypt_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
	struct handle *h = handle_of(f);

	if (h->is_wal)
		return vfs_code(
		        node_wal_write(h->node, from, (size_t)n, (uint64_t)at, vfs_error()));
	if (n != PAGE_BYTES || at % PAGE_BYTES != 0)
		return vfs_code(err_set(vfs_error(), RC_IO, "a write of %d bytes at %lld", n,
		                        (long long)at));
	return vfs_code(node_page_write(h->node, from, (uint64_t)at / PAGE_BYTES + 1, vfs_error()));
}

static int crypt_truncate(sqlite3_file *f, sqlite3_int64 bytes)
{
	struct handle *h = handle_of(f);

	if (h->is_wal)
		return vfs_code(node_wal_resize(h->node, (uint64_t)bytes, vfs_error()));
	return vfs_code(node_resize(h->node, (uint64_t)bytes, vfs_error()));
}

static int crypt_sync(sqlite3_file *f, int flags)
{
	struct handle *h = handle_of(f);

	(void)flags;
	return vfs_code(h->is_wal ? node_wal_sync(h->node, vfs_error())
	                          : node_sync(h->node, vfs_error()));
}

static int crypt_size(sqlite3_file *f, sqlite3_int64 *bytes)
{
	struct handle *h = handle_of(f);
	uint64_t size = 0;
	enum rc rc = h->is_wal ? node_wal_size(h->node, &size, vfs_error())
	                       : node_size(h->node, &size, vfs_error());

	*bytes = (sqlite3_int64)size;
	return vfs_code(rc);
}

static int crypt_lock(sqlite3_file *f, int level)
{
	struct handle *h = handle_of(f);

	return node_lock(h->node, &h->user, level) ? SQLITE_OK : SQLITE_BUSY;
}

static int crypt_unlock(sqlite3_file *f, int level)
{
	struct handle *h = handle_of(f);

	node_unlock(h->node, &h->user, level);
	return SQLITE_OK;
}

static int crypt_reserved(sqlite3_file *f, int *out)
{
	*out = node_reserved(handle_of(f)->node);
	return SQLITE_OK;
}

static int crypt_control(sqlite3_file *f, int op, void *arg)
{
	if (op != VFS_CONTROL_FIRST)
		return SQLITE_NOTFOUND;
	*(bool *)arg = node_first(handle_of(f)->node);
	return SQLITE_OK;
}

static int no_control(sqlite3_file *f, int op, void *arg)
{
	(void)f;
	(void)op;
	(void)arg;
	return SQLITE_NOTFOUND;
}

static int crypt_sector(sqlite3_file *f)
{
	(void)f;
	return 4096;
}

/* A write leaves the bytes beside it alone: without it SQLite pads commits with copies of frames.
 */
static int crypt_device(sqlite3_file *f)
{
	(void)f;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static int crypt_shm_map(sqlite3_file *f, int region, int bytes, int extend, void volatile **at)
{
	struct handle *h = handle_of(f);

	*at = node_shm(h->node, &h->user, (unsigned)region, (size_t)bytes, extend != 0);
	return SQLITE_OK;
}

static int crypt_shm_lock(sqlite3_file *f, int from, int count, int flags)
{
	struct handle *h = handle_of(f);

	if (flags & SQLITE_SHM_UNLOCK) {
		node_shm_unlock(h->node, &h->user, (unsigned)from, (unsigned)count);
		return SQLITE_OK;
	}
	return node_shm_lock(h->node, &h->user, (unsigned)from, (unsigned)count,
	                     (flags & SQLITE_SHM_EXCLUSIVE) != 0)
	               ? SQLITE_OK
	               : SQLITE_BUSY;
}

static void crypt_shm_barrier(sqlite3_file *f)
{
	(void)f;
	__sync_synchronize();
}

static int crypt_shm_unmap(sqlite3_file *f, int remove)
{
	struct handle *h = handle_of(f);

	(void)remove;
	node_shm_unmap(h->node, &h->user);
	return SQLITE_OK;
}

/* Version 2: WAL, and no memory mapping, which would go past the decryption. */
static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = crypt_close,
	.xRead = crypt_read,
	.xWrite = crypt_write,
	.xTruncate = crypt_truncate,
	.xSync = crypt_sync,
	.xFileSize = crypt_size,
	.xLock = crypt_lock,
	.xUnlock = crypt_unlock,
	.xCheckReservedLock = crypt_reserved,
	.xFileControl = crypt_control,
	.xSectorSize = crypt_sector,
	.xDeviceCharacteristics = crypt_device,
	.xShmMap = crypt_shm_map,
	.xShmLock = crypt_shm_lock,
	.xShmBarrier = crypt_shm_barrier,
	.xShmUnmap = crypt_shm_unmap,
};

static enum rc open_main(struct handle *h, const char *name, bool create)
{
	uint8_t key[KEY_BYTES];
	enum rc rc;

	if (!vfs_key_get(sqlite3_uri_int64(name, "key", 0), key))
		return err_set(vfs_error(), RC_CRYPTO, "%s: no key was given", name);
	rc = node_open(&h->node, name, key, create, vfs_error());
	crypt_wipe(key, sizeof(key));
	return rc;
}

static enum rc open_wal(struct handle *h, const char *name, bool create)
{
	const char *database = sqlite3_filename_database(name);
	enum rc rc;

	h->is_wal = true;
	h->node = node_find(database);
	if (!h->node)
		return err_set(vfs_error(), RC_IO, "%s: its database is not open", name);
	rc = node_wal_open(h->node, create, vfs_error());
	if (rc != RC_OK)
		node_close(&h->node);
	return rc;
}

/* The copy that VACUUM INTO writes begins empty and is thrown away if anything fails, so there is
 * nothing to roll back: what SQLite would note in its journal goes nowhere. */
static int nothing_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	(void)f;
	(void)at;
	memset(to, 0, (size_t)n);
	return SQLITE_IOERR_SHORT_READ;
}

static int nothing_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
	(void)f;
	(void)from;
	(void)n;
	(void)at;
	return SQLITE_OK;
}

static int nothing_resize(sqlite3_file *f, sqlite3_int64 bytes)
{
	(void)f;
	(void)bytes;
	return SQLITE_OK;
}

static int nothing_size(sqlite3_file *f, sqlite3_int64 *bytes)
{
	(void)f;
	*bytes = 0;
	return SQLITE_OK;
}

static int nothing_int(sqlite3_file *f, int value)
{
	(void)f;
	(void)value;
	return SQLITE_OK;
}

static int nothing_close(sqlite3_file *f)
{
	f->pMethods = NULL;
	return SQLITE_OK;
}

static int nothing_reserved(sqlite3_file *f, int *out)
{
	(void)f;
	*out = 0;
	return SQLITE_OK;
}

static const sqlite3_io_methods nothing = {
	.iVersion = 1,
	.xClose = nothing_close,
	.xRead = nothing_read,
	.xWrite = nothing_write,
	.xTruncate = nothing_resize,
	.xSync = nothing_int,
	.xFileSize = nothing_size,
	.xLock = nothing_int,
	.xUnlock = nothing_int,
	.xCheckReservedLock = nothing_reserved,
	.xFileControl = no_control,
	.xSectorSize = crypt_sector,
	.xDeviceCharacteristics = crypt_device,
};

static bool is_copy_journal(const char *name, int flags)
{
	return name && flags & SQLITE_OPEN_MAIN_JOURNAL &&
	       sqlite3_uri_boolean(sqlite3_filename_database(name), "copy", 0);
}

static int crypt_open_file(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
	struct handle *h = handle_of(f);
	bool create = (flags & SQLITE_OPEN_CREATE) != 0;
	enum rc rc;

	(void)v;
	memset(h, 0, sizeof(*h));
	if (is_copy_journal(name, flags)) {
		h->base.pMethods = &nothing;
		if (out)
			*out = flags;
		return SQLITE_OK;
	}
	if (name && flags & SQLITE_OPEN_MAIN_DB)
		rc = open_main(h, name, create);
	else if (name && flags & SQLITE_OPEN_WAL)
		rc = open_wal(h, name, create);
	else
		rc = err_set(vfs_error(), RC_IO, "%s: journals and temporary files are refused",
		             name ? name : "(unnamed)");
	if (rc != RC_OK)
		return SQLITE_CANTOPEN;
	h->base.pMethods = &methods;
	if (out)
		*out = flags;
	return SQLITE_OK;
}

/* None is ever ours. */
static bool is_journal(const char *name)
{
	return slice_ends_nocase(slice_str(name), slice_str("-journal"));
}

static int crypt_delete(sqlite3_vfs *v, const char *name, int sync_dir)
{
	const char *slash = strrchr(name, '/');
	char *dir;
	enum rc rc;

	(void)v;
	if (is_journal(name))
		return SQLITE_OK;
	rc = file_remove(name, vfs_error());
	if (rc == RC_NOTFOUND) {
		vfs_error_clear();
		return SQLITE_IOERR_DELETE_NOENT;
	}
	if (rc == RC_OK && sync_dir && slash) {
		dir = slice_string(slice_of(name, (size_t)(slash - name)));
		rc = dir_sync(slash == name ? "/" : dir, vfs_error());
		free(dir);
	}
	return rc == RC_OK ? SQLITE_OK : SQLITE_IOERR_DELETE;
}

/* A journal that someone put beside the database is not ours, and never rolled back. */
static int crypt_access(sqlite3_vfs *v, const char *name, int flags, int *out)
{
	(void)v;
	(void)flags;
	*out = file_exists(name) && !is_journal(name);
	return SQLITE_OK;
}

sqlite3_vfs *vfs_crypt_make(sqlite3_vfs *base)
{
	static sqlite3_vfs v;

	v = *base; /* randomness, sleep, time, full path names */
	v.pNext = NULL;
	v.zName = VFS_CRYPT;
	v.szOsFile = sizeof(struct handle);
	v.xOpen = crypt_open_file;
	v.xDelete = crypt_delete;
	v.xAccess = crypt_access;
	v.xDlOpen = NULL;
	return &v;
}
