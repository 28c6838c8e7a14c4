/* ingest/deliver/s3_line.c - one signed request, tried again where that helps */
#include "ingest/deliver/s3_parts.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/sigv4.h"
#include "ingest/ca_file.h"

#define CONNECT_S    10L
#define STILL_S      60L /* without a byte */
#define MOST_ADDRESS 8
#define WAIT_MOST_MS 30000

/* ---- what it needs from files ---- */

static char *text_of(const json_t *o, const char *member)
{
	const char *text = json_string_value(json_object_get(o, member));

	return mem_string(text ? text : "");
}

enum rc s3_line_open(struct s3_line *l, const json_t *config, struct err *e)
{
	l->region = text_of(config, "region");
	l->access_key = text_of(config, "access_key");
	l->secret_key = text_of(config, "secret_key");
	l->tries = (unsigned)json_member_int(config, "tries", 4);
	l->wait_ms = (unsigned)json_member_int(config, "wait_ms", 500);
	l->curl = curl_easy_init();
	return l->curl ? RC_OK : err_set(e, RC_IO, "libcurl doesn't start");
}

static enum rc add_addresses(struct s3_line *l, const struct addrinfo *list, const char *name,
                             struct err *e)
{
	char text[NI_MAXHOST];
	struct buf line;
	unsigned count = 0;
	enum rc rc;

	buf_init(&line, 4096);
	rc = buf_addf(&line, "%s:%u:", name, l->port);
	for (; rc == RC_OK && list && count < MOST_ADDRESS; list = list->ai_next) {
		bool v6 = list->ai_family == AF_INET6;

		if (getnameinfo(list->ai_addr, list->ai_addrlen, text, sizeof(text), NULL, 0,
		                NI_NUMERICHOST) != 0)
			continue;
		rc = buf_addf(&line, v6 ? "%s[%s]" : "%s%s", count++ ? "," : "", text);
	}
	if (rc == RC_OK && count == 0)
		rc = err_set(e, RC_IO, "the endpoint %.200s has no address", name);
	if (rc == RC_OK)
		l->addresses = curl_slist_append(NULL, buf_text(&line));
	buf_free(&line);
	return rc;
}

enum rc s3_line_look_up(struct s3_line *l, const char *name, bool tls, uint16_t port, struct err *e)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	char host[400];
	bool own = port == (tls ? 443 : 80);
	int bad;
	enum rc rc = RC_OK;

	l->scheme = mem_string(tls ? "https" : "http");
	l->port = port;
	(void)snprintf(host, sizeof(host), own ? "%s" : "%s:%u", name, port);
	l->host = mem_string(host);
	buf_init(&l->ca, CA_FILE_MOST);
	if (tls)
		rc = ca_file_read(&l->ca, e);
	if (rc != RC_OK || name[0] == '[')
		return rc;
	bad = getaddrinfo(name, NULL, &hints, &list);
	if (bad)
		return err_set(e, RC_IO, "the endpoint %.200s: %s", name, gai_strerror(bad));
	rc = add_addresses(l, list, name, e);
	freeaddrinfo(list);
	return rc;
}

void s3_line_close(struct s3_line *l)
{
	curl_easy_cleanup(l->curl);
	curl_slist_free_all(l->addresses);
	buf_free(&l->ca);
	free(l->scheme);
	free(l->host);
	free(l->region);
	free(l->access_key);
	free(l->secret_key);
}

/* ---- one try ---- */

static size_t take_answer(char *at, size_t size, size_t n, void *arg)
{
	struct s3_request *r = arg;
	struct slice bytes = slice_of(at, size * n);

	/* What is behind that isn't worth a failure. */
	(void)!buf_add(&r->answer, slice_part(bytes, 0, S3_ANSWER - r->answer.len));
	return size * n;
}

static size_t take_field(char *at, size_t size, size_t n, void *arg)
{
	struct s3_request *r = arg;
	struct slice line = slice_of(at, size * n);
	struct slice value;
	struct slice name = slice_cut(line, ':', &value);

	value = slice_trim(value);
	if (slice_equal_nocase(name, slice_str("etag")) && value.len < sizeof(r->etag)) {
		memcpy(r->etag, value.at, value.len);
		r->etag[value.len] = 0;
	}
	return size * n;
}

