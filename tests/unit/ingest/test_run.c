/* The runner without anybody to send or call by: what it puts off, and when it rotates. */
#include "base/clock.h"
#include "base/log.h"
#include "ingest/queue/run_core.h"
#include "tests/unit/fault.h"
#include "tests/unit/ingest/queue_rig.h"

#define HOUR INT64_C(3600000)

struct running {
	struct fixture f;
	struct config *config;
	json_t *send;
	struct loop *loop;
	struct runner *r;
};

static struct config *config_of(void *arg)
{
	return config_ref(((struct running *)arg)->config);
}

static enum rc borrow(void *arg, struct db **out, struct err *e)
{
	(void)arg;
	(void)out;
	return err_set(e, RC_NOTFOUND, "no control.db");
}

static void give_back(void *arg, struct db **db)
{
	(void)arg;
	(void)db;
}

static void broken(void *arg, const struct err *e)
{
	(void)arg;
	fail_msg("%s", e->text);
}

static void run_begin(struct running *t, const char *send)
{
	json_t *nothing = quoted("{'Generation':1}");

	begin(&t->f);
	log_init("test", LOG_ERROR + 1);
	EXPECT_OK(config_new(&t->config, nothing, &t->f.e), &t->f.e);
	json_decref(nothing);
	t->send = quoted(send);
	t->loop = loop_new();
}

/* A start of mmd; what is due is tried. */
static void start(struct running *t)
{
	const struct runner_options o = { .loop = t->loop,
		                          .queue = t->f.q,
		                          .send = t->send,
		                          .hostname = "mm.test",
		                          .instance = "1",
		                          .config = config_of,
		                          .borrow = borrow,
		                          .give_back = give_back,
		                          .broken = broken,
		                          .arg = t };

	EXPECT_OK(runner_new(&t->r, &o, &t->f.e), &t->f.e);
	runner_wake(t->r);
}

static void run_end(struct running *t)
{
	runner_free(&t->r);
	fault_later(0);
	loop_free(&t->loop);
	json_decref(t->send);
	config_unref(&t->config);
	end(&t->f);
}

/* Message n of one who logged in, to three recipients. */
static void park_of_user(struct fixture *f, int64_t n)
{
	struct queue_message m = message_of(n);
	struct queue_task task = { .kind = RULE_SEND,
		                   .destination = "a.example",
		                   .spec = quoted("{'recipients':[{'i':0,'to':'a@a.example'},"
		                                  "{'i':1,'to':'b@a.example'},"
		                                  "{'i':2,'to':'c@a.example'}]}") };
	char *meta = quoted_text("{'receipt':{'auth':'ann','mail_from':''}}");

	m.meta = slice_str(meta);
	EXPECT_OK(queue_park(f->q, &m, &task, 1, &f->e), &f->e);
	free(meta);
}

static enum rc copy_due(void *arg, const struct queue_job *j, struct err *e)
{
	(void)e;
	assert_int_equal(j->state, TASK_DUE);
	*(int64_t *)arg = j->due_ms;
	return RC_OK;
}

/* One an hour, and three were sent to: the next one would be two hours away. No task is put off for
 * longer than the longest wait that the runner knows, as it would be taken for a clock that was set
 * back, and be due at once, again and again. */
static void who_sent_too_much_waits_an_hour_at_most(void **state)
{
	const struct message_id second = id_of(2);
	struct running t;
	int64_t due_ms = 0;

	(void)state;
	run_begin(&t, "{'rate':{'user':1},'retry':[1]}");
	park_of_user(&t.f, 1);
	park_of_user(&t.f, 2);
	start(&t);
	assert_string_equal(tasks_of(&t.f, 1), "1 dead");
	EXPECT_OK(queue_each_of(t.f.q, &second, copy_due, &due_ms, &t.f.e), &t.f.e);
	assert_true(due_ms <= clock_now_ms() + HOUR);
	assert_true(due_ms > clock_now_ms() + HOUR / 2);
	run_end(&t);
}

/* Where something waits; an empty one is rotated each time. Those who end mmd every evening have
 * what has ended taken out, too. */
static void the_queue_is_rotated_at_a_start_and_once_a_day(void **state)
{
	struct running t;
	uint64_t key;

	(void)state;
	run_begin(&t, "{}");
	EXPECT_OK(park(&t.f, 1, one_send, 1, 0, NULL, 0), &t.f.e);
	EXPECT_OK(park(&t.f, 2, one_send, 1, 0, NULL, 0), &t.f.e);
	start(&t);
	key = key_of(&t.f);
	run_keep_house(t.r);
	assert_int_not_equal(key_of(&t.f), key);
	key = key_of(&t.f);
	EXPECT_OK(queue_drop(t.f.q, 1, &t.f.e), &t.f.e); /* there is what could be taken out */
	run_keep_house(t.r);
	fault_later(23 * HOUR);
	run_keep_house(t.r);
	assert_int_equal(key_of(&t.f), key);
	fault_later(24 * HOUR);
	run_keep_house(t.r);
	assert_int_not_equal(key_of(&t.f), key);
	key = key_of(&t.f);
	EXPECT_OK(queue_drop(t.f.q, 2, &t.f.e), &t.f.e);
	run_keep_house(t.r);
	assert_int_not_equal(key_of(&t.f), key);
	run_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_sent_too_much_waits_an_hour_at_most),
		cmocka_unit_test(the_queue_is_rotated_at_a_start_and_once_a_day),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
