#include "tests/unit/test.h"

#include "store/crypt.h"
#include "store/segment.h"

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
		cmocka_unit_test(test_block_header),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
