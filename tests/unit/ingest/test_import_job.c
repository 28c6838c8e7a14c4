/* tests/unit/ingest/test_import_job.c - files of addresses, in pieces and steps, across restarts */
#include "ingest/import_job.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "ingest/address_list.h"
#include "ingest/config.h"
#include "ingest/members.h"
#include "ingest/tokens.h"
#include "tests/unit/ingest/quoted.h"

struct fixture {
	char dir[32];
	char *path;
	struct db *db;
	struct config *config;
	struct apply_result r;
	struct resource_limits limits;
	char list[RESOURCE_ID_ROOM];
	char job[RESOURCE_ID_ROOM];
	struct err e;
};

#define KEEP 12

static const uint8_t key[KEY_BYTES] = { 7 };

static void reopen(struct fixture *f)
{
	apply_result_free(&f->r);
	config_unref(&f->config);
	db_close(&f->db);
	EXPECT_OK(db_open(&f->db, f->path, key, DB_CREATE, &f->e), &f->e);
	EXPECT_OK(resources_open(f->db, &f->e), &f->e);
	EXPECT_OK(resources_compile(f->db, NULL, &f->config, &f->e), &f->e);
	f->r.base = f->config;
}

static int setup(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));
	json_t *json = quoted("{'AddressListName':'vip'}");

	memcpy(f->dir, "/tmp/mm-import-XXXXXX", 22);
	assert_non_null(mkdtemp(f->dir));
	f->path = path_join(f->dir, "control.db");
	reopen(f);
	EXPECT_OK(resources_create(f->db, RESOURCE_ADDRESS_LIST, json, &f->r, &f->e), &f->e);
	(void)snprintf(f->list, sizeof(f->list), "%s", f->r.changes[0].id);
	json_decref(json);
	reopen(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	apply_result_free(&f->r);
	config_unref(&f->config);
	db_close(&f->db);
	EXPECT_OK(db_remove(f->path, &f->e), &f->e);
	assert_int_equal(rmdir(f->dir), 0);
	free(f->path);
	free(f);
	return 0;
}

static void create(struct fixture *f, enum import_format format, struct slice file, size_t piece)
{
	EXPECT_OK(import_job_create(f->db, slice_str(f->list), slice_str("job"), format, NULL, KEEP,
	                            f->job, &f->e),
	          &f->e);
	for (size_t at = 0; at < file.len; at += piece)
		EXPECT_OK(import_job_add(f->db, slice_str(f->job), slice_part(file, at, piece),
		                         &f->e),
		          &f->e);
}

static enum rc one_step(struct fixture *f)
{
	apply_result_free(&f->r);
	f->r.base = f->config;
	return import_job_step(f->db, &f->r, &f->e);
}

static unsigned run(struct fixture *f)
{
	unsigned steps = 0;
	enum rc rc;

	EXPECT_OK(import_job_start(f->db, slice_str(f->job), &f->e), &f->e);
	while ((rc = one_step(f)) == RC_OK)
		steps++;
	assert_int_equal(rc, RC_NOTFOUND);
	return steps;
}

static void expect_job(struct fixture *f, const char *status, int64_t imported, int64_t failed,
                       const char *error)
{
	json_t *job = NULL;
	char got[400];

	EXPECT_OK(import_job_get(f->db, slice_str(f->job), &job, &f->e), &f->e);
	(void)snprintf(got, sizeof(got), "%s %lld %lld %s",
	               (const char *)json_member_text(job, "Status").at,
	               (long long)json_member_int(job, "ImportedItemsCount", -1),
	               (long long)json_member_int(job, "FailedItemsCount", -1),
	               json_member_text(job, "Error").len
	                       ? (const char *)json_member_text(job, "Error").at
	                       : "");
	if (!slice_equal(json_member_text(job, "Status"), slice_str(status)) ||
	    json_member_int(job, "ImportedItemsCount", -1) != imported ||
	    json_member_int(job, "FailedItemsCount", -1) != failed || !strstr(got, error))
		fail_msg("%s instead of %s %lld %lld %s", got, status, (long long)imported,
		         (long long)failed, error);
	json_decref(job);
}

static int64_t members(struct fixture *f)
{
	int64_t n = 0;

	EXPECT_OK(members_count(f->db, slice_str(f->list), &n, &f->e), &f->e);
	return n;
}

static bool covers(struct fixture *f, const char *address)
{
	return address_list_has(config_address_list(f->config, slice_str("vip")),
	                        slice_str(address));
}

