#include "tests/unit/fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_uint armed; /* kinds, 0: none */
static atomic_uint seen;
static atomic_bool hit;
static unsigned wanted; /* set while nothing is armed */
static int code;
static bool all_after;

void fault_arm(unsigned calls, unsigned n, int error, bool on)
{
	wanted = n;
	code = error;
	all_after = on;
	atomic_store(&seen, 0);
	atomic_store(&hit, false);
	atomic_store(&armed, calls);
}

bool fault_disarm(void)
{
	atomic_store(&armed, 0);
	return atomic_exchange(&hit, false);
}

bool fault_is_due(unsigned kinds)
{
	unsigned n;

	if (!(atomic_load(&armed) & kinds))
		return false;
	n = atomic_fetch_add(&seen, 1) + 1;
	if (all_after ? n < wanted : n != wanted)
		return false;
	atomic_store(&hit, true);
	errno = code;
	return true;
}

/* The linker sends a call of NAME to __wrap_NAME, and one of __real_NAME to NAME. */
#define WRAP(type, name, kind, failed, parameters, arguments)                                      \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		return fault_is_due(kind) ? failed : __real_##name arguments;                      \
	}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	va_list list;
	mode_t mode = 0;

	if (flags & O_CREAT) {
		va_start(list, flags);
		mode = va_arg(list, mode_t);
		va_end(list);
	}
	return fault_is_due(FAULT_OPEN) ? -1 : __real_open(path, flags, mode);
}

bool (*fault_watch)(unsigned call, int fd, size_t bytes);
bool (*fault_watch_at)(unsigned call, int fd, size_t bytes, off_t at);

static bool io_fails(unsigned call, int fd, size_t bytes)
{
	return fault_is_due(call) || (fault_watch && fault_watch(call, fd, bytes));
}

static bool io_fails_at(unsigned call, int fd, size_t bytes, off_t at)
{
	return io_fails(call, fd, bytes) || (fault_watch_at && fault_watch_at(call, fd, bytes, at));
}

ssize_t __real_pread(int fd, void *to, size_t n, off_t at);
ssize_t __wrap_pread(int fd, void *to, size_t n, off_t at);
ssize_t __wrap_pread(int fd, void *to, size_t n, off_t at)
{
	return io_fails_at(FAULT_READ, fd, n, at) ? -1 : __real_pread(fd, to, n, at);
}

ssize_t __real_pwritev(int fd, const struct iovec *v, int n, off_t at);
ssize_t __wrap_pwritev(int fd, const struct iovec *v, int n, off_t at);
ssize_t __wrap_pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	return io_fails_at(FAULT_WRITE, fd, 0, at) ? -1 : __real_pwritev(fd, v, n, at);
}

int __real_fstat(int fd, struct stat *st);

static bool on_disk(int fd)
{
	struct stat st;

	return __real_fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
}

/* Only what was written is watched, not names. */
#define WRAP_SYNC(name, fails)                                                                     \
	int __real_##name(int fd);                                                                 \
	int __wrap_##name(int fd);                                                                 \
	int __wrap_##name(int fd)                                                                  \
	{                                                                                          \
		if (fails)                                                                         \
			return -1;                                                                 \
		return on_disk(fd) ? 0 : __real_##name(fd);                                        \
	}

WRAP_SYNC(fdatasync, io_fails(FAULT_SYNC, fd, 0))
WRAP_SYNC(fsync, fault_is_due(FAULT_SYNC_DIR))
WRAP_SYNC(syncfs, fault_is_due(FAULT_SYNC_DIR))

WRAP(int, ftruncate, FAULT_CUT, -1, (int fd, off_t n), (fd, n))
WRAP(int, rename, FAULT_NAME, -1, (const char *from, const char *to), (from, to))
WRAP(int, unlink, FAULT_NAME, -1, (const char *path), (path))
WRAP(int, mkdir, FAULT_NAME, -1, (const char *path, mode_t mode), (path, mode))
WRAP(int, fstat, FAULT_STAT, -1, (int fd, struct stat *st), (fd, st))
WRAP(int, statvfs, FAULT_STAT, -1, (const char *path, struct statvfs *st), (path, st))
WRAP(int, flock, FAULT_LOCK, -1, (int fd, int how), (fd, how))
WRAP(int, scandir, FAULT_LIST, -1,
     (const char *path, struct dirent ***list, int (*keep)(const struct dirent *),
      int (*order)(const struct dirent **, const struct dirent **)),
     (path, list, keep, order))
WRAP(int, eventfd, FAULT_THREAD, -1, (unsigned first, int flags), (first, flags))
WRAP(int, pthread_create, FAULT_THREAD, errno,
     (pthread_t * t, const pthread_attr_t *a, void *(*run)(void *), void *arg), (t, a, run, arg))
WRAP(void *, realloc, FAULT_MEMORY, NULL, (void *old, size_t n), (old, n))
WRAP(void *, malloc, FAULT_MEMORY, NULL, (size_t n), (n))

/* What has no limit ends the process when memory runs out: that isn't asked here. */
void *__wrap_mem_resize(void *old, size_t bytes);
void *__wrap_mem_resize(void *old, size_t bytes)
{
	void *p = __real_realloc(old, bytes ? bytes : 1);

	if (!p)
		abort();
	return p;
}

static _Atomic int64_t ahead_ms;

void fault_later(int64_t ms)
{
	ahead_ms = ms;
}

int64_t __real_clock_mono_ms(void);
int64_t __wrap_clock_mono_ms(void);
int64_t __wrap_clock_mono_ms(void)
{
	return __real_clock_mono_ms() + ahead_ms;
}
