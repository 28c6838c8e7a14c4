#include "ingest/address_list.h"
#include "tests/unit/ingest/quoted.h"

static struct address_list *make(const char *text)
{
	json_t *json = quoted(text);
	struct address_list *list = NULL;
	struct err e = { 0 };

	EXPECT_OK(address_list_new(&list, json, &e), &e);
	json_decref(json);
	return list;
}

static const struct {
	const char *entry;
	const char *address;
	bool in;
} cases[] = {
	/* an address, whole */
	{ "user@example.com", "user@example.com", true },
	{ "user@example.com", "USER@Example.COM", true },
	{ "User@Example.com", "user@example.com", true },
	{ "user@example.com", "user+tag@example.com", false },
	{ "user@example.com", "xuser@example.com", false },
	{ "user@example.com", "user@example.com.org", false },
	{ "user@example.com", "user@sub.example.com", false },
	{ "user@example.com", "", false },
	{ "user@example.com", "user", false },
	{ "user@example.com", "@example.com", false },
	{ "\"a@b\"@example.com", "\"a@b\"@example.com", true },
	/* a domain */
	{ "example.com", "anyone@example.com", true },
	{ "example.com", "\"a@b\"@example.com", true },
	{ "example.com", "a@sub.example.com", false },
	{ "example.com", "example.com", false },
	{ "example.com", "a@example.com@evil.test", false },
	{ "example.com", "a@notexample.com", false },
	/* every local part */
	{ "*@example.com", "anyone@example.com", true },
	{ "*@example.com", "a@sub.example.com", false },
	{ "*@example.com", "*@example.com", true },
	/* local parts by pattern */
	{ "123*@example.com", "123@example.com", true },
	{ "123*@example.com", "1234@example.com", true },
	{ "123*@example.com", "12@example.com", false },
	{ "123*@example.com", "0123@example.com", false },
	{ "123*@example.com", "123@example.org", false },
	{ "*-bounce@example.com", "x-bounce@example.com", true },
	{ "*-bounce@example.com", "x-bounced@example.com", false },
	{ "ab*yz@example.com", "abyz@example.com", true },
	{ "ab*yz@example.com", "ab-x-yz@example.com", true },
	{ "ab*bc@example.com", "abc@example.com", false },
	{ "1234567890123456789*@e.co", "1234567890123456789x@e.co", true },
	/* domains below */
	{ "*.example.com", "a@sub.example.com", true },
	{ "*.example.com", "a@deep.sub.example.com", true },
	{ "*.example.com", "a@example.com", false },
	{ "*.example.com", "a@xexample.com", false },
	{ "local@*.example.com", "local@sub.example.com", true },
	{ "local@*.example.com", "LOCAL@a.b.example.com", true },
	{ "local@*.example.com", "other@sub.example.com", false },
	{ "local@*.example.com", "local@example.com", false },
	/* an asterisk in an address is no pattern */
	{ "123*@example.com", "12*@example.com", false },
	{ "*.example.com", "a@*.example.com", false },
	{ "b*cd@example.com", "b*cd@example.com", true },
};

static void test_forms(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		json_t *json = json_array();
		struct address_list *list = NULL;
		struct err e = { 0 };
		bool in;

		json_push(json, json_string("unrelated@elsewhere.test"));
		json_push(json, json_string(cases[i].entry));
		EXPECT_OK(address_list_new(&list, json, &e), &e);
		in = address_list_has(list, slice_str(cases[i].address));
		address_list_unref(&list);
		json_decref(json);
		if (in != cases[i].in)
			fail_msg("%s in %s: %d", cases[i].address, cases[i].entry, in);
	}
}

static const struct {
	const char *entry;
	const char *fault; /* NULL: valid */
} faults[] = {
	{ "a@b", NULL },
	{ "*@example.com", NULL },
	{ "*.example.com", NULL },
	{ "a@*.example.com", NULL },
	{ "*.a.b.c.d.e.f.g.h.i", NULL },
	{ "b\xc3\xbc@b\xc3\xbc.example", NULL },
	{ "ab", "must have 3 to 320 characters" },
	{ "**@example.com", "must have at most one \"*\"" },
	{ "*@*.example.com", "must have at most one \"*\"" },
	{ "1*@example.com", "\"*\" must stand alone or with 3 to 19 characters before the \"@\"" },
	{ "12*@example.com", "\"*\" must stand alone or with 3 to 19 characters before the \"@\"" },
	{ "12345678901234567890*@example.com",
	  "\"*\" must stand alone or with 3 to 19 characters before the \"@\"" },
	{ "*.com", "2 to 9 labels must follow \"*.\"" },
	{ "a@*.com", "2 to 9 labels must follow \"*.\"" },
	{ "*.a.b.c.d.e.f.g.h.i.j", "2 to 9 labels must follow \"*.\"" },
	{ "a@sub*.example.com", "in a domain, \"*\" must stand alone before the first dot" },
	{ "a@sub.*.com", "in a domain, \"*\" must stand alone before the first dot" },
	{ "*example.com", "in a domain, \"*\" must stand alone before the first dot" },
	{ "@example.com", "has no local part" },
	{ "a b@example.com", "has a blank or control character" },
	{ "a@", "must have 3 to 320 characters" },
	{ "aa@", "has no valid domain" },
	{ "a@ex..com", "has no valid domain" },
	{ "a@-ex.com", "has no valid domain" },
	{ "a@ex ample.com", "has no valid domain" },
};

static void test_faults(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(faults); i++) {
		const char *got = address_entry_fault(slice_str(faults[i].entry));

		if (got != faults[i].fault && (!got || !faults[i].fault))
			fail_msg("%s: %s", faults[i].entry, got ? got : "valid");
		if (got)
			assert_string_equal(got, faults[i].fault);
	}
}

static void test_fault_names_the_entry(void **state)
{
	json_t *json = quoted("['a@b.example','*b*@c.example']");
	struct address_list *list = NULL;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(address_list_new(&list, json, &e), RC_INVALID);
	assert_null(list);
	assert_string_equal(e.text, "Addresses[1]: must have at most one \"*\"");
	json_decref(json);
}

#define MANY 100000

static void test_many(void **state)
{
	json_t *json = json_array();
	struct address_list *list = NULL;
	struct err e = { 0 };

	(void)state;
	for (int i = 0; i < MANY; i++)
		json_push(json, json_sprintf("User%d@d%d.example", i, i % 100));
	EXPECT_OK(address_list_new(&list, json, &e), &e);
	assert_int_equal(address_list_count(list), MANY);
	for (int i = 0; i < MANY; i++) {
		char text[64];

		(void)snprintf(text, sizeof(text), "uSER%d@d%d.example", i, i % 100);
		EXPECT(text, address_list_has(list, slice_str(text)));
		(void)snprintf(text, sizeof(text), "user%d@d%d.example", i, (i + 1) % 100);
		EXPECT(text, !address_list_has(list, slice_str(text)));
	}
	address_list_unref(&list);
	json_decref(json);
}

static void test_twice_and_references(void **state)
{
	struct address_list *list = make("['a@b.example','A@B.example','b.example','*@b.example']");
	struct address_list *other = address_list_ref(list);

	(void)state;
	assert_int_equal(address_list_count(list), 2);
	address_list_unref(&list);
	assert_null(list);
	assert_true(address_list_has(other, slice_str("z@b.example")));
	address_list_unref(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_fault_names_the_entry),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_twice_and_references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
