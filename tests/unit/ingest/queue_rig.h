/* tests/unit/ingest/queue_rig.h - an outbound queue in a folder of its own, and what tests ask of it */
#ifndef MM_TESTS_UNIT_INGEST_QUEUE_RIG_H
#define MM_TESTS_UNIT_INGEST_QUEUE_RIG_H

#include "ingest/queue/queue.h"
#include "store/crypt.h"
#include "tests/unit/ingest/quoted.h"
#include "tests/unit/store/scratch.h"

#define DAY      INT64_C(86400000)
#define RECEIVED INT64_C(1700000000000) /* message n so many ms later */
#define RAW      "Subject: x\r\n\r\nbody\r\n"

static const uint8_t master[KEY_BYTES] = "queue test master key, 32 bytes.";

struct fixture {
	struct scratch s;
	struct keyring *kr;
	struct queue *q;
	unsigned runner; /* wakes */
	unsigned pipeline;
	struct err e;
};

static void wake_runner(void *arg)
{
	((struct fixture *)arg)->runner++;
}

static void wake_pipeline(void *arg)
{
	((struct fixture *)arg)->pipeline++;
}

static void reopen(struct fixture *f)
{
	queue_close(&f->q);
	EXPECT_OK(queue_open(&f->q, f->s.dir, f->kr, 10000, &f->e), &f->e);
	queue_set_woken(f->q, wake_runner, wake_pipeline, f);
}

/* As after a restart. */
UNUSED static void reopen_all(struct fixture *f)
{
	queue_close(&f->q);
	keyring_close(&f->kr);
	EXPECT_OK(keyring_open(&f->kr, f->s.dir, master, &f->e), &f->e);
	reopen(f);
}

static void begin(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	crypt_init();
	scratch_make(&f->s);
	EXPECT_OK(keyring_create(f->s.dir, master, &f->e), &f->e);
	EXPECT_OK(keyring_open(&f->kr, f->s.dir, master, &f->e), &f->e);
	reopen(f);
}

static void end(struct fixture *f)
{
	queue_close(&f->q);
	keyring_close(&f->kr);
	scratch_remove(&f->s);
}

/* ---- messages and tasks ---- */

static struct message_id id_of(int64_t n)
{
	const uint8_t random[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	return id_make(RECEIVED + n, 0, random);
}

static struct queue_message message_of(int64_t n)
{
	return (struct queue_message) { .id = id_of(n),
					.received_ms = RECEIVED + n,
					.meta = slice_str("{\"receipt\":{}}"),
					.raw = slice_str(RAW),
					.rule_set = "rs-1",
					.version = 2 };
}

static bool is_mail(enum rule_action_kind k)
{
	return k == RULE_SEND || k == RULE_RELAY || k == RULE_MAILBOX || k == RULE_BOUNCE;
}

/* The last `decides` of them decide. */
static void make_tasks(struct queue_task *tasks, const enum rule_action_kind *kinds, size_t count,
		       size_t decides)
{
	for (size_t i = 0; i < count; i++)
		tasks[i] = (struct queue_task) {
			.kind = kinds[i],
			.destination = is_mail(kinds[i]) ? "a.example" : "s3",
			.spec = quoted("{'recipients':[{'i':0,'to':'a@a.example'}]}"),
			.decides = i + decides >= count
		};
}

/* With what the message itself says. */
static enum rc park_as(struct fixture *f, struct queue_message m,
		       const enum rule_action_kind *kinds, size_t count, size_t decides)
{
	json_t *past = decides ? quoted("{'matched':[[0,1]],'action':0,'answers':[]}") : NULL;
	struct queue_task tasks[8] = {0};
	enum rc rc;

	make_tasks(tasks, kinds, count, decides);
	m.past = past;
	rc = queue_park(f->q, &m, tasks, count, &f->e);
	json_decref(past);
	return rc;
}

/* Message n with these kinds of tasks; the last `decides` of them decide. */
UNUSED static enum rc park(struct fixture *f, int64_t n, const enum rule_action_kind *kinds,
			   size_t count, size_t decides, const uint32_t *archives,
			   size_t archive_count)
{
	struct queue_message m = message_of(n);

	m.archives = archives;
	m.archive_count = archive_count;
	return park_as(f, m, kinds, count, decides);
}

/* Message n was judged on; its run comes to its end, or (decides) stops again. What was handed over is
 * overwritten behind it: nothing but the specs may be kept. */
UNUSED static void judged(struct fixture *f, int64_t n, const enum rule_action_kind *kinds,
			  size_t count, size_t decides, const uint32_t *archives,
			  size_t archive_count)
{
	struct queue_message m = message_of(n);
	json_t *past = decides ? quoted("{'matched':[[0,1],[0]],'action':1,'answers':"
					"[[0,0,'DONE']]}")
			       : NULL;
	char destinations[8][20];
	struct queue_task tasks[8];
	uint32_t own[8];

	make_tasks(tasks, kinds, count, decides);
	for (size_t i = 0; i < count; i++) {
		(void)snprintf(destinations[i], sizeof(destinations[i]), "%s", tasks[i].destination);
		tasks[i].destination = destinations[i];
	}
	for (size_t i = 0; i < archive_count; i++)
		own[i] = archives[i];
	m.past = past;
	m.archives = own;
	m.archive_count = archive_count;
	queue_judged(f->q, &m, tasks, count);
	memset(destinations, '?', sizeof(destinations));
	memset(tasks, 0, sizeof(tasks));
	memset(own, 0xff, sizeof(own));
	memset(&m, 0xff, sizeof(m));
	json_decref(past);
}

UNUSED static void land(struct fixture *f)
{
	EXPECT_OK(queue_land(f->q, &f->e), &f->e);
}

UNUSED static void commit(struct fixture *f)
{
	EXPECT_OK(queue_commit(f->q, &f->e), &f->e);
}

UNUSED static void done(struct fixture *f, int64_t number)
{
	const struct queue_answer a = { .said = RULE_SAID_DONE };

	EXPECT_OK(queue_done(f->q, number, false, &a, &f->e), &f->e);
}

UNUSED static void died(struct fixture *f, int64_t number, int64_t now_ms)
{
	const struct queue_answer failed = { .said = RULE_SAID_FAILED };

	EXPECT_OK(queue_dead(f->q, number, NULL, "no", &failed, now_ms, &f->e), &f->e);
}

/* ---- what is there ---- */

static void add_number(void *arg, const struct queue_due *d)
{
	char *text = arg;

	(void)snprintf(text + strlen(text), 400 - strlen(text), "%s%lld", *text ? " " : "",
		       (long long)d->number);
}

UNUSED static const char *due(struct fixture *f, bool all)
{
	static char text[400];

	text[0] = 0;
	EXPECT_OK(queue_due(f->q, all, add_number, text, &f->e), &f->e);
	return text;
}

static enum rc add_state(void *arg, const struct queue_job *j, struct err *e)
{
	char *text = arg;

