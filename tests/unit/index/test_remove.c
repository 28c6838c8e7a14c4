#include "tests/unit/index/place.h"

#include <errno.h>

#include "index/shard.h"
#include "store/vfs.h"
#include "tests/unit/fault.h"
#include "tests/unit/store/scratch.h"

#define DOCS 120

/* Lots 10, 11, 12 in turn. Each message has a word of its own, and common ones; those of lot 11
 * begin with letters that nothing else begins with, because FTS5 writes only what differs from the
 * term before. */
static void add_docs(struct place *p, bool without_lot_11)
{
	for (uint32_t i = 0; i < DOCS; i++) {
		char subject[120];
		char body[300];
		struct index_doc d;

		if (without_lot_11 && i % 3 == 1)
			continue;
		snprintf(subject, sizeof(subject), "%s%u common 東京都",
		         i % 3 == 1 ? "xqjpurged" : "kept", i);
		snprintf(
		        body, sizeof(body),
		        "common words of message %u, mail to user%u@host%u.example and 全文検索 %s",
		        i, i % 7, i % 5, i % 2 ? "odd odd odd" : "even");
		d = place_doc(place_id(DAY0 + i, i), subject, body);
		d.lot = 10 + i % 3;
		d.flags = i % 4 == 0   ? DOC_NOT_INDEXED
		          : i % 4 == 1 ? DOC_PARSE_PROBLEM
		                       : DOC_HAS_SENT;
		d.sent_ms = DAY0 + 1000 - i;
		if (i % 5 == 0)
			d.field[DOC_FILENAME] = slice_str("report.pdf\nxé.txt");
		d.message_id = slice_str("a@b");
		place_add(p, 1, &d);
	}
	place_commit(p);
}

static bool is_lot_11(void *arg, const struct message_id *id, uint64_t lot)
{
	unsigned *asked = arg;

	(void)id;
	++*asked;
	return lot == 11;
}

struct result {
	uint64_t dead[8];
	size_t dead_count;
	uint64_t removed;
	unsigned asked;
};

static struct result remove_lot_11(struct place *p)
{
	static const uint64_t lots[] = { 99, 11 };
	struct result r = { .dead_count = 0 };

	EXPECT_OK(index_remove(p->ix, 1, lots, 2, is_lot_11, &r.asked, r.dead, 8, &r.dead_count,
	                       &r.removed, &p->e),
	          &p->e);
	return r;
}

static void destroy(struct place *p, const struct result *r)
{
	EXPECT_OK(keyring_destroy(p->kr, r->dead, r->dead_count, &p->e), &p->e);
	EXPECT_OK(index_drop_dead(p->ix, &p->e), &p->e);
}

/* All keys of an archive's shards (0: of all archives) go; how many there were. */
static size_t reset(struct place *p, uint32_t archive)
{
	uint64_t *dead;
	size_t count;

	index_reset(p->ix, archive, &dead, &count);
	EXPECT_OK(keyring_destroy(p->kr, dead, count, &p->e), &p->e);
	free(dead);
	return count;
}

static char *shard_path(struct place *p, unsigned number, const char *tail)
{
	char name[64];

	snprintf(name, sizeof(name), "index/1/%08u.%s", number, tail);
	return path_join(p->dir, name);
}

/* The key of a shard, while it lives. */
struct key_search {
	uint64_t object;
	uint64_t id;
};

static enum rc find_key(void *arg, const struct key_info *k)
{
	struct key_search *s = arg;

	if (k->kind == KEY_SHARD && k->object == s->object && k->state == KEY_LIVE)
		s->id = k->id;
	return RC_OK;
}

static void shard_key(struct place *p, unsigned number, uint8_t key[KEY_BYTES])
{
	struct key_search s = { .object = number };

	assert_int_equal(keyring_each(p->kr, find_key, &s), RC_OK);
	assert_int_not_equal(s.id, 0);
	EXPECT_OK(keyring_get(p->kr, s.id, key, &p->e), &p->e);
}

