#include "index/match.h"

#include <stdlib.h>

/* Every node and text is a piece of memory in a list. */
struct piece {
	struct piece *next;
	max_align_t at[];
};

struct match_tree {
	struct piece *pieces;
};

struct match_tree *match_tree_new(void)
{
	return mem_new(sizeof(struct match_tree));
}

void match_tree_free(struct match_tree **t)
{
	struct piece *p;

	if (!*t)
		return;
	while ((p = (*t)->pieces) != NULL) {
		(*t)->pieces = p->next;
		free(p);
	}
	free(*t);
	*t = NULL;
}

static void *piece_new(struct match_tree *t, size_t bytes)
{
	struct piece *p = mem_new(sizeof(*p) + bytes);

	p->next = t->pieces;
	t->pieces = p;
	return p->at;
}

struct match *match_new(struct match_tree *t, enum match_kind kind)
{
	struct match *m = piece_new(t, sizeof(*m));

	m->kind = kind;
	return m;
}

struct slice match_text(struct match_tree *t, struct slice text)
{
	uint8_t *copy = piece_new(t, text.len + 1);

	if (text.len)
		memcpy(copy, text.at, text.len);
	return slice_of(copy, text.len);
}

void match_add(struct match *parent, struct match *child)
{
	struct match **at = &parent->child;

	while (*at)
		at = &(*at)->next;
	child->next = NULL;
	*at = child;
}
