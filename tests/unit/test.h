/* tests/unit/test.h - cmocka and two macros for tables of cases */
#ifndef MM_TESTS_UNIT_TEST_H
#define MM_TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/slice.h"

/* The name of the case is printed when the condition does not hold. */
#define EXPECT(name, cond)                                                                         \
	do {                                                                                       \
		if (!(cond))                                                                       \
			fail_msg("%s: %s", name, #cond);                                           \
	} while (0)
#define EXPECT_OK(call, e)                                                                         \
	do {                                                                                       \
		enum rc got_rc = (call);                                                           \
		if (got_rc != RC_OK)                                                               \
			fail_msg("%s: %s", rc_name(got_rc), (e)->text);                            \
	} while (0)
#define EXPECT_SLICE(name, s, text)                                                                \
	do {                                                                                       \
		struct slice got_s = (s);                                                          \
		if (!slice_equal(got_s, slice_str(text)))                                          \
			fail_msg("%s: got \"%.*s\", want \"%s\"", name, (int)got_s.len,            \
				 (const char *)got_s.at, text);                                    \
	} while (0)

/* A folder of one test's own, in TMPDIR if there is one. */
static inline void temp_folder(char *path, size_t size)
{
	const char *top = getenv("TMPDIR");

	(void)snprintf(path, size, "%s/mm-test-XXXXXX", top ? top : "/tmp");
	assert_non_null(mkdtemp(path));
}

#endif
