#include "tests/unit/test.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <sys/pidfd.h>

#include "base/log.h"
#include "store/keyring.h"
#include "store/keyring_file.h"
#include "tests/unit/fault.h"
#include "tests/unit/store/scratch.h"

#define SLOT 512

static const uint8_t master[KEY_BYTES] = "0123456789abcdef0123456789abcde";
static const uint8_t other[KEY_BYTES] = "0123456789abcdef0123456789abcdX";

struct fixture {
	struct scratch s;
	struct keyring *kr;
	uint64_t archive;
	struct err e;
};

static void reopen(struct fixture *f)
{
	keyring_close(&f->kr);
	EXPECT_OK(keyring_open(&f->kr, f->s.dir, master, &f->e), &f->e);
}

static void begin(struct fixture *f)
{
	struct key_info want = { .kind = KEY_ARCHIVE, .archive = 7 };

	memset(f, 0, sizeof(*f));
	scratch_make(&f->s);
	EXPECT_OK(keyring_create(f->s.dir, master, &f->e), &f->e);
	reopen(f);
	EXPECT_OK(keyring_add(f->kr, &want, &f->archive, &f->e), &f->e);
}

static void end(struct fixture *f)
{
	keyring_close(&f->kr);
	scratch_remove(&f->s);
}

static uint64_t add_lot(struct fixture *f, int32_t day)
{
	uint64_t id = 0;

	EXPECT_OK(keyring_lot(f->kr, 7, day, 0, &id, &f->e), &f->e);
	return id;
}

/* Overwrites bytes of a replica. */
static void scribble(struct fixture *f, const char *replica, uint64_t at, const void *bytes,
                     size_t n)
{
	char *path = scratch_path(&f->s, replica);
	struct file *file;

	EXPECT_OK(file_open(&file, path, FILE_WRITE, &f->e), &f->e);
	EXPECT_OK(file_write_at(file, slice_of(bytes, n), at, &f->e), &f->e);
	file_close(&file);
	free(path);
}

static void peek(struct fixture *f, const char *replica, uint64_t at, void *to, size_t n)
{
	char *path = scratch_path(&f->s, replica);
	struct file *file;

	EXPECT_OK(file_open(&file, path, FILE_READ, &f->e), &f->e);
	EXPECT_OK(file_read_at(file, to, n, at, &f->e), &f->e);
	file_close(&file);
	free(path);
}

/* The slot whose id field is `id`. */
static uint32_t slot_of(struct fixture *f, const char *replica, uint64_t id)
{
	uint8_t raw[SLOT];

	for (uint32_t n = 1; n <= 256; n++) {
		peek(f, replica, (uint64_t)n * SLOT, raw, SLOT);
		if (memcmp(raw + 16, &id, sizeof(id)) == 0)
			return n;
	}
	fail_msg("key %llu has no slot", (unsigned long long)id);
	return 0;
}

static void test_keys_last(void **state)
{
	static const enum key_kind kinds[] = { KEY_SHARD, KEY_SPOOL, KEY_CONTROL,
		                               KEY_AUDIT, KEY_LOG,   KEY_QUEUE };
	struct fixture f;
	uint64_t ids[COUNT(kinds)];
	uint8_t keys[COUNT(kinds)][KEY_BYTES];
	uint8_t key[KEY_BYTES];

	(void)state;
	begin(&f);
	for (size_t i = 0; i < COUNT(kinds); i++) {
		struct key_info want = { .kind = kinds[i], .archive = 7, .object = 40 + i };

		EXPECT_OK(keyring_add(f.kr, &want, &ids[i], &f.e), &f.e);
		EXPECT_OK(keyring_get(f.kr, ids[i], keys[i], &f.e), &f.e);
	}
	reopen(&f);
	assert_int_equal(keyring_repaired(f.kr), 0);
	for (size_t i = 0; i < COUNT(kinds); i++) {
		struct key_info info;
		uint64_t id;

		EXPECT_OK(keyring_get(f.kr, ids[i], key, &f.e), &f.e);
		assert_memory_equal(key, keys[i], KEY_BYTES);
		EXPECT_OK(keyring_info(f.kr, ids[i], &info, &f.e), &f.e);
		assert_int_equal(info.kind, kinds[i]);
		assert_int_equal(info.object, 40 + i);
		assert_true(info.created_ms > 0);
		EXPECT_OK(keyring_find(f.kr, kinds[i], 7, 40 + i, &id, &f.e), &f.e);
		assert_int_equal(id, ids[i]);
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(keys[i], keys[j], KEY_BYTES);
	}
	assert_int_equal(keyring_get(f.kr, 999999, key, &f.e), RC_NOTFOUND);
	end(&f);
}

static void test_refusals(void **state)
{
	struct fixture f;
	struct key_info again = { .kind = KEY_ARCHIVE, .archive = 7 };
	struct key_info orphan = { .kind = KEY_LOT, .archive = 8 };
	struct key_info odd = { .kind = 99, .archive = 7 };
	struct keyring *kr;
	uint64_t id;

	(void)state;
	begin(&f);
	assert_int_equal(keyring_add(f.kr, &again, &id, &f.e), RC_EXISTS);
	assert_int_equal(keyring_add(f.kr, &orphan, &id, &f.e), RC_NOTFOUND);
	assert_int_equal(keyring_add(f.kr, &odd, &id, &f.e), RC_INVALID);
	assert_int_equal(keyring_create(f.s.dir, master, &f.e), RC_EXISTS);
	assert_int_equal(keyring_open(&kr, f.s.dir, other, &f.e), RC_CRYPTO);
	assert_null(kr);
	assert_int_equal(keyring_open(&kr, "/nonexistent", master, &f.e), RC_NOTFOUND);
	end(&f);
}

static void test_lots(void **state)
{
	struct fixture f;
	struct key_info info;
	struct key_info second = { .kind = KEY_LOT, .archive = 7, .day = 100, .generation = 9 };
	uint8_t key[KEY_BYTES];
	uint64_t a;
	uint64_t b;
	uint64_t c;

	(void)state;
	begin(&f);
	a = add_lot(&f, 100);
	assert_int_equal(add_lot(&f, 100), a);
	assert_int_not_equal(add_lot(&f, -5), a);
	EXPECT_OK(keyring_destroy(f.kr, &a, 1, &f.e), &f.e);
	EXPECT_OK(keyring_destroy(f.kr, &a, 1, &f.e), &f.e);
	assert_int_equal(keyring_get(f.kr, a, key, &f.e), RC_NOTFOUND);
	b = add_lot(&f, 100);
	assert_true(b > a);
	reopen(&f);
	assert_int_equal(add_lot(&f, 100), b);
	EXPECT_OK(keyring_info(f.kr, a, &info, &f.e), &f.e);
	assert_int_equal(info.state, KEY_DESTROYED);
	assert_int_equal(info.generation, 1);
	assert_true(info.destroyed_ms > 0);
	EXPECT_OK(keyring_info(f.kr, b, &info, &f.e), &f.e);
	assert_int_equal(info.generation, 2);
	/* The highest live generation is the lot; when it dies an older live one is again. */
	EXPECT_OK(keyring_add(f.kr, &second, &c, &f.e), &f.e);
	assert_int_equal(add_lot(&f, 100), c);
	EXPECT_OK(keyring_destroy(f.kr, &c, 1, &f.e), &f.e);
	assert_int_equal(add_lot(&f, 100), b);
	EXPECT_OK(keyring_destroy(f.kr, &b, 1, &f.e), &f.e);
	b = add_lot(&f, 100);
	EXPECT_OK(keyring_info(f.kr, b, &info, &f.e), &f.e);
	assert_int_equal(info.generation, 10);
	end(&f);
}

/* Nothing of a destroyed key is in either file, and ids and slots behave. */
static void test_destroyed_is_gone(void **state)
{
	struct fixture f;
	struct key_info spool = { .kind = KEY_SPOOL, .object = 1 };
	uint8_t before[SLOT];
	uint8_t after[SLOT];
	uint64_t ids[2];
	uint64_t later;
	uint32_t slots[2];

	(void)state;
	begin(&f);
	ids[0] = add_lot(&f, 100);
	EXPECT_OK(keyring_add(f.kr, &spool, &ids[1], &f.e), &f.e);
	for (int i = 0; i < 2; i++) {
		slots[i] = slot_of(&f, "keys.a", ids[i]);
		peek(&f, "keys.a", (uint64_t)slots[i] * SLOT, before, SLOT);
		EXPECT_OK(keyring_destroy(f.kr, &ids[i], 1, &f.e), &f.e);
		for (int r = 0; r < 2; r++) {
			peek(&f, r ? "keys.b" : "keys.a", (uint64_t)slots[i] * SLOT, after, SLOT);
			for (size_t at = 72; at < 144; at++)
				assert_int_equal(after[at], 0);
			assert_memory_not_equal(before, after, SLOT);
		}
	}
	/* A lot's tombstone stays, a spool key's slot is used again, an id never. */
	reopen(&f);
	EXPECT_OK(keyring_add(f.kr, &spool, &later, &f.e), &f.e);
	assert_true(later > ids[1]);
	assert_int_equal(keyring_get(f.kr, ids[1], after, &f.e), RC_NOTFOUND);
	EXPECT_OK(keyring_destroy(f.kr, &later, 1, &f.e), &f.e);
	for (int i = 0; i < 300; i++) {
		uint64_t id;

		EXPECT_OK(keyring_add(f.kr, &spool, &id, &f.e), &f.e);
		assert_true(id > later);
		later = id;
		EXPECT_OK(keyring_destroy(f.kr, &id, 1, &f.e), &f.e);
		if (i % 100 == 99)
			reopen(&f);
	}
	end(&f);
}

