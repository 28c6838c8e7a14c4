#include "tools/mmctl_http.h"

#include <curl/curl.h>
#include <stdio.h>

#include "api/model.h"
#include "api/wire.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/sigv4.h"
#include "store/crypt.h"

#define TRIES     4
#define AGAIN_MS  1100        /* a signature of the next second is another one */
#define REGION    "us-east-1" /* mm takes any */
#define CONNECT_S 10
#define HEAD_MOST 65536
#define WORD      100

struct exchange {
	struct http_reply *r;
	size_t head; /* bytes of it so far */
	char type[WORD];
	bool named; /* it has a request id, as mm's answers do */
	bool foreign;
	bool too_long;
};

/* ---- the answer ---- */

/* For a terminal. */
static void keep_word(char out[WORD], struct slice from)
{
	size_t n = MIN_OF(from.len, (size_t)WORD - 1);

	for (size_t i = 0; i < n; i++)
		out[i] = from.at[i] >= ' ' && from.at[i] < 127 ? (char)from.at[i] : '?';
	out[n] = 0;
}

static size_t take_field(char *at, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	struct slice line = slice_of(at, size * n);
	struct slice value;
	struct slice name = slice_cut(line, ':', &value);

	x->head += line.len;
	x->too_long = x->head > HEAD_MOST;
	if (slice_starts_nocase(line, slice_str("http/"))) { /* behind a 100, say */
		x->named = false;
		x->type[0] = 0;
	}
	if (slice_equal_nocase(name, slice_str(WIRE_REQUEST_ID)))
		x->named = true;
	if (slice_equal_nocase(name, slice_str("content-type")))
		keep_word(x->type, slice_trim(value));
	return x->too_long ? 0 : line.len;
}

static bool is_ours(const struct exchange *x)
{
	return x->named && strcmp(x->type, wire_content_type(WIRE_AWS_JSON)) == 0;
}

static size_t take_body(char *at, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;

	x->foreign = !is_ours(x);
	if (x->foreign)
		return 0;
	x->too_long = buf_add(&x->r->body, slice_of(at, size * n)) != RC_OK;
	return x->too_long ? 0 : size * n;
}

/* ---- the request ---- */

static struct curl_slist *add_field(struct curl_slist *list, struct slice name, struct slice value)
{
	struct buf line;

	buf_init(&line, 8192);
	MUST(buf_add(&line, name) == RC_OK && buf_add_str(&line, ": ") == RC_OK &&
	     buf_add(&line, value) == RC_OK && buf_add_byte(&line, 0) == RC_OK);
	list = curl_slist_append(list, buf_text(&line));
	buf_free(&line);
	MUST(list);
	return list;
}

/* The fields that are signed, and the signature. */
static enum rc make_fields(const struct http_site *site, const char *operation, struct slice body,
                           struct curl_slist **out, struct err *e)
{
	char hash[SIGV4_HASH + 1];
	char when[SIGV4_TIME + 1];
	char target[WORD];
	char call[33];
	uint8_t random[16];
	const struct http_field fields[] = {
		{ slice_str("host"), slice_str(site->host) },
		{ slice_str("content-type"), slice_str(wire_content_type(WIRE_AWS_JSON)) },
		{ slice_str("amz-sdk-invocation-id"), slice_of(call, sizeof(call) - 1) },
		{ slice_str("x-amz-content-sha256"), slice_of(hash, SIGV4_HASH) },
		{ slice_str("x-amz-date"), slice_of(when, SIGV4_TIME) },
		{ slice_str("x-amz-target"),
		  slice_of(target, sizeof(MODEL_SERVICE) + strlen(operation)) },
	};
	const struct sigv4_signer signer = { slice_str(site->key_id), slice_str(site->secret),
		                             slice_str(REGION), slice_str("ses") };
	const struct sigv4_request request = { .method = slice_str("POST"),
		                               .path = slice_str("/"),
		                               .fields = fields,
		                               .count = COUNT(fields),
		                               .rule = SIGV4_PATH_TWICE };
	struct buf signature;
	enum rc rc;

	crypt_random(random, sizeof(random));
	hex_encode(call, random, sizeof(random));
	sigv4_hash(hash, body);
	sigv4_time(when, clock_now_ms());
	(void)snprintf(target, sizeof(target), MODEL_SERVICE ".%s", operation);
	buf_init(&signature, 8192);
	rc = sigv4_sign(&signature, &signer, &request, slice_of(hash, SIGV4_HASH), e);
	for (size_t i = 0; rc == RC_OK && i < COUNT(fields); i++)
		*out = add_field(*out, fields[i].name, fields[i].value);
	if (rc == RC_OK)
		*out = add_field(*out, slice_str("Authorization"), buf_slice(&signature));
	if (rc == RC_OK)
		*out = add_field(*out, slice_str("Expect"), slice_of(NULL, 0));
	buf_free(&signature);
	return rc;
}

