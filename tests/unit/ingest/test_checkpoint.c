/* A checkpoint that fails at any call: what it was about comes again from the spool, or is in the
 * archive, the index and the audit log. Nothing is in neither. */
#include <errno.h>

#include "base/codec.h"
#include "ingest/anchor.h"
#include "ingest/checkpoint.h"
#include "ingest/queue/queue.h"
#include "tests/unit/fault.h"
#include "tests/unit/ingest/spool_rig.h"
#include "tests/unit/store/scratch.h"

#define MESSAGES 3

struct line {
	struct rig *rig;
	struct pipeline_parts parts;
	struct checkpoint *c;
	struct err e;
};

static void line_open(struct line *l)
{
	static const uint8_t key[KEY_BYTES] = { 7 };
	static const struct store_options store = { 0 };
	static const struct index_options index = { .shard_messages = MESSAGES };
	char *path = path_join(l->rig->dir, "control.db");
	struct pipeline_parts *p = &l->parts;

	*p = (struct pipeline_parts) { .keys = l->rig->kr };
	EXPECT_OK(db_open(&p->control, path, key, DB_CREATE, &l->e), &l->e);
	EXPECT_OK(disposition_prepare(p->control, &l->e), &l->e);
	EXPECT_OK(ledger_prepare(p->control, &l->e), &l->e);
	EXPECT_OK(pipeline_prepare(p->control, &l->e), &l->e);
	EXPECT_OK(anchor_prepare(p->control, &l->e), &l->e);
	EXPECT_OK(audit_open(&p->audit, l->rig->dir, l->rig->kr, &l->e), &l->e);
	EXPECT_OK(store_open(&p->store, l->rig->dir, l->rig->kr, &store, &l->e), &l->e);
	EXPECT_OK(index_open(&p->index, l->rig->dir, l->rig->kr, p->control, &index, &l->e), &l->e);
	p->spool = l->rig->sp;
	l->c = checkpoint_new(p);
	free(path);
}

static void line_close(struct line *l)
{
	checkpoint_free(&l->c);
	checkpoint_free(&l->c);
	queue_close(&l->parts.queue);
	index_close(&l->parts.index);
	store_close(&l->parts.store);
	audit_close(&l->parts.audit);
	db_close(&l->parts.control);
}

static void line_begin(struct line *l)
{
	struct key_info want = { .kind = KEY_ARCHIVE, .archive = 1 };
	uint64_t id;

	memset(l, 0, sizeof(*l));
	l->rig = rig_new(0);
	EXPECT_OK(keyring_add(l->rig->kr, &want, &id, &l->e), &l->e);
	line_open(l);
}

static void line_end(struct line *l)
{
	static const char *const folders[] = { "audit", "seg", "index", "queue" };

	line_close(l);
	for (size_t i = 0; i < COUNT(folders); i++) {
		char *path = path_join(l->rig->dir, folders[i]);

		scratch_remove_path(path);
		free(path);
	}
	rig_free(&l->rig);
}

/* A start: the spool from the positions of the last checkpoint. The writer is gone. */
static void line_reopen(struct line *l)
{
	struct spool_position *positions = NULL;

	line_close(l);
	spool_writer_free(&l->rig->w);
	spool_close(&l->rig->sp);
	line_open(l);
	EXPECT_OK(pipeline_positions(l->parts.control, &positions, &l->rig->options.positions_count,
	                             &l->e),
	          &l->e);
	l->rig->options.positions = positions;
	EXPECT_OK(pipeline_newest(l->parts.control, &l->rig->options.newest_ms, &l->e), &l->e);
	rig_open_spool(l->rig);
	free(positions);
	l->parts.spool = l->rig->sp;
	checkpoint_free(&l->c);
	l->c = checkpoint_new(&l->parts);
}

