#include "store/vfs.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/log.h"

#define SHM_LOCKS 8 /* SQLITE_SHM_NLOCK */

/* One open file and the lock that makes its writes and syncs one at a time: a committing thread
 * writes the WAL while a checkpointing one syncs it. */
struct side {
	struct file *file;
	pthread_mutex_t io;
};

struct node {
	struct node *next;
	char *path;
	unsigned users;
	bool forgotten;
	bool asked; /* node_first was */
	struct page_key key;
	struct side main;
	struct side wal;

	pthread_mutex_t lock; /* of all below */
	unsigned wal_users;
	uint8_t wal_header[WAL_HEADER]; /* as last read or written: gives the salts of pages */
	unsigned readers;
	const struct node_user *reserved;
	const struct node_user *pending;
	void **region;
	unsigned regions;
	unsigned mappers;
	int slot[SHM_LOCKS]; /* -1 exclusive, else how many share it */
};

static pthread_mutex_t nodes_lock = PTHREAD_MUTEX_INITIALIZER;
static struct node *nodes;

static void node_free(struct node *n)
{
	for (unsigned i = 0; i < n->regions; i++)
		free(n->region[i]);
	free(n->region);
	file_close(&n->main.file);
	file_close(&n->wal.file);
	(void)pthread_mutex_destroy(&n->main.io);
	(void)pthread_mutex_destroy(&n->wal.io);
	(void)pthread_mutex_destroy(&n->lock);
	crypt_wipe(&n->key, sizeof(n->key));
	free(n->path);
	free(n);
}

static enum rc wal_path(char out[PATH_MAX], const struct node *n, struct err *e)
{
	if ((size_t)snprintf(out, PATH_MAX, "%s-wal", n->path) >= PATH_MAX)
		return err_set(e, RC_INVALID, "%s: the path is too long", n->path);
	return RC_OK;
}

/* Reads and checks the WAL as it lies there. RC_NOTFOUND: none. */
static enum rc wal_look(struct node *n, struct err *e)
{
	char path[PATH_MAX];
	struct file *wal;
	enum rc rc = wal_path(path, n, e);

	if (rc == RC_OK)
		rc = file_open(&wal, path, FILE_READ, e);
	if (rc != RC_OK)
		return rc;
	rc = wal_scan(wal, &n->key, n->wal_header, e);
	file_close(&wal);
	return rc;
}

static bool page_one_opens(struct node *n)
{
	uint8_t page[PAGE_BYTES];
	bool there;

	return node_page_read(n, page, 1, &there, NULL) == RC_OK && there;
}

static bool wal_is_known(const struct node *n)
{
	static const uint8_t none[WAL_HEADER];

	return memcmp(n->wal_header, none, WAL_HEADER) != 0;
}

/* Is it our key, and is all there that must be? Page 1 may be torn by a power failure during a
 * checkpoint; then the WAL, which was synced before, opens and holds page 1. A WAL that doesn't
 * open is never taken for an empty one: SQLite would remove it, with what was committed to it. */
static enum rc node_check(struct node *n, struct err *e)
{
	uint64_t size;
	enum rc rc = file_size(n->main.file, &size, e);

	if (rc != RC_OK)
		return rc;
	if (size < PAGE_BYTES) /* it was born with a page */
		return err_set(e, RC_CORRUPT, "%s has %llu bytes", n->path,
		               (unsigned long long)size);
	if (page_one_opens(n))
		return RC_OK; /* the WAL is looked at when it is opened */
	rc = wal_look(n, e);
	if (rc == RC_NOTFOUND || rc == RC_CRYPTO || (rc == RC_OK && !wal_is_known(n)))
		return err_set(e, RC_CRYPTO,
		               "%s: the first page doesn't open: another key, or damage", n->path);
	return rc;
}

