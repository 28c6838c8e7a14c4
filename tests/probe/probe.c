/*
 * tests/probe/probe.c - what a program that was broken into would try; linked into test builds
 *
 * With MM_PROBE="DIR:PORT" in its environment, mmd, mm-smtpd and mm-parse call probe_run when they
 * have entered their sandboxes. DIR lies outside the data directory and has "file", "dir" and a
 * listening "sock"; PORT listens too. Each attempt writes a line "probe PROGRAM PID NAME ERRNO" to
 * stderr, 0 for one that worked. Where a process can be made, each runs in one of its own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"

#define DIED 254

void probe_run(void);

typedef long attempt(void);

static char place[80];
static unsigned short port;
static pid_t above;

static const char *in_place(const char *name)
{
	static char path[2][120];
	static int turn;

	turn = !turn;
	(void)snprintf(path[turn], sizeof(path[turn]), "%s/%s", place, name);
	return path[turn];
}

/* --- files --- */

static long try_open(void)
{
	return open(in_place("file"), O_RDONLY | O_CLOEXEC);
}

static long try_openat2(void)
{
	uint64_t how[3] = { O_RDONLY, 0, 0 };

	return syscall(__NR_openat2, AT_FDCWD, in_place("file"), how, sizeof(how));
}

static long try_write(void)
{
	return open(in_place("file"), O_WRONLY | O_CLOEXEC);
}

