/* tests/fuzz/fuzz_keyring.c - key ring files that someone wrote over
 *
 * First byte: 0 the rest is keys.a, and keys.b is gone; 1 and 2 the rest are triples (offset of 16
 * bits, value) written over keys.a, or over both, of a good ring. Whatever opens must give the
 * right key or none. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/file.h"
#include "base/log.h"
#include "store/crypt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t master[KEY_BYTES] = "fuzz";
static char dir[] = "/tmp/mm-fuzz-keys-XXXXXX";
static char *path[2];
static struct buf good;
static uint64_t lot;
static uint8_t lot_key[KEY_BYTES];

static void remove_all(void)
{
	(void)!file_remove(path[0], NULL);
	(void)!file_remove(path[1], NULL);
	(void)rmdir(dir);
}

static void make_ring(void)
{
	struct key_info want = { .kind = KEY_ARCHIVE, .archive = 1 };
	struct keyring *kr;
	uint64_t id;

	log_init("fuzz", LOG_ERROR + 1);
	MUST(mkdtemp(dir));
	path[0] = path_join(dir, "keys.a");
	path[1] = path_join(dir, "keys.b");
	MUST(keyring_create(dir, master, NULL) == RC_OK);
	MUST(keyring_open(&kr, dir, master, NULL) == RC_OK);
	MUST(keyring_add(kr, &want, &id, NULL) == RC_OK);
	MUST(keyring_lot(kr, 1, 20000, 0, &lot, NULL) == RC_OK);
	MUST(keyring_get(kr, lot, lot_key, NULL) == RC_OK);
	keyring_close(&kr);
	buf_init(&good, 1 << 20);
	MUST(file_read_all(path[0], &good, NULL) == RC_OK);
	(void)atexit(remove_all);
}

/* Without a sync: nothing here must survive. */
static void put_file(const char *name, struct slice bytes)
{
	struct file *f;

	MUST(file_open(&f, name, FILE_APPEND, NULL) == RC_OK);
	MUST(file_truncate(f, 0, NULL) == RC_OK);
	MUST(file_write_at(f, bytes, 0, NULL) == RC_OK);
	file_close(&f);
}

static void patch(uint8_t *bytes, const uint8_t *data, size_t size)
{
	memcpy(bytes, good.at, good.len);
	for (; size >= 3; data += 3, size -= 3)
		bytes[get_le16(data) % good.len] = data[2];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct keyring *kr;
	uint8_t key[KEY_BYTES];
	uint8_t *bytes;

	if (!path[0])
		make_ring();
	if (!size)
		return 0;
	bytes = mem_new(good.len);
	patch(bytes, data + 1, size - 1);
	if (data[0] % 3 == 0) {
		put_file(path[0], slice_of(data + 1, size - 1));
		(void)!file_remove(path[1], NULL);
	} else {
		put_file(path[0], slice_of(bytes, good.len));
		put_file(path[1], data[0] % 3 == 1 ? buf_slice(&good) : slice_of(bytes, good.len));
	}
	free(bytes);
	if (keyring_open(&kr, dir, master, NULL) != RC_OK) {
		MUST(data[0] % 3 != 1); /* one replica is always enough */
		return 0;
	}
	if (keyring_get(kr, lot, key, NULL) == RC_OK)
		MUST(memcmp(key, lot_key, KEY_BYTES) == 0);
	keyring_close(&kr);
	return 0;
}
