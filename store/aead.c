#include "store/aead.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>

static EVP_CIPHER *cipher;
static pthread_key_t context; /* of each thread */

static void context_free(void *ctx)
{
	EVP_CIPHER_CTX_free(ctx);
}

void aead_init(void)
{
	cipher = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
	MUST(cipher);
	MUST(pthread_key_create(&context, context_free) == 0);
}

static EVP_CIPHER_CTX *context_of_thread(void)
{
	EVP_CIPHER_CTX *ctx = pthread_getspecific(context);

	if (ctx)
		return ctx;
	ctx = EVP_CIPHER_CTX_new();
	MUST(ctx && EVP_CipherInit_ex2(ctx, cipher, NULL, NULL, 1, NULL) == 1);
	MUST(pthread_setspecific(context, ctx) == 0);
	return ctx;
}

static void set_key(EVP_CIPHER_CTX *ctx, const uint8_t *key, const uint8_t *nonce, int seal)
{
	MUST(EVP_CipherInit_ex2(ctx, NULL, key, nonce, seal, NULL) == 1);
}

/* A key that was destroyed, or a step that the chain of the spool has left behind, is not kept
 * here. */
static void forget_key(EVP_CIPHER_CTX *ctx)
{
	static const uint8_t none[AEAD_KEY];

	set_key(ctx, none, none, 1);
}

static void update(EVP_CIPHER_CTX *ctx, uint8_t *out, struct slice in)
{
	int n;

	/* None of our pieces, pages and blocks is that long: base/limits.h. */
	MUST(in.len <= INT_MAX);
	if (in.len)
		MUST(EVP_CipherUpdate(ctx, out, &n, in.at, (int)in.len) == 1 &&
		     (size_t)n == in.len);
}

void aead_seal(uint8_t *out, uint8_t tag[AEAD_TAG], struct slice plain, struct slice bound,
               const uint8_t nonce[AEAD_NONCE], const uint8_t key[AEAD_KEY])
{
	EVP_CIPHER_CTX *ctx = context_of_thread();
	uint8_t end[AEAD_TAG];
	int n;

	set_key(ctx, key, nonce, 1);
	update(ctx, NULL, bound);
	update(ctx, out, plain);
	MUST(EVP_CipherFinal_ex(ctx, end, &n) == 1 && n == 0);
	MUST(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG, tag) == 1);
	forget_key(ctx);
}

bool aead_open(uint8_t *out, struct slice sealed, const uint8_t tag[AEAD_TAG], struct slice bound,
               const uint8_t nonce[AEAD_NONCE], const uint8_t key[AEAD_KEY])
{
	EVP_CIPHER_CTX *ctx = context_of_thread();
	uint8_t want[AEAD_TAG];
	uint8_t end[AEAD_TAG];
	bool good;
	int n;

	memcpy(want, tag, AEAD_TAG);
	set_key(ctx, key, nonce, 0);
	MUST(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG, want) == 1);
	update(ctx, NULL, bound);
	update(ctx, out, sealed);
	good = EVP_CipherFinal_ex(ctx, end, &n) == 1;
	forget_key(ctx);
	/* OpenSSL gives the bytes before it has compared the tag. */
	if (!good && sealed.len)
		OPENSSL_cleanse(out, sealed.len);
	return good;
}
