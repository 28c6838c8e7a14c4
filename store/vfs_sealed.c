#include "store/vfs.h"

#include <stdlib.h>
#include <zstd.h>

#include "base/codec.h"

#define MAGIC       "MMSEALED"
#define VERSION     1
#define LEVEL       7
#define ENTRY       12                                     /* offset 8, length 4 */
#define CACHED      32                                     /* chunks a reader keeps: 2 MiB */
#define LONGEST     (SEALED_CHUNK + 1024 + CRYPT_OVERHEAD) /* ZSTD_compressBound and the box */
#define MOST_CHUNKS (1u << 24)

struct slot {
	uint32_t chunk;
	uint64_t used; /* when, by the reader's count of reads; 0: empty */
	uint8_t *bytes;
};

struct sealed {
	struct file *file;
	uint8_t key[KEY_BYTES];
	uint8_t header[SEALED_HEADER];
	uint64_t size;
	uint32_t chunks;
	uint8_t *table;
	uint8_t root[32];
	uint64_t reads;
	ZSTD_DCtx *zstd;
	uint8_t *box;  /* a chunk as it is on disk */
	uint8_t *open; /* and decrypted */
	struct slot cache[CACHED];
};

/* ---- the codec ---- */

/* Header: magic 8, version 4, chunk bytes 4, uuid 16, plain bytes 8, chunks 4, zeros. */
static void header_put(uint8_t out[SEALED_HEADER], const uint8_t uuid[16], uint64_t bytes,
                       uint32_t chunks)
{
	memset(out, 0, SEALED_HEADER);
	memcpy(out, MAGIC, 8);
	put_le32(out + 8, VERSION);
	put_le32(out + 12, SEALED_CHUNK);
	memcpy(out + 16, uuid, 16);
	put_le64(out + 32, bytes);
	put_le32(out + 40, chunks);
}

/* The whole header is bound into the table and every chunk, and the chunk's number with it. */
#define BOUND (SEALED_HEADER + 4)

static void bound_put(uint8_t out[BOUND], const uint8_t header[SEALED_HEADER], uint32_t number)
{
	memcpy(out, header, SEALED_HEADER);
	put_le32(out + SEALED_HEADER, number);
}

#define TABLE_NUMBER UINT32_MAX /* no chunk has it */

static uint64_t first_chunk_at(uint32_t chunks)
{
	return SEALED_HEADER + (uint64_t)chunks * ENTRY + CRYPT_OVERHEAD;
}

/* Plain bytes of chunk i. */
static size_t chunk_length(uint64_t size, uint32_t i)
{
	uint64_t left = size - (uint64_t)i * SEALED_CHUNK;

	return (size_t)MIN_OF(left, (uint64_t)SEALED_CHUNK);
}

static enum rc header_get(struct sealed *s, struct err *e)
{
	const char *name = file_name(s->file);
	uint64_t disk;
	uint64_t want;
	enum rc rc = file_size(s->file, &disk, e);

	if (rc == RC_OK)
		rc = file_read_at(s->file, s->header, SEALED_HEADER, 0, e);
	if (rc != RC_OK)
		return rc;
	if (memcmp(s->header, MAGIC, 8) != 0)
		return err_set(e, RC_CORRUPT, "%s is no sealed database", name);
	if (get_le32(s->header + 8) != VERSION)
		return err_set(e, RC_INVALID, "%s has format %u, this program reads %d", name,
		               get_le32(s->header + 8), VERSION);
	s->size = get_le64(s->header + 32);
	s->chunks = get_le32(s->header + 40);
	want = s->size / SEALED_CHUNK + (s->size % SEALED_CHUNK != 0);
	if (get_le32(s->header + 12) != SEALED_CHUNK || s->chunks == 0 || s->chunks > MOST_CHUNKS ||
	    want != s->chunks || first_chunk_at(s->chunks) > disk)
		return err_set(e, RC_CORRUPT, "%s: the header is damaged", name);
	return RC_OK;
}

static enum rc table_get(struct sealed *s, struct err *e)
{
	size_t n = (size_t)s->chunks * ENTRY;
	uint8_t *box = mem_new(n + CRYPT_OVERHEAD);
	uint8_t bound[BOUND];
	struct sha256 *h = sha256_new();
	enum rc rc = file_read_at(s->file, box, n + CRYPT_OVERHEAD, SEALED_HEADER, e);

