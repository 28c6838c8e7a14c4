/*
 * ingest/address_list.h - many addresses, domains and wildcards; is this address in it?
 *
 * What     Entries in the forms of the API (spec section 6), at most one "*" each:
 *            user@example.com     this address
 *            example.com          every address at this domain (not below it)
 *            *.example.com        every address at a domain below it (any depth, not itself)
 *            *@example.com        as example.com
 *            123*@example.com     local parts by pattern: 3 to 19 characters beside the "*"
 *            local@*.example.com  this local part at a domain below; 2 to 9 labels after the "*"
 *          ASCII letters compare without case. The whole address is compared, plus-tag included.
 * Why      A look-up is a few probes of one hash table, whatever the size of the list: it is made
 *          for every recipient.
 * Changes  Policies and rules hold the list and ask what it has now: its members (an address_set) are
 *          exchanged whole, under a lock that a look-up holds, too.
 * Owner    Reference-counted.
 * Fails    RC_INVALID with the entry's index.
 * Threads  Any.
 */
#ifndef MM_INGEST_ADDRESS_LIST_H
#define MM_INGEST_ADDRESS_LIST_H

#include "base/json.h"
#include "ingest/address_set.h"

#define ADDRESS_LIST_MOST 1000000 /* in a file of mmctl apply */

struct address_list;

/* NULL when the entry is valid, else what is wrong with it (a constant text). */
const char *address_entry_fault(struct slice entry);
/* From a JSON array of strings. */
enum rc address_list_new(struct address_list **out, const json_t *addresses,
			 struct err *e) MUST_USE;
/* With a reference of its own to the set. */
struct address_list *address_list_of(struct address_set *set);
struct address_list *address_list_ref(struct address_list *list);
void address_list_unref(struct address_list **list);
/* The members as they are now, with a reference for the caller. */
struct address_set *address_list_set(struct address_list *list);
/* From now on these (a reference of its own). */
void address_list_take(struct address_list *list, struct address_set *set);
/* `address` is local@domain without brackets; an empty one (the null sender) is in no list. */
bool address_list_has(struct address_list *list, struct slice address);
size_t address_list_count(struct address_list *list);

#endif
