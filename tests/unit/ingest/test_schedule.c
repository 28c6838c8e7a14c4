#include "ingest/queue/schedule.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/test.h"

static struct schedule *make(unsigned at_once, unsigned each, unsigned per_minute)
{
	const struct schedule_limits l = { at_once, each, per_minute };

	return schedule_new(&l);
}

/* The numbers that begin at that time, as text. */
static const char *begins(struct schedule *s, int64_t now)
{
	static char text[400];
	int64_t number;
	size_t n = 0;

	text[0] = 0;
	while (schedule_next(s, now, &number))
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%lld", n ? " " : "",
		                      (long long)number);
	return text;
}

static void destinations_take_turns(void **state)
{
	struct schedule *s = make(100, 2, 0);

	(void)state;
	for (int64_t i = 0; i < 6; i++)
		schedule_add(s, i, "big.example", 0);
	schedule_add(s, 10, "a.example", 0);
	schedule_add(s, 20, "b.example", 5);
	assert_string_equal(begins(s, 0), "0 10 1");
	assert_string_equal(begins(s, 4), "");
	assert_string_equal(begins(s, 5), "20");
	schedule_ended(s, 0);
	assert_string_equal(begins(s, 5), "2");
	assert_int_equal(schedule_under_way(s), 4);
	assert_int_equal(schedule_known(s), 7);
	schedule_free(&s);
}

static void limits_hold(void **state)
{
	struct schedule *s = make(3, 2, 0);

	(void)state;
	for (int64_t i = 0; i < 4; i++) {
		schedule_add(s, i, "a.example", 0);
		schedule_add(s, 10 + i, "b.example", 0);
	}
	assert_string_equal(begins(s, 0), "0 10 1");
	schedule_ended(s, 10);
	assert_string_equal(begins(s, 0), "11");
	schedule_free(&s);
}

static void who_is_away_rests(void **state)
{
	struct schedule *s = make(100, 10, 0);

	(void)state;
	schedule_add(s, 1, "away.example", 0);
	schedule_add(s, 2, "away.example", 10);
	schedule_add(s, 3, "there.example", 10);
	assert_string_equal(begins(s, 0), "1");
	schedule_rest(s, 1, 1000);
	schedule_ended(s, 1);
	schedule_add(s, 1, "away.example", 1000);
	assert_string_equal(begins(s, 999), "3");
	schedule_ended(s, 3);
	assert_int_equal(schedule_wake_ms(s, 999), 1000);
	assert_string_equal(begins(s, 1000), "2 1");
	assert_int_equal(schedule_wake_ms(s, 1000), INT64_MAX);
	schedule_free(&s);
}

static void one_that_answers_again_needn_t_wait(void **state)
{
	struct schedule *s = make(100, 10, 0);

	(void)state;
	schedule_add(s, 1, "a.example", 0);
	schedule_add(s, 2, "a.example", 0);
	assert_string_equal(begins(s, 0), "1 2");
	schedule_rest(s, 1, 1000);
	schedule_ended(s, 1);
	schedule_add(s, 3, "a.example", 0);
	assert_string_equal(begins(s, 0), "");
	schedule_woke(s, 2);
	assert_string_equal(begins(s, 0), "3");
	schedule_free(&s);
}

static void a_rate_lets_a_minute_s_worth_at_once(void **state)
{
	struct schedule *s = make(100, 100, 6);
	int64_t now = 1000000;

	(void)state;
	for (int64_t i = 0; i < 20; i++)
		schedule_add(s, i, "a.example", 0);
	assert_string_equal(begins(s, now), "0 1 2 3 4 5 6");
	assert_string_equal(begins(s, now + 9999), "");
	assert_string_equal(begins(s, now + 10000), "7");
	assert_string_equal(begins(s, now + 30000), "8 9");
	schedule_free(&s);
}

static void one_under_way_isn_t_begun_again(void **state)
{
	struct schedule *s = make(100, 10, 0);

	(void)state;
	schedule_add(s, 1, "a.example", 0);
	assert_string_equal(begins(s, 0), "1");
	schedule_add(s, 1, "a.example", 0);
	assert_string_equal(begins(s, 0), "");
	schedule_ended(s, 1);
	assert_int_equal(schedule_known(s), 0);
	schedule_add(s, 1, "a.example", 0);
	assert_string_equal(begins(s, 0), "1");
	schedule_free(&s);
}

