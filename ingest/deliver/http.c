#include "ingest/deliver/http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECT_S   10L
#define STILL_S     60L /* without a byte */
#define IDLE_MOST   32L /* connections that wait to be used again */
#define FIELD_BYTES 16384
#define URL_BYTES   32768

struct http {
	struct loop *loop;
	struct loop_timer *timer; /* libcurl's */
	CURLM *multi;
	struct slice ca;
	struct http_call *calls;
};

struct http_call {
	struct http *http;
	struct http_call *next;
	CURL *easy;
	bool begun; /* libcurl has it */
	struct curl_slist *fields;
	struct curl_slist *addresses;
	struct buf answer;
	bool cut;
	bool whole; /* the head of the last answer; libcurl takes one that breaks off for that */
	size_t head_bytes;
	char *kept_name; /* NULL: none */
	char kept[HTTP_KEPT];
	char why[HTTP_WHY];
	char text[CURL_ERROR_SIZE];
	void (*ended)(void *arg, const struct http_answer *a);
	void *arg;
};

/* libcurl's descriptor on the loop. */
struct spot {
	struct http *http;
	int fd;
	struct loop_watch *watch;
};

/* ---- ends ---- */

static void free_call(struct http_call *c)
{
	struct http_call **at = &c->http->calls;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	if (c->begun)
		(void)curl_multi_remove_handle(c->http->multi, c->easy);
	curl_easy_cleanup(c->easy);
	curl_slist_free_all(c->fields);
	curl_slist_free_all(c->addresses);
	buf_free(&c->answer);
	free(c->kept_name);
	free(c);
}

static void make_printable(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || (unsigned char)*s >= 127)
			*s = '?';
}

static void end(struct http_call *c, CURLcode code)
{
	struct http_answer a = { .body = buf_slice(&c->answer), .kept = c->kept, .cut = c->cut };
	long status = 0;

	(void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	a.status = (unsigned)status;
	a.answered = status >= 200 && c->whole && (code == CURLE_OK || c->cut);
	if (!a.answered && !c->why[0])
		(void)snprintf(c->why, sizeof(c->why), "%s",
		               c->text[0]         ? c->text
		               : code == CURLE_OK ? "the answer breaks off"
		                                  : curl_easy_strerror(code));
	make_printable(c->why);
	a.why = c->why;
	c->ended(c->arg, &a);
	free_call(c);
}

static void hear_ends(struct http *h)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
		CURLcode code = m->data.result;
		struct http_call *c = NULL;

		(void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&c);
		end(c, code);
	}
}

/* ---- libcurl on the loop ---- */

static void on_ready(void *arg, unsigned what)
{
	struct spot *s = arg;
	struct http *h = s->http; /* the spot may be gone within libcurl */
	int flags = (what & LOOP_READ ? CURL_CSELECT_IN : 0) |
	            (what & LOOP_WRITE ? CURL_CSELECT_OUT : 0);
	int running;

	(void)curl_multi_socket_action(h->multi, s->fd, flags, &running);
	hear_ends(h);
}

static void on_timer(void *arg)
{
	struct http *h = arg;
	int running;

	(void)curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	hear_ends(h);
}

static int set_timer(CURLM *multi, long ms, void *arg)
{
	struct http *h = arg;

	(void)multi;
	if (ms < 0)
		loop_timer_clear(h->timer);
	else
		loop_timer_set(h->timer, ms);
	return 0;
}

static unsigned when_of(int what)
{
	return (what & CURL_POLL_IN ? LOOP_READ : 0U) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0U);
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *at)
{
	struct http *h = arg;
	struct spot *s = at;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (s)
			loop_watch_free(&s->watch);
		free(s);
		(void)curl_multi_assign(h->multi, fd, NULL);
	} else if (s) {
		loop_watch_set(s->watch, when_of(what));
	} else {
		s = mem_new(sizeof(*s));
		s->http = h;
		s->fd = fd;
		s->watch = loop_watch_new(h->loop, fd, when_of(what), on_ready, s);
		(void)curl_multi_assign(h->multi, fd, s);
	}
	return 0;
}

