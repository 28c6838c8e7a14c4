/* base/sandbox_owner.c - the sandbox of mmd, which owns files and starts programs */
#include "base/sandbox_parts.h"

#include <errno.h>
#include <link.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/child.h"
#include "base/limits.h"

#define MOST_PATHS 128

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

/* What mmd never does, nor a child before it confines itself further. */
static const int refused[] = {
	/* other processes */
	__NR_process_vm_readv,
	__NR_process_vm_writev,
	__NR_process_madvise,
	__NR_kcmp,
	__NR_pidfd_getfd,
	__NR_perf_event_open,
	__NR_fork,
	__NR_vfork,
	__NR_execveat,
#if !SANITIZED
	__NR_ptrace, /* the leak checker's */
	__NR_personality,
#endif
	/* the kernel's larger corners */
	__NR_bpf,
	__NR_userfaultfd,
	__NR_io_uring_setup,
	__NR_io_uring_enter,
	__NR_io_uring_register,
	__NR_keyctl,
	__NR_add_key,
	__NR_request_key,
	__NR_modify_ldt,
	__NR_fanotify_init,
	__NR_name_to_handle_at,
	__NR_open_by_handle_at,
	__NR_vmsplice,
	__NR_remap_file_pages,
	__NR_pkey_mprotect,
	__NR_shmat,
	__NR_mbind,
	__NR_set_mempolicy,
	__NR_migrate_pages,
	__NR_move_pages,
	__NR_lookup_dcookie,
	__NR_quotactl,
	__NR_syslog,
	__NR_vhangup,
	/* namespaces, mounts, the machine */
	__NR_unshare,
	__NR_setns,
	__NR_mount,
	__NR_umount2,
	__NR_pivot_root,
	__NR_chroot,
	__NR_fsopen,
	__NR_fsconfig,
	__NR_fsmount,
	__NR_fspick,
	__NR_move_mount,
	__NR_open_tree,
	__NR_mount_setattr,
	__NR_swapon,
	__NR_swapoff,
	__NR_reboot,
	__NR_kexec_load,
	__NR_kexec_file_load,
	__NR_init_module,
	__NR_finit_module,
	__NR_delete_module,
	__NR_acct,
	__NR_settimeofday,
	__NR_clock_settime,
	__NR_adjtimex,
	__NR_clock_adjtime,
	__NR_sethostname,
	__NR_setdomainname,
	__NR_iopl,
	__NR_ioperm,
	/* who it is, and what files are */
	__NR_setuid,
	__NR_setgid,
	__NR_setreuid,
	__NR_setregid,
	__NR_setresuid,
	__NR_setresgid,
	__NR_setgroups,
	__NR_setfsuid,
	__NR_setfsgid,
	__NR_capset,
	__NR_chmod,
	__NR_fchmod,
	__NR_fchmodat,
	__NR_chown,
	__NR_fchown,
	__NR_lchown,
	__NR_fchownat,
	__NR_mknod,
	__NR_mknodat,
	__NR_link,
	__NR_linkat,
	__NR_symlink,
	__NR_symlinkat,
	__NR_setxattr,
	__NR_lsetxattr,
	__NR_fsetxattr,
	/* it listens, and never calls anybody */
	__NR_connect,
};

static int refuse(scmp_filter_ctx c, int call, unsigned count, const struct scmp_arg_cmp *when)
{
	int bad = seccomp_rule_add_array(c, SCMP_ACT_ERRNO(EPERM), call, count, when);

	return bad == -EEXIST ? 0 : bad;
}

static int refuse_when(scmp_filter_ctx c, int call, struct scmp_arg_cmp when)
{
	return refuse(c, call, 1, &when);
}

/* Stream sockets of the families Unix, IPv4 and IPv6; nothing else. */
static int refuse_sockets(scmp_filter_ctx c)
{
	static const int calls[] = { __NR_socket, __NR_socketpair };
	int bad = 0;

	for (size_t i = 0; !bad && i < COUNT(calls); i++) {
		bad = refuse_when(c, calls[i], SCMP_A0_64(SCMP_CMP_EQ, AF_UNSPEC, 0));
		for (unsigned family = AF_INET + 1; !bad && family < AF_INET6; family++)
			bad = refuse_when(c, calls[i], SCMP_A0_64(SCMP_CMP_EQ, family, 0));
		if (!bad)
			bad = refuse_when(c, calls[i], SCMP_A0_64(SCMP_CMP_GT, AF_INET6, 0));
		for (unsigned type = 0; !bad && type < 16; type++)
			if (type != SOCK_STREAM)
				bad = refuse_when(c, calls[i],
				                  SCMP_A1_64(SCMP_CMP_MASKED_EQ, 15, type));
	}
	return bad;
}

/* Threads, and what posix_spawn makes; no copy of itself, no namespace. clone3 hides its flags. */
static int refuse_processes(scmp_filter_ctx c)
{
	static const unsigned spaces[] = { CLONE_NEWNS,  CLONE_NEWCGROUP, CLONE_NEWUTS,
		                           CLONE_NEWIPC, CLONE_NEWUSER,   CLONE_NEWPID,
		                           CLONE_NEWNET };
	int bad = seccomp_rule_add(c, SCMP_ACT_ERRNO(ENOSYS), __NR_clone3, 0);

	if (!bad)
		bad = refuse_when(c, __NR_clone, SCMP_A0_64(SCMP_CMP_MASKED_EQ, CLONE_VM, 0));
	for (size_t i = 0; !bad && i < COUNT(spaces); i++)
		bad = refuse_when(c, __NR_clone,
		                  SCMP_A0_64(SCMP_CMP_MASKED_EQ, spaces[i], spaces[i]));
	if (!bad) /* the limits of another process */
		bad = refuse_when(c, __NR_prlimit64, SCMP_A0_64(SCMP_CMP_NE, 0, 0));
	return bad;
}

