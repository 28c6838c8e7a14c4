#include "tests/unit/test.h"

#include <stdlib.h>

#include "base/codec.h"
#include "ingest/document.h"
#include "ingest/parsed.h"

static struct parsed_address from[] = { { { NULL, 0 }, { NULL, 0 } } };
static struct parsed_header headers[2];

static struct parsed sample(void)
{
	struct parsed p = { .flags = PARSED_HAS_SENT | PARSED_HAS_ATTACHMENT | PARSED_READ_RECEIPT,
		            .sent_ms = 1767608040000 };

	from[0] = (struct parsed_address) { slice_str("a@b.c"), slice_str("Ä <a@b.c>") };
	headers[0] = (struct parsed_header) { slice_str("From"), slice_str("Ä <a@b.c>"),
		                              slice_of(" \xc4 <a@b.c>\0", 11) };
	headers[1] = (struct parsed_header) { slice_str("X-A"), slice_str("1"), slice_str(" 1") };
	p.text[PARSED_SUBJECT] = slice_str("s");
	p.text[PARSED_FROM_TEXT] = slice_str("Ä <a@b.c>");
	p.text[PARSED_SENDER_TEXT] = slice_str("d@e.f");
	p.text[PARSED_MESSAGE_ID] = slice_str("m@x");
	p.text[PARSED_OTHER] = slice_str("<m@x>");
	p.text[PARSED_REFERENCES] = slice_str("<r@x>");
	p.text[PARSED_BODY] = slice_str("body");
	p.text[PARSED_PROBLEM] = slice_str("p");
	p.addresses[PARSED_FROM] = from;
	p.address_count[PARSED_FROM] = 1;
	p.headers = headers;
	p.header_count = 2;
	return p;
}

static void encode(const struct parsed *p, struct buf *b)
{
	buf_init(b, PARSED_MAX_BYTES);
	assert_int_equal(parsed_encode(p, b), RC_OK);
}

static void test_round_trip(void **state)
{
	struct parsed p = sample();
	struct parsed q;
	struct buf b;
	struct err e;

	(void)state;
	encode(&p, &b);
	EXPECT_OK(parsed_decode(&q, buf_slice(&b), &e), &e);
	assert_int_equal(q.flags, p.flags);
	assert_true(q.sent_ms == p.sent_ms);
	for (size_t i = 0; i < PARSED_TEXTS; i++)
		assert_true(slice_equal(p.text[i], q.text[i]));
	assert_int_equal(q.address_count[PARSED_FROM], 1);
	EXPECT_SLICE("address", q.addresses[PARSED_FROM][0].address, "a@b.c");
	assert_int_equal(q.header_count, 2);
	assert_true(slice_equal(q.headers[0].raw, p.headers[0].raw));
	EXPECT_SLICE("name", q.headers[1].name, "X-A");
	parsed_free(&q);
	buf_free(&b);
}

/* Every cut and every single changed byte: an error or a document, never a read outside (which the
 * sanitizers see). What is decoded is valid text. */
