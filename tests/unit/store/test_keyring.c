#include "tests/unit/test.h"

#include "base/log.h"
#include "store/keyring.h"
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
	static const enum key_kind kinds[] = { KEY_SHARD, KEY_SPOOL, KEY_CONTROL, KEY_AUDIT };
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

/* Every byte of one replica may be damaged: it is repaired; in both, it is refused. */
static void test_repair(void **state)
{
	struct fixture f;
	uint8_t key[KEY_BYTES];
	uint8_t again[KEY_BYTES];
	uint64_t lot;
	uint64_t at[] = { 0, 9, 13, 20, 33, 41, 450, 490, 0, 0, 0, 0, 0, 0, 0 };
	uint32_t slot;

	(void)state;
	begin(&f);
	lot = add_lot(&f, 100);
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
	scribble(&f, "keys.a", (uint64_t)slot * SLOT + 80, "x", 1);
	scribble(&f, "keys.b", (uint64_t)slot * SLOT + 90, "y", 1);
	assert_int_equal(keyring_open(&f.kr, f.s.dir, master, &f.e), RC_CORRUPT);
	assert_non_null(strstr(f.e.text, "both replicas"));
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
	assert_int_equal(keyring_open(&f.kr, f.s.dir, master, &f.e), RC_CORRUPT);
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

static void test_master_key_files(void **state)
{
	static const char hex[] =
	        "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";
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
		{ "mm-master-key 1\ncommand\n", RC_INVALID },
		{ "mm-master-key 1\nraw 0011\n", RC_INVALID },
		{ "mm-master-key 2\nraw @\n", RC_INVALID },
		{ "mm-master-key 1\nrow @\n", RC_INVALID },
		{ "mm-master-key 1\npassphrase scrypt 1 8192 00 00\n", RC_INVALID },
		{ "mm-master-key 1\npassphrase argon2id 1 99999999999999 "
		  "00112233445566778899aabbccddeeff 00112233445566778899aabbccddeeff\n",
		  RC_INVALID },
		{ "", RC_INVALID },
	};
	struct scratch s;
	struct err e = { 0 };
	uint8_t want[KEY_BYTES];
	uint8_t key[KEY_BYTES];
	char *path;
	char *phrase;

	(void)state;
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
	assert_int_equal(master_key_create_passphrase(path, slice_str("short"), &e), RC_INVALID);
	EXPECT_OK(master_key_create_passphrase(path, slice_str("correct horse battery"), &e), &e);
	EXPECT_OK(master_key_read(path, key, &e), &e);
	EXPECT_OK(master_key_read(path, want, &e), &e);
	assert_memory_equal(key, want, KEY_BYTES);
	write_text(phrase, "correct horse batterx\n");
	assert_int_equal(master_key_read(path, key, &e), RC_CRYPTO);
	free(path);
	free(phrase);
	scratch_remove(&s);
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
		cmocka_unit_test(test_crash_between_replicas),
		cmocka_unit_test(test_swapped_slots),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_flips),
		cmocka_unit_test(test_master_key_files),
	};

	log_init("test", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