static void test_archive_key_takes_its_lots(void **state)
{
	struct fixture f;
	uint8_t key[KEY_BYTES];
	uint64_t lot;
	uint64_t id;

	(void)state;
	begin(&f);
	lot = add_lot(&f, 100);
	EXPECT_OK(keyring_destroy(f.kr, &f.archive, 1, &f.e), &f.e);
	assert_int_equal(keyring_get(f.kr, lot, key, &f.e), RC_NOTFOUND);
	assert_int_equal(keyring_lot(f.kr, 7, 101, 0, &id, &f.e), RC_NOTFOUND);
	end(&f);
}

/* Every byte of one replica may be damaged: it is repaired; in both, that key is lost and no other.
 */
static void test_repair(void **state)
{
	struct fixture f;
	uint8_t key[KEY_BYTES];
	uint8_t again[KEY_BYTES];
	uint64_t lot;
	uint64_t another;
	struct key_info info;
	char *path;
	uint64_t at[] = { 0, 9, 13, 20, 33, 41, 450, 490, 0, 0, 0, 0, 0, 0, 0 };
	uint32_t slot;

	(void)state;
	begin(&f);
	lot = add_lot(&f, 100);
	another = add_lot(&f, 101);
	EXPECT_OK(keyring_get(f.kr, lot, key, &f.e), &f.e);
	slot = slot_of(&f, "keys.b", lot);
	for (size_t i = 0; i < 7; i++)
		at[8 + i] = (uint64_t)slot * SLOT + 3 + i * 73;
	for (size_t i = 0; i < 2 * COUNT(at); i++) {
		uint64_t where = at[i / 2];
		uint8_t byte;
		uint8_t good[2 * SLOT];
		uint8_t mended[2 * SLOT];
		const char *name = i % 2 ? "keys.b" : "keys.a";

		keyring_close(&f.kr);
		peek(&f, name, where / SLOT * SLOT, good, SLOT);
		peek(&f, name, where, &byte, 1);
		byte ^= 0x40;
		scribble(&f, name, where, &byte, 1);
		reopen(&f);
		assert_int_equal(keyring_repaired(f.kr), 1);
		EXPECT_OK(keyring_get(f.kr, lot, again, &f.e), &f.e);
		assert_memory_equal(key, again, KEY_BYTES);
		peek(&f, "keys.a", where / SLOT * SLOT, good, SLOT);
		peek(&f, "keys.b", where / SLOT * SLOT, mended, SLOT);
		assert_memory_equal(good, mended, SLOT);
	}
	keyring_close(&f.kr);
	for (uint64_t r = 0; r < 2; r++) {
		uint8_t byte;

		peek(&f, r ? "keys.b" : "keys.a", (uint64_t)slot * SLOT + 80 + 10 * r, &byte, 1);
		byte ^= 1;
		scribble(&f, r ? "keys.b" : "keys.a", (uint64_t)slot * SLOT + 80 + 10 * r, &byte,
		         1);
	}
	for (int i = 0; i < 4; i++) {
		uint64_t next;

		reopen(&f);
		assert_int_equal(keyring_lost(f.kr), 1);
		assert_int_equal(keyring_lost_slot(f.kr, 0), slot);
		assert_int_equal(keyring_info(f.kr, lot, &info, &f.e), RC_NOTFOUND);
		EXPECT_OK(keyring_get(f.kr, another, key, &f.e), &f.e);
		/* Its name, day 100 generation 1, is not given again; nor is its slot. */
		next = add_lot(&f, 100);
		EXPECT_OK(keyring_info(f.kr, next, &info, &f.e), &f.e);
		assert_true(info.generation > 1);
		assert_int_not_equal(slot_of(&f, "keys.b", next), slot);
		assert_int_equal(keyring_find(f.kr, KEY_CONTROL, 0, 0, &next, &f.e), RC_CORRUPT);
		assert_non_null(strstr(f.e.text, "both replicas"));
		keyring_close(&f.kr);
		/* A replica that is made anew has no free slot there. */
		path = scratch_path(&f.s, i % 2 ? "keys.a" : "keys.b");
		assert_int_equal(unlink(path), 0);
		free(path);
	}
	reopen(&f);
	end(&f);
}

static void test_lost_file(void **state)
{
	static const char *const names[] = { "keys.a", "keys.b" };

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		struct fixture f;
		uint8_t key[KEY_BYTES];
		uint8_t again[KEY_BYTES];
		uint64_t lot;
		char *path;
		char *rest;

		begin(&f);
		lot = add_lot(&f, 100);
		EXPECT_OK(keyring_get(f.kr, lot, key, &f.e), &f.e);
		keyring_close(&f.kr);
		path = scratch_path(&f.s, names[i]);
		rest = scratch_path(&f.s, names[!i]);
		assert_int_equal(unlink(path), 0);
		reopen(&f);
		assert_true(keyring_repaired(f.kr) >= 2);
		reopen(&f);
		assert_int_equal(keyring_repaired(f.kr), 0);
		keyring_close(&f.kr);
		/* The one that was rebuilt carries the ring alone. */
		assert_int_equal(unlink(rest), 0);
		reopen(&f);
		EXPECT_OK(keyring_get(f.kr, lot, again, &f.e), &f.e);
		assert_memory_equal(key, again, KEY_BYTES);
		assert_int_equal(add_lot(&f, 100), lot);
		keyring_close(&f.kr);
		assert_int_equal(truncate(path, 3 * SLOT - 100), 0);
		reopen(&f);
		EXPECT_OK(keyring_get(f.kr, lot, again, &f.e), &f.e);
		assert_memory_equal(key, again, KEY_BYTES);
		free(path);
		free(rest);
		end(&f);
	}
}

/* A crash between replica A and B: the later write wins, so destroying goes forward and an added
 * key is there or not, as a whole. */
static void test_crash_between_replicas(void **state)
{
	struct fixture f;
	uint8_t old[SLOT];
	uint8_t key[KEY_BYTES];
	uint64_t lot;
	uint32_t slot;

	(void)state;
	begin(&f);
	lot = add_lot(&f, 100);
	slot = slot_of(&f, "keys.b", lot);
	peek(&f, "keys.b", (uint64_t)slot * SLOT, old, SLOT);
	EXPECT_OK(keyring_destroy(f.kr, &lot, 1, &f.e), &f.e);
	keyring_close(&f.kr);
	scribble(&f, "keys.b", (uint64_t)slot * SLOT, old, SLOT);
	reopen(&f);
	assert_int_equal(keyring_repaired(f.kr), 0); /* that was no damage */
	assert_int_equal(keyring_get(f.kr, lot, key, &f.e), RC_NOTFOUND);
	peek(&f, "keys.b", (uint64_t)slot * SLOT, old, SLOT);
	for (size_t at = 72; at < 144; at++)
		assert_int_equal(old[at], 0);
	lot = add_lot(&f, 101);
	slot = slot_of(&f, "keys.b", lot);
	keyring_close(&f.kr);
	memset(old, 0, SLOT);
	scribble(&f, "keys.b", (uint64_t)slot * SLOT, old, SLOT);
	reopen(&f);
	EXPECT_OK(keyring_get(f.kr, lot, key, &f.e), &f.e);
	assert_int_equal(add_lot(&f, 101), lot);
	end(&f);
}

/* Two slots swapped in both replicas: each is bound to its place. */
static void test_swapped_slots(void **state)
{
	struct fixture f;
	uint8_t a[SLOT];
	uint8_t b[SLOT];
	uint32_t slots[2];

	(void)state;
	begin(&f);
	slots[0] = slot_of(&f, "keys.a", add_lot(&f, 100));
	slots[1] = slot_of(&f, "keys.a", add_lot(&f, 101));
	keyring_close(&f.kr);
	peek(&f, "keys.a", (uint64_t)slots[0] * SLOT, a, SLOT);
	peek(&f, "keys.a", (uint64_t)slots[1] * SLOT, b, SLOT);
	for (int r = 0; r < 2; r++) {
		scribble(&f, r ? "keys.b" : "keys.a", (uint64_t)slots[0] * SLOT, b, SLOT);
		scribble(&f, r ? "keys.b" : "keys.a", (uint64_t)slots[1] * SLOT, a, SLOT);
	}
	reopen(&f);
	assert_int_equal(keyring_lost(f.kr), 2);
	end(&f);
}

struct count {
	unsigned live;
	unsigned dead;
	uint64_t last;
};

static enum rc count_key(void *arg, const struct key_info *k)
{
	struct count *c = arg;

	assert_true(k->id > c->last);
	c->last = k->id;
	if (k->state == KEY_LIVE)
		c->live++;
	else
		c->dead++;
	return RC_OK;
}

/* More keys than the first file holds, destroyed in one batch. */
static void test_many(void **state)
{
	struct fixture f;
	uint64_t ids[1500];
	struct count c = { 0 };
	uint8_t key[KEY_BYTES];

	(void)state;
	begin(&f);
	for (size_t i = 0; i < COUNT(ids); i++)
		ids[i] = add_lot(&f, (int32_t)i);
	reopen(&f);
	for (size_t i = 0; i < COUNT(ids); i++)
		EXPECT_OK(keyring_get(f.kr, ids[i], key, &f.e), &f.e);
	EXPECT_OK(keyring_destroy(f.kr, ids, 1000, &f.e), &f.e);
	reopen(&f);
	EXPECT_OK(keyring_each(f.kr, count_key, &c), &f.e);
	assert_int_equal(c.live, 501);
	assert_int_equal(c.dead, 1000);
	assert_int_equal(keyring_get(f.kr, ids[999], key, &f.e), RC_NOTFOUND);
	EXPECT_OK(keyring_get(f.kr, ids[1000], key, &f.e), &f.e);
	end(&f);
}

