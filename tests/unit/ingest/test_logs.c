/* tests/unit/ingest/test_logs.c - records on their way to files: once, in bounds, whatever the disk
 * does */
#include "ingest/logs.h"

#include <errno.h>
#include <fcntl.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/logbook.h"
#include "tests/unit/fault.h"
#include "tests/unit/ingest/quoted.h"
#include "tests/unit/store/scratch.h"

static const uint8_t master[KEY_BYTES] = "logs test master key, 32 bytes..";
static const struct arn_home home = { "us-east-1", "000000000000" };

struct fixture {
	struct scratch s;
	char *data; /* in it, beside plain files */
	struct keyring *kr;
	struct logs_options opt;
	struct logs *l;
	struct mail mail;
	char *path;
	bool no_room;
	struct err e;
};

static bool room(void *arg)
{
	return !((struct fixture *)arg)->no_room;
}

static void start(struct fixture *f)
{
	for (size_t i = 0; i < LOG_NAMES; i++)
		if (f->opt.where[i] == LOG_PLAIN)
			EXPECT_OK(logs_open_file(f->opt.path[i], f->data, &f->opt.file[i], &f->e),
			          &f->e);
	EXPECT_OK(logs_new(&f->l, &f->opt, f->data, f->kr, &home, room, f, &f->e), &f->e);
}

static void begin(struct fixture *f, enum log_where where)
{
	static const char meta[] =
	        "{'v':1,'mail_from':'ann@shop.example','rcpt':[{'to':'bob@corp.example'}],"
	        "'ingress':'inbound','ingress_id':'inp-1','rule_set':'rs-1','rule_set_version':2,"
	        "'helo':'client.example','ip':'192.0.2.7'}";
	const struct message_id id = { { 1 } };
	char *text = quoted_text(meta);

	memset(f, 0, sizeof(*f));
	log_init("test", LOG_ERROR + 1);
	scratch_make(&f->s);
	f->path = scratch_path(&f->s, "application.log");
	f->data = scratch_path(&f->s, "data");
	EXPECT_OK(dir_make(f->data, &f->e), &f->e);
	EXPECT_OK(keyring_create(f->data, master, &f->e), &f->e);
	EXPECT_OK(keyring_open(&f->kr, f->data, master, &f->e), &f->e);
	EXPECT_OK(mail_read(&f->mail, &id, 5, slice_str(text), false, &f->e), &f->e);
	free(text);
	f->opt = (struct logs_options) { .where = { where, LOG_NOWHERE },
		                         .path = { where == LOG_PLAIN ? f->path : NULL, NULL },
		                         .addresses = true,
		                         .rate = 1000,
		                         .keep_days = 30,
		                         .max_bytes = 1 << 20 };
	start(f);
}

static void end(struct fixture *f)
{
	logs_free(&f->l);
	mail_free(&f->mail);
	keyring_close(&f->kr);
	free(f->path);
	free(f->data);
	scratch_remove(&f->s);
}

/* One record, whose size is its number. */
static void tell(struct fixture *f, uint64_t n)
{
	logs_ingress(f->l, &f->mail, n);
}

struct seen {
	int64_t numbers[4096];
	size_t count;
	size_t gaps;
	int64_t left_out;
	size_t broken;
};

static void see_line(struct seen *s, struct slice line)
{
	json_t *j;

	if (json_read(&j, line, NULL) != RC_OK) {
		s->broken++;
		return;
	}
	if (json_object_get(j, "records_left_out")) {
		s->gaps++;
		s->left_out += json_member_int(j, "records_left_out", 0);
	} else {
		assert_true(s->count < COUNT(s->numbers));
		s->numbers[s->count++] = json_member_int(j, "message_size_bytes", -1);
	}
	json_decref(j);
}

static enum rc see_entry(void *arg, const struct logbook_entry *x, struct err *e)
{
	(void)e;
	assert_true(x->kind < LOG_KINDS);
	see_line(arg, x->text);
	return RC_OK;
}

static struct seen *read_sealed(struct fixture *f)
{
	struct seen *s = mem_new(sizeof(*s));
	const struct logbook_reader r = { see_entry, NULL, s };
	struct logbook_place place = { 0 };
	struct logbook *b;

