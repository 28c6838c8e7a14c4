/* tests/unit/query/test_run.c - queries against an index of 60 messages in three days */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/file.h"
#include "query/parse.h"
#include "query/run.h"
#include "store/crypt.h"

#define MESSAGES 60
#define ARCHIVE  7
#define DAY_0    INT64_C(1704067200000) /* 2024-01-01 */

struct world {
	char root[64];
	struct keyring *keys;
	struct db *control;
	struct index *index;
};

static enum rc remove_one(void *arg, const char *name, struct err *e)
{
	char *path = path_join(arg, name);

	if (dir_exists(path)) {
		(void)!dir_list(path, remove_one, path, e);
		(void)rmdir(path);
	} else {
		(void)!file_remove(path, e);
	}
	free(path);
	return RC_OK;
}

/* Message n: 20 a day, every third from ann, every fifth with an attachment, one not indexed. */
static void add_message(struct world *w, unsigned n)
{
	uint8_t random[8] = { (uint8_t)n };
	int64_t received = DAY_0 + (n / 20) * MS_PER_DAY + (n % 20) * 3600000;
	struct index_doc doc = {
		.id = id_make(received, n, random),
		.lot = 1 + n / 20,
		.sent_ms = received - 60000 - (int64_t)n,
		.bytes = 1000 + n * 100,
		.flags = DOC_HAS_SENT | (n % 5 == 0 ? DOC_HAS_ATTACHMENT : 0) |
		         (n == 17 ? DOC_NOT_INDEXED : 0),
	};
	char subject[64];
	char msgid[64];
	struct err e = { 0 };

	(void)snprintf(subject, sizeof(subject),
	               "Order %u for Stra\xc3\x9f"
	               "e \xe6\x9d\xb1\xe4\xba\xac\xe9\x83\xbd",
	               n);
	(void)snprintf(msgid, sizeof(msgid), "m%u@x.example", n);
	memset(doc.sha256, (int)n, 32);
	doc.field[DOC_SUBJECT] = slice_str(subject);
	doc.field[DOC_FROM] = slice_str(n % 3 ? "Bob <bob@b.example>" : "Ann <ann@a.example>");
	doc.field[DOC_TO] = slice_str("List <list@c.example>");
	doc.field[DOC_ENVELOPE_TO] = slice_str(n % 2 ? "hidden@d.example" : "list@c.example");
	doc.field[DOC_BODY] = slice_str(n % 2 ? "one two three four five six seven"
	                                      : "seven six five four three two one");
	doc.message_id = slice_str(msgid);
	doc.ingress = slice_str("inbound");
	doc.ip = slice_str(n % 4 ? "192.0.2.1" : "2001:db8::1");
	EXPECT_OK(index_add(w->index, ARCHIVE, &doc, &e), &e);
}

static int setup(void **state)
{
	static const struct index_options options = { .shard_messages = 20, .shard_days = 1 };
	struct world *w = mem_new(sizeof(*w));
	uint8_t master[KEY_BYTES] = { 1 };
	struct err e = { 0 };
	char *path;
	const struct key_info want = { .kind = KEY_ARCHIVE, .archive = ARCHIVE };
	uint64_t key;
	unsigned sealed;

	crypt_init();
	(void)snprintf(w->root, sizeof(w->root), "/tmp/mm-test-run-XXXXXX");
	assert_non_null(mkdtemp(w->root));
	EXPECT_OK(keyring_create(w->root, master, &e), &e);
	EXPECT_OK(keyring_open(&w->keys, w->root, master, &e), &e);
	EXPECT_OK(keyring_add(w->keys, &want, &key, &e), &e);
	path = path_join(w->root, "control.db");
	EXPECT_OK(db_open(&w->control, path, master, DB_CREATE, &e), &e);
	free(path);
	EXPECT_OK(index_open(&w->index, w->root, w->keys, w->control, &options, &e), &e);
	for (unsigned n = 0; n < MESSAGES; n++) {
		add_message(w, n);
		if (n % 20 != 19)
			continue;
		EXPECT_OK(index_commit(w->index, &e), &e);
		EXPECT_OK(index_seal(w->index, n < 50, &sealed, &e), &e);
	}
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	struct err e;

	index_close(&w->index);
	db_close(&w->control);
	keyring_close(&w->keys);
	(void)!dir_list(w->root, remove_one, w->root, &e);
	(void)rmdir(w->root);
	free(w);
	return 0;
}

struct asked {
	struct match_tree *tree;
	struct query query;
	struct query_stats stats;
	uint64_t rows;
	int64_t received[MESSAGES];
	uint64_t bytes[MESSAGES];
	int64_t sent[MESSAGES];
};

static enum rc take_row(void *arg, const struct index_row *row, struct err *e)
{
	struct asked *a = arg;

	(void)e;
	assert_true(a->rows < MESSAGES);
	a->received[a->rows] = row->received_ms;
	a->sent[a->rows] = row->sent_ms;
	a->bytes[a->rows++] = row->bytes;
	return RC_OK;
}

