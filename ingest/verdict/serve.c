#include "ingest/verdict/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/home.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/sandbox.h"
#include "ingest/scan_result.h"
#include "ingest/verdict/lists.h"
#include "ingest/verdict/resolver.h"
#include "ingest/verdict/verdict.h"
#include "ingest/verdict/verdict_words.h"
#include "ingest/verdict_wire.h"

#define CPU_MS        5000
#define ROUNDS        100 /* of lookups for one message; honest ones take less than a dozen */
#define ADDRESS_SPACE ((uint64_t)1 << 30)
#define DESCRIPTORS   (RESOLVER_SOCKETS + 128)

/* Messages of which some weren't begun yet. */
struct batch {
	TAILQ_ENTRY(batch) link;
	uint8_t *memory;
	size_t bytes;
	json_t *facts;
	size_t next;
	int64_t came_ms; /* of the monotonic clock */
};

struct task {
	TAILQ_ENTRY(task) link;
	struct server *server;
	uint64_t number;
	struct verdict *verdict; /* NULL: of a client without a message */
	struct lists *lists;     /* NULL: its rules ask none */
	struct answers *answers;
	struct resolver_ask *ask;
	struct loop_timer *late;
	unsigned rounds;
};

TAILQ_HEAD(batches, batch);
TAILQ_HEAD(tasks, task);

struct server {
	struct loop *loop;
	struct resolver *resolver;
	struct channel *channel;
	struct loop_timer *more;
	volatile uint64_t *mark;
	struct addons lists;
	struct batches batches;
	struct tasks tasks;
};

/* ---- steps ---- */

/* Between these two the child may die of the message, and only of it. */
static void enter(struct server *s, uint64_t number)
{
	const struct itimerval t = { .it_value = { CPU_MS / 1000, CPU_MS % 1000 * 1000 } };

	*s->mark = number;
	(void)setitimer(ITIMER_PROF, &t, NULL);
}

static void leave(struct server *s)
{
	const struct itimerval none = { .it_value = { 0, 0 } };

	(void)setitimer(ITIMER_PROF, &none, NULL);
	*s->mark = 0;
}

/* `verdicts` and `addons`, one of which may be NULL, are given away. */
static void say(struct server *s, uint64_t number, json_t *verdicts, json_t *addons)
{
	json_t *o = json_object();
	struct buf text;
	struct err e = { 0 };
	enum rc rc;

	json_put_int(o, "number", (int64_t)number);
	if (verdicts)
		json_put(o, "verdicts", verdicts);
	if (addons)
		json_put(o, "addons", addons);
	buf_init(&text, VERDICT_TEXT);
	rc = json_write(&text, o);
	if (rc != RC_OK && verdicts) { /* lists alone say little */
		json_put(o, "verdicts", verdicts_failed("too much to say of it"));
		(void)json_object_del(o, "addons");
		buf_clear(&text);
		rc = json_write(&text, o);
	}
	if (rc == RC_OK)
		rc = channel_send(s->channel, VERDICT_ANSWER, buf_slice(&text), NULL, 0, &e);
	if (rc != RC_OK) /* mmd doesn't listen any more: it will start another */
		loop_stop(s->loop);
	buf_free(&text);
	json_decref(o);
}

static void task_free(struct task *t)
{
	TAILQ_REMOVE(&t->server->tasks, t, link);
	resolver_cancel(&t->ask);
	loop_timer_free(&t->late);
	verdict_free(&t->verdict);
	lists_free(&t->lists);
	answers_free(&t->answers);
	free(t);
}

static void finish(struct task *t)
{
	json_t *addons = lists_json(t->lists);

	if (t->verdict) {
		verdict_late(t->verdict, t->answers);
		say(t->server, t->number, verdict_json(t->verdict), addons);
	} else {
		say(t->server, t->number, NULL, addons ? addons : json_object());
	}
	task_free(t);
}

static void step(struct task *t);

static void on_answers(void *arg)
{
	struct task *t = arg;

	t->ask = NULL;
	step(t);
}

/* With the answers that are there. */
static enum rc run_parts(struct task *t)
{
	enum rc rc = RC_OK;

	if (t->verdict)
		rc = verdict_run(t->verdict, t->answers);
	if (lists_run(t->lists, t->answers) != RC_OK)
		rc = RC_AGAIN;
	return rc;
}

/* Of the last round's answers some may have come. */
static void on_late(void *arg)
{
	struct task *t = arg;
	struct server *s = t->server;

	enter(s, t->number);
	(void)run_parts(t);
	finish(t);
	leave(s);
}

