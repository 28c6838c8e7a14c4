#include "ingest/spool/record.h"

#include <sodium.h>

#include "base/codec.h"
#include "store/aead.h"

/* "MMSP" and "MMRC" as the little-endian numbers of those bytes. */
#define FILE_MAGIC   0x50534d4du
#define RECORD_MAGIC 0x43524d4du
#define VERSION      1u

_Static_assert(crypto_box_PUBLICKEYBYTES == SPOOL_KEY, "an X25519 key has 32 bytes");
_Static_assert(AEAD_TAG == SPOOL_TAG && AEAD_KEY == SPOOL_KEY, "tag and key of the pieces");

/* Offsets in the header of a file. */
enum {
	FH_MAGIC = 0,
	FH_VERSION = 4,
	FH_NUMBER = 8,
	FH_EPOCH = 16,
	FH_WRITER = 24,
	FH_CAPACITY = 32,
	FH_BEGUN = 40,
	FH_PUBLIC = 48,
	FH_SEALED = 80,
	FH_MAC = FH_SEALED + SPOOL_KEY + crypto_box_SEALBYTES,
	FH_END = FH_MAC + 32,
};
_Static_assert(FH_END <= SPOOL_FILE_HEADER, "the header fits");

/* Offsets in the header of a record. */
enum {
	RH_MAGIC = 0,
	RH_TYPE = 4,
	RH_EPOCH = 8,
	RH_N = 16,
	RH_LENGTH = 24,
	RH_SYNCED = 32,
	RH_MAC = 48,
	RH_MAC_BYTES = 16,
};
_Static_assert(RH_MAC + RH_MAC_BYTES == SPOOL_HEADER, "the header is full");

static void hash_keyed(uint8_t *out, size_t n, const void *in, size_t in_n,
                       const uint8_t key[SPOOL_KEY])
{
	MUST(crypto_generichash(out, n, in, in_n, key, SPOOL_KEY) == 0);
}

uint64_t spool_plain_bytes(uint64_t sealed)
{
	uint64_t box = SPOOL_PIECE + SPOOL_TAG;
	uint64_t whole = sealed / box;
	uint64_t rest = sealed % box;

	if (rest == 0)
		return whole * SPOOL_PIECE;
	return rest > SPOOL_TAG ? whole * SPOOL_PIECE + rest - SPOOL_TAG : 0;
}

static void file_header_mac(uint8_t out[32], const uint8_t *header, const uint8_t k0[SPOOL_KEY])
{
	static const char label[] = "mm spool file header";
	uint8_t key[SPOOL_KEY];

	hash_keyed(key, sizeof(key), label, sizeof(label), k0);
	hash_keyed(out, 32, header, FH_MAC, key);
	sodium_memzero(key, sizeof(key));
}

void spool_file_header_put(uint8_t out[SPOOL_FILE_HEADER], const struct spool_file_header *h,
                           const uint8_t k0[SPOOL_KEY])
{
	memset(out, 0, SPOOL_FILE_HEADER);
	put_le32(out + FH_MAGIC, FILE_MAGIC);
	put_le32(out + FH_VERSION, VERSION);
	put_le64(out + FH_NUMBER, h->number);
	memcpy(out + FH_EPOCH, h->epoch, SPOOL_EPOCH);
	put_le32(out + FH_WRITER, h->writer);
	put_le64(out + FH_CAPACITY, h->capacity);
	put_le64(out + FH_BEGUN, (uint64_t)h->begun_ms);
	memcpy(out + FH_PUBLIC, h->public_key, SPOOL_KEY);
	MUST(crypto_box_seal(out + FH_SEALED, k0, SPOOL_KEY, h->public_key) == 0);
	file_header_mac(out + FH_MAC, out, k0);
}

bool spool_file_header_peek(struct spool_file_header *h, const uint8_t in[SPOOL_FILE_HEADER])
{
	if (get_le32(in + FH_MAGIC) != FILE_MAGIC || get_le32(in + FH_VERSION) != VERSION)
		return false;
	h->number = get_le64(in + FH_NUMBER);
	memcpy(h->epoch, in + FH_EPOCH, SPOOL_EPOCH);
	h->writer = get_le32(in + FH_WRITER);
	h->capacity = get_le64(in + FH_CAPACITY);
	h->begun_ms = (int64_t)get_le64(in + FH_BEGUN);
	memcpy(h->public_key, in + FH_PUBLIC, SPOOL_KEY);
	return true;
}

static bool all_zero(const uint8_t *p, size_t n)
{
	return sodium_is_zero(p, n) == 1;
}

