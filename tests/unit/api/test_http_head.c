#include "api/http_head.h"

#include <stdlib.h>

#include "tests/unit/test.h"

#define BODY_MAX 1000

/* Of a copy without a byte behind it, so that ASan sees a reader that goes too far. */
static enum http_step read_pieces(struct http_head *h, struct slice all, size_t first, size_t piece,
                                  uint8_t **kept)
{
	size_t n = MIN_OF(first, all.len);
	enum http_step step;

	http_head_init(h, BODY_MAX);
	for (;;) {
		*kept = mem_new(n ? n : 1);
		memcpy(*kept, all.at, n);
		step = http_head_read(h, slice_of(*kept, n));
		if (step != HTTP_MORE || n == all.len)
			return step;
		free(*kept);
		n = MIN_OF(n + piece, all.len);
	}
}

/* The same answer, and the same slices, however it is cut: once at every place, and into bytes. */
static void expect_cuts_alike(const char *name, struct slice all, const struct http_head *want,
                              enum http_step step)
{
	for (size_t cut = 0; cut <= all.len; cut++) {
		struct http_head h;
		uint8_t *kept;

		EXPECT(name, read_pieces(&h, all, cut, cut ? all.len : 1, &kept) == step);
		EXPECT(name, h.status == want->status && h.why == want->why);
		EXPECT(name, h.count == want->count && h.head_bytes == want->head_bytes);
		EXPECT(name, slice_equal(h.path, want->path) && slice_equal(h.query, want->query));
		for (size_t i = 0; i < h.count; i++)
			EXPECT(name, slice_equal(h.fields[i].value, want->fields[i].value));
		free(kept);
	}
}

