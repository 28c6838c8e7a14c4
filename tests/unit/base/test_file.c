#include "base/file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/test.h"

struct fixture {
	char dir[32];
	char *path;
};

static int setup(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));

	memcpy(f->dir, "/tmp/mm-file-XXXXXX", 20);
	assert_non_null(mkdtemp(f->dir));
	f->path = path_join(f->dir, "one");
	*state = f;
	return 0;
}

static enum rc remove_one(void *arg, const char *name, struct err *e)
{
	char *path = path_join(arg, name);
	enum rc rc = file_remove(path, e);

	if (rc != RC_OK)
		rc = rmdir(path) == 0 ? RC_OK : rc;
	free(path);
	return rc;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };

	EXPECT_OK(dir_list(f->dir, remove_one, f->dir, &e), &e);
	assert_int_equal(rmdir(f->dir), 0);
	free(f->path);
	free(f);
	return 0;
}

static void test_modes(void **state)
{
	struct fixture *f = *state;
	struct file *file;
	struct err e = { 0 };
	struct stat st;

	assert_int_equal(file_open(&file, f->path, FILE_READ, &e), RC_NOTFOUND);
	assert_null(file);
	assert_non_null(strstr(e.text, f->path));
	assert_int_equal(file_open(&file, f->path, FILE_WRITE, &e), RC_NOTFOUND);
	assert_false(file_exists(f->path));
	EXPECT_OK(file_open(&file, f->path, FILE_CREATE, &e), &e);
	assert_string_equal(file_name(file), f->path);
	assert_int_equal(fstat(file_fd(file), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	file_close(&file);
	assert_null(file);
	file_close(&file);
	assert_true(file_exists(f->path));
	assert_int_equal(file_open(&file, f->path, FILE_CREATE, &e), RC_EXISTS);
	EXPECT_OK(file_open(&file, f->path, FILE_APPEND, &e), &e);
	file_close(&file);
	EXPECT_OK(file_open(&file, f->path, FILE_READ, &e), &e);
	assert_int_equal(file_write_at(file, slice_str("x"), 0, &e), RC_IO);
	file_close(&file);
}

static void test_positions(void **state)
{
	struct fixture *f = *state;
	struct file *file;
	struct err e = { 0 };
	char got[16] = "";
	uint64_t size;
	size_t n;

	EXPECT_OK(file_open(&file, f->path, FILE_CREATE, &e), &e);
	EXPECT_OK(file_write_at(file, slice_str("world"), 5, &e), &e);
	EXPECT_OK(file_write_at(file, slice_str("hello"), 0, &e), &e);
	EXPECT_OK(file_write_at(file, slice_of(NULL, 0), 100, &e), &e);
	EXPECT_OK(file_size(file, &size, &e), &e);
	assert_int_equal(size, 10);
	EXPECT_OK(file_read_at(file, got, 10, 0, &e), &e);
	assert_string_equal(got, "helloworld");
	assert_int_equal(file_read_at(file, got, 6, 5, &e), RC_CORRUPT);
	assert_non_null(strstr(e.text, "ends at 10"));
	EXPECT_OK(file_read_some(file, got, 6, 5, &n, &e), &e);
	assert_int_equal(n, 5);
	EXPECT_OK(file_read_some(file, got, 6, 50, &n, &e), &e);
	assert_int_equal(n, 0);
	EXPECT_OK(file_truncate(file, 4, &e), &e);
	EXPECT_OK(file_size(file, &size, &e), &e);
	assert_int_equal(size, 4);
	EXPECT_OK(file_fill_zero(file, 100000, &e), &e);
	EXPECT_OK(file_size(file, &size, &e), &e);
	assert_int_equal(size, 100000);
	EXPECT_OK(file_read_at(file, got, 8, 0, &e), &e);
	assert_memory_equal(got, "hell\0\0\0\0", 8);
	EXPECT_OK(file_fill_zero(file, 10, &e), &e);
	EXPECT_OK(file_size(file, &size, &e), &e);
	assert_int_equal(size, 100000);
	file_close(&file);
}

/* More vectors than the kernel takes at once, empty ones among them. */
static void test_vectors(void **state)
{
	enum { COUNT_OF = 3 * IOV_MAX + 7 };
	struct fixture *f = *state;
	struct iovec *iov = mem_array(COUNT_OF, sizeof(*iov));
	static char digits[] = "0123456789";
	struct file *file;
	struct err e = { 0 };
	struct buf all;

	for (size_t i = 0; i < COUNT_OF; i++)
		iov[i] = (struct iovec) { digits + i % 10, i % 4 == 3 ? 0 : 1 };
	EXPECT_OK(file_open(&file, f->path, FILE_CREATE, &e), &e);
	EXPECT_OK(file_writev_at(file, iov, COUNT_OF, 3, &e), &e);
	file_close(&file);
	buf_init(&all, 1 << 20);
	EXPECT_OK(file_read_all(f->path, &all, &e), &e);
	size_t at = 3;
	for (size_t i = 0; i < COUNT_OF; i++)
		if (i % 4 != 3)
			assert_int_equal(all.at[at++], '0' + i % 10);
	assert_int_equal(at, all.len);
	buf_free(&all);
	free(iov);
}

static void test_proof(void **state)
{
	struct fixture *f = *state;
	const struct durable *proof = NULL;
	struct file *file;
	struct err e = { 0 };

	EXPECT_OK(file_open(&file, f->path, FILE_CREATE, &e), &e);
	EXPECT_OK(file_write_at(file, slice_str("x"), 0, &e), &e);
	EXPECT_OK(file_sync(file, &proof, &e), &e);
	assert_non_null(proof);
	EXPECT_OK(file_sync(file, NULL, &e), &e);
	file_close(&file);
}

/* A pipe can't be synced: after that nothing is written, cut or proved. */
static void test_failed_sync_is_final(void **state)
{
	const struct durable *proof;
	struct err e = { 0 };
	struct file *file;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	file = file_adopt(fds[1], "pipe");
	proof = (const struct durable *)(const void *)fds;
	assert_int_equal(file_sync(file, &proof, &e), RC_IO);
	assert_null(proof);
	assert_int_equal(file_sync(file, &proof, &e), RC_IO);
	assert_null(proof);
	assert_string_equal(e.text, "sync pipe: an earlier sync failed");
	assert_int_equal(file_write_at(file, slice_str("x"), 0, &e), RC_IO);
	assert_string_equal(e.text, "write pipe: an earlier sync failed");
	assert_int_equal(file_truncate(file, 0, &e), RC_IO);
	assert_int_equal(file_fill_zero(file, 10, &e), RC_IO);
	file_close(&file);
	close(fds[0]);
}

static void test_full_disk(void **state)
{
	struct file *file;
	struct err e = { 0 };

	(void)state;
	EXPECT_OK(file_open(&file, "/dev/full", FILE_WRITE, &e), &e);
	assert_int_equal(file_write_at(file, slice_str("x"), 0, &e), RC_NOSPACE);
	file_close(&file);
}

static void test_replace(void **state)
{
	struct fixture *f = *state;
	char *fresh = path_join(f->dir, "one.new");
	char *nowhere = path_join(f->dir, "none/one");
	struct err e = { 0 };
	struct stat st;
	struct buf got;

	EXPECT_OK(file_replace(f->path, slice_str("a longer first content"), &e), &e);
	EXPECT_OK(file_replace(fresh, slice_str("what an interrupted one left"), &e), &e);
	EXPECT_OK(file_replace(f->path, slice_str("second"), &e), &e);
	assert_false(file_exists(fresh));
	buf_init(&got, 100);
	EXPECT_OK(file_read_all(f->path, &got, &e), &e);
	EXPECT_SLICE("second", buf_slice(&got), "second");
	buf_free(&got);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(file_replace(nowhere, slice_str("x"), &e), RC_NOTFOUND);
	buf_init(&got, 3);
	assert_int_equal(file_read_all(f->path, &got, &e), RC_LIMIT);
	assert_int_equal(got.len, 0);
	buf_free(&got);
	assert_int_equal(file_read_all(nowhere, &got, &e), RC_NOTFOUND);
	free(fresh);
	free(nowhere);
}

static void test_lock(void **state)
{
	struct fixture *f = *state;
	struct file *one;
	struct file *two;
	struct err e = { 0 };

	EXPECT_OK(file_open(&one, f->path, FILE_APPEND, &e), &e);
	EXPECT_OK(file_open(&two, f->path, FILE_APPEND, &e), &e);
	EXPECT_OK(file_lock(one, &e), &e);
	assert_int_equal(file_lock(two, &e), RC_AGAIN);
	file_close(&one);
	EXPECT_OK(file_lock(two, &e), &e);
	file_close(&two);
}

/* A child between fork and exec has copies of all descriptors. */
static void test_lock_that_a_child_has_too(void **state)
{
	struct fixture *f = *state;
	struct file *one;
	struct file *two;
	struct err e = { 0 };
	int hold[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	EXPECT_OK(file_open(&one, f->path, FILE_APPEND, &e), &e);
	EXPECT_OK(file_open(&two, f->path, FILE_APPEND, &e), &e);
	EXPECT_OK(file_lock(one, &e), &e);
	pid = fork();
	if (pid == 0) {
		(void)close(hold[1]);
		_exit(read(hold[0], &byte, 1) == 0 ? 0 : 1);
	}
	assert_true(pid > 0);
	assert_int_equal(file_lock(two, &e), RC_AGAIN);
	file_close(&one);
	EXPECT_OK(file_lock(two, &e), &e);
	file_close(&two);
	(void)close(hold[1]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	(void)close(hold[0]);
}

static enum rc note_name(void *arg, const char *name, struct err *e)
{
	struct buf *names = arg;

	if (strcmp(name, "c") == 0)
		return err_set(e, RC_HELD, "stop");
	return buf_addf(names, "%s ", name);
}

static void test_folders(void **state)
{
	struct fixture *f = *state;
	static const char *const made[] = { "b", "a", "B" };
	struct err e = { 0 };
	struct buf names;
	uint64_t bytes = 0;
	uint64_t whole = 0;
	char *deep = path_join(f->dir, "x/y");

	for (size_t i = 0; i < COUNT(made); i++) {
		char *path = path_join(f->dir, made[i]);

		EXPECT_OK(file_replace(path, slice_str(""), &e), &e);
		free(path);
	}
	buf_init(&names, 100);
	EXPECT_OK(dir_list(f->dir, note_name, &names, &e), &e);
	assert_string_equal(buf_text(&names), "B a b ");
	EXPECT_OK(dir_make(f->path, &e), &e);
	EXPECT_OK(dir_make(f->path, &e), &e);
	assert_true(dir_exists(f->path));
	assert_false(dir_exists(deep));
	assert_int_equal(dir_make(deep, &e), RC_NOTFOUND);
	assert_int_equal(rmdir(f->path), 0);
	char *c = path_join(f->dir, "c");
	EXPECT_OK(file_replace(c, slice_str(""), &e), &e);
	assert_false(dir_exists(c));
	buf_clear(&names);
	assert_int_equal(dir_list(f->dir, note_name, &names, &e), RC_HELD);
	assert_string_equal(buf_text(&names), "B a b ");
	assert_int_equal(dir_list(deep, note_name, &names, &e), RC_NOTFOUND);
	EXPECT_OK(dir_sync(f->dir, &e), &e);
	assert_int_equal(dir_sync(deep, &e), RC_NOTFOUND);
	EXPECT_OK(dir_space(f->dir, &bytes, &whole, &e), &e);
	assert_true(bytes > 0 && bytes <= whole);
	free(c);
	free(deep);
	buf_free(&names);
}

static void test_names(void **state)
{
	struct fixture *f = *state;
	char *to = path_join(f->dir, "two");
	struct err e = { 0 };

	assert_int_equal(file_remove(f->path, &e), RC_NOTFOUND);
	assert_int_equal(file_rename(f->path, to, &e), RC_NOTFOUND);
	EXPECT_OK(file_replace(f->path, slice_str("x"), &e), &e);
	EXPECT_OK(file_rename(f->path, to, &e), &e);
	assert_false(file_exists(f->path));
	EXPECT_OK(file_remove(to, &e), &e);
	assert_false(file_exists(to));
	free(to);
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static uid_t owner_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_uid;
}

static void make_file(const char *path, enum file_mode mode)
{
	struct err e = { 0 };
	struct file *file;

	EXPECT_OK(file_open(&file, path, mode, &e), &e);
	file_close(&file);
}

static void make_three(const char *folder, uid_t owner)
{
	static const char *const names[] = { "one", "two", "folder" };
	char *at[COUNT(names)];
	struct err e = { 0 };

	for (size_t i = 0; i < COUNT(names); i++)
		at[i] = path_join(folder, names[i]);
	make_file(at[0], FILE_CREATE);
	make_file(at[1], FILE_APPEND);
	EXPECT_OK(dir_make(at[2], &e), &e);
	for (size_t i = 0; i < COUNT(names); i++) {
		assert_int_equal(owner_of(at[i]), owner);
		assert_int_equal(remove(at[i]), 0);
		free(at[i]);
	}
}

/* As a tool that root runs on the directory of an mmd of another user. */
static void test_what_root_makes(void **state)
{
	static const char *const ways[] = { "data", "data/", "./data", "other" };
	struct fixture *f = *state;
	struct file *file;
	struct err e = { 0 };
	char *back = realpath(".", NULL);

	if (geteuid() != 0)
		skip();
	assert_int_equal(chdir(f->dir), 0);
	EXPECT_OK(dir_make("data", &e), &e);
	EXPECT_OK(dir_make("database", &e), &e);
	assert_int_equal(chown("data", 65534, 65534), 0);
	assert_int_equal(symlink("data", "other"), 0);
	assert_int_equal(symlink("..", "data/out"), 0);
	for (size_t i = 0; i < COUNT(ways); i++) {
		EXPECT_OK(dir_keep_owner(ways[i], &e), &e);
		for (size_t k = 0; k < COUNT(ways); k++)
			make_three(ways[k], 65534);
		/* Elsewhere nothing is given away, nor where the owner led it. */
		make_three("database", 0);
		make_three("data/out", 0);
	}
	/* What was there already stays whose it is, also behind a link. */
	make_file("was", FILE_CREATE);
	assert_int_equal(symlink("../was", "data/link"), 0);
	make_file("data/link", FILE_APPEND);
	assert_int_equal(file_open(&file, "data/link", FILE_CREATE, &e), RC_EXISTS);
	assert_int_equal(owner_of("was"), 0);
	/* Nor where the owner is root. */
	EXPECT_OK(dir_keep_owner("/", &e), &e);
	make_three("data", 0);
	assert_int_equal(remove("data/link"), 0);
	assert_int_equal(remove("data/out"), 0);
	assert_int_equal(chdir(back), 0);
	free(back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(test_modes),
		WITH_DIR(test_positions),
		WITH_DIR(test_vectors),
		WITH_DIR(test_proof),
		WITH_DIR(test_what_root_makes),
		cmocka_unit_test(test_failed_sync_is_final),
		cmocka_unit_test(test_full_disk),
		WITH_DIR(test_replace),
		WITH_DIR(test_lock),
		WITH_DIR(test_lock_that_a_child_has_too),
		WITH_DIR(test_folders),
		WITH_DIR(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
