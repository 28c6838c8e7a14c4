/*
 * store/vfs.h - the two file layers under SQLite, and the page codec that they share with packing
 *
 * What     "mm-crypt" keeps a database and its WAL encrypted on disk; "mm-sealed" reads a packed one.
 *          Locks and the WAL index live in the memory of this process (struct node, one per
 *          database file), never in a file: the process that has the data directory is the only
 *          user, and flock on the database says so to others.
 * Never    A rollback journal (databases are born in WAL mode from a template, see page_template), a
 *          -shm file, a temporary file: xOpen refuses them.
 * Keys     A connection gets its key by the number that vfs_key_add gave, as URI parameter "key", so
 *          no key is ever text.
 * Threads  Any.
 * On disk  docs/formats.md, "Encrypted database", "Sealed database"
 */
#ifndef MM_STORE_VFS_H
#define MM_STORE_VFS_H

#include <limits.h>
#include <sqlite3.h>

#include "base/file.h"
#include "store/crypt.h"

#define VFS_CRYPT  "mm-crypt"
#define VFS_SEALED "mm-sealed"

#define VFS_CONTROL_FIRST 0x6d6d01 /* xFileControl: node_first, into a bool */

#define PAGE_BYTES    8192
#define PAGE_RESERVED CRYPT_OVERHEAD
#define PAGE_PLAIN    (PAGE_BYTES - PAGE_RESERVED)

/* SQLite's WAL: a header, then frames of a header and a page; on disk both headers are sealed. */
#define WAL_HEADER       32
#define WAL_FRAME_HEADER 24
#define WAL_FRAME        (WAL_FRAME_HEADER + PAGE_BYTES)
#define WAL_HEADER_DISK  (WAL_HEADER + CRYPT_OVERHEAD)
#define WAL_FRAME_DISK   (WAL_FRAME_HEADER + CRYPT_OVERHEAD + PAGE_BYTES)

/* What a box is: bound into it, with its number (page number from 1, frame from 0) and, in a WAL,
 * the salts of the log that it belongs to. */
enum box { BOX_PAGE = 1, BOX_WAL_HEADER, BOX_FRAME_HEADER, BOX_FRAME_PAGE };

struct page_key {
	uint8_t key[KEY_BYTES];
};

/* The key that a database file is encrypted under is derived from the key of the ring. */
void page_key_make(struct page_key *k, const uint8_t key[KEY_BYTES]);
/* `plain` has PAGE_BYTES, whose last PAGE_RESERVED are zero; so has `out`. False if they aren't. */
bool    page_seal(uint8_t out[PAGE_BYTES], const uint8_t plain[PAGE_BYTES], enum box box,
                  uint64_t number, const uint8_t salts[8], const struct page_key *k) MUST_USE;
enum rc page_open(uint8_t out[PAGE_BYTES], const uint8_t sealed[PAGE_BYTES], enum box box,
                  uint64_t number, const uint8_t salts[8], const struct page_key *k) MUST_USE;
/* Headers of `n` bytes (at most WAL_HEADER); sealed they have n + CRYPT_OVERHEAD. */
void    header_seal(uint8_t *out, const uint8_t *plain, size_t n, enum box box, uint64_t number,
                    const struct page_key *k);
enum rc header_open(uint8_t *out, const uint8_t *sealed, size_t n, enum box box, uint64_t number,
                    const struct page_key *k) MUST_USE;
/* Page 1 of an empty database in WAL mode (sqlite.org/fileformat2.html section 1.3). */
void page_template(uint8_t out[PAGE_BYTES]);

/* Logical (SQLite's) and physical (ours) sizes of a WAL. */
uint64_t wal_disk_offset(uint64_t frame);
uint64_t wal_logical_size(uint64_t disk_bytes);

/* RC_CORRUPT when a frame that must have been synced can't be read; a torn tail is fine. `header` is
 * set to the WAL's header, zeros when there is none. RC_CRYPTO when the header doesn't open. */
enum rc wal_scan(const struct file *wal, const struct page_key *k, uint8_t header[WAL_HEADER],
                 struct err *e) MUST_USE;

/* RC_OK when the database has a page exactly so, RC_CRYPTO when it hasn't. */
typedef enum rc (*wal_page_is)(void *arg, uint64_t number, const uint8_t page[PAGE_BYTES],
			       struct err *e);
/* Of a log whose header doesn't open: RC_OK when all transactions that its frames hold are in the database
 * of so many pages, so that nothing is lost without it. That is so when a log is begun anew: SQLite does so
 * once all of it is in the database, and synced there, by writing another header over the old one. RC_CRYPTO:
 * it is not so, or can't be known, because a frame doesn't open that may have been committed. */
enum rc wal_is_spent(const struct file *wal, const struct page_key *k, uint64_t pages, wal_page_is is,
                     void *arg, struct err *e) MUST_USE;

/* ---- the files that connections share ---- */

struct node;

/* The node of a database file, opened or shared. `create`: made empty when absent.
 * RC_CRYPTO: another key; RC_AGAIN: another process has it. */
enum rc node_open(struct node **out, const char *path, const uint8_t key[KEY_BYTES], bool create,
                  struct err *e) MUST_USE;
