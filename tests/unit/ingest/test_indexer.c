/* Documents reach the index batch after batch, what was forgotten doesn't, and an error is told
 * once. */
#include "tests/unit/index/place.h"

#include "ingest/indexer.h"

#define NO_ARCHIVE 77 /* it has no key */

static void add(struct indexer *ix, uint32_t archive, uint32_t n)
{
	struct document d = { .doc = place_doc(place_id(DAY0 + n, n), "subject", "body") };

	indexer_add(ix, archive, &d);
}

static uint64_t messages(struct place *p, uint32_t archive)
{
	struct index_totals t;

	place_commit(p);
	EXPECT_OK(index_count(p->ix, archive, &t, &p->e), &p->e);
	return t.messages;
}

static void test_batches(void **state)
{
	struct place *p = *state;
	struct indexer *ix;

	EXPECT_OK(indexer_new(&ix, p->ix, &p->e), &p->e);
	for (uint32_t batch = 0; batch < 20; batch++) {
		for (uint32_t i = 0; i < 10; i++)
			add(ix, 1 + i % 2, batch * 10 + i);
		EXPECT_OK(indexer_wait(ix, &p->e), &p->e);
		indexer_begin(ix);
	}
	EXPECT_OK(indexer_wait(ix, &p->e), &p->e);
	EXPECT_OK(indexer_wait(ix, &p->e), &p->e);
	assert_int_equal(messages(p, 1), 100);
	assert_int_equal(messages(p, 2), 100);
	indexer_free(&ix);
	assert_null(ix);
	indexer_free(&ix);
}

static void test_forget(void **state)
{
	struct place *p = *state;
	struct indexer *ix;

	EXPECT_OK(indexer_new(&ix, p->ix, &p->e), &p->e);
	add(ix, 1, 1);
	indexer_forget(ix);
	indexer_begin(ix); /* of nothing */
	add(ix, 1, 2);
	indexer_begin(ix);
	EXPECT_OK(indexer_wait(ix, &p->e), &p->e);
	add(ix, 1, 3); /* and the end forgets, too */
	indexer_free(&ix);
	assert_int_equal(messages(p, 1), 1);
}

static void test_error(void **state)
{
	struct place *p = *state;
	struct indexer *ix;

	EXPECT_OK(indexer_new(&ix, p->ix, &p->e), &p->e);
	add(ix, 1, 1);
	add(ix, NO_ARCHIVE, 2);
	add(ix, 1, 3);
	indexer_begin(ix);
	assert_int_not_equal(indexer_wait(ix, &p->e), RC_OK);
	assert_true(p->e.text[0] != 0);
	EXPECT_OK(indexer_wait(ix, &p->e), &p->e);
	add(ix, 1, 4);
	indexer_begin(ix); /* the index takes nothing more until it is opened again */
	assert_int_not_equal(indexer_wait(ix, &p->e), RC_OK);
	indexer_free(&ix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_batches, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_forget, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_error, place_setup, place_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
