#include "ingest/address_list.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define LABELS_MOST   9
#define PATTERN_LEAST 3
#define PATTERN_MOST  19

struct address_list {
	atomic_uint refs;
	pthread_mutex_t lock;
	struct address_set *set;
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

static enum rc add_all(struct address_set *set, const json_t *addresses, struct err *e)
{
	size_t n = json_array_size(addresses);

	if (!json_is_array(addresses))
		return err_set(e, RC_INVALID, "Addresses: must be a list");
	for (size_t i = 0; i < n; i++) {
		struct slice entry = json_text(json_array_get(addresses, i));
		const char *fault = address_entry_fault(entry);

		if (fault)
			return err_set(e, RC_INVALID, "Addresses[%zu]: %s", i, fault);
		address_set_add(set, entry);
	}
	return RC_OK;
}

enum rc address_list_new(struct address_list **out, const json_t *addresses, struct err *e)
{
	struct address_set *set = address_set_new();
	enum rc rc = add_all(set, addresses, e);

	*out = rc == RC_OK ? address_list_of(set) : NULL;
	address_set_unref(&set);
	return rc;
}

struct address_list *address_list_of(struct address_set *set)
{
	struct address_list *list = mem_new(sizeof(*list));

	atomic_init(&list->refs, 1);
	MUST(pthread_mutex_init(&list->lock, NULL) == 0);
	list->set = address_set_ref(set);
	return list;
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
	address_set_unref(&l->set);
	(void)pthread_mutex_destroy(&l->lock);
	free(l);
}

struct address_set *address_list_set(struct address_list *list)
{
	struct address_set *set;

	(void)pthread_mutex_lock(&list->lock);
	set = address_set_ref(list->set);
	(void)pthread_mutex_unlock(&list->lock);
	return set;
}

void address_list_take(struct address_list *list, struct address_set *set)
{
	struct address_set *old;

	(void)pthread_mutex_lock(&list->lock);
	old = list->set;
	list->set = address_set_ref(set);
	(void)pthread_mutex_unlock(&list->lock);
	address_set_unref(&old);
}

bool address_list_has(struct address_list *list, struct slice address)
{
	bool has;

	(void)pthread_mutex_lock(&list->lock);
	has = address_set_has(list->set, address);
	(void)pthread_mutex_unlock(&list->lock);
	return has;
}

size_t address_list_count(struct address_list *list)
{
	size_t n;

	(void)pthread_mutex_lock(&list->lock);
	n = address_set_count(list->set);
	(void)pthread_mutex_unlock(&list->lock);
	return n;
}
