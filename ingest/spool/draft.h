/*
 * ingest/spool/draft.h - a message on its way into a record; used by the writer alone
 *
 * What     The record's buffer, laid out as it will be on disk: room for the record's header, then
 *          pieces of 64 KiB with gaps for their tags, so that it is sealed where it was received.
 *          And the big files that large drafts stream into.
 * Threads  The loop thread until the draft is committed and flushed, then the writer thread, then the
 *          loop thread again.
 */
#ifndef MM_INGEST_SPOOL_DRAFT_H
#define MM_INGEST_SPOOL_DRAFT_H

#include "base/buf.h"
#include "ingest/spool/record.h"
#include "ingest/spool/writer.h"
#include "store/crypt.h"

struct spool_big {
	struct spool_big *next;
	uint64_t          number;
	struct file      *file;
	uint8_t           key[SPOOL_KEY];
	uint64_t          pieces; /* sealed and written */
};

struct spool_draft {
	struct spool_draft  *next;
	struct spool_writer *w;
	struct buf           record;  /* header, pieces with gaps */
	uint64_t             plain;   /* plain bytes in `record` */
	size_t               charged; /* bytes of the writer's memory */
	struct sha256       *sha;
	struct spool_big    *big;
	struct buf           meta; /* kept while a commit waits for its big file */
	bool                 waits_for_big;
	bool                 committed;
	bool                 mute; /* control build: done was called before the record was written */
	enum spool_type      type;
	struct spool_trailer trailer;
	void                *cookie;
	const struct durable *proof;
	struct err           err; /* why it can't become a message */
};

struct spool_draft *draft_new(struct spool_writer *w, size_t limit);
/* Frees all; the big file must have been taken away. */
void    draft_free(struct spool_draft *d);
/* Room needed in `record` for n more plain bytes, gaps, last tag and padding included. */
size_t  draft_need(size_t n);
/* Adds plain bytes; draft_need of them must be reserved. */
void    draft_put(struct spool_draft *d, struct slice s);
/* Seals and writes to the big file all pieces that are known not to be the last. */
enum rc draft_drain(struct spool_draft *d, struct err *e) MUST_USE;
/* The last piece too; `record` then begins anew with the reference. */
enum rc draft_drain_last(struct spool_draft *d, struct err *e) MUST_USE;
/* Adds the trailer, seals the record in place and pads it. `chain` moves on. */
void    draft_seal(struct spool_draft *d, const struct spool_header *header,
		   uint8_t chain[SPOOL_KEY]);
/* What the sealed record will take in the file. */
uint64_t draft_sealed_bytes(const struct spool_draft *d);

struct draft_list {
	struct spool_draft  *first;
	struct spool_draft **end;
};
void draft_list_init(struct draft_list *l);
void draft_list_add(struct draft_list *l, struct spool_draft *d);
struct spool_draft *draft_list_take(struct draft_list *l); /* the first, or NULL */
void draft_list_join(struct draft_list *l, struct draft_list *tail); /* empties `tail` */

#endif