static enum rc node_make(struct node **out, const char *path, const uint8_t key[KEY_BYTES],
                         bool create, struct err *e)
{
	struct node *n = mem_new(sizeof(*n));
	enum rc rc;

	MUST(pthread_mutex_init(&n->lock, NULL) == 0);
	MUST(pthread_mutex_init(&n->main.io, NULL) == 0);
	MUST(pthread_mutex_init(&n->wal.io, NULL) == 0);
	n->path = mem_string(path);
	n->users = 1;
	page_key_make(&n->key, key);
	rc = file_open(&n->main.file, path, FILE_WRITE, e);
	create = create && rc == RC_NOTFOUND;
	if (create)
		rc = file_open(&n->main.file, path, FILE_CREATE, e);
	if (rc == RC_OK)
		rc = file_lock(n->main.file, e);
	if (rc == RC_OK && !create)
		rc = node_check(n, e);
	if (rc != RC_OK) {
		node_free(n);
		return rc;
	}
	*out = n;
	return RC_OK;
}

static struct node *find_locked(const char *path)
{
	for (struct node *n = nodes; n; n = n->next)
		if (!n->forgotten && strcmp(n->path, path) == 0)
			return n;
	return NULL;
}

enum rc node_open(struct node **out, const char *path, const uint8_t key[KEY_BYTES], bool create,
                  struct err *e)
{
	struct page_key k;
	struct node *n;
	enum rc rc = RC_OK;

	MUST(pthread_mutex_lock(&nodes_lock) == 0);
	n = find_locked(path);
	if (n) {
		page_key_make(&k, key);
		if (memcmp(&k, &n->key, sizeof(k)) != 0)
			rc = err_set(e, RC_CRYPTO, "%s: it is open under another key", path);
		else
			n->users++;
		crypt_wipe(&k, sizeof(k));
	} else {
		rc = node_make(&n, path, key, create, e);
		if (rc == RC_OK) {
			n->next = nodes;
			nodes = n;
		}
	}
	MUST(pthread_mutex_unlock(&nodes_lock) == 0);
	*out = rc == RC_OK ? n : NULL;
	return rc;
}

struct node *node_find(const char *path)
{
	struct node *n;

	MUST(pthread_mutex_lock(&nodes_lock) == 0);
	n = find_locked(path);
	if (n)
		n->users++;
	MUST(pthread_mutex_unlock(&nodes_lock) == 0);
	return n;
}

void node_close(struct node **n)
{
	struct node **at = &nodes;

	if (!*n)
		return;
	MUST(pthread_mutex_lock(&nodes_lock) == 0);
	if (--(*n)->users == 0) {
		while (*at != *n)
			at = &(*at)->next;
		*at = (*n)->next;
		node_free(*n);
	}
	MUST(pthread_mutex_unlock(&nodes_lock) == 0);
	*n = NULL;
}

bool node_first(struct node *n)
{
	bool first;

	MUST(pthread_mutex_lock(&nodes_lock) == 0);
	first = !n->asked;
	n->asked = true;
	MUST(pthread_mutex_unlock(&nodes_lock) == 0);
	return first;
}

void node_forget(const char *path)
{
	struct node *n;

	MUST(pthread_mutex_lock(&nodes_lock) == 0);
	n = find_locked(path);
	if (n)
		n->forgotten = true;
	MUST(pthread_mutex_unlock(&nodes_lock) == 0);
}

/* ---- the database file ---- */

enum rc node_size(struct node *n, uint64_t *bytes, struct err *e)
{
	return file_size(n->main.file, bytes, e);
}

enum rc node_page_read(struct node *n, uint8_t out[PAGE_BYTES], uint64_t number, bool *there,
                       struct err *e)
{
	uint8_t sealed[PAGE_BYTES];
	size_t got;
	enum rc rc = file_read_some(n->main.file, sealed, PAGE_BYTES, (number - 1) * PAGE_BYTES,
	                            &got, e);

	*there = rc == RC_OK && got == PAGE_BYTES;
	if (rc != RC_OK || !*there)
		return rc;
	if (page_open(out, sealed, BOX_PAGE, number, NULL, &n->key) != RC_OK)
		return err_set(e, RC_CORRUPT, "%s: page %llu is damaged", n->path,
		               (unsigned long long)number);
	return RC_OK;
}

enum rc node_page_check(struct node *n, uint64_t number, struct err *e)
{
	uint8_t page[PAGE_BYTES];
	bool there;
	enum rc rc;