/* 300 random flips, one a time, in one replica: always opened, always the same keys. */
static void test_flips(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;
	uint8_t keys[20][KEY_BYTES];
	uint64_t ids[20];

	(void)state;
	begin(&f);
	for (int i = 0; i < 20; i++) {
		ids[i] = add_lot(&f, i);
		EXPECT_OK(keyring_get(f.kr, ids[i], keys[i], &f.e), &f.e);
	}
	for (int i = 0; i < 300; i++) {
		uint64_t where = scratch_random(&seed) % (24 * SLOT);
		const char *name = scratch_random(&seed) % 2 ? "keys.a" : "keys.b";
		uint8_t byte;
		uint8_t key[KEY_BYTES];

		keyring_close(&f.kr);
		peek(&f, name, where, &byte, 1);
		byte ^= (uint8_t)(1 << scratch_random(&seed) % 8);
		scribble(&f, name, where, &byte, 1);
		reopen(&f);
		assert_int_equal(keyring_repaired(f.kr), 1);
		for (int k = 0; k < 20; k++) {
			EXPECT_OK(keyring_get(f.kr, ids[k], key, &f.e), &f.e);
			assert_memory_equal(key, keys[k], KEY_BYTES);
		}
	}
	end(&f);
}

static void write_text(const char *path, const char *text)
{
	struct err e = { 0 };

	EXPECT_OK(file_replace(path, slice_str(text), &e), &e);
}

#define PHRASE "mm-master-key 1\npassphrase "
#define SALT   "00112233445566778899aabbccddeeff"

static const char hex[] = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

/* A command is watched by a pidfd, which valgrind (3.19) doesn't know. */
static void skip_without_pidfd(void)
{
	int fd = pidfd_open(getpid(), 0);

	if (fd < 0 && errno == ENOSYS)
		skip();
	(void)close(fd);
}

static void test_master_key_files(void **state)
{
	static const struct {
		const char *text;
		enum rc rc;
	} cases[] = {
		{ "mm-master-key 1\nraw @\n", RC_OK },
		{ "mm-master-key 1\r\nraw @\r\n", RC_OK },
		{ "mm-master-key 1\nraw @", RC_OK },
		{ "mm-master-key 1\ncommand echo @\n", RC_OK },
		{ "mm-master-key 1\ncommand echo @; exit 3\n", RC_CRYPTO },
		{ "mm-master-key 1\ncommand echo nonsense\n", RC_CRYPTO },
		{ "mm-master-key 1\ncommand kill -9 $$\n", RC_CRYPTO },
		{ "mm-master-key 1\ncommand echo @ @ @ @ @ @ @ @\n", RC_CRYPTO },
		{ "mm-master-key 1\ncommand\n", RC_INVALID },
		{ "mm-master-key 1\nraw 0011\n", RC_INVALID },
		{ "mm-master-key 2\nraw @\n", RC_INVALID },
		{ "mm-master-key 1\nrow @\n", RC_INVALID },
		{ "mm-master-key 1\npassphrase scrypt 1 8192 00 00\n", RC_INVALID },
		{ "mm-master-key 1\npassphrase argon2id 1 99999999999999 "
		  "00112233445566778899aabbccddeeff 00112233445566778899aabbccddeeff\n",
		  RC_INVALID },
		{ PHRASE "argon2id x 8192 " SALT " " SALT "\n", RC_INVALID },
		{ PHRASE "argon2id 1 x " SALT " " SALT "\n", RC_INVALID },
		{ PHRASE "argon2id 1 8192 0011 " SALT "\n", RC_INVALID },
		{ PHRASE "argon2id 1 8192 " SALT " 0011\n", RC_INVALID },
		{ PHRASE "argon2id 0 8192 " SALT " " SALT "\n", RC_INVALID },
		{ PHRASE "argon2id 1001 8192 " SALT " " SALT "\n", RC_INVALID },
		{ PHRASE "argon2id 1 8191 " SALT " " SALT "\n", RC_INVALID },
		{ PHRASE "argon2id 1 8192 " SALT " " SALT "\n", RC_CRYPTO },
		{ "", RC_INVALID },
	};
	struct scratch s;
	struct err e = { 0 };
	uint8_t want[KEY_BYTES];
	uint8_t key[KEY_BYTES];
	char *path;
	char *phrase;

	(void)state;
	skip_without_pidfd();
	scratch_make(&s);
	path = scratch_path(&s, "k");
	phrase = scratch_path(&s, "p");
	write_text(phrase, "correct horse battery\n");
	assert_int_equal(setenv("MM_PASSPHRASE_FILE", phrase, 1), 0);
	for (int i = 0; i < KEY_BYTES; i++)
		want[i] = (uint8_t)(i % 16 * 0x11);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf b;

		buf_init(&b, 1000);
		for (const char *c = cases[i].text; *c; c++)
			EXPECT_OK(*c == '@' ? buf_add_str(&b, hex) : buf_add_byte(&b, (uint8_t)*c),
			          &e);
		write_text(path, buf_text(&b));
		buf_free(&b);
		EXPECT(cases[i].text, master_key_read(path, key, &e) == cases[i].rc);
		EXPECT(cases[i].text, cases[i].rc != RC_OK || memcmp(key, want, KEY_BYTES) == 0);
	}
	assert_int_equal(master_key_create(path, &e), RC_EXISTS);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(master_key_read(path, key, &e), RC_NOTFOUND);
	EXPECT_OK(master_key_create(path, &e), &e);
	EXPECT_OK(master_key_read(path, want, &e), &e);
	assert_int_equal(unlink(path), 0);
	EXPECT_OK(master_key_copy(path, want, &e), &e);
	EXPECT_OK(master_key_read(path, key, &e), &e);
	assert_memory_equal(key, want, KEY_BYTES);
	assert_int_equal(unlink(path), 0);
	write_text(phrase, "short\n");
	assert_int_equal(master_key_create_passphrase(path, &e), RC_INVALID);
	write_text(phrase, "correct horse battery\n");
	EXPECT_OK(master_key_create_passphrase(path, &e), &e);
	EXPECT_OK(master_key_read(path, key, &e), &e);
	EXPECT_OK(master_key_read(path, want, &e), &e);
	assert_memory_equal(key, want, KEY_BYTES);
	write_text(phrase, "correct horse batterx\n");
	assert_int_equal(master_key_read(path, key, &e), RC_CRYPTO);
	write_text(phrase, "correct horse battery\r\n\n");
	EXPECT_OK(master_key_read(path, key, &e), &e);
	for (size_t i = 0; i < 2; i++) {
		static char longest[1025];

		memset(longest, 'a', i * 1024);
		write_text(phrase, longest);
		assert_int_equal(master_key_read(path, key, &e), RC_INVALID);
		assert_non_null(strstr(e.text, "empty or too long"));
	}
	assert_int_equal(unlink(phrase), 0);
	assert_int_equal(master_key_read(path, key, &e), RC_NOTFOUND);
	assert_non_null(strstr(e.text, "MM_PASSPHRASE_FILE"));
	assert_true(sodium_is_zero(key, sizeof(key)));
	free(path);
	free(phrase);
	scratch_remove(&s);
}

/* Lines behind the second: what their commands print, what is no such line, what is wrong. */
static void test_key_file(void **state)
{
	static const char text[] =
	        "mm-master-key 1\nraw @\n\nkms a:1 echo @\n# kms a:2 echo @\n"
	        "kms a:3 exit 1\nkms a:4 echo 00\nanything\nkms a:5  echo @ \r\n";
	static const char *const bad[] = { "kms", "kms a:1", "kms a:1 ",
		                           "kms a:1 true\nkms a:1 true" };
	static const bool there[] = { true, false, false, true };
	struct scratch s;
	struct err e = { 0 };
	struct key_file f;
	struct key_file copy;
	struct buf b;
	char *path;

	(void)state;
	skip_without_pidfd();
	scratch_make(&s);
	path = scratch_path(&s, "k");
	buf_init(&b, 2000);
	for (const char *c = text; *c; c++)
		EXPECT_OK(*c == '@' ? buf_add_str(&b, hex) : buf_add_byte(&b, (uint8_t)*c), &e);
	write_text(path, buf_text(&b));
	EXPECT_OK(key_file_read(path, &f, &e), &e);
	assert_int_equal(f.outers, COUNT(there));
	for (size_t i = 0; i < COUNT(there); i++) {
		assert_int_equal(f.outer[i].there, there[i]);
		if (there[i])
			assert_memory_equal(f.outer[i].key, f.master, KEY_BYTES);
	}
	assert_ptr_equal(key_file_outer(&f, slice_str("a:3")), &f.outer[1]);
	assert_null(key_file_outer(&f, slice_str("a:2")));
	key_file_copy(&copy, &f);
	key_file_free(&f);
	assert_true(sodium_is_zero(f.master, KEY_BYTES) &&
	            sodium_is_zero(f.outer[0].key, KEY_BYTES));
	assert_string_equal(key_file_outer(&copy, slice_str("a:5"))->arn, "a:5");
	key_file_free(&copy);
	for (size_t i = 0; i < COUNT(bad); i++) {
		buf_clear(&b);
		EXPECT_OK(buf_addf(&b, "mm-master-key 1\nraw %s\n%s\n", hex, bad[i]), &e);
		write_text(path, buf_text(&b));
		EXPECT(bad[i], key_file_read(path, &f, &e) == RC_INVALID);
		EXPECT(bad[i], f.outers == 0);
		EXPECT(bad[i], master_key_read(path, f.master, &e) == RC_OK);
	}
	buf_clear(&b);
	EXPECT_OK(buf_addf(&b, "mm-master-key 1\nraw %s\n", hex), &e);
	for (int i = 0; i <= KEY_OUTERS; i++)
		EXPECT_OK(buf_addf(&b, "kms a:%d :\n", i), &e);
	write_text(path, buf_text(&b));
	assert_int_equal(key_file_read(path, &f, &e), RC_INVALID);
	buf_free(&b);
	free(path);
	scratch_remove(&s);
}

