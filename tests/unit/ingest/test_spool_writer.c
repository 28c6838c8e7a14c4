/* The writer of the spool when calls fail, and what it refuses. */
#include <errno.h>

#include "base/clock.h"
#include "base/limits.h"
#include "ingest/spool/record.h"
#include "tests/unit/fault.h"
#include "tests/unit/ingest/spool_rig.h"

/* ---- starting ---- */

static void test_no_thread(void **state)
{
	struct spool_writer_options options = { 0 };
	struct spool_writer_ops ops = { 0 };
	struct spool_writer *w;
	struct err e = { 0 };

	(void)state;
	for (unsigned n = 1; n <= 2; n++)
		for (int quiet = 0; quiet < 2; quiet++) {
			fault_arm(FAULT_THREAD, n, EMFILE, false);
			assert_int_equal(
			        spool_writer_new(&w, &options, &ops, NULL, quiet ? NULL : &e),
			        RC_LIMIT);
			assert_true(fault_disarm());
			assert_null(w);
		}
}

/* ---- a writer whose files are made here ---- */

struct small {
	struct spool_writer *w;
	struct spool_writer_ops ops;
	struct rig_message sent[8];
	unsigned asked_bigs;
	struct err e;
};

static void ignore_need(void *app)
{
	(void)app;
}

static void count_big(void *app)
{
	struct small *s = app;

	s->asked_bigs++;
}

static void ignore_progress(void *app, uint64_t file, uint64_t offset, uint64_t messages)
{
	(void)app;
	(void)file;
	(void)offset;
	(void)messages;
}

static void small_done(void *app, void *cookie, const struct message_id *id, int64_t received_ms,
                       const struct durable *proof, const struct err *err)
{
	struct rig_message *m = cookie;

	(void)app;
	(void)received_ms;
	assert_false(m->finished);
	m->finished = true;
	m->accepted = proof != NULL;
	m->id = *id;
	if (err)
		m->err = *err;
}

static void small_begin(struct small *s, const struct spool_writer_options *options)
{
	memset(s, 0, sizeof(*s));
	crypt_init();
	s->ops = (struct spool_writer_ops) { .need_file = ignore_need,
		                             .need_big = count_big,
		                             .progress = ignore_progress,
		                             .done = small_done };
	EXPECT_OK(spool_writer_new(&s->w, options, &s->ops, s, &s->e), &s->e);
}

static int fresh_fd(void)
{
	char path[] = "/tmp/mm-spool-writer-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	(void)unlink(path);
	return fd;
}

static enum rc small_file(struct small *s, uint64_t number, uint64_t capacity)
{
	static const uint8_t secret[SPOOL_KEY] = { 1 };
	uint8_t public_key[SPOOL_KEY];

	spool_public_key(public_key, secret);
	return spool_writer_give_file(s->w, number, fresh_fd(), capacity, public_key, &s->e);
}

static struct spool_draft *small_draft(struct small *s, size_t bytes)
{
	struct spool_draft *d;
	uint8_t *content = mem_new(bytes + 1);

	EXPECT_OK(spool_begin(s->w, &d, &s->e), &s->e);
	if (bytes)
		EXPECT_OK(spool_add(d, slice_of(content, bytes), &s->e), &s->e);
	free(content);
	return d;
}

static void small_drain(struct small *s)
{
	spool_writer_flush(s->w);
	while (spool_writer_waiting(s->w)) {
		struct pollfd p = { .fd = spool_writer_event_fd(s->w), .events = POLLIN };

		assert_int_equal(poll(&p, 1, 20000), 1);
		spool_writer_reap(s->w);
	}
}

static void test_files_that_cannot_be(void **state)
{
	const struct spool_writer_options options = { .inline_bytes = LIMIT_SPOOL_INLINE + 1 };
	struct small s;
	struct spool_draft *d;

	(void)state;
	small_begin(&s, &options);
	assert_int_equal(spool_begin(s.w, &d, &s.e), RC_NOSPACE);
	assert_int_equal(small_file(&s, 1, SPOOL_MIN_CAPACITY - SPOOL_GROUP_ALIGN), RC_INVALID);
	assert_int_equal(small_file(&s, 1, SPOOL_MIN_CAPACITY + 1), RC_INVALID);
	EXPECT_OK(small_file(&s, 1, SPOOL_MIN_CAPACITY), &s.e);
	spool_writer_stop(s.w);
	spool_writer_stop(s.w);
	assert_int_equal(small_file(&s, 2, SPOOL_MIN_CAPACITY), RC_INVALID);
	spool_writer_give_big(s.w, 3, fresh_fd()); /* closed, and nothing else */
	assert_int_equal(spool_begin(s.w, &d, &s.e), RC_IO);
	assert_non_null(strstr(s.e.text, "the spool is closed"));
	assert_null(d);
	spool_writer_free(&s.w);
	spool_writer_free(&s.w);
}

