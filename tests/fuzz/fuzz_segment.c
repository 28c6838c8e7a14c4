/* tests/fuzz/fuzz_segment.c - segment files and what lies behind their encryption
 *
 * First byte: 0 the rest is a segment file, opened, walked and closed; 1 the rest is the plain
 * content of a block; 2 the inner bytes (a zstd frame) of a block that is sealed right; 3 the plain
 * content of a directory that is sealed right; 4 triples (offset of 16 bits, value) written over a
 * good segment file. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/log.h"
#include "store/store_inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t master[KEY_BYTES] = "fuzz";
static char dir[] = "/tmp/mm-fuzz-segment-XXXXXX";
static char *path;
static struct keyring *keys;
static struct buf good;
static struct segment_keys segment_keys;
static const struct segment_header header = { .archive = 1, .serial = 255 };

static void remove_all(void)
{
	static const char *const names[] = { "seg/1", "seg", "keys.a", "keys.b" };

	(void)!file_remove(path, NULL);
	for (size_t i = 0; i < COUNT(names); i++) {
		char *at = path_join(dir, names[i]);

		(void)(i < 2 ? rmdir(at) : unlink(at));
		free(at);
	}
	(void)rmdir(dir);
}

static enum rc take_path(void *arg, const char *name, struct err *e)
{
	(void)e;
	free(path);
	path = path_join(arg, name);
	return RC_OK;
}

static void fill(struct store *st)
{
	struct store_message m = { .raw = slice_str("From: a@b\r\n\r\ntext"),
		                   .meta = slice_str("{}") };

	sha256(m.sha256, m.raw);
	for (uint32_t i = 0; i < 12; i++) {
		m.id = id_make(20000 * MS_PER_DAY, i, (const uint8_t *)"abcdefgh");
		MUST(keyring_lot(keys, 1, 20000 + (int32_t)i % 2, 0, &m.lot, NULL) == RC_OK);
		MUST(store_put(st, 1, &m, NULL) == RC_OK);
		if (i % 5 == 4)
			MUST(store_sync(st, NULL, NULL, NULL) == RC_OK);
	}
	MUST(store_sync(st, NULL, NULL, NULL) == RC_OK);
}

static void make_store(void)
{
	struct key_info want = { .kind = KEY_ARCHIVE, .archive = 1 };
	struct store *st;
	uint8_t key[KEY_BYTES];
	uint64_t id;
	char *folder;

	log_init("fuzz", LOG_ERROR + 1);
	MUST(mkdtemp(dir));
	MUST(keyring_create(dir, master, NULL) == RC_OK);
	MUST(keyring_open(&keys, dir, master, NULL) == RC_OK);
	MUST(keyring_add(keys, &want, &id, NULL) == RC_OK);
	MUST(keyring_get(keys, id, key, NULL) == RC_OK);
	segment_keys_derive(&segment_keys, key);
	MUST(store_open(&st, dir, keys, NULL, NULL) == RC_OK);
	fill(st);
	store_close(&st);
	folder = path_join(dir, "seg/1");
	MUST(dir_list(folder, take_path, folder, NULL) == RC_OK);
	free(folder);
	buf_init(&good, 1 << 20);
	MUST(file_read_all(path, &good, NULL) == RC_OK);
	(void)atexit(remove_all);
}

static enum rc see_message(void *arg, uint32_t archive, const struct store_message *m,
                           const char *problem, struct err *e)
{
	uint8_t sum[32];

	(void)arg;
	(void)archive;
	(void)e;
	sha256(sum, m->raw);
	MUST(problem || memcmp(sum, m->sha256, 32) == 0);
	return RC_OK;
}

static void walk_file(struct slice bytes)
{
	const struct store_visit v = { .message = see_message };
	struct store *st;
	struct file *f;

	MUST(file_open(&f, path, FILE_APPEND, NULL) == RC_OK);
	MUST(file_truncate(f, 0, NULL) == RC_OK);
	MUST(file_write_at(f, bytes, 0, NULL) == RC_OK);
	file_close(&f);
	if (store_open(&st, dir, keys, NULL, NULL) != RC_OK)
		return;
	(void)!store_walk(st, 0, &v, NULL);
	/* A torn one is closed behind what it has. */
	(void)!store_sync(st, NULL, NULL, NULL);
	(void)!store_walk(st, 0, &v, NULL);
	store_close(&st);
}

static void patch_file(struct slice patches)
{
	uint8_t *bytes = mem_new(good.len);

	memcpy(bytes, good.at, good.len);
	for (; patches.len >= 3; patches = slice_from(patches, 3))
		bytes[get_le16(patches.at) % good.len] = patches.at[2];
	walk_file(slice_of(bytes, good.len));
	free(bytes);
}

static void read_plain(struct slice plain)
{
	struct store_block b;
	struct block_entry entry;
	size_t at = 0;

	(void)!block_describe(&b, plain);
	while (block_entry_read(&entry, plain, &at) == RC_OK)
		MUST(entry.part.len <= plain.len && entry.meta.len <= plain.len);
}

/* A header of ours around a frame that isn't: only the size it tells is written. */
static void open_frame(struct slice inner)
{
	struct block_header b = { .plain = 5000, .stored = (uint32_t)(inner.len + CRYPT_OVERHEAD) };
	uint8_t *whole = mem_new(BLOCK_HEADER + b.stored);
	uint8_t *plain = mem_new(b.plain);
	uint8_t bound[68];
	ZSTD_DCtx *z = ZSTD_createDCtx();

	block_header_encode(whole, &b, &header, &segment_keys);
	put_le32(bound, header.archive);
	put_le64(bound + 4, header.serial);
	memcpy(bound + 12, whole, BLOCK_HEADER - 16);
	crypt_seal(whole + BLOCK_HEADER, inner, slice_of(bound, sizeof(bound)), master);
	(void)!block_open(plain, &b, slice_of(whole, BLOCK_HEADER + b.stored), &header, master, z);
	(void)ZSTD_freeDCtx(z);
	free(plain);
	free(whole);
}

static void open_directory(struct slice plain)
{
	size_t n = plain.len + CRYPT_OVERHEAD;
	uint8_t *sealed = mem_new(n);
	uint8_t bound[32] = { 0 };
	struct block_place *blocks = NULL;
	struct entry_place *entries = NULL;
	uint32_t nblocks;
	uint32_t nentries;

	put_le32(bound, header.archive);
	put_le64(bound + 4, header.serial);
	crypt_seal(sealed, plain, slice_of(bound, sizeof(bound)), segment_keys.directory);
	(void)!directory_open(slice_of(sealed, n), &blocks, &nblocks, &entries, &nentries, &header,
	                      &segment_keys);
	free(blocks);
	free(entries);
	free(sealed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const modes[])(struct slice) = { walk_file, read_plain, open_frame,
		                                       open_directory, patch_file };

	if (!path)
		make_store();
	if (size)
		modes[data[0] % COUNT(modes)](slice_of(data + 1, size - 1));
	return 0;
}
