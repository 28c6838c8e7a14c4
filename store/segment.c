#include "store/segment.h"

#include <sodium.h>
#include <stdlib.h>

#include "base/codec.h"

#define SEGMENT_MAGIC UINT32_C(0x47534d4d) /* "MMSG" */
#define BLOCK_MAGIC   UINT32_C(0x4b424d4d) /* "MMBK" */
#define FOOTER_MAGIC  UINT32_C(0x46534d4d) /* "MMSF" */
#define FORMAT        1
#define SUM           32
#define BLOCK_SUM     16
#define BLOCK_BOUND   (12 + BLOCK_HEADER - BLOCK_SUM)
#define PLACE_BYTES   32
#define ENTRY_BYTES   (ID_BYTES + 8)
#define FOOTER_FIELDS (SEGMENT_FOOTER - SEGMENT_HEADER)

void segment_keys_derive(struct segment_keys *k, const uint8_t archive_key[KEY_BYTES])
{
	crypt_derive(k->seal, archive_key, "mm segment sums 1");
	crypt_derive(k->directory, archive_key, "mm segment directory 1");
}

static void sum_put(uint8_t *raw, size_t n, const struct segment_keys *k)
{
	MUST(crypto_generichash(raw + n - SUM, SUM, raw, n - SUM, k->seal, KEY_BYTES) == 0);
}

static bool sum_holds(const uint8_t *raw, size_t n, const struct segment_keys *k)
{
	uint8_t sum[SUM];

	MUST(crypto_generichash(sum, SUM, raw, n - SUM, k->seal, KEY_BYTES) == 0);
	return sodium_memcmp(sum, raw + n - SUM, SUM) == 0;
}

/* --- header and footer -------------------------------------------------------------------------*/

void segment_header_encode(uint8_t out[SEGMENT_HEADER], const struct segment_header *h,
                           const struct segment_keys *k)
{
	memset(out, 0, SEGMENT_HEADER);
	put_le32(out, SEGMENT_MAGIC);
	put_le32(out + 4, FORMAT);
	put_le32(out + 8, h->archive);
	put_le32(out + 12, h->mixed);
	put_le32(out + 16, (uint32_t)h->day);
	put_le64(out + 24, h->serial);
	memcpy(out + 32, h->uuid, sizeof(h->uuid));
	put_le64(out + 48, (uint64_t)h->created_ms);
	sum_put(out, SEGMENT_HEADER, k);
}

bool segment_header_decode(struct segment_header *h, const uint8_t raw[SEGMENT_HEADER],
                           const struct segment_keys *k)
{
	if (get_le32(raw) != SEGMENT_MAGIC || get_le32(raw + 4) != FORMAT ||
	    !sum_holds(raw, SEGMENT_HEADER, k))
		return false;
	h->archive = get_le32(raw + 8);
	h->mixed = get_le32(raw + 12) != 0;
	h->day = (int32_t)get_le32(raw + 16);
	h->serial = get_le64(raw + 24);
	memcpy(h->uuid, raw + 32, sizeof(h->uuid));
	h->created_ms = (int64_t)get_le64(raw + 48);
	return true;
}

/* The sum of the fields covers the copy's uuid too: it is mixed in behind them. */
void segment_footer_encode(uint8_t out[SEGMENT_FOOTER], const struct segment_footer *f,
                           const struct segment_header *h, const struct segment_keys *k)
{
	memset(out, 0, SEGMENT_FOOTER);
	put_le32(out, FOOTER_MAGIC);
	put_le32(out + 4, FORMAT);
	put_le64(out + 8, f->directory);
	put_le64(out + 16, f->directory_bytes);
	put_le64(out + 24, f->messages);
	put_le64(out + 32, f->raw_bytes);
	put_le32(out + 40, f->blocks);
	memcpy(out + 48, f->min.b, ID_BYTES);
	memcpy(out + 64, f->max.b, ID_BYTES);
	memcpy(out + 80, h->uuid, sizeof(h->uuid));
	sum_put(out, FOOTER_FIELDS, k);
	segment_header_encode(out + FOOTER_FIELDS, h, k);
}

bool segment_footer_decode(struct segment_footer *f, struct segment_header *h,
                           const uint8_t raw[SEGMENT_FOOTER], const struct segment_keys *k)
{
	if (get_le32(raw) != FOOTER_MAGIC || get_le32(raw + 4) != FORMAT ||
	    !sum_holds(raw, FOOTER_FIELDS, k) ||
	    !segment_header_decode(h, raw + FOOTER_FIELDS, k) ||
	    memcmp(raw + 80, h->uuid, sizeof(h->uuid)) != 0)
		return false;
	f->directory = get_le64(raw + 8);
	f->directory_bytes = get_le64(raw + 16);
	f->messages = get_le64(raw + 24);
	f->raw_bytes = get_le64(raw + 32);
	f->blocks = get_le32(raw + 40);
	memcpy(f->min.b, raw + 48, ID_BYTES);
	memcpy(f->max.b, raw + 64, ID_BYTES);
	return true;
}

