#include "ingest/queue/queue.h"

#include "ingest/past.h"
#include "store/crypt.h"
#include "tests/unit/fault.h"
#include "tests/unit/ingest/quoted.h"
#include "tests/unit/store/scratch.h"

#define DAY INT64_C(86400000)

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

static struct message_id id_of(int64_t n)
{
	const uint8_t random[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	return id_make(1700000000000 + n, 0, random);
}

/* Message n with these kinds of tasks; the last `decides` of them decide. */
static enum rc park(struct fixture *f, int64_t n, const enum rule_action_kind *kinds, size_t count,
                    size_t decides, const uint32_t *archives, size_t archive_count)
{
	json_t *past = decides ? quoted("{'matched':[[0,1]],'action':0,'answers':[]}") : NULL;
	struct queue_message m = { .id = id_of(n),
		                   .received_ms = 1700000000000 + n,
		                   .meta = slice_str("{\"receipt\":{}}"),
		                   .raw = slice_str("Subject: x\r\n\r\nbody\r\n"),
		                   .rule_set = "rs-1",
		                   .version = 2,
		                   .past = past,
		                   .archives = archives,
		                   .archive_count = archive_count };
	struct queue_task tasks[8];
	enum rc rc;

	for (size_t i = 0; i < count; i++)
		tasks[i] = (struct queue_task) {
			.kind = kinds[i],
			.destination = kinds[i] == RULE_SEND ? "a.example" : "s3",
			.spec = quoted("{'recipients':[{'i':0,'to':'a@a.example'}]}"),
			.decides = i + decides >= count
		};
	rc = queue_park(f->q, &m, tasks, count, &f->e);
	json_decref(past);
	return rc;
}

static void commit(struct fixture *f)
{
	EXPECT_OK(queue_commit(f->q, &f->e), &f->e);
}

static void add_number(void *arg, const struct queue_due *d)
{
	char *text = arg;

	(void)snprintf(text + strlen(text), 400 - strlen(text), "%s%lld", *text ? " " : "",
	               (long long)d->number);
}

static const char *due(struct fixture *f, bool all)
{
	static char text[400];

	text[0] = 0;
	EXPECT_OK(queue_due(f->q, all, add_number, text, &f->e), &f->e);
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
static const char *told(struct fixture *f)
{
	static char text[400];
	size_t n;

	text[0] = 0;
	EXPECT_OK(queue_tell(f->q, 100, add_disposition, text, &n, &f->e), &f->e);
	EXPECT_OK(queue_told(f->q, &f->e), &f->e);
	return text;
}

static void done(struct fixture *f, int64_t number)
{
	const struct queue_answer a = { .said = RULE_SAID_DONE };

	EXPECT_OK(queue_done(f->q, number, false, &a, &f->e), &f->e);
}

static uint64_t messages(struct fixture *f)
{
	struct queue_totals t;

	EXPECT_OK(queue_count(f->q, &t, &f->e), &f->e);
	return t.messages;
}

static const enum rule_action_kind one_send[] = { RULE_SEND };

static void a_message_ends_with_its_last_task(void **state)
{
	const enum rule_action_kind kinds[] = { RULE_SEND, RULE_SEND };
	struct fixture f;
	struct queue_job j;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, kinds, 2, 0, NULL, 0), &f.e);
	assert_string_equal(due(&f, false), ""); /* not committed */
	commit(&f);
	assert_int_equal(f.runner, 1);
	assert_string_equal(due(&f, false), "1 2");
	assert_string_equal(due(&f, false), "");
	EXPECT_OK(queue_job(f.q, 1, true, &j, &f.e), &f.e);
	EXPECT_SLICE("raw", buf_slice(&j.raw), "Subject: x\r\n\r\nbody\r\n");
	assert_string_equal(j.destination, "a.example");
	assert_int_equal(id_compare(&j.id, &(struct message_id) { 0 }) != 0, 1);
	queue_job_free(&j);
	done(&f, 1);
	assert_string_equal(told(&f), "");
	done(&f, 2);
	commit(&f);
	assert_int_equal(f.pipeline, 1);
	assert_string_equal(told(&f), "delivered");
	assert_string_equal(told(&f), "");
	assert_int_equal(messages(&f), 0);
	assert_int_equal(queue_job(f.q, 1, false, &j, &f.e), RC_NOTFOUND);
	end(&f);
}

