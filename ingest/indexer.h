/*
 * ingest/indexer.h - documents into the index, on a thread of its own
 *
 * What     Tokens and postings are most of the work that a message makes. The pipeline collects the
 *          documents of a batch, hands them over together, and reads, parses and stores the next
 *          batch meanwhile.
 * Order    indexer_add ... indexer_begin, later indexer_wait; then the same again. In the order of
 *          the calls: rowids follow the time of receipt.
 * Owner    indexer_add takes the document. What it borrows (parsed fields, envelope) must live until
 *          indexer_wait, or indexer_forget, has returned.
 * Fails    The first error of index_add; the rest of that batch isn't added. indexer_wait tells.
 * Threads  One caller, with `writing` held from indexer_add to the end of indexer_wait: between
 *          indexer_begin and indexer_wait the index's one writer is the thread inside.
 */
#ifndef MM_INGEST_INDEXER_H
#define MM_INGEST_INDEXER_H

#include "index/index.h"
#include "ingest/document.h"

struct indexer;

enum rc indexer_new(struct indexer **out, struct index *index, struct err *e) MUST_USE;
/* Ends the thread; what was added and not begun is forgotten. NULL is fine. */
void    indexer_free(struct indexer **ix);

void    indexer_add(struct indexer *ix, uint32_t archive, const struct document *d);
/* What was added goes to the thread. Not twice without a wait between. */
void    indexer_begin(struct indexer *ix);
/* Until all that was begun is in the index (not committed: index_commit). Nothing begun is fine. */
enum rc indexer_wait(struct indexer *ix, struct err *e) MUST_USE;
/* Drops what was added and not begun. */
void    indexer_forget(struct indexer *ix);

#endif