	s->table = mem_new(n);
	bound_put(bound, s->header, TABLE_NUMBER);
	sha256_add(h, slice_of(s->header, SEALED_HEADER));
	if (rc == RC_OK) {
		sha256_add(h, slice_of(box, n + CRYPT_OVERHEAD));
		if (crypt_open(s->table, slice_of(box, n + CRYPT_OVERHEAD), slice_of(bound, BOUND),
		               s->key) != RC_OK)
			rc = err_set(e, RC_CRYPTO,
			             "%s: the table doesn't open: another key, or damage",
			             file_name(s->file));
	}
	sha256_end(&h, s->root);
	free(box);
	return rc;
}

enum rc sealed_open(struct sealed **out, const char *path, const uint8_t key[KEY_BYTES],
                    struct err *e)
{
	struct sealed *s = mem_new(sizeof(*s));
	enum rc rc = file_open(&s->file, path, FILE_READ, e);

	crypt_derive(s->key, key, "mm sealed database");
	if (rc == RC_OK)
		rc = header_get(s, e);
	if (rc == RC_OK)
		rc = table_get(s, e);
	if (rc != RC_OK) {
		sealed_close(&s);
		*out = NULL;
		return rc;
	}
	s->zstd = ZSTD_createDCtx();
	MUST(s->zstd);
	s->box = mem_new(LONGEST);
	s->open = mem_new(LONGEST);
	*out = s;
	return RC_OK;
}

void sealed_close(struct sealed **s)
{
	if (!*s)
		return;
	for (unsigned i = 0; i < CACHED; i++)
		free((*s)->cache[i].bytes);
	(void)ZSTD_freeDCtx((*s)->zstd);
	file_close(&(*s)->file);
	free((*s)->table);
	free((*s)->box);
	free((*s)->open);
	crypt_wipe(*s, sizeof(**s));
	free(*s);
	*s = NULL;
}

uint64_t sealed_size(const struct sealed *s)
{
	return s->size;
}

void sealed_root(const struct sealed *s, uint8_t root[32])
{
	memcpy(root, s->root, 32);
}

static enum rc chunk_damaged(const struct sealed *s, uint32_t i, struct err *e)
{
	return err_set(e, RC_CORRUPT, "%s: chunk %u is damaged", file_name(s->file), i);
}

static enum rc chunk_get(struct sealed *s, uint32_t i, uint8_t *to, struct err *e)
{
	uint64_t at = get_le64(s->table + (size_t)i * ENTRY);
	uint32_t n = get_le32(s->table + (size_t)i * ENTRY + 8);
	size_t want = chunk_length(s->size, i);
	uint8_t bound[BOUND];
	size_t got;
	enum rc rc;

	if (n < CRYPT_OVERHEAD || n > LONGEST)
		return chunk_damaged(s, i, e);
	rc = file_read_at(s->file, s->box, n, at, e);
	if (rc != RC_OK)
		return rc;
	bound_put(bound, s->header, i);
	if (crypt_open(s->open, slice_of(s->box, n), slice_of(bound, BOUND), s->key) != RC_OK)
		return chunk_damaged(s, i, e);
	got = ZSTD_decompressDCtx(s->zstd, to, SEALED_CHUNK, s->open, n - CRYPT_OVERHEAD);
	return ZSTD_isError(got) || got != want ? chunk_damaged(s, i, e) : RC_OK;
}

/* The chunk from the cache, which takes the place of the one that was not used for longest. */
static enum rc chunk_cached(struct sealed *s, uint32_t i, const uint8_t **out, struct err *e)
{
	struct slot *oldest = &s->cache[0];
	enum rc rc;

	s->reads++;
	for (unsigned k = 0; k < CACHED; k++) {
		struct slot *slot = &s->cache[k];

		if (slot->used && slot->chunk == i) {
			slot->used = s->reads;
			*out = slot->bytes;
			return RC_OK;
		}
		if (slot->used < oldest->used)
			oldest = slot;
	}
	if (!oldest->bytes)
		oldest->bytes = mem_new(SEALED_CHUNK);
	oldest->used = 0;
	rc = chunk_get(s, i, oldest->bytes, e);
	if (rc != RC_OK)
		return rc;
	oldest->chunk = i;
	oldest->used = s->reads;
	*out = oldest->bytes;
	return RC_OK;
}

enum rc sealed_read(struct sealed *s, void *to, size_t n, uint64_t at, struct err *e)
{
	uint8_t *p = to;
	const uint8_t *chunk;

