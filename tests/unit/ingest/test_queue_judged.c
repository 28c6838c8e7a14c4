/* What was judged on: noted, landed, taken back. */
#include <errno.h>

#include "base/log.h"
#include "ingest/judge.h"
#include "ingest/resources.h"
#include "store/db.h"
#include "tests/unit/fault.h"
#include "tests/unit/ingest/queue_rig.h"

static const enum rule_action_kind one_call[] = { RULE_S3 };

/* Message n, in these archives, waits to be judged on; `task` is the one that has said. */
static void park_going_on(struct fixture *f, int64_t n, int64_t task, const uint32_t *archives,
                          size_t archive_count)
{
	EXPECT_OK(park(f, n, one_send, 1, 1, archives, archive_count), &f->e);
	done(f, task);
	commit(f);
}

static void what_decides_is_judged_on_when_all_have_said(void **state)
{
	const enum rule_action_kind kinds[] = { RULE_SEND, RULE_SEND, RULE_SEND };
	const uint32_t who[] = { 1 };
	const struct queue_answer failed = { RULE_SAID_FAILED, who, 1 };
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
	judged(&f, 1, NULL, 0, 0, NULL, 0);
	assert_string_equal(told(&f), "");
	land(&f);
	assert_string_equal(told(&f), "delivered");
	end(&f);
}

/* Archives and index are committed ahead of the queue: the runner, who commits when he likes, must
 * not take the judgement with him. */
static void a_judgement_lands_with_the_pipeline_s_commit(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	park_going_on(&f, 1, 1, NULL, 0);
	assert_string_equal(goes_on(&f), "1");
	assert_string_equal(goes_on(&f), "1");
	judged(&f, 1, one_send, 1, 0, NULL, 0);
	assert_true(queue_has_judged(f.q));
	assert_string_equal(tasks_of(&f, 1), "");
	commit(&f);
	assert_string_equal(due(&f, true), "");
	assert_true(queue_has_judged(f.q));
	reopen(&f); /* all but a landing leaves it as it was */
	assert_string_equal(due(&f, true), "");
	expect_answer(&f, "[[0,0,\"DONE\"]]");
	f.runner = 0;
	judged(&f, 1, one_send, 1, 0, NULL, 0);
	land(&f);
	assert_false(queue_has_judged(f.q));
	assert_int_equal(f.runner, 1);
	assert_string_equal(due(&f, false), "2");
	assert_string_equal(goes_on(&f), "");
	reopen(&f);
	assert_string_equal(due(&f, true), "2");
	assert_string_equal(goes_on(&f), "");
	done(&f, 2);
	assert_string_equal(told(&f), "delivered");
	end(&f);
}

/* What the runner did meanwhile is committed with it, and what he does ends no message that is
 * noted. */
static void tasks_end_while_a_judgement_is_noted(void **state)
{
	const enum rule_action_kind kinds[] = { RULE_SEND, RULE_SEND };
	struct fixture f;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, kinds, 2, 1, NULL, 0), &f.e);
	done(&f, 2);
	commit(&f);
	judged(&f, 1, NULL, 0, 0, NULL, 0);
	done(&f, 1);
	assert_string_equal(told(&f), "");
	f.pipeline = 0;
	land(&f);
	assert_int_equal(f.pipeline, 1);
	reopen(&f);
	assert_string_equal(told(&f), "delivered");
	assert_int_equal(messages(&f), 0);
	end(&f);
}

static void what_is_taken_back_is_judged_again(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	park_going_on(&f, 1, 1, NULL, 0);
	park_going_on(&f, 2, 2, NULL, 0);
	assert_string_equal(goes_on(&f), "1 2");
	judged(&f, 1, one_send, 1, 0, NULL, 0);
	judged(&f, 2, one_call, 1, 0, NULL, 0);
	assert_true(queue_has_judged(f.q));
	queue_take_back(f.q);
	assert_false(queue_has_judged(f.q));
	assert_string_equal(goes_on(&f), "1 2");
	land(&f);
	assert_string_equal(goes_on(&f), "1 2");
	assert_string_equal(due(&f, true), "");
	judged(&f, 2, one_call, 1, 0, NULL, 0);
	land(&f);
	assert_string_equal(goes_on(&f), "1");
	assert_string_equal(tasks_of(&f, 2), "3 due");
	judged(&f, 1, one_send, 1, 0, NULL, 0);
	land(&f);
	queue_take_back(f.q); /* there is nothing */
	assert_string_equal(goes_on(&f), "");
	assert_string_equal(due(&f, true), "3 4");
	end(&f);
}