/* Every term with document, column and position, and every row: what a shard can answer by. */
static void dump(struct place *p, unsigned number, struct buf *out)
{
	char *path = shard_path(p, number, "shard");
	uint8_t key[KEY_BYTES];
	struct conn *c;
	struct stmt *s;

	shard_key(p, number, key);
	EXPECT_OK(conn_open(&c, path, key, true, DB_READ, &p->e), &p->e);
	EXPECT_OK(db_exec(conn_db(c),
	                  "CREATE VIRTUAL TABLE temp.i USING fts5vocab(main, fts, instance)",
	                  &p->e),
	          &p->e);
	EXPECT_OK(db_prepare(conn_db(c), &s,
	                     "SELECT term, at, col, offset FROM temp.i JOIN message "
	                     "ON n = doc ORDER BY term, at, col, offset",
	                     &p->e),
	          &p->e);
	while (stmt_step(s, &p->e) == RC_OK)
		assert_int_equal(buf_addf(out, "%.*s %lld %.*s %lld\n", (int)stmt_text(s, 0).len,
		                          (const char *)stmt_text(s, 0).at,
		                          (long long)stmt_int(s, 1), (int)stmt_text(s, 2).len,
		                          (const char *)stmt_text(s, 2).at,
		                          (long long)stmt_int(s, 3)),
		                 RC_OK);
	stmt_free(&s);
	EXPECT_OK(db_prepare(conn_db(c), &s,
	                     "SELECT quote(at) || quote(id) || quote(lot) || quote(sent_ms) || "
	                     "quote(bytes) ||"
	                     "quote(flags) || quote(sha256) || quote(subject) || quote(filename) ||"
	                     "quote(message_id) || quote(ingress) || quote(problem) || "
	                     "(SELECT quote(sz) FROM fts_docsize WHERE id = n) FROM message ORDER "
	                     "BY at",
	                     &p->e),
	          &p->e);
	while (stmt_step(s, &p->e) == RC_OK)
		assert_int_equal(buf_addf(out, "%.*s\n", (int)stmt_text(s, 0).len,
		                          (const char *)stmt_text(s, 0).at),
		                 RC_OK);
	stmt_free(&s);
	conn_close(&c);
	free(path);
}

static void test_answers_as_if_never_there(void **state)
{
	struct place *p = *state;
	struct place q = { .ix = NULL };
	struct buf got, want;
	struct result r;
	void *other = NULL;

	add_docs(p, false);
	place_seal(p);
	r = remove_lot_11(p);
	assert_int_equal(r.removed, DOCS / 3);
	assert_int_equal(r.dead_count, 1);
	assert_int_equal(r.asked, DOCS);
	destroy(p, &r);

	assert_int_equal(place_setup(&other), 0);
	q = *(struct place *)other;
	add_docs(&q, true);
	place_seal(&q);
	buf_init(&got, 1 << 24);
	buf_init(&want, 1 << 24);
	dump(p, 2, &got);
	dump(&q, 1, &want);
	assert_true(want.len > 10000);
	assert_true(slice_equal(buf_slice(&got), buf_slice(&want)));
	buf_free(&got);
	buf_free(&want);
	assert_int_equal(place_teardown(&other), 0);

	assert_int_equal(place_all(p, 1), DOCS * 2 / 3);
	assert_int_equal(place_count(p, 1, "common"), DOCS * 2 / 3);
	assert_int_equal(place_count(p, 1, "全文検索"), DOCS * 2 / 3);
	assert_int_equal(place_count(p, 1, "kept0"), 1);
	assert_int_equal(place_count(p, 1, "xqjpurged1"), 0);
	assert_int_equal(place_count(p, 1, "user3@host3.example"), 3);
	assert_int_equal(place_count(p, 1, "message 2 mail to user2"), 1);
}

static bool holds(struct place *p, unsigned number, const char *word)
{
	char *path = shard_path(p, number, "shard");
	struct sealed *s;
	struct buf bytes;
	uint8_t key[KEY_BYTES];
	bool found;

	shard_key(p, number, key);
	EXPECT_OK(sealed_open(&s, path, key, &p->e), &p->e);
	buf_init(&bytes, 1 << 26);
	assert_int_equal(buf_reserve(&bytes, sealed_size(s)), RC_OK);
	EXPECT_OK(sealed_read(s, bytes.at, sealed_size(s), 0, &p->e), &p->e);
	bytes.len = sealed_size(s);
	found = slice_find(buf_slice(&bytes), slice_str(word)) != SIZE_MAX;
	buf_free(&bytes);
	sealed_close(&s);
	free(path);
	return found;
}

