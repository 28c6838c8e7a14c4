#include "tests/unit/test.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "ingest/spool/reader.h"
#include "store/crypt.h"

/* Records made by hand: what the writer never writes, and what a reader must see of the keys. */

static const uint8_t secret[SPOOL_KEY] = { 7, 1 };
static const uint8_t epoch[SPOOL_EPOCH] = { 9, 9, 9 };

static void test_chain_goes_forward(void **state)
{
	uint8_t chain[SPOOL_KEY] = { 3 };
	uint8_t before[SPOOL_KEY];
	struct spool_keys k[3];

	(void)state;
	memcpy(before, chain, SPOOL_KEY);
	for (size_t i = 0; i < COUNT(k); i++) {
		spool_chain_keys(&k[i], chain);
		spool_chain_next(chain);
		assert_memory_not_equal(chain, before, SPOOL_KEY);
		memcpy(before, chain, SPOOL_KEY);
		assert_memory_not_equal(k[i].seal, k[i].mac, SPOOL_KEY);
		assert_memory_not_equal(k[i].seal, chain, SPOOL_KEY);
	}
	assert_memory_not_equal(k[0].seal, k[1].seal, SPOOL_KEY);
	assert_memory_not_equal(k[0].mac, k[1].mac, SPOOL_KEY);
	assert_memory_not_equal(k[1].seal, k[2].seal, SPOOL_KEY);
}

static void test_pieces_have_their_place(void **state)
{
	uint8_t sealed[3][4 + SPOOL_TAG] = { "same", "same", "same" };
	uint8_t out[4];
	struct slice bound = slice_str("header");

	(void)state;
	spool_seal_piece(sealed[0], 4, 0, false, bound, secret);
	spool_seal_piece(sealed[1], 4, 1, false, bound, secret);
	spool_seal_piece(sealed[2], 4, 0, true, bound, secret);
	assert_memory_not_equal(sealed[0], sealed[1], 4);
	assert_memory_not_equal(sealed[0], sealed[2], 4);
	assert_true(spool_open_piece(out, sealed[0], 4, 0, false, bound, secret));
	assert_memory_equal(out, "same", 4);
	assert_false(spool_open_piece(out, sealed[0], 4, 1, false, bound, secret));
	assert_false(spool_open_piece(out, sealed[0], 4, 0, true, bound, secret));
	assert_false(spool_open_piece(out, sealed[0], 4, 0, false, slice_str("Header"), secret));
}

static void test_headers_that_are_none(void **state)
{
	struct spool_header h = { .type = SPOOL_MESSAGE, .n = 5, .length = 100 };
	struct spool_header got;
	struct spool_keys keys;
	uint8_t raw[SPOOL_HEADER];
	uint8_t other[SPOOL_EPOCH] = { 9, 9, 8 };

	(void)state;
	memcpy(h.epoch, epoch, SPOOL_EPOCH);
	spool_chain_keys(&keys, secret);
	spool_header_put(raw, &h, &keys);
	assert_true(spool_header_peek(&got, raw, epoch));
	assert_int_equal(got.n, 5);
	assert_true(spool_header_check(raw, &keys));
	assert_false(spool_header_peek(&got, raw, other)); /* an earlier use of the file */
	for (size_t i = 0; i < SPOOL_HEADER; i++) {
		raw[i] ^= 1;
		assert_false(spool_header_check(raw, &keys));
		raw[i] ^= 1;
	}
	for (unsigned type = 0; type < 6; type++) {
		h.type = (enum spool_type)type;
		spool_header_put(raw, &h, &keys);
		assert_int_equal(spool_header_peek(&got, raw, epoch),
		                 type >= SPOOL_MESSAGE && type <= SPOOL_END);
	}
	h.type = SPOOL_MESSAGE;
	h.length = SPOOL_RECORD_MAX;
	spool_header_put(raw, &h, &keys);
	assert_true(spool_header_peek(&got, raw, epoch));
	h.length = SPOOL_RECORD_MAX + 1;
	spool_header_put(raw, &h, &keys);
	assert_false(spool_header_peek(&got, raw, epoch));
	h.length = SPOOL_TAG; /* no byte in it */
	spool_header_put(raw, &h, &keys);
	assert_false(spool_header_peek(&got, raw, epoch));
	assert_int_equal(spool_plain_bytes(SPOOL_PIECE + SPOOL_TAG + 3), 0); /* nor a whole tag */
	assert_int_equal(spool_plain_bytes(SPOOL_TAG + 1), 1);
}

