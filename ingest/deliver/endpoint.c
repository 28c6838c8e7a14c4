#include "ingest/deliver/endpoint.h"

#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "ingest/deliver.h"

#define ADDRESSES    8
#define ADDRESS_TEXT 1024 /* of all of one name; a pipe takes it at once */

/* ---- the configuration ---- */

static char *copy(const json_t *o, const char *member)
{
	const char *text = json_string_value(json_object_get(o, member));

	return mem_string(text ? text : "");
}

/* mmd has checked it (ingest/calls.h); this is where it counts. */
static bool read_url(struct endpoint *p, struct slice url, bool webhook)
{
	size_t begin = slice_find(url, slice_str("://"));
	struct slice target = slice_of(NULL, 0);
	struct slice host;

	if (webhook && begin != SIZE_MAX) {
		size_t slash = slice_find_byte(slice_from(url, begin + 3), '/');

		target = slash == SIZE_MAX ? target : slice_from(url, begin + 3 + slash);
		url.len -= target.len;
	}
	if (!deliver_url(url, &p->tls, &host, &p->port))
		return false;
	p->host = slice_string(host);
	p->target = target.len ? slice_string(target) : mem_string("/");
	return true;
}

static enum rc read_one(struct endpoint *p, const json_t *o, struct err *e)
{
	bool webhook;

	p->name = copy(o, "name");
	webhook = slice_starts_nocase(slice_str(p->name), slice_str("webhooks/"));
	if (!read_url(p, json_member_text(o, "url"), webhook))
		return err_set(e, RC_INVALID, "the URL of endpoint %.64s", p->name);
	p->service = webhook ? NULL : mem_string(p->name);
	p->path_style = json_member_bool(o, "path_style", false);
	p->region = copy(o, "region");
	p->access_key = copy(o, "access_key");
	p->secret = copy(o, "secret");
	return p->secret[0] ? RC_OK
	                    : err_set(e, RC_INVALID, "the secret of endpoint %.64s", p->name);
}

enum rc endpoints_read(struct endpoints *all, const json_t *config, struct err *e)
{
	enum rc rc = RC_OK;

	*all = (struct endpoints) { .count = 0 };
	if (json_array_size(config) > CALLS_ENDPOINTS)
		return err_set(e, RC_LIMIT, "more than %d endpoints", CALLS_ENDPOINTS);
	for (size_t i = 0; rc == RC_OK && i < json_array_size(config); i++) {
		struct endpoint *p = &all->at[all->count++];

		rc = read_one(p, json_array_get(config, i), e);
		all->tls = all->tls || p->tls;
	}
	return rc;
}

const struct endpoint *endpoints_find(const struct endpoints *all, struct slice name)
{
	for (size_t i = 0; i < all->count; i++)
		if (slice_equal(name, slice_str(all->at[i].name)))
			return &all->at[i];
	return NULL;
}

/* ---- addresses ---- */

static enum rc add_address(struct buf *out, const struct addrinfo *a)
{
	char text[NI_MAXHOST];

	if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST) !=
	    0)
		return RC_OK;
	return buf_addf(out, a->ai_family == AF_INET6 ? "%s[%s]" : "%s%s", out->len ? "," : "",
	                text);
}

/* A process of its own, which the kernel reaps (base/home). */
static void look_up(const char *host, int to)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	struct buf text;
	unsigned count = 0;

	(void)alarm(ENDPOINT_LOOKUP_MS / 1000 + 1);
	buf_init(&text, ADDRESS_TEXT);
	if (getaddrinfo(host, NULL, &hints, &list) == 0)
		for (; list && count < ADDRESSES; list = list->ai_next, count++)
			if (add_address(&text, list) != RC_OK)
				break;
	(void)!write(to, buf_text(&text), text.len);
	_exit(0);
}

/* The end that its addresses come from, or -1. */
static int begin_look_up(const char *host)
{
	int ends[2];
	pid_t pid;

	if (pipe(ends) != 0)
		return -1;
	pid = fork();
	if (pid == 0)
		look_up(host, ends[1]);
	(void)close(ends[1]);
	if (pid > 0)
		return ends[0];
	(void)close(ends[0]);
	return -1;
}

