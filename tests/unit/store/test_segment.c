#define ZSTD_STATIC_LINKING_ONLY /* for an allocator of our own */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>

#include "base/codec.h"
#include "store/crypt.h"
#include "store/segment.h"
#include "tests/unit/fault.h"

/* What stands in front of the sealed bytes: believed only with the archive's key, in its own file.
 */

static struct segment_keys keys;
static const struct segment_header head = {
	.archive = 3, .day = 20500, .serial = 17, .uuid = { 1, 2, 3 }, .created_ms = 1234567890123
};

static void test_segment_header(void **state)
{
	uint8_t raw[SEGMENT_HEADER];
	struct segment_header got;
	struct segment_keys other = keys;

	(void)state;
	segment_header_encode(raw, &head, &keys);
	assert_true(segment_header_decode(&got, raw, &keys));
	assert_int_equal(got.archive, 3);
	assert_int_equal(got.day, 20500);
	assert_int_equal(got.serial, 17);
	assert_int_equal(got.created_ms, head.created_ms);
	for (size_t i = 0; i < sizeof(raw); i++) {
		raw[i] ^= 0x10;
		assert_false(segment_header_decode(&got, raw, &keys));
		raw[i] ^= 0x10;
	}
	other.seal[0] ^= 1;
	assert_false(segment_header_decode(&got, raw, &other));
}

static void test_footer(void **state)
{
	const struct segment_footer f = { .directory = 4096,
		                          .directory_bytes = 200,
		                          .messages = 9,
		                          .raw_bytes = 1000,
		                          .blocks = 2,
		                          .min = { { 1 } },
		                          .max = { { 2 } } };
	struct segment_header other = head;
	struct segment_header h;
	struct segment_footer got;
	uint8_t raw[SEGMENT_FOOTER];
	uint8_t mixed[SEGMENT_FOOTER];

	(void)state;
	segment_footer_encode(raw, &f, &head, &keys);
	assert_true(segment_footer_decode(&got, &h, raw, &keys));
	assert_int_equal(got.directory, 4096);
	assert_int_equal(got.messages, 9);
	assert_int_equal(h.serial, 17);
	for (size_t i = 0; i < sizeof(raw); i++) {
		raw[i] ^= 4;
		assert_false(segment_footer_decode(&got, &h, raw, &keys));
		raw[i] ^= 4;
	}
	/* The fields of one segment before the header of another. */
	other.uuid[0] ^= 1;
	segment_footer_encode(mixed, &f, &other, &keys);
	memcpy(mixed + SEGMENT_FOOTER - SEGMENT_HEADER, raw + SEGMENT_FOOTER - SEGMENT_HEADER,
	       SEGMENT_HEADER);
	assert_false(segment_footer_decode(&got, &h, mixed, &keys));
}

/* One of a footer's two parts is damaged: told from a footer that isn't there, and from one of
 * which only a part reached the disk. */
static void test_broken_footer(void **state)
{
	enum { COPY = SEGMENT_FOOTER - SEGMENT_HEADER, SUM = 32 };
	static const struct {
		const char *name;
		size_t at; /* of what is overwritten */
		size_t n;
		uint8_t with;
		size_t more_at; /* and of one byte more, 0: none */
		bool broken;
	} cases[] = {
		{ "whole", 0, 0, 0, 0, false },
		{ "no magic", 0, 1, 0xff, 0, true },
		{ "a field", 9, 1, 0xff, 0, true },
		{ "the copy's magic", COPY, 1, 0xff, 0, true },
		{ "the copy", COPY + 9, 1, 0xff, 0, true },
		{ "both", 9, 1, 0xff, COPY + 9, false },
		{ "the end is not there", SEGMENT_FOOTER - SUM, SUM, 0, 0, false },
		{ "the beginning is not there", 0, SUM, 0, 0, false },
		{ "nothing is there", 0, SEGMENT_FOOTER, 0, 0, false },
	};
	const struct segment_footer f = { .directory = 4096, .messages = 9, .blocks = 2 };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t raw[SEGMENT_FOOTER];

		segment_footer_encode(raw, &f, &head, &keys);
		memset(raw + cases[i].at, cases[i].with, cases[i].n);
		if (cases[i].more_at)
			raw[cases[i].more_at] ^= 1;
		EXPECT(cases[i].name, segment_footer_broken(raw, &keys) == cases[i].broken);
	}
}

