#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"

#define LOCK_TRIES 10
#define LOCK_MS    50

struct durable {
	uint64_t syncs; /* how often; a non-zero count is what makes the proof one */
};

struct file {
	int fd;
	bool failed; /* a sync failed: nothing more is written or proved */
	bool locked;
	struct durable durable;
	char *name;
};

static int flags_of(enum file_mode mode)
{
	switch (mode) {
	case FILE_WRITE:
		return O_RDWR;
	case FILE_CREATE:
		return O_RDWR | O_CREAT | O_EXCL;
	case FILE_APPEND:
		return O_RDWR | O_CREAT;
	case FILE_READ:
		break;
	}
	return O_RDONLY;
}

static int open_retry(const char *path, int flags)
{
	int fd;

	do
		fd = open(path, flags | O_CLOEXEC, 0600);
	while (fd < 0 && errno == EINTR);
	return fd;
}

/* Whose what is made beneath `dir` is; no length where that is who makes it. */
static struct {
	char dir[PATH_MAX + 1]; /* its real place and a '/', which ends it */
	size_t len;
	uid_t uid;
	gid_t gid;
} heir;

enum rc dir_keep_owner(const char *dir, struct err *e)
{
	struct stat st;

	heir.len = 0;
	if (!realpath(dir, heir.dir) || stat(heir.dir, &st) != 0)
		return err_sys(e, "look at %s", dir);
	if (geteuid() != 0 || st.st_uid == 0)
		return RC_OK;
	heir.uid = st.st_uid;
	heir.gid = st.st_gid;
	heir.len = strlen(heir.dir);
	heir.dir[heir.len++] = '/';
	return RC_OK;
}

/* For what was made just now. The owner may have led it elsewhere by a link in place of a folder,
 * so where it really is counts. A confined mmd may give nothing away: it stays root's. */
static bool give_to_heir(int fd)
{
	char link[32], at[PATH_MAX];
	ssize_t n;

	if (!heir.len)
		return true;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, at, sizeof(at));
	if (n < (ssize_t)heir.len || memcmp(at, heir.dir, heir.len) != 0)
		return true;
	return fchown(fd, heir.uid, heir.gid) == 0 || errno == EPERM;
}

enum rc file_open(struct file **out, const char *path, enum file_mode mode, struct err *e)
{
	bool makes = mode == FILE_CREATE || (mode == FILE_APPEND && heir.len);
	int fd = open_retry(path, flags_of(makes ? FILE_CREATE : mode));

	*out = NULL;
	if (fd < 0 && makes && mode == FILE_APPEND && errno == EEXIST) {
		makes = false;
		fd = open_retry(path, flags_of(FILE_WRITE));
	}
	if (fd < 0)
		return err_sys(e, "open %s", path);
	if (makes && !give_to_heir(fd)) {
		(void)err_sys(e, "owner of %s", path);
		(void)close(fd);
		return RC_IO;
	}
	*out = file_adopt(fd, path);
	return RC_OK;
}

struct file *file_adopt(int fd, const char *name)
{
	struct file *f = mem_new(sizeof(*f));

	f->fd = fd;
	f->name = mem_string(name);
	return f;
}

void file_close(struct file **f)
{
	if (!*f)
		return;
	/* A child that another thread is about to start has a copy of the descriptor until its
	 * program begins; closing ours alone would leave the lock with it for so long. */
	if ((*f)->locked)
		(void)flock((*f)->fd, LOCK_UN);
	(void)close((*f)->fd);
	free((*f)->name);
	free(*f);
	*f = NULL;
}

int file_fd(const struct file *f)
{
	return f->fd;
}

const char *file_name(const struct file *f)
{
	return f->name;
}

enum rc file_read_some(const struct file *f, void *to, size_t n, uint64_t at, size_t *got,
                       struct err *e)
{
	*got = 0;
	while (*got < n) {
		ssize_t k = pread(f->fd, (char *)to + *got, n - *got, (off_t)(at + *got));

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return err_sys(e, "read %s at %llu", f->name, (unsigned long long)at);
		if (k == 0)
			break;
		*got += (size_t)k;
	}
	return RC_OK;
}

enum rc file_read_at(const struct file *f, void *to, size_t n, uint64_t at, struct err *e)
{
	size_t got;
	enum rc rc = file_read_some(f, to, n, at, &got, e);

	if (rc == RC_OK && got < n)
		return err_set(e, RC_CORRUPT, "%s ends at %llu, %zu bytes at %llu were wanted",
		               f->name, (unsigned long long)(at + got), n, (unsigned long long)at);
	return rc;
}

