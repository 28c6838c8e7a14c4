#include "ingest/matcher.h"

#include <stdlib.h>

#include "base/compiler.h"

/* Nodes are numbered level by level, from the root, 0: those behind a node lie together. */
struct matcher {
	uint32_t nodes;
	uint32_t *first;   /* of each node, and one more: the first of those behind it */
	uint32_t *fail;    /* the longest end of what led to it that begins a word too */
	uint32_t *ends;    /* itself where a word ends there, else that of its fail; 0: none */
	uint8_t *label;    /* the byte that leads to it */
	uint32_t *node_of; /* where each word ends */
	uint32_t root[256];
};

/* While it is made: the words that a node begins are a range of the sorted ones. */
struct making {
	struct matcher *m;
	const struct slice *words;
	uint32_t *sorted;
	uint32_t *from;
	uint32_t *to;
	uint32_t *depth;
};

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* 0: none. */
static uint32_t behind(const struct matcher *m, uint32_t node, uint8_t c)
{
	uint32_t from, to;

	if (node == 0)
		return m->root[c];
	from = m->first[node];
	to = m->first[node + 1];
	while (from < to) {
		uint32_t middle = from + (to - from) / 2;

		if (m->label[middle] < c)
			from = middle + 1;
		else
			to = middle;
	}
	return from < m->first[node + 1] && m->label[from] == c ? from : 0;
}

static uint32_t step(const struct matcher *m, uint32_t node, uint8_t c)
{
	uint32_t next;

	while ((next = behind(m, node, c)) == 0 && node != 0)
		node = m->fail[node];
	return next;
}

/* ---- making ---- */

static int compare_words(const void *a, const void *b, void *arg)
{
	const struct slice *words = arg;
	struct slice x = words[*(const uint32_t *)a];
	struct slice y = words[*(const uint32_t *)b];
	size_t n = MIN_OF(x.len, y.len);
	int order = n ? memcmp(x.at, y.at, n) : 0;

	return order ? order : (x.len > y.len) - (x.len < y.len);
}

/* The fails of all nodes of lower levels are known, and what is behind those. */
static void add_node(struct making *k, uint32_t parent, uint8_t c, uint32_t from, uint32_t to)
{
	struct matcher *m = k->m;
	uint32_t n = m->nodes++;

	m->label[n] = c;
	m->fail[n] = parent ? step(m, m->fail[parent], c) : 0;
	k->from[n] = from;
	k->to[n] = to;
	k->depth[n] = k->depth[parent] + 1;
	if (parent == 0)
		m->root[c] = n;
}

static void add_behind(struct making *k, uint32_t n)
{
	struct matcher *m = k->m;
	uint32_t at = k->from[n];
	uint32_t depth = k->depth[n];

	m->first[n] = m->nodes;
	m->ends[n] = m->ends[m->fail[n]];
	for (; at < k->to[n] && k->words[k->sorted[at]].len == depth; at++) {
		m->node_of[k->sorted[at]] = n;
		m->ends[n] = n;
	}
	while (at < k->to[n]) {
		uint8_t c = k->words[k->sorted[at]].at[depth];
		uint32_t begin = at;

		while (at < k->to[n] && k->words[k->sorted[at]].at[depth] == c)
			at++;
		add_node(k, n, c, begin, at);
	}
	m->first[n + 1] = m->nodes;
}

static void make(struct making *k, size_t count)
{
	for (size_t i = 0; i < count; i++)
		k->sorted[i] = (uint32_t)i;
	qsort_r(k->sorted, count, sizeof(*k->sorted), compare_words, (void *)(uintptr_t)k->words);
	k->to[0] = (uint32_t)count;
	k->m->nodes = 1;
	for (uint32_t n = 0; n < k->m->nodes; n++)
		add_behind(k, n);
}

struct matcher *matcher_new(const struct slice *words, size_t count)
{
	struct matcher *m = mem_new(sizeof(*m));
	struct making k = { .m = m, .words = words };
	size_t most = 2;

	for (size_t i = 0; i < count; i++)
		most += words[i].len;
	MUST(most < UINT32_MAX);
	m->first = mem_array(most, sizeof(*m->first));
	m->fail = mem_array(most, sizeof(*m->fail));
	m->ends = mem_array(most, sizeof(*m->ends));
	m->label = mem_array(most, sizeof(*m->label));
	m->node_of = mem_array(count + 1, sizeof(*m->node_of));
	k.sorted = mem_array(count + 1, sizeof(*k.sorted));
	k.from = mem_array(most, sizeof(*k.from));
	k.to = mem_array(most, sizeof(*k.to));
	k.depth = mem_array(most, sizeof(*k.depth));
	make(&k, count);
	free(k.sorted);
	free(k.from);
	free(k.to);
	free(k.depth);
	return m;
}

void matcher_free(struct matcher **at)
{
	struct matcher *m = *at;

	*at = NULL;
	if (!m)
		return;
	free(m->first);
	free(m->fail);
	free(m->ends);
	free(m->label);
	free(m->node_of);
	free(m);
}

/* ---- reading ---- */

static bool is_found(const uint8_t *found, uint32_t node)
{
	return found[node / 8] >> node % 8 & 1;
}

static void find(uint8_t *found, uint32_t node)
{
	found[node / 8] |= (uint8_t)(1u << node % 8);
}

size_t matcher_found_bytes(const struct matcher *m)
{
	return m->nodes / 8 + 1;
}

void matcher_read(const struct matcher *m, struct slice text, uint8_t *found)
{
	uint32_t node = 0;

	find(found, 0);
	for (size_t i = 0; i < text.len; i++) {
		node = step(m, node, lower(text.at[i]));
		/* One that is found has all that end in it found with it. */
		for (uint32_t end = m->ends[node]; end && !is_found(found, end);
		     end = m->ends[m->fail[end]])
			find(found, end);
	}
}

bool matcher_has(const struct matcher *m, const uint8_t *found, size_t word)
{
	return is_found(found, m->node_of[word]);
}
