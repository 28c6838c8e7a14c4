/*
 * base/compiler.h - attributes and checks that every file may use
 *
 * MUST states what only a mistake of ours can break: it logs, prints a backtrace and aborts, in
 * release builds too (a restart is a tested path). What a peer sends or a disk returns is never
 * checked by MUST: it is answered or reported through struct err.
 */
#ifndef MM_BASE_COMPILER_H
#define MM_BASE_COMPILER_H

#include <stddef.h>

#define MUST_USE     __attribute__((warn_unused_result))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))
#define NORETURN     __attribute__((noreturn))
#define UNUSED       __attribute__((unused))
#define COUNT(a)     (sizeof(a) / sizeof((a)[0]))
#define MIN_OF(a, b) ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))

/* The object that contains `member`, given a pointer to the member. */
#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

void must_failed(const char *what, const char *file, int line) NORETURN;

#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (__builtin_expect(!(cond), 0))                                                  \
			must_failed(#cond, __FILE__, __LINE__);                                    \
	} while (0)

/* Memory of a fixed, small size: running out ends the process (a restart is a tested path). What a
 * peer can size goes through struct buf and its limit. All return zeroed memory, never NULL. */
void *mem_new(size_t bytes);
void *mem_array(size_t count, size_t bytes);
void *mem_resize(void *old, size_t bytes);
char *mem_string(const char *s);

#endif
