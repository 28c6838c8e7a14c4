#include "base/err.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/unit/test.h"

static void test_set(void **state)
{
	struct err e = { .sys = 5 };

	(void)state;
	assert_int_equal(err_set(&e, RC_LIMIT, "line %d: %s", 7, "too long"), RC_LIMIT);
	assert_string_equal(e.text, "line 7: too long");
	assert_int_equal(e.code, RC_LIMIT);
	assert_int_equal(e.sys, 0);
	assert_int_equal(err_in(&e, "file %s", "x"), RC_LIMIT);
	assert_string_equal(e.text, "file x: line 7: too long");
	assert_int_equal(err_set(NULL, RC_HELD, "no place for a text"), RC_HELD);
}

static void test_sys(void **state)
{
	static const struct {
		int sys;
		enum rc rc;
	} cases[] = {
		{ ENOSPC, RC_NOSPACE }, { EDQUOT, RC_NOSPACE }, { ENOENT, RC_NOTFOUND },
		{ EEXIST, RC_EXISTS },  { EACCES, RC_DENIED },  { EPERM, RC_DENIED },
		{ EMFILE, RC_LIMIT },   { ENFILE, RC_LIMIT },   { ENOMEM, RC_LIMIT },
		{ EIO, RC_IO },         { EBADF, RC_IO },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct err e = { 0 };

		errno = cases[i].sys;
		assert_int_equal(err_sys(&e, "open %s", "f"), cases[i].rc);
		assert_int_equal(e.sys, cases[i].sys);
		assert_true(strncmp(e.text, "open f: ", 8) == 0 && e.text[8]);
		errno = cases[i].sys;
		assert_int_equal(err_sys(NULL, "open"), cases[i].rc);
	}
}

/* Texts that don't fit are cut, not run over. */
static void test_long(void **state)
{
	char much[2000];
	struct err e;

	(void)state;
	memset(much, 'x', sizeof(much));
	much[sizeof(much) - 1] = '\0';
	assert_int_equal(err_set(&e, RC_IO, "%s", much), RC_IO);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	assert_int_equal(err_in(&e, "in"), RC_IO);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	assert_int_equal(strncmp(e.text, "in: xxx", 7), 0);
	errno = EIO;
	assert_int_equal(err_sys(&e, "%s", much), RC_IO);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
}

static void test_names_and_exits(void **state)
{
	(void)state;
	assert_string_equal(rc_name(RC_OK), "ok");
	assert_string_equal(rc_name(RC_CRYPTO), "crypto");
	assert_string_equal(rc_name((enum rc)99), "unknown");
	assert_int_equal(rc_exit(RC_OK), 0);
	assert_int_equal(rc_exit(RC_INVALID), 2);
	assert_int_equal(rc_exit(RC_NOTFOUND), 1);
	assert_int_equal(rc_exit(RC_CORRUPT), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_sys),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_names_and_exits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