static int look(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	struct s3_line *l = arg;

	(void)a;
	(void)b;
	(void)c;
	(void)d;
	return l->gone(l->arg) ? 1 : 0;
}

static struct curl_slist *add_field(struct curl_slist *list, const char *name, struct slice value)
{
	struct buf line;

	buf_init(&line, 8192);
	MUST(buf_addf(&line, "%s: ", name) == RC_OK && buf_add(&line, value) == RC_OK &&
	     buf_add_byte(&line, 0) == RC_OK);
	list = curl_slist_append(list, buf_text(&line));
	buf_free(&line);
	return list;
}

/* The fields that are signed, and the signature. */
static enum rc make_fields(const struct s3_line *l, const struct s3_request *r,
                           struct curl_slist **out, struct err *e)
{
	char hash[SIGV4_HASH + 1];
	char when[SIGV4_TIME + 1];
	struct http_field fields[] = {
		{ slice_str("host"), slice_str(l->host) },
		{ slice_str("x-amz-content-sha256"), slice_of(hash, SIGV4_HASH) },
		{ slice_str("x-amz-date"), slice_of(when, SIGV4_TIME) },
		{ slice_str("content-type"), slice_str(r->type) },
	};
	const struct sigv4_signer signer = { slice_str(l->access_key), slice_str(l->secret_key),
		                             slice_str(l->region), slice_str("s3") };
	const struct sigv4_request request = { .method = slice_str(r->method),
		                               .path = slice_str(r->path),
		                               .query = slice_str(r->query),
		                               .fields = fields,
		                               .count = r->type ? 4 : 3,
		                               .rule = SIGV4_PATH_ONCE };
	struct buf signature;
	enum rc rc;

	sigv4_hash(hash, r->body);
	sigv4_time(when, clock_now_ms());
	buf_init(&signature, 8192);
	rc = sigv4_sign(&signature, &signer, &request, slice_of(hash, SIGV4_HASH), e);
	for (size_t i = 0; rc == RC_OK && i < request.count; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "%.*s", (int)fields[i].name.len,
		               (const char *)fields[i].name.at);
		*out = add_field(*out, name, fields[i].value);
	}
	if (rc == RC_OK)
		*out = add_field(*out, "Authorization", buf_slice(&signature));
	*out = curl_slist_append(*out, "Expect:");
	if (!r->type)
		*out = curl_slist_append(*out, "Content-Type:");
	buf_free(&signature);
	return rc;
}

static void set_options(struct s3_line *l, struct s3_request *r, const char *url,
                        struct curl_slist *fields)
{
	CURL *c = l->curl;
	struct curl_blob ca = { .data = l->ca.at, .len = l->ca.len };

	curl_easy_reset(c); /* connections stay */
	(void)curl_easy_setopt(c, CURLOPT_URL, url);
	(void)curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, r->method);
	(void)curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
	(void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, r->body.len ? (const char *)r->body.at : "");
	(void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, fields);
	(void)curl_easy_setopt(c, CURLOPT_RESOLVE, l->addresses);
	(void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_answer);
	(void)curl_easy_setopt(c, CURLOPT_WRITEDATA, r);
	(void)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_field);
	(void)curl_easy_setopt(c, CURLOPT_HEADERDATA, r);
	(void)curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, look);
	(void)curl_easy_setopt(c, CURLOPT_XFERINFODATA, l);
	(void)curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	(void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(c, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, l->scheme);
	(void)curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
	(void)curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
	(void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	(void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, STILL_S);
	(void)curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	(void)curl_easy_setopt(c, CURLOPT_CAINFO, NULL);
	(void)curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
	(void)curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, ca.len ? &ca : NULL);
}

static enum rc try_once(struct s3_line *l, struct s3_request *r, CURLcode *code, struct err *e)
{
	struct curl_slist *fields = NULL;
	struct buf url;
	enum rc rc = make_fields(l, r, &fields, e);