/* A run may stop once more; what is handed over belongs to the caller but for the specs. */
static void a_run_stops_again(void **state)
{
	const enum rule_action_kind kinds[] = { RULE_S3, RULE_SEND };
	struct queue_job j;
	struct fixture f;

	(void)state;
	begin(&f);
	park_going_on(&f, 1, 1, NULL, 0);
	judged(&f, 1, kinds, 2, 1, NULL, 0);
	land(&f);
	assert_string_equal(tasks_of(&f, 1), "2 due, 3 due");
	EXPECT_OK(queue_job(f.q, 3, false, &j, &f.e), &f.e);
	assert_string_equal(j.destination, "a.example");
	assert_int_equal(j.kind, RULE_SEND);
	assert_true(j.decides);
	assert_int_equal(json_array_size(json_member_array(j.spec, "recipients")), 1);
	queue_job_free(&j);
	done(&f, 3);
	commit(&f);
	expect_answer(&f, "[[0,0,\"DONE\"],[1,1,\"DONE\"]]");
	judged(&f, 1, NULL, 0, 0, NULL, 0);
	land(&f);
	done(&f, 2);
	assert_string_equal(told(&f), "delivered");
	end(&f);
}

/* Whatever call of it fails: nothing of it is there, and it can be done again. False: it needs
 * fewer. */
static bool landing_is_done_again(unsigned n)
{
	const uint32_t archives[] = { 7 };
	struct fixture f;
	bool hit;
	enum rc rc;

	begin(&f);
	park_going_on(&f, 1, 1, NULL, 0);
	judged(&f, 1, one_send, 1, 0, archives, 1);
	fault_arm(FAULT_PART, n, ENOSPC, false);
	rc = queue_land(f.q, &f.e);
	hit = fault_disarm();
	assert_int_equal(rc, hit ? RC_NOSPACE : RC_OK);
	if (hit) {
		queue_take_back(f.q);
		assert_string_equal(tasks_of(&f, 1), "");
		commit(&f);
		assert_string_equal(due(&f, true), "");
		expect_answer(&f, "[[0,0,\"DONE\"]]");
		judged(&f, 1, one_send, 1, 0, archives, 1);
		land(&f);
	}
	reopen(&f);
	assert_string_equal(due(&f, true), "2");
	assert_string_equal(goes_on(&f), "");
	assert_int_equal(forget(&f, 7, 1), 1);
	end(&f);
	return hit;
}

static void a_landing_that_fails_is_done_again(void **state)
{
	bool hit = true;

	(void)state;
	for (unsigned n = 1; hit; n++)
		hit = landing_is_done_again(n);
}

/* ---- it doesn't go on any more ---- */

static void what_was_forgotten_stays_so(void **state)
{
	const uint32_t one[] = { 1 };
	struct fixture f;

	(void)state;
	for (int is_told = 0; is_told < 2; is_told++) {
		begin(&f);
		park_going_on(&f, 1, 1, one, 1);
		judged(&f, 1, one_send, 1, 0, NULL, 0);
		assert_int_equal(forget(&f, 1, 1), 1);
		commit(&f);
		if (is_told)
			assert_string_equal(told(&f), "dropped");
		land(&f);
		assert_string_equal(due(&f, true), "");
		assert_string_equal(tasks_of(&f, 1), "");
		assert_string_equal(goes_on(&f), "");
		assert_int_equal(messages(&f), 0);
		assert_string_equal(told(&f), is_told ? "" : "dropped");
		assert_false(has(&f, 1));
		end(&f);
	}
}

