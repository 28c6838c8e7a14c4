#include "ingest/scan/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FIELD_MOST 1024

struct scan_http {
	const struct addon *addon;
	CURL *curl;
	int fd; /* -1: libcurl has it */
	struct curl_slist *fields;
	struct curl_slist *place;
	struct buf answer;
};

/* ---- header fields ---- */

static struct curl_slist *add(struct curl_slist *list, const char *name, struct slice value)
{
	char line[FIELD_MOST + 64];
	size_t begin;

	(void)snprintf(line, sizeof(line), "%s: ", name);
	begin = strlen(line);
	(void)snprintf(line + begin, sizeof(line) - begin, "%.*s",
	               (int)MIN_OF(value.len, (size_t)FIELD_MOST),
	               value.at ? (const char *)value.at : "");
	for (char *c = line + begin; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			*c = '?';
	return curl_slist_append(list, line);
}

static struct curl_slist *add_member(struct curl_slist *list, const char *name, const json_t *facts,
                                     const char *member)
{
	struct slice value = json_member_text(facts, member);

	return value.len ? add(list, name, value) : list;
}

static struct curl_slist *add_recipients(struct curl_slist *list, const char *name,
                                         const json_t *facts)
{
	const json_t *rcpt = json_member_array(facts, "rcpt");

	for (size_t i = 0; i < json_array_size(rcpt); i++)
		list = add(list, name, json_text(json_array_get(rcpt, i)));
	return list;
}

struct curl_slist *scan_http_fields(const struct addon *addon, const json_t *facts)
{
	bool rspamd = addon->kind == ADDON_RSPAMD;
	struct slice from = json_member_text(facts, "from");
	struct curl_slist *l = curl_slist_append(NULL, "Expect:");

	l = curl_slist_append(l, "Content-Type: message/rfc822");
	l = add_member(l, rspamd ? "IP" : "MM-Client-IP", facts, "ip");
	l = add_member(l, rspamd ? "Helo" : "MM-Helo", facts, "helo");
	l = add(l, rspamd ? "From" : "MM-Mail-From", from.len ? from : slice_str("<>"));
	l = add_recipients(l, rspamd ? "Rcpt" : "MM-Rcpt-To", facts);
	l = add_member(l, rspamd ? "Queue-Id" : "MM-Message-Id", facts, "id");
	l = add_member(l, rspamd ? "User" : "MM-User", facts, "user");
	if (!rspamd)
		l = add(l, "MM-Addon", slice_str(addon->name));
	return l;
}

/* ---- the transfer ---- */

static size_t answer_most(const struct scan_http *h)
{
	return h->addon->kind == ADDON_RSPAMD ? SCAN_ANSWER : SCAN_ANSWER_HTTP;
}

static size_t take_answer(char *at, size_t size, size_t n, void *arg)
{
	struct scan_http *h = arg;

	return buf_add(&h->answer, slice_of(at, size * n)) == RC_OK ? size * n : 0;
}

/* The one that the home connected; a second is never needed. */
static curl_socket_t take_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct scan_http *h = arg;
	int fd = h->fd;

	(void)purpose;
	(void)address;
	h->fd = -1;
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int is_connected(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	(void)arg;
	(void)fd;
	(void)purpose;
	return CURL_SOCKOPT_ALREADY_CONNECTED;
}

static void set_options(struct scan_http *h, struct slice message, struct slice ca)
{
	struct curl_blob blob = { .data = (void *)(uintptr_t)ca.at, .len = ca.len };
	CURL *c = h->curl;

	(void)curl_easy_setopt(c, CURLOPT_URL, h->addon->url);
	(void)curl_easy_setopt(c, CURLOPT_PRIVATE, h);
	(void)curl_easy_setopt(c, CURLOPT_POST, 1L);
	(void)curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)message.len);
	(void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, message.len ? (const char *)message.at : "");
	(void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, h->fields);
	(void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_answer);
	(void)curl_easy_setopt(c, CURLOPT_WRITEDATA, h);
	/* Any address does: nothing is connected to it, and no name is looked up for it. */
	(void)curl_easy_setopt(c, CURLOPT_CONNECT_TO, h->place);
	(void)curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, take_socket);
	(void)curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, h);
	(void)curl_easy_setopt(c, CURLOPT_SOCKOPTFUNCTION, is_connected);
	(void)curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
	(void)curl_easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
	(void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(c, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, h->addon->tls ? "https" : "http");
	(void)curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	(void)curl_easy_setopt(c, CURLOPT_CAINFO, NULL);
	(void)curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
	(void)curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, ca.len ? &blob : NULL);
}

struct scan_http *scan_http_new(const struct addon *addon, int fd, struct slice message,
                                const json_t *facts, struct slice ca)
{
	struct scan_http *h = mem_new(sizeof(*h));

	h->addon = addon;
	h->fd = fd;
	buf_init(&h->answer, answer_most(h));
	h->fields = scan_http_fields(addon, facts);
	h->place = curl_slist_append(NULL, "::127.0.0.1:");
	h->curl = curl_easy_init();
	if (!h->curl || !h->place || !h->fields) {
		scan_http_free(&h);
		return NULL;
	}
	set_options(h, message, ca);
	return h;
}

void scan_http_free(struct scan_http **at)
{
	struct scan_http *h = *at;

	*at = NULL;
	if (!h)
		return;
	curl_easy_cleanup(h->curl);
	if (h->fd >= 0)
		(void)close(h->fd);
	curl_slist_free_all(h->fields);
	curl_slist_free_all(h->place);
	buf_free(&h->answer);
	free(h);
}

CURL *scan_http_easy(const struct scan_http *h)
{
	return h->curl;
}

void scan_http_end(const struct scan_http *h, CURLcode code, struct scan_answer *out)
{
	long status = 0;

	(void)curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
	*out = (struct scan_answer) { .end = status == 413 ? SCAN_UNFIT : SCAN_BROKEN };
	if (code == CURLE_WRITE_ERROR)
		(void)snprintf(out->why, sizeof(out->why), "an answer of more than %zu bytes",
		               answer_most(h));
	else if (code != CURLE_OK && status != 413)
		(void)snprintf(out->why, sizeof(out->why), "%s", curl_easy_strerror(code));
	else if (status != 200)
		(void)snprintf(out->why, sizeof(out->why), "it answers %ld", status);
	else if (h->addon->kind == ADDON_RSPAMD)
		scan_read_rspamd(out, buf_slice(&h->answer));
	else
		scan_read_http(out, buf_slice(&h->answer));
}