static void step(struct task *t)
{
	struct server *s = t->server;

	enter(s, t->number);
	if (run_parts(t) == RC_OK || t->rounds++ == ROUNDS)
		finish(t);
	else
		t->ask = resolver_ask(s->resolver, t->answers, on_answers, t);
	leave(s);
}

/* ---- messages ---- */

#ifdef MM_TEST
static void crash_later(void *arg)
{
	(void)arg;
	abort();
}

/* Messages that do to the child what no honest one is known to: "X-MM-Verdict: crash" kills it,
 * "crash later" as an answer could, "spin" takes processor time until that is over, "hang" none,
 * "nonsense" makes it say what mmd doesn't take, "others" what isn't its to say. */
static bool obey(struct server *s, struct slice raw, uint64_t number)
{
	static const char name[] = "X-MM-Verdict: ";
	struct slice what = slice_starts_nocase(raw, slice_str(name))
	                            ? slice_from(raw, strlen(name))
	                            : slice_of(NULL, 0);

	if (slice_starts_nocase(what, slice_str("crash later"))) {
		loop_timer_set(loop_timer_new(s->loop, crash_later, NULL), 50);
		return true;
	}
	if (slice_starts_nocase(what, slice_str("crash")))
		abort();
	while (slice_starts_nocase(what, slice_str("spin")))
		__asm__ volatile("" ::: "memory");
	while (slice_starts_nocase(what, slice_str("hang")))
		clock_sleep_ms(1000);
	if (slice_starts_nocase(what, slice_str("nonsense")))
		say(s, number, json_string("nonsense"), NULL);
	else if (slice_starts_nocase(what, slice_str("others")))
		say(s, number, verdicts_failed("for a test"),
		    json_pack("{s:o}", "ai-scanner", scan_result_failed("for a test")));
	else
		return false;
	return true;
}
#else
static bool obey(const struct server *s, struct slice raw, uint64_t number)
{
	(void)s;
	(void)raw;
	(void)number;
	return false;
}
#endif

static struct lists *lists_of(const struct server *s, const json_t *facts,
                              const struct verdict_facts *f, const struct verdict *v)
{
	struct dnsbl_question q = { .client = f->ip, .mail_from = f->mail_from, .helo = f->helo };

	if (v)
		q.from_count = verdict_from(v, &q.from_domains);
	return lists_new(&s->lists, json_member_array(facts, "lists"), &q);
}

/* `waited_ms`: behind others of its batch, which its deadline doesn't wait for. */
static void begin(struct server *s, const json_t *facts, struct slice raw, int64_t waited_ms)
{
	struct verdict_facts f = {
		.helo = json_member_text(facts, "helo"),
		.mail_from = json_member_text(facts, "from"),
		.receiver = json_member_text(facts, "receiver"),
		.now_ms = json_member_int(facts, "now", 0),
	};
	uint64_t number = (uint64_t)json_member_int(facts, "number", 0);
	struct task *t;

	(void)ip_parse(&f.ip, json_member_text(facts, "ip"));
	(void)id_parse(&f.id, json_member_text(facts, "id"));
	enter(s, number);
	if (!obey(s, raw, number)) {
		t = mem_new(sizeof(*t));
		t->server = s;
		t->number = number;
		if (!json_member_bool(facts, "client", false))
			t->verdict = verdict_new(raw, &f);
		t->lists = lists_of(s, facts, &f, t->verdict);
		t->answers = answers_new();
		t->late = loop_timer_new(s->loop, on_late, t);
		loop_timer_set(t->late,
		               MAX_OF(json_member_int(facts, "left", 0) - waited_ms, (int64_t)1));
		TAILQ_INSERT_TAIL(&s->tasks, t, link);
		step(t);
	}
	leave(s);
}

static void batch_free(struct server *s, struct batch *b)
{
	TAILQ_REMOVE(&s->batches, b, link);
	if (b->memory)
		(void)munmap(b->memory, b->bytes);
	json_decref(b->facts);
	free(b);
}

/* One message a round, so that answers of DNS and of mmd don't wait for a batch. */
static void on_more(void *arg)
{
	struct server *s = arg;
	struct batch *b = TAILQ_FIRST(&s->batches);
	const json_t *facts;
	uint64_t at, len;

	if (!b)
		return;
	facts = json_array_get(b->facts, b->next);
	if (facts) {
		b->next++;
		at = (uint64_t)json_member_int(facts, "at", 0);
		len = (uint64_t)json_member_int(facts, "len", 0);
		begin(s, facts, slice_part(slice_of(b->memory, b->bytes), at, len),
		      clock_mono_ms() - b->came_ms);
	} else {
		batch_free(s, b);
	}
	if (!TAILQ_EMPTY(&s->batches))
		loop_timer_set(s->more, 0);
}

