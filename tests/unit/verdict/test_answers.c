#include "ingest/verdict/answers.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/test.h"
#include "tests/unit/verdict/zone.h"

static struct slice s(const char *text)
{
	return slice_str(text);
}

static void put_text(struct answers *a, const char *name, const char *text)
{
	struct dns_record r = { .text = slice_str(text) };
	struct dns_answer d = { .status = DNS_RECORDS, .records = &r, .count = 1 };

	answers_put(a, DNS_TXT, slice_str(name), &d);
}

static void test_asks_once(void **state)
{
	struct answers *a = answers_new();
	struct dns_answer d;
	struct dns_question q;

	(void)state;
	assert_false(answers_wanted(a, &q));
	for (int i = 0; i < 2; i++)
		assert_int_equal(answers_get(a, DNS_TXT, s("Shop.Example."), &d), RC_AGAIN);
	assert_int_equal(answers_get(a, DNS_A, s("shop.example"), &d), RC_AGAIN);
	assert_true(answers_wanted(a, &q));
	assert_string_equal(q.name, "shop.example");
	assert_int_equal(q.type, DNS_TXT);
	assert_true(answers_wanted(a, &q));
	assert_int_equal(q.type, DNS_A);
	assert_false(answers_wanted(a, &q));
	assert_int_equal(answers_get(a, DNS_TXT, s("shop.example"), &d), RC_AGAIN);
	assert_false(answers_wanted(a, &q));
	answers_free(&a);
	assert_null(a);
	answers_free(&a);
}

static void test_answers(void **state)
{
	struct answers *a = answers_new();
	struct dns_answer d;
	struct dns_question q;

	(void)state;
	assert_int_equal(answers_get(a, DNS_TXT, s("a.example"), &d), RC_AGAIN);
	put_text(a, "A.example.", "one");
	put_text(a, "a.example", "two"); /* what is there stays */
	assert_int_equal(answers_get(a, DNS_TXT, s("a.EXAMPLE"), &d), RC_OK);
	assert_int_equal(d.status, DNS_RECORDS);
	assert_int_equal(d.count, 1);
	EXPECT_SLICE("text", d.records[0].text, "one");
	put_text(a, "unasked.example", "three");
	assert_false(answers_wanted(a, &q)); /* both are answered */
	assert_int_equal(answers_get(a, DNS_TXT, s("unasked.example"), &d), RC_OK);
	EXPECT_SLICE("text", d.records[0].text, "three");
	assert_int_equal(answers_get(a, DNS_A, s("a.example"), &d), RC_AGAIN);
	answers_free(&a);
}

/* Records stay where they are however many come after. */
static void test_records_stay(void **state)
{
	struct answers *a = answers_new();
	struct dns_answer first;
	struct dns_answer d;
	char name[32];

	(void)state;
	put_text(a, "a.example", "one");
	assert_int_equal(answers_get(a, DNS_TXT, s("a.example"), &first), RC_OK);
	for (int i = 1; i < ANSWERS_QUESTIONS; i++) {
		(void)snprintf(name, sizeof(name), "a%d.example", i);
		assert_int_equal(answers_get(a, DNS_TXT, s(name), &d), RC_AGAIN);
	}
	EXPECT_SLICE("text", first.records[0].text, "one");
	/* one more than there may be */
	assert_int_equal(answers_get(a, DNS_TXT, s("more.example"), &d), RC_OK);
	assert_int_equal(d.status, DNS_FAILED);
	put_text(a, "more.example", "two");
	assert_int_equal(answers_get(a, DNS_TXT, s("more.example"), &d), RC_OK);
	assert_int_equal(d.status, DNS_FAILED);
	assert_int_equal(zone_answer_all(a, s("")), ANSWERS_QUESTIONS - 1);
	answers_free(&a);
}

#define L63 "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz-123456789"

static const struct {
	const char *name;
	size_t len;
	bool can_be;
} names[] = {
	{ "", 0, false },
	{ ".", 1, false },
	{ "a", 1, true },
	{ ".a", 2, false },
	{ "a..b", 4, false },
	{ "a.b..", 5, false },
	{ "a\0b", 3, false },
	{ "a b\\.c", 6, true },
	{ L63 ".a", 65, true },
	{ L63 "a.a", 66, false },
	{ L63 "." L63 "." L63 "." L63, 255, false },
	{ L63 "." L63 "." L63 ".abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz-1234567", 253,
	  true },
	{ L63 "." L63 "." L63 ".abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz-1234567.",
	  254, true },
	{ L63 "." L63 "." L63 ".abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz-12345678",
	  254, false },
};

