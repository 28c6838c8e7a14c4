#include <dirent.h>
#include <errno.h>

#include "base/clock.h"
#include "base/limits.h"
#include "tests/unit/fault.h"
#include "tests/unit/ingest/spool_rig.h"

/* ---- the system's calls, watched and made to fail ---- */

enum call { CALL_WRITE, CALL_SYNC, CALL_DONE };
static struct {
	bool on;
	enum call calls[4096];
	int fds[4096];
	size_t count;
	int fail_sync_at;    /* the how manieth sync from now on gives EIO; 0: none */
	size_t fail_read_of; /* every read of so many bytes gives EIO; 0: none */
	int fail_write_on;   /* every write to this descriptor gives ENOSPC; 0: none */
} watch;

static void watch_note(enum call call, int fd)
{
	size_t n = __atomic_fetch_add(&watch.count, 1, __ATOMIC_SEQ_CST);

	if (n < COUNT(watch.calls)) {
		watch.calls[n] = call;
		watch.fds[n] = fd;
	}
}

static bool watch_call(unsigned call, int fd, size_t bytes)
{
	if (watch.on && call != FAULT_READ)
		watch_note(call == FAULT_SYNC ? CALL_SYNC : CALL_WRITE, fd);
	errno = EIO;
	if (call == FAULT_READ)
		return watch.fail_read_of && bytes == watch.fail_read_of;
	if (call == FAULT_SYNC)
		return watch.fail_sync_at && --watch.fail_sync_at == 0;
	errno = ENOSPC;
	return watch.fail_write_on && fd == watch.fail_write_on;
}

static int reset_watch(void **state)
{
	(void)state;
	memset(&watch, 0, sizeof(watch));
	fault_watch = watch_call;
	return 0;
}

/* ---- tests ---- */

static const size_t sizes[] = { 0,
	                        1,
	                        63,
	                        64,
	                        4096,
	                        65463,
	                        65464,
	                        65465,
	                        65535,
	                        65536,
	                        65537,
	                        131072,
	                        LIMIT_SPOOL_INLINE - 1,
	                        LIMIT_SPOOL_INLINE,
	                        LIMIT_SPOOL_INLINE + 1,
	                        300000,
	                        393216,
	                        1048576,
	                        3000001,
	                        17 };

static void test_round_trip(void **state)
{
	struct rig *rig = rig_new(SPOOL_DEFAULT_CAPACITY / 16);
	unsigned seen[COUNT(sizes)] = { 0 };
	struct spool_totals totals;

	(void)state;
	rig_open_writer(rig);
	for (size_t i = 0; i < COUNT(sizes); i++)
		(void)rig_commit(rig, sizes[i]);
	rig_drain(rig);
	spool_backlog(rig->sp, &totals);
	assert_int_equal(totals.messages, COUNT(sizes));
	assert_int_equal(rig_read_all(rig, seen, true), COUNT(sizes));
	for (size_t i = 0; i < COUNT(sizes); i++) {
		assert_true(rig->sent[i].accepted);
		assert_int_equal(seen[i], 1);
	}
	spool_backlog(rig->sp, &totals);
	assert_int_equal(totals.messages, 0);
	assert_int_equal(rig->damage, 0);
	rig_free(&rig);
}

/* The same over a restart, and with a meta of every size that matters. */
static void test_round_trip_settled(void **state)
{
	struct rig *rig = rig_new(SPOOL_DEFAULT_CAPACITY / 16);
	unsigned seen[COUNT(sizes)] = { 0 };

	(void)state;
	rig_open_writer(rig);
	for (size_t i = 0; i < COUNT(sizes); i++)
		(void)rig_send(rig, sizes[i]);
	spool_writer_free(&rig->w);
	rig_reopen(rig);
	assert_false(spool_recovered(rig->sp));
	assert_int_equal(rig_read_all(rig, seen, false), COUNT(sizes));
	assert_true(spool_recovered(rig->sp));
	for (size_t i = 0; i < COUNT(sizes); i++)
		assert_int_equal(seen[i], 1);
	rig_reopen(rig); /* nothing was done: all of it again */
	assert_int_equal(rig_read_all(rig, seen, true), COUNT(sizes));
	rig_reopen(rig);
	assert_int_equal(rig_read_all(rig, NULL, true), 0);
	assert_int_equal(rig->damage, 0);
	rig_free(&rig);
}

