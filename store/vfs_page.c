#include "store/vfs.h"

#include <stdlib.h>

#include "base/codec.h"

/* What is bound into every box: kind, number, salts of the WAL. */
#define BOUND 20

static void bound_put(uint8_t out[BOUND], enum box box, uint64_t number, const uint8_t salts[8])
{
	put_le32(out, (uint32_t)box);
	put_le64(out + 4, number);
	if (salts)
		memcpy(out + 12, salts, 8);
	else
		memset(out + 12, 0, 8);
}

void page_key_make(struct page_key *k, const uint8_t key[KEY_BYTES])
{
	crypt_derive(k->key, key, "mm database");
}

bool page_seal(uint8_t out[PAGE_BYTES], const uint8_t plain[PAGE_BYTES], enum box box,
               uint64_t number, const uint8_t salts[8], const struct page_key *k)
{
	uint8_t bound[BOUND];

	/* SQLite's WAL checksums cover the reserved bytes, and we give back zeros there. */
	for (size_t i = PAGE_PLAIN; i < PAGE_BYTES; i++)
		if (plain[i] != 0)
			return false;
	bound_put(bound, box, number, salts);
	crypt_seal(out, slice_of(plain, PAGE_PLAIN), slice_of(bound, BOUND), k->key);
	return true;
}

enum rc page_open(uint8_t out[PAGE_BYTES], const uint8_t sealed[PAGE_BYTES], enum box box,
                  uint64_t number, const uint8_t salts[8], const struct page_key *k)
{
	uint8_t bound[BOUND];

	bound_put(bound, box, number, salts);
	memset(out + PAGE_PLAIN, 0, PAGE_RESERVED);
	return crypt_open(out, slice_of(sealed, PAGE_BYTES), slice_of(bound, BOUND), k->key);
}

void header_seal(uint8_t *out, const uint8_t *plain, size_t n, enum box box, uint64_t number,
                 const struct page_key *k)
{
	uint8_t bound[BOUND];

	bound_put(bound, box, number, NULL);
	crypt_seal(out, slice_of(plain, n), slice_of(bound, BOUND), k->key);
}

enum rc header_open(uint8_t *out, const uint8_t *sealed, size_t n, enum box box, uint64_t number,
                    const struct page_key *k)
{
	uint8_t bound[BOUND];

	bound_put(bound, box, number, NULL);
	return crypt_open(out, slice_of(sealed, n + CRYPT_OVERHEAD), slice_of(bound, BOUND),
	                  k->key);
}

/* Numbers in SQLite's files are big endian. */
static void put_be16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void page_template(uint8_t out[PAGE_BYTES])
{
	memset(out, 0, PAGE_BYTES);
	memcpy(out, "SQLite format 3", 16);
	put_be16(out + 16, PAGE_BYTES);
	out[18] = 2; /* write version: WAL */
	out[19] = 2; /* read version: WAL */
	out[20] = PAGE_RESERVED;
	out[21] = 64; /* payload fractions, fixed */
	out[22] = 32;
	out[23] = 32;
	out[27] = 1;   /* file change counter */
	out[31] = 1;   /* pages */
	out[47] = 4;   /* schema format */
	out[59] = 1;   /* UTF-8 */
	out[95] = 1;   /* version-valid-for: the change counter */
	out[100] = 13; /* an empty leaf of a table: the schema */
	put_be16(out + 105, PAGE_PLAIN);
}

uint64_t wal_disk_offset(uint64_t frame)
{
	return WAL_HEADER_DISK + frame * WAL_FRAME_DISK;
}

uint64_t wal_logical_size(uint64_t disk_bytes)
{
	uint64_t frames;
	uint64_t part;

	if (disk_bytes < WAL_HEADER_DISK)
		return MIN_OF(disk_bytes, (uint64_t)WAL_HEADER - 1);
	frames = (disk_bytes - WAL_HEADER_DISK) / WAL_FRAME_DISK;
	part = (disk_bytes - WAL_HEADER_DISK) % WAL_FRAME_DISK;
	if (part < WAL_FRAME_HEADER + CRYPT_OVERHEAD)
		part = MIN_OF(part, (uint64_t)WAL_FRAME_HEADER - 1);
	else
		part -= CRYPT_OVERHEAD;
	return WAL_HEADER + frames * WAL_FRAME + part;
}

/* SQLite's running checksum over pairs of 32-bit words (fileformat2.html section 4.2). */
static void wal_sum(uint32_t sum[2], const uint8_t *p, size_t n, bool big)
{
	for (size_t i = 0; i + 8 <= n; i += 8) {
		sum[0] += (big ? get_be32(p + i) : get_le32(p + i)) + sum[1];
		sum[1] += (big ? get_be32(p + i + 4) : get_le32(p + i + 4)) + sum[0];
	}
}

