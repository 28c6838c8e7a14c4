#include "tests/unit/index/place.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "index/index_parts.h"
#include "tests/unit/fault.h"

/* ids of hits in order, as their sequence numbers */
struct seen {
	uint32_t sequence[2000];
	size_t count;
	size_t stop_at; /* 0: never */
};

static enum rc see(void *arg, const struct index_row *row, struct err *e)
{
	struct seen *s = arg;

	if (s->stop_at && s->count == s->stop_at)
		return err_set(e, RC_DENIED, "enough");
	assert_true(s->count < COUNT(s->sequence));
	s->sequence[s->count++] = (uint32_t)(id_rowid(&row->id) & ((1 << ID_SEQUENCE_BITS) - 1));
	return RC_OK;
}

static struct seen list(struct place *p, const struct match *m, enum index_sort sort,
                        uint64_t limit)
{
	struct index_view *v = place_view(p, 1);
	struct seen s = { .count = 0 };

	EXPECT_OK(index_view_each(v, m, sort, limit, see, &s, &p->e), &p->e);
	index_view_close(&v);
	return s;
}

static void expect_list(const char *name, const struct seen *s, const uint32_t *want, size_t count)
{
	EXPECT(name, s->count == count);
	for (size_t i = 0; i < count; i++)
		EXPECT(name, s->sequence[i] == want[i]);
}

static void test_added_is_found_after_commit(void **state)
{
	struct place *p = *state;
	struct message_id id = place_id(DAY0, 1);
	struct index_doc d = place_doc(id, "Quarterly report", "the figures of spring");

	assert_false(index_has(p->ix, 1, &id));
	place_add(p, 1, &d);
	assert_true(index_has(p->ix, 1, &id));
	assert_int_equal(place_count(p, 1, "figures"), 0);
	place_commit(p);
	assert_int_equal(place_count(p, 1, "figures"), 1);
	assert_int_equal(place_count(p, 1, "quarterly report"), 1);
	assert_int_equal(place_count(p, 1, "report quarterly"), 0);
	assert_int_equal(place_count(p, 2, "figures"), 0);
	place_add(p, 1, &d); /* twice */
	place_commit(p);
	assert_int_equal(place_all(p, 1), 1);
	place_reopen(p);
	assert_int_equal(place_count(p, 1, "figures"), 1);
	assert_true(index_has(p->ix, 1, &id));
	assert_int_equal(place_seal(p), 1);
	assert_int_equal(place_count(p, 1, "figures"), 1);
	assert_true(index_has(p->ix, 1, &id));
	place_add(p, 1, &d);
	place_commit(p);
	assert_int_equal(place_all(p, 1), 1);
}

struct one_row {
	bool seen;
};

static enum rc check_row(void *arg, const struct index_row *r, struct err *e)
{
	struct one_row *o = arg;

	(void)e;
	o->seen = true;
	assert_int_equal(r->received_ms, DAY0 + 5);
	assert_int_equal(r->sent_ms, 12345);
	assert_int_equal(r->lot, 1);
	assert_int_equal(r->bytes, 4711);
	assert_int_equal(r->flags, DOC_HAS_SENT | DOC_HAS_ATTACHMENT);
	assert_int_equal(r->sha256[31], 0xab);
	EXPECT_SLICE("subject", r->subject, "Straße");
	EXPECT_SLICE("from", r->from, "Max <max@a.example>");
	EXPECT_SLICE("to", r->to, "to@a.example");
	EXPECT_SLICE("cc", r->cc, "cc@a.example");
	EXPECT_SLICE("bcc", r->bcc, "");
	EXPECT_SLICE("envelope_from", r->envelope_from, "ef@a.example");
	EXPECT_SLICE("envelope_to", r->envelope_to, "et@a.example");
	EXPECT_SLICE("filename", r->filename, "a.pdf\nb.txt");
	EXPECT_SLICE("message_id", r->message_id, "x@y");
	EXPECT_SLICE("ingress", r->ingress, "inbound");
	EXPECT_SLICE("ip", r->ip, "2001:db8::1");
	EXPECT_SLICE("problem", r->problem, "odd");
	return RC_OK;
}

static void test_row_comes_back_whole(void **state)
{
	struct place *p = *state;
	struct index_doc d = place_doc(place_id(DAY0 + 5, 1), "Straße", "body");
	struct match all = { .kind = MATCH_ALL };
	struct one_row o = { false };
	struct index_view *v;

	d.bytes = 4711;
	d.flags = DOC_HAS_SENT | DOC_HAS_ATTACHMENT;
	d.sent_ms = 12345;
	d.sha256[31] = 0xab;
	d.field[DOC_FROM] = slice_str("Max <max@a.example>");
	d.field[DOC_TO] = slice_str("to@a.example");
	d.field[DOC_CC] = slice_str("cc@a.example");
	d.field[DOC_ENVELOPE_FROM] = slice_str("ef@a.example");
	d.field[DOC_ENVELOPE_TO] = slice_str("et@a.example");
	d.field[DOC_FILENAME] = slice_str("a.pdf\nb.txt");
	d.message_id = slice_str("x@y");
	d.ip = slice_str("2001:db8::1");
	d.problem = slice_str("odd");
	place_add(p, 1, &d);
	place_seal(p);
	v = place_view(p, 1);
	EXPECT_OK(index_view_each(v, &all, SORT_RECEIVED_DOWN, 0, check_row, &o, &p->e), &p->e);
	assert_true(o.seen);
	index_view_close(&v);
}

