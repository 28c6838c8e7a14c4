/* tests/unit/api/test_job.c - searches and exports as rows: what ends, what is counted, what goes
 */
#include "api/job.h"

#include "base/clock.h"
#include "store/crypt.h"
#include "tests/unit/store/scratch.h"

static const uint8_t key[KEY_BYTES] = { 7 };

struct fixture {
	struct scratch s;
	struct db *db;
	struct err e;
};

static int setup(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));
	char *path;

	scratch_make(&f->s);
	path = scratch_path(&f->s, "control.db");
	EXPECT_OK(db_open(&f->db, path, key, DB_CREATE, &f->e), &f->e);
	EXPECT_OK(job_prepare(f->db, &f->e), &f->e);
	EXPECT_OK(job_prepare(f->db, &f->e), &f->e);
	free(path);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	db_close(&f->db);
	scratch_remove(&f->s);
	free(f);
	return 0;
}

/* A job with `hits` hits; its number. */
static int64_t add(struct fixture *f, enum job_kind kind, uint32_t archive, const char *principal,
                   size_t hits)
{
	static const struct message_id ids[8];
	struct job j = { .kind = kind,
		         .archive = archive,
		         .who = mem_string("who"),
		         .principal = principal ? mem_string(principal) : NULL,
		         .input = json_object() };
	int64_t number;

	EXPECT_OK(job_add(f->db, &j, &f->e), &f->e);
	EXPECT_OK(job_put_hits(f->db, j.number, ids, hits, &f->e), &f->e);
	number = j.number;
	job_free(&j);
	return number;
}

static int64_t add_ended(struct fixture *f, enum job_kind kind, uint32_t archive,
                         const char *principal, size_t hits)
{
	int64_t number = add(f, kind, archive, principal, hits);

	EXPECT_OK(job_end(f->db, number, JOB_COMPLETED, NULL, &f->e), &f->e);
	return number;
}

static int64_t look(struct fixture *f, const char *sql, int64_t number)
{
	struct stmt *s;
	int64_t n;

	EXPECT_OK(db_prepare(f->db, &s, sql, &f->e), &f->e);
	stmt_bind_int(s, 1, number);
	EXPECT_OK(stmt_step(s, &f->e), &f->e);
	n = stmt_int(s, 0);
	stmt_free(&s);
	return n;
}

static bool is_there(struct fixture *f, int64_t number)
{
	return look(f, "SELECT count(*) FROM job WHERE number = ?", number) == 1;
}

static int64_t hits_of(struct fixture *f, int64_t number)
{
	return look(f, "SELECT count(*) FROM job_hit WHERE job = ?", number);
}

/* All of one archive go, whatever their state, with their hits, and nothing of another one. */
static void test_forget(void **state)
{
	struct fixture *f = *state;
	int64_t gone[] = { add(f, JOB_SEARCH, 1, "ann", 2), add_ended(f, JOB_SEARCH, 1, NULL, 3),
		           add(f, JOB_EXPORT, 1, "bob", 4) };
	int64_t stays[] = { add_ended(f, JOB_SEARCH, 2, "ann", 2),
		            add(f, JOB_EXPORT, 11, NULL, 3) };

	EXPECT_OK(job_forget(f->db, 1, &f->e), &f->e);
	for (size_t i = 0; i < COUNT(gone); i++) {
		assert_false(is_there(f, gone[i]));
		assert_int_equal(hits_of(f, gone[i]), 0);
	}
	assert_true(is_there(f, stays[0]) && is_there(f, stays[1]));
	assert_int_equal(hits_of(f, stays[0]), 2);
	assert_int_equal(hits_of(f, stays[1]), 3);
	EXPECT_OK(job_forget(f->db, 1, &f->e), &f->e); /* none */
	/* A number is never used again, also the last one. */
	EXPECT_OK(job_forget(f->db, 11, &f->e), &f->e);
	assert_true(add(f, JOB_SEARCH, 1, "ann", 0) > stays[1]);
}

static void test_prune(void **state)
{
	struct fixture *f = *state;
	int64_t ended = add_ended(f, JOB_SEARCH, 1, "ann", 2);
	int64_t open = add(f, JOB_SEARCH, 1, "ann", 2);

	EXPECT_OK(job_prune(f->db, clock_now_ms() - 60000, &f->e), &f->e);
	assert_true(is_there(f, ended));
	EXPECT_OK(job_prune(f->db, clock_now_ms() + 60000, &f->e), &f->e);
	assert_false(is_there(f, ended));
	assert_int_equal(hits_of(f, ended), 0);
	assert_true(is_there(f, open));
	assert_int_equal(hits_of(f, open), 2);
}

