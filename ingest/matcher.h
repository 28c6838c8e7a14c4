/*
 * ingest/matcher.h - which of many words are in a text, in one pass
 *
 * What     Aho and Corasick's automaton: the words are a tree by their bytes, and each node knows the longest end of
 *          what led to it that begins a word too. A text is read once, whatever the number of words.
 * Text     ASCII letters compare without case.
 * Cost     Two steps a byte of the text at most, each a search among the bytes that go on (at most 256). 13 bytes of
 *          memory for each byte of the words; 12 more while it is made.
 * Limits   The words have less than 4 GiB; the caller bounds them.
 * Threads  Any; immutable once made.
 */
#ifndef MM_INGEST_MATCHER_H
#define MM_INGEST_MATCHER_H

#include "base/slice.h"

struct matcher;

/* Copies the words, which are in lower case. */
struct matcher *matcher_new(const struct slice *words, size_t count);
void matcher_free(struct matcher **m); /* NULL is fine */
/* Bytes of a memory, zeroed before the first text, that says which words were found. */
size_t matcher_found_bytes(const struct matcher *m);
/* Adds to `found` the words that are in this text. */
void matcher_read(const struct matcher *m, struct slice text, uint8_t *found);
/* Was that word (its place among `words`) in one of the texts? An empty one is in every text. */
bool matcher_has(const struct matcher *m, const uint8_t *found, size_t word);

#endif