/* Where others could have written its commands root runs none of them; the key itself it reads. */
static void test_commands_of_others(void **state)
{
	static const struct {
		const char *name;
		mode_t file, folder;
		uid_t file_owner, folder_owner;
		bool run;
	} cases[] = {
		{ "root's", 0600, 0755, 0, 0, true },
		{ "sticky", 0644, 01777, 0, 0, true },
		{ "another's file", 0600, 0755, 1, 0, false },
		{ "the group's file", 0660, 0755, 0, 0, false },
		{ "everybody's file", 0602, 0755, 0, 0, false },
		{ "another's file in a sticky folder", 0600, 01777, 1, 0, false },
		{ "another's folder", 0600, 0755, 0, 1, false },
		{ "another's sticky folder", 0600, 01777, 0, 1, false },
		{ "the group's folder", 0600, 0770, 0, 0, false },
		{ "everybody's folder", 0600, 0777, 0, 0, false },
	};
	struct scratch s;
	struct err e = { 0 };
	struct key_file f;
	struct buf kinds[2]; /* a command for the master key; one for another */
	char *dir;
	char *path;

	(void)state;
	skip_without_pidfd();
	if (geteuid() != 0)
		skip();
	scratch_make(&s);
	dir = scratch_path(&s, "d");
	path = scratch_path(&s, "d/k");
	assert_int_equal(mkdir(dir, 0700), 0);
	for (size_t k = 0; k < 2; k++)
		buf_init(&kinds[k], 1000);
	EXPECT_OK(buf_addf(&kinds[0], "mm-master-key 1\ncommand echo %s\n", hex), &e);
	EXPECT_OK(buf_addf(&kinds[1], "mm-master-key 1\nraw %s\nkms a:1 echo %s\n", hex, hex), &e);
	for (size_t i = 0; i < 2 * COUNT(cases); i++) {
		size_t c = i / 2;
		bool run = cases[c].run;

		write_text(path, buf_text(&kinds[i % 2]));
		assert_int_equal(chmod(path, cases[c].file), 0);
		assert_int_equal(chown(path, cases[c].file_owner, 0), 0);
		assert_int_equal(chmod(dir, cases[c].folder), 0);
		assert_int_equal(chown(dir, cases[c].folder_owner, 0), 0);
		EXPECT(cases[c].name,
		       key_file_read(path, &f, &e) == (run || i % 2 ? RC_OK : RC_DENIED));
		EXPECT(cases[c].name, run || i % 2 || strstr(e.text, "chown root"));
		EXPECT(cases[c].name, i % 2 == 0 || f.outer[0].there == run);
		key_file_free(&f);
	}
	for (size_t k = 0; k < 2; k++)
		buf_free(&kinds[k]);
	free(path);
	free(dir);
	scratch_remove(&s);
}

/* One byte more than is read could have been the end of a command. */
static void test_long_key_file(void **state)
{
	struct scratch s;
	struct err e = { 0 };
	uint8_t key[KEY_BYTES];
	struct buf b;
	char *path;

	(void)state;
	scratch_make(&s);
	path = scratch_path(&s, "k");
	buf_init(&b, 20000);
	EXPECT_OK(buf_addf(&b, "mm-master-key 1\nraw %s\n", hex), &e);
	while (b.len < 16384)
		EXPECT_OK(buf_add_byte(&b, '#'), &e);
	write_text(path, buf_text(&b));
	EXPECT_OK(master_key_read(path, key, &e), &e);
	EXPECT_OK(buf_add_byte(&b, '#'), &e);
	write_text(path, buf_text(&b));
	assert_int_equal(master_key_read(path, key, &e), RC_INVALID);
	assert_non_null(strstr(e.text, "longer than 16384"));
	buf_free(&b);
	free(path);
	scratch_remove(&s);
}

static void *a_minute_passes(void *started)
{
	while (access(started, F_OK) != 0)
		(void)usleep(1000);
	fault_later(60001);
	return NULL;
}

/* One that doesn't end, and one that ended its output only: not waited for longer than a minute. */
static void test_command_that_hangs(void **state)
{
	static const char *const hangs[] = { "sleep 1000 | cat", "exec >&-; sleep 1000" };
	struct scratch s;
	struct err e = { 0 };
	uint8_t key[KEY_BYTES];
	char *path;
	char *started;

	(void)state;
	skip_without_pidfd();
	scratch_make(&s);
	path = scratch_path(&s, "k");
	started = scratch_path(&s, "started");
	for (size_t i = 0; i < COUNT(hangs); i++) {
		char text[400];
		pthread_t clock;

		(void)snprintf(text, sizeof(text), "mm-master-key 1\ncommand : >%s; %s\n", started,
		               hangs[i]);
		write_text(path, text);
		assert_int_equal(pthread_create(&clock, NULL, a_minute_passes, started), 0);
		EXPECT(hangs[i], master_key_read(path, key, &e) == RC_CRYPTO);
		EXPECT(hangs[i], strstr(e.text, "longer than 60 seconds"));
		assert_int_equal(pthread_join(clock, NULL), 0);
		fault_later(0);
		assert_int_equal(unlink(started), 0);
	}
	free(path);
	free(started);
	scratch_remove(&s);
}

/* A file that could not be written whole is not left behind: it would stand in the way of the next.
 */
static void test_master_key_fails(void **state)
{
	struct scratch s;
	struct err e = { 0 };
	uint8_t key[KEY_BYTES];
	bool hit = true;
	unsigned n;
	char *path;

	(void)state;
	scratch_make(&s);
	path = scratch_path(&s, "k");
	for (n = 1; hit; n++) {
		enum rc rc;

		fault_arm(FAULT_CHANGE, n, EIO, false);
		rc = master_key_create(path, &e);
		hit = fault_disarm();
		assert_int_equal(rc, hit ? RC_IO : RC_OK);
		assert_int_equal(access(path, F_OK) == 0, !hit);
	}
	assert_true(n > 4);
	fault_arm(FAULT_OPEN | FAULT_READ, 2, EIO, false);
	memset(key, 0xaa, sizeof(key));
	assert_int_equal(master_key_read(path, key, &e), RC_IO);
	assert_true(fault_disarm());
	EXPECT_OK(master_key_read(path, key, &e), &e);
	assert_int_equal(master_key_copy(path, key, &e), RC_EXISTS);
	EXPECT_OK(master_key_read(path, key, &e), &e); /* what was there before stays */
	free(path);
	scratch_remove(&s);
}

/* --- what only the ring itself could have written
 * -----------------------------------------------*/

/* A new ring's slots are taken from the last one down. */
enum { ARCHIVE_SLOT = 256, LOT_SLOT = 255 };

struct forge {
	struct keyring_files files;
	uint8_t seal[KEY_BYTES];
	struct keyring_slot slot[ARCHIVE_SLOT + 1]; /* as they are on disk; by number */
};

static enum rc forge_slot(void *arg, uint32_t number, const struct keyring_slot *s, struct err *e)
{
	struct forge *g = arg;

	(void)e;
	if (number < COUNT(g->slot))
		g->slot[number] = *s;
	return RC_OK;
}

/* Opens the files below the ring, which is closed: its seal is known here. */
static void forge_begin(struct fixture *f, struct forge *g)
{
	keyring_close(&f->kr);
	crypt_derive(g->seal, master, "mm key ring seal 1");
	EXPECT_OK(keyring_files_open(&g->files, f->s.dir, g->seal, forge_slot, g, &f->e), &f->e);
}

static void forge_write(struct fixture *f, struct forge *g, uint32_t number)
{
	EXPECT_OK(keyring_files_write(&g->files, &number, &g->slot[number], 1, &f->e), &f->e);
}

static enum rc open_again(struct fixture *f)
{
	return keyring_open(&f->kr, f->s.dir, master, &f->e);
}

/* Slots with a good sum that make no sense are damaged ones. */
static void test_senseless_slots(void **state)
{
	static const struct {
		const char *name;
		struct key_info info;
		uint64_t writes;
		size_t lost;
		enum rc rc;
	} cases[] = {
		{ "as it should be",
		  { 900, KEY_SPOOL, KEY_LIVE, 0, 0, 0, 0, 0, 0, 0, { 0 } },
		  9,
		  0,
		  RC_OK },
		{ "free", { 900, 0, KEY_FREE, 0, 0, 0, 0, 0, 0, 0, { 0 } }, 9, 0, RC_OK },
		{ "the last kind",
		  { 900, KEY_QUEUE, KEY_DESTROYED, 0, 0, 0, 0, 0, 0, 0, { 0 } },
		  9,
		  0,
		  RC_OK },
		{ "never written",
		  { 900, KEY_SPOOL, KEY_LIVE, 0, 0, 0, 0, 0, 0, 0, { 0 } },
		  0,
		  1,
		  RC_OK },
		{ "no id", { 0, KEY_SPOOL, KEY_LIVE, 0, 0, 0, 0, 0, 0, 0, { 0 } }, 9, 1, RC_OK },
		{ "no kind", { 900, 0, KEY_LIVE, 0, 0, 0, 0, 0, 0, 0, { 0 } }, 9, 1, RC_OK },
		{ "no such kind", { 900, 9, KEY_LIVE, 0, 0, 0, 0, 0, 0, 0, { 0 } }, 9, 1, RC_OK },
		{ "no such state", { 900, KEY_SPOOL, 3, 0, 0, 0, 0, 0, 0, 0, { 0 } }, 9, 1, RC_OK },
		{ "a key of another slot",
		  { 1, KEY_SPOOL, KEY_LIVE, 0, 0, 0, 0, 0, 0, 0, { 0 } },
		  9,
		  0,
		  RC_CORRUPT },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct fixture f;
		struct forge g;

		begin(&f);
		forge_begin(&f, &g);
		g.slot[3].info = cases[i].info;
		g.slot[3].writes = cases[i].writes;
		forge_write(&f, &g, 3);
		keyring_files_close(&g.files);
		EXPECT(cases[i].name, open_again(&f) == cases[i].rc);
		EXPECT(cases[i].name, (f.kr != NULL) == (cases[i].rc == RC_OK));
		if (!f.kr) {
			EXPECT(cases[i].name, strstr(f.e.text, "key 1 is in two slots"));
		} else if (cases[i].lost) {
			EXPECT(cases[i].name, keyring_lost(f.kr) == 1);
			EXPECT(cases[i].name, keyring_lost_slot(f.kr, 0) == 3);
		} else { /* and its id is never given again */
			EXPECT(cases[i].name, keyring_lost(f.kr) == 0);
			EXPECT(cases[i].name, add_lot(&f, 5) > 900);
		}
		end(&f);
	}
}