static void test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		struct answers *a = answers_new();
		struct dns_answer d;
		struct dns_question q;
		enum rc rc = answers_get(a, DNS_A, slice_of(names[i].name, names[i].len), &d);

		EXPECT(names[i].name, rc == (names[i].can_be ? RC_AGAIN : RC_OK));
		EXPECT(names[i].name, names[i].can_be || d.status == DNS_NO_NAME);
		EXPECT(names[i].name, names[i].can_be == answers_wanted(a, &q));
		answers_free(&a);
	}
}

static void test_mx(void **state)
{
	static const char zone[] = "a.example MX 20 c.example.\n"
	                           "a.example MX 10 B.example\n"
	                           "a.example MX 20 d.example\n"
	                           "a.example MX 0 .\n"
	                           "a.example MX 10 e.example\n";
	static const char *const want[] = { "", "B.example", "e.example", "c.example",
		                            "d.example" };
	struct answers *a = answers_new();
	struct dns_answer d;

	(void)state;
	assert_int_equal(answers_get(a, DNS_MX, s("a.example"), &d), RC_AGAIN);
	assert_int_equal(zone_answer_all(a, s(zone)), 1);
	assert_int_equal(answers_get(a, DNS_MX, s("a.example"), &d), RC_OK);
	assert_int_equal(d.count, COUNT(want));
	for (size_t i = 0; i < COUNT(want); i++)
		EXPECT_SLICE("host", d.records[i].text, want[i]);
	answers_free(&a);
}

/* What `count` texts of `bytes` bytes give. */
static enum dns_status status_of(size_t count, size_t bytes)
{
	struct answers *a = answers_new();
	struct dns_record *records = mem_array(count + 1, sizeof(*records));
	struct dns_answer d = { .status = DNS_RECORDS, .records = records, .count = count };
	char *text = mem_new(bytes + 1);

	for (size_t i = 0; i < count; i++)
		records[i].text = slice_of(text, bytes);
	answers_put(a, DNS_TXT, s("a.example"), &d);
	assert_int_equal(answers_get(a, DNS_TXT, s("a.example"), &d), RC_OK);
	assert_int_equal(d.count, d.status == DNS_RECORDS ? count : 0);
	answers_free(&a);
	free(records);
	free(text);
	return d.status;
}

static void test_limits(void **state)
{
	(void)state;
	assert_int_equal(status_of(ANSWERS_RECORDS, 1), DNS_RECORDS);
	assert_int_equal(status_of(ANSWERS_RECORDS + 1, 1), DNS_FAILED);
	assert_int_equal(status_of(2, ANSWERS_BYTES / 2), DNS_RECORDS);
	assert_int_equal(status_of(2, ANSWERS_BYTES / 2 + 1), DNS_FAILED);
	assert_int_equal(status_of(0, 0), DNS_NO_DATA);
	assert_int_equal(status_of(1, 0), DNS_RECORDS);
}

/* An answer of one text of so many bytes; what it gave. */
static enum dns_status put_bytes(struct answers *a, const char *name, size_t bytes)
{
	char *text = mem_new(bytes + 1);
	struct dns_record r = { .text = slice_of(text, bytes) };
	struct dns_answer d = { .status = DNS_RECORDS, .records = &r, .count = 1 };

	answers_put(a, DNS_TXT, s(name), &d);
	free(text);
	assert_int_equal(answers_get(a, DNS_TXT, s(name), &d), RC_OK);
	return d.status;
}

/* Whatever a sender's own zones answer, a forged domain's record and policy can be had. */
static void test_fair(void **state)
{
	const size_t small = ANSWERS_SMALL - sizeof(struct dns_record);
	struct answers *a = answers_new();
	char name[64];

	(void)state;
	for (int i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof(name), "s%d._domainkey.evil.example", i);
		assert_int_equal(put_bytes(a, name, i % 2 ? ANSWERS_BYTES : small + 1), DNS_FAILED);
		(void)snprintf(name, sizeof(name), "_dmarc.%d.example", i);
		assert_int_equal(put_bytes(a, name, small + 1), DNS_FAILED);
	}
	assert_int_equal(put_bytes(a, "_dmarc.bank.example", small), DNS_RECORDS);
	assert_int_equal(put_bytes(a, "s._domainkey.bank.example", small), DNS_RECORDS);
	assert_int_equal(put_bytes(a, "bank.example", 16384), DNS_RECORDS);
	for (int i = 0; i < 50; i++) {
		(void)snprintf(name, sizeof(name), "%d.example", i);
		assert_int_equal(put_bytes(a, name, 32768 - sizeof(struct dns_record)),
		                 i < (ANSWERS_MEMORY - 16384) / 32768 ? DNS_RECORDS : DNS_FAILED);
	}
	assert_int_equal(put_bytes(a, "small.example", small), DNS_RECORDS);
	answers_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_asks_once),    cmocka_unit_test(test_answers),
		cmocka_unit_test(test_records_stay), cmocka_unit_test(test_names),
		cmocka_unit_test(test_mx),           cmocka_unit_test(test_limits),
		cmocka_unit_test(test_fair),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
