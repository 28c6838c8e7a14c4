/* Open blocks: messages of a lot wait until there are enough of them to put those side by side that
 * are alike, then they become blocks. */
#include <stdlib.h>

#include "store/likeness.h"
#include "store/store_inner.h"

#define GATHER_BLOCKS 4 /* that much waits, then it is sorted and written */
#define GATHER_MAX    (BLOCK_PLAIN_MAX / 2)

/* An entry of an open block. */
struct gathered {
	uint8_t likeness[LIKENESS_BYTES];
	struct message_id id;
	uint32_t at;
	uint32_t len;
};

static int by_likeness(const void *a, const void *b)
{
	const struct gathered *x = a;
	const struct gathered *y = b;
	int order = memcmp(x->likeness, y->likeness, LIKENESS_BYTES);

	return order ? order : (x->at > y->at) - (x->at < y->at);
}

/* The entries of `plain`, those that are alike side by side. */
static struct gathered *gathered_sorted(struct slice plain, size_t *count)
{
	struct block_entry entry;
	struct gathered *list = NULL;
	size_t at = 0;

	for (*count = 0; block_entry_read(&entry, plain, &at) == RC_OK; ++*count) {
		struct gathered *g;

		if ((*count & (*count - 1)) == 0) /* room for the next power of two */
			list = mem_resize(list, MAX_OF(*count * 2, (size_t)1) * sizeof(*list));
		g = &list[*count];
		likeness(g->likeness, entry.part);
		g->id = entry.id;
		g->at = entry.at;
		g->len = (uint32_t)(at - entry.at);
	}
	qsort(list, *count, sizeof(*list), by_likeness);
	return list;
}

/* Bytes of messages in a block, at most; but one message may have a block of its own. */
static size_t block_most(const struct store *st)
{
	return (size_t)st->opt.block_bytes + st->opt.block_bytes / 4;
}

static void push_written(struct written *w, const struct store_block *b)
{
	if (w->n == w->room) {
		w->room = w->room ? w->room * 2 : 64;
		w->at = mem_resize(w->at, w->room * sizeof(*w->at));
	}
	w->at[w->n++] = *b;
}

/* An entry of the open block that is now in block `number`, at `at`. */
static void settle_entry(struct open_block *ob, const struct gathered *g, uint32_t number,
                         uint32_t at)
{
	struct open_entry *x;

	HASH_FIND(hh, ob->segment->index, &g->id, sizeof(g->id), x);
	if (x && x->place.block == BLOCK_BUFFERED && x->lot == ob->lot && x->place.at == g->at) {
		x->place.block = number;
		x->place.at = at;
	}
}

static enum rc write_block(struct store *st, struct open_block *ob, struct slice plain,
                           uint32_t flags, struct written *w, struct err *e)
{
	struct segment *s = ob->segment;
	struct store_block d = { .archive = s->h.archive, .segment = s->h.serial, .lot = ob->lot };
	struct block_header b = { .lot = ob->lot, .flags = flags };
	enum rc rc = block_describe(&d, plain);

	MUST(rc == RC_OK);
	b.messages = d.messages;
	rc = segment_append(st, s, &b, plain, e);
	if (rc != RC_OK)
		return rc;
	d.block = b.number;
	push_written(w, &d);
	return RC_OK;
}

/* The lot was destroyed while messages of it waited: they are forgotten as those on disk are. */
static void discard_block(struct open_block *ob)
{
	struct open_entry *x;
	struct open_entry *next;

	for (x = ob->segment->index; x; x = next) {
		next = x->hh.next;
		if (x->place.block != BLOCK_BUFFERED || x->lot != ob->lot)
			continue;
		HASH_DEL(ob->segment->index, x);
		free(x);
		ob->segment->f.messages--;
	}
	crypt_wipe(ob->plain.at, ob->plain.room);
	buf_clear(&ob->plain);
}

/* How many of the entries go into the next block. */
static size_t share_of_block(const struct store *st, const struct gathered *list, size_t count)
{
	size_t most = block_most(st);
	size_t bytes = list[0].len;
	size_t n = 1;

	for (; n < count && bytes < st->opt.block_bytes && bytes + list[n].len <= most; n++)
		bytes += list[n].len;
	return n;
}

