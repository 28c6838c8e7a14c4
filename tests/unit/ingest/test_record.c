#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "ingest/spool/reader.h"
#include "store/crypt.h"
#include "tests/unit/fault.h"

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

/* ---- reading, with everything that can lie in a file ---- */

/* An empty file of this number, key and epoch, whose records are under `chain`. */
static struct file *empty_file(const uint8_t chain[SPOOL_KEY])
{
	struct spool_trailer t = { .raw_bytes = 10 };
	uint8_t k0[SPOOL_KEY];
	uint8_t zeros[1024] = { 0 };
	struct file *f;
	struct err e;

	memcpy(k0, chain, SPOOL_KEY);
	f = make_file(&t, k0);
	EXPECT_OK(file_write_at(f, slice_of(zeros, sizeof(zeros)), SPOOL_FIRST, &e), &e);
	return f;
}

/* Record n with `plain` bytes in it, at `at`; returns its end. */
static uint64_t put_record(struct file *f, uint64_t at, uint64_t n, enum spool_type type,
                           size_t plain, uint64_t synced_before)
{
	struct spool_header h = { .type = type,
		                  .n = n,
		                  .length = spool_sealed_bytes(plain),
		                  .synced_before = synced_before };
	size_t bytes = (size_t)spool_record_bytes(h.length);
	uint8_t *record = mem_new(bytes);
	uint8_t chain[SPOOL_KEY] = { 5, 5 };
	struct spool_keys keys;
	struct err e;

	for (uint64_t i = 0; i < n; i++)
		spool_chain_next(chain);
	memcpy(h.epoch, epoch, SPOOL_EPOCH);
	spool_chain_keys(&keys, chain);
	spool_header_put(record, &h, &keys);
	if (type != SPOOL_END && plain >= SPOOL_TRAILER) {
		struct spool_trailer t = { .raw_bytes = type == SPOOL_MESSAGE
			                                        ? plain - SPOOL_TRAILER
			                                        : 0 };

		spool_trailer_put(record + SPOOL_HEADER + plain - SPOOL_TRAILER, &t);
	}
	spool_seal_all(record + SPOOL_HEADER, plain, slice_of(record, SPOOL_HEADER), keys.seal);
	EXPECT_OK(file_write_at(f, slice_of(record, bytes), at, &e), &e);
	free(record);
	return at + bytes;
}

struct reading {
	struct file *f;
	struct spool_reader *r;
	struct spool_found found;
	struct buf into;
	struct err e;
};

static void reading_begin(struct reading *g, struct file *f)
{
	memset(g, 0, sizeof(*g));
	g->f = f;
	lost_records = 0;
	buf_init(&g->into, SPOOL_RECORD_MAX);
	EXPECT_OK(spool_reader_open(&g->r, f, 3, secret, on_lost, NULL, &g->e), &g->e);
}

static enum rc read_next(struct reading *g, uint64_t limit, uint64_t synced)
{
	return spool_reader_next(g->r, limit, synced, &g->into, &g->found, &g->e);
}

static void reading_end(struct reading *g)
{
	spool_reader_free(&g->r);
	file_close(&g->f);
	buf_free(&g->into);
}

static const uint8_t first_chain[SPOOL_KEY] = { 5, 5 };

static void test_places_that_cannot_be(void **state)
{
	static const struct {
		uint64_t offset, records;
		bool fine;
	} cases[] = {
		{ 0, 0, true },
		{ SPOOL_FIRST, 0, true },
		{ SPOOL_FIRST + 1280, 10, true },
		{ SPOOL_MIN_CAPACITY, 0, true },
		{ 0, 1, false },
		{ SPOOL_FIRST - 64, 1, false },
		{ SPOOL_FIRST + 1280, 11, false },
		{ SPOOL_FIRST + 1, 0, false },
		{ SPOOL_MIN_CAPACITY + 64, 0, false },
	};
	struct reading g;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		enum rc rc;

		reading_begin(&g, empty_file(first_chain));
		rc = spool_reader_seek(g.r, cases[i].offset, cases[i].records, &g.e);
		assert_int_equal(rc, cases[i].fine ? RC_OK : RC_CORRUPT);
		reading_end(&g);
	}
}