static void only_what_goes_on_is_judged_on(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, one_send, 1, 1, NULL, 0), &f.e);
	commit(&f);
	judged(&f, 1, one_send, 1, 0, NULL, 0);
	judged(&f, 2, one_send, 1, 0, NULL, 0); /* there is none */
	land(&f);
	assert_string_equal(tasks_of(&f, 1), "1 due");
	assert_string_equal(due(&f, true), "1");
	assert_false(has(&f, 2));
	done(&f, 1);
	expect_answer(&f, "[[0,0,\"DONE\"]]");
	end(&f);
}

/* The queue's only file, as another connection. */
static void change_file(struct fixture *f, const char *sql)
{
	char *path = scratch_path(&f->s, "queue/00000001.db");
	uint8_t key[KEY_BYTES];
	struct db *db;
	uint64_t id;

	EXPECT_OK(keyring_find(f->kr, KEY_QUEUE, 0, 1, &id, &f->e), &f->e);
	EXPECT_OK(keyring_get(f->kr, id, key, &f->e), &f->e);
	EXPECT_OK(db_open(&db, path, key, DB_WRITE, &f->e), &f->e);
	EXPECT_OK(db_exec(db, sql, &f->e), &f->e);
	db_close(&db);
	free(path);
}

/* It would stay for ever, and nobody would hear of it. */
static void one_without_bytes_is_given_out(void **state)
{
	struct queue_parked p;
	struct fixture f;
	int64_t number;

	(void)state;
	begin(&f);
	park_going_on(&f, 1, 1, NULL, 0);
	park_going_on(&f, 2, 2, NULL, 0);
	queue_close(&f.q);
	change_file(&f, "DELETE FROM body WHERE message = 1");
	reopen(&f);
	EXPECT_OK(queue_go_on_next(f.q, 0, &number, &p, &f.e), &f.e);
	assert_int_equal(number, 1);
	assert_int_equal(p.raw.len, 0);
	EXPECT_SLICE("meta", buf_slice(&p.meta), "{\"receipt\":{}}");
	assert_non_null(p.past);
	queue_parked_free(&p);
	assert_string_equal(goes_on(&f), "1 2");
	judged(&f, 1, NULL, 0, 0, NULL, 0);
	land(&f);
	assert_string_equal(told(&f), "delivered");
	assert_string_equal(goes_on(&f), "2");
	end(&f);
}

/* ---- archives ---- */

/* The new ones are added to those that it was in. */
static void it_leaves_with_the_last_of_all_archives(void **state)
{
	const uint32_t first[] = { 1, 2 };
	const uint32_t then[] = { 3 };
	struct fixture f;

	(void)state;
	begin(&f);
	park_going_on(&f, 1, 1, first, 2);
	judged(&f, 1, one_send, 1, 0, then, 1);
	land(&f);
	assert_int_equal(forget(&f, 3, 1), 0);
	assert_int_equal(forget_day(&f, 1, 1), 0);
	assert_string_equal(due(&f, true), "2");
	assert_int_equal(forget(&f, 2, 1), 1);
	assert_string_equal(due(&f, true), "");
	assert_string_equal(told(&f), "dropped");
	end(&f);
}

/* One that was forgotten while the judgement was noted doesn't come back: nobody would forget it
 * again. */
static void forgotten_archives_stay_so(void **state)
{
	const uint32_t first[] = { 1, 2 };
	const uint32_t then[] = { 3 };
	struct fixture f;

	(void)state;
	for (int by_day = 0; by_day < 2; by_day++) {
		begin(&f);
		park_going_on(&f, 1, 1, first, 2);
		judged(&f, 1, one_send, 1, 0, then, 1);
		assert_int_equal(by_day ? forget_day(&f, 1, 1) : forget(&f, 1, 1), 0);
		land(&f);
		assert_int_equal(by_day ? forget_day(&f, 2, 1) : forget(&f, 2, 1), 0);
		assert_string_equal(due(&f, true), "2");
		assert_int_equal(by_day ? forget_day(&f, 3, 1) : forget(&f, 3, 1), 1);
		assert_string_equal(due(&f, true), "");
		end(&f);
	}
}