/* Until its disposition is carried over a replay of the spool finds it. */
static void parking_twice_changes_nothing(void **state)
{
	struct fixture f;
	bool has;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, one_send, 1, 0, NULL, 0), &f.e);
	assert_int_equal(park(&f, 1, one_send, 1, 0, NULL, 0), RC_EXISTS);
	commit(&f);
	reopen(&f);
	assert_int_equal(park(&f, 1, one_send, 1, 0, NULL, 0), RC_EXISTS);
	assert_string_equal(due(&f, true), "1");
	done(&f, 1);
	commit(&f);
	assert_int_equal(park(&f, 1, one_send, 1, 0, NULL, 0), RC_EXISTS);
	assert_string_equal(told(&f), "delivered");
	EXPECT_OK(queue_has(f.q, &(struct message_id) { 0 }, &has, &f.e), &f.e);
	assert_false(has);
	EXPECT_OK(park(&f, 1, one_send, 1, 0, NULL, 0), &f.e);
	end(&f);
}

static void what_is_not_told_is_told_again(void **state)
{
	struct fixture f;
	char text[400] = "";
	size_t n;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, one_send, 1, 0, NULL, 0), &f.e);
	done(&f, 1);
	commit(&f);
	EXPECT_OK(queue_tell(f.q, 100, add_disposition, text, &n, &f.e), &f.e);
	assert_int_equal(n, 1);
	queue_not_told(f.q);
	assert_true(queue_untold(f.q));
	EXPECT_OK(queue_told(f.q, &f.e), &f.e);
	reopen(&f);
	assert_true(queue_untold(f.q));
	assert_string_equal(told(&f), "delivered");
	assert_false(queue_untold(f.q));
	reopen(&f);
	assert_string_equal(told(&f), "");
	end(&f);
}

static void calls_go_one_after_the_other(void **state)
{
	const enum rule_action_kind kinds[] = { RULE_S3, RULE_SEND, RULE_SNS, RULE_LAMBDA };
	const struct queue_answer failed = { .said = RULE_SAID_FAILED };
	struct fixture f;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, kinds, 4, 0, NULL, 0), &f.e);
	commit(&f);
	assert_string_equal(due(&f, true), "1 2");
	EXPECT_OK(queue_later(f.q, 1, 1, NULL, "away", &f.e), &f.e);
	commit(&f);
	assert_string_equal(due(&f, false), "1");
	done(&f, 1);
	commit(&f);
	assert_string_equal(due(&f, false), "3");
	EXPECT_OK(queue_dead(f.q, 3, NULL, "no topic", &failed, 7, &f.e), &f.e);
	commit(&f);
	assert_string_equal(due(&f, false), "4");
	done(&f, 4);
	done(&f, 2);
	commit(&f);
	assert_string_equal(told(&f), "dead-letter");
	EXPECT_OK(queue_retry(f.q, 3, 9, &f.e), &f.e);
	assert_string_equal(told(&f), "");
	done(&f, 3);
	assert_string_equal(told(&f), "delivered");
	end(&f);
}

/* The answer of the next message that is to be judged on, and whom it failed for. */
static void expect_answer(struct fixture *f, const char *answers)
{
	struct queue_parked p;
	int64_t number;
	struct buf text;

	EXPECT_OK(queue_go_on_next(f->q, 0, &number, &p, &f->e), &f->e);
	buf_init(&text, 4096);
	assert_int_equal(json_write(&text, json_object_get(p.past, "answers")), RC_OK);
	EXPECT_SLICE("answers", buf_slice(&text), answers);
	EXPECT_SLICE("raw", buf_slice(&p.raw), "Subject: x\r\n\r\nbody\r\n");
	assert_null(json_object_get(p.past, "failed"));
	queue_parked_free(&p);
	assert_int_equal(queue_go_on_next(f->q, number, &number, &p, &f->e), RC_NOTFOUND);
	buf_free(&text);
}

