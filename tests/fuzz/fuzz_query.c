/* tests/fuzz/fuzz_query.c - whatever is typed parses or is refused; what was parsed prints to a
 * text that means the same */
#include <stdio.h>

#include "base/limits.h"
#include "query/parse.h"
#include "query/print.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct query_env env = { INT64_C(1750000000000) };

/* Parses and prints into `out`; false when the text is refused. */
static bool canonical(struct slice text, struct buf *out, struct err *e)
{
	struct match_tree *t = match_tree_new();
	struct query_notes notes;
	struct match *m;
	enum rc rc = query_parse(t, text, &env, &m, &notes, e);

	MUST(rc == RC_OK || rc == RC_INVALID || rc == RC_LIMIT);
	MUST((rc == RC_OK) == (m != NULL) || rc == RC_LIMIT);
	if (rc == RC_OK) {
		json_t *j = query_json(m);

		MUST(query_print(m, out) == RC_OK);
		MUST(slice_is_utf8(buf_slice(out)));
		json_decref(j);
	}
	match_tree_free(&t);
	return rc == RC_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf first;
	struct buf second;
	struct err e = { 0 };

	buf_init(&first, 64 << 20);
	buf_init(&second, 64 << 20);
	if (canonical(slice_of(data, size), &first, &e) && first.len <= LIMIT_QUERY_TEXT) {
		bool again = canonical(buf_slice(&first), &second, &e);
		bool same = again && slice_equal(buf_slice(&first), buf_slice(&second));

		if (!same)
			fprintf(stderr, "1: %s\n2: %s\n%s\n", buf_text(&first), buf_text(&second),
			        e.text);
		MUST(same);
	}
	buf_free(&first);
	buf_free(&second);
	return 0;
}