/* Nor does a new one that was, whose message is in none of its archives any more then. */
static void a_new_archive_forgets_before_the_landing(void **state)
{
	const uint32_t first[] = { 1 };
	const uint32_t then[] = { 3 };
	struct fixture f;

	(void)state;
	for (int by_day = 0; by_day < 2; by_day++) {
		begin(&f);
		park_going_on(&f, 1, 1, first, 1);
		judged(&f, 1, one_send, 1, 0, then, 1);
		assert_int_equal(by_day ? forget_day(&f, 3, 1) : forget(&f, 3, 1), 0);
		assert_int_equal(by_day ? forget_day(&f, 3, 5 * DAY) : forget(&f, 3, 2), 0);
		land(&f);
		assert_string_equal(due(&f, true), "2");
		assert_int_equal(by_day ? forget_day(&f, 1, 1) : forget(&f, 1, 1), 1);
		assert_string_equal(due(&f, true), "");
		end(&f);
	}
}

/* Another message's new archives are its own. */
static void others_archives_are_theirs(void **state)
{
	const uint32_t first[] = { 1 };
	const uint32_t then[] = { 3 };
	struct fixture f;

	(void)state;
	begin(&f);
	park_going_on(&f, 1, 1, first, 1);
	park_going_on(&f, 2 + DAY, 2, first, 1);
	judged(&f, 1, one_send, 1, 0, then, 1);
	judged(&f, 2 + DAY, one_send, 1, 0, then, 1);
	assert_int_equal(forget(&f, 3, 2 + DAY), 0);
	assert_int_equal(forget_day(&f, 3, 5 * DAY), 0);
	land(&f);
	assert_int_equal(forget(&f, 1, 1), 0); /* 3 has it */
	assert_int_equal(forget(&f, 1, 2 + DAY), 1);
	assert_string_equal(due(&f, true), "3");
	assert_int_equal(forget(&f, 3, 1), 1);
	end(&f);
}

/* ---- what an attack found ---- */

/* What a probe leaves behind when its second half fails is no obstacle to the next one. */
static void a_probe_that_was_cut_off_goes_again(void **state)
{
	bool hit = true;
	unsigned n;
	unsigned step;

	(void)state;
	for (scratch_stride(&n, &step); hit; n += step) {
		struct fixture f;
		enum rc rc;

		begin(&f);
		fault_arm(FAULT_WRITE, n, ENOSPC, false);
		rc = queue_probe(f.q, &f.e);
		hit = fault_disarm();
		assert_int_equal(rc, hit ? RC_NOSPACE : RC_OK);
		EXPECT_OK(queue_probe(f.q, &f.e), &f.e);
		end(&f);
	}
}

/* A sweep goes on for minutes behind it. */
static void what_was_forgotten_is_committed(void **state)
{
	const struct queue_answer a = { .said = RULE_SAID_DONE };
	const uint32_t archives[] = { 7 };
	struct fixture f;
	enum rc rc;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, one_send, 1, 0, archives, 1), &f.e);
	EXPECT_OK(park(&f, 2, one_send, 1, 0, NULL, 0), &f.e);
	commit(&f);
	assert_int_equal(forget(&f, 7, 1), 1);
	fault_arm(FAULT_WRITE, 1, ENOSPC, true);
	rc = queue_done(f.q, 2, false, &a, &f.e);
	if (rc == RC_OK)
		rc = queue_commit(f.q, &f.e);
	(void)fault_disarm();
	assert_int_equal(rc, RC_NOSPACE);
	assert_string_equal(tasks_of(&f, 1), "");
	EXPECT_OK(queue_rotate(f.q, &f.e), &f.e);
	assert_string_equal(tasks_of(&f, 1), "");
	end(&f);
}

/* A number that the runner knows isn't given to another message's task. */
static void what_is_due_is_committed(void **state)
{
	struct fixture f;
	struct queue_job j;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, one_send, 1, 0, NULL, 0), &f.e);
	assert_string_equal(due(&f, true), "1"); /* the runner begins it */
	done(&f, 1);
	fault_arm(FAULT_WRITE, 1, ENOSPC, true);
	assert_int_equal(queue_commit(f.q, &f.e), RC_NOSPACE);
	(void)fault_disarm();
	EXPECT_OK(park(&f, 2, one_send, 1, 0, NULL, 0), &f.e);
	assert_string_equal(due(&f, true), "1 2");
	EXPECT_OK(queue_job(f.q, 1, false, &j, &f.e), &f.e);
	assert_int_equal(j.received_ms, RECEIVED + 1);
	queue_job_free(&j);
	end(&f);
}