/* A message fits into no file when the files become smaller than the first one was. */
static void test_larger_than_a_file(void **state)
{
	const struct spool_writer_options options = { 0 };
	struct small s;
	struct spool_draft *d[3];

	(void)state;
	small_begin(&s, &options);
	EXPECT_OK(small_file(&s, 1, SPOOL_MIN_CAPACITY), &s.e);
	EXPECT_OK(small_file(&s, 2, 4 * SPOOL_MIN_CAPACITY), &s.e);
	d[0] = small_draft(&s, 262000); /* larger than all of file 1 */
	d[1] = small_draft(&s, 100);
	d[2] = small_draft(&s, 262000); /* and where it holds a message: into file 2 */
	for (size_t i = 0; i < COUNT(d); i++)
		spool_commit(&d[i], slice_str("{}"), &s.sent[i]);
	small_drain(&s);
	assert_false(s.sent[0].accepted);
	assert_int_equal(s.sent[0].err.code, RC_LIMIT);
	assert_true(s.sent[1].accepted);
	assert_true(s.sent[2].accepted);
	assert_null(spool_writer_failed(s.w));
	/* One that would fit into an empty file, and not behind these. */
	d[0] = small_draft(&s, 250000);
	spool_commit(&d[0], slice_str("{}"), &s.sent[3]);
	small_drain(&s);
	assert_true(s.sent[3].accepted);
	spool_writer_free(&s.w);
}

/* Drafts that are open when the writer stops: they can be committed, and are refused. */
static void test_open_at_the_end(void **state)
{
	const struct spool_writer_options options = { .memory = 600000 };
	struct small s;
	struct spool_draft *d[5];

	(void)state;
	small_begin(&s, &options);
	EXPECT_OK(small_file(&s, 1, SPOOL_MIN_CAPACITY), &s.e);
	spool_writer_give_big(s.w, 2, fresh_fd());
	d[4] = small_draft(&s, 70000); /* has one */
	assert_false(spool_draft_waits(d[4]));
	d[0] = small_draft(&s, 100);
	d[1] = small_draft(&s, 70000); /* waits for a big file */
	d[2] = small_draft(&s, 70000);
	d[3] = small_draft(&s, 0);
	assert_true(spool_draft_waits(d[1]));
	spool_commit(&d[2], slice_str("{}"), &s.sent[2]);
	spool_writer_stop(s.w);
	assert_true(s.sent[2].finished && !s.sent[2].accepted);
	assert_int_equal(s.sent[2].err.code, RC_NOSPACE);
	assert_int_equal(spool_add(d[1], slice_str("x"), &s.e), RC_NOSPACE);
	spool_commit(&d[0], slice_str("{}"), &s.sent[0]);
	spool_commit(&d[1], slice_str("{}"), &s.sent[1]);
	spool_commit(&d[4], slice_str("{}"), &s.sent[4]);
	assert_false(s.sent[0].finished); /* never from within the call */
	spool_abort(&d[3]);
	spool_writer_free(&s.w);
	assert_true(s.sent[0].finished && !s.sent[0].accepted);
	assert_int_equal(s.sent[0].err.code, RC_IO);
	assert_true(s.sent[1].finished && !s.sent[1].accepted);
	assert_int_equal(s.sent[1].err.code, RC_NOSPACE);
	assert_int_equal(s.sent[4].err.code, RC_IO);
}

/* What is larger than these gets a file of its own. */
static void test_inline_bytes(void **state)
{
	static const struct {
		size_t option, largest;
	} cases[] = { { 1000, 1000 },
		      { LIMIT_SPOOL_INLINE + 1, LIMIT_SPOOL_INLINE },
		      { 0, LIMIT_SPOOL_INLINE } };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct spool_writer_options options = { .inline_bytes = cases[i].option };
		struct small s;

		small_begin(&s, &options);
		EXPECT_OK(small_file(&s, 1, 8 * SPOOL_MIN_CAPACITY), &s.e);
		for (size_t more = 0; more < 2; more++) {
			struct spool_draft *d = small_draft(&s, cases[i].largest + more);

			assert_int_equal(spool_draft_waits(d), more);
			spool_abort(&d);
		}
		spool_writer_free(&s.w);
	}
}

