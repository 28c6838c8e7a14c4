#include "ingest/verdict/canon.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/codec.h"
#include "tests/unit/test.h"

static void take(void *arg, struct slice part)
{
	assert_int_equal(buf_add(arg, part), RC_OK);
}

/* All fields of a message, one behind the other. */
static void header_of(struct buf *out, enum canon how, const char *message)
{
	struct raw_message m;

	buf_init(out, 4096);
	assert_int_equal(raw_read(&m, slice_str(message), NULL), RC_OK);
	for (size_t i = 0; i < m.count; i++)
		canon_field(how, &m.fields[i], take, out);
	raw_free(&m);
}

static void body_of(struct buf *out, enum canon how, struct slice body, unsigned seed)
{
	struct canon_body b;

	buf_init(out, 1 << 20);
	canon_body_begin(&b, how, take, out);
	while (body.len) { /* cut anywhere */
		struct slice part =
		        slice_part(body, 0, seed ? 1 + (unsigned)rand_r(&seed) % 7 : body.len);

		canon_body_add(&b, part);
		body = slice_from(body, part.len);
	}
	canon_body_end(&b);
}

/* RFC 6376 section 3.4.5, examples 1 and 2, and what the text says of other cases. */
static const char *const headers[][3] = {
	/* as it came, relaxed, simple */
	{ "A: X\r\nB : Y\t\r\n\tZ  \r\n", "a:X\r\nb:Y Z\r\n", "A: X\r\nB : Y\t\r\n\tZ  \r\n" },
	{ "SUBJect:\tAbC\r\n", "subject:AbC\r\n", "SUBJect:\tAbC\r\n" },
	{ "A:\r\n", "a:\r\n", "A:\r\n" },
	{ "A: \t \r\n", "a:\r\n", "A: \t \r\n" },
	{ "A:\r\n b\r\n\t \r\n c\r\n", "a:b c\r\n", "A:\r\n b\r\n\t \r\n c\r\n" },
	{ "A: x\ry\r\n", "a:x\ry\r\n", "A: x\ry\r\n" },
	{ "A: x", "a:x\r\n", "A: x\r\n" },
	{ "A: x\n y\n", "a:x\n y\r\n", "A: x\n y\n" },
};

static void fields(void **state)
{
	struct buf b;

	(void)state;
	for (size_t i = 0; i < COUNT(headers); i++) {
		header_of(&b, CANON_RELAXED, headers[i][0]);
		EXPECT_SLICE("relaxed", buf_slice(&b), headers[i][1]);
		buf_free(&b);
		header_of(&b, CANON_SIMPLE, headers[i][0]);
		EXPECT_SLICE("simple", buf_slice(&b), headers[i][2]);
		buf_free(&b);
	}
}

static const char *const signatures[][4] = {
	/* field, what is cut out, relaxed, simple */
	{ "S: a=1; b=x y;c=2\r\n", "x y", "s:a=1; b=;c=2", "S: a=1; b=;c=2" },
	{ "S: a=1; b= x\r\n\ty \r\n", " x\r\n\ty \r\n", "s:a=1; b=", "S: a=1; b=" },
	{ "S: b=x; \r\n", "x", "s:b=;", "S: b=; " },
	{ "S:\r\n b=x\r\n ; c=1\r\n", "x\r\n ", "s:b=; c=1", "S:\r\n b=; c=1" },
};

static void fields_with_a_gap(void **state)
{
	struct raw_message m;
	struct buf b;

	(void)state;
	for (size_t i = 0; i < COUNT(signatures); i++) {
		const char *gap = strstr(signatures[i][0], signatures[i][1]);

		assert_int_equal(raw_read(&m, slice_str(signatures[i][0]), NULL), RC_OK);
		for (unsigned how = 0; how < 2; how++) {
			buf_init(&b, 4096);
			canon_signature_field((enum canon)how, &m.fields[0],
			                      slice_of(gap, strlen(signatures[i][1])), take, &b);
			EXPECT_SLICE("gap", buf_slice(&b),
			             signatures[i][how == CANON_RELAXED ? 2 : 3]);
			buf_free(&b);
		}
		raw_free(&m);
	}
}

static const char *const bodies[][3] = {
	/* as it came, relaxed, simple */
	{ " C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n", " C \r\nD \t E\r\n" },
	{ "", "", "\r\n" },
	{ "\r\n", "", "\r\n" },
	{ "\r\n\r\n\r\n", "", "\r\n" },
	{ " \t\r\n \r\n", "", " \t\r\n \r\n" },
	{ "a", "a\r\n", "a\r\n" },
	{ "a \t", "a\r\n", "a \t\r\n" },
	{ "\r\n\r\na\r\n", "\r\n\r\na\r\n", "\r\n\r\na\r\n" },
	{ "a\r\n\r\nb", "a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n" },
	{ "a\nb\r\n", "a\nb\r\n", "a\nb\r\n" },
	{ "a\r\r\n", "a\r\r\n", "a\r\r\n" },
	{ "a\r", "a\r\r\n", "a\r\r\n" },
	{ "a \r b\r\n", "a \r b\r\n", "a \r b\r\n" },
	{ "a\r\n \r\n \r\nb", "a\r\n\r\n\r\nb\r\n", "a\r\n \r\n \r\nb\r\n" },
};