	(void)e;
	(void)snprintf(text + strlen(text), 400 - strlen(text), "%s%lld %s", *text ? ", " : "",
		       (long long)j->number, task_state_name(j->state));
	return RC_OK;
}

/* All tasks of message n: "1 due, 2 behind". */
UNUSED static const char *tasks_of(struct fixture *f, int64_t n)
{
	static char text[400];
	struct message_id id = id_of(n);

	text[0] = 0;
	EXPECT_OK(queue_each_of(f->q, &id, add_state, text, &f->e), &f->e);
	return text;
}

static enum rc add_disposition(void *arg, const struct disposition *d, struct err *e)
{
	char *text = arg;

	(void)e;
	(void)snprintf(text + strlen(text), 400 - strlen(text), "%s%s", *text ? " " : "",
		       disposition_name(d->kind));
	return RC_OK;
}

/* What is carried over now; told. */
UNUSED static const char *told(struct fixture *f)
{
	static char text[400];
	size_t n;

	text[0] = 0;
	EXPECT_OK(queue_tell(f->q, 100, add_disposition, text, &n, &f->e), &f->e);
	EXPECT_OK(queue_told(f->q, &f->e), &f->e);
	return text;
}

UNUSED static uint64_t messages(struct fixture *f)
{
	struct queue_totals t;

	EXPECT_OK(queue_count(f->q, &t, &f->e), &f->e);
	return t.messages;
}

/* Is there a row of message n? */
UNUSED static bool has(struct fixture *f, int64_t n)
{
	struct message_id id = id_of(n);
	bool is;

	EXPECT_OK(queue_has(f->q, &id, &is, &f->e), &f->e);
	return is;
}

/* The times of receipt, behind RECEIVED, of all that are given out to be judged on: "1 2". */
UNUSED static const char *goes_on(struct fixture *f)
{
	static char text[400];
	struct queue_parked p;
	int64_t at = 0;
	enum rc rc;

	text[0] = 0;
	while ((rc = queue_go_on_next(f->q, at, &at, &p, &f->e)) == RC_OK) {
		(void)snprintf(text + strlen(text), 400 - strlen(text), "%s%lld", *text ? " " : "",
			       (long long)(p.received_ms - RECEIVED));
		queue_parked_free(&p);
	}
	assert_int_equal(rc, RC_NOTFOUND);
	return text;
}

/* The answers of the only message that is to be judged on. */
UNUSED static void expect_answer(struct fixture *f, const char *answers)
{
	struct queue_parked p;
	int64_t number;
	struct buf text;

	EXPECT_OK(queue_go_on_next(f->q, 0, &number, &p, &f->e), &f->e);
	buf_init(&text, 4096);
	assert_int_equal(json_write(&text, json_object_get(p.past, "answers")), RC_OK);
	EXPECT_SLICE("answers", buf_slice(&text), answers);
	EXPECT_SLICE("raw", buf_slice(&p.raw), RAW);
	assert_null(json_object_get(p.past, "failed"));
	queue_parked_free(&p);
	assert_int_equal(queue_go_on_next(f->q, number, &number, &p, &f->e), RC_NOTFOUND);
	buf_free(&text);
}

/* Message n is destroyed in an archive; how many left the queue. */
UNUSED static size_t forget(struct fixture *f, uint32_t archive, int64_t n)
{
	struct message_id id = id_of(n);
	size_t count;

	EXPECT_OK(queue_forget(f->q, archive, 0, &id, &count, &f->e), &f->e);
	return count;
}

/* The same of all that were received on the day of message n. */
UNUSED static size_t forget_day(struct fixture *f, uint32_t archive, int64_t n)
{
	size_t count;

	EXPECT_OK(queue_forget(f->q, archive, (int32_t)((RECEIVED + n) / DAY), NULL, &count, &f->e),
		  &f->e);
	return count;
}

static enum rc see_key(void *arg, const struct key_info *k)
{
	uint64_t *seen = arg; /* how many live, the last one's id */

	if (k->kind == KEY_QUEUE && k->state == KEY_LIVE) {
		seen[0]++;
		seen[1] = k->id;
	}
	return RC_OK;
}

/* The only key of a queue that lives. */
UNUSED static uint64_t key_of(struct fixture *f)
{
	uint64_t seen[2] = { 0, 0 };

	assert_int_equal(keyring_each(f->kr, see_key, seen), RC_OK);
	assert_int_equal(seen[0], 1);
	return seen[1];
}

UNUSED static const enum rule_action_kind one_send[] = { RULE_SEND };

#endif