/* Meta that is too large for a record, or for the memory that is left. */
static void test_meta(void **state)
{
	const struct spool_writer_options options = { .memory = 300000 };
	struct small s;
	struct spool_draft *d;
	char *meta = mem_new(70000);

	(void)state;
	small_begin(&s, &options);
	EXPECT_OK(small_file(&s, 1, SPOOL_MIN_CAPACITY), &s.e);
	d = small_draft(&s, 10);
	EXPECT_OK(spool_add(d, slice_of(NULL, 0), &s.e), &s.e);
	spool_commit(&d, slice_of(meta, SPOOL_MIN_CAPACITY / 4 + 1), &s.sent[0]);
	d = small_draft(&s, 10);
	spool_commit(&d, slice_of(meta, SPOOL_MIN_CAPACITY / 4), &s.sent[1]);
	small_drain(&s);
	assert_int_equal(s.sent[0].err.code, RC_LIMIT);
	assert_true(s.sent[1].accepted);
	/* It waits for a big file, and the meta for memory. */
	d = small_draft(&s, 200000);
	assert_true(spool_draft_waits(d));
	spool_commit(&d, slice_of(meta, 60000), &s.sent[2]);
	small_drain(&s);
	assert_int_equal(s.sent[2].err.code, RC_NOSPACE);
	/* The same with no memory at all. */
	d = small_draft(&s, 70000);
	fault_arm(FAULT_MEMORY, 1, ENOMEM, false);
	spool_commit(&d, slice_str("{}"), &s.sent[3]);
	assert_true(fault_disarm());
	small_drain(&s);
	assert_int_equal(s.sent[3].err.code, RC_NOSPACE);
	d = small_draft(&s, 10); /* and of one that waits for nothing */
	fault_arm(FAULT_MEMORY, 1, ENOMEM, false);
	spool_commit(&d, slice_of(meta, 60000), &s.sent[4]);
	assert_true(fault_disarm());
	small_drain(&s);
	assert_int_equal(s.sent[4].err.code, RC_NOSPACE);
	assert_null(spool_writer_failed(s.w));
	spool_writer_free(&s.w);
	free(meta);
}

/* Without memory a draft fails, and nothing else. */
static void test_no_memory(void **state)
{
	const struct spool_writer_options options = { 0 };
	bool hit = true;
	unsigned n;

	(void)state;
	for (n = 1; hit; n++) {
		struct small s;
		struct spool_draft *d;
		uint8_t *content = mem_new(300000);
		enum rc rc;

		small_begin(&s, &options);
		EXPECT_OK(small_file(&s, 1, 4 * SPOOL_MIN_CAPACITY), &s.e);
		spool_writer_give_big(s.w, 2, fresh_fd());
		fault_arm(FAULT_MEMORY, n, ENOMEM, false);
		rc = spool_begin(s.w, &d, &s.e);
		for (int i = 0; i < 3 && rc == RC_OK; i++)
			rc = spool_add(d, slice_of(content, i == 2 ? 300000 : 30000), &s.e);
		hit = fault_disarm();
		assert_int_equal(rc, hit ? RC_NOSPACE : RC_OK);
		if (d && hit)
			assert_int_equal(spool_add(d, slice_str("x"), &s.e), RC_NOSPACE);
		if (d) {
			spool_commit(&d, slice_str("{}"), &s.sent[0]);
			small_drain(&s);
			assert_int_equal(s.sent[0].accepted, !hit);
		}
		d = small_draft(&s, 10);
		spool_commit(&d, slice_str("{}"), &s.sent[1]);
		small_drain(&s);
		assert_true(s.sent[1].accepted);
		assert_null(spool_writer_failed(s.w));
		spool_writer_free(&s.w);
		free(content);
	}
	assert_true(n > 3);
}

/* A big file comes when the draft has been told to wait, and can't be written: with ENOSPC that
 * draft fails alone, with EIO the writer. */