static enum rc read_batch(struct batch *b, struct slice body, int fd, struct err *e)
{
	json_t *o = NULL;
	enum rc rc = json_read(&o, body, e);
	size_t facts;
	void *at;

	if (rc != RC_OK)
		return rc;
	facts = (size_t)json_member_int(o, "facts", 0);
	b->bytes = (size_t)json_member_int(o, "bytes", 0);
	json_decref(o);
	/* Private: before Linux 6.7 what is sealed can't be mapped shared, not even to be read. */
	at = mmap(NULL, b->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		return err_sys(e, "map a batch of %zu bytes", b->bytes);
	b->memory = at;
	return json_read(&b->facts, slice_part(slice_of(at, b->bytes), 0, facts), e);
}

static void on_message(void *arg, unsigned type, struct slice body, int *fds, size_t nfds)
{
	struct server *s = arg;
	struct batch *b;
	struct err e = { 0 };

	if (type != VERDICT_ASK || nfds != 1) {
		loop_stop(s->loop);
		return;
	}
	b = mem_new(sizeof(*b));
	b->came_ms = clock_mono_ms();
	TAILQ_INSERT_TAIL(&s->batches, b, link);
	if (read_batch(b, body, fds[0], &e) != RC_OK) {
		log_error("%s", e.text);
		loop_stop(s->loop);
		return;
	}
	loop_timer_set(s->more, 0);
}

static void on_closed(void *arg, const char *why)
{
	struct server *s = arg;

	(void)why;
	loop_stop(s->loop);
}

/* ---- the child ---- */

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

static enum rc confine(const struct resolver_options *o, struct err *e)
{
	static const int calls[] = {
		__NR_epoll_wait,  __NR_epoll_pwait, __NR_epoll_ctl, __NR_recvmsg,
		__NR_recvfrom,    __NR_sendmsg,     __NR_sendto,    __NR_setsockopt,
		__NR_getsockopt,  __NR_fcntl,       __NR_shutdown,  __NR_setitimer,
		__NR_getsockname, __NR_getpeername,
	};
	struct sandbox_profile p = { .syscalls = calls,
		                     .count = COUNT(calls),
		                     .datagrams = true,
		                     .address_space = address_space() + ADDRESS_SPACE,
		                     .nofile = DESCRIPTORS };

	(void)resolver_ports(o, p.connect_ports);
	return sandbox_enter(&p, e);
}

static enum rc open_server(struct server *s, const json_t *dns, int memory, struct err *e)
{
	struct resolver_options o;
	void *at = mmap(NULL, VERDICT_MARK, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	enum rc rc = resolver_options_read(&o, dns, e);

	if (at == MAP_FAILED)
		return err_sys(e, "map the mark");
	(void)close(memory);
	s->mark = at;
	TAILQ_INIT(&s->batches);
	TAILQ_INIT(&s->tasks);
	s->loop = loop_new();
	s->more = loop_timer_new(s->loop, on_more, s);
	verdict_init();
	if (rc == RC_OK)
		rc = addons_read(&s->lists, json_object_get(dns, "lists"), e);
	if (rc == RC_OK)
		rc = resolver_new(&s->resolver, s->loop, &o, e);
	return rc == RC_OK ? confine(&o, e) : rc;
}

static void run(const json_t *dns, const json_t *task, int fd, const int extra[HOME_EXTRA])
{
	static const struct channel_ops ops = { on_message, on_closed };
	struct server s = { .loop = NULL };
	struct err e = { 0 };
	struct err ignored;

	(void)task;
	if (!home_put_on(extra[VERDICT_LEASH]))
		return;
	if (open_server(&s, dns, extra[VERDICT_MEMORY], &e) != RC_OK) {
		(void)!channel_put(fd, VERDICT_FAILED, slice_str(e.text), NULL, 0, &ignored);
		return;
	}
	s.channel = channel_new(s.loop, fd, VERDICT_TEXT, &ops, &s);
	if (channel_send(s.channel, VERDICT_READY, slice_of(NULL, 0), NULL, 0, &ignored) == RC_OK)
		loop_run(s.loop, NULL, NULL);
	/* The home ends it by _exit: what is left is the system's to free. */
}

int verdict_home_main(void)
{
	static const struct home_program program = { "mm-verdict", NULL, run };

	return home_main(&program);
}