static void ask(struct world *w, struct asked *a, const char *text, enum index_sort sort,
                uint64_t limit)
{
	static const struct query_env env = { DAY_0 + 10 * MS_PER_DAY };
	struct err e = { 0 };
	struct match *m;

	*a = (struct asked) { .tree = match_tree_new() };
	EXPECT_OK(query_parse(a->tree, slice_str(text), &env, &m, NULL, &e), &e);
	query_init(&a->query, ARCHIVE, "corp", m);
	a->query.sort = sort;
	a->query.limit = limit;
	EXPECT_OK(query_run(w->index, &a->query, take_row, a, &a->stats, &e), &e);
}

static void hits_are_right(void **state)
{
	static const struct {
		const char *text;
		uint64_t hits;
		unsigned shards; /* that may be opened at most */
	} cases[] = {
		{ "", 60, 3 },
		{ "!!!", 0, 0 },
		{ "from:ann", 20, 3 },
		{ "from:ann from:bob", 0, 3 },
		{ "from:(ann OR bob)", 60, 3 },
		{ "-from:ann", 40, 3 },
		{ "to:hidden@d.example", 30, 3 },
		{ "to:list", 60, 3 },
		{ "rcpt:list", 30, 3 },
		{ "body:hidden", 0, 3 },
		{ "strasse", 60, 3 },
		{ "\xe4\xba\xac\xe9\x83\xbd", 60, 3 },
		{ "order 17", 1, 3 },
		{ "\"order 17 for\"", 1, 3 },
		{ "ord*", 60, 3 },
		{ "\"one two\"", 30, 3 },
		{ "one NEAR/2 three", 60, 3 },
		{ "one NEAR/1 seven", 0, 3 },
		{ "(one OR nothing) AROUND 3 four", 60, 3 },
		{ "has:attachment", 12, 3 },
		{ "has:attachment from:ann", 4, 3 },
		{ "{has:attachment from:ann}", 28, 3 },
		{ "is:unindexed", 1, 3 },
		{ "received:2024-01-01", 20, 1 },
		{ "received:2024-01-01..2024-01-02", 40, 2 },
		{ "after:2024-01-02", 40, 2 },
		{ "before:2024-01-02", 20, 1 },
		{ "after:2024-01-02T05:00:00Z before:2024-01-02T07:00:00Z", 2, 1 },
		{ "received:2023", 0, 0 },
		{ "after:2024-01-02 before:2024-01-02", 0, 0 },
		{ "sent:2024-01-01", 20, 3 }, /* 2..20 of the first day, 21st on the next */
		{ "older_than:8d", 40, 2 },
		{ "larger:6800", 1, 3 },
		{ "size:1000..1200", 3, 3 },
		{ "msgid:<M17@x.example>", 1, 3 },
		{ "ip:192.0.2.0/24", 45, 3 },
		{ "ip:2001:db8::/32", 15, 3 },
		{ "ingress:INBOUND", 60, 3 },
		{ "sha256:1111111111111111111111111111111111111111111111111111111111111111", 1, 3 },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct query_stats counted;
		struct asked a;
		struct err e = { 0 };

		ask(*state, &a, cases[i].text, SORT_RECEIVED_DOWN, 0);
		if (a.rows != cases[i].hits)
			print_error("%s: %u hits\n", cases[i].text, (unsigned)a.rows);
		EXPECT(cases[i].text, a.rows == cases[i].hits);
		EXPECT(cases[i].text, a.stats.hits == cases[i].hits);
		EXPECT(cases[i].text, a.stats.shards <= cases[i].shards);
		EXPECT(cases[i].text, a.stats.messages == MESSAGES && a.stats.not_indexed == 1);
		EXPECT_OK(query_count(((struct world *)*state)->index, &a.query, &counted, &e), &e);
		EXPECT(cases[i].text, counted.hits == cases[i].hits);
		for (size_t n = 1; n < a.rows; n++)
			EXPECT(cases[i].text, a.received[n - 1] > a.received[n]);
		match_tree_free(&a.tree);
	}
}

static void order_and_limit(void **state)
{
	struct asked a;

	ask(*state, &a, "", SORT_RECEIVED_DOWN, 3);
	assert_int_equal(a.rows, 3);
	assert_true(a.received[0] == DAY_0 + 2 * MS_PER_DAY + INT64_C(19) * 3600000);
	match_tree_free(&a.tree);
	ask(*state, &a, "from:ann", SORT_RECEIVED_UP, 1);
	assert_true(a.rows == 1 && a.received[0] == DAY_0);
	match_tree_free(&a.tree);
	ask(*state, &a, "", SORT_BYTES_DOWN, 2);
	assert_true(a.rows == 2 && a.bytes[0] == 6900 && a.bytes[1] == 6800);
	match_tree_free(&a.tree);
	ask(*state, &a, "", SORT_BYTES_UP, 2);
	assert_true(a.rows == 2 && a.bytes[0] == 1000 && a.bytes[1] == 1100);
	match_tree_free(&a.tree);
	ask(*state, &a, "", SORT_SENT_UP, 0);
	assert_int_equal(a.rows, MESSAGES);
	for (size_t n = 1; n < a.rows; n++)
		assert_true(a.sent[n - 1] <= a.sent[n]);
	match_tree_free(&a.tree);
}