/* A spool file with one record of ten raw bytes, whose trailer says what the caller wants. */
static struct file *make_file(const struct spool_trailer *t, uint8_t chain[SPOOL_KEY])
{
	static const char path[] = "/tmp/mm-test-record";
	struct spool_file_header fh = { .number = 3, .capacity = SPOOL_MIN_CAPACITY };
	struct spool_header h = { .type = SPOOL_MESSAGE,
		                  .length = spool_sealed_bytes(10 + SPOOL_TRAILER) };
	uint8_t head[SPOOL_FILE_HEADER];
	uint8_t record[1024] = { 0 };
	struct spool_keys keys;
	struct file *f;
	struct err e;

	(void)unlink(path);
	EXPECT_OK(file_open(&f, path, FILE_CREATE, &e), &e);
	(void)unlink(path);
	EXPECT_OK(file_fill_zero(f, SPOOL_MIN_CAPACITY, &e), &e);
	memcpy(fh.epoch, epoch, SPOOL_EPOCH);
	spool_public_key(fh.public_key, secret);
	spool_file_header_put(head, &fh, chain);
	EXPECT_OK(file_write_at(f, slice_of(head, sizeof(head)), 0, &e), &e);
	EXPECT_OK(file_write_at(f, slice_of(head, sizeof(head)),
	                        SPOOL_MIN_CAPACITY - SPOOL_GROUP_ALIGN, &e),
	          &e);
	memcpy(h.epoch, epoch, SPOOL_EPOCH);
	spool_chain_keys(&keys, chain);
	spool_header_put(record, &h, &keys);
	memcpy(record + SPOOL_HEADER, "0123456789", 10);
	spool_trailer_put(record + SPOOL_HEADER + 10, t);
	spool_seal_all(record + SPOOL_HEADER, 10 + SPOOL_TRAILER, slice_of(record, SPOOL_HEADER),
	               keys.seal);
	EXPECT_OK(file_write_at(f, slice_of(record, sizeof(record)), SPOOL_FIRST, &e), &e);
	return f;
}

static uint64_t lost_records;

static void on_lost(void *arg, uint64_t offset, uint64_t records, const char *text)
{
	(void)arg;
	(void)offset;
	(void)text;
	lost_records += records;
}

/* Reads the first record: RC_OK, or what the reader says. */
static enum rc read_first(const struct spool_trailer *t, struct spool_found *found,
                          struct buf *into)
{
	uint8_t chain[SPOOL_KEY] = { 5, 5 };
	struct file *f = make_file(t, chain);
	struct spool_reader *r;
	struct err e;
	enum rc rc;

	lost_records = 0;
	EXPECT_OK(spool_reader_open(&r, f, 3, secret, on_lost, NULL, &e), &e);
	rc = spool_reader_next(r, SPOOL_MIN_CAPACITY, SPOOL_MIN_CAPACITY, into, found, &e);
	spool_reader_free(&r);
	file_close(&f);
	return rc;
}

