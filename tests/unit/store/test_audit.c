#include "tests/unit/test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"
#include "store/audit.h"
#include "store/block_list.h"
#include "tests/unit/fault.h"
#include "tests/unit/store/scratch.h"

#define FILE_HEADER  128
#define ENTRY_HEADER 64

static const uint8_t master[KEY_BYTES] = "audit test master key, 32 bytes";

struct fixture {
	struct scratch s;
	struct keyring *kr;
	struct audit *a;
	struct err e;
};

static enum rc try_open(struct fixture *f)
{
	audit_close(&f->a);
	return audit_open(&f->a, f->s.dir, f->kr, &f->e);
}

static void reopen(struct fixture *f)
{
	EXPECT_OK(try_open(f), &f->e);
}

static void begin(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	scratch_make(&f->s);
	EXPECT_OK(keyring_create(f->s.dir, master, &f->e), &f->e);
	EXPECT_OK(keyring_open(&f->kr, f->s.dir, master, &f->e), &f->e);
	reopen(f);
}

static void end(struct fixture *f)
{
	audit_close(&f->a);
	keyring_close(&f->kr);
	scratch_remove(&f->s);
}

static void add(struct fixture *f, int n)
{
	json_t *detail = n % 3 ? json_pack("{s:i, s:s}", "n", n, "text", "canary words") : NULL;

	EXPECT_OK(audit_add(f->a, n % 2 ? "search" : "read", "uid 1000", detail, &f->e), &f->e);
}

static void add_many(struct fixture *f, int from, int to)
{
	for (int n = from; n < to; n++)
		add(f, n);
	EXPECT_OK(audit_sync(f->a, &f->e), &f->e);
}

static char *log_path(struct fixture *f, unsigned number)
{
	char name[40];

	(void)snprintf(name, sizeof(name), "audit/%08u.log", number);
	return scratch_path(&f->s, name);
}

static void read_log(struct fixture *f, unsigned number, struct buf *b)
{
	char *path = log_path(f, number);

	buf_init(b, (size_t)1 << 30);
	EXPECT_OK(file_read_all(path, b, &f->e), &f->e);
	free(path);
}

static void write_log(struct fixture *f, unsigned number, struct slice s)
{
	char *path = log_path(f, number);

	EXPECT_OK(file_replace(path, s, &f->e), &f->e);
	free(path);
}

struct seen {
	uint64_t next;
	int64_t when;
	unsigned details;
	uint64_t stop_at;
};

static enum rc see(void *arg, const struct audit_entry *entry, struct err *e)
{
	struct seen *s = arg;

	assert_int_equal(entry->number, s->next++);
	assert_true(entry->when_ms >= s->when);
	s->when = entry->when_ms;
	assert_string_equal(entry->who, "uid 1000");
	assert_true(!strcmp(entry->event, "search") || !strcmp(entry->event, "read"));
	if (entry->detail) {
		s->details++;
		assert_string_equal(json_string_value(json_object_get(entry->detail, "text")),
		                    "canary words");
	}
	if (entry->number == s->stop_at)
		return err_set(e, RC_LIMIT, "enough");
	return RC_OK;
}

static void test_entries_last(void **state)
{
	struct fixture f;
	struct audit_head head;
	struct audit_head seen;
	struct seen s = { .next = 1 };

	(void)state;
	begin(&f);
	audit_head(f.a, &head);
	assert_int_equal(head.entries, 0);
	for (int round = 0; round < 10; round++) {
		add_many(&f, round * 20, round * 20 + 20);
		if (round % 3 == 0)
			reopen(&f);
	}
	audit_head(f.a, &head);
	assert_int_equal(head.entries, 200);
	EXPECT_OK(audit_each(f.a, 1, see, &s, &f.e), &f.e);
	assert_int_equal(s.next, 201);
	assert_int_equal(s.details, 133);
	s = (struct seen) { .next = 150, .stop_at = 160 };
	assert_int_equal(audit_each(f.a, 150, see, &s, &f.e), RC_LIMIT);
	assert_int_equal(s.next, 161);
	EXPECT_OK(audit_verify(f.a, &head, &seen, &f.e), &f.e);
	assert_memory_equal(&seen, &head, sizeof(head));
	assert_int_equal(audit_add(f.a, "no such word", "x", NULL, &f.e), RC_INVALID);
	assert_int_equal(audit_add(f.a, "read", "\xff", json_object(), &f.e), RC_INVALID);
	end(&f);
}

