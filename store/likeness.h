/*
 * store/likeness.h - which messages are alike, by their headers
 *
 * A guess that decides about compression alone: messages of the same list, then of the same sender's
 * domain, then with subjects that begin alike have keys that lie near each other. Reads at most the
 * first 16 KiB, any bytes; who writes what is senseless gets a key that is senseless.
 */
#ifndef MM_STORE_LIKENESS_H
#define MM_STORE_LIKENESS_H

#include "base/slice.h"

#define LIKENESS_BYTES 32

/* Keys are in the order of memcmp. */
void likeness(uint8_t out[LIKENESS_BYTES], struct slice raw);

#endif
