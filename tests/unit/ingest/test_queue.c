#include <errno.h>

#include "tests/unit/fault.h"
#include "tests/unit/ingest/queue_rig.h"

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

/* ---- notices ---- */

/* A notice that tells about message n (0: about none that is in the queue), to one recipient. */
static void park_notice(struct fixture *f, int64_t own, int64_t of)
{
	struct queue_message m = message_of(own);

	m.notice = true;
	m.rule_set = "";
	m.of = of;
	EXPECT_OK(park_as(f, m, one_send, 1, 0), &f->e);
}

/* Of the message that has this task: its number in the queue. */
static int64_t message_with(struct fixture *f, int64_t task)
{
	struct queue_job j;
	int64_t number;

	EXPECT_OK(queue_job(f->q, task, false, &j, &f->e), &f->e);
	number = j.message;
	queue_job_free(&j);
	return number;
}

/* Nobody asks what became of it, so nothing is to be told. */
static void a_notice_that_ended_leaves_nothing(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	park_notice(&f, 1, 0);
	park_notice(&f, 2, 0);
	commit(&f);
	done(&f, 1);
	commit(&f);
	assert_false(has(&f, 1));
	assert_int_equal(messages(&f), 1);
	died(&f, 2, 7);
	commit(&f);
	assert_true(has(&f, 2));
	assert_string_equal(tasks_of(&f, 2), "2 dead");
	assert_false(queue_untold(f.q));
	assert_string_equal(told(&f), "");
	EXPECT_OK(queue_drop(f.q, 2, &f.e), &f.e);
	assert_false(has(&f, 2));
	assert_string_equal(told(&f), "");
	commit(&f);
	reopen(&f);
	assert_false(has(&f, 1) || has(&f, 2));
	assert_int_equal(messages(&f), 0);
	end(&f);
}

/* It says what was in the message: so it goes with it, and not before. Message 1 was sent on the
 * day of RECEIVED, its notice a day later. */
static void a_notice_leaves_with_what_it_tells_about(void **state)
{
	const uint32_t both[] = { 1, 2 };
	const int64_t later = DAY;
	struct fixture f;

	(void)state;
	for (int by_day = 0; by_day < 2; by_day++) {
		begin(&f);
		EXPECT_OK(park(&f, 1, one_send, 1, 0, both, 2), &f.e);
		EXPECT_OK(park(&f, 2 + 2 * DAY, one_send, 1, 0, both, 2), &f.e);
		park_notice(&f, later, message_with(&f, 1));
		park_notice(&f, later + 1, message_with(&f, 2));
		park_notice(&f, later + 2, 0);
		commit(&f);
		(void)(by_day ? forget_day(&f, 1, 1) : forget(&f, 1, 1));
		assert_true(has(&f, later));
		assert_string_equal(due(&f, true), "1 2 3 4 5");
		(void)(by_day ? forget_day(&f, 2, 1) : forget(&f, 2, 1));
		commit(&f);
		assert_false(has(&f, later));
		assert_string_equal(due(&f, true), "2 4 5");
		assert_string_equal(told(&f), "dropped");
		assert_int_equal(messages(&f), 3);
		end(&f);
	}
}

/* What it tells about has mostly ended, and was told, while a server doesn't take the notice. A
 * rotation forgets nothing of that. */
static void a_notice_leaves_with_what_has_ended(void **state)
{
	const uint32_t both[] = { 1, 2 };
	const struct queue_answer a = { .said = RULE_SAID_DONE };
	struct fixture f;

	(void)state;
	for (int by_day = 0; by_day < 2; by_day++) {
		begin(&f);
		EXPECT_OK(park(&f, 1, one_send, 1, 0, both, 2), &f.e);
		park_notice(&f, 2 + DAY, message_with(&f, 1));
		EXPECT_OK(queue_done(f.q, 1, true, &a, &f.e), &f.e);
		commit(&f);
		assert_string_equal(told(&f), "bounced");
		EXPECT_OK(queue_rotate(f.q, &f.e), &f.e);
		reopen(&f);
		(void)(by_day ? forget_day(&f, 2, 1) : forget(&f, 2, 1));
		assert_string_equal(due(&f, true), "2");
		(void)(by_day ? forget_day(&f, 1, 1) : forget(&f, 1, 1));
		assert_string_equal(due(&f, true), "");
		assert_false(has(&f, 2 + DAY));
		assert_int_equal(messages(&f), 0);
		end(&f);
	}
}

/* ---- rotation ---- */

/* Before it the old key opens the file that has the message; after it no key does, and all that
 * lives is there. */
