#include "ingest/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "ingest/mime/mime.h"
#include "ingest/parse_area.h"

#define MOST_WORKERS 64
#define START_MS     PARSE_LONGEST_MS
#define STARTS       10      /* tries to start a worker before giving up: five seconds */
#define START_WAIT   1000    /* ms between two of them, at most */
#define KEEP_TOUCHED 8388608 /* of each room; what a large message touched beyond is given back */

/* How a message is tried: in a batch, alone, alone by the plain reader. */
enum stage { STAGE_BATCH, STAGE_ALONE, STAGE_PLAIN, STAGE_DONE };

struct task {
	struct parse_job *job;
	enum stage stage;
	bool running;
	char how[64]; /* what the last worker died of */
	bool timeout;
};

struct worker {
	pid_t pid; /* -1: not running */
	int socket;
	struct file *memory;
	uint8_t *area;
	size_t *batch; /* indices of tasks; PARSE_BATCH of them */
	size_t count;  /* 0: idle */
	size_t raw_touched;
	int64_t begun; /* its message, on the monotonic clock */
	int64_t ran;   /* when it was last seen to have run */
	int64_t cpu;   /* its processor time then */
	int64_t cpu_begun;
	uint32_t seen_done;
	bool killed; /* by us: too long */
};

struct parse_pool {
	char *program;
	struct worker *workers;
	unsigned worker_count;
	struct task *tasks;
	size_t task_count;
	size_t task_room;
	size_t next; /* tasks before it have left STAGE_BATCH, or run, or are done */
	size_t open; /* not done */
	struct parse_limits limits;
	struct parse_totals totals;
};

/* --- processes --- */

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

static enum rc make_memory(struct worker *w, struct err *e)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create("mm-parse", flags | MFD_NOEXEC_SEAL);
	enum rc rc;

	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create("mm-parse", flags);
	if (fd < 0)
		return err_sys(e, "memory for mm-parse");
	w->memory = file_adopt(fd, "memory for mm-parse");
	rc = file_truncate(w->memory, PARSE_AREA, e);
	if (rc != RC_OK)
		return rc;
	/* A worker that shrank it would kill us by SIGBUS. */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
		return err_sys(e, "seal memory for mm-parse");
	w->area = mmap(NULL, PARSE_AREA, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (w->area == MAP_FAILED) {
		w->area = NULL;
		return err_sys(e, "map memory for mm-parse");
	}
	(void)munlock(w->area, PARSE_AREA); /* MADV_REMOVE refuses locked pages */
	return RC_OK;
}

static void drop_memory(struct worker *w)
{
	if (w->area)
		(void)munmap(w->area, PARSE_AREA);
	w->area = NULL;
	file_close(&w->memory);
}

/* Ends the process if it still runs, and says how it ended: of what is ending already the kill
 * changes nothing. */
static void reap(struct worker *w, char *how, size_t room)
{
	int status = 0;

	(void)close(w->socket);
	w->socket = -1;
	(void)kill(w->pid, SIGKILL);
	while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
		;
	w->pid = -1;
	drop_memory(w);
	if (WIFSIGNALED(status))
		(void)snprintf(how, room, "signal %d (%s)", WTERMSIG(status),
		               strsignal(WTERMSIG(status)));
	else
		(void)snprintf(how, room, "exit %d", WEXITSTATUS(status));
	if (w->killed || (WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF))
		(void)snprintf(how, room, "%s", w->killed ? "it stood still" : "more than 2 s");
}

static bool send_byte(struct worker *w, char what)
{
	return send(w->socket, &what, 1, MSG_NOSIGNAL) == 1;
}

/* An empty batch there and back: a worker that can't enter its sandbox must not look like one that
 * dies of messages. */
static enum rc greet(struct worker *w, struct err *e)
{
	struct pollfd fd = { .fd = w->socket, .events = POLLIN };
	char what = 0;
	char how[64];

	if (send_byte(w, PARSE_GO) && poll(&fd, 1, START_MS) == 1 &&
	    recv(w->socket, &what, 1, 0) == 1 && what == PARSE_DONE)
		return RC_OK;
	reap(w, how, sizeof(how));
	return err_set(e, RC_IO, "mm-parse doesn't start: %s", how);
}

/* Each process gets memory of its own: what one broken into left there is nothing to the next. */
static enum rc start_worker(struct parse_pool *p, struct worker *w, struct err *e)
{
	struct child_start s = { .nfds = 2 };
	int ends[2];
	enum rc rc = make_memory(w, e);

