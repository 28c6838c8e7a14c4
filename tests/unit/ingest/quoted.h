/* tests/unit/ingest/quoted.h - JSON in C strings, with ' for " */
#ifndef MM_TESTS_UNIT_INGEST_QUOTED_H
#define MM_TESTS_UNIT_INGEST_QUOTED_H

#include <stdlib.h>

#include "base/json.h"
#include "tests/unit/test.h"

static inline char *quoted_text(const char *text)
{
	char *copy = mem_string(text);

	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	return copy;
}

static inline json_t *quoted(const char *text)
{
	char *copy = quoted_text(text);
	struct err e = { 0 };
	json_t *made = NULL;

	if (json_read(&made, slice_str(copy), &e) != RC_OK)
		fail_msg("%s: %s", text, e.text);
	free(copy);
	return made;
}

#endif