static unsigned count_files(struct rig *rig, const char *suffix)
{
	char path[80];
	unsigned n = 0;
	struct dirent *d;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "%s/spool", rig->dir);
	dir = opendir(path);
	assert_non_null(dir);
	while ((d = readdir(dir)))
		if (slice_find(slice_str(d->d_name), slice_str(suffix)) != SIZE_MAX)
			n++;
	(void)closedir(dir);
	return n;
}

static enum rc count_key(void *arg, const struct key_info *k)
{
	if (k->kind == KEY_SPOOL && k->state == KEY_LIVE)
		(*(unsigned *)arg)++;
	return RC_OK;
}

static unsigned count_keys(struct rig *rig)
{
	unsigned n = 0;

	assert_int_equal(keyring_each(rig->kr, count_key, &n), RC_OK);
	return n;
}

/* Rolls over many files, read behind the writer: files are reused, keys go. */
static void test_roll_and_recycle(void **state)
{
	struct rig *rig = rig_new(0);
	unsigned *seen = mem_array(RIG_MESSAGES, sizeof(*seen));
	struct spool_totals totals;

	(void)state;
	rig_open_writer(rig);
	for (size_t i = 0; i < 600; i++) {
		(void)rig_commit(rig, (i * 7919) % 20000);
		if (i % 7 == 0)
			rig_drain(rig);
		if (i % 50 == 0)
			(void)rig_read_all(rig, seen, true);
	}
	rig_drain(rig);
	(void)rig_read_all(rig, seen, true);
	for (size_t i = 0; i < 600; i++) {
		assert_true(rig->sent[i].accepted);
		assert_int_equal(seen[i], 1);
		if (i)
			assert_true(id_compare(&rig->sent[i - 1].id, &rig->sent[i].id) < 0);
	}
	spool_backlog(rig->sp, &totals);
	assert_int_equal(totals.messages, 0);
	assert_true(rig->last_file > 15); /* it rolled */
	assert_true(count_files(rig, ".spool") <= 2 + 4);
	assert_int_equal(count_keys(rig), totals.files);
	assert_true(totals.files <= 2);
	spool_writer_free(&rig->w);
	assert_int_equal(rig_read_all(rig, seen, true), 0); /* END is read, the file finished */
	assert_int_equal(count_keys(rig), 1);               /* of the next file, which isn't used */
	/* What is left are recycled files with old records in them: none may show. */
	rig_reopen(rig);
	assert_int_equal(rig_read_all(rig, seen, true), 0);
	rig_open_writer(rig);
	(void)rig_send(rig, 100);
	(void)rig_send(rig, 200);
	rig_kill_writer(rig);
	rig_reopen(rig);
	assert_int_equal(rig_read_all(rig, seen, true), 2);
	assert_int_equal(count_keys(rig), 0);
	assert_int_equal(rig->damage, 0);
	free(seen);
	rig_free(&rig);
}

/* A clean end leaves nothing to sweep: the file is ended, done, and its key destroyed. */
static void test_end_file(void **state)
{
	struct rig *rig = rig_new(0);
	uint64_t first;

	(void)state;
	rig_open_writer(rig);
	(void)rig_send(rig, 1000);
	first = rig->last_file;
	rig_end_file(rig);
	(void)rig_send(rig, 1000);
	assert_int_not_equal(rig->last_file, first);
	assert_int_equal(rig_read_all(rig, NULL, true), 2);
	assert_int_equal(count_keys(rig), 2); /* the current file and the next one */
	rig_free(&rig);
}

static void test_nothing_to_end(void **state)
{
	struct rig *rig = rig_new(0);

	(void)state;
	rig_open_writer(rig);
	spool_writer_end_file(rig->w);
	spool_writer_stop(rig->w);
	assert_int_equal(rig->last_offset, 0);
	assert_int_equal(rig_read_all(rig, NULL, true), 0);
	rig_free(&rig);
}

