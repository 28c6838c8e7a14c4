/*
 * tests/helpers/preload/fault.c - makes the n-th allocation fail, or the n-th write or read short
 *
 * For LD_PRELOAD. MM_FAULT_PROGRAM names the program that is meant; MM_FAULT_ALLOC and MM_FAULT_SHORT
 * are "N" (that one) or "N+" (it and all after it), counted from main on over all threads.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

struct counter {
	unsigned long at; /* 0: never */
	bool on;
	atomic_ulong seen;
};

static struct counter allocations;
static struct counter transfers;

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);

static bool hit(struct counter *c)
{
	unsigned long n;

	if (!c->at)
		return false;
	n = atomic_fetch_add(&c->seen, 1) + 1;
	return c->on ? n >= c->at : n == c->at;
}

static void set(struct counter *c, const char *name)
{
	const char *text = getenv(name);
	char *end;

	if (!text)
		return;
	c->at = strtoul(text, &end, 10);
	c->on = *end == '+';
}

static void __attribute__((constructor)) begin(void)
{
	const char *program = getenv("MM_FAULT_PROGRAM");

	if (!program || strcmp(program, program_invocation_short_name) != 0)
		return;
	set(&allocations, "MM_FAULT_ALLOC");
	set(&transfers, "MM_FAULT_SHORT");
}

/* ---- memory ---- */

static bool refused(void)
{
	if (!hit(&allocations))
		return false;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t n)
{
	return refused() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return refused() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return refused() ? NULL : __libc_realloc(p, n);
}

void *memalign(size_t align, size_t n);
void *memalign(size_t align, size_t n)
{
	return refused() ? NULL : __libc_memalign(align, n);
}

void *aligned_alloc(size_t align, size_t n)
{
	return memalign(align, n);
}

int posix_memalign(void **out, size_t align, size_t n)
{
	*out = memalign(align, n);
	return *out ? 0 : ENOMEM;
}

/* ---- files: half of what was asked for, really written or read ---- */

static size_t some(size_t n)
{
	return n > 1 && hit(&transfers) ? n / 2 : n;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pread(int fd, void *to, size_t n, off_t at)
{
	return NEXT(pread)(fd, to, some(n), at);
}

ssize_t pwrite(int fd, const void *from, size_t n, off_t at)
{
	return NEXT(pwrite)(fd, from, some(n), at);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
	size_t all = 0;
	size_t n;

	for (int i = 0; i < count; i++)
		all += iov[i].iov_len;
	n = some(all);
	if (n == all)
		return NEXT(pwritev)(fd, iov, count, at);
	/* The first vectors, the last of them cut. */
	for (int i = 0; i < count; i++) {
		if (iov[i].iov_len >= n)
			return i ? NEXT(pwritev)(fd, iov, i, at)
			         : NEXT(pwrite)(fd, iov[0].iov_base, n, at);
		n -= iov[i].iov_len;
	}
	return 0;
}
