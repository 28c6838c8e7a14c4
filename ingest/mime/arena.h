/*
 * ingest/mime/arena.h - small copies that are dropped together
 */
#ifndef MM_INGEST_MIME_ARENA_H
#define MM_INGEST_MIME_ARENA_H

#include "base/slice.h"

struct arena_block;

struct arena {
	struct arena_block *last;
};

/* A copy that a NUL follows. */
struct slice arena_copy(struct arena *a, struct slice s);
/* Drops all copies and keeps one block for the next ones. */
void arena_clear(struct arena *a);
void arena_free(struct arena *a);

#endif