static void add_numbered(struct place *p, uint32_t sequence, int64_t ms, int64_t sent,
                         uint64_t bytes)
{
	char body[64];
	struct index_doc d;

	snprintf(body, sizeof(body), "common %s number%u", sequence % 2 ? "odd odd odd" : "even",
	         sequence);
	d = place_doc(place_id(ms, sequence), "numbered", body);
	d.bytes = bytes;
	if (sent) {
		d.flags = DOC_HAS_SENT;
		d.sent_ms = sent;
	}
	place_add(p, 1, &d);
}

static void test_orders_over_shards(void **state)
{
	struct place *p = *state;
	struct match m = { .kind = MATCH_TEXT, .fields = FIELDS_ALL, .text = slice_str("common") };
	struct seen s;

	/* Three shards that overlap in time, two of them sealed. */
	add_numbered(p, 1, DAY0 + 10, 500, 30);
	add_numbered(p, 2, DAY0 + 40, 0, 10);
	place_seal(p);
	add_numbered(p, 3, DAY0 + 20, 100, 60);
	add_numbered(p, 4, DAY0 + 50, 900, 20);
	place_seal(p);
	add_numbered(p, 5, DAY0 + 30, 300, 50);
	add_numbered(p, 6, DAY0 + 60, 0, 40);
	place_commit(p);

	s = list(p, &m, SORT_RECEIVED_DOWN, 0);
	expect_list("newest first", &s, (const uint32_t[]) { 6, 4, 2, 5, 3, 1 }, 6);
	s = list(p, &m, SORT_RECEIVED_UP, 0);
	expect_list("oldest first", &s, (const uint32_t[]) { 1, 3, 5, 2, 4, 6 }, 6);
	s = list(p, &m, SORT_RECEIVED_DOWN, 2);
	expect_list("two newest", &s, (const uint32_t[]) { 6, 4 }, 2);
	s = list(p, &m, SORT_SENT_DOWN, 0);
	expect_list("sent, unknown last", &s, (const uint32_t[]) { 4, 1, 5, 3, 6, 2 }, 6);
	s = list(p, &m, SORT_SENT_UP, 3);
	expect_list("sent up", &s, (const uint32_t[]) { 3, 5, 1 }, 3);
	s = list(p, &m, SORT_BYTES_DOWN, 0);
	expect_list("largest first", &s, (const uint32_t[]) { 3, 5, 6, 1, 4, 2 }, 6);
	s = list(p, &m, SORT_BYTES_UP, 1);
	expect_list("smallest", &s, (const uint32_t[]) { 2 }, 1);
	m.text = slice_str("odd");
	s = list(p, &m, SORT_RANK, 0);
	EXPECT("rank finds all", s.count == 3);
	m = (struct match) { .kind = MATCH_ALL };
	s = list(p, &m, SORT_RANK, 0);
	expect_list("no rank", &s, (const uint32_t[]) { 6, 4, 2, 5, 3, 1 }, 6);
}

static void test_best_rank_first(void **state)
{
	struct place *p = *state;
	struct match m = { .kind = MATCH_TEXT, .fields = FIELDS_ALL, .text = slice_str("needle") };
	struct index_doc d;
	struct seen s;

	for (uint32_t i = 1; i <= 20; i++) {
		d = place_doc(place_id(DAY0 + i, i), "x",
		              i == 7    ? "needle needle needle"
		              : i == 13 ? "needle in a heap of other words that go on for long"
		                        : "hay hay hay");
		place_add(p, 1, &d);
	}
	place_commit(p);
	s = list(p, &m, SORT_RANK, 0);
	expect_list("rank", &s, (const uint32_t[]) { 7, 13 }, 2);
}

static void test_callback_stops(void **state)
{
	struct place *p = *state;
	struct match m = { .kind = MATCH_ALL };
	struct seen s = { .stop_at = 1 };
	struct index_view *v;

	add_numbered(p, 1, DAY0, 0, 1);
	add_numbered(p, 2, DAY0, 0, 1);
	place_commit(p);
	v = place_view(p, 1);
	assert_int_equal(index_view_each(v, &m, SORT_RECEIVED_UP, 0, see, &s, &p->e), RC_DENIED);
	assert_int_equal(s.count, 1);
	index_view_close(&v);
}

