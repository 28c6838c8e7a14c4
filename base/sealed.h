/*
 * base/sealed.h - bytes in memory that another process gets and nobody can change
 *
 * What     A memfd that is written once and sealed: it can be handed to a child, who maps it; neither side can
 *          grow, shrink or change it afterwards, so that what was checked is what is read.
 * Threads  Any.
 */
#ifndef MM_BASE_SEALED_H
#define MM_BASE_SEALED_H

#include "base/err.h"
#include "base/slice.h"

/* *fd is the caller's to close, -1 on failure. `name` is for people (/proc/PID/fd). */
enum rc sealed_new(int *fd, const char *name, struct slice bytes, struct err *e) MUST_USE;
/* The same of several parts, one behind the other. */
enum rc sealed_parts(int *fd, const char *name, const struct slice *parts, size_t count, struct err *e) MUST_USE;
/* Maps all of it to be read; nothing is mapped where it is empty. The descriptor may be closed then. RC_INVALID: its
 * writer could still change it. */
enum rc sealed_map(struct slice *out, int fd, struct err *e) MUST_USE;
void sealed_unmap(struct slice *s);

#endif
