/*
 * base/file.h - the only code that opens, writes, renames, removes and syncs files
 *
 * What     Files addressed by path or by a descriptor that another process handed over, with
 *          positioned reads and writes, and the directory calls that make names durable.
 * Why      Durability is an order of calls. With every call in one place the order can be read,
 *          tested by fault injection and argued about; tests/tidy refuses these calls elsewhere.
 * Order    Data is durable after file_sync; a new or renamed name after dir_sync of its directory.
 *          First the thing, then what points to it.
 * Fails    RC_NOSPACE when the disk is full, RC_IO for all other failures of the system. A failed
 *          sync is final, whatever it says (RC_IO): the pages may be gone although a second sync would
 *          succeed, so the file refuses every further write and sync.
 * Threads  One struct file is used by one thread at a time, but for file_read_at, which any number
 *          of threads may call.
 */
#ifndef MM_BASE_FILE_H
#define MM_BASE_FILE_H

#include <sys/uio.h>

#include "base/buf.h"
#include "base/err.h"

struct file;
/* The proof that everything written to a file before the call of file_sync that returned it is on
 * disk. Only file.c can make one. smtp_reply_accepted demands it. */
struct durable;

enum file_mode {
	FILE_READ,   /* must exist */
	FILE_WRITE,  /* read and write, must exist */
	FILE_CREATE, /* read and write, must not exist, mode 0600 */
	FILE_APPEND, /* read and write, made if absent, mode 0600 */
};

enum rc file_open(struct file **out, const char *path, enum file_mode mode, struct err *e) MUST_USE;
/* For root: what this process makes beneath `dir` from now on belongs to who owns `dir`, so that a tool
 * leaves nothing there that another user's mmd can't open. What a link in `dir` leads elsewhere, and
 * what a sandbox doesn't let it give, stays root's. One `dir` a process, before its threads. */
enum rc dir_keep_owner(const char *dir, struct err *e) MUST_USE;
/* Takes over a descriptor, as one that came over a socket; `name` is for messages. */
struct file *file_adopt(int fd, const char *name);
/* Closes and empties the pointer; NULL is fine. Unsynced data is not synced. */
void file_close(struct file **f);
int file_fd(const struct file *f);
const char *file_name(const struct file *f);

/* Exactly n bytes, or RC_CORRUPT ("ends at ...") when the file is shorter. */
enum rc file_read_at(const struct file *f, void *to, size_t n, uint64_t at, struct err *e) MUST_USE;
/* Up to n bytes; *got is less only at the end of the file. */
enum rc file_read_some(const struct file *f, void *to, size_t n, uint64_t at, size_t *got,
                       struct err *e) MUST_USE;
enum rc file_write_at(struct file *f, struct slice s, uint64_t at, struct err *e) MUST_USE;
/* Writes all vectors at `at` and changes `iov`. Any count; split by IOV_MAX inside. */
enum rc file_writev_at(struct file *f, struct iovec *iov, size_t count, uint64_t at,
                       struct err *e) MUST_USE;
enum rc file_size(const struct file *f, uint64_t *bytes, struct err *e) MUST_USE;
/* Extends the file to `bytes` with written zeros, so that later overwrites need no metadata. */
enum rc file_fill_zero(struct file *f, uint64_t bytes, struct err *e) MUST_USE;
enum rc file_truncate(struct file *f, uint64_t bytes, struct err *e) MUST_USE;
/* fdatasync. `proof` may be NULL. */
enum rc file_sync(struct file *f, const struct durable **proof, struct err *e) MUST_USE;

/* Whole small files. The limit is the buffer's. */
enum rc file_read_all(const char *path, struct buf *out, struct err *e) MUST_USE;
/* Temporary name beside it, sync, rename, sync of the directory. Mode 0600. */
enum rc file_replace(const char *path, struct slice content, struct err *e) MUST_USE;
/* An advisory lock for the life of the struct file; RC_AGAIN when another process has it. file_close
 * ends it, also where a child that isn't at its program yet has a copy of the descriptor. */
enum rc file_lock(struct file *f, struct err *e) MUST_USE;
/* The same, but tries for half a second: such a child of a process that was killed keeps its lock until then. */
enum rc file_lock_soon(struct file *f, struct err *e) MUST_USE;

enum rc dir_make(const char *path, struct err *e) MUST_USE; /* 0700; fine if it exists */
enum rc dir_sync(const char *path, struct err *e) MUST_USE;
/* Everything written so far to the file system of `path`, data and names: for very many small files
 * that are finished together. */
enum rc dir_sync_all(const char *path, struct err *e) MUST_USE;
bool dir_exists(const char *path);
/* Calls `each` for every name but "." and ".." in byte order, until one returns not RC_OK. */
enum rc dir_list(const char *path, enum rc (*each)(void *arg, const char *name, struct err *e),
                 void *arg, struct err *e) MUST_USE;
/* Bytes of the file system of `path`: free for this user, and in all. */
enum rc dir_space(const char *path, uint64_t *unused, uint64_t *whole, struct err *e) MUST_USE;
/* The caller syncs the directory. */
enum rc file_rename(const char *from, const char *to, struct err *e) MUST_USE;
enum rc file_remove(const char *path, struct err *e) MUST_USE; /* RC_NOTFOUND when absent */
bool file_exists(const char *path);
/* "dir/name" in memory to be freed. */
char *path_join(const char *dir, const char *name);

#ifdef MM_TEST_EARLY_REPLY
/* The control of the crash tests: a proof that proves nothing. */
const struct durable *durable_false_proof(void);
#endif

#endif
