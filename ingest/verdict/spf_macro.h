/*
 * ingest/verdict/spf_macro.h - macros of an SPF record (RFC 7208 section 7)
 *
 * What     Grammar of domain-spec, macro-string and explain-string, and their expansion. Nothing is looked up
 *          here: who expands a text that has %{p} finds that name before.
 * Names    An expanded name has 253 bytes at most: what is longer loses labels on its left (7.3). A final dot is
 *          dropped. It isn't checked again: what can't be in DNS isn't found there.
 * Memory   Fixed, whatever a record makes of its macros: of a name the end is kept, of a text the beginning.
 * Threads  Any.
 */
#ifndef MM_INGEST_VERDICT_SPF_MACRO_H
#define MM_INGEST_VERDICT_SPF_MACRO_H

#include "base/cidr.h"
#include "base/slice.h"

#define SPF_NAME 254 /* with the NUL */

struct spf_macros {
	struct slice sender;        /* %{s} */
	struct slice local;         /* %{l} */
	struct slice sender_domain; /* %{o} */
	struct slice domain;        /* %{d}: whose record this is */
	struct slice helo;          /* %{h} */
	struct slice receiver;      /* %{r}; "unknown" where it is empty */
	struct slice validated;     /* %{p}; "unknown" where it is empty */
	struct ip client;           /* %{i}, %{c}, %{v} */
	int64_t now_s;              /* %{t} */
};

/* A macro-string that ends in a macro or in a dot and a top label; a dot may follow that. The letters c, r and t,
 * which belong in explanations, are refused. */
bool spf_domain_spec(struct slice s);
/* Of a modifier that isn't known. */
bool spf_macro_string(struct slice s);
/* With blanks. */
bool spf_explain_string(struct slice s);
/* A macro with a letter, not only the escapes %%, %_ and %-. */
bool spf_has_macro(struct slice s);
/* That letter, given in lower case, in either. */
bool spf_has_letter(struct slice s, char letter);

/* Both take a text that one of the three above accepted. */

/* A name in lower case. Returns its length: a value may have a NUL in it. 0: nothing is left. */
size_t spf_expand_name(char out[SPF_NAME], struct slice spec, const struct spf_macros *m);
/* The first room - 1 bytes; those that aren't printable ASCII become "?". */
void spf_expand_text(char *out, size_t room, struct slice text, const struct spf_macros *m);
/* The name whose PTR records name that address (RFC 1035 section 3.5, RFC 3596 section 2.5); its length. */
size_t spf_reverse_name(char out[SPF_NAME], const struct ip *ip);

#endif