static char *end_look_up(int fd, int64_t until_ms)
{
	struct pollfd p = { fd, POLLIN, 0 };
	char text[ADDRESS_TEXT + 1];
	int64_t left = until_ms - clock_mono_ms();
	ssize_t n = 0;

	if (fd < 0)
		return NULL;
	if (poll(&p, 1, (int)MAX_OF(left, (int64_t)0)) > 0)
		n = read(fd, text, ADDRESS_TEXT);
	(void)close(fd);
	if (n <= 0)
		return NULL;
	text[n] = 0;
	return mem_string(text);
}

void endpoints_look_up(struct endpoints *all)
{
	int64_t until_ms = clock_mono_ms() + ENDPOINT_LOOKUP_MS;
	int fds[CALLS_ENDPOINTS];

	for (size_t i = 0; i < all->count; i++)
		fds[i] = all->at[i].host[0] == '[' ? -1 : begin_look_up(all->at[i].host);
	for (size_t i = 0; i < all->count; i++)
		all->at[i].addresses = all->at[i].host[0] == '[' ? mem_string(all->at[i].host)
		                                                 : end_look_up(fds[i], until_ms);
}

/* ---- signatures ---- */

static void put(struct endpoint_request *r, const char *name, struct slice value)
{
	r->fields[r->count++] = (struct http_field) { slice_str(name), value };
}

static enum rc sign_service(struct endpoint_request *r, struct err *e)
{
	const struct endpoint *p = r->to;
	const struct sigv4_signer signer = { slice_str(p->access_key), slice_str(p->secret),
		                             slice_str(p->region), slice_str(p->service) };
	bool s3 = slice_equal(slice_str(p->service), slice_str("s3"));
	struct sigv4_request q = { .method = r->method,
		                   .path = r->path,
		                   .query = r->query,
		                   .fields = r->fields,
		                   .rule = s3 ? SIGV4_PATH_ONCE : SIGV4_PATH_TWICE };
	enum rc rc;

	sigv4_hash(r->hash, r->body);
	sigv4_time(r->when, r->now_ms);
	put(r, "host", r->host);
	put(r, "x-amz-content-sha256", slice_of(r->hash, SIGV4_HASH));
	put(r, "x-amz-date", slice_of(r->when, SIGV4_TIME));
	for (size_t i = 0; i < r->more_count; i++)
		r->fields[r->count++] = r->more[i];
	q.count = r->count;
	rc = sigv4_sign(&r->signature, &signer, &q, slice_of(r->hash, SIGV4_HASH), e);
	if (rc == RC_OK)
		put(r, "authorization", buf_slice(&r->signature));
	return rc;
}

/* Who has the secret and the time of `t` finds the same: HMAC-SHA256(secret, "TIME.BODY"). */
static enum rc sign_webhook(struct endpoint_request *r, struct err *e)
{
	long long seconds = (long long)(r->now_ms / 1000);
	struct buf text;
	enum rc rc;

	buf_init(&text, r->body.len + 32);
	rc = buf_addf(&text, "%lld.", seconds);
	if (rc == RC_OK)
		rc = buf_add(&text, r->body);
	if (rc == RC_OK) {
		sigv4_mac(r->hash, slice_str(r->to->secret), buf_slice(&text));
		rc = buf_addf(&r->signature, "t=%lld,v1=%s", seconds, r->hash);
	}
	buf_free(&text);
	put(r, "host", r->host);
	for (size_t i = 0; i < r->more_count; i++)
		r->fields[r->count++] = r->more[i];
	put(r, "x-mm-signature", buf_slice(&r->signature));
	return rc == RC_OK ? rc : err_set(e, rc, "a body too long to be signed");
}

enum rc endpoint_sign(struct endpoint_request *r, struct err *e)
{
	buf_init(&r->signature, 8192);
	r->count = 0;
	if (r->more_count > CALLS_FIELDS)
		return err_set(e, RC_LIMIT, "more than %d fields", CALLS_FIELDS);
	return r->to->service ? sign_service(r, e) : sign_webhook(r, e);
}
