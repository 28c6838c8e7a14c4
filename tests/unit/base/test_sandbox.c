#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sandbox.h"

/* Each attempt runs in a process of its own that is confined first. It returns 0 when it was
 * allowed, else errno. */
typedef int attempt(void);

static int outcome(long result)
{
	return result < 0 ? errno : 0;
}

static int try_open(void)
{
	return outcome(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int try_openat2(void)
{
	uint64_t how[3] = { O_RDONLY, 0, 0 };

	return outcome(syscall(__NR_openat2, AT_FDCWD, "/etc/passwd", how, sizeof(how)));
}

static int try_create(void)
{
	return outcome(open("/tmp/mm-sandbox", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
}

static int try_unlink(void)
{
	return outcome(unlink("/tmp/mm-sandbox"));
}

static int try_socket(void)
{
	return outcome(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int try_unix_socket(void)
{
	return outcome(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int try_execve(void)
{
	char *const none[] = { NULL };

	return outcome(execve("/bin/true", none, none));
}

static int try_ptrace(void)
{
	return outcome(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int try_fork(void)
{
	return outcome(fork());
}

static int try_kill_parent(void)
{
	return outcome(kill(getppid(), 0));
}

static int try_io_uring(void)
{
	return outcome(syscall(425, 1, NULL)); /* io_uring_setup */
}

static int try_exec_memory(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? errno : 0;
}

static int try_make_executable(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? EIO : outcome(mprotect(at, 4096, PROT_READ | PROT_EXEC));
}

static int try_memory(void)
{
	void *at = malloc(3000000);
	int bad = at ? 0 : ENOMEM;

	free(at);
	return bad;
}

static void *nothing(void *arg)
{
	return arg;
}

static int try_thread(void)
{
	pthread_t t;
	int bad = pthread_create(&t, NULL, nothing, NULL);

	return bad ? bad : pthread_join(t, NULL);
}

static int try_fcntl(void)
{
	return outcome(fcntl(0, F_GETFL));
}

static int try_core(void)
{
	struct rlimit r;

	return syscall(__NR_prlimit64, 0, RLIMIT_CORE, NULL, &r) != 0 || r.rlim_cur ? EINVAL : 0;
}

static bool sandbox_has_landlock_here(void)
{
	return syscall(__NR_landlock_create_ruleset, NULL, 0, 1U) >= 1;
}

static int run_confined(const struct sandbox_profile *p, attempt *fn)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct err e;

		_exit(sandbox_enter(p, &e) == RC_OK ? fn() : 255);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_what_is_refused(void **state)
{
	static const struct {
		const char *name;
		attempt *fn;
	} cases[] = {
		{ "open", try_open },         { "openat2", try_openat2 },
		{ "create", try_create },     { "unlink", try_unlink },
		{ "socket", try_socket },     { "unix socket", try_unix_socket },
		{ "execve", try_execve },     { "ptrace", try_ptrace },
		{ "fork", try_fork },         { "kill the parent", try_kill_parent },
		{ "io_uring", try_io_uring }, { "executable memory", try_exec_memory },
		{ "fcntl", try_fcntl },       { "make memory executable", try_make_executable },
		{ "thread", try_thread },
	};
	struct sandbox_profile p = { .count = 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		int got = run_confined(&p, cases[i].fn);

		if (got != EPERM && got != EACCES)
			fail_msg("%s: errno %d", cases[i].name, got);
	}
}

static void test_what_is_allowed(void **state)
{
	static const int calls[] = { __NR_fcntl, __NR_prlimit64 };
	struct sandbox_profile p = { .syscalls = calls, .count = COUNT(calls), .threads = true };

	(void)state;
	assert_int_equal(run_confined(&p, try_memory), 0);
	assert_int_equal(run_confined(&p, try_fcntl), 0);
	assert_int_equal(run_confined(&p, try_thread), 0);
	assert_int_equal(run_confined(&p, try_core), 0);
	/* A thread, but no process. */
	assert_int_equal(run_confined(&p, try_fork), EPERM);
}

/* The numbers of another ABI are none that a filter of this one may let through. */
static void *sleep_on(void *arg)
{
	(void)arg;
	(void)sleep(5);
	_exit(0);
}

/* The process ends, with all its threads. */
static void test_other_abi(void **state)
{
	struct sandbox_profile p = { .count = 0 };
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0) {
		struct err e;
		pthread_t t;

		if (pthread_create(&t, NULL, sleep_on, NULL) == 0 && sandbox_enter(&p, &e) == RC_OK)
			(void)syscall(0x40000000 | __NR_getpid); /* x32 */
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

/* An owner's files, and nothing beside them; its own programs, and no other. */
static int run_owner(const struct sandbox_path *paths, size_t count, attempt *fn)
{
	static const char *const programs[] = { "/bin/true", NULL };
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct err e;

		_exit(sandbox_enter_owner(paths, count, programs, &e) == RC_OK ? fn() : 255);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int try_group(void)
{
	return outcome(open("/etc/group", O_RDONLY | O_CLOEXEC));
}

static int try_write_passwd(void)
{
	return outcome(open("/etc/passwd", O_WRONLY | O_CLOEXEC));
}

static int try_create_below(void)
{
	int fd = open("/tmp/mm-sandbox-owner/new", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 ? errno : outcome(unlink("/tmp/mm-sandbox-owner/new"));
}

static int try_false(void)
{
	char *const none[] = { NULL };

	return outcome(execve("/bin/false", none, none));
}

static int try_connect(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(9) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? EIO : outcome(connect(fd, (struct sockaddr *)&a, sizeof(a)));
}

static void test_owner(void **state)
{
	static const struct sandbox_path paths[] = {
		{ "/etc/passwd", SANDBOX_READ },
		{ "/tmp/mm-sandbox-owner", SANDBOX_WRITE },
		{ "/no/such/file", SANDBOX_READ },
	};

	(void)state;
	(void)mkdir("/tmp/mm-sandbox-owner", 0700);
	assert_int_equal(run_owner(paths, 3, try_open), 0);
	assert_int_equal(run_owner(paths, 3, try_create_below), 0);
	assert_int_equal(run_owner(paths, 3, try_execve), 0);
	assert_int_equal(run_owner(paths, 3, try_thread), 0);
	assert_int_equal(run_owner(paths, 3, try_fork), EPERM);
	assert_int_equal(run_owner(paths, 3, try_connect), EPERM);
	if (sandbox_has_landlock_here()) {
		assert_int_equal(run_owner(paths, 3, try_group), EACCES);
		assert_int_equal(run_owner(paths, 3, try_write_passwd), EACCES);
		assert_int_equal(run_owner(paths, 3, try_false), EACCES);
	}
	(void)rmdir("/tmp/mm-sandbox-owner");
}

/* ---- UDP, and TCP to the ports that are named: mm-verdict's ---- */

static struct sockaddr_in loopback(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

static int try_datagram(void)
{
	struct sockaddr_in any = loopback(0);
	struct sockaddr_in to = loopback(9);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) != 0)
		return errno;
	return outcome(connect(fd, (struct sockaddr *)&to, sizeof(to)));
}

static int connect_to(uint16_t port)
{
	struct sockaddr_in to = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? EIO : outcome(connect(fd, (struct sockaddr *)&to, sizeof(to)));
}

/* Nobody listens there. */
static int try_named_port(void)
{
	return connect_to(1);
}

static int try_other_port(void)
{
	return connect_to(2);
}

static int try_listen(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? EIO : outcome(listen(fd, 1));
}

static int try_unix_datagram(void)
{
	return outcome(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

static int try_netlink(void)
{
	return outcome(socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

static int try_raw(void)
{
	return outcome(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
}

static void test_datagrams(void **state)
{
	struct sandbox_profile p = { .datagrams = true, .connect_ports = { 53, 1 } };
	struct sandbox_profile tcp = { .connect_ports = { 1 } };
	struct sandbox_profile none = { .count = 0 };

	(void)state;
	assert_int_equal(run_confined(&p, try_datagram), 0);
	assert_int_equal(run_confined(&p, try_named_port), ECONNREFUSED);
	assert_int_equal(run_confined(&p, try_listen), EPERM);
	assert_int_equal(run_confined(&p, try_unix_socket), EPERM);
	assert_int_equal(run_confined(&p, try_unix_datagram), EPERM);
	assert_int_equal(run_confined(&p, try_netlink), EPERM);
	assert_int_equal(run_confined(&p, try_raw), EPERM);
	assert_int_equal(run_confined(&p, try_open), EPERM);
	assert_int_equal(run_confined(&tcp, try_datagram), EPERM);
	assert_int_equal(run_confined(&tcp, try_named_port), ECONNREFUSED);
	assert_int_equal(run_confined(&none, try_datagram), EPERM);
	assert_int_equal(run_confined(&none, try_named_port), EIO);
	if (sandbox_has_landlock_here()) {
		int other = run_confined(&p, try_other_port);

		assert_true(other == EACCES || other == ECONNREFUSED); /* before its ABI 4 */
	}
}

/* seccomp lets open through here: what refuses is Landlock. */
static void test_landlock(void **state)
{
	static const int calls[] = { __NR_openat };
	struct sandbox_profile p = { .syscalls = calls, .count = COUNT(calls) };
	int got = run_confined(&p, try_open);

	(void)state;
	if (got == 0)
		print_message("skipped: this kernel has no Landlock\n");
	else
		assert_int_equal(got, EACCES);
}

/* Sanitizers need more address space than any limit leaves. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define NO_MEMORY_LIMIT
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define NO_MEMORY_LIMIT
#endif
#endif

#ifndef NO_MEMORY_LIMIT
static int try_much_memory(void)
{
	return malloc(200000000) ? 0 : ENOMEM;
}

static void test_address_space(void **state)
{
	struct sandbox_profile p = { .address_space = 150000000 };

	(void)state;
	assert_int_equal(run_confined(&p, try_much_memory), ENOMEM);
	assert_int_equal(run_confined(&p, try_memory), 0);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_refused), cmocka_unit_test(test_what_is_allowed),
		cmocka_unit_test(test_landlock),        cmocka_unit_test(test_other_abi),
		cmocka_unit_test(test_owner),           cmocka_unit_test(test_datagrams),
#ifndef NO_MEMORY_LIMIT
		cmocka_unit_test(test_address_space),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
