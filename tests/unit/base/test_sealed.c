#include "tests/unit/test.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sealed.h"

static void what_is_sealed_is_read_and_never_changed(void **state)
{
	struct slice got;
	struct err e = { 0 };
	int fd;

	(void)state;
	EXPECT_OK(sealed_new(&fd, "test", slice_str("some bytes"), &e), &e);
	EXPECT_OK(sealed_map(&got, fd, &e), &e);
	EXPECT_SLICE("mapped", got, "some bytes");
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 1), -1);
	assert_int_equal(ftruncate(fd, 100), -1);
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	(void)close(fd);
	EXPECT_SLICE("still mapped", got, "some bytes");
	sealed_unmap(&got);
	assert_int_equal(got.len, 0);
}

static void nothing_is_sealed_too(void **state)
{
	struct slice got;
	struct err e = { 0 };
	int fd;

	(void)state;
	EXPECT_OK(sealed_new(&fd, "test", slice_of(NULL, 0), &e), &e);
	EXPECT_OK(sealed_map(&got, fd, &e), &e);
	assert_int_equal(got.len, 0);
	sealed_unmap(&got);
	(void)close(fd);
}

static void what_its_writer_can_change_is_refused(void **state)
{
	const unsigned seals[] = { 0, F_SEAL_WRITE, F_SEAL_SHRINK | F_SEAL_GROW };
	struct slice got;
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT(seals); i++) {
		int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

		assert_int_equal(write(fd, "abc", 3), 3);
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals[i]), 0);
		assert_int_equal(sealed_map(&got, fd, &e), RC_INVALID);
		assert_int_equal(got.len, 0);
		(void)close(fd);
	}
	assert_int_equal(sealed_map(&got, 0, &e), RC_INVALID);
	assert_int_equal(sealed_map(&got, -1, &e), RC_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_sealed_is_read_and_never_changed),
		cmocka_unit_test(nothing_is_sealed_too),
		cmocka_unit_test(what_its_writer_can_change_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