	MUST(pthread_mutex_lock(&n->main.io) == 0);
	rc = node_page_read(n, page, number, &there, e);
	MUST(pthread_mutex_unlock(&n->main.io) == 0);
	return rc;
}

static enum rc side_write(struct side *s, struct slice bytes, uint64_t at, struct err *e)
{
	enum rc rc;

	MUST(pthread_mutex_lock(&s->io) == 0);
	rc = file_write_at(s->file, bytes, at, e);
	MUST(pthread_mutex_unlock(&s->io) == 0);
	return rc;
}

static enum rc side_sync(struct side *s, struct err *e)
{
	enum rc rc;

	MUST(pthread_mutex_lock(&s->io) == 0);
	rc = file_sync(s->file, NULL, e);
	MUST(pthread_mutex_unlock(&s->io) == 0);
	return rc;
}

static enum rc side_resize(struct side *s, uint64_t bytes, struct err *e)
{
	enum rc rc;

	MUST(pthread_mutex_lock(&s->io) == 0);
	rc = file_truncate(s->file, bytes, e);
	MUST(pthread_mutex_unlock(&s->io) == 0);
	return rc;
}

static enum rc page_put(struct node *n, const uint8_t page[PAGE_BYTES], uint64_t number,
                        struct err *e)
{
	uint8_t sealed[PAGE_BYTES];

	if (!page_seal(sealed, page, BOX_PAGE, number, NULL, &n->key))
		return err_set(e, RC_IO, "%s: page %llu uses its reserved bytes", n->path,
		               (unsigned long long)number);
	return side_write(&n->main, slice_of(sealed, PAGE_BYTES), (number - 1) * PAGE_BYTES, e);
}

/* A hole in the file would read as zeros that nobody authenticated, so there are none: the pages up
 * to `bytes` are written as sealed zeros. */
static enum rc fill(struct node *n, uint64_t bytes, struct err *e)
{
	static const uint8_t zeros[PAGE_BYTES];
	uint64_t size;
	enum rc rc = file_size(n->main.file, &size, e);

	for (uint64_t at = size / PAGE_BYTES; rc == RC_OK && at < bytes / PAGE_BYTES; at++)
		rc = page_put(n, zeros, at + 1, e);
	return rc;
}

enum rc node_page_write(struct node *n, const uint8_t page[PAGE_BYTES], uint64_t number,
                        struct err *e)
{
	enum rc rc = fill(n, (number - 1) * PAGE_BYTES, e);

	if (rc != RC_OK)
		return rc;
	return page_put(n, page, number, e);
}

enum rc node_resize(struct node *n, uint64_t bytes, struct err *e)
{
	uint64_t size;
	enum rc rc = file_size(n->main.file, &size, e);

	if (rc != RC_OK)
		return rc;
	if (bytes % PAGE_BYTES != 0)
		return err_set(e, RC_IO, "%s: a size of %llu bytes", n->path,
		               (unsigned long long)bytes);
	if (bytes > size)
		return fill(n, bytes, e);
	return side_resize(&n->main, bytes, e);
}

enum rc node_sync(struct node *n, struct err *e)
{
	return side_sync(&n->main, e);
}

/* ---- the WAL ---- */

static enum rc sync_parent(const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash && slash > path ? slice_string(slice_of(path, (size_t)(slash - path)))
	                                  : mem_string(slash ? "/" : ".");
	enum rc rc = dir_sync(dir, e);

	free(dir);
	return rc;
}

/* The same bytes are written once more: a sync that failed in another process may have left them in
 * memory alone, where they count as clean. */
static enum rc page_is(void *arg, uint64_t number, const uint8_t page[PAGE_BYTES], struct err *e)
{
	struct node *n = arg;
	uint64_t at = (number - 1) * PAGE_BYTES;
	uint8_t sealed[PAGE_BYTES];
	uint8_t mine[PAGE_BYTES];
	enum rc rc = file_read_at(n->main.file, sealed, PAGE_BYTES, at, e);

