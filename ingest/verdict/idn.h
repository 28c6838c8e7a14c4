/*
 * ingest/verdict/idn.h - domains as people write them, in the form that DNS has
 *
 * What     U-labels become A-labels (UTS 46, nontransitional), letters lower case. What is in ASCII isn't judged but
 *          by the form of a name: labels of 1 to 63 letters, digits, '-' and '_', at most 253 in all.
 * Threads  Any.
 */
#ifndef MM_INGEST_VERDICT_IDN_H
#define MM_INGEST_VERDICT_IDN_H

#include "base/slice.h"

#define IDN_SHOWN 1024 /* longer ones are none */

bool idn_to_ascii(char out[256], struct slice shown);

#endif
