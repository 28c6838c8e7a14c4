#include "tests/unit/index/place.h"

#include <fcntl.h>

#include "index/index_parts.h"

/* More than one thread counts from eight shards on (index/view.c), where there are processors. */
#define SHARDS 24

static void fill(struct place *p)
{
	for (uint32_t i = 0; i < SHARDS; i++) {
		char word[16];

		snprintf(word, sizeof(word), "number%u", i);
		for (uint32_t k = 0; k < 3; k++) {
			struct index_doc d = place_doc(place_id(DAY0 + i, 1 + k), word, "common");

			place_add(p, 1, &d);
		}
		place_commit(p);
		if (i + 1 < SHARDS) /* the last stays open */
			assert_int_equal(place_seal(p), 1);
	}
}

static void test_each_shard_is_counted_once(void **state)
{
	struct place *p = *state;

	fill(p);
	for (unsigned i = 0; i < 40; i++) {
		char word[16];

		snprintf(word, sizeof(word), "number%u", i);
		assert_int_equal(place_count(p, 1, "common"), 3 * SHARDS);
		assert_int_equal(place_count(p, 1, word), i < SHARDS ? 3 : 0);
	}
	assert_int_equal(place_all(p, 1), 3 * SHARDS);
	assert_int_equal(place_all(p, 2), 0);
}

/* Done twice it is undone. The head, of 1 KiB at most, stays: the file is opened, and then not
 * read. */
static void harm(const struct place *p, unsigned number)
{
	char path[128];
	uint8_t b;
	int fd;

	snprintf(path, sizeof(path), "%s/index/1/%08u.shard", p->dir, number);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	for (off_t at = 1024; pread(fd, &b, 1, at) == 1; at++) {
		b ^= 1;
		assert_int_equal(pwrite(fd, &b, 1, at), 1);
	}
	close(fd);
}

/* What a thread could not read is no zero, whichever shard it was. */
static void test_a_shard_that_is_not_read(void **state)
{
#ifndef MM_TEST_PLAINTEXT
	struct place *p = *state;
	struct match m = { .kind = MATCH_TEXT, .fields = FIELDS_ALL, .text = slice_str("common") };

	fill(p);
	for (unsigned number = 1; number < SHARDS; number += 11) {
		struct index_view *v;
		uint64_t hits;
		enum rc rc;

		harm(p, number);
		place_reopen(p);
		rc = index_view_open(&v, p->ix, 1, 0, INT64_MAX, &p->e);
		assert_int_equal(rc, RC_OK);
		for (unsigned i = 0; i < 8; i++) { /* which thread has the shard is chance */
			rc = index_view_count(v, &m, &hits, &p->e);
			assert_int_equal(rc, RC_CORRUPT);
		}
		assert_true(strlen(p->e.text) > 0);
		index_view_close(&v);
		harm(p, number); /* back */
		place_reopen(p);
		assert_int_equal(place_count(p, 1, "common"), 3 * SHARDS);
	}
#else
	(void)state;
#endif
}

/* Each thread has a plan of its own, and that may be what fails. */
static void test_a_query_that_can_not_be_planned(void **state)
{
	struct place *p = *state;
	struct match_tree *t = match_tree_new();
	struct match *m = match_new(t, MATCH_OR);
	struct index_view *v;
	uint64_t hits;

	fill(p);
	for (int i = 0; i < 4097; i++) {
		struct match *c = match_new(t, MATCH_BYTES);

		c->low = i;
		c->high = i + 1;
		match_add(m, c);
	}
	v = place_view(p, 1);
	assert_int_equal(index_view_count(v, m, &hits, &p->e), RC_LIMIT);
	assert_int_equal(hits, 0);
	index_view_close(&v);
	match_tree_free(&t);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_each_shard_is_counted_once),
		CASE(test_a_shard_that_is_not_read),
		CASE(test_a_query_that_can_not_be_planned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
