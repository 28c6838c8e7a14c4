/* tests/unit/ingest/test_tables.c - what a checkpoint enters into control.db comes back as it was,
 * or an error says that it can't be read */
#include "tests/unit/test.h"

#include <errno.h>

#include "ingest/anchor.h"
#include "ingest/disposition.h"
#include "ingest/ledger.h"
#include "store/crypt.h"
#include "tests/unit/fault.h"
#include "tests/unit/store/scratch.h"

struct tables {
	struct scratch s;
	struct keyring *keys;
	struct db *control;
	struct audit *audit;
	struct err e;
};

static int setup(void **state)
{
	static const uint8_t key[KEY_BYTES] = { 7 };
	struct tables *t = mem_new(sizeof(*t));
	char *path;

	crypt_init();
	scratch_make(&t->s);
	path = scratch_path(&t->s, "control.db");
	EXPECT_OK(keyring_create(t->s.dir, key, &t->e), &t->e);
	EXPECT_OK(keyring_open(&t->keys, t->s.dir, key, &t->e), &t->e);
	EXPECT_OK(db_open(&t->control, path, key, DB_CREATE, &t->e), &t->e);
	EXPECT_OK(audit_open(&t->audit, t->s.dir, t->keys, &t->e), &t->e);
	EXPECT_OK(disposition_prepare(t->control, &t->e), &t->e);
	EXPECT_OK(ledger_prepare(t->control, &t->e), &t->e);
	EXPECT_OK(anchor_prepare(t->control, &t->e), &t->e);
	free(path);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct tables *t = *state;

	audit_close(&t->audit);
	db_close(&t->control);
	keyring_close(&t->keys);
	scratch_remove(&t->s);
	free(t);
	return 0;
}

static struct disposition about(uint8_t n, enum disposition_kind kind)
{
	struct disposition d = { .id = { { n } },
		                 .received_ms = 1000 + n,
		                 .kind = kind,
		                 .policy = "tp-1",
		                 .policy_version = 10 + n,
		                 .rule_set = "mail",
		                 .rule_set_version = 3,
		                 .rule = n - 1,
		                 .rule_name = "no adverts" };

	(void)snprintf(d.text, sizeof(d.text), "why %u", n);
	return d;
}

static void test_names_of_dispositions(void **state)
{
	enum disposition_kind kind;

	(void)state;
	for (unsigned k = 0; k < DISPOSITION_KINDS; k++) {
		const char *name = disposition_name((enum disposition_kind)k);

		EXPECT(name, disposition_parse(slice_str(name), &kind) && kind == k);
	}
	assert_string_equal(disposition_name(DISPOSITION_KINDS), "unknown");
	assert_false(disposition_parse(slice_str("unknown"), &kind));
	assert_false(disposition_parse(slice_str(""), &kind));
}

struct seen {
	unsigned count;
	unsigned stop_at; /* 0: never */
	uint8_t last;
};

static enum rc see(void *arg, const struct disposition *d, struct err *e)
{
	struct seen *s = arg;

	assert_true(d->id.b[0] < s->last); /* the newest first */
	s->last = d->id.b[0];
	return ++s->count == s->stop_at ? err_set(e, RC_AGAIN, "enough") : RC_OK;
}

/* What is judged again after a rollback, perhaps otherwise, has the row that is committed. */
static void test_a_replay(void **state)
{
	struct tables *t = *state;
	struct disposition d = about(1, DISPOSITION_DROPPED);
	struct disposition got;

	EXPECT_OK(db_begin(t->control, &t->e), &t->e);
	EXPECT_OK(disposition_put(t->control, &d, &t->e), &t->e);
	db_rollback(t->control);
	d = about(1, DISPOSITION_FAILED);
	EXPECT_OK(disposition_put(t->control, &d, &t->e), &t->e);
	EXPECT_OK(disposition_get(t->control, &d.id, &got, &t->e), &t->e);
	assert_int_equal(got.kind, DISPOSITION_FAILED);
}