/* The newest that ended stay; those under way, of others, or of the other kind aren't touched. */
static void test_keep(void **state)
{
	static const char *const who[] = { "ann", NULL };
	struct fixture *f = *state;

	for (size_t w = 0; w < COUNT(who); w++) {
		int64_t other = add_ended(f, JOB_SEARCH, 1, "bob", 1);
		int64_t export = add_ended(f, JOB_EXPORT, 1, who[w], 1);
		int64_t open = add(f, JOB_SEARCH, 1, who[w], 1);
		int64_t mine[4];

		for (size_t i = 0; i < COUNT(mine); i++)
			mine[i] = add_ended(f, JOB_SEARCH, 1 + (uint32_t)i, who[w], 2);
		EXPECT_OK(job_keep(f->db, JOB_SEARCH, who[w], 4, &f->e), &f->e);
		assert_true(is_there(f, mine[0]));
		EXPECT_OK(job_keep(f->db, JOB_SEARCH, who[w], 2, &f->e), &f->e);
		for (size_t i = 0; i < COUNT(mine); i++) {
			assert_int_equal(is_there(f, mine[i]), i >= 2);
			assert_int_equal(hits_of(f, mine[i]), i >= 2 ? 2 : 0);
		}
		EXPECT_OK(job_keep(f->db, JOB_SEARCH, who[w], 0, &f->e), &f->e);
		assert_false(is_there(f, mine[3]));
		assert_true(is_there(f, other) && is_there(f, export) && is_there(f, open));
		assert_int_equal(hits_of(f, open), 1);
	}
}

static void test_unended(void **state)
{
	struct fixture *f = *state;
	uint64_t n;

	(void)add(f, JOB_SEARCH, 1, "ann", 0);
	(void)add(f, JOB_SEARCH, 2, "ann", 0);
	(void)add(f, JOB_SEARCH, 2, NULL, 0);
	(void)add(f, JOB_EXPORT, 2, NULL, 0);
	(void)add_ended(f, JOB_SEARCH, 2, "ann", 0);
	EXPECT_OK(job_unended_of(f->db, JOB_SEARCH, "ann", &n, &f->e), &f->e);
	assert_int_equal(n, 2);
	EXPECT_OK(job_unended_of(f->db, JOB_SEARCH, NULL, &n, &f->e), &f->e);
	assert_int_equal(n, 1);
	EXPECT_OK(job_unended_of(f->db, JOB_EXPORT, "bob", &n, &f->e), &f->e);
	assert_int_equal(n, 0);
	EXPECT_OK(job_unended(f->db, JOB_SEARCH, 2, &n, &f->e), &f->e);
	assert_int_equal(n, 2);
}

/* What an export did is in its manifest: a quarter of a million rows aren't kept for a month. */
static void test_end(void **state)
{
	struct fixture *f = *state;
	int64_t search = add_ended(f, JOB_SEARCH, 1, "ann", 5);
	int64_t open = add(f, JOB_EXPORT, 1, "ann", 5);
	int64_t ended = add_ended(f, JOB_EXPORT, 1, "ann", 5);

	assert_int_equal(hits_of(f, search), 5);
	assert_int_equal(hits_of(f, open), 5);
	assert_int_equal(hits_of(f, ended), 0);
}

static void expect_next(struct fixture *f, int64_t number)
{
	struct job j;

	EXPECT_OK(job_next(f->db, JOB_SEARCH, &j, &f->e), &f->e);
	assert_int_equal(j.number, number);
	job_free(&j);
}

/* Many of one principal don't hold up those of others; what has begun goes on. */
static void test_turns(void **state)
{
	struct fixture *f = *state;
	int64_t ann[3];
	int64_t bob, owner;

	(void)add_ended(f, JOB_EXPORT, 1, "bob", 0);
	for (size_t i = 0; i < COUNT(ann); i++)
		ann[i] = add(f, JOB_SEARCH, 1, "ann", 0);
	bob = add(f, JOB_SEARCH, 1, "bob", 0);
	owner = add(f, JOB_SEARCH, 1, NULL, 0);
	expect_next(f, ann[0]);
	EXPECT_OK(job_end(f->db, ann[0], JOB_COMPLETED, NULL, &f->e), &f->e);
	expect_next(f, bob);
	clock_sleep_ms(2);
	EXPECT_OK(job_end(f->db, bob, JOB_FAILED, "why", &f->e), &f->e);
	expect_next(f, owner);
	EXPECT_OK(job_set_state(f->db, ann[1], JOB_RUNNING, &f->e), &f->e);
	expect_next(f, ann[1]);
	EXPECT_OK(job_set_state(f->db, ann[1], JOB_QUEUED, &f->e), &f->e);
	clock_sleep_ms(2);
	EXPECT_OK(job_end(f->db, owner, JOB_CANCELLED, NULL, &f->e), &f->e);
	bob = add(f, JOB_SEARCH, 1, "bob", 0);
	expect_next(f, ann[1]);
	clock_sleep_ms(2);
	EXPECT_OK(job_end(f->db, ann[1], JOB_COMPLETED, NULL, &f->e), &f->e);
	expect_next(f, bob);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_forget, setup, teardown),
		cmocka_unit_test_setup_teardown(test_prune, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unended, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_turns, setup, teardown),
	};

	crypt_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