/* No memory that can be written and run, nor a file in memory that can be started where the kernel
 * knows one that can't be. */
static int refuse_code(scmp_filter_ctx c)
{
	const unsigned both = PROT_WRITE | PROT_EXEC;
	int fd = memfd_create("try", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
	int bad = refuse_when(c, __NR_mmap, SCMP_A2_64(SCMP_CMP_MASKED_EQ, both, both));

	if (!bad)
		bad = refuse_when(c, __NR_mprotect,
		                  SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC));
	if (!bad && fd >= 0)
		bad = refuse_when(c, __NR_memfd_create,
		                  SCMP_A1_64(SCMP_CMP_MASKED_EQ, MFD_NOEXEC_SEAL, 0));
	if (fd >= 0)
		(void)close(fd);
	if (!bad) {
		const struct scmp_arg_cmp dumpable[] = {
			SCMP_A0_64(SCMP_CMP_MASKED_EQ, 0xffffffffU, PR_SET_DUMPABLE),
			SCMP_A1_64(SCMP_CMP_NE, 0, 0),
		};

		bad = refuse(c, __NR_prctl, COUNT(dumpable), dumpable);
	}
	return bad;
}

static enum rc filter_calls(struct err *e)
{
	scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);
	int bad;

	if (!c)
		return err_set(e, RC_IO, "seccomp: no filter");
	bad = seccomp_attr_set(c, SCMP_FLTATR_CTL_NNP, 1);
	if (!bad)
		bad = seccomp_attr_set(c, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	for (size_t i = 0; !bad && i < COUNT(refused); i++)
		bad = refuse(c, refused[i], 0, NULL);
	if (!bad)
		bad = refuse_sockets(c);
	if (!bad)
		bad = refuse_processes(c);
	if (!bad && !SANITIZED)
		bad = refuse_code(c);
	if (!bad)
		bad = seccomp_load(c);
	seccomp_release(c);
	if (bad) {
		errno = -bad;
		(void)err_sys(e, "seccomp");
		return RC_IO;
	}
	return RC_OK;
}

/* What the dynamic linker, glibc and the libraries read when a child starts. */
static const struct sandbox_path system_paths[] = {
	{ "/usr/lib", SANDBOX_READ },
	{ "/usr/lib64", SANDBOX_READ },
	{ "/lib", SANDBOX_READ },
	{ "/lib64", SANDBOX_READ },
	{ "/usr/local/lib", SANDBOX_READ },
	{ "/usr/share", SANDBOX_READ }, /* zoneinfo, locale, character sets */
	{ "/etc/ld.so.cache", SANDBOX_READ },
	{ "/etc/ld.so.preload", SANDBOX_READ },
	{ "/etc/localtime", SANDBOX_READ },
	{ "/etc/timezone", SANDBOX_READ },
	{ "/proc", SANDBOX_READ },
	{ "/sys/devices/system/cpu", SANDBOX_READ },
	{ "/dev/urandom", SANDBOX_READ },
};

/* The program that the kernel starts to load ours. */
static int find_interpreter(struct dl_phdr_info *info, size_t size, void *arg)
{
	const char **out = arg;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_INTERP)
			*out = (const char *)(uintptr_t)(info->dlpi_addr +
			                                 info->dlpi_phdr[i].p_vaddr);
	return 1; /* the first is the main program */
}

#ifdef MM_TEST
/* What children of a test build open before they confine themselves. */
static size_t test_paths(struct sandbox_path *out)
{
	static const struct sandbox_path names[] = {
		{ "MM_TEST_CLOCK", SANDBOX_READ },
		{ "LD_PRELOAD", SANDBOX_READ },
		{ "MM_STOP", SANDBOX_WRITE },
	};
	size_t n = 0;

	for (size_t i = 0; i < COUNT(names); i++)
		if (getenv(names[i].path))
			out[n++] = (struct sandbox_path) { getenv(names[i].path), names[i].use };
	return n;
}
#endif

enum rc sandbox_enter_owner(const struct sandbox_path *paths, size_t count,
                            const char *const *programs, struct err *e)
{
	struct sandbox_path all[MOST_PATHS];
	char own[4][4096];
	const char *interpreter = NULL;
	size_t n = 0;
	enum rc rc;

	if (sandbox_off())
		return RC_OK;
	rc = sandbox_seal_process(e);
	MUST(count + COUNT(system_paths) + COUNT(own) + 5 <= MOST_PATHS);
	for (size_t i = 0; i < count; i++)
		all[n++] = paths[i];
	for (size_t i = 0; i < COUNT(system_paths); i++)
		all[n++] = system_paths[i];
	all[n++] = (struct sandbox_path) { "/dev/null", SANDBOX_WRITE };
#ifdef MM_TEST
	n += test_paths(&all[n]);
#endif
	(void)dl_iterate_phdr(find_interpreter, &interpreter);
	if (interpreter)
		all[n++] = (struct sandbox_path) { interpreter, SANDBOX_RUN };
	for (size_t i = 0; rc == RC_OK && programs[i]; i++) {
		MUST(i < COUNT(own));
		rc = child_path(programs[i], own[i], sizeof(own[i]), e);
		all[n++] = (struct sandbox_path) { own[i], SANDBOX_RUN };
	}
	if (rc == RC_OK)
		rc = sandbox_restrict_files(all, n, NULL, e);
	if (rc == RC_OK)
		rc = filter_calls(e);
	sandbox_probe();
	return rc;
}