/* Takes all there is in the spool as far as a checkpoint; how many. */
static size_t take(struct line *l)
{
	struct spool_record r;
	size_t count = 0;

	spool_record_init(&r);
	while (spool_next(l->rig->sp, &r, &l->e) == RC_OK) {
		struct store_message m = { .id = r.id, .meta = slice_str("{}"), .raw = r.raw };
		struct index_doc d = { .id = r.id };
		struct disposition what = { .id = r.id, .kind = DISPOSITION_NO_ACTION, .rule = -1 };
		uint8_t key[LEDGER_KEY] = { 0 };

		(void)rig_check(l->rig, &r);
		memcpy(key, r.id.b, ID_BYTES);
		EXPECT_OK(keyring_lot(l->rig->kr, 1, (int32_t)day_of_ms(r.received_ms), 0, &m.lot,
		                      &l->e),
		          &l->e);
		memcpy(m.sha256, r.sha256, sizeof(m.sha256));
		d.lot = m.lot;
		d.field[DOC_SUBJECT] = slice_str("word");
		d.ingress = slice_str("in");
		if (!store_has(l->parts.store, 1, &r.id))
			EXPECT_OK(store_put(l->parts.store, 1, &m, &l->e), &l->e);
		if (!index_has(l->parts.index, 1, &r.id))
			EXPECT_OK(index_add(l->parts.index, 1, &d, &l->e), &l->e);
		checkpoint_disposition(l->c, &what);
		checkpoint_ledger(l->c, key, &r.id);
		checkpoint_message(l->c);
		checkpoint_position(l->c, &r.after);
		count++;
	}
	spool_record_free(&r);
	return count;
}

static void expect_all(struct line *l)
{
	struct index_totals totals;
	struct audit_head head;
	int64_t n;

	for (size_t i = 0; i < l->rig->count; i++) {
		assert_true(l->rig->sent[i].accepted);
		assert_true(store_has(l->parts.store, 1, &l->rig->sent[i].id));
		assert_true(index_has(l->parts.index, 1, &l->rig->sent[i].id));
	}
	EXPECT_OK(index_count(l->parts.index, 1, &totals, &l->e), &l->e);
	assert_int_equal(totals.messages, l->rig->count);
	EXPECT_OK(db_int(l->parts.control, "SELECT count(*) FROM disposition", -1, &n, &l->e),
	          &l->e);
	assert_int_equal(n, l->rig->count);
	EXPECT_OK(db_int(l->parts.control, "SELECT count(*) FROM ledger", -1, &n, &l->e), &l->e);
	assert_int_equal(n, l->rig->count);
	EXPECT_OK(audit_sync(l->parts.audit, &l->e), &l->e);
	/* Entries that a failure took are added at a start (api/engine). */
	EXPECT_OK(audit_verify(l->parts.audit, NULL, &head, &l->e), &l->e);
	EXPECT_OK(anchor_check(l->parts.control, l->parts.audit, &l->e), &l->e);
}

static void test_checkpoint(void **state)
{
	struct line l;

	(void)state;
	line_begin(&l);
	rig_open_writer(l.rig);
	assert_int_equal(checkpoint_age_ms(l.c), -1);
	for (size_t i = 0; i < 70; i++) /* more than the lists have room for at first */
		(void)rig_commit(l.rig, i * 50);
	rig_drain(l.rig);
	assert_int_equal(take(&l), 70);
	assert_true(checkpoint_age_ms(l.c) >= 0);
	EXPECT_OK(checkpoint_write(l.c, &l.e), &l.e);
	assert_int_equal(checkpoint_done(l.c), 70);
	assert_int_equal(checkpoint_age_ms(l.c), -1);
	line_reopen(&l);
	assert_int_equal(take(&l), 0);
	expect_all(&l);
	/* What is in two files of the spool; and one that was forgotten comes again. */
	rig_open_writer(l.rig);
	(void)rig_send(l.rig, 10);
	rig_end_file(l.rig);
	(void)rig_send(l.rig, 20);
	assert_int_equal(take(&l), 2);
	checkpoint_forget(l.c);
	assert_int_equal(checkpoint_age_ms(l.c), -1);
	line_reopen(&l);
	assert_int_equal(take(&l), 2);
	l.parts.keep_anchor = true; /* a log that was cut keeps the anchor that says so */
	EXPECT_OK(checkpoint_write(l.c, &l.e), &l.e);
	line_reopen(&l);
	assert_int_equal(take(&l), 0);
	expect_all(&l);
	line_end(&l);
}

