/* tests/unit/smtp/test_params.c - parameters of MAIL and RCPT */
#include "tests/unit/test.h"

#include "smtp/params.h"

#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct {
	const char *text;
	enum rc rc;
	uint64_t size;
	bool utf8;
	const char *body;
	const char *ret;
	const char *envid;
	const char *auth;
} mails[] = {
	{ "", RC_OK, 0, false, "", "", "", "" },
	{ " ", RC_OK, 0, false, "", "", "", "" },
	{ " SIZE=123", RC_OK, 123, false, "", "", "", "" },
	{ " size=0", RC_OK, 0, false, "", "", "", "" },
	{ " SIZE=18446744073709551615", RC_OK, UINT64_MAX, false, "", "", "", "" },
	{ " SIZE=99999999999999999999", RC_OK, UINT64_MAX, false, "", "", "", "" },
	{ " SIZE=100000000000000000000", RC_INVALID, 0, false, "", "", "", "" },
	{ " SIZE=-1", RC_INVALID, 0, false, "", "", "", "" },
	{ " SIZE=+1", RC_INVALID, 0, false, "", "", "", "" },
	{ " SIZE=0x10", RC_INVALID, 0, false, "", "", "", "" },
	{ " SIZE=", RC_INVALID, 0, false, "", "", "", "" },
	{ " SIZE", RC_INVALID, 0, false, "", "", "", "" },
	{ " SIZE=1 SIZE=1", RC_INVALID, 0, false, "", "", "", "" },
	{ "SIZE=1", RC_INVALID, 0, false, "", "", "", "" },
	{ " BODY=8BITMIME", RC_OK, 0, false, "8BITMIME", "", "", "" },
	{ " BODY=7bit SMTPUTF8", RC_OK, 0, true, "7BIT", "", "", "" },
	{ " BODY=9BIT", RC_INVALID, 0, false, "", "", "", "" },
	{ " BODY=BINARYMIME", RC_INVALID, 0, false, "", "", "", "" },
	{ " SMTPUTF8=1", RC_INVALID, 0, false, "", "", "", "" },
	{ " SMTPUTF8=", RC_INVALID, 0, false, "", "", "", "" },
	{ " RET=full ENVID=QQ314159", RC_OK, 0, false, "", "FULL", "QQ314159", "" },
	{ " RET=HDRS", RC_OK, 0, false, "", "HDRS", "", "" },
	{ " RET=ALL", RC_INVALID, 0, false, "", "", "", "" },
	{ " ENVID=a+20b+2Bc", RC_OK, 0, false, "", "", "a b+c", "" },
	{ " ENVID=a+00b", RC_INVALID, 0, false, "", "", "", "" },
	{ " ENVID=a+0D+0A", RC_INVALID, 0, false, "", "", "", "" },
	{ " ENVID=a+C3+A9", RC_INVALID, 0, false, "", "", "", "" },
	{ " ENVID=a+2b", RC_INVALID, 0, false, "", "", "", "" },
	{ " ENVID=a+2", RC_INVALID, 0, false, "", "", "", "" },
	{ " ENVID=a+", RC_INVALID, 0, false, "", "", "", "" },
	{ " ENVID=a=b", RC_INVALID, 0, false, "", "", "", "" },
	{ " ENVID=" X50 X50, RC_OK, 0, false, "", "", X50 X50, "" },
	{ " ENVID=" X50 X50 "x", RC_INVALID, 0, false, "", "", "", "" },
	{ " AUTH=<>", RC_OK, 0, false, "", "", "", "<>" },
	{ " AUTH=e+3Dmc2@example.com", RC_OK, 0, false, "", "", "", "e=mc2@example.com" },
	{ " AUTH=nobody", RC_INVALID, 0, false, "", "", "", "" },
	{ " FOO=BAR", RC_NOTFOUND, 0, false, "", "", "", "" },
	{ " FOO", RC_NOTFOUND, 0, false, "", "", "", "" },
	{ " NOTIFY=NEVER", RC_NOTFOUND, 0, false, "", "", "", "" },
	{ " =1", RC_INVALID, 0, false, "", "", "", "" },
	{ " F\xc3\xa9=1", RC_INVALID, 0, false, "", "", "", "" },
	{ " SIZE=5  BODY=7BIT ", RC_OK, 5, false, "7BIT", "", "", "" },
};

