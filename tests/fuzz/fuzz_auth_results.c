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

static void fill(char *out, size_t room, struct slice s)
{
	size_t n = MIN_OF(s.len, room - 1);

	memcpy(out, s.at, n);
	out[n] = '\0';
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
	struct spf_answer spf = { .result = SPF_FAIL };
	struct arc_answer arc = { .result = ARC_FAIL };
	struct dmarc_answer dmarc = { .result = DMARC_FAIL };
	struct auth_results r = { OURS, &spf, NULL, &arc, &dmarc, text };
	struct raw_message m;
	struct buf field;

	fill(spf.domain, sizeof(spf.domain), text);
	fill(spf.why, sizeof(spf.why), text);
	fill(arc.why, sizeof(arc.why), text);
	fill(dmarc.why, sizeof(dmarc.why), text);
	buf_init(&field, 65536);
	MUST(auth_results_field(&r, &field) == RC_OK);
	MUST(raw_read(&m, buf_slice(&field), NULL) == RC_OK && m.count == 1 && m.body.len == 0);
	MUST(auth_results_claims(&m.fields[0], OURS));
	MUST(count_results(m.fields[0].value) == 3);
	for (size_t i = 0; i < field.len; i++)
		MUST((field.at[i] >= ' ' && field.at[i] < 127) || field.at[i] == '\r' ||
		     field.at[i] == '\n');
	raw_free(&m);
	buf_free(&field);
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

	if (text.len <= 3000)
		try_write(text);
	try_read(rest);
	return 0;
}