static void test_purged_words_are_in_no_chunk(void **state)
{
	struct place *p = *state;
	struct result r;
	char *old = shard_path(p, 1, "shard");

	add_docs(p, false);
	place_seal(p);
	assert_true(holds(p, 1, "xqjpurged1")); /* the control: this is how they are found */
	assert_true(holds(p, 1, "kept0"));
	r = remove_lot_11(p);
	assert_true(file_exists(old)); /* its key still lives */
	assert_true(holds(p, 2, "kept0"));
	assert_false(holds(p, 2, "xqjpurged"));
	assert_false(holds(p, 2, "xqj"));
	destroy(p, &r);
	assert_false(file_exists(old));
	free(old);
}

static void test_open_shard(void **state)
{
	struct place *p = *state;
	struct result r;
	struct index_doc d;
	char *old = shard_path(p, 1, "db");

	add_docs(p, false);
	r = remove_lot_11(p);
	assert_int_equal(r.removed, DOCS / 3);
	assert_int_equal(place_all(p, 1), DOCS * 2 / 3);
	destroy(p, &r);
	assert_false(file_exists(old));
	assert_false(holds(p, 2, "xqj"));
	d = place_doc(place_id(DAY0 + 999, 999), "later mail", "x");
	place_add(p, 1, &d);
	place_commit(p);
	assert_int_equal(place_all(p, 1), DOCS * 2 / 3 + 1);
	place_reopen(p);
	assert_int_equal(place_all(p, 1), DOCS * 2 / 3 + 1);
	assert_int_equal(place_count(p, 1, "xqjpurged1"), 0);
	free(old);
}

static bool all_go(void *arg, const struct message_id *id, uint64_t lot)
{
	(void)arg;
	(void)id;
	(void)lot;
	return true;
}

static void test_all_of_a_shard(void **state)
{
	struct place *p = *state;
	struct result r = { .dead_count = 0 };
	struct index_totals t;

	add_docs(p, false);
	place_seal(p);
	EXPECT_OK(index_remove(p->ix, 1, NULL, 0, all_go, NULL, r.dead, 8, &r.dead_count,
	                       &r.removed, &p->e),
	          &p->e);
	assert_int_equal(r.removed, DOCS);
	assert_int_equal(place_all(p, 1), 0);
	destroy(p, &r);
	EXPECT_OK(index_count(p->ix, 1, &t, &p->e), &p->e);
	assert_int_equal(t.shards, 0);
	place_reopen(p);
	assert_int_equal(place_all(p, 1), 0);
}

static void test_untouched_shards_stay(void **state)
{
	struct place *p = *state;
	struct result r;
	struct index_doc d = place_doc(place_id(DAY0 + 5000, 1), "elsewhere", "x");

	place_add(p, 1, &d);
	place_seal(p);
	r = remove_lot_11(p);
	assert_int_equal(r.dead_count, 0);
	assert_int_equal(r.removed, 0);
	assert_int_equal(r.asked, 0);
	assert_int_equal(place_count(p, 1, "elsewhere"), 1);
}

/* Stopped between the new shard and the end of the old key: nothing shows twice, and the next
 * removal tells of the old key again. */
static void test_stopped_in_between(void **state)
{
	struct place *p = *state;
	struct result r, again;

	add_docs(p, false);
	place_seal(p);
	r = remove_lot_11(p);
	place_reopen(p);
	assert_int_equal(place_all(p, 1), DOCS * 2 / 3);
	EXPECT_OK(db_exec(p->control, "DELETE FROM shard", &p->e), &p->e);
	place_reopen(p);
	assert_int_equal(place_all(p, 1), DOCS * 2 / 3);
	again = remove_lot_11(p);
	assert_int_equal(again.removed, 0);
	assert_int_equal(again.dead_count, 1);
	assert_int_equal(again.dead[0], r.dead[0]);
	/* Stopped between the end of the key and that of the file. */
	EXPECT_OK(keyring_destroy(p->kr, again.dead, 1, &p->e), &p->e);
	place_reopen(p);
	assert_int_equal(place_all(p, 1), DOCS * 2 / 3);
	{
		char *old = shard_path(p, 1, "shard");

		assert_false(file_exists(old));
		free(old);
	}
}