static void mail_parameters(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(mails); i++) {
		const char *name = mails[i].text;
		struct smtp_mail_params p;
		struct smtp_params_room room;
		struct err e = { 0 };
		enum rc rc = smtp_mail_params_parse(&p, slice_str(name), &room, &e);

		if (rc != mails[i].rc)
			fail_msg("\"%s\": %s (%s)", name, rc_name(rc), e.text);
		if (rc != RC_OK)
			continue;
		EXPECT(name, p.size == mails[i].size);
		EXPECT(name, p.smtputf8 == mails[i].utf8);
		EXPECT_SLICE(name, p.body, mails[i].body);
		EXPECT_SLICE(name, p.ret, mails[i].ret);
		EXPECT_SLICE(name, p.envid, mails[i].envid);
		EXPECT_SLICE(name, p.auth, mails[i].auth);
	}
}

static const struct {
	const char *text;
	bool utf8;
	enum rc rc;
	const char *notify;
	const char *orcpt;
} rcpts[] = {
	{ "", false, RC_OK, "", "" },
	{ " NOTIFY=NEVER", false, RC_OK, "NEVER", "" },
	{ " NOTIFY=success,Failure,DELAY", false, RC_OK, "success,Failure,DELAY", "" },
	{ " NOTIFY=NEVER,SUCCESS", false, RC_INVALID, "", "" },
	{ " NOTIFY=SUCCESS,", false, RC_INVALID, "", "" },
	{ " NOTIFY=,SUCCESS", false, RC_INVALID, "", "" },
	{ " NOTIFY=SUCCESS,,DELAY", false, RC_INVALID, "", "" },
	{ " NOTIFY=,", false, RC_INVALID, "", "" },
	{ " NOTIFY=", false, RC_INVALID, "", "" },
	{ " NOTIFY=ALWAYS", false, RC_INVALID, "", "" },
	{ " ORCPT=rfc822;a+2Bb@example.org", false, RC_OK, "", "rfc822;a+b@example.org" },
	{ " ORCPT=rfc822;a NOTIFY=DELAY", false, RC_OK, "DELAY", "rfc822;a" },
	{ " ORCPT=rfc822", false, RC_INVALID, "", "" },
	{ " ORCPT=rfc822;", false, RC_INVALID, "", "" },
	{ " ORCPT=;a@b", false, RC_INVALID, "", "" },
	{ " ORCPT=rfc822;a+0D+0ABcc:+20z@y.example", false, RC_INVALID, "", "" },
	{ " ORCPT=rfc822;a+00", false, RC_INVALID, "", "" },
	{ " ORCPT=rf(c;a@b", false, RC_INVALID, "", "" },
	{ " ORCPT=rfc822;\xc3\xa9@b", true, RC_INVALID, "", "" },
	{ " ORCPT=utf-8;\xc3\xa9@b.example", true, RC_OK, "", "utf-8;\xc3\xa9@b.example" },
	{ " ORCPT=utf-8;\xc3\xa9@b.example", false, RC_INVALID, "", "" },
	{ " ORCPT=utf-8;\xff@b.example", true, RC_INVALID, "", "" },
	{ " ORCPT=utf-8;\\x{E9}@b.example", false, RC_OK, "", "utf-8;\\x{E9}@b.example" },
	{ " ORCPT=rfc822;a ORCPT=rfc822;a", false, RC_INVALID, "", "" },
	{ " SIZE=1", false, RC_NOTFOUND, "", "" },
	{ " SMTPUTF8", true, RC_NOTFOUND, "", "" },
};

static void rcpt_parameters(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rcpts); i++) {
		const char *name = rcpts[i].text;
		struct smtp_rcpt_params p;
		struct smtp_params_room room;
		struct err e = { 0 };
		enum rc rc = smtp_rcpt_params_parse(&p, slice_str(name), rcpts[i].utf8, &room, &e);

		if (rc != rcpts[i].rc)
			fail_msg("\"%s\": %s (%s)", name, rc_name(rc), e.text);
		if (rc != RC_OK)
			continue;
		EXPECT_SLICE(name, p.notify, rcpts[i].notify);
		EXPECT_SLICE(name, p.orcpt, rcpts[i].orcpt);
	}
}

/* What a peer wrote comes back in a reply only when it is harmless there. */
static void odd_keywords_are_not_echoed(void **state)
{
	static const char *const words[] = { " a\x01"
		                             "b=1",
		                             " \xff", " " X50 };

	(void)state;
	for (size_t i = 0; i < COUNT(words); i++) {
		struct smtp_mail_params p;
		struct smtp_params_room room;
		struct err e = { 0 };

		assert_int_equal(smtp_mail_params_parse(&p, slice_str(words[i]), &room, &e),
		                 RC_INVALID);
		assert_null(strstr(e.text, words[i] + 1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mail_parameters),
		cmocka_unit_test(rcpt_parameters),
		cmocka_unit_test(odd_keywords_are_not_echoed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