static const struct {
	const char *name;
	enum import_format format;
	const char *file; /* ' stands for " in JSON */
	const char *status;
	int imported;
	int failed;
	const char *error;
} files[] = {
	{ "csv", IMPORT_CSV, "address\na@b.example\r\n\r\n\"c@d.example\"\n*@e.example",
	  "COMPLETED", 3, 0, "" },
	{ "mark", IMPORT_CSV,
	  "\xef\xbb\xbf"
	  "Address\r\na@b.example\n",
	  "COMPLETED", 1, 0, "" },
	{ "twice", IMPORT_CSV, "address\na@b.example\nA@B.example\n", "COMPLETED", 2, 0, "" },
	{ "bad ones", IMPORT_CSV, "address\nno body\na@b.example\na b@c\nx,y\n", "COMPLETED", 1, 3,
	  "" },
	{ "no header", IMPORT_CSV, "a@b.example\n", "FAILED", 0, 0, "first line" },
	{ "no end of header", IMPORT_CSV, "addres", "FAILED", 0, 0, "first line" },
	{ "header alone", IMPORT_CSV, "address", "COMPLETED", 0, 0, "" },
	{ "json", IMPORT_JSON,
	  " {'items' : [ {'address':'a@b.example'} , {'x':[{}],'address':'c@d.example'}]\n}\n",
	  "COMPLETED", 2, 0, "" },
	{ "json, empty", IMPORT_JSON, "{'items':[]}", "COMPLETED", 0, 0, "" },
	{ "json, bad ones", IMPORT_JSON, "{'items':[{},{'address':7},{'address':'a@b.example'}]}",
	  "COMPLETED", 1, 2, "" },
	{ "json, brackets in texts", IMPORT_JSON,
	  "{'items':[{'x':'}]\\\\','address':'a@b.example'},{'address':'c@d.example'}]}",
	  "COMPLETED", 2, 0, "" },
	{ "json, cut", IMPORT_JSON, "{'items':[{'address':'a@b.example'}", "FAILED", 1, 0,
	  "a JSON file" },
	{ "json, cut in an item", IMPORT_JSON, "{'items':[{'address':'a@b.ex", "FAILED", 0, 0,
	  "a JSON" },
	{ "json, no comma", IMPORT_JSON,
	  "{'items':[{'address':'a@b.example'} {'address':'c@d.example'}]}", "FAILED", 1, 0,
	  "a JSON" },
	{ "json, comma at the end", IMPORT_JSON, "{'items':[{'address':'a@b.example'},]}", "FAILED",
	  1, 0, "a JSON" },
	{ "json, more behind", IMPORT_JSON, "{'items':[]} x", "FAILED", 0, 0, "a JSON" },
	{ "json, a list", IMPORT_JSON, "['a@b.example']", "FAILED", 0, 0, "a JSON" },
};

static void test_formats(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT(files); i++) {
		char *copy = files[i].format == IMPORT_JSON ? quoted_text(files[i].file)
		                                            : mem_string(files[i].file);

		create(f, files[i].format, slice_str(copy), 7);
		(void)run(f);
		expect_job(f, files[i].status, files[i].imported, files[i].failed, files[i].error);
		free(copy);
	}
	assert_true(covers(f, "a@b.example") && covers(f, "x@e.example"));
	assert_false(covers(f, "x@y.example"));
}

/* More than a window of the file, in pieces of odd size, with a restart after each step: each
 * address is there once and counted once. */
static void many(struct fixture *f, enum import_format format)
{
	enum { N = 12345 };
	struct buf file;
	unsigned steps = 0;
	enum rc rc;

	buf_init(&file, 8 << 20);
	assert_int_equal(buf_add_str(&file, format == IMPORT_CSV ? "address\n" : "{\"items\":["),
	                 RC_OK);
	for (int i = 0; i < N; i++)
		assert_int_equal(
		        buf_addf(&file,
		                 format == IMPORT_CSV
		                         ? "%ssomebody.%d@a.rather.long.example\n"
		                         : "%s{\"address\":\"somebody.%d@a.rather.long.example\"}",
		                 i && format == IMPORT_JSON ? ",\n" : "", i),
		        RC_OK);
	if (format == IMPORT_JSON)
		assert_int_equal(buf_add_str(&file, "]}"), RC_OK);
	assert_true(file.len > 262144);
	create(f, format, buf_slice(&file), 99991);
	buf_free(&file);
	EXPECT_OK(import_job_start(f->db, slice_str(f->job), &f->e), &f->e);
	while ((rc = one_step(f)) == RC_OK) {
		steps++;
		assert_int_equal(members(f), MIN_OF(steps * IMPORT_JOB_STEP, (unsigned)N));
		assert_true(covers(f, "somebody.0@a.rather.long.example")); /* in use at once */
		if (steps % 3 == 0)
			reopen(f);
	}
	assert_int_equal(rc, RC_NOTFOUND);
	assert_true(steps >= N / IMPORT_JOB_STEP);
	expect_job(f, "COMPLETED", N, 0, "");
	assert_true(covers(f, "somebody.12344@a.rather.long.example"));
}

static void test_many_csv(void **state)
{
	many(*state, IMPORT_CSV);
}

