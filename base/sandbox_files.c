/* base/sandbox_files.c - Landlock: the kernel's numbers, also those newer than the headers here */
#include "base/sandbox_parts.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

#define FS_REFER     (1ULL << 13)
#define FS_TRUNCATE  (1ULL << 14)
#define FS_IOCTL_DEV (1ULL << 15)

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_WRITE                                                                                   \
	(FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |                \
	 LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |                             \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SOCK | FS_REFER | FS_TRUNCATE)
#define FS_OF_A_FILE                                                                               \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |                               \
	 LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE)

#define NET_BIND      1ULL
#define NET_CONNECT   2ULL
#define RULE_NET_PORT 2

static bool files_restricted;

struct rules {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

static struct rules rules_of_abi(int abi, bool owner)
{
	struct rules r = { .fs = (1ULL << 13) - 1 };

	if (abi >= 2)
		r.fs |= FS_REFER;
	if (abi >= 3)
		r.fs |= FS_TRUNCATE;
	if (abi >= 4) /* the owner binds the listeners, on ports that change */
		r.net = owner ? NET_CONNECT : NET_BIND | NET_CONNECT;
	if (abi >= 5)
		r.fs |= FS_IOCTL_DEV;
	if (abi >= 6)
		r.scoped = 3; /* abstract Unix sockets, signals */
	return r;
}

/* Size of the kernel's struct at this ABI; a longer one with zeros behind is fine too, but not for
 * kernels that don't expect the rule bits. */
static size_t rules_size(int abi)
{
	return abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
}

static uint64_t rights(enum sandbox_use use)
{
	return use == SANDBOX_WRITE ? FS_WRITE
	       : use == SANDBOX_RUN ? FS_READ | LANDLOCK_ACCESS_FS_EXECUTE
	                            : FS_READ;
}

static enum rc add_path(int ruleset, const struct rules *rules, const struct sandbox_path *p,
                        struct err *e)
{
	struct landlock_path_beneath_attr attr = { .allowed_access = rights(p->use) & rules->fs };
	struct stat st;
	int bad;

	attr.parent_fd = open(p->path, O_PATH | O_CLOEXEC);
	if (attr.parent_fd < 0)
		return RC_OK; /* what isn't there needs no permission */
	if (fstat(attr.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
		attr.allowed_access &= FS_OF_A_FILE;
	bad = (int)syscall(__NR_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &attr, 0U);
	if (bad)
		(void)err_sys(e, "Landlock: %s", p->path);
	(void)close(attr.parent_fd);
	return bad ? RC_IO : RC_OK;
}

static enum rc add_port(int ruleset, uint16_t port, struct err *e)
{
	const struct {
		uint64_t allowed_access;
		uint64_t port;
	} attr = { NET_CONNECT, port };

	if (syscall(__NR_landlock_add_rule, ruleset, RULE_NET_PORT, &attr, 0U) != 0)
		return err_sys(e, "Landlock: port %u", port);
	return RC_OK;
}

enum rc sandbox_restrict_files(const struct sandbox_path *paths, size_t count,
                               const uint16_t *ports, struct err *e)
{
	/* 1: only tell the ABI */
	int abi = (int)syscall(__NR_landlock_create_ruleset, NULL, 0, 1U);
	struct rules rules;
	enum rc rc = RC_OK;
	int fd;

	if (abi < 1) {
		log_warn("this kernel has no Landlock: files are kept away by seccomp alone");
		return RC_OK;
	}
	rules = rules_of_abi(abi, count > 0);
	fd = (int)syscall(__NR_landlock_create_ruleset, &rules, rules_size(abi), 0U);
	if (fd < 0)
		return err_sys(e, "Landlock (ABI %d)", abi);
	for (size_t i = 0; rc == RC_OK && i < count; i++)
		rc = add_path(fd, &rules, &paths[i], e);
	for (; rc == RC_OK && ports && *ports && (rules.net & NET_CONNECT); ports++)
		rc = add_port(fd, *ports, e);
	if (rc == RC_OK && syscall(__NR_landlock_restrict_self, fd, 0U) != 0)
		rc = err_sys(e, "Landlock (ABI %d)", abi);
	(void)close(fd);
	files_restricted = rc == RC_OK;
	return rc;
}

bool sandbox_has_landlock(void)
{
	return files_restricted;
}