static void test_late_big_file_fails(void **state)
{
	const struct spool_writer_options options = { 0 };

	(void)state;
	for (int how = 0; how < 4; how++) {
		bool io = how & 1;
		bool committed = how & 2;
		struct small s;
		struct spool_draft *d;

		small_begin(&s, &options);
		EXPECT_OK(small_file(&s, 1, SPOOL_MIN_CAPACITY), &s.e);
		d = small_draft(&s, 70000);
		if (committed)
			spool_commit(&d, slice_str("{}"), &s.sent[0]);
		fault_arm(FAULT_WRITE, 1, io ? EIO : ENOSPC, false);
		spool_writer_give_big(s.w, 2, fresh_fd());
		assert_true(fault_disarm());
		if (!committed) {
			assert_int_equal(spool_add(d, slice_str("x"), &s.e),
			                 io ? RC_IO : RC_NOSPACE);
			spool_commit(&d, slice_str("{}"), &s.sent[0]);
		}
		small_drain(&s);
		spool_writer_reap(s.w);
		assert_int_equal(s.sent[0].err.code, io ? RC_IO : RC_NOSPACE);
		assert_int_equal(spool_writer_failed(s.w) != NULL, io);
		spool_writer_free(&s.w);
	}
}

/* ---- every write, sync and truncation fails ---- */

/* Small and large messages in one flush, one whose draft comes to nothing, and the file's end. What
 * has a proof is read back, whatever failed; after a failure that is not only a full disk under a
 * big file nothing has a proof any more. */
static void writer_fails(unsigned calls, int error)
{
	static const uint8_t content[200000];
	bool hit = true;
	unsigned n;

	for (n = 1; hit; n++) {
		struct rig *rig = rig_new(0);
		struct spool_draft *d;
		unsigned seen[8] = { 0 };
		struct err e = { 0 };
		size_t accepted = 0;

		rig->writer.bigs_ready = 4;
		rig_open_writer(rig);
		EXPECT_OK(spool_begin(rig->w, &d, &e), &e);
		EXPECT_OK(spool_add(d, slice_of(content, sizeof(content)), &e), &e);
		fault_arm(calls, n, error, false);
		(void)rig_commit(rig, 100);
		(void)rig_commit(rig, 300000);
		(void)rig_commit(rig, 200);
		(void)rig_commit(rig, 100000);
		(void)rig_commit(rig, 90000);
		spool_abort(&d);
		rig_drain(rig);
		spool_writer_stop(rig->w);
		hit = fault_disarm();
		for (size_t i = 0; i < rig->count; i++) {
			assert_true(rig->sent[i].finished);
			accepted += rig->sent[i].accepted;
			assert_true(rig->sent[i].accepted || rig->sent[i].err.code == RC_IO ||
			            rig->sent[i].err.code == RC_NOSPACE);
		}
		assert_true(hit || accepted == rig->count);
		spool_writer_free(&rig->w);
		rig_reopen(rig);
		assert_true(rig_read_all(rig, seen, true) >= accepted);
		for (size_t i = 0; i < rig->count; i++)
			assert_true(seen[i] == 1 || (seen[i] == 0 && !rig->sent[i].accepted));
		assert_int_equal(rig->damage, 0);
		rig_free(&rig);
	}
	assert_true(n >= 3);
}

static void test_writer_fails(void **state)
{
	(void)state;
	writer_fails(FAULT_WRITE, EIO);
	writer_fails(FAULT_WRITE, ENOSPC);
	writer_fails(FAULT_SYNC, EIO);
	writer_fails(FAULT_CUT, EIO);
}

/* A large message's last piece, and its record: it fails, at commit. */
static void test_last_piece_fails(void **state)
{
	const struct spool_writer_options options = { 0 };
	struct small s;
	struct spool_draft *d;

	(void)state;
	small_begin(&s, &options);
	EXPECT_OK(small_file(&s, 1, SPOOL_MIN_CAPACITY), &s.e);
	spool_writer_give_big(s.w, 2, fresh_fd());
	d = small_draft(&s, 70000);
	fault_arm(FAULT_WRITE, 1, ENOSPC, false);
	spool_commit(&d, slice_str("{}"), &s.sent[0]);
	assert_true(fault_disarm());
	small_drain(&s);
	assert_int_equal(s.sent[0].err.code, RC_NOSPACE);
	/* The big file is there again, unless it can't be emptied. */
	d = small_draft(&s, 70000);
	assert_false(spool_draft_waits(d));
	fault_arm(FAULT_CUT, 1, EIO, false);
	spool_abort(&d);
	assert_true(fault_disarm());
	d = small_draft(&s, 70000);
	assert_true(spool_draft_waits(d));
	spool_abort(&d);
	spool_writer_free(&s.w);
}

