#include "store/crypt.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <sodium.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <stdlib.h>

#include "store/aead.h"

_Static_assert(CRYPT_NONCE == crypto_core_hchacha20_INPUTBYTES + 8, "nonce");
_Static_assert(CRYPT_TAG == AEAD_TAG, "tag");
_Static_assert(KEY_BYTES == AEAD_KEY && KEY_BYTES == crypto_core_hchacha20_KEYBYTES, "key");

static pthread_once_t once = PTHREAD_ONCE_INIT;
/* Fetched once: a fetch reads OpenSSL's configuration file, which a sandbox would forbid later. */
static EVP_MD *sha256_algorithm;

static void init_once(void)
{
	const struct rlimit none = { 0, 0 };

	MUST(sodium_init() >= 0);
	sha256_algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
	MUST(sha256_algorithm);
	aead_init();
	/* Opens /dev/urandom where getrandom is missing, before a sandbox is entered. */
	randombytes_stir();
	/* What holds keys leaves no image of its memory on a disk, and no debugger of its user sees
	 * it. */
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
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
/* XChaCha20 is ChaCha20 under a key derived from the first 16 bytes of its nonce, with the other 8
 * behind four zeros: draft-irtf-cfrg-xchacha-03, section 2.3. */
static void derive(uint8_t subkey[AEAD_KEY], uint8_t nonce[AEAD_NONCE], const uint8_t *long_nonce,
                   const uint8_t key[KEY_BYTES])
{
	MUST(crypto_core_hchacha20(subkey, long_nonce, key, NULL) == 0);
	memset(nonce, 0, 4);
	memcpy(nonce + 4, long_nonce + crypto_core_hchacha20_INPUTBYTES, 8);
}

void crypt_seal(uint8_t *out, struct slice plain, struct slice bound, const uint8_t key[KEY_BYTES])
{
	uint8_t subkey[AEAD_KEY];
	uint8_t nonce[AEAD_NONCE];

	randombytes_buf(out, CRYPT_NONCE);
	derive(subkey, nonce, out, key);
	aead_seal(out + CRYPT_NONCE, out + CRYPT_NONCE + plain.len, plain, bound, nonce, subkey);
	sodium_memzero(subkey, sizeof(subkey));
}

enum rc crypt_open(uint8_t *out, struct slice sealed, struct slice bound,
                   const uint8_t key[KEY_BYTES])
{
	uint8_t subkey[AEAD_KEY];
	uint8_t nonce[AEAD_NONCE];
	struct slice bytes;
	bool good;

	if (sealed.len < CRYPT_OVERHEAD)
		return RC_CORRUPT;
	derive(subkey, nonce, sealed.at, key);
	bytes = slice_part(sealed, CRYPT_NONCE, sealed.len - CRYPT_OVERHEAD);
	good = aead_open(out, bytes, bytes.at + bytes.len, bound, nonce, subkey);
	sodium_memzero(subkey, sizeof(subkey));
	return good ? RC_OK : RC_CORRUPT;
}
#endif

void crypt_random(void *out, size_t n)
{
	randombytes_buf(out, n);
}

uint64_t crypt_bucket(const uint8_t key[CRYPT_BUCKET_KEY], struct slice name)
{
	uint64_t hash;

	_Static_assert(CRYPT_BUCKET_KEY == crypto_shorthash_KEYBYTES, "the key's length");
	_Static_assert(sizeof(hash) == crypto_shorthash_BYTES, "the hash's length");
	MUST(crypto_shorthash((uint8_t *)&hash, name.at, name.len, key) == 0);
	return hash;
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
