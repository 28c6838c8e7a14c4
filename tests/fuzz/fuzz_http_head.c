/*
 * tests/fuzz/fuzz_http_head.c - any bytes as the head of a request
 *
 * Input    byte 0: the size of the pieces; then the bytes.
 * Oracle   The answer doesn't depend on the pieces. A head that was taken, written down anew in the
 *          plainest way, is taken again and says the same; and what must not get past the parser
 *          isn't in it.
 */
#include "api/http_head.h"
#include "base/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_MAX 100000

static enum http_step in_pieces(struct http_head *h, struct slice all, size_t piece)
{
	enum http_step step = HTTP_MORE;

	http_head_init(h, BODY_MAX);
	for (size_t n = 0; step == HTTP_MORE && n < all.len;) {
		n = MIN_OF(n + piece, all.len);
		step = http_head_read(h, slice_part(all, 0, n));
	}
	return step;
}

static void expect_same(const struct http_head *a, const struct http_head *b)
{
	MUST(a->method == b->method && slice_equal(a->path, b->path));
	MUST(slice_equal(a->query, b->query) && a->count == b->count);
	MUST(a->body_bytes == b->body_bytes && a->close == b->close);
	MUST(a->wants_100 == b->wants_100);
	for (size_t i = 0; i < a->count; i++) {
		MUST(slice_equal(a->fields[i].name, b->fields[i].name));
		MUST(slice_equal(a->fields[i].value, b->fields[i].value));
	}
}

static void add(struct buf *b, struct slice s, const char *end)
{
	MUST(buf_add(b, s) == RC_OK && buf_add_str(b, end) == RC_OK);
}

static void write_anew(struct buf *b, const struct http_head *h)
{
	add(b, h->method_name, " ");
	add(b, h->path, h->query.len ? "?" : "");
	add(b, h->query, " HTTP/1.1\r\n");
	for (size_t i = 0; i < h->count; i++) {
		add(b, h->fields[i].name, ":");
		add(b, h->fields[i].value, "\r\n");
	}
	MUST(buf_add_str(b, "\r\n") == RC_OK);
}

static void expect_clean(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		MUST((s.at[i] >= 0x20 && s.at[i] != 0x7f) || s.at[i] == '\t');
}

/* As a careless reader would: decode all, then look. */
static void expect_plain(struct slice path)
{
	struct buf b;

	buf_init(&b, LIMIT_HTTP_HEAD);
	for (size_t i = 0; i < path.len; i++) {
		uint8_t c = path.at[i];

		if (c == '%') {
			MUST(hex_decode(&c, 1, slice_part(path, i + 1, 2)));
			i += 2;
		}
		MUST(buf_add_byte(&b, c) == RC_OK);
	}
	MUST(b.at[0] == '/' && slice_find_byte(buf_slice(&b), '\\') == SIZE_MAX);
	expect_clean(buf_slice(&b));
	MUST(buf_add_str(&b, "/") == RC_OK);
	MUST(slice_find(buf_slice(&b), slice_str("/./")) == SIZE_MAX);
	MUST(slice_find(buf_slice(&b), slice_str("/../")) == SIZE_MAX);
	if (path.len > 1 && path.at[path.len - 1] == '/')
		b.len--;
	MUST(path.len == 1 || slice_find(buf_slice(&b), slice_str("//")) == SIZE_MAX);
	buf_free(&b);
}

static void expect_good(const struct http_head *h, struct slice all)
{
	struct http_head again;
	struct buf b;

	MUST(h->head_bytes <= LIMIT_HTTP_HEAD && h->head_bytes <= all.len);
	MUST(h->body_bytes <= BODY_MAX && h->count <= LIMIT_HTTP_FIELDS);
	MUST(http_head_field(h, "host").len > 0 && !http_head_field(h, "transfer-encoding").at);
	expect_plain(h->path);
	for (size_t i = 0; i < h->count; i++) {
		expect_clean(h->fields[i].name);
		expect_clean(h->fields[i].value);
	}
	buf_init(&b, 2 * LIMIT_HTTP_HEAD);
	write_anew(&b, h);
	http_head_init(&again, BODY_MAX);
	MUST(http_head_read(&again, buf_slice(&b)) == HTTP_WHOLE);
	MUST(again.head_bytes == b.len && b.len <= h->head_bytes);
	expect_same(h, &again);
	buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_head whole;
	struct http_head pieces;
	struct slice all;
	enum http_step step;

	if (size < 2)
		return 0;
	all = slice_of(data + 1, size - 1);
	step = in_pieces(&whole, all, all.len);
	MUST(in_pieces(&pieces, all, data[0] ? data[0] : 1) == step);
	MUST(whole.status == pieces.status && whole.why == pieces.why);
	MUST((step == HTTP_REFUSED) == (whole.status >= 400));
	if (step == HTTP_WHOLE) {
		MUST(whole.head_bytes == pieces.head_bytes);
		expect_same(&whole, &pieces);
		expect_good(&whole, all);
	}
	return 0;
}