static long try_create(void)
{
	return open(in_place("new"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static long try_truncate(void)
{
	return truncate(in_place("file"), 0);
}

static long try_unlink(void)
{
	return unlink(in_place("unlink"));
}

static long try_rename(void)
{
	return rename(in_place("rename"), in_place("renamed"));
}

static long try_mkdir(void)
{
	return mkdir(in_place("newdir"), 0700);
}

static long try_list(void)
{
	return open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static long try_symlink(void)
{
	return symlink("file", in_place("symlink"));
}

static long try_link(void)
{
	return link(in_place("file"), in_place("link"));
}

static long try_chmod(void)
{
	return chmod(in_place("file"), 0644);
}

static long try_chown(void)
{
	return chown(in_place("file"), getuid(), getgid());
}

static long try_mkfifo(void)
{
	return mknod(in_place("fifo"), S_IFIFO | 0600, 0);
}

/* --- sockets: where none can be made, the calls on one are tried on the channel to mmd --- */

static long try_inet(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static long try_inet6(void)
{
	return socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static long try_udp(void)
{
	return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static long try_raw(void)
{
	return socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
}

static long try_unix(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static long try_unix_datagram(void)
{
	return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static long try_netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
}

static long try_socketpair(void)
{
	int ends[2];

	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
}

static struct sockaddr_in loopback(unsigned short at)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(at) };

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

static int some_socket(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? 3 : fd;
}

static long try_connect(void)
{
	struct sockaddr_in a = loopback(port);

	return syscall(__NR_connect, some_socket(AF_INET), (struct sockaddr *)&a, sizeof(a));
}

static long try_bind(void)
{
	struct sockaddr_in a = loopback(0);

	return bind(some_socket(AF_INET), (struct sockaddr *)&a, sizeof(a));
}

static long try_listen(void)
{
	return listen(some_socket(AF_INET), 1);
}

static struct sockaddr_un at_path(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	return a;
}

static long try_unix_connect(void)
{
	struct sockaddr_un a = at_path(in_place("sock"));

	return syscall(__NR_connect, some_socket(AF_UNIX), (struct sockaddr *)&a, sizeof(a));
}

static long try_unix_bind(void)
{
	struct sockaddr_un a = at_path(in_place("bound"));

	return bind(some_socket(AF_UNIX), (struct sockaddr *)&a, sizeof(a));
}

/* --- programs and processes --- */

static long try_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid;
}

static long try_fork_syscall(void)
{
	long pid = syscall(__NR_fork);

	if (pid == 0)
		_exit(0);
	return pid;
}

static long try_clone_namespace(void)
{
	long pid = syscall(__NR_clone, CLONE_NEWNS | SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		_exit(0);
	return pid;
}

static long try_spawn(void)
{
	char *const argv[] = { (char *)(uintptr_t) "true", NULL };
	pid_t pid;

	errno = posix_spawn(&pid, "/bin/true", NULL, NULL, argv, argv + 1);
	return errno ? -1 : 0;
}

static long try_execve(void)
{
	char *const none[] = { NULL };

	return execve("/bin/true", none, none);
}

/* A program that is only in memory: no file by name is needed to start it. */
static long try_exec_memory(void)
{
	char *const none[] = { NULL };
	char path[40];
	int fd = memfd_create("probe", 0);

	if (fd < 0 || write(fd, "#!/bin/true\n", 12) != 12)
		return -1;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return execve(path, none, none);
}

/* A program that a broken mmd has written where it may write. */
static long try_exec_data(void)
{
	const char *dir = getenv("MM_DATA");
	char *const none[] = { NULL };
	char path[200];

	(void)snprintf(path, sizeof(path), "%s/true", dir ? dir : place);
	return execve(path, none, none);
}

static long try_ptrace(void)
{
	return ptrace(PTRACE_SEIZE, above, NULL, NULL);
}

static long try_kill(void)
{
	return kill(above, 0);
}

static long try_read_parent(void)
{
	char to[8];
	struct iovec local = { to, sizeof(to) };
	struct iovec remote = { place, sizeof(to) };

	return process_vm_readv(above, &local, 1, &remote, 1, 0);
}

static long try_parent_mem(void)
{
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/%d/mem", above);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static long try_pidfd_getfd(void)
{
	long fd = syscall(__NR_pidfd_open, above, 0);

	return syscall(__NR_pidfd_getfd, fd, 2, 0);
}

/* --- memory, its own standing --- */

static long try_map_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
	            0) == MAP_FAILED
	               ? -1
	               : 0;
}

static long try_make_code(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? -1 : mprotect(at, 4096, PROT_READ | PROT_EXEC);
}

static long try_self_mem(void)
{
	return open("/proc/self/mem", O_RDWR | O_CLOEXEC);
}

static long try_reopen(void)
{
	return open("/proc/self/fd/2", O_WRONLY | O_CLOEXEC);
}

static long try_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long try_prctl(void)
{
	return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
}

static long try_setrlimit(void)
{
	struct rlimit r = { 1 << 23, RLIM_INFINITY };

	(void)syscall(__NR_prlimit64, 0, RLIMIT_STACK, NULL, &r);
	r.rlim_cur = r.rlim_max;
	return setrlimit(RLIMIT_STACK, &r);
}

static long try_limits_of_parent(void)
{
	struct rlimit r;

	return syscall(__NR_prlimit64, above, RLIMIT_CORE, NULL, &r);
}

static long try_setuid(void)
{
	return setresuid(getuid(), getuid(), getuid());
}

/* --- the kernel's corners --- */

static long try_unshare(void)
{
	return unshare(CLONE_NEWNS);
}

static long try_mount(void)
{
	(void)unshare(CLONE_NEWNS);
	(void)mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
	return mount("none", in_place("dir"), "tmpfs", 0, NULL);
}

static long try_chroot(void)
{
	return chroot(in_place("dir"));
}

static long try_keyctl(void)
{
	return syscall(__NR_keyctl, 0, -3, 0); /* the id of the session's keyring */
}

static long try_bpf(void)
{
	union bpf_attr a = { .map_type = BPF_MAP_TYPE_ARRAY };

	a.key_size = 4;
	a.value_size = 4;
	a.max_entries = 1;
	return syscall(__NR_bpf, BPF_MAP_CREATE, &a, sizeof(a));
}

static long try_io_uring(void)
{
	char params[120] = { 0 };

	return syscall(__NR_io_uring_setup, 1, params);
}

static long try_perf_event(void)
{
	struct perf_event_attr a = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(a) };

	a.config = PERF_COUNT_SW_CPU_CLOCK;
	a.exclude_kernel = 1;
	return syscall(__NR_perf_event_open, &a, 0, -1, -1, 0);
}

static long try_userfaultfd(void)
{
	return syscall(__NR_userfaultfd, O_CLOEXEC | 1); /* user mode only */
}

static const struct {
	const char *name;
	attempt *fn;
} attempts[] = {
	{ "open", try_open },
	{ "openat2", try_openat2 },
	{ "write", try_write },
	{ "create", try_create },
	{ "truncate", try_truncate },
	{ "unlink", try_unlink },
	{ "rename", try_rename },
	{ "mkdir", try_mkdir },
	{ "list", try_list },
	{ "symlink", try_symlink },
	{ "link", try_link },
	{ "chmod", try_chmod },
	{ "chown", try_chown },
	{ "mkfifo", try_mkfifo },
	{ "inet", try_inet },
	{ "inet6", try_inet6 },
	{ "udp", try_udp },
	{ "raw", try_raw },
	{ "unix", try_unix },
	{ "unix-datagram", try_unix_datagram },
	{ "netlink", try_netlink },
	{ "socketpair", try_socketpair },
	{ "connect", try_connect },
	{ "bind", try_bind },
	{ "listen", try_listen },
	{ "unix-connect", try_unix_connect },
	{ "unix-bind", try_unix_bind },
	{ "fork", try_fork },
	{ "fork-syscall", try_fork_syscall },
	{ "clone-namespace", try_clone_namespace },
	{ "spawn", try_spawn },
	{ "execve", try_execve },
	{ "exec-memory", try_exec_memory },
	{ "exec-data", try_exec_data },
	{ "ptrace", try_ptrace },
	{ "kill", try_kill },
	{ "read-parent", try_read_parent },
	{ "parent-mem", try_parent_mem },
	{ "pidfd-getfd", try_pidfd_getfd },
	{ "map-code", try_map_code },
	{ "make-code", try_make_code },
	{ "self-mem", try_self_mem },
	{ "reopen", try_reopen },
	{ "dumpable", try_dumpable },
	{ "prctl", try_prctl },
	{ "setrlimit", try_setrlimit },
	{ "limits-of-parent", try_limits_of_parent },
	{ "setuid", try_setuid },
	{ "unshare", try_unshare },
	{ "mount", try_mount },
	{ "chroot", try_chroot },
	{ "keyctl", try_keyctl },
	{ "bpf", try_bpf },
	{ "io_uring", try_io_uring },
	{ "perf_event_open", try_perf_event },
	{ "userfaultfd", try_userfaultfd },
};

/* The outcome of one, in a process of its own where that can be made. */
static int outcome(attempt *fn)
{
	pid_t pid = fork();
	int status = 0;

	if (pid > 0) {
		if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
			return DIED;
		return WEXITSTATUS(status);
	}
	errno = 0;
	status = fn() < 0 ? errno : 0;
	if (pid == 0)
		_exit(status);
	return status;
}

void probe_run(void)
{
	const char *value = getenv("MM_PROBE");
	const char *colon = strrchr(value, ':');

	if (!colon || snprintf(place, sizeof(place), "%.*s", (int)(colon - value), value) >=
	                      (int)sizeof(place))
		return;
	for (const char *digit = colon + 1; *digit; digit++)
		port = (unsigned short)(port * 10 + (*digit - '0'));
	above = getppid();
	for (size_t i = 0; i < COUNT(attempts); i++) {
		char line[120];
		int n = snprintf(line, sizeof(line), "probe %s %d %s %d\n",
		                 program_invocation_short_name, getpid(), attempts[i].name,
		                 outcome(attempts[i].fn));

		(void)!write(2, line, (size_t)n);
	}
}
