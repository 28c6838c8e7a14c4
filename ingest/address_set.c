#include "ingest/address_set.h"

#include <stdatomic.h>
#include <stdlib.h>

#define SHARDS       1024
#define SHARD_BITS   10
#define PATTERN_MOST 19

/* A look-up makes the forms that would cover the address and asks for each; `shapes` says which
 * (length before "*", length behind) of patterns were ever in the set at all. */
struct entry {
	uint32_t at;  /* in the shard's text */
	uint32_t len; /* 0: the slot is free */
	uint32_t hash;
	uint32_t uses; /* entries that have this form */
};

struct shard {
	atomic_uint refs;
	uint32_t slot_count; /* a power of two; open addressing */
	uint32_t count;
	uint32_t text_len;
	uint32_t text_room;
	struct entry *slots;
	char *text;
};

struct address_set {
	atomic_uint refs;
	size_t count;
	uint32_t shapes[PATTERN_MOST + 1]; /* bit s of shapes[p] */
	bool any_below;                    /* some "*.domain" or "local@*.domain" */
	struct shard *shards[SHARDS];      /* NULL: empty */
};

/* ---- forms ---- */

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* Up to four parts that together make a normal form. */
struct probe {
	struct slice part[4];
};

#define HASH_START 2166136261u

/* FNV-1a. Who fills a list is the administrator, so collisions are no attack. */
static uint32_t probe_hash(const struct probe *p)
{
	uint32_t h = HASH_START;

	for (size_t k = 0; k < COUNT(p->part); k++)
		for (size_t i = 0; i < p->part[k].len; i++)
			h = (h ^ lower(p->part[k].at[i])) * 16777619u;
	return h ^ h >> 15;
}

static bool probe_equals(struct slice entry, const struct probe *p)
{
	for (size_t i = 0; i < COUNT(p->part); i++) {
		if (!slice_starts_nocase(entry, p->part[i]))
			return false;
		entry = slice_from(entry, p->part[i].len);
	}
	return entry.len == 0;
}

/* The last '@' parts: a quoted local part may hold others. */
static struct slice split(struct slice address, struct slice *domain)
{
	const uint8_t *at = address.len ? memrchr(address.at, '@', address.len) : NULL;

	if (!at) {
		*domain = slice_of(NULL, 0);
		return address;
	}
	*domain = slice_from(address, (size_t)(at - address.at) + 1);
	return slice_part(address, 0, (size_t)(at - address.at));
}

static struct probe probe_of(struct slice entry)
{
	struct slice none = slice_of(NULL, 0);
	struct slice at = slice_str("@");
	struct slice domain;
	struct slice local = split(entry, &domain);

	if (local.len == entry.len && entry.at[0] != '*')
		return (struct probe) { { at, entry, none, none } };
	if (local.len != entry.len && slice_equal(local, slice_str("*")))
		return (struct probe) { { at, domain, none, none } };
	return (struct probe) { { entry, none, none, none } };
}

/* ---- shards ---- */

static struct slice entry_text(const struct shard *s, const struct entry *e)
{
	return slice_of(s->text + e->at, e->len);
}

/* Its slot, or the free one where it would be. */
static struct entry *find_slot(const struct shard *s, uint32_t hash, const struct probe *p)
{
	uint32_t mask = s->slot_count - 1;
	uint32_t i = hash & mask;

	while (s->slots[i].len &&
	       !(s->slots[i].hash == hash && probe_equals(entry_text(s, &s->slots[i]), p)))
		i = (i + 1) & mask;
	return &s->slots[i];
}

static struct shard **shard_of(struct address_set *s, uint32_t hash)
{
	return &s->shards[hash >> (32 - SHARD_BITS)];
}

static void shard_unref(struct shard *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	free(s->slots);
	free(s->text);
	free(s);
}

static void put_entry(struct shard *s, const struct entry *e)
{
	uint32_t mask = s->slot_count - 1;
	uint32_t i = e->hash & mask;

	while (s->slots[i].len)
		i = (i + 1) & mask;
	s->slots[i] = *e;
}

