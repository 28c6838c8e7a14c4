#include "tests/unit/test.h"

#include <stdio.h>

#include "base/buf.h"
#include "ingest/verdict/from.h"
#include "ingest/verdict/idn.h"

static const struct {
	const char *header; /* each line ended here by CRLF */
	bool odd;
	const char *domains; /* a blank behind each */
} cases[] = {
	{ "From: a@b.example", false, "b.example " },
	{ "From: <a@b.example>", false, "b.example " },
	{ "From: Ann <a@B.Example>", false, "b.example " },
	{ "from:Ann<a@b.example>", false, "b.example " },
	{ "From: \"Ann, x@evil.example\" <a@b.example>", false, "b.example " },
	{ "From: Ann (x@evil.example) <a@b.example>", false, "b.example " },
	{ "From: =?utf-8?q?x=40evil.example?= <a@b.example>", false, "b.example " },
	{ "From: Ann Q. Public <a@b.example>", false, "b.example " },
	{ "From: J\xc3\xbcrgen <a@b.example>", false, "b.example " },
	{ "From: \"a b\"@b.example", false, "b.example " },
	{ "From: \"a@evil.example\"@b.example", false, "b.example " },
	{ "From: \"a\\\"@evil.example\" <a@b.example>", false, "b.example " },
	{ "From: a . c @ b . example (home)", false, "b.example " },
	{ "From: a@b(x).(y)example", false, "b.example " },
	{ "From: <@x.example,@y.example:a@b.example>", false, "b.example " },
	{ "From: Ann\r\n\t<a@b.example>", false, "b.example " },
	{ "From: a@b.example,", false, "b.example " },
	{ "From: ,, a@b.example", false, "b.example " },
	{ "From: a@b.example, c@b.example", false, "b.example " },
	{ "From: a@m\xc3\xbcll.example", false, "xn--mll-hoa.example " },
	{ "From: a@M\xc3\x9cLL.example", false, "xn--mll-hoa.example " },
	{ "From: a@xn--mll-hoa.example", false, "xn--mll-hoa.example " },
	{ "From: Staff: a@b.example;", false, "b.example " },
	{ "From: Staff: a@b.example, <c@b.example> ;", false, "b.example " },
	/* several: from_read tells them, dmarc_check judges */
	{ "From: a@b.example, c@d.example", false, "b.example d.example " },
	{ "From: Staff: a@b.example, c@d.example;", false, "b.example d.example " },
	{ "From: A: a@b.example;, c@d.example", false, "b.example d.example " },
	/* careless, but plain */
	{ "From: Shop, Inc. <a@b.example>", false, "b.example " },
	{ "From: a@b.example.", false, "b.example " },
	{ "From: Ann <a@b.example> x", false, "b.example " },
	{ "From: a@b.example a@b.example", false, "b.example " },
	{ "From: \"Ann <a@b.example>", false, "b.example " },
	{ "From: (Ann <a@b.example>", false, "b.example " },
	{ "From: [Ann] <a@b.example>", false, "b.example " },
	/* what two readers could read differently */
	{ "From: a@b.example\r\nFrom: c@d.example", true, "b.example d.example " },
	{ "From: a@b.example\r\nFrom: a@b.example", true, "b.example " },
	{ "From: a@b.example\r\nFROM : c@d.example", true, "b.example d.example " },
	{ "From: a@evil.example@b.example", true, "evil.example b.example " },
	{ "From: <a@evil.example> <a@b.example>", true, "evil.example b.example " },
	{ "From: a@evil.example <a@b.example>", true, "evil.example b.example " },
	{ "From: x\\, a@(c)b.example, a@evil.example", true, "b.example evil.example " },
	{ "From: x\\, a@\"b.example\", a@evil.example", true, "b.example evil.example " },
	{ "From: \"x, a@b.example, <c@evil.example>", true, "b.example evil.example " },
	{ "From: A: B: a@b.example;;, c@d.example", true, "b.example d.example " },
	{ "From: A: a@b.example", false, "b.example " },
	{ "From: a@[192.0.2.1]", true, "" },
	{ "From: a@b..example, c@d.example", true, "d.example " },
	{ "From: a@\xff.example", true, "" },
	{ "From: Ann", true, "" },
	{ "From:", true, "" },
	{ "From: <>", true, "" },
	{ "From: undisclosed:;", true, "" },
	{ "Subject: none", true, "" },
	/* what a lenient reader takes for another domain */
	{ "From: x, y <a@b . example>", true, "b.example b " },
	{ "From: x, y <a@b(c).example>", true, "b.example b " },
	{ "From: x, y <a@b.(c) example>", true, "b.example b " },
	{ "From: x, y <a@b\r\n\t.example>", true, "b.example b " },
	{ "From: a@b\001.example", true, "b.example b " },
	{ "From: a@b\\.example", true, "b.example b " },
	{ "From: x@(y <a@ b.example>", true, "b.example " },
	{ "From: a@b. (x", false, "b " },
	{ "From: x, y <a@ b.example>", false, "b.example " },
	/* encoded words in an address */
	{ "From: a=?utf-8?q?=40?=b.example", false, "b.example " },
	{ "From: <=?utf-8?b?YUBiLmV4YW1wbGU=?=@evil.example>", true, "b.example evil.example " },
	{ "From: <=?utf-8?b?YUBiLmV4YW1wbGU=?==?utf-8?q?=00?=@evil.example>", true,
	  "b.example evil.example " },
	{ "From: a@=?utf-8?q?b?=.example", true, "b.example " },
	{ "From: =?utf-8?q?ann?=@b.example", false, "b.example " },
	{ "From: =?x-none?q?ann=40b.example?= <a=?x?q?b?=@evil.example>", true,
	  "b.example evil.example " },
	/* fields of rules' reader alone */
	{ "X: y\r\n \r\n From: c@d.example\r\nFrom: a@b.example", true, "b.example d.example " },
	{ "X: y\r\n \r\n From: c@d.example", true, "d.example " },
	{ "X: y\r\n From: c@d.example\r\nFrom: a@b.example", false, "b.example " },
};