	EXPECT_OK(logbook_open(&b, f->data, f->kr, &f->e), &f->e);
	EXPECT_OK(logbook_read(b, &place, &r, &f->e), &f->e);
	logbook_close(&b);
	return s;
}

static struct seen *read_plain(struct fixture *f, const char *path)
{
	struct seen *s = mem_new(sizeof(*s));
	struct buf bytes;
	struct slice rest;

	buf_init(&bytes, 1 << 24);
	EXPECT_OK(file_read_all(path, &bytes, &f->e), &f->e);
	rest = buf_slice(&bytes);
	while (rest.len)
		see_line(s, slice_cut(rest, '\n', &rest));
	buf_free(&bytes);
	return s;
}

static struct seen *read_all(struct fixture *f)
{
	logs_flush(f->l);
	return f->opt.where[0] == LOG_PLAIN ? read_plain(f, f->path) : read_sealed(f);
}

static void expect(struct fixture *f, const int64_t *numbers, size_t count)
{
	struct seen *s = read_all(f);

	assert_int_equal(s->broken, 0);
	assert_int_equal(s->count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(s->numbers[i], numbers[i]);
	free(s);
}

static void test_written_when_committed(void **state)
{
	static const enum log_where both[] = { LOG_PLAIN, LOG_SEALED };

	(void)state;
	for (size_t i = 0; i < COUNT(both); i++) {
		struct fixture f;
		size_t mark;

		begin(&f, both[i]);
		tell(&f, 1);
		tell(&f, 2);
		expect(&f, NULL, 0); /* not on disk yet: nothing is told */
		mark = logs_mark(f.l);
		tell(&f, 3);
		logs_undo(f.l, mark);
		logs_commit(f.l);
		expect(&f, (const int64_t[]) { 1, 2 }, 2);
		tell(&f, 4);
		logs_forget(f.l); /* the pipeline takes it back, and does it again */
		tell(&f, 4);
		logs_commit(f.l);
		logs_commit(f.l);
		expect(&f, (const int64_t[]) { 1, 2, 4 }, 3);
		tell(&f, 5);
		logs_commit(f.l);
		logs_free(&f.l); /* writes what was committed */
		start(&f);
		tell(&f, 6);
		logs_commit(f.l);
		expect(&f, (const int64_t[]) { 1, 2, 4, 5, 6 }, 5);
		end(&f);
	}
}

static void test_nowhere(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, LOG_NOWHERE);
	assert_null(f.l);
	assert_false(logs_wants(f.l, LOG_APPLICATION));
	logs_commit(f.l);
	logs_forget(f.l);
	logs_flush(f.l);
	logs_reopen(f.l);
	assert_false(logs_policy(f.l, slice_of(NULL, 0)));
	end(&f);
}

/* What was not asked for is nonsense. */
static void test_policy_not_asked_for(void **state)
{
	uint8_t none[16] = { 0 };
	struct fixture f;

	(void)state;
	begin(&f, LOG_PLAIN);
	assert_false(logs_policy(f.l, slice_of(none, sizeof(none))));
	end(&f);
	begin(&f, LOG_SEALED);
	logs_free(&f.l);
	f.opt.where[LOG_POLICY_DEBUG] = LOG_SEALED;
	start(&f);
	assert_true(logs_policy(f.l, slice_of(none, sizeof(none))));
	assert_false(logs_policy(f.l, slice_of(none, 15)));
	end(&f);
}

static void test_rate(void **state)
{
	struct fixture f;
	struct logs_totals n;
	struct seen *s;

	(void)state;
	begin(&f, LOG_PLAIN);
	logs_free(&f.l);
	f.opt.rate = 10;
	start(&f);
	for (unsigned i = 0; i < 500; i++)
		tell(&f, i);
	logs_commit(f.l);
	logs_count(f.l, &n);
	logs_free(&f.l); /* the end tells the gap */
	s = read_plain(&f, f.path);
	assert_in_range(s->count, 10, 30); /* a slow machine may see seconds pass */
	assert_true(s->gaps >= 1);
	assert_int_equal((int64_t)s->count + s->left_out, 500);
	assert_int_equal(n.left_out, s->left_out);
	free(s);
	end(&f);
}

