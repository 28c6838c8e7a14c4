/*
 * mm-parse - reads MIME in a sandbox; started by mmd, talks to it by shared memory
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "ingest/background.h"
#include "ingest/mime/mime.h"
#include "ingest/parse.h"
#include "ingest/parse_area.h"

/* Bytes of address space in use; libraries and the shared memory among them. */
static uint64_t address_space(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re"); /* tidy: no file of ours */

	if (!f || fscanf(f, "%lu", &pages) != 1)
		pages = 65536;
	if (f)
		(void)fclose(f);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static enum rc enter(struct err *e)
{
	static const int calls[] = { __NR_setitimer };
	struct sandbox_profile p = { .syscalls = calls,
		                     .count = COUNT(calls),
		                     .address_space = address_space() + LIMIT_WORKER_MEMORY,
		                     .nofile = 16,
		                     .stack = 8388608 };

	return sandbox_enter(&p, e);
}

/* Processor time for one message: SIGPROF ends the process, and mmd knows what that means. 0: none.
 */
static void limit_time(long ms)
{
	struct itimerval t = { .it_value = { ms / 1000, ms % 1000 * 1000 } };

	(void)setitimer(ITIMER_PROF, &t, NULL);
}

#ifdef MM_TEST
/* Messages that kill the worker, which no honest one is known to do: "X-MM-Test: crash" when it is
 * read in full, "crash-always", "spin" (until the time is over), "eat" (until memory is). "slow"
 * takes half a second of processor time and is read as it is. */
static void obey(const uint8_t *raw, const struct parse_request *r)
{
	struct slice head = slice_part(slice_of(raw + r->at, r->len), 0, 256);
	static const char name[] = "X-MM-Test: ";
	size_t at = slice_find(head, slice_str(name));
	struct slice what =
	        slice_trim(slice_from(head, at == SIZE_MAX ? head.len : at + strlen(name)));
	int64_t begun = clock_process_ms(getpid());

	if (slice_starts_nocase(what, slice_str("crash-always")) ||
	    (slice_starts_nocase(what, slice_str("crash")) && !(r->mode & MIME_PLAIN)))
		abort();
	while (slice_starts_nocase(what, slice_str("spin")) && !(r->mode & MIME_PLAIN))
		__asm__ volatile("" ::: "memory");
	while (slice_starts_nocase(what, slice_str("slow")) &&
	       clock_process_ms(getpid()) - begun < 500)
		;
	while (slice_starts_nocase(what, slice_str("eat")) && !(r->mode & MIME_PLAIN))
		memset(mem_new(1048576), 1, 1048576);
}

#endif

static void run_batch(struct mime *m, struct parse_head *head, struct buf *out)
{
	uint8_t *raw = (uint8_t *)head + PARSE_HEAD;
	uint8_t *results = raw + PARSE_RAW;
	uint32_t used = 0;

	head->done = 0;
	for (uint32_t i = 0; i < head->count; i++) {
		struct parse_request r = head->request[i];
		enum rc rc;

		buf_clear(out);
		limit_time(PARSE_CPU_MS);
#ifdef MM_TEST
		obey(raw, &r);
#endif
		rc = mime_read(m, raw + r.at, r.len, r.mode, out);
		limit_time(0);
		if (rc != RC_OK)
			buf_clear(out);
		if (out->len > PARSE_RESULT - used)
			break;
		head->result[i] = (struct parse_result) { used, (uint32_t)out->len };
		if (out->len)
			memcpy(results + used, out->at, out->len);
		used += (uint32_t)out->len;
		head->done = i + 1; /* mmd looks at it when the batch takes long */
	}
}

static int serve(struct mime *m, struct parse_head *head)
{
	struct buf out;
	char what;

	buf_init(&out, PARSE_RESULT);
	for (;;) {
		ssize_t n = read(PARSE_SOCKET, &what, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return 0; /* mmd has gone, or wants us to */
		if (what == PARSE_GO)
			run_batch(m, head, &out);
		what = PARSE_DONE;
		if (write(PARSE_SOCKET, &what, 1) != 1)
			return 1;
		if (out.room > PARSE_BATCH_BYTES)
			buf_free(&out);
	}
}

int main(void)
{
	struct err e = { .code = RC_OK };
	struct mime *m;
	void *area;

	log_init("mm-parse", LOG_INFO);
	area = mmap(NULL, PARSE_AREA, PROT_READ | PROT_WRITE, MAP_SHARED, PARSE_MEMORY, 0);
	if (area == MAP_FAILED) {
		log_error("mm-parse is started by mmd, not by hand");
		return 2;
	}
	(void)close(PARSE_MEMORY);
	background_thread(); /* as the pipeline, which waits for us */
	m = mime_new();
	if (enter(&e) != RC_OK) {
		log_error("%s", e.text);
		return 1;
	}
	/* _exit: nothing is worth the sanitizers' look at what a confined process may not see. */
	_exit(serve(m, area));
}