static void test_nothing_readable(void **state)
{
	struct fixture f;
	struct buf b;

	(void)state;
	begin(&f);
	add_many(&f, 0, 50);
	read_log(&f, 1, &b);
	assert_true(slice_find(buf_slice(&b), slice_str("canary words")) == SIZE_MAX);
	assert_true(slice_find(buf_slice(&b), slice_str("uid 1000")) == SIZE_MAX);
	buf_free(&b);
	end(&f);
}

static void test_unsynced_is_not_the_head(void **state)
{
	struct fixture f;
	struct audit_head head;

	(void)state;
	begin(&f);
	add_many(&f, 0, 3);
	add(&f, 3);
	audit_head(f.a, &head);
	assert_int_equal(head.entries, 3);
	EXPECT_OK(audit_sync(f.a, &f.e), &f.e);
	audit_head(f.a, &head);
	assert_int_equal(head.entries, 4);
	end(&f);
}

static void test_head_text(void **state)
{
	struct audit_head h = { .entries = 12345, .when_ms = 1795470379123 };
	struct audit_head back;
	static const char *const bad[] = {
		"",
		"mm-audit-head 2 1 2026-11-23T21:46:19.123Z 00",
		"mm-audit-head 1 -1 2026-11-23T21:46:19.123Z 00",
		"mm-audit-head 1 1 yesterday 00",
		"mm-audit-head 1 1 2026-11-23T21:46:19.123Z 00",
	};
	char text[160];

	(void)state;
	memset(h.hash, 0xab, sizeof(h.hash));
	audit_head_format(text, &h);
	assert_true(audit_head_parse(&back, slice_str(text)));
	assert_memory_equal(&back, &h, sizeof(h));
	for (size_t i = 0; i < COUNT(bad); i++)
		EXPECT(bad[i], !audit_head_parse(&back, slice_str(bad[i])));
}

/* Offsets of the entries of one file; the last is the end. */
static size_t entry_offsets(struct slice s, size_t *at, size_t room)
{
	size_t n = 0;
	size_t pos = FILE_HEADER;

	while (n + 1 < room && pos + ENTRY_HEADER <= s.len) {
		at[n++] = pos;
		pos += ENTRY_HEADER + get_le32(s.at + pos + 4);
	}
	at[n] = pos;
	assert_int_equal(pos, s.len);
	return n;
}

enum mutation { EDIT, DROP, TWICE, SWAP, CUT, MUTATIONS };

static void mutate(struct buf *out, struct slice s, const size_t *at, size_t i, enum mutation how,
                   uint64_t *seed)
{
	struct slice before = slice_part(s, 0, at[i]);
	struct slice this = slice_part(s, at[i], at[i + 1] - at[i]);
	struct slice after = slice_from(s, at[i + 1]);

	buf_clear(out);
	(void)!buf_add(out, before);
	if (how == SWAP) {
		size_t n = at[i + 2] - at[i + 1];

		(void)!buf_add(out, slice_part(after, 0, n));
		after = slice_from(after, n);
	}
	if (how != DROP && how != CUT)
		(void)!buf_add(out, this);
	if (how == TWICE)
		(void)!buf_add(out, this);
	if (how != CUT)
		(void)!buf_add(out, after);
	if (how == EDIT)
		out->at[at[i] + scratch_random(seed) % this.len] ^=
		        (uint8_t)(1 << scratch_random(seed) % 8);
}

/* Each of 200 entries edited, dropped, doubled, swapped and cut at: the log opens, and verify finds
 * it; at the tail against the anchor. */
