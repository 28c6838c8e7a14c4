/* OpenSSL's ChaCha20-Poly1305 as we use it, against libsodium's. */
#include "tests/unit/test.h"

#include <sodium.h>
#include <stdlib.h>

#include "store/aead.h"
#include "store/crypt.h"

#define MOST 140000

struct sample {
	uint8_t plain[MOST];
	uint8_t ours[MOST + CRYPT_OVERHEAD];
	uint8_t theirs[MOST + CRYPT_OVERHEAD];
	uint8_t back[MOST];
	uint8_t key[AEAD_KEY];
	uint8_t nonce[CRYPT_NONCE];
	uint8_t bound[100];
	struct slice place;
};

static const size_t sizes[] = {
	0, 1, 15, 16, 17, 63, 64, 65, 255, 1024, 4096, 65535, 65536, 131073
};

static struct sample *sample_new(size_t i)
{
	struct sample *s = mem_new(sizeof(*s));

	crypt_random(s, sizeof(*s));
	s->place = slice_of(s->bound, i * 13 % sizeof(s->bound));
	return s;
}

static void test_as_libsodium(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct sample *s = sample_new(i);
		size_t n = sizes[i];
		unsigned long long len;

		assert_int_equal(crypto_aead_chacha20poly1305_ietf_encrypt(
		                         s->theirs, &len, s->plain, n, s->place.at, s->place.len,
		                         NULL, s->nonce, s->key),
		                 0);
		aead_seal(s->ours, s->ours + n, slice_of(s->plain, n), s->place, s->nonce, s->key);
		assert_memory_equal(s->ours, s->theirs, n + AEAD_TAG);
		/* In place, as the spool does it. */
		assert_true(aead_open(s->theirs, slice_of(s->theirs, n), s->theirs + n, s->place,
		                      s->nonce, s->key));
		assert_memory_equal(s->theirs, s->plain, n);
		aead_seal(s->plain, s->back, slice_of(s->plain, n), s->place, s->nonce, s->key);
		assert_memory_equal(s->plain, s->ours, n);
		free(s);
	}
}

static void test_damage(void **state)
{
	struct sample *s = sample_new(3);

	(void)state;
	aead_seal(s->ours, s->ours + 50, slice_of(s->plain, 50), s->place, s->nonce, s->key);
	for (size_t bit = 0; bit < 8 * (50 + AEAD_TAG); bit++) {
		static const uint8_t zero[50];

		memset(s->back, 1, 50);
		s->ours[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(aead_open(s->back, slice_of(s->ours, 50), s->ours + 50, s->place,
		                       s->nonce, s->key));
		assert_memory_equal(s->back, zero, 50);
		s->ours[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_false(aead_open(s->back, slice_of(s->ours, 50), s->ours + 50, slice_str("elsewhere"),
	                       s->nonce, s->key));
	s->key[0] ^= 1;
	assert_false(aead_open(s->back, slice_of(s->ours, 50), s->ours + 50, s->place, s->nonce,
	                       s->key));
	s->key[0] ^= 1;
	s->nonce[0] ^= 1;
	assert_false(aead_open(s->back, slice_of(s->ours, 50), s->ours + 50, s->place, s->nonce,
	                       s->key));
	s->nonce[0] ^= 1;
	assert_true(aead_open(s->back, slice_of(s->ours, 50), s->ours + 50, s->place, s->nonce,
	                      s->key));
	free(s);
}

static void test_long_nonces_as_libsodium(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct sample *s = sample_new(i);
		size_t n = sizes[i];
		unsigned long long len;

		crypt_seal(s->ours, slice_of(s->plain, n), s->place, s->key);
		assert_int_equal(crypto_aead_xchacha20poly1305_ietf_decrypt(
		                         s->back, &len, NULL, s->ours + CRYPT_NONCE, n + CRYPT_TAG,
		                         s->place.at, s->place.len, s->ours, s->key),
		                 0);
		assert_memory_equal(s->back, s->plain, n);
		memcpy(s->theirs, s->nonce, CRYPT_NONCE);
		assert_int_equal(crypto_aead_xchacha20poly1305_ietf_encrypt(
		                         s->theirs + CRYPT_NONCE, &len, s->plain, n, s->place.at,
		                         s->place.len, NULL, s->nonce, s->key),
		                 0);
		EXPECT("theirs opens", crypt_open(s->back, slice_of(s->theirs, n + CRYPT_OVERHEAD),
		                                  s->place, s->key) == RC_OK);
		assert_memory_equal(s->back, s->plain, n);
		free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_libsodium),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_long_nonces_as_libsodium),
	};

	crypt_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