	if (rc != RC_OK) {
		drop_memory(w);
		return rc;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
		drop_memory(w);
		return err_sys(e, "socket pair for mm-parse");
	}
	s.fds[0].fd = ends[1];
	s.fds[0].at = PARSE_SOCKET;
	s.fds[1].fd = fcntl(file_fd(w->memory), F_DUPFD_CLOEXEC, 0);
	s.fds[1].at = PARSE_MEMORY;
	w->socket = ends[0];
	rc = child_spawn(p->program, &s, &w->pid, e);
	if (rc != RC_OK) {
		(void)close(w->socket);
		w->socket = -1;
		w->pid = -1;
		drop_memory(w);
		return rc;
	}
	return greet(w, e);
}

enum rc parse_pool_new(struct parse_pool **out, unsigned workers, const char *program,
                       struct err *e)
{
	struct parse_pool *p;

	MUST(workers >= 1 && workers <= MOST_WORKERS);
	p = mem_new(sizeof(*p));
	p->program = mem_string(program ? program : "mm-parse");
	p->workers = mem_array(workers, sizeof(*p->workers));
	p->worker_count = workers;
	p->limits = (struct parse_limits) { 1000, PARSE_STILL_MS, PARSE_LONGEST_MS };
	for (unsigned i = 0; i < workers; i++) {
		p->workers[i].pid = -1;
		p->workers[i].socket = -1;
		p->workers[i].batch = mem_array(PARSE_BATCH, sizeof(size_t));
	}
	for (unsigned i = 0; i < workers; i++) {
		enum rc rc = start_worker(p, &p->workers[i], e);

		if (rc != RC_OK) {
			parse_pool_free(&p);
			return rc;
		}
	}
	*out = p;
	return RC_OK;
}

void parse_pool_free(struct parse_pool **pool)
{
	struct parse_pool *p = *pool;
	char how[64];

	if (!p)
		return;
	for (unsigned i = 0; i < p->worker_count; i++) {
		struct worker *w = &p->workers[i];

		if (w->pid > 0)
			reap(w, how, sizeof(how));
		free(w->batch);
	}
	free(p->workers);
	free(p->tasks);
	free(p->program);
	free(p);
	*pool = NULL;
}

/* --- handing out --- */

static void put_task(struct worker *w, size_t index, const struct task *t)
{
	struct parse_head *head = (struct parse_head *)(void *)w->area;
	size_t len = MIN_OF(t->job->raw.len, (size_t)PARSE_RAW);

	if (len)
		memcpy(w->area + PARSE_HEAD + w->raw_touched, t->job->raw.at, len);
	head->request[w->count] =
	        (struct parse_request) { .at = (uint32_t)w->raw_touched,
		                         .len = (uint32_t)len,
		                         .mode = (t->stage == STAGE_PLAIN ? MIME_PLAIN : 0U) |
		                                 (t->job->show ? MIME_SHOW : 0U) };
	w->batch[w->count++] = index;
	w->raw_touched += len;
}

static bool fits(const struct worker *w, const struct task *t)
{
	return w->count == 0 ||
	       (w->count < PARSE_BATCH && w->raw_touched + t->job->raw.len <= PARSE_BATCH_BYTES);
}

/* Fills the worker's area with its share of what is waiting, or with one message that must be
 * alone. */
static void fill(struct parse_pool *p, struct worker *w)
{
	size_t share = MAX_OF(p->open / p->worker_count, (size_t)1);

	w->count = 0;
	w->raw_touched = 0;
	for (size_t i = 0; i < p->next && w->count == 0; i++) {
		struct task *t = &p->tasks[i];

		if (!t->running && (t->stage == STAGE_ALONE || t->stage == STAGE_PLAIN)) {
			put_task(w, i, t);
			t->running = true;
		}
	}
	if (w->count)
		return;
	while (p->next < p->task_count && w->count < share && fits(w, &p->tasks[p->next])) {
		struct task *t = &p->tasks[p->next];

		put_task(w, p->next, t);
		t->running = true;
		p->next++;
	}
}

static enum rc start_again(struct parse_pool *p, struct worker *w, struct err *e)
{
	for (int i = 0; i < STARTS; i++) {
		if (start_worker(p, w, e) == RC_OK) {
			p->totals.restarts++;
			return RC_OK;
		}
		clock_sleep_ms(MIN_OF(10 << i, START_WAIT));
	}
	return err_in(e, "mm-parse can't be started");
}

static void begin_message(struct worker *w)
{
	w->begun = w->ran = clock_mono_ms();
	w->cpu = w->cpu_begun = clock_process_ms(w->pid);
}

/* Gives an idle worker something to do. */
static enum rc feed(struct parse_pool *p, struct worker *w, struct err *e)
{
	struct parse_head *head;