	buf_init(&url, 16384);
	if (rc == RC_OK && buf_addf(&url, "%s://%s%s%s%s", l->scheme, l->host, r->path,
	                            r->query[0] ? "?" : "", r->query) != RC_OK)
		rc = err_set(e, RC_INVALID, "an object's name is too long");
	if (rc == RC_OK) {
		buf_clear(&r->answer);
		r->status = 0;
		r->etag[0] = 0;
		set_options(l, r, buf_text(&url), fields);
		*code = curl_easy_perform(l->curl);
		(void)curl_easy_getinfo(l->curl, CURLINFO_RESPONSE_CODE, &r->status);
	}
	buf_free(&url);
	curl_slist_free_all(fields);
	return rc;
}

/* ---- all of them ---- */

struct slice s3_element(struct slice xml, const char *name)
{
	char tag[64];
	size_t begin;
	size_t end;

	(void)snprintf(tag, sizeof(tag), "<%s>", name);
	begin = slice_find(xml, slice_str(tag));
	if (begin == SIZE_MAX)
		return slice_of(NULL, 0);
	xml = slice_from(xml, begin + strlen(tag));
	(void)snprintf(tag, sizeof(tag), "</%s>", name);
	end = slice_find(xml, slice_str(tag));
	return end == SIZE_MAX ? slice_of(NULL, 0) : slice_part(xml, 0, end);
}

/* It may be another one's moment, not our fault. */
static bool helps_again(const struct s3_request *r, CURLcode code)
{
	struct slice why = s3_element(buf_slice(&r->answer), "Code");

	switch (code) {
	case CURLE_OK:
		break;
	case CURLE_COULDNT_CONNECT:
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
	case CURLE_SSL_CONNECT_ERROR:
		return true;
	default:
		return false;
	}
	return r->status >= 500 || r->status == 429 || r->status == 408 ||
	       (r->status == 400 && slice_equal(why, slice_str("RequestTimeout"))) ||
	       /* a multipart upload may fail behind its 200 */
	       (r->status == 200 &&
	        slice_find(buf_slice(&r->answer), slice_str("<Error>")) != SIZE_MAX);
}

static enum rc verdict(const struct s3_request *r, CURLcode code, struct err *e)
{
	struct slice why = s3_element(buf_slice(&r->answer), "Code");
	char word[80];

	if (code == CURLE_ABORTED_BY_CALLBACK)
		return err_set(e, RC_AGAIN, "it was stopped");
	if (code != CURLE_OK)
		return err_set(e, RC_IO, "the S3 endpoint: %s", curl_easy_strerror(code));
	if (r->status / 100 == 2 && !helps_again(r, code))
		return RC_OK;
	(void)snprintf(word, sizeof(word), "%.*s", (int)MIN_OF(why.len, 64U), (const char *)why.at);
	for (char *c = word; *c; c++)
		*c = *c > ' ' && *c < 127 ? *c : '?';
	return err_set(e,
	               r->status == 403 || r->status == 401 || r->status == 404 ? RC_DENIED
	               : r->status / 100 == 4                                   ? RC_INVALID
	                                                                        : RC_IO,
	               "the S3 endpoint answers %ld %s", r->status, word);
}

static bool rest(struct s3_line *l, unsigned tried)
{
	int64_t left = MIN_OF((int64_t)l->wait_ms << MIN_OF(tried, 10U), (int64_t)WAIT_MOST_MS);

	for (; left > 0 && !l->gone(l->arg); left -= 50)
		clock_sleep_ms(MIN_OF(left, (int64_t)50));
	return !l->gone(l->arg);
}

enum rc s3_line_ask(struct s3_line *l, struct s3_request *r, struct err *e)
{
	CURLcode code = CURLE_OK;

	buf_init(&r->answer, S3_ANSWER);
	for (unsigned tried = 0;; tried++) {
		enum rc rc = try_once(l, r, &code, e);

		if (rc != RC_OK)
			return rc;
		if (!helps_again(r, code) || tried + 1 >= l->tries || !rest(l, tried))
			return verdict(r, code, e);
	}
}