/* Cut off in the header, and where the second one would be: it was never begun. */
static void test_short_files(void **state)
{
	static const uint64_t sizes[] = { 0, 100, SPOOL_FILE_HEADER - 1 };
	struct spool_reader *r;
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct file *f = empty_file(first_chain);

		EXPECT_OK(file_truncate(f, sizes[i], &e), &e);
		assert_int_equal(spool_reader_open(&r, f, 3, secret, on_lost, NULL, &e),
		                 RC_NOTFOUND);
		assert_null(r);
		file_close(&f);
	}
}

/* Bodies that no writer makes, in records that are authentic: told as lost, and never dissected. */
static void test_small_bodies(void **state)
{
	static const struct {
		enum spool_type type;
		size_t plain;
		bool fine;
	} cases[] = {
		{ SPOOL_MESSAGE, SPOOL_TRAILER, true },
		{ SPOOL_MESSAGE, SPOOL_TRAILER - 1, false },
		{ SPOOL_BIG, SPOOL_TRAILER + SPOOL_BIG_REF, true },
		{ SPOOL_BIG, SPOOL_TRAILER + SPOOL_BIG_REF - 1, false },
		{ SPOOL_END, SPOOL_END_BODY + 1, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct reading g;
		struct file *f = empty_file(first_chain);
		uint64_t end = put_record(f, SPOOL_FIRST, 0, cases[i].type, cases[i].plain, 0);

		reading_begin(&g, f);
		assert_int_equal(read_next(&g, SPOOL_MIN_CAPACITY, end),
		                 cases[i].fine ? RC_OK : RC_AGAIN);
		assert_int_equal(lost_records, !cases[i].fine);
		reading_end(&g);
	}
}

/* Authentic headers at places where they can't be, or a second time. */
static void test_headers_out_of_place(void **state)
{
	struct reading g;
	struct file *f = empty_file(first_chain);
	uint64_t end;

	(void)state;
	/* More records before it than fit: 3 of the least size need 384 bytes. */
	(void)put_record(f, SPOOL_FIRST + 320, 3, SPOOL_MESSAGE, 100, 0);
	reading_begin(&g, f);
	assert_int_equal(read_next(&g, SPOOL_MIN_CAPACITY, 0), RC_AGAIN);
	reading_end(&g);
	/* Record 0 once more behind itself, then record 1. */
	f = empty_file(first_chain);
	end = put_record(f, SPOOL_FIRST, 0, SPOOL_MESSAGE, 100, 0);
	end = put_record(f, end, 0, SPOOL_MESSAGE, 100, 0);
	end = put_record(f, end, 1, SPOOL_MESSAGE, 90, 0);
	reading_begin(&g, f);
	assert_int_equal(read_next(&g, end, 0), RC_OK);
	assert_int_equal(read_next(&g, end, 0), RC_OK);
	assert_int_equal(g.found.raw.len, 90 - SPOOL_TRAILER);
	assert_int_equal(g.found.records, 2);
	assert_int_equal(lost_records, 0);
	reading_end(&g);
	/* One that goes beyond what may be read. */
	f = empty_file(first_chain);
	end = put_record(f, SPOOL_FIRST, 0, SPOOL_MESSAGE, 1000, 0);
	reading_begin(&g, f);
	assert_int_equal(read_next(&g, end - 64, 0), RC_AGAIN);
	assert_int_equal(read_next(&g, end, 0), RC_OK);
	reading_end(&g);
}

/* What was told as lost when the file seemed to end is not told again by the record behind it. */
static void test_lost_is_told_once(void **state)
{
	struct reading g;
	struct file *f = empty_file(first_chain);
	uint64_t gap = SPOOL_FIRST + 4096;
	uint64_t end = put_record(f, gap, 1, SPOOL_MESSAGE, 100, gap);

	(void)state;
	reading_begin(&g, f);
	assert_int_equal(read_next(&g, gap, gap), RC_AGAIN);
	assert_int_equal(lost_records, 1);
	assert_int_equal(read_next(&g, end, end), RC_OK);
	assert_int_equal(g.found.records, 2);
	assert_int_equal(lost_records, 1);
	reading_end(&g);
}

/* A record that was taken back after the reader had looked beyond it. */
static void test_undo(void **state)
{
	struct reading g;
	struct file *f = empty_file(first_chain);
	uint64_t end = put_record(f, SPOOL_FIRST, 0, SPOOL_MESSAGE, 100, 0);

	(void)state;
	reading_begin(&g, f);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(read_next(&g, end, 0), RC_OK);
		assert_int_equal(g.found.begin, SPOOL_FIRST);
		assert_int_equal(read_next(&g, SPOOL_MIN_CAPACITY, 0), RC_AGAIN);
		spool_reader_undo(g.r);
	}
	reading_end(&g);
}

