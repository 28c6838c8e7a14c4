#include "store/logbook_file.h"

#include <sodium.h>

#include "base/codec.h"

#define FILE_MAGIC   "MMLOGBK1"
#define FRAME_MAGIC  UINT32_C(0x464c4d4d) /* "MMLF" */
#define HEADER_CHECK (LOGBOOK_HEADER - 32)
#define ENTRY_HEADER 13
#define BOUND_BYTES  (LOGBOOK_UUID + LOGBOOK_FRAME_HEADER)

void logbook_keys_of(struct logbook_keys *out, const uint8_t key[KEY_BYTES])
{
	crypt_derive(out->seal, key, "mm log frame 1");
	crypt_derive(out->header, key, "mm log file 1");
}

void logbook_header_encode(uint8_t out[LOGBOOK_HEADER], const struct logbook_header *h,
                           const struct logbook_keys *keys)
{
	memset(out, 0, LOGBOOK_HEADER);
	memcpy(out, FILE_MAGIC, 8);
	put_le32(out + 8, 1);
	put_le32(out + 12, h->number);
	put_le64(out + 16, (uint64_t)h->created_ms);
	memcpy(out + 24, h->uuid, LOGBOOK_UUID);
	MUST(crypto_generichash(out + HEADER_CHECK, 32, out, HEADER_CHECK, keys->header,
	                        KEY_BYTES) == 0);
}

bool logbook_header_decode(struct logbook_header *h, struct slice bytes,
                           const struct logbook_keys *keys)
{
	uint8_t check[32];

	if (bytes.len < LOGBOOK_HEADER || memcmp(bytes.at, FILE_MAGIC, 8) != 0 ||
	    get_le32(bytes.at + 8) != 1)
		return false;
	MUST(crypto_generichash(check, 32, bytes.at, HEADER_CHECK, keys->header, KEY_BYTES) == 0);
	if (sodium_memcmp(check, bytes.at + HEADER_CHECK, 32) != 0)
		return false;
	h->number = get_le32(bytes.at + 12);
	h->created_ms = (int64_t)get_le64(bytes.at + 16);
	memcpy(h->uuid, bytes.at + 24, LOGBOOK_UUID);
	return true;
}

enum rc logbook_entry_add(struct buf *entries, const struct logbook_entry *x)
{
	uint8_t *p;

	if (x->text.len > LOGBOOK_FRAME_MAX ||
	    entries->len + ENTRY_HEADER + x->text.len > LOGBOOK_FRAME_MAX ||
	    buf_reserve(entries, ENTRY_HEADER + x->text.len) != RC_OK)
		return RC_LIMIT;
	p = entries->at + entries->len;
	put_le64(p, (uint64_t)x->when_ms);
	p[8] = x->kind;
	put_le32(p + 9, (uint32_t)x->text.len);
	entries->len += ENTRY_HEADER;
	return buf_add(entries, x->text);
}

bool logbook_entry_take(struct slice *entries, struct logbook_entry *out)
{
	uint32_t n;

	if (entries->len < ENTRY_HEADER)
		return false;
	n = get_le32(entries->at + 9);
	if (n > entries->len - ENTRY_HEADER)
		return false;
	out->when_ms = (int64_t)get_le64(entries->at);
	out->kind = entries->at[8];
	out->text = slice_part(*entries, ENTRY_HEADER, n);
	*entries = slice_from(*entries, ENTRY_HEADER + (size_t)n);
	return true;
}

static void bound_of(uint8_t out[BOUND_BYTES], const struct logbook_header *h,
                     const uint8_t frame[LOGBOOK_FRAME_HEADER])
{
	memcpy(out, h->uuid, LOGBOOK_UUID);
	memcpy(out + LOGBOOK_UUID, frame, LOGBOOK_FRAME_HEADER);
}

enum rc logbook_frame_add(struct buf *out, uint64_t number, struct slice entries,
                          const struct logbook_header *h, const struct logbook_keys *keys)
{
	size_t sealed = entries.len + CRYPT_OVERHEAD;
	uint8_t bound[BOUND_BYTES];
	uint8_t *p;

	if (entries.len == 0 || entries.len > LOGBOOK_FRAME_MAX ||
	    buf_reserve(out, LOGBOOK_FRAME_HEADER + sealed) != RC_OK)
		return RC_LIMIT;
	p = out->at + out->len;
	put_le32(p, FRAME_MAGIC);
	put_le32(p + 4, (uint32_t)sealed);
	put_le64(p + 8, number);
	bound_of(bound, h, p);
	crypt_seal(p + LOGBOOK_FRAME_HEADER, entries, slice_of(bound, sizeof(bound)), keys->seal);
	out->len += LOGBOOK_FRAME_HEADER + sealed;
	out->at[out->len] = '\0';
	return RC_OK;
}

enum logbook_found logbook_frame_take(struct slice *bytes, uint64_t *number, struct buf *entries,
                                      const struct logbook_header *h,
                                      const struct logbook_keys *keys)
{
	struct slice frame = *bytes;
	uint8_t bound[BOUND_BYTES];
	uint64_t said;
	size_t n;

	buf_clear(entries);
	if (frame.len == 0)
		return LOGBOOK_END;
	if (frame.len < LOGBOOK_FRAME_HEADER || get_le32(frame.at) != FRAME_MAGIC)
		return LOGBOOK_TORN;
	n = get_le32(frame.at + 4);
	if (n <= CRYPT_OVERHEAD || n > LOGBOOK_FRAME_MAX + CRYPT_OVERHEAD ||
	    n > frame.len - LOGBOOK_FRAME_HEADER)
		return LOGBOOK_TORN;
	*bytes = slice_from(frame, LOGBOOK_FRAME_HEADER + n);
	said = get_le64(frame.at + 8);
	bound_of(bound, h, frame.at);
	if (said < *number || said == UINT64_MAX ||
	    buf_reserve(entries, n - CRYPT_OVERHEAD) != RC_OK ||
	    crypt_open(entries->at, slice_part(frame, LOGBOOK_FRAME_HEADER, n),
	               slice_of(bound, sizeof(bound)), keys->seal) != RC_OK)
		return LOGBOOK_DAMAGED;
	entries->len = n - CRYPT_OVERHEAD;
	*number = said + 1;
	return LOGBOOK_FRAME;
}
