#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "ingest/matcher.h"

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 16;
}

#define WORDS 40
#define LONG  9

/* Few letters, so that words begin, end and lie in each other. */
static size_t random_words(uint32_t *seed, struct slice *words, char (*text)[LONG])
{
	size_t count = next_random(seed) % WORDS;

	for (size_t i = 0; i < count; i++) {
		size_t n = next_random(seed) % LONG;

		for (size_t k = 0; k < n; k++)
			text[i][k] = "aab\xff"[next_random(seed) % 4];
		words[i] = slice_of(text[i], n);
	}
	return count;
}

static size_t random_text(uint32_t *seed, char text[60])
{
	size_t n = next_random(seed) % 60;

	for (size_t i = 0; i < n; i++)
		text[i] = "aAbBab\xff.%"[next_random(seed) % 9];
	return n;
}

/* Against the search of base/slice, of each word in each of two texts. */
static void each_word_is_found_where_it_is(void **state)
{
	uint32_t seed = 11;
	size_t hits = 0, misses = 0;

	(void)state;
	for (int round = 0; round < 5000; round++) {
		char of_words[WORDS][LONG];
		char one[60], two[60];
		struct slice words[WORDS];
		size_t count = random_words(&seed, words, of_words);
		struct slice a = slice_of(one, random_text(&seed, one));
		struct slice b = slice_of(two, random_text(&seed, two));
		struct matcher *m = matcher_new(words, count);
		uint8_t *found = mem_new(matcher_found_bytes(m));

		matcher_read(m, a, found);
		matcher_read(m, b, found);
		for (size_t i = 0; i < count; i++) {
			bool is = slice_contains_nocase(a, words[i]) ||
			          slice_contains_nocase(b, words[i]);

			if (matcher_has(m, found, i) != is)
				fail_msg("round %d, word %zu", round, i);
			hits += is;
			misses += !is;
		}
		free(found);
		matcher_free(&m);
	}
	assert_true(hits > 10000 && misses > 10000);
}

/* A word isn't put together of two texts. */
static void texts_are_apart(void **state)
{
	struct slice word = slice_str("ab");
	struct matcher *m = matcher_new(&word, 1);
	uint8_t *found = mem_new(matcher_found_bytes(m));

	(void)state;
	assert_false(matcher_has(m, found, 0));
	matcher_read(m, slice_str("xa"), found);
	matcher_read(m, slice_str("bx"), found);
	assert_false(matcher_has(m, found, 0));
	matcher_read(m, slice_str("xAB"), found);
	assert_true(matcher_has(m, found, 0));
	free(found);
	matcher_free(&m);
	matcher_free(&m);
}

/* An empty one is in each text, and in none where there is no text. */
static void an_empty_word(void **state)
{
	struct slice words[2] = { slice_str(""), slice_str("a") };
	struct matcher *m = matcher_new(words, 2);
	uint8_t *found = mem_new(matcher_found_bytes(m));

	(void)state;
	assert_false(matcher_has(m, found, 0));
	matcher_read(m, slice_str(""), found);
	assert_true(matcher_has(m, found, 0));
	assert_false(matcher_has(m, found, 1));
	free(found);
	matcher_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_word_is_found_where_it_is),
		cmocka_unit_test(texts_are_apart),
		cmocka_unit_test(an_empty_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