struct frame {
	uint8_t head[WAL_FRAME_HEADER];
	uint8_t page[PAGE_BYTES];
	bool opened; /* the header did, and is of this log; the page may be damaged */
};

/* RC_NOTFOUND when the frame doesn't open, or is of an older log; else an error of the disk. */
static enum rc frame_read(const struct file *wal, const struct page_key *k, uint64_t number,
                          const uint8_t *salts, struct frame *out, struct err *e)
{
	uint8_t disk[WAL_FRAME_DISK];
	enum rc rc = file_read_at(wal, disk, sizeof(disk), wal_disk_offset(number), e);

	out->opened = false;
	if (rc != RC_OK)
		return rc;
	out->opened = header_open(out->head, disk, WAL_FRAME_HEADER, BOX_FRAME_HEADER, number, k) ==
	                      RC_OK &&
	              memcmp(out->head + 8, salts, 8) == 0;
	if (!out->opened || page_open(out->page, disk + WAL_FRAME_HEADER + CRYPT_OVERHEAD,
	                              BOX_FRAME_PAGE, number, salts, k) != RC_OK)
		return RC_NOTFOUND;
	return RC_OK;
}

/* True when frame f was written by someone who knew a frame before it with the sum `sum`; `sum`
 * becomes that of f. */
static bool frame_follows(const struct frame *f, uint32_t sum[2], bool big)
{
	wal_sum(sum, f->head, 8, big);
	wal_sum(sum, f->page, PAGE_BYTES, big);
	return get_be32(f->head + 16) == sum[0] && get_be32(f->head + 20) == sum[1];
}

/* RC_CORRUPT when a transaction that ended at or behind frame `from` was followed by another frame:
 * the second is only begun once the first is synced, so frame `from` was on disk. Where a page
 * doesn't open the header still says that the frame ended one. */
static enum rc synced_behind(const struct file *wal, const struct page_key *k, uint64_t from,
                             uint64_t frames, const uint8_t *salts, bool big, struct err *e)
{
	struct frame f;
	uint32_t sum[2] = { 0, 0 };
	bool ended = false;

	for (uint64_t i = from; i < frames; i++) {
		enum rc rc = frame_read(wal, k, i, salts, &f, e);

		if (rc == RC_OK && ended && frame_follows(&f, sum, big))
			return err_set(e, RC_CORRUPT, "%s: frame %llu is damaged", file_name(wal),
			               (unsigned long long)from);
		if (rc != RC_OK && rc != RC_NOTFOUND)
			return rc;
		ended = f.opened && get_be32(f.head + 4) != 0;
		if (ended) {
			sum[0] = get_be32(f.head + 16);
			sum[1] = get_be32(f.head + 20);
		}
	}
	return RC_OK;
}

static bool all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != 0)
			return false;
	return true;
}

enum rc wal_scan(const struct file *wal, const struct page_key *k, uint8_t header[WAL_HEADER],
                 struct err *e)
{
	uint8_t disk[WAL_HEADER_DISK];
	struct frame f;
	uint32_t sum[2];
	uint64_t size;
	uint64_t frames;
	size_t got;
	bool big;
	enum rc rc = file_read_some(wal, disk, sizeof(disk), 0, &got, e);