bool spool_file_header_get(struct spool_file_header *h, uint8_t k0[SPOOL_KEY],
                           const uint8_t in[SPOOL_FILE_HEADER], const uint8_t secret[SPOOL_KEY])
{
	uint8_t mac[32];
	bool same;

	if (!spool_file_header_peek(h, in) ||
	    crypto_box_seal_open(k0, in + FH_SEALED, SPOOL_KEY + crypto_box_SEALBYTES,
	                         h->public_key, secret) != 0)
		return false;
	file_header_mac(mac, in, k0);
	same = sodium_memcmp(mac, in + FH_MAC, sizeof(mac)) == 0;
	if (!same || !all_zero(in + FH_END, SPOOL_FILE_HEADER - FH_END)) {
		sodium_memzero(k0, SPOOL_KEY);
		return false;
	}
	return true;
}

void spool_public_key(uint8_t out[SPOOL_KEY], const uint8_t secret[SPOOL_KEY])
{
	MUST(crypto_scalarmult_base(out, secret) == 0);
}

void spool_chain_keys(struct spool_keys *out, const uint8_t chain[SPOOL_KEY])
{
	static const char label[] = "mm spool record";
	uint8_t both[2 * SPOOL_KEY];

	hash_keyed(both, sizeof(both), label, sizeof(label), chain);
	memcpy(out->seal, both, SPOOL_KEY);
	memcpy(out->mac, both + SPOOL_KEY, SPOOL_KEY);
	sodium_memzero(both, sizeof(both));
}

void spool_chain_next(uint8_t chain[SPOOL_KEY])
{
	static const char label[] = "mm spool chain";
	uint8_t next[SPOOL_KEY];

	hash_keyed(next, sizeof(next), label, sizeof(label), chain);
	memcpy(chain, next, SPOOL_KEY);
	sodium_memzero(next, sizeof(next));
}

void spool_header_put(uint8_t out[SPOOL_HEADER], const struct spool_header *h,
                      const struct spool_keys *k)
{
	memset(out, 0, SPOOL_HEADER);
	put_le32(out + RH_MAGIC, RECORD_MAGIC);
	put_le32(out + RH_TYPE, (uint32_t)h->type);
	memcpy(out + RH_EPOCH, h->epoch, SPOOL_EPOCH);
	put_le64(out + RH_N, h->n);
	put_le64(out + RH_LENGTH, h->length);
	put_le64(out + RH_SYNCED, h->synced_before);
	hash_keyed(out + RH_MAC, RH_MAC_BYTES, out, RH_MAC, k->mac);
}

bool spool_header_peek(struct spool_header *h, const uint8_t in[SPOOL_HEADER],
                       const uint8_t epoch[SPOOL_EPOCH])
{
	uint32_t type;

	if (get_le32(in + RH_MAGIC) != RECORD_MAGIC ||
	    memcmp(in + RH_EPOCH, epoch, SPOOL_EPOCH) != 0)
		return false;
	type = get_le32(in + RH_TYPE);
	if (type < SPOOL_MESSAGE || type > SPOOL_END)
		return false;
	h->type = (enum spool_type)type;
	memcpy(h->epoch, epoch, SPOOL_EPOCH);
	h->n = get_le64(in + RH_N);
	h->length = get_le64(in + RH_LENGTH);
	h->synced_before = get_le64(in + RH_SYNCED);
	return h->length <= SPOOL_RECORD_MAX && spool_plain_bytes(h->length) > 0;
}

bool spool_header_check(const uint8_t in[SPOOL_HEADER], const struct spool_keys *k)
{
	uint8_t mac[RH_MAC_BYTES];

	hash_keyed(mac, sizeof(mac), in, RH_MAC, k->mac);
	return sodium_memcmp(mac, in + RH_MAC, sizeof(mac)) == 0;
}

/* Unique for a key: the piece's number, and whether it is the last. */
static void nonce_of(uint8_t nonce[12], uint64_t index, bool last)
{
	put_le64(nonce, index);
	put_le32(nonce + 8, last ? 1 : 0);
}

#ifdef MM_TEST_PLAINTEXT
/* The control of the canary test: bytes stay as they are, and a keyed hash stands for the tag, so
 * that everything else (torn tails, damage) goes on as always. */
static void plain_tag(uint8_t tag[SPOOL_TAG], const uint8_t *in, size_t n, const uint8_t nonce[12],
                      struct slice bound, const uint8_t key[SPOOL_KEY])
{
	crypto_generichash_state st;