	if (w->pid < 0 && start_again(p, w, e) != RC_OK)
		return RC_IO;
	fill(p, w);
	if (w->count == 0)
		return RC_OK;
	head = (struct parse_head *)(void *)w->area;
	head->count = (uint32_t)w->count;
	head->done = 0;
	w->seen_done = 0;
	w->killed = false;
	begin_message(w);
	/* When it died while idle the poll sees that, and the batch counts as tried. */
	(void)send_byte(w, PARSE_GO);
	return RC_OK;
}

/* --- results --- */

static void finish(struct parse_pool *p, struct task *t)
{
	t->running = false;
	t->stage = STAGE_DONE;
	p->open--;
	p->totals.messages++;
}

/* Puts `what` in front of the document's problems. */
static void add_problem(struct parse_job *job, const char *what)
{
	struct slice old = job->parsed.text[PARSED_PROBLEM];
	struct buf b;

	buf_init(&b, 8192);
	(void)!buf_add_str(&b, what);
	if (old.len && buf_add_str(&b, "; ") == RC_OK)
		(void)!buf_add(&b, slice_part(old, 0, 4096));
	free(job->problem);
	job->problem = b.at;
	job->parsed.text[PARSED_PROBLEM] = buf_slice(&b);
	job->parsed.flags |= PARSED_HAS_PROBLEM | PARSED_NOT_INDEXED;
}

static void finish_marked(struct parse_pool *p, struct task *t)
{
	char what[160];

	t->job->outcome = t->timeout ? PARSE_TIMEOUT : PARSE_DIED;
	(void)snprintf(what, sizeof(what), "not fully parsed: the reader %s (%s)",
	               t->timeout ? "took too long" : "died", t->how);
	add_problem(t->job, what);
	p->totals.timeouts += t->timeout;
	p->totals.died += !t->timeout;
	finish(p, t);
}

/* The worker died of it, or its result is no document: the next stage, or the end. */
static void step_down(struct parse_pool *p, struct task *t, const char *how, bool timeout)
{
	t->running = false;
	(void)snprintf(t->how, sizeof(t->how), "%s", how);
	t->timeout = timeout;
	if (t->stage == STAGE_PLAIN) {
		t->job->parsed = (struct parsed) { 0 };
		finish_marked(p, t);
		return;
	}
	t->stage++;
}

static void take_result(struct parse_pool *p, struct worker *w, size_t i)
{
	const struct parse_head *head = (const struct parse_head *)(const void *)w->area;
	/* Read once: the worker may still write there. */
	uint32_t at = __atomic_load_n(&head->result[i].at, __ATOMIC_RELAXED);
	uint32_t len = __atomic_load_n(&head->result[i].len, __ATOMIC_RELAXED);
	struct task *t = &p->tasks[w->batch[i]];
	const uint8_t *results = w->area + PARSE_HEAD + PARSE_RAW;
	struct err e;

	if (len == 0 || at > PARSE_RESULT || len > PARSE_RESULT - at ||
	    parsed_decode(&t->job->parsed, slice_of(results + at, len), &e) != RC_OK) {
		step_down(p, t, "no result", false);
		return;
	}
	if (t->job->raw.len > PARSE_RAW)
		add_problem(t->job, "not fully parsed: over 64 MiB");
	if (t->stage == STAGE_PLAIN) {
		finish_marked(p, t);
		return;
	}
	t->job->outcome = PARSE_OK;
	finish(p, t);
}

/* What a large message touched would stay in memory for ever. */
static void release(struct worker *w)
{
	if (w->raw_touched <= KEEP_TOUCHED)
		return;
	(void)madvise(w->area + PARSE_HEAD + KEEP_TOUCHED, PARSE_RAW - KEEP_TOUCHED, MADV_REMOVE);
	(void)madvise(w->area + PARSE_HEAD + PARSE_RAW + KEEP_TOUCHED, PARSE_RESULT - KEEP_TOUCHED,
	              MADV_REMOVE);
}

static void take_batch(struct parse_pool *p, struct worker *w)
{
	const struct parse_head *head = (const struct parse_head *)(const void *)w->area;
	size_t done = __atomic_load_n(&head->done, __ATOMIC_ACQUIRE);

	done = MIN_OF(done, w->count);
	for (size_t i = 0; i < done; i++)
		take_result(p, w, i);
	for (size_t i = done; i < w->count; i++) {
		struct task *t = &p->tasks[w->batch[i]];

		/* No room for its result; with the room for itself there is some. */
		if (i == 0)
			step_down(p, t, "no result", false);
		else if (t->stage == STAGE_BATCH)
			t->stage = STAGE_ALONE;
		t->running = false;
	}
	release(w);
	w->count = 0;
}