static void whole_bodies(void **state)
{
	struct buf b;

	(void)state;
	for (size_t i = 0; i < COUNT(bodies); i++) {
		for (unsigned seed = 0; seed < 20; seed++) {
			body_of(&b, CANON_RELAXED, slice_str(bodies[i][0]), seed);
			EXPECT_SLICE("relaxed", buf_slice(&b), bodies[i][1]);
			buf_free(&b);
			body_of(&b, CANON_SIMPLE, slice_str(bodies[i][0]), seed);
			EXPECT_SLICE("simple", buf_slice(&b), bodies[i][2]);
			buf_free(&b);
		}
	}
}

/* Section 3.4, word by word, on lines in memory. */
static void by_the_book(struct buf *out, enum canon how, struct slice body)
{
	size_t keep = 0;

	buf_init(out, 1 << 20);
	while (body.len) {
		size_t end = slice_find(body, slice_str("\r\n"));
		struct slice line = slice_part(body, 0, end);

		body = slice_from(body, end == SIZE_MAX ? body.len : end + 2);
		if (how == CANON_RELAXED)
			while (line.len &&
			       (line.at[line.len - 1] == ' ' || line.at[line.len - 1] == '\t'))
				line.len--;
		for (size_t i = 0; i < line.len; i++) {
			bool blank = line.at[i] == ' ' || line.at[i] == '\t';

			if (how == CANON_SIMPLE || !blank)
				take(out, slice_part(line, i, 1));
			else if (i == 0 || (line.at[i - 1] != ' ' && line.at[i - 1] != '\t'))
				take(out, slice_str(" "));
		}
		take(out, slice_str("\r\n"));
		if (line.len)
			keep = out->len;
	}
	out->len = keep;
	if (how == CANON_SIMPLE && keep == 0)
		take(out, slice_str("\r\n"));
}

static void check_hashes(struct slice body, enum canon how, struct slice canonical, unsigned *seed)
{
	struct body_hash wanted[BODY_HASHES];
	uint8_t hash[32];

	for (size_t i = 0; i < BODY_HASHES; i++)
		wanted[i] = (struct body_hash) { .how = how,
			                         .limited = i > 0,
			                         .limit = (unsigned)rand_r(seed) %
			                                  (canonical.len + 3) };
	body_hashes(body, wanted, BODY_HASHES);
	for (size_t i = 0; i < BODY_HASHES; i++) {
		struct slice part =
		        slice_part(canonical, 0, wanted[i].limited ? wanted[i].limit : SIZE_MAX);

		assert_int_equal(EVP_Digest(part.at, part.len, hash, NULL, EVP_sha256(), NULL), 1);
		assert_memory_equal(hash, wanted[i].sha256, 32);
		assert_true(wanted[i].total == canonical.len);
	}
}

static void random_bodies(void **state)
{
	unsigned seed = (unsigned)clock_now_ms();
	struct buf body, book, ours;

	(void)state;
	printf("seed %u\n", seed);
	for (unsigned round = 0; round < 3000; round++) {
		size_t n = round % 100 ? (unsigned)rand_r(&seed) % 40 : 40000;

		buf_init(&body, 1 << 20);
		for (size_t i = 0; i < n; i++)
			take(&body,
			     slice_of(&"\r\r\n\n  \t\tab\r\n\r\n"[(unsigned)rand_r(&seed) % 14],
			              1 + i % 2));
		for (unsigned how = 0; how < 2; how++) {
			by_the_book(&book, (enum canon)how, buf_slice(&body));
			body_of(&ours, (enum canon)how, buf_slice(&body), seed | 1);
			assert_int_equal(ours.len, book.len);
			assert_true(slice_equal(buf_slice(&ours), buf_slice(&book)));
			check_hashes(buf_slice(&body), (enum canon)how, buf_slice(&book), &seed);
			buf_free(&book);
			buf_free(&ours);
		}
		buf_free(&body);
	}
}

/* Sections 3.4.3 and 3.4.4 give the hashes of empty bodies. */
static void empty_bodies(void **state)
{
	static const char *const want[] = { "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=",
		                            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" };
	struct body_hash wanted[2] = { { .how = CANON_SIMPLE }, { .how = CANON_RELAXED } };
	struct buf text;

	(void)state;
	body_hashes(slice_of(NULL, 0), wanted, 2);
	for (size_t i = 0; i < 2; i++) {
		buf_init(&text, 100);
		assert_int_equal(base64_encode(&text, slice_of(wanted[i].sha256, 32)), RC_OK);
		EXPECT_SLICE("empty", buf_slice(&text), want[i]);
		buf_free(&text);
	}
	assert_true(wanted[0].total == 2 && wanted[1].total == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields),       cmocka_unit_test(fields_with_a_gap),
		cmocka_unit_test(whole_bodies), cmocka_unit_test(random_bodies),
		cmocka_unit_test(empty_bodies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
