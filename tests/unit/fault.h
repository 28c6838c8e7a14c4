/*
 * tests/unit/fault.h - system calls of mm that fail when a test says so
 *
 * The unit tests are linked with --wrap for the calls below (tests/CMakeLists.txt), so calls of
 * mm's own code come here first, those of libraries don't. Until a test arms it nothing changes.
 *
 * The usual loop fails the n-th call, for n = 1 … until the whole action needs fewer:
 *
 *     for (unsigned n = 1; hit; n++) {
 *             begin; fault_arm(FAULT_WRITE, n, EIO, false);
 *             rc = the_action(); hit = fault_disarm();
 *             if (hit) { it failed as it should } else { RC_OK } and what is on disk is whole
 *     }
 *
 * Syncs of files and folders don't go to the disk here: no power fails during a unit test.
 */
#ifndef MM_TESTS_UNIT_FAULT_H
#define MM_TESTS_UNIT_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum fault_call {
	FAULT_OPEN = 1,
	FAULT_READ = 2,        /* pread */
	FAULT_WRITE = 4,       /* pwritev */
	FAULT_SYNC = 8,        /* fdatasync */
	FAULT_SYNC_DIR = 8192, /* fsync, syncfs */
	FAULT_CUT = 16,        /* ftruncate */
	FAULT_NAME = 32,       /* rename, unlink, mkdir */
	FAULT_STAT = 64,       /* fstat, statvfs */
	FAULT_LIST = 128,      /* scandir */
	FAULT_LOCK = 256,      /* flock */
	FAULT_MEMORY = 512,    /* malloc, realloc: of what has a limit */
	FAULT_THREAD = 4096,   /* eventfd, pthread_create */
	FAULT_AUDIT = 2048,    /* audit_add, audit_sync; they are parts too */
	FAULT_SPARED = 16384,  /* keyring_destroy says that it did, and did not */
	FAULT_PART = 1024, /* a call from one part of mm into another: fault_parts.c names them */
};

#define FAULT_CHANGE                                                                               \
	(FAULT_OPEN | FAULT_WRITE | FAULT_SYNC | FAULT_SYNC_DIR | FAULT_CUT | FAULT_NAME)
#define FAULT_FILES (FAULT_CHANGE | FAULT_READ | FAULT_STAT | FAULT_LIST)

/* The n-th call (from 1) of these kinds fails with `error`; with `on`, all after it too. */
void fault_arm(unsigned calls, unsigned n, int error, bool on);
/* Ends it; whether a call was failed. */
bool fault_disarm(void);

/* When set it is asked before each read, write and sync (of any thread): true, with errno set, lets
 * that one fail. `bytes` of reads. */
extern bool (*fault_watch)(unsigned call, int fd, size_t bytes);
/* The same for reads and writes, which are told where (`bytes` 0 of writes). */
extern bool (*fault_watch_at)(unsigned call, int fd, size_t bytes, off_t at);
/* From now on the monotonic clock says so much more than the system's. */
void fault_later(int64_t ms);

/* For the wrappers: counts a call; true, with errno set, when it is to fail. */
bool fault_is_due(unsigned kinds);

#endif