/* --- archives under a further key --------------------------------------------------------------*/

/* What is under it opens with both keys, and with neither alone; all else opens without it. */
static void test_outer(void **state)
{
	static const uint8_t outer[KEY_BYTES] = { 7 };
	static const uint8_t wrong[KEY_BYTES] = { 8 };
	struct key_info want = { .kind = KEY_ARCHIVE, .archive = 9 };
	struct key_info lot = { .kind = KEY_LOT, .archive = 9, .day = 1, .generation = 1 };
	struct key_info got;
	struct fixture f;
	struct forge g;
	uint8_t check[KEY_CHECK];
	uint8_t said[KEY_CHECK];
	uint8_t wrong_check[KEY_CHECK];
	static const uint8_t none[KEY_CHECK];
	uint8_t first[2][KEY_BYTES];
	uint8_t key[KEY_BYTES];
	uint64_t id[2];

	(void)state;
	begin(&f);
	memset(want.outer, 1, KEY_CHECK);
	assert_int_equal(keyring_add(f.kr, &want, &id[0], &f.e), RC_CRYPTO);
	keyring_take_outer(f.kr, outer, check);
	assert_false(sodium_is_zero(check, KEY_CHECK));
	memcpy(want.outer, check, KEY_CHECK);
	EXPECT_OK(keyring_add(f.kr, &want, &id[0], &f.e), &f.e);
	EXPECT_OK(keyring_add(f.kr, &lot, &id[1], &f.e), &f.e);
	for (int i = 0; i < 2; i++)
		EXPECT_OK(keyring_get(f.kr, id[i], first[i], &f.e), &f.e);

	reopen(&f);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(keyring_get(f.kr, id[i], key, &f.e), RC_CRYPTO);
		assert_non_null(strstr(f.e.text, "archive 9 is under a further key"));
		assert_true(sodium_is_zero(key, sizeof(key)));
	}
	lot.day = 2;
	assert_int_equal(keyring_add(f.kr, &lot, &id[1], &f.e), RC_CRYPTO);
	EXPECT_OK(keyring_get(f.kr, f.archive, key, &f.e), &f.e);
	EXPECT_OK(keyring_info(f.kr, id[0], &got, &f.e), &f.e);
	assert_memory_equal(got.outer, check, KEY_CHECK);
	assert_false(keyring_has_outer(f.kr, &got));
	keyring_take_outer(f.kr, wrong, wrong_check);
	assert_memory_not_equal(check, wrong_check, KEY_CHECK);
	assert_false(keyring_has_outer(f.kr, &got));
	assert_int_equal(keyring_get(f.kr, id[0], key, &f.e), RC_CRYPTO);
	for (int i = 0; i < 2 * KEY_OUTERS; i++) /* each counts once */
		keyring_take_outer(f.kr, outer, said);
	assert_true(keyring_has_outer(f.kr, &got));
	for (int i = 0; i < 2; i++) {
		EXPECT_OK(keyring_get(f.kr, id[i], key, &f.e), &f.e);
		assert_memory_equal(key, first[i], KEY_BYTES);
	}

	/* Whoever has the master key and says that no further one is needed, or that another one
	 * is. */
	for (int i = 0; i < 2; i++) {
		memset(&g, 0, sizeof(g));
		forge_begin(&f, &g);
		assert_int_equal(g.slot[LOT_SLOT].info.id, id[0]);
		memcpy(g.slot[LOT_SLOT].info.outer, i ? wrong_check : none, KEY_CHECK);
		forge_write(&f, &g, LOT_SLOT);
		keyring_files_close(&g.files);
		reopen(&f);
		keyring_take_outer(f.kr, wrong, said);
		assert_int_equal(keyring_get(f.kr, id[0], key, &f.e), RC_CORRUPT);
		assert_int_equal(keyring_get(f.kr, id[1], key, &f.e), RC_CORRUPT);
	}
	EXPECT_OK(keyring_destroy(f.kr, id, 2, &f.e), &f.e); /* that takes no key */
	assert_int_equal(keyring_get(f.kr, id[0], key, &f.e), RC_NOTFOUND);
	end(&f);
}

/* Keys whose wrap is damaged, though the slot's sum holds; and a wrap by what is no archive's key.
 */
static void test_keys_that_do_not_unwrap(void **state)
{
	struct fixture f;
	struct forge g;
	uint8_t key[KEY_BYTES];
	uint64_t lot;
	uint64_t id;

	(void)state;
	begin(&f);
	lot = add_lot(&f, 100);
	forge_begin(&f, &g);
	assert_int_equal(g.slot[LOT_SLOT].info.id, lot);
	g.slot[LOT_SLOT].wrapped[30] ^= 1;
	forge_write(&f, &g, LOT_SLOT);
	keyring_files_close(&g.files);
	EXPECT_OK(open_again(&f), &f.e);
	memset(key, 0xaa, sizeof(key));
	assert_int_equal(keyring_get(f.kr, lot, key, &f.e), RC_CORRUPT);
	assert_non_null(strstr(f.e.text, "does not unwrap"));
	assert_true(sodium_is_zero(key, sizeof(key)));
	/* The archive's key: none of its lots opens, and none can be added. */
	forge_begin(&f, &g);
	g.slot[ARCHIVE_SLOT].wrapped[30] ^= 1;
	forge_write(&f, &g, ARCHIVE_SLOT);
	keyring_files_close(&g.files);
	EXPECT_OK(open_again(&f), &f.e);
	memset(key, 0xaa, sizeof(key));
	assert_int_equal(keyring_get(f.kr, lot, key, &f.e), RC_CORRUPT);
	assert_true(sodium_is_zero(key, sizeof(key)));
	assert_int_equal(keyring_lot(f.kr, 7, 101, 0, &id, &f.e), RC_CORRUPT);
	/* Wrapped by a lot's key. */
	forge_begin(&f, &g);
	g.slot[3] = g.slot[LOT_SLOT];
	g.slot[3].info.id = 900;
	g.slot[3].wrapped_by = lot;
	forge_write(&f, &g, 3);
	keyring_files_close(&g.files);
	EXPECT_OK(open_again(&f), &f.e);
	assert_int_equal(keyring_get(f.kr, 900, key, &f.e), RC_NOTFOUND);
	memset(key, 0xaa, sizeof(key));
	assert_int_equal(keyring_get(f.kr, 12345, key, &f.e), RC_NOTFOUND);
	assert_true(sodium_is_zero(key, sizeof(key)));
	end(&f);
}

/* The slot of an archive's key is damaged in both replicas: that its lots open no more is damage,
 * not what a purge left. */
static void test_lost_archive_key(void **state)
{
	static const uint8_t noise[SLOT] = { 1 };
	struct fixture f;
	uint8_t key[KEY_BYTES];
	uint64_t lot;

	(void)state;
	begin(&f);
	lot = add_lot(&f, 100);
	keyring_close(&f.kr);
	scribble(&f, "keys.a", (uint64_t)ARCHIVE_SLOT * SLOT, noise, SLOT);
	scribble(&f, "keys.b", (uint64_t)ARCHIVE_SLOT * SLOT, noise, SLOT);
	EXPECT_OK(open_again(&f), &f.e);
	assert_int_equal(keyring_get(f.kr, lot, key, &f.e), RC_CORRUPT);
	assert_non_null(strstr(f.e.text, "the key of archive 7 is lost"));
	end(&f);
}

/* A ring that has grown large grows by 8192 slots; one of 2^26 doesn't grow. */
static void test_growth(void **state)
{
	enum { SLOTS = 33000 };
	struct fixture f;
	struct forge g;
	uint32_t *numbers = mem_array(SLOTS, sizeof(*numbers));
	struct keyring_slot *slots = mem_array(SLOTS, sizeof(*slots));
	uint8_t key[KEY_BYTES];
	uint64_t id;

	(void)state;
	begin(&f);
	forge_begin(&f, &g);
	EXPECT_OK(keyring_files_grow(&g.files, SLOTS - g.files.header.slots, &f.e), &f.e);
	keyring_files_close(&g.files);
	EXPECT_OK(open_again(&f), &f.e); /* all of them free */
	id = add_lot(&f, 5);
	EXPECT_OK(keyring_get(f.kr, id, key, &f.e), &f.e);
	forge_begin(&f, &g);
	for (uint32_t i = 0; i < SLOTS; i++) {
		numbers[i] = i + 1;
		slots[i].writes = 9;
		slots[i].info = (struct key_info) { .id = 1000 + i,
			                            .kind = KEY_LOT,
			                            .state = KEY_DESTROYED,
			                            .archive = 9,
			                            .day = (int32_t)i };
	}
	slots[ARCHIVE_SLOT - 1] = g.slot[ARCHIVE_SLOT];
	EXPECT_OK(keyring_files_write(&g.files, numbers, slots, SLOTS, &f.e), &f.e);
	assert_int_equal(keyring_files_grow(&g.files, UINT32_C(1) << 26, &f.e), RC_LIMIT);
	assert_non_null(strstr(f.e.text, "33000 slots"));
	keyring_files_close(&g.files);
	EXPECT_OK(open_again(&f), &f.e);
	add_lot(&f, 6);
	forge_begin(&f, &g);
	assert_int_equal(g.files.header.slots, SLOTS + 8192);
	keyring_files_close(&g.files);
	free(numbers);
	free(slots);
	end(&f);
}

