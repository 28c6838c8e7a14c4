/*
 * tests/fuzz/fuzz_audit.c - audit log files that someone wrote over
 *
 * Input    byte 0: 0 the rest is a file; 1 the rest are triples (offset of 16 bits, value) written
 *          over a good one of four entries.
 * Oracle   Nothing is taken that wasn't written: a header that is taken is the good one, the texts
 * of entries that follow the chain are those of the good file, in order.
 */
#include <stdio.h>

#include "base/codec.h"
#include "store/audit_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ENTRIES 4

static const struct audit_keys keys = { .seal = "seal", .header = "header" };
static const struct audit_file_header first = { .number = 1 };
static struct buf good;

static void text_of(char out[64], unsigned n)
{
	(void)snprintf(out, 64, "{\"event\":\"fuzz\",\"who\":\"root\",\"n\":%u}", n);
}

static void make_file(void)
{
	struct audit_place at = first.at;
	uint8_t header[AUDIT_FILE_HEADER];
	char text[64];

	crypt_init();
	buf_init(&good, 65536);
	audit_header_encode(header, &first, &keys);
	MUST(buf_add(&good, slice_of(header, sizeof(header))) == RC_OK);
	for (unsigned i = 0; i < ENTRIES; i++) {
		text_of(text, i);
		MUST(audit_entry_add(&good, &at, 1000 + i, i / 2, slice_str(text), &keys) == RC_OK);
	}
}

static void read_file(struct slice bytes)
{
	struct audit_file_header h;
	struct audit_raw_entry entry;
	struct audit_place at = first.at;
	struct buf json;
	char text[64];
	unsigned n = 0;

	if (bytes.len >= AUDIT_FILE_HEADER && audit_header_decode(&h, bytes, &keys))
		MUST(memcmp(bytes.at, good.at, AUDIT_FILE_HEADER) == 0 && h.number == 1);
	bytes = slice_from(bytes, MIN_OF(bytes.len, AUDIT_FILE_HEADER));
	for (uint64_t i = 0; i < ENTRIES + 1; i++)
		if (audit_was_synced(bytes, i, &keys))
			MUST(i <= 1);
	buf_init(&json, AUDIT_ENTRY_MAX);
	while (audit_entry_peek(&entry, bytes)) {
		MUST(entry.bytes >= AUDIT_ENTRY_HEADER && entry.bytes <= bytes.len);
		if (!audit_entry_take(&at, &entry, &json, &keys))
			break;
		MUST(n < ENTRIES);
		text_of(text, n++);
		MUST(slice_equal(buf_slice(&json), slice_str(text)) && at.entries == n);
		bytes = slice_from(bytes, entry.bytes);
	}
	buf_free(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf copy;

	if (!good.len)
		make_file();
	if (size < 1)
		return 0;
	if (data[0] != 1) {
		read_file(slice_of(data + 1, size - 1));
		return 0;
	}
	buf_init(&copy, 65536);
	MUST(buf_add(&copy, buf_slice(&good)) == RC_OK);
	for (size_t i = 1; i + 3 <= size; i += 3)
		copy.at[get_le16(data + i) % copy.len] = data[i + 2];
	read_file(buf_slice(&copy));
	buf_free(&copy);
	return 0;
}