/* From write n on there is no room for a rotation; false: it needs fewer. */
static bool a_failed_rotation_leaves_no_key(unsigned n)
{
	struct fixture f;
	enum rc rc;
	bool hit;

	begin(&f);
	for (int64_t i = 1; i <= 3; i++)
		EXPECT_OK(park(&f, i, one_send, 1, 0, NULL, 0), &f.e);
	commit(&f);
	fault_arm(FAULT_WRITE, n, ENOSPC, true);
	rc = queue_rotate(f.q, &f.e);
	hit = fault_disarm();
	if (rc == RC_IO) /* mmd ends */
		reopen_all(&f);
	EXPECT_OK(queue_rotate(f.q, &f.e), &f.e);
	done(&f, 1);
	commit(&f);
	EXPECT_OK(queue_rotate(f.q, &f.e), &f.e);
	reopen_all(&f);
	assert_string_equal(due(&f, true), "2 3");
	end(&f);
	return hit;
}

static void a_failed_rotation_leaves_no_key_that_is_chosen(void **state)
{
	unsigned n;
	unsigned step;

	(void)state;
	for (scratch_stride(&n, &step); a_failed_rotation_leaves_no_key(n); n += step)
		;
}

/* Nor is anything removed by a rotation behind one whose end nobody knows. */
static void a_broken_queue_isn_t_rotated(void **state)
{
	bool hit = true;
	unsigned broken = 0;

	(void)state;
	for (unsigned n = 1; hit; n++) {
		struct fixture f;
		enum rc rc;

		begin(&f);
		EXPECT_OK(park(&f, 1, one_send, 1, 0, NULL, 0), &f.e);
		commit(&f);
		fault_arm(FAULT_WRITE | FAULT_SYNC, n, EIO, false);
		rc = queue_rotate(f.q, &f.e);
		hit = fault_disarm();
		if (rc == RC_IO && queue_rotate(f.q, &f.e) == RC_IO)
			broken++;
		reopen_all(&f);
		assert_string_equal(due(&f, true), "1");
		end(&f);
	}
	assert_true(broken > 3);
}

static void a_notice_about_what_is_gone_isn_t_parked(void **state)
{
	const uint32_t archives[] = { 7 };
	struct queue_message n = message_of(50);
	struct fixture f;
	struct queue_job j;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, one_send, 1, 0, archives, 1), &f.e);
	commit(&f);
	EXPECT_OK(queue_job(f.q, 1, true, &j, &f.e), &f.e); /* the runner writes it */
	n.notice = true;
	n.of = j.message;
	queue_job_free(&j);
	assert_int_equal(forget(&f, 7, 1), 1);
	EXPECT_OK(park(&f, 2, one_send, 1, 0, NULL, 0), &f.e);
	assert_int_equal(park_as(&f, n, one_send, 1, 0), RC_NOTFOUND);
	assert_false(has(&f, 50));
	assert_true(has(&f, 2)); /* it undid nothing */
	end(&f);
}

/* What the judge says of message 1, which was taken from the queue; no rules are there to judge it
 * by. */
static struct judge_said judge_one(struct fixture *f)
{
	static const uint8_t key[KEY_BYTES] = { 7 };
	const struct mail mail = { .id = id_of(1), .rule_set = slice_str("rs-1") };
	const struct rule_past past = { 0 };
	const struct judged m = { .mail = &mail, .past = &past };
	struct pipeline_parts parts = { .queue = f->q };
	char *path = path_join(f->s.dir, "control.db");
	json_t *nothing = quoted("{'Generation':1}");
	struct judge_said said;
	struct config *c;
	struct judge *j;