enum rc file_write_at(struct file *f, struct slice s, uint64_t at, struct err *e)
{
	struct iovec iov = { (void *)(uintptr_t)s.at, s.len };

	return file_writev_at(f, &iov, 1, at, e);
}

/* Drops n written bytes from the front of the vectors. */
static void iov_advance(struct iovec **iov, size_t *count, size_t n)
{
	while (*count && n >= (*iov)->iov_len) {
		n -= (*iov)->iov_len;
		(*iov)++;
		(*count)--;
	}
	if (*count && n) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + n;
		(*iov)->iov_len -= n;
	}
}

enum rc file_writev_at(struct file *f, struct iovec *iov, size_t count, uint64_t at, struct err *e)
{
	if (f->failed)
		return err_set(e, RC_IO, "write %s: an earlier sync failed", f->name);
	iov_advance(&iov, &count, 0);
	while (count) {
		ssize_t k = pwritev(f->fd, iov, (int)MIN_OF(count, (size_t)IOV_MAX), (off_t)at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return err_sys(e, "write %s at %llu", f->name, (unsigned long long)at);
		if (k == 0)
			return err_set(e, RC_IO, "write %s: nothing was written", f->name);
		at += (uint64_t)k;
		iov_advance(&iov, &count, (size_t)k);
	}
	return RC_OK;
}

enum rc file_size(const struct file *f, uint64_t *bytes, struct err *e)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return err_sys(e, "stat %s", f->name);
	*bytes = (uint64_t)st.st_size;
	return RC_OK;
}

enum rc file_fill_zero(struct file *f, uint64_t bytes, struct err *e)
{
	static const uint8_t zeros[65536];
	uint64_t at;
	enum rc rc = file_size(f, &at, e);

	while (rc == RC_OK && at < bytes) {
		size_t n = (size_t)MIN_OF((uint64_t)sizeof(zeros), bytes - at);

		rc = file_write_at(f, slice_of(zeros, n), at, e);
		at += n;
	}
	return rc;
}

enum rc file_truncate(struct file *f, uint64_t bytes, struct err *e)
{
	if (f->failed)
		return err_set(e, RC_IO, "truncate %s: an earlier sync failed", f->name);
	if (ftruncate(f->fd, (off_t)bytes) < 0)
		return err_sys(e, "truncate %s", f->name);
	return RC_OK;
}

/* Final for want of space too: what was written may be gone from memory. */
static enum rc sync_failed(struct err *e, const char *name)
{
	(void)err_sys(e, "sync %s", name);
	if (e)
		e->code = RC_IO;
	return RC_IO;
}

enum rc file_sync(struct file *f, const struct durable **proof, struct err *e)
{
	if (proof)
		*proof = NULL;
	if (f->failed)
		return err_set(e, RC_IO, "sync %s: an earlier sync failed", f->name);
	if (fdatasync(f->fd) < 0) {
		f->failed = true;
		return sync_failed(e, f->name);
	}
	f->durable.syncs++;
	if (proof)
		*proof = &f->durable;
	return RC_OK;
}

static enum rc read_whole(const struct file *f, struct buf *out, struct err *e)
{
	uint64_t size;
	size_t got;
	enum rc rc = file_size(f, &size, e);

	if (rc != RC_OK)
		return rc;
	if (size > out->limit - out->len)
		return err_set(e, RC_LIMIT, "%s has %llu bytes, at most %zu are read", f->name,
		               (unsigned long long)size, out->limit - out->len);
	if (buf_reserve(out, (size_t)size) != RC_OK)
		return err_set(e, RC_LIMIT, "%s: out of memory", f->name);
	rc = file_read_some(f, out->at + out->len, (size_t)size, 0, &got, e);
	if (rc != RC_OK)
		return rc;
	out->len += got;
	out->at[out->len] = '\0';
	return RC_OK;
}

enum rc file_read_all(const char *path, struct buf *out, struct err *e)
{
	struct file *f;
	enum rc rc = file_open(&f, path, FILE_READ, e);

	if (rc != RC_OK)
		return rc;
	rc = read_whole(f, out, e);
	file_close(&f);
	return rc;
}

static char *parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return mem_string(".");
	if (slash == path)
		return mem_string("/");
	return slice_string(slice_of(path, (size_t)(slash - path)));
}

static enum rc write_new(const char *path, struct slice content, struct err *e)
{
	struct file *f;
	enum rc rc = file_open(&f, path, FILE_APPEND, e);