/* With room for one entry more, and the text of those that are there alone. */
static struct shard *shard_copy(const struct shard *from)
{
	struct shard *s = mem_new(sizeof(*s));
	uint32_t count = from ? from->count : 0;

	atomic_init(&s->refs, 1);
	s->slot_count = 4;
	while (s->slot_count < 2 * (count + 1))
		s->slot_count *= 2;
	s->slots = mem_array(s->slot_count, sizeof(*s->slots));
	s->text_room = (from ? from->text_len : 0) + 64;
	s->text = mem_new(s->text_room);
	s->count = count;
	for (uint32_t i = 0; from && i < from->slot_count; i++) {
		struct entry e = from->slots[i];

		if (!e.len)
			continue;
		memcpy(s->text + s->text_len, from->text + e.at, e.len);
		e.at = s->text_len;
		s->text_len += e.len;
		put_entry(s, &e);
	}
	return s;
}

/* One that the set alone has. */
static struct shard *own_shard(struct address_set *set, uint32_t hash)
{
	struct shard **at = shard_of(set, hash);
	struct shard *s = *at;

	if (s && atomic_load(&s->refs) == 1 && s->slot_count >= 2 * (s->count + 1))
		return s;
	*at = shard_copy(s);
	shard_unref(s);
	return *at;
}

static void add_text(struct shard *s, struct slice part)
{
	if (s->text_len + part.len > s->text_room) {
		s->text_room = (s->text_len + (uint32_t)part.len) * 2;
		s->text = mem_resize(s->text, s->text_room);
	}
	for (size_t i = 0; i < part.len; i++)
		s->text[s->text_len++] = (char)lower(part.at[i]);
}

/* What was pushed behind it by a collision moves up. */
static void take_out(struct shard *s, struct entry *gone)
{
	uint32_t mask = s->slot_count - 1;
	uint32_t hole = (uint32_t)(gone - s->slots);

	for (uint32_t i = (hole + 1) & mask; s->slots[i].len; i = (i + 1) & mask) {
		uint32_t home = s->slots[i].hash & mask;

		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		s->slots[hole] = s->slots[i];
		hole = i;
	}
	s->slots[hole] = (struct entry) { 0 };
	s->count--;
}

/* ---- sets ---- */

struct address_set *address_set_new(void)
{
	struct address_set *s = mem_new(sizeof(*s));

	atomic_init(&s->refs, 1);
	return s;
}

struct address_set *address_set_copy(const struct address_set *from)
{
	struct address_set *s = address_set_new();

	if (!from)
		return s;
	s->count = from->count;
	s->any_below = from->any_below;
	memcpy(s->shapes, from->shapes, sizeof(s->shapes));
	for (size_t i = 0; i < SHARDS; i++) {
		s->shards[i] = from->shards[i];
		if (s->shards[i])
			(void)atomic_fetch_add(&s->shards[i]->refs, 1);
	}
	return s;
}

struct address_set *address_set_ref(struct address_set *s)
{
	(void)atomic_fetch_add(&s->refs, 1);
	return s;
}

void address_set_unref(struct address_set **at)
{
	struct address_set *s = *at;

	*at = NULL;
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	for (size_t i = 0; i < SHARDS; i++)
		shard_unref(s->shards[i]);
	free(s);
}

static void note_shape(struct address_set *set, struct slice entry)
{
	struct slice domain;
	struct slice local = split(entry, &domain);
	size_t star = slice_find_byte(local, '*');

	if (slice_find(entry, slice_str("*.")) != SIZE_MAX)
		set->any_below = true;
	if (domain.len && star != SIZE_MAX && star <= PATTERN_MOST && local.len > 1)
		set->shapes[star] |= 1u << (local.len - 1 - star);
}

void address_set_add(struct address_set *set, struct slice entry)
{
	struct probe p = probe_of(entry);
	uint32_t hash = probe_hash(&p);
	struct shard *s = own_shard(set, hash);
	struct entry *slot = find_slot(s, hash, &p);

	if (slot->len) {
		slot->uses++;
		return;
	}
	note_shape(set, entry);
	*slot = (struct entry) { .at = s->text_len, .hash = hash, .uses = 1 };
	for (size_t k = 0; k < COUNT(p.part); k++)
		add_text(s, p.part[k]);
	slot->len = s->text_len - slot->at;
	s->count++;
	set->count++;
}

