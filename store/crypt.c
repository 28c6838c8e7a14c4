#include "store/crypt.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <sodium.h>
#include <sys/resource.h>
#include <stdlib.h>

_Static_assert(CRYPT_NONCE == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
_Static_assert(CRYPT_TAG == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag");
_Static_assert(KEY_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key");

static pthread_once_t once = PTHREAD_ONCE_INIT;
/* Fetched once: a fetch reads OpenSSL's configuration file, which a sandbox would forbid later. */
static EVP_MD *sha256_algorithm;

static void init_once(void)
{
	const struct rlimit none = { 0, 0 };

	MUST(sodium_init() >= 0);
	sha256_algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
	MUST(sha256_algorithm);
	/* Opens /dev/urandom where getrandom is missing, before a sandbox is entered. */
	randombytes_stir();
	/* What holds keys leaves no image of its memory on a disk. */
	(void)setrlimit(RLIMIT_CORE, &none);
}

void crypt_init(void)
{
	MUST(pthread_once(&once, init_once) == 0);
}

#ifdef MM_TEST_PLAINTEXT
/* The control of the canary test: everything lies readable on disk, as a broken build would. */
void crypt_seal(uint8_t *out, struct slice plain, struct slice bound, const uint8_t key[KEY_BYTES])
{
	(void)bound;
	(void)key;
	memset(out, 0, CRYPT_NONCE);
	if (plain.len)
		memcpy(out + CRYPT_NONCE, plain.at, plain.len);
	memset(out + CRYPT_NONCE + plain.len, 0, CRYPT_TAG);
}

enum rc crypt_open(uint8_t *out, struct slice sealed, struct slice bound,
                   const uint8_t key[KEY_BYTES])
{
	(void)bound;
	(void)key;
	if (sealed.len < CRYPT_OVERHEAD)
		return RC_CORRUPT;
	if (sealed.len > CRYPT_OVERHEAD)
		memcpy(out, sealed.at + CRYPT_NONCE, sealed.len - CRYPT_OVERHEAD);
	return RC_OK;
}
#else
void crypt_seal(uint8_t *out, struct slice plain, struct slice bound, const uint8_t key[KEY_BYTES])
{
	unsigned long long n;

	randombytes_buf(out, CRYPT_NONCE);
	MUST(crypto_aead_xchacha20poly1305_ietf_encrypt(out + CRYPT_NONCE, &n, plain.at, plain.len,
	                                                bound.at, bound.len, NULL, out, key) == 0);
	MUST(n == plain.len + CRYPT_TAG);
}

enum rc crypt_open(uint8_t *out, struct slice sealed, struct slice bound,
                   const uint8_t key[KEY_BYTES])
{
	unsigned long long n;

	if (sealed.len < CRYPT_OVERHEAD)
		return RC_CORRUPT;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(out, &n, NULL, sealed.at + CRYPT_NONCE,
	                                               sealed.len - CRYPT_NONCE, bound.at,
	                                               bound.len, sealed.at, key) != 0)
		return RC_CORRUPT;
	return RC_OK;
}
#endif

void crypt_random(void *out, size_t n)
{
	randombytes_buf(out, n);
}

void crypt_wipe(void *p, size_t n)
{
	sodium_memzero(p, n);
}

void crypt_derive(uint8_t out[KEY_BYTES], const uint8_t key[KEY_BYTES], const char *label)
{
	struct slice s = slice_str(label);

	MUST(crypto_generichash(out, KEY_BYTES, s.at, s.len, key, KEY_BYTES) == 0);
}

struct sha256 {
	EVP_MD_CTX *ctx;
};

struct sha256 *sha256_new(void)
{
	struct sha256 *h = mem_new(sizeof(*h));

	crypt_init();
	h->ctx = EVP_MD_CTX_new();
	MUST(h->ctx && EVP_DigestInit_ex2(h->ctx, sha256_algorithm, NULL) == 1);
	return h;
}

void sha256_add(struct sha256 *h, struct slice bytes)
{
	if (bytes.len)
		MUST(EVP_DigestUpdate(h->ctx, bytes.at, bytes.len) == 1);
}

void sha256_end(struct sha256 **h, uint8_t out[32])
{
	MUST(EVP_DigestFinal_ex((*h)->ctx, out, NULL) == 1);
	EVP_MD_CTX_free((*h)->ctx);
	free(*h);
	*h = NULL;
}

void sha256(uint8_t out[32], struct slice bytes)
{
	struct sha256 *h = sha256_new();

	sha256_add(h, bytes);
	sha256_end(&h, out);
}