	if (at > s->size || n > s->size - at)
		return err_set(e, RC_CORRUPT, "%s: a read behind the end", file_name(s->file));
	while (n) {
		uint32_t i = (uint32_t)(at / SEALED_CHUNK);
		size_t from = (size_t)(at % SEALED_CHUNK);
		size_t k = MIN_OF(n, SEALED_CHUNK - from);
		enum rc rc = chunk_cached(s, i, &chunk, e);

		if (rc != RC_OK)
			return rc;
		memcpy(p, chunk + from, k);
		p += k;
		at += k;
		n -= k;
	}
	return RC_OK;
}

/* ---- packing ---- */

struct packer {
	struct file *file;
	uint8_t key[KEY_BYTES];
	uint8_t header[SEALED_HEADER];
	uint64_t bytes;
	uint32_t chunks;
	uint64_t at;
	uint8_t *table;
	ZSTD_CCtx *zstd;
	uint8_t plain[SEALED_CHUNK];
	uint8_t packed[LONGEST];
	uint8_t box[LONGEST];
};

static enum rc chunk_put(struct packer *p, uint32_t i, size_t n, struct err *e)
{
	size_t packed =
	        ZSTD_compressCCtx(p->zstd, p->packed, LONGEST - CRYPT_OVERHEAD, p->plain, n, LEVEL);
	uint8_t bound[BOUND];
	enum rc rc;

	if (ZSTD_isError(packed))
		return err_set(e, RC_IO, "%s: %s", file_name(p->file), ZSTD_getErrorName(packed));
	bound_put(bound, p->header, i);
	crypt_seal(p->box, slice_of(p->packed, packed), slice_of(bound, BOUND), p->key);
	rc = file_write_at(p->file, slice_of(p->box, packed + CRYPT_OVERHEAD), p->at, e);
	put_le64(p->table + (size_t)i * ENTRY, p->at);
	put_le32(p->table + (size_t)i * ENTRY + 8, (uint32_t)(packed + CRYPT_OVERHEAD));
	p->at += packed + CRYPT_OVERHEAD;
	return rc;
}

static enum rc head_put(struct packer *p, struct err *e)
{
	size_t n = (size_t)p->chunks * ENTRY;
	uint8_t *box = mem_new(n + CRYPT_OVERHEAD);
	uint8_t bound[BOUND];
	enum rc rc;

	bound_put(bound, p->header, TABLE_NUMBER);
	crypt_seal(box, slice_of(p->table, n), slice_of(bound, BOUND), p->key);
	rc = file_write_at(p->file, slice_of(p->header, SEALED_HEADER), 0, e);
	if (rc == RC_OK)
		rc = file_write_at(p->file, slice_of(box, n + CRYPT_OVERHEAD), SEALED_HEADER, e);
	free(box);
	return rc;
}

enum rc sealed_write(const char *path, const uint8_t key[KEY_BYTES], uint64_t bytes,
                     enum rc (*read)(void *arg, uint8_t *to, size_t n, uint64_t at, struct err *e),
                     void *arg, struct err *e)
{
	struct packer *p;
	uint8_t uuid[16];
	uint64_t chunks = bytes / SEALED_CHUNK + (bytes % SEALED_CHUNK != 0);
	enum rc rc;

	if (bytes == 0 || chunks > MOST_CHUNKS)
		return err_set(e, RC_LIMIT, "%s: %llu bytes can't be sealed", path,
		               (unsigned long long)bytes);
	p = mem_new(sizeof(*p));
	p->bytes = bytes;
	p->chunks = (uint32_t)chunks;
	p->at = first_chunk_at(p->chunks);
	p->table = mem_new((size_t)chunks * ENTRY);
	p->zstd = ZSTD_createCCtx();
	MUST(p->zstd);
	crypt_derive(p->key, key, "mm sealed database");
	crypt_random(uuid, sizeof(uuid));
	header_put(p->header, uuid, bytes, p->chunks);
	rc = file_open(&p->file, path, FILE_CREATE, e);
	for (uint32_t i = 0; rc == RC_OK && i < p->chunks; i++) {
		size_t n = chunk_length(bytes, i);

		rc = read(arg, p->plain, n, (uint64_t)i * SEALED_CHUNK, e);
		if (rc == RC_OK)
			rc = chunk_put(p, i, n, e);
	}
	if (rc == RC_OK)
		rc = head_put(p, e);
	if (rc == RC_OK)
		rc = file_sync(p->file, NULL, e);
	file_close(&p->file);
	(void)ZSTD_freeCCtx(p->zstd);
	free(p->table);
	crypt_wipe(p, sizeof(*p));
	free(p);
	return rc;
}

