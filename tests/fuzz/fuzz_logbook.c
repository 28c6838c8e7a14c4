/*
 * tests/fuzz/fuzz_logbook.c - files of the sealed log that someone wrote over
 *
 * Input    byte 0: 0 the rest is a file; 1 the rest are triples (offset of 16 bits, value) written
 * over a good one of four frames; 2 the rest is what a frame holds. Oracle   Nothing is taken that
 * wasn't written: a header that is taken is the good one, the texts of entries are those of the
 * good file, in order, none twice. Entries lie inside of what they are in.
 */
#include <stdio.h>

#include "base/codec.h"
#include "store/logbook_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FRAMES 4

static const struct logbook_header first = { .number = 7,
	                                     .created_ms = 1000,
	                                     .uuid = "uuid of 16 byte" };
static struct logbook_keys keys;
static struct buf good;

static void text_of(char out[64], unsigned n)
{
	(void)snprintf(out, 64, "{\"event_timestamp\":%u}", n);
}

static void make_file(void)
{
	static const uint8_t key[KEY_BYTES] = "key";
	uint8_t header[LOGBOOK_HEADER];
	struct buf entries;
	char text[64];

	crypt_init();
	logbook_keys_of(&keys, key);
	buf_init(&good, 65536);
	buf_init(&entries, 4096);
	logbook_header_encode(header, &first, &keys);
	MUST(buf_add(&good, slice_of(header, sizeof(header))) == RC_OK);
	for (unsigned i = 0; i < FRAMES; i++) {
		buf_clear(&entries);
		for (unsigned k = 0; k <= i; k++) {
			struct logbook_entry x = { .when_ms = i, .kind = (uint8_t)k };

			text_of(text, i * 10 + k);
			x.text = slice_str(text);
			MUST(logbook_entry_add(&entries, &x) == RC_OK);
		}
		MUST(logbook_frame_add(&good, i, buf_slice(&entries), &first, &keys) == RC_OK);
	}
	buf_free(&entries);
}

static void check_entries(struct slice entries, uint64_t frame)
{
	struct logbook_entry x;
	char text[64];
	unsigned k = 0;

	while (logbook_entry_take(&entries, &x)) {
		text_of(text, (unsigned)frame * 10 + k++);
		MUST(slice_equal(x.text, slice_str(text)));
	}
	MUST(entries.len == 0 && k == frame + 1);
}

static void read_file(struct slice bytes)
{
	struct logbook_header h;
	struct buf entries;
	uint64_t next = 0;
	enum logbook_found found = LOGBOOK_FRAME;

	if (logbook_header_decode(&h, bytes, &keys))
		MUST(memcmp(bytes.at, good.at, LOGBOOK_HEADER) == 0 && h.number == 7);
	bytes = slice_from(bytes, LOGBOOK_HEADER);
	buf_init(&entries, LOGBOOK_FRAME_MAX);
	while (found == LOGBOOK_FRAME || found == LOGBOOK_DAMAGED) {
		uint64_t before = next;
		size_t left = bytes.len;

		found = logbook_frame_take(&bytes, &next, &entries, &first, &keys);
		MUST(bytes.len < left || found == LOGBOOK_END || found == LOGBOOK_TORN);
		if (found != LOGBOOK_FRAME)
			continue;
		MUST(next > before && next <= FRAMES);
		check_entries(buf_slice(&entries), next - 1);
	}
	buf_free(&entries);
}

static void read_entries(struct slice entries)
{
	const uint8_t *end = entries.at + entries.len;
	struct logbook_entry x;

	while (logbook_entry_take(&entries, &x))
		MUST(x.text.len == 0 || x.text.at + x.text.len <= end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf copy;

	if (!good.len)
		make_file();
	if (size < 1)
		return 0;
	if (data[0] == 2)
		read_entries(slice_of(data + 1, size - 1));
	else if (data[0] != 1)
		read_file(slice_of(data + 1, size - 1));
	if (data[0] != 1)
		return 0;
	buf_init(&copy, 65536);
	MUST(buf_add(&copy, buf_slice(&good)) == RC_OK);
	for (size_t i = 1; i + 3 <= size; i += 3)
		copy.at[get_le16(data + i) % copy.len] = data[i + 2];
	read_file(buf_slice(&copy));
	buf_free(&copy);
	return 0;
}