static void clearing_keeps_what_is_under_way(void **state)
{
	struct schedule *s = make(100, 1, 0);

	(void)state;
	schedule_add(s, 1, "a.example", 0);
	schedule_add(s, 2, "a.example", 0);
	schedule_add(s, 3, "b.example", 9);
	assert_string_equal(begins(s, 0), "1");
	schedule_clear(s);
	assert_int_equal(schedule_known(s), 1);
	assert_string_equal(begins(s, 100), "");
	schedule_add(s, 2, "a.example", 0);
	assert_string_equal(begins(s, 100), "");
	schedule_ended(s, 1);
	assert_string_equal(begins(s, 100), "2");
	schedule_free(&s);
}

/* What was found out of a destination is kept though nothing is known that goes there. */
static void who_is_away_rests_with_no_task(void **state)
{
	struct schedule *s = make(100, 10, 0);

	(void)state;
	schedule_add(s, 1, "away.example", 0);
	assert_string_equal(begins(s, 0), "1");
	schedule_rest(s, 1, 1000);
	schedule_ended(s, 1);
	assert_int_equal(schedule_known(s), 0);
	assert_int_equal(schedule_wake_ms(s, 10), INT64_MAX);
	schedule_add(s, 2, "away.example", 0);
	schedule_add(s, 3, "there.example", 0);
	assert_string_equal(begins(s, 999), "3");
	schedule_ended(s, 3);
	assert_int_equal(schedule_wake_ms(s, 999), 1000);
	assert_string_equal(begins(s, 1000), "2");
	schedule_woke(s, 2);
	schedule_ended(s, 2);
	schedule_add(s, 4, "away.example", 0);
	assert_string_equal(begins(s, 1000), "4");
	schedule_free(&s);
}

/* One that has waited out its rest is as any other. */
static void a_rest_ends_with_no_task(void **state)
{
	struct schedule *s = make(100, 10, 0);

	(void)state;
	schedule_add(s, 1, "away.example", 0);
	assert_string_equal(begins(s, 0), "1");
	schedule_rest(s, 1, 1000);
	schedule_ended(s, 1);
	schedule_add(s, 2, "there.example", 0);
	assert_string_equal(begins(s, 2000), "2");
	schedule_ended(s, 2);
	schedule_add(s, 3, "away.example", 0);
	assert_string_equal(begins(s, 2000), "3");
	schedule_free(&s);
}

/* All of a minute's worth at once, or one after the other: it is as many. */
static void a_rate_holds_with_no_task(void **state)
{
	const int64_t now = 1000000;
	int64_t n = 0;

	(void)state;
	for (int one_by_one = 0; one_by_one < 2; one_by_one++) {
		struct schedule *s = make(100, 100, 6);
		int64_t number;

		for (n = 0; n < 7; n++) {
			schedule_add(s, n, "a.example", 0);
			if (one_by_one) {
				assert_true(schedule_next(s, now, &number));
				schedule_ended(s, n);
			}
		}
		while (schedule_next(s, now, &number))
			continue;
		for (n = 0; n < 7; n++)
			schedule_ended(s, n);
		assert_int_equal(schedule_known(s), 0);
		schedule_add(s, 7, "a.example", 0);
		schedule_add(s, 8, "b.example", 0);
		assert_string_equal(begins(s, now + 9999), "8");
		assert_int_equal(schedule_wake_ms(s, now + 9999), now + 10000);
		assert_string_equal(begins(s, now + 10000), "7");
		schedule_free(&s);
	}
}

/* With all places taken only an end lets something begin: to wake before that would be for nothing.
 */