static enum rc flush_share(struct store *st, struct open_block *ob, const struct gathered *list,
                           size_t count, struct buf *plain, struct written *w, struct err *e)
{
	uint32_t at = 0;
	enum rc rc = RC_OK;

	buf_clear(plain);
	for (size_t i = 0; i < count && rc == RC_OK; i++)
		rc = buf_add(plain, slice_part(buf_slice(&ob->plain), list[i].at, list[i].len));
	if (rc != RC_OK)
		return err_set(e, rc, "no memory for a block");
	rc = write_block(st, ob, buf_slice(plain), 0, w, e);
	for (size_t i = 0; i < count && rc == RC_OK; at += list[i++].len)
		settle_entry(ob, &list[i], ob->segment->nblocks - 1, at);
	return rc;
}

enum rc block_flush(struct store *st, struct open_block *ob, struct written *w, struct err *e)
{
	struct gathered *list;
	struct buf plain;
	size_t count;
	enum rc rc = RC_OK;

	if (!ob->plain.len)
		return RC_OK;
	if (!lot_is_live(st, ob->lot)) {
		discard_block(ob);
		return RC_OK;
	}
	buf_init(&plain, BLOCK_PLAIN_MAX);
	list = gathered_sorted(buf_slice(&ob->plain), &count);
	for (size_t i = 0, n; i < count && rc == RC_OK; i += n) {
		n = share_of_block(st, list + i, count - i);
		rc = flush_share(st, ob, list + i, n, &plain, w, e);
	}
	free(list);
	if (plain.at)
		crypt_wipe(plain.at, plain.room);
	buf_free(&plain);
	if (rc == RC_OK)
		buf_clear(&ob->plain);
	return rc;
}

/* A message with blocks of its own, each with one piece of it. */
static enum rc put_large(struct store *st, struct open_block *ob, const struct store_message *m,
                         struct written *w, struct err *e)
{
	struct block_entry entry = { .id = m->id, .total = m->raw.len, .meta = m->meta };
	uint32_t first = ob->segment->nblocks;
	struct buf plain;
	enum rc rc = RC_OK;

	memcpy(entry.sha256, m->sha256, sizeof(entry.sha256));
	buf_init(&plain, BLOCK_PLAIN_MAX);
	for (entry.from = 0; rc == RC_OK && entry.from < m->raw.len; entry.from += entry.part.len) {
		uint32_t flags;

		entry.part = slice_part(m->raw, (size_t)entry.from, st->opt.block_bytes);
		entry.flags = entry.from ? 0 : ENTRY_FIRST;
		if (entry.from + entry.part.len == m->raw.len)
			entry.flags |= ENTRY_LAST;
		flags = (entry.flags & ENTRY_FIRST ? 0 : BLOCK_CONTINUES) |
		        (entry.flags & ENTRY_LAST ? 0 : BLOCK_GOES_ON);
		buf_clear(&plain);
		rc = block_entry_add(&plain, &entry);
		if (rc == RC_OK)
			rc = write_block(st, ob, buf_slice(&plain), flags, w, e);
		else
			(void)err_set(e, rc, "no memory for a message");
	}
	buf_free(&plain);
	if (rc == RC_OK)
		segment_index(ob->segment, &m->id, first, 0, ob->lot, m->raw.len);
	return rc;
}

enum rc block_put(struct store *st, struct open_block *ob, const struct store_message *m,
                  struct written *w, struct err *e)
{
	struct block_entry entry = { .id = m->id,
		                     .flags = ENTRY_FIRST | ENTRY_LAST,
		                     .total = m->raw.len,
		                     .meta = m->meta,
		                     .part = m->raw };
	size_t most = block_most(st);
	size_t size = m->raw.len + m->meta.len;
	uint32_t at;
	enum rc rc = RC_OK;

	if (m->raw.len > UINT32_MAX || m->meta.len > META_MAX)
		return err_set(e, RC_LIMIT, "a message of %zu bytes, %zu beside it", m->raw.len,
		               m->meta.len);
	if (m->raw.len > most)
		return put_large(st, ob, m, w, e);
	if (ob->plain.len + size > MIN_OF((size_t)st->opt.block_bytes * GATHER_BLOCKS, GATHER_MAX))
		rc = block_flush(st, ob, w, e);
	if (rc != RC_OK)
		return rc;
	memcpy(entry.sha256, m->sha256, sizeof(entry.sha256));
	at = (uint32_t)ob->plain.len;
	rc = block_entry_add(&ob->plain, &entry);
	if (rc != RC_OK)
		return err_set(e, rc, "no memory for a message");
	segment_index(ob->segment, &m->id, BLOCK_BUFFERED, at, ob->lot, m->raw.len);
	return RC_OK;
}
