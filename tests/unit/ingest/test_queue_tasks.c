/* What comes of tasks, by tries and by hand. */
#include "base/clock.h"
#include "tests/unit/ingest/queue_rig.h"

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

/* Mail has no part in the order of calls, however it ends. */
static void mail_that_ends_starts_no_call(void **state)
{
	const enum rule_action_kind kinds[] = { RULE_S3,    RULE_SEND, RULE_SEND,
		                                RULE_RELAY, RULE_SNS,  RULE_LAMBDA };
	struct fixture f;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, kinds, 6, 0, NULL, 0), &f.e);
	done(&f, 2);
	assert_string_equal(tasks_of(&f, 1), "1 due, 3 due, 4 due, 5 behind, 6 behind");
	EXPECT_OK(queue_hold(f.q, 1, &f.e), &f.e);
	died(&f, 3, 7);
	assert_string_equal(tasks_of(&f, 1), "1 held, 3 dead, 4 due, 5 behind, 6 behind");
	EXPECT_OK(queue_retry(f.q, 1, 9, &f.e), &f.e);
	done(&f, 1);
	assert_string_equal(tasks_of(&f, 1), "3 dead, 4 due, 5 due, 6 behind");
	EXPECT_OK(queue_drop(f.q, 4, &f.e), &f.e);
	assert_string_equal(tasks_of(&f, 1), "3 dead, 5 due, 6 behind");
	EXPECT_OK(queue_drop(f.q, 5, &f.e),
	          &f.e); /* a call that is given up lets the next one go */
	assert_string_equal(tasks_of(&f, 1), "3 dead, 6 due");
	end(&f);
}

/* A call that is held holds up those behind it. */
static void a_held_call_keeps_its_place(void **state)
{
	const enum rule_action_kind kinds[] = { RULE_S3, RULE_SEND, RULE_SNS, RULE_LAMBDA };
	struct fixture f;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, kinds, 4, 0, NULL, 0), &f.e);
	commit(&f);
	assert_string_equal(due(&f, false), "2 1");
	EXPECT_OK(queue_hold(f.q, 3, &f.e), &f.e);
	EXPECT_OK(queue_retry(f.q, 3, 9, &f.e), &f.e);
	assert_string_equal(tasks_of(&f, 1), "1 due, 2 due, 3 behind, 4 behind");
	commit(&f);
	assert_string_equal(due(&f, false), "");
	EXPECT_OK(queue_hold(f.q, 3, &f.e), &f.e);
	done(&f, 1);
	done(&f, 2);
	assert_string_equal(tasks_of(&f, 1), "3 held, 4 behind");
	EXPECT_OK(queue_hold(f.q, 4, &f.e), &f.e);
	EXPECT_OK(queue_retry(f.q, 4, 9, &f.e), &f.e);
	assert_string_equal(tasks_of(&f, 1), "3 held, 4 behind");
	EXPECT_OK(queue_retry(f.q, 3, 9, &f.e), &f.e);
	assert_string_equal(tasks_of(&f, 1), "3 due, 4 behind");
	EXPECT_OK(queue_hold(f.q, 4, &f.e), &f.e);
	done(&f, 3);
	EXPECT_OK(queue_retry(f.q, 4, 9, &f.e), &f.e); /* nothing is ahead of it any more */
	assert_string_equal(tasks_of(&f, 1), "4 due");
	commit(&f);
	assert_string_equal(due(&f, false), "4");
	end(&f);
}

/* Calls that a run adds when it goes on stand behind those that it began with. */
static void calls_that_come_later_go_behind(void **state)
{
	const enum rule_action_kind kinds[] = { RULE_S3, RULE_SEND };
	const enum rule_action_kind then[] = { RULE_SNS, RULE_RELAY, RULE_LAMBDA };
	struct fixture f;

	(void)state;
	for (int held = 0; held < 2; held++) {
		begin(&f);
		EXPECT_OK(park(&f, 1, kinds, 2, 1, NULL, 0), &f.e);
		if (held)
			EXPECT_OK(queue_hold(f.q, 1, &f.e), &f.e);
		done(&f, 2);
		commit(&f);
		judged(&f, 1, then, 3, 0, NULL, 0);
		land(&f);
		assert_string_equal(tasks_of(&f, 1), held ? "1 held, 3 behind, 4 due, 5 behind"
		                                          : "1 due, 3 behind, 4 due, 5 behind");
		if (held)
			EXPECT_OK(queue_retry(f.q, 1, 9, &f.e), &f.e);
		done(&f, 1);
		assert_string_equal(tasks_of(&f, 1), "3 due, 4 due, 5 behind");
		end(&f);
	}
}