	if (rc != RC_OK)
		return rc;
	if (page_open(mine, sealed, BOX_PAGE, number, NULL, &n->key) != RC_OK ||
	    memcmp(mine, page, PAGE_BYTES) != 0)
		return RC_CRYPTO;
	return side_write(&n->main, slice_of(sealed, PAGE_BYTES), at, e);
}

/* A header that doesn't open may be one that was half written over another: then nothing is lost.
 */
static enum rc wal_begin_anew(struct node *n, const char *path, struct err *e)
{
	uint64_t size;
	enum rc rc = file_size(n->main.file, &size, e);

	if (rc == RC_OK)
		rc = wal_is_spent(n->wal.file, &n->key, size / PAGE_BYTES, page_is, n, e);
	memset(n->wal_header, 0, WAL_HEADER);
	if (rc == RC_OK)
		rc = side_sync(&n->main, e);
	if (rc == RC_OK)
		rc = file_truncate(n->wal.file, 0, e);
	if (rc == RC_OK)
		rc = file_sync(n->wal.file, NULL, e);
	if (rc == RC_OK)
		log_warn("%s: the header is damaged; the database has all that was committed, so "
		         "the log begins anew",
		         path);
	return rc;
}

static enum rc wal_open_first(struct node *n, bool create, struct err *e)
{
	char path[PATH_MAX];
	enum rc rc = wal_path(path, n, e);

	if (rc != RC_OK)
		return rc;
	memset(n->wal_header, 0, WAL_HEADER);
	rc = file_open(&n->wal.file, path, FILE_WRITE, e);
	if (rc == RC_OK)
		rc = wal_scan(n->wal.file, &n->key, n->wal_header, e);
	else if (rc == RC_NOTFOUND && create) {
		rc = file_open(&n->wal.file, path, FILE_CREATE, e);
		if (rc == RC_OK)
			rc = sync_parent(path, e);
	}
	if (rc == RC_CRYPTO)
		rc = wal_begin_anew(n, path, e);
	if (rc != RC_OK)
		file_close(&n->wal.file);
	return rc == RC_CRYPTO ? err_set(e, RC_CORRUPT, "%s: the header is damaged", path) : rc;
}

enum rc node_wal_open(struct node *n, bool create, struct err *e)
{
	enum rc rc = RC_OK;

	MUST(pthread_mutex_lock(&n->lock) == 0);
	if (!n->wal.file)
		rc = wal_open_first(n, create, e);
	if (rc == RC_OK)
		n->wal_users++;
	MUST(pthread_mutex_unlock(&n->lock) == 0);
	return rc;
}

void node_wal_close(struct node *n)
{
	MUST(pthread_mutex_lock(&n->lock) == 0);
	if (--n->wal_users == 0)
		file_close(&n->wal.file);
	MUST(pthread_mutex_unlock(&n->lock) == 0);
}

enum rc node_wal_check(struct node *n, struct err *e)
{
	char path[PATH_MAX];
	uint8_t header[WAL_HEADER];
	struct file *wal;
	enum rc rc = wal_path(path, n, e);

	if (rc != RC_OK)
		return rc;
	MUST(pthread_mutex_lock(&n->wal.io) == 0);
	rc = file_open(&wal, path, FILE_READ, e);
	if (rc == RC_OK) {
		rc = wal_scan(wal, &n->key, header, e);
		file_close(&wal);
	}
	MUST(pthread_mutex_unlock(&n->wal.io) == 0);
	if (rc == RC_CRYPTO)
		return err_set(e, RC_CORRUPT, "%s: the header is damaged", path);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static void salts_get(struct node *n, uint8_t salts[8])
{
	MUST(pthread_mutex_lock(&n->lock) == 0);
	memcpy(salts, n->wal_header + 16, 8);
	MUST(pthread_mutex_unlock(&n->lock) == 0);
}

static void wal_header_keep(struct node *n, const uint8_t header[WAL_HEADER])
{
	MUST(pthread_mutex_lock(&n->lock) == 0);
	memcpy(n->wal_header, header, WAL_HEADER);
	MUST(pthread_mutex_unlock(&n->lock) == 0);
}

static enum rc frame_damaged(struct node *n, uint64_t frame, struct err *e)
{
	return err_set(e, RC_CORRUPT, "%s-wal: frame %llu is damaged", n->path,
	               (unsigned long long)frame);
}

/* The header, or a part of it. */
static enum rc read_wal_header(struct node *n, uint8_t *to, size_t bytes, uint64_t at, size_t *got,
                               struct err *e)
{
	uint8_t disk[WAL_HEADER_DISK];
	uint8_t header[WAL_HEADER];
	enum rc rc = file_read_some(n->wal.file, disk, sizeof(disk), 0, got, e);

