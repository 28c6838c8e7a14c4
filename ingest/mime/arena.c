#include "ingest/mime/arena.h"

#include <stdlib.h>

#define BLOCK 65536

struct arena_block {
	struct arena_block *before;
	size_t used;
	size_t room;
	uint8_t bytes[];
};

static struct arena_block *block_for(struct arena *a, size_t need)
{
	struct arena_block *b = a->last;
	size_t room = MAX_OF(need, (size_t)BLOCK);

	if (b && b->room - b->used >= need)
		return b;
	b = mem_new(sizeof(*b) + room);
	b->room = room;
	b->before = a->last;
	a->last = b;
	return b;
}

struct slice arena_copy(struct arena *a, struct slice s)
{
	struct arena_block *b = block_for(a, s.len + 1);
	uint8_t *to = b->bytes + b->used;

	if (s.len)
		memcpy(to, s.at, s.len);
	to[s.len] = '\0';
	b->used += s.len + 1;
	return slice_of(to, s.len);
}

void arena_clear(struct arena *a)
{
	while (a->last && (a->last->before || a->last->room > BLOCK)) {
		struct arena_block *b = a->last;

		a->last = b->before;
		free(b);
	}
	if (a->last)
		a->last->used = 0;
}

void arena_free(struct arena *a)
{
	arena_clear(a);
	free(a->last);
	a->last = NULL;
}