static void test_torn_line(void **state)
{
	struct fixture f;
	struct seen *s;
	struct buf bytes;

	(void)state;
	begin(&f, LOG_PLAIN);
	tell(&f, 1);
	logs_commit(f.l);
	logs_free(&f.l);
	buf_init(&bytes, 1 << 20);
	EXPECT_OK(file_read_all(f.path, &bytes, &f.e), &f.e);
	assert_int_equal(buf_add_str(&bytes, "{\"torn\":\"by a ki"), RC_OK);
	EXPECT_OK(file_replace(f.path, buf_slice(&bytes), &f.e), &f.e);
	buf_free(&bytes);
	start(&f);
	tell(&f, 2);
	logs_commit(f.l);
	s = read_all(&f);
	assert_int_equal(s->broken, 1);
	assert_int_equal(s->count, 2);
	assert_int_equal(s->numbers[1], 2);
	free(s);
	end(&f);
}

static void test_rotated(void **state)
{
	struct fixture f;
	struct seen *s;
	char *old;

	(void)state;
	begin(&f, LOG_PLAIN);
	old = scratch_path(&f.s, "application.log.1");
	tell(&f, 1);
	logs_commit(f.l);
	logs_flush(f.l);
	EXPECT_OK(file_rename(f.path, old, &f.e), &f.e);
	tell(&f, 2); /* nobody said so yet */
	logs_commit(f.l);
	logs_flush(f.l);
	logs_reopen(f.l);
	logs_flush(f.l);
	tell(&f, 3);
	logs_commit(f.l);
	expect(&f, (const int64_t[]) { 3 }, 1);
	s = read_plain(&f, old);
	assert_int_equal(s->count, 2);
	free(s);
	EXPECT_OK(file_rename(f.path, old, &f.e), &f.e);
	assert_int_equal(mkdir(f.path, 0700), 0); /* no place for a file: the old one goes on */
	logs_reopen(f.l);
	logs_flush(f.l);
	tell(&f, 4);
	logs_commit(f.l);
	logs_flush(f.l);
	s = read_plain(&f, old);
	assert_int_equal(s->numbers[s->count - 1], 4);
	free(s);
	free(old);
	end(&f);
}

/* Who can write into the log's folder mustn't have mmd write into its own, by links. */
static void test_link_into_the_data(void **state)
{
	struct fixture f;
	struct file *file;
	uint64_t before;
	uint64_t after;
	char *ring;

	(void)state;
	begin(&f, LOG_PLAIN);
	ring = path_join(f.data, "keys.a");
	EXPECT_OK(file_open(&file, ring, FILE_READ, &f.e), &f.e);
	EXPECT_OK(file_size(file, &before, &f.e), &f.e);
	EXPECT_OK(file_remove(f.path, &f.e), &f.e);
	assert_int_equal(symlink(ring, f.path), 0);
	logs_reopen(f.l);
	logs_flush(f.l);
	tell(&f, 1);
	logs_commit(f.l);
	logs_flush(f.l);
	EXPECT_OK(file_size(file, &after, &f.e), &f.e);
	assert_int_equal(before, after);
	file_close(&file);
	free(ring);
	end(&f);
}

/* A plain file grows to its limit, and on once it was cut (copytruncate). */
static void test_limit_of_a_plain_file(void **state)
{
	struct fixture f;
	struct logs_totals n;
	struct file *file;

	(void)state;
	begin(&f, LOG_PLAIN);
	logs_free(&f.l);
	f.opt.max_bytes = 1000;
	start(&f);
	for (unsigned i = 0; i < 20; i++) {
		tell(&f, i);
		logs_commit(f.l);
		logs_flush(f.l);
	}
	logs_count(f.l, &n);
	assert_int_equal(n.written + n.lost, 20);
	assert_true(n.written >= 1 && n.lost >= 10);
	EXPECT_OK(file_open(&file, f.path, FILE_WRITE, &f.e), &f.e);
	EXPECT_OK(file_truncate(file, 0, &f.e), &f.e);
	file_close(&file);
	tell(&f, 77);
	logs_commit(f.l);
	expect(&f, (const int64_t[]) { 77 }, 1);
	end(&f);
}