/* A writer that was broken into can seal what it wants, but not make mmd read beside the record. */
static void test_trailers_that_contradict(void **state)
{
	static const struct {
		uint32_t meta;
		uint64_t raw;
		bool good;
	} cases[] = {
		{ 4, 6, true },           { 0, 10, true },          { 10, 0, true },
		{ 4, 7, false },          { 4, 5, false },          { 11, 0, false },
		{ 4, UINT64_MAX, false }, { UINT32_MAX, 6, false }, { 0, 0, false },
	};
	struct spool_found found;
	struct buf into;

	(void)state;
	buf_init(&into, SPOOL_RECORD_MAX);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct spool_trailer t = { .meta_bytes = cases[i].meta, .raw_bytes = cases[i].raw };
		enum rc rc = read_first(&t, &found, &into);

		if ((rc == RC_OK) != cases[i].good)
			fail_msg("meta %u, raw %llu: %d", cases[i].meta,
			         (unsigned long long)cases[i].raw, (int)rc);
		if (!cases[i].good)
			assert_true(lost_records > 0);
		else
			assert_int_equal(found.raw.len + found.meta.len, 10);
	}
	buf_free(&into);
}

/* One that was renamed over another: its records would be archived again, or in its place. */
static void test_another_number(void **state)
{
	struct spool_trailer t = { .raw_bytes = 10 };
	uint8_t chain[SPOOL_KEY] = { 5, 5 };
	struct file *f = make_file(&t, chain);
	struct spool_reader *r;
	struct err e;

	(void)state;
	EXPECT_OK(spool_reader_open(&r, f, 3, secret, on_lost, NULL, &e), &e);
	spool_reader_free(&r);
	assert_int_not_equal(spool_reader_open(&r, f, 4, secret, on_lost, NULL, &e), RC_OK);
	file_close(&f);
}

/* The remains of the file's last use are no traces of this one, so a torn begin isn't damage. */
static void test_remains_of_an_earlier_use(void **state)
{
	struct spool_trailer t = { .raw_bytes = 10 };
	struct spool_file_header fh = { .number = 4, .capacity = SPOOL_MIN_CAPACITY };
	struct spool_header old = { .type = SPOOL_MESSAGE, .length = 100, .synced_before = 4096 };
	uint8_t chain[SPOOL_KEY] = { 5, 5 };
	struct file *f = make_file(&t, chain);
	uint8_t head[SPOOL_FILE_HEADER];
	uint8_t raw[SPOOL_HEADER];
	struct spool_keys keys;
	struct spool_reader *r;
	struct err e;

	(void)state;
	spool_chain_keys(&keys, chain);
	memcpy(old.epoch, epoch, SPOOL_EPOCH);
	spool_header_put(raw, &old, &keys);
	EXPECT_OK(file_write_at(f, slice_of(raw, sizeof(raw)), SPOOL_FIRST + 4096, &e), &e);
	fh.epoch[0] = 1;
	spool_public_key(fh.public_key, secret);
	spool_file_header_put(head, &fh, chain);
	head[SPOOL_FILE_HEADER / 2] ^= 1; /* torn: neither copy opens */
	EXPECT_OK(file_write_at(f, slice_of(head, sizeof(head)), 0, &e), &e);
	EXPECT_OK(file_write_at(f, slice_of(head, sizeof(head)),
	                        SPOOL_MIN_CAPACITY - SPOOL_GROUP_ALIGN, &e),
	          &e);
	assert_int_equal(spool_reader_open(&r, f, 4, secret, on_lost, NULL, &e), RC_NOTFOUND);
	/* The same with this use's epoch: something was synced behind the header, so it is damage.
	 */
	memcpy(old.epoch, fh.epoch, SPOOL_EPOCH);
	spool_header_put(raw, &old, &keys);
	EXPECT_OK(file_write_at(f, slice_of(raw, sizeof(raw)), SPOOL_FIRST + 4096, &e), &e);
	assert_int_equal(spool_reader_open(&r, f, 4, secret, on_lost, NULL, &e), RC_CORRUPT);
	file_close(&f);
}

static int start(void **state)
{
	(void)state;
	crypt_init();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chain_goes_forward),
		cmocka_unit_test(test_pieces_have_their_place),
		cmocka_unit_test(test_headers_that_are_none),
		cmocka_unit_test(test_trailers_that_contradict),
		cmocka_unit_test(test_another_number),
		cmocka_unit_test(test_remains_of_an_earlier_use),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
