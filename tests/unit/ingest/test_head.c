/* tests/unit/ingest/test_head.c - single header fields; endpoints and locations of exports */
#include "ingest/deliver.h"
#include "ingest/head.h"
#include "tests/unit/test.h"

static const struct {
	const char *name;
	const char *mail;
	const char *fields; /* name=text, one a line */
} cases[] = {
	{ "plain", "A: b\r\nC: d\r\n\r\nE: f\r\n", "A=b\nC=d\n" },
	{ "bare LF", "A: b\nC: d\n\nE: f\n", "A=b\nC=d\n" },
	{ "folds", "R: from a\r\n\tby b;\r\n  date\r\nX: y\r\n\r\n", "R=from a by b; date\nX=y\n" },
	{ "a fold with CR LF and a blank line that isn't one", "A: b\r\n \r\n c\r\n\r\n",
	  "A=b c\n" },
	{ "blanks in front of the colon", "A \t: b\r\n\r\n", "A=b\n" },
	{ "no value", "A:\r\nB: \r\n\r\n", "A=\nB=\n" },
	{ "no field", "nonsense\r\nA: b\r\n: c\r\n\r\n", "A=b\n" },
	{ "a colon in what continues it", "nonsense\r\n A: b\r\nC: d\r\n\r\n", "C=d\n" },
	{ "a colon in the value", "A: b: c\r\n\r\n", "A=b: c\n" },
	{ "a continuation at the start", " x: y\r\nA: b\r\n\r\n", "A=b\n" },
	{ "no end", "A: b", "A=b\n" },
	{ "only a body", "\r\nA: b\r\n", "" },
	{ "nothing", "", "" },
	{ "controls and runs of blanks",
	  "A: b\x01\x02  c\x7f"
	  "d\r\n\r\n",
	  "A=b c d\n" },
	{ "a control in front, and a name of none but blanks",
	  "A: \x01"
	  "b\r\n\r : c\r\n\r\n",
	  "A=b\n" },
	{ "not UTF-8", "A: b\xff\xc3\xa4\xc3\r\n\r\n", "A=b\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd\n" },
	{ "encoded words stay", "A: =?utf-8?q?b?=\r\n\r\n", "A==?utf-8?q?b?=\n" },
};

static void fields_of(struct slice mail, size_t most, struct buf *out)
{
	struct head h = head_of(mail);
	struct head_field f;

	buf_clear(out);
	while (head_next(&h, &f)) {
		assert_int_equal(buf_add(out, f.name), RC_OK);
		assert_int_equal(buf_add_byte(out, '='), RC_OK);
		assert_int_equal(head_text(f.value, most, out), RC_OK);
		assert_int_equal(buf_add_byte(out, '\n'), RC_OK);
	}
}

static void fields_are_found(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 1 << 20);
	for (size_t i = 0; i < COUNT(cases); i++) {
		fields_of(slice_str(cases[i].mail), 1000, &out);
		EXPECT_SLICE(cases[i].name, buf_slice(&out), cases[i].fields);
	}
	buf_free(&out);
}

static void texts_are_cut_between_characters(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	for (size_t most = 8; most < 40; most++) {
		buf_clear(&out);
		assert_int_equal(
		        head_text(slice_str("\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4 "
		                            "\xf0\x9f\x98\x80\xf0\x9f\x98\x80"),
		                  most, &out),
		        RC_OK);
		EXPECT("valid", slice_is_utf8(buf_slice(&out)));
		EXPECT("bounded", out.len <= most);
		EXPECT("marked", out.len == 21 || out.at[out.len - 1] == '.');
	}
	buf_free(&out);
}