/* ---- SQLite's side: read only ---- */

struct handle {
	sqlite3_file base;
	struct sealed *sealed;
};

static struct handle *handle_of(sqlite3_file *f)
{
	return (struct handle *)(void *)f;
}

static int file_close_(sqlite3_file *f)
{
	sealed_close(&handle_of(f)->sealed);
	f->pMethods = NULL;
	return SQLITE_OK;
}

static int file_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	struct sealed *s = handle_of(f)->sealed;

	if ((uint64_t)at + (uint64_t)n > s->size) {
		memset(to, 0, (size_t)n);
		return SQLITE_IOERR_SHORT_READ;
	}
	return vfs_code(sealed_read(s, to, (size_t)n, (uint64_t)at, vfs_error()));
}

static int file_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
	(void)f;
	(void)from;
	(void)n;
	(void)at;
	return SQLITE_READONLY;
}

static int file_truncate_(sqlite3_file *f, sqlite3_int64 bytes)
{
	(void)f;
	(void)bytes;
	return SQLITE_READONLY;
}

static int file_int(sqlite3_file *f, int value)
{
	(void)f;
	(void)value;
	return SQLITE_OK;
}

static int file_size_(sqlite3_file *f, sqlite3_int64 *bytes)
{
	*bytes = (sqlite3_int64)handle_of(f)->sealed->size;
	return SQLITE_OK;
}

static int file_reserved(sqlite3_file *f, int *out)
{
	(void)f;
	*out = 0;
	return SQLITE_OK;
}

static int file_control(sqlite3_file *f, int op, void *arg)
{
	(void)f;
	(void)op;
	(void)arg;
	return SQLITE_NOTFOUND;
}

static int file_sector(sqlite3_file *f)
{
	(void)f;
	return 4096;
}

static int file_device(sqlite3_file *f)
{
	(void)f;
	return SQLITE_IOCAP_IMMUTABLE;
}

static const sqlite3_io_methods methods = {
	.iVersion = 1,
	.xClose = file_close_,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate_,
	.xSync = file_int,
	.xFileSize = file_size_,
	.xLock = file_int,
	.xUnlock = file_int,
	.xCheckReservedLock = file_reserved,
	.xFileControl = file_control,
	.xSectorSize = file_sector,
	.xDeviceCharacteristics = file_device,
};

static int sealed_open_file(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
	struct handle *h = handle_of(f);
	uint8_t key[KEY_BYTES];
	enum rc rc;

	(void)v;
	memset(h, 0, sizeof(*h));
	if (!name || !(flags & SQLITE_OPEN_MAIN_DB)) {
		(void)err_set(vfs_error(), RC_IO, "a sealed database has no second file");
		return SQLITE_CANTOPEN;
	}
	if (!vfs_key_get(sqlite3_uri_int64(name, "key", 0), key)) {
		(void)err_set(vfs_error(), RC_CRYPTO, "%s: no key was given", name);
		return SQLITE_CANTOPEN;
	}
	rc = sealed_open(&h->sealed, name, key, vfs_error());
	crypt_wipe(key, sizeof(key));
	if (rc != RC_OK)
		return SQLITE_CANTOPEN;
	h->base.pMethods = &methods;
	if (out)
		*out = SQLITE_OPEN_READONLY | SQLITE_OPEN_MAIN_DB;
	return SQLITE_OK;
}

static int sealed_delete(sqlite3_vfs *v, const char *name, int sync_dir)
{
	(void)v;
	(void)name;
	(void)sync_dir;
	return SQLITE_IOERR_DELETE;
}

static int sealed_access(sqlite3_vfs *v, const char *name, int flags, int *out)
{
	(void)v;
	(void)name;
	(void)flags;
	*out = 0;
	return SQLITE_OK;
}

sqlite3_vfs *vfs_sealed_make(sqlite3_vfs *base)
{
	static sqlite3_vfs v;

	v = *base;
	v.pNext = NULL;
	v.zName = VFS_SEALED;
	v.szOsFile = sizeof(struct handle);
	v.xOpen = sealed_open_file;
	v.xDelete = sealed_delete;
	v.xAccess = sealed_access;
	v.xDlOpen = NULL;
	return &v;
}
