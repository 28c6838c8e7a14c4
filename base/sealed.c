#include "base/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

static bool write_part(int fd, struct slice bytes)
{
	while (bytes.len) {
		ssize_t n = write(fd, bytes.at, bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes = slice_from(bytes, (size_t)n);
	}
	return true;
}

static bool write_all(int fd, const struct slice *parts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!write_part(fd, parts[i]))
			return false;
	return true;
}

enum rc sealed_parts(int *fd, const char *name, const struct slice *parts, size_t count,
                     struct err *e)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	enum rc rc;

	*fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);
	if (*fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		*fd = memfd_create(name, flags);
	if (*fd < 0)
		return err_sys(e, "memory for %s", name);
	if (write_all(*fd, parts, count) && fcntl(*fd, F_ADD_SEALS, SEALS) == 0)
		return RC_OK;
	rc = err_sys(e, "memory for %s", name);
	(void)close(*fd);
	*fd = -1;
	return rc;
}

enum rc sealed_new(int *fd, const char *name, struct slice bytes, struct err *e)
{
	return sealed_parts(fd, name, &bytes, 1, e);
}

/* Private, for before Linux 6.7 what is sealed can't be mapped shared, not even to be read. */
enum rc sealed_map(struct slice *out, int fd, struct err *e)
{
	int seals = fcntl(fd, F_GET_SEALS);
	off_t bytes = lseek(fd, 0, SEEK_END);
	void *at;

	*out = slice_of(NULL, 0);
	if (seals < 0 || (seals & SEALS) != SEALS || bytes < 0)
		return err_set(e, RC_INVALID, "memory that isn't sealed");
	if (bytes == 0)
		return RC_OK;
	at = mmap(NULL, (size_t)bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		return err_sys(e, "map what is sealed");
	*out = slice_of(at, (size_t)bytes);
	return RC_OK;
}

void sealed_unmap(struct slice *s)
{
	if (s->len)
		(void)munmap((void *)(uintptr_t)s->at, s->len);
	*s = slice_of(NULL, 0);
}