static void test_damage(void **state)
{
	struct parsed p = sample();
	struct buf b;

	(void)state;
	encode(&p, &b);
	for (size_t cut = 0; cut < b.len; cut++) {
		uint8_t *copy = mem_new(cut + 1);
		struct parsed q;

		memcpy(copy, b.at, cut);
		assert_int_equal(parsed_decode(&q, slice_of(copy, cut), NULL), RC_CORRUPT);
		free(copy);
	}
	for (size_t i = 0; i < b.len * 8; i++) {
		struct parsed q;

		b.at[i / 8] ^= (uint8_t)(1 << i % 8);
		if (parsed_decode(&q, buf_slice(&b), NULL) == RC_OK)
			for (size_t k = 0; k < PARSED_TEXTS; k++)
				assert_true(slice_is_utf8(q.text[k]));
		parsed_free(&q);
		b.at[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	buf_free(&b);
}

static void test_refused(void **state)
{
	struct parsed q;
	struct buf b;

	(void)state;
	for (unsigned what = 0; what < 8; what++) {
		struct parsed p = sample();

		if (what == 0)
			p.text[PARSED_BODY] = slice_str("\xff");
		else if (what == 1)
			p.text[PARSED_BODY] = slice_of("a\0b", 3);
		else if (what == 2)
			p.flags |= 1U << 5;
		else if (what == 3)
			p.flags &= ~(uint32_t)PARSED_HAS_SENT; /* but a date */
		else if (what == 4)
			p.sent_ms = INT64_MAX;
		else if (what == 5)
			from[0].address = slice_str("");
		else if (what == 6)
			headers[0].value = slice_str("\xc3");
		encode(&p, &b);
		if (what == 7)
			assert_int_equal(buf_add_byte(&b, 0), RC_OK);
		assert_int_equal(parsed_decode(&q, buf_slice(&b), NULL), RC_CORRUPT);
		assert_null(q.memory);
		buf_free(&b);
	}
}

/* A count that the bytes can't hold asks for no memory. */
static void test_counts(void **state)
{
	struct parsed p = { .flags = 0 };
	struct parsed q;
	struct buf b;
	size_t counts;

	(void)state;
	encode(&p, &b);
	counts = 16 + PARSED_TEXTS * 4;
	for (size_t i = 0; i <= PARSED_FIELDS; i++) {
		put_le32(b.at + counts + i * 4, 10000);
		assert_int_equal(parsed_decode(&q, buf_slice(&b), NULL), RC_CORRUPT);
		put_le32(b.at + counts + i * 4, UINT32_MAX);
		assert_int_equal(parsed_decode(&q, buf_slice(&b), NULL), RC_CORRUPT);
		put_le32(b.at + counts + i * 4, 0);
	}
	assert_int_equal(parsed_decode(&q, buf_slice(&b), NULL), RC_OK);
	parsed_free(&q);
	buf_free(&b);
}

static void test_document(void **state)
{
	struct parsed p = sample();
	const struct slice to[] = { slice_str("r@one"), slice_str("r@two") };
	struct document_envelope env = { .lot = 7,
		                         .bytes = 99,
		                         .mail_from = slice_str("s@x"),
		                         .recipients = to,
		                         .recipient_count = 2,
		                         .ingress = slice_str("in"),
		                         .ip = slice_str("192.0.2.1"),
		                         .problem = slice_str("bare LF") };
	struct document d;

	(void)state;
	document_make(&d, &p, &env);
	EXPECT_SLICE("from", d.doc.field[DOC_FROM], "Ä <a@b.c>\nd@e.f");
	EXPECT_SLICE("envelope", d.doc.field[DOC_ENVELOPE_TO], "r@one\nr@two");
	EXPECT_SLICE("envelope from", d.doc.field[DOC_ENVELOPE_FROM], "s@x");
	EXPECT_SLICE("headers", d.doc.field[DOC_HEADERS], "<m@x>\n<r@x>");
	EXPECT_SLICE("body", d.doc.field[DOC_BODY], "body");
	EXPECT_SLICE("id", d.doc.message_id, "m@x");
	EXPECT_SLICE("problem", d.doc.problem, "bare LF; p");
	assert_int_equal(d.doc.flags, DOC_HAS_SENT | DOC_HAS_ATTACHMENT | DOC_PARSE_PROBLEM);
	assert_int_equal(d.doc.lot, 7);
	assert_true(d.doc.sent_ms == p.sent_ms);
	document_free(&d);
}

static void test_facts(void **state)
{
	struct parsed p = sample();
	struct rule_facts facts = { .bytes = 1 };

	(void)state;
	document_facts(&facts, &p);
	assert_true(facts.read_receipt);
	assert_int_equal(facts.fields[RULE_FROM].address_count, 1);
	EXPECT_SLICE("display", facts.fields[RULE_FROM].addresses[0].display, "Ä <a@b.c>");
	assert_int_equal(facts.fields[RULE_FROM].value_count, 1);
	assert_int_equal(facts.fields[RULE_TO].value_count, 0);
	assert_int_equal(facts.fields[RULE_SUBJECT].address_count, 0);
	assert_int_equal(facts.header_count, 2);
	EXPECT_SLICE("header", facts.headers[1].value, "1");
	document_facts_free(&facts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_damage),
		cmocka_unit_test(test_refused),    cmocka_unit_test(test_counts),
		cmocka_unit_test(test_document),   cmocka_unit_test(test_facts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
