#include "store/audit_file.h"

#include <sodium.h>

#include "base/codec.h"

#define FILE_MAGIC   "MMAUDIT1"
#define ENTRY_MAGIC  UINT32_C(0x45414d4d) /* "MMAE" */
#define HEADER_CHECK (AUDIT_FILE_HEADER - 32)

void audit_header_encode(uint8_t out[AUDIT_FILE_HEADER], const struct audit_file_header *h,
                         const struct audit_keys *keys)
{
	memset(out, 0, AUDIT_FILE_HEADER);
	memcpy(out, FILE_MAGIC, 8);
	put_le32(out + 8, 1);
	put_le32(out + 12, h->number);
	put_le64(out + 16, h->at.entries);
	put_le64(out + 24, (uint64_t)h->at.when_ms);
	put_le64(out + 32, h->before_end);
	memcpy(out + 40, h->at.hash, AUDIT_HASH);
	put_le32(out + 72, h->before);
	MUST(crypto_generichash(out + HEADER_CHECK, 32, out, HEADER_CHECK, keys->header,
	                        KEY_BYTES) == 0);
}

bool audit_header_decode(struct audit_file_header *h, struct slice bytes,
                         const struct audit_keys *keys)
{
	uint8_t check[32];

	if (bytes.len < AUDIT_FILE_HEADER || memcmp(bytes.at, FILE_MAGIC, 8) != 0 ||
	    get_le32(bytes.at + 8) != 1)
		return false;
	MUST(crypto_generichash(check, 32, bytes.at, HEADER_CHECK, keys->header, KEY_BYTES) == 0);
	if (sodium_memcmp(check, bytes.at + HEADER_CHECK, 32) != 0)
		return false;
	h->number = get_le32(bytes.at + 12);
	h->at.entries = get_le64(bytes.at + 16);
	h->at.when_ms = (int64_t)get_le64(bytes.at + 24);
	h->before_end = get_le64(bytes.at + 32);
	memcpy(h->at.hash, bytes.at + 40, AUDIT_HASH);
	h->before = get_le32(bytes.at + 72);
	return true;
}

/* hash(n) = BLAKE2b-256(hash(n-1) || header || nonce, ciphertext, tag); the header on disk is
 * followed by hash(n-1), so the entry is hashed as it lies there but for that order. */
static void entry_hash(uint8_t out[AUDIT_HASH], const uint8_t *before, const uint8_t *header,
                       struct slice sealed)
{
	crypto_generichash_state h;

	MUST(crypto_generichash_init(&h, NULL, 0, AUDIT_HASH) == 0);
	MUST(crypto_generichash_update(&h, before, AUDIT_HASH) == 0);
	MUST(crypto_generichash_update(&h, header, AUDIT_ENTRY_HEADER - AUDIT_HASH) == 0);
	MUST(crypto_generichash_update(&h, sealed.at, sealed.len) == 0);
	MUST(crypto_generichash_final(&h, out, AUDIT_HASH) == 0);
}

enum rc audit_entry_add(struct buf *out, struct audit_place *at, int64_t when_ms, uint64_t synced,
                        struct slice json, const struct audit_keys *keys)
{
	size_t sealed = json.len + CRYPT_OVERHEAD;
	uint8_t *p;

	if (json.len > AUDIT_ENTRY_MAX || buf_reserve(out, AUDIT_ENTRY_HEADER + sealed) != RC_OK)
		return RC_LIMIT;
	p = out->at + out->len;
	put_le32(p, ENTRY_MAGIC);
	put_le32(p + 4, (uint32_t)sealed);
	put_le64(p + 8, at->entries + 1);
	put_le64(p + 16, (uint64_t)when_ms);
	put_le64(p + 24, synced);
	memcpy(p + 32, at->hash, AUDIT_HASH);
	crypt_seal(p + AUDIT_ENTRY_HEADER, json, slice_of(p, AUDIT_ENTRY_HEADER), keys->seal);
	entry_hash(at->hash, p + 32, p, slice_of(p + AUDIT_ENTRY_HEADER, sealed));
	at->entries++;
	at->when_ms = when_ms;
	out->len += AUDIT_ENTRY_HEADER + sealed;
	out->at[out->len] = '\0';
	return RC_OK;
}