/* Whoever has the master key and an old copy of a finished file can't read it: its key is gone. */
static void test_key_destroyed(void **state)
{
	struct rig *rig = rig_new(0);
	struct buf copy;
	char path[96];
	struct err e = { 0 };

	(void)state;
	rig_open_writer(rig);
	for (int i = 0; i < 5; i++)
		(void)rig_send(rig, 5000);
	spool_writer_free(&rig->w);
	(void)snprintf(path, sizeof(path), "%s/spool/%08llu.spool", rig->dir,
	               (unsigned long long)rig->last_file);
	buf_init(&copy, SPOOL_MIN_CAPACITY);
	EXPECT_OK(file_read_all(path, &copy, &e), &e);
	rig_reopen(rig);
	assert_int_equal(rig_read_all(rig, NULL, false), 5);
	rig_reopen(rig);
	assert_int_equal(rig_read_all(rig, NULL, true), 5);
	assert_int_equal(count_keys(rig), 0);
	spool_close(&rig->sp);
	EXPECT_OK(file_replace(path, buf_slice(&copy), &e), &e);
	rig_open_spool(rig);
	assert_int_equal(rig_read_all(rig, NULL, true), 0);
	assert_int_equal(rig->damage, 0);
	buf_free(&copy);
	rig_free(&rig);
}

/* Who waits for what was accepted before doesn't wait for what comes meanwhile. */
static void test_marks(void **state)
{
	struct rig *rig = rig_new(0);
	struct spool_mark *marks;
	size_t count;

	(void)state;
	rig_open_writer(rig);
	for (int i = 0; i < 3; i++)
		(void)rig_send(rig, 1000);
	spool_mark(rig->sp, &marks, &count);
	assert_int_equal(spool_behind(rig->sp, marks, count), 3);
	for (int i = 0; i < 2; i++)
		(void)rig_send(rig, 1000);
	assert_int_equal(spool_behind(rig->sp, marks, count), 3);
	assert_int_equal(rig_read_all(rig, NULL, true), 5);
	assert_int_equal(spool_behind(rig->sp, marks, count), 0);
	(void)rig_send(rig, 1000);
	assert_int_equal(spool_behind(rig->sp, marks, count), 0);
	free(marks);
	spool_writer_free(&rig->w);
	rig_reopen(rig); /* how much is in the files isn't known before they are read */
	spool_mark(rig->sp, &marks, &count);
	assert_true(spool_behind(rig->sp, marks, count) >= 1);
	assert_int_equal(rig_read_all(rig, NULL, true), 6); /* no position was stored */
	assert_int_equal(spool_behind(rig->sp, marks, count), 0);
	free(marks);
	rig_free(&rig);
}

static void test_ids(void **state)
{
	struct rig *rig = rig_new(SPOOL_DEFAULT_CAPACITY / 16);
	int64_t floor = clock_now_ms() + 3600000;

	(void)state;
	rig->writer.floor_ms = floor;
	rig->writer.writer = SPOOL_WRITER_IMPORT;
	rig_open_writer(rig);
	for (size_t i = 0; i < 3000; i++)
		(void)rig_commit(rig, 10);
	rig_drain(rig);
	for (size_t i = 0; i < 3000; i++) {
		const struct rig_message *m = &rig->sent[i];
		uint64_t sequence = (uint64_t)id_rowid(&m->id) & ((1u << ID_SEQUENCE_BITS) - 1);

		assert_true(m->accepted && m->received_ms > floor);
		assert_int_equal(id_received_ms(&m->id), m->received_ms);
		assert_true(sequence >> (ID_SEQUENCE_BITS - 1)); /* imports have the top bit */
		if (i)
			assert_true(id_rowid(&m[-1].id) < id_rowid(&m->id));
	}
	/* The clock stands before the floor, so all of them share its next millisecond. */
	assert_int_equal(rig->sent[0].received_ms, rig->sent[2999].received_ms);
	rig_free(&rig);
}

static void note_done(void)
{
	if (watch.on)
		watch_note(CALL_DONE, 0);
}

/* Large: bytes, sync, then record, sync, then done. Small: record, sync, done. */
static void test_order(void **state)
{
	struct rig *rig = rig_new(0);
	size_t n = 0;

	(void)state;
	rig->on_done = note_done;
	rig_open_writer(rig);
	(void)rig_send(rig, 100); /* the header of the file is written */
	watch.on = true;
	(void)rig_send(rig, 100);
	assert_int_equal(watch.count, 3);
	assert_int_equal(watch.calls[0], CALL_WRITE);
	assert_int_equal(watch.calls[1], CALL_SYNC);
	assert_int_equal(watch.calls[2], CALL_DONE);
	assert_int_equal(watch.fds[0], watch.fds[1]);
	watch.count = 0;
	(void)rig_send(rig, 200000);
	watch.on = false;
	assert_true(rig->sent[2].accepted);
	while (n < watch.count && watch.calls[n] == CALL_WRITE)
		n++;
	assert_true(n >= 2);
	assert_int_equal(watch.count, n + 4);
	assert_int_equal(watch.calls[n], CALL_SYNC); /* the big file */
	assert_int_equal(watch.fds[n], watch.fds[0]);
	assert_int_equal(watch.calls[n + 1], CALL_WRITE);
	assert_int_equal(watch.calls[n + 2], CALL_SYNC);
	assert_int_equal(watch.calls[n + 3], CALL_DONE);
	assert_int_equal(watch.fds[n + 1], watch.fds[n + 2]);
	assert_int_not_equal(watch.fds[n + 1], watch.fds[0]);
	rig_free(&rig);
}

