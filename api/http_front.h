/*
 * api/http_front.h - mmd's side of mm-httpd
 *
 * What     Binds the API's listener and keeps it, starts mm-httpd and starts it again when it dies,
 * and gives it socket, certificates, access keys, and a connection to the request server for each
 *          call (a lane).
 * Trust    mm-httpd may have been broken into: what it says is checked, lanes are bounded, nonsense
 *          ends it. What comes over a lane is checked by who answers it (api/control.h).
 * Threads  The loop's.
 */
#ifndef MM_API_HTTP_FRONT_H
#define MM_API_HTTP_FRONT_H

#include "base/cidr.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/request.h"
#include "base/tls.h"

struct http_front;

struct http_front_options {
	const char *listen;           /* "127.0.0.1:8025", "[::1]:443" */
	const struct tls_cert *certs; /* none: HTTP in the clear */
	size_t cert_count;
	unsigned max_connections; /* 256 */
	unsigned max_per_address; /* 64 */
	struct slice link_secret; /* signs links to messages */
	int64_t began_ms;         /* no mmd before this one answered a call after that time */
	const char *program;      /* NULL: "mm-httpd" */
};

struct http_front_ops {
	void (*stopped)(void *arg); /* after http_front_stop */
};

/* Binds the listener; nothing is started before the first http_front_keys. `ops` lives as long as
 * the front. RC_INVALID for a bad address or certificate; else as bind(2). */
enum rc http_front_new(struct http_front **out, struct loop *l, struct request_server *requests,
                       const struct http_front_options *opt, const struct http_front_ops *ops,
                       void *arg, struct err *e) MUST_USE;
/* New certificates, for connections from now on. */
enum rc http_front_certs(struct http_front *f, const struct tls_cert *certs, size_t count,
                         struct err *e) MUST_USE;
/* The access keys that work from now on, {"Keys":[...]}; `done` (may be NULL) is called when
 * mm-httpd works with them. */
enum rc http_front_keys(struct http_front *f, const json_t *keys, void (*done)(void *arg),
                        void *arg, struct err *e) MUST_USE;
void http_front_stop(struct http_front *f);
void http_front_free(struct http_front **f); /* kills what still runs; NULL is fine */
unsigned http_front_restarts(const struct http_front *f);

#endif