static void test_limit_of_a_shard(void **state)
{
	struct place *p = *state;
	struct index_totals t;
	unsigned sealed;

	place_close(p);
	p->opt.shard_messages = 10;
	place_open(p);
	for (uint32_t i = 0; i < 35; i++)
		add_numbered(p, i, DAY0 + i, 0, 1);
	EXPECT_OK(index_seal(p->ix, false, &sealed, &p->e), &p->e);
	assert_int_equal(sealed, 3);
	EXPECT_OK(index_count(p->ix, 1, &t, &p->e), &p->e);
	assert_int_equal(t.shards, 4);
	assert_int_equal(t.sealed, 3);
	assert_int_equal(t.messages, 35);
	assert_true(t.disk_bytes > 0);
	assert_int_equal(place_count(p, 1, "common"), 35);
	assert_int_equal(place_count(p, 1, "number17"), 1);
	place_reopen(p);
	assert_int_equal(place_count(p, 1, "common"), 35);
	add_numbered(p, 35, DAY0 + 35, 0, 1);
	place_commit(p);
	EXPECT_OK(index_count(p->ix, 0, &t, &p->e), &p->e);
	assert_int_equal(t.shards, 4);
	assert_int_equal(t.messages, 36);
}

/* Mail that waited long goes between mail that came just now: each message is in the range of every
 * shard that is full by then, and none is opened twice before the commit. */
static void test_shards_that_overlap_stay_open(void **state)
{
	struct place *p = *state;
	struct conn *first;
	uint32_t shards = OTHERS + 3;
	uint32_t i;

	place_close(p);
	p->opt.shard_messages = 2;
	place_open(p);
	for (i = 0; i < shards; i++) {
		add_numbered(p, 2 * i, DAY0 + i, 0, 1);
		add_numbered(p, 2 * i + 1, DAY0 + 1000 + i, 0, 1);
		place_commit(p);
		assert_int_equal(p->ix->others_count, 0);
	}
	add_numbered(p, 2 * shards, DAY0 + 500, 0, 1);
	assert_int_equal(p->ix->others_count, OTHERS);
	first = p->ix->others[0].conn;
	add_numbered(p, 2 * shards + 1, DAY0 + 501, 0, 1);
	assert_int_equal(p->ix->others_count, OTHERS);
	assert_ptr_equal(p->ix->others[0].conn, first);
	for (i = 0; i < shards; i++) /* all are there, wherever they are */
		add_numbered(p, 2 * i, DAY0 + i, 0, 1);
	place_commit(p);
	assert_int_equal(p->ix->others_count, 0);
	assert_int_equal(place_count(p, 1, "common"), 2 * shards + 2);
}

/* Ids that agree in time and sequence but not in the random part. */
static void test_colliding_ids(void **state)
{
	struct place *p = *state;
	struct message_id id;
	struct index_doc d;
	uint32_t last = (1u << ID_SEQUENCE_BITS) - 3;

	for (uint8_t i = 0; i < 40; i++) {
		uint8_t random[8] = { i };

		id = id_make(DAY0, 77, random);
		d = place_doc(id, "collision", "x");
		place_add(p, 1, &d);
		if (i < 3) { /* at the end of the millisecond there is less room */
			id = id_make(DAY0 + 1, last, random);
			d = place_doc(id, "edge", "x");
			place_add(p, 1, &d);
		}
	}
	place_commit(p);
	place_seal(p);
	assert_int_equal(place_count(p, 1, "collision"), 40);
	assert_int_equal(place_count(p, 1, "edge"), 3);
	for (uint8_t i = 0; i < 41; i++) {
		uint8_t random[8] = { i };

		id = id_make(DAY0, 77, random);
		assert_int_equal(index_has(p->ix, 1, &id), i < 40);
	}
}

/* One who makes up ids takes more places than an id has, also at the end of the millisecond. None
 * is refused, each is found once, and again in a shard that was written anew. */
static bool second_goes(void *arg, const struct message_id *id, uint64_t lot)
{
	(void)arg;
	(void)lot;
	return id->b[8] == 2;
}

static struct message_id crowd_id(uint32_t i)
{
	uint8_t random[8] = { (uint8_t)i, (uint8_t)(i >> 8) };

	return id_make(DAY0, i % 2 ? 77 : (1u << ID_SEQUENCE_BITS) - 1, random);
}

static void check_crowd(struct place *p, bool rewritten)
{
	for (uint32_t i = 0; i < 401; i++) {
		struct message_id id = crowd_id(i);
		bool there = i < 400 && !(rewritten && second_goes(NULL, &id, 0));
		char text[ID_TEXT + 1];
		struct match m = { .kind = MATCH_ID };

		id_format(text, &id);
		m.text = slice_str(text);
		assert_int_equal(index_has(p->ix, 1, &id), there);
		assert_int_equal(place_hits(p, 1, &m), there);
	}
}

static void test_crowded_ids(void **state)
{
	struct place *p = *state;
	uint64_t dead[4];
	size_t count;
	uint64_t removed;

	for (unsigned twice = 0; twice < 2; twice++) {
		for (uint32_t i = 0; i < 400; i++) {
			struct index_doc d = place_doc(crowd_id(i), "crowd", "x");

			place_add(p, 1, &d);
		}
		place_commit(p);
	}
	check_crowd(p, false);
	assert_int_equal(place_count(p, 1, "crowd"), 400);
	place_seal(p);
	check_crowd(p, false);
	EXPECT_OK(index_remove(p->ix, 1, NULL, 0, second_goes, NULL, dead, COUNT(dead), &count,
	                       &removed, &p->e),
	          &p->e);
	EXPECT_OK(keyring_destroy(p->kr, dead, count, &p->e), &p->e);
	assert_int_equal(removed, 2); /* 2 and 258 */
	place_reopen(p);
	check_crowd(p, true);
}

