#include "ingest/address_list.h"

#include <stdatomic.h>
#include <stdlib.h>

#define LABELS_MOST   9
#define PATTERN_LEAST 3
#define PATTERN_MOST  19

/* Entries are kept in one normal form and found by their hash:
 *   "local@domain"    an address
 *   "@domain"         every address there (from "domain" and "*@domain")
 *   "pre*post@domain" a local part by pattern
 *   "*.domain"        every address below
 *   "local@*.domain"  one local part below
 * all in lower case. A look-up makes the forms that would cover the address and asks for each;
 * `shapes` says which (length before "*", length behind) of patterns are in the list at all. */
struct entry {
	size_t at; /* in text */
	uint32_t len;
	uint32_t hash;
};

struct address_list {
	atomic_uint refs;
	char *text;
	size_t text_len;
	struct entry *slots; /* open addressing; len 0 is free */
	size_t slot_count;   /* a power of two */
	size_t count;
	uint32_t shapes[PATTERN_MOST + 1]; /* bit s of shapes[p] */
	bool any_below;                    /* some "*.domain" or "local@*.domain" */
};

static bool label_ok(struct slice label)
{
	if (label.len == 0 || label.len > 63 || label.at[0] == '-' ||
	    label.at[label.len - 1] == '-')
		return false;
	for (size_t i = 0; i < label.len; i++) {
		uint8_t c = label.at[i];
		uint8_t low = c | 0x20;

		if (!(low >= 'a' && low <= 'z') && !(c >= '0' && c <= '9') && c != '-' &&
		    c != '_' && c < 0x80)
			return false;
	}
	return true;
}

/* The number of labels, or 0 when it is no domain. */
static size_t domain_labels(struct slice domain)
{
	size_t n = 0;

	if (domain.len == 0 || domain.len > 255)
		return 0;
	for (;;) {
		size_t dot = slice_find_byte(domain, '.');

		if (!label_ok(slice_part(domain, 0, dot)))
			return 0;
		n++;
		if (dot == SIZE_MAX)
			return n;
		domain = slice_from(domain, dot + 1);
	}
}

static const char *domain_fault(struct slice domain)
{
	if (slice_find_byte(domain, '*') == SIZE_MAX)
		return domain_labels(domain) ? NULL : "has no valid domain";
	if (!slice_starts_nocase(domain, slice_str("*.")))
		return "in a domain, \"*\" must stand alone before the first dot";
	size_t labels = domain_labels(slice_from(domain, 2));
	if (labels < 2 || labels > LABELS_MOST)
		return "2 to 9 labels must follow \"*.\"";
	return NULL;
}