	memset(header, 0, WAL_HEADER);
	if (rc == RC_OK)
		rc = file_size(wal, &size, e);
	if (rc != RC_OK)
		return rc;
	if (got < sizeof(disk) || all_zero(disk, sizeof(disk)))
		return RC_OK;
	if (header_open(header, disk, WAL_HEADER, BOX_WAL_HEADER, 0, k) != RC_OK)
		return err_set(e, RC_CRYPTO, "%s: the header doesn't open", file_name(wal));
	frames = (size - WAL_HEADER_DISK) / WAL_FRAME_DISK;
	big = (get_be32(header) & 1) != 0;
	sum[0] = get_be32(header + 24);
	sum[1] = get_be32(header + 28);
	for (uint64_t i = 0; i < frames; i++) {
		rc = frame_read(wal, k, i, header + 16, &f, e);
		if (rc == RC_NOTFOUND || (rc == RC_OK && !frame_follows(&f, sum, big)))
			return synced_behind(wal, k, i, frames, header + 16, big, e);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

/* ---- a log whose header doesn't open ---- */

/* Frames of one log that follow each other, from the first of the file on. */
struct run {
	const struct file *wal;
	const struct page_key *key;
	uint64_t frames; /* of the file */
	uint8_t salts[8];
	bool big;
	uint64_t ended; /* how many there are up to the end of the last transaction */
	uint32_t pages; /* that the database has behind it */
};

static enum rc run_head(const struct run *r, uint64_t frame, uint8_t head[WAL_FRAME_HEADER],
                        struct err *e)
{
	uint8_t disk[WAL_FRAME_HEADER + CRYPT_OVERHEAD];
	enum rc rc = file_read_at(r->wal, disk, sizeof(disk), wal_disk_offset(frame), e);

	if (rc != RC_OK)
		return rc;
	return header_open(head, disk, WAL_FRAME_HEADER, BOX_FRAME_HEADER, frame, r->key) == RC_OK
	               ? RC_OK
	               : RC_CRYPTO;
}

static enum rc run_follow(struct run *r, struct err *e)
{
	uint32_t sum[2] = { 0, 0 };
	struct frame f;

	r->ended = 0;
	for (uint64_t i = 0; i < r->frames; i++) {
		enum rc rc = frame_read(r->wal, r->key, i, r->salts, &f, e);

		if (rc == RC_NOTFOUND || (rc == RC_OK && i > 0 && !frame_follows(&f, sum, r->big)))
			return RC_OK;
		if (rc != RC_OK)
			return rc;
		sum[0] = get_be32(f.head + 16);
		sum[1] = get_be32(f.head + 20);
		if (get_be32(f.head + 4) != 0) {
			r->ended = i + 1;
			r->pages = get_be32(f.head + 4);
		}
	}
	return RC_OK;
}

/* The header would say the byte order of the sums; in the wrong one no frame follows another. */
static enum rc run_find(struct run *r, struct err *e)
{
	uint8_t head[WAL_FRAME_HEADER];
	struct run other;
	enum rc rc = run_head(r, 0, head, e);

	if (rc != RC_OK)
		return rc;
	memcpy(r->salts, head + 8, 8);
	rc = run_follow(r, e);
	other = *r;
	other.big = !r->big;
	if (rc == RC_OK)
		rc = run_follow(&other, e);
	if (rc == RC_OK && other.ended > r->ended)
		*r = other;
	return rc;
}

/* Behind it nothing may be committed: frames of older logs, and of transactions that didn't end.
 * What doesn't open may have been anything. */
static enum rc run_is_all(const struct run *r, struct err *e)
{
	uint8_t head[WAL_FRAME_HEADER];
	enum rc rc = RC_OK;

	for (uint64_t i = r->ended; i < r->frames && rc == RC_OK; i++) {
		rc = run_head(r, i, head, e);
		if (rc == RC_OK && memcmp(head + 8, r->salts, 8) == 0 && get_be32(head + 4) != 0)
			rc = RC_CRYPTO;
	}
	return rc;
}

/* The last frame of each page counts. */
static enum rc run_is_in(const struct run *r, wal_page_is is, void *arg, struct err *e)
{
	uint8_t *seen = mem_new((size_t)r->pages / 8 + 1);
	enum rc rc = RC_OK;

	for (uint64_t i = r->ended; i-- > 0 && rc == RC_OK;) {
		struct frame f;
		uint32_t number;

		rc = frame_read(r->wal, r->key, i, r->salts, &f, e);
		if (rc != RC_OK)
			break;
		number = get_be32(f.head);
		if (number == 0)
			rc = RC_CRYPTO;
		if (number == 0 || number > r->pages || seen[number / 8] >> (number % 8) & 1)
			continue; /* cut off, or overtaken */
		seen[number / 8] |= (uint8_t)(1u << (number % 8));
		rc = is(arg, number, f.page, e);
	}
	free(seen);
	return rc;
}

enum rc wal_is_spent(const struct file *wal, const struct page_key *k, uint64_t pages,
                     wal_page_is is, void *arg, struct err *e)
{
	struct run r = { .wal = wal, .key = k };
	uint64_t size;
	enum rc rc = file_size(wal, &size, e);

	if (rc != RC_OK)
		return rc;
	r.frames = size < WAL_HEADER_DISK ? 0 : (size - WAL_HEADER_DISK) / WAL_FRAME_DISK;
	if (r.frames == 0)
		return RC_CRYPTO;
	rc = run_find(&r, e);
	if (rc == RC_OK)
		rc = run_is_all(&r, e);
	if (rc != RC_OK || r.ended == 0)
		return rc;
	return r.pages == pages ? run_is_in(&r, is, arg, e) : RC_CRYPTO;
}