static void test_view_outlives_removal(void **state)
{
	struct place *p = *state;
	struct match m = { .kind = MATCH_TEXT,
		           .fields = FIELDS_ALL,
		           .text = slice_str("xqjpurged1") };
	struct index_view *v;
	struct result r;
	uint64_t hits;

	add_docs(p, false);
	place_seal(p);
	v = place_view(p, 1);
	r = remove_lot_11(p);
	destroy(p, &r);
	EXPECT_OK(index_view_count(v, &m, &hits, &p->e), &p->e);
	assert_int_equal(hits, 1); /* as it was when the view was opened */
	index_view_close(&v);
	assert_int_equal(place_count(p, 1, "xqjpurged1"), 0);
	{
		char *old = shard_path(p, 1, "shard");

		assert_false(file_exists(old));
		free(old);
	}
}

static void test_room_and_reset(void **state)
{
	struct place *p = *state;
	struct result r = { .dead_count = 0 };
	uint64_t lots[] = { 11 };

	place_close(p);
	p->opt.shard_messages = 30;
	place_open(p);
	add_docs(p, false);
	place_seal(p); /* four shards */
	assert_int_equal(index_remove(p->ix, 1, lots, 1, is_lot_11, &r.asked, r.dead, 3,
	                              &r.dead_count, &r.removed, &p->e),
	                 RC_LIMIT);
	assert_int_equal(r.dead_count, 3);
	assert_int_equal(r.removed, 30);
	destroy(p, &r);
	r = remove_lot_11(p);
	assert_int_equal(r.dead_count, 1);
	assert_int_equal(r.removed, 10);
	destroy(p, &r);
	assert_int_equal(place_all(p, 1), DOCS * 2 / 3);
	assert_int_equal(reset(p, 0), 4);
	assert_int_equal(place_all(p, 1), 0);
	EXPECT_OK(index_drop_dead(p->ix, &p->e), &p->e);
	add_docs(p, false);
	assert_int_equal(place_all(p, 1), DOCS);
	assert_int_equal(reset(p, 1), 4);
	EXPECT_OK(index_drop_dead(p->ix, &p->e), &p->e);
	place_reopen(p);
	assert_int_equal(place_all(p, 1), 0);
}

static bool is_first(void *arg, const struct message_id *id, uint64_t lot)
{
	(void)arg;
	(void)lot;
	return id_received_ms(id) == DAY0;
}

/* Messages of many words, so that several buckets are dealt and sorted. */
static void test_large_texts(void **state)
{
	struct place *p = *state;
	struct result r = { .dead_count = 0 };
	size_t room = 5000000;
	char *body = mem_new(room);
	struct index_doc d;

	for (uint32_t i = 0; i < 4; i++) {
		size_t n = 0;

		for (unsigned k = 0; n + 32 < room; k++)
			n += (size_t)snprintf(body + n, room - n, "w%u ", (k * 7919u + i) % 50021u);
		snprintf(body + n, room - n, "last%u", i);
		d = place_doc(place_id(DAY0 + i, i), "large", body);
		place_add(p, 1, &d);
	}
	place_seal(p);
	EXPECT_OK(index_remove(p->ix, 1, NULL, 0, is_first, NULL, r.dead, 8, &r.dead_count,
	                       &r.removed, &p->e),
	          &p->e);
	assert_int_equal(r.removed, 1);
	destroy(p, &r);
	assert_int_equal(place_count(p, 1, "large"), 3);
	assert_int_equal(place_count(p, 1, "last0"), 0);
	assert_int_equal(place_count(p, 1, "last3"), 1);
	assert_int_equal(place_count(p, 1, "w1 w7920 w15839"), 3);
	assert_int_equal(place_count(p, 1, "w7920 w1"), 0);
	free(body);
}

