#include "ingest/spool/draft.h"

#include <stdlib.h>

#define BOX (SPOOL_PIECE + SPOOL_TAG)

struct spool_draft *draft_new(struct spool_writer *w, size_t limit)
{
	struct spool_draft *d = mem_new(sizeof(*d));

	d->w = w;
	d->type = SPOOL_MESSAGE;
	buf_init(&d->record, limit);
	buf_init(&d->meta, SPOOL_META_MAX);
	d->sha = sha256_new();
	return d;
}

void draft_free(struct spool_draft *d)
{
	uint8_t unused[32];

	MUST(!d->big);
	if (d->sha)
		sha256_end(&d->sha, unused);
	buf_free(&d->record);
	buf_free(&d->meta);
	free(d);
}

size_t draft_need(size_t n)
{
	return n + (n / SPOOL_PIECE + 2) * SPOOL_TAG + SPOOL_RECORD_ALIGN;
}

void draft_put(struct spool_draft *d, struct slice s)
{
	struct buf *b = &d->record;

	while (s.len) {
		size_t in_piece = (size_t)(d->plain % SPOOL_PIECE);
		size_t n = MIN_OF(s.len, SPOOL_PIECE - in_piece);

		if (in_piece == 0 && d->plain > 0)
			b->len += SPOOL_TAG; /* the gap behind the piece that is full */
		MUST(b->len + n < b->room);
		memcpy(b->at + b->len, s.at, n);
		b->len += n;
		d->plain += n;
		s = slice_from(s, n);
	}
}

/* Seals and writes the first `count` pieces in the buffer, the last of them `last_bytes` long. */
static enum rc write_pieces(struct spool_draft *d, size_t count, size_t last_bytes, bool last,
                            struct err *e)
{
	struct spool_big *big = d->big;
	uint8_t *first = d->record.at + SPOOL_HEADER;
	uint8_t bound[SPOOL_BIG_BOUND];
	size_t bytes = (count - 1) * BOX + last_bytes + SPOOL_TAG;
	enum rc rc;

	spool_big_bound(bound, big->number);
	for (size_t i = 0; i < count; i++) {
		bool ends = i + 1 == count;

		spool_seal_piece(first + i * BOX, ends ? last_bytes : SPOOL_PIECE, big->pieces + i,
		                 ends && last, slice_of(bound, sizeof(bound)), big->key);
	}
	rc = file_write_at(big->file, slice_of(first, bytes), big->pieces * BOX, e);
	big->pieces += count;
	return rc;
}

enum rc draft_drain(struct spool_draft *d, struct err *e)
{
	size_t count;
	size_t rest;
	enum rc rc;

	if (d->plain <= SPOOL_PIECE)
		return RC_OK;
	count = (size_t)((d->plain - 1) / SPOOL_PIECE);
	rest = (size_t)(d->plain - (uint64_t)count * SPOOL_PIECE);
	rc = write_pieces(d, count, SPOOL_PIECE, false, e);
	if (rc != RC_OK)
		return rc;
	memmove(d->record.at + SPOOL_HEADER, d->record.at + SPOOL_HEADER + count * BOX, rest);
	d->record.len = SPOOL_HEADER + rest;
	d->plain = rest;
	return RC_OK;
}

enum rc draft_drain_last(struct spool_draft *d, struct err *e)
{
	struct spool_big_ref ref = { .number = d->big->number };
	uint8_t bytes[SPOOL_BIG_REF];
	enum rc rc;

	MUST(d->plain <= SPOOL_PIECE);
	rc = write_pieces(d, 1, (size_t)d->plain, true, e);
	if (rc != RC_OK)
		return rc;
	memcpy(ref.key, d->big->key, SPOOL_KEY);
	spool_big_ref_put(bytes, &ref);
	d->record.len = SPOOL_HEADER;
	d->plain = 0;
	d->type = SPOOL_BIG;
	draft_put(d, slice_of(bytes, sizeof(bytes)));
	crypt_wipe(&ref, sizeof(ref));
	crypt_wipe(bytes, sizeof(bytes));
	crypt_wipe(d->big->key, SPOOL_KEY);
	return RC_OK;
}

uint64_t draft_sealed_bytes(const struct spool_draft *d)
{
	return spool_sealed_bytes(d->plain + SPOOL_TRAILER);
}

void draft_seal(struct spool_draft *d, const struct spool_header *header, uint8_t chain[SPOOL_KEY])
{
	struct buf *b = &d->record;
	struct spool_header h = *header;
	struct spool_keys keys;
	uint8_t trailer[SPOOL_TRAILER];
	size_t padded;

	spool_trailer_put(trailer, &d->trailer);
	draft_put(d, slice_of(trailer, sizeof(trailer)));
	h.type = d->type;
	h.length = spool_sealed_bytes(d->plain);
	spool_chain_keys(&keys, chain);
	spool_header_put(b->at, &h, &keys);
	spool_seal_all(b->at + SPOOL_HEADER, d->plain, slice_of(b->at, SPOOL_HEADER), keys.seal);
	b->len += SPOOL_TAG;
	padded = (size_t)spool_record_bytes(h.length);
	MUST(b->len == SPOOL_HEADER + h.length && padded <= b->room);
	memset(b->at + b->len, 0, padded - b->len);
	b->len = padded;
	spool_chain_next(chain);
	crypt_wipe(&keys, sizeof(keys));
}

void draft_list_init(struct draft_list *l)
{
	l->first = NULL;
	l->end = &l->first;
}

void draft_list_add(struct draft_list *l, struct spool_draft *d)
{
	d->next = NULL;
	*l->end = d;
	l->end = &d->next;
}

struct spool_draft *draft_list_take(struct draft_list *l)
{
	struct spool_draft *d = l->first;

	if (!d)
		return NULL;
	l->first = d->next;
	if (!l->first)
		l->end = &l->first;
	d->next = NULL;
	return d;
}

void draft_list_join(struct draft_list *l, struct draft_list *tail)
{
	if (!tail->first)
		return;
	*l->end = tail->first;
	l->end = tail->end;
	draft_list_init(tail);
}
