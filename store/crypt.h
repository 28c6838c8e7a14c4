/*
 * store/crypt.h - the authenticated encryption that all files share
 *
 * XChaCha20-Poly1305 (libsodium's HChaCha20 over store/aead.h) with a random 24-byte nonce in front of
 * the ciphertext and a 16-byte tag behind it. What the bytes are bound to (file, place, owner) goes into `bound`.
 * A build with MM_TEST_PLAINTEXT copies instead of encrypting: the control of the canary test.
 */
#ifndef MM_STORE_CRYPT_H
#define MM_STORE_CRYPT_H

#include "base/buf.h"
#include "store/keyring.h"

#define CRYPT_NONCE    24
#define CRYPT_TAG      16
#define CRYPT_OVERHEAD (CRYPT_NONCE + CRYPT_TAG)

/* Must be called once before any other function of store/; aborts when libsodium can't start. Ends core dumps and
 * tracing by its user for this process. */
void crypt_init(void);
/* out: plain.len + CRYPT_OVERHEAD bytes; may not overlap `plain`. */
void crypt_seal(uint8_t *out, struct slice plain, struct slice bound, const uint8_t key[KEY_BYTES]);
/* out: sealed.len - CRYPT_OVERHEAD bytes. RC_CORRUPT when a bit was changed or the key is another. */
enum rc crypt_open(uint8_t *out, struct slice sealed, struct slice bound,
		   const uint8_t key[KEY_BYTES]) MUST_USE;
void crypt_random(void *out, size_t n);
void crypt_wipe(void *p, size_t n);
/* For a table's buckets, where a peer chooses the names: SipHash-2-4; nobody without the key finds collisions. */
#define CRYPT_BUCKET_KEY 16
uint64_t crypt_bucket(const uint8_t key[CRYPT_BUCKET_KEY], struct slice name);
/* A key for another use, derived by BLAKE2b keyed with `key` over the label. */
void crypt_derive(uint8_t out[KEY_BYTES], const uint8_t key[KEY_BYTES], const char *label);
/* SHA-256 by OpenSSL (5 times libsodium's speed on machines with SHA-NI). */
void sha256(uint8_t out[32], struct slice bytes);
struct sha256;
struct sha256 *sha256_new(void);
void sha256_add(struct sha256 *h, struct slice bytes);
void sha256_end(struct sha256 **h, uint8_t out[32]); /* frees and empties the pointer */

#endif
