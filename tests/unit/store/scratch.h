/* tests/unit/store/scratch.h - a temporary folder, and random numbers that a printed seed repeats
 */
#ifndef MM_TESTS_UNIT_STORE_SCRATCH_H
#define MM_TESTS_UNIT_STORE_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/unit/test.h"

struct scratch {
	char dir[64];
};

static inline void scratch_make(struct scratch *s)
{
	temp_folder(s->dir, sizeof(s->dir));
}

static inline void scratch_remove_path(const char *path);

static inline enum rc scratch_remove_name(void *arg, const char *name, struct err *e)
{
	char *path = path_join(arg, name);

	(void)e;
	scratch_remove_path(path);
	free(path);
	return RC_OK;
}

static inline void scratch_remove_path(const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		char *dir = mem_string(path);

		(void)!dir_list(dir, scratch_remove_name, dir, NULL);
		free(dir);
		(void)rmdir(path);
	} else {
		(void)unlink(path);
	}
}

static inline void scratch_remove(struct scratch *s)
{
	scratch_remove_path(s->dir);
}

static inline char *scratch_path(const struct scratch *s, const char *name)
{
	return path_join(s->dir, name);
}

/* A copy of the folder `from` at `to`, which must not exist. */
static inline void scratch_copy(const char *from, const char *to);

static inline enum rc scratch_copy_name(void *arg, const char *name, struct err *e)
{
	const char *const *ends = arg;
	char *from = path_join(ends[0], name);
	char *to = path_join(ends[1], name);

	(void)e;
	scratch_copy(from, to);
	free(from);
	free(to);
	return RC_OK;
}

static inline void scratch_copy(const char *from, const char *to)
{
	const char *ends[2] = { from, to };
	struct stat st;
	struct err e = { 0 };

	assert_int_equal(stat(from, &st), 0);
	if (S_ISDIR(st.st_mode)) {
		EXPECT_OK(dir_make(to, &e), &e);
		EXPECT_OK(dir_list(from, scratch_copy_name, (void *)(uintptr_t)ends, &e), &e);
	} else {
		struct buf b;

		buf_init(&b, (size_t)1 << 30);
		EXPECT_OK(file_read_all(from, &b, &e), &e);
		EXPECT_OK(file_replace(to, buf_slice(&b), &e), &e);
		buf_free(&b);
	}
}

/* xorshift64*: the same numbers for the same seed everywhere. */
static inline uint64_t scratch_random(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return *seed * UINT64_C(2685821657736338717);
}

static inline uint64_t scratch_seed(void)
{
	const char *text = getenv("MM_TEST_SEED");
	uint64_t seed;

	if (!text || !slice_to_u64(slice_str(text), &seed))
		seed = (uint64_t)getpid() * 2654435761u + 1;
	print_message("seed %llu (MM_TEST_SEED repeats it)\n", (unsigned long long)seed);
	return seed | 1;
}

/* In ./check long, whose tests take their full counts. */
static inline bool scratch_long(void)
{
	const char *all = getenv("MM_LONG");

	return all && *all;
}

/* Loops over every call of something long: each third one, from a random one on; all with MM_LONG. */
static inline void scratch_stride(unsigned *first, unsigned *step)
{
	uint64_t seed = scratch_seed();

	*step = scratch_long() ? 1 : 3;
	*first = 1 + (unsigned)(scratch_random(&seed) % *step);
}

#endif
