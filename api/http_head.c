#include "api/http_head.h"

void http_head_init(struct http_head *h, uint64_t body_max)
{
	*h = (struct http_head) { .body_max = body_max };
}

struct slice http_head_field(const struct http_head *h, const char *name)
{
	for (size_t i = 0; i < h->count; i++)
		if (slice_equal_nocase(h->fields[i].name, slice_str(name)))
			return h->fields[i].value;
	return slice_of(NULL, 0);
}

static bool refuse(struct http_head *h, unsigned status, const char *why)
{
	h->status = status;
	h->why = why;
	return false;
}

/* RFC 9110 section 5.6.2 */
static bool is_token(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.at[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		      (c && strchr("!#$%&'*+-.^_`|~", c))))
			return false;
	}
	return s.len > 0;
}

/* ---- the request line ---- */

static bool read_version(struct http_head *h, struct slice version)
{
	if (slice_equal(version, slice_str("HTTP/1.1")))
		return true;
	if (version.len == 8 && memcmp(version.at, "HTTP/", 5) == 0 && version.at[6] == '.' &&
	    version.at[5] >= '0' && version.at[5] <= '9' && version.at[7] >= '0' &&
	    version.at[7] <= '9')
		return refuse(h, 505, "only HTTP/1.1 is spoken here");
	return refuse(h, 400, "not a request line");
}

static bool read_method(struct http_head *h, struct slice name)
{
	static const char *const taken[] = {
		[HTTP_GET] = "GET", [HTTP_HEAD] = "HEAD", [HTTP_POST] = "POST", [HTTP_PUT] = "PUT"
	};
	static const char *const known[] = { "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT" };

	h->method_name = name;
	for (size_t i = 0; i < COUNT(taken); i++)
		if (slice_equal(name, slice_str(taken[i]))) {
			h->method = (enum http_method)i;
			return true;
		}
	for (size_t i = 0; i < COUNT(known); i++)
		if (slice_equal(name, slice_str(known[i])))
			return refuse(h, 405, "this method is not allowed");
	if (!is_token(name))
		return refuse(h, 400, "not a request line");
	return refuse(h, 501, "this method is not known");
}

static bool is_hex(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

/* RFC 3986 sections 3.3 and 3.4: what a path or query is made of, escapes whole. */
static bool is_target(struct slice s, bool query)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.at[i];

		if (c == '%') {
			if (s.len - i < 3 || !is_hex(s.at[i + 1]) || !is_hex(s.at[i + 2]))
				return false;
			i += 2;
		} else if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		             (c >= '0' && c <= '9') || (c && strchr("-._~!$&'()*+,;=:@/", c)) ||
		             (query && c == '?'))) {
			return false;
		}
	}
	return true;
}

static bool read_target(struct http_head *h, struct slice target)
{
	if (target.len == 0 || target.at[0] != '/')
		return refuse(h, 400, "the target is not a path");
	h->path = slice_cut(target, '?', &h->query);
	if (!is_target(h->path, false) || !is_target(h->query, true))
		return refuse(h, 400, "a character or an escape in the target is wrong");
	if (!sigv4_path_is_plain(h->path))
		return refuse(h, 400, "the path has empty parts, dots or such escapes");
	return true;
}

static bool read_request_line(struct http_head *h, struct slice line)
{
	struct slice version;
	struct slice target;
	struct slice method = slice_cut(line, ' ', &target);

	target = slice_cut(target, ' ', &version);
	return read_version(h, version) && read_method(h, method) && read_target(h, target);
}

/* ---- the fields ---- */

static bool take_host(struct http_head *h, struct slice value)
{
	for (size_t i = 0; i < value.len; i++) {
		uint8_t c = value.at[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		      (c && strchr(".-_~:[]", c))))
			return refuse(h, 400, "Host is not a host and port");
	}
	return value.len > 0 || refuse(h, 400, "Host is empty");
}

static bool take_length(struct http_head *h, struct slice value)
{
	for (size_t i = 0; i < value.len; i++)
		if (value.at[i] < '0' || value.at[i] > '9')
			return refuse(h, 400, "Content-Length is not a number");
	if (value.len == 0)
		return refuse(h, 400, "Content-Length is not a number");
	if (!slice_to_u64(value, &h->body_bytes) || h->body_bytes > h->body_max)
		return refuse(h, 413, "the body is too large");
	return true;
}

static bool take_transfer_encoding(struct http_head *h, struct slice value)
{
	(void)value;
	return refuse(h, 400, "a body comes by Content-Length only");
}

static bool take_expect(struct http_head *h, struct slice value)
{
	h->wants_100 = slice_equal_nocase(value, slice_str("100-continue"));
	return h->wants_100 || refuse(h, 417, "this expectation is not known");
}

