#include "base/sandbox.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sandbox_parts.h"

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
#ifdef MM_TEST
	__NR_pread64, /* the test clock */
#endif
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
	enum rc rc = RC_OK;

	if (p->nofile)
		rc = lower(RLIMIT_NOFILE, "RLIMIT_NOFILE", p->nofile, e);
	if (rc == RC_OK && p->stack)
		rc = lower(RLIMIT_STACK, "RLIMIT_STACK", p->stack, e);
	if (rc == RC_OK && p->address_space && !SANITIZED)
		rc = lower(RLIMIT_AS, "RLIMIT_AS", p->address_space, e);
	return rc;
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

/* Sockets of IPv4 and IPv6. Which TCP port, Landlock says where it can. */
static int allow_sockets(scmp_filter_ctx c, unsigned type)
{
	static const scmp_datum_t families[] = { AF_INET, AF_INET6 };
	int bad = 0;

	for (size_t i = 0; !bad && i < COUNT(families); i++)
		bad = seccomp_rule_add(c, SCMP_ACT_ALLOW, __NR_socket, 2,
		                       SCMP_A0(SCMP_CMP_EQ, families[i], 0),
		                       SCMP_A1(SCMP_CMP_MASKED_EQ, 15, type));
	return bad;
}

static int allow_connect(scmp_filter_ctx c, const struct sandbox_profile *p)
{
	int bad = 0;

	if (p->connect_ports[0] || p->datagrams)
		bad = seccomp_rule_add(c, SCMP_ACT_ALLOW, __NR_connect, 0);
	if (!bad && p->connect_ports[0])
		bad = allow_sockets(c, SOCK_STREAM);
	if (!bad && p->datagrams)
		bad = allow_sockets(c, SOCK_DGRAM);
	if (!bad && p->datagrams)
		bad = seccomp_rule_add(c, SCMP_ACT_ALLOW, __NR_bind, 0);
	return bad;
}

static enum rc filter_calls(const struct sandbox_profile *p, struct err *e)
{
	scmp_filter_ctx c = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int bad;

	if (!c)
		return err_set(e, RC_IO, "seccomp: no filter");
	bad = seccomp_attr_set(c, SCMP_FLTATR_CTL_NNP, 1);
	if (!bad) /* calls of another ABI; the default would end the thread alone */
		bad = seccomp_attr_set(c, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
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
		bad = allow_connect(c, p);
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

	if (sandbox_off())
		return RC_OK;
	rc = sandbox_seal_process(e);
	if (rc == RC_OK)
		rc = set_limits(p, e);
	if (rc == RC_OK)
		rc = sandbox_restrict_files(NULL, 0, p->connect_ports, e);
	if (rc == RC_OK)
		rc = filter_calls(p, e);
	sandbox_probe();
	return rc;
}