/* Every call of a removal fails once: an error, and after it the next one, of a process that starts
 * anew, finishes the work: the same mail is found as if nothing had happened, the old key and file
 * are gone, and no chunk has a word of what went. */
static enum rc remove_whole(struct place *p)
{
	static const uint64_t lots[] = { 11 };
	struct result r = { .dead_count = 0 };
	enum rc rc = index_remove(p->ix, 1, lots, 1, is_lot_11, &r.asked, r.dead, 8, &r.dead_count,
	                          &r.removed, &p->e);

	if (rc == RC_OK)
		rc = keyring_destroy(p->kr, r.dead, r.dead_count, &p->e);
	return rc == RC_OK ? index_drop_dead(p->ix, &p->e) : rc;
}

#define FEW 6

static void add_few(struct place *p)
{
	for (uint32_t i = 0; i < FEW; i++) {
		char subject[40];
		struct index_doc d;

		snprintf(subject, sizeof(subject), "%s%u common", i % 3 == 1 ? "xqjpurged" : "kept",
		         i);
		d = place_doc(place_id(DAY0 + i, i), subject, "x");
		d.lot = 10 + i % 3;
		place_add(p, 1, &d);
	}
}

static void removal_fails(struct place *made, unsigned calls)
{
	bool hit = true;
	unsigned n;
	unsigned step;

	scratch_stride(&n, &step);
	for (; hit; n += step) {
		struct index_doc d = place_doc(place_id(DAY0 + 999, 999), "later mail", "x");
		struct place p = *made;
		enum rc rc;
		char *old;

		snprintf(p.dir, sizeof(p.dir), "%.40s-%u", made->dir, n);
		scratch_copy(made->dir, p.dir);
		place_open(&p);
		old = shard_path(&p, 1, "shard");
		d.lot = 12;
		place_add(&p, 1, &d); /* in an open shard, and not yet committed */
		fault_arm(calls, n, EIO, false);
		rc = remove_whole(&p);
		hit = fault_disarm();
		assert_true(rc == RC_OK || (hit && rc == RC_IO));
		place_reopen(&p);
		if (place_count(&p, 1, "later") == 0) {
			assert_int_equal(rc, RC_IO);
			place_add(&p, 1, &d);
		}
		EXPECT_OK(remove_whole(&p), &p.e);
		assert_int_equal(place_all(&p, 1), FEW * 2 / 3 + 1);
		assert_int_equal(place_count(&p, 1, "common"), FEW * 2 / 3);
		assert_int_equal(place_count(&p, 1, "xqjpurged1"), 0);
		assert_int_equal(place_count(&p, 1, "later"), 1);
		assert_false(file_exists(old));
		free(old);
		place_close(&p);
		scratch_remove_path(p.dir);
	}
	assert_true(n > 10);
}

static void test_removal_fails(void **state)
{
	struct place *p = *state;

	add_few(p);
	place_seal(p);
	place_close(p);
	removal_fails(p, FAULT_OPEN | FAULT_SYNC | FAULT_SYNC_DIR | FAULT_NAME | FAULT_CUT);
	removal_fails(p, FAULT_PART);
	place_open(p);
}