static void test_dispositions(void **state)
{
	struct tables *t = *state;
	const struct message_id none = { { 99 } };
	struct seen all = { .last = 255 };
	struct seen dropped = { .last = 255 };
	struct seen two = { .last = 255 };
	struct seen stopped = { .last = 255, .stop_at = 2 };
	uint64_t counts[DISPOSITION_KINDS];
	struct disposition got;
	struct disposition d;

	for (uint8_t n = 1; n <= 6; n++) {
		d = about(n, n % 2 ? DISPOSITION_DROPPED : DISPOSITION_LOST);
		EXPECT_OK(disposition_put(t->control, &d, &t->e), &t->e);
	}
	d = about(6, DISPOSITION_FAILED); /* another message that is said to have this id */
	EXPECT_OK(disposition_put(t->control, &d, &t->e), &t->e);
	EXPECT_OK(disposition_get(t->control, &d.id, &got, &t->e), &t->e);
	assert_int_equal(got.kind, DISPOSITION_LOST);
	assert_int_equal(got.received_ms, 1006);
	assert_string_equal(got.policy, "tp-1");
	assert_int_equal(got.policy_version, 16);
	assert_string_equal(got.rule_set, "mail");
	assert_int_equal(got.rule_set_version, 3);
	assert_int_equal(got.rule, 5);
	assert_string_equal(got.rule_name, "no adverts");
	assert_string_equal(got.text, "why 6");
	assert_int_equal(disposition_get(t->control, &none, &got, &t->e), RC_NOTFOUND);

	EXPECT_OK(disposition_each(t->control, DISPOSITION_KINDS, 0, see, &all, &t->e), &t->e);
	assert_int_equal(all.count, 6);
	EXPECT_OK(disposition_each(t->control, DISPOSITION_DROPPED, 0, see, &dropped, &t->e),
	          &t->e);
	assert_int_equal(dropped.count, 3);
	EXPECT_OK(disposition_each(t->control, DISPOSITION_KINDS, 2, see, &two, &t->e), &t->e);
	assert_int_equal(two.count, 2);
	assert_int_equal(two.last, 5);
	assert_int_equal(disposition_each(t->control, DISPOSITION_KINDS, 0, see, &stopped, &t->e),
	                 RC_AGAIN);
	assert_int_equal(stopped.count, 2);

	/* A kind that a later version made, and one that never was. */
	EXPECT_OK(db_exec(t->control,
	                  "UPDATE disposition SET kind = -1, rule_set = NULL WHERE received = 1002;"
	                  "UPDATE disposition SET kind = 77 WHERE received = 1001",
	                  &t->e),
	          &t->e);
	for (uint8_t n = 1; n <= 2; n++) {
		const struct message_id id = { { n } };

		EXPECT_OK(disposition_get(t->control, &id, &got, &t->e), &t->e);
		assert_int_equal(got.kind, DISPOSITION_FAILED);
	}
	assert_string_equal(got.rule_set, "");
	EXPECT_OK(disposition_count(t->control, counts, &t->e), &t->e);
	assert_int_equal(counts[DISPOSITION_DROPPED], 2);
	assert_int_equal(counts[DISPOSITION_LOST], 2);
	assert_int_equal(counts[DISPOSITION_FAILED], 0);
	assert_int_equal(counts[DISPOSITION_UNMATCHED], 0);
}

/* A table of before policies were recorded, and one whose upgrade was cut off half-way. */
static void test_dispositions_of_before(void **state)
{
	static const char *const half[] = {
		"", "ALTER TABLE disposition ADD COLUMN policy TEXT NOT NULL DEFAULT ''"
	};
	struct tables *t = *state;
	struct disposition d = about(2, DISPOSITION_DROPPED);
	struct disposition got;

	for (size_t h = 0; h < COUNT(half); h++) {
		EXPECT_OK(db_exec(t->control,
		                  "DROP TABLE disposition; CREATE TABLE disposition ("
		                  " id BLOB PRIMARY KEY, received INTEGER NOT NULL,"
		                  " kind INTEGER NOT NULL, rule_set TEXT, version INTEGER,"
		                  " rule INTEGER, rule_name TEXT, text TEXT) STRICT, WITHOUT ROWID;"
		                  "INSERT INTO disposition VALUES("
		                  " x'01000000000000000000000000000000', 7, 1, 'mail', 3, 0, 'r',"
		                  " 'why')",
		                  &t->e),
		          &t->e);
		EXPECT_OK(db_exec(t->control, half[h], &t->e), &t->e);
		for (int i = 0; i < 2; i++)
			EXPECT_OK(disposition_prepare(t->control, &t->e), &t->e);
		EXPECT_OK(disposition_put(t->control, &d, &t->e), &t->e);
		EXPECT_OK(disposition_get(t->control, &d.id, &got, &t->e), &t->e);
		assert_int_equal(got.policy_version, 12);
		EXPECT_OK(disposition_get(t->control, &(struct message_id) { { 1 } }, &got, &t->e),
		          &t->e);
		assert_string_equal(got.policy, "");
		assert_int_equal(got.policy_version, 0);
		assert_string_equal(got.text, "why");
	}
}