struct http *http_new(struct loop *l, struct slice ca)
{
	struct http *h = mem_new(sizeof(*h));

	h->loop = l;
	h->ca = ca;
	h->multi = curl_multi_init();
	if (!h->multi) {
		free(h);
		return NULL;
	}
	h->timer = loop_timer_new(l, on_timer, h);
	(void)curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
	(void)curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	(void)curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	(void)curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	(void)curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, IDLE_MOST);
	return h;
}

void http_free(struct http **at)
{
	struct http *h = *at;

	*at = NULL;
	if (!h)
		return;
	while (h->calls)
		free_call(h->calls);
	(void)curl_multi_cleanup(h->multi); /* its connections leave the loop */
	loop_timer_free(&h->timer);
	free(h);
}

/* ---- what comes ---- */

static size_t take_answer(char *at, size_t size, size_t n, void *arg)
{
	struct http_call *c = arg;
	size_t room = c->answer.limit - c->answer.len;

	if (buf_add(&c->answer, slice_part(slice_of(at, size * n), 0, room)) != RC_OK)
		return 0;
	c->cut = size * n > room;
	return c->cut ? 0 : size * n;
}

static void keep(struct http_call *c, struct slice value)
{
	size_t n = MIN_OF(value.len, sizeof(c->kept) - 1);

	memcpy(c->kept, value.at, n);
	c->kept[n] = 0;
	make_printable(c->kept);
}

static size_t take_field(char *at, size_t size, size_t n, void *arg)
{
	struct http_call *c = arg;
	struct slice line = slice_of(at, size * n);
	struct slice value;
	struct slice name = slice_cut(line, ':', &value);

	c->head_bytes += line.len; /* of answers before the last one (100 Continue), too */
	if (c->head_bytes > HTTP_HEAD) {
		(void)snprintf(c->why, sizeof(c->why), "a head of more than %d bytes", HTTP_HEAD);
		return 0;
	}
	if (slice_starts_nocase(line, slice_str("HTTP/")))
		c->whole = false; /* another head; what is behind the body belongs to none */
	else if (slice_trim(line).len == 0)
		c->whole = true;
	value = slice_trim(value);
	if (c->kept_name && value.len && slice_equal_nocase(name, slice_str(c->kept_name)))
		keep(c, value);
	return size * n;
}

/* ---- what is sent ---- */

static bool is_line(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((s.at[i] < ' ' && s.at[i] != '\t') || s.at[i] == 127)
			return false;
	return true;
}

static bool is_target(const char *s)
{
	if (*s != '/')
		return false;
	for (; *s; s++)
		if (*s <= ' ' || *s >= 127 || *s == '#')
			return false;
	return true;
}

/* `end` is ": ", or ";" for a field without a value, which libcurl would leave out. */
static bool add_field(struct http_call *c, struct slice name, struct slice value)
{
	struct curl_slist *more = NULL;
	struct buf line;

	buf_init(&line, FIELD_BYTES);
	if (is_line(name) && is_line(value) && name.len && buf_add(&line, name) == RC_OK &&
	    buf_add_str(&line, value.len ? ": " : ";") == RC_OK && buf_add(&line, value) == RC_OK &&
	    buf_add_byte(&line, 0) == RC_OK)
		more = curl_slist_append(c->fields, buf_text(&line));
	buf_free(&line);
	if (more)
		c->fields = more;
	return more != NULL;
}

static bool add_fields(struct http_call *c, const struct http_ask *a)
{
	bool typed = false;

	for (size_t i = 0; i < a->count; i++) {
		if (!add_field(c, a->fields[i].name, a->fields[i].value))
			return false;
		typed = typed || slice_equal_nocase(a->fields[i].name, slice_str("content-type"));
	}
	c->fields = curl_slist_append(c->fields, "Expect:");
	if (!typed)
		c->fields = curl_slist_append(c->fields, "Content-Type:");
	return c->fields != NULL;
}