static void nothing_wakes_while_all_places_are_taken(void **state)
{
	struct schedule *s = make(2, 10, 0);

	(void)state;
	schedule_add(s, 1, "a.example", 0);
	schedule_add(s, 2, "b.example", 0);
	schedule_add(s, 3, "c.example", 0);
	schedule_add(s, 4, "d.example", 500);
	assert_string_equal(begins(s, 0), "1 2");
	assert_int_equal(schedule_wake_ms(s, 0), INT64_MAX);
	schedule_ended(s, 1);
	assert_int_equal(schedule_wake_ms(s, 100), 100);
	assert_string_equal(begins(s, 100), "3");
	assert_int_equal(schedule_wake_ms(s, 600), INT64_MAX);
	schedule_ended(s, 2);
	assert_int_equal(schedule_wake_ms(s, 100), 500);
	schedule_free(&s);
}

/* Who has much to do has one turn, and then all others that may begin have theirs; also one that
 * came later, or whose rest is over. */
static void who_had_a_turn_is_the_last(void **state)
{
	static const char *const names[] = { "a.example", "b.example", "c.example" };
	static const struct {
		int64_t now;
		int64_t number;
	} turns[] = { { 1, 0 }, { 1, 10 }, { 1, 20 }, { 1, 1 },  { 1, 11 }, { 1, 21 },
		      { 2, 2 }, { 2, 12 }, { 2, 22 }, { 2, 30 }, { 2, 3 },  { 2, 13 },
		      { 3, 4 }, { 3, 14 }, { 3, 23 }, { 3, 31 }, { 3, 24 } };
	struct schedule *s = make(1, 1, 0);

	(void)state;
	for (int64_t i = 0; i < 3; i++)
		for (int64_t k = 0; k < 5; k++)
			schedule_add(s, 10 * i + k, names[i], 0);
	for (size_t i = 0; i < COUNT(turns); i++) {
		int64_t number;

		if (turns[i].number == 2)
			schedule_add(s, 30, "d.example", 2);
		assert_true(schedule_next(s, turns[i].now, &number));
		assert_int_equal(number, turns[i].number);
		if (number == 22)
			schedule_rest(s, number, 3);
		if (number == 13)
			schedule_add(s, 31, "d.example", 3);
		schedule_ended(s, number);
	}
	schedule_free(&s);
}

static uint64_t steps_since(const struct schedule *s, uint64_t *before)
{
	uint64_t steps = schedule_steps(s) - *before;

	*before += steps;
	return steps;
}

/* The logarithm of 100,000 is 17: an event costs some of those, and not one step for each that
 * waits. That all begin is the control: it takes a step for each. */
static void who_isn_t_ready_costs_nothing(void **state)
{
	enum { MANY = 100000, EVENTS = 1000, AWAY_MS = 1000000 };
	struct schedule *s = make(100, 10, 0);
	uint64_t before = 0;
	int64_t number;
	int64_t count = 0;

	(void)state;
	for (int64_t i = 0; i < MANY; i++) {
		char name[24];

		(void)snprintf(name, sizeof(name), "d%lld.example", (long long)i);
		schedule_add(s, i, name, AWAY_MS);
	}
	assert_true(steps_since(s, &before) < 50 * MANY);
	for (int64_t now = 0; now < EVENTS; now++) {
		assert_false(schedule_next(s, now, &number));
		assert_int_equal(schedule_wake_ms(s, now), AWAY_MS);
	}
	assert_true(steps_since(s, &before) <= 3 * EVENTS);
	for (int64_t now = 0; now < EVENTS; now++) {
		schedule_add(s, MANY + now, "live.example", now);
		assert_true(schedule_next(s, now, &number));
		assert_int_equal(number, MANY + now);
		schedule_woke(s, number);
		schedule_ended(s, number);
		assert_int_equal(schedule_wake_ms(s, now), AWAY_MS);
	}
	assert_in_range(steps_since(s, &before), EVENTS, 200 * EVENTS);
	while (schedule_next(s, AWAY_MS, &number)) {
		schedule_ended(s, number);
		count++;
	}
	assert_int_equal(count, MANY);
	assert_true(steps_since(s, &before) > MANY);
	schedule_free(&s);
}

enum { TASKS = 3000, DESTINATIONS = 20 };

static bool may_begin(const int64_t *due, const int *begun, int destination, int64_t now)
{
	for (int i = destination; i < TASKS; i += DESTINATIONS)
		if (!begun[i] && due[i] <= now)
			return true;
	return false;
}