static void test_view_keeps_what_it_saw(void **state)
{
	struct place *p = *state;
	struct match all = { .kind = MATCH_ALL };
	struct index_view *v;
	uint64_t hits;

	add_numbered(p, 1, DAY0, 0, 1);
	place_seal(p);
	add_numbered(p, 2, DAY0 + 1, 0, 1);
	place_commit(p);
	v = place_view(p, 1);
	add_numbered(p, 3, DAY0 + 2, 0, 1);
	place_seal(p); /* the open shard is sealed and its file removed meanwhile */
	add_numbered(p, 4, DAY0 + 3, 0, 1);
	place_commit(p);
	EXPECT_OK(index_view_count(v, &all, &hits, &p->e), &p->e);
	assert_int_equal(hits, 2);
	index_view_close(&v);
	assert_int_equal(place_all(p, 1), 4);
	place_reopen(p);
	assert_int_equal(place_all(p, 1), 4);
}

/* A connection that was used and kept sees what was committed since. */
static void test_kept_connections_are_fresh(void **state)
{
	struct place *p = *state;
	struct match all = { .kind = MATCH_ALL };

	for (uint32_t i = 1; i <= 5; i++) {
		struct seen s;

		add_numbered(p, i, DAY0 + i, 0, 1);
		place_commit(p);
		s = list(p, &all, SORT_RECEIVED_DOWN, 1); /* stops while it stands on a row */
		expect_list("the newest", &s, &i, 1);
		assert_int_equal(place_all(p, 1), i);
	}
}

static void test_view_range_leaves_shards_out(void **state)
{
	struct place *p = *state;
	struct index_view *v;

	add_numbered(p, 1, DAY0, 0, 1);
	place_seal(p);
	add_numbered(p, 2, DAY0 + 1000, 0, 1);
	place_seal(p);
	EXPECT_OK(index_view_open(&v, p->ix, 1, DAY0 + 500, DAY0 + 2000, &p->e), &p->e);
	assert_int_equal(index_view_shards(v), 1);
	index_view_close(&v);
	EXPECT_OK(index_view_open(&v, p->ix, 1, DAY0 + 1, DAY0 + 1000, &p->e), &p->e);
	assert_int_equal(index_view_shards(v), 0);
	index_view_close(&v);
	EXPECT_OK(index_view_open(&v, p->ix, 1, DAY0, DAY0 + 1001, &p->e), &p->e);
	assert_int_equal(index_view_shards(v), 2);
	index_view_close(&v);
}

static void test_catalogue_is_rebuilt(void **state)
{
	struct place *p = *state;
	struct index_totals t;

	add_numbered(p, 1, DAY0, 0, 1);
	place_seal(p);
	add_numbered(p, 2, DAY0 + 1, 0, 1);
	place_seal(p);
	EXPECT_OK(db_exec(p->control, "DELETE FROM shard WHERE number = 1", &p->e), &p->e);
	EXPECT_OK(db_exec(p->control, "UPDATE shard SET messages = 99, root = x'00'", &p->e),
	          &p->e);
	place_reopen(p);
	EXPECT_OK(index_count(p->ix, 1, &t, &p->e), &p->e);
	assert_int_equal(t.messages, 2);
	assert_int_equal(t.sealed, 2);
	EXPECT_OK(db_exec(p->control, "DROP TABLE shard", &p->e), &p->e);
	place_reopen(p);
	assert_int_equal(place_all(p, 1), 2);
}

static void expect_no_view(struct place *p, uint32_t archive)
{
	struct index_view *v;

	assert_int_equal(index_view_open(&v, p->ix, archive, 0, INT64_MAX, &p->e), RC_CORRUPT);
	assert_non_null(strstr(p->e.text, "reindex"));
}

/* A file that is gone while its key lives was lost: no search may answer without it. */
static void test_missing_files(void **state)
{
	static const char *const gone[] = { "00000001.shard", "00000002.db" };
	struct place *p = *state;
	uint64_t *dead;
	size_t count;
	char path[128];

	for (size_t i = 0; i < COUNT(gone); i++) {
		add_numbered(p, 1, DAY0, 0, 1);
		place_seal(p);
		add_numbered(p, 2, DAY0 + 1, 0, 1);
		place_commit(p);
		place_close(p);
		snprintf(path, sizeof(path), "%s/index/1/%s", p->dir, gone[i]);
		assert_int_equal(unlink(path), 0);
		place_open(p);
		expect_no_view(p, 1);
		assert_int_equal(place_all(p, 2), 0);
		place_reopen(p); /* it is not forgotten */
		expect_no_view(p, 1);
		index_reset(p->ix, 1, &dead, &count);
		assert_int_equal(count, 2);
		EXPECT_OK(keyring_destroy(p->kr, dead, count, &p->e), &p->e);
		free(dead);
		EXPECT_OK(index_drop_dead(p->ix, &p->e), &p->e);
		assert_int_equal(place_all(p, 1), 0);
		place_reopen(p);
		assert_int_equal(place_all(p, 1), 0);
	}
}