static void test_mutations(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;
	struct audit_head anchor;
	struct audit_head seen;
	struct buf whole;
	struct buf changed;
	size_t at[300];
	size_t n;

	(void)state;
	begin(&f);
	for (int i = 0; i < 100; i++)
		add_many(&f, 2 * i, 2 * i + 2);
	audit_head(f.a, &anchor);
	audit_close(&f.a);
	read_log(&f, 1, &whole);
	n = entry_offsets(buf_slice(&whole), at, COUNT(at));
	assert_int_equal(n, 200);
	buf_init(&changed, (size_t)1 << 30);
	for (size_t i = 0; i < n; i++) {
		for (enum mutation how = EDIT; how < MUTATIONS; how++) {
			enum rc rc;

			if (how == SWAP && i + 1 == n)
				continue;
			mutate(&changed, buf_slice(&whole), at, i, how, &seed);
			write_log(&f, 1, buf_slice(&changed));
			reopen(&f);
			rc = audit_verify(f.a, how == CUT || i + 4 >= n ? &anchor : NULL, &seen,
			                  &f.e);
			if (how == TWICE && i + 1 == n)
				rc = RC_CORRUPT; /* a second copy of the last adds nothing */
			if (rc != RC_CORRUPT)
				fail_msg("entry %zu, mutation %d: %s", i + 1, (int)how,
				         rc_name(rc));
		}
	}
	write_log(&f, 1, buf_slice(&whole));
	reopen(&f);
	EXPECT_OK(audit_verify(f.a, &anchor, &seen, &f.e), &f.e);
	buf_free(&whole);
	buf_free(&changed);
	end(&f);
}