static void an_id_opens_its_shard_only(void **state)
{
	uint8_t random[8] = { 25 };
	struct message_id id = id_make(DAY_0 + MS_PER_DAY + INT64_C(5) * 3600000, 25, random);
	char text[ID_TEXT + 4] = "id:";
	struct asked a;

	id_format(text + 3, &id);
	ask(*state, &a, text, SORT_RECEIVED_DOWN, 0);
	assert_int_equal(a.rows, 1);
	assert_int_equal(a.stats.shards, 1);
	match_tree_free(&a.tree);
}

static void bounds_follow_the_tree(void **state)
{
	static const struct {
		const char *text;
		int64_t low, high; /* days after DAY_0; -1000 and 1000: open */
	} cases[] = {
		{ "x", -1000, 1000 },
		{ "received:2024-01-02", 1, 2 },
		{ "x received:2024-01-02 y", 1, 2 },
		{ "after:2024-01-02 before:2024-01-04", 1, 3 },
		{ "received:2024-01-02 OR received:2024-01-05", 1, 5 },
		{ "received:2024-01-02 OR x", -1000, 1000 },
		{ "-received:2024-01-02", -1000, 1000 },
		{ "sent:2024-01-02", -1000, 1000 },
		{ "before:2024-01-02 OR before:2024-01-05", -1000, 4 },
		{ "(after:2024-01-02 OR after:2024-01-03) x", 1, 1000 },
		{ "(after:2024-01-03 before:2024-01-02) OR received:2024-01-06", 5, 6 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		static const struct query_env env = { 0 };
		struct match_tree *tree = match_tree_new();
		struct match *m;
		int64_t low;
		int64_t high;

		assert_int_equal(query_parse(tree, slice_str(cases[i].text), &env, &m, NULL, NULL),
		                 RC_OK);
		query_bounds(m, &low, &high);
		EXPECT(cases[i].text,
		       low == (cases[i].low == -1000 ? INT64_MIN
		                                     : DAY_0 + cases[i].low * MS_PER_DAY));
		EXPECT(cases[i].text,
		       high == (cases[i].high == 1000 ? INT64_MAX
		                                      : DAY_0 + cases[i].high * MS_PER_DAY));
		match_tree_free(&tree);
	}
}

static void the_answer_tells_what_it_is(void **state)
{
	struct asked a;
	struct buf out;
	json_t *j;
	char *text;

	ask(*state, &a, "from:ann after:2024-01-02", SORT_RECEIVED_DOWN, 5);
	j = query_header(&a.query, &a.stats);
	text = json_dumps(j, JSON_COMPACT);
	static const char *const parts[] = {
		"\"zone\":\"UTC\"",
		"\"query\":\"from:ann received>=2024-01-02T00:00:00Z\"",
		"\"archives\":[\"corp\"]",
		"\"sort\":\"-received\"",
		"\"limit\":5",
		"\"received\":{\"from\":\"2024-01-02T00:00:00.000Z\"}",
		"\"hits\":5",
		"\"shards\":2",
		"\"messages\":60",
		"\"not_indexed\":1",
	};

	for (size_t i = 0; i < COUNT(parts); i++)
		if (!strstr(text, parts[i]))
			fail_msg("no %s in %s", parts[i], text);
	free(text);
	json_decref(j);
	buf_init(&out, 10000);
	assert_int_equal(query_header_text(&a.query, &a.stats, &out), RC_OK);
	EXPECT_SLICE("text", buf_slice(&out),
	             "archive corp, 2 shards, times in UTC, query: from:ann "
	             "received>=2024-01-02T00:00:00Z; received from 2024-01-02T00:00:00.000Z; "
	             "not fully indexed: 1 of 60 (find them by is:unindexed)\n");
	buf_free(&out);
	match_tree_free(&a.tree);
}

static void sorts_have_names(void **state)
{
	enum index_sort sort;

	(void)state;
	assert_true(query_sort_parse(slice_str("Newest"), &sort) && sort == SORT_RECEIVED_DOWN);
	assert_true(query_sort_parse(slice_str("size"), &sort) && sort == SORT_BYTES_UP);
	assert_false(query_sort_parse(slice_str("date"), &sort));
	for (int i = SORT_RECEIVED_DOWN; i <= SORT_RANK; i++) {
		assert_true(
		        query_sort_parse(slice_str(query_sort_name((enum index_sort)i)), &sort));
		assert_int_equal(sort, i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hits_are_right),
		cmocka_unit_test(order_and_limit),
		cmocka_unit_test(an_id_opens_its_shard_only),
		cmocka_unit_test(bounds_follow_the_tree),
		cmocka_unit_test(the_answer_tells_what_it_is),
		cmocka_unit_test(sorts_have_names),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
