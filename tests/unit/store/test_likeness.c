#include "tests/unit/test.h"

#include <stdlib.h>

#include "store/likeness.h"

static int compare(const char *a, const char *b)
{
	uint8_t x[LIKENESS_BYTES];
	uint8_t y[LIKENESS_BYTES];

	likeness(x, slice_str(a));
	likeness(y, slice_str(b));
	return memcmp(x, y, LIKENESS_BYTES);
}

static void test_alike(void **state)
{
	static const struct {
		const char *name;
		const char *a;
		const char *b;
	} cases[] = {
		{ "a reply", "Subject: Order 7\n\n", "Subject: Re: AW: re:fwd: order 7\r\n\r\n" },
		{ "line ends, blanks and case", "SUBJECT:a b\r\nLIST-ID: <L.x>\r\n\r\n",
		  "list-id:\t<l.X>\nsubject: A  B\n\n" },
		{ "a folded field", "List-Id: The list\r\n <l.x>\r\n\r\n",
		  "List-Id: The list <l.x>\n\n" },
		{ "the sender's domain", "From: Ann <ann@shop.example>\n\n",
		  "From: bob@SHOP.example (Bob)\n\n" },
		{ "the body doesn't count", "To: a\n\nSubject: x\n", "To: a\n\nSubject: y\n" },
		{ "what is behind the first 24 of a subject",
		  "Subject: 123456789 123456789 123456789 a\n\n",
		  "Subject: 123456789 123456789 123456789 b\n\n" },
	};
	static const struct {
		const char *name;
		const char *before;
		const char *after;
	} order[] = {
		{ "subjects in order", "From: a@b.c\nSubject: [PATCH 1/2] x\n\n",
		  "From: d@b.c\nSubject: Re: [PATCH 2/2] x\n\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		EXPECT(cases[i].name, compare(cases[i].a, cases[i].b) == 0);
	for (size_t i = 0; i < COUNT(order); i++)
		EXPECT(order[i].name, compare(order[i].before, order[i].after) < 0);
	EXPECT("another list", compare("List-Id: <a.x>\n\n", "List-Id: <b.x>\n\n") != 0);
	EXPECT("another domain", compare("From: a@b.c\n\n", "From: a@d.c\n\n") != 0);
}

/* Each in memory of exactly its size, for the sanitizer. */
static void test_any_bytes(void **state)
{
	static const char *const odd[] = {
		"",        "\n",         "\r\n",         "Subject:", "From:",
		"From: @", "List-Id:\n", "Subject: re:", "from:a@",  "Subject: Re:\n re:\n",
		" \n",     "x\n "
	};

	(void)state;
	for (size_t i = 0; i < COUNT(odd); i++) {
		size_t n = strlen(odd[i]);
		uint8_t *exact = malloc(n + !n);
		uint8_t key[LIKENESS_BYTES];

		assert_non_null(exact);
		memcpy(exact, odd[i], n);
		likeness(key, slice_of(exact, n));
		/* None says anything of a list or a subject. */
		for (size_t k = 8; k < LIKENESS_BYTES; k++)
			EXPECT(odd[i], key[k] == 0);
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alike),
		cmocka_unit_test(test_any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