static void test_group(void **state)
{
	struct rig *rig = rig_new(SPOOL_DEFAULT_CAPACITY / 16);
	size_t syncs = 0;

	(void)state;
	rig_open_writer(rig);
	(void)rig_send(rig, 100);
	watch.on = true;
	for (int i = 0; i < 500; i++)
		(void)rig_commit(rig, 1000);
	rig_drain(rig);
	watch.on = false;
	for (size_t i = 0; i < watch.count; i++)
		syncs += watch.calls[i] == CALL_SYNC;
	assert_int_equal(syncs, 1);
	rig_free(&rig);
}

/* A failed sync is final: no proof for anybody afterwards, and no second sync. */
static void test_failed_sync(void **state)
{
	struct rig *rig = rig_new(0);
	struct spool_draft *open_draft;
	struct spool_draft *d;
	struct err e = { 0 };

	(void)state;
	rig_open_writer(rig);
	(void)rig_send(rig, 100);
	EXPECT_OK(spool_begin(rig->w, &open_draft, &e), &e);
	watch.fail_sync_at = 1;
	(void)rig_commit(rig, 100);
	(void)rig_commit(rig, 100);
	rig_drain(rig);
	assert_false(rig->sent[1].accepted);
	assert_false(rig->sent[2].accepted);
	assert_int_equal(rig->sent[1].err.code, RC_IO);
	watch.on = true;
	assert_int_equal(spool_begin(rig->w, &d, &e), RC_IO);
	assert_non_null(spool_writer_failed(rig->w));
	assert_int_equal(spool_add(open_draft, slice_str("x"), &e), RC_IO);
	spool_commit(&open_draft, slice_str("{\"n\":3}"), &rig->sent[3]);
	rig_drain(rig);
	assert_true(rig->sent[3].finished);
	assert_false(rig->sent[3].accepted);
	spool_writer_free(&rig->w);
	assert_int_equal(watch.count, 0);
	/* What was acknowledged is there; what was not may be. */
	rig->count = 3;
	rig_reopen(rig);
	assert_true(rig_read_all(rig, NULL, true) >= 1);
	rig_free(&rig);
}

static int big_fd;

static void give_known_big(struct rig *rig)
{
	struct spool_new_file nf;
	struct err e = { 0 };

	EXPECT_OK(spool_make_big(rig->sp, 0, &nf, &e), &e);
	big_fd = nf.fd;
	spool_writer_give_big(rig->w, nf.number, nf.fd);
}

/* A full disk under a big file fails that message alone. */
static void test_big_no_space(void **state)
{
	struct rig *rig = rig_new(0);

	(void)state;
	rig->withhold_bigs = true;
	rig->writer.bigs_ready = 1;
	rig_open_writer(rig);
	give_known_big(rig);
	watch.fail_write_on = big_fd;
	(void)rig_commit(rig, 300000);
	(void)rig_commit(rig, 300);
	rig_drain(rig);
	watch.fail_write_on = 0;
	assert_false(rig->sent[0].accepted);
	assert_int_equal(rig->sent[0].err.code, RC_NOSPACE);
	assert_true(rig->sent[1].accepted);
	(void)rig_commit(rig, 300000); /* the same file serves again */
	rig_drain(rig);
	assert_true(rig->sent[2].accepted);
	assert_int_equal(rig_read_all(rig, NULL, true), 2);
	assert_int_equal(rig->damage, 0);
	rig_free(&rig);
}