static bool take_connection(struct http_head *h, struct slice value)
{
	while (value.len)
		if (slice_equal_nocase(slice_trim(slice_cut(value, ',', &value)),
		                       slice_str("close")))
			h->close = true;
	return true;
}

static const struct {
	const char *name;
	bool once; /* twice would be two meanings */
	bool (*take)(struct http_head *h, struct slice value);
} known_fields[] = {
	{ "host", true, take_host },
	{ "content-length", true, take_length },
	{ "transfer-encoding", true, take_transfer_encoding },
	{ "expect", true, take_expect },
	{ "connection", false, take_connection },
	{ "content-type", true, NULL },
	{ "authorization", true, NULL },
	{ "x-amz-date", true, NULL },
	{ "x-amz-target", true, NULL },
	{ "x-amz-content-sha256", true, NULL },
	{ "x-amz-security-token", true, NULL },
	{ "smithy-protocol", true, NULL },
};

static bool use_field(struct http_head *h, const struct http_field *f)
{
	for (size_t i = 0; i < COUNT(known_fields); i++) {
		if (!slice_equal_nocase(f->name, slice_str(known_fields[i].name)))
			continue;
		if (known_fields[i].once && h->once & 1u << i)
			return refuse(h, 400, "a field that may be there once is there twice");
		h->once |= 1u << i;
		return !known_fields[i].take || known_fields[i].take(h, f->value);
	}
	return true;
}

static bool read_field(struct http_head *h, struct slice line)
{
	struct http_field *f = &h->fields[h->count];
	struct slice value;

	if (line.at[0] == ' ' || line.at[0] == '\t')
		return refuse(h, 400, "a folded line");
	f->name = slice_cut(line, ':', &value);
	if (f->name.len == line.len || !is_token(f->name))
		return refuse(h, 400, "a field without a good name");
	f->value = slice_trim(value);
	h->count++;
	return use_field(h, f);
}

static bool check_whole(struct http_head *h)
{
	bool has_body = h->method == HTTP_POST || h->method == HTTP_PUT;

	if (!(h->once & 1u << 0))
		return refuse(h, 400, "Host is missing");
	if (has_body && !(h->once & 1u << 1))
		return refuse(h, 411, "Content-Length is missing");
	if (!has_body && h->body_bytes)
		return refuse(h, 400, "this method has no body");
	return true;
}

/* The lines of a whole head: each ends in CRLF and has no other control character than a tab. */
static bool read_lines(struct http_head *h, struct slice head)
{
	size_t end = slice_find_byte(head, '\r');

	if (!read_request_line(h, slice_part(head, 0, end)))
		return false;
	for (head = slice_from(head, end + 2); head.at[0] != '\r';
	     head = slice_from(head, end + 2)) {
		end = slice_find_byte(head, '\r');
		if (!read_field(h, slice_part(head, 0, end)))
			return false;
	}
	return check_whole(h);
}

/* ---- bytes as they come ---- */

static bool end_line(struct http_head *h)
{
	bool empty = h->seen - h->line_from == 1; /* the CR alone */

	h->cr = false;
	h->line_from = h->seen + 1;
	if (empty && h->lines == 0)
		return refuse(h, 400, "an empty line in front of the request");
	if (empty)
		h->head_bytes = h->seen + 1;
	else if (h->lines++ > LIMIT_HTTP_FIELDS)
		return refuse(h, 431, "too many fields");
	return true;
}

static bool scan_byte(struct http_head *h, uint8_t c)
{
	if (h->seen == LIMIT_HTTP_HEAD)
		return refuse(h, 431, "the head is too long");
	if (h->lines == 0 && h->seen >= LIMIT_HTTP_LINE)
		return refuse(h, 414, "the request line is too long");
	if (h->cr && c != '\n')
		return refuse(h, 400, "CR without LF");
	if (!h->cr && c == '\n')
		return refuse(h, 400, "LF without CR");
	if (c == '\n')
		return end_line(h);
	h->cr = c == '\r';
	if (!h->cr && c != '\t' && (c < 0x20 || c == 0x7f))
		return refuse(h, 400, "a control character");
	return true;
}

enum http_step http_head_read(struct http_head *h, struct slice bytes)
{
	MUST(h->head_bytes == 0 && h->status == 0 && bytes.len >= h->seen);
	for (; h->seen < bytes.len && h->head_bytes == 0; h->seen++)
		if (!scan_byte(h, bytes.at[h->seen]))
			return HTTP_REFUSED;
	if (h->head_bytes == 0)
		return HTTP_MORE;
	return read_lines(h, slice_part(bytes, 0, h->head_bytes)) ? HTTP_WHOLE : HTTP_REFUSED;
}