static void set_options(CURL *c, const struct http_site *site, const char *url, struct slice body,
                        struct curl_slist *fields, struct exchange *x)
{
	struct curl_blob ca = { .data = site->ca.at, .len = site->ca.len };
	long most = (long)MIN_OF(site->seconds, (uint64_t)86400);

	(void)curl_easy_setopt(c, CURLOPT_URL, url);
	(void)curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
	(void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, body.len ? (const char *)body.at : "");
	(void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, fields);
	(void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
	(void)curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
	(void)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_field);
	(void)curl_easy_setopt(c, CURLOPT_HEADERDATA, x);
	(void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(c, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, site->tls ? "https" : "http");
	(void)curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, MIN_OF(most, (long)CONNECT_S));
	(void)curl_easy_setopt(c, CURLOPT_TIMEOUT, most);
	(void)curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (ca.len) {
		(void)curl_easy_setopt(c, CURLOPT_CAINFO, NULL);
		(void)curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
		(void)curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &ca);
	}
}

/* ---- what became of it ---- */

/* Did it end before anything was asked? */
static bool was_not_asked(CURL *c, CURLcode code)
{
	curl_off_t sent = 0;
	long request = 0;

	(void)curl_easy_getinfo(c, CURLINFO_SIZE_UPLOAD_T, &sent);
	(void)curl_easy_getinfo(c, CURLINFO_REQUEST_SIZE, &request);
	return code != CURLE_OK && sent == 0 && request == 0;
}

static enum rc verdict(CURL *c, CURLcode code, const struct http_site *site,
                       const struct exchange *x, const char *detail, struct err *e)
{
	const char *scheme = site->tls ? "https" : "http";
	char why[WORD];

	keep_word(why, slice_str(*detail ? detail : curl_easy_strerror(code)));
	if (x->too_long)
		return err_set(e, RC_LIMIT, "%s://%s: the answer is too long", scheme, site->host);
	if (code == CURLE_OK || x->foreign) {
		if (is_ours(x))
			return RC_OK;
		return err_set(e, RC_IO, "%s://%s is no control API of mm: HTTP %ld, %s", scheme,
		               site->host, x->r->status, *x->type ? x->type : "of no type");
	}
	if (was_not_asked(c, code))
		return err_set(e, RC_AGAIN, "%s://%s: %s", scheme, site->host, why);
	return err_set(e, RC_IO, "%s://%s: %s; what was asked may be done, or not", scheme,
	               site->host, why);
}

static enum rc ask_once(const struct http_site *site, const char *operation, struct slice body,
                        struct http_reply *r, struct err *e)
{
	struct exchange x = { .r = r };
	struct curl_slist *fields = NULL;
	char detail[CURL_ERROR_SIZE] = "";
	char url[400];
	CURL *c;
	CURLcode code;
	enum rc rc;

	buf_init(&r->body, LIMIT_REQUEST);
	if (body.len > WIRE_BODY_MAX)
		return err_set(e, RC_LIMIT,
		               "an endpoint takes %u bytes at most, this is %zu: ask "
		               "over the socket",
		               WIRE_BODY_MAX, body.len);
	if (strlen(operation) + sizeof(MODEL_SERVICE) >= WORD)
		return err_set(e, RC_INVALID, "there is no operation with a name so long");
	c = curl_easy_init();
	if (!c)
		return err_set(e, RC_IO, "libcurl doesn't start");
	rc = make_fields(site, operation, body, &fields, e);
	if (rc == RC_OK) {
		(void)snprintf(url, sizeof(url), "%s://%s/", site->tls ? "https" : "http",
		               site->host);
		set_options(c, site, url, body, fields, &x);
		(void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, detail);
		code = curl_easy_perform(c);
		(void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &r->status);
		rc = verdict(c, code, site, &x, detail, e);
	}
	curl_slist_free_all(fields);
	curl_easy_cleanup(c);
	return rc;
}

/* Nothing was done: the signature is of before mm was started, or there are too many. */
static bool is_throttled(const struct http_reply *r)
{
	return r->status >= 400 &&
	       slice_find(buf_slice(&r->body), slice_str("ThrottlingException")) != SIZE_MAX;
}

enum rc http_ask(const struct http_site *site, const char *operation, struct slice body,
                 struct http_reply *r, struct err *e)
{
	enum rc rc = ask_once(site, operation, body, r, e);

	for (int i = 1; rc == RC_OK && is_throttled(r) && i < TRIES; i++) {
		buf_free(&r->body);
		clock_sleep_ms(AGAIN_MS);
		rc = ask_once(site, operation, body, r, e);
	}
	return rc;
}
