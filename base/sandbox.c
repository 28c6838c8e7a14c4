#include "base/sandbox.h"

#include <errno.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static bool files_restricted;

/* What every confined program needs. */
static const int common[] = {
	__NR_read,
	__NR_write,
	__NR_readv,
	__NR_writev,
	__NR_close,
	__NR_lseek,
	__NR_fstat,
	__NR_brk,
	__NR_munmap,
	__NR_mremap,
	__NR_madvise,
	__NR_futex,
	__NR_rt_sigaction,
	__NR_rt_sigprocmask,
	__NR_rt_sigreturn,
	__NR_sigaltstack,
	__NR_clock_gettime,
	__NR_clock_nanosleep,
	__NR_nanosleep,
	__NR_gettimeofday,
	__NR_getpid,
	__NR_gettid,
	__NR_getrandom,
	__NR_restart_syscall,
	__NR_exit,
	__NR_exit_group,
	__NR_sched_yield,
	__NR_set_robust_list,
	__NR_rseq,
	__NR_clock_getres,
	__NR_set_tid_address,
	__NR_membarrier,
#if SANITIZED
	__NR_sched_getaffinity,
	__NR_getrlimit,
	__NR_prlimit64,
	__NR_prctl,
#endif
};

/* --- resource limits --- */

static enum rc lower(int what, const char *name, rlim_t limit, struct err *e)
{
	struct rlimit r;

	if (getrlimit((enum __rlimit_resource)what, &r) != 0)
		return err_sys(e, "%s", name);
	if (r.rlim_max != RLIM_INFINITY && r.rlim_max < limit)
		limit = r.rlim_max;
	r = (struct rlimit) { limit, limit };
	if (setrlimit((enum __rlimit_resource)what, &r) != 0)
		return err_sys(e, "%s", name);
	return RC_OK;
}

static enum rc set_limits(const struct sandbox_profile *p, struct err *e)
{
	enum rc rc = lower(RLIMIT_CORE, "RLIMIT_CORE", 0, e);

	if (rc == RC_OK && p->nofile)
		rc = lower(RLIMIT_NOFILE, "RLIMIT_NOFILE", p->nofile, e);
	if (rc == RC_OK && p->stack)
		rc = lower(RLIMIT_STACK, "RLIMIT_STACK", p->stack, e);
	if (rc == RC_OK && p->address_space && !SANITIZED)
		rc = lower(RLIMIT_AS, "RLIMIT_AS", p->address_space, e);
	return rc;
}

/* --- Landlock: the kernel's numbers, also those that are newer than the headers here --- */

struct landlock_rules {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

static struct landlock_rules rules_of_abi(int abi)
{
	struct landlock_rules r = { .fs = (1ULL << 13) - 1 };

	if (abi >= 2)
		r.fs |= 1ULL << 13; /* REFER */
	if (abi >= 3)
		r.fs |= 1ULL << 14; /* TRUNCATE */
	if (abi >= 4)
		r.net = 3; /* BIND_TCP, CONNECT_TCP */
	if (abi >= 5)
		r.fs |= 1ULL << 15; /* IOCTL_DEV */
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

static enum rc restrict_files(struct err *e)
{
	int abi =
	        (int)syscall(__NR_landlock_create_ruleset, NULL, 0, 1U); /* 1: only tell the ABI */
	struct landlock_rules rules;
	int fd;
	int bad;

	if (abi < 1) {
		log_warn("this kernel has no Landlock: files are kept away by seccomp alone");
		return RC_OK;
	}
	rules = rules_of_abi(abi);
	fd = (int)syscall(__NR_landlock_create_ruleset, &rules, rules_size(abi), 0U);
	if (fd < 0)
		return err_sys(e, "Landlock (ABI %d)", abi);
	bad = (int)syscall(__NR_landlock_restrict_self, fd, 0U);
	if (bad)
		(void)err_sys(e, "Landlock (ABI %d)", abi);
	(void)close(fd);
	if (bad)
		return RC_IO;
	files_restricted = true;
	return RC_OK;
}

bool sandbox_has_landlock(void)
{
	return files_restricted;
}

/* --- seccomp --- */

static int allow_all_of(scmp_filter_ctx c, const int *calls, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int bad = seccomp_rule_add(c, SCMP_ACT_ALLOW, calls[i], 0);

		if (bad && bad != -EEXIST)
			return bad;
	}
	return 0;
}

/* Memory may be written or run, not made runnable: no PROT_EXEC after this. */
static int allow_memory(scmp_filter_ctx c)
{
	int bad = seccomp_rule_add(c, SCMP_ACT_ALLOW, __NR_mmap, 1,
	                           SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

	return bad ? bad
	           : seccomp_rule_add(c, SCMP_ACT_ALLOW, __NR_mprotect, 1,
	                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

/* A signal to itself, as abort() sends. */
static int allow_abort(scmp_filter_ctx c)
{
	return seccomp_rule_add(c, SCMP_ACT_ALLOW, __NR_tgkill, 1,
	                        SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
}

/* glibc tries clone3, whose flags a filter can't see, and takes clone when it isn't there. */
static int allow_threads(scmp_filter_ctx c, bool threads)
{
	int bad = seccomp_rule_add(c, SCMP_ACT_ERRNO(ENOSYS), __NR_clone3, 0);

	if (bad || !threads)
		return bad;
	return seccomp_rule_add(c, SCMP_ACT_ALLOW, __NR_clone, 1,
	                        SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
}

static enum rc filter_calls(const struct sandbox_profile *p, struct err *e)
{
	scmp_filter_ctx c = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int bad;

	if (!c)
		return err_set(e, RC_IO, "seccomp: no filter");
	bad = seccomp_attr_set(c, SCMP_FLTATR_CTL_NNP, 1);
	if (!bad)
		bad = allow_all_of(c, common, COUNT(common));
	if (!bad)
		bad = allow_all_of(c, p->syscalls, p->count);
	if (!bad)
		bad = allow_memory(c);
	if (!bad)
		bad = allow_abort(c);
	if (!bad)
		bad = allow_threads(c, p->threads);
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

enum rc sandbox_enter(const struct sandbox_profile *p, struct err *e)
{
	enum rc rc;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return err_sys(e, "prctl");
	rc = set_limits(p, e);
	if (rc == RC_OK)
		rc = restrict_files(e);
	if (rc == RC_OK)
		rc = filter_calls(p, e);
	return rc;
}
