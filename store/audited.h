/*
 * store/audited.h - what the audit log says is in the store
 *
 * What     Reads every "block" entry: the roots of all blocks that were ever written, and how many
 *          messages each lot was given. Blocks that were only moved (repacked) add their roots, not
 *          their messages; what an erasure copied counts once its record is there, for a copy that was
 *          interrupted is made again under another lot.
 * Why      A block whose root is unknown was not written by mm; a lot with fewer messages than it was
 *          given has lost some unseen. Neither depends on where a block lies now.
 * Threads  One.
 */
#ifndef MM_STORE_AUDITED_H
#define MM_STORE_AUDITED_H

#include "store/audit.h"
#include "store/block_list.h"
#include "store/store.h"

struct audited;

/* With RC_CORRUPT *out has what could be read of a damaged log; NULL with another error. */
enum rc audited_load(struct audited **out, struct audit *audit, struct err *e) MUST_USE;
void audited_free(struct audited **a);
bool audited_place(const struct audited *a, uint64_t segment, uint32_t block);
/* This block was found. */
void audited_seen(struct audited *a, uint64_t segment, uint32_t block);
/* Calls `each` for every place that a block of the lot was written to and that was not seen; its root
 * is not set. Repacked blocks are at other places now. */
enum rc audited_unseen(const struct audited *a, uint64_t lot,
		       enum rc (*each)(void *arg, const struct store_block *b, struct err *e),
		       void *arg, struct err *e) MUST_USE;
bool audited_root(const struct audited *a, const uint8_t root[32]);
uint64_t audited_given(const struct audited *a, uint64_t lot);
/* One message of a lot was found. */
void audited_found(struct audited *a, uint64_t lot);
/* Calls `each` for every lot that was given more or fewer messages than were found. */
enum rc audited_differences(const struct audited *a,
			    enum rc (*each)(void *arg, uint64_t lot, uint64_t given, uint64_t found,
					    struct err *e),
			    void *arg, struct err *e) MUST_USE;

#endif