static void test_rebuild_that_is_broken_off(void **state)
{
	struct place *p = *state;

	add_numbered(p, 1, DAY0, 0, 1);
	place_commit(p);
	EXPECT_OK(index_rebuild_begin(p->ix, 1, &p->e), &p->e);
	expect_no_view(p, 1);
	assert_int_equal(place_all(p, 2), 0);
	place_reopen(p);
	expect_no_view(p, 1);
	EXPECT_OK(index_rebuild_begin(p->ix, 0, &p->e), &p->e);
	expect_no_view(p, 2);
	EXPECT_OK(index_rebuild_end(p->ix, 1, &p->e), &p->e);
	expect_no_view(p, 1); /* all of them were begun */
	EXPECT_OK(index_rebuild_end(p->ix, 0, &p->e), &p->e);
	assert_int_equal(place_all(p, 1), 1);
	place_reopen(p);
	assert_int_equal(place_all(p, 1), 1);
	/* What can't be noted isn't begun, or isn't ended. */
	for (unsigned n = 1; n <= 2; n++) {
		fault_arm(FAULT_PART, n, EIO, false);
		assert_int_equal(index_rebuild_begin(p->ix, 1, &p->e), RC_IO);
		assert_true(fault_disarm());
		assert_int_equal(place_all(p, 1), 1);
		EXPECT_OK(index_rebuild_begin(p->ix, 1, &p->e), &p->e);
		fault_arm(FAULT_PART, n, EIO, false);
		assert_int_equal(index_rebuild_end(p->ix, 1, &p->e), RC_IO);
		assert_true(fault_disarm());
		expect_no_view(p, 1);
		EXPECT_OK(index_rebuild_end(p->ix, 1, &p->e), &p->e);
	}
}

/* Every call of opening fails once, with and without rows of the shards in control.db: it says so,
 * or it opens; and the next time all is there that was, and what is missing or half rebuilt is
 * known. */
static void open_fails(struct place *p, unsigned calls, bool rows)
{
	static const uint8_t control[KEY_BYTES] = { 7 };
	char path[96];
	bool hit = true;
	unsigned n;

	place_close(p);
	snprintf(path, sizeof(path), "%s/control.db", p->dir);
	for (n = 1; hit; n++) {
		uint32_t left = 0;
		enum rc rc;

		EXPECT_OK(keyring_open(&p->kr, p->dir, place_master, &p->e), &p->e);
		EXPECT_OK(db_open(&p->control, path, control, DB_WRITE, &p->e), &p->e);
		if (!rows)
			EXPECT_OK(db_exec(p->control, "DELETE FROM shard WHERE archive = 1", &p->e),
			          &p->e);
		fault_arm(calls, n, EIO, false);
		rc = index_open(&p->ix, p->dir, p->kr, p->control, &p->opt, &p->e);
		hit = fault_disarm();
		assert_true(rc == RC_OK || hit);
		assert_int_equal(p->ix != NULL, rc == RC_OK);
		place_close(p);
		place_open(p);
		assert_int_equal(place_all(p, 1), 2);
		expect_no_view(p, 2);
		assert_true(index_rebuild_left(p->ix, &left));
		assert_int_equal(left, 2);
		place_close(p);
	}
	assert_true(n > 5);
	place_open(p);
}

static void test_open_fails(void **state)
{
	struct place *p = *state;
	char path[96];

	add_numbered(p, 1, DAY0, 0, 1);
	place_add(p, 2, &(struct index_doc) { .id = place_id(DAY0, 2), .lot = 2 });
	place_seal(p);
	add_numbered(p, 3, DAY0 + 1, 0, 1);
	EXPECT_OK(index_rebuild_begin(p->ix, 2, &p->e), &p->e);
	place_commit(p);
	snprintf(path, sizeof(path), "%s/index/2/00000002.shard", p->dir);
	assert_int_equal(unlink(path), 0);
	for (int rows = 0; rows < 2; rows++) {
		open_fails(p, FAULT_PART, rows);
		open_fails(p, FAULT_FILES, rows);
	}
}

static enum rc count_damage(void *arg, const char *shard, const char *problem, struct err *e)
{
	unsigned *count = arg;

	(void)e;
	assert_string_equal(shard, "1/00000001");
	assert_true(strlen(problem) > 0);
	++*count;
	return RC_OK;
}

