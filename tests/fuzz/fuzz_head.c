/*
 * tests/fuzz/fuzz_head.c - any bytes as a message whose header fields are shown
 *
 * Input    byte 0: how much of a field's text is asked for; then the message.
 * Oracle   Fields lie in the header one behind the other, each name in one line. A text is UTF-8 in
 * one line without double blanks, and says the same again. What is cut is no longer than asked for,
 * and begins as the whole does. The fields, written down one by one, are read as the same again.
 */
#include "base/limits.h"
#include "ingest/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_text(struct slice s)
{
	MUST(slice_is_utf8(s));
	for (size_t i = 0; i < s.len; i++) {
		MUST(s.at[i] >= ' ' && s.at[i] != 127);
		MUST(s.at[i] != ' ' || (i > 0 && i + 1 < s.len && s.at[i - 1] != ' '));
	}
}

/* Each byte may become three, and a cut begins three before its end. */
static void text_of(struct slice value, struct buf *out)
{
	buf_init(out, 3 * value.len + 16);
	MUST(head_text(value, 3 * value.len + 8, out) == RC_OK);
}

static void try_text(struct slice value, size_t most)
{
	struct buf whole, again, cut;
	struct slice begin;

	text_of(value, &whole);
	expect_text(buf_slice(&whole));
	text_of(buf_slice(&whole), &again);
	MUST(slice_equal(buf_slice(&whole), buf_slice(&again)));
	buf_init(&cut, most);
	MUST(head_text(value, most, &cut) == RC_OK);
	begin = buf_slice(&cut);
	if (!slice_equal(buf_slice(&whole), begin)) {
		MUST(begin.len >= 3 && memcmp(begin.at + begin.len - 3, "...", 3) == 0);
		begin.len -= 3;
		MUST(slice_equal(slice_part(buf_slice(&whole), 0, begin.len), begin));
	}
	buf_free(&whole);
	buf_free(&again);
	buf_free(&cut);
}

static void add(struct buf *b, struct slice s)
{
	MUST(buf_add(b, s) == RC_OK);
}

static void expect_again(struct slice fields, unsigned count, struct slice message)
{
	struct head first = head_of(message);
	struct head second = head_of(fields);
	struct head_field a, b;

	for (unsigned i = 0; i < count; i++) {
		MUST(head_next(&first, &a) && head_next(&second, &b));
		MUST(slice_equal(a.name, b.name));
		MUST(slice_equal(slice_trim(a.value), slice_trim(b.value)));
	}
	MUST(!head_next(&first, &a) && !head_next(&second, &b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice message = slice_of(data + 1, size ? size - 1 : 0);
	struct head h = head_of(message);
	const uint8_t *end = message.at;
	struct head_field f;
	struct buf fields;
	unsigned count = 0;

	if (size < 2)
		return 0;
	buf_init(&fields, 2 * size + 16);
	while (head_next(&h, &f)) {
		MUST(++count <= LIMIT_HEADERS && f.name.at >= end && f.value.at > f.name.at);
		MUST(slice_find_byte(f.name, '\n') == SIZE_MAX);
		MUST(slice_find_byte(f.name, ':') == SIZE_MAX);
		end = f.value.at + f.value.len;
		MUST(end <= message.at + MIN_OF(message.len, (size_t)LIMIT_HEADER_BLOCK));
		try_text(f.value, 8 + data[0] % 64);
		add(&fields, f.name);
		add(&fields, slice_str(":"));
		add(&fields, f.value);
		if (fields.at[fields.len - 1] != '\n')
			add(&fields, slice_str("\n"));
	}
	expect_again(buf_slice(&fields), count, message);
	buf_free(&fields);
	return 0;
}
