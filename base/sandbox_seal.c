/* base/sandbox_seal.c - what every process that holds keys or mail does for them */
#include "base/sandbox_parts.h"

#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Only where no limit counts: else a later allocation would fail for want of locked memory. */
static bool may_lock_all(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct caps[2] = { { 0 } };
	struct rlimit r;

	if (getrlimit(RLIMIT_MEMLOCK, &r) == 0 && r.rlim_cur == RLIM_INFINITY)
		return true;
	return syscall(__NR_capget, &head, caps) == 0 &&
	       (caps[0].effective & 1U << CAP_IPC_LOCK) != 0;
}

enum rc sandbox_seal_process(struct err *e)
{
	const struct rlimit none = { 0, 0 };

	if (setrlimit(RLIMIT_CORE, &none) != 0)
		return err_sys(e, "RLIMIT_CORE");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return err_sys(e, "prctl");
	/* Page by page as they are used. Where it isn't allowed the key ring still locks its own.
	 */
	if (may_lock_all() && !SANITIZED)
		(void)!mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
	return RC_OK;
}

#ifdef MM_TEST
void probe_run(void); /* tests/probe/probe.c */

bool sandbox_off(void)
{
	const char *how = getenv("MM_SANDBOX");

	if (!how || strcmp(how, "off") != 0)
		return false;
	sandbox_probe();
	return true;
}

void sandbox_probe(void)
{
	if (getenv("MM_PROBE"))
		probe_run();
}
#endif