static void what_decides_is_judged_on_when_all_have_said(void **state)
{
	const enum rule_action_kind kinds[] = { RULE_SEND, RULE_SEND, RULE_SEND };
	const uint32_t who[] = { 1 };
	const struct queue_answer failed = { RULE_SAID_FAILED, who, 1 };
	struct queue_message on = { .id = id_of(1), .rule_set = "rs-1" };
	struct queue_parked p;
	struct fixture f;
	int64_t number;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, kinds, 3, 2, NULL, 0), &f.e);
	done(&f, 2);
	assert_int_equal(queue_go_on_next(f.q, 0, &number, &p, &f.e), RC_NOTFOUND);
	EXPECT_OK(queue_dead(f.q, 3, NULL, "no", &failed, 7, &f.e), &f.e);
	commit(&f);
	assert_int_equal(f.pipeline, 1);
	expect_answer(&f, "[[0,0,\"FAILED\",[1]]]");
	/* a dead letter that is tried again has no say any more */
	EXPECT_OK(queue_retry(f.q, 3, 9, &f.e), &f.e);
	done(&f, 3);
	expect_answer(&f, "[[0,0,\"FAILED\",[1]]]");
	done(&f, 1);
	assert_string_equal(told(&f), "");
	EXPECT_OK(queue_judged(f.q, &on, NULL, 0, &f.e), &f.e);
	assert_string_equal(told(&f), "delivered");
	end(&f);
}

static void what_is_dropped_by_hand_has_failed(void **state)
{
	struct fixture f;
	struct queue_message on = { .id = id_of(1), .rule_set = "rs-1" };

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, one_send, 1, 1, NULL, 0), &f.e);
	EXPECT_OK(queue_hold(f.q, 1, &f.e), &f.e);
	commit(&f);
	assert_string_equal(due(&f, true), "");
	EXPECT_OK(queue_drop(f.q, 1, &f.e), &f.e);
	expect_answer(&f, "[[0,0,\"FAILED\"]]");
	EXPECT_OK(queue_judged(f.q, &on, NULL, 0, &f.e), &f.e);
	assert_string_equal(told(&f), "dropped");
	assert_int_equal(queue_drop(f.q, 1, &f.e), RC_NOTFOUND);
	end(&f);
}

static void dead_letters_expire(void **state)
{
	const struct queue_answer failed = { .said = RULE_SAID_FAILED };
	struct fixture f;
	size_t n;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, one_send, 1, 0, NULL, 0), &f.e);
	EXPECT_OK(park(&f, 2, one_send, 1, 0, NULL, 0), &f.e);
	EXPECT_OK(queue_dead(f.q, 1, NULL, "no", &failed, 100, &f.e), &f.e);
	EXPECT_OK(queue_dead(f.q, 2, NULL, "no", &failed, 200, &f.e), &f.e);
	assert_string_equal(told(&f), "dead-letter dead-letter");
	EXPECT_OK(queue_expire(f.q, 200, &n, &f.e), &f.e);
	assert_int_equal(n, 1);
	assert_string_equal(told(&f), "dropped");
	assert_int_equal(messages(&f), 1);
	end(&f);
}

/* A message leaves with the last archive that had it; one that is in none stays. */
static void what_archives_destroy_leaves(void **state)
{
	const uint32_t both[] = { 1, 2 };
	struct fixture f;
	struct message_id third = id_of(3);
	int32_t day = (int32_t)(1700000000000 / DAY);
	size_t n;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, one_send, 1, 0, both, 2), &f.e);
	EXPECT_OK(park(&f, 2, one_send, 1, 0, NULL, 0), &f.e);
	EXPECT_OK(park(&f, 3, one_send, 1, 0, both, 1), &f.e);
	EXPECT_OK(queue_forget(f.q, 1, day + 1, NULL, &n, &f.e), &f.e);
	assert_int_equal(n, 0);
	EXPECT_OK(queue_forget(f.q, 1, 0, &third, &n, &f.e), &f.e);
	assert_int_equal(n, 1);
	EXPECT_OK(queue_forget(f.q, 1, day, NULL, &n, &f.e), &f.e);
	assert_int_equal(n, 0);
	EXPECT_OK(queue_forget(f.q, 2, day, NULL, &n, &f.e), &f.e);
	assert_int_equal(n, 1);
	assert_int_equal(messages(&f), 1);
	assert_string_equal(told(&f), "dropped dropped");
	commit(&f);
	assert_string_equal(due(&f, true), "2");
	end(&f);
}

