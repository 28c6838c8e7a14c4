#include "base/log.h"

#include <stdio.h>
#include <unistd.h>

#include "tests/unit/test.h"

static struct slice logged;
static char line[4096];

/* What a line of the log holds behind its beginning. */
static void log_it(const char *text)
{
	int before = dup(STDERR_FILENO);
	int ends[2];
	ssize_t n;

	assert_int_equal(pipe(ends), 0);
	assert_true(before >= 0 && dup2(ends[1], STDERR_FILENO) >= 0);
	log_line(LOG_ERROR, "%s", text);
	assert_true(dup2(before, STDERR_FILENO) >= 0);
	(void)close(before);
	(void)close(ends[1]);
	n = read(ends[0], line, sizeof(line));
	(void)close(ends[0]);
	assert_true(n > 0 && line[n - 1] == '\n');
	logged = slice_of(line, (size_t)n - 1);
	logged = slice_from(logged, slice_find(logged, slice_str("error: ")) + 7);
}

/* What others say mustn't begin a line of its own, nor be obeyed by a terminal. */
static void test_control_characters(void **state)
{
	static const struct {
		const char *text;
		const char *want;
	} cases[] = {
		{ "plain", "plain" },
		{ "a\nb\x1b[31m\x7f", "a\\x0ab\\x1b[31m\\x7f" },
		{ "m\xc3\xbcller \xe6\x9d\xb1", "m\xc3\xbcller \xe6\x9d\xb1" },
		{ "\xc2\x9b"
		  "31m \xc2\xa0",
		  "\\xc2\\x9b31m \xc2\xa0" },
		{ "\xc2", "\xc2" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		log_it(cases[i].text);
		EXPECT_SLICE(cases[i].text, logged, cases[i].want);
	}
}

static void test_long(void **state)
{
	static char text[3000];

	(void)state;
	memset(text, '\n', sizeof(text) - 1);
	log_it(text);
	assert_true(logged.len > 1900 && logged.len < 2048);
	assert_memory_equal(logged.at, "\\x0a\\x0a", 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_control_characters),
		cmocka_unit_test(test_long),
	};

	log_init("test", LOG_INFO);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