/* By chance: each begins once, none early, never more at once than may, and none waits that may
 * begin; no destination has two turns while another waits. */
static void all_begin_once(void **state)
{
	enum { EACH = 2, AT_ONCE = 9 };
	unsigned seed = getenv("MM_SEED") ? (unsigned)atoi(getenv("MM_SEED")) : 7;
	static int64_t due[TASKS];
	static int begun[TASKS];
	bool waits[DESTINATIONS][DESTINATIONS] = { { false } }; /* since that one's turn */
	unsigned under[DESTINATIONS] = { 0 };
	int64_t now[AT_ONCE];
	size_t count = 0;
	size_t through = 0;
	struct schedule *s = make(AT_ONCE, EACH, 0);

	(void)state;
	print_message("MM_SEED=%u\n", seed);
	srand(seed);
	memset(begun, 0, sizeof(begun));
	for (int i = 0; i < TASKS; i++) {
		char name[20];

		due[i] = rand() % TASKS;
		(void)snprintf(name, sizeof(name), "d%d.example", i % DESTINATIONS);
		schedule_add(s, i, name, due[i]);
	}
	for (int64_t clock = 0; through < TASKS; clock += rand() % 3) {
		int64_t number;

		assert_true(clock < 100000);
		while (schedule_next(s, clock, &number)) {
			assert_true(due[number] <= clock);
			assert_int_equal(begun[number]++, 0);
			assert_true(++under[number % DESTINATIONS] <= EACH);
			for (int d = 0; d < DESTINATIONS; d++) {
				bool *after = waits[number % DESTINATIONS];

				assert_false(after[d]);
				waits[d][number % DESTINATIONS] = false;
				after[d] = d != number % DESTINATIONS && under[d] < EACH &&
				           may_begin(due, begun, d, clock);
			}
			assert_true(count < AT_ONCE);
			now[count++] = number;
		}
		for (int d = 0; d < DESTINATIONS && count < AT_ONCE; d++)
			assert_false(under[d] < EACH && may_begin(due, begun, d, clock));
		if (count) {
			size_t i = (size_t)rand() % count;

			schedule_ended(s, now[i]);
			under[now[i] % DESTINATIONS]--;
			now[i] = now[--count];
			through++;
		}
	}
	assert_int_equal(schedule_known(s), 0);
	schedule_free(&s);
}

/* Names that one bucket of a known hash would have (FNV-1a, 16 bits): here they are spread. */
static void names_made_to_collide(void **state)
{
	enum { NAMES = 300 };
	struct schedule *s = make(1, 1, 0);

	(void)state;
	for (uint32_t i = 0, found = 0; found < NAMES; i++) {
		uint32_t h = 2166136261u;
		char name[24];

		(void)snprintf(name, sizeof(name), "x%x.example", i);
		for (const char *c = name; *c; c++)
			h = (h ^ (uint8_t)*c) * 16777619u;
		if (h % 65536 == 0)
			schedule_add(s, found++, name, INT64_C(1000000) + i);
	}
	assert_int_equal(schedule_known(s), NAMES);
	assert_true(schedule_steps(s) < NAMES * 20); /* one bucket: NAMES * NAMES / 2 */
	schedule_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(destinations_take_turns),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(who_is_away_rests),
		cmocka_unit_test(one_that_answers_again_needn_t_wait),
		cmocka_unit_test(a_rate_lets_a_minute_s_worth_at_once),
		cmocka_unit_test(one_under_way_isn_t_begun_again),
		cmocka_unit_test(clearing_keeps_what_is_under_way),
		cmocka_unit_test(who_is_away_rests_with_no_task),
		cmocka_unit_test(a_rest_ends_with_no_task),
		cmocka_unit_test(a_rate_holds_with_no_task),
		cmocka_unit_test(nothing_wakes_while_all_places_are_taken),
		cmocka_unit_test(who_had_a_turn_is_the_last),
		cmocka_unit_test(who_isn_t_ready_costs_nothing),
		cmocka_unit_test(all_begin_once),
		cmocka_unit_test(names_made_to_collide),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