/* More large messages at once than big files may be asked for: the rest is asked for as they come.
 * What those give back that end is handed on. */
static void many_bigs(size_t end)
{
	const struct spool_writer_options options = { .inline_bytes = 1000, .bigs_ready = 1 };
	struct small s;
	struct spool_draft *d[3 * SPOOL_ASKED_BIGS];
	unsigned given = 0;

	small_begin(&s, &options);
	EXPECT_OK(small_file(&s, 1, SPOOL_MIN_CAPACITY), &s.e);
	for (size_t i = 0; i < COUNT(d); i++) {
		d[i] = small_draft(&s, 2000);
		assert_true(spool_draft_waits(d[i]));
		spool_writer_flush(s.w);
		assert_int_equal(s.asked_bigs, MIN_OF(i + 2, (size_t)SPOOL_ASKED_BIGS));
	}
	while (given < s.asked_bigs) {
		spool_writer_give_big(s.w, 100 + given++, fresh_fd());
		if (given == end)
			for (size_t i = 0; i < end; i++)
				spool_abort(&d[i]);
		spool_writer_flush(s.w);
		assert_true(s.asked_bigs - given <= SPOOL_ASKED_BIGS);
	}
	assert_int_equal(given, COUNT(d) - end + 1);
	for (size_t i = end; i < COUNT(d); i++) {
		assert_false(spool_draft_waits(d[i]));
		spool_abort(&d[i]);
	}
	spool_writer_free(&s.w);
}

/* No more are open at a time than there may be. */
static void test_few_bigs(void **state)
{
	const struct spool_writer_options options = { .inline_bytes = 1000,
		                                      .bigs_ready = 1,
		                                      .bigs_most = 10 };
	struct small s;
	struct spool_draft *d[30];

	(void)state;
	small_begin(&s, &options);
	EXPECT_OK(small_file(&s, 1, SPOOL_MIN_CAPACITY), &s.e);
	for (size_t i = 0; i < COUNT(d); i++)
		d[i] = small_draft(&s, 2000);
	spool_writer_flush(s.w);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(s.asked_bigs, 10);
		spool_writer_give_big(s.w, 100 + i, fresh_fd());
		spool_writer_flush(s.w);
	}
	for (size_t i = 0; i < COUNT(d); i++) {
		assert_false(spool_draft_waits(d[i]));
		spool_commit(&d[i], slice_str("{}"), &s.sent[0]);
		s.sent[0].finished = false;
		small_drain(&s);
		if (i < 20) { /* its file is mmd's now: another one may be open */
			assert_int_equal(s.asked_bigs, 11 + i);
			spool_writer_give_big(s.w, 200 + (unsigned)i, fresh_fd());
			spool_writer_flush(s.w);
		}
	}
	spool_writer_free(&s.w);
}

static void test_many_bigs(void **state)
{
	(void)state;
	many_bigs(0);
	many_bigs(1);
	many_bigs(60);
}

/* Two failures: the first is what is told. */
static void test_first_failure_stays(void **state)
{
	const struct spool_writer_options options = { 0 };
	struct small s;
	struct spool_draft *d[4];

	(void)state;
	small_begin(&s, &options);
	EXPECT_OK(small_file(&s, 1, SPOOL_MIN_CAPACITY), &s.e);
	for (uint64_t i = 0; i < 2; i++)
		spool_writer_give_big(s.w, 2 + i, fresh_fd());
	d[0] = small_draft(&s, 70000);
	d[1] = small_draft(&s, 70000);
	d[2] = small_draft(&s, 10);
	d[3] = small_draft(&s, 10);
	fault_arm(FAULT_WRITE, 1, EIO, true);
	spool_commit(&d[0], slice_str("{}"), &s.sent[0]);
	spool_commit(&d[1], slice_str("{}"), &s.sent[1]); /* before the loop heard of the first */
	small_drain(&s);
	assert_true(fault_disarm());
	assert_non_null(spool_writer_failed(s.w));
	assert_int_equal(s.sent[0].err.code, RC_IO);
	assert_int_equal(s.sent[1].err.code, RC_IO);
	assert_int_equal(spool_add(d[2], slice_str("x"), &s.e), RC_IO);
	spool_commit(&d[2], slice_str("{}"), &s.sent[2]);
	spool_commit(&d[3], slice_str("{}"), &s.sent[3]);
	small_drain(&s);
	assert_int_equal(s.sent[2].err.code, RC_IO);
	assert_int_equal(s.sent[3].err.code, RC_IO);
	spool_writer_free(&s.w);
}