static size_t count_beyond(struct line *l, const struct beyond *expected)
{
	struct beyond *list;
	size_t count;

	EXPECT_OK(checkpoint_beyond_read(l->parts.control, &list, &count, &l->e), &l->e);
	for (size_t i = 0; expected && i < count; i++) {
		assert_int_equal(list[i].file, expected[i].file);
		assert_int_equal(list[i].offset, expected[i].offset);
		assert_int_equal(id_compare(&list[i].id, &expected[i].id), 0);
	}
	free(list);
	return count;
}

static struct beyond place_of(const struct spool_record *r)
{
	return (struct beyond) { r->after.file, r->after.offset, r->id };
}

/* The first message is the last that is done. */
static void test_beyond(void **state)
{
	struct spool_record first, r;
	struct beyond places[4];
	struct spool_position last = { 0 };
	struct line l;

	(void)state;
	line_begin(&l);
	rig_open_writer(l.rig);
	for (size_t i = 0; i <= COUNT(places); i++)
		(void)rig_send(l.rig, 10 + i);
	spool_record_init(&first);
	spool_record_init(&r);
	EXPECT_OK(spool_next(l.rig->sp, &first, &l.e), &l.e);
	for (size_t i = 0; i < COUNT(places); i++) {
		EXPECT_OK(spool_next(l.rig->sp, &r, &l.e), &l.e);
		places[i] = place_of(&r);
		last = r.after;
		checkpoint_message(l.c);
		checkpoint_beyond(l.c, &r);
		if (i == 1) {
			EXPECT_OK(checkpoint_write(l.c, &l.e), &l.e);
			assert_int_equal(count_beyond(&l, places), 2);
		} else if (i == 2) { /* what was forgotten isn't noted */
			checkpoint_forget(l.c);
		}
	}
	places[2] = places[3];
	EXPECT_OK(checkpoint_write(l.c, &l.e), &l.e);
	assert_int_equal(count_beyond(&l, places), 3);
	/* It is done, and one that was noted in the same moment; what is behind that one stays. */
	checkpoint_message(l.c);
	checkpoint_beyond(l.c, &first);
	checkpoint_position(l.c, &(struct spool_position) { places[1].file, places[1].offset, 3 });
	EXPECT_OK(checkpoint_write(l.c, &l.e), &l.e);
	assert_int_equal(count_beyond(&l, &places[2]), 1);
	line_reopen(&l);
	assert_int_equal(count_beyond(&l, &places[2]), 1);
	assert_int_equal(spool_next(l.rig->sp, &r, &l.e), RC_OK);
	checkpoint_message(l.c);
	checkpoint_position(l.c, &last);
	EXPECT_OK(checkpoint_write(l.c, &l.e), &l.e);
	assert_int_equal(count_beyond(&l, NULL), 0);
	spool_record_free(&first);
	spool_record_free(&r);
	line_end(&l);
}

/* Two messages of the second file are done and nothing of the first one; control.db fails at any
 * call. */