/* --- order of keys
 * ------------------------------------------------------------------------------*/

/* The newest is found although it lies in an older slot. */
static void test_newest_of_a_kind(void **state)
{
	struct key_info want = { .kind = KEY_CONTROL };
	struct key_info none;
	struct fixture f;
	uint64_t ids[3];
	uint64_t id;

	(void)state;
	begin(&f);
	EXPECT_OK(keyring_add(f.kr, &want, &ids[0], &f.e), &f.e);
	EXPECT_OK(keyring_add(f.kr, &want, &ids[1], &f.e), &f.e);
	reopen(&f);
	EXPECT_OK(keyring_find(f.kr, KEY_CONTROL, 0, 0, &id, &f.e), &f.e);
	assert_int_equal(id, ids[1]);
	EXPECT_OK(keyring_destroy(f.kr, &ids[0], 1, &f.e), &f.e);
	EXPECT_OK(keyring_add(f.kr, &want, &ids[2], &f.e), &f.e);
	EXPECT_OK(keyring_find(f.kr, KEY_CONTROL, 0, 0, &id, &f.e), &f.e);
	assert_int_equal(id, ids[2]);
	reopen(&f);
	EXPECT_OK(keyring_find(f.kr, KEY_CONTROL, 0, 0, &id, &f.e), &f.e);
	assert_int_equal(id, ids[2]);
	assert_int_equal(keyring_find(f.kr, KEY_CONTROL, 0, 1, &id, &f.e), RC_NOTFOUND);
	/* Of an archive's key no object is asked. */
	EXPECT_OK(keyring_find(f.kr, KEY_ARCHIVE, 7, 55, &id, &f.e), &f.e);
	assert_int_equal(id, f.archive);
	assert_int_equal(keyring_find(f.kr, KEY_ARCHIVE, 8, 0, &id, &f.e), RC_NOTFOUND);
	/* A tombstone isn't found, but told about; what never was isn't. */
	id = add_lot(&f, 100);
	EXPECT_OK(keyring_destroy(f.kr, &id, 1, &f.e), &f.e);
	assert_int_equal(keyring_find(f.kr, KEY_LOT, 7, 0, &ids[0], &f.e), RC_NOTFOUND);
	EXPECT_OK(keyring_info(f.kr, id, &none, &f.e), &f.e);
	assert_int_equal(none.state, KEY_DESTROYED);
	assert_int_equal(keyring_info(f.kr, 12345, &none, &f.e), RC_NOTFOUND);
	none = (struct key_info) { .kind = 0 };
	assert_int_equal(keyring_add(f.kr, &none, &id, &f.e), RC_INVALID);
	/* When an archive's key is gone, it can have another. */
	EXPECT_OK(keyring_destroy(f.kr, &f.archive, 1, &f.e), &f.e);
	want = (struct key_info) { .kind = KEY_ARCHIVE, .archive = 7 };
	EXPECT_OK(keyring_add(f.kr, &want, &id, &f.e), &f.e);
	assert_true(id > f.archive);
	end(&f);
}

static void test_generations(void **state)
{
	struct key_info lot = { .kind = KEY_LOT, .archive = 7, .day = 100, .generation = 9 };
	struct fixture f;
	struct key_info info;
	uint64_t nine;
	uint64_t three;
	uint64_t of_class;

	(void)state;
	begin(&f);
	EXPECT_OK(keyring_add(f.kr, &lot, &nine, &f.e), &f.e);
	lot.generation = 3;
	EXPECT_OK(keyring_add(f.kr, &lot, &three, &f.e), &f.e);
	assert_int_equal(add_lot(&f, 100), nine);
	/* Others that live don't stand in for it: another day's, class's, archive's. */
	add_lot(&f, 101);
	EXPECT_OK(keyring_lot(f.kr, 7, 100, 1, &of_class, &f.e), &f.e);
	lot = (struct key_info) { .kind = KEY_ARCHIVE, .archive = 6 };
	EXPECT_OK(keyring_add(f.kr, &lot, &of_class, &f.e), &f.e);
	EXPECT_OK(keyring_lot(f.kr, 6, 100, 0, &of_class, &f.e), &f.e);
	EXPECT_OK(keyring_destroy(f.kr, &nine, 1, &f.e), &f.e);
	assert_int_equal(add_lot(&f, 100), three);
	/* One that isn't the newest dies. */
	lot = (struct key_info) { .kind = KEY_LOT, .archive = 7, .day = 100, .generation = 11 };
	EXPECT_OK(keyring_add(f.kr, &lot, &nine, &f.e), &f.e);
	EXPECT_OK(keyring_destroy(f.kr, &three, 1, &f.e), &f.e);
	assert_int_equal(add_lot(&f, 100), nine);
	EXPECT_OK(keyring_info(f.kr, nine, &info, &f.e), &f.e);
	assert_int_equal(info.generation, 11);
	end(&f);
}

static enum rc stop_at_second(void *arg, const struct key_info *k)
{
	unsigned *calls = arg;

	(void)k;
	return ++*calls == 2 ? RC_HELD : RC_OK;
}

static void test_each_stops_and_nothing_is_destroyed(void **state)
{
	struct fixture f;
	unsigned calls = 0;
	uint64_t twice[3];
	struct count c = { 0 };

	(void)state;
	begin(&f);
	EXPECT_OK(keyring_destroy(f.kr, &f.archive, 1, &f.e), &f.e);
	EXPECT_OK(keyring_each(f.kr, stop_at_second, &calls), &f.e);
	assert_int_equal(calls, 0);
	end(&f);
	begin(&f);
	for (int i = 0; i < 3; i++)
		twice[0] = add_lot(&f, i);
	assert_int_equal(keyring_each(f.kr, stop_at_second, &calls), RC_HELD);
	assert_int_equal(calls, 2);
	EXPECT_OK(keyring_destroy(f.kr, NULL, 0, &f.e), &f.e);
	twice[1] = twice[0];
	twice[2] = 777;
	EXPECT_OK(keyring_destroy(f.kr, twice, 3, &f.e), &f.e);
	EXPECT_OK(keyring_each(f.kr, count_key, &c), &f.e);
	assert_int_equal(c.live, 3);
	assert_int_equal(c.dead, 1);
	end(&f);
}

/* --- the replicas
 * -------------------------------------------------------------------------------*/

/* An older copy of replica A put back: B is right, and A is mended, for lots and for other keys. */
static void test_older_copy(void **state)
{
	struct key_info spool = { .kind = KEY_SPOOL, .object = 1 };

	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		struct fixture f;
		uint8_t old[SLOT];
		uint8_t now[SLOT];
		uint8_t key[KEY_BYTES];
		uint64_t id;
		uint64_t at;

		begin(&f);
		if (kind == 0)
			id = add_lot(&f, 100);
		else
			EXPECT_OK(keyring_add(f.kr, &spool, &id, &f.e), &f.e);
		at = (uint64_t)slot_of(&f, "keys.a", id) * SLOT;
		peek(&f, "keys.a", at, old, SLOT);
		EXPECT_OK(keyring_destroy(f.kr, &id, 1, &f.e), &f.e);
		if (kind == 2) { /* and the slot has another key since */
			peek(&f, "keys.a", at, old, SLOT);
			EXPECT_OK(keyring_add(f.kr, &spool, &id, &f.e), &f.e);
			assert_int_equal((uint64_t)slot_of(&f, "keys.a", id) * SLOT, at);
		}
		keyring_close(&f.kr);
		scribble(&f, "keys.a", at, old, SLOT);
		reopen(&f);
		assert_int_equal(keyring_repaired(f.kr), 1);
		assert_int_equal(keyring_get(f.kr, id, key, &f.e), kind == 2 ? RC_OK : RC_NOTFOUND);
		peek(&f, "keys.a", at, now, SLOT);
		assert_memory_not_equal(now, old, SLOT);
		end(&f);
	}
}

static void test_headers(void **state)
{
	static const char *const names[] = { "keys.a", "keys.b" };
	struct fixture f;
	struct fixture g;
	uint8_t first[SLOT];
	uint8_t junk[SLOT];
	struct keyring *kr;

	(void)state;
	/* An older header in A: B's says how many slots there are. */
	begin(&f);
	peek(&f, "keys.a", 0, first, SLOT);
	for (int i = 0; i < 300; i++)
		add_lot(&f, i);
	keyring_close(&f.kr);
	scribble(&f, "keys.a", 0, first, SLOT);
	reopen(&f);
	for (int i = 0; i < 300; i++) {
		struct key_info info;

		EXPECT_OK(keyring_info(f.kr, add_lot(&f, i), &info, &f.e), &f.e);
		assert_int_equal(info.generation, 1);
	}
	/* A replica of another ring, under the same master key. */
	begin(&g);
	keyring_close(&f.kr);
	keyring_close(&g.kr);
	peek(&g, "keys.b", 0, first, SLOT);
	scribble(&f, "keys.b", 0, first, SLOT);
	assert_int_equal(keyring_open(&kr, f.s.dir, master, &f.e), RC_CORRUPT);
	assert_non_null(strstr(f.e.text, "two key rings"));
	/* One header junk, the other of another master key; then both junk. */
	memset(junk, 0x5a, sizeof(junk));
	for (int r = 0; r < 2; r++) {
		peek(&g, names[r], 0, first, SLOT);
		scribble(&g, names[r], 0, junk, SLOT);
		assert_int_equal(keyring_open(&kr, g.s.dir, other, &g.e), RC_CRYPTO);
		scribble(&g, names[r], 0, first, SLOT);
	}
	scribble(&g, "keys.a", 0, junk, SLOT);
	scribble(&g, "keys.b", 0, junk, SLOT);
	assert_int_equal(keyring_open(&kr, g.s.dir, master, &g.e), RC_CORRUPT);
	assert_non_null(strstr(g.e.text, "no valid header"));
	end(&f);
	end(&g);
}