/* A full disk: records are lost and counted, nobody waits, and it goes on by itself. */
static void test_full_disk(void **state)
{
	static const enum log_where both[] = { LOG_PLAIN, LOG_SEALED };

	(void)state;
	for (size_t i = 0; i < COUNT(both); i++) {
		struct fixture f;
		struct logs_totals n;

		begin(&f, both[i]);
		tell(&f, 1);
		logs_commit(f.l);
		logs_flush(f.l);
		fault_arm(FAULT_WRITE, 1, ENOSPC, true);
		tell(&f, 2);
		logs_commit(f.l);
		logs_flush(f.l);
		assert_true(fault_disarm());
		logs_count(f.l, &n);
		assert_int_equal(n.lost, 1);
		assert_int_equal(n.written, 1);
		fault_later(60000);
		tell(&f, 3);
		logs_commit(f.l);
		expect(&f, (const int64_t[]) { 1, 3 }, 2);
		fault_later(0);
		end(&f);
	}
}

/* The last bytes of the mail's disk are the mail's. */
static void test_little_room(void **state)
{
	struct fixture f;
	struct logs_totals n;

	(void)state;
	begin(&f, LOG_SEALED);
	f.no_room = true;
	tell(&f, 1);
	logs_commit(f.l);
	expect(&f, NULL, 0);
	f.no_room = false;
	tell(&f, 2);
	logs_commit(f.l);
	expect(&f, (const int64_t[]) { 2 }, 1);
	logs_count(f.l, &n);
	assert_int_equal(n.lost, 1);
	assert_int_equal(n.written, 1);
	end(&f);
}

/* More than the queue holds before its checkpoint: bounded, and counted. */
static void test_queue_is_bounded(void **state)
{
	struct fixture f;
	struct logs_totals n;

	(void)state;
	begin(&f, LOG_SEALED);
	logs_free(&f.l);
	f.opt.rate = 100000;
	start(&f);
	for (unsigned i = 0; i < 30000; i++)
		tell(&f, i);
	assert_true(logs_mark(f.l) <= (size_t)4 << 20);
	logs_commit(f.l);
	logs_flush(f.l);
	logs_count(f.l, &n);
	assert_true(n.lost > 1000 && n.written > 1000);
	assert_int_equal(n.written + n.lost, 30000);
	end(&f);
}

/* What is more than there may be is forgotten at once: a flood writes gigabytes in a minute. */
static void test_limit_of_the_sealed_log(void **state)
{
	struct fixture f;
	struct logbook *b;
	struct seen *s;
	size_t files;
	uint64_t bytes;

	(void)state;
	begin(&f, LOG_SEALED);
	logs_free(&f.l);
	f.opt.rate = 100000;
	start(&f);
	for (unsigned i = 0; i < 9000; i++) {
		tell(&f, i);
		if (i % 3000 != 2999)
			continue;
		logs_commit(f.l);
		logs_flush(f.l);
	}
	EXPECT_OK(logbook_open(&b, f.data, f.kr, &f.e), &f.e);
	logbook_count(b, &files, &bytes);
	logbook_close(&b);
	assert_true(bytes <= f.opt.max_bytes && bytes > f.opt.max_bytes / 2);
	s = read_all(&f);
	assert_true(s->count > 0);
	assert_int_equal(s->numbers[s->count - 1], 8999);
	free(s);
	end(&f);
}

static void test_no_regular_file(void **state)
{
	struct fixture f;
	struct file *file = NULL;
	char *path;

	(void)state;
	begin(&f, LOG_NOWHERE);
	path = scratch_path(&f.s, "fifo");
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(logs_open_file(path, NULL, &file, &f.e), RC_INVALID);
	assert_null(file);
	assert_int_not_equal(logs_open_file(f.s.dir, NULL, &file, &f.e), RC_OK);
	assert_int_not_equal(logs_open_file("/nonexistent/x.log", NULL, &file, &f.e), RC_OK);
	free(path);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_written_when_committed),
		cmocka_unit_test(test_nowhere),
		cmocka_unit_test(test_policy_not_asked_for),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_torn_line),
		cmocka_unit_test(test_rotated),
		cmocka_unit_test(test_link_into_the_data),
		cmocka_unit_test(test_limit_of_a_plain_file),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_little_room),
		cmocka_unit_test(test_queue_is_bounded),
		cmocka_unit_test(test_limit_of_the_sealed_log),
		cmocka_unit_test(test_no_regular_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