static void test_verify(void **state)
{
	struct place *p = *state;
	unsigned damaged = 0;
	char path[128];
	uint8_t b;
	int fd;

	for (uint32_t i = 0; i < 50; i++)
		add_numbered(p, i, DAY0 + i, 0, 1);
	place_seal(p);
	add_numbered(p, 100, DAY0 + 100, 0, 1);
	place_commit(p);
	EXPECT_OK(index_verify(p->ix, 0, count_damage, &damaged, &p->e), &p->e);
	assert_int_equal(damaged, 0);
	snprintf(path, sizeof(path), "%s/index/1/00000001.shard", p->dir);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &b, 1, 1500), 1);
	b ^= 4;
	assert_int_equal(pwrite(fd, &b, 1, 1500), 1);
	EXPECT_OK(index_verify(p->ix, 0, count_damage, &damaged, &p->e), &p->e);
	assert_int_equal(damaged, 1);
	/* One whose table is gone can't be searched around. */
	assert_int_equal(pwrite(fd, "XXXX", 4, 70), 4);
	close(fd);
	place_reopen(p);
	{
		struct index_view *v;

		assert_int_equal(index_view_open(&v, p->ix, 1, 0, INT64_MAX, &p->e), RC_CORRUPT);
		assert_non_null(strstr(p->e.text, "reindex"));
	}
}

static void expect_orders(struct place *p, const char *name)
{
	static const uint32_t down[] = { 6, 5, 4, 3, 2, 1 };
	static const uint32_t up[] = { 1, 2, 3, 4, 5, 6 };
	struct match words = { .kind = MATCH_TEXT,
		               .fields = FIELDS_ALL,
		               .text = slice_str("common") };
	struct match range = { .kind = MATCH_RECEIVED, .low = DAY0 + 2, .high = DAY0 + 5 };
	struct match both = { .kind = MATCH_AND, .child = &words };
	struct match all = { .kind = MATCH_ALL };
	const struct match *each[] = { &words, &all };
	struct seen s;

	for (size_t i = 0; i < COUNT(each); i++) {
		s = list(p, each[i], SORT_RECEIVED_DOWN, 0);
		expect_list(name, &s, down, 6);
		s = list(p, each[i], SORT_RECEIVED_UP, 3);
		expect_list(name, &s, up, 3);
		s = list(p, each[i], SORT_BYTES_UP, 4); /* all alike: in order of receipt */
		expect_list(name, &s, up, 4);
	}
	s = list(p, &range, SORT_RECEIVED_DOWN, 0);
	expect_list(name, &s, down + 2, 3);
	assert_int_equal(place_hits(p, 1, &range), 3);
	words.next = &range;
	s = list(p, &both, SORT_RECEIVED_UP, 0);
	expect_list(name, &s, up + 1, 3);
	s = list(p, &both, SORT_RANK, 0);
	assert_int_equal(s.count, 3);
	assert_int_equal(place_hits(p, 1, &both), 3);
	range.low = DAY0 + 7; /* behind all */
	range.high = DAY0 + 9;
	assert_int_equal(place_hits(p, 1, &both), 0);
}

static void test_orders_in_a_shard(void **state)
{
	static const uint32_t came[][6] = { { 1, 2, 3, 4, 5, 6 },
		                            { 1, 2, 4, 3, 5, 6 },
		                            { 6, 5, 4, 3, 2, 1 } };
	static const char *const names[] = { "in order", "one late", "backwards" };

	(void)state;
	for (size_t i = 0; i < COUNT(came); i++) {
		void *made = NULL;
		struct place *p;
		unsigned damaged = 0;

		assert_int_equal(place_setup(&made), 0);
		p = made;
		for (size_t k = 0; k < 6; k++)
			add_numbered(p, came[i][k], DAY0 + came[i][k], 0, 1);
		place_commit(p);
		expect_orders(p, names[i]);
		place_reopen(p);
		expect_orders(p, names[i]);
		place_seal(p);
		expect_orders(p, names[i]);
		EXPECT_OK(index_verify(p->ix, 1, count_damage, &damaged, &p->e), &p->e);
		assert_int_equal(damaged, 0);
		assert_int_equal(place_teardown(&made), 0);
	}
}

static void test_killed_before_commit(void **state)
{
	struct place *p = *state;
	int status;
	pid_t pid;

	add_numbered(p, 1, DAY0, 0, 1);
	place_commit(p);
	place_close(p);
	pid = fork();
	if (pid == 0) {
		place_open(p);
		add_numbered(p, 2, DAY0 + 1, 0, 1);
		place_commit(p);
		add_numbered(p, 3, DAY0 + 2, 0, 1);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	place_open(p);
	assert_int_equal(place_all(p, 1), 2);
	assert_int_equal(place_count(p, 1, "number2"), 1);
	assert_int_equal(place_count(p, 1, "number3"), 0);
	add_numbered(p, 3, DAY0 + 2, 0, 1);
	place_commit(p);
	assert_int_equal(place_count(p, 1, "common"), 3);
}

/* Every two characters that stand side by side find their text, in the open and the sealed shard.
 */
static void test_every_two_characters(void **state)
{
	static const char *const texts[] = { "東京都庁で行われた全文検索の会議",
		                             "机器学习与自然语言处理", "한국어전체텍스트검색",
		                             "ภาษาไทยไม่มีช่องว่างน้ำ" };
	struct place *p = *state;

	for (uint32_t i = 0; i < COUNT(texts); i++) {
		struct index_doc d = place_doc(place_id(DAY0 + i, i), texts[i], "");

		place_add(p, 1, &d);
	}
	place_commit(p);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < COUNT(texts); i++)
			for (const char *at = texts[i]; at[3]; at += 3) {
				char two[7] = { 0 };

				memcpy(two, at, 6);
				EXPECT(two, place_count(p, 1, two) == 1);
			}
		place_seal(p);
	}
	assert_int_equal(place_count(p, 1, "京東"), 0);
}