/* --- calls that fail
 * ----------------------------------------------------------------------------*/

/* What a ring that was opened says of these keys: as before, or as the change would have it. */
static bool lives(struct fixture *f, uint64_t id)
{
	uint8_t key[KEY_BYTES];

	return keyring_get(f->kr, id, key, &f->e) == RC_OK;
}

/* Every call that adding a key makes fails once, where the files grow and ids are reserved: no key
 * is reported, the ring goes on with all it had, and so does one that is opened anew. */
static void test_add_fails(void **state)
{
	struct key_info want = { .kind = KEY_SPOOL, .object = 1 };
	bool hit = true;
	unsigned n;

	(void)state;
	for (n = 1; hit; n++) {
		struct fixture f;
		struct forge g;
		uint64_t id = 0;
		enum rc rc;

		begin(&f);
		forge_begin(&f, &g);
		for (uint32_t i = 1; i < ARCHIVE_SLOT;
		     i++) { /* no slot is free, no id is reserved */
			struct keyring_slot s = { .writes = 1,
				                  .info = { .id = 4500 + i,
				                            .kind = KEY_LOT,
				                            .state = KEY_DESTROYED,
				                            .archive = 7,
				                            .day = (int32_t)i } };

			EXPECT_OK(keyring_files_write(&g.files, &i, &s, 1, &f.e), &f.e);
		}
		keyring_files_close(&g.files);
		EXPECT_OK(open_again(&f), &f.e);
		fault_arm(FAULT_CHANGE | FAULT_STAT, n, EIO, false);
		rc = keyring_add(f.kr, &want, &id, &f.e);
		hit = fault_disarm();
		assert_int_equal(rc, hit ? RC_IO : RC_OK);
		assert_int_equal(id != 0, !hit);
		assert_true(lives(&f, hit ? f.archive : id));
		reopen(&f);
		assert_true(lives(&f, f.archive));
		EXPECT_OK(keyring_add(f.kr, &want, &id, &f.e), &f.e);
		assert_true(id > 4755 && lives(&f, id));
		end(&f);
	}
	assert_true(n > 15);
}

static off_t bad_at; /* the first slot that is written, and from then on */

static bool takes_no_write(unsigned call, int fd, size_t bytes, off_t at)
{
	(void)fd;
	(void)bytes;
	if (call != FAULT_WRITE || at == 0 || (bad_at && at != bad_at))
		return false;
	bad_at = at;
	errno = EIO;
	return true;
}

/* A sector that takes no write costs one key, not all after it. */
static void test_add_beside_a_bad_slot(void **state)
{
	const struct key_info want = { .kind = KEY_SPOOL, .object = 1 };
	struct fixture f;
	uint64_t id;

	(void)state;
	begin(&f);
	bad_at = 0;
	fault_watch_at = takes_no_write;
	assert_int_equal(keyring_add(f.kr, &want, &id, &f.e), RC_IO);
	for (int i = 0; i < 600; i++) { /* more than are free */
		EXPECT_OK(keyring_add(f.kr, &want, &id, &f.e), &f.e);
		assert_true(lives(&f, id));
	}
	fault_watch_at = NULL;
	assert_true(bad_at > 0);
	end(&f);
}

/* The same for destroying two keys: an error leaves both live for the caller's next try, which
 * finishes it; a ring that is opened anew has each of them as a whole. */
static void test_destroy_fails(void **state)
{
	bool hit = true;
	unsigned n;

	(void)state;
	for (n = 1; hit; n++) {
		struct fixture f;
		uint64_t ids[2];
		enum rc rc;

		begin(&f);
		ids[0] = add_lot(&f, 100);
		ids[1] = add_lot(&f, 101);
		fault_arm(FAULT_WRITE | FAULT_SYNC, n, EIO, false);
		rc = keyring_destroy(f.kr, ids, 2, &f.e);
		hit = fault_disarm();
		assert_int_equal(rc, hit ? RC_IO : RC_OK);
		if (hit) {
			assert_true(lives(&f, ids[0]) && lives(&f, ids[1]));
			reopen(&f);
			EXPECT_OK(keyring_destroy(f.kr, ids, 2, &f.e), &f.e);
		}
		assert_false(lives(&f, ids[0]) || lives(&f, ids[1]));
		reopen(&f);
		assert_false(lives(&f, ids[0]) || lives(&f, ids[1]));
		end(&f);
	}
	assert_int_equal(n, 2 * 3 + 2); /* two writes and a sync a replica */
}

/* And for opening one that needs repair: an error, and the next try finds and mends all. */
static void test_open_fails(void **state)
{
	bool hit = true;
	unsigned n;

	(void)state;
	for (n = 1; hit; n++) {
		struct fixture f;
		uint8_t key[KEY_BYTES];
		uint8_t again[KEY_BYTES];
		uint64_t lot;
		enum rc rc;

		begin(&f);
		lot = add_lot(&f, 100);
		EXPECT_OK(keyring_get(f.kr, lot, key, &f.e), &f.e);
		keyring_close(&f.kr);
		scribble(&f, "keys.a", LOT_SLOT * SLOT + 72, "four", 4);
		scribble(&f, "keys.b", 100, "four", 4);
		fault_arm(FAULT_FILES & ~(unsigned)FAULT_READ, n, EIO, false);
		rc = open_again(&f);
		hit = fault_disarm();
		assert_int_equal(rc, hit ? RC_IO : RC_OK);
		if (hit) {
			assert_null(f.kr);
			EXPECT_OK(open_again(&f), &f.e);
		}
		assert_true(keyring_repaired(f.kr) <= 2);
		EXPECT_OK(keyring_get(f.kr, lot, again, &f.e), &f.e);
		assert_memory_equal(key, again, KEY_BYTES);
		reopen(&f);
		assert_int_equal(keyring_repaired(f.kr), 0);
		end(&f);
	}
	assert_true(n > 8);
}

static enum rc count_problem(void *arg, const char *replica, uint32_t slot, const char *what,
                             struct err *e)
{
	char *text = arg;
	size_t used = strlen(text);

	(void)e;
	(void)what;
	(void)snprintf(text + used, 200 - used, "%s:%u ", replica, slot);
	return RC_OK;
}

static void check_reports(struct fixture *f, const char *want)
{
	char text[200] = "";

	EXPECT_OK(keyring_check(f->kr, f->s.dir, count_problem, text, &f->e), &f->e);
	assert_string_equal(text, want);
}

/* Both replicas on disk against the ring in memory: damage of either, older slots, and keys that
 * came from elsewhere. */
static void test_check(void **state)
{
	struct fixture f;
	uint8_t before[SLOT];
	uint8_t after[SLOT];
	uint64_t lot;

	(void)state;
	begin(&f);
	lot = add_lot(&f, 100);
	check_reports(&f, "");
	peek(&f, "keys.b", LOT_SLOT * SLOT, before, SLOT);
	scribble(&f, "keys.b", LOT_SLOT * SLOT + 80, "x", 1);
	scribble(&f, "keys.a", 3, "x", 1);
	check_reports(&f, "keys.a:0 keys.b:255 ");
	keyring_close(&f.kr);
	EXPECT_OK(open_again(&f), &f.e); /* mended */
	check_reports(&f, "");
	EXPECT_OK(keyring_destroy(f.kr, &lot, 1, &f.e), &f.e);
	check_reports(&f, "");
	peek(&f, "keys.b", LOT_SLOT * SLOT, after, SLOT);
	scribble(&f, "keys.b", LOT_SLOT * SLOT, before, SLOT);
	check_reports(&f, "keys.b:255 ");
	scribble(&f, "keys.b", LOT_SLOT * SLOT, after, SLOT);
	EXPECT_OK(keyring_destroy(f.kr, &f.archive, 1, &f.e), &f.e);
	check_reports(&f, "");
	peek(&f, "keys.a", ARCHIVE_SLOT * SLOT, after, SLOT);
	scribble(&f, "keys.a", LOT_SLOT * SLOT, after, SLOT); /* of another slot */
	check_reports(&f, "keys.a:255 ");
	end(&f);
}

static enum rc stop_at_problem(void *arg, const char *replica, uint32_t slot, const char *what,
                               struct err *e)
{
	(void)replica;
	(void)slot;
	(void)what;
	++*(unsigned *)arg;
	return err_set(e, RC_IO, "nobody listens");
}

/* A header that is older, a key that the ring doesn't know, a replica that is cut or gone; and a
 * slot that was lost is told at the start alone. */
