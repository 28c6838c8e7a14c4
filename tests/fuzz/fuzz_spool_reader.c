/*
 * fuzz_spool_reader - the reader of one spool file
 *
 * Byte 0 chooses. Even: the rest is the file, as a disk would give it. Odd: the rest is a recipe of
 * records that a broken-into writer could make: authentic, with any type, number, lengths and
 * content, laid where the recipe says; then flips of bytes. Whatever comes, the reader must end,
 * stay inside its buffers and give slices of its buffer only.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "base/codec.h"
#include "base/file.h"
#include "ingest/spool/reader.h"
#include "store/crypt.h"

#define FILE_BYTES 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t secret[SPOOL_KEY] = { 9, 8, 7, 6, 5, 4, 3, 2, 1 };

static void on_lost(void *arg, uint64_t offset, uint64_t records, const char *text)
{
	(void)offset;
	(void)records;
	MUST(text != NULL);
	(*(unsigned *)arg)++;
}

static void put_file_header(uint8_t *file, uint8_t chain[SPOOL_KEY])
{
	struct spool_file_header h = { .number = 7, .epoch = { 5 }, .capacity = FILE_BYTES };

	memset(chain, 3, SPOOL_KEY);
	spool_public_key(h.public_key, secret);
	spool_file_header_put(file, &h, chain);
	memcpy(file + FILE_BYTES - SPOOL_GROUP_ALIGN, file, SPOOL_FILE_HEADER);
}

/* One record of the recipe; false when the recipe is used up. */
static bool put_record(uint8_t *file, struct reader *r, uint8_t chain[SPOOL_KEY], uint64_t *n,
                       uint64_t *at)
{
	struct spool_header h = { .epoch = { 5 } };
	struct spool_keys keys;
	uint8_t how = read_u8(r);
	uint64_t plain = read_u16(r) % 2048 + 1;
	struct slice content;
	struct slice tail;

	h.type = (enum spool_type)(1 + how % 3);
	for (unsigned skip = how >> 6; skip; skip--, (*n)++)
		spool_chain_next(chain); /* numbers that are missing */
	*at = spool_align(*at + (how & 8 ? read_u16(r) : 0), SPOOL_RECORD_ALIGN);
	h.n = *n + (how & 16 ? read_u8(r) : 0);
	h.synced_before = how & 32 ? read_u16(r) : 0;
	h.length = spool_sealed_bytes(plain);
	if (!r->ok || *at + spool_record_bytes(h.length) > FILE_BYTES - SPOOL_GROUP_ALIGN)
		return false;
	content = slice_part(r->rest, 0, (size_t)plain);
	r->rest = slice_from(r->rest, content.len);
	memset(file + *at, 0, SPOOL_HEADER + (size_t)plain);
	if (content.len)
		memcpy(file + *at + SPOOL_HEADER, content.at, content.len);
	if (how & 4 && plain >= SPOOL_TRAILER) { /* lengths that may fit */
		tail = slice_part(r->rest, 0, SPOOL_TRAILER);
		r->rest = slice_from(r->rest, tail.len);
		if (tail.len)
			memcpy(file + *at + SPOOL_HEADER + plain - tail.len, tail.at, tail.len);
	}
	spool_chain_keys(&keys, chain);
	spool_header_put(file + *at, &h, &keys);
	spool_seal_all(file + *at + SPOOL_HEADER, plain, slice_of(file + *at, SPOOL_HEADER),
	               keys.seal);
	spool_chain_next(chain);
	(*n)++;
	*at += spool_record_bytes(h.length);
	return true;
}

static void cook(uint8_t *file, struct slice recipe)
{
	struct reader r = reader_over(recipe);
	uint8_t chain[SPOOL_KEY];
	unsigned flips = read_u8(&r) % 4;
	uint64_t n = 0;
	uint64_t at = SPOOL_FIRST;
	uint16_t places[3];
	uint8_t bits[3];

	for (unsigned i = 0; i < flips; i++) {
		places[i] = read_u16(&r);
		bits[i] = read_u8(&r);
	}
	put_file_header(file, chain);
	while (put_record(file, &r, chain, &n, &at))
		;
	for (unsigned i = 0; i < flips; i++)
		file[places[i]] ^= bits[i];
}

static bool inside(struct slice s, const struct buf *b)
{
	return s.len == 0 || (s.at >= b->at && s.at + s.len <= b->at + b->len);
}

static void read_file(const struct file *f, uint64_t size, uint64_t synced)
{
	struct spool_reader *r;
	struct spool_found found;
	struct buf into;
	unsigned lost = 0;
	uint64_t last = 0;
	enum rc rc = spool_reader_open(&r, f, 7, secret, on_lost, &lost, NULL);

	if (rc != RC_OK)
		return;
	buf_init(&into, SPOOL_RECORD_MAX);
	while ((rc = spool_reader_next(r, size, synced, &into, &found, NULL)) == RC_OK) {
		MUST(found.end > last && found.end <= size && found.begin >= last);
		MUST(inside(found.meta, &into) && inside(found.raw, &into));
		MUST(found.records <= found.end / SPOOL_RECORD_ALIGN);
		last = found.end;
	}
	MUST(rc == RC_AGAIN || rc == RC_NOTFOUND);
	buf_free(&into);
	spool_reader_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t file[FILE_BYTES];
	static struct file *f;
	uint8_t how;

	if (!f) {
		crypt_init();
		f = file_adopt(memfd_create("spool", MFD_CLOEXEC), "spool");
	}
	if (size < 1)
		return 0;
	how = data[0];
	memset(file, 0, sizeof(file));
	if (how & 1)
		cook(file, slice_of(data + 1, size - 1));
	else
		memcpy(file, data + 1, MIN_OF(size - 1, sizeof(file)));
	MUST(file_write_at(f, slice_of(file, sizeof(file)), 0, NULL) == RC_OK);
	read_file(f, sizeof(file), how & 2 ? 20000 : 0);
	return 0;
}