struct reader {
	struct place *p;
	pthread_t thread;
	bool failed;
	struct err e;
};

static enum rc count_row(void *arg, const struct index_row *row, struct err *e)
{
	uint64_t *n = arg;

	(void)row;
	(void)e;
	++*n;
	return RC_OK;
}

/* What a view counts is what it lists, and never less than what was there before it was opened. */
static void *read_on(void *arg)
{
	struct reader *r = arg;
	struct match m = { .kind = MATCH_TEXT, .fields = FIELDS_ALL, .text = slice_str("common") };
	uint64_t before = 0;

	while (!r->failed && before < 300) {
		struct index_view *v;
		uint64_t hits = 0;
		uint64_t rows = 0;
		enum rc rc = index_view_open(&v, r->p->ix, 1, 0, INT64_MAX, &r->e);

		if (rc == RC_OK)
			rc = index_view_count(v, &m, &hits, &r->e);
		if (rc == RC_OK)
			rc = index_view_each(v, &m, SORT_RECEIVED_DOWN, 0, count_row, &rows, &r->e);
		index_view_close(&v);
		if (rc != RC_OK || hits != rows || hits < before)
			r->failed = true;
		before = hits;
	}
	return NULL;
}

static bool is_doomed(void *arg, const struct message_id *id, uint64_t lot)
{
	(void)arg;
	(void)id;
	return lot == 66;
}

static void test_readers_beside_the_writer(void **state)
{
	struct place *p = *state;
	struct reader r[2] = { { .p = p }, { .p = p } };
	uint64_t lots[] = { 66 };
	uint64_t dead[16];
	size_t count;
	uint64_t removed;

	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&r[i].thread, NULL, read_on, &r[i]), 0);
	for (uint32_t i = 0; i < 300; i++) {
		struct index_doc d = place_doc(place_id(DAY0 + i, 5000 + i), "doomed", "x");

		add_numbered(p, i, DAY0 + i, 0, 1);
		d.lot = 66;
		place_add(p, 1, &d);
		if (i % 10 == 9)
			place_commit(p);
		if (i % 100 == 59)
			place_seal(p);
		if (i % 100 == 99) {
			EXPECT_OK(index_remove(p->ix, 1, lots, 1, is_doomed, NULL, dead, 16, &count,
			                       &removed, &p->e),
			          &p->e);
			EXPECT_OK(keyring_destroy(p->kr, dead, count, &p->e), &p->e);
			EXPECT_OK(index_drop_dead(p->ix, &p->e), &p->e);
		}
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(r[i].thread, NULL), 0);
		EXPECT(r[i].e.text, !r[i].failed);
	}
	assert_int_equal(place_all(p, 1), 300);
}

static bool is_odd(void *arg, const struct message_id *id, uint64_t lot)
{
	(void)arg;
	(void)lot;
	return id_rowid(id) & 1;
}

static bool seal_beside(struct place *p)
{
	bool busy;

	EXPECT_OK(index_seal_beside(p->ix, &busy, &p->e), &p->e);
	return busy;
}

/* Shards of ten: 25 messages are two full ones and a half. */
static void fill_shards(struct place *p)
{
	place_close(p);
	p->opt.shard_messages = 10;
	place_open(p);
	for (uint32_t i = 0; i < 25; i++)
		add_numbered(p, i, DAY0 + i, 0, 1);
	place_commit(p);
}

static uint32_t count_sealed(struct place *p)
{
	struct index_totals t;

	EXPECT_OK(index_count(p->ix, 1, &t, &p->e), &p->e);
	return t.sealed;
}

static void test_sealed_beside_the_writer(void **state)
{
	struct place *p = *state;
	uint32_t more = 25;

	assert_false(seal_beside(p));
	fill_shards(p);
	while (seal_beside(p)) {
		if (more < 60) {
			add_numbered(p, more, DAY0 + more, 0, 1);
			place_commit(p);
			more++;
		}
		assert_int_equal(place_count(p, 1, "common"), more);
	}
	assert_int_equal(count_sealed(p), more / 10);
	assert_int_equal(place_count(p, 1, "number17"), 1);
	place_reopen(p);
	assert_int_equal(place_count(p, 1, "common"), more);
	assert_int_equal(count_sealed(p), more / 10);
}

