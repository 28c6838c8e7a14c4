/*
 * base/sandbox_parts.h - what the two kinds of sandbox share; for base/sandbox*.c alone
 *
 * Test     A test build does without any sandbox when MM_SANDBOX is "off" (tools that a sandbox would
 *          stop, and the control of the break-in test), and with MM_PROBE set tries what it can still
 *          do (tests/probe/probe.c), confined or not.
 */
#ifndef MM_BASE_SANDBOX_PARTS_H
#define MM_BASE_SANDBOX_PARTS_H

#include "base/sandbox.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* No core dump, not traceable, no new privileges, memory locked. */
enum rc sandbox_seal_process(struct err *e) MUST_USE;
/* No file but these; none of them may be a symbolic link's target only (Landlock knows files, not
 * names), and no TCP but to `ports` (0 ends; NULL: none). */
enum rc sandbox_restrict_files(const struct sandbox_path *paths, size_t count, const uint16_t *ports,
                               struct err *e) MUST_USE;

#ifdef MM_TEST
bool sandbox_off(void);
void sandbox_probe(void);
#else
static inline bool sandbox_off(void)
{
	return false;
}
static inline void sandbox_probe(void)
{
}
#endif

#endif
