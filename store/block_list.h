/*
 * store/block_list.h - the audit log's entries for blocks that reached the disk
 */
#ifndef MM_STORE_BLOCK_LIST_H
#define MM_STORE_BLOCK_LIST_H

#include "store/audit.h"
#include "store/store.h"

/* Blocks of new messages; of messages that were in the store before, written again under the same lot
 * (repacked), or under another by an erasure, which counts from its record on. */
enum block_why { BLOCKS_NEW, BLOCKS_MOVED, BLOCKS_COPIED };

/* Entries for blocks: added to the log (not synced), then the list is freed. */
struct block_list;
struct block_list *block_list_new(void);
void block_list_add(void *list, const struct store_block *b); /* as store_sync's on_block */
void block_list_free(struct block_list **list);
enum rc block_list_account(struct block_list **list, struct audit *audit, enum block_why why,
			   struct err *e) MUST_USE;

#endif
