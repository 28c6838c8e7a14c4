/* tests/unit/api/test_access.c - the whole table of roles and classes, written down once more */
#include "api/access.h"

#include "tests/unit/test.h"

/* By role: what it may with an archive that it has, that it hasn't, and with none named. */
static const struct {
	const char *name;
	enum access_class class;
	const char *may[ROLES];
} want[] = {
	{ "status", ACCESS_STATUS, { "yyy", "yyy", "y-y" } },
	{ "read config", ACCESS_READ_CONFIG, { "yyy", "yyy", "---" } },
	{ "change flow", ACCESS_CHANGE_FLOW, { "yyy", "yyy", "---" } },
	{ "read archive", ACCESS_READ_ARCHIVE, { "yyy", "yyy", "y-y" } },
	{ "manage archive", ACCESS_MANAGE_ARCHIVE, { "yyy", "---", "---" } },
	{ "search", ACCESS_SEARCH, { "yyy", "---", "y-y" } },
	{ "export", ACCESS_EXPORT, { "yyy", "---", "y-y" } },
	{ "read message", ACCESS_READ_MESSAGE, { "yyy", "---", "y-y" } },
	{ "verify", ACCESS_VERIFY, { "yyy", "---", "y-y" } },
	{ "audit", ACCESS_AUDIT, { "yyy", "yyy", "y-y" } },
	{ "retention", ACCESS_RETENTION, { "yyy", "---", "---" } },
	{ "admin", ACCESS_ADMIN, { "yyy", "---", "---" } },
};

static void check_class(const struct access *a, size_t i)
{
	const char *may = want[i].may[a->role];

	EXPECT(want[i].name, access_may(a, want[i].class, "a-own") == (may[0] == 'y'));
	EXPECT(want[i].name, access_may(a, want[i].class, "a-other") == (may[1] == 'y'));
	EXPECT(want[i].name, access_may(a, want[i].class, NULL) == (may[2] == 'y'));
	EXPECT(want[i].name, access_everywhere(a, want[i].class) == (may[1] == 'y'));
}

static void test_table(void **state)
{
	const char *const own[] = { "a-first", "a-own" };

	(void)state;
	assert_int_equal(COUNT(want), ACCESS_CLASSES);
	for (int role = 0; role < ROLES; role++) {
		const struct access a = { .role = (enum access_role)role,
			                  .archives = own,
			                  .archive_count = COUNT(own) };

		for (size_t i = 0; i < COUNT(want); i++)
			check_class(&a, i);
	}
}

/* An auditor of all archives has each, and still changes nothing; one of none has none. */
static void test_all_and_none(void **state)
{
	const struct access all = { .role = ROLE_AUDITOR, .all_archives = true };
	const struct access none = { .role = ROLE_AUDITOR };

	(void)state;
	for (size_t i = 0; i < COUNT(want); i++) {
		bool any = want[i].may[ROLE_AUDITOR][0] == 'y';

		EXPECT(want[i].name, access_may(&all, want[i].class, "a-other") == any);
		EXPECT(want[i].name, access_everywhere(&all, want[i].class) == any);
		EXPECT(want[i].name, !access_may(&none, want[i].class, "a-other"));
		EXPECT(want[i].name, !access_everywhere(&none, want[i].class));
	}
}

static void test_names(void **state)
{
	enum access_role role;

	(void)state;
	for (int i = 0; i < ROLES; i++) {
		const char *name = access_role_name((enum access_role)i);

		assert_true(access_role_parse(slice_str(name), &role));
		assert_int_equal(role, i);
	}
	assert_false(access_role_parse(slice_str("Admin"), &role));
	assert_false(access_role_parse(slice_str("adminx"), &role));
	assert_false(access_role_parse(slice_of(NULL, 0), &role));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_all_and_none),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