	MUST(crypto_generichash_init(&st, key, SPOOL_KEY, SPOOL_TAG) == 0);
	(void)crypto_generichash_update(&st, nonce, 12);
	(void)crypto_generichash_update(&st, bound.at, bound.len);
	(void)crypto_generichash_update(&st, in, n);
	(void)crypto_generichash_final(&st, tag, SPOOL_TAG);
}

void spool_seal_piece(uint8_t *piece, size_t n, uint64_t index, bool last, struct slice bound,
                      const uint8_t key[SPOOL_KEY])
{
	uint8_t nonce[12];

	nonce_of(nonce, index, last);
	plain_tag(piece + n, piece, n, nonce, bound, key);
}

bool spool_open_piece(uint8_t *out, const uint8_t *sealed, size_t n, uint64_t index, bool last,
                      struct slice bound, const uint8_t key[SPOOL_KEY])
{
	uint8_t nonce[12];
	uint8_t tag[SPOOL_TAG];

	nonce_of(nonce, index, last);
	plain_tag(tag, sealed, n, nonce, bound, key);
	if (sodium_memcmp(tag, sealed + n, SPOOL_TAG) != 0)
		return false;
	memmove(out, sealed, n);
	return true;
}
#else
void spool_seal_piece(uint8_t *piece, size_t n, uint64_t index, bool last, struct slice bound,
                      const uint8_t key[SPOOL_KEY])
{
	uint8_t nonce[AEAD_NONCE];

	nonce_of(nonce, index, last);
	aead_seal(piece, piece + n, slice_of(piece, n), bound, nonce, key);
}

bool spool_open_piece(uint8_t *out, const uint8_t *sealed, size_t n, uint64_t index, bool last,
                      struct slice bound, const uint8_t key[SPOOL_KEY])
{
	uint8_t nonce[AEAD_NONCE];

	nonce_of(nonce, index, last);
	return aead_open(out, slice_of(sealed, n), sealed + n, bound, nonce, key);
}
#endif

void spool_seal_all(uint8_t *pieces, uint64_t plain, struct slice bound,
                    const uint8_t key[SPOOL_KEY])
{
	uint64_t index = 0;

	while (plain) {
		size_t n = (size_t)MIN_OF(plain, (uint64_t)SPOOL_PIECE);

		plain -= n;
		spool_seal_piece(pieces, n, index++, plain == 0, bound, key);
		pieces += n + SPOOL_TAG;
	}
}

bool spool_open_all(uint8_t *out, const uint8_t *sealed, uint64_t plain, struct slice bound,
                    const uint8_t key[SPOOL_KEY])
{
	uint64_t index = 0;

	while (plain) {
		size_t n = (size_t)MIN_OF(plain, (uint64_t)SPOOL_PIECE);

		plain -= n;
		if (!spool_open_piece(out, sealed, n, index++, plain == 0, bound, key))
			return false;
		out += n;
		sealed += n + SPOOL_TAG;
	}
	return true;
}

void spool_big_bound(uint8_t out[SPOOL_BIG_BOUND], uint64_t number)
{
	memcpy(out, "mm big 1", 8);
	put_le64(out + 8, number);
}

void spool_trailer_put(uint8_t out[SPOOL_TRAILER], const struct spool_trailer *t)
{
	memcpy(out, t->id.b, ID_BYTES);
	put_le64(out + 16, (uint64_t)t->received_ms);
	put_le32(out + 24, t->flags);
	put_le32(out + 28, t->meta_bytes);
	put_le64(out + 32, t->raw_bytes);
	memcpy(out + 40, t->sha256, 32);
}

void spool_trailer_get(struct spool_trailer *t, const uint8_t in[SPOOL_TRAILER])
{
	memcpy(t->id.b, in, ID_BYTES);
	t->received_ms = (int64_t)get_le64(in + 16);
	t->flags = get_le32(in + 24);
	t->meta_bytes = get_le32(in + 28);
	t->raw_bytes = get_le64(in + 32);
	memcpy(t->sha256, in + 40, 32);
}

void spool_big_ref_put(uint8_t out[SPOOL_BIG_REF], const struct spool_big_ref *r)
{
	put_le64(out, r->number);
	memcpy(out + 8, r->key, SPOOL_KEY);
}

void spool_big_ref_get(struct spool_big_ref *r, const uint8_t in[SPOOL_BIG_REF])
{
	r->number = get_le64(in);
	memcpy(r->key, in + 8, SPOOL_KEY);
}