/* A file that became shorter, in a header and in a body: what was known to be there is told as
 * lost. */
static void test_cut_off(void **state)
{
	static const uint64_t left[] = { 0, 30, SPOOL_HEADER + 20 };

	(void)state;
	for (size_t i = 0; i < COUNT(left); i++) {
		struct reading g;
		struct file *f = empty_file(first_chain);
		uint64_t end = put_record(f, SPOOL_FIRST, 0, SPOOL_MESSAGE, 3000, 0);
		struct err e;

		reading_begin(&g, f);
		EXPECT_OK(file_truncate(f, SPOOL_FIRST + left[i], &e), &e);
		assert_int_equal(read_next(&g, end, end), RC_AGAIN);
		assert_int_equal(lost_records, 1);
		reading_end(&g);
	}
}

/* An error of the disk, or no memory, is none of the file's: the same call works afterwards. */
static void test_reads_fail(void **state)
{
	struct file *f = empty_file(first_chain);
	uint64_t end = put_record(f, SPOOL_FIRST, 0, SPOOL_MESSAGE, 3000, 0);
	struct reading g;
	bool hit = true;
	unsigned n;

	(void)state;
	for (n = 1; hit; n++) {
		struct spool_reader *r;
		struct err e;
		enum rc rc;

		fault_arm(FAULT_READ | FAULT_STAT, n, EIO, false);
		rc = spool_reader_open(&r, f, 3, secret, on_lost, NULL, &e);
		hit = fault_disarm();
		assert_int_equal(rc, hit ? RC_IO : RC_OK);
		assert_int_equal(r == NULL, hit);
		spool_reader_free(&r);
	}
	assert_int_equal(n, 3 + 2);
	reading_begin(&g, f);
	fault_arm(FAULT_READ, 1, EIO, false); /* of the header */
	assert_int_equal(read_next(&g, end, end), RC_IO);
	assert_true(fault_disarm());
	assert_int_equal(read_next(&g, SPOOL_FIRST + 64, 0), RC_AGAIN);
	fault_arm(FAULT_READ, 1, EIO, false); /* of the body */
	assert_int_equal(read_next(&g, end, end), RC_IO);
	assert_true(fault_disarm());
	fault_arm(FAULT_MEMORY, 1, ENOMEM, false);
	assert_int_equal(read_next(&g, end, end), RC_LIMIT);
	assert_true(fault_disarm());
	assert_int_equal(read_next(&g, end, end), RC_OK);
	assert_int_equal(lost_records, 0);
	reading_end(&g);
}

/* Neither header opens: where traces are looked for, an error is no answer. */
static void test_traces_fail(void **state)
{
	struct file *f = empty_file(first_chain);
	uint64_t at = SPOOL_FIRST + 2 * SPOOL_PIECE;
	bool hit = true;
	unsigned n;
	struct err e;

	(void)state;
	(void)put_record(f, at, 0, SPOOL_MESSAGE, 100, 0); /* says nothing of a sync */
	for (uint64_t i = 0; i < 2; i++)
		EXPECT_OK(file_write_at(f, slice_str("x"),
		                        100 + i * (SPOOL_MIN_CAPACITY - SPOOL_GROUP_ALIGN), &e),
		          &e);
	for (int traces = 0; traces < 2; traces++) {
		for (n = 1, hit = true; hit; n++) {
			struct spool_reader *r;
			enum rc rc;

			fault_arm(FAULT_READ, n, EIO, false);
			rc = spool_reader_open(&r, f, 3, secret, on_lost, NULL, &e);
			hit = fault_disarm();
			assert_int_equal(rc, hit ? RC_IO : traces ? RC_CORRUPT : RC_NOTFOUND);
		}
		assert_true(n > 4);
		(void)put_record(f, at, 0, SPOOL_MESSAGE, 100, 4096);
	}
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
		cmocka_unit_test(test_places_that_cannot_be),
		cmocka_unit_test(test_short_files),
		cmocka_unit_test(test_small_bodies),
		cmocka_unit_test(test_headers_out_of_place),
		cmocka_unit_test(test_lost_is_told_once),
		cmocka_unit_test(test_undo),
		cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_reads_fail),
		cmocka_unit_test(test_traces_fail),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
