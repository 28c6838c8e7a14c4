#include "tests/unit/test.h"

#include "base/buf.h"
#include "ingest/mime/prescan.h"

/* Made of: front, then `count` times `unit` (with %d for the number), then back. */
struct recipe {
	const char *name;
	const char *front;
	const char *unit;
	unsigned count;
	const char *back;
	const char *over; /* a part of the answer; NULL: fine */
};

static void test_limits(void **state)
{
	static const char mixed[] = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
	static const struct recipe cases[] = {
		{ "no message", "", "", 0, "", NULL },
		{ "small", "From: a@b\r\n\r\nx", "", 0, "", NULL },
		{ "groups of one", "To: ", "g:a@b;,", 1000, "\r\n\r\n", NULL },
		{ "16 groups", "To: ", "g:", 16, "\r\n\r\n", NULL },
		{ "17 groups", "To: ", "g:", 17, "\r\n\r\n", "groups" },
		{ "2,500 groups", "To: ", "g:", 2500, "\r\n\r\n", "groups" },
		{ "groups in Subject", "Subject: ", "g:", 2500, "\r\n\r\n", NULL },
		{ "groups in Resent-Cc", "Resent-Cc: ", "g:", 2500, "\r\n\r\n", "groups" },
		{ "quoted colons", "To: ", "\"a:b\" <x@y>, ", 1000, "\r\n\r\n", NULL },
		{ "an open quote hides none", "To: \"", "g:", 17, "\r\n\r\n", "groups" },
		{ "IPv6", "To: ", "a@[IPv6:::1], ", 1000, "\r\n\r\n", NULL },
		{ "routes", "To: ", "<@a,@b:c@d>, ", 1000, "\r\n\r\n", NULL },
		{ "inner groups", "Content-Type: message/rfc822\r\n\r\nTo: ", "g:", 17, "\r\n\r\n",
		  "groups" },
		{ "groups in a part's block",
		  "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
		  "Content-Type: message/rfc822\r\n\r\nTo: ",
		  "g:", 17, "\r\n\r\n", "groups" },
		{ "10,240 addresses", "To: x", ",a@b", 10239, "\r\n\r\n", NULL },
		{ "10,241 addresses", "To: x", ",a@b", 10240, "\r\n\r\n", "addresses" },
		{ "10,000 headers", "", "X: y\r\n", 10000, "\r\n", NULL },
		{ "10,001 headers", "", "X: y\r\n", 10001, "\r\n", "10,000 headers" },
		{ "256 KiB in a header", "X: ", "aaaaaaaa", 32768, "\r\n\r\n", NULL },
		{ "more in a header", "X: ", "aaaaaaaa", 32850, "\r\n\r\n", "a header over" },
		{ "more in folds", "X:", "\r\n aaaaa", 40000, "\r\n\r\n", "a header over" },
		{ "1 MiB of headers", "",
		  "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
		  "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n",
		  9000, "\r\n", "1 MiB" },
		{ "no end of the block", "X: y", "", 0, "", NULL },
		{ "10,000 parts", mixed, "--b\r\n\r\nx\r\n", 10000, "--b--\r\n", NULL },
		{ "10,001 parts", mixed, "--b\r\n\r\nx\r\n", 10001, "--b--\r\n", "parts" },
		{ "parts without blocks", mixed, "--b\r\n", 10001, "", "parts" },
		{ "LF", "Content-Type: multipart/mixed; boundary=\"b\"\n\n", "--b\n\nx\n", 10001,
		  "", "parts" },
		{ "lines that are no boundary", mixed, "--c\r\n", 20000, "", NULL },
		{ "lines of a text part", "Content-Type: text/plain\r\n\r\n", "-- \r\n--b\r\n",
		  20000, "", NULL },
		{ "a boundary we can't read", "Content-Type: multipart/mixed; boundary*0=b\r\n\r\n",
		  "--b\r\n\r\nx\r\n", 10001, "", "parts" },
		{ "100 deep", "", "Content-Type: message/rfc822\r\n\r\n", 100, "x: y\r\n", NULL },
		{ "101 deep", "", "Content-Type: message/rfc822\r\n\r\n", 101, "x: y\r\n",
		  "deeper" },
		{ "multiparts 100 deep", "",
		  "Content-Type: multipart/mixed; boundary=b%u\r\n\r\n--b%u\r\n", 100, "\r\nx",
		  NULL },
		{ "multiparts 101 deep", "",
		  "Content-Type: multipart/mixed; boundary=b%u\r\n\r\n--b%u\r\n", 101, "\r\nx",
		  "deeper" },
		{ "1,000 parameters", "Content-Type: text/plain", "; a=b", 1000, "\r\n\r\n", NULL },
		{ "1,001 parameters", "Content-Type: text/plain", "; a=b", 1001, "\r\n\r\n",
		  "parameters" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct recipe *r = &cases[i];
		bool numbered = strstr(r->unit, "%u") != NULL;
		const char *over;
		struct buf b;

		buf_init(&b, 4000000);
		assert_int_equal(buf_add_str(&b, r->front), RC_OK);
		for (unsigned n = 0; n < r->count; n++)
			assert_int_equal(numbered ? buf_addf(&b,
			                                     "Content-Type: multipart/mixed; "
			                                     "boundary=b%u\r\n\r\n--b%u\r\n",
			                                     n, n)
			                          : buf_add_str(&b, r->unit),
			                 RC_OK);
		assert_int_equal(buf_add_str(&b, r->back), RC_OK);
		over = prescan(buf_slice(&b));
		if (!over != !r->over || (over && !strstr(over, r->over)))
			fail_msg("%s: got \"%s\"", r->name, over ? over : "fine");
		buf_free(&b);
	}
}

/* Closing an inner multipart makes room again. */
static void test_depth_comes_back(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 4000000);
	assert_int_equal(buf_add_str(&b, "Content-Type: multipart/mixed; boundary=out\r\n\r\n"),
	                 RC_OK);
	for (unsigned i = 0; i < 500; i++)
		assert_int_equal(
		        buf_add_str(&b, "--out\r\nContent-Type: multipart/mixed; boundary=in\r\n"
		                        "\r\n--in\r\n\r\nx\r\n--in--\r\n"),
		        RC_OK);
	assert_null(prescan(buf_slice(&b)));
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_depth_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