	if (rc != RC_OK)
		return rc;
	rc = file_truncate(f, 0, e);
	if (rc == RC_OK)
		rc = file_write_at(f, content, 0, e);
	if (rc == RC_OK)
		rc = file_sync(f, NULL, e);
	file_close(&f);
	return rc;
}

enum rc file_replace(const char *path, struct slice content, struct err *e)
{
	char fresh[PATH_MAX];
	char *dir;
	enum rc rc;

	if ((size_t)snprintf(fresh, sizeof(fresh), "%s.new", path) >= sizeof(fresh))
		return err_set(e, RC_INVALID, "%s: the path is too long", path);
	rc = write_new(fresh, content, e);
	if (rc == RC_OK)
		rc = file_rename(fresh, path, e);
	if (rc != RC_OK) {
		(void)unlink(fresh);
		return rc;
	}
	dir = parent_of(path);
	rc = dir_sync(dir, e);
	free(dir);
	return rc;
}

enum rc file_lock(struct file *f, struct err *e)
{
	f->locked = flock(f->fd, LOCK_EX | LOCK_NB) == 0;
	if (f->locked)
		return RC_OK;
	if (errno == EWOULDBLOCK)
		return err_set(e, RC_AGAIN, "%s is locked by another process", f->name);
	return err_sys(e, "lock %s", f->name);
}

enum rc file_lock_soon(struct file *f, struct err *e)
{
	enum rc rc = file_lock(f, e);

	for (int i = 0; rc == RC_AGAIN && i < LOCK_TRIES; i++) {
		clock_sleep_ms(LOCK_MS);
		rc = file_lock(f, e);
	}
	return rc;
}

enum rc dir_make(const char *path, struct err *e)
{
	enum rc rc = RC_OK;
	int fd;

	if (mkdir(path, 0700) != 0)
		return errno == EEXIST ? RC_OK : err_sys(e, "make folder %s", path);
	if (!heir.len)
		return RC_OK;
	fd = open_retry(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (fd < 0 || !give_to_heir(fd))
		rc = err_sys(e, "owner of %s", path);
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

enum rc dir_sync(const char *path, struct err *e)
{
	int fd = open_retry(path, O_RDONLY | O_DIRECTORY);
	enum rc rc = RC_OK;

	if (fd < 0)
		return err_sys(e, "open folder %s", path);
	if (fsync(fd) < 0)
		rc = sync_failed(e, path);
	(void)close(fd);
	return rc;
}

enum rc dir_sync_all(const char *path, struct err *e)
{
	int fd = open_retry(path, O_RDONLY | O_DIRECTORY);
	enum rc rc = RC_OK;

	if (fd < 0)
		return err_sys(e, "open folder %s", path);
	if (syncfs(fd) < 0)
		rc = sync_failed(e, path);
	(void)close(fd);
	return rc;
}

bool dir_exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int not_dots(const struct dirent *d)
{
	return strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

enum rc dir_list(const char *path, enum rc (*each)(void *arg, const char *name, struct err *e),
                 void *arg, struct err *e)
{
	struct dirent **names;
	enum rc rc = RC_OK;
	int n = scandir(path, &names, not_dots, by_bytes);

	if (n < 0)
		return err_sys(e, "list folder %s", path);
	for (int i = 0; i < n; i++) {
		if (rc == RC_OK)
			rc = each(arg, names[i]->d_name, e);
		free(names[i]);
	}
	free(names);
	return rc;
}

enum rc dir_space(const char *path, uint64_t *unused, uint64_t *whole, struct err *e)
{
	struct statvfs st;

	if (statvfs(path, &st) < 0)
		return err_sys(e, "free space of %s", path);
	*unused = (uint64_t)st.f_bavail * st.f_frsize;
	*whole = (uint64_t)st.f_blocks * st.f_frsize;
	return RC_OK;
}

enum rc file_rename(const char *from, const char *to, struct err *e)
{
	if (rename(from, to) < 0)
		return err_sys(e, "rename %s to %s", from, to);
	return RC_OK;
}

enum rc file_remove(const char *path, struct err *e)
{
	if (unlink(path) < 0)
		return err_sys(e, "remove %s", path);
	return RC_OK;
}

bool file_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

char *path_join(const char *dir, const char *name)
{
	size_t room = strlen(dir) + strlen(name) + 2;
	char *path = mem_new(room);

	(void)snprintf(path, room, "%s/%s", dir, name);
	return path;
}

#ifdef MM_TEST_EARLY_REPLY
const struct durable *durable_false_proof(void)
{
	static const struct durable never = { 0 };

	return &never;
}
#endif