/* Only the shards with mail of a lot's day are opened. */
static void test_lots_of_days(void **state)
{
	struct place *p = *state;
	struct result r = { .dead_count = 0 };
	uint64_t lots[3];

	for (int day = 0; day < 3; day++) {
		EXPECT_OK(keyring_lot(p->kr, 1, 20454 + day, 0, &lots[day], &p->e), &p->e);
		for (uint32_t i = 0; i < 2; i++) {
			struct index_doc d = place_doc(
			        place_id(DAY0 + day * INT64_C(86400000) + i, i), "word", "x");

			d.lot = i ? lots[day] : 99; /* and one of a lot that nobody asks for */
			place_add(p, 1, &d);
		}
		place_seal(p);
	}
	EXPECT_OK(index_remove(p->ix, 1, lots + 2, 1, is_lot_11, &r.asked, r.dead, 8, &r.dead_count,
	                       &r.removed, &p->e),
	          &p->e);
	assert_int_equal(r.asked, 2);
	EXPECT_OK(index_remove(p->ix, 1, lots + 1, 2, is_lot_11, &r.asked, r.dead, 8, &r.dead_count,
	                       &r.removed, &p->e),
	          &p->e);
	assert_int_equal(r.asked, 2 + 4);
	lots[1] = lots[2];
	lots[2] = lots[0];
	EXPECT_OK(index_remove(p->ix, 1, lots, 2, is_lot_11, &r.asked, r.dead, 8, &r.dead_count,
	                       &r.removed, &p->e),
	          &p->e);
	assert_int_equal(r.asked, 6 + 4);
	EXPECT_OK(index_remove(p->ix, 1, lots + 1, 2, is_lot_11, &r.asked, r.dead, 8, &r.dead_count,
	                       &r.removed, &p->e),
	          &p->e);
	assert_int_equal(r.asked, 10 + 4);
	EXPECT_OK(index_remove(p->ix, 1, lots, 1, is_lot_11, &r.asked, r.dead, 8, &r.dead_count,
	                       &r.removed, &p->e),
	          &p->e);
	assert_int_equal(r.asked, 14 + 2);
}

/* A shard that was begun and has nothing. */
static void test_empty_shard(void **state)
{
	struct place *p = *state;
	struct index_doc d = place_doc(place_id(DAY0, 1), "gone", "x");
	struct result r;

	place_add(p, 1, &d);
	index_rollback(p->ix);
	r = remove_lot_11(p);
	assert_int_equal(r.asked, 0);
	assert_int_equal(r.dead_count, 0);
	place_add(p, 1, &d);
	place_commit(p);
	assert_int_equal(place_count(p, 1, "gone"), 1);
}

/* A shard that can't be read, and one with a row that can't be: nothing is removed by guess. */
static void test_damaged_shard(void **state)
{
	struct place *p = *state;
	static const uint64_t lots[] = { 11 };
	struct result r = { .dead_count = 0 };
	char *path = shard_path(p, 1, "db");
	uint8_t key[KEY_BYTES];
	struct conn *c;
	struct file *f;

	add_docs(p, false);
	shard_key(p, 1, key);
	place_close(p);
	EXPECT_OK(keyring_open(&p->kr, p->dir, place_master, &p->e), &p->e);
	EXPECT_OK(conn_open(&c, path, key, false, DB_WRITE, &p->e), &p->e);
	EXPECT_OK(db_exec(conn_db(c), "UPDATE message SET id = x'0102' WHERE lot = 11", &p->e),
	          &p->e);
	conn_close(&c);
	keyring_close(&p->kr);
	place_open(p);
	assert_int_equal(index_remove(p->ix, 1, lots, 1, is_lot_11, &r.asked, r.dead, 8,
	                              &r.dead_count, &r.removed, &p->e),
	                 RC_CORRUPT);
	assert_non_null(strstr(p->e.text, "a row without an id"));
	assert_int_equal(r.removed, 0);
	place_close(p);
	EXPECT_OK(file_open(&f, path, FILE_WRITE, &p->e), &p->e);
	EXPECT_OK(file_write_at(f, slice_str("xxxx"), 100, &p->e), &p->e);
	file_close(&f);
	place_open(p);
	assert_int_equal(index_remove(p->ix, 1, lots, 1, is_lot_11, &r.asked, r.dead, 8,
	                              &r.dead_count, &r.removed, &p->e),
	                 RC_CORRUPT);
	assert_non_null(strstr(p->e.text, "is damaged: reindex"));
	assert_int_equal(r.removed, 0);
	free(path);
}

/* The shard's key is lost with its slot: the file stays, for the slot may be put back, until a
 * rebuild. */