static void test_block_header(void **state)
{
	const struct block_header b = {
		.number = 4, .lot = 77, .plain = 500, .stored = 300, .messages = 2, .synced = 8192
	};
	struct segment_header other = head;
	struct block_header got;
	uint8_t raw[BLOCK_HEADER];

	(void)state;
	block_header_encode(raw, &b, &head, &keys);
	assert_true(block_header_decode(&got, raw, &head, &keys));
	assert_int_equal(got.lot, 77);
	assert_int_equal(got.synced, 8192);
	assert_memory_equal(got.uuid, head.uuid, 16);
	for (size_t i = 0; i < sizeof(raw); i++) {
		raw[i] ^= 1;
		assert_false(block_header_decode(&got, raw, &head, &keys));
		raw[i] ^= 1;
	}
	/* Moved into another segment, or another archive. */
	other.serial++;
	assert_false(block_header_decode(&got, raw, &other, &keys));
	other = head;
	other.archive++;
	assert_false(block_header_decode(&got, raw, &other, &keys));
}

/* A header whose sum holds and whose numbers can't be. */
static void test_block_header_limits(void **state)
{
	const uint32_t most = (uint32_t)(ZSTD_COMPRESSBOUND(BLOCK_PLAIN_MAX) + CRYPT_OVERHEAD);
	const struct {
		uint32_t plain, number, stored;
		bool fine;
	} cases[] = {
		{ BLOCK_PLAIN_MAX, BLOCKS_MAX - 1, most, true },
		{ 0, 0, CRYPT_OVERHEAD, true },
		{ BLOCK_PLAIN_MAX + 1, 0, 100, false },
		{ 10, BLOCKS_MAX, 100, false },
		{ 10, 0, CRYPT_OVERHEAD - 1, false },
		{ 10, 0, most + 1, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct block_header b = { .number = cases[i].number,
			                  .plain = cases[i].plain,
			                  .stored = cases[i].stored };
		struct block_header got;
		uint8_t raw[BLOCK_HEADER];

		block_header_encode(raw, &b, &head, &keys);
		assert_int_equal(block_header_decode(&got, raw, &head, &keys), cases[i].fine);
	}
}

static const uint8_t lot_key[KEY_BYTES] = { 4 };

struct sealed_block {
	struct block_header b;
	struct buf whole;
	ZSTD_CCtx *z;
	ZSTD_DCtx *d;
	uint8_t plain[4096];
};

static void block_begin(struct sealed_block *s, size_t limit)
{
	memset(s, 0, sizeof(*s));
	buf_init(&s->whole, limit);
	s->z = ZSTD_createCCtx();
	s->d = ZSTD_createDCtx();
}

static void block_end(struct sealed_block *s)
{
	buf_free(&s->whole);
	ZSTD_freeCCtx(s->z);
	ZSTD_freeDCtx(s->d);
}

static enum rc do_seal(struct sealed_block *s, size_t n)
{
	return block_seal(&s->whole, &s->b, slice_of(s->plain, n), &head, &keys, lot_key, s->z, 3);
}

static enum rc do_open(struct sealed_block *s)
{
	memset(s->plain, 0x77, sizeof(s->plain));
	return block_open(s->plain, &s->b, buf_slice(&s->whole), &head, lot_key, s->d);
}

static void test_block(void **state)
{
	static const size_t sizes[] = { 0, 1, 4096 };

	(void)state;
	for (size_t i = 0; i < COUNT(sizes); i++)
		for (int random = 0; random < 2; random++) {
			struct sealed_block s;
			uint8_t want[4096];

			block_begin(&s, 65536);
			if (random)
				crypt_random(s.plain, sizeof(s.plain));
			memcpy(want, s.plain, sizeof(want));
			EXPECT_OK(do_seal(&s, sizes[i]), &(struct err) { 0 });
			assert_int_equal(s.b.flags == BLOCK_STORED, random || sizes[i] < 4096);
			EXPECT_OK(do_open(&s), &(struct err) { 0 });
			assert_memory_equal(s.plain, want, sizes[i]);
			/* The header's size against what is inside, and more or less than it says.
			 */
			s.b.plain++;
			assert_int_equal(do_open(&s), RC_CORRUPT);
			s.b.plain--;
			s.b.stored++;
			assert_int_equal(do_open(&s), RC_CORRUPT);
			s.b.stored--;
			s.whole.at[BLOCK_HEADER + 30] ^= 1;
			assert_int_equal(do_open(&s), RC_CORRUPT);
			block_end(&s);
		}
}

static void test_block_without_memory(void **state)
{
	struct sealed_block s;

	(void)state;
	block_begin(&s, 65536);
	for (unsigned n = 1; n <= 2; n++) {
		fault_arm(FAULT_MEMORY, n, ENOMEM, false);
		assert_int_equal(do_seal(&s, 1000), RC_LIMIT);
		assert_true(fault_disarm());
		assert_int_equal(s.whole.len, 0);
	}
	EXPECT_OK(do_seal(&s, 1000), &(struct err) { 0 });
	fault_arm(FAULT_MEMORY, 1, ENOMEM, false);
	assert_int_equal(do_open(&s), RC_LIMIT);
	assert_true(fault_disarm());
	EXPECT_OK(do_open(&s), &(struct err) { 0 });
	block_end(&s);
	block_begin(&s, 500); /* the caller's buffer is too small */
	assert_int_equal(do_seal(&s, 1000), RC_LIMIT);
	block_end(&s);
}

static void *give(void *has, size_t n)
{
	return *(bool *)has ? malloc(n) : NULL;
}

static void take(void *has, void *p)
{
	(void)has;
	free(p);
}

/* What zstd can't compress for want of memory is kept as it is. */
static void test_block_uncompressed(void **state)
{
	bool has = true;
	struct sealed_block s;

	(void)state;
	block_begin(&s, 65536);
	ZSTD_freeCCtx(s.z);
	s.z = ZSTD_createCCtx_advanced((ZSTD_customMem) { give, take, &has });
	has = false;
	EXPECT_OK(do_seal(&s, sizeof(s.plain)), &(struct err) { 0 });
	assert_int_equal(s.b.flags, BLOCK_STORED);
	EXPECT_OK(do_open(&s), &(struct err) { 0 });
	assert_true(s.plain[0] == 0 && s.plain[4095] == 0);
	block_end(&s);
}

/* Every length that a buffer may end at: the entry is in it whole or not at all. */
static void test_entries(void **state)
{
	static const uint8_t flags[] = { ENTRY_FIRST | ENTRY_LAST, 0 };
	struct block_entry entry = { .id = { { 5 } },
		                     .total = 100,
		                     .from = 10,
		                     .sha256 = { 6 },
		                     .meta = slice_str("{}"),
		                     .part = slice_str("abc") };

	(void)state;
	for (size_t i = 0; i < COUNT(flags); i++) {
		struct block_entry got;
		struct buf plain;
		size_t whole;
		size_t at = 0;

		entry.flags = flags[i];
		buf_init(&plain, 4096);
		EXPECT_OK(block_entry_add(&plain, &entry), &(struct err) { 0 });
		whole = plain.len;
		assert_int_equal(block_entry_read(&got, buf_slice(&plain), &at), RC_OK);
		assert_int_equal(at, whole);
		assert_int_equal(got.total, 100);
		assert_int_equal(got.from, 10);
		assert_memory_equal(got.id.b, entry.id.b, ID_BYTES);
		EXPECT_SLICE("part", got.part, "abc");
		assert_int_equal(got.sha256[0], flags[i] ? 6 : 0);
		assert_int_equal(got.meta.len, flags[i] ? 2 : 0);
		assert_int_equal(block_entry_read(&got, buf_slice(&plain), &at), RC_NOTFOUND);
		for (size_t n = 1; n < whole; n++) {
			struct buf small;

			at = 0;
			assert_int_equal(block_entry_read(&got, slice_of(plain.at, n), &at),
			                 RC_CORRUPT);
			assert_int_equal(at, 0);
			buf_init(&small, n + 5);
			EXPECT_OK(buf_add_str(&small, "12345"), &(struct err) { 0 });
			assert_int_equal(block_entry_add(&small, &entry), RC_LIMIT);
			EXPECT_SLICE("what was there", buf_slice(&small), "12345");
			buf_free(&small);
		}
		buf_free(&plain);
	}
}

/* A piece that lies outside its message. */
static void test_entry_bounds(void **state)
{
	static const struct {
		uint64_t total, from;
		enum rc rc;
	} cases[] = {
		{ 3, 0, RC_OK },        { 10, 7, RC_OK },     { 10, 8, RC_CORRUPT },
		{ 10, 11, RC_CORRUPT }, { 2, 0, RC_CORRUPT },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct block_entry entry = { .total = cases[i].total,
			                     .from = cases[i].from,
			                     .part = slice_str("abc") };
		struct block_entry got;
		struct buf plain;
		size_t at = 0;

		buf_init(&plain, 4096);
		EXPECT_OK(block_entry_add(&plain, &entry), &(struct err) { 0 });
		assert_int_equal(block_entry_read(&got, buf_slice(&plain), &at), cases[i].rc);
		buf_free(&plain);
	}
}

/* A directory under its key whose counts and length differ. */
static void test_directory(void **state)
{
	const struct block_place blocks[2] = { { .offset = 128, .lot = 7 }, { .offset = 999 } };
	const struct entry_place entries[1] = { { .id = { { 3 } }, .block = 1, .at = 44 } };
	struct block_place *b;
	struct entry_place *p;
	uint32_t nb;
	uint32_t ne;
	struct buf out;

	(void)state;
	buf_init(&out, 100);
	assert_int_equal(directory_seal(&out, blocks, 2, entries, 1, &head, &keys), RC_LIMIT);
	assert_int_equal(out.len, 0);
	buf_free(&out);
	buf_init(&out, 1000);
	EXPECT_OK(directory_seal(&out, blocks, 2, entries, 1, &head, &keys), &(struct err) { 0 });
	EXPECT_OK(directory_open(buf_slice(&out), &b, &nb, &p, &ne, &head, &keys),
	          &(struct err) { 0 });
	assert_int_equal(nb, 2);
	assert_int_equal(ne, 1);
	assert_int_equal(b[1].offset, 999);
	assert_int_equal(p[0].at, 44);
	free(b);
	free(p);
	for (size_t n = 0; n < out.len; n++)
		assert_int_equal(
		        directory_open(slice_of(out.at, n), &b, &nb, &p, &ne, &head, &keys),
		        RC_CORRUPT);
	for (uint32_t n = 0; n < 3; n++) { /* 0 to 2 blocks promised where one is, and no counts */
		uint8_t plain[8 + 32] = { 0 };
		uint8_t bound[32] = { 0 };
		uint8_t sealed[sizeof(plain) + CRYPT_OVERHEAD];
		struct slice text = slice_of(plain, n == 2 ? 5 : sizeof(plain));

		put_le32(plain, n * 2);
		put_le32(bound, head.archive);
		put_le64(bound + 4, head.serial);
		memcpy(bound + 12, head.uuid, sizeof(head.uuid));
		crypt_seal(sealed, text, slice_of(bound, sizeof(bound)), keys.directory);
		assert_int_equal(directory_open(slice_of(sealed, text.len + CRYPT_OVERHEAD), &b,
		                                &nb, &p, &ne, &head, &keys),
		                 RC_CORRUPT);
	}
	buf_free(&out);
}

static int start(void **state)
{
	static const uint8_t archive_key[KEY_BYTES] = { 8, 8 };

	(void)state;
	crypt_init();
	segment_keys_derive(&keys, archive_key);
	return memcmp(keys.seal, keys.directory, KEY_BYTES) == 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_segment_header),
		cmocka_unit_test(test_footer),
		cmocka_unit_test(test_broken_footer),
		cmocka_unit_test(test_block_header),
		cmocka_unit_test(test_block_header_limits),
		cmocka_unit_test(test_block),
		cmocka_unit_test(test_block_without_memory),
		cmocka_unit_test(test_block_uncompressed),
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_entry_bounds),
		cmocka_unit_test(test_directory),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