struct node *node_find(const char *path); /* with a reference, or NULL */
void         node_close(struct node **n);
/* True for the first who asks since the file was opened. */
bool         node_first(struct node *n);
/* New opens of the path don't meet this node any more: the file is to be unlinked. */
void node_forget(const char *path);

/* Opens the WAL for one more user; RC_NOTFOUND when there is none and `create` is false. */
enum rc node_wal_open(struct node *n, bool create, struct err *e) MUST_USE;
void    node_wal_close(struct node *n);
/* Looks at every frame as it lies there, also of a WAL that is in use; nobody may be beginning it anew. */
enum rc node_wal_check(struct node *n, struct err *e) MUST_USE;

enum rc node_page_read(struct node *n, uint8_t out[PAGE_BYTES], uint64_t number, bool *there,
                       struct err *e) MUST_USE;
/* Reads a page while no other thread writes: a checkpoint may be at it. */
enum rc node_page_check(struct node *n, uint64_t number, struct err *e) MUST_USE;
enum rc node_page_write(struct node *n, const uint8_t page[PAGE_BYTES], uint64_t number,
                        struct err *e) MUST_USE;
enum rc node_size(struct node *n, uint64_t *bytes, struct err *e) MUST_USE;
enum rc node_resize(struct node *n, uint64_t bytes, struct err *e) MUST_USE;
enum rc node_sync(struct node *n, struct err *e) MUST_USE;

enum rc node_wal_read(struct node *n, uint8_t *to, size_t bytes, uint64_t at, size_t *got,
                      struct err *e) MUST_USE;
enum rc node_wal_write(struct node *n, const uint8_t *from, size_t bytes, uint64_t at,
                       struct err *e) MUST_USE;
enum rc node_wal_size(struct node *n, uint64_t *bytes, struct err *e) MUST_USE;
enum rc node_wal_resize(struct node *n, uint64_t bytes, struct err *e) MUST_USE;
enum rc node_wal_sync(struct node *n, struct err *e) MUST_USE;

/* One connection's locks on a node: levels as in SQLite (SQLITE_LOCK_*), and its share of the WAL
 * index. All zero at first. */
struct node_user {
	int level;
	bool mapped;
	uint16_t shared;    /* bits of the WAL-index locks held shared */
	uint16_t exclusive; /* and exclusive */
};

bool  node_lock(struct node *n, struct node_user *u, int level); /* false: busy */
void  node_unlock(struct node *n, struct node_user *u, int level);
bool  node_reserved(struct node *n);
void *node_shm(struct node *n, struct node_user *u, unsigned region, size_t bytes, bool extend);
bool  node_shm_lock(struct node *n, struct node_user *u, unsigned from, unsigned count, bool exclusive);
void  node_shm_unlock(struct node *n, struct node_user *u, unsigned from, unsigned count);
void  node_shm_unmap(struct node *n, struct node_user *u);

/* ---- for db.c ---- */

/* Once a process: libsodium, SQLite's own settings, both file layers. */
void vfs_init(void);
/* As the file layers know it: absolute, behind all links. */
bool vfs_full_path(const char *path, char full[PATH_MAX]) MUST_USE;
/* The registry of keys: a number that stands for the key until it is dropped. */
int64_t vfs_key_add(const uint8_t key[KEY_BYTES]);
bool    vfs_key_get(int64_t number, uint8_t key[KEY_BYTES]);
void    vfs_key_drop(int64_t number);
/* "file:", the path with what means something in a URI percent-encoded (sqlite.org/uri.html), `tail`.
 * `out` has room for three times the path and the tail. */
void vfs_uri(char *out, size_t room, const char *path, const char *tail);
/* What a file layer last complained of on this thread; code RC_OK: nothing since vfs_error_clear. */
struct err *vfs_error(void);
void        vfs_error_clear(void);
/* SQLite's code for an error that is kept in vfs_error. */
int vfs_code(enum rc rc);

sqlite3_vfs *vfs_crypt_make(sqlite3_vfs *base);
sqlite3_vfs *vfs_sealed_make(sqlite3_vfs *base);

/* ---- the sealed file ---- */

#define SEALED_CHUNK  65536
#define SEALED_HEADER 64

struct sealed;
enum rc  sealed_open(struct sealed **out, const char *path, const uint8_t key[KEY_BYTES],
                     struct err *e) MUST_USE;
void     sealed_close(struct sealed **s);
uint64_t sealed_size(const struct sealed *s);
/* Exactly n bytes, which must be there. Not for two threads at a time (the cache). */
enum rc sealed_read(struct sealed *s, void *to, size_t n, uint64_t at, struct err *e) MUST_USE;
/* Packs `bytes` bytes that `read` gives into a new file at `path`, and syncs it (not the name). */
enum rc sealed_write(const char *path, const uint8_t key[KEY_BYTES], uint64_t bytes,
                     enum rc (*read)(void *arg, uint8_t *to, size_t n, uint64_t at, struct err *e),
                     void *arg, struct err *e) MUST_USE;
/* SHA-256 of header and table: it names the content of every chunk. */
void sealed_root(const struct sealed *s, uint8_t root[32]);

#endif