static void test_beyond_fails(void **state)
{
	struct spool_record r;
	struct beyond places[2];
	bool hit = true;
	unsigned n;

	(void)state;
	for (n = 1; hit; n++) {
		struct spool_position first;
		struct line l;
		enum rc rc;

		line_begin(&l);
		rig_open_writer(l.rig);
		(void)rig_send(l.rig, 10);
		(void)rig_send(l.rig, 20);
		rig_end_file(l.rig);
		(void)rig_send(l.rig, 30);
		(void)rig_send(l.rig, 40);
		spool_record_init(&r);
		EXPECT_OK(spool_next(l.rig->sp, &r, &l.e), &l.e);
		first = r.after;
		EXPECT_OK(spool_next(l.rig->sp, &r, &l.e), &l.e);
		for (size_t i = 0; i < COUNT(places); i++) {
			EXPECT_OK(spool_next(l.rig->sp, &r, &l.e), &l.e);
			assert_int_not_equal(r.after.file, first.file);
			places[i] = place_of(&r);
			checkpoint_message(l.c);
			checkpoint_beyond(l.c, &r);
		}
		checkpoint_message(l.c);
		checkpoint_position(l.c, &first);
		fault_arm(FAULT_PART, n, EIO, false);
		rc = checkpoint_write(l.c, &l.e);
		hit = fault_disarm();
		assert_true(rc == RC_OK || hit);
		/* Both or none: what isn't noted comes again from the spool. */
		if (rc != RC_OK)
			assert_int_equal(count_beyond(&l, places) % COUNT(places), 0);
		else
			assert_int_equal(count_beyond(&l, places), COUNT(places));
		spool_record_free(&r);
		line_end(&l);
	}
	assert_true(n > 5);
}

static void test_keep_anchor(void **state)
{
	struct line l;
	int64_t entries;

	(void)state;
	line_begin(&l);
	l.parts.keep_anchor = true;
	checkpoint_free(&l.c);
	l.c = checkpoint_new(&l.parts);
	rig_open_writer(l.rig);
	(void)rig_send(l.rig, 10);
	assert_int_equal(take(&l), 1);
	EXPECT_OK(checkpoint_write(l.c, &l.e), &l.e);
	EXPECT_OK(db_int(l.parts.control, "SELECT count(*) FROM audit_anchor", -1, &entries, &l.e),
	          &l.e);
	assert_int_equal(entries, 0);
	line_end(&l);
}

static void checkpoint_fails(unsigned calls, int error)
{
	bool hit = true;
	unsigned n;

	for (n = 1; hit; n++) {
		struct line l;
		enum rc rc;

		line_begin(&l);
		rig_open_writer(l.rig);
		for (size_t i = 0; i < MESSAGES; i++)
			(void)rig_send(l.rig, 100 * i);
		assert_int_equal(take(&l), MESSAGES);
		fault_arm(calls, n, error, false);
		rc = checkpoint_write(l.c, &l.e);
		hit = fault_disarm();
		assert_true(rc == RC_OK || hit);
		if (rc != RC_OK) {
			assert_int_equal(strncmp(l.e.text, "checkpoint: ", 12), 0);
			assert_int_equal(checkpoint_done(l.c), 0);
		}
		line_reopen(&l);
		if (take(&l) == 0) {
			expect_all(&l);
		} else { /* all of them, and nothing was told as done */
			assert_int_not_equal(rc, RC_OK);
			EXPECT_OK(checkpoint_write(l.c, &l.e), &l.e);
			assert_int_equal(checkpoint_done(l.c), MESSAGES);
			line_reopen(&l);
			assert_int_equal(take(&l), 0);
			expect_all(&l);
		}
		line_end(&l);
	}
	assert_true(n > 5);
}

static void test_checkpoint_fails(void **state)
{
	(void)state;
	checkpoint_fails(FAULT_PART, EIO);
	checkpoint_fails(FAULT_OPEN | FAULT_SYNC | FAULT_SYNC_DIR | FAULT_NAME, EIO);
}

/* A message whose task is through. */
static void end_in_queue(struct line *l, const struct message_id *id)
{
	const struct queue_answer done = { .said = RULE_SAID_DONE };
	struct queue_task task = { .kind = RULE_SEND,
		                   .destination = "a.example",
		                   .spec = json_object() };
	const struct queue_message m = {
		.id = *id, .meta = slice_str("{}"), .raw = slice_str("x"), .rule_set = "rs-1"
	};

	EXPECT_OK(queue_park(l->parts.queue, &m, &task, 1, &l->e), &l->e);
	EXPECT_OK(queue_done(l->parts.queue, 1, false, &done, &l->e), &l->e);
}