/* Nothing but a full disk: a sync of a big file that fails ends the writer. */
static void test_big_sync_fails(void **state)
{
	struct rig *rig = rig_new(0);
	struct spool_draft *d;

	(void)state;
	rig_open_writer(rig);
	(void)rig_send(rig, 10);
	watch.fail_sync_at = 1;
	(void)rig_send(rig, 300000);
	assert_false(rig->sent[1].accepted);
	assert_int_equal(spool_begin(rig->w, &d, NULL), RC_IO);
	rig_free(&rig);
}

/* A read error of the system is no damage: the same record is read when it has passed. */
static void test_read_error(void **state)
{
	struct rig *rig = rig_new(0);
	struct spool_record r;
	struct err e = { 0 };

	(void)state;
	rig_open_writer(rig);
	(void)rig_send(rig, 300000);
	(void)rig_send(rig, 10);
	spool_record_init(&r);
	watch.fail_read_of = 65552; /* a piece of a big file */
	assert_int_equal(spool_next(rig->sp, &r, &e), RC_IO);
	assert_int_equal(spool_next(rig->sp, &r, &e), RC_IO);
	watch.fail_read_of = 0;
	EXPECT_OK(spool_next(rig->sp, &r, &e), &e);
	assert_int_equal(rig_check(rig, &r), 0);
	spool_record_free(&r);
	assert_int_equal(rig_read_all(rig, NULL, true), 1);
	assert_int_equal(rig->damage, 0);
	rig_free(&rig);
}

/* A finished file's big files go with it, also those whose record was lost. */
static void test_big_files_go(void **state)
{
	struct rig *rig = rig_new(0);

	(void)state;
	rig_open_writer(rig);
	for (int i = 0; i < 6; i++)
		(void)rig_send(rig, 200000);
	assert_int_equal(count_files(rig, ".big"), 6 + 2);
	assert_int_equal(rig_read_all(rig, NULL, true), 6);
	assert_int_equal(count_files(rig, ".big"), 2);
	rig_free(&rig);
}

/* Large messages wait for their files, committed or not. */
static void test_big_late(void **state)
{
	struct rig *rig = rig_new(0);
	unsigned seen[4] = { 0 };

	(void)state;
	rig->withhold_bigs = true;
	rig_open_writer(rig);
	for (int i = 0; i < 4; i++)
		(void)rig_commit(rig, 300000);
	spool_writer_flush(rig->w);
	assert_int_equal(rig->asked_bigs, 2 + 4);
	for (int i = 0; i < 3; i++)
		rig_give_big(rig);
	spool_writer_stop(rig->w);
	for (int i = 0; i < 3; i++)
		assert_true(rig->sent[i].accepted);
	assert_true(rig->sent[3].finished);
	assert_int_equal(rig->sent[3].err.code, RC_NOSPACE);
	assert_int_equal(rig_read_all(rig, seen, true), 3);
	assert_int_equal(count_files(rig, ".big"), 0);
	rig_free(&rig);
}

/* Who waits for a large message's file is told when it comes, and holds its sender until then. */
static void test_big_holds(void **state)
{
	struct rig *rig = rig_new(0);
	static uint8_t bytes[300000];
	struct spool_draft *d[2];
	struct err e = { 0 };
	int owner;

	(void)state;
	rig->withhold_bigs = true;
	rig_open_writer(rig);
	for (size_t i = 0; i < COUNT(d); i++) {
		EXPECT_OK(spool_begin(rig->w, &d[i], &e), &e);
		spool_draft_owner(d[i], i ? &owner : NULL);
		EXPECT_OK(spool_add(d[i], slice_of(bytes, 1000), &e), &e);
		assert_false(spool_draft_waits(d[i]));
		EXPECT_OK(spool_add(d[i], slice_of(bytes, sizeof(bytes)), &e), &e);
		assert_true(spool_draft_waits(d[i]));
	}
	spool_abort(&d[0]); /* nobody is told for it */
	rig_give_big(rig);
	assert_int_equal(rig->went_on, 1);
	assert_ptr_equal(rig->went_on_owner, &owner);
	assert_false(spool_draft_waits(d[1]));
	spool_abort(&d[1]);
	rig_give_big(rig);
	assert_int_equal(rig->went_on, 1);
	rig_free(&rig);
}

