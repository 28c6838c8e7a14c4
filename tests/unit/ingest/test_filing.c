/* Messages reach store and index batch after batch, once each; what was forgotten doesn't; an error
 * is told once. */
#include "tests/unit/index/place.h"

#include "ingest/filing.h"
#include "store/crypt.h"

#define NO_ARCHIVE 77 /* it has no key */

struct desk {
	struct place *p;
	struct store *store;
	struct filing *filing;
};

static struct desk desk_open(void **state)
{
	struct desk d = { .p = *state };
	struct store_options opt = { .block_bytes = 4096 };

	EXPECT_OK(store_open(&d.store, d.p->dir, d.p->kr, &opt, &d.p->e), &d.p->e);
	EXPECT_OK(filing_new(&d.filing, d.store, d.p->ix, &d.p->e), &d.p->e);
	return d;
}

static void desk_close(struct desk *d)
{
	filing_free(&d->filing);
	assert_null(d->filing);
	filing_free(&d->filing);
	store_close(&d->store);
}

static void add(struct desk *d, uint32_t archive, uint32_t n)
{
	static const char raw[] = "Subject: subject\r\n\r\nbody\r\n";
	char meta[32];
	struct document doc = { .doc = place_doc(place_id(DAY0 + n, n), "subject", "body") };
	struct store_message m = { .id = doc.doc.id, .raw = slice_str(raw) };

	snprintf(meta, sizeof(meta), "meta %u", n); /* gone before it is filed */
	m.meta = slice_str(meta);
	sha256(m.sha256, m.raw);
	if (archive != NO_ARCHIVE)
		EXPECT_OK(keyring_lot(d->p->kr, archive, 20454, 0, &m.lot, &d->p->e), &d->p->e);
	doc.doc.lot = m.lot;
	filing_add(d->filing, archive, &m, &doc);
}

static void file(struct desk *d)
{
	filing_begin(d->filing);
	EXPECT_OK(filing_wait(d->filing, &d->p->e), &d->p->e);
}

static void expect(struct desk *d, uint32_t archive, uint64_t n)
{
	struct index_totals t;
	struct store_totals s;

	EXPECT_OK(store_sync(d->store, NULL, NULL, &d->p->e), &d->p->e);
	place_commit(d->p);
	EXPECT_OK(index_count(d->p->ix, archive, &t, &d->p->e), &d->p->e);
	store_count(d->store, archive, &s);
	assert_int_equal(t.messages, n);
	assert_int_equal(s.messages, n);
}

static void expect_meta(struct desk *d, uint32_t archive, uint32_t n)
{
	struct message_id id = place_id(DAY0 + n, n);
	char want[32];
	struct buf meta;

	snprintf(want, sizeof(want), "meta %u", n);
	buf_init(&meta, 100);
	EXPECT_OK(store_get(d->store, archive, &id, &meta, NULL, &d->p->e), &d->p->e);
	EXPECT_SLICE("meta", buf_slice(&meta), want);
	buf_free(&meta);
}

static void test_batches(void **state)
{
	struct desk d = desk_open(state);

	for (uint32_t batch = 0; batch < 20; batch++) {
		for (uint32_t i = 0; i < 10; i++)
			add(&d, 1 + i % 2, batch * 10 + i);
		EXPECT_OK(filing_wait(d.filing, &d.p->e), &d.p->e);
		filing_begin(d.filing);
	}
	EXPECT_OK(filing_wait(d.filing, &d.p->e), &d.p->e);
	EXPECT_OK(filing_wait(d.filing, &d.p->e), &d.p->e);
	expect(&d, 1, 100);
	expect(&d, 2, 100);
	expect_meta(&d, 1, 0);
	expect_meta(&d, 2, 199);
	desk_close(&d);
}

static void test_twice(void **state)
{
	struct desk d = desk_open(state);

	add(&d, 1, 1);
	add(&d, 1, 1);
	file(&d);
	add(&d, 1, 1); /* as after a crash */
	add(&d, 1, 2);
	file(&d);
	expect(&d, 1, 2);
	desk_close(&d);
}

static void test_forget(void **state)
{
	struct desk d = desk_open(state);

	add(&d, 1, 1);
	filing_forget(d.filing);
	filing_begin(d.filing); /* of nothing */
	add(&d, 1, 2);
	file(&d);
	add(&d, 1, 3); /* and the end forgets, too */
	filing_free(&d.filing);
	expect(&d, 1, 1);
	desk_close(&d);
}

static void test_error(void **state)
{
	struct desk d = desk_open(state);

	add(&d, 1, 1);
	add(&d, NO_ARCHIVE, 2);
	add(&d, 1, 3);
	filing_begin(d.filing);
	assert_int_not_equal(filing_wait(d.filing, &d.p->e), RC_OK);
	assert_true(d.p->e.text[0] != 0);
	EXPECT_OK(filing_wait(d.filing, &d.p->e), &d.p->e);
	desk_close(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_batches, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_twice, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_forget, place_setup, place_teardown),
		cmocka_unit_test_setup_teardown(test_error, place_setup, place_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