/* Does the spool give it again, as after a disk that was full? */
static bool comes_again(struct line *l, const struct message_id *id)
{
	struct spool_record r;
	bool is = false;

	spool_record_init(&r);
	spool_rewind(l->rig->sp);
	while (spool_next(l->rig->sp, &r, &l->e) == RC_OK)
		is = is || id_compare(&r.id, id) == 0;
	spool_record_free(&r);
	return is;
}

/* Of two files the first one can't be removed when it is done. Then the second one's message comes
 * again, though its end was carried over: the queue must know it, or it would be sent again. */
static void test_queue_forgets_last(void **state)
{
	unsigned carried = 0;
	bool hit = true;

	(void)state;
	for (unsigned n = 1; hit; n++) {
		const struct message_id *id;
		int64_t positions;
		struct line l;
		enum rc rc;
		bool known;
		bool again;

		line_begin(&l);
		rig_open_writer(l.rig);
		(void)rig_send(l.rig, 10);
		rig_end_file(l.rig);
		id = &rig_send(l.rig, 20)->id;
		l.rig->options.file_bytes *=
		        2; /* files of another size are removed, not used again */
		line_reopen(&l);
		EXPECT_OK(queue_open(&l.parts.queue, l.rig->dir, l.rig->kr, 1 << 20, &l.e), &l.e);
		checkpoint_free(&l.c);
		l.c = checkpoint_new(&l.parts);
		end_in_queue(&l, id);
		assert_int_equal(take(&l), 2);
		checkpoint_queue(l.c);
		fault_arm(FAULT_NAME, n, EIO, false);
		rc = checkpoint_write(l.c, &l.e);
		hit = fault_disarm();
		assert_true(rc == RC_OK || hit);
		again = comes_again(&l, id);
		EXPECT_OK(queue_has(l.parts.queue, id, &known, &l.e), &l.e);
		assert_true(known || !again);
		assert_true(rc != RC_OK || !known);
		EXPECT_OK(db_int(l.parts.control, "SELECT count(*) FROM spool_position", 0,
		                 &positions, &l.e),
		          &l.e);
		carried += again && positions;
		line_end(&l);
	}
	assert_int_equal(carried, 1);
}

/* The positions can't be read: a start must not begin anywhere else. */
static void test_positions_fail(void **state)
{
	struct line l;
	struct spool_position *positions;
	struct beyond *beyond;
	size_t count;
	int64_t ms;

	(void)state;
	line_begin(&l);
	for (unsigned n = 1; n <= 2; n++) {
		fault_arm(FAULT_PART, n, EIO, false);
		assert_int_equal(pipeline_positions(l.parts.control, &positions, &count, &l.e),
		                 RC_IO);
		assert_true(fault_disarm());
		assert_int_equal(count, 0);
	}
	fault_arm(FAULT_PART, 1, EIO, false);
	assert_int_equal(pipeline_newest(l.parts.control, &ms, &l.e), RC_IO);
	assert_true(fault_disarm());
	for (unsigned n = 1; n <= 2; n++) {
		fault_arm(FAULT_PART, n, EIO, false);
		assert_int_equal(checkpoint_beyond_read(l.parts.control, &beyond, &count, &l.e),
		                 RC_IO);
		assert_true(fault_disarm());
		free(beyond);
	}
	line_end(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checkpoint),       cmocka_unit_test(test_beyond),
		cmocka_unit_test(test_beyond_fails),     cmocka_unit_test(test_keep_anchor),
		cmocka_unit_test(test_checkpoint_fails), cmocka_unit_test(test_queue_forgets_last),
		cmocka_unit_test(test_positions_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
