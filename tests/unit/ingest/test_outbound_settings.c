#include "tests/unit/test.h"

#include <stdlib.h>

#include "ingest/outbound.h"
#include "ingest/outbound_parts.h"

static enum rc read_text(struct outbound_settings *s, json_t **o, const char *text, struct err *e)
{
	EXPECT_OK(json_read(o, slice_str(text), e), e);
	return outbound_settings_read(s, *o, e);
}

static void test_defaults(void **state)
{
	struct outbound_settings s;
	struct err e;

	(void)state;
	EXPECT_OK(outbound_settings_read(&s, NULL, &e), &e);
	assert_int_equal(s.port, 25);
	assert_int_equal(s.at_once, 100);
	assert_int_equal(s.per_destination, 10);
	assert_true(s.sts && s.dane);
	assert_int_equal(s.lifetime_ms, (int64_t)120 * 3600 * 1000);
	assert_int_equal(s.retry_count, 6);
	assert_int_equal(s.max_bytes, (uint64_t)4 << 30);
	assert_null(s.arc_domain);
}

static void test_all(void **state)
{
	static const char text[] =
	        "{\"port\":2525,\"sts_port\":8443,\"at_once\":7,\"per_destination\":3,\"deadline\":"
	        "9,"
	        "\"sts\":false,\"dane\":false,\"ca\":\"/x.pem\",\"hostname\":\"out.example\","
	        "\"allow\":[\"10.1.0.0/16\",\"::1\"],\"retry\":[1,2],\"lifetime\":0.5,"
	        "\"delay_notice\":0,\"max_bytes\":1048576,\"dead_letter_days\":5,"
	        "\"rate\":{\"destination\":60,\"user\":100},\"sender\":\"relay@corp.example\","
	        "\"arc\":{\"domain\":\"corp.example\",\"selector\":\"s1\"}}";
	struct outbound_settings s;
	json_t *o;
	struct err e;

	(void)state;
	EXPECT_OK(read_text(&s, &o, text, &e), &e);
	assert_int_equal(s.port, 2525);
	assert_int_equal(s.sts_port, 8443);
	assert_int_equal(s.at_once, 7);
	assert_int_equal(s.per_destination, 3);
	assert_int_equal(s.deadline_ms, 9000);
	assert_false(s.sts || s.dane);
	assert_string_equal(s.ca, "/x.pem");
	assert_string_equal(s.hostname, "out.example");
	assert_int_equal(s.allow_count, 2);
	assert_int_equal(s.retry_count, 2);
	assert_int_equal(s.retry_ms[1], 2000);
	assert_int_equal(s.lifetime_ms, 1800000);
	assert_int_equal(s.delay_notice_ms, 0);
	assert_int_equal(s.dead_letter_days, 5);
	assert_int_equal(s.rate_destination, 60);
	assert_int_equal(s.rate_user, 100);
	assert_string_equal(s.sender, "relay@corp.example");
	assert_string_equal(s.arc_domain, "corp.example");
	assert_string_equal(s.arc_selector, "s1");
	json_decref(o);
}

