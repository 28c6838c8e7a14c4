/*
 * tests/helpers/preload/stop.c - ends a program, or the whole tree, at its n-th call that writes
 *
 * For LD_PRELOAD. MM_STOP names a file with a struct plan, which all programs map that run at the
 * time (tests/lib/stops.py). Calls are counted by program and kind, over all its processes and
 * threads. At the one that is meant the process ends as by SIGKILL: before the call, after it, or,
 * of a write, when half of the bytes are written. With `tree` each other program ends at its next
 * call: no call is made any more.
 */
#undef _FORTIFY_SOURCE /* it has an open() of its own */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { PWRITE, WRITE, SEND, FSYNC, FDATASYNC, TRUNCATE, CREATE, RENAME, UNLINK, MKDIR, KINDS };
enum moment { BEFORE, HALF, AFTER };

#define PROGRAMS 8

struct plan {
	char names[PROGRAMS][16];
	uint32_t program; /* index of a name; PROGRAMS: none ends */
	uint32_t kind;
	uint64_t at; /* 1: the first call */
	uint32_t moment;
	uint32_t tree;
	atomic_uint hit;
	atomic_uint over; /* the tree has ended */
	atomic_ulong seen[PROGRAMS][KINDS];
};

static struct plan *plan;
static unsigned self;

static void __attribute__((constructor)) begin(void)
{
	const char *path = getenv("MM_STOP");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *map;

	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return;
	plan = map;
	while (self < PROGRAMS && strcmp(plan->names[self], program_invocation_short_name) != 0)
		self++;
	if (self == PROGRAMS)
		plan = NULL;
}

static void end(void)
{
	for (;;) /* what every sandbox allows: a signal to itself */
		syscall(SYS_tgkill, getpid(), gettid(), SIGKILL);
}

static void last_call(void)
{
	atomic_store(&plan->hit, 1);
	if (plan->tree)
		atomic_store(&plan->over, 1);
	end();
}

/* Whether it is the last, in which case last_call comes when it is done. */
static bool count(enum kind kind, bool halves)
{
	unsigned long n;

	if (!plan)
		return false;
	if (atomic_load(&plan->over))
		end();
	n = atomic_fetch_add(&plan->seen[self][kind], 1) + 1;
	if (self != plan->program || kind != plan->kind || n != plan->at)
		return false;
	if (plan->moment == BEFORE || (plan->moment == HALF && !halves))
		last_call();
	return true;
}

static size_t some(bool last, size_t n)
{
	return last && plan->moment == HALF ? n / 2 : n;
}

/* errno as the call left it. */
#define RETURN(last, result)                                                                       \
	do {                                                                                       \
		if (last)                                                                          \
			last_call();                                                               \
		return result;                                                                     \
	} while (0)

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void write_half(int fd, const struct iovec *iov, int n, off_t at)
{
	size_t left = 0;

	for (int i = 0; i < n; i++)
		left += iov[i].iov_len;
	left /= 2;
	for (int i = 0; i < n && left; i++) {
		size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;

		if (pwrite(fd, iov[i].iov_base, part, at) < 0)
			return;
		left -= part;
		at += (off_t)part;
	}
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t at)
{
	bool last = count(PWRITE, true);
	ssize_t got = 0;

	if (last && plan->moment == HALF)
		write_half(fd, iov, n, at);
	else
		got = NEXT(pwritev)(fd, iov, n, at);
	RETURN(last, got);
}

ssize_t write(int fd, const void *from, size_t n)
{
	bool last = count(WRITE, true);
	ssize_t got = NEXT(write)(fd, from, some(last, n));

	RETURN(last, got);
}

ssize_t send(int fd, const void *from, size_t n, int flags)
{
	bool last = count(SEND, true);
	ssize_t got = NEXT(send)(fd, from, some(last, n), flags);

	RETURN(last, got);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	bool last = count(SEND, false);
	ssize_t got = NEXT(sendmsg)(fd, m, flags);

	RETURN(last, got);
}

#define CALL(kind, name, parameters, arguments)                                                    \
	int name parameters                                                                        \
	{                                                                                          \
		bool last = count(kind, false);                                                    \
		int got = NEXT(name) arguments;                                                    \
                                                                                                   \
		RETURN(last, got);                                                                 \
	}

CALL(FSYNC, fsync, (int fd), (fd))
CALL(FSYNC, syncfs, (int fd), (fd))
CALL(FDATASYNC, fdatasync, (int fd), (fd))
CALL(TRUNCATE, ftruncate, (int fd, off_t n), (fd, n))
CALL(RENAME, rename, (const char *from, const char *to), (from, to))
CALL(UNLINK, unlink, (const char *path), (path))
CALL(MKDIR, mkdir, (const char *path, mode_t mode), (path, mode))

int open(const char *path, int flags, ...)
{
	bool last = (flags & O_CREAT) && count(CREATE, false);
	mode_t mode = 0;
	int got;

	if (flags & O_CREAT) {
		va_list ap;

		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	got = NEXT(open)(path, flags, mode);
	RETURN(last, got);
}