static void a_dead_call_holds_up_nothing(void **state)
{
	const enum rule_action_kind kinds[] = { RULE_S3, RULE_SEND };
	const enum rule_action_kind then[] = { RULE_SNS, RULE_LAMBDA };
	struct fixture f;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, kinds, 2, 1, NULL, 0), &f.e);
	died(&f, 1, 7);
	done(&f, 2);
	commit(&f);
	judged(&f, 1, then, 2, 0, NULL, 0);
	land(&f);
	assert_string_equal(tasks_of(&f, 1), "1 dead, 3 due, 4 behind");
	done(&f, 3);
	assert_string_equal(tasks_of(&f, 1), "1 dead, 4 due");
	end(&f);
}

static int64_t since(struct fixture *f, int64_t number)
{
	struct queue_job j;
	int64_t ms;

	EXPECT_OK(queue_job(f->q, number, false, &j, &f->e), &f->e);
	ms = j.since_ms;
	queue_job_free(&j);
	return ms;
}

/* Until the clock says more than that. */
static void wait_past(int64_t ms)
{
	while (clock_now_ms() <= ms)
		(void)usleep(200);
}

/* How long a call is tried doesn't count the time that others took. */
static void a_call_s_time_begins_when_it_is_due(void **state)
{
	const enum rule_action_kind kinds[] = { RULE_S3, RULE_SNS, RULE_LAMBDA };
	struct fixture f;
	int64_t parked;
	int64_t ended;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, kinds, 3, 0, NULL, 0), &f.e);
	parked = since(&f, 1);
	wait_past(parked);
	EXPECT_OK(queue_hold(f.q, 3, &f.e), &f.e);
	done(&f, 1);
	ended = since(&f, 2);
	assert_true(ended > parked);
	wait_past(ended);
	EXPECT_OK(queue_later(f.q, 2, 1, NULL, "away", &f.e),
	          &f.e); /* tried again: since the same */
	assert_int_equal(since(&f, 2), ended);
	EXPECT_OK(queue_retry(f.q, 3, clock_now_ms(), &f.e), &f.e);
	assert_string_equal(tasks_of(&f, 1), "2 due, 3 behind");
	died(&f, 2, 7);
	assert_true(since(&f, 3) > ended);
	end(&f);
}

/* ---- by hand ---- */

static void what_is_dropped_by_hand_has_failed(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, one_send, 1, 1, NULL, 0), &f.e);
	EXPECT_OK(queue_hold(f.q, 1, &f.e), &f.e);
	commit(&f);
	assert_string_equal(due(&f, true), "");
	EXPECT_OK(queue_drop(f.q, 1, &f.e), &f.e);
	expect_answer(&f, "[[0,0,\"FAILED\",[0]]]");
	judged(&f, 1, NULL, 0, 0, NULL, 0);
	land(&f);
	assert_string_equal(told(&f), "dropped");
	assert_int_equal(queue_drop(f.q, 1, &f.e), RC_NOTFOUND);
	end(&f);
}

/* A task that decides, with these recipients. */
static void park_deciding(struct fixture *f, int64_t n, enum rule_action_kind kind,
                          const char *recipients)
{
	json_t *past = quoted("{'matched':[[3,5]],'action':0,'answers':[]}");
	struct queue_message m = message_of(n);
	struct queue_task t = { .kind = kind,
		                .destination = "a.example",
		                .spec = quoted(recipients),
		                .decides = true };

	m.past = past;
	EXPECT_OK(queue_park(f->q, &m, &t, 1, &f->e), &f->e);
	json_decref(past);
}

