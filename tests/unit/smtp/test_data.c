/* tests/unit/smtp/test_data.c - the end of data, dots, and bytes that must not be there */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "smtp/data.h"

#define LF DATA_BARE_LF
#define CR DATA_BARE_CR

static const struct {
	const char *name;
	const char *wire;
	size_t wire_len; /* 0: of the string */
	const char *body;
	size_t body_len;
	bool ended;
	unsigned odd;
} cases[] = {
	{ "plain line", "hi\r\n.\r\n", 0, "hi\r\n", 0, true, 0 },
	{ "empty message", ".\r\n", 0, "", 0, true, 0 },
	{ "empty lines", "\r\n\r\n.\r\n", 0, "\r\n\r\n", 0, true, 0 },
	{ "stuffed dot", "..hi\r\n.\r\n", 0, ".hi\r\n", 0, true, 0 },
	{ "stuffed lone dot", "..\r\n.\r\n", 0, ".\r\n", 0, true, 0 },
	{ "two stuffed dots", "...\r\n..\r\n.\r\n", 0, "..\r\n.\r\n", 0, true, 0 },
	{ "dot and text", ".hi\r\n.\r\n", 0, "hi\r\n", 0, true, 0 },
	{ "dot inside", "a.b\r\n.\r\n", 0, "a.b\r\n", 0, true, 0 },
	{ "dot at the end of a line", "a.\r\n.\r\n", 0, "a.\r\n", 0, true, 0 },
	{ "not ended", "hi\r\n", 0, "hi\r\n", 0, false, 0 },
	{ "no line end before the dot", "hi.\r\n", 0, "hi.\r\n", 0, false, 0 },
	/* the end_of_data cases of the smuggling scanners; X follows where a CR would join */
	{ "LF dot LF", "hi\n.\nX", 0, "hi\n.\nX", 0, false, LF },
	{ "LF dot CR", "hi\n.\rX", 0, "hi\n.\rX", 0, false, LF | CR },
	{ "CR dot CR", "hi\r.\rX", 0, "hi\r.\rX", 0, false, CR },
	{ "LF dot CRLF", "hi\n.\r\nX", 0, "hi\n.\r\nX", 0, false, LF },
	{ "CRLF dot LF", "hi\r\n.\nX", 0, "hi\r\n\nX", 0, false, LF },
	{ "CRLF dot CR", "hi\r\n.\rX", 0, "hi\r\n\rX", 0, false, CR },
	{ "CRLF dot NUL CRLF", "hi\r\n.\0\r\nX", 9, "hi\r\n\0\r\nX", 8, false, DATA_NUL },
	{ "CRLF dot CR CRLF", "hi\r\n.\r\r\nX", 0, "hi\r\n\r\r\nX", 0, false, CR },
	{ "CR CRLF dot CRLF", "hi\r\r\n.\r\n", 0, "hi\r\r\n", 0, true, CR },
	{ "LF CR dot LF CR", "hi\n\r.\n\rX", 0, "hi\n\r.\n\rX", 0, false, LF | CR },
	{ "CRLF dot blank CRLF", "hi\r\n. \r\nX", 0, "hi\r\n \r\nX", 0, false, 0 },
	{ "CRLF dot tab CRLF", "hi\r\n.\t\r\nX", 0, "hi\r\n\t\r\nX", 0, false, 0 },
	{ "vertical tab", "hi\r\n\v.\r\nX", 0, "hi\r\n\v.\r\nX", 0, false, 0 },
	{ "form feed", "hi\f.\fX", 0, "hi\f.\fX", 0, false, 0 },
	{ "line separator", "hi\xe2\x80\xa8.\xe2\x80\xa8X", 0, "hi\xe2\x80\xa8.\xe2\x80\xa8X", 0,
	  false, 0 },
	{ "UTF-16", "hi\0\r\0\n\0.\0\r\0\nX", 13, "hi\0\r\0\n\0.\0\r\0\nX", 13, false,
	  DATA_NUL | LF | CR },
	{ "full-width dot", "hi\r\n\xef\xbc\x8e\r\nX", 0, "hi\r\n\xef\xbc\x8e\r\nX", 0, false, 0 },
	{ "dot CR dot CRLF", ".\r.\r\nX", 0, "\r.\r\nX", 0, false, CR },
	{ "dot CR CR LF dot", ".\r\r\n.\r\n", 0, "\r\r\n", 0, true, CR },
	{ "CR at the end", "hi\r", 0, "hi\r", 0, false, 0 },
	{ "many LF", "\n\n\n\r\n.\r\n", 0, "\n\n\n\r\n", 0, true, LF },
	{ "NUL", "a\0b\r\n.\r\n", 8, "a\0b\r\n", 5, true, DATA_NUL },
};

static struct slice bytes(const char *s, size_t len)
{
	return slice_of(s, len ? len : strlen(s));
}

struct fed {
	struct smtp_data d;
	struct buf body;
	size_t left; /* bytes behind the end */
};

/* In pieces of their own memory, so that the sanitizer sees a step over a piece's end. */
static void feed(struct fed *f, struct slice wire, size_t cut)
{
	smtp_data_begin(&f->d);
	buf_init(&f->body, 1 << 20);
	f->left = 0;
	while (wire.len) {
		size_t n = MIN_OF(cut, wire.len);
		uint8_t *piece = mem_new(n);
		struct slice in = slice_of(piece, n);

		memcpy(piece, wire.at, n);
		while (in.len && !smtp_data_ended(&f->d))
			assert_int_equal(buf_add(&f->body, smtp_data_next(&f->d, &in)), RC_OK);
		wire = slice_from(wire, n);
		free(piece);
		if (smtp_data_ended(&f->d)) {
			f->left = in.len + wire.len;
			return;
		}
	}
}

