/*
 * tests/fuzz/fuzz_dkim.c - any bytes as a message, and any bytes as what DNS says about its keys
 *
 * Input    Texts of DNS, one a line, up to an empty line: every question gets the one whose
 *          number is a quarter of its name's length, modulo four; then the message.
 * Oracle   Both steps end, ask at most one question for each signature, and say the same when
 *          they run again. A pass has a domain, a selector, a key and no reason; everything else
 *          has a reason. Texts are printable ASCII. The sealer puts a set in front that
 *          validates, unless it says why not; a second one does too.
 */
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/codec.h"
#include "ingest/verdict/arc.h"
#include "ingest/verdict/dkim.h"

#define NOW INT64_C(1700000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static EVP_PKEY *key;

static void expect_printable(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		MUST(s.at[i] >= ' ' && s.at[i] < 127);
}

static void own_key(struct answers *a)
{
	struct dns_record record = { 0 };
	const struct dns_answer answer = { .status = DNS_RECORDS, .records = &record, .count = 1 };
	struct buf text;
	uint8_t raw[32];
	size_t len = sizeof(raw);

	if (!key)
		key = EVP_PKEY_new_raw_private_key(
		        EVP_PKEY_ED25519, NULL, (const uint8_t *)"0123456789abcdef0123456789abcdef",
		        32);
	MUST(key && EVP_PKEY_get_raw_public_key(key, raw, &len));
	buf_init(&text, 200);
	MUST(buf_add_str(&text, "k=ed25519; p=") == RC_OK &&
	     base64_encode(&text, slice_of(raw, len)) == RC_OK);
	record.text = buf_slice(&text);
	answers_put(a, DNS_TXT, slice_str("e._domainkey.hop.example"), &answer);
	buf_free(&text);
}

static struct slice line_of(struct slice zone, size_t number)
{
	struct slice rest = zone;
	struct slice line = slice_cut(rest, '\n', &rest);

	while (number-- && rest.len)
		line = slice_cut(rest, '\n', &rest);
	return line;
}

/* Every question gets a line of `zone`; an empty one is no name, or no answer. Returns how many
 * questions there were. */
static size_t answer_all(struct answers *a, struct slice zone)
{
	struct dns_question q;
	size_t n = 0;

	for (; answers_wanted(a, &q); n++) {
		struct dns_record record = { .text = line_of(zone, strlen(q.name) / 4 % 4) };
		struct dns_answer answer = { .status = DNS_RECORDS,
			                     .records = &record,
			                     .count = 1 };

		if (record.text.len == 0)
			answer = (struct dns_answer) { .status = strlen(q.name) & 4 ? DNS_FAILED
				                                                    : DNS_NO_NAME };
		answers_put(a, q.type, slice_str(q.name), &answer);
	}
	return n;
}

static void expect_signature(const struct dkim_signature *s)
{
	expect_printable(s->domain);
	expect_printable(s->selector);
	expect_printable(s->identity);
	expect_printable(s->algorithm);
	expect_printable(s->start);
	expect_printable(slice_str(s->why));
	MUST(s->start.len <= 8 && s->result != DKIM_NONE);
	if (s->result == DKIM_PASS)
		MUST(s->domain.len && s->selector.len && s->identity.len && s->key_bits >= 256 &&
		     !s->partial && !s->why[0]);
	else
		MUST(s->why[0]);
}

static void try_dkim(const struct raw_message *m, struct slice zone)
{
	struct answers *a = answers_new();
	struct dkim *d = dkim_new(m, NOW);
	enum dkim_result best;

	if (dkim_check(d, a) == RC_AGAIN) {
		MUST(answer_all(a, zone) <= DKIM_SIGNATURES);
		MUST(dkim_check(d, a) == RC_OK);
	}
	MUST(dkim_count(d) <= DKIM_REPORTED);
	best = dkim_best(d);
	MUST((best == DKIM_NONE) == (dkim_count(d) == 0));
	for (size_t i = 0; i < dkim_count(d); i++) {
		expect_signature(dkim_at(d, i));
		MUST(best == DKIM_PASS || dkim_at(d, i)->result != DKIM_PASS);
	}
	MUST(dkim_check(d, a) == RC_OK && dkim_best(d) == best);
	dkim_free(&d);
	answers_free(&a);
}

static void arc_of(const struct raw_message *m, struct slice zone, struct arc_answer *out)
{
	struct answers *a = answers_new();
	struct arc *arc = arc_new(m, NOW);

	own_key(a);
	if (arc_check(arc, a, out) == RC_AGAIN) {
		MUST(answer_all(a, zone) <= ARC_SETS + 1);
		MUST(arc_check(arc, a, out) == RC_OK);
	}
	arc_free(&arc);
	answers_free(&a);
}

/* Seals, puts the set in front, and judges again. */
static bool seal(struct buf *message, enum arc_result cv)
{
	const struct arc_sealer by = { "hop.example", "e", "mx.hop.example", key, NOW };
	struct raw_message m;
	struct buf out;
	struct err e = { 0 };
	enum rc rc;

	buf_init(&out, 1 << 20);
	MUST(raw_read(&m, buf_slice(message), NULL) == RC_OK);
	rc = arc_seal(&by, &m, cv, slice_str("none"), &out, &e);
	raw_free(&m);
	MUST(rc == RC_OK || e.text[0]);
	if (rc == RC_OK) {
		MUST(buf_add(&out, buf_slice(message)) == RC_OK);
		buf_free(message);
		*message = out;
	} else {
		buf_free(&out);
	}
	return rc == RC_OK;
}

static void try_arc(const struct raw_message *m, struct slice zone, struct slice text)
{
	struct arc_answer first, then;
	struct buf message;
	struct raw_message again;

	arc_of(m, zone, &first);
	expect_printable(slice_str(first.sealer));
	expect_printable(slice_str(first.why));
	MUST(first.sets <= ARC_SETS &&
	     (first.result == ARC_PASS || first.result == ARC_NONE) == (first.why[0] == '\0'));
	buf_init(&message, 1 << 20);
	MUST(buf_add(&message, text) == RC_OK);
	/* Signing takes most of the time: not every input is sealed. */
	for (unsigned i = 0; i < 2 && text.len % 4 == 0 && seal(&message, first.result); i++) {
		MUST(raw_read(&again, buf_slice(&message), NULL) == RC_OK);
		arc_of(&again, zone, &then);
		raw_free(&again);
		MUST(then.sets == first.sets + 1);
		MUST(then.result == (first.result == ARC_FAIL ? ARC_FAIL : ARC_PASS));
		first = then;
	}
	buf_free(&message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice input = slice_of(data, size);
	size_t end = slice_find(input, slice_str("\n\n"));
	struct slice zone = slice_part(input, 0, end);
	struct slice text = end == SIZE_MAX ? slice_of(NULL, 0) : slice_from(input, end + 2);
	struct raw_message m;

	if (raw_read(&m, text, NULL) != RC_OK)
		return 0;
	try_dkim(&m, zone);
	try_arc(&m, zone, text);
	raw_free(&m);
	return 0;
}