/* Who has it already needn't be left out of the run's further rules. */
static void a_drop_fails_for_those_who_wait(void **state)
{
	static const struct {
		enum rule_action_kind kind;
		const char *spec;
		const char *answers;
	} cases[] = {
		{ RULE_SEND,
		  "{'recipients':[{'to':'a@a.example','i':3},"
		  "{'to':'b@a.example','i':5,'end':'done'}]}",
		  "[[0,0,\"FAILED\",[3]]]" },
		{ RULE_RELAY,
		  "{'recipients':[{'to':'a@a.example','i':3,'end':'done'},"
		  "{'to':'b@a.example','i':5,'end':'never'}]}",
		  "[[0,0,\"FAILED\",[5]]]" },
		{ RULE_MAILBOX,
		  "{'recipients':[{'to':'a@a.example','i':3},"
		  "{'to':'b@a.example','i':5,'end':'set-up'}]}",
		  "[[0,0,\"FAILED\",[3,5]]]" },
		{ RULE_LAMBDA,
		  "{'recipients':[{'to':'a@a.example','i':3},"
		  "{'to':'b@a.example','i':5}]}",
		  "[[0,0,\"FAILED\"]]" }, /* it is for all */
	};
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		begin(&f);
		park_deciding(&f, 1, cases[i].kind, cases[i].spec);
		EXPECT_OK(queue_drop(f.q, 1, &f.e), &f.e);
		expect_answer(&f, cases[i].answers);
		end(&f);
	}
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

static void expect_held(struct fixture *f, unsigned tries, int64_t due_ms, const char *reason,
                        const char *to)
{
	const json_t *recipients;
	struct queue_job j;

	assert_string_equal(due(f, true), "");
	EXPECT_OK(queue_job(f->q, 1, false, &j, &f->e), &f->e);
	assert_int_equal(j.state, TASK_HELD);
	assert_int_equal(j.tries, tries);
	assert_int_equal(j.due_ms, due_ms);
	assert_string_equal(j.reason, reason);
	recipients = json_member_array(j.spec, "recipients");
	EXPECT_SLICE("to", json_member_text(json_array_get(recipients, 0), "to"), to);
	queue_job_free(&j);
}

/* Who holds a task while it is tried wants it held when that try has failed. */
static void a_try_s_end_holds_on(void **state)
{
	json_t *spec = quoted("{'recipients':[{'i':0,'to':'b@b.example'}]}");
	struct fixture f;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, one_send, 1, 0, NULL, 0), &f.e);
	commit(&f);
	assert_string_equal(due(&f, false), "1");
	EXPECT_OK(queue_hold(f.q, 1, &f.e), &f.e);
	EXPECT_OK(queue_later(f.q, 1, 77, spec, "away", &f.e), &f.e);
	json_decref(spec);
	commit(&f);
	expect_held(&f, 1, 77, "away", "b@b.example");
	EXPECT_OK(queue_put_off(f.q, 1, 88, "too many", &f.e), &f.e);
	expect_held(&f, 1, 88, "too many", "b@b.example");
	commit(&f);
	assert_string_equal(due(&f, false), "");
	EXPECT_OK(queue_retry(f.q, 1, 99, &f.e), &f.e);
	commit(&f);
	assert_string_equal(due(&f, false), "1");
	EXPECT_OK(queue_hold(f.q, 1, &f.e), &f.e);
	done(&f, 1); /* and it has gone, when it has */
	assert_string_equal(told(&f), "delivered");
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_go_one_after_the_other),
		cmocka_unit_test(mail_that_ends_starts_no_call),
		cmocka_unit_test(a_held_call_keeps_its_place),
		cmocka_unit_test(calls_that_come_later_go_behind),
		cmocka_unit_test(a_dead_call_holds_up_nothing),
		cmocka_unit_test(a_call_s_time_begins_when_it_is_due),
		cmocka_unit_test(what_is_dropped_by_hand_has_failed),
		cmocka_unit_test(a_drop_fails_for_those_who_wait),
		cmocka_unit_test(dead_letters_expire),
		cmocka_unit_test(a_try_s_end_holds_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