static const struct {
	const char *name;
	const char *raw;
	size_t len; /* 0: strlen */
	unsigned status;
} refused[] = {
	/* The raw requests of the corpus of HTTP cases. */
	{ "te-and-cl",
	  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
	  "0\r\n\r\n",
	  0, 400 },
	{ "te-list",
	  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: gzip, "
	  "chunked\r\n\r\n0\r\n\r\n",
	  0, 400 },
	{ "cl-plus", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nabcde", 0, 400 },
	{ "cl-hex", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nabcde", 0, 400 },
	{ "nul-value", "GET / HTTP/1.1\r\nHost: a\r\nUser: admin\0evil\r\n\r\n", 45, 400 },
	{ "space-colon", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc", 0, 400 },
	{ "bare-lf", "GET / HTTP/1.1\nHost: a\nX: y\n\n", 0, 400 },
	{ "bare-cr", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n", 0, 400 },
	{ "two-host", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 0, 400 },
	{ "dotdot", "GET /a/../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "chunk-overflow",
	  "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
	  "chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n\r\n",
	  0, 400 },
	/* Request lines. */
	{ "empty line", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "lf alone", "\n", 0, 400 },
	{ "tls", "\x16\x03\x01\x02", 0, 400 },
	{ "no version", "GET /\r\nHost: a\r\n\r\n", 0, 400 },
	{ "two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "space behind", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 0, 400 },
	{ "tab", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "version in small", "GET / http/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "version 1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 0, 400 },
	{ "version 1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", 0, 505 },
	{ "version 2.0", "PRI * HTTP/2.0\r\n\r\n", 0, 505 },
	{ "delete", "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", 0, 405 },
	{ "connect", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 0, 405 },
	{ "options", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0, 405 },
	{ "small method", "get / HTTP/1.1\r\nHost: a\r\n\r\n", 0, 501 },
	{ "odd method", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 0, 501 },
	{ "no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "absolute", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "authority", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "star", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "fragment in query", "GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "utf-8 in path", "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "backslash", "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "escape cut", "GET /a% HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "escape cut 2", "GET /a%4 HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "escape wrong", "GET /a?b=%4g HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "dot", "GET /a/./b HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "dot at the end", "GET /a/. HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "dots at the end", "GET /a/.. HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "escaped dot", "GET /a/%2e%2E/b HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "escaped slash", "GET /a%2Fb HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "escaped backslash", "GET /a%5cb HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "escaped nul", "GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "escaped lf", "GET /a%0ab HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "two slashes", "GET //a HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	{ "two slashes at the end", "GET /a// HTTP/1.1\r\nHost: a\r\n\r\n", 0, 400 },
	/* Fields. */
	{ "no host", "GET / HTTP/1.1\r\nX: a\r\n\r\n", 0, 400 },
	{ "empty host", "GET / HTTP/1.1\r\nHost: \r\n\r\n", 0, 400 },
	{ "host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 0, 400 },
	{ "host list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 0, 400 },
	{ "host user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 0, 400 },
	{ "folded", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 0, 400 },
	{ "folded with tab", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n", 0, 400 },
	{ "blank first", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 0, 400 },
	{ "no colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 0, 400 },
	{ "no name", "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 0, 400 },
	{ "tab before colon", "GET / HTTP/1.1\r\nHost: a\r\nX\t: x\r\n\r\n", 0, 400 },
	{ "name in utf-8", "GET / HTTP/1.1\r\nHost: a\r\nX\xc3\xa4: x\r\n\r\n", 0, 400 },
	{ "lf in the fields", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 0, 400 },
	{ "lf as the last line", "GET / HTTP/1.1\r\nHost: a\r\n\n", 0, 400 },
	{ "two cr", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 0, 400 },
	{ "cr as the last line", "GET / HTTP/1.1\r\nHost: a\r\n\rX\n", 0, 400 },
	{ "delete in value", "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", 0, 400 },
	{ "escape in value", "GET / HTTP/1.1\r\nHost: a\r\nX: \x1b[0m\r\n\r\n", 0, 400 },
	{ "two dates", "GET / HTTP/1.1\r\nHost: a\r\nx-amz-date: a\r\nX-Amz-Date: a\r\n\r\n", 0,
	  400 },
	{ "two authorizations",
	  "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: a\r\nauthorization: b\r\n\r\n", 0, 400 },
	{ "two targets", "GET / HTTP/1.1\r\nHost: a\r\nx-amz-target: a\r\nx-amz-target: b\r\n\r\n",
	  0, 400 },
	{ "two types", "GET / HTTP/1.1\r\nHost: a\r\ncontent-type: a\r\ncontent-type: b\r\n\r\n", 0,
	  400 },
	{ "two lengths",
	  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 0, 400 },
	{ "expect", "GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n", 0, 417 },
	/* Bodies. */
	{ "no length", "POST / HTTP/1.1\r\nHost: a\r\n\r\n", 0, 411 },
	{ "no length of put", "PUT /a HTTP/1.1\r\nHost: a\r\n\r\n", 0, 411 },
	{ "te alone", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 0, 400 },
	{ "body of get", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", 0, 400 },
	{ "cl empty", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 0, 400 },
	{ "cl minus", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 0, 400 },
	{ "cl list", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 0, 400 },
	{ "cl fraction", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1.0\r\n\r\n", 0, 400 },
	{ "cl inner blank", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 1\r\n\r\n", 0, 400 },
	{ "cl too large", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n", 0, 413 },
	{ "cl overflow",
	  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\n", 0, 413 },
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(refused); i++) {
		struct slice all = refused[i].len ? slice_of(refused[i].raw, refused[i].len)
		                                  : slice_str(refused[i].raw);
		struct http_head h;

		http_head_init(&h, BODY_MAX);
		EXPECT(refused[i].name, http_head_read(&h, all) == HTTP_REFUSED);
		EXPECT(refused[i].name, h.why && *h.why);
		if (h.status != refused[i].status)
			fail_msg("%s: status %u, want %u (%s)", refused[i].name, h.status,
			         refused[i].status, h.why);
		expect_cuts_alike(refused[i].name, all, &h, HTTP_REFUSED);
	}
}

/* Each refused request differs from one that is taken by what it is named for. */
static const char *const taken[] = {
	"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"HEAD /a/ HTTP/1.1\r\nhOST: [::1]:8025\r\n\r\n",
	"GET /a..b/.c/d. HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /a%20b?c=%2e%2e%2F//&d?/@: HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \t\xc3\xa4 \t\r\nY: again\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nbody",
	"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0000\r\nExpect: 100-Continue\r\n\r\n",
};

static void test_taken(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(taken); i++) {
		struct http_head h;

		http_head_init(&h, BODY_MAX);
		if (http_head_read(&h, slice_str(taken[i])) != HTTP_WHOLE)
			fail_msg("%s: %u %s", taken[i], h.status, h.why);
		expect_cuts_alike(taken[i], slice_str(taken[i]), &h, HTTP_WHOLE);
	}
}

static void test_parts(void **state)
{
	static const char raw[] =
	        "POST /service/M/operation/X?a=b&c HTTP/1.1\r\nHost: mm.test:8025\r\n"
	        "Content-Length:12 \r\nX-Amz-Target: \t M.X\t\r\nConnection: x, Close\r\n"
	        "Expect: 100-continue\r\n\r\nGET / HTTP/1";
	struct http_head h;

	(void)state;
	http_head_init(&h, BODY_MAX);
	assert_int_equal(http_head_read(&h, slice_str(raw)), HTTP_WHOLE);
	assert_int_equal(h.method, HTTP_POST);
	EXPECT_SLICE("method", h.method_name, "POST");
	EXPECT_SLICE("path", h.path, "/service/M/operation/X");
	EXPECT_SLICE("query", h.query, "a=b&c");
	assert_int_equal(h.count, 5);
	EXPECT_SLICE("name", h.fields[2].name, "X-Amz-Target");
	EXPECT_SLICE("value", http_head_field(&h, "x-amz-target"), "M.X");
	assert_null(http_head_field(&h, "x-amz-targe").at);
	assert_int_equal(h.body_bytes, 12);
	assert_true(h.close);
	assert_true(h.wants_100);
	EXPECT_SLICE("body", slice_from(slice_str(raw), h.head_bytes), "GET / HTTP/1");
}

static void test_connection_stays(void **state)
{
	struct http_head h;

	(void)state;
	http_head_init(&h, BODY_MAX);
	assert_int_equal(http_head_read(&h, slice_str("GET / HTTP/1.1\r\nHost: a\r\n"
	                                              "Connection: keep-alive, closed\r\n\r\n")),
	                 HTTP_WHOLE);
	assert_false(h.close);
	assert_false(h.wants_100);
	assert_int_equal(h.body_bytes, 0);
}

static void test_not_yet(void **state)
{
	struct slice all = slice_str(taken[0]);

	(void)state;
	for (size_t n = 0; n < all.len; n++) {
		struct http_head h;

		http_head_init(&h, BODY_MAX);
		assert_int_equal(http_head_read(&h, slice_part(all, 0, n)), HTTP_MORE);
	}
}

/* ---- limits: the last that fits, and one more ---- */

static unsigned status_of(const struct buf *b)
{
	struct http_head h;

	http_head_init(&h, BODY_MAX);
	switch (http_head_read(&h, buf_slice(b))) {
	case HTTP_WHOLE:
		return 200;
	case HTTP_REFUSED:
		return h.status;
	case HTTP_MORE:
		break;
	}
	return 0;
}

static void add_bytes(struct buf *b, size_t n)
{
	while (n--)
		MUST(buf_add_byte(b, 'x') == RC_OK);
}

static unsigned with_head_of(size_t bytes)
{
	static const char front[] = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
	struct buf b;
	unsigned status;

	buf_init(&b, 2 * LIMIT_HTTP_HEAD);
	MUST(buf_add_str(&b, front) == RC_OK);
	add_bytes(&b, bytes - 4 - strlen(front));
	MUST(buf_add_str(&b, "\r\n\r\n") == RC_OK);
	status = status_of(&b);
	buf_free(&b);
	return status;
}

static unsigned with_line_of(size_t bytes)
{
	struct buf b;
	unsigned status;

	buf_init(&b, 2 * LIMIT_HTTP_HEAD);
	MUST(buf_add_str(&b, "GET /") == RC_OK);
	add_bytes(&b, bytes - strlen("GET / HTTP/1.1\r\n"));
	MUST(buf_add_str(&b, " HTTP/1.1\r\nHost: a\r\n\r\n") == RC_OK);
	status = status_of(&b);
	buf_free(&b);
	return status;
}

static unsigned with_fields(size_t count)
{
	struct buf b;
	unsigned status;

	buf_init(&b, 2 * LIMIT_HTTP_HEAD);
	MUST(buf_add_str(&b, "GET / HTTP/1.1\r\nHost: a\r\n") == RC_OK);
	for (size_t i = 1; i < count; i++)
		MUST(buf_add_str(&b, "x: y\r\n") == RC_OK);
	MUST(buf_add_str(&b, "\r\n") == RC_OK);
	status = status_of(&b);
	buf_free(&b);
	return status;
}

static void test_limits(void **state)
{
	struct buf endless;

	(void)state;
	assert_int_equal(with_head_of(LIMIT_HTTP_HEAD), 200);
	assert_int_equal(with_head_of(LIMIT_HTTP_HEAD + 1), 431);
	assert_int_equal(with_line_of(LIMIT_HTTP_LINE), 200);
	assert_int_equal(with_line_of(LIMIT_HTTP_LINE + 1), 414);
	assert_int_equal(with_fields(LIMIT_HTTP_FIELDS), 200);
	assert_int_equal(with_fields(LIMIT_HTTP_FIELDS + 1), 431);
	buf_init(&endless, 2 * LIMIT_HTTP_HEAD);
	add_bytes(&endless, LIMIT_HTTP_LINE);
	assert_int_equal(status_of(&endless), 0);
	add_bytes(&endless, 1);
	assert_int_equal(status_of(&endless), 414);
	buf_free(&endless);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused), cmocka_unit_test(test_taken),
		cmocka_unit_test(test_parts),   cmocka_unit_test(test_connection_stays),
		cmocka_unit_test(test_not_yet), cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