static const char *local_fault(struct slice local)
{
	bool pattern = slice_find_byte(local, '*') != SIZE_MAX;

	if (local.len == 0)
		return "has no local part";
	for (size_t i = 0; i < local.len; i++)
		if (local.at[i] <= ' ' || local.at[i] == 0x7f)
			return "has a blank or control character";
	if (pattern && local.len > 1 &&
	    (local.len - 1 < PATTERN_LEAST || local.len - 1 > PATTERN_MOST))
		return "\"*\" must stand alone or with 3 to 19 characters before the \"@\"";
	return NULL;
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

static size_t stars(struct slice s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += s.at[i] == '*';
	return n;
}

const char *address_entry_fault(struct slice entry)
{
	struct slice domain;
	struct slice local = split(entry, &domain);
	const char *fault;

	if (entry.len < 3 || entry.len > 320)
		return "must have 3 to 320 characters";
	if (stars(entry) > 1)
		return "must have at most one \"*\"";
	if (local.len == entry.len)
		return domain_fault(entry);
	fault = local_fault(local);
	return fault ? fault : domain_fault(domain);
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

#define HASH_START 2166136261u

/* FNV-1a, spread at the end. Who fills a list is the administrator, so collisions are no attack. */
static uint32_t hash_more(uint32_t h, struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		h = (h ^ lower(s.at[i])) * 16777619u;
	return h;
}

static size_t slot_of(const struct address_list *list, uint32_t hash)
{
	return (hash ^ hash >> 15) & (list->slot_count - 1);
}

/* Up to four parts that together make a normal form. */
struct probe {
	struct slice part[4];
};

static bool probe_equals(struct slice entry, const struct probe *p)
{
	for (size_t i = 0; i < COUNT(p->part); i++) {
		if (!slice_starts_nocase(entry, p->part[i]))
			return false;
		entry = slice_from(entry, p->part[i].len);
	}
	return entry.len == 0;
}

static struct entry *find_slot(const struct address_list *list, const struct probe *p,
                               uint32_t *hash)
{
	uint32_t h = HASH_START;
	size_t i;

	for (size_t k = 0; k < COUNT(p->part); k++)
		h = hash_more(h, p->part[k]);
	*hash = h;
	for (i = slot_of(list, h); list->slots[i].len; i = (i + 1) & (list->slot_count - 1)) {
		const struct entry *s = &list->slots[i];

		if (s->hash == h && probe_equals(slice_of(list->text + s->at, s->len), p))
			break;
	}
	return &list->slots[i];
}

static bool has_form(const struct address_list *list, struct slice a, struct slice b,
                     struct slice c, struct slice d)
{
	struct probe p = { { a, b, c, d } };
	uint32_t hash;

	return find_slot(list, &p, &hash)->len != 0;
}

static void note_shape(struct address_list *list, struct slice local)
{
	size_t star = slice_find_byte(local, '*');

	if (star != SIZE_MAX)
		list->shapes[star] |= 1u << (local.len - 1 - star);
}

/* `entry` is valid. */
static void add_entry(struct address_list *list, struct slice entry)
{
	struct slice none = slice_of(NULL, 0);
	struct slice at = slice_str("@");
	struct slice domain;
	struct slice local = split(entry, &domain);
	bool address = local.len != entry.len;
	struct probe p = { { entry, none, none, none } };
	struct entry *slot;
	uint32_t hash;

	if (!address && entry.at[0] != '*')
		p = (struct probe) { { at, entry, none, none } };
	else if (address && slice_equal(local, slice_str("*")))
		p = (struct probe) { { at, domain, none, none } };
	else if (address)
		note_shape(list, local);
	if (slice_find(entry, slice_str("*.")) != SIZE_MAX)
		list->any_below = true;
	slot = find_slot(list, &p, &hash);
	if (slot->len)
		return;
	slot->at = list->text_len;
	slot->hash = hash;
	for (size_t k = 0; k < COUNT(p.part); k++) {
		for (size_t i = 0; i < p.part[k].len; i++)
			list->text[list->text_len++] = (char)lower(p.part[k].at[i]);
	}
	slot->len = (uint32_t)(list->text_len - slot->at);
	list->count++;
}

static enum rc check_entries(const json_t *addresses, size_t *bytes, struct err *e)
{
	size_t n = json_array_size(addresses);

	if (!json_is_array(addresses))
		return err_set(e, RC_INVALID, "Addresses: must be a list");
	if (n > ADDRESS_LIST_MOST)
		return err_set(e, RC_LIMIT, "Addresses: at most %d", ADDRESS_LIST_MOST);
	for (size_t i = 0; i < n; i++) {
		struct slice entry = json_text(json_array_get(addresses, i));
		const char *fault = address_entry_fault(entry);

		if (fault)
			return err_set(e, RC_INVALID, "Addresses[%zu]: %s", i, fault);
		*bytes += entry.len + 1;
	}
	return RC_OK;
}

enum rc address_list_new(struct address_list **out, const json_t *addresses, struct err *e)
{
	struct address_list *list;
	size_t bytes = 1;
	enum rc rc = check_entries(addresses, &bytes, e);

	*out = NULL;
	if (rc != RC_OK)
		return rc;
	list = mem_new(sizeof(*list));
	atomic_init(&list->refs, 1);
	list->text = mem_new(bytes);
	list->slot_count = 16;
	while (list->slot_count < 2 * json_array_size(addresses))
		list->slot_count *= 2;
	list->slots = mem_array(list->slot_count, sizeof(*list->slots));
	for (size_t i = 0; i < json_array_size(addresses); i++)
		add_entry(list, json_text(json_array_get(addresses, i)));
	*out = list;
	return RC_OK;
}

struct address_list *address_list_ref(struct address_list *list)
{
	(void)atomic_fetch_add(&list->refs, 1);
	return list;
}

void address_list_unref(struct address_list **list)
{
	struct address_list *l = *list;

	*list = NULL;
	if (!l || atomic_fetch_sub(&l->refs, 1) != 1)
		return;
	free(l->text);
	free(l->slots);
	free(l);
}

static bool has_pattern(const struct address_list *list, struct slice local, struct slice domain)
{
	for (size_t p = 0; p <= PATTERN_MOST && p <= local.len; p++) {
		for (size_t s = 0; list->shapes[p] >> s && p + s <= local.len; s++) {
			if (!(list->shapes[p] >> s & 1))
				continue;
			struct slice before = slice_part(local, 0, p);
			struct slice behind = slice_from(local, local.len - s);
			struct probe probe = { { before, slice_str("*"), behind,
				                 slice_of(domain.at - 1, domain.len + 1) } };
			uint32_t hash;

			if (find_slot(list, &probe, &hash)->len)
				return true;
		}
	}
	return false;
}

/* "*.suffix" and "local@*.suffix" for each suffix that has at least one label before it. */
static bool has_below(const struct address_list *list, struct slice local, struct slice domain)
{
	struct slice none = slice_of(NULL, 0);
	struct slice star = slice_str("*");
	size_t dot = slice_find_byte(domain, '.');

	while (dot != SIZE_MAX) {
		struct slice suffix = slice_from(domain, dot); /* with its dot */

		if (has_form(list, star, suffix, none, none) ||
		    has_form(list, local, slice_str("@*"), suffix, none))
			return true;
		domain = slice_from(suffix, 1);
		dot = slice_find_byte(domain, '.');
	}
	return false;
}

bool address_list_has(const struct address_list *list, struct slice address)
{
	struct slice none = slice_of(NULL, 0);
	struct slice domain;
	struct slice local = split(address, &domain);

	if (domain.len == 0 || local.len == 0 || address.len > 320 || stars(domain))
		return false;
	/* An asterisk is a legal character of a local part: the address must not be taken for a
	 * pattern of the list. */
	if (!stars(local) && has_form(list, address, none, none, none))
		return true;
	if (has_form(list, slice_str("@"), domain, none, none))
		return true;
	if (has_pattern(list, local, domain))
		return true;
	return list->any_below && has_below(list, local, domain);
}

size_t address_list_count(const struct address_list *list)
{
	return list->count;
}
