#include "tests/unit/test.h"

#include "ingest/mime/address.h"
#include "ingest/mime/charset.h"
#include "ingest/mime/date.h"
#include "ingest/mime/headers.h"
#include "ingest/mime/transfer.h"

static int start(void **state)
{
	(void)state;
	return charset_start() > 70 ? 0 : -1;
}

/* --- splitting --- */

static void test_split(void **state)
{
	static const struct {
		const char *bytes;
		const char *names; /* with values: "name=value|" */
		const char *junk;
		const char *body;
	} cases[] = {
		{ "A: b\r\nC: d\r\n\r\nbody", "A=b|C=d|", "", "body" },
		{ "A: b\nC: d\n\nbody", "A=b|C=d|", "", "body" },
		{ "A: b\r\n c\r\n\td\r\n\r\n", "A=b c\td|", "", "" },
		{ "A : b\r\n\r\n", "A=b|", "", "" },
		{ "From\r\n : <x@y>\r\n\r\n", "From=<x@y>|", "", "" },
		{ " From: <x@y>\r\nB: c\r\n\r\n", "From=<x@y>|B=c|", "", "" },
		{ "From x@y Mon Jan 5\r\nA: b\r\n\r\nz", "A=b|", "", "z" },
		{ ">From x@y Mon Jan 5\r\nA: b\r\n\r\nz", "A=b|", "", "z" },
		{ "A: b\r\nno header\r\nC: d\r\n\r\nz", "A=b|C=d|", "no header\r\n", "z" },
		{ "A: b\r\n\r\r\nC: d\r\n\r\nz", "A=b|C=d|", "\r\r\n", "z" },
		{ "A: b\r\n \r\nC: d\r\n\r\nz", "A=b|C=d|", " \r\n", "z" },
		{ "A: b", "A=b|", "", "" },
		{ "no header at all\r\n\r\nz", "", "", "no header at all\r\n\r\nz" },
		{ "\r\nz", "", "", "\r\nz" },
		{ "", "", "", "" },
		{ ": x\r\nA: b\r\n\r\n", "A=b|", ": x\r\n", "" },
		{ "A:\r\n\r\n", "A=|", "", "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct slice bytes = slice_str(cases[i].bytes);
		struct header_block b;
		struct buf got;

		header_block_init(&b);
		buf_init(&got, 4096);
		header_split(&b, bytes, false);
		for (size_t k = 0; k < b.count; k++) {
			assert_int_equal(buf_add(&got, b.at[k].name), RC_OK);
			assert_int_equal(buf_add_str(&got, "="), RC_OK);
			header_unfold(&got, b.at[k].raw);
			assert_int_equal(buf_add_str(&got, "|"), RC_OK);
		}
		EXPECT_SLICE(cases[i].bytes, buf_slice(&got), cases[i].names);
		EXPECT_SLICE(cases[i].bytes, buf_slice(&b.junk), cases[i].junk);
		EXPECT_SLICE(cases[i].bytes, slice_from(bytes, b.body), cases[i].body);
		buf_free(&got);
		header_block_free(&b);
	}
}

/* --- RFC 2047 --- */

static void test_decode(void **state)
{
	static const struct {
		const char *raw;
		const char *text;
	} cases[] = {
		{ "plain", "plain" },
		{ "=?utf-8?q?a_b=5Fc?=", "a b_c" },
		{ "=?UTF-8?B?5pel5pys6Kqe?=", "日本語" },
		{ "=?UTF-8?B?5pel5p?= =?utf-8?b?ys6Kqe?=", "日本語" }, /* cut inside a character */
		{ "=?utf-8?Q?=E6=97?= =?utf-8?Q?=A5?=", "日" },
		{ "=?iso-2022-jp?B?GyRCN29MPiVGJTklSBsoQg==?=", "件名テスト" },
		{ "=?gb18030?B?08q8/tb3zOI=?=", "邮件主题" },
		{ "=?koi8-r?Q?=F0=D2=C9=D7=C5=D4?=", "Привет" },
		{ "=?iso-8859-1*en?Q?=E4?=", "ä" },
		{ "a =?utf-8?q?b?= c", "a b c" },
		{ "=?utf-8?q?a?=  =?utf-8?q?b?=", "ab" },
		{ "=?utf-8?q?a?= x =?utf-8?q?b?=", "a x b" },
		{ "a=?utf-8?q?b?=c", "abc" },
		{ "=?utf-8?q?a b?=", "a b" },
		{ "=?utf-8?Q?unterminated", "=?utf-8?Q?unterminated" },
		{ "=?x-unknown?Q?abc=FF?=", "abcÿ" },
		{ "=?utf-8?x?abc?=", "=?utf-8?x?abc?=" },
		{ "=?utf-8?Q?a=0D=0ABcc:_b?=", "a  Bcc: b" },
		{ "=??q?a?=", "=??q?a?=" },
		{ "J\xc3\xbcrgen", "Jürgen" },
		{ "J\xfcrgen =?utf-8?q?=C3=BC?=", "Jürgen ü" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf out;

		buf_init(&out, 4096);
		header_decode(&out, slice_str(cases[i].raw));
		EXPECT_SLICE(cases[i].raw, buf_slice(&out), cases[i].text);
		buf_free(&out);
	}
}

/* --- addresses --- */

static bool collect(void *arg, struct slice address, struct slice display)
{
	struct buf *b = arg;

	assert_int_equal(buf_add(b, address), RC_OK);
	assert_int_equal(buf_add_str(b, "="), RC_OK);
	assert_int_equal(buf_add(b, display), RC_OK);
	assert_int_equal(buf_add_str(b, "|"), RC_OK);
	return true;
}

static void test_address_list(void **state)
{
	static const struct {
		const char *value;
		const char *got; /* "address=display|" */
	} cases[] = {
		{ "a@b.c", "a@b.c=a@b.c|" },
		{ "<a@b.c>", "a@b.c=a@b.c|" },
		{ "Ann Bee <a@b.c>", "a@b.c=Ann Bee <a@b.c>|" },
		{ "\"Bee, Ann\" <a@b.c>", "a@b.c=Bee, Ann <a@b.c>|" },
		{ "\"a \\\"q\\\"\" <a@b.c>", "a@b.c=a \"q\" <a@b.c>|" },
		{ "a@b.c (Ann)", "a@b.c=Ann <a@b.c>|" },
		{ "=?utf-8?q?J=C3=BCrgen?= <a@b.c>", "a@b.c=Jürgen <a@b.c>|" },
		{ "\"=?utf-8?q?J=C3=BCrgen?=\" <a@b.c>", "a@b.c=Jürgen <a@b.c>|" },
		{ "=?utf-8?q?Bee=2C_Ann?= <a@b.c>, d@e.f", "a@b.c=Bee, Ann <a@b.c>|d@e.f=d@e.f|" },
		{ "a@b.c, d@e.f;g@h.i", "a@b.c=a@b.c|d@e.f=d@e.f|g@h.i=g@h.i|" },
		{ "friends: a@b.c, d@e.f;", "=friends|a@b.c=a@b.c|d@e.f=d@e.f|" },
		{ "undisclosed-recipients:;", "=undisclosed-recipients|" },
		{ "<@r,@s:a@b.c>", "a@b.c=a@b.c|" },
		{ "\"a b\"@c.d", "\"a b\"@c.d=\"a b\"@c.d|" },
		{ "\"a@x\"@c.d", "\"a@x\"@c.d=\"a@x\"@c.d|" },
		{ "u@[IPv6:::1]", "u@[IPv6:::1]=u@[IPv6:::1]|" },
		{ "a @ b.c", "a@b.c=a@b.c|" },
		{ "root", "=root|" },
		{ "Ann <root>", "=Ann <root>|" },
		{ "<mailto:a@b.c>", "a@b.c=a@b.c|" },
		{ "Ann <a@b.c", "a@b.c=Ann <a@b.c>|" },
		{ "\"open a@b.c", "\"open a@b.c=\"open a@b.c|" },
		{ "(open a@b.c", "opena@b.c=opena@b.c|" },
		{ "((a)(b)) x@y.z", "x@y.z=(a)(b) <x@y.z>|" },
		{ ",,, ;", "" },
		{ "", "" },
		{ "g:g:g:g:a@b.c", "=g|=g|=g|=g|a@b.c=a@b.c|" },
		{ "用户@例子.公司", "用户@例子.公司=用户@例子.公司|" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf got;
		struct address_sink sink = { collect, &got };

		buf_init(&got, 4096);
		address_list(slice_str(cases[i].value), &sink);
		EXPECT_SLICE(cases[i].value, buf_slice(&got), cases[i].got);
		buf_free(&got);
	}
}

static void test_address_scan(void **state)
{
	static const struct {
		const char *text;
		const char *got;
	} cases[] = {
		{ "x a@b.c y", "a@b.c=|" },
		{ "(admin@legit.example) a@b", "admin@legit.example=|a@b=|" },
		{ "<a@b>\\,<c@d>", "a@b=|c@d=|" },
		{ "\"a b\"@c.d.", "\"a b\"@c.d=|" },
		{ "a@[127.0.0.1] b@[", "a@[127.0.0.1]=|" },
		{ "@@@ a@ @b", "" },
		{ "a@b@c", "a@b=|" },
		{ "j\xc3\xbcrgen@ex\xc3\xa4mple.de", "j\xc3\xbcrgen@ex\xc3\xa4mple.de=|" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf got;
		struct address_sink sink = { collect, &got };

		buf_init(&got, 4096);
		address_scan(slice_str(cases[i].text), &sink);
		EXPECT_SLICE(cases[i].text, buf_slice(&got), cases[i].got);
		buf_free(&got);
	}
}

/* --- dates --- */

static void test_date(void **state)
{
	static const struct {
		const char *value;
		int64_t seconds; /* -1: no date */
	} cases[] = {
		{ "Mon, 05 Jan 2026 10:14:00 +0000", 1767608040 },
		{ "Mon, 05 Jan 2026 10:14:00 +0530", 1767588240 },
		{ "5 Jan 2026 10:14 -0000", 1767608040 },
		{ "Mon, 05 Jan 26 10:00 EST (comment (nested))", 1767625200 },
		{ "Mon Jan  5 10:00:00 2026", 1767607200 },
		{ "2026-01-05T10:00:00Z", 1767607200 },
		{ "2026-01-05T10:00:00.123+01:00", 1767603600 },
		{ "2026-01-05", 1767571200 },
		{ "05-Jan-2026 10:00:00 +0000", 1767607200 },
		{ "Mon, 05 Jan 2026 10:00:00 GMT+0530", 1767587400 },
		{ "Mon, 05 Jan 2026 10:00:00 CEST", 1767600000 },
		{ "Mon, 05 Jan 2026 10:00:00 XYZ", 1767607200 },
		{ "1 Jan 70", 0 },
		{ "31 Dec 1969 23:59:59 +0000", -1 * INT64_C(1) },
		{ "Fri, 31 Dec 9999 23:59:59 +0000", 253402300799 },
		{ "29 Feb 2024 00:00:00 +0000", 1709164800 },
		{ "29 Feb 2023 00:00:00 +0000", INT64_MIN },
		{ "Thu, 32 Foo 2026 99:99:99 +9999", INT64_MIN },
		{ "Mon, 05 Jan 2026 25:00:00 +0000", INT64_MIN },
		{ "Mon, 05 Jan 2026 10:60:00 +0000", INT64_MIN },
		{ "Mon, 05 Jan 2026 10:00:00 +9999", INT64_MIN },
		{ "Mon, 01 Jan 0001 00:00:00 -1200", INT64_MIN },
		{ "Fri, 31 Dec 9999 23:59:59 -0100", INT64_MIN },
		{ "5 Jan 99999", INT64_MIN },
		{ "Mon, 05", INT64_MIN },
		{ "Mon, 5 Jan 2026 10:14:00 +0000) \"x\"", 1767608040 },
		{ "5 Jan 2026 10.14.00", 1767608040 },
		{ "5 Jan 2026 10:14:00 -05", 1767626040 },
		{ "5 Jan 2026 10:14:00 GMT-0130", 1767613440 },
		{ "5 Jan 2026 24:00", 1767657600 },
		{ "5 Jan 2026 10:14:60", 1767608100 },
		{ "2026-01-05t10:14:00", 1767608040 },
		{ "2026-01-05T10:14:00-05:00", 1767626040 },
		{ "2026-01-05T10:14:00EST", 1767626040 },
		{ "5-Jan-26", 1767571200 },
		{ "5-Jan-99", 915494400 },
		{ "5 Jan 99", 915494400 },
		{ "5 Jan 126", 1767571200 },
		{ "5 January 2026 10:14 a b c d e f g h i j 7", 1767608040 },
		{ "31 Dec 9999 23:59:59 +0100", 253402297199 },
		{ "5 Jan 2026 10:", INT64_MIN },
		{ "5 Jan 2026 10:14:", INT64_MIN },
		{ "5 Jan 2026 10:14:61", INT64_MIN },
		{ "5 Jan 2026 10:14:00 +5", INT64_MIN },
		{ "5 Jan 2026 10:14:00 +05:3", INT64_MIN },
		{ "5 Jan 2026 10:14:00 +05300", INT64_MIN },
		{ "5 Jan 2026 10:14:00 +1500", INT64_MIN },
		{ "5 Jan 2026 10:14:00 +0560", INT64_MIN },
		{ "5 Jan 2026 10:14:00 +", INT64_MIN },
		{ "5 Jan 2026 10:14:00 GMT+1", INT64_MIN },
		{ "5 Jan 2026 10:14:00 11:15:00", INT64_MIN },
		{ "5 Jan 2026 7", INT64_MIN },
		{ "5 Jan 6", INT64_MIN },
		{ "5x Jan 2026", INT64_MIN },
		{ "005 Jan 2026", INT64_MIN },
		{ "5-Jan-6", INT64_MIN },
		{ "5-Jan-2026x", INT64_MIN },
		{ "5-", INT64_MIN },
		{ "5-Foo-2026", INT64_MIN },
		{ "2026-1", INT64_MIN },
		{ "2026-x-05", INT64_MIN },
		{ "2026x-01-05", INT64_MIN },
		{ "2026-01-x", INT64_MIN },
		{ "2026-01-05x", INT64_MIN },
		{ "2026-01-05Tx", INT64_MIN },
		{ "2026-01-05T10", INT64_MIN },
		{ "2026-01-05T10:14:00+xx", INT64_MIN },
		{ "2026-00-05", INT64_MIN },
		{ "2026-13-05", INT64_MIN },
		{ "0 Jan 2026", INT64_MIN },
		{ "31 Apr 2026", INT64_MIN },
		{ "5 Jan 1899", INT64_MIN },
		{ "5 2026", INT64_MIN },
		{ "Jan 2026", INT64_MIN },
		{ "5 Jan", INT64_MIN },
		{ "1 Jan 1900 00:00:00 +0100", INT64_MIN },
		{ "(5 Jan 2026 (10:14)", INT64_MIN },
		{ "hello", INT64_MIN },
		{ "((((", INT64_MIN },
		{ "", INT64_MIN },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		int64_t ms = 0;
		bool is = date_parse(slice_str(cases[i].value), &ms);

		if (is != (cases[i].seconds != INT64_MIN))
			fail_msg("%s: %s", cases[i].value, is ? "a date" : "no date");
		if (is && ms / 1000 != cases[i].seconds)
			fail_msg("%s: %lld", cases[i].value, (long long)ms);
	}
}

/* --- transfer encodings --- */

static void test_transfer(void **state)
{
	static const struct {
		enum transfer how;
		const char *text;
		const char *bytes;
		bool damaged;
	} cases[] = {
		{ TRANSFER_BASE64, "SGVsbG8=", "Hello", false },
		{ TRANSFER_BASE64, "SGVs\r\nbG8=\r\n", "Hello", false },
		{ TRANSFER_BASE64, "SGVsbG8", "Hello", false },
		{ TRANSFER_BASE64, "SGVsbG8=SGVsbG8=", "HelloHello", false },
		{ TRANSFER_BASE64, "SGVs!!bG8=", "Hello\nSGVs!!bG8=\n", true },
		{ TRANSFER_BASE64, "SGVsbG8=\n-- \nthe list", NULL, true },
		{ TRANSFER_BASE64, "====", "", false },
		{ TRANSFER_BASE64, "", "", false },
		{ TRANSFER_QP, "a=3Db", "a=b", false },
		{ TRANSFER_QP, "a=3db", "a=b", false },
		{ TRANSFER_QP, "soft=\r\nbreak", "softbreak", false },
		{ TRANSFER_QP, "soft= \t\nbreak", "softbreak", false },
		{ TRANSFER_QP, "end=", "end", false },
		{ TRANSFER_QP, "=ZZ = =3", "=ZZ = =3", true },
		{ TRANSFER_QP, "=C3=A4", "ä", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct transfer_result r = { 0 };
		struct buf out;

		buf_init(&out, 4096);
		if (cases[i].how == TRANSFER_QP)
			transfer_qp(&out, slice_str(cases[i].text), &r);
		else
			transfer_base64(&out, slice_str(cases[i].text), &r);
		if (cases[i].bytes)
			EXPECT_SLICE(cases[i].text, buf_slice(&out), cases[i].bytes);
		else
			EXPECT(cases[i].text,
			       slice_find(buf_slice(&out), slice_str("the list")) != SIZE_MAX);
		EXPECT(cases[i].text, r.damaged == cases[i].damaged);
		buf_free(&out);
	}
	assert_int_equal(transfer_of(slice_str(" BASE64 (x)")), TRANSFER_BASE64);
	assert_int_equal(transfer_of(slice_str("Quoted-Printable;")), TRANSFER_QP);
	assert_int_equal(transfer_of(slice_str("")), TRANSFER_NONE);
	assert_int_equal(transfer_of(slice_str("x-uuencode")), TRANSFER_UNKNOWN);
}

static void test_transfer_limit(void **state)
{
	struct transfer_result r = { 0 };
	struct buf out;

	(void)state;
	buf_init(&out, 4);
	transfer_qp(&out, slice_str("abcdefgh"), &r);
	assert_true(r.cut);
	EXPECT_SLICE("as much as fits", buf_slice(&out), "abcd");
	buf_free(&out);
}

/* --- character sets --- */

static void test_charsets(void **state)
{
	static const struct {
		const char *label;
		const char *bytes;
		const char *text;
	} cases[] = {
		{ "utf-8", "\xc3\xa4", "ä" },
		{ "UTF8", "\xef\xbb\xbfx", "x" },
		{ "us-ascii", "abc", "abc" },
		{ "us-ascii", "\xe4", "ä" },
		{ "", "\xe6\x97\xa5", "日" },
		{ "iso-8859-1", "\x80\xe4", "€ä" },
		{ "latin1", "\xe4", "ä" },
		{ "iso-8859-2", "\xb1", "ą" },
		{ "ISO8859-5", "\xbf", "П" },
		{ "iso_8859-7:1987", "\xe1", "α" },
		{ "iso-8859-8-i", "\xe0", "א" },
		{ "iso-8859-9", "\xfd", "ı" },
		{ "iso-8859-15", "\xa4", "€" },
		{ "windows-1250", "\xb9", "ą" },
		{ "cp1251", "\xcf", "П" },
		{ "WINDOWS-1252", "\x93x\x94", "“x”" },
		{ "windows-1253", "\xe1", "α" },
		{ "windows-1255", "\xf9", "ש" },
		{ "windows-1256", "\xe3", "م" },
		{ "windows-874", "\xca", "ส" },
		{ "tis-620", "\xca", "ส" },
		{ "koi8-r", "\xf0", "П" },
		{ "koi8-u", "\xa6", "і" },
		{ "ibm866", "\x8f", "П" },
		{ "macintosh", "\x8a", "ä" },
		{ "shift_jis", "\x8c\x9f\x8d\xf5", "検索" },
		{ "x-sjis", "\x87\x40", "①" },
		{ "euc-jp", "\xb8\xa1\xba\xf7", "検索" },
		{ "iso-2022-jp", "\x1b$B8!:w\x1b(B", "検索" },
		{ "us-ascii", "\x1b$B8!:w\x1b(B", "検索" },
		{ "gb2312", "\xd3\xca\xbc\xfe", "邮件" },
		{ "gbk", "\xd3\xca", "邮" },
		{ "gb18030", "\x81\x30\x84\x36", "¥" },
		{ "hz-gb-2312", "~{Dc:C~} a~~", "你好 a~" },
		{ "big5", "\xa7\x41\xa6\x6e", "你好" },
		{ "euc-kr", "\xbe\xc8\xb3\xe7", "안녕" },
		{ "ks_c_5601-1987", "\xbe\xc8", "안" },
		{ "utf-7", "Hi +Jjo-", "Hi ☺" },
		{ "utf-16le", "x\0y\0", NULL },
		{ "\"utf-8\"", "\xc3\xa4", "ä" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct charset_result r = { 0 };
		struct buf out;

		if (!cases[i].text)
			continue;
		buf_init(&out, 4096);
		charset_to_utf8(&out, slice_str(cases[i].bytes), slice_str(cases[i].label), &r);
		EXPECT_SLICE(cases[i].label, buf_slice(&out), cases[i].text);
		EXPECT(cases[i].label, !r.unknown && !r.damaged && !r.cut);
		buf_free(&out);
	}
}

static void test_wide(void **state)
{
	static const struct {
		const char *label;
		const char *bytes;
		size_t len;
	} cases[] = {
		{ "utf-16", "\xff\xfex\0y\0", 6 },
		{ "utf-16", "\xfe\xff\0x\0y", 6 },
		{ "utf-16", "x\0y\0", 4 },
		{ "utf-16", "\0x\0y", 4 },
		{ "utf-16le", "x\0y\0", 4 },
		{ "utf-16be", "\0x\0y", 4 },
		{ "utf-32", "\xff\xfe\0\0x\0\0\0y\0\0\0", 12 },
		{ "utf-32", "\0\0\xfe\xff\0\0\0x\0\0\0y", 12 },
		{ "utf-32le", "x\0\0\0y\0\0\0", 8 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct charset_result r = { 0 };
		struct buf out;

		buf_init(&out, 4096);
		charset_to_utf8(&out, slice_of(cases[i].bytes, cases[i].len),
		                slice_str(cases[i].label), &r);
		EXPECT_SLICE(cases[i].label, buf_slice(&out), "xy");
		buf_free(&out);
	}
}

static void test_damage(void **state)
{
	static const struct {
		const char *label;
		const char *bytes;
		const char *text;
		bool unknown;
	} cases[] = {
		{ "utf-8", "\xc3\xa4 \xc3\xa4 \xff x", "ä ä \xef\xbf\xbd x", false },
		{ "utf-8", "J\xfcrgen", "Jürgen", false }, /* a wrong label, plainly */
		{ "x-no-such-thing", "a\xff", "aÿ", true },
		{ "x-no-such-thing", "\xc3\xa4", "ä", true },
		{ "shift_jis", "a\xff", "a\xef\xbf\xbd", false },
		{ "gb2312", "\xd3", "\xef\xbf\xbd", false },
		{ "euc-jp", "\xb8\xa1\xff\xba\xf7", "検\xef\xbf\xbd索", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct charset_result r = { 0 };
		struct buf out;

		buf_init(&out, 4096);
		charset_to_utf8(&out, slice_str(cases[i].bytes), slice_str(cases[i].label), &r);
		EXPECT_SLICE(cases[i].label, buf_slice(&out), cases[i].text);
		EXPECT(cases[i].label, r.unknown == cases[i].unknown);
		EXPECT(cases[i].label, r.unknown || r.damaged);
		EXPECT(cases[i].label, slice_is_utf8(buf_slice(&out)));
		buf_free(&out);
	}
}

/* Characters of several bytes across the pieces in which text is converted. */
static void test_long_text(void **state)
{
	struct charset_result r = { 0 };
	struct buf in, out;

	(void)state;
	buf_init(&in, 100000);
	buf_init(&out, 200000);
	assert_int_equal(buf_add_str(&in, "x"), RC_OK);
	for (unsigned i = 0; i < 20000; i++)
		assert_int_equal(buf_add_str(&in, "\xb8\xa1"), RC_OK);
	charset_to_utf8(&out, buf_slice(&in), slice_str("euc-jp"), &r);
	assert_false(r.damaged);
	assert_int_equal(out.len, 1 + 20000 * strlen("検"));
	buf_free(&in);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),          cmocka_unit_test(test_decode),
		cmocka_unit_test(test_address_list),   cmocka_unit_test(test_address_scan),
		cmocka_unit_test(test_date),           cmocka_unit_test(test_transfer),
		cmocka_unit_test(test_transfer_limit), cmocka_unit_test(test_charsets),
		cmocka_unit_test(test_wide),           cmocka_unit_test(test_damage),
		cmocka_unit_test(test_long_text),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