/* The writer that waits for a file hears that it has failed meanwhile, or that it is to stop. */
static void wait_for_a_file(bool stop)
{
	const struct spool_writer_options options = { 0 };
	struct small s;
	struct spool_draft *d[4];

	small_begin(&s, &options);
	EXPECT_OK(small_file(&s, 1, SPOOL_MIN_CAPACITY), &s.e);
	spool_writer_give_big(s.w, 2, fresh_fd());
	for (size_t i = 0; i < COUNT(d); i++)
		d[i] = small_draft(&s, i == 3 ? 70000 : 65000);
	for (size_t i = 0; i < 3; i++)
		spool_commit(&d[i], slice_str("{}"), &s.sent[i]);
	small_drain(&s); /* the file is as good as full */
	for (size_t i = 0; i < 3; i++)
		assert_true(s.sent[i].accepted);
	d[0] = small_draft(&s, 65000);
	spool_commit(&d[0], slice_str("{}"), &s.sent[4]);
	spool_writer_flush(s.w);
	{
		struct pollfd p = { .fd = spool_writer_event_fd(s.w), .events = POLLIN };

		assert_int_equal(poll(&p, 1, 20000), 1); /* the end of the file is told */
	}
	if (!stop)
		fault_arm(FAULT_WRITE, 1, EIO, false);
	spool_commit(&d[3], slice_str("{}"), &s.sent[3]);
	assert_int_equal(fault_disarm(), !stop);
	if (stop)
		spool_writer_stop(s.w);
	else
		small_drain(&s);
	assert_int_equal(s.sent[3].err.code, stop ? RC_NOSPACE : RC_IO);
	assert_int_equal(s.sent[4].err.code, stop ? RC_NOSPACE : RC_IO);
	spool_writer_free(&s.w);
}

static void test_wait_for_a_file(void **state)
{
	(void)state;
	wait_for_a_file(false);
	wait_for_a_file(true);
}

/* The clock is behind the newest message: no time is given twice, none goes back. */
static void test_floor(void **state)
{
	const struct spool_writer_options options = { .floor_ms = clock_now_ms() + 3600000 };
	struct small s;

	(void)state;
	small_begin(&s, &options);
	EXPECT_OK(small_file(&s, 1, SPOOL_MIN_CAPACITY), &s.e);
	for (size_t i = 0; i < 3; i++) {
		struct spool_draft *d = small_draft(&s, 10);

		spool_commit(&d, slice_str("{}"), &s.sent[i]);
		small_drain(&s);
		assert_int_equal(id_received_ms(&s.sent[i].id), options.floor_ms + 1);
		assert_true(i == 0 || id_compare(&s.sent[i - 1].id, &s.sent[i].id) < 0);
	}
	spool_writer_free(&s.w);
}

/* Imports number their messages on, from one instant to the next. */
static void test_import_writer(void **state)
{
	const struct spool_writer_options options = { .writer = SPOOL_WRITER_IMPORT };
	struct small s;

	(void)state;
	small_begin(&s, &options);
	EXPECT_OK(small_file(&s, 1, SPOOL_MIN_CAPACITY), &s.e);
	for (size_t i = 0; i < COUNT(s.sent); i++) {
		struct spool_draft *d = small_draft(&s, 10);

		spool_commit(&d, slice_str("{}"), &s.sent[i]);
		small_drain(&s);
		assert_true(s.sent[i].accepted);
		assert_true(i == 0 || id_compare(&s.sent[i - 1].id, &s.sent[i].id) < 0);
	}
	spool_writer_free(&s.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_thread),
		cmocka_unit_test(test_files_that_cannot_be),
		cmocka_unit_test(test_larger_than_a_file),
		cmocka_unit_test(test_open_at_the_end),
		cmocka_unit_test(test_meta),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_late_big_file_fails),
		cmocka_unit_test(test_last_piece_fails),
		cmocka_unit_test(test_many_bigs),
		cmocka_unit_test(test_few_bigs),
		cmocka_unit_test(test_first_failure_stays),
		cmocka_unit_test(test_wait_for_a_file),
		cmocka_unit_test(test_inline_bytes),
		cmocka_unit_test(test_floor),
		cmocka_unit_test(test_import_writer),
		cmocka_unit_test(test_writer_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
