/* tests/unit/ingest/test_address_set.c - changed copies against a plain list, at random */
#include "ingest/address_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/unit/test.h"

#define POOL   600 /* entries to choose from: they collide and come back */
#define ROUNDS 20000

static uint32_t seed;

static uint32_t draw(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % below;
}

/* Addresses, domains in both spellings, patterns, domains below; in either case. */
static const char *entry_of(unsigned i, char text[64])
{
	static const char *const forms[][2] = {
		{ "u%@d", ".example" },        { "D", ".example%" },     { "*@d", ".example%" },
		{ "pre%*post@d", ".example" }, { "*.d", ".e%.example" }, { "hr%@*.d", ".example" }
	};
	const char *const *form = forms[i % COUNT(forms)];
	size_t n = 0;

	for (int part = 0; part < 2; part++) {
		for (const char *c = form[part]; *c; c++)
			n += *c == '%' ? (size_t)snprintf(text + n, 64 - n, "%u", i / 12)
			               : (size_t)snprintf(text + n, 64 - n, "%c", *c);
		if (part == 0)
			n += (size_t)snprintf(text + n, 64 - n, "%u", i / 12 % 7);
	}
	return text;
}

static bool covers(const struct address_set *s, const char *address)
{
	return address_set_has(s, slice_str(address));
}

struct model {
	bool has[POOL];
	size_t differences;
	struct address_set *rebuilt;
};

static void apply(void *arg, bool added, struct slice form)
{
	struct model *m = arg;

	m->differences++;
	if (added)
		address_set_add(m->rebuilt, form);
	else
		address_set_remove(m->rebuilt, form);
}

static void same(void *arg, bool added, struct slice form)
{
	(void)arg;
	fail_msg("%c%.*s", added ? '+' : '-', (int)form.len, (const char *)form.at);
}

static struct address_set *build(const struct model *m)
{
	struct address_set *s = address_set_new();
	char text[64];

	for (unsigned i = 0; i < POOL; i++)
		if (m->has[i])
			address_set_add(s, slice_str(entry_of(i, text)));
	return s;
}

static void change(struct model *m, struct address_set *s)
{
	char text[64];
	unsigned i = draw(POOL);

	entry_of(i, text);
	if (m->has[i])
		address_set_remove(s, slice_str(text));
	else
		address_set_add(s, slice_str(text));
	m->has[i] = !m->has[i];
}

/* After each few changes: equal to one that is built anew, and to one that got the differences
 * alone. */
static void test_random(void **state)
{
	struct model m = { .rebuilt = address_set_new() };
	struct address_set *now = address_set_new();
	const char *given = getenv("MM_SEED");

	(void)state;
	seed = given ? (uint32_t)strtoul(given, NULL, 10) : (uint32_t)time(NULL); /* tidy: a seed */
	(void)printf("seed %u\n", seed);
	for (int round = 0; round < ROUNDS / 50; round++) {
		struct address_set *before = now;
		struct address_set *kept = build(&m);
		struct address_set *fresh;
		size_t changes = 1 + draw(50);

		now = address_set_copy(before);
		m.differences = 0;
		for (size_t i = 0; i < changes; i++)
			change(&m, now);
		fresh = build(&m);
		assert_int_equal(address_set_count(now), address_set_count(fresh));
		address_set_compare(now, fresh, same, NULL);
		address_set_compare(before, kept, same, NULL); /* the one before didn't change */
		address_set_compare(before, now, apply, &m);
		assert_true(m.differences <= changes);
		address_set_compare(m.rebuilt, now, same, NULL);
		address_set_unref(&before);
		address_set_unref(&kept);
		address_set_unref(&fresh);
	}
	address_set_unref(&now);
	address_set_unref(&m.rebuilt);
}

static void test_one_form_of_two_entries(void **state)
{
	struct address_set *s = address_set_new();

	(void)state;
	address_set_add(s, slice_str("b.example"));
	address_set_add(s, slice_str("*@B.example"));
	assert_int_equal(address_set_count(s), 1);
	address_set_remove(s, slice_str("b.example"));
	assert_true(covers(s, "x@b.example"));
	address_set_remove(s, slice_str("*@b.example"));
	assert_false(covers(s, "x@b.example"));
	address_set_remove(s, slice_str("b.example")); /* isn't there */
	assert_int_equal(address_set_count(s), 0);
	address_set_add(s, slice_str("@b.example")); /* a normal form */
	assert_true(covers(s, "x@b.example"));
	address_set_unref(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_one_form_of_two_entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