/* The log is changed behind the back of who has it open. */
static void test_verify_reads_the_disk(void **state)
{
	struct fixture f;
	struct audit_head seen;
	struct buf b;
	char *path;
	struct file *file;

	(void)state;
	begin(&f);
	add_many(&f, 0, 20);
	read_log(&f, 1, &b);
	b.at[b.len - 5] ^= 1;
	path = log_path(&f, 1);
	EXPECT_OK(file_open(&file, path, FILE_WRITE, &f.e), &f.e);
	EXPECT_OK(file_write_at(file, buf_slice(&b), 0, &f.e), &f.e);
	file_close(&file);
	assert_int_equal(audit_verify(f.a, NULL, &seen, &f.e), RC_CORRUPT);
	assert_non_null(strstr(f.e.text, "entry 20"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(audit_verify(f.a, NULL, &seen, &f.e), RC_CORRUPT);
	write_log(&f, 1, buf_slice(&b));
	free(path);
	buf_free(&b);
	end(&f);
}

struct spared {
	uint64_t numbers[64];
	size_t count;
};

static enum rc spare(void *arg, const struct audit_entry *entry, struct err *e)
{
	struct spared *s = arg;

	(void)e;
	assert_true(s->count < COUNT(s->numbers));
	s->numbers[s->count++] = entry->number;
	return RC_OK;
}

/* All entries from `from` to the 30th but `without`, and what is said of the break. */
static void expect_without(struct fixture *f, uint64_t from, uint64_t without, const char *said)
{
	struct spared s = { .count = 0 };
	uint64_t next = from;

	assert_int_equal(audit_each(f->a, from, spare, &s, &f->e), said ? RC_CORRUPT : RC_OK);
	assert_true(!said || strstr(f->e.text, said));
	for (size_t i = 0; i < s.count; i++, next++) {
		next += next == without;
		assert_int_equal(s.numbers[i], next);
	}
	assert_int_equal(next + (next == without), 31);
}

/* An entry is damaged that others prove to have been synced: the log opens, gives all others, goes
 * on at its end, and says what is wrong until the entry is as it was. */
static void test_damaged_entry(void **state)
{
	struct fixture f;
	struct audit_head head;
	struct audit_head anchor;
	struct buf b;
	size_t at[32];

	(void)state;
	begin(&f);
	for (int i = 0; i < 30; i++) {
		add_many(&f, i, i + 1);
		if (i == 12)
			audit_head(f.a, &anchor);
	}
	assert_false(audit_is_damaged(f.a));
	read_log(&f, 1, &b);
	assert_int_equal(entry_offsets(buf_slice(&b), at, COUNT(at)), 30);
	for (size_t i = 0; i < 28; i++) {
		char said[80];

		b.at[at[i] + i * 3] ^= 0x11; /* in each field of the header, and in the box */
		audit_close(&f.a);
		write_log(&f, 1, buf_slice(&b));
		reopen(&f);
		audit_head(f.a, &head);
		assert_int_equal(head.entries, 30);
		assert_true(audit_is_damaged(f.a));
		(void)snprintf(said, sizeof(said), "breaks at byte %zu, entry %zu", at[i], i + 1);
		expect_without(&f, 1, i + 1, said);
		expect_without(&f, i + 1, i + 1, said);
		expect_without(&f, i + 2, 0, NULL);
		assert_int_equal(audit_verify(f.a, NULL, &head, &f.e), RC_CORRUPT);
		assert_non_null(strstr(f.e.text, said));
		assert_null(strstr(f.e.text, "more places"));
		if (i == 12) { /* it is the anchor's */
			EXPECT_OK(audit_has(f.a, &anchor, &f.e), &f.e);
			assert_int_equal(audit_verify(f.a, &anchor, &head, &f.e), RC_CORRUPT);
			assert_null(strstr(f.e.text, "anchor"));
			anchor.hash[3] ^= 1;
			assert_int_equal(audit_has(f.a, &anchor, &f.e), RC_CORRUPT);
			assert_int_equal(audit_verify(f.a, &anchor, &head, &f.e), RC_CORRUPT);
			assert_non_null(strstr(f.e.text, said));
			assert_non_null(strstr(f.e.text, "not the one of the anchor"));
		}
		b.at[at[i] + i * 3] ^= 0x11;
	}
	b.at[at[7] + 70] ^= 1;
	b.at[at[19] + 70] ^= 1;
	audit_close(&f.a);
	write_log(&f, 1, buf_slice(&b));
	buf_free(&b);
	reopen(&f);
	add_many(&f, 30, 33);
	reopen(&f);
	audit_head(f.a, &head);
	assert_int_equal(head.entries, 33);
	assert_int_equal(audit_verify(f.a, &head, NULL, &f.e), RC_CORRUPT);
	assert_non_null(strstr(f.e.text, "entry 8, and at 1 more places"));
	audit_close(&f.a);
	read_log(&f, 1, &b);
	b.at[at[7] + 70] ^= 1;
	b.at[at[19] + 70] ^= 1;
	write_log(&f, 1, buf_slice(&b));
	reopen(&f);
	EXPECT_OK(audit_verify(f.a, &head, NULL, &f.e), &f.e);
	buf_free(&b);
	end(&f);
}

/* An entry that is there twice is given once. */
static void test_doubled_entry(void **state)
{
	uint64_t seed = 1;
	struct fixture f;
	struct buf whole;
	struct buf changed;
	size_t at[32];

	(void)state;
	begin(&f);
	for (int i = 0; i < 30; i++)
		add_many(&f, i, i + 1);
	audit_close(&f.a);
	read_log(&f, 1, &whole);
	assert_int_equal(entry_offsets(buf_slice(&whole), at, COUNT(at)), 30);
	buf_init(&changed, (size_t)1 << 30);
	mutate(&changed, buf_slice(&whole), at, 4, TWICE, &seed);
	write_log(&f, 1, buf_slice(&changed));
	reopen(&f);
	expect_without(&f, 1, 0, "entry 6");
	buf_free(&whole);
	buf_free(&changed);
	end(&f);
}

static enum rc spare_some(void *arg, const struct audit_entry *entry, struct err *e)
{
	struct spared *s = arg;

	(void)!spare(arg, entry, e);
	return s->count < 3 ? RC_OK : err_set(e, RC_NOTFOUND, "enough");
}

/* An entry of a later file in an earlier one: each is given once, in order; and who has enough
 * hears of a break that he passed. */
static void test_foreign_entry(void **state)
{
	struct fixture f;
	struct spared s = { .count = 0 };
	struct buf first;
	struct buf second;
	size_t at[8];

	(void)state;
	begin(&f);
	add_many(&f, 0, 5);
	audit_close(&f.a);
	read_log(&f, 1, &first);
	MUST(buf_add(&first, slice_str("MMAE and no entry")) == RC_OK);
	write_log(&f, 1, buf_slice(&first));
	reopen(&f);
	add_many(&f, 5, 9);
	audit_close(&f.a);
	read_log(&f, 2, &second);
	assert_int_equal(
	        entry_offsets(slice_part(buf_slice(&first), 0, first.len - 17), at, COUNT(at)), 5);
	memcpy(first.at + at[1], second.at + FILE_HEADER, at[2] - at[1]);
	write_log(&f, 1, buf_slice(&first));
	reopen(&f);
	assert_int_equal(audit_each(f.a, 1, spare, &s, &f.e), RC_CORRUPT);
	assert_int_equal(s.count, 8);
	for (size_t i = 0; i < s.count; i++)
		assert_int_equal(s.numbers[i], i < 1 ? 1 : i + 2);
	s.count = 0;
	assert_int_equal(audit_each(f.a, 1, spare_some, &s, &f.e), RC_CORRUPT);
	s.count = 0;
	assert_int_equal(audit_each(f.a, 3, spare_some, &s, &f.e), RC_NOTFOUND);
	buf_free(&first);
	buf_free(&second);
	end(&f);
}

/* Of entries that were written at once any may be torn, and nothing proves that they were synced:
 * the log ends before them, whole. */
static void test_torn_group(void **state)
{
	struct fixture f;
	struct audit_head head;
	struct buf b;
	size_t at[8];

	(void)state;
	begin(&f);
	add_many(&f, 0, 3);
	add_many(&f, 3, 6);
	audit_close(&f.a);
	read_log(&f, 1, &b);
	assert_int_equal(entry_offsets(buf_slice(&b), at, COUNT(at)), 6);
	b.at[at[3] + 70] ^= 1;
	write_log(&f, 1, buf_slice(&b));
	reopen(&f);
	audit_head(f.a, &head);
	assert_int_equal(head.entries, 3);
	add_many(&f, 6, 8);
	reopen(&f);
	audit_head(f.a, &head);
	assert_int_equal(head.entries, 5);
	EXPECT_OK(audit_verify(f.a, &head, NULL, &f.e), &f.e);
	buf_free(&b);
	end(&f);
}

/* The last of a file that has a next: the chain goes on there. */
static void test_damaged_last_of_file(void **state)
{
	struct fixture f;
	struct spared s = { .count = 0 };
	struct buf b;

	(void)state;
	begin(&f);
	add_many(&f, 0, 5);
	audit_close(&f.a);
	read_log(&f, 1, &b);
	MUST(buf_add(&b, slice_str("MMAE and no entry")) == RC_OK);
	write_log(&f, 1, buf_slice(&b));
	reopen(&f);
	add_many(&f, 5, 9);
	audit_close(&f.a);
	b.at[b.len - 17 - 3] ^= 1;
	write_log(&f, 1, buf_slice(&b));
	reopen(&f);
	assert_int_equal(audit_each(f.a, 1, spare, &s, &f.e), RC_CORRUPT);
	assert_non_null(strstr(f.e.text, "file 00000001: the chain breaks at byte "));
	assert_non_null(strstr(f.e.text, "entry 5"));
	assert_int_equal(s.count, 8);
	for (size_t i = 0; i < s.count; i++)
		assert_int_equal(s.numbers[i], i < 4 ? i + 1 : i + 2);
	s.count = 0;
	EXPECT_OK(audit_each(f.a, 6, spare, &s, &f.e), &f.e);
	assert_int_equal(s.count, 4);
	assert_int_equal(audit_verify(f.a, NULL, NULL, &f.e), RC_CORRUPT);
	buf_free(&b);
	end(&f);
}

/* Cut at every length within the last entry: all before it is there, the rest is sealed by the next
 * file, and the chain goes on. */
static void test_torn_tail(void **state)
{
	struct fixture f;
	struct buf whole;
	size_t at[32];
	size_t n;

	(void)state;
	begin(&f);
	add_many(&f, 0, 5);
	audit_close(&f.a);
	read_log(&f, 1, &whole);
	n = entry_offsets(buf_slice(&whole), at, COUNT(at));
	for (size_t cut = at[n - 1]; cut < whole.len; cut += 7) {
		struct audit_head head;
		char *second = log_path(&f, 2);

		write_log(&f, 1, slice_part(buf_slice(&whole), 0, cut));
		reopen(&f);
		audit_head(f.a, &head);
		assert_int_equal(head.entries, 4);
		EXPECT_OK(audit_verify(f.a, &head, NULL, &f.e), &f.e);
		add_many(&f, 10, 13);
		assert_int_equal(file_exists(second), cut != at[n - 1]);
		reopen(&f);
		audit_head(f.a, &head);
		assert_int_equal(head.entries, 7);
		EXPECT_OK(audit_verify(f.a, &head, NULL, &f.e), &f.e);
		audit_close(&f.a);
		(void)unlink(second);
		free(second);
	}
	buf_free(&whole);
	end(&f);
}

/* A crash while the second file is made leaves it without a header: it counts as never begun. */
static void test_hollow_file(void **state)
{
	struct fixture f;
	struct audit_head head;
	struct seen s = { .next = 1 };

	(void)state;
	begin(&f);
	add_many(&f, 0, 5);
	audit_close(&f.a);
	write_log(&f, 2, slice_str(""));
	reopen(&f);
	audit_head(f.a, &head);
	assert_int_equal(head.entries, 5);
	add_many(&f, 5, 8);
	audit_close(&f.a);
	write_log(&f, 4, slice_str("half a header"));
	reopen(&f);
	add_many(&f, 8, 9);
	reopen(&f);
	audit_head(f.a, &head);
	assert_int_equal(head.entries, 9);
	EXPECT_OK(audit_verify(f.a, &head, NULL, &f.e), &f.e);
	EXPECT_OK(audit_each(f.a, 1, see, &s, &f.e), &f.e);
	assert_int_equal(s.next, 10);
	/* A file that has entries doesn't become hollow unnoticed. */
	audit_close(&f.a);
	write_log(&f, 3, slice_str(""));
	assert_int_equal(try_open(&f), RC_CORRUPT);
	end(&f);
}

/* 16 MiB a file; the chain crosses them, and none may be missing or cut. */
static void test_roll(void **state)
{
	struct fixture f;
	struct audit_head head;
	struct buf b;
	char *big = mem_new(1 << 20);
	char *path;

	(void)state;
	begin(&f);
	memset(big, 'x', (1 << 20) - 1);
	for (int i = 0; i < 40; i++)
		EXPECT_OK(audit_add(f.a, "plan", "mmd", json_pack("{s:s}", "x", big), &f.e), &f.e);
	EXPECT_OK(audit_sync(f.a, &f.e), &f.e);
	free(big);
	reopen(&f);
	audit_head(f.a, &head);
	assert_int_equal(head.entries, 40);
	EXPECT_OK(audit_verify(f.a, &head, NULL, &f.e), &f.e);
	path = log_path(&f, 2);
	assert_true(file_exists(path));
	audit_close(&f.a);
	read_log(&f, 2, &b);
	write_log(&f, 2, slice_part(buf_slice(&b), 0, b.len - 1));
	assert_int_equal(try_open(&f), RC_CORRUPT);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(try_open(&f), RC_CORRUPT);
	b.at[b.len / 2] ^= 4;
	write_log(&f, 2, buf_slice(&b));
	reopen(&f); /* only the last file is read at open */
	assert_int_equal(audit_verify(f.a, &head, NULL, &f.e), RC_CORRUPT);
	buf_free(&b);
	free(path);
	end(&f);
}

static void limit_files(rlim_t bytes)
{
	struct rlimit r;

	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
	r.rlim_cur = MIN_OF(bytes, r.rlim_max);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static enum rc count_blocks(void *arg, const struct audit_entry *entry, struct err *e)
{
	size_t *n = arg;

	(void)e;
	*n += json_array_size(json_object_get(entry->detail, "blocks"));
	return RC_OK;
}

/* While the disk is full entries wait in memory, however many: none of a list is left out because
 * one before it could not be written. */
static void test_full_disk(void **state)
{
	struct store_block b = { .archive = 1, .lot = 7 };
	struct block_list *list = block_list_new();
	struct fixture f;
	size_t blocks = 0;
	char *big = mem_new(1 << 20);

	(void)state;
	begin(&f);
	add_many(&f, 0, 3);
	EXPECT_OK(audit_sync(f.a, &f.e), &f.e);
	limit_files(4096);
	memset(big, 'x', (1 << 20) - 1);
	for (int i = 0; i < 8; i++)
		EXPECT_OK(audit_add(f.a, "plan", "mmd", json_pack("{s:s}", "x", big), &f.e), &f.e);
	free(big);
	for (b.block = 0; b.block < 1000; b.block++)
		block_list_add(list, &b);
	EXPECT_OK(block_list_account(&list, f.a, BLOCKS_NEW, &f.e), &f.e);
	assert_int_equal(audit_sync(f.a, &f.e), RC_NOSPACE);
	limit_files(RLIM_INFINITY);
	EXPECT_OK(audit_sync(f.a, &f.e), &f.e);
	reopen(&f);
	EXPECT_OK(audit_each(f.a, 1, count_blocks, &blocks, &f.e), &f.e);
	assert_int_equal(blocks, 1000);
	end(&f);
}

static void *add_some(void *arg)
{
	struct fixture *f = arg;
	struct err e = { 0 };

	for (int i = 0; i < 100; i++)
		if (audit_add(f->a, "read", "uid 1000", NULL, &e) != RC_OK ||
		    audit_sync(f->a, &e) != RC_OK)
			return f;
	return NULL;
}

/* Every call of opening fails once, of the first time (`entries` is 0) and of a later one: an
 * error, or a log that has all. The next time it opens, and goes on. */
static void open_fails(int entries)
{
	bool hit = true;
	unsigned n;

	for (n = 1; hit; n++) {
		struct audit_head head;
		struct fixture f;
		enum rc rc;

		memset(&f, 0, sizeof(f));
		scratch_make(&f.s);
		EXPECT_OK(keyring_create(f.s.dir, master, &f.e), &f.e);
		EXPECT_OK(keyring_open(&f.kr, f.s.dir, master, &f.e), &f.e);
		if (entries) {
			reopen(&f);
			add_many(&f, 0, entries);
			audit_close(&f.a);
		}
		fault_arm(FAULT_FILES | FAULT_PART, n, EIO, false);
		rc = try_open(&f);
		hit = fault_disarm();
		assert_true(rc == RC_OK || (hit && rc == RC_IO));
		assert_int_equal(f.a != NULL, rc == RC_OK);
		audit_close(&f.a);
		keyring_close(&f.kr); /* files whose sync failed take nothing more */
		EXPECT_OK(keyring_open(&f.kr, f.s.dir, master, &f.e), &f.e);
		reopen(&f);
		audit_head(f.a, &head);
		assert_int_equal(head.entries, entries);
		add_many(&f, entries, entries + 2);
		reopen(&f);
		EXPECT_OK(audit_verify(f.a, entries ? &head : NULL, &head, &f.e), &f.e);
		assert_int_equal(head.entries, entries + 2);
		end(&f);
	}
	assert_true(n > 5);
}

static void test_open_fails(void **state)
{
	(void)state;
	open_fails(0);
	open_fails(5);
}

/* A log that can't be read is not one that was tampered with. */
static void test_reads_fail(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	add_many(&f, 0, 9);
	for (int verify = 0; verify < 2; verify++) {
		bool hit = true;
		unsigned n;

		for (n = 1; hit; n++) {
			struct audit_head head;
			struct seen s = { .next = 1 };
			enum rc rc;

			fault_arm(FAULT_READ | FAULT_OPEN | FAULT_STAT | FAULT_LIST, n, EIO, false);
			rc = verify ? audit_verify(f.a, NULL, &head, &f.e)
			            : audit_each(f.a, 1, see, &s, &f.e);
			hit = fault_disarm();
			assert_int_equal(rc, hit ? RC_IO : RC_OK);
			assert_true(hit || (verify ? head.entries == 9 : s.next == 10));
		}
		assert_true(n > 2);
	}
	end(&f);
}

static void test_threads(void **state)
{
	struct fixture f;
	struct audit_head head;
	pthread_t threads[6];
	struct seen s = { .next = 1 };

	(void)state;
	begin(&f);
	for (size_t i = 0; i < COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_some, &f), 0);
	for (size_t i = 0; i < COUNT(threads); i++) {
		void *failed;

		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	audit_head(f.a, &head);
	assert_int_equal(head.entries, 600);
	EXPECT_OK(audit_each(f.a, 1, see, &s, &f.e), &f.e);
	assert_int_equal(s.next, 601);
	end(&f);
}

/* Random bytes changed anywhere: opening and reading end with an answer, never with a wrong entry
 * (see() checks each). */
static void test_flips(void **state)
{
	uint64_t seed = scratch_seed();
	struct fixture f;
	struct buf whole;

	(void)state;
	begin(&f);
	for (int i = 0; i < 20; i++)
		add_many(&f, i, i + 1);
	audit_close(&f.a);
	read_log(&f, 1, &whole);
	for (int i = 0; i < 1000; i++) {
		size_t where = scratch_random(&seed) % whole.len;
		uint8_t old = whole.at[where];
		struct audit_head head;
		enum rc rc;

		whole.at[where] ^= (uint8_t)(1 + scratch_random(&seed) % 255);
		write_log(&f, 1, buf_slice(&whole));
		whole.at[where] = old;
		rc = try_open(&f);
		head.entries = 0;
		if (rc == RC_OK)
			audit_head(f.a, &head);
		if (rc == RC_OK && head.entries == 20)
			rc = audit_verify(f.a, NULL, NULL, &f.e);
		assert_int_equal(rc,
		                 where >= FILE_HEADER && head.entries < 20 ? RC_OK : RC_CORRUPT);
	}
	write_log(&f, 1, buf_slice(&whole));
	buf_free(&whole);
	end(&f);
}

static enum rc see_control(void *arg, const struct audit_entry *entry, struct err *e)
{
	uint64_t *seen = arg;

	(void)e;
	seen[entry->number] = entry->control;
	assert_true(entry->number % 3 == 0 || entry->detail != NULL);
	return RC_OK;
}

/* Each entry says how far the control database was when it was added, with a detail and without. */
static void test_control(void **state)
{
	struct fixture f;
	_Atomic uint64_t control = 41;
	uint64_t seen[5] = { 9, 9, 9, 9, 9 };

	(void)state;
	begin(&f);
	add(&f, 1);
	audit_witness(f.a, &control);
	add(&f, 2);
	add(&f, 3);
	control = UINT64_C(1) << 60;
	add(&f, 4);
	EXPECT_OK(audit_sync(f.a, &f.e), &f.e);
	reopen(&f);
	EXPECT_OK(audit_each(f.a, 1, see_control, seen, &f.e), &f.e);
	assert_int_equal(seen[1], 0);
	assert_int_equal(seen[2], 41);
	assert_int_equal(seen[3], 41);
	assert_true(seen[4] == UINT64_C(1) << 60);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries_last),
		cmocka_unit_test(test_nothing_readable),
		cmocka_unit_test(test_unsynced_is_not_the_head),
		cmocka_unit_test(test_head_text),
		cmocka_unit_test(test_control),
		cmocka_unit_test(test_mutations),
		cmocka_unit_test(test_verify_reads_the_disk),
		cmocka_unit_test(test_damaged_entry),
		cmocka_unit_test(test_damaged_last_of_file),
		cmocka_unit_test(test_doubled_entry),
		cmocka_unit_test(test_torn_group),
		cmocka_unit_test(test_foreign_entry),
		cmocka_unit_test(test_torn_tail),
		cmocka_unit_test(test_hollow_file),
		cmocka_unit_test(test_roll),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_open_fails),
		cmocka_unit_test(test_reads_fail),
		cmocka_unit_test(test_flips),
	};

	log_init("test", LOG_ERROR + 1); /* what is damaged is told each time */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
