#include "base/clock.h"

#include <errno.h>
#include <time.h>

#ifdef MM_TEST
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int offset_fd = -1;

static void open_offset(void)
{
	const char *path = getenv("MM_TEST_CLOCK");

	if (path)
		offset_fd = open(path, O_RDONLY | O_CLOEXEC); /* tidy: test builds only */
}

static int64_t offset_ms(void)
{
	char text[32] = "";
	ssize_t n;

	if (offset_fd < 0)
		return 0;
	n = pread(offset_fd, text, sizeof(text) - 1, 0); /* tidy: test builds only */
	return n > 0 ? strtoll(text, NULL, 10) : 0;      /* tidy: test builds only */
}

void clock_init(void)
{
	(void)pthread_once(&once, open_offset);
}
#else
static int64_t offset_ms(void)
{
	return 0;
}

void clock_init(void)
{
}
#endif

static int64_t read_clock(clockid_t id)
{
	struct timespec t;

	(void)clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_now_ms(void)
{
	clock_init();
	return read_clock(CLOCK_REALTIME) + offset_ms();
}

int64_t clock_mono_ms(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_process_ms(pid_t pid)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
		return -1;
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void clock_sleep_ms(int64_t ms)
{
	struct timespec left = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}