static void test_budget(void **state)
{
	struct rig *rig = rig_new(SPOOL_DEFAULT_CAPACITY / 16);
	struct spool_draft *d[64] = { 0 };
	static uint8_t bytes[100000];
	struct err e = { 0 };
	unsigned refused = 0;

	(void)state;
	rig->writer.memory = 1 << 20;
	rig_open_writer(rig);
	for (size_t i = 0; i < COUNT(d); i++) {
		enum rc rc = spool_begin(rig->w, &d[i], &e);

		if (rc == RC_OK)
			rc = spool_add(d[i], slice_of(bytes, sizeof(bytes)), &e);
		assert_true(rc == RC_OK || rc == RC_NOSPACE);
		refused += rc == RC_NOSPACE;
	}
	assert_true(refused > 50 && refused < 64);
	for (size_t i = 0; i < COUNT(d); i++)
		spool_abort(&d[i]);
	for (int i = 0; i < 5; i++)
		assert_true(rig_send(rig, 100000)->accepted);
	rig_free(&rig);
}

/* No file: commits wait up to the backlog, then a file comes and all of them are written. */
static void test_no_file(void **state)
{
	struct rig *rig = rig_new(0);
	struct spool_draft *d;
	struct err e = { 0 };
	enum rc rc;

	(void)state;
	rig->withhold_files = true;
	rig->writer.backlog = 5;
	rig_open_writer(rig);
	assert_int_equal(rig->asked_files, 2);
	assert_int_equal(spool_begin(rig->w, &d, &e), RC_NOSPACE);
	rig_give_file(rig);
	assert_true(rig_send(rig, 50000)->accepted);
	while ((rc = spool_begin(rig->w, &d, &e)) == RC_OK) {
		spool_abort(&d);
		(void)rig_commit(rig, 50000);
		spool_writer_flush(rig->w);
		clock_sleep_ms(2);
		spool_writer_reap(rig->w);
		assert_true(rig->count < 30);
	}
	assert_int_equal(rc, RC_NOSPACE);
	assert_true(spool_writer_waiting(rig->w) >= 5);
	rig->withhold_files = false;
	rig_give_file(rig);
	rig_give_file(rig);
	rig_drain(rig);
	for (size_t i = 0; i < rig->count; i++)
		assert_true(rig->sent[i].accepted);
	assert_int_equal(rig_read_all(rig, NULL, true), rig->count);
	rig_free(&rig);
}

static void test_limit_of_bytes(void **state)
{
	struct rig *rig = rig_new(0);
	struct rig_message *m;

	(void)state;
	rig->options.max_bytes = 4 * SPOOL_MIN_CAPACITY;
	rig_reopen(rig);
	rig_open_writer(rig);
	do {
		(void)rig_commit(rig, 60000);
		spool_writer_flush(rig->w);
		clock_sleep_ms(1);
		spool_writer_reap(rig->w);
	} while (rig->make_rc == RC_OK && rig->count < 100);
	assert_int_equal(rig->make_rc, RC_NOSPACE);
	(void)rig_read_all(rig, NULL, true);
	rig_give_file(rig); /* mmd answers what it still owes, now that there is room */
	assert_int_equal(rig->make_rc, RC_OK);
	m = rig_commit(rig, 10);
	spool_writer_flush(rig->w);
	while (spool_writer_waiting(rig->w)) {
		struct pollfd p = { .fd = spool_writer_event_fd(rig->w), .events = POLLIN };

		assert_int_equal(poll(&p, 1, 20000), 1);
		spool_writer_reap(rig->w);
		spool_writer_flush(rig->w);
		if (rig->make_rc != RC_OK) { /* more had been waiting than one file holds */
			(void)rig_read_all(rig, NULL, true);
			rig_give_file(rig);
		}
	}
	assert_true(m->accepted);
	rig_free(&rig);
}

/* mm-smtpd is killed, mmd lives: its files are read to their end, the next ones are its
 * successor's. */
static void test_writer_gone(void **state)
{
	struct rig *rig = rig_new(0);
	unsigned seen[64] = { 0 };
	struct spool_totals totals;

	(void)state;
	rig_open_writer(rig);
	for (int i = 0; i < 20; i++)
		(void)rig_send(rig, 3000);
	rig->deaf = true; /* written, synced, and the news never came */
	for (int i = 0; i < 3; i++)
		(void)rig_send(rig, 3000);
	(void)rig_send(rig, 300000);
	rig->deaf = false;
	assert_int_equal(rig_read_all(rig, seen, true), 20);
	rig_kill_writer(rig);
	assert_int_equal(rig_read_all(rig, seen, true), 0);
	spool_writer_gone(rig->sp, 0);
	rig_open_writer(rig);
	(void)rig_send(rig, 4000);
	assert_int_equal(rig_read_all(rig, seen, true), 5);
	for (int i = 0; i < 25; i++)
		assert_int_equal(seen[i], 1);
	spool_backlog(rig->sp, &totals);
	assert_int_equal(totals.files, 2); /* the successor's */
	assert_int_equal(totals.messages, 0);
	assert_int_equal(count_files(rig, ".big"), 2); /* the successor's, the old ones are gone */
	rig_free(&rig);
}