static void rotation_leaves_what_lives(void **state)
{
	struct fixture f;
	uint8_t key[KEY_BYTES];
	uint64_t old;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, one_send, 1, 0, NULL, 0), &f.e);
	EXPECT_OK(park(&f, 2, one_send, 1, 0, NULL, 0), &f.e);
	done(&f, 1);
	assert_string_equal(told(&f), "delivered");
	old = key_of(&f);
	EXPECT_OK(keyring_get(f.kr, old, key, &f.e), &f.e);
	EXPECT_OK(queue_rotate(f.q, &f.e), &f.e);
	assert_int_equal(keyring_get(f.kr, old, key, &f.e), RC_NOTFOUND);
	(void)key_of(&f);
	reopen(&f);
	assert_true(has(&f, 2));
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
	uint64_t id;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, one_send, 1, 0, NULL, 0), &f.e);
	queue_close(&f.q);
	EXPECT_OK(keyring_add(f.kr, &want, &id, &f.e), &f.e);
	reopen(&f);
	(void)key_of(&f);
	assert_string_equal(due(&f, true), "1");
	end(&f);
}

/* Writing all anew is for what has ended alone. */
static void nothing_ended_nothing_is_rotated(void **state)
{
	struct fixture f;
	uint64_t key;

	(void)state;
	begin(&f);
	EXPECT_OK(park(&f, 1, one_send, 1, 0, NULL, 0), &f.e);
	EXPECT_OK(park(&f, 2, one_send, 1, 0, NULL, 0), &f.e);
	EXPECT_OK(queue_rotate(f.q, &f.e), &f.e); /* nobody knows what was before */
	key = key_of(&f);
	EXPECT_OK(queue_rotate(f.q, &f.e), &f.e);
	assert_int_equal(key_of(&f), key);
	assert_string_equal(told(&f), "");
	EXPECT_OK(queue_rotate(f.q, &f.e), &f.e);
	assert_int_equal(key_of(&f), key);
	done(&f, 1);
	EXPECT_OK(queue_rotate(f.q, &f.e), &f.e);
	assert_int_not_equal(key_of(&f), key);
	key = key_of(&f);
	assert_string_equal(told(&f), "delivered"); /* and its row is gone */
	EXPECT_OK(queue_rotate(f.q, &f.e), &f.e);
	assert_int_not_equal(key_of(&f), key);
	end(&f);
}

/* Whatever call of it fails, or all from there on: what is parked then is there after a restart.
 * False: it needs fewer. */
static bool rotation_survives(unsigned n, bool on)
{
	const char *left;
	struct fixture f;
	bool hit;
	enum rc rc;

	begin(&f);
	EXPECT_OK(park(&f, 1, one_send, 1, 0, NULL, 0), &f.e);
	EXPECT_OK(park(&f, 2, one_send, 1, 0, NULL, 0), &f.e);
	done(&f, 1);
	commit(&f);
	assert_string_equal(told(&f), "delivered");
	commit(&f);
	fault_arm(FAULT_PART, n, ENOSPC, on);
	rc = queue_rotate(f.q, &f.e);
	hit = fault_disarm();
	assert_true(hit ? rc == RC_NOSPACE || rc == RC_IO : rc == RC_OK);
	assert_string_equal(due(&f, true), "2");
	/* where the old key may be half destroyed nothing is parked until a restart */
	assert_int_equal(park(&f, 3, one_send, 1, 0, NULL, 0), rc == RC_IO ? RC_IO : RC_OK);
	commit(&f);
	reopen_all(&f);
	left = rc == RC_IO ? "2" : "2 3";
	assert_string_equal(due(&f, true), left);
	(void)key_of(&f);
	EXPECT_OK(queue_rotate(f.q, &f.e), &f.e);
	reopen_all(&f);
	assert_string_equal(due(&f, true), left);
	(void)key_of(&f);
	end(&f);
	return hit;
}

static void a_rotation_that_fails_leaves_the_old_file(void **state)
{
	bool hit = true;

	(void)state;
	for (int on = 0; on < 2; on++, hit = true)
		for (unsigned n = 1; hit; n++)
			hit = rotation_survives(n, on);
}

/* A key that was destroyed in one replica alone is gone after a restart, though its destruction
 * failed. */
static bool half_a_destruction_survives(unsigned n, int error)
{
	struct fixture f;
	bool hit;
	enum rc rc;

	begin(&f);
	EXPECT_OK(park(&f, 1, one_send, 1, 0, NULL, 0), &f.e);
	commit(&f);
	fault_arm(FAULT_WRITE | FAULT_SYNC, n, error, false);
	rc = queue_rotate(f.q, &f.e);
	hit = fault_disarm();
	/* all but a full disk is final: nothing is parked then */
	if (rc == RC_OK || rc == RC_NOSPACE) {
		EXPECT_OK(park(&f, 2, one_send, 1, 0, NULL, 0), &f.e);
		commit(&f);
	}
	reopen_all(&f);
	if (strcmp(due(&f, true), rc == RC_OK || rc == RC_NOSPACE ? "1 2" : "1") != 0)
		fail_msg("write %u, error %d, %s: \"%s\" is left", n, error, rc_name(rc),
		         due(&f, true));
	end(&f);
	return hit;
}

static void a_rotation_whose_writes_fail_loses_nothing(void **state)
{
	const int errors[] = { ENOSPC, EIO };
	bool hit = true;

	(void)state;
	for (size_t i = 0; i < COUNT(errors); i++, hit = true)
		for (unsigned n = 1; hit; n++)
			hit = half_a_destruction_survives(n, errors[i]);
}

/* ---- limits ---- */

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

