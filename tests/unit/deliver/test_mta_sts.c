#include "tests/unit/test.h"

#include "ingest/deliver/mta_sts.h"

#define GOOD                                                                                       \
	"version: STSv1\r\nmode: enforce\r\nmx: mx1.example\r\nmx: *.pool.example\r\nmax_age: "    \
	"86400\r\n"

static void test_records(void **state)
{
	static const struct {
		const char *text, *id;
	} cases[] = {
		{ "v=STSv1; id=20160831085700Z;", "20160831085700Z" },
		{ "v=STSv1;id=1", "1" },
		{ "v=STSv1 ; x=y; id=a1; id=b2", "a1" },
		{ "v=STSv1; id=12345678901234567890123456789012",
		  "12345678901234567890123456789012" },
		{ "v=STSv1; id=123456789012345678901234567890123", NULL },
		{ "v=STSv1; id=;", NULL },
		{ "v=STSv1; id=a-b", NULL },
		{ "v=STSv1;", NULL },
		{ "v=STSv1", NULL },
		{ "v=STSv2; id=1", NULL },
		{ " id=1; v=STSv1", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char id[STS_ID];
		bool good = sts_record_read(id, slice_str(cases[i].text));

		EXPECT(cases[i].text, good == (cases[i].id != NULL));
		EXPECT(cases[i].text, !good || strcmp(id, cases[i].id) == 0);
	}
}

static void test_policies(void **state)
{
	static const struct {
		const char *name, *text;
		bool good;
		enum sts_mode mode;
		int64_t age;
		size_t count;
	} cases[] = {
		{ "usual", GOOD, true, STS_ENFORCE, 86400, 2 },
		{ "bare line ends", "version: STSv1\nmode: testing\nmx: a.example\nmax_age: 1",
		  true, STS_TESTING, 1, 1 },
		{ "none needs no mx", "version: STSv1\nmode: none\nmax_age: 0\n", true, STS_NONE, 0,
		  0 },
		{ "unknown fields, empty lines", "version:STSv1\n\nx_y: z\nmode:none\nmax_age:5\n",
		  true, STS_NONE, 5, 0 },
		{ "the first counts",
		  "version: STSv1\nmode: none\nmode: enforce\nmax_age: 5\n"
		  "max_age: 6\n",
		  true, STS_NONE, 5, 0 },
		{ "too old", "version: STSv1\nmode: none\nmax_age: 9999999999\n", true, STS_NONE,
		  STS_AGE, 0 },
		{ "no mx", "version: STSv1\nmode: enforce\nmax_age: 5\n", false, 0, 0, 0 },
		{ "no mode", "version: STSv1\nmx: a.example\nmax_age: 5\n", false, 0, 0, 0 },
		{ "no version", "mode: none\nmax_age: 5\n", false, 0, 0, 0 },
		{ "no age", "version: STSv1\nmode: none\n", false, 0, 0, 0 },
		{ "another version", "version: STSv2\nmode: none\nmax_age: 5\n", false, 0, 0, 0 },
		{ "another mode", "version: STSv1\nmode: Enforce\nmax_age: 5\n", false, 0, 0, 0 },
		{ "a negative age", "version: STSv1\nmode: none\nmax_age: -5\n", false, 0, 0, 0 },
		{ "a page", "<html>\n<body>\n", false, 0, 0, 0 },
		{ "nothing", "", false, 0, 0, 0 },
		{ "an mx that is none", "version: STSv1\nmode: testing\nmx: a b\nmax_age: 5\n",
		  false, 0, 0, 0 },
		{ "a star alone", "version: STSv1\nmode: testing\nmx: *\nmax_age: 5\n", false, 0, 0,
		  0 },
		{ "a star inside", "version: STSv1\nmode: testing\nmx: a.*.example\nmax_age: 5\n",
		  false, 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct sts_policy p;
		struct err e;
		bool good = sts_policy_read(&p, slice_str(cases[i].text), &e) == RC_OK;

		EXPECT(cases[i].name, good == cases[i].good);
		EXPECT(cases[i].name,
		       !good || (p.mode == cases[i].mode && p.max_age == cases[i].age &&
		                 p.count == cases[i].count));
		sts_policy_free(&p);
	}
}

static void test_names(void **state)
{
	static const struct {
		const char *host;
		bool named;
	} cases[] = {
		{ "mx1.example", true },       { "MX1.Example", true },
		{ "a.pool.example", true },    { "a.b.pool.example", false },
		{ "pool.example", false },     { ".pool.example", false },
		{ "mx2.example", false },      { "xmx1.example", false },
		{ "mx1.example.evil", false }, { "", false },
	};
	struct sts_policy p;
	struct err e;

	(void)state;
	EXPECT_OK(sts_policy_read(&p, slice_str(GOOD), &e), &e);
	for (size_t i = 0; i < COUNT(cases); i++)
		EXPECT(cases[i].host, sts_policy_names(&p, cases[i].host) == cases[i].named);
	sts_policy_free(&p);
}

static void test_bounds(void **state)
{
	struct sts_policy p;
	struct buf text;
	struct err e;

	(void)state;
	buf_init(&text, 1 << 20);
	MUST(buf_add_str(&text, "version: STSv1\nmode: testing\nmax_age: 5\n") == RC_OK);
	for (int i = 0; i < STS_MX; i++)
		MUST(buf_addf(&text, "mx: mx%d.example\n", i) == RC_OK);
	EXPECT_OK(sts_policy_read(&p, buf_slice(&text), &e), &e);
	assert_int_equal(p.count, STS_MX);
	sts_policy_free(&p);
	MUST(buf_add_str(&text, "mx: more.example\n") == RC_OK);
	assert_int_equal(sts_policy_read(&p, buf_slice(&text), &e), RC_INVALID);
	sts_policy_free(&p);
	while (text.len <= STS_TEXT)
		MUST(buf_add_str(&text, "x: y\n") == RC_OK);
	assert_int_equal(sts_policy_read(&p, buf_slice(&text), &e), RC_INVALID);
	sts_policy_free(&p);
	buf_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