static void lose_worker(struct parse_pool *p, struct worker *w)
{
	char how[64];
	pid_t pid = w->pid;
	bool timeout;

	reap(w, how, sizeof(how));
	timeout = slice_starts_nocase(slice_str(how), slice_str("more than"));
	log_warn("mm-parse[%d] ended with %zu messages at hand: %s", (int)pid, w->count, how);
	for (size_t i = 0; i < w->count; i++)
		step_down(p, &p->tasks[w->batch[i]], how, timeout);
	w->count = 0;
}

/* --- waiting --- */

/* A worker has to make way for whatever else runs on the machine: as long as its processor time
 * grows it is only slow. */
static void look_at(const struct parse_pool *p, struct worker *w)
{
	const struct parse_head *head = (const struct parse_head *)(const void *)w->area;
	uint32_t done = __atomic_load_n(&head->done, __ATOMIC_RELAXED);
	int64_t now = clock_mono_ms();
	int64_t cpu = clock_process_ms(w->pid);

	if (done > w->seen_done && done <= w->count) {
		w->seen_done = done;
		begin_message(w);
	} else if (cpu > w->cpu) {
		w->cpu = cpu;
		w->ran = now;
	}
	/* The last is for one that has stopped the clock which ends it. */
	w->killed = now - w->ran > p->limits.still_ms || now - w->begun > p->limits.longest_ms ||
	            w->cpu - w->cpu_begun > (int64_t)2 * PARSE_CPU_MS;
}

static void handle(struct parse_pool *p, struct worker *w, short events)
{
	char what = 0;
	ssize_t n = -1;

	if (events) {
		n = recv(w->socket, &what, 1, 0);
		if (n == 1 && what == PARSE_DONE) {
			take_batch(p, w);
			return;
		}
		if (n < 0 && errno == EINTR)
			return;
		w->killed = n == 1; /* nonsense; a closed socket means that it is going */
	} else {
		look_at(p, w);
		if (!w->killed)
			return;
	}
	lose_worker(p, w);
}

/* One poll over the busy workers. False when none is busy. */
static bool poll_once(struct parse_pool *p, int ms)
{
	struct pollfd fds[MOST_WORKERS];
	unsigned which[MOST_WORKERS];
	nfds_t n = 0;

	for (unsigned i = 0; i < p->worker_count; i++)
		if (p->workers[i].count) {
			fds[n] = (struct pollfd) { .fd = p->workers[i].socket, .events = POLLIN };
			which[n++] = i;
		}
	if (n == 0)
		return false;
	if (poll(fds, n, ms) < 0)
		return true; /* interrupted */
	for (nfds_t i = 0; i < n; i++)
		handle(p, &p->workers[which[i]], fds[i].revents);
	return true;
}

static enum rc feed_idle(struct parse_pool *p, struct err *e)
{
	enum rc rc = RC_OK;

	for (unsigned i = 0; i < p->worker_count && p->open; i++)
		if (p->workers[i].count == 0 && feed(p, &p->workers[i], e) != RC_OK)
			rc = RC_IO;
	return rc;
}

enum rc parse_begin(struct parse_pool *p, struct parse_job *jobs, size_t count, struct err *e)
{
	MUST(p->open == 0);
	if (count > p->task_room) {
		p->tasks = mem_resize(p->tasks, count * sizeof(*p->tasks));
		p->task_room = count;
	}
	for (size_t i = 0; i < count; i++) {
		p->tasks[i] = (struct task) { .job = &jobs[i] };
		jobs[i].parsed = (struct parsed) { 0 };
		jobs[i].problem = NULL;
	}
	p->task_count = count;
	p->next = 0;
	p->open = count;
	/* Who can't be fed now is tried again by parse_wait, which then reports it. */
	(void)!feed_idle(p, e);
	return RC_OK;
}

enum rc parse_wait(struct parse_pool *p, struct err *e)
{
	while (p->open) {
		enum rc rc = feed_idle(p, e);
		bool busy = poll_once(p, p->limits.look_ms);

		if (rc != RC_OK && !busy) {
			p->open = 0;
			return rc;
		}
	}
	return RC_OK;
}

void parse_job_free(struct parse_job *job)
{
	parsed_free(&job->parsed);
	free(job->problem);
	job->problem = NULL;
}

void parse_count(const struct parse_pool *p, struct parse_totals *out)
{
	*out = p->totals;
}

#ifdef MM_TEST
void parse_set_limits(struct parse_pool *p, const struct parse_limits *l)
{
	p->limits = *l;
}

int parse_worker_pid(const struct parse_pool *p, unsigned i)
{
	return i < p->worker_count ? (int)p->workers[i].pid : -1;
}
#endif