static void test_many_json(void **state)
{
	many(*state, IMPORT_JSON);
}

static enum rc refuse(void *arg, const struct apply_result *r, struct config *c, struct err *e)
{
	(void)arg;
	(void)r;
	(void)c;
	return err_set(e, RC_IO, "the audit log is full");
}

static void test_life(void **state)
{
	struct fixture *f = *state;
	struct slice id;
	int64_t chunks;

	create(f, IMPORT_CSV, slice_str("address\nold@b.example\n"), 100);
	id = slice_str(f->job);
	EXPECT_OK(import_job_clear(f->db, id, &f->e), &f->e);
	assert_int_equal(import_job_start(f->db, id, &f->e), RC_EXISTS);
	EXPECT_OK(import_job_add(f->db, id, slice_str("address\na@b.example\n"), &f->e), &f->e);
	assert_int_equal(one_step(f), RC_NOTFOUND);
	EXPECT_OK(import_job_start(f->db, id, &f->e), &f->e);
	assert_int_equal(import_job_start(f->db, id, &f->e), RC_EXISTS);
	assert_int_equal(import_job_add(f->db, id, slice_str("x"), &f->e), RC_EXISTS);
	assert_int_equal(import_job_clear(f->db, id, &f->e), RC_EXISTS);
	/* What can't be accounted for isn't done; the step is made again. */
	f->r.before_commit = refuse;
	assert_int_equal(one_step(f), RC_IO);
	assert_int_equal(members(f), 0);
	assert_false(covers(f, "a@b.example"));
	f->r.before_commit = NULL;
	assert_int_equal(one_step(f), RC_OK);
	expect_job(f, "COMPLETED", 1, 0, "");
	assert_false(covers(f, "old@b.example"));
	assert_int_equal(import_job_stop(f->db, id, &f->e), RC_EXISTS);
	EXPECT_OK(db_int(f->db, "SELECT count(*) FROM import_chunk", -1, &chunks, &f->e), &f->e);
	assert_int_equal(chunks, 0);
	create(f, IMPORT_CSV, slice_str("address\nb@b.example\n"), 100);
	EXPECT_OK(import_job_start(f->db, slice_str(f->job), &f->e), &f->e);
	EXPECT_OK(import_job_stop(f->db, slice_str(f->job), &f->e), &f->e);
	EXPECT_OK(import_job_stop(f->db, slice_str(f->job), &f->e), &f->e);
	assert_int_equal(one_step(f), RC_NOTFOUND);
	expect_job(f, "STOPPED", 0, 0, "");
	assert_int_equal(import_job_start(f->db, slice_str("job-none"), &f->e), RC_NOTFOUND);
	assert_int_equal(import_job_create(f->db, slice_str("al-none"), slice_str("n"), IMPORT_CSV,
	                                   NULL, KEEP, f->job, &f->e),
	                 RC_NOTFOUND);
}

static void test_idle(void **state)
{
	struct fixture *f = *state;
	char old[RESOURCE_ID_ROOM];
	int64_t chunks;

	create(f, IMPORT_CSV, slice_str("address\na@b.example\n"), 100);
	memcpy(old, f->job, sizeof(old));
	create(f, IMPORT_CSV, slice_str("address\nb@b.example\n"), 100);
	EXPECT_OK(import_job_start(f->db, slice_str(f->job), &f->e), &f->e);
	EXPECT_OK(db_exec(f->db, "UPDATE import_job SET created_ms = 1", &f->e), &f->e);
	create(f, IMPORT_CSV, slice_str("address\nc@b.example\n"), 100);
	assert_int_equal(import_job_start(f->db, slice_str(old), &f->e), RC_EXISTS);
	memcpy(f->job, old, sizeof(old));
	expect_job(f, "FAILED", -1, -1, "not started within 7 days");
	EXPECT_OK(db_int(f->db, "SELECT count(*) FROM import_chunk", -1, &chunks, &f->e), &f->e);
	assert_int_equal(chunks, 2); /* of the one that is under way, and of the new one */
}

static void test_full(void **state)
{
	struct fixture *f = *state;

	f->limits.list_members = 2;
	f->r.limits = &f->limits;
	create(f, IMPORT_CSV,
	       slice_str("address\na@b.example\nb@b.example\na@b.example\nc@b.example\nd@b."
	                 "example\n"),
	       100);
	(void)run(f);
	expect_job(f, "FAILED", 3, 0, "the address list is full");
	assert_int_equal(members(f), 2);
}

