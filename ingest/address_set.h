/*
 * ingest/address_set.h - the compiled members of an address list, cheap to change
 *
 * What     A hash table of entries (address_list.h has their forms), cut into shards that sets share:
 *          a changed copy takes memory and time for the shards it touches, whatever the size.
 * Why      One member more among 100,000 must not cost a table of 100,000; and what changed between
 *          two sets (for mm-smtpd) is found by comparing the shards' addresses.
 * Form     Entries are kept in one normal form, in lower case: "local@domain", "@domain" (from
 *          "domain" and "*@domain"), "pre*post@domain", "*.domain", "local@*.domain". Several entries
 *          may have one form: it stays until the last of them is removed. A normal form is taken as an
 *          entry, too.
 * Owner    Reference-counted. A set that its maker alone has may be changed; one that was given away
 *          never changes again.
 * Threads  Any, but for the changes.
 */
#ifndef MM_INGEST_ADDRESS_SET_H
#define MM_INGEST_ADDRESS_SET_H

#include "base/slice.h"

struct address_set;

struct address_set *address_set_new(void);
/* To be changed; shares everything with `from` (NULL: an empty one). */
struct address_set *address_set_copy(const struct address_set *from);
struct address_set *address_set_ref(struct address_set *s);
void address_set_unref(struct address_set **s); /* NULL is fine */
/* `entry` is valid (address_entry_fault), or a normal form. */
void address_set_add(struct address_set *s, struct slice entry);
/* One that isn't there: nothing happens. */
void address_set_remove(struct address_set *s, struct slice entry);
/* Is the address covered? An empty one (the null sender) never is. */
bool address_set_has(const struct address_set *s, struct slice address);
size_t address_set_count(const struct address_set *s); /* normal forms */
/* Calls for each normal form that is in one of them alone; NULL counts as empty. */
void address_set_compare(const struct address_set *old, const struct address_set *fresh,
			 void (*differs)(void *arg, bool added, struct slice form), void *arg);

#endif