static void test_check_files(void **state)
{
	struct fixture f;
	struct fixture second;
	struct forge g;
	struct keyring_slot s = {
		.writes = 1,
		.info = { .id = 4000, .kind = KEY_LOT, .state = KEY_LIVE, .archive = 7, .day = 3 }
	};
	const struct key_info archive = { .kind = KEY_ARCHIVE, .archive = 7 };
	const uint32_t slot = 9;
	uint8_t unused[SLOT];
	uint8_t foreign[SLOT];
	uint8_t header[SLOT];
	uint8_t young[SLOT];
	uint64_t id;
	unsigned told = 0;
	char *path;

	(void)state;
	memset(&f, 0, sizeof(f));
	scratch_make(&f.s);
	EXPECT_OK(keyring_create(f.s.dir, master, &f.e), &f.e);
	peek(&f, "keys.a", 0, young, SLOT);
	reopen(&f);
	EXPECT_OK(keyring_add(f.kr, &archive, &f.archive, &f.e), &f.e);
	for (int i = 0; i < 4; i++)
		id = add_lot(&f, 100 + i);
	peek(&f, "keys.a", 0, header, SLOT);
	assert_memory_not_equal(header, young, SLOT);
	scribble(&f, "keys.a", 0, young, SLOT);
	check_reports(&f, "keys.a:0 ");
	assert_int_equal(keyring_check(f.kr, f.s.dir, stop_at_problem, &told, &f.e), RC_IO);
	assert_int_equal(told, 1);
	scribble(&f, "keys.a", 0, header, SLOT);
	begin(&second); /* another ring under the same master key */
	peek(&second, "keys.a", 0, young, SLOT);
	end(&second);
	scribble(&f, "keys.b", 0, young, SLOT);
	check_reports(&f, "keys.b:0 ");
	scribble(&f, "keys.b", 0, header, SLOT);
	peek(&f, "keys.a", slot * SLOT, unused, SLOT);
	forge_begin(&f, &g);
	EXPECT_OK(keyring_files_write(&g.files, &slot, &s, 1, &f.e), &f.e);
	keyring_files_close(&g.files);
	peek(&f, "keys.a", slot * SLOT, foreign, SLOT);
	scribble(&f, "keys.a", slot * SLOT, unused, SLOT);
	scribble(&f, "keys.b", slot * SLOT, unused, SLOT);
	EXPECT_OK(open_again(&f), &f.e);
	scribble(&f, "keys.b", slot * SLOT, foreign, SLOT);
	check_reports(&f, "keys.b:9 ");
	scribble(&f, "keys.b", slot * SLOT, unused, SLOT);
	peek(&f, "keys.a", 0, header, SLOT);
	for (int i = 0; i < 300; i++) /* the files grow */
		(void)add_lot(&f, 200 + i);
	scribble(&f, "keys.b", 0, header, SLOT);
	check_reports(&f, "keys.b:0 ");
	peek(&f, "keys.a", 0, header, SLOT);
	scribble(&f, "keys.b", 0, header, SLOT);
	check_reports(&f, "");
	EXPECT_OK(keyring_destroy(f.kr, &id, 1, &f.e), &f.e);
	path = scratch_path(&f.s, "keys.b");
	assert_int_equal(truncate(path, 512 * SLOT), 0);
	check_reports(&f, "keys.b:512 ");
	assert_int_equal(unlink(path), 0);
	free(path);
	check_reports(&f, "keys.b:0 ");
	keyring_close(&f.kr);
	EXPECT_OK(open_again(&f), &f.e); /* made anew */
	check_reports(&f, "");
	scribble(&f, "keys.a", LOT_SLOT * SLOT + 80, "x", 1);
	scribble(&f, "keys.b", LOT_SLOT * SLOT + 80, "x", 1);
	keyring_close(&f.kr);
	EXPECT_OK(open_again(&f), &f.e);
	check_reports(&f, "");
	end(&f);
}

static const char *unreadable; /* a replica; what lies in [unreadable_from, unreadable_to) of it */
static off_t unreadable_from;
static off_t unreadable_to;
static bool unwritable; /* nor does it take writes */

static bool bad_sector(unsigned call, int fd, size_t bytes, off_t at)
{
	char link[64];
	char path[256] = "";

	if (call == FAULT_SYNC || (call == FAULT_WRITE && !unwritable) || !unreadable)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (readlink(link, path, sizeof(path) - 1) < 0 || !strstr(path, unreadable) ||
	    at >= unreadable_to || at + (off_t)MAX_OF(bytes, (size_t)1) <= unreadable_from)
		return false;
	errno = EIO;
	return true;
}

static void make_unreadable(const char *replica, off_t from, off_t to, bool writes_too)
{
	unreadable = replica;
	unreadable_from = from;
	unreadable_to = to;
	unwritable = writes_too;
	fault_watch_at = replica ? bad_sector : NULL;
}

/* A sector of one replica that the disk doesn't give is damage of that replica: the ring opens from
 * the other and overwrites it where the disk takes that. Destroying a key needs both. Where both
 * fail, the ring is refused, and nothing is taken for lost. */
static void test_unreadable(void **state)
{
	static const char *const replicas[] = { "/keys.a", "/keys.b" };

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		const char *replica = replicas[i & 1];
		bool stuck = (i & 2) != 0;
		off_t at = i & 4 ? 0 : LOT_SLOT * SLOT;
		struct fixture f;
		uint64_t lot;

		begin(&f);
		lot = add_lot(&f, 100);
		keyring_close(&f.kr);
		make_unreadable(replica, at, at + SLOT, stuck);
		EXPECT_OK(open_again(&f), &f.e);
		assert_true(lives(&f, lot));
		assert_int_equal(keyring_lost(f.kr), 0);
		if (at && stuck) {
			assert_int_equal(keyring_destroy(f.kr, &lot, 1, &f.e), RC_IO);
			assert_true(lives(&f, lot));
		}
		make_unreadable(NULL, 0, 0, false);
		keyring_close(&f.kr);
		/* Was it written anew? Then the other replica is not needed. */
		make_unreadable(replicas[!(i & 1)], at, at + SLOT, false);
		EXPECT_OK(open_again(&f), &f.e);
		assert_true(lives(&f, lot) || (at && stuck && i & 1)); /* A was written */
		keyring_close(&f.kr);
		make_unreadable("/keys.", at, at + SLOT, false);
		assert_int_equal(open_again(&f), RC_IO);
		make_unreadable(NULL, 0, 0, false);
		EXPECT_OK(open_again(&f), &f.e);
		assert_int_equal(keyring_lost(f.kr), 0);
		end(&f);
	}
}

/* One replica's sector is not given and the other's is damaged: the first may be good, so nothing
 * is lost. A ring of several chunks, and a replica that ends early. */
static void test_unreadable_beside_damage(void **state)
{
	static const char *const replicas[] = { "/keys.a", "/keys.b" };
	struct fixture f;
	uint64_t lot;
	uint8_t byte;
	char *path;

	(void)state;
	begin(&f);
	lot = add_lot(&f, 100);
	for (int i = 0; i < 1100; i++)
		(void)add_lot(&f, 200 + i);
	for (int i = 0; i < 2; i++) {
		const char *damaged = replicas[!i] + 1;

		keyring_close(&f.kr);
		peek(&f, damaged, LOT_SLOT * SLOT + 80, &byte, 1);
		scribble(&f, damaged, LOT_SLOT * SLOT + 80, byte == 'x' ? "y" : "x", 1);
		make_unreadable(replicas[i], LOT_SLOT * SLOT, LOT_SLOT * SLOT + SLOT, false);
		assert_int_equal(open_again(&f), RC_IO);
		make_unreadable(NULL, 0, 0, false);
		EXPECT_OK(open_again(&f), &f.e);
		assert_true(lives(&f, lot));
		path = scratch_path(&f.s, damaged);
		keyring_close(&f.kr);
		assert_int_equal(truncate(path, 100 * SLOT + 7), 0);
		free(path);
		make_unreadable(replicas[!i], 5 * SLOT, 6 * SLOT, false);
		EXPECT_OK(open_again(&f), &f.e);
		make_unreadable(NULL, 0, 0, false);
		assert_int_equal(keyring_lost(f.kr), 0);
		check_reports(&f, "");
	}
	end(&f);
}

/* No ring, or a whole one of which the second replica is missing. */
static void test_create_fails(void **state)
{
	bool hit = true;
	unsigned n;

	(void)state;
	for (n = 1; hit; n++) {
		struct scratch s;
		struct keyring *kr;
		struct err e = { 0 };
		enum rc rc;

		scratch_make(&s);
		fault_arm(FAULT_CHANGE, n, ENOSPC, false);
		rc = keyring_create(s.dir, master, &e);
		hit = fault_disarm();
		assert_true(hit ? rc == RC_NOSPACE || rc == RC_IO : rc == RC_OK);
		rc = keyring_open(&kr, s.dir, master, &e);
		assert_true(rc == RC_OK || (hit && rc == RC_NOTFOUND));
		keyring_close(&kr);
		scratch_remove(&s);
	}
	assert_true(n > 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys_last),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_lots),
		cmocka_unit_test(test_destroyed_is_gone),
		cmocka_unit_test(test_archive_key_takes_its_lots),
		cmocka_unit_test(test_repair),
		cmocka_unit_test(test_lost_file),
		cmocka_unit_test(test_lost_archive_key),
		cmocka_unit_test(test_crash_between_replicas),
		cmocka_unit_test(test_swapped_slots),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_flips),
		cmocka_unit_test(test_master_key_files),
		cmocka_unit_test(test_master_key_fails),
		cmocka_unit_test(test_senseless_slots),
		cmocka_unit_test(test_keys_that_do_not_unwrap),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_newest_of_a_kind),
		cmocka_unit_test(test_generations),
		cmocka_unit_test(test_each_stops_and_nothing_is_destroyed),
		cmocka_unit_test(test_older_copy),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_add_fails),
		cmocka_unit_test(test_add_beside_a_bad_slot),
		cmocka_unit_test(test_destroy_fails),
		cmocka_unit_test(test_outer),
		cmocka_unit_test(test_key_file),
		cmocka_unit_test(test_commands_of_others),
		cmocka_unit_test(test_long_key_file),
		cmocka_unit_test(test_command_that_hangs),
		cmocka_unit_test(test_open_fails),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_unreadable_beside_damage),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_check_files),
		cmocka_unit_test(test_create_fails),
	};

	log_init("test", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