static enum rc count_keys(void *arg, const struct key_info *k)
{
	if (k->kind == KEY_QUEUE && k->state == KEY_LIVE)
		++*(unsigned *)arg;
	return RC_OK;
}

/* Before it the old key opens the file that has the message; after it no key does, and all that
 * lives is there. */
static void rotation_leaves_what_lives(void **state)
{
	struct fixture f;
	struct message_id second = id_of(2);
	uint8_t key[KEY_BYTES];
	unsigned keys = 0;
	uint64_t old;
	bool has;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, one_send, 1, 0, NULL, 0), &f.e);
	EXPECT_OK(park(&f, 2, one_send, 1, 0, NULL, 0), &f.e);
	done(&f, 1);
	assert_string_equal(told(&f), "delivered");
	EXPECT_OK(keyring_find(f.kr, KEY_QUEUE, 0, 1, &old, &f.e), &f.e);
	EXPECT_OK(keyring_get(f.kr, old, key, &f.e), &f.e);
	EXPECT_OK(queue_rotate(f.q, &f.e), &f.e);
	assert_int_equal(keyring_get(f.kr, old, key, &f.e), RC_NOTFOUND);
	(void)keyring_each(f.kr, count_keys, &keys);
	assert_int_equal(keys, 1);
	reopen(&f);
	EXPECT_OK(queue_has(f.q, &second, &has, &f.e), &f.e);
	assert_true(has);
	assert_string_equal(due(&f, true), "2");
	EXPECT_OK(park(&f, 3, one_send, 1, 0, NULL, 0), &f.e);
	commit(&f);
	assert_string_equal(due(&f, true), "2 3"); /* numbers aren't given again */
	end(&f);
}

static void a_rotation_that_was_cut_off_leaves_the_old_file(void **state)
{
	struct key_info want = { .kind = KEY_QUEUE, .object = 2 };
	struct fixture f;
	unsigned keys = 0;
	uint64_t id;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, one_send, 1, 0, NULL, 0), &f.e);
	queue_close(&f.q);
	EXPECT_OK(keyring_add(f.kr, &want, &id, &f.e), &f.e);
	reopen(&f);
	(void)keyring_each(f.kr, count_keys, &keys);
	assert_int_equal(keys, 1);
	assert_string_equal(due(&f, true), "1");
	end(&f);
}

static void it_is_full_at_its_limit(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	for (int64_t i = 0; i < 499; i++)
		EXPECT_OK(park(&f, i, one_send, 1, 0, NULL, 0), &f.e);
	assert_false(queue_full(f.q));
	EXPECT_OK(park(&f, 499, one_send, 1, 0, NULL, 0), &f.e);
	assert_true(queue_full(f.q));
	commit(&f);
	reopen(&f);
	assert_true(queue_full(f.q));
	done(&f, 1);
	assert_false(queue_full(f.q));
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_ends_with_its_last_task),
		cmocka_unit_test(parking_twice_changes_nothing),
		cmocka_unit_test(what_is_not_told_is_told_again),
		cmocka_unit_test(calls_go_one_after_the_other),
		cmocka_unit_test(what_decides_is_judged_on_when_all_have_said),
		cmocka_unit_test(what_is_dropped_by_hand_has_failed),
		cmocka_unit_test(dead_letters_expire),
		cmocka_unit_test(what_archives_destroy_leaves),
		cmocka_unit_test(rotation_leaves_what_lives),
		cmocka_unit_test(a_rotation_that_was_cut_off_leaves_the_old_file),
		cmocka_unit_test(it_is_full_at_its_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