	if (rc != RC_OK || *got < sizeof(disk)) {
		*got = 0;
		return rc;
	}
	if (header_open(header, disk, WAL_HEADER, BOX_WAL_HEADER, 0, &n->key) != RC_OK)
		return err_set(e, RC_CORRUPT, "%s-wal: the header is damaged", n->path);
	memcpy(to, header + at, bytes);
	*got = bytes;
	return RC_OK;
}

static enum rc read_frame_header(struct node *n, uint8_t out[WAL_FRAME_HEADER], uint64_t frame,
                                 size_t *got, struct err *e)
{
	uint8_t disk[WAL_FRAME_HEADER + CRYPT_OVERHEAD];
	enum rc rc =
	        file_read_some(n->wal.file, disk, sizeof(disk), wal_disk_offset(frame), got, e);

	if (rc != RC_OK || *got < sizeof(disk)) {
		*got = 0;
		return rc;
	}
	*got = WAL_FRAME_HEADER;
	if (header_open(out, disk, WAL_FRAME_HEADER, BOX_FRAME_HEADER, frame, &n->key) != RC_OK)
		return frame_damaged(n, frame, e);
	return RC_OK;
}

static enum rc read_frame_page(struct node *n, uint8_t out[PAGE_BYTES], uint64_t frame,
                               const uint8_t salts[8], size_t *got, struct err *e)
{
	uint8_t sealed[PAGE_BYTES];
	uint64_t at = wal_disk_offset(frame) + WAL_FRAME_HEADER + CRYPT_OVERHEAD;
	enum rc rc = file_read_some(n->wal.file, sealed, PAGE_BYTES, at, got, e);

	if (rc != RC_OK || *got < PAGE_BYTES) {
		*got = 0;
		return rc;
	}
	if (page_open(out, sealed, BOX_FRAME_PAGE, frame, salts, &n->key) != RC_OK)
		return frame_damaged(n, frame, e);
	return RC_OK;
}

/* A whole frame, as recovery reads it: one that doesn't open ends the log, as a wrong checksum
 * would (wal_scan has told damage from a torn tail before); zeros have no right salt. A transaction
 * that wrote a page twice reads its frames too, to put salts and checksums into their headers,
 * which have none so far; so the page's salts are those of the log. */
static enum rc read_frame(struct node *n, uint8_t out[WAL_FRAME], uint64_t frame, size_t *got,
                          struct err *e)
{
	uint8_t salts[8];
	enum rc rc = read_frame_header(n, out, frame, got, e);

	salts_get(n, salts);
	if (rc == RC_OK && *got > 0)
		rc = read_frame_page(n, out + WAL_FRAME_HEADER, frame, salts, got, e);
	if (rc == RC_OK && *got == 0)
		return RC_OK;
	*got = WAL_FRAME;
	if (rc != RC_CORRUPT)
		return rc;
	memset(out, 0, WAL_FRAME);
	return RC_OK;
}

enum rc node_wal_read(struct node *n, uint8_t *to, size_t bytes, uint64_t at, size_t *got,
                      struct err *e)
{
	uint8_t header[WAL_FRAME_HEADER];
	uint8_t salts[8];
	uint64_t frame;
	size_t part;
	enum rc rc;

