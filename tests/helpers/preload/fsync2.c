/*
 * fsync2 - each sync twice, for tests that shut a file system down under mm
 *
 * A sync that overlaps the shutdown may return 0 although its data was cut off: the second call sees the shutdown and fails. It
 * hides nothing, since a program that never syncs stays without one.
 */
#include <dlfcn.h>

typedef int (*sync_call)(int fd);

static int twice(const char *name, int fd)
{
	sync_call real;
	int result;

	*(void **)(void *)&real = dlsym(RTLD_NEXT, name);
	result = real(fd);
	return result ? result : real(fd);
}

int fsync(int fd);
int fsync(int fd)
{
	return twice("fsync", fd);
}

int fdatasync(int fd);
int fdatasync(int fd)
{
	return twice("fdatasync", fd);
}