/* Each is refused, and the member is named. */
static void test_refused(void **state)
{
	static const struct {
		const char *text, *named;
	} cases[] = {
		{ "[]", "send" },
		{ "{\"prot\":1}", "prot" },
		{ "{\"port\":0}", "port" },
		{ "{\"port\":65536}", "port" },
		{ "{\"port\":\"25\"}", "port" },
		{ "{\"at_once\":0}", "at_once" },
		{ "{\"per_destination\":1001}", "per_destination" },
		{ "{\"deadline\":0}", "deadline" },
		{ "{\"sts\":1}", "sts" },
		{ "{\"dane\":\"yes\"}", "dane" },
		{ "{\"ca\":\"\"}", "ca" },
		{ "{\"hostname\":\"a b\"}", "hostname" },
		{ "{\"allow\":\"10.0.0.0/8\"}", "allow" },
		{ "{\"allow\":[\"10.0.0.0/33\"]}", "allow" },
		{ "{\"allow\":[1]}", "allow" },
		{ "{\"retry\":[]}", "retry" },
		{ "{\"retry\":60}", "retry" },
		{ "{\"retry\":[0]}", "retry" },
		{ "{\"retry\":[1.5]}", "retry" },
		{ "{\"lifetime\":-1}", "lifetime" },
		{ "{\"delay_notice\":\"4\"}", "delay_notice" },
		{ "{\"max_bytes\":1}", "max_bytes" },
		{ "{\"dead_letter_days\":0}", "dead_letter_days" },
		{ "{\"rate\":5}", "rate" },
		{ "{\"rate\":{\"host\":5}}", "host" },
		{ "{\"rate\":{\"user\":-5}}", "user" },
		{ "{\"sender\":\"relay\"}", "sender" },
		{ "{\"arc\":{\"domain\":\"a.example\"}}", "arc" },
		{ "{\"arc\":{\"domain\":\"a..b\",\"selector\":\"s\"}}", "arc" },
		{ "{\"arc\":{\"domain\":\"a.example\",\"selector\":\"s\",\"key\":1}}", "key" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct outbound_settings s;
		json_t *o;
		struct err e;

		EXPECT(cases[i].text, read_text(&s, &o, cases[i].text, &e) == RC_INVALID);
		EXPECT(cases[i].text, strstr(e.text, cases[i].named));
		EXPECT(cases[i].text, outbound_configure(o, &e) == RC_INVALID);
		json_decref(o);
	}
}

#define ONE(end, code, enhanced)                                                                   \
	"{\"end\":" end ",\"code\":" code ",\"enhanced\":\"" enhanced                              \
	"\",\"text\":\"x\\u0007\\u00e4\"}"

/* What a sender that was broken into may say. */
static void test_said(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{ "{\"results\":[" ONE("0", "250", "2.0.0") "]}", true },
		{ "{\"results\":[" ONE("3", "0", "5.7.10") "]}", true },
		{ "{\"results\":[" ONE("4", "250", "2.0.0") "]}", false },
		{ "{\"results\":[" ONE("-1", "250", "2.0.0") "]}", false },
		{ "{\"results\":[" ONE("0", "600", "2.0.0") "]}", false },
		{ "{\"results\":[" ONE("0", "100", "2.0.0") "]}", false },
		{ "{\"results\":[" ONE("0", "-250", "2.0.0") "]}", false },
		{ "{\"results\":[" ONE("0", "250", "2.0") "]}", false },
		{ "{\"results\":[" ONE("0", "250", "2.0.0000") "]}", false },
		{ "{\"results\":[" ONE("0", "250", "3.0.0") "]}", false },
		{ "{\"results\":[" ONE("0", "250", "") "]}", false },
		{ "{\"results\":[" ONE("0", "250", "2.0.0") "," ONE("0", "250", "2.0.0") "]}",
		  false },
		{ "{\"results\":[]}", false },
		{ "{\"results\":[1]}", false },
		{ "{}", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct outbound_result *results;
		json_t *o;
		struct err e;

		EXPECT_OK(json_read(&o, slice_str(cases[i].text), &e), &e);
		EXPECT(cases[i].text, outbound_said(&results, 1, o) == cases[i].good);
		EXPECT(cases[i].text, !cases[i].good || strcmp(results[0].text, "x   ") == 0);
		free(results);
		json_decref(o);
	}
}

static void test_clean(void **state)
{
	char out[5];

	(void)state;
	outbound_clean(out, sizeof(out), slice_str("a\r\nbcdef"));
	assert_string_equal(out, "a  b");
	outbound_clean(out, sizeof(out), slice_of(NULL, 0));
	assert_string_equal(out, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_all),
		cmocka_unit_test(test_refused),  cmocka_unit_test(test_said),
		cmocka_unit_test(test_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