	*got = 0;
	if (at < WAL_HEADER && bytes <= WAL_HEADER - at)
		return read_wal_header(n, to, bytes, at, got, e);
	if (at < WAL_HEADER)
		return err_set(e, RC_IO, "%s-wal: a read across the header", n->path);
	frame = (at - WAL_HEADER) / WAL_FRAME;
	part = (size_t)((at - WAL_HEADER) % WAL_FRAME);
	if (part == 0 && bytes == WAL_FRAME)
		return read_frame(n, to, frame, got, e);
	if (part == WAL_FRAME_HEADER && bytes == PAGE_BYTES) {
		salts_get(n, salts);
		return read_frame_page(n, to, frame, salts, got, e);
	}
	if (part + bytes > WAL_FRAME_HEADER)
		return err_set(e, RC_IO, "%s-wal: a read of %zu bytes at %llu", n->path, bytes,
		               (unsigned long long)at);
	rc = read_frame_header(n, header, frame, got, e);
	if (rc == RC_OK && *got > 0) {
		memcpy(to, header + part, bytes);
		*got = bytes;
	}
	return rc;
}

enum rc node_wal_write(struct node *n, const uint8_t *from, size_t bytes, uint64_t at,
                       struct err *e)
{
	uint8_t disk[PAGE_BYTES];
	uint8_t salts[8];
	uint64_t frame = at < WAL_HEADER ? 0 : (at - WAL_HEADER) / WAL_FRAME;
	size_t part = at < WAL_HEADER ? 0 : (size_t)((at - WAL_HEADER) % WAL_FRAME);

	if (at == 0 && bytes == WAL_HEADER) {
		header_seal(disk, from, WAL_HEADER, BOX_WAL_HEADER, 0, &n->key);
		wal_header_keep(n, from);
		return side_write(&n->wal, slice_of(disk, WAL_HEADER_DISK), 0, e);
	}
	if (at >= WAL_HEADER && part == 0 && bytes == WAL_FRAME_HEADER) {
		header_seal(disk, from, WAL_FRAME_HEADER, BOX_FRAME_HEADER, frame, &n->key);
		return side_write(&n->wal, slice_of(disk, WAL_FRAME_HEADER + CRYPT_OVERHEAD),
		                  wal_disk_offset(frame), e);
	}
	if (at < WAL_HEADER || part != WAL_FRAME_HEADER || bytes != PAGE_BYTES)
		return err_set(e, RC_IO, "%s-wal: a write of %zu bytes at %llu", n->path, bytes,
		               (unsigned long long)at);
	salts_get(n, salts);
	if (!page_seal(disk, from, BOX_FRAME_PAGE, frame, salts, &n->key))
		return err_set(e, RC_IO, "%s-wal: a page uses its reserved bytes", n->path);
	return side_write(&n->wal, slice_of(disk, PAGE_BYTES),
	                  wal_disk_offset(frame) + WAL_FRAME_HEADER + CRYPT_OVERHEAD, e);
}

enum rc node_wal_size(struct node *n, uint64_t *bytes, struct err *e)
{
	enum rc rc = file_size(n->wal.file, bytes, e);

