#include "base/sigv4_seen.h"

#include <stdio.h>

#include "base/sigv4.h"
#include "tests/unit/test.h"

static const char *numbered(char out[SIGV4_HASH + 1], unsigned n)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%u", n);
	sigv4_hash(out, slice_str(text));
	return out;
}

static void test_seen(void **state)
{
	struct sigv4_seen *s = sigv4_seen_new(3, 4);
	char hex[SIGV4_HASH + 1];

	(void)state;
	assert_int_equal(sigv4_seen_add(s, 0, numbered(hex, 1), 100, 50), SIGV4_FIRST);
	assert_int_equal(sigv4_seen_add(s, 0, numbered(hex, 1), 100, 50), SIGV4_AGAIN);
	assert_int_equal(sigv4_seen_add(s, 0, numbered(hex, 1), 100, 99), SIGV4_AGAIN);
	assert_int_equal(sigv4_seen_add(s, 0, numbered(hex, 2), 200, 60), SIGV4_FIRST);
	assert_int_equal(sigv4_seen_add(s, 0, numbered(hex, 3), 300, 60), SIGV4_FIRST);
	assert_int_equal(sigv4_seen_add(s, 0, numbered(hex, 4), 300, 99), SIGV4_FULL);
	assert_int_equal(sigv4_seen_add(s, 0, numbered(hex, 2), 200, 99), SIGV4_AGAIN);
	assert_int_equal(sigv4_seen_add(s, 0, numbered(hex, 4), 300, 100),
	                 SIGV4_FIRST); /* 1 is over */
	assert_int_equal(sigv4_seen_add(s, 0, numbered(hex, 5), 300, 100), SIGV4_FULL);
	/* A clock that was set back: 1 has been forgotten, and isn't taken for new. */
	assert_int_equal(sigv4_seen_add(s, 0, numbered(hex, 1), 100, 50), SIGV4_AGAIN);
	assert_int_equal(sigv4_seen_count(s), 3);
	sigv4_seen_free(&s);
	assert_null(s);
	sigv4_seen_free(&s);
}

/* Against a plain list: time goes on, entries come, come again and go. */
static void test_seen_model(void **state)
{
	enum { ROOM = 50, STEPS = 4000, LIFE = 300 };
	static int64_t until[STEPS];
	struct sigv4_seen *s = sigv4_seen_new(ROOM, ROOM + 1);
	char hex[SIGV4_HASH + 1];
	size_t full = 0;

	(void)state;
	for (int now = 1; now < STEPS; now++) {
		/* New ones in bursts, some a second time. */
		unsigned n = (unsigned)(now % 7 == 3 ? now / 2 : now);
		size_t live = 0;
		enum sigv4_turn want = SIGV4_FIRST;

		for (size_t i = 0; i < STEPS; i++)
			live += until[i] > now;
		if (until[n] > now)
			want = SIGV4_AGAIN;
		else if (live == ROOM)
			want = SIGV4_FULL;
		full += want == SIGV4_FULL;
		assert_int_equal(
		        sigv4_seen_add(s, 0, numbered(hex, n), now + LIFE / 3 + n % LIFE, now),
		        want);
		if (want == SIGV4_FIRST)
			until[n] = now + LIFE / 3 + n % LIFE;
	}
	assert_true(full > 100 && full < STEPS - 100);
	sigv4_seen_free(&s);
}

static void test_share(void **state)
{
	struct sigv4_seen *s = sigv4_seen_new(4, 2);
	char hex[SIGV4_HASH + 1];

	(void)state;
	assert_int_equal(sigv4_seen_add(s, 7, numbered(hex, 1), 100, 50), SIGV4_FIRST);
	assert_int_equal(sigv4_seen_add(s, 7, numbered(hex, 2), 200, 50), SIGV4_FIRST);
	assert_int_equal(sigv4_seen_add(s, 7, numbered(hex, 3), 200, 50), SIGV4_SHARE);
	assert_int_equal(sigv4_seen_add(s, 0, numbered(hex, 3), 200, 50), SIGV4_FIRST);
	assert_int_equal(sigv4_seen_add(s, 7, numbered(hex, 1), 100, 50), SIGV4_AGAIN);
	/* Whoever says it is his: a signature counts once. */
	assert_int_equal(sigv4_seen_add(s, 0, numbered(hex, 1), 100, 50), SIGV4_AGAIN);
	assert_int_equal(sigv4_seen_add(s, 0, numbered(hex, 4), 200, 50), SIGV4_FIRST);
	assert_int_equal(sigv4_seen_add(s, 1, numbered(hex, 5), 200, 50), SIGV4_FULL);
	/* What expires is room for all, and of its owner's share. */
	assert_int_equal(sigv4_seen_add(s, 0, numbered(hex, 5), 200, 100), SIGV4_SHARE);
	assert_int_equal(sigv4_seen_add(s, 7, numbered(hex, 5), 200, 100), SIGV4_FIRST);
	assert_int_equal(sigv4_seen_add(s, 7, numbered(hex, 6), 200, 100), SIGV4_SHARE);
	assert_int_equal(sigv4_seen_count(s), 4);
	sigv4_seen_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seen),
		cmocka_unit_test(test_seen_model),
		cmocka_unit_test(test_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