bool audit_entry_peek(struct audit_raw_entry *entry, struct slice bytes)
{
	uint32_t sealed;

	if (bytes.len < AUDIT_ENTRY_HEADER || get_le32(bytes.at) != ENTRY_MAGIC)
		return false;
	sealed = get_le32(bytes.at + 4);
	if (sealed < CRYPT_OVERHEAD || sealed > AUDIT_ENTRY_MAX + CRYPT_OVERHEAD ||
	    sealed > bytes.len - AUDIT_ENTRY_HEADER)
		return false;
	entry->number = get_le64(bytes.at + 8);
	entry->when_ms = (int64_t)get_le64(bytes.at + 16);
	entry->synced = get_le64(bytes.at + 24);
	entry->before = bytes.at + 32;
	entry->bound = slice_part(bytes, 0, AUDIT_ENTRY_HEADER);
	entry->sealed = slice_part(bytes, AUDIT_ENTRY_HEADER, sealed);
	entry->bytes = AUDIT_ENTRY_HEADER + sealed;
	return true;
}

static bool entry_open(const struct audit_raw_entry *entry, struct buf *json,
                       const struct audit_keys *keys)
{
	size_t n = entry->sealed.len - CRYPT_OVERHEAD;

	buf_clear(json);
	if (buf_reserve(json, n) != RC_OK ||
	    crypt_open(json->at, entry->sealed, entry->bound, keys->seal) != RC_OK)
		return false;
	json->len = n;
	json->at[n] = '\0';
	return true;
}

bool audit_entry_take(struct audit_place *at, const struct audit_raw_entry *entry, struct buf *json,
                      const struct audit_keys *keys)
{
	if (entry->number != at->entries + 1 || memcmp(entry->before, at->hash, AUDIT_HASH) != 0 ||
	    !entry_open(entry, json, keys))
		return false;
	entry_hash(at->hash, entry->before, entry->bound.at, entry->sealed);
	at->entries = entry->number;
	at->when_ms = entry->when_ms;
	return true;
}

/* The numbers that an entry may have, and how many it has to know to be synced. */
struct wanted {
	uint64_t from;
	uint64_t to;
	uint64_t synced;
};

static bool is_wanted(const struct audit_raw_entry *entry, const struct wanted *w)
{
	return entry->number >= w->from && entry->number <= w->to && entry->synced >= w->synced;
}

/* The first one at any offset that authenticates. */
static bool find(struct audit_raw_entry *entry, size_t *at, struct slice bytes,
                 const struct wanted *wanted, const struct audit_keys *keys)
{
	struct buf json;
	bool found = false;

	buf_init(&json, AUDIT_ENTRY_MAX);
	for (*at = 0; *at < bytes.len; ++*at) {
		size_t skip = slice_find_byte(slice_from(bytes, *at), (uint8_t)ENTRY_MAGIC);

		if (skip == SIZE_MAX)
			break;
		*at += skip;
		found = audit_entry_peek(entry, slice_from(bytes, *at)) &&
		        is_wanted(entry, wanted) && entry_open(entry, &json, keys);
		if (found)
			break;
	}
	buf_free(&json);
	return found;
}

bool audit_was_synced(struct slice bytes, uint64_t number, const struct audit_keys *keys)
{
	const struct wanted wanted = { .to = UINT64_MAX, .synced = number };
	struct audit_raw_entry entry;
	size_t at;

	return find(&entry, &at, bytes, &wanted, keys);
}

bool audit_entry_find(struct audit_raw_entry *entry, size_t *at, struct slice bytes, uint64_t from,
                      uint64_t to, const struct audit_keys *keys)
{
	const struct wanted wanted = { .from = from, .to = to };

	return find(entry, at, bytes, &wanted, keys);
}