bool segment_footer_broken(const uint8_t raw[SEGMENT_FOOTER], const struct segment_keys *k)
{
	struct segment_header h;
	bool fields = get_le32(raw) == FOOTER_MAGIC && sum_holds(raw, FOOTER_FIELDS, k);
	bool copy = segment_header_decode(&h, raw + FOOTER_FIELDS, k);

	return fields != copy && !sodium_is_zero(raw, SUM) &&
	       !sodium_is_zero(raw + SEGMENT_FOOTER - SUM, SUM);
}

/* --- blocks ------------------------------------------------------------------------------------*/

static void block_bound(uint8_t out[BLOCK_BOUND], const uint8_t raw[BLOCK_HEADER],
                        const struct segment_header *h)
{
	put_le32(out, h->archive);
	put_le64(out + 4, h->serial);
	memcpy(out + 12, raw, BLOCK_HEADER - BLOCK_SUM);
}

static void block_sum(uint8_t out[BLOCK_SUM], const uint8_t raw[BLOCK_HEADER],
                      const struct segment_header *h, const struct segment_keys *k)
{
	uint8_t bound[BLOCK_BOUND];

	block_bound(bound, raw, h);
	MUST(crypto_generichash(out, BLOCK_SUM, bound, sizeof(bound), k->seal, KEY_BYTES) == 0);
}

void block_header_encode(uint8_t out[BLOCK_HEADER], const struct block_header *b,
                         const struct segment_header *h, const struct segment_keys *k)
{
	put_le32(out, BLOCK_MAGIC);
	put_le32(out + 4, b->number);
	put_le64(out + 8, b->lot);
	put_le32(out + 16, b->plain);
	put_le32(out + 20, b->stored);
	put_le32(out + 24, b->messages);
	put_le32(out + 28, b->flags);
	put_le64(out + 32, b->synced);
	memcpy(out + 40, h->uuid, sizeof(h->uuid));
	block_sum(out + BLOCK_HEADER - BLOCK_SUM, out, h, k);
}

bool block_header_decode(struct block_header *b, const uint8_t raw[BLOCK_HEADER],
                         const struct segment_header *h, const struct segment_keys *k)
{
	uint8_t sum[BLOCK_SUM];

	if (get_le32(raw) != BLOCK_MAGIC)
		return false;
	block_sum(sum, raw, h, k);
	if (sodium_memcmp(sum, raw + BLOCK_HEADER - BLOCK_SUM, BLOCK_SUM) != 0)
		return false;
	b->number = get_le32(raw + 4);
	b->lot = get_le64(raw + 8);
	b->plain = get_le32(raw + 16);
	b->stored = get_le32(raw + 20);
	b->messages = get_le32(raw + 24);
	b->flags = get_le32(raw + 28);
	b->synced = get_le64(raw + 32);
	memcpy(b->uuid, raw + 40, sizeof(b->uuid));
	return b->plain <= BLOCK_PLAIN_MAX && b->number < BLOCKS_MAX &&
	       b->stored >= CRYPT_OVERHEAD &&
	       b->stored <= ZSTD_COMPRESSBOUND(BLOCK_PLAIN_MAX) + CRYPT_OVERHEAD;
}

/* A control build without encryption stores without compression too, so that a canary shows. */
static size_t compress(uint8_t *out, size_t room, struct slice plain, ZSTD_CCtx *z, int level)
{
#ifdef MM_TEST_PLAINTEXT
	(void)z;
	(void)level;
	(void)out;
	(void)room;
	return plain.len;
#else
	return ZSTD_compressCCtx(z, out, room, plain.at, plain.len, level);
#endif
}

enum rc block_seal(struct buf *out, struct block_header *b, struct slice plain,
                   const struct segment_header *h, const struct segment_keys *k,
                   const uint8_t lot_key[KEY_BYTES], ZSTD_CCtx *z, int level)
{
	uint8_t bound[BLOCK_BOUND];
	size_t room = ZSTD_compressBound(plain.len);
	uint8_t *packed = malloc(room + 1);
	struct slice inner = plain;
	size_t n;

	buf_clear(out);
	if (!packed || buf_reserve(out, BLOCK_HEADER + CRYPT_OVERHEAD + plain.len) != RC_OK) {
		free(packed);
		return RC_LIMIT;
	}
	n = compress(packed, room, plain, z, level);
	if (!ZSTD_isError(n) && n < plain.len)
		inner = slice_of(packed, n);
	else
		b->flags |= BLOCK_STORED;
	b->plain = (uint32_t)plain.len;
	b->stored = (uint32_t)(inner.len + CRYPT_OVERHEAD);
	block_header_encode(out->at, b, h, k);
	block_bound(bound, out->at, h);
	crypt_seal(out->at + BLOCK_HEADER, inner, slice_of(bound, sizeof(bound)), lot_key);
	out->len = BLOCK_HEADER + b->stored;
	free(packed);
	return RC_OK;
}

