#include "store/block_list.h"

#include <stdlib.h>

#include "base/codec.h"
#include "base/json.h"

#define BLOCKS_AN_ENTRY 200

struct block_list {
	json_t *blocks;
};

struct block_list *block_list_new(void)
{
	struct block_list *list = mem_new(sizeof(*list));

	list->blocks = json_array();
	return list;
}

void block_list_add(void *arg, const struct store_block *b)
{
	struct block_list *list = arg;
	json_t *o = json_object();
	char root[65];

	hex_encode(root, b->root, sizeof(b->root));
	json_put_int(o, "archive", b->archive);
	json_put_int(o, "segment", (int64_t)b->segment);
	json_put_int(o, "block", b->block);
	json_put_int(o, "lot", (int64_t)b->lot);
	json_put_int(o, "messages", b->ended);
	json_put_text(o, "root", slice_str(root));
	json_push(list->blocks, o);
}

void block_list_free(struct block_list **list)
{
	if (!*list)
		return;
	json_decref((*list)->blocks);
	free(*list);
	*list = NULL;
}

enum rc block_list_account(struct block_list **list, struct audit *audit, enum block_why why,
                           struct err *e)
{
	json_t *all = (*list)->blocks;
	enum rc rc = RC_OK;

	for (size_t from = 0; rc == RC_OK && from < json_array_size(all); from += BLOCKS_AN_ENTRY) {
		json_t *detail = json_object();
		json_t *some = json_array();

		for (size_t i = from; i < from + BLOCKS_AN_ENTRY && i < json_array_size(all); i++)
			json_push(some, json_incref(json_array_get(all, i)));
		if (why != BLOCKS_NEW)
			json_put_bool(detail, why == BLOCKS_MOVED ? "moved" : "copied", true);
		json_put(detail, "blocks", some);
		rc = audit_add(audit, "block", "mmd", detail, e);
	}
	block_list_free(list);
	return rc;
}