static void read_text(struct from *f, const char *header, char *names, size_t room)
{
	struct raw_message m;
	struct buf text;
	struct err e;
	size_t n = 0;

	buf_init(&text, 1 << 20);
	assert_int_equal(buf_addf(&text, "To: t@other.example\r\n%s\r\n\r\nbody\r\n", header),
	                 RC_OK);
	EXPECT_OK(raw_read(&m, buf_slice(&text), &e), &e);
	from_read(f, &m);
	raw_free(&m);
	buf_free(&text); /* nothing of it is needed any more */
	names[0] = 0;
	for (size_t i = 0; i < f->count; i++)
		n += (size_t)snprintf(names + n, room - n, "%.*s ", (int)f->domains[i].len,
		                      (const char *)f->domains[i].at);
}

static void froms_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct from f;
		char names[1024];

		read_text(&f, cases[i].header, names, sizeof(names));
		if (f.odd != cases[i].odd || strcmp(names, cases[i].domains) != 0)
			fail_msg("%s: %s, odd %d", cases[i].header, names, f.odd);
		from_free(&f);
	}
}

static void no_more_than_there_is_room_for(void **state)
{
	struct from f;
	struct buf header;
	char names[8192];

	(void)state;
	buf_init(&header, 1 << 20);
	assert_int_equal(buf_add_str(&header, "From: a@b.example"), RC_OK);
	for (int i = 0; i < 500; i++)
		assert_int_equal(buf_addf(&header, ", a@d%d.example", i), RC_OK);
	read_text(&f, buf_text(&header), names, sizeof(names));
	assert_int_equal(f.count, FROM_DOMAINS);
	from_free(&f);
	buf_free(&header);
}

/* Linear: these took minutes by a reader that looks for an end again and again. */
static void hostile_fields_take_no_time(void **state)
{
	static const char *const pieces[] = { "@(", "(",     "\"\\",      "a@(x", "<",      "@a,",
		                              "a:", "((a@b", "@\xc3\xa9", "@(a)", "=?x?q?@" };

	(void)state;
	for (size_t i = 0; i < COUNT(pieces); i++) {
		struct from f;
		struct buf header;
		char names[8192];

		buf_init(&header, 1 << 20);
		assert_int_equal(buf_add_str(&header, "From: "), RC_OK);
		while (header.len < 900000)
			assert_int_equal(buf_add_str(&header, pieces[i]), RC_OK);
		read_text(&f, buf_text(&header), names, sizeof(names));
		EXPECT(pieces[i], f.odd);
		if (i == 0) /* more than is looked at */
			assert_int_equal(f.count, FROM_DOMAINS);
		from_free(&f);
		buf_free(&header);
	}
}

static void names_for_dns(void **state)
{
	static const struct {
		const char *shown;
		const char *name; /* NULL: none */
	} names[] = {
		{ "a.example", "a.example" },
		{ "A-1_b.Example", "a-1_b.example" },
		{ "\xe4\xbe\x8b.test", "xn--fsq.test" },
		{ "stra\xc3\x9f"
		  "e.example",
		  "xn--strae-oqa.example" },
		{ "a\xe3\x80\x82"
		  "example",
		  "a.example" },
		{ "", NULL },
		{ "a b", NULL },
		{ "a.", NULL },
		{ ".a", NULL },
		{ "a..b", NULL },
		{ "a@b", NULL },
		{ "\xff", NULL },
		{ "\xe2\x80\x8b", NULL },
	};
	char out[256];

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		bool is = idn_to_ascii(out, slice_str(names[i].shown));

		EXPECT(names[i].shown, is == (names[i].name != NULL));
		if (is)
			assert_string_equal(out, names[i].name);
	}
	assert_false(idn_to_ascii(out, slice_of("a\0b", 3)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(froms_are_read),
		cmocka_unit_test(no_more_than_there_is_room_for),
		cmocka_unit_test(hostile_fields_take_no_time),
		cmocka_unit_test(names_for_dns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
