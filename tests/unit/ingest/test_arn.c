/* tests/unit/ingest/test_arn.c */
#include "ingest/arn.h"

#include <stdio.h>

#include "tests/unit/test.h"

static const struct arn_home home = { "eu-central-1", "000000000001" };

static void test_both_ways(void **state)
{
	static const char *const want[RESOURCE_KINDS] = {
		[RESOURCE_ARCHIVE] = "mailmanager-archive",
		[RESOURCE_ADDRESS_LIST] = "mailmanager-address-list",
		[RESOURCE_RELAY] = "mailmanager-smtp-relay",
		[RESOURCE_ADDON_SUBSCRIPTION] = "addon-subscription",
		[RESOURCE_ADDON_INSTANCE] = "addon-instance",
		[RESOURCE_TRAFFIC_POLICY] = "mailmanager-traffic-policy",
		[RESOURCE_RULE_SET] = "mailmanager-rule-set",
		[RESOURCE_INGRESS_POINT] = "mailmanager-ingress-point",
	};

	(void)state;
	for (int k = 0; k < RESOURCE_KINDS; k++) {
		char expected[ARN_ROOM];
		char text[ARN_ROOM];
		char id[RESOURCE_ID_ROOM];
		enum resource_kind kind;
		struct err e = { 0 };

		(void)snprintf(
		        expected, sizeof(expected),
		        "arn:aws:ses:eu-central-1:000000000001:%s/x-0123456789abcdefghijklmn",
		        want[k]);
		arn_write(text, &home, (enum resource_kind)k, "x-0123456789abcdefghijklmn");
		assert_string_equal(text, expected);
		EXPECT_OK(arn_read(slice_str(text), &home, &kind, id, &e), &e);
		assert_int_equal(kind, k);
		assert_string_equal(id, "x-0123456789abcdefghijklmn");
	}
}

static void test_others(void **state)
{
	static const struct {
		const char *text;
		enum rc want;
	} cases[] = {
		{ "arn:aws:ses:eu-central-1:000000000001:mailmanager-rule-set/rs-1", RC_OK },
		{ "arn:aws:ses:eu-west-1:000000000001:mailmanager-rule-set/rs-1", RC_NOTFOUND },
		{ "arn:aws:ses:eu-central-1:000000000002:mailmanager-rule-set/rs-1", RC_NOTFOUND },
		{ "arn:aws-cn:ses:eu-central-1:000000000001:mailmanager-rule-set/rs-1",
		  RC_NOTFOUND },
		{ "arn:aws:ses:eu-central-1:000000000001:mailmanager-rule/rs-1", RC_NOTFOUND },
		{ "arn:aws:ses:eu-central-1:000000000001:mailmanager-rule-set/"
		  "rs-0123456789012345678901234567890123456789",
		  RC_NOTFOUND },
		{ "arn:aws:s3:eu-central-1:000000000001:mailmanager-rule-set/rs-1", RC_INVALID },
		{ "arn:aws:ses:eu_central:000000000001:mailmanager-rule-set/rs-1", RC_INVALID },
		{ "arn:aws:ses:eu-central-1:1:mailmanager-rule-set/rs-1", RC_INVALID },
		{ "arn:aws:ses:eu-central-1:000000000001:mailmanager-rule-set/", RC_INVALID },
		{ "arn:aws:ses:eu-central-1:000000000001:mailmanager-rule-set", RC_INVALID },
		{ "arn:x:ses:eu-central-1:000000000001:mailmanager-rule-set/rs-1", RC_INVALID },
		{ "rs-1", RC_INVALID },
		{ "", RC_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char id[RESOURCE_ID_ROOM];
		enum resource_kind kind;
		struct err e = { 0 };

		EXPECT(cases[i].text,
		       arn_read(slice_str(cases[i].text), &home, &kind, id, &e) == cases[i].want);
	}
}

static void test_homes(void **state)
{
	static const struct arn_home bad[] = {
		{ "", "000000000001" },
		{ "US-east-1", "000000000001" },
		{ "us-east-1-and-much-longer", "000000000001" },
		{ "us-east-1", "00000000001" },
		{ "us-east-1", "00000000000x" },
	};
	struct err e = { 0 };

	(void)state;
	EXPECT_OK(arn_check_home(&home, &e), &e);
	for (size_t i = 0; i < COUNT(bad); i++)
		EXPECT(bad[i].region, arn_check_home(&bad[i], &e) == RC_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_homes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
