/*
 * tests/fuzz/fuzz_headers.c - header blocks, encoded words, address headers, dates and encodings
 *
 * Oracle   Whatever comes in, what goes on to index and rules is UTF-8 on one line without NUL, an
 *          address has no blank outside quotes and at most one line, and slices of a split block
 * lie within the bytes it was made of.
 */
#include "ingest/mime/address.h"
#include "ingest/mime/charset.h"
#include "ingest/mime/date.h"
#include "ingest/mime/headers.h"
#include "ingest/mime/params.h"
#include "ingest/mime/transfer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROOM 1048576

static void clean(struct slice s)
{
	MUST(slice_is_utf8(s));
	MUST(!s.len || !memchr(s.at, '\0', s.len));
}

static void one_line(struct slice s)
{
	clean(s);
	MUST(!s.len || (!memchr(s.at, '\n', s.len) && !memchr(s.at, '\r', s.len)));
}

static bool on_mailbox(void *arg, struct slice address, struct slice display)
{
	unsigned *left = arg;

	one_line(address);
	one_line(display);
	MUST(address.len || display.len);
	MUST(!address.len || memchr(address.at, '@', address.len));
	return --*left > 0;
}

static void inside(struct slice part, struct slice whole)
{
	MUST(!part.len || (part.at >= whole.at && part.at + part.len <= whole.at + whole.len));
}

static void try_value(struct slice raw)
{
	unsigned most = 2000;
	const struct address_sink sink = { on_mailbox, &most };
	struct buf line, text;
	int64_t ms = 0;

	buf_init(&line, ROOM);
	buf_init(&text, ROOM);
	header_unfold(&line, raw);
	header_decode(&text, buf_slice(&line));
	one_line(buf_slice(&text));
	address_list(buf_slice(&line), &sink);
	most = 2000;
	address_scan(buf_slice(&text), &sink);
	if (date_parse(buf_slice(&line), &ms))
		MUST(ms >= INT64_C(-2208988800000) - 86400000 &&
		     ms < INT64_C(253402300800000) + 86400000);
	inside(params_type(raw), raw);
	inside(params_find(raw, "charset", NULL), raw);
	MUST(params_count(raw) <= raw.len);
	buf_free(&line);
	buf_free(&text);
}

static void try_block(struct slice bytes, bool strict)
{
	struct header_block b;

	header_block_init(&b);
	header_split(&b, bytes, strict);
	MUST(b.body <= bytes.len && b.count <= LIMIT_HEADERS);
	for (size_t i = 0; i < b.count; i++) {
		inside(b.at[i].name, bytes);
		inside(b.at[i].raw, bytes);
		MUST(b.at[i].raw.len <= LIMIT_HEADER);
		if (i < 50)
			try_value(b.at[i].raw);
	}
	header_block_free(&b);
}

static void try_encodings(struct slice bytes)
{
	struct transfer_result r = { false, false };
	struct charset_result c = { false, false, false };
	struct buf out, text;

	buf_init(&out, ROOM);
	buf_init(&text, ROOM);
	transfer_base64(&out, bytes, &r);
	transfer_qp(&out, bytes, &r);
	charset_to_utf8(&text, buf_slice(&out), slice_part(bytes, 0, MIN_OF(bytes.len, 12)), &c);
	charset_guess(&text, bytes);
	clean(buf_slice(&text));
	buf_free(&out);
	buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice bytes = slice_of(data, size);

	(void)charset_start();
	try_value(bytes);
	try_block(bytes, false);
	try_block(bytes, true);
	try_encodings(bytes);
	return 0;
}