	EXPECT_OK(db_open(&parts.control, path, key, DB_CREATE, &f->e), &f->e);
	EXPECT_OK(resources_open(parts.control, &f->e), &f->e);
	EXPECT_OK(config_new(&c, nothing, &f->e), &f->e);
	j = judge_new(&parts, NULL);
	EXPECT_OK(judge_message(j, c, &m, &said, &f->e), &f->e);
	judge_free(&j);
	config_unref(&c);
	db_close(&parts.control);
	json_decref(nothing);
	free(path);
	return said;
}

/* It was destroyed between the two. */
static void what_is_gone_is_not_judged_on(void **state)
{
	const uint32_t archives[] = { 7 };
	const struct message_id id = id_of(1);
	struct judge_said said;
	struct fixture f;
	bool goes;

	(void)state;
	begin(&f);
	log_init("test", LOG_ERROR + 1);
	park_going_on(&f, 1, 1, archives, 1);
	EXPECT_OK(queue_goes_on(f.q, &id, &goes, &f.e), &f.e);
	assert_true(goes);
	said = judge_one(&f);
	assert_true(said.record);
	assert_true(queue_has_judged(f.q));
	queue_take_back(f.q);
	assert_int_equal(forget(&f, 7, 1), 1);
	EXPECT_OK(queue_goes_on(f.q, &id, &goes, &f.e), &f.e);
	assert_false(goes);
	said = judge_one(&f);
	assert_false(said.record);
	assert_false(queue_has_judged(f.q));
	end(&f);
}

/* Once a landing found no room, results are committed ahead of the next one. */
static void results_don_t_go_with_a_landing_again(void **state)
{
	bool hit = true;
	unsigned kept = 0;

	(void)state;
	for (unsigned n = 1; hit; n++) {
		struct fixture f;
		enum rc rc;

		begin(&f);
		EXPECT_OK(park(&f, 1, one_send, 1, 0, NULL, 0), &f.e);
		park_going_on(&f, 2, 2, NULL, 0);
		judged(&f, 2, one_send, 1, 0, NULL, 0);
		fault_arm(FAULT_WRITE, 1, ENOSPC, true);
		assert_int_equal(queue_land(f.q, &f.e), RC_NOSPACE);
		(void)fault_disarm();
		queue_take_back(f.q);
		done(&f, 1);
		judged(&f, 2, one_send, 1, 0, NULL, 0);
		fault_arm(FAULT_WRITE, n, ENOSPC, true);
		rc = queue_land(f.q, &f.e);
		hit = fault_disarm();
		assert_int_equal(rc, hit ? RC_NOSPACE : RC_OK);
		if (hit && !*tasks_of(&f, 1))
			kept++;
		end(&f);
	}
	assert_true(kept > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_decides_is_judged_on_when_all_have_said),
		cmocka_unit_test(a_judgement_lands_with_the_pipeline_s_commit),
		cmocka_unit_test(tasks_end_while_a_judgement_is_noted),
		cmocka_unit_test(what_is_taken_back_is_judged_again),
		cmocka_unit_test(a_run_stops_again),
		cmocka_unit_test(a_landing_that_fails_is_done_again),
		cmocka_unit_test(what_was_forgotten_stays_so),
		cmocka_unit_test(only_what_goes_on_is_judged_on),
		cmocka_unit_test(one_without_bytes_is_given_out),
		cmocka_unit_test(it_leaves_with_the_last_of_all_archives),
		cmocka_unit_test(forgotten_archives_stay_so),
		cmocka_unit_test(a_new_archive_forgets_before_the_landing),
		cmocka_unit_test(others_archives_are_theirs),
		cmocka_unit_test(a_probe_that_was_cut_off_goes_again),
		cmocka_unit_test(what_was_forgotten_is_committed),
		cmocka_unit_test(what_is_due_is_committed),
		cmocka_unit_test(a_failed_rotation_leaves_no_key_that_is_chosen),
		cmocka_unit_test(a_broken_queue_isn_t_rotated),
		cmocka_unit_test(a_notice_about_what_is_gone_isn_t_parked),
		cmocka_unit_test(what_is_gone_is_not_judged_on),
		cmocka_unit_test(results_don_t_go_with_a_landing_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