/* Blanks without end, a line without end: no step is made for ever. */
static void test_long(void **state)
{
	struct fixture *f = *state;
	size_t n = 600000;
	char *text = mem_new(n);

	memset(text, ' ', n);
	memcpy(text, "{\"items\":[", 10);
	create(f, IMPORT_JSON, slice_of(text, n), n);
	assert_true(run(f) < 5);
	expect_job(f, "FAILED", 0, 0, "");
	memset(text, 'x', n);
	memcpy(text, "address\n", 8);
	create(f, IMPORT_CSV, slice_of(text, n), n);
	assert_true(run(f) < 5);
	expect_job(f, "FAILED", 0, 0, "a line of more than");
	free(text);
}

static void test_list_and_token(void **state)
{
	struct fixture *f = *state;
	json_t *parameters = quoted("{'Name':'n'}");
	json_t *others = quoted("{'Name':'m'}");
	struct token t = { slice_str("CreateAddressListImportJob"), slice_str("who"),
		           slice_str("t"), parameters };
	char first[RESOURCE_ID_ROOM];
	char again[RESOURCE_ID_ROOM];
	struct buf next;
	json_t *page;

	for (int i = 0; i < 3; i++)
		create(f, IMPORT_CSV, slice_str("address\n"), 100);
	EXPECT_OK(import_job_create(f->db, slice_str(f->list), slice_str("n"), IMPORT_CSV, &t, KEEP,
	                            first, &f->e),
	          &f->e);
	EXPECT_OK(import_job_create(f->db, slice_str(f->list), slice_str("n"), IMPORT_CSV, &t, KEEP,
	                            again, &f->e),
	          &f->e);
	assert_string_equal(first, again);
	t.parameters = others;
	assert_int_equal(import_job_create(f->db, slice_str(f->list), slice_str("m"), IMPORT_CSV,
	                                   &t, KEEP, again, &f->e),
	                 RC_EXISTS);
	buf_init(&next, 100);
	EXPECT_OK(import_job_list(f->db, slice_str(f->list), slice_str(""), 3, &page, &next, &f->e),
	          &f->e);
	assert_int_equal(json_array_size(page), 3);
	json_decref(page);
	EXPECT_OK(import_job_list(f->db, slice_str(f->list), buf_slice(&next), 3, &page, &next,
	                          &f->e),
	          &f->e);
	assert_int_equal(json_array_size(page), 1);
	json_decref(page);
	buf_free(&next);
	/* They go with their list. */
	apply_result_free(&f->r);
	EXPECT_OK(resources_delete(f->db, RESOURCE_ADDRESS_LIST, slice_str("vip"), &f->r, &f->e),
	          &f->e);
	assert_int_equal(import_job_get(f->db, slice_str(first), &page, &f->e), RC_NOTFOUND);
	json_decref(parameters);
	json_decref(others);
}

static size_t listed(struct fixture *f)
{
	struct buf next;
	json_t *page;
	size_t n;

	buf_init(&next, 100);
	EXPECT_OK(import_job_list(f->db, slice_str(f->list), slice_str(""), 1000, &page, &next,
	                          &f->e),
	          &f->e);
	n = json_array_size(page);
	json_decref(page);
	buf_free(&next);
	return n;
}

/* A list has so many jobs; the oldest that ended go, none that waits does, and few may wait. */
static void test_kept(void **state)
{
	struct fixture *f = *state;
	char ended[RESOURCE_ID_ROOM];
	char waiting[RESOURCE_ID_ROOM];
	json_t *job;

	create(f, IMPORT_CSV, slice_str("address\n"), 100);
	(void)snprintf(waiting, sizeof(waiting), "%s", f->job);
	for (int i = 0; i < KEEP - 1; i++) {
		create(f, IMPORT_CSV, slice_str("address\n"), 100);
		EXPECT_OK(import_job_stop(f->db, slice_str(f->job), &f->e), &f->e);
		if (i == 0)
			(void)snprintf(ended, sizeof(ended), "%s", f->job);
	}
	assert_int_equal(listed(f), KEEP);
	EXPECT_OK(import_job_get(f->db, slice_str(ended), &job, &f->e), &f->e);
	json_decref(job);
	for (int i = 1; i < IMPORT_JOB_OPEN; i++) {
		create(f, IMPORT_CSV, slice_str("address\n"), 100);
		assert_int_equal(listed(f), KEEP);
		assert_int_equal(import_job_get(f->db, slice_str(ended), &job, &f->e), RC_NOTFOUND);
	}
	assert_int_equal(import_job_create(f->db, slice_str(f->list), slice_str("n"), IMPORT_CSV,
	                                   NULL, KEEP, f->job, &f->e),
	                 RC_LIMIT);
	EXPECT_OK(import_job_stop(f->db, slice_str(waiting), &f->e), &f->e);
	create(f, IMPORT_CSV, slice_str("address\n"), 100);
	assert_int_equal(listed(f), KEEP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_formats, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_csv, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_json, setup, teardown),
		cmocka_unit_test_setup_teardown(test_life, setup, teardown),
		cmocka_unit_test_setup_teardown(test_idle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_list_and_token, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