/* "+": for this request; what was given for the name before is forgotten. */
static bool add_addresses(struct http_call *c, const struct http_ask *a)
{
	struct buf line;
	bool good;

	if (a->host[0] == '[')
		return true;
	buf_init(&line, 4096);
	good = buf_addf(&line, "+%s:%u:%s", a->host, a->port, a->addresses) == RC_OK;
	if (good)
		c->addresses = curl_slist_append(NULL, buf_text(&line));
	buf_free(&line);
	return good && c->addresses;
}

static bool set_url(struct http_call *c, const struct http_ask *a)
{
	struct buf url;
	bool good;

	buf_init(&url, URL_BYTES);
	good = is_target(a->target) &&
	       buf_addf(&url, "%s://%s:%u%s", a->tls ? "https" : "http", a->host, a->port,
	                a->target) == RC_OK &&
	       curl_easy_setopt(c->easy, CURLOPT_URL, buf_text(&url)) == CURLE_OK;
	buf_free(&url);
	return good;
}

static void set_body(CURL *e, const struct http_ask *a)
{
	(void)curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, a->method);
	if (strcmp(a->method, "GET") == 0)
		return;
	(void)curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)a->body.len);
	(void)curl_easy_setopt(e, CURLOPT_POSTFIELDS, a->body.len ? (const char *)a->body.at : "");
}

static void set_options(struct http_call *c, const struct http_ask *a)
{
	struct curl_blob ca = { .data = (void *)(uintptr_t)c->http->ca.at, .len = c->http->ca.len };
	CURL *e = c->easy;

	set_body(e, a);
	(void)curl_easy_setopt(e, CURLOPT_PRIVATE, c);
	(void)curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->text);
	(void)curl_easy_setopt(e, CURLOPT_HTTPHEADER, c->fields);
	(void)curl_easy_setopt(e, CURLOPT_RESOLVE, c->addresses);
	(void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_answer);
	(void)curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
	(void)curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_field);
	(void)curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
	(void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(e, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, a->tls ? "https" : "http");
	(void)curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	(void)curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
	(void)curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
	(void)curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, STILL_S);
	(void)curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)MAX_OF(a->deadline_ms, (int64_t)1));
	(void)curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	(void)curl_easy_setopt(e, CURLOPT_CAINFO, NULL);
	(void)curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
	(void)curl_easy_setopt(e, CURLOPT_CAINFO_BLOB, ca.len ? &ca : NULL);
}

static bool begin(struct http_call *c, const struct http_ask *a)
{
	if (!add_fields(c, a) || !add_addresses(c, a) || !set_url(c, a))
		return false;
	set_options(c, a);
	return curl_multi_add_handle(c->http->multi, c->easy) == CURLM_OK;
}

struct http_call *http_ask(struct http *h, const struct http_ask *a)
{
	struct http_call *c = mem_new(sizeof(*c));

	c->http = h;
	c->next = h->calls;
	h->calls = c;
	c->ended = a->ended;
	c->arg = a->arg;
	c->kept_name = a->kept ? mem_string(a->kept) : NULL;
	buf_init(&c->answer, a->most);
	c->easy = curl_easy_init();
	MUST(c->easy); /* but for memory it has no reason */
	c->begun = begin(c, a);
	if (!c->begun)
		http_drop(&c);
	return c;
}

void http_drop(struct http_call **c)
{
	if (*c)
		free_call(*c);
	*c = NULL;
}

struct http_call *http_get(struct http *h, const char *host, uint16_t port, const char *addresses,
                           const char *path, size_t most, int64_t deadline_ms,
                           void (*ended)(void *arg, const struct http_answer *a), void *arg)
{
	const struct http_ask a = { .tls = true,
		                    .host = host,
		                    .port = port,
		                    .addresses = addresses,
		                    .method = "GET",
		                    .target = path,
		                    .most = most,
		                    .deadline_ms = deadline_ms,
		                    .kept = "content-type",
		                    .ended = ended,
		                    .arg = arg };

	return http_ask(h, &a);
}
