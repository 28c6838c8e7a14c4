#include "tests/unit/test.h"

#include <errno.h>

#include "base/codec.h"
#include "store/vfs.h"
#include "tests/unit/fault.h"
#include "tests/unit/store/scratch.h"

/* Write-ahead logs that are made here, frame by frame, and what wal_scan says of them. */

static struct page_key key;
static struct page_key other_key;

struct wal {
	struct scratch s;
	struct file *file;
	bool big; /* the byte order of its checksums */
	uint8_t salts[8];
	uint8_t header[WAL_HEADER];
	uint32_t sum[2];
	uint64_t frames;
	struct err e;
};

static void put_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static uint32_t word(const struct wal *w, const uint8_t *p)
{
	uint32_t big = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];

	return w->big ? big : get_le32(p);
}

/* As sqlite.org/fileformat2.html section 4.2 tells it. */
static void add_sum(struct wal *w, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i += 8) {
		w->sum[0] += word(w, p + i) + w->sum[1];
		w->sum[1] += word(w, p + i + 4) + w->sum[0];
	}
}

static void put(struct wal *w, const uint8_t *bytes, size_t n, uint64_t at)
{
	EXPECT_OK(file_write_at(w->file, slice_of(bytes, n), at, &w->e), &w->e);
}

static void begin(struct wal *w, bool big)
{
	uint8_t disk[WAL_HEADER_DISK];
	char *path;

	memset(w, 0, sizeof(*w));
	scratch_make(&w->s);
	path = scratch_path(&w->s, "wal");
	EXPECT_OK(file_open(&w->file, path, FILE_CREATE, &w->e), &w->e);
	free(path);
	w->big = big;
	memcpy(w->salts, "saltsalt", 8);
	put_be32(w->header, big ? 0x377f0683 : 0x377f0682);
	put_be32(w->header + 4, 3007000);
	put_be32(w->header + 8, PAGE_BYTES);
	memcpy(w->header + 16, w->salts, 8);
	add_sum(w, w->header, 24);
	put_be32(w->header + 24, w->sum[0]);
	put_be32(w->header + 28, w->sum[1]);
	header_seal(disk, w->header, WAL_HEADER, BOX_WAL_HEADER, 0, &key);
	put(w, disk, sizeof(disk), 0);
}

static void end(struct wal *w)
{
	file_close(&w->file);
	scratch_remove(&w->s);
}

/* Appends a frame of page `number`; `commit` ends a transaction; `wrong` is added to its second
 * sum. */
static void add_page_with(struct wal *w, uint32_t number, bool commit, uint32_t wrong,
                          const uint8_t salts[8])
{
	uint8_t head[WAL_FRAME_HEADER] = { 0 };
	uint8_t page[PAGE_BYTES] = { 0 };
	uint8_t disk[WAL_FRAME_DISK];

	put_be32(head, number);
	put_be32(head + 4, commit ? 9 : 0);
	memcpy(head + 8, salts, 8);
	memset(page, (int)w->frames + 1, PAGE_PLAIN);
	add_sum(w, head, 8);
	add_sum(w, page, PAGE_BYTES);
	put_be32(head + 16, w->sum[0]);
	put_be32(head + 20, w->sum[1] + wrong);
	header_seal(disk, head, sizeof(head), BOX_FRAME_HEADER, w->frames, &key);
	assert_true(page_seal(disk + sizeof(head) + CRYPT_OVERHEAD, page, BOX_FRAME_PAGE, w->frames,
	                      salts, &key));
	put(w, disk, sizeof(disk), wal_disk_offset(w->frames));
	w->frames++;
}

static void add_frame_with(struct wal *w, bool commit, uint32_t wrong, const uint8_t salts[8])
{
	add_page_with(w, (uint32_t)w->frames + 1, commit, wrong, salts);
}

static void add_frame(struct wal *w, bool commit)
{
	add_frame_with(w, commit, 0, w->salts);
}

/* Damages one byte of a frame: of its header's box, or behind it of its page's. */
static void damage(struct wal *w, uint64_t frame, bool in_page)
{
	uint64_t at =
	        wal_disk_offset(frame) + (in_page ? WAL_FRAME_HEADER + CRYPT_OVERHEAD : 0) + 30;
	uint8_t byte;

	EXPECT_OK(file_read_at(w->file, &byte, 1, at, &w->e), &w->e);
	byte ^= 4;
	put(w, &byte, 1, at);
}

static enum rc scan(struct wal *w)
{
	uint8_t header[WAL_HEADER];
	enum rc rc = wal_scan(w->file, &key, header, &w->e);