/* Message n with so many bytes. */
static void park_bytes(struct fixture *f, int64_t n, size_t bytes)
{
	static const uint8_t raw[10000];
	struct queue_message m = message_of(n);

	m.raw = slice_of(raw, bytes);
	EXPECT_OK(park_as(f, m, one_send, 1, 0), &f->e);
}

/* The limit is for what has to leave: dead letters wait for people, and new mail mustn't. */
static void dead_letters_take_no_room(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	park_bytes(&f, 1, 6000);
	park_bytes(&f, 2, 4000);
	assert_true(queue_full(f.q));
	died(&f, 1, 7);
	assert_false(queue_full(f.q));
	commit(&f);
	reopen(&f);
	park_bytes(&f, 3, 5999);
	assert_false(queue_full(f.q));
	done(&f, 3);
	EXPECT_OK(queue_retry(f.q, 1, 9, &f.e), &f.e);
	EXPECT_OK(queue_retry(f.q, 1, 9, &f.e), &f.e); /* it is due already */
	assert_true(queue_full(f.q));
	commit(&f);
	reopen(&f);
	assert_true(queue_full(f.q));
	done(&f, 1);
	park_bytes(&f, 4, 5999);
	assert_false(queue_full(f.q));
	park_bytes(&f, 5, 1);
	assert_true(queue_full(f.q));
	end(&f);
}

/* What didn't count any more isn't taken off once more when it goes. */
static void dead_letters_that_go_give_no_room(void **state)
{
	const uint32_t one[] = { 1 };
	struct queue_message m = message_of(3);
	struct fixture f;
	size_t n;

	(void)state;
	begin(&f);
	m.archives = one;
	m.archive_count = 1;
	park_bytes(&f, 1, 3000);
	park_bytes(&f, 2, 3000);
	EXPECT_OK(park_as(&f, m, one_send, 1, 0), &f.e);
	died(&f, 1, 7);
	died(&f, 2, 70);
	died(&f, 3, 70);
	park_bytes(&f, 4, 9999);
	EXPECT_OK(queue_expire(f.q, 50, &n, &f.e), &f.e);
	assert_int_equal(n, 1);
	EXPECT_OK(queue_drop(f.q, 2, &f.e), &f.e);
	assert_int_equal(forget(&f, 1, 3), 1);
	assert_false(queue_full(f.q));
	park_bytes(&f, 5, 1);
	assert_true(queue_full(f.q));
	end(&f);
}

/* One that isn't dead alone counts. */
static void what_else_there_is_to_do_counts(void **state)
{
	const enum rule_action_kind two[] = { RULE_SEND, RULE_SEND };
	struct queue_message m = message_of(1);
	static const uint8_t raw[10000];
	struct fixture f;

	(void)state;
	begin(&f);
	m.raw = slice_of(raw, sizeof(raw));
	EXPECT_OK(park_as(&f, m, two, 2, 0), &f.e);
	died(&f, 1, 7);
	assert_true(queue_full(f.q));
	commit(&f);
	reopen(&f);
	assert_true(queue_full(f.q));
	done(&f, 2);
	assert_false(queue_full(f.q));
	end(&f);
}

/* A receipt with all its headers may be large, and what was parked must come out. */
static void a_large_receipt_is_read(void **state)
{
	const size_t bytes = (size_t)5 << 20;
	struct queue_message m = message_of(1);
	char *meta = mem_new(bytes + 1);
	struct queue_job j;
	struct fixture f;

	(void)state;
	begin(&f);
	memset(meta, ' ', bytes);
	meta[0] = '{';
	meta[bytes - 1] = '}';
	m.meta = slice_str(meta);
	EXPECT_OK(park_as(&f, m, one_send, 1, 0), &f.e);
	EXPECT_OK(queue_job(f.q, 1, true, &j, &f.e), &f.e);
	assert_int_equal(j.meta.len, bytes);
	assert_memory_equal(j.meta.at, meta, bytes);
	queue_job_free(&j);
	free(meta);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_ends_with_its_last_task),
		cmocka_unit_test(parking_twice_changes_nothing),
		cmocka_unit_test(what_is_not_told_is_told_again),
		cmocka_unit_test(what_archives_destroy_leaves),
		cmocka_unit_test(a_notice_that_ended_leaves_nothing),
		cmocka_unit_test(a_notice_leaves_with_what_it_tells_about),
		cmocka_unit_test(a_notice_leaves_with_what_has_ended),
		cmocka_unit_test(rotation_leaves_what_lives),
		cmocka_unit_test(a_rotation_that_was_cut_off_leaves_the_old_file),
		cmocka_unit_test(nothing_ended_nothing_is_rotated),
		cmocka_unit_test(a_rotation_that_fails_leaves_the_old_file),
		cmocka_unit_test(a_rotation_whose_writes_fail_loses_nothing),
		cmocka_unit_test(it_is_full_at_its_limit),
		cmocka_unit_test(dead_letters_take_no_room),
		cmocka_unit_test(dead_letters_that_go_give_no_room),
		cmocka_unit_test(what_else_there_is_to_do_counts),
		cmocka_unit_test(a_large_receipt_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