/* The size in the header is authenticated, and still only that much is written. */
static enum rc unpack(uint8_t *plain, const struct block_header *b, struct slice inner,
                      ZSTD_DCtx *z)
{
	if (b->flags & BLOCK_STORED) {
		if (inner.len != b->plain)
			return RC_CORRUPT;
		if (inner.len)
			memcpy(plain, inner.at, inner.len);
		return RC_OK;
	}
	return ZSTD_decompressDCtx(z, plain, b->plain, inner.at, inner.len) == b->plain
	               ? RC_OK
	               : RC_CORRUPT;
}

enum rc block_open(uint8_t *plain, const struct block_header *b, struct slice whole,
                   const struct segment_header *h, const uint8_t lot_key[KEY_BYTES], ZSTD_DCtx *z)
{
	uint8_t bound[BLOCK_BOUND];
	size_t n = b->stored - CRYPT_OVERHEAD;
	uint8_t *packed;
	enum rc rc;

	if (whole.len != BLOCK_HEADER + (size_t)b->stored)
		return RC_CORRUPT;
	packed = malloc(n + 1);
	if (!packed)
		return RC_LIMIT;
	block_bound(bound, whole.at, h);
	rc = crypt_open(packed, slice_from(whole, BLOCK_HEADER), slice_of(bound, sizeof(bound)),
	                lot_key);
	if (rc == RC_OK)
		rc = unpack(plain, b, slice_of(packed, n), z);
	free(packed);
	return rc;
}

enum rc block_entry_add(struct buf *plain, const struct block_entry *entry)
{
	size_t old = plain->len;
	enum rc rc = buf_add(plain, slice_of(entry->id.b, ID_BYTES));

	if (rc == RC_OK)
		rc = buf_put_u8(plain, entry->flags);
	if (rc == RC_OK)
		rc = buf_put_u64(plain, entry->total);
	if (rc == RC_OK)
		rc = buf_put_u64(plain, entry->from);
	if (rc == RC_OK && entry->flags & ENTRY_FIRST) {
		rc = buf_add(plain, slice_of(entry->sha256, 32));
		if (rc == RC_OK)
			rc = buf_put_slice(plain, entry->meta);
	}
	if (rc == RC_OK)
		rc = buf_put_slice(plain, entry->part);
	if (rc != RC_OK)
		plain->len = old;
	return rc;
}

enum rc block_entry_read(struct block_entry *entry, struct slice plain, size_t *at)
{
	struct reader r = reader_over(slice_from(plain, *at));
	struct slice id;
	struct slice sha = { NULL, 0 };

	if (!r.rest.len)
		return RC_NOTFOUND;
	memset(entry, 0, sizeof(*entry));
	entry->at = (uint32_t)*at;
	id = read_bytes(&r, ID_BYTES);
	entry->flags = read_u8(&r);
	entry->total = read_u64(&r);
	entry->from = read_u64(&r);
	if (entry->flags & ENTRY_FIRST) {
		sha = read_bytes(&r, 32);
		entry->meta = read_slice(&r);
	}
	entry->part = read_slice(&r);
	if (!r.ok || entry->from > entry->total || entry->part.len > entry->total - entry->from)
		return RC_CORRUPT;
	memcpy(entry->id.b, id.at, ID_BYTES);
	if (sha.len)
		memcpy(entry->sha256, sha.at, 32);
	*at = plain.len - r.rest.len;
	return RC_OK;
}

/* --- Merkle ------------------------------------------------------------------------------------*/

void merkle_leaf(uint8_t out[32], const struct message_id *id, const uint8_t sha[32])
{
	uint8_t leaf[1 + ID_BYTES + 32] = { 0 };

	memcpy(leaf + 1, id->b, ID_BYTES);
	memcpy(leaf + 1 + ID_BYTES, sha, 32);
	sha256(out, slice_of(leaf, sizeof(leaf)));
}

/* Pairing neighbours and carrying an odd last one up gives the tree of RFC 6962, whose left part is
 * always the largest power of two. */