	if (rc == RC_OK)
		assert_memory_equal(header, w->header, WAL_HEADER);
	return rc;
}

/* Which frame is damaged, if one is that must have been synced. */
static void test_damage(void **state)
{
	static const struct {
		const char *commits; /* a letter a frame: c ends a transaction, . doesn't */
		int damaged;
		enum { TORN, DAMAGE, DAMAGE_IN_PAGE } is; /* of its page: by its header's word */
	} cases[] = {
		{ "c", -1, TORN },
		{ "..c.c", -1, TORN },
		{ "c", 0, TORN },   /* nothing says that it was synced */
		{ "..c", 1, TORN }, /* nor here */
		{ "..c", 2, TORN },
		{ "..c.", 1, DAMAGE }, /* frame 3 was begun when 2 was synced */
		{ "..c.", 0, DAMAGE },
		/* The commit itself: without its header 3 may be of the same transaction. */
		{ "..c.", 2, DAMAGE_IN_PAGE },
		{ "..c.c", 2, DAMAGE_IN_PAGE },
		{ "..c.c.", 2, DAMAGE }, /* but 5 came after 4 was synced */
		/* Frames that follow each other inside a transaction prove nothing. */
		{ "......", 1, TORN },
		{ "c.....", 2, TORN },
		{ ".c", 0, TORN },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		for (int way = 0; way < 4; way++) {
			struct wal w;
			bool told = cases[i].is == DAMAGE ||
			            (cases[i].is == DAMAGE_IN_PAGE && (way & 2));
			enum rc want = told ? RC_CORRUPT : RC_OK;
			char text[32];

			begin(&w, way & 1);
			for (const char *c = cases[i].commits; *c; c++)
				add_frame(&w, *c == 'c');
			if (cases[i].damaged >= 0)
				damage(&w, (uint64_t)cases[i].damaged, way & 2);
			EXPECT(cases[i].commits, scan(&w) == want);
			(void)snprintf(text, sizeof(text), "frame %d is damaged", cases[i].damaged);
			EXPECT(cases[i].commits, want == RC_OK || strstr(w.e.text, text));
			end(&w);
		}
}

/* Frames that open but don't follow end the log: those of an older one, and those with a wrong sum.
 */
static void test_end_of_log(void **state)
{
	(void)state;
	for (int what = 0; what < 4; what++) {
		struct wal w;

		begin(&w, false);
		add_frame(&w, true);
		if (what == 0)
			add_frame_with(&w, true, 0, (const uint8_t *)"oldsalts");
		else if (what == 1)
			add_frame_with(&w, true, 1, w.salts);
		else
			w.sum[0]++; /* the frame before was another one */
		add_frame(&w, what == 3);
		assert_int_equal(scan(&w), RC_OK);
		/* One that ends a transaction, and another that was begun when it was synced. */
		add_frame(&w, true);
		assert_int_equal(scan(&w), what == 3 ? RC_CORRUPT : RC_OK);
		end(&w);
	}
}

static void test_headers(void **state)
{
	static const uint8_t zeros[WAL_HEADER_DISK];
	uint8_t header[WAL_HEADER];
	struct wal w;

	(void)state;
	begin(&w, false);
	add_frame(&w, true);
	assert_int_equal(wal_scan(w.file, &other_key, header, &w.e), RC_CRYPTO);
	/* Zeros, and less than a header: no log, whatever lies behind. */
	put(&w, zeros, sizeof(zeros), 0);
	memset(header, 1, sizeof(header));
	EXPECT_OK(wal_scan(w.file, &key, header, &w.e), &w.e);
	assert_memory_equal(header, zeros, WAL_HEADER);
	EXPECT_OK(file_truncate(w.file, WAL_HEADER_DISK - 1, &w.e), &w.e);
	put(&w, (const uint8_t *)"x", 1, 5);
	memset(header, 1, sizeof(header));
	EXPECT_OK(wal_scan(w.file, &key, header, &w.e), &w.e);
	assert_memory_equal(header, zeros, WAL_HEADER);
	end(&w);
}

static enum rc is_as_added(void *arg, uint64_t number, const uint8_t page[PAGE_BYTES],
                           struct err *e)
{
	(void)e;
	++*(unsigned *)arg;
	return page[0] == (uint8_t)number ? RC_OK : RC_CRYPTO;
}

/* Without its header: in either byte order, pages that are cut off, what can't be read. */
static void test_spent(void **state)
{
	(void)state;
	for (int big = 0; big < 2; big++) {
		unsigned asked = 0;
		struct wal w;
		bool hit = true;

		begin(&w, big);
		for (int i = 0; i < 11; i++) /* of nine pages */
			add_frame(&w, i == 10);
		add_frame(&w, false);
		EXPECT_OK(wal_is_spent(w.file, &key, 9, is_as_added, &asked, &w.e), &w.e);
		assert_int_equal(asked, 9);
		assert_int_equal(wal_is_spent(w.file, &key, 8, is_as_added, &asked, &w.e),
		                 RC_CRYPTO);
		assert_int_equal(wal_is_spent(w.file, &other_key, 9, is_as_added, &asked, &w.e),
		                 RC_CRYPTO);
		for (unsigned n = 1; hit; n++) {
			enum rc rc;

			fault_arm(FAULT_READ | FAULT_STAT, n, EIO, false);
			rc = wal_is_spent(w.file, &key, 9, is_as_added, &asked, &w.e);
			hit = fault_disarm();
			assert_int_equal(rc, hit ? RC_IO : RC_OK);
		}
		add_page_with(&w, 0, true, 0, w.salts); /* SQLite writes none */
		assert_int_equal(wal_is_spent(w.file, &key, 9, is_as_added, &asked, &w.e),
		                 RC_CRYPTO);
		EXPECT_OK(file_truncate(w.file, WAL_HEADER_DISK, &w.e), &w.e);
		assert_int_equal(wal_is_spent(w.file, &key, 9, is_as_added, &asked, &w.e),
		                 RC_CRYPTO);
		EXPECT_OK(file_truncate(w.file, 0, &w.e), &w.e);
		assert_int_equal(wal_is_spent(w.file, &key, 9, is_as_added, &asked, &w.e),
		                 RC_CRYPTO);
		end(&w);
	}
}

/* A frame that the disk doesn't give is not the end of the log. */
static void test_reads_fail(void **state)
{
	struct wal w;
	bool hit = true;
	unsigned n;
	enum rc rc;

	(void)state;
	begin(&w, false);
	for (int i = 0; i < 6; i++)
		add_frame(&w, i % 2);
	damage(&w, 3, false); /* behind it each is read once more */
	for (n = 1; hit; n++) {
		fault_arm(FAULT_READ | FAULT_STAT, n, EIO, false);
		rc = scan(&w);
		hit = fault_disarm();
		assert_int_equal(rc, hit ? RC_IO : RC_OK);
	}
	assert_int_equal(n, 2 + 4 + 3 + 2);
	end(&w);
}

/* What SQLite never writes: its checksums would cover bytes that are not kept. */
static void test_reserved_bytes(void **state)
{
	uint8_t page[PAGE_BYTES] = { 0 };
	uint8_t sealed[PAGE_BYTES];
	uint8_t back[PAGE_BYTES];

	(void)state;
	for (size_t i = 0; i < PAGE_BYTES; i++)
		page[i] = i < PAGE_PLAIN ? (uint8_t)i : 0;
	assert_true(page_seal(sealed, page, BOX_PAGE, 3, NULL, &key));
	EXPECT_OK(page_open(back, sealed, BOX_PAGE, 3, NULL, &key), &(struct err) { 0 });
	assert_memory_equal(page, back, PAGE_BYTES);
	assert_int_equal(page_open(back, sealed, BOX_PAGE, 4, NULL, &key), RC_CORRUPT);
	assert_int_equal(page_open(back, sealed, BOX_FRAME_PAGE, 3, NULL, &key), RC_CORRUPT);
	assert_int_equal(page_open(back, sealed, BOX_PAGE, 3, page + 8, &key), RC_CORRUPT);
	for (size_t i = PAGE_PLAIN; i < PAGE_BYTES; i += PAGE_RESERVED - 1) {
		page[i] = 1;
		assert_false(page_seal(sealed, page, BOX_PAGE, 3, NULL, &key));
		page[i] = 0;
	}
}

static int start(void **state)
{
	static const uint8_t a[KEY_BYTES] = { 1 };
	static const uint8_t b[KEY_BYTES] = { 2 };

	(void)state;
	crypt_init();
	page_key_make(&key, a);
	page_key_make(&other_key, b);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_damage),         cmocka_unit_test(test_end_of_log),
		cmocka_unit_test(test_headers),        cmocka_unit_test(test_reads_fail),
		cmocka_unit_test(test_reserved_bytes), cmocka_unit_test(test_spent),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
