/*
 * tests/unit/api/random_value.h - a value of the right type for a shape, in the form of api/wire.h
 *
 * Not a valid one: lengths, patterns and required members don't matter to the wire. The seed is
 * printed; MM_SEED repeats it.
 */
#ifndef MM_TESTS_UNIT_API_RANDOM_VALUE_H
#define MM_TESTS_UNIT_API_RANDOM_VALUE_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ingest/shape.h"

static uint64_t random_state;

static inline void random_begin(void)
{
	const char *given = getenv("MM_SEED");
	uint64_t seed = (uint64_t)getpid() * 2654435761u ^ (uintptr_t)&given;

	if (given)
		MUST(slice_to_u64(slice_str(given), &seed));
	random_state = seed;
	printf("seed %llu\n", (unsigned long long)seed);
}

static inline uint64_t random_below(uint64_t n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (random_state >> 33) % n;
}

static inline json_t *random_text(void)
{
	static const char *const pieces[] = { "a",
		                              "Z9",
		                              "\n",
		                              "\\",
		                              "\"",
		                              "\x01",
		                              "\x7f",
		                              "@x.y",
		                              "\xc3\xa9",
		                              "\xe6\x9d\xb1",
		                              "\xf0\x9f\x98\x80",
		                              "/",
		                              " ",
		                              "</s>" };
	struct buf text;
	json_t *made;

	buf_init(&text, 4096);
	for (uint64_t n = random_below(4) ? random_below(6) : random_below(100); n; n--)
		MUST(buf_add_str(&text, pieces[random_below(COUNT(pieces))]) == RC_OK);
	made = json_of_slice(buf_slice(&text));
	buf_free(&text);
	return made;
}

static inline json_t *random_double(void)
{
	static const double some[] = { 0.1, -2.5, 1e300, 5e-324, 1.5, 9007199254740994.0, -1e17 };

	if (random_below(2))
		return json_integer((json_int_t)random_below(1u << 30) - (1 << 29));
	return json_real(some[random_below(COUNT(some))]);
}

static inline json_t *random_integer(void)
{
	static const json_int_t some[] = { 0,     1,     -1,  23,        24,        255, 256,
		                           65535, 65536, -24, INT32_MAX, INT32_MIN, -25 };

	return json_integer(random_below(2) ? some[random_below(COUNT(some))]
	                                    : (json_int_t)random_below(100000));
}

static inline json_t *random_time(void)
{
	static const json_int_t some[] = { 0,
		                           1,
		                           -1,
		                           -999,
		                           -1000,
		                           -1500,
		                           1767323045678,
		                           1700000000000,
		                           1700000000100,
		                           1700000000020,
		                           -62135596800000,
		                           253402300799999 };

	if (random_below(2))
		return json_integer(some[random_below(COUNT(some))]);
	return json_integer((json_int_t)(random_below(1u << 31) * 1000 + random_below(1000)));
}

static inline json_t *random_value(const struct shape *shape);

static inline json_t *random_object(const struct shape *shape)
{
	json_t *made = json_object();
	uint64_t count = 0, only;

	for (const struct shape_member *m = shape->members; m->name; m++)
		count += !(m->marks & SHAPE_OURS);
	only = count ? random_below(count) : 0;
	for (const struct shape_member *m = shape->members; m->name; m++) {
		bool there = shape->kind == SHAPE_UNION ? m == shape->members + only
		                                        : random_below(4) != 0;

		if (there && !(m->marks & SHAPE_OURS))
			json_put(made, m->name, random_value(m->shape));
	}
	return made;
}

static inline json_t *random_word(const struct shape *shape)
{
	struct slice rest = slice_str(shape->values);
	struct slice word = slice_cut(rest, ' ', &rest);

	while (rest.len && random_below(3))
		word = slice_cut(rest, ' ', &rest);
	return json_of_slice(word);
}

static inline json_t *random_value(const struct shape *shape)
{
	json_t *list;

	switch (shape->kind) {
	case SHAPE_STRUCT:
	case SHAPE_UNION:
		return random_object(shape);
	case SHAPE_LIST:
		list = json_array();
		for (uint64_t n = random_below(4); n; n--)
			json_push(list, random_value(shape->item));
		return list;
	case SHAPE_STRING:
		return random_text();
	case SHAPE_ENUM:
		return random_word(shape);
	case SHAPE_INT:
		return random_integer();
	case SHAPE_DOUBLE:
		return random_double();
	case SHAPE_TIMESTAMP:
		return random_time();
	case SHAPE_BOOL:
		break;
	}
	return json_boolean(random_below(2));
}

#endif