void merkle_root(uint8_t out[32], uint8_t *hashes, size_t count)
{
	uint8_t node[65] = { 1 };

	if (!count) {
		sha256(out, slice_of("", 0));
		return;
	}
	for (; count > 1; count = (count + 1) / 2) {
		for (size_t i = 0; i + 1 < count; i += 2) {
			memcpy(node + 1, hashes + i * 32, 64);
			sha256(hashes + i / 2 * 32, slice_of(node, sizeof(node)));
		}
		if (count % 2)
			memmove(hashes + count / 2 * 32, hashes + (count - 1) * 32, 32);
	}
	memcpy(out, hashes, 32);
}

/* --- directory ---------------------------------------------------------------------------------*/

static void places_put(uint8_t *p, const struct block_place *blocks, uint32_t nblocks,
                       const struct entry_place *entries, uint32_t nentries)
{
	put_le32(p, nblocks);
	put_le32(p + 4, nentries);
	p += 8;
	for (uint32_t i = 0; i < nblocks; i++, p += PLACE_BYTES) {
		put_le64(p, blocks[i].offset);
		put_le64(p + 8, blocks[i].lot);
		put_le32(p + 16, blocks[i].plain);
		put_le32(p + 20, blocks[i].stored);
		put_le32(p + 24, blocks[i].messages);
		put_le32(p + 28, blocks[i].flags);
	}
	for (uint32_t i = 0; i < nentries; i++, p += ENTRY_BYTES) {
		memcpy(p, entries[i].id.b, ID_BYTES);
		put_le32(p + ID_BYTES, entries[i].block);
		put_le32(p + ID_BYTES + 4, entries[i].at);
	}
}

static void directory_bound(uint8_t bound[32], const struct segment_header *h)
{
	memset(bound, 0, 32);
	put_le32(bound, h->archive);
	put_le64(bound + 4, h->serial);
	memcpy(bound + 12, h->uuid, sizeof(h->uuid));
}

enum rc directory_seal(struct buf *out, const struct block_place *blocks, uint32_t nblocks,
                       const struct entry_place *entries, uint32_t nentries,
                       const struct segment_header *h, const struct segment_keys *k)
{
	size_t n = 8 + (size_t)nblocks * PLACE_BYTES + (size_t)nentries * ENTRY_BYTES;
	uint8_t bound[32];
	uint8_t *plain;

	if (buf_reserve(out, n + CRYPT_OVERHEAD) != RC_OK)
		return RC_LIMIT;
	plain = mem_new(n);
	places_put(plain, blocks, nblocks, entries, nentries);
	directory_bound(bound, h);
	crypt_seal(out->at + out->len, slice_of(plain, n), slice_of(bound, sizeof(bound)),
	           k->directory);
	out->len += n + CRYPT_OVERHEAD;
	free(plain);
	return RC_OK;
}

static enum rc places_get(struct slice plain, struct block_place **blocks, uint32_t *nblocks,
                          struct entry_place **entries, uint32_t *nentries)
{
	struct reader r = reader_over(plain);
	uint32_t nb = read_u32(&r);
	uint32_t ne = read_u32(&r);

	if (!r.ok || r.rest.len != (uint64_t)nb * PLACE_BYTES + (uint64_t)ne * ENTRY_BYTES)
		return RC_CORRUPT;
	*nblocks = nb;
	*nentries = ne;
	*blocks = mem_array((size_t)nb + 1, sizeof(**blocks));
	*entries = mem_array((size_t)ne + 1, sizeof(**entries));
	for (uint32_t i = 0; i < nb; i++) {
		struct block_place *b = &(*blocks)[i];

		b->offset = read_u64(&r);
		b->lot = read_u64(&r);
		b->plain = read_u32(&r);
		b->stored = read_u32(&r);
		b->messages = read_u32(&r);
		b->flags = read_u32(&r);
	}
	for (uint32_t i = 0; i < ne; i++) {
		struct entry_place *p = &(*entries)[i];

		memcpy(p->id.b, read_bytes(&r, ID_BYTES).at, ID_BYTES);
		p->block = read_u32(&r);
		p->at = read_u32(&r);
	}
	return RC_OK;
}

enum rc directory_open(struct slice sealed, struct block_place **blocks, uint32_t *nblocks,
                       struct entry_place **entries, uint32_t *nentries,
                       const struct segment_header *h, const struct segment_keys *k)
{
	uint8_t bound[32];
	uint8_t *plain;
	enum rc rc;

	if (sealed.len < CRYPT_OVERHEAD)
		return RC_CORRUPT;
	plain = mem_new(sealed.len - CRYPT_OVERHEAD + 1);
	directory_bound(bound, h);
	rc = crypt_open(plain, sealed, slice_of(bound, sizeof(bound)), k->directory);
	if (rc == RC_OK)
		rc = places_get(slice_of(plain, sealed.len - CRYPT_OVERHEAD), blocks, nblocks,
		                entries, nentries);
	free(plain);
	return rc;
}
