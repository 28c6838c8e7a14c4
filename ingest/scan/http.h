/*
 * ingest/scan/http.h - one message POSTed to rspamd, or to a scanner that speaks our contract
 *
 * What     By libcurl, over a descriptor that is connected already: libcurl looks no name up and opens no
 *          socket. TLS certificates are checked against the CA file that was read before the sandbox, for the
 *          name in the URL. No redirect, no proxy, no connection kept. Of an answer no more is read than its
 *          form allows.
 * Headers  The envelope's facts. What a client says is in them: control characters become '?'.
 * Threads  One.
 */
#ifndef MM_INGEST_SCAN_HTTP_H
#define MM_INGEST_SCAN_HTTP_H

#include <curl/curl.h>

#include "ingest/addons.h"
#include "ingest/scan/answer.h"

struct scan_http;

/* `fd` is taken over. `addon`, `ca` and the message live as long as it; NULL: libcurl doesn't. */
struct scan_http *scan_http_new(const struct addon *addon, int fd, struct slice message,
				const json_t *facts, struct slice ca);
void scan_http_free(struct scan_http **h); /* out of its CURLM before; NULL is fine */
CURL *scan_http_easy(const struct scan_http *h);
/* libcurl is done with it. */
void scan_http_end(const struct scan_http *h, CURLcode code, struct scan_answer *out);

/* The header fields for `addon`, to be freed by curl_slist_free_all. */
struct curl_slist *scan_http_fields(const struct addon *addon, const json_t *facts);

#endif
