/*
 * ingest/filing.h - judged messages into store and index, on a thread for each
 *
 * What     Compressing, and making tokens and postings, are most of the work that a message makes. The
 *          pipeline collects the messages of a batch, hands them over together, and reads, parses
 *          and judges the next batch meanwhile.
 * Order    filing_add ... filing_begin, later filing_wait; then the same again. Each thread goes by
 *          the order of the calls: rowids follow the time of receipt. Which of the two is first
 *          does not matter before a checkpoint, and that waits for both.
 * Twice    A message that an archive has already (a replay after a crash) is not stored again.
 * Owner    filing_add takes the document and copies the meta. What else they borrow (raw bytes, parsed
 *          fields, envelope) must live until filing_wait, or filing_forget, has returned.
 * Fails    The first error of either; the rest of that batch isn't filed. filing_wait tells it once.
 * Threads  One caller, with `writing` held from filing_add to the end of filing_wait: between
 *          filing_begin and filing_wait the one writer of the store and that of the index are the
 *          threads inside.
 */
#ifndef MM_INGEST_FILING_H
#define MM_INGEST_FILING_H

#include "index/index.h"
#include "ingest/document.h"
#include "store/store.h"

struct filing;

enum rc filing_new(struct filing **out, struct store *store, struct index *index,
		   struct err *e) MUST_USE;
/* Ends the threads; what was added and not begun is forgotten. NULL is fine. */
void    filing_free(struct filing **f);

void    filing_add(struct filing *f, uint32_t archive, const struct store_message *m,
		   const struct document *d);
/* What was added goes to the threads. Not twice without a wait between. */
void    filing_begin(struct filing *f);
/* Until all that was begun is in the store and in the index (store_sync, index_commit make it last).
 * Nothing begun is fine. */
enum rc filing_wait(struct filing *f, struct err *e) MUST_USE;
/* Drops what was added and not begun. */
void    filing_forget(struct filing *f);

#endif