static void data_is_found_at_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct slice wire = bytes(cases[i].wire, cases[i].wire_len);
		struct slice body = bytes(cases[i].body, cases[i].body_len);

		for (size_t cut = 1; cut <= wire.len; cut++) {
			struct fed f;

			feed(&f, wire, cut);
			EXPECT(cases[i].name, slice_equal(buf_slice(&f.body), body));
			EXPECT(cases[i].name, smtp_data_ended(&f.d) == cases[i].ended);
			EXPECT(cases[i].name, f.d.odd == cases[i].odd);
			EXPECT(cases[i].name, f.left == 0);
			buf_free(&f.body);
		}
	}
}

static void what_follows_the_end_is_left(void **state)
{
	struct slice wire = slice_str("a\r\n.\r\nMAIL FROM:<a@b>\r\n.\r\n");

	(void)state;
	for (size_t cut = 1; cut <= wire.len; cut++) {
		struct fed f;

		feed(&f, wire, cut);
		assert_true(smtp_data_ended(&f.d));
		assert_int_equal(f.left, strlen("MAIL FROM:<a@b>\r\n.\r\n"));
		buf_free(&f.body);
	}
}

/* One byte after the other, by the letter of RFC 5321 section 4.5.2: the model. */
static void model(struct slice wire, struct buf *body, bool *ended, unsigned *odd)
{
	size_t line = 0; /* position in the line */
	bool cr = false;
	size_t i = 0;

	*ended = false;
	*odd = 0;
	for (; i < wire.len; i++) {
		uint8_t c = wire.at[i];
		struct slice rest = slice_from(wire, i);

		if (line == 0 && c == '.') {
			if (rest.len >= 3 && rest.at[1] == '\r' && rest.at[2] == '\n') {
				*ended = true;
				return;
			}
			line++;
			continue; /* the dot goes; where the input ends here it is held back */
		}
		if (cr && c != '\n')
			*odd |= CR;
		if (c == '\n' && !cr)
			*odd |= LF;
		if (c == '\0')
			*odd |= DATA_NUL;
		assert_int_equal(buf_add_byte(body, c), RC_OK);
		line = c == '\n' && cr ? 0 : line + 1;
		cr = c == '\r';
	}
}

static void random_bytes_match_the_model(void **state)
{
	static const char alphabet[] = "\r\n.a\r\n.\0";
	unsigned seed = (unsigned)time(NULL);

	(void)state;
	print_message("seed %u\n", seed);
	for (unsigned round = 0; round < 20000; round++) {
		char wire[24];
		size_t n = 1 + seed / 65536 % 20;
		struct fed f;
		struct buf body;
		bool ended;
		unsigned odd;

		for (size_t i = 0; i < n; i++) {
			seed = seed * 1103515245 + 12345;
			wire[i] = alphabet[seed / 65536 % (sizeof(alphabet) - 1)];
		}
		/* an end that nothing is held back at */
		wire[n] = 'x';
		buf_init(&body, 1 << 20);
		model(slice_of(wire, n + 1), &body, &ended, &odd);
		feed(&f, slice_of(wire, n + 1), 1 + round % 7);
		assert_true(smtp_data_ended(&f.d) == ended);
		assert_true(slice_equal(buf_slice(&f.body), buf_slice(&body)));
		assert_int_equal(f.d.odd, odd);
		buf_free(&body);
		buf_free(&f.body);
	}
}

static const struct {
	const char *name;
	const char *body;
	size_t len;
	unsigned odd;
} chunks[] = {
	{ "lines", "a\r\n.\r\n..\r\nb", 0, 0 }, { "bare LF", "a\nb\r\n", 0, LF },
	{ "bare CR", "a\rb\r\n", 0, CR },       { "CR at the end", "ab\r", 0, CR },
	{ "CR CRLF", "ab\r\r\n", 0, CR },       { "LF first", "\nab", 0, LF },
	{ "NUL", "a\0b", 3, DATA_NUL },
};

static void chunks_are_judged_across_their_borders(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(chunks); i++) {
		struct slice body = bytes(chunks[i].body, chunks[i].len);

		for (size_t cut = 1; cut <= body.len; cut++) {
			struct smtp_data d;

			smtp_data_begin(&d);
			for (size_t at = 0; at < body.len; at += cut)
				smtp_data_chunk(&d, slice_part(body, at, cut));
			smtp_data_chunks_end(&d);
			EXPECT(chunks[i].name, d.odd == chunks[i].odd);
			EXPECT(chunks[i].name, (smtp_data_oddity(&d) != NULL) == (d.odd != 0));
		}
	}
}

/* What follows the end is the next command's, also when it is asked for once more. */
static void test_behind_the_end(void **state)
{
	struct smtp_data d;
	struct slice in = slice_str("hi\r\n.\r\nQUIT\r\n");
	struct slice none = slice_of(NULL, 0);

	(void)state;
	smtp_data_begin(&d);
	assert_int_equal(smtp_data_next(&d, &none).len, 0);
	while (!smtp_data_ended(&d))
		(void)smtp_data_next(&d, &in);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(smtp_data_next(&d, &in).len, 0);
		EXPECT_SLICE("left", in, "QUIT\r\n");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_is_found_at_every_cut),
		cmocka_unit_test(what_follows_the_end_is_left),
		cmocka_unit_test(random_bytes_match_the_model),
		cmocka_unit_test(chunks_are_judged_across_their_borders),
		cmocka_unit_test(test_behind_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
