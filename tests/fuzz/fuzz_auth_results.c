/*
 * tests/fuzz/fuzz_auth_results.c - any bytes in a verdict, and any bytes as somebody's
 *   Authentication-Results
 *
 * Input    Up to the first NUL: texts of a verdict; behind it: the value of a field.
 * Oracle   What is written is one field of printable ASCII that is found to be ours, has the
 *          results that were given and no other, and no line above 78 columns that could have
 *          been folded. A field of others that hasn't our name in it, not even when blanks,
 *          quotes and escapes are left out, is never found to be ours.
 */
#include <stdlib.h>

#include "ingest/verdict/auth_results.h"
#include "ingest/verdict/cfws.h"

#define OURS "mx.corp.example"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *part(struct slice result, struct slice text)
{
	json_t *o = json_object();

	json_put_text(o, "result", result);
	json_put_text(o, "domain", text);
	json_put_text(o, "why", text);
	return o;
}

/* Results at the top level, by a reader of quotes and comments. */
static unsigned count_results(struct slice rest)
{
	char word[4096];
	unsigned count = 0;

	while (rest.len) {
		MUST(cfws_skip(&rest));
		if (cfws_byte(&rest, ';'))
			count++;
		else if (!cfws_byte(&rest, '=') && !cfws_byte(&rest, '@') && rest.len)
			MUST(cfws_word(&rest, word, sizeof(word)));
	}
	return count;
}

static void try_write(struct slice text)
{
	json_t *verdicts = json_object();
	const struct auth_results r = { OURS, verdicts, text };
	struct raw_message m;
	struct buf field;

	json_put(verdicts, "spf", part(slice_str("fail"), text));
	json_put(verdicts, "dkim", part(text, text));
	json_put(verdicts, "arc", part(slice_str("fail"), text));
	json_put(verdicts, "dmarc", part(slice_str("fail"), text));
	json_put_text(json_object_get(verdicts, "dmarc"), "asks", text);
	buf_init(&field, 65536);
	MUST(auth_results_field(&r, &field) == RC_OK);
	MUST(raw_read(&m, buf_slice(&field), NULL) == RC_OK && m.count == 1 && m.body.len == 0);
	MUST(auth_results_claims(&m.fields[0], OURS));
	MUST(count_results(m.fields[0].value) == 4);
	for (size_t i = 0; i < field.len; i++)
		MUST((field.at[i] >= ' ' && field.at[i] < 127) || field.at[i] == '\r' ||
		     field.at[i] == '\n');
	raw_free(&m);
	buf_free(&field);
	json_decref(verdicts);
}

static bool has_our_letters(struct slice value)
{
	struct buf b;
	bool has;

	buf_init(&b, value.len);
	for (size_t i = 0; i < value.len; i++)
		if (value.at[i] > ' ' && value.at[i] != '"' && value.at[i] != '\\')
			MUST(buf_add_byte(&b, value.at[i]) == RC_OK);
	has = slice_contains_nocase(buf_slice(&b), slice_str(OURS));
	buf_free(&b);
	return has;
}

static void try_read(struct slice value)
{
	const struct raw_field f = { slice_str("Authentication-Results"), value, value };

	if (auth_results_claims(&f, OURS))
		MUST(has_our_letters(value));
	else
		MUST(!slice_starts_nocase(slice_trim(value), slice_str(OURS ";")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest;
	struct slice text = slice_cut(slice_of(data, size), '\0', &rest);

	if (text.len <= 1000)
		try_write(text);
	try_read(rest);
	return 0;
}