static void test_ledger(void **state)
{
	struct tables *t = *state;
	static const uint8_t sums[2][32] = { { 1 }, { 2 } };
	struct ledger_entry first = { .id = { { 1 } } };
	struct ledger_entry again = { .id = { { 2 } } };
	uint8_t key[LEDGER_KEY];
	struct message_id id;

	ledger_key(first.key, 7, slice_str("a.mbox"), sums[0]);
	memcpy(again.key, first.key, LEDGER_KEY);
	EXPECT_OK(ledger_put(t->control, &first, &t->e), &t->e);
	EXPECT_OK(ledger_put(t->control, &again, &t->e), &t->e); /* the first stays */
	EXPECT_OK(ledger_get(t->control, first.key, &id, &t->e), &t->e);
	assert_int_equal(id.b[0], 1);
	/* Other bytes, another source, another archive. */
	ledger_key(key, 7, slice_str("a.mbox"), sums[1]);
	assert_int_equal(ledger_get(t->control, key, &id, &t->e), RC_NOTFOUND);
	ledger_key(key, 7, slice_str("b.mbox"), sums[0]);
	assert_int_equal(ledger_get(t->control, key, &id, &t->e), RC_NOTFOUND);
	ledger_key(key, 8, slice_str("a.mbox"), sums[0]);
	assert_int_equal(ledger_get(t->control, key, &id, &t->e), RC_NOTFOUND);
}

static void add_entry(struct tables *t)
{
	EXPECT_OK(audit_add(t->audit, "search", "tester", NULL, &t->e), &t->e);
	EXPECT_OK(audit_sync(t->audit, &t->e), &t->e);
}

/* The log has the entry that the last checkpoint saw at its end, whatever came behind it. */
static void test_anchor(void **state)
{
	static const char *const wrong[] = {
		"UPDATE audit_anchor SET hash = zeroblob(32)",
		"UPDATE audit_anchor SET hash = x'0102'",
		"UPDATE audit_anchor SET entries = entries - 1",
		"UPDATE audit_anchor SET entries = entries + 100",
	};
	struct tables *t = *state;
	struct audit_head seen;
	struct audit_head head;

	EXPECT_OK(anchor_check(t->control, t->audit, &t->e), &t->e); /* none yet */
	EXPECT_OK(anchor_get(t->control, &seen, &t->e), &t->e);
	assert_int_equal(seen.entries, 0);
	for (int i = 0; i < 3; i++)
		add_entry(t);
	for (size_t i = 0; i < COUNT(wrong); i++) {
		EXPECT_OK(anchor_put(t->control, t->audit, &t->e), &t->e);
		audit_head(t->audit, &head);
		EXPECT_OK(anchor_get(t->control, &seen, &t->e), &t->e);
		assert_int_equal(seen.entries, head.entries);
		assert_int_equal(seen.when_ms, head.when_ms);
		assert_memory_equal(seen.hash, head.hash, sizeof(head.hash));
		EXPECT_OK(anchor_check(t->control, t->audit, &t->e), &t->e);
		add_entry(t);
		EXPECT_OK(anchor_check(t->control, t->audit, &t->e), &t->e);
		EXPECT_OK(db_exec(t->control, wrong[i], &t->e), &t->e);
		EXPECT(wrong[i], anchor_check(t->control, t->audit, &t->e) == RC_CORRUPT);
		EXPECT(wrong[i], strstr(t->e.text, "cut or replaced"));
	}
}

static enum rc act(struct tables *t, unsigned what, const uint8_t key[LEDGER_KEY])
{
	struct disposition d = about(1, DISPOSITION_LOST);
	struct ledger_entry entry = { .id = d.id };
	struct seen s = { .last = 255 };
	uint64_t counts[DISPOSITION_KINDS];
	struct message_id id;

	memcpy(entry.key, key, LEDGER_KEY);
	switch (what) {
	case 0:
		return disposition_put(t->control, &d, &t->e);
	case 1:
		return disposition_get(t->control, &d.id, &d, &t->e);
	case 2:
		return disposition_each(t->control, DISPOSITION_KINDS, 0, see, &s, &t->e);
	case 3:
		return disposition_count(t->control, counts, &t->e);
	case 4:
		return ledger_put(t->control, &entry, &t->e);
	case 5:
		return ledger_get(t->control, key, &id, &t->e);
	case 6:
		return anchor_put(t->control, t->audit, &t->e);
	default:
		return anchor_check(t->control, t->audit, &t->e);
	}
}

/* What can't be read is an error, never "not there". */
static void test_tables_fail(void **state)
{
	struct tables *t = *state;
	static const uint8_t key[LEDGER_KEY] = { 1 };

	add_entry(t);
	for (unsigned what = 0; what < 8; what++) {
		bool hit = true;
		unsigned n;

		for (n = 1; hit; n++) {
			enum rc rc;

			fault_arm(FAULT_PART, n, EIO, false);
			rc = act(t, what, key);
			hit = fault_disarm();
			assert_int_equal(rc, hit ? RC_IO : RC_OK);
		}
		assert_true(n > 2);
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_of_dispositions),
		CASE(test_a_replay),
		CASE(test_dispositions),
		CASE(test_dispositions_of_before),
		CASE(test_ledger),
		CASE(test_anchor),
		CASE(test_tables_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