/* Positions survive a restart; a rewind reads what isn't done again. */
static void test_positions(void **state)
{
	struct rig *rig = rig_new(0);
	struct spool_position *positions;
	struct spool_position upto = { 0 };
	struct spool_record r;
	unsigned seen[256] = { 0 };
	struct err e = { 0 };
	size_t count;

	(void)state;
	rig_open_writer(rig);
	for (int i = 0; i < 60; i++)
		(void)rig_send(rig, i % 20 == 7 ? 200000 : 9000);
	spool_record_init(&r);
	for (int i = 0; i < 40; i++) {
		EXPECT_OK(spool_next(rig->sp, &r, &e), &e);
		assert_int_equal(rig_check(rig, &r), i);
		if (i == 31)
			upto = r.after;
		if (r.after.file != upto.file && i < 31)
			EXPECT_OK(spool_done(rig->sp, &r.after, &e), &e);
	}
	spool_positions(rig->sp, &upto, 1, &positions, &count);
	EXPECT_OK(spool_done(rig->sp, &upto, &e), &e);
	spool_rewind(rig->sp);
	EXPECT_OK(spool_next(rig->sp, &r, &e), &e);
	assert_int_equal(rig_check(rig, &r), 32);
	spool_record_free(&r);
	rig_kill_writer(rig);
	rig->options.positions = positions;
	rig->options.positions_count = count;
	rig_reopen(rig);
	assert_int_equal(rig_read_all(rig, seen, true), 60 - 32);
	for (int i = 32; i < 60; i++)
		assert_int_equal(seen[i], 1);
	assert_int_equal(rig->damage, 0);
	assert_int_equal(count_keys(rig), 0);
	assert_int_equal(count_files(rig, ".big"), 0);
	free(positions);
	rig_free(&rig);
}

/* Numbers aren't used again, or an old position would hide new mail. */
static void test_numbers(void **state)
{
	struct rig *rig = rig_new(0);
	struct spool_position old = { .file = 40, .offset = 100096, .records = 9 };

	(void)state;
	rig->options.positions = &old;
	rig->options.positions_count = 1;
	rig_reopen(rig);
	rig_open_writer(rig);
	(void)rig_send(rig, 10);
	assert_true(rig->last_file > 40);
	rig_free(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_round_trip, reset_watch),
		cmocka_unit_test_setup(test_round_trip_settled, reset_watch),
		cmocka_unit_test_setup(test_roll_and_recycle, reset_watch),
		cmocka_unit_test_setup(test_end_file, reset_watch),
		cmocka_unit_test_setup(test_nothing_to_end, reset_watch),
		cmocka_unit_test_setup(test_key_destroyed, reset_watch),
		cmocka_unit_test_setup(test_marks, reset_watch),
		cmocka_unit_test_setup(test_ids, reset_watch),
		cmocka_unit_test_setup(test_order, reset_watch),
		cmocka_unit_test_setup(test_group, reset_watch),
		cmocka_unit_test_setup(test_failed_sync, reset_watch),
		cmocka_unit_test_setup(test_big_no_space, reset_watch),
		cmocka_unit_test_setup(test_big_sync_fails, reset_watch),
		cmocka_unit_test_setup(test_big_late, reset_watch),
		cmocka_unit_test_setup(test_big_holds, reset_watch),
		cmocka_unit_test_setup(test_read_error, reset_watch),
		cmocka_unit_test_setup(test_big_files_go, reset_watch),
		cmocka_unit_test_setup(test_budget, reset_watch),
		cmocka_unit_test_setup(test_no_file, reset_watch),
		cmocka_unit_test_setup(test_limit_of_bytes, reset_watch),
		cmocka_unit_test_setup(test_writer_gone, reset_watch),
		cmocka_unit_test_setup(test_positions, reset_watch),
		cmocka_unit_test_setup(test_numbers, reset_watch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