static void test_lost_key(void **state)
{
	enum { SLOT = 512, SLOTS = 256 };
	static const char *const replicas[] = { "keys.a", "keys.b" };
	struct place *p = *state;
	struct key_search s = { .object = 1 };
	char *path = shard_path(p, 1, "db");

	add_docs(p, false);
	assert_int_equal(keyring_each(p->kr, find_key, &s), RC_OK);
	place_close(p);
	for (size_t i = 0; i < COUNT(replicas); i++) {
		char *name = path_join(p->dir, replicas[i]);
		uint8_t raw[SLOT] = { 0 };
		struct file *f;
		uint64_t at = 0;

		EXPECT_OK(file_open(&f, name, FILE_WRITE, &p->e), &p->e);
		while (memcmp(raw + 16, &s.id, sizeof(s.id)) != 0) {
			at += SLOT;
			EXPECT_OK(file_read_at(f, raw, SLOT, at, &p->e), &p->e);
		}
		raw[100] ^= 1;
		EXPECT_OK(file_write_at(f, slice_of(raw, SLOT), at, &p->e), &p->e);
		file_close(&f);
		free(name);
	}
	place_open(p);
	assert_int_equal(keyring_lost(p->kr), 1);
	EXPECT_OK(index_drop_dead(p->ix, &p->e), &p->e);
	place_reopen(p);
	assert_int_equal(access(path, F_OK), 0);
	{
		struct index_view *v;

		assert_int_equal(index_view_open(&v, p->ix, 1, 0, INT64_MAX, &p->e), RC_CORRUPT);
		assert_non_null(strstr(p->e.text, "reindex"));
	}
	assert_int_equal(reset(p, 1), 0);
	EXPECT_OK(index_drop_dead(p->ix, &p->e), &p->e);
	assert_int_not_equal(access(path, F_OK), 0);
	add_docs(p, false);
	assert_int_equal(place_all(p, 1), DOCS);
	place_reopen(p);
	assert_int_equal(place_all(p, 1), DOCS);
	free(path);
}

/* Dead shards that the caller has no room for are told of by its next call. */
static void test_room_for_the_dead(void **state)
{
	struct place *p = *state;
	struct result r = { .dead_count = 0 };
	uint64_t first[8];
	uint64_t lots[] = { 11 };

	place_close(p);
	p->opt.shard_messages = 30;
	place_open(p);
	add_docs(p, false);
	place_seal(p); /* four shards, and all lose messages */
	r = remove_lot_11(p);
	assert_int_equal(r.dead_count, 4);
	for (size_t room = 0; room < 4; room++) {
		size_t count;

		assert_int_equal(index_remove(p->ix, 1, lots, 1, is_lot_11, &r.asked, first, room,
		                              &count, &r.removed, &p->e),
		                 RC_LIMIT);
		assert_int_equal(count, room);
		assert_int_equal(r.removed, 0);
	}
	/* What the caller has destroyed is not told of again, though its files are still there. */
	EXPECT_OK(keyring_destroy(p->kr, r.dead, 3, &p->e), &p->e);
	r.dead[0] = r.dead[3];
	EXPECT_OK(index_remove(p->ix, 1, lots, 1, is_lot_11, &r.asked, first, 1, &r.dead_count,
	                       &r.removed, &p->e),
	          &p->e);
	assert_int_equal(r.dead_count, 1);
	assert_int_equal(first[0], r.dead[0]);
	EXPECT_OK(keyring_destroy(p->kr, first, 1, &p->e), &p->e);
	assert_int_equal(reset(p, 1), 4);
	assert_int_equal(reset(p, 1), 0); /* nothing is left to go round for */
	EXPECT_OK(index_drop_dead(p->ix, &p->e), &p->e);
	assert_int_equal(place_all(p, 1), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_answers_as_if_never_there),
		CASE(test_purged_words_are_in_no_chunk),
		CASE(test_open_shard),
		CASE(test_all_of_a_shard),
		CASE(test_untouched_shards_stay),
		CASE(test_stopped_in_between),
		CASE(test_view_outlives_removal),
		CASE(test_room_and_reset),
		CASE(test_large_texts),
		CASE(test_removal_fails),
		CASE(test_lots_of_days),
		CASE(test_empty_shard),
		CASE(test_damaged_shard),
		CASE(test_lost_key),
		CASE(test_room_for_the_dead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
