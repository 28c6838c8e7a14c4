/* tests/fuzz/fuzz_token.c - any bytes as text: tokens are valid, bounded and in order */
#include "index/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	struct slice text;
	uint32_t next;
};

static enum rc check(void *arg, const struct token *t)
{
	struct seen *s = arg;

	MUST(t->text.len > 0 && t->text.len <= TOKEN_MAX && slice_is_utf8(t->text));
	MUST(t->from < t->to && t->to <= s->text.len);
	if (t->kind == TOKEN_WORD)
		MUST(t->position == s->next++);
	else
		MUST(t->position + 1 == s->next);
	return RC_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen s = { .text = slice_of(data, size) };

	MUST(token_each(s.text, check, &s) == RC_OK);
	return 0;
}