	if (rc == RC_OK)
		*bytes = wal_logical_size(*bytes);
	return rc;
}

enum rc node_wal_resize(struct node *n, uint64_t bytes, struct err *e)
{
	if (bytes == 0)
		return side_resize(&n->wal, 0, e);
	/* Longer than wanted is fine: what is behind the log's end is of an older log. */
	bytes = bytes < WAL_HEADER ? 0 : (bytes - WAL_HEADER + WAL_FRAME - 1) / WAL_FRAME;
	return side_resize(&n->wal, wal_disk_offset(bytes), e);
}

enum rc node_wal_sync(struct node *n, struct err *e)
{
	return side_sync(&n->wal, e);
}

/* ---- locks ---- */

static bool lock_locked(struct node *n, struct node_user *u, int level)
{
	if (level == SQLITE_LOCK_SHARED) {
		if (n->pending)
			return false;
		n->readers++;
		return true;
	}
	if (n->reserved && n->reserved != u)
		return false;
	if (n->pending && n->pending != u)
		return false;
	n->reserved = u;
	if (level == SQLITE_LOCK_RESERVED)
		return true;
	/* From here on no new reader comes in; a writer that failed keeps that until it unlocks. */
	n->pending = u;
	return n->readers == 1;
}

bool node_lock(struct node *n, struct node_user *u, int level)
{
	bool ok;

	if (u->level >= level)
		return true;
	MUST(pthread_mutex_lock(&n->lock) == 0);
	ok = lock_locked(n, u, level);
	if (ok)
		u->level = level;
	else if (n->pending == u)
		u->level = SQLITE_LOCK_PENDING;
	MUST(pthread_mutex_unlock(&n->lock) == 0);
	return ok;
}

void node_unlock(struct node *n, struct node_user *u, int level)
{
	if (u->level <= level)
		return;
	MUST(pthread_mutex_lock(&n->lock) == 0);
	if (n->reserved == u)
		n->reserved = NULL;
	if (n->pending == u)
		n->pending = NULL;
	if (level == SQLITE_LOCK_NONE)
		n->readers--;
	u->level = level;
	MUST(pthread_mutex_unlock(&n->lock) == 0);
}

bool node_reserved(struct node *n)
{
	bool reserved;

	MUST(pthread_mutex_lock(&n->lock) == 0);
	reserved = n->reserved != NULL;
	MUST(pthread_mutex_unlock(&n->lock) == 0);
	return reserved;
}

/* ---- the WAL index, in memory ---- */

void *node_shm(struct node *n, struct node_user *u, unsigned region, size_t bytes, bool extend)
{
	void *at = NULL;

	MUST(pthread_mutex_lock(&n->lock) == 0);
	if (!u->mapped) {
		u->mapped = true;
		n->mappers++;
	}
	if (extend && region >= n->regions) {
		n->region = mem_resize(n->region, (region + 1) * sizeof(void *));
		while (n->regions <= region)
			n->region[n->regions++] = mem_new(bytes);
	}
	if (region < n->regions)
		at = n->region[region];
	MUST(pthread_mutex_unlock(&n->lock) == 0);
	return at;
}

static bool shm_free(const struct node *n, const struct node_user *u, unsigned i, bool exclusive)
{
	bool mine = (u->shared >> i & 1) != 0;

	if (u->exclusive >> i & 1)
		return true;
	if (n->slot[i] < 0)
		return false;
	return !exclusive || n->slot[i] == (mine ? 1 : 0);
}

bool node_shm_lock(struct node *n, struct node_user *u, unsigned from, unsigned count,
                   bool exclusive)
{
	bool ok = true;

	MUST(from + count <= SHM_LOCKS);
	MUST(pthread_mutex_lock(&n->lock) == 0);
	for (unsigned i = from; i < from + count; i++)
		ok = ok && shm_free(n, u, i, exclusive);
	for (unsigned i = from; ok && i < from + count; i++) {
		uint16_t bit = (uint16_t)(1u << i);

		if (exclusive) {
			n->slot[i] = -1;
			u->exclusive |= bit;
			u->shared &= (uint16_t)~bit;
		} else if (!((u->shared | u->exclusive) & bit)) {
			n->slot[i]++;
			u->shared |= bit;
		}
	}
	MUST(pthread_mutex_unlock(&n->lock) == 0);
	return ok;
}

void node_shm_unlock(struct node *n, struct node_user *u, unsigned from, unsigned count)
{
	MUST(from + count <= SHM_LOCKS);
	MUST(pthread_mutex_lock(&n->lock) == 0);
	for (unsigned i = from; i < from + count; i++) {
		uint16_t bit = (uint16_t)(1u << i);

		if (u->exclusive & bit)
			n->slot[i] = 0;
		else if (u->shared & bit)
			n->slot[i]--;
		u->exclusive &= (uint16_t)~bit;
		u->shared &= (uint16_t)~bit;
	}
	MUST(pthread_mutex_unlock(&n->lock) == 0);
}

void node_shm_unmap(struct node *n, struct node_user *u)
{
	node_shm_unlock(n, u, 0, SHM_LOCKS);
	MUST(pthread_mutex_lock(&n->lock) == 0);
	if (u->mapped) {
		u->mapped = false;
		if (--n->mappers == 0) {
			for (unsigned i = 0; i < n->regions; i++)
				free(n->region[i]);
			free(n->region);
			n->region = NULL;
			n->regions = 0;
		}
	}
	MUST(pthread_mutex_unlock(&n->lock) == 0);
}
