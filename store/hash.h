/*
 * store/hash.h - uthash as we use it: out of memory aborts, and keys are hashed by FNV-1a (the
 * default hash falls through its switch labels, which our warnings refuse). Keys are ours, or so few
 * (the recipients of one message) that a peer who makes them collide wins nothing.
 */
#ifndef MM_STORE_HASH_H
#define MM_STORE_HASH_H

#include "base/compiler.h"

#define uthash_fatal(msg)                     must_failed(msg, __FILE__, __LINE__)
#define HASH_FUNCTION(keyptr, keylen, hashv) HASH_FNV(keyptr, keylen, hashv)
#include <uthash.h>

#endif
