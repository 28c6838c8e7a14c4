#include "store/audited.h"

#include <stdlib.h>

#include "base/codec.h"
#include "base/json.h"
#include "store/hash.h"

struct place {
	uint8_t key[12]; /* segment, block */
	bool found;
	uint32_t archive;
	uint64_t lot;
	uint64_t messages;
	UT_hash_handle hh;
};

struct root {
	uint8_t key[32];
	UT_hash_handle hh;
};

struct lot {
	uint64_t id;
	uint64_t given;
	uint64_t copied; /* by an erasure whose record has not come yet */
	uint64_t found;
	int64_t archive;
	UT_hash_handle hh;
};

struct audited {
	struct place *places;
	struct root *roots;
	struct lot *lots;
};

static void place_key(uint8_t key[12], uint64_t segment, uint32_t block)
{
	put_le64(key, segment);
	put_le32(key + 8, block);
}

static struct lot *lot_of(struct audited *a, uint64_t id)
{
	struct lot *l;

	HASH_FIND(hh, a->lots, &id, sizeof(id), l);
	if (l)
		return l;
	l = mem_new(sizeof(*l));
	l->id = id;
	HASH_ADD(hh, a->lots, id, sizeof(l->id), l);
	return l;
}

static void count_messages(struct audited *a, const json_t *block, bool copied)
{
	struct lot *l = lot_of(a, (uint64_t)json_member_int(block, "lot", 0));
	uint64_t messages = (uint64_t)json_member_int(block, "messages", 0);

	l->archive = json_member_int(block, "archive", 0);
	*(copied ? &l->copied : &l->given) += messages;
}

static void add_block(struct audited *a, const json_t *block, bool moved, bool copied)
{
	struct place *p = mem_new(sizeof(*p));
	struct place *known_place;
	struct root *r = mem_new(sizeof(*r));
	struct root *known_root;

	place_key(p->key, (uint64_t)json_member_int(block, "segment", 0),
	          (uint32_t)json_member_int(block, "block", 0));
	p->archive = (uint32_t)json_member_int(block, "archive", 0);
	p->lot = (uint64_t)json_member_int(block, "lot", 0);
	p->messages = (uint64_t)json_member_int(block, "messages", 0);
	HASH_FIND(hh, a->places, p->key, sizeof(p->key), known_place);
	if (known_place) /* entered again after a crash */
		free(p);
	else
		HASH_ADD(hh, a->places, key, sizeof(p->key), p);
	if (!known_place && !moved)
		count_messages(a, block, copied);
	if (!hex_decode(r->key, sizeof(r->key), json_member_text(block, "root"))) {
		free(r);
		return;
	}
	HASH_FIND(hh, a->roots, r->key, sizeof(r->key), known_root);
	if (known_root)
		free(r);
	else
		HASH_ADD(hh, a->roots, key, sizeof(r->key), r);
}

static void take_copies(struct audited *a, int64_t archive)
{
	for (struct lot *l = a->lots; l; l = l->hh.next) {
		if (l->archive != archive)
			continue;
		l->given += l->copied;
		l->copied = 0;
	}
}

static enum rc add_entry(void *arg, const struct audit_entry *entry, struct err *e)
{
	json_t *list;
	bool moved;
	bool copied;

	(void)e;
	if (strcmp(entry->event, "erase_done") == 0)
		take_copies(arg, json_member_int(entry->detail, "archive_number", 0));
	if (strcmp(entry->event, "block") != 0)
		return RC_OK;
	list = json_member_array(entry->detail, "blocks");
	moved = json_member_bool(entry->detail, "moved", false);
	copied = json_member_bool(entry->detail, "copied", false);
	for (size_t i = 0; i < json_array_size(list); i++)
		add_block(arg, json_array_get(list, i), moved, copied);
	return RC_OK;
}

enum rc audited_load(struct audited **out, struct audit *audit, struct err *e)
{
	struct audited *a = mem_new(sizeof(*a));
	enum rc rc = audit_each(audit, 1, add_entry, a, e);

	if (rc != RC_OK && rc != RC_CORRUPT)
		audited_free(&a);
	*out = a;
	return rc;
}

void audited_free(struct audited **ap)
{
	struct audited *a = *ap;
	struct place *p;
	struct place *next_place;
	struct root *r;
	struct root *next_root;
	struct lot *l;
	struct lot *next_lot;

	if (!a)
		return;
	HASH_ITER(hh, a->places, p, next_place)
	{
		HASH_DEL(a->places, p);
		free(p);
	}
	HASH_ITER(hh, a->roots, r, next_root)
	{
		HASH_DEL(a->roots, r);
		free(r);
	}
	HASH_ITER(hh, a->lots, l, next_lot)
	{
		HASH_DEL(a->lots, l);
		free(l);
	}
	free(a);
	*ap = NULL;
}

bool audited_place(const struct audited *a, uint64_t segment, uint32_t block)
{
	struct place *p;
	uint8_t key[12];

	place_key(key, segment, block);
	HASH_FIND(hh, a->places, key, sizeof(key), p);
	return p != NULL;
}

void audited_seen(struct audited *a, uint64_t segment, uint32_t block)
{
	struct place *p;
	uint8_t key[12];

	place_key(key, segment, block);
	HASH_FIND(hh, a->places, key, sizeof(key), p);
	if (p)
		p->found = true;
}

enum rc audited_unseen(const struct audited *a, uint64_t lot,
                       enum rc (*each)(void *arg, const struct store_block *b, struct err *e),
                       void *arg, struct err *e)
{
	enum rc rc = RC_OK;

	for (struct place *p = a->places; rc == RC_OK && p; p = p->hh.next) {
		const struct store_block b = { .archive = p->archive,
			                       .segment = get_le64(p->key),
			                       .block = get_le32(p->key + 8),
			                       .lot = lot,
			                       .messages = (uint32_t)p->messages };

		if (!p->found && p->lot == lot)
			rc = each(arg, &b, e);
	}
	return rc;
}

bool audited_root(const struct audited *a, const uint8_t root[32])
{
	struct root *r;

	HASH_FIND(hh, a->roots, root, 32, r);
	return r != NULL;
}

uint64_t audited_given(const struct audited *a, uint64_t lot)
{
	struct lot *l;

	HASH_FIND(hh, a->lots, &lot, sizeof(lot), l);
	return l ? l->given : 0;
}

void audited_found(struct audited *a, uint64_t lot)
{
	lot_of(a, lot)->found++;
}

enum rc audited_differences(const struct audited *a,
                            enum rc (*each)(void *arg, uint64_t lot, uint64_t given, uint64_t found,
                                            struct err *e),
                            void *arg, struct err *e)
{
	enum rc rc = RC_OK;

	for (struct lot *l = a->lots; rc == RC_OK && l; l = l->hh.next)
		if (l->given != l->found)
			rc = each(arg, l->id, l->given, l->found, e);
	return rc;
}
