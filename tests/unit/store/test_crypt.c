#include "tests/unit/test.h"

#include <stdlib.h>
#include <sys/resource.h>

#include "base/codec.h"
#include "store/crypt.h"

static const uint8_t key[KEY_BYTES] = "crypt test key of 32 bytes ....";
static const uint8_t other[KEY_BYTES] = "crypt test key of 32 bytes ...X";

static void test_round_trip(void **state)
{
	static const size_t sizes[] = { 0, 1, 15, 16, 17, 4096, 100000 };

	(void)state;
	for (size_t i = 0; i < COUNT(sizes); i++) {
		size_t n = sizes[i];
		uint8_t *plain = mem_new(n + 1);
		uint8_t *sealed = mem_new(n + CRYPT_OVERHEAD);
		uint8_t *back = mem_new(n + 1);

		crypt_random(plain, n);
		crypt_seal(sealed, slice_of(plain, n), slice_str("place"), key);
		assert_int_equal(crypt_open(back, slice_of(sealed, n + CRYPT_OVERHEAD),
		                            slice_str("place"), key),
		                 RC_OK);
		assert_memory_equal(back, plain, n);
		free(plain);
		free(sealed);
		free(back);
	}
}

static void test_every_bit_counts(void **state)
{
	uint8_t sealed[20 + CRYPT_OVERHEAD];
	uint8_t back[20];

	(void)state;
	crypt_seal(sealed, slice_of("twenty bytes of text", 20), slice_str("place"), key);
	for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(
		        crypt_open(back, slice_of(sealed, sizeof(sealed)), slice_str("place"), key),
		        RC_CORRUPT);
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(
	        crypt_open(back, slice_of(sealed, sizeof(sealed)), slice_str("other"), key),
	        RC_CORRUPT);
	assert_int_equal(
	        crypt_open(back, slice_of(sealed, sizeof(sealed)), slice_str("place"), other),
	        RC_CORRUPT);
	for (size_t n = 0; n < sizeof(sealed); n++)
		assert_int_equal(crypt_open(back, slice_of(sealed, n), slice_str("place"), key),
		                 RC_CORRUPT);
	assert_int_equal(
	        crypt_open(back, slice_of(sealed, sizeof(sealed)), slice_str("place"), key), RC_OK);
}

static void test_no_two_alike(void **state)
{
	uint8_t a[8 + CRYPT_OVERHEAD];
	uint8_t b[8 + CRYPT_OVERHEAD];

	(void)state;
	crypt_seal(a, slice_of("the same", 8), slice_str(""), key);
	crypt_seal(b, slice_of("the same", 8), slice_str(""), key);
	assert_memory_not_equal(a, b, CRYPT_NONCE);
	assert_memory_not_equal(a + CRYPT_NONCE, b + CRYPT_NONCE, 8);
}

static void test_derive(void **state)
{
	uint8_t a[KEY_BYTES];
	uint8_t b[KEY_BYTES];

	(void)state;
	crypt_derive(a, key, "one");
	crypt_derive(b, key, "one");
	assert_memory_equal(a, b, KEY_BYTES);
	crypt_derive(b, key, "two");
	assert_memory_not_equal(a, b, KEY_BYTES);
	crypt_derive(b, other, "one");
	assert_memory_not_equal(a, b, KEY_BYTES);
}

/* FIPS 180-4 examples. */
static void test_sha256(void **state)
{
	static const struct {
		const char *text;
		const char *hex;
	} cases[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct sha256 *h = sha256_new();
		uint8_t sum[32];
		char hex[65];

		sha256(sum, slice_str(cases[i].text));
		hex_encode(hex, sum, 32);
		assert_string_equal(hex, cases[i].hex);
		for (const char *c = cases[i].text; *c; c++)
			sha256_add(h, slice_of(c, 1));
		sha256_end(&h, sum);
		assert_null(h);
		hex_encode(hex, sum, 32);
		assert_string_equal(hex, cases[i].hex);
	}
}

/* A process that holds keys leaves none in a core file. */
static void test_no_core(void **state)
{
	struct rlimit r;

	(void)state;
	crypt_init();
	assert_int_equal(getrlimit(RLIMIT_CORE, &r), 0);
	assert_int_equal(r.rlim_cur, 0);
	assert_int_equal(r.rlim_max, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_every_bit_counts),
		cmocka_unit_test(test_no_two_alike), cmocka_unit_test(test_derive),
		cmocka_unit_test(test_sha256),       cmocka_unit_test(test_no_core),
	};

	crypt_init();
	crypt_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
