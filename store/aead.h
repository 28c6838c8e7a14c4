/*
 * store/aead.h - ChaCha20-Poly1305 (RFC 8439) by OpenSSL
 *
 * The same bytes as libsodium's crypto_aead_chacha20poly1305_ietf, at 3.7 GB/s instead of 1.5 where the
 * processor has AVX-512 (64 KiB pieces): it is half of what a large message costs on its way to the
 * spool. XChaCha20-Poly1305 (store/crypt.h) is this under a key that HChaCha20 derives.
 * Each thread has a context of its own, which keeps no key between calls.
 */
#ifndef MM_STORE_AEAD_H
#define MM_STORE_AEAD_H

#include "base/err.h"
#include "base/slice.h"

#define AEAD_KEY   32
#define AEAD_NONCE 12
#define AEAD_TAG   16

/* Called by crypt_init: fetches the cipher, which a sandbox would forbid later. */
void aead_init(void);
/* out: plain.len bytes; may be plain.at itself, else apart from it. */
void aead_seal(uint8_t *out, uint8_t tag[AEAD_TAG], struct slice plain, struct slice bound,
	       const uint8_t nonce[AEAD_NONCE], const uint8_t key[AEAD_KEY]);
/* out: sealed.len bytes, all zero when the result is false (a bit was changed, or another key). */
bool aead_open(uint8_t *out, struct slice sealed, const uint8_t tag[AEAD_TAG], struct slice bound,
	       const uint8_t nonce[AEAD_NONCE], const uint8_t key[AEAD_KEY]) MUST_USE;

#endif
