/*
 * api/http_head.h - the head of an HTTP/1.1 request, read strictly (RFC 9112)
 *
 * What     Bytes come in as they arrive; the answer is the same wherever they were cut. What two
 *          readers could take for different requests is refused, never mended.
 * Taken    GET, HEAD, POST, PUT in HTTP/1.1 for "/path" or "/path?query"; one Host; a body only by
 *          Content-Length (POST and PUT say it, GET and HEAD have none).
 * Refused  LF without CR and CR without LF, NUL and other controls, folded lines, blanks before a
 *          colon, an empty line in front; twice a field that decides; a Content-Length that isn't
 *          plain digits; Transfer-Encoding; absolute URLs, fragments, broken escapes; paths that
 *          aren't plain (sigv4_path_is_plain): what the router compares is what was signed.
 * Limits   LIMIT_HTTP_HEAD, LIMIT_HTTP_LINE, LIMIT_HTTP_FIELDS, and the body's by the caller.
 * After    a refusal the connection answers `status` and ends: where the next request would begin
 *          isn't known.
 * Owner    Slices point into the bytes of the call that gave HTTP_WHOLE.
 * Threads  The owner's.
 */
#ifndef MM_API_HTTP_HEAD_H
#define MM_API_HTTP_HEAD_H

#include "base/sigv4.h"

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT };

enum http_step {
	HTTP_MORE, /* call again with the same bytes and more behind them, at any address */
	HTTP_WHOLE,
	HTTP_REFUSED, /* `status` and `why` say it */
};

struct http_head {
	/* With HTTP_WHOLE. */
	enum http_method method;
	struct slice method_name;
	struct slice path;
	struct slice query; /* without "?"; empty also where there is none */
	struct http_field
	        fields[LIMIT_HTTP_FIELDS]; /* in order, values without blanks around them */
	size_t count;
	uint64_t body_bytes;
	size_t head_bytes; /* the body begins behind so many */
	bool close;        /* "Connection: close": the answer is the last one */
	bool wants_100;    /* "Expect: 100-continue": say it before the body is read */
	/* With HTTP_REFUSED. */
	unsigned status; /* 400, 405, 411, 413, 414, 417, 431, 501 or 505 */
	const char *why; /* for the log and the client; constant */
	/* How far the bytes were looked at. */
	uint64_t body_max;
	size_t seen;
	size_t line_from;
	size_t lines;
	bool cr;
	unsigned once; /* bits of the fields that were there */
};

/* Larger bodies than body_max are refused with 413. */
void http_head_init(struct http_head *h, uint64_t body_max);
/* `bytes` begins with the head's first byte and holds all that came of it. After HTTP_WHOLE or
 * HTTP_REFUSED comes http_head_init. */
enum http_step http_head_read(struct http_head *h, struct slice bytes);
/* The first field of that name, without regard to case; at NULL where there is none. */
struct slice http_head_field(const struct http_head *h, const char *name);

#endif