/* What writes to the index as a whole waits for it. */
static void test_sealing_is_waited_for(void **state)
{
	struct place *p = *state;
	uint64_t dead[16];
	size_t count;
	uint64_t removed;
	unsigned sealed;

	fill_shards(p);
	assert_true(seal_beside(p));
	place_reopen(p);
	assert_int_equal(count_sealed(p), 1);
	assert_true(seal_beside(p));
	EXPECT_OK(index_seal(p->ix, true, &sealed, &p->e), &p->e);
	assert_int_equal(sealed, 1);
	assert_int_equal(count_sealed(p), 3);
	for (uint32_t i = 25; i < 35; i++)
		add_numbered(p, i, DAY0 + i, 0, 1);
	place_commit(p);
	assert_true(seal_beside(p));
	EXPECT_OK(index_remove(p->ix, 1, NULL, 0, is_odd, NULL, dead, 16, &count, &removed, &p->e),
	          &p->e);
	assert_int_equal(removed, 17);
	assert_int_equal(place_count(p, 1, "common"), 18);
	EXPECT_OK(keyring_destroy(p->kr, dead, count, &p->e), &p->e);
	EXPECT_OK(index_drop_dead(p->ix, &p->e), &p->e);
	assert_int_equal(place_count(p, 1, "common"), 18);
}

/* The shard stays open, is found, and is tried again. */
static void test_sealing_beside_that_fails(void **state)
{
	struct place *p = *state;
	bool busy;
	enum rc rc = RC_OK;

	fill_shards(p);
	fault_arm(FAULT_SYNC, 1, EIO, true);
	assert_true(seal_beside(p));
	while (rc == RC_OK && (rc = index_seal_beside(p->ix, &busy, &p->e)) == RC_OK && busy)
		;
	assert_true(fault_disarm());
	assert_int_equal(rc, RC_IO);
	assert_int_equal(count_sealed(p), 0);
	assert_int_equal(place_count(p, 1, "common"), 25);
	while (seal_beside(p))
		;
	assert_int_equal(count_sealed(p), 2);
	assert_int_equal(place_count(p, 1, "common"), 25);
}

#define DAY_MS INT64_C(86400000)

static char clock_path[64];

/* So many days later than it is. */
static void set_clock(int64_t days)
{
	FILE *f = fopen(clock_path, "we");

	assert_non_null(f);
	assert_true(fprintf(f, "%lld\n", (long long)(days * DAY_MS)) > 0);
	assert_int_equal(fclose(f), 0);
}

static void make_clock(void)
{
	int fd;

	(void)snprintf(clock_path, sizeof(clock_path), "/tmp/mm-clock-XXXXXX");
	fd = mkstemp(clock_path);
	assert_true(fd >= 0);
	(void)close(fd);
	(void)setenv("MM_TEST_CLOCK", clock_path, 1);
	set_clock(0);
}

/* Until the thread that seals the first shard has nothing left to read of it. */
static void await_sealed_file(const struct place *p)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/index/1/00000001.shard", p->dir);
	for (unsigned i = 0; i < 600 && access(path, F_OK) != 0; i++)
		(void)usleep(100000);
	assert_int_equal(access(path, F_OK), 0);
	(void)usleep(200000);
}

/* A shard that is sealed for its age is young again when the clock goes back: nothing may be added
 * to it, for the sealed one wouldn't have that. */
static void test_sealed_beside_while_the_clock_goes_back(void **state)
{
	struct place *p = *state;

	place_close(p);
	p->opt.shard_days = 2;
	place_open(p);
	for (uint32_t i = 0; i < 5; i++)
		add_numbered(p, i, DAY0 + i, 0, 1);
	place_commit(p);
	set_clock(3);
	assert_true(seal_beside(p));
	await_sealed_file(p);
	set_clock(0);
	add_numbered(p, 5, DAY0 + 5, 0, 1);
	place_commit(p);
	assert_int_equal(place_count(p, 1, "common"), 6);
	while (seal_beside(p))
		;
	assert_int_equal(count_sealed(p), 1);
	assert_int_equal(place_count(p, 1, "common"), 6);
	place_reopen(p);
	assert_int_equal(place_count(p, 1, "common"), 6);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_added_is_found_after_commit),
		CASE(test_row_comes_back_whole),
		CASE(test_orders_over_shards),
		CASE(test_best_rank_first),
		CASE(test_callback_stops),
		CASE(test_limit_of_a_shard),
		CASE(test_shards_that_overlap_stay_open),
		CASE(test_colliding_ids),
		CASE(test_crowded_ids),
		CASE(test_view_keeps_what_it_saw),
		CASE(test_kept_connections_are_fresh),
		CASE(test_view_range_leaves_shards_out),
		CASE(test_catalogue_is_rebuilt),
		CASE(test_missing_files),
		CASE(test_rebuild_that_is_broken_off),
		CASE(test_open_fails),
		CASE(test_verify),
		cmocka_unit_test(test_orders_in_a_shard),
		CASE(test_killed_before_commit),
		CASE(test_every_two_characters),
		CASE(test_readers_beside_the_writer),
		CASE(test_sealed_beside_the_writer),
		CASE(test_sealing_is_waited_for),
		CASE(test_sealing_beside_that_fails),
		CASE(test_sealed_beside_while_the_clock_goes_back),
	};
	int failed;

	make_clock();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)unlink(clock_path);
	return failed;
}