void address_set_remove(struct address_set *set, struct slice entry)
{
	struct probe p = probe_of(entry);
	uint32_t hash = probe_hash(&p);
	struct shard *s = *shard_of(set, hash);
	struct entry *slot;

	if (!s || !find_slot(s, hash, &p)->len)
		return;
	s = own_shard(set, hash);
	slot = find_slot(s, hash, &p);
	if (--slot->uses)
		return;
	take_out(s, slot);
	set->count--;
}

size_t address_set_count(const struct address_set *set)
{
	return set->count;
}

/* ---- look-up ---- */

static bool has_form(const struct address_set *set, struct slice a, struct slice b, struct slice c,
                     struct slice d)
{
	struct probe p = { { a, b, c, d } };
	uint32_t hash = probe_hash(&p);
	const struct shard *s = set->shards[hash >> (32 - SHARD_BITS)];

	return s && find_slot(s, hash, &p)->len != 0;
}

static bool has_pattern(const struct address_set *set, struct slice local, struct slice domain)
{
	struct slice at_domain = slice_of(domain.at - 1, domain.len + 1);

	for (size_t p = 0; p <= PATTERN_MOST && p <= local.len; p++) {
		for (size_t s = 0; set->shapes[p] >> s && p + s <= local.len; s++) {
			if (set->shapes[p] >> s & 1 &&
			    has_form(set, slice_part(local, 0, p), slice_str("*"),
			             slice_from(local, local.len - s), at_domain))
				return true;
		}
	}
	return false;
}

/* "*.suffix" and "local@*.suffix" for each suffix that has at least one label before it. */
static bool has_below(const struct address_set *set, struct slice local, struct slice domain)
{
	struct slice none = slice_of(NULL, 0);
	struct slice star = slice_str("*");
	size_t dot = slice_find_byte(domain, '.');

	while (dot != SIZE_MAX) {
		struct slice suffix = slice_from(domain, dot); /* with its dot */

		if (has_form(set, star, suffix, none, none) ||
		    has_form(set, local, slice_str("@*"), suffix, none))
			return true;
		domain = slice_from(suffix, 1);
		dot = slice_find_byte(domain, '.');
	}
	return false;
}

bool address_set_has(const struct address_set *set, struct slice address)
{
	struct slice none = slice_of(NULL, 0);
	struct slice domain;
	struct slice local = split(address, &domain);

	if (domain.len == 0 || local.len == 0 || address.len > 320 ||
	    slice_find_byte(domain, '*') != SIZE_MAX)
		return false;
	/* An asterisk is a legal character of a local part: the address must not be taken for a
	 * pattern of the list. */
	if (slice_find_byte(local, '*') == SIZE_MAX && has_form(set, address, none, none, none))
		return true;
	if (has_form(set, slice_str("@"), domain, none, none))
		return true;
	if (has_pattern(set, local, domain))
		return true;
	return set->any_below && has_below(set, local, domain);
}

/* ---- differences ---- */

/* What is in `a` and not in `b`. */
static void compare_shard(const struct shard *a, const struct shard *b, bool added,
                          void (*differs)(void *arg, bool added, struct slice form), void *arg)
{
	for (uint32_t i = 0; a && i < a->slot_count; i++) {
		const struct entry *e = &a->slots[i];
		struct probe p = { { { 0 } } };

		if (!e->len)
			continue;
		p.part[0] = entry_text(a, e);
		if (!b || !find_slot(b, e->hash, &p)->len)
			differs(arg, added, p.part[0]);
	}
}

void address_set_compare(const struct address_set *old, const struct address_set *fresh,
                         void (*differs)(void *arg, bool added, struct slice form), void *arg)
{
	for (size_t i = 0; i < SHARDS; i++) {
		const struct shard *a = old ? old->shards[i] : NULL;
		const struct shard *b = fresh ? fresh->shards[i] : NULL;

		if (a == b)
			continue;
		compare_shard(a, b, false, differs, arg);
		compare_shard(b, a, true, differs, arg);
	}
}