/* A header without end costs its bound, and each field once. */
static void headers_are_bounded(void **state)
{
	struct buf mail;
	struct head h;
	struct head_field f;
	unsigned count = 0;

	(void)state;
	buf_init(&mail, 1 << 24);
	while (mail.len < 4000000)
		assert_int_equal(buf_add_str(&mail, "A:b\n"), RC_OK);
	h = head_of(buf_slice(&mail));
	while (head_next(&h, &f))
		count++;
	assert_int_equal(count, 10000);
	buf_free(&mail);
}

static const struct {
	const char *location;
	const char *bucket; /* NULL: none */
	const char *prefix;
} locations[] = {
	{ "s3://mail", "mail", "" },
	{ "s3://mail/", "mail", "" },
	{ "s3://mail/a/b", "mail", "a/b" },
	{ "s3://mail//a/", "mail", "a" },
	{ "s3://my.mail-1/a!_.*'()b", "my.mail-1", "a!_.*'()b" },
	{ "S3://mail/a", NULL, NULL },
	{ "http://mail/a", NULL, NULL },
	{ "s3://ma/a", NULL, NULL },
	{ "s3://ma_il/a", NULL, NULL },
	{ "s3://-mail/a", NULL, NULL },
	{ "s3://mail./a", NULL, NULL },
	{ "s3://ma..il/a", NULL, NULL },
	{ "s3://mail:80/a", NULL, NULL },
	{ "s3://mail@evil.example/a", NULL, NULL },
	{ "s3://mail/a//b", NULL, NULL },
	{ "s3://mail/../b", NULL, NULL },
	{ "s3://mail/a/./b", NULL, NULL },
	{ "s3://mail/a/..", NULL, NULL },
	{ "s3://mail/a\r\nHost: x", NULL, NULL },
	{ "s3://", NULL, NULL },
	{ "", NULL, NULL },
};

static void locations_are_taken_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(locations); i++) {
		struct slice bucket;
		struct slice prefix;
		bool good = deliver_location(slice_str(locations[i].location), &bucket, &prefix);

		EXPECT(locations[i].location, good == (locations[i].bucket != NULL));
		if (!good)
			continue;
		EXPECT_SLICE(locations[i].location, bucket, locations[i].bucket);
		EXPECT_SLICE(locations[i].location, prefix, locations[i].prefix);
	}
}

static const struct {
	const char *url;
	const char *host; /* NULL: no URL */
	unsigned port;
	bool tls;
} urls[] = {
	{ "https://s3.example", "s3.example", 443, true },
	{ "http://s3.example/", "s3.example", 80, false },
	{ "HTTP://127.0.0.1:9000", "127.0.0.1", 9000, false },
	{ "https://[::1]:9000", "[::1]", 9000, true },
	{ "https://[::1]", "[::1]", 443, true },
	{ "ftp://s3.example", NULL, 0, false },
	{ "https://", NULL, 0, false },
	{ "https://s3.example:0", NULL, 0, false },
	{ "https://s3.example:65536", NULL, 0, false },
	{ "https://s3.example:", NULL, 0, false },
	{ "https://s3.example/path", NULL, 0, false },
	{ "https://user@s3.example", NULL, 0, false },
	{ "https://s3.example?x", NULL, 0, false },
	{ "https://s3 .example", NULL, 0, false },
	{ "https://s3.example\r\nx", NULL, 0, false },
	{ "s3.example:9000", NULL, 0, false },
};

static void urls_are_taken_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(urls); i++) {
		struct slice host;
		uint16_t port;
		bool tls;
		bool good = deliver_url(slice_str(urls[i].url), &tls, &host, &port);

		EXPECT(urls[i].url, good == (urls[i].host != NULL));
		if (!good)
			continue;
		EXPECT_SLICE(urls[i].url, host, urls[i].host);
		EXPECT(urls[i].url, port == urls[i].port && tls == urls[i].tls);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_found),
		cmocka_unit_test(texts_are_cut_between_characters),
		cmocka_unit_test(headers_are_bounded),
		cmocka_unit_test(locations_are_taken_apart),
		cmocka_unit_test(urls_are_taken_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
